/* Scenarios of PROTOCOLS 4.2 and invariants of 5.1 that concern the metadata, by number. Each passes with the code as it is and is shown to be
 * noticed when its defect is brought back: by the story told here, or by seeds of the world; a test that cannot fail proves nothing. */
#include "base/error.h"
#include "replication/coordinator/switches.h"
#include "replication/metadata/switches.h"
#include "sim/metadata_world.h"
#include "sim/sim_world.h"
#include "support/run_suite.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct defects {
    uint64_t node;         /* 1 << each of metadata/switches.h */
    unsigned driver, dirs; /* likewise of metadata_program.h, of metadata_dirs.h */
    enum coordinator_defect coordinator;
};

static struct sim *sim;
static struct metadata_mesh mesh;
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

static struct sim_host *host_at(uint32_t host)
{
    return sim_host_at(sim, host);
}

static void run(uint64_t us)
{
    sim_run_until(sim, sim_now_us(sim) + us);
}

static bool await_rest(uint64_t most_us)
{
    uint64_t end_us = sim_now_us(sim) + most_us;

    while (sim_now_us(sim) < end_us && sim_failure(sim) == NULL && metadata_mesh_unrest(&mesh, NULL, NULL) != NULL)
        run(SIM_SECOND / 20);
    return sim_failure(sim) == NULL && metadata_mesh_unrest(&mesh, NULL, NULL) == NULL;
}

/* Hosts that may have options of their own; none runs yet. */
static void begin(uint64_t seed, uint32_t hosts, uint32_t founders, const struct defects *defects)
{
    sim_reset(sim, seed, hosts);
    metadata_mesh_reset(&mesh, founders);
    mesh.config.node_defects = defects->node;
    mesh.config.driver_defects = defects->driver;
    mesh.config.dirs_defects = defects->dirs;
    coordinator_bring_back(defects->coordinator);
}

/* All run, are registered and agree; somebody coordinates. */
static const char *start_all(uint32_t *ret_coordinator)
{
    for (uint32_t i = 0; i < sim_host_count(sim); i++)
        sim_host_start(host_at(i));
    if (!await_rest(30 * SIM_SECOND)) return wrong("at the beginning: %s", metadata_mesh_unrest(&mesh, NULL, NULL));
    *ret_coordinator = metadata_mesh_coordinator(&mesh);
    return *ret_coordinator == METADATA_NOBODY ? wrong("nobody coordinates at the beginning") : NULL;
}

static int ask(uint32_t host, enum metadata_ask kind, uint32_t name)
{
    return metadata_clients_ask(&mesh.clients, metadata_mesh_process(&mesh, host), kind, name, 1, 30 * SIM_SECOND);
}

static bool await_answer(int request, int want)
{
    const struct metadata_request *asked = &mesh.clients.requests[request];

    for (int i = 0; i < 700 && !asked->is_answered && sim_failure(sim) == NULL; i++)
        run(SIM_SECOND / 20);
    return asked->is_answered && asked->error == want;
}

static bool do_now(uint32_t host, enum metadata_ask kind, uint32_t name)
{
    return await_answer(ask(host, kind, name), 0);
}

static void cut_both(uint32_t a, uint32_t b)
{
    sim_net_cut(sim, a, b, SIM_NET_ALL);
    sim_net_cut(sim, b, a, SIM_NET_ALL);
}

/* What they say to each other waits until then. */
static void clog_both(uint32_t a, uint32_t b, uint64_t until_us)
{
    sim_net_clog(sim, a, b, until_us);
    sim_net_clog(sim, b, a, until_us);
}

/* ---- scenarios ---- */

/* 14 (KAFKA-14616, 13127): a topic is deleted and made again while a broker is down, and placed there too. What goes there is the old one's
 * data only. */
