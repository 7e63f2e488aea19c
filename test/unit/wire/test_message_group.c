/* The messages of consumer groups, and those of message_operate.h: that their tables say what native.proto says (random messages are made by protobuf-c's descriptors and compared with
 * what protobuf-c makes of them), that nothing bad gets in, and that memory may fail. */
#include "wire/message_group.h"

#include "base/bytes.h"
#include "base/error.h"
#include "native.pb-c.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"
#include "unit/wire/proto_scramble.h"
#include "wire/frame.h"
#include "wire/message.h"
#include "wire/message_operate.h"

#include <check.h>
#include <stdlib.h>

#define SEED_COUNT 40
#define SIZE_MAX_OF_STRUCTS 512

union any_message {
    max_align_t align;
    uint8_t bytes[SIZE_MAX_OF_STRUCTS];
};

struct kind {
    const char *name;
    const ProtobufCMessageDescriptor *descriptor;
    size_t size;
    int (*encode)(struct buffer *to, const void *message);
    int (*decode)(struct slice from, void *ret_message);
    void (*deinit)(void *message);
};

#define DEFINE_KIND(suffix, type)                                                                             \
    static int encode_##suffix(struct buffer *to, const void *message)                                       \
    {                                                                                                         \
        return message_encode_##suffix(to, message);                                                          \
    }                                                                                                         \
    static int decode_##suffix(struct slice from, void *ret_message)                                          \
    {                                                                                                         \
        return message_decode_##suffix(from, ret_message);                                                    \
    }                                                                                                         \
    static void deinit_##suffix(void *message)                                                                \
    {                                                                                                         \
        message_deinit_##suffix(message);                                                                     \
    }                                                                                                         \
    _Static_assert(sizeof(struct type) <= SIZE_MAX_OF_STRUCTS, "raise SIZE_MAX_OF_STRUCTS");
MESSAGE_GROUP_MAP(DEFINE_KIND)
MESSAGE_OPERATE_MAP(DEFINE_KIND)

