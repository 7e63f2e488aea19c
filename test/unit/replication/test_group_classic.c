/* Groups of Kafka's classic protocol as their leader sees them: barriers, generations, static members, what a new leader goes on with; and members at random,
 * of whom an observer believes only what they were told. */
#include "group_rig.h"
#include "replication/groups/classic.h"
#include "replication/groups/lead_internal.h"
#include "replication/groups/state.h"

#include "base/random.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT(string) slice_of_string(string)

static struct group_rig rig;
static struct group_classic_reply reply;

static void setup(void)
{
    rig_init(&rig);
    rig.limits.classic_gather_ms = 0;
    rig_failover(&rig, 1, false); /* with these limits */
    rig_topic(&rig, "orders", 4);
}

static void teardown(void)
{
    rig_replicate(&rig);
    ck_assert_msg(rig_replicas_agree(&rig), "%s", rig.violation == NULL ? "the replicas differ" : rig.violation);
    rig_deinit(&rig);
}

/* ---- short forms ---- */

struct joins {
    const char *group, *member, *instance, *new_id, *protocol, *said, *type;
    bool takes_id, is_again, has_no_time;
};

static int join_as(const struct joins *joins)
{
    const struct group_classic_protocol protocols[] = {{TEXT(joins->protocol == NULL ? "range" : joins->protocol), TEXT(joins->said == NULL ? "" : joins->said)}};
    const struct group_classic_join join = {.group = TEXT(joins->group == NULL ? "g" : joins->group),
                                            .member = TEXT(joins->member == NULL ? "" : joins->member),
                                            .instance = TEXT(joins->instance == NULL ? "" : joins->instance),
                                            .new_id = TEXT(joins->new_id == NULL ? "unused" : joins->new_id),
                                            .client = TEXT("client"),
                                            .host = TEXT("host"),
                                            .protocol_type = TEXT(joins->type == NULL ? "consumer" : joins->type),
                                            .protocols = protocols,
                                            .protocol_count = 1,
                                            .session_timeout_ms = 10000,
                                            .rebalance_timeout_ms = joins->has_no_time ? 0 : 20000,
                                            .takes_id = joins->takes_id,
                                            .is_again = joins->is_again};

    return group_lead_classic_join(rig.lead, rig.now_ms, rig.wall_ms, &join, &reply);
}

static int join_new(const char *id)
{
    return join_as(&(struct joins){.new_id = id});
}

static int join_again(const char *id)
{
    return join_as(&(struct joins){.member = id});
}

static int ask_again(const char *id)
{
    return join_as(&(struct joins){.member = id, .is_again = true});
}

static struct group_classic_caller caller_of(const char *id, int64_t generation)
{
    return (struct group_classic_caller){TEXT("g"), TEXT(id), TEXT(""), generation};
}

static int sync_with(const char *id, int64_t generation, const struct group_classic_assignment *assignments, size_t count)
{
    struct group_classic_caller caller = caller_of(id, generation);

    return group_lead_classic_sync(rig.lead, rig.now_ms, rig.wall_ms, &caller, TEXT(""), TEXT(""), assignments, count, &reply);
}

static int sync_up(const char *id, int64_t generation)
{
    return sync_with(id, generation, NULL, 0);
}

static int beat(const char *id, int64_t generation)
{
    struct group_classic_caller caller = caller_of(id, generation);

    return group_lead_classic_heartbeat(rig.lead, rig.now_ms, &caller, &reply);
}

static int leave(const char *id)
{
    struct group_classic_caller caller = caller_of(id, -1);

    return group_lead_classic_leave(rig.lead, rig.now_ms, rig.wall_ms, &caller);
}

static int commit(const char *id, uint32_t generation, uint64_t offset)
{
    struct group_commit_cell cell = {.topic = rig_topic_id(&rig, "orders"), .offset = offset, .record_epoch = -1};
    struct group_commit request = {.caller = {.group = TEXT("g"), .member = TEXT(id)},
                                   .generation = generation,
                                   .reset_epoch = GROUP_RESET_EPOCH_ANY,
                                   .cells = &cell,
                                   .cell_count = 1};
    struct group_reply told;
    int err = group_lead_commit(rig.lead, rig.now_ms, rig.wall_ms, &request, &told);

    return err != 0 ? err : cell.error;
}

static enum group_classic_state state(void)
{
    struct group_classic_view view;

    return group_lead_classic_find(rig.lead, TEXT("g"), &view) ? view.state : GROUP_CLASSIC_EMPTY;
}

