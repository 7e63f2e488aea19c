/* wire/message.h - the native protocol's messages as our own structs, and their conversions.
 *
 * Two kinds. The rare ones (everything but produce and fetch) go through protobuf-c: message_decode_X() fills a
 * struct whose memory one message_deinit_X() releases. The frequent ones (produce, fetch) have hand-written
 * walkers that neither allocate nor copy, byte-compatible with native.proto; the tests check both against
 * protobuf-c.
 *
 * Encoders append to a buffer: MESH_ENOMEM, MESH_ETOOLARGE (a message over FRAME_MESSAGE_BYTES_MAX), MESH_EINVAL
 * (an epoch, node id or time below -1 where -1 means none); the buffer is then unchanged. Decoders: MESH_EPROTO for
 * bytes that are not such a message or break a stated limit, MESH_ENOMEM. Strings are NUL-terminated and contain
 * no other NUL. Pure functions; any thread. */
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

#include "base/buffer.h"
#include "base/slice.h"
#include "base/uuid.h"

#include <stdbool.h>

#define MESSAGE_ENTRIES_MAX 20000 /* entries of one produce, fetch or list-offsets request */

/* ---- frequent: produce ---- */

struct produce_entry {
    struct uuid topic_id;
    uint32_t partition;
    int32_t leader_epoch; /* that the client believes in; -1: does not say */
    uint32_t batch_size;  /* bytes of this entry's batch in the attachment, in order */
};

/* Encoding: start, then one call per entry; the same bytes as ProduceRequest. */
int produce_request_start(struct buffer *to, int32_t acks, uint32_t timeout_ms);
int produce_request_add(struct buffer *to, const struct produce_entry *entry);
int produce_request_forward(struct buffer *to); /* at the end, if wanted: leaders elsewhere are to be asked */

struct produce_request_reader {
    int32_t acks; /* 0, 1 or -1 (all); valid after init */
    uint32_t timeout_ms;
    uint32_t entry_count; /* counted by init, at most MESSAGE_ENTRIES_MAX */
    bool forwards;
    bool has_first; /* the first one, read by init, is still to be given out */
    struct produce_entry first;
    const uint8_t *at, *end;
};

/* Walks the whole message once (so that a malformed one is refused before any entry acts), then stands before the
 * first entry. Also checks that the batch sizes add up to attachment_size exactly. Errors: MESH_EPROTO. */
int produce_request_reader_init(struct produce_request_reader *reader, struct slice message, uint32_t attachment_size);
/* true: *ret_entry is the next entry; false: no more. Cannot fail after a successful init. */
bool produce_request_reader_next(struct produce_request_reader *reader, struct produce_entry *ret_entry);

struct produce_result {
    int error;
    uint64_t base_offset;
    int32_t leader_epoch;
    uint32_t replicas_holding, replicas_synced; /* the durability receipt */
    int64_t append_time_ms;                     /* -1: CreateTime topic */
    bool is_duplicate;
};

int produce_response_add(struct buffer *to, const struct produce_result *result);

struct produce_response_reader {
    uint32_t result_count;
    bool has_first; /* the first one, read by init, is still to be given out */
    struct produce_result first;
    const uint8_t *at, *end;
};
int produce_response_reader_init(struct produce_response_reader *reader, struct slice message);
bool produce_response_reader_next(struct produce_response_reader *reader, struct produce_result *ret_result);

/* ---- frequent: fetch ---- */

struct fetch_entry {
    struct uuid topic_id;
    uint32_t partition;
    int32_t leader_epoch; /* -1: does not say */
    uint64_t offset;
    uint32_t bytes_max;
    bool is_doubted; /* what came from there before was damaged */
    bool skips_control; /* control batches are left out: the reader would take their records for data */
};

int fetch_request_start(struct buffer *to, uint32_t max_wait_ms, uint32_t bytes_min, uint32_t bytes_max);
int fetch_request_add(struct buffer *to, const struct fetch_entry *entry);
int fetch_request_forward(struct buffer *to); /* as produce_request_forward() */

struct fetch_request_reader {
    uint32_t max_wait_ms, bytes_min, bytes_max, entry_count;
    bool forwards;
    bool has_first; /* the first one, read by init, is still to be given out */
    struct fetch_entry first;
    const uint8_t *at, *end;
};
int fetch_request_reader_init(struct fetch_request_reader *reader, struct slice message);
bool fetch_request_reader_next(struct fetch_request_reader *reader, struct fetch_entry *ret_entry);

