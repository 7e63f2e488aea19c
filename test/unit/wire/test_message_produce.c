/* The produce messages' hand-written walkers, held against protobuf-c. */
#include "wire/message.h"

#include "base/error.h"
#include "native.pb-c.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"
#include "unit/wire/proto_scramble.h"

#include <check.h>
#include <stdlib.h>

#define SEED_COUNT 2000
#define COUNT_MAX  6 /* entries of a random message */

struct request {
    int32_t acks;
    uint32_t timeout_ms, entry_count, attachment_size;
    bool forwards;
    struct produce_entry entries[COUNT_MAX];
};

static uint64_t random_number(struct random *random)
{
    static const uint64_t edges[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX};

    if (random_below(random, 2) == 0) return edges[random_below(random, sizeof(edges) / sizeof(edges[0]))];
    return random_next(random) >> random_below(random, 64);
}

static struct uuid random_uuid(struct random *random)
{
    struct uuid uuid;

    for (int i = 0; i < UUID_SIZE; i++)
        uuid.bytes[i] = (uint8_t)random_next(random);
    return uuid;
}

static struct request random_request(struct random *random)
{
    struct request request = {
        .acks = (int32_t)random_below(random, 3) - 1,
        .timeout_ms = (uint32_t)random_number(random),
        .entry_count = (uint32_t)random_below(random, COUNT_MAX + 1),
        .forwards = random_below(random, 2) == 0,
    };

    for (uint32_t i = 0; i < request.entry_count; i++) {
        struct produce_entry *entry = &request.entries[i];
        entry->topic_id = random_uuid(random);
        entry->partition = (uint32_t)random_number(random);
        entry->leader_epoch = random_below(random, 3) == 0 ? -1 : (int32_t)random_below(random, INT32_MAX);
        entry->batch_size = (uint32_t)(random_next(random) >> (38 + random_below(random, 26)));
        request.attachment_size += entry->batch_size;
    }
    return request;
}

static void encode_request(const struct request *request, struct buffer *to)
{
    ck_assert_int_eq(produce_request_start(to, request->acks, request->timeout_ms), 0);
    for (uint32_t i = 0; i < request->entry_count; i++)
        ck_assert_int_eq(produce_request_add(to, &request->entries[i]), 0);
    if (request->forwards) ck_assert_int_eq(produce_request_forward(to), 0);
}

/* The same through protobuf-c. */
static void encode_request_by_library(struct request *request, struct buffer *to)
{
    Mesh__Wire__ProduceRequest wire = MESH__WIRE__PRODUCE_REQUEST__INIT;
    Mesh__Wire__ProduceEntry entries[COUNT_MAX], *pointers[COUNT_MAX];

    wire.acks = request->acks;
    wire.timeout_ms = request->timeout_ms;
    wire.forward = request->forwards;
    wire.n_entries = request->entry_count;
    wire.entries = pointers;
    for (uint32_t i = 0; i < request->entry_count; i++) {
        mesh__wire__produce_entry__init(&entries[i]);
        entries[i].topic_id = (ProtobufCBinaryData){UUID_SIZE, request->entries[i].topic_id.bytes};
        entries[i].partition = request->entries[i].partition;
        entries[i].leader_epoch_plus_one = request->entries[i].leader_epoch + 1;
        entries[i].batch_size = request->entries[i].batch_size;
        pointers[i] = &entries[i];
    }
    ck_assert_int_eq(buffer_reserve(to, protobuf_c_message_get_packed_size(&wire.base) + 1), 0);
    to->size += protobuf_c_message_pack(&wire.base, to->data + to->size);
}

/* Reads from memory of exactly that size, so that a sanitizer sees a read beyond it. */
static int read_request(struct slice message, uint32_t attachment_size, struct request *ret_request)
{
    struct produce_request_reader reader;
    uint8_t *copy = malloc(message.size > 0 ? message.size : 1);
    int err;

    ck_assert_ptr_nonnull(copy);
    if (message.size > 0) memcpy(copy, message.data, message.size);
    err = produce_request_reader_init(&reader, slice_of(copy, message.size), attachment_size);
    if (err == 0) {
        uint32_t count = 0;
        struct produce_entry entry;
        *ret_request = (struct request){
            reader.acks, reader.timeout_ms, reader.entry_count, attachment_size, reader.forwards, {{{{0}}, 0, 0, 0}}};
        while (produce_request_reader_next(&reader, &entry)) {
            if (count < COUNT_MAX) ret_request->entries[count] = entry;
            count++;
        }
        ck_assert_uint_eq(count, ret_request->entry_count);
        ck_assert(!produce_request_reader_next(&reader, &entry)); /* and stays at the end */
    }
    free(copy);
    return err;
}

