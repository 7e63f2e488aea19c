/* metadata/node_internal.h - what the files of the metadata node share. One struct; each file works on the part that is named after it. */
#ifndef METADATA_NODE_INTERNAL_H
#define METADATA_NODE_INTERNAL_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/list.h"
#include "base/map.h"
#include "base/random.h"
#include "replication/metadata/message.h"
#include "replication/metadata/node.h"
#include "replication/metadata/switches.h"
#include "replication/recover/recover.h"

#define NODE_KNOWN_MAX       4096          /* brokers in the table */
#define NODE_BACKLOG_MAX     4096          /* requests that wait for the coordinator's decision, */
#define NODE_BACKLOG_BYTES   (64u << 20)   /* and their bytes */
#define NODE_DECIDED_MAX     8192          /* decisions that wait for their commit */
#define NODE_APPLY_BATCH     1024          /* entries applied at a time */

/* ---- outbox.c: outputs of the node's own, in order ---- */

struct outbox_item {
    struct list_node node;
    struct node_output output;
    struct buffer bytes;        /* output.bytes */
    struct raft_config config;  /* output.config */
    char text[NODE_TEXT_SIZE];  /* output.text */
    bool has_config, has_text;
};

struct outbox {
    struct list_node items;
    struct outbox_item *taken;  /* given out last; freed at the next call */
    bool lost;                  /* no memory for one: told as an event once there is some */
};

/* ---- peers.c: brokers, and what is known of each ---- */

struct session {
    uint64_t heard_us;      /* 0: never by this coordinator */
    uint64_t deadline_us;   /* fenced after it; 0: no session */
    uint64_t since_us;      /* alive without a break since */
    uint64_t applied, boot;
    uint32_t level;         /* of metadata that it reads; 0: it has not said */
    uint64_t catch_up;      /* what was committed when it came (back): applied there, it is unfenced */
    struct node_load load;
    bool is_draining, has_disk_failed, wants_drain, wants_empty;
    bool was_fenced; /* by this coordinator, for its silence */
};

/* One that pulls from here. */
struct puller {
    struct list_node node;     /* in feed.pullers while it stands */
    uint64_t serial;
    struct raft_position at;   /* index and chain of the last that it has */
    uint64_t read;             /* a SNAPSHOT_READ under way for it; 0: none */
    bool is_standing, is_waiting; /* waiting: for entries to come */
};

struct peer {
    struct map_node map_node;
    struct list_node node;      /* in node->peers */
    struct list_node link_node; /* in node->links while linked */
    struct uuid id;
    struct raft_server server;  /* as its link says */
    bool is_linked, is_wanted;
    uint64_t wanted_mark;       /* node->want_mark when it was found to be needed last */
    enum node_member_state state;
    bool has_state;             /* gossip spoke of it */
    bool is_gone;               /* node_peer_gone(), until it has a link again or gossip finds it alive */
    struct node_frontier frontier;
    bool has_here;
    uint32_t depth;
    uint64_t committed;         /* as it last said */
    uint64_t shunned_until_us;  /* no upstream until then */
    bool is_contradicting;
    uint64_t told_removed_us;   /* when it was told last that it was removed; 0: never */
    struct session session;
    bool is_pulse_owed;         /* leaves with raft's next word to it */
    struct puller puller;
};

/* ---- stores: numbers given out, and whose they are ---- */

struct pending_store {
    uint64_t store, raft_store; /* raft_store 0: a chunk of our own pull */
    bool is_chunk, is_last, is_recovery;
};

struct pending_read {
    uint64_t read;            /* 0: free */
    bool is_raft;
    struct raft_server to;    /* raft's */
    uint64_t index, offset;
    struct uuid peer;         /* a puller's */
    uint64_t serial;
};

/* ---- feed_pull.c ---- */

struct pull {
    struct uuid upstream;      /* zero: none */
    uint64_t serial;           /* of the standing request; 0 before the first */
    struct raft_position at;   /* the last entry that is here, or on its way through raft */
    bool is_next;              /* to be asked for more */
    bool is_stored;            /* the whole snapshot: to be given to raft */
    uint64_t look_us;          /* when to look for an upstream again */
    uint64_t asked_us, progress_us;
    uint64_t lagging_since_us; /* others are known to have more since; 0: not so */
    uint32_t depth;            /* of this broker while it is no server of consensus */
    bool is_fetching;          /* a snapshot */
    struct raft_position position; /* of it */
    struct raft_config config;
    uint64_t offset, total;
    bool is_whole;             /* all chunks are there; the last is being stored, or RESTORE is under way */
    struct uuid suggestions[NODE_SUGGESTIONS_MAX];
    size_t suggestion_count;
};

