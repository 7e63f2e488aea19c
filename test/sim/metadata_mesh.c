#include "sim/metadata_mesh.h"

#include "base/assert.h"
#include "sim/consensus_program.h" /* consensus_server() */
#include "sim/sim_sometimes.h"
#include "support/fs_mem.h"

#include <stdio.h>

#define FILES_MAX 64
#define PATH_SIZE 128

/* ---- hooks ---- */

static void started(void *user, struct metadata_process *process, const struct raft_recovered *recovered)
{
    struct metadata_mesh *mesh = user;

    mesh->is_stuck[sim_host_index(metadata_process_host(process))] = false;
    metadata_watch_started(mesh->watch, process, recovered);
}

static void refused(void *user, struct sim_host *host, int error, const char *message)
{
    struct metadata_mesh *mesh = user;
    struct raft_server server = metadata_mesh_server(mesh, sim_host_index(host));

    if (error == MESH_EIO || error == MESH_EFULL || sim_host_is_dying(host)) return;
    if (metadata_watch_is_damaged(mesh->watch, &server))
        SIM_SOMETIMES("a broker did not start on a damaged disk");
    else
        sim_fail(mesh->sim, "a good disk is good enough", "h%u does not start: %d %s", sim_host_index(host), error, message);
}

static void output(void *user, struct metadata_process *process, const struct node_output *what)
{
    struct metadata_mesh *mesh = user;

    metadata_watch_output(mesh->watch, process, what);
}

static void doing(void *user, struct metadata_process *process, const struct consensus_job *job, bool is_done)
{
    struct metadata_mesh *mesh = user;

    metadata_watch_doing(mesh->watch, process, job, is_done);
}

static void removing(void *user, struct metadata_process *process, const struct uuid *topic_id, const char *name)
{
    struct metadata_mesh *mesh = user;

    metadata_watch_removing(mesh->watch, process, topic_id, name);
}

static void stuck(void *user, struct metadata_process *process, int error)
{
    struct metadata_mesh *mesh = user;

    (void)error;
    mesh->is_stuck[sim_host_index(metadata_process_host(process))] = true;
}

/* ---- the mesh ---- */

void metadata_mesh_init(struct metadata_mesh *mesh, struct sim *sim)
{
    *mesh = (struct metadata_mesh){.sim = sim, .watch = metadata_watch_new()};
}

void metadata_mesh_deinit(struct metadata_mesh *mesh)
{
    metadata_watch_free(mesh->watch);
}

void metadata_mesh_reset(struct metadata_mesh *mesh, uint32_t founders)
{
    static const struct metadata_hooks hooks = {started, refused, output, doing, removing, stuck};
    struct metadata_config *config = &mesh->config;

    MESH_ASSERT(sim_host_count(mesh->sim) <= CONSENSUS_HOSTS_MAX && founders <= sim_host_count(mesh->sim));
    *config = (struct metadata_config){.disk_min_us = 200, .disk_mean_us = 500, .founder_count = founders, .hooks = &hooks, .user = mesh};
    node_options_init(&config->node);
    memset(config->cluster_id.bytes, 0x42, UUID_SIZE);
    memset(mesh->is_stuck, 0, sizeof(mesh->is_stuck));
    metadata_clients_reset(&mesh->clients, mesh->sim);
    metadata_watch_reset(mesh->watch, mesh->sim, config, &mesh->clients);
    sim_set_observer(mesh->sim, metadata_watch_event, mesh->watch);
    for (uint32_t i = 0; i < sim_host_count(mesh->sim); i++)
        sim_host_set_program(sim_host_at(mesh->sim, i), &metadata_program, config);
}

struct metadata_process *metadata_mesh_process(struct metadata_mesh *mesh, uint32_t host)
{
    return sim_host_process(sim_host_at(mesh->sim, host));
}

struct node_status metadata_mesh_status(struct metadata_mesh *mesh, uint32_t host)
{
    struct node_status status;

    node_get_status(metadata_process_node(metadata_mesh_process(mesh, host)), &status);
    return status;
}

struct raft_server metadata_mesh_server(const struct metadata_mesh *mesh, uint32_t host)
{
    return consensus_server(host, mesh->config.generations[host]);
}

uint32_t metadata_mesh_coordinator(struct metadata_mesh *mesh)
{
    uint32_t coordinator = METADATA_NOBODY;
    uint64_t term = 0;

    for (uint32_t i = 0; i < sim_host_count(mesh->sim); i++) {
        struct node_status status;

        if (metadata_mesh_process(mesh, i) == NULL) continue;
        status = metadata_mesh_status(mesh, i);
        if (status.role != NODE_COORDINATOR || status.term < term) continue;
        coordinator = i;
        term = status.term;
    }
    return coordinator;
}

/* ---- disks ---- */

