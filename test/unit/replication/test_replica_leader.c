/* What a leader commits, whom it serves, and what it asks of the coordinator: rule by rule (PROTOCOLS 4.1). */
#include "base/error.h"
#include "replica_rig.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdio.h>

#define ANY UINT64_MAX

static struct replica_rig rig;

static void begin(enum partition_mode mode, int members, uint32_t min_insync)
{
    rig_init(&rig, mode, members, min_insync);
}

static void end(void)
{
    rig_deinit(&rig);
}

static struct replica *replica_of_rig(void)
{
    return &rig.replicas[0];
}

static uint64_t high_watermark(void)
{
    return replica_of_rig()->partition.high_watermark;
}

/* ---- R1 ---- */

static const struct {
    int32_t epoch;
    uint64_t broker_epoch, generation;
    int node;
    enum stream_reason want;
} identity_cases[] = {
    {5, 102, 202, 2, STREAM_REASON_NONE},
    {4, 102, 202, 2, STREAM_REASON_STALE_EPOCH},
    {6, 102, 202, 2, STREAM_REASON_UNKNOWN_EPOCH},
    {5, 101, 202, 2, STREAM_REASON_STALE_REPLICA},   /* its broker has registered again since */
    {5, 103, 202, 2, STREAM_REASON_UNKNOWN_REPLICA}, /* ... and we have not heard of it */
    {5, 102, 201, 2, STREAM_REASON_STALE_REPLICA},   /* the replica was removed and added again */
    {5, 102, 203, 2, STREAM_REASON_UNKNOWN_REPLICA},
    {5, 104, 204, 4, STREAM_REASON_NOT_REPLICA},
};

START_TEST(who_asks_must_speak_of_the_same_epoch_and_life)
{
    struct stream_message attach = {.type = STREAM_ATTACH,
                                    .session = 1,
                                    .leader_epoch = identity_cases[_i].epoch,
                                    .broker_epoch = identity_cases[_i].broker_epoch,
                                    .generation = identity_cases[_i].generation,
                                    .last_epoch = -1};

    begin(PARTITION_MODE_ISR, 3, 2);
    rig_assign(&rig, 1, 5, 1, 7);
    memset(&attach.topic_id, 9, sizeof(attach.topic_id));
    ck_assert_int_eq(rig_say(&rig, identity_cases[_i].node, &attach), 0);
    rig_hear(&rig, identity_cases[_i].node);
    if (identity_cases[_i].want == STREAM_REASON_NONE) {
        ck_assert_uint_eq(rig.heard_count, 0); /* data want credits */
    } else {
        ck_assert_uint_eq(rig.heard_count, 1);
        ck_assert_int_eq(rig.heard[0].type, STREAM_REJECT);
        ck_assert_int_eq(rig.heard[0].reason, identity_cases[_i].want);
    }
    end();
}
END_TEST

START_TEST(who_does_not_lead_says_so)
{
    begin(PARTITION_MODE_ISR, 3, 2);
    rig_assign(&rig, 3, 5, 1, 7);
    ck_assert_int_eq(rig_attach(&rig, 2, 1, 5, -1, 0), 0);
    rig_hear(&rig, 2);
    ck_assert_int_eq(rig.heard[0].reason, STREAM_REASON_NOT_LEADER);
    end();
}
END_TEST

/* ---- R2 ---- */

/* The leader of epoch 4 has 10 records of epoch 0, 5 of epoch 1, none of 2, 5 of epoch 3, and the start of its own at 20. */
static const struct {
    uint64_t trim, start, end;
    int32_t last_epoch;
    enum stream_message_type want; /* DATA: they agree */
    int32_t want_epoch;
    uint64_t want_offset;
} history_cases[] = {
    {0, 0, 0, -1, STREAM_DATA, 0, 0},      /* nothing yet */
    {0, 0, 10, 0, STREAM_DATA, 0, 0},
    {0, 0, 7, 0, STREAM_DATA, 0, 0},
    {0, 0, 20, 3, STREAM_DATA, 0, 0},
    {0, 0, 21, 4, STREAM_MARK, 0, 0},      /* it has everything: told so all the same */
    {0, 0, 11, 0, STREAM_DIVERGED, 0, 10}, /* went on in epoch 0 */
    {0, 0, 16, 1, STREAM_DIVERGED, 1, 15},
    {0, 0, 16, 2, STREAM_DIVERGED, 1, 15}, /* an epoch that is unknown here */
    {0, 0, 30, 3, STREAM_DIVERGED, 3, 20},
    {12, 0, 11, 0, STREAM_RESET, 1, 12},   /* what it wants next is gone */
    {12, 0, 12, 1, STREAM_DATA, 0, 0},
    {12, 0, 12, 0, STREAM_RESET, 1, 12},   /* no epoch in common is known any more */
    {12, 12, 12, -1, STREAM_RESET, 1, 12}, /* empty, and does not know behind which epoch: then it will */
    {12, 12, 12, 1, STREAM_DATA, 0, 0},    /* empty, and knows */
    {12, 14, 14, -1, STREAM_RESET, 1, 12},
    {0, 15, 15, -1, STREAM_RESET, -1, 0},
    {0, 25, 25, -1, STREAM_RESET, -1, 0},   /* empty, and begins behind our end */
};

