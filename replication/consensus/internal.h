/* consensus/internal.h - what the files of this folder share: one server, and what it knows of each other one.
 *
 * Events change the state and set marks of what is wanted (struct peer's wants, is_..._pending); outputs are made from the
 * state when they are asked for. So nothing is queued that newer state would make wrong, and nothing needs memory. */
#ifndef CONSENSUS_INTERNAL_H
#define CONSENSUS_INTERNAL_H

#include "base/assert.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/random.h"
#include "replication/consensus/config_codec.h"
#include "replication/consensus/log.h"
#include "replication/consensus/message.h"
#include "replication/consensus/raft.h"
#include "replication/consensus/switches.h"

#define PEERS_MAX             (3 * RAFT_SERVERS_MAX)
#define STORES_MAX            64  /* under way; more wait, and are merged meanwhile */
#define ANSWERS_MAX           64  /* that wait for term and vote to be durable, or for their turn */
#define INFLIGHT_MAX          64  /* the most that options.inflight_max may say */
#define READS_MAX             256
#define UNCOMMITTED_BYTES_MAX (32u << 20) /* proposals beyond that wait */
#define GONE_PARTS            32          /* of the shortest election timeout: the first may stand after one, the last after five, when the leader has ended */
#define PRESENCE_PARTS        3           /* looks at who is to be asked in the shortest election timeout, while there is no leader */

enum peer_state {
    PEER_PROBE,     /* where the logs part is looked for: one message at a time */
    PEER_REPLICATE, /* entries go ahead of their acknowledgements */
    PEER_SNAPSHOT,  /* what it needs is gone from the log */
};

/* What is to be sent to a peer. */
enum {
    WANT_PRESENCE = 1,  /* the question */
    WANT_VOTE = 2,      /* a (pre-)vote request */
    WANT_HEARTBEAT = 4, /* an append, empty if need be, that is answered */
    WANT_COMMIT = 8,    /* an append, if nothing else tells how far the log is committed */
    WANT_ENTRIES = 16,
    WANT_SNAPSHOT_READ = 32,
    WANT_PRESENCE_ANSWER = 64,
};

struct peer {
    struct raft_server server;
    bool is_voter, is_old_voter, is_learner;
    uint8_t wants;

    /* ---- who hears whom ---- */
    uint64_t heard_us;       /* any message; 0: never */
    uint64_t hears_me_us;    /* when it last proved that it hears this server; 0: never, or it said no */
    bool is_unconnected;      /* it said lately that it does not hear a majority */
    uint64_t asked_us;        /* when it was last asked */
    unsigned unanswered;      /* questions since it was last heard */
    bool has_answered, has_granted; /* the campaign */

    /* ---- of a leader ---- */
    enum peer_state state;
    uint64_t match, next;
    uint64_t spoken_us;        /* when it was last sent something that is answered */
    uint64_t answered_us;      /* when it last answered this leader */
    uint64_t acked_sequence;   /* the newest of the leader's messages that it has seen */
    uint64_t match_sequence;   /* the leader's sequence when match last rose */
    uint64_t turned_sequence;  /* ... when the state last changed: rejections of older messages are stale */
    uint64_t told_committed;   /* as far as it has been told */
    struct { uint64_t acked, sent, sequence, sent_us; } told_claims; /* versions of the voters' claims: that it has, that it was sent, with which message */
    bool is_damaged;           /* it says so: counted in no quorum */
    bool is_probing;           /* a probe is under way, until the next heartbeat */
    uint64_t inflight[INFLIGHT_MAX]; /* last indexes of messages of entries under way, a ring */
    uint16_t inflight_head, inflight_count;
    struct { uint64_t index, offset, asked_us; bool is_waiting; } snapshot; /* the chunk asked for of the driver, or sent */

    /* ---- catching up: rounds as in Raft 4.2.1 ---- */
    uint64_t round_target, round_started_us;
    bool is_round_short;
};

enum store_kind { STORE_KIND_STATE, STORE_KIND_ENTRIES, STORE_KIND_CHUNK };

/* One store that the driver has not reported yet. */
struct store_record {
    uint64_t number;
    enum store_kind kind;
    uint64_t generation;  /* of the state */
    uint64_t last, term;  /* of the entries; last falls when they are cut meanwhile */
    bool is_last;         /* chunk */
};

