/* What was heard of a group partition: the same whatever order it was heard in (S14), graves, memory. And ends. */
#include "replication/spread/cells.h"
#include "replication/spread/ends.h"

#include "base/random.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

#define NEWS   300
#define GROUPS 4

static const struct uuid topics[2] = {{{1}}, {{2}}};

struct news {
    struct spread_row row;
    char group[8];
};

static struct spread_row cell_row(const char *group, uint32_t epoch, uint64_t lsn, uint32_t partition, uint64_t offset)
{
    return (struct spread_row){.kind = SPREAD_CELL, .group = slice_of_string(group), .version = {epoch, lsn}, .topic = topics[0], .partition = partition,
                               .offset = offset, .record_epoch = 1, .time_s = 100};
}

static struct spread_row group_row(enum spread_row_kind kind, const char *group, uint32_t epoch, uint64_t lsn)
{
    return (struct spread_row){.kind = kind, .group = slice_of_string(group), .version = {epoch, lsn}, .generation = 5, .time_s = 100};
}

/* The history of a log, as its leaders told it: each place is one record, a record may say several things. */
static void make_news(struct random *random, struct news *news)
{
    uint32_t epoch = 1;
    uint64_t lsn = 0;

    for (size_t i = 0; i < NEWS; i++) {
        struct news *one = &news[i];
        uint64_t what = random_below(random, 20);

        if (random_below(random, 30) == 0) {
            epoch++; /* an unclean election: places may begin lower */
            lsn = random_below(random, lsn + 1);
        }
        lsn += random_below(random, 3) + 1;
        snprintf(one->group, sizeof(one->group), "g%d", (int)random_below(random, GROUPS));
        one->row = cell_row(one->group, epoch, lsn, (uint32_t)random_below(random, 5), random_below(random, 1000));
        one->row.topic = topics[random_below(random, 2)];
        one->row.time_s = (uint32_t)i;
        if (what == 0) one->row = group_row(SPREAD_GROUP_GONE, one->group, epoch, lsn);
        else if (what < 4) one->row = group_row(SPREAD_GROUP, one->group, epoch, lsn);
        else if (what < 7) one->row.kind = SPREAD_CELL_GONE;
        else if (what == 7) one->row.metadata = slice_of_string("text");
        if (one->row.kind == SPREAD_GROUP) one->row.member_count = (uint32_t)i;
    }
}

static void shuffle(struct random *random, struct news *news, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)random_below(random, i);
        struct news held = news[i - 1];
        news[i - 1] = news[other];
        news[other] = held;
    }
    for (size_t i = 0; i < count; i++)
        news[i].row.group = slice_of_string(news[i].group);
}

static void put(void *arg, const struct spread_row *row)
{
    spread_rows_put(arg, row);
}

/* Through bytes, as between brokers. */
static void tell(const struct spread_cells *from, struct spread_cells *to)
{
    struct buffer bytes = BUFFER_INIT;
    struct spread_rows_writer writer = spread_rows_write(&bytes);

    spread_cells_each_row(from, put, &writer);
    ck_assert_int_eq(writer.writer.error, 0);
    ck_assert_int_eq(spread_cells_merge_rows(to, buffer_slice(&bytes)), 0);
    buffer_deinit(&bytes);
}

/* The latest of each thing, found without the table. */
static bool is_latest(const struct news *news, size_t number, size_t count)
{
    const struct spread_row *row = &news[number].row;

    for (size_t i = 0; i < count; i++) {
        const struct spread_row *other = &news[i].row;
        bool is_same = other->kind == SPREAD_GROUP_GONE || ((other->kind == SPREAD_CELL || other->kind == SPREAD_CELL_GONE) && uuid_equal(&other->topic, &row->topic) &&
                                                            other->partition == row->partition);
        if (slice_equal(other->group, row->group) && is_same && spread_version_compare(other->version, row->version) > 0) return false;
    }
    return true;
}

static void judge(const struct spread_cells *cells, const struct news *news, size_t count)
{
    size_t want = 0;

    for (size_t i = 0; i < count; i++) {
        const struct spread_row *row = &news[i].row;
        const struct spread_group *group = spread_cells_find(cells, row->group);
        struct spread_row found;

        if (row->kind != SPREAD_CELL || !is_latest(news, i, count)) continue;
        want++;
        if (group == NULL || !spread_group_committed(cells, group, &row->topic, row->partition, &found)) ck_abort_msg("row %zu is not there", i);
        if (found.offset != row->offset || found.time_s != row->time_s || !slice_equal(found.metadata, row->metadata)) ck_abort_msg("row %zu", i);
    }
    ck_assert_uint_eq(spread_cells_count(cells), want);
}

