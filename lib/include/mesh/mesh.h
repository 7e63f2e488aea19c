/* mesh/mesh.h - libmesh: the client library of Mesh.
 *
 * A client is a set of connections without threads of its own. Everything happens inside calls: either in blocking
 * calls (mesh_produce(), mesh_producer_flush(), mesh_consumer_poll() with a timeout, the topic calls), or in
 * mesh_client_poll(), which your loop calls when mesh_client_fd() is readable or mesh_client_timeout_ms() has passed.
 * A client and all that is made from it belong to one thread at a time; use one client per thread.
 *
 * Objects are opaque; options are set by functions, so that programs keep working with later versions. Functions that
 * can fail return 0 or a negative code of mesh/error.h; mesh_client_error() then has a sentence that names the cause.
 * Times are milliseconds; timeout_ms: -1 waits for ever, 0 does not wait. */
#ifndef MESH_MESH_H
#define MESH_MESH_H

#include <mesh/error.h>
#include <mesh/export.h>
#include <mesh/group.h>
#include <mesh/pool.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- client ---- */

struct mesh_client;

/* `brokers` is "host[:port][,host[:port]...]" ("" or NULL: $MESH_BROKER, else 127.0.0.1:9092); any of them may be down.
 * IPv6 in brackets; names are looked up when connecting, by a thread of the library's, so that brokers which are reached
 * are used meanwhile. Connects lazily. Errors: MESH_ENOMEM, MESH_EINVAL (malformed list). */
MESH_EXPORT int mesh_client_new(const char *brokers, struct mesh_client **ret_client);
/* Closes connections. Producers and consumers made from it must be freed first. Accepts NULL. */
MESH_EXPORT void mesh_client_free(struct mesh_client *client);

MESH_EXPORT int mesh_client_set_name(struct mesh_client *client, const char *name); /* shown in broker logs */
/* For the blocking administrative calls and for connecting; default 30,000. */
MESH_EXPORT int mesh_client_set_timeout_ms(struct mesh_client *client, int timeout_ms);
/* How long the blocking calls about topics and the mesh go on trying while every broker refuses (nobody listens at any
 * address, or there is no such host) before they fail with MESH_EUNREACHABLE; at most the timeout above, which is the
 * default (-1). For programs that a person waits for. Producers and consumers at work wait for their brokers as before. */
MESH_EXPORT int mesh_client_set_refused_timeout_ms(struct mesh_client *client, int timeout_ms);

/* Why the last call of this client failed: a sentence, never NULL, valid until the next call. */
MESH_EXPORT const char *mesh_client_error(const struct mesh_client *client);

/* What the broker has to say about the last topic that was created or altered, although it was: for example that fewer brokers are there
 * than copies are wanted. A sentence, or "": never NULL, valid until the next call. */
MESH_EXPORT const char *mesh_client_remark(const struct mesh_client *client);

/* For your own loop: readable when mesh_client_poll() has work (an epoll descriptor; never read it), and how long it
 * may at most be left alone (-1: until the descriptor is readable). */
MESH_EXPORT int mesh_client_fd(const struct mesh_client *client);
MESH_EXPORT int mesh_client_timeout_ms(const struct mesh_client *client);
/* Does what is due, waiting at most timeout_ms for something to do; runs callbacks. 0 or an error of the client
 * itself (MESH_ENOMEM); failures of requests are told to their owners. */
MESH_EXPORT int mesh_client_poll(struct mesh_client *client, int timeout_ms);

/* ---- records ---- */

struct mesh_header {
    const char *key; /* NUL-terminated */
    const void *value;
    size_t value_size; /* bytes */
};

/* What to produce. Zero-initialise, then set what you need. Borrowed for the call that takes it. */
struct mesh_record {
    const void *key; /* NULL: no key */
    size_t key_size;
    const void *value; /* NULL: a null value (tombstone) unless value_size > 0 */
    size_t value_size;
    const struct mesh_header *headers;
    size_t header_count;
    int64_t timestamp_ms; /* 0: now */
    int32_t partition;    /* see MESH_PARTITION_ANY */
};
#define MESH_PARTITION_ANY (-1) /* the partitioner chooses */

/* ---- producer ---- */

struct mesh_producer;

/* What became of a record. The receipt says what the acknowledgement promises. */
enum mesh_delivery_status {
    MESH_DELIVERED,        /* acknowledged as asked for by acks */
    MESH_DELIVERY_FAILED,  /* certainly not stored */
    MESH_DELIVERY_UNKNOWN, /* an attempt had no clear answer: it may or may not be stored */
};

