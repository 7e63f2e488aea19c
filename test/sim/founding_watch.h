/* sim/founding_watch.h - what may never be, whatever happens at a first boot; and which disks may be lost without making it a boot
 * that nobody could tell from a first one (replication/founding/README.md, "What remains").
 *
 * S13 one mesh: every MEMBER there ever is belongs to the same one and knows the same first voters; nobody leaves it. A promise, an
 * acceptance, and what is known of others are never taken back, restarts included, as long as the disk lives. One ballot has one value. Who only joins is never the origin
 * of a mesh. The first voters are V(n) of those that took part. */
#ifndef SIM_FOUNDING_WATCH_H
#define SIM_FOUNDING_WATCH_H

#include "sim/founding_program.h"

#define FOUNDING_HOSTS_MAX 16

struct founding_watch {
    struct sim *sim;
    uint32_t expect; /* of the founders */
    bool takes_part[FOUNDING_HOSTS_MAX]; /* started with --expect */
    bool keeps_markers;
    bool are_moving; /* brokers come back at other addresses */
    struct founding_seen {
        bool has_started;
        struct raft_server server;    /* of its disk now */
        struct founding_state state;  /* as it last stood on the disk for sure */
        unsigned wipes;
        bool is_done;
        bool was_set_back, begins_anew; /* its directory; and is to be read as it is now */
    } seen[FOUNDING_HOSTS_MAX];
    struct founding_value mesh; /* the one there is; zero: none yet */
    uint64_t founded_us;        /* when the first knew */
    struct { struct founding_ballot ballot; struct founding_value value; } proposals[64]; /* that were accepted somewhere */
    size_t proposal_count;
    unsigned wipes; /* of disks that took part */
    bool do_all_know_all; /* founding_watch_wipe() */
    bool has_restored;    /* some disk was set back */
};

void founding_watch_reset(struct founding_watch *watch, struct sim *sim);
void founding_watch_started(void *watch, struct sim_host *host, struct founding_process *process);
void founding_watch_event(void *watch, struct sim_host *host); /* an observer */
/* Carried out just now; what was told counts even when the process died of it. */
void founding_watch_output(void *watch, struct sim_host *host, struct founding_process *process, const struct founding_output *output);

/* The disk of `host` remembers the disk that `other` has now. */
bool founding_watch_knows(const struct founding_watch *watch, uint32_t host, uint32_t other);

/* Whether the disk of this host may be wiped now. If so, it counts as wiped: do it. */
bool founding_watch_wipe(struct founding_watch *watch, uint32_t host, const struct uuid *marker);

/* Whether the disk of this host may be set back to a state with these stamps: so many others remember, on their disks, that it said more since
 * that no majority is without one of them. If so, it counts as set back: do it. */
bool founding_watch_restore(struct founding_watch *watch, uint32_t host, const struct founding_stamps *backup);

#endif
