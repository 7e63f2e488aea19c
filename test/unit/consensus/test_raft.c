/* The main paths of consensus: elections, replication, commits, changes of the configuration, snapshots, sideways entries. */
#include "base/error.h"
#include "support/run_suite.h"
#include "unit/consensus/raft_net.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct raft_net net;

static void setup(unsigned hosts, unsigned voters, unsigned learners)
{
    net_init(&net, 11, hosts);
    net_start_all(&net, voters, learners);
}

static void finish(void)
{
    ck_assert_msg(net.breaches == 0, "%s", net.breach);
    net_free(&net);
}

static void propose_many(unsigned count)
{
    char text[32];

    for (unsigned i = 0; i < count; i++) {
        snprintf(text, sizeof(text), "command %u", i);
        ck_assert(net_until(&net, 10 * NET_S, net_has_leader, NULL));
        ck_assert_int_eq(net_propose(&net, text, NULL), 0);
        net_step(&net, net.now_us + 100);
    }
}

START_TEST(a_single_voter_leads_at_once_and_commits_what_is_durable)
{
    uint64_t start, index;

    setup(1, 1, 0);
    start = net.now_us;
    ck_assert(net_until(&net, NET_S, net_has_leader, NULL));
    ck_assert_uint_lt(net.now_us - start, 5 * NET_MS);
    ck_assert_int_eq(net_read(&net, 0, 5), 0);
    ck_assert_uint_eq(net.hosts[0].last_read_index, net.committed); /* nobody else is to be asked */
    net.hosts[0].disk_is_stuck = true;
    ck_assert_int_eq(net_propose(&net, "x", &index), 0);
    net_run(&net, 5 * NET_S);
    ck_assert_uint_lt(net.hosts[0].applied, index);
    net.hosts[0].disk_is_stuck = false;
    net_run(&net, NET_S);
    ck_assert_uint_eq(net.hosts[0].applied, index);
    net_crash(&net, 0, true);
    net_start(&net, 0);
    ck_assert(net_until(&net, NET_S, net_all_equal, NULL));
    finish();
}
END_TEST

START_TEST(voters_elect_one_leader_and_have_the_same_log)
{
    unsigned voters = _i == 0 ? 2 : _i == 1 ? 3 : 5;

    setup(voters, voters, 0);
    ck_assert(net_until(&net, 5 * NET_S, net_has_leader, NULL));
    propose_many(300);
    ck_assert(net_until(&net, 5 * NET_S, net_all_equal, NULL));
    ck_assert_uint_ge(net.committed, 303);
    finish();
}
END_TEST

/* As tests over the loopback have it. */
START_TEST(short_timeouts_do_as_well)
{
    int leader;
    uint64_t at, elections = 0;

    net_init(&net, 4 + (uint64_t)_i, 3);
    net.options.heartbeat_us = 10 * NET_MS;
    net.options.election_min_us = 100 * NET_MS;
    net.options.election_max_us = 200 * NET_MS;
    net_start_all(&net, 3, 0);
    ck_assert(net_until(&net, NET_S, net_has_leader, NULL));
    leader = net_leader(&net);
    net_run(&net, 60 * NET_S);
    ck_assert_int_eq(net_leader(&net), leader);
    net_crash(&net, (unsigned)leader, true);
    at = net.now_us;
    ck_assert(net_until(&net, 2 * NET_S, net_has_leader, NULL));
    ck_assert_uint_lt(net.now_us - at, NET_S);
    for (unsigned i = 0; i < 3; i++) elections += net.hosts[i].raft == NULL ? 0 : net_status(&net, i).elections;
    ck_assert_uint_le(elections, 6);
    finish();
}
END_TEST

START_TEST(an_idle_group_says_little)
{
    uint64_t before, sent;

    setup(3, 3, 0);
    ck_assert(net_until(&net, 5 * NET_S, net_all_equal, NULL));
    net_run(&net, NET_S);
    before = net.order;
    net_run(&net, 10 * NET_S);
    sent = net.order - before;
    ck_assert_uint_le(sent, 10 * 2 * 2 * 4 + 4); /* a few heartbeats in a second, and their answers; nobody asks who is there */
    finish();
}
END_TEST

START_TEST(another_leads_when_the_leader_dies)
{
    int leader;
    uint64_t at;

    setup(3, 3, 0);
    propose_many(20);
    leader = net_leader(&net);
    net_crash(&net, (unsigned)leader, false);
    at = net.now_us;
    ck_assert(net_until(&net, 10 * NET_S, net_has_leader, NULL));
    ck_assert_uint_lt(net.now_us - at, 6 * NET_S);
    propose_many(20);
    net_start(&net, (unsigned)leader);
    ck_assert(net_until(&net, 5 * NET_S, net_all_equal, NULL));
    finish();
}
END_TEST