static void attach_with(uint64_t start, uint64_t end_offset, int32_t last_epoch)
{
    struct stream_message attach = {.type = STREAM_ATTACH,
                                    .session = 1,
                                    .leader_epoch = 4,
                                    .broker_epoch = 102,
                                    .generation = 202,
                                    .log_start = start,
                                    .log_end = end_offset,
                                    .written = end_offset,
                                    .durable = end_offset,
                                    .last_epoch = last_epoch};

    memset(&attach.topic_id, 9, sizeof(attach.topic_id));
    ck_assert_int_eq(rig_say(&rig, 2, &(struct stream_message){.type = STREAM_CREDIT, .credit = 100000}), 0);
    ck_assert_int_eq(rig_say(&rig, 2, &attach), 0);
    rig_hear(&rig, 2);
    ck_assert_uint_eq(rig.heard_count, 1);
}

START_TEST(histories_are_compared_by_epochs)
{
    const int records[] = {10, 5, 0, 5};

    begin(PARTITION_MODE_ISR, 3, 2);
    rig_fill(&rig, 0, records, 4, 20);
    rig_assign(&rig, 1, 4, 1, 7);
    replica_log_trim(&rig.logs[0], history_cases[_i].trim);
    rig_sync(&rig);
    attach_with(history_cases[_i].start, history_cases[_i].end, history_cases[_i].last_epoch);
    ck_assert_int_eq(rig.heard[0].type, history_cases[_i].want);
    if (history_cases[_i].want == STREAM_DIVERGED) {
        ck_assert_int_eq(rig.heard[0].last_epoch, history_cases[_i].want_epoch);
        ck_assert_uint_eq(rig.heard[0].end_offset, history_cases[_i].want_offset);
    }
    if (history_cases[_i].want == STREAM_RESET) {
        ck_assert_uint_eq(rig.heard[0].log_start, history_cases[_i].want_offset);
        ck_assert_int_eq(rig.heard[0].start_epoch, history_cases[_i].want_epoch);
    }
    end();
}
END_TEST

/* The leader's log begins at 12, behind a record of an epoch that it does not know; its first is of epoch 4. Who is empty there and knows
 * that epoch must not be told to forget it: it would look older than it is. */
static const struct {
    uint64_t start, end;
    int32_t last_epoch;
    enum stream_message_type want;
} unknown_start_cases[] = {
    {12, 12, 1, STREAM_DATA},
    {12, 12, -1, STREAM_DATA},
    {10, 12, 1, STREAM_RESET}, /* it has records, of which nobody can say whether they are ours */
    {13, 13, 1, STREAM_RESET},
    {11, 11, 1, STREAM_RESET},
    {13, 13, 4, STREAM_MARK},
};

START_TEST(who_has_nothing_keeps_an_epoch_that_the_leader_does_not_know)
{
    begin(PARTITION_MODE_QUORUM, 3, 2);
    replica_log_empty(&rig.logs[0], 12, -1);
    rig_fill(&rig, 0, NULL, 0, 12);
    rig_assign(&rig, 1, 4, 1, 7);
    rig_sync(&rig);
    attach_with(unknown_start_cases[_i].start, unknown_start_cases[_i].end, unknown_start_cases[_i].last_epoch);
    ck_assert_int_eq(rig.heard[0].type, unknown_start_cases[_i].want);
    end();
}
END_TEST

/* ---- R5, R6 ---- */

/* 10 records of the first epoch: the log ends at 10, durable here. Acks of 2 and 3: (written, durable); ANY: not heard in this epoch. */
static const struct {
    uint16_t isr;
    uint32_t min_insync;
    bool is_async;
    uint64_t written[2], durable[2];
    uint64_t want;
} watermark_cases[] = {
    {7, 2, false, {10, 10}, {10, 10}, 10},
    {7, 2, false, {10, 10}, {4, 10}, 4},   /* group: what is durable */
    {7, 2, true, {10, 6}, {4, 0}, 6},      /* async: what is written */
    {7, 2, false, {ANY, 10}, {0, 10}, 0},  /* 2 is in the ISR and was not heard */
    {5, 2, false, {ANY, 10}, {0, 10}, 10}, /* it is not in the ISR */
    {5, 2, false, {10, 3}, {10, 3}, 3},
    {1, 2, false, {10, 10}, {10, 10}, 0},  /* fewer than min.insync */
    {1, 1, false, {ANY, ANY}, {0, 0}, 10},
    {3, 3, false, {10, 10}, {10, 10}, 0},
};

