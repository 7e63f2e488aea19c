/* e2e/liar.c - a broker that is a member of its mesh like any other, and lies on its streams: those of replication, and those of requests that are sent
 * on (liar_spread.c: of committed offsets).
 *
 * It is the program mesh: it joins, registers, leads and follows. Only what its shards say to other shards comes through here before it is sealed
 * (the linker's --wrap of stream_socket_send*): messages are read, made false, and written again. So the lies come from a valid key, over a proven
 * channel, from a broker that the metadata know.
 *
 * mesh_liar MESH ARGUMENTS...: MESH, the path of the honest program, is left out. The file that $MESH_LIE names says which lie is told, in one
 * word; while there is none it is honest. */
#include "liar.h"

#include "base/assert.h"
#include "cmd/broker/streams/stream_socket.h"
#include "replication/partition/message.h"
#include "wire/frame.h"
#include "wire/record_batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAR (1ull << 40)

int mesh_main(int argc, char **argv); /* cmd/cli/main.c */
int __wrap_stream_socket_send(struct stream_socket *socket, uint8_t type, struct slice payload);
int __wrap_stream_socket_send_pieces(struct stream_socket *socket, uint8_t type, const struct slice *pieces, size_t count);
int __real_stream_socket_send(struct stream_socket *socket, uint8_t type, struct slice payload);

/* Makes a message false; `batches` are those of a DATA, which may be changed in place. */
typedef void lie_fn(struct stream_message *message, uint8_t *batches);

static void ack_ahead(struct stream_message *message, uint8_t *batches)
{
    (void)batches;
    if (message->type == STREAM_ACK) message->written = message->durable = FAR;
}

/* The first one of each session is true. */
static void ack_falls(struct stream_message *message, uint8_t *batches)
{
    static _Thread_local uint32_t session;

    (void)batches;
    if (message->type != STREAM_ACK) return;
    if (message->session == session) message->written = message->durable = 0;
    session = message->session;
}

static void ack_of_another_epoch(struct stream_message *message, uint8_t *batches)
{
    (void)batches;
    if (message->type == STREAM_ACK) message->leader_epoch += 1000;
}

static void grant_absurdly(struct stream_message *message, uint8_t *batches)
{
    (void)batches;
    if (message->type == STREAM_ACK) *message = (struct stream_message){.type = STREAM_CREDIT, .credit = FAR * 1024};
}

static void speak_as_leader(struct stream_message *message, uint8_t *batches)
{
    (void)batches;
    if (message->type != STREAM_ACK) return;
    message->type = STREAM_MARK;
    message->high_watermark = FAR;
    message->log_start = 0;
}

static void stand_ahead(struct stream_message *message, uint8_t *batches)
{
    (void)batches;
    if (message->type == STREAM_ATTACH) message->log_end = message->written = message->durable = FAR;
}

static void follow_the_future(struct stream_message *message, uint8_t *batches)
{
    (void)batches;
    if (message->type == STREAM_ATTACH) message->leader_epoch += 1000;
}

static void send_out_of_order(struct stream_message *message, uint8_t *batches)
{
    struct record_batch_header header;

    if (message->type != STREAM_DATA || record_batch_parse_header(slice_of(batches, message->bytes.size), &header) != 0) return;
    record_batch_set_base_offset(batches, header.base_offset + 5);
}

static void send_of_the_future(struct stream_message *message, uint8_t *batches)
{
    if (message->type == STREAM_DATA) record_batch_set_leader_epoch(batches, message->leader_epoch + 1000);
}

static void lead_another_epoch(struct stream_message *message, uint8_t *batches)
{
    (void)batches;
    if (message->type == STREAM_DATA) message->leader_epoch += 1000;
}

