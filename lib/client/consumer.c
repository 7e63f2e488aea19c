#include "client/consumer.h"

#include "base/assert.h"
#include "client/backoff.h"
#include "client/connection.h"
#include "client/group.h"
#include "client/pool.h"

#include <stdlib.h>
#include <string.h>

static const struct backoff fetch_backoff = {50, 1000};

/* ---- making and freeing ---- */

int mesh_consumer_new(struct mesh_client *client, struct mesh_consumer **ret_consumer)
{
    struct mesh_consumer *consumer = calloc(1, sizeof(*consumer));

    if (consumer == NULL) return client_fail(client, MESH_ENOMEM, "%s", mesh_strerror(MESH_ENOMEM));
    consumer->client = client;
    consumer->fetch_bytes_max = CONSUMER_FETCH_BYTES_DEFAULT;
    consumer->fetch_bytes_min = 1;
    consumer->max_wait_ms = CONSUMER_MAX_WAIT_DEFAULT_MS;
    consumer->is_verifying = true;
    consumer->error_partition = -1;
    list_init(&consumer->assignments);
    list_init(&consumer->unresolved);
    list_init(&consumer->backoff);
    list_init(&consumer->unrouted);
    list_init(&consumer->sessions);
    list_init(&consumer->offset_calls);
    list_init(&consumer->in_flight);
    list_init(&consumer->ready);
    list_init(&consumer->retired);
    list_init(&consumer->idle);
    list_init(&consumer->scratch_retired);
    list_init(&consumer->scratch_idle);
    if (client_add_timer(client, &consumer->timer, consumer_timer_due) != 0) {
        free(consumer);
        return client_fail(client, MESH_ENOMEM, "%s", mesh_strerror(MESH_ENOMEM));
    }
    client_add_pump(client, &consumer->pump, consumer_pump);
    *ret_consumer = consumer;
    return 0;
}

/* Accepts NULL. */
void consumer_remove(struct assignment *assignment)
{
    if (assignment == NULL) return;
    assignment->consumer->routes_seen =
        UINT64_MAX; /* a sum over other topics now: everything is routed anew */
    if (assignment->lane != NULL) pool_removed(assignment->consumer->pool, assignment);
    map_remove(&assignment->consumer->by_partition, &assignment->map_node);
    list_remove(&assignment->node);
    list_remove(&assignment->state_node);
    list_remove(&assignment->polled_node);
    assignment_clear_error(assignment);
    assignment_clear_cut(assignment);
    assignment->consumer = NULL;
    assignment->generation++;
    assignment_unref(assignment);
}

static void free_scratches(struct list_node *list)
{
    struct list_node *node;

    while ((node = list_pop_front(list)) != NULL) {
        struct scratch *scratch = container_of(node, struct scratch, node);
        buffer_deinit(&scratch->bytes);
        free(scratch);
    }
}

void mesh_consumer_free(struct mesh_consumer *consumer)
{
    struct list_node *node;

    if (consumer == NULL) return;
    MESH_ASSERT(consumer->pool == NULL);
    group_free(consumer->group);
    consumer_release_polled(consumer);
    consumer_forget_fetches(consumer);
    consumer_forget_offset_calls(consumer);
    list_for_each_safe(at, &consumer->assignments)
        consumer_remove(container_of(at, struct assignment, node));
    while ((node = list_pop_front(&consumer->sessions)) != NULL)
        free(container_of(node, struct fetch_session, node));
    if (consumer->scratch != NULL) list_push_back(&consumer->scratch_idle, &consumer->scratch->node);
    free_scratches(&consumer->scratch_idle);
    free_scratches(&consumer->scratch_retired);
    buffer_deinit(&consumer->message);
    free(consumer->headers);
    map_deinit(&consumer->by_partition);
    client_remove_timer(consumer->client, &consumer->timer);
    client_remove_pump(consumer->client, &consumer->pump);
    free(consumer);
}

/* ---- options ---- */

int mesh_consumer_set_fetch_bytes_max(struct mesh_consumer *consumer, size_t bytes)
{
    if (bytes < CONSUMER_FETCH_BYTES_MIN || bytes > (1u << 30))
        return client_fail(consumer->client, MESH_EINVAL, "fetch bytes max lies between 16 KiB and 1 GiB");
    consumer->fetch_bytes_max = bytes;
    return 0;
}

int mesh_consumer_set_fetch_bytes_min(struct mesh_consumer *consumer, size_t bytes)
{
    if (bytes > (1u << 30))
        return client_fail(consumer->client, MESH_EINVAL, "fetch bytes min is at most 1 GiB");
    consumer->fetch_bytes_min = bytes;
    return 0;
}

