/* broker/front/kafka/brokers.h - which brokers clients are told of. Pure. */
#ifndef BROKER_FRONT_KAFKA_BROKERS_H
#define BROKER_FRONT_KAFKA_BROKERS_H

#include "replication/coordinator/image.h"

/* Those that keep records and have a session. Node ids come from the committed image: the same from every broker, and for ever. A witness is an
 * entry like any other, but no client needs to know of it. */
bool kafka_broker_is_listed(const struct image_broker *broker);

/* Where administrative requests should go: any broker takes them on, so the one that answers, which is certainly there; the first one listed
 * if it is not itself listed; -1: none is. */
int32_t kafka_controller(const struct image *image, int32_t self);

#endif
