/* consensus/replicate.c - the leader's side of the log: what each other server has, and what to send it next.
 *
 * PROBE      one message at a time finds where the logs part; a silent server costs one empty message per heartbeat
 * REPLICATE  entries are sent ahead, up to inflight_max messages; acknowledged when they are durable there
 * SNAPSHOT   what it needs next is gone from the log (snapshot_send.c)
 *
 * Heartbeats carry what comes before the next entry, so a server that lost its log is found and repaired without a write. They are
 * seldom while a server has all and knows it, or does not answer at all: whatever else is said to it, and answered, is as good as one. */
#include "replication/consensus/internal.h"

void peer_turn(struct raft *raft, struct peer *peer, enum peer_state state, uint64_t next)
{
    peer->state = state;
    peer->next = next;
    peer->turned_sequence = raft->sequence;
    peer->is_probing = false;
    peer->inflight_count = 0;
    peer->wants &= (uint8_t)~WANT_SNAPSHOT_READ;
}

static void round_begin(struct raft *raft, struct peer *peer)
{
    peer->round_target = last_index(raft);
    peer->round_started_us = raft->now_us;
}

void peer_begin(struct raft *raft, struct peer *peer)
{
    peer->match = 0;
    peer->answered_us = raft->now_us; /* a new leader gives all of them time */
    peer->spoken_us = raft->now_us;
    peer->is_unconnected = false;
    peer->acked_sequence = peer->match_sequence = 0;
    peer->told_committed = 0;
    memset(&peer->told_claims, 0, sizeof(peer->told_claims));
    peer->is_damaged = peer->is_round_short = false;
    peer_turn(raft, peer, PEER_PROBE, last_index(raft) + 1);
    round_begin(raft, peer);
    peer_want(raft, peer, WANT_ENTRIES);
}

void leader_start(struct raft *raft)
{
    raft->role = RAFT_LEADER;
    raft->leader = raft->options.self;
    raft->sequence = 0;
    raft->uncommitted_bytes = 0;
    raft->transfer.is_on = false;
    raft->noop_index = last_index(raft) + 1;
    peers_each(peer, raft) peer_begin(raft, peer);
    if (log_append(&raft->log, raft->term, RAFT_ENTRY_NOOP, (struct slice){NULL, 0}) != 0) {
        step_down(raft); /* out of memory: somebody else */
        return;
    }
    raft->verified = last_index(raft);
    commit_count(raft);
}

void leader_wake_peers(struct raft *raft, unsigned wants)
{
    peers_each(peer, raft) peer_want(raft, peer, wants);
}

void leader_appended(struct raft *raft)
{
    raft->verified = last_index(raft);
    leader_wake_peers(raft, WANT_ENTRIES);
}

/* Whether there is nothing that a heartbeat could further. */
static bool is_settled(const struct raft *raft, const struct peer *peer)
{
    return peer->state == PEER_REPLICATE && peer->match == last_index(raft) && peer->told_committed == raft->committed &&
           raft->reads_ready == raft->read_count &&
           !(raft->transfer.is_on && server_same(raft, &raft->transfer.to, &peer->server));
}

/* A quarter of the time after which it would be missed. */
static uint64_t idle_heartbeat_us(const struct raft *raft)
{
    uint32_t quarter_us = raft->options.election_min_us / 4;

    return quarter_us > raft->options.heartbeat_us ? quarter_us : raft->options.heartbeat_us;
}

static uint64_t heartbeat_due_us(const struct raft *raft, const struct peer *peer)
{
    bool is_urgent = !is_settled(raft, peer) && is_within(peer->answered_us, raft->now_us, raft->options.election_min_us);

    return peer->spoken_us + (is_urgent ? raft->options.heartbeat_us : idle_heartbeat_us(raft));
}

uint64_t leader_due_us(const struct raft *raft)
{
    uint64_t due = RAFT_NEVER; /* alone, it has nobody to tell */

    for (const struct peer *peer = raft->peers; peer < raft->peers + raft->peer_count; peer++) {
        uint64_t peer_due = heartbeat_due_us(raft, peer);
        if (peer_due < due) due = peer_due;
    }
    return due;
}

/* All that are due, or will be soon: one turn for several. */
static void heartbeats(struct raft *raft)
{
    uint64_t until_us = raft->now_us + raft->options.heartbeat_us / 2;

    peers_each(peer, raft)
    {
        if (heartbeat_due_us(raft, peer) > until_us) continue;
        peer->spoken_us = raft->now_us;
        peer->is_probing = false;
        peer_want(raft, peer, WANT_HEARTBEAT);
        snapshot_tick(raft, peer);
        transfer_again(raft, peer);
        transfer_check(raft, peer);
    }
}

