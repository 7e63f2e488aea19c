/* consensus/raft.c - beginning and end of a server, events, and what it says of itself. */
#include "replication/consensus/internal.h"

#include <stdlib.h>

void raft_options_init(struct raft_options *options)
{
    memset(options, 0, sizeof(*options));
    options->heartbeat_us = 100 * 1000;
    options->election_min_us = 1000 * 1000;
    options->election_max_us = 2000 * 1000;
    options->append_bytes_max = 256 << 10;
    options->inflight_max = 16;
    options->snapshot_chunk_bytes = 256 << 10;
    options->retained_bytes_max = 4 << 20;
}

static bool options_are_sound(const struct raft_options *options)
{
    return !server_is_zero(&options->self) && options->chain != NULL && options->heartbeat_us != 0 &&
           options->election_min_us > options->heartbeat_us && options->election_max_us >= options->election_min_us &&
           options->append_bytes_max != 0 && options->append_bytes_max <= RAFT_BODY_SIZE_MAX &&
           options->inflight_max != 0 && options->inflight_max <= INFLIGHT_MAX && options->snapshot_chunk_bytes != 0 &&
           options->snapshot_chunk_bytes <= RAFT_BODY_SIZE_MAX;
}

static bool recovered_is_sound(const struct raft_recovered *recovered)
{
    bool has_snapshot = recovered->snapshot.index != 0;

    return raft_config_is_sound(&recovered->snapshot_config) &&
           has_snapshot == (recovered->snapshot_config.voter_count != 0) && has_snapshot == (recovered->snapshot.term != 0);
}

/* The entries as the disk has them: without gaps, and each with the chain that it is to have. */
static int entries_load(struct raft *raft, const struct raft_recovered *recovered)
{
    struct raft_config config;

    log_reset(&raft->log, &recovered->snapshot);
    for (size_t i = 0; i < recovered->entry_count; i++) {
        const struct raft_entry *entry = &recovered->entries[i];
        uint64_t last = last_index(raft);
        int err;
        if (entry->index != last + 1 || entry->term < log_term(&raft->log, last) || entry->term == 0 ||
            entry->type < RAFT_ENTRY_NOOP || entry->type > RAFT_ENTRY_COMMAND ||
            (entry->type == RAFT_ENTRY_CONFIG &&
             (raft_config_decode(entry->body, &config) != 0 || config.voter_count == 0)))
            return MESH_ECORRUPT;
        err = log_append(&raft->log, entry->term, entry->type, entry->body);
        if (err != 0) return err;
        if (memcmp(log_chain(&raft->log, last + 1), entry->chain, RAFT_CHAIN_SIZE) != 0) return MESH_ECORRUPT;
    }
    return 0;
}

static void recover(struct raft *raft, const struct raft_recovered *recovered)
{
    uint64_t last = last_index(raft), last_term = log_term(&raft->log, last);

    raft->term = recovered->term;
    raft->voted_for = recovered->voted_for;
    if (last_term > raft->term) { /* an entry was stored, and the term that came with it was not: nothing was said in it */
        raft->term = last_term;
        memset(&raft->voted_for, 0, sizeof(raft->voted_for));
    }
    raft->snapshot = recovered->snapshot;
    raft->snapshot_config = recovered->snapshot_config;
    raft->entries_stored = raft->durable = last;
    raft->applied = raft->committed = recovered->snapshot.index;
    config_reset(raft, &recovered->snapshot_config, recovered->snapshot.index);
    commit_to(raft, recovered->committed < last ? recovered->committed : last);
    raft->damaged_until = recovered->damaged_until;
    raft->damage_term = raft->term;
    lives_recover(raft, recovered);
    if (raft->damaged_until != 0) state_changed(raft); /* the mark is the first that is stored */
}

int raft_new(const struct raft_options *options, const struct raft_recovered *recovered, uint64_t now_us, struct raft **ret_raft)
{
    struct raft *raft;
    int err;

    if (!options_are_sound(options)) return MESH_EINVAL;
    if (!recovered_is_sound(recovered)) return MESH_ECORRUPT;
    raft = calloc(1, sizeof(*raft));
    if (raft == NULL) return MESH_ENOMEM;
    raft->options = *options;
    raft->now_us = now_us == 0 ? 1 : now_us; /* 0 stands for never */
    random_init(&raft->random, options->seed);
    log_init(&raft->log, options->chain);
    err = entries_load(raft, recovered);
    if (err != 0) {
        raft_free(raft);
        return err;
    }
    recover(raft, recovered);
    election_timer_reset(raft);
    raft->presence_due_us = raft->now_us;
    *ret_raft = raft;
    return 0;
}