struct mesh_receipt {
    enum mesh_delivery_status status;
    int error; /* 0 when delivered. When the delivery timeout ended it: what the broker last said (MESH_EFULL, ...),
                * MESH_EUNREACHABLE (no broker), or else MESH_ETIMEDOUT. UNKNOWN: also MESH_ECLOSED (the connection broke before the
                * answer), MESH_EUNCOMMITTED (the leader had it, and then led no more, or too few replicas followed) */
    const char *topic;
    int32_t partition;
    int64_t offset; /* -1 unless delivered (acks 0: -1) */
    int32_t leader_epoch;
    uint32_t replicas_holding; /* replicas that held the record when it was acknowledged, the leader among them */
    uint32_t replicas_synced;  /* of these, with the record on their disk (fsynced). Others may follow later: both are what was certain then */
    int64_t timestamp_ms;      /* of the record as stored */
};

/* Runs inside a call into the client (mesh_producer_send() included), in the order of sending within a partition.
 * `receipt` is borrowed. It may send further records, but neither free the producer nor call what waits (MESH_EINVAL). */
typedef void mesh_delivery_fn(void *user, const struct mesh_receipt *receipt);

/* Chooses a partition in [0, partition_count); any other result fails the record with MESH_EINVAL. */
typedef int32_t mesh_partitioner_fn(void *user, const struct mesh_record *record, int32_t partition_count);

enum mesh_partitioner {
    MESH_PARTITIONER_DEFAULT,     /* key: murmur2 as Kafka's; no key: sticky until a batch is full, or the partition does not accept */
    MESH_PARTITIONER_ROUND_ROBIN, /* every record the next partition that accepts, keys ignored */
    MESH_PARTITIONER_KEY_HASH,    /* murmur2 of the key; no key: MESH_EINVAL */
};

enum mesh_compression { MESH_COMPRESSION_NONE, MESH_COMPRESSION_GZIP, MESH_COMPRESSION_SNAPPY, MESH_COMPRESSION_LZ4, MESH_COMPRESSION_ZSTD };

/* One producer writes to one topic. Defaults: acks all, idempotent, no compression, batches of up to 1 MiB (or
 * the topic's max.batch.bytes, when that is less), linger 0 (a batch waits only while the connection is busy; when records
 * pour in over hundreds of partitions, at most 200 ms for more of its own), 64 MiB of memory (for a topic with thousands of
 * partitions 32 KiB for each, up to 256 MiB), delivery timeout 120 s. */
MESH_EXPORT int mesh_producer_new(struct mesh_client *client, const char *topic, struct mesh_producer **ret_producer);
/* Gives up what is not delivered (callbacks run with MESH_ECANCELED). Flush first. Accepts NULL. */
MESH_EXPORT void mesh_producer_free(struct mesh_producer *producer);

/* Options: set before the first record. Errors: MESH_EINVAL. */
MESH_EXPORT int mesh_producer_set_acks(struct mesh_producer *producer, int acks); /* 0 (switches idempotence off), 1, -1 = all */
/* An idempotent producer sends again what had no clear answer, and its broker, or the next leader, recognises what it has: nothing is lost,
 * doubled or reordered. Without, such a record is never sent again: its fate is UNKNOWN as soon as the answer is lost. */
MESH_EXPORT int mesh_producer_set_idempotent(struct mesh_producer *producer, int enabled);
MESH_EXPORT int mesh_producer_set_compression(struct mesh_producer *producer, enum mesh_compression compression);
MESH_EXPORT int mesh_producer_set_linger_ms(struct mesh_producer *producer, int linger_ms);
MESH_EXPORT int mesh_producer_set_batch_bytes_max(struct mesh_producer *producer, size_t bytes);
MESH_EXPORT int mesh_producer_set_batch_records_max(struct mesh_producer *producer, size_t records);
MESH_EXPORT int mesh_producer_set_memory_bytes_max(struct mesh_producer *producer, size_t bytes);
MESH_EXPORT int mesh_producer_set_delivery_timeout_ms(struct mesh_producer *producer, int timeout_ms);
MESH_EXPORT int mesh_producer_set_in_flight_max(struct mesh_producer *producer, int batches); /* per partition; 1..5 when idempotent */
MESH_EXPORT int mesh_producer_set_partitioner(struct mesh_producer *producer, enum mesh_partitioner partitioner);
MESH_EXPORT int mesh_producer_set_partitioner_fn(struct mesh_producer *producer, mesh_partitioner_fn *partitioner, void *user);

/* Queues a copy of the record and returns at once; delivery (may be NULL) runs when its fate is known. Every now and
 * then the call also sends what is ready and takes answers in, without waiting. Records for a topic that no broker knows
 * fail with MESH_EUNKNOWN_TOPIC after about a second. Errors:
 * MESH_EQUEUEFULL (memory limit, or, where none was set, a thousand batches waiting behind a partition's full window: poll, then
 * retry; the record was not taken), MESH_ETOOLARGE, MESH_EINVAL,
 * MESH_ENOMEM. */
MESH_EXPORT int mesh_producer_send(struct mesh_producer *producer, const struct mesh_record *record,
                                   mesh_delivery_fn *delivery, void *user);

/* Sends one record and waits for its fate. Returns receipt->error. ret_receipt may be NULL. */
MESH_EXPORT int mesh_produce(struct mesh_producer *producer, const struct mesh_record *record, struct mesh_receipt *ret_receipt);

