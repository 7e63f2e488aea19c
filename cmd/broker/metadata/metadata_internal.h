/* metadata/metadata_internal.h - for metadata.c and metadata_topics.c only. */
#ifndef METADATA_METADATA_INTERNAL_H
#define METADATA_METADATA_INTERNAL_H

#include "base/arena.h"
#include "cmd/broker/metadata/log.h"
#include "cmd/broker/metadata/metadata.h"

struct metadata {
    struct fs *fs; /* borrowed */
    struct identity identity;
    struct metadata_log *log;
    struct image *image; /* the newest; a reference */
    int32_t node_id;
    int32_t partition_count_default, replication_factor_default;
    struct arena arena;                    /* texts of the defaults */
    struct decide_config *config_defaults; /* owned */
    size_t config_default_count;
    metadata_publish_fn *publish;
    void *publish_user;
};

struct uuid metadata_fresh_uuid(void);

/* Makes a decision true: durable, applied, published. Errors: as metadata_log_append(). */
int metadata_commit(struct metadata *metadata, const struct decision *decision);

#endif
