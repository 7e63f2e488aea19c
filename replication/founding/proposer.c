/* Proposals: when to make one, what it proposes, what has become of it. Single-decree Paxos, the proposer and the learner: whatever
 * value may be chosen already is the one that is proposed again, so whoever drives on completes what a dead one began. */
#include "replication/founding/internal.h"

#include "base/assert.h"

#include <stdlib.h>

#define RANK_US    1500000  /* each broker with a smaller uuid that is there gets so long */
#define SETTLE_US  500000   /* enough promises wait so long for the rest: more to choose founders from */
#define BACKOFF_US 1000000  /* after meeting a higher ballot, half of it by chance */

/* ---- counting: only what disks hold that are there now, and that forgot nothing ----
 *
 * What a disk once said stays true, but it may be gone, and its broker here with a new one: both would count. And whoever counts has heard of each
 * of those counted what the others know of it (rule 10): each has spoken since it could be judged. */

struct count {
    unsigned disks;
    uint64_t told_us, listed_us; /* the earliest, the latest */
};

static bool counts(const struct founding *founding, const struct founding_peer *peer, uint64_t now_us)
{
    if (!FOUNDING_DEFECT(founding, SET_BACK_VOTES) &&
        (peer->is_astray || peer->refusal == FOUNDING_REFUSES_SET_BACK || peer->heard.number > peer->stamps.number))
        return false;
    return peer->is_counted && peer->told_us != 0 && peer->told_us + founding->options.alive_us > now_us;
}

static void count_in(struct count *count, const struct founding_peer *peer)
{
    count->disks++;
    if (peer->told_us < count->told_us) count->told_us = peer->told_us;
    if (peer->listed_us > count->listed_us) count->listed_us = peer->listed_us;
}

static unsigned sum_of(const struct founding *founding, const struct count *count)
{
    (void)founding;
    return count->told_us >= count->listed_us || FOUNDING_DEFECT(founding, SET_BACK_VOTES) ? count->disks : 0;
}

static unsigned count_promises(const struct founding *founding, uint64_t now_us, const struct founding_ballot *ballot)
{
    struct count count = {founding_ballot_equal(&founding->stored.promised, ballot), UINT64_MAX, 0};

    for (size_t i = 0; i < founding->peer_count; i++) {
        const struct founding_peer *peer = &founding->peers[i];
        if (counts(founding, peer, now_us) && founding_ballot_equal(&peer->promised, ballot)) count_in(&count, peer);
    }
    return sum_of(founding, &count);
}

static unsigned count_acceptances(const struct founding *founding, uint64_t now_us, const struct founding_ballot *ballot)
{
    struct count count = {founding_ballot_equal(&founding->stored.accepted, ballot), UINT64_MAX, 0};

    for (size_t i = 0; i < founding->peer_count; i++) {
        const struct founding_peer *peer = &founding->peers[i];
        if (counts(founding, peer, now_us) && founding_ballot_equal(&peer->accepted, ballot)) count_in(&count, peer);
    }
    return sum_of(founding, &count);
}

/* A value that enough disks accepted in one ballot is chosen, whoever proposed it, and whoever counts. */
static bool learn(struct founding *founding, uint64_t now_us)
{
    const struct founding_state *stored = &founding->stored;

    if (stored->accepted.round != 0 && count_acceptances(founding, now_us, &stored->accepted) >= founding_needed(founding)) {
        founding_become_member(founding, &stored->value);
        return true;
    }
    for (size_t i = 0; i < founding->peer_count; i++) {
        const struct founding_peer *peer = &founding->peers[i];
        if (!counts(founding, peer, now_us) || peer->accepted.round == 0) continue;
        if (count_acceptances(founding, now_us, &peer->accepted) < founding_needed(founding)) continue;
        founding_become_member(founding, &peer->value);
        return true;
    }
    return false;
}

/* ---- what to propose ---- */

static int compare_servers(const void *a, const void *b)
{
    return founding_server_compare(a, b);
}

/* The first voters: those with the smallest uuids of all that have promised, as many as a mesh of that size has. */
static struct founding_value new_value(const struct founding *founding)
{
    const struct founding_ballot *ballot = &founding->drive.ballot;
    struct raft_server servers[FOUNDING_SERVERS_MAX] = {founding->options.self};
    struct founding_value value = {.cluster = founding->options.fresh_cluster};
    size_t count = 1;
    unsigned voters;

