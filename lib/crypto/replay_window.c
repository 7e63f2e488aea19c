/* crypto/replay_window.c - see replay_window.h. */
#include "crypto/replay_window.h"

bool replay_window_was_seen(const struct replay_window *window, uint64_t counter)
{
    if (counter > window->highest) return false;
    if (window->highest - counter >= REPLAY_WINDOW_SIZE) return true;
    return (window->seen[counter / 64 % REPLAY_WINDOW_WORDS] >> (counter % 64) & 1) != 0;
}

void replay_window_mark(struct replay_window *window, uint64_t counter)
{
    if (counter > window->highest) {
        uint64_t word = window->highest / 64, steps = counter / 64 - word;

        if (steps > REPLAY_WINDOW_WORDS) steps = REPLAY_WINDOW_WORDS;
        for (uint64_t i = 1; i <= steps; i++) /* the words of the last `steps` numbers up to the new one's */
            window->seen[(counter / 64 - steps + i) % REPLAY_WINDOW_WORDS] = 0;
        window->highest = counter;
    }
    window->seen[counter / 64 % REPLAY_WINDOW_WORDS] |= (uint64_t)1 << (counter % 64);
}
