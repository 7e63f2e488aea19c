/* recover/message.h - what brokers say to each other in a recovery, as bytes and back. Bytes: FORMAT.md.
 *
 * Pure functions. The decoder takes exactly one message; texts point into the bytes. Errors: MESH_EPROTO, MESH_ENOMEM. */
#ifndef RECOVER_MESSAGE_H
#define RECOVER_MESSAGE_H

#include "replication/recover/recover.h"

/* Numbers are on the wire: never renumber, never reuse. */
enum recover_message_type {
    RECOVER_ASK = 1,      /* how far are you, and what speaks against it? With a ballot: promise it */
    RECOVER_ANSWER = 2,
    RECOVER_ACCEPT = 3,
    RECOVER_ACCEPTED = 4, /* or not */
    RECOVER_BEGIN = 5,    /* all have accepted: to the chosen one */
    RECOVER_BEGUN = 6,    /* how far the sender's history is */
    RECOVER_RELEASE = 7,  /* what was accepted under lower ballots was not chosen, and will not be */
};

struct recover_message {
    enum recover_message_type type;
    struct recover_ballot ballot;          /* of the proposal that it is about; ASK, ANSWER: round 0 asks for no promise */
    struct recover_ballot promised;        /* ANSWER, ACCEPTED: of the sender */
    struct recover_ballot accepted;        /* ANSWER: of the sender; with value and party if there is one */
    struct recover_value value;            /* ACCEPT, BEGIN; ANSWER */
    struct raft_position position;         /* ASK: do you hold this entry? ANSWER: the same. ACCEPT: the highest that any survivor knows to be committed */
    struct recover_facts facts;            /* ANSWER; BEGUN: `begun` only */
    bool holds, is_ok;                     /* ANSWER; ACCEPTED */
    struct slice text;                     /* ANSWER: what speaks against it, "" nothing; ACCEPTED: why not. At most RECOVER_TEXT_SIZE - 1 bytes */
    struct recover_party *party;           /* ASK, ACCEPT, BEGIN; ANSWER with an accepted value. The caller's memory */
};

int recover_message_encode(struct buffer *to, const struct recover_message *message);
/* message->party must point to room for one; it is filled where the type has one. */
int recover_message_decode(struct slice from, struct recover_message *message);

#endif
