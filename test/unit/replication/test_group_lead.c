/* Stories of groups as their leader sees them, with two replicas that follow: joining, releasing before claiming, commits and who may make
 * them, sessions, failovers, checkpoints. (Resets: test_group_resets.c.) */
#include "group_rig.h"

#include "support/run_suite.h"

#include <stdio.h>

static struct group_rig rig;

static void setup(void)
{
    rig_init(&rig);
    rig_topic(&rig, "orders", 4);
    rig_topic(&rig, "refunds", 2);
}

static void teardown(void)
{
    ck_assert_msg(rig_replicas_agree(&rig), "%s", rig.violation == NULL ? "the replicas differ" : rig.violation);
    rig_deinit(&rig);
}

#define claim_is(topic, partition, want) ck_assert_str_eq(rig_claim_text(&rig, "g", topic, partition), want)

static uint32_t held_of(const char *id)
{
    return rig_work(&rig, "g", id);
}

static int leave(const char *id)
{
    struct group_caller caller = rig_caller(&rig, "g", id);
    struct group_reply reply;

    return group_lead_leave(rig.lead, rig.wall_ms, &caller, &reply);
}

/* ---- members ---- */

START_TEST(a_lone_member_gets_all)
{
    struct group_reply reply;

    ck_assert_int_eq(rig_join(&rig, "g", "a", "orders refunds"), 0);
    ck_assert_uint_eq(rig_generation(&rig, "g"), 1);
    ck_assert_int_eq(rig_beat(&rig, "g", "a", &reply), 0);
    ck_assert(reply.has_work);
    ck_assert_uint_eq(reply.barrier, rig.log_end);
    ck_assert_uint_eq(held_of("a"), 6);
    ck_assert_int_eq(rig_beat(&rig, "g", "a", &reply), 0);
    ck_assert(!reply.has_work);
    claim_is("orders", 3, "a/a");
}
END_TEST

START_TEST(only_what_moves_is_released_before_it_is_claimed)
{
    struct group_reply reply;

    ck_assert_int_eq(rig_join(&rig, "g", "a", "orders"), 0);
    ck_assert_uint_eq(held_of("a"), 4);
    ck_assert_int_eq(rig_join(&rig, "g", "b", "orders"), 0);
    claim_is("orders", 0, "a/a");
    claim_is("orders", 1, "a/a");
    claim_is("orders", 2, "b/a");
    claim_is("orders", 3, "b/a");
    /* It is not free yet: b waits, and has nothing to do. */
    ck_assert_int_eq(rig_beat(&rig, "g", "b", &reply), 0);
    ck_assert(!reply.has_work);
    ck_assert_int_eq(rig_claim(&rig, "g", "b", "orders", 2, NULL), MESH_EBUSY);
    ck_assert_int_eq(rig_claim(&rig, "g", "b", "orders", 0, NULL), MESH_ENOT_OWNER);
    /* What stays is consumed all the while; what goes is finished and committed first. */
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 1, "orders", 0, 10), 0);
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 1, "orders", 2, 77), 0);
    ck_assert_int_eq(rig_release(&rig, "g", "a", "orders", 2), 0);
    ck_assert_int_eq(rig_release(&rig, "g", "a", "orders", 2), MESH_ENOT_OWNER);
    ck_assert_int_eq(rig_beat(&rig, "g", "b", &reply), 0);
    ck_assert(reply.has_work);
    uint64_t offset;
    ck_assert_int_eq(rig_claim(&rig, "g", "b", "orders", 2, &offset), 0);
    ck_assert_uint_eq(offset, 77);
    claim_is("orders", 2, "b/b");
    claim_is("orders", 3, "b/a");
    rig_work_all(&rig, "g");
    ck_assert_uint_eq(held_of("a"), 2);
    ck_assert_uint_eq(held_of("b"), 2);
}
END_TEST

START_TEST(who_leaves_frees_what_it_held)
{
    struct group_reply reply;

    rig_join(&rig, "g", "a", "orders");
    rig_join(&rig, "g", "b", "orders");
    rig_work_all(&rig, "g");
    ck_assert_int_eq(leave("a"), 0);
    rig_settle(&rig);
    ck_assert_uint_eq(held_of("b"), 4);
    ck_assert_int_eq(rig_beat(&rig, "g", "a", &reply), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 2, "orders", 0, 5), MESH_EUNKNOWN_MEMBER);
}
END_TEST

