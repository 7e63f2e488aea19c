/* The leader's end of a stream that many partitions share: turns, credits, and what is told in bundles. */
#include "base/error.h"
#include "replica_rig.h"
#include "support/run_suite.h"

#include <check.h>
#include <string.h>

static struct replica_rig rig;

/* Leads all partitions, of a record each, in epoch 0; node 2 follows them in slots 0.., sessions 1.. */
static void lead_all(uint64_t credit)
{
    struct stream_message attach = {.type = STREAM_ATTACH, .broker_epoch = 102, .generation = 202, .last_epoch = -1};

    rig_init(&rig, PARTITION_MODE_ISR, 2, 1);
    rig.partition_count = RIG_PARTITIONS;
    rig_assign(&rig, 1, 0, 1, 3);
    for (int p = 0; p < RIG_PARTITIONS; p++)
        rig_append(&rig, p, 1);
    memset(&attach.topic_id, 9, sizeof(attach.topic_id));
    if (credit != 0) ck_assert_int_eq(rig_say(&rig, 2, &(struct stream_message){.type = STREAM_CREDIT, .credit = credit}), 0);
    for (uint32_t p = 0; p < RIG_PARTITIONS; p++) {
        attach.slot = attach.partition = p;
        attach.session = p + 1;
        ck_assert_int_eq(rig_say(&rig, 2, &attach), 0);
    }
}

START_TEST(partitions_take_turns_and_wait_for_credits)
{
    struct source_read read;
    struct buffer packet = BUFFER_INIT;
    uint64_t credit = 4 * 100;

    lead_all(credit);
    for (int p = 0; p < RIG_PARTITIONS; p++)
        rig_append(&rig, p, 5);
    ck_assert_int_eq(stream_packet_begin(&packet), 0);
    for (uint64_t turn = 0; turn < 8; turn++) {
        const struct replica_log_batch *batch;

        if (rig.sources[2].credit <= 0) break;
        ck_assert_int_eq(source_next(&rig.sources[2], &packet, &read), 1);
        ck_assert_ptr_eq(read.replica, &rig.replicas[turn % RIG_PARTITIONS]);
        ck_assert_uint_le(read.bytes_max, (uint64_t)rig.sources[2].credit);
        batch = replica_log_find(&rig.logs[turn % RIG_PARTITIONS], read.offset);
        ck_assert_int_eq(source_send(&rig.sources[2], &read, batch->size, batch->base + batch->count, &packet), 0);
    }
    ck_assert_int_le(rig.sources[2].credit, 0);
    ck_assert_int_gt(rig.sources[2].credit, -100); /* one batch may go below */
    ck_assert(!source_has_output(&rig.sources[2]));
    ck_assert_int_eq(source_next(&rig.sources[2], &packet, &read), 0);
    ck_assert_int_eq(rig_say(&rig, 2, &(struct stream_message){.type = STREAM_CREDIT, .credit = 100}), 0);
    ck_assert(source_has_output(&rig.sources[2]));
    buffer_deinit(&packet);
    rig_deinit(&rig);
}
END_TEST

/* The partition whose turn it is; the whole batch is sent. */
static int next_turn(struct buffer *packet)
{
    const struct replica_log_batch *batch;
    struct source_read read;
    int p;

    if (source_next(&rig.sources[2], packet, &read) != 1) return -1;
    p = (int)(read.replica - rig.replicas);
    batch = replica_log_find(&rig.logs[p], read.offset);
    ck_assert_int_eq(read.is_late, p == 3);
    ck_assert_int_eq(source_send(&rig.sources[2], &read, batch->size, batch->base + batch->count, packet), 0);
    return p;
}

START_TEST(who_is_not_in_sync_gets_what_the_others_leave)
{
    static const int turns[] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 3, 3};
    const struct replica_assignment out_of_sync = {
        .leader = 1, .leader_epoch = 0, .partition_epoch = 2, .isr = 1, .member_count = 2, .members = rig.members};
    struct buffer packet = BUFFER_INIT;

    lead_all(STREAM_WINDOW);
    rig_hear(&rig, 2); /* the first records */
    ck_assert_int_eq(replica_assign(&rig.replicas[3], &out_of_sync), 0);
    for (int p = 0; p < RIG_PARTITIONS; p++)
        rig_append(&rig, p, p == 3 ? 20 : 3);
    ck_assert_int_eq(stream_packet_begin(&packet), 0);
    rig.sources[2].turn = 0;
    for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++)
        ck_assert_int_eq(next_turn(&packet), turns[i]);
    ck_assert(!source_is_held_back(&rig.sources[2]));
    rig.sources[2].late_bytes = 1; /* an allowance: one piece more, and credits are kept for the others */
    ck_assert_int_eq(next_turn(&packet), 3);
    ck_assert_int_eq(next_turn(&packet), -1);
    ck_assert(source_is_held_back(&rig.sources[2]));
    ck_assert(!source_has_output(&rig.sources[2]));
    rig_append(&rig, 1, 1);
    ck_assert_int_eq(next_turn(&packet), 1);
    rig.sources[2].late_bytes = 100000;
    rig.sources[2].credit = STREAM_LATE_CREDIT;
    ck_assert_int_eq(next_turn(&packet), -1);
    rig_append(&rig, 2, 1);
    ck_assert_int_eq(next_turn(&packet), 2);
    rig.sources[2].late_bytes = INT64_MAX; /* nobody else wants anything */
    ck_assert_int_eq(next_turn(&packet), 3);
    buffer_deinit(&packet);
    rig_deinit(&rig);
}
END_TEST

