#include "segment/config_pool.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/list.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct pooled {
    struct map_node node;
    uint64_t references;
    struct plog_config config;
};

/* All that a configuration says, without what lies between its fields. */
struct fields {
    uint64_t values[9];
};

static struct fields fields_of(const struct plog_config *config)
{
    return (struct fields){{
        config->flush,
        config->flush_interval_ms,
        config->flush_bytes,
        config->segment_bytes,
        config->segment_ms,
        (uint64_t)config->retention_ms,
        (uint64_t)config->retention_bytes,
        config->index_interval_bytes,
        (uint64_t)config->producer_expiry_ms,
    }};
}

static struct pooled *find(const struct config_pool *pool, const struct fields *fields, uint64_t hash)
{
    for (struct map_node *node = map_find(&pool->configs, hash); node != NULL; node = map_find_next(node)) {
        struct pooled *pooled = container_of(node, struct pooled, node);
        struct fields found = fields_of(&pooled->config);

        if (memcmp(&found, fields, sizeof(found)) == 0) return pooled;
    }
    return NULL;
}

void config_pool_deinit(struct config_pool *pool)
{
    MESH_ASSERT(pool->configs.count == 0);
    map_deinit(&pool->configs);
}

int config_pool_get(struct config_pool *pool, const struct plog_config *config, const struct plog_config **ret_config)
{
    struct fields fields = fields_of(config);
    uint64_t hash = map_hash_bytes(&fields, sizeof(fields));
    struct pooled *pooled = find(pool, &fields, hash);

    if (pooled == NULL) {
        pooled = calloc(1, sizeof(*pooled));
        if (pooled == NULL) return MESH_ENOMEM;
        pooled->config = *config;
        if (map_insert(&pool->configs, &pooled->node, hash) != 0) {
            free(pooled);
            return MESH_ENOMEM;
        }
    }
    pooled->references++;
    *ret_config = &pooled->config;
    return 0;
}

void config_pool_put(struct config_pool *pool, const struct plog_config *config)
{
    struct pooled *pooled;

    if (config == NULL) return;
    pooled = container_of(config, struct pooled, config);
    if (--pooled->references > 0) return;
    map_remove(&pool->configs, &pooled->node);
    free(pooled);
}
