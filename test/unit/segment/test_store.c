/* The store on a real directory: appending, reading, rolling, stopping, crashing. */
#include "store_rig.h"

#include "base/error.h"
#include "segment/segment_file.h"
#include "segment/sync_queue.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdlib.h>

static struct rig rig;

static void set_up(void)
{
    rig_init(&rig, NULL);
}

static void tear_down(void)
{
    rig_deinit(&rig);
}

START_TEST(what_is_appended_reads_back_from_memory_and_becomes_durable)
{
    rig_open(&rig, 2);
    rig_fill(&rig, rig.logs[0], 10, 3, 100);
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), 30);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), 0);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 30, 1000), 10);
    rig_pump(&rig);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), 30);
    ck_assert_uint_ge(store_durable_ticket(rig.store), 1);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 7, 30, 1 << 20), 8);
    ck_assert_uint_gt(rig.notify_count, 0);
}
END_TEST

START_TEST(a_tiny_turn_costs_one_block_of_journal)
{
    struct store_stats stats;

    rig_open(&rig, 2);
    rig_fill(&rig, rig.logs[0], 1, 1, 100);
    rig_fill(&rig, rig.logs[1], 1, 1, 100);
    rig_pump_lane(&rig, STORE_LANE_SYNC);
    store_get_stats(rig.store, &stats);
    ck_assert_uint_eq(stats.journal_written_bytes, 4096);
    ck_assert_uint_eq(stats.journal_sync_count, 1);
}
END_TEST

/* The sync job of one more batch after the first, which had the marker to write. */
static struct store_job *second_sync_job(size_t value_size)
{
    struct store_job *job;

    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 1, 1, 100);
    rig_pump(&rig);
    rig_fill(&rig, rig.logs[0], 1, 1, value_size);
    store_end_turn(rig.store, rig.now_ms, rig.now_wall_ms);
    job = store_next_job(rig.store, STORE_LANE_SYNC);
    ck_assert_ptr_nonnull(job);
    return job;
}

/* What the kernel may say of a write that was handed to it, and what comes of it. */
static const int sync_ends[] = {0, MESH_EAGAIN, MESH_EIO};

START_TEST(a_small_sync_needs_no_thread)
{
    struct sync_queue *queue;
    struct store_stats stats;
    struct store_job *job;
    int error = MESH_EAGAIN;

    if (sync_queue_new(&queue) != 0) return; /* lanes only, on this system */
    job = second_sync_job(100);
    if (store_job_begin(job, queue)) {
        ck_assert(sync_queue_end(queue, true, &error));
        if (error == 0) error = sync_ends[_i];
        ck_assert_int_eq(store_job_end(job, error), error != MESH_EAGAIN);
    }
    if (error == MESH_EAGAIN) store_job_run(job);
    store_job_complete(rig.store, job);
    store_get_stats(rig.store, &stats);
    ck_assert_int_eq(stats.is_failed, error == MESH_EIO);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), error == MESH_EIO ? 1 : 2);
    sync_queue_free(queue);
}
END_TEST

START_TEST(a_large_sync_needs_one)
{
    struct sync_queue *queue;
    struct store_job *job;

    if (sync_queue_new(&queue) != 0) return;
    job = second_sync_job(200000);
    ck_assert(!store_job_begin(job, queue));
    store_job_run(job);
    store_job_complete(rig.store, job);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), 2);
    sync_queue_free(queue);
}
END_TEST

START_TEST(old_records_are_read_from_segments)
{
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 3000, 2, 500);
    rig_wait(&rig, 20000);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 6000, 10000), 3000);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 3001, 5554, 1 << 20), 1277);
}
END_TEST

START_TEST(segments_roll_by_size)
{
    rig.config.segment_bytes = 64 << 10;
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 1000, 1, 500);
    ck_assert_uint_gt(plog_segment_count(rig.logs[0]), 5);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 1000, 1 << 20), 1000);
    rig_wait(&rig, 20000);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 1000, 5000), 1000);
    rig_stop(&rig);
    rig_open(&rig, 1);
    ck_assert(rig.report.was_clean);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 1000, 5000), 1000);
}
END_TEST

