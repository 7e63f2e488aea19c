/* What the tests of record batches share: files, and comparing records. */
#ifndef TEST_WIRE_BATCH_FIXTURE_H
#define TEST_WIRE_BATCH_FIXTURE_H

#include "base/buffer.h"
#include "wire/record_batch.h"

/* A field of an expected record; NULL text: null. */
struct expected_header {
    const char *key, *value;
    size_t value_size;
};

struct expected_record {
    int64_t timestamp_ms;
    const char *key, *value;
    size_t key_size, value_size;
    struct expected_header headers[3];
    uint32_t header_count;
};

#define FIXTURE_RECORD_COUNT 7
#define FIXTURE_TIME_MS      INT64_C(1700000000000)

/* The seven records of test/golden/record_batch/README.md. */
const struct expected_record *fixture_records(void);

/* Adds expected records to a builder. */
void fixture_build(struct record_batch_builder *builder, const struct expected_record *records, int count);

/* Fails the test unless `record` is as expected. */
void fixture_check(const struct record *record, const struct expected_record *expected);

/* Reads test/golden/record_batch/NAME.batch. The caller deinits the buffer. */
struct buffer fixture_golden(const char *name);

struct slice fixture_string(const char *text); /* NULL: null slice */

static const struct record_batch_producer fixture_no_producer = {-1, -1, -1};

#endif
