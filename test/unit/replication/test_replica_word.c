/* What a leader makes of a follower that holds less than it acknowledged in this epoch: it has taken its word back. */
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

/* Node 1 leads in epoch 1, which begins at 4; the others follow, in session 1, and have all up to 5. */
static void lead(enum partition_mode mode)
{
    const int records[] = {4};

    rig_init(&rig, mode, 3, 2);
    rig_fill(&rig, 0, records, 1, 2);
    rig_assign(&rig, 1, 1, 1, 7);
    rig_sync(&rig);
    for (int node = 2; node <= 3; node++) {
        ck_assert_int_eq(rig_say(&rig, node, &(struct stream_message){.type = STREAM_CREDIT, .credit = 100000}), 0);
        ck_assert_int_eq(rig_attach(&rig, node, 1, 1, 0, 4), 0);
        rig_hear(&rig, node);
        ck_assert_int_eq(rig_ack(&rig, node, 1, 1, 5, 5), 0);
    }
    ck_assert_uint_eq(high_watermark(), 5);
}

/* The leader and 3 have one more; 2 was sent it. */
static void only_third_has_more(void)
{
    rig_append(&rig, 0, 1);
    rig_hear(&rig, 2);
    rig_hear(&rig, 3);
    ck_assert_int_eq(rig_ack(&rig, 3, 1, 1, 6, 6), 0);
}

static int detach(int node, enum stream_reason reason)
{
    return rig_say(&rig, node, &(struct stream_message){.type = STREAM_DETACH, .session = 1, .leader_epoch = 1, .reason = reason});
}

START_TEST(who_lost_what_it_acknowledged_is_sent_away)
{
    struct replica_alter alter;

    lead(PARTITION_MODE_ISR);
    ck_assert_int_eq(rig_attach(&rig, 3, 2, 1, 0, 3), 0);
    rig_hear(&rig, 3);
    ck_assert_int_eq(rig.heard[rig.heard_count - 1].reason, STREAM_REASON_LOST);
    rig_tick(&rig, 11000); /* and it leaves the ISR, although nothing is written */
    ck_assert(replica_alter_begin(replica_of_rig(), &alter));
    ck_assert_int_eq(alter.isr_count, 2);
    replica_alter_done(replica_of_rig(), &alter, REPLICA_ALTER_DONE, 2);
    ck_assert_int_eq(rig_attach(&rig, 3, 3, 1, 0, 3), 0);
    rig_hear(&rig, 3);
    ck_assert_int_eq(rig.heard[0].type, STREAM_DATA);
    rig_deinit(&rig);
}
END_TEST

/* It says that its log failed: nothing more is committed on its earlier word, though it is in the ISR. */
START_TEST(who_leaves_because_its_log_failed_holds_the_watermark)
{
    struct replica_alter alter;

    lead(PARTITION_MODE_ISR);
    only_third_has_more();
    rig_sync(&rig);
    ck_assert_int_eq(detach(3, STREAM_REASON_STORAGE), 0);
    ck_assert_int_eq(rig_ack(&rig, 2, 1, 1, 6, 6), 0);
    ck_assert_uint_eq(high_watermark(), 5);
    rig_tick(&rig, 11000);
    ck_assert(replica_alter_begin(replica_of_rig(), &alter));
    ck_assert_int_eq(alter.isr_count, 2);
    ck_assert_uint_eq(high_watermark(), 5);
    replica_alter_done(replica_of_rig(), &alter, REPLICA_ALTER_DONE, 2);
    ck_assert_uint_eq(high_watermark(), 6);
    rig_deinit(&rig);
}
END_TEST

/* It never said that its log failed, but where it stands now says so: while it waits outside, its earlier word does not count. */
START_TEST(who_states_less_than_it_said_holds_the_watermark)
{
    lead(PARTITION_MODE_ISR);
    only_third_has_more();
    rig_sync(&rig);
    ck_assert_int_eq(rig_attach(&rig, 3, 2, 1, 1, 5), 0);
    rig_hear(&rig, 3);
    ck_assert_int_eq(rig.heard[rig.heard_count - 1].reason, STREAM_REASON_LOST);
    ck_assert_int_eq(rig_ack(&rig, 2, 1, 1, 6, 6), 0);
    ck_assert_uint_eq(high_watermark(), 5);
    ck_assert_int_eq(rig_attach(&rig, 3, 3, 1, 1, 6), 0); /* its log was mended */
    ck_assert_uint_eq(high_watermark(), 6);
    rig_deinit(&rig);
}
END_TEST

/* Bytes that were damaged on their way take nothing back. */
START_TEST(who_got_damaged_bytes_still_counts)
{
    lead(PARTITION_MODE_ISR);
    only_third_has_more();
    rig_sync(&rig);
    ck_assert_int_eq(detach(3, STREAM_REASON_DAMAGED), 0);
    ck_assert_int_eq(rig_ack(&rig, 2, 1, 1, 6, 6), 0);
    ck_assert_uint_eq(high_watermark(), 6);
    rig_deinit(&rig);
}
END_TEST

/* The majority is then to be found among the others. */
START_TEST(a_quorum_does_not_count_a_word_taken_back)
{
    uint64_t end;

    lead(PARTITION_MODE_QUORUM);
    only_third_has_more(); /* which is not durable at the leader */
    if (_i == 0)
        ck_assert_int_eq(detach(3, STREAM_REASON_STORAGE), 0);
    else
        ck_assert_int_eq(rig_attach(&rig, 3, 2, 1, 1, 5), 0);
    ck_assert(!replica_member_end(replica_of_rig(), 3, &end));
    rig_sync(&rig);
    ck_assert_uint_eq(high_watermark(), 5);
    ck_assert_int_eq(rig_ack(&rig, 2, 1, 1, 6, 6), 0);
    ck_assert_uint_eq(high_watermark(), 6);
    rig_deinit(&rig);
}
END_TEST

static Suite *suite_new(void)
{
    Suite *suite = suite_create("replica: a word taken back");
    TCase *tcase = tcase_create("word");

    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, who_lost_what_it_acknowledged_is_sent_away);
    tcase_add_test(tcase, who_leaves_because_its_log_failed_holds_the_watermark);
    tcase_add_test(tcase, who_states_less_than_it_said_holds_the_watermark);
    tcase_add_test(tcase, who_got_damaged_bytes_still_counts);
    tcase_add_loop_test(tcase, a_quorum_does_not_count_a_word_taken_back, 0, 2);
    return suite;
}

int main(void)
{
    return run_suite(suite_new());
}
