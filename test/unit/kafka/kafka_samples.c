/* Prints a numbered message of each api, version and direction, for tools that check them against another implementation:
 *
 *   KEY VERSION request|response HEX TEXT
 *
 * HEX is the whole frame: size, header, message. TEXT is what kafka_print() makes of the message. */
#include "kafka/header.h"

#include "base/assert.h"
#include "unit/kafka/filled_message.h"

#include <stdio.h>
#include <stdlib.h>

static void print_sample(const struct kafka_api *api, int version, bool is_request)
{
    struct kafka_form form = is_request ? kafka_request_form(api, version) : kafka_response_form(api, version);
    struct arena arena = ARENA_INIT;
    struct buffer frame = BUFFER_INIT, text = BUFFER_INIT;
    void *message = calloc(1, form.of->size);
    int32_t correlation_id = 1000 * api->key + version;
    int err;

    MESH_ASSERT(message != NULL);
    numbered_message(form, &arena, message);
    if (is_request)
        err = kafka_request_encode(api, version, correlation_id, slice_of_string("samples"), message, &frame);
    else
        err = kafka_response_encode(api, version, correlation_id, message, &frame);
    MESH_ASSERT(err == 0);
    err = kafka_print(form, message, &text);
    MESH_ASSERT(err == 0);
    printf("%d %d %s ", api->key, version, is_request ? "request" : "response");
    for (size_t i = 0; i < frame.size; i++)
        printf("%02x", frame.data[i]);
    printf(" %.*s\n", (int)text.size, (const char *)text.data);
    free(message);
    arena_deinit(&arena);
    buffer_deinit(&frame);
    buffer_deinit(&text);
}

int main(void)
{
    for (size_t i = 0; i < kafka_api_count; i++)
        for (int version = kafka_apis[i].version_min; version <= kafka_apis[i].version_max; version++) {
            print_sample(&kafka_apis[i], version, true);
            print_sample(&kafka_apis[i], version, false);
        }
    return 0;
}
