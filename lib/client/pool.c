#include "client/pool.h"

#include "base/assert.h"
#include "base/clock.h"
#include "client/group.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define TURN_MS 100 /* a poll without records lasts no longer: slow handlers are looked for */

/* ---- the threads ---- */

static void await_work(struct mesh_pool *pool, uint64_t due_ms)
{
    struct timespec until = {(time_t)(due_ms / 1000), (long)(due_ms % 1000) * 1000000};

    if (due_ms == TIMER_NEVER)
        pthread_cond_wait(&pool->work, &pool->mutex);
    else
        pthread_cond_timedwait(&pool->work, &pool->mutex, &until);
}

static void *work(void *arg)
{
    struct mesh_pool *pool = arg;
    struct mesh_client *client = pool->consumer->client;

    pthread_mutex_lock(&pool->mutex);
    while (!pool->is_stopping) {
        uint64_t due_ms;
        struct pool_entry *entry = pool_begin(pool, clock_monotonic_ms(), &due_ms);
        int result;

        if (entry == NULL) {
            await_work(pool, due_ms);
            continue;
        }
        pthread_mutex_unlock(&pool->mutex);
        result = pool->handle(pool->user, &entry->record);
        pthread_mutex_lock(&pool->mutex);
        if (pool_end(pool, entry, result, clock_monotonic_ms())) client_wake(client);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

int mesh_pool_is_wanted(const struct mesh_consumed *record)
{
    const struct pool_entry *entry = container_of(record, struct pool_entry, record);

    return atomic_load(&entry->is_wanted);
}

/* ---- what the consumer asks ---- */

static void hold(struct assignment *assignment, bool is_held)
{
    if (assignment->is_held == is_held) return;
    assignment->is_held = is_held;
    assignment_update(assignment);
}

/* Told with the lock let go: the application may look at its pool. */
static bool next_slow(struct mesh_pool *pool, uint64_t now_ms, uint32_t limit_ms, struct group_handling *ret_slow)
{
    list_for_each(node, &pool->lanes)
    {
        struct lane *lane = container_of(node, struct lane, node);
        struct pool_entry *entry;

        if (!lane->is_running) continue;
        entry = container_of(lane->entries.next, struct pool_entry, node);
        if (entry->is_told || now_ms <= entry->begun_ms + limit_ms / 2) continue;
        entry->is_told = true;
        ret_slow->since_ms = entry->begun_ms;
        ret_slow->offset = entry->record.offset;
        ret_slow->partition = lane->partition;
        memcpy(ret_slow->topic, lane->topic, strlen(lane->topic) + 1);
        return true;
    }
    return false;
}

static void tell_slow(struct mesh_pool *pool)
{
    struct mesh_consumer *consumer = pool->consumer;
    uint32_t limit_ms = consumer->group->options.processing_ms;
    uint64_t now_ms = consumer->client->now_ms;
    struct group_handling slow;
    bool is_slow;

    do {
        pthread_mutex_lock(&pool->mutex);
        is_slow = pool->running > 0 && next_slow(pool, now_ms, limit_ms, &slow);
        pthread_mutex_unlock(&pool->mutex);
        if (!is_slow) return;
        consumer->group->slow++;
        if (consumer->slow != NULL) group_tell_slow(consumer, &slow, now_ms - slow.since_ms, limit_ms);
    } while (is_slow);
}

/* Lanes with room are read again. Returns the first failure of a handler. */
static int look_at_lanes(struct mesh_pool *pool)
{
    size_t share = pool_share(pool);

    list_for_each(node, &pool->lanes)
    {
        struct lane *lane = container_of(node, struct lane, node);

        if (lane->assignment != NULL && lane->assignment->is_held && !lane->is_draining && lane->bytes <= share / 2) hold(lane->assignment, false);
        if (lane->failure == 0) continue;
        lane->is_failure_told = true;
        return client_fail(pool->consumer->client, lane->failure, "handling partition %d of topic \"%s\" at offset %lld: %s", lane->partition, lane->topic,
                           (long long)container_of(lane->entries.next, struct pool_entry, node)->record.offset, mesh_strerror(lane->failure));
    }
    return 0;
}

int pool_turn(struct mesh_pool *pool)
{
    struct mesh_consumer *consumer = pool->consumer;
    uint64_t until_ms = consumer_member_handle_until_ms(consumer->group->member);
    int err = 0;

    tell_slow(pool);
    pthread_mutex_lock(&pool->mutex);
    if (until_ms != pool->handle_until_ms) pthread_cond_broadcast(&pool->work);
    pool->handle_until_ms = until_ms;
    consumer->is_full = pool->is_closing;
    pool->partition_count = consumer->by_partition.count;
    if (pool->has_news) err = look_at_lanes(pool);
    if (err == 0) pool->has_news = false;
    pthread_mutex_unlock(&pool->mutex);
    return err;
}

/* Where it stands. Of one with nothing in its lane that is where reading is, also behind what holds no records. */
static int store_one(struct consumer_group *group, struct assignment *assignment)
{
    struct lane *lane = assignment->lane;
    bool is_empty = lane == NULL || (lane->count == 0 && !lane->is_draining); /* draining: the last handler's record may have been dropped */
    int64_t offset = is_empty ? assignment->position : lane->finished;
    int32_t epoch = is_empty ? assignment->position_epoch : lane->finished_epoch;

    if (is_empty) list_remove(&assignment->polled_node);
    if (offset < 0 || (!is_empty && !lane->is_dirty)) return 0;
    if (lane != NULL) lane->is_dirty = false;
    return consumer_member_store(group->member, &assignment->topic_id, assignment->partition, (uint64_t)offset, epoch, slice_of(NULL, 0));
}

int pool_store(struct mesh_pool *pool)
{
    struct consumer_group *group = pool->consumer->group;
    int err = 0, failed;

    pthread_mutex_lock(&pool->mutex);
    list_for_each_safe(node, &group->polled)
    {
        failed = store_one(group, container_of(node, struct assignment, polled_node));
        if (err == 0) err = failed;
    }
    pthread_mutex_unlock(&pool->mutex);
    return err;
}

/* What waits is dropped: reading stands where handling does. */
static void stand_still(struct assignment *assignment)
{
    struct lane *lane = assignment->lane;
    int64_t next = lane->finished;
    int32_t epoch = lane->finished_epoch;

    if (lane->is_running && lane->count > 0) {
        const struct pool_entry *entry = container_of(lane->entries.next, struct pool_entry, node);
        if (!entry->is_stale) next = entry->record.offset + 1;
        if (!entry->is_stale) epoch = entry->record.leader_epoch;
    }
    assignment_rewind(assignment, next);
    assignment_note_epoch(assignment, epoch, next);
    if (assignment->consumer->group != NULL) group_note_polled(assignment);
}

bool pool_asked_back(struct mesh_pool *pool, struct assignment *assignment)
{
    struct lane *lane = assignment->lane;
    bool is_waiting = false;

    if (lane == NULL) return false;
    pthread_mutex_lock(&pool->mutex);
    pool_lane_drain(pool, lane);
    stand_still(assignment);
    hold(assignment, true);
    is_waiting = lane->is_running;
    if (!is_waiting) lane->is_draining = false;
    pthread_mutex_unlock(&pool->mutex);
    return is_waiting;
}

void pool_resumed(struct mesh_pool *pool, struct assignment *assignment)
{
    if (assignment->lane == NULL) return;
    pthread_mutex_lock(&pool->mutex);
    pool_lane_go_on(pool, assignment->lane);
    stand_still(assignment); /* also of what was dropped since */
    hold(assignment, false);
    pthread_mutex_unlock(&pool->mutex);
}

void pool_removed(struct mesh_pool *pool, struct assignment *assignment)
{
    if (assignment->lane == NULL) return;
    pthread_mutex_lock(&pool->mutex);
    pool_lane_lose(pool, assignment->lane);
    pthread_mutex_unlock(&pool->mutex);
}

bool pool_set_back(struct mesh_pool *pool, struct assignment *assignment, int64_t offset, int32_t epoch)
{
    struct lane *lane = assignment->lane;
    bool is_idle;

    if (lane == NULL) return true;
    pthread_mutex_lock(&pool->mutex);
    is_idle = lane->count == 0 && !lane->is_running;
    if (is_idle) {
        lane->finished = offset;
        lane->finished_epoch = epoch;
    }
    pthread_mutex_unlock(&pool->mutex);
    return is_idle;
}

struct assignment *pool_next_drained(struct mesh_pool *pool)
{
    struct assignment *drained = NULL;

    pthread_mutex_lock(&pool->mutex);
    list_for_each(node, &pool->lanes)
    {
        struct lane *lane = container_of(node, struct lane, node);

        if (!lane->is_draining || lane->is_running || lane->assignment == NULL) continue;
        lane->is_draining = false;
        stand_still(lane->assignment);
        drained = lane->assignment;
        break;
    }
    pthread_mutex_unlock(&pool->mutex);
    return drained;
}

/* ---- running ---- */

static int check(const struct mesh_pool *pool)
{
    const struct mesh_consumer *consumer = pool->consumer;

    if (consumer->client->is_dispatching) return client_fail(consumer->client, MESH_EINVAL, "a callback may not call a function that waits");
    if (consumer->group == NULL || consumer->group->options.delivery != GROUP_AT_LEAST_ONCE)
        return client_fail(consumer->client, MESH_EINVAL, "a pool needs a subscribed consumer that delivers at least once");
    return 0;
}

/* What there is no room for is read again. */
static void take_records(struct mesh_pool *pool, const struct mesh_consumed *records, size_t count)
{
    pthread_mutex_lock(&pool->mutex);
    for (size_t i = 0; i < count; i++) {
        struct assignment *assignment = consumer_find(pool->consumer, records[i].topic, records[i].partition);
        int err;

        if (assignment == NULL || records[i].offset >= assignment->position) continue; /* set back below */
        err = pool_add(pool, assignment, &records[i]);
        if (err != 0) assignment_rewind(assignment, records[i].offset);
        if (err == MESH_EFULL) hold(assignment, true);
    }
    pthread_mutex_unlock(&pool->mutex);
}

static int take_turn(struct mesh_pool *pool, uint64_t deadline_ms)
{
    struct mesh_consumed records[POOL_POLL_RECORDS];
    uint64_t now_ms = clock_monotonic_ms(), left_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
    size_t count = 0;
    int err = mesh_consumer_poll(pool->consumer, records, POOL_POLL_RECORDS, (int)(left_ms < TURN_MS ? left_ms : TURN_MS), &count);

    if (err == 0) take_records(pool, records, count);
    return err;
}

/* What failed, and was told, is tried again. */
static void forgive(struct mesh_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    list_for_each(node, &pool->lanes)
    {
        struct lane *lane = container_of(node, struct lane, node);

        if (lane->failure == 0 || !lane->is_failure_told) continue;
        container_of(lane->entries.next, struct pool_entry, node)->attempts = 0;
        pool_lane_go_on(pool, lane);
    }
    pthread_mutex_unlock(&pool->mutex);
}

int mesh_pool_run(struct mesh_pool *pool, int timeout_ms)
{
    uint64_t deadline_ms;
    int err = check(pool);

    if (err != 0) return err;
    deadline_ms = client_deadline(pool->consumer->client, timeout_ms);
    forgive(pool);
    do {
        err = take_turn(pool, deadline_ms);
    } while (err == 0 && clock_monotonic_ms() < deadline_ms);
    return err;
}

static size_t count_of(struct mesh_pool *pool)
{
    size_t count;

    pthread_mutex_lock(&pool->mutex);
    count = pool->count;
    pthread_mutex_unlock(&pool->mutex);
    return count;
}

static void set_closing(struct mesh_pool *pool, bool is_closing)
{
    pthread_mutex_lock(&pool->mutex);
    pool->is_closing = is_closing;
    pthread_mutex_unlock(&pool->mutex);
}

int mesh_pool_drain(struct mesh_pool *pool, int timeout_ms)
{
    uint64_t deadline_ms;
    int err = check(pool);

    if (err != 0) return err;
    deadline_ms = client_deadline(pool->consumer->client, timeout_ms);
    forgive(pool);
    set_closing(pool, true);
    while (err == 0 && count_of(pool) > 0) {
        err = take_turn(pool, deadline_ms);
        if (err == 0 && clock_monotonic_ms() >= deadline_ms && count_of(pool) > 0) err = client_fail(pool->consumer->client, MESH_ETIMEDOUT, "handlers are still at work");
    }
    set_closing(pool, false);
    return err;
}

/* ---- making and freeing ---- */

static void end_threads(struct mesh_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool->is_stopping = true;
    list_for_each(node, &pool->lanes)
    {
        struct lane *lane = container_of(node, struct lane, node);
        if (lane->is_running) atomic_store(&container_of(lane->entries.next, struct pool_entry, node)->is_wanted, false);
    }
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (size_t i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
}

static void end_lanes(struct mesh_pool *pool)
{
    struct consumer_group *group = pool->consumer->group;

    list_for_each_safe(node, &pool->lanes)
    {
        struct lane *lane = container_of(node, struct lane, node);
        struct assignment *assignment = lane->assignment;

        if (assignment != NULL) {
            stand_still(assignment);
            hold(assignment, false);
        }
        pool_lane_lose(pool, lane);
    }
    pool->consumer->pool = NULL;
    pool->consumer->is_full = false;
    if (group != NULL) (void)group_store_polled(group); /* what is not this member's any more is told by the next commit */
}

void mesh_pool_free(struct mesh_pool *pool)
{
    if (pool == NULL) return;
    end_threads(pool);
    end_lanes(pool);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->threads);
    free(pool);
}

static int start_threads(struct mesh_pool *pool, size_t count)
{
    sigset_t all, before;
    int err = 0;

    sigfillset(&all); /* signals are the application's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (size_t i = 0; i < count && err == 0; i++) {
        err = pthread_create(&pool->threads[i], NULL, work, pool);
        if (err == 0) pool->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err == 0 ? 0 : MESH_EIO;
}

static struct mesh_pool *new_pool(struct mesh_consumer *consumer, size_t threads, mesh_handle_fn *handle, void *user)
{
    struct mesh_pool *pool = calloc(1, sizeof(*pool));
    pthread_condattr_t attributes;

    if (pool == NULL) return NULL;
    pool->threads = calloc(threads, sizeof(*pool->threads));
    if (pool->threads == NULL) {
        free(pool);
        return NULL;
    }
    pool->consumer = consumer;
    pool->handle = handle;
    pool->user = user;
    pool->memory_max = POOL_MEMORY_DEFAULT;
    pool->pause_ms = POOL_PAUSE_MS;
    list_init(&pool->lanes);
    list_init(&pool->ready);
    list_init(&pool->waiting);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->work, &attributes);
    pthread_condattr_destroy(&attributes);
    return pool;
}

int mesh_pool_new(struct mesh_consumer *consumer, int threads, mesh_handle_fn *handle, void *user, struct mesh_pool **ret_pool)
{
    struct mesh_client *client = consumer->client;
    struct mesh_pool *pool;
    int err;

    if (handle == NULL || threads < 1 || threads > POOL_THREADS_MAX)
        return client_fail(client, MESH_EINVAL, "a pool has a handler and between 1 and %d threads", POOL_THREADS_MAX);
    if (consumer->pool != NULL) return client_fail(client, MESH_EEXISTS, "the consumer has a pool already");
    err = client_be_wakeable(client);
    if (err != 0) return err;
    pool = new_pool(consumer, (size_t)threads, handle, user);
    if (pool == NULL) return client_fail(client, MESH_ENOMEM, "%s", mesh_strerror(MESH_ENOMEM));
    consumer->pool = pool;
    err = start_threads(pool, (size_t)threads);
    if (err != 0) {
        mesh_pool_free(pool);
        return client_fail(client, err, "threads could not be started");
    }
    *ret_pool = pool;
    return 0;
}

int mesh_pool_set_memory(struct mesh_pool *pool, size_t bytes)
{
    if (bytes < POOL_MEMORY_MIN || bytes > POOL_MEMORY_MAX)
        return client_fail(pool->consumer->client, MESH_EINVAL, "a pool's memory lies between 64 KiB and 16 GiB");
    pthread_mutex_lock(&pool->mutex);
    pool->memory_max = bytes;
    pool->has_news = true;
    pthread_mutex_unlock(&pool->mutex);
    return 0;
}

int mesh_pool_set_retries(struct mesh_pool *pool, int attempts_max, int pause_ms)
{
    if (attempts_max < 0 || pause_ms < 1) return client_fail(pool->consumer->client, MESH_EINVAL, "attempts are not negative, and a pause is at least 1 ms");
    pthread_mutex_lock(&pool->mutex);
    pool->attempts_max = (uint32_t)attempts_max;
    pool->pause_ms = (uint32_t)pause_ms;
    pthread_mutex_unlock(&pool->mutex);
    return 0;
}

void mesh_pool_info(struct mesh_pool *pool, struct mesh_pool_info *ret_info)
{
    pthread_mutex_lock(&pool->mutex);
    *ret_info = (struct mesh_pool_info){.handled = pool->handled, .retried = pool->retried, .waiting = pool->count, .bytes = pool->bytes, .running = (int)pool->running};
    list_for_each(node, &pool->lanes)
    {
        const struct lane *lane = container_of(node, struct lane, node);
        ret_info->paused += lane->assignment != NULL && lane->assignment->is_held;
    }
    pthread_mutex_unlock(&pool->mutex);
}
