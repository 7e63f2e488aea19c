/* consensus/raft.h - a small consensus module: Raft with pre-vote, check-quorum, leader stickiness, quorum-connected
 * flags, learners, joint changes, transfer, chunked snapshots and ReadIndex (PROTOCOLS section 3.1).
 *
 * Sans-I/O. Events and the time go in, outputs come out; no call blocks, reads a clock, touches a disk or socket:
 *
 *     raft_receive() / raft_tick() / raft_propose() / raft_stored() ...      an event
 *     while (raft_next_output(raft, now_us, &output)) ...                    what is to be done
 *     raft_due_us()                                                          when to tick next
 *
 * After every event all outputs are taken before the next. An output's pointers are valid until the next call.
 *
 * Durability. Whatever must be on the disk before others hear of it leaves as a STORE output; the messages and the commits that
 * depend on it are held back *inside* until raft_stored() says that it is there, so a driver cannot send too early. Stores
 * are done in the order in which they came, one or more at a time, by whatever thread. A store that fails is final:
 * raft_store_failed(); the server falls silent (it neither votes, nor acknowledges, nor leads).
 *
 * Security is the caller's: `from` is who an authenticated channel names. Times: monotonic microseconds. One thread. */
#ifndef CONSENSUS_RAFT_H
#define CONSENSUS_RAFT_H

#include "replication/consensus/entry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RAFT_MESSAGE_MAX (RAFT_BODY_SIZE_MAX + 4096) /* bytes of one message */
#define RAFT_NEVER       UINT64_MAX

struct raft;

/* ---- lives: what tells a disk from a copy of it, or from an older state of itself (README, "Lives") ---- */

#define RAFT_PAST_MAX   64 /* lives before this one that a server remembers */
#define RAFT_OTHERS_MAX 64 /* other servers whose lives it remembers */
#define RAFT_SET_BACK   UINT64_MAX /* a damaged_until: this disk was set back or copied; as this server it never votes again */

/* One start of a server on its disk. boot counts them; the nonce is random, so that two lives with one number are told apart. */
struct raft_life {
    uint64_t boot; /* 0: none */
    uint64_t nonce;
};

/* What a life has said of its disk, or has left on it: more than any earlier claim of the same disk. */
struct raft_claim {
    struct raft_life life;
    uint64_t term;    /* 0: said nothing */
    bool has_voted;   /* in that term */
    uint64_t durable; /* what it holds, and in that term will not replace */
};

struct raft_other {
    struct raft_server server;
    struct raft_claim claim; /* the most that was heard of it */
};

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

struct raft_options {
    struct raft_server self;
    uint64_t seed;                                     /* of election timeouts */
    uint32_t heartbeat_us;                             /* of a leader while something is under way; 100 ms */
    uint32_t election_min_us, election_max_us;         /* 1 s, 2 s */
    uint32_t append_bytes_max;                         /* of one message of entries; 256 KiB. One entry always fits */
    uint32_t inflight_max;                             /* messages of entries on their way to one follower; 16, at most 64 */
    uint32_t snapshot_chunk_bytes;                     /* 256 KiB */
    uint64_t retained_bytes_max;                       /* of entries kept for those behind, after a compaction; 4 MiB */
    raft_chain_fn *chain;
};
void raft_options_init(struct raft_options *options); /* the defaults above; self, seed and chain are the caller's */

/* What the disk remembers (consensus/store.h fills it in). Entries follow the snapshot without gaps. */
struct raft_recovered {
    uint64_t term;
    struct raft_server voted_for; /* in term; zero: nobody */
    struct raft_position snapshot;      /* all zero: none */
    struct raft_config snapshot_config; /* as of the snapshot; empty: none */
    uint64_t committed;                 /* known to be committed, at least: a hint; the snapshot's index or more */
    const struct raft_entry *entries;   /* borrowed during raft_new() */
    size_t entry_count;
    /* Entries beyond `entries` that were durable and cannot be read any more (damage, not a torn tail) reach up to this
     * index, or did at an earlier start and STORE_STATE has not said otherwise since; 0: none. Until a leader has filled that
     * hole the server neither votes nor leads (PROTOCOLS 3.1). */
    uint64_t damaged_until;
    /* raft_store_begin_life() fills these in. Without a life (boot 0) nothing is compared. Borrowed during raft_new(). */
    struct raft_life life;
    uint64_t forced_term;          /* of raft_force(); 0: it never was */
    const struct raft_claim *past; /* earlier lives, boots rising, and what they left on the disk */
    size_t past_count;
    const struct raft_other *others;
    size_t other_count;
};

