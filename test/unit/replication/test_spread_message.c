/* What brokers tell each other of committed offsets: golden bytes, damage, rows as they were.
 *
 * test_spread_message FILE writes the messages below as the golden file has them. */
#include "replication/spread/message.h"

#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

#define GOLDEN "test/golden/spread/messages.txt"
#define TEXT(text) {(const uint8_t *)(text), sizeof(text) - 1}
#define TOPIC(byte) {{byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte}}

static const struct spread_row rows[] = {
    {.kind = SPREAD_GROUP, .group = TEXT("billing"), .version = {7, 1000}, .time_s = 1700000000, .protocol = GROUP_PROTOCOL_CLASSIC, .generation = 12,
     .reset_epoch = 1, .member_count = 3, .empty_since_ms = 0},
    {.kind = SPREAD_CELL, .group = TEXT("billing"), .version = {7, 1001}, .time_s = 1700000001, .topic = TOPIC(1), .partition = 0, .offset = 300,
     .record_epoch = 2, .metadata = TEXT("half way")},
    {.kind = SPREAD_CELL, .group = TEXT("billing"), .version = {7, 1001}, .time_s = 1700000001, .topic = TOPIC(1), .partition = 99999, .offset = INT64_MAX,
     .record_epoch = -1},
    {.kind = SPREAD_CELL_GONE, .group = TEXT("billing"), .version = {6, 900}, .time_s = 1600000000, .topic = TOPIC(2), .partition = 7},
    {.kind = SPREAD_GROUP, .group = TEXT("g\xc3\xbc"), .version = {6, UINT64_MAX}, .time_s = UINT32_MAX, .empty_since_ms = 1700000000000},
    {.kind = SPREAD_CELL, .group = TEXT("g\xc3\xbc"), .version = {6, 5}, .time_s = 0, .topic = TOPIC(2), .partition = 8, .offset = 0, .record_epoch = 0},
    {.kind = SPREAD_GROUP_GONE, .group = TEXT("g"), .version = {INT32_MAX, 6}, .time_s = 1700000002},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct spread_end ends[] = {{TOPIC(1), 0, 3, 1000, 10}, {TOPIC(1), 5, INT32_MAX, INT64_MAX, 0}, {TOPIC(2), 99999, 0, 0, 0}};
#define ENDS (sizeof(ends) / sizeof(ends[0]))

static const struct {
    const char *name;
    struct spread_message message;
} messages[] = {
    {"subscribe", {.kind = SPREAD_SUBSCRIBE, .partition = 63, .epoch = 9}},
    {"subscribe from", {.kind = SPREAD_SUBSCRIBE, .partition = 0, .epoch = INT32_MAX, .has_position = true, .to = 1234567890123}},
    {"unsubscribe", {.kind = SPREAD_UNSUBSCRIBE, .partition = 1, .epoch = 2}},
    {"round", {.kind = SPREAD_ROUND, .partition = 5, .epoch = 7, .from = 1000, .to = 1002, .piece = 1}},
    {"piece", {.kind = SPREAD_PIECE, .partition = 5, .epoch = 7, .piece = 3, .to = UINT64_MAX}},
    {"last piece", {.kind = SPREAD_PIECE, .partition = 5, .epoch = 7, .piece = 4, .is_last = true, .to = 1000}},
    {"recover", {.kind = SPREAD_RECOVER, .partition = 5, .epoch = 8}},
    {"recovered", {.kind = SPREAD_RECOVERED, .partition = 5, .epoch = 8, .piece = 0, .is_last = true, .age_ms = 2500}},
    {"ends", {.kind = SPREAD_ENDS}},
};
#define MESSAGES (sizeof(messages) / sizeof(messages[0]))

static bool has_rows(enum spread_message_kind kind)
{
    return kind == SPREAD_ROUND || kind == SPREAD_PIECE || kind == SPREAD_RECOVERED;
}

static int encode(size_t number, struct buffer *to)
{
    struct buffer list = BUFFER_INIT;
    struct spread_message message = messages[number].message;
    int err = 0;

    if (has_rows(message.kind)) {
        struct spread_rows_writer writer = spread_rows_write(&list);
        for (size_t i = 0; i < ROWS; i++)
            spread_rows_put(&writer, &rows[i]);
        err = writer.writer.error;
    } else if (message.kind == SPREAD_ENDS) {
        struct spread_ends_writer writer = spread_ends_write(&list);
        for (size_t i = 0; i < ENDS; i++)
            spread_ends_put(&writer, &ends[i]);
        err = writer.writer.error;
    }
    message.rows = buffer_slice(&list);
    if (err == 0) err = spread_message_encode(&message, to);
    buffer_deinit(&list);
    return err;
}

static void write_golden(FILE *to)
{
    for (size_t number = 0; number < MESSAGES; number++) {
        struct buffer bytes = BUFFER_INIT;

        encode(number, &bytes);
        for (size_t i = 0; i < bytes.size; i++)
            fprintf(to, "%02x", bytes.data[i]);
        fprintf(to, "\n");
        buffer_deinit(&bytes);
    }
}

static void judge_rows(struct slice bytes)
{
    struct spread_rows_reader reader = spread_rows_read(bytes);
    struct spread_row row;

    for (size_t i = 0; i < ROWS; i++) {
        ck_assert(spread_rows_next(&reader, &row));
        ck_assert_int_eq(row.kind, rows[i].kind);
        ck_assert(slice_equal(row.group, rows[i].group) && slice_equal(row.metadata, rows[i].metadata));
        ck_assert_int_eq(spread_version_compare(row.version, rows[i].version), 0);
        ck_assert(row.time_s == rows[i].time_s && uuid_equal(&row.topic, &rows[i].topic) && row.partition == rows[i].partition);
        ck_assert(row.offset == rows[i].offset && row.record_epoch == rows[i].record_epoch && row.protocol == rows[i].protocol);
        ck_assert(row.generation == rows[i].generation && row.reset_epoch == rows[i].reset_epoch && row.member_count == rows[i].member_count);
        ck_assert_uint_eq(row.empty_since_ms, rows[i].empty_since_ms);
    }
    ck_assert(!spread_rows_next(&reader, &row));
}

static void judge_ends(struct slice bytes)
{
    struct spread_ends_reader reader = spread_ends_read(bytes);
    struct spread_end end;

    for (size_t i = 0; i < ENDS; i++) {
        ck_assert(spread_ends_next(&reader, &end));
        ck_assert(uuid_equal(&end.topic, &ends[i].topic) && end.partition == ends[i].partition && end.leader_epoch == ends[i].leader_epoch);
        ck_assert(end.high_watermark == ends[i].high_watermark && end.log_start == ends[i].log_start);
    }
    ck_assert(!spread_ends_next(&reader, &end));
}

START_TEST(bytes_are_as_they_were)
{
    FILE *file = fopen(GOLDEN, "r");
    static char line[4096];

    ck_assert_ptr_nonnull(file);
    for (size_t number = 0; number < MESSAGES; number++) {
        const struct spread_message *want = &messages[number].message;
        struct buffer bytes = BUFFER_INIT;
        struct spread_message message;

        ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
        ck_assert_int_eq(encode(number, &bytes), 0);
        ck_assert_uint_eq(strlen(line), bytes.size * 2 + 1);
        for (size_t i = 0; i < bytes.size; i++) {
            char hex[3];
            snprintf(hex, sizeof(hex), "%02x", bytes.data[i]);
            ck_assert_msg(memcmp(hex, line + 2 * i, 2) == 0, "%s: byte %zu", messages[number].name, i);
        }
        ck_assert_int_eq(spread_message_decode(buffer_slice(&bytes), &message), 0);
        ck_assert(message.kind == want->kind && message.partition == want->partition && message.epoch == want->epoch);
        ck_assert(message.has_position == want->has_position && message.from == want->from && message.to == want->to);
        ck_assert(message.piece == want->piece && message.is_last == want->is_last && message.age_ms == want->age_ms);
        if (has_rows(want->kind)) judge_rows(message.rows);
        if (want->kind == SPREAD_ENDS) judge_ends(message.rows);
        buffer_deinit(&bytes);
    }
    ck_assert_ptr_null(fgets(line, sizeof(line), file));
    fclose(file);
}
END_TEST

/* Cut anywhere, it is refused, or is a shorter run of the same rows; with any byte changed it is refused, or can be read to its end. */
START_TEST(damage_is_refused_or_harmless)
{
    struct buffer bytes = BUFFER_INIT;
    struct spread_message message;

    ck_assert_int_eq(encode((size_t)_i, &bytes), 0);
    for (size_t size = 0; size < bytes.size; size++) {
        uint8_t *copy = malloc(size + 1); /* so that a sanitizer sees who reads behind it */
        memcpy(copy, bytes.data, size);
        int err = spread_message_decode(slice_of(copy, size), &message);
        if (err != 0 && err != MESH_EPROTO) ck_abort_msg("%zu bytes: %d", size, err);
        free(copy);
    }
    for (size_t at = 0; at < bytes.size; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes.data[at] ^= (uint8_t)(1u << bit);
            int err = spread_message_decode(buffer_slice(&bytes), &message);
            if (err != 0 && err != MESH_EPROTO && err != MESH_EVERSION) ck_abort_msg("bit %u of byte %zu: %d", bit, at, err);
            bytes.data[at] ^= (uint8_t)(1u << bit);
        }
    }
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(what_a_newer_broker_says_is_told_apart)
{
    struct spread_message message;

    ck_assert_int_eq(spread_message_decode(slice_of("\2\1", 2), &message), MESH_EVERSION);
    ck_assert_int_eq(spread_message_decode(slice_of("\1\10", 2), &message), MESH_EVERSION);
    ck_assert_int_eq(spread_message_decode(slice_of("\1\0", 2), &message), MESH_EPROTO);
    ck_assert_int_eq(spread_message_decode(slice_of("", 0), &message), MESH_EPROTO);
    ck_assert_int_eq(spread_message_decode(slice_of("\1\5\100\1", 4), &message), MESH_EPROTO); /* partition 64 */
}
END_TEST

START_TEST(a_cell_of_a_large_commit_takes_a_dozen_bytes)
{
    struct buffer bytes = BUFFER_INIT;
    struct spread_rows_writer writer = spread_rows_write(&bytes);
    struct spread_row row = rows[1];

    row.metadata = slice_of(NULL, 0);
    for (uint32_t i = 0; i < 1000; i++) {
        row.partition = i;
        row.offset = 1000000000 + i * 977;
        spread_rows_put(&writer, &row);
    }
    ck_assert_int_eq(writer.writer.error, 0);
    ck_assert_msg(bytes.size < 12 * 1000, "%zu bytes", bytes.size);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(no_memory_leaves_the_buffer_as_it_was)
{
    failing_alloc_each(n) {
        struct buffer bytes = BUFFER_INIT;
        int err;

        failing_alloc_arm(n);
        err = encode(3, &bytes);
        bool was_refused = failing_alloc_disarm();
        ck_assert_int_eq(err, was_refused ? MESH_ENOMEM : 0);
        ck_assert(!was_refused || bytes.size == 0);
        buffer_deinit(&bytes);
        if (!was_refused) break;
    }
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("spread_message");
    TCase *tests = tcase_create("all");

    if (argc > 1) {
        FILE *file = fopen(argv[1], "w");
        if (file == NULL) return 1;
        write_golden(file);
        return fclose(file) != 0;
    }
    tcase_add_test(tests, bytes_are_as_they_were);
    tcase_add_loop_test(tests, damage_is_refused_or_harmless, 0, (int)MESSAGES);
    tcase_add_test(tests, what_a_newer_broker_says_is_told_apart);
    tcase_add_test(tests, a_cell_of_a_large_commit_takes_a_dozen_bytes);
    tcase_add_test(tests, no_memory_leaves_the_buffer_as_it_was);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
