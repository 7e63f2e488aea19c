/* broker/front/kafka/produce.c - PRODUCE: the batches stay where they were received, and the answer is written before the results are known. */
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/kafka.h"
#include "cmd/broker/front/kafka/topics.h"

#include "base/assert.h"
#include "base/error.h"
#include "cmd/broker/ops/produce_local.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/produce.h"

#include <stdio.h>

#define PRODUCE_MESSAGE_SETS 2 /* up to this version requests carry the old message formats */

struct produce_state {
    uint32_t entry_count;
    uint32_t submitted; /* entries that were begun, when the request waits for memory */
    size_t places[];    /* of each entry's result, in the answer */
};

/* Who wants no answer learns of a refusal by the end of the connection, after the answers that are owed: it asks for metadata again then. */
static void end_silent(struct kafka_call *call, int16_t code)
{
    struct kafka_session *session = call->session;
    char line[120];

    if (session == NULL || session->is_finishing) return;
    session->is_finishing = true;
    snprintf(line, sizeof(line), "closes a connection of Kafka's protocol, whose records without acknowledgement were refused code=%d", code);
    connection_complain(call->connection, line);
}

static void set_outcome(struct kafka_call *call, uint64_t entry, const struct kafka_produce_outcome *outcome)
{
    const struct produce_state *state = call->state;

    kafka_produce_response_set(call->bytes.data + state->places[entry], call->version, outcome);
    if (call->is_silent && outcome->error_code != KAFKA_CODE_NONE) end_silent(call, outcome->error_code);
}

static void on_done(void *owner, uint64_t tag, const struct produce_result *result)
{
    struct kafka_call *call = owner;
    struct kafka_produce_outcome outcome = {.error_code = kafka_code_of(result->error), .base_offset = -1, .log_append_time_ms = -1,
                                            .log_start_offset = -1};

    if (result->error == 0) {
        outcome.base_offset = (int64_t)result->base_offset;
        outcome.log_append_time_ms = result->append_time_ms;
    }
    set_outcome(call, tag, &outcome);
    kafka_call_leave(call);
}

/* ---- the answer, before it is known ---- */

static int write_skeleton(struct kafka_call *call, struct kafka_produce_reader reader)
{
    struct produce_state *state = call->state;
    struct kafka_produce_entry entry;
    int err = kafka_produce_response_start(&call->bytes, call->version, reader.filled_count);

    for (uint32_t i = 0; err == 0 && kafka_produce_reader_next(&reader, &entry); i++) {
        if (entry.is_first) err = kafka_produce_response_topic(&call->bytes, call->version, &entry, i == 0);
        if (err == 0) err = kafka_produce_response_partition(&call->bytes, call->version, entry.partition, &state->places[i]);
    }
    return err != 0 ? err : kafka_produce_response_end(&call->bytes, call->version, reader.filled_count);
}

static struct kafka_call *call_begin(const struct kafka_request *request, const struct kafka_produce_reader *reader)
{
    /* Of few entries it weighs nothing: produce requests are many. */
    struct kafka_call *call = kafka_call_new(request, connection_weight(reader->entry_count) - 1, false, kafka_call_done);
    struct produce_state *state;

    if (call == NULL) return NULL;
    state = arena_alloc(&call->arena, 1, sizeof(*state) + reader->entry_count * sizeof(state->places[0]));
    call->state = state;
    call->is_silent = reader->acks == 0;
    if (state != NULL) state->entry_count = reader->entry_count;
    if (state != NULL && write_skeleton(call, *reader) == 0) return call;
    call->out = 0;
    kafka_call_fail(call);
    return NULL;
}

/* ---- entries ---- */

/* What can be said of an entry without asking its partition. */
static int16_t judge(const struct kafka_call *call, const struct kafka_produce_reader *reader, const struct kafka_produce_entry *entry,
                     struct produce_entry *ret_entry)
{
    const struct image *image = call->connection->shard->image;
    int16_t code;

    if (reader->acks < -1 || reader->acks > 1) return KAFKA_CODE_INVALID_REQUIRED_ACKS;
    if (call->version <= PRODUCE_MESSAGE_SETS || reader->is_transactional) return KAFKA_CODE_UNSUPPORTED_VERSION;
    code = kafka_topic_resolve(image, call->version >= 13, entry->topic, &entry->topic_id, &ret_entry->topic_id);
    if (code != KAFKA_CODE_NONE) return code;
    if (entry->partition < 0) return KAFKA_CODE_UNKNOWN_TOPIC_OR_PARTITION;
    if (entry->records.size == 0) return KAFKA_CODE_INVALID_RECORD;
    ret_entry->partition = (uint32_t)entry->partition;
    ret_entry->leader_epoch = -1;
    ret_entry->batch_size = (uint32_t)entry->records.size;
    return KAFKA_CODE_NONE;
}

/* Submits one. MESH_EAGAIN: it waits for memory, unless it has waited for as long as its producer does. */
static int submit(struct kafka_call *call, const struct kafka_produce_reader *reader, const struct kafka_produce_entry *entry, uint32_t index)
{
    struct connection *connection = call->connection;
    struct shard *shard = connection->shard;
    const struct produce_terms terms = {reader->acks, reader->timeout_ms > 0 ? (uint32_t)reader->timeout_ms : 0, true, &connection->peer.v6,
                                        (uint32_t)call->correlation_id};
    const struct produce_done done = {on_done, call, index};
    struct produce_entry ours;
    int16_t code = judge(call, reader, entry, &ours);
    int err;

    if (code != KAFKA_CODE_NONE) {
        set_outcome(call, index, &(struct kafka_produce_outcome){code, -1, -1, -1});
        return 0;
    }
    call->out++;
    /* The bytes are the connection's own, and writable. */
    err = produce_submit(shard, &ours, (uint8_t *)(uintptr_t)entry->records.data, &terms, done);
    if (err == 0) return 0;
    call->out--;
    if (terms.timeout_ms == 0 || connection->wait_since_ms == 0 || shard->now_ms < connection->wait_since_ms + terms.timeout_ms) return err;
    set_outcome(call, index, &(struct kafka_produce_outcome){kafka_code_of(MESH_EBUSY), -1, -1, -1});
    return 0;
}

/* Submits those that are left. */
static enum serve submit_entries(const struct kafka_request *request, struct kafka_call *call, struct kafka_produce_reader *reader)
{
    struct connection *connection = request->connection;
    struct produce_state *state = call->state;
    struct kafka_produce_entry entry;

    for (uint32_t i = 0; kafka_produce_reader_next(reader, &entry); i++) {
        if (i < state->submitted) continue;
        if (submit(call, reader, &entry, i) == MESH_EAGAIN) {
            request->session->waiting = call;
            kafka_call_charge(call);
            return SERVE_WAIT;
        }
        state->submitted++;
        if (call->session == NULL) break; /* an answer that came meanwhile found no memory: the connection, and these bytes, are gone */
    }
    kafka_call_leave(call);
    return kafka_served(connection);
}

enum serve kafka_serve_produce(const struct kafka_request *request)
{
    struct kafka_call *call = request->session->waiting;
    struct kafka_produce_reader reader;

    if (kafka_produce_reader_init(&reader, request->header.version, request->header.message) != 0 || reader.entry_count > MESSAGE_ENTRIES_MAX)
        return kafka_refuse(request, "a produce request cannot be read, or has too many partitions");
    request->session->waiting = NULL;
    if (call == NULL) call = call_begin(request, &reader);
    return call == NULL ? SERVE_GONE : submit_entries(request, call, &reader);
}
