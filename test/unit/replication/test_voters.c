/* Who votes: by the size of the mesh, never by its failures; and what is said about it. */
#include "base/error.h"
#include "metadata_history.h"
#include "replication/consensus/config_codec.h"
#include "replication/coordinator/voters.h"
#include "support/run_suite.h"

#include <stdlib.h>

#define S 1000000ull
#define BROKERS_MAX 12

static struct history *history;
static struct raft_config config;
static struct voter_facts facts[BROKERS_MAX];
static struct raft_server servers[BROKERS_MAX]; /* by number, from 0: in the order of registration */
static size_t broker_count;
static struct voters_input input;

static void set_up(void)
{
    history = history_new_mesh(0, "");
    memset(&config, 0, sizeof(config));
    memset(facts, 0, sizeof(facts));
    broker_count = 0;
    input = (struct voters_input){.config = &config, .facts = facts, .now_us = 1000 * S, .stable_us = 10 * S, .gone_us = 60 * S};
}

static void tear_down(void)
{
    history_free(history);
}

static void register_server(size_t number, const char *zone, bool is_witness, uint64_t boot)
{
    static const char *const names[BROKERS_MAX] = {"b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9", "b10", "b11"};
    struct decide_broker_register request = {
        .broker_id = servers[number].broker,
        .dir_id = servers[number].dir,
        .boot = boot,
        .name = names[number],
        .host = "h",
        .zone = zone,
        .port = 1,
        .shard_count = 1,
        .is_witness = is_witness,
        .starts_fenced = true,
    };
    struct decision decision;

    decision_init(&decision);
    ck_assert_msg(decide_broker_register(history->image, &request, &decision) == 0, "%s", decision.message);
    history_commit(history, &decision);
    decision_deinit(&decision);
}

/* A broker that has been up for an hour. The first one votes. */
static size_t add_broker(const char *zone, bool is_witness)
{
    size_t number = broker_count++;

    servers[number] = (struct raft_server){history_uuid(history), history_uuid(history)};
    register_server(number, zone, is_witness, 1);
    facts[number] = (struct voter_facts){.broker_id = servers[number].broker, .alive_us = input.now_us - 3600 * S};
    input.fact_count = broker_count;
    if (number == 0) {
        config.voters[0] = servers[0];
        config.voter_count = 1;
        input.self = servers[0];
    }
    return number;
}

static void retire(size_t number)
{
    struct decide_broker_retire request = {.broker_id = servers[number].broker, .is_alive_ok = true};
    struct decision decision;

    decision_init(&decision);
    ck_assert_int_eq(decide_broker_retire(history->image, &request, &decision), 0);
    history_commit(history, &decision);
    decision_deinit(&decision);
}

static void silence(size_t number, uint64_t for_us)
{
    facts[number].alive_us = 0;
    facts[number].silent_us = input.now_us - for_us;
}

static bool is_in(const struct raft_server *list, uint8_t count, const struct raft_server *server)
{
    for (uint8_t i = 0; i < count; i++) {
        if (raft_server_equal(&list[i], server)) return true;
    }
    return false;
}

static bool votes(size_t number)
{
    return is_in(config.voters, config.voter_count, &servers[number]);
}

static bool follows(size_t number)
{
    return is_in(config.learners, config.learner_count, &servers[number]);
}

/* Learners of the configuration catch up. One step: false when nothing is to change. What a change may never be is checked. */
static bool step(void)
{
    struct voters_choice choice;

    for (size_t i = 0; i < broker_count; i++)
        facts[i].is_caught_up = follows(i) && facts[i].alive_us != 0;
    voters_choose(history->image, &input, &choice);
    if (!choice.is_wanted) {
        ck_assert(raft_config_equal(&choice.wanted, &config));
        return false;
    }
    ck_assert(raft_config_is_sound(&choice.wanted));
    ck_assert_uint_eq(choice.wanted.old_voter_count, 0);
    ck_assert_str_ne(choice.why, "");
    for (uint8_t i = 0; i < choice.wanted.voter_count; i++) /* who comes was a learner */
        ck_assert(is_in(config.voters, config.voter_count, &choice.wanted.voters[i]) ||
                  is_in(config.learners, config.learner_count, &choice.wanted.voters[i]));
    config = choice.wanted;
    return true;
}

