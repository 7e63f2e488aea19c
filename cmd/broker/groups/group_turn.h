/* groups/group_turn.h - one replica of a partition of groups, beside its log: what is read of the log and applied, when to lead, what to append, which
 * answers may leave, what proves that this is still the leader.
 *
 * Decisions only: no shard, log, socket or clock. The owner (driver.c; in the simulator groups_program.c) has the log, says what it knows in
 * struct group_facts, and does what it is told. In each turn:
 *
 *   group_part_wants_log() -> read -> group_part_take()          the state follows the log's end
 *   group_part_turn()                                            begins or ends to lead; time
 *   requests: group_part_ready() -> group_lead_*(part->lead) -> group_part_wait()
 *   group_part_next_batch() -> append -> group_part_appended()   the outbox goes out
 *   group_part_committed() when the high watermark rose          answers leave
 *
 * **Proof of leadership.** A leader that was deposed and does not know it answers heartbeats without appending anything: it would keep members
 * of its side alive while the next leader's sessions run out, and two would consume one partition. So an answer says until when it is proved that nobody else led:
 * something of this epoch that was appended then was committed later, so the whole ISR still took the epoch, and a next leader, who is of that ISR, began
 * later and gives every member its whole session from then on. A member's claims are good until it sent the newest request that was heard before that +
 * the session. Commits are such proofs; where nothing else is to be appended, an empty control batch is. A single replica has no other leader to fear.
 *
 * **No clock is believed.** What was heard and what was begun to be proved are counted by one counter, which tells their order and nothing else; how long ago something
 * was is for the member to say, by its own clock, from its own sending on (client/group_member.h). So it does no harm that a machine was suspended, or a process stopped,
 * between a proof and what it heard then: the proof is the older one, whatever the clock says. The counter follows the clock, for the decision alone how
 * often to prove, and so that the coordinator's word can be put among the others. */
#ifndef BROKER_GROUPS_GROUP_TURN_H
#define BROKER_GROUPS_GROUP_TURN_H

#include "base/list.h"
#include "replication/groups/lead.h"
#include "wire/record_batch.h"

#define GROUP_PART_OUTBOX_MAX   (4u << 20) /* bytes; beyond, nothing more is decided */
#define GROUP_PART_WAITING_MAX  16384      /* answers that wait for the high watermark */
#define GROUP_PART_ARRIVALS_MAX 1024       /* requests that wait for a lead which is about to begin */
#define GROUP_PART_ARRIVAL_MS   2000       /* for so long */
#define GROUP_PART_RETRY_MS     1000       /* after memory was short */
#define GROUP_PART_BATCH_BYTES  (900 * 1024) /* of records in one batch, about; below the topic's limit of 1 MiB */
#define GROUP_PART_NO_PROOF     UINT64_MAX
#define GROUP_PART_NEVER        UINT64_MAX
#define GROUP_PART_CONTROL_PROOF 3         /* type of the control record that proves; its value: version 0, the epoch (replica.h has type 2) */

/* What log and metadata say now; as of one moment. */
struct group_facts {
    uint64_t now_ms, wall_ms;
    uint64_t clock_us;           /* the clock of now_ms, read when this was asked for, not when the turn began */
    uint64_t log_start, log_end, high_watermark;
    uint32_t epoch;              /* leader epoch */
    bool may_lead;               /* the broker leads it, its epoch has begun in the log, nothing is being cut, and it serves */
    bool is_to_lead;             /* ... or all of this is about to be: who asks may wait for it */
    bool is_cutting;             /* the log is about to lose its end, or is losing it: nothing of it counts */
    bool is_unclean;             /* this epoch's election accepted a loss */
    uint32_t losses;             /* how many elections have, so far: one whose leader ended before it could make up for it is the next leader's */
    bool is_alone;               /* there is no other replica */
    bool is_below_min;           /* fewer in sync than min.insync: nothing new is committed */
    uint64_t coordinator_us;     /* the coordinator was asked then, by the same clock, and the image here was the newest; 0: not known.
                                  * Less the longest that an election takes it is the proof while is_below_min, when the log cannot give one */
};

