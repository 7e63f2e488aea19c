/* What decoders of the messages that go through protobuf-c refuse, and what encoders do. */
#include "wire/message.h"

#include "base/error.h"
#include "support/run_suite.h"
#include "unit/wire/message_kinds.h"
#include "wire/frame.h"

#include <check.h>
#include <stdlib.h>

static void put(struct buffer *to, const void *data, size_t size)
{
    ck_assert_int_eq(buffer_append(to, data, size), 0);
}

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static const struct refusal_case {
    const char *what, *kind;
    const uint8_t *bytes;
    size_t size;
    int want;
} refusal_cases[] = {
    {"a string", "topic_delete", BYTES(0x0a, 2, 'a', 'b'), 0},
    {"a string longer than the message", "topic_delete", BYTES(0x0a, 3, 'a', 'b'), MESH_EPROTO},
    {"a string without length", "topic_delete", BYTES(0x0a), MESH_EPROTO},
    {"a length of 4 GiB", "topic_delete", BYTES(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f), MESH_EPROTO},
    {"a length of six bytes", "topic_delete", BYTES(0x0a, 0x81, 0x80, 0x80, 0x80, 0x80, 0x00, 'a'),
     MESH_EPROTO},
    {"a length of 64 bits", "topic_delete",
     BYTES(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 'a'), MESH_EPROTO},
    {"a NUL inside a string", "topic_delete", BYTES(0x0a, 3, 'a', 0, 'b'), MESH_EPROTO},
    {"a NUL at a string's end", "topic_delete", BYTES(0x0a, 2, 'a', 0), MESH_EPROTO},
    {"a NUL in a string that a later one overrules", "topic_delete", BYTES(0x0a, 1, 0, 0x0a, 1, 'b'),
     MESH_EPROTO},
    {"a NUL in a list of strings", "topic_describe", BYTES(0x0a, 1, 'a', 0x0a, 2, 'b', 0), MESH_EPROTO},
    {"a NUL in an inner message", "topic_create", BYTES(0x22, 4, 0x0a, 2, 'k', 0), MESH_EPROTO},
    {"a string with another wire type", "topic_delete", BYTES(0x08, 1), MESH_EPROTO},
    {"a number with another wire type", "topic_create", BYTES(0x12, 1, 1), MESH_EPROTO},
    {"a number of fixed width", "topic_create", BYTES(0x15, 1, 0, 0, 0), MESH_EPROTO},
    {"field number 0", "topic_delete", BYTES(0x02, 1, 'a'), MESH_EPROTO},
    {"a group", "topic_delete", BYTES(0xa3, 0x06, 0xa4, 0x06), MESH_EPROTO},
    {"wire type 7", "topic_delete", BYTES(0xa7, 0x06), MESH_EPROTO},
    {"a tag of six bytes", "topic_delete", BYTES(0x8a, 0x80, 0x80, 0x80, 0x80, 0x00, 0), MESH_EPROTO},
    {"a tag cut short", "topic_delete", BYTES(0x8a), MESH_EPROTO},
    {"an unknown number", "topic_delete", BYTES(0xa0, 0x06, 0xff, 0x01), 0},
    {"an unknown number cut short", "topic_delete", BYTES(0xa0, 0x06, 0xff), MESH_EPROTO},
    {"an unknown 64-bit field", "topic_delete", BYTES(0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8), 0},
    {"an unknown 64-bit field cut short", "topic_delete", BYTES(0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7),
     MESH_EPROTO},
    {"an unknown 32-bit field cut short", "topic_delete", BYTES(0xa5, 0x06, 1, 2, 3), MESH_EPROTO},
    {"unknown bytes longer than the message", "topic_delete", BYTES(0xa2, 0x06, 2, 1), MESH_EPROTO},
    {"an inner message longer than the outer", "topic_create", BYTES(0x22, 2, 0x0a), MESH_EPROTO},
    {"a field reaching out of its inner message", "topic_create", BYTES(0x22, 2, 0x0a, 1, 'k'), MESH_EPROTO},
    {"a number of eleven bytes", "topic_create",
     BYTES(0x10, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00), MESH_EPROTO},
    {"a number over 64 bits", "topic_create",
     BYTES(0x10, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02), MESH_EPROTO},
    {"packed numbers cut short", "topic_response", BYTES(0x0a, 6, 0x2a, 4, 0x22, 2, 1, 0x80), MESH_EPROTO},
    {"no packed numbers", "topic_response", BYTES(0x0a, 4, 0x2a, 2, 0x22, 0), 0},
    {"a uuid of 15 bytes", "cluster_response",
     BYTES(0x0a, 15, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), MESH_EPROTO},
    {"a uuid of 17 bytes", "cluster_response",
     BYTES(0x0a, 17, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17), MESH_EPROTO},
    {"no uuid where none is needed", "cluster_response", BYTES(0x0a, 0), 0},
    {"no uuid where one is needed", "list_offsets_request", BYTES(0x0a, 2, 0x10, 1), MESH_EPROTO},
    {"coordinator -2", "cluster_response", BYTES(0x10, 1), MESH_EPROTO},
    {"shard 2^31 - 1", "hello_request", BYTES(0x28, 0x80, 0x80, 0x80, 0x80, 0x08), 0},
    {"shard 2^31", "hello_request", BYTES(0x28, 0x81, 0x80, 0x80, 0x80, 0x08), MESH_EPROTO},
    {"an error above 0", "error", BYTES(0x08, 2), MESH_EPROTO},
    {"a topic's error above 0", "topic_response", BYTES(0x0a, 2, 0x08, 2), MESH_EPROTO},
    {"a partition's error above 0", "topic_response", BYTES(0x0a, 4, 0x2a, 2, 0x58, 2), MESH_EPROTO},
    {"a trim's error above 0", "topic_trim_response", BYTES(0x0a, 2, 0x10, 2), MESH_EPROTO},
    {"an offset's error above 0", "list_offsets_response", BYTES(0x0a, 2, 0x08, 2), MESH_EPROTO},
    {"producer epoch 32767", "init_producer_response", BYTES(0x10, 0xff, 0xff, 0x01), 0},
    {"producer epoch 32768", "init_producer_response", BYTES(0x10, 0x80, 0x80, 0x02), MESH_EPROTO},
    {"producer epoch -32769", "init_producer_response",
     BYTES(0x10, 0xff, 0xff, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), MESH_EPROTO},
};

