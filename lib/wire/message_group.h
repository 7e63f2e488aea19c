/* wire/message_group.h - the messages of consumer groups (FRAME_OP_GROUP_*) as our own structs, and their conversions.
 *
 * They are frequent and of many shapes, so they go neither through protobuf-c nor through walkers of their own, but by one table of fields each
 * (message_table.h): the bytes are those of native.proto. Strings are slices of any bytes - who takes them judges them - and those of a decoded message
 * borrow from the bytes that were decoded. Lists belong to the struct: message_deinit_X() releases them; a struct that somebody filled with lists of his own
 * is simply not deinit'ed.
 *
 * Every answer but those to LIST and DESCRIBE is a message_group_response, also an error's: its first two fields are those of an ErrorResponse, so whoever
 * knows only that reads error and text, and an ErrorResponse that another broker wrote on the way can be decoded as a message_group_response (without a route).
 *
 * Errors: as message.h says; encoders: MESH_EINVAL also for lists beside each other that differ in length. Pure functions; any thread. */
#ifndef WIRE_MESSAGE_GROUP_H
#define WIRE_MESSAGE_GROUP_H

#include "base/buffer.h"
#include "base/slice.h"
#include "base/uuid.h"

#include <stdbool.h>

#define MESSAGE_GROUP_PARTITIONS_MAX 100000     /* of one message */
#define MESSAGE_GROUP_LISTS_BYTES_MAX (8u << 20) /* memory of all the lists of a decoded message */
#define MESSAGE_GROUP_ROWS_MAX       10000      /* groups in one answer */

/* What every request says. */
struct message_group_head {
    struct slice group;
    bool forwards;           /* to the leader of the group's partition, where this broker is not; else MESH_ENOT_LEADER and a route */
    struct slice member;     /* id, chosen by the member and never used again; empty: a consumer outside of groups */
    struct slice instance;   /* as it joined, or empty */
    int32_t epoch;           /* of the group's partition, from the newest answer's route; -1: not known yet (the first join, heartbeats, outside of groups) */
    uint64_t sequence;       /* rises with each changing request of a member, also when one is sent again; a late copy is refused by it */
    uint32_t timeout_ms;     /* for the answer; 0: the broker's own */
};

/* Where the group's partition is led, in every answer of its leader. */
struct message_group_route {
    int32_t leader;          /* node id; -1: not known */
    int32_t epoch;           /* leader epoch; -1: not known */
    uint32_t shard;          /* of the leader: where to connect to (hint) */
    uint32_t proof_age_ms;   /* no longer said, nor believed: it was measured by a clock that may have stood still */
    uint64_t heard_us;       /* when the request was taken up, as this leader counts in this epoch: rises, and is compared with its other answers alone */
    uint64_t proof_behind_us; /* nobody else led before heard_us + 1 - this: 0 proves that nobody did until this very request, and its lease counts from its sending */
};

enum message_group_work {
    MESSAGE_GROUP_HOLD,    /* as enum group_work_kind */
    MESSAGE_GROUP_RELEASE,
    MESSAGE_GROUP_CLAIM,
    MESSAGE_GROUP_WAIT,
};

/* Partitions of one topic, and what stands beside them: lists beside each other, each as long as `partitions` or empty (nothing is said). */
struct message_group_partitions {
    struct uuid topic_id;
    struct slice topic_name;         /* DESCRIBE; empty: the topic is gone */
    uint32_t kind;                   /* heartbeat's answer: enum message_group_work */
    uint32_t *partitions;
    size_t partition_count;
    int64_t *offsets;                /* -1: none */
    size_t offset_count;
    int32_t *record_epochs;          /* leader epoch of the record before the offset; -1: unknown */
    size_t record_epoch_count;
    struct slice *metadata;          /* sparse: of the partitions at metadata_places, which rise */
    size_t metadata_count;
    uint32_t *metadata_places;
    size_t metadata_place_count;
    int *errors;                     /* empty: all is well */
    size_t error_count;
    uint32_t *version_epochs;        /* of committed offsets: version (epoch, lsn), compared in this order */
    size_t version_epoch_count;
    uint64_t *version_lsns;
    size_t version_lsn_count;
    uint32_t *committed_s;           /* wall clock */
    size_t committed_count;
    int64_t *offsets_before;         /* RESET's answer; -1: none */
    size_t offset_before_count;
    int64_t *high_watermarks;        /* DESCRIBE, and so on; -1: not known */
    size_t high_watermark_count;
    uint64_t *log_starts;
    size_t log_start_count;
    uint32_t *ends_age_ms;           /* how old high_watermarks and log_starts are */
    size_t ends_age_count;
    int32_t *owners, *targets;       /* place in the answer's members; -1: nobody */
    size_t owner_count, target_count;
};