START_TEST(requests_are_written_as_protobuf_does_and_read_back)
{
    for (unsigned seed = 0; seed < SEED_COUNT; seed++) {
        struct buffer ours = BUFFER_INIT, theirs = BUFFER_INIT, scrambled = BUFFER_INIT, again = BUFFER_INIT;
        struct request request, read;
        struct random random;

        random_init(&random, seed);
        request = random_request(&random);
        encode_request(&request, &ours);
        encode_request_by_library(&request, &theirs);
        ck_assert_msg(slice_equal(buffer_slice(&ours), buffer_slice(&theirs)), "seed=%u", seed);
        proto_scramble(&mesh__wire__produce_request__descriptor, buffer_slice(&ours), &random, &scrambled);
        ck_assert_int_eq(
            read_request(buffer_slice(seed % 2 ? &ours : &scrambled), request.attachment_size, &read), 0);
        encode_request(&read, &again);
        ck_assert_msg(slice_equal(buffer_slice(&ours), buffer_slice(&again)), "seed=%u", seed);
        buffer_deinit(&ours);
        buffer_deinit(&theirs);
        buffer_deinit(&scrambled);
        buffer_deinit(&again);
    }
}
END_TEST

/* What protobuf-c makes of the bytes agrees with what we made of them. */
static void check_against_library(struct slice message, const struct request *request)
{
    Mesh__Wire__ProduceRequest *wire = mesh__wire__produce_request__unpack(NULL, message.size, message.data);

    ck_assert_ptr_nonnull(wire);
    ck_assert_int_eq(wire->acks, request->acks);
    ck_assert_uint_eq(wire->timeout_ms, request->timeout_ms);
    ck_assert(!!wire->forward == request->forwards);
    ck_assert_uint_eq(wire->n_entries, request->entry_count);
    for (size_t i = 0; i < wire->n_entries && i < COUNT_MAX; i++) {
        ck_assert_mem_eq(wire->entries[i]->topic_id.data, request->entries[i].topic_id.bytes, UUID_SIZE);
        ck_assert_uint_eq(wire->entries[i]->partition, request->entries[i].partition);
        ck_assert_int_eq(wire->entries[i]->leader_epoch_plus_one, request->entries[i].leader_epoch + 1);
        ck_assert_uint_eq(wire->entries[i]->batch_size, request->entries[i].batch_size);
    }
    mesh__wire__produce_request__free_unpacked(wire, NULL);
}

/* The sum that a damaged message may have come to claim, so that it is not refused for that alone. */
static uint32_t claimed_size(struct slice message)
{
    Mesh__Wire__ProduceRequest *wire = mesh__wire__produce_request__unpack(NULL, message.size, message.data);
    uint32_t sum = 0;

    for (size_t i = 0; wire != NULL && i < wire->n_entries; i++)
        sum += wire->entries[i]->batch_size;
    if (wire != NULL) mesh__wire__produce_request__free_unpacked(wire, NULL);
    return sum;
}

START_TEST(damaged_requests_are_refused_or_read_as_protobuf_does)
{
    struct buffer bytes = BUFFER_INIT;
    unsigned accepted = 0, refused = 0;

    for (unsigned seed = 0; seed < 20; seed++) {
        struct request request, read;
        struct random random;

        random_init(&random, seed);
        request = random_request(&random);
        buffer_clear(&bytes);
        encode_request(&request, &bytes);
        for (size_t bit = 0; bit < bytes.size * 8; bit++) {
            int err;
            bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            err = read_request(buffer_slice(&bytes), claimed_size(buffer_slice(&bytes)), &read);
            ck_assert(err == 0 || err == MESH_EPROTO);
            if (err == 0) check_against_library(buffer_slice(&bytes), &read);
            *(err == 0 ? &accepted : &refused) += 1;
            bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t size = 0; size < bytes.size; size++) {
            struct slice cut = slice_of(bytes.data, size);
            if (read_request(cut, claimed_size(cut), &read) == 0) check_against_library(cut, &read);
        }
    }
    ck_assert_uint_gt(accepted, 100);
    ck_assert_uint_gt(refused, 100);
    buffer_deinit(&bytes);
}
END_TEST

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})
#define TOPIC      0x0a, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16

