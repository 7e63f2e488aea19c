/* What becomes of partitions when brokers go and come: rule R9, elections and their reasons, removal, balance; users and requests. */
#include "base/error.h"
#include "metadata_history.h"
#include "replication/coordinator/elector.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

#define S 1000000ull

static struct history *history;
static struct decision decision;

static void set_up(void)
{
    history = history_new_mesh(3, "abc");
    decision_init(&decision);
}

static void tear_down(void)
{
    decision_deinit(&decision);
    history_free(history);
}

static struct uuid id_of(int32_t node_id)
{
    return image_find_broker(history->image, node_id)->broker_id;
}

static void fence(int32_t node_id)
{
    struct uuid id = id_of(node_id);

    ck_assert_int_eq(decide_broker_fence(history->image, &id, NULL, &decision), 0);
    history_commit(history, &decision);
}

static void unfence(int32_t node_id)
{
    struct uuid id = id_of(node_id);

    ck_assert_int_eq(decide_broker_unfence(history->image, &id, NULL, &decision), 0);
    history_commit(history, &decision);
}

static void drain(int32_t node_id)
{
    struct uuid id = id_of(node_id);

    ck_assert_int_eq(decide_broker_drain(history->image, &id, false, NULL, &decision), 0);
    history_commit(history, &decision);
}

/* The broker starts again. */
static void restart(int32_t node_id, bool was_unclean, bool was_set_back, bool has_lost_data)
{
    const struct image_broker *known = image_find_broker(history->image, node_id);
    struct decide_broker_register request = {
        .broker_id = known->broker_id,
        .dir_id = known->dir_id,
        .boot = known->boot + 1,
        .name = known->name,
        .host = known->host,
        .zone = known->zone,
        .port = known->port,
        .shard_count = known->shard_count,
        .starts_fenced = true,
        .was_unclean = was_unclean,
        .was_set_back = was_set_back,
        .has_lost_data = has_lost_data,
    };

    ck_assert_int_eq(decide_broker_register(history->image, &request, &decision), 0);
    history_commit(history, &decision);
}

/* A topic of one partition with replicas on 1, 2, 3 (as far as `replicas` goes); 1 leads. */
static void create(const char *name, int32_t replicas, const char *min_insync, const char *flush)
{
    struct decide_config configs[] = {{"min.insync", min_insync}, {"flush", flush}};
    struct decide_topic_create request = {.name = name,
                                          .partition_count = 1,
                                          .replication_factor = replicas,
                                          .configs = configs,
                                          .config_count = 2,
                                          .topic_id = history_uuid(history)};

    ck_assert_msg(decide_topic_create(history->image, &request, &decision) == 0, "%s", decision.message);
    history_commit(history, &decision);
}

static struct image_partition state_of(const char *name)
{
    struct image_partition partition;

    ck_assert(image_topic_partition(image_find_topic_by_name(history->image, name), 0, &partition));
    return partition;
}

static const struct image_election *election_of(const char *name)
{
    return image_election(history->image, &image_find_topic_by_name(history->image, name)->topic_id, 0);
}

/* "leader isr elr last-known" by node ids, as "2 23 - -" */
static const char *text_of(const char *name)
{
    static char text[64];
    struct image_partition partition = state_of(name);
    const uint32_t masks[] = {partition.isr, partition.elr, partition.last_known_elr};
    int size = partition.leader == IMAGE_NO_LEADER ? snprintf(text, sizeof(text), "none") : snprintf(text, sizeof(text), "%d", partition.leader);

    for (int i = 0; i < 3; i++) {
        bool is_any = false;
        text[size++] = ' ';
        for (int32_t node_id = 1; node_id <= 9; node_id++) {
            for (uint32_t j = 0; j < partition.replica_count; j++) {
                if (partition.replicas[j] != node_id || (masks[i] >> j & 1) == 0) continue;
                text[size++] = (char)('0' + node_id);
                is_any = true;
            }
        }
        if (!is_any) text[size++] = '-';
    }
    text[size] = '\0';
    return text;
}

/* ---- rule R9, as stories: what happens, and what the partition looks like after each ---- */

enum act { FENCE, UNFENCE, DRAIN, CLEAN, UNCLEAN, SET_BACK, LOST };

