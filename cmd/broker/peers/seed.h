/* peers/seed.h - what stands after `mesh join`: where to look for the mesh, as people write it. Pure. */
#ifndef BROKER_PEERS_SEED_H
#define BROKER_PEERS_SEED_H

#include "base/address.h"

#define SEEDS_MAX 64

enum seed_kind {
    SEED_ADDRESS, /* numeric: nobody needs to be asked */
    SEED_HOST,    /* a name with A and AAAA records, each of which may be a broker */
    SEED_SERVICE, /* a name with SRV records (RFC 2782): it begins with '_' and brings its ports along */
};

struct seed {
    enum seed_kind kind;
    struct address address; /* the port is meaningless for SEED_SERVICE */
};

/* "host", "host:port", "1.2.3.4:9092", "[2001:db8::1]:9092", "_mesh._tcp.example.org"; the port is 9092 unless
 * said. Errors: MESH_EINVAL. */
int seed_parse(const char *text, struct seed *ret_seed);

/* As people would write it; returns `to`. */
char *seed_format(const struct seed *seed, char to[ADDRESS_TEXT_SIZE]);

#endif
