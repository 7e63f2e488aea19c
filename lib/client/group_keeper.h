/* client/group_keeper.h - a thread that says that the process lives: a member's heartbeats, whatever the application does meanwhile.
 *
 * The only thread of the library. It has a client, and so connections, of its own; what both sides share is a few fields under a lock. It decides nothing:
 * when, says group_pulse.h; what came of it is taken by the member's own thread, which it wakes. */
#ifndef CLIENT_GROUP_KEEPER_H
#define CLIENT_GROUP_KEEPER_H

#include "client/group_member.h"
#include "client/topic.h"

struct mesh_consumer;
struct mesh_group_options;
struct group_keeper;

/* Wakes the consumer's client (client_be_wakeable() was called) when there is news; dials the brokers that it knows by now. Options are borrowed until the keeper is
 * freed. Errors: MESH_ENOMEM, MESH_EIO (no thread). */
int group_keeper_new(struct mesh_consumer *consumer, const struct mesh_group_options *options, struct group_keeper **ret_keeper);
void group_keeper_free(struct group_keeper *keeper); /* ends the thread; accepts NULL */

/* What the member says of itself by now. */
void group_keeper_follow(struct group_keeper *keeper, const struct consumer_member_view *view);

/* What a poll returned first. */
struct group_handling {
    uint64_t since_ms;
    int64_t offset;
    int32_t partition;
    char topic[TOPIC_NAME_MAX + 1];
};
/* It is being handled; NULL: no more. After half of the processing limit the thread says so, once. */
void group_keeper_handling(struct group_keeper *keeper, const struct group_handling *handling);

struct group_news {
    struct consumer_member_answer answer;
    uint64_t sent_ms;
    char id[64]; /* whose heartbeat it was */
};

/* The newest good answer, and the newest refusal, since the last call. False: none. */
bool group_keeper_take(struct group_keeper *keeper, struct group_news *ret_news);

#endif
