#include "cmd/cli/suggest.h"

#include <stdint.h>
#include <string.h>

static size_t min_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t suggestion_distance(const char *a, const char *b)
{
    /* Three rows of the classic table: two back (for swaps), one back, this one. */
    size_t rows[3][SUGGEST_LENGTH_MAX + 1];
    size_t a_size = strlen(a), b_size = strlen(b);

    if (a_size > SUGGEST_LENGTH_MAX || b_size > SUGGEST_LENGTH_MAX) return SIZE_MAX;
    for (size_t j = 0; j <= b_size; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3], *previous = rows[(i - 1) % 3], *before = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            row[j] = previous[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = min_of(row[j], min_of(previous[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = min_of(row[j], before[j - 2] + 1);
        }
    }
    return rows[a_size % 3][b_size];
}

const char *suggestion_nearest(const char *word, const char *const *candidates, size_t count)
{
    size_t size = strlen(word), best_distance, limit;
    const char *best = NULL;

    limit = size / 3 < 1 ? 1 : min_of(size / 3, 3);
    best_distance = limit + 1;
    for (size_t i = 0; i < count; i++) {
        size_t distance = suggestion_distance(word, candidates[i]);
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
