/* replicas/pace.h - how much a shard sends to followers that are far behind, while it has other work: clients, and followers in sync.
 *
 * Bytes are counted in windows. What the others moved through this shard in one says what the catching up may have in the next: half as much again, so
 * that it gets ahead of a steady stream of appends also where nobody else follows; and never less than a floor, so that it ends. While the others
 * move nothing through the whole broker, whose disk and processors the shards share, there is no limit. No setting: the share follows the load. */
#ifndef BROKER_REPLICAS_PACE_H
#define BROKER_REPLICAS_PACE_H

#include <stdint.h>

#define PACE_WINDOW_MS 50
#define PACE_FLOOR     (2 << 20) /* bytes of a window: 40 MiB/s */
#define PACE_IDLE      4096      /* bytes of a window that are no load */

struct pace {
    uint64_t window_ms; /* when the present window began; 0: never */
    uint64_t here, all; /* what they had moved by then */
    int64_t left;       /* of the allowance; INT64_MAX: no limit */
};

/* What may be sent now, 0 or more. Bytes that everybody else has moved so far, rising: `here` through this shard, `all` through the broker. Nothing is left: ask again at pace_next_ms(). */
int64_t pace_allowance(struct pace *pace, uint64_t now_ms, uint64_t here, uint64_t all);
void pace_spend(struct pace *pace, uint64_t bytes);
uint64_t pace_next_ms(const struct pace *pace);

#endif
