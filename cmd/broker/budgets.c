#include "cmd/broker/budgets.h"

#define MIB                   (UINT64_C(1) << 20)
#define SHARD_MEMORY_BYTES    (128 * MIB) /* of the machine's, for each shard: its store, its buffers and the largest request */
#define STORE_SHARD_BYTES_MIN (32 * MIB)
#define STORE_SHARD_BYTES_MAX (512 * MIB)
#define STORE_SHARD_PART      48 /* of the memory, for each store: little beside the page cache, which serves what is older */
#define STORE_PART            4  /* for all of them, however many */
#define STORE_SHARD_LEAST     (8 * MIB) /* below that it would be busy with making room */
#define LIMIT_PART            8  /* for each of the other purposes */

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint32_t budgets_shard_count(const struct machine_share *machine, uint32_t shards_max)
{
    uint64_t count = smaller(machine->cores, machine->memory_bytes / SHARD_MEMORY_BYTES);

    return (uint32_t)larger(smaller(count, shards_max), 1);
}

void budgets_lower(struct settings *settings, const struct machine_share *machine)
{
    static const char *const keys[] = {"memory.bytes.max", "groups.cache.bytes.max"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        size_t index = settings_index(keys[i]);
        uint64_t bytes = larger(machine->memory_bytes / LIMIT_PART, settings_info(index)->minimum);

        if (settings->sources[index] == SETTING_DEFAULT && bytes < settings_get(settings, index)) settings_put(settings, index, bytes, SETTING_DEFAULT);
    }
}

uint64_t budgets_store_bytes(const struct settings *settings, const struct machine_share *machine, uint32_t shard_count)
{
    uint64_t share = smaller(larger(machine->memory_bytes / STORE_SHARD_PART, STORE_SHARD_BYTES_MIN), STORE_SHARD_BYTES_MAX);

    if (settings->store_memory_bytes_max > 0) return settings->store_memory_bytes_max;
    return larger(smaller(share * shard_count, machine->memory_bytes / STORE_PART), STORE_SHARD_LEAST * shard_count);
}
