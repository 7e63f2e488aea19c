/* A member of a consumer group that speaks frames and nothing else: one request at a time, no retries but of what may be tried again because nothing was done. */
#ifndef TEST_GROUP_CLIENT_H
#define TEST_GROUP_CLIENT_H

#include "raw_client.h"
#include "wire/message_group.h"

#include <mesh/error.h>

struct group_client {
    struct raw_client *raw;
    const char *group, *member, *instance;
    int32_t epoch; /* of the newest answer; -1: none */
    uint64_t sequence;
    uint32_t generation;
    /* The newest answer, which borrows from `frame`. */
    struct message_group_response response;
    struct raw_frame frame;
};

void group_client_init(struct group_client *client, struct raw_client *raw, const char *group, const char *member);
void group_client_deinit(struct group_client *client);

/* A head for the next request; of a changing one the sequence rises. */
struct message_group_head group_client_head(struct group_client *client, bool is_change);

/* Sends encoded bytes; the answer is in client->response. Returns its error. Asks again while there is no leader yet. */
int group_client_ask(struct group_client *client, uint16_t op, struct slice message);

int group_client_join(struct group_client *client, const char *topic); /* session of 10 s */
int group_client_heartbeat(struct group_client *client, bool wants_work);
/* CLAIM, RELEASE, LEAVE, DELETE. topic NULL: no partitions. */
int group_client_change(struct group_client *client, uint16_t op, const struct uuid *topic, const uint32_t *partitions, size_t count);
/* One partition; of a member, or (member NULL) of nobody. */
int group_client_commit(struct group_client *client, const struct uuid *topic, uint32_t partition, int64_t offset);
int group_client_offsets(struct group_client *client, const struct uuid *topic, uint32_t partition); /* topic NULL: all */
int group_client_reset(struct group_client *client, const struct uuid *topic, uint32_t partition, int64_t offset, bool is_forced, bool is_dry);

/* Heartbeats until the member is to do `kind` with exactly `count` partitions of the topic; they are in *ret_partitions (room for count). */
void group_client_await_work(struct group_client *client, enum message_group_work kind, const struct uuid *topic, uint32_t *ret_partitions, size_t count);

#endif
