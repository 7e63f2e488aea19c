/* gossip/gossip.h - who is in the mesh, who looks alive, and what each says of itself: SWIM with Lifeguard,
 * epidemic dissemination, and per-origin soft state (PROTOCOLS sections 1 and 2.4).
 *
 * Sans-I/O: events and the time go in, outputs come out. No call blocks, reads a clock, opens a socket or keeps
 * a global; the simulator and the broker run the same code. One gossip belongs to one thread.
 *
 *     gossip_receive_packet() / gossip_link_*() / gossip_tick() / gossip_leave() ...     an event, with the time
 *     while (gossip_next_output(gossip, now_us, &output)) ...                            what is to be done
 *     gossip_due_us()                                                                    when to tick next
 *
 * Outputs are made when they are asked for; after every event they must all be taken before the next.
 *
 * What gossip says is evidence, never a decision: leadership and membership of quorums belong to the coordinator.
 *
 * Security is the caller's: packets and messages are sealed outside, and `from` is who the seal names. Within the
 * mesh, what a broker says of *itself* (alive, left) is signed with its identity, and its id is derived from that
 * identity, so that nobody can move, revive or retire another; of others it can say no more than "I suspect it".
 *
 * Bytes of packets and messages: PROTOCOL.md. Time: monotonic microseconds; any origin, never backwards. */
#ifndef GOSSIP_GOSSIP_H
#define GOSSIP_GOSSIP_H

#include "base/net_address.h"
#include "base/slice.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GOSSIP_NAME_MAX       63   /* bytes of a broker's or a zone's name */
#define GOSSIP_HOST_MAX       255  /* bytes of the host that clients are told (a DNS name or an address) */
#define GOSSIP_PUBLIC_KEY     32   /* Ed25519 */
#define GOSSIP_SIGNATURE      64   /* Ed25519 */
#define GOSSIP_PACKET_MAX     1174 /* bytes of a packet's plain text: 1,232 less the seal (crypto/sealed_packet.h) */
#define GOSSIP_MESSAGE_MAX    (16u << 20) /* bytes of one message over a link */
#define GOSSIP_MEMBERS_MAX    4096 /* in the table, the dead included; more are refused and counted */
#define GOSSIP_SOFT_KEY_MAX   64   /* bytes */
#define GOSSIP_SOFT_VALUE_MAX 512  /* bytes */
#define GOSSIP_SOFT_KEYS_MAX  1024 /* per origin, tombstones included */

struct gossip;

/* In the order in which they win at equal incarnation (PROTOCOLS 1.1). */
enum gossip_state { GOSSIP_ALIVE, GOSSIP_SUSPECT, GOSSIP_DEAD, GOSSIP_LEFT };

/* What a broker says of itself and signs. */
struct gossip_self {
    struct uuid id;       /* the broker, for ever */
    struct uuid dir_id;   /* its disk */
    uint64_t incarnation; /* boot counter << 32 | refutations of this boot */
    struct net_address address;                 /* of gossip and peer links */
    uint16_t client_port;                       /* of the doors for clients */
    char name[GOSSIP_NAME_MAX + 1], zone[GOSSIP_NAME_MAX + 1];
    char host[GOSSIP_HOST_MAX + 1];             /* what clients are told to dial; "": the address */
    uint8_t public_key[GOSSIP_PUBLIC_KEY];
};

struct gossip_member {
    struct gossip_self self;
    enum gossip_state state;
    uint64_t changed_us; /* when the state became what it is, here */
    uint64_t heard_us;   /* when it last answered us directly; 0: never */
    uint32_t rtt_us;     /* smoothed; 0: not measured yet */
    bool is_self, is_linked, is_registered;
    bool is_udp_blocked; /* answers over its link, never to packets */
    /* Its frontier of the committed metadata log as last heard (PROTOCOLS 2.2). */
    struct gossip_frontier { uint64_t term, index, chain; } frontier;
};

/* Signing and checking, so that this folder needs no cryptography. verify() also says whether `id` is the one that
 * belongs to the key. The message is what gossip_self (or a leave) looks like as bytes. */
struct gossip_signer {
    void *user;
    void (*sign)(void *user, struct slice message, uint8_t ret_signature[GOSSIP_SIGNATURE]);
    bool (*verify)(void *user, const struct uuid *id, const uint8_t public_key[GOSSIP_PUBLIC_KEY], struct slice message,
                   const uint8_t signature[GOSSIP_SIGNATURE]);
};

/* PROTOCOLS 1.3; gossip_options_init() fills in "ours". */
struct gossip_options {
    struct gossip_self self;   /* incarnation: boot counter << 32; the boot counter is durable already */
    struct gossip_signer signer;
    uint64_t seed;             /* of every random choice */
    uint32_t probe_interval_us, probe_timeout_min_us;
    uint32_t gossip_interval_us, digest_interval_us;
    uint8_t indirect_probes, fan_out, suspicion_mult, suspicion_max_mult, retransmit_mult, health_max, direct_members_max;
    uint32_t leave_delay_us;        /* between the last word of a leave and its end */
    uint32_t reconnect_max_us;      /* the longest wait between two dials of one peer or seed */
    uint64_t tombstone_us;          /* the dead and the left are kept at least so long */
    bool advertises_observed;       /* take the address that peers see, with our own port, for ours */
};
void gossip_options_init(struct gossip_options *options);

