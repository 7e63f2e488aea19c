/* recover/proposer.c - asks every survivor, chooses the log that goes on, has it accepted by every survivor, and tells the chosen one. */
#include "replication/recover/internal.h"

/* ---- sending ---- */

static void fill(const struct recover *recover, struct recover_message *message)
{
    *message = (struct recover_message){
        .ballot = recover->is_dry ? (struct recover_ballot){0} : recover->ballot,
        .position = recover->position,
        .value = recover->value,
        .party = (struct recover_party *)(uintptr_t)&recover->party,
    };
    message->type = recover->phase == RECOVER_PREPARING ? RECOVER_ASK : recover->phase == RECOVER_ACCEPTING ? RECOVER_ACCEPT : RECOVER_BEGIN;
}

void proposer_send(struct recover *recover)
{
    struct recover_message message;

    fill(recover, &message);
    recover->send_us = recover->now_us + recover->options.retry_us;
    for (size_t i = 0; i < recover->survivor_count; i++) {
        const struct recover_survivor *survivor = &recover->survivors[i];

        if (recover->phase == RECOVER_PREPARING && survivor->has_answered) continue;
        if (recover->phase == RECOVER_ACCEPTING && survivor->has_agreed) continue;
        if (recover->phase == RECOVER_BEGINNING && !uuid_equal(&survivor->id, &recover->value.chosen)) continue;
        recover_send(recover, &survivor->id, &message);
    }
}

static void enter(struct recover *recover, enum recover_phase phase)
{
    recover->phase = phase;
    for (size_t i = 0; i < recover->survivor_count; i++) {
        if (phase == RECOVER_PREPARING) recover->survivors[i].has_answered = false;
        recover->survivors[i].has_agreed = false;
    }
    if (phase == RECOVER_PREPARING) recover->known_accepted = (struct recover_ballot){0};
}

static void take_new_ballot(struct recover *recover)
{
    uint64_t round = recover->state.promised.round;

    if (recover->ballot.round > round) round = recover->ballot.round;
    for (size_t i = 0; i < recover->survivor_count; i++)
        if (recover->survivors[i].promised.round > round) round = recover->survivors[i].promised.round;
    recover->ballot = (struct recover_ballot){round + 1, recover->options.self};
    enter(recover, RECOVER_PREPARING);
}

void proposer_prepare(struct recover *recover)
{
    take_new_ballot(recover);
    proposer_send(recover);
}

void proposer_end(struct recover *recover, int error)
{
    recover->error = error;
    recover->is_over = true;
    recover->phase = RECOVER_IDLE;
    recover_put_off(recover);
}

/* Somebody is ahead: again, after a while, so that one of the two gets through. */
static void yield(struct recover *recover)
{
    take_new_ballot(recover);
    recover->send_us = recover->now_us + 1 + random_below(&recover->random, recover->options.retry_us);
}

/* ---- choosing ---- */

static struct recover_survivor *find(struct recover *recover, const struct uuid *id)
{
    for (size_t i = 0; i < recover->survivor_count; i++)
        if (uuid_equal(&recover->survivors[i].id, id)) return &recover->survivors[i];
    return NULL;
}

static bool all_have_answered(const struct recover *recover)
{
    for (size_t i = 0; i < recover->survivor_count; i++)
        if (!recover->survivors[i].has_answered) return false;
    return true;
}

/* What was accepted last was decided, and has begun: an earlier recovery, which is over. */
static bool is_there(const struct recover *recover)
{
    for (size_t i = 0; i < recover->survivor_count && recover->known_accepted.round != 0; i++)
        if (recover->survivors[i].facts.history >= recover->known_value.history) return true;
    return false;
}

/* The value that was accepted under the highest ballot may be decided, under that ballot or a lower one, only if everybody who had to accept it,
 * as far as they answer, holds it as the last that they accepted; whoever does not has promised this ballot now, and never will. */
static bool may_be_decided(const struct recover *recover)
{
    if (recover->known_accepted.round == 0 || is_there(recover)) return false;
    for (size_t i = 0; i < recover->survivor_count; i++) {
        const struct recover_survivor *survivor = &recover->survivors[i];
        const struct recover_broker *broker = recover_party_find(&recover->known_party, &survivor->id);

        if (broker == NULL || broker->is_lost) continue;
        if (survivor->accepted.round == 0 || !recover_value_equal(&survivor->value, &recover->known_value)) return false;
    }
    return true;
}

static bool is_later(const struct raft_position *a, const struct raft_position *b)
{
    return a->term != b->term ? a->term > b->term : a->index > b->index;
}

/* The log that reaches farthest, of those that hold all that anybody knows to be committed (Raft 5.4.1; README.md); whole ones first. */
static const struct recover_survivor *best_log(const struct recover *recover)
{
    const struct recover_survivor *best = NULL;

    for (size_t i = 0; i < recover->survivor_count; i++) {
        const struct recover_survivor *survivor = &recover->survivors[i];

        if (!survivor->holds) continue;
        if (best == NULL || (best->facts.is_damaged && !survivor->facts.is_damaged) ||
            (best->facts.is_damaged == survivor->facts.is_damaged && is_later(&survivor->facts.last, &best->facts.last)))
            best = survivor;
    }
    return best;
}

/* One above everything that anybody has seen or accepted. */
static uint64_t next_history(const struct recover *recover)
{
    uint64_t history = recover->known_accepted.round != 0 ? recover->known_value.history : 0;

    for (size_t i = 0; i < recover->survivor_count; i++) {
        const struct recover_facts *facts = &recover->survivors[i].facts;

        if (facts->history > history) history = facts->history;
        if (facts->term >> 32 > history) history = facts->term >> 32;
    }
    return history + 1;
}

