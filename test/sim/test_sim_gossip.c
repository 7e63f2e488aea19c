/* Each defect of PROTOCOLS 1.5 that concerns membership, and scenarios 29 and 30 of 4.2, by name. A scenario passes with
 * the core as it is and is shown to fail when the defect is brought back; a test that cannot fail proves nothing. */
#include "sim/gossip_faults.h"
#include "sim/gossip_mesh.h"
#include "sim/sim_world.h"
#include "support/run_suite.h"

#include <stdarg.h>

static struct gossip_mesh mesh;
static char why[256];

/* What went wrong, for the one who reads it. */
__attribute__((format(printf, 1, 2))) static const char *wrong(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, sizeof(why), format, arguments);
    va_end(arguments);
    return why;
}

static const char *invariants(void)
{
    return sim_failure(mesh.sim) == NULL ? NULL : wrong("%s: %s", sim_failure(mesh.sim), sim_failure_text(mesh.sim));
}

static void begin(uint64_t seed, uint32_t size, uint64_t defects)
{
    gossip_mesh_reset(&mesh, seed, size);
    mesh.config.defects = defects;
}

static const char *begin_joined(uint64_t seed, uint32_t size, uint64_t defects)
{
    begin(seed, size, defects);
    return gossip_mesh_join(&mesh) ? NULL : wrong("the mesh does not come together");
}

/* Cuts or joins everything between two groups: hosts below `border`, and the others. */
static void change_border(uint32_t border, bool is_cut)
{
    for (uint32_t a = 0; a < border; a++) {
        for (uint32_t b = border; b < mesh.size; b++) {
            (is_cut ? sim_net_cut : sim_net_join)(mesh.sim, a, b, SIM_NET_ALL);
            (is_cut ? sim_net_cut : sim_net_join)(mesh.sim, b, a, SIM_NET_ALL);
        }
    }
}

static void forget_seeds(void)
{
    for (uint32_t i = 0; i < mesh.size; i++) {
        struct gossip_process *process = sim_host_process(gossip_mesh_host(&mesh, i));
        gossip_set_seeds(gossip_process_core(process), sim_host_now_us(gossip_mesh_host(&mesh, i)), NULL, 0);
        gossip_process_drain(process);
    }
}

/* ---- scenarios ---- */

/* 1, and 30 (memberlist #222): both sides of a partition hold each other dead; no seed helps. */
static const char *healed_partition_merges(uint64_t defects)
{
    const char *failed = begin_joined(1, 6, defects);

    if (failed != NULL) return failed;
    forget_seeds();
    change_border(3, true);
    gossip_mesh_run(&mesh, 120 * SIM_SECOND);
    change_border(3, false);
    if (gossip_mesh_run_until_agreed(&mesh, SIM_SECOND, 60 * SIM_SECOND) == SIM_NEVER) return wrong("the two sides stay apart");
    return invariants();
}

/* 2: who died is not brought back by those that still list it. */
static const char *dead_stay_dead(uint64_t defects)
{
    const char *failed = begin_joined(2, 20, defects);
    struct uuid id;

    if (failed != NULL) return failed;
    id = gossip_mesh_id(&mesh, 7);
    sim_host_kill(gossip_mesh_host(&mesh, 7), SIM_STOP_POWER);
    for (int i = 0; i < 120; i++) {
        gossip_mesh_run(&mesh, SIM_SECOND);
        if (i > 20 && gossip_mesh_gone_count(&mesh, &id) != 19)
            return wrong("after %d s only %u of 19 hold it dead", i, gossip_mesh_gone_count(&mesh, &id));
    }
    return invariants();
}