START_TEST(the_high_watermark_is_what_all_of_the_isr_holds)
{
    begin(PARTITION_MODE_ISR, 3, watermark_cases[_i].min_insync);
    rig.replicas[0].partition.config.is_async = watermark_cases[_i].is_async;
    rig_assign(&rig, 1, 0, 1, watermark_cases[_i].isr);
    rig_append(&rig, 0, 10);
    rig_sync(&rig);
    for (int i = 0; i < 2; i++) {
        if (watermark_cases[_i].written[i] == ANY) continue;
        ck_assert_int_eq(rig_attach(&rig, 2 + i, 1, 0, -1, 0), 0);
        ck_assert_int_eq(rig_say(&rig, 2 + i, &(struct stream_message){.type = STREAM_CREDIT, .credit = 100000}), 0);
        rig_hear(&rig, 2 + i);
        ck_assert_int_eq(rig_ack(&rig, 2 + i, 1, 0, watermark_cases[_i].written[i], watermark_cases[_i].durable[i]), 0);
    }
    ck_assert_uint_eq(high_watermark(), watermark_cases[_i].want);
    end();
}
END_TEST

/* Positions that replicas 2.. hold; the leader's log: 4 records of epoch 0, its epoch's record at 4, 5 more: ends at 10. */
static const struct {
    int members;
    uint64_t held[4];
    uint64_t want;
} quorum_cases[] = {
    {3, {ANY, ANY}, 0},
    {3, {10, ANY}, 10},
    {3, {7, 10}, 10},
    {3, {7, 2}, 7},
    {3, {4, 4}, 0}, /* what is of an earlier epoch is not committed by being counted */
    {3, {5, 0}, 5}, /* but by what follows it */
    {5, {10, ANY, ANY, ANY}, 0},
    {5, {10, 6, ANY, ANY}, 6},
    {5, {6, 10, 8, 9}, 9},
    {1, {0}, 10},
};

START_TEST(a_quorum_commits_what_a_majority_holds)
{
    const int records[] = {4};

    begin(PARTITION_MODE_QUORUM, quorum_cases[_i].members, 1);
    rig_fill(&rig, 0, records, 1, 0);
    rig_assign(&rig, 1, 1, 1, 31);
    rig_append(&rig, 0, quorum_cases[_i].members == 1 ? 6 : 5);
    rig_sync(&rig);
    for (int i = 0; i < quorum_cases[_i].members - 1; i++) {
        if (quorum_cases[_i].held[i] == ANY) continue;
        ck_assert_int_eq(rig_attach(&rig, 2 + i, 1, 1, -1, 0), 0);
        ck_assert_int_eq(rig_say(&rig, 2 + i, &(struct stream_message){.type = STREAM_CREDIT, .credit = 100000}), 0);
        rig_hear(&rig, 2 + i);
        ck_assert_int_eq(rig_ack(&rig, 2 + i, 1, 1, quorum_cases[_i].held[i], quorum_cases[_i].held[i]), 0);
    }
    ck_assert_uint_eq(high_watermark(), quorum_cases[_i].want);
    ck_assert_uint_eq(rig.todo[0] & REPLICA_TODO_ALTER, 0);
    end();
}
END_TEST

/* ---- stories ---- */

/* A leader of epoch 1 with 4 committed records, and the epoch's record at 4: durable here. */
static void lead(uint16_t isr, uint32_t min_insync)
{
    const int records[] = {4};

    begin(PARTITION_MODE_ISR, 3, min_insync);
    rig_fill(&rig, 0, records, 1, 2);
    rig_assign(&rig, 1, 1, 1, isr);
    rig_sync(&rig);
    for (int node = 2; node <= 3; node++)
        ck_assert_int_eq(rig_say(&rig, node, &(struct stream_message){.type = STREAM_CREDIT, .credit = 100000}), 0);
}

/* It follows, and has everything there is. */
static void follow(int node, uint32_t session)
{
    ck_assert_int_eq(rig_attach(&rig, node, session, 1, 0, 4), 0);
    rig_hear(&rig, node);
    ck_assert_int_eq(rig_ack(&rig, node, session, 1, rig.logs[0].end, rig.logs[0].end), 0);
}

