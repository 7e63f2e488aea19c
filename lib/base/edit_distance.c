/* base/edit_distance.c - the classic table, of which three rows are kept: two back (for swaps), one back, this one. */
#include "base/edit_distance.h"

#include <stdint.h>
#include <string.h>

static size_t min_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool is_same(char a, char b, bool ignores_case)
{
    if (a == b || !ignores_case) return a == b;
    return (a ^ b) == ('a' ^ 'A') && ((a >= 'a' && a <= 'z') || (a >= 'A' && a <= 'Z'));
}

size_t edit_distance(const char *a, const char *b, bool ignores_case)
{
    size_t rows[3][EDIT_DISTANCE_LENGTH_MAX + 1];
    size_t a_size = strlen(a), b_size = strlen(b);

    if (a_size > EDIT_DISTANCE_LENGTH_MAX || b_size > EDIT_DISTANCE_LENGTH_MAX) return SIZE_MAX;
    for (size_t j = 0; j <= b_size; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3], *previous = rows[(i - 1) % 3], *before = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            row[j] = previous[j - 1] + !is_same(a[i - 1], b[j - 1], ignores_case);
            row[j] = min_of(row[j], min_of(previous[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && is_same(a[i - 1], b[j - 2], ignores_case) && is_same(a[i - 2], b[j - 1], ignores_case))
                row[j] = min_of(row[j], before[j - 2] + 1);
        }
    }
    return rows[a_size % 3][b_size];
}