int mesh_consumer_set_fetch_max_wait_ms(struct mesh_consumer *consumer, int max_wait_ms)
{
    /* Well below the time after which a silent broker is given up. */
    if (max_wait_ms < 0 || max_wait_ms > consumer->client->timeout_ms / 2)
        return client_fail(consumer->client, MESH_EINVAL,
                           "the fetch wait lies between 0 and half of the client's timeout (%d ms)",
                           consumer->client->timeout_ms / 2);
    consumer->max_wait_ms = max_wait_ms;
    return 0;
}

void mesh_consumer_on_truncation(struct mesh_consumer *consumer, enum mesh_truncation_policy policy, mesh_truncation_fn *told, void *user)
{
    consumer->truncation_policy = policy;
    consumer->truncation = told;
    consumer->truncation_user = user;
}

int mesh_consumer_set_verify(struct mesh_consumer *consumer, int enabled)
{
    consumer->is_verifying = enabled != 0;
    return 0;
}

/* ---- the state of an assignment ---- */

void assignment_unref(struct assignment *assignment)
{
    if (assignment == NULL) return;
    MESH_ASSERT(assignment->reference_count > 0);
    if (--assignment->reference_count > 0) return;
    topic_unref(assignment->topic);
    free(assignment);
}

static struct fetch_session *session_of(struct mesh_consumer *consumer, struct connection *connection)
{
    struct fetch_session *session;

    list_for_each(node, &consumer->sessions)
    {
        session = container_of(node, struct fetch_session, node);
        if (session->connection == connection) return session;
    }
    session = calloc(1, sizeof(*session));
    if (session == NULL) return NULL;
    session->connection = connection;
    list_init(&session->idle);
    list_push_back(&consumer->sessions, &session->node);
    return session;
}

static struct list_node *idle_list(struct assignment *assignment)
{
    struct connection *connection = topic_route(assignment->topic, assignment->partition, CONNECTION_FETCH);
    struct fetch_session *session = NULL;

    if (connection != NULL) session = session_of(assignment->consumer, connection);
    return session != NULL ? &session->idle : &assignment->consumer->unrouted;
}

void assignment_update(struct assignment *assignment)
{
    struct mesh_consumer *consumer = assignment->consumer;
    struct list_node *list = NULL;

    if (consumer == NULL) return;
    if (assignment->is_stopped || assignment->is_paused || assignment->is_held || assignment->is_fetching ||
        assignment->is_resolving)
        list = NULL;
    else if (assignment->retry_ms > consumer->client->now_ms)
        list = &consumer->backoff;
    else if (!assignment->is_resolved || assignment->must_check)
        list = &consumer->unresolved;
    else
        list = idle_list(assignment);
    list_remove(&assignment->state_node);
    if (list != NULL) list_push_back(list, &assignment->state_node);
    client_mark(consumer->client, &consumer->pump);
}

void assignment_rewind(struct assignment *assignment, int64_t offset)
{
    assignment->generation++;
    if (offset != assignment->position) assignment->position_epoch = -1;
    assignment->position = assignment->fetch_offset = offset;
    assignment->is_resolving = false;
    assignment->is_fetching = false; /* the answer under way is stale now */
    assignment_update(assignment);
}

void assignment_clear_error(struct assignment *assignment)
{
    if (assignment->error == 0) return;
    assignment->error = 0;
    assignment->consumer->error_count--;
}

/* Whoever wrote it leads still: it is there. */
void assignment_check(struct assignment *assignment, int32_t epoch)
{
    const struct topic *topic = assignment->topic;
    bool was_asked = assignment->must_check;
    bool is_led_by_writer = topic->is_known && assignment->partition < topic->partition_count && topic->partitions[assignment->partition].leader_epoch == epoch;

    assignment_note_epoch(assignment, epoch, assignment->position);
    assignment->must_check = epoch >= 0 && assignment->is_resolved && !is_led_by_writer;
    if (assignment->must_check || was_asked) assignment_rewind(assignment, assignment->position); /* an answer under way was another leader's */
}

void assignment_clear_cut(struct assignment *assignment)
{
    if (assignment->cut_from < 0) return;
    assignment->cut_from = -1;
    assignment->consumer->cut_count--;
}

void assignment_stop(struct assignment *assignment, int error)
{
    assignment_clear_error(assignment);
    assignment->is_stopped = true;
    assignment->error = error;
    assignment->consumer->error_count++;
    assignment_rewind(assignment, assignment->position);
}

void assignment_retry_later(struct assignment *assignment)
{
    struct mesh_client *client;

    if (assignment->consumer == NULL) return;
    client = assignment->consumer->client;
    assignment->retry_ms =
        client->now_ms + backoff_ms(&fetch_backoff, assignment->failures++, random_unit(&client->random));
    assignment_update(assignment);
}

/* ---- assigning ---- */