START_TEST(a_reader_waits_where_the_watermark_is_not_known_yet)
{
    lead(7, 2);
    ck_assert_int_eq(replica_check_fetch_offset(replica_of_rig(), 2), 0);
    ck_assert_int_eq(replica_check_fetch_offset(replica_of_rig(), 3), MESH_EAGAIN);
    ck_assert_int_eq(replica_check_fetch_offset(replica_of_rig(), 6), MESH_EOFFSET_OUT_OF_RANGE);
    ck_assert(!replica_end_is_known(replica_of_rig()));
    follow(2, 1);
    follow(3, 1);
    ck_assert(replica_end_is_known(replica_of_rig()));
    ck_assert_uint_eq(high_watermark(), 5);
    rig_append(&rig, 0, 1);
    ck_assert_int_eq(replica_check_fetch_offset(replica_of_rig(), 5), 0);
    ck_assert_int_eq(replica_check_fetch_offset(replica_of_rig(), 6), MESH_EOFFSET_OUT_OF_RANGE);
    end();
}
END_TEST

/* R8. Who joins: position, eligible, attached. */
static const struct {
    uint64_t position;
    bool is_eligible, is_attached, joins;
} join_cases[] = {
    {5, true, true, true},
    {4, true, true, true},  /* the epoch's start and the high watermark */
    {3, true, true, false}, /* beyond the high watermark that is known here, but not all that may be committed */
    {5, false, true, false},
    {5, true, false, false},
};

START_TEST(who_has_all_that_may_be_committed_joins)
{
    struct replica_alter alter;

    lead(3, 2);
    rig.members[2].is_eligible = join_cases[_i].is_eligible;
    rig_assign(&rig, 1, 1, 1, 3);
    if (join_cases[_i].is_attached) {
        ck_assert_int_eq(rig_attach(&rig, 3, 1, 1, 0, 3), 0);
        rig_hear(&rig, 3);
        ck_assert_int_eq(rig_ack(&rig, 3, 1, 1, join_cases[_i].position, join_cases[_i].position), 0);
    }
    ck_assert_int_eq((rig.todo[0] & REPLICA_TODO_ALTER) != 0, join_cases[_i].joins);
    ck_assert_int_eq(replica_alter_begin(replica_of_rig(), &alter), join_cases[_i].joins);
    if (join_cases[_i].joins) {
        ck_assert_int_eq(alter.isr_count, 3);
        ck_assert_uint_eq(alter.leader_broker_epoch, 101);
        ck_assert_uint_eq(alter.isr[2].broker_epoch, 103);
        ck_assert_uint_eq(alter.isr[2].generation, 203);
        ck_assert_uint_eq(alter.partition_epoch, 1);
    }
    end();
}
END_TEST

/* R7: from the question on, 3 counts; row 6 of 4.2. */
START_TEST(what_was_proposed_counts_until_it_is_settled)
{
    struct replica_alter alter;

    lead(3, 2);
    follow(2, 1);
    follow(3, 1);
    ck_assert(replica_alter_begin(replica_of_rig(), &alter));
    ck_assert(!replica_alter_begin(replica_of_rig(), &alter)); /* one at a time */
    rig_append(&rig, 0, 1);
    rig_sync(&rig);
    rig_hear(&rig, 2);
    ck_assert_int_eq(rig_ack(&rig, 2, 1, 1, 6, 6), 0);
    ck_assert_uint_eq(high_watermark(), 5);
    replica_alter_done(replica_of_rig(), &alter, REPLICA_ALTER_UNKNOWN, 0);
    rig_turn(&rig);
    ck_assert_uint_eq(high_watermark(), 5); /* it may have been done */
    rig_tick(&rig, 1000 + REPLICA_ALTER_RETRY_MS);
    ck_assert_uint_eq(rig.todo[0] & REPLICA_TODO_ALTER, REPLICA_TODO_ALTER);
    ck_assert(replica_alter_begin(replica_of_rig(), &alter));
    replica_alter_done(replica_of_rig(), &alter, REPLICA_ALTER_REFUSED, 0);
    rig_turn(&rig);
    ck_assert_uint_eq(high_watermark(), 5); /* this one was not done; the one before still may be */
    rig_tick(&rig, 2000);
    ck_assert(replica_alter_begin(replica_of_rig(), &alter));
    replica_alter_done(replica_of_rig(), &alter, REPLICA_ALTER_DONE, 2);
    rig_turn(&rig);
    ck_assert_uint_eq(replica_of_rig()->isr, 7);
    ck_assert_uint_eq(high_watermark(), 5);
    rig_hear(&rig, 3);
    ck_assert_int_eq(rig_ack(&rig, 3, 1, 1, 6, 6), 0);
    ck_assert_uint_eq(high_watermark(), 6);
    end();
}
END_TEST