/* A request that waits: for a lead, or as an answer for the high watermark. Embedded in the owner's request. */
struct group_waiter {
    struct list_node node;
    uint64_t barrier;     /* of the reply */
    uint64_t heard;       /* its number among what is heard and proved: group_part_wait() sets it */
    uint64_t due_ms;      /* answered MESH_ETIMEDOUT then: nobody knows */
    uint32_t session_ms;  /* of a member that is to be told a proof not older than half of this; 0: nothing is to be proved */
    /* Exactly once. 0: the answer may leave (or, where it waited for a lead: there is one now, ask again). Else nothing of it may be told but the error:
     * MESH_EUNCOMMITTED, MESH_ETIMEDOUT, MESH_ENOT_LEADER, MESH_EUNKNOWN_TOPIC, MESH_ESHUTDOWN. It may free the waiter, and bring new requests. */
    void (*done)(struct group_waiter *waiter, int error);
};

enum group_part_phase {
    GROUP_PART_TAILING, /* follows its log */
    GROUP_PART_LEADING,
    GROUP_PART_STOPPED, /* its log has what no honest leader wrote, or a newer version did: it leads nothing any more */
};

struct group_part;

/* What all partitions of an owner share; borrowed. */
struct group_terms {
    struct group_catalog catalog;
    struct group_limits limits;
    struct record_batch_builder *builder;
    void (*told)(void *user, struct group_part *part, const struct group_event *event); /* NULL: nobody listens */
    /* A lead is about to begin after a loss that nobody has made up for yet. False: it waits until it is looked at again. NULL: it need not. */
    bool (*may_begin)(void *user, struct group_part *part, const struct group_facts *facts);
    /* The lead has begun, and nobody was judged yet nor time looked at: what is put in now is its first records. After a loss they are what makes up for it. NULL: nothing is. Errors: MESH_ENOMEM (the lead
     * ends, and begins anew later). */
    int (*begun)(void *user, struct group_part *part, const struct group_facts *facts);
    void *user;
};

struct group_part {
    const struct group_terms *terms;
    struct groups *state;      /* NULL: none, or thrown away: it begins anew from the log's start */
    struct group_lead *lead;   /* NULL: does not lead */
    uint32_t lead_epoch;       /* its own */
    enum group_part_phase phase;
    int stopped_by;            /* STOPPED: MESH_ECORRUPT or MESH_EVERSION */
    uint64_t stopped_at;       /* ... and the offset */
    uint64_t applied;          /* of the log, the next place */
    size_t cursor, cursor_next; /* in the outbox: what is in the log; what the batch in the making would bring */
    uint32_t batch_records;
    uint64_t retry_ms;         /* nothing is done before: memory was short; 0: it was not */
    uint64_t tick_ms;          /* the lead's deadline */
    uint64_t trimmed;          /* the last start that was told */
    uint64_t counted;          /* the last number that was given, of what is heard and proved; microseconds where nothing else happens */
    uint64_t proved;           /* nobody else led then; 0: not proved in this epoch */
    struct { uint64_t end, at; } marks[2]; /* appended and not committed yet: the oldest, the newest; end 0: none */
    bool is_full;              /* the log took nothing: changes are refused until it does */
    bool is_proof_wanted;      /* somebody waits for one */
    struct list_node arrivals, waiting, proving; /* of group_waiter: for a lead; for the high watermark, in order; for a proof alone */
    uint32_t arrival_count, waiting_count;
    uint64_t rebuilt_records, rebuilds; /* counts */
#ifdef MESH_TEST_SWITCHES
    uint32_t defects;
#endif
};

void group_part_init(struct group_part *part, const struct group_terms *terms);
/* Whoever waits is answered with `error`. */
void group_part_deinit(struct group_part *part, int error);

/* ---- following the log ---- */

/* True: whole batches from *ret_from on are to be read, and given to group_part_take(). Begins the state anew where there is none, or where the log begins
 * behind what was applied. */
bool group_part_wants_log(struct group_part *part, const struct group_facts *facts, uint64_t *ret_from);

/* Whole batches, in order; the first holds `applied`. Errors: MESH_EAGAIN (a batch is damaged: again when it is mended), MESH_ENOMEM (begins anew, later),
 * MESH_ECORRUPT, MESH_EVERSION (STOPPED from now on). */