static const struct {
    const char *name;
    int32_t replicas;
    const char *min_insync, *flush;
    struct {
        enum act act;
        int32_t node_id;
        const char *want;
    } acts[6];
} stories[] = {
    {"the leader goes, another of the ISR follows", 3, "2", "group", {{FENCE, 1, "2 23 - -"}, {UNFENCE, 1, "2 23 - -"}}},
    {"a follower goes", 3, "2", "group", {{FENCE, 3, "1 12 - -"}}},
    {"below the minimum who goes stays eligible", 3, "2", "group", {{FENCE, 1, "2 23 - -"}, {FENCE, 2, "3 3 2 -"}, {FENCE, 3, "none - 23 -"}}},
    {"the first of the eligible that returns leads", 3, "2", "group",
     {{FENCE, 1, "2 23 - -"}, {FENCE, 2, "3 3 2 -"}, {FENCE, 3, "none - 23 -"}, {UNFENCE, 2, "2 2 3 -"}, {UNFENCE, 1, "2 2 3 -"}}},
    {"who was not complete does not lead", 3, "2", "group",
     {{FENCE, 1, "2 23 - -"}, {FENCE, 2, "3 3 2 -"}, {FENCE, 3, "none - 23 -"}, {UNFENCE, 1, "none - 23 -"}}},
    {"with a minimum of one the last one alone is eligible", 3, "1", "group",
     {{FENCE, 1, "2 23 - -"}, {FENCE, 2, "3 3 - -"}, {FENCE, 3, "none - 3 -"}, {UNFENCE, 2, "none - 3 -"}, {UNFENCE, 3, "3 3 - -"}}},
    {"one replica", 1, "1", "group", {{FENCE, 1, "none - 1 -"}, {UNFENCE, 1, "1 1 - -"}}},
    {"one replica restarts", 1, "1", "group", {{CLEAN, 1, "none - 1 -"}, {UNFENCE, 1, "1 1 - -"}}},
    {"one replica restarts uncleanly: its log was verified", 1, "1", "group", {{UNCLEAN, 1, "none - 1 -"}, {UNFENCE, 1, "1 1 - -"}}},
    {"one asynchronous replica restarts uncleanly: it is the last one known", 1, "1", "async",
     {{UNCLEAN, 1, "none - - 1"}, {UNFENCE, 1, "1 1 - -"}}},
    {"one replica lost its disk: nobody pretends", 1, "1", "group", {{LOST, 1, "none - - -"}, {UNFENCE, 1, "none - - -"}}},
    {"an eligible asynchronous one restarts uncleanly", 3, "2", "async",
     {{FENCE, 1, "2 23 - -"}, {FENCE, 2, "3 3 2 -"}, {UNCLEAN, 2, "3 3 - 2"}, {FENCE, 3, "none - 3 2"}, {UNFENCE, 2, "none - 3 2"}}},
    {"two unclean ones: nobody guesses", 2, "2", "async",
     {{FENCE, 1, "2 2 1 -"}, {FENCE, 2, "none - 12 -"}, {UNCLEAN, 1, "none - 2 1"}, {UNCLEAN, 2, "none - - 12"}, {UNFENCE, 1, "none - - 12"}}},
    {"one replica was set back: it is the last one known", 1, "1", "group", {{SET_BACK, 1, "none - - 1"}, {UNFENCE, 1, "1 1 - -"}}},
    {"an eligible one was set back: whoever was complete after it is waited for", 3, "2", "group",
     {{FENCE, 1, "2 23 - -"}, {FENCE, 2, "3 3 2 -"}, {SET_BACK, 2, "3 3 - 2"}, {FENCE, 3, "none - 3 2"}, {UNFENCE, 2, "none - 3 2"}, {UNFENCE, 3, "3 3 - 2"}}},
    {"two that were set back: nobody guesses", 2, "2", "group",
     {{FENCE, 1, "2 2 1 -"}, {FENCE, 2, "none - 12 -"}, {SET_BACK, 1, "none - 2 1"}, {SET_BACK, 2, "none - - 12"}, {UNFENCE, 1, "none - - 12"}}},
    {"a quick restart is a loss of the session", 3, "2", "group", {{CLEAN, 1, "2 23 - -"}, {UNFENCE, 1, "2 23 - -"}}},
    {"draining gives up what others can take", 3, "2", "group", {{DRAIN, 1, "2 23 - -"}, {FENCE, 1, "2 23 - -"}}},
    {"draining keeps what nobody else can take", 1, "1", "group", {{DRAIN, 1, "1 1 - -"}, {FENCE, 1, "none - 1 -"}}},
    {"a draining one is not elected", 2, "1", "group", {{DRAIN, 2, "1 1 - -"}, {FENCE, 1, "none - 1 -"}}},
};

static void act(enum act what, int32_t node_id)
{
    if (what == FENCE) fence(node_id);
    if (what == UNFENCE) unfence(node_id);
    if (what == DRAIN) drain(node_id);
    if (what == CLEAN) restart(node_id, false, false, false);
    if (what == UNCLEAN) restart(node_id, true, false, false);
    if (what == SET_BACK) restart(node_id, false, true, false);
    if (what == LOST) restart(node_id, false, false, true);
}

START_TEST(partitions_follow_rule_r9)
{
    int32_t epoch = 0, leader = 1;

    create("t", stories[_i].replicas, stories[_i].min_insync, stories[_i].flush);
    for (size_t i = 0; i < 6 && stories[_i].acts[i].want != NULL; i++) {
        struct image_partition now;
        act(stories[_i].acts[i].act, stories[_i].acts[i].node_id);
        ck_assert_msg(strcmp(text_of("t"), stories[_i].acts[i].want) == 0, "%s: act %zu: %s instead of %s", stories[_i].name, i,
                      text_of("t"), stories[_i].acts[i].want);
        now = state_of("t");
        ck_assert_int_eq(now.leader_epoch > epoch, now.leader != leader);
        epoch = now.leader_epoch;
        leader = now.leader;
    }
}
END_TEST

START_TEST(why_a_broker_drains_is_remembered)
{
    struct uuid id = id_of(2);

    for (int step = 0; step < 3; step++) { /* it is stopped, its disk fails, it is stopped */
        ck_assert_int_eq(decide_broker_drain(history->image, &id, step == 1, NULL, &decision), 0);
        history_commit(history, &decision);
        ck_assert(image_find_broker(history->image, 2)->has_bad_disk == (step > 0));
    }
    restart(2, false, false, false);
    ck_assert(!image_find_broker(history->image, 2)->has_bad_disk);
}
END_TEST