void metadata_mesh_wipe(struct metadata_mesh *mesh, uint32_t host)
{
    sim_host_wipe_disk(sim_host_at(mesh->sim, host));
    mesh->config.generations[host]++;
}

struct files {
    const char *prefix;
    char paths[FILES_MAX][PATH_SIZE];
    uint64_t sizes[FILES_MAX];
    unsigned count;
};

static void add_file(void *user, const char *path, uint64_t size)
{
    struct files *files = user;

    if (files->count == FILES_MAX || size == 0 || strncmp(path, files->prefix, strlen(files->prefix)) != 0) return;
    snprintf(files->paths[files->count], PATH_SIZE, "%s", path);
    files->sizes[files->count++] = size;
}

void metadata_mesh_flip(struct metadata_mesh *mesh, uint32_t host, const char *prefix, struct random *random)
{
    struct fs_mem *disk = sim_host_disk(sim_host_at(mesh->sim, host));
    struct raft_server server = metadata_mesh_server(mesh, host);
    struct files files = {.prefix = prefix};
    unsigned which, bit;

    fs_mem_each_file(disk, add_file, &files);
    if (files.count == 0) return;
    which = (unsigned)random_below(random, files.count);
    metadata_watch_damaged(mesh->watch, &server);
    bit = (unsigned)random_below(random, 8);
    fs_mem_flip_bit(disk, files.paths[which], random_below(random, files.sizes[which]), bit);
}

struct loss {
    struct metadata_mesh *mesh;
    uint32_t without;
};

static bool has_majority(const struct loss *loss, const struct raft_server *voters, unsigned count)
{
    unsigned whole = 0;

    for (unsigned i = 0; i < count; i++) {
        uint32_t host = consensus_host_of(&voters[i].broker);
        struct raft_server present = metadata_mesh_server(loss->mesh, host);

        whole += host != loss->without && raft_server_equal(&present, &voters[i]) && !metadata_watch_is_damaged(loss->mesh->watch, &voters[i]);
    }
    return count == 0 || whole * 2 > count;
}

static bool survives(void *user, const struct raft_config *config)
{
    const struct loss *loss = user;

    return has_majority(loss, config->voters, config->voter_count) && has_majority(loss, config->old_voters, config->old_voter_count);
}

bool metadata_mesh_survives(struct metadata_mesh *mesh, uint32_t without)
{
    struct loss loss = {mesh, without};

    if (mesh->may_lose != NULL && !mesh->may_lose(mesh->user, without)) return false;
    return metadata_watch_each_config(mesh->watch, survives, &loss);
}

/* ---- faults ---- */

static enum metadata_fault kind_of(uint32_t kinds, const struct sim_fault *fault)
{
    unsigned count = (unsigned)__builtin_popcount(kinds), nth;

    if (count == 0) return METADATA_FAULT_KINDS;
    nth = (unsigned)(fault->value % count);
    for (unsigned kind = 0; kind < METADATA_FAULT_KINDS; kind++) {
        if ((kinds >> kind & 1) && nth-- == 0) return (enum metadata_fault)kind;
    }
    return METADATA_FAULT_KINDS;
}

static void begin(struct metadata_mesh *mesh, enum metadata_fault kind, const struct sim_fault *fault)
{
    struct sim_host *host = sim_host_at(mesh->sim, fault->a);
    struct fs_mem *disk = sim_host_disk(host);
    struct raft_server server = metadata_mesh_server(mesh, fault->a);
    struct random *random = sim_random(mesh->sim, SIM_RANDOM_WORLD);

    switch (kind) {
    case METADATA_FAULT_WIPE:
        /* Before anything is committed, a founder that is lost may be one too many. */
        if (metadata_watch_committed(mesh->watch) == 0 || !metadata_mesh_survives(mesh, fault->a)) break;
        SIM_SOMETIMES("a broker lost its disk");
        sim_trace(mesh->sim, host, "loses its disk");
        sim_host_kill(host, SIM_STOP_POWER);
        metadata_mesh_wipe(mesh, fault->a);
        break;
    case METADATA_FAULT_FLIP:
        if (!metadata_watch_is_damaged(mesh->watch, &server) && !metadata_mesh_survives(mesh, fault->a)) break;
        SIM_SOMETIMES("a bit of a metadata log was flipped at rest");
        sim_trace(mesh->sim, host, "has flipped bits");
        for (uint64_t i = 0; i < 1 + fault->value % 3; i++)
            metadata_mesh_flip(mesh, fault->a, "consensus/", random);
        break;
    case METADATA_FAULT_SYNC: fs_mem_fail(disk, FS_MEM_OPS_SYNC, 1 + (fault->value >> 8) % 20, MESH_EIO, false); break;
    case METADATA_FAULT_WRITE: fs_mem_fail(disk, 1u << FS_MEM_OP_WRITE, 1 + (fault->value >> 8) % 20, MESH_EIO, false); break;
    case METADATA_FAULT_FULL: fs_mem_set_capacity(disk, fs_mem_used_bytes(disk) + ((fault->value >> 8) % 8 << 12)); break;
    case METADATA_FAULT_LEAVE:
        if (!sim_host_is_awake(host)) break;
        SIM_SOMETIMES("a broker was stopped in an orderly way");
        node_leave(metadata_process_node(sim_host_process(host)), sim_host_now_us(host));
        metadata_process_drain(sim_host_process(host));
        break;
    case METADATA_FAULT_KINDS: break;
    }
}

