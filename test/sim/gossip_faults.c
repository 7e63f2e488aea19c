#include "sim/gossip_faults.h"

#include "base/error.h"
#include "sim/sim_sometimes.h"
#include "support/fs_mem.h"

/* ---- leaving ---- */

/* A broker leaves in good order, and comes back in its next boot when the fault ends. */
static void leave(struct gossip_faults *faults, struct sim_host *host, bool is_begin)
{
    struct gossip_process *process = sim_host_process(host);
    uint32_t *boot = &faults->leaving_boots[sim_host_index(host)];

    if (!is_begin) {
        /* Who is impatient kills it. */
        if (process != NULL && gossip_process_boot(process) == *boot) {
            SIM_SOMETIMES("a leave was cut short");
            sim_host_kill(host, SIM_STOP_KILL);
        }
        sim_host_start(host);
    } else if (sim_host_is_awake(host)) {
        *boot = gossip_process_boot(process);
        sim_trace(faults->sim, host, "begins to leave");
        gossip_leave(gossip_process_core(process), sim_host_now_us(host));
        gossip_process_drain(process);
    }
}

/* ---- disks ---- */

static const struct {
    unsigned operations;
    int err;
    bool is_lasting;
} disk_faults[] = {
    {FS_MEM_OPS_ALL, MESH_EIO, false},
    {FS_MEM_OPS_ALL, MESH_EIO, true},
    {FS_MEM_OPS_SYNC, MESH_EIO, false},
    {1u << FS_MEM_OP_SYNC_DIR, MESH_EIO, false},
    {1u << FS_MEM_OP_RENAME, MESH_EIO, false},
    {1u << FS_MEM_OP_WRITE | 1u << FS_MEM_OP_CREATE, MESH_EFULL, true},
    {1u << FS_MEM_OP_WRITE, MESH_EFULL, false}, /* torn */
    {1u << FS_MEM_OP_READ, MESH_EIO, true},
};

/* The disk fails for a while: under a process that runs, or under one that is just being started. Who cannot start is started
 * again when the fault ends. */
static void fail_disk(struct sim_host *host, uint64_t value, bool is_begin)
{
    unsigned which = (unsigned)(value >> 24) % (sizeof(disk_faults) / sizeof(disk_faults[0]));
    bool is_restarted = value >> 32 & 1;

    if (!is_begin) {
        fs_mem_fail(sim_host_disk(host), 0, 0, 0, false);
        SIM_SOMETIMES_IF(!sim_host_is_running(host), "a broker could not start on its disk");
        sim_host_start(host);
        return;
    }
    if (!sim_host_is_running(host)) return;
    if (is_restarted) sim_host_kill(host, SIM_STOP_KILL);
    fs_mem_fail(sim_host_disk(host), disk_faults[which].operations, 1 + (value >> 40) % 4, disk_faults[which].err,
                disk_faults[which].is_lasting);
    if (is_restarted) sim_host_start(host);
}

/* ---- identities that are used twice ---- */

void gossip_faults_begin_twin(struct gossip_watch *watch, struct sim_host *from, struct sim_host *to)
{
    sim_host_kill(to, SIM_STOP_KILL);
    sim_host_copy_disk(from, to);
    sim_host_start(to);
    if (sim_host_process(to) != NULL) gossip_watch_note_twin(watch, gossip_process_id(sim_host_process(to)));
}

void gossip_faults_end_twin(struct sim_host *to)
{
    sim_host_kill(to, SIM_STOP_KILL);
    sim_host_forget_disk(to);
    sim_host_start(to);
}

/* ---- all ---- */

void gossip_faults_apply(struct gossip_faults *faults, const struct sim_fault *fault, bool is_begin)
{
    struct sim_host *host = sim_host_at(faults->sim, fault->a), *other = sim_host_at(faults->sim, fault->b);
    uint16_t *dns = &faults->dns->faults[(fault->value >> 16) % GOSSIP_DNS_FAULTS];

    switch ((fault->value >> 8) % 8) {
    case 4:
    case 5: fail_disk(host, fault->value, is_begin); break;
    case 6: *dns = (uint16_t)(*dns + (is_begin ? 1 : -1)); break;
    case 7:
        if (!faults->has_twins || host == other) break;
        if (is_begin)
            gossip_faults_begin_twin(faults->watch, host, other);
        else
            gossip_faults_end_twin(other);
        break;
    default: leave(faults, host, is_begin); break;
    }
}
