/* What a member of a group decides, by hand: no sockets, no clock. */
#include "client/group_member.h"
#include "client/group_pulse.h"

#include "base/error.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#define SESSION_MS 10000

static struct consumer_member *member;
static struct consumer_member_request request;
static struct consumer_member_change change;
static uint64_t now_ms;
static const struct uuid topic = {{7}};

static void begin_as(bool is_static)
{
    const struct consumer_member_terms terms = {SESSION_MS, 20000, 1000, is_static};

    now_ms = 100000;
    ck_assert_int_eq(consumer_member_new(&terms, 5, now_ms, &member), 0);
}

static void begin(void)
{
    begin_as(false);
}

static void end(void)
{
    consumer_member_free(member);
}

static void expect(enum consumer_member_request_kind kind)
{
    ck_assert(consumer_member_next_request(member, now_ms, &request));
    ck_assert_int_eq(request.kind, kind);
}

static void expect_nothing(void)
{
    ck_assert(!consumer_member_next_request(member, now_ms, &request));
}

static void reply(const struct consumer_member_answer *answer)
{
    consumer_member_answered(member, now_ms, request.sequence, answer);
}

static void reply_error(int error)
{
    reply(&(struct consumer_member_answer){.error = error, .epoch = 3});
    now_ms += 1000; /* whatever the pause */
}

static void reply_items(int error, uint64_t offset)
{
    const struct consumer_member_item items[2] = {{error, offset, 1}, {0, offset, 1}};

    reply(&(struct consumer_member_answer){.epoch = 3, .generation = 1, .items = items});
}

static void work(enum consumer_member_work_kind kind)
{
    const struct consumer_member_work list[1] = {{kind, topic, 0}};

    reply(&(struct consumer_member_answer){.epoch = 3, .generation = 1, .work = list, .work_count = 1});
}

static void told(enum consumer_member_change_kind kind)
{
    ck_assert(consumer_member_next_change(member, &change));
    ck_assert_int_eq(change.kind, kind);
}

static void told_nothing(void)
{
    ck_assert(!consumer_member_next_change(member, &change));
}

static void join(void)
{
    expect(CONSUMER_MEMBER_JOIN);
    reply(&(struct consumer_member_answer){.epoch = 3, .generation = 1, .heartbeat_ms = 2000});
}

/* Partition 0 is this member's, from offset 40 on. */
static void own(void)
{
    join();
    expect(CONSUMER_MEMBER_WORK);
    work(CONSUMER_MEMBER_TAKE);
    expect(CONSUMER_MEMBER_CLAIM);
    ck_assert_uint_eq(request.cell_count, 1);
    reply_items(0, 40);
    told(CONSUMER_MEMBER_ASSIGNED);
    ck_assert_uint_eq(change.offset, 40);
    told_nothing();
    expect_nothing();
}

/* The leader has something to tell: the member asks, and is told this of partition 0. */
static void news(enum consumer_member_work_kind kind)
{
    consumer_member_heard(member, now_ms, now_ms, consumer_member_view(member).id,
                          &(struct consumer_member_answer){.epoch = 3, .generation = 1, .has_work = true});
    expect(CONSUMER_MEMBER_WORK);
    work(kind);
}

static void store(uint64_t offset)
{
    ck_assert_int_eq(consumer_member_store(member, &topic, 0, offset, 1, slice_of("note", 4)), 0);
}

START_TEST(a_partition_is_committed_before_it_is_released)
{
    begin();
    own();
    store(50);
    news(CONSUMER_MEMBER_GIVE_BACK);
    told(CONSUMER_MEMBER_ASKED_BACK);
    expect_nothing(); /* until the application has done what it began */
    ck_assert(!consumer_member_owns(member, &topic, 0));
    store(51);
    consumer_member_let_go(member, &topic, 0);
    expect(CONSUMER_MEMBER_COMMIT);
    ck_assert_uint_eq(request.cells[0].offset, 51);
    ck_assert_uint_eq(request.cells[0].metadata.size, 4);
    reply_items(0, 0);
    expect(CONSUMER_MEMBER_RELEASE);
    reply_items(0, 0);
    told(CONSUMER_MEMBER_RELEASED);
    told_nothing();
    ck_assert_int_eq(consumer_member_store(member, &topic, 0, 52, 1, slice_of(NULL, 0)), MESH_ENOT_OWNER);
    end();
}
END_TEST

