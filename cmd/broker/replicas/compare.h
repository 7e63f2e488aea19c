/* replicas/compare.h - followers compare what is committed with their leaders, slowly, by digests; where sound records differ the majority's are
 * right (judge.h), and the others are condemned and mended (heal.h).
 *
 * Belongs to the shard's thread. A partition in which nothing was committed since it was compared is not read again before the next
 * pass over everything (scrub.rest.ms). */
#ifndef BROKER_REPLICAS_COMPARE_H
#define BROKER_REPLICAS_COMPARE_H

#include "base/list.h"

#include <stdint.h>

struct comparison;
struct heal_request;
struct shard;
struct shard_partition;

/* How far a partition has been compared, once it has followed a leader. */
struct compared {
    struct list_node link;
    struct shard_partition *partition;
    uint64_t offset;  /* what lies before was compared with the leader's, in this pass */
    uint8_t failures; /* in a row */
};

struct comparing {
    struct list_node queue;     /* compared.link: more is committed than was compared */
    struct comparison *current; /* owned; NULL: none is under way */
    uint64_t next_ms;           /* not before */
    uint64_t pass_ms;           /* when everything is to be compared again */
};

void compare_init(struct shard *shard);
void compare_deinit(struct shard *shard);

/* It follows from now on, or more is committed of what it follows. */
void compare_want(struct shard *shard, struct shard_partition *partition);
void compare_forget(struct shard_partition *partition); /* it is about to go */
/* Another replica says that the range differs here, though this one leads. */
void compare_doubted(struct shard *shard, const struct heal_request *request);
void compare_run(struct shard *shard); /* once per turn */

#endif
