/* The books that commands keep: what became of produced records, where to stop consuming, CPU times. */
#include "cmd/cli/bench.h"
#include "cmd/cli/consume_plan.h"
#include "cmd/cli/delivery_tally.h"
#include "cmd/cli/failure.h"
#include "cmd/cli/pause.h"
#include "support/run_suite.h"

#include <mesh/error.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- delivery tally ---- */

static struct mesh_receipt delivered(int32_t partition, int64_t offset, uint32_t synced)
{
    return (struct mesh_receipt){.status = MESH_DELIVERED,
                                 .topic = "t",
                                 .partition = partition,
                                 .offset = offset,
                                 .replicas_holding = 3,
                                 .replicas_synced = synced};
}

START_TEST(tally_keeps_ends_and_the_weakest_receipt_of_each_partition)
{
    const struct mesh_receipt receipts[] = {delivered(0, 10, 2), delivered(40, 5, 3), delivered(0, 11, 1),
                                            delivered(0, 12, 3)};
    struct delivery_tally tally;

    delivery_tally_init(&tally, "t");
    for (size_t i = 0; i < COUNT_OF(receipts); i++)
        delivery_tally_record(&tally, &receipts[i]);
    ck_assert_uint_eq(tally.delivered, 4);
    ck_assert_uint_eq(tally.partitions[0].records, 3);
    ck_assert_int_eq(tally.partitions[0].first_offset, 10);
    ck_assert_int_eq(tally.partitions[0].last_offset, 12);
    ck_assert_uint_eq(tally.partitions[40].records, 1);
    ck_assert_uint_eq(tally.partitions[39].records, 0);
    ck_assert_uint_eq(delivery_tally_replicas_synced(&tally), 1);
    ck_assert_uint_eq(delivery_tally_replicas_holding(&tally), 3);
    ck_assert_int_eq(tally.error, 0);
    delivery_tally_deinit(&tally);
}
END_TEST

START_TEST(a_pause_is_time_in_which_records_waited_in_vain)
{
    static const struct {
        uint64_t acknowledged, now_ns;
        bool is_waiting;
        uint64_t want_ns;
    } looks[] = {
        {0, 100, false, 0}, {0, 900, true, 0},   /* nothing waited until now */
        {5, 950, true, 50}, {5, 980, true, 50},  /* an acknowledgement ends it, */
        {5, 1200, true, 250},                    /* a look in vain does not */
        {9, 1300, false, 350}, {9, 9000, false, 350}, {9, 9500, true, 350}, {12, 9600, true, 350},
    };
    struct pause pause = {0};

    for (size_t i = 0; i < COUNT_OF(looks); i++) {
        pause_look(&pause, looks[i].acknowledged, looks[i].is_waiting, looks[i].now_ns);
        ck_assert_uint_eq(pause.longest_ns, looks[i].want_ns);
    }
}
END_TEST

START_TEST(tally_tells_failed_from_unknown_and_keeps_the_first_error)
{
    const struct mesh_receipt failed = {
        .status = MESH_DELIVERY_FAILED, .error = MESH_ETOOLARGE, .offset = -1};
    const struct mesh_receipt unknown = {
        .status = MESH_DELIVERY_UNKNOWN, .error = MESH_ETIMEDOUT, .offset = -1};
    struct delivery_tally tally;

    delivery_tally_init(&tally, "t");
    delivery_tally_record(&tally, &unknown);
    delivery_tally_record(&tally, &failed);
    delivery_tally_refuse(&tally, MESH_EINVAL);
    ck_assert_uint_eq(tally.unknown, 1);
    ck_assert_uint_eq(tally.failed, 2);
    ck_assert_uint_eq(tally.delivered, 0);
    ck_assert_int_eq(tally.first_error, MESH_ETIMEDOUT);
    ck_assert_uint_eq(delivery_tally_replicas_synced(&tally), 0);
    delivery_tally_deinit(&tally);
}
END_TEST

