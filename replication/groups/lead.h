/* groups/lead.h - the decisions of the broker that leads a group partition: requests and time go in, records and answers come out.
 *
 * Each request is judged by the state, and what it brings about is applied to the state at once, as a record at the next place of the log. The owner of the
 * log appends what lies in the outbox at the end of each turn, before anything else is appended. An answer leaves once the high watermark has reached
 * its `barrier`: then what it says is on every replica that may lead next. Where the append fails, or leadership ends, the lead is freed; where
 * records of the outbox did not get into the log, the state, too, and the log is applied from its start.
 *
 * What is held here besides the state is soft: who was heard when. A new leader gives every member its whole session timeout
 * again, and nobody notices. Time: now_ms is monotonic, wall_ms is for people and expiry. Owned by the partition's loop.
 *
 * The protocol (of KIP-848's kind): a member joins, and sends heartbeats. When an answer says has_work it asks for its work (group_lead_work): partitions to
 * release - it ends what it has begun, commits, releases - and to claim - then it consumes from the offset that the claim's answer tells. No
 * partition is for claiming while another member holds it. Partitions that stay are never touched (KIP-429).
 *
 * Requests may be late: a copy that somebody held back can arrive after what came later was acknowledged. So whatever a member changes says which leader
 * epoch the member knows, and carries a number that only rises (struct group_caller): of each member what is newest counts, and nothing older. */
#ifndef GROUPS_LEAD_H
#define GROUPS_LEAD_H

#include "replication/groups/groups.h"

#define GROUP_OFFSET_NONE      UINT64_MAX /* nothing was committed */
#define GROUP_GENERATION_NONE  UINT32_MAX /* of commits by nobody in particular */
#define GROUP_RESET_EPOCH_ANY  UINT32_MAX
#define GROUP_LOG_END_UNKNOWN  UINT64_MAX

/* A topic as the metadata image has it. Slices and zones live until the next look-up. */
struct group_topic {
    struct uuid id;
    struct slice name;
    uint32_t partition_count;
    const uint16_t *zones; /* zone of each partition's leader, as zone_number() counts; NULL: unknown */
};

/* The caller's metadata. Each returns false where there is no such topic. */
struct group_catalog {
    bool (*find)(void *arg, const struct uuid *topic, struct group_topic *ret_topic);
    bool (*find_by_name)(void *arg, struct slice name, struct group_topic *ret_topic);
    bool (*next)(void *arg, size_t *cursor, struct group_topic *ret_topic); /* every topic in the order of names; *cursor is 0 first */
    uint16_t (*zone_number)(void *arg, struct slice zone);                  /* from 1 on; 0: no broker is in such a zone */
    /* Nothing behind this offset can have been consumed: GROUP_LOG_END_UNKNOWN unless it is known for sure. */
    uint64_t (*log_end)(void *arg, const struct uuid *topic, uint32_t partition);
    void *arg;
};

struct group_limits {
    uint32_t session_timeout_min_ms, session_timeout_max_ms; /* Kafka: 6 s to 30 min */
    uint32_t processing_limit_max_ms;
    uint32_t metadata_size_max;   /* at most GROUP_METADATA_SIZE_MAX */
    uint32_t members_max;         /* of a group; at most GROUP_MEMBERS_MAX */
    uint32_t groups_max;          /* of this partition */
    uint32_t classic_gather_ms;   /* after the first members of a group of the classic protocol others are waited for, so long after each; 0: they are not */
    uint32_t cells_max;           /* committed offsets of this partition */
    uint64_t retention_ms;        /* offsets that nobody has used for so long are forgotten (lead_expiry.c); 0: never */
    uint64_t checkpoint_bytes_min; /* of records since the last checkpoint, before there is another */
    uint32_t checkpoint_piece_bytes; /* of one, about, in each tick */
};

void group_limits_init(struct group_limits *limits); /* the defaults */

struct group_lead;

/* Takes over: `groups` holds every record of the partition's log, which ends at groups_next_lsn() or, with control records, at
 * log_end. is_unclean: records that were once acknowledged may be missing (an unclean election): no generation of before counts any more. So it is where
 * the state is not whole, because the log lost the end of its checkpoint: what there is goes on, and is told to the others in a new checkpoint; the event
 * SALVAGED says so.
 * `groups` and `catalog` are borrowed. Errors: MESH_ENOMEM. */
int group_lead_new(struct groups *groups, const struct group_catalog *catalog, const struct group_limits *limits, uint32_t epoch, uint64_t log_end,
                   bool is_unclean, uint64_t now_ms, struct group_lead **ret_lead);
/* What such an election may have lost is fenced, and put back as far as somebody knew it: who leads next need not do it again. `losses`: how many there were so far. Errors:
 * MESH_ENOMEM. */
int group_lead_made_up(struct group_lead *lead, uint32_t losses);
void group_lead_free(struct group_lead *lead); /* accepts NULL; the state is the caller's */

/* ---- the outbox ----
 * It only grows, until all of it is in the log. Its owner may append it in parts, over several turns, while further requests are judged: the cursor
 * stays good all the time, and group_lead_appended() comes once nothing is left of it. */

