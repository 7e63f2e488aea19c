/* groups/ends.h - what is to be committed is compared with the ends of partitions that this shard does not lead: before a request is judged their leaders are asked,
 * where it goes beyond what is known here.
 *
 * Ends only rise, so what was heard of one once is a lower bound for good, and a commit below it costs a look-up. A consumer that is close behind the producers goes
 * beyond: then one question goes to each leader, for all partitions of the request, and all that comes about the same group waits behind it, in order. Whoever does not
 * answer in time, or cannot know, is not waited for: what he leads is taken at the consumer's word. Belongs to the shard's thread. */
#ifndef BROKER_GROUPS_ENDS_H
#define BROKER_GROUPS_ENDS_H

#include "cmd/broker/groups/groups.h"

#define GROUPS_ENDS_WAIT_MS 1000   /* for an answer */
#define GROUPS_ENDS_KNOWN   100000 /* partitions; beyond it all is forgotten */
#define GROUPS_ENDS_ASKING  1024   /* requests that ask, or wait behind one that does; beyond it MESH_EBUSY */

struct groups_question;

/* judge()'s word for: it was asked, and judge() is called once more with the answers. */
#define GROUPS_JUDGE_AGAIN 1

/* In judge(), with the request's cells. 0: they can be judged. GROUPS_JUDGE_AGAIN: judge() returns it. Errors: MESH_ENOMEM, MESH_EBUSY (nothing was done). */
int groups_ends_ask(struct group_request *request, const struct group_commit_cell *cells, size_t count);
/* judge() has returned: the request may arrive again from now on, also inside this call. */
void groups_ends_sent(struct group_request *request);

/* Before a request that may change something is judged: true, it waits behind one of its group that asks, and arrives again. Errors: as above, in *ret_error. */
bool groups_ends_wait(struct group_request *request, int *ret_error);

/* The catalog's log_end() of what is led elsewhere, while this request is judged. */
uint64_t groups_ends_answered(const struct groups_question *question, const struct uuid *topic, uint32_t partition);

/* The request ends: its question is of no more use. */
void groups_ends_let_go(struct group_request *request);

void groups_ends_stop(struct shard *shard); /* who waits hears MESH_ESHUTDOWN */
void groups_ends_deinit(struct shard *shard);

/* requests.c: from the beginning. */
void groups_arrive(struct group_request *request);
void groups_end_request(struct group_request *request, int error);

#endif