START_TEST(what_was_asked_back_may_stay)
{
    begin();
    own();
    news(CONSUMER_MEMBER_GIVE_BACK);
    told(CONSUMER_MEMBER_ASKED_BACK);
    now_ms += 2000;
    news(CONSUMER_MEMBER_HOLD);
    told(CONSUMER_MEMBER_RESUMED);
    ck_assert(consumer_member_owns(member, &topic, 0));
    /* Both before the application has looked: nothing has happened. */
    news(CONSUMER_MEMBER_GIVE_BACK);
    now_ms += 2000;
    news(CONSUMER_MEMBER_HOLD);
    told_nothing();
    end();
}
END_TEST

START_TEST(a_claim_that_is_over_is_lost_and_claimed_anew)
{
    begin();
    own();
    store(50);
    news(CONSUMER_MEMBER_TAKE); /* an operator has reset it */
    told(CONSUMER_MEMBER_LOST);
    expect(CONSUMER_MEMBER_CLAIM);
    reply_items(0, 7);
    told(CONSUMER_MEMBER_ASSIGNED);
    ck_assert_uint_eq(change.offset, 7);
    expect_nothing(); /* what was stored before is not committed over the reset */
    end();
}
END_TEST

START_TEST(what_had_no_answer_is_asked_anew_as_it_is_meant_by_then)
{
    uint64_t first;

    begin();
    own();
    store(50);
    ck_assert_uint_eq(consumer_member_commit(member), 1);
    expect(CONSUMER_MEMBER_COMMIT);
    first = request.sequence;
    ck_assert_uint_eq(request.cells[0].offset, 50);
    expect_nothing(); /* one at a time */
    reply_error(MESH_ETIMEDOUT);
    store(60);
    expect(CONSUMER_MEMBER_COMMIT);
    ck_assert_uint_gt(request.sequence, first);
    ck_assert_uint_eq(request.cells[0].offset, 60);
    consumer_member_answered(member, now_ms, first, &(struct consumer_member_answer){.error = MESH_EUNKNOWN_MEMBER}); /* late */
    told_nothing();
    store(61); /* not what is under way */
    reply_items(0, 0);
    told(CONSUMER_MEMBER_COMMITTED);
    ck_assert_uint_eq(change.ticket, 1);
    ck_assert_int_eq(change.error, 0);
    expect_nothing(); /* its turn comes by the clock */
    ck_assert_uint_eq(consumer_member_deadline_ms(member), now_ms + 1000);
    now_ms += 1000;
    expect(CONSUMER_MEMBER_COMMIT);
    ck_assert_uint_eq(request.cells[0].offset, 61);
    end();
}
END_TEST

START_TEST(who_is_not_known_begins_again_under_another_id)
{
    char id[64];

    begin();
    own();
    memcpy(id, consumer_member_view(member).id.data, consumer_member_view(member).id.size);
    store(50);
    consumer_member_commit(member);
    expect(CONSUMER_MEMBER_COMMIT);
    reply_error(MESH_EUNKNOWN_MEMBER);
    told(CONSUMER_MEMBER_LOST);
    told(CONSUMER_MEMBER_COMMITTED);
    ck_assert_int_eq(change.error, MESH_ENOT_OWNER);
    ck_assert(!consumer_member_may_handle(member, now_ms));
    expect(CONSUMER_MEMBER_JOIN);
    ck_assert(memcmp(request.member.data, id, request.member.size) != 0);
    end();
}
END_TEST

START_TEST(a_heartbeat_alone_takes_nothing_away)
{
    begin();
    own();
    consumer_member_heard(member, now_ms, now_ms, consumer_member_view(member).id, &(struct consumer_member_answer){.error = MESH_EUNKNOWN_MEMBER});
    told_nothing();
    expect(CONSUMER_MEMBER_WORK);
    work(CONSUMER_MEMBER_HOLD);
    told_nothing();
    ck_assert(consumer_member_owns(member, &topic, 0));
    end();
}
END_TEST

