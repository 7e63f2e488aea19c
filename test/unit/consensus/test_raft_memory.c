/* Consensus when memory runs out, and that it takes none when nothing new comes. */
#include "base/error.h"
#include "replication/consensus/config_codec.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"
#include "unit/consensus/raft_net.h"

#include <check.h>
#include <stdlib.h>

static struct raft_net net;
static struct random chance;
static uint64_t refused;
static double share;

START_TEST(a_server_is_made_whole_or_not_at_all)
{
    struct raft_entry entries[3];
    struct raft_recovered recovered;
    struct raft_options options;
    struct raft *raft = NULL;
    int err = 0;

    memset(&recovered, 0, sizeof(recovered));
    memset(entries, 0, sizeof(entries));
    for (unsigned i = 0; i < 3; i++) {
        entries[i] = (struct raft_entry){.index = i + 1, .term = 1, .type = RAFT_ENTRY_COMMAND, .body = slice_of("abc", 3)};
        net_chain(i == 0 ? (const uint8_t[RAFT_CHAIN_SIZE]){0} : entries[i - 1].chain, &entries[i], entries[i].chain);
    }
    recovered.term = 1;
    recovered.entries = entries;
    recovered.entry_count = 3;
    raft_options_init(&options);
    options.self.broker.bytes[0] = 1;
    options.chain = net_chain;
    failing_alloc_each(n)
    {
        failing_alloc_arm(n);
        err = raft_new(&options, &recovered, 1, &raft);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
    ck_assert_int_eq(err, 0);
    raft_free(raft);
    entries[1].chain[0] ^= 1;
    ck_assert_int_eq(raft_new(&options, &recovered, 1, &raft), MESH_ECORRUPT);
}
END_TEST

START_TEST(founding_is_whole_or_not_at_all)
{
    struct raft_config config;
    int err = 0;

    net_init(&net, 3, 1);
    net_start(&net, 0);
    config = net_config(&net, 1, 0);
    failing_alloc_each(n)
    {
        failing_alloc_arm(n);
        err = raft_bootstrap(net.hosts[0].raft, net.now_us, &config, slice_of("first", 5));
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
        ck_assert_uint_eq(net_status(&net, 0).last.index, 0);
    }
    ck_assert_int_eq(err, 0);
    net_free(&net);
}
END_TEST

static void maybe_arm(struct raft_net *of)
{
    (void)of;
    if (random_unit(&chance) < share) failing_alloc_arm(1 + (unsigned)random_below(&chance, 3));
}

static void disarm(struct raft_net *of)
{
    (void)of;
    refused += failing_alloc_disarm();
}

/* One allocation in some dozens fails, anywhere, for a long time: nothing is lost, and all goes on. */
START_TEST(failures_everywhere_are_survived)
{
    uint64_t index;

    net_init(&net, 17, 3);
    random_init(&chance, 5 + (uint64_t)_i);
    refused = 0;
    share = 0.05;
    net.snapshot_every = 20;
    net.options.retained_bytes_max = 1000;
    net.options.snapshot_chunk_bytes = 700;
    net_start_all(&net, 3, 0);
    net.before = maybe_arm;
    net.after = disarm;
    for (int i = 0; i < 1000; i++) {
        (void)net_propose(&net, "to be remembered", &index);
        net_run(&net, 20 * NET_MS);
        if (i % 300 == 200) net_crash(&net, (unsigned)(i / 300) % 3, true);
        if (i % 300 == 250) net_start(&net, (unsigned)(i / 300) % 3);
    }
    share = 0;
    ck_assert(net_until(&net, 20 * NET_S, net_all_equal, NULL));
    ck_assert_uint_gt(refused, 20);
    ck_assert_msg(net.breaches == 0, "%s", net.breach);
    ck_assert_uint_gt(net.committed, 50);
    net_free(&net);
}
END_TEST

static void arm_first(struct raft_net *of)
{
    (void)of;
    failing_alloc_arm(1);
}

START_TEST(an_idle_group_allocates_nothing)
{
    net_init(&net, 17, 5);
    net_start_all(&net, 5, 0);
    for (int i = 0; i < 50; i++) {
        (void)net_propose(&net, "some", NULL);
        net_run(&net, 50 * NET_MS);
    }
    refused = 0;
    net.before = arm_first;
    net.after = disarm;
    net_run(&net, 60 * NET_S);
    ck_assert_uint_eq(refused, 0);
    ck_assert_int_ge(net_leader(&net), 0);
    net_free(&net);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft memory");
    TCase *tcase = tcase_create("memory");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_server_is_made_whole_or_not_at_all);
    tcase_add_test(tcase, founding_is_whole_or_not_at_all);
    tcase_add_loop_test(tcase, failures_everywhere_are_survived, 0, 10);
    tcase_add_test(tcase, an_idle_group_allocates_nothing);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
