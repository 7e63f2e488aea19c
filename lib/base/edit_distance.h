/* base/edit_distance.h - how unlike two words are, for "did you mean ...?". Pure; any thread.
 *
 * Who asks decides how near is near enough: words of a command line (cmd/cli/suggest.h) and keys of a configuration
 * (replication/coordinator/suggest.h) judge differently. */
#ifndef BASE_EDIT_DISTANCE_H
#define BASE_EDIT_DISTANCE_H

#include <stdbool.h>
#include <stddef.h>

#define EDIT_DISTANCE_LENGTH_MAX 64 /* bytes; longer words are like nothing */

/* How many insertions, deletions, replacements and swaps of neighbours turn a into b, no byte being touched twice (optimal
 * string alignment). ignores_case: of ASCII letters. SIZE_MAX when either is longer than EDIT_DISTANCE_LENGTH_MAX. */
size_t edit_distance(const char *a, const char *b, bool ignores_case);

#endif
