/* groups/serve_internal.h - how each request is judged. Each decodes serve->message, asks the lead, and encodes its answer; an error is encoded by the caller. */
#ifndef BROKER_GROUPS_SERVE_INTERNAL_H
#define BROKER_GROUPS_SERVE_INTERNAL_H

#include "cmd/broker/groups/serve.h"

typedef int groups_judge_fn(struct groups_serve *serve, struct group_judging *judging);

groups_judge_fn groups_judge_join, groups_judge_heartbeat, groups_judge_leave;          /* serve_members.c */
groups_judge_fn groups_judge_claim, groups_judge_release;                               /* serve_members.c */
groups_judge_fn groups_judge_commit, groups_judge_offsets, groups_judge_reset, groups_judge_delete; /* serve_offsets.c */
groups_judge_fn groups_judge_classic, groups_judge_classic_look;                            /* serve_classic.c */
groups_judge_fn groups_judge_describe;                                                  /* describe.c */

/* The same out of any state. */
int groups_answer_offsets(struct groups_serve *serve, const struct groups *state);                                     /* serve_offsets.c */
int groups_answer_describe(struct groups_serve *serve, const struct groups *state, const struct group_lead *lead); /* describe.c; lead: NULL where another broker's leads */

/* What a request's head says, as the lead wants it. */
struct group_caller groups_caller(const struct message_group_head *head);

/* The reply's part of the answer, and what the driver has to know of it. */
void groups_take_reply(struct group_judging *judging, const struct message_group_head *head, const struct group_reply *reply,
                       struct message_group_response *response);

/* Lists of partitions in the making; what they hold is malloc'ed, for message_deinit_group_response(). */
struct groups_lists {
    struct message_group_partitions *topics;
    size_t count;
    uint32_t partition_count;
    bool has_failed; /* no memory */
};

/* The list of this topic and kind, the last one if possible; NULL: no memory. */
struct message_group_partitions *groups_list_of(struct groups_lists *lists, const struct uuid *topic, uint32_t kind);
void groups_list_add(struct groups_lists *lists, const struct uuid *topic, uint32_t kind, uint32_t partition);
void groups_list_add_error(struct groups_lists *lists, const struct uuid *topic, uint32_t partition, int error);

/* A committed offset, with all that stands beside it. */
void groups_list_add_offset(struct groups_lists *lists, const struct uuid *topic, uint32_t partition, const struct group_offset *offset);

void groups_list_add_claim(struct groups_lists *lists, const struct uuid *topic, uint32_t partition, int error, int64_t offset, int32_t record_epoch);
void groups_list_add_reset(struct groups_lists *lists, const struct uuid *topic, uint32_t partition, int error, int64_t before, int64_t after);
/* offset->offset may be GROUP_OFFSET_NONE; owner and target: places, -1: nobody. */
void groups_list_add_described(struct groups_lists *lists, const struct uuid *topic, uint32_t partition, const struct group_offset *offset, int32_t owner,
                               int32_t target);

/* serve_members.c: the request's partitions one after the other (NULL: no memory), and those that were refused. */
struct group_claim *groups_claims_of(const struct message_group_change *change, size_t *ret_count);
void groups_list_refused_claims(struct groups_lists *lists, const struct group_claim *claims, size_t count);

/* An OFFSETS answer that tells all. */
#define GROUPS_OFFSETS_MAX        50000      /* partitions */
#define GROUPS_METADATA_BYTES_MAX (2u << 20)

void groups_lists_deinit(struct groups_lists *lists);

#endif