struct message_group_join {
    struct message_group_head head;
    struct slice client, host, zone; /* for people, or empty; zone: for the strategy "zone" */
    uint32_t strategy;               /* enum group_strategy */
    struct slice *names;             /* topics, or */
    size_t name_count;
    struct slice pattern;            /* a POSIX extended regular expression for them */
    uint32_t session_timeout_ms, processing_limit_ms; /* 0: the broker's default */
};
struct message_group_heartbeat {
    struct message_group_head head;
    uint32_t generation; /* of the newest answer */
    bool wants_work;     /* tell all partitions that concern this member; else only has_work */
};
/* CLAIM, RELEASE, LEAVE (no partitions), DELETE (no partitions: the whole group). */
struct message_group_change {
    struct message_group_head head;
    uint32_t generation; /* CLAIM: of the newest answer */
    struct message_group_partitions *topics;
    size_t topic_count;
};
struct message_group_commit {
    struct message_group_head head;
    int64_t generation;  /* -1: no member's */
    int64_t reset_epoch; /* without a member: of when it read its offsets; -1: any */
    struct message_group_partitions *topics; /* offsets, record_epochs, metadata */
    size_t topic_count;
    bool may_pass_ends; /* offsets behind the logs' ends are taken */
};
struct message_group_offsets {
    struct message_group_head head;
    bool is_local; /* what this broker knows, however old, instead of what the leader has committed */
    struct message_group_partitions *topics;
    size_t topic_count; /* 0: every partition with an offset */
};
struct message_group_reset {
    struct message_group_head head;
    struct slice who;          /* asked for it, for people */
    bool is_forced, is_dry;    /* claims on these partitions end; only say what would be */
    int64_t reset_epoch;       /* that a dry run before has answered: nobody has set offsets since; -1: any */
    struct message_group_partitions *topics;
    size_t topic_count;
};
struct message_group_list {
    struct slice after;        /* a group's name: those behind it, by bytes */
    bool forwards;
    bool is_local;             /* always served so: here for brokers among themselves */
    uint32_t limit;            /* 0: MESSAGE_GROUP_ROWS_MAX */
    int32_t partition;         /* -1: all of them */
};
struct message_group_describe {
    struct message_group_head head;
    bool is_local, with_lag;
    struct uuid after_topic;   /* partitions behind this one, zero: from the start */
    int64_t after_partition;   /* -1: none of that topic yet */
    uint32_t limit;            /* partitions; 0: MESSAGE_GROUP_ROWS_MAX */
};

/* Between brokers: what a client of Kafka's classic protocol asks (replication/groups/classic.h). */
enum message_group_classic_kind { MESSAGE_GROUP_CLASSIC_JOIN, MESSAGE_GROUP_CLASSIC_SYNC, MESSAGE_GROUP_CLASSIC_HEARTBEAT, MESSAGE_GROUP_CLASSIC_LEAVE,
                                  MESSAGE_GROUP_CLASSIC_DESCRIBE };
struct message_group_classic {
    struct message_group_head head;
    uint32_t kind;          /* enum message_group_classic_kind */
    int64_t generation;     /* -1: none */
    bool is_again;          /* JOIN: it was told to wait */
    bool takes_id;          /* JOIN: it comes again with the id that it is told */
    struct slice new_id, client, host, protocol_type, protocol;
    uint32_t session_timeout_ms, rebalance_timeout_ms;
    struct slice *names, *payloads; /* JOIN: protocols and what is said about them; SYNC: members and their assignments */
    size_t name_count, payload_count;
};
struct message_group_classic_member {
    struct slice id, instance, client, host, metadata, assignment;
};