/* 2: who left is forgotten in the end. */
static const char *left_are_forgotten(uint64_t defects)
{
    struct gossip_process *process;

    begin(3, 5, defects);
    mesh.config.options.tombstone_us = 60 * SIM_SECOND;
    if (!gossip_mesh_join(&mesh)) return wrong("the mesh does not come together");
    process = sim_host_process(gossip_mesh_host(&mesh, 4));
    gossip_leave(gossip_process_core(process), sim_host_now_us(gossip_mesh_host(&mesh, 4)));
    gossip_process_drain(process);
    gossip_mesh_run(&mesh, 300 * SIM_SECOND);
    for (uint32_t i = 0; i < 4; i++) {
        size_t count = gossip_member_count(gossip_mesh_core(&mesh, i));
        if (count != 4) return wrong("h%u has %zu members", i, count);
    }
    return invariants();
}

/* 4, and 30 (restate #5156): who was stopped for a while accuses nobody when it goes on. The network is slow, so that
 * there is mostly a probe under way. */
static const char *stalled_broker_accuses_nobody(uint64_t defects)
{
    const char *failed = begin_joined(4, 5, defects);

    if (failed != NULL) return failed;
    sim_net_options(mesh.sim)->delay_mean_us = 30000;
    gossip_mesh_run(&mesh, 60 * SIM_SECOND);
    for (int i = 0; i < 100; i++) {
        struct gossip_stats before, after;
        sim_host_pause(gossip_mesh_host(&mesh, 2));
        gossip_mesh_run(&mesh, SIM_SECOND);
        gossip_get_stats(gossip_mesh_core(&mesh, 2), &before);
        sim_host_resume(gossip_mesh_host(&mesh, 2));
        gossip_mesh_run(&mesh, 1000); /* what waited, and nothing else */
        gossip_get_stats(gossip_mesh_core(&mesh, 2), &after);
        if (after.suspicions != before.suspicions) return wrong("somebody is accused after pause %d", i);
        gossip_mesh_run(&mesh, 5 * SIM_SECOND + (uint64_t)i * 7000);
    }
    return invariants();
}

/* 6: when nothing happens, nothing is said but probes. */
static const char *news_end(uint64_t defects)
{
    const char *failed = begin_joined(6, 20, defects);
    uint64_t bytes;

    if (failed != NULL) return failed;
    sim_host_kill(gossip_mesh_host(&mesh, 3), SIM_STOP_POWER);
    gossip_mesh_run(&mesh, 120 * SIM_SECOND);
    bytes = sim_get_stats(mesh.sim)->datagram_bytes;
    gossip_mesh_run(&mesh, 100 * SIM_SECOND);
    bytes = (sim_get_stats(mesh.sim)->datagram_bytes - bytes) / 1900;
    if (bytes > 800) return wrong("%llu bytes/s of an idle broker", (unsigned long long)bytes);
    return invariants();
}

/* 7, and 29 (one link is lost): the only helpers there are get asked, be it one at a time. */
static const char *one_lost_link_hurts_nobody(uint64_t defects)
{
    uint64_t suspicions;

    for (uint64_t seed = 70; seed < 75; seed++) {
        begin(seed, 4, defects);
        mesh.config.options.indirect_probes = 1;
        if (!gossip_mesh_join(&mesh)) return wrong("the mesh does not come together");
        sim_net_cut(mesh.sim, 1, 2, SIM_NET_ALL);
        sim_net_cut(mesh.sim, 2, 1, SIM_NET_ALL);
        gossip_mesh_run(&mesh, 300 * SIM_SECOND);
        suspicions = gossip_mesh_suspicions(&mesh);
        if (suspicions > 0) return wrong("%llu suspicions", (unsigned long long)suspicions);
        if (gossip_watch_false_deaths(mesh.watch) > 0) return wrong("a false death");
    }
    return invariants();
}

