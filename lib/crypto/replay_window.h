/* crypto/replay_window.h - which of the newest 1,024 counters were seen: a ring of bits that the highest counter drags
 * along, so that moving it clears whole words (the idea of RFC 6479). Pure; all zero is an empty window. */
#ifndef CRYPTO_REPLAY_WINDOW_H
#define CRYPTO_REPLAY_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define REPLAY_WINDOW_SIZE  1024 /* counters below the highest that are told apart; older ones count as seen */
#define REPLAY_WINDOW_WORDS (REPLAY_WINDOW_SIZE / 64 + 1)

struct replay_window {
    uint64_t highest;
    uint64_t seen[REPLAY_WINDOW_WORDS]; /* counter c: bit c % 64 of word c / 64 % REPLAY_WINDOW_WORDS */
};

bool replay_window_was_seen(const struct replay_window *window, uint64_t counter);

/* Only for a counter that was authentic and not seen. */
void replay_window_mark(struct replay_window *window, uint64_t counter);

#endif
