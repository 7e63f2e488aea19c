/* What a log must hold, kept beside the real one: every batch that was appended, and how far a power cut may
 * not reach. Batches are shared between copies of a model and never change. */
#ifndef TEST_SEGMENT_STORE_MODEL_H
#define TEST_SEGMENT_STORE_MODEL_H

#include "base/buffer.h"
#include "base/random.h"
#include "segment/store.h"

#include <check.h>

/* ck_assert_msg() without the system call that it makes for each condition that holds. */
#define must(condition, ...)                                                                                 \
    do {                                                                                                     \
        if (!(condition)) ck_abort_msg(__VA_ARGS__);                                                         \
    } while (0)

#define MODEL_LOGS_MAX      6
#define MODEL_BATCHES_MAX   512
#define MODEL_PRODUCERS_MAX 3

struct model_batch {
    struct record_batch_header header;
    uint64_t ticket;
    uint8_t *bytes; /* header.size of them, in the model's memory */
};

struct model_producer {
    bool is_known; /* the log holds a batch of it */
    int16_t epoch;
    int32_t next_sequence;
};

struct model_log {
    struct plog_id id;
    char name[24]; /* for findings */
    struct plog_config config;
    bool is_deleted;
    uint64_t durable_end; /* what lies below must survive */
    uint64_t start;       /* the largest that the log has said: nothing behind it may be missing */
    uint64_t deleted_to;  /* records before it stay deleted */
    uint64_t deleted_max; /* those behind it are not */
    bool is_truncating;   /* batches from truncate_to on may or may not be there */
    uint64_t truncate_to;
    bool is_restarting;   /* all batches may be gone, and the log empty at truncate_to */
    uint64_t base;        /* where it began: 0, or where it was restarted */
    int32_t base_epoch, restart_epoch; /* of the record before `base` (unless that is 0), before `truncate_to`; -1: not known */
    bool was_truncated; /* windows of producers may be shorter than the log would allow */
    int32_t epoch;      /* of the next batch */
    uint32_t batch_count;
    struct model_batch batches[MODEL_BATCHES_MAX];
    struct model_producer producers[MODEL_PRODUCERS_MAX];
};

/* Memory of batches: taken in one direction, given back by setting `used` to an earlier value. */
struct model_memory {
    uint8_t *bytes;
    size_t used, size;
};

void model_memory_init(struct model_memory *memory, size_t size);
void model_memory_deinit(struct model_memory *memory);

uint64_t model_end(const struct model_log *log); /* its base while there is no batch */
void model_copy(struct model_log *to, const struct model_log *from);

/* Draws the next batch: of `producer` (< MODEL_PRODUCERS_MAX) or of none (negative), with about value_size
 * bytes. Not yet part of the log. NULL: the model is full. */
struct model_batch *model_draw(struct model_log *log, struct model_memory *memory, struct random *random,
                               int producer, uint32_t value_size, int64_t now_ms);
void model_append(struct model_log *log, uint64_t ticket); /* what model_draw() drew has been appended */

/* Forgets batches from offset on, and what producers knew by them. */
void model_truncate(struct model_log *log, uint64_t offset);
void model_restart(struct model_log *log, uint64_t offset, int32_t epoch); /* forgets all */
uint64_t model_round_down(const struct model_log *log,
                          uint64_t offset); /* to the start of a batch, or the end */

/* The batch that begins at offset, or NULL. */
const struct model_batch *model_at(const struct model_log *log, uint64_t offset);

/* ---- comparing; each fails the test with `where` in the message ---- */

/* Reads [plog_start_offset, end) and compares bytes. */
void model_check_bytes(const struct model_log *log, struct plog *plog, const char *where);
void model_check_read(const struct model_log *log, struct plog *plog, uint64_t offset, uint32_t bytes_max,
                      const char *where);
/* Every batch below durable_end reads back. Behind it offsets may be refused; what is served is right
 * everywhere. */
void model_check_durable(const struct model_log *log, struct plog *plog, const char *where);
/* What is served is right or has a wrong CRC. Returns how many batches of [start, durable_end) are not served
 * rightly; with may_rot false a wrong CRC is a finding. */
uint32_t model_count_unserved(const struct model_log *log, struct plog *plog, bool may_rot,
                              const char *where);
void model_check_epochs(const struct model_log *log, struct plog *plog, const char *where);
void model_check_producers(const struct model_log *log, struct plog *plog, const char *where);

#endif