/* 29 (chained topology): each reaches its neighbours only; when all is well again all agree. */
static const char *chain_heals(uint64_t defects)
{
    const char *failed = begin_joined(29, 5, defects);

    if (failed != NULL) return failed;
    for (int is_cut = 1; is_cut >= 0; is_cut--) {
        for (uint32_t a = 0; a < 5; a++) {
            for (uint32_t b = 0; b < 5; b++)
                if (a > b + 1 || b > a + 1) (is_cut ? sim_net_cut : sim_net_join)(mesh.sim, a, b, SIM_NET_ALL);
        }
        gossip_mesh_run(&mesh, (is_cut ? 120 : 60) * SIM_SECOND);
    }
    return gossip_mesh_agrees(&mesh) ? invariants() : wrong("no agreement");
}

/* 9: several seeds, most of them dead: the living one is found at once; and two meshes that grew apart merge. */
static const char *seeds_are_dialled_side_by_side(uint64_t defects)
{
    uint64_t took_us;

    begin(9, 4, defects);
    for (uint32_t i = 0; i < 3; i++)
        mesh.config.seeds[i] = sim_address(2000 + i, mesh.config.seeds[0].port); /* nobody there: silence */
    mesh.config.seeds[3] = sim_host_address(gossip_mesh_host(&mesh, 0));
    mesh.config.seed_count = 4;
    for (uint32_t i = 0; i < 4; i++)
        gossip_mesh_start(&mesh, i);
    took_us = gossip_mesh_run_until_agreed(&mesh, SIM_SECOND / 10, 60 * SIM_SECOND);
    if (took_us > SIM_SECOND) return wrong("it takes %llu ms", (unsigned long long)took_us / 1000);
    return invariants();
}

/* 10: another broker at the address of a dead one does not keep it alive. */
static const char *reused_address_revives_nobody(uint64_t defects)
{
    const char *failed = begin_joined(10, 5, defects);
    struct uuid id;
    uint32_t number;

    if (failed != NULL) return failed;
    id = gossip_mesh_id(&mesh, 1);
    number = sim_host_address_number(gossip_mesh_host(&mesh, 1));
    sim_host_kill(gossip_mesh_host(&mesh, 1), SIM_STOP_POWER);
    sim_host_kill(gossip_mesh_host(&mesh, 2), SIM_STOP_POWER);
    sim_host_take_address(gossip_mesh_host(&mesh, 2), number);
    sim_host_start(gossip_mesh_host(&mesh, 2));
    gossip_mesh_run(&mesh, 60 * SIM_SECOND);
    if (gossip_mesh_gone_count(&mesh, &id) != 4) return wrong("%u of 4 hold the dead one dead", gossip_mesh_gone_count(&mesh, &id));
    return gossip_mesh_agrees(&mesh) ? invariants() : wrong("no agreement");
}

/* 1.1, bug 1, and 30 (memberlist #345): who comes back to a mesh that holds it dead is told, and says so soon. */
static const char *accused_is_told(uint64_t defects)
{
    const char *failed = begin_joined(11, 5, defects);

    if (failed != NULL) return failed;
    for (uint32_t i = 1; i < 5; i++) {
        sim_net_cut(mesh.sim, 0, i, SIM_NET_ALL);
        sim_net_cut(mesh.sim, i, 0, SIM_NET_ALL);
        sim_net_cut(mesh.sim, 0, i, SIM_NET_TCP); /* stays: no link, so no table is exchanged */
        sim_net_cut(mesh.sim, i, 0, SIM_NET_TCP);
    }
    gossip_mesh_run(&mesh, 30 * SIM_SECOND);
    for (uint32_t i = 1; i < 5; i++) {
        sim_net_join(mesh.sim, 0, i, SIM_NET_ALL);
        sim_net_join(mesh.sim, i, 0, SIM_NET_ALL);
    }
    gossip_mesh_run(&mesh, 30 * SIM_SECOND);
    for (uint32_t i = 1; i < 5; i++) {
        struct uuid id = gossip_mesh_id(&mesh, 0);
        if (gossip_mesh_state(&mesh, i, &id) != GOSSIP_ALIVE) return wrong("h%u still holds it in state %d", i, gossip_mesh_state(&mesh, i, &id));
    }
    return invariants();
}

