/* recover/recover.c - events, outputs, and the order of what is durable and what is said. */
#include "replication/recover/recover.h"

#include "base/buffer.h"
#include "replication/recover/internal.h"

#include <stdlib.h>

int recover_new(const struct recover_options *options, struct slice stored, uint64_t now_us, struct recover **ret_recover)
{
    struct recover *recover = calloc(1, sizeof(*recover));
    int err = recover == NULL ? MESH_ENOMEM : stored.size == 0 ? 0 : recover_state_decode(stored, &recover->state);

    if (err != 0) {
        free(recover);
        return err;
    }
    recover->options = *options;
    recover->now_us = now_us;
    random_init(&recover->random, options->seed);
    list_init(&recover->mails);
    recover->resume_us = now_us + random_below(&recover->random, options->resume_us + 1);
    *ret_recover = recover;
    return 0;
}

/* Each at a time of its own, so that one of them gets through. */
void recover_put_off(struct recover *recover)
{
    recover->resume_us = recover->now_us + recover->options.resume_us + random_below(&recover->random, recover->options.resume_us + 1);
}

static void mail_free(struct recover_mail *mail)
{
    if (mail == NULL) return;
    buffer_deinit(&mail->bytes);
    free(mail);
}

void recover_free(struct recover *recover)
{
    struct list_node *node;

    if (recover == NULL) return;
    while ((node = list_pop_front(&recover->mails)) != NULL)
        mail_free(container_of(node, struct recover_mail, node));
    mail_free(recover->taken);
    buffer_deinit(&recover->bytes);
    free(recover->survivors);
    free(recover);
}

struct recover_facts recover_look(const struct recover *recover)
{
    struct recover_facts facts = {0};

    recover->options.hooks->look(recover->options.user, &facts);
    return facts;
}

const struct recover_state *recover_get_state(const struct recover *recover)
{
    return &recover->state;
}

bool recover_is_bound(const struct recover *recover)
{
    return recover->state.accepted.round != 0 && recover_look(recover).history < recover->state.value.history;
}

/* ---- asking ---- */

static int make_survivors(struct recover *recover, const struct recover_party *party)
{
    struct recover_survivor *survivors = calloc(party->count + 1, sizeof(*survivors));
    size_t count = 0;

    if (survivors == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < party->count; i++)
        if (!party->brokers[i].is_lost) survivors[count++].id = party->brokers[i].id;
    free(recover->survivors);
    recover->survivors = survivors;
    recover->survivor_count = count;
    return 0;
}

static bool is_sound(const struct recover *recover, const struct recover_party *party)
{
    const struct recover_broker *self = recover_party_find(party, &recover->options.self);

    if (self == NULL || self->is_lost) return false;
    for (size_t i = 0; i < party->count; i++)
        if (party->brokers[i].is_lost) return true;
    return false;
}

static int begin(struct recover *recover, const struct recover_party *party, uint64_t timeout_us)
{
    int err = make_survivors(recover, party);

    if (err != 0) return err;
    recover->party = *party;
    recover->position = (struct raft_position){0};
    recover->value = (struct recover_value){0};
    recover->deadline_us = recover->now_us + timeout_us;
    recover->error = 0;
    proposer_prepare(recover);
    return 0;
}

int recover_ask(struct recover *recover, uint64_t now_us, const struct recover_party *party, bool is_dry, uint64_t timeout_us, uint64_t cookie)
{
    recover->now_us = now_us;
    if (recover->phase != RECOVER_IDLE && recover->is_resumed) recover->phase = RECOVER_IDLE; /* people go first */
    if (recover->phase != RECOVER_IDLE || recover->is_over) return MESH_EBUSY;
    if (!is_sound(recover, party)) return MESH_EINVAL;
    recover->is_dry = is_dry;
    recover->is_resumed = false;
    recover->cookie = cookie;
    return begin(recover, party, timeout_us);
}

/* What was accepted here and has not begun: whoever drove it may be dead. */
static void resume(struct recover *recover)
{
    recover->is_dry = false;
    recover->is_resumed = true;
    recover->resume_us = recover->now_us + 2 * (uint64_t)recover->options.resume_us;
    (void)begin(recover, &recover->state.party, 2 * (uint64_t)recover->options.resume_us);
}

void recover_set_removed(struct recover *recover, uint64_t history)
{
    if (recover->state.is_removed) return;
    recover->state.is_removed = true;
    recover->state.removed_history = history;
    recover_changed(recover);
}

/* ---- events ---- */

void recover_receive(struct recover *recover, uint64_t now_us, const struct uuid *from, struct slice bytes)
{
    struct recover_message message = {.party = &recover->heard};

    recover->now_us = now_us;
    if (recover_message_decode(bytes, &message) != 0) return;
    switch (message.type) {
    case RECOVER_ASK: acceptor_on_ask(recover, from, &message); return;
    case RECOVER_ACCEPT: acceptor_on_accept(recover, from, &message); return;
    case RECOVER_BEGIN: acceptor_on_begin(recover, from, &message); return;
    case RECOVER_RELEASE: acceptor_on_release(recover, &message); return;
    case RECOVER_ANSWER: proposer_on_answer(recover, from, &message); return;
    case RECOVER_ACCEPTED: proposer_on_accepted(recover, from, &message); return;
    case RECOVER_BEGUN: proposer_on_begun(recover, from, &message); return;
    }
}