START_TEST(a_clean_stop_is_believed)
{
    rig_open(&rig, 2);
    rig_fill(&rig, rig.logs[0], 100, 1, 500);
    rig_fill(&rig, rig.logs[1], 10, 1, 50);
    rig_stop(&rig);
    rig_open(&rig, 2);
    ck_assert(rig.report.was_clean);
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), 100);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), 100);
    ck_assert_int_eq(plog_last_epoch(rig.logs[1]), 3);
    rig_fill(&rig, rig.logs[0], 100, 1, 500);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 200, 3000), 200);
    rig_stop(&rig);
    rig_open(&rig, 2);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 200, 3000), 200);
    rig_stop(&rig); /* nothing happened: nothing is written */
    rig_open(&rig, 2);
    ck_assert(rig.report.was_clean);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[1], 0, 10, 3000), 10);
}
END_TEST

/* The broker that recovered may die before it could tell the coordinator, which would trust the life after that. */
START_TEST(a_stop_that_was_not_clean_is_told_until_somebody_knows)
{
    rig_open(&rig, 1);
    ck_assert(!rig.report.is_untold);
    rig_fill(&rig, rig.logs[0], 10, 1, 500);
    rig_pump_lane(&rig, STORE_LANE_SYNC);
    rig_crash(&rig);
    rig_open(&rig, 1);
    ck_assert(rig.report.is_untold);
    rig_crash(&rig); /* nothing was written: there is nothing to recover */
    rig_open(&rig, 1);
    ck_assert(rig.report.was_clean);
    ck_assert(rig.report.is_untold);
    rig_fill(&rig, rig.logs[0], 10, 1, 500);
    rig_stop(&rig);
    rig_open(&rig, 1);
    ck_assert(rig.report.was_clean);
    ck_assert(rig.report.is_untold);
    ck_assert_int_eq(recovery_told(rig.fs), 0);
    ck_assert_int_eq(recovery_told(rig.fs), 0);
    rig_stop(&rig);
    rig_open(&rig, 1);
    ck_assert(!rig.report.is_untold);
}
END_TEST

START_TEST(what_was_durable_survives_a_crash)
{
    rig_open(&rig, 2);
    for (int round = 0; round < 5; round++) {
        rig_fill(&rig, rig.logs[0], 50, 1, 700);
        rig_fill(&rig, rig.logs[1], 5, 3, 50);
        rig_pump_lane(&rig, STORE_LANE_SYNC);
        rig_crash(&rig);
        rig_open(&rig, 2);
        ck_assert(!rig.report.was_clean);
        ck_assert_str_eq(rig.events, "");
        ck_assert_uint_eq(plog_end_offset(rig.logs[0]), (uint64_t)(round + 1) * 50);
        ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, plog_end_offset(rig.logs[0]), 3000),
                          (unsigned)(round + 1) * 50);
        ck_assert_uint_eq(rig_check(&rig, rig.logs[1], 0, plog_end_offset(rig.logs[1]), 3000),
                          (unsigned)(round + 1) * 5);
    }
}
END_TEST

START_TEST(what_was_never_synced_is_gone_after_a_crash)
{
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 10, 1, 100);
    rig_pump(&rig);
    rig_fill(&rig, rig.logs[0], 10, 1, 100);
    rig_crash(&rig);
    rig_open(&rig, 1);
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), 10);
}
END_TEST

START_TEST(a_busy_log_goes_direct_and_comes_back)
{
    struct store_stats before, after;

    rig_open(&rig, 2);
    for (int i = 0; i < 20; i++) {
        rig_fill(&rig, rig.logs[0], 100, 1, 7777);
        rig_fill(&rig, rig.logs[1], 1, 1, 10);
        rig_pump(&rig);
        ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), plog_end_offset(rig.logs[0]));
    }
    store_get_stats(rig.store, &after);
    ck_assert_uint_lt(after.journal_written_bytes, 4 << 20);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 2000, 1 << 20), 2000);
    for (int i = 0; i < 20; i++) {
        rig_fill(&rig, rig.logs[0], 1, 1, 777);
        rig_pump(&rig);
    }
    store_get_stats(rig.store, &before);
    rig_fill(&rig, rig.logs[0], 1, 1, 777);
    rig_pump(&rig);
    store_get_stats(rig.store, &after);
    ck_assert_uint_gt(after.journal_written_bytes, before.journal_written_bytes);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 2021, 100000), 2021);
    rig_crash(&rig);
    rig_open(&rig, 2);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 2021, 100000), 2021);
    ck_assert_uint_eq(plog_end_offset(rig.logs[1]), 20);
}
END_TEST

