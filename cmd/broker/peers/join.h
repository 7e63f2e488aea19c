/* peers/join.h - before a broker belongs to a mesh: finds one through its seeds and learns which it is.
 *
 * Runs a loop of its own on the calling thread until somebody who holds the same key and belongs to a mesh has proven it,
 * or until every seed has refused for a reason that waiting does not mend. Names that do not resolve yet and seeds that
 * do not answer yet are waited for, for ever. Nothing is written. */
#ifndef BROKER_PEERS_JOIN_H
#define BROKER_PEERS_JOIN_H

#include "cmd/broker/peers/explain.h"
#include "cmd/broker/peers/seeds.h"

/* What keeps us waiting, whenever that changes; both strings are borrowed for the call. */
typedef void join_progress_fn(void *user, const char *what, const char *cure);

struct join_options {
    const struct seed *seeds;
    size_t seed_count;
    const char *name_servers;     /* NULL: the system's */
    struct net_address source;    /* see link.h */
    const struct keyring *keyring;
    const char *key_path;
    const struct identity_key *identity;
    uint32_t boot;
    join_progress_fn *progress;
    void *user;
};

/* Errors: MESH_EUNAUTHORIZED (every seed has refused for good: *ret_explanation is one of their reasons), MESH_ENOMEM. */
int join_find_cluster(const struct join_options *options, struct uuid *ret_cluster_id, struct explanation *ret_explanation);

#endif