/* ---- requests.c: the origin's side ---- */

struct request {
    struct map_node map_node; /* by sequence */
    struct list_node node;
    uint64_t sequence, cookie;
    enum node_op op;
    struct buffer body;       /* with what the origin adds */
    uint64_t deadline_us, sent_us;
    struct uuid sent_to;      /* zero: not on its way */
    uint64_t boot;            /* with the sequence, its id: of the time when it was made */
    uint64_t sent_term;       /* of the coordinator that it was sent to last; an answer of an earlier one does not count any more */
    bool was_sent, is_own, is_answered;
    struct node_output answer; /* once answered: waits until `index` is applied */
    char text[NODE_TEXT_SIZE];
};

/* ---- decisions.c, origins.c: the coordinator's side ---- */

/* A broker that asks, as long as this one coordinates in one term. */
struct origin {
    struct map_node map_node; /* in node->origin_map */
    struct uuid id;
    uint64_t oldest;       /* the first request that it still waits for */
    size_t order_count;    /* of it, in the backlog */
    struct list_node kept; /* struct decided: answered without an entry that remembers it */
};

struct order {
    struct list_node node;
    struct origin *origin;
    uint64_t boot, sequence;
    enum node_op op;
    struct buffer body;
};

struct answer {
    int error;
    uint64_t index;
    struct uuid topic_id;
    int64_t first_id;
    uint32_t id_count;
};

struct decided {
    struct list_node node;  /* in node->decided or node->reading while it waits */
    struct list_node kept;  /* in its origin's, if no entry remembers it; then it outlives its answer */
    struct uuid origin;
    uint64_t boot, sequence;
    uint64_t asked_term;    /* in which it was asked and decided */
    uint64_t index, term;   /* the answer holds once this is committed */
    uint64_t read;          /* or once this read comes back; 0: not by a read */
    bool is_waiting;
    struct answer answer;
    struct buffer result;   /* what became of the parts of the request */
    char text[];
};

struct proposed {
    struct list_node node;
    struct image *image; /* after the entry at its applied index */
};

struct node {
    struct node_options options;
    struct arena arena;          /* texts of the defaults */
    struct random random;
    struct raft *raft;
    struct recover *recover;
    struct recover_report report; /* told last */
    bool wants_history;           /* this broker's log is to begin one */
    struct image *image;         /* the newest applied; a reference */
    const struct image_broker *self_broker; /* this broker in it; NULL */
    uint64_t committed;          /* index that raft told to be committed */
    unsigned restores;           /* RESTOREs that are not answered yet */
    struct raft_position restoring; /* the newest of them */
    bool is_leaving, has_left, left_is_told, is_published, is_updated, is_silenced;
    struct node_frontier frontier_told;
    uint64_t now_us;             /* of the event under way */

    bool has_failed;
    bool has_disk_failed; /* node_set_disk_failed() */
    bool wants_drain;     /* node_set_drain() */
    bool wants_empty;     /* node_set_empty() */
    int failure_error;
    char failure[NODE_TEXT_SIZE];

    struct outbox outbox;
    struct node_status status;   /* as told last */
    struct node_self self;       /* name NULL: not described yet */
    char *self_texts;            /* owned: what self points to */
    char register_text[NODE_TEXT_SIZE]; /* what the coordinator said last, when it refused */
    struct node_load load;

    struct map peer_map;
    struct list_node peers, links;
    size_t peer_count, link_count;
    uint64_t want_mark;
    bool wants_are_due;          /* something changed that may make other links needed */

    uint64_t next_store;
    uint64_t refused_store; /* a chunk of raft's to be refused, once its other outputs are taken; 0: none */
    int failed_store;       /* likewise, for ever */
    struct pending_store *stores; /* a ring */
    size_t store_capacity, store_first, store_count;
    uint64_t next_read;
    struct pending_read reads[NODE_READS_MAX];

    /* guide.c: who coordinates */
    uint64_t leader_term;
    struct raft_server leader;   /* zero: not known */
    struct uuid former;          /* who coordinated before */
    uint64_t former_heard_us;    /* when raft heard it last; 0: it did not */
    uint64_t pulse_us;           /* the coordinator's last answer to a heartbeat; 0: none of this one */
    uint64_t current_us;         /* the last of them that found the image here as new as the coordinator's; 0: none */
    uint64_t heartbeat_due_us, hurried_epoch; /* heartbeat_due_us 0: at once */
    bool is_leader_turn;         /* this event is a word of the leader that coordinates: an answer to it leaves now */
    size_t ask_turn;