START_TEST(a_leader_without_a_majority_steps_down_and_its_entries_go)
{
    int leader, second;
    uint64_t index;

    setup(3, 3, 0);
    propose_many(5);
    ck_assert(net_until(&net, 5 * NET_S, net_all_equal, NULL));
    leader = net_leader(&net);
    net_isolate(&net, (unsigned)leader, true);
    ck_assert_int_eq(net_propose(&net, "lost", &index), 0);
    ck_assert_int_eq(net_propose(&net, "lost too", &index), 0);
    net_run(&net, 1500 * NET_MS);
    ck_assert_int_ne(net_status(&net, (unsigned)leader).role, RAFT_LEADER);
    ck_assert(net_until(&net, 10 * NET_S, net_has_leader, NULL));
    second = net_leader(&net);
    ck_assert_int_ne(second, leader);
    propose_many(3);
    net_isolate(&net, (unsigned)leader, false);
    ck_assert(net_until(&net, 5 * NET_S, net_all_equal, NULL));
    ck_assert_int_eq(net_leader(&net), second); /* who comes back disturbs nobody */
    finish();
}
END_TEST

START_TEST(who_was_away_long_gets_a_snapshot_in_chunks)
{
    unsigned away;

    net_init(&net, 5, 3);
    net.snapshot_every = 50;
    net.options.retained_bytes_max = 2000;
    net.options.snapshot_chunk_bytes = 1000;
    net_start_all(&net, 3, 0);
    propose_many(10);
    away = ((unsigned)net_leader(&net) + 1) % 3;
    net_crash(&net, away, false);
    propose_many(300);
    ck_assert(net_until(&net, 5 * NET_S, net_all_equal, NULL)); /* and so the leader has a snapshot */
    net.refuse_next_snapshot = _i == 1;
    net_start(&net, away);
    ck_assert(net_until(&net, 10 * NET_S, net_all_equal, NULL));
    ck_assert_uint_ge(net.hosts[away].restores, 1);
    ck_assert_uint_ge(net.messages[MESSAGE_SNAPSHOT], 3);
    propose_many(30);
    ck_assert(net_until(&net, 10 * NET_S, net_all_equal, NULL));
    finish();
}
END_TEST

struct config_wanted {
    struct raft_config config;
    int err;
};

static bool change_accepted(struct raft_net *of, void *context)
{
    struct config_wanted *wanted = context;
    int leader = net_leader(of);

    if (leader < 0) return false;
    wanted->err = raft_change_config(of->hosts[leader].raft, of->now_us, &wanted->config);
    net_drain(of, (unsigned)leader);
    return wanted->err != MESH_EBUSY && wanted->err != MESH_EAGAIN;
}

static bool change_done(struct raft_net *of, void *context)
{
    struct config_wanted *wanted = context;

    for (unsigned i = 0; i < of->host_count; i++) {
        const struct raft_config *config;
        if (of->hosts[i].raft == NULL) continue;
        config = raft_get_committed_config(of->hosts[i].raft);
        if (memcmp(config, &wanted->config, sizeof(*config)) == 0 && net_leader(of) >= 0 && !net_status(of, (unsigned)net_leader(of)).is_changing &&
            memcmp(raft_get_committed_config(of->hosts[net_leader(of)].raft), &wanted->config, sizeof(*config)) == 0)
            return true;
    }
    return false;
}

static int change(const struct raft_config *config)
{
    struct config_wanted wanted = {*config, 0};

    ck_assert(net_until(&net, 20 * NET_S, change_accepted, &wanted));
    if (wanted.err == 0) ck_assert(net_until(&net, 20 * NET_S, change_done, &wanted));
    return wanted.err;
}

START_TEST(voters_come_as_learners_and_all_can_be_exchanged_at_once)
{
    struct raft_config config;

    setup(6, 3, 0);
    propose_many(50);
    config = net_config(&net, 4, 0);
    ck_assert_int_eq(change(&config), MESH_EINVAL); /* not without learning */
    config = net_config(&net, 3, 3);
    ck_assert_int_eq(change(&config), 0);
    ck_assert(net_until(&net, 5 * NET_S, net_all_equal, NULL));
    memset(&config, 0, sizeof(config));
    for (unsigned i = 3; i < 6; i++) config.voters[config.voter_count++] = net.hosts[i].server;
    ck_assert_int_eq(change(&config), 0); /* a joint one, left by itself; the leader goes too */
    for (unsigned i = 0; i < 3; i++) net_crash(&net, i, false);
    ck_assert(net_until(&net, 10 * NET_S, net_has_leader, NULL));
    propose_many(10);
    ck_assert(net_until(&net, 5 * NET_S, net_all_equal, NULL));
    for (unsigned i = 0; i < 3; i++) net_start(&net, i); /* removed, and do not know it */
    {
        uint64_t term = net_status(&net, (unsigned)net_leader(&net)).term;
        net_run(&net, 30 * NET_S);
        ck_assert_uint_eq(net_status(&net, (unsigned)net_leader(&net)).term, term);
    }
    finish();
}
END_TEST

