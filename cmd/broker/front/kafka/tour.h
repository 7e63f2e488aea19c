/* broker/front/kafka/tour.h - a call that looks at something on every shard of this broker, one after the other, and comes back.
 *
 * While it is away the call's arena and state belong to the shard that it visits. */
#ifndef BROKER_FRONT_KAFKA_TOUR_H
#define BROKER_FRONT_KAFKA_TOUR_H

#include "cmd/broker/front/kafka/kafka.h"
#include "cmd/broker/runtime/mailbox.h"

struct shard;

struct kafka_tour;
typedef void kafka_visit_fn(struct kafka_tour *tour, struct shard *shard);

struct kafka_tour {
    struct mail mail;
    struct kafka_call *call;
    struct shard *home;
    uint32_t at;
    kafka_visit_fn *visit;
};

/* Sends it, inside the call's state; one `out` of the call. `finish` runs at home, unless nobody wants to know. */
void kafka_tour_start(struct kafka_tour *tour, struct kafka_call *call, kafka_visit_fn *visit, kafka_finish_fn *finish);

#endif
