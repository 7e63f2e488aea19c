/* Scenarios of PROTOCOLS 4.2 that concern consensus, by number. Each passes with the code as it is and is shown to be noticed when its
 * defect is brought back: by the story told here, or by seeds of the world; a test that cannot fail proves nothing. */
#include "sim/consensus_world.h"
#include "sim/sim_world.h"
#include "replication/consensus/store_switches.h"
#include "replication/consensus/switches.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <stdarg.h>
#include <stdlib.h>

static struct sim *sim;
static struct consensus_mesh mesh;
static char why[400];

__attribute__((format(printf, 1, 2))) static const char *wrong(const char *format, ...)
{
    va_list arguments;

    if (sim_failure(sim) != NULL) return sim_failure_text(sim); /* and that stopped everything */
    va_start(arguments, format);
    vsnprintf(why, sizeof(why), format, arguments);
    va_end(arguments);
    return why;
}

static const char *invariants(void)
{
    return sim_failure(sim) == NULL ? NULL : sim_failure_text(sim);
}

/* ---- what the stories are told with ---- */

static void begin(uint64_t seed, uint32_t hosts, uint32_t voters, uint64_t defects)
{
    sim_reset(sim, seed, hosts);
    consensus_mesh_reset(&mesh, voters, true);
    mesh.config.core_defects = defects;
}

/* Starts all; somebody leads and all agree. */
static const char *begin_led(uint64_t seed, uint32_t hosts, uint32_t voters, uint64_t defects, uint32_t *ret_leader)
{
    begin(seed, hosts, voters, defects);
    consensus_mesh_start_all(&mesh);
    *ret_leader = consensus_mesh_await_leader(&mesh, 20 * SIM_SECOND);
    if (*ret_leader == CONSENSUS_NOBODY) return wrong("nobody leads at the beginning");
    return consensus_mesh_await_agreement(&mesh, 10 * SIM_SECOND) ? NULL : wrong("no agreement: %s", consensus_mesh_disagreement(&mesh));
}

static struct sim_host *host_at(uint32_t host)
{
    return sim_host_at(sim, host);
}

static void cut(uint32_t from, uint32_t to)
{
    sim_net_cut(sim, from, to, SIM_NET_ALL);
}

static void cut_both(uint32_t a, uint32_t b)
{
    cut(a, b);
    cut(b, a);
}

static void join_both(uint32_t a, uint32_t b)
{
    sim_net_join(sim, a, b, SIM_NET_ALL);
    sim_net_join(sim, b, a, SIM_NET_ALL);
}

static void isolate(uint32_t host, bool is_cut)
{
    for (uint32_t i = 0; i < sim_host_count(sim); i++) {
        if (i != host) (is_cut ? cut_both : join_both)(host, i);
    }
}

static int propose(uint32_t host, unsigned count)
{
    int err = 0;

    for (unsigned i = 0; i < count && err == 0; i++)
        err = consensus_clients_propose(&mesh.clients, consensus_mesh_process(&mesh, host), 40);
    return err;
}

/* Proposes there and waits until it is acknowledged. */
static bool write_through(uint32_t host, unsigned count)
{
    uint64_t want = mesh.clients.acknowledged + count;

    if (propose(host, count) != 0) return false;
    for (int i = 0; i < 500 && mesh.clients.acknowledged < want; i++)
        consensus_mesh_run(&mesh, SIM_SECOND / 100);
    return mesh.clients.acknowledged >= want;
}

static bool change_to(const struct raft_config *config)
{
    for (int i = 0; i < 500; i++) {
        int err = consensus_mesh_change(&mesh, CONSENSUS_NOBODY, config);
        if (err != 0 && err != MESH_EAGAIN && err != MESH_EBUSY && err != MESH_ENOT_LEADER) return false;
        consensus_mesh_run(&mesh, SIM_SECOND / 50);
        if (err == 0) break;
    }
    return consensus_mesh_await_agreement(&mesh, 10 * SIM_SECOND);
}

/* ---- scenarios ---- */

