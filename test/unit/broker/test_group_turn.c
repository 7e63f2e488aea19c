/* One replica of a group partition beside a log in memory: following it, leading, answers that wait, proofs, trimming.
 * Run twice: as it is shipped, and where defects can be brought back (test_group_turn_switches). */
#include "cmd/broker/groups/group_turn.h"

#include "support/run_suite.h"

#include <stdio.h>

static const struct uuid topic_id = {{7}};
static const struct group_topic topic = {{{7}}, {(const uint8_t *)"orders", 6}, 4, NULL};

static bool find(void *arg, const struct uuid *id, struct group_topic *ret_topic)
{
    (void)arg;
    *ret_topic = topic;
    return uuid_equal(id, &topic_id);
}

static bool find_by_name(void *arg, struct slice name, struct group_topic *ret_topic)
{
    (void)arg;
    *ret_topic = topic;
    return slice_equal(name, topic.name);
}

static bool next(void *arg, size_t *cursor, struct group_topic *ret_topic)
{
    (void)arg;
    *ret_topic = topic;
    return (*cursor)++ == 0;
}

static uint16_t zone_number(void *arg, struct slice zone)
{
    (void)arg;
    (void)zone;
    return 1;
}

static struct record_batch_builder builder;
static struct group_terms terms;
static struct group_part leader, follower;
static struct group_facts facts;
static struct buffer batches; /* the log, from log_start on */
static uint64_t sequence, deadline;

struct answer {
    struct group_waiter waiter;
    int error; /* 1: none yet */
};

#ifdef MESH_TEST_SWITCHES
#define DEFECTS 2 /* the second run is with the defect */
#else
#define DEFECTS 1
#endif

static struct answer answer;

static void answered(struct group_waiter *waiter, int error)
{
    container_of(waiter, struct answer, waiter)->error = error;
}

static void setup(void)
{
    record_batch_builder_init(&builder);
    batches = (struct buffer)BUFFER_INIT;
    terms = (struct group_terms){.catalog = {find, find_by_name, next, zone_number, NULL, NULL}, .builder = &builder};
    group_limits_init(&terms.limits);
    group_part_init(&leader, &terms);
    group_part_init(&follower, &terms);
    facts = (struct group_facts){.now_ms = 100000, .wall_ms = 1700000000000, .epoch = 3, .may_lead = true};
    sequence = 0;
}

static void teardown(void)
{
    group_part_deinit(&leader, MESH_ESHUTDOWN);
    group_part_deinit(&follower, MESH_ESHUTDOWN);
    record_batch_builder_deinit(&builder);
    buffer_deinit(&batches);
}

/* ---- the log ---- */

static void append(struct slice batch, uint32_t records)
{
    size_t at = batches.size;

    ck_assert_int_eq(buffer_append(&batches, batch.data, batch.size), 0);
    record_batch_set_base_offset(batches.data + at, (int64_t)facts.log_end);
    record_batch_set_leader_epoch(batches.data + at, (int32_t)facts.epoch);
    facts.log_end += records;
}

static void append_control(int16_t type)
{
    struct buffer batch = BUFFER_INIT;

    ck_assert_int_eq(record_batch_build_control(&batch, -1, -1, type, (int32_t)facts.epoch, 1), 0);
    append(buffer_slice(&batch), 1);
    buffer_deinit(&batch);
}

static void send(struct group_part *part)
{
    struct slice batch;

    while (group_part_next_batch(part, &facts, &batch) == 0 && batch.size > 0) {
        append(batch, part->batch_records);
        group_part_appended(part, &facts, facts.log_end);
    }
    if (!group_part_wants_proof(part, &facts)) return;
    append_control(GROUP_PART_CONTROL_PROOF);
    group_part_proof_appended(part, &facts, facts.log_end);
}

static void follow(struct group_part *part)
{
    uint64_t from;

    if (group_part_wants_log(part, &facts, &from)) ck_assert_int_eq(group_part_take(part, &facts, buffer_slice(&batches)), 0);
}

