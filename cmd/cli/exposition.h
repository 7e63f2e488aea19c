/* cli/exposition.h - reads what /metrics says: Prometheus' text format 0.0.4, as brokers write it.
 *
 * Pure functions over borrowed text. Comments and lines that are no samples are passed over: a newer broker may say more than this program knows. */
#ifndef CLI_EXPOSITION_H
#define CLI_EXPOSITION_H

#include "base/slice.h"

struct exposition_sample {
    struct slice name;
    struct slice labels; /* what stands between the braces; empty without any */
    double value;
};

/* The next sample of *text, which moves behind it. False at the end. */
bool exposition_next(struct slice *text, struct exposition_sample *ret_sample);

bool exposition_is(const struct exposition_sample *sample, const char *name);

/* The value of a label, escapes undone, NUL-terminated. False when there is none of that name, or it does not fit into `size` bytes. */
bool exposition_label(const struct exposition_sample *sample, const char *name, char *to, size_t size);

#endif