/* 17 (KAFKA-16207, KIP-853): a voter that lost its disk is a new server. What it had acknowledged cannot be outvoted with its help. */
static const char *wiped_voter_is_another(uint64_t defects)
{
    uint32_t leader, behind, wiped;
    const char *failed = begin_led(17, 3, 3, defects, &leader);

    if (failed != NULL) return failed;
    behind = (leader + 1) % 3;
    wiped = (leader + 2) % 3;
    isolate(behind, true);
    if (!write_through(leader, 5)) return wrong("a majority does not commit");
    sim_host_kill(host_at(leader), SIM_STOP_POWER);
    sim_host_kill(host_at(wiped), SIM_STOP_POWER);
    consensus_mesh_wipe(&mesh, wiped);
    sim_host_start(host_at(wiped));
    isolate(behind, false);
    consensus_mesh_run(&mesh, 20 * SIM_SECOND);
    if (consensus_mesh_leader(&mesh) != CONSENSUS_NOBODY) return wrong("h%u leads without a majority", consensus_mesh_leader(&mesh));
    sim_host_start(host_at(leader));
    if (consensus_mesh_await_leader(&mesh, 10 * SIM_SECOND) != leader) return wrong("who has all the entries does not lead");
    return invariants();
}

/* 17: a voter on a new disk is first a learner, and takes the place of what it was. */
static const char *wiped_voter_is_replaced(uint64_t defects)
{
    uint32_t leader, wiped;
    struct raft_config config;
    const char *failed = begin_led(18, 3, 3, defects, &leader);

    if (failed != NULL) return failed;
    mesh.config.snapshot_every = 10;
    wiped = (leader + 1) % 3;
    if (!write_through(leader, 30)) return wrong("nothing commits");
    sim_host_kill(host_at(wiped), SIM_STOP_POWER);
    consensus_mesh_wipe(&mesh, wiped);
    sim_host_start(host_at(wiped));
    config = mesh.config.founders;
    config.learners[config.learner_count++] = consensus_mesh_server(&mesh, wiped);
    if (!change_to(&config)) return wrong("a new disk does not become a learner: %s", consensus_mesh_disagreement(&mesh));
    config.learner_count = 0;
    for (unsigned i = 0; i < 3; i++) {
        if (consensus_host_of(&config.voters[i].broker) == wiped) config.voters[i] = consensus_mesh_server(&mesh, wiped);
    }
    if (!change_to(&config)) return wrong("a new disk does not take the old one's place: %s", consensus_mesh_disagreement(&mesh));
    if (!write_through(consensus_mesh_leader(&mesh), 3)) return wrong("nothing commits then");
    return invariants();
}

/* What one voter and the leader alone hold is committed; the third knows of it only that they hold more. Then the leader dies, and the voter comes back
 * on an older state of its disk (20: NATS #7567, by a backup). */
static const char *commit_without(uint32_t leader, uint32_t voter, uint32_t third)
{
    cut_both(leader, third);
    if (!write_through(leader, 5)) return wrong("a majority does not commit");
    consensus_mesh_run(&mesh, SIM_SECOND); /* the voter goes on telling the third that it is there */
    sim_host_kill(host_at(leader), SIM_STOP_POWER);
    sim_host_kill(host_at(voter), SIM_STOP_KILL);
    join_both(leader, third);
    return NULL;
}

static const char *nobody_leads_until_back(uint32_t leader, uint32_t voter)
{
    struct raft_server server = consensus_mesh_server(&mesh, voter);
    uint64_t leaders;

    consensus_mesh_run(&mesh, 20 * SIM_SECOND);
    if (consensus_mesh_leader(&mesh) != CONSENSUS_NOBODY) return wrong("h%u leads without a majority that remembers", consensus_mesh_leader(&mesh));
    if (!consensus_mesh_is_set_back(&mesh, voter)) return wrong("it does not know that it was set back");
    if (consensus_watch_excused(mesh.watch) != NULL) return wrong("%s", consensus_watch_excused(mesh.watch));
    sim_host_start(host_at(leader));
    if (consensus_mesh_await_leader(&mesh, 10 * SIM_SECOND) == CONSENSUS_NOBODY) return wrong("nobody leads though all the entries are back");
    leaders = consensus_watch_leaders(mesh.watch);
    consensus_mesh_run(&mesh, 20 * SIM_SECOND); /* what it says disturbs nobody */
    if (consensus_watch_leaders(mesh.watch) != leaders) return wrong("%llu more leaders", (unsigned long long)(consensus_watch_leaders(mesh.watch) - leaders));
    sim_host_kill(host_at(voter), SIM_STOP_KILL);
    sim_host_start(host_at(voter));
    if (mesh.refused[voter] != CONSENSUS_SET_BACK) return wrong("it has forgotten that it was set back");
    consensus_mesh_wipe(&mesh, voter);
    sim_host_start(host_at(voter));
    for (unsigned i = 0; i < 2; i++) { /* a learner, then a voter in the place of what it was */
        struct raft_config config = mesh.config.founders;
        if (i == 0) config.learners[config.learner_count++] = consensus_mesh_server(&mesh, voter);
        for (unsigned k = 0; i == 1 && k < 3; k++) {
            if (raft_server_equal(&config.voters[k], &server)) config.voters[k] = consensus_mesh_server(&mesh, voter);
        }
        if (!change_to(&config)) return wrong("it is not taken in again: %s", consensus_mesh_disagreement(&mesh));
    }
    return write_through(consensus_mesh_leader(&mesh), 3) ? invariants() : wrong("nothing commits then");
}