#define slice_is(slice, text) ck_assert_msg(slice_equal(slice, TEXT(text)), "it is %.*s", (int)(slice).size, (const char *)(slice).data)

/* Two members, a leads; generation 2. */
static void pair(void)
{
    ck_assert_int_eq(join_new("a"), 0);
    ck_assert_int_eq(sync_up("a", 1), 0);
    ck_assert_int_eq(join_new("b"), 0);
    ck_assert(reply.is_waiting);
    ck_assert_int_eq(join_again("a"), 0);
    ck_assert(!reply.is_waiting && reply.is_leader);
    ck_assert_int_eq(sync_with("a", 2, (struct group_classic_assignment[]){{TEXT("a"), TEXT("first")}, {TEXT("b"), TEXT("second")}}, 2), 0);
    slice_is(reply.assignment, "first");
}

/* ---- stories ---- */

START_TEST(what_members_read_is_reset_by_force_alone)
{
    pair();
    ck_assert_int_eq(commit("a", 2, 7), 0);
    ck_assert_int_eq(rig_reset(&rig, "g", "orders", 0, 4, false, true), MESH_EGROUP_NOT_EMPTY);
    ck_assert_int_eq(rig_reset(&rig, "g", "orders", 0, 4, false, false), MESH_EGROUP_NOT_EMPTY);
    ck_assert_uint_eq(rig_offset(&rig, rig.leader, "g", "orders", 0), 7);
    ck_assert_int_eq(rig_reset(&rig, "g", "orders", 0, 4, true, false), 0);
    ck_assert_uint_eq(rig_offset(&rig, rig.leader, "g", "orders", 0), 4);
    ck_assert_int_eq(leave("a"), 0);
    ck_assert_int_eq(leave("b"), 0);
    ck_assert_int_eq(rig_reset(&rig, "g", "orders", 0, 5, false, false), 0);
}
END_TEST

/* What could not be written is answered by an error alone: nothing is made of what the answer held before. */
START_TEST(another_life_that_is_not_written_says_nothing)
{
    bool was_refused = true;

    ck_assert_int_eq(join_as(&(struct joins){.new_id = "a1", .instance = "a"}), 0);
    ck_assert_int_eq(sync_up("a1", 1), 0);
    for (unsigned nth = 1; was_refused; nth++) {
        int err;

        rig_replicate(&rig);
        rig_failover(&rig, 1 + (int)(nth % 2), false); /* one that has no room yet for what it writes */
        reply = (struct group_classic_reply){.is_leader = true};
        failing_alloc_arm(nth);
        err = join_as(&(struct joins){.new_id = nth % 2 == 0 ? "a2" : "a3", .instance = "a"});
        was_refused = failing_alloc_disarm();
        if (err != 0) ck_assert(!reply.skips);
    }
    ck_assert(reply.skips);
}
END_TEST