    for (size_t i = 0; i < founding->peer_count; i++) {
        const struct founding_peer *peer = &founding->peers[i];
        if (peer->is_counted && founding_ballot_equal(&peer->promised, ballot)) servers[count++] = peer->server;
    }
    qsort(servers, count, sizeof(servers[0]), compare_servers);
    voters = founding_voters((unsigned)count < founding->expect ? (unsigned)count : founding->expect);
    value.founder_count = (uint8_t)(voters < count ? voters : count);
    memcpy(value.founders, servers, value.founder_count * sizeof(servers[0]));
    return value;
}

/* Of what the promising disks have accepted, the value of the highest ballot; without any, a new one. */
static struct founding_value value_to_propose(const struct founding *founding)
{
    const struct founding_state *stored = &founding->stored;
    const struct founding_ballot *ballot = &founding->drive.ballot, *best = &stored->accepted;
    const struct founding_value *value = &stored->value;

    if (FOUNDING_DEFECT(founding, FIRST_ANSWER)) return new_value(founding);
    for (size_t i = 0; i < founding->peer_count; i++) {
        const struct founding_peer *peer = &founding->peers[i];
        if (!peer->is_counted || !founding_ballot_equal(&peer->promised, ballot)) continue;
        if (founding_ballot_compare(&peer->accepted, best) <= 0) continue;
        best = &peer->accepted;
        value = &peer->value;
    }
    return best->round != 0 ? *value : new_value(founding);
}

/* ---- a proposal on its way ---- */

static bool has_answered(const struct founding *founding, const struct founding_peer *peer)
{
    const struct founding_drive *drive = &founding->drive;

    return founding_ballot_equal(drive->stage == FOUNDING_PREPARING ? &peer->promised : &peer->accepted, &drive->ballot);
}

static void resend(struct founding *founding, uint64_t now_us)
{
    struct founding_drive *drive = &founding->drive;
    bool is_preparing = drive->stage == FOUNDING_PREPARING;
    const struct founding_state *stored = &founding->stored;

    if (!founding_ballot_equal(is_preparing ? &stored->promised : &stored->accepted, &drive->ballot)) return; /* not durable here yet */
    if (drive->resend_due_us > now_us) return;
    drive->resend_due_us = now_us + founding->options.resend_us;
    for (size_t i = 0; i < founding->peer_count; i++) {
        const struct founding_peer *peer = &founding->peers[i];
        if (!peer->is_counted || net_address_is_none(&peer->address) || has_answered(founding, peer)) continue;
        founding_send(founding, is_preparing ? FOUNDING_PREPARE : FOUNDING_ACCEPT, &peer->address, &peer->server.broker);
    }
}

static bool all_ready_have_promised(const struct founding *founding, uint64_t now_us)
{
    for (size_t i = 0; i < founding->peer_count; i++) {
        const struct founding_peer *peer = &founding->peers[i];
        if (founding_peer_is_ready(founding, peer, now_us) && !founding_ballot_equal(&peer->promised, &founding->drive.ballot)) return false;
    }
    return true;
}

static void propose_value(struct founding *founding, uint64_t now_us)
{
    struct founding_drive *drive = &founding->drive;

    if (count_promises(founding, now_us, &drive->ballot) < founding_needed(founding)) {
        drive->enough_us = 0; /* one more disk is known than a moment ago */
        return;
    }
    if (drive->enough_us == 0) drive->enough_us = now_us;
    if (!all_ready_have_promised(founding, now_us) && now_us < drive->enough_us + SETTLE_US) return;
    founding->wanted.value = value_to_propose(founding);
    founding->wanted.accepted = drive->ballot;
    drive->stage = FOUNDING_ACCEPTING;
    drive->resend_due_us = 0;
    founding_change(founding);
}

static bool is_overtaken(const struct founding *founding)
{
    const struct founding_ballot *ballot = &founding->drive.ballot;

    if (!founding_ballot_equal(&founding->wanted.promised, ballot)) return true;
    for (size_t i = 0; i < founding->peer_count; i++)
        if (founding_ballot_compare(&founding->peers[i].promised, ballot) > 0) return true;
    return false;
}

