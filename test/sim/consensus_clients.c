#include "sim/consensus_clients.h"

#include "sim/sim_sometimes.h"

#define PROPOSALS_MAX (sizeof(((struct consensus_client *)NULL)->proposals) / sizeof(((struct consensus_client *)NULL)->proposals[0]))
#define READS_MAX     (sizeof(((struct consensus_clients *)NULL)->reads) / sizeof(((struct consensus_clients *)NULL)->reads[0]))

void consensus_clients_reset(struct consensus_clients *clients, struct sim *sim, struct consensus_watch *watch)
{
    *clients = (struct consensus_clients){.sim = sim, .watch = watch, .next_context = 1};
}

static struct consensus_client *client_of(struct consensus_clients *clients, struct consensus_process *process)
{
    return &clients->clients[sim_host_index(consensus_process_host(process))];
}

void consensus_clients_started(struct consensus_clients *clients, struct consensus_process *process)
{
    struct consensus_client *client = client_of(clients, process);

    SIM_SOMETIMES_IF(client->count > 0, "a proposal's fate was not told");
    client->process = process;
    client->count = 0;
}

/* ---- writes ---- */

static int propose(struct consensus_clients *clients, struct consensus_process *process, size_t padding)
{
    struct consensus_client *client = client_of(clients, process);
    uint8_t command[CONSENSUS_COMMAND_MAX];
    uint64_t value = ++clients->next_value, index = 0, term = 0;
    size_t size = consensus_command(command, (unsigned)(value % CONSENSUS_REGISTERS), value, padding);
    int err;

    if (client->count == PROPOSALS_MAX) return MESH_EAGAIN;
    err = raft_propose(consensus_process_raft(process), sim_host_now_us(consensus_process_host(process)), slice_of(command, size),
                       &index, &term);
    if (err == 0) {
        clients->proposed++;
        client->proposals[client->count].index = index;
        client->proposals[client->count++].term = term;
    }
    consensus_process_drain_more(process);
    return err;
}

int consensus_clients_propose(struct consensus_clients *clients, struct consensus_process *process, size_t padding)
{
    int err = propose(clients, process, padding);

    consensus_process_drain(process);
    return err;
}

void consensus_clients_propose_many(struct consensus_clients *clients, struct consensus_process *process, unsigned count,
                                    size_t padding_max, struct random *random)
{
    while (count-- > 0)
        propose(clients, process, (size_t)random_below(random, padding_max));
    consensus_process_drain(process);
}

void consensus_clients_applied(struct consensus_clients *clients, struct consensus_process *process)
{
    struct consensus_client *client = client_of(clients, process);
    const struct raft_position *at = &consensus_process_machine(process)->at;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < client->count; i++) {
        if (client->proposals[i].index > at->index) {
            client->proposals[kept++] = client->proposals[i];
        } else if (client->proposals[i].index < at->index) {
            /* Its place was in a snapshot: nobody can tell. */
            SIM_SOMETIMES("a proposal went into a snapshot before its fate was known");
        } else if (client->proposals[i].term != at->term) {
            SIM_SOMETIMES("a proposal was lost to another leader's");
            clients->lost++;
        } else {
            clients->acknowledged++;
            if (at->index > clients->frontier) clients->frontier = at->index;
        }
    }
    client->count = kept;
}

/* ---- reads ---- */

bool consensus_clients_is_waiting(const struct consensus_clients *clients, uint64_t context)
{
    return clients->reads[context % READS_MAX].context == context && clients->reads[context % READS_MAX].is_open;
}

bool consensus_clients_may_ask_again(const struct consensus_clients *clients, uint64_t context)
{
    return consensus_clients_is_waiting(clients, context) && !clients->reads[context % READS_MAX].is_under_way;
}

uint64_t consensus_clients_read(struct consensus_clients *clients, struct consensus_process *process, uint64_t context)
{
    uint64_t number = context != 0 ? context : clients->next_context;
    int err;

    /* What it must see is all that was known before it was asked. */
    clients->reads[number % READS_MAX].context = number;
    clients->reads[number % READS_MAX].frontier = clients->frontier;
    clients->reads[number % READS_MAX].is_open = true;
    if (context == 0) clients->next_context++;
    err = raft_read(consensus_process_raft(process), sim_host_now_us(consensus_process_host(process)), number);
    if (err == 0) clients->reads_asked++;
    clients->reads[number % READS_MAX].is_under_way = err == 0;
    SIM_SOMETIMES_IF(err == 0 && context != 0, "a read was asked again");
    consensus_process_drain(process);
    return err == 0 ? number : 0;
}

void consensus_clients_answered(struct consensus_clients *clients, struct consensus_process *process, uint64_t context, uint64_t index)
{
    if (!consensus_clients_is_waiting(clients, context)) return;
    clients->reads[context % READS_MAX].is_under_way = false;
    if (index == 0) {
        SIM_SOMETIMES("a read was lost with leadership");
        clients->reads_lost++;
        return;
    }
    clients->reads_served++;
    if (clients->reads_served % 4 == 0 && clients->loses_answers) {
        SIM_SOMETIMES("the answer to a read was lost");
        return;
    }
    clients->reads[context % READS_MAX].is_open = false;
    if (index < clients->reads[context % READS_MAX].frontier)
        consensus_watch_fail(clients->watch, "27 a read sees what was acknowledged", "h%u answers with %llu, after %llu was known",
                             sim_host_index(consensus_process_host(process)), (unsigned long long)index,
                             (unsigned long long)clients->reads[context % READS_MAX].frontier);
    if (index > clients->frontier) clients->frontier = index;
}
