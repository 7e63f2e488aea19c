/* coordinator/suggest.c - see suggest.h. */
#include "replication/coordinator/suggest.h"

#include "base/edit_distance.h"

#include <string.h>

#define DISTANCE_LIMIT 9 /* so much in a long text is no slip of the fingers */

const char *suggest_closest(const char *text, const char *const *candidates, size_t candidate_count)
{
    const char *best = NULL;
    size_t best_distance = strlen(text) / 2 + 1;

    if (best_distance > DISTANCE_LIMIT) best_distance = DISTANCE_LIMIT;
    for (size_t i = 0; i < candidate_count; i++) {
        size_t distance = edit_distance(text, candidates[i], true);

        if (distance < best_distance) {
            best = candidates[i];
            best_distance = distance;
        }
    }
    return best;
}
