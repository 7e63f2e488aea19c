/* ops/doubts.h - readers who say that records came damaged: whose word is followed up, and when. Pure.
 *
 * Somebody may lie, and what the scrubber is sent to look at costs 16 MiB of reading: so a shard follows up one word in DOUBTS_PAUSE_MS. Words wait for
 * their turn, one of each reader; whose address, and then whose connection, had its last turn longest ago is next. So who doubts all the
 * time delays the others by one turn, however often it says so, and by no more with many connections. */
#ifndef BROKER_OPS_DOUBTS_H
#define BROKER_OPS_DOUBTS_H

#include "base/uuid.h"

#include <stdbool.h>

#define DOUBTS_PAUSE_MS 10000
#define DOUBTERS_MAX    16

/* Who says it. Two with one hash are taken for one. */
struct doubt_source {
    uint64_t address;    /* a hash of where from: a client's address without its port, or another broker's id for what it forwards */
    uint64_t connection; /* any number of its own among those of one address */
};

struct doubt {
    struct uuid topic_id;
    uint32_t partition;
    uint64_t offset;
};

struct doubter {
    struct doubt_source source;
    uint64_t turn;            /* the number of its last one; 0: none yet */
    uint64_t turn_of_address; /* of anybody there, as far as this one knows */
    uint64_t heard;           /* the number of the word that waits; 0: none does */
    struct doubt doubt;
};

struct doubts {
    struct doubter doubters[DOUBTERS_MAX];
    uint32_t count;
    uint64_t turns, words; /* so far */
    uint64_t next_ms;      /* no turn before */
};

/* False: it is not kept. The reader's last word waits still, or too many others of no fewer connections do. */
bool doubts_hear(struct doubts *doubts, const struct doubt_source *source, const struct doubt *doubt);
/* The word whose turn it is now, if there is one. */
bool doubts_next(struct doubts *doubts, uint64_t now_ms, struct doubt *ret_doubt);
/* When doubts_next() has one; UINT64_MAX: none waits. */
uint64_t doubts_due_ms(const struct doubts *doubts);

#endif