START_TEST(a_session_that_ends_is_one_entry_for_all_partitions)
{
    size_t entries;

    for (int i = 0; i < 30; i++) {
        char name[8];
        snprintf(name, sizeof(name), "t%d", i);
        history_create_topic(history, name, 10, 3);
    }
    entries = history->entry_count;
    ck_assert_uint_gt(image_leader_count(history->image, 1), 50);
    fence(1);
    ck_assert_uint_eq(history->entry_count, entries + 1);
    ck_assert_uint_eq(image_leader_count(history->image, 1), 0);
    ck_assert_uint_eq(image_leader_count(history->image, 2) + image_leader_count(history->image, 3), 300);
    /* what it led is spread, not heaped on one */
    ck_assert_uint_ge(image_leader_count(history->image, 2), 140);
    ck_assert_uint_ge(image_leader_count(history->image, 3), 140);
    fence(1); /* again: nothing */
    ck_assert_uint_eq(history->entry_count, entries + 1);
}
END_TEST

/* ---- scores ---- */

static uint8_t rank_by_node(void *user, const struct uuid *topic_id, uint32_t partition, int32_t node_id)
{
    const uint8_t *ranks = user;

    (void)topic_id;
    (void)partition;
    return ranks[node_id];
}

static const struct {
    struct decide_broker_facts facts[2]; /* of brokers 2 and 3 */
    const char *zone;
    uint8_t ranks[4];
    int32_t want;
} score_cases[] = {
    {{{2, 0, 0, 0, false, false}, {3, 0, 0, 0, false, false}}, NULL, {9, 9, 9, 9}, 2},                     /* all alike: the lower uuid, which is 2's here */
    {{{2, 1, 0, 0, false, false}, {3, 0, 0, 0, false, false}}, NULL, {9, 9, 9, 9}, 3},                     /* health */
    {{{2, 0, 900, 0, false, false}, {3, 0, 100, 0, false, false}}, NULL, {9, 9, 9, 9}, 3},                 /* load */
    {{{2, 1, 0, 0, false, false}, {3, 0, UINT64_MAX, 0, false, false}}, NULL, {9, 9, 9, 9}, 3},            /* health goes before any load */
    {{{2, 0, 0, 0, false, false}, {3, 8, 900, 0, false, false}}, "c", {9, 9, 9, 9}, 3},                    /* the zone before both */
    {{{2, 0, 0, 0, false, false}, {3, 0, 0, 0, false, false}}, "nowhere", {9, 9, 9, 9}, 2},
    {{{2, 8, 900, 0, false, false}, {3, 0, 0, 0, false, false}}, "c", {9, 9, 9, 8}, 2},                    /* a longer log before all */
    {{{9, 0, 0, 0, false, false}, {3, 0, 0, 0, false, false}}, NULL, {9, 9, 9, 9}, 2},                     /* facts about strangers */
};

START_TEST(the_best_of_the_eligible_is_elected_and_the_scores_are_kept)
{
    struct decide_facts facts = {score_cases[_i].facts, 2, score_cases[_i].zone, rank_by_node, (void *)(uintptr_t)score_cases[_i].ranks};
    struct uuid id = id_of(1);
    const struct image_election *election;
    char text[256];

    create("t", 3, "1", "group");
    ck_assert_ptr_null(election_of("t"));
    ck_assert_int_eq(decide_broker_fence(history->image, &id, &facts, &decision), 0);
    history_commit(history, &decision);
    ck_assert_int_eq(state_of("t").leader, score_cases[_i].want);
    election = election_of("t");
    ck_assert_int_eq(election->reason, IMAGE_ELECTION_FENCED);
    ck_assert_int_eq(election->leader, score_cases[_i].want);
    ck_assert_uint_eq(election->candidate_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        if (election->candidates[i].node_id == 1) {
            ck_assert_int_eq(election->candidates[i].score, 0);
            ck_assert(election->candidates[i].flags & IMAGE_CANDIDATE_FENCED);
            election_explain_candidate(history->image, election, i, text, sizeof(text));
            ck_assert_str_eq(text, "broker 1 (broker): could not lead, it has no session with the coordinator (fenced)");
            election_explain_standing(election, i, text, sizeof(text));
            ck_assert_str_eq(text, "could not lead: it has no session with the coordinator (fenced)");
        } else {
            ck_assert_int_gt(election->candidates[i].score, 1000000);
            election_explain_candidate(history->image, election, i, text, sizeof(text));
            ck_assert_ptr_nonnull(strstr(text, election->candidates[i].node_id == election->leader ? "points, elected: in sync" : "points: in sync"));
            election_explain_standing(election, i, text, sizeof(text));
            ck_assert_ptr_eq(strstr(text, election->candidates[i].node_id == election->leader ? "elected: in sync" : "could have led: in sync"), text);
        }
    }
    election_explain(history->image, election, text, sizeof(text));
    ck_assert_ptr_nonnull(strstr(text, "leads since epoch 1: the leader before lost its session"));
}
END_TEST