static struct store_job *next_of(enum store_lane lane)
{
    struct store_job *job = store_next_job(rig.store, lane);

    ck_assert_ptr_nonnull(job);
    return job;
}

static void run_and_complete(struct store_job *job)
{
    store_job_run(job);
    store_job_complete(rig.store, job);
}

/* Two jobs make the same segment durable: that of a checkpoint, which also has the segment before it, and a direct one that
 * begins later, brings more and ends first. What the manifest then says of bytes and of offsets must be the same. */
START_TEST(a_direct_write_that_overtakes_a_checkpoint_is_found_again)
{
    struct store_job *sync;

    rig.options.journal_file_bytes = 256u << 10;
    rig.options.journal_bytes_max = 1u << 20;
    rig.options.direct_enter_bytes = 40000;
    rig.config.segment_bytes = 300u << 10; /* 30 batches */
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 1, 1, 10000);
    rig_wait(&rig, 3000);
    for (int turn = 0; turn < 10; turn++) { /* journaled, half of the journal; the last two in the second segment */
        rig_fill(&rig, rig.logs[0], turn < 9 ? 3 : 4, 1, 10000);
        rig_pump_lane(&rig, STORE_LANE_SYNC);
    }
    ck_assert_uint_eq(plog_segment_count(rig.logs[0]), 2);
    rig_fill(&rig, rig.logs[0], 4, 1, 10000); /* direct */
    rig_pump_lane(&rig, STORE_LANE_BACKGROUND);   /* a checkpoint begins, and waits for */
    run_and_complete(next_of(STORE_LANE_BEHIND)); /* write-behind of both segments */
    sync = next_of(STORE_LANE_BACKGROUND);
    rig_pump_lane(&rig, STORE_LANE_SYNC);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), 36);
    run_and_complete(sync);
    run_and_complete(next_of(STORE_LANE_BACKGROUND)); /* the manifest */
    rig_crash(&rig);
    rig_open(&rig, 1);
    ck_assert_str_eq(rig.events, "");
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), 36);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 36, 100000), 36);
}
END_TEST

START_TEST(memory_and_journal_limits_push_back_and_let_go)
{
    bool was_refused = false;

    rig_open(&rig, 4);
    for (int i = 0; i < 40000; i++) {
        struct plog *plog = rig.logs[i % 4];
        int err = rig_append(&rig, plog, 1, 2000);
        if (err == MESH_EAGAIN) {
            was_refused = true;
            rig_pump(&rig);
            err = rig_append(&rig, plog, 1, 2000);
        }
        ck_assert_int_eq(err, 0);
    }
    ck_assert(was_refused);
    rig_pump(&rig);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(rig_check(&rig, rig.logs[i], 0, 10000, 1 << 20), 10000);
    rig_crash(&rig);
    rig_open(&rig, 4);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(rig_check(&rig, rig.logs[i], 0, 10000, 1 << 20), 10000);
}
END_TEST

static int count_name(void *user, const char *name, bool is_dir)
{
    uint64_t base_offset;

    *(unsigned *)user += !is_dir && segment_parse_name(name, &base_offset);
    return 0;
}

/* Segments on the disk. */
static unsigned count_files(struct fs *fs)
{
    struct plog_id id = rig_id(0);
    char path[FS_PATH_MAX];
    unsigned count = 0;

    segment_directory_path(&id, path);
    return fs->ops->list(fs, path, count_name, &count) == 0 ? count : 0;
}

START_TEST(a_large_log_is_removed_in_steps)
{
    unsigned before, step;

    rig.config.segment_bytes = 20000;
    rig.options.delete_step_bytes = 50000;
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 200, 1, 2000);
    rig_wait(&rig, 3000); /* all of it is in files and in the manifest */
    before = count_files(rig.fs);
    ck_assert_uint_ge(before, 20);
    plog_delete(rig.logs[0]);
    rig.logs[0] = NULL;
    rig_pump(&rig);
    step = before - count_files(rig.fs);
    ck_assert_uint_ge(step, 1);
    ck_assert_uint_le(step, 3);
    for (unsigned left = before - step; left > 0; left = count_files(rig.fs)) {
        rig_pump(&rig);
        ck_assert_uint_eq(count_files(rig.fs), left); /* not before its time */
        rig_wait(&rig, 300);
        ck_assert_uint_lt(count_files(rig.fs), left);
    }
}
END_TEST