/* Waits until nothing is queued or in flight. MESH_ETIMEDOUT: something still is. */
MESH_EXPORT int mesh_producer_flush(struct mesh_producer *producer, int timeout_ms);
MESH_EXPORT size_t mesh_producer_queued_bytes(const struct mesh_producer *producer);
MESH_EXPORT size_t mesh_producer_queued_records(const struct mesh_producer *producer);
/* How many records were sent again so far, because an answer was lost or a broker could not take them; each time counts. */
MESH_EXPORT uint64_t mesh_producer_resent_records(const struct mesh_producer *producer);

/* ---- consumer with explicit assignment ---- */

struct mesh_consumer;

/* A consumed record, borrowed from the consumer until its next poll. */
struct mesh_consumed {
    const char *topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms;
    int32_t leader_epoch;
    const void *key; /* NULL: no key */
    size_t key_size;
    const void *value; /* NULL: null value */
    size_t value_size;
    size_t header_count; /* see mesh_consumed_header() */
    const void *internal;
};

#define MESH_OFFSET_BEGINNING (-2) /* the first record kept */
#define MESH_OFFSET_END       (-1) /* the next record to come */

MESH_EXPORT int mesh_consumer_new(struct mesh_client *client, struct mesh_consumer **ret_consumer);
MESH_EXPORT void mesh_consumer_free(struct mesh_consumer *consumer); /* accepts NULL */

/* Options. bytes_max: of fetched batches kept ahead of the application (default 4 MiB; a single batch may exceed it).
 * bytes_min/max_wait: how long a broker may hold an empty answer back (default 1 byte, 500 ms; at most half of the
 * client's timeout). verify: check every batch's CRC (default 1). */
MESH_EXPORT int mesh_consumer_set_fetch_bytes_max(struct mesh_consumer *consumer, size_t bytes);
MESH_EXPORT int mesh_consumer_set_fetch_bytes_min(struct mesh_consumer *consumer, size_t bytes);
MESH_EXPORT int mesh_consumer_set_fetch_max_wait_ms(struct mesh_consumer *consumer, int max_wait_ms);
MESH_EXPORT int mesh_consumer_set_verify(struct mesh_consumer *consumer, int enabled);

/* Adds a partition, starting at an offset, MESH_OFFSET_BEGINNING or MESH_OFFSET_END (resolved at the leader).
 * Partition -1: all partitions of the topic. Errors: MESH_EUNKNOWN_TOPIC (blocks to ask), MESH_EEXISTS, ... */
MESH_EXPORT int mesh_consumer_assign(struct mesh_consumer *consumer, const char *topic, int32_t partition, int64_t offset);
/* The same, at the first record whose timestamp is >= timestamp_ms (blocks); after the last one: the end. */
MESH_EXPORT int mesh_consumer_assign_time(struct mesh_consumer *consumer, const char *topic, int32_t partition, int64_t timestamp_ms);
MESH_EXPORT int mesh_consumer_unassign(struct mesh_consumer *consumer, const char *topic, int32_t partition);
MESH_EXPORT int mesh_consumer_seek(struct mesh_consumer *consumer, const char *topic, int32_t partition, int64_t offset);
MESH_EXPORT int mesh_consumer_pause(struct mesh_consumer *consumer, const char *topic, int32_t partition);
MESH_EXPORT int mesh_consumer_resume(struct mesh_consumer *consumer, const char *topic, int32_t partition);
/* The next offset that poll would return; MESH_EINVAL when not assigned. */
MESH_EXPORT int mesh_consumer_position(const struct mesh_consumer *consumer, const char *topic, int32_t partition, int64_t *ret_offset);
/* The high watermark as of the last answer, -1 before the first. */
MESH_EXPORT int mesh_consumer_high_watermark(const struct mesh_consumer *consumer, const char *topic, int32_t partition, int64_t *ret_offset);

/* Where an election accepted a loss (an unclean one, or disks that lost their end), the log of the new leader may lack records that were handed out. The consumer
 * notices by the epochs of leaders, before it hands out anything more: when another leads, and when a group's committed offset is taken up. It goes on where
 * the logs part (the default), so what stands there now is read, too; or stops: poll says MESH_EOFFSET_OUT_OF_RANGE, and the partition waits for a seek, or
 * goes on where it stood after a resume. */
enum mesh_truncation_policy { MESH_TRUNCATION_GO_BACK, MESH_TRUNCATION_STOP };
struct mesh_truncation_info {
    const char *topic; /* valid while the callback runs */
    int32_t partition;
    int64_t position; /* what was handed out, or committed, ended here */
    int64_t offset;   /* what of it is still there ends here */
};
/* Runs inside mesh_consumer_poll(), before any record that stands there now is returned. It may seek, and must not poll, nor free the consumer. */
typedef void mesh_truncation_fn(void *user, const struct mesh_truncation_info *info);
MESH_EXPORT void mesh_consumer_on_truncation(struct mesh_consumer *consumer, enum mesh_truncation_policy policy, mesh_truncation_fn *told, void *user); /* told may be NULL */

