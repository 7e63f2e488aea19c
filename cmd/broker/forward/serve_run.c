/* forward/serve_run.c - what another broker asks, on the shard that has it: from the request's bytes to the answer's. */
#include "cmd/broker/forward/serve_internal.h"

#include "base/error.h"
#include "cmd/broker/forward/describe.h"
#include "cmd/broker/ops/fetch.h"
#include "cmd/broker/runtime/long_memory.h"
#include "cmd/broker/runtime/shard.h"

#include <stdlib.h>
#include <unistd.h>

static void go_home(struct forward_serve *serve)
{
    serve->home(serve);
}

static void fail(struct forward_serve *serve, int error)
{
    serve->error = error;
    go_home(serve);
}

/* Room for the frame's header, to be filled by head_finish() when the message stands behind it. */
static int head_start(struct forward_serve *serve)
{
    static const uint8_t room[FRAME_HEADER_SIZE];

    buffer_clear(&serve->head);
    return buffer_append(&serve->head, room, sizeof(room));
}

static void head_finish(struct forward_serve *serve)
{
    struct frame_header header = {.flags = FRAME_FLAG_RESPONSE,
                                  .op = serve->op,
                                  .correlation_id = serve->id,
                                  .message_size = (uint32_t)(serve->head.size - FRAME_HEADER_SIZE),
                                  .attachment_size = (uint32_t)serve->body_size};

    frame_write_header(serve->head.data, &header, serve->head.data + FRAME_HEADER_SIZE);
}

/* ---- produce ---- */

static void on_produced(void *owner, uint64_t tag, const struct produce_result *result)
{
    struct forward_serve *serve = owner;
    int err;

    (void)tag;
    serve->told = result->error;
    err = head_start(serve);
    if (err == 0) err = produce_response_add(&serve->head, result);
    if (err == 0) head_finish(serve);
    /* It was done: without memory to say so nothing is said, and the other end's time runs out. */
    if (err != 0) serve->produce.terms.acks = 0;
    go_home(serve);
}

static int start_produce(struct forward_serve *serve)
{
    struct produce_request_reader reader;
    struct produce_entry entry;

    if (produce_request_reader_init(&reader, serve->message, (uint32_t)(serve->bytes + serve->size - serve->attachment)) != 0 ||
        reader.entry_count != 1 || !produce_request_reader_next(&reader, &entry))
        return MESH_EPROTO;
    serve->produce = (struct produce_foreign){.shard = serve->shard,
                                              .entry = entry,
                                              .batch = serve->attachment,
                                              .terms = {.acks = reader.acks, .timeout_ms = reader.timeout_ms},
                                              .done = {on_produced, serve, 0},
                                              .received_ms = serve->shard->now_ms};
    list_init(&serve->produce.link);
    produce_foreign(&serve->produce);
    return 0;
}

/* ---- fetch ---- */

static int read_file(const struct plog_extent *extent, uint8_t *to)
{
    size_t at = 0;

    while (at < extent->size) {
        ssize_t size = pread(extent->file->fd, to + at, extent->size - at, (off_t)(extent->position + at));

        if (size <= 0) return MESH_EIO; /* cut under our feet, or the disk */
        at += (size_t)size;
    }
    return 0;
}

/* Any thread; one that may wait when some of it lies in files. */
static int copy_records(struct forward_serve *serve)
{
    uint8_t *to = serve->body;

    for (const struct fetch_records *records = serve->records; records != NULL; records = records->next) {
        for (uint32_t i = 0; i < records->view.extent_count; i++) {
            const struct plog_extent *extent = &records->view.extents[i];
            int err = 0;

            if (extent->file != NULL)
                err = read_file(extent, to);
            else
                memcpy(to, extent->memory, extent->size);
            if (err != 0) return err;
            to += extent->size;
        }
    }
    return 0;
}

static void finish_fetch(struct forward_serve *serve)
{
    int err = copy_records(serve);

    if (err == 0)
        head_finish(serve);
    else
        serve->error = err;
    go_home(serve);
}

/* On the READ thread. */
static void read_run(struct mail *mail)
{
    finish_fetch(container_of(mail, struct forward_serve, mail));
}

static bool has_files(const struct fetch_records *records)
{
    for (; records != NULL; records = records->next)
        for (uint32_t i = 0; i < records->view.extent_count; i++)
            if (records->view.extents[i].file != NULL) return true;
    return false;
}