START_TEST(malformed_messages_are_refused)
{
    const struct refusal_case *c = &refusal_cases[_i];
    const struct message_kind *kind = message_kind_named(c->kind);
    max_align_t message[MESSAGE_KIND_SIZE_MAX / sizeof(max_align_t)];
    uint8_t *copy = malloc(c->size); /* exact, so that a sanitizer sees a read beyond it */
    int err;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, c->bytes, c->size);
    err = kind->decode(slice_of(copy, c->size), message);
    ck_assert_msg(err == c->want, "%s: %s", c->what, mesh_error_name(err));
    if (err == 0) kind->deinit(message);
    free(copy);
}
END_TEST

START_TEST(nothing_decodes_to_defaults)
{
    const struct message_kind *kind = &message_kinds[_i];
    max_align_t message[MESSAGE_KIND_SIZE_MAX / sizeof(max_align_t)];
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(kind->decode(slice_of(NULL, 0), message), 0);
    ck_assert_int_eq(kind->encode(&bytes, message), 0);
    ck_assert_uint_eq(bytes.size, 0);
    kind->deinit(message);
    kind->deinit(message); /* it has become zeros, which deinit accepts */
    buffer_deinit(&bytes);
}
END_TEST

/* ---- limits ---- */

/* The smallest element of a list, by kind. */
static const struct limit_case {
    const char *kind;
    const uint8_t *element;
    size_t element_size;
    uint32_t count_max;
} limit_cases[] = {
    {"topic_create", BYTES(0x22, 0), MESSAGE_ENTRIES_MAX},
    {"topic_alter", BYTES(0x22, 0), MESSAGE_ENTRIES_MAX},
    {"topic_describe", BYTES(0x0a, 0), MESSAGE_ENTRIES_MAX},
    {"list_offsets_request", BYTES(0x0a, 18, 0x0a, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16),
     MESSAGE_ENTRIES_MAX},
    {"list_offsets_response", BYTES(0x0a, 0), MESSAGE_ENTRIES_MAX},
    {"topic_trim", BYTES(0x12, 0), MESSAGE_ENTRIES_MAX},
    {"topic_trim_response", BYTES(0x0a, 0), MESSAGE_RESPONSE_ELEMENTS_MAX},
    {"topic_response", BYTES(0x0a, 0), MESSAGE_RESPONSE_ELEMENTS_MAX},
    {"cluster_response", BYTES(0x1a, 0), MESSAGE_RESPONSE_ELEMENTS_MAX},
    {"topic_delete", BYTES(0xa0, 0x06, 1), MESSAGE_ENTRIES_MAX}, /* unknown fields count as well */
};

