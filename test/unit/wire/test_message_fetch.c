/* The fetch messages' hand-written walkers, held against protobuf-c. */
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
    uint32_t max_wait_ms, bytes_min, bytes_max, entry_count;
    bool forwards;
    struct fetch_entry entries[COUNT_MAX];
};

struct response {
    uint32_t result_count, attachment_size;
    struct fetch_result results[COUNT_MAX];
};

static uint64_t random_number(struct random *random)
{
    static const uint64_t edges[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX};

    if (random_below(random, 2) == 0) return edges[random_below(random, sizeof(edges) / sizeof(edges[0]))];
    return random_next(random) >> random_below(random, 64);
}

static struct request random_request(struct random *random)
{
    struct request request = {
        .max_wait_ms = (uint32_t)random_number(random),
        .bytes_min = (uint32_t)random_number(random),
        .bytes_max = (uint32_t)random_number(random),
        .entry_count = (uint32_t)random_below(random, COUNT_MAX + 1),
        .forwards = random_below(random, 2) == 0,
    };

    for (uint32_t i = 0; i < request.entry_count; i++) {
        struct fetch_entry *entry = &request.entries[i];
        for (int k = 0; k < UUID_SIZE; k++)
            entry->topic_id.bytes[k] = (uint8_t)random_next(random);
        entry->partition = (uint32_t)random_number(random);
        entry->leader_epoch = random_below(random, 3) == 0 ? -1 : (int32_t)random_below(random, INT32_MAX);
        entry->offset = random_number(random);
        entry->bytes_max = (uint32_t)random_number(random);
        entry->is_doubted = random_below(random, 3) == 0;
        entry->skips_control = random_below(random, 3) == 0;
    }
    return request;
}

static struct response random_response(struct random *random)
{
    struct response response = {.result_count = (uint32_t)random_below(random, COUNT_MAX + 1)};

    for (uint32_t i = 0; i < response.result_count; i++) {
        struct fetch_result *result = &response.results[i];
        result->entry = (uint32_t)random_number(random);
        result->error = -(int)random_below(random, 50);
        result->high_watermark = random_number(random);
        result->log_start = random_number(random);
        result->next_offset = random_number(random);
        result->records_size = (uint32_t)(random_next(random) >> (38 + random_below(random, 26)));
        result->leader_epoch = (int32_t)random_number(random);
        response.attachment_size += result->records_size;
    }
    return response;
}

static void encode_request(const struct request *request, struct buffer *to)
{
    ck_assert_int_eq(fetch_request_start(to, request->max_wait_ms, request->bytes_min, request->bytes_max),
                     0);
    for (uint32_t i = 0; i < request->entry_count; i++)
        ck_assert_int_eq(fetch_request_add(to, &request->entries[i]), 0);
    if (request->forwards) ck_assert_int_eq(fetch_request_forward(to), 0);
}

static void encode_response(const struct response *response, struct buffer *to)
{
    for (uint32_t i = 0; i < response->result_count; i++)
        ck_assert_int_eq(fetch_response_add(to, &response->results[i]), 0);
}

/* ---- the same through protobuf-c ---- */

static void pack(const ProtobufCMessage *message, struct buffer *to)
{
    ck_assert_int_eq(buffer_reserve(to, protobuf_c_message_get_packed_size(message) + 1), 0);
    to->size += protobuf_c_message_pack(message, to->data + to->size);
}

static void encode_request_by_library(struct request *request, struct buffer *to)
{
    Mesh__Wire__FetchRequest wire = MESH__WIRE__FETCH_REQUEST__INIT;
    Mesh__Wire__FetchEntry entries[COUNT_MAX], *pointers[COUNT_MAX];

    wire.max_wait_ms = request->max_wait_ms;
    wire.bytes_min = request->bytes_min;
    wire.bytes_max = request->bytes_max;
    wire.forward = request->forwards;
    wire.n_entries = request->entry_count;
    wire.entries = pointers;
    for (uint32_t i = 0; i < request->entry_count; i++) {
        mesh__wire__fetch_entry__init(&entries[i]);
        entries[i].topic_id = (ProtobufCBinaryData){UUID_SIZE, request->entries[i].topic_id.bytes};
        entries[i].partition = request->entries[i].partition;
        entries[i].leader_epoch_plus_one = request->entries[i].leader_epoch + 1;
        entries[i].offset = request->entries[i].offset;
        entries[i].bytes_max = request->entries[i].bytes_max;
        entries[i].is_doubted = request->entries[i].is_doubted;
        entries[i].skips_control = request->entries[i].skips_control;
        pointers[i] = &entries[i];
    }
    pack(&wire.base, to);
}

