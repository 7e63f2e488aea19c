/* front/http/metrics_groups.h - what /metrics says of consumer groups whose partitions are kept on this broker's shards. */
#ifndef FRONT_HTTP_METRICS_GROUPS_H
#define FRONT_HTTP_METRICS_GROUPS_H

#include "cmd/broker/front/http/metrics_text.h"
#include "cmd/broker/front/http/metrics_writer.h"

void metrics_groups_write(struct metrics_writer *writer, const struct metrics_set *set);

/* How far groups lag behind: of the first ones by name. */
void metrics_group_lags_write(struct metrics_writer *writer, const struct group_lags *lags);

#endif