static void commit_all(struct group_part *part)
{
    facts.high_watermark = facts.log_end;
    group_part_committed(part, &facts);
}

static void turn(struct group_part *part)
{
    facts.clock_us = facts.now_ms * 1000;
    follow(part);
    group_part_turn(part, &facts, &deadline);
    send(part);
}

/* ---- requests ---- */

static void await(struct group_part *part, const struct group_reply *reply, uint32_t session_ms)
{
    facts.clock_us = facts.now_ms * 1000;
    answer = (struct answer){{.barrier = reply->barrier, .due_ms = facts.now_ms + 5000, .session_ms = session_ms, .done = answered}, 1};
    list_init(&answer.waiter.node);
    group_part_wait(part, &facts, &answer.waiter);
}

static struct group_caller caller_of(const char *id)
{
    return (struct group_caller){.group = slice_of_string("g"), .member = slice_of_string(id), .epoch_plus_one = facts.epoch + 1, .sequence = ++sequence};
}

static void join(struct group_part *part, const char *id)
{
    struct group_member_info info = {.id = slice_of_string(id), .names = slice_of("\6orders", 7), .name_count = 1, .session_timeout_ms = 10000, .processing_limit_ms = 1000};
    struct group_caller caller = caller_of(id);
    struct group_reply reply;

    ck_assert_int_eq(group_part_ready(part, &facts, true), 0);
    ck_assert_int_eq(group_lead_join(part->lead, facts.now_ms, facts.wall_ms, &caller, &info, &reply), 0);
    await(part, &reply, 10000);
}

static void beat(struct group_part *part, const char *id)
{
    struct group_caller caller = caller_of(id);
    struct group_reply reply;

    ck_assert_int_eq(group_part_ready(part, &facts, false), 0);
    ck_assert_int_eq(group_lead_heartbeat(part->lead, facts.now_ms, &caller, &reply), 0);
    await(part, &reply, 10000);
}

/* How far behind what was heard last its proof is. */
static uint64_t behind_us(void)
{
    return group_part_proof_behind(&leader, &facts, answer.waiter.heard);
}

/* What happens in one microsecond is counted on. */
static bool is_about(uint64_t us, uint64_t expected_us)
{
    return us >= expected_us - 20 && us <= expected_us + 20;
}

static void lead_with_a_member(void)
{
    append_control(2);
    turn(&leader);
    ck_assert_ptr_nonnull(leader.lead);
    join(&leader, "a");
    turn(&leader);
    commit_all(&leader);
    ck_assert_int_eq(answer.error, 0);
}

/* ---- stories ---- */

START_TEST(an_answer_leaves_when_all_have_it)
{
    append_control(2);
    ck_assert_int_eq(group_part_ready(&leader, &facts, true), MESH_EAGAIN);
    turn(&leader);
    join(&leader, "a");
    ck_assert_int_eq(answer.error, 1);
    turn(&leader);
    ck_assert_int_eq(answer.error, 1);
    facts.high_watermark = facts.log_end - 2; /* the generation after it is not its own matter, but the join is */
    group_part_committed(&leader, &facts);
    ck_assert_int_eq(answer.error, 1);
    commit_all(&leader);
    ck_assert_int_eq(answer.error, 0);
    follow(&follower);
    ck_assert_uint_eq(groups_hash(leader.state), groups_hash(follower.state));
    ck_assert_uint_eq(follower.applied, facts.log_end);
}
END_TEST

START_TEST(who_ceases_tells_nobody_more_than_an_error)
{
    lead_with_a_member();
    beat(&leader, "a");
    ck_assert_int_eq(answer.error, 0);
    join(&leader, "b");
    group_part_cease(&leader);
    ck_assert_int_eq(answer.error, MESH_EUNCOMMITTED);
    ck_assert_ptr_null(leader.state); /* the log has not what b asked for */
    facts.may_lead = false;
    turn(&leader);
    ck_assert_uint_eq(groups_hash(leader.state), (follow(&follower), groups_hash(follower.state)));
    ck_assert_int_eq(group_part_ready(&leader, &facts, false), MESH_ENOT_LEADER);
}
END_TEST