void raft_free(struct raft *raft)
{
    if (raft == NULL) return;
    log_deinit(&raft->log);
    buffer_deinit(&raft->message);
    buffer_deinit(&raft->snapshot_message);
    buffer_deinit(&raft->chunk);
    free(raft);
}

int raft_bootstrap(struct raft *raft, uint64_t now_us, const struct raft_config *config, struct slice first)
{
    struct buffer body = BUFFER_INIT;
    int err;

    if (now_us > raft->now_us) raft->now_us = now_us;
    if (last_index(raft) != 0 || raft->incoming.is_installing) return MESH_EEXISTS;
    if (!raft_config_is_sound(config) || config->voter_count == 0 || config->old_voter_count != 0 ||
        first.size > RAFT_BODY_SIZE_MAX || raft->has_failed)
        return MESH_EINVAL;
    err = raft_config_encode(&body, config);
    if (err == 0) err = log_append(&raft->log, 1, RAFT_ENTRY_CONFIG, buffer_slice(&body));
    buffer_deinit(&body);
    if (err == 0 && first.size != 0) err = log_append(&raft->log, 1, RAFT_ENTRY_COMMAND, first);
    if (err != 0) {
        log_truncate(&raft->log, 0);
        return err;
    }
    if (raft->term < 1) become_follower(raft, 1, NULL);
    config_appended(raft, 1);
    election_timer_reset(raft);
    return 0;
}

/* ---- events ---- */

void raft_tick(struct raft *raft, uint64_t now_us)
{
    if (now_us > raft->now_us) raft->now_us = now_us;
    if (raft->has_failed) return;
    presence_tick(raft);
    leader_tick(raft);
    campaign_tick(raft);
    change_tick(raft);
}

static bool has_voting_peers(const struct raft *raft)
{
    return raft->config.voter_count + raft->config.old_voter_count > (raft->is_voter ? 1 : 0) + (raft->is_old_voter ? 1 : 0);
}

uint64_t raft_due_us(const struct raft *raft)
{
    bool is_voter = takes_part(raft);
    uint64_t due = RAFT_NEVER;

    if (raft->has_failed) return RAFT_NEVER;
    if (raft->role == RAFT_LEADER) {
        due = leader_due_us(raft);
        if (raft->transfer.is_on && raft->transfer.until_us < due) due = raft->transfer.until_us;
    } else if (is_voter) {
        due = raft->election_due_us;
    }
    if (is_voter && has_voting_peers(raft) && presence_due_us(raft) < due) due = presence_due_us(raft);
    return due;
}

static void dispatch(struct raft *raft, const struct message *message, struct peer *peer)
{
    bool needs_member = message->type != MESSAGE_VOTE_REQUEST && message->type != MESSAGE_APPEND &&
                        message->type != MESSAGE_SNAPSHOT && message->type != MESSAGE_PRESENCE &&
                        message->type != MESSAGE_TIMEOUT_NOW;

    if (peer == NULL && needs_member) {
        raft->messages_dropped++;
        return;
    }
    if (peer != NULL) peer->heard_us = raft->now_us;
    switch (message->type) {
    case MESSAGE_VOTE_REQUEST: on_vote_request(raft, message, peer); break;
    case MESSAGE_VOTE_RESPONSE:
        peer->hears_me_us = raft->now_us;
        on_vote_response(raft, message, peer);
        break;
    case MESSAGE_APPEND: on_append(raft, message, peer); break;
    case MESSAGE_APPEND_RESPONSE:
        peer->hears_me_us = raft->now_us;
        on_append_response(raft, message, peer);
        break;
    case MESSAGE_SNAPSHOT: on_snapshot(raft, message, peer); break;
    case MESSAGE_SNAPSHOT_RESPONSE:
        peer->hears_me_us = raft->now_us;
        on_snapshot_response(raft, message, peer);
        break;
    case MESSAGE_TIMEOUT_NOW: on_timeout_now(raft, message); break;
    case MESSAGE_PRESENCE: on_presence(raft, message, peer); break;
    }
}

