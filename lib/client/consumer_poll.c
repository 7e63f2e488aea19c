/* Records out: batches as they arrive, checked while they are in the cache, iterated without copying. */
#include "client/consumer.h"

#include "base/assert.h"
#include "base/clock.h"
#include "client/group.h"

#include <stdlib.h>
#include <string.h>

/* ---- what the last poll lent ---- */

void consumer_release_polled(struct mesh_consumer *consumer)
{
    while (!list_is_empty(&consumer->retired))
        consumer_recycle_fetch(container_of(consumer->retired.next, struct fetch, node));
    while (!list_is_empty(&consumer->scratch_retired)) {
        struct list_node *node = list_pop_front(&consumer->scratch_retired);
        list_push_front(&consumer->scratch_idle, node);
    }
    consumer->scratch_bytes = 0;
    consumer->header_count = 0;
}

static struct scratch *take_scratch(struct mesh_consumer *consumer)
{
    struct list_node *node = list_pop_front(&consumer->scratch_idle);
    struct scratch *scratch;

    if (node != NULL) return container_of(node, struct scratch, node);
    scratch = calloc(1, sizeof(*scratch));
    if (scratch != NULL) list_init(&scratch->node);
    return scratch;
}

/* ---- a batch ---- */

static bool is_stale(const struct fetch_region *region)
{
    return region->assignment->consumer == NULL || region->assignment->generation != region->generation;
}

static int begin_batch(struct mesh_consumer *consumer, struct fetch_region *region, struct slice batch,
                       const struct record_batch_header *header)
{
    bool is_compressed = header->attributes & RECORD_ATTRIBUTE_COMPRESSION;
    struct buffer none = BUFFER_INIT;
    int err;

    if (is_compressed) {
        consumer->scratch = take_scratch(consumer);
        if (consumer->scratch == NULL) return MESH_ENOMEM;
        buffer_clear(&consumer->scratch->bytes);
    }
    err = record_iterator_init(&consumer->iterator, batch, is_compressed ? &consumer->scratch->bytes : &none,
                               CONSUMER_DECOMPRESSED_MAX);
    if (err != 0) {
        if (consumer->scratch != NULL) list_push_front(&consumer->scratch_idle, &consumer->scratch->node);
        consumer->scratch = NULL;
        return err;
    }
    if (consumer->scratch != NULL) consumer->scratch_bytes += consumer->scratch->bytes.size;
    consumer->is_iterating = true;
    consumer->iterating = region->assignment;
    consumer->iterating_generation = region->generation;
    return 0;
}

static void end_batch(struct mesh_consumer *consumer)
{
    consumer->is_iterating = false;
    consumer->iterating = NULL;
    if (consumer->scratch != NULL) list_push_back(&consumer->scratch_retired, &consumer->scratch->node);
    consumer->scratch = NULL;
}

/* ---- a record ---- */

/* Checks the encoded headers once, so that mesh_consumed_header() may trust them, and keeps where they are.
 */
static int keep_headers(struct mesh_consumer *consumer, const struct record *record,
                        const void **ret_internal)
{
    struct slice rest = record->headers_encoded;
    struct record_header header;
    uint32_t count = 0;
    int got;

    while ((got = record_header_next(&rest, &header)) == 1)
        count++;
    if (got != 0 || count != record->header_count) return MESH_ECORRUPT;
    MESH_ASSERT(consumer->header_count < consumer->header_capacity);
    consumer->headers[consumer->header_count] = record->headers_encoded;
    *ret_internal = &consumer->headers[consumer->header_count++];
    return 0;
}

/* Room for the headers of every record of this poll: pointers into it are given out. */
static int reserve_headers(struct mesh_consumer *consumer, size_t count)
{
    struct slice *headers;

    if (count <= consumer->header_capacity || consumer->header_count > 0) return 0;
    if (count > SIZE_MAX / sizeof(*headers)) return MESH_ENOMEM;
    headers = realloc(consumer->headers, count * sizeof(*headers));
    if (headers == NULL) return MESH_ENOMEM;
    consumer->headers = headers;
    consumer->header_capacity = count;
    return 0;
}

static int fill(struct mesh_consumer *consumer, const struct record *record, size_t record_max,
                struct mesh_consumed *to)
{
    const struct assignment *assignment = consumer->iterating;
    const struct record_batch_header *header = &consumer->iterator.header;
    int err = 0;

