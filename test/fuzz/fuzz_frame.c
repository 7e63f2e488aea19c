/* Fuzzes the way of a frame into the native door: header, sizes, CRC, then the walker of its operation. What
 * is accepted must fit into the input, and the header must be written again as it was read. */
#include "wire/frame.h"
#include "wire/message.h"

#include "base/assert.h"

#define FRAME_BYTES_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_produce(struct slice message, uint32_t attachment_size)
{
    struct produce_request_reader reader;
    struct produce_entry entry;
    uint64_t batch_size_sum = 0;
    uint32_t count = 0;

    if (produce_request_reader_init(&reader, message, attachment_size) != 0) return;
    for (; produce_request_reader_next(&reader, &entry); count++)
        batch_size_sum += entry.batch_size;
    MESH_ASSERT(count == reader.entry_count);
    MESH_ASSERT(batch_size_sum == attachment_size);
}

static void walk_fetch(struct slice message)
{
    struct fetch_request_reader reader;
    struct fetch_entry entry;
    uint32_t count = 0;

    if (fetch_request_reader_init(&reader, message) != 0) return;
    while (fetch_request_reader_next(&reader, &entry))
        count++;
    MESH_ASSERT(count == reader.entry_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_header header;
    struct slice message;

    if (frame_parse_header(slice_of(data, size), FRAME_BYTES_MAX, &header) != 0) return 0;
    if (size - FRAME_HEADER_SIZE < (size_t)header.message_size + header.attachment_size) return 0;
    message = slice_of(data + FRAME_HEADER_SIZE, header.message_size);
    if (frame_verify(data, &header) == 0) {
        uint8_t again[FRAME_HEADER_SIZE];
        frame_write_header(again, &header, message.data);
        MESH_ASSERT(memcmp(again, data, FRAME_HEADER_SIZE) == 0);
    }
    /* A fuzzer does not find CRCs: the walkers get what is behind a wrong one as well. */
    if (header.op == FRAME_OP_PRODUCE) walk_produce(message, header.attachment_size);
    if (header.op == FRAME_OP_FETCH) walk_fetch(message);
    return 0;
}
