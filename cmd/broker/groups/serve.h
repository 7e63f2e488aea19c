/* groups/serve.h - one request about a group, at the shard that keeps the group's partition: decoded, judged by the lead, encoded, and answered when what the
 * answer rests on is committed.
 *
 * The answer is always a message_group_response (DESCRIBE: message_group_describe_response), also that of an error, and says where the group's partition is led.
 * It is encoded while the request is judged, because later the state is another one; the route and the proof's age are added when it leaves, as a second part of
 * the same protobuf message. */
#ifndef BROKER_GROUPS_SERVE_H
#define BROKER_GROUPS_SERVE_H

#include "cmd/broker/groups/groups.h"
#include "wire/message_group.h"

#define GROUPS_TIMEOUT_MS     10000 /* of a request that names none */
#define GROUPS_TIMEOUT_MS_MAX 60000
#define GROUPS_HEARTBEATS     3     /* a member should be heard so often in a session */

struct groups_serve {
    struct group_request request;
    /* The caller's: */
    uint16_t op;
    struct slice message; /* lives until done() */
    void (*done)(struct groups_serve *serve); /* once, now or later; `answer` is the caller's from then on, empty if there was no memory for it */
    /* Out: */
    struct buffer answer;
};

/* Operations that are served here: the leader's. */
bool groups_serve_knows(uint16_t op);

/* On the shard that image_shard_of() names for the group's partition (`number`). */
void groups_serve_start(struct shard *shard, struct groups_serve *serve, uint32_t number, uint32_t timeout_ms);

/* The same of DESCRIBE and OFFSETS, out of the replica that this shard keeps, whoever leads. False: there is none, or not all that it has is committed yet
 * (unless may_be_ahead), so the leader has to be asked; done() is not called then. */
bool groups_serve_local(struct shard *shard, struct groups_serve *serve, uint32_t number, bool may_be_ahead);

/* An answer of those who have no lead to ask: an error, with the route that the image knows. Leaves `to` empty when there is no memory. */
void groups_answer_error(const struct image *image, uint32_t number, int error, const char *text, struct buffer *to);

/* 0, or the error that an answer tells: its first field. */
int groups_answer_peek(struct slice answer);

#endif