/* Errors: MESH_ENOMEM, MESH_EINVAL (an id, name or address that cannot be). */
int gossip_new(const struct gossip_options *options, uint64_t now_us, struct gossip **ret_gossip);
void gossip_free(struct gossip *gossip); /* accepts NULL */

/* ---- events ---- */

/* Where to look for others. Replaces the earlier seeds (names resolve to other addresses over time); dialled, some at
 * a time, with backoff, until each is a known member or the mesh's other members are linked, and again whenever this broker
 * stands alone. */
int gossip_set_seeds(struct gossip *gossip, uint64_t now_us, const struct net_address *seeds, size_t count);

/* A packet that was sealed by `from` in its boot `boot`. Whatever is malformed is dropped as a whole and counted. */
void gossip_receive_packet(struct gossip *gossip, uint64_t now_us, const struct uuid *from, uint32_t boot,
                           const struct net_address *source, struct slice packet);

/* A link (an authenticated, ordered, secret stream of messages) to a peer came up, in either direction. At most one
 * per peer counts: the caller has settled which. `address` is the peer's end. */
void gossip_link_up(struct gossip *gossip, uint64_t now_us, const struct uuid *peer, uint32_t boot,
                    const struct net_address *address);
void gossip_receive_message(struct gossip *gossip, uint64_t now_us, const struct uuid *peer, struct slice message);

enum gossip_link_end {
    GOSSIP_LINK_CLOSED,  /* in good order, or we closed it */
    GOSSIP_LINK_RESET,   /* the peer's end vanished: its process may be dead. We dial again at once */
    GOSSIP_LINK_TIMEOUT, /* silence */
};
void gossip_link_down(struct gossip *gossip, uint64_t now_us, const struct uuid *peer, enum gossip_link_end how);

enum gossip_dial_failure {
    GOSSIP_DIAL_REFUSED,     /* the machine answers, nobody listens: with a link just reset, a dead process */
    GOSSIP_DIAL_UNREACHABLE, /* no route, no answer in time */
    GOSSIP_DIAL_REJECTED,    /* somebody else answered: another mesh, another key, no mesh, an unexpected broker */
};
void gossip_dial_failed(struct gossip *gossip, uint64_t now_us, const struct net_address *address, const struct uuid *peer,
                        enum gossip_dial_failure how);

/* Time passes. Hand in what has been received before a tick: an answer that waits in a socket is an answer. Late ticks
 * are noticed: after a gap of more than half a probe interval nobody is accused for what was outstanding
 * (PROTOCOLS 1.5, 4). */
void gossip_tick(struct gossip *gossip, uint64_t now_us);
uint64_t gossip_due_us(const struct gossip *gossip);

/* Begins to leave. GOSSIP_OUTPUT_LEFT comes when everyone was told, or could not be. */
void gossip_leave(struct gossip *gossip, uint64_t now_us);

/* What this broker says of itself changes (its address, its host, ...): a new incarnation. */
int gossip_update_self(struct gossip *gossip, uint64_t now_us, const struct gossip_self *self);

/* The answer to GOSSIP_OUTPUT_BOOT_BEHIND. The disk was set back to an older copy, or copied to a second machine: the mesh
 * knows more of this identity than its own disk does, and refuses its packets as old ones. The caller makes a boot above
 * `boot` durable, seals with it from now on, and says so here: this broker begins it with what it says of itself now. Until
 * then it is told again, at most once a second. Links have no such rule, so the news gets through. */
void gossip_set_boot(struct gossip *gossip, uint64_t now_us, uint32_t boot);

/* The broker's own frontier; rides on every ping and answer. */
void gossip_set_frontier(struct gossip *gossip, const struct gossip_frontier *frontier);

/* The coordinator has (de)registered a broker; one that is not known yet is registered again when it comes (a MEMBER
 * output with is_new). The registered are dialled for ever and never forgotten. */
void gossip_set_registered(struct gossip *gossip, const struct uuid *id, bool is_registered);

/* The caller needs a link to this member (raft, a feed, requests that are forwarded): dialled now, again whenever it is lost, and with
 * backoff for as long as it fails, also while the member is held dead. Nothing for a member that is not known: it may be asked for again when it
 * comes (a MEMBER output with is_new), and is to be then. */
void gossip_set_needed(struct gossip *gossip, uint64_t now_us, const struct uuid *id, bool is_needed);

/* The link to this peer carried something for others than gossip: it is not idle, whoever dialled it. */
void gossip_link_used(struct gossip *gossip, const struct uuid *peer);

/* ---- soft state: one writer per origin, everyone reads ---- */

