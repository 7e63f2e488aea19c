#include "sim/consensus_faults.h"

#include "base/assert.h"
#include "sim/sim_sometimes.h"
#include "support/fs_mem.h"

#define FILES_MAX 64
#define PATH_SIZE 128

void consensus_faults_reset(struct consensus_faults *faults, struct consensus_mesh *mesh, uint32_t kinds)
{
    *faults = (struct consensus_faults){.mesh = mesh, .kinds = kinds};
}

/* ---- what can be survived ---- */

void consensus_faults_note_change(struct consensus_faults *faults, const struct raft_config *config, uint64_t index)
{
    uint64_t committed = consensus_watch_committed(faults->mesh->watch);
    uint32_t kept = 0;

    for (uint32_t i = 0; i < faults->change_count; i++) {
        if (faults->changes[i].index > committed) faults->changes[kept++] = faults->changes[i];
    }
    faults->change_count = kept;
    if (kept == CONSENSUS_CHANGES_MAX) return;
    faults->changes[kept].config = *config;
    faults->changes[kept].index = index;
    faults->change_count++;
}

/* Its disk is the one that it voted with, and whole. */
static bool is_whole(struct consensus_faults *faults, const struct raft_server *server)
{
    struct consensus_mesh *mesh = faults->mesh;
    uint32_t host = consensus_host_of(&server->broker);

    return consensus_generation_of(&server->dir) == mesh->config.generations[host] &&
           !consensus_watch_is_damaged(mesh->watch, server);
}

static bool has_majority(struct consensus_faults *faults, const struct raft_server *voters, unsigned count, uint32_t without)
{
    unsigned whole = 0;

    for (unsigned i = 0; i < count; i++)
        whole += consensus_host_of(&voters[i].broker) != without && is_whole(faults, &voters[i]);
    return count == 0 || whole * 2 > count;
}

bool consensus_faults_survive(struct consensus_faults *faults, const struct raft_config *config, uint32_t without)
{
    return has_majority(faults, config->voters, config->voter_count, without) &&
           has_majority(faults, config->old_voters, config->old_voter_count, without);
}

bool consensus_faults_each_config(struct consensus_faults *faults, bool (*each)(void *user, const struct raft_config *config),
                                  void *user)
{
    struct consensus_mesh *mesh = faults->mesh;
    const struct raft_config *committed = consensus_watch_config(mesh->watch);
    uint64_t index = consensus_watch_committed(mesh->watch);

    if (!each(user, committed->voter_count > 0 ? committed : &mesh->config.founders)) return false;
    for (uint32_t i = 0; i < faults->change_count; i++) {
        if (faults->changes[i].index > index && !each(user, &faults->changes[i].config)) return false;
    }
    return true;
}

struct loss {
    struct consensus_faults *faults;
    uint32_t without;
};

static bool survives(void *user, const struct raft_config *config)
{
    const struct loss *loss = user;

    return consensus_faults_survive(loss->faults, config, loss->without);
}

bool consensus_faults_survive_all(struct consensus_faults *faults, uint32_t without)
{
    struct loss loss = {faults, without};

    return consensus_faults_each_config(faults, survives, &loss);
}

/* ---- damage ---- */

struct files {
    char paths[FILES_MAX][PATH_SIZE];
    uint64_t sizes[FILES_MAX];
    unsigned count;
};

static void add_file(void *user, const char *path, uint64_t size)
{
    struct files *files = user;

    if (files->count == FILES_MAX || size == 0 || strncmp(path, "consensus/", 10) != 0) return;
    snprintf(files->paths[files->count], PATH_SIZE, "%s", path);
    files->sizes[files->count++] = size;
}

/* A place with something in it: most of a file may be zeros. */
static uint64_t draw_used(struct fs *fs, const char *path, uint64_t size, struct random *random)
{
    uint64_t position = random_below(random, size);
    struct fs_file *file;
    uint8_t bytes[16];

    if (fs_open(fs, path, FS_READ, &file) != 0) return position;
    for (int i = 0; i < 100; i++) {
        size_t got = 0;
        uint8_t all = 0;
        if (file->fs->ops->read(file, bytes, sizeof(bytes), position, &got) != 0) break;
        for (size_t k = 0; k < got; k++)
            all |= bytes[k];
        if (all != 0) break;
        position = random_below(random, size);
    }
    fs_unref(file);
    return position;
}

