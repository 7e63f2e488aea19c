/* forward/serve.c - what other brokers ask of partitions that are led here: to the partition's shard, and the answer back.
 *
 * Served here or not at all: a request is forwarded once, so images that disagree cannot send one in circles. Whatever is refused with an
 * error frame was not begun. */
#include "base/assert.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/forward/describe.h"
#include "cmd/broker/forward/forward_internal.h"
#include "cmd/broker/groups/serve.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/operate/operate.h"
#include "cmd/broker/ops/fetch.h"
#include "cmd/broker/ops/list_offsets.h"
#include "cmd/broker/ops/produce_local.h"
#include "cmd/broker/replicas/heal_read.h"
#include "cmd/broker/runtime/long_memory.h"
#include "cmd/broker/runtime/shard.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/coordinator/image.h"
#include "wire/message_operate.h"

#include <stdlib.h>
#include <unistd.h>

struct forward_serve {
    struct mail mail;
    struct list_node node; /* in the peer's answers, while its link's queue is full */
    struct link_message out;
    struct forward_peer *peer;
    struct shard *shard;
    uint64_t session;
    uint64_t source; /* a hash of the broker that asks */
    uint16_t op;
    uint32_t id;
    uint8_t *bytes; /* owned: the request's frame */
    size_t size;    /* of it */
    size_t counted; /* bytes that stand in forward->serve_bytes for this one, until its answer has left */
    struct slice message;
    uint8_t *attachment;
    struct produce_foreign produce;
    struct list_node fetches; /* the fetch, while it runs */
    struct fetch_records *records; /* to be copied, in order */
    struct heal_read heal;
    struct groups_serve group;
    struct list_offsets_result *offsets; /* owned */
    size_t offset_count, offsets_remaining;
    struct description description; /* while its figures are gathered */
    struct buffer head;       /* the answer: frame header and message */
    uint8_t *body;            /* owned; its attachment */
    size_t body_size;
    int error;                /* the answer is an error frame */
    int told;                 /* an error inside of the answer, for the log */
    uint64_t received_ms, patience_ms; /* likewise; the second as of a call */
    bool is_unanswered;       /* there is nothing to say */
};

/* ---- the end ---- */

static size_t answer_bytes(const struct forward_serve *serve)
{
    return serve->head.size + serve->body_size;
}

static void serve_free(struct forward_serve *serve)
{
    while (serve->records != NULL) {
        struct fetch_records *records = serve->records;

        serve->records = records->next;
        fetch_records_free(records);
    }
    description_deinit(&serve->description);
    buffer_deinit(&serve->group.answer);
    buffer_deinit(&serve->head);
    free(serve->offsets);
    long_memory_give(serve->body);
    long_memory_give(serve->bytes);
    free(serve);
}

/* Control loop. */
static void serve_end(struct forward_serve *serve)
{
    struct forward *forward = serve->peer->forward;

    forward->stats.serves_now--;
    forward->serve_bytes -= serve->counted;
    serve_free(serve);
}

/* ---- answers ---- */

static int encode_error(struct buffer *to, uint16_t op, uint32_t id, int error)
{
    struct message_error body = {error, (char *)(uintptr_t)mesh_strerror(error)};
    struct frame_header header = {.flags = FRAME_FLAG_RESPONSE | FRAME_FLAG_ERROR, .op = op, .correlation_id = id};
    static const uint8_t room[FRAME_HEADER_SIZE];
    int err;

    buffer_clear(to);
    err = buffer_append(to, room, sizeof(room));
    if (err == 0) err = message_encode_error(to, &body);
    if (err != 0) return err;
    header.message_size = (uint32_t)(to->size - FRAME_HEADER_SIZE);
    frame_write_header(to->data, &header, to->data + FRAME_HEADER_SIZE);
    return 0;
}

/* The line of this end. */
static void note(struct forward *forward, const struct forward_peer *peer, uint16_t op, uint32_t id, uint64_t took_ms, uint64_t patience_ms, int error)
{
    char text[REQUEST_LOG_ID_SIZE], from[UUID_STRING_SIZE];

    if (!request_log_wants(forward->control->settings, took_ms, patience_ms, error) || !request_log_may(&forward->request_log, forward_now_ms())) return;
    log_warn("a request from another broker %s request=%s op=%s from=%s ms=%llu error=\"%s\"", error != 0 ? "failed" : "was slow", request_log_id(&peer->id, id, text),
             request_log_op(op), uuid_format(&peer->id, from), (unsigned long long)took_ms, error != 0 ? mesh_strerror(error) : "");
}

/* A request that is not even begun. */
static void refuse(struct forward *forward, const struct forward_peer *peer, const struct frame_header *request, int error)
{
    struct buffer frame = BUFFER_INIT;

    forward->stats.serves_refused++;
    note(forward, peer, request->op, request->correlation_id, 0, 0, error);
    if (encode_error(&frame, request->op, request->correlation_id, error) == 0)
        (void)peers_link_send(forward->peers, &peer->id, LINK_TYPE_FORWARD, buffer_slice(&frame));
    buffer_deinit(&frame);
}

