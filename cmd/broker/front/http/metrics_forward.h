/* front/http/metrics_forward.h - the part of /metrics about requests that go to other brokers, or come from them. */
#ifndef FRONT_HTTP_METRICS_FORWARD_H
#define FRONT_HTTP_METRICS_FORWARD_H

#include "cmd/broker/forward/forward.h"
#include "cmd/broker/front/http/metrics_writer.h"

void metrics_forward_write(struct metrics_writer *writer, const struct forward_stats *stats);

#endif