    to->topic = assignment->topic->name;
    to->partition = (int32_t)assignment->partition;
    to->offset = record->offset;
    to->timestamp_ms = header->attributes & RECORD_ATTRIBUTE_LOG_APPEND_TIME ? header->max_timestamp_ms
                                                                             : record->timestamp_ms;
    to->leader_epoch = header->leader_epoch;
    to->key = record->key_is_null ? NULL : record->key.data;
    to->key_size = record->key.size;
    to->value = record->value_is_null ? NULL : record->value.data;
    to->value_size = record->value.size;
    to->header_count = record->header_count;
    to->internal = NULL;
    if (record->header_count > 0) {
        err = reserve_headers(consumer, record_max);
        if (err == 0) err = keep_headers(consumer, record, &to->internal);
    }
    return err;
}

enum progress { PROGRESS, PROGRESS_FULL, PROGRESS_DRY };

struct polled {
    struct mesh_consumed *records;
    size_t count, max;
};

/* Ends the poll: the error is told at once when there are no records before it, else first thing by the next
 * poll. */
static enum progress partition_error(struct assignment *assignment, int error)
{
    assignment_stop(assignment, error);
    return PROGRESS_FULL;
}

/* Asked for once more, which tells the leader to look at what its disk has; the application is told of what came twice from one position. */
static enum progress found_damage(struct assignment *assignment)
{
    if (assignment->doubted_offset == assignment->position) return partition_error(assignment, MESH_ECORRUPT);
    assignment->doubted_offset = assignment->position;
    assignment_rewind(assignment, assignment->position);
    return PROGRESS;
}

/* Reads on in the batch at hand. PROGRESS: the batch has ended. */
static enum progress read_batch(struct mesh_consumer *consumer, struct polled *polled)
{
    struct assignment *assignment = consumer->iterating;
    struct record record;
    int got = 0, err = 0;

    if (assignment->consumer == NULL || assignment->generation != consumer->iterating_generation ||
        assignment->is_paused || assignment->is_held) {
        if (assignment->consumer != NULL && assignment->generation == consumer->iterating_generation)
            assignment_rewind(assignment, assignment->position);
        end_batch(consumer);
        return PROGRESS;
    }
    while (polled->count < polled->max && (got = record_iterator_next(&consumer->iterator, &record)) == 1) {
        if (record.offset < assignment->position) continue; /* the batch begins before the offset asked for */
        err = fill(consumer, &record, polled->max, &polled->records[polled->count]);
        if (err != 0) {
            got = err;
            break;
        }
        polled->count++;
        assignment->position = record.offset + 1;
        assignment_note_epoch(assignment, consumer->iterator.header.leader_epoch, record.offset);
    }
    /* What comes before damage is handed out as well. */
    if (consumer->group != NULL) group_note_polled(assignment);
    if (err == MESH_ENOMEM) { /* the iterator is beyond the record, the position is not: fetched again */
        assignment_rewind(assignment, assignment->position);
        end_batch(consumer);
        return PROGRESS_DRY;
    }
    if (got < 0) {
        end_batch(consumer);
        return partition_error(assignment, MESH_ECORRUPT);
    }
    if (polled->count == polled->max) return PROGRESS_FULL;
    end_batch(consumer);
    return PROGRESS;
}

/* ---- regions ---- */

/* The region has been read to its end. */
static void finish_region(struct fetch *fetch, struct fetch_region *region)
{
    struct assignment *assignment = region->assignment;
    bool is_empty = region->reached < 0;
    int64_t reached = is_empty ? region->next_offset : region->reached;

    if (!is_stale(region)) {
        if (reached > assignment->position) {
            assignment_note_epoch(assignment, is_empty ? -1 : region->reached_epoch, assignment->position);
            assignment->position = reached; /* behind control batches, or what is not there any more */
            if (assignment->consumer->group != NULL) group_note_polled(assignment);
        }
        /* The broker promised more than it sent: what was asked for since begins too far on. */
        if (!is_empty && region->next_offset > reached) assignment_rewind(assignment, assignment->position);
    }
    fetch_next_region(fetch);
}

/* The connection went while the batches came: the rest is asked for again. */
static void rewind_broken(struct fetch *fetch)
{
    for (; fetch_region_of(fetch) != NULL; fetch_next_region(fetch)) {
        struct fetch_region *region = fetch_region_of(fetch);
        if (is_stale(region)) continue;
        if (region->error != 0) region->assignment->is_stopped = false; /* not told: found out again */
        assignment_rewind(region->assignment, region->assignment->position);
    }
    fetch->at = fetch->size;
}

