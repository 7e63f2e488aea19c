/* unit/consensus/raft_net.h - servers of consensus in memory: a network that loses, doubles and delays, and disks that take time and forget what
 * was not finished when the power goes. Deterministic: all chance comes from one seed.
 *
 * After every event it checks what must always hold (raft_net.c, check_...): one leader in a term, one history of what is
 * committed, nothing said that the disk does not hold. A breach is counted and named in `breach`. */
#ifndef UNIT_RAFT_NET_H
#define UNIT_RAFT_NET_H

#include "base/random.h"
#include "replication/consensus/message.h"
#include "replication/consensus/raft.h"
#include "replication/consensus/switches.h"

#define NET_HOSTS_MAX   8
#define NET_STORES_MAX  256
#define NET_INDEX_MAX   65536
#define NET_TERM_MAX    65536
#define NET_READS_MAX   64
#define NET_MS          1000ull
#define NET_S           1000000ull

/* What one disk holds, durably. */
struct net_disk {
    uint64_t term, damaged_until;
    struct raft_server voted_for;
    struct raft_entry *entries; /* owned, with their bodies */
    size_t entry_count, entry_capacity;
    uint64_t first; /* index of entries[0] */
    struct raft_position snapshot;
    struct raft_config snapshot_config;
    uint64_t snapshot_size;
    uint64_t committed; /* a hint, set as in the product: now and then */
};

enum net_store_type { NET_STATE, NET_ENTRIES, NET_CHUNK };

struct net_store {
    enum net_store_type type;
    uint64_t number, done_us;
    uint64_t term, damaged_until, committed;
    struct raft_server voted_for;
    struct raft_entry *entries;
    size_t entry_count;
    struct raft_position position;
    struct raft_config config;
    uint64_t total;
    bool is_last;
};

struct net_host {
    struct raft *raft; /* NULL: down */
    struct raft_server server;
    struct net_disk disk;
    struct net_store stores[NET_STORES_MAX]; /* a ring, in order */
    unsigned store_head, store_count;
    uint64_t disk_min_us, disk_max_us;
    bool disk_is_stuck;
    uint64_t applied;
    struct raft_position restored;
    unsigned restores;
    uint64_t last_read_context, last_read_index;
    unsigned reads, reads_lost;
    uint64_t read_floor[NET_READS_MAX]; /* by context: what was committed when the read was asked for */
    bool read_is_open[NET_READS_MAX];
    enum raft_role role;
    uint64_t seed;
};

struct net_packet {
    uint64_t at_us, order;
    unsigned from, to;
    struct raft_server from_server;
    uint8_t *bytes;
    size_t size;
};

struct raft_net {
    struct net_host hosts[NET_HOSTS_MAX];
    unsigned host_count;
    uint64_t now_us, order;
    struct random random;
    struct net_packet *packets; /* a heap */
    size_t packet_count, packet_capacity;
    uint64_t delay_min_us, delay_max_us;
    double loss, doubling;
    bool is_cut[NET_HOSTS_MAX][NET_HOSTS_MAX]; /* from, to */
    uint64_t (*choose_drop)(struct raft_net *net, unsigned from, unsigned to, const struct message *message); /* 1: lost */
    void (*before)(struct raft_net *net), (*after)(struct raft_net *net); /* around events and outputs of servers; NULL: nothing */
    struct raft_options options;               /* of servers that start */
    uint32_t defects;                          /* switches of servers that start */
    bool judges_words;                         /* what is said is compared with the disk; without, only what follows from it counts */
    uint64_t snapshot_every;                   /* entries; 0: never */
    uint64_t snapshot_size;
    bool refuse_next_snapshot;

    unsigned leader_of_term[NET_TERM_MAX]; /* host + 1 */
    uint8_t (*committed_chain)[RAFT_CHAIN_SIZE]; /* by index; all zero: not yet */
    uint64_t committed, committed_in; /* the index; the term of whoever said so first */
    uint64_t messages[16]; /* sent, by type */
    uint64_t bytes_sent;
    unsigned breaches;
    const char *breach;
};

void net_init(struct raft_net *net, uint64_t seed, unsigned host_count);
void net_free(struct raft_net *net);

/* The first `voters` hosts vote, the next `learners` learn. */
struct raft_config net_config(const struct raft_net *net, unsigned voters, unsigned learners);
void net_start(struct raft_net *net, unsigned host);
void net_start_all(struct raft_net *net, unsigned voters, unsigned learners); /* and founds */
void net_crash(struct raft_net *net, unsigned host, bool lose_all); /* what is on its way to the disk: lost from some point on, or wholly */
void net_drain(struct raft_net *net, unsigned host);                /* takes the outputs after a call of the test's own */
void net_disk_wipe(struct raft_net *net, unsigned host);
void net_damage(struct raft_net *net, unsigned host, uint64_t first); /* of a host that is down: from there on unreadable */

void net_run(struct raft_net *net, uint64_t for_us);
bool net_step(struct raft_net *net, uint64_t until_us); /* one event; false: none until then */
typedef bool net_condition(struct raft_net *net, void *context);
bool net_until(struct raft_net *net, uint64_t for_us, net_condition *condition, void *context);

int net_leader(const struct raft_net *net); /* the one of the newest term that is ready; -1: none */
bool net_has_leader(struct raft_net *net, void *unused);
bool net_all_equal(struct raft_net *net, void *unused); /* every host that is up has applied the same, and all that is logged */
int net_propose(struct raft_net *net, const char *text, uint64_t *ret_index); /* at the leader */
/* MESH_EBUSY: that context has no answer yet. */
int net_read(struct raft_net *net, unsigned host, uint64_t context);
void net_isolate(struct raft_net *net, unsigned host, bool is_cut);
struct raft_status net_status(const struct raft_net *net, unsigned host);

void net_chain(const uint8_t previous[RAFT_CHAIN_SIZE], const struct raft_entry *entry, uint8_t ret_chain[RAFT_CHAIN_SIZE]);

#endif