/* Whoever answers for the log in between would say where it began before, and look up there what is not known any more. */
START_TEST(its_owner_hears_at_once_that_a_log_begins_later)
{
    unsigned notified = 0;

    rig.config.segment_bytes = 20000;
    rig.config.retention_bytes = 30000;
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 200, 1, 2000);
    for (int i = 0; i < 100 && plog_start_offset(rig.logs[0]) == 0; i++) {
        rig_pump(&rig);
        ck_assert_uint_eq(plog_start_offset(rig.logs[0]), 0);
        notified = rig.notify_count;
        rig.now_ms += 100;
        (void)store_tick(rig.store, rig.now_ms, rig.now_wall_ms);
    }
    ck_assert_uint_gt(plog_start_offset(rig.logs[0]), 0);
    ck_assert_uint_gt(rig.notify_count, notified);
}
END_TEST

START_TEST(a_stop_does_not_wait_for_the_steps_of_a_removal)
{
    rig.config.segment_bytes = 20000;
    rig.config.retention_bytes = 30000;
    rig.options.delete_step_bytes = 20000;
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 200, 1, 2000);
    rig_wait(&rig, 3000);
    rig_stop(&rig);
    ck_assert_uint_le(count_files(rig.fs), 4);
    rig_open(&rig, 1);
    ck_assert_uint_gt(plog_start_offset(rig.logs[0]), 150);
    ck_assert_uint_gt(rig_check(&rig, rig.logs[0], plog_start_offset(rig.logs[0]), 200, 9000), 0);
}
END_TEST

START_TEST(async_logs_are_written_at_the_end_of_the_turn)
{
    rig.config.flush = PLOG_FLUSH_ASYNC;
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 100, 1, 1000);
    store_end_turn(rig.store, rig.now_ms, rig.now_wall_ms);
    ck_assert_uint_eq(plog_written_offset(rig.logs[0]), 100);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), 0);
    rig_wait(&rig, 1500);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), 100);
    rig_fill(&rig, rig.logs[0], 100, 1, 1000);
    store_end_turn(rig.store, rig.now_ms, rig.now_wall_ms);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 200, 9000), 200);
    rig_crash(&rig);
    rig_open(&rig, 1); /* only the process died: the kernel has the rest */
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 200, 9000), 200);
}
END_TEST

static void note_done(void *user, int error)
{
    *(int *)user = error;
}

START_TEST(a_truncation_is_durable_and_appends_go_on_behind_it)
{
    int done = 1;

    rig.config.segment_bytes = 100000;
    rig_open(&rig, 2);
    rig_fill(&rig, rig.logs[0], 300, 2, 500);
    rig_wait(&rig, 3000);
    rig_fill(&rig, rig.logs[0], 100, 2, 500);
    ck_assert_int_eq(plog_truncate(rig.logs[0], 301, note_done, &done), 0);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 1), MESH_EAGAIN);
    rig_pump(&rig);
    ck_assert_int_eq(done, 0);
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), 300);
    rig_fill(&rig, rig.logs[0], 10, 1, 500);
    rig_pump(&rig);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 310, 9000), 160);
    rig_crash(&rig);
    rig_open(&rig, 2);
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), 310);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 310, 9000), 160);
}
END_TEST

