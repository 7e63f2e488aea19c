/* Resolving "beginning", "end" and times to offsets: LIST_OFFSETS to the leaders, many partitions in one
 * call.
 *
 * In the same calls another leader is asked where the epoch ends of the record before the position (KIP-320). Its log holds that record if it ends there or further on:
 * records of one epoch were written by one leader, one after the other. Else an election accepted a loss, and what was read beyond that end is gone: others
 * stand, or will stand, at the same offsets. A log that has nothing of that epoch may be longer for all that, with records of an older one that were lost before: all that was
 * read of the epoch is gone then, wherever the older one ends. */
#include "client/consumer.h"

#include "base/assert.h"
#include "client/group.h"
#include "client/pool.h"
#include "wire/message.h"

#include <stdlib.h>

#define OFFSETS_PER_CALL 1000
#define EPOCH_END        (-6) /* as a timestamp: where an epoch ends */

struct offset_call {
    struct list_node node;
    struct mesh_consumer *consumer;
    struct call *call;
    struct fetch_ask *asks; /* owned array */
    size_t ask_count;
};

static void free_offset_call(struct offset_call *offset_call)
{
    for (size_t i = 0; i < offset_call->ask_count; i++)
        assignment_unref(offset_call->asks[i].assignment);
    list_remove(&offset_call->node);
    call_free(offset_call->call);
    free(offset_call->asks);
    free(offset_call);
}

void consumer_forget_offset_calls(struct mesh_consumer *consumer)
{
    list_for_each_safe(node, &consumer->offset_calls)
        free_offset_call(container_of(node, struct offset_call, node));
}

/* Whether the answer for this ask still matters. */
static bool is_current(const struct fetch_ask *ask)
{
    const struct assignment *assignment = ask->assignment;

    return assignment->consumer != NULL && assignment->generation == ask->generation &&
           assignment->is_resolving;
}

/* What lies between `offset`, the end of `epoch`, and the position is not in the log any more. Reading goes on where logs part: nothing is left out. */
static void take_cut(struct assignment *assignment, int64_t offset, int32_t epoch)
{
    struct mesh_consumer *consumer = assignment->consumer;

    assignment_clear_cut(assignment);
    assignment->cut_from = assignment->position;
    assignment->cut_to = offset;
    consumer->cut_count++;
    if (consumer->truncation_policy == MESH_TRUNCATION_STOP) {
        assignment_stop(assignment, MESH_EOFFSET_OUT_OF_RANGE);
        return;
    }
    assignment_rewind(assignment, offset);
    assignment_note_epoch(assignment, epoch, offset);
    if (consumer->group != NULL) group_note_polled(assignment);
}

/* Where the leader's log parts from what was read: no later than that. The position: nowhere. */
static int64_t parts_at(const struct assignment *assignment, const struct list_offsets_result *result)
{
    int64_t offset = result->offset < assignment->position ? result->offset : assignment->position;

    return result->leader_epoch < assignment->position_epoch && assignment->epoch_from < offset ? assignment->epoch_from : offset;
}

static void take_check(struct assignment *assignment, const struct list_offsets_result *result)
{
    struct mesh_pool *pool = assignment->consumer->pool;
    bool is_known = result->error == 0 && result->offset >= 0; /* an older broker knows no ends of epochs */
    int64_t offset = is_known ? parts_at(assignment, result) : assignment->position;
    bool is_cut = is_known && (offset < assignment->position || result->leader_epoch < assignment->position_epoch);

    if (is_cut && pool != NULL && assignment->consumer->truncation_policy != MESH_TRUNCATION_STOP &&
        !pool_set_back(pool, assignment, offset, result->leader_epoch)) {
        assignment_retry_later(assignment);
        return;
    }
    assignment->must_check = false;
    assignment->failures = 0;
    if (is_cut) take_cut(assignment, offset, result->leader_epoch);
    else assignment_update(assignment);
}

static void take_result(struct assignment *assignment, const struct list_offsets_result *result)
{
    assignment->is_resolving = false;
    if (assignment->must_check && (result->error == 0 || result->error == MESH_EINVAL)) {
        take_check(assignment, result);
        return;
    }
    if (result->error != 0) {
        bool is_missing = result->error == MESH_EUNKNOWN_TOPIC && topic_is_missing(assignment->topic);
        topic_refresh(assignment->topic);
        if (mesh_error_is_retriable(result->error) && !is_missing)
            assignment_retry_later(assignment);
        else
            assignment_stop(assignment, result->error);
        return;
    }
    if (result->offset < 0) { /* no record is that young: the end, then */
        if (assignment->resolve_ms < 0)
            assignment_stop(assignment, MESH_EPROTO);
        else
            assignment->resolve_ms = MESH_OFFSET_END;
        assignment_update(assignment);
        return;
    }
    assignment->is_resolved = true;
    assignment->failures = 0;
    assignment_rewind(assignment, result->offset);
}

