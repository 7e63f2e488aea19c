/* The messages that go through protobuf-c: that nothing is lost, nothing leaks, and nothing bad gets in. */
#include "wire/message.h"

#include "base/bytes.h"
#include "base/error.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"
#include "unit/wire/message_kinds.h"
#include "unit/wire/proto_scramble.h"
#include "wire/frame.h"

#include <check.h>
#include <stdlib.h>

#define SEED_COUNT 500

/* Room for any of our structs. */
union any_message {
    max_align_t align;
    uint8_t bytes[MESSAGE_KIND_SIZE_MAX];
};

static void fill_and_encode(const struct message_kind *kind, struct fill *fill, struct buffer *to)
{
    union any_message message;

    kind->fill(fill, &message);
    ck_assert_int_eq(kind->encode(to, &message), 0);
    kind->deinit(&message);
}

/* Decodes from memory of exactly that size, so that a sanitizer sees a read beyond it. */
static int decode_exact(const struct message_kind *kind, const uint8_t *data, size_t size, void *ret_message)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    int err;

    ck_assert_ptr_nonnull(copy);
    if (size > 0) memcpy(copy, data, size);
    err = kind->decode(slice_of(copy, size), ret_message);
    free(copy);
    return err;
}

/* Decodes `from`, and encodes what came out. */
static void recode(const struct message_kind *kind, struct slice from, struct buffer *to)
{
    union any_message message;

    ck_assert_int_eq(decode_exact(kind, from.data, from.size, &message), 0);
    ck_assert_int_eq(kind->encode(to, &message), 0);
    kind->deinit(&message);
}

/* ---- nothing is lost ---- */

static bool is_default(const ProtobufCFieldDescriptor *field, const void *member)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING: return **(char *const *)member == '\0';
    case PROTOBUF_C_TYPE_BYTES: return ((const ProtobufCBinaryData *)member)->len == 0;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_SINT64: return *(const uint64_t *)member == 0;
    default: return *(const uint32_t *)member == 0;
    }
}

static void check_everything_is_said(const ProtobufCMessage *message)
{
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        const uint8_t *member = (const uint8_t *)message + field->offset;

        if (field->label != PROTOBUF_C_LABEL_REPEATED) {
            ck_assert_msg(!is_default(field, member), "%s.%s", message->descriptor->name, field->name);
            continue;
        }
        ck_assert_msg(*(const size_t *)(const void *)((const uint8_t *)message + field->quantifier_offset) ==
                          2,
                      "%s.%s", message->descriptor->name, field->name);
        if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
            ProtobufCMessage *const *elements = *(ProtobufCMessage *const *const *)(const void *)member;
            check_everything_is_said(elements[0]);
            check_everything_is_said(elements[1]);
        }
    }
}

