/* client/group_member.h - a member of a consumer group: every decision about joining, claims, commits and the lease. No I/O.
 *
 * Answers, time and what the application has done go in; requests to send and changes of what is consumed come out. The member talks to the
 * leader of its group's partition (replication/groups/lead.h says what that does). At most one request is under way, so a later one never
 * overtakes an earlier; each has a sequence above all before it, and is never sent twice: what had no answer is asked anew, as it is meant by then, under
 * a new sequence, and late copies of the old one are refused. Heartbeats go their own way (group_pulse.h), whatever the application does meanwhile.
 *
 *        work: CLAIM             answer                work: RELEASE                  let go             released
 *   (none) ------> CLAIMING ---------------> OWNED --------------------> ASKED_BACK --------> LETTING_GO --------> (none)
 *                             ASSIGNED         ^ '--- work: HOLD, RESUMED ---'  ASKED_BACK      commits first
 *   In each state: the leader says that the claim is over, or knows the member no more: LOST.
 *
 * **The lease.** An answer proves that nobody else led the group before something that happened at the leader, so nobody else is given what is claimed here before
 * the newest request that the leader had heard by then was sent, plus the session: by the member's own clock alone, for the member remembers when it sent what
 * no proof has reached yet (the oldest and the newest of it). After nine tenths of it nothing more may be handed out (consumer_member_may_handle()) until another answer has come: the leader
 * may have given everything away. What was claimed is kept meanwhile, for it may turn out that nothing was. And what is asked back is taken away after the
 * limit that the member has declared: so nothing may be handed out, either, when it is unknown for nine tenths of that what is asked back. Owned by one
 * thread. */
#ifndef CLIENT_GROUP_MEMBER_H
#define CLIENT_GROUP_MEMBER_H

#include "base/slice.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONSUMER_MEMBER_CELLS_MAX   100000     /* in one request, as brokers take; what is more goes with the next */
#define CONSUMER_MEMBER_OFFSET_NONE UINT64_MAX /* nothing was committed */
#define CONSUMER_MEMBER_NEVER       UINT64_MAX /* no deadline */

struct consumer_member_terms {
    uint32_t session_timeout_ms;
    uint32_t processing_limit_ms; /* what is asked back is taken away after so long */
    uint32_t commit_interval_ms; /* what was stored is committed so often; 0: only when asked */
    bool is_static;              /* it has an instance name: closing does not leave, its next life takes over */
};

struct consumer_member; /* opaque */

/* It wants to join at once. `seed`: of its ids and pauses; no two members may have the same. Errors: MESH_ENOMEM. */
int consumer_member_new(const struct consumer_member_terms *terms, uint64_t seed, uint64_t now_ms, struct consumer_member **ret_member);
void consumer_member_free(struct consumer_member *member); /* accepts NULL */

/* ---- requests out, answers in ---- */

enum consumer_member_request_kind {
    CONSUMER_MEMBER_JOIN, /* the caller adds what it subscribes to, and who it is */
    CONSUMER_MEMBER_WORK, /* a heartbeat that asks for everything that concerns the member */
    CONSUMER_MEMBER_CLAIM,
    CONSUMER_MEMBER_RELEASE,
    CONSUMER_MEMBER_COMMIT,
    CONSUMER_MEMBER_LEAVE,
};

struct consumer_member_cell {
    struct uuid topic;
    uint32_t partition;
    int32_t record_epoch; /* COMMIT: leader epoch of the record before `offset`, -1: unknown */
    uint64_t offset;      /* COMMIT */
    struct slice metadata; /* COMMIT */
};

struct consumer_member_request {
    enum consumer_member_request_kind kind;
    uint64_t sequence;   /* its number, too */
    struct slice member; /* id */
    uint32_t epoch;      /* 1 + that of the leader, as last heard; 0: not known (JOIN and WORK only) */
    uint32_t generation;
    uint32_t timeout_ms; /* unanswered for so long it is to be answered with MESH_ETIMEDOUT */
    const struct consumer_member_cell *cells; /* borrowed until the next call: encode them at once */
    size_t cell_count;
};

/* What is to be sent now; false: nothing, before consumer_member_deadline_ms() or an answer or a call. Every request is answered once, by
 * consumer_member_answered(); the next one comes afterwards. */
bool consumer_member_next_request(struct consumer_member *member, uint64_t now_ms, struct consumer_member_request *ret_request);

enum consumer_member_work_kind {
    CONSUMER_MEMBER_HOLD = 0, /* as enum group_work_kind has them */
    CONSUMER_MEMBER_GIVE_BACK,
    CONSUMER_MEMBER_TAKE,
    CONSUMER_MEMBER_WAIT,
};

struct consumer_member_work {
    enum consumer_member_work_kind kind;
    struct uuid topic;
    uint32_t partition;
};

struct consumer_member_item {
    int error;
    uint64_t offset; /* CLAIM: where to begin, or CONSUMER_MEMBER_OFFSET_NONE */
    int32_t record_epoch;
};