static const char *created_again_while_a_broker_is_down(const struct defects *defects)
{
    uint32_t coordinator, away, name;
    const char *failed;

    begin(14, 3, 3, defects);
    failed = start_all(&coordinator);
    if (failed != NULL) return failed;
    away = (coordinator + 1) % 3;
    name = metadata_clients_new_name(&mesh.clients);
    if (!do_now(coordinator, METADATA_ASK_CREATE, name)) return wrong("the topic is not made");
    run(SIM_SECOND);
    sim_host_kill(host_at(away), SIM_STOP_KILL); /* not long enough to be fenced: all three get the new one */
    if (!do_now(coordinator, METADATA_ASK_DELETE, name)) return wrong("the topic is not deleted");
    if (!do_now(coordinator, METADATA_ASK_CREATE, name)) return wrong("the topic is not made again");
    sim_host_start(host_at(away));
    if (!await_rest(30 * SIM_SECOND)) return wrong("then: %s", metadata_mesh_unrest(&mesh, NULL, NULL));
    for (uint32_t i = 0; i < 3; i++)
        if (!metadata_dirs_has(metadata_process_dirs(metadata_mesh_process(&mesh, i)),
                               &metadata_clients_topic(metadata_watch_image(mesh.watch), name)->topic_id))
            return wrong("h%u has no data of it", i);
    return invariants();
}

/* 22 (NATS #7556): after a power cut a broker knows less of the metadata than its data are about. Nothing goes for being unknown. */
static const char *data_outlive_metadata_that_are_behind(const struct defects *defects)
{
    uint32_t coordinator, name;
    const char *failed;

    begin(22, 3, 3, defects);
    failed = start_all(&coordinator);
    if (failed != NULL) return failed;
    for (uint32_t i = 0; i < 3; i++) {
        name = metadata_clients_new_name(&mesh.clients);
        if (!do_now((coordinator + i) % 3, METADATA_ASK_CREATE, name)) return wrong("a topic is not made");
    }
    run(SIM_SECOND / 2);
    for (uint32_t i = 0; i < 3; i++)
        sim_host_kill(host_at(i), SIM_STOP_POWER);
    for (uint32_t i = 0; i < 3; i++)
        sim_host_start(host_at(i));
    if (!await_rest(30 * SIM_SECOND)) return wrong("then: %s", metadata_mesh_unrest(&mesh, NULL, NULL));
    return invariants();
}

/* 24 (Redpanda #3039): a creation is refused, the topic goes, and then a copy of the refused request arrives. */
static const char *a_refusal_is_not_taken_back(const struct defects *defects)
{
    uint32_t coordinator, name;
    int refused, gone;
    const char *failed;

    begin(24, 3, 3, defects);
    mesh.config.node.election_min_us = 5 * SIM_SECOND; /* a coordinator that stands still for a while stays one */
    mesh.config.node.election_max_us = 10 * SIM_SECOND;
    failed = start_all(&coordinator);
    if (failed != NULL) return failed;
    name = metadata_clients_new_name(&mesh.clients);
    if (!do_now(coordinator, METADATA_ASK_CREATE, name)) return wrong("the topic is not made");
    run(SIM_SECOND);
    sim_host_pause(host_at(coordinator));
    refused = ask((coordinator + 1) % 3, METADATA_ASK_CREATE, name);
    run(SIM_SECOND / 2);
    gone = ask((coordinator + 2) % 3, METADATA_ASK_DELETE, name);
    run(SIM_SECOND); /* the first asks again */
    sim_host_resume(host_at(coordinator));
    if (!await_answer(refused, MESH_ETOPIC_EXISTS)) return wrong("what exists is made: %d", mesh.clients.requests[refused].error);
    if (!await_answer(gone, 0)) return wrong("the topic is not deleted");
    run(3 * SIM_SECOND);
    if (metadata_clients_topic(metadata_watch_image(mesh.watch), name) != NULL) return wrong("a refused creation was done");
    return invariants();
}

static void use_fast_elections(void)
{
    mesh.config.node.raft_heartbeat_us = SIM_SECOND / 50;
    mesh.config.node.election_min_us = SIM_SECOND / 10;
    mesh.config.node.election_max_us = SIM_SECOND / 5;
}

static uint32_t await_coordinator_but(uint32_t not_this, uint64_t until_us)
{
    while (sim_now_us(sim) < until_us && (metadata_mesh_coordinator(&mesh) == not_this || metadata_mesh_coordinator(&mesh) == METADATA_NOBODY))
        run(SIM_SECOND / 200);
    return metadata_mesh_coordinator(&mesh);
}

