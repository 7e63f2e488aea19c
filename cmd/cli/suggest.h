/* cli/suggest.h - "did you mean ...?" by edit distance. Pure. */
#ifndef CLI_SUGGEST_H
#define CLI_SUGGEST_H

#include <stddef.h>

/* The candidate most like `word`: at most a third of its letters may differ (at least one, at most three), or
 * `word` (of two letters or more) begins it. NULL when none is near. The first of equals wins. */
const char *suggestion_nearest(const char *word, const char *const *candidates, size_t count);

#endif
