/* example/counter.h - a replicated counter: what the consensus module asks of its user, and no more.
 *
 * counter.c drives the core (raft.h) and the store (store.h), and applies what is committed; main.c has the sockets and the
 * loop. One thread does everything, so a store is done when the call returns; the broker does it on a thread of its own. */
#ifndef CONSENSUS_EXAMPLE_COUNTER_H
#define CONSENSUS_EXAMPLE_COUNTER_H

#include "replication/consensus/store.h"

#define COUNTER_SERVERS 3

struct counter;

/* What becomes of a request. */
struct counter_events {
    void *user;
    void (*send)(void *user, unsigned to, struct slice message); /* may be lost */
    /* The entry at index is applied. Whoever proposed something there with another term has lost it. */
    void (*applied)(void *user, uint64_t index, uint64_t term, uint64_t value);
    void (*read)(void *user, uint64_t context, uint64_t index); /* index 0: ask again */
};

/* Server `id` (1..3) with its files in fs. Founds the mesh of three when there is nothing. Errors: those of the store and the core, with
 * a sentence in message. */
int counter_open(struct fs *fs, unsigned id, const struct counter_events *events, struct counter **ret_counter, char *message,
                 size_t message_size);
void counter_close(struct counter *counter); /* accepts NULL */

/* Does whatever is to be done now; call it after each of the calls below. An error is the store's: stop. */
int counter_run(struct counter *counter);
uint64_t counter_due_us(const struct counter *counter);

void counter_receive(struct counter *counter, unsigned from, struct slice message);
int counter_add(struct counter *counter, uint64_t amount, uint64_t *ret_index, uint64_t *ret_term); /* raft_propose() */
int counter_read(struct counter *counter, uint64_t context);                                        /* raft_read() */

unsigned counter_leader(const struct counter *counter); /* 0: unknown */
uint64_t counter_value(const struct counter *counter);
uint64_t counter_applied(const struct counter *counter);
uint64_t counter_now_us(void);

#endif
