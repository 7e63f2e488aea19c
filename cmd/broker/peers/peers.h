/* peers/peers.h - the driver of gossip: its packets to UDP, its messages to links, its dials to sockets, and back.
 *
 * Belongs to the control loop. From peers_open() on this broker is a member: alive to the others until peers_leave() or
 * peers_close(). */
#ifndef BROKER_PEERS_PEERS_H
#define BROKER_PEERS_PEERS_H

#include "base/arena.h"
#include "base/fs.h"
#include "base/net_address.h"
#include "cmd/broker/peers/seed.h"
#include "crypto/identity_key.h"
#include "crypto/keyring.h"
#include "crypto/sealed_packet.h"
#include "gossip/gossip.h"
#include "wire/message.h"

struct ev_loop;
struct events;
struct peers;

struct peers_options {
    struct ev_loop *loop;
    struct net_address listen;    /* where the port is bound; UDP binds the same one */
    struct net_address advertise; /* none: `listen`, or as peers see us when that is a wildcard */
    uint16_t client_port;
    const char *name, *zone, *host; /* host: what clients are told; "" none */
    struct uuid cluster_id, dir_id;
    uint32_t boot;
    const struct identity_key *identity; /* kept */
    struct keyring *keyring;             /* kept; rotation changes it */
    const char *key_path;                /* kept: where the ring is written down; NULL: nowhere */
    const struct seed *seeds;
    size_t seed_count;
    const char *name_servers; /* NULL: the system's */
    struct events *events; /* kept; NULL: what happens is only logged */
    struct fs *fs; /* kept: of the data directory, where the members' addresses are written down; NULL: nowhere */
    /* Makes `boot` durable as this broker's, because the mesh knows of those below. An error: it is tried again. */
    int (*set_boot)(void *user, uint32_t boot);
    void *user;
};

/* Errors, logged with their cause: MESH_ENOMEM, MESH_EIO. A UDP port that is taken is no error: gossip then runs
 * over links alone, and says so. */
int peers_open(const struct peers_options *options, struct peers **ret_peers);
void peers_close(struct peers *peers); /* accepts NULL. Says goodbye to nobody: peers find the process gone, which it is soon */

/* Goes on in a boot that nobody has heard of, soon, as if the mesh had known of a later one: the disk was set back (set_boot()). */
void peers_begin_boot(struct peers *peers);

/* Takes a connected socket whose first bytes are a link's, and those bytes. */
void peers_adopt(struct peers *peers, int fd, struct slice received);

/* Leaves: done() runs once, when all have been told, after some seconds, or in peers_close(). There is one leave in a
 * broker's life. Errors: MESH_EBUSY (it leaves, or has left, already). */
typedef void peers_left_fn(void *user);
int peers_leave(struct peers *peers, peers_left_fn *done, void *user);
bool peers_is_leaving(const struct peers *peers);

/* Into `arena`, ordered by name and id. Errors: MESH_ENOMEM. */
int peers_describe(const struct peers *peers, struct arena *arena, struct message_members_response *ret_members);

/* "b1, b2, ..." into to[size]: as many of the dead as fit; "" when there are none. */
void peers_dead_names(const struct peers *peers, char *to, size_t size);

/* Another process with this broker's identity, of a later start, has taken its place at some peer within the last minute: nobody listens to
 * this one there. */
bool peers_is_shut_out(const struct peers *peers);

/* How a broker looks to gossip: enum gossip_state, or -1 when gossip knows none. */
int peers_member_state(const struct peers *peers, const struct uuid *broker_id);

/* ---- keys ---- */

/* Begins a rotation: a fresh key is installed with every member, then used by all, then the others are removed; goes on by
 * itself while brokers come and go. Errors: MESH_EBUSY (one is under way), MESH_EFULL (too many keys), MESH_EIO (the new
 * ring cannot be written down). */
int peers_rotate_key(struct peers *peers);
const char *peers_rotation_problem(const struct peers *peers); /* why the ring cannot be written down, for people; "": it can */
int peers_describe_keys(const struct peers *peers, struct arena *arena, struct message_keys_response *ret_keys);

/* ---- numbers, for /metrics ---- */

struct peers_stats {
    struct gossip_stats gossip;
    uint64_t packets_dropped[PACKET_RESULT_COUNT]; /* by enum packet_result; PACKET_OK counts the good ones */
    uint64_t udp_received_bytes, udp_sent_bytes, udp_unsent, udp_oversized;
    uint64_t link_received_bytes, link_sent_bytes; /* of links that have ended, too */
    uint64_t links_rejected;
    uint32_t links; /* up, one per peer */
};
void peers_get_stats(const struct peers *peers, struct peers_stats *ret_stats);

#endif