    struct pull pull;
    struct list_node pullers;    /* those that stand here */
    size_t puller_count;
    uint64_t fed;                /* standing requests are answered up to here */
    uint64_t leader_lost_us;     /* since when no leader of consensus speaks to this broker; 0: one does */

    struct map request_map;
    struct list_node requests;
    size_t request_count;
    uint64_t next_sequence;
    bool requests_are_due;       /* something changed that may let requests leave, or be answered */
    bool answers_are_due;
    uint64_t requests_due_us;
    char answer_text[NODE_TEXT_SIZE];
    struct buffer answer_result;

    uint64_t decisions_term;     /* of what follows; dropped with it */
    struct map origin_map;       /* struct origin */
    struct list_node backlog;    /* struct order */
    size_t backlog_count, backlog_bytes;
    struct list_node decided, reading; /* struct decided: waiting for a commit, for a read */
    size_t decided_count;
    struct image *proposed_image; /* the newest proposed; NULL: made anew when needed */
    struct list_node proposed;    /* images after each proposal, the oldest first */
    uint64_t next_context;
    bool is_coordinating;         /* its first entry is committed */
    uint64_t known_committed;     /* the highest index that anybody said to be committed */

    uint64_t voters_due_us, sessions_due_us, balance_due_us, moves_due_us, recover_due_us;
    uint64_t coordinating_since_us;
    uint64_t drain_more_index, drain_more_us; /* fences.c: the image that was looked at last, and not before when the next one is */
    struct balance balance;
    struct movement movement;
    struct reports *reports;      /* of this coordinator's time; NULL: none yet */
    char voters_why[NODE_TEXT_SIZE];
    uint64_t registering;         /* sequence of the own request under way; 0: none */
    uint64_t register_due_us;
    uint64_t draining;            /* likewise */
    uint64_t leave_deadline_us;
    uint64_t transfer_due_us;
    bool is_drained, wants_snapshot;
    uint64_t snapshot_index;      /* of the snapshot being taken; 0: none */
    uint64_t log_bytes;           /* applied since the last snapshot */
    uint64_t snapshot_log_bytes;  /* log_bytes when it was begun */
    uint64_t snapshot_retry_us;

    struct node_stats stats;
#ifdef MESH_TEST_SWITCHES
    uint32_t defects; /* 1 << each of switches.h */
#endif
};

/* node.c: each event begins so. */
void node_enter(struct node *node, uint64_t now_us);

