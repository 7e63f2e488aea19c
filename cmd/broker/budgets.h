/* broker/budgets.h - what goes by the machine where nobody has set it: the number of shards, and how much memory each purpose may take. Pure. */
#ifndef BROKER_BUDGETS_H
#define BROKER_BUDGETS_H

#include "base/machine.h"
#include "cmd/broker/settings.h"

/* One for each core, but no more than the memory bears. */
uint32_t budgets_shard_count(const struct machine_share *machine, uint32_t shards_max);

/* Lowers limits that nobody has set to what such a machine can keep: they stay defaults. */
void budgets_lower(struct settings *settings, const struct machine_share *machine);

/* The memory of all stores together: as it is set, or by the machine. */
uint64_t budgets_store_bytes(const struct settings *settings, const struct machine_share *machine, uint32_t shard_count);

#endif
