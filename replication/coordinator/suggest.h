/* coordinator/suggest.h - "did you mean": the closest of a few names. Pure; any thread. */
#ifndef COORDINATOR_SUGGEST_H
#define COORDINATOR_SUGGEST_H

#include <stddef.h>

/* Single-character insertions, deletions, substitutions and swaps of neighbours between two texts, case
 * ignored. Texts longer than 63 bytes count as far from everything (returns 64). */
unsigned suggest_distance(const char *a, const char *b);

/* The candidate closest to text, or NULL when none is close enough to be meant. The first wins a tie. */
const char *suggest_closest(const char *text, const char *const *candidates, size_t candidate_count);

#endif
