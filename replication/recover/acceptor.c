/* recover/acceptor.c - what a survivor promises and accepts. Everything that it tells of its disk waits until that is durable. */
#include "replication/recover/internal.h"

#include <stdio.h>

static bool promise(struct recover *recover, const struct recover_ballot *ballot)
{
    int order = recover_ballot_compare(ballot, &recover->state.promised);

    if (order > 0) {
        recover->state.promised = *ballot;
        recover_changed(recover);
    }
    return order >= 0;
}

void acceptor_on_ask(struct recover *recover, const struct uuid *from, const struct recover_message *message)
{
    struct owed owed = {.to = *from, .type = RECOVER_ANSWER, .ballot = message->ballot, .position = message->position, .facts = recover_look(recover)};
    const struct recover_party *bound = recover_is_bound(recover) ? &recover->state.party : NULL;
    const struct recover_broker *self = recover_party_find(message->party, &recover->options.self);

    if (self == NULL || self->is_lost) {
        snprintf(owed.text, sizeof(owed.text), "this broker lives, and is not among the survivors");
    } else if (recover->state.is_removed) {
        snprintf(owed.text, sizeof(owed.text), "the mesh has removed this broker");
    } else if (!recover->options.hooks->objects(recover->options.user, message->party, bound, owed.text)) {
        owed.text[0] = '\0';
    }
    owed.holds = message->position.index == 0 || recover->options.hooks->holds(recover->options.user, &message->position);
    if (message->ballot.round != 0) promise(recover, &message->ballot); /* also when it objects: what it has not accepted it never will */
    recover_owe(recover, &owed);
}

/* NULL: it may be accepted. */
static const char *refusal(struct recover *recover, const struct recover_message *message, const struct recover_facts *facts)
{
    const struct recover_broker *self = recover_party_find(message->party, &recover->options.self);
    bool is_chosen = uuid_equal(&message->value.chosen, &recover->options.self);

    if (recover->state.is_removed || self == NULL || self->is_lost) return "not a survivor";
    if (recover_ballot_compare(&message->ballot, &recover->state.promised) < 0) return "another proposal is under way";
    if (facts->committed.index > message->position.index) return "more was committed meanwhile";
    if (is_chosen && !recover->options.hooks->holds(recover->options.user, &message->position)) return "its log does not hold what was committed";
    return NULL;
}

void acceptor_on_accept(struct recover *recover, const struct uuid *from, const struct recover_message *message)
{
    struct owed owed = {.to = *from, .type = RECOVER_ACCEPTED, .ballot = message->ballot, .is_ok = true};
    struct recover_facts facts = recover_look(recover);
    const char *why = facts.history >= message->value.history ? NULL : refusal(recover, message, &facts);

    if (why != NULL) {
        owed.is_ok = false;
        snprintf(owed.text, sizeof(owed.text), "%s", why);
    } else if (facts.history < message->value.history) {
        promise(recover, &message->ballot);
        recover->state.accepted = message->ballot;
        recover->state.value = message->value;
        recover->state.party = *message->party;
        recover_changed(recover);
        recover_put_off(recover);
    }
    recover_owe(recover, &owed);
}

/* The proposer has seen that all have accepted. To be said by it is enough: it is one of us. */
void acceptor_on_begin(struct recover *recover, const struct uuid *from, const struct recover_message *message)
{
    struct recover_facts facts = recover_look(recover);
    const struct recover_state *state = &recover->state;
    struct owed owed = {.to = *from, .type = RECOVER_BEGUN, .ballot = message->ballot};

    if (facts.history < message->value.history && uuid_equal(&message->value.chosen, &recover->options.self) && state->accepted.round != 0 &&
        recover_value_equal(&state->value, &message->value))
        recover->wants_begin = true;
    recover_owe(recover, &owed);
}

/* What was accepted here under a lower ballot is not chosen: somebody who had to accept it, too, has promised not to. */
void acceptor_on_release(struct recover *recover, const struct recover_message *message)
{
    struct recover_state *state = &recover->state;

    if (message->ballot.round == 0 || !promise(recover, &message->ballot) || state->accepted.round == 0 ||
        recover_ballot_compare(&state->accepted, &message->ballot) >= 0)
        return;
    state->accepted = (struct recover_ballot){0};
    state->value = (struct recover_value){0};
    state->party.count = 0;
    recover_changed(recover);
}
