/* broker/ops/fetch_part.c - reading the partitions of one shard, waiting for them, and the way back. */
#include "cmd/broker/ops/fetch_part.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/forward/requests.h"
#include "cmd/broker/ops/fetch_control.h"
#include "cmd/broker/ops/fetch_wait.h"
#include "cmd/broker/runtime/partitions.h"
#include "segment/healing.h"

#include <inttypes.h>
#include <stdlib.h>

#define PART_ENTRIES_FIRST 4
#define PART_COLD_WAIT_MS  1000 /* for the disk, also when the client would not wait for records */
#define PART_RECORDS_MAX   512 /* entries answered with records: holding any takes over a KiB, however few there are */

int fetch_part_new(struct fetch *fetch, struct shard *home, struct shard *shard, const struct fetch_options *options,
                   struct fetch_part **ret_part)
{
    struct fetch_part *part = calloc(1, sizeof(*part));

    if (part == NULL) return MESH_ENOMEM;
    part->fetch = fetch;
    part->home = home;
    part->shard = shard;
    part->from = options->from;
    part->correlation_id = options->correlation_id;
    part->source = options->source;
    part->max_wait_ms = options->max_wait_ms;
    part->bytes_min = options->bytes_min;
    part->bytes_max = options->bytes_max;
    list_init(&part->ready_link);
    *ret_part = part;
    return 0;
}

static void part_drop_records(struct fetch_part *part)
{
    for (uint32_t i = 0; i < part->entry_count; i++) {
        struct fetch_answer *answer = &part->entries[i].answer;

        fetch_records_free(answer->records);
        *answer = (struct fetch_answer){.records = NULL};
    }
}

void fetch_part_free(struct fetch_part *part)
{
    if (part == NULL) return;
    MESH_ASSERT(fetch_part_is_back(part));
    part_drop_records(part);
    forward_fetch_free(part->call);
    free(part->entries);
    free(part);
}

int fetch_part_add(struct fetch_part *part, uint32_t index, const struct fetch_entry *entry)
{
    if (part->entry_count == part->entry_capacity) {
        uint32_t capacity = part->entry_capacity == 0 ? PART_ENTRIES_FIRST : part->entry_capacity * 2;
        struct fetch_part_entry *entries = realloc(part->entries, capacity * sizeof(*entries));

        if (entries == NULL) return MESH_ENOMEM;
        part->entries = entries;
        part->entry_capacity = capacity;
    }
    part->entries[part->entry_count++] = (struct fetch_part_entry){.request = *entry, .index = index};
    return 0;
}

/* ---- reading ---- */

static int entry_find(struct shard_partition *partition, struct fetch_part_entry *entry, uint32_t bytes_max, struct plog_view *ret_view)
{
    struct fetch_result *result = &entry->answer.result;
    uint64_t offset = entry->request.offset, end = partition->replica.partition.high_watermark;
    bool is_at_end = false;
    int err;

    if (!entry->request.skips_control) return plog_read(partition->plog, offset, end, bytes_max, ret_view);
    err = fetch_control_read(partition->plog, offset, end, bytes_max, ret_view, &is_at_end);
    if (is_at_end) result->high_watermark = offset; /* for this reader: else it would wait for what it never gets */
    return err;
}

/* Reads what one entry may have of `bytes_left`. Only the first records of an answer may be larger than that. */
static int entry_read(struct shard_partition *partition, struct fetch_part_entry *entry, uint32_t bytes_left,
                      bool is_first)
{
    const struct partition *replica = &partition->replica.partition;
    uint32_t bytes_max = entry->request.bytes_max < bytes_left ? entry->request.bytes_max : bytes_left;
    struct fetch_answer *answer = &entry->answer;
    struct fetch_records *records;
    int err;

    if (entry->request.offset == replica->high_watermark || (bytes_left == 0 && !is_first)) return 0;
    records = malloc(sizeof(*records));
    if (records == NULL) return MESH_ENOMEM;
    records->shared = NULL;
    err = entry_find(partition, entry, bytes_max, &records->view);
    if (err == MESH_EAGAIN) { /* the disk is asked where batches begin; the partition's waiters are woken then */
        entry->part->is_cold = partition->has_cold_readers = true;
        entry->part->shard->has_more = true; /* the job starts at once */
        err = 0;
        records->view.size = 0;
    }
    if (err != 0) {
        free(records);
        return err;
    }
    if (records->view.size == 0 || (records->view.size > bytes_left && !is_first)) {
        fetch_records_free(records);
        return 0;
    }
    records->next = NULL;
    answer->records = records;
    answer->result.records_size = records->view.size;
    answer->result.next_offset = records->view.next_offset;
    partition->topic->metrics.fetched_bytes += records->view.size;
    return 0;
}

