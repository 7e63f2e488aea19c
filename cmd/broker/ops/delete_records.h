/* broker/ops/delete_records.h - records of partitions, anywhere in the mesh, that a client wants deleted: those before an offset, for good (KIP-107).
 *
 * The leader says how far it may go, the coordinator writes it down, and the leader is asked until it serves nothing of it any more: what is acknowledged is
 * gone for all readers, whoever leads later. The disk's space comes back by whole segments, on every replica. */
#ifndef BROKER_OPS_DELETE_RECORDS_H
#define BROKER_OPS_DELETE_RECORDS_H

#include "base/uuid.h"

#include <stddef.h>
#include <stdint.h>

struct shard;

#define DELETE_RECORDS_MAX        4096 /* partitions of one request; what one request to the coordinator may hold */
#define DELETE_RECORDS_TO_END     (-1) /* as an offset: all that is committed */
#define DELETE_RECORDS_TIMEOUT_MS 30000u /* the longest that one takes, whatever was asked for */

struct delete_records_entry {
    struct uuid topic_id;
    uint32_t partition;
    int64_t offset; /* the first one that stays, or DELETE_RECORDS_TO_END */
};

struct delete_records_result {
    int error;
    uint64_t first_offset; /* where the partition's records begin now; error 0 only */
};

/* On the submitting shard, exactly once, maybe inside the call. `message` is for people: why the coordinator refused all of it, or "". Per partition:
 * MESH_EOFFSET_OUT_OF_RANGE (beyond what is committed), MESH_EINVAL (named twice, or no offset), MESH_EUNKNOWN_TOPIC, MESH_EINVALID_TOPIC (the mesh's own), MESH_ENOT_LEADER and
 * its like (try again), MESH_EUNSUPPORTED (a broker of an earlier version is in the mesh), MESH_ETIMEDOUT (it may be done, or may yet be). */
typedef void delete_records_done_fn(void *owner, const struct delete_records_result *results, const char *message);

/* Errors (done will not run): MESH_ENOMEM, MESH_ETOOLARGE (more than DELETE_RECORDS_MAX). */
int delete_records_submit(struct shard *shard, const struct delete_records_entry *entries, size_t count, uint32_t timeout_ms, delete_records_done_fn *done,
                          void *owner);

#endif
