/* A checker of Prometheus' text format 0.0.4, as strict as promtool about what we emit. */
#ifndef TEST_PROMETHEUS_CHECK_H
#define TEST_PROMETHEUS_CHECK_H

#include <stdbool.h>
#include <stddef.h>

/* NULL when text is a well-formed exposition: each family has one HELP and one TYPE before its samples, all
 * together; names, labels and values parse; no sample twice; counters end in _total; buckets rise and end in
 * +Inf = _count. Else what is wrong, in static storage. */
const char *prometheus_check(const char *text, size_t size);

/* The value of the sample whose name and labels are exactly `sample`; false: it is not there. */
bool prometheus_value(const char *text, const char *sample, double *ret_value);

#endif
