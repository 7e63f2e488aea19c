/* forward/serve.c - what all requests of other brokers have in common, by whichever way they came. */
#include "cmd/broker/forward/serve_internal.h"

#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/ops/fetch.h"
#include "cmd/broker/runtime/long_memory.h"
#include "cmd/broker/runtime/shard.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/coordinator/image.h"

#include <stdlib.h>

/* ---- life ---- */

bool forward_serve_has_room(const struct forward *forward, size_t bytes)
{
    return forward_get(&forward->counts.serves_now) < FORWARD_SERVES_MAX && forward_get(&forward->counts.serve_bytes) + bytes <= FORWARD_SERVE_BYTES_MAX;
}

struct forward_serve *forward_serve_new(struct forward *forward, const struct uuid *from, const struct frame_header *header, size_t size)
{
    struct forward_serve *serve = calloc(1, sizeof(*serve));

    if (serve == NULL) return NULL;
    serve->forward = forward;
    serve->from = *from;
    serve->received_ms = forward_now_ms();
    serve->source = map_hash_bytes(from->bytes, UUID_SIZE);
    serve->op = header->op;
    serve->id = header->correlation_id;
    serve->size = size;
    list_init(&serve->node);
    list_init(&serve->fetches);
    description_init(&serve->description);
    return serve;
}

void forward_serve_free(struct forward_serve *serve)
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

void forward_serve_begin(struct forward_serve *serve, uint8_t *bytes, const struct frame_header *header)
{
    serve->bytes = bytes;
    serve->message = slice_of(bytes + FRAME_HEADER_SIZE, header->message_size);
    serve->attachment = bytes + FRAME_HEADER_SIZE + header->message_size;
    serve->counted = serve->size;
    forward_count(&serve->forward->counts.serves_now, 1);
    forward_count(&serve->forward->counts.serve_bytes, serve->size);
}

int forward_serve_count(struct forward_serve *serve, size_t bytes)
{
    if (forward_get(&serve->forward->counts.serve_bytes) + bytes > FORWARD_SERVE_BYTES_MAX) return MESH_EBUSY;
    serve->counted += bytes;
    forward_count(&serve->forward->counts.serve_bytes, bytes);
    return 0;
}

void forward_serve_end(struct forward_serve *serve)
{
    forward_uncount(&serve->forward->counts.serves_now, 1);
    forward_uncount(&serve->forward->counts.serve_bytes, serve->counted);
    forward_serve_free(serve);
}

/* ---- what is said ---- */

int forward_encode_error(struct buffer *to, uint16_t op, uint32_t id, int error)
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

static void note(const struct forward *forward, const struct uuid *from, struct request_log *log, uint16_t op, uint32_t id, uint64_t took_ms, uint64_t patience_ms,
                 int error)
{
    char text[REQUEST_LOG_ID_SIZE], name[UUID_STRING_SIZE];

    if (!request_log_wants(forward->control->settings, took_ms, patience_ms, error) || !request_log_may(log, forward_now_ms())) return;
    log_warn("a request from another broker %s request=%s op=%s from=%s ms=%llu error=\"%s\"", error != 0 ? "failed" : "was slow", request_log_id(from, id, text),
             request_log_op(op), uuid_format(from, name), (unsigned long long)took_ms, error != 0 ? mesh_strerror(error) : "");
}

void forward_note_refused(struct forward *forward, const struct uuid *from, struct request_log *log, const struct frame_header *request, int error)
{
    forward_count(&forward->counts.serves_refused, 1);
    note(forward, from, log, request->op, request->correlation_id, 0, 0, error);
}

/* Counts what was fetched, or refuses it: it will be fetched again. */
static void count_records(struct forward_serve *serve)
{
    if (serve->error == 0) serve->error = forward_serve_count(serve, serve->body_size);
    if (serve->error == 0) return;
    long_memory_give(serve->body);
    serve->body = NULL;
    serve->body_size = 0;
}

bool forward_serve_settle(struct forward_serve *serve, struct request_log *log)
{
    bool is_answered = !serve->is_unanswered && (serve->op != FRAME_OP_PRODUCE || serve->produce.terms.acks != 0);

    if (serve->op == FRAME_OP_FETCH || serve->op == FRAME_OP_HEAL) count_records(serve);
    note(serve->forward, &serve->from, log, serve->op, serve->id, forward_now_ms() - serve->received_ms, serve->patience_ms,
         serve->error != 0 ? serve->error : serve->told);
    if (serve->error != 0 && forward_encode_error(&serve->head, serve->op, serve->id, serve->error) != 0) is_answered = false;
    return is_answered;
}

void forward_serve_note_answer(struct forward_serve *serve)
{
    forward_count(&serve->forward->counts.served, 1);
    forward_count(&serve->forward->counts.served_bytes, serve->size + serve->head.size + serve->body_size);
}

/* ---- whose it is ---- */

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

int forward_find_shard(const struct forward *forward, const struct frame_header *header, struct slice message, struct shard **ret_shard)
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
