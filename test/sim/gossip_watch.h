/* sim/gossip_watch.h - the observer of gossip's safety: what no broker may ever believe. Looks at one broker after each of
 * its events, and at its table only when its hash has changed.
 *
 * S14 what is believed of a broker was once said by it: incarnations, frontiers, soft values; soft values do not go back.
 * S15 the table is monotone in (incarnation, rank); only the dead and the left are forgotten; a left boot stays left.
 * S18 bounds: packets, messages, queues, tables. (PROTOCOLS 5.1) */
#ifndef SIM_GOSSIP_WATCH_H
#define SIM_GOSSIP_WATCH_H

#include "sim/gossip_program.h"

#define WATCH_KEYS       8  /* soft keys that the workload uses */
#define WATCH_KEYS_CHURN 80 /* and those that are set and deleted in one go: more than an origin keeps tombstones */

struct gossip_watch;
struct gossip_watch *gossip_watch_new(void);
void gossip_watch_free(struct gossip_watch *watch);
void gossip_watch_reset(struct gossip_watch *watch, struct sim *sim);

void gossip_watch_event(void *watch, struct sim_host *host); /* a sim_observe_fn */
void gossip_watch_output(void *watch, struct sim_host *host, const struct gossip_output *output);

/* A process that dies in the midst of an event has said what it said. */
void gossip_watch_stopping(void *watch, struct sim_host *host, struct gossip_process *process);

/* What the workload makes a broker say of itself; remembered as the truth. */
void gossip_watch_set_soft(struct gossip_watch *watch, struct sim_host *host, unsigned key);
void gossip_watch_delete_soft(struct gossip_watch *watch, struct sim_host *host, unsigned key);
void gossip_watch_churn_soft(struct gossip_watch *watch, struct sim_host *host);
void gossip_watch_set_frontier(struct gossip_watch *watch, struct sim_host *host);

/* Two processes have this identity: from now on its soft values have two writers, and nobody can say which is right. */
void gossip_watch_note_twin(struct gossip_watch *watch, const struct uuid *id);
uint64_t gossip_watch_twins_told(const struct gossip_watch *watch); /* how often anybody was told of one */

/* Transitions to DEAD, seen by anybody, of a process that runs. */
uint64_t gossip_watch_false_deaths(const struct gossip_watch *watch);
uint64_t gossip_watch_false_deaths_by(const struct gossip_watch *watch, uint32_t host); /* those seen by this host */
uint64_t gossip_watch_false_deaths_about(const struct gossip_watch *watch, uint32_t host);

#endif