START_TEST(a_follower_that_begins_to_lead_loads_nothing)
{
    lead_with_a_member();
    follow(&follower);
    group_part_cease(&leader);
    ck_assert_ptr_nonnull(leader.state);
    facts.epoch = 4;
    append_control(2);
    turn(&follower);
    ck_assert_ptr_nonnull(follower.lead);
    ck_assert_uint_eq(follower.rebuilds, 1);
    /* Nothing was committed in this epoch: what it says proves nothing, until the control batch that asks for it is. */
    facts.high_watermark = facts.log_end - 1;
    beat(&follower, "a");
    ck_assert_int_eq(answer.error, 1);
    turn(&follower);
    commit_all(&follower);
    ck_assert_int_eq(answer.error, 0);
    follow(&leader);
    ck_assert_uint_eq(groups_hash(leader.state), groups_hash(follower.state));
}
END_TEST

START_TEST(a_proof_is_renewed_where_there_is_nothing_to_append)
{
    uint64_t end;

    lead_with_a_member();
    turn(&leader);
    commit_all(&leader);
    end = facts.log_end;
    ck_assert_uint_eq(behind_us(), 0);
    turn(&leader);
    ck_assert_uint_eq(deadline, facts.now_ms + 2500); /* a quarter of the session */
    ck_assert_uint_eq(facts.log_end, end);
    facts.now_ms = deadline;
    beat(&leader, "a");
    ck_assert_int_eq(answer.error, 0);
    turn(&leader);
    ck_assert_uint_eq(facts.log_end, end + 1);
    ck_assert(is_about(behind_us(), 2500000));
    /* The others are silent: what is older than half a session is no proof. */
    facts.now_ms += 5100;
    turn(&leader);
    beat(&leader, "a");
    ck_assert_int_eq(answer.error, 1);
    ck_assert_uint_eq(facts.log_end, end + 1); /* one is under way */
    commit_all(&leader);
    ck_assert_int_eq(answer.error, 1); /* it says only what held when it was appended */
    turn(&leader);
    commit_all(&leader);
    ck_assert_int_eq(answer.error, 0);
}
END_TEST

/* Another leads and it does not know: nothing is committed any more. With the switch it tells a member that its lease goes on. */
START_TEST(a_deposed_leader_prolongs_no_lease)
{
    lead_with_a_member();
    turn(&leader);
    commit_all(&leader);
#ifdef MESH_TEST_SWITCHES
    if (_i == 1) group_part_bring_back(&leader, GROUP_PART_DEFECT_LEASE_UNPROVED);
#endif
    for (int i = 0; i < 2; i++) {
        facts.now_ms += 3000;
        turn(&leader);
        beat(&leader, "a");
        ck_assert_int_eq(answer.error, i == 0 || _i == 1 ? 0 : 1);
        if (answer.error == 0) ck_assert(_i == 1 ? behind_us() == 0 : is_about(behind_us(), 3000000));
    }
}
END_TEST

/* Its machine was stopped after the proof, and a member's request comes when it goes on: nothing says how long that was. With the switch it believes its clock, by which
 * it was no time at all, and the member takes its lease for prolonged while another leader may have given everything away. */
START_TEST(a_clock_that_stood_still_prolongs_no_lease)
{
    uint64_t heard;

    lead_with_a_member();
    turn(&leader);
    commit_all(&leader);
#ifdef MESH_TEST_SWITCHES
    if (_i == 1) group_part_bring_back(&leader, GROUP_PART_DEFECT_LEASE_BY_CLOCK);
#endif
    beat(&leader, "a");
    ck_assert_int_eq(answer.error, 0);
    ck_assert(_i == 1 ? behind_us() == 0 : behind_us() > 0);
    /* What it appends from then on, and is committed, proves that it still led when that was heard. */
    heard = answer.waiter.heard;
    facts.now_ms += 2500;
    turn(&leader);
    ck_assert(_i == 1 || group_part_proof_behind(&leader, &facts, heard) > 0);
    commit_all(&leader);
    ck_assert_uint_eq(group_part_proof_behind(&leader, &facts, heard), 0);
    facts.now_ms += 1000;
    beat(&leader, "a");
    ck_assert(is_about(behind_us(), 1000000));
}
END_TEST