static uint64_t hash_of(const char *topic, int32_t partition)
{
    return map_hash_bytes(topic, strlen(topic)) ^ ((uint64_t)(uint32_t)partition * 0x9e3779b97f4a7c15u);
}

struct assignment *consumer_find(const struct mesh_consumer *consumer, const char *topic, int32_t partition)
{
    if (topic == NULL || partition < 0) return NULL;
    for (struct map_node *node = map_find(&consumer->by_partition, hash_of(topic, partition)); node != NULL;
         node = map_find_next(node)) {
        struct assignment *assignment = container_of(node, struct assignment, map_node);
        if ((int32_t)assignment->partition == partition && strcmp(assignment->topic->name, topic) == 0)
            return assignment;
    }
    return NULL;
}

static int not_assigned(const struct mesh_consumer *consumer, const char *topic, int32_t partition)
{
    return client_fail(consumer->client, MESH_EINVAL, "partition %d of topic \"%s\" is not assigned",
                       partition, topic != NULL ? topic : "");
}

/* Where an assignment begins: an offset, or a timestamp to be resolved (-1, -2 or a time). */
static void start_at(struct assignment *assignment, int64_t offset, int64_t resolve_ms)
{
    assignment->is_resolved = offset >= 0;
    assignment->must_check = false;
    assignment->position_epoch = -1;
    assignment_clear_cut(assignment);
    assignment->resolve_ms = resolve_ms;
    assignment->is_stopped = false;
    assignment_clear_error(assignment);
    assignment->retry_ms = 0;
    assignment->failures = 0;
    assignment->doubted_offset = -1;
    assignment_rewind(assignment, offset >= 0 ? offset : -1);
}

int consumer_add(struct mesh_consumer *consumer, struct topic *topic, int32_t partition, int64_t offset, int64_t resolve_ms)
{
    struct assignment *assignment;

    if (consumer_find(consumer, topic->name, partition) != NULL)
        return client_fail(consumer->client, MESH_EEXISTS, "partition %d of topic \"%s\" is assigned already",
                           partition, topic->name);
    assignment = calloc(1, sizeof(*assignment));
    if (assignment == NULL ||
        map_insert(&consumer->by_partition, &assignment->map_node, hash_of(topic->name, partition)) != 0) {
        free(assignment);
        return client_fail(consumer->client, MESH_ENOMEM, "%s", mesh_strerror(MESH_ENOMEM));
    }
    assignment->consumer = consumer;
    assignment->topic = topic;
    topic->reference_count++;
    assignment->partition = (uint32_t)partition;
    assignment->reference_count = 1;
    assignment->high_watermark = -1;
    assignment->position_epoch = -1;
    assignment->cut_from = -1;
    list_init(&assignment->state_node);
    list_init(&assignment->polled_node);
    list_push_back(&consumer->assignments, &assignment->node);
    start_at(assignment, offset, resolve_ms);
    return 0;
}

/* All or nothing: what was added by a call that then fails is taken back. */
static int assign_range(struct mesh_consumer *consumer, struct topic *topic, int32_t first, int32_t count,
                        int64_t offset, int64_t resolve_ms)
{
    for (int32_t i = 0; i < count; i++) {
        int err = consumer_add(consumer, topic, first + i, offset, resolve_ms);
        if (err == 0) continue;
        while (i-- > 0)
            consumer_remove(consumer_find(consumer, topic->name, first + i));
        return err;
    }
    return 0;
}

static int assign(struct mesh_consumer *consumer, const char *name, int32_t partition, int64_t offset,
                  int64_t resolve_ms, int32_t *ret_first, int32_t *ret_count)
{
    struct mesh_client *client = consumer->client;
    struct topic *topic = NULL;
    int err = consumer->group == NULL ? topic_ref(client, name, &topic)
                                      : client_fail(client, MESH_EINVAL, "the consumer is subscribed: its group assigns partitions");

    if (err != 0) return err;
    err = topic_wait_known(topic, client_deadline(client, client->timeout_ms));
    if (err == 0 && (partition < -1 || partition >= (int32_t)topic->partition_count))
        err = client_fail(client, MESH_EUNKNOWN_TOPIC, "there is no partition %d: topic \"%s\" has %u",
                          partition, name, topic->partition_count);
    if (err == 0) {
        *ret_first = partition >= 0 ? partition : 0;
        *ret_count = partition >= 0 ? 1 : (int32_t)topic->partition_count;
        err = assign_range(consumer, topic, *ret_first, *ret_count, offset, resolve_ms);
    }
    topic_unref(topic);
    return err;
}

int mesh_consumer_assign(struct mesh_consumer *consumer, const char *topic, int32_t partition, int64_t offset)
{
    int32_t first = 0, count = 0;

    if (offset < MESH_OFFSET_BEGINNING)
        return client_fail(consumer->client, MESH_EINVAL, "an offset is not negative");
    return assign(consumer, topic, partition, offset, offset, &first, &count);
}

