/* consensus/change.c - proposals, commands and configurations.
 *
 * One change at a time, and none before the leader's first entry is committed (the single-server bug of 2015). One voter more or less
 * is a change by itself; more go through a joint configuration, which whoever leads leaves as soon as it is committed. */
#include "replication/consensus/internal.h"

static int command_append(struct raft *raft, enum raft_entry_type type, struct slice body)
{
    int err = log_append(&raft->log, raft->term, type, body);

    if (err != 0) return err;
    if (type == RAFT_ENTRY_COMMAND) raft->uncommitted_bytes += LOG_ENTRY_COST + body.size;
    config_appended(raft, last_index(raft));
    leader_appended(raft);
    commit_count(raft); /* with UNDURABLE_ACKNOWLEDGED alone this can be more than before */
    return 0;
}

int raft_propose(struct raft *raft, uint64_t now_us, struct slice body, uint64_t *ret_index, uint64_t *ret_term)
{
    int err;

    if (now_us > raft->now_us) raft->now_us = now_us;
    if (raft->role != RAFT_LEADER) return MESH_ENOT_LEADER;
    if (body.size > RAFT_BODY_SIZE_MAX) return MESH_ETOOLARGE;
    if (!is_leader_ready(raft) || raft->transfer.is_on || raft->uncommitted_bytes > UNCOMMITTED_BYTES_MAX)
        return MESH_EAGAIN;
    err = command_append(raft, RAFT_ENTRY_COMMAND, body);
    if (err != 0) return err;
    *ret_index = last_index(raft);
    *ret_term = raft->term;
    return 0;
}

static int config_append(struct raft *raft, const struct raft_config *config)
{
    struct buffer body = BUFFER_INIT;
    int err = raft_config_encode(&body, config);

    if (err == 0) err = command_append(raft, RAFT_ENTRY_CONFIG, buffer_slice(&body));
    buffer_deinit(&body);
    return err;
}

/* Voters of `a` that are none of `b`. */
static unsigned voters_beyond(const struct raft *raft, const struct raft_config *a, const struct raft_config *b)
{
    unsigned count = 0;

    for (unsigned i = 0; i < a->voter_count; i++)
        count += !servers_have(raft, b->voters, b->voter_count, &a->voters[i]);
    return count;
}

static bool has_broker_twice(const struct raft_config *config)
{
    for (unsigned i = 0; i < config->voter_count; i++) {
        for (unsigned k = 0; k < i; k++) {
            if (uuid_equal(&config->voters[i].broker, &config->voters[k].broker)) return true;
        }
    }
    return false;
}

/* Who would vote must have been learning, and be there. */
static int new_voters_check(struct raft *raft, const struct raft_config *config)
{
    for (unsigned i = 0; i < config->voter_count; i++) {
        const struct raft_server *server = &config->voters[i];
        struct peer *peer;
        if (servers_have(raft, raft->config.voters, raft->config.voter_count, server)) continue;
        if (!servers_have(raft, raft->config.learners, raft->config.learner_count, server)) return MESH_EINVAL;
        peer = peer_find(raft, server);
        if (peer != NULL && !peer_is_caught_up(raft, peer)) return MESH_EAGAIN;
    }
    return 0;
}

int raft_change_config(struct raft *raft, uint64_t now_us, const struct raft_config *config)
{
    struct raft_config next = *config;
    int err;

    if (now_us > raft->now_us) raft->now_us = now_us;
    if (raft->role != RAFT_LEADER) return MESH_ENOT_LEADER;
    if (!raft_config_is_sound(config) || config->voter_count == 0 || config->old_voter_count != 0 || has_broker_twice(config))
        return MESH_EINVAL;
    if (!is_leader_ready(raft) && !RAFT_DEFECT(raft, CHANGE_BEFORE_NOOP)) return MESH_EBUSY;
    if ((raft->config_index > raft->committed && !RAFT_DEFECT(raft, TWO_CHANGES)) || raft->config.old_voter_count != 0 ||
        raft->transfer.is_on)
        return MESH_EBUSY;
    err = new_voters_check(raft, config);
    if (err != 0) return err;
    if (voters_beyond(raft, config, &raft->config) + voters_beyond(raft, &raft->config, config) > 1 &&
        !RAFT_DEFECT(raft, TWO_CHANGES)) {
        memcpy(next.old_voters, raft->config.voters, sizeof(next.old_voters));
        next.old_voter_count = raft->config.voter_count;
    }
    return config_append(raft, &next);
}

static void joint_leave(struct raft *raft)
{
    struct raft_config next = raft->config;

    memset(next.old_voters, 0, sizeof(next.old_voters));
    next.old_voter_count = 0;
    (void)config_append(raft, &next); /* out of memory: with the next event */
}

/* Hands over before it goes, so that nobody has to wait for a timeout. */
static void removed_leave(struct raft *raft)
{
    struct peer *best = transfer_best(raft);

    if (best != NULL && best->match == last_index(raft))
        answer_queue(raft, (struct answer){.to = best->server,
                                           .type = MESSAGE_TIMEOUT_NOW,
                                           .index = last_index(raft),
                                           .hint_term = log_term(&raft->log, last_index(raft))});
    step_down(raft);
}

void change_tick(struct raft *raft)
{
    if (!is_leader_ready(raft) || raft->config_index > raft->committed) return;
    if (raft->config.old_voter_count != 0) {
        joint_leave(raft);
    } else if (!raft->is_voter) {
        removed_leave(raft);
    }
}
