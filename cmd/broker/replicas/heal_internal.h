/* replicas/heal_internal.h - what heal.c and lost.c share. */
#ifndef BROKER_REPLICAS_HEAL_INTERNAL_H
#define BROKER_REPLICAS_HEAL_INTERNAL_H

#include "cmd/broker/replicas/heal.h"
#include "cmd/broker/replicas/replicas_internal.h"

struct heal_fetch;

enum lost_state {
    LOST_UNTOLD,
    LOST_ALONE, /* the coordinator knows no other complete replica: it stays what it is; asked again now and then */
    LOST_TOLD,  /* nobody counts on it, the coordinator says; or it is the only replica */
};

/* One partition with damage. */
struct damaged {
    struct list_node node; /* in healing.all */
    struct shard *shard;
    struct shard_partition *partition;
    enum lost_state lost;
    uint64_t tell_ms;      /* when the coordinator is to be told; UINT64_MAX: it is being told, or was */
    uint32_t told_epoch;   /* the partition's when the coordinator had been told */
    uint64_t found_ms;
    uint32_t known_count;  /* ranges that were logged */
    bool is_busy;          /* a fetch or a repair is under way */
    struct heal_fetch *fetch; /* NULL: none */
    uint64_t checked_from; /* where what is sound was taken back already; UINT64_MAX: nowhere */
    uint64_t alone_from;   /* where leader epochs were put right already, as nobody else has what is lost */
    uint64_t next_ms;      /* when the next step is to be tried */
    uint32_t source;       /* the replica to ask next, by its place */
    uint32_t failures;     /* in a row */
    uint32_t misfits;      /* pieces, in a row, that did not fit */
    uint64_t fetched_bytes;
};

/* ---- lost.c ---- */

/* It was told, but an image that is no older than the answer shows somebody who counts on it (it was elected though it is not complete, or was the
 * only replica): it is to be told again. */
void lost_look_again(struct damaged *damaged);
void lost_send(struct shard *shard);
void lost_free(struct shard *shard);

#endif
