/* consensus/members.c - who is in the configuration in force, and what their majorities say. */
#include "replication/consensus/internal.h"

struct peer *peer_find(struct raft *raft, const struct raft_server *server)
{
    peers_each(peer, raft)
    {
        if (server_same(raft, &peer->server, server)) return peer;
    }
    return NULL;
}

bool is_sole_voter(const struct raft *raft)
{
    return raft->is_voter && raft->config.voter_count == 1 && raft->config.old_voter_count == 0;
}

bool servers_have(const struct raft *raft, const struct raft_server *servers, unsigned count, const struct raft_server *server)
{
    for (unsigned i = 0; i < count; i++) {
        if (server_same(raft, &servers[i], server)) return true;
    }
    return false;
}

/* Of configurations that may or may not be committed, the newest counts; but who voted in an earlier one may hold the entries that the newest
 * needs in order to be committed (Raft 4.2.2). After a restart nothing may be known to be committed, so the log is asked. */
static bool was_voter(const struct raft *raft)
{
    struct raft_config config;

    for (uint64_t index = raft->config_index; --index > raft->committed;) {
        if (log_at(&raft->log, index)->type != RAFT_ENTRY_CONFIG || raft_config_decode(log_at(&raft->log, index)->body, &config) != 0) continue;
        if (servers_have(raft, config.voters, config.voter_count, &raft->options.self) ||
            servers_have(raft, config.old_voters, config.old_voter_count, &raft->options.self))
            return true;
    }
    return false;
}

bool takes_part(const struct raft *raft)
{
    const struct raft_config *committed = &raft->committed_config;

    if (raft->is_voter || raft->is_old_voter) return true;
    if (RAFT_DEFECT(raft, REMOVED_DISRUPTS) && !is_member(raft)) return raft->committed_config.voter_count != 0;
    return raft->config_index > raft->committed &&
           (raft->was_voter || servers_have(raft, committed->voters, committed->voter_count, &raft->options.self) ||
            servers_have(raft, committed->old_voters, committed->old_voter_count, &raft->options.self));
}

enum list { LIST_VOTERS, LIST_OLD_VOTERS, LIST_LEARNERS };

static void member_note(struct raft *raft, const struct raft_server *server, enum list list)
{
    struct peer *peer;
    bool *is_voter = &raft->is_voter, *is_old_voter = &raft->is_old_voter, *is_learner = &raft->is_learner;

    if (!server_same(raft, server, &raft->options.self)) {
        peer = peer_find(raft, server);
        if (peer == NULL) {
            MESH_ASSERT(raft->peer_count < PEERS_MAX);
            peer = &raft->peers[raft->peer_count++];
            memset(peer, 0, sizeof(*peer));
            peer->server = *server;
            if (raft->role == RAFT_LEADER) peer_begin(raft, peer);
        }
        is_voter = &peer->is_voter;
        is_old_voter = &peer->is_old_voter;
        is_learner = &peer->is_learner;
    }
    *(list == LIST_VOTERS ? is_voter : list == LIST_OLD_VOTERS ? is_old_voter : is_learner) = true;
}

/* Those who left make room before others come, so that PEERS_MAX holds. */
static void members_sweep(struct raft *raft)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < raft->peer_count; i++) {
        struct peer *peer = &raft->peers[i];
        const struct raft_config *config = &raft->config;
        if (!servers_have(raft, config->voters, config->voter_count, &peer->server) &&
            !servers_have(raft, config->old_voters, config->old_voter_count, &peer->server) &&
            !servers_have(raft, config->learners, config->learner_count, &peer->server))
            continue;
        peer->is_voter = peer->is_old_voter = peer->is_learner = false;
        if (kept != i) raft->peers[kept] = *peer;
        kept++;
    }
    raft->peer_count = kept;
}

void members_refresh(struct raft *raft)
{
    bool took_part = raft->is_voter || raft->is_old_voter;

    members_sweep(raft);
    raft->is_voter = raft->is_old_voter = raft->is_learner = false;
    for (unsigned i = 0; i < raft->config.voter_count; i++)
        member_note(raft, &raft->config.voters[i], LIST_VOTERS);
    for (unsigned i = 0; i < raft->config.old_voter_count; i++)
        member_note(raft, &raft->config.old_voters[i], LIST_OLD_VOTERS);
    for (unsigned i = 0; i < raft->config.learner_count; i++)
        member_note(raft, &raft->config.learners[i], LIST_LEARNERS);
    raft->peers_wanting = 0;
    peers_each(peer, raft)
    {
        if (peer->wants != 0) peer_want(raft, peer, 0);
    }
    raft->was_voter = !raft->is_voter && !raft->is_old_voter && raft->config_index > raft->committed + 1 && was_voter(raft);
    if (!took_part && (raft->is_voter || raft->is_old_voter)) {
        raft->presence_due_us = raft->now_us;
        election_timer_reset(raft);
    }
}

