/* groups/pattern.h - subscriptions by pattern: POSIX extended regular expressions that match whole topic names.
 *
 * A pattern comes from outside: no back references (matching them takes exponential time) and no counted repetition (a{9999} takes
 * memory without end); names of topics need neither. Internal topics are never offered to a pattern. */
#ifndef GROUPS_PATTERN_H
#define GROUPS_PATTERN_H

#include "replication/groups/record.h"

#include <regex.h>

struct group_pattern {
    regex_t regex;
};

/* Errors: MESH_EINVALID_PATTERN (does not compile, is too long, or can only mean internal topics), MESH_ENOMEM.
 * On success the caller ends it with group_pattern_deinit(). */
int group_pattern_init(struct group_pattern *pattern, struct slice text);
void group_pattern_deinit(struct group_pattern *pattern);

bool group_pattern_matches(const struct group_pattern *pattern, struct slice topic_name);

#endif
