/* Who is in sync, who leads when nobody safely can, and which broker holds what: stories of one partition (replica_story.h). */
#include "base/error.h"
#include "replica_story.h"
#include "replication/coordinator/replica_facts.h"
#include "support/run_suite.h"

#include <stdio.h>

struct story {
    const char *zones, *settings, *script;
};

#define RUN(table) replica_story((table)[_i].zones, (table)[_i].settings, (table)[_i].script)

/* ---- ALTER ---- */

static const struct story alter_stories[] = {
    /* below min.insync whoever leaves is eligible; above it nobody has to be */
    {"abc", "replicas=3", "isr 12 = 1 12 - - 123; isr 1 = 1 1 2 - 123; isr 13 = 1 13 - - 123; isr 123 = 1 123 - - 123"},
    {"abc", "replicas=3", "isr 1 = 1 1 23 - 123; fence 1 = 2 2 13 - 123; isr 23 = 2 23 - - 123"},
    {"abc", "replicas=3,min.insync=1", "isr 1 = 1 1 - - 123; fence 1 = none - 1 - 123; unfence 1 = 1 1 - - 123"},
    {"abc", "replicas=3,mode=async", "isr 1 = 1 1 - - 123; isr 12 = 1 12 - - 123"},
    {"ab", "mode=sync-double-write", "isr 1 = 1 1 2 - 12; fence 1 = 2 2 1 - 12; unfence 1; isr 12 = 2 12 - - 12"},
    /* what came too late is not taken, be it a retry of what was done */
    {"abc", "replicas=3", "isr 12; stale 12 = !AGAIN; stale 123 = !AGAIN; stale 1 = !AGAIN; isr 123 = 1 123 - - 123"},
    /* asking for what is raises the partition epoch: no earlier wish can come true any more */
    {"abc", "replicas=3", "isr 123 = 1 123 - - 123; stale 12 = !AGAIN"},
    /* no ISRs: of others, without the leader, twice the same */
    {"abcd", "replicas=3", "isr 14 = !INVAL; isr 23 = !INVAL; isr 122 = !INVAL; isr 1234 = !INVAL; isr 19 = !INVAL"},
    /* another life or replica than the one that caught up does not join (4.2 rows 7, 8), nor does who is away or about to stop (row 10) */
    {"abc", "replicas=3", "fence 2 = 1 13 - - 123; isr 123 = !BUSY; unfence 2; isr 123 = 1 123 - - 123"},
    {"abc", "replicas=3", "drain 2 = 1 13 - - 123; isr 123 = !BUSY; isr 1 = 1 1 3 - 123"},
    /* drained again, it gives up what others have become able to lead; nothing else changes */
    {"abc", "replicas=2,min.insync=1", "isr 1 = 1 1 - - 12; drain 1 = 1 1 - - 12; isr 12 = 1 12 - - 12; drain 1 = 2 2 - - 12; drain 1 = 2 2 - - 12"},
    {"abc", "replicas=3", "restart 2 = 1 13 - - 123; unfence 2; former 12 = !BUSY; isr 123 = 1 123 - - 123"},
    /* whoever is not there any more cannot stay */
    {"abc", "replicas=3", "retire 3 = 1 12 - - 123; isr 123 = !BUSY; isr 12 = 1 12 - - 123"},
    /* a topic that is to have more replicas than there are brokers: its minimum is that of the wish */
    {"ab", "replicas=3", "isr 1 = 1 1 2 - 12; set min.insync=1 = 1 1 - - 12; fence 1 = none - 1 - 12"},
};

START_TEST(a_leader_changes_its_isr)
{
    RUN(alter_stories);
}
END_TEST

