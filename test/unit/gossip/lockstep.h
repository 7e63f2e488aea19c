/* unit/gossip/lockstep.h - a small mesh in memory for the tests of the core: N gossips, virtual time, one network
 * that delays and loses packets as told. Not the simulator: no clocks that drift, no disks, few faults. */
#ifndef UNIT_GOSSIP_LOCKSTEP_H
#define UNIT_GOSSIP_LOCKSTEP_H

#include "base/random.h"
#include "gossip/gossip.h"
#include "gossip/switches.h"

#define LOCKSTEP_MAX 320

struct lockstep_event;

struct lockstep {
    uint64_t now_us;
    struct random random;
    size_t count;
    double loss;             /* of packets */
    uint64_t delay_us;       /* each way, up to as much again */
    struct lockstep_broker {
        struct gossip *gossip; /* NULL: not running */
        struct gossip_options options;
        uint32_t boot;
        bool is_paused, is_cut, is_udp_cut; /* cut: no packet or link passes; udp_cut: packets alone do not */
        bool has_left, closes_port;
        uint64_t due_us;
        uint64_t links[LOCKSTEP_MAX / 64]; /* to whom */
        uint64_t bytes_out, packets_out, messages_out;
        unsigned deaths_seen; /* MEMBER outputs that said dead */
    } brokers[LOCKSTEP_MAX];
    struct lockstep_event **heap, *spare; /* spare: for events to come */
    size_t event_count, event_capacity;
    uint64_t order;
    uint64_t defects;
    void (*on_output)(struct lockstep *net, size_t who, const struct gossip_output *output); /* may be NULL */
};

void lockstep_init(struct lockstep *net, uint64_t seed, size_t count); /* nobody runs yet */
void lockstep_free(struct lockstep *net);

/* Room for so many small events under way, so that the network itself takes no memory while allocations fail. */
void lockstep_reserve(struct lockstep *net, size_t events);

/* Starts broker `who` (again: a new boot), with broker `seed` for a seed; who == seed: none. */
void lockstep_start(struct lockstep *net, size_t who, size_t seed);
void lockstep_start_all(struct lockstep *net); /* with broker 0 as seed; the change goes on by lockstep_run() */

/* The process dies: its links are reset and, from now on, dials are refused. */
void lockstep_kill(struct lockstep *net, size_t who);
/* The machine dies: silence. */
void lockstep_vanish(struct lockstep *net, size_t who);

void lockstep_run(struct lockstep *net, uint64_t duration_us);
/* Until true or for so long; whether it became true. */
bool lockstep_until(struct lockstep *net, uint64_t longest_us, bool (*is_so)(struct lockstep *net, void *user), void *user);

struct uuid lockstep_id(size_t who);
struct net_address lockstep_address(size_t who);
enum gossip_state lockstep_state(struct lockstep *net, size_t who, size_t of); /* asserts that it is known */
bool lockstep_knows(struct lockstep *net, size_t who, size_t of);
bool lockstep_all_agree(struct lockstep *net, void *unused); /* those that run see each other alive, and equal hashes */
void lockstep_drain(struct lockstep *net, size_t who); /* takes the outputs after an event of the test's own */

/* The signatures of the tests: anybody could make them, which a test of forgery does on purpose. */
struct gossip_signer lockstep_signer(const struct uuid *id);
void lockstep_public_key(const struct uuid *id, uint8_t ret_key[GOSSIP_PUBLIC_KEY]);

#endif
