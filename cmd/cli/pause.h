/* cli/pause.h - the longest time in which records waited and none was acknowledged. Pure; looked at whenever something may have come. */
#ifndef CLI_PAUSE_H
#define CLI_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

struct pause {
    uint64_t since_ns, longest_ns;
    uint64_t acknowledged; /* at the last look */
    bool is_waiting;       /* likewise: records were under way */
};

/* Zero-initialise it. `acknowledged`: records so far. */
static inline void pause_look(struct pause *pause, uint64_t acknowledged, bool is_waiting, uint64_t now_ns)
{
    bool was_waiting = pause->is_waiting, is_news = acknowledged != pause->acknowledged;

    if (was_waiting && now_ns - pause->since_ns > pause->longest_ns) pause->longest_ns = now_ns - pause->since_ns;
    if (!was_waiting || is_news) pause->since_ns = now_ns;
    pause->acknowledged = acknowledged;
    pause->is_waiting = is_waiting;
}

#endif