START_TEST(a_member_waits_until_all_have_come)
{
    ck_assert_int_eq(join_new("a"), 0);
    ck_assert(!reply.is_waiting && reply.is_leader);
    ck_assert_uint_eq(reply.generation, 1);
    ck_assert_int_eq(sync_up("a", 1), 0);
    ck_assert(!reply.is_waiting);
    ck_assert_int_eq(join_new("b"), 0);
    ck_assert(reply.is_waiting);
    ck_assert_int_eq(beat("a", 1), MESH_EREBALANCING);
    ck_assert_int_eq(sync_up("a", 1), MESH_EREBALANCING);
    ck_assert_int_eq(commit("a", 1, 7), 0); /* what it did before it joins again counts */
    ck_assert_int_eq(ask_again("b"), 0);
    ck_assert(reply.is_waiting);
    uint64_t changes = group_lead_classic_changes(rig.lead);
    ck_assert_int_eq(join_again("a"), 0);
    ck_assert(!reply.is_waiting && reply.is_leader);
    ck_assert_uint_gt(group_lead_classic_changes(rig.lead), changes);
    ck_assert_int_eq(ask_again("b"), 0);
    ck_assert(!reply.is_waiting && !reply.is_leader);
    slice_is(reply.leader, "a");
    ck_assert_uint_eq(reply.generation, 2);
    ck_assert_int_eq(sync_up("b", 2), 0);
    ck_assert(reply.is_waiting);
    ck_assert_int_eq(commit("b", 2, 8), MESH_EREBALANCING);
    ck_assert_int_eq(sync_with("a", 2, (struct group_classic_assignment[]){{TEXT("b"), TEXT("all")}, {TEXT("gone"), TEXT("x")}}, 2), 0);
    ck_assert_int_eq(sync_up("b", 2), 0);
    slice_is(reply.assignment, "all");
    ck_assert_int_eq(commit("b", 2, 9), 0);
    ck_assert_int_eq(commit("b", 1, 10), MESH_ESTALE_GENERATION);
    ck_assert_int_eq(commit("c", 2, 10), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(commit("", GROUP_GENERATION_NONE, 10), MESH_EUNKNOWN_MEMBER);
    rig_replicate(&rig);
    ck_assert_uint_eq(rig_offset(&rig, 2, "g", "orders", 0), 9);
}
END_TEST

START_TEST(an_id_is_told_before_it_joins)
{
    ck_assert_int_eq(join_as(&(struct joins){.new_id = "a", .takes_id = true}), 0);
    ck_assert(reply.is_id_required);
    slice_is(reply.member, "a");
    ck_assert_int_eq(beat("a", 0), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(ask_again("a"), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(join_as(&(struct joins){.member = "a", .takes_id = true}), 0);
    ck_assert(!reply.is_id_required && !reply.is_waiting);
    /* Who never comes is not waited for longer than a session, and is no member meanwhile. */
    ck_assert_int_eq(sync_up("a", 1), 0);
    ck_assert_int_eq(join_as(&(struct joins){.new_id = "b", .takes_id = true}), 0);
    ck_assert_int_eq(beat("a", 1), 0);
    rig_tick(&rig, 9000);
    ck_assert_int_eq(beat("a", 1), 0);
    rig_tick(&rig, 2000);
    ck_assert_int_eq(join_again("b"), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(beat("a", 1), 0);
    /* Nothing is left of one who was alone. */
    ck_assert_int_eq(join_as(&(struct joins){.group = "h", .new_id = "c", .takes_id = true}), 0);
    rig_tick(&rig, 10000);
    struct group_classic_view view;
    ck_assert(!group_lead_classic_find(rig.lead, TEXT("h"), &view));
}
END_TEST

START_TEST(the_first_ones_are_gathered)
{
    rig.limits.classic_gather_ms = 3000;
    rig_failover(&rig, 0, false);
    ck_assert_int_eq(join_new("a"), 0);
    ck_assert(reply.is_waiting);
    rig_tick(&rig, 2000);
    ck_assert_int_eq(join_new("b"), 0);
    rig_tick(&rig, 2000); /* each newcomer begins it anew */
    ck_assert_int_eq(ask_again("a"), 0);
    ck_assert(reply.is_waiting);
    rig_tick(&rig, 1000);
    ck_assert_int_eq(ask_again("b"), 0);
    ck_assert(!reply.is_waiting);
    ck_assert_uint_eq(reply.generation, 1);
    slice_is(reply.leader, "a");
}
END_TEST

START_TEST(who_does_not_come_back_is_left_out)
{
    pair();
    ck_assert_int_eq(join_new("c"), 0);
    ck_assert_int_eq(join_again("b"), 0);
    for (int i = 0; i < 19; i++) { /* a is heard all the time, and does not come */
        rig_tick(&rig, 1000);
        ck_assert_int_eq(beat("a", 2), MESH_EREBALANCING);
        ck_assert_int_eq(ask_again("c"), 0);
        ck_assert(reply.is_waiting);
    }
    rig_tick(&rig, 1000);
    ck_assert_int_eq(beat("a", 2), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(ask_again("c"), 0);
    ck_assert(!reply.is_waiting);
    slice_is(reply.leader, "b");
    ck_assert_uint_eq(reply.generation, 3);
    /* The one that is to assign does nothing: the others begin again without it. */
    ck_assert_int_eq(sync_up("c", 3), 0);
    for (int i = 0; i < 20; i++) {
        rig_tick(&rig, 1000);
        (void)beat("b", 3);
    }
    ck_assert_int_eq(sync_up("b", 3), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(sync_up("c", 3), MESH_EREBALANCING);
    ck_assert_int_eq(join_again("c"), 0);
    ck_assert(reply.is_leader);
    ck_assert_uint_eq(rig.events[GROUP_EVENT_EXPIRED], 2);
}
END_TEST

START_TEST(a_silent_member_is_left_out_and_the_group_ends_empty)
{
    pair();
    rig_tick(&rig, 6000);
    ck_assert_int_eq(beat("b", 2), 0);
    rig_tick(&rig, 4000);
    ck_assert_int_eq(beat("b", 2), MESH_EREBALANCING);
    ck_assert_int_eq(join_again("b"), 0);
    ck_assert_uint_eq(reply.generation, 3);
    ck_assert_int_eq(sync_up("b", 3), 0);
    ck_assert_int_eq(leave("a"), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(leave("b"), 0);
    ck_assert_int_eq(state(), GROUP_CLASSIC_EMPTY);
    rig_replicate(&rig);
    struct group_view view = group_view_of(groups_find(rig.replicas[2], TEXT("g")));
    ck_assert_uint_eq(view.member_count, 0);
    ck_assert_uint_ne(view.empty_since_ms, 0);
    ck_assert_uint_eq(view.generation, 4);
    ck_assert_int_eq(commit("", GROUP_GENERATION_NONE, 10), 0);
    /* Generations go on where they ended, so no number is met again. */
    ck_assert_int_eq(join_new("c"), 0);
    ck_assert_uint_eq(reply.generation, 5);
}
END_TEST

START_TEST(nobody_notices_another_life_of_a_static_member)
{
    ck_assert_int_eq(join_as(&(struct joins){.new_id = "a1", .instance = "a"}), 0);
    ck_assert_int_eq(sync_with("a1", 1, (struct group_classic_assignment[]){{TEXT("a1"), TEXT("mine")}}, 1), 0);
    ck_assert_int_eq(join_as(&(struct joins){.new_id = "a2", .instance = "a"}), 0);
    ck_assert(!reply.is_waiting && reply.skips && reply.is_leader);
    ck_assert_uint_eq(reply.generation, 1);
    slice_is(reply.member, "a2");
    struct group_classic_caller before = {TEXT("g"), TEXT("a1"), TEXT("a"), 1};
    ck_assert_int_eq(group_lead_classic_heartbeat(rig.lead, rig.now_ms, &before, &reply), MESH_EFENCED_INSTANCE);
    ck_assert_int_eq(beat("a1", 1), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(sync_up("a2", 1), 0);
    slice_is(reply.assignment, "mine");
    rig_replicate(&rig);
    rig_failover(&rig, 2, false);
    ck_assert_int_eq(beat("a2", 1), 0);
    ck_assert_int_eq(beat("a1", 1), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(join_as(&(struct joins){.new_id = "a3", .instance = "a", .said = "other"}), 0); /* it says something new: a generation */
    ck_assert_uint_eq(reply.generation, 2);
}
END_TEST

START_TEST(a_new_leader_goes_on_with_whole_generations)
{
    pair();
    ck_assert_int_eq(commit("b", 2, 5), 0);
    rig_replicate(&rig);
    rig_failover(&rig, 2, false);
    ck_assert_int_eq(beat("a", 2), 0);
    ck_assert_int_eq(sync_up("b", 2), 0);
    slice_is(reply.assignment, "second");
    slice_is(reply.leader, "a");
    ck_assert_int_eq(commit("b", 2, 6), 0);
    /* In the middle of one it begins again: who was new is not known. */
    ck_assert_int_eq(join_new("c"), 0);
    rig_failover(&rig, 0, false);
    ck_assert_int_eq(ask_again("c"), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(beat("b", 2), 0);
    rig_tick(&rig, 9999);
    ck_assert_int_eq(beat("a", 2), 0); /* it has its whole session again */
    /* What an unclean election may have lost is not gone on with. */
    rig_failover(&rig, 1, true);
    ck_assert_int_eq(beat("a", 2), MESH_ESTALE_GENERATION);
    ck_assert_int_eq(commit("b", 2, 7), MESH_ESTALE_GENERATION);
    ck_assert_int_eq(join_again("a"), 0);
    ck_assert_int_eq(join_again("b"), 0);
    ck_assert_uint_eq(reply.generation, 3 + 65536);
}
END_TEST

/* Each has one place, whether it is in the state already, or is about to be. */
START_TEST(a_group_is_counted_once)
{
    rig_replicate(&rig);
    rig.limits.groups_max = 3;
    rig_failover(&rig, 2, false);
    ck_assert_int_eq(join_as(&(struct joins){.group = "g", .new_id = "a"}), 0);
    ck_assert_int_eq(sync_up("a", 1), 0);
    ck_assert_int_eq(join_as(&(struct joins){.group = "h", .new_id = "a"}), 0);
    ck_assert_int_eq(join_as(&(struct joins){.group = "i", .new_id = "a"}), 0); /* g is in the state, h is not, and this is the third */
    ck_assert_int_eq(join_as(&(struct joins){.group = "j", .new_id = "a"}), MESH_EFULL);
    ck_assert_int_eq(rig_join(&rig, "j", "a", "orders"), MESH_EFULL); /* the two that are about to be keep their places */
    struct group_classic_caller caller = {TEXT("h"), TEXT("a"), TEXT(""), 1};
    ck_assert_int_eq(group_lead_classic_sync(rig.lead, rig.now_ms, rig.wall_ms, &caller, TEXT(""), TEXT(""), NULL, 0, &reply), 0);
    caller.group = TEXT("i");
    ck_assert_int_eq(group_lead_classic_leave(rig.lead, rig.now_ms, rig.wall_ms, &caller), 0); /* it never was */
    ck_assert_int_eq(rig_join(&rig, "j", "a", "orders"), 0);
    ck_assert_int_eq(join_as(&(struct joins){.group = "k", .new_id = "a"}), MESH_EFULL);
}
END_TEST

/* Who is left of such a group may not go on as if it were all of it: nobody reads what the others had. */
START_TEST(a_part_of_a_group_is_not_taken_over)
{
    pair();
    rig_replicate(&rig);
    rig.limits.members_max = 1;
    rig_failover(&rig, 2, false);
    ck_assert_int_eq(beat("a", 2), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(sync_up("a", 2), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(commit("a", 2, 7), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(join_new("b"), 0); /* it waits for nobody who is not there */
    ck_assert(!reply.is_waiting);
    ck_assert_uint_eq(reply.generation, 3);
}
END_TEST

/* By the limits of a new leader it fits no more. Nobody else may have its offsets yet, nor are they forgotten: its members come back, sooner or later. */
START_TEST(what_a_leader_cannot_take_over_keeps_its_offsets)
{
    pair();
    ck_assert_int_eq(commit("b", 2, 5), 0);
    rig_replicate(&rig);
    rig.limits.members_max = 0;
    rig.limits.retention_ms = 3600 * 1000;
    rig_failover(&rig, 2, false);
    ck_assert_int_eq(beat("a", 2), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(join_new("a"), MESH_EFULL);
    for (int i = 0; i < 100; i++)
        rig_tick(&rig, 60 * 1000);
    ck_assert_uint_eq(rig_offset(&rig, 0, "g", "orders", 0), 5);
}
END_TEST

START_TEST(a_checkpoint_tells_of_it)
{
    pair();
    rig_replicate(&rig);
    rig.limits.checkpoint_bytes_min = 1;
    rig_failover(&rig, 0, false);
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_int_eq(commit("a", 2, i), 0);
        rig_tick(&rig, 10);
    }
    ck_assert(rig_trim(&rig));
    rig_restart(&rig, 2);
    rig_replicate(&rig);
    rig_failover(&rig, 2, false);
    ck_assert_int_eq(sync_up("b", 2), 0);
    slice_is(reply.assignment, "second");
}
END_TEST

START_TEST(a_group_has_members_of_one_protocol)
{
    struct group_reply told;

    ck_assert_int_eq(rig_join(&rig, "g", "ours", "orders"), 0);
    ck_assert_uint_eq(rig_work(&rig, "g", "ours"), 4);
    ck_assert_int_eq(rig_commit(&rig, "g", "ours", 1, "orders", 1, 11), 0);
    ck_assert_int_eq(join_new("a"), MESH_EGROUP_NOT_EMPTY);
    struct group_caller caller = rig_caller(&rig, "g", "ours");
    ck_assert_int_eq(group_lead_leave(rig.lead, rig.wall_ms, &caller, &told), 0);
    ck_assert_int_eq(join_new("a"), 0); /* and its offsets are there */
    rig_settle(&rig);
    ck_assert_uint_gt(reply.generation, 1);
    ck_assert_int_eq(rig_join(&rig, "g", "ours2", "orders"), MESH_EGROUP_NOT_EMPTY);
    ck_assert_int_eq(sync_up("a", reply.generation), 0);
    ck_assert_int_eq(group_lead_delete(rig.lead, TEXT("g"), &told), MESH_EGROUP_NOT_EMPTY);
    struct group_claim claim = {.topic = rig_topic_id(&rig, "orders"), .partition = 1};
    ck_assert_int_eq(group_lead_delete_offsets(rig.lead, TEXT("g"), &claim, 1, &told), MESH_EGROUP_NOT_EMPTY);
    rig_replicate(&rig);
    ck_assert_uint_eq(rig_offset(&rig, 2, "g", "orders", 1), 11);
    ck_assert_int_eq(rig_join(&rig, "g", "ours2", "orders"), MESH_EGROUP_NOT_EMPTY);
    ck_assert_int_eq(join_as(&(struct joins){.new_id = "b", .type = "connect"}), MESH_EUNSUPPORTED);
    ck_assert_int_eq(join_as(&(struct joins){.new_id = "b", .protocol = "other"}), MESH_EUNSUPPORTED);
    ck_assert_int_eq(leave("a"), 0);
    ck_assert_int_eq(rig_join(&rig, "g", "ours3", "orders"), 0);
    ck_assert_int_eq(join_new("c"), MESH_EGROUP_NOT_EMPTY);
    rig_failover(&rig, 0, false);
    ck_assert_int_eq(join_new("c"), MESH_EGROUP_NOT_EMPTY);
    ck_assert_uint_eq(rig_work(&rig, "g", "ours3"), 4);
}
END_TEST

/* A static member that leaves itself no time, and is away: its group is looked at now and then, not in every turn. */
START_TEST(who_is_away_is_waited_for_in_peace)
{
    const struct joins stays = {.instance = "i", .new_id = "a", .has_no_time = true};

    ck_assert_int_eq(join_new("b"), 0);
    ck_assert_int_eq(sync_up("b", 1), 0);
    ck_assert_int_eq(join_as(&stays), 0);
    ck_assert_int_eq(join_again("b"), 0);
    ck_assert_int_eq(sync_up("b", 2), 0);
    ck_assert_int_eq(leave("b"), 0);
    for (int i = 0; i < 3; i++) {
        rig_tick(&rig, i == 0 ? 0 : 1);
        ck_assert_uint_ge(rig.deadline_ms, rig.now_ms + 900);
    }
}
END_TEST

/* Replicas keep of a group what its last record said, not the memory that an earlier one took. */
/* 2000 groups, each due a millisecond after the one before: looked at one by one, that would be four million looks. */
START_TEST(many_groups_share_a_look)
{
    enum { GROUPS = 2000 };
    char name[16];
    uint32_t looks = 0;

    for (int i = 0; i < GROUPS; i++, rig_tick(&rig, 1)) {
        snprintf(name, sizeof(name), "g%d", i);
        ck_assert_int_eq(join_as(&(struct joins){.group = name, .new_id = "a", .takes_id = true}), 0);
    }
    for (int i = 0; i < GROUPS + 10000; i++) {
        uint64_t before = rig.lead->classic.by_name.count;

        rig_tick(&rig, 1);
        looks += rig.lead->classic.by_name.count != before;
    }
    ck_assert_uint_eq(rig.lead->classic.by_name.count, 0); /* and nobody stays longer for it than some milliseconds */
    ck_assert_uint_lt(looks, GROUPS / 4); /* the last hundred have one each */
}
END_TEST

START_TEST(an_emptied_group_gives_its_memory_back)
{
    size_t size = 500 << 10;
    uint8_t *much = calloc(1, size);
    struct group_classic_assignment assignment = {TEXT("b"), slice_of(much, size)};
    const struct group *group;

    ck_assert_int_eq(join_new("b"), 0);
    ck_assert_int_eq(sync_with("b", 1, &assignment, 1), 0);
    rig_replicate(&rig);
    ck_assert_int_eq(leave("b"), 0);
    rig_replicate(&rig);
    for (int i = 0; i < RIG_REPLICAS; i++) {
        group = groups_next(rig.replicas[i], NULL);
        ck_assert_ptr_nonnull(group);
        ck_assert_uint_le(group->life->classic.capacity, 4096);
    }
    free(much);
}
END_TEST

START_TEST(what_members_hold_is_bounded)
{
    static uint8_t much[1 << 20];
    const struct group_classic_protocol protocols[] = {{TEXT("range"), slice_of(much, sizeof(much))}};
    char id[16];
    int err = 0, count;

    for (count = 0; count < 100 && err == 0; count++) {
        struct group_classic_join join = {.group = TEXT("g"), .protocol_type = TEXT("consumer"), .protocols = protocols, .protocol_count = 1,
                                          .session_timeout_ms = 10000, .rebalance_timeout_ms = 10000};
        snprintf(id, sizeof(id), "m%d", count);
        join.new_id = TEXT(id);
        err = group_lead_classic_join(rig.lead, rig.now_ms, rig.wall_ms, &join, &reply);
    }
    ck_assert_int_eq(err, MESH_EFULL);
    ck_assert_int_gt(count, 25);
    ck_assert_int_lt(count, 66);
    /* More than a record holds is in its leader's memory alone. */
    rig_tick(&rig, 10000);
    ck_assert_int_eq(join_as(&(struct joins){.group = "big", .new_id = "a"}), 0);
    struct group_classic_caller caller = {TEXT("big"), TEXT("a"), TEXT(""), 1};
    struct group_classic_assignment assignment = {TEXT("a"), slice_of(much, sizeof(much))};
    ck_assert_int_eq(group_lead_classic_sync(rig.lead, rig.now_ms, rig.wall_ms, &caller, TEXT(""), TEXT(""), &assignment, 1, &reply), 0);
    ck_assert_uint_eq(reply.assignment.size, sizeof(much));
    rig_replicate(&rig);
    rig_failover(&rig, 2, false);
    ck_assert_int_eq(group_lead_classic_heartbeat(rig.lead, rig.now_ms, &caller, &reply), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(join_as(&(struct joins){.group = "big", .new_id = "b"}), 0);
    ck_assert_uint_eq(reply.generation, 2);
}
END_TEST

/* ---- members at random ---- */

#define ACTORS 6
#define STEPS  3000

enum actor_state { AWAY, ASKED_ID, JOINING, SYNCING, WORKING };

struct actor {
    enum actor_state state;
    char id[16];
    uint32_t generation, epoch; /* epoch: of the leader that told it */
    bool leads;
};

struct world {
    struct random random;
    struct actor actors[ACTORS];
    unsigned next_id;
    uint64_t committed; /* by the last commit that was good */
    unsigned generations;
};

/* An assignment names its member and generation: whoever is told another one's is found out. */
static void assign_all(struct actor *actor)
{
    struct group_classic_assignment assignments[ACTORS + 1];
    char texts[ACTORS + 1][32];
    struct group_classic_member_view view;
    size_t count = 0, cursor = 0;

    while (actor->leads && count < ACTORS && group_lead_classic_next_member(rig.lead, TEXT("g"), &cursor, &view)) {
        snprintf(texts[count], sizeof(texts[count]), "%.*s@%u", (int)view.id.size, (const char *)view.id.data, actor->generation);
        assignments[count] = (struct group_classic_assignment){view.id, TEXT(texts[count])};
        count++;
    }
    int err = sync_with(actor->id, actor->generation, assignments, count);
    if (err == 0 && reply.is_waiting) return;
    if (err == 0) {
        char want[32];

        snprintf(want, sizeof(want), "%s@%u", actor->id, actor->generation);
        if (!slice_equal(reply.assignment, TEXT(want))) ck_abort_msg("%s was told %.*s", want, (int)reply.assignment.size, (const char *)reply.assignment.data);
        actor->state = WORKING;
        return;
    }
    actor->state = err == MESH_EUNKNOWN_MEMBER ? AWAY : JOINING;
    if (actor->state == JOINING && join_again(actor->id) == MESH_EUNKNOWN_MEMBER) actor->state = AWAY;
}

static void joined(struct world *world, struct actor *actor, int err)
{
    if (err == MESH_EUNKNOWN_MEMBER) {
        actor->state = AWAY;
    } else if (err == MESH_EREBALANCING) {
        (void)join_again(actor->id);
    } else if (err != 0) {
        ck_abort_msg("%s may not join: %s", actor->id, mesh_error_name(err));
    } else if (!reply.is_waiting) {
        /* A new leader may know nothing of a generation in the making; one leader never goes back. */
        if (reply.generation < actor->generation && actor->epoch == rig.epoch) ck_abort_msg("%s goes back to generation %u", actor->id, reply.generation);
        if (reply.is_leader) world->generations++;
        actor->generation = reply.generation;
        actor->epoch = rig.epoch;
        actor->leads = reply.is_leader;
        actor->state = SYNCING;
    }
}

static void work(struct world *world, struct actor *actor)
{
    int err = random_below(&world->random, 3) == 0 ? commit(actor->id, actor->generation, world->committed + 1) : beat(actor->id, actor->generation);

    if (err == 0) world->committed = rig_offset(&rig, rig.leader, "g", "orders", 0) == UINT64_MAX ? 0 : rig_offset(&rig, rig.leader, "g", "orders", 0);
    if (err == MESH_EUNKNOWN_MEMBER) actor->state = AWAY;
    if (err != MESH_EREBALANCING && err != MESH_ESTALE_GENERATION) return;
    actor->state = JOINING;
    joined(world, actor, join_again(actor->id));
}

static void act(struct world *world, struct actor *actor)
{
    switch (actor->state) {
    case AWAY:
        if (random_below(&world->random, 4) != 0) return;
        snprintf(actor->id, sizeof(actor->id), "m%u", world->next_id++);
        actor->generation = 0;
        ck_assert_int_eq(join_as(&(struct joins){.new_id = actor->id, .takes_id = true}), 0);
        actor->state = ASKED_ID;
        return;
    case ASKED_ID:
        actor->state = JOINING;
        joined(world, actor, join_again(actor->id));
        return;
    case JOINING: joined(world, actor, ask_again(actor->id)); return;
    case SYNCING: assign_all(actor); return;
    case WORKING: work(world, actor); return;
    }
}

/* All that work are of one generation, the group's, and each id once. */
static void observe(const struct world *world)
{
    struct group_classic_view view;
    unsigned members = 0;

    if (!group_lead_classic_find(rig.lead, TEXT("g"), &view) || view.state != GROUP_CLASSIC_STABLE) return;
    for (int i = 0; i < ACTORS; i++)
        if (world->actors[i].state == WORKING && world->actors[i].generation == view.generation) members++;
    if (members > view.member_count) ck_abort_msg("%u members work in a group of %u", members, view.member_count);
}

START_TEST(members_at_random)
{
    struct world world = {.next_id = 0};
    unsigned healthy = 0;

    random_init(&world.random, (uint64_t)_i + 1);

    for (int step = 0; step < STEPS; step++) {
        bool is_calm = step > STEPS - 300; /* in the end nothing goes wrong, and all have to work */
        struct actor *actor = &world.actors[random_below(&world.random, ACTORS)];

        if (!is_calm && random_below(&world.random, 60) == 0) rig_failover(&rig, (rig.leader + 1) % RIG_REPLICAS, random_below(&world.random, 5) == 0);
        if (!is_calm && random_below(&world.random, 40) == 0) actor->state = AWAY; /* it dies */
        else if (!is_calm && random_below(&world.random, 40) == 0 && actor->state > ASKED_ID && leave(actor->id) != MESH_EINVAL) actor->state = AWAY;
        else act(&world, actor);
        rig_tick(&rig, is_calm ? 200 : random_below(&world.random, 1500));
        observe(&world);
    }
    for (int round = 0; round < 200; round++)
        for (int i = 0; i < ACTORS; i++) {
            act(&world, &world.actors[i]);
            if (round % 10 == 0) rig_tick(&rig, 500);
        }
    for (int i = 0; i < ACTORS; i++)
        if (world.actors[i].state == WORKING) healthy++;
    ck_assert_uint_eq(healthy, ACTORS);
    ck_assert_uint_gt(world.generations, 20);
    ck_assert_uint_gt(world.committed, 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group_classic");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, what_members_read_is_reset_by_force_alone);
    tcase_add_test(tcase, another_life_that_is_not_written_says_nothing);
    tcase_add_test(tcase, many_groups_share_a_look);
    tcase_add_test(tcase, a_member_waits_until_all_have_come);
    tcase_add_test(tcase, an_id_is_told_before_it_joins);
    tcase_add_test(tcase, the_first_ones_are_gathered);
    tcase_add_test(tcase, who_does_not_come_back_is_left_out);
    tcase_add_test(tcase, a_silent_member_is_left_out_and_the_group_ends_empty);
    tcase_add_test(tcase, nobody_notices_another_life_of_a_static_member);
    tcase_add_test(tcase, a_new_leader_goes_on_with_whole_generations);
    tcase_add_test(tcase, what_a_leader_cannot_take_over_keeps_its_offsets);
    tcase_add_test(tcase, a_group_is_counted_once);
    tcase_add_test(tcase, a_part_of_a_group_is_not_taken_over);
    tcase_add_test(tcase, a_checkpoint_tells_of_it);
    tcase_add_test(tcase, a_group_has_members_of_one_protocol);
    tcase_add_test(tcase, who_is_away_is_waited_for_in_peace);
    tcase_add_test(tcase, an_emptied_group_gives_its_memory_back);
    tcase_add_test(tcase, what_members_hold_is_bounded);
    tcase_add_loop_test(tcase, members_at_random, 0, 20);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