/* A reader says that the records there came damaged. Told once, however often the entry is read while it waits. */
static void entry_hear_doubts(struct shard *shard, struct fetch_part_entry *entry)
{
    const struct doubt doubt = {entry->request.topic_id, entry->request.partition, entry->request.offset};

    if (!entry->request.is_doubted) return;
    entry->request.is_doubted = false;
    shard->metrics.fetch_doubts++;
    if (doubts_hear(&shard->doubts, &entry->part->source, &doubt)) shard->has_more = true; /* a turn looks at it */
}

uint64_t fetch_follow_doubts(struct shard *shard)
{
    struct doubt doubt;
    struct shard_partition *partition;

    if (doubts_next(&shard->doubts, shard->now_ms, &doubt)) {
        partition = shard_partition_find(shard, &doubt.topic_id, doubt.partition);
        if (partition != NULL && partition->plog != NULL) { /* else it went meanwhile; the turn is used up */
            shard->metrics.fetch_doubts_followed++;
            log_warn("a reader got damaged records, it says topic=%s partition=%u offset=%" PRIu64, partition->topic->topic->name, partition->number,
                     doubt.offset);
            plog_suspect(partition->plog, doubt.offset);
        }
    }
    return doubts_due_ms(&shard->doubts);
}

static int entry_serve(struct shard *shard, struct fetch_part_entry *entry, uint32_t bytes_left, bool is_first)
{
    struct fetch_result *result = &entry->answer.result;
    struct shard_partition *partition;
    int err = shard_partition_get(shard, &entry->request.topic_id, entry->request.partition, &partition);

    *result = (struct fetch_result){.next_offset = entry->request.offset, .leader_epoch = -1};
    if (err == 0 && partition->topic->is_internal) err = MESH_EINVALID_TOPIC;
    if (err != 0) return err;
    result->high_watermark = partition->replica.partition.high_watermark;
    result->log_start = partition->replica.partition.first;
    result->leader_epoch = partition->replica.partition.leader_epoch;
    err = partition_check_leader(&partition->replica.partition, entry->request.leader_epoch);
    if (err == 0) err = replica_check_fetch_offset(&partition->replica, entry->request.offset);
    if (err == MESH_EAGAIN) return 0; /* a new leader has not heard what is committed yet: the reader waits, as at the end */
    if (err == 0) entry_hear_doubts(shard, entry);
    if (err == 0) err = entry_read(partition, entry, bytes_left, is_first);
    return err;
}

/* Fills every answer. Returns whether that is enough to answer at once. */
static bool part_read(struct fetch_part *part)
{
    uint32_t bytes = 0, count = 0;
    bool has_error = false;

    part->is_cold = false;
    for (uint32_t i = 0; i < part->entry_count; i++) {
        struct fetch_part_entry *entry = &part->entries[i];
        struct fetch_answer *answer = &entry->answer;
        uint32_t left = bytes < part->bytes_max && count < PART_RECORDS_MAX ? part->bytes_max - bytes : 0;

        entry->part = part;
        answer->result.error = entry_serve(part->shard, entry, left, bytes == 0);
        if (answer->result.error != 0) {
            has_error = true;
            part->shard->metrics.fetch_errors++;
        }
        bytes += answer->result.records_size;
        count += answer->records != NULL;
        answer->is_answered = answer->result.error != 0 || answer->records != NULL || part->is_short;
    }
    part->shard->metrics.fetched_bytes += bytes;
    if (part->is_cold && bytes == 0) return has_error;
    return has_error || bytes >= part->bytes_min;
}

/* ---- waiting ---- */

static void part_stop_waiting(struct fetch_part *part)
{
    if (!part->is_waiting) return;
    part->is_waiting = false;
    part->shard->metrics.fetch_waiting--;
    ev_timer_stop(part->shard->loop, &part->timer);
    list_remove(&part->ready_link);
    for (uint32_t i = 0; i < part->entry_count; i++)
        list_remove(&part->entries[i].waiter);
}

static void part_home(struct mail *mail)
{
    struct fetch_part *part = container_of(mail, struct fetch_part, mail);

    part->is_out = false;
    fetch_part_finished(part->fetch, part);
}

static void note_slow(const struct fetch_part *part, uint64_t took_ms)
{
    struct shard *shard = part->shard;

    if (!request_log_wants(&shard->broker->settings, took_ms, part->max_wait_ms, 0) || !request_log_may(&shard->request_log, shard->now_ms)) return;
    log_warn("a fetch request was slow partitions=%u wait_ms=%u ms=%llu", part->entry_count, part->max_wait_ms, (unsigned long long)took_ms);
}

