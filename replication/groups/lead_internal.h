/* groups/lead_internal.h - inside the lead, for lead*.c alone. */
#ifndef GROUPS_LEAD_INTERNAL_H
#define GROUPS_LEAD_INTERNAL_H

#include "replication/groups/classic_internal.h"
#include "replication/groups/lead.h"
#include "replication/groups/state.h"
#include "replication/groups/switches.h"

#define LEAD_ITEMS_BYTES 65536 /* a list that is longer goes on in another record */

struct lead_watch {
    uint64_t due_ms;
    uint32_t number; /* of a member; stale unless that member's watched_ms is due_ms */
};

/* A pass over groups and then offsets, in parts. */
struct lead_expiry {
    uint64_t due_ms;
    uint32_t group, cell; /* where it goes on */
    bool has_groups;      /* all of them were looked at */
};

struct group_lead {
    struct groups *groups;
    const struct group_catalog *catalog;
    struct group_limits limits;
    uint32_t epoch;
    uint64_t next_lsn, first_lsn;
    uint64_t settled_lsn; /* behind the last record that has to do with more than committed offsets */
    struct buffer outbox;  /* le32 size, record */
    struct buffer items;   /* of the record in the making */
    struct buffer members; /* of the record in the making */
    struct group *dirty, *dirty_last; /* to be assigned, in order */
    struct lead_watch *watches; /* a heap, the earliest first */
    size_t watch_count, watch_room;
    struct lead_expiry expiry;
    uint64_t began_ms, began_wall_ms; /* the latter of the first tick; 0: there was none */
    uint64_t bytes_since_checkpoint;
    bool is_checkpointing;
    bool is_salvaged; /* the state is what was left of a checkpoint: the next one is due at once, and the truth */
    bool assigns_anew; /* the defect FAILOVER_REBALANCES */
    uint32_t session_min_ms; /* of the members since there were none; who left meanwhile may have had it */
    struct classic_groups classic;
    int broken;
    void (*told)(void *arg, const struct group_event *event);
    void *told_arg;
};

/* ---- lead.c ---- */

/* Encodes, applies, and leaves the record in the outbox. Errors: MESH_ETOOLARGE (nothing changed), MESH_ENOMEM (the lead is of no use any more). */
int lead_emit(struct group_lead *lead, const struct group_record *record);
/* The same with the items that were written since lead_items(), if there are any. */
struct group_items_writer lead_items(struct group_lead *lead, enum group_item_form form);
int lead_emit_items(struct group_lead *lead, struct group_record *record, struct group_items_writer *writer);
void lead_reply(const struct group_lead *lead, const struct group *group, struct group_reply *ret_reply);
void lead_tell(struct group_lead *lead, const struct group_event *event);

void lead_note_session(struct group_lead *lead, const struct group_member *member);

/* ---- lead_members.c ---- */

/* The member that speaks. Errors: MESH_EUNKNOWN_MEMBER, MESH_EFENCED_INSTANCE. */
int lead_find_member(struct group_lead *lead, const struct group_caller *caller, struct group_member **ret_member);
/* The member that asks for a change: this is not a late copy of what it asked for before. Errors: besides, MESH_ESTALE_EPOCH,
 * MESH_EOUT_OF_ORDER_SEQUENCE. */
int lead_find_changer(struct group_lead *lead, const struct group_caller *caller, struct group_member **ret_member);
int lead_add_group(struct group_lead *lead, struct slice name, uint64_t wall_ms, struct group **ret_group);
bool lead_has_work(struct group_lead *lead, struct group_member *member);
void lead_heard(struct group_lead *lead, struct group_member *member, uint64_t now_ms);

/* ---- lead_assign.c ---- */

void lead_mark(struct group_lead *lead, struct group *group);
void lead_unmark(struct group_lead *lead, struct group *group);
int lead_ask_back(struct group_lead *lead, struct group *group, uint64_t now_ms);
int lead_assign_dirty(struct group_lead *lead, uint64_t now_ms);

/* ---- lead_time.c ---- */

int lead_watch(struct group_lead *lead, struct group_member *member, uint64_t now_ms); /* MESH_ENOMEM */

/* ---- lead_expiry.c ---- */

int lead_expire(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms); /* when expiry.due_ms has come; sets the next one */

/* ---- lead_checkpoint.c ---- */

int lead_checkpoint(struct group_lead *lead);
bool lead_wants_checkpoint(const struct group_lead *lead);

#endif
