/* broker/front/kafka/group_call.h - what all requests about groups do: keep the request while others are asked, ask the broker that leads the group's partition,
 * and walk over the lists of partitions in its answer. */
#ifndef BROKER_FRONT_KAFKA_GROUP_CALL_H
#define BROKER_FRONT_KAFKA_GROUP_CALL_H

#include "cmd/broker/front/kafka/kafka.h"
#include "cmd/broker/ops/groups.h"
#include "wire/message_group.h"

/* Decodes the request into memory of the call's own, so that it lives as long as the call; *ret_state is zeroed memory of `state_size`, call->state. NULL:
 * *ret_result is what the handler returns. The call has an `out` of the handler's. */
struct kafka_call *kafka_group_call(const struct kafka_request *request, void *ret_message, size_t state_size, kafka_finish_fn *finish,
                                    enum serve *ret_result);

/* Asks the group's leader, wherever it is; one `out`, that done() has to end. `message` is copied. done() comes once, perhaps at once; where nobody could be
 * asked its answer is empty. */
void kafka_group_ask(struct kafka_call *call, uint16_t op, const struct buffer *message, groups_done_fn *done, void *owner, uint64_t tag);

/* Decodes an answer; where there is none it becomes one that says so. To be deinit'ed. */
void kafka_group_answer(struct slice answer, struct message_group_response *ret_response);

/* ---- answers' lists ----
 * A leader answers in the order in which it was asked, and leaves out what it has nothing to say of. */
struct kafka_group_walk {
    const struct message_group_response *response;
    size_t topic, partition; /* the next */
};

/* Whether the next thing that the answer says is about this partition: then its place is *ret_place of *ret_list, and the walk goes on. */
bool kafka_group_walk_is(struct kafka_group_walk *walk, const struct uuid *topic, uint32_t partition, const struct message_group_partitions **ret_list,
                         size_t *ret_place);

/* The text beside the offset at `place`; empty: none. */
struct slice kafka_group_metadata(const struct message_group_partitions *list, size_t place);

/* A copy in the call's memory, not NULL where it is empty. False: no memory. */
bool kafka_group_keep(struct kafka_call *call, struct slice from, struct slice *ret_copy);

#endif
