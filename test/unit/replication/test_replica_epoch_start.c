/* How an epoch begins in a log: with a record of its leader's, where somebody could take it for another one without (R4). */
#include "base/error.h"
#include "replica_rig.h"
#include "support/run_suite.h"

#include <check.h>

static struct replica_rig rig;

static struct replica *replica_of_rig(void)
{
    return &rig.replicas[0];
}

static uint64_t high_watermark(void)
{
    return replica_of_rig()->partition.high_watermark;
}

START_TEST(an_epoch_begins_with_a_record_of_its_own)
{
    const int records[] = {3};
    uint8_t batch[1] = {0};
    struct record_batch_header header;
    int64_t time;

    rig_init(&rig, PARTITION_MODE_ISR, 3, 2);
    rig_fill(&rig, 0, records, 1, 1);
    rig_assign(&rig, 1, 7, 1, 7);
    ck_assert_uint_eq(rig.todo[0] & REPLICA_TODO_EPOCH_START, REPLICA_TODO_EPOCH_START);
    ck_assert_uint_eq(replica_of_rig()->epoch_start, 3);
    ck_assert_uint_eq(rig.logs[0].end, 4);
    ck_assert_int_eq(replica_log_last_epoch(&rig.logs[0]), 7);
    ck_assert_uint_eq(high_watermark(), 1); /* as it was noted, until the ISR is heard */
    rig_assign(&rig, 2, 8, 2, 7);
    ck_assert_uint_eq(rig.todo[0] & REPLICA_TODO_LED, REPLICA_TODO_LED);
    ck_assert_int_eq(partition_leader_prepare(&replica_of_rig()->partition, batch, 1, -1, -1, 0, &header, &time), MESH_ENOT_LEADER);
    rig_deinit(&rig);
}
END_TEST

/* Of an empty log: in the first epoch nobody can take it for an older one; in a later one it is not known who has what. */
static const struct {
    int32_t epoch;
    uint64_t want_end;
} empty_cases[] = {{0, 0}, {1, 1}, {7, 1}};

START_TEST(the_first_epoch_of_an_empty_log_needs_none)
{
    rig_init(&rig, PARTITION_MODE_QUORUM, 3, 2);
    rig_assign(&rig, 1, empty_cases[_i].epoch, 1, 7);
    ck_assert_uint_eq(rig.logs[0].end, empty_cases[_i].want_end);
    ck_assert(!replica_of_rig()->partition.is_starting);
    ck_assert_uint_eq(high_watermark(), 0);
    rig_append(&rig, 0, 2);
    rig_sync(&rig);
    ck_assert_int_eq(rig_attach(&rig, 2, 1, empty_cases[_i].epoch, -1, 0), 0);
    ck_assert_int_eq(rig_say(&rig, 2, &(struct stream_message){.type = STREAM_CREDIT, .credit = 100000}), 0);
    rig_hear(&rig, 2);
    ck_assert_uint_eq(high_watermark(), 0);
    ck_assert_int_eq(rig_ack(&rig, 2, 1, empty_cases[_i].epoch, rig.logs[0].end, rig.logs[0].end), 0);
    ck_assert_uint_eq(high_watermark(), rig.logs[0].end); /* its first records are the epoch's: a majority commits them */
    rig_deinit(&rig);
}
END_TEST

START_TEST(records_of_the_first_epoch_are_followed_by_its_leaders_own)
{
    const int records[] = {3};

    rig_init(&rig, PARTITION_MODE_ISR, 3, 2);
    rig_fill(&rig, 0, records, 1, 1);
    rig_assign(&rig, 1, 0, 1, 7);
    ck_assert_uint_eq(rig.logs[0].end, 4);
    rig_deinit(&rig);
}
END_TEST

START_TEST(a_single_replica_needs_none)
{
    const int records[] = {3};

    rig_init(&rig, PARTITION_MODE_ISR, 1, 1);
    rig_fill(&rig, 0, records, 1, 1);
    rig_assign(&rig, 1, 7, 1, 1);
    ck_assert_uint_eq(rig.logs[0].end, 3);
    ck_assert_uint_eq(high_watermark(), 3);
    rig_append(&rig, 0, 2);
    ck_assert_uint_eq(high_watermark(), 3);
    rig_sync(&rig);
    ck_assert_uint_eq(high_watermark(), 5);
    rig_deinit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replica: epoch start");
    TCase *tcase = tcase_create("epoch start");

    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, an_epoch_begins_with_a_record_of_its_own);
    tcase_add_loop_test(tcase, the_first_epoch_of_an_empty_log_needs_none, 0, sizeof(empty_cases) / sizeof(empty_cases[0]));
    tcase_add_test(tcase, records_of_the_first_epoch_are_followed_by_its_leaders_own);
    tcase_add_test(tcase, a_single_replica_needs_none);
    return run_suite(suite);
}
