/* forward/fetch.c - a part of a fetch at another broker, and look-ups of offsets. The records of an answer stay where the link has put them;
 * all results share that memory. */
#include "base/error.h"
#include "cmd/broker/forward/call.h"
#include "cmd/broker/forward/forward.h"
#include "cmd/broker/forward/outlet.h"
#include "cmd/broker/forward/requests.h"
#include "cmd/broker/ops/shared_bytes.h"
#include "cmd/broker/runtime/long_memory.h"
#include "cmd/broker/runtime/shard.h"

#include <stdlib.h>

/* ---- fetch ---- */

struct forward_fetch {
    struct forward_call call;
    struct fetch_part *part;
    struct buffer head;
};

void forward_fetch_free(struct forward_fetch *fetch)
{
    if (fetch == NULL) return;
    buffer_deinit(&fetch->head);
    free(fetch);
}

static void fail_entries(struct fetch_part *part, int error)
{
    for (uint32_t i = 0; i < part->entry_count; i++) {
        struct fetch_part_entry *entry = &part->entries[i];

        entry->answer = (struct fetch_answer){
            .result = {.error = error, .next_offset = entry->request.offset, .leader_epoch = -1}, .is_answered = error != 0};
    }
}

/* One result's records, which hold the whole answer's memory. NULL: no memory. */
static struct fetch_records *make_records(struct shared_bytes *shared, struct slice bytes, uint64_t next_offset)
{
    struct fetch_records *records = calloc(1, sizeof(*records));

    if (records == NULL) return NULL;
    records->shared = shared_bytes_ref(shared);
    records->view.extents[0] = (struct plog_extent){.memory = bytes.data, .size = (uint32_t)bytes.size};
    records->view.extent_count = 1;
    records->view.size = (uint32_t)bytes.size;
    records->view.next_offset = next_offset;
    return records;
}

/* Without memory for records an entry has nothing to say, and is asked about again. */
static void take_results(struct forward_fetch *fetch, struct fetch_response_reader *reader, struct shared_bytes *shared)
{
    struct fetch_part *part = fetch->part;
    const uint8_t *at = fetch->call.attachment.data;
    struct fetch_result result;

    while (fetch_response_reader_next(reader, &result)) {
        struct slice bytes = slice_of(at, result.records_size);
        struct fetch_answer *answer;

        at += bytes.size;
        if (result.entry >= part->entry_count || part->entries[result.entry].answer.is_answered) continue;
        answer = &part->entries[result.entry].answer;
        if (bytes.size > 0) {
            answer->records = shared == NULL ? NULL : make_records(shared, bytes, result.next_offset);
            if (answer->records == NULL) {
                result.records_size = 0;
                result.next_offset = part->entries[result.entry].request.offset;
            }
        }
        answer->result = result;
        answer->is_answered = true;
    }
}

static void take_answer(struct forward_fetch *fetch)
{
    struct forward_call *call = &fetch->call;
    _Atomic uint64_t *counter = &call->home->broker->control.forwarded_bytes;
    struct fetch_response_reader reader;
    struct shared_bytes *shared = NULL;

    if (fetch_response_reader_init(&reader, call->message, call->header.attachment_size) != 0) {
        fail_entries(fetch->part, MESH_EPROTO);
        return;
    }
    fail_entries(fetch->part, 0);
    if (call->attachment.size > 0 && atomic_load_explicit(counter, memory_order_relaxed) < FORWARD_RECORDS_BYTES_MAX)
        shared = shared_bytes_new(call->answer, call->attachment.size, counter);
    take_results(fetch, &reader, shared);
    if (shared == NULL) return;
    call->answer = NULL; /* the records' now */
    shared_bytes_unref(shared);
}

static void fetch_home(struct forward_call *call)
{
    struct forward_fetch *fetch = container_of(call, struct forward_fetch, call);
    struct fetch_part *part = fetch->part;

    forward_note(call, 0);
    forward_outlet_learn(call, &part->entries[0].request.topic_id, part->entries[0].request.partition);
    if (call->error == 0)
        take_answer(fetch);
    else if (call->error == MESH_ECANCELED)
        fail_entries(part, 0); /* this broker stops: there is nothing to say */
    else
        fail_entries(part, call->error == MESH_ETIMEDOUT ? MESH_EUNREACHABLE : call->error);
    long_memory_give(call->answer);
    forward_fetch_free(fetch);
    part->is_out = false;
    fetch_part_finished(part->fetch, part);
}

