/* metadata/metadata.h - the broker's metadata: the driver of replication/metadata on the control loop, with its disk and its links.
 *
 * Belongs to the control loop. A change is asked for here, decided and committed by the coordinator, wherever that is, and answered when
 * this broker's own image shows it; so answers come through callbacks on the control loop; what cannot even be asked is answered inside
 * the call. Published images go to
 * the shards by mailbox. */
#ifndef METADATA_METADATA_H
#define METADATA_METADATA_H

#include "cmd/broker/metadata/identity.h"
#include "replication/metadata/node.h"
#include "segment/recovery.h"
#include "wire/message.h"

struct ev_loop;
struct mailbox;
struct metadata;
struct peers;

#define METADATA_MESSAGE_SIZE 512
#define METADATA_TIMEOUT_MS   10000 /* how long a change may take before it is answered with an error */

struct metadata_hooks {
    /* Every new image, the first one (at open) excepted; borrowed. */
    void (*publish)(void *user, const struct image *image);
    /* metadata_status() has changed. */
    void (*changed)(void *user);
};

struct metadata_options {
    struct fs *fs; /* borrowed; the data directory, locked by the caller */
    struct ev_loop *loop;
    struct mailbox *mailbox; /* the loop's */
    const struct identity *identity; /* borrowed for the call; it names the mesh */
    bool is_witness;
    /* The first voters of the mesh, alike everywhere, when this broker is one of them; else NULL. Borrowed for the call. A log that is empty and
     * has never voted begins with them. */
    const struct raft_server *founders;
    size_t founder_count;
    int32_t partition_count_default;    /* for topics created without a number; 1 */
    int32_t replication_factor_default; /* 3: bounded by the number of brokers */
    const struct decide_config *config_defaults; /* for topics created without these keys; copied. Recorded with the topic */
    size_t config_default_count;
    bool knows_others;    /* other brokers can be looked for: seeds were named, or members are remembered. Without, damage is never repaired */
    uint32_t election_ms;                  /* the shortest time without a coordinator before another one is elected; the longest is twice that */
    uint32_t moves_per_broker;             /* as node_options; 2 */
    uint64_t replace_ms, spread_quiet_ms;  /* likewise; 10 min, 1 min */
    uint32_t leave_ms_max;                 /* metadata_leave() ends by then; 0: 5 s */
    bool was_unclean;                      /* the life before left no mark of a clean stop */
    const struct recovery_catalog *logs;   /* what recovery found: a topic that has records here was committed. May be NULL */
    struct events *events;                 /* kept; NULL: what happens is only logged */
    const struct metadata_hooks *hooks;    /* kept */
    void *user;
};

void metadata_options_init(struct metadata_options *options, struct fs *fs);

/* identity_open() with fresh randomness for a directory that has none yet. Wipe the key with identity_key_wipe(). */
int metadata_open_identity(struct fs *fs, struct identity *ret_identity, char message[METADATA_MESSAGE_SIZE]);

/* A broker whose directory was found to be set back or copied in its last life goes on as another server of consensus: on a disk with another
 * uuid (in its last bytes: the records on it stay its own, as far as the mesh trusts them), with an empty log, which it gets from the others. The coordinator takes it in as a
 * learner, and gives it the vote of what it was. Where gossip alone found it, and its log names no other voter, nobody else has to hold that log: it is
 * kept. Nothing is done to any other directory. Errors: MESH_EIO, MESH_EFULL, MESH_ENOMEM, and as metadata_prepare(), with a sentence in `message`. */
int metadata_renew_if_set_back(struct fs *fs, struct identity *identity, bool *ret_is_renewed, char message[METADATA_MESSAGE_SIZE]);

/* Makes an empty log for a broker that is about to belong to a mesh; from then on its absence is damage. Harmless where there is one.
 * Errors: as metadata_open(). */
int metadata_prepare(struct fs *fs, const struct identity *identity, char message[METADATA_MESSAGE_SIZE]);

/* Reads log, vote and snapshot; founds where asked to. Blocks on the disk; nothing is sent or stored before metadata_start(). On failure
 * `message` says what is wrong, where, and what to do. Errors: MESH_ECORRUPT (damage: refuse to start), MESH_EVERSION, MESH_EWRONG_MESH,
 * MESH_EINVALID_CONFIG (a default), MESH_EIO, MESH_EFULL, MESH_ENOMEM. */
