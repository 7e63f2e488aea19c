/* Fuzzes the decoder of Kafka's messages, all of them: byte 0 chooses the api, byte 1 the version and (lowest bit) whether it is a response,
 * the rest is the message. What is accepted must be encodable, and from then on decode and encode to itself. A request is
 * read as a whole frame as well, header and all, with the key and version of its own. */
#include "kafka/header.h"

#include "base/assert.h"

#include <stdlib.h>

#define INPUT_HEADER_SIZE 2
#define MEMORY_MAX        (8u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* false: refused. Otherwise what was decoded stands encoded in *to. */
static bool recode(struct kafka_form form, struct slice bytes, struct buffer *to)
{
    struct arena arena = ARENA_INIT;
    struct buffer text = BUFFER_INIT;
    void *message = malloc(form.of->size);
    bool is_message;

    MESH_ASSERT(message != NULL);
    is_message = kafka_decode(form, bytes, &arena, MEMORY_MAX, message) == 0;
    if (is_message) {
        MESH_ASSERT(kafka_encode(form, message, to) == 0);
        MESH_ASSERT(kafka_print(form, message, &text) == 0);
    }
    free(message);
    buffer_deinit(&text);
    arena_deinit(&arena);
    return is_message;
}

static void check_message(struct kafka_form form, struct slice bytes)
{
    struct buffer once = BUFFER_INIT, twice = BUFFER_INIT;

    if (recode(form, bytes, &once)) {
        MESH_ASSERT(recode(form, buffer_slice(&once), &twice));
        MESH_ASSERT(slice_equal(buffer_slice(&once), buffer_slice(&twice)));
    }
    buffer_deinit(&once);
    buffer_deinit(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kafka_request_header header;
    const struct kafka_api *api;
    int version;

    if (size < INPUT_HEADER_SIZE) return 0;
    api = &kafka_apis[data[0] % kafka_api_count];
    version = api->version_min + (data[1] >> 1) % (api->version_max - api->version_min + 1);
    check_message((data[1] & 1) != 0 ? kafka_response_form(api, version) : kafka_request_form(api, version),
                  slice_of(data + INPUT_HEADER_SIZE, size - INPUT_HEADER_SIZE));
    if (kafka_request_header_decode(slice_of(data, size), &header) == 0)
        check_message(kafka_request_form(header.api, header.version), header.message);
    return 0;
}