START_TEST(a_first_refusal_ends_the_proposal)
{
    struct replica_alter alter;

    lead(3, 2);
    follow(2, 1);
    follow(3, 1);
    ck_assert(replica_alter_begin(replica_of_rig(), &alter));
    rig_append(&rig, 0, 1);
    rig_sync(&rig);
    rig_hear(&rig, 2);
    ck_assert_int_eq(rig_ack(&rig, 2, 1, 1, 6, 6), 0);
    ck_assert_uint_eq(high_watermark(), 5);
    replica_alter_done(replica_of_rig(), &alter, REPLICA_ALTER_REFUSED, 0);
    ck_assert_uint_eq(high_watermark(), 6);
    end();
}
END_TEST

START_TEST(the_image_overtakes_an_answer)
{
    struct replica_alter alter;

    lead(3, 2);
    follow(2, 1);
    follow(3, 1);
    ck_assert(replica_alter_begin(replica_of_rig(), &alter));
    rig_assign(&rig, 1, 1, 5, 5); /* done, and 2 was fenced since */
    ck_assert_uint_eq(replica_of_rig()->isr, 5);
    replica_alter_done(replica_of_rig(), &alter, REPLICA_ALTER_DONE, 2);
    ck_assert_uint_eq(replica_of_rig()->isr, 5);
    ck_assert_uint_eq(replica_of_rig()->partition_epoch, 5);
    end();
}
END_TEST

/* R13 */
START_TEST(below_min_insync_nothing_is_accepted_or_committed)
{
    struct buffer batch = BUFFER_INIT;
    struct record_batch_header header;
    int64_t time;

    lead(7, 2);
    follow(2, 1);
    follow(3, 1);
    ck_assert_uint_eq(high_watermark(), 5);
    rig_append(&rig, 0, 1);
    rig_assign(&rig, 1, 1, 2, 1);
    ck_assert_uint_eq(rig.todo[0] & REPLICA_TODO_BELOW_MIN, REPLICA_TODO_BELOW_MIN);
    rig_sync(&rig);
    ck_assert_uint_eq(high_watermark(), 5);
    rig_batch(&batch, 0, 0);
    ck_assert_int_eq(partition_leader_prepare(&replica_of_rig()->partition, batch.data, batch.size, -1, -1, 1000, &header, &time),
                     MESH_ENOT_ENOUGH_REPLICAS);
    ck_assert_int_eq(partition_leader_prepare(&replica_of_rig()->partition, batch.data, batch.size, -1, 1, 1000, &header, &time), 0);
    buffer_deinit(&batch);
    end();
}
END_TEST

START_TEST(who_misses_something_for_too_long_is_to_leave)
{
    struct replica_alter alter;

    lead(7, 2);
    follow(2, 1);
    follow(3, 1);
    rig_tick(&rig, 100000);
    ck_assert_uint_eq(rig.todo[0] & REPLICA_TODO_ALTER, 0); /* nothing is missed: no clock runs, however long */
    ck_assert(list_is_empty(&rig.board.watched));
    ck_assert_uint_eq(rig.board.deadline_ms, UINT64_MAX);
    rig_append(&rig, 0, 1);
    rig_sync(&rig);
    ck_assert_uint_eq(rig.board.deadline_ms, 110000);
    rig_hear(&rig, 2);
    ck_assert_int_eq(rig_ack(&rig, 2, 1, 1, 6, 6), 0);
    rig_tick(&rig, 109999);
    ck_assert_uint_eq(rig.todo[0] & REPLICA_TODO_ALTER, 0);
    rig_tick(&rig, 110000);
    ck_assert_uint_eq(rig.todo[0] & REPLICA_TODO_ALTER, REPLICA_TODO_ALTER);
    ck_assert(replica_alter_begin(replica_of_rig(), &alter));
    ck_assert_int_eq(alter.isr_count, 2);
    ck_assert_int_eq(alter.isr[1].node_id, 2);
    ck_assert_uint_eq(high_watermark(), 5); /* R12: it is in the ISR until the coordinator says otherwise */
    replica_alter_done(replica_of_rig(), &alter, REPLICA_ALTER_DONE, 2);
    ck_assert_uint_eq(high_watermark(), 6);
    end();
}
END_TEST

START_TEST(who_keeps_up_with_a_stream_is_not_late)
{
    lead(3, 2);
    follow(2, 1);
    for (uint64_t now_ms = 2000; now_ms < 60000; now_ms += 1000) {
        uint64_t had = rig.logs[0].end;

        rig_append(&rig, 0, 1); /* it never has the newest one */
        rig_sync(&rig);
        rig_hear(&rig, 2);
        ck_assert_int_eq(rig_ack(&rig, 2, 1, 1, had, had), 0);
        rig_tick(&rig, now_ms);
        ck_assert_uint_eq(rig.todo[0] & REPLICA_TODO_ALTER, 0);
    }
    end();
}
END_TEST