static void settle(void)
{
    int steps = 0;

    while (step())
        ck_assert_int_lt(++steps, 20); /* it ends */
}

static const struct {
    size_t brokers;
    bool has_witness;
    uint32_t want;
} target_cases[] = {{1, false, 1}, {1, true, 1}, {2, false, 1}, {2, true, 3},  {3, false, 3},
                    {3, true, 3},  {4, false, 3}, {5, false, 5}, {6, false, 5}, {7, false, 5}, {300, true, 5}};

START_TEST(a_mesh_of_a_size_has_so_many_voters)
{
    ck_assert_uint_eq(voters_target(target_cases[_i].brokers, target_cases[_i].has_witness), target_cases[_i].want);
    if (target_cases[_i].brokers > BROKERS_MAX - 1) return;
    for (size_t i = 0; i < target_cases[_i].brokers; i++)
        add_broker("", false);
    if (target_cases[_i].has_witness) add_broker("", true);
    settle();
    ck_assert_uint_eq(config.voter_count, target_cases[_i].want);
    ck_assert(votes(0));
    ck_assert_uint_le(config.learner_count, 1); /* one stands by, where there is one */
}
END_TEST

START_TEST(votes_grow_by_pairs)
{
    for (int i = 0; i < 5; i++)
        add_broker("", false);
    while (step())
        ck_assert_uint_eq(config.voter_count % 2, 1);
    ck_assert_uint_eq(config.voter_count, 5);
}
END_TEST

START_TEST(who_is_new_slow_ill_or_leaving_does_not_vote_yet)
{
    struct decision decision;

    for (int i = 0; i < 3; i++)
        add_broker("", false);
    ck_assert(step());
    ck_assert(follows(1) && follows(2));
    if (_i == 0) facts[1].alive_us = input.now_us - 9 * S;
    if (_i == 1) facts[1].health = 1;
    if (_i == 2) silence(1, 5 * S);
    if (_i == 3) {
        decision_init(&decision);
        ck_assert_int_eq(decide_broker_unfence(history->image, &servers[1].broker, NULL, &decision), 0);
        history_commit(history, &decision);
        ck_assert_int_eq(decide_broker_drain(history->image, &servers[1].broker, false, NULL, &decision), 0);
        history_commit(history, &decision);
        decision_deinit(&decision);
    }
    ck_assert(!step());
    ck_assert_uint_eq(config.voter_count, 1);
    if (_i != 0) return;
    input.now_us += 2 * S;
    settle();
    ck_assert_uint_eq(config.voter_count, 3);
}
END_TEST

START_TEST(a_voter_is_replaced_when_it_is_gone_for_a_minute_and_not_before)
{
    for (int i = 0; i < 4; i++)
        add_broker("", false);
    settle();
    ck_assert(votes(1) && votes(2) && !votes(3) && follows(3));
    silence(1, 59 * S);
    settle();
    ck_assert(votes(1));
    silence(1, 60 * S);
    settle();
    ck_assert(!votes(1) && votes(3));
    ck_assert_uint_eq(config.voter_count, 3);
    facts[1].alive_us = input.now_us; /* it comes back: no vote, but it may stand by */
    facts[1].silent_us = 0;
    settle();
    ck_assert(!votes(1) && follows(1));
}
END_TEST

START_TEST(failures_never_shrink_the_set)
{
    for (int i = 0; i < 3; i++)
        add_broker("", false);
    settle();
    silence(1, 3600 * S);
    settle();
    ck_assert_uint_eq(config.voter_count, 3);
    ck_assert(votes(1));
    silence(2, 3600 * S);
    settle();
    ck_assert_uint_eq(config.voter_count, 3);
}
END_TEST

START_TEST(without_a_living_majority_nothing_changes)
{
    for (int i = 0; i < 4; i++)
        add_broker("", false);
    settle();
    silence(1, 3600 * S);
    silence(2, 3600 * S);
    ck_assert(!step());
    ck_assert(votes(1) && votes(2));
}
END_TEST

START_TEST(who_was_removed_votes_no_more_and_does_not_come_back)
{
    for (int i = 0; i < 4; i++)
        add_broker("", false);
    settle();
    retire(1);
    settle();
    ck_assert(!votes(1) && !follows(1));
    ck_assert_uint_eq(config.voter_count, 3);
    retire(3);
    retire(2);
    settle();
    ck_assert_uint_eq(config.voter_count, 1);
    ck_assert(votes(0));
}
END_TEST