/* Entries that are known to be committed come out as the first COMMIT. Errors: MESH_ENOMEM, MESH_EINVAL (options),
 * MESH_ECORRUPT (entries with gaps, or a chain that does not hold). A server that is in no configuration waits: for a leader that has it as a learner, for raft_install_committed(), or for raft_bootstrap(). */
int raft_new(const struct raft_options *options, const struct raft_recovered *recovered, uint64_t now_us, struct raft **ret_raft);
void raft_free(struct raft *raft); /* accepts NULL */

/* Founds: makes `config` the first configuration (entry 1, term 1) of an empty log. Each member of the founding set calls it with
 * the same configuration (openraft, PROTOCOLS 3.3). `first` (may be empty) becomes entry 2, term 1, a COMMAND, alike everywhere. Errors:
 * MESH_EEXISTS (there is a log), MESH_EINVAL, MESH_ENOMEM. */
int raft_bootstrap(struct raft *raft, uint64_t now_us, const struct raft_config *config, struct slice first);

/* Forces a configuration of this server alone, in `term`, behind everything that its log holds: for when the majority is gone for good and people
 * have said so. `commands` come before it in the log, so that the configuration is there only if they are. Then this server elects itself
 * and commits the whole log. Whoever calls answers for it that this is done on one server only, and that `term` is above every
 * term that anybody can have seen or voted in (replication/recover/README.md). The same again after a crash is harmless. Errors: MESH_EBUSY (it
 * leads), MESH_EAGAIN (a snapshot is being stored), MESH_EINVAL (an empty log; a term below the own), MESH_ESTORAGE, MESH_ENOMEM. */
int raft_force(struct raft *raft, uint64_t now_us, uint64_t term, const struct slice *commands, size_t count);

/* ---- events ---- */

void raft_tick(struct raft *raft, uint64_t now_us);

/* The driver saw that the process of `server` has ended. If it led, no word of it is waited for: the voters stand soon, one after the other, as after an
 * election timeout. Wrong, it costs an election. */
void raft_server_gone(struct raft *raft, uint64_t now_us, const struct raft_server *server);
uint64_t raft_due_us(const struct raft *raft);

/* A message from the disk `from`. Whatever is malformed, from a stranger, or meant for another disk is dropped and counted. */
void raft_receive(struct raft *raft, uint64_t now_us, const struct raft_server *from, struct slice message);

/* Every store up to and including `store` is durable. */
void raft_stored(struct raft *raft, uint64_t now_us, uint64_t store);
void raft_store_failed(struct raft *raft, uint64_t now_us, int error);

/* The STORE_CHUNK `store` is not stored (the snapshot is not good as a whole, or gave way to another one; MESH_EFULL), and nothing else is lost by it: the snapshot is asked for
 * again from its beginning. Takes the place of raft_stored() for this one store; the stores before it are durable. */
void raft_chunk_refused(struct raft *raft, uint64_t now_us, uint64_t store);

/* Proposes a command; the leader only. It is committed once a COMMIT output passes *ret_index with *ret_term there; it is lost
 * once another term is committed at that index; until then it is *unknown*. Errors: MESH_ENOT_LEADER, MESH_EAGAIN (the leader's first
 * entry is not committed yet, or too much is under way), MESH_ETOOLARGE, MESH_ENOMEM. */
int raft_propose(struct raft *raft, uint64_t now_us, struct slice body, uint64_t *ret_index, uint64_t *ret_term);