START_TEST(a_new_life_begins_with_nothing)
{
    lead(7, 2);
    follow(2, 1);
    follow(3, 1);
    rig.members[2].generation = 999; /* removed and added again, in one change: row 8 */
    rig_assign(&rig, 1, 1, 2, 7);
    rig_hear(&rig, 3);
    ck_assert_int_eq(rig.heard[0].type, STREAM_REJECT);
    ck_assert_int_eq(rig.heard[0].reason, STREAM_REASON_STALE_REPLICA);
    rig_append(&rig, 0, 1);
    rig_sync(&rig);
    rig_hear(&rig, 2);
    ck_assert_int_eq(rig_ack(&rig, 2, 1, 1, 6, 6), 0);
    ck_assert_uint_eq(high_watermark(), 5); /* 3 is in the ISR and was not heard in this life */
    end();
}
END_TEST

START_TEST(replicas_change_and_who_stays_keeps_its_place)
{
    lead(7, 2);
    follow(2, 1);
    follow(3, 1);
    rig.member_count = 4;
    rig.members[3] = rig.members[2]; /* 4 comes, 3 moves behind it */
    rig.members[2] = (struct replica_member){4, 104, 204, true};
    rig_assign(&rig, 1, 1, 2, 0xb);
    rig_append(&rig, 0, 1);
    rig_sync(&rig);
    for (int node = 2; node <= 3; node++) {
        rig_hear(&rig, node);
        ck_assert_int_eq(rig.heard[rig.heard_count - 1].type, STREAM_DATA);
        ck_assert_int_eq(rig_ack(&rig, node, 1, 1, 6, 6), 0);
    }
    ck_assert_uint_eq(high_watermark(), 6);
    rig.member_count = 2; /* and only 2 is left */
    rig_assign(&rig, 1, 1, 3, 3);
    rig_hear(&rig, 3);
    ck_assert_int_eq(rig.heard[rig.heard_count - 1].reason, STREAM_REASON_NOT_REPLICA);
    end();
}
END_TEST

/* The answer to an ALTER tells a partition epoch whose image comes later, and says that the members stand in another order. */
START_TEST(masks_follow_the_members_however_these_are_numbered)
{
    struct replica_member first;
    struct replica_alter alter;

    lead(1, 1);
    follow(2, 1); /* is to join */
    ck_assert(replica_alter_begin(replica_of_rig(), &alter));
    replica_alter_done(replica_of_rig(), &alter, REPLICA_ALTER_DONE, 4);
    ck_assert_uint_eq(replica_of_rig()->isr, 3);
    ck_assert_uint_eq(high_watermark(), 5);
    first = rig.members[0];
    rig.members[0] = rig.members[2]; /* 3, 2, 1 */
    rig.members[2] = first;
    rig_assign(&rig, 1, 1, 3, 7); /* older than the answer */
    ck_assert_uint_eq(replica_of_rig()->isr, 3);
    rig_assign(&rig, 1, 1, 4, 6);
    ck_assert_uint_eq(replica_of_rig()->isr, 6);
    ck_assert(replica_peer_is_counted(replica_of_rig(), &replica_of_rig()->peers->at[1]));
    rig_append(&rig, 0, 1);
    rig_sync(&rig);
    ck_assert_uint_eq(high_watermark(), 5); /* 2 does not have it */
    end();
}
END_TEST

START_TEST(a_receipt_counts_who_holds_and_who_has_synced)
{
    struct replica_receipt receipt;

    lead(7, 2);
    follow(2, 1);
    follow(3, 1);
    rig_append(&rig, 0, 1);
    rig_hear(&rig, 2);
    ck_assert_int_eq(rig_ack(&rig, 2, 1, 1, 6, 5), 0);
    replica_get_receipt(replica_of_rig(), 6, &receipt);
    ck_assert_uint_eq(receipt.held, 2);
    ck_assert_uint_eq(receipt.synced, 0);
    rig_sync(&rig);
    replica_get_receipt(replica_of_rig(), 6, &receipt);
    ck_assert_uint_eq(receipt.synced, 1);
    replica_get_receipt(replica_of_rig(), 5, &receipt);
    ck_assert_uint_eq(receipt.held, 3);
    ck_assert_uint_eq(receipt.synced, 3);
    end();
}
END_TEST