static void answered(struct call *call, int err, struct slice message)
{
    struct offset_call *offset_call = call->user;
    struct message_list_offsets_response response = {0};

    if (err == 0) err = message_decode_list_offsets_response(message, &response);
    if (err == 0 && response.result_count != offset_call->ask_count) {
        message_deinit_list_offsets_response(&response);
        err = MESH_EPROTO;
    }
    for (size_t i = 0; i < offset_call->ask_count; i++) {
        const struct list_offsets_result failure = {.error = err};
        if (is_current(&offset_call->asks[i]))
            take_result(offset_call->asks[i].assignment, err == 0 ? &response.results[i] : &failure);
    }
    if (err == 0) message_deinit_list_offsets_response(&response);
    free_offset_call(offset_call);
}

static int32_t leader_of(const struct assignment *assignment)
{
    const struct topic *topic = assignment->topic;

    return topic->is_known && assignment->partition < topic->partition_count
               ? topic->partitions[assignment->partition].leader
               : -1;
}

static int new_offset_call(struct mesh_consumer *consumer, struct offset_call **ret_offset_call)
{
    struct offset_call *offset_call = calloc(1, sizeof(*offset_call));
    int err;

    if (offset_call == NULL) return MESH_ENOMEM;
    offset_call->consumer = consumer;
    list_init(&offset_call->node);
    offset_call->asks = calloc(OFFSETS_PER_CALL, sizeof(*offset_call->asks));
    err = offset_call->asks == NULL
              ? MESH_ENOMEM
              : call_new(consumer->client, FRAME_OP_LIST_OFFSETS, answered, offset_call, &offset_call->call);
    if (err == 0) offset_call->call->patience_ms = CALL_PATIENCE_MS;
    if (err != 0) {
        free_offset_call(offset_call);
        return err;
    }
    *ret_offset_call = offset_call;
    return 0;
}

static struct list_offsets_entry entry_of(const struct assignment *assignment)
{
    const struct topic *topic = assignment->topic;
    struct list_offsets_entry entry = {.topic_id = topic->id, .partition = assignment->partition, .timestamp_ms = assignment->resolve_ms};

    if (!assignment->must_check) return entry;
    entry.timestamp_ms = EPOCH_END;
    entry.epoch = assignment->position_epoch;
    /* One that led before does not know what has been cut since. */
    if (assignment->partition < topic->partition_count) entry.leader_epoch_plus_one = (uint32_t)(topic->partitions[assignment->partition].leader_epoch + 1);
    return entry;
}

static int encode(struct offset_call *offset_call)
{
    struct list_offsets_entry *entries = calloc(offset_call->ask_count, sizeof(*entries));
    struct message_list_offsets_request request = {
        .entries = entries, .entry_count = offset_call->ask_count, .forwards = true}; /* whoever answers, by its leaders */
    int err;

    if (entries == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < offset_call->ask_count; i++)
        entries[i] = entry_of(offset_call->asks[i].assignment);
    err = message_encode_list_offsets_request(&offset_call->call->message, &request);
    free(entries);
    return err;
}

/* One call for the unresolved assignments that the first one's leader leads. */
static int ask_leader(struct mesh_consumer *consumer, int32_t leader)
{
    struct offset_call *offset_call = NULL;
    int err = new_offset_call(consumer, &offset_call);

    if (err != 0) return err;
    list_for_each_safe(node, &consumer->unresolved)
    {
        struct assignment *assignment = container_of(node, struct assignment, state_node);
        if (leader_of(assignment) != leader || offset_call->ask_count == OFFSETS_PER_CALL) continue;
        assignment->reference_count++;
        offset_call->asks[offset_call->ask_count++] = (struct fetch_ask){assignment, assignment->generation};
    }
    err = encode(offset_call);
    if (err != 0) {
        free_offset_call(offset_call);
        return err;
    }
    for (size_t i = 0; i < offset_call->ask_count; i++) {
        offset_call->asks[i].assignment->is_resolving = true;
        assignment_update(offset_call->asks[i].assignment);
    }
    list_push_back(&consumer->offset_calls, &offset_call->node);
    offset_call->call->node_id = leader;
    call_start(offset_call->call, consumer->client->now_ms + (uint64_t)consumer->client->timeout_ms);
    return 0;
}

void consumer_resolve(struct mesh_consumer *consumer)
{
    struct list_node skipped;
    struct list_node *node;

    list_init(&skipped);
    while (!list_is_empty(&consumer->unresolved)) {
        struct assignment *assignment =
            container_of(consumer->unresolved.next, struct assignment, state_node);
        int32_t leader = leader_of(assignment);
        if (leader >= 0 && ask_leader(consumer, leader) == 0) continue;
        topic_refresh(assignment->topic);
        list_remove(&assignment->state_node);
        list_push_back(&skipped, &assignment->state_node);
    }
    while ((node = list_pop_front(&skipped)) != NULL)
        list_push_back(&consumer->unresolved, node);
}