START_TEST(whatever_order_it_is_told_in)
{
    static struct news news[NEWS];
    struct spread_cells *one, *other, *third;
    struct random random;

    random_init(&random, (uint64_t)_i);
    make_news(&random, news);
    shuffle(&random, news, NEWS);
    ck_assert(spread_cells_new(&one) == 0 && spread_cells_new(&other) == 0 && spread_cells_new(&third) == 0);
    for (size_t i = 0; i < NEWS; i++)
        if (spread_cells_merge(one, &news[i].row) != 0) ck_abort();
    judge(one, news, NEWS);
    /* Another hears it otherwise, and much of it twice. */
    shuffle(&random, news, NEWS);
    for (size_t i = 0; i < NEWS * 2; i++)
        if (spread_cells_merge(other, &news[i < NEWS ? i : random_below(&random, NEWS)].row) != 0) ck_abort();
    ck_assert_uint_eq(spread_cells_hash(one), spread_cells_hash(other));
    /* A third heard half of it, and then what the first knows. */
    for (size_t i = 0; i < NEWS / 2; i++)
        if (spread_cells_merge(third, &news[i].row) != 0) ck_abort();
    tell(one, third);
    ck_assert_uint_eq(spread_cells_hash(one), spread_cells_hash(third));
    ck_assert_uint_eq(spread_cells_groups(one), spread_cells_groups(third));
    /* Graves are no part of it. */
    spread_cells_purge(third, UINT32_MAX);
    ck_assert_uint_eq(spread_cells_hash(one), spread_cells_hash(third));
    judge(third, news, NEWS);
    spread_cells_free(one);
    spread_cells_free(other);
    spread_cells_free(third);
}
END_TEST

START_TEST(a_later_version_wins_not_a_larger_offset)
{
    struct spread_row back = cell_row("g", 2, 5, 0, 10), before = cell_row("g", 1, 900, 0, 5000), found;
    struct spread_cells *cells;

    ck_assert_int_eq(spread_cells_new(&cells), 0);
    ck_assert_int_eq(spread_cells_merge(cells, &back), 0);
    ck_assert_int_eq(spread_cells_merge(cells, &before), 0);
    ck_assert(spread_group_committed(cells, spread_cells_find(cells, slice_of_string("g")), &topics[0], 0, &found));
    ck_assert_uint_eq(found.offset, 10);
    spread_cells_free(cells);
}
END_TEST

START_TEST(what_is_gone_stays_gone_and_may_begin_anew)
{
    struct spread_row cell = cell_row("g", 1, 10, 3, 7), end = group_row(SPREAD_GROUP_GONE, "g", 1, 20), late = cell_row("g", 1, 15, 4, 8);
    struct spread_row anew = cell_row("g", 1, 30, 3, 1), found;
    struct spread_cells *cells;

    ck_assert_int_eq(spread_cells_new(&cells), 0);
    ck_assert_int_eq(spread_cells_merge(cells, &cell), 0);
    ck_assert_uint_eq(spread_cells_groups(cells), 1);
    ck_assert_int_eq(spread_cells_merge(cells, &end), 0);
    ck_assert_int_eq(spread_cells_merge(cells, &late), 0);
    ck_assert_ptr_null(spread_cells_find(cells, slice_of_string("g")));
    ck_assert(spread_cells_groups(cells) == 0 && spread_cells_count(cells) == 0 && spread_cells_next(cells, NULL) == NULL);
    ck_assert_int_eq(spread_cells_merge(cells, &anew), 0);
    ck_assert_int_eq(spread_cells_merge(cells, &late), 0);
    ck_assert_uint_eq(spread_cells_count(cells), 1);
    ck_assert(spread_group_committed(cells, spread_cells_find(cells, slice_of_string("g")), &topics[0], 3, &found) && found.offset == 1);
    /* Long after, nothing is left of the end. */
    spread_cells_purge(cells, 101);
    ck_assert_int_eq(spread_cells_merge(cells, &late), 0);
    ck_assert_uint_eq(spread_cells_count(cells), 2);
    spread_cells_free(cells);
}
END_TEST