START_TEST(the_bytes_behind_an_offset_are_estimated)
{
    uint64_t end, before = UINT64_MAX;

    rig.config.segment_bytes = 100000;
    rig_open(&rig, 1);
    ck_assert_uint_eq(plog_bytes_from(rig.logs[0], 0), 0);
    rig_fill(&rig, rig.logs[0], 600, 2, 500);
    for (int pass = 0; pass < 2; pass++) { /* the last ones still in memory, then all in files */
        end = plog_end_offset(rig.logs[0]);
        ck_assert_uint_eq(plog_bytes_from(rig.logs[0], 0), plog_size_bytes(rig.logs[0]));
        ck_assert_uint_eq(plog_bytes_from(rig.logs[0], end), 0);
        ck_assert_uint_eq(plog_bytes_from(rig.logs[0], end + 7), 0);
        before = UINT64_MAX;
        for (uint64_t offset = 0; offset <= end; offset++) {
            uint64_t bytes = plog_bytes_from(rig.logs[0], offset);
            double exact = (double)plog_size_bytes(rig.logs[0]) * (double)(end - offset) / (double)end; /* all batches are alike */
            ck_assert_uint_le(bytes, before);
            ck_assert_msg((double)bytes > exact - 3000 && (double)bytes < exact + 3000, "%lu of %lu: %lu, not %f", offset, end, bytes, exact);
            before = bytes;
        }
        rig_wait(&rig, 3000);
    }
}
END_TEST

/* Forward, as behind a leader whose retention went on; then back, to 0 too. */
START_TEST(a_restarted_log_is_empty_and_goes_on_elsewhere)
{
    static const uint64_t places[] = {5000, 40, 0};
    static const int32_t epochs[] = {2, -1, 1}; /* of the record before: before the first there is none */
    static const int32_t want[] = {2, -1, -1};
    int done;

    rig.config.segment_bytes = 100000;
    rig_open(&rig, 2);
    rig_fill(&rig, rig.logs[0], 300, 2, 500);
    rig_wait(&rig, 3000);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        rig_fill(&rig, rig.logs[0], 100, 2, 500);
        done = 1;
        ck_assert_int_eq(plog_restart(rig.logs[0], places[i], epochs[i], note_done, &done), 0);
        ck_assert_int_eq(plog_restart(rig.logs[0], places[i], epochs[i], note_done, &done), MESH_EAGAIN);
        ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 1), MESH_EAGAIN);
        rig_pump(&rig);
        ck_assert_int_eq(done, 0);
        ck_assert_uint_eq(plog_start_offset(rig.logs[0]), places[i]);
        ck_assert_uint_eq(plog_end_offset(rig.logs[0]), places[i]);
        ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), places[i]);
        ck_assert_uint_eq(plog_size_bytes(rig.logs[0]), 0);
        ck_assert_int_eq(plog_last_epoch(rig.logs[0]), want[i]);
        rig_crash(&rig); /* empty */
        rig_open(&rig, 2);
        ck_assert_int_eq(plog_last_epoch(rig.logs[0]), want[i]);
        if (want[i] >= 0) ck_assert_int_eq(plog_epoch_at(rig.logs[0], places[i] - 1), want[i]);
        ck_assert_uint_eq(plog_start_offset(rig.logs[0]), places[i]);
        ck_assert_uint_eq(plog_end_offset(rig.logs[0]), places[i]);
        rig_fill(&rig, rig.logs[0], 10, 1, 500);
        rig_pump(&rig);
        rig_crash(&rig); /* with what came after */
        rig_open(&rig, 2);
        ck_assert_uint_eq(plog_start_offset(rig.logs[0]), places[i]);
        ck_assert_uint_eq(plog_end_offset(rig.logs[0]), places[i] + 10);
        ck_assert_uint_eq(rig_check(&rig, rig.logs[0], places[i], places[i] + 10, 9000), 10);
        ck_assert_uint_eq(rig.report.holes, 0);
    }
}
END_TEST

START_TEST(the_high_watermark_is_kept_and_never_too_high)
{
    int done = 1;

    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 100, 1, 100);
    ck_assert_uint_eq(plog_high_watermark(rig.logs[0]), 0);
    plog_set_high_watermark(rig.logs[0], 80);
    rig_stop(&rig);
    rig_open(&rig, 1);
    ck_assert_uint_eq(plog_high_watermark(rig.logs[0]), 80);
    ck_assert_int_eq(plog_truncate(rig.logs[0], 50, note_done, &done), 0);
    rig_wait(&rig, 1000);
    ck_assert_int_eq(done, 0);
    ck_assert_uint_eq(plog_high_watermark(rig.logs[0]), 50);
    rig_fill(&rig, rig.logs[0], 50, 1, 100); /* none of it is committed, and no manifest says so */
    rig_pump(&rig);
    rig_crash(&rig);
    rig_open(&rig, 1);
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), 100);
    ck_assert_uint_le(plog_high_watermark(rig.logs[0]), 50);
}
END_TEST

