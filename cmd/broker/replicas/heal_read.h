/* replicas/heal_read.h - committed records of a replica here, read and checked off the loop: for brokers that heal theirs, and for comparing.
 *
 * Starts and ends on the partition's shard; the disk and the digest are the READ thread's. Nothing that fails its checksum leaves: the
 * scrubber is sent there instead. */
#ifndef BROKER_REPLICAS_HEAL_READ_H
#define BROKER_REPLICAS_HEAL_READ_H

#include "cmd/broker/replicas/heal_message.h"
#include "cmd/broker/runtime/mailbox.h"

struct plog_view;
struct shard;
struct shard_partition;

struct heal_read {
    struct mail mail;
    struct shard *shard;
    struct heal_request request;
    struct shard_partition *partition; /* its pending count holds it; NULL: not found */
    struct plog_view *views;           /* owned */
    uint32_t view_count;
    void (*done)(struct heal_read *read); /* on the shard */
    void *user;
    /* The outcome. MESH_EUNKNOWN_TOPIC (no such replica here), MESH_EOFFSET_OUT_OF_RANGE (not kept, or not known to be committed),
     * MESH_ECORRUPT (damaged here as well), MESH_EAGAIN (on its way into memory: ask again), MESH_EIO, MESH_ENOMEM. */
    int error;
    struct heal_answer answer;
    uint8_t *bytes; /* owned, of runtime/long_memory.h: answer.bytes */
};

/* done() runs later or inside. The caller has set `done`, `user` and `request`. */
void heal_read_start(struct shard *shard, struct heal_read *read);
void heal_read_deinit(struct heal_read *read);

#endif
