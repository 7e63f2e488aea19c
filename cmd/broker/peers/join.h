/* peers/join.h - before a broker belongs to a mesh: finds one through its seeds and learns which it is.
 *
 * Runs a loop of its own on the calling thread until somebody who holds the same key and belongs to a mesh has proven it,
 * or until every seed has refused for a reason that waiting does not mend. Names that do not resolve yet and seeds that
 * do not answer yet are waited for, for ever. Nothing is written.
 *
 * With a founding (join_founding), brokers that belong to no mesh yet talk to each other meanwhile: the port is listened on, links between
 * such brokers are kept, and the founding may end the wait with a mesh of its own. Whoever proves an existing mesh still ends it first. */
#ifndef BROKER_PEERS_JOIN_H
#define BROKER_PEERS_JOIN_H

#include "cmd/broker/peers/explain.h"
#include "cmd/broker/peers/seeds.h"

/* What keeps us waiting, whenever that changes; both strings are borrowed for the call. */
typedef void join_progress_fn(void *user, const char *what, const char *cure);

struct join;
struct ev_loop;

/* The rules are replication/founding's; here are its links. Every hook runs on the join's loop; the calls below may be made from any. */
struct join_founding {
    void *user;
    /* The loop is about to run: timers may be started on it. They are to be stopped in stop(), which comes before the loop ends. */
    void (*start)(void *user, struct join *join, struct ev_loop *loop);
    void (*stop)(void *user);
    /* A broker without a mesh, which has proven that it holds the cluster key and who it is: the first link to it, and the end of the last. */
    void (*up)(void *user, const struct channel_peer *peer, const struct uuid *dir_id);
    void (*down)(void *user, const struct uuid *peer);
    void (*receive)(void *user, const struct uuid *peer, const struct uuid *dir_id, const struct net_address *source, struct slice message);
    /* What the seeds' names stand for now. May be NULL, as up, down and unreachable. */
    void (*seeds)(void *user, const struct net_address *addresses, size_t count);
    /* Nobody, or nobody of this key, answers at an address that was dialled for the founding. */
    void (*unreachable)(void *user, const struct net_address *address);
    /* After each round: every seed's name is known, and all of their addresses lead to this broker itself. May be NULL. */
    void (*looked)(void *user, bool is_alone);
};

/* To the broker `to`, or (zero) to whoever is at `address`. Where there is no link yet, one is dialled and the message is lost: who needs an
 * answer asks again. */
void join_send_to(struct join *join, const struct net_address *address, const struct uuid *to, struct slice message);

/* Queues a copy. Errors: MESH_ECLOSED (no link), MESH_ETOOLARGE, MESH_ENOMEM, MESH_EFULL. */
int join_send(struct join *join, const struct uuid *to, struct slice message);

/* The founding is over: join_find_cluster() returns this mesh, or the error. */
void join_end(struct join *join, int error, const struct uuid *cluster_id);

struct join_options {
    const struct seed *seeds;
    size_t seed_count;
    const char *name_servers;     /* NULL: the system's */
    struct net_address source;    /* see link.h */
    const struct keyring *keyring;
    const char *key_path;
    const struct identity_key *identity;
    uint32_t boot;
    const struct join_founding *founding; /* NULL: a mesh is looked for, and nothing else */
    struct uuid dir_id;                   /* of this broker, for the founding */
    int listen_fd;                        /* bound; left listening: probes are answered, and brokers let in if there is a founding */
    join_progress_fn *progress;
    void *user;
};

/* Errors: MESH_EUNAUTHORIZED (every seed has refused for good: *ret_explanation is one of their reasons), MESH_ENOMEM. */
int join_find_cluster(const struct join_options *options, struct uuid *ret_cluster_id, struct explanation *ret_explanation);

#endif
