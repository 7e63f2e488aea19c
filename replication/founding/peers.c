/* Who takes part: the disks that were heard of, where they are, when they were heard, what each told of itself. */
#include "replication/founding/internal.h"

struct founding_peer *founding_find_peer(struct founding *founding, const struct raft_server *server)
{
    for (size_t i = 0; i < founding->peer_count; i++)
        if (raft_server_equal(&founding->peers[i].server, server)) return &founding->peers[i];
    return NULL;
}

static struct founding_peer *find_or_add(struct founding *founding, const struct raft_server *server)
{
    struct founding_peer *peer = founding_find_peer(founding, server);

    if (peer != NULL) return peer;
    if (founding->peer_count == FOUNDING_PEERS_MAX) {
        founding->is_crowded = true;
        return NULL;
    }
    peer = &founding->peers[founding->peer_count++];
    *peer = (struct founding_peer){.server = *server};
    return peer;
}

/* It takes part with our expect: from now on the quorum reckons with it, also after a restart. */
static void count(struct founding *founding, struct founding_peer *peer, uint32_t expect)
{
    struct founding_state *wanted = &founding->wanted;

    if (peer->is_counted || founding->expect == 0 || expect != founding->expect) return;
    peer->is_counted = true;
    if (wanted->phase == FOUNDING_MEMBER || wanted->known_count == FOUNDING_PEERS_MAX) return;
    wanted->expect = founding->expect;
    wanted->known[wanted->known_count++] = peer->server;
    founding_change(founding);
}

void founding_remember_known(struct founding *founding)
{
    for (size_t i = 0; i < founding->stored.known_count; i++) {
        struct founding_peer *peer = find_or_add(founding, &founding->stored.known[i]);
        if (peer == NULL) continue;
        peer->expect = founding->stored.expect;
        peer->is_counted = true;
        peer->heard = founding->stored.heard[i];
    }
}

void founding_note_heard(struct founding *founding)
{
    struct founding_state *wanted = &founding->wanted;

    for (size_t i = 0; i < wanted->known_count; i++)
        wanted->heard[i] = founding_find_peer(founding, &wanted->known[i])->heard;
}

/* One process at one address: who was there before is gone, until it is heard again. */
static void replace_others_at(struct founding *founding, const struct founding_peer *here)
{
    if (net_address_is_none(&here->address)) return;
    for (size_t i = 0; i < founding->peer_count; i++) {
        struct founding_peer *other = &founding->peers[i];
        if (other == here || !net_address_equal(&other->address, &here->address)) continue;
        other->heard_us = other->told_us = 0;
        memset(&other->address, 0, sizeof(other->address));
    }
}

static struct net_address address_of(const struct founding_message *message, const struct net_address *source)
{
    struct net_address address = message->address;

    if (net_address_is_wildcard(&address)) memcpy(address.ip, source->ip, sizeof(address.ip));
    if (address.port == 0) address = *source;
    return address;
}

static bool is_older(const struct founding_peer *peer, const struct founding_message *message)
{
    int order = founding_ballot_compare(&message->promised, &peer->promised);

    return order < 0 || (order == 0 && founding_ballot_compare(&message->accepted, &peer->accepted) < 0);
}

/* ---- disks that were set back (stamps.h) ---- */

/* Others have heard it speak of a state that it does not remember. Which promises it forgot nobody can tell: it makes no more. */
static void judge_self(struct founding *founding, const struct founding_stamp *heard)
{
    if (founding->wanted.phase == FOUNDING_MEMBER || founding->wanted.is_set_back || FOUNDING_DEFECT(founding, SET_BACK_VOTES)) return;
    if (founding_stamps_judge(&founding->stored.stamps, heard) == FOUNDING_BOND_HELD) return;
    founding->wanted.is_set_back = true;
    founding_change(founding);
}

/* It was set back, or copied. The stamp that shows it is what others are told from now on, and the disk itself. */
static void give_up_on(struct founding_peer *peer, const struct founding_stamp *heard)
{
    if (peer->is_astray) return;
    peer->is_astray = true;
    peer->heard = *heard;
}

/* Somebody heard that stamp of it. What its own ones cannot judge yet, it has to hold when it speaks the next time. */
static void judge_peer(struct founding_peer *peer, const struct founding_stamp *heard)
{
    enum founding_bond bond = founding_stamps_judge(&peer->stamps, heard);
    bool is_pending = peer->heard.number > peer->stamps.number;

    if (bond == FOUNDING_BOND_BROKEN || (heard->number == peer->heard.number && heard->nonce != peer->heard.nonce)) give_up_on(peer, heard);
    if (bond != FOUNDING_BOND_AHEAD || heard->number == peer->heard.number || peer->is_astray) return;
    if (is_pending) peer->is_told_more = true; /* one of the two is kept */
    if (heard->number > peer->heard.number) peer->heard = *heard;
}

/* False: what it says is older than what is known of it. The message is late, or its disk was set back. */
static bool hear_stamps(struct founding_peer *peer, uint64_t now_us, const struct founding_stamps *stamps)
{
    enum founding_bond bond = founding_stamps_judge(stamps, &peer->heard);

    if (bond == FOUNDING_BOND_BROKEN) give_up_on(peer, &peer->heard);
    if (bond != FOUNDING_BOND_HELD || peer->is_astray) return false;
    if (peer->listed_us == 0 || peer->is_told_more) peer->listed_us = now_us;
    peer->is_told_more = false;
    peer->stamps = *stamps;
    peer->heard = founding_stamps_newest(stamps);
    return true;
}