/* A member that hears nobody says that all are dead: they refute, and nobody else believes it. */
static const char *liar_is_not_believed(uint64_t defects)
{
    uint64_t others = 0;
    const char *failed = begin_joined(14, 8, defects);

    if (failed != NULL) return failed;
    for (uint32_t i = 1; i < 8; i++)
        sim_net_cut(mesh.sim, i, 0, SIM_NET_ALL);
    gossip_mesh_run(&mesh, 60 * SIM_SECOND);
    for (uint32_t i = 1; i < 8; i++)
        for (uint32_t j = 1; j < 8; j++)
            others += i == j ? gossip_watch_false_deaths_by(mesh.watch, i) : 0;
    others -= gossip_watch_false_deaths_about(mesh.watch, 0); /* that one cannot answer: rightly held dead */
    if (others > 0) return wrong("%llu false deaths at others", (unsigned long long)others);
    return invariants();
}

/* Rumours miss somebody now and then: digests mend it. */
static const char *digests_mend_what_rumours_missed(uint64_t defects)
{
    const char *failed = begin_joined(15, 30, defects);

    if (failed != NULL) return failed;
    sim_net_faults(mesh.sim)->loss_ppm = 300000;
    for (uint32_t i = 0; i < 60; i++) {
        gossip_watch_set_soft(mesh.watch, gossip_mesh_host(&mesh, i % 30), i % WATCH_KEYS);
        gossip_mesh_run(&mesh, SIM_SECOND / 3);
    }
    gossip_mesh_run(&mesh, 60 * SIM_SECOND);
    return gossip_mesh_soft_agrees(&mesh) ? invariants() : wrong("soft state differs for ever");
}

/* A killed process is known everywhere at once. */
static const char *killed_process_is_known_at_once(uint64_t defects)
{
    static const uint32_t sizes[] = {3, 5, 16, 40};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const char *failed = begin_joined(17, sizes[i], defects);
        struct uuid id;
        if (failed != NULL) return failed;
        gossip_mesh_run(&mesh, 5 * SIM_SECOND);
        id = gossip_mesh_id(&mesh, 1);
        sim_host_kill(gossip_mesh_host(&mesh, 1), SIM_STOP_KILL);
        gossip_mesh_run(&mesh, 300000);
        if (gossip_mesh_gone_count(&mesh, &id) != sizes[i] - 1)
            return wrong("%u of %u know", gossip_mesh_gone_count(&mesh, &id), sizes[i] - 1);
    }
    return invariants();
}

/* 30 (memberlist #345, #311): all restart at once; those that stayed behind hold the others dead. */
static const char *mass_restart_comes_together(uint64_t defects)
{
    const char *failed = begin_joined(30, 10, defects);

    if (failed != NULL) return failed;
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 10; i++)
            if (i != 4) sim_host_kill(gossip_mesh_host(&mesh, i), SIM_STOP_POWER);
        gossip_mesh_run(&mesh, 60 * SIM_SECOND);
        for (uint32_t i = 0; i < 10; i++)
            sim_host_start(gossip_mesh_host(&mesh, i));
        if (gossip_mesh_run_until_agreed(&mesh, SIM_SECOND, 60 * SIM_SECOND) == SIM_NEVER) return wrong("no agreement");
    }
    return invariants();
}

static void restart(uint32_t host, uint64_t down_us, bool is_restored)
{
    sim_host_kill(gossip_mesh_host(&mesh, host), SIM_STOP_KILL);
    if (is_restored) sim_host_restore_disk(gossip_mesh_host(&mesh, host));
    gossip_mesh_run(&mesh, down_us);
    sim_host_start(gossip_mesh_host(&mesh, host));
}

/* A disk that was set back knows fewer boots than the mesh: the broker learns it from the others, and takes one above them.
 * Restored to a boot that is used a second time; to earlier ones; and after the others have nearly forgotten it. */