static const struct refusal_case {
    const char *what;
    const uint8_t *bytes;
    size_t size;
    uint32_t attachment_size;
    int want;
} refusal_cases[] = {
    {"one entry", BYTES(0x1a, 20, TOPIC, 0x20, 9), 9, 0},
    {"an attachment too short", BYTES(0x1a, 20, TOPIC, 0x20, 9), 8, MESH_EPROTO},
    {"an attachment too long", BYTES(0x1a, 20, TOPIC, 0x20, 9), 10, MESH_EPROTO},
    {"sizes whose sum is right only in 32 bits",
     BYTES(0x1a, 24, TOPIC, 0x20, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x1a, 20, TOPIC, 0x20, 10), 9, MESH_EPROTO},
    {"no entries but an attachment", BYTES(0x08, 1), 9, MESH_EPROTO},
    {"an entry without topic", BYTES(0x1a, 2, 0x20, 9), 9, MESH_EPROTO},
    {"a topic of 15 bytes", BYTES(0x1a, 17, 0x0a, 15, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), 0,
     MESH_EPROTO},
    {"a topic of no bytes", BYTES(0x1a, 2, 0x0a, 0), 0, MESH_EPROTO},
    {"a topic cut short by its entry", BYTES(0x1a, 17, TOPIC), 0, MESH_EPROTO},
    {"acks 1", BYTES(0x08, 2), 0, 0},
    {"acks 2", BYTES(0x08, 4), 0, MESH_EPROTO},
    {"acks -2", BYTES(0x08, 3), 0, MESH_EPROTO},
    {"acks 2, overruled", BYTES(0x08, 4, 0x08, 1), 0, 0},
    {"leader epoch -2", BYTES(0x1a, 20, TOPIC, 0x18, 1), 0, MESH_EPROTO},
    {"the highest leader epoch", BYTES(0x1a, 24, TOPIC, 0x18, 0xfe, 0xff, 0xff, 0xff, 0x0f), 0, 0},
    {"acks with another wire type", BYTES(0x0a, 1, 1), 0, MESH_EPROTO},
    {"partition of fixed width", BYTES(0x1a, 23, TOPIC, 0x15, 1, 0, 0, 0), 0, MESH_EPROTO},
    {"field number 0 in an entry", BYTES(0x1a, 20, TOPIC, 0x00, 1), 0, MESH_EPROTO},
    {"a group", BYTES(0xa3, 0x06, 0xa4, 0x06), 0, MESH_EPROTO},
    {"an unknown field after the entries", BYTES(0x1a, 18, TOPIC, 0xa0, 0x06, 1), 0, 0},
    {"an unknown field longer than the rest", BYTES(0x1a, 18, TOPIC, 0xa2, 0x06, 1), 0, MESH_EPROTO},
    {"an entry longer than the message", BYTES(0x1a, 19, TOPIC), 0, MESH_EPROTO},
    {"a timeout cut short", BYTES(0x10, 0x80), 0, MESH_EPROTO},
    {"a timeout of eleven bytes", BYTES(0x10, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0),
     0, MESH_EPROTO},
};

START_TEST(malformed_requests_are_refused)
{
    const struct refusal_case *c = &refusal_cases[_i];
    struct request read;

    ck_assert_msg(read_request(slice_of(c->bytes, c->size), c->attachment_size, &read) == c->want, "%s",
                  c->what);
}
END_TEST

START_TEST(requests_have_a_greatest_number_of_entries)
{
    const struct produce_entry entry = {{{1}}, 1, 1, 1};
    struct produce_request_reader reader;
    struct buffer bytes = BUFFER_INIT;

    for (uint32_t i = 0; i < MESSAGE_ENTRIES_MAX; i++)
        ck_assert_int_eq(produce_request_add(&bytes, &entry), 0);
    ck_assert_int_eq(produce_request_reader_init(&reader, buffer_slice(&bytes), MESSAGE_ENTRIES_MAX), 0);
    ck_assert_uint_eq(reader.entry_count, MESSAGE_ENTRIES_MAX);
    ck_assert_int_eq(produce_request_add(&bytes, &entry), 0);
    ck_assert_int_eq(produce_request_reader_init(&reader, buffer_slice(&bytes), MESSAGE_ENTRIES_MAX + 1),
                     MESH_EPROTO);
    buffer_deinit(&bytes);
}
END_TEST

/* ---- response ---- */

static struct produce_result random_result(struct random *random)
{
    struct produce_result result = {
        .error = -(int)random_below(random, 50),
        .base_offset = random_number(random),
        .leader_epoch = (int32_t)random_number(random),
        .replicas_holding = (uint32_t)random_number(random),
        .replicas_synced = (uint32_t)random_number(random),
        .append_time_ms = (int64_t)(random_number(random) >> 1) - 1,
        .is_duplicate = random_below(random, 2) == 0,
    };

