/* metadata/node.h - one broker's part in the metadata of the mesh: raft where it is a voter, the committed log pulled sideways
 * where it is not, the image that the log makes, its session with the coordinator, and the requests that go there.
 *
 * Sans-I/O: events and the time go in, outputs come out; no call blocks, reads a clock, touches a disk or a socket. The broker and
 * the simulator run the same code. One node belongs to one thread; times are monotonic microseconds.
 *
 *     node_tick() / node_receive() / node_stored() / node_request() ...     an event
 *     while (node_next_output(node, now_us, &output)) ...                   what is to be done
 *     node_due_us()                                                         when to tick next
 *
 * Outputs are made when they are asked for: after every event all are taken before the next. What an output points to is valid until
 * the next call of node_next_output().
 *
 * Durability. STORE_* outputs are carried out in the order in which they came, by one thread (consensus/store.h); what depends on them
 * is held back inside until node_stored(). Whoever drives this cannot send too early.
 *
 * What is visible. PUBLISH carries the newest image; every image is made of committed entries only, in order, none left out. ANSWER comes
 * after the PUBLISH that shows what it answers.
 *
 * Bytes on links: PROTOCOL.md. Security is the caller's: `peer` is who an authenticated link of this mesh names. */
#ifndef METADATA_NODE_H
#define METADATA_NODE_H

#include "replication/consensus/raft.h"
#include "replication/coordinator/decide_replicas.h"
#include "replication/coordinator/image.h"
#include "replication/recover/recover.h"

#include <stdbool.h>

#define NODE_NEVER            UINT64_MAX
#define NODE_MESSAGE_MAX      (RAFT_MESSAGE_MAX + 4096) /* bytes of one message over a link, of either type */
#define NODE_REQUEST_MAX      (4u << 20)                /* bytes of one request's body */
#define NODE_REQUESTS_MAX     4096                      /* local requests that are not answered yet; more: MESH_EBUSY */
#define NODE_PEERS_MAX        1024                      /* links at a time; more are refused and counted */
#define NODE_PRODUCER_IDS_MAX 1000000                   /* of one block */
#define NODE_TEXT_SIZE        512                       /* of a sentence for people, its NUL included */

struct node;

/* Which kind of frame on a peer link. */
enum node_link { NODE_LINK_CONSENSUS, NODE_LINK_METADATA };

/* What a topic gets that is created without saying so. The broker that was asked decides (its defaults travel with the request). */
struct node_topic_defaults {
    int32_t partition_count, replication_factor;
    const struct decide_config *configs; /* copied; good ones: topic_config_parse() was asked */
    size_t config_count;
};

struct node_options {
    struct raft_server self;
    uint64_t boot;                       /* durable; no earlier life of this broker used it */
    struct uuid cluster_id;              /* whose metadata these are; zero: not known yet (taken from the log) */
    uint8_t seed[32];                    /* random bytes: election times, uuids of new topics */
    bool is_witness;                     /* it votes and hosts nothing */
    bool was_unclean;                    /* its former life left no mark of a clean stop */
    bool was_set_back;                   /* its disk went back in time, or is a copy, and the mesh has not been told yet */
    bool has_lost_data;                  /* its logs did not verify */
    uint32_t raft_heartbeat_us, election_min_us, election_max_us; /* 100 ms, 1 s, 2 s */
    uint32_t heartbeat_us, session_us;   /* of brokers' sessions: 500 ms, 3 s */
    uint32_t stall_us;                   /* an upstream that sends nothing while others have more is left after this; 500 ms */
    uint32_t retry_us;                   /* an unanswered request is sent again after this; 1 s */
    uint32_t voters_interval_us;         /* between two looks at who votes; 1 s */
    uint32_t voter_stable_us;            /* a broker must have been here so long before it votes; 10 s */
    uint32_t voter_gone_us;              /* a voter's session must be lost so long before it is replaced; 60 s */
    uint32_t moves_per_broker;           /* copies of partitions that a broker takes part in at a time; 2. 0: nothing is moved or replaced by itself */
    uint64_t spread_quiet_us;            /* so long after the last session began or ended, replicas are spread evenly; 1 min */
    uint64_t replace_us;                 /* a broker that is silent for so long is gone: its replicas are made anew elsewhere; 10 min */
    int32_t groups_topic_partitions;     /* of the topic of consumer groups; 64. Less in simulations only */
    uint32_t unclean_wait_us;            /* unclean=proactive waits so long for further reports; 5 s */
    uint32_t recover_retry_us, recover_resume_us; /* recover/recover.h; 500 ms, 5 s */
    uint32_t leave_us;                   /* a controlled shutdown that takes longer ends anyway; 5 s */
    uint32_t pullers_max;                /* brokers that one broker feeds; 16 */
    uint32_t feed_bytes;                 /* of one message of entries or of a snapshot; 512 KiB */
    uint64_t snapshot_log_bytes;         /* a snapshot is taken after so many bytes of entries; 8 MiB */
    uint64_t retained_bytes_max;         /* of entries kept in memory behind a snapshot; 4 MiB */
    uint32_t level;                      /* what this version reads; METADATA_LEVEL, but in tests of versions to come */
    metadata_level_fn *level_of;         /* likewise, metadata_kind_level() */
    struct node_topic_defaults defaults;
    struct slice recovery;               /* the bytes of the last STORE_RECOVERY that was durable; borrowed during node_new(). Empty: none */
};
void node_options_init(struct node_options *options); /* the values above; partitions 1, replication 3. The rest is the caller's */

