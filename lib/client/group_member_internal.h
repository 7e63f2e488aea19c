/* client/group_member_internal.h - inside struct consumer_member, for its own files alone: group_member.c (requests), group_answers.c (what answers
 * bring about) and group_parts.c (partitions, and what the application is told of them). */
#ifndef CLIENT_GROUP_MEMBER_INTERNAL_H
#define CLIENT_GROUP_MEMBER_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "base/random.h"
#include "client/group_member.h"

#define MEMBER_METADATA_MAX      4096         /* bytes beside an offset, as brokers take */
#define MEMBER_METADATA_SUM_MAX  (2u << 20)   /* in one request */
#define MEMBER_WORK_AGAIN_MS     1000         /* while partitions are on their way out the leader always has work to tell */
#define MEMBER_MEMORY_MS         50           /* where there is no memory for a request */
#define MEMBER_REQUEST_MS_MIN    1000
#define MEMBER_REQUEST_MS_MAX    10000
#define MEMBER_JOIN_MS           15000        /* the first join of a mesh waits for the topic of groups to be made */

enum part_state { PART_CLAIMING, PART_OWNED, PART_ASKED_BACK, PART_LETTING_GO, PART_STATES, PART_GONE = PART_STATES };

/* A partition that concerns the member. What the application is to be told of it waits in the part itself, so that telling cannot fail; once it is
 * gone it is in the list of changes alone, and another part may have its name. */
struct part {
    struct map_node map_node;
    struct list_node node; /* of the list of its state */
    struct list_node change_node, refusal_node;
    struct uuid topic;
    uint32_t partition;
    enum part_state state;
    enum consumer_member_change_kind change; /* while change_node is in the list */
    bool is_told;                            /* the application has been told ASSIGNED */
    bool is_seen;                            /* by the list of work that is being read */
    int refusal;                             /* while refusal_node is in the list */
    uint64_t refused_offset;
    uint32_t generation; /* of the claim */
    /* What to begin with; then what is stored. */
    uint64_t offset;
    int32_t record_epoch;
    uint8_t *metadata; /* owned */
    size_t metadata_size;
    bool is_dirty; /* it was stored since it was last acknowledged */
    size_t asked_at; /* 1 + its place in the request under way, 0: it is not in it */
    bool is_sent;    /* the commit under way has what is stored */
};

struct consumer_member {
    struct consumer_member_terms terms;
    struct random random;
    char id[UUID_STRING_SIZE];
    bool is_joined, wants_join, wants_work, must_sync, is_waiting;
    bool is_leaving, leaves_for_good;
    uint32_t epoch, generation, worked_generation, heartbeat_ms;
    uint64_t worked_ms, lease_until_ms;
    struct { uint64_t sent_ms, heard_us; } unproved[2]; /* answered in unproved_epoch and not proved yet: the oldest, the newest; sent_ms 0: none */
    uint32_t unproved_epoch;
    uint64_t informed_ms; /* what was asked back before is known */
    uint64_t sequence;
    uint32_t failures;
    uint64_t retry_ms; /* nothing is sent before */
    int trouble;

    bool is_under_way;
    enum consumer_member_request_kind kind; /* of what is */
    uint64_t sent_ms;
    struct consumer_member_cell *cells; /* owned; of what is under way */
    struct part **asked;                /* owned; the parts of these cells, NULL: gone meanwhile */
    size_t cell_count, cell_room;

    struct map by_name;
    struct list_node parts[PART_STATES];
    size_t counts[PART_STATES];
    size_t dirty_count;
    struct list_node changes, refusals;
    uint64_t commit_due_ms; /* 0: nothing is dirty, or it was found so just now */

    uint64_t ticket, sent_ticket, done_ticket, told_ticket;
    int commit_error; /* of tickets that are not done */
    int done_error;   /* of done_ticket */
    int end;          /* 0, or the error of FAILED, or MEMBER_LEFT_DONE */
    bool is_end_told;
};
#define MEMBER_LEFT_DONE 1

/* ---- group_parts.c ---- */

struct part *member_find_part(const struct consumer_member *member, const struct uuid *topic, uint32_t partition); /* NULL: none */
int member_add_part(struct consumer_member *member, const struct uuid *topic, uint32_t partition, enum part_state state, struct part **ret_part);
void member_move_part(struct consumer_member *member, struct part *part, enum part_state state);
/* It is in the map no more; the application, where it knows of it, is told `change` (RELEASED or LOST). */
void member_drop_part(struct consumer_member *member, struct part *part, enum consumer_member_change_kind change);
void member_drop_all(struct consumer_member *member);
void member_free_parts(struct consumer_member *member);

void part_claimed(struct consumer_member *member, struct part *part, uint64_t offset, int32_t record_epoch);
void part_ask_back(struct consumer_member *member, struct part *part);
void part_may_stay(struct consumer_member *member, struct part *part);
void part_refused(struct consumer_member *member, struct part *part, int error);
void part_clean(struct consumer_member *member, struct part *part); /* what is stored is acknowledged, or given up */

/* ---- group_member.c ---- */

void member_new_id(struct consumer_member *member);
void member_finish_tickets(struct consumer_member *member); /* those for which there is nothing to send */

#endif