    return result;
}

static void encode_results_by_library(const struct produce_result *results, size_t count, struct buffer *to)
{
    Mesh__Wire__ProduceResponse wire = MESH__WIRE__PRODUCE_RESPONSE__INIT;
    Mesh__Wire__ProduceResult items[COUNT_MAX], *pointers[COUNT_MAX];

    wire.n_results = count;
    wire.results = pointers;
    for (size_t i = 0; i < count; i++) {
        mesh__wire__produce_result__init(&items[i]);
        items[i].error = results[i].error;
        items[i].base_offset = results[i].base_offset;
        items[i].leader_epoch = results[i].leader_epoch;
        items[i].replicas_holding = results[i].replicas_holding;
        items[i].replicas_synced = results[i].replicas_synced;
        items[i].append_time_plus_one_ms = (uint64_t)results[i].append_time_ms + 1;
        items[i].is_duplicate = results[i].is_duplicate;
        pointers[i] = &items[i];
    }
    ck_assert_int_eq(buffer_reserve(to, protobuf_c_message_get_packed_size(&wire.base) + 1), 0);
    to->size += protobuf_c_message_pack(&wire.base, to->data + to->size);
}

/* What protobuf-c makes of the bytes agrees with what we made of them. */
static void check_results_against_library(struct slice message)
{
    Mesh__Wire__ProduceResponse *wire =
        mesh__wire__produce_response__unpack(NULL, message.size, message.data);
    struct produce_response_reader reader;
    struct produce_result result;

    ck_assert_ptr_nonnull(wire);
    ck_assert_int_eq(produce_response_reader_init(&reader, message), 0);
    ck_assert_uint_eq(wire->n_results, reader.result_count);
    for (size_t i = 0; produce_response_reader_next(&reader, &result); i++) {
        ck_assert_int_eq(wire->results[i]->error, result.error);
        ck_assert_uint_eq(wire->results[i]->base_offset, result.base_offset);
        ck_assert_int_eq(wire->results[i]->leader_epoch, result.leader_epoch);
        ck_assert_uint_eq(wire->results[i]->replicas_holding, result.replicas_holding);
        ck_assert_uint_eq(wire->results[i]->replicas_synced, result.replicas_synced);
        ck_assert_uint_eq(wire->results[i]->append_time_plus_one_ms, (uint64_t)result.append_time_ms + 1);
        ck_assert_int_eq(wire->results[i]->is_duplicate != 0, result.is_duplicate);
    }
    mesh__wire__produce_response__free_unpacked(wire, NULL);
}

/* Reads every result and encodes it again. MESH_EPROTO when the message is refused. */
static int recode_response(struct slice message, struct buffer *to)
{
    struct produce_response_reader reader;
    struct produce_result result;
    uint8_t *copy = malloc(message.size > 0 ? message.size : 1);
    uint32_t count = 0;
    int err;

    ck_assert_ptr_nonnull(copy);
    if (message.size > 0) memcpy(copy, message.data, message.size);
    err = produce_response_reader_init(&reader, slice_of(copy, message.size));
    for (; err == 0 && produce_response_reader_next(&reader, &result); count++)
        ck_assert_int_eq(produce_response_add(to, &result), 0);
    if (err == 0) ck_assert_uint_eq(count, reader.result_count);
    free(copy);
    return err;
}

START_TEST(responses_are_written_as_protobuf_does_and_read_back)
{
    for (unsigned seed = 0; seed < SEED_COUNT; seed++) {
        struct buffer ours = BUFFER_INIT, theirs = BUFFER_INIT, scrambled = BUFFER_INIT, again = BUFFER_INIT;
        struct produce_result results[COUNT_MAX];
        struct random random;
        size_t count;

        random_init(&random, seed);
        count = random_below(&random, COUNT_MAX + 1);
        for (size_t i = 0; i < count; i++) {
            results[i] = random_result(&random);
            ck_assert_int_eq(produce_response_add(&ours, &results[i]), 0);
        }
        encode_results_by_library(results, count, &theirs);
        ck_assert_msg(slice_equal(buffer_slice(&ours), buffer_slice(&theirs)), "seed=%u", seed);
        proto_scramble(&mesh__wire__produce_response__descriptor, buffer_slice(&ours), &random, &scrambled);
        ck_assert_int_eq(recode_response(buffer_slice(seed % 2 ? &ours : &scrambled), &again), 0);
        ck_assert_msg(slice_equal(buffer_slice(&ours), buffer_slice(&again)), "seed=%u", seed);
        buffer_deinit(&ours);
        buffer_deinit(&theirs);
        buffer_deinit(&scrambled);
        buffer_deinit(&again);
    }
}
END_TEST