static int encode_part(struct buffer *to, const struct fetch_part *part)
{
    static const uint8_t room[FRAME_HEADER_SIZE];
    uint32_t bytes_max = part->bytes_max < FORWARD_FETCH_BYTES_MAX ? part->bytes_max : FORWARD_FETCH_BYTES_MAX;
    int err = buffer_append(to, room, sizeof(room));

    if (err == 0) err = fetch_request_start(to, part->max_wait_ms, part->bytes_min, bytes_max);
    for (uint32_t i = 0; i < part->entry_count && err == 0; i++)
        err = fetch_request_add(to, &part->entries[i].request);
    return err;
}

int forward_fetch_prepare(struct fetch_part *part)
{
    struct forward_fetch *fetch = calloc(1, sizeof(*fetch));

    if (fetch == NULL || encode_part(&fetch->head, part) != 0) {
        forward_fetch_free(fetch);
        return MESH_ENOMEM;
    }
    fetch->part = part;
    fetch->call = (struct forward_call){.broker = part->leader.broker,
                                        .may_stream = part->leader.has_shard,
                                        .peer_shard = part->leader.shard,
                                        .op = FRAME_OP_FETCH,
                                        .expects_answer = true,
                                        .timeout_ms = part->max_wait_ms + FORWARD_READ_MS,
                                        .head = fetch->head.data,
                                        .message_size = fetch->head.size - FRAME_HEADER_SIZE,
                                        .patience_ms = part->max_wait_ms,
                                        .from = part->from != NULL ? *part->from : (struct sockaddr_in6){0},
                                        .from_id = part->correlation_id,
                                        .done = fetch_home};
    part->call = fetch;
    return 0;
}

void forward_fetch_send(struct fetch_part *part)
{
    struct forward_fetch *fetch = part->call;

    part->call = NULL;
    part->is_out = true;
    forward_submit(part->home, &fetch->call);
}

/* ---- offsets ---- */

struct forward_offsets {
    struct forward_call call;
    struct buffer head;
    size_t count;
    list_offsets_done_fn *done;
    void *owner;
    uint64_t tag;
};

static void offsets_home(struct forward_call *call)
{
    struct forward_offsets *offsets = container_of(call, struct forward_offsets, call);
    struct list_offsets_result failure = {.error = call->error, .offset = -1, .timestamp_ms = -1, .leader_epoch = -1};
    struct message_list_offsets_response body;
    bool is_decoded;

    forward_note(call, 0);
    if (failure.error == MESH_ETIMEDOUT) failure.error = MESH_EUNREACHABLE;
    if (failure.error == 0) failure.error = message_decode_list_offsets_response(call->message, &body);
    is_decoded = failure.error == 0;
    if (is_decoded && body.result_count != offsets->count) failure.error = MESH_EPROTO;
    for (size_t i = 0; i < offsets->count; i++)
        offsets->done(offsets->owner, offsets->tag + i, failure.error == 0 ? &body.results[i] : &failure);
    if (is_decoded) message_deinit_list_offsets_response(&body);
    long_memory_give(call->answer);
    buffer_deinit(&offsets->head);
    free(offsets);
}

int forward_list_offsets(struct shard *shard, const struct uuid *leader, struct list_offsets_entry *entries, size_t count, uint32_t timeout_ms,
                         list_offsets_done_fn *done, void *owner, uint64_t tag)
{
    static const uint8_t room[FRAME_HEADER_SIZE];
    struct forward_offsets *offsets = calloc(1, sizeof(*offsets));
    struct message_list_offsets_request body = {.entries = entries, .entry_count = count};

    if (offsets == NULL) return MESH_ENOMEM;
    if (buffer_append(&offsets->head, room, sizeof(room)) != 0 || message_encode_list_offsets_request(&offsets->head, &body) != 0) {
        buffer_deinit(&offsets->head);
        free(offsets);
        return MESH_ENOMEM;
    }
    offsets->count = count;
    offsets->done = done;
    offsets->owner = owner;
    offsets->tag = tag;
    offsets->call = (struct forward_call){.broker = *leader,
                                          .op = FRAME_OP_LIST_OFFSETS,
                                          .expects_answer = true,
                                          .timeout_ms = timeout_ms,
                                          .head = offsets->head.data,
                                          .message_size = offsets->head.size - FRAME_HEADER_SIZE,
                                          .done = offsets_home};
    forward_submit(shard, &offsets->call);
    return 0;
}
