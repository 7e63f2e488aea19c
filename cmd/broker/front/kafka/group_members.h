/* broker/front/kafka/group_members.h - one question of a member to its group's leader, asked again for as long as it has to wait for others. */
#ifndef BROKER_FRONT_KAFKA_GROUP_MEMBERS_H
#define BROKER_FRONT_KAFKA_GROUP_MEMBERS_H

#include "cmd/broker/front/kafka/group_call.h"

#include <ev.h>

struct kafka_group_question {
    struct message_group_classic request; /* its slices live as long as the call */
    /* On the shard, while somebody wants to know: the answer, which is not to wait any more. Borrowed. */
    void (*answered)(struct kafka_call *call, const struct message_group_classic_response *response);
    struct kafka_call *call;
    ev_timer timer;
    uint32_t wait_ms; /* until it is asked again */
    struct slice member; /* an id that it was told meanwhile */
    int32_t epoch;       /* of the leader that told it to wait */
    size_t name_count;   /* of the request as it was sent first */
    uint64_t lost_ms;    /* since then no leader answers; 0: one does */
    uint8_t member_bytes[256];
};

/* One `out` of the call, until it is answered; then answered(), and the `out` ends. request and answered are set, the rest is zero. */
void kafka_group_question_ask(struct kafka_group_question *question, struct kafka_call *call);

#endif
