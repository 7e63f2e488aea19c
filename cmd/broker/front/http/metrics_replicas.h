/* front/http/metrics_replicas.h - what /metrics says of replicas: per shard what is kept here, and how the mesh's partitions are doing. */
#ifndef FRONT_HTTP_METRICS_REPLICAS_H
#define FRONT_HTTP_METRICS_REPLICAS_H

#include "cmd/broker/front/http/metrics_text.h"
#include "cmd/broker/front/http/metrics_writer.h"

void metrics_replicas_write(struct metrics_writer *writer, const struct metrics_input *input);

#endif