void recover_stored(struct recover *recover, uint64_t now_us)
{
    recover->now_us = now_us;
    recover->generation_durable = recover->generation_given;
}

void recover_tick(struct recover *recover, uint64_t now_us)
{
    recover->now_us = now_us;
    if (recover->is_over) return;
    if (recover->phase == RECOVER_IDLE) {
        if (recover_is_bound(recover) && !recover->state.is_removed && now_us >= recover->resume_us) resume(recover);
    } else if (now_us >= recover->deadline_us) {
        proposer_end(recover, proposer_has_objection(recover) ? MESH_EBUSY : MESH_ETIMEDOUT);
    } else if (now_us >= recover->send_us) {
        proposer_send(recover);
    }
}

uint64_t recover_due_us(const struct recover *recover)
{
    if (recover->phase != RECOVER_IDLE) return recover->send_us < recover->deadline_us ? recover->send_us : recover->deadline_us;
    return recover_is_bound(recover) && !recover->state.is_removed ? recover->resume_us : RECOVER_NEVER;
}

/* ---- what is said ---- */

void recover_send(struct recover *recover, const struct uuid *to, const struct recover_message *message)
{
    struct recover_mail *mail = calloc(1, sizeof(*mail));

    if (mail == NULL) return; /* as lost on the way: it is sent again */
    mail->to = *to;
    if (recover_message_encode(&mail->bytes, message) != 0) {
        mail_free(mail);
        return;
    }
    list_push_back(&recover->mails, &mail->node);
}

void recover_owe(struct recover *recover, const struct owed *owed)
{
    if (recover->owed_count == RECOVER_OWED_MAX) return;
    recover->owed[recover->owed_count] = *owed;
    recover->owed[recover->owed_count++].generation = recover->generation;
}

/* From the state of now, which is durable. */
static void give(struct recover *recover, const struct owed *owed)
{
    struct recover_message message = {
        .type = owed->type,
        .ballot = owed->ballot,
        .position = owed->position,
        .promised = recover->state.promised,
        .accepted = recover->state.accepted,
        .value = recover->state.value,
        .facts = owed->type == RECOVER_ANSWER ? owed->facts : recover_look(recover),
        .holds = owed->holds,
        .is_ok = owed->is_ok,
        .text = slice_of_string(owed->text),
        .party = &recover->state.party,
    };

    recover_send(recover, &owed->to, &message);
}

static void give_what_is_durable(struct recover *recover)
{
    size_t kept = 0;

    for (size_t i = 0; i < recover->owed_count; i++) {
        if (recover->owed[i].generation <= recover->generation_durable && recover->generation == recover->generation_durable)
            give(recover, &recover->owed[i]);
        else
            recover->owed[kept++] = recover->owed[i];
    }
    recover->owed_count = kept;
}

/* ---- outputs ---- */

static bool next_store(struct recover *recover, struct recover_output *output)
{
    if (recover->generation_given != recover->generation_durable || recover->generation == recover->generation_durable) return false;
    buffer_clear(&recover->bytes);
    if (recover_state_encode(&recover->state, &recover->bytes) != 0) return false; /* with the next event */
    recover->generation_given = recover->generation;
    output->type = RECOVER_OUTPUT_STORE;
    output->bytes = buffer_slice(&recover->bytes);
    return true;
}

/* Its own messages come back at once. */
static bool next_mail(struct recover *recover, struct recover_output *output)
{
    struct list_node *node;

    while ((node = list_pop_front(&recover->mails)) != NULL) {
        struct recover_mail *mail = container_of(node, struct recover_mail, node);

        if (uuid_equal(&mail->to, &recover->options.self)) {
            recover_receive(recover, recover->now_us, &recover->options.self, buffer_slice(&mail->bytes));
            mail_free(mail);
            give_what_is_durable(recover);
            continue;
        }
        mail_free(recover->taken);
        recover->taken = mail;
        output->type = RECOVER_OUTPUT_SEND;
        output->to = mail->to;
        output->bytes = buffer_slice(&mail->bytes);
        return true;
    }
    return false;
}

static bool next_report(struct recover *recover, struct recover_output *output)
{
    if (!recover->is_over) return false;
    recover->is_over = false;
    if (recover->is_resumed) return false; /* nobody asked */
    output->type = RECOVER_OUTPUT_REPORT;
    output->report = (struct recover_report){
        .cookie = recover->cookie,
        .error = recover->error,
        .is_dry = recover->is_dry,
        .party = &recover->party,
        .value = recover->value,
        .committed = recover->position,
        .survivors = recover->survivors,
        .survivor_count = recover->survivor_count,
    };
    return true;
}

bool recover_next_output(struct recover *recover, uint64_t now_us, struct recover_output *ret_output)
{
    recover->now_us = now_us;
    *ret_output = (struct recover_output){0};
    give_what_is_durable(recover);
    if (next_mail(recover, ret_output) || next_store(recover, ret_output)) return true;
    if (recover->wants_begin && recover->generation == recover->generation_durable) {
        recover->wants_begin = false;
        ret_output->type = RECOVER_OUTPUT_BEGIN;
        ret_output->value = &recover->state.value;
        ret_output->party = &recover->state.party;
        return true;
    }
    return next_report(recover, ret_output);
}