void leader_tick(struct raft *raft)
{
    if (raft->role != RAFT_LEADER) return;
    if (!has_check_quorum(raft) && !RAFT_DEFECT(raft, NO_CHECK_QUORUM)) {
        step_down(raft);
        return;
    }
    transfer_tick(raft);
    if (raft->now_us >= leader_due_us(raft)) heartbeats(raft);
}

/* ---- sending ---- */

void message_begin(const struct raft *raft, const struct peer *peer, enum message_type type, struct message *ret_message)
{
    bytes_clear(ret_message, offsetof(struct message, config));
    ret_message->type = type;
    ret_message->to = peer->server;
    ret_message->from = raft->options.self;
    ret_message->term = raft->term;
    lives_fill(raft, ret_message);
}

/* How many entries from `from` on go into one message: at least one, however large. */
static uint32_t entries_fit(const struct raft *raft, uint64_t from)
{
    uint64_t last = last_index(raft), index = from;
    size_t bytes = 0;

    for (; index <= last; index++) {
        bytes += message_entry_size(log_at(&raft->log, index));
        if (bytes > raft->options.append_bytes_max && index > from) break;
    }
    return (uint32_t)(index - from);
}

/* An append with `count` entries behind `previous` (0: fits everywhere). False: no memory, as if it were lost. */
static bool append_encode(struct raft *raft, struct peer *peer, uint64_t previous, uint32_t count, uint32_t flags)
{
    struct raft_other told[MESSAGE_TOLD_MAX];
    struct message message;
    int err;

    if (raft->message.capacity > 2 * (size_t)raft->options.append_bytes_max + 65536) buffer_deinit(&raft->message);
    buffer_clear(&raft->message);
    message_begin(raft, peer, MESSAGE_APPEND, &message);
    message.flags = flags;
    if ((flags & MESSAGE_QUIET) != 0) message.known = (struct raft_claim){.term = 0}; /* heartbeats say it often enough */
    message.sequence = ++raft->sequence;
    lives_tell(raft, peer, &message, told);
    if (previous != 0) message.position = log_position(&raft->log, previous);
    message.committed = raft->committed;
    message.entry_count = count;
    if (count != 0) memcpy(message.chain, log_chain(&raft->log, previous + count), RAFT_CHAIN_SIZE);
    err = message_encode(&message, &raft->message);
    for (uint32_t i = 1; i <= count && err == 0; i++)
        err = message_put_entry(log_at(&raft->log, previous + i), &raft->message);
    if (err != 0) return false;
    peer->told_committed = raft->committed;
    if (count != 0 || (flags & MESSAGE_QUIET) == 0) peer->spoken_us = raft->now_us;
    return true;
}

static bool probe_make(struct raft *raft, struct peer *peer)
{
    bool is_first = !peer->is_probing && (peer->wants & WANT_ENTRIES) != 0 && (peer->wants & WANT_HEARTBEAT) == 0;
    bool is_due = is_first || (peer->wants & WANT_HEARTBEAT) != 0;

    peer->wants &= (uint8_t) ~(WANT_ENTRIES | WANT_HEARTBEAT | WANT_COMMIT);
    if (!is_due) return false;
    peer->is_probing = true;
    return append_encode(raft, peer, peer->next - 1, is_first ? entries_fit(raft, peer->next) : 0, 0);
}

static bool replicate_make(struct raft *raft, struct peer *peer)
{
    uint64_t previous = peer->next - 1;

    if ((peer->wants & WANT_ENTRIES) != 0) {
        if (peer->next <= last_index(raft) && peer->inflight_count < raft->options.inflight_max) {
            uint32_t count = entries_fit(raft, peer->next);
            if (!append_encode(raft, peer, previous, count, MESSAGE_QUIET)) {
                peer->wants &= (uint8_t)~WANT_ENTRIES;
                return false;
            }
            peer->next += count;
            peer->inflight[(peer->inflight_head + peer->inflight_count++) % INFLIGHT_MAX] = peer->next - 1;
            peer->wants &= (uint8_t)~WANT_COMMIT;
            return true;
        }
        peer->wants &= (uint8_t)~WANT_ENTRIES;
    }
    if ((peer->wants & WANT_HEARTBEAT) != 0) {
        peer->wants &= (uint8_t) ~(WANT_HEARTBEAT | WANT_COMMIT);
        return append_encode(raft, peer, RAFT_DEFECT(raft, NO_REPAIR_BY_HEARTBEAT) ? 0 : previous, 0, 0);
    }
    peer->wants &= (uint8_t)~WANT_COMMIT;
    return peer->told_committed < raft->committed && append_encode(raft, peer, previous, 0, MESSAGE_QUIET);
}