/* Fills up to record_max records, waiting at most timeout_ms for the first. *ret_count is 0 when none came. Errors:
 * MESH_EOFFSET_OUT_OF_RANGE, MESH_ECORRUPT, MESH_EUNKNOWN_TOPIC for a partition: told once each, after the records
 * before it; *ret_error_topic/partition (may be NULL) say which; that partition is then paused until seek or resume. */
MESH_EXPORT int mesh_consumer_poll(struct mesh_consumer *consumer, struct mesh_consumed *records, size_t record_max,
                                   int timeout_ms, size_t *ret_count);
MESH_EXPORT int mesh_consumer_error_partition(const struct mesh_consumer *consumer, const char **ret_topic, int32_t *ret_partition);

/* Header number `index` of a consumed record. *ret_header borrows like the record. MESH_EINVAL beyond the last. */
MESH_EXPORT int mesh_consumed_header(const struct mesh_consumed *record, size_t index, const char **ret_key, size_t *ret_key_size,
                                     const void **ret_value, size_t *ret_value_size);

/* ---- topics and the mesh (blocking) ---- */

struct mesh_topic_options;
MESH_EXPORT int mesh_topic_options_new(struct mesh_topic_options **ret_options);
MESH_EXPORT void mesh_topic_options_free(struct mesh_topic_options *options);
MESH_EXPORT int mesh_topic_options_set_partitions(struct mesh_topic_options *options, int32_t count);
MESH_EXPORT int mesh_topic_options_set_replicas(struct mesh_topic_options *options, int32_t count);
MESH_EXPORT int mesh_topic_options_set(struct mesh_topic_options *options, const char *key, const char *value); /* value NULL: back to the default (alter) */

/* options may be NULL: the broker's defaults, and as many replicas as there are brokers that keep records, 3 at most. Afterwards
 * mesh_client_remark() tells what may not be meant so. Errors: MESH_ETOPIC_EXISTS, MESH_EINVALID_TOPIC, MESH_EINVALID_CONFIG, ... */
MESH_EXPORT int mesh_topic_create(struct mesh_client *client, const char *name, const struct mesh_topic_options *options);
MESH_EXPORT int mesh_topic_alter(struct mesh_client *client, const char *name, const struct mesh_topic_options *options);
MESH_EXPORT int mesh_topic_delete(struct mesh_client *client, const char *name);

/* Records that are to be deleted, of one partition: those before `offset`, for good. */
struct mesh_trim {
    int32_t partition;
    int64_t offset;       /* the first record that stays; -1: none of those that are committed */
    int error;            /* what became of it: 0, MESH_EOFFSET_OUT_OF_RANGE (beyond what is committed), MESH_EUNKNOWN_TOPIC, ... */
    int64_t first_offset; /* where the partition's records begin now; error 0 only */
};

/* Each partition is judged by itself: error and first_offset are filled in for each. The brokers' disks have the space back by whole segments. Consumers
 * and groups that stand before the first record hear MESH_EOFFSET_OUT_OF_RANGE. Very many are asked for part by part. Returns 0, or the first of the errors; MESH_EUNSUPPORTED: a broker of the mesh is of a version that does
 * not know this yet, and nothing was done; MESH_ETIMEDOUT: it may be done, or may yet be: asking again harms nothing, unless an offset is -1. */
MESH_EXPORT int mesh_topic_trim(struct mesh_client *client, const char *name, struct mesh_trim *trims, size_t count);

/* One replica. What it misses is what the leader knows, and nothing where that was not asked or does not answer. */
struct mesh_replica_info {
    int32_t node_id;
    int is_in_sync;
    int is_eligible;            /* out of sync, and complete all the same: it may lead (ELR) */
    int is_adding, is_removing; /* a move brings it in; it goes when the move ends */
    int64_t missing_records;    /* -1: the leader has not heard of it */
    uint64_t missing_bytes;     /* about */
};
struct mesh_partition_info {
    int32_t partition, leader, leader_epoch;
    const int32_t *replicas, *isr;
    size_t replica_count, isr_count;
    int64_t high_watermark, log_start, log_end;
    uint64_t size_bytes;
    int error;           /* 0, or why it cannot serve */
    const char *problem; /* "" or a sentence */
    const struct mesh_replica_info *details; /* of the replicas, in their order: replica_count of them */
    int is_queued;                           /* its move waits for its turn */
};
struct mesh_config_info {
    const char *key, *value;
    int is_default;
};
struct mesh_topic_info {
    const char *name;
    char id[37]; /* uuid text */
    const struct mesh_config_info *configs;
    size_t config_count;
    const struct mesh_partition_info *partitions;
    size_t partition_count;
};
struct mesh_topic_list; /* owns what its infos point to */

/* name NULL: every topic. Errors: MESH_EUNKNOWN_TOPIC, MESH_ETOOLARGE (topics, their settings and partitions
 * are together more than 200,000 or 4 MiB: ask by name). */
