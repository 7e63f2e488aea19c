/* replicas/judge.h - whose records are right, when the digests of replicas differ though the records of each are sound. Pure functions. */
#ifndef BROKER_REPLICAS_JUDGE_H
#define BROKER_REPLICAS_JUDGE_H

#include "cmd/broker/replicas/heal_message.h"

#include <stdbool.h>
#include <stddef.h>

/* What one replica said of a range. */
struct judge_voice {
    uint8_t digest[HEAL_DIGEST_SIZE];
    bool is_known; /* false: it could not be asked, or has not all of it */
    bool is_leader, is_self;
};

enum judge_verdict {
    JUDGE_EQUAL,   /* nobody who is known differs from this broker's */
    JUDGE_SELF,    /* this broker's records are wrong */
    JUDGE_LEADER,  /* the leader's are */
    JUDGE_OTHER,   /* a third one's are: it will find out itself */
    JUDGE_UNKNOWN, /* the leader, or this broker, did not say */
};

/* The records that most replicas have are right; of several that as many have, the leader's. */
enum judge_verdict judge_range(const struct judge_voice *voices, size_t count);

#endif