bool append_make(struct raft *raft, struct peer *peer)
{
    bool is_heartbeat = (peer->wants & WANT_HEARTBEAT) != 0;

    if (peer->state != PEER_SNAPSHOT && peer->next - 1 < raft->log.base.index) snapshot_begin(raft, peer);
    switch (peer->state) {
    case PEER_PROBE: return probe_make(raft, peer);
    case PEER_REPLICATE: return replicate_make(raft, peer);
    case PEER_SNAPSHOT: break;
    }
    peer->wants &= (uint8_t) ~(WANT_ENTRIES | WANT_HEARTBEAT | WANT_COMMIT);
    return is_heartbeat && append_encode(raft, peer, 0, 0, 0);
}

/* ---- answers ---- */

static void inflight_acknowledge(struct peer *peer, uint64_t match)
{
    while (peer->inflight_count != 0 && peer->inflight[peer->inflight_head] <= match) {
        peer->inflight_head = (uint16_t)((peer->inflight_head + 1) % INFLIGHT_MAX);
        peer->inflight_count--;
    }
}

void peer_matched(struct raft *raft, struct peer *peer, uint64_t match)
{
    if (match > peer->match) {
        peer->match = match;
        peer->match_sequence = raft->sequence;
    }
    inflight_acknowledge(peer, match);
    if (peer->next <= peer->match) peer->next = peer->match + 1;
    if (peer->match >= peer->round_target) {
        peer->is_round_short = raft->now_us - peer->round_started_us < raft->options.election_min_us;
        round_begin(raft, peer);
    }
    transfer_check(raft, peer);
}

bool peer_is_caught_up(const struct raft *raft, const struct peer *peer)
{
    return peer->state == PEER_REPLICATE && peer->is_round_short && !peer->is_damaged &&
           is_within(peer->answered_us, raft->now_us, raft->options.election_min_us) &&
           (peer->match >= peer->round_target ||
            raft->now_us - peer->round_started_us < raft->options.election_min_us);
}

static void on_accepted(struct raft *raft, const struct message *message, struct peer *peer)
{
    bool is_current = message->sequence > peer->turned_sequence;

    if (message->match > last_index(raft) || message->hint_index > last_index(raft)) {
        raft->messages_dropped++; /* nobody has more than its leader sent */
        return;
    }
    peer_matched(raft, peer, message->match);
    if (peer->state == PEER_PROBE && is_current) {
        uint64_t until = message->hint_index > peer->match ? message->hint_index : peer->match;
        peer_turn(raft, peer, PEER_REPLICATE, until + 1);
    } else if (peer->state == PEER_SNAPSHOT && peer->match >= raft->log.base.index && peer->match != 0) {
        peer_turn(raft, peer, PEER_REPLICATE, peer->match + 1);
    }
    if (peer->next <= last_index(raft)) peer_want(raft, peer, WANT_ENTRIES);
    if (peer->told_committed < raft->committed) peer_want(raft, peer, WANT_COMMIT);
}

static void on_rejected(struct raft *raft, const struct message *message, struct peer *peer)
{
    uint64_t previous = message->position.index, hint = message->hint_index;

    if (previous > last_index(raft)) {
        raft->messages_dropped++; /* nothing was sent that begins behind the end of a log that only grows */
        return;
    }
    if (message->sequence <= peer->turned_sequence || peer->state == PEER_SNAPSHOT) return; /* about an older message */
    if (previous <= peer->match) {
        if (message->sequence <= peer->match_sequence) return;
        raft->losses++; /* the message was sent after it had acknowledged that: it has lost it */
        peer->match = 0;
    }
    if (hint >= previous) hint = previous == 0 ? 0 : previous - 1;
    if (hint >= raft->log.base.index && hint <= last_index(raft)) {
        hint = log_find_term(&raft->log, hint, message->hint_term);
    }
    if (hint < peer->match) hint = peer->match;
    peer_turn(raft, peer, PEER_PROBE, hint + 1);
    if ((message->flags & MESSAGE_CORRUPT) != 0) {
        raft->corruptions++;
        peer->is_probing = true; /* it will not be better at once: with the next heartbeat */
    } else {
        peer_want(raft, peer, WANT_ENTRIES);
    }
}

void on_append_response(struct raft *raft, const struct message *message, struct peer *peer)
{
    if (message->term > raft->term) {
        become_follower(raft, message->term, NULL);
        return;
    }
    if (raft->role != RAFT_LEADER || message->term != raft->term || message->sequence > raft->sequence) return;
    peer->answered_us = raft->now_us;
    if (message->sequence > peer->acked_sequence) peer->acked_sequence = message->sequence;
    if (message->sequence == peer->told_claims.sequence) peer->told_claims.acked = peer->told_claims.sent;
    peer->is_damaged = (message->flags & MESSAGE_DAMAGED) != 0;
    if ((message->flags & MESSAGE_REJECTED) != 0) {
        on_rejected(raft, message, peer);
    } else {
        on_accepted(raft, message, peer);
    }
    commit_count(raft);
    reads_confirm(raft);
}
