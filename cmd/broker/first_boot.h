/* broker/first_boot.h - the driver of replication/founding: a broker whose directory belongs to no mesh founds one by itself, founds one
 * together with others, or finds the one that is there.
 *
 * Blocks, with a loop of its own, until that is settled; which may take days. What is settled is durable in DIR/founding, and in the second
 * place where there is one, before it returns. */
#ifndef BROKER_FIRST_BOOT_H
#define BROKER_FIRST_BOOT_H

#include "cmd/broker/metadata/identity.h"
#include "cmd/broker/peers/join.h"
#include "replication/founding/founding.h"

struct first_boot_options {
    struct fs *fs; /* the data directory */
    const struct identity *identity;
    struct net_address address; /* where other brokers reach this one; an ip of zeros: as they see it */
    uint32_t expect;            /* brokers that found together; 0: this one waits for a mesh; ignored without seeds */
    const char *marker_path;    /* --founded-marker; NULL: none */
    struct join_options join;   /* seeds (none: it founds a mesh of its own), keys, progress; founding and dir_id are filled in here */
};

/* *ret_value: the mesh, and its first voters where they are known. Errors, logged: MESH_EUNAUTHORIZED (no seed lets it join), MESH_ECORRUPT (what
 * DIR/founding or the marker says cannot be), MESH_EEXISTS (the marker says that there is a mesh already), MESH_EIO, MESH_EFULL, MESH_ENOTFOUND (the
 * marker's directory), MESH_EWRONG_MESH (DIR/founding or the marker names another mesh than the seeds'), MESH_ENOMEM, MESH_EINVAL. */
int first_boot(const struct first_boot_options *options, struct founding_value *ret_value);

/* For a broker that belongs to a mesh: the first voters of that mesh, if this is one of them, since a start that died may not have begun its log;
 * and the marker in the second place, made where it is missing. Errors, logged: as above, and MESH_EWRONG_MESH (the marker names another). */
int first_boot_recall(const struct first_boot_options *options, struct founding_value *ret_value);

#endif