static enum progress read_region(struct mesh_consumer *consumer, struct fetch *fetch,
                                 struct fetch_region *region, struct polled *polled)
{
    struct record_batch_header header;
    struct slice batch;
    int err;

    switch (fetch_look(fetch, consumer->is_verifying, &batch, &header)) {
    case FETCH_END:
    case FETCH_REGION_END: finish_region(fetch, region); return PROGRESS;
    case FETCH_MORE: return PROGRESS_DRY;
    case FETCH_DAMAGED: fetch_next_region(fetch); return found_damage(region->assignment);
    case FETCH_BATCH: break;
    }
    if (consumer->scratch_bytes >= consumer->fetch_bytes_max && polled->count > 0) return PROGRESS_FULL;
    if (!(header.attributes & RECORD_ATTRIBUTE_CONTROL) &&
        record_batch_last_offset(&header) >= region->assignment->position) {
        err = begin_batch(consumer, region, batch, &header);
        if (err == MESH_ENOMEM) return PROGRESS_DRY;
        if (err != 0) {
            fetch_next_region(fetch);
            return partition_error(region->assignment, err);
        }
    }
    fetch_skip(fetch, header.size);
    if (record_batch_last_offset(&header) < INT64_MAX)
        region->reached = record_batch_last_offset(&header) + 1;
    region->reached_epoch = header.leader_epoch;
    return PROGRESS;
}

static enum progress read_fetch(struct mesh_consumer *consumer, struct fetch *fetch, struct polled *polled)
{
    struct fetch_region *region = fetch_region_of(fetch);
    enum progress progress;

    if (region == NULL) {
        bool has_arrived = fetch->filled == fetch->size || fetch->is_broken;
        if (!has_arrived) return PROGRESS_DRY; /* stale regions were skipped; their bytes still come */
        list_remove(&fetch->node);
        list_push_back(&consumer->retired, &fetch->node);
        return PROGRESS;
    }
    if (is_stale(region)) {
        fetch_next_region(fetch);
        return PROGRESS;
    }
    if (region->error != 0) {
        fetch_next_region(fetch);
        return partition_error(region->assignment, region->error);
    }
    if (region->assignment->is_paused || region->assignment->is_held) { /* fetched again when it is resumed */
        assignment_rewind(region->assignment, region->assignment->position);
        return PROGRESS;
    }
    progress = read_region(consumer, fetch, region, polled);
    if (progress == PROGRESS_DRY && fetch->is_broken) {
        rewind_broken(fetch);
        return PROGRESS;
    }
    return progress;
}

/* ---- the public calls ---- */

/* An assignment whose error waits to be told. */
static int tell_error(struct mesh_consumer *consumer)
{
    list_for_each(node, &consumer->assignments)
    {
        struct assignment *assignment = container_of(node, struct assignment, node);
        int error = assignment->error;
        if (error == 0) continue;
        assignment_clear_error(assignment);
        memcpy(consumer->error_topic, assignment->topic->name, strlen(assignment->topic->name) + 1);
        consumer->error_partition = (int32_t)assignment->partition;
        return client_fail(consumer->client, error, "reading partition %u of topic \"%s\" at offset %lld: %s",
                           assignment->partition, assignment->topic->name, (long long)assignment->position,
                           mesh_strerror(error));
    }
    return 0;
}

/* What was read before and is gone. Records of after it come later. */
static void tell_cuts(struct mesh_consumer *consumer)
{
    list_for_each(node, &consumer->assignments)
    {
        struct assignment *assignment = container_of(node, struct assignment, node);
        const struct mesh_truncation_info info = {.topic = assignment->topic->name,
                                                  .partition = (int32_t)assignment->partition,
                                                  .position = assignment->cut_from,
                                                  .offset = assignment->cut_to};

        if (assignment->cut_from < 0) continue;
        assignment_clear_cut(assignment);
        if (consumer->truncation != NULL) consumer->truncation(consumer->truncation_user, &info);
    }
}