/* `recovered` is what raft_store_open() gave; `image` the decoded snapshot at recovered->snapshot (a reference is taken), NULL when there is
 * none. What is known to be committed behind it is applied, and published, by the first outputs. Errors: MESH_ENOMEM, MESH_EINVAL (options, or an
 * image of another position), MESH_ECORRUPT (as raft_new()), MESH_EWRONG_MESH (the image is of another mesh than options->cluster_id). */
int node_new(const struct node_options *options, const struct raft_recovered *recovered, const struct image *image, uint64_t now_us,
             struct node **ret_node);
void node_free(struct node *node); /* accepts NULL */

/* Founds the mesh: each member of the founding set calls it with equal arguments on its empty log. A mesh of one: `founders` is this
 * server alone. Errors: MESH_EEXISTS (there is a log), MESH_EINVAL, MESH_ENOMEM. */
int node_found(struct node *node, uint64_t now_us, const struct uuid *cluster_id, const struct raft_server *founders, size_t count);

/* ---- events ---- */

void node_tick(struct node *node, uint64_t now_us);
uint64_t node_due_us(const struct node *node);

/* A peer link came up (one per peer counts; the caller has settled which) or went down. `server` names broker and disk as the peer says. A
 * link that is up again without having been down is a new one: whatever was under way on the old one is lost. */
void node_link_up(struct node *node, uint64_t now_us, const struct raft_server *server);
void node_link_down(struct node *node, uint64_t now_us, const struct uuid *peer);
void node_receive(struct node *node, uint64_t now_us, const struct uuid *peer, enum node_link link, struct slice message);

/* What gossip says of others; evidence, never a decision. The caller repeats nothing: changes only. */
enum node_member_state { NODE_MEMBER_ALIVE, NODE_MEMBER_SUSPECT, NODE_MEMBER_DEAD, NODE_MEMBER_LEFT };
void node_member(struct node *node, uint64_t now_us, const struct uuid *broker, enum node_member_state state);
/* This broker saw itself that the process has ended: its link was reset, and nobody listens where it was. Unlike gossip that is first-hand: the
 * coordinator ends the session at once, voters miss it as a leader at once, and a coordinator elected meanwhile waits no session for it. It is
 * over when there is a link again, or when gossip comes to find the broker alive: who started again need not have a link to everybody. Wrong, it
 * costs an election. */
void node_peer_gone(struct node *node, uint64_t now_us, const struct uuid *broker);
/* The place up to which `broker` says to know committed entries; `chain` is the first 8 bytes of the hash there, little endian (node_frontier()). */
struct node_frontier {
    uint64_t term, index, chain;
};
void node_heard_frontier(struct node *node, uint64_t now_us, const struct uuid *broker, const struct node_frontier *frontier);

/* Stores. Everything up to and including `store` is durable. node_store_failed(): that one failed, those before it are durable. This is final
 * (status.has_failed; the store is poisoned, see consensus/store.h), but for a STORE_CHUNK that was damaged (MESH_ECORRUPT), gave way to another
 * snapshot (MESH_EAGAIN) or found no room (MESH_EFULL): it is fetched again, so this is then in the place of node_stored() for it, and stores go on. */
