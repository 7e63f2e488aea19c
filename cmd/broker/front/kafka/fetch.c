/* broker/front/kafka/fetch.c - FETCH: the answer names every partition that was asked for, and the records go out from where they lie.
 *
 * Sessions (KIP-227) are not kept: the answer's session id is 0, so every request and every answer is a whole one. */
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/kafka.h"
#include "cmd/broker/front/kafka/topics.h"

#include "base/error.h"
#include "cmd/broker/ops/fetch.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/fetch.h"
#include "kafka/messages.h"

#define FETCH_TOPIC_ID       13
#define FETCH_OLD_READER_MAX 4 /* kafka-python up to 2.0.2, which gives control records to its user; those that know more know to skip them, too */

struct fetch_slot {
    int32_t partition;
    int16_t code;   /* known without asking */
    int32_t answer; /* index among the entries that were submitted; -1: it was not */
};

struct fetch_topic {
    struct slice name; /* in the call's arena */
    struct uuid topic_id;
    int32_t count;
    struct fetch_slot *slots;
};

struct fetch_state {
    int16_t code;
    int32_t topic_count;
    struct fetch_topic *topics;
    uint32_t submitted;
    bool has_refused; /* an entry has an error already: nothing is waited for */
    struct buffer entries; /* as fetch_submit() reads them; ended with the handler */
};

/* ---- the answer ---- */

static int write_slot(struct kafka_call *call, const struct fetch_slot *slot, struct fetch_answer *answers)
{
    struct fetch_answer *answer = slot->answer >= 0 && answers != NULL ? &answers[slot->answer] : NULL;
    struct kafka_fetch_outcome outcome = {slot->partition, slot->code, -1, -1, 0};
    int err;

    if (answer != NULL && answer->is_answered) {
        outcome.error_code = kafka_code_of(answer->result.error);
        if (answer->result.error == 0) {
            outcome.high_watermark = (int64_t)answer->result.high_watermark;
            outcome.log_start_offset = (int64_t)answer->result.log_start;
        }
        if (answer->records != NULL) outcome.records_size = (uint32_t)answer->records->view.size;
    }
    err = kafka_fetch_response_partition(&call->bytes, call->version, &outcome);
    if (err == 0 && outcome.records_size > 0) {
        call->cuts[call->cut_count++] = (struct kafka_cut){call->bytes.size, answer->records};
        answer->records = NULL;
    }
    return err != 0 ? err : kafka_fetch_response_partition_end(&call->bytes, call->version);
}

static int write_answer(struct kafka_call *call, struct fetch_answer *answers, uint32_t count)
{
    const struct fetch_state *state = call->state;
    int err = kafka_fetch_response_start(&call->bytes, call->version, state->code, state->topic_count);

    call->cuts = arena_alloc(&call->arena, count > 0 ? count : 1, sizeof(*call->cuts));
    if (err == 0 && call->cuts == NULL) err = MESH_ENOMEM;
    for (int32_t t = 0; t < state->topic_count && err == 0; t++) {
        const struct fetch_topic *topic = &state->topics[t];

        err = kafka_fetch_response_topic(&call->bytes, call->version, topic->name, &topic->topic_id, topic->count);
        for (int32_t p = 0; p < topic->count && err == 0; p++)
            err = write_slot(call, &topic->slots[p], answers);
        if (err == 0) err = kafka_fetch_response_topic_end(&call->bytes, call->version);
    }
    return err != 0 ? err : kafka_fetch_response_end(&call->bytes, call->version);
}

static void on_done(void *owner, uint64_t tag, struct fetch_answer *answers, uint32_t count)
{
    struct kafka_call *call = owner;

    (void)tag;
    call->is_fetch = false;
    if (write_answer(call, answers, count) != 0) call->finish = kafka_call_fail;
    kafka_call_leave(call);
}

/* ---- the request ---- */

static int add_slot(struct kafka_call *call, const struct fetch_topic *topic, const struct kafka_fetch_request_partition *partition,
                    int16_t code, struct fetch_slot *slot)
{
    struct fetch_state *state = call->state;
    struct fetch_entry entry = {
        .topic_id = topic->topic_id,
        .partition = (uint32_t)partition->partition,
        .leader_epoch = partition->current_leader_epoch < 0 ? -1 : partition->current_leader_epoch,
        .offset = (uint64_t)partition->fetch_offset,
        .bytes_max = partition->partition_max_bytes > 0 ? (uint32_t)partition->partition_max_bytes : 0,
        .skips_control = call->version <= FETCH_OLD_READER_MAX,
    };
    int err;

    if (code == KAFKA_CODE_NONE && partition->partition < 0) code = KAFKA_CODE_UNKNOWN_TOPIC_OR_PARTITION;
    if (code == KAFKA_CODE_NONE && partition->fetch_offset < 0) code = kafka_code_of(MESH_EOFFSET_OUT_OF_RANGE);
    *slot = (struct fetch_slot){partition->partition, code, -1};
    if (code != KAFKA_CODE_NONE) {
        state->has_refused = true;
        return 0;
    }
    err = fetch_request_add(&state->entries, &entry);
    if (err == 0) slot->answer = (int32_t)state->submitted++;
    return err;
}