MESH_EXPORT int mesh_topic_describe(struct mesh_client *client, const char *name, struct mesh_topic_list **ret_list);
MESH_EXPORT size_t mesh_topic_list_count(const struct mesh_topic_list *list);
MESH_EXPORT const struct mesh_topic_info *mesh_topic_list_get(const struct mesh_topic_list *list, size_t index);
MESH_EXPORT void mesh_topic_list_free(struct mesh_topic_list *list);

/* Replicas that move. The records are copied before anything goes, so nothing is less safe meanwhile; it goes on whoever is watching, and is seen in
 * mesh_topic_describe(): details that are being added, and what they miss. */
struct mesh_move_info {
    const char *topic;
    int32_t partition;
    const int32_t *from, *to; /* the replicas before, and when it has ended; the first is the preferred leader. Equal: it was taken back */
    size_t from_count, to_count;
};
struct mesh_moves; /* owns what its infos point to */

/* A partition's replicas become these brokers' (names, uuids or node ids, the preferred leader first). partition -1: of every partition of the topic,
 * each beginning with another one of them. *ret_moves says what was set going: nothing where all is so already. An earlier move of the partition
 * ends first. Errors: MESH_EUNKNOWN_TOPIC (or partition), MESH_ENOTFOUND (a broker), MESH_EINVALID_REPLICATION (a broker that is not up, too few, ...),
 * MESH_EBUSY (the move under way can no longer be taken back), MESH_EINVAL, MESH_EUNREACHABLE, MESH_ETIMEDOUT (it may have been set going), ... */
MESH_EXPORT int mesh_topic_move(struct mesh_client *client, const char *topic, int32_t partition, const char *const *brokers, size_t broker_count,
                                struct mesh_moves **ret_moves);
/* Back to the replicas before. Errors: as above; MESH_ENOTFOUND: nothing moves. */
MESH_EXPORT int mesh_topic_move_cancel(struct mesh_client *client, const char *topic, int32_t partition, struct mesh_moves **ret_moves);
/* Spreads the replicas of a topic evenly over the brokers, or with NULL those of all topics, by as few moves as that takes. is_dry: says what would move, and
 * changes nothing. Errors: as above. */
MESH_EXPORT int mesh_topic_balance(struct mesh_client *client, const char *topic, int is_dry, struct mesh_moves **ret_moves);
MESH_EXPORT size_t mesh_moves_count(const struct mesh_moves *moves);
MESH_EXPORT const struct mesh_move_info *mesh_moves_get(const struct mesh_moves *moves, size_t index);
MESH_EXPORT void mesh_moves_free(struct mesh_moves *moves);

struct mesh_broker_info {
    int32_t node_id;
    char id[37];
    const char *name, *host, *zone;
    uint16_t port;
    int is_fenced;   /* it has no session with the coordinator: leads nothing */
    int is_draining; /* it is being stopped, or has_bad_disk */
    int is_witness;  /* votes, keeps no records */
    int has_bad_disk; /* its disk has failed: it gives up what others can take */
};
struct mesh_voter_info {
    char id[37];     /* of the broker */
    int32_t node_id; /* 0: no longer in the mesh */
    const char *name;
    int is_heard;    /* by the answering broker */
    int is_learner;  /* is about to vote, and does not yet */
};
struct mesh_problem_info {
    const char *what, *meaning, *remedy;
};
struct mesh_status_info {
    char cluster_id[37];
    int32_t coordinator; /* node id, -1 none */
    const struct mesh_broker_info *brokers;
    size_t broker_count;
    uint32_t topics, partitions, partitions_under_replicated, partitions_offline;
    const struct mesh_problem_info *problems;
    size_t problem_count;
    uint64_t uptime_ms, stored_bytes, disk_free_bytes;
    const char *version;
    uint32_t members_alive, members_suspect, members_dead, members_left; /* as the answering broker sees them */
    const struct mesh_voter_info *voters; /* who decides about the metadata: more than half of those that vote */
    size_t voter_count;
    uint32_t partitions_at_risk; /* one more failure and they take no acks of all */
    uint32_t partitions_moving, partitions_queued; /* replicas come or go; of those: waiting for their turn */
};
struct mesh_status;
MESH_EXPORT int mesh_status_get(struct mesh_client *client, struct mesh_status **ret_status);
MESH_EXPORT const struct mesh_status_info *mesh_status_info(const struct mesh_status *status);
MESH_EXPORT void mesh_status_free(struct mesh_status *status);

