/* broker/front/kafka/admin.h - what requests that change topics share: orders for the control loop, prepared on the shard. */
#ifndef BROKER_FRONT_KAFKA_ADMIN_H
#define BROKER_FRONT_KAFKA_ADMIN_H

#include "cmd/broker/front/kafka/job.h"

#define KAFKA_ADMIN_TOPICS_MAX 10000 /* of one request */

struct kafka_admin {
    struct kafka_topic_job job;
};

/* A call that takes the arena in which its request was decoded; NULL: no memory, and the connection is closed. */
struct kafka_call *kafka_admin_call(const struct kafka_request *request, struct arena *arena);
/* Its state: room for so many orders, none of them counted yet. Errors: MESH_ENOMEM. */
int kafka_admin_orders(struct kafka_call *call, size_t count);
/* The handler is through: the call goes on with what was begun for it, or ends when that could not be prepared. */
enum serve kafka_admin_end(struct kafka_call *call, int err);
/* Begins the job, or ends the call when it could not be prepared. */
enum serve kafka_admin_start(struct kafka_call *call, int err, kafka_finish_fn *home);
/* What is answered at once; the arena, which holds the answer, ends. With an error there is no memory, and the connection is closed. */
enum serve kafka_admin_respond(const struct kafka_request *request, struct arena *arena, int err, const void *response);
/* A request that is not carried out; the arena ends. */
enum serve kafka_admin_refuse(const struct kafka_request *request, struct arena *arena);

/* A text with a NUL behind it; one with a NUL inside would come out as another, shorter one: ask kafka_has_nul() first. NULL: no memory. */
char *kafka_admin_text(struct kafka_call *call, struct slice text);
bool kafka_has_nul(struct slice text);

/* The order is not given: with this error, and a sentence. */
void kafka_admin_reject(struct kafka_call *call, struct kafka_topic_order *order, int error, const char *message);
/* The sentence, null where the order was done. */
struct slice kafka_admin_message(const struct kafka_topic_order *order);

#endif
