/* Rules of consensus one by one: holes, corruption, strangers, handing over, partial partitions, backing up. */
#include "base/error.h"
#include "support/run_suite.h"
#include "unit/consensus/raft_rig.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct raft_net net;
static struct rig rig;

static void setup(unsigned hosts, unsigned voters, unsigned learners)
{
    net_init(&net, 23, hosts);
    net_start_all(&net, voters, learners);
    ck_assert(net_until(&net, 10 * NET_S, net_all_equal, NULL));
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
        ck_assert_int_eq(net_propose(&net, text, NULL), 0);
        net_run(&net, NET_MS);
    }
}

static unsigned follower(unsigned n)
{
    return ((unsigned)net_leader(&net) + 1 + n) % net.host_count;
}

/* ---- holes ---- */

START_TEST(a_hole_is_filled_and_decided_before_its_server_votes_again)
{
    unsigned hurt;

    setup(3, 3, 0);
    propose_many(30);
    ck_assert(net_until(&net, 5 * NET_S, net_all_equal, NULL));
    hurt = follower(0);
    net_crash(&net, hurt, false);
    net_damage(&net, hurt, 10);
    net_start(&net, hurt);
    ck_assert_uint_ne(net_status(&net, hurt).damaged_until, 0);
    ck_assert(net_until(&net, 5 * NET_S, net_all_equal, NULL));
    net_run(&net, NET_S);
    ck_assert_uint_eq(net_status(&net, hurt).damaged_until, 0);
    ck_assert_uint_eq(net.hosts[hurt].disk.damaged_until, 0);
    net_crash(&net, (unsigned)net_leader(&net), true); /* now it is needed, and helps */
    ck_assert(net_until(&net, 20 * NET_S, net_has_leader, NULL));
    finish();
}
END_TEST

/* Three entries of the hole are filled, then the power goes: the store by itself would know of no hole any more. */
START_TEST(half_a_filled_hole_is_a_hole)
{
    struct message message = rig_message(C, MESSAGE_VOTE_REQUEST, 9);

    rig_init(&rig, 0, 0, 12);
    ck_assert_uint_eq(rig.damaged_until, 12); /* the mark is stored first of all */
    rig_append(&rig, B, 2, 1, 2, 3, 4);
    rig_stored(&rig);
    ck_assert_uint_eq(rig_status(&rig).damaged_until, 0); /* a newer term than any it can have spoken in decides all of it */
    message.position.index = message.position.term = 99;
    rig_tick(&rig, 3 * NET_S);
    rig_hear(&rig, &message);
    rig_stored(&rig);
    ck_assert_uint_ne(rig_last(&rig, MESSAGE_VOTE_RESPONSE)->flags & MESSAGE_GRANTED, 0);
    rig_free(&rig);

    rig_init(&rig, 0, 0, 12);
    rig_append(&rig, B, 1, 1, 1, 3, 4); /* the same term: 5 to 12 may be committed, and be acknowledged by this very server */
    rig_stored(&rig);
    ck_assert_uint_eq(rig_status(&rig).damaged_until, 12);
    ck_assert_uint_ne(rig_last(&rig, MESSAGE_APPEND_RESPONSE)->flags & MESSAGE_DAMAGED, 0);
    ck_assert_uint_eq(rig.damaged_until, 12);
    rig_append(&rig, B, 1, 4, 1, 8, 12);
    rig_stored(&rig);
    ck_assert_uint_eq(rig_status(&rig).damaged_until, 0);
    rig_free(&rig);
}
END_TEST

/* ---- two histories ---- */

START_TEST(a_chain_that_differs_is_refused_and_what_is_committed_never_replaced)
{
    struct message message;

    rig_init(&rig, 0, 0, 0);
    rig_append(&rig, B, 2, 1, 2, 3, 2);
    rig_stored(&rig);
    message = rig_message(B, MESSAGE_APPEND, 2);
    message.position.index = 4;
    message.position.term = 2; /* and a chain of zeros */
    message.sequence = rig.now_us + 1;
    rig_hear(&rig, &message);
    ck_assert_uint_eq(rig_status(&rig).corruptions, 1);
    ck_assert_uint_eq(rig_last(&rig, MESSAGE_APPEND_RESPONSE)->flags & (MESSAGE_REJECTED | MESSAGE_CORRUPT),
                      MESSAGE_REJECTED | MESSAGE_CORRUPT);
    ck_assert(!rig_status(&rig).has_failed);
    message.position.index = 2;
    message.position.term = 1; /* where an entry of term 2 is committed */
    rig_hear(&rig, &message);
    ck_assert(rig_status(&rig).has_failed);
    ck_assert_uint_eq(rig_status(&rig).last.index, 4);
    ck_assert_uint_eq(raft_due_us(rig.raft), RAFT_NEVER);
    rig_free(&rig);
}
END_TEST

