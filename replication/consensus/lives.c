/* consensus/lives.c - whether who speaks is on the disk that spoke before, and not on an older state or a copy of it.
 *
 * Every start of a server is a *life*: a number and a random nonce. The disk keeps the lives that it has had, and what each left on it (term,
 * whether it had voted in it, how far the log was durable). Every message tells the sender's life and a *claim*: how far its disk is now. Whoever
 * hears it remembers the highest claim of each server, and tells it back in everything that it sends there.
 *
 * A server judges only itself. What it hears of itself is either its own word, or was said by a life in its past that left no less on the
 * disk than it had claimed; else this disk forgot something that others build on, or another copy of it has lived on (set_back()).
 * A new life is heeded once it vouches for the one that was known: "that was me, and I still hold what I said". So a restarted server costs one
 * round trip, and one that was set back is refused by everybody who met what it forgot, whatever it believes of itself. */
#include "replication/consensus/internal.h"

static bool life_equal(const struct raft_life *a, const struct raft_life *b)
{
    return a->boot == b->boot && a->nonce == b->nonce;
}

/* True: `a` says more of a disk than `b` does; both of one life. */
static bool is_beyond(const struct raft_claim *a, const struct raft_claim *b)
{
    if (a->term != b->term) return a->term > b->term;
    return (a->has_voted && !b->has_voted) || a->durable > b->durable;
}

/* False: it says nothing new. */
static bool raise(struct raft_claim *claim, const struct raft_claim *said)
{
    if (said->term < claim->term || !is_beyond(said, claim)) return false; /* a late message, for one */
    if (said->term > claim->term) {
        *claim = *said;
        return true;
    }
    claim->has_voted |= said->has_voted;
    if (said->durable > claim->durable) claim->durable = said->durable;
    return true;
}

void lives_recover(struct raft *raft, const struct raft_recovered *recovered)
{
    size_t past = recovered->past_count < RAFT_PAST_MAX ? recovered->past_count : RAFT_PAST_MAX;

    raft->life = recovered->life;
    raft->forced_term = recovered->forced_term;
    raft->claims_version = 1; /* what is recovered is to be told */
    if (raft->life.boot == 0) return;
    if (past != 0) memcpy(raft->past, recovered->past + (recovered->past_count - past), past * sizeof(raft->past[0]));
    raft->past_count = (unsigned)past;
    raft->other_count = (unsigned)(recovered->other_count < RAFT_OTHERS_MAX ? recovered->other_count : RAFT_OTHERS_MAX);
    if (raft->other_count != 0) memcpy(raft->others, recovered->others, raft->other_count * sizeof(raft->others[0]));
}

/* ---- this server ---- */

static uint64_t held(const struct raft *raft)
{
    if (raft->role == RAFT_LEADER || raft->durable < raft->verified) return raft->durable;
    return raft->verified; /* what comes after may yet be replaced in this term */
}

struct raft_claim raft_get_own_claim(const struct raft *raft)
{
    struct raft_claim claim = {.life = raft->life};

    if (raft->generation_durable != raft->generation) return claim; /* nothing is said of what the disk does not hold */
    claim.term = raft->term;
    claim.has_voted = !server_is_zero(&raft->voted_for);
    claim.durable = held(raft);
    return claim;
}

/* Whether this disk has said that, and still holds it; then *ret_left is what that life left, or this one has said. Of lives before those that it
 * remembers it knows nothing, and believes them. */
static bool is_mine(const struct raft *raft, const struct raft_claim *claim, struct raft_claim *ret_left)
{
    *ret_left = *claim;
    if (claim->term < raft->forced_term) return true; /* given up by decree: since then it decided alone, in a term above all others */
    if (life_equal(&claim->life, &raft->life)) return true;
    if (raft->past_count == RAFT_PAST_MAX && claim->life.boot < raft->past[0].life.boot) return true;
    for (unsigned i = 0; i < raft->past_count; i++) {
        if (!life_equal(&claim->life, &raft->past[i].life)) continue;
        *ret_left = raft->past[i];
        return !is_beyond(claim, &raft->past[i]);
    }
    return false;
}