void node_stored(struct node *node, uint64_t now_us, uint64_t store);
void node_store_failed(struct node *node, uint64_t now_us, uint64_t store, int error);

/* The answer to SNAPSHOT_READ `read`: error 0, the newest snapshot's position, configuration and size, and the `bytes` from the offset asked
 * for (fewer at its end; none beyond it). Else MESH_ENOTFOUND (none, or not the one at the index that was asked for) or what went wrong. */
struct node_snapshot {
    struct raft_position position;
    struct raft_config config;
    uint64_t total;
    struct slice bytes;
};
void node_snapshot_bytes(struct node *node, uint64_t now_us, uint64_t read, int error, const struct node_snapshot *snapshot);

/* The answer to SNAPSHOT_TAKE: the snapshot at `index` is durable, or not (nothing is lost: the log stays longer). */
void node_snapshot_taken(struct node *node, uint64_t now_us, uint64_t index, int error);

/* The answer to RESTORE: the image that the stored snapshot holds (a reference is taken), or why there is none: final, as damage is. */
void node_restored(struct node *node, uint64_t now_us, int error, const struct image *image);

/* Who this broker is for others: once when its ports are bound, and again whenever something changes. It is registered with the coordinator
 * until the image says so. Texts are copied. Errors: MESH_EINVAL (longer than IMAGE_BROKER_STRING_SIZE_MAX, no port), MESH_ENOMEM. */
struct node_self {
    const char *name, *host, *zone; /* zone "" when none */
    uint16_t port;
    uint32_t shard_count;
};
int node_set_self(struct node *node, uint64_t now_us, const struct node_self *self);
void node_set_boot(struct node *node, uint64_t now_us, uint64_t boot); /* higher: the disk had been set back. Registered anew, as such */

/* A disk of this broker has failed: logs here accept no records until it is started again. Where others can, they lead instead of it, and it joins no ISR:
 * the coordinator sees to that as long as heartbeats say so. A failed metadata log (node_store_failed()) says it by itself. */
void node_set_disk_failed(struct node *node, uint64_t now_us);

/* Somebody wants this broker to lead nothing, though it stays: as above while it is wanted and others are there, but for the reason. Forgotten with the
 * process. The metadata's coordination stays where it is. */
void node_set_drain(struct node *node, uint64_t now_us, bool is_wanted);
bool node_wants_drain(const struct node *node);
/* Somebody wants it to keep no replicas: the coordinator has others copy them, and it serves them, in sync, until each is replaced. Forgotten with the process. */
void node_set_empty(struct node *node, uint64_t now_us, bool is_wanted);
bool node_wants_empty(const struct node *node);

/* What may change while it runs: as the options of these names. A coordinator goes by them at once. */
struct node_terms {
    int32_t partition_count_default;
    uint32_t moves_per_broker;
    uint64_t replace_us, spread_quiet_us;
};
void node_set_terms(struct node *node, uint64_t now_us, const struct node_terms *terms);

/* How this broker is doing; travels with its heartbeats to the coordinator, who places by it. No event: no output comes of it. */
struct node_load {
    uint64_t disk_free_bytes, disk_size_bytes, bytes_per_s; /* in and out */
    uint32_t health;                                        /* Lifeguard's: 0 is good */
};
void node_set_load(struct node *node, const struct node_load *load);

/* ---- requests ---- */