START_TEST(the_lease_is_as_long_as_proven)
{
    uint64_t start;

    begin();
    start = now_ms;
    own();
    ck_assert(consumer_member_may_handle(member, start + SESSION_MS * 9 / 10 - 1));
    ck_assert(!consumer_member_may_handle(member, start + SESSION_MS * 9 / 10));
    now_ms += 5000;
    consumer_member_heard(member, now_ms, now_ms - 1000, consumer_member_view(member).id,
                          &(struct consumer_member_answer){.epoch = 3, .generation = 1});
    ck_assert_uint_eq(consumer_member_view(member).lease_until_ms, now_ms - 1000 + SESSION_MS * 9 / 10);
    /* What proves less than the request, or an answer for another life, lengthens nothing. */
    consumer_member_heard(member, now_ms, now_ms, consumer_member_view(member).id,
                          &(struct consumer_member_answer){.epoch = 3, .generation = 1, .heard_us = 7000, .proof_behind_us = 1});
    consumer_member_heard(member, now_ms, now_ms, slice_of("other", 5), &(struct consumer_member_answer){.epoch = 3, .generation = 1});
    ck_assert_uint_eq(consumer_member_view(member).lease_until_ms, now_ms - 1000 + SESSION_MS * 9 / 10);
    end();
}
END_TEST

/* A heartbeat that was heard as number heard_us; nobody else led before proved_us. */
static void heard(uint64_t sent_ms, uint32_t epoch, uint64_t heard_us, uint64_t proved_us)
{
    consumer_member_heard(member, now_ms, sent_ms, consumer_member_view(member).id,
                          &(struct consumer_member_answer){.epoch = epoch,
                                                           .generation = 1,
                                                           .heard_us = heard_us,
                                                           .proof_behind_us = proved_us > heard_us ? 0 : proved_us == 0 ? UINT64_MAX : heard_us + 1 - proved_us});
}

static uint64_t leased_from(void)
{
    return consumer_member_view(member).lease_until_ms - SESSION_MS * 9 / 10;
}

START_TEST(a_later_answer_proves_what_an_earlier_did_not)
{
    uint64_t start;

    begin();
    start = now_ms;
    own();
    now_ms += 8000;
    heard(start + 1000, 3, 501000, 400000);
    heard(start + 2000, 3, 502000, 400000);
    heard(start + 3000, 3, 503000, 501000); /* up to the first, and not with it */
    ck_assert_uint_eq(leased_from(), start);
    heard(start + 4000, 3, 504000, 501001);
    ck_assert_uint_eq(leased_from(), start + 1000); /* of those between the newest is remembered */
    heard(start + 5000, 3, 505000, 504500);
    ck_assert_uint_eq(leased_from(), start + 4000);
    heard(start + 6000, 3, 506000, 506001);
    ck_assert_uint_eq(leased_from(), start + 6000);
    heard(start + 5500, 3, 505500, 505900); /* late: what is proved is proved */
    ck_assert_uint_eq(leased_from(), start + 6000);
    end();
}
END_TEST

START_TEST(another_leaders_proof_is_not_of_what_this_one_heard)
{
    uint64_t start;

    begin();
    start = now_ms;
    own();
    now_ms += 8000;
    heard(start + 1000, 3, 501000, 0);
    heard(start + 2000, 4, 902000, 800000); /* its numbers are others */
    ck_assert_uint_eq(leased_from(), start);
    heard(start + 3000, 3, 503000, 502500); /* of a leader of before, late */
    ck_assert_uint_eq(leased_from(), start);
    heard(start + 4000, 4, 904000, 903000);
    ck_assert_uint_eq(leased_from(), start + 2000);
    /* It counts anew: its process is another one. What the one before heard is forgotten, and not for ever waited for. */
    heard(start + 5000, 4, 5000, 0);
    heard(start + 6000, 4, 6000, 5500);
    ck_assert_uint_eq(leased_from(), start + 5000);
    end();
}
END_TEST

