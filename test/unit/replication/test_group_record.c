/* The records of group logs: golden bytes, damage, limits, names.
 *
 * test_group_record FILE writes the records below as the golden file has them. */
#include "replication/groups/record.h"

#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

#define GOLDEN "test/golden/groups/records.txt"
#define TEXT(text) {(const uint8_t *)(text), sizeof(text) - 1}
#define TOPIC(byte) {{byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte}}

static const struct group_item plain_items[] = {
    {.topic = TOPIC(1), .partition = 0}, {.topic = TOPIC(1), .partition = 99999}, {.topic = TOPIC(2), .partition = 7}};
static const struct group_item offset_items[] = {
    {.topic = TOPIC(1), .partition = 3, .offset = 300, .record_epoch = 2, .metadata = TEXT("half way")},
    {.topic = TOPIC(2), .partition = 0, .offset = INT64_MAX, .record_epoch = -1}};
static const struct group_item cell_items[] = {{.topic = TOPIC(1), .partition = 3, .offset = 300, .record_epoch = 2, .metadata = TEXT("m"),
                                                .version_epoch = 9, .version_lsn = 1234567890123, .committed_s = 1700000000}};
static const struct group_item target_items[] = {{.topic = TOPIC(1), .run = 2, .target = 1}, {.topic = TOPIC(1), .run = 98, .target = 2},
                                                 {.topic = TOPIC(2), .run = 3, .target = 0}};
static const struct group_item claim_items[] = {{.topic = TOPIC(1), .run = 2, .target = 1, .owner = 2, .claimed_in = 11},
                                                {.topic = TOPIC(1), .run = 1, .target = 2}};

#define ITEMS(form, items) form, items, sizeof(items) / sizeof(items[0])