START_TEST(a_broker_on_a_new_disk_learns_before_it_votes_again)
{
    struct raft_server old;

    for (int i = 0; i < 3; i++)
        add_broker("", false);
    settle();
    old = servers[2];
    servers[2].dir = history_uuid(history);
    register_server(2, "", false, 2);
    ck_assert(step());
    ck_assert(is_in(config.voters, config.voter_count, &old)); /* nobody takes its place yet */
    ck_assert(!votes(2) && follows(2));
    settle();
    ck_assert(!is_in(config.voters, config.voter_count, &old));
    ck_assert(votes(2));
    ck_assert_uint_eq(config.voter_count, 3);
}
END_TEST

START_TEST(votes_are_spread_over_zones)
{
    add_broker("a", false);
    add_broker("a", false);
    add_broker("a", false);
    add_broker("b", false);
    add_broker("c", false);
    retire(add_broker("d", false)); /* five again, three of them in zone a */
    retire(1);
    settle();
    ck_assert_uint_eq(config.voter_count, 3);
    ck_assert(votes(0) && votes(3) && votes(4));
}
END_TEST

START_TEST(a_vote_moves_to_a_zone_that_has_none)
{
    for (int i = 0; i < 3; i++)
        add_broker("a", false);
    settle();
    add_broker("b", false);
    settle();
    ck_assert_uint_eq(config.voter_count, 3);
    ck_assert(votes(0) && votes(3));
}
END_TEST

START_TEST(a_witness_keeps_its_vote_until_a_third_broker_can_take_it)
{
    size_t witness;

    add_broker("", false);
    add_broker("", false);
    witness = add_broker("", true);
    settle();
    ck_assert(votes(witness));
    add_broker("", false);
    facts[3].alive_us = input.now_us - S;
    settle();
    ck_assert(votes(witness) && follows(3));
    input.now_us += 10 * S;
    settle();
    ck_assert(!votes(witness) && votes(3));
    ck_assert_uint_eq(config.voter_count, 3);
}
END_TEST

START_TEST(a_joint_or_empty_configuration_is_left_alone)
{
    struct voters_choice choice;

    add_broker("", false);
    add_broker("", false);
    config.old_voters[config.old_voter_count++] = servers[0];
    voters_choose(history->image, &input, &choice);
    ck_assert(!choice.is_wanted);
    memset(&config, 0, sizeof(config));
    voters_choose(history->image, &input, &choice);
    ck_assert(!choice.is_wanted);
    ck_assert_str_ne(choice.why, "");
}
END_TEST

/* Brokers come, fall silent, return, and are removed; each step keeps the rules that step() checks, and failures never shrink. */
START_TEST(any_history_keeps_the_rules)
{
    srand((unsigned)_i + 1);
    add_broker("a", false);
    for (int i = 0; i < 400; i++) {
        size_t number = (size_t)rand() % broker_count;
        uint8_t voters_before = config.voter_count;
        bool was_removed = false;
        input.now_us += (uint64_t)(rand() % 20) * S;
        switch (rand() % 6) {
        case 0:
            if (broker_count < BROKERS_MAX) add_broker(rand() % 2 ? "a" : "b", rand() % 5 == 0);
            break;
        case 1:
            if (number != 0 && facts[number].alive_us != 0) silence(number, 0);
            break;
        case 2:
            if (facts[number].alive_us == 0) facts[number] = (struct voter_facts){.broker_id = servers[number].broker, .alive_us = input.now_us};
            break;
        case 3:
            if (number != 0 && rand() % 8 == 0 && image_find_broker_by_uuid(history->image, &servers[number].broker) != NULL) {
                retire(number);
                was_removed = true;
            }
            break;
        default: break;
        }
        settle();
        ck_assert(votes(0));
        if (!was_removed && config.voter_count < voters_before) {
            /* fewer only by removal, now or when a majority was not there */
            size_t registered = 0;
            for (size_t j = 0; j < broker_count; j++)
                registered += image_find_broker_by_uuid(history->image, &servers[j].broker) != NULL;
            ck_assert_uint_lt(registered, broker_count);
        }
    }
}
END_TEST