START_TEST(late_facts_change_nothing_but_lives)
{
    lead(7, 2);
    rig_assign(&rig, 2, 0, 9, 7); /* an older epoch */
    ck_assert(replica_leads(replica_of_rig()));
    rig_assign(&rig, 1, 1, 3, 3);
    rig_assign(&rig, 1, 1, 2, 7); /* an older version of the partition */
    ck_assert_uint_eq(replica_of_rig()->isr, 3);
    rig.members[1].broker_epoch = 500;
    rig_assign(&rig, 1, 1, 2, 7);
    ck_assert_int_eq(rig_attach(&rig, 2, 1, 1, 0, 4), 0);
    rig_hear(&rig, 2);
    ck_assert_int_eq(rig.heard[0].reason, STREAM_REASON_STALE_REPLICA);
    end();
}
END_TEST

START_TEST(a_sealed_epoch_gets_its_leader_later)
{
    begin(PARTITION_MODE_QUORUM, 3, 1);
    rig_assign(&rig, 1, 1, 1, 7);
    rig_append(&rig, 0, 2);
    rig_assign(&rig, -1, 2, 2, 7);
    ck_assert_uint_eq(rig.todo[0] & REPLICA_TODO_LED, REPLICA_TODO_LED);
    ck_assert_uint_eq(rig.todo[0] & REPLICA_TODO_REPORT, 0); /* not all it has is durable */
    ck_assert(!replica_may_report(replica_of_rig()));
    rig_sync(&rig);
    ck_assert_uint_eq(rig.todo[0] & REPLICA_TODO_REPORT, REPLICA_TODO_REPORT);
    ck_assert(replica_may_report(replica_of_rig()));
    ck_assert_int_eq(rig_attach(&rig, 2, 1, 1, -1, 0), 0); /* nobody follows it in the old epoch any more */
    rig_hear(&rig, 2);
    ck_assert_int_eq(rig.heard[0].reason, STREAM_REASON_STALE_EPOCH);
    rig_assign(&rig, 1, 2, 3, 7);
    ck_assert(replica_leads(replica_of_rig()));
    ck_assert_int_eq(replica_log_last_epoch(&rig.logs[0]), 2);
    end();
}
END_TEST

START_TEST(who_caught_up_joins_a_quorum_and_stays)
{
    struct replica_alter alter;
    const int records[] = {1};

    begin(PARTITION_MODE_QUORUM, 3, 1);
    rig_fill(&rig, 0, records, 1, 0);
    rig_assign(&rig, 1, 1, 1, 1); /* elected by its log; the others have to show theirs */
    rig_append(&rig, 0, 1);
    rig_sync(&rig);
    ck_assert_int_eq(rig_attach(&rig, 2, 1, 1, -1, 0), 0);
    ck_assert_int_eq(rig_say(&rig, 2, &(struct stream_message){.type = STREAM_CREDIT, .credit = 100000}), 0);
    rig_hear(&rig, 2);
    ck_assert(!replica_alter_begin(replica_of_rig(), &alter));
    ck_assert_int_eq(rig_ack(&rig, 2, 1, 1, 3, 3), 0);
    ck_assert_uint_eq(high_watermark(), 3);
    ck_assert(replica_alter_begin(replica_of_rig(), &alter));
    ck_assert_int_eq(alter.isr_count, 2);
    ck_assert_int_eq(alter.isr[1].node_id, 2);
    replica_alter_done(replica_of_rig(), &alter, REPLICA_ALTER_DONE, 2);
    rig_append(&rig, 0, 1);
    rig_tick(&rig, 100000); /* it misses something for long: what is committed hangs on a majority, not on it */
    ck_assert_uint_eq(rig.todo[0] & REPLICA_TODO_ALTER, 0);
    end();
}
END_TEST

/* Coordinator's rule 18: replicas go when the leader has shown that it counts those that came. */
START_TEST(a_quorum_s_leader_confirms_the_larger_set_once)
{
    struct replica_alter alter;

    begin(PARTITION_MODE_QUORUM, 3, 1);
    rig_assign(&rig, 1, 1, 1, 7);
    rig.member_count = 4;
    rig.wants_confirmation = true;
    rig_assign(&rig, 1, 1, 2, 15);
    ck_assert_uint_eq(rig.todo[0] & REPLICA_TODO_ALTER, REPLICA_TODO_ALTER);
    ck_assert(replica_alter_begin(replica_of_rig(), &alter));
    ck_assert_int_eq(alter.isr_count, 4);
    replica_alter_done(replica_of_rig(), &alter, REPLICA_ALTER_REFUSED, 0);
    rig_tick(&rig, 100000); /* once more, after a while */
    ck_assert(replica_alter_begin(replica_of_rig(), &alter));
    rig_assign(&rig, 1, 1, 3, 15); /* done, and the image is faster than the answer; the others cannot go yet */
    replica_alter_done(replica_of_rig(), &alter, REPLICA_ALTER_DONE, 3);
    rig_tick(&rig, 200000);
    ck_assert(!replica_alter_begin(replica_of_rig(), &alter)); /* it has been said */
    rig_assign(&rig, 1, 1, 4, 7);
    ck_assert(replica_alter_begin(replica_of_rig(), &alter)); /* another picture: again */
    rig.wants_confirmation = false;
    rig.member_count = 3;
    rig_assign(&rig, 1, 1, 5, 7);
    ck_assert(!replica_alter_begin(replica_of_rig(), &alter));
    end();
}
END_TEST

