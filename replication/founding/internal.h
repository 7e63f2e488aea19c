/* founding/internal.h - one founding, for the files of this folder.
 *
 * Three copies of the state: `stored` is on the disk and is what others are told, `storing` is on its way there, `wanted` is what the
 * broker has made up its mind to. They only move forward. */
#ifndef FOUNDING_INTERNAL_H
#define FOUNDING_INTERNAL_H

#include "base/random.h"
#include "replication/founding/founding.h"
#include "replication/founding/message.h"
#include "replication/founding/switches.h"

#define FOUNDING_PEERS_MAX   (FOUNDING_SERVERS_MAX - 1)
#define FOUNDING_SENDS_MAX   (2 * FOUNDING_SEEDS_MAX + 4 * FOUNDING_PEERS_MAX) /* more at a time are as good as lost */
#define FOUNDING_LOGS_MAX    4
#define FOUNDING_STEP_US     100000 /* how often it looks whether it is time to propose */

/* Another disk. Never leaves the table. */
struct founding_peer {
    struct raft_server server;
    struct net_address address;             /* none: not known */
    uint32_t expect;                        /* as last heard */
    uint64_t heard_us;                      /* when somebody heard it; 0: long ago or never */
    uint64_t told_us;                       /* when it spoke to us; 0: never */
    bool is_counted;                        /* it has taken part with our expect, once: it raises the quorum for ever */
    enum founding_refusal refusal;          /* what follows is what it told us itself */
    struct uuid marker;
    struct founding_ballot promised, accepted;
    struct founding_value value;
    /* Whether its disk is the one that others knew (stamps.h). */
    struct founding_stamps stamps;          /* that it told us; none: it has not spoken since this process began */
    struct founding_stamp heard;            /* the newest that anybody heard */
    bool is_astray;                         /* it was set back, or copied: it never counts again */
    bool is_told_more;                      /* some that were heard could not be judged by its stamps, and are not kept */
    uint64_t listed_us;                     /* what others told of it before this was judged by nothing */
};

/* A proposal that this broker drives. */
struct founding_drive {
    enum { FOUNDING_IDLE, FOUNDING_PREPARING, FOUNDING_ACCEPTING } stage;
    struct founding_ballot ballot;
    uint64_t enough_us; /* since when there are enough promises; 0: there are not */
    uint64_t resend_due_us;
};

struct founding_send {
    enum founding_kind kind;
    struct net_address address;
    struct uuid to;
};

struct founding_line {
    bool is_warning;
    char text[FOUNDING_TEXT_MAX], cure[FOUNDING_TEXT_MAX];
};

struct founding {
    struct founding_options options;
    uint32_t expect; /* in force; 0: it founds nothing */
    struct random random;
    struct founding_state stored, storing, wanted;
    uint64_t wanted_version, storing_version, stored_version, store_number;
    bool is_storing, is_store_out, has_failed;
    bool is_told_of_other; /* of a mesh that is not its own: said once */
    bool is_held_alone; /* founding_hold_alone() */
    bool is_barred, is_changed; /* willing.c: no founding until somebody cleared it up */
    bool is_marking, is_mark_out, is_done, is_done_out;

    struct founding_peer peers[FOUNDING_PEERS_MAX];
    size_t peer_count;
    bool is_crowded; /* a peer found no room */
    struct net_address seeds[FOUNDING_SEEDS_MAX];
    size_t seed_count;

    uint64_t begun_us, ask_due_us, step_due_us;
    uint64_t quorum_us; /* since when enough are there; 0: they are not */
    uint64_t defer_us;  /* another's proposal is under way, or ours met one: nothing new before this */
    uint64_t round_max; /* highest that was heard of */
    struct founding_drive drive;

    struct founding_send sends[FOUNDING_SENDS_MAX];
    size_t send_count, send_next;
    struct founding_line lines[FOUNDING_LOGS_MAX];
    char said[FOUNDING_TEXT_MAX]; /* last, of what it waits for */
    uint64_t say_due_us;
    size_t line_count, line_next;
    struct buffer room; /* of the message that is being sent; never grows beyond what it was made with */
    struct founding_message scratch; /* the one being read or written: too large for a stack */
    uint64_t dropped, proposals;
#ifdef MESH_TEST_SWITCHES
    uint64_t defects;
#endif
};

/* founding.c */
void founding_change(struct founding *founding); /* `wanted` has changed: it is to be stored */
void founding_send(struct founding *founding, enum founding_kind kind, const struct net_address *address, const struct uuid *to);
void founding_become_member(struct founding *founding, const struct founding_value *value);

/* willing.c: too few are here, or this one would be alone and may not yet. */
bool founding_is_short(const struct founding *founding, uint64_t now_us);

/* peers.c */
struct founding_peer *founding_find_peer(struct founding *founding, const struct raft_server *server);
void founding_remember_known(struct founding *founding); /* those of the recovered state */
void founding_hear(struct founding *founding, uint64_t now_us, const struct net_address *source, const struct founding_message *message);
bool founding_peer_is_present(const struct founding *founding, const struct founding_peer *peer, uint64_t now_us);
bool founding_peer_is_ready(const struct founding *founding, const struct founding_peer *peer, uint64_t now_us);
unsigned founding_present(const struct founding *founding, uint64_t now_us); /* ready ones, this broker included */
unsigned founding_needed(const struct founding *founding);
void founding_ask_all(struct founding *founding);
void founding_fill_mentions(const struct founding *founding, uint64_t now_us, struct founding_message *message);

void founding_note_heard(struct founding *founding); /* what was heard of stamps, into the state that is to be stored */

/* willing.c */
enum founding_refusal founding_refusal(const struct founding *founding, uint64_t now_us);
void founding_say_waiting(struct founding *founding, uint64_t now_us);
__attribute__((format(printf, 3, 4))) struct founding_line *founding_say(struct founding *founding, bool is_warning, const char *format, ...);

/* acceptor.c: what others ask of this disk */
void founding_on_prepare(struct founding *founding, uint64_t now_us, const struct founding_ballot *ballot);
void founding_on_accept(struct founding *founding, uint64_t now_us, const struct founding_ballot *ballot, const struct founding_value *value);

/* proposer.c */
void founding_drive(struct founding *founding, uint64_t now_us); /* looks what has become of proposals, and whether to make one */

#endif