/* Sets this broker's value; an empty one is as good as any. Errors: MESH_EINVAL (too long), MESH_ELIMIT-like
 * MESH_ETOOLARGE (too many keys), MESH_ENOMEM. No change of bytes: nothing happens. */
int gossip_soft_set(struct gossip *gossip, uint64_t now_us, struct slice key, struct slice value);
void gossip_soft_delete(struct gossip *gossip, uint64_t now_us, struct slice key);

/* False: not there. The bytes are valid until the next event. */
bool gossip_soft_get(const struct gossip *gossip, const struct uuid *origin, struct slice key, struct slice *ret_value);
typedef void gossip_soft_fn(void *user, struct slice key, struct slice value, uint64_t version);
void gossip_soft_each(const struct gossip *gossip, const struct uuid *origin, gossip_soft_fn *each, void *user);

/* Soft values come from anybody and are unsigned: a member that relays can lie about another's until that sets them anew.
 * For what matters more than a hint: asks `origin` itself for all of it, over the link to it, where it has proven who it
 * is; the answer, as old as it is, replaces whatever was believed. False: there is no such link (gossip_set_needed() makes one). */
bool gossip_soft_confirm(struct gossip *gossip, uint64_t now_us, const struct uuid *origin);

/* What is held of `origin` up to this version was said by itself, over its link; 0: nothing was. */
uint64_t gossip_soft_confirmed(const struct gossip *gossip, const struct uuid *origin);

/* ---- outputs ---- */

enum gossip_output_type {
    GOSSIP_OUTPUT_PACKET,  /* seal `bytes` and send them to `address` by UDP */
    GOSSIP_OUTPUT_MESSAGE, /* send `bytes` over the link to `peer`; without a link, they are lost */
    GOSSIP_OUTPUT_DIAL,    /* make a link to `address`; `peer` must answer there (zero: anybody of this mesh) */
    GOSSIP_OUTPUT_HANG_UP, /* close the link to `peer`, unless others need it; here it counts as down already */
    /* `member` is new or its state, incarnation or self changed; `was` is the state before. For this broker itself, with
     * a higher boot (incarnation >> 32) than it has: others remember a later life of it (its disk was set back). The
     * caller makes its boot counter that high, durably, and seals with it: packets of the lower boot are dropped. */
    GOSSIP_OUTPUT_MEMBER,
    GOSSIP_OUTPUT_FORGOT,  /* `peer` has left the table */
    GOSSIP_OUTPUT_SOFT,    /* `peer`'s soft `key` changed; look it up */
    GOSSIP_OUTPUT_FRONTIER, /* `peer` has more of the committed log than this broker */
    GOSSIP_OUTPUT_ADDRESS, /* our own address is now `address`, as peers see it */
    GOSSIP_OUTPUT_LEFT,    /* the leave is over */
    GOSSIP_OUTPUT_GONE,    /* this broker saw itself that `peer`'s process has ended: its link was reset, and nobody listens where it was */
    GOSSIP_OUTPUT_TWIN,    /* two processes sign as `peer`, which may be this broker: one says that it is at `address` */
    GOSSIP_OUTPUT_BOOT_BEHIND, /* another process has used this broker's boot `boot` or a later one: see gossip_set_boot() */
};

struct gossip_output {
    enum gossip_output_type type;
    struct uuid peer;
    struct net_address address;
    struct slice bytes, key; /* valid until the next call */
    const struct gossip_member *member; /* valid until the next event */
    enum gossip_state was;
    uint32_t boot; /* BOOT_BEHIND: the highest known to the mesh */
    bool is_new; /* MEMBER: it was not in the table */
};

bool gossip_next_output(struct gossip *gossip, uint64_t now_us, struct gossip_output *ret_output);

/* ---- looking ---- */

size_t gossip_member_count(const struct gossip *gossip); /* self included, the dead and the left too */
const struct gossip_member *gossip_member_at(const struct gossip *gossip, size_t index); /* in no order */
const struct gossip_member *gossip_find(const struct gossip *gossip, const struct uuid *id); /* or NULL */

/* Equal for two brokers that see the same members in the same incarnation and state, and the same soft state. */
uint64_t gossip_members_hash(const struct gossip *gossip);
uint64_t gossip_soft_hash(const struct gossip *gossip);

struct gossip_stats {
    uint64_t packets_in, packets_out, bytes_in, bytes_out, messages_in, messages_out;
    uint64_t malformed, wrong_target, old_boot, bad_signature, refused_members; /* what was dropped, and why */
    uint64_t probes, probe_timeouts, indirect_probes, indirect_acks, nacks, stalls;
    uint64_t suspicions, refutations, deaths, fast_deaths;
    uint64_t syncs, soft_resets;
    uint64_t outputs_lost; /* more to do at once than fits: as if lost by the network */
    uint32_t alive, suspect, dead, left;
    uint32_t health;       /* Lifeguard's local health: 0 is good */
    uint32_t queued_bytes; /* of updates waiting to be spread */
};
void gossip_get_stats(const struct gossip *gossip, struct gossip_stats *ret_stats);

#endif
