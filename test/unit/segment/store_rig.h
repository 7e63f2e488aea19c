/* A store on a real temporary directory or the in-memory disk, with its jobs run inline, and logs filled with
 * batches whose bytes follow from their offset, so that any read can be checked without a copy. */
#ifndef TEST_SEGMENT_STORE_RIG_H
#define TEST_SEGMENT_STORE_RIG_H

#include "segment/recovery.h"
#include "segment/store.h"

#define RIG_LOGS_MAX 4

struct rig {
    struct fs *fs;      /* borrowed or, with a directory, owned */
    char directory[64]; /* real; "" in memory */
    struct store *store;
    struct store_options options;
    struct plog_config config;
    struct plog *logs[RIG_LOGS_MAX];
    uint64_t now_ms;
    int64_t now_wall_ms;
    struct recovery_report report;
    char events[1024]; /* what recovery said */
    unsigned notify_count;
    int32_t leader_epoch; /* of what is appended */
    void (*around_append)(bool is_before); /* of each call of plog_append(); may be NULL */
};

/* fs NULL: a real directory, removed by rig_deinit(). Opens nothing. */
void rig_init(struct rig *rig, struct fs *fs);
void rig_deinit(struct rig *rig);

/* Recovers and opens the store with the first log_count logs. */
void rig_open(struct rig *rig, unsigned log_count);
void rig_crash(struct rig *rig); /* closes without draining */
void rig_stop(struct rig *rig);  /* drains and closes */

void rig_pump(struct rig *rig);                            /* ends the turn and runs every job there is */
void rig_pump_lane(struct rig *rig, enum store_lane lane); /* of one lane only */
void rig_wait(struct rig *rig, uint64_t ms);               /* time passes, in steps, with ticks and jobs */

/* Appends a batch of record_count records, each with a value of value_size bytes; the error of plog_append().
 */
int rig_append(struct rig *rig, struct plog *plog, int record_count, size_t value_size);
int rig_append_producer(struct rig *rig, struct plog *plog, int64_t producer_id, int16_t epoch,
                        int32_t sequence);
void rig_fill(struct rig *rig, struct plog *plog, unsigned batches, int record_count, size_t value_size);

/* Reads from offset to limit in steps of bytes_max and checks every batch; returns the number of batches. */
unsigned rig_check(struct rig *rig, struct plog *plog, uint64_t offset, uint64_t limit, uint32_t bytes_max);

struct plog_id rig_id(unsigned number);

#endif