int metadata_open(const struct metadata_options *options, struct metadata **ret_metadata, char message[METADATA_MESSAGE_SIZE]);
void metadata_close(struct metadata *metadata); /* accepts NULL. Waits for the disk, and delivers mail of the loop's mailbox meanwhile */

/* From here on the broker takes part. Links come with metadata_connect(). Errors: MESH_EINVAL (a text too long), MESH_ENOMEM. */
int metadata_start(struct metadata *metadata, const struct node_self *self);
/* Sends and hears by these peers, until they are taken back with NULL before they end. */
void metadata_connect(struct metadata *metadata, struct peers *peers);
void metadata_set_boot(struct metadata *metadata, uint64_t boot);
void metadata_set_drain(struct metadata *metadata, bool is_wanted); /* node_set_drain() */
void metadata_set_empty(struct metadata *metadata, bool is_wanted); /* node_set_empty() */

/* What metadata_open() was told of these, changed. */
void metadata_set_terms(struct metadata *metadata, int32_t partition_count_default, uint32_t moves_per_broker, uint64_t replace_ms, uint64_t spread_quiet_ms);
void metadata_set_disk_failed(struct metadata *metadata); /* of partitions: node_set_disk_failed() */

const struct node_status *metadata_status(const struct metadata *metadata);
const struct image *metadata_image(const struct metadata *metadata); /* the newest; borrowed until the next change */
const struct node *metadata_node(const struct metadata *metadata);
/* The log was damaged and is not whole again: what the image says is too old to judge what lies in the data directory. */
bool metadata_is_behind_disk(const struct metadata *metadata);

/* 0, or why no change can be made here (the log's disk: MESH_EIO; MESH_EFULL: until there is space again). Reading goes on. */
int metadata_error(const struct metadata *metadata);
bool metadata_is_leaving(const struct metadata *metadata); /* somebody waits for metadata_leave() */
/* Since when no coordinator has answered (clock_monotonic); 0: one answers, or none has since the start. */
uint64_t metadata_session_lost_us(const struct metadata *metadata);
/* node_current_us(), as of the last event. Any thread. */
uint64_t metadata_current_us(const struct metadata *metadata);
bool metadata_is_disk_busy(const struct metadata *metadata);

/* Leadership and coordination are handed over, as far as there is somebody to take them; then done(), once, also in metadata_close(). */
typedef void metadata_left_fn(void *user);
void metadata_leave(struct metadata *metadata, metadata_left_fn *done, void *user);

/* ---- changes ---- */

/* error 0: `topic` is the topic as committed, borrowed (deleted topics: as it was; NULL after validate_only or when it is gone again already),
 * and `message` what is to be said about it, or "". Else NULL and `message` says why. */
typedef void metadata_topic_fn(void *user, int error, const char *message, const struct image_topic *topic);

/* Errors by done(): as decide_topic_create() etc., and those of node_request(). */
void metadata_topic_create(struct metadata *metadata, const struct message_topic_create *request, metadata_topic_fn *done, void *user);
/* The topic of consumer groups is to be there (coordinator/groups_topic.h); where it is already, that is no error. */
void metadata_groups_topic(struct metadata *metadata, metadata_topic_fn *done, void *user);
void metadata_topic_alter(struct metadata *metadata, const struct message_topic_alter *request, metadata_topic_fn *done, void *user);
void metadata_topic_delete(struct metadata *metadata, const struct message_topic_delete *request, metadata_topic_fn *done, void *user);
/* The topic of this id, and no other that came to bear its name. */
void metadata_topic_delete_id(struct metadata *metadata, const struct uuid *topic_id, metadata_topic_fn *done, void *user);

/* Another leader for a partition: its first replica (is_preferred), or the best one. error 0: this broker's image shows what came of it. Errors by
 * done(): as decide_prefer_leader() and decide_elect_leader(), and those of node_request(). */