START_TEST(who_hears_of_no_proof_asks_for_itself)
{
    begin();
    own();
    ck_assert_uint_eq(consumer_member_deadline_ms(member), now_ms + SESSION_MS * 7 / 10);
    now_ms += SESSION_MS * 7 / 10 - 1;
    expect_nothing();
    now_ms++;
    ck_assert(consumer_member_may_handle(member, now_ms)); /* there is time for an answer */
    expect(CONSUMER_MEMBER_WORK);
    reply(&(struct consumer_member_answer){.epoch = 3, .generation = 1, .proof_behind_us = UINT64_MAX, .work_count = 1,
                                           .work = (const struct consumer_member_work[]){{CONSUMER_MEMBER_HOLD, topic, 0}}});
    expect_nothing(); /* it proved nothing, and would not at once, either */
    ck_assert_uint_eq(consumer_member_deadline_ms(member), now_ms + SESSION_MS / 4);
    now_ms += SESSION_MS / 4;
    expect(CONSUMER_MEMBER_WORK);
    reply_error(MESH_EUNKNOWN_MEMBER); /* it was expelled, and hears of it */
    told(CONSUMER_MEMBER_LOST);
    expect(CONSUMER_MEMBER_JOIN);
    end();
}
END_TEST

START_TEST(what_is_subscribed_to_during_a_join_is_joined_for)
{
    begin();
    expect(CONSUMER_MEMBER_JOIN);
    consumer_member_subscribe(member);
    reply(&(struct consumer_member_answer){.epoch = 3, .generation = 1});
    expect(CONSUMER_MEMBER_JOIN); /* to the other topics */
    reply_error(MESH_EUNREACHABLE);
    expect(CONSUMER_MEMBER_JOIN);
    reply(&(struct consumer_member_answer){.epoch = 3, .generation = 2});
    expect(CONSUMER_MEMBER_WORK);
    end();
}
END_TEST

START_TEST(what_may_be_asked_back_meanwhile_is_not_handed_out)
{
    begin();
    own();
    for (int i = 0; i < 9; i++) { /* heartbeats go on, and say that there is work, but the application does not look */
        now_ms += 2000;
        ck_assert(consumer_member_may_handle(member, now_ms) == (i < 8));
        consumer_member_heard(member, now_ms, now_ms, consumer_member_view(member).id,
                              &(struct consumer_member_answer){.epoch = 3, .generation = 1, .has_work = true});
    }
    expect(CONSUMER_MEMBER_WORK);
    work(CONSUMER_MEMBER_HOLD);
    ck_assert(consumer_member_may_handle(member, now_ms));
    end();
}
END_TEST

START_TEST(another_leader_is_learned_and_asked_anew)
{
    begin();
    own();
    store(50);
    consumer_member_commit(member);
    expect(CONSUMER_MEMBER_COMMIT);
    ck_assert_uint_eq(request.epoch, 3);
    reply(&(struct consumer_member_answer){.error = MESH_ESTALE_EPOCH, .epoch = 4});
    now_ms += 1000;
    expect(CONSUMER_MEMBER_COMMIT);
    ck_assert_uint_eq(request.epoch, 4);
    reply(&(struct consumer_member_answer){.error = MESH_ESTALE_EPOCH, .epoch = 3}); /* of before: knows less */
    now_ms += 1000;
    expect(CONSUMER_MEMBER_COMMIT);
    ck_assert_uint_eq(request.epoch, 4);
    reply(&(struct consumer_member_answer){.error = MESH_ESTALE_EPOCH}); /* which, was not told */
    now_ms += 1000;
    expect(CONSUMER_MEMBER_WORK);
    reply(&(struct consumer_member_answer){.epoch = 5, .generation = 1, .work = &(struct consumer_member_work){CONSUMER_MEMBER_HOLD, topic, 0}, .work_count = 1});
    expect(CONSUMER_MEMBER_COMMIT);
    ck_assert_uint_eq(request.epoch, 5);
    end();
}
END_TEST