static void damage(struct consensus_faults *faults, uint32_t host, struct random *random, bool is_flip)
{
    struct consensus_mesh *mesh = faults->mesh;
    struct fs_mem *disk = sim_host_disk(sim_host_at(mesh->sim, host));
    struct raft_server server = consensus_mesh_server(mesh, host);
    struct files files = {.count = 0};
    unsigned which;
    uint64_t count = random_below(random, 2) == 0 ? 1 : 1 + random_below(random, 3);

    if (!consensus_watch_is_damaged(mesh->watch, &server) && !consensus_faults_survive_all(faults, host)) return;
    fs_mem_each_file(disk, add_file, &files);
    if (files.count == 0) return;
    while (count-- > 0) {
        uint64_t position;
        which = (unsigned)random_below(random, files.count);
        position = draw_used(fs_mem_fs(disk), files.paths[which], files.sizes[which], random);
        consensus_watch_damaged(mesh->watch, &server);
        if (is_flip)
            fs_mem_flip_bit(disk, files.paths[which], position, (unsigned)random_below(random, 8));
        else
            fs_mem_zero_sector(disk, files.paths[which], position);
        sim_trace(mesh->sim, sim_host_at(mesh->sim, host), "%s is damaged at %llu", files.paths[which],
                  (unsigned long long)position);
    }
    SIM_SOMETIMES_IF(is_flip, "a bit was flipped at rest");
    SIM_SOMETIMES_IF(!is_flip, "a sector was zeroed at rest");
}

/* ---- one fault ---- */

static enum consensus_fault kind_of(const struct consensus_faults *faults, const struct sim_fault *fault)
{
    unsigned count = (unsigned)__builtin_popcount(faults->kinds), nth;

    if (count == 0) return CONSENSUS_FAULT_KINDS;
    nth = (unsigned)(fault->value % count);
    for (unsigned kind = 0; kind < CONSENSUS_FAULT_KINDS; kind++) {
        if ((faults->kinds >> kind & 1) && nth-- == 0) return (enum consensus_fault)kind;
    }
    return CONSENSUS_FAULT_KINDS;
}

/* What was copied of the disk before is another server's. */
static void replace_disk(struct consensus_faults *faults, uint32_t number)
{
    faults->is_backed_up[number] = false;
    consensus_mesh_wipe(faults->mesh, number);
}

static void back_up(struct consensus_faults *faults, uint32_t number)
{
    struct consensus_mesh *mesh = faults->mesh;
    struct raft_server server = consensus_mesh_server(mesh, number);

    if (consensus_watch_is_damaged(mesh->watch, &server)) return; /* it would be made whole */
    sim_host_back_up_disk(sim_host_at(mesh->sim, number));
    faults->is_backed_up[number] = true;
}

static void start_anew(struct consensus_faults *faults, uint32_t number)
{
    struct consensus_mesh *mesh = faults->mesh;
    struct sim_host *host = sim_host_at(mesh->sim, number);

    if (sim_host_is_running(host) && mesh->has_failed[number]) sim_host_kill(host, SIM_STOP_KILL);
    sim_host_start(host);
    if (sim_host_is_running(host) || mesh->refused[number] != CONSENSUS_SET_BACK) return;
    SIM_SOMETIMES("a disk that was set back was replaced");
    replace_disk(faults, number);
    sim_host_start(host);
}

static void fail_next(struct fs_mem *disk, unsigned mask, const struct sim_fault *fault, bool is_begin)
{
    fs_mem_fail(disk, mask, is_begin ? 1 + (fault->value >> 8) % 20 : 0, MESH_EIO, false);
}