START_TEST(retention_keeps_what_is_not_committed)
{
    rig.config.segment_bytes = 50000;
    rig.config.retention_bytes = 200000;
    rig_open(&rig, 1);
    plog_set_high_watermark(rig.logs[0], 0);
    rig_fill(&rig, rig.logs[0], 1000, 1, 1000);
    rig_wait(&rig, 10000);
    ck_assert_uint_eq(plog_start_offset(rig.logs[0]), 0);
    plog_set_high_watermark(rig.logs[0], 300);
    rig_wait(&rig, 10000);
    ck_assert_uint_gt(plog_start_offset(rig.logs[0]), 200);
    ck_assert_uint_le(plog_start_offset(rig.logs[0]), 300);
    plog_set_high_watermark(rig.logs[0], 1000);
    rig_wait(&rig, 10000);
    ck_assert_uint_gt(plog_start_offset(rig.logs[0]), 700);
}
END_TEST

START_TEST(what_is_given_up_goes_by_whole_segments)
{
    rig.config.segment_bytes = 50000;
    rig_open(&rig, 1);
    plog_set_high_watermark(rig.logs[0], 600);
    rig_fill(&rig, rig.logs[0], 1000, 1, 1000);
    plog_trim(rig.logs[0], 500);
    plog_trim(rig.logs[0], 100); /* late */
    rig_wait(&rig, 10000);
    ck_assert_uint_gt(plog_start_offset(rig.logs[0]), 440);
    ck_assert_uint_le(plog_start_offset(rig.logs[0]), 500);
    plog_trim(rig.logs[0], 900);
    rig_wait(&rig, 10000);
    ck_assert_uint_gt(plog_start_offset(rig.logs[0]), 540);
    ck_assert_uint_le(plog_start_offset(rig.logs[0]), 600); /* the rest is not committed */
    plog_set_high_watermark(rig.logs[0], 1000);
    rig_wait(&rig, 10000);
    ck_assert_uint_gt(plog_start_offset(rig.logs[0]), 840);
    plog_trim(rig.logs[0], 1000);
    rig_wait(&rig, 10000);
    ck_assert_uint_eq(plog_start_offset(rig.logs[0]), 1000);
    ck_assert_uint_eq(plog_size_bytes(rig.logs[0]), 0);
    rig_fill(&rig, rig.logs[0], 5, 1, 1000);
    rig_crash(&rig);
    rig_open(&rig, 1);
    ck_assert_uint_eq(plog_start_offset(rig.logs[0]), 1000);
}
END_TEST

START_TEST(retention_drops_whole_segments_by_size_and_by_time)
{
    rig.config.segment_bytes = 50000;
    rig.config.retention_bytes = 200000;
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 1000, 1, 1000);
    rig_wait(&rig, 10000);
    ck_assert_uint_lt(plog_size_bytes(rig.logs[0]), 260000);
    ck_assert_uint_gt(plog_start_offset(rig.logs[0]), 700);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], plog_start_offset(rig.logs[0]), 1000, 9000),
                      1000 - plog_start_offset(rig.logs[0]));
    rig.config.retention_ms = 60000;
    plog_set_config(rig.logs[0], &rig.config);
    rig_wait(&rig, 70000);
    ck_assert_uint_eq(plog_start_offset(rig.logs[0]), 1000);
    ck_assert_uint_eq(plog_size_bytes(rig.logs[0]), 0);
    rig_fill(&rig, rig.logs[0], 1, 1, 1000);
    rig_stop(&rig);
    rig_open(&rig, 1);
    ck_assert_uint_eq(plog_start_offset(rig.logs[0]), 1000);
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), 1001);
}
END_TEST

