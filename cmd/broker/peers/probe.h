/* peers/probe.h - whether brokers of this key are where a seed leads to: its name is looked up and each address is dialled once, up to the end of the
 * handshake. Nothing is joined, and nothing is told but what a handshake tells.
 *
 * Runs a loop of its own on the calling thread, until every address has answered or its link's time is over. */
#ifndef BROKER_PEERS_PROBE_H
#define BROKER_PEERS_PROBE_H

#include "cmd/broker/peers/explain.h"
#include "cmd/broker/peers/seed.h"

#define PROBE_ADDRESSES_MAX 16 /* of a seed that are dialled */

enum probe_state {
    PROBE_MEMBER,  /* a broker of a mesh, which holds the key */
    PROBE_WAITING, /* a broker that holds the key and belongs to no mesh yet */
    PROBE_SILENT,  /* nobody listens or answers, maybe not yet */
    PROBE_REFUSED, /* somebody who is none of these: see the explanation */
    PROBE_NO_NAME, /* the seed's name leads nowhere, `address` is NULL */
};

struct probe_finding {
    enum probe_state state;
    const struct net_address *address;
    struct explanation explanation;      /* of SILENT, REFUSED and NO_NAME */
    enum channel_failure failure;        /* of REFUSED, or CHANNEL_FAILURE_NONE */
    struct uuid cluster_id;              /* of MEMBER */
    int64_t clock_ms, clock_uncertain_ms; /* of MEMBER and WAITING: their clock less ours, and by how much that may be wrong */
};

typedef void probe_fn(void *user, const struct probe_finding *finding);

struct probe_options {
    const struct seed *seed;
    const char *name_servers; /* NULL: the system's */
    const struct keyring *keyring;
    const char *key_path;
    probe_fn *found; /* once for each address, or for the name */
    void *user;
};

/* Errors: MESH_ENOMEM. */
int probe_run(const struct probe_options *options);

#endif