#define KIND(suffix, type, descriptor)                                                                        \
    {#suffix, &mesh__wire__##descriptor##__descriptor, sizeof(struct type), encode_##suffix, decode_##suffix, deinit_##suffix}
static const struct kind kinds[] = {
    KIND(group_join, message_group_join, group_join_request),
    KIND(group_heartbeat, message_group_heartbeat, group_heartbeat_request),
    KIND(group_change, message_group_change, group_change_request),
    KIND(group_commit, message_group_commit, group_commit_request),
    KIND(group_offsets, message_group_offsets, group_offsets_request),
    KIND(group_reset, message_group_reset, group_reset_request),
    KIND(group_list, message_group_list, group_list_request),
    KIND(group_describe, message_group_describe, group_describe_request),
    KIND(group_classic, message_group_classic, group_classic_request),
    KIND(group_classic_response, message_group_classic_response, group_classic_response),
    KIND(group_response, message_group_response, group_response),
    KIND(group_list_response, message_group_list_response, group_list_response),
    KIND(group_describe_response, message_group_describe_response, group_describe_response),
    KIND(events_request, message_events_request, events_request),
    KIND(events_response, message_events_response, events_response),
    KIND(drain_request, message_drain_request, drain_request),
    KIND(drain_response, message_drain_response, drain_response),
    KIND(config_request, message_config_request, config_request),
    KIND(config_response, message_config_response, config_response),
};
#define KIND_COUNT ((int)(sizeof(kinds) / sizeof(kinds[0])))

/* ---- random messages, by the schema alone ---- */

struct writer {
    struct random random;
    bool everything; /* no field is left out, every list has two elements */
    size_t beside;   /* length of the lists that stand beside each other */
};

/* Check writes a line for each claim that holds, which costs more than what is tested: in loops only what fails is told. */
static void put(struct buffer *to, const void *data, size_t size)
{
    if (buffer_append(to, data, size) != 0) ck_abort_msg("no memory");
}

static void put_zeros(struct buffer *to, size_t size)
{
    ck_assert_int_eq(buffer_reserve(to, size), 0);
    memset(to->data + to->size, 0, size);
    to->size += size;
}

static void put_varint(struct buffer *to, uint64_t value)
{
    uint8_t bytes[VARINT_SIZE_MAX];

    put(to, bytes, (size_t)(varint_encode(bytes, value) - bytes));
}

static void put_content(struct buffer *to, uint32_t number, struct slice content)
{
    put_varint(to, number << 3 | 2);
    put_varint(to, content.size);
    if (content.size > 0) put(to, content.data, content.size);
}

static bool ends_with(const char *name, const char *end)
{
    size_t size = strlen(name), end_size = strlen(end);

    return size >= end_size && strcmp(name + size - end_size, end) == 0;
}

static uint64_t some_number(struct writer *writer, const ProtobufCFieldDescriptor *field)
{
    uint64_t number = random_next(&writer->random) >> random_below(&writer->random, 64);

    if (random_below(&writer->random, 3) == 0 && !writer->everything) number = 0;
    if (writer->everything && number == 0) number = 1;
    switch (field->type) {
    case PROTOBUF_C_TYPE_BOOL: return number & 1 || writer->everything;
    case PROTOBUF_C_TYPE_SINT32: return (number % 50) * 2 + 1; /* zigzag: -1 and below */
    case PROTOBUF_C_TYPE_UINT32: return (number | writer->everything) & (ends_with(field->name, "_plus_one") ? INT32_MAX : UINT32_MAX);
    default: return ends_with(field->name, "_plus_one") ? number >> 1 : number;
    }
}

static void put_message(struct writer *writer, const ProtobufCMessageDescriptor *descriptor, struct buffer *to);

static struct slice some_content(struct writer *writer, const ProtobufCFieldDescriptor *field, struct buffer *scratch)
{
    size_t size = random_below(&writer->random, 20) + 2 * writer->everything;

    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        put_message(writer, field->descriptor, scratch);
        return buffer_slice(scratch);
    }
    if (field->type == PROTOBUF_C_TYPE_BYTES && field->label != PROTOBUF_C_LABEL_REPEATED) size = size % 3 == 0 && !writer->everything ? 0 : UUID_SIZE;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(1 + random_below(&writer->random, 255));
        put(scratch, &byte, 1);
    }
    return buffer_slice(scratch);
}

static size_t list_length(struct writer *writer, const ProtobufCFieldDescriptor *field)
{
    size_t length = writer->everything ? 2 : random_below(&writer->random, 4);

    if (field->type == PROTOBUF_C_TYPE_MESSAGE) return length;
    if (strcmp(field->name, "partitions") == 0 || writer->everything) return writer->beside;
    if (strcmp(field->name, "names") == 0 || strcmp(field->name, "payloads") == 0) return writer->beside;
    if (strncmp(field->name, "metadata", 8) == 0) return writer->beside / 2;
    return random_below(&writer->random, 2) == 0 ? writer->beside : 0;
}

static void put_field(struct writer *writer, const ProtobufCFieldDescriptor *field, struct buffer *to)
{
    bool is_list = field->label == PROTOBUF_C_LABEL_REPEATED;
    bool is_number = field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_BYTES && field->type != PROTOBUF_C_TYPE_MESSAGE;
    struct buffer scratch = BUFFER_INIT;

    if (is_number && !is_list) {
        uint64_t number = some_number(writer, field);

        if (number != 0) put_varint(to, field->id << 3);
        if (number != 0) put_varint(to, number);
    } else if (is_number) {
        size_t length = list_length(writer, field);

        for (size_t i = 0; i < length; i++)
            put_varint(&scratch, strcmp(field->name, "metadata_places") == 0 ? i : some_number(writer, field));
        if (length > 0) put_content(to, field->id, buffer_slice(&scratch));
    } else {
        for (size_t i = is_list ? list_length(writer, field) : 1; i > 0; i--) {
            struct slice content;

            buffer_clear(&scratch);
            content = some_content(writer, field, &scratch);
            if (is_list || content.size > 0) put_content(to, field->id, content);
        }
    }
    buffer_deinit(&scratch);
}

