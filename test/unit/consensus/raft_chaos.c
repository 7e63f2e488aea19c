#include "unit/consensus/raft_chaos.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

struct chaos {
    struct raft_net net;
    struct random random;
    struct chaos_result *result;
};

static unsigned any_host(struct chaos *chaos)
{
    return (unsigned)random_below(&chaos->random, chaos->net.host_count);
}

static uint64_t below(struct chaos *chaos, uint64_t limit)
{
    return random_below(&chaos->random, limit);
}

/* Proposals and reads at every server that believes to lead, not only at the right one. */
static void trouble_propose(struct chaos *chaos)
{
    struct raft_net *net = &chaos->net;
    char text[40];

    for (unsigned i = 0; i < net->host_count; i++) {
        uint64_t index, term, count = below(chaos, 6);
        if (net->hosts[i].raft == NULL || net_status(net, i).role != RAFT_LEADER) continue;
        for (uint64_t k = 0; k < count; k++) {
            snprintf(text, sizeof(text), "%u %llu", i, (unsigned long long)below(chaos, 1u << 30));
            (void)raft_propose(net->hosts[i].raft, net->now_us, slice_of_string(text), &index, &term);
            if (below(chaos, 2) == 0) net_drain(net, i);
        }
        net_drain(net, i);
    }
}

/* A context is asked again, at the same server and at others: as a client does that had no answer. */
static void trouble_read(struct chaos *chaos)
{
    for (unsigned i = 0; i < chaos->net.host_count; i++) {
        if (chaos->net.hosts[i].raft != NULL && net_status(&chaos->net, i).role == RAFT_LEADER)
            (void)net_read(&chaos->net, i, below(chaos, NET_READS_MAX));
    }
}

/* A voter that lost entries does not vote until it is repaired; so that a majority is left, one at a time, of three or more. */
static bool may_damage(struct chaos *chaos)
{
    int leader = net_leader(&chaos->net);

    return leader >= 0 && !net_status(&chaos->net, (unsigned)leader).is_changing &&
           raft_get_config(chaos->net.hosts[leader].raft)->voter_count >= 3;
}

static bool anybody_is_damaged(struct chaos *chaos)
{
    for (unsigned i = 0; i < chaos->net.host_count; i++) {
        if (chaos->net.hosts[i].disk.damaged_until != 0) return true;
    }
    return false;
}

static void trouble_change(struct chaos *chaos)
{
    struct raft_net *net = &chaos->net;
    struct raft_config config;
    const struct raft_config *now;
    unsigned i = any_host(chaos);

    if (anybody_is_damaged(chaos)) return;
    for (unsigned k = 0; k < net->host_count; k++) { /* whoever leads, else whoever thinks so */
        if (net->hosts[k].raft != NULL && net_status(net, k).role == RAFT_LEADER) i = k;
    }
    if (net->hosts[i].raft == NULL) return;
    now = raft_get_config(net->hosts[i].raft);
    memset(&config, 0, sizeof(config));
    for (unsigned k = 0; k < net->host_count; k++) {
        const struct raft_server *server = &net->hosts[k].server;
        bool votes = false, learns = false;
        for (unsigned v = 0; v < now->voter_count; v++) votes = votes || raft_server_equal(&now->voters[v], server);
        for (unsigned v = 0; v < now->learner_count; v++) learns = learns || raft_server_equal(&now->learners[v], server);
        if (below(chaos, 3) == 0) {
            if (votes) {
                votes = false, learns = below(chaos, 2) == 0;
            } else if (learns) {
                votes = true, learns = false;
            } else {
                learns = true;
            }
        }
        if (votes) config.voters[config.voter_count++] = *server;
        if (learns && !votes) config.learners[config.learner_count++] = *server;
    }
    if (config.voter_count == 0) return;
    if (raft_change_config(net->hosts[i].raft, net->now_us, &config) == 0) chaos->result->changes++;
    net_drain(net, i);
}

static void trouble_cut(struct chaos *chaos)
{
    struct raft_net *net = &chaos->net;
    unsigned a = any_host(chaos), b = any_host(chaos);

    switch (below(chaos, 4)) {
    case 0: net->is_cut[a][b] = true; break; /* one way */
    case 1: net->is_cut[a][b] = net->is_cut[b][a] = true; break;
    case 2: net_isolate(net, a, true); break;
    default: memset(net->is_cut, 0, sizeof(net->is_cut));
    }
}

static void trouble_crash(struct chaos *chaos)
{
    struct raft_net *net = &chaos->net;
    unsigned i = any_host(chaos);

    if (net->hosts[i].raft != NULL) {
        bool may = may_damage(chaos) && !anybody_is_damaged(chaos);
        net_crash(net, i, below(chaos, 2) == 0);
        if (below(chaos, 3) == 0 && may && net->hosts[i].disk.entry_count != 0) {
            net_damage(net, i, net->hosts[i].disk.first + below(chaos, net->hosts[i].disk.entry_count));
            chaos->result->damages++;
        }
        if (below(chaos, 2) == 0) net_start(net, i);
    } else {
        net_start(net, i);
    }
}

static void trouble_network(struct chaos *chaos)
{
    struct raft_net *net = &chaos->net;

    net->loss = below(chaos, 3) == 0 ? 0.3 * random_unit(&chaos->random) : 0;
    net->doubling = below(chaos, 3) == 0 ? 0.5 * random_unit(&chaos->random) : 0;
    net->delay_max_us = below(chaos, 4) == 0 ? net->delay_min_us + below(chaos, 400 * NET_MS) : 600;
}

