#include "sim/consensus_mesh.h"

#include "base/assert.h"
#include "sim/sim_sometimes.h"

#define STEP_US (SIM_SECOND / 50)

/* ---- hooks ---- */

static void started(void *user, struct consensus_process *process, const struct raft_recovered *recovered,
                    const struct raft_store_report *report)
{
    struct consensus_mesh *mesh = user;
    uint32_t host = sim_host_index(consensus_process_host(process));

    mesh->refused[host] = 0;
    mesh->has_failed[host] = false;
    consensus_watch_started(mesh->watch, process, recovered, report);
    consensus_clients_started(&mesh->clients, process);
}

static void refused(void *user, struct sim_host *host, int error, const char *message)
{
    struct consensus_mesh *mesh = user;
    struct raft_server server = consensus_mesh_server(mesh, sim_host_index(host));

    mesh->refused[sim_host_index(host)] = error;
    if (error != MESH_ECORRUPT || sim_host_is_dying(host)) return;
    if (consensus_watch_is_damaged(mesh->watch, &server))
        SIM_SOMETIMES("a disk was too damaged to start on");
    else
        consensus_watch_fail(mesh->watch, "a good disk is good enough", "h%u does not start: %s", sim_host_index(host), message);
}

static void output(void *user, struct consensus_process *process, const struct raft_output *what)
{
    struct consensus_mesh *mesh = user;

    consensus_watch_output(mesh->watch, process, what);
}

static void applying(void *user, struct consensus_process *process, const struct raft_entry *entry)
{
    struct consensus_mesh *mesh = user;

    consensus_watch_applying(mesh->watch, process, entry);
}

static void applied(void *user, struct consensus_process *process)
{
    struct consensus_mesh *mesh = user;

    consensus_watch_applied(mesh->watch, process);
    consensus_clients_applied(&mesh->clients, process);
}

static void doing(void *user, struct consensus_process *process, const struct consensus_job *job, bool is_done)
{
    struct consensus_mesh *mesh = user;

    consensus_watch_doing(mesh->watch, process, job, is_done);
}

static void answered(void *user, struct consensus_process *process, uint64_t context, uint64_t index)
{
    struct consensus_mesh *mesh = user;

    consensus_clients_answered(&mesh->clients, process, context, index);
}

static void failed(void *user, struct consensus_process *process, int error)
{
    struct consensus_mesh *mesh = user;

    (void)error;
    mesh->has_failed[sim_host_index(consensus_process_host(process))] = true;
}

static const struct consensus_hooks hooks = {.started = started,
                                             .refused = refused,
                                             .output = output,
                                             .applying = applying,
                                             .applied = applied,
                                             .doing = doing,
                                             .read = answered,
                                             .failed = failed};

/* Without the observer: only who proposed hears what became of it. */
static void started_unwatched(void *user, struct consensus_process *process, const struct raft_recovered *recovered,
                              const struct raft_store_report *report)
{
    struct consensus_mesh *mesh = user;

    (void)recovered, (void)report;
    consensus_clients_started(&mesh->clients, process);
}

static void applied_unwatched(void *user, struct consensus_process *process)
{
    struct consensus_mesh *mesh = user;

    consensus_clients_applied(&mesh->clients, process);
}

static const struct consensus_hooks unwatched = {.started = started_unwatched, .applied = applied_unwatched};

/* ---- the mesh ---- */

void consensus_mesh_init(struct consensus_mesh *mesh, struct sim *sim)
{
    *mesh = (struct consensus_mesh){.sim = sim, .watch = consensus_watch_new()};
}

void consensus_mesh_deinit(struct consensus_mesh *mesh)
{
    consensus_watch_free(mesh->watch);
}

void consensus_mesh_reset(struct consensus_mesh *mesh, uint32_t voters, bool is_watched)
{
    struct consensus_config *config = &mesh->config;

    MESH_ASSERT(sim_host_count(mesh->sim) <= CONSENSUS_HOSTS_MAX && voters <= sim_host_count(mesh->sim));
    *config = (struct consensus_config){.disk_min_us = 200, .disk_mean_us = 500, .user = mesh};
    raft_options_init(&config->options);
    memset(mesh->refused, 0, sizeof(mesh->refused));
    memset(mesh->is_cut_off, 0, sizeof(mesh->is_cut_off));
    memset(mesh->has_failed, 0, sizeof(mesh->has_failed));
    consensus_watch_reset(mesh->watch, mesh->sim);
    consensus_clients_reset(&mesh->clients, mesh->sim, mesh->watch);
    for (uint32_t i = 0; i < voters; i++)
        config->founders.voters[config->founders.voter_count++] = consensus_server(i, 0);
    config->hooks = is_watched ? &hooks : &unwatched;
    if (is_watched) {
        sim_set_observer(mesh->sim, consensus_watch_event, mesh->watch);
    }
    for (uint32_t i = 0; i < sim_host_count(mesh->sim); i++)
        sim_host_set_program(sim_host_at(mesh->sim, i), &consensus_program, config);
}

void consensus_mesh_start_all(struct consensus_mesh *mesh)
{
    for (uint32_t i = 0; i < sim_host_count(mesh->sim); i++)
        sim_host_start(sim_host_at(mesh->sim, i));
}

struct consensus_process *consensus_mesh_process(struct consensus_mesh *mesh, uint32_t host)
{
    return sim_host_process(sim_host_at(mesh->sim, host));
}

