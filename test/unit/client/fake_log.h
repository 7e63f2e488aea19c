/* fake_log.h - the records of a scripted broker's partition: batches, one after the other. */
#ifndef FAKE_LOG_H
#define FAKE_LOG_H

#include "fake_broker.h"

/* The batches from the one that holds `offset` on, at least one, at most bytes_max. */
struct slice fake_log_find(const struct fake_partition *partition, uint64_t offset, size_t bytes_max, uint64_t *ret_next);

/* Offset and epoch of the end of the largest epoch that is not above this one; -1: there is none. */
void fake_log_epoch_end(const struct fake_partition *partition, int32_t epoch, struct list_offsets_result *result);

/* What lies at and behind `offset`, where a batch begins, is gone. */
void fake_log_cut(struct fake_partition *partition, uint64_t offset);

/* TOPIC_TRIM: no leader hears of it in time. */
void fake_log_trim(struct fake_broker *broker, struct slice message, struct buffer *answer);

#endif