static const char *restored_voter_outvotes_nobody(uint64_t defects)
{
    uint32_t leader, voter, third;
    const char *failed = begin_led(20, 3, 3, defects, &leader);

    if (failed != NULL) return failed;
    voter = (leader + 1) % 3;
    third = (leader + 2) % 3;
    sim_host_back_up_disk(host_at(voter));
    failed = commit_without(leader, voter, third);
    if (failed != NULL) return failed;
    consensus_watch_restored(mesh.watch, &mesh.config.founders.voters[voter]);
    sim_host_restore_disk(host_at(voter));
    sim_host_start(host_at(voter));
    return nobody_leads_until_back(leader, voter);
}

/* 17 (the same id twice): two copies of a voter take turns, and what one acknowledged is not outvoted by the other. */
static const char *copies_of_a_voter_take_no_turns(uint64_t defects)
{
    uint32_t leader, voter, third;
    const char *failed = begin_led(21, 3, 3, defects, &leader);

    if (failed != NULL) return failed;
    voter = (leader + 1) % 3;
    third = (leader + 2) % 3;
    sim_host_back_up_disk(host_at(voter));
    sim_host_kill(host_at(voter), SIM_STOP_KILL);
    consensus_watch_restored(mesh.watch, &mesh.config.founders.voters[voter]);
    sim_host_swap_disk(host_at(voter)); /* the copy knows as much as the original, and goes on in its place */
    sim_host_start(host_at(voter));
    if (!consensus_mesh_await_agreement(&mesh, 10 * SIM_SECOND)) return wrong("the copy is not heeded: %s", consensus_mesh_disagreement(&mesh));
    failed = commit_without(leader, voter, third);
    if (failed != NULL) return failed;
    consensus_watch_restored(mesh.watch, &mesh.config.founders.voters[voter]);
    sim_host_swap_disk(host_at(voter));
    sim_host_start(host_at(voter));
    return nobody_leads_until_back(leader, voter);
}

/* 17 (KAFKA-19850): who was removed while it was away comes back, and disturbs nobody. */
static const char *removed_voter_disturbs_nobody(uint64_t defects)
{
    uint32_t leader, removed;
    uint64_t term;
    struct raft_config config = {.voter_count = 0};
    const char *failed = begin_led(19, 4, 4, defects, &leader);

    if (failed != NULL) return failed;
    removed = (leader + 1) % 4;
    isolate(removed, true);
    for (uint32_t i = 0; i < 4; i++) {
        if (i != removed) config.voters[config.voter_count++] = consensus_server(i, 0);
    }
    consensus_mesh_run(&mesh, 3 * SIM_SECOND);
    if (consensus_mesh_change(&mesh, CONSENSUS_NOBODY, &config) != 0) return wrong("it is not removed");
    consensus_mesh_run(&mesh, 3 * SIM_SECOND);
    term = consensus_watch_term(mesh.watch);
    isolate(removed, false);
    consensus_mesh_run(&mesh, 60 * SIM_SECOND);
    if (consensus_watch_term(mesh.watch) != term || consensus_mesh_status(&mesh, consensus_mesh_leader(&mesh)).term != term)
        return wrong("term %llu, then %llu", (unsigned long long)term, (unsigned long long)consensus_watch_term(mesh.watch));
    return invariants();
}