static void put_message(struct writer *writer, const ProtobufCMessageDescriptor *descriptor, struct buffer *to)
{
    writer->beside = writer->everything ? 2 : random_below(&writer->random, 5);
    for (unsigned i = 0; i < descriptor->n_fields; i++)
        put_field(writer, &descriptor->fields[i], to);
}

static void make(const struct kind *kind, uint64_t seed, bool everything, struct buffer *to)
{
    struct writer writer = {.everything = everything};

    random_init(&writer.random, seed);
    put_message(&writer, kind->descriptor, to);
}

/* Decodes from memory of exactly that size, and encodes what came out. */
static int recode(const struct kind *kind, struct slice from, struct buffer *to)
{
    union any_message message;
    uint8_t *copy = malloc(from.size > 0 ? from.size : 1);
    int err;

    if (copy == NULL) ck_abort_msg("no memory");
    if (from.size > 0) memcpy(copy, from.data, from.size);
    err = kind->decode(slice_of(copy, from.size), &message);
    if (err == 0) {
        if (kind->encode(to, &message) != 0) ck_abort_msg("%s: what was decoded cannot be encoded", kind->name);
        kind->deinit(&message);
    }
    free(copy);
    return err;
}

/* ---- nothing is lost ---- */

static void check_bytes_are_protobufs(const struct kind *kind, struct slice bytes)
{
    ProtobufCMessage *message = protobuf_c_message_unpack(kind->descriptor, NULL, bytes.size, bytes.data);
    struct buffer packed = BUFFER_INIT;

    ck_assert_ptr_nonnull(message);
    ck_assert_int_eq(buffer_reserve(&packed, protobuf_c_message_get_packed_size(message) + 1), 0);
    packed.size = protobuf_c_message_pack(message, packed.data);
    ck_assert(slice_equal(buffer_slice(&packed), bytes));
    protobuf_c_message_free_unpacked(message, NULL);
    buffer_deinit(&packed);
}

START_TEST(random_messages_come_back_and_in_every_encoding)
{
    const struct kind *kind = &kinds[_i];

    for (unsigned seed = 0; seed < SEED_COUNT; seed++) {
        struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT, scrambled = BUFFER_INIT;
        struct random random;

        make(kind, seed, seed % 8 == 0, &bytes);
        check_bytes_are_protobufs(kind, buffer_slice(&bytes));
        ck_assert_int_eq(recode(kind, buffer_slice(&bytes), &again), 0);
        ck_assert_msg(slice_equal(buffer_slice(&bytes), buffer_slice(&again)), "%s seed=%u", kind->name, seed);
        random_init(&random, seed);
        proto_scramble(kind->descriptor, buffer_slice(&bytes), &random, &scrambled);
        buffer_clear(&again);
        ck_assert_int_eq(recode(kind, buffer_slice(&scrambled), &again), 0);
        ck_assert_msg(slice_equal(buffer_slice(&bytes), buffer_slice(&again)), "%s seed=%u, scrambled", kind->name, seed);
        buffer_deinit(&bytes);
        buffer_deinit(&again);
        buffer_deinit(&scrambled);
    }
}
END_TEST

