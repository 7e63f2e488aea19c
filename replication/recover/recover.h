/* recover/recover.h - a mesh whose majority of voters is gone for good: the survivors agree on the one whose log goes on.
 *
 * One broker's part, as proposer (people asked it) and as acceptor. Sans-I/O: events and the time go in, outputs come out:
 *
 *     recover_ask() / recover_receive() / recover_stored() / recover_tick()       an event
 *     while (recover_next_output(recover, now_us, &output)) ...                    what is to be done
 *     recover_due_us()                                                             when to tick next
 *
 * What an output points to is valid until the next call. What a message tells of this disk is on the disk before it leaves. Why at most one
 * history begins: README.md. Belongs to one thread; times are monotonic microseconds. */
#ifndef RECOVER_RECOVER_H
#define RECOVER_RECOVER_H

#include "replication/consensus/entry.h"
#include "replication/recover/state.h"

#define RECOVER_TEXT_SIZE 512
#define RECOVER_NEVER     UINT64_MAX

struct recover;

/* How far a broker is, as its log says now. */
struct recover_facts {
    uint64_t history, begun, term;        /* history: of its last entry; begun: of the last that it knows to be committed; term: of its consensus */
    struct raft_position last, committed; /* last: of its log, committed or not */
    bool is_voter, is_damaged;            /* damaged: parts of its log are not readable */
};

struct recover_hooks {
    void (*look)(void *user, struct recover_facts *ret_facts);
    /* Whether the log has this entry. */
    bool (*holds)(void *user, const struct raft_position *position);
    /* Whether anything speaks against this: a sentence into text. `bound`: what this broker has accepted before and is bound by; NULL: nothing. */
    bool (*objects)(void *user, const struct recover_party *party, const struct recover_party *bound, char text[RECOVER_TEXT_SIZE]);
};

struct recover_options {
    struct uuid self;
    uint64_t seed;
    uint32_t retry_us;  /* an unanswered message is sent again after this; 500 ms */
    uint32_t resume_us; /* a recovery that was begun and not ended is taken up by any survivor after this to twice as long; 5 s */
    const struct recover_hooks *hooks; /* kept */
    void *user;
};

/* `stored`: the bytes of the last STORE that was durable; empty: none. Errors: MESH_ENOMEM, MESH_ECORRUPT, MESH_EVERSION. */
int recover_new(const struct recover_options *options, struct slice stored, uint64_t now_us, struct recover **ret_recover);
void recover_free(struct recover *recover); /* accepts NULL */

/* ---- events ---- */

/* Begins a recovery with these lost and these survivors (this broker among them); a dry one only asks everybody. Exactly one REPORT follows, by
 * timeout_us at the latest. Errors: MESH_EBUSY (one is under way here), MESH_EINVAL (this broker is no survivor; nobody is lost), MESH_ENOMEM. */
int recover_ask(struct recover *recover, uint64_t now_us, const struct recover_party *party, bool is_dry, uint64_t timeout_us, uint64_t cookie);
void recover_receive(struct recover *recover, uint64_t now_us, const struct uuid *from, struct slice bytes);
void recover_stored(struct recover *recover, uint64_t now_us); /* the STORE that was asked for is durable */
void recover_tick(struct recover *recover, uint64_t now_us);
uint64_t recover_due_us(const struct recover *recover);
/* The mesh says that it has removed this broker, in that history: remembered on the disk. */
void recover_set_removed(struct recover *recover, uint64_t history);

/* ---- outputs ---- */

enum recover_output_type {
    RECOVER_OUTPUT_SEND,   /* `bytes` to the broker `to`; may be lost, doubled, late */
    RECOVER_OUTPUT_STORE,  /* `bytes` replace what is stored; then recover_stored(). One at a time */
    RECOVER_OUTPUT_BEGIN,  /* this broker's log is the one: begin `value`->history with it, without the lost of `party`. Comes again until it is done */
    RECOVER_OUTPUT_REPORT, /* `report` */
};

struct recover_survivor {
    struct uuid id;
    bool has_answered;
    struct recover_facts facts;
    struct recover_ballot promised, accepted;
    struct recover_value value;
    bool holds, has_agreed;
    char objection[RECOVER_TEXT_SIZE]; /* "" none */
};

/* error: 0 (done; of a dry one: nothing speaks against it), MESH_EBUSY (somebody objects: survivors[].objection), MESH_ETIMEDOUT (not all
 * answered), MESH_ECORRUPT (nobody's log is fit to go on). */
struct recover_report {
    uint64_t cookie;
    int error;
    bool is_dry;
    const struct recover_party *party;
    struct recover_value value; /* chosen, or of a dry one: who would be */
    struct raft_position committed; /* the highest that any survivor knows to be committed */
    const struct recover_survivor *survivors;
    size_t survivor_count;
};

struct recover_output {
    enum recover_output_type type;
    struct uuid to;
    struct slice bytes;
    const struct recover_value *value;
    const struct recover_party *party;
    struct recover_report report;
};
bool recover_next_output(struct recover *recover, uint64_t now_us, struct recover_output *ret_output);

/* ---- what it knows ---- */

const struct recover_state *recover_get_state(const struct recover *recover); /* durable or about to be */
/* A recovery was accepted here whose history this log does not have yet: it speaks of consensus with the chosen one only. */
bool recover_is_bound(const struct recover *recover);

#endif
