/* groups/state.h - inside the state, for the files of this folder alone. */
#ifndef GROUPS_STATE_H
#define GROUPS_STATE_H

#include "base/map.h"
#include "replication/groups/cell_table.h"
#include "replication/groups/groups.h"
#include "replication/groups/number_index.h"

#define STATE_LEFT_MAX 256 /* members that are remembered after they have left */
#define FENCE_STEP 65536 /* generations that a fence skips: more than a lost tail of the log can have given away */

/* One partition as a group with members sees it. Members by number plus 1, 0: nobody. */
struct group_slot {
    uint32_t target;
    uint32_t owner;      /* who has claimed it and not released it */
    uint32_t claimed_in; /* generation of the claim, or CLAIM_VOID */
};

/* A reset has ended the claim, and its member may not know: nothing is committed under it any more, but nobody else claims before the member has let go,
 * or claimed again, or is gone. */
#define CLAIM_VOID INT32_MAX

static inline bool slot_is_claimed_by(const struct group_slot *slot, uint32_t number)
{
    return slot->owner == number + 1 && slot->claimed_in != CLAIM_VOID;
}

/* The partitions of a topic that somebody has a target or a claim of. */
struct group_slots {
    uint32_t count;
    uint32_t targets, claims; /* slots that have one */
    struct group_slot of[];
};

/* A topic of a group: named here once, and by number in each cell. It lives while it has cells, targets or claims. Lines lie in pages of LINE_PAGE
 * that never move: there may be one for each offset. */
struct group_line {
    struct group *group;     /* NULL: free, and next is another such */
    struct group_line *next; /* of the group */
    struct group_slots *slots; /* owned; NULL: none */
    struct uuid topic;
    uint32_t number;
    uint32_t cell_count;
    uint32_t partition_end; /* behind the highest partition that has had a cell */
    uint32_t imaged_in;     /* the leader's alone: number of the checkpoint that has its cells, or saw it begin */
};

#define LINE_PAGE    64u
#define LINES_WALKED 4u /* of a group; with more they are found by the index */

struct group_member {
    struct map_node node; /* in groups->members */
    struct group *group;
    struct group_member *next; /* of the group, in the order of joining */
    uint32_t number;
    uint32_t joined_in;
    uint32_t targets, claims;
    struct buffer bytes;           /* its IMAGE_MEMBER record */
    struct group_member_info info; /* borrows from bytes */
    /* The leader's alone, no part of the state (lead.h). */
    uint64_t heard_ms;
    uint64_t release_by_ms; /* 0: nothing is asked back */
    uint64_t watched_ms;    /* when it is looked at next; 0: not yet */
    uint64_t looked_at;     /* the group's count of changes when has_work was found */
    uint64_t sequence;      /* of the last request that was judged in this epoch */
    uint64_t lives[2];      /* hashes of the last ids whose place this one took; 0: none */
    bool has_work;
};

/* What a group has while it has members, of either protocol. */
struct group_life {
    struct group_member *first, *last;
    uint32_t member_count;
    struct buffer classic; /* of a group of the classic protocol: what its last record said (classic_image.h) */
    uint32_t classic_count; /* its members */
    uint32_t classic_generation; /* which they know; older than the group's after a fence */
    bool is_unassigned; /* the leader's alone: its last assignment failed, and targets are not what members subscribe to */
    uint64_t changes; /* of targets and claims: what a look at them has found holds while this stays */
};

/* Most groups have no members, and few offsets: what is here there may be a hundred thousand times. */
struct group {
    struct group_line *lines;
    struct group_life *life; /* owned; NULL: no members, and nothing of the classic protocol */
    uint64_t empty_since_ms;
    uint64_t changed_lsn;
    uint32_t changed_epoch;
    uint32_t generation, reset_epoch, line_count, cell_count;
    uint32_t number;
    uint32_t next_noted; /* 1 + number, 0: none */
    /* The leader's alone. */
    uint32_t next_dirty; /* 1 + number, 0: none */
    uint32_t imaged_in;  /* number of the checkpoint that has its image, or saw it begin */
    uint8_t protocol, strategy; /* enum group_protocol, enum group_strategy */
    bool is_noted;       /* in the change log, as next_noted of another, or its first or last */
    bool is_dirty;
    bool is_indexed;     /* its lines are in the index: there were more than LINES_WALKED once */
    uint8_t name_size;
    uint8_t name[];
};

/* Numbers for things, given again once they are free. */
struct group_numbers {
    void **things; /* owned. Of a free number: 2 * the next free one + 1, which no pointer is */
    uint32_t top, room;
    uint32_t free; /* 1 + number, 0: none */
    uint32_t count; /* in use */
};

struct groups {
    struct group_numbers group_numbers, member_numbers;
    struct number_index group_index, line_index;
    struct map members;
    struct group_line **line_pages; /* owned */
    uint32_t line_top, line_page_count, line_page_room;
    struct group_line *line_free;
    struct change_log *change_log; /* owned; NULL: nobody watches (changes.c) */
    struct cell_table cells;
    uint64_t next_lsn;
    uint64_t left[STATE_LEFT_MAX]; /* hashes of who left last, no part of the state: what was read of them is known, a checkpoint tells nobody of them */
    uint32_t left_next;
    uint32_t losses; /* groups_losses() */
    bool is_passing;     /* the log starts late, and its checkpoint has not begun */
    bool is_restoring;   /* ... and has not ended: what is unknown is passed over */
    bool is_checkpointing;
    bool is_salvaging;   /* the next record is a SALVAGED of this replica's own: what is here is what the log has */
    uint32_t checkpoint; /* number of the one that is being written, or was last */
    uint64_t checkpoint_lsn, log_start, log_start_end;
    bool has_log_start;
    int broken; /* the error after which nothing works */
#ifdef MESH_TEST_SWITCHES
    uint64_t defects;
#endif
};