/* Changes the configuration, the leader only: to these voters and learners. More than one voter in difference goes by a joint
 * configuration. Errors: MESH_ENOT_LEADER, MESH_EBUSY (a change is not committed yet, or the leader's first entry is not), MESH_EINVAL
 * (no voter; a new voter that is no learner), MESH_EAGAIN (a learner that would vote is not caught up: less than one round behind),
 * MESH_ENOMEM. */
int raft_change_config(struct raft *raft, uint64_t now_us, const struct raft_config *config);

/* Hands leadership to a voter (zero: the best one). Errors: MESH_ENOT_LEADER, MESH_EINVAL, MESH_EBUSY. It may fail silently: then
 * leadership stays after an election timeout. */
int raft_transfer(struct raft *raft, uint64_t now_us, const struct raft_server *to);

/* Asks for a linearizable read (at most 256 wait at a time): a READ output with this `context` names the index that must have been applied. The leader only; a
 * read that is lost with leadership is answered with index 0. Errors: MESH_ENOT_LEADER, MESH_EAGAIN, MESH_ENOMEM. */
int raft_read(struct raft *raft, uint64_t now_us, uint64_t context);

/* The user's state after `position` is safely in a snapshot on the disk (its bytes: consensus/store.h): entries up to there may go, but
 * for retained_bytes_max of them. `position` was delivered by a COMMIT. */
void raft_compact(struct raft *raft, uint64_t now_us, uint64_t index);

/* Entries that are known to be committed, by whatever way they came (sideways, from another broker): appended where they
 * continue this log, replacing what was never committed. For servers that are no voters or learners, and harmless for others.
 * Errors: MESH_EAGAIN (they begin beyond the end of the log), MESH_ECORRUPT (they contradict what is committed here: stop and alarm),
 * MESH_EINVAL (gaps, a wrong chain), MESH_ENOMEM. */
int raft_install_committed(struct raft *raft, uint64_t now_us, const struct raft_entry *entries, size_t count);

/* A snapshot that came sideways was stored by the driver (durable): the log begins after it, and a RESTORE comes out. Errors:
 * MESH_EINVAL (not beyond what is committed), MESH_EAGAIN (a leader's snapshot is being stored), MESH_ENOMEM. */
int raft_install_snapshot(struct raft *raft, uint64_t now_us, const struct raft_position *position, const struct raft_config *config);

/* The answer to a SNAPSHOT_READ: bytes [offset, offset + size) of the snapshot at `index`; `total` its whole size. An error: the driver
 * has it no more. */
void raft_snapshot_bytes(struct raft *raft, uint64_t now_us, const struct raft_server *to, uint64_t index, uint64_t offset,
                         struct slice bytes, uint64_t total, int error);

/* ---- outputs ---- */

enum raft_output_type {
    RAFT_OUTPUT_SEND,           /* `message` to the disk `to`; may be lost, doubled, late */
    RAFT_OUTPUT_STORE_STATE,    /* term, vote and damaged_until, in one atomic record; and, as far as that can be had, `others` */
    RAFT_OUTPUT_STORE_ENTRIES,  /* cut the log from entries[0].index on (if it reaches there), then append these */
    RAFT_OUTPUT_STORE_CHUNK,    /* bytes of a snapshot that a leader sends; with is_last it is verified as a whole, and made the
                                   log's beginning: the log is then empty behind position, unless it continues it */
    RAFT_OUTPUT_COMMIT,         /* entries that are committed (and, of the own log, maybe not yet durable here): apply them, in order */
    RAFT_OUTPUT_RESTORE,        /* the user's state is to be replaced by the snapshot at `position`, which is stored */
    RAFT_OUTPUT_ROLE,           /* role, term or leader changed */
    RAFT_OUTPUT_READ,           /* the read `context` may be served once `index` is applied; 0: lost, ask again */
    RAFT_OUTPUT_SNAPSHOT_READ,  /* `to` needs the snapshot: raft_snapshot_bytes() with `size` bytes from `offset` of the newest one */
};