static void encode_response_by_library(const struct response *response, struct buffer *to)
{
    Mesh__Wire__FetchResponse wire = MESH__WIRE__FETCH_RESPONSE__INIT;
    Mesh__Wire__FetchResult results[COUNT_MAX], *pointers[COUNT_MAX];

    wire.n_results = response->result_count;
    wire.results = pointers;
    for (uint32_t i = 0; i < response->result_count; i++) {
        mesh__wire__fetch_result__init(&results[i]);
        results[i].entry = response->results[i].entry;
        results[i].error = response->results[i].error;
        results[i].high_watermark = response->results[i].high_watermark;
        results[i].log_start = response->results[i].log_start;
        results[i].records_size = response->results[i].records_size;
        results[i].next_offset = response->results[i].next_offset;
        results[i].leader_epoch = response->results[i].leader_epoch;
        pointers[i] = &results[i];
    }
    pack(&wire.base, to);
}

static void check_request_against_library(struct slice message, const struct request *request)
{
    Mesh__Wire__FetchRequest *wire = mesh__wire__fetch_request__unpack(NULL, message.size, message.data);

    ck_assert_ptr_nonnull(wire);
    ck_assert_uint_eq(wire->max_wait_ms, request->max_wait_ms);
    ck_assert(!!wire->forward == request->forwards);
    ck_assert_uint_eq(wire->bytes_min, request->bytes_min);
    ck_assert_uint_eq(wire->bytes_max, request->bytes_max);
    ck_assert_uint_eq(wire->n_entries, request->entry_count);
    for (size_t i = 0; i < wire->n_entries && i < COUNT_MAX; i++) {
        ck_assert_mem_eq(wire->entries[i]->topic_id.data, request->entries[i].topic_id.bytes, UUID_SIZE);
        ck_assert_uint_eq(wire->entries[i]->partition, request->entries[i].partition);
        ck_assert_int_eq(wire->entries[i]->leader_epoch_plus_one, request->entries[i].leader_epoch + 1);
        ck_assert_uint_eq(wire->entries[i]->offset, request->entries[i].offset);
        ck_assert_uint_eq(wire->entries[i]->bytes_max, request->entries[i].bytes_max);
        ck_assert(!!wire->entries[i]->is_doubted == request->entries[i].is_doubted);
        ck_assert(!!wire->entries[i]->skips_control == request->entries[i].skips_control);
    }
    mesh__wire__fetch_request__free_unpacked(wire, NULL);
}

static void check_response_against_library(struct slice message, const struct response *response)
{
    Mesh__Wire__FetchResponse *wire = mesh__wire__fetch_response__unpack(NULL, message.size, message.data);

    ck_assert_ptr_nonnull(wire);
    ck_assert_uint_eq(wire->n_results, response->result_count);
    for (size_t i = 0; i < wire->n_results && i < COUNT_MAX; i++) {
        ck_assert_uint_eq(wire->results[i]->entry, response->results[i].entry);
        ck_assert_int_eq(wire->results[i]->error, response->results[i].error);
        ck_assert_uint_eq(wire->results[i]->high_watermark, response->results[i].high_watermark);
        ck_assert_uint_eq(wire->results[i]->log_start, response->results[i].log_start);
        ck_assert_uint_eq(wire->results[i]->records_size, response->results[i].records_size);
        ck_assert_uint_eq(wire->results[i]->next_offset, response->results[i].next_offset);
        ck_assert_int_eq(wire->results[i]->leader_epoch, response->results[i].leader_epoch);
    }
    mesh__wire__fetch_response__free_unpacked(wire, NULL);
}