typedef void metadata_elected_fn(void *user, int error, const char *message);
void metadata_elect(struct metadata *metadata, const struct uuid *topic_id, uint32_t partition, bool is_preferred, metadata_elected_fn *done, void *user);

/* Who may log in: adds, replaces or removes one; not for lists, which come out of the image. error 0: this broker's image shows it. Errors by done():
 * MESH_EINVAL (a name, a mechanism, sizes, iterations), MESH_EEXISTS, MESH_ENOTFOUND, MESH_EFULL, and those of node_request(). */
typedef void metadata_user_fn(void *user, int error, const char *message);
void metadata_change_user(struct metadata *metadata, const struct message_users_request *request, metadata_user_fn *done, void *user);

/* Takes a broker that is gone for good out of the mesh. Errors by done(): MESH_ENOTFOUND, MESH_EINVAL (it lives, or holds the only
 * copies and accepts_loss is not set), and those of node_request(). */
typedef void metadata_remove_fn(void *user, int error, const char *message, const struct message_remove_response *response);
void metadata_remove(struct metadata *metadata, const struct message_remove_request *request, metadata_remove_fn *done, void *user);

/* Makes the survivors a mesh again (node_recover()); what speaks against it is in the response, which is done's while it runs. Errors by done():
 * MESH_ENOTFOUND, MESH_EINVAL (a name), MESH_EBUSY (one is under way), MESH_ENOMEM, MESH_ESHUTDOWN, and what the metadata have failed with. */
typedef void metadata_recover_fn(void *user, int error, const char *message, const struct message_recover_response *response);
void metadata_recover(struct metadata *metadata, const struct message_recover_request *request, metadata_recover_fn *done, void *user);

/* Replicas that are to be elsewhere: one partition's, or those of a whole topic; or back where they were. `response` says what was set going and is
 * done's while it runs; it is empty when all is so already. Errors by done(): MESH_EUNKNOWN_TOPIC, MESH_ENOTFOUND (a broker; nothing moves that
 * could be cancelled), MESH_EINVAL (a name that many have; no brokers), what decide_move() refuses, and those of node_request(). */
typedef void metadata_moves_fn(void *user, int error, const char *message, const struct message_moves_response *response);
void metadata_move(struct metadata *metadata, const struct message_topic_move *request, metadata_moves_fn *done, void *user);
/* Spreads the replicas of a topic, or of all, evenly; a dry one says what would move, as far as this broker knows, and asks nobody. */
void metadata_balance(struct metadata *metadata, const struct message_topic_balance *request, metadata_moves_fn *done, void *user);

/* What leaders want their ISRs to be: `body` is node_encode_alter()'s, copied. error 0: `results` for node_decode_results(), borrowed. */
typedef void metadata_results_fn(void *user, int error, struct slice results);
void metadata_alter_partitions(struct metadata *metadata, struct slice body, metadata_results_fn *done, void *user);
/* Which replicas here have lost records: `body` is node_encode_lost()'s. Likewise. */
void metadata_replicas_lost(struct metadata *metadata, struct slice body, metadata_results_fn *done, void *user);

/* Records that clients want deleted: `body` is node_encode_deletions()'s, copied. error 0: `results` for node_decode_results(), borrowed, and this broker's image shows what
 * came of it. Else `message` says why. Errors by done(): as decide_delete_records(), MESH_EUNSUPPORTED (a broker of an earlier version), and those of node_request(). */
typedef void metadata_deletions_fn(void *user, int error, const char *message, struct slice results);
void metadata_delete_records(struct metadata *metadata, struct slice body, metadata_deletions_fn *done, void *user);

/* How far replicas here go of partitions that nobody leads: `body` is node_encode_reports()'s, copied. error 0: the coordinator has heard it. */
typedef void metadata_reported_fn(void *user, int error, const char *message);
void metadata_report_replicas(struct metadata *metadata, struct slice body, metadata_reported_fn *done, void *user);

/* A block of producer ids [first, first + count); never handed out again. */
typedef void metadata_producer_ids_fn(void *user, int error, int64_t first, uint32_t count);
#define METADATA_PRODUCER_BLOCK 1000
void metadata_allocate_producer_ids(struct metadata *metadata, uint32_t count, metadata_producer_ids_fn *done, void *user);

#endif