/* Results into the head, records into a list. What no link could carry is an error of its entry. */
static int take_answers(struct forward_serve *serve, struct fetch_answer *answers, uint32_t count)
{
    struct fetch_records **end = &serve->records;
    int err = head_start(serve);

    for (uint32_t i = 0; i < count && err == 0; i++) {
        struct fetch_answer *answer = &answers[i];

        if (!answer->is_answered) continue;
        if (serve->body_size + answer->result.records_size > LINK_MESSAGE_MAX - FRAME_MESSAGE_BYTES_MAX) {
            bool is_first = serve->body_size == 0;

            answer->result.records_size = 0;
            if (is_first) answer->result.error = MESH_ETOOLARGE;
            if (!is_first) continue;
        }
        err = fetch_response_add(&serve->head, &answer->result);
        if (answer->result.records_size == 0 || answer->records == NULL) continue;
        *end = answer->records;
        (*end)->next = NULL;
        end = &(*end)->next;
        answer->records = NULL;
        serve->body_size += answer->result.records_size;
    }
    return err;
}

static void on_fetched(void *owner, uint64_t tag, struct fetch_answer *answers, uint32_t count)
{
    struct forward_serve *serve = owner;
    int err = take_answers(serve, answers, count);

    (void)tag;
    if (err == 0 && serve->body_size > 0) {
        serve->body = long_memory_take(serve->body_size);
        if (serve->body == NULL) err = MESH_ENOMEM;
    }
    if (err != 0) {
        fail(serve, err);
    } else if (has_files(serve->records)) {
        serve->is_away = true;
        serve->mail.deliver = read_run;
        lane_post(&serve->shard->broker->read_lane, &serve->mail);
    } else {
        finish_fetch(serve);
    }
}

static uint32_t smaller(uint32_t value, uint64_t limit)
{
    return value < limit ? value : (uint32_t)limit;
}

static int start_fetch(struct forward_serve *serve)
{
    const struct settings *settings = &serve->shard->broker->settings;
    struct fetch_request_reader reader;
    struct fetch_options options;
    int err = fetch_request_reader_init(&reader, serve->message);

    if (err != 0) return err;
    options = (struct fetch_options){
        .max_wait_ms = smaller(reader.max_wait_ms, settings->fetch_wait_ms_max),
        .bytes_min = smaller(reader.bytes_min, FORWARD_FETCH_BYTES_MAX),
        .bytes_max = smaller(reader.bytes_max, FORWARD_FETCH_BYTES_MAX),
        .source = {serve->source, 0},
        .done = on_fetched,
        .owner = serve,
        .fetches = &serve->fetches,
    };
    serve->patience_ms = options.max_wait_ms;
    return fetch_submit(serve->shard, &options, &reader);
}

/* ---- offsets ---- */

static void answer_offsets(struct forward_serve *serve)
{
    struct message_list_offsets_response body = {.results = serve->offsets, .result_count = serve->offset_count};
    int err = head_start(serve);

    if (err == 0) err = message_encode_list_offsets_response(&serve->head, &body);
    if (err == 0) head_finish(serve);
    serve->error = err;
    go_home(serve);
}

static void on_offsets(void *owner, uint64_t tag, const struct list_offsets_result *result)
{
    struct forward_serve *serve = owner;

    serve->offsets[tag] = *result;
    if (--serve->offsets_remaining == 0) answer_offsets(serve);
}

/* Whatever shard has them; what finds no memory says so by itself. */
static int start_offsets(struct forward_serve *serve)
{
    struct message_list_offsets_request body;
    int err = message_decode_list_offsets_request(serve->message, &body);

    if (err != 0) return err;
    if (body.entry_count == 0) err = MESH_EPROTO;
    if (err == 0) serve->offsets = calloc(body.entry_count, sizeof(serve->offsets[0]));
    if (err == 0 && serve->offsets == NULL) err = MESH_ENOMEM;
    serve->offset_count = body.entry_count;
    serve->offsets_remaining = body.entry_count + 1;
    for (size_t i = 0; i < body.entry_count && err == 0; i++) {
        const struct list_offsets_result none = {.error = MESH_ENOMEM, .offset = -1, .timestamp_ms = -1, .leader_epoch = -1};

        if (list_offsets_submit(serve->shard, &body.entries[i], false, on_offsets, serve, i) != 0) on_offsets(serve, i, &none);
    }
    message_deinit_list_offsets_request(&body);
    if (err == 0 && --serve->offsets_remaining == 0) answer_offsets(serve);
    return err;
}