/* The sum that a damaged message may have come to claim, so that it is not refused for that alone. */
static uint32_t claimed_size(struct slice message)
{
    Mesh__Wire__FetchResponse *wire = mesh__wire__fetch_response__unpack(NULL, message.size, message.data);
    uint32_t sum = 0;

    for (size_t i = 0; wire != NULL && i < wire->n_results; i++)
        sum += wire->results[i]->records_size;
    if (wire != NULL) mesh__wire__fetch_response__free_unpacked(wire, NULL);
    return sum;
}

/* ---- reading, from memory of exactly that size, so that a sanitizer sees a read beyond it ---- */

static uint8_t *copy_exact(struct slice message)
{
    uint8_t *copy = malloc(message.size > 0 ? message.size : 1);

    ck_assert_ptr_nonnull(copy);
    if (message.size > 0) memcpy(copy, message.data, message.size);
    return copy;
}

static int read_request(struct slice message, struct request *ret_request)
{
    struct fetch_request_reader reader;
    uint8_t *copy = copy_exact(message);
    int err = fetch_request_reader_init(&reader, slice_of(copy, message.size));

    if (err == 0) {
        struct fetch_entry entry;
        uint32_t count = 0;
        ret_request->max_wait_ms = reader.max_wait_ms;
        ret_request->forwards = reader.forwards;
        ret_request->bytes_min = reader.bytes_min;
        ret_request->bytes_max = reader.bytes_max;
        ret_request->entry_count = reader.entry_count;
        for (; fetch_request_reader_next(&reader, &entry); count++)
            if (count < COUNT_MAX) ret_request->entries[count] = entry;
        ck_assert_uint_eq(count, ret_request->entry_count);
        ck_assert(!fetch_request_reader_next(&reader, &entry)); /* and stays at the end */
    }
    free(copy);
    return err;
}

static int read_response(struct slice message, uint32_t attachment_size, struct response *ret_response)
{
    struct fetch_response_reader reader;
    uint8_t *copy = copy_exact(message);
    int err = fetch_response_reader_init(&reader, slice_of(copy, message.size), attachment_size);

    if (err == 0) {
        struct fetch_result result;
        uint32_t count = 0;
        ret_response->result_count = reader.result_count;
        for (; fetch_response_reader_next(&reader, &result); count++)
            if (count < COUNT_MAX) ret_response->results[count] = result;
        ck_assert_uint_eq(count, ret_response->result_count);
        ck_assert(!fetch_response_reader_next(&reader, &result));
    }
    free(copy);
    return err;
}

/* ---- the tests ---- */

START_TEST(requests_are_written_as_protobuf_does_and_read_back)
{
    struct buffer ours = BUFFER_INIT, theirs = BUFFER_INIT, scrambled = BUFFER_INIT, again = BUFFER_INIT;

    for (unsigned seed = 0; seed < SEED_COUNT; seed++) {
        struct request request, read;
        struct random random;

        random_init(&random, seed);
        request = random_request(&random);
        ours.size = theirs.size = scrambled.size = again.size = 0;
        encode_request(&request, &ours);
        encode_request_by_library(&request, &theirs);
        ck_assert_msg(slice_equal(buffer_slice(&ours), buffer_slice(&theirs)), "seed=%u", seed);
        proto_scramble(&mesh__wire__fetch_request__descriptor, buffer_slice(&ours), &random, &scrambled);
        ck_assert_int_eq(read_request(buffer_slice(seed % 2 ? &ours : &scrambled), &read), 0);
        encode_request(&read, &again);
        ck_assert_msg(slice_equal(buffer_slice(&ours), buffer_slice(&again)), "seed=%u", seed);
    }
    buffer_deinit(&ours);
    buffer_deinit(&theirs);
    buffer_deinit(&scrambled);
    buffer_deinit(&again);
}
END_TEST

