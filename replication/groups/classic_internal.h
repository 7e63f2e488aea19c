/* groups/classic_internal.h - groups of the classic protocol as their lead has them in memory; for classic*.c and the lead. */
#ifndef GROUPS_CLASSIC_INTERNAL_H
#define GROUPS_CLASSIC_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "replication/groups/classic.h"

struct classic_member {
    struct list_node link;
    bool is_pending; /* it was told an id, and has not come with it yet: counted in no barrier's members */
    bool has_joined; /* PREPARING: this time; who has waits for others, and need not be heard */
    bool has_synced; /* COMPLETING: likewise */
    uint32_t session_timeout_ms, rebalance_timeout_ms;
    uint64_t heard_ms;
    struct buffer texts; /* of these: */
    struct slice id, instance, client, host;
    struct buffer protocols; /* name and metadata of each, behind their sizes */
    struct buffer assignment;
    size_t counted_bytes;
};

struct classic_group {
    struct map_node node;
    enum group_classic_state state;
    uint32_t generation;
    struct list_node members;
    uint32_t member_count, pending_count;
    struct classic_member *leader; /* NULL: none yet */
    struct buffer protocol_type, protocol;
    uint64_t due_ms;      /* PREPARING, COMPLETING: it is not waited for longer */
    uint64_t gathers_ms;  /* the first members are gathered, until then at most; 0: it is not the first time */
    bool is_unwritten;    /* no record has told of it: it is no group of the state yet */
    uint32_t name_size;
    uint8_t name[];
};

/* In the lead. */
struct classic_groups {
    struct map by_name;
    size_t unwritten_count; /* of these */
    size_t bytes;
    uint64_t changes;
    uint64_t due_ms;    /* somebody is to be looked at then; UINT64_MAX: nobody */
    uint64_t rests_until_ms; /* nobody is before then */
    bool is_stirred;    /* due_ms has become earlier since the last tick */
    uint32_t session_min_ms;
};

static inline struct classic_member *classic_member_of(struct list_node *node)
{
    return container_of(node, struct classic_member, link);
}

/* ---- classic_group.c: what there is ---- */

struct classic_group *classic_find(const struct group_lead *lead, struct slice name); /* NULL: none */
int classic_add(struct group_lead *lead, struct slice name, struct classic_group **ret_group);
void classic_drop(struct group_lead *lead, struct classic_group *group);
void classic_free_all(struct group_lead *lead);
struct slice classic_name(const struct classic_group *group);
bool classic_has_place(const struct group_lead *lead, struct slice name);   /* it is one of these, and no record has told of it */
void classic_is_written(struct group_lead *lead, struct slice name);        /* ... and now one has */

struct classic_member *classic_find_member(const struct classic_group *group, struct slice id);
struct classic_member *classic_find_instance(const struct classic_group *group, struct slice instance);

/* Members come and go without anything following from it. Errors: MESH_EFULL, MESH_ENOMEM; nothing has changed then. */
int classic_add_member(struct group_lead *lead, struct classic_group *group, const struct group_classic_join *join, struct slice id, bool is_pending,
                       struct classic_member **ret_member);
int classic_change_member(struct group_lead *lead, struct classic_member *member, const struct group_classic_join *join, struct slice id);
int classic_set_assignment(struct group_lead *lead, struct classic_member *member, struct slice bytes);
void classic_free_member(struct group_lead *lead, struct classic_group *group, struct classic_member *member);

/* What a member says about a protocol; false: it does not know it. */
bool classic_metadata(const struct classic_member *member, struct slice protocol, struct slice *ret_metadata);
/* Whether every other member knows one of these. */
bool classic_has_common(const struct classic_group *group, const struct classic_member *but, const struct group_classic_join *join);
/* Whether it says what it has said before. */
int classic_says_the_same(struct group_lead *lead, const struct classic_member *member, const struct group_classic_join *join, bool *ret_same);
/* The protocol that most members would rather have, of those that all know. */
int classic_choose(struct classic_group *group);

/* The record of a group as it is now. */
int classic_write(struct group_lead *lead, struct classic_group *group, uint64_t wall_ms);
/* A new leader takes over who was there: all of them, or, with an error, none. */
int classic_restore(struct group_lead *lead, const struct group *from, uint64_t now_ms);

/* ---- classic_time.c: barriers and limits ---- */

int classic_rebalance(struct group_lead *lead, struct classic_group *group, uint64_t now_ms, uint64_t wall_ms);
/* A new member while the first ones are gathered. */
void classic_newcomer(struct group_lead *lead, struct classic_group *group, uint64_t now_ms);
/* Goes on where nobody is waited for any more; the group may be gone then. */
int classic_try_to_complete(struct group_lead *lead, struct classic_group *group, uint64_t now_ms, uint64_t wall_ms);
/* With all that follows from it; the group may be gone then. */
int classic_remove(struct group_lead *lead, struct classic_group *group, struct classic_member *member, uint64_t now_ms, uint64_t wall_ms);
void classic_heard(struct group_lead *lead, struct classic_member *member, uint64_t now_ms);
int classic_tick(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms);

/* ---- classic.c ---- */

/* Whether a commit is a classic group's, and then whether it may be. */
bool classic_judges(const struct group_lead *lead, struct slice group);
bool classic_has_members(const struct group_lead *lead, struct slice group); /* that have joined, or are on their way */
int classic_judge_commit(struct group_lead *lead, uint64_t now_ms, const struct group_commit *commit);

#endif
