/* Every message of every version: what is written is read back, and nothing else is read. */
#include "kafka/header.h"
#include "kafka/messages.h"

#include "base/bytes.h"
#include "base/error.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"
#include "unit/kafka/filled_message.h"

#include <check.h>
#include <stdlib.h>

#define MEMORY_MAX (1u << 20)

typedef void form_fn(struct kafka_form form, struct random *random);

/* Calls fn for requests and responses of every version. */
static void each_form(form_fn *fn, uint64_t seed, unsigned rounds)
{
    struct random random;

    random_init(&random, seed);
    for (size_t i = 0; i < kafka_api_count; i++)
        for (int version = kafka_apis[i].version_min; version <= kafka_apis[i].version_max; version++)
            for (unsigned round = 0; round < rounds; round++) {
                fn(kafka_request_form(&kafka_apis[i], version), &random);
                fn(kafka_response_form(&kafka_apis[i], version), &random);
            }
}

struct sample {
    struct arena arena;
    void *message;
    struct buffer bytes;
};

/* Random, or numbered without `random`. */
static struct sample sample_new(struct kafka_form form, struct random *random)
{
    struct sample sample = {ARENA_INIT, calloc(1, form.of->size), BUFFER_INIT};

    ck_assert_ptr_nonnull(sample.message);
    if (random != NULL)
        random_message(form, random, &sample.arena, sample.message);
    else
        numbered_message(form, &sample.arena, sample.message);
    ck_assert_int_eq(kafka_encode(form, sample.message, &sample.bytes), 0);
    return sample;
}

static void sample_free(struct sample *sample)
{
    arena_deinit(&sample->arena);
    free(sample->message);
    buffer_deinit(&sample->bytes);
}

/* ---- there and back ---- */

static void round_trip(struct kafka_form form, struct random *random)
{
    struct sample sample = sample_new(form, random);
    struct buffer again = BUFFER_INIT, text = BUFFER_INIT, text_again = BUFFER_INIT;
    void *decoded = calloc(1, form.of->size);
    size_t size = 0;

    ck_assert_int_eq(kafka_size(form, sample.message, &size), 0);
    ck_assert_uint_eq(size, sample.bytes.size);
    ck_assert_int_eq(kafka_decode(form, buffer_slice(&sample.bytes), &sample.arena, MEMORY_MAX, decoded), 0);
    ck_assert_msg(kafka_equal(form, sample.message, decoded), "%s version %d", form.of->name, form.version);
    ck_assert_int_eq(kafka_encode(form, decoded, &again), 0);
    ck_assert(slice_equal(buffer_slice(&sample.bytes), buffer_slice(&again)));
    ck_assert_int_eq(kafka_print(form, sample.message, &text), 0);
    ck_assert_int_eq(kafka_print(form, decoded, &text_again), 0);
    ck_assert(slice_equal(buffer_slice(&text), buffer_slice(&text_again)));
    free(decoded);
    buffer_deinit(&again);
    buffer_deinit(&text);
    buffer_deinit(&text_again);
    sample_free(&sample);
}

START_TEST(what_is_written_is_read_back)
{
    each_form(round_trip, 1, 10);
}
END_TEST

/* A message of zeros and defaults is valid in every version. */
static void defaults_trip(struct kafka_form form, struct random *random)
{
    struct arena arena = ARENA_INIT;
    struct buffer bytes = BUFFER_INIT;
    void *message = calloc(1, form.of->size), *decoded = calloc(1, form.of->size);

    (void)random;
    kafka_init(form.of, message);
    ck_assert_int_eq(kafka_encode(form, message, &bytes), 0);
    ck_assert_int_eq(kafka_decode(form, buffer_slice(&bytes), &arena, 0, decoded), 0);
    ck_assert_msg(kafka_equal(form, message, decoded), "%s version %d", form.of->name, form.version);
    free(message);
    free(decoded);
    buffer_deinit(&bytes);
    arena_deinit(&arena);
}

START_TEST(a_message_of_defaults_is_valid_everywhere)
{
    each_form(defaults_trip, 1, 1);
}
END_TEST

/* ---- what is not a message ---- */