struct time_wait {
    struct mesh_consumer *consumer;
    const char *topic;
    int32_t first, count;
};

/* What a callback has unassigned meanwhile is not waited for. */
static bool are_resolved(void *user)
{
    struct time_wait *wait = user;

    for (int32_t i = wait->first; i < wait->first + wait->count; i++) {
        struct assignment *assignment = consumer_find(wait->consumer, wait->topic, i);
        if (assignment != NULL && !assignment->is_resolved && !assignment->is_stopped) return false;
    }
    return true;
}

int mesh_consumer_assign_time(struct mesh_consumer *consumer, const char *topic, int32_t partition,
                              int64_t timestamp_ms)
{
    struct mesh_client *client = consumer->client;
    struct time_wait wait = {consumer, topic, 0, 0};
    int err;

    if (timestamp_ms < 0) return client_fail(client, MESH_EINVAL, "a timestamp is not negative");
    err = assign(consumer, topic, partition, -1, timestamp_ms, &wait.first, &wait.count);
    if (err != 0) return err;
    err = client_run(client, are_resolved, &wait, client_deadline(client, client->timeout_ms));
    for (int32_t i = wait.first; i < wait.first + wait.count && err == 0; i++) {
        struct assignment *assignment = consumer_find(consumer, topic, i);
        if (assignment != NULL) err = assignment->error;
    }
    if (err == 0) return 0;
    for (int32_t i = wait.first; i < wait.first + wait.count; i++)
        consumer_remove(consumer_find(consumer, topic, i));
    return client_fail(client, err, "the offsets of topic \"%s\" at that time could not be found: %s", topic,
                       mesh_strerror(err));
}

int mesh_consumer_unassign(struct mesh_consumer *consumer, const char *topic, int32_t partition)
{
    struct assignment *assignment = consumer_find(consumer, topic, partition);

    if (consumer->group != NULL) return client_fail(consumer->client, MESH_EINVAL, "the consumer is subscribed: its group assigns partitions");
    if (partition < 0 && topic != NULL) {
        list_for_each_safe(node, &consumer->assignments)
        {
            assignment = container_of(node, struct assignment, node);
            if (strcmp(assignment->topic->name, topic) == 0) consumer_remove(assignment);
        }
        return 0;
    }
    if (assignment == NULL) return not_assigned(consumer, topic, partition);
    consumer_remove(assignment);
    return 0;
}

int mesh_consumer_seek(struct mesh_consumer *consumer, const char *topic, int32_t partition, int64_t offset)
{
    struct assignment *assignment = consumer_find(consumer, topic, partition);

    if (assignment == NULL) return not_assigned(consumer, topic, partition);
    if (offset < MESH_OFFSET_BEGINNING)
        return client_fail(consumer->client, MESH_EINVAL, "an offset is not negative");
    if (consumer->pool != NULL) return client_fail(consumer->client, MESH_EINVAL, "records of it are being handled by a pool");
    start_at(assignment, offset, offset);
    if (consumer->group != NULL && offset >= 0) group_note_polled(assignment); /* going back is committed, too */
    return 0;
}

int mesh_consumer_pause(struct mesh_consumer *consumer, const char *topic, int32_t partition)
{
    struct assignment *assignment = consumer_find(consumer, topic, partition);

    if (assignment == NULL) return not_assigned(consumer, topic, partition);
    assignment->is_paused = true;
    assignment_update(assignment);
    return 0;
}

int mesh_consumer_resume(struct mesh_consumer *consumer, const char *topic, int32_t partition)
{
    struct assignment *assignment = consumer_find(consumer, topic, partition);

    if (assignment == NULL) return not_assigned(consumer, topic, partition);
    assignment->is_paused = assignment->is_stopped = false;
    assignment_clear_error(assignment);
    assignment_update(assignment);
    return 0;
}

int mesh_consumer_position(const struct mesh_consumer *consumer, const char *topic, int32_t partition,
                           int64_t *ret_offset)
{
    const struct assignment *assignment = consumer_find(consumer, topic, partition);

    if (assignment == NULL) return not_assigned(consumer, topic, partition);
    *ret_offset = assignment->is_resolved ? assignment->position : assignment->resolve_ms;
    return 0;
}

int mesh_consumer_high_watermark(const struct mesh_consumer *consumer, const char *topic, int32_t partition,
                                 int64_t *ret_offset)
{
    const struct assignment *assignment = consumer_find(consumer, topic, partition);

    if (assignment == NULL) return not_assigned(consumer, topic, partition);
    *ret_offset = assignment->high_watermark;
    return 0;
}