START_TEST(a_failed_store_silences)
{
    struct message message = rig_message(B, MESSAGE_VOTE_REQUEST, 9);
    size_t sent;

    rig_init(&rig, 0, 0, 0);
    rig_elect(&rig, true);
    raft_store_failed(rig.raft, rig.now_us, MESH_EIO);
    rig_drain(&rig);
    sent = rig.sent_count;
    rig_hear(&rig, &message);
    rig_tick(&rig, 10 * NET_S);
    ck_assert_uint_eq(rig.sent_count, sent);
    ck_assert_int_eq(rig_status(&rig).role, RAFT_FOLLOWER);
    ck_assert(rig_status(&rig).has_failed);
    rig_free(&rig);
}
END_TEST

/* ---- who may say what ---- */

START_TEST(strangers_and_other_disks_change_nothing)
{
    static const enum message_type types[] = {MESSAGE_VOTE_RESPONSE, MESSAGE_APPEND_RESPONSE, MESSAGE_SNAPSHOT_RESPONSE,
                                              MESSAGE_TIMEOUT_NOW, MESSAGE_PRESENCE};
    struct message message;

    rig_init(&rig, 0, 0, 0);
    rig_append(&rig, B, 2, 1, 2, 3, 4);
    rig_stored(&rig);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        message = rig_message(X, types[i], 50);
        rig_hear(&rig, &message);
        message = rig_message(B, types[i], 50);
        message.from.dir.bytes[0] ^= 1; /* a wiped disk of a voter */
        rig_hear(&rig, &message);
    }
    message = rig_message(X, MESSAGE_APPEND, 50); /* leads nothing that goes beyond */
    rig_hear(&rig, &message);
    message = rig_message(X, MESSAGE_VOTE_REQUEST, 50); /* a log that is behind */
    rig_tick(&rig, 3 * NET_S);
    rig_hear(&rig, &message);
    ck_assert_uint_eq(rig_status(&rig).term, 2);
    rig_free(&rig);
}
END_TEST

START_TEST(one_disk_votes_once_in_a_term_also_over_a_restart)
{
    unsigned given = 0;

    net_init(&net, 9, 3);
    net_start_all(&net, 3, 0);
    ck_assert(net_until(&net, 10 * NET_S, net_all_equal, NULL));
    for (int i = 0; i < 20; i++) {
        unsigned who = (unsigned)i % 3;
        net_crash(&net, who, i % 2 == 0);
        net_run(&net, 300 * NET_MS);
        net_start(&net, who);
        net_run(&net, 3 * NET_S);
        given++;
    }
    ck_assert_uint_eq(given, 20);
    finish(); /* raft_net judges each vote */
}
END_TEST

/* ---- handing over ---- */

static uint64_t drop_timeout_now(struct raft_net *of, unsigned from, unsigned to, const struct message *message)
{
    (void)of, (void)from, (void)to;
    return message->type == MESSAGE_TIMEOUT_NOW;
}

START_TEST(a_handover_that_fails_leaves_the_leader)
{
    struct raft_server to;
    int leader;

    setup(3, 3, 0);
    leader = net_leader(&net);
    to = net.hosts[follower(0)].server;
    net.choose_drop = drop_timeout_now;
    ck_assert_int_eq(raft_transfer(net.hosts[leader].raft, net.now_us, &to), 0);
    net_drain(&net, (unsigned)leader);
    ck_assert_int_eq(raft_transfer(net.hosts[leader].raft, net.now_us, &to), MESH_EBUSY);
    ck_assert_int_eq(net_propose(&net, "not now", NULL), MESH_EAGAIN);
    net_run(&net, 1100 * NET_MS);
    ck_assert_int_eq(net_leader(&net), leader);
    ck_assert_int_eq(net_propose(&net, "now", NULL), 0);
    finish();
}
END_TEST

