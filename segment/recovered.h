/* segment/recovered.h - what recovery hands to a store about one log: what a manifest would say of it. */
#ifndef SEGMENT_RECOVERED_H
#define SEGMENT_RECOVERED_H

#include "segment/manifest.h"
#include "segment/recovery.h"

struct recovered_block; /* recovery.c */

struct plog_recovered {
    struct map_node node; /* in the catalogue, by hash of the id */
    struct recovered_block *block; /* where it lies */
    struct manifest_log log;
    uint64_t generation; /* of the manifest it came from; 0: found on disk or in a journal only */
    bool is_gone;        /* its files were deleted */
};

static inline uint64_t plog_id_hash(const struct plog_id *id)
{
    uint64_t topic = map_hash_bytes(id->topic_id.bytes, UUID_SIZE);

    return (topic ^ id->partition) * 0x9e3779b97f4a7c15u;
}

#endif
