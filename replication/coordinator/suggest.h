/* coordinator/suggest.h - "did you mean": the closest of a few names. Pure; any thread. */
#ifndef COORDINATOR_SUGGEST_H
#define COORDINATOR_SUGGEST_H

#include <stddef.h>

/* The candidate closest to text, case ignored, or NULL when none is close enough to be meant. The first wins a tie. */
const char *suggest_closest(const char *text, const char *const *candidates, size_t candidate_count);

#endif