START_TEST(a_request_is_judged_partition_by_partition)
{
    struct replica_stage stage;
    struct decide_member member = {.node_id = 1};
    struct decide_isr wishes[5];
    struct decide_alter_partitions request = {.leader = 1, .partitions = wishes, .count = 5};
    struct decide_topic_create create = {.name = "u", .partition_count = 4, .replication_factor = 3};
    struct decide_result results[5];
    struct image_partition now;
    int led = 0;

    replica_stage_open(&stage, "abc", "replicas=3");
    create.topic_id = history_uuid(stage.history);
    ck_assert_int_eq(decide_topic_create(stage.history->image, &create, &stage.decision), 0);
    history_commit(stage.history, &stage.decision);
    request.broker_epoch = member.broker_epoch = image_find_broker(stage.history->image, 1)->epoch;
    image_topic_partition(image_find_topic_by_name(stage.history->image, "u"), 0, &now);
    member.generation = image_partition_generation(&now, 0); /* made in one change: all have the same */
    for (uint32_t i = 0; i < 5; i++) /* the last one does not exist */
        wishes[i] = (struct decide_isr){.topic_id = create.topic_id, .partition = i, .members = &member, .member_count = 1};
    ck_assert_int_eq(decide_alter_partitions(stage.history->image, &request, NULL, &stage.decision, results), 0);
    for (uint32_t i = 0; i < 4; i++) {
        image_topic_partition(image_find_topic_by_name(stage.history->image, "u"), i, &now);
        ck_assert_int_eq(results[i].error, now.leader == 1 ? 0 : MESH_ENOT_LEADER);
        ck_assert_uint_eq(results[i].partition_epoch, now.leader == 1);
        led += now.leader == 1;
    }
    ck_assert_int_gt(led, 0);
    ck_assert_int_lt(led, 4);
    ck_assert_int_eq(results[4].error, MESH_EUNKNOWN_TOPIC);
    history_commit(stage.history, &stage.decision);
    for (int32_t epoch = -1; epoch <= 1; epoch += 2) {
        for (uint32_t i = 0; i < 4; i++)
            wishes[i].leader_epoch = epoch;
        ck_assert_int_eq(decide_alter_partitions(stage.history->image, &request, NULL, &stage.decision, results), 0);
        ck_assert_int_eq(results[0].error, epoch < 0 ? MESH_ESTALE_EPOCH : MESH_EUNKNOWN_EPOCH);
        ck_assert_uint_eq(stage.decision.change_count, 0);
    }
    wishes[1].partition = 0;
    ck_assert_int_eq(decide_alter_partitions(stage.history->image, &request, NULL, &stage.decision, results), MESH_EINVAL);
    wishes[1].partition = 1;
    request.broker_epoch--;
    ck_assert_int_eq(decide_alter_partitions(stage.history->image, &request, NULL, &stage.decision, results), MESH_ESTALE_EPOCH);
    request.leader = 9;
    ck_assert_int_eq(decide_alter_partitions(stage.history->image, &request, NULL, &stage.decision, results), MESH_ENOTFOUND);
    replica_stage_close(&stage);
}
END_TEST

/* ---- lost replicas ---- */

static const struct story lost_stories[] = {
    {"abc", "replicas=3", "lost 2 = 1 13 - - 123; isr 123 = 1 123 - - 123"},
    {"abc", "replicas=3", "lost 1 = 2 23 - - 123; lost 2 = 3 3 - - 123; lost 3 = !NOT_ENOUGH_REPLICAS; isr 13 = 3 13 - - 123"},
    {"abc", "replicas=3", "isr 1; fence 2 = 1 1 23 - 123; fence 3; lost 1 = none - 23 - 123; unfence 3 = 3 3 2 - 123"},
    /* nobody counts on replica 1: nothing is refused, though no complete one is known */
    {"abc", "replicas=3,flush=async", "fence 1 = 2 23 - - 123; unclean 2 = 3 3 - 2 123; unclean 3 = none - - 23 123; lost 1 = none - - 23 123; "
                                      "lost 2 = !NOT_ENOUGH_REPLICAS"},
    {"abc", "replicas=1", "lost 1 = !NOT_ENOUGH_REPLICAS; lost 2 = !UNKNOWN_TOPIC"},
    {"abc", "replicas=3,mode=quorum", "lost 2 = 1 13 - - 123; lost 3 = !NOT_ENOUGH_REPLICAS; isr 123 = 1 123 - - 123; lost 1 = none 23 - - 123 sealed"},
};

START_TEST(a_replica_that_lost_records_begins_anew)
{
    RUN(lost_stories);
}
END_TEST

START_TEST(a_replica_that_lost_records_is_another_generation)
{
    struct replica_stage stage;
    struct decide_lost lost = {.partition = 0};
    struct decide_replicas_lost request = {.node_id = 2, .replicas = &lost, .count = 1};
    struct decide_result result;
    uint64_t others;
    struct image_partition now;

    replica_stage_open(&stage, "abc", "replicas=3");
    now = replica_stage_partition(&stage);
    lost.topic_id = image_find_topic_by_name(stage.history->image, "t")->topic_id;
    lost.generation = image_partition_generation(&now, 1);
    others = image_partition_generation(&now, 2);
    replica_stage_play(&stage, "lost 2");
    now = replica_stage_partition(&stage);
    ck_assert_uint_gt(image_partition_generation(&now, 1), lost.generation);
    ck_assert_uint_eq(image_partition_generation(&now, 2), others);
    /* it is in sync again when the request comes once more: that was about the replica before */
    replica_stage_play(&stage, "isr 123");
    request.broker_epoch = image_find_broker(stage.history->image, 2)->epoch;
    ck_assert_int_eq(decide_replicas_lost(stage.history->image, &request, NULL, &stage.decision, &result), 0);
    ck_assert_int_eq(result.error, 0);
    ck_assert_uint_eq(stage.decision.change_count, 0);
    replica_stage_close(&stage);
}
END_TEST