START_TEST(damaged_responses_are_refused_or_read_as_protobuf_does)
{
    struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;
    struct random random;

    random_init(&random, 1);
    for (int i = 0; i < 50; i++) {
        struct produce_result result = random_result(&random);
        buffer_clear(&bytes);
        ck_assert_int_eq(produce_response_add(&bytes, &result), 0);
        for (size_t bit = 0; bit < bytes.size * 8; bit++) {
            int err;
            bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            buffer_clear(&again);
            err = recode_response(buffer_slice(&bytes), &again);
            ck_assert(err == 0 || err == MESH_EPROTO);
            if (err == 0) check_results_against_library(buffer_slice(&bytes));
            bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t size = 0; size < bytes.size; size++)
            if (recode_response(slice_of(bytes.data, size), &again) == 0)
                check_results_against_library(slice_of(bytes.data, size));
    }
    buffer_deinit(&bytes);
    buffer_deinit(&again);
}
END_TEST

START_TEST(impossible_results_are_refused)
{
    struct produce_response_reader reader;

    /* an error above 0; an append time above 2^63 - 1; one that is just that */
    ck_assert_int_eq(produce_response_reader_init(&reader, slice_of(BYTES(0x0a, 2, 0x08, 2))), MESH_EPROTO);
    ck_assert_int_eq(
        produce_response_reader_init(&reader, slice_of(BYTES(0x0a, 11, 0x30, 0x81, 0x80, 0x80, 0x80, 0x80,
                                                             0x80, 0x80, 0x80, 0x80, 0x01))),
        MESH_EPROTO);
    ck_assert_int_eq(
        produce_response_reader_init(&reader, slice_of(BYTES(0x0a, 11, 0x30, 0x80, 0x80, 0x80, 0x80, 0x80,
                                                             0x80, 0x80, 0x80, 0x80, 0x01))),
        0);
}
END_TEST

/* ---- encoders ---- */

START_TEST(what_cannot_be_said_is_not_encoded)
{
    struct produce_entry entry = {.leader_epoch = -2};
    struct produce_result result = {.append_time_ms = -2};
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(produce_request_add(&bytes, &entry), MESH_EINVAL);
    entry.leader_epoch = INT32_MAX;
    ck_assert_int_eq(produce_request_add(&bytes, &entry), MESH_EINVAL);
    ck_assert_int_eq(produce_response_add(&bytes, &result), MESH_EINVAL);
    ck_assert_uint_eq(bytes.size, 0);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(without_memory_nothing_is_encoded)
{
    const struct produce_entry entry = {{{1}}, 1, 1, 1};
    const struct produce_result result = {.append_time_ms = -1};
    struct buffer bytes = BUFFER_INIT;

    failing_alloc_arm(1);
    ck_assert_int_eq(produce_request_start(&bytes, -1, 1), MESH_ENOMEM);
    ck_assert(failing_alloc_disarm());
    failing_alloc_arm(1);
    ck_assert_int_eq(produce_request_add(&bytes, &entry), MESH_ENOMEM);
    ck_assert(failing_alloc_disarm());
    failing_alloc_arm(1);
    ck_assert_int_eq(produce_response_add(&bytes, &result), MESH_ENOMEM);
    ck_assert(failing_alloc_disarm());
    ck_assert_uint_eq(bytes.size, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("produce messages");
    TCase *tcase = tcase_create("produce messages");

    tcase_add_test(tcase, requests_are_written_as_protobuf_does_and_read_back);
    tcase_add_test(tcase, damaged_requests_are_refused_or_read_as_protobuf_does);
    tcase_add_loop_test(tcase, malformed_requests_are_refused, 0,
                        sizeof(refusal_cases) / sizeof(refusal_cases[0]));
    tcase_add_test(tcase, requests_have_a_greatest_number_of_entries);
    tcase_add_test(tcase, responses_are_written_as_protobuf_does_and_read_back);
    tcase_add_test(tcase, damaged_responses_are_refused_or_read_as_protobuf_does);
    tcase_add_test(tcase, impossible_results_are_refused);
    tcase_add_test(tcase, what_cannot_be_said_is_not_encoded);
    tcase_add_test(tcase, without_memory_nothing_is_encoded);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