/* Numbers are on the wire: never renumber, never reuse. */
enum node_op {
    NODE_OP_TOPIC_CREATE = 1, /* body: message_topic_create as the native protocol writes it. validate_only is honoured */
    NODE_OP_TOPIC_ALTER = 2,  /* body: message_topic_alter */
    NODE_OP_TOPIC_DELETE = 3, /* body: message_topic_delete */
    NODE_OP_PRODUCER_IDS = 4, /* body: node_encode_producer_ids() */
    NODE_OP_REGISTER = 5,     /* the node's own */
    NODE_OP_DRAIN = 6,        /* the node's own: move leadership away from the asking broker */
    NODE_OP_BROKER_RETIRE = 7, /* body: node_encode_retire() */
    NODE_OP_ELECT_LEADER = 8, /* body: node_encode_elect() */
    NODE_OP_ALTER_PARTITIONS = 9, /* body: node_encode_alter(); a leader's ISRs. Answered with results */
    NODE_OP_REPLICAS_LOST = 10,   /* body: node_encode_lost(); of the asking broker. Answered with results */
    NODE_OP_REPORT = 11,          /* body: node_encode_reports(); of the asking broker: how far its replicas of leaderless partitions go */
    NODE_OP_RECOVER = 12,         /* body: node_encode_recover(); an operator accepts the loss */
    NODE_OP_MOVE = 13,            /* body: node_encode_moves() */
    NODE_OP_TOPIC_BALANCE = 14,   /* body: node_encode_balance() */
    NODE_OP_GROUPS_TOPIC = 20,    /* no body: the topic of consumer groups is to be there (coordinator/groups_topic.h); answered with its id, also where it was */
    NODE_OP_USER_SET = 16,    /* body: node_encode_user(): a new user, or other verifiers for one that is there */
    NODE_OP_USER_REMOVE = 17, /* body: node_encode_user_name() */
    NODE_OP_ACL_ADD = 18,     /* body: node_encode_acl(). Done also when it is there already */
    NODE_OP_USER_ADD = 21,     /* body: node_encode_user(): as SET, but MESH_EEXISTS when there is one of this name */
    NODE_OP_USER_REPLACE = 22, /* body: node_encode_user(): as SET, but MESH_ENOTFOUND when there is none */
    NODE_OP_ACL_REMOVE = 19,  /* body: node_encode_acl(): exactly this one */
    NODE_OP_TOPIC_DELETE_ID = 23, /* body: node_encode_topic(); answered with the id */
    NODE_OP_PREFER_LEADER = 24,   /* body: node_encode_elect(): the partition's first replica is to lead */
    NODE_OP_TOPIC_CREATE_AT = 26, /* as TOPIC_CREATE, with replicas: an operation of its own, because earlier versions would pass over them */
    NODE_OP_DELETE_RECORDS = 25,  /* body: node_encode_deletions(). Answered with results */
};
int node_encode_producer_ids(struct buffer *to, uint32_t count); /* 1..NODE_PRODUCER_IDS_MAX. Errors of all: MESH_ENOMEM */
int node_encode_retire(struct buffer *to, const struct uuid *broker, bool accepts_loss, bool is_alive_ok); /* as decide_broker_retire */
int node_encode_elect(struct buffer *to, const struct uuid *topic_id, uint32_t partition);
int node_encode_topic(struct buffer *to, const struct uuid *topic_id);
/* Who may log in, and what they may do. Both are listed from the image (image_each_user(), image_each_acl()). Also MESH_EINVAL: a text is empty or too
 * long, too many verifiers, too much salt; what else is wrong with them is answered (decide.h). */
int node_encode_user(struct buffer *to, const struct image_user *user);
int node_encode_user_name(struct buffer *to, const char *name);
int node_encode_acl(struct buffer *to, const struct image_acl *acl);

/* About replicas (coordinator/decide_replicas.h says what each means). `broker_epoch` is the asking broker's image_broker.epoch; lists rise by topic
 * and partition, DECIDE_PARTITIONS_MAX at most. */
int node_encode_alter(struct buffer *to, uint64_t broker_epoch, const struct decide_isr *wishes, size_t count);
int node_encode_lost(struct buffer *to, uint64_t broker_epoch, const struct decide_lost *replicas, size_t count);
struct node_report {
    struct uuid topic_id;
    uint32_t partition;
    int32_t leader_epoch, last_epoch; /* struct replica_report */
    int64_t end;
};
/* Whoever keeps a replica of a partition that nobody leads reports it as soon as an image shows that, again when the coordinator changes, and
 * again now and then while it lasts: what was reported is not in the log. */
int node_encode_reports(struct buffer *to, uint64_t broker_epoch, const struct node_report *reports, size_t count);
int node_encode_recover(struct buffer *to, const struct uuid *topic_id, uint32_t partition, int32_t node_id); /* 0: the longest log reported */
int node_encode_moves(struct buffer *to, const struct decide_move *moves, size_t count);
int node_encode_balance(struct buffer *to, const struct uuid *topic_id);
int node_encode_deletions(struct buffer *to, const struct image_deletion *wishes, size_t count);
/* What became of each partition of an ALTER_PARTITIONS, REPLICAS_LOST or DELETE_RECORDS: of ANSWER's bytes, when its error is 0. MESH_EPROTO: not `count` results. */
int node_decode_results(struct slice bytes, struct decide_result *ret_results, size_t count);