/* An answer to a message. Waits until the state of `generation` is durable. */
struct answer {
    struct raft_server to;
    enum message_type type;
    uint32_t flags;
    uint64_t term, generation, sequence, match, index, hint_index, hint_term, offset; /* term 0: this server's */
};

struct read {
    uint64_t context, index;
    uint64_t sequence; /* confirmed by answers to later messages */
};

struct raft {
    struct raft_options options;
    struct random random;
    uint64_t now_us;
    bool has_failed;
#ifdef MESH_TEST_SWITCHES
    uint32_t defects;
    struct read answered[16]; /* for READ_REUSED */
    unsigned answered_count;
#endif

    /* ---- state: term and vote ---- */
    uint64_t term;
    struct raft_server voted_for;
    uint64_t damaged_until, damage_term; /* damage_term: the term in which the hole was found (see damage_check()) */
    uint64_t generation;         /* rises with each change of the state */
    uint64_t generation_stored;  /* given to the driver */
    uint64_t generation_durable;

    /* ---- log ---- */
    struct raft_log log;
    uint64_t committed, applied; /* applied: given out by COMMIT or RESTORE */
    uint64_t entries_stored;     /* given to the driver up to there */
    uint64_t durable;            /* on the disk up to there */
    uint64_t verified;           /* equal to this term's leader's log up to there */
    struct raft_position snapshot;
    struct raft_config snapshot_config;
    uint64_t retained_bytes; /* of entries kept although the snapshot has them */
    struct store_record stores[STORES_MAX];
    unsigned store_head, store_count;
    uint64_t store_next;

    /* ---- lives (lives.c) ---- */
    struct raft_life life; /* boot 0: lives are not compared */
    struct raft_claim past[RAFT_PAST_MAX];
    unsigned past_count;
    uint64_t forced_term; /* of raft_force(): what this disk said in terms before is not asked for any more; 0: none */
    struct raft_other others[RAFT_OTHERS_MAX];
    struct raft_claim vouched[RAFT_OTHERS_MAX]; /* of this server: what the life left that each of the others knows of */
    bool is_refused[RAFT_OTHERS_MAX];
    unsigned other_count;
    uint64_t claims_version; /* rises with what is known of voters */
    bool has_new_others; /* since the state was given to the driver */
    uint64_t refused;

    /* ---- configuration ---- */
    struct raft_config config, committed_config;
    uint64_t config_index, committed_config_index;
    struct peer peers[PEERS_MAX];
    unsigned peer_count;
    bool is_voter, is_old_voter, is_learner; /* this server */
    bool was_voter; /* in no configuration that counts, but in one of the log that is not known to be committed */

    /* ---- roles ---- */
    enum raft_role role;
    struct raft_server leader;
    uint64_t leader_heard_us; /* 0: none was */
    uint64_t election_due_us, presence_due_us;
    uint64_t summoned_until_us; /* the leader wants this server to stand, as soon as it knows to be connected; 0: not so */
    bool is_transfer_campaign;
    uint64_t elections, messages_dropped, corruptions, losses;

    /* ---- as a follower ---- */
    bool owes_ack;             /* entries were accepted that are not durable yet */
    uint64_t leader_sequence;  /* the newest message of this term's leader */
    struct {                   /* a snapshot that arrives; position.index 0: none */
        struct raft_position position;
        struct raft_config config;
        struct raft_server from;
        uint64_t offset, total, term;
        bool is_storing;    /* the driver has a chunk */
        bool is_installing; /* it was the last one: the log must not move until it is there */
    } incoming;
    struct buffer chunk; /* bytes of the STORE_CHUNK to come */
    bool is_chunk_pending, is_chunk_last;
    uint64_t chunk_offset;

    /* ---- as a leader ---- */
    uint64_t sequence;       /* of its messages */
    uint64_t noop_index;     /* its first entry */
    uint64_t uncommitted_bytes;
    struct { struct raft_server to; uint64_t until_us; bool is_on, is_sent; } transfer;
    struct read reads[READS_MAX]; /* a ring */
    unsigned read_head, read_count, reads_ready; /* the first reads_ready of them are confirmed, or lost (index 0) */

