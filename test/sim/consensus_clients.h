/* sim/consensus_clients.h - who proposes and reads, and remembers what it was told: a write that was acknowledged is never lost, and
 * no read misses what was acknowledged, or read, before it was asked (linearizability of the whole state; PROTOCOLS 4.2, 27). */
#ifndef SIM_CONSENSUS_CLIENTS_H
#define SIM_CONSENSUS_CLIENTS_H

#include "sim/consensus_watch.h"

struct consensus_clients {
    struct sim *sim;
    struct consensus_watch *watch;
    uint64_t proposed, acknowledged, lost, reads_asked, reads_served, reads_lost;
    uint64_t frontier; /* index up to which somebody knows what is committed */
    uint64_t next_value, next_context;
    bool loses_answers; /* some answers to reads do not arrive: they are asked again */
    struct consensus_client {
        struct consensus_process *process; /* whose proposals these are */
        struct {
            uint64_t index, term;
        } proposals[64];
        uint32_t count;
    } clients[CONSENSUS_HOSTS_MAX];
    struct {
        uint64_t context, frontier; /* what had been known when it was asked, the last time */
        bool is_open;
        bool is_under_way; /* no answer yet; one that is lost on the way has been given */
    } reads[64];
};

void consensus_clients_reset(struct consensus_clients *clients, struct sim *sim, struct consensus_watch *watch);

/* 0 or raft_propose()'s error. */
int consensus_clients_propose(struct consensus_clients *clients, struct consensus_process *process, size_t padding);

/* Many in one turn, as when somebody creates a hundred topics; paddings are drawn. */
void consensus_clients_propose_many(struct consensus_clients *clients, struct consensus_process *process, unsigned count,
                                    size_t padding_max, struct random *random);

/* A new read, or (a context that was asked before) the same one again. Returns its context; 0: refused. */
uint64_t consensus_clients_read(struct consensus_clients *clients, struct consensus_process *process, uint64_t context);
/* It is not answered, as far as who asked knows. It may be asked again once there is nothing under way. */
bool consensus_clients_is_waiting(const struct consensus_clients *clients, uint64_t context);

bool consensus_clients_may_ask_again(const struct consensus_clients *clients, uint64_t context);

/* Hooks. */
void consensus_clients_started(struct consensus_clients *clients, struct consensus_process *process);
void consensus_clients_applied(struct consensus_clients *clients, struct consensus_process *process);
void consensus_clients_answered(struct consensus_clients *clients, struct consensus_process *process, uint64_t context, uint64_t index);

#endif
