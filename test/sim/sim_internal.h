/* sim/sim_internal.h - what the parts of the kernel share. */
#ifndef SIM_SIM_INTERNAL_H
#define SIM_SIM_INTERNAL_H

#include "sim/sim.h"
#include "sim/sim_clock.h"
#include "sim/sim_net.h"
#include "sim/sim_pool.h"
#include "sim/sim_queue.h"

#define NO_HOST UINT32_MAX

/* ---- network ---- */

struct path {
    uint64_t clogged_until_us;
    uint16_t mtu; /* 0: no limit */
    uint8_t udp_cuts, tcp_cuts;
};

struct net {
    struct sim_net_options options;
    struct sim_net_faults faults;
    struct path *paths; /* host_count squared: [from * host_count + to] */
    size_t paths_capacity;
    uint32_t owners[SIM_ADDRESSES_MAX]; /* host, or NO_HOST */
};

/* The host that has this address (whatever the port), or NO_HOST. */
uint32_t net_owner(const struct sim *sim, const struct net_address *address);
void net_reset(struct sim *sim);
void net_deinit(struct sim *sim);
void net_send(struct sim *sim, struct sim_host *from, const struct net_address *to, struct slice bytes);

/* How long a segment of a stream takes from one host to another; false: it does not get there now. */
bool net_segment_delay(struct sim *sim, uint32_t from, uint32_t to, size_t size, uint64_t *ret_delay_us);
void net_flip_bit(struct sim *sim, uint8_t *bytes, size_t size, uint32_t ppm);

/* ---- streams ---- */

enum end_state { END_NONE, END_CONNECTING, END_OPEN, END_LINGERING };

/* One end of a connection. `queue` holds what the network has not taken yet, in order. */
struct end {
    void *user;
    uint32_t host;
    uint8_t state;
    bool is_retrying, wants_room;
    uint32_t queue_head, queue_tail; /* events */
    uint32_t previous, next;         /* ends of the same host: connection << 1 | side */
    uint32_t unread_bytes;           /* written here, not yet handed to the peer's program */
    uint64_t last_arrival_us, stuck_since_us, rto_us;
};

struct conn {
    struct end ends[2]; /* 0: who connected */
    struct net_address addresses[2];
    uint32_t generation;
    uint32_t next_free;
    bool is_used;
};

struct streams {
    struct conn *conns; /* owned */
    uint32_t capacity, top, free_head;
};

void streams_reset(struct sim *sim);
void streams_deinit(struct sim *sim);
void streams_handle(struct sim *sim, struct sim_event *event, uint32_t number); /* takes it */
void streams_host_stopped(struct sim *sim, struct sim_host *host, enum sim_stop how);

/* ---- hosts ---- */

struct sim_host {
    struct sim *sim;
    uint32_t index, address_number;
    uint16_t port;
    struct net_address address; /* of this number and port */
    bool is_powered, is_running, is_dying, is_timer_missed;
    bool is_draining, is_draining_one; /* what waited is on its way in */
    uint16_t pauses, suspends, stops, blocks; /* nested; suspends: also those whose clock goes on; stops: of the clock */
    uint64_t outputs_left;             /* until the kill; 0: none is planned */
    enum sim_stop kill_how;
    const struct sim_program *program;
    void *context, *process;
    struct sim_clock clock;
    uint64_t timer_due_us;    /* local; SIM_NEVER: none */
    uint64_t timer_queued_us; /* true; the event that counts */
    uint32_t timer_stamp;
    uint64_t timer_slack_us;
    uint32_t deferred_head, deferred_tail, deferred_datagram_bytes; /* events that wait while paused */
    uint32_t outbox_head, outbox_tail;                              /* datagrams that wait while I/O is blocked */
    uint32_t ends_head;                                             /* its stream ends, plus one */
    struct fs_mem *disk, *backup;                                   /* made when first needed, kept over resets */
    bool is_disk_used, is_backup_used;                              /* since the last reset */
    struct random random;
};

/* False: the process has died before this output. */
bool host_output(struct sim_host *host);
void host_finish_call(struct sim_host *host); /* after a program's call: it may have died in it */
void host_handle_timer(struct sim *sim, struct sim_event *event);
bool host_defers(struct sim *sim, struct sim_host *host, uint32_t number); /* true: kept for later, or dropped */
void host_drain(struct sim *sim, struct sim_host *host);
void host_reset(struct sim *sim, uint32_t index, uint64_t seed);
void host_disk_restarted(struct sim_host *host, enum sim_stop how);
void host_rearm_timer(struct sim_host *host); /* the clock changed */

/* ---- all ---- */

struct sim {
    struct sim_queue queue;
    struct sim_pool pool;
    uint64_t now_us, seed, hash;
    struct net net;
    struct streams streams;
    struct sim_host *hosts; /* SIM_HOSTS_MAX */
    uint32_t host_count;
    struct random randoms[SIM_RANDOM_HOSTS];
    sim_observe_fn *observe;
    void *observe_user;
    FILE *trace;
    bool is_hashing_bytes;
    struct sim_stats stats;
    const char *failure;
    char failure_text[512];
    struct fs_mem *first_disk; /* the others share its pool of pages */
};

static inline struct sim_event *event_at(struct sim *sim, uint32_t number)
{
    return sim_pool_event(&sim->pool, number);
}

/* What a program is handed. */
static inline void sim_hash_event(struct sim *sim, uint64_t what, struct slice bytes)
{
    sim->hash = sim_mix(sim->hash, what);
    if (sim->is_hashing_bytes) sim->hash = sim_hash_bytes(sim->hash, bytes.data, bytes.size);
}

void sim_schedule(struct sim *sim, uint64_t true_us, uint32_t event);
void sim_handle(struct sim *sim, uint32_t event); /* takes it */
void sim_touched(struct sim *sim, struct sim_host *host);
void sim_trace_bytes(struct sim *sim, struct sim_host *host, const char *what, const struct net_address *peer,
                     bool is_stream, struct slice bytes);

#endif