static const struct {
    int error;
    bool is_final;
} join_errors[] = {
    {MESH_EINVALID_GROUP, true},   {MESH_EINVALID_SESSION_TIMEOUT, true}, {MESH_EINVALID_PATTERN, true}, {MESH_EINVALID_TOPIC, true},
    {MESH_EFENCED_INSTANCE, true}, {MESH_EGROUP_NOT_EMPTY, true},         {MESH_EUNAUTHORIZED, true},    {MESH_EUNSUPPORTED, true},
    {MESH_EFULL, false},           {MESH_ENO_COORDINATOR, false},         {MESH_EUNREACHABLE, false},    {MESH_ETIMEDOUT, false},
    {MESH_ENOT_LEADER, false},     {MESH_EUNCOMMITTED, false},            {MESH_ESTALE_EPOCH, false},    {MESH_EOUT_OF_ORDER_SEQUENCE, false},
    {MESH_EBUSY, false},           {MESH_ENOT_ENOUGH_REPLICAS, false},
};
START_TEST(some_joins_are_hopeless)
{
    begin();
    expect(CONSUMER_MEMBER_JOIN);
    reply_error(join_errors[_i].error);
    if (join_errors[_i].is_final) {
        told(CONSUMER_MEMBER_FAILED);
        ck_assert_int_eq(change.error, join_errors[_i].error);
        expect_nothing();
        ck_assert_uint_eq(consumer_member_deadline_ms(member), CONSUMER_MEMBER_NEVER);
    } else {
        ck_assert_int_eq(consumer_member_view(member).trouble, join_errors[_i].error);
        expect(CONSUMER_MEMBER_JOIN);
    }
    end();
}
END_TEST

static const struct {
    int error;
    bool is_lost;
} cell_errors[] = {
    {MESH_ENOT_OWNER, true},           {MESH_ESTALE_GENERATION, true}, {MESH_EUNKNOWN_TOPIC, false}, {MESH_EOFFSET_OUT_OF_RANGE, false},
    {MESH_EMETADATA_TOO_LARGE, false}, {MESH_EINVAL, false},
};
START_TEST(a_commit_is_refused_for_one_partition)
{
    begin();
    own();
    store(50);
    consumer_member_commit(member);
    expect(CONSUMER_MEMBER_COMMIT);
    reply_items(cell_errors[_i].error, 0);
    told(cell_errors[_i].is_lost ? CONSUMER_MEMBER_LOST : CONSUMER_MEMBER_REFUSED);
    told(CONSUMER_MEMBER_COMMITTED);
    ck_assert_int_eq(change.error, cell_errors[_i].error);
    told_nothing();
    if (cell_errors[_i].is_lost)
        expect(CONSUMER_MEMBER_WORK);
    else
        expect_nothing(); /* it would be refused again */
    end();
}
END_TEST

START_TEST(a_commit_of_nothing_is_done_at_once)
{
    begin();
    own();
    consumer_member_commit(member);
    told(CONSUMER_MEMBER_COMMITTED);
    ck_assert_int_eq(change.error, 0);
    expect_nothing();
    end();
}
END_TEST

START_TEST(leaving_commits_first)
{
    begin_as(_i == 1);
    own();
    store(50);
    consumer_member_leave(member, false);
    expect(CONSUMER_MEMBER_COMMIT);
    reply_items(0, 0);
    if (_i == 0) { /* a static member stays for its next life */
        expect(CONSUMER_MEMBER_LEAVE);
        reply_error(MESH_EUNKNOWN_MEMBER);
    } else {
        expect_nothing();
    }
    while (consumer_member_next_change(member, &change) && change.kind != CONSUMER_MEMBER_LEFT)
        continue;
    ck_assert_int_eq(change.kind, CONSUMER_MEMBER_LEFT);
    end();
}
END_TEST

START_TEST(who_never_joined_leaves_at_once)
{
    begin();
    consumer_member_leave(member, true);
    expect_nothing();
    told(CONSUMER_MEMBER_LEFT);
    told_nothing();
    end();
}
END_TEST

START_TEST(without_memory_nothing_is_lost)
{
    const struct consumer_member_terms terms = {SESSION_MS, 20000, 1000, false};

    failing_alloc_each(nth)
    {
        bool has_failed;
        int err;

        now_ms = 100000;
        failing_alloc_arm(nth);
        err = consumer_member_new(&terms, 5, now_ms, &member);
        for (int turn = 0; err == 0 && turn < 20 && !consumer_member_owns(member, &topic, 0); turn++) {
            now_ms += 1000;
            if (!consumer_member_next_request(member, now_ms, &request)) continue;
            if (request.kind == CONSUMER_MEMBER_WORK)
                work(CONSUMER_MEMBER_TAKE);
            else
                reply_items(0, 40);
            consumer_member_next_change(member, &change);
        }
        has_failed = failing_alloc_disarm();
        ck_assert(err != 0 || consumer_member_owns(member, &topic, 0));
        if (err == 0) end();
        if (!has_failed) break;
    }
}
END_TEST