static void trouble_disk(struct chaos *chaos)
{
    struct net_host *host = &chaos->net.hosts[any_host(chaos)];

    host->disk_max_us = below(chaos, 3) == 0 ? host->disk_min_us + below(chaos, 300 * NET_MS) : 400;
    if (below(chaos, 6) == 0) host->disk_is_stuck = !host->disk_is_stuck;
}

static void trouble_transfer(struct chaos *chaos)
{
    struct raft_net *net = &chaos->net;
    int leader = net_leader(net);

    if (leader < 0) return;
    (void)raft_transfer(net->hosts[leader].raft, net->now_us, &net->hosts[any_host(chaos)].server);
    net_drain(net, (unsigned)leader);
}

/* A driver believes that a server's process has ended, rightly or not. */
static void trouble_gone(struct chaos *chaos)
{
    struct raft_net *net = &chaos->net;
    unsigned who = any_host(chaos), of = any_host(chaos);

    if (net->hosts[who].raft == NULL) return;
    raft_server_gone(net->hosts[who].raft, net->now_us, &net->hosts[of].server);
    net_drain(net, who);
}

static void trouble(struct chaos *chaos)
{
    uint64_t which = below(chaos, 100);

    if (which < 45) trouble_propose(chaos);
    else if (which < 60) trouble_read(chaos);
    else if (which < 70) trouble_cut(chaos);
    else if (which < 80) trouble_crash(chaos);
    else if (which < 85) trouble_network(chaos);
    else if (which < 90) trouble_disk(chaos);
    else if (which < 95) trouble_change(chaos);
    else if (which < 97) trouble_gone(chaos);
    else trouble_transfer(chaos);
}

/* All is well again. A voter that lost entries may need the others, so all are up. */
static bool heal(struct chaos *chaos)
{
    struct raft_net *net = &chaos->net;

    memset(net->is_cut, 0, sizeof(net->is_cut));
    net->loss = net->doubling = 0;
    net->delay_max_us = 600;
    for (unsigned i = 0; i < net->host_count; i++) {
        net->hosts[i].disk_is_stuck = false;
        net->hosts[i].disk_max_us = 400;
        if (net->hosts[i].raft == NULL) net_start(net, i);
    }
    if (!net_until(net, 60 * NET_S, net_has_leader, NULL)) return false;
    net_run(net, 5 * NET_S);
    if (!net_until(net, 60 * NET_S, net_has_leader, NULL)) return false;
    for (int tries = 0; net_propose(net, "healed", NULL) != 0; tries++) {
        if (tries == 100) return false;
        net_run(net, 500 * NET_MS);
    }
    net_run(net, 5 * NET_S);
    return true;
}

/* Every member of the configuration has all of it. */
static bool members_agree(struct chaos *chaos)
{
    struct raft_net *net = &chaos->net;
    int leader = net_leader(net);
    uint64_t last;

    if (leader < 0) return false;
    last = net_status(net, (unsigned)leader).last.index;
    for (unsigned i = 0; i < net->host_count; i++) {
        const struct raft_config *config = raft_get_config(net->hosts[leader].raft);
        bool is_member = false;
        for (unsigned k = 0; k < config->voter_count; k++)
            is_member = is_member || raft_server_equal(&config->voters[k], &net->hosts[i].server);
        for (unsigned k = 0; k < config->learner_count; k++)
            is_member = is_member || raft_server_equal(&config->learners[k], &net->hosts[i].server);
        if (is_member && net->hosts[i].applied != last) return false;
        if (is_member && net_status(net, i).damaged_until != 0) return false;
    }
    return net->committed == last;
}

void chaos_run(uint64_t seed, unsigned steps, uint32_t defects, struct chaos_result *ret_result)
{
    static struct chaos chaos; /* too large for a stack */
    struct raft_net *net = &chaos.net;
    unsigned hosts, voters;

    memset(ret_result, 0, sizeof(*ret_result));
    memset(&chaos, 0, sizeof(chaos));
    random_init(&chaos.random, seed ^ 0x5bd1e995);
    chaos.result = ret_result;
    hosts = 3 + (unsigned)below(&chaos, 4);
    voters = hosts < 5 || below(&chaos, 2) == 0 ? 3 : 5;
    net_init(net, seed, hosts);
    net->defects = defects;
    net->judges_words = defects == 0;
    net->snapshot_every = below(&chaos, 2) == 0 ? 10 + below(&chaos, 40) : 0;
    net->options.retained_bytes_max = below(&chaos, 4000);
    net->options.snapshot_chunk_bytes = 500 + (uint32_t)below(&chaos, 4000);
    net->options.append_bytes_max = 50 + (uint32_t)below(&chaos, 4000);
    net->options.inflight_max = 1 + (uint32_t)below(&chaos, 16);
    net_start_all(net, voters, 0);
    for (unsigned i = 0; i < steps && net->breaches == 0; i++) {
        trouble(&chaos);
        net_run(net, 1 + below(&chaos, below(&chaos, 4) == 0 ? 2 * NET_S : 20 * NET_MS));
    }
    if (net->breaches == 0) ret_result->has_healed = heal(&chaos) && members_agree(&chaos);
    ret_result->breach = net->breach;
    ret_result->committed = net->committed;
    for (unsigned i = 0; i < hosts; i++) {
        ret_result->snapshots += net->hosts[i].restores;
        ret_result->reads += net->hosts[i].reads - net->hosts[i].reads_lost;
        if (net->hosts[i].raft != NULL && net_status(net, i).corruptions + net_status(net, i).losses != 0 && ret_result->breach == NULL &&
            ret_result->damages == 0)
            ret_result->breach = "corruption or loss is reported, and there was none";
    }
    for (unsigned term = 0; term < NET_TERM_MAX; term++) {
        if (net->leader_of_term[term] == 0) continue;
        ret_result->leaders++;
        ret_result->terms = term;
    }
    net_free(net);
}