/* 19 (braft #292): who lost its log catches up although nothing is written. */
static const char *learner_catches_up_in_silence(uint64_t defects)
{
    uint32_t leader;
    struct raft_config config;
    const char *failed = begin_led(20, 4, 3, defects, &leader);

    if (failed != NULL) return failed;
    mesh.config.snapshot_every = 7;
    mesh.config.options.retained_bytes_max = 0;
    if (!write_through(leader, 20)) return wrong("nothing commits");
    config = mesh.config.founders;
    config.learners[config.learner_count++] = consensus_server(3, 0);
    if (!change_to(&config)) return wrong("a learner does not catch up: %s", consensus_mesh_disagreement(&mesh));
    isolate(3, true);
    if (!write_through(leader, 3)) return wrong("nothing commits");
    consensus_mesh_run(&mesh, 5 * SIM_SECOND);
    isolate(3, false);
    if (!consensus_mesh_await_agreement(&mesh, 10 * SIM_SECOND)) return wrong("it stays behind: %s", consensus_mesh_disagreement(&mesh));
    return invariants();
}

/* 23 (the single-server bug of 2015): a leader's first change waits for its first entry. Two leaders that change from an old
 * configuration each would have majorities that do not meet. */
static const char *change_waits_for_the_first_entry(uint64_t defects)
{
    uint32_t a, b;
    struct raft_config config;
    const char *failed = begin_led(23, 5, 4, defects, &a);
    int err;

    if (failed != NULL) return failed;
    b = (a + 1) % 4;
    isolate(a, true);
    consensus_mesh_run(&mesh, SIM_SECOND / 100);
    config = mesh.config.founders;
    config.learners[config.learner_count++] = consensus_server(4, 0);
    sim_host_kill(host_at(a), SIM_STOP_KILL);
    for (int i = 0; i < 5000; i++) {
        struct raft_status status;
        consensus_mesh_run(&mesh, SIM_SECOND / 2000);
        for (uint32_t h = 0; h < 4; h++) {
            if (h == a) continue;
            status = consensus_mesh_status(&mesh, h);
            if (status.role != RAFT_LEADER || status.is_leader_ready) continue;
            b = h;
            err = consensus_mesh_change(&mesh, b, &config);
            return err == MESH_EBUSY ? invariants() : wrong("h%u changes before its first entry is committed: %d", b, err);
        }
    }
    return wrong("h%u, h%u: nobody was seen to lead with nothing committed", a, b);
}

/* 27 (etcd #397): a read that is asked again sees what was acknowledged in between. */
static const char *read_asked_again_is_fresh(uint64_t defects)
{
    uint32_t leader;
    uint64_t context;
    const char *failed = begin_led(27, 3, 3, defects, &leader);

    if (failed != NULL) return failed;
    mesh.clients.loses_answers = true;
    for (unsigned i = 0; i < 8; i++) {
        context = consensus_clients_read(&mesh.clients, consensus_mesh_process(&mesh, leader), 0);
        consensus_mesh_run(&mesh, SIM_SECOND);
        if (!write_through(leader, 2)) return wrong("nothing commits");
        if (!consensus_clients_is_waiting(&mesh.clients, context)) continue;
        consensus_clients_read(&mesh.clients, consensus_mesh_process(&mesh, leader), context);
        consensus_mesh_run(&mesh, SIM_SECOND);
        if (consensus_clients_is_waiting(&mesh.clients, context)) return wrong("a read is not answered");
    }
    return invariants();
}

/* 27: a leader that is cut off answers no read, however often it is asked. */
static const char *old_leader_answers_no_read(uint64_t defects)
{
    uint32_t leader, next;
    uint64_t served;
    const char *failed = begin_led(28, 3, 3, defects, &leader);

    if (failed != NULL) return failed;
    isolate(leader, true);
    served = mesh.clients.reads_served;
    for (unsigned i = 0; i < 40; i++) {
        consensus_clients_read(&mesh.clients, consensus_mesh_process(&mesh, leader), 0);
        consensus_mesh_run(&mesh, SIM_SECOND / 10);
    }
    next = consensus_mesh_leader(&mesh);
    if (next == leader || next == CONSENSUS_NOBODY) return wrong("nobody else leads");
    if (!write_through(next, 3)) return wrong("nothing commits");
    if (mesh.clients.reads_served != served) return wrong("who is cut off answered a read");
    isolate(leader, false);
    consensus_mesh_run(&mesh, 5 * SIM_SECOND);
    if (mesh.clients.reads_served != served) return wrong("who was cut off answered a read");
    return invariants();
}

