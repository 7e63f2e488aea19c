/* coordinator/replica_facts.h - how the partitions of a mesh, or of one topic, are doing: facts of the image for people.
 *
 * A replica counts as in sync here as it does for min.insync. Pure; one walk over all partitions. */
#ifndef COORDINATOR_REPLICA_FACTS_H
#define COORDINATOR_REPLICA_FACTS_H

#include "replication/coordinator/image.h"

/* How many partitions are so, and the first of them. */
#define REPLICA_NAMED_MAX 3
struct replica_count {
    uint64_t count;
    char first[800]; /* REPLICA_NAMED_MAX at most: "orders/3, orders/4, users/0"; "" when there is none */
};

struct replica_facts {
    uint64_t partitions;
    struct replica_count offline;          /* nobody leads, so nothing is written or read; each is one of the next three: */
    struct replica_count away;             /* brokers that hold complete replicas are not up */
    struct replica_count sealed;           /* mode quorum: a majority has yet to report */
    struct replica_count lost;             /* no complete replica is left: only the setting `unclean` gives it a leader */
    struct replica_count refusing;         /* led, but |ISR| < min.insync: acks=all is refused */
    struct replica_count at_risk;          /* led, and |ISR| is min.insync while there should be more replicas: one more failure and it refuses, or is offline */
    struct replica_count under_replicated; /* led, and a replica is missing from the ISR (newcomers of a move are not missing) */
    struct replica_count degraded;         /* of those: it neither refuses nor is at risk */
    struct replica_count wishes_unmet;     /* fewer replicas than the setting `replicas` asks for, and none on its way */
    struct replica_count moving;           /* replicas are being added or removed; of those: */
    struct replica_count queued;           /* waiting for their turn */
    struct replica_count reset;            /* acknowledged records may have been lost at some time: the reset epoch is not 0 */
    struct replica_count narrow;           /* more than one replica, and min.insync lets a record be acknowledged on one disk */
};

void replica_facts_of_topic(const struct image_topic *topic, struct replica_facts *facts); /* adds to zeroed facts */
void replica_facts_collect(const struct image *image, struct replica_facts *ret_facts);

/* What is wrong now and what to do about it, the worst first; what was chosen (narrow) or is over (reset) is not among it. Returns how many. */
#define REPLICA_PROBLEMS_MAX 7
struct replica_problem {
    char what[1000];
    const char *meaning, *remedy; /* static */
};
size_t replica_problems(const struct replica_facts *facts, struct replica_problem problems[REPLICA_PROBLEMS_MAX]);

/* What moves in one topic, as a sentence: "3 of 12 partitions on the move, 2 of them waiting for their turn"; "" when nothing does. Returns the size as snprintf() does. */
int replica_facts_progress(const struct replica_facts *facts, char *to, size_t size);

#endif