bool proposer_has_objection(const struct recover *recover)
{
    for (size_t i = 0; i < recover->survivor_count; i++)
        if (recover->survivors[i].objection[0] != '\0') return true;
    return false;
}

static void release(struct recover *recover)
{
    struct recover_message message = {.type = RECOVER_RELEASE, .ballot = recover->ballot, .party = &recover->party};

    for (size_t i = 0; i < recover->survivor_count; i++)
        recover_send(recover, &recover->survivors[i].id, &message);
}

/* Everybody has answered for this ballot and this position, and nobody promised a higher one. */
static void choose(struct recover *recover)
{
    bool is_bound = may_be_decided(recover) && find(recover, &recover->known_value.chosen) != NULL;
    const struct recover_survivor *best = best_log(recover);

    if (proposer_has_objection(recover)) {
        if (recover->known_accepted.round != 0 && !recover->is_dry && !is_there(recover) && !may_be_decided(recover)) release(recover);
        proposer_end(recover, MESH_EBUSY);
        return;
    }
    if (is_bound) {
        recover->value = recover->known_value;
    } else if (best != NULL && next_history(recover) <= RECOVER_HISTORY_MAX) {
        recover->value = (struct recover_value){next_history(recover), best->id};
    } else {
        proposer_end(recover, MESH_ECORRUPT);
        return;
    }
    if (recover->is_dry) {
        proposer_end(recover, 0);
        return;
    }
    enter(recover, RECOVER_ACCEPTING);
    proposer_send(recover);
}

/* ---- answers ---- */

static bool is_same_place(const struct raft_position *a, const struct raft_position *b)
{
    return a->index == b->index && memcmp(a->chain, b->chain, RAFT_CHAIN_SIZE) == 0;
}

static bool is_for_this(const struct recover *recover, const struct recover_message *message)
{
    struct recover_ballot none = {0};

    return recover_ballot_compare(&message->ballot, recover->is_dry ? &none : &recover->ballot) == 0;
}

static void note(struct recover *recover, struct recover_survivor *survivor, const struct recover_message *message)
{
    survivor->has_answered = true;
    survivor->facts = message->facts;
    survivor->promised = message->promised;
    survivor->accepted = message->accepted;
    survivor->value = message->value;
    survivor->holds = message->holds;
    if (message->text.size != 0) memcpy(survivor->objection, message->text.data, message->text.size);
    survivor->objection[message->text.size] = '\0';
    if (recover_ballot_compare(&message->accepted, &recover->known_accepted) <= 0) return;
    recover->known_accepted = message->accepted;
    recover->known_value = message->value;
    recover->known_party = *message->party;
}

static const struct raft_position *highest_committed(const struct recover *recover)
{
    const struct raft_position *highest = &recover->survivors[0].facts.committed;

    for (size_t i = 1; i < recover->survivor_count; i++)
        if (recover->survivors[i].facts.committed.index > highest->index) highest = &recover->survivors[i].facts.committed;
    return highest;
}

static bool is_behind(const struct recover *recover)
{
    for (size_t i = 0; i < recover->survivor_count; i++)
        if (recover_ballot_compare(&recover->survivors[i].promised, &recover->ballot) > 0) return true;
    return false;
}

void proposer_on_answer(struct recover *recover, const struct uuid *from, const struct recover_message *message)
{
    struct recover_survivor *survivor = find(recover, from);
    const struct raft_position *highest;

    if (recover->phase != RECOVER_PREPARING || survivor == NULL || survivor->has_answered || !is_for_this(recover, message) ||
        !is_same_place(&message->position, &recover->position))
        return;
    note(recover, survivor, message);
    if (uuid_equal(from, &recover->options.self) && survivor->objection[0] != '\0' && !recover->is_resumed && recover->known_accepted.round == 0) {
        proposer_end(recover, MESH_EBUSY); /* whoever asked need not wait for the others */
        return;
    }
    if (!all_have_answered(recover)) return;
    highest = highest_committed(recover);
    if (!recover->is_dry && is_behind(recover)) {
        yield(recover);
    } else if (is_there(recover) && !proposer_has_objection(recover) && recover->is_resumed) {
        recover->value = recover->known_value;
        proposer_end(recover, 0);
    } else if (!is_same_place(highest, &recover->position)) {
        recover->position = *highest;
        enter(recover, RECOVER_PREPARING);
        proposer_send(recover); /* who holds that one? */
    } else {
        choose(recover);
    }
}

void proposer_on_accepted(struct recover *recover, const struct uuid *from, const struct recover_message *message)
{
    struct recover_survivor *survivor = find(recover, from);

    if (recover->phase != RECOVER_ACCEPTING || survivor == NULL || !is_for_this(recover, message)) return;
    if (!message->is_ok) {
        survivor->promised = message->promised;
        yield(recover);
        return;
    }
    survivor->has_agreed = true;
    for (size_t i = 0; i < recover->survivor_count; i++)
        if (!recover->survivors[i].has_agreed) return;
    enter(recover, RECOVER_BEGINNING);
    proposer_send(recover);
}

void proposer_on_begun(struct recover *recover, const struct uuid *from, const struct recover_message *message)
{
    if (recover->phase != RECOVER_BEGINNING || !uuid_equal(from, &recover->value.chosen) || message->facts.begun < recover->value.history) return;
    proposer_end(recover, 0);
}