START_TEST(tally_does_not_believe_partitions_that_cannot_be)
{
    const struct mesh_receipt receipts[] = {delivered(-1, 0, 1), delivered(INT32_MAX, 0, 1)};
    struct delivery_tally tally;

    for (size_t i = 0; i < COUNT_OF(receipts); i++) {
        delivery_tally_init(&tally, "t");
        delivery_tally_record(&tally, &receipts[i]);
        ck_assert_int_ne(tally.error, 0);
        delivery_tally_deinit(&tally);
    }
}
END_TEST

START_TEST(receipts_are_written_as_runs)
{
    const struct mesh_receipt receipts[] = {delivered(0, 10, 1), delivered(0, 11, 1), delivered(0, 13, 1),
                                            delivered(1, 14, 1), delivered(1, 15, 0)};
    char path[] = "/tmp/mesh-tally-XXXXXX", text[1024];
    struct delivery_tally tally;
    int fd = mkstemp(path);
    ssize_t size;

    ck_assert_int_ge(fd, 0);
    delivery_tally_init(&tally, "t");
    ck_assert_int_eq(delivery_tally_open_receipts(&tally, path), 0);
    for (size_t i = 0; i < COUNT_OF(receipts); i++)
        delivery_tally_record(&tally, &receipts[i]);
    delivery_tally_write_receipts(&tally);
    ck_assert_int_eq(tally.error, 0);
    size = read(fd, text, sizeof(text) - 1);
    ck_assert_int_gt(size, 0);
    text[size] = '\0';
    ck_assert_str_eq(text, "{\"topic\": \"t\", \"partition\": 0, \"first_offset\": 10, \"last_offset\": 11, "
                           "\"leader_epoch\": 0, \"replicas_holding\": 3, \"replicas_synced\": 1}\n"
                           "{\"topic\": \"t\", \"partition\": 0, \"first_offset\": 13, \"last_offset\": 13, "
                           "\"leader_epoch\": 0, \"replicas_holding\": 3, \"replicas_synced\": 1}\n"
                           "{\"topic\": \"t\", \"partition\": 1, \"first_offset\": 14, \"last_offset\": 14, "
                           "\"leader_epoch\": 0, \"replicas_holding\": 3, \"replicas_synced\": 1}\n"
                           "{\"topic\": \"t\", \"partition\": 1, \"first_offset\": 15, \"last_offset\": 15, "
                           "\"leader_epoch\": 0, \"replicas_holding\": 3, \"replicas_synced\": 0}\n");
    delivery_tally_deinit(&tally);
    close(fd);
    unlink(path);
}
END_TEST

START_TEST(receipts_that_cannot_be_written_are_an_error)
{
    const struct mesh_receipt receipt = delivered(0, 0, 1);
    struct delivery_tally tally;

    delivery_tally_init(&tally, "t");
    ck_assert_int_ne(delivery_tally_open_receipts(&tally, "/nowhere/receipts"), 0);
    ck_assert_int_eq(delivery_tally_open_receipts(&tally, "/dev/full"), 0);
    delivery_tally_record(&tally, &receipt);
    delivery_tally_write_receipts(&tally);
    ck_assert_int_eq(tally.error, MESH_EFULL);
    delivery_tally_deinit(&tally);
}
END_TEST

/* ---- consume plan ---- */

static const struct mesh_partition_info three_partitions[] = {
    {.partition = 0, .log_start = 100, .high_watermark = 200, .problem = ""},
    {.partition = 1, .log_start = 0, .high_watermark = 0, .problem = ""},
    {.partition = 2, .log_start = 5, .high_watermark = 8, .problem = ""},
};
static const struct mesh_topic_info topic = {
    .name = "t", .partitions = three_partitions, .partition_count = 3};

