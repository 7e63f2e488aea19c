/* cli/delivery_tally.h - what became of produced records: counts, offsets per partition, the weakest receipt.
 *
 * Fed by libmesh's delivery callback, once per record; costs a few nanoseconds there. */
#ifndef CLI_DELIVERY_TALLY_H
#define CLI_DELIVERY_TALLY_H

#include "base/buffer.h"
#include "cmd/cli/json_writer.h"

#include <mesh/mesh.h>

struct delivery_partition {
    uint64_t records;                           /* delivered; 0: nothing else here means anything */
    int64_t first_offset, last_offset;          /* -1 with acks 0 */
    uint32_t replicas_holding, replicas_synced; /* the least of all receipts */
};

/* Consecutive offsets of one partition, written to the receipts file as one line. */
struct delivery_run {
    int64_t first_offset, last_offset;
    int32_t partition, leader_epoch;
    uint32_t replicas_holding, replicas_synced;
};

struct delivery_tally {
    uint64_t delivered, failed, unknown;   /* records */
    int first_error;                       /* of the first record that was not delivered */
    struct delivery_partition *partitions; /* owned; index: partition */
    size_t partition_count;
    int receipts_fd; /* -1: no receipts are written; owned */
    struct delivery_run run;
    bool has_run;
    struct buffer receipts; /* lines not yet written */
    const char *topic;      /* borrowed */
    int error;              /* of the tally itself: MESH_ENOMEM, or writing receipts failed */
};

void delivery_tally_init(struct delivery_tally *tally, const char *topic);
void delivery_tally_deinit(struct delivery_tally *tally);

/* Appends receipts to the file from now on. Errors: those of open(2). */
int delivery_tally_open_receipts(struct delivery_tally *tally, const char *path);

/* A mesh_delivery_fn; user is the tally. */
void delivery_tally_record(void *user, const struct mesh_receipt *receipt);

/* A record that was refused before it was sent. */
void delivery_tally_refuse(struct delivery_tally *tally, int error);

/* Writes the receipts gathered so far; failures stick in tally->error. */
void delivery_tally_write_receipts(struct delivery_tally *tally);

/* The least over all partitions; 0 when nothing was delivered. */
uint32_t delivery_tally_replicas_synced(const struct delivery_tally *tally);
uint32_t delivery_tally_replicas_holding(const struct delivery_tally *tally);

/* The members "failed", "unknown", "replicas_holding", "replicas_synced" and "partitions". */
void delivery_tally_write_json(const struct delivery_tally *tally, struct json_writer *json);

#endif