enum mesh_member_state { MESH_MEMBER_ALIVE, MESH_MEMBER_SUSPECT, MESH_MEMBER_DEAD, MESH_MEMBER_LEFT };
struct mesh_member_info {
    const char *name, *zone;
    char id[37];         /* uuid text */
    const char *address; /* of gossip and peer links, "IP:PORT" */
    const char *host;    /* what clients are told to dial, with `port`; "": the address */
    uint16_t port;
    enum mesh_member_state state; /* as the answering broker sees it */
    uint64_t incarnation;
    uint64_t state_ms; /* how long it has been so */
    int64_t heard_ms;  /* since its last direct answer; -1: none yet, or it is the answering broker */
    uint32_t rtt_us;   /* 0: not measured */
    int is_self;       /* the answering broker */
    int is_udp_blocked;
};
struct mesh_members; /* owns what its infos point to */

/* Who is in the mesh, as one broker sees it. Errors: MESH_EUNREACHABLE, MESH_ETIMEDOUT, MESH_ENOMEM, ... */
MESH_EXPORT int mesh_members_get(struct mesh_client *client, struct mesh_members **ret_members);
MESH_EXPORT const char *mesh_members_cluster(const struct mesh_members *members); /* uuid text */
MESH_EXPORT size_t mesh_members_count(const struct mesh_members *members);
MESH_EXPORT const struct mesh_member_info *mesh_members_at(const struct mesh_members *members, size_t index);
MESH_EXPORT void mesh_members_free(struct mesh_members *members);

/* The broker that answers tells all others that it leaves, and stops. Its data stay in its directory. Never repeated; after
 * an error it may or may not have left. */
MESH_EXPORT int mesh_leave(struct mesh_client *client);

/* ---- users: who may log in ---- */

/* What is kept instead of a password (RFC 5802): whoever sets one makes it, so that no password travels. */
struct mesh_verifier {
    uint32_t mechanism; /* 1: SCRAM-SHA-256, 2: SCRAM-SHA-512 */
    uint32_t iterations; /* 4,096 to 1,000,000 */
    const uint8_t *salt; /* 8 to 64 bytes */
    size_t salt_size;
    const uint8_t *stored_key, *server_key; /* of the hash's size: 32 or 64 bytes */
};

struct mesh_user_info {
    const char *name;
    uint32_t mechanisms; /* bit 0: SCRAM-SHA-256, bit 1: SCRAM-SHA-512 */
    uint32_t iterations; /* the fewest of them */
};
struct mesh_users; /* owns what its infos point to */

/* All users, by name, as one broker knows them. Errors: MESH_EUNREACHABLE, MESH_ETIMEDOUT, MESH_ENOMEM, ... */
MESH_EXPORT int mesh_users_get(struct mesh_client *client, struct mesh_users **ret_users);
MESH_EXPORT size_t mesh_users_count(const struct mesh_users *users);
MESH_EXPORT const struct mesh_user_info *mesh_users_at(const struct mesh_users *users, size_t index);
MESH_EXPORT void mesh_users_free(struct mesh_users *users);

/* Adds a user (MESH_EEXISTS), gives one other verifiers (MESH_ENOTFOUND), or removes one (MESH_ENOTFOUND). A name has 1 to 255 bytes, a user one or two
 * verifiers, of different mechanisms: else MESH_EINVAL. Never repeated: after MESH_ETIMEDOUT it may be done or not. */
MESH_EXPORT int mesh_user_add(struct mesh_client *client, const char *name, const struct mesh_verifier *verifiers, size_t verifier_count);
MESH_EXPORT int mesh_user_replace(struct mesh_client *client, const char *name, const struct mesh_verifier *verifiers, size_t verifier_count);
MESH_EXPORT int mesh_user_remove(struct mesh_client *client, const char *name);

struct mesh_removed_info {
    char id[37]; /* uuid text */
    char name[256];
    uint32_t hosted_partitions, lost_partitions; /* lost: there is no other copy */
};

/* Takes a broker that is gone for good out of the mesh, by name or uuid: it must have left or be dead, and is refused when it comes back. Unless
 * accepts_loss, it is not done while the broker has the only copy of a partition. Errors: MESH_ENOTFOUND, MESH_EINVAL, MESH_ENO_COORDINATOR, ... */
MESH_EXPORT int mesh_remove(struct mesh_client *client, const char *broker, int accepts_loss, struct mesh_removed_info *ret_removed);

struct mesh_lost_info {
    char id[37];
    const char *name;
    int is_voter;
    uint32_t hosted_partitions;
};
struct mesh_survivor_info {
    char id[37];
    const char *name, *objection; /* objection: what speaks against it, as that broker says; "": nothing */
    int has_answered, is_voter, is_damaged;
    int is_chosen;                 /* its metadata log goes on */
    uint64_t last_index, committed; /* of its metadata log */
};
struct mesh_recovery_info {
    int is_done;
    const char *objection; /* why nothing was done; "": nothing speaks against it */
    uint64_t history;      /* the number of the history that has begun, or would */
    const struct mesh_lost_info *lost;
    size_t lost_count;
    const struct mesh_survivor_info *survivors;
    size_t survivor_count;
    uint32_t lost_partitions; /* whose only copies are on the lost */
};
struct mesh_recovery; /* owns what its info points to */

