/* sim/gossip_identity.h - who a simulated broker is: a number on its disk stands for its key pair, a keyed sum for its
 * signature; and the boot counter beside it. */
#ifndef SIM_GOSSIP_IDENTITY_H
#define SIM_GOSSIP_IDENTITY_H

#include "gossip/gossip.h"
#include "sim/sim.h"

struct gossip_identity {
    uint8_t public_key[GOSSIP_PUBLIC_KEY];
    struct uuid id;
    uint32_t boot;
    uint64_t number; /* what stands on the disk */
};

/* Reads the disk, raises the boot counter and makes that durable; a fresh disk gets a fresh identity. False: the disk
 * failed (the process is dying). */
bool gossip_identity_load(struct sim_host *host, struct gossip_identity *ret_identity);

/* Makes a boot above `boot` durable and takes it. False: the disk failed. */
bool gossip_identity_raise_boot(struct sim_host *host, struct gossip_identity *identity, uint32_t boot);

extern const struct gossip_signer gossip_identity_signer; /* its user: a struct gossip_identity */

#endif
