/* Fuzzes every decoder of message.h. Byte 0 chooses the message, bytes 1..4 are the attachment's size for
 * those that have one, the rest is the message. What is accepted must be encodable, and from then on decode
 * and encode to itself. */
#include "wire/message.h"

#include "base/assert.h"
#include "base/bytes.h"

#include <stddef.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef bool recode_function(struct slice message, uint32_t attachment_size, struct buffer *to);

/* false: refused. Otherwise what was decoded stands encoded in *to. */
#define DEFINE_RECODE(suffix, type)                                                                          \
    static bool recode_##suffix(struct slice message, uint32_t attachment_size, struct buffer *to)           \
    {                                                                                                        \
        struct type decoded;                                                                                 \
        (void)attachment_size;                                                                               \
        if (message_decode_##suffix(message, &decoded) != 0) return false;                                   \
        MESH_ASSERT(message_encode_##suffix(to, &decoded) == 0);                                             \
        message_deinit_##suffix(&decoded);                                                                   \
        return true;                                                                                         \
    }
MESSAGE_MAP(DEFINE_RECODE)

static bool recode_produce_request(struct slice message, uint32_t attachment_size, struct buffer *to)
{
    struct produce_request_reader reader;
    struct produce_entry entry;

    if (produce_request_reader_init(&reader, message, attachment_size) != 0) return false;
    MESH_ASSERT(produce_request_start(to, reader.acks, reader.timeout_ms) == 0);
    while (produce_request_reader_next(&reader, &entry))
        MESH_ASSERT(produce_request_add(to, &entry) == 0);
    if (reader.forwards) MESH_ASSERT(produce_request_forward(to) == 0);
    return true;
}

static bool recode_produce_response(struct slice message, uint32_t attachment_size, struct buffer *to)
{
    struct produce_response_reader reader;
    struct produce_result result;

    (void)attachment_size;
    if (produce_response_reader_init(&reader, message) != 0) return false;
    while (produce_response_reader_next(&reader, &result))
        MESH_ASSERT(produce_response_add(to, &result) == 0);
    return true;
}

static bool recode_fetch_request(struct slice message, uint32_t attachment_size, struct buffer *to)
{
    struct fetch_request_reader reader;
    struct fetch_entry entry;

    (void)attachment_size;
    if (fetch_request_reader_init(&reader, message) != 0) return false;
    MESH_ASSERT(fetch_request_start(to, reader.max_wait_ms, reader.bytes_min, reader.bytes_max) == 0);
    while (fetch_request_reader_next(&reader, &entry))
        MESH_ASSERT(fetch_request_add(to, &entry) == 0);
    if (reader.forwards) MESH_ASSERT(fetch_request_forward(to) == 0);
    return true;
}

static bool recode_fetch_response(struct slice message, uint32_t attachment_size, struct buffer *to)
{
    struct fetch_response_reader reader;
    struct fetch_result result;

    if (fetch_response_reader_init(&reader, message, attachment_size) != 0) return false;
    while (fetch_response_reader_next(&reader, &result))
        MESH_ASSERT(fetch_response_add(to, &result) == 0);
    return true;
}

#define RECODE_ROW(suffix, type) recode_##suffix,
static recode_function *const recode_functions[] = {recode_produce_request, recode_produce_response,
                                                    recode_fetch_request, recode_fetch_response,
                                                    MESSAGE_MAP(RECODE_ROW)};

#define INPUT_HEADER_SIZE 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer once = BUFFER_INIT, twice = BUFFER_INIT;
    recode_function *recode;
    uint32_t attachment_size;

    if (size < INPUT_HEADER_SIZE) return 0;
    recode = recode_functions[data[0] % (sizeof(recode_functions) / sizeof(recode_functions[0]))];
    attachment_size = le_load32(data + 1);
    if (recode(slice_of(data + INPUT_HEADER_SIZE, size - INPUT_HEADER_SIZE), attachment_size, &once)) {
        MESH_ASSERT(recode(buffer_slice(&once), attachment_size, &twice));
        MESH_ASSERT(slice_equal(buffer_slice(&once), buffer_slice(&twice)));
    }
    buffer_deinit(&once);
    buffer_deinit(&twice);
    return 0;
}