/* Asks the coordinator, wherever it is. `body` is copied. Exactly one ANSWER output with `cookie` follows, by timeout_us at the latest; the
 * change is made at most once, however often the request had to be sent. Errors (then no ANSWER comes): MESH_EBUSY, MESH_ETOOLARGE, MESH_ENOMEM.
 * ANSWER's errors besides those of the decision (decide.h): MESH_ENO_COORDINATOR (nobody could be asked: nothing was done), MESH_ETIMEDOUT (it was sent
 * and may have been done, or may yet be), MESH_EPROTO (the body is no such message), MESH_ESHUTDOWN (this node is being left). */
int node_request(struct node *node, uint64_t now_us, enum node_op op, struct slice body, uint64_t timeout_us, uint64_t cookie);

/* Controlled shutdown: leadership of partitions moves away, then coordination; LEFT comes when that is done, or after options.leave_us.
 * Requests are answered until then. The broker stays registered and stays a voter: it may come back. */
void node_leave(struct node *node, uint64_t now_us);

/* A majority of the voters is gone for good: makes the survivors a mesh again, without `lost` (replication/recover). Everybody else who belongs to the
 * mesh has to answer. Exactly one RECOVERED output with `cookie` follows, by timeout_us at the latest; a dry one changes nothing. Errors (then
 * none comes): MESH_EBUSY (one was asked for here already), MESH_EINVAL (this broker is among the lost, or nobody is), MESH_EFULL, MESH_ENOMEM. */
int node_recover(struct node *node, uint64_t now_us, const struct uuid *lost, size_t count, bool is_dry, uint64_t timeout_us, uint64_t cookie);

/* ---- outputs ---- */

enum node_output_type {
    NODE_OUTPUT_SEND,           /* `bytes` to `peer` over its link, as `link`; without a link they are lost */
    NODE_OUTPUT_WANT_LINK,      /* `peer`: a link to it is (is_wanted) or is no longer needed here. Remember it: dial until it is up, dial again */
    NODE_OUTPUT_STORE_STATE,    /* raft_store_set_state(term, voted_for, damaged_until); before it raft_store_note_others(others), unless NULL,
                                   and raft_store_note_forced(forced_term), unless 0 */
    NODE_OUTPUT_STORE_ENTRIES,  /* raft_store_append(entries, entry_count); raft_store_note_committed(committed) before it */
    NODE_OUTPUT_STORE_CHUNK,    /* raft_store_snapshot_chunk(position, config, offset, bytes, total, is_last) */
    NODE_OUTPUT_STORE_RECOVERY, /* `bytes` replace what is stored of recoveries, atomically (options.recovery) */
    NODE_OUTPUT_SNAPSHOT_TAKE,  /* write a snapshot of `image` (image_encode()) at position, config; keep a reference. Any time later, not in the way of
                                   stores; then node_snapshot_taken(). One at a time */
    NODE_OUTPUT_SNAPSHOT_READ,  /* `size` bytes from `offset` of the newest snapshot, which must be the one at `index` unless that is 0; then
                                   node_snapshot_bytes() with `read`. Some at a time (NODE_READS_MAX) */
    NODE_OUTPUT_RESTORE,        /* read and decode the stored snapshot at position; then node_restored() */
    NODE_OUTPUT_PUBLISH,        /* `image` is the newest (borrowed): give references to the shards */
    NODE_OUTPUT_ANSWER,         /* to node_request(): cookie, error, text (a sentence when there is an error, or ""), and
                                   index: what it answers is in the image of that index, which was published;
                                   topic_id: of the topic concerned; first_id, id_count: the block of producer ids; bytes: results */
    NODE_OUTPUT_FRONTIER,       /* `frontier` is new here: gossip_set_frontier() */
    NODE_OUTPUT_STATUS,         /* something in struct node_status but the two indices changed: role, coordinator, serving, session, failure */
    NODE_OUTPUT_EVENT,          /* `text` is a line for people, of `level` */
    NODE_OUTPUT_LEFT,           /* the controlled shutdown is done */
    NODE_OUTPUT_RECOVERED,      /* to node_recover(): cookie, report */
};
#define NODE_READS_MAX 32 /* SNAPSHOT_READs under way at once, at most */

enum node_level { NODE_LEVEL_INFO, NODE_LEVEL_WARN, NODE_LEVEL_ERROR };

