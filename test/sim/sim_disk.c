/* Disks of hosts: support/fs_mem.h, made when a host first needs one and emptied, not made anew, for the next seed. */
#include "sim/sim_internal.h"

#include "base/assert.h"
#include "support/fs_mem.h"

static struct fs_mem *disk_new(struct sim *sim)
{
    if (sim->first_disk == NULL) sim->first_disk = fs_mem_new(1);
    return fs_mem_new_fork(sim->first_disk);
}

/* A change of the disk is an output too: the process may die right before it or in the midst of it. */
static void observe_disk(void *user, enum fs_mem_op_type type, const char *path, uint64_t position, uint64_t size)
{
    struct sim_host *host = user;

    (void)path, (void)position, (void)size;
    if (type != FS_MEM_OP_READ && !host_output(host)) fs_mem_crash_at(host->disk, 1);
}

struct fs_mem *sim_host_disk(struct sim_host *host)
{
    struct sim *sim = host->sim;

    if (host->disk == NULL) host->disk = disk_new(sim);
    if (!host->is_disk_used) {
        fs_mem_reset(host->disk, sim_random_seed(sim->seed, (uint64_t)SIM_HOSTS_MAX * 2 + host->index));
        host->is_disk_used = true;
    }
    fs_mem_set_observer(host->disk, observe_disk, host);
    return host->disk;
}

struct fs *sim_host_fs(struct sim_host *host)
{
    return fs_mem_fs(sim_host_disk(host));
}

void host_disk_restarted(struct sim_host *host, enum sim_stop how)
{
    struct random *random = &host->sim->randoms[SIM_RANDOM_DISK];
    enum fs_mem_loss loss = FS_MEM_LOSE_NOTHING;

    if (!host->is_disk_used) return;
    if (how == SIM_STOP_POWER) loss = (enum fs_mem_loss)random_below(random, FS_MEM_LOSE_MODES);
    fs_mem_reboot(host->disk, loss);
    /* Until its next start nobody writes. */
    fs_mem_set_observer(host->disk, NULL, NULL);
}

void sim_host_wipe_disk(struct sim_host *host)
{
    MESH_ASSERT(!host->is_running);
    if (host->is_disk_used) fs_mem_reset(host->disk, random_next(&host->random));
}

void sim_host_back_up_disk(struct sim_host *host)
{
    if (!host->is_disk_used) return;
    if (host->backup == NULL) host->backup = disk_new(host->sim);
    fs_mem_copy_crashed(host->disk, host->backup, FS_MEM_LOSE_NOTHING, random_next(&host->random));
    host->is_backup_used = true;
}

bool sim_host_restore_disk(struct sim_host *host)
{
    MESH_ASSERT(!host->is_running);
    if (!host->is_backup_used) return false;
    fs_mem_copy_crashed(host->backup, sim_host_disk(host), FS_MEM_LOSE_NOTHING, random_next(&host->random));
    return true;
}

bool sim_host_swap_disk(struct sim_host *host)
{
    struct fs_mem *disk = sim_host_disk(host);

    MESH_ASSERT(!host->is_running);
    if (!host->is_backup_used) return false;
    fs_mem_set_observer(disk, NULL, NULL);
    host->disk = host->backup;
    host->backup = disk;
    return true;
}

void sim_host_copy_disk(struct sim_host *from, struct sim_host *to)
{
    MESH_ASSERT(!to->is_running);
    fs_mem_copy_crashed(sim_host_disk(from), sim_host_disk(to), FS_MEM_LOSE_NOTHING, random_next(&to->random));
    fs_mem_set_observer(to->disk, NULL, NULL);
}

void sim_host_forget_disk(struct sim_host *host)
{
    sim_host_wipe_disk(host);
    host->is_backup_used = false;
}