/* A quorum's choice hangs on it: a replica whose records are all too old has not forgotten that it had them. */
START_TEST(a_log_that_retention_emptied_knows_its_last_epoch)
{
    int32_t epoch, found;

    rig.config.retention_ms = 60000;
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 100, 1, 1000);
    rig_wait(&rig, 10000);
    epoch = plog_last_epoch(rig.logs[0]);
    ck_assert_int_ge(epoch, 0);
    rig_wait(&rig, 90000);
    for (int life = 0; life < 3; life++) {
        ck_assert_uint_eq(plog_start_offset(rig.logs[0]), 100);
        ck_assert_uint_eq(plog_end_offset(rig.logs[0]), 100);
        ck_assert_int_eq(plog_last_epoch(rig.logs[0]), epoch);
        ck_assert_uint_eq(plog_epoch_end_offset(rig.logs[0], epoch, &found), 100);
        ck_assert_int_eq(found, epoch);
        ck_assert_uint_eq(plog_epoch_end_offset(rig.logs[0], epoch - 1, &found), 100);
        ck_assert_int_eq(found, -1);
        ck_assert_int_eq(plog_truncate(rig.logs[0], 100, NULL, NULL), 0); /* nothing of it begins there */
        if (life == 0) rig_stop(&rig);
        else rig_crash(&rig);
        rig_open(&rig, 1);
    }
}
END_TEST

START_TEST(an_idle_store_gives_memory_and_files_back)
{
    struct store_stats stats;

    rig_open(&rig, 4);
    for (int i = 0; i < 4; i++)
        rig_fill(&rig, rig.logs[i], 100, 1, 1000);
    rig_wait(&rig, 30000);
    store_get_stats(rig.store, &stats);
    ck_assert_uint_eq(stats.memory_bytes, 0);
    ck_assert_uint_eq(stats.open_file_count, 0);
    ck_assert_uint_eq(stats.pending_bytes, 0);
    ck_assert_uint_eq(stats.journal_live_bytes, 0);
    ck_assert_uint_ge(store_tick(rig.store, rig.now_ms, rig.now_wall_ms), 61000); /* the scrubber looks through it once a week */
}
END_TEST

struct found {
    int error;
    int64_t offset, timestamp_ms;
};

static void note_found(void *user, int error, int64_t offset, int64_t timestamp_ms)
{
    *(struct found *)user = (struct found){error, offset, timestamp_ms};
}

START_TEST(a_time_finds_the_first_record_at_or_after_it)
{
    int64_t start_ms = rig.now_wall_ms;

    rig.config.segment_bytes = 20000;
    rig_open(&rig, 1);
    for (int i = 0; i < 300; i++) {
        rig_fill(&rig, rig.logs[0], 1, 1, 300);
        rig.now_wall_ms += 10;
        if (i == 250) rig_wait(&rig, 0);
    }
    for (int i = 0; i < 300; i += 7) {
        struct found found = {1, 0, 0};
        ck_assert_int_eq(plog_find_time(rig.logs[0], start_ms + i * 10 - 5, 300, note_found, &found), 0);
        rig_pump_lane(&rig, STORE_LANE_READ);
        ck_assert_int_eq(found.error, 0);
        ck_assert_int_eq(found.offset, i);
        ck_assert_int_eq(found.timestamp_ms, start_ms + i * 10);
    }
    rig_stop(&rig);
    rig_open(&rig, 1);
    for (int i = 0; i < 310; i += 5) {
        struct found found = {1, 0, 0};
        ck_assert_int_eq(plog_find_time(rig.logs[0], start_ms + i * 10, 300, note_found, &found), 0);
        rig_pump_lane(&rig, STORE_LANE_READ);
        ck_assert_int_eq(found.error, i < 300 ? 0 : MESH_ENOTFOUND);
        ck_assert_int_eq(found.offset, i < 300 ? i : -1);
    }
}
END_TEST