START_TEST(a_leader_that_is_removed_hands_over_at_once)
{
    struct raft_config config;
    int leader;
    uint64_t at;

    setup(3, 3, 0);
    leader = net_leader(&net);
    memset(&config, 0, sizeof(config));
    for (unsigned i = 0; i < 3; i++) {
        if ((int)i != leader) config.voters[config.voter_count++] = net.hosts[i].server;
    }
    ck_assert_int_eq(raft_change_config(net.hosts[leader].raft, net.now_us, &config), 0);
    net_drain(&net, (unsigned)leader);
    at = net.now_us;
    while (net_leader(&net) < 0 || net_leader(&net) == leader) ck_assert(net_step(&net, at + 10 * NET_S));
    ck_assert_uint_lt(net.now_us - at, 50 * NET_MS);
    finish();
}
END_TEST

START_TEST(who_is_behind_does_not_become_a_voter)
{
    struct raft_config config;
    int leader, err;

    setup(4, 3, 1);
    leader = net_leader(&net);
    net_isolate(&net, 3, true);
    net_run(&net, 2 * NET_S);
    config = net_config(&net, 4, 0);
    err = raft_change_config(net.hosts[leader].raft, net.now_us, &config);
    ck_assert_int_eq(err, MESH_EAGAIN);
    net_isolate(&net, 3, false);
    net_run(&net, 2 * NET_S);
    err = raft_change_config(net.hosts[leader].raft, net.now_us, &config);
    ck_assert_int_eq(err, 0);
    net_drain(&net, (unsigned)leader);
    ck_assert_int_eq(raft_change_config(net.hosts[leader].raft, net.now_us, &config), MESH_EBUSY);
    ck_assert(net_until(&net, NET_S, net_all_equal, NULL));
    finish();
}
END_TEST

/* ---- partial partitions ---- */

/* A and B do not hear each other, C hears both: the leader stays, whoever of the three it is. */
START_TEST(a_leader_that_was_seen_to_end_is_replaced_without_an_election_timeout)
{
    unsigned leader, term;
    uint64_t ended;

    setup(5, 5, 0);
    leader = (unsigned)net_leader(&net);
    net_crash(&net, leader, false);
    ended = net.now_us;
    for (unsigned i = 0; i < 5; i++) {
        if (i == leader) continue;
        raft_server_gone(net.hosts[i].raft, net.now_us, &net.hosts[leader].server);
        net_drain(&net, i);
    }
    ck_assert(net_until(&net, NET_S, net_has_leader, NULL));
    ck_assert_uint_le(net.now_us - ended, 300 * NET_MS);
    term = (unsigned)net_status(&net, (unsigned)net_leader(&net)).term;
    net_start(&net, leader);
    net_run(&net, 5 * NET_S);
    ck_assert_uint_eq(net_status(&net, (unsigned)net_leader(&net)).term, term);
    finish();
}
END_TEST

/* The others hear the leader, and do not answer the one that does not believe in it any more. */
START_TEST(a_wrong_word_about_the_leader_unseats_it_not)
{
    unsigned leader;

    setup(5, 5, 0);
    leader = (unsigned)net_leader(&net);
    raft_server_gone(net.hosts[follower(0)].raft, net.now_us, &net.hosts[leader].server);
    net_drain(&net, follower(0));
    net_run(&net, 5 * NET_S);
    ck_assert_int_eq(net_leader(&net), (int)leader);
    ck_assert(net_until(&net, NET_S, net_all_equal, NULL));
    finish();
}
END_TEST

START_TEST(one_link_less_unseats_nobody)
{
    uint64_t term;
    int leader;
    unsigned other;

    setup(3, 3, 0);
    leader = net_leader(&net);
    other = follower(0);
    term = net_status(&net, (unsigned)leader).term;
    net.is_cut[leader][other] = net.is_cut[other][leader] = true;
    net_run(&net, 60 * NET_S);
    ck_assert_int_eq(net_leader(&net), leader);
    ck_assert_uint_eq(net_status(&net, (unsigned)leader).term, term);
    finish();
}
END_TEST

/* Five servers that hear only one, which does not lead: that one must lead. */
START_TEST(whoever_alone_hears_a_majority_leads)
{
    unsigned hub;

    setup(5, 5, 0);
    hub = follower(1);
    for (unsigned i = 0; i < 5; i++) {
        for (unsigned k = 0; k < 5; k++) net.is_cut[i][k] = i != k && i != hub && k != hub;
    }
    net_run(&net, 15 * NET_S);
    ck_assert_int_eq(net_leader(&net), (int)hub);
    {
        uint64_t term = net_status(&net, hub).term;
        net_run(&net, 60 * NET_S);
        ck_assert_uint_eq(net_status(&net, hub).term, term);
    }
    finish();
}
END_TEST

