#include "sim/replication_store.h"

#include "base/assert.h"
#include "support/fs_mem.h"

#define TICK_TRAFFIC_MS 100 /* as cmd/broker/runtime/turn.c: news are looked at so soon */

void replication_store_options_init(struct replication_store_options *options)
{
    *options = (struct replication_store_options){.disk_min_us = 50,
                                                  .disk_mean_us = 400,
                                                  .memory_bytes_max = 4u << 20,
                                                  .journal_bytes_max = 3 * (64u << 10),
                                                  .journal_file_bytes = 64u << 10,
                                                  .chunk_bytes = 16u << 10};
}

static uint64_t now_ms(const struct replication_store *store)
{
    return sim_host_now_us(store->host) / 1000;
}

static int64_t wall_ms(const struct replication_store *store)
{
    return sim_host_wall_us(store->host) / 1000;
}

static void on_event(void *user, bool is_damage, const char *text)
{
    struct replication_store *store = user;

    sim_trace(sim_host_sim(store->host), store->host, "recovery: %s%s", text, is_damage ? " (damage)" : "");
}

int replication_store_open(struct replication_store *store, struct sim_host *host, const struct replication_store_options *options,
                           store_notify_fn *notify, void *user)
{
    struct store_options how = {.fs = sim_host_fs(host),
                                .memory_bytes_max = options->memory_bytes_max,
                                .journal_bytes_max = options->journal_bytes_max,
                                .journal_file_bytes = options->journal_file_bytes,
                                .chunk_bytes = options->chunk_bytes,
                                .scrub_first_ms = options->scrub_first_ms,
                                .scrub_rest_ms = options->scrub_rest_ms};
    int err;

    *store = (struct replication_store){.host = host, .options = options};
    err = recovery_run(how.fs, on_event, store, &store->catalog, &store->report);
    if (err != 0) return err;
    (void)recovery_note_life(how.fs); /* a full disk is no reason not to start */
    how.manifest_generation = store->report.generation + 1;
    err = store_open(&how, &store->store);
    if (err != 0) return err;
    store_set_clock(store->store, now_ms(store), wall_ms(store));
    store_set_notify(store->store, notify, user);
    store->tick_ms = now_ms(store);
    return 0;
}

/* Jobs end with the disk that is gone: whatever they do fails, and nobody hears of it. */
void replication_store_close(struct replication_store *store)
{
    struct fs_mem *disk = sim_host_disk(store->host);

    fs_mem_crash_now(disk);
    for (int lane = 0; lane < STORE_LANE_COUNT; lane++) {
        struct replication_job *slot = &store->jobs[lane];
        struct store_job *job = slot->job;

        slot->job = NULL;
        if (job == NULL) continue;
        if (!slot->has_run) store_job_run(job);
        store_job_complete(store->store, job);
    }
    recovery_catalog_free(store->catalog);
    store_close(store->store);
    fs_mem_reboot(disk, FS_MEM_LOSE_NOTHING); /* what was lost is lost already */
    fs_mem_set_observer(disk, NULL, NULL);
    *store = (struct replication_store){.host = store->host};
}

void replication_store_set_clock(struct replication_store *store)
{
    store_set_clock(store->store, now_ms(store), wall_ms(store));
}

static uint64_t draw_us(const struct replication_store *store)
{
    return store->options->disk_min_us + sim_random_exponential(sim_host_random(store->host), store->options->disk_mean_us);
}

void replication_store_begin(struct replication_store *store, enum store_lane lane)
{
    struct replication_job *slot = &store->jobs[lane];

    if (slot->job != NULL) return;
    slot->job = store_next_job(store->store, lane);
    if (slot->job == NULL) return;
    slot->has_run = false;
    slot->run_us = sim_host_now_us(store->host) + draw_us(store);
    slot->done_us = slot->run_us + draw_us(store);
}

bool replication_store_run(struct replication_store *store)
{
    uint64_t now_us = sim_host_now_us(store->host);
    bool has_ended = false;

    for (int lane = 0; lane < STORE_LANE_COUNT; lane++) {
        struct replication_job *slot = &store->jobs[lane];
        struct store_job *job = slot->job;

        if (job == NULL || now_us < slot->run_us) continue;
        if (!slot->has_run) store_job_run(job);
        slot->has_run = true;
        if (now_us < slot->done_us) continue;
        slot->job = NULL;
        store_job_complete(store->store, job);
        has_ended = true;
    }
    return has_ended;
}

bool replication_store_tick(struct replication_store *store, bool has_news)
{
    uint64_t now = now_ms(store);

    if (has_news && store->tick_ms > now + TICK_TRAFFIC_MS) store->tick_ms = now + TICK_TRAFFIC_MS;
    if (now < store->tick_ms) return false;
    store->tick_ms = store_tick(store->store, now, wall_ms(store));
    return true;
}

static void note_unopened(void *user, const struct plog_id *id)
{
    (void)id;
    *(bool *)user = true;
}

bool replication_store_has_unopened(const struct replication_store *store)
{
    bool has_unopened = false;

    if (store->catalog != NULL) recovery_each(store->catalog, note_unopened, &has_unopened);
    return has_unopened;
}

bool replication_store_is_drained(const struct replication_store *store)
{
    for (int lane = 0; lane < STORE_LANE_COUNT; lane++)
        if (store->jobs[lane].job != NULL) return false;
    return store_is_drained(store->store);
}

uint64_t replication_store_due_us(const struct replication_store *store)
{
    uint64_t due_us = store->tick_ms == UINT64_MAX ? SIM_NEVER : store->tick_ms * 1000;

    for (int lane = 0; lane < STORE_LANE_COUNT; lane++) {
        const struct replication_job *slot = &store->jobs[lane];
        uint64_t at_us = slot->has_run ? slot->done_us : slot->run_us;

        if (slot->job != NULL && at_us < due_us) due_us = at_us;
    }
    return due_us;
}