static void answer_left(struct link_message *out)
{
    struct forward_serve *serve = container_of(out, struct forward_serve, out);

    forward_left(serve->peer, out->head.size + out->body.size);
    serve_end(serve);
}

/* False: the link's queue is full. */
static bool answer_send(struct forward_serve *serve)
{
    struct forward_peer *peer = serve->peer;
    int err;

    if (peer->queued_bytes > 0 && peer->queued_bytes + answer_bytes(serve) > FORWARD_QUEUE_BYTES_MAX) return false;
    err = peers_link_send_message(peer->forward->peers, &peer->id, &serve->out);
    if (err == MESH_EFULL) return false;
    if (err == 0)
        peer->queued_bytes += answer_bytes(serve);
    else
        serve_end(serve);
    return true;
}

void forward_serve_pump(struct forward_peer *peer)
{
    while (!list_is_empty(&peer->answers)) {
        struct forward_serve *serve = container_of(peer->answers.next, struct forward_serve, node);

        list_remove(&serve->node);
        if (answer_send(serve)) continue;
        list_push_front(&peer->answers, &serve->node);
        return;
    }
}

void forward_serve_drop(struct forward_peer *peer)
{
    struct list_node *node;

    while ((node = list_pop_front(&peer->answers)) != NULL)
        serve_end(container_of(node, struct forward_serve, node));
}

/* Counts what was fetched, or refuses it: it will be fetched again. */
static void count_records(struct forward *forward, struct forward_serve *serve)
{
    if (forward->serve_bytes + serve->body_size > FORWARD_SERVE_BYTES_MAX) serve->error = MESH_EBUSY;
    if (serve->error == 0) {
        serve->counted += serve->body_size;
        forward->serve_bytes += serve->body_size;
        return;
    }
    long_memory_give(serve->body);
    serve->body = NULL;
    serve->body_size = 0;
}

/* Control loop: the shard is done with it. */
static void serve_home(struct mail *mail)
{
    struct forward_serve *serve = container_of(mail, struct forward_serve, mail);
    struct forward_peer *peer = serve->peer;
    struct forward *forward = peer->forward;
    bool is_answered = !serve->is_unanswered && (serve->op != FRAME_OP_PRODUCE || serve->produce.terms.acks != 0);

    if (serve->op == FRAME_OP_FETCH || serve->op == FRAME_OP_HEAL) count_records(forward, serve);
    note(forward, peer, serve->op, serve->id, forward_now_ms() - serve->received_ms, serve->patience_ms, serve->error != 0 ? serve->error : serve->told);
    if (serve->error != 0 && encode_error(&serve->head, serve->op, serve->id, serve->error) != 0) is_answered = false;
    if (!is_answered || forward->peers == NULL || serve->session != peer->session) {
        serve_end(serve);
        return;
    }
    forward->stats.served++;
    forward->stats.served_bytes += serve->size + answer_bytes(serve);
    serve->out = (struct link_message){.type = LINK_TYPE_FORWARD,
                                       .head = buffer_slice(&serve->head),
                                       .body = slice_of(serve->body, serve->body_size),
                                       .done = answer_left};
    list_push_back(&peer->answers, &serve->node);
    forward_serve_pump(peer);
}