START_TEST(responses_are_written_as_protobuf_does_and_read_back)
{
    struct buffer ours = BUFFER_INIT, theirs = BUFFER_INIT, scrambled = BUFFER_INIT, again = BUFFER_INIT;

    for (unsigned seed = 0; seed < SEED_COUNT; seed++) {
        struct response response, read;
        struct random random;

        random_init(&random, seed);
        response = random_response(&random);
        ours.size = theirs.size = scrambled.size = again.size = 0;
        encode_response(&response, &ours);
        encode_response_by_library(&response, &theirs);
        ck_assert_msg(slice_equal(buffer_slice(&ours), buffer_slice(&theirs)), "seed=%u", seed);
        proto_scramble(&mesh__wire__fetch_response__descriptor, buffer_slice(&ours), &random, &scrambled);
        ck_assert_int_eq(
            read_response(buffer_slice(seed % 2 ? &ours : &scrambled), response.attachment_size, &read), 0);
        encode_response(&read, &again);
        ck_assert_msg(slice_equal(buffer_slice(&ours), buffer_slice(&again)), "seed=%u", seed);
    }
    buffer_deinit(&ours);
    buffer_deinit(&theirs);
    buffer_deinit(&scrambled);
    buffer_deinit(&again);
}
END_TEST

START_TEST(damaged_requests_are_refused_or_read_as_protobuf_does)
{
    struct buffer bytes = BUFFER_INIT;

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
            err = read_request(buffer_slice(&bytes), &read);
            ck_assert(err == 0 || err == MESH_EPROTO);
            if (err == 0) check_request_against_library(buffer_slice(&bytes), &read);
            bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t size = 0; size < bytes.size; size++) {
            struct slice cut = slice_of(bytes.data, size);
            if (read_request(cut, &read) == 0) check_request_against_library(cut, &read);
        }
    }
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(damaged_responses_are_refused_or_read_as_protobuf_does)
{
    struct buffer bytes = BUFFER_INIT;

    for (unsigned seed = 0; seed < 20; seed++) {
        struct response response, read;
        struct random random;

        random_init(&random, seed);
        response = random_response(&random);
        buffer_clear(&bytes);
        encode_response(&response, &bytes);
        for (size_t bit = 0; bit < bytes.size * 8; bit++) {
            int err;
            bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            err = read_response(buffer_slice(&bytes), claimed_size(buffer_slice(&bytes)), &read);
            ck_assert(err == 0 || err == MESH_EPROTO);
            if (err == 0) check_response_against_library(buffer_slice(&bytes), &read);
            bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t size = 0; size < bytes.size; size++) {
            struct slice cut = slice_of(bytes.data, size);
            if (read_response(cut, claimed_size(cut), &read) == 0) check_response_against_library(cut, &read);
        }
    }
    buffer_deinit(&bytes);
}
END_TEST

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})
#define TOPIC      0x0a, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16

