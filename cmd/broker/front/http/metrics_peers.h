/* front/http/metrics_peers.h - the part of /metrics about the other brokers: members, gossip, packets, links. */
#ifndef FRONT_HTTP_METRICS_PEERS_H
#define FRONT_HTTP_METRICS_PEERS_H

#include "cmd/broker/front/http/metrics_writer.h"
#include "cmd/broker/peers/peers.h"

void metrics_peers_write(struct metrics_writer *writer, const struct peers_stats *stats);

#endif
