/* What others ask of this disk. Single-decree Paxos, the acceptor: a promise binds against lower ballots, an acceptance is told to
 * whoever prepares a higher one. Answers leave when the disk has it (founding.c). */
#include "replication/founding/internal.h"

#define DEFER_US 2000000 /* another's proposal is given so long */

static void answer(struct founding *founding, const struct founding_ballot *ballot)
{
    const struct founding_peer *peer = founding_find_peer(founding, &ballot->proposer);

    if (peer != NULL) founding_send(founding, FOUNDING_TELL, &peer->address, &peer->server.broker);
}

/* False: it is not to be had now; the proposer is told why (each message says so). */
static bool is_open_to(struct founding *founding, uint64_t now_us, const struct founding_ballot *ballot)
{
    if (founding->wanted.phase == FOUNDING_MEMBER || founding->expect == 0) return false;
    if (ballot->round > founding->round_max) founding->round_max = ballot->round;
    return founding_refusal(founding, now_us) == FOUNDING_WILLING;
}

static void defer(struct founding *founding, uint64_t now_us)
{
    if (founding->defer_us < now_us + DEFER_US) founding->defer_us = now_us + DEFER_US;
}

static bool is_bound(const struct founding *founding, const struct founding_ballot *ballot)
{
    if (FOUNDING_DEFECT(founding, TWO_PROMISES)) return false;
    return founding_ballot_compare(ballot, &founding->wanted.promised) < 0;
}

static void promise(struct founding *founding, const struct founding_ballot *ballot)
{
    struct founding_state *wanted = &founding->wanted;

    if (founding_ballot_compare(ballot, &wanted->promised) > 0) wanted->promised = *ballot;
    wanted->phase = FOUNDING_PROMISED;
    wanted->expect = founding->expect;
    founding_change(founding);
}

void founding_on_prepare(struct founding *founding, uint64_t now_us, const struct founding_ballot *ballot)
{
    if (!is_open_to(founding, now_us, ballot) || founding_ballot_compare(ballot, &founding->wanted.promised) <= 0) {
        answer(founding, ballot);
        return;
    }
    defer(founding, now_us);
    promise(founding, ballot);
}

void founding_on_accept(struct founding *founding, uint64_t now_us, const struct founding_ballot *ballot, const struct founding_value *value)
{
    struct founding_state *wanted = &founding->wanted;

    if (!is_open_to(founding, now_us, ballot) || is_bound(founding, ballot) || founding_ballot_equal(ballot, &wanted->accepted)) {
        answer(founding, ballot);
        return;
    }
    defer(founding, now_us);
    wanted->accepted = *ballot;
    wanted->value = *value;
    promise(founding, ballot);
    if (FOUNDING_DEFECT(founding, TWO_PROMISES)) wanted->promised = *ballot;
}