static const struct {
    struct start_offset start;
    int32_t partition;
    bool until_end;
    int err;
    size_t open_count;
    uint64_t total;
    int64_t start0; /* of partition 0 */
} plan_cases[] = {
    {{START_BEGINNING, 0}, -1, true, 0, 2, 103, MESH_OFFSET_BEGINNING},
    {{START_BEGINNING, 0}, -1, false, 0, 3, 0, MESH_OFFSET_BEGINNING},
    {{START_BEGINNING, 0}, 0, true, 0, 1, 100, MESH_OFFSET_BEGINNING},
    {{START_BEGINNING, 0}, 1, true, 0, 0, 0, 0},
    {{START_BEGINNING, 0}, 3, true, MESH_EUNKNOWN_TOPIC, 0, 0, 0},
    {{START_END, 0}, -1, true, 0, 0, 0, MESH_OFFSET_END},
    {{START_END, 0}, -1, false, 0, 3, 0, MESH_OFFSET_END},
    {{START_OFFSET, 150}, 0, true, 0, 1, 50, 150},
    {{START_OFFSET, 200}, 0, true, 0, 0, 0, 200},
    {{START_OFFSET, 201}, 0, true, 0, 1, 0, 201}, /* beyond the end: the broker shall say so */
    {{START_BEFORE_END, 10}, -1, true, 0, 2, 13, 190},
    {{START_BEFORE_END, 1000}, 0, true, 0, 1, 100, 100},
    {{START_BEFORE_END, INT64_MAX}, 0, true, 0, 1, 100, 100},
    {{START_TIME, 12345}, -1, true, 0, 2, 0, MESH_OFFSET_BEGINNING},
};
START_TEST(plan_knows_where_each_partition_starts_and_ends)
{
    struct consume_plan plan;
    int err = consume_plan_init(&plan, &topic, plan_cases[_i].partition, plan_cases[_i].start,
                                plan_cases[_i].until_end);

    ck_assert_int_eq(err, plan_cases[_i].err);
    if (err != 0) return;
    ck_assert_uint_eq(plan.open_count, plan_cases[_i].open_count);
    ck_assert_uint_eq(plan.record_total, plan_cases[_i].total);
    ck_assert_int_eq(plan.partitions[0].start, plan_cases[_i].start0);
    consume_plan_deinit(&plan);
}
END_TEST

START_TEST(plan_ends_each_partition_once)
{
    struct consume_plan plan;

    ck_assert_int_eq(consume_plan_init(&plan, &topic, -1, (struct start_offset){START_BEGINNING, 0}, true),
                     0);
    ck_assert(!consume_plan_advance(&plan, 0, 199));
    ck_assert(consume_plan_advance(&plan, 0, 200));
    ck_assert(!consume_plan_advance(&plan, 0, 201));
    ck_assert(!consume_plan_advance(&plan, 1, 5)); /* was empty: never open */
    ck_assert(!consume_plan_advance(&plan, -1, 5));
    ck_assert(!consume_plan_advance(&plan, 3, 5));
    ck_assert_uint_eq(plan.open_count, 1);
    ck_assert(consume_plan_advance(&plan, 2, 9));
    ck_assert_uint_eq(plan.open_count, 0);
    consume_plan_deinit(&plan);
}
END_TEST

START_TEST(plan_refuses_a_partition_that_cannot_be_served)
{
    const struct mesh_partition_info broken[] = {{.partition = 0, .error = MESH_ESTORAGE, .problem = "disk"}};
    const struct mesh_topic_info info = {.name = "t", .partitions = broken, .partition_count = 1};
    struct consume_plan plan;

    ck_assert_int_eq(consume_plan_init(&plan, &info, -1, (struct start_offset){START_BEGINNING, 0}, true),
                     MESH_ESTORAGE);
    ck_assert_ptr_null(plan.partitions);
}
END_TEST