static const char *restored_disk_catches_up(uint64_t defects)
{
    for (uint32_t boots = 1; boots <= 4; boots++) {
        uint32_t used;
        begin(32 + boots, 5, defects);
        if (boots == 4) mesh.config.options.tombstone_us = 120 * SIM_SECOND;
        if (!gossip_mesh_join(&mesh)) return wrong("the mesh does not come together");
        sim_host_back_up_disk(gossip_mesh_host(&mesh, 1));
        for (uint32_t i = 0; i < boots; i++) {
            restart(1, 10 * SIM_SECOND, false);
            if (gossip_mesh_run_until_agreed(&mesh, SIM_SECOND, 60 * SIM_SECOND) == SIM_NEVER) return wrong("no agreement");
        }
        gossip_watch_churn_soft(mesh.watch, gossip_mesh_host(&mesh, 1));
        gossip_mesh_run(&mesh, 5 * SIM_SECOND);
        used = gossip_process_boot(sim_host_process(gossip_mesh_host(&mesh, 1)));
        restart(1, (boots == 4 ? 75 : 10) * SIM_SECOND, true); /* 75: its tombstones have faded */
        if (gossip_mesh_run_until_agreed(&mesh, SIM_SECOND, 20 * SIM_SECOND) == SIM_NEVER)
            return wrong("no agreement after %u boots were lost", boots);
        if (gossip_process_boot(sim_host_process(gossip_mesh_host(&mesh, 1))) <= used) return wrong("it is in boot %u again", used);
        gossip_watch_set_soft(mesh.watch, gossip_mesh_host(&mesh, 1), 3);
        gossip_mesh_run(&mesh, 30 * SIM_SECOND);
        if (!gossip_mesh_agrees(&mesh)) return wrong("no lasting agreement");
        if (!gossip_mesh_soft_agrees(&mesh)) return wrong("soft state differs");
    }
    return invariants();
}

/* 5.3: a data directory was copied, and two processes are one broker. That is told, soon and more than once; the others hold nobody dead
 * that lives, and their network stays quiet; when the copy is gone all is as before. */
static const char *twins_are_told(uint64_t defects)
{
    const char *failed = begin_joined(41, 6, defects);
    uint64_t sent, false_deaths = 0;

    if (failed != NULL) return failed;
    gossip_faults_begin_twin(mesh.watch, gossip_mesh_host(&mesh, 1), gossip_mesh_host(&mesh, 5));
    gossip_mesh_run(&mesh, 10 * SIM_SECOND);
    if (gossip_watch_twins_told(mesh.watch) == 0) return wrong("nobody is told within 10 s");
    sent = sim_get_stats(mesh.sim)->datagrams_sent;
    gossip_mesh_run(&mesh, 120 * SIM_SECOND);
    sent = (sim_get_stats(mesh.sim)->datagrams_sent - sent) / 120 / 6;
    if (sent > 40) return wrong("%llu packets/s of a broker", (unsigned long long)sent);
    if (gossip_watch_twins_told(mesh.watch) < 5) return wrong("it is not told again");
    for (uint32_t i = 0; i < 6; i++)
        false_deaths += i == 1 || i == 5 ? 0 : gossip_watch_false_deaths_about(mesh.watch, i);
    if (false_deaths > 0) return wrong("%llu false deaths of others", (unsigned long long)false_deaths);
    for (uint32_t i = 0; i < 5; i++) {
        if (i == 1) continue;
        for (uint32_t j = 0; j < 5; j++) {
            struct uuid id = gossip_mesh_id(&mesh, j);
            if (j != 1 && gossip_mesh_state(&mesh, i, &id) != GOSSIP_ALIVE) return wrong("h%u does not hold h%u alive", i, j);
        }
    }
    gossip_faults_end_twin(gossip_mesh_host(&mesh, 5));
    gossip_watch_set_soft(mesh.watch, gossip_mesh_host(&mesh, 1), 4);
    if (gossip_mesh_run_until_agreed(&mesh, SIM_SECOND, 60 * SIM_SECOND) == SIM_NEVER) return wrong("no agreement afterwards");
    gossip_mesh_run(&mesh, 20 * SIM_SECOND);
    return gossip_mesh_soft_agrees(&mesh) ? invariants() : wrong("soft state differs");
}