START_TEST(lists_have_a_greatest_length)
{
    const struct limit_case *c = &limit_cases[_i];
    const struct message_kind *kind = message_kind_named(c->kind);
    max_align_t message[MESSAGE_KIND_SIZE_MAX / sizeof(max_align_t)];
    struct buffer bytes = BUFFER_INIT;

    for (uint32_t i = 0; i < c->count_max; i++)
        put(&bytes, c->element, c->element_size);
    ck_assert_int_eq(kind->decode(buffer_slice(&bytes), message), 0);
    kind->deinit(message);
    put(&bytes, c->element, c->element_size);
    ck_assert_int_eq(kind->decode(buffer_slice(&bytes), message), MESH_EPROTO);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(a_long_message_of_idle_partitions_is_within_the_memory_budget)
{
    /* The partitions of a fresh topic say the least that a real one does, so their structs weigh most. */
    struct message_partition *partitions = calloc(50000, sizeof(*partitions));
    struct message_topic topic = {.name = (char[]){"t"}, .partitions = partitions, .partition_count = 50000};
    struct message_topic_response response = {.topics = &topic, .topic_count = 1}, decoded;
    struct buffer bytes = BUFFER_INIT;

    ck_assert_ptr_nonnull(partitions);
    for (uint32_t i = 0; i < 50000; i++)
        partitions[i].partition = i;
    ck_assert_int_eq(message_encode_topic_response(&bytes, &response), 0);
    ck_assert_int_eq(message_decode_topic_response(buffer_slice(&bytes), &decoded), 0);
    ck_assert_uint_eq(decoded.topics[0].partitions[49999].partition, 49999);
    message_deinit_topic_response(&decoded);
    buffer_deinit(&bytes);
    free(partitions);
}
END_TEST

START_TEST(messages_with_more_elements_than_a_decoder_takes_are_not_encoded)
{
    uint32_t count = MESSAGE_RESPONSE_ELEMENTS_MAX - 1; /* and the topic */
    struct message_partition *partitions = calloc(count + 1, sizeof(*partitions));
    struct message_topic topic = {.name = (char[]){"t"}, .partitions = partitions, .partition_count = count};
    struct message_topic_response response = {.topics = &topic, .topic_count = 1}, decoded;
    struct buffer bytes = BUFFER_INIT;

    ck_assert_ptr_nonnull(partitions);
    ck_assert_int_eq(message_encode_topic_response(&bytes, &response), 0);
    ck_assert_int_eq(message_decode_topic_response(buffer_slice(&bytes), &decoded), 0);
    message_deinit_topic_response(&decoded);
    buffer_clear(&bytes);
    topic.partition_count++;
    ck_assert_int_eq(buffer_append(&bytes, "kept", 4), 0);
    ck_assert_int_eq(message_encode_topic_response(&bytes, &response), MESH_ETOOLARGE);
    ck_assert_uint_eq(bytes.size, 4);
    buffer_deinit(&bytes);
    free(partitions);
}
END_TEST

START_TEST(messages_longer_than_a_frame_takes_are_not_encoded)
{
    size_t size = FRAME_MESSAGE_BYTES_MAX - 5; /* tag and length of the string */
    char *name = malloc(size + 2);
    struct message_topic_delete message = {.name = name};
    struct buffer bytes = BUFFER_INIT;

    ck_assert_ptr_nonnull(name);
    memset(name, 'x', size + 1);
    name[size] = '\0';
    ck_assert_int_eq(message_encode_topic_delete(&bytes, &message), 0);
    ck_assert_uint_eq(bytes.size, FRAME_MESSAGE_BYTES_MAX);
    name[size] = 'x';
    name[size + 1] = '\0';
    buffer_clear(&bytes);
    put(&bytes, "kept", 4);
    ck_assert_int_eq(message_encode_topic_delete(&bytes, &message), MESH_ETOOLARGE);
    ck_assert_uint_eq(bytes.size, 4);
    buffer_deinit(&bytes);
    free(name);
}
END_TEST

START_TEST(lists_that_no_frame_takes_are_refused_before_they_are_looked_at)
{
    struct message_topic_describe message = {.names = NULL, .name_count = FRAME_MESSAGE_BYTES_MAX + 1};
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(message_encode_topic_describe(&bytes, &message), MESH_ETOOLARGE);
    ck_assert_uint_eq(bytes.size, 0);
}
END_TEST

START_TEST(what_cannot_be_said_is_not_encoded)
{
    struct message_hello_request hello = {.shard = -2};
    struct message_cluster_response cluster = {.coordinator = INT32_MAX};
    struct message_status_response status = {.coordinator = INT32_MIN};
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(message_encode_hello_request(&bytes, &hello), MESH_EINVAL);
    ck_assert_int_eq(message_encode_cluster_response(&bytes, &cluster), MESH_EINVAL);
    ck_assert_int_eq(message_encode_status_response(&bytes, &status), MESH_EINVAL);
    ck_assert_uint_eq(bytes.size, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("message refusals");
    TCase *tcase = tcase_create("message refusals");

    tcase_add_loop_test(tcase, malformed_messages_are_refused, 0,
                        sizeof(refusal_cases) / sizeof(refusal_cases[0]));
    tcase_add_loop_test(tcase, nothing_decodes_to_defaults, 0, message_kind_count);
    tcase_add_loop_test(tcase, lists_have_a_greatest_length, 0, sizeof(limit_cases) / sizeof(limit_cases[0]));
    tcase_add_test(tcase, a_long_message_of_idle_partitions_is_within_the_memory_budget);
    tcase_add_test(tcase, messages_with_more_elements_than_a_decoder_takes_are_not_encoded);
    tcase_add_test(tcase, messages_longer_than_a_frame_takes_are_not_encoded);
    tcase_add_test(tcase, lists_that_no_frame_takes_are_refused_before_they_are_looked_at);
    tcase_add_test(tcase, what_cannot_be_said_is_not_encoded);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