/* Place that the first record of the outbox has to get. */
uint64_t group_lead_first_lsn(const struct group_lead *lead);
bool group_lead_next_record(const struct group_lead *lead, size_t *cursor, struct slice *ret_record); /* *cursor is 0 first */
size_t group_lead_outbox_size(const struct group_lead *lead); /* bytes, with those that are in the log already: the owner bounds it */
/* All of it is in the log, which now ends at log_end (further on, if control records follow). */
void group_lead_appended(struct group_lead *lead, uint64_t log_end);

/* ---- members ---- */

/* Who asks. A member that asks for a change (all but heartbeats) says what it knows of the leader, so that what was sent to one before is refused, and
 * numbers its requests, so that late copies are. Errors of each such request, before anything is done:
 * MESH_ESTALE_EPOCH: sent to another leader's time, or without knowing the leader's epoch where that is asked for (all but the first join of a member
 * that is not static, and consumers outside of groups): take the epoch from this answer, and ask again for what is wanted *now*.
 * MESH_EOUT_OF_ORDER_SEQUENCE: this or a later one of the same member has been judged: done, or overtaken. */
struct group_caller {
    struct slice group, member, instance; /* instance as it joined, or empty */
    uint32_t epoch_plus_one;              /* 1 + leader epoch that the last answer told; 0: none was heard */
    uint64_t sequence;                    /* from 1 on; larger than in every changing request that this member has sent before */
};

struct group_reply {
    uint32_t generation;
    bool has_work;    /* ask group_lead_work() */
    uint64_t barrier; /* the answer leaves when the high watermark is here or behind it; that of a heartbeat waits for no commits */
};

/* A member joins, or changes what it wants, or is another life of a static one (KIP-345: info.instance is set; the life before is fenced, and nothing
 * is assigned anew). info.id is chosen by who asks, and never used again; info.replaces is ignored. Of the caller's names only the group is looked at.
 * Errors: MESH_EINVALID_GROUP, MESH_EINVALID_SESSION_TIMEOUT, MESH_EINVAL (id, limit, names and a pattern at once), MESH_EINVALID_PATTERN,
 * MESH_EINVALID_TOPIC (a name that no topic may have, or an internal one), MESH_EFULL, MESH_EGROUP_NOT_EMPTY (of the classic protocol),
 * MESH_EFENCED_INSTANCE (another life has taken this one's place), MESH_ENOMEM. */
int group_lead_join(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms, const struct group_caller *caller, const struct group_member_info *info,
                    struct group_reply *ret_reply);

/* A member is there. Neither epoch nor number is looked at: a late one lengthens a session, which harms nobody.
 * Errors: MESH_EUNKNOWN_MEMBER (join with another id: what was claimed is lost), MESH_EFENCED_INSTANCE (end: another life has taken over). */
int group_lead_heartbeat(struct group_lead *lead, uint64_t now_ms, const struct group_caller *caller, struct group_reply *ret_reply);

/* Errors: as of a heartbeat. */
int group_lead_leave(struct group_lead *lead, uint64_t wall_ms, const struct group_caller *caller, struct group_reply *ret_reply);

enum group_work_kind {
    GROUP_WORK_HOLD,    /* go on */
    GROUP_WORK_RELEASE, /* finish, commit, release: somebody else waits */
    GROUP_WORK_CLAIM,   /* free: claim it */
    GROUP_WORK_WAIT,    /* another member has yet to release it */
};

struct group_work {
    enum group_work_kind kind;
    struct uuid topic;
    uint32_t partition;
};

/* Everything that concerns a member: start with {0}. False at the end, or when there is no such member. */
bool group_lead_work(struct group_lead *lead, struct slice group, struct slice member, struct group_cursor *cursor, struct group_work *ret_work);

/* ---- claims ---- */

struct group_claim {
    struct uuid topic;
    uint32_t partition;
    /* Out. MESH_ENOT_OWNER: it is not assigned to this member. MESH_EBUSY: not released yet. */
    int error;
    uint64_t offset; /* where to begin, GROUP_OFFSET_NONE: nothing was committed */
    int32_t record_epoch;
};

/* `generation` is that of the last answer. Claiming what one holds already is good, and tells the offset again.
 * Errors: as of a heartbeat; MESH_ESTALE_GENERATION (ask for the work again), MESH_ETOOLARGE, MESH_ENOMEM. */
int group_lead_claim(struct group_lead *lead, uint64_t now_ms, const struct group_caller *caller, uint32_t generation, struct group_claim *claims, size_t count,
                     struct group_reply *ret_reply);

/* claims[].error: MESH_ENOT_OWNER where it was not this member's. */
int group_lead_release(struct group_lead *lead, uint64_t now_ms, const struct group_caller *caller, struct group_claim *claims, size_t count,
                       struct group_reply *ret_reply);

/* ---- offsets ---- */

struct group_commit_cell {
    struct uuid topic;
    uint32_t partition;
    uint64_t offset; /* the next to be consumed; may be smaller than the one before: seeking back is no error */
    int32_t record_epoch; /* of the record before it, -1: unknown */
    struct slice metadata;
    bool may_pass_end; /* it may lie behind the log's end: who commits it answers for that */
    int error; /* out */
};

