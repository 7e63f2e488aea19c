#include "sim/consensus_machine.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "sim/sim_random.h"

#define COMMAND_SIZE  9 /* register, value; then padding */
#define SNAPSHOT_SIZE (16 + RAFT_CHAIN_SIZE + 16 + 16 * CONSENSUS_REGISTERS) /* then padding and a sum */

void consensus_machine_apply(struct consensus_machine *machine, const struct raft_entry *entry)
{
    machine->at.index = entry->index;
    machine->at.term = entry->term;
    memcpy(machine->at.chain, entry->chain, RAFT_CHAIN_SIZE);
    if (entry->type != RAFT_ENTRY_COMMAND) return;
    machine->sum = sim_hash_bytes(sim_mix(machine->sum, ++machine->commands), entry->body.data, entry->body.size);
    if (entry->body.size < COMMAND_SIZE) return; /* what founds */
    machine->registers[entry->body.data[0] % CONSENSUS_REGISTERS].value = le_load64(entry->body.data + 1);
    machine->registers[entry->body.data[0] % CONSENSUS_REGISTERS].index = entry->index;
}

size_t consensus_command(uint8_t to[CONSENSUS_COMMAND_MAX], unsigned number, uint64_t value, size_t padding)
{
    if (padding > CONSENSUS_COMMAND_MAX - COMMAND_SIZE) padding = CONSENSUS_COMMAND_MAX - COMMAND_SIZE;
    to[0] = (uint8_t)number;
    le_store64(to + 1, value);
    memset(to + COMMAND_SIZE, (int)value, padding);
    return COMMAND_SIZE + padding;
}

/* ---- snapshots ---- */

void consensus_machine_encode(const struct consensus_machine *machine, size_t padding, struct buffer *to)
{
    uint8_t bytes[SNAPSHOT_SIZE], *at = bytes + 16 + RAFT_CHAIN_SIZE, sum[8];

    le_store64(bytes, machine->at.index);
    le_store64(bytes + 8, machine->at.term);
    memcpy(bytes + 16, machine->at.chain, RAFT_CHAIN_SIZE);
    le_store64(at, machine->sum);
    le_store64(at + 8, machine->commands);
    for (size_t i = 0; i < CONSENSUS_REGISTERS; i++) {
        le_store64(at + 16 + 16 * i, machine->registers[i].value);
        le_store64(at + 24 + 16 * i, machine->registers[i].index);
    }
    buffer_clear(to);
    MESH_ASSERT(buffer_append(to, bytes, sizeof(bytes)) == 0);
    MESH_ASSERT(buffer_reserve(to, padding) == 0);
    for (size_t i = 0; i < padding; i++)
        to->data[to->size++] = (uint8_t)i;
    le_store64(sum, sim_hash_bytes(9, to->data, to->size));
    MESH_ASSERT(buffer_append(to, sum, sizeof(sum)) == 0);
}

bool consensus_machine_decode(struct consensus_machine *machine, struct slice from)
{
    const uint8_t *at;

    if (from.size < SNAPSHOT_SIZE + 8 || sim_hash_bytes(9, from.data, from.size - 8) != le_load64(from.data + from.size - 8))
        return false;
    at = from.data + 16 + RAFT_CHAIN_SIZE;
    machine->at.index = le_load64(from.data);
    machine->at.term = le_load64(from.data + 8);
    memcpy(machine->at.chain, from.data + 16, RAFT_CHAIN_SIZE);
    machine->sum = le_load64(at);
    machine->commands = le_load64(at + 8);
    for (size_t i = 0; i < CONSENSUS_REGISTERS; i++) {
        machine->registers[i].value = le_load64(at + 16 + 16 * i);
        machine->registers[i].index = le_load64(at + 24 + 16 * i);
    }
    return true;
}

/* ---- the chain ---- */

void consensus_chain(const uint8_t previous[RAFT_CHAIN_SIZE], const struct raft_entry *entry,
                     uint8_t ret_chain[RAFT_CHAIN_SIZE])
{
    uint64_t hash = sim_hash_bytes(11, previous, RAFT_CHAIN_SIZE);

    hash = sim_mix(sim_mix(sim_mix(hash, entry->index), entry->term), entry->type);
    hash = sim_hash_bytes(hash, entry->body.data, entry->body.size);
    for (size_t i = 0; i < RAFT_CHAIN_SIZE; i += 8)
        le_store64(ret_chain + i, sim_mix(hash, i));
}

uint64_t consensus_chain_mark(const uint8_t chain[RAFT_CHAIN_SIZE])
{
    return le_load64(chain);
}
