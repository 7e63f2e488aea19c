/* sim/consensus_link.h - how simulated servers of consensus reach each other: one stream for each direction, dialled again when there
 * is something to say. It begins with who speaks and to whom; then messages with sizes and sums, a stand-in for the seal.
 *
 * What the core may not rely on is done here too: messages that get lost, come twice or late, as far as the world wants. */
#ifndef SIM_CONSENSUS_LINK_H
#define SIM_CONSENSUS_LINK_H

#include "base/buffer.h"
#include "base/list.h"
#include "replication/consensus/entry.h"
#include "sim/sim.h"

#define CONSENSUS_HOSTS_MAX 16

/* How messages are mistreated, in millionths. */
struct consensus_mail_faults {
    uint32_t drop_ppm, double_ppm, late_ppm;
};

struct consensus_out {
    uint32_t host;
    uint64_t stream; /* 0: none */
    bool is_open;
    uint64_t dialled_us;
    uint64_t asked_us; /* since when nothing was heard from that host although it was spoken to; SIM_NEVER: it answered */
    uint64_t retry_us;
    uint64_t boot; /* of that host's process, as it says; 0: not heard yet */
    struct buffer bytes, late; /* late: a frame that goes out after a later one */
    bool is_dirty;             /* bytes were added since the last consensus_links_flush() */
};

struct consensus_links {
    struct sim_host *host;
    struct raft_server self;
    uint64_t boot; /* a number of this process */
    const struct consensus_mail_faults *faults;
    struct consensus_out out[CONSENSUS_HOSTS_MAX];
    struct list_node inbound;
    uint64_t sent, lost; /* messages */
    uint32_t dirty;      /* how many are */
    void (*receive)(void *user, const struct raft_server *from, struct slice message);
    void *user;
};

void consensus_links_init(struct consensus_links *links, struct sim_host *host, const struct raft_server *self,
                          const struct consensus_mail_faults *faults);
void consensus_links_deinit(struct consensus_links *links);

/* What is sent to one server in one turn leaves together, by consensus_links_flush() at the turn's end. */
void consensus_links_send(struct consensus_links *links, const struct raft_server *to, struct slice message);
void consensus_links_flush(struct consensus_links *links);

/* What the network says. */
void consensus_links_opened(struct consensus_links *links, uint64_t stream, bool is_inbound);
void consensus_links_bytes(struct consensus_links *links, uint64_t stream, struct slice bytes);
void consensus_links_writable(struct consensus_links *links, uint64_t stream);
void consensus_links_closed(struct consensus_links *links, uint64_t stream);

/* The host of a broker: its identity tells. */
uint32_t consensus_host_of(const struct uuid *broker);

#endif