struct group_commit {
    struct group_caller caller; /* member empty: a consumer outside of groups, which then has to have no members; its epoch and number are not
                                 * looked at: what fences it is the reset epoch */
    uint32_t generation;        /* the last that the member has seen; GROUP_GENERATION_NONE without a member */
    uint32_t reset_epoch;       /* without a member: that of when it read its offsets, or GROUP_RESET_EPOCH_ANY */
    struct group_commit_cell *cells;
    size_t cell_count;
};

/* Errors for the whole request: as of a heartbeat; MESH_EINVALID_GROUP, MESH_ESTALE_GENERATION, MESH_EREBALANCING (of the classic protocol), MESH_EFULL (groups), MESH_ENOMEM. In cells[].error:
 * MESH_EUNKNOWN_TOPIC, MESH_EOFFSET_OUT_OF_RANGE, MESH_EMETADATA_TOO_LARGE, MESH_EINVAL, MESH_ENOT_OWNER, MESH_ESTALE_GENERATION (claimed again since),
 * MESH_EFULL (nothing was committed of it yet, and the partition of groups takes no more offsets).
 * What is good is committed, whatever else is in the request. A member that commits is alive. */
int group_lead_commit(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms, struct group_commit *commit, struct group_reply *ret_reply);

/* What group_committed() says now holds once the high watermark is here. */
uint64_t group_lead_barrier(const struct group_lead *lead);

/* An operator sets offsets: all of them or, where one is refused, none. Where partitions are claimed the claims end if is_forced (their owners are told
 * to claim again and go on from the new place; others wait until they have heard of it), else it is refused. is_dry: says what would be.
 * Errors: MESH_ENOTFOUND (no such group), MESH_ESTALE_GENERATION (set by somebody else since, or this is a late copy), MESH_EGROUP_NOT_EMPTY (claimed), and in
 * cells[].error what a commit's say; then the first of these. */
struct group_reset {
    struct slice group, who;
    uint32_t reset_epoch; /* of the dry run before (group_view), or GROUP_RESET_EPOCH_ANY */
    bool is_forced, is_dry;
    struct group_commit_cell *cells;
    size_t cell_count;
};
int group_lead_reset(struct group_lead *lead, uint64_t wall_ms, struct group_reset *reset, struct group_reply *ret_reply);

/* Errors: MESH_ENOTFOUND, MESH_EGROUP_NOT_EMPTY (members of the classic protocol); in claims[].error: MESH_EGROUP_NOT_EMPTY (claimed), MESH_ENOTFOUND (nothing was committed). */
int group_lead_delete_offsets(struct group_lead *lead, struct slice group, struct group_claim *claims, size_t count, struct group_reply *ret_reply);

/* Errors: MESH_ENOTFOUND, MESH_EGROUP_NOT_EMPTY. */
int group_lead_delete(struct group_lead *lead, struct slice group, struct group_reply *ret_reply);

/* ---- time ---- */

/* What is worth a line in the event log. Slices live for the call. */
struct group_event {
    enum { GROUP_EVENT_EXPIRED, GROUP_EVENT_SLOW, GROUP_EVENT_ASSIGNED, GROUP_EVENT_DELETED, GROUP_EVENT_TOO_LARGE, GROUP_EVENT_SALVAGED,
           GROUP_EVENT_FORGOTTEN } kind;
    struct slice group, member; /* SLOW: what it holds was taken from it at the end of its own limit; EXPIRED: nothing heard of it */
    uint32_t generation;        /* ASSIGNED; TOO_LARGE: it stays, for what there is to be assigned does not fit a record */
    uint32_t partitions;        /* SLOW: taken away. ASSIGNED: that change hands. SALVAGED (of no group in particular): groups that are left. FORGOTTEN: whose offset has expired, the group goes on */
};

/* Topics came, went or grew: groups are looked at in the next tick. */
void group_lead_catalog_changed(struct group_lead *lead);

/* Ends sessions, takes away what is overdue, assigns, forgets, writes a piece of a checkpoint. To be called when *ret_deadline_ms (monotonic; UINT64_MAX:
 * never) has come, and after requests of a turn where group_lead_is_due(). told: called for each event, may be NULL.
 * What is much (a topic that a hundred thousand groups want) is done in parts, tick by tick. Offsets expire by the wall clock, but not faster than time passes: a clock
 * that is set forward expires nothing.
 * Errors: MESH_ENOMEM (after which the lead is of no use). */
int group_lead_tick(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms, void (*told)(void *arg, const struct group_event *event), void *arg,
                    uint64_t *ret_deadline_ms);
bool group_lead_is_due(const struct group_lead *lead); /* something was decided that a tick has to follow up */
bool group_lead_is_broken(const struct group_lead *lead); /* memory was short in the middle of a change: it and the state are of no use any more */

/* Not longer than the shortest session of any member; 0: there are no members. */
uint32_t group_lead_session_min_ms(const struct group_lead *lead);

#endif
