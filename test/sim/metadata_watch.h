/* sim/metadata_watch.h - the omniscient observer of the metadata: what is on every disk, what is published and what is said sideways
 * (PROTOCOLS 3.4).
 *
 * S4: who leads holds all that was committed before its term; one leader for each term. S7: one leader for each (partition, epoch), epochs
 * only rise. Node ids belong to one broker for ever. S12: equal chains, and equal images, at equal indices, everywhere; nobody goes back
 * within a life. S13: one cluster id. S14: what is published, sent sideways or noted as committed is durable at a majority of the voters.
 * S17: no topic's data go while the topic is there. A node stops only over a disk that fails or is damaged. */
#ifndef SIM_METADATA_WATCH_H
#define SIM_METADATA_WATCH_H

#include "sim/metadata_clients.h"
#include "sim/metadata_program.h"

struct metadata_watch;
struct metadata_watch *metadata_watch_new(void);
void metadata_watch_free(struct metadata_watch *watch); /* accepts NULL */
void metadata_watch_reset(struct metadata_watch *watch, struct sim *sim, const struct metadata_config *config, struct metadata_clients *clients);

void metadata_watch_event(void *watch, struct sim_host *host); /* a sim_observe_fn */

/* Each as the hook of its name. */
void metadata_watch_started(struct metadata_watch *watch, struct metadata_process *process, const struct raft_recovered *recovered);
void metadata_watch_output(struct metadata_watch *watch, struct metadata_process *process, const struct node_output *output);
void metadata_watch_doing(struct metadata_watch *watch, struct metadata_process *process, const struct consensus_job *job, bool is_done);
void metadata_watch_removing(struct metadata_watch *watch, struct metadata_process *process, const struct uuid *topic_id, const char *name);

/* Faults took from this disk what had been durable. */
void metadata_watch_damaged(struct metadata_watch *watch, const struct raft_server *server);
bool metadata_watch_is_damaged(struct metadata_watch *watch, const struct raft_server *server);

uint64_t metadata_watch_committed(const struct metadata_watch *watch); /* index published by anybody */
const struct image *metadata_watch_image(const struct metadata_watch *watch); /* the newest published; NULL: none */
uint64_t metadata_watch_leaders(const struct metadata_watch *watch);   /* how many terms had one */

/* Calls each() for every configuration that may still count: the newest that is published, and all that were proposed after it. Stops when
 * it says false, and returns that. */
bool metadata_watch_each_config(struct metadata_watch *watch, bool (*each)(void *user, const struct raft_config *config), void *user);

#endif