START_TEST(an_election_can_be_asked_for)
{
    const struct image_topic *topic;
    struct uuid topic_id;
    struct decide_broker_facts ill = {.node_id = 1, .health = 8};
    struct decide_facts facts = {.brokers = &ill, .broker_count = 1};

    create("t", 3, "2", "group");
    topic = image_find_topic_by_name(history->image, "t");
    topic_id = topic->topic_id;
    ck_assert_int_eq(decide_elect_leader(history->image, &topic_id, 0, NULL, &decision), 0);
    ck_assert_uint_eq(decision.change_count, 0); /* the best leads already */
    ck_assert_int_eq(decide_elect_leader(history->image, &topic_id, 0, &facts, &decision), 0);
    history_commit(history, &decision);
    ck_assert_int_ne(state_of("t").leader, 1);
    ck_assert_int_eq(election_of("t")->reason, IMAGE_ELECTION_ASKED);
    ck_assert_int_eq(decide_elect_leader(history->image, &topic_id, 7, NULL, &decision), MESH_EUNKNOWN_TOPIC);
    fence(1);
    fence(2);
    fence(3);
    ck_assert_int_eq(decide_elect_leader(history->image, &topic_id, 0, NULL, &decision), MESH_ENOT_ENOUGH_REPLICAS);
    decide_topic_delete(history->image, "t", &decision);
    history_commit(history, &decision);
    ck_assert_uint_eq(image_election_count(history->image), 0); /* nothing stays behind */
}
END_TEST

/* Scenario 8 (KIP-966 6.5.4): out and in again within one entry must not look as if it had stayed. */
START_TEST(a_replica_removed_and_added_in_one_entry_has_another_generation)
{
    struct body_partition next = {.partition = 0, .leader = 1, .partition_epoch = 1, .replica_count = 2, .replicas = {1, 2}, .isr = 3};
    struct buffer command = BUFFER_INIT, body = BUFFER_INIT;
    struct metadata_change change = {.kind = METADATA_PARTITIONS_CHANGED};
    struct image_partition before, after;
    struct uuid topic_id;

    create("t", 3, "1", "group");
    topic_id = image_find_topic_by_name(history->image, "t")->topic_id;
    before = state_of("t");
    change.key = slice_of(topic_id.bytes, UUID_SIZE);
    ck_assert_int_eq(metadata_command_start(&command), 0);
    for (int i = 0; i < 2; i++) {
        buffer_clear(&body);
        ck_assert_int_eq(body_encode_partitions(&body, &next, 1), 0);
        change.body = buffer_slice(&body);
        ck_assert_int_eq(metadata_command_add(&command, &change), 0);
        next.partition_epoch = 2;
        next.replica_count = 3;
        next.replicas[2] = 3;
    }
    uint64_t generations[3] = {image_partition_generation(&before, 0), image_partition_generation(&before, 1), image_partition_generation(&before, 2)};
    ck_assert_int_eq(history_append(history, RAFT_ENTRY_COMMAND, buffer_slice(&command)), 0);
    after = state_of("t");
    ck_assert_uint_eq(after.replica_count, 3);
    ck_assert_uint_eq(image_partition_generation(&after, 0), generations[0]);
    ck_assert_uint_eq(image_partition_generation(&after, 1), generations[1]);
    ck_assert_int_eq(after.replicas[2], 3);
    ck_assert_uint_gt(image_partition_generation(&after, 2), generations[2]);
    buffer_deinit(&command);
    buffer_deinit(&body);
}
END_TEST

START_TEST(a_lost_disk_gives_its_replicas_another_generation)
{
    struct image_partition partition;
    uint64_t before;

    create("t", 3, "1", "group");
    partition = state_of("t");
    before = image_partition_generation(&partition, 2);
    restart(3, true, false, true);
    partition = state_of("t");
    ck_assert_uint_gt(image_partition_generation(&partition, 2), before);
    ck_assert_uint_eq(image_partition_generation(&partition, 0), before);
    ck_assert_str_eq(text_of("t"), "1 12 - -");
}
END_TEST

/* ---- registration and removal ---- */

START_TEST(a_new_life_has_a_new_epoch_and_the_same_one_twice_changes_nothing)
{
    const struct image_broker *broker = image_find_broker(history->image, 2);
    struct decide_broker_register request = {.broker_id = broker->broker_id, .dir_id = broker->dir_id, .boot = 2, .name = "n", .host = "h",
                                             .zone = "z", .port = 5, .shard_count = 3, .starts_fenced = true};
    size_t entries;

    ck_assert_uint_lt(broker->epoch, image_applied_index(history->image));
    ck_assert_int_eq(decide_broker_register(history->image, &request, &decision), 0);
    history_commit(history, &decision);
    broker = image_find_broker(history->image, 2);
    ck_assert_uint_eq(broker->epoch, image_applied_index(history->image));
    ck_assert(broker->is_fenced);
    entries = history->entry_count;
    ck_assert_int_eq(decide_broker_register(history->image, &request, &decision), 0);
    history_commit(history, &decision);
    ck_assert_uint_eq(history->entry_count, entries);
    unfence(2);
    request.port = 6; /* another address in the same life: its session stays */
    ck_assert_int_eq(decide_broker_register(history->image, &request, &decision), 0);
    history_commit(history, &decision);
    ck_assert(!image_find_broker(history->image, 2)->is_fenced);
    ck_assert_uint_eq(image_find_broker(history->image, 2)->port, 6);
}
END_TEST