/* ---- unclean recovery ---- */

static const struct story unclean_stories[] = {
    /* manual: nobody leads until the operator says so */
    {"abc", "replicas=3,flush=async", "fence 1 = 2 23 - - 123; unclean 2 = 3 3 - 2 123; unclean 3 = none - - 23 123; unfence 2 = none - - 23 123; "
                                      "unfence 3; report 2 1 10; report 3 1 20; recover = none - - 23 123; overdue = none - - 23 123; "
                                      "accept = 3 3 - - 123 reset1; accept = !EXISTS; isr 23 = 3 23 - - 123 reset1"},
    {"abc", "replicas=3,flush=async", "fence 1; unclean 2; unclean 3; accept = !NOT_ENOUGH_REPLICAS; accept 2 = !NOT_ENOUGH_REPLICAS; unfence 2; "
                                      "accept = !AGAIN; accept 9 = !NOT_ENOUGH_REPLICAS; accept 2 = 2 2 - - 123 reset1"},
    /* balanced: when all of those last known to be complete have answered, the longest log */
    {"abc", "replicas=3,flush=async,unclean=balanced",
     "fence 1; unclean 2; unclean 3; unfence 2; report 2 1 10; recover = none - - 23 123; overdue = none - - 23 123; unfence 1; report 1 0 99; "
     "recover = none - - 23 123; unfence 3; report 3 1 9; recover = 2 2 - - 123 reset1"},
    {"abc", "replicas=3,flush=async,unclean=balanced",
     "fence 1; unclean 2; unclean 3; unfence 2; report 2 1 99; unfence 3; report 3 2 9; recover = 3 3 - - 123 reset1"}, /* a later epoch beats a longer log */
    /* a complete one that is only away is waited for */
    {"abc", "replicas=3,unclean=balanced", "isr 1; fence 1; fence 2; fence 3; unfence 1 = 1 1 23 - 123; fence 1; report 1 0 0; recover = none - 123 - 123"},
    {"abc", "replicas=3,unclean=balanced", "isr 123; isr 1; fence 2; fence 3; isr 1; wipe 1 = none - 23 - 123; unfence 1; report 1 -1 0; recover = none - 23 - 123; "
                                           "unfence 2 = 2 2 3 - 123"},
    /* nobody complete is left: all that are in the mesh have to answer */
    {"ab", "replicas=2,min.insync=1,unclean=balanced", "isr 1; wipe 1 = none - - - 12; unfence 1; report 1 -1 0; fence 2; recover = none - - - 12; unfence 2; "
                                                      "report 2 0 5; recover = 2 2 - - 12 reset1"},
    /* proactive: whoever is up and answers */
    {"abc", "replicas=3,min.insync=1,unclean=proactive", "isr 1; fence 1 = none - 1 - 123; report 2 0 5; recover = none - 1 - 123; report 3 0 7; recover = 3 3 - - 123 reset1"},
    {"abc", "replicas=3,min.insync=1,unclean=proactive", "isr 1; fence 1; recover = none - 1 - 123; overdue = none - 1 - 123; report 2 0 5; overdue = 2 2 - - 123 reset1"},
    /* what was said in a former life does not count */
    {"abc", "replicas=3,min.insync=1,unclean=proactive", "isr 1; fence 1; report 2 0 5; restart 2; unfence 2; overdue = none - 1 - 123; report 2 0 4; overdue = 2 2 - - 123 reset1"},
    /* of two last known ones one is left */
    {"abc", "replicas=3,flush=async", "fence 1; unclean 2; unclean 3; unfence 3 = none - - 23 123; retire 2 = 3 3 - - 123 reset1"},
    /* a single last known one leads again by itself, and that is a loss, too */
    {"a", "replicas=1,flush=async", "unclean 1 = none - - 1 1; unfence 1 = 1 1 - - 1 reset1"},
};

START_TEST(nobody_complete_is_left)
{
    RUN(unclean_stories);
}
END_TEST

/* ---- mode quorum ---- */