START_TEST(nothing_decodes_to_defaults)
{
    const struct kind *kind = &kinds[_i];
    struct buffer bytes = BUFFER_INIT;
    union any_message message;

    ck_assert_int_eq(kind->decode(slice_of(NULL, 0), &message), 0);
    ck_assert_int_eq(kind->encode(&bytes, &message), 0);
    ck_assert_uint_eq(bytes.size, 0);
    kind->deinit(&message);
    kind->deinit(&message);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(an_error_answer_is_a_group_answer)
{
    struct message_error error = {MESH_ENOT_LEADER, (char[]){"elsewhere"}}, decoded_error;
    struct message_group_response response, without = {.error = MESH_EBUSY, .message = slice_of_string("full"), .route = {.leader = 4, .epoch = 9}};
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(message_encode_error(&bytes, &error), 0);
    ck_assert_int_eq(message_decode_group_response(buffer_slice(&bytes), &response), 0);
    ck_assert_int_eq(response.error, MESH_ENOT_LEADER);
    ck_assert(slice_equal(response.message, slice_of_string("elsewhere")));
    ck_assert_int_eq(response.route.leader, -1);
    message_deinit_group_response(&response);
    buffer_clear(&bytes);
    ck_assert_int_eq(message_encode_group_response(&bytes, &without), 0);
    ck_assert_int_eq(message_decode_error(buffer_slice(&bytes), &decoded_error), 0);
    ck_assert_int_eq(decoded_error.error, MESH_EBUSY);
    ck_assert_str_eq(decoded_error.message, "full");
    message_deinit_error(&decoded_error);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(the_head_of_every_request_is_seen_without_the_rest)
{
    struct message_group_commit commit = {.generation = 7, .head = {.group = slice_of_string("orders-workers"),
                                                    .forwards = true,
                                                    .member = slice_of_string("m1"),
                                                    .instance = slice_of_string("i1"),
                                                    .epoch = 300,
                                                    .sequence = 1ull << 40,
                                                    .timeout_ms = 5000}};
    struct buffer bytes = BUFFER_INIT;
    struct message_group_head head;

    ck_assert_int_eq(message_encode_group_commit(&bytes, &commit), 0);
    ck_assert_int_eq(message_group_peek(buffer_slice(&bytes), &head), 0);
    ck_assert(slice_equal(head.group, commit.head.group) && slice_equal(head.member, commit.head.member) && slice_equal(head.instance, commit.head.instance));
    ck_assert(head.forwards && head.epoch == 300 && head.sequence == 1ull << 40 && head.timeout_ms == 5000);
    for (size_t size = 0; size < bytes.size; size++)
        message_group_peek(slice_of(bytes.data, size), &head);
    ck_assert_int_eq(message_group_peek(slice_of((const uint8_t[]){0x0a, 5, 'a'}, 3), &head), MESH_EPROTO);
    ck_assert_int_eq(message_group_peek(slice_of((const uint8_t[]){0x08, 5}, 2), &head), MESH_EPROTO);
    buffer_deinit(&bytes);
}
END_TEST

/* ---- nothing bad gets in ---- */

START_TEST(every_truncation_and_every_bit_flip_is_refused_or_another_message)
{
    const struct kind *kind = &kinds[_i];
    struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;

    make(kind, 2, true, &bytes);
    for (size_t size = 0; size < bytes.size; size++) {
        int err;

        buffer_clear(&again);
        err = recode(kind, slice_of(bytes.data, size), &again);
        if (err != MESH_EPROTO && (err != 0 || !slice_equal(buffer_slice(&again), slice_of(bytes.data, size))))
            ck_abort_msg("%s, its first %zu bytes: %s", kind->name, size, mesh_error_name(err));
    }
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        int err;

        buffer_clear(&again);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        err = recode(kind, buffer_slice(&bytes), &again);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (err != 0 && err != MESH_EPROTO) ck_abort_msg("%s, bit %zu: %s", kind->name, bit, mesh_error_name(err));
    }
    buffer_deinit(&bytes);
    buffer_deinit(&again);
}
END_TEST

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static const struct refusal_case {
    const char *what;
    int kind; /* place in kinds[] */
    const uint8_t *bytes;
    size_t size;
    int want;
} refusal_cases[] = {
    {"a group", 1, BYTES(0x0a, 1, 'g'), 0},
    {"a NUL in a name is for the lead to judge", 1, BYTES(0x0a, 1, 0), 0},
    {"a number where a string belongs", 1, BYTES(0x08, 1), MESH_EPROTO},
    {"a string where a number belongs", 1, BYTES(0x2a, 1, 1), MESH_EPROTO},
    {"an unknown field", 1, BYTES(0xa0, 0x06, 1), 0},
    {"wire type 7", 1, BYTES(0xa7, 0x06), MESH_EPROTO},
    {"generation -2", 3, BYTES(0x40, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01), MESH_EPROTO},
    {"generation -2, overruled", 3, BYTES(0x40, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x40, 1), 0},
    {"two partitions, two offsets", 3, BYTES(0x52, 8, 0x12, 2, 0, 1, 0x1a, 2, 5, 6), 0},
    {"two partitions, no offsets", 3, BYTES(0x52, 4, 0x12, 2, 0, 1), 0},
    {"two partitions, one offset", 3, BYTES(0x52, 7, 0x12, 2, 0, 1, 0x1a, 1, 5), MESH_EPROTO},
    {"no partitions, one offset", 3, BYTES(0x52, 3, 0x1a, 1, 5), MESH_EPROTO},
    {"an offset of -2", 3, BYTES(0x52, 15, 0x12, 1, 0, 0x1a, 10, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01), MESH_EPROTO},
    {"metadata of the second partition", 3, BYTES(0x52, 10, 0x12, 2, 0, 1, 0x2a, 1, 1, 0x32, 1, 'm'), 0},
    {"metadata in its place", 3, BYTES(0x52, 9, 0x12, 2, 0, 1, 0x2a, 1, 1, 0x32, 0), 0},
    {"metadata of a third that is not there", 3, BYTES(0x52, 9, 0x12, 2, 0, 1, 0x2a, 1, 2, 0x32, 0), MESH_EPROTO},
    {"metadata without a place", 3, BYTES(0x52, 6, 0x12, 2, 0, 1, 0x32, 0), MESH_EPROTO},
    {"places that do not rise", 3, BYTES(0x52, 12, 0x12, 2, 0, 1, 0x2a, 2, 1, 1, 0x32, 0, 0x32, 0), MESH_EPROTO},
    {"an error above 0", 8, BYTES(0x08, 2), MESH_EPROTO},
    {"a partition's error above 0", 8, BYTES(0x42, 6, 0x12, 1, 0, 0x3a, 1, 2), MESH_EPROTO},
    {"a topic's id of 15 bytes", 3, BYTES(0x52, 17, 0x0a, 15, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), MESH_EPROTO},
    {"a route cut short", 8, BYTES(0x1a, 2, 0x08), MESH_EPROTO},
    {"a route in two parts", 8, BYTES(0x1a, 2, 0x08, 3, 0x1a, 2, 0x10, 4), 0},
};

START_TEST(malformed_messages_are_refused)
{
    const struct refusal_case *c = &refusal_cases[_i];
    struct buffer again = BUFFER_INIT;
    int err = recode(&kinds[c->kind], slice_of(c->bytes, c->size), &again);

    ck_assert_msg(err == c->want, "%s: %s", c->what, mesh_error_name(err));
    buffer_deinit(&again);
}
END_TEST

START_TEST(lists_have_a_greatest_length)
{
    uint32_t *partitions = calloc(MESSAGE_GROUP_PARTITIONS_MAX + 1, sizeof(*partitions));
    struct message_group_partitions topics[2] = {{.partitions = partitions, .partition_count = MESSAGE_GROUP_PARTITIONS_MAX},
                                                 {.partitions = partitions, .partition_count = 1}};
    struct message_group_commit commit = {.generation = -1, .reset_epoch = -1, .topics = topics, .topic_count = 1}, decoded;
    struct buffer bytes = BUFFER_INIT;

    ck_assert_ptr_nonnull(partitions);
    ck_assert_int_eq(message_encode_group_commit(&bytes, &commit), 0);
    ck_assert_int_eq(message_decode_group_commit(buffer_slice(&bytes), &decoded), 0);
    message_deinit_group_commit(&decoded);
    commit.topic_count = 2;
    ck_assert_int_eq(message_encode_group_commit(&bytes, &commit), MESH_EINVAL);
    put(&bytes, (const uint8_t[]){0x52, 3, 0x12, 1, 0}, 5);
    ck_assert_int_eq(message_decode_group_commit(buffer_slice(&bytes), &decoded), MESH_EPROTO);
    buffer_clear(&bytes);
    for (size_t i = 0; i < MESSAGE_GROUP_LISTS_BYTES_MAX / sizeof(topics[0]) + 1; i++) /* empty lists, two bytes each */
        put(&bytes, (const uint8_t[]){0x52, 0}, 2);
    ck_assert_int_eq(message_decode_group_commit(buffer_slice(&bytes), &decoded), MESH_EPROTO);
    buffer_clear(&bytes);
    put_zeros(&bytes, FRAME_MESSAGE_BYTES_MAX + 1);
    ck_assert_int_eq(message_decode_group_commit(buffer_slice(&bytes), &decoded), MESH_EPROTO);
    buffer_deinit(&bytes);
    free(partitions);
}
END_TEST

START_TEST(what_cannot_be_said_is_not_encoded)
{
    uint32_t partitions[2] = {0, 1};
    int64_t offsets[2] = {5, -2};
    struct message_group_partitions topic = {.partitions = partitions, .partition_count = 2, .offsets = offsets, .offset_count = 2};
    struct message_group_commit commit = {.generation = -1, .reset_epoch = -1, .topics = &topic, .topic_count = 1};
    struct message_group_response response = {.route.leader = INT32_MAX};
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(message_encode_group_commit(&bytes, &commit), MESH_EINVAL);
    offsets[1] = 6;
    topic.offset_count = 1;
    ck_assert_int_eq(message_encode_group_commit(&bytes, &commit), MESH_EINVAL);
    commit.generation = -2;
    topic.offset_count = 2;
    ck_assert_int_eq(message_encode_group_commit(&bytes, &commit), MESH_EINVAL);
    ck_assert_int_eq(message_encode_group_response(&bytes, &response), MESH_EINVAL);
    ck_assert_uint_eq(bytes.size, 0);
}
END_TEST

/* ---- memory ---- */

START_TEST(every_failing_allocation_is_survived)
{
    const struct kind *kind = &kinds[_i];
    struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;
    union any_message message, untouched;
    int err;

    make(kind, 4, true, &bytes);
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
    failing_alloc_arm(1);
    err = kind->encode(&again, &message);
    ck_assert(failing_alloc_disarm());
    ck_assert_int_eq(err, MESH_ENOMEM);
    ck_assert_uint_eq(again.size, 0);
    kind->deinit(&message);
    buffer_deinit(&bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group messages");
    TCase *tcase = tcase_create("group messages");

    tcase_add_loop_test(tcase, random_messages_come_back_and_in_every_encoding, 0, KIND_COUNT);
    tcase_add_loop_test(tcase, nothing_decodes_to_defaults, 0, KIND_COUNT);
    tcase_add_test(tcase, an_error_answer_is_a_group_answer);
    tcase_add_test(tcase, the_head_of_every_request_is_seen_without_the_rest);
    tcase_add_loop_test(tcase, every_truncation_and_every_bit_flip_is_refused_or_another_message, 0, KIND_COUNT);
    tcase_add_loop_test(tcase, malformed_messages_are_refused, 0, sizeof(refusal_cases) / sizeof(refusal_cases[0]));
    tcase_add_test(tcase, lists_have_a_greatest_length);
    tcase_add_test(tcase, what_cannot_be_said_is_not_encoded);
    tcase_add_loop_test(tcase, every_failing_allocation_is_survived, 0, KIND_COUNT);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