static void end(struct metadata_mesh *mesh, enum metadata_fault kind, const struct sim_fault *fault)
{
    struct sim_host *host = sim_host_at(mesh->sim, fault->a);
    struct fs_mem *disk = sim_host_disk(host);
    bool is_hit = fault->value >> 32 & 1;

    switch (kind) {
    case METADATA_FAULT_SYNC:
    case METADATA_FAULT_WRITE:
        fs_mem_fail(disk, FS_MEM_OPS_ALL, 0, 0, false);
        if (is_hit) sim_host_kill(host, SIM_STOP_POWER); /* what was not synced goes then */
        break;
    case METADATA_FAULT_FULL: fs_mem_set_capacity(disk, UINT64_MAX); break;
    case METADATA_FAULT_FLIP:
        if (is_hit) sim_host_kill(host, SIM_STOP_KILL); /* what is damaged is found out when it is read */
        break;
    case METADATA_FAULT_LEAVE: sim_host_kill(host, SIM_STOP_KILL); break;
    case METADATA_FAULT_WIPE:
    case METADATA_FAULT_KINDS: break;
    }
    if (sim_host_is_running(host) && mesh->is_stuck[fault->a]) sim_host_kill(host, SIM_STOP_KILL);
    sim_host_start(host);
}

void metadata_mesh_fault(struct metadata_mesh *mesh, uint32_t kinds, const struct sim_fault *fault, bool is_begin)
{
    (is_begin ? begin : end)(mesh, kind_of(kinds, fault), fault);
}

void metadata_mesh_heal(struct metadata_mesh *mesh, uint32_t number)
{
    struct sim_host *host = sim_host_at(mesh->sim, number);
    struct fs_mem *disk = sim_host_disk(host);
    struct metadata_process *process;

    fs_mem_set_capacity(disk, UINT64_MAX);
    fs_mem_fail(disk, FS_MEM_OPS_ALL, 0, 0, false);
    process = sim_host_process(host);
    /* Who was told to leave, or stopped over its disk, is started again by whoever looks after it. */
    if (process != NULL && (mesh->is_stuck[number] || metadata_process_has_left(process) || metadata_mesh_status(mesh, number).has_failed))
        sim_host_kill(host, SIM_STOP_KILL);
    sim_host_start(host);
    if (sim_host_is_running(host)) return;
    SIM_SOMETIMES("a disk that no broker could start on was replaced");
    metadata_mesh_wipe(mesh, number);
    sim_host_start(host);
}

/* ---- rest ---- */

void metadata_mesh_trace(struct metadata_mesh *mesh)
{
    for (uint32_t i = 0; i < sim_host_count(mesh->sim); i++) {
        struct node_status status;

        if (metadata_mesh_process(mesh, i) == NULL) continue;
        status = metadata_mesh_status(mesh, i);
        sim_trace(mesh->sim, sim_host_at(mesh->sim, i), "role %d, term %llu, applied %llu of %llu, %s, %s, %s", (int)status.role,
                  (unsigned long long)status.term, (unsigned long long)status.applied, (unsigned long long)status.committed,
                  status.is_registered ? "registered" : "not registered", status.is_fenced ? "fenced" : "not fenced",
                  status.has_session ? "with a session" : "without a session");
    }
}

const char *metadata_mesh_unrest(struct metadata_mesh *mesh, bool (*is_meant)(void *user, uint32_t host), void *user)
{
    const struct image *first = NULL;

    for (uint32_t i = 0; i < sim_host_count(mesh->sim); i++) {
        struct node_status status;
        const struct image *image;

        if (metadata_mesh_process(mesh, i) == NULL || (is_meant != NULL && !is_meant(user, i))) continue;
        status = metadata_mesh_status(mesh, i);
        image = node_image(metadata_process_node(metadata_mesh_process(mesh, i)));
        if (status.has_failed) return "a broker has stopped";
        if (!status.is_registered) return "a broker is not registered";
        if (!status.is_serving) return "a broker is fenced";
        if (!status.has_session) return "a broker has no session";
        if (first == NULL) first = image;
        if (image_applied_index(image) != image_applied_index(first)) return "a broker is behind";
        if (memcmp(image_chain(image), image_chain(first), RAFT_CHAIN_SIZE) != 0) return "a broker has another history";
    }
    return NULL;
}
