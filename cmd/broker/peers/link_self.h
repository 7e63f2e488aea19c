/* peers/link_self.h - what each end of a link says of itself first, beyond what the handshake proves: on which disk it is.
 *
 *   disk's id, 16 bytes; abilities u32 (little endian); the listener's newest boot that the speaker is linked with, u32, or 0; what follows
 *   is for later versions
 *
 * Consensus counts disks, not brokers (replication/consensus/entry.h), so nothing else is said to a peer before this. */
#ifndef BROKER_PEERS_LINK_SELF_H
#define BROKER_PEERS_LINK_SELF_H

#include "base/slice.h"
#include "base/uuid.h"

#define LINK_SELF_SIZE (UUID_SIZE + 8)

struct link_self {
    struct uuid dir_id;
    uint32_t abilities; /* a bit per addition to the protocol that both ends must know; none yet */
    uint32_t your_boot; /* another process with the listener's identity is linked, in this later boot, and stays so; 0: none */
};

void link_self_encode(const struct link_self *self, uint8_t to[LINK_SELF_SIZE]);

/* Errors: MESH_EPROTO (too short). */
int link_self_decode(struct slice bytes, struct link_self *ret_self);

#endif