struct fetch_result {
    uint32_t entry; /* index into the request's entries */
    int error;
    uint64_t high_watermark, log_start, next_offset;
    uint32_t records_size; /* bytes in the attachment */
    int32_t leader_epoch;
};
int fetch_response_add(struct buffer *to, const struct fetch_result *result);

struct fetch_response_reader {
    uint32_t result_count;
    bool has_first; /* the first one, read by init, is still to be given out */
    struct fetch_result first;
    const uint8_t *at, *end;
};
/* Also checks that the records sizes add up to attachment_size. */
int fetch_response_reader_init(struct fetch_response_reader *reader, struct slice message, uint32_t attachment_size);
bool fetch_response_reader_next(struct fetch_response_reader *reader, struct fetch_result *ret_result);

/* ---- rare ---- */

struct message_error {
    int error;
    char *message;
};
struct message_hello_request {
    char *client_name, *client_version;
    uint32_t version_min, version_max;
    int32_t shard; /* -1: any */
};
struct message_hello_response {
    struct uuid cluster_id, broker_id;
    int32_t node_id;
    uint32_t shard_count, shard, frame_bytes_max, version;
    char *broker_version;
};
struct message_broker {
    int32_t node_id;
    struct uuid broker_id;
    char *name, *host, *zone;
    uint32_t port, shard_count;
    bool is_fenced, is_draining, is_witness, has_bad_disk;
};
struct message_cluster_response {
    struct uuid cluster_id;
    int32_t coordinator; /* node id, -1: none */
    struct message_broker *brokers;
    size_t broker_count;
};
struct message_config {
    char *key, *value;
    bool is_default;
};
struct message_topic_create {
    char *name;
    int32_t partition_count, replication_factor; /* 0: the broker's default */
    struct message_config *configs;
    size_t config_count;
    bool validate_only;
    int32_t *replicas; /* node ids, replication_factor of them for each partition, who leads first */
    size_t replica_count; /* 0: the mesh chooses */
};
struct message_topic_delete {
    char *name;
};
struct message_topic_alter {
    char *name;
    int32_t partition_count; /* 0: unchanged */
    struct message_config *configs;
    size_t config_count;
    char **removed_keys;
    size_t removed_key_count;
};
struct message_topic_describe {
    char **names;
    size_t name_count;
    bool all;          /* every topic; names are then ignored */
    bool with_offsets; /* ask the leaders for high watermark, log start, log end and size */
};
struct message_partition {
    uint32_t partition;
    int32_t leader, leader_epoch; /* leader: node id, -1 none */
    int32_t *replicas, *isr;
    size_t replica_count, isr_count;
    uint32_t shard; /* of the leader: where to connect to (hint) */
    uint64_t high_watermark, log_start, log_end, size_bytes;
    int error;
    char *problem; /* empty: none */
    int32_t *elr, *adding, *removing; /* of the replicas; adding and removing: while a move lasts */
    size_t elr_count, adding_count, removing_count;
    bool is_queued; /* the move waits for its turn */
    /* What the leader knows of each replica, in their order; count 0: nobody misses anything, or nobody said. */
    uint64_t *missing_records_plus_one; /* 0: not heard in this epoch */
    uint64_t *missing_bytes;            /* about */
    size_t missing_record_count, missing_byte_count;
};
struct message_topic {
    int error; /* e.g. MESH_EUNKNOWN_TOPIC; then only name is set */
    char *name;
    struct uuid topic_id;
    struct message_config *configs;
    size_t config_count;
    struct message_partition *partitions;
    size_t partition_count;
};
struct message_topic_response {
    struct message_topic *topics;
    size_t topic_count;
    char *remark; /* a change that is allowed, and perhaps not meant: a sentence, or "" (NULL, when it is encoded) */
};