static inline struct slice group_name(const struct group *group)
{
    return slice_of(group->name, group->name_size);
}

static inline uint64_t group_hash(const struct group *group)
{
    return map_hash_bytes(group->name, group->name_size);
}

/* NULL: nothing has this number. */
static inline void *group_numbered(const struct group_numbers *numbers, uint32_t number)
{
    return number >= numbers->top || ((uintptr_t)numbers->things[number] & 1) != 0 ? NULL : numbers->things[number];
}

static inline struct group_member *group_member_of_number(const struct groups *groups, uint32_t number_plus_1)
{
    return number_plus_1 == 0 ? NULL : group_numbered(&groups->member_numbers, number_plus_1 - 1);
}

static inline struct group *group_of_number(const struct groups *groups, uint32_t number_plus_1)
{
    return number_plus_1 == 0 ? NULL : group_numbered(&groups->group_numbers, number_plus_1 - 1);
}

static inline struct group_line *group_line_of_number(const struct groups *groups, uint32_t number)
{
    return &groups->line_pages[number / LINE_PAGE][number % LINE_PAGE];
}

/* Every group: NULL first. */
static inline struct group *state_next_group(const struct groups *groups, const struct group *group)
{
    return (struct group *)groups_next(groups, group);
}

static inline struct group_member *group_first_member(const struct group *group)
{
    return group->life == NULL ? NULL : group->life->first;
}

static inline uint32_t group_member_count(const struct group *group)
{
    return group->life == NULL ? 0 : group->life->member_count;
}

static inline uint32_t group_classic_count(const struct group *group)
{
    return group->life == NULL ? 0 : group->life->classic_count;
}

static inline uint32_t line_slot_count(const struct group_line *line)
{
    return line->slots == NULL ? 0 : line->slots->count;
}

/* ---- state.c: things come and go ---- */

int state_add_group(struct groups *groups, struct slice name, struct group **ret_group); /* MESH_ENOMEM */
/* What a record says of a group of the classic protocol; empty: it is none any more. Errors: MESH_ENOMEM. */
int state_set_classic(struct group *group, uint32_t generation, struct slice classic);
void state_drop_group(struct groups *groups, struct group *group);                        /* with all that it has */
void state_drop_all(struct groups *groups);

struct group_line *state_find_line(const struct groups *groups, const struct group *group, const struct uuid *topic); /* NULL: none */
int state_add_line(struct groups *groups, struct group *group, const struct uuid *topic, struct group_line **ret_line);  /* or the one that is there */
int state_grow_slots(struct group_line *line, uint32_t count);
void state_tidy_lines(struct groups *groups, struct group *group); /* drops slots and lines that nothing needs */

/* A member as `info` says; where one has this id, or the id that info replaces, it becomes that one. */
int state_set_member(struct groups *groups, struct group *group, const struct group_member_info *info, uint32_t joined_in, struct group_member **ret_member);
void state_drop_member(struct groups *groups, struct group_member *member);
void state_note_left(struct groups *groups, const struct group *group, struct slice id);
bool state_has_left(const struct groups *groups, const struct group *group, struct slice id); /* not long ago */
void state_clear_claims(struct groups *groups, struct group_member *member);

void state_set_target(struct groups *groups, struct group_line *line, uint32_t partition, uint32_t target);
void state_set_owner(struct groups *groups, struct group_line *line, uint32_t partition, uint32_t owner, uint32_t claimed_in);

int state_set_cell(struct groups *groups, struct group_line *line, const struct group_item *item);
void state_drop_cell(struct groups *groups, struct group_line *line, uint32_t partition); /* it is there */
struct slice state_metadata(const struct groups *groups, const struct group_line *line, uint32_t partition);

/* ---- changes.c: noted only while somebody watches; a group's version always ---- */

void change_group(struct groups *groups, struct group *group, uint32_t epoch, uint64_t lsn);
void change_cell(struct groups *groups, const struct group_line *line, uint32_t partition); /* it is there */
void change_cell_gone(struct groups *groups, const struct group_line *line, uint32_t partition, uint32_t epoch, uint64_t lsn);
void change_group_gone(struct groups *groups, struct group *group, uint32_t epoch, uint64_t lsn);
void change_log_free(struct groups *groups);

/* ---- hash.c ---- */

uint64_t state_group_hash(const struct groups *groups, const struct group *group); /* but for its cells */
uint64_t state_cells_hash(const struct groups *groups, const struct group *group);

/* ---- apply.c ---- */

void apply_fence(struct groups *groups, uint32_t epoch, uint64_t lsn); /* no generation and no claim of before counts any more */

/* ---- restore.c: records of checkpoints ---- */

int restore_apply(struct groups *groups, uint32_t epoch, uint64_t lsn, const struct group_record *record);

#endif
