/* sim/gossip_program.h - a broker's membership on a simulated host: the thin driver around gossip/gossip.h, as the real
 * one is, over simulated datagrams, streams and disk.
 *
 * Packets and links are protected by lib/crypto as in the product, or by a stand-in that is cheaper (gossip_seal.h,
 * gossip_wire.h): what was damaged or replayed is dropped before the core sees it either way. */
#ifndef SIM_GOSSIP_PROGRAM_H
#define SIM_GOSSIP_PROGRAM_H

#include "gossip/gossip.h"
#include "gossip/switches.h"
#include "sim/sim.h"

#define GOSSIP_SEEDS_OF_WORLD 4

struct gossip_process;
struct gossip_keys;
struct keyring;

/* What a host is told before it starts; belongs to the world. */
struct gossip_config {
    struct gossip_options options; /* what concerns identity and address is filled in at each start */
    uint64_t defects;              /* enum gossip_defect, 1 << each */
    bool takes_replays;            /* no window against replayed packets; of the stand-in */
    struct gossip_keys *keys;      /* lib/crypto below; NULL: the stand-in */
    struct net_address seeds[GOSSIP_SEEDS_OF_WORLD];
    size_t seed_count;
    /* Instead of these seeds, at each start: up to GOSSIP_DNS_MAX addresses (gossip_dns.h). NULL: these. */
    size_t (*look_up)(void *user, struct net_address *to);
    /* What the world wants to know of outputs; may be NULL. */
    void (*output)(void *user, struct sim_host *host, const struct gossip_output *output);
    void (*stopping)(void *user, struct sim_host *host, struct gossip_process *process); /* its last moment; may be NULL */
    void (*heard)(void *user, struct sim_host *host, const struct uuid *from, struct slice bytes); /* by any way; may be NULL */
    void *user;
};

extern const struct sim_program gossip_program; /* its context: a struct gossip_config */

struct gossip *gossip_process_core(struct gossip_process *process);
const struct uuid *gossip_process_id(const struct gossip_process *process);
uint32_t gossip_process_boot(const struct gossip_process *process);
uint64_t gossip_process_dial_count(const struct gossip_process *process);
bool gossip_process_has_left(const struct gossip_process *process);

/* Those that its core was made with, but for the seed. */
struct gossip_options gossip_process_options(struct gossip_process *process);

/* Looks its seeds up again (config.look_up), which the world does now and then. */
void gossip_process_look_up(struct gossip_process *process);

/* The world acted on the core (soft state, frontier, leave): carry out what it wants done. */
void gossip_process_drain(struct gossip_process *process);

/* Its ring of cluster keys (gossip_keys.h), and what follows when that was changed: it says what it holds now, and makes
 * links anew whose handshake was made with a key that is gone. */
struct keyring *gossip_process_ring(struct gossip_process *process);
void gossip_process_changed_ring(struct gossip_process *process);

#endif
