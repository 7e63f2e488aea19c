/* sim/replication_store.h - the partition logs of a simulated broker: a real store (segment/) on the host's disk, whose jobs take time. Each lane has
 * one job under way: the disk does it some time after it was begun, and its end is told some time after that. A crash in between loses what was
 * not done, or only the news of it. */
#ifndef SIM_REPLICATION_STORE_H
#define SIM_REPLICATION_STORE_H

#include "segment/recovery.h"
#include "segment/store.h"
#include "sim/sim.h"

/* Small, so that what is rare elsewhere is common here. */
struct replication_store_options {
    uint64_t disk_min_us, disk_mean_us; /* how long a job takes */
    uint64_t memory_bytes_max, journal_bytes_max;
    uint32_t journal_file_bytes, chunk_bytes;
    uint64_t scrub_first_ms, scrub_rest_ms; /* 0: the store's own */
};
void replication_store_options_init(struct replication_store_options *options);

struct replication_store {
    struct sim_host *host;
    const struct replication_store_options *options;
    struct store *store;
    struct recovery_catalog *catalog; /* logs that were found and are not open yet; NULL: none */
    struct recovery_report report;
    struct replication_job {
        struct store_job *job; /* NULL: none */
        uint64_t run_us, done_us;
        bool has_run;
    } jobs[STORE_LANE_COUNT];
    uint64_t tick_ms;
};

/* Recovery, and a store on what it left. 0 or the disk's error. */
int replication_store_open(struct replication_store *store, struct sim_host *host, const struct replication_store_options *options,
                           store_notify_fn *notify, void *user);
void replication_store_close(struct replication_store *store); /* the process is gone: what is under way is lost */

void replication_store_set_clock(struct replication_store *store);
bool replication_store_run(struct replication_store *store);  /* jobs whose time has come; true: one has ended */
void replication_store_begin(struct replication_store *store, enum store_lane lane); /* the next job, if none is under way */
bool replication_store_tick(struct replication_store *store, bool has_news); /* true: it was time for it */
bool replication_store_has_unopened(const struct replication_store *store); /* recovery found a log that no image has known yet */
bool replication_store_is_drained(const struct replication_store *store); /* after store_drain(): well or not, nothing is under way any more */
uint64_t replication_store_due_us(const struct replication_store *store);

#endif
