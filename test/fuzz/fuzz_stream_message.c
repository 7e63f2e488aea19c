/* Fuzzes the packets of replication streams: whatever is taken for a message can be written again, and reads as the same. */
#include "replication/partition/message.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_message(const struct stream_message *message, struct buffer *to)
{
    MESH_ASSERT(stream_message_encode(message, to) == 0);
    MESH_ASSERT(buffer_append(to, message->bytes.data, message->bytes.size) == 0);
}

static int rewrite(struct slice packet, struct buffer *to)
{
    struct stream_message message;
    struct codec_reader reader;
    int err = stream_packet_open(packet, &reader);

    if (err != 0) return err;
    MESH_ASSERT(stream_packet_begin(to) == 0);
    while ((err = stream_message_next(&reader, &message)) == 1) {
        MESH_ASSERT(message.bytes.size <= packet.size);
        write_message(&message, to);
    }
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer once = BUFFER_INIT, twice = BUFFER_INIT;

    if (rewrite(slice_of(data, size), &once) == 0) {
        MESH_ASSERT(rewrite(buffer_slice(&once), &twice) == 0);
        MESH_ASSERT(slice_equal(buffer_slice(&once), buffer_slice(&twice)));
    }
    buffer_deinit(&once);
    buffer_deinit(&twice);
    return 0;
}