int group_part_take(struct group_part *part, const struct group_facts *facts, struct slice batches);

/* ---- leading ---- */

/* Begins to lead or ceases, sends waiting requests on, ends what took too long, lets time pass. *ret_deadline_ms: again then, at the latest. */
void group_part_turn(struct group_part *part, const struct group_facts *facts, uint64_t *ret_deadline_ms);

/* May a request be judged now? is_change: it may append. Errors: MESH_ENOT_LEADER; MESH_EAGAIN (a lead is about to begin: group_part_await());
 * of changes: MESH_ENOT_ENOUGH_REPLICAS, MESH_EFULL, MESH_EBUSY. What is refused was not done. */
int group_part_ready(const struct group_part *part, const struct group_facts *facts, bool is_change);

/* The waiter's done() comes when there is a lead, or will be none. False: too many wait (MESH_EBUSY), done() is not called. */
bool group_part_await(struct group_part *part, const struct group_facts *facts, struct group_waiter *waiter);

/* An answer that may leave once `barrier` is committed. done() may be called at once. */
void group_part_wait(struct group_part *part, const struct group_facts *facts, struct group_waiter *waiter);

/* Nobody else led before `heard` + 1 - this; 0: that is so until what was heard with that number. GROUP_PART_NO_PROOF: nothing is proved. */
uint64_t group_part_proof_behind(const struct group_part *part, const struct group_facts *facts, uint64_t heard);

/* ---- the outbox ---- */

/* The next batch of it, in the builder's memory, not prepared; size 0: nothing. Errors: MESH_ENOMEM (later). */
int group_part_next_batch(struct group_part *part, const struct group_facts *facts, struct slice *ret_batch);
/* It is in the log, which ends at log_end now. */
void group_part_appended(struct group_part *part, const struct group_facts *facts, uint64_t log_end);
/* It is not, and will not be for a while (no space). */
void group_part_not_appended(struct group_part *part, const struct group_facts *facts);

/* True: an empty control batch is to be appended (type GROUP_PART_CONTROL_PROOF), then group_part_proof_appended(). Only where the outbox is out. */
bool group_part_wants_proof(const struct group_part *part, const struct group_facts *facts);
void group_part_proof_appended(struct group_part *part, const struct group_facts *facts, uint64_t log_end);

/* ---- what becomes of the log ---- */

/* The high watermark rose: answers leave. */
void group_part_committed(struct group_part *part, const struct group_facts *facts);
/* It leads no longer, or its log takes nothing any more: who waits hears MESH_EUNCOMMITTED. The state stays if the log has all of it. */
void group_part_cease(struct group_part *part);
/* Too few replicas follow: who waits for what they do not have hears MESH_EUNCOMMITTED. */
void group_part_below_min(struct group_part *part, const struct group_facts *facts);
/* The log is about to be cut: the state may hold what is cut away. */
void group_part_cut(struct group_part *part);

/* True, once for each new place: the log may be trimmed up to *ret_start. Leader only. */
bool group_part_may_trim(struct group_part *part, const struct group_facts *facts, uint64_t *ret_start);

/* ---- defects, for tests ---- */

enum group_part_defect {
    GROUP_PART_DEFECT_NONE,
    GROUP_PART_DEFECT_ANSWERS_EARLY,  /* answers do not wait for the high watermark */
    GROUP_PART_DEFECT_TRIM_EARLY,     /* the log is trimmed before its checkpoint is committed */
    GROUP_PART_DEFECT_CUT_KEEPS_STATE, /* what was cut away from the log stays in the state */
    GROUP_PART_DEFECT_LEASE_UNPROVED, /* every answer of whoever thinks that it leads counts as proof */
    GROUP_PART_DEFECT_LEASE_BY_CLOCK, /* a proof that is young by the leader's clock counts for what was heard later */
    GROUP_PART_DEFECT_COUNT,
};

#ifdef MESH_TEST_SWITCHES
void group_part_bring_back(struct group_part *part, enum group_part_defect defect);
#define GROUP_PART_DEFECT(part, which) (((part)->defects >> GROUP_PART_DEFECT_##which) & 1)
#else
#define GROUP_PART_DEFECT(part, which) 0
#endif

#endif