START_TEST(producers_are_known_again_after_stop_and_crash)
{
    struct record_batch_header header = {
        .producer_id = 77, .producer_epoch = 1, .base_sequence = 4, .record_count = 1};
    uint64_t base_offset = 0;

    rig_open(&rig, 1);
    for (int32_t i = 0; i < 8; i++)
        ck_assert_int_eq(rig_append_producer(&rig, rig.logs[0], 77, 1, i), 0);
    rig_stop(&rig);
    rig_open(&rig, 1);
    ck_assert_int_eq(plog_check_producer(rig.logs[0], &header, &base_offset), MESH_EDUPLICATE_SEQUENCE);
    ck_assert_uint_eq(base_offset, 4);
    ck_assert_int_eq(rig_append_producer(&rig, rig.logs[0], 77, 1, 8), 0);
    rig_pump_lane(&rig, STORE_LANE_SYNC);
    rig_crash(&rig);
    rig_open(&rig, 1);
    header.base_sequence = 8;
    ck_assert_int_eq(plog_check_producer(rig.logs[0], &header, &base_offset), MESH_EDUPLICATE_SEQUENCE);
    ck_assert_uint_eq(base_offset, 8);
    header.base_sequence = 9;
    ck_assert_int_eq(plog_check_producer(rig.logs[0], &header, &base_offset), 0);
}
END_TEST

START_TEST(a_deleted_log_leaves_nothing_behind)
{
    struct plog_id id = rig_id(0);

    rig_open(&rig, 2);
    rig_fill(&rig, rig.logs[0], 10, 1, 1000);
    rig_fill(&rig, rig.logs[1], 10, 1, 1000);
    rig_wait(&rig, 3000);
    rig_fill(&rig, rig.logs[0], 10, 1, 1000);
    plog_delete(rig.logs[0]);
    rig.logs[0] = NULL;
    rig_wait(&rig, 3000);
    rig_stop(&rig);
    rig_open(&rig, 0);
    rig_crash(&rig);
    rig_open(&rig, 2);
    ck_assert_uint_eq(rig.report.log_count, 1);
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), 0);
    ck_assert_uint_eq(plog_end_offset(rig.logs[1]), 10);
    (void)id;
}
END_TEST

static Suite *store_suite(void)
{
    Suite *suite = suite_create("store");
    TCase *tcase = tcase_create("store");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, what_is_appended_reads_back_from_memory_and_becomes_durable);
    tcase_add_test(tcase, a_tiny_turn_costs_one_block_of_journal);
    tcase_add_loop_test(tcase, a_small_sync_needs_no_thread, 0, 3);
    tcase_add_test(tcase, a_large_sync_needs_one);
    tcase_add_test(tcase, old_records_are_read_from_segments);
    tcase_add_test(tcase, segments_roll_by_size);
    tcase_add_test(tcase, a_clean_stop_is_believed);
    tcase_add_test(tcase, a_stop_that_was_not_clean_is_told_until_somebody_knows);
    tcase_add_test(tcase, what_was_durable_survives_a_crash);
    tcase_add_test(tcase, what_was_never_synced_is_gone_after_a_crash);
    tcase_add_test(tcase, a_busy_log_goes_direct_and_comes_back);
    tcase_add_test(tcase, a_direct_write_that_overtakes_a_checkpoint_is_found_again);
    tcase_add_test(tcase, memory_and_journal_limits_push_back_and_let_go);
    tcase_add_test(tcase, async_logs_are_written_at_the_end_of_the_turn);
    tcase_add_test(tcase, a_truncation_is_durable_and_appends_go_on_behind_it);
    tcase_add_test(tcase, the_bytes_behind_an_offset_are_estimated);
    tcase_add_test(tcase, a_restarted_log_is_empty_and_goes_on_elsewhere);
    tcase_add_test(tcase, the_high_watermark_is_kept_and_never_too_high);
    tcase_add_test(tcase, retention_keeps_what_is_not_committed);
    tcase_add_test(tcase, what_is_given_up_goes_by_whole_segments);
    tcase_add_test(tcase, retention_drops_whole_segments_by_size_and_by_time);
    tcase_add_test(tcase, a_log_that_retention_emptied_knows_its_last_epoch);
    tcase_add_test(tcase, a_large_log_is_removed_in_steps);
    tcase_add_test(tcase, its_owner_hears_at_once_that_a_log_begins_later);
    tcase_add_test(tcase, a_stop_does_not_wait_for_the_steps_of_a_removal);
    tcase_add_test(tcase, an_idle_store_gives_memory_and_files_back);
    tcase_add_test(tcase, a_time_finds_the_first_record_at_or_after_it);
    tcase_add_test(tcase, producers_are_known_again_after_stop_and_crash);
    tcase_add_test(tcase, a_deleted_log_leaves_nothing_behind);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return run_suite(store_suite());
}