static int try_decode(struct kafka_form form, struct slice bytes, size_t memory_max, void *decoded)
{
    struct arena arena = ARENA_INIT;
    uint8_t *copy = malloc(bytes.size + 1); /* of that very size, so that a sanitizer sees what is read behind it */
    int err;

    if (bytes.size > 0) memcpy(copy, bytes.data, bytes.size);
    copy = realloc(copy, bytes.size > 0 ? bytes.size : 1);
    err = kafka_decode(form, slice_of(copy, bytes.size), &arena, memory_max, decoded);
    arena_deinit(&arena);
    free(copy);
    return err;
}

static void cut_everywhere(struct kafka_form form, struct random *random)
{
    struct sample sample = sample_new(form, NULL);
    void *decoded = calloc(1, form.of->size);

    (void)random;
    for (size_t size = 0; size < sample.bytes.size; size++)
        ck_assert_int_ne(try_decode(form, slice_of(sample.bytes.data, size), MEMORY_MAX, decoded), 0);
    ck_assert_int_eq(buffer_append(&sample.bytes, "", 1), 0);
    ck_assert_int_eq(try_decode(form, buffer_slice(&sample.bytes), MEMORY_MAX, decoded), 0); /* what stands behind it is not looked at */
    free(decoded);
    sample_free(&sample);
}

START_TEST(a_message_that_ends_early_is_refused)
{
    each_form(cut_everywhere, 2, 1);
}
END_TEST

/* Whatever a changed byte makes of it: refused, or a message that is written and read as itself. */
static void change_bytes(struct kafka_form form, struct random *random)
{
    struct sample sample = sample_new(form, random);
    void *decoded = calloc(1, form.of->size), *twice = calloc(1, form.of->size);

    for (int i = 0; i < 50 && sample.bytes.size > 0; i++) {
        uint8_t *at = &sample.bytes.data[random_below(random, sample.bytes.size)], old = *at;
        struct arena arena = ARENA_INIT;
        struct buffer again = BUFFER_INIT;

        *at = (uint8_t)random_next(random);
        if (kafka_decode(form, buffer_slice(&sample.bytes), &arena, MEMORY_MAX, decoded) == 0) {
            ck_assert_int_eq(kafka_encode(form, decoded, &again), 0);
            ck_assert_int_eq(kafka_decode(form, buffer_slice(&again), &arena, MEMORY_MAX, twice), 0);
            ck_assert(kafka_equal(form, decoded, twice));
        }
        *at = old;
        arena_deinit(&arena);
        buffer_deinit(&again);
    }
    free(decoded);
    free(twice);
    sample_free(&sample);
}

START_TEST(a_changed_byte_is_refused_or_means_something)
{
    each_form(change_bytes, 3, 2);
}
END_TEST