START_TEST(leadership_is_handed_over)
{
    struct raft_server none;
    int leader;
    uint64_t at;

    memset(&none, 0, sizeof(none));
    setup(3, 3, 0);
    propose_many(20);
    leader = net_leader(&net);
    ck_assert_int_eq(raft_transfer(net.hosts[leader].raft, net.now_us, &none), 0);
    net_drain(&net, (unsigned)leader);
    at = net.now_us;
    while (net_leader(&net) < 0 || net_leader(&net) == leader) ck_assert(net_step(&net, net.now_us + NET_S));
    ck_assert_uint_lt(net.now_us - at, 50 * NET_MS);
    propose_many(3);
    ck_assert(net_until(&net, 5 * NET_S, net_all_equal, NULL));
    finish();
}
END_TEST

START_TEST(reads_are_confirmed_by_a_majority)
{
    int leader;

    setup(3, 3, 0);
    propose_many(5);
    ck_assert(net_until(&net, 5 * NET_S, net_all_equal, NULL));
    leader = net_leader(&net);
    ck_assert_int_eq(raft_read(net.hosts[leader].raft, net.now_us, 77), 0);
    net_drain(&net, (unsigned)leader);
    ck_assert_uint_eq(net.hosts[leader].reads, 0);
    net_run(&net, 50 * NET_MS);
    ck_assert_uint_eq(net.hosts[leader].last_read_context, 77);
    ck_assert_uint_ge(net.hosts[leader].last_read_index, 8);
    net_isolate(&net, (unsigned)leader, true);
    ck_assert_int_eq(raft_read(net.hosts[leader].raft, net.now_us, 78), 0);
    net_drain(&net, (unsigned)leader);
    net_run(&net, 3 * NET_S);
    ck_assert_uint_eq(net.hosts[leader].last_read_context, 78);
    ck_assert_uint_eq(net.hosts[leader].reads_lost, 1);
    finish();
}
END_TEST

START_TEST(what_is_committed_comes_sideways)
{
    struct raft_entry entries[64];
    size_t count = 0;
    int leader;

    setup(4, 3, 0); /* the fourth only watches */
    propose_many(20);
    ck_assert(net_until(&net, 5 * NET_S, net_has_leader, NULL));
    net_run(&net, NET_S);
    leader = net_leader(&net);
    for (uint64_t i = 1; i <= net_status(&net, (unsigned)leader).committed.index; i++)
        ck_assert(raft_get_entry(net.hosts[leader].raft, i, &entries[count++]));
    ck_assert_int_eq(raft_install_committed(net.hosts[3].raft, net.now_us, entries + 5, count - 5), MESH_EAGAIN);
    ck_assert_int_eq(raft_install_committed(net.hosts[3].raft, net.now_us, entries, 10), 0);
    net_drain(&net, 3);
    ck_assert_int_eq(raft_install_committed(net.hosts[3].raft, net.now_us, entries + 5, count - 5), 0);
    net_drain(&net, 3);
    ck_assert_uint_eq(net.hosts[3].applied, count);
    entries[2].chain[0] ^= 1;
    ck_assert_int_eq(raft_install_committed(net.hosts[3].raft, net.now_us, entries, count), MESH_ECORRUPT);
    entries[2].chain[0] ^= 1;
    net_run(&net, NET_S);
    net_crash(&net, 3, true);
    net_start(&net, 3);
    ck_assert_uint_eq(net_status(&net, 3).last.index, count);
    ck_assert_uint_eq(raft_due_us(net.hosts[3].raft), RAFT_NEVER);
    finish();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft");
    TCase *tcase = tcase_create("main paths");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_single_voter_leads_at_once_and_commits_what_is_durable);
    tcase_add_loop_test(tcase, voters_elect_one_leader_and_have_the_same_log, 0, 3);
    tcase_add_loop_test(tcase, short_timeouts_do_as_well, 0, 5);
    tcase_add_test(tcase, an_idle_group_says_little);
    tcase_add_test(tcase, another_leads_when_the_leader_dies);
    tcase_add_test(tcase, a_leader_without_a_majority_steps_down_and_its_entries_go);
    tcase_add_loop_test(tcase, who_was_away_long_gets_a_snapshot_in_chunks, 0, 2);
    tcase_add_test(tcase, voters_come_as_learners_and_all_can_be_exchanged_at_once);
    tcase_add_test(tcase, leadership_is_handed_over);
    tcase_add_test(tcase, reads_are_confirmed_by_a_majority);
    tcase_add_test(tcase, what_is_committed_comes_sideways);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