    /* ---- outputs ---- */
    struct answer answers[ANSWERS_MAX];
    unsigned answer_head, answer_count;
    uint64_t peers_wanting; /* bit per peer */
    struct buffer message;
    struct buffer snapshot_message; /* made by raft_snapshot_bytes() */
    struct raft_server snapshot_message_to;
    bool is_snapshot_message_pending, is_restore_pending;
    struct { enum raft_role role; uint64_t term; struct raft_server leader; } reported;
};

static inline bool server_is_zero(const struct raft_server *server)
{
    return uuid_is_zero(&server->broker);
}

/* The same server, that is the same broker on the same disk. */
static inline bool server_same(const struct raft *raft, const struct raft_server *a, const struct raft_server *b)
{
    (void)raft;
    if (RAFT_DEFECT(raft, DISK_IGNORED)) return uuid_equal(&a->broker, &b->broker);
    return raft_server_equal(a, b);
}

static inline uint64_t last_index(const struct raft *raft)
{
    return log_last_index(&raft->log);
}

static inline bool is_leader_ready(const struct raft *raft)
{
    return raft->role == RAFT_LEADER && raft->committed >= raft->noop_index;
}

static inline bool is_member(const struct raft *raft)
{
    return raft->is_voter || raft->is_old_voter || raft->is_learner;
}

static inline void peer_want(struct raft *raft, struct peer *peer, unsigned what)
{
    peer->wants |= (uint8_t)what;
    raft->peers_wanting |= 1ull << (unsigned)(peer - raft->peers);
}

static inline bool is_within(uint64_t since_us, uint64_t now_us, uint64_t span_us)
{
    return since_us != 0 && now_us - since_us < span_us;
}

#define peers_each(peer, raft) for (struct peer *peer = (raft)->peers; peer < (raft)->peers + (raft)->peer_count; peer++)

/* ---- members.c: who is in the configuration ---- */
struct peer *peer_find(struct raft *raft, const struct raft_server *server);
void members_refresh(struct raft *raft);            /* after raft->config changed */
/* True when `has` holds of majorities of all voter lists; `self` says it for this server. */
typedef bool peer_predicate(const struct raft *raft, const struct peer *peer);
bool has_majority(const struct raft *raft, bool self, peer_predicate *has);
bool servers_have(const struct raft *raft, const struct raft_server *servers, unsigned count, const struct raft_server *server);
bool is_sole_voter(const struct raft *raft);
/* Whether this server stands for election: as a voter, and as one whose removal is in its log and not committed. The latter may be
 * the only one with that entry, so nobody else could win (Raft 4.2.2). */
bool takes_part(const struct raft *raft);
/* The largest value that majorities of all lists reach. */
typedef uint64_t peer_value(const struct raft *raft, const struct peer *peer);
uint64_t majority_value(const struct raft *raft, uint64_t self, peer_value *value);
/* Configurations follow the log. */
void config_appended(struct raft *raft, uint64_t index); /* the entry there may be a CONFIG */
void config_truncated(struct raft *raft);                /* the log was cut: back to the newest that is left */
void config_committed(struct raft *raft, uint64_t from, uint64_t until); /* entries (from, until] are committed now */
void config_reset(struct raft *raft, const struct raft_config *config, uint64_t index);

/* ---- term.c: term, vote, roles ---- */
void state_changed(struct raft *raft);
void become_follower(struct raft *raft, uint64_t term, const struct raft_server *leader); /* leader may be NULL: unknown */
void step_down(struct raft *raft); /* same term, no leader known, others first */
void election_timer_reset(struct raft *raft);
bool is_state_durable(const struct raft *raft);
void server_fail(struct raft *raft);  /* falls silent for good */
void damage_check(struct raft *raft); /* is the hole filled, and decided? */
bool is_disabled_by_damage(const struct raft *raft);

/* ---- lives.c: whether who speaks is on the disk that spoke before ---- */
void lives_recover(struct raft *raft, const struct raft_recovered *recovered);
void lives_fill(const struct raft *raft, struct message *message); /* before it is encoded */
/* Looks at a message before anything is made of it. False: it is not heeded. */
bool lives_heed(struct raft *raft, const struct message *message);
/* A leader passes on what it heard of voters, with an append that is to be encoded; ret_told has room for MESSAGE_TOLD_MAX. */
void lives_tell(struct raft *raft, struct peer *to, struct message *message, struct raft_other *ret_told);