/* 29 (OmniPaxos, quorum loss): one server is left that reaches a majority, the leader is not it but reaches it. */
static const char *quorum_loss_is_overcome(uint64_t defects)
{
    uint32_t leader, hub, found;
    const char *failed = begin_led(29, 5, 5, defects, &leader);

    if (failed != NULL) return failed;
    hub = (leader + 1) % 5;
    for (uint32_t a = 0; a < 5; a++) {
        for (uint32_t b = a + 1; b < 5; b++) {
            if (a != hub && b != hub) cut_both(a, b);
        }
    }
    consensus_mesh_run(&mesh, 15 * SIM_SECOND);
    found = consensus_mesh_leader(&mesh);
    if (found != hub) return wrong("h%d leads, h%u alone reaches a majority", (int)found, hub);
    if (!write_through(hub, 3)) return wrong("nothing commits");
    return invariants();
}

/* 29 (OmniPaxos, constrained election): the leader is gone; who reaches a majority is elected, be the others never so eager. */
static const char *constrained_election_succeeds(uint64_t defects)
{
    uint32_t leader, hub;
    uint64_t leaders;
    const char *failed = begin_led(30, 5, 5, defects, &leader);

    if (failed != NULL) return failed;
    hub = (leader + 1) % 5;
    isolate(leader, true);
    for (uint32_t a = 0; a < 5; a++) {
        for (uint32_t b = a + 1; b < 5; b++) {
            if (a != hub && b != hub && a != leader && b != leader) cut_both(a, b);
        }
    }
    leaders = consensus_watch_leaders(mesh.watch);
    consensus_mesh_run(&mesh, 10 * SIM_SECOND);
    if (consensus_mesh_leader(&mesh) != hub) return wrong("h%u does not lead", hub);
    consensus_mesh_run(&mesh, 60 * SIM_SECOND);
    leaders = consensus_watch_leaders(mesh.watch) - leaders;
    if (leaders > 2) return wrong("%llu leaders in a minute", (unsigned long long)leaders);
    if (!write_through(hub, 3)) return wrong("nothing commits");
    return invariants();
}

/* 29 (OmniPaxos, chained; Cloudflare 2020): one link is lost, both its ends reach the third. Leadership comes to rest. */
static const char *chain_does_not_flap(uint64_t defects)
{
    uint32_t leader, end;
    uint64_t before;
    const char *failed = begin_led(31, 3, 3, defects, &leader);

    if (failed != NULL) return failed;
    end = (leader + 1) % 3;
    cut_both(leader, end);
    before = consensus_watch_leaders(mesh.watch);
    consensus_mesh_run(&mesh, 120 * SIM_SECOND);
    if (consensus_watch_leaders(mesh.watch) - before > 1)
        return wrong("%llu leaders in two minutes", (unsigned long long)(consensus_watch_leaders(mesh.watch) - before));
    leader = consensus_mesh_leader(&mesh);
    if (leader == CONSENSUS_NOBODY || !write_through(leader, 3)) return wrong("nothing commits");
    return invariants();
}

/* 29: a server that is heard by nobody, but hears all, unseats nobody; and one that comes back does not either. */
static const char *one_way_link_unseats_nobody(uint64_t defects)
{
    uint32_t leader, deaf;
    uint64_t before;
    const char *failed = begin_led(32, 3, 3, defects, &leader);

    if (failed != NULL) return failed;
    deaf = (leader + 1) % 3;
    before = consensus_watch_leaders(mesh.watch);
    for (int round = 0; round < 4; round++) {
        isolate(deaf, true);
        consensus_mesh_run(&mesh, 10 * SIM_SECOND);
        isolate(deaf, false);
        consensus_mesh_run(&mesh, 10 * SIM_SECOND);
    }
    if (consensus_watch_leaders(mesh.watch) != before) return wrong("a leader was unseated");
    if (!write_through(leader, 3)) return wrong("nothing commits");
    return invariants();
}

/* 29: a leader that has lost its majority steps down, so that nobody waits for it. */
static const char *leader_without_majority_steps_down(uint64_t defects)
{
    uint32_t leader;
    const char *failed = begin_led(33, 3, 3, defects, &leader);

    if (failed != NULL) return failed;
    isolate(leader, true);
    consensus_mesh_run(&mesh, 5 * SIM_SECOND);
    if (consensus_mesh_status(&mesh, leader).role == RAFT_LEADER) return wrong("it leads on, alone");
    return invariants();
}