static unsigned rank(const struct founding *founding, uint64_t now_us)
{
    unsigned smaller = 0;

    for (size_t i = 0; i < founding->peer_count; i++) {
        const struct founding_peer *peer = &founding->peers[i];
        smaller += founding_peer_is_ready(founding, peer, now_us) && founding_server_compare(&peer->server, &founding->options.self) < 0;
    }
    return smaller;
}

static void drive_on(struct founding *founding, uint64_t now_us)
{
    if (is_overtaken(founding)) {
        uint64_t wait_us = BACKOFF_US / 2 + random_below(&founding->random, BACKOFF_US / 2);
        founding->drive.stage = FOUNDING_IDLE;
        founding->defer_us = now_us + wait_us * (1 + rank(founding, now_us));
        return;
    }
    if (founding->drive.stage == FOUNDING_PREPARING) propose_value(founding, now_us);
    resend(founding, now_us);
}

/* ---- whether to propose ---- */

/* Its own promise and its own acceptance are a quorum: the disk takes both, and what follows from them, as one. */
static void decide_alone(struct founding *founding)
{
    const struct founding_value value = value_to_propose(founding);

    founding->drive.stage = FOUNDING_IDLE;
    founding_become_member(founding, &value);
}

static void begin(struct founding *founding, uint64_t now_us)
{
    struct founding_state *wanted = &founding->wanted;

    if (wanted->promised.round > founding->round_max) founding->round_max = wanted->promised.round;
    if (founding->round_max >= FOUNDING_ROUND_MAX) return;
    founding->drive = (struct founding_drive){.stage = FOUNDING_PREPARING};
    founding->drive.ballot = (struct founding_ballot){++founding->round_max, founding->options.self};
    founding->drive.resend_due_us = now_us;
    founding->proposals++;
    wanted->promised = founding->drive.ballot;
    wanted->phase = FOUNDING_PROMISED;
    wanted->expect = founding->expect;
    founding_change(founding);
    if (founding_needed(founding) == 1) decide_alone(founding);
}

/* When this broker may propose, if nothing changes. The one with the smallest uuid goes first. */
static uint64_t propose_due_us(const struct founding *founding, uint64_t now_us)
{
    bool are_all_here = founding->expect > 1 && founding_present(founding, now_us) >= founding->expect;
    bool is_at_once = are_all_here || founding->options.mode == FOUNDING_SERVE;
    uint64_t due_us = founding->quorum_us + (is_at_once ? 0 : founding->options.patience_us);

    due_us += (uint64_t)rank(founding, now_us) * RANK_US;
    return due_us > founding->defer_us ? due_us : founding->defer_us;
}

static bool may_drive(const struct founding *founding)
{
    if (founding->options.mode == FOUNDING_SERVE) return true;
    if (FOUNDING_DEFECT(founding, LEADER_ONLY) && founding->stored.promised.round != 0 &&
        !raft_server_equal(&founding->stored.promised.proposer, &founding->options.self))
        return false;
    return founding->options.expect != 0;
}

static bool founds_by_timeout(struct founding *founding, uint64_t now_us)
{
    struct founding_value value = {founding->options.fresh_cluster, 1, {founding->options.self}};

    if (!FOUNDING_DEFECT(founding, TIMEOUT_FOUNDS) || now_us < founding->begun_us + 30000000) return false;
    founding_become_member(founding, &value);
    return true;
}

void founding_drive(struct founding *founding, uint64_t now_us)
{
    if (founding->wanted.phase == FOUNDING_MEMBER || founding->expect == 0) return;
    if (founding->wanted.is_set_back) { /* what it holds may be less than what it said */
        founding->drive.stage = FOUNDING_IDLE;
        return;
    }
    if (learn(founding, now_us)) return;
    if (founding_refusal(founding, now_us) != FOUNDING_WILLING) {
        founding->drive.stage = FOUNDING_IDLE;
        founding->quorum_us = 0;
        return;
    }
    if (founding->drive.stage != FOUNDING_IDLE) {
        drive_on(founding, now_us);
        learn(founding, now_us);
        return;
    }
    if (founding_is_short(founding, now_us)) {
        founding->quorum_us = 0;
        founds_by_timeout(founding, now_us);
        return;
    }
    if (founding->quorum_us == 0) founding->quorum_us = now_us;
    if (may_drive(founding) && now_us >= propose_due_us(founding, now_us)) begin(founding, now_us);
}
