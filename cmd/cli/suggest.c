#include "cmd/cli/suggest.h"

#include "base/edit_distance.h"

#include <string.h>

static size_t min_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

const char *suggestion_nearest(const char *word, const char *const *candidates, size_t count)
{
    size_t size = strlen(word), best_distance, limit;
    const char *best = NULL;

    limit = size / 3 < 1 ? 1 : min_of(size / 3, 3);
    best_distance = limit + 1;
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(word, candidates[i], false);
        if (distance < best_distance) {
            best_distance = distance;
            best = candidates[i];
        }
    }
    if (best != NULL) return best;
    for (size_t i = 0; i < count && size >= 2; i++)
        if (strncmp(word, candidates[i], size) == 0) return candidates[i];
    return NULL;
}
