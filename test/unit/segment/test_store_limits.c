/* The store at its limits: a disk without room for the journal, a drain that cannot end cleanly, many logs.
 */
#include "store_rig.h"

#include "base/error.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define MANY_LOGS 3000

static struct fs_mem *disk;
static struct rig rig;

static void set_up(void)
{
    disk = fs_mem_new(1);
    rig_init(&rig, fs_mem_fs(disk));
    rig.options.journal_file_bytes = 1u << 20;
    rig.options.journal_bytes_max = 4u << 20;
}

static void tear_down(void)
{
    rig_deinit(&rig);
    fs_mem_free(disk);
}

static void count_journal_file(void *user, const char *path, uint64_t size)
{
    (void)size;
    if (strstr(path, ".journal") != NULL) ++*(unsigned *)user;
}

START_TEST(appends_are_refused_when_the_journal_would_find_no_space)
{
    fs_mem_set_capacity(disk, 512u << 10);
    rig_open(&rig, 1);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), MESH_EFULL);
    fs_mem_set_capacity(disk, 16u << 20);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), 0); /* room again: as if nothing had been */
    rig_pump(&rig);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), 1);
    rig_stop(&rig);
}
END_TEST

START_TEST(what_waits_for_a_journal_file_gets_it_when_there_is_room_again)
{
    unsigned journal_files = 0;

    rig_open(&rig, 1);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), 0);
    fs_mem_set_capacity(disk, 100u << 10); /* somebody else was faster */
    rig_wait(&rig, 60000);
    ck_assert_int_eq(plog_error(rig.logs[0]), 0);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), 0);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), MESH_EFULL);
    fs_mem_each_file(disk, count_journal_file, &journal_files);
    ck_assert_uint_eq(journal_files, 0); /* no litter */
    fs_mem_set_capacity(disk, UINT64_MAX);
    rig_wait(&rig, 3000);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), 1);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), 0);
    rig_stop(&rig);
}
END_TEST

/* Somebody else takes the space that was there when records were accepted, and gives it back. Nobody has to restart anything: what was accepted
 * becomes durable then, nothing is accepted before, and what was durable is served all the time. */
static const struct {
    enum plog_flush flush;
    uint64_t direct_enter_bytes;
    size_t value_size;
} refusals[] = {
    {PLOG_FLUSH_GROUP, 40000, 30000},    /* direct */
    {PLOG_FLUSH_GROUP, 1u << 30, 30000}, /* through the journal */
    {PLOG_FLUSH_ASYNC, 1u << 30, 30000},
};

static void fill_until_durable(void)
{
    for (int i = 0; i < 6; i++) {
        rig_fill(&rig, rig.logs[0], 4, 1, refusals[0].value_size);
        rig_fill(&rig, rig.logs[1], 1, 1, 100);
        rig_pump(&rig);
    }
    rig_wait(&rig, 2500); /* all of it is in its file */
}

START_TEST(what_found_no_space_is_written_when_there_is_some_again)
{
    uint64_t before, small;

    rig.options.direct_enter_bytes = refusals[_i].direct_enter_bytes;
    rig.options.memory_bytes_max = 8u << 20;
    rig.config.flush = refusals[_i].flush;
    rig.config.flush_interval_ms = 500;
    rig_open(&rig, 2);
    fill_until_durable();
    rig_fill(&rig, rig.logs[0], 4, 1, refusals[_i].value_size); /* the way that it takes is known now */
    rig_pump(&rig);
    rig_wait(&rig, 1000);
    before = plog_durable_offset(rig.logs[0]);
    small = plog_durable_offset(rig.logs[1]);
    ck_assert_uint_eq(before, 28);
    for (int i = 0; i < 8; i++) {
        rig_fill(&rig, rig.logs[0], 4, 1, refusals[_i].value_size);
        rig_fill(&rig, rig.logs[1], 1, 1, 100);
        if (i == 0) fs_mem_set_capacity(disk, fs_mem_used_bytes(disk) + 4096);
    }
    rig_wait(&rig, 20000);
    ck_assert_int_eq(plog_error(rig.logs[0]), 0);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), MESH_EFULL);
    if (refusals[_i].flush == PLOG_FLUSH_ASYNC) ck_assert_uint_lt(plog_written_offset(rig.logs[0]), before + 32);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, before, 100000), 28);
    fs_mem_set_capacity(disk, UINT64_MAX);
    rig_wait(&rig, 3000);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), before + 32);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[1]), small + 8);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), 0);
    rig_wait(&rig, 3000);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), before + 33);
    rig_crash(&rig);
    rig_open(&rig, 2);
    ck_assert_uint_eq(rig.report.holes, 0);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, before + 33, 100000), 61);
}
END_TEST

