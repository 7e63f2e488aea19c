/* segment/config_pool.h - the settings of a store's logs, one copy of each that differs.
 *
 * Thousands of logs belong to a few topics, and most topics have the same settings. Belongs to the store's loop. */
#ifndef SEGMENT_CONFIG_POOL_H
#define SEGMENT_CONFIG_POOL_H

#include "base/map.h"
#include "segment/store.h"

struct config_pool {
    struct map configs;
};

void config_pool_deinit(struct config_pool *pool); /* every one was put back */

/* A copy that is equal to `config`, until it is put back: as often as it was got. Errors: MESH_ENOMEM. */
int config_pool_get(struct config_pool *pool, const struct plog_config *config, const struct plog_config **ret_config);
void config_pool_put(struct config_pool *pool, const struct plog_config *config); /* accepts NULL */

#endif