/* A disk whose last bytes changed gave its vote up, and the mesh was told what that means; with other ones before it is another disk. */
START_TEST(a_renewed_disk_keeps_its_records_and_another_one_has_none)
{
    const struct image_broker *broker = image_find_broker(history->image, 2);
    struct decide_broker_register request = {.broker_id = broker->broker_id, .dir_id = broker->dir_id, .boot = 2, .name = "n", .host = "h",
                                             .zone = "z", .port = 5, .shard_count = 3, .starts_fenced = true};

    create("t", 2, "2", "group");
    ck_assert_str_eq(text_of("t"), "1 12 - -");
    request.dir_id.bytes[RAFT_DIR_FIXED_BYTES] ^= 1;
    ck_assert_int_eq(decide_broker_register(history->image, &request, &decision), 0);
    history_commit(history, &decision);
    ck_assert_str_eq(text_of("t"), "1 1 2 -");
    request.boot = 3;
    request.was_set_back = true;
    ck_assert_int_eq(decide_broker_register(history->image, &request, &decision), 0);
    history_commit(history, &decision);
    ck_assert_str_eq(text_of("t"), "1 1 - 2");
    request.boot = 4;
    request.was_set_back = false;
    request.dir_id.bytes[0] ^= 1;
    ck_assert_int_eq(decide_broker_register(history->image, &request, &decision), 0);
    history_commit(history, &decision);
    ck_assert_str_eq(text_of("t"), "1 1 - -");
}
END_TEST

START_TEST(a_removed_broker_does_not_come_back_and_its_namesake_is_another)
{
    struct decide_broker_retire request = {.broker_id = id_of(3)};
    struct uuid removed = request.broker_id, fresh;

    create("alone", 1, "1", "group");
    create("all", 3, "2", "group");
    ck_assert_int_eq(decide_broker_retire(history->image, &request, &decision), MESH_EINVAL);
    ck_assert_ptr_nonnull(strstr(decision.message, "is running"));
    fence(3);
    ck_assert_int_eq(decide_broker_retire(history->image, &request, &decision), 0);
    history_commit(history, &decision);
    ck_assert_ptr_null(image_find_broker(history->image, 3));
    ck_assert_ptr_nonnull(image_find_retired(history->image, &removed));
    ck_assert_str_eq(text_of("all"), "2 12 - -");
    ck_assert_uint_eq(state_of("all").replica_count, 3); /* still named, until its partitions move */
    struct decide_broker_register again = {.broker_id = removed, .dir_id = removed, .boot = 9, .name = "broker", .host = "h", .zone = "",
                                           .port = 1, .shard_count = 1};
    ck_assert_int_eq(decide_broker_register(history->image, &again, &decision), MESH_EUNAUTHORIZED);
    ck_assert_ptr_nonnull(strstr(decision.message, "was removed from the mesh"));
    ck_assert_int_eq(decide_broker_fence(history->image, &removed, NULL, &decision), MESH_ENOTFOUND);
    fresh = history_uuid(history);
    history_register_broker(history, &fresh, 1, "c");
    ck_assert_int_eq(image_find_broker_by_uuid(history->image, &fresh)->node_id, 4);
}
END_TEST

START_TEST(the_only_complete_copy_is_not_given_up_in_silence)
{
    struct decide_broker_retire request = {.broker_id = id_of(1)};

    create("alone", 1, "1", "group"); /* on 1 */
    fence(1);
    ck_assert_int_eq(decide_broker_retire(history->image, &request, &decision), MESH_EINVAL);
    ck_assert_msg(strstr(decision.message, "1 partition has no complete copy but on this broker, first alone/0") != NULL, "%s", decision.message);
    ck_assert_uint_eq(decision.change_count, 0);
    request.accepts_loss = true;
    ck_assert_int_eq(decide_broker_retire(history->image, &request, &decision), 0);
    history_commit(history, &decision);
    ck_assert_str_eq(text_of("alone"), "none - - -");
}
END_TEST

START_TEST(new_partitions_go_to_brokers_that_are_up_and_host_data)
{
    struct decide_broker_register witness = {.broker_id = history_uuid(history), .boot = 1, .name = "w", .host = "h", .zone = "", .port = 1,
                                             .shard_count = 1, .is_witness = true};
    struct decide_topic_create request = {.name = "t", .partition_count = 30, .replication_factor = 3, .topic_id = history_uuid(history)};

    ck_assert_int_eq(decide_broker_register(history->image, &witness, &decision), 0);
    history_commit(history, &decision);
    fence(2);
    ck_assert_int_eq(decide_topic_create(history->image, &request, &decision), 0);
    ck_assert_msg(strstr(decision.message, "3 replicas are wanted and 2 brokers are up") != NULL, "%s", decision.message);
    history_commit(history, &decision);
    ck_assert_uint_eq(image_replica_count(history->image, 2), 0);
    ck_assert_uint_eq(image_replica_count(history->image, 4), 0);
    ck_assert_uint_eq(image_leader_count(history->image, 1), 15);
    request = (struct decide_topic_create){.name = "u", .replication_factor = -1, .replication_factor_default = 3, .partition_count = 1,
                                           .topic_id = history_uuid(history)};
    ck_assert_int_eq(decide_topic_create(history->image, &request, &decision), 0); /* the default asks for what there is */
    history_commit(history, &decision);
    ck_assert_uint_eq(state_of("u").replica_count, 2);
}
END_TEST