/* ... and a crash meanwhile takes only what was never durable. */
START_TEST(a_crash_while_something_waits_for_space_loses_nothing_durable)
{
    uint64_t before;

    rig.options.direct_enter_bytes = 40000;
    rig_open(&rig, 2);
    fill_until_durable();
    rig_fill(&rig, rig.logs[0], 4, 1, 30000);
    rig_pump(&rig);
    before = plog_durable_offset(rig.logs[0]);
    rig_fill(&rig, rig.logs[0], 4, 1, 30000);
    fs_mem_set_capacity(disk, fs_mem_used_bytes(disk));
    rig_wait(&rig, 5000);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), before);
    rig_crash(&rig);
    fs_mem_set_capacity(disk, UINT64_MAX);
    rig_open(&rig, 2);
    ck_assert_uint_eq(rig.report.holes, 0);
    ck_assert_uint_ge(plog_end_offset(rig.logs[0]), before);
    rig_fill(&rig, rig.logs[0], 4, 1, 30000);
    rig_stop(&rig);
}
END_TEST

/* Removing is what frees space: it waits neither for a write that has none, nor for anything that would be written behind. */
START_TEST(what_is_deleted_makes_room_for_what_waits)
{
    struct plog *full;

    rig.options.direct_enter_bytes = 40000;
    rig_open(&rig, 2);
    full = rig.logs[0];
    for (int i = 0; i < 20; i++) {
        rig_fill(&rig, rig.logs[1], 4, 1, 30000);
        rig_pump(&rig);
    }
    fill_until_durable();
    rig_fill(&rig, full, 4, 1, 30000);
    rig_pump(&rig);
    rig_fill(&rig, full, 4, 1, 30000);
    fs_mem_set_capacity(disk, fs_mem_used_bytes(disk) + 8192); /* for a manifest */
    rig_wait(&rig, 5000);
    ck_assert_uint_lt(plog_durable_offset(full), plog_end_offset(full));
    plog_delete(rig.logs[1]);
    rig.logs[1] = NULL;
    rig_wait(&rig, 10000);
    ck_assert_uint_eq(plog_durable_offset(full), plog_end_offset(full));
    ck_assert_int_eq(rig_append(&rig, full, 1, 100), 0);
    rig_stop(&rig);
}
END_TEST

struct cut {
    int error;
    bool is_done;
};

static void on_cut(void *user, int error)
{
    *(struct cut *)user = (struct cut){error, true};
}

/* A cut needs what stays in its log's file first. While that finds no space the manifest must not forget the cut; but one that forgets nothing of the
 * journal may tell of what was deleted, which is where space comes from. */
START_TEST(a_cut_that_waits_for_space_keeps_nobody_from_freeing_it)
{
    struct cut cut = {0, false};
    struct plog *plog;

    rig_open(&rig, 2);
    for (int i = 0; i < 20; i++) {
        rig_fill(&rig, rig.logs[1], 4, 1, 30000);
        rig_pump(&rig);
    }
    rig_wait(&rig, 30000);
    plog = rig.logs[0];
    rig_fill(&rig, plog, 8, 1, 30000);
    store_end_turn(rig.store, rig.now_ms, rig.now_wall_ms);
    rig_pump_lane(&rig, STORE_LANE_SYNC);
    ck_assert_uint_eq(plog_durable_offset(plog), 8);
    fs_mem_set_capacity(disk, fs_mem_used_bytes(disk) + 8192); /* for a manifest */
    ck_assert_int_eq(plog_truncate(plog, 6, on_cut, &cut), 0);
    rig_wait(&rig, 5000);
    ck_assert(!cut.is_done);
    plog_delete(rig.logs[1]);
    rig.logs[1] = NULL;
    if (_i == 1) { /* without the power on the way: the log is cut or it is not, and whole in any case */
        rig_wait(&rig, 1000);
        rig_crash(&rig);
        fs_mem_reboot(disk, FS_MEM_LOSE_UNSYNCED);
        fs_mem_set_capacity(disk, UINT64_MAX);
        rig_open(&rig, 1);
        ck_assert_uint_eq(rig.report.holes, 0);
        ck_assert_uint_eq(plog_end_offset(rig.logs[0]), 6);
        ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 6, 100000), 6);
        return;
    }
    if (_i == 2) {
        store_drain(rig.store);
        for (int i = 0; i < 300 && !store_is_drained(rig.store); i++)
            rig_wait(&rig, 100);
        ck_assert(store_is_drained(rig.store));
        return;
    }
    rig_wait(&rig, 20000);
    ck_assert(cut.is_done);
    ck_assert_int_eq(cut.error, 0);
    ck_assert_uint_eq(plog_end_offset(plog), 6);
    ck_assert_int_eq(rig_append(&rig, plog, 1, 100), 0);
    rig_stop(&rig);
    rig_open(&rig, 1);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 7, 100000), 7);
    rig_stop(&rig);
}
END_TEST