#define DEFECT(name) (UINT64_C(1) << RAFT_DEFECT_##name)

static const struct {
    const char *name;
    const char *(*run)(uint64_t defects);
    uint64_t defects; /* with these it has to fail; 0: told for its own sake */
} scenarios[] = {
    {"4.2-17 a wiped voter is another", wiped_voter_is_another, DEFECT(DISK_IGNORED)},
    {"4.2-17 a wiped voter is replaced", wiped_voter_is_replaced, 0},
    {"4.2-17 copies of a voter take no turns", copies_of_a_voter_take_no_turns, DEFECT(LIVES_IGNORED)},
    {"4.2-20 a restored voter outvotes nobody", restored_voter_outvotes_nobody, DEFECT(LIVES_IGNORED)},
    {"4.2-17 a removed voter disturbs nobody", removed_voter_disturbs_nobody,
     DEFECT(REMOVED_DISRUPTS) | DEFECT(NO_PRE_VOTE) | DEFECT(NO_STICKINESS) | DEFECT(UNCONNECTED_CAMPAIGNS)},
    {"4.2-19 a learner catches up in silence", learner_catches_up_in_silence, DEFECT(NO_REPAIR_BY_HEARTBEAT)},
    {"4.2-23 a change waits for the first entry", change_waits_for_the_first_entry, DEFECT(CHANGE_BEFORE_NOOP)},
    {"4.2-27 a read asked again is fresh", read_asked_again_is_fresh, DEFECT(READ_REUSED)},
    {"4.2-27 an old leader answers no read", old_leader_answers_no_read, 0},
    {"4.2-29 quorum loss is overcome", quorum_loss_is_overcome, DEFECT(NO_CHECK_QUORUM)},
    {"4.2-29 a constrained election succeeds", constrained_election_succeeds, 0},
    {"4.2-29 a chain does not flap", chain_does_not_flap, DEFECT(NO_PRE_VOTE) | DEFECT(NO_STICKINESS) | DEFECT(UNCONNECTED_CAMPAIGNS)},
    {"4.2-29 who comes back unseats nobody", one_way_link_unseats_nobody,
     DEFECT(NO_PRE_VOTE) | DEFECT(NO_STICKINESS) | DEFECT(UNCONNECTED_CAMPAIGNS)},
    {"4.2-29 a leader without a majority steps down", leader_without_majority_steps_down, DEFECT(NO_CHECK_QUORUM)},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* ---- seeds ---- */

#define ROT (1u << CONSENSUS_FAULT_FLIP | 1u << CONSENSUS_FAULT_ZERO)

/* Defects that some seed of the world notices, within SEEDS. */
static const struct {
    const char *name;
    uint64_t core;
    enum store_defect store;
    unsigned driver;
    const char *invariant; /* how its name begins */
    uint32_t faults;       /* the only kinds that happen to disks; 0: any */
} noticed[] = {
    {"4.2-18 vote not held", DEFECT(VOTE_NOT_HELD), STORE_DEFECT_NONE, 0, "18 ", 0},
    {"4.2-18 vote forgotten", DEFECT(VOTE_FORGOTTEN), STORE_DEFECT_NONE, 0, "term and vote", 0},
    {"4.2-18 vote rewritten", 0, STORE_DEFECT_VOTE_REWRITTEN, 0, "a good disk", 0},
    {"4.2-18 vote unsynced", 0, STORE_DEFECT_VOTE_UNSYNCED, 0, "term and vote", 0},
    {"4.2-20 undurable acknowledged", DEFECT(UNDURABLE_ACKNOWLEDGED), STORE_DEFECT_NONE, 0, "", 0},
    {"4.2-20 sync retried", 0, STORE_DEFECT_SYNC_RETRIED, 0, "", 1u << CONSENSUS_FAULT_SYNC},
    {"4.2-20 lives ignored", DEFECT(LIVES_IGNORED), STORE_DEFECT_NONE, 0, "who met what", 1u << CONSENSUS_FAULT_RESTORE | 1u << CONSENSUS_FAULT_COPY},
    {"4.2-21 torn assumed", 0, STORE_DEFECT_TORN_ASSUMED, 0, "S1 what was stored", ROT},
    {"4.2-21 a hole votes", DEFECT(HOLE_VOTES), STORE_DEFECT_NONE, 0, "no vote by", ROT},
    {"4.2-22 snapshot replaced", 0, STORE_DEFECT_SNAPSHOT_REPLACED, 0, "a good disk", 0},
    {"4.2-23 two changes", DEFECT(TWO_CHANGES), STORE_DEFECT_NONE, 0, "one configuration change", 0},
    {"4.2-23 learners counted", DEFECT(LEARNERS_COUNTED), STORE_DEFECT_NONE, 0, "S1 what is committed", 0},
    {"4.2-27 read reused", DEFECT(READ_REUSED), STORE_DEFECT_NONE, 0, "27 ", 0},
    {"4.2-28 applied index apart", 0, STORE_DEFECT_NONE, 1u << CONSENSUS_DRIVER_INDEX_APART, "S12 states", 0},
    {"4.2-31 stale store counted", DEFECT(STALE_STORE_COUNTED), STORE_DEFECT_NONE, 0, "", 0},
    {"Raft 5.4.2 old term counted", DEFECT(OLD_TERM_COUNTED), STORE_DEFECT_NONE, 0, "a leader counts", 0},
};
#define SEEDS 1000
#define NOTICED (sizeof(noticed) / sizeof(noticed[0]))

/* The first seed that notices; 0: none. */
static uint64_t first_noticing(size_t which, struct sim_result *ret_result)
{
    struct sim_runner *runner;
    struct sim_plan *plan = calloc(1, sizeof(*plan));
    uint64_t seed = 1;

    ck_assert_ptr_nonnull(plan);
    consensus_world_set_defects(noticed[which].core, noticed[which].driver);
    consensus_world_set_faults(noticed[which].faults);
    raft_store_bring_back(noticed[which].store);
    runner = sim_runner_new(&consensus_world);
    for (; seed <= SEEDS; seed++) {
        sim_plan_draw(plan, seed, &consensus_world.limits);
        sim_runner_run(runner, plan, ret_result);
        if (ret_result->failure != NULL && strncmp(ret_result->failure, noticed[which].invariant, strlen(noticed[which].invariant)) == 0) break;
    }
    raft_store_bring_back(STORE_DEFECT_NONE);
    consensus_world_set_defects(0, 0);
    consensus_world_set_faults(0);
    sim_runner_free(runner);
    free(plan);
    return seed <= SEEDS ? seed : 0;
}

/* ---- */

static void set_up(void)
{
    sim = sim_new();
    consensus_mesh_init(&mesh, sim);
}

static void tear_down(void)
{
    consensus_mesh_deinit(&mesh);
    sim_free(sim);
}

START_TEST(scenario_passes)
{
    const char *failed = scenarios[_i].run(0);

    ck_assert_msg(failed == NULL, "%s: %s", scenarios[_i].name, failed);
}
END_TEST

START_TEST(scenario_fails_with_its_defect)
{
    const char *failed;

    if (scenarios[_i].defects == 0) return;
    failed = scenarios[_i].run(scenarios[_i].defects);
    ck_assert_msg(failed != NULL, "%s passes with the defect too", scenarios[_i].name);
    if (getenv("SHOW") != NULL) printf("%s: %s\n", scenarios[_i].name, failed);
}
END_TEST

START_TEST(seeds_notice_the_defect)
{
    struct sim_result result;
    uint64_t seed = first_noticing((size_t)_i, &result);

    ck_assert_msg(seed != 0, "%s: no seed of 1..%u notices it", noticed[_i].name, SEEDS);
    if (getenv("SHOW") != NULL) printf("%s: seed %llu, %s: %s\n", noticed[_i].name, (unsigned long long)seed, result.failure, result.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sim_consensus");
    TCase *tcase = tcase_create("scenarios"), *seeds = tcase_create("seeds");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 100);
    tcase_add_loop_test(tcase, scenario_passes, 0, SCENARIOS);
    tcase_add_loop_test(tcase, scenario_fails_with_its_defect, 0, SCENARIOS);
    suite_add_tcase(suite, tcase);
    tcase_set_timeout(seeds, 200);
    tcase_add_loop_test(seeds, seeds_notice_the_defect, 0, NOTICED);
    suite_add_tcase(suite, seeds);
    return run_suite(suite);
}
