/* sim/gossip_identity.h - who a simulated broker is: a number on its disk, and the boot counter beside it. The number is
 * the seed of an Ed25519 key pair (crypto/identity_key.h), or stands for one, with a keyed sum for its signatures. */
#ifndef SIM_GOSSIP_IDENTITY_H
#define SIM_GOSSIP_IDENTITY_H

#include "crypto/identity_key.h"
#include "gossip/gossip.h"
#include "sim/sim.h"

struct gossip_identity {
    uint8_t public_key[GOSSIP_PUBLIC_KEY];
    struct uuid id;
    uint32_t boot;
    uint64_t number; /* what stands on the disk */
    uint32_t host;   /* whose disk it was at first: this one's, or that of which it is a copy */
    bool is_real;
    struct identity_key key; /* if is_real */
};

/* Reads the disk, raises the boot counter and makes that durable; a fresh disk gets a fresh identity. False: the disk
 * failed (the process is dying). */
bool gossip_identity_load(struct sim_host *host, bool is_real, struct gossip_identity *ret_identity);

/* Makes a boot above `boot` durable and takes it. False: the disk failed. */
bool gossip_identity_raise_boot(struct sim_host *host, struct gossip_identity *identity, uint32_t boot);

extern const struct gossip_signer gossip_identity_signer; /* its user: a struct gossip_identity */

#endif