START_TEST(who_is_silent_is_expired_and_who_beats_is_not)
{
    struct group_reply reply;

    rig_join(&rig, "g", "a", "orders");
    rig_join(&rig, "g", "b", "orders");
    rig_work_all(&rig, "g");
    for (int i = 0; i < 5; i++) {
        rig_tick(&rig, 3000);
        ck_assert_int_eq(rig_beat(&rig, "g", "b", &reply), 0);
    }
    ck_assert_uint_eq(rig.events[GROUP_EVENT_EXPIRED], 1);
    ck_assert_int_eq(rig_beat(&rig, "g", "a", &reply), MESH_EUNKNOWN_MEMBER);
    rig_settle(&rig);
    ck_assert_uint_eq(held_of("b"), 4);
}
END_TEST

START_TEST(nothing_is_due_before_its_time)
{
    rig_join(&rig, "g", "a", "orders");
    rig_settle(&rig);
    ck_assert_uint_eq(rig.deadline_ms, rig.now_ms + 10000);
}
END_TEST

/* A handler that takes long keeps its partition up to the limit that its member declared; then it is told on, and fenced. */
START_TEST(a_slow_handler_has_the_time_that_it_declared)
{
    struct group_reply reply;

    rig_join(&rig, "g", "a", "orders");
    held_of("a");
    rig_join(&rig, "g", "b", "orders");
    for (int i = 0; i < 19; i++) {
        rig_tick(&rig, 3000);
        rig_beat(&rig, "g", "a", &reply);
        rig_beat(&rig, "g", "b", &reply);
    }
    claim_is("orders", 2, "b/a");
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 1, "orders", 2, 50), 0);
    rig_tick(&rig, 3000);
    ck_assert_uint_eq(rig.events[GROUP_EVENT_SLOW], 1);
    ck_assert_uint_eq(rig.events[GROUP_EVENT_EXPIRED], 0);
    ck_assert_uint_eq(rig.last_event.partitions, 2);
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 2, "orders", 2, 51), MESH_ENOT_OWNER);
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 2, "orders", 0, 9), 0); /* it is a member, and keeps what is its own */
    uint64_t offset;
    ck_assert_int_eq(rig_claim(&rig, "g", "b", "orders", 2, &offset), 0);
    ck_assert_uint_eq(offset, 50);
}
END_TEST

START_TEST(a_static_member_restarts_without_a_rebalance)
{
    struct group_reply reply;
    struct group_caller caller;
    uint32_t generation;

    ck_assert_int_eq(rig_join_as(&rig, "g", &(struct rig_member){.id = "a1", .instance = "i", .names = "orders"}, &reply), 0);
    rig_join(&rig, "g", "b", "orders");
    rig_work_all(&rig, "g");
    generation = rig_generation(&rig, "g");
    ck_assert_int_eq(rig_commit(&rig, "g", "a1", generation, "orders", 0, 3), 0);
    ck_assert_int_eq(rig_join_as(&rig, "g", &(struct rig_member){.id = "a2", .instance = "i", .names = "orders"}, &reply), 0);
    rig_settle(&rig);
    ck_assert_uint_eq(rig_generation(&rig, "g"), generation);
    ck_assert(reply.has_work);
    claim_is("orders", 0, "a2/-");
    /* The life before is fenced, and is told so where it says who it was. */
    caller = rig_caller(&rig, "g", "a1");
    caller.instance = slice_of_string("i");
    ck_assert_int_eq(group_lead_heartbeat(rig.lead, rig.now_ms, &caller, &reply), MESH_EFENCED_INSTANCE);
    ck_assert_int_eq(rig_commit(&rig, "g", "a1", generation, "orders", 0, 4), MESH_EUNKNOWN_MEMBER);
    ck_assert_uint_eq(held_of("a2"), 2);
    ck_assert_uint_eq(rig_offset(&rig, 1, "g", "orders", 0), 3);
}
END_TEST

START_TEST(patterns_follow_topics)
{
    struct group_reply reply;

    rig_topic(&rig, "__mesh_groups", 64);
    ck_assert_int_eq(rig_join_as(&rig, "g", &(struct rig_member){.id = "a", .pattern = ".*s"}, &reply), 0);
    rig_settle(&rig);
    ck_assert_uint_eq(held_of("a"), 6);
    rig_topic(&rig, "users", 3);
    rig_topic(&rig, "other", 3);
    rig_settle(&rig);
    ck_assert_uint_eq(held_of("a"), 9);
    rig_topic(&rig, "orders", 8); /* it grew */
    rig_settle(&rig);
    ck_assert_uint_eq(held_of("a"), 13);
    rig_topic(&rig, "users", 0); /* it is gone */
    rig_settle(&rig);
    ck_assert_uint_eq(held_of("a"), 10);
    rig_work_all(&rig, "g");
    claim_is("users", 0, "-/-");
}
END_TEST

