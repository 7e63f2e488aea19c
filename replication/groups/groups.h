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
/* How many elections that accepted a loss its leaders have made up for: fenced, and put back what others had heard. */
uint32_t groups_losses(const struct groups *groups);

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
struct slice group_classic_type(const struct group *group); /* what its members of Kafka's classic protocol are; empty: it has none */

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

/* ---- walking over turns ----
 * *place is 0 first, and stays good while records are applied between two calls: what is there all the time is met once; what comes or goes meanwhile, maybe. */

struct group_cell_view {
    const struct group *group;
    struct uuid topic;
    uint32_t partition;
    struct group_offset offset;
};
bool groups_next_cell(const struct groups *groups, uint32_t *place, struct group_cell_view *ret_cell); /* false at the end */
const struct group *groups_next_at(const struct groups *groups, uint32_t *place);                      /* NULL at the end */

/* Epoch and place of the record that changed a group last: itself, its members or its generation. As far as this replica knows: where it began at a checkpoint,
 * that of the group's image there. */
void group_changed_at(const struct group *group, uint32_t *ret_epoch, uint64_t *ret_lsn);

/* ---- changes, for who tells others of them (the leader's owner) ---- */

#define GROUPS_GONE_MAX 4096 /* deletions that nobody has asked for yet; beyond, everything has to be told anew */

enum groups_change_kind {
    GROUPS_CHANGE_CELL,
    GROUPS_CHANGE_CELL_GONE,
    GROUPS_CHANGE_GROUP,
    GROUPS_CHANGE_GROUP_GONE, /* with all its offsets */
};

struct groups_change {
    enum groups_change_kind kind;
    struct slice name;          /* of the group; all slices live until the next record is applied or the next change asked for */
    const struct group *group;  /* CELL, GROUP */
    struct uuid topic;          /* CELL, CELL_GONE */
    uint32_t partition;         /* likewise */
    struct group_offset offset; /* CELL */
    uint32_t epoch;             /* version: of the record that changed it last */
    uint64_t lsn;
};

/* Begins to note what changes (no change is told of before), or ends to; memory is taken as things change, 4 bytes and a bit each. Errors: MESH_ENOMEM. */
int groups_watch_changes(struct groups *groups, bool is_on);

/* Something that changed since it was told last and whose latest change lies before `below` (the high watermark): each once, as it is by then. What changes
 * again before the high watermark gets there waits for that. False: nothing more. */
bool groups_next_change(struct groups *groups, uint64_t below, struct groups_change *ret_change);

/* How many deletions are noted before some are not: who deletes at leisure waits for them to be told. */
uint32_t groups_gone_room(const struct groups *groups);

/* True, once: some changes were not noted (many deletions, no memory): walk over everything. */
bool groups_changes_lost(struct groups *groups);

size_t groups_member_count(const struct groups *groups); /* of all groups */
size_t groups_offset_count(const struct groups *groups);
size_t groups_offset_bytes(const struct groups *groups); /* memory of committed offsets, for figures */

#endif
