/* broker/runtime/catch_up.h - whether this broker's copies are in sync again since its start: what /readyz waits for.
 *
 * A rolling restart takes the next broker when this one says that it is ready. If it said so before it is in sync, the next one's stop would
 * leave partitions with too few copies. Once it was in sync it stays so here: who lags later still serves, and takes part in no restart.
 *
 * Not waited for: partitions without a leader (nobody is in sync with them), copies that a move adds. And after CATCH_UP_MS_MAX nothing at
 * all: one partition that cannot get in sync must not hold up a rollout, which may be its cure.
 *
 * Belongs to the control loop. */
#ifndef BROKER_RUNTIME_CATCH_UP_H
#define BROKER_RUNTIME_CATCH_UP_H

#include <stdbool.h>
#include <stdint.h>

struct image;

#define CATCH_UP_MS_MAX 300000

struct catch_up {
    uint64_t since_ms; /* monotonic; 0: it was not asked yet */
    bool is_over;
};

/* Whether it is still behind by the newest image; walks over all partitions until it is not. For a broker that is let in: `node_id` is its own. */
bool catch_up_is_behind(struct catch_up *catch_up, const struct image *image, int32_t node_id, uint64_t now_ms);

#endif
