#include "unit/wire/batch_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define T   FIXTURE_TIME_MS
#define DAY INT64_C(86400000)

static char many_x[200], many_y[300];

const struct expected_record *fixture_records(void)
{
    static struct expected_record records[FIXTURE_RECORD_COUNT] = {
        {.timestamp_ms = T, .key = "k0", .key_size = 2, .value = "value zero", .value_size = 10},
        {.timestamp_ms = T + 5, .value = "no key", .value_size = 6},
        {.timestamp_ms = T - 3, .key = "tomb", .key_size = 4},
        {.timestamp_ms = T + 70000, .key = "", .value = ""},
        {.timestamp_ms = T + 1,
         .key = "with-headers",
         .key_size = 12,
         .value = "v",
         .value_size = 1,
         .headers = {{"trace", "\0\1\xff", 3}, {"", "", 0}, {"nothing", NULL, 0}},
         .header_count = 3},
        {.timestamp_ms = T + 400 * DAY},
        {.timestamp_ms = T,
         .key = many_x,
         .key_size = sizeof(many_x),
         .value = many_y,
         .value_size = sizeof(many_y)},
    };

    memset(many_x, 'x', sizeof(many_x));
    memset(many_y, 'y', sizeof(many_y));
    return records;
}

void fixture_build(struct record_batch_builder *builder, const struct expected_record *records, int count)
{
    for (int i = 0; i < count; i++) {
        const struct expected_record *from = &records[i];
        struct record_header headers[3];
        struct record record = {
            .timestamp_ms = from->timestamp_ms,
            .key = slice_of(from->key, from->key_size),
            .value = slice_of(from->value, from->value_size),
            .key_is_null = from->key == NULL,
            .value_is_null = from->value == NULL,
            .header_count = from->header_count,
            .headers = headers,
        };

        for (uint32_t h = 0; h < from->header_count; h++)
            headers[h] = (struct record_header){
                .key = slice_of_string(from->headers[h].key),
                .value = slice_of(from->headers[h].value, from->headers[h].value_size),
                .value_is_null = from->headers[h].value == NULL,
            };
        ck_assert_int_eq(record_batch_builder_add(builder, &record), 0);
    }
}

static void check_bytes(struct slice bytes, bool is_null, const char *want, size_t want_size)
{
    ck_assert_int_eq(is_null, want == NULL);
    ck_assert_uint_eq(bytes.size, want_size);
    if (want_size > 0) ck_assert_mem_eq(bytes.data, want, want_size);
}

void fixture_check(const struct record *record, const struct expected_record *expected)
{
    struct slice rest = record->headers_encoded;
    struct record_header header;

    ck_assert_int_eq(record->timestamp_ms, expected->timestamp_ms);
    check_bytes(record->key, record->key_is_null, expected->key, expected->key_size);
    check_bytes(record->value, record->value_is_null, expected->value, expected->value_size);
    ck_assert_uint_eq(record->header_count, expected->header_count);
    for (uint32_t h = 0; h < expected->header_count; h++) {
        const struct expected_header *want = &expected->headers[h];
        ck_assert_int_eq(record_header_next(&rest, &header), 1);
        check_bytes(header.key, false, want->key, strlen(want->key));
        check_bytes(header.value, header.value_is_null, want->value, want->value_size);
    }
    ck_assert_int_eq(record_header_next(&rest, &header), 0);
}

struct buffer fixture_golden(const char *name)
{
    struct buffer bytes = BUFFER_INIT;
    char path[256];
    FILE *file;
    size_t got;

    snprintf(path, sizeof(path), "test/golden/record_batch/%s.batch", name);
    file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "cannot open %s", path);
    do {
        ck_assert_int_eq(buffer_reserve(&bytes, 4096), 0);
        got = fread(bytes.data + bytes.size, 1, 4096, file);
        bytes.size += got;
    } while (got > 0);
    fclose(file);
    return bytes;
}

struct slice fixture_string(const char *text)
{
    return text == NULL ? (struct slice){NULL, 0} : slice_of_string(text);
}