/* A majority of the voters is gone for good: makes the others a mesh again, without the lost (names or uuids), who are refused when they come back. Unless
 * is_for_real, everybody is only asked. Done once, however often it is asked for, and finished by the brokers when this call has timed
 * out. Errors: MESH_ENOTFOUND, MESH_EINVAL (a name), MESH_EUNREACHABLE, ... What speaks against it is no error: see `objection`. */
MESH_EXPORT int mesh_recover(struct mesh_client *client, const char *const *lost, size_t lost_count, int is_for_real, struct mesh_recovery **ret_recovery);
MESH_EXPORT const struct mesh_recovery_info *mesh_recovery_info(const struct mesh_recovery *recovery);
MESH_EXPORT void mesh_recovery_free(struct mesh_recovery *recovery);

struct mesh_key_info {
    const char *id; /* 8 hexadecimal digits: public, not the key */
    int is_used;    /* packets are sealed with it */
    uint32_t holder_count, member_count;
};
struct mesh_keys;

/* The cluster keys that the answering broker holds. With is_rotation it first begins to replace them by a fresh one, and leads
 * that to its end: MESH_EBUSY while one is under way. */
MESH_EXPORT int mesh_keys_get(struct mesh_client *client, int is_rotation, struct mesh_keys **ret_keys);
MESH_EXPORT size_t mesh_keys_count(const struct mesh_keys *keys);
MESH_EXPORT const struct mesh_key_info *mesh_keys_at(const struct mesh_keys *keys, size_t index);
MESH_EXPORT const char *mesh_keys_phase(const struct mesh_keys *keys);       /* of the rotation under way; "": none */
MESH_EXPORT const char *mesh_keys_waiting_for(const struct mesh_keys *keys); /* the name of a member; "": nobody */
MESH_EXPORT void mesh_keys_free(struct mesh_keys *keys);

/* ---- what a broker has noted ---- */

struct mesh_event_info {
    uint64_t sequence; /* 1, 2, ... in each life of the broker */
    uint64_t wall_ms;  /* since 1970, by its clock */
    uint32_t level;    /* 0: debug, 1: info, 2: warn, 3: error */
    const char *kind;  /* one word: "election", "fence", "loss", ... */
    const char *text;  /* a sentence start, then key=value pairs */
};
struct mesh_events_info {
    char id[37];      /* of the broker whose events these are, uuid text */
    const char *name; /* its name */
    uint64_t boot;    /* its life */
    uint64_t last;    /* ask again after this one */
    uint64_t now_ms;  /* its wall clock */
    int has_more;     /* there are more that it keeps: ask again at once */
    const struct mesh_event_info *events; /* oldest first */
    size_t event_count;
};
struct mesh_events; /* owns what its info points to */

/* Elections, fences, repairs, losses and the like, as one broker has noted them in this life of it; the oldest are forgotten. `broker` (uuid text; NULL: the one
 * that answers) need not be one that can be reached from here. `after` a sequence, 0: all that are kept; age_ms: not older, 0: any age. Errors:
 * MESH_EINVAL (no uuid), MESH_ENOTFOUND (the broker that was asked has no link to it), MESH_ETIMEDOUT, MESH_EUNREACHABLE, ... */
MESH_EXPORT int mesh_events_get(struct mesh_client *client, const char *broker, uint64_t after, uint64_t age_ms, struct mesh_events **ret_events);
MESH_EXPORT const struct mesh_events_info *mesh_events_info(const struct mesh_events *events);
MESH_EXPORT void mesh_events_free(struct mesh_events *events);

/* ---- a broker that is to lead nothing ---- */

enum mesh_drain_action { MESH_DRAIN_LOOK, MESH_DRAIN_BEGIN, MESH_DRAIN_UNDO, MESH_DRAIN_EMPTY };

struct mesh_drain_info {
    char id[37];
    char name[256];
    int is_wanted;   /* somebody asked for it in this life of the broker */
    int is_drained;  /* the mesh has agreed: it gets no leadership, and gives up what others can take */
    uint64_t led;    /* partitions that it still leads */
    uint32_t others; /* brokers that could take over */
    int is_emptying; /* its replicas are to become others' */
    uint64_t hosted; /* replicas that it still has */
};

/* Has a broker (uuid text; NULL: the one that answers) give its leadership away, and undoes it; it goes on answering, following and voting. Says how far it
 * is: ask with MESH_DRAIN_LOOK until `is_drained` and `led` is 0. MESH_DRAIN_EMPTY has others copy its replicas instead, until `hosted` is 0: then it can be stopped
 * and removed, and nothing was less safe meanwhile. Over when it starts anew. Errors: MESH_EINVAL (no other broker could take over; no uuid),
 * MESH_ENOTFOUND (no link to it), ... */
MESH_EXPORT int mesh_drain(struct mesh_client *client, const char *broker, enum mesh_drain_action action, struct mesh_drain_info *ret_info);

/* ---- settings of brokers ---- */