/* 24: a copy is on its way to one coordinator, another one refuses the request, the topic goes, and the first coordinates again - in a later term -
 * when the copy arrives. */
static const char *a_copy_counts_in_its_term(const struct defects *defects)
{
    uint32_t first, second, third, name;
    uint64_t start_us;
    int refused;
    const char *failed;

    begin(26, 4, 3, defects);
    use_fast_elections();
    failed = start_all(&first);
    if (failed != NULL) return failed;
    name = metadata_clients_new_name(&mesh.clients);
    if (first == 3 || !do_now(first, METADATA_ASK_CREATE, name)) return wrong("the topic is not made");
    run(SIM_SECOND);
    start_us = sim_now_us(sim);
    sim_net_clog(sim, 3, first, start_us + 3 * SIM_SECOND / 2);
    refused = ask(3, METADATA_ASK_CREATE, name);
    for (uint32_t i = 0; i < 3; i++)
        if (i != first) clog_both(first, i, start_us + SIM_SECOND / 2);
    second = await_coordinator_but(first, start_us + SIM_SECOND / 2);
    if (second == first || !await_answer(refused, MESH_ETOPIC_EXISTS)) return wrong("h%u does not refuse it", second);
    run(start_us + 6 * SIM_SECOND / 10 - sim_now_us(sim));
    third = 3 - first - second;
    clog_both(third, first, start_us + SIM_SECOND); /* so that it lacks the deletion, and cannot be elected */
    clog_both(third, second, start_us + 2 * SIM_SECOND);
    if (!do_now(second, METADATA_ASK_DELETE, name)) return wrong("the topic is not deleted");
    sim_host_kill(host_at(second), SIM_STOP_KILL);
    if (await_coordinator_but(second, start_us + 29 * SIM_SECOND / 20) != first) return wrong("h%u does not coordinate again", first);
    run(2 * SIM_SECOND);
    if (metadata_clients_topic(metadata_watch_image(mesh.watch), name) != NULL) return wrong("a refused creation was done");
    return invariants();
}

/* 24: the coordinator dies with what it was asked; what it had done is not done again. */
static const char *a_new_coordinator_does_nothing_twice(const struct defects *defects)
{
    int requests[30];
    uint32_t coordinator;
    const char *failed;

    begin(25, 5, 5, defects);
    failed = start_all(&coordinator);
    if (failed != NULL) return failed;
    for (uint32_t i = 0; i < 30; i++) {
        requests[i] = ask((coordinator + 1 + i % 4) % 5, METADATA_ASK_CREATE, metadata_clients_new_name(&mesh.clients));
        if (i == 20) sim_host_kill(host_at(coordinator), SIM_STOP_KILL);
        run(SIM_SECOND / 500);
    }
    for (uint32_t i = 0; i < 30; i++)
        if (!await_answer(requests[i], 0)) return wrong("request %u: %d", i, mesh.clients.requests[requests[i]].error);
    return invariants();
}

/* 28 (etcd 3.5.0): snapshots and the log behind them; whoever starts from both has what the others have. */
static const char *snapshots_are_of_their_index(const struct defects *defects)
{
    uint32_t coordinator;
    const char *failed;

    begin(28, 4, 3, defects);
    mesh.config.node.snapshot_log_bytes = 500;
    mesh.config.node.retained_bytes_max = 0;
    failed = start_all(&coordinator);
    if (failed != NULL) return failed;
    for (uint32_t round = 0; round < 4; round++) {
        for (uint32_t i = 0; i < 5; i++)
            if (!do_now((round + i) % 4, METADATA_ASK_CREATE, metadata_clients_new_name(&mesh.clients))) return wrong("a topic is not made");
        sim_host_kill(host_at(round), SIM_STOP_POWER);
        if (round == 2) metadata_mesh_wipe(&mesh, round); /* this one gets it from another's snapshot */
        run(SIM_SECOND);
        sim_host_start(host_at(round));
        if (!await_rest(60 * SIM_SECOND)) return wrong("then: %s", metadata_mesh_unrest(&mesh, NULL, NULL));
    }
    return invariants();
}