/* outbox.c. Appending never fails for the caller: what finds no memory is lost as a message is lost, and counted. */
struct outbox_item *node_outbox_add(struct node *node, enum node_output_type type);
bool node_outbox_next(struct node *node, struct node_output *ret_output);
void node_outbox_deinit(struct node *node);
void node_event(struct node *node, enum node_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));
void node_send(struct node *node, const struct peer *peer, const struct node_message *message); /* encoded, over its link */
void node_send_buffer(struct node *node, const struct peer *peer, struct buffer *bytes);        /* takes the buffer's bytes */
/* Final: nothing is accepted, served or said any more. */
void node_fail(struct node *node, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* peers.c */
struct peer *node_peer_find(const struct node *node, const struct uuid *id);
struct peer *node_peer_make(struct node *node, const struct uuid *id); /* NULL: no memory, or too many */
void node_peers_deinit(struct node *node);
void node_peers_want(struct node *node); /* says which links are needed now */

/* stores.c */
uint64_t node_store_give(struct node *node, uint64_t raft_store, bool is_chunk, bool is_last); /* 0: no memory; the node has failed */
uint64_t node_read_give(struct node *node, const struct pending_read *read); /* 0: too many */
size_t node_reads_free(const struct node *node);

uint64_t node_store_give_recovery(struct node *node);

/* removed.c */
uint64_t node_history(const struct node *node); /* in which the image is: the upper half of its term */
bool node_is_shut_out(const struct node *node, const struct uuid *id); /* was removed for good, or given up: not listened to */
void node_tell_removed(struct node *node, struct peer *peer);
void node_removed(struct node *node, uint64_t history); /* this broker was */
void node_on_removed(struct node *node, struct peer *peer, const struct node_message *message);

/* recovery.c */
int node_recovery_open(struct node *node, uint64_t now_us);
bool node_recovery_next_output(struct node *node, struct node_output *output);
bool node_recovery_run(struct node *node); /* true: raft was given something */
bool node_recovery_allows(const struct node *node, const struct uuid *peer);
void node_recovery_begin(struct node *node);
bool node_leaves_majority(const struct node *node, const struct recover_party *party);
const char *node_broker_name(const struct node *node, const struct uuid *id, char text[UUID_STRING_SIZE]);

/* apply.c */
void node_apply_commit(struct node *node, const struct raft_entry *entries, size_t count);
void node_apply_pending(struct node *node);   /* committed entries that were not applied yet */
void node_apply_snapshot(struct node *node);  /* wants one when it is time */
bool node_apply_snapshot_output(struct node *node, struct node_output *ret_output);
void node_apply_restore(struct node *node, const struct raft_position *position);
bool node_position(const struct node *node, uint64_t index, struct raft_position *ret_position); /* of a committed entry, as far as known */
struct node_frontier node_make_frontier(const struct node *node);
uint64_t node_chain_short(const uint8_t chain[RAFT_CHAIN_SIZE]); /* its first 8 bytes, little endian */

/* guide.c */
void node_guide_role_changed(struct node *node);
void node_guide_hint(struct node *node, const struct peer *from, uint64_t term, const struct raft_server *leader);
void node_guide_link_up(struct node *node, struct peer *peer);
void node_guide_send_here(struct node *node, struct peer *peer);
void node_guide_tell(struct node *node, bool all); /* HERE to all linked peers, or to those who pull from here */
bool node_guide_is_coordinator(const struct node *node);
struct peer *node_guide_coordinator(const struct node *node); /* linked; NULL: none, or this broker itself */

/* node_feed_serve.c: the upstream's side */
void node_feed_on_pull(struct node *node, struct peer *peer, const struct node_message *message);
void node_feed_on_pull_chunk(struct node *node, struct peer *peer, const struct node_message *message);
void node_feed_serve(struct node *node); /* answers what stands, after a commit */
void node_feed_drop(struct node *node, struct peer *peer);
void node_feed_snapshot_bytes(struct node *node, const struct pending_read *read, int error, const struct node_snapshot *snapshot);
void node_feed_tell_depth(struct node *node);

/* feed_pull.c: the downstream's side */
void node_pull_on_entries(struct node *node, struct peer *peer, const struct node_message *message);
void node_pull_on_chunk(struct node *node, struct peer *peer, const struct node_message *message);
void node_pull_on_turned_away(struct node *node, struct peer *peer, const struct node_message *message);
void node_pull_on_standing(struct node *node, struct peer *peer, const struct node_message *message);
void node_pull_on_link_down(struct node *node, struct peer *peer);
void node_pull_stored(struct node *node, bool is_last, int error);
void node_pull_restored(struct node *node);
void node_pull_update(struct node *node); /* asks, or asks somebody else, if that is due */
bool node_pull_install(struct node *node); /* a snapshot that is whole; true: raft was given it */
void node_pull_know(struct node *node, uint64_t committed); /* somebody says that so much is committed */
uint64_t node_pull_due_us(const struct node *node);
uint32_t node_depth(const struct node *node);
void node_contradicted(struct node *node, struct peer *peer, uint64_t index);

/* requests.c */
void node_requests_update(struct node *node); /* sends, retries, expires */
void node_requests_answered(struct node *node, const struct node_message *answer);
bool node_requests_next_answer(struct node *node, struct node_output *ret_output); /* of what has become visible */
void node_requests_link_down(struct node *node, const struct uuid *peer);
void node_requests_deinit(struct node *node);
uint64_t node_requests_due_us(const struct node *node);
int node_requests_add(struct node *node, enum node_op op, struct buffer *body, uint64_t timeout_us, uint64_t cookie, bool is_own, uint64_t *ret_sequence);

/* decisions.c */
void node_decisions_take(struct node *node, const struct uuid *origin, const struct node_message *request);
bool node_decisions_run(struct node *node); /* true: raft was given something */
void node_decisions_committed(struct node *node);
void node_decisions_read(struct node *node, uint64_t context, uint64_t index);
void node_decided_free(struct decided *decided);
void node_decisions_abandon(struct node *node); /* leadership, or a term of it, is over */
void node_decisions_deinit(struct node *node);
struct image *node_decisions_image(struct node *node); /* the newest proposed; NULL: no memory, or this is no coordinator that is ready */
int node_decisions_propose(struct node *node, struct decision *decision); /* for the coordinator itself. MESH_EAGAIN: later */
/* The image after the entry at `index` when a proposal made it; takes it out, with those before it. */
struct image *node_decisions_take_image(struct node *node, uint64_t index, const uint8_t chain[RAFT_CHAIN_SIZE]);

/* origins.c. An origin is valid until node_origins_clear(). */
struct origin *node_origins_hear(struct node *node, const struct uuid *id, uint64_t oldest); /* it asks, and waits for nothing before. NULL: no memory */
bool node_origin_waits(const struct origin *origin, uint64_t sequence);
struct decided *node_origin_find(const struct origin *origin, uint64_t sequence); /* a request that it waits for, kept; NULL */
void node_origin_keep(struct origin *origin, struct decided *decided);
void node_origins_clear(struct node *node);

/* operations.c: an operation on the newest proposed image. */
struct operation {
    struct uuid origin;
    uint64_t boot, sequence;
    enum node_op op;
    struct slice body;
    struct buffer *result; /* for what becomes of the parts of a request */
};
int node_operation_decide(struct node *node, const struct image *image, const struct operation *operation, struct decision *decision,
                          struct answer *answer);
int node_operation_decide_access(const struct image *image, const struct operation *operation, struct decision *decision); /* operations_access.c */
/* The request's id and its answer go into the entry that does it, of most operations; and back. */
bool node_operation_leaves_id(enum node_op op);
int node_operation_add_id(const struct operation *operation, struct decision *decision, const struct answer *answer);
void node_operation_read_result(struct slice result, struct answer *answer);
int node_operation_wrap(const struct node *node, enum node_op op, struct slice body, struct buffer *to); /* the origin's part */
int node_operation_encode_register(const struct node *node, struct buffer *to);

/* operations_replicas.c: those about replicas; MESH_EUNSUPPORTED: no such operation. */
int node_operation_replicas(struct node *node, const struct image *image, const struct operation *operation, const struct decide_facts *facts,
                            struct decision *decision);

/* fences.c: the coordinator's side of sessions */
void node_sessions_begin(struct node *node); /* this broker became the coordinator */
void node_sessions_on_heartbeat(struct node *node, struct peer *peer, const struct node_message *message);
void node_sessions_gone(struct node *node, struct peer *peer);
void node_sessions_raft_speaks(struct node *node, const struct raft_server *to);
bool node_sessions_run(struct node *node); /* fences and unfences. True: raft was given something */
uint64_t node_fences_due_us(const struct node *node);
/* levels.c: what is written only when every registered broker reads it. */
uint32_t node_level_of_flags(uint32_t flags); /* of a heartbeat */
int node_levels_check(const struct node *node, const struct image *image, struct decision *decision); /* MESH_EUNSUPPORTED, and whom it waits for in its message */
void node_facts_init(const struct node *node, const struct image *image, struct decide_facts *ret_facts);
void node_facts_deinit(struct decide_facts *facts);

/* balance.c */
void node_balance_begin(struct node *node); /* a new coordinator, or somebody came or went */
bool node_balance_run(struct node *node);   /* true: raft was given something */
uint64_t node_balance_due_us(const struct node *node);

/* moves.c */
void node_moves_begin(struct node *node); /* a new coordinator, or somebody came or went */
bool node_moves_run(struct node *node);   /* replicas move, and leaders are found by reports. True: raft was given something */
uint64_t node_moves_due_us(const struct node *node);
int node_moves_report(struct node *node, const struct uuid *topic_id, uint32_t partition, const struct replica_report *report);

/* sessions.c: the broker's own */
void node_sessions_on_pulse(struct node *node, struct peer *peer, const struct node_message *message);
void node_sessions_update(struct node *node); /* heartbeats, registration */
uint64_t node_sessions_due_us(const struct node *node);
const struct image_broker *node_sessions_self(const struct node *node); /* this broker in the image; NULL */
bool node_sessions_is_this_life(const struct node *node);               /* it is there with this boot and disk, */
bool node_sessions_is_registered(const struct node *node);              /* and as it describes itself */
bool node_sessions_is_fenced(const struct node *node);
void node_sessions_registered(struct node *node, int error, const char *text);

/* quorum.c */
bool node_quorum_run(struct node *node); /* true: raft was given something */
uint64_t node_quorum_due_us(const struct node *node);

/* leave.c */
bool node_leave_run(struct node *node);
uint64_t node_leave_due_us(const struct node *node);

static inline uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