/* Takes what is there without waiting. */
static int read_ready(struct mesh_consumer *consumer, struct polled *polled)
{
    enum progress progress = PROGRESS;

    while (progress == PROGRESS && polled->count < polled->max) {
        if (consumer->is_iterating) {
            progress = read_batch(consumer, polled);
        } else if (!list_is_empty(&consumer->ready)) {
            struct fetch *fetch = container_of(consumer->ready.next, struct fetch, node);
            progress = read_fetch(consumer, fetch, polled);
        } else {
            break;
        }
    }
    return polled->count == 0 && consumer->error_count > 0 ? tell_error(consumer) : 0;
}

/* Before records are looked for: what the group has brought about. *ret_may_read: whether what is claimed may be handed out now. */
static int turn_group(struct mesh_consumer *consumer, bool *ret_may_read)
{
    struct consumer_group *group = consumer->group;
    int err = 0;

    *ret_may_read = true;
    if (group == NULL) return 0;
    if (group->options.delivery == GROUP_AT_LEAST_ONCE) (void)group_store_polled(group); /* whoever polls again has handled them; what is being lost is told */
    /* With records always at hand nothing else would make the client take a turn. */
    if (clock_monotonic_ms() >= group->turned_ms + GROUP_TURN_MS && !consumer->client->is_dispatching) {
        err = client_step(consumer->client, 0);
        group->turned_ms = consumer->client->now_ms;
    }
    if (err == 0) err = group_turn(group);
    *ret_may_read = consumer_member_may_handle(group->member, consumer->client->now_ms);
    return err;
}

/* Records are about to be returned. At most once: not before they are committed; where that fails they are never returned. */
static int hand_out(struct mesh_consumer *consumer, const struct polled *polled)
{
    struct consumer_group *group = consumer->group;
    int err;

    if (group == NULL) return 0;
    group_handling(group, &polled->records[0]);
    if (group->options.delivery != GROUP_AT_MOST_ONCE) return 0;
    err = group_store_polled(group);
    if (err != 0) return client_fail(consumer->client, err, "what was read is not this member's any more: %s", mesh_strerror(err));
    return group_commit_wait(group, client_deadline(consumer->client, consumer->client->timeout_ms));
}

int mesh_consumer_poll(struct mesh_consumer *consumer, struct mesh_consumed *records, size_t record_max,
                       int timeout_ms, size_t *ret_count)
{
    struct mesh_client *client = consumer->client;
    struct polled polled = {records, 0, record_max};
    uint64_t deadline_ms = 0;
    bool has_waited = false, may_read;

    *ret_count = 0;
    if (record_max == 0)
        return client_fail(client, MESH_EINVAL, "there must be room for at least one record");
    if (consumer->group != NULL && consumer->group->is_turning) return client_fail(client, MESH_EINVAL, "a callback of a group may not poll");
    for (;;) {
        int err;
        consumer_release_polled(
            consumer); /* what the last poll lent; a round without records lends nothing */
        err = turn_group(consumer, &may_read);
        if (consumer->cut_count > 0) tell_cuts(consumer);
        if (err == 0 && may_read && !consumer->is_full) err = read_ready(consumer, &polled);
        if (err == 0 && polled.count > 0) err = hand_out(consumer, &polled);
        if (err == 0) *ret_count = polled.count;
        if (err != 0 || polled.count > 0) return err;
        if (!has_waited) deadline_ms = client_deadline(client, timeout_ms);
        if (has_waited && client->now_ms >= deadline_ms) return 0;
        has_waited = true;
        err = client_step(client, deadline_ms);
        if (err != 0) return err;
    }
}

int mesh_consumer_error_partition(const struct mesh_consumer *consumer, const char **ret_topic,
                                  int32_t *ret_partition)
{
    if (consumer->error_partition < 0) return MESH_ENOTFOUND;
    *ret_topic = consumer->error_topic;
    *ret_partition = consumer->error_partition;
    return 0;
}

int mesh_consumed_header(const struct mesh_consumed *record, size_t index, const char **ret_key,
                         size_t *ret_key_size, const void **ret_value, size_t *ret_value_size)
{
    struct record_header header;
    struct slice rest;

    if (index >= record->header_count) return MESH_EINVAL;
    rest = *(const struct slice *)record->internal;
    for (size_t i = 0; i <= index; i++)
        if (record_header_next(&rest, &header) != 1) return MESH_EINVAL;
    *ret_key = (const char *)header.key.data;
    *ret_key_size = header.key.size;
    *ret_value = header.value_is_null ? NULL : header.value.data;
    *ret_value_size = header.value.size;
    return 0;
}