START_TEST(topics_of_one_partition_spread_by_what_brokers_hold)
{
    struct decide_broker_facts known[] = {{1, 0, 0, 800, false, false}, {2, 0, 0, 100, false, false}, {3, 0, 0, 100, false, false}};
    struct decide_facts facts = {.brokers = known, .broker_count = 3};
    char name[16];

    for (int i = 0; i < 60; i++) {
        struct decide_topic_create request = {.name = name, .partition_count = 1, .replication_factor = 1, .facts = i < 30 ? NULL : &facts};
        snprintf(name, sizeof(name), "t%d", i);
        request.topic_id = history_uuid(history);
        ck_assert_int_eq(decide_topic_create(history->image, &request, &decision), 0);
        history_commit(history, &decision);
        if (i != 29) continue;
        for (int32_t node_id = 1; node_id <= 3; node_id++)
            ck_assert_uint_eq(image_leader_count(history->image, node_id), 10);
    }
    ck_assert_uint_eq(image_leader_count(history->image, 1), 10); /* it holds eight times as much: nothing more */
    ck_assert_uint_eq(image_leader_count(history->image, 2), 25);
    ck_assert_uint_eq(image_leader_count(history->image, 3), 25);
}
END_TEST

/* ---- balance ---- */

/* Everybody is in sync again. */
static void all_in_sync(const char *name)
{
    const struct image_topic *topic = image_find_topic_by_name(history->image, name);
    struct uuid topic_id = topic->topic_id;
    struct buffer body = BUFFER_INIT;
    struct image_partition now;

    ck_assert_int_eq(body_encode_partitions_start(&body), 0);
    for (uint32_t i = 0; image_topic_partition(topic, i, &now); i++) {
        struct body_partition next = {.partition = i, .leader = now.leader, .leader_epoch = now.leader_epoch,
                                      .partition_epoch = now.partition_epoch + 1, .isr = (1u << now.replica_count) - 1};
        ck_assert_int_eq(body_encode_partition(&body, &next), 0);
    }
    ck_assert_int_eq(history_commit_raw(history, METADATA_PARTITIONS_CHANGED, slice_of(topic_id.bytes, UUID_SIZE), buffer_slice(&body)), 0);
    buffer_deinit(&body);
}

START_TEST(leadership_goes_back_slowly_and_not_while_sessions_change)
{
    struct balance balance = BALANCE_INIT;
    uint64_t now_us = 1000 * S, placed, led;
    int moves = 0;

    history_create_topic(history, "t", 300, 3);
    placed = image_leader_count(history->image, 1);
    ck_assert_uint_eq(placed, 100);
    fence(1);
    unfence(1);
    all_in_sync("t");
    ck_assert_int_eq(decide_balance(history->image, &balance, NULL, now_us, &decision), 0);
    ck_assert_uint_eq(decision.change_count, 0); /* not at once */
    now_us += 299 * S;
    ck_assert_int_eq(decide_balance(history->image, &balance, NULL, now_us, &decision), 0);
    ck_assert_uint_eq(decision.change_count, 0);
    balance_reset(&balance); /* somebody was fenced: the five minutes begin anew */
    now_us += 10 * S;
    ck_assert_int_eq(decide_balance(history->image, &balance, NULL, now_us, &decision), 0);
    now_us += 299 * S;
    ck_assert_int_eq(decide_balance(history->image, &balance, NULL, now_us, &decision), 0);
    ck_assert_uint_eq(decision.change_count, 0);
    for (now_us += S; image_leader_count(history->image, 1) < 95; now_us += 10 * S) {
        led = image_leader_count(history->image, 1);
        ck_assert_int_eq(decide_balance(history->image, &balance, NULL, now_us, &decision), 0);
        history_commit(history, &decision);
        moves += image_leader_count(history->image, 1) != led;
        ck_assert_uint_le(image_leader_count(history->image, 1) - led, 15); /* 5 % of 300 */
        ck_assert_uint_lt(now_us, 4000 * S);
    }
    ck_assert_int_eq(moves, 7); /* 15 in a minute */
    led = image_leader_count(history->image, 1);
    ck_assert_int_eq(decide_balance(history->image, &balance, NULL, now_us + 3600 * S, &decision), 0);
    ck_assert_uint_eq(decision.change_count, 0); /* the last 5 % stay where they are */
    ck_assert_uint_eq(led, 95);
}
END_TEST

START_TEST(an_ill_or_overloaded_broker_gets_nothing_back)
{
    struct decide_broker_facts known[] = {{1, _i == 0 ? 5 : 0, _i == 1 ? 1000 : 0, 0, false, false}, {2, 0, 1, 0, false, false}, {3, 0, 1, 0, false, false}};
    struct decide_facts facts = {.brokers = known, .broker_count = 3};
    struct balance balance = BALANCE_INIT;

    history_create_topic(history, "t", 300, 3);
    fence(1);
    unfence(1);
    all_in_sync("t");
    for (uint64_t now_us = S; now_us < 1000 * S; now_us += 100 * S) {
        ck_assert_int_eq(decide_balance(history->image, &balance, &facts, now_us, &decision), 0);
        ck_assert_uint_eq(decision.change_count, 0);
    }
}
END_TEST

/* ---- tombstones, users, ACLs, requests ---- */

