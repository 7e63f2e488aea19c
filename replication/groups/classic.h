/* groups/classic.h - Kafka's classic protocol on a lead: members join, a barrier gathers them, one of them assigns, all are told.
 *
 * What is decided here is soft until a generation is complete: then its members, what they said and what they were assigned become one record, and a new leader
 * goes on with them; who was in the middle of a rebalance begins it again. A group has classic members or members of ours, never both; its offsets are the same.
 *
 * Who has to wait for others (JoinGroup, SyncGroup) is told so, and asks again, as often as it likes: what the answer is, the state of the group says. So nothing
 * is kept for who waits, and who has gone away holds up nobody for longer than its own limits. */
#ifndef GROUPS_CLASSIC_H
#define GROUPS_CLASSIC_H

#include "replication/groups/lead.h"

#define GROUP_CLASSIC_PROTOCOLS_MAX 100            /* that a member offers */
#define GROUP_CLASSIC_BYTES_MAX     (64u << 20)    /* of all members of a partition's groups: what they say and are assigned */

enum group_classic_state {
    GROUP_CLASSIC_EMPTY,      /* no members */
    GROUP_CLASSIC_PREPARING,  /* members are to join (again) */
    GROUP_CLASSIC_COMPLETING, /* all have; the one that leads it is to assign */
    GROUP_CLASSIC_STABLE,
};

struct group_classic_protocol {
    struct slice name, metadata;
};

struct group_classic_join {
    struct slice group, member, instance; /* member empty: somebody new */
    struct slice new_id;                  /* for somebody new; never used before */
    struct slice client, host;            /* for people */
    struct slice protocol_type;
    const struct group_classic_protocol *protocols; /* what it can do, the best first */
    size_t protocol_count;
    uint32_t session_timeout_ms, rebalance_timeout_ms;
    bool takes_id; /* KIP-394: somebody new is told its id first, and joins with it */
    bool is_again; /* it has joined and was told to wait; of the rest only group, member and instance are looked at */
};

struct group_classic_reply {
    bool is_waiting;      /* ask again: for others have to come first */
    bool is_id_required;  /* join with `member` */
    bool is_leader;       /* it assigns: group_classic_next_member() tells it of all */
    bool skips;           /* ... but it does not have to (KIP-814) */
    uint32_t generation;
    struct slice member, leader, protocol_type, protocol, assignment; /* live until the next call */
    uint64_t barrier;
    uint32_t session_ms; /* as struct group_judging's */
};

/* Errors: MESH_EINVALID_GROUP, MESH_EINVALID_SESSION_TIMEOUT, MESH_EINVAL, MESH_EGROUP_NOT_EMPTY (it has members of ours), MESH_EUNSUPPORTED (another kind of group,
 * or no protocol in common), MESH_EUNKNOWN_MEMBER, MESH_EFENCED_INSTANCE, MESH_EREBALANCING (is_again: join anew), MESH_EFULL, MESH_ENOMEM. */
int group_lead_classic_join(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms, const struct group_classic_join *join, struct group_classic_reply *ret_reply);

struct group_classic_caller {
    struct slice group, member, instance;
    int64_t generation;
};

struct group_classic_assignment {
    struct slice member, bytes;
};

/* assignments: of the leader; those of others are not looked at. protocol_type and protocol: empty, or they have to be those of the generation.
 * Errors: MESH_EUNKNOWN_MEMBER, MESH_EFENCED_INSTANCE, MESH_ESTALE_GENERATION, MESH_EREBALANCING, MESH_EUNSUPPORTED, MESH_EFULL, MESH_ENOMEM. */
int group_lead_classic_sync(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms, const struct group_classic_caller *caller, struct slice protocol_type,
                            struct slice protocol, const struct group_classic_assignment *assignments, size_t count, struct group_classic_reply *ret_reply);

/* Errors: MESH_EUNKNOWN_MEMBER, MESH_EFENCED_INSTANCE, MESH_ESTALE_GENERATION, MESH_EREBALANCING. */
int group_lead_classic_heartbeat(struct group_lead *lead, uint64_t now_ms, const struct group_classic_caller *caller, struct group_classic_reply *ret_reply);

/* A static member may be named by its instance alone. Errors: MESH_EUNKNOWN_MEMBER, MESH_EFENCED_INSTANCE, MESH_ENOMEM. */
int group_lead_classic_leave(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms, const struct group_classic_caller *caller);

/* Rises whenever who waits may be told something else. */
uint64_t group_lead_classic_changes(const struct group_lead *lead);

/* ---- looking ---- */

struct group_classic_view {
    enum group_classic_state state;
    uint32_t generation;
    struct slice protocol_type, protocol, leader;
    uint32_t member_count;
};

struct group_classic_member_view {
    struct slice id, instance, client, host, metadata, assignment; /* metadata: of the generation's protocol */
};

/* False: it has no members of this protocol, nor anybody about to become one. */
bool group_lead_classic_find(const struct group_lead *lead, struct slice group, struct group_classic_view *ret_view);
/* *cursor is 0 first; false at the end. */
bool group_lead_classic_next_member(const struct group_lead *lead, struct slice group, size_t *cursor, struct group_classic_member_view *ret_view);

#endif