START_TEST(a_single_replica_proves_nothing)
{
    uint64_t end;

    facts.is_alone = true;
    turn(&leader);
    join(&leader, "a");
    turn(&leader);
    commit_all(&leader);
    ck_assert_int_eq(answer.error, 0);
    end = facts.log_end;
    facts.now_ms += 9000;
    beat(&leader, "a");
    ck_assert_int_eq(answer.error, 0);
    turn(&leader);
    ck_assert_uint_eq(facts.log_end, end);
}
END_TEST

START_TEST(below_min_the_coordinator_is_the_proof)
{
    lead_with_a_member();
    turn(&leader);
    commit_all(&leader);
    facts.is_below_min = true;
    ck_assert_int_eq(group_part_ready(&leader, &facts, true), MESH_ENOT_ENOUGH_REPLICAS);
    facts.now_ms += 9000;
    turn(&leader);
    beat(&leader, "a");
    ck_assert_int_eq(answer.error, 1);
    facts.coordinator_us = (facts.now_ms - 200) * 1000;
    turn(&leader);
    ck_assert_int_eq(answer.error, 0);
    ck_assert(is_about(behind_us(), 2200000));
    facts.coordinator_us = (facts.now_ms + 2001) * 1000; /* asked so long after the heartbeat came */
    ck_assert_uint_eq(behind_us(), 0);
    /* Nobody is expelled by the outage of others. */
    facts.now_ms += 60000;
    turn(&leader);
    ck_assert_ptr_nonnull(group_find_member(leader.state, groups_find(leader.state, slice_of_string("g")), slice_of_string("a")));
}
END_TEST

static void commit(struct group_part *part, const char *id, uint64_t offset)
{
    struct group_commit_cell cell = {.topic = topic_id, .offset = offset, .record_epoch = -1};
    uint32_t generation = group_view_of(groups_find(part->state, slice_of_string("g"))).generation;
    struct group_claim claim = {.topic = topic_id};
    struct group_caller caller = caller_of(id);
    struct group_commit asked = {.generation = generation, .reset_epoch = GROUP_RESET_EPOCH_ANY, .cells = &cell, .cell_count = 1};
    struct group_reply reply;

    ck_assert_int_eq(group_lead_claim(part->lead, facts.now_ms, &caller, generation, &claim, 1, &reply), 0);
    turn(part);
    commit_all(part);
    asked.caller = caller_of(id);
    ck_assert_int_eq(group_lead_commit(part->lead, facts.now_ms, facts.wall_ms, &asked, &reply), 0);
    ck_assert_int_eq(cell.error, 0);
    turn(part);
}

/* What it has inherited is not committed before others are there: it can answer nothing, for it may all be lost. So members get no proof and hand out nothing more, and
 * nothing is taken from them; when the others are back they go on with what they have. */
START_TEST(who_begins_below_min_takes_nothing_from_anybody)
{
    lead_with_a_member();
    turn(&leader);
    commit_all(&leader);
    commit(&leader, "a", 7); /* not committed */
    follow(&follower);
    facts.epoch++;
    facts.is_below_min = true;
    facts.clock_us = facts.now_ms * 1000;
    facts.coordinator_us = (facts.now_ms + 60000) * 1000; /* the coordinator proves that it leads, but not what holds */
    turn(&follower);
    ck_assert_ptr_nonnull(follower.lead);
    beat(&follower, "a");
    ck_assert_int_eq(answer.error, 1);
    facts.now_ms += 60000;
    turn(&follower);
    ck_assert_int_eq(answer.error, MESH_ETIMEDOUT);
    ck_assert_ptr_nonnull(group_find_member(follower.state, groups_find(follower.state, slice_of_string("g")), slice_of_string("a")));
    beat(&follower, "a");
    facts.is_below_min = false;
    turn(&follower); /* a record of its own, with which the inherited ones are committed */
    commit_all(&follower);
    ck_assert_int_eq(answer.error, 0);
}
END_TEST