static const struct {
    const char *word;
    lie_fn *make_false;
} lies[] = {
    {"ack-ahead", ack_ahead},
    {"ack-falls", ack_falls},
    {"ack-epoch", ack_of_another_epoch},
    {"credit", grant_absurdly},
    {"direction", speak_as_leader},
    {"attach-ahead", stand_ahead},
    {"attach-epoch", follow_the_future},
    {"data-order", send_out_of_order},
    {"data-epoch", send_of_the_future},
    {"leader-epoch", lead_another_epoch},
};

bool liar_lies(struct lie *ret_lie)
{
    const char *path = getenv("MESH_LIE");
    FILE *file = path == NULL ? NULL : fopen(path, "r");
    int got;

    *ret_lie = (struct lie){.word = ""};
    if (file == NULL) return false;
    got = fscanf(file, "%31s %39s %63s %63s %u", ret_lie->word, ret_lie->topic, ret_lie->group, ret_lie->phantom, &ret_lie->own);
    fclose(file);
    return got >= 1;
}

static lie_fn *lie_of_the_day(void)
{
    struct lie lie;

    if (!liar_lies(&lie)) return NULL;
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
        if (strcmp(lies[i].word, lie.word) == 0) return lies[i].make_false;
    return NULL;
}

/* The packet again, message by message. */
static void retell(struct slice packet, lie_fn *make_false, struct buffer *to)
{
    struct stream_message message;
    struct codec_reader reader;

    MESH_ASSERT(stream_packet_open(packet, &reader) == 0 && stream_packet_begin(to) == 0);
    while (stream_message_next(&reader, &message) == 1) {
        size_t size = message.bytes.size;
        uint8_t *batches = malloc(size + 1);

        MESH_ASSERT(batches != NULL);
        if (size > 0) memcpy(batches, message.bytes.data, size);
        make_false(&message, batches);
        MESH_ASSERT(stream_message_encode(&message, to) == 0 && buffer_append(to, batches, size) == 0);
        free(batches);
    }
}

/* Of requests that are sent on, and of their answers. */
static void make_call_false(struct buffer *frame)
{
    struct frame_header header;
    struct lie lie;

    if (!liar_lies(&lie) || frame_parse_header(buffer_slice(frame), UINT32_MAX, &header) != 0) return;
    if (strcmp(lie.word, "call-noise") == 0) {
        frame->data[FRAME_HEADER_SIZE] ^= 1; /* of the message; a batch has its own checksum, and is refused without harm to the stream */
    } else if (strcmp(lie.word, "call-direction") == 0) {
        header.flags ^= FRAME_FLAG_RESPONSE;
        frame_write_header(frame->data, &header, frame->data + FRAME_HEADER_SIZE);
    } else if (strcmp(lie.word, "call-size") == 0) {
        header.attachment_size += 1u << 30;
        frame_write_header(frame->data, &header, frame->data + FRAME_HEADER_SIZE);
    }
}

int __wrap_stream_socket_send_pieces(struct stream_socket *socket, uint8_t type, const struct slice *pieces, size_t count)
{
    lie_fn *make_false = type == STREAM_FRAME_PACKET ? lie_of_the_day() : NULL;
    struct buffer packet = BUFFER_INIT, retold = BUFFER_INIT;
    int err;

    for (size_t i = 0; i < count; i++)
        MESH_ASSERT(buffer_append(&packet, pieces[i].data, pieces[i].size) == 0);
    if (type == STREAM_FRAME_CALL) make_call_false(&packet);
    if (make_false != NULL) retell(buffer_slice(&packet), make_false, &retold);
    err = __real_stream_socket_send(socket, type, buffer_slice(make_false != NULL ? &retold : &packet));
    buffer_deinit(&retold);
    buffer_deinit(&packet);
    return err;
}

int __wrap_stream_socket_send(struct stream_socket *socket, uint8_t type, struct slice payload)
{
    return __wrap_stream_socket_send_pieces(socket, type, &payload, 1);
}

int main(int argc, char **argv)
{
    MESH_ASSERT(argc > 1);
    argv[1] = argv[0];
    return mesh_main(argc - 1, argv + 1);
}
