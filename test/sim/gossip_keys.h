/* sim/gossip_keys.h - the secrets of a simulated mesh that runs the real lib/crypto: cluster keys, the ring on each broker's
 * disk, and the operator who replaces the key again and again while everything goes wrong (install, use, remove).
 *
 * Steps are taken when crypto/keyring.h allows them, judged by what one broker has heard of the others through gossip. Orders
 * come to each broker in its own time; each writes its ring down, then says what it holds. Who lost its disk, or was given
 * an old one, gets the ring anew: as an operator would have to.
 *
 * What must hold: whatever is sealed with a key that is not being removed can be opened by every broker that it reaches; and
 * nobody seals with one that is. So no packet and no handshake is lost to a rotation. */
#ifndef SIM_GOSSIP_KEYS_H
#define SIM_GOSSIP_KEYS_H

#include "crypto/keyring.h"
#include "sim/gossip_identity.h"

#define GOSSIP_KEYS_MAX    64     /* cluster keys of one run; then no further rotation begins */
#define GOSSIP_KEYS_SOFT   "keys" /* where a broker says what it holds */

enum gossip_keys_phase { GOSSIP_KEYS_REST, GOSSIP_KEYS_INSTALLING, GOSSIP_KEYS_USING, GOSSIP_KEYS_REMOVING };

struct gossip_keys {
    struct sim *sim;
    struct uuid cluster_id;
    struct cluster_key keys[GOSSIP_KEYS_MAX];
    bool is_gone[GOSSIP_KEYS_MAX]; /* being removed, or removed */
    uint32_t count, now;           /* now: the one that a rotation leads to, or has led to */
    enum gossip_keys_phase phase;
    bool is_hasty;                 /* uses a key without waiting until all hold it: to be caught */
    uint64_t lingering_us, rotations;
    struct random random;
    uint64_t held[SIM_HOSTS_MAX];      /* keys that the host's disk has held, a bit each */
    struct uuid brokers[SIM_HOSTS_MAX]; /* the identity that last ran there */
};

struct gossip_keys *gossip_keys_new(void);
void gossip_keys_free(struct gossip_keys *keys); /* accepts NULL */
void gossip_keys_reset(struct gossip_keys *keys, struct sim *sim);

/* From now on the key is rotated every few seconds; once more when the last rotation is over, until `until_us`. */
void gossip_keys_rotate(struct gossip_keys *keys, uint64_t until_us);

/* The ring on the disk of a process that begins; the caller frees it. NULL: the disk failed. */
struct keyring *gossip_keys_load(struct gossip_keys *keys, struct sim_host *host, const struct uuid *id);

/* A clock that stays positive, whatever jumps. */
uint64_t gossip_keys_wall_ms(const struct sim_host *host);

/* Invariants: what is sealed now, and what could not be opened. */
void gossip_keys_check_use(struct gossip_keys *keys, struct sim_host *host, const struct keyring *ring);
void gossip_keys_unknown(struct gossip_keys *keys, struct sim_host *host, uint32_t key_id);

#endif