static const struct story quorum_stories[] = {
    /* a majority decides, and the longest log wins; the others are asked to follow */
    {"abc", "replicas=3,mode=quorum", "fence 1 = none 23 1 - 123 sealed; report 2 0 10; recover = none 23 1 - 123 sealed; report 3 0 12; "
                                      "recover = 3 3 12 - 123; isr 23 = 3 23 1 - 123; unfence 1; isr 123 = 3 123 - - 123"},
    {"abcde", "replicas=5,mode=quorum", "fence 1; fence 2; report 3 0 9; report 4 0 8; recover = none 345 12 - 12345 sealed; report 5 0 7; recover = 3 3 1245 - 12345"},
    /* who reported and went away is not counted, nor is who was wiped: its empty log would stand for what it once acknowledged */
    {"abc", "replicas=3,mode=quorum", "fence 1; report 2 0 10; report 3 0 9; fence 2 = none 3 12 - 123 sealed; recover = none 3 12 - 123 sealed; unfence 2; "
                                      "recover = 2 2 13 - 123"},
    {"abc", "replicas=3,mode=quorum", "wipe 3 = 1 12 - - 123; unfence 3; fence 1 = none 2 1 - 123 sealed; report 2 0 5; report 3 -1 0; "
                                      "recover = none 2 1 - 123 sealed; unfence 1; report 1 0 9; recover = 1 1 2 - 123; isr 123 = 1 123 - - 123"},
    /* nothing is elected without reports, in whatever order brokers go and come */
    {"abc", "replicas=3,mode=quorum", "fence 1; fence 2; fence 3; unfence 1; unfence 2; unfence 3 = none - 123 - 123 sealed; elect = !NOT_ENOUGH_REPLICAS; "
                                      "accept = !AGAIN; accept 2 = 2 2 - - 123 reset1"},
    {"abc", "replicas=3,mode=quorum", "isr 12 = 1 12 3 - 123; isr 1 = 1 1 23 - 123; restart 1 = none - 123 - 123 sealed"},
    /* its replicas are replaced one at a time, in two steps: the larger set has to be known before the smaller one holds */
    {"abcd", "replicas=3,mode=quorum", "move 145 = !INVALID_REPLICATION; move 124 = 1 123 - - 124+3- queued; move 134 = 1 123 - - 134+2- queued; cancel = 1 123 - - 132; "
                                       "move 134; tick = 1 123 - - 134+2-"},
    {"abcd", "replicas=3,mode=quorum", "move 124; tick = 1 123 - - 124+3-; isr 123 = 1 123 - - 124+3-; isr 1234 = 1 1234 - - 1243-; tick = 1 1234 - - 1243-; "
                                       "cancel = !BUSY; isr 1234 = 1 124 - - 124"},
    {"abcd", "replicas=3,mode=quorum", "move 234; tick; isr 1234 = 1 1234 - - 2341-; isr 1234 = none 234 - - 234 sealed"},
    {"abc", "replicas=3,mode=quorum", "set mode=isr = !INVALID_CONFIG; set flush=async = !INVALID_CONFIG; set min.insync=1 = !INVALID_CONFIG; "
                                      "set unclean=proactive = !INVALID_CONFIG; set replicas=2; tick = 1 123 - - 123-; isr 123 = 1 12 - - 12"},
};

START_TEST(a_majority_decides)
{
    RUN(quorum_stories);
}
END_TEST

/* ---- moves ---- */