START_TEST(tombstones_go_when_everybody_has_seen_the_deletion)
{
    struct uuid topic_id;
    uint64_t deleted;

    create("t", 1, "1", "group");
    topic_id = image_find_topic_by_name(history->image, "t")->topic_id;
    ck_assert_int_eq(decide_topic_delete(history->image, "t", &decision), 0);
    history_commit(history, &decision);
    deleted = image_applied_index(history->image);
    ck_assert_int_eq(decide_tombstones_drop(history->image, deleted - 1, &decision), 0);
    ck_assert_uint_eq(decision.change_count, 0);
    ck_assert(image_topic_was_deleted(history->image, &topic_id));
    ck_assert_int_eq(decide_tombstones_drop(history->image, deleted, &decision), 0);
    history_commit(history, &decision);
    ck_assert(image_topic_was_deleted(history->image, &topic_id)); /* who applied both at once has its files still */
    ck_assert_int_eq(decide_tombstones_drop(history->image, image_applied_index(history->image), &decision), 0);
    ck_assert_uint_eq(decision.change_count, 0);
}
END_TEST

static const struct {
    const char *name;
    uint32_t iterations, salt_size, count;
    enum image_scram mechanism;
    int want;
} user_cases[] = {
    {"alice", 4096, 16, 1, IMAGE_SCRAM_SHA_256, 0},       {"alice", 1000000, 64, 1, IMAGE_SCRAM_SHA_512, 0},
    {"", 4096, 16, 1, IMAGE_SCRAM_SHA_256, MESH_EINVAL},  {"alice", 4095, 16, 1, IMAGE_SCRAM_SHA_256, MESH_EINVAL},
    {"alice", 4096, 7, 1, IMAGE_SCRAM_SHA_256, MESH_EINVAL}, {"alice", 4096, 16, 0, IMAGE_SCRAM_SHA_256, MESH_EINVAL},
    {"alice", 4096, 16, 1, (enum image_scram)3, MESH_EINVAL}, {"alice", 4096, 65, 1, IMAGE_SCRAM_SHA_256, MESH_EINVAL},
    {"alice", 1000001, 16, 1, IMAGE_SCRAM_SHA_256, MESH_EINVAL}, {"alice", 4096, 16, 3, IMAGE_SCRAM_SHA_256, MESH_EINVAL},
};

START_TEST(users_are_checked_replaced_and_deleted)
{
    struct image_user user;
    struct image_verifier *verifier = &user.verifiers[0];

    memset(&user, 0, sizeof(user)); /* padding, too: bytes are compared below */
    user.verifier_count = user_cases[_i].count;
    snprintf(user.name, sizeof(user.name), "%s", user_cases[_i].name);
    verifier->mechanism = user_cases[_i].mechanism;
    verifier->iterations = user_cases[_i].iterations;
    verifier->salt_size = (uint8_t)user_cases[_i].salt_size;
    memcpy(verifier->salt, "salt", 4);
    memcpy(verifier->stored_key, "stored", 6);
    memcpy(verifier->server_key, "server", 6);
    ck_assert_int_eq(decide_user_set(history->image, &user, &decision), user_cases[_i].want);
    if (user_cases[_i].want != 0) {
        ck_assert_str_ne(decision.message, "");
        return;
    }
    history_commit(history, &decision);
    ck_assert_mem_eq(image_find_user(history->image, "alice"), &user, sizeof(user));
    user.verifiers[0].server_key[0] ^= 1;
    ck_assert_int_eq(decide_user_set(history->image, &user, &decision), 0);
    history_commit(history, &decision);
    ck_assert_uint_eq(image_user_count(history->image), 1);
    ck_assert_mem_eq(image_find_user(history->image, "alice"), &user, sizeof(user));
    ck_assert_int_eq(decide_user_delete(history->image, "bob", &decision), MESH_ENOTFOUND);
    ck_assert_int_eq(decide_user_delete(history->image, "alice", &decision), 0);
    history_commit(history, &decision);
    ck_assert_uint_eq(image_user_count(history->image), 0);
}
END_TEST

START_TEST(acls_are_checked_added_once_and_removed)
{
    struct image_acl acl = {.principal = "User:alice", .resource = "orders", .host = "*", .resource_type = IMAGE_RESOURCE_TOPIC,
                            .pattern = IMAGE_PATTERN_PREFIXED, .operation = IMAGE_OPERATION_READ};
    struct image_acl bad;

    for (int i = 0; i < 6; i++) {
        bad = acl;
        if (i == 0) memcpy(bad.principal, "alice", 6);
        if (i == 1) bad.resource[0] = '\0';
        if (i == 2) bad.resource_type = (enum image_resource)9;
        if (i == 3) bad.pattern = (enum image_pattern)1;
        if (i == 4) bad.operation = (enum image_operation)1;
        if (i == 5) memset(bad.host, 'x', sizeof(bad.host));
        ck_assert_int_eq(decide_acl_add(history->image, &bad, &decision), MESH_EINVAL);
    }
    ck_assert_int_eq(decide_acl_remove(history->image, &acl, &decision), MESH_ENOTFOUND);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(decide_acl_add(history->image, &acl, &decision), 0);
        ck_assert_uint_eq(decision.change_count, i == 0 ? 1 : 0);
        history_commit(history, &decision);
    }
    bad = acl;
    bad.is_deny = true;
    ck_assert(image_has_acl(history->image, &acl) && !image_has_acl(history->image, &bad));
    ck_assert_int_eq(decide_acl_add(history->image, &bad, &decision), 0);
    history_commit(history, &decision);
    ck_assert_int_eq(decide_acl_remove(history->image, &acl, &decision), 0);
    history_commit(history, &decision);
    ck_assert_uint_eq(image_acl_count(history->image), 1);
    ck_assert(image_has_acl(history->image, &bad));
}
END_TEST