/* Replicas that are to move. */
struct message_topic_move {
    char *topic;
    int32_t partition; /* -1: all, each beginning with another one of the brokers */
    char **brokers;    /* names, uuids or node ids, the preferred leader first */
    size_t broker_count;
    bool is_cancel; /* back to the replicas before */
};
struct message_topic_balance {
    char *topic; /* empty: all topics */
    bool is_dry;
};
struct message_move {
    char *topic;
    uint32_t partition;
    int32_t *from, *to; /* replicas, without those that come, and without those that go */
    size_t from_count, to_count;
};
struct message_moves_response {
    struct message_move *moves;
    size_t move_count;
};
struct list_offsets_entry {
    struct uuid topic_id;
    uint32_t partition;
    int64_t timestamp_ms; /* -1 latest (high watermark), -2 earliest, -6 where `epoch` ends, else the first record at or after it */
    int32_t epoch;        /* of -6 */
    uint32_t leader_epoch_plus_one; /* that the asker believes in; 0: it does not say */
    bool skips_control;   /* of -1: before the control batches at the end: the asker does not get them (fetch_entry) */
};
struct message_list_offsets_request {
    struct list_offsets_entry *entries;
    size_t entry_count;
    bool forwards;
};
struct list_offsets_result {
    int error;
    int64_t offset; /* -1: no such record, or epoch */
    int64_t timestamp_ms;
    int32_t leader_epoch; /* the leader's; of -6: the largest one that began at or before `epoch`, which ends at the offset; -1: none is known */
};
struct message_list_offsets_response {
    struct list_offsets_result *results;
    size_t result_count;
};
struct topic_trim_entry {
    uint32_t partition;
    int64_t offset; /* the first record that stays; -1: none that is committed */
};
struct message_topic_trim {
    char *topic;
    struct topic_trim_entry *entries;
    size_t entry_count;
    uint32_t timeout_ms;
};
struct topic_trim_result {
    uint32_t partition;
    int error;
    uint64_t first_offset; /* where its records begin now */
};
struct message_topic_trim_response {
    struct topic_trim_result *results;
    size_t result_count;
    char *message; /* why all of it was refused, for people; "" */
};
struct message_init_producer_response {
    int64_t producer_id;
    int16_t producer_epoch;
};
struct message_problem {
    char *what, *meaning, *remedy;
};
struct message_voter {
    struct uuid broker_id;
    int32_t node_id; /* 0: not registered */
    char *name;
    bool is_heard;   /* by the answering broker */
    bool is_learner; /* does not vote yet */
};
struct message_status_response {
    struct uuid cluster_id;
    int32_t coordinator; /* node id, -1: none */
    struct message_broker *brokers;
    size_t broker_count;
    uint32_t topics_total, partitions_total, partitions_under_replicated, partitions_offline;
    uint32_t partitions_at_risk, partitions_moving, partitions_queued;
    struct message_problem *problems;
    size_t problem_count;
    uint64_t uptime_ms, stored_bytes, disk_free_bytes;
    char *version;
    uint32_t members_alive, members_suspect, members_dead, members_left; /* as the answering broker sees them */
    struct message_voter *voters;
    size_t voter_count;
};
struct message_member {
    struct uuid broker_id;
    char *name, *host, *zone, *address;
    uint32_t port, state, rtt_us; /* state: 0 alive, 1 suspect, 2 dead, 3 left */
    uint64_t incarnation, state_ms;
    int64_t heard_ms; /* -1: never */
    bool is_self, is_udp_blocked;
};
struct message_members_response {
    struct uuid cluster_id;
    struct message_member *members;
    size_t member_count;
};
enum message_keys_action { MESSAGE_KEYS_LIST, MESSAGE_KEYS_ROTATE };
struct message_keys_request {
    uint32_t action;
};
struct message_key {
    char *key_id;
    bool is_used;
    uint32_t holder_count, member_count;
};
struct message_keys_response {
    struct message_key *keys;
    size_t key_count;
    char *phase, *waiting_for; /* of the rotation under way; "" when there is none */
};
/* Numbers are on the wire: never renumber, never reuse. */
enum message_users_action { MESSAGE_USERS_LIST, MESSAGE_USERS_ADD, MESSAGE_USERS_REPLACE, MESSAGE_USERS_REMOVE };

#define MESSAGE_VERIFIER_SIZE_MAX 64

/* What is kept instead of a password (RFC 5802); mechanism 1: SCRAM-SHA-256, 2: SCRAM-SHA-512. */
struct message_verifier {
    uint32_t mechanism, iterations;
    uint8_t salt_size, key_size; /* up to MESSAGE_VERIFIER_SIZE_MAX; 0 where users are listed */
    uint8_t salt[MESSAGE_VERIFIER_SIZE_MAX], stored_key[MESSAGE_VERIFIER_SIZE_MAX], server_key[MESSAGE_VERIFIER_SIZE_MAX];
};

struct message_users_request {
    uint32_t action; /* enum message_users_action */
    char *name;
    struct message_verifier *verifiers;
    size_t verifier_count;
};

struct message_user {
    char *name;
    struct message_verifier *verifiers;
    size_t verifier_count;
};

struct message_users_response {
    struct message_user *users; /* all of them, by name; none after a change */
    size_t user_count;
};