START_TEST(below_min_what_is_under_way_keeps_no_member_waiting)
{
    lead_with_a_member();
    turn(&leader);
    commit_all(&leader);
    commit(&leader, "a", 7);
    ck_assert_uint_gt(facts.log_end, facts.high_watermark);
    facts.is_below_min = true;
    group_part_below_min(&leader, &facts);
    facts.now_ms += 9000;
    facts.coordinator_us = (facts.now_ms - 200) * 1000;
    turn(&leader);
    beat(&leader, "a");
    ck_assert_int_eq(answer.error, 0);
}
END_TEST

/* A heartbeat rests on less than a commit that came before it: it does not stand in its queue. */
START_TEST(a_heartbeat_overtakes_commits)
{
    struct group_commit_cell cell = {.topic = topic_id, .offset = 8, .record_epoch = -1};
    struct group_commit asked = {.generation = 1, .reset_epoch = GROUP_RESET_EPOCH_ANY, .cells = &cell, .cell_count = 1};
    struct answer of_commit = {{.due_ms = facts.now_ms + 5000, .done = answered}, 1};
    struct group_caller caller;
    struct group_reply reply;

    lead_with_a_member();
    commit(&leader, "a", 7);
    commit_all(&leader);
    join(&leader, "b"); /* what the heartbeat rests on */
    turn(&leader);
    asked.caller = caller_of("a");
    asked.generation = group_view_of(groups_find(leader.state, slice_of_string("g"))).generation;
    ck_assert_int_eq(group_lead_commit(leader.lead, facts.now_ms, facts.wall_ms, &asked, &reply), 0);
    of_commit.waiter.barrier = reply.barrier;
    list_init(&of_commit.waiter.node);
    group_part_wait(&leader, &facts, &of_commit.waiter);
    turn(&leader);
    ck_assert_int_eq(answer.error, 1); /* b's join */
    caller = caller_of("a");
    ck_assert_int_eq(group_lead_heartbeat(leader.lead, facts.now_ms, &caller, &reply), 0);
    facts.high_watermark = reply.barrier - 1;
    group_part_committed(&leader, &facts);
    ck_assert_int_eq(answer.error, 0); /* b's; what it has to do is not known yet */
    await(&leader, &reply, 0);
    ck_assert_int_eq(answer.error, 1);
    facts.high_watermark = reply.barrier;
    group_part_committed(&leader, &facts);
    ck_assert_int_eq(answer.error, 0);
    ck_assert_int_eq(of_commit.error, 1);
    commit_all(&leader);
    ck_assert_int_eq(of_commit.error, 0);
}
END_TEST

START_TEST(what_too_few_replicas_have_is_unknown)
{
    lead_with_a_member();
    join(&leader, "b");
    turn(&leader);
    ck_assert_int_eq(answer.error, 1);
    facts.is_below_min = true;
    group_part_below_min(&leader, &facts);
    ck_assert_int_eq(answer.error, MESH_EUNCOMMITTED);
    ck_assert_ptr_nonnull(leader.lead);
}
END_TEST

START_TEST(time_is_up_for_who_waits)
{
    lead_with_a_member();
    join(&leader, "b");
    turn(&leader);
    facts.now_ms += 5000;
    turn(&leader);
    ck_assert_int_eq(answer.error, MESH_ETIMEDOUT);
    ck_assert_uint_eq(leader.waiting_count, 0);
}
END_TEST

START_TEST(a_cut_takes_the_state)
{
    lead_with_a_member();
    follow(&follower);
    group_part_cut(&follower);
    ck_assert_ptr_null(follower.state);
    follow(&follower);
    ck_assert_uint_eq(groups_hash(leader.state), groups_hash(follower.state));
    ck_assert_uint_eq(follower.rebuilds, 2);
}
END_TEST

