/* peers/explain.h - why a link did not come up, for people: what is wrong, and what to do about it. Pure. */
#ifndef BROKER_PEERS_EXPLAIN_H
#define BROKER_PEERS_EXPLAIN_H

#include "cmd/broker/peers/link.h"

#define EXPLANATION_SIZE 512

#define CLOCK_WARN_MS   1000  /* peers' clocks that differ by more are told about */
#define CLOCK_REFUSE_MS 60000 /* by more than this: nobody joins, since records would get wrong times for ever */

struct explanation {
    char what[EXPLANATION_SIZE]; /* a clause that names the address */
    char cure[EXPLANATION_SIZE]; /* a sentence */
    bool is_permanent;           /* trying again without a change by somebody is useless */
};

struct explain_context {
    const struct net_address *address;
    const struct uuid *own_cluster;     /* zero: none yet */
    const struct channel_peer *peer;    /* as far as it was proven, or NULL */
    const char *key_path;               /* where this broker's key came from */
    const struct net_address *listen;   /* where this broker listens, from where it also dials; NULL: not known */
};

void explain_link_end(const struct explain_context *context, enum link_end end, const char *reason,
                      const struct channel_failure_detail *failure, struct explanation *ret_explanation);

/* difference_ms: the peer's clock less ours. */
void explain_clock(const struct explain_context *context, int64_t difference_ms, struct explanation *ret_explanation);

#endif