enum mesh_setting_source { MESH_SETTING_DEFAULT, MESH_SETTING_KEPT, MESH_SETTING_FILE, MESH_SETTING_ENVIRONMENT, MESH_SETTING_OPTION };
enum mesh_setting_scope { MESH_SETTING_OF_BROKER, MESH_SETTING_ALIKE, MESH_SETTING_OF_NEW_TOPICS };

struct mesh_setting_info {
    const char *key, *value;
    const char *unit;     /* "bytes", "ms", "count", "word", "file" */
    const char *values;   /* which it may have, for people */
    const char *fallback; /* the default */
    const char *help;     /* a sentence */
    uint32_t source;      /* enum mesh_setting_source, of the value */
    uint32_t scope;       /* enum mesh_setting_scope: this broker's; the same on every broker; what new topics get */
    int is_live;          /* it may change while the broker runs */
    const char *kept;     /* what the broker keeps for its next start; "": nothing */
    const char *at_start; /* what its next start would use, where that is something else than `value`; "": the same */
};
struct mesh_settings_info {
    char id[37]; /* of the broker whose settings these are, uuid text */
    const char *name;
    const char *path; /* its file with what is kept */
    const struct mesh_setting_info *settings;
    size_t setting_count;
};
struct mesh_settings; /* owns what its info points to */

struct mesh_setting_change {
    const char *key;
    const char *value; /* NULL: no longer kept, and back to what it is without that */
};

/* What every setting of one broker (uuid text; NULL: the one that answers) stands at. Errors: MESH_EINVAL (no uuid), MESH_ENOTFOUND (no link to it),
 * MESH_EUNSUPPORTED (a broker of an earlier version), ... */
MESH_EXPORT int mesh_settings_get(struct mesh_client *client, const char *broker, struct mesh_settings **ret_settings);

/* Changes settings while it runs, all or none (all with values, or all without), and keeps them for its next starts, where options, environment and its file come
 * before what is kept. Says how things stand then. Errors: as above; MESH_EINVAL also for a setting that there is not or that is read at a start alone, and for a
 * value out of range; those of its disk. Nothing was changed then. */
MESH_EXPORT int mesh_settings_change(struct mesh_client *client, const char *broker, const struct mesh_setting_change *changes, size_t count, struct mesh_settings **ret_settings);
MESH_EXPORT const struct mesh_settings_info *mesh_settings_info(const struct mesh_settings *settings);
MESH_EXPORT void mesh_settings_free(struct mesh_settings *settings); /* accepts NULL */

/* Flags of a candidate. */
#define MESH_CANDIDATE_IN_SYNC    1u
#define MESH_CANDIDATE_ELIGIBLE   2u   /* complete, though not in sync (ELR) */
#define MESH_CANDIDATE_FENCED     4u   /* it had no session with the coordinator */
#define MESH_CANDIDATE_DRAINING   8u   /* it was being stopped */
#define MESH_CANDIDATE_RETIRED    16u  /* it was removed from the mesh */
#define MESH_CANDIDATE_ZONE       32u  /* in the preferred zone, or none was preferred */
#define MESH_CANDIDATE_PREFERRED  64u  /* the partition's first replica */
#define MESH_CANDIDATE_LAST_KNOWN 128u /* the last one known to be complete, and it stopped uncleanly */
struct mesh_candidate_info {
    int32_t node_id;
    const char *name, *standing; /* standing: what became of it and why, for people */
    int64_t score;               /* 0: it could not be elected, or there was no election */
    uint32_t flags;
    uint32_t log, health, load; /* 0..9: how far its log reached; 0..10; 0..100: 100 idle */
};
struct mesh_why_info {
    const char *topic;
    int32_t partition;
    int32_t leader; /* node id, -1 none */
    const char *leader_name;
    int32_t leader_epoch;
    int was_elected;        /* 0: its first leader leads, and was chosen when the partition was made */
    uint64_t decided_index; /* of the entry of the metadata log that did it; 0: never elected */
    const char *reason;     /* a sentence */
    const struct mesh_candidate_info *candidates; /* every replica, in the order of placement */
    size_t candidate_count;
    const char *placement; /* a sentence: where its replicas are, and whether that is as it should be */
    const char *writes;    /* why acks of all are not given now; "": they are */
    const char *reads;     /* why nothing can be read now; "": it can */
};
struct mesh_why; /* owns what its info points to */

/* Why a broker leads a partition. Errors: MESH_EUNKNOWN_TOPIC (or no such partition), MESH_EUNREACHABLE, MESH_ETIMEDOUT, MESH_ENOMEM, ... */
MESH_EXPORT int mesh_why_get(struct mesh_client *client, const char *topic, int32_t partition, struct mesh_why **ret_why);
MESH_EXPORT const struct mesh_why_info *mesh_why_info(const struct mesh_why *why);
MESH_EXPORT void mesh_why_free(struct mesh_why *why);

/* Version of the library, "major.minor.patch". */
MESH_EXPORT const char *mesh_version(void);

#ifdef __cplusplus
}
#endif
#endif