/* A chunk goes on being filled behind the frames of it that a checkpoint has voided. What waits for space in it lies in later ones, and is no reason to put
 * the manifest off that space comes by (found by seeds 9021260 and 9023197 of the replication world). */
START_TEST(what_waits_in_a_chunk_that_was_voided_in_part_keeps_nobody_from_freeing_it)
{
    struct plog *plog;

    rig_open(&rig, 3);
    for (int i = 0; i < 20; i++) {
        rig_fill(&rig, rig.logs[1], 4, 1, 30000);
        rig_pump(&rig);
    }
    plog = rig.logs[0];
    rig_fill(&rig, plog, 1, 1, 100);
    rig_fill(&rig, rig.logs[2], 1, 1, 100);
    rig_pump(&rig);
    plog_delete(rig.logs[2]); /* a checkpoint at once: the chunk stays in use */
    rig.logs[2] = NULL;
    rig_wait(&rig, 500);
    rig_fill(&rig, plog, 2, 1, 30000);
    store_end_turn(rig.store, rig.now_ms, rig.now_wall_ms);
    rig_pump_lane(&rig, STORE_LANE_SYNC);
    ck_assert_uint_eq(plog_durable_offset(plog), 3);
    fs_mem_set_capacity(disk, fs_mem_used_bytes(disk) + 8192); /* for a manifest */
    rig_wait(&rig, 20000);
    ck_assert_int_eq(rig_append(&rig, plog, 1, 100), MESH_EFULL);
    plog_delete(rig.logs[1]);
    rig.logs[1] = NULL;
    rig_wait(&rig, 20000);
    ck_assert_int_eq(rig_append(&rig, plog, 1, 100), 0);
    rig_stop(&rig);
    rig_open(&rig, 1);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 4, 100000), 4);
    rig_stop(&rig);
}
END_TEST

/* The journal has its part since the first time; the place of that may be another's by now. */
START_TEST(frames_of_a_write_that_nobody_waits_for_any_more_are_not_written_again)
{
    struct plog *full;
    struct store_job *job;

    rig.options.direct_enter_bytes = 40000;
    rig_open(&rig, 2);
    full = rig.logs[0];
    fill_until_durable();
    rig_fill(&rig, full, 4, 1, 30000);
    rig_pump(&rig);
    rig_fill(&rig, full, 4, 1, 30000);
    rig_fill(&rig, rig.logs[1], 1, 1, 100);
    fs_mem_set_capacity(disk, fs_mem_used_bytes(disk));
    rig_pump_lane(&rig, STORE_LANE_SYNC);
    ck_assert_uint_lt(plog_durable_offset(full), plog_end_offset(full));
    ck_assert_uint_eq(plog_durable_offset(rig.logs[1]), plog_end_offset(rig.logs[1]));
    plog_delete(full);
    rig.logs[0] = NULL;
    rig.now_ms += 2000;
    store_end_turn(rig.store, rig.now_ms, rig.now_wall_ms);
    job = store_next_job(rig.store, STORE_LANE_SYNC);
    ck_assert_ptr_nonnull(job);
    ck_assert(!store_job_begin(job, NULL));
    store_job_run(job);
    store_job_complete(rig.store, job);
    fs_mem_set_capacity(disk, UINT64_MAX);
    rig_stop(&rig);
}
END_TEST