START_TEST(who_arrives_before_the_lead_waits_for_it)
{
    struct answer early = {{.due_ms = facts.now_ms + 60000, .done = answered}, 1};

    list_init(&early.waiter.node);
    ck_assert(group_part_await(&leader, &facts, &early.waiter));
    append_control(2);
    turn(&leader);
    ck_assert_int_eq(early.error, 0);
    early.error = 1;
    early.waiter.due_ms = facts.now_ms + 60000;
    ck_assert(group_part_await(&follower, &facts, &early.waiter));
    facts.may_lead = false;
    turn(&follower);
    ck_assert_int_eq(early.error, MESH_ENOT_LEADER);
    early.error = 1;
    facts.may_lead = true;
    facts.log_start = 5; /* and what lies there cannot be read */
    facts.log_end = 9;
    early.waiter.due_ms = facts.now_ms + 60000;
    ck_assert(group_part_await(&follower, &facts, &early.waiter));
    group_part_turn(&follower, &facts, &deadline);
    ck_assert_uint_eq(deadline, facts.now_ms + GROUP_PART_ARRIVAL_MS);
    facts.now_ms = deadline;
    group_part_turn(&follower, &facts, &deadline);
    ck_assert_int_eq(early.error, MESH_ETIMEDOUT);
}
END_TEST

static struct answer *waiting_then;
static int begun_error, begun_calls;

static int begins(void *user, struct group_part *part, const struct group_facts *at)
{
    (void)user;
    ck_assert(part->lead != NULL && part->lead_epoch == at->epoch && waiting_then->error == 1); /* nobody was sent on */
    begun_calls++;
    return begun_error;
}

START_TEST(what_a_lead_begins_with_comes_before_whoever_waited)
{
    struct answer early = {{.due_ms = facts.now_ms + 60000, .done = answered}, 1};

    terms.begun = begins;
    waiting_then = &early;
    begun_calls = 0;
    begun_error = MESH_ENOMEM;
    list_init(&early.waiter.node);
    ck_assert(group_part_await(&leader, &facts, &early.waiter));
    append_control(2);
    turn(&leader);
    ck_assert(begun_calls == 1 && leader.lead == NULL && early.error == 1 && deadline == facts.now_ms + GROUP_PART_RETRY_MS);
    begun_error = 0;
    facts.now_ms = deadline;
    turn(&leader);
    ck_assert(begun_calls == 2 && leader.lead != NULL && early.error == 0);
}
END_TEST

static int asked_calls, makes_up_calls;
static bool may_begin_now;

static bool asked(void *user, struct group_part *part, const struct group_facts *at)
{
    (void)user;
    ck_assert(part->lead == NULL && groups_losses(part->state) < at->losses);
    asked_calls++;
    return may_begin_now;
}

static int makes_up(void *user, struct group_part *part, const struct group_facts *at)
{
    (void)user;
    makes_up_calls += groups_losses(part->state) < at->losses;
    return 0;
}

START_TEST(a_loss_is_the_next_leaders_until_it_is_made_up_for)
{
    terms.may_begin = asked;
    terms.begun = makes_up;
    asked_calls = makes_up_calls = 0;
    may_begin_now = false;
    facts.losses = 1;
    facts.is_to_lead = true;
    append_control(2);
    turn(&leader);
    ck_assert(asked_calls == 1 && leader.lead == NULL && group_part_ready(&leader, &facts, false) == MESH_EAGAIN);
    may_begin_now = true;
    follow(&leader);
    group_part_turn(&leader, &facts, &deadline);
    ck_assert(asked_calls == 2 && makes_up_calls == 1 && leader.lead != NULL && groups_losses(leader.state) == 1);
    /* It ends before any of that is in the log, and its successor is elected cleanly. */
    facts.epoch++;
    append_control(2);
    turn(&follower);
    ck_assert(asked_calls == 3 && makes_up_calls == 2 && follower.lead != NULL && groups_losses(follower.state) == 1);
    commit_all(&follower);
    /* Whoever follows on it need not. */
    facts.epoch++;
    append_control(2);
    group_part_cut(&leader);
    turn(&leader);
    ck_assert(asked_calls == 3 && makes_up_calls == 2 && leader.lead != NULL && groups_losses(leader.state) == 1);
    ck_assert_uint_eq(groups_hash(leader.state), groups_hash(follower.state));
    facts.losses++;
    facts.epoch++;
    append_control(2);
    turn(&follower); /* it ceases */
    turn(&follower);
    ck_assert(asked_calls == 4 && makes_up_calls == 3);
}
END_TEST