/* What is absurd, by name. Bytes are those of one message. */
static const struct absurd {
    const char *what;
    int16_t key, version;
    bool is_response;
    const char *bytes;
    size_t size;
    int want;
} absurd_cases[] = {
#define BYTES(text) text, sizeof(text) - 1
    {"two billion topics", KAFKA_METADATA, 1, false, BYTES("\x7f\xff\xff\xff"), MESH_ETOOLARGE},
    {"a million topics that are not there", KAFKA_METADATA, 1, false, BYTES("\x00\x0f\x42\x40"), MESH_EPROTO},
    {"a count below null", KAFKA_METADATA, 1, false, BYTES("\xff\xff\xff\xfe"), MESH_EPROTO},
    {"null where there is none", KAFKA_METADATA, 0, false, BYTES("\xff\xff\xff\xff"), MESH_EPROTO},
    {"a string beyond the end", KAFKA_METADATA, 1, false, BYTES("\x00\x00\x00\x01\x00\x09" "abc"), MESH_EPROTO},
    {"a string below null", KAFKA_METADATA, 1, false, BYTES("\x00\x00\x00\x01\xff\xfe" "abc"), MESH_EPROTO},
    {"a null name", KAFKA_METADATA, 1, false, BYTES("\x00\x00\x00\x01\xff\xff"), MESH_EPROTO},
    {"a null among strings", KAFKA_DELETE_GROUPS, 1, false, BYTES("\x00\x00\x00\x01\xff\xff"), MESH_EPROTO},
    {"bytes below null", KAFKA_SASL_AUTHENTICATE, 1, false, BYTES("\x80\x00\x00\x00"), MESH_EPROTO},
    {"two billion bytes", KAFKA_SASL_AUTHENTICATE, 1, false, BYTES("\x7f\xff\xff\xff"), MESH_EPROTO},
    {"a compact count of four billion", KAFKA_METADATA, 9, false, BYTES("\xff\xff\xff\xff\x0f"), MESH_EPROTO},
    {"a compact count over 32 bits", KAFKA_METADATA, 9, false, BYTES("\xff\xff\xff\xff\x1f"), MESH_EPROTO},
    {"a compact count of six bytes", KAFKA_METADATA, 9, false, BYTES("\x80\x80\x80\x80\x80\x00"), MESH_EPROTO},
    {"a compact count without end", KAFKA_METADATA, 9, false, BYTES("\x80\x80"), MESH_EPROTO},
    {"two billion topics, compact", KAFKA_METADATA, 9, false, BYTES("\x80\x80\x80\x80\x08"), MESH_ETOOLARGE},
    {"a compact string of two billion", KAFKA_HEARTBEAT, 4, false, BYTES("\x80\x80\x80\x80\x08" "a"), MESH_ETOOLARGE},
    {"a compact string of 32768", KAFKA_HEARTBEAT, 4, false, BYTES("\x81\x80\x02" "a"), MESH_ETOOLARGE},
    {"a compact string beyond the end", KAFKA_HEARTBEAT, 4, false, BYTES("\x09" "a"), MESH_EPROTO},
    {"a null compact string", KAFKA_HEARTBEAT, 4, false, BYTES("\x00"), MESH_EPROTO},
    {"unknown tags", KAFKA_SASL_AUTHENTICATE, 2, false, BYTES("\x02" "p" "\x02" "\x05\x01x" "\x07\x00"), 0},
    {"a tag twice", KAFKA_SASL_AUTHENTICATE, 2, false, BYTES("\x02" "p" "\x02" "\x05\x01x" "\x05\x01y"), MESH_EPROTO},
    {"tags that go back", KAFKA_SASL_AUTHENTICATE, 2, false, BYTES("\x02" "p" "\x02" "\x05\x01x" "\x04\x01y"), MESH_EPROTO},
    {"a tag beyond the end", KAFKA_SASL_AUTHENTICATE, 2, false, BYTES("\x02" "p" "\x01" "\x05\x09x"), MESH_EPROTO},
    {"a tag of four billion bytes", KAFKA_SASL_AUTHENTICATE, 2, false, BYTES("\x02" "p" "\x01" "\x05\xff\xff\xff\xff\x0f"), MESH_EPROTO},
    {"many tags that are not there", KAFKA_SASL_AUTHENTICATE, 2, false, BYTES("\x02" "p" "\x80\x08"), MESH_EPROTO},
    {"too many tags", KAFKA_SASL_AUTHENTICATE, 2, false, BYTES("\x02" "p" "\xff\xff\xff\xff\x0f"), MESH_ETOOLARGE},
    {"no tags", KAFKA_SASL_AUTHENTICATE, 2, false, BYTES("\x02" "p"), MESH_EPROTO},
    /* error 0, no api keys, throttle 0; tag 1 is an int64 */
    {"a known tag", KAFKA_API_VERSIONS, 3, true, BYTES("\0\0\1\0\0\0\0" "\x01" "\x01\x08\0\0\0\0\0\0\0\x07"), 0},
    {"a known tag of a byte too few", KAFKA_API_VERSIONS, 3, true, BYTES("\0\0\1\0\0\0\0" "\x01" "\x01\x07\0\0\0\0\0\0\x07"), MESH_EPROTO},
    {"a known tag of a byte too many", KAFKA_API_VERSIONS, 3, true, BYTES("\0\0\1\0\0\0\0" "\x01" "\x01\x09\0\0\0\0\0\0\0\x07\0"), MESH_EPROTO},
    {"a known tag twice", KAFKA_API_VERSIONS, 3, true,
     BYTES("\0\0\1\0\0\0\0" "\x02" "\x01\x08\0\0\0\0\0\0\0\x07" "\x01\x08\0\0\0\0\0\0\0\x07"), MESH_EPROTO},
#undef BYTES
};

START_TEST(absurd_messages_are_refused)
{
    const struct absurd *absurd = &absurd_cases[_i];
    const struct kafka_api *api = kafka_api_find(absurd->key);
    struct kafka_form form = absurd->is_response ? kafka_response_form(api, absurd->version) : kafka_request_form(api, absurd->version);
    void *decoded = calloc(1, form.of->size);
    int err = try_decode(form, slice_of(absurd->bytes, absurd->size), MEMORY_MAX, decoded);

    ck_assert_msg(err == absurd->want, "%s: %d", absurd->what, err);
    free(decoded);
}
END_TEST

