/* founding/message.h - what brokers that found say to each other: always all of what the speaker's disk remembers, and
 * sometimes a wish. Bytes: FORMAT.md.
 *
 * So an answer is no more than the speaker's state, which only moves forward: lost, doubled and late messages need no care. */
#ifndef FOUNDING_MESSAGE_H
#define FOUNDING_MESSAGE_H

#include "base/net_address.h"
#include "replication/founding/state.h"

#define FOUNDING_MESSAGE_MAX 12288 /* bytes */

enum founding_kind {
    FOUNDING_TELL = 1, /* the state, no more */
    FOUNDING_ASK,      /* the state, and: tell me yours */
    FOUNDING_PREPARE,  /* promise me this ballot */
    FOUNDING_ACCEPT,   /* accept this value in this ballot */
};

/* Why a broker will not take part now. On the wire: never renumber. */
enum founding_refusal {
    FOUNDING_WILLING,
    FOUNDING_REFUSES_MARKED,        /* a marker outside of the directory says that its mesh exists */
    FOUNDING_REFUSES_CHANGED,       /* it has taken part with another expect than it is told now */
    FOUNDING_REFUSES_MORE,          /* more brokers than expected */
    FOUNDING_REFUSES_DIFFERENT,     /* others expect another number */
    FOUNDING_REFUSES_OTHERS_MARKED, /* somebody else's marker says that a mesh exists */
    FOUNDING_REFUSES_CROWD,         /* more disks than can be remembered */
    FOUNDING_REFUSES_SET_BACK,      /* its disk lacks what others have heard of it */
    FOUNDING_REFUSALS,
};

/* Somebody who takes part, as the speaker knows it. */
struct founding_mention {
    struct raft_server server;
    struct net_address address; /* none: not known */
    uint32_t expect;
    uint32_t age_ms; /* since it was heard; FOUNDING_AGE_NEVER: long ago or never */
    struct founding_stamp stamp; /* the newest that was heard of it */
};
#define FOUNDING_AGE_NEVER UINT32_MAX

struct founding_message {
    enum founding_kind kind;
    struct raft_server sender;
    struct net_address address; /* where it listens; an ip of zeros: as you see me */
    enum founding_phase phase;
    uint32_t expect; /* 0: does not found */
    enum founding_refusal refusal;
    struct founding_ballot promised, accepted;
    struct founding_value value;    /* accepted, or of a MEMBER */
    struct founding_stamps stamps;  /* of the state that this says */
    struct uuid marker;             /* REFUSES_MARKED: the mesh that the marker names */
    struct founding_ballot ballot;  /* PREPARE, ACCEPT */
    struct founding_value proposal; /* ACCEPT */
    size_t mention_count;
    struct founding_mention mentions[FOUNDING_SERVERS_MAX];
};

/* Appends. Errors: MESH_ENOMEM. */
int founding_message_encode(const struct founding_message *message, struct buffer *to);

/* Errors: MESH_EPROTO, MESH_EVERSION; *ret_message is then undefined. */
int founding_message_decode(struct slice from, struct founding_message *ret_message);

#endif