/* ... and so does retention, of the very log that waits. It is looked at although the log's time is far away, and nothing but direct writes was
 * ever done to it. */
START_TEST(what_retention_frees_makes_room_for_what_waits)
{
    struct plog *full;
    uint64_t start, end;

    rig.options.direct_enter_bytes = 40000;
    rig.config.segment_bytes = 200000;
    rig.config.retention_bytes = 700000;
    rig.config.retention_ms = 7ll * 24 * 3600 * 1000;
    rig_open(&rig, 1);
    full = rig.logs[0];
    for (int i = 0; i < 8; i++) {
        rig_fill(&rig, full, 4, 1, 30000);
        rig_pump(&rig);
    }
    rig_fill(&rig, full, 20, 1, 30000);
    start = plog_start_offset(full);
    fs_mem_set_capacity(disk, fs_mem_used_bytes(disk) + 8192); /* for a manifest */
    rig_pump(&rig);
    end = plog_end_offset(full);
    ck_assert_uint_eq(start, 0);
    ck_assert_uint_lt(plog_durable_offset(full), end);
    rig_wait(&rig, 10000);
    ck_assert_uint_gt(plog_start_offset(full), start);
    ck_assert_uint_eq(plog_durable_offset(full), end);
    ck_assert_int_eq(rig_append(&rig, full, 1, 100), 0);
    rig_wait(&rig, 1000);
    rig_crash(&rig);
    rig_open(&rig, 1);
    ck_assert_uint_eq(rig.report.holes, 0);
    start = plog_start_offset(rig.logs[0]);
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), end + 1);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], start, end + 1, 100000), end + 1 - start);
}
END_TEST

/* The retention by size of a log that is written directly all the time. */
START_TEST(a_direct_log_is_kept_to_its_size)
{
    rig.options.direct_enter_bytes = 40000;
    rig.config.segment_bytes = 200000;
    rig.config.retention_bytes = 1000000;
    rig.config.retention_ms = 7ll * 24 * 3600 * 1000;
    rig_open(&rig, 1);
    for (int i = 0; i < 30; i++) {
        rig_fill(&rig, rig.logs[0], 4, 1, 30000);
        rig_wait(&rig, 100);
    }
    ck_assert_uint_lt(plog_size_bytes(rig.logs[0]), 1400000);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_drain_on_a_full_disk_ends)
{
    rig_open(&rig, 1);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), 0);
    fs_mem_set_capacity(disk, 100u << 10);
    store_drain(rig.store);
    for (int i = 0; i < 100 && !store_is_drained(rig.store); i++)
        rig_wait(&rig, 100);
    ck_assert(store_is_drained(rig.store));
    ck_assert_int_eq(store_drain_error(rig.store), MESH_EFULL);
}
END_TEST

/* Appends one batch more, waits for it, and no longer, and is then without power. */
static void acknowledge_and_lose_power(void)
{
    uint64_t end = plog_end_offset(rig.logs[0]) + 1;

    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), 0);
    for (int i = 0; i < 100 && plog_durable_offset(rig.logs[0]) < end; i++)
        rig_wait(&rig, 100);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), end);
    rig_crash(&rig);
    fs_mem_reboot(disk, FS_MEM_LOSE_UNSYNCED);
    rig_open(&rig, 1);
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), end);
}

/* A process made directories, and did not come to making them durable: the disk was full, or it ended there. It, or the next one, finds them made. */
static void leave_undurable(uint64_t nth, int err, uint64_t disk_seed)
{
    fs_mem_reset(disk, disk_seed);
    rig_open(&rig, 1);
    fs_mem_fail(disk, 1u << FS_MEM_OP_SYNC_DIR, nth, err, false);
    if (err == MESH_EIO) {
        ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), 0);
        rig_wait(&rig, 1000);
        rig_crash(&rig);
        fs_mem_fail(disk, 0, 0, 0, false);
        rig_open(&rig, 1);
    }
    acknowledge_and_lose_power();
    rig_crash(&rig);
}

START_TEST(what_could_not_be_made_durable_is_before_anything_relies_on_it)
{
    for (uint64_t nth = 1; nth <= 8; nth++) {
        for (uint64_t disk_seed = 1; disk_seed <= 8; disk_seed++) {
            leave_undurable(nth, MESH_EFULL, disk_seed);
            leave_undurable(nth, MESH_EIO, disk_seed);
        }
    }
}
END_TEST