struct consumer_member_answer {
    int error; /* the broker's, or of the way there (MESH_ETIMEDOUT, MESH_EUNREACHABLE, ...): then nothing else counts but epoch */
    uint32_t epoch; /* 1 + that of the leader; 0: not told */
    uint32_t generation;
    uint64_t heard_us, proof_behind_us; /* as struct message_group_route has them */
    uint32_t heartbeat_ms; /* of a JOIN: how often to beat; 0: not told */
    bool has_work;
    const struct consumer_member_work *work; /* of WORK */
    size_t work_count;
    const struct consumer_member_item *items; /* of CLAIM, RELEASE and COMMIT, as the request's cells; NULL: all are good */
};

/* `sequence` is the request's; one that is not under way any more is ignored. */
void consumer_member_answered(struct consumer_member *member, uint64_t now_ms, uint64_t sequence, const struct consumer_member_answer *answer);

/* An answer to a heartbeat that was sent at sent_ms for the member's id. */
void consumer_member_heard(struct consumer_member *member, uint64_t now_ms, uint64_t sent_ms, struct slice id, const struct consumer_member_answer *answer);

/* When consumer_member_next_request() may have something by itself. */
uint64_t consumer_member_deadline_ms(const struct consumer_member *member);

/* ---- what is consumed ---- */

enum consumer_member_change_kind {
    CONSUMER_MEMBER_ASSIGNED,   /* consume it from `offset` on; CONSUMER_MEMBER_OFFSET_NONE: nothing was committed */
    CONSUMER_MEMBER_ASKED_BACK, /* hand out no more of it; once all is handled: store, consumer_member_let_go() */
    CONSUMER_MEMBER_RESUMED,    /* it was asked back, and may stay: go on */
    CONSUMER_MEMBER_RELEASED,   /* it was let go, and somebody else may have it */
    CONSUMER_MEMBER_LOST,       /* it is another's, or may be: forget it; it comes as ASSIGNED if it comes again */
    CONSUMER_MEMBER_REFUSED,    /* a commit of it was refused for good (error): a topic that is gone, beyond the log's end, ... */
    CONSUMER_MEMBER_COMMITTED,  /* what was asked for up to `ticket` is done: error 0, or the first partition's that was not */
    CONSUMER_MEMBER_FAILED,     /* nothing goes on (error): fenced, an illegal name, pattern or session. The last change */
    CONSUMER_MEMBER_LEFT,       /* consumer_member_leave() is done. The last change */
};

struct consumer_member_change {
    enum consumer_member_change_kind kind;
    struct uuid topic;
    uint32_t partition;
    int32_t record_epoch; /* ASSIGNED: of the record before `offset`, -1: unknown */
    uint64_t offset;      /* ASSIGNED, REFUSED */
    uint32_t generation;  /* ASSIGNED: that of the claim: a later owner's is higher, wherever it is (a fencing token) */
    int error;
    uint64_t ticket;
};

/* In the order in which they came about. False: none. */
bool consumer_member_next_change(struct consumer_member *member, struct consumer_member_change *ret_change);

/* COMMITTED alone, before all else: for who waits for a commit in the middle of something. False: none. */
bool consumer_member_next_commit(struct consumer_member *member, struct consumer_member_change *ret_change);

/* Whether what is claimed may be handed out to be handled, at this very moment. */
bool consumer_member_may_handle(const struct consumer_member *member, uint64_t now_ms);
uint64_t consumer_member_handle_until_ms(const struct consumer_member *member); /* 0: not now */
bool consumer_member_owns(const struct consumer_member *member, const struct uuid *topic, uint32_t partition); /* OWNED alone */

/* What is to be committed next: everything before `offset` is done. It may be smaller than before (seeking back). `metadata` is copied.
 * Errors: MESH_ENOT_OWNER (no longer claimed, or let go), MESH_EMETADATA_TOO_LARGE, MESH_ENOMEM. */
int consumer_member_store(struct consumer_member *member, const struct uuid *topic, uint32_t partition, uint64_t offset, int32_t record_epoch,
                          struct slice metadata);

/* Commits what is stored, at once; COMMITTED tells the end. Returns the ticket. */
uint64_t consumer_member_commit(struct consumer_member *member);

/* It was asked back, and nothing of it is under way: what is stored is committed, then it is released. Others are ignored. */
void consumer_member_let_go(struct consumer_member *member, const struct uuid *topic, uint32_t partition);

/* The subscription is another one: joins again under the same id. */
void consumer_member_subscribe(struct consumer_member *member);

/* Commits what is stored and leaves (a static member only commits, unless `for_good`); everything is as let go from now on. */
void consumer_member_leave(struct consumer_member *member, bool for_good);

/* ---- for the pulse, and for people ---- */

struct consumer_member_view {
    struct slice id;
    bool is_joined;      /* as far as is known */
    bool is_waiting;     /* partitions are promised that others hold: beat faster */
    uint32_t epoch, generation, heartbeat_ms;
    uint32_t owned;      /* partitions, with those that are asked back */
    uint64_t lease_until_ms;
    int trouble;         /* the error of the last attempt, 0: it succeeded */
};
struct consumer_member_view consumer_member_view(const struct consumer_member *member);

#endif