/* ---- election.c ---- */
void campaign_tick(struct raft *raft);
void campaign_start(struct raft *raft, bool is_transfer);
void campaign_check(struct raft *raft); /* the own vote may be durable now */
void on_vote_request(struct raft *raft, const struct message *message, struct peer *peer);
void on_vote_response(struct raft *raft, const struct message *message, struct peer *peer);
void on_timeout_now(struct raft *raft, const struct message *message);
void summons_check(struct raft *raft); /* somebody was heard */

/* ---- presence.c: who hears whom ---- */
void presence_tick(struct raft *raft);
uint64_t presence_due_us(const struct raft *raft);
void presence_ask(struct raft *raft, struct peer *peer); /* now */
void presence_ask_all(struct raft *raft);
void on_presence(struct raft *raft, const struct message *message, struct peer *peer);
bool is_quorum_connected(const struct raft *raft);
bool has_check_quorum(const struct raft *raft); /* of a leader: a majority answers */
bool peer_is_connected(const struct raft *raft, const struct peer *peer);

/* ---- replicate.c: the leader's side ---- */
void leader_start(struct raft *raft);
void leader_tick(struct raft *raft);
uint64_t leader_due_us(const struct raft *raft); /* of its next heartbeat */
void leader_wake_peers(struct raft *raft, unsigned wants);
void leader_appended(struct raft *raft); /* new entries at the end */
void peer_turn(struct raft *raft, struct peer *peer, enum peer_state state, uint64_t next);
void peer_matched(struct raft *raft, struct peer *peer, uint64_t match); /* it has durably what this log has, up to there */
void peer_begin(struct raft *raft, struct peer *peer); /* of a leadership */
void on_append_response(struct raft *raft, const struct message *message, struct peer *peer);
/* Makes the next message of appends for the peer into raft->message. False: none is to be sent. */
bool append_make(struct raft *raft, struct peer *peer);
void message_begin(const struct raft *raft, const struct peer *peer, enum message_type type, struct message *ret_message);
bool peer_is_caught_up(const struct raft *raft, const struct peer *peer);

/* ---- follow.c: the follower's side ---- */
void on_append(struct raft *raft, const struct message *message, struct peer *peer);
bool accept_leader(struct raft *raft, const struct message *message); /* false: the message is not of a leader to follow */
void follower_acknowledge(struct raft *raft); /* what became durable */
void log_cut(struct raft *raft, uint64_t index); /* drops what is after index, and what followed from it */

/* ---- commit.c ---- */
void commit_to(struct raft *raft, uint64_t index);
void commit_count(struct raft *raft); /* the leader: what a majority has */
bool next_commit(struct raft *raft, struct raft_output *output);

/* ---- change.c ---- */
void change_tick(struct raft *raft); /* leaves a joint configuration that is committed; steps down if removed */

/* ---- transfer.c ---- */
void transfer_tick(struct raft *raft);
void transfer_again(struct raft *raft, const struct peer *peer); /* the word may have been lost */
void transfer_check(struct raft *raft, struct peer *peer);
struct peer *transfer_best(struct raft *raft);

/* ---- read.c ---- */
void reads_confirm(struct raft *raft);
void reads_lose(struct raft *raft);
bool next_read(struct raft *raft, struct raft_output *output);

/* ---- snapshot_send.c, snapshot_receive.c ---- */
void snapshot_tick(struct raft *raft, struct peer *peer);
void snapshot_begin(struct raft *raft, struct peer *peer);
bool next_snapshot_read(struct raft *raft, struct peer *peer, struct raft_output *output);
void on_snapshot_response(struct raft *raft, const struct message *message, struct peer *peer);
void on_snapshot(struct raft *raft, const struct message *message, struct peer *peer);
void chunk_stored(struct raft *raft, bool is_last);
void chunk_refused(struct raft *raft);
void snapshot_replaces_log(struct raft *raft, const struct raft_position *position, const struct raft_config *config);

/* ---- store_order.c: what is on its way to the disk ---- */
bool next_store(struct raft *raft, struct raft_output *output);
void stores_cut(struct raft *raft, uint64_t index); /* entries after index are no longer what was stored */

/* ---- answers.c ---- */
void answer_queue(struct raft *raft, struct answer answer); /* its term and generation are set here */
bool next_answer(struct raft *raft, struct message *ret_message);

#endif