START_TEST(heartbeats_follow_the_member)
{
    struct consumer_pulse pulse;
    struct consumer_member_view view;
    uint32_t timeout_ms;

    begin();
    consumer_pulse_init(&pulse, SESSION_MS);
    ck_assert_uint_eq(consumer_pulse_deadline_ms(&pulse), CONSUMER_MEMBER_NEVER);
    own();
    view = consumer_member_view(member);
    consumer_pulse_follow(&pulse, now_ms, &view);
    ck_assert_uint_eq(consumer_pulse_deadline_ms(&pulse), now_ms + 2000); /* as the leader said */
    ck_assert(!consumer_pulse_next(&pulse, now_ms + 1999, &timeout_ms));
    ck_assert(consumer_pulse_next(&pulse, now_ms + 2000, &timeout_ms));
    ck_assert(!consumer_pulse_next(&pulse, now_ms + 9000, &timeout_ms)); /* one at a time */
    consumer_pulse_answered(&pulse, now_ms + 2300, 0);
    ck_assert_uint_eq(consumer_pulse_deadline_ms(&pulse), now_ms + 4000);
    view.is_waiting = true;
    consumer_pulse_follow(&pulse, now_ms + 2300, &view);
    ck_assert_uint_eq(consumer_pulse_deadline_ms(&pulse), now_ms + 2300 + CONSUMER_PULSE_HURRY_MS);
    ck_assert(consumer_pulse_next(&pulse, now_ms + 3000, &timeout_ms));
    consumer_pulse_answered(&pulse, now_ms + 3100, MESH_EUNREACHABLE);
    ck_assert_uint_eq(consumer_pulse_deadline_ms(&pulse), now_ms + 3100 + CONSUMER_PULSE_RETRY_MS);
    view.is_joined = false;
    consumer_pulse_follow(&pulse, now_ms + 3100, &view);
    ck_assert_uint_eq(consumer_pulse_deadline_ms(&pulse), CONSUMER_MEMBER_NEVER);
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group member");
    TCase *tcase = tcase_create("stories");

    tcase_add_test(tcase, a_partition_is_committed_before_it_is_released);
    tcase_add_test(tcase, what_was_asked_back_may_stay);
    tcase_add_test(tcase, a_claim_that_is_over_is_lost_and_claimed_anew);
    tcase_add_test(tcase, what_had_no_answer_is_asked_anew_as_it_is_meant_by_then);
    tcase_add_test(tcase, who_is_not_known_begins_again_under_another_id);
    tcase_add_test(tcase, a_heartbeat_alone_takes_nothing_away);
    tcase_add_test(tcase, the_lease_is_as_long_as_proven);
    tcase_add_test(tcase, a_later_answer_proves_what_an_earlier_did_not);
    tcase_add_test(tcase, another_leaders_proof_is_not_of_what_this_one_heard);
    tcase_add_test(tcase, who_hears_of_no_proof_asks_for_itself);
    tcase_add_test(tcase, what_is_subscribed_to_during_a_join_is_joined_for);
    tcase_add_test(tcase, what_may_be_asked_back_meanwhile_is_not_handed_out);
    tcase_add_test(tcase, another_leader_is_learned_and_asked_anew);
    tcase_add_loop_test(tcase, some_joins_are_hopeless, 0, sizeof(join_errors) / sizeof(join_errors[0]));
    tcase_add_loop_test(tcase, a_commit_is_refused_for_one_partition, 0, sizeof(cell_errors) / sizeof(cell_errors[0]));
    tcase_add_test(tcase, a_commit_of_nothing_is_done_at_once);
    tcase_add_loop_test(tcase, leaving_commits_first, 0, 2);
    tcase_add_test(tcase, who_never_joined_leaves_at_once);
    tcase_add_test(tcase, without_memory_nothing_is_lost);
    tcase_add_test(tcase, heartbeats_follow_the_member);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