/* S7: a broker dies; each of its partitions is led by another one, under a new epoch. */
static const char *leaders_change_with_epochs(const struct defects *defects)
{
    uint32_t coordinator;
    const char *failed;

    begin(7, 4, 3, defects);
    failed = start_all(&coordinator);
    if (failed != NULL) return failed;
    for (uint32_t i = 0; i < 8; i++)
        if (!do_now(i % 4, METADATA_ASK_CREATE, metadata_clients_new_name(&mesh.clients))) return wrong("a topic is not made");
    for (uint32_t i = 0; i < 4; i++) {
        sim_host_kill(host_at(i), SIM_STOP_KILL);
        run(8 * SIM_SECOND);
        sim_host_start(host_at(i));
        if (!await_rest(30 * SIM_SECOND)) return wrong("then: %s", metadata_mesh_unrest(&mesh, NULL, NULL));
    }
    return invariants();
}

/* S14: a coordinator without a majority has one broker left that it feeds. That one learns nothing that is not decided. */
static const char *nothing_undecided_is_fed(const struct defects *defects)
{
    uint32_t coordinator;
    int lost;
    const char *failed;

    begin(16, 4, 3, defects);
    failed = start_all(&coordinator);
    if (failed != NULL) return failed;
    if (coordinator == 3) return wrong("who has not founded coordinates");
    for (uint32_t i = 0; i < 3; i++) {
        if (i == coordinator) continue;
        cut_both(coordinator, i);
        cut_both(3, i);
    }
    run(SIM_SECOND / 10);
    lost = ask(coordinator, METADATA_ASK_CREATE, metadata_clients_new_name(&mesh.clients));
    run(10 * SIM_SECOND);
    if (mesh.clients.requests[lost].is_answered && mesh.clients.requests[lost].error == 0) return wrong("one of three decides");
    return invariants();
}

#define NODE(name)   (UINT64_C(1) << NODE_DEFECT_##name)
#define DRIVER(name) (1u << METADATA_DRIVER_##name)
#define DIRS(name)   (1u << METADATA_DIRS_##name)