/* The leader hears all, and none hears it. */
START_TEST(a_leader_that_is_not_heard_gives_up)
{
    int leader;

    setup(3, 3, 0);
    leader = net_leader(&net);
    for (int i = 0; i < 3; i++) net.is_cut[leader][i] = true;
    net_run(&net, 10 * NET_S);
    ck_assert_int_ne(net_leader(&net), leader);
    ck_assert_int_ge(net_leader(&net), 0);
    {
        uint64_t term = net_status(&net, (unsigned)net_leader(&net)).term;
        net_run(&net, 60 * NET_S);
        ck_assert_uint_eq(net_status(&net, (unsigned)net_leader(&net)).term, term);
    }
    finish();
}
END_TEST

/* ---- repair ---- */

static unsigned rejections;

static uint64_t count_rejections(struct raft_net *of, unsigned from, unsigned to, const struct message *message)
{
    (void)of, (void)from, (void)to;
    rejections += message->type == MESSAGE_APPEND_RESPONSE && (message->flags & MESSAGE_REJECTED) != 0;
    return 0;
}

START_TEST(long_differences_are_found_in_few_steps)
{
    struct raft_server best;
    int leader;

    memset(&best, 0, sizeof(best));
    setup(3, 3, 0);
    leader = net_leader(&net);
    net_isolate(&net, (unsigned)leader, true);
    for (int i = 0; i < 500; i++) ck_assert_int_eq(net_propose(&net, "never to be", NULL), 0);
    ck_assert(net_until(&net, 20 * NET_S, net_has_leader, NULL));
    net_run(&net, 5 * NET_S);
    for (int i = 0; i < 500; i++) ck_assert_int_eq(net_propose(&net, "to stay", NULL), 0);
    net_run(&net, NET_S);
    ck_assert_int_eq(raft_transfer(net.hosts[net_leader(&net)].raft, net.now_us, &best), 0); /* to one that begins its search late */
    net_drain(&net, (unsigned)net_leader(&net));
    net_run(&net, NET_S);
    rejections = 0;
    net.choose_drop = count_rejections;
    net_isolate(&net, (unsigned)leader, false);
    ck_assert(net_until(&net, 5 * NET_S, net_all_equal, NULL));
    ck_assert_uint_ge(rejections, 1);
    ck_assert_uint_le(rejections, 4);
    finish();
}
END_TEST

START_TEST(what_lost_its_log_is_repaired_without_a_write_and_reported)
{
    unsigned who;

    setup(3, 3, 0);
    propose_many(50);
    who = follower(1);
    net_crash(&net, who, false);
    net_disk_wipe(&net, who);
    net_start(&net, who);
    ck_assert(net_until(&net, 3 * NET_S, net_all_equal, NULL));
    ck_assert_uint_ge(net_status(&net, (unsigned)net_leader(&net)).losses, 1);
    finish();
}
END_TEST

START_TEST(a_snapshot_comes_sideways)
{
    struct raft_config config;
    struct raft_position position = {500, 7, {1, 2, 3}};

    net_init(&net, 1, 4);
    net_start(&net, 3);
    config = net_config(&net, 3, 0);
    ck_assert_int_eq(raft_install_snapshot(net.hosts[3].raft, net.now_us, &position, &config), 0);
    net_drain(&net, 3);
    ck_assert_uint_eq(net.hosts[3].restores, 1);
    ck_assert_uint_eq(net.hosts[3].applied, 500);
    ck_assert_uint_eq(net_status(&net, 3).term, 7);
    ck_assert_uint_eq(net_status(&net, 3).durable_index, 500);
    ck_assert_int_eq(raft_install_snapshot(net.hosts[3].raft, net.now_us, &position, &config), MESH_EINVAL);
    finish();
}
END_TEST

