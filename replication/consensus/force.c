/* consensus/force.c - a configuration by decree, when the majority that could decide one is gone for good (raft.h: raft_force()).
 *
 * Everything else in this module keeps two majorities from deciding without each other; this makes one server the only voter because people
 * say so. Whoever calls it has made sure that no other server of the old configuration is forced too, and that those that were declared
 * lost are not listened to any more (replication/recover). */
#include "replication/consensus/internal.h"

static int check(const struct raft *raft, uint64_t term)
{
    if (raft->has_failed) return MESH_ESTORAGE;
    if (raft->role == RAFT_LEADER) return MESH_EBUSY;
    if (raft->incoming.is_installing) return MESH_EAGAIN;
    if (last_index(raft) == 0 || term < raft->term || term > RAFT_NEVER / 2) return MESH_EINVAL;
    return 0;
}

static int append_all(struct raft *raft, uint64_t term, const struct slice *commands, size_t count)
{
    struct raft_config config = {.voters = {raft->options.self}, .voter_count = 1};
    struct buffer body = BUFFER_INIT;
    int err = raft_config_encode(&body, &config);

    for (size_t i = 0; err == 0 && i < count; i++)
        err = log_append(&raft->log, term, RAFT_ENTRY_COMMAND, commands[i]);
    if (err == 0) err = log_append(&raft->log, term, RAFT_ENTRY_CONFIG, buffer_slice(&body));
    buffer_deinit(&body);
    return err;
}

int raft_force(struct raft *raft, uint64_t now_us, uint64_t term, const struct slice *commands, size_t count)
{
    uint64_t last = last_index(raft);
    int err;

    if (now_us > raft->now_us) raft->now_us = now_us;
    err = check(raft, term);
    if (err != 0) return err;
    become_follower(raft, term, NULL);
    raft->voted_for = raft->options.self; /* nobody else is leader in this term: it is where the new history begins */
    raft->damaged_until = 0;              /* what the hole held is given up with the rest, or what a disk that was set back forgot */
    raft->forced_term = term;
    state_changed(raft);
    err = append_all(raft, term, commands, count);
    if (err != 0) {
        if (last_index(raft) > last) log_cut(raft, last);
        return err;
    }
    config_appended(raft, last_index(raft));
    election_timer_reset(raft);
    return 0;
}