static const struct story move_stories[] = {
    /* grow, catch up, shrink; leadership goes along */
    {"abcdef", "replicas=3", "move 456 = 1 123 - - 4+5+6+1-2-3- queued; isr 1234 = !BUSY; tick = 1 123 - - 4+5+6+1-2-3-; isr 1234; isr 123456 = 4 456 - - 456"},
    {"abcde", "replicas=3", "move 145 = 1 123 - - 14+5+2-3- queued; tick = 1 123 - - 14+5+2-3-; isr 1234 = 1 1234 - - 14+5+2-3-; isr 12345 = 1 145 - - 145"},
    {"abcd", "replicas=3", "move 423; tick; isr 1234 = 4 234 - - 423"},
    /* only as many in sync as min.insync asks for end a move (R18) */
    {"abcd", "replicas=3", "isr 1; move 124; tick = 1 1 23 - 124+3-; isr 14 = 1 14 - - 124"},
    {"abcd", "replicas=3,min.insync=3", "isr 12 = 1 12 3 - 123; move 124; tick; isr 124 = 1 124 - - 124"},
    {"abcd", "replicas=3,min.insync=2", "isr 1; move 234; tick; isr 14 = 1 14 - - 234+1-"},
    /* the order alone; the same once more; fewer */
    {"abc", "replicas=3", "move 312 = 1 123 - - 312; move 312 = 1 123 - - 312"},
    {"abc", "replicas=3", "move 12 = 1 12 - - 12; set min.insync=2; move 1 = !INVALID_REPLICATION"},
    /* what cannot be */
    {"abcd", "replicas=3", "move 129 = !INVALID_REPLICATION; move 122 = !INVALID_REPLICATION; fence 4; move 124 = !INVALID_REPLICATION; cancel = !NOTFOUND"},
    /* taken back; taken back when it is too late; replaced by another */
    {"abcde", "replicas=3", "move 145; tick; isr 1234 = 1 1234 - - 14+5+2-3-; cancel = 1 123 - - 123"},
    {"abcd", "replicas=2", "move 34; tick = 1 12 - - 3+4+1-2-; isr 13 = 1 13 - - 3+4+1-2-; cancel = !BUSY"},
    {"abcde", "replicas=3", "move 124; tick; move 125 = 1 123 - - 125+3- queued; tick; isr 1235 = 1 125 - - 125"},
    /* a leader dies meanwhile: the next one goes on */
    {"abcd", "replicas=3", "move 124; tick; fence 1 = 2 23 - - 124+3-; isr 234 = 2 24 - - 124"},
    /* the new broker is gone: one of those that were to go stays */
    {"abcd", "replicas=3", "move 124; tick; fence 4; tick = 1 123 - - 124+3-; gone 4; tick = 1 123 - - 123"},
    {"abcd", "replicas=3", "move 124; retire 4; tick = 1 123 - - 123"},
    /* one that was to keep its replica is gone: one that was to go stays, and another takes the place of the first */
    {"abc", "replicas=2,min.insync=1", "fence 2; isr 1; move 2 = 1 1 - - 21-; tick = 1 1 - - 21-; gone 2; tick = 1 1 - - 21; tick = 1 1 - - 3+12-; isr 13 = 1 13 - - 31"},
    /* a broker that is gone for good is replaced: at once when it was removed, else after a time; in another zone if there is one */
    {"abcd", "replicas=3", "fence 3; tick = 1 12 - - 123; gone 3; tick = 1 12 - - 124+3-; isr 124 = 1 124 - - 124"},
    {"abcd", "replicas=3", "retire 1 = 2 23 - - 123; tick = 2 23 - - 4+231-; isr 234 = 2 234 - - 423"},
    {"abac", "replicas=2", "retire 2; tick = 1 1 - - 14+2-; isr 14 = 1 14 - - 14"},
    {"ab", "replicas=2", "retire 2; tick = 1 1 - - 12"}, /* nobody is there to take it */
    /* groups live on where every replica was removed: who has heard of their offsets can tell them */
    {"abcdef", "groups", "retire 1; retire 2; retire 3 = none - - - 123; tick = 4 4 - - 456 reset1; isr 456 = 4 456 - - 456 reset1"},
    {"abcd", "groups", "retire 1; retire 2; retire 3; tick = 4 4 - - 4 reset1"},
    {"abcdef", "groups", "fence 4; drain 5; retire 1; retire 2; retire 3; tick = 6 6 - - 6 reset1"},
    {"abcd", "groups", "fence 1; fence 2; fence 3; gone 1; gone 2; gone 3; tick = none - 23 - 123; unfence 3 = 3 3 2 - 123"}, /* silent is not removed */
    {"abcd", "groups", "fence 1; retire 2; retire 3; tick = none - - - 123; unfence 1; report 1 1 9; recover = 1 1 - - 123 reset1"},
    {"abc", "groups", "retire 1; retire 2; retire 3; tick = none - - - 123"}, /* nobody is left */
    {"abcd", "replicas=3,unclean=balanced", "retire 1; retire 2; retire 3; tick = none - - - 123"}, /* a user's records are worth waiting for */
    /* the replication factor is raised and lowered, and a wish is met */
    {"abcd", "replicas=1", "set replicas=3; tick = 1 1 - - 12+3+; isr 12 = 1 12 - - 12+3+; isr 123 = 1 123 - - 123; set replicas=2; tick = 1 12 - - 12"},
    {"ab", "replicas=3", "tick = 1 12 - - 12; set replicas=1 = !INVALID_CONFIG"},
    /* auto: the minimum is that of the replicas that count; growing does not stop writes */
    {"abc", "replicas=1", "set replicas=3; tick; isr 12 = 1 12 - - 12+3+; fence 2 = 1 1 - - 12+3+"},
    /* nothing moves where nobody leads */
    {"abc", "replicas=1", "set replicas=2; fence 1; tick = none - 1 - 1; unfence 1; tick = 1 1 - - 12+"},
    /* one replica, one move: from the broker that has two to the one that has none; here there is nothing to gain */
    {"ab", "replicas=1", "tick = 1 1 - - 1; balance = 1 1 - - 1"},
};

START_TEST(replicas_move)
{
    RUN(move_stories);
}
END_TEST

/* ---- a broker has joined ---- */