START_TEST(strategies_are_what_most_ask_for)
{
    struct group_reply reply;

    for (int i = 0; i < 3; i++) {
        char id[] = {(char)('a' + i), '\0'};
        rig_join_as(&rig, "g", &(struct rig_member){.id = id, .names = "orders", .strategy = i == 0 ? GROUP_STICKY : GROUP_RANGE}, &reply);
    }
    rig_settle(&rig);
    claim_is("orders", 0, "a/-");
    claim_is("orders", 1, "a/-");
    claim_is("orders", 2, "b/-");
    claim_is("orders", 3, "c/-");
    ck_assert_int_eq(group_view_of(groups_find(rig.replicas[1], slice_of_string("g"))).strategy, GROUP_RANGE);
}
END_TEST

static const struct {
    const char *group, *id, *instance, *names, *pattern;
    uint32_t session_ms, limit_ms;
    int want;
} bad_joins[] = {
    {"", "a", "", "", "", 10000, 1, MESH_EINVALID_GROUP},
    {"g\n", "a", "", "", "", 10000, 1, MESH_EINVALID_GROUP},
    {"g", "", "", "", "", 10000, 1, MESH_EINVAL},
    {"g", "a", "", "", "", 5999, 1, MESH_EINVALID_SESSION_TIMEOUT},
    {"g", "a", "", "", "", 1800001, 1, MESH_EINVALID_SESSION_TIMEOUT},
    {"g", "a", "", "", "", 10000, 0, MESH_EINVAL},
    {"g", "a", "", "", "(", 10000, 1, MESH_EINVALID_PATTERN},
    {"g", "a", "", "", "__mesh.*", 10000, 1, MESH_EINVALID_PATTERN},
    {"g", "a", "", "\6orders", "orders", 10000, 1, MESH_EINVAL},
    {"g", "a", "", "\3a/b", "", 10000, 1, MESH_EINVALID_TOPIC},
    {"g", "a", "", "\7__meshx", "", 10000, 1, MESH_EINVALID_TOPIC},
    {"g", "a", "", "\7orders", "", 10000, 1, MESH_EINVALID_TOPIC},
};

START_TEST(a_bad_join_changes_nothing)
{
    struct group_member_info info = {.id = slice_of_string(bad_joins[_i].id),
                                     .instance = slice_of_string(bad_joins[_i].instance),
                                     .pattern = slice_of_string(bad_joins[_i].pattern),
                                     .names = slice_of_string(bad_joins[_i].names),
                                     .name_count = bad_joins[_i].names[0] != '\0',
                                     .session_timeout_ms = bad_joins[_i].session_ms,
                                     .processing_limit_ms = bad_joins[_i].limit_ms};
    struct group_caller caller = rig_caller(&rig, bad_joins[_i].group, "");
    struct group_reply reply;
    uint64_t end = rig.log_end;

    ck_assert_int_eq(group_lead_join(rig.lead, 1, 1, &caller, &info, &reply), bad_joins[_i].want);
    rig_settle(&rig);
    ck_assert_uint_eq(rig.log_end, end);
}
END_TEST

START_TEST(a_full_group_takes_no_more)
{
    struct group_reply reply;

    group_lead_free(rig.lead);
    rig.limits.members_max = 2;
    rig.limits.groups_max = 1;
    ck_assert_int_eq(group_lead_new(rig.replicas[0], &rig.catalog, &rig.limits, 1, rig.log_end, false, rig.now_ms, &rig.lead), 0);
    ck_assert_int_eq(rig_join(&rig, "g", "a", "orders"), 0);
    ck_assert_int_eq(rig_join(&rig, "g", "b", "orders"), 0);
    ck_assert_int_eq(rig_join(&rig, "g", "c", "orders"), MESH_EFULL);
    ck_assert_int_eq(rig_join(&rig, "g", "b", "refunds"), 0);
    ck_assert_int_eq(rig_join_as(&rig, "h", &(struct rig_member){.id = "a"}, &reply), MESH_EFULL);
}
END_TEST

/* ---- commits ---- */

START_TEST(seeking_back_holds)
{
    uint64_t offset;

    rig_join(&rig, "g", "a", "orders");
    held_of("a");
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 1, "orders", 1, 100), 0);
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 1, "orders", 1, 40), 0);
    ck_assert_uint_eq(rig_offset(&rig, 2, "g", "orders", 1), 40);
    ck_assert_int_eq(rig_claim(&rig, "g", "a", "orders", 1, &offset), 0); /* held already: told again */
    ck_assert_uint_eq(offset, 40);
}
END_TEST