/* ---- in words ---- */

START_TEST(what_a_mesh_cannot_do_is_said)
{
    struct voters_problem problems[VOTERS_PROBLEMS_MAX];

    add_broker("", false);
    ck_assert_uint_eq(voters_problems(history->image, &input, problems), 0);
    add_broker("", false);
    settle();
    ck_assert_uint_eq(voters_problems(history->image, &input, problems), 1);
    ck_assert_str_eq(problems[0].what, "two brokers, and only b0 votes");
    ck_assert_ptr_nonnull(strstr(problems[0].meaning, "nothing fails over by itself"));
    ck_assert_ptr_nonnull(strstr(problems[0].remedy, "mesh join --witness"));
    ck_assert_ptr_nonnull(strstr(problems[0].remedy, "comes back with its data directory"));
    add_broker("", true);
    ck_assert_uint_eq(voters_problems(history->image, &input, problems), 1);
    ck_assert_str_eq(problems[0].what, "two brokers and a witness, but only 1 votes yet");
    settle();
    ck_assert_uint_eq(voters_problems(history->image, &input, problems), 0);
    silence(2, S);
    ck_assert_uint_eq(voters_problems(history->image, &input, problems), 1);
    ck_assert_str_eq(problems[0].what, "1 of 3 voters is not heard: b2");
    ck_assert_ptr_nonnull(strstr(problems[0].meaning, "the loss of one more voter stops decisions"));
    silence(1, S);
    ck_assert_uint_eq(voters_problems(history->image, &input, problems), 1);
    ck_assert_str_eq(problems[0].what, "2 of 3 voters are not heard: b1, b2");
    ck_assert_ptr_nonnull(strstr(problems[0].meaning, "there is no majority"));
    add_broker("z", false);
    ck_assert_uint_eq(voters_problems(history->image, &input, problems), 3);
    ck_assert_str_eq(problems[1].what, "2 of 3 brokers have no zone: b0, b1");
    ck_assert_ptr_nonnull(strstr(problems[1].remedy, "--zone"));
    ck_assert_str_eq(problems[2].what, "1 witness without use");
}
END_TEST

START_TEST(one_zone_for_all_votes_is_a_problem_where_there_are_others)
{
    struct voters_problem problems[VOTERS_PROBLEMS_MAX];

    for (int i = 0; i < 3; i++)
        add_broker("a", false);
    settle();
    ck_assert_uint_eq(voters_problems(history->image, &input, problems), 0);
    add_broker("b", false);
    ck_assert_uint_eq(voters_problems(history->image, &input, problems), 1);
    ck_assert_str_eq(problems[0].what, "all votes are in zone a");
    settle();
    ck_assert_uint_eq(voters_problems(history->image, &input, problems), 0);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
    Suite *suite = suite_create("voters");
    TCase *tcase = tcase_create("voters");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, a_mesh_of_a_size_has_so_many_voters, 0, ROWS(target_cases));
    tcase_add_test(tcase, votes_grow_by_pairs);
    tcase_add_loop_test(tcase, who_is_new_slow_ill_or_leaving_does_not_vote_yet, 0, 4);
    tcase_add_test(tcase, a_voter_is_replaced_when_it_is_gone_for_a_minute_and_not_before);
    tcase_add_test(tcase, failures_never_shrink_the_set);
    tcase_add_test(tcase, without_a_living_majority_nothing_changes);
    tcase_add_test(tcase, who_was_removed_votes_no_more_and_does_not_come_back);
    tcase_add_test(tcase, a_broker_on_a_new_disk_learns_before_it_votes_again);
    tcase_add_test(tcase, votes_are_spread_over_zones);
    tcase_add_test(tcase, a_vote_moves_to_a_zone_that_has_none);
    tcase_add_test(tcase, a_witness_keeps_its_vote_until_a_third_broker_can_take_it);
    tcase_add_test(tcase, a_joint_or_empty_configuration_is_left_alone);
    tcase_add_loop_test(tcase, any_history_keeps_the_rules, 0, 20);
    tcase_add_test(tcase, what_a_mesh_cannot_do_is_said);
    tcase_add_test(tcase, one_zone_for_all_votes_is_a_problem_where_there_are_others);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