bool has_majority(const struct raft *raft, bool self, peer_predicate *has)
{
    unsigned voters = self && raft->is_voter, old_voters = self && raft->is_old_voter;

    for (const struct peer *peer = raft->peers; peer < raft->peers + raft->peer_count; peer++) {
        if ((!peer->is_voter && !peer->is_old_voter) || !has(raft, peer)) continue;
        voters += peer->is_voter;
        old_voters += peer->is_old_voter;
    }
    return voters > raft->config.voter_count / 2u &&
           (raft->config.old_voter_count == 0 || old_voters > raft->config.old_voter_count / 2u);
}

/* The needed-th largest of count values, which are put in order; 0: there are not as many. */
static uint64_t nth_largest(uint64_t *values, unsigned count, unsigned needed)
{
    for (unsigned i = 1; i < count; i++) {
        uint64_t value = values[i];
        unsigned k = i;
        for (; k > 0 && values[k - 1] < value; k--)
            values[k] = values[k - 1];
        values[k] = value;
    }
    return count < needed ? 0 : values[needed - 1];
}

uint64_t majority_value(const struct raft *raft, uint64_t self, peer_value *value)
{
    uint64_t voters[PEERS_MAX + 1], old_voters[PEERS_MAX + 1], least;
    unsigned voter_count = 0, old_voter_count = 0;

    if (raft->config.voter_count == 0) return 0;
    if (raft->is_voter) voters[voter_count++] = self;
    if (raft->is_old_voter) old_voters[old_voter_count++] = self;
    for (const struct peer *peer = raft->peers; peer < raft->peers + raft->peer_count; peer++) {
        uint64_t v = value(raft, peer);
        if (peer->is_voter || (RAFT_DEFECT(raft, LEARNERS_COUNTED) && peer->is_learner)) voters[voter_count++] = v;
        if (peer->is_old_voter) old_voters[old_voter_count++] = v;
    }
    least = nth_largest(voters, voter_count, raft->config.voter_count / 2u + 1);
    if (raft->config.old_voter_count != 0) {
        uint64_t old = nth_largest(old_voters, old_voter_count, raft->config.old_voter_count / 2u + 1);
        if (old < least) least = old;
    }
    return least;
}

/* The CONFIG entry at index becomes the one in force: a server follows the newest in its log, committed or not (Raft 4.1). */
static void config_take(struct raft *raft, uint64_t index)
{
    int err = raft_config_decode(log_at(&raft->log, index)->body, &raft->config);

    MESH_ASSERT(err == 0); /* looked at before it entered the log */
    raft->config_index = index;
}

void config_appended(struct raft *raft, uint64_t index)
{
    if (log_at(&raft->log, index)->type != RAFT_ENTRY_CONFIG) return;
    config_take(raft, index);
    members_refresh(raft);
}

void config_truncated(struct raft *raft)
{
    uint64_t index = last_index(raft);

    if (raft->config_index <= index) return;
    while (index > raft->committed && log_at(&raft->log, index)->type != RAFT_ENTRY_CONFIG)
        index--;
    if (index > raft->committed) {
        config_take(raft, index);
    } else {
        raft->config = raft->committed_config;
        raft->config_index = raft->committed_config_index;
    }
    members_refresh(raft);
}

void config_committed(struct raft *raft, uint64_t from, uint64_t until)
{
    int err;

    if (raft->committed_config_index == raft->config_index || raft->config_index <= from) return;
    for (uint64_t index = until; index > from; index--) {
        if (log_at(&raft->log, index)->type != RAFT_ENTRY_CONFIG) continue;
        err = raft_config_decode(log_at(&raft->log, index)->body, &raft->committed_config);
        MESH_ASSERT(err == 0);
        raft->committed_config_index = index;
        return;
    }
}

void config_reset(struct raft *raft, const struct raft_config *config, uint64_t index)
{
    raft->config = raft->committed_config = *config;
    raft->config_index = raft->committed_config_index = index;
    for (uint64_t i = last_index(raft); i > index; i--) {
        if (log_at(&raft->log, i)->type != RAFT_ENTRY_CONFIG) continue;
        config_take(raft, i);
        break;
    }
    members_refresh(raft);
}