/* What it had taken in and not written is lost, and nobody would look for it after a clean stop (seed 9062210 of the replication world). */
START_TEST(a_stop_with_an_async_log_that_failed_is_not_clean)
{
    rig.config.flush = PLOG_FLUSH_ASYNC;
    rig_open(&rig, 1);
    while (rig_append(&rig, rig.logs[0], 1, 100) == MESH_EAGAIN) /* its first waits for the journal */
        rig_pump(&rig);
    rig_pump(&rig);
    fs_mem_fail(disk, 1u << FS_MEM_OP_WRITE, 1, MESH_EIO, false);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), 0);
    rig_pump(&rig);
    ck_assert_int_eq(plog_error(rig.logs[0]), MESH_ESTORAGE);
    store_drain(rig.store);
    for (int i = 0; i < 300 && !store_is_drained(rig.store); i++)
        rig_wait(&rig, 100);
    ck_assert(store_is_drained(rig.store));
    ck_assert_int_eq(store_drain_error(rig.store), MESH_ESTORAGE);
    rig_crash(&rig);
    rig_open(&rig, 1);
    ck_assert(!rig.report.was_clean);
}
END_TEST

START_TEST(a_drain_that_cannot_say_that_it_wrote_ends)
{
    rig.config.flush = PLOG_FLUSH_ASYNC;
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 1, 1, 100);
    rig_stop(&rig);
    rig_open(&rig, 1); /* with a past: nothing of it goes to the journal */
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), 0);
    fs_mem_set_capacity(disk, fs_mem_used_bytes(disk));
    store_drain(rig.store);
    for (int i = 0; i < 100 && !store_is_drained(rig.store); i++)
        rig_wait(&rig, 100);
    ck_assert(store_is_drained(rig.store));
    ck_assert_int_eq(store_drain_error(rig.store), MESH_ESTORAGE);
}
END_TEST

START_TEST(a_drain_that_cannot_write_segments_ends_and_the_next_start_recovers)
{
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 20, 1, 1000);
    rig_pump_lane(&rig, STORE_LANE_SYNC);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), 20);
    fs_mem_set_capacity(disk, fs_mem_used_bytes(disk));
    store_drain(rig.store);
    for (int i = 0; i < 100 && !store_is_drained(rig.store); i++)
        rig_wait(&rig, 100);
    ck_assert(store_is_drained(rig.store));
    ck_assert_int_ne(store_drain_error(rig.store), 0);
    rig_crash(&rig);
    fs_mem_set_capacity(disk, UINT64_MAX);
    rig_open(&rig, 1);
    ck_assert(!rig.report.was_clean);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 20, 5000), 20);
}
END_TEST

START_TEST(journal_files_shrink_to_a_small_limit)
{
    struct store_stats stats;

    rig.options.journal_bytes_max = 1u << 20;
    rig.options.journal_file_bytes = 64u << 20;
    rig_open(&rig, 1);
    for (int i = 0; i < 200; i++) {
        rig_fill(&rig, rig.logs[0], 5, 1, 3000);
        rig_pump(&rig);
    }
    store_get_stats(rig.store, &stats);
    ck_assert_uint_le(stats.journal_live_bytes, 1u << 20);
    ck_assert_uint_lt(fs_mem_used_bytes(disk), (1u << 20) + 1000 * 3200 + (256u << 10));
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 1000, 1 << 20), 1000);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 260000), MESH_ETOOLARGE);
}
END_TEST

static void set_up_real(void)
{
    rig_init(&rig, NULL);
}

static void tear_down_real(void)
{
    rig_deinit(&rig);
}

static struct plog_id many_id(uint32_t number)
{
    struct plog_id id = rig_id(0);

    id.partition = number;
    return id;
}

static void open_many(struct plog **logs)
{
    struct recovery_catalog *catalog;

    ck_assert_int_eq(recovery_run(rig.fs, NULL, NULL, &catalog, &rig.report), 0);
    rig.options.manifest_generation = rig.report.generation + 1;
    ck_assert_int_eq(store_open(&rig.options, &rig.store), 0);
    for (uint32_t i = 0; i < MANY_LOGS; i++) {
        struct plog_id id = many_id(i);
        ck_assert_int_eq(store_open_log(rig.store, &id, &rig.config, recovery_take(catalog, &id), &logs[i]),
                         0);
    }
    recovery_catalog_free(catalog);
    store_end_turn(rig.store, rig.now_ms, rig.now_wall_ms);
}