/* A leader that did not say how far its partition goes: no end, and no place before the end, is known. */
static const struct {
    struct start_offset start;
    int32_t partition;
    bool until_end;
    int error, err;
} silent_cases[] = {
    {{START_BEGINNING, 0}, -1, true, MESH_EUNREACHABLE, MESH_EUNREACHABLE},
    {{START_BEGINNING, 0}, 1, true, MESH_EUNREACHABLE, MESH_EUNREACHABLE},
    {{START_BEGINNING, 0}, 0, true, MESH_EUNREACHABLE, 0}, /* another one is read */
    {{START_BEFORE_END, 5}, -1, false, MESH_EUNREACHABLE, MESH_EUNREACHABLE},
    {{START_BEGINNING, 0}, -1, false, MESH_EUNREACHABLE, 0}, /* endless: it may come back */
    {{START_END, 0}, -1, false, MESH_EUNREACHABLE, 0},
    {{START_END, 0}, -1, false, MESH_ECORRUPT, MESH_ECORRUPT},
};
START_TEST(plan_takes_no_silent_partition_for_an_empty_one)
{
    const struct mesh_partition_info two[] = {{.partition = 0, .high_watermark = 9},
                                              {.partition = 1, .error = silent_cases[_i].error, .problem = "silent"}};
    const struct mesh_topic_info info = {.name = "t", .partitions = two, .partition_count = 2};
    const struct mesh_partition_info *obstacle;
    struct consume_plan plan;

    obstacle = consume_plan_obstacle(&info, silent_cases[_i].partition, silent_cases[_i].start, silent_cases[_i].until_end);
    ck_assert_int_eq(
        consume_plan_init(&plan, &info, silent_cases[_i].partition, silent_cases[_i].start, silent_cases[_i].until_end),
        silent_cases[_i].err);
    ck_assert_ptr_eq(obstacle, silent_cases[_i].err != 0 ? &two[1] : NULL);
    consume_plan_deinit(&plan);
}
END_TEST

/* ---- CPU times, exit codes ---- */

static const struct {
    const char *line;
    int err;
    uint64_t ticks;
} stat_cases[] = {
    {"12 (mesh) S 1 2 3 4 5 6 7 8 9 10 100 23 0 0 20 0 4 0 55 1 2", 0, 123},
    {"12 (a ) b) (c) S 1 2 3 4 5 6 7 8 9 10 7 5 0 0", 0, 12},
    {"12 (mesh) S 1 2 3 -4 -5 6 7 8 9 10 11 12", 0, 23},
    {"12 (mesh) S 1 2 3", MESH_EINVAL, 0},
    {"", MESH_EINVAL, 0},
};
START_TEST(cpu_time_is_read_past_any_program_name)
{
    uint64_t ticks = 0;

    ck_assert_int_eq(bench_parse_stat(stat_cases[_i].line, &ticks), stat_cases[_i].err);
    ck_assert_uint_eq(ticks, stat_cases[_i].ticks);
}
END_TEST

static const struct {
    int error, code;
} exit_cases[] = {
    {0, 0},
    {MESH_EUNKNOWN_TOPIC, 1},
    {MESH_EIO, 1},
    {MESH_EUNREACHABLE, 3},
    {MESH_ERESOLVE, 3},
    {MESH_ETIMEDOUT, 4},
};
START_TEST(errors_have_their_exit_codes)
{
    ck_assert_int_eq((int)failure_exit_code(exit_cases[_i].error), exit_cases[_i].code);
    ck_assert_ptr_nonnull(failure_remedy(exit_cases[_i].error));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli accounts");
    TCase *tcase = tcase_create("accounts");

    tcase_add_test(tcase, tally_keeps_ends_and_the_weakest_receipt_of_each_partition);
    tcase_add_test(tcase, tally_tells_failed_from_unknown_and_keeps_the_first_error);
    tcase_add_test(tcase, tally_does_not_believe_partitions_that_cannot_be);
    tcase_add_test(tcase, a_pause_is_time_in_which_records_waited_in_vain);
    tcase_add_test(tcase, receipts_are_written_as_runs);
    tcase_add_test(tcase, receipts_that_cannot_be_written_are_an_error);
    tcase_add_loop_test(tcase, plan_knows_where_each_partition_starts_and_ends, 0, COUNT_OF(plan_cases));
    tcase_add_test(tcase, plan_ends_each_partition_once);
    tcase_add_test(tcase, plan_refuses_a_partition_that_cannot_be_served);
    tcase_add_loop_test(tcase, plan_takes_no_silent_partition_for_an_empty_one, 0, COUNT_OF(silent_cases));
    tcase_add_loop_test(tcase, cpu_time_is_read_past_any_program_name, 0, COUNT_OF(stat_cases));
    tcase_add_loop_test(tcase, errors_have_their_exit_codes, 0, COUNT_OF(exit_cases));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