struct raft_output {
    enum raft_output_type type;
    struct raft_server to;
    struct slice message;
    uint64_t store;  /* STORE_*: number for raft_stored(), rising */
    uint64_t term;
    struct raft_server voted_for;
    uint64_t damaged_until; /* STORE_STATE: what the next start's recovery is to tell; 0: the hole is filled and decided */
    uint64_t forced_term;   /* STORE_STATE: raft_store_note_forced() with it, unless it is 0 */
    const struct raft_other *others; /* STORE_STATE: whose lives are known (raft_store_note_others()); NULL: as before */
    size_t other_count;
    const struct raft_entry *entries;
    size_t entry_count;
    uint64_t committed;                 /* STORE_ENTRIES: what may be noted with it as committed (raft_store_note_committed()) */
    struct raft_position position;      /* STORE_CHUNK, RESTORE */
    const struct raft_config *config;   /* STORE_CHUNK, RESTORE: as of position */
    uint64_t offset, size, total;       /* STORE_CHUNK: `message` holds the bytes. SNAPSHOT_READ */
    bool is_last;
    enum raft_role role;
    struct raft_server leader; /* zero: unknown */
    uint64_t context, index;
};

bool raft_next_output(struct raft *raft, uint64_t now_us, struct raft_output *ret_output);

/* ---- what it knows ---- */

struct raft_status {
    enum raft_role role;
    uint64_t term;
    struct raft_server leader, voted_for;
    uint64_t leader_heard_us; /* a follower: when its leader was heard last; 0: it has none */
    struct raft_position last, committed, snapshot; /* snapshot: the log's beginning */
    uint64_t durable_index;
    uint64_t damaged_until; /* RAFT_SET_BACK: see there */
    bool is_voter, is_learner; /* neither, when it was set back: what the configuration says is about the disk that it was */
    bool is_quorum_connected, has_failed, is_leader_ready; /* ready: its first entry is committed */
    bool is_changing;                       /* a configuration is not committed yet */
    uint64_t messages_dropped, elections;   /* elections: campaigns of its own, pre-votes not counted */
    uint64_t corruptions; /* chains that differ at one index and term: two histories, or damage in memory. Alarm */
    uint64_t refused;     /* messages of servers whose life does not continue the one that is known of them */
    uint64_t losses;      /* as a leader: others that no longer had what they had acknowledged. Alarm */
};
void raft_get_status(const struct raft *raft, struct raft_status *ret_status);

/* The part of it that is asked for after every event, for next to nothing. */
struct raft_brief {
    enum raft_role role;
    bool is_voter, is_learner, is_leader_ready;
    uint64_t term, last, committed, damaged_until; /* last, committed: indexes */
    struct raft_server leader;
    uint64_t leader_heard_us; /* as in raft_status */
};
struct raft_brief raft_get_brief(const struct raft *raft);

const struct raft_config *raft_get_config(const struct raft *raft);           /* the newest in the log */
const struct raft_config *raft_get_committed_config(const struct raft *raft);

/* What a leader knows of another server. False: not a member, or this is no leader. */
struct raft_progress {
    uint64_t match, next;
    uint64_t heard_us; /* when it last answered; 0: never */
    bool is_caught_up, needs_snapshot;
};
bool raft_get_progress(const struct raft *raft, const struct raft_server *server, struct raft_progress *ret_progress);

/* What is known of another server's disk. False: nothing. `ret_is_refused`: its last message was of a life that does not continue that. */
bool raft_get_claim(const struct raft *raft, const struct raft_server *server, struct raft_claim *ret_claim, bool *ret_is_refused);
/* What this server would say of its own disk now; its life has boot 0 when lives are not compared. */
struct raft_claim raft_get_own_claim(const struct raft *raft);

/* An entry of the log that is still in memory; its body is valid until the next event. False: compacted away, or not there yet. */
bool raft_get_entry(const struct raft *raft, uint64_t index, struct raft_entry *ret_entry);

#endif