START_TEST(thousands_of_logs_share_one_sync_and_rest_together)
{
    struct plog **logs = calloc(MANY_LOGS, sizeof(*logs));
    struct store_stats stats;

    open_many(logs);
    for (uint32_t i = 0; i < MANY_LOGS; i++)
        rig_fill(&rig, logs[i], 1, 1, 50);
    rig_pump_lane(&rig, STORE_LANE_SYNC);
    store_get_stats(rig.store, &stats);
    ck_assert_uint_eq(stats.journal_sync_count, 1);
    for (uint32_t i = 0; i < MANY_LOGS; i++)
        ck_assert_uint_eq(plog_durable_offset(logs[i]), 1);
    rig_wait(&rig, 25000);
    store_get_stats(rig.store, &stats);
    ck_assert_uint_eq(stats.memory_bytes, 0);
    ck_assert_uint_eq(stats.open_file_count, 0);
    for (uint32_t i = 0; i < MANY_LOGS; i += 17)
        ck_assert_uint_eq(rig_check(&rig, logs[i], 0, 1, 1000), 1);
    rig_stop(&rig);
    open_many(logs);
    ck_assert(rig.report.was_clean);
    ck_assert_uint_eq(rig.report.log_count, MANY_LOGS);
    for (uint32_t i = 0; i < MANY_LOGS; i += 17) {
        ck_assert_uint_eq(plog_end_offset(logs[i]), 1);
        rig_fill(&rig, logs[i], 1, 1, 50);
    }
    rig_pump_lane(&rig, STORE_LANE_SYNC);
    rig_crash(&rig);
    open_many(logs);
    for (uint32_t i = 0; i < MANY_LOGS; i++)
        ck_assert_uint_eq(plog_end_offset(logs[i]), i % 17 == 0 ? 2 : 1);
    free(logs);
}
END_TEST

static Suite *limits_suite(void)
{
    Suite *suite = suite_create("store_limits");
    TCase *full = tcase_create("full");
    TCase *many = tcase_create("many");

    tcase_add_checked_fixture(full, set_up, tear_down);
    tcase_set_timeout(full, 60);
    tcase_add_test(full, appends_are_refused_when_the_journal_would_find_no_space);
    tcase_add_test(full, what_waits_for_a_journal_file_gets_it_when_there_is_room_again);
    tcase_add_loop_test(full, what_found_no_space_is_written_when_there_is_some_again, 0, sizeof(refusals) / sizeof(refusals[0]));
    tcase_add_test(full, a_crash_while_something_waits_for_space_loses_nothing_durable);
    tcase_add_test(full, what_is_deleted_makes_room_for_what_waits);
    tcase_add_loop_test(full, a_cut_that_waits_for_space_keeps_nobody_from_freeing_it, 0, 3);
    tcase_add_test(full, what_waits_in_a_chunk_that_was_voided_in_part_keeps_nobody_from_freeing_it);
    tcase_add_test(full, frames_of_a_write_that_nobody_waits_for_any_more_are_not_written_again);
    tcase_add_test(full, what_retention_frees_makes_room_for_what_waits);
    tcase_add_test(full, a_direct_log_is_kept_to_its_size);
    tcase_add_test(full, a_drain_on_a_full_disk_ends);
    tcase_add_test(full, what_could_not_be_made_durable_is_before_anything_relies_on_it);
    tcase_add_test(full, a_drain_that_cannot_say_that_it_wrote_ends);
    tcase_add_test(full, a_stop_with_an_async_log_that_failed_is_not_clean);
    tcase_add_test(full, a_drain_that_cannot_write_segments_ends_and_the_next_start_recovers);
    tcase_add_test(full, journal_files_shrink_to_a_small_limit);
    suite_add_tcase(suite, full);
    tcase_add_checked_fixture(many, set_up_real, tear_down_real);
    tcase_set_timeout(many, 60);
    tcase_add_test(many, thousands_of_logs_share_one_sync_and_rest_together);
    suite_add_tcase(suite, many);
    return suite;
}

int main(void)
{
    return run_suite(limits_suite());
}