static void part_finish(struct fetch_part *part)
{
    struct shard *shard = part->shard;

    uint64_t took_ns = clock_monotonic_ns() - part->started_ns;

    part_stop_waiting(part);
    histogram_record(&shard->metrics.fetch_wait_ns, took_ns);
    note_slow(part, took_ns / 1000000);
    if (part->home == shard) {
        part_home(&part->mail);
        return;
    }
    part->mail.deliver = part_home;
    shard_post(part->home, &part->mail);
}

static void part_on_timeout(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct fetch_part *part = container_of(timer, struct fetch_part, timer);

    (void)loop;
    (void)events;
    part_drop_records(part);
    (void)part_read(part);
    part_finish(part);
}

static void part_wait(struct fetch_part *part)
{
    struct shard *shard = part->shard;

    if (!part->is_waiting) {
        part->is_waiting = true;
        shard->metrics.fetch_waiting++;
        uint32_t wait_ms = part->is_cold && part->max_wait_ms < PART_COLD_WAIT_MS ? PART_COLD_WAIT_MS : part->max_wait_ms;

        ev_timer_init(&part->timer, part_on_timeout, wait_ms / 1e3, 0.);
        ev_timer_start(shard->loop, &part->timer);
        for (uint32_t i = 0; i < part->entry_count; i++)
            list_init(&part->entries[i].waiter);
    }
    for (uint32_t i = 0; i < part->entry_count; i++) {
        struct fetch_part_entry *entry = &part->entries[i];
        struct shard_partition *partition =
            shard_partition_find(shard, &entry->request.topic_id, entry->request.partition);

        MESH_ASSERT(partition != NULL); /* part_read() has just seen it, else there was an error */
        list_remove(&entry->waiter);
        list_push_back(&partition->waiters, &entry->waiter);
    }
}

void fetch_part_run(struct fetch_part *part)
{
    if (part->home == part->shard) part->is_out = true; /* else the home shard has said so */
    part->started_ns = clock_monotonic_ns();
    if (part_read(part) || (part->max_wait_ms == 0 && !part->is_cold) || part->shard->is_stopping) {
        part_finish(part);
        return;
    }
    part_drop_records(part);
    part_wait(part);
}

void fetch_wake(struct shard *shard, struct list_node *waiters)
{
    struct list_node *node;

    while ((node = list_pop_front(waiters)) != NULL) {
        struct fetch_part *part = container_of(node, struct fetch_part_entry, waiter)->part;

        list_remove(&part->ready_link);
        list_push_back(&shard->fetches_ready, &part->ready_link);
    }
}

void fetch_run_ready(struct shard *shard)
{
    struct list_node *node;

    while ((node = list_pop_front(&shard->fetches_ready)) != NULL) {
        struct fetch_part *part = container_of(node, struct fetch_part, ready_link);

        if (part_read(part) || (part->max_wait_ms == 0 && !part->is_cold) || shard->is_stopping) {
            part_finish(part);
        } else {
            part_drop_records(part);
            part_wait(part);
        }
    }
}

void fetch_stop_waiting(struct shard *shard)
{
    struct map_node *node = NULL;

    MESH_ASSERT(shard->is_stopping);
    while ((node = map_iterate(&shard->partitions, node)) != NULL)
        fetch_wake(shard, &container_of(node, struct shard_partition, node)->waiters);
    fetch_run_ready(shard);
}

/* ---- other shards ---- */

static void part_arrives(struct mail *mail)
{
    struct fetch_part *part = container_of(mail, struct fetch_part, mail);

    fetch_part_run(part);
}

void fetch_part_send(struct fetch_part *part)
{
    part->is_out = true;
    part->mail.deliver = part_arrives;
    shard_post(part->shard, &part->mail);
}

static void cancel_home(struct mail *mail)
{
    struct fetch_part *part = container_of(mail, struct fetch_part, cancel);

    part->is_out = part->is_canceling = false;
    fetch_part_settled(part->fetch);
}

static void cancel_arrives(struct mail *mail)
{
    struct fetch_part *part = container_of(mail, struct fetch_part, cancel);

    /* When it does not wait any more, its own mail is on the way home, ahead of this one. */
    part_stop_waiting(part);
    part->cancel.deliver = cancel_home;
    shard_post(part->home, &part->cancel);
}

void fetch_part_cancel(struct fetch_part *part)
{
    if (!part->is_out || part->is_canceling || part->is_forwarded) return;
    if (part->home == part->shard) {
        part_stop_waiting(part);
        part->is_out = false;
        return;
    }
    part->is_canceling = true;
    part->cancel.deliver = cancel_arrives;
    shard_post(part->shard, &part->cancel);
}