static void hear_sender(struct founding *founding, uint64_t now_us, const struct net_address *source,
                        const struct founding_message *message)
{
    bool matters = message->expect != 0 || message->refusal == FOUNDING_REFUSES_MARKED;
    struct founding_peer *peer = matters ? find_or_add(founding, &message->sender) : founding_find_peer(founding, &message->sender);

    if (peer == NULL) return;
    peer->address = address_of(message, source);
    peer->expect = message->expect;
    peer->heard_us = now_us;
    peer->refusal = message->refusal;
    peer->marker = message->marker;
    replace_others_at(founding, peer);
    count(founding, peer, message->expect);
    if (!hear_stamps(peer, now_us, &message->stamps) && !FOUNDING_DEFECT(founding, SET_BACK_VOTES)) return;
    peer->told_us = now_us;
    if (message->promised.round > founding->round_max) founding->round_max = message->promised.round;
    if (message->phase == FOUNDING_MEMBER || is_older(peer, message)) return;
    peer->promised = message->promised;
    peer->accepted = message->accepted;
    peer->value = message->value;
}

static void hear_of(struct founding *founding, uint64_t now_us, const struct founding_mention *mention)
{
    uint64_t age_us = (uint64_t)mention->age_ms * 1000;
    uint64_t heard_us = mention->age_ms != FOUNDING_AGE_NEVER && age_us < now_us ? now_us - age_us : 0;
    struct founding_peer *peer;

    if (raft_server_equal(&mention->server, &founding->options.self)) judge_self(founding, &mention->stamp);
    if (mention->expect == 0 || raft_server_equal(&mention->server, &founding->options.self)) return;
    peer = find_or_add(founding, &mention->server);
    if (peer == NULL) return;
    judge_peer(peer, &mention->stamp);
    if (peer->expect == 0 && peer->told_us == 0) peer->expect = mention->expect;
    if (heard_us > peer->heard_us) {
        peer->heard_us = heard_us;
        peer->expect = mention->expect;
        if (!net_address_is_none(&mention->address)) peer->address = mention->address;
    }
    if (net_address_is_none(&peer->address) && peer->heard_us == 0) peer->address = mention->address;
    count(founding, peer, mention->expect);
}

void founding_hear(struct founding *founding, uint64_t now_us, const struct net_address *source, const struct founding_message *message)
{
    hear_sender(founding, now_us, source, message);
    for (size_t i = 0; i < message->mention_count; i++)
        hear_of(founding, now_us, &message->mentions[i]);
}

/* ---- asking ---- */

bool founding_peer_is_present(const struct founding *founding, const struct founding_peer *peer, uint64_t now_us)
{
    return peer->heard_us != 0 && peer->heard_us + founding->options.alive_us > now_us;
}

bool founding_peer_is_ready(const struct founding *founding, const struct founding_peer *peer, uint64_t now_us)
{
    return peer->is_counted && peer->expect == founding->expect && peer->refusal == FOUNDING_WILLING && peer->told_us != 0 &&
           peer->told_us + founding->options.alive_us > now_us;
}

unsigned founding_present(const struct founding *founding, uint64_t now_us)
{
    unsigned present = founding->expect != 0;

    for (size_t i = 0; i < founding->peer_count; i++)
        present += founding_peer_is_ready(founding, &founding->peers[i], now_us);
    return present;
}

unsigned founding_needed(const struct founding *founding)
{
    unsigned known = 1;

    for (size_t i = 0; i < founding->peer_count; i++)
        known += founding->peers[i].is_counted;
    if (FOUNDING_DEFECT(founding, WIPED_VOTES) && known > founding->expect) known = founding->expect;
    if (FOUNDING_DEFECT(founding, MINORITY)) return founding->expect / 2 > 1 ? founding->expect / 2 : 1;
    return founding_quorum(founding->expect, known);
}

static bool is_seed(const struct founding *founding, const struct net_address *address)
{
    for (size_t i = 0; i < founding->seed_count; i++)
        if (net_address_equal(&founding->seeds[i], address)) return true;
    return false;
}

void founding_ask_all(struct founding *founding)
{
    static const struct uuid anybody;

    for (size_t i = 0; i < founding->seed_count; i++)
        founding_send(founding, FOUNDING_ASK, &founding->seeds[i], &anybody);
    for (size_t i = 0; i < founding->peer_count; i++) {
        const struct founding_peer *peer = &founding->peers[i];
        if (net_address_is_none(&peer->address) || is_seed(founding, &peer->address)) continue;
        founding_send(founding, FOUNDING_ASK, &peer->address, &anybody); /* whoever is there now may know more */
    }
}

void founding_fill_mentions(const struct founding *founding, uint64_t now_us, struct founding_message *message)
{
    message->mention_count = 0;
    for (size_t i = 0; i < founding->peer_count; i++) {
        const struct founding_peer *peer = &founding->peers[i];
        struct founding_mention *mention = &message->mentions[message->mention_count];
        /* Who has taken part counts for ever, whatever it says now. */
        bool is_astray = peer->is_counted && peer->expect != founding->expect;
        uint64_t age_ms = peer->heard_us == 0 || is_astray ? FOUNDING_AGE_NEVER : (now_us - peer->heard_us) / 1000;
        if (peer->expect == 0 && !is_astray) continue;
        mention->server = peer->server;
        mention->stamp = peer->heard;
        mention->address = peer->address;
        mention->expect = is_astray ? founding->expect : peer->expect;
        mention->age_ms = age_ms < FOUNDING_AGE_NEVER ? (uint32_t)age_ms : FOUNDING_AGE_NEVER;
        message->mention_count++;
    }
}