/* Whoever may have to choose among incomplete logs wants to know how far each goes. */
START_TEST(without_a_leader_it_says_how_far_it_goes)
{
    begin(PARTITION_MODE_ISR, 3, 2);
    ck_assert(!replica_may_report(replica_of_rig())); /* nothing is known of it yet */
    rig_assign(&rig, 1, 1, 1, 7);
    rig_append(&rig, 0, 2);
    ck_assert(!replica_may_report(replica_of_rig()));
    rig_assign(&rig, -1, 2, 2, 0);
    ck_assert_uint_eq(rig.todo[0] & REPLICA_TODO_REPORT, REPLICA_TODO_REPORT);
    ck_assert_uint_eq(replica_own_position(replica_of_rig()), 0);
    rig_sync(&rig);
    ck_assert_uint_eq(rig.todo[0] & REPLICA_TODO_REPORT, REPLICA_TODO_REPORT);
    ck_assert_uint_eq(replica_own_position(replica_of_rig()), 3);
    rig_assign(&rig, 2, 3, 3, 2);
    ck_assert(!replica_may_report(replica_of_rig()));
    end();
}
END_TEST

START_TEST(a_replica_is_small)
{
    printf("replica %zu bytes, each follower %zu in its leader, %zu in the sink that follows\n", sizeof(struct replica),
           sizeof(struct replica_peer), sizeof(struct sink_slot));
    ck_assert_uint_le(sizeof(struct replica), 256);
    ck_assert_uint_le(sizeof(struct replica_peer), 104);
}
END_TEST

#define COUNT(cases) (int)(sizeof(cases) / sizeof((cases)[0]))

static Suite *suite_new(void)
{
    Suite *suite = suite_create("replica: leader");
    TCase *tcase = tcase_create("rules");

    suite_add_tcase(suite, tcase);
    tcase_add_loop_test(tcase, who_asks_must_speak_of_the_same_epoch_and_life, 0, COUNT(identity_cases));
    tcase_add_test(tcase, who_does_not_lead_says_so);
    tcase_add_loop_test(tcase, histories_are_compared_by_epochs, 0, COUNT(history_cases));
    tcase_add_loop_test(tcase, who_has_nothing_keeps_an_epoch_that_the_leader_does_not_know, 0, COUNT(unknown_start_cases));
    tcase_add_loop_test(tcase, the_high_watermark_is_what_all_of_the_isr_holds, 0, COUNT(watermark_cases));
    tcase_add_loop_test(tcase, a_quorum_commits_what_a_majority_holds, 0, COUNT(quorum_cases));
    tcase_add_test(tcase, a_reader_waits_where_the_watermark_is_not_known_yet);
    tcase_add_loop_test(tcase, who_has_all_that_may_be_committed_joins, 0, COUNT(join_cases));
    tcase_add_test(tcase, what_was_proposed_counts_until_it_is_settled);
    tcase_add_test(tcase, a_first_refusal_ends_the_proposal);
    tcase_add_test(tcase, the_image_overtakes_an_answer);
    tcase_add_test(tcase, below_min_insync_nothing_is_accepted_or_committed);
    tcase_add_test(tcase, who_misses_something_for_too_long_is_to_leave);
    tcase_add_test(tcase, who_keeps_up_with_a_stream_is_not_late);
    tcase_add_test(tcase, a_new_life_begins_with_nothing);
    tcase_add_test(tcase, replicas_change_and_who_stays_keeps_its_place);
    tcase_add_test(tcase, masks_follow_the_members_however_these_are_numbered);
    tcase_add_test(tcase, a_receipt_counts_who_holds_and_who_has_synced);
    tcase_add_test(tcase, late_facts_change_nothing_but_lives);
    tcase_add_test(tcase, a_sealed_epoch_gets_its_leader_later);
    tcase_add_test(tcase, who_caught_up_joins_a_quorum_and_stays);
    tcase_add_test(tcase, a_quorum_s_leader_confirms_the_larger_set_once);
    tcase_add_test(tcase, without_a_leader_it_says_how_far_it_goes);
    tcase_add_test(tcase, a_replica_is_small);
    return suite;
}

int main(void)
{
    return run_suite(suite_new());
}
