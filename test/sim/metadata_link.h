/* sim/metadata_link.h - how simulated metadata nodes reach each other: one stream for each pair, dialled by the host of the lower
 * number and dialled again when it ended. It begins with who speaks and to whom; then frames with sizes and sums, a stand-in for the
 * seal. What is sent arrives in order, or is lost with the link; who is silent for long is hung up on. */
#ifndef SIM_METADATA_LINK_H
#define SIM_METADATA_LINK_H

#include "base/buffer.h"
#include "base/list.h"
#include "replication/metadata/node.h"
#include "sim/consensus_link.h" /* CONSENSUS_HOSTS_MAX, consensus_host_of() */
#include "sim/sim.h"

/* One is stale when nothing came for so long; it is dialled again soon after. */
#define METADATA_LINK_SILENT_US (2 * SIM_SECOND)

struct metadata_link;

struct metadata_links {
    struct sim_host *host;
    struct raft_server self;
    struct metadata_link *current[CONSENSUS_HOSTS_MAX];
    struct metadata_link *dialled[CONSENSUS_HOSTS_MAX]; /* by this side: under way, or current */
    struct list_node all;
    uint64_t due_us, retry_us[CONSENSUS_HOSTS_MAX];
    uint64_t sent; /* frames of nodes */
    void (*up)(void *user, const struct raft_server *peer);
    void (*down)(void *user, const struct raft_server *peer);
    void (*receive)(void *user, const struct raft_server *from, enum node_link link, struct slice message);
    /* Inbound, and it begins with METADATA_LINK_FOREIGN: it is no link, and no longer this file's. May be NULL. */
    void (*adopt)(void *user, uint64_t stream, struct slice first);
    void *user;
};

#define METADATA_LINK_FOREIGN 0x4c504552u /* four bytes, little endian; the size of no frame */

void metadata_links_init(struct metadata_links *links, struct sim_host *host, const struct raft_server *self);
void metadata_links_deinit(struct metadata_links *links); /* no call of down() */
void metadata_links_tick(struct metadata_links *links);   /* at due_us */
void metadata_links_send(struct metadata_links *links, const struct uuid *to, enum node_link link, struct slice message);

/* What the network says. */
void metadata_links_opened(struct metadata_links *links, uint64_t stream, bool is_inbound);
void metadata_links_bytes(struct metadata_links *links, uint64_t stream, struct slice bytes);
void metadata_links_writable(struct metadata_links *links, uint64_t stream);
void metadata_links_closed(struct metadata_links *links, uint64_t stream);

#endif