struct message_group_response {
    int error; /* of the whole request: nothing was changed (but UNCOMMITTED and TIMEDOUT: nobody knows) */
    struct slice message;
    struct message_group_route route;
    uint32_t generation;
    bool has_work;             /* ask for it with the next heartbeat */
    uint32_t heartbeat_ms;     /* JOIN: how often one should be heard */
    uint32_t reset_epoch;
    struct message_group_partitions *topics; /* HEARTBEAT: work. CLAIM: results. COMMIT, RELEASE: what was refused. OFFSETS. RESET */
    size_t topic_count;
    uint64_t age_ms;           /* OFFSETS with is_local: how old what it says may be */
    bool has_more;             /* OFFSETS of all partitions: ask for the rest by name */
};

enum message_group_state { MESSAGE_GROUP_EMPTY, MESSAGE_GROUP_STABLE, MESSAGE_GROUP_REBALANCING };

struct message_group_row {
    struct slice name;
    uint32_t state;            /* enum message_group_state */
    uint32_t protocol, strategy; /* enum group_protocol, group_strategy */
    uint32_t generation, reset_epoch, member_count, topic_count, cell_count;
    uint32_t partition;        /* in which it lives */
    uint64_t empty_since_ms;   /* wall clock; 0: it has members */
    uint64_t age_ms;           /* how old this is */
    struct slice protocol_type; /* what members of Kafka's classic protocol are: "consumer", "connect"; empty: none, or it is not known */
};
struct message_group_list_response {
    int error;
    struct slice message;
    struct message_group_row *rows; /* in the order of names */
    size_t row_count;
    bool has_more;             /* ask again, after the last name */
    uint32_t partitions_unknown; /* group partitions of which this broker knows nothing */
};
struct message_group_member {
    struct slice id, instance, client, host, zone, pattern;
    uint32_t strategy, session_timeout_ms, processing_limit_ms, joined_in, claims, targets;
};
enum message_group_source { MESSAGE_GROUP_FROM_LEADER, MESSAGE_GROUP_FROM_REPLICA, MESSAGE_GROUP_FROM_CACHE };

struct message_group_describe_response {
    int error;
    struct slice message;
    struct message_group_route route;
    struct message_group_row row;
    struct message_group_member *members; /* on the first page; owners and targets of all pages count in it */
    size_t member_count;
    bool has_members;          /* false: only a replica knows them */
    struct message_group_partitions *topics;
    size_t topic_count;
    uint32_t source;           /* enum message_group_source */
    uint64_t age_ms;
    bool has_more;             /* ask again, after the last partition */
};

struct message_group_classic_response {
    int error;
    struct slice message;
    struct message_group_route route;
    uint32_t generation;
    bool is_waiting, is_id_required, is_leader, skips; /* as struct group_classic_reply */
    struct slice member, leader, protocol_type, protocol, assignment;
    uint32_t state;            /* DESCRIBE: enum group_classic_state */
    struct message_group_classic_member *members; /* of a JOIN's leader; DESCRIBE */
    size_t member_count;
};

/* X(suffix, struct): functions as of MESSAGE_MAP. */
#define MESSAGE_GROUP_MAP(X)                                                                                  \
    X(group_join, message_group_join)                                                                         \
    X(group_heartbeat, message_group_heartbeat)                                                               \
    X(group_change, message_group_change)                                                                     \
    X(group_commit, message_group_commit)                                                                     \
    X(group_offsets, message_group_offsets)                                                                   \
    X(group_reset, message_group_reset)                                                                       \
    X(group_list, message_group_list)                                                                         \
    X(group_describe, message_group_describe)                                                                 \
    X(group_classic, message_group_classic)                                                                   \
    X(group_classic_response, message_group_classic_response)                                                 \
    X(group_response, message_group_response)                                                                 \
    X(group_list_response, message_group_list_response)                                                       \
    X(group_describe_response, message_group_describe_response)

#define MESSAGE_GROUP_DECLARE(suffix, type)                                                                   \
    int message_encode_##suffix(struct buffer *to, const struct type *message);                               \
    int message_decode_##suffix(struct slice from, struct type *ret_message);                                 \
    void message_deinit_##suffix(struct type *message);
MESSAGE_GROUP_MAP(MESSAGE_GROUP_DECLARE)
#undef MESSAGE_GROUP_DECLARE

/* The head of any request with one, without the rest: where it has to go. Only the bytes of the head are judged. Errors: MESH_EPROTO. */
int message_group_peek(struct slice request, struct message_group_head *ret_head);

#endif