/* A member that lost a partition and got it back: what it sent before is not its word of now. */
START_TEST(a_late_commit_of_an_earlier_claim_is_refused)
{
    uint32_t before;

    rig_join(&rig, "g", "a", "orders");
    held_of("a");
    before = rig_generation(&rig, "g");
    rig_join(&rig, "g", "b", "orders");
    rig_work_all(&rig, "g");
    claim_is("orders", 2, "b/b");
    ck_assert_int_eq(rig_commit(&rig, "g", "b", 2, "orders", 2, 500), 0);
    ck_assert_int_eq(leave("b"), 0);
    rig_settle(&rig);
    held_of("a");
    claim_is("orders", 2, "a/a");
    ck_assert_int_eq(rig_commit(&rig, "g", "a", before, "orders", 2, 3), MESH_ESTALE_GENERATION);
    ck_assert_int_eq(rig_commit(&rig, "g", "a", before, "orders", 0, 3), 0); /* never lost */
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 99, "orders", 0, 3), MESH_ESTALE_GENERATION);
    ck_assert_uint_eq(rig_offset(&rig, 1, "g", "orders", 2), 500);
}
END_TEST

START_TEST(each_bad_cell_has_its_error_and_the_good_are_committed)
{
    static uint8_t text[5000];
    struct uuid orders = rig_topic_id(&rig, "orders"), nowhere = {{9, 9}};
    struct group_commit_cell cells[] = {
        {.topic = orders, .partition = 0, .offset = 7, .record_epoch = 3, .metadata = slice_of_string("note")},
        {.topic = orders, .partition = 4, .offset = 7},
        {.topic = nowhere, .partition = 0, .offset = 7},
        {.topic = orders, .partition = 1, .offset = 1001},
        {.topic = orders, .partition = 1, .offset = UINT64_MAX},
        {.topic = orders, .partition = 1, .offset = 7, .metadata = slice_of(text, 4097)},
        {.topic = orders, .partition = 1, .offset = 7, .record_epoch = -2},
        {.topic = rig_topic_id(&rig, "refunds"), .partition = 0, .offset = 7},
        {.topic = orders, .partition = 2, .offset = 1000, .metadata = slice_of(text, 4096)},
    };
    const int want[] = {0,          MESH_EUNKNOWN_TOPIC, MESH_EUNKNOWN_TOPIC, MESH_EOFFSET_OUT_OF_RANGE, MESH_EOFFSET_OUT_OF_RANGE, MESH_EMETADATA_TOO_LARGE,
                        MESH_EINVAL, MESH_ENOT_OWNER,     0};
    struct group_commit commit = {.generation = 1, .cells = cells, .cell_count = 9};
    struct group_offset offset;
    struct group_reply reply;

    rig_join(&rig, "g", "a", "orders");
    held_of("a");
    commit.caller = rig_caller(&rig, "g", "a");
    held_of("a");
    rig.ends = 1000;
    ck_assert_int_eq(group_lead_commit(rig.lead, rig.now_ms, rig.wall_ms, &commit, &reply), 0);
    for (int i = 0; i < 9; i++)
        ck_assert_msg(cells[i].error == want[i], "cell %d: %s", i, mesh_error_name(cells[i].error));
    rig_replicate(&rig);
    ck_assert(group_committed(rig.replicas[2], groups_find(rig.replicas[2], slice_of_string("g")), &orders, 0, &offset));
    ck_assert(slice_equal(offset.metadata, slice_of_string("note")));
    ck_assert_int_eq(offset.record_epoch, 3);
    ck_assert_uint_eq(offset.version_epoch, 1);
    ck_assert_uint_eq(offset.version_lsn, rig.log_end - 1);
    ck_assert_uint_eq(offset.committed_s, rig.wall_ms / 1000);
    ck_assert_uint_eq(rig_offset(&rig, 2, "g", "orders", 1), UINT64_MAX);
}
END_TEST

START_TEST(consumers_outside_of_groups_commit_where_there_are_no_members)
{
    ck_assert_int_eq(rig_commit(&rig, "g", "", GROUP_GENERATION_NONE, "nothing", 0, 5), MESH_EUNKNOWN_TOPIC);
    ck_assert_uint_eq(groups_count(rig.replicas[0]), 0); /* all refused: no group was made */
    ck_assert_int_eq(rig_commit(&rig, "g\t", "", GROUP_GENERATION_NONE, "orders", 0, 5), MESH_EINVALID_GROUP);
    ck_assert_int_eq(rig_commit(&rig, "g", "", 1, "orders", 0, 5), MESH_ESTALE_GENERATION);
    ck_assert_int_eq(rig_commit(&rig, "g", "", GROUP_GENERATION_NONE, "orders", 0, 5), 0);
    ck_assert_uint_eq(rig_offset(&rig, 1, "g", "orders", 0), 5);
    rig_join(&rig, "g", "a", "orders");
    ck_assert_int_eq(rig_commit(&rig, "g", "", GROUP_GENERATION_NONE, "orders", 0, 6), MESH_EUNKNOWN_MEMBER);
}
END_TEST