START_TEST(a_cell_takes_less_than_60_bytes)
{
    struct spread_cells *cells;
    char name[16];

    ck_assert_int_eq(spread_cells_new(&cells), 0);
    for (uint32_t i = 0; i < 200000; i++) {
        struct spread_row row;
        snprintf(name, sizeof(name), "g%u", i / 100);
        row = cell_row(name, 1, i, i % 100, i);
        if (spread_cells_merge(cells, &row) != 0) ck_abort();
        if (i > 10000 && spread_cells_bytes(cells) > (size_t)i * 60) ck_abort_msg("%zu bytes for %u cells", spread_cells_bytes(cells), i);
    }
    spread_cells_free(cells);
}
END_TEST

START_TEST(no_memory_leaves_the_rest_as_it_was)
{
    struct spread_row first = cell_row("g", 1, 1, 0, 1), row = cell_row("h", 1, 2, 0, 2);

    row.metadata = slice_of_string("m");
    failing_alloc_each(n) {
        struct spread_cells *cells;
        uint64_t hash;
        int err;

        ck_assert_int_eq(spread_cells_new(&cells), 0);
        ck_assert_int_eq(spread_cells_merge(cells, &first), 0);
        hash = spread_cells_hash(cells);
        failing_alloc_arm(n);
        err = spread_cells_merge(cells, &row);
        bool was_refused = failing_alloc_disarm();
        if (was_refused) {
            ck_assert_int_eq(err, MESH_ENOMEM);
            ck_assert_uint_eq(spread_cells_hash(cells), hash);
            ck_assert_uint_eq(spread_cells_groups(cells), 1);
        }
        ck_assert_int_eq(spread_cells_merge(cells, &row), 0);
        ck_assert(spread_cells_groups(cells) == 2 && spread_cells_count(cells) == 2);
        spread_cells_free(cells);
        if (!was_refused) break;
    }
}
END_TEST

/* ---- ends ---- */

static struct spread_end end_of(uint32_t partition, uint32_t epoch, uint64_t high_watermark)
{
    return (struct spread_end){topics[0], partition, epoch, high_watermark, 0};
}

static const struct {
    struct spread_end first, then;
    bool is_own, is_own_then;
    uint64_t want;
} end_cases[] = {
    {{{{1}}, 0, 3, 10, 0}, {{{1}}, 0, 3, 20, 0}, false, false, 20}, /* it grows */
    {{{{1}}, 0, 3, 20, 0}, {{{1}}, 0, 3, 10, 0}, false, false, 20}, /* news that come late */
    {{{{1}}, 0, 3, 20, 0}, {{{1}}, 0, 4, 10, 0}, false, false, 10}, /* an unclean election */
    {{{{1}}, 0, 4, 10, 0}, {{{1}}, 0, 3, 20, 0}, false, false, 10},
    {{{{1}}, 0, 3, 10, 0}, {{{1}}, 0, 3, 20, 0}, true, false, 10},  /* somebody else claims to lead what this broker leads */
    {{{{1}}, 0, 3, 10, 0}, {{{1}}, 0, 4, 20, 0}, true, false, 20},  /* somebody else does lead it by now */
    {{{{1}}, 0, 3, 10, 0}, {{{1}}, 0, 3, 20, 0}, true, true, 20},
};

START_TEST(the_end_is_what_the_newest_leader_says)
{
    struct spread_ends *ends;
    struct spread_end end;
    uint64_t heard_ms;

    ck_assert_int_eq(spread_ends_new(&ends), 0);
    ck_assert_int_eq(spread_ends_merge(ends, 1, &end_cases[_i].first, end_cases[_i].is_own), 0);
    ck_assert_int_eq(spread_ends_merge(ends, 2, &end_cases[_i].then, end_cases[_i].is_own_then), 0);
    ck_assert(spread_ends_find(ends, &topics[0], 0, &end, &heard_ms));
    ck_assert_uint_eq(end.high_watermark, end_cases[_i].want);
    spread_ends_free(ends);
}
END_TEST

