/* replicas/compare_plan.h - what is looked at next when a replica's committed records are compared with others', by digests of ranges.
 *
 * Says what is to be read here, asked of the leader, or put to the vote; who carries it out is compare.c. A window that is equal is done with; one
 * that differs is halved until little is left. A digest may end before what was asked for: it is whole batches, and one answer has its limits. So
 *
 *   - of a window only as much is compared as both can say in one piece, and the rest is the next window;
 *   - where halves cannot be told apart, because batches lie differently, all that is known to differ is put to the vote;
 *   - each step makes what is looked at smaller, or ends. Who is stuck at the same window again and again passes over it (plan.reach).
 *
 * Pure functions. */
#ifndef BROKER_REPLICAS_COMPARE_PLAN_H
#define BROKER_REPLICAS_COMPARE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#define COMPARE_SMALL_BYTES (64u << 10) /* a range of that is not halved any more */

enum compare_phase {
    COMPARE_WINDOW,      /* digest of what comes next */
    COMPARE_SPLIT,       /* digest of the first half of a range that differs */
    COMPARE_SPLIT_FIRST, /* of its first batch, which is more than half of it */
    COMPARE_VOTE,        /* of the range that every replica is asked about */
};

enum compare_act {
    COMPARE_READ,  /* here: the batches in [plan.from, step.to), step.is_one: the first one alone; then compare_plan_read() */
    COMPARE_ASK,   /* the leader for its digest of [plan.from, step.to); then compare_plan_heard() */
    COMPARE_JUDGE, /* every replica for that of [plan.from, plan.to) */
    COMPARE_EQUAL, /* up to step.to; that is all */
    COMPARE_LATER, /* it could not be read or asked now; that is all */
    COMPARE_STUCK, /* both were heard, and yet it cannot be compared; that is all */
};

struct compare_plan {
    enum compare_phase phase;
    uint64_t from, to; /* what is looked at */
    uint64_t split;    /* the end of its part of which the digest here is known */
    uint64_t bytes;    /* in that part */
    uint64_t whole;    /* in [from, to), which differs; not while phase is WINDOW */
    uint64_t reach;    /* where the window ended here, at first */
};

struct compare_step {
    enum compare_act act;
    uint64_t to;
    bool is_one;
};

struct compare_step compare_plan_window(struct compare_plan *plan, uint64_t from, uint64_t committed);
/* A range that somebody else found to differ. */
struct compare_step compare_plan_vote(struct compare_plan *plan, uint64_t from, uint64_t to);

/* What was read here: it ends at next_offset. error: 0, MESH_EOFFSET_OUT_OF_RANGE (the first batch goes beyond it), or whatever kept it from being
 * read. */
struct compare_step compare_plan_read(struct compare_plan *plan, int error, uint64_t next_offset, uint64_t bytes);

/* What the leader said of [from, split): its digest ends at next_offset, and is_equal, if that is split. error: as above. */
struct compare_step compare_plan_heard(struct compare_plan *plan, int error, uint64_t next_offset, bool is_equal);

#endif
