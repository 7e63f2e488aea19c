/* front/http/metrics_spread.h - the part of /metrics about committed offsets on their way to every broker. */
#ifndef FRONT_HTTP_METRICS_SPREAD_H
#define FRONT_HTTP_METRICS_SPREAD_H

#include "cmd/broker/front/http/metrics_writer.h"
#include "cmd/broker/spread/spread.h"

void metrics_spread_write(struct metrics_writer *writer, const struct spread_stats *stats);

#endif