static const struct request_case {
    const char *what;
    const uint8_t *bytes;
    size_t size;
    int want;
} request_cases[] = {
    {"one entry", BYTES(0x22, 20, TOPIC, 0x20, 9), 0},
    {"no entries", BYTES(0x08, 1), 0},
    {"an entry without topic", BYTES(0x22, 2, 0x20, 9), MESH_EPROTO},
    {"a topic of 15 bytes", BYTES(0x22, 17, 0x0a, 15, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
     MESH_EPROTO},
    {"leader epoch -2", BYTES(0x22, 20, TOPIC, 0x18, 1), MESH_EPROTO},
    {"an offset cut short", BYTES(0x22, 20, TOPIC, 0x20, 0x80), MESH_EPROTO},
    {"an offset over 64 bits",
     BYTES(0x22, 29, TOPIC, 0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02), MESH_EPROTO},
    {"the highest offset",
     BYTES(0x22, 29, TOPIC, 0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), 0},
    {"a wait of another wire type", BYTES(0x0d, 1, 0, 0, 0), MESH_EPROTO},
    {"entries of another wire type", BYTES(0x20, 1), MESH_EPROTO},
    {"an entry longer than the message", BYTES(0x22, 19, TOPIC), MESH_EPROTO},
};

START_TEST(malformed_requests_are_refused)
{
    const struct request_case *c = &request_cases[_i];
    struct request read;

    ck_assert_msg(read_request(slice_of(c->bytes, c->size), &read) == c->want, "%s", c->what);
}
END_TEST

static const struct response_case {
    const char *what;
    const uint8_t *bytes;
    size_t size;
    uint32_t attachment_size;
    int want;
} response_cases[] = {
    {"one result", BYTES(0x0a, 2, 0x28, 9), 9, 0},
    {"an attachment too short", BYTES(0x0a, 2, 0x28, 9), 8, MESH_EPROTO},
    {"an attachment too long", BYTES(0x0a, 2, 0x28, 9), 10, MESH_EPROTO},
    {"sizes whose sum is right only in 32 bits",
     BYTES(0x0a, 6, 0x28, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x0a, 2, 0x28, 10), 9, MESH_EPROTO},
    {"an error above 0", BYTES(0x0a, 2, 0x10, 2), 0, MESH_EPROTO},
    {"results of another wire type", BYTES(0x08, 1), 0, MESH_EPROTO},
    {"a field reaching out of its result", BYTES(0x0a, 1, 0x28, 9), 9, MESH_EPROTO},
};

START_TEST(malformed_responses_are_refused)
{
    const struct response_case *c = &response_cases[_i];
    struct response read;

    ck_assert_msg(read_response(slice_of(c->bytes, c->size), c->attachment_size, &read) == c->want, "%s",
                  c->what);
}
END_TEST

START_TEST(lists_have_a_greatest_length)
{
    const struct fetch_entry entry = {{{1}}, 1, 1, 1, 1, true, false};
    const struct fetch_result result = {.entry = 1};
    struct buffer request = BUFFER_INIT, response = BUFFER_INIT;
    struct fetch_request_reader request_reader;
    struct fetch_response_reader response_reader;

    for (uint32_t i = 0; i < MESSAGE_ENTRIES_MAX; i++) {
        ck_assert_int_eq(fetch_request_add(&request, &entry), 0);
        ck_assert_int_eq(fetch_response_add(&response, &result), 0);
    }
    ck_assert_int_eq(fetch_request_reader_init(&request_reader, buffer_slice(&request)), 0);
    ck_assert_int_eq(fetch_response_reader_init(&response_reader, buffer_slice(&response), 0), 0);
    ck_assert_int_eq(fetch_request_add(&request, &entry), 0);
    ck_assert_int_eq(fetch_response_add(&response, &result), 0);
    ck_assert_int_eq(fetch_request_reader_init(&request_reader, buffer_slice(&request)), MESH_EPROTO);
    ck_assert_int_eq(fetch_response_reader_init(&response_reader, buffer_slice(&response), 0), MESH_EPROTO);
    buffer_deinit(&request);
    buffer_deinit(&response);
}
END_TEST

START_TEST(what_cannot_be_said_or_held_is_not_encoded)
{
    struct fetch_entry entry = {.leader_epoch = -2};
    struct fetch_result result = {.error = MESH_EIO};
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(fetch_request_add(&bytes, &entry), MESH_EINVAL);
    ck_assert_uint_eq(bytes.size, 0);
    buffer_deinit(&bytes);
    entry.leader_epoch = 0;
    failing_alloc_arm(1);
    ck_assert_int_eq(fetch_request_start(&bytes, 1, 1, 1), MESH_ENOMEM);
    ck_assert(failing_alloc_disarm());
    failing_alloc_arm(1);
    ck_assert_int_eq(fetch_request_add(&bytes, &entry), MESH_ENOMEM);
    ck_assert(failing_alloc_disarm());
    failing_alloc_arm(1);
    ck_assert_int_eq(fetch_response_add(&bytes, &result), MESH_ENOMEM);
    ck_assert(failing_alloc_disarm());
    ck_assert_uint_eq(bytes.size, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fetch messages");
    TCase *tcase = tcase_create("fetch messages");

    tcase_add_test(tcase, requests_are_written_as_protobuf_does_and_read_back);
    tcase_add_test(tcase, responses_are_written_as_protobuf_does_and_read_back);
    tcase_add_test(tcase, damaged_requests_are_refused_or_read_as_protobuf_does);
    tcase_add_test(tcase, damaged_responses_are_refused_or_read_as_protobuf_does);
    tcase_add_loop_test(tcase, malformed_requests_are_refused, 0,
                        sizeof(request_cases) / sizeof(request_cases[0]));
    tcase_add_loop_test(tcase, malformed_responses_are_refused, 0,
                        sizeof(response_cases) / sizeof(response_cases[0]));
    tcase_add_test(tcase, lists_have_a_greatest_length);
    tcase_add_test(tcase, what_cannot_be_said_or_held_is_not_encoded);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