START_TEST(what_no_leader_wrote_stops_the_replica)
{
    struct record record = {.timestamp_ms = 1, .value = slice_of_string("nonsense"), .key_is_null = true};
    static const struct record_batch_producer nobody = {-1, -1, -1};
    struct slice batch;

    ck_assert_int_eq(record_batch_builder_add(&builder, &record), 0);
    ck_assert_int_eq(record_batch_builder_finish(&builder, &nobody, 0, RECORD_COMPRESSION_NONE, NULL, &batch), 0);
    append(batch, 1);
    uint64_t from;
    ck_assert(group_part_wants_log(&leader, &facts, &from));
    ck_assert_int_ne(group_part_take(&leader, &facts, buffer_slice(&batches)), 0);
    ck_assert_int_eq(leader.phase, GROUP_PART_STOPPED);
    ck_assert(!group_part_wants_log(&leader, &facts, &from));
    ck_assert_int_eq(group_part_ready(&leader, &facts, false), MESH_ENOT_LEADER);
    turn(&leader);
    ck_assert_ptr_null(leader.lead);
}
END_TEST

START_TEST(damage_is_waited_for)
{
    uint64_t from;

    lead_with_a_member();
    batches.data[batches.size - 3] ^= 1;
    ck_assert(group_part_wants_log(&follower, &facts, &from));
    ck_assert_int_eq(group_part_take(&follower, &facts, buffer_slice(&batches)), MESH_EAGAIN);
    batches.data[batches.size - 3] ^= 1;
    follow(&follower);
    ck_assert_uint_eq(groups_hash(leader.state), groups_hash(follower.state));
}
END_TEST

/* Joins until the log holds a checkpoint whose end is not committed yet. */
static void begin_a_checkpoint(uint64_t *ret_start)
{
    uint64_t end;

    terms.limits.checkpoint_bytes_min = 200;
    lead_with_a_member();
    for (int i = 0; i < 40; i++) {
        char id[8];

        snprintf(id, sizeof(id), "m%d", i);
        join(&leader, id);
        commit_all(&leader);
        turn(&leader);
        if (groups_log_may_start(leader.state, ret_start, &end)) break;
        commit_all(&leader);
    }
    ck_assert_uint_gt(*ret_start, 0);
    ck_assert_uint_lt(facts.high_watermark, end);
}

START_TEST(a_log_is_trimmed_once_its_checkpoint_is_committed)
{
    uint64_t start, begin = 0;

    begin_a_checkpoint(&begin);
    ck_assert(!group_part_may_trim(&leader, &facts, &start));
    commit_all(&leader);
    ck_assert(group_part_may_trim(&leader, &facts, &start));
    ck_assert_uint_eq(start, begin);
    ck_assert(!group_part_may_trim(&leader, &facts, &start)); /* said once */
}
END_TEST

/* The leader is gone, and with it what was not committed; the next one has been started anew, and reads its log from where it begins. */
static void lose_what_is_not_committed(uint64_t log_start)
{
    struct buffer kept = BUFFER_INIT;
    struct record_batch_header header;

    for (size_t at = 0; at < batches.size; at += header.size) {
        uint64_t base;

        ck_assert_int_eq(record_batch_parse_header(slice_of(batches.data + at, batches.size - at), &header), 0);
        base = (uint64_t)header.base_offset;
        if (base < log_start || base >= facts.high_watermark) continue;
        ck_assert_int_eq(buffer_append(&kept, batches.data + at, header.size), 0);
    }
    buffer_deinit(&batches);
    batches = kept;
    facts.log_start = log_start;
    facts.log_end = facts.high_watermark;
}