/* ---- late copies ---- */

static int commit_as(struct group_caller caller, uint64_t offset)
{
    struct group_commit_cell cell = {.topic = rig_topic_id(&rig, "orders"), .partition = 0, .offset = offset, .record_epoch = -1};
    struct group_commit commit = {caller, 1, GROUP_RESET_EPOCH_ANY, &cell, 1};
    struct group_reply reply;
    int err = group_lead_commit(rig.lead, rig.now_ms, rig.wall_ms, &commit, &reply);

    rig_replicate(&rig);
    return err != 0 ? err : cell.error;
}

START_TEST(a_late_copy_counts_no_more)
{
    struct group_claim claim = {.topic = rig_topic_id(&rig, "orders"), .partition = 0};
    struct group_caller commit, release;
    struct group_reply reply;

    rig_join(&rig, "g", "a", "orders");
    held_of("a");
    commit = rig_caller(&rig, "g", "a");
    ck_assert_int_eq(commit_as(commit, 10), 0);
    ck_assert_int_eq(commit_as(commit, 10), MESH_EOUT_OF_ORDER_SEQUENCE);
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 1, "orders", 0, 20), 0);
    ck_assert_int_eq(commit_as(commit, 10), MESH_EOUT_OF_ORDER_SEQUENCE);
    ck_assert_uint_eq(rig_offset(&rig, 1, "g", "orders", 0), 20);
    /* Released and claimed again: the release's copy is of the claim before. */
    release = rig_caller(&rig, "g", "a");
    ck_assert_int_eq(group_lead_release(rig.lead, rig.now_ms, &release, &claim, 1, &reply), 0);
    ck_assert_int_eq(rig_claim(&rig, "g", "a", "orders", 0, NULL), 0);
    ck_assert_int_eq(group_lead_release(rig.lead, rig.now_ms, &release, &claim, 1, &reply), MESH_EOUT_OF_ORDER_SEQUENCE);
    claim_is("orders", 0, "a/a");
}
END_TEST

START_TEST(what_was_sent_to_a_leader_before_counts_no_more)
{
    struct group_caller old, blind;

    rig_join(&rig, "g", "a", "orders");
    held_of("a");
    old = rig_caller(&rig, "g", "a");
    old.sequence += 100; /* the new leader has met no number */
    rig_failover(&rig, 1, false);
    ck_assert_int_eq(commit_as(old, 10), MESH_ESTALE_EPOCH);
    blind = rig_caller(&rig, "g", "a");
    blind.epoch_plus_one = 0;
    ck_assert_int_eq(commit_as(blind, 10), MESH_ESTALE_EPOCH);
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 1, "orders", 0, 20), 0);
    old.epoch_plus_one = rig.epoch + 1;
    old.sequence = rig.sequence;
    ck_assert_int_eq(commit_as(old, 10), MESH_EOUT_OF_ORDER_SEQUENCE);
    ck_assert_uint_eq(rig_offset(&rig, 1, "g", "orders", 0), 20);
}
END_TEST

static int join_instance(struct group_caller caller, const char *id)
{
    struct group_member_info info = {.id = slice_of_string(id),
                                     .instance = slice_of_string("i"),
                                     .names = slice_of("\6orders", 7),
                                     .name_count = 1,
                                     .session_timeout_ms = 10000,
                                     .processing_limit_ms = 1000};
    struct group_reply reply;
    int err = group_lead_join(rig.lead, rig.now_ms, rig.wall_ms, &caller, &info, &reply);

    rig_settle(&rig);
    return err;
}

/* A join takes a static member's place: a late one would end the life that came after it. */
START_TEST(a_late_join_fences_nobody)
{
    struct group_caller first = rig_caller(&rig, "g", ""), blind = first;

    blind.epoch_plus_one = 0;
    ck_assert_int_eq(join_instance(blind, "a1"), MESH_ESTALE_EPOCH);
    ck_assert_uint_eq(groups_count(rig.replicas[0]), 0);
    ck_assert_int_eq(join_instance(first, "a1"), 0);
    ck_assert_int_eq(join_instance(rig_caller(&rig, "g", ""), "a2"), 0);
    ck_assert_int_eq(join_instance(first, "a1"), MESH_EFENCED_INSTANCE);
    ck_assert_int_eq(join_instance(rig_caller(&rig, "g", ""), "a3"), 0);
    ck_assert_int_eq(join_instance(first, "a1"), MESH_EFENCED_INSTANCE);
    rig_failover(&rig, 1, false);
    ck_assert_int_eq(join_instance(first, "a1"), MESH_ESTALE_EPOCH);
    ck_assert_uint_eq(held_of("a3"), 4);
}
END_TEST