struct message_remove_request {
    char *broker; /* name or uuid */
    bool accepts_loss;
};

struct message_remove_response {
    struct uuid broker_id;
    char *name;
    uint32_t hosted_partitions, lost_partitions;
};

struct message_recover_request {
    char **lost; /* names or uuids */
    size_t lost_count;
    bool is_for_real;
};

struct message_lost_broker {
    struct uuid broker_id;
    char *name;
    bool is_voter;
    uint32_t hosted_partitions;
};

struct message_survivor {
    struct uuid broker_id;
    char *name, *objection; /* "": none */
    bool has_answered, is_voter, is_damaged, is_chosen;
    uint64_t last_index, committed;
};

struct message_recover_response {
    bool is_done;
    char *objection; /* "": none */
    uint64_t history;
    struct message_lost_broker *lost;
    size_t lost_count;
    struct message_survivor *survivors;
    size_t survivor_count;
    uint32_t lost_partitions;
};

struct message_why_request {
    char *topic;
    uint32_t partition;
};
struct message_candidate {
    int32_t node_id;
    char *name, *standing; /* standing: a sentence for people */
    int64_t score;         /* 0: it could not be elected, or there was no election */
    uint32_t flags, log, health, load; /* flags as PROTOCOL.md says; 0..9; 0..10; 0..100 */
};
struct message_why_response {
    char *topic, *leader_name, *reason;
    char *placement, *writes, *reads; /* sentences; writes and reads empty: possible */
    struct uuid topic_id;
    uint32_t partition;
    int32_t leader, leader_epoch; /* now; leader: node id, -1 none */
    bool was_elected;
    uint64_t decided_index; /* 0: never elected */
    struct message_candidate *candidates;
    size_t candidate_count;
};

/* X(suffix, struct): int message_encode_<suffix>(struct buffer *to, const struct ... *);
 * int message_decode_<suffix>(struct slice, struct ... *ret); void message_deinit_<suffix>(struct ... *).
 * Encoders take NULL strings for empty ones; decoders make them "", and write *ret only on success. deinit releases
 * what decode allocated, or what the user filled in the same way (each string and array from malloc), leaves zeros,
 * and accepts zeros. A request holds at most MESSAGE_ENTRIES_MAX elements (repeated fields, in all), a response
 * MESSAGE_RESPONSE_ELEMENTS_MAX; an absent uuid is zero, but refused in a list-offsets entry. Errors are never
 * above 0. */
#define MESSAGE_RESPONSE_ELEMENTS_MAX 200000

#define MESSAGE_MAP(X)                                                                                        \
    X(error, message_error)                                                                                   \
    X(hello_request, message_hello_request)                                                                   \
    X(hello_response, message_hello_response)                                                                 \
    X(cluster_response, message_cluster_response)                                                             \
    X(topic_create, message_topic_create)                                                                     \
    X(topic_delete, message_topic_delete)                                                                     \
    X(topic_alter, message_topic_alter)                                                                       \
    X(topic_describe, message_topic_describe)                                                                 \
    X(topic_response, message_topic_response)                                                                 \
    X(topic_move, message_topic_move)                                                                         \
    X(topic_balance, message_topic_balance)                                                                   \
    X(moves_response, message_moves_response)                                                                 \
    X(list_offsets_request, message_list_offsets_request)                                                     \
    X(list_offsets_response, message_list_offsets_response)                                                   \
    X(topic_trim, message_topic_trim)                                                                         \
    X(topic_trim_response, message_topic_trim_response)                                                       \
    X(init_producer_response, message_init_producer_response)                                                 \
    X(status_response, message_status_response)                                                               \
    X(members_response, message_members_response)                                                             \
    X(keys_request, message_keys_request)                                                                     \
    X(keys_response, message_keys_response)                                                                   \
    X(remove_request, message_remove_request)                                                                 \
    X(remove_response, message_remove_response)                                                               \
    X(recover_request, message_recover_request)                                                               \
    X(recover_response, message_recover_response)                                                             \
    X(users_request, message_users_request)                                                                   \
    X(users_response, message_users_response)                                                                 \
    X(why_request, message_why_request)                                                                       \
    X(why_response, message_why_response)

#define MESSAGE_DECLARE(suffix, type)                                                                         \
    int message_encode_##suffix(struct buffer *to, const struct type *message);                               \
    int message_decode_##suffix(struct slice from, struct type *ret_message);                                 \
    void message_deinit_##suffix(struct type *message);
MESSAGE_MAP(MESSAGE_DECLARE)
#undef MESSAGE_DECLARE

#endif