/* ---- healing ---- */

static void on_healed(struct heal_read *heal)
{
    struct forward_serve *serve = heal->user;
    int err = heal->error;

    if (err == 0) err = head_start(serve);
    if (err == 0) err = heal_answer_encode(&heal->answer, &serve->head);
    if (err == 0 && heal->request.kind == HEAL_READ) {
        serve->body = heal->bytes;
        serve->body_size = heal->answer.bytes;
        heal->bytes = NULL;
    }
    heal_read_deinit(heal);
    if (err == 0) head_finish(serve);
    serve->error = err;
    go_home(serve);
}

static int start_heal(struct forward_serve *serve)
{
    int err = heal_request_decode(serve->message, &serve->heal.request);

    if (err != 0) return err;
    if (serve->heal.request.kind == HEAL_DOUBT) {
        compare_doubted(serve->shard, &serve->heal.request);
        return MESH_EAGAIN; /* there is nothing to say */
    }
    serve->heal.done = on_healed;
    serve->heal.user = serve;
    heal_read_start(serve->shard, &serve->heal);
    return 0;
}

/* ---- groups ---- */

/* An error is an answer here, too: it says where the group's partition is led. */
static void on_group(struct groups_serve *group)
{
    struct forward_serve *serve = container_of(group, struct forward_serve, group);
    int err = group->answer.size == 0 ? MESH_ENOMEM : head_start(serve);

    if (err == 0) err = buffer_append(&serve->head, group->answer.data, group->answer.size);
    if (err == 0) head_finish(serve);
    if (err != 0) serve->is_unanswered = true; /* it may have been done: the other end's time runs out */
    go_home(serve);
}

static int start_group(struct forward_serve *serve)
{
    struct message_group_head head;
    int err = message_group_peek(serve->message, &head);

    if (err != 0) return err;
    serve->patience_ms = REQUEST_LOG_PATIENCE; /* members are waited for */
    serve->group.op = serve->op;
    serve->group.message = serve->message;
    serve->group.done = on_group;
    groups_serve_start(serve->shard, &serve->group, group_partition_of(head.group), head.timeout_ms);
    return 0;
}

/* ---- descriptions ---- */

/* Control loop. */
static int encode_described(struct forward_serve *serve)
{
    int err = head_start(serve);

    if (err == 0) err = message_encode_topic_response(&serve->head, &serve->description.topics);
    if (err != 0) return err;
    if (serve->head.size - FRAME_HEADER_SIZE > FRAME_MESSAGE_BYTES_MAX) return MESH_ETOOLARGE;
    err = forward_serve_count(serve, serve->head.size);
    if (err == 0) head_finish(serve);
    return err;
}

static void on_described(void *user)
{
    struct forward_serve *serve = user;

    serve->error = encode_described(serve);
    go_home(serve);
}

static int start_describe(struct forward_serve *serve)
{
    struct shard *shard = serve->shard;
    struct message_topic_describe request;
    int err = message_decode_topic_describe(serve->message, &request);

    if (err != 0) return err;
    err = forward_describe_led(&serve->description, shard->image, shard->broker->node_id, &request);
    message_deinit_topic_describe(&request);
    if (err != 0) return err;
    return control_describe_local(&shard->broker->control, &serve->description.topics, on_described, serve);
}

/* ---- the beginning ---- */

void forward_serve_run(struct forward_serve *serve)
{
    int err = MESH_EPROTO;

    switch (serve->shard->is_stopping ? 0 : serve->op) {
    case 0: err = MESH_ESHUTDOWN; break;
    case FRAME_OP_PRODUCE: err = start_produce(serve); break;
    case FRAME_OP_FETCH: err = start_fetch(serve); break;
    case FRAME_OP_LIST_OFFSETS: err = start_offsets(serve); break;
    case FRAME_OP_TOPIC_DESCRIBE: err = start_describe(serve); break;
    case FRAME_OP_HEAL: err = start_heal(serve); break;
    default:
        if (groups_serve_knows(serve->op)) err = start_group(serve);
        break;
    }
    if (err != 0) fail(serve, err);
}