START_TEST(a_used_up_budget_leaves_the_rest_for_the_next_round)
{
    struct spread_ends *ends, *there;
    uint64_t position = 0, heard_ms;
    struct buffer bytes = BUFFER_INIT;
    struct spread_end end;
    int rounds = 0;

    ck_assert(spread_ends_new(&ends) == 0 && spread_ends_new(&there) == 0);
    for (uint32_t i = 0; i < 1000; i++) {
        end = end_of(i, 1, 100);
        ck_assert_int_eq(spread_ends_merge(ends, 1, &end, i % 10 != 0), 0);
    }
    for (; spread_ends_tell(ends, &position, 500, &bytes); rounds++) {
        struct spread_ends_reader reader = spread_ends_read(buffer_slice(&bytes));
        ck_assert_uint_lt(bytes.size, 560);
        while (spread_ends_next(&reader, &end))
            ck_assert_int_eq(spread_ends_merge(there, 1, &end, false), 0);
        buffer_clear(&bytes);
        /* One changes while the rest is on its way: it comes once more, at the end. */
        end = end_of(1, 1, 101 + (uint64_t)rounds);
        if (rounds < 3) ck_assert_int_eq(spread_ends_merge(ends, 1, &end, true), 0);
    }
    ck_assert_int_gt(rounds, 5);
    ck_assert_uint_eq(spread_ends_count(there), 900); /* what others lead is theirs to tell */
    ck_assert(spread_ends_find(there, &topics[0], 1, &end, &heard_ms) && end.high_watermark == 103);
    ck_assert(!spread_ends_is_behind(ends, position));
    spread_ends_free(ends);
    spread_ends_free(there);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(where_more_changes_than_is_told_each_has_its_turn)
{
    struct spread_ends *ends, *there;
    struct buffer bytes = BUFFER_INIT;
    uint64_t position = 0, heard_ms;
    struct spread_end end;

    ck_assert(spread_ends_new(&ends) == 0 && spread_ends_new(&there) == 0);
    for (uint64_t round = 1; round <= 40; round++) {
        for (uint32_t i = 0; i < 1000; i++) { /* all change, in the same order */
            end = end_of(i, 1, round);
            ck_assert_int_eq(spread_ends_merge(ends, round, &end, true), 0);
        }
        ck_assert(spread_ends_tell(ends, &position, 500, &bytes));
        for (struct spread_ends_reader reader = spread_ends_read(buffer_slice(&bytes)); spread_ends_next(&reader, &end);)
            ck_assert_int_eq(spread_ends_merge(there, round, &end, false), 0);
        buffer_clear(&bytes);
    }
    for (uint32_t i = 0; i < 1000; i++) /* what was told was of that round */
        ck_assert_msg(spread_ends_find(there, &topics[0], i, &end, &heard_ms) && end.high_watermark == heard_ms && heard_ms > 10, "partition %u", i);
    spread_ends_free(ends);
    spread_ends_free(there);
    buffer_deinit(&bytes);
}
END_TEST

/* Neighbours share an allocation, which grows with them: each keeps its turn, and what it says. */
static const uint32_t scattered[] = {5, 0, 15, 31, 16, 3, 9999, 99999, 7, 4, 1, 14, 20};
#define SCATTERED (sizeof(scattered) / sizeof(scattered[0]))

START_TEST(whatever_partition_is_heard_of_first_each_has_its_turn)
{
    struct buffer bytes = BUFFER_INIT;
    uint64_t position = 0, heard_ms;
    struct spread_ends_reader reader;
    struct spread_ends *ends;
    struct spread_end end;

    ck_assert_int_eq(spread_ends_new(&ends), 0);
    for (size_t i = 0; i < SCATTERED; i++) {
        end = end_of(scattered[i], 1, 100 + i);
        ck_assert_int_eq(spread_ends_merge(ends, i, &end, true), 0);
        end = end_of(scattered[i] ^ 8, 1, 7); /* a neighbour that somebody else leads */
        ck_assert_int_eq(spread_ends_merge(ends, i, &end, false), 0);
    }
    ck_assert(spread_ends_tell(ends, &position, 100000, &bytes));
    reader = spread_ends_read(buffer_slice(&bytes));
    for (size_t i = 0; i < SCATTERED; i++) {
        ck_assert(spread_ends_next(&reader, &end));
        ck_assert_uint_eq(end.partition, scattered[i]);
        ck_assert_uint_eq(end.high_watermark, 100 + i);
        ck_assert(spread_ends_find(ends, &topics[0], scattered[i], &end, &heard_ms) && heard_ms == i);
    }
    ck_assert(!spread_ends_next(&reader, &end));
    ck_assert(!spread_ends_find(ends, &topics[0], 2, &end, &heard_ms)); /* of which nothing was heard, though there is room for it */
    ck_assert(!spread_ends_find(ends, &topics[1], 5, &end, &heard_ms));
    spread_ends_free(ends);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(an_end_that_finds_no_memory_leaves_the_others_as_they_were)
{
    static const uint32_t partitions[] = {0, 1, 2, 5, 40};
    uint64_t position = 0, heard_ms;
    struct buffer bytes = BUFFER_INIT;
    struct spread_ends *ends;
    struct spread_end end;
    unsigned refused = 0;

    ck_assert_int_eq(spread_ends_new(&ends), 0);
    for (size_t i = 0; i < sizeof(partitions) / sizeof(partitions[0]); i++) {
        int err = MESH_ENOMEM;

        failing_alloc_each(n)
        {
            bool has_failed;

            end = end_of(partitions[i], 1, i);
            failing_alloc_arm(n);
            err = spread_ends_merge(ends, 1, &end, true);
            has_failed = failing_alloc_disarm();
            if (!has_failed) break;
            refused++;
            ck_assert_int_eq(err, MESH_ENOMEM);
            ck_assert_uint_eq(spread_ends_count(ends), i);
            ck_assert(!spread_ends_find(ends, &topics[0], partitions[i], &end, &heard_ms));
            for (size_t k = 0; k < i; k++)
                ck_assert(spread_ends_find(ends, &topics[0], partitions[k], &end, &heard_ms) && end.high_watermark == k);
        }
        ck_assert_int_eq(err, 0);
    }
    ck_assert_uint_ge(refused, 5);
    ck_assert(spread_ends_tell(ends, &position, 100000, &bytes) && !spread_ends_is_behind(ends, position));
    spread_ends_free(ends);
    buffer_deinit(&bytes);
}
END_TEST

static bool is_first_topic(void *arg, const struct uuid *topic)
{
    (void)arg;
    return uuid_equal(topic, &topics[0]);
}

START_TEST(ends_take_little_memory_and_give_it_back)
{
    struct spread_ends *ends;
    struct spread_end end;
    uint64_t heard_ms;
    size_t bytes;

    ck_assert_int_eq(spread_ends_new(&ends), 0);
    for (uint32_t i = 0; i < 10000; i++) {
        end = end_of(i, 1, i);
        ck_assert_int_eq(spread_ends_merge(ends, 1, &end, i % 2 == 0), 0);
    }
    bytes = spread_ends_bytes(ends);
    ck_assert_uint_lt(bytes, 62 * 10000);
    for (uint32_t i = 0; i < 10000; i++) {
        end = end_of(i, 1, i);
        end.topic = topics[1];
        ck_assert_int_eq(spread_ends_merge(ends, 1, &end, i % 2 == 0), 0);
    }
    ck_assert_uint_eq(spread_ends_count(ends), 20000);
    spread_ends_keep(ends, is_first_topic, NULL);
    ck_assert_uint_eq(spread_ends_count(ends), 10000);
    ck_assert_uint_lt(spread_ends_bytes(ends), bytes + 10000); /* the table of pages does not become smaller */
    for (uint32_t i = 0; i < 10000; i++)
        ck_assert(spread_ends_find(ends, &topics[0], i, &end, &heard_ms) && end.high_watermark == i);
    ck_assert(!spread_ends_find(ends, &topics[1], 0, &end, &heard_ms));
    spread_ends_free(ends);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spread_cells");
    TCase *tests = tcase_create("all");

    tcase_add_loop_test(tests, whatever_order_it_is_told_in, 0, 40);
    tcase_add_test(tests, a_later_version_wins_not_a_larger_offset);
    tcase_add_test(tests, what_is_gone_stays_gone_and_may_begin_anew);
    tcase_add_test(tests, a_cell_takes_less_than_60_bytes);
    tcase_add_test(tests, no_memory_leaves_the_rest_as_it_was);
    tcase_add_loop_test(tests, the_end_is_what_the_newest_leader_says, 0, (int)(sizeof(end_cases) / sizeof(end_cases[0])));
    tcase_add_test(tests, a_used_up_budget_leaves_the_rest_for_the_next_round);
    tcase_add_test(tests, where_more_changes_than_is_told_each_has_its_turn);
    tcase_add_test(tests, whatever_partition_is_heard_of_first_each_has_its_turn);
    tcase_add_test(tests, an_end_that_finds_no_memory_leaves_the_others_as_they_were);
    tcase_add_test(tests, ends_take_little_memory_and_give_it_back);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
