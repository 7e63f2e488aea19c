/* sim/consensus_machine.h - what the entries of a simulated log do: a few registers that commands set, and a sum over all commands,
 * so that a state tells whether it is made of exactly the entries up to its position. */
#ifndef SIM_CONSENSUS_MACHINE_H
#define SIM_CONSENSUS_MACHINE_H

#include "base/buffer.h"
#include "replication/consensus/entry.h"

#define CONSENSUS_REGISTERS 4

struct consensus_machine {
    struct raft_position at; /* of the last entry that was applied */
    uint64_t sum, commands;  /* over all commands: one applied twice or not at all is seen for ever */
    struct {
        uint64_t value, index;
    } registers[CONSENSUS_REGISTERS];
};

/* The entry after machine->at. */
void consensus_machine_apply(struct consensus_machine *machine, const struct raft_entry *entry);

/* A snapshot, with `padding` bytes more so that it comes in several chunks. False: these bytes are none. */
void consensus_machine_encode(const struct consensus_machine *machine, size_t padding, struct buffer *to);
bool consensus_machine_decode(struct consensus_machine *machine, struct slice from);

/* A command: register `number` becomes `value`. Returns its size. */
#define CONSENSUS_COMMAND_MAX 512
size_t consensus_command(uint8_t to[CONSENSUS_COMMAND_MAX], unsigned number, uint64_t value, size_t padding);

/* A stand-in for the product's cryptographic chain. */
raft_chain_fn consensus_chain;

/* The first bytes of a chain, for tables. */
uint64_t consensus_chain_mark(const uint8_t chain[RAFT_CHAIN_SIZE]);

#endif