/* For good: nobody can tell a forgotten vote from one that was never given, and the other copy may still be voting. */
static void set_back(struct raft *raft)
{
    if (raft->damaged_until == RAFT_SET_BACK || RAFT_DEFECT(raft, LIVES_IGNORED)) return;
    raft->damaged_until = RAFT_SET_BACK;
    state_changed(raft);
    step_down(raft);
}

/* ---- the others ---- */

static bool is_any_voter(const struct peer *peer)
{
    return peer != NULL && (peer->is_voter || peer->is_old_voter);
}

static struct raft_other *other_find(const struct raft *raft, const struct raft_server *server)
{
    for (unsigned i = 0; i < raft->other_count; i++) {
        if (raft_server_equal(&raft->others[i].server, server)) return (struct raft_other *)&raft->others[i];
    }
    return NULL;
}

/* A place for one more: who left the configuration goes first. NULL: all are members. */
static struct raft_other *other_new(struct raft *raft, const struct raft_server *server)
{
    unsigned place = raft->other_count;

    for (unsigned i = 0; raft->other_count == RAFT_OTHERS_MAX && place == raft->other_count && i < raft->other_count; i++) {
        if (peer_find(raft, &raft->others[i].server) == NULL) place = i;
    }
    if (place == RAFT_OTHERS_MAX) return NULL;
    if (place == raft->other_count) raft->other_count++;
    raft->others[place] = (struct raft_other){.server = *server};
    raft->vouched[place] = (struct raft_claim){.term = 0};
    raft->is_refused[place] = false;
    return &raft->others[place];
}

/* What is said most often says least: a receiver that was told what is known of it has nothing to answer to in an acknowledgement, and one that knows
 * this life needs no word for it. Whoever knows another one refuses the message, and tells. */
void lives_fill(const struct raft *raft, struct message *message)
{
    const struct raft_other *other;
    const struct raft_claim *vouched;

    if (raft->life.boot == 0) return;
    message->claim = raft_get_own_claim(raft);
    other = other_find(raft, &message->to);
    if (other == NULL) return;
    if (message->type != MESSAGE_APPEND_RESPONSE) message->known = other->claim;
    vouched = &raft->vouched[other - raft->others];
    if (!life_equal(&vouched->life, &raft->life)) message->vouched = *vouched;
}

bool raft_get_claim(const struct raft *raft, const struct raft_server *server, struct raft_claim *ret_claim, bool *ret_is_refused)
{
    const struct raft_other *other = other_find(raft, server);

    if (other == NULL || other->claim.life.boot == 0) return false;
    *ret_claim = other->claim;
    *ret_is_refused = raft->is_refused[other - raft->others];
    return true;
}

/* Not only the life: what it said may have come here after this server told what it knew. */
static bool is_vouched(const struct raft_claim *known, const struct raft_claim *vouched)
{
    return known->life.boot == 0 || (life_equal(&known->life, &vouched->life) && !is_beyond(known, vouched));
}

/* What is to be known of a life is told at once: with this it is heeded from the next message on. */
static void tell_presence(struct raft *raft, const struct raft_server *server)
{
    struct peer *peer = peer_find(raft, server);

    if (is_any_voter(peer) && takes_part(raft)) peer_want(raft, peer, WANT_PRESENCE);
}

/* What the sender knows of this server. */
static void hear_of_self(struct raft *raft, const struct message *message, struct raft_other *other)
{
    struct raft_claim *vouched = &raft->vouched[other - raft->others], left;
    bool is_new = !life_equal(&message->known.life, &vouched->life);

    if (message->known.life.boot == 0) return;
    if (!is_mine(raft, &message->known, &left)) {
        set_back(raft);
        if (!RAFT_DEFECT(raft, LIVES_IGNORED)) return;
    }
    *vouched = left;
    if (is_new && !life_equal(&left.life, &raft->life)) tell_presence(raft, &message->from);
}