struct raft *consensus_mesh_raft(struct consensus_mesh *mesh, uint32_t host)
{
    struct consensus_process *process = consensus_mesh_process(mesh, host);

    return process == NULL ? NULL : consensus_process_raft(process);
}

struct raft_status consensus_mesh_status(struct consensus_mesh *mesh, uint32_t host)
{
    struct raft_status status;

    raft_get_status(consensus_mesh_raft(mesh, host), &status);
    return status;
}

struct raft_server consensus_mesh_server(const struct consensus_mesh *mesh, uint32_t host)
{
    return consensus_server(host, mesh->config.generations[host]);
}

bool consensus_mesh_is_set_back(struct consensus_mesh *mesh, uint32_t host)
{
    return consensus_mesh_raft(mesh, host) != NULL && consensus_mesh_status(mesh, host).damaged_until == RAFT_SET_BACK;
}

void consensus_mesh_wipe(struct consensus_mesh *mesh, uint32_t host)
{
    sim_host_wipe_disk(sim_host_at(mesh->sim, host));
    mesh->config.generations[host]++;
    mesh->refused[host] = 0;
}

uint32_t consensus_mesh_leader(struct consensus_mesh *mesh)
{
    uint32_t leader = CONSENSUS_NOBODY;
    uint64_t term = 0;

    for (uint32_t i = 0; i < sim_host_count(mesh->sim); i++) {
        struct raft_brief status;
        if (consensus_mesh_process(mesh, i) == NULL || mesh->is_cut_off[i]) continue;
        status = raft_get_brief(consensus_mesh_raft(mesh, i));
        if (status.role != RAFT_LEADER || !status.is_leader_ready || status.term < term) continue;
        leader = i;
        term = status.term;
    }
    return leader;
}

int consensus_mesh_change(struct consensus_mesh *mesh, uint32_t host, const struct raft_config *config)
{
    struct consensus_process *process;
    int err;

    if (host == CONSENSUS_NOBODY) host = consensus_mesh_leader(mesh);
    process = host == CONSENSUS_NOBODY ? NULL : consensus_mesh_process(mesh, host);
    if (process == NULL) return MESH_ENOT_LEADER;
    err = raft_change_config(consensus_process_raft(process), sim_host_now_us(consensus_process_host(process)), config);
    consensus_process_drain(process);
    return err;
}

void consensus_mesh_run(struct consensus_mesh *mesh, uint64_t us)
{
    sim_run_until(mesh->sim, sim_now_us(mesh->sim) + us);
}

uint32_t consensus_mesh_await_leader(struct consensus_mesh *mesh, uint64_t most_us)
{
    uint64_t end_us = sim_now_us(mesh->sim) + most_us;

    while (consensus_mesh_leader(mesh) == CONSENSUS_NOBODY && sim_now_us(mesh->sim) < end_us && sim_failure(mesh->sim) == NULL)
        consensus_mesh_run(mesh, STEP_US);
    return consensus_mesh_leader(mesh);
}

/* ---- agreement ---- */

static bool is_member(const struct raft_config *config, const struct raft_server *server)
{
    for (unsigned i = 0; i < config->voter_count; i++) {
        if (raft_server_equal(&config->voters[i], server)) return true;
    }
    for (unsigned i = 0; i < config->learner_count; i++) {
        if (raft_server_equal(&config->learners[i], server)) return true;
    }
    return false;
}

static const char *disagreement_of(struct consensus_mesh *mesh, uint32_t host, const struct raft_status *leader)
{
    struct raft_status status = consensus_mesh_status(mesh, host);
    const struct consensus_machine *machine = consensus_process_machine(consensus_mesh_process(mesh, host));

    if (status.damaged_until != 0) return "a hole is not filled";
    if (status.last.index != leader->last.index) return "a log has another length";
    if (memcmp(status.last.chain, leader->last.chain, RAFT_CHAIN_SIZE) != 0) return "a log has another past";
    if (machine->at.index != leader->last.index) return "a state is behind";
    if (status.durable_index != status.last.index) return "a log is not durable";
    return NULL;
}

const char *consensus_mesh_disagreement(struct consensus_mesh *mesh)
{
    uint32_t leader = consensus_mesh_leader(mesh);
    struct raft_status status;
    const struct raft_config *config;

    if (leader == CONSENSUS_NOBODY) return "nobody leads";
    status = consensus_mesh_status(mesh, leader);
    config = raft_get_config(consensus_mesh_raft(mesh, leader));
    if (status.is_changing) return "a configuration is not committed";
    for (uint32_t i = 0; i < sim_host_count(mesh->sim); i++) {
        struct consensus_process *process = consensus_mesh_process(mesh, i);
        const char *why;
        if (process == NULL || mesh->is_cut_off[i] || consensus_mesh_is_set_back(mesh, i) || !is_member(config, consensus_process_self(process))) continue;
        why = disagreement_of(mesh, i, &status);
        if (why != NULL) return why;
    }
    return NULL;
}

bool consensus_mesh_await_agreement(struct consensus_mesh *mesh, uint64_t most_us)
{
    uint64_t end_us = sim_now_us(mesh->sim) + most_us;

    while (consensus_mesh_disagreement(mesh) != NULL && sim_now_us(mesh->sim) < end_us && sim_failure(mesh->sim) == NULL)
        consensus_mesh_run(mesh, STEP_US);
    return consensus_mesh_disagreement(mesh) == NULL;
}
