#include "sim/gossip_mesh.h"

#include "base/assert.h"

void gossip_mesh_init(struct gossip_mesh *mesh)
{
    *mesh = (struct gossip_mesh){.sim = sim_new(), .watch = gossip_watch_new(), .odd_host = UINT32_MAX};
}

void gossip_mesh_deinit(struct gossip_mesh *mesh)
{
    sim_free(mesh->sim);
    gossip_watch_free(mesh->watch);
}

void gossip_mesh_reset(struct gossip_mesh *mesh, uint64_t seed, uint32_t size)
{
    sim_reset(mesh->sim, seed, size);
    mesh->size = size;
    mesh->odd_host = UINT32_MAX;
    mesh->config = (struct gossip_config){.user = mesh->watch};
    gossip_options_init(&mesh->config.options);
    mesh->config.seeds[0] = sim_address(0, sim_host_address(sim_host_at(mesh->sim, 0)).port);
    mesh->config.seed_count = 1;
    gossip_watch_reset(mesh->watch, mesh->sim);
    if (!mesh->is_quick) {
        sim_set_observer(mesh->sim, gossip_watch_event, mesh->watch);
        mesh->config.output = gossip_watch_output;
        mesh->config.stopping = gossip_watch_stopping;
    }
}

void gossip_mesh_start(struct gossip_mesh *mesh, uint32_t host)
{
    sim_host_set_program(sim_host_at(mesh->sim, host), &gossip_program, host == mesh->odd_host ? &mesh->odd : &mesh->config);
    sim_host_start(sim_host_at(mesh->sim, host));
}

bool gossip_mesh_join(struct gossip_mesh *mesh)
{
    for (uint32_t i = 0; i < mesh->size; i++)
        gossip_mesh_start(mesh, i);
    return gossip_mesh_run_until_agreed(mesh, SIM_SECOND / 4, 120 * SIM_SECOND) != SIM_NEVER;
}

void gossip_mesh_run(struct gossip_mesh *mesh, uint64_t us)
{
    sim_run_until(mesh->sim, sim_now_us(mesh->sim) + us);
}

struct sim_host *gossip_mesh_host(struct gossip_mesh *mesh, uint32_t host)
{
    return sim_host_at(mesh->sim, host);
}

struct gossip *gossip_mesh_core(struct gossip_mesh *mesh, uint32_t host)
{
    struct gossip_process *process = sim_host_process(sim_host_at(mesh->sim, host));

    return process == NULL ? NULL : gossip_process_core(process);
}

struct uuid gossip_mesh_id(struct gossip_mesh *mesh, uint32_t host)
{
    struct gossip_process *process = sim_host_process(sim_host_at(mesh->sim, host));

    MESH_ASSERT(process != NULL);
    return *gossip_process_id(process);
}

int gossip_mesh_state(struct gossip_mesh *mesh, uint32_t host, const struct uuid *subject)
{
    const struct gossip_member *member = gossip_find(gossip_mesh_core(mesh, host), subject);

    return member == NULL ? GOSSIP_LEFT + 1 : (int)member->state;
}

static uint32_t running_count(struct gossip_mesh *mesh)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < mesh->size; i++)
        count += sim_host_is_running(sim_host_at(mesh->sim, i));
    return count;
}

bool gossip_mesh_agrees(struct gossip_mesh *mesh)
{
    uint32_t count = running_count(mesh);
    uint64_t hash = 0;
    bool has_hash = false;

    for (uint32_t i = 0; i < mesh->size; i++) {
        struct gossip *gossip = gossip_mesh_core(mesh, i);
        struct gossip_stats stats;
        if (gossip == NULL) continue;
        gossip_get_stats(gossip, &stats);
        if (stats.alive != count || stats.suspect != 0) return false;
        if (has_hash && gossip_members_hash(gossip) != hash) return false;
        hash = gossip_members_hash(gossip);
        has_hash = true;
    }
    return true;
}

bool gossip_mesh_soft_agrees(struct gossip_mesh *mesh)
{
    uint64_t hash = 0;
    bool has_hash = false;

    for (uint32_t i = 0; i < mesh->size; i++) {
        struct gossip *gossip = gossip_mesh_core(mesh, i);
        if (gossip == NULL) continue;
        if (has_hash && gossip_soft_hash(gossip) != hash) return false;
        hash = gossip_soft_hash(gossip);
        has_hash = true;
    }
    return true;
}

uint64_t gossip_mesh_run_until_agreed(struct gossip_mesh *mesh, uint64_t step_us, uint64_t most_us)
{
    uint64_t begin_us = sim_now_us(mesh->sim);

    while (sim_now_us(mesh->sim) - begin_us < most_us) {
        if (!sim_run_until(mesh->sim, sim_now_us(mesh->sim) + step_us)) return SIM_NEVER;
        if (gossip_mesh_agrees(mesh)) return sim_now_us(mesh->sim) - begin_us;
    }
    return SIM_NEVER;
}

uint32_t gossip_mesh_gone_count(struct gossip_mesh *mesh, const struct uuid *subject)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < mesh->size; i++) {
        int state;
        if (gossip_mesh_core(mesh, i) == NULL) continue;
        state = gossip_mesh_state(mesh, i, subject);
        count += state == GOSSIP_DEAD || state == GOSSIP_LEFT;
    }
    return count;
}

uint64_t gossip_mesh_suspicions(struct gossip_mesh *mesh)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < mesh->size; i++) {
        struct gossip_stats stats;
        if (gossip_mesh_core(mesh, i) == NULL) continue;
        gossip_get_stats(gossip_mesh_core(mesh, i), &stats);
        count += stats.suspicions;
    }
    return count;
}