/* Whatever a disk does to a start, no boot is used twice: others would take what is new for old. */
static const char *failing_disk_repeats_no_boot(uint64_t defects)
{
    const char *failed = begin_joined(42, 4, defects);
    struct sim_host *host = gossip_mesh_host(&mesh, 2);
    uint32_t starts = 0, boot = 0;

    if (failed != NULL) return failed;
    for (uint32_t i = 0; i < 48; i++) {
        const struct sim_fault fault = {.kind = SIM_FAULT_WORLD, .a = 2, .b = 3,
                                        .value = (uint64_t)(i / 8) << 40 | UINT64_C(1) << 32 | (i % 8) << 24 | 4 << 8};
        struct gossip_dns dns;
        struct gossip_faults faults = {.sim = mesh.sim, .watch = mesh.watch, .dns = &dns};
        gossip_dns_reset(&dns, mesh.sim, 0, 1);
        gossip_faults_apply(&faults, &fault, true);
        starts += sim_host_is_running(host);
        gossip_mesh_run(&mesh, SIM_SECOND);
        gossip_faults_apply(&faults, &fault, false);
        if (!sim_host_is_running(host)) return wrong("it does not start on a good disk");
        if (gossip_process_boot(sim_host_process(host)) <= boot) return wrong("boot %u again", boot);
        boot = gossip_process_boot(sim_host_process(host));
    }
    if (starts == 48) return wrong("the disk never failed");
    if (gossip_mesh_run_until_agreed(&mesh, SIM_SECOND, 60 * SIM_SECOND) == SIM_NEVER) return wrong("no agreement afterwards");
    return invariants();
}

/* Who was away while more keys were deleted than are remembered is told to begin anew with that broker's soft state. */
static const char *forgotten_keys_are_reset(uint64_t defects)
{
    const char *failed = begin_joined(40, 5, defects);
    uint64_t resets = 0;

    if (failed != NULL) return failed;
    gossip_watch_churn_soft(mesh.watch, gossip_mesh_host(&mesh, 1));
    gossip_mesh_run(&mesh, 10 * SIM_SECOND);
    for (uint32_t i = 0; i < 5; i++) {
        if (i == 3) continue;
        sim_net_cut(mesh.sim, 3, i, SIM_NET_ALL);
        sim_net_cut(mesh.sim, i, 3, SIM_NET_ALL);
    }
    gossip_watch_churn_soft(mesh.watch, gossip_mesh_host(&mesh, 1));
    gossip_watch_set_soft(mesh.watch, gossip_mesh_host(&mesh, 1), 2);
    gossip_mesh_run(&mesh, 5 * SIM_SECOND);
    for (uint32_t i = 0; i < 5; i++) {
        if (i == 3) continue;
        sim_net_join(mesh.sim, 3, i, SIM_NET_ALL);
        sim_net_join(mesh.sim, i, 3, SIM_NET_ALL);
    }
    gossip_mesh_run(&mesh, 60 * SIM_SECOND);
    if (!gossip_mesh_soft_agrees(&mesh)) return wrong("soft state differs");
    for (uint32_t i = 0; i < 5; i++) {
        struct gossip_stats stats;
        gossip_get_stats(gossip_mesh_core(&mesh, i), &stats);
        resets += stats.soft_resets;
    }
    if (resets == 0) return wrong("nobody began anew");
    return invariants();
}

