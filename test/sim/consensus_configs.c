#include "sim/consensus_configs.h"

static bool has_server(const struct raft_server *servers, uint8_t count, const struct raft_server *server)
{
    for (uint8_t i = 0; i < count; i++) {
        if (raft_server_equal(&servers[i], server)) return true;
    }
    return false;
}

static unsigned missing(const struct raft_server *from, uint8_t from_count, const struct raft_server *in, uint8_t in_count)
{
    unsigned count = 0;

    for (uint8_t i = 0; i < from_count; i++)
        count += !has_server(in, in_count, &from[i]);
    return count;
}

bool consensus_configs_are_neighbours(const struct raft_config *a, const struct raft_config *b)
{
    if (a->old_voter_count == 0 && b->old_voter_count == 0)
        return missing(a->voters, a->voter_count, b->voters, b->voter_count) +
                   missing(b->voters, b->voter_count, a->voters, a->voter_count) <=
               1;
    if (a->old_voter_count == 0)
        return a->voter_count == b->old_voter_count && missing(a->voters, a->voter_count, b->old_voters, b->old_voter_count) == 0;
    return b->old_voter_count == 0 && a->voter_count == b->voter_count &&
           missing(a->voters, a->voter_count, b->voters, b->voter_count) == 0;
}