/* How many partitions the coordinator would begin to move. */
static uint64_t look_at_moves(const struct image *image, struct movement *movement, uint64_t seconds, int32_t gone)
{
    struct decide_broker_facts broker = {.node_id = gone, .is_gone = true};
    struct decide_facts facts = {.brokers = &broker, .broker_count = gone != 0};
    struct decide_moves request = {.movement = movement, .moves_per_broker = 2, .now_us = seconds * 1000000, .facts = &facts};
    struct image_partition partition;
    struct image *next = NULL;
    struct decision decision;
    uint64_t moving = 0;

    decision_init(&decision);
    ck_assert_int_eq(decide_moves(image, &request, &decision), 0);
    ck_assert_int_eq(decision_preview(image, &decision, &next), 0);
    for (uint32_t i = 0; image_topic_partition(image_find_topic_by_name(next, "t"), i, &partition); i++)
        moving += partition.adding != 0;
    image_unref(next);
    decision_deinit(&decision);
    return moving;
}

static void fence(struct history *history, int32_t node_id)
{
    struct decision decision;

    decision_init(&decision);
    ck_assert_int_eq(decide_broker_fence(history->image, &image_find_broker(history->image, node_id)->broker_id, NULL, &decision), 0);
    history_commit(history, &decision);
    decision_deinit(&decision);
}

START_TEST(replicas_are_spread_in_peace_and_a_few_at_a_time)
{
    struct history *history = history_new_mesh(2, "ab");
    struct uuid newcomer = history_uuid(history);
    struct movement movement = MOVEMENT_INIT;

    history_create_topic(history, "t", 8, 2);
    history_register_broker(history, &newcomer, 1, "c");
    ck_assert_uint_eq(look_at_moves(history->image, &movement, 1, 0), 0); /* it may go again as it came */
    ck_assert_uint_eq(look_at_moves(history->image, &movement, 60, 0), 0);
    ck_assert_uint_eq(look_at_moves(history->image, &movement, 61, 0), 2); /* moves_per_broker */

    movement = (struct movement)MOVEMENT_INIT;
    fence(history, 1); /* it may come back, and then has to catch up */
    ck_assert_uint_eq(look_at_moves(history->image, &movement, 100, 0), 0);
    ck_assert_uint_eq(look_at_moves(history->image, &movement, 1000, 0), 0);
    ck_assert_uint_eq(look_at_moves(history->image, &movement, 1001, 1), 2); /* it will not: its replicas are made anew */
    history_free(history);
}
END_TEST

/* Somebody says that all eight partitions are to be where they are. */
static void place(struct history *history)
{
    const struct image_topic *topic = image_find_topic_by_name(history->image, "t");
    struct decide_move moves[8];
    struct image_partition partition;
    struct decision decision;

    for (uint32_t i = 0; image_topic_partition(topic, i, &partition); i++) {
        moves[i] = (struct decide_move){.topic_id = topic->topic_id, .partition = i, .count = partition.replica_count};
        memcpy(moves[i].replicas, partition.replicas, partition.replica_count * sizeof(int32_t));
    }
    decision_init(&decision);
    ck_assert_int_eq(decide_move(history->image, moves, 8, NULL, &decision), 0);
    history_commit(history, &decision);
    decision_deinit(&decision);
}

static uint32_t count_pinned(const struct image *image)
{
    struct image_partition partition;
    uint32_t count = 0;

    for (uint32_t i = 0; image_topic_partition(image_find_topic_by_name(image, "t"), i, &partition); i++)
        count += partition.is_pinned;
    return count;
}

START_TEST(what_a_person_placed_is_not_spread)
{
    struct history *history = history_new_mesh(3, "abc");
    struct uuid newcomer = history_uuid(history);
    struct movement movement = MOVEMENT_INIT;
    struct buffer bytes = BUFFER_INIT;
    struct image *again = NULL;
    struct decision decision;

    history_create_topic(history, "t", 8, 2);
    history_register_broker(history, &newcomer, 1, "d");
    place(history);
    ck_assert_uint_eq(count_pinned(history->image), 8);
    for (uint64_t seconds = 1; seconds < 1000; seconds += 50)
        ck_assert_uint_eq(look_at_moves(history->image, &movement, seconds, 0), 0);
    ck_assert(!movement.is_pending && movement.settled_index == image_applied_index(history->image)); /* nor is it looked at again */

    ck_assert_int_eq(image_encode(history->image, &bytes), 0);
    ck_assert_int_eq(image_decode(buffer_slice(&bytes), &again), 0);
    ck_assert_uint_eq(count_pinned(again), 8);
    image_unref(again);
    buffer_deinit(&bytes);

    decision_init(&decision); /* who asks the mesh to choose gets its choice, and leaves the place to it */
    ck_assert_int_eq(decide_topic_balance(history->image, &image_find_topic_by_name(history->image, "t")->topic_id, NULL, &decision), 0);
    history_commit(history, &decision);
    decision_deinit(&decision);
    ck_assert_uint_gt(image_replica_count(history->image, 4), 0);
    ck_assert_uint_lt(count_pinned(history->image), 8);
    history_free(history);
}
END_TEST

