/* coordinator/suggest.c - see suggest.h. The optimal string alignment distance, three rows at a time. */
#include "replication/coordinator/suggest.h"

#include <string.h>

#define SUGGEST_SIZE_MAX 63

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned suggest_distance(const char *a, const char *b)
{
    unsigned rows[3][SUGGEST_SIZE_MAX + 1];
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];
    size_t a_size = strlen(a), b_size = strlen(b);

    if (a_size > SUGGEST_SIZE_MAX || b_size > SUGGEST_SIZE_MAX) return SUGGEST_SIZE_MAX + 1;
    for (size_t j = 0; j <= b_size; j++)
        above[j] = before[j] = (unsigned)j;
    for (size_t i = 1; i <= a_size; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_size; j++) {
            unsigned cost = lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1;
            row[j] = least(least(above[j] + 1, row[j - 1] + 1), above[j - 1] + cost);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        unsigned *free_row = before;
        before = above;
        above = row;
        row = free_row;
    }
    return above[b_size];
}

const char *suggest_closest(const char *text, const char *const *candidates, size_t candidate_count)
{
    const char *best = NULL;
    unsigned best_distance = (unsigned)least((unsigned)(strlen(text) / 2 + 1), 9);

    for (size_t i = 0; i < candidate_count; i++) {
        unsigned distance = suggest_distance(text, candidates[i]);
        if (distance < best_distance) {
            best = candidates[i];
            best_distance = distance;
        }
    }
    return best;
}