START_TEST(every_field_of_the_schema_is_encoded)
{
    const struct message_kind *kind = &message_kinds[_i];
    struct fill fill = {.everything = true};
    struct buffer bytes = BUFFER_INIT;
    ProtobufCMessage *message;

    random_init(&fill.random, 1);
    fill_and_encode(kind, &fill, &bytes);
    message = protobuf_c_message_unpack(kind->descriptor, NULL, bytes.size, bytes.data);
    ck_assert_ptr_nonnull(message);
    check_everything_is_said(message);
    protobuf_c_message_free_unpacked(message, NULL);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(random_messages_come_back)
{
    const struct message_kind *kind = &message_kinds[_i];
    struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;

    for (unsigned seed = 0; seed < SEED_COUNT; seed++) {
        struct fill fill = {.everything = false};
        random_init(&fill.random, seed);
        buffer_clear(&bytes);
        buffer_clear(&again);
        fill_and_encode(kind, &fill, &bytes);
        recode(kind, buffer_slice(&bytes), &again);
        ck_assert_msg(slice_equal(buffer_slice(&bytes), buffer_slice(&again)), "%s seed=%u", kind->name,
                      seed);
    }
    buffer_deinit(&bytes);
    buffer_deinit(&again);
}
END_TEST

START_TEST(other_encodings_mean_the_same)
{
    const struct message_kind *kind = &message_kinds[_i];
    struct buffer bytes = BUFFER_INIT, scrambled = BUFFER_INIT, again = BUFFER_INIT;

    for (unsigned seed = 0; seed < SEED_COUNT; seed++) {
        struct fill fill = {.everything = seed % 4 == 0};
        random_init(&fill.random, seed);
        buffer_clear(&bytes);
        buffer_clear(&scrambled);
        buffer_clear(&again);
        fill_and_encode(kind, &fill, &bytes);
        proto_scramble(kind->descriptor, buffer_slice(&bytes), &fill.random, &scrambled);
        recode(kind, buffer_slice(&scrambled), &again);
        ck_assert_msg(slice_equal(buffer_slice(&bytes), buffer_slice(&again)), "%s seed=%u", kind->name,
                      seed);
    }
    buffer_deinit(&bytes);
    buffer_deinit(&scrambled);
    buffer_deinit(&again);
}
END_TEST

START_TEST(absent_strings_encode_as_empty_and_decode_as_empty)
{
    struct message_problem problem = {NULL, NULL, NULL};
    struct message_status_response status = {.problems = &problem, .problem_count = 1}, decoded;
    char *names[] = {NULL, NULL};
    struct message_topic_describe describe = {.names = names, .name_count = 2}, decoded_describe;
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(message_encode_status_response(&bytes, &status), 0);
    ck_assert_int_eq(message_decode_status_response(buffer_slice(&bytes), &decoded), 0);
    ck_assert_str_eq(decoded.problems[0].remedy, "");
    ck_assert_str_eq(decoded.version, "");
    message_deinit_status_response(&decoded);
    buffer_clear(&bytes);
    ck_assert_int_eq(message_encode_topic_describe(&bytes, &describe), 0);
    ck_assert_int_eq(message_decode_topic_describe(buffer_slice(&bytes), &decoded_describe), 0);
    ck_assert_uint_eq(decoded_describe.name_count, 2);
    ck_assert_str_eq(decoded_describe.names[1], "");
    message_deinit_topic_describe(&decoded_describe);
    buffer_deinit(&bytes);
}
END_TEST

/* ---- nothing bad gets in ---- */

START_TEST(every_truncation_is_refused_or_a_shorter_message)
{
    const struct message_kind *kind = &message_kinds[_i];
    struct fill fill = {.everything = true};
    struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;

    random_init(&fill.random, 2);
    fill_and_encode(kind, &fill, &bytes);
    for (size_t size = 0; size < bytes.size; size++) {
        union any_message message;
        int err = decode_exact(kind, bytes.data, size, &message);

        ck_assert(err == 0 || err == MESH_EPROTO);
        if (err != 0) continue;
        buffer_clear(&again);
        ck_assert_int_eq(kind->encode(&again, &message), 0);
        ck_assert_msg(slice_equal(buffer_slice(&again), slice_of(bytes.data, size)), "%s size=%zu",
                      kind->name, size);
        kind->deinit(&message);
    }
    buffer_deinit(&bytes);
    buffer_deinit(&again);
}
END_TEST

START_TEST(every_bit_flip_is_refused_or_another_message)
{
    const struct message_kind *kind = &message_kinds[_i];
    struct fill fill = {.everything = true};
    struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;

    random_init(&fill.random, 3);
    fill_and_encode(kind, &fill, &bytes);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        union any_message message;
        int err;

        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        err = decode_exact(kind, bytes.data, bytes.size, &message);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert(err == 0 || err == MESH_EPROTO);
        if (err != 0) continue;
        buffer_clear(&again);
        ck_assert_int_eq(kind->encode(&again, &message), 0);
        kind->deinit(&message);
    }
    buffer_deinit(&bytes);
    buffer_deinit(&again);
}
END_TEST

/* ---- memory ---- */

START_TEST(decoding_survives_every_failing_allocation)
{
    const struct message_kind *kind = &message_kinds[_i];
    struct fill fill = {.everything = true};
    struct buffer bytes = BUFFER_INIT;
    union any_message message, untouched;
    int err;

    random_init(&fill.random, 4);
    fill_and_encode(kind, &fill, &bytes);
    memset(&untouched, 0x5a, sizeof(untouched));
    failing_alloc_each(n)
    {
        message = untouched;
        failing_alloc_arm(n);
        err = kind->decode(buffer_slice(&bytes), &message);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
        ck_assert_mem_eq(&message, &untouched, kind->size);
    }
    ck_assert_int_eq(err, 0);
    kind->deinit(&message);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(encoding_survives_every_failing_allocation)
{
    const struct message_kind *kind = &message_kinds[_i];
    struct fill fill = {.everything = true};
    struct buffer bytes = BUFFER_INIT;
    union any_message message;
    int err;

    random_init(&fill.random, 5);
    kind->fill(&fill, &message);
    failing_alloc_each(n)
    {
        failing_alloc_arm(n);
        err = kind->encode(&bytes, &message);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
        ck_assert_uint_eq(bytes.size, 0);
    }
    ck_assert_int_eq(err, 0);
    kind->deinit(&message);
    buffer_deinit(&bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("message");
    TCase *tcase = tcase_create("message");

    tcase_add_loop_test(tcase, every_field_of_the_schema_is_encoded, 0, message_kind_count);
    tcase_add_loop_test(tcase, random_messages_come_back, 0, message_kind_count);
    tcase_add_loop_test(tcase, other_encodings_mean_the_same, 0, message_kind_count);
    tcase_add_test(tcase, absent_strings_encode_as_empty_and_decode_as_empty);
    tcase_add_loop_test(tcase, every_truncation_is_refused_or_a_shorter_message, 0, message_kind_count);
    tcase_add_loop_test(tcase, every_bit_flip_is_refused_or_another_message, 0, message_kind_count);
    tcase_add_loop_test(tcase, decoding_survives_every_failing_allocation, 0, message_kind_count);
    tcase_add_loop_test(tcase, encoding_survives_every_failing_allocation, 0, message_kind_count);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