/* Partition 3 is late and has data; the others have nothing yet. */
static void lead_three_and_a_late_one(struct buffer *packet)
{
    const struct replica_assignment out_of_sync = {
        .leader = 1, .leader_epoch = 0, .partition_epoch = 2, .isr = 1, .member_count = 2, .members = rig.members};

    lead_all(STREAM_WINDOW);
    rig_hear(&rig, 2); /* the first records */
    rig_sync(&rig);
    ck_assert_int_eq(replica_assign(&rig.replicas[3], &out_of_sync), 0);
    rig_append(&rig, 3, 20);
    ck_assert_int_eq(stream_packet_begin(packet), 0);
}

/* Those in sync never leave more credits than the reserve: of the bytes the late get their part all the same. */
START_TEST(who_is_not_in_sync_gets_on_while_the_others_use_all_credits)
{
    struct buffer packet = BUFFER_INIT;

    lead_three_and_a_late_one(&packet);
    rig.sources[2].late_bytes = 100000;
    rig.sources[2].credit = STREAM_LATE_CREDIT;
    for (int i = 0; i < 20; i++) {
        rig_append(&rig, i % 3, 1);
        ck_assert_int_eq(next_turn(&packet), i % 3); /* small pieces do not open the reserve */
        ck_assert_int_eq(next_turn(&packet), -1);
        ck_assert(!source_has_output(&rig.sources[2]));
    }
    rig.sources[2].in_sync_bytes = (STREAM_LATE_TURN - 1) * STREAM_PIECE; /* as if they had been large */
    ck_assert_int_eq(next_turn(&packet), -1);
    rig_append(&rig, 0, 2);
    ck_assert_int_eq(next_turn(&packet), 3);
    ck_assert_int_eq(next_turn(&packet), 0);
    ck_assert_int_eq(next_turn(&packet), 0);
    ck_assert_int_eq(next_turn(&packet), -1);
    rig.sources[2].in_sync_bytes = (STREAM_LATE_TURN - 1) * STREAM_PIECE;
    rig.sources[2].late_bytes = 0; /* never beyond the allowance */
    rig_append(&rig, 0, 1);
    ck_assert_int_eq(next_turn(&packet), 0);
    buffer_deinit(&packet);
    rig_deinit(&rig);
}
END_TEST

/* Its data were queued while it was late; since then it counts, so the high watermark waits for them. */
START_TEST(who_counts_by_now_waits_no_longer_among_the_late)
{
    struct buffer packet = BUFFER_INIT;
    struct replica_alter alter;
    struct source_read read;

    lead_three_and_a_late_one(&packet);
    rig.sources[2].late_bytes = 0;
    ck_assert_int_eq(next_turn(&packet), -1);
    ck_assert_int_eq(
        rig_say(&rig, 2, &(struct stream_message){.type = STREAM_ACK, .slot = 3, .session = 4, .written = 1, .durable = 1}), 0);
    ck_assert(replica_alter_begin(&rig.replicas[3], &alter));
    ck_assert_int_eq(alter.isr_count, 2);
    ck_assert(source_has_output(&rig.sources[2]));
    replica_alter_done(&rig.replicas[3], &alter, REPLICA_ALTER_REFUSED, 0);
    ck_assert_int_eq(next_turn(&packet), -1); /* and back */
    rig_tick(&rig, 100000);
    ck_assert(replica_alter_begin(&rig.replicas[3], &alter));
    replica_alter_done(&rig.replicas[3], &alter, REPLICA_ALTER_DONE, 3);
    ck_assert_int_eq(source_next(&rig.sources[2], &packet, &read), 1);
    ck_assert_ptr_eq(read.replica, &rig.replicas[3]);
    ck_assert(!read.is_late);
    source_skip(&rig.sources[2], &read, MESH_EAGAIN);
    buffer_deinit(&packet);
    rig_deinit(&rig);
}
END_TEST