static const struct {
    const char *name;
    const char *(*run)(const struct defects *defects);
    bool can_fail; /* with these defects it has to; otherwise it is told for its own sake */
    struct defects defects;
} scenarios[] = {
    {"4.2-14 created again while a broker is down", created_again_while_a_broker_is_down, true, {.dirs = DIRS(BY_NAME)}},
    {"4.2-22 data outlive metadata that are behind", data_outlive_metadata_that_are_behind, true, {.dirs = DIRS(UNKNOWN)}},
    {"4.2-24 a refusal is not taken back", a_refusal_is_not_taken_back, true, {.node = NODE(REFUSAL_FORGOTTEN)}},
    {"4.2-24 a copy counts in its term", a_copy_counts_in_its_term, true, {.node = NODE(ANY_TERM)}},
    {"4.2-24 a new coordinator does nothing twice", a_new_coordinator_does_nothing_twice, false, {0}},
    {"4.2-28 snapshots are of their index", snapshots_are_of_their_index, true, {.driver = DRIVER(INDEX_APART)}},
    {"S7 leaders change with epochs", leaders_change_with_epochs, true, {.coordinator = COORDINATOR_DEFECT_EPOCH_KEPT}},
    {"S14 nothing undecided is fed", nothing_undecided_is_fed, true, {.node = NODE(UNCOMMITTED_FED)}},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* ---- seeds ---- */

/* Defects that some seed of the world notices: the one named here, or another one of 1..SEEDS. */
static const struct {
    const char *name;
    struct defects defects;
    const char *invariant; /* how its name begins */
    uint64_t seed;
} noticed[] = {
    {"4.2-14 removed by name (S17)", {.dirs = DIRS(BY_NAME)}, "S17 ", 8},
    {"4.2-22 unknown is an orphan (S17)", {.dirs = DIRS(UNKNOWN)}, "S17 ", 2},
    {"4.2-24 done again", {.node = NODE(RETRY_REPEATED)}, "", 4},
    {"4.2-24 a refusal forgotten", {.node = NODE(REFUSAL_FORGOTTEN)}, "what is ", 104},
    {"4.2-28 applied index apart", {.driver = DRIVER(INDEX_APART)}, "", 4},
    {"S7 an epoch kept", {.coordinator = COORDINATOR_DEFECT_EPOCH_KEPT}, "S7 ", 2},
    {"S14 fed before it is committed", {.node = NODE(UNCOMMITTED_FED)}, "S14 ", 1},
};
#define SEEDS   1000
#define NOTICED (sizeof(noticed) / sizeof(noticed[0]))

static bool notices(struct sim_runner *runner, struct sim_plan *plan, uint64_t seed, const char *invariant, struct sim_result *ret_result)
{
    sim_plan_draw(plan, seed, &metadata_world.limits);
    sim_runner_run(runner, plan, ret_result);
    return ret_result->failure != NULL && strncmp(ret_result->failure, invariant, strlen(invariant)) == 0;
}

/* The seed that notices; 0: none. */
static uint64_t find_seed(size_t which, struct sim_result *ret_result)
{
    const struct defects *defects = &noticed[which].defects;
    struct sim_plan *plan = calloc(1, sizeof(*plan));
    struct sim_runner *runner;
    uint64_t seed = noticed[which].seed;

    ck_assert_ptr_nonnull(plan);
    metadata_world_set_defects(defects->node, defects->driver, defects->dirs);
    coordinator_bring_back(defects->coordinator);
    runner = sim_runner_new(&metadata_world);
    if (!notices(runner, plan, seed, noticed[which].invariant, ret_result))
        for (seed = 1; seed <= SEEDS && !notices(runner, plan, seed, noticed[which].invariant, ret_result);)
            seed++;
    metadata_world_set_defects(0, 0, 0);
    coordinator_bring_back(COORDINATOR_DEFECT_NONE);
    sim_runner_free(runner);
    free(plan);
    return seed <= SEEDS || seed == noticed[which].seed ? seed : 0;
}

/* ---- */

static void set_up(void)
{
    sim = sim_new();
    metadata_mesh_init(&mesh, sim);
    if (getenv("TRACE") != NULL) sim_set_trace(sim, stderr);
}

static void tear_down(void)
{
    coordinator_bring_back(COORDINATOR_DEFECT_NONE);
    metadata_mesh_deinit(&mesh);
    sim_free(sim);
}

START_TEST(scenario_passes)
{
    static const struct defects none;
    const char *failed = scenarios[_i].run(&none);

    ck_assert_msg(failed == NULL, "%s: %s", scenarios[_i].name, failed);
}
END_TEST

START_TEST(scenario_fails_with_its_defect)
{
    const char *failed;

    if (!scenarios[_i].can_fail) return;
    failed = scenarios[_i].run(&scenarios[_i].defects);
    ck_assert_msg(failed != NULL, "%s passes with the defect too", scenarios[_i].name);
    if (getenv("SHOW") != NULL) printf("%s: %s\n", scenarios[_i].name, failed);
}
END_TEST

START_TEST(seeds_notice_the_defect)
{
    struct sim_result result;
    uint64_t seed = find_seed((size_t)_i, &result);

    ck_assert_msg(seed != 0, "%s: no seed of 1..%u notices it", noticed[_i].name, SEEDS);
    if (getenv("SHOW") != NULL) printf("%s: seed %llu, %s: %s\n", noticed[_i].name, (unsigned long long)seed, result.failure, result.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sim_metadata");
    TCase *tcase = tcase_create("scenarios"), *seeds = tcase_create("seeds");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 100);
    tcase_add_loop_test(tcase, scenario_passes, 0, SCENARIOS);
    tcase_add_loop_test(tcase, scenario_fails_with_its_defect, 0, SCENARIOS);
    suite_add_tcase(suite, tcase);
    tcase_set_timeout(seeds, 600);
    tcase_add_loop_test(seeds, seeds_notice_the_defect, 0, NOTICED);
    suite_add_tcase(suite, seeds);
    return run_suite(suite);
}