struct node_output {
    enum node_output_type type;
    struct uuid peer;
    enum node_link link;
    bool is_wanted;
    struct slice bytes;
    uint64_t store;                            /* STORE_*: for node_stored(), rising by one */
    uint64_t term, committed, damaged_until, forced_term;
    struct raft_server voted_for;
    const struct raft_other *others;
    size_t other_count;
    const struct raft_entry *entries;
    size_t entry_count;
    struct raft_position position;             /* STORE_CHUNK, SNAPSHOT_TAKE, RESTORE */
    const struct raft_config *config;          /* as of position */
    uint64_t offset, total, size, read, index;
    bool is_last;
    const struct image *image;
    uint64_t cookie;
    int error;
    const char *text;
    struct uuid topic_id;
    int64_t first_id;
    uint32_t id_count;
    struct node_frontier frontier;
    enum node_level level;
    const struct recover_report *report;
};

bool node_next_output(struct node *node, uint64_t now_us, struct node_output *ret_output);

/* ---- what it knows ---- */

enum node_role { NODE_OBSERVER, NODE_LEARNER, NODE_VOTER, NODE_COORDINATOR };

struct node_status {
    enum node_role role;
    uint64_t term;
    struct uuid coordinator;       /* zero: none is known */
    int32_t node_id;               /* this broker's; 0: not registered yet */
    uint64_t applied, committed;   /* indices */
    bool is_registered;            /* with this boot, disk and description */
    bool is_fenced;                /* the image says so */
    bool is_serving;               /* registered, with this boot and disk, and not fenced: it may act as leader of what the image says it leads */
    bool has_session;              /* the coordinator answered within a session's time (the coordinator itself: it has a majority) */
    uint64_t history;              /* how often the mesh was recovered, as far as this broker knows */
    bool is_removed;               /* the mesh has removed this broker for good: it has failed with MESH_EUNAUTHORIZED */
    bool is_recovering;            /* a recovery was accepted here and has not begun */
    bool is_set_back;              /* the directory is a copy, or an older state, of one that others know: it votes no more (raft.h, RAFT_SET_BACK) */
    bool has_failed;               /* the disk or the log: nothing is accepted any more, `failure` says why */
    int failure_error;
    const char *failure;           /* a sentence; "" */
};
void node_get_status(const struct node *node, struct node_status *ret_status);

/* When the image here was last known to be as new as the coordinator's: that answered a heartbeat then, or this is it. 0: not since it is known. A
 * coordinator may have been replaced for election_max_us and not know it. */
uint64_t node_current_us(const struct node *node);

const struct image *node_image(const struct node *node);        /* the newest that was made; borrowed until the next event */
const struct raft_config *node_config(const struct node *node); /* who votes, as committed */
void node_raft_status(const struct node *node, struct raft_status *ret_status);

/* Whether this broker refuses what `server` says in consensus, because that does not come from the disk that it knew. */
bool node_refuses(const struct node *node, const struct raft_server *server);

/* The coordinator: what a change of the voters waits for, a sentence; "" when all is well, or elsewhere. */
const char *node_voters_why(const struct node *node);

/* A link, or gossip, says that this broker lives: evidence only. */
bool node_hears(const struct node *node, const struct uuid *broker);

/* What the coordinator knows of a broker's session. False: this is not the coordinator, or it has none. */
struct node_session {
    uint64_t heard_us, applied, boot;
    struct node_load load;
    bool is_lost, is_draining; /* is_draining: it is being stopped, or its disk has failed */
};
bool node_get_session(const struct node *node, const struct uuid *broker, struct node_session *ret_session);

struct node_stats {
    uint64_t requests, requests_forwarded, requests_retried, requests_expired;       /* of this broker */
    uint64_t decisions, decisions_refused, decisions_repeated, proposals;            /* as coordinator; repeated: an id that was seen before */
    uint64_t pulls_sent, entries_pulled, snapshots_pulled, upstream_changes;         /* as puller */
    uint64_t pulls_served, entries_fed, snapshot_chunks_fed, pullers_turned_away;    /* as upstream */
    uint64_t fenced, unfenced, voters_changed;
    uint64_t losses;                                                                 /* partitions whose elections may have lost records */
    uint64_t malformed, dropped;                                                     /* messages */
    uint32_t pullers, peers, requests_open;
};
void node_get_stats(const struct node *node, struct node_stats *ret_stats);

#endif
