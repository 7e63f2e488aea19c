/* broker/membership.h - the part of a broker's start that concerns others: its key, its identity, the mesh it joins, and,
 * once it serves, its place among the members. */
#ifndef BROKER_MEMBERSHIP_H
#define BROKER_MEMBERSHIP_H

#include "cmd/broker/broker_private.h"

/* Reads the cluster key, or makes one where a founder has none. What is wrong has been logged. */
int membership_open_key(struct broker *broker, const struct broker_options *options);

/* Where gossip and links of this broker are: what was bound, and what --advertise says. MESH_EINVAL, MESH_ERESOLVE. */
int membership_set_address(struct broker *broker, const struct broker_options *options, int listen_fd);

/* The port that clients are told: all doors share one, so behind a forwarding it is the advertised one. */
uint16_t membership_client_port(const struct broker *broker);

/* For a directory that belongs to no mesh yet, when there are seeds: waits until one of them has told its mesh. */
int membership_join(struct broker *broker, const struct broker_options *options, struct uuid *ret_cluster_id);

/* From here on the broker is a member. Control loop. */
int membership_start(struct broker *broker);
void membership_stop(struct broker *broker); /* harmless when it was not started */

#endif