/* Two of three are gone for good: A goes on alone behind what its log holds, in the term that it is told, and commits all of it. */
START_TEST(a_forced_server_leads_alone_in_a_term_that_nobody_can_have_voted_in)
{
    const uint64_t term = UINT64_C(1) << 32;
    struct slice commands[] = {slice_of_string("without B"), slice_of_string("without C")};
    struct message request = rig_message(B, MESSAGE_VOTE_REQUEST, 9);
    uint64_t last;

    rig_init(&rig, 0, 0, 0);
    rig_append(&rig, B, 2, 1, 2, 3, 1); /* not known to be committed */
    rig_stored(&rig);
    last = rig_status(&rig).last.index;
    ck_assert_int_eq(raft_force(rig.raft, rig.now_us, 1, commands, 2), MESH_EINVAL); /* a term of the past */
    ck_assert_int_eq(raft_force(rig.raft, rig.now_us, term, commands, 2), 0);
    rig_drain(&rig);
    rig_stored(&rig);
    rig_tick(&rig, 3 * NET_S);
    rig_stored(&rig);
    rig_stored(&rig);
    ck_assert_int_eq(rig_status(&rig).role, RAFT_LEADER);
    ck_assert_uint_eq(rig_status(&rig).term, term + 1);
    ck_assert_uint_eq(rig_status(&rig).committed.index, last + 4); /* two commands, the configuration, its first entry */
    ck_assert_uint_eq(raft_get_config(rig.raft)->voter_count, 1);
    ck_assert_int_eq(raft_force(rig.raft, rig.now_us, 2 * term, NULL, 0), MESH_EBUSY);
    rig_hear(&rig, &request); /* one of the lost is back */
    rig_stored(&rig);
    ck_assert_int_eq(rig_status(&rig).role, RAFT_LEADER);
    ck_assert_uint_eq(rig_status(&rig).term, term + 1);
    rig_free(&rig);
}
END_TEST

/* ---- lies ---- */

/* Nobody refuses what was not sent: a search that followed such a word would begin behind the end of the leader's own log. */
START_TEST(a_rejection_of_what_was_never_sent_leads_nowhere)
{
    const uint64_t beyond[] = {1000, 1, RAFT_NEVER / 2, RAFT_NEVER};

    for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
        struct message rejection;
        uint64_t last, dropped;
        rig_init(&rig, 0, 0, 0);
        rig_elect(&rig, false);
        last = rig_status(&rig).last.index;
        dropped = rig_status(&rig).messages_dropped;
        rejection = rig_message(B, MESSAGE_APPEND_RESPONSE, rig_status(&rig).term);
        rejection.flags = MESSAGE_REJECTED;
        rejection.sequence = rig_last(&rig, MESSAGE_APPEND)->sequence;
        rejection.position.index = beyond[i] > RAFT_NEVER - last ? beyond[i] : last + beyond[i];
        rejection.hint_index = rejection.position.index - 1;
        rejection.hint_term = rejection.term;
        rig_hear(&rig, &rejection);
        rig_tick(&rig, 100 * NET_MS);
        ck_assert_uint_eq(rig_status(&rig).messages_dropped, dropped + 1);
        ck_assert_int_eq(rig_status(&rig).role, RAFT_LEADER);
        ck_assert_uint_le(rig_last(&rig, MESSAGE_APPEND)->position.index, last);
        rig_free(&rig);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft rules");
    TCase *tcase = tcase_create("rules");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_forced_server_leads_alone_in_a_term_that_nobody_can_have_voted_in);
    tcase_add_test(tcase, a_hole_is_filled_and_decided_before_its_server_votes_again);
    tcase_add_test(tcase, half_a_filled_hole_is_a_hole);
    tcase_add_test(tcase, a_chain_that_differs_is_refused_and_what_is_committed_never_replaced);
    tcase_add_test(tcase, a_failed_store_silences);
    tcase_add_test(tcase, strangers_and_other_disks_change_nothing);
    tcase_add_test(tcase, one_disk_votes_once_in_a_term_also_over_a_restart);
    tcase_add_test(tcase, a_handover_that_fails_leaves_the_leader);
    tcase_add_test(tcase, a_leader_that_is_removed_hands_over_at_once);
    tcase_add_test(tcase, who_is_behind_does_not_become_a_voter);
    tcase_add_test(tcase, a_leader_that_was_seen_to_end_is_replaced_without_an_election_timeout);
    tcase_add_test(tcase, a_wrong_word_about_the_leader_unseats_it_not);
    tcase_add_test(tcase, one_link_less_unseats_nobody);
    tcase_add_test(tcase, whoever_alone_hears_a_majority_leads);
    tcase_add_test(tcase, a_leader_that_is_not_heard_gives_up);
    tcase_add_test(tcase, long_differences_are_found_in_few_steps);
    tcase_add_test(tcase, what_lost_its_log_is_repaired_without_a_write_and_reported);
    tcase_add_test(tcase, a_snapshot_comes_sideways);
    tcase_add_test(tcase, a_rejection_of_what_was_never_sent_leads_nowhere);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
