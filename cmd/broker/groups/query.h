/* groups/query.h - what people ask about groups, gathered on the control loop: lists out of the replicas that this broker keeps, and descriptions with lag.
 *
 * A list is what the replicas here hold, of the moment, and what was heard of the other group partitions (age_ms): the former may run ahead of what is committed by
 * what is being committed; it says of how many group partitions it knows nothing. A description comes from a replica here that has everything committed, else from
 * the group's leader, and where none answers from what was heard; the ends of its topics are asked of their leaders, and where one
 * does not answer it is what it told last (spread/ends_tell.h); age_ms is that of the oldest of these. */
#ifndef BROKER_GROUPS_QUERY_H
#define BROKER_GROUPS_QUERY_H

#include "wire/message_group.h"

struct control;

/* Control loop, once, always later. error 0: the bytes of a message_group_list_response or message_group_describe_response, borrowed. */
typedef void groups_query_fn(void *user, int error, struct slice answer);

/* Errors (done will not run): MESH_ENOMEM, MESH_EBUSY (the broker is starting). */
int groups_query_list(struct control *control, const struct message_group_list *request, groups_query_fn *done, void *user);
int groups_query_describe(struct control *control, const struct message_group_describe *request, groups_query_fn *done, void *user);

#endif