START_TEST(a_watermark_that_rises_without_data_is_told_once_in_a_bundle)
{
    lead_all(100000);
    rig_hear(&rig, 2);
    ck_assert_uint_eq(rig.heard_count, RIG_PARTITIONS); /* the first records */
    rig_hear(&rig, 2);
    ck_assert_uint_eq(rig.heard_count, 0);
    rig_sync(&rig);
    for (uint32_t p = 0; p < RIG_PARTITIONS; p++)
        ck_assert_int_eq(rig_say(&rig, 2, &(struct stream_message){.type = STREAM_ACK, .slot = p, .session = p + 1, .written = 1, .durable = 1}), 0);
    rig_hear(&rig, 2);
    ck_assert_uint_eq(rig.heard_count, RIG_PARTITIONS); /* one packet */
    for (size_t i = 0; i < rig.heard_count; i++) {
        ck_assert_int_eq(rig.heard[i].type, STREAM_MARK);
        ck_assert_uint_eq(rig.heard[i].high_watermark, 1);
    }
    ck_assert(!source_has_output(&rig.sources[2])); /* an idle partition is silent */
    rig_tick(&rig, 1000000);
    ck_assert(!source_has_output(&rig.sources[2]));
    rig_deinit(&rig);
}
END_TEST

START_TEST(a_log_that_cannot_be_read_now_waits_without_holding_others_up)
{
    struct source_read read;
    struct buffer packet = BUFFER_INIT;

    lead_all(100000);
    ck_assert_int_eq(stream_packet_begin(&packet), 0);
    ck_assert_int_eq(source_next(&rig.sources[2], &packet, &read), 1);
    source_skip(&rig.sources[2], &read, MESH_EAGAIN);
    rig_hear(&rig, 2);
    ck_assert_uint_eq(rig.heard_count, RIG_PARTITIONS); /* three with data, and a mark of the one that waits */
    ck_assert(!source_has_output(&rig.sources[2]));
    rig_sync(&rig); /* the log says that it has moved */
    rig_hear(&rig, 2);
    ck_assert_uint_eq(rig.heard_count, 1);
    ck_assert_int_eq(rig.heard[0].type, STREAM_DATA);
    ck_assert_uint_eq(rig.heard[0].slot, 0);
    rig_append(&rig, 1, 1);
    ck_assert_int_eq(source_next(&rig.sources[2], &packet, &read), 1);
    source_skip(&rig.sources[2], &read, MESH_EIO);
    rig_hear(&rig, 2);
    ck_assert_int_eq(rig.heard[0].reason, STREAM_REASON_STORAGE);
    buffer_deinit(&packet);
    rig_deinit(&rig);
}
END_TEST

START_TEST(another_connection_takes_the_place_of_the_one_before)
{
    lead_all(100000);
    rig_hear(&rig, 2);
    source_deinit(&rig.sources[3]);
    rig.sources[3].node_id = 2; /* the same follower, on a new stream */
    ck_assert_int_eq(rig_say(&rig, 3, &(struct stream_message){.type = STREAM_CREDIT, .credit = 1000}), 0);
    {
        struct stream_message attach = {.type = STREAM_ATTACH, .session = 1, .broker_epoch = 102, .generation = 202, .last_epoch = -1};

        memset(&attach.topic_id, 9, sizeof(attach.topic_id));
        ck_assert_int_eq(rig_say(&rig, 3, &attach), 0);
    }
    rig_hear(&rig, 2);
    ck_assert_int_eq(rig.heard[0].type, STREAM_REJECT);
    ck_assert_int_eq(rig.heard[0].reason, STREAM_REASON_LEFT);
    rig_hear(&rig, 3);
    ck_assert_int_eq(rig.heard[0].type, STREAM_DATA);
    rig_deinit(&rig);
}
END_TEST

START_TEST(who_falls_behind_the_logs_start_is_reset)
{
    lead_all(100000);
    rig_append(&rig, 0, 5);
    rig_sync(&rig);
    replica_log_trim(&rig.logs[0], 3);
    rig_sync(&rig);
    rig_hear(&rig, 2);
    ck_assert_int_eq(rig.heard[0].type, STREAM_RESET);
    ck_assert_uint_eq(rig.heard[0].log_start, 3);
    ck_assert_int_eq(rig.heard[0].start_epoch, replica_log_last_epoch(&rig.logs[0]));
    rig_deinit(&rig);
}
END_TEST

static Suite *suite_new(void)
{
    Suite *suite = suite_create("replica: turns of a stream");
    TCase *tcase = tcase_create("turns");

    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, partitions_take_turns_and_wait_for_credits);
    tcase_add_test(tcase, who_is_not_in_sync_gets_what_the_others_leave);
    tcase_add_test(tcase, who_is_not_in_sync_gets_on_while_the_others_use_all_credits);
    tcase_add_test(tcase, who_counts_by_now_waits_no_longer_among_the_late);
    tcase_add_test(tcase, a_watermark_that_rises_without_data_is_told_once_in_a_bundle);
    tcase_add_test(tcase, a_log_that_cannot_be_read_now_waits_without_holding_others_up);
    tcase_add_test(tcase, another_connection_takes_the_place_of_the_one_before);
    tcase_add_test(tcase, who_falls_behind_the_logs_start_is_reset);
    return suite;
}

int main(void)
{
    return run_suite(suite_new());
}
