/* segment/epoch_cache.h - at which offset each leader epoch of one log begins (KIP-101, KIP-279).
 *
 * Entries (epoch, start offset), both strictly increasing. An epoch ends where the next begins, the last one
 * at the log's end. The first may begin before the log does: it is that of the record in front of the log's start, if there ever was one.
 * Of one epoch only, which is the common case, no heap memory is used. At most
 * EPOCH_CACHE_COUNT_MAX entries: one more pushes out the oldest, which costs a follower that is that far
 * behind a longer truncation and never a wrong one. Owned by one thread. Bytes of the snapshot: FORMAT.md. */
#ifndef SEGMENT_EPOCH_CACHE_H
#define SEGMENT_EPOCH_CACHE_H

#include "base/buffer.h"
#include "base/slice.h"

#include <stddef.h>
#include <stdint.h>

#define EPOCH_CACHE_COUNT_MAX 4096

struct epoch_entry {
    uint64_t start_offset;
    int32_t epoch;
};

struct epoch_cache {
    union {
        struct epoch_entry one;   /* while capacity is 0 */
        struct epoch_entry *many; /* owned */
    } entries;
    uint32_t count;
    uint32_t capacity; /* of many; 0: `one` is in use */
};

#define EPOCH_CACHE_INIT                                                                                     \
    {                                                                                                        \
        .count = 0, .capacity = 0                                                                            \
    }

void epoch_cache_deinit(struct epoch_cache *cache); /* leaves it empty and usable */
const struct epoch_entry *
epoch_cache_entries(const struct epoch_cache *cache);             /* count of them, oldest first */
size_t epoch_cache_memory_bytes(const struct epoch_cache *cache); /* beyond the struct itself */

/* Says that the batch at `offset` has this epoch. Nothing changes when it is the last entry's epoch. Entries
 * that held no record (start >= offset) give way to the new one. Errors: MESH_EINVAL (epoch negative or below
 * the last one's, or offset below the start of the last one), MESH_ENOMEM; the cache is then unchanged. */
int epoch_cache_assign(struct epoch_cache *cache, int32_t epoch, uint64_t offset);

/* A batch in the middle, which was not known yet, begins this epoch: it is put between the others. Errors: MESH_EINVAL (it does not fit
 * between them), MESH_ENOMEM; the cache is then unchanged. A full cache forgets its oldest entry. */
int epoch_cache_learn(struct epoch_cache *cache, int32_t epoch, uint64_t offset);

/* -1 while empty. */
int32_t epoch_cache_last_epoch(const struct epoch_cache *cache);

/* End offset of the largest epoch <= the one asked for, that epoch in *ret_epoch. When all epochs known are
 * larger: *ret_epoch = -1 and the start of the first one. When the cache is empty: -1 and log_end_offset. */
uint64_t epoch_cache_end_offset(const struct epoch_cache *cache, int32_t epoch, uint64_t log_end_offset,
                                int32_t *ret_epoch);

/* The epoch of the record at offset, or -1 when it lies before the first entry. */
int32_t epoch_cache_epoch_at(const struct epoch_cache *cache, uint64_t offset);

/* The log was cut to end at offset: drops every entry that starts there or later. Call it also when the log
 * already ended at or before offset: an epoch that has no record yet goes too (KAFKA-10706). */
void epoch_cache_truncate_end(struct epoch_cache *cache, uint64_t offset);

/* The log now begins at offset: drops epochs that ended before the record in front of it, which is gone but whose epoch goes on to count.
 * A log that retention has emptied still knows what its last record was: a follower's history, and a quorum's choice, hang on that. */
void epoch_cache_truncate_start(struct epoch_cache *cache, uint64_t offset);

/* The log is empty and goes on at offset, behind a record of this epoch; -1: of none, or it is not known. */
void epoch_cache_restart(struct epoch_cache *cache, uint64_t offset, int32_t epoch);

/* Appends the snapshot. Errors: MESH_ENOMEM (*to is unchanged). */
int epoch_cache_encode(const struct epoch_cache *cache, struct buffer *to);

/* Replaces the cache by the snapshot at the start of *bytes and advances *bytes behind it. Errors:
 * MESH_ECORRUPT, MESH_ENOMEM; cache and *bytes are then unchanged. */
int epoch_cache_decode(struct epoch_cache *cache, struct slice *bytes);

#endif
