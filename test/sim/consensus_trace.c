#include "sim/consensus_trace.h"

#include "sim/consensus_link.h"
#include "sim/consensus_program.h"

#include <stdio.h>

void consensus_trace_role(struct sim *sim, struct sim_host *host, const struct raft_output *output)
{
    static const char *const roles[] = {"follows", "asks for votes beforehand", "asks for votes", "leads"};

    if (!sim_is_traced(sim)) return;
    if (uuid_is_zero(&output->leader.broker))
        sim_trace(sim, host, "%s in term %llu", roles[output->role],
                  (unsigned long long)output->term);
    else
        sim_trace(sim, host, "%s h%u in term %llu", roles[output->role],
                  consensus_host_of(&output->leader.broker), (unsigned long long)output->term);
}

/* "h0 h1.2 | h3": voters, the old ones in brackets, then learners; a disk that is not the host's first has its number. */
static size_t print_servers(char *to, size_t size, const struct raft_server *servers, uint8_t count)
{
    size_t used = 0;

    to[0] = '\0';
    for (uint8_t i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(to + used, size - used, " h%u.%u", consensus_host_of(&servers[i].broker),
                                 consensus_generation_of(&servers[i].dir));
    return used;
}

void consensus_trace_config(struct sim *sim, struct sim_host *host, const struct raft_config *config, const char *how)
{
    char voters[128], old[128], learners[128];

    if (!sim_is_traced(sim)) return;
    print_servers(voters, sizeof(voters), config->voters, config->voter_count);
    print_servers(old, sizeof(old), config->old_voters, config->old_voter_count);
    print_servers(learners, sizeof(learners), config->learners, config->learner_count);
    sim_trace(sim, host, "%s:%s, before:%s, learners:%s", how, voters, old, learners);
}
