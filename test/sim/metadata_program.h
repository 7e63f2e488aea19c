/* sim/metadata_program.h - a metadata node on a simulated host: the thin driver around replication/metadata/node.h, with the store of
 * consensus on a simulated disk, links over simulated streams, frontiers by datagrams, and a stand-in for partition data. */
#ifndef SIM_METADATA_PROGRAM_H
#define SIM_METADATA_PROGRAM_H

#include "sim/consensus_lane.h"
#include "sim/metadata_dirs.h"
#include "sim/metadata_link.h"

struct metadata_process;

/* What the world wants to know; all are set. */
struct metadata_hooks {
    void (*started)(void *user, struct metadata_process *process, const struct raft_recovered *recovered);
    void (*refused)(void *user, struct sim_host *host, int error, const char *message); /* it does not start on what its disk holds */
    void (*output)(void *user, struct metadata_process *process, const struct node_output *output); /* before it is carried out */
    void (*doing)(void *user, struct metadata_process *process, const struct consensus_job *job, bool is_done);
    void (*removing)(void *user, struct metadata_process *process, const struct uuid *topic_id, const char *name);
    void (*stuck)(void *user, struct metadata_process *process, int error); /* the disk failed; start it anew */
};

/* Mistakes that a driver could make (PROTOCOLS 4.2). */
enum metadata_driver_defect {
    METADATA_DRIVER_INDEX_APART = 1, /* 28: the state that a snapshot holds is of another index than it says */
};

/* Who else may live in the process, over the images that the node publishes: the world "replication" keeps the brokers' logs there. It sees
 * the streams that it dials, and inbound ones that begin with METADATA_LINK_FOREIGN. */
struct metadata_tenant {
    /* On what the disk holds, before the node. 0 or why it cannot. */
    int (*start)(void *context, struct metadata_process *process, void **ret_tenant);
    void (*stop)(void *tenant);
    bool (*was_clean)(void *tenant); /* no stop that was not clean is to be told of: neither the last one, nor an earlier one that nobody heard of */
    void (*leave)(void *tenant);     /* leadership was handed over: it syncs what it has, and exits */
    void (*published)(void *tenant, const struct image *image);
    void (*answered)(void *tenant, const struct node_output *answer); /* to metadata_process_request() */
    void (*turn)(void *tenant);                                       /* after every event of the process */
    uint64_t (*due_us)(void *tenant);
    bool (*owns)(void *tenant, uint64_t stream);
    void (*stream_arrived)(void *tenant, uint64_t stream, struct slice first);
    void (*stream_opened)(void *tenant, uint64_t stream);
    void (*stream_bytes)(void *tenant, uint64_t stream, struct slice bytes);
    void (*stream_writable)(void *tenant, uint64_t stream);
    void (*stream_closed)(void *tenant, uint64_t stream);
};
#define METADATA_TENANT_COOKIE (UINT64_C(1) << 63) /* in the cookies of its requests */

/* What hosts are told before they start; belongs to the world. */
struct metadata_config {
    struct node_options node;       /* self, boot, seed, cluster_id and the flags of the start are filled in */
    uint64_t node_defects;          /* 1 << each of metadata/switches.h */
    unsigned driver_defects, dirs_defects;
    uint64_t disk_min_us, disk_mean_us;
    struct uuid cluster_id;         /* told to founders; others learn it */
    uint32_t founder_count;         /* the first hosts, on their first disks */
    uint32_t generations[CONSENSUS_HOSTS_MAX]; /* of the host's disk */
    const struct metadata_hooks *hooks;
    void *user;
    const struct metadata_tenant *tenant; /* NULL: a stand-in for topics' data instead (metadata_dirs.h) */
    void *tenant_context;
};

extern const struct sim_program metadata_program; /* its context: a struct metadata_config */

struct sim_host *metadata_process_host(const struct metadata_process *process);
struct node *metadata_process_node(struct metadata_process *process);
const struct raft_server *metadata_process_self(const struct metadata_process *process);
const struct metadata_dirs *metadata_process_dirs(const struct metadata_process *process);
uint64_t metadata_process_published(const struct metadata_process *process); /* index of the image published last */
uint64_t metadata_process_sent(const struct metadata_process *process);      /* messages */
uint64_t metadata_process_boot(const struct metadata_process *process);
void *metadata_process_tenant(struct metadata_process *process);
bool metadata_process_has_left(const struct metadata_process *process);

/* The tenant's: as node_request(). */
int metadata_process_request(struct metadata_process *process, enum node_op op, struct slice body, uint64_t timeout_us, uint64_t cookie);

/* The world acted on the node: carry out what it wants done. */
void metadata_process_drain(struct metadata_process *process);

#endif