static const struct {
    const char *name;
    struct group_record record;
    enum group_item_form form;
    const struct group_item *items;
    size_t item_count;
} rows[] = {
    {"created", {.kind = GROUP_CREATED, .group = TEXT("billing"), .protocol = GROUP_PROTOCOL_CLASSIC, .time_ms = 1700000000000}, 0, NULL, 0},
    {"joined",
     {.kind = GROUP_JOINED, .group = TEXT("billing"),
      .info = {.id = TEXT("a-1"), .replaces = TEXT("a-0"), .instance = TEXT("a"), .client = TEXT("app"), .host = TEXT("10.0.0.7"), .zone = TEXT("z1"),
               .session_timeout_ms = 45000, .processing_limit_ms = 300000, .strategy = GROUP_RANGE, .names = TEXT("\6orders\1t"), .name_count = 2}},
     0, NULL, 0},
    {"joined by pattern",
     {.kind = GROUP_JOINED, .group = TEXT("g\xc3\xbc"), .info = {.id = TEXT("b"), .pattern = TEXT("logs\\..*"), .strategy = GROUP_ZONE}}, 0, NULL, 0},
    {"left", {.kind = GROUP_LEFT, .group = TEXT("g"), .member = TEXT("b"), .reason = GROUP_EXPIRED, .time_ms = 5}, 0, NULL, 0},
    {"assigned",
     {.kind = GROUP_ASSIGNED, .group = TEXT("g"), .strategy = GROUP_ROUND_ROBIN, .generation = 12, .members = TEXT("\1a\1b"), .member_count = 2},
     ITEMS(GROUP_ITEMS_TARGETS, target_items)},
    {"claimed", {.kind = GROUP_CLAIMED, .group = TEXT("g"), .member = TEXT("a"), .generation = 12}, ITEMS(GROUP_ITEMS_PLAIN, plain_items)},
    {"released", {.kind = GROUP_RELEASED, .group = TEXT("g"), .member = TEXT("a"), .reason = GROUP_OVERDUE}, ITEMS(GROUP_ITEMS_PLAIN, plain_items)},
    {"committed", {.kind = GROUP_COMMITTED, .group = TEXT("g"), .member = TEXT("a"), .time_ms = 77}, ITEMS(GROUP_ITEMS_OFFSETS, offset_items)},
    {"committed alone", {.kind = GROUP_COMMITTED, .group = TEXT("g"), .time_ms = 77}, ITEMS(GROUP_ITEMS_OFFSETS, offset_items)},
    {"reset", {.kind = GROUP_RESET, .group = TEXT("g"), .member = TEXT("operator"), .time_ms = 78}, ITEMS(GROUP_ITEMS_OFFSETS, offset_items)},
    {"cells deleted", {.kind = GROUP_CELLS_DELETED, .group = TEXT("g"), .reason = GROUP_TOPIC_GONE}, ITEMS(GROUP_ITEMS_PLAIN, plain_items)},
    {"deleted", {.kind = GROUP_DELETED, .group = TEXT("g"), .reason = GROUP_EXPIRED}, 0, NULL, 0},
    {"fenced", {.kind = GROUP_FENCED}, 0, NULL, 0},
    {"checkpoint began", {.kind = GROUP_CHECKPOINT_BEGAN}, 0, NULL, 0},
    {"image",
     {.kind = GROUP_IMAGE, .group = TEXT("g"), .strategy = GROUP_ZONE, .generation = 12, .reset_epoch = 3, .time_ms = 79, .hash = 0x0123456789abcdef},
     0, NULL, 0},
    {"image member", {.kind = GROUP_IMAGE_MEMBER, .group = TEXT("g"), .info = {.id = TEXT("b"), .names = TEXT("\1t"), .name_count = 1}, .generation = 8},
     0, NULL, 0},
    {"image topic", {.kind = GROUP_IMAGE_TOPIC, .group = TEXT("g"), .topic = TOPIC(1), .members = TEXT("\1a\1b"), .member_count = 2},
     ITEMS(GROUP_ITEMS_CLAIMS, claim_items)},
    {"image cells", {.kind = GROUP_IMAGE_CELLS, .group = TEXT("g")}, ITEMS(GROUP_ITEMS_CELLS, cell_items)},
    {"checkpoint ended", {.kind = GROUP_CHECKPOINT_ENDED, .hash = 1}, 0, NULL, 0},
    {"salvaged", {.kind = GROUP_SALVAGED}, 0, NULL, 0},
    {"fenced after losses", {.kind = GROUP_FENCED, .losses = 300}, 0, NULL, 0},
    {"checkpoint began after losses", {.kind = GROUP_CHECKPOINT_BEGAN, .losses = 1}, 0, NULL, 0},
    {"salvaged after losses", {.kind = GROUP_SALVAGED, .losses = UINT32_MAX}, 0, NULL, 0},
    {"classic",
     {.kind = GROUP_CLASSIC, .group = TEXT("g"), .generation = 7, .classic = TEXT("\10consumer\5range\3m-1\1\3m-1\1i\6client\4host\220\116\240\234\1\3sub\4part")},
     0, NULL, 0},
    {"classic without members", {.kind = GROUP_CLASSIC, .group = TEXT("g"), .generation = 8, .time_ms = 80, .classic = TEXT("\10consumer\0\0\0")}, 0, NULL, 0},
    {"image classic", {.kind = GROUP_IMAGE_CLASSIC, .group = TEXT("g"), .generation = 9, .classic = TEXT("\10consumer\5range\1a\1\1a\0\0\0\1\1\0\0")}, 0, NULL, 0},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static int encode_row(size_t row, struct buffer *to)
{
    struct buffer list = BUFFER_INIT;
    struct group_items_writer writer = group_items_write(&list, rows[row].form);
    struct group_record record = rows[row].record;
    int err;

    for (size_t i = 0; i < rows[row].item_count; i++)
        group_items_put(&writer, &rows[row].items[i]);
    record.items = buffer_slice(&list);
    err = writer.writer.error != 0 ? writer.writer.error : group_record_encode(&record, to);
    buffer_deinit(&list);
    return err;
}

static void write_golden(FILE *to)
{
    for (size_t row = 0; row < ROWS; row++) {
        struct buffer bytes = BUFFER_INIT;

        encode_row(row, &bytes);
        for (size_t i = 0; i < bytes.size; i++)
            fprintf(to, "%02x", bytes.data[i]);
        fprintf(to, "\n");
        buffer_deinit(&bytes);
    }
}

START_TEST(bytes_are_as_they_were)
{
    FILE *file = fopen(GOLDEN, "r");
    static char line[4096];

    ck_assert_ptr_nonnull(file);
    for (size_t row = 0; row < ROWS; row++) {
        struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;
        struct group_record record;

        ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
        ck_assert_int_eq(encode_row(row, &bytes), 0);
        ck_assert_uint_eq(strlen(line), bytes.size * 2 + 1);
        for (size_t i = 0; i < bytes.size; i++) {
            char hex[3];
            snprintf(hex, sizeof(hex), "%02x", bytes.data[i]);
            ck_assert_msg(memcmp(hex, line + 2 * i, 2) == 0, "%s: byte %zu", rows[row].name, i);
        }
        ck_assert_int_eq(group_record_decode(buffer_slice(&bytes), &record), 0);
        ck_assert_int_eq(record.kind, rows[row].record.kind);
        ck_assert_int_eq(group_record_encode(&record, &again), 0);
        ck_assert(slice_equal(buffer_slice(&bytes), buffer_slice(&again)));
        buffer_deinit(&bytes);
        buffer_deinit(&again);
    }
    ck_assert_ptr_null(fgets(line, sizeof(line), file));
    fclose(file);
}
END_TEST

START_TEST(lists_read_as_they_were_written)
{
    struct buffer bytes = BUFFER_INIT;
    struct group_record record;
    struct group_items_reader reader;
    struct group_item item;
    size_t row = (size_t)_i;

    ck_assert_int_eq(encode_row(row, &bytes), 0);
    ck_assert_int_eq(group_record_decode(buffer_slice(&bytes), &record), 0);
    reader = group_items_read(&record);
    for (size_t i = 0, next = 0; i < rows[row].item_count; i++) {
        const struct group_item *want = &rows[row].items[i];
        bool has_runs = rows[row].form >= GROUP_ITEMS_TARGETS;

        if (i == 0 || !uuid_equal(&want->topic, &want[-1].topic)) next = 0;
        ck_assert(group_items_next(&reader, &item));
        ck_assert(uuid_equal(&item.topic, &want->topic));
        ck_assert_uint_eq(item.partition, has_runs ? next : want->partition);
        ck_assert_uint_eq(item.run, has_runs ? want->run : 1);
        ck_assert_uint_eq(item.offset, want->offset);
        ck_assert_int_eq(item.record_epoch, want->record_epoch);
        ck_assert(slice_equal(item.metadata, want->metadata));
        ck_assert_uint_eq(item.version_lsn, want->version_lsn);
        ck_assert_uint_eq(item.version_epoch, want->version_epoch);
        ck_assert_uint_eq(item.committed_s, want->committed_s);
        ck_assert(item.target == want->target && item.owner == want->owner && item.claimed_in == want->claimed_in);
        next += want->run;
    }
    ck_assert(!group_items_next(&reader, &item));
    buffer_deinit(&bytes);
}
END_TEST

/* Whatever is cut off or flipped: an error or another sound record, never a read beyond the end (the sanitizers look). */
START_TEST(damage_is_survived)
{
    struct buffer bytes = BUFFER_INIT;
    struct group_record record;

    ck_assert_int_eq(encode_row((size_t)_i, &bytes), 0);
    for (size_t size = 0; size < bytes.size; size++) {
        uint8_t *cut = malloc(size == 0 ? 1 : size);
        memcpy(cut, bytes.data, size);
        int err = group_record_decode(slice_of(cut, size), &record);
        ck_assert(err == 0 || err == MESH_ECORRUPT || err == MESH_EVERSION);
        free(cut);
    }
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        (void)group_record_decode(buffer_slice(&bytes), &record);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buffer_deinit(&bytes);
}
END_TEST

static const struct {
    const char *bytes;
    size_t size;
    int want;
} refused[] = {
#define BYTES(text, want) {text, sizeof(text) - 1, want}
    BYTES("", MESH_ECORRUPT),
    BYTES("\1", MESH_ECORRUPT),
    BYTES("\0\14", MESH_ECORRUPT),                /* version 0 */
    BYTES("\2\14", MESH_EVERSION),
    BYTES("\1\0", MESH_ECORRUPT),
    BYTES("\1\25", MESH_EVERSION),                /* a kind from the future */
    BYTES("\1\13\0", MESH_ECORRUPT),              /* something behind the last field */
    BYTES("\1\12\0\0", MESH_ECORRUPT),            /* a group without a name */
    BYTES("\1\12\1\n\0", MESH_ECORRUPT),          /* a name of one line feed */
    BYTES("\1\12\1g\4", MESH_ECORRUPT),           /* no such reason */
    BYTES("\1\5\1g\0\1a\1", MESH_ECORRUPT),       /* a partition without a topic */
    BYTES("\1\6\1g\1a\1\0AAAAAAAAAAAAAAAA\0", MESH_ECORRUPT), /* a topic without partitions */
};

START_TEST(what_is_no_record_is_refused)
{
    struct group_record record;

    ck_assert_int_eq(group_record_decode(slice_of(refused[_i].bytes, refused[_i].size), &record), refused[_i].want);
}
END_TEST

START_TEST(too_long_a_record_is_refused_and_leaves_nothing)
{
    static uint8_t text[GROUP_METADATA_SIZE_MAX];
    struct buffer list = BUFFER_INIT, bytes = BUFFER_INIT;
    struct group_items_writer writer = group_items_write(&list, GROUP_ITEMS_OFFSETS);
    struct group_record record = {.kind = GROUP_COMMITTED, .group = TEXT("g")};

    ck_assert_int_eq(buffer_append(&bytes, "before", 6), 0);
    for (uint32_t i = 0; list.size <= GROUP_RECORD_SIZE_MAX; i++)
        group_items_put(&writer, &(struct group_item){.topic = TOPIC(1), .partition = i, .metadata = slice_of(text, sizeof(text))});
    record.items = buffer_slice(&list);
    ck_assert_int_eq(group_record_encode(&record, &bytes), MESH_ETOOLARGE);
    ck_assert_uint_eq(bytes.size, 6);
    buffer_deinit(&list);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(without_memory_nothing_is_written)
{
    int err = 0;

    failing_alloc_each(n)
    {
        struct buffer bytes = BUFFER_INIT;

        failing_alloc_arm(n);
        err = encode_row(4, &bytes);
        bool was_refused = failing_alloc_disarm();
        if (was_refused) ck_assert_int_eq(err, MESH_ENOMEM);
        if (was_refused) ck_assert_uint_eq(bytes.size, 0);
        buffer_deinit(&bytes);
        if (!was_refused) break;
    }
    ck_assert_int_eq(err, 0);
}
END_TEST

static const struct {
    const char *name;
    bool is_good;
} names[] = {
    {"billing", true}, {"with space and / and #", true}, {"\xe7\xbb\x84", true}, {"\xf0\x9f\x90\x9f", true}, {"", false},
    {"line\nfeed", false}, {"\x7f", false}, {"\xc2\x85", false}, {"\xc0\xaf", false}, {"\xed\xa0\x80", false}, {"\xff", false}, {"cut\xe7\xbb", false},
};

START_TEST(names_of_groups_are_text)
{
    ck_assert_int_eq(group_name_check(slice_of_string(names[_i].name)), names[_i].is_good ? 0 : MESH_EINVALID_GROUP);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("group_record");
    TCase *tcase = tcase_create("all");

    if (argc == 2) {
        FILE *file = fopen(argv[1], "w");
        write_golden(file);
        return fclose(file);
    }
    tcase_add_test(tcase, bytes_are_as_they_were);
    tcase_add_loop_test(tcase, lists_read_as_they_were_written, 0, (int)ROWS);
    tcase_add_loop_test(tcase, damage_is_survived, 0, (int)ROWS);
    tcase_add_loop_test(tcase, what_is_no_record_is_refused, 0, (int)(sizeof(refused) / sizeof(refused[0])));
    tcase_add_test(tcase, too_long_a_record_is_refused_and_leaves_nothing);
    tcase_add_test(tcase, without_memory_nothing_is_written);
    tcase_add_loop_test(tcase, names_of_groups_are_text, 0, (int)(sizeof(names) / sizeof(names[0])));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
