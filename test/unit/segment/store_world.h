/* A store on an in-memory disk, the model of its logs, and a scheduler that plays the runtime's lanes: jobs
 * are taken, run and completed in any interleaving that threads could show, all drawn from one seed. */
#ifndef TEST_SEGMENT_STORE_WORLD_H
#define TEST_SEGMENT_STORE_WORLD_H

#include "segment/recovery.h"
#include "store_model.h"
#include "support/fs_mem.h"

#define WORLD_JOBS_MAX 4 /* of one lane, taken and not yet completed */

struct world_job {
    struct store_job *job;
    bool has_run;
};

struct world;

struct world_log {
    struct world *world;
    struct plog *plog; /* NULL: not open */
    struct model_log model;
};

/* How a run is shaped; drawn from the seed. */
struct world_shape {
    uint32_t log_count;
    uint32_t value_size_max;
    uint32_t large_value_size; /* of the batches that make a log leave the journal; 0: none */
    unsigned async_percent;    /* of the logs */
    unsigned append_weight, end_turn_weight, take_weight, run_weight, complete_weight, truncate_weight,
        time_weight, read_weight;
    uint64_t segment_bytes;
    int64_t retention_bytes;
    struct store_options options;
};

struct world {
    struct fs_mem *disk;
    struct store *store;
    struct random random;
    struct world_shape shape;
    struct world_log logs[MODEL_LOGS_MAX];
    struct model_memory *memory; /* of all batches; shared by copies */
    struct world_job jobs[STORE_LANE_COUNT][WORLD_JOBS_MAX];
    unsigned job_counts[STORE_LANE_COUNT];
    uint64_t now_ms;
    int64_t now_wall_ms;
    void (*arm)(struct random *random); /* before calls of the store; NULL: nothing */
    void (*disarm)(void);
    bool is_faulty;                /* the disk may fail: errors are then answers, not findings */
    char where[160];               /* put before every finding */
    struct recovery_report report; /* of the last world_recover() */
};

void world_draw_shape(struct world_shape *shape, struct random *random);

/* Recovers the disk and opens the store with every log of the model. Returns an error only when the disk
 * gives one. */
int world_recover(struct world *world);

/* Completes the jobs that are out, closes logs and store. */
void world_close(struct world *world);

void world_step(struct world *world); /* does one thing, drawn */

/* Runs everything that there is to do until all that was appended is durable; false: it never will be. */
bool world_settle(struct world *world);
bool world_drain(struct world *world); /* false: the store says that it failed */

/* Appends one batch to one log; the error of plog_append(). */
int world_append(struct world *world, uint32_t log, uint32_t value_size);

/* Takes the logs' models over, not the store. */
void world_copy_models(struct world *to, const struct world *from);

/* After a crash and world_recover(): every log holds what it must, and nothing that it must not. Cuts the
 * models to what is there. */
void world_check_recovered(struct world *world);
void world_check_durable(
    struct world *world); /* after faults: what was acknowledged is there, the rest may not be */
void world_check_logs(struct world *world); /* a running store against its models */

#endif
