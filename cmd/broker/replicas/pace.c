#include "cmd/broker/replicas/pace.h"

static int64_t allowance_of(uint64_t here, uint64_t all, uint64_t elapsed_ms)
{
    uint64_t share;

    if (all <= PACE_IDLE * (elapsed_ms / PACE_WINDOW_MS)) return INT64_MAX;
    share = here / elapsed_ms * PACE_WINDOW_MS / 2 * 3;
    return share > PACE_FLOOR ? (int64_t)share : PACE_FLOOR;
}

int64_t pace_allowance(struct pace *pace, uint64_t now_ms, uint64_t here, uint64_t all)
{
    uint64_t elapsed_ms = now_ms - pace->window_ms;

    if (pace->window_ms != 0 && elapsed_ms < PACE_WINDOW_MS) return pace->left;
    pace->left = pace->window_ms == 0 ? INT64_MAX : allowance_of(here - pace->here, all - pace->all, elapsed_ms);
    pace->window_ms = now_ms;
    pace->here = here;
    pace->all = all;
    return pace->left;
}

void pace_spend(struct pace *pace, uint64_t bytes)
{
    if (pace->left == INT64_MAX) return;
    pace->left -= bytes < (uint64_t)pace->left ? (int64_t)bytes : pace->left;
}

uint64_t pace_next_ms(const struct pace *pace)
{
    return pace->window_ms + PACE_WINDOW_MS;
}
