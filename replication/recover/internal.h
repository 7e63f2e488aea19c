/* recover/internal.h - what the files of this folder share: one broker's part in recoveries. */
#ifndef RECOVER_INTERNAL_H
#define RECOVER_INTERNAL_H

#include "base/error.h"
#include "base/list.h"
#include "base/random.h"
#include "replication/recover/message.h"

#define RECOVER_OWED_MAX 16 /* answers that wait for the disk; more are not given, and are asked for again */

enum recover_phase { RECOVER_IDLE, RECOVER_PREPARING, RECOVER_ACCEPTING, RECOVER_BEGINNING };

/* An answer that waits until what it tells is durable. */
struct owed {
    struct uuid to;
    enum recover_message_type type; /* ANSWER, ACCEPTED, BEGUN */
    struct recover_ballot ballot;
    struct raft_position position;
    uint64_t generation;
    struct recover_facts facts; /* ANSWER: of the same moment as the text */
    bool is_ok, holds;
    char text[RECOVER_TEXT_SIZE];
};

/* What is to be sent; owns its bytes. */
struct recover_mail {
    struct list_node node;
    struct uuid to;
    struct buffer bytes;
};

struct recover {
    struct recover_options options;
    struct random random;
    uint64_t now_us;

    struct recover_state state;
    uint64_t generation, generation_given, generation_durable; /* of the state: changed, at the disk, there */
    struct buffer bytes;                                       /* of the STORE */

    struct owed owed[RECOVER_OWED_MAX];
    size_t owed_count;
    bool wants_begin;
    struct list_node mails;
    struct recover_mail *taken;
    struct recover_party heard; /* of the message that is read */

    /* ---- as proposer ---- */
    enum recover_phase phase;
    bool is_dry, is_resumed, is_over; /* over: the report is to be told */
    uint64_t cookie, deadline_us, send_us, resume_us;
    struct recover_ballot ballot;
    struct recover_party party;
    struct recover_value value;
    struct raft_position position; /* asked after: the highest that is known to be committed */
    struct recover_survivor *survivors;
    size_t survivor_count;
    struct recover_ballot known_accepted; /* the highest that anybody has accepted, with */
    struct recover_value known_value;
    struct recover_party known_party;
    int error;
};

/* ---- recover.c ---- */
void recover_send(struct recover *recover, const struct uuid *to, const struct recover_message *message);
void recover_owe(struct recover *recover, const struct owed *owed);
struct recover_facts recover_look(const struct recover *recover);
void recover_put_off(struct recover *recover); /* taking up what was begun */
static inline void recover_changed(struct recover *recover)
{
    recover->generation++;
}

/* ---- acceptor.c ---- */
void acceptor_on_ask(struct recover *recover, const struct uuid *from, const struct recover_message *message);
void acceptor_on_accept(struct recover *recover, const struct uuid *from, const struct recover_message *message);
void acceptor_on_begin(struct recover *recover, const struct uuid *from, const struct recover_message *message);
void acceptor_on_release(struct recover *recover, const struct recover_message *message);

/* ---- proposer.c ---- */
void proposer_prepare(struct recover *recover); /* a new ballot, and everybody is asked */
void proposer_on_answer(struct recover *recover, const struct uuid *from, const struct recover_message *message);
void proposer_on_accepted(struct recover *recover, const struct uuid *from, const struct recover_message *message);
void proposer_on_begun(struct recover *recover, const struct uuid *from, const struct recover_message *message);
void proposer_send(struct recover *recover); /* to those who have not answered */
bool proposer_has_objection(const struct recover *recover);
void proposer_end(struct recover *recover, int error);

#endif
