/* The frames of test/golden/kafka: what they mean, and that they are still written so. Each line of the file: see kafka_samples.c. */
#include "kafka/header.h"

#include "base/bytes.h"
#include "base/error.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_MAX_SIZE (1 << 16)

struct golden {
    int key, version;
    bool is_request;
    uint8_t frame[LINE_MAX_SIZE / 2];
    size_t frame_size;
    char text[LINE_MAX_SIZE];
};

/* false: the end of the file. */
static bool golden_read(FILE *file, struct golden *golden)
{
    static char line[LINE_MAX_SIZE], hex[LINE_MAX_SIZE], direction[16];
    int used = 0;

    do {
        if (fgets(line, sizeof(line), file) == NULL) return false;
    } while (line[0] == '#');
    ck_assert_int_eq(sscanf(line, "%d %d %15s %65535s %n", &golden->key, &golden->version, direction, hex, &used), 4);
    golden->is_request = strcmp(direction, "request") == 0;
    golden->frame_size = strlen(hex) / 2;
    for (size_t i = 0; i < golden->frame_size; i++) {
        unsigned byte;

        ck_assert_int_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
        golden->frame[i] = (uint8_t)byte;
    }
    line[strcspn(line, "\n")] = '\0';
    memcpy(golden->text, line + used, strlen(line + used) + 1);
    return true;
}

/* The message inside a request's frame, and what its header says. */
static struct slice message_of_request(const struct golden *golden, struct kafka_request_header *header)
{
    ck_assert_uint_eq(be_load32(golden->frame), golden->frame_size - KAFKA_SIZE_SIZE);
    ck_assert_int_eq(kafka_request_header_decode(slice_of(golden->frame + KAFKA_SIZE_SIZE, golden->frame_size - KAFKA_SIZE_SIZE), header), 0);
    ck_assert_int_eq(header->key, golden->key);
    ck_assert_int_eq(header->version, golden->version);
    return header->message;
}

static struct slice message_of_response(const struct golden *golden, const struct kafka_api *api, int32_t *ret_correlation_id)
{
    uint8_t header[KAFKA_RESPONSE_HEADER_MAX];
    size_t size;

    ck_assert_uint_eq(be_load32(golden->frame), golden->frame_size - KAFKA_SIZE_SIZE);
    *ret_correlation_id = (int32_t)be_load32(golden->frame + KAFKA_SIZE_SIZE);
    size = kafka_response_header_write(api, golden->version, *ret_correlation_id, header);
    ck_assert_mem_eq(golden->frame + KAFKA_SIZE_SIZE, header, size);
    return slice_of(golden->frame + KAFKA_SIZE_SIZE + size, golden->frame_size - KAFKA_SIZE_SIZE - size);
}

static void check(const struct golden *golden)
{
    const struct kafka_api *api = kafka_api_find((int16_t)golden->key);
    struct kafka_form form = golden->is_request ? kafka_request_form(api, golden->version) : kafka_response_form(api, golden->version);
    struct kafka_request_header header = {0};
    struct arena arena = ARENA_INIT;
    struct buffer text = BUFFER_INIT, again = BUFFER_INIT;
    void *message = calloc(1, form.of->size);
    int32_t correlation_id = 0;
    struct slice bytes = golden->is_request ? message_of_request(golden, &header) : message_of_response(golden, api, &correlation_id);

    ck_assert_int_eq(kafka_decode(form, bytes, &arena, 1u << 20, message), 0);
    ck_assert_int_eq(kafka_print(form, message, &text), 0);
    ck_assert_int_eq(buffer_append(&text, "", 1), 0);
    ck_assert_str_eq((const char *)text.data, golden->text);
    if (golden->is_request)
        ck_assert_int_eq(kafka_request_encode(api, golden->version, header.correlation_id, header.client_id, message, &again), 0);
    else
        ck_assert_int_eq(kafka_response_encode(api, golden->version, correlation_id, message, &again), 0);
    ck_assert_uint_eq(again.size, golden->frame_size);
    ck_assert_mem_eq(again.data, golden->frame, again.size);
    free(message);
    arena_deinit(&arena);
    buffer_deinit(&text);
    buffer_deinit(&again);
}

START_TEST(golden_frames_are_read_and_written)
{
    static struct golden golden;
    FILE *file = fopen("test/golden/kafka/messages", "r");
    int count = 0;

    ck_assert_ptr_nonnull(file);
    for (; golden_read(file, &golden); count++)
        check(&golden);
    fclose(file);
    ck_assert_int_gt(count, 150);
}
END_TEST

/* ---- headers that are no headers ---- */

static const struct header_case {
    const char *what, *bytes;
    size_t size;
    int want;
} header_cases[] = {
#define BYTES(text) text, sizeof(text) - 1
    {"cut in its fixed part", BYTES("\0\x12\0\0\0\0\0"), MESH_EPROTO},
    {"without a client id", BYTES("\0\x12\0\0\0\0\0\1"), MESH_EPROTO},
    {"an unknown api", BYTES("\0\x63\0\0\0\0\0\1"), MESH_EUNSUPPORTED},
    {"an api below zero", BYTES("\xff\xff\0\0\0\0\0\1"), MESH_EUNSUPPORTED},
    {"a version that is to come", BYTES("\0\x12\x7f\xff\0\0\0\1"), MESH_EUNSUPPORTED},
    {"a version below zero", BYTES("\0\x12\xff\xff\0\0\0\1"), MESH_EUNSUPPORTED},
    {"a null client id", BYTES("\0\x12\0\0\0\0\0\1\xff\xff"), 0},
    {"a client id below null", BYTES("\0\x12\0\0\0\0\0\1\xff\xfe"), MESH_EPROTO},
    {"a client id beyond the end", BYTES("\0\x12\0\0\0\0\0\1\0\x05" "abcd"), MESH_EPROTO},
    {"flexible without tags", BYTES("\0\x12\0\x03\0\0\0\1\0\x01" "a"), MESH_EPROTO},
    {"flexible with a tag", BYTES("\0\x12\0\x03\0\0\0\1\0\x01" "a" "\x01\x09\x02xy"), 0},
    {"with a tag beyond the end", BYTES("\0\x12\0\x03\0\0\0\1\0\x01" "a" "\x01\x09\x03xy"), MESH_EPROTO},
    {"with a tag twice", BYTES("\0\x12\0\x03\0\0\0\1\0\x01" "a" "\x02\x09\x00\x09\x00"), MESH_EPROTO},
    {"with two billion tags", BYTES("\0\x12\0\x03\0\0\0\1\0\x01" "a" "\xff\xff\xff\xff\x07"), MESH_ETOOLARGE},
#undef BYTES
};

START_TEST(headers_are_judged)
{
    const struct header_case *row = &header_cases[_i];
    struct kafka_request_header header = {.key = -7};
    int err = kafka_request_header_decode(slice_of(row->bytes, row->size), &header);

    ck_assert_msg(err == row->want, "%s: %d", row->what, err);
    if (err == MESH_EUNSUPPORTED) ck_assert_int_eq(header.correlation_id, 1);
    if (err == MESH_EPROTO || err == MESH_ETOOLARGE) ck_assert_int_eq(header.key, -7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kafka_golden");
    TCase *tcase = tcase_create("golden");

    tcase_add_test(tcase, golden_frames_are_read_and_written);
    tcase_add_loop_test(tcase, headers_are_judged, 0, (int)(sizeof(header_cases) / sizeof(header_cases[0])));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