/* With the leave it was told, and with the log that a follower has of it. */
START_TEST(who_has_left_comes_back_by_no_late_copy)
{
    const struct rig_member member = {.id = "a", .names = "orders"};
    struct group_reply reply;

    rig_join(&rig, "g", "a", "orders");
    rig_join(&rig, "g", "b", "orders");
    rig_join(&rig, "h", "b", "orders");
    ck_assert_int_eq(leave("a"), 0);
    ck_assert_int_eq(rig_join_as(&rig, "g", &member, &reply), MESH_EUNKNOWN_MEMBER);
    rig_replicate(&rig);
    rig_failover(&rig, 1, false);
    ck_assert_int_eq(rig_join_as(&rig, "g", &member, &reply), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(rig_join_as(&rig, "h", &member, &reply), 0); /* it has left another group */
}
END_TEST

/* ---- operators ---- */

START_TEST(offsets_and_groups_are_deleted_when_nobody_uses_them)
{
    struct group_claim claims[] = {{.topic = rig_topic_id(&rig, "orders"), .partition = 0}, {.topic = rig_topic_id(&rig, "orders"), .partition = 1}};
    struct slice g = slice_of_string("g");
    struct group_reply reply;

    ck_assert_int_eq(group_lead_delete(rig.lead, g, &reply), MESH_ENOTFOUND);
    rig_commit(&rig, "g", "", GROUP_GENERATION_NONE, "orders", 0, 5);
    rig_commit(&rig, "g", "", GROUP_GENERATION_NONE, "refunds", 0, 5);
    ck_assert_int_eq(group_lead_delete_offsets(rig.lead, g, claims, 2, &reply), 0);
    ck_assert_int_eq(claims[0].error, 0);
    ck_assert_int_eq(claims[1].error, MESH_ENOTFOUND);
    rig_replicate(&rig);
    ck_assert_uint_eq(rig_offset(&rig, 2, "g", "orders", 0), UINT64_MAX);
    ck_assert_uint_eq(rig_offset(&rig, 2, "g", "refunds", 0), 5);
    rig_join(&rig, "g", "a", "orders");
    held_of("a");
    rig_commit(&rig, "g", "a", 1, "orders", 0, 5);
    ck_assert_int_eq(group_lead_delete_offsets(rig.lead, g, claims, 1, &reply), 0);
    ck_assert_int_eq(claims[0].error, MESH_EGROUP_NOT_EMPTY);
    ck_assert_int_eq(group_lead_delete(rig.lead, g, &reply), MESH_EGROUP_NOT_EMPTY);
    ck_assert_int_eq(leave("a"), 0);
    ck_assert_int_eq(group_lead_delete(rig.lead, g, &reply), 0);
    rig_settle(&rig);
    ck_assert_uint_eq(groups_count(rig.replicas[1]), 0);
}
END_TEST

/* ---- failover and checkpoints ---- */

/* One tick does not do them all, and the next ones do. */
START_TEST(many_groups_are_assigned_in_parts)
{
    uint64_t deadline;
    int assigned = 0;

    rig_topic(&rig, "wide", 4000);
    for (int i = 0; i < 12; i++) {
        char name[16];

        snprintf(name, sizeof(name), "g%d", i);
        ck_assert_int_eq(rig_join_as(&rig, name, &(struct rig_member){.id = "a", .names = "wide"}, &(struct group_reply){0}), 0);
    }
    ck_assert_int_eq(group_lead_tick(rig.lead, rig.now_ms, rig.wall_ms, NULL, NULL, &deadline), 0);
    for (int i = 0; i < 12; i++) {
        char name[16];

        snprintf(name, sizeof(name), "g%d", i);
        assigned += rig_generation(&rig, name) == 1;
    }
    ck_assert_int_ge(assigned, 1);
    ck_assert_int_lt(assigned, 12);
    ck_assert_uint_eq(deadline, rig.now_ms);
    ck_assert(group_lead_is_due(rig.lead));
    rig_settle(&rig);
    ck_assert_uint_eq(rig_generation(&rig, "g0"), 1);
    ck_assert_uint_eq(rig_generation(&rig, "g11"), 1);
}
END_TEST

START_TEST(a_failover_loads_nothing_and_rebalances_nobody)
{
    struct group_reply reply;
    uint64_t end;

    for (int i = 0; i < 3; i++)
        rig_join(&rig, "g", (const char *[]){"a", "b", "c"}[i], "orders refunds");
    rig_work_all(&rig, "g");
    ck_assert_int_eq(rig_commit(&rig, "g", "a", rig_generation(&rig, "g"), "orders", 0, 42), 0);
    end = rig.log_end;
    rig_failover(&rig, 1, false);
    rig_settle(&rig);
    ck_assert_uint_eq(rig.log_end, end + 1); /* the epoch's control record alone */
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(rig_beat(&rig, "g", (const char *[]){"a", "b", "c"}[i], &reply), 0);
        ck_assert(!reply.has_work);
    }
    ck_assert_int_eq(rig_commit(&rig, "g", "a", rig_generation(&rig, "g"), "orders", 0, 43), 0);
    ck_assert_uint_eq(rig_offset(&rig, 2, "g", "orders", 0), 43);
    /* Who died with the leader is noticed by the next one. */
    rig_tick(&rig, 9000);
    rig_beat(&rig, "g", "a", &reply);
    rig_beat(&rig, "g", "b", &reply);
    rig_tick(&rig, 2000);
    rig_settle(&rig);
    rig_work_all(&rig, "g");
    ck_assert_uint_eq(held_of("a"), 3);
    ck_assert_uint_eq(held_of("b"), 3);
}
END_TEST