/* Why it is not trimmed sooner: with the switch, committed members are gone. */
START_TEST(what_is_committed_outlives_the_leader_that_trims)
{
    uint64_t start, log_start = facts.log_start;
    const struct group *group;

    begin_a_checkpoint(&start);
#ifdef MESH_TEST_SWITCHES
    if (_i == 1) group_part_bring_back(&leader, GROUP_PART_DEFECT_TRIM_EARLY);
#endif
    if (group_part_may_trim(&leader, &facts, &start)) log_start = start;
    lose_what_is_not_committed(log_start);
    follow(&follower);
    group = groups_find(follower.state, slice_of_string("g"));
    ck_assert_int_eq(groups_is_whole(follower.state) && group != NULL && group_find_member(follower.state, group, slice_of_string("a")) != NULL, _i == 0);
}
END_TEST

START_TEST(a_full_log_refuses_changes_and_ends_no_session)
{
    struct slice batch;

    lead_with_a_member();
    join(&leader, "b");
    ck_assert_int_eq(group_part_next_batch(&leader, &facts, &batch), 0);
    ck_assert_uint_gt(batch.size, 0);
    group_part_not_appended(&leader, &facts);
    ck_assert_int_eq(group_part_ready(&leader, &facts, true), MESH_EFULL);
    ck_assert_int_eq(group_part_ready(&leader, &facts, false), 0);
    facts.now_ms += 60000;
    group_part_turn(&leader, &facts, &deadline);
    ck_assert_ptr_nonnull(group_find_member(leader.state, groups_find(leader.state, slice_of_string("g")), slice_of_string("a")));
    send(&leader);
    ck_assert_int_eq(group_part_ready(&leader, &facts, true), 0);
    follow(&follower);
    ck_assert_uint_eq(groups_hash(leader.state), groups_hash(follower.state));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group_turn");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, an_answer_leaves_when_all_have_it);
    tcase_add_test(tcase, who_ceases_tells_nobody_more_than_an_error);
    tcase_add_test(tcase, a_follower_that_begins_to_lead_loads_nothing);
    tcase_add_test(tcase, a_proof_is_renewed_where_there_is_nothing_to_append);
    tcase_add_loop_test(tcase, a_deposed_leader_prolongs_no_lease, 0, DEFECTS);
    tcase_add_loop_test(tcase, a_clock_that_stood_still_prolongs_no_lease, 0, DEFECTS);
    tcase_add_test(tcase, a_single_replica_proves_nothing);
    tcase_add_test(tcase, below_min_the_coordinator_is_the_proof);
    tcase_add_test(tcase, who_begins_below_min_takes_nothing_from_anybody);
    tcase_add_test(tcase, below_min_what_is_under_way_keeps_no_member_waiting);
    tcase_add_test(tcase, a_heartbeat_overtakes_commits);
    tcase_add_test(tcase, what_too_few_replicas_have_is_unknown);
    tcase_add_test(tcase, time_is_up_for_who_waits);
    tcase_add_test(tcase, a_cut_takes_the_state);
    tcase_add_test(tcase, who_arrives_before_the_lead_waits_for_it);
    tcase_add_test(tcase, what_a_lead_begins_with_comes_before_whoever_waited);
    tcase_add_test(tcase, a_loss_is_the_next_leaders_until_it_is_made_up_for);
    tcase_add_test(tcase, what_no_leader_wrote_stops_the_replica);
    tcase_add_test(tcase, damage_is_waited_for);
    tcase_add_test(tcase, a_log_is_trimmed_once_its_checkpoint_is_committed);
    tcase_add_loop_test(tcase, what_is_committed_outlives_the_leader_that_trims, 0, DEFECTS);
    tcase_add_test(tcase, a_full_log_refuses_changes_and_ends_no_session);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