START_TEST(an_answered_request_is_remembered_with_its_outcome)
{
    struct uuid origin = id_of(1), other = id_of(2);
    const struct image_request *request;

    for (uint64_t i = 1; i <= IMAGE_REQUESTS_MAX + 2; i++) {
        ck_assert_int_eq(decide_producer_ids(history->image, 1, 10, &decision), 0);
        ck_assert_int_eq(decision_add_request(&decision, &origin, 1, i, 0, slice_of(&i, sizeof(i))), 0);
        history_commit(history, &decision);
    }
    ck_assert_ptr_null(image_find_request(history->image, &origin, 1, 2)); /* long ago */
    request = image_find_request(history->image, &origin, 1, 3);
    ck_assert_ptr_nonnull(request);
    ck_assert_uint_eq(request->result_size, sizeof(uint64_t));
    ck_assert_uint_eq(request->result[0], 3);
    ck_assert_uint_lt(request->index, image_applied_index(history->image));
    ck_assert_ptr_null(image_find_request(history->image, &origin, 2, 3)); /* another life's */
    ck_assert_ptr_null(image_find_request(history->image, &other, 1, 3));
    /* the same one cannot be done twice, whoever tries */
    struct buffer body = BUFFER_INIT;
    ck_assert_int_eq(body_encode_request(&body, request), 0);
    ck_assert_int_eq(history_commit_raw(history, METADATA_REQUEST_DONE, slice_of(origin.bytes, UUID_SIZE), buffer_slice(&body)), MESH_ECORRUPT);
    buffer_deinit(&body);
    ck_assert_int_eq(decision_add_request(&decision, &origin, 1, 999, 0, slice_of("0123456789012345678901234567890123456789", 33)), MESH_ETOOLARGE);
}
END_TEST

/* ---- no memory ---- */

START_TEST(a_decision_without_memory_says_so)
{
    struct uuid id = id_of(1);
    struct image *next;
    int err = 0;

    history_create_topic(history, "t", 100, 3);
    history_create_topic(history, "u", 3, 1);
    failing_alloc_each(n)
    {
        decision_deinit(&decision);
        decision_init(&decision);
        failing_alloc_arm(n);
        err = decide_broker_fence(history->image, &id, NULL, &decision);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
    ck_assert_int_eq(err, 0);
    struct raft_entry entry = {.index = image_applied_index(history->image) + 1, .term = 1, .type = RAFT_ENTRY_COMMAND, .body = decision_command(&decision)};
    metadata_chain(image_chain(history->image), &entry, entry.chain);
    failing_alloc_each(n)
    {
        failing_alloc_arm(n);
        err = image_apply(history->image, &entry, 1, &next);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
    ck_assert_int_eq(err, 0);
    ck_assert_uint_eq(image_leader_count(next, 1), 0);
    image_unref(next);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
    Suite *suite = suite_create("sessions");
    TCase *tcase = tcase_create("sessions");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, partitions_follow_rule_r9, 0, ROWS(stories));
    tcase_add_test(tcase, why_a_broker_drains_is_remembered);
    tcase_add_test(tcase, a_session_that_ends_is_one_entry_for_all_partitions);
    tcase_add_loop_test(tcase, the_best_of_the_eligible_is_elected_and_the_scores_are_kept, 0, ROWS(score_cases));
    tcase_add_test(tcase, an_election_can_be_asked_for);
    tcase_add_test(tcase, a_replica_removed_and_added_in_one_entry_has_another_generation);
    tcase_add_test(tcase, a_lost_disk_gives_its_replicas_another_generation);
    tcase_add_test(tcase, a_new_life_has_a_new_epoch_and_the_same_one_twice_changes_nothing);
    tcase_add_test(tcase, a_renewed_disk_keeps_its_records_and_another_one_has_none);
    tcase_add_test(tcase, a_removed_broker_does_not_come_back_and_its_namesake_is_another);
    tcase_add_test(tcase, the_only_complete_copy_is_not_given_up_in_silence);
    tcase_add_test(tcase, new_partitions_go_to_brokers_that_are_up_and_host_data);
    tcase_add_test(tcase, topics_of_one_partition_spread_by_what_brokers_hold);
    tcase_add_test(tcase, leadership_goes_back_slowly_and_not_while_sessions_change);
    tcase_add_loop_test(tcase, an_ill_or_overloaded_broker_gets_nothing_back, 0, 2);
    tcase_add_test(tcase, tombstones_go_when_everybody_has_seen_the_deletion);
    tcase_add_loop_test(tcase, users_are_checked_replaced_and_deleted, 0, ROWS(user_cases));
    tcase_add_test(tcase, acls_are_checked_added_once_and_removed);
    tcase_add_test(tcase, an_answered_request_is_remembered_with_its_outcome);
    tcase_add_test(tcase, a_decision_without_memory_says_so);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