START_TEST(a_release_that_was_asked_for_is_asked_for_by_the_next_leader)
{
    struct group_reply reply;

    rig_join(&rig, "g", "a", "orders");
    held_of("a");
    rig_join(&rig, "g", "b", "orders");
    rig_failover(&rig, 2, false);
    for (int i = 0; i < 20; i++) {
        rig_tick(&rig, 3000);
        rig_beat(&rig, "g", "a", &reply);
        rig_beat(&rig, "g", "b", &reply);
    }
    ck_assert_uint_eq(rig.events[GROUP_EVENT_SLOW], 1);
    ck_assert_uint_eq(held_of("b"), 2);
}
END_TEST

START_TEST(an_unclean_election_fences_all_claims)
{
    uint32_t before;

    rig_join(&rig, "g", "a", "orders");
    held_of("a");
    before = rig_generation(&rig, "g");
    rig_failover(&rig, 1, true);
    rig_settle(&rig);
    ck_assert_uint_gt(rig_generation(&rig, "g"), before + 1000);
    ck_assert_int_eq(rig_commit(&rig, "g", "a", before, "orders", 0, 9), MESH_ENOT_OWNER);
    ck_assert_uint_eq(held_of("a"), 4);
    ck_assert_int_eq(rig_commit(&rig, "g", "a", before, "orders", 0, 9), MESH_ESTALE_GENERATION);
    ck_assert_int_eq(rig_commit(&rig, "g", "a", rig_generation(&rig, "g"), "orders", 0, 9), 0);
}
END_TEST

/* Found by test_group_model: what the old leader had heard of topics was soft, and died with it. */
START_TEST(a_topic_that_grew_just_before_a_failover_is_assigned)
{
    rig_join(&rig, "g", "a", "orders");
    held_of("a");
    rig_topic(&rig, "orders", 6);
    rig_failover(&rig, 1, false);
    rig_settle(&rig);
    ck_assert_uint_eq(held_of("a"), 6);
}
END_TEST

/* Offsets, members, claims, resets: and the log starts at a checkpoint, while commits go on between its pieces. */
START_TEST(a_log_may_start_at_a_checkpoint)
{
    uint64_t first = 0;

    rig_topic(&rig, "wide", 2000);
    group_lead_free(rig.lead);
    rig.limits.checkpoint_bytes_min = 20000;
    ck_assert_int_eq(group_lead_new(rig.replicas[0], &rig.catalog, &rig.limits, 1, rig.log_end, false, rig.now_ms, &rig.lead), 0);
    rig_join(&rig, "g", "a", "orders refunds");
    rig_join(&rig, "g", "b", "orders");
    rig_work_all(&rig, "g");
    for (uint32_t i = 0; i < 6000; i++) {
        struct group_reply reply;

        if (rig_commit(&rig, "wide", "", GROUP_GENERATION_NONE, "wide", i % 2000, i) != 0) ck_abort();
        if (i % 100 == 0) rig_commit(&rig, "g", "b", rig_generation(&rig, "g"), "orders", 3, i);
        rig_beat(&rig, "g", "a", &reply);
        rig_tick(&rig, 1);
        if (rig_trim(&rig) && first == 0) first = rig.log_start;
        if (i % 500 == 0) rig_restart(&rig, 1);
    }
    ck_assert_uint_gt(first, 0);
    ck_assert_uint_gt(rig.log_start, first);
    rig_restart(&rig, 1);
    ck_assert(groups_is_whole(rig.replicas[1]));
    ck_assert_uint_eq(rig_offset(&rig, 1, "wide", "wide", 1999), 5999);
    ck_assert(rig_replicas_agree(&rig));
    rig_failover(&rig, 1, false);
    rig_join(&rig, "g", "c", "orders");
}
END_TEST