/* Slow members make nobody accuse the healthy (Lifeguard). */
static const char *slow_members_accuse_nobody(uint64_t defects)
{
    uint64_t healthy = 0;
    const char *failed = begin_joined(31, 30, defects);

    if (failed != NULL) return failed;
    for (int round = 0; round < 6; round++) {
        for (uint32_t i = 1; i <= 4; i++)
            sim_host_block_io(gossip_mesh_host(&mesh, i));
        gossip_mesh_run(&mesh, 16 * SIM_SECOND);
        for (uint32_t i = 1; i <= 4; i++)
            sim_host_unblock_io(gossip_mesh_host(&mesh, i));
        gossip_mesh_run(&mesh, SIM_SECOND / 10);
    }
    for (uint32_t i = 0; i < 30; i++)
        healthy += i < 1 || i > 4 ? gossip_watch_false_deaths_about(mesh.watch, i) : 0;
    if (healthy > 40) return wrong("%llu false deaths of healthy members", (unsigned long long)healthy);
    return invariants();
}

#define DEFECT(name) (UINT64_C(1) << GOSSIP_DEFECT_##name)

static const struct {
    const char *name;
    const char *(*run)(uint64_t defects);
    uint64_t defects; /* with these it has to fail. 0: other rules make up for any one that is missing: test_gossip_rules.c */
} scenarios[] = {
    {"1.5-1 healed partition merges", healed_partition_merges, DEFECT(DEAD_NOT_DIALLED)},
    {"1.5-2 the dead stay dead", dead_stay_dead, DEFECT(DEATH_IS_LOCAL)},
    {"1.5-2 the left are forgotten", left_are_forgotten, DEFECT(TOMBSTONES_FOR_EVER)},
    {"1.5-4 a stalled broker accuses nobody", stalled_broker_accuses_nobody, DEFECT(NO_STALL_GUARD)},
    {"1.5-6 news end", news_end, DEFECT(KNOWN_IS_NEWS)},
    {"1.5-7 one lost link hurts nobody", one_lost_link_hurts_nobody, DEFECT(RANDOM_HELPERS)},
    {"1.5-9 seeds are dialled side by side", seeds_are_dialled_side_by_side, DEFECT(SEEDS_ONE_BY_ONE)},
    {"1.5-10 a reused address revives nobody", reused_address_revives_nobody, 0},
    {"1.1-1 the accused is told", accused_is_told, 0},
    {"1.1 a liar is not believed", liar_is_not_believed, 0},
    {"1.4 digests mend what rumours missed", digests_mend_what_rumours_missed, 0},
    {"1.4 a killed process is known at once", killed_process_is_known_at_once, DEFECT(NO_FAST_DEATH)},
    {"1.4 slow members accuse nobody", slow_members_accuse_nobody, DEFECT(NO_LIFEGUARD) | DEFECT(DEAD_BELIEVED)},
    {"2.4 forgotten keys are reset", forgotten_keys_are_reset, 0},
    {"5.3 a restored disk catches up", restored_disk_catches_up, 0},
    {"5.3 an identity that is used twice is told", twins_are_told, 0},
    {"5.3 a disk that fails repeats no boot", failing_disk_repeats_no_boot, 0},
    {"4.2-29 a chain heals", chain_heals, 0},
    {"4.2-30 a mass restart comes together", mass_restart_comes_together, 0},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static void set_up(void)
{
    gossip_mesh_init(&mesh);
}

static void tear_down(void)
{
    gossip_mesh_deinit(&mesh);
}

START_TEST(scenario_passes)
{
    const char *failed = scenarios[_i].run(0);

    ck_assert_msg(failed == NULL, "%s: %s", scenarios[_i].name, failed);
}
END_TEST

START_TEST(scenario_fails_with_its_defect)
{
    if (scenarios[_i].defects == 0) return;
    ck_assert_msg(scenarios[_i].run(scenarios[_i].defects) != NULL, "%s passes with the defect too", scenarios[_i].name);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sim_gossip");
    TCase *tcase = tcase_create("scenarios");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 100);
    tcase_add_loop_test(tcase, scenario_passes, 0, SCENARIOS);
    tcase_add_loop_test(tcase, scenario_fails_with_its_defect, 0, SCENARIOS);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