static uint64_t look_at_leaving(const struct image *image, struct movement *movement, uint64_t seconds, int32_t leaving, int32_t *ret_new)
{
    struct decide_broker_facts broker = {.node_id = leaving, .is_leaving = true};
    struct decide_facts facts = {.brokers = &broker, .broker_count = 1};
    struct decide_moves request = {.movement = movement, .moves_per_broker = 2, .now_us = seconds * 1000000, .facts = &facts};
    struct image_partition partition;
    struct image *next = NULL;
    struct decision decision;
    uint64_t moving = 0;

    decision_init(&decision);
    ck_assert_int_eq(decide_moves(image, &request, &decision), 0);
    ck_assert_int_eq(decision_preview(image, &decision, &next), 0);
    for (uint32_t i = 0; image_topic_partition(image_find_topic_by_name(next, "t"), i, &partition); i++) {
        for (uint32_t j = 0; j < partition.replica_count; j++) {
            if (partition.adding >> j & 1) *ret_new = partition.replicas[j];
            if (partition.removing >> j & 1) ck_assert_int_eq(partition.replicas[j], leaving);
        }
        if (partition.adding == 0) continue;
        moving++;
        ck_assert_uint_eq(__builtin_popcount(partition.isr), 2); /* it stays in sync until the copy is */
    }
    image_unref(next);
    decision_deinit(&decision);
    return moving;
}

START_TEST(who_is_to_be_taken_out_keeps_its_replicas_until_others_have_them)
{
    struct history *history = history_new_mesh(3, "abc");
    struct movement movement = MOVEMENT_INIT;
    int32_t added = 0;

    history_create_topic(history, "t", 8, 2);
    ck_assert_uint_gt(image_replica_count(history->image, 1), 2);
    ck_assert_uint_eq(look_at_moves(history->image, &movement, 1, 0), 0);
    ck_assert_uint_eq(look_at_leaving(history->image, &movement, 2, 1, &added), 2); /* moves_per_broker, and at once */
    ck_assert_int_ne(added, 1);
    history_free(history);

    history = history_new_mesh(2, "ab"); /* nobody else could keep them */
    movement = (struct movement)MOVEMENT_INIT;
    history_create_topic(history, "t", 8, 2);
    ck_assert_uint_eq(look_at_leaving(history->image, &movement, 2, 1, &added), 0);
    history_free(history);
}
END_TEST

/* Copies matter more than places. */
START_TEST(what_a_person_placed_is_replaced_where_a_broker_is_gone)
{
    struct history *history = history_new_mesh(3, "abc");
    struct movement movement = MOVEMENT_INIT;

    history_create_topic(history, "t", 8, 2);
    place(history);
    fence(history, 1);
    ck_assert_uint_eq(look_at_moves(history->image, &movement, 1000, 0), 0);
    ck_assert_uint_gt(look_at_moves(history->image, &movement, 1001, 1), 0);
    ck_assert_uint_eq(count_pinned(history->image), 8);
    history_free(history);
}
END_TEST