static void begin(struct consensus_faults *faults, const struct sim_fault *fault, struct random *random)
{
    struct consensus_mesh *mesh = faults->mesh;
    struct sim_host *host = sim_host_at(mesh->sim, fault->a);
    struct fs_mem *disk = sim_host_disk(host);
    enum consensus_fault kind = kind_of(faults, fault);

    sim_trace(mesh->sim, host, "%s", (const char *const[]){"is to lose its disk", "is to have flipped bits", "is to have a zeroed sector",
                                                           "is to fail to sync", "is to fail to write", "is to fail to read",
                                                           "is to have no space", "is copied, to be set back", "is copied, to take turns",
                                                           "is spared"}[kind]);
    switch (kind) {
    case CONSENSUS_FAULT_WIPE:
        if (!consensus_faults_survive_all(faults, fault->a)) break;
        SIM_SOMETIMES("a disk was lost");
        sim_host_kill(host, SIM_STOP_POWER);
        replace_disk(faults, fault->a);
        break;
    case CONSENSUS_FAULT_FLIP: damage(faults, fault->a, random, true); break;
    case CONSENSUS_FAULT_ZERO: damage(faults, fault->a, random, false); break;
    case CONSENSUS_FAULT_SYNC: fail_next(disk, FS_MEM_OPS_SYNC, fault, true); break;
    case CONSENSUS_FAULT_WRITE: fail_next(disk, 1u << FS_MEM_OP_WRITE, fault, true); break;
    case CONSENSUS_FAULT_READ: fail_next(disk, 1u << FS_MEM_OP_READ, fault, true); break;
    case CONSENSUS_FAULT_FULL: fs_mem_set_capacity(disk, fs_mem_used_bytes(disk) + ((fault->value >> 8) % 8 << 12)); break;
    case CONSENSUS_FAULT_RESTORE: back_up(faults, fault->a); break;
    case CONSENSUS_FAULT_COPY:
        if (!faults->is_backed_up[fault->a]) back_up(faults, fault->a);
        break;
    case CONSENSUS_FAULT_KINDS: break;
    }
}

static void end(struct consensus_faults *faults, const struct sim_fault *fault)
{
    struct consensus_mesh *mesh = faults->mesh;
    struct sim_host *host = sim_host_at(mesh->sim, fault->a);
    struct fs_mem *disk = sim_host_disk(host);
    struct raft_server server = consensus_mesh_server(mesh, fault->a);

    switch (kind_of(faults, fault)) {
    case CONSENSUS_FAULT_FLIP:
    case CONSENSUS_FAULT_ZERO:
        /* What is damaged is found out when it is read. */
        if (fault->value >> 32 & 1) sim_host_kill(host, SIM_STOP_KILL);
        break;
    case CONSENSUS_FAULT_SYNC:
        fail_next(disk, FS_MEM_OPS_SYNC, fault, false);
        if (fault->value >> 32 & 1) sim_host_kill(host, SIM_STOP_POWER); /* what was not synced goes then */
        break;
    case CONSENSUS_FAULT_WRITE: fail_next(disk, 1u << FS_MEM_OP_WRITE, fault, false); break;
    case CONSENSUS_FAULT_READ: fail_next(disk, 1u << FS_MEM_OP_READ, fault, false); break;
    case CONSENSUS_FAULT_FULL: fs_mem_set_capacity(disk, UINT64_MAX); break;
    case CONSENSUS_FAULT_RESTORE:
        if (!faults->is_backed_up[fault->a]) break;
        sim_host_kill(host, SIM_STOP_KILL);
        consensus_watch_restored(mesh->watch, &server);
        faults->is_backed_up[fault->a] = false;
        SIM_SOMETIMES_IF(sim_host_restore_disk(host), "a disk was set back to a copy");
        break;
    case CONSENSUS_FAULT_COPY:
        if (!faults->is_backed_up[fault->a]) break;
        sim_host_kill(host, SIM_STOP_KILL);
        consensus_watch_restored(mesh->watch, &server);
        SIM_SOMETIMES_IF(sim_host_swap_disk(host), "another copy of a disk went on");
        break;
    default: break;
    }
    start_anew(faults, fault->a);
}

void consensus_faults_apply(struct consensus_faults *faults, const struct sim_fault *fault, bool is_begin)
{
    if (is_begin)
        begin(faults, fault, sim_random(faults->mesh->sim, SIM_RANDOM_WORLD));
    else
        end(faults, fault);
}

void consensus_faults_heal(struct consensus_faults *faults, uint32_t number)
{
    struct consensus_mesh *mesh = faults->mesh;
    struct sim_host *host = sim_host_at(mesh->sim, number);
    struct fs_mem *disk = sim_host_disk(host);

    fs_mem_set_capacity(disk, UINT64_MAX);
    fs_mem_fail(disk, FS_MEM_OPS_ALL, 0, 0, false);
    if (consensus_mesh_is_set_back(mesh, number)) sim_host_kill(host, SIM_STOP_KILL);
    start_anew(faults, number);
    if (sim_host_is_running(host)) return;
    SIM_SOMETIMES("a disk that nobody could start on was replaced");
    replace_disk(faults, number);
    sim_host_start(host);
}