static void refuse(struct raft *raft, const struct message *message, struct raft_other *other)
{
    raft->refused++;
    raft->is_refused[other - raft->others] = true;
    answer_queue(raft, (struct answer){.to = message->from, .type = MESSAGE_PRESENCE, .flags = MESSAGE_QUIET}); /* tells what is known of it */
}

/* Another life than the one that is known has to vouch for that, so it is asked. Never taken from others: two copies would be heeded in turns. */
static void hear_of_another(struct raft *raft, const struct raft_other *told)
{
    struct peer *peer = peer_find(raft, &told->server);
    struct raft_other *other = other_find(raft, &told->server);

    if (!is_any_voter(peer)) return;
    if (other == NULL) other = other_new(raft, &told->server);
    if (other == NULL) return;
    if (other->claim.life.boot == 0) {
        other->claim.life = told->claim.life;
        raft->has_new_others = true;
        state_changed(raft);
    }
    if (life_equal(&other->claim.life, &told->claim.life)) {
        if (raise(&other->claim, &told->claim)) raft->claims_version++;
    } else if (!is_within(peer->asked_us, raft->now_us, raft->options.election_min_us / PRESENCE_PARTS)) {
        presence_ask(raft, peer);
    }
}

static void hear_of_others(struct raft *raft, const struct message *message)
{
    struct slice left = message->told_bytes;
    struct raft_other told;

    while (message_next_told(&left, &told))
        hear_of_another(raft, &told);
}

bool lives_heed(struct raft *raft, const struct message *message)
{
    struct raft_other *other;
    struct raft_claim *claim;

    if (raft->life.boot == 0) return true;
    other = other_find(raft, &message->from);
    if (other == NULL) other = other_new(raft, &message->from);
    if (other == NULL) return peer_find(raft, &message->from) == NULL; /* a stranger: nothing that it says counts */
    hear_of_self(raft, message, other);
    if (raft->damaged_until == RAFT_SET_BACK && !RAFT_DEFECT(raft, LIVES_IGNORED)) return false; /* it follows nobody either: nobody feeds it */
    claim = &other->claim;
    if (!life_equal(&claim->life, &message->claim.life)) {
        if (!is_vouched(claim, &message->vouched) && !RAFT_DEFECT(raft, LIVES_IGNORED)) {
            refuse(raft, message, other);
            return false;
        }
        *claim = (struct raft_claim){.life = message->claim.life};
        raft->has_new_others = true;
        state_changed(raft);
        tell_presence(raft, &message->from);
    }
    raft->is_refused[other - raft->others] = false;
    if (raise(claim, &message->claim) && is_any_voter(peer_find(raft, &message->from))) raft->claims_version++;
    hear_of_others(raft, message);
    return true;
}

/* ---- what a leader passes on ---- */

static void tell_of(struct raft *raft, const struct peer *peer, struct message *message, struct raft_other *ret_told)
{
    const struct raft_other *other = other_find(raft, &peer->server);

    if (other == NULL || other->claim.life.boot == 0 || other->claim.term == 0 || message->told_count == MESSAGE_TOLD_MAX) return;
    ret_told[message->told_count++] = *other;
}

/* With a heartbeat's pace, until it is acknowledged: claims rise with every entry. */
void lives_tell(struct raft *raft, struct peer *to, struct message *message, struct raft_other *ret_told)
{
    if (raft->life.boot == 0 || !is_any_voter(to) || to->told_claims.acked == raft->claims_version ||
        is_within(to->told_claims.sent_us, raft->now_us, raft->options.heartbeat_us))
        return;
    peers_each(peer, raft)
    {
        if (peer != to && is_any_voter(peer)) tell_of(raft, peer, message, ret_told);
    }
    message->told = ret_told;
    to->told_claims.sent = raft->claims_version;
    to->told_claims.sequence = message->sequence;
    to->told_claims.sent_us = raft->now_us;
}