START_TEST(who_gets_replicas_leads_its_share_of_them)
{
    struct history *history = history_new_mesh(3, "abc");
    struct uuid newcomer = history_uuid(history);
    uint64_t first[5] = {0};
    struct image *next = NULL;
    struct image_partition partition;
    struct decision decision;

    history_create_topic(history, "t", 8, 3);
    history_register_broker(history, &newcomer, 1, "d");
    decision_init(&decision);
    ck_assert_int_eq(decide_topic_balance(history->image, &image_find_topic_by_name(history->image, "t")->topic_id, NULL, &decision), 0);
    ck_assert_int_eq(decision_preview(history->image, &decision, &next), 0);
    for (uint32_t i = 0; image_topic_partition(image_find_topic_by_name(next, "t"), i, &partition); i++)
        first[partition.replicas[0]]++;
    ck_assert_uint_eq(image_replica_count(next, 4), 6);
    for (int32_t node_id = 1; node_id <= 4; node_id++)
        ck_assert_msg(first[node_id] >= 1 && first[node_id] <= 3, "broker %d is the first of %lu", node_id, first[node_id]);
    image_unref(next);
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

START_TEST(a_balance_of_all_topics_sees_them_together)
{
    struct history *history = history_new_mesh(1, "a");
    const struct uuid all = {{0}};
    struct uuid newcomer = history_uuid(history);
    struct image *next = NULL;
    struct decision decision;
    char name[] = "t0";

    for (; name[1] < '6'; name[1]++)
        history_create_topic(history, name, 1, 1);
    history_register_broker(history, &newcomer, 1, "b");
    decision_init(&decision);
    ck_assert_int_eq(decide_topic_balance(history->image, &image_find_topic_by_name(history->image, "t0")->topic_id, NULL, &decision), 0);
    ck_assert_uint_eq(decision.change_count, 0); /* one partition cannot be spread */
    ck_assert_int_eq(decide_topic_balance(history->image, &all, NULL, &decision), 0);
    ck_assert_int_eq(decision_preview(history->image, &decision, &next), 0);
    ck_assert_uint_eq(image_replica_count(next, 2), 3); /* three of six, queued */
    image_unref(next);
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

/* ---- in words ---- */

static const struct {
    const char *zones, *settings, *script;
    const char *problems; /* what is wrong, one behind the other */
    const char *progress;
} facts_cases[] = {
    {"abc", "replicas=3", "", "", ""},
    {"abc", "replicas=3", "fence 3", "1 partition at risk, first t/0", ""},
    {"abc", "replicas=3", "fence 3; fence 2", "1 partition with too few replicas in sync, first t/0", ""},
    {"abc", "replicas=3", "fence 3; fence 2; fence 1", "1 partition without a leader, first t/0", ""},
    {"abc", "replicas=3,flush=async", "fence 1; unclean 2; unclean 3", "1 partition without a complete replica, first t/0", ""},
    {"abc", "replicas=3,mode=quorum", "fence 1", "1 partition waiting for a majority of their replicas, first t/0", ""},
    {"abc", "replicas=3,min.insync=1", "fence 3", "1 partition under-replicated, first t/0", ""},
    {"a", "replicas=1", "", "", ""},
    {"ab", "replicas=3", "", "1 partition at risk, first t/0|1 partition with fewer replicas than wanted, first t/0", ""},
    {"abcd", "replicas=3", "move 124", "", "1 of 1 partitions on the move, 1 of them waiting for their turn"},
    {"abcd", "replicas=3", "move 124; tick", "", "1 of 1 partitions on the move"},
    {"abc", "replicas=3,min.insync=1", "", "", ""}, /* it was said when the topic was made */
};

START_TEST(what_is_wrong_is_said)
{
    struct replica_stage stage;
    struct replica_problem problems[REPLICA_PROBLEMS_MAX];
    struct replica_facts facts;
    char said[1024] = "", progress[128];
    size_t count;

    replica_stage_open(&stage, facts_cases[_i].zones, facts_cases[_i].settings);
    replica_stage_play(&stage, facts_cases[_i].script);
    replica_facts_collect(stage.history->image, &facts);
    count = replica_problems(&facts, problems);
    for (size_t i = 0; i < count; i++)
        snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s%.99s", i == 0 ? "" : "|", problems[i].what);
    ck_assert_str_eq(said, facts_cases[_i].problems);
    replica_facts_progress(&facts, progress, sizeof(progress));
    ck_assert_str_eq(progress, facts_cases[_i].progress);
    ck_assert_uint_eq(facts.offline.count, facts.away.count + facts.lost.count + facts.sealed.count);
    replica_stage_close(&stage);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replicas");
    TCase *tcase = tcase_create("replicas");

    tcase_add_loop_test(tcase, a_leader_changes_its_isr, 0, sizeof(alter_stories) / sizeof(alter_stories[0]));
    tcase_add_test(tcase, a_request_is_judged_partition_by_partition);
    tcase_add_loop_test(tcase, a_replica_that_lost_records_begins_anew, 0, sizeof(lost_stories) / sizeof(lost_stories[0]));
    tcase_add_test(tcase, a_replica_that_lost_records_is_another_generation);
    tcase_add_loop_test(tcase, nobody_complete_is_left, 0, sizeof(unclean_stories) / sizeof(unclean_stories[0]));
    tcase_add_loop_test(tcase, a_majority_decides, 0, sizeof(quorum_stories) / sizeof(quorum_stories[0]));
    tcase_add_loop_test(tcase, replicas_move, 0, sizeof(move_stories) / sizeof(move_stories[0]));
    tcase_add_test(tcase, replicas_are_spread_in_peace_and_a_few_at_a_time);
    tcase_add_test(tcase, what_a_person_placed_is_not_spread);
    tcase_add_test(tcase, what_a_person_placed_is_replaced_where_a_broker_is_gone);
    tcase_add_test(tcase, who_is_to_be_taken_out_keeps_its_replicas_until_others_have_them);
    tcase_add_test(tcase, who_gets_replicas_leads_its_share_of_them);
    tcase_add_test(tcase, a_balance_of_all_topics_sees_them_together);
    tcase_add_loop_test(tcase, what_is_wrong_is_said, 0, sizeof(facts_cases) / sizeof(facts_cases[0]));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