static void go_home(struct forward_serve *serve)
{
    serve->mail.deliver = serve_home;
    mailbox_post(&serve->peer->forward->mailbox, &serve->mail);
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

/* Its partition, if the topic is known here. */
static int find_group(const struct forward *forward, struct slice message, struct uuid *ret_topic_id, uint32_t *ret_partition)
{
    const struct image_topic *topic = image_find_topic_by_name(metadata_image(forward->control->metadata), GROUPS_TOPIC_NAME);
    struct message_group_head head;
    int err = message_group_peek(message, &head);

    if (err != 0) return err;
    if (topic == NULL) return MESH_EAGAIN;
    *ret_topic_id = topic->topic_id;
    *ret_partition = group_partition_of(head.group);
    return 0;
}

/* ---- descriptions ---- */

/* Control loop. */
static int encode_described(struct forward_serve *serve)
{
    struct forward *forward = serve->peer->forward;
    int err = head_start(serve);

    if (err == 0) err = message_encode_topic_response(&serve->head, &serve->description.topics);
    if (err != 0) return err;
    if (serve->head.size - FRAME_HEADER_SIZE > FRAME_MESSAGE_BYTES_MAX) return MESH_ETOOLARGE;
    if (forward->serve_bytes + serve->head.size > FORWARD_SERVE_BYTES_MAX) return MESH_EBUSY;
    serve->counted += serve->head.size;
    forward->serve_bytes += serve->head.size;
    head_finish(serve);
    return 0;
}

static void on_described(void *user)
{
    struct forward_serve *serve = user;

    serve->error = encode_described(serve);
    serve_home(&serve->mail);
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

/* On the shard. */
static void serve_arrives(struct mail *mail)
{
    struct forward_serve *serve = container_of(mail, struct forward_serve, mail);
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

/* The first entry's partition says which shard: each knows the way to the others. */
static int find_shard(const struct forward *forward, const struct frame_header *header, struct slice message, struct shard **ret_shard)
{
    struct uuid topic_id = {{0}};
    uint32_t partition = 0;
    int err = MESH_EPROTO;

    if (header->op == FRAME_OP_PRODUCE) {
        struct produce_request_reader reader;

        err = produce_request_reader_init(&reader, message, header->attachment_size);
        if (err == 0 && reader.has_first) {
            topic_id = reader.first.topic_id;
            partition = reader.first.partition;
        }
    } else if (header->op == FRAME_OP_FETCH) {
        struct fetch_request_reader reader;

        err = header->attachment_size > 0 ? MESH_EPROTO : fetch_request_reader_init(&reader, message);
        if (err == 0 && reader.has_first) {
            topic_id = reader.first.topic_id;
            partition = reader.first.partition;
        }
    } else if (header->op == FRAME_OP_LIST_OFFSETS) {
        struct message_list_offsets_request body;

        err = message_decode_list_offsets_request(message, &body);
        if (err == 0 && body.entry_count > 0) {
            topic_id = body.entries[0].topic_id;
            partition = body.entries[0].partition;
        }
        if (err == 0) message_deinit_list_offsets_request(&body);
    } else if (header->op == FRAME_OP_HEAL && header->attachment_size == 0) {
        struct heal_request request;

        err = heal_request_decode(message, &request);
        if (err == 0) {
            topic_id = request.topic_id;
            partition = request.partition;
        }
    } else if (header->op == FRAME_OP_TOPIC_DESCRIBE && header->attachment_size == 0) {
        err = 0; /* any will do */
    } else if (groups_serve_knows(header->op) && header->attachment_size == 0) {
        err = find_group(forward, message, &topic_id, &partition);
    }
    if (forward->control->shard_count == 0) err = MESH_EBUSY; /* it is starting, and has none yet */
    if (err == 0) *ret_shard = forward->control->shards[image_shard_of(&topic_id, partition, forward->control->shard_count)];
    return err;
}

static struct forward_serve *serve_new(struct forward_peer *peer, const struct frame_header *header, size_t size)
{
    struct forward_serve *serve = calloc(1, sizeof(*serve));

    if (serve == NULL) return NULL;
    serve->peer = peer;
    serve->session = peer->session;
    serve->received_ms = forward_now_ms();
    serve->source = map_hash_bytes(peer->id.bytes, UUID_SIZE);
    serve->op = header->op;
    serve->id = header->correlation_id;
    serve->size = size;
    list_init(&serve->node);
    list_init(&serve->fetches);
    description_init(&serve->description);
    return serve;
}

static void serve_begin(struct forward *forward, struct forward_serve *serve, size_t bytes)
{
    forward->stats.serves_now++;
    serve->counted = bytes;
    forward->serve_bytes += bytes;
}

static bool has_room(const struct forward *forward, size_t bytes)
{
    return forward->stats.serves_now < FORWARD_SERVES_MAX && forward->serve_bytes + bytes <= FORWARD_SERVE_BYTES_MAX;
}

/* What is asked of this very broker, and answered at once. The answer waits for its link like any other. */
static void serve_operate(struct forward *forward, struct forward_peer *peer, const struct frame_header *header, struct slice frame, struct slice message)
{
    struct forward_serve *serve = has_room(forward, frame.size) ? serve_new(peer, header, frame.size) : NULL;
    int err = serve != NULL ? 0 : has_room(forward, frame.size) ? MESH_ENOMEM : MESH_EBUSY;

    if (err == 0) err = operate_answer_frame(forward->control, header->op, header->correlation_id, message, &serve->head);
    if (err != 0) {
        if (serve != NULL) serve_free(serve);
        refuse(forward, peer, header, err);
        return;
    }
    serve_begin(forward, serve, serve->head.size);
    serve_home(&serve->mail);
}

void forward_serve(struct forward *forward, struct forward_peer *peer, const struct frame_header *header, struct slice frame)
{
    struct forward_serve *serve;
    struct shard *shard = NULL;
    struct slice message = slice_of(frame.data + FRAME_HEADER_SIZE, header->message_size);
    int err;

    if (message_operate_knows(header->op) && header->attachment_size == 0) {
        serve_operate(forward, peer, header, frame, message);
        return;
    }
    err = find_shard(forward, header, message, &shard);
    if (err == 0 && !has_room(forward, frame.size)) err = MESH_EBUSY;
    serve = err == 0 ? serve_new(peer, header, frame.size) : NULL;
    if (serve != NULL) serve->bytes = peers_take_message(forward->peers, frame);
    if (serve == NULL || serve->bytes == NULL) {
        if (serve != NULL) serve_free(serve);
        refuse(forward, peer, header, err != 0 ? err : MESH_ENOMEM);
        return;
    }
    serve->shard = shard;
    serve->message = slice_of(serve->bytes + FRAME_HEADER_SIZE, header->message_size);
    serve->attachment = serve->bytes + FRAME_HEADER_SIZE + header->message_size;
    serve_begin(forward, serve, frame.size);
    serve->mail.deliver = serve_arrives;
    shard_post(shard, &serve->mail);
}
