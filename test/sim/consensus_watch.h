/* sim/consensus_watch.h - the omniscient observer of consensus: it sees every log, every disk and every commit, and judges after each
 * event the host that was touched (PROTOCOLS 3.4).
 *
 * Terms and votes: one leader for each term; neither goes back, not even over a restart; no vote by a server with a hole.
 * Logs: leader append-only; equal (index, term) means an equal past; what was stored stays stored; a new leader holds all that was
 * committed before its term (S4); what is committed is durable at a majority of each configuration that counts (S1).
 * Applied: equal everywhere for ever (S12), without gaps, the state itself included; committed indexes only rise.
 * Configurations: one change at a time; neighbours' majorities meet.
 *
 * Damage beyond what a majority survives is excused (consensus_watch_excuse()), and so is a copy of a disk among servers that cannot know. */
#ifndef SIM_CONSENSUS_WATCH_H
#define SIM_CONSENSUS_WATCH_H

#include "sim/consensus_program.h"

struct consensus_watch;
struct consensus_watch *consensus_watch_new(void);
void consensus_watch_free(struct consensus_watch *watch);
void consensus_watch_reset(struct consensus_watch *watch, struct sim *sim);

void consensus_watch_event(void *watch, struct sim_host *host); /* a sim_observe_fn */

/* Each as the hook of its name; whoever sets hooks calls them through. */
void consensus_watch_started(struct consensus_watch *watch, struct consensus_process *process,
                             const struct raft_recovered *recovered, const struct raft_store_report *report);
void consensus_watch_output(struct consensus_watch *watch, struct consensus_process *process, const struct raft_output *output);
void consensus_watch_applying(struct consensus_watch *watch, struct consensus_process *process, const struct raft_entry *entry);
void consensus_watch_applied(struct consensus_watch *watch, struct consensus_process *process);
void consensus_watch_doing(struct consensus_watch *watch, struct consensus_process *process, const struct consensus_job *job,
                           bool is_done);

/* Faults took from this disk what had been durable: it may have lost entries, and is to say so. */
void consensus_watch_damaged(struct consensus_watch *watch, const struct raft_server *server);
bool consensus_watch_is_damaged(struct consensus_watch *watch, const struct raft_server *server);

/* The server, which does not run, is to go on on another copy of its disk. Its peers refuse it if they met what that has forgotten
 * (consensus/lives.c), and fail the run if they do not. When it is heeded by one that had not met it, the run is excused: nobody can know. */
void consensus_watch_restored(struct consensus_watch *watch, const struct raft_server *server);

/* More was lost than anybody promised to survive: from now on nothing fails. */
void consensus_watch_excuse(struct consensus_watch *watch, const char *why);
const char *consensus_watch_excused(const struct consensus_watch *watch); /* NULL: not */
__attribute__((format(printf, 3, 4))) void consensus_watch_fail(struct consensus_watch *watch, const char *what,
                                                               const char *format, ...);

/* What is committed, as far as anybody has applied it. */
uint64_t consensus_watch_committed(const struct consensus_watch *watch);
uint64_t consensus_watch_mark(const struct consensus_watch *watch, uint64_t index); /* of a committed entry; 0: unknown */
uint64_t consensus_watch_term(const struct consensus_watch *watch);                /* the highest that had a leader */
const struct raft_config *consensus_watch_config(const struct consensus_watch *watch); /* the newest committed one */

/* The host that leads in the highest term that has a leader now; UINT32_MAX: nobody. */
uint32_t consensus_watch_leader(const struct consensus_watch *watch);
uint64_t consensus_watch_leaders(const struct consensus_watch *watch); /* how many terms had one */

#endif
