/* groups/groups.h - the state of one group partition: groups, members, generations, claims, committed offsets.
 *
 * Every replica applies the records of the partition's log in their order, as they arrive (PROTOCOLS 2.5): a follower that becomes leader has
 * nothing to load. Equal records make equal states. A replica whose log is cut throws the state away and applies what is left: a log
 * is a few MB, for it starts at a checkpoint (checkpoint.h).
 *
 * What is applied need not be committed yet. Who answers or gossips what is read here does so once the high watermark has passed groups_next_lsn() of the
 * moment of reading. Owned by one loop; what views return lives until the next record is applied. */
#ifndef GROUPS_GROUPS_H
#define GROUPS_GROUPS_H

#include "replication/groups/record.h"

#define GROUP_PARTITIONS 64 /* internal partitions in which groups live */

struct groups;
struct group;
struct group_member;

/* The number of the internal partition in which a group lives. */
uint32_t group_partition_of(struct slice name);

/* The state before the first record of a log that starts at log_start. Where that is not 0 everything before the first checkpoint is passed over.
 * Errors: MESH_ENOMEM. */
int groups_new(uint64_t log_start, struct groups **ret_groups);
void groups_free(struct groups *groups); /* accepts NULL */

/* Applies the record at place lsn, in a batch of leader epoch `epoch`. Places rise; those of control records are left out.
 * Errors: MESH_ECORRUPT (bytes that are no record, or a record that cannot follow: an honest leader never wrote it), MESH_EVERSION,
 * MESH_ENOMEM. After an error the state is of no use: free it, and apply the log from its start. */
int groups_apply(struct groups *groups, uint32_t epoch, uint64_t lsn, struct slice record);

uint64_t groups_next_lsn(const struct groups *groups); /* behind the last record that was applied */

/* All that the log tells is here: false from a log's later start up to the end of its first checkpoint. */
bool groups_is_whole(const struct groups *groups);

/* Where the log may start, since a checkpoint that begins there is complete. The caller moves it there once the high watermark has passed
 * *ret_end, the place behind the checkpoint's end. False: there is no such place yet. */
bool groups_log_may_start(const struct groups *groups, uint64_t *ret_start, uint64_t *ret_end);

/* Equal for equal states, whatever way they came about: to compare replicas that have applied the same records. */
uint64_t groups_hash(const struct groups *groups);

/* ---- views ---- */

struct group_view {
    struct slice name;
    enum group_protocol protocol;
    enum group_strategy strategy; /* of the present generation */
    uint32_t generation;          /* 0: never assigned */
    uint32_t reset_epoch;         /* how often an operator has set offsets */
    uint64_t empty_since_ms;      /* wall clock; 0: it has members */
    uint32_t member_count, topic_count, cell_count;
};

struct group_member_view {
    struct group_member_info info;
    uint32_t joined_in;             /* generation */
    uint32_t target_count, claims; /* partitions */
};

struct group_offset {
    uint64_t offset;
    uint32_t version_epoch; /* compared before the lsn: later commits win, not larger offsets */
    uint64_t version_lsn;
    int32_t record_epoch;
    uint32_t committed_s; /* wall clock */
    struct slice metadata;
};

struct group_claim_view {
    const struct group_member *target, *owner; /* NULL: nobody */
    uint32_t claimed_in;                       /* generation */
};

size_t groups_count(const struct groups *groups);
const struct group *groups_find(const struct groups *groups, struct slice name);         /* NULL: none */
const struct group *groups_next(const struct groups *groups, const struct group *group); /* every group in no order; NULL first */
struct group_view group_view_of(const struct group *group);

const struct group_member *group_find_member(const struct groups *groups, const struct group *group, struct slice id);
const struct group_member *group_next_member(const struct group *group, const struct group_member *member); /* NULL first */
struct group_member_view group_member_view_of(const struct group_member *member);

/* False: nothing was committed (and *ret_offset is untouched). */
bool group_committed(const struct groups *groups, const struct group *group, const struct uuid *topic, uint32_t partition, struct group_offset *ret_offset);
struct group_claim_view group_claim_of(const struct groups *groups, const struct group *group, const struct uuid *topic, uint32_t partition);

/* Every partition of a group that has an offset, a target or a claim: start with {0}. False at the end. */
struct group_cursor {
    const void *line;
    uint32_t partition;
};
bool group_next_partition(const struct groups *groups, const struct group *group, struct group_cursor *cursor, struct uuid *ret_topic, uint32_t *ret_partition);

size_t groups_offset_bytes(const struct groups *groups); /* memory of committed offsets, for figures */

#endif