/* A log that starts at a checkpoint, and has lost its end: who has to lead it goes on with the rest, and all agree on that in the end. */
START_TEST(what_is_left_of_a_checkpoint_goes_on)
{
    struct group_reply reply;
    uint64_t start, end;

    group_lead_free(rig.lead);
    rig.limits.checkpoint_bytes_min = 3000;
    ck_assert_int_eq(group_lead_new(rig.replicas[0], &rig.catalog, &rig.limits, 1, rig.log_end, false, rig.now_ms, &rig.lead), 0);
    rig_join(&rig, "g", "a", "orders");
    rig_work_all(&rig, "g");
    for (uint32_t i = 0; i < 200 && !rig_trim(&rig); i++) {
        char name[16];

        snprintf(name, sizeof(name), "h%u", i);
        ck_assert_int_eq(rig_commit(&rig, name, "", GROUP_GENERATION_NONE, "orders", i % 4, i), 0);
        rig_beat(&rig, "g", "a", &reply);
        rig_tick(&rig, 1);
    }
    ck_assert(groups_log_may_start(rig.replicas[0], &start, &end));
    /* Replica 2 has an empty disk and gets the log but for the checkpoint's end; the others are gone. */
    groups_free(rig.replicas[2]);
    ck_assert_int_eq(groups_new(rig.log_start, &rig.replicas[2]), 0);
    rig.applied[2] = rig.log_start;
    rig_follow(&rig, 2, end - 20);
    ck_assert(!groups_is_whole(rig.replicas[2]));
    rig_failover(&rig, 2, true);
    ck_assert(groups_is_whole(rig.replicas[2]));
    rig_tick(&rig, 0);
    ck_assert_uint_eq(rig.events[GROUP_EVENT_SALVAGED], 1);
    rig_settle(&rig);
    ck_assert_uint_gt(groups_count(rig.replicas[2]), 0);
    ck_assert(groups_is_whole(rig.replicas[0]));
    ck_assert(rig_replicas_agree(&rig));
    ck_assert_int_eq(rig_commit(&rig, "new", "", GROUP_GENERATION_NONE, "orders", 0, 7), 0);
    rig_restart(&rig, 1);
    rig_failover(&rig, 1, false);
    ck_assert_uint_eq(rig_offset(&rig, 1, "new", "orders", 0), 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group_lead");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_lone_member_gets_all);
    tcase_add_test(tcase, only_what_moves_is_released_before_it_is_claimed);
    tcase_add_test(tcase, who_leaves_frees_what_it_held);
    tcase_add_test(tcase, who_is_silent_is_expired_and_who_beats_is_not);
    tcase_add_test(tcase, nothing_is_due_before_its_time);
    tcase_add_test(tcase, a_slow_handler_has_the_time_that_it_declared);
    tcase_add_test(tcase, a_static_member_restarts_without_a_rebalance);
    tcase_add_test(tcase, patterns_follow_topics);
    tcase_add_test(tcase, strategies_are_what_most_ask_for);
    tcase_add_loop_test(tcase, a_bad_join_changes_nothing, 0, (int)(sizeof(bad_joins) / sizeof(bad_joins[0])));
    tcase_add_test(tcase, a_full_group_takes_no_more);
    tcase_add_test(tcase, seeking_back_holds);
    tcase_add_test(tcase, a_late_commit_of_an_earlier_claim_is_refused);
    tcase_add_test(tcase, each_bad_cell_has_its_error_and_the_good_are_committed);
    tcase_add_test(tcase, consumers_outside_of_groups_commit_where_there_are_no_members);
    tcase_add_test(tcase, a_late_copy_counts_no_more);
    tcase_add_test(tcase, what_was_sent_to_a_leader_before_counts_no_more);
    tcase_add_test(tcase, a_late_join_fences_nobody);
    tcase_add_test(tcase, who_has_left_comes_back_by_no_late_copy);
    tcase_add_test(tcase, offsets_and_groups_are_deleted_when_nobody_uses_them);
    tcase_add_test(tcase, many_groups_are_assigned_in_parts);
    tcase_add_test(tcase, a_failover_loads_nothing_and_rebalances_nobody);
    tcase_add_test(tcase, a_release_that_was_asked_for_is_asked_for_by_the_next_leader);
    tcase_add_test(tcase, a_topic_that_grew_just_before_a_failover_is_assigned);
    tcase_add_test(tcase, an_unclean_election_fences_all_claims);
    tcase_add_test(tcase, a_log_may_start_at_a_checkpoint);
    tcase_add_test(tcase, what_is_left_of_a_checkpoint_goes_on);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