static int add_topic(struct kafka_call *call, const struct kafka_fetch_request_topic *asked, struct fetch_topic *topic)
{
    const struct image *image = call->connection->shard->image;
    struct uuid topic_id = asked->topic_id;
    int16_t code = kafka_topic_resolve(image, call->version >= FETCH_TOPIC_ID, asked->topic, &asked->topic_id, &topic_id);
    uint8_t *name = arena_alloc(&call->arena, asked->topic.size, 1);
    int err = 0;

    topic->topic_id = topic_id;
    topic->count = asked->partitions.count;
    topic->slots = arena_alloc(&call->arena, (size_t)topic->count, sizeof(*topic->slots));
    if (name == NULL || topic->slots == NULL) return MESH_ENOMEM;
    if (asked->topic.size > 0) memcpy(name, asked->topic.data, asked->topic.size);
    topic->name = slice_of(name, asked->topic.size);
    for (int32_t p = 0; p < topic->count && err == 0; p++)
        err = add_slot(call, topic, &asked->partitions.items[p], code, &topic->slots[p]);
    return err;
}

static int prepare(struct kafka_call *call, const struct kafka_fetch_request *asked)
{
    struct fetch_state *state = call->state;
    int err = fetch_request_start(&state->entries, 0, 0, 0);

    if (asked->session_id != 0 && asked->session_epoch > 0) { /* of a session that nobody here has given out */
        state->code = KAFKA_CODE_FETCH_SESSION_ID_NOT_FOUND;
        return err;
    }
    state->topics = arena_alloc(&call->arena, (size_t)asked->topics.count, sizeof(*state->topics));
    if (state->topics == NULL) return MESH_ENOMEM;
    for (; state->topic_count < asked->topics.count && err == 0; state->topic_count++)
        err = add_topic(call, &asked->topics.items[state->topic_count], &state->topics[state->topic_count]);
    return err;
}

static uint32_t bounded(int32_t value, uint64_t limit)
{
    if (value < 0) return 0;
    return (uint64_t)value < limit ? (uint32_t)value : (uint32_t)limit;
}

static int start(struct kafka_call *call, const struct kafka_fetch_request *asked)
{
    struct connection *connection = call->connection;
    const struct settings *settings = &connection->shard->broker->settings;
    struct fetch_state *state = call->state;
    struct fetch_request_reader reader;
    struct fetch_options options = {
        .max_wait_ms = state->has_refused || state->code != 0 ? 0 : bounded(asked->max_wait_ms, settings->fetch_wait_ms_max),
        .bytes_min = bounded(asked->min_bytes, settings->fetch_bytes_max),
        .bytes_max = bounded(asked->max_bytes, settings->fetch_bytes_max),
        .forwards = true,
        .from = &connection->peer.v6,
        .correlation_id = (uint32_t)call->correlation_id,
        .done = on_done,
        .owner = call,
        .fetches = &call->session->fetches,
    };
    int err = fetch_request_reader_init(&reader, buffer_slice(&state->entries));

    if (err != 0) return err;
    call->out++;
    call->is_fetch = true;
    err = fetch_submit(connection->shard, &options, &reader);
    if (err == 0) return 0;
    call->out--;
    call->is_fetch = false;
    return err;
}

static uint32_t count_partitions(const struct kafka_fetch_request *asked)
{
    uint32_t count = 0;

    for (int32_t t = 0; t < asked->topics.count; t++)
        count += (uint32_t)asked->topics.items[t].partitions.count;
    return count;
}

static enum serve serve(const struct kafka_request *request, const struct kafka_fetch_request *asked)
{
    struct connection *connection = request->connection;
    struct kafka_call *call = kafka_call_new(request, connection_weight(count_partitions(asked)), true, kafka_call_done);
    struct fetch_state *state;
    struct buffer entries;
    int err = MESH_ENOMEM;

    if (call == NULL) return SERVE_GONE;
    state = call->state = arena_alloc(&call->arena, 1, sizeof(*state));
    if (state != NULL) err = prepare(call, asked);
    entries = state == NULL ? (struct buffer)BUFFER_INIT : state->entries;
    if (err == 0) err = start(call, asked);
    buffer_deinit(&entries); /* they were read when the fetch began */
    if (err != 0) call->finish = kafka_call_fail;
    kafka_call_leave(call);
    return kafka_served(connection);
}

enum serve kafka_serve_fetch(const struct kafka_request *request)
{
    struct arena arena = ARENA_INIT;
    struct kafka_fetch_request asked;
    enum serve result;

    if (kafka_request_decode(request, &arena, &asked) == 0 && count_partitions(&asked) <= MESSAGE_ENTRIES_MAX)
        result = serve(request, &asked);
    else
        result = kafka_refuse(request, "a fetch request cannot be read, or asks for too many partitions");
    arena_deinit(&arena);
    return result;
}
