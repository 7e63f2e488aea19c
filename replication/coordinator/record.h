/* coordinator/record.h - the records of the metadata log, and their chain.
 *
 * Record = {index, term, kind, key, body, chain}; chain = BLAKE2b-256(previous chain || the record's other
 * bytes), so one hash vouches for the whole history (PROTOCOLS 2.2). Index counts from 1 without gaps.
 * Bodies: record_body.h; bytes: FORMAT.md. Pure functions; any thread. */
#ifndef COORDINATOR_RECORD_H
#define COORDINATOR_RECORD_H

#include "base/buffer.h"
#include "base/slice.h"

#define METADATA_CHAIN_SIZE         32         /* bytes */
#define METADATA_RECORD_HEADER_SIZE 24         /* bytes before key and body */
#define METADATA_KEY_SIZE_MAX       255        /* bytes */
#define METADATA_BODY_SIZE_MAX      (8u << 20) /* bytes; 100,000 partitions of 16 replicas fit */

/* Numbers are on disk and on the wire: never renumber, never reuse. */
enum metadata_kind {
    METADATA_CLUSTER_CREATED = 1,    /* key: cluster uuid */
    METADATA_BROKER_REGISTERED = 2,  /* key: broker uuid; at each start, raises the epochs of what it leads */
    METADATA_TOPIC_CREATED = 3,      /* key: topic uuid */
    METADATA_TOPIC_ALTERED = 4,      /* key: topic uuid */
    METADATA_TOPIC_DELETED = 5,      /* key: topic uuid */
    METADATA_PARTITIONS_CHANGED = 6, /* key: topic uuid */
    METADATA_PRODUCER_IDS_ALLOCATED = 7, /* key: empty */
};

struct metadata_record {
    uint64_t index;
    uint64_t term;
    uint16_t kind; /* enum metadata_kind, or one of a newer mesh */
    struct slice key, body;
    uint8_t chain[METADATA_CHAIN_SIZE];
};

/* What a decision wants committed; index, term and chain are given by the log. */
struct metadata_change {
    uint16_t kind;
    struct slice key, body;
};

/* The chain hash of a record (its `chain` is not read) after one with chain `previous`. */
void metadata_record_chain(const uint8_t previous[METADATA_CHAIN_SIZE], const struct metadata_record *record,
                           uint8_t ret_chain[METADATA_CHAIN_SIZE]);

size_t metadata_record_size(const struct metadata_record *record); /* encoded bytes */

/* Appends the encoded record. Errors: MESH_ENOMEM, MESH_ETOOLARGE (nothing appended). */
int metadata_record_encode(struct buffer *to, const struct metadata_record *record);

/* Reads one record at the start of `from`; key and body point into it. Errors: MESH_EAGAIN (more bytes are
 * needed), MESH_ECORRUPT (a size over its limit, index or kind 0). The chain is not checked: image_apply()
 * does. */
int metadata_record_decode(struct slice from, struct metadata_record *ret_record, size_t *ret_size);

#endif