/* What a request may cost is the caller's word: 1,000 topics of one byte each take far more memory than bytes. */
START_TEST(arrays_keep_to_the_callers_memory)
{
    enum { COUNT = 1000 };
    struct kafka_form form = kafka_request_form(kafka_api_find(KAFKA_METADATA), 1);
    size_t memory = COUNT * sizeof(struct kafka_metadata_request_topic);
    struct kafka_metadata_request decoded;
    struct buffer bytes = BUFFER_INIT;
    uint8_t count[4];

    be_store32(count, COUNT);
    ck_assert_int_eq(buffer_append(&bytes, count, sizeof(count)), 0);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(buffer_append(&bytes, "\0\0", 2), 0);
    ck_assert_int_eq(try_decode(form, buffer_slice(&bytes), memory, &decoded), 0);
    ck_assert_int_eq(try_decode(form, buffer_slice(&bytes), memory - 1, &decoded), MESH_ETOOLARGE);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(what_nobody_could_read_is_not_written)
{
    struct kafka_form form = kafka_request_form(kafka_api_find(KAFKA_HEARTBEAT), 4);
    struct kafka_heartbeat_request message;
    struct buffer bytes = BUFFER_INIT;
    uint8_t *name = calloc(1, KAFKA_STRING_MAX + 1);

    kafka_init(form.of, &message);
    message.group_id = slice_of(name, KAFKA_STRING_MAX);
    ck_assert_int_eq(kafka_encode(form, &message, &bytes), 0);
    buffer_clear(&bytes);
    message.group_id.size++;
    ck_assert_int_eq(kafka_encode(form, &message, &bytes), MESH_ETOOLARGE);
    ck_assert_uint_eq(bytes.size, 0);
    buffer_deinit(&bytes);
    free(name);
}
END_TEST

/* ---- memory ---- */

START_TEST(each_allocation_may_fail)
{
    const struct kafka_api *api = kafka_api_find(KAFKA_FETCH);
    struct kafka_form form = kafka_request_form(api, 12);
    struct kafka_fetch_request decoded;
    struct random random;
    struct sample sample;
    bool has_failed = true;
    int err = 0;

    random_init(&random, 7);
    do { /* one with topics and partitions */
        sample = sample_new(form, &random);
        if (((struct kafka_fetch_request *)sample.message)->topics.count >= 2) break;
        sample_free(&sample);
    } while (true);
    failing_alloc_each(n)
    {
        struct arena arena = ARENA_INIT;
        struct buffer buffer = BUFFER_INIT, text = BUFFER_INIT;

        failing_alloc_arm(n);
        err = kafka_decode(form, buffer_slice(&sample.bytes), &arena, MEMORY_MAX, &decoded);
        if (err == 0) err = kafka_request_encode(api, 12, 1, slice_of("me", 2), &decoded, &buffer);
        if (err == 0) err = kafka_print(form, &decoded, &text);
        has_failed = failing_alloc_disarm();
        arena_deinit(&arena);
        buffer_deinit(&buffer);
        buffer_deinit(&text);
        if (!has_failed) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
    ck_assert_int_eq(err, 0);
    sample_free(&sample);
}
END_TEST

/* ---- tables ---- */

START_TEST(apis_are_found_by_their_keys)
{
    for (int key = -1; key < 200; key++) {
        const struct kafka_api *api = kafka_api_find((int16_t)key);

        ck_assert(api == NULL || api->key == key);
    }
    for (size_t i = 0; i < kafka_api_count; i++)
        ck_assert_ptr_eq(kafka_api_find(kafka_apis[i].key), &kafka_apis[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kafka_codec");
    TCase *tcase = tcase_create("codec");

    tcase_add_test(tcase, what_is_written_is_read_back);
    tcase_add_test(tcase, a_message_of_defaults_is_valid_everywhere);
    tcase_add_test(tcase, a_message_that_ends_early_is_refused);
    tcase_add_test(tcase, a_changed_byte_is_refused_or_means_something);
    tcase_add_loop_test(tcase, absurd_messages_are_refused, 0, (int)(sizeof(absurd_cases) / sizeof(absurd_cases[0])));
    tcase_add_test(tcase, arrays_keep_to_the_callers_memory);
    tcase_add_test(tcase, what_nobody_could_read_is_not_written);
    tcase_add_test(tcase, each_allocation_may_fail);
    tcase_add_test(tcase, apis_are_found_by_their_keys);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