void raft_receive(struct raft *raft, uint64_t now_us, const struct raft_server *from, struct slice bytes)
{
    struct message message;

    if (now_us > raft->now_us) raft->now_us = now_us;
    if (raft->has_failed) return;
    if (message_decode(bytes, &message) != 0 || !raft_server_equal(&message.from, from) ||
        !server_same(raft, &message.to, &raft->options.self) || server_same(raft, from, &raft->options.self)) {
        raft->messages_dropped++;
        return;
    }
    if (!lives_heed(raft, &message)) return;
    dispatch(raft, &message, peer_find(raft, from));
    change_tick(raft);
}

/* ---- what it knows ---- */

void raft_get_status(const struct raft *raft, struct raft_status *ret_status)
{
    bytes_clear(ret_status, sizeof(*ret_status));
    ret_status->role = raft->role;
    ret_status->term = raft->term;
    ret_status->leader = raft->leader;
    ret_status->leader_heard_us = raft->leader_heard_us;
    ret_status->voted_for = raft->voted_for;
    ret_status->last = log_position(&raft->log, last_index(raft));
    ret_status->committed = log_position(&raft->log, raft->committed);
    ret_status->snapshot = raft->snapshot;
    ret_status->durable_index = raft->durable;
    ret_status->damaged_until = raft->damaged_until;
    ret_status->is_voter = (raft->is_voter || raft->is_old_voter) && raft->damaged_until != RAFT_SET_BACK;
    ret_status->is_learner = raft->is_learner && raft->damaged_until != RAFT_SET_BACK;
    ret_status->is_quorum_connected = is_quorum_connected(raft);
    ret_status->has_failed = raft->has_failed;
    ret_status->is_leader_ready = is_leader_ready(raft);
    ret_status->is_changing = raft->config_index > raft->committed || raft->config.old_voter_count != 0;
    ret_status->messages_dropped = raft->messages_dropped;
    ret_status->elections = raft->elections;
    ret_status->corruptions = raft->corruptions;
    ret_status->losses = raft->losses;
    ret_status->refused = raft->refused;
}

struct raft_brief raft_get_brief(const struct raft *raft)
{
    bool is_mute = raft->damaged_until == RAFT_SET_BACK;

    return (struct raft_brief){
        .role = raft->role,
        .is_voter = (raft->is_voter || raft->is_old_voter) && !is_mute,
        .is_learner = raft->is_learner && !is_mute,
        .is_leader_ready = is_leader_ready(raft),
        .term = raft->term,
        .last = last_index(raft),
        .committed = raft->committed,
        .damaged_until = raft->damaged_until,
        .leader = raft->leader,
        .leader_heard_us = raft->leader_heard_us,
    };
}

const struct raft_config *raft_get_config(const struct raft *raft)
{
    return &raft->config;
}

const struct raft_config *raft_get_committed_config(const struct raft *raft)
{
    return &raft->committed_config;
}

bool raft_get_progress(const struct raft *raft, const struct raft_server *server, struct raft_progress *ret_progress)
{
    if (raft->role != RAFT_LEADER) return false;
    for (const struct peer *peer = raft->peers; peer < raft->peers + raft->peer_count; peer++) {
        if (!server_same(raft, &peer->server, server)) continue;
        ret_progress->match = peer->match;
        ret_progress->next = peer->next;
        ret_progress->heard_us = peer->heard_us;
        ret_progress->is_caught_up = peer_is_caught_up(raft, peer);
        ret_progress->needs_snapshot = peer->state == PEER_SNAPSHOT;
        return true;
    }
    return false;
}

bool raft_get_entry(const struct raft *raft, uint64_t index, struct raft_entry *ret_entry)
{
    if (index <= raft->log.base.index || index > last_index(raft)) return false;
    *ret_entry = *log_at(&raft->log, index);
    return true;
}

#ifdef MESH_TEST_SWITCHES
void raft_bring_back(struct raft *raft, enum raft_defect defect)
{
    raft->defects = defect == RAFT_DEFECT_NONE ? 0 : raft->defects | 1u << defect;
}
#endif
