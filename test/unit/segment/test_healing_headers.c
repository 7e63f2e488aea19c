/* Damage in headers: what no CRC covers, and what readers believe before they look at a CRC. */
#include "healing_rig.h"

#include "base/error.h"
#include "segment/healing.h"
#include "segment/segment_file.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* What no CRC covers is found when batches are read for a follower, which would take it for a lie. */
START_TEST(offsets_and_epochs_that_do_not_belong_there_are_noticed)
{
    static const enum harm harms[] = {HARM_BODY, HARM_EPOCH, HARM_OFFSET};
    struct plog_view view;
    uint64_t base, offset;
    uint8_t *bytes = malloc(1u << 20);
    size_t used = 0;

    set_up();
    fill_and_reopen();
    base = base_of(1);
    ck_assert_int_eq(plog_read(rig.logs[0], base, base_of(2), 1u << 20, &view), 0); /* which looks at few of the headers */
    do_harm(harms[_i], 1);
    for (uint32_t i = 0; i < view.extent_count; i++) {
        const struct plog_extent *extent = &view.extents[i];
        size_t got = 0;
        ck_assert_ptr_nonnull(extent->file);
        ck_assert_int_eq(extent->file->fs->ops->read(extent->file, bytes + used, extent->size, extent->position, &got), 0);
        used += got;
    }
    plog_view_release(&view);
    offset = base;
    ck_assert_int_eq(plog_check_headers(rig.logs[0], slice_of(bytes, starts[base + 1] - starts[base] - 1), &offset), MESH_EAGAIN);
    ck_assert_uint_eq(offset, base);
    ck_assert_int_eq(plog_check_headers(rig.logs[0], slice_of(bytes, used), &offset), _i == 0 ? 0 : MESH_ECORRUPT); /* a body has a CRC, which the follower checks */
    ck_assert_uint_eq(offset, _i == 0 ? view.next_offset : base + 5);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 0);
    rig_wait(&rig, 200); /* long before its turn in the pass */
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), _i == 0 ? 0 : 1);
    rig_wait(&rig, 6000);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES);
    rig_stop(&rig);
    free(bytes);
    tear_down();
}
END_TEST

/* No CRC covers a leader epoch, and recovery cannot know that one was never reached; its owner does. */
START_TEST(a_leader_epoch_that_has_not_been_is_damage)
{
    struct plog *plog;
    int32_t epoch;
    uint64_t base;
    char path[FS_PATH_MAX];

    set_up();
    rig.options.direct_enter_bytes = 1; /* past the journal, which would know better */
    fill_and_reopen();
    epoch = plog_last_epoch(rig.logs[0]);
    for (int i = 0; i < MORE; i++) { /* no manifest knows these: recovery reads them */
        rig_fill(&rig, rig.logs[0], 1, 1, 100);
        rig_pump(&rig);
    }
    take_copy();
    base = base_of(last_number());
    path_of(base, path);
    ck_assert_int_eq(fs_mem_flip_bit(disk, path, starts[BATCHES + MORE - 1] - starts[base] + 15, 5), 0);
    rig_crash(&rig);
    rig_open(&rig, 1);
    plog = rig.logs[0];
    ck_assert_int_eq(plog_last_epoch(plog), epoch + 32); /* else this is no test */
    ck_assert_int_eq(plog_limit_epoch(plog, epoch + 32), 0);
    ck_assert_uint_eq(count_refused(), 0);
    ck_assert_int_eq(plog_limit_epoch(plog, epoch), 0);
    ck_assert_int_eq(plog_last_epoch(plog), epoch);
    ck_assert_uint_eq(count_refused(), 1);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES + MORE);
    ck_assert_int_eq(plog_limit_epoch(plog, epoch), 0);
    check_whole(BATCHES + MORE);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* Batches past the journal, which would know better, and in no manifest: recovery reads them. `first` is the first of a new epoch, and claims one that
 * has not been. */
static void begin_epoch_badly(unsigned first)
{
    uint64_t base;
    char path[FS_PATH_MAX];

    set_up();
    rig.options.direct_enter_bytes = 1;
    fill_and_reopen();
    for (unsigned i = 0; i < MORE; i++) {
        rig.leader_epoch += i == first;
        rig_fill(&rig, rig.logs[0], 1, 1, 100);
        rig_pump(&rig);
    }
    take_copy();
    base = base_of(last_number());
    path_of(base, path);
    ck_assert_int_eq(fs_mem_flip_bit(disk, path, starts[BATCHES + first] - starts[base] + 15, 5), 0);
    rig_crash(&rig);
    rig_open(&rig, 1);
    ck_assert_int_eq(plog_last_epoch(rig.logs[0]), rig.leader_epoch + 32); /* else this is no test */
}

/* Which epoch was lost the books do not say then, and pieces say it; also after a restart, which must not take the last that is known for it. */
START_TEST(the_first_batch_of_an_epoch_is_mended_also_after_a_restart)
{
    struct plog *plog;
    int32_t epoch;

    begin_epoch_badly(_i % 2 == 0 ? MORE - 1 : MORE / 2);
    epoch = rig.leader_epoch;
    ck_assert_int_eq(plog_limit_epoch(rig.logs[0], epoch), 0);
    ck_assert_int_eq(plog_last_epoch(rig.logs[0]), epoch - 1);
    if (_i >= 2) {
        rig_stop(&rig);
        rig_open(&rig, 1);
        ck_assert_int_eq(plog_last_epoch(rig.logs[0]), epoch - 1);
    }
    plog = rig.logs[0];
    ck_assert_uint_gt(count_refused(), 0);
    ck_assert_int_eq(heal(), 0);
    check_whole(plog_end_offset(plog));
    ck_assert_uint_gt(plog_end_offset(plog), BATCHES + (_i % 2 == 0 ? MORE - 1 : MORE / 2));
    ck_assert_int_eq(plog_last_epoch(plog), epoch);
    ck_assert_int_eq(plog_epoch_at(plog, plog_end_offset(plog) - 1), epoch);
    ck_assert_int_eq(plog_epoch_at(plog, BATCHES), epoch - 1);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* Nobody else has the records: what is sound but for its epoch gets the one that it must have had. */
START_TEST(the_last_copy_gets_its_leader_epochs_back)
{
    struct outcome outcome = {0, false};
    struct plog_damage damage;
    struct plog *plog;
    int32_t epoch;
    uint64_t end;

    begin_epoch_badly(_i == 0 ? MORE - 1 : MORE / 2);
    plog = rig.logs[0];
    epoch = rig.leader_epoch;
    end = plog_end_offset(plog);
    ck_assert_int_eq(plog_limit_epoch(plog, epoch), 0);
    ck_assert(plog_find_damage(plog, 0, &damage));
    ck_assert_int_eq(repair(damage.from, slice_of(NULL, 0)), 0);
    ck_assert_uint_gt(count_refused(), 0);
    ck_assert_int_eq(plog_repair_epochs(plog, damage.from, epoch, on_done, &outcome), 0);
    for (int i = 0; i < 10 && !outcome.is_done; i++)
        rig_pump(&rig);
    ck_assert(outcome.is_done && outcome.error == 0);
    check_whole(end);
    ck_assert_int_eq(plog_last_epoch(plog), epoch);
    ck_assert_int_eq(plog_epoch_at(plog, BATCHES + (_i == 0 ? MORE - 1 : MORE / 2)), epoch);
    rig_fill(&rig, plog, 5, 1, 100);
    rig_pump(&rig);
    rig_crash(&rig);
    fs_mem_reboot(disk, FS_MEM_LOSE_UNSYNCED);
    rig_open(&rig, 1);
    ck_assert_int_eq(plog_last_epoch(rig.logs[0]), epoch); /* it is on the disk, too */
    check_whole(end + 5);
    rig_wait(&rig, 6000); /* nor does the scrubber find anything */
    check_whole(end + 5);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* What is in the middle the books know; what is condemned because other replicas have it otherwise stays. */
START_TEST(epochs_are_put_right_by_the_books_and_nothing_else_is)
{
    struct outcome outcome = {0, false};
    struct plog_damage damage;

    set_up();
    fill_and_reopen();
    do_harm(_i == 0 ? HARM_EPOCH : HARM_BODY, 2);
    rig_wait(&rig, 6000);
    if (_i == 2) {
        ck_assert_int_eq(heal(), 0);
        ck_assert_int_eq(plog_condemn(rig.logs[0], base_of(2) + 5, base_of(2) + 6), 0);
    }
    ck_assert(plog_find_damage(rig.logs[0], 0, &damage));
    ck_assert_uint_eq(damage.from, base_of(2) + 5);
    ck_assert_int_eq(plog_repair_epochs(rig.logs[0], damage.from, 1000, on_done, &outcome), 0);
    for (int i = 0; i < 10 && !outcome.is_done; i++)
        rig_pump(&rig);
    ck_assert(outcome.is_done && outcome.error == 0);
    ck_assert_uint_eq(count_refused(), _i == 0 ? 0 : 1);
    if (_i == 0) check_whole(BATCHES);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* Without memory nothing is half done: the claim stays where it can be found, or it is damage. */
START_TEST(a_leader_epoch_that_has_not_been_waits_for_memory)
{
    struct plog *plog;
    int32_t epoch;
    bool was_refused = true;

    for (unsigned n = 1; was_refused; n++) {
        int err;
        begin_epoch_badly(MORE - 1);
        plog = rig.logs[0];
        epoch = rig.leader_epoch;
        failing_alloc_arm(n);
        err = plog_limit_epoch(plog, epoch);
        was_refused = failing_alloc_disarm();
        if (err != 0) {
            ck_assert(was_refused);
            ck_assert_int_eq(err, MESH_ENOMEM);
            ck_assert_int_eq(plog_last_epoch(plog), epoch + 32);
            ck_assert_int_eq(plog_limit_epoch(plog, epoch), 0);
        }
        ck_assert_int_eq(plog_last_epoch(plog), epoch - 1);
        ck_assert_uint_eq(count_refused(), 1);
        ck_assert_int_eq(heal(), 0);
        check_whole(BATCHES + MORE);
        rig_stop(&rig);
        tear_down();
    }
}
END_TEST

/* A read that begins behind what is damaged comes upon headers that do not lead on. */
static void run_into(uint64_t offset)
{
    struct plog_view view;
    int err;

    while ((err = plog_read(rig.logs[0], offset, offset + 1, 1, &view)) == MESH_EAGAIN)
        rig_pump_lane(&rig, STORE_LANE_READ);
    ck_assert_int_eq(err, MESH_ECORRUPT);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1);
}

/* Where headers do not lead on, one that comes before may have led astray: a count of offsets that is wrong moves all that follow. What ends where that
 * one seems to end is no log of whole batches, and would be one record short of what it says. */
START_TEST(a_wrong_count_of_offsets_is_damage_from_its_own_batch_on)
{
    struct plog *plog;
    struct plog_damage damage;
    uint64_t base, bad;
    char path[FS_PATH_MAX];

    set_up();
    fill_and_reopen();
    plog = rig.logs[0];
    base = base_of((unsigned)_i == 0 ? 1 : last_number());
    bad = base + 40;
    path_of(base, path);
    ck_assert_int_eq(fs_mem_flip_bit(disk, path, starts[bad] - starts[base] + 26, 0), 0); /* the last offset's delta, which was 0 */
    run_into(bad + 2);
    ck_assert(plog_find_damage(plog, 0, &damage));
    ck_assert_uint_le(damage.from, bad);
    ck_assert_uint_gt(damage.to, bad);
    /* What is sound before it is taken back by a look at the CRCs; then the first that is damaged is this one. */
    ck_assert_int_eq(repair(damage.from, slice_of(NULL, 0)), 0);
    ck_assert(plog_find_damage(plog, 0, &damage));
    ck_assert_uint_eq(damage.from, bad);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* The owner cuts a log where it is damaged: what stays are whole batches, and as many records as the books say. */
START_TEST(a_cut_where_headers_led_astray_leaves_whole_batches)
{
    struct plog *plog;
    struct plog_damage damage;
    struct outcome outcome = {0, false};
    uint64_t base, bad, end;
    char path[FS_PATH_MAX];

    set_up();
    fill_and_reopen();
    plog = rig.logs[0];
    base = base_of(last_number());
    bad = base + 5;
    path_of(base, path);
    ck_assert_int_eq(fs_mem_flip_bit(disk, path, starts[bad] - starts[base] + 26, 0), 0);
    run_into(bad + 2);
    ck_assert(plog_find_damage(plog, 0, &damage));
    ck_assert_int_eq(plog_truncate(plog, damage.from, on_done, &outcome), 0);
    for (int i = 0; i < 10 && !outcome.is_done; i++)
        rig_pump(&rig);
    ck_assert(outcome.is_done && outcome.error == 0);
    end = plog_end_offset(plog);
    ck_assert_uint_le(end, bad);
    check_whole(end);
    rig_fill(&rig, plog, 10, 1, 100);
    check_whole(end + 10);
    rig_stop(&rig);
    rig_open(&rig, 1);
    check_whole(end + 10);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* A step of the scrubber takes its time; meanwhile retention may take the segment that it looks at. What it found there is nobody's. */
START_TEST(what_is_found_in_a_segment_that_has_gone_is_no_damage)
{
    struct store_job *job = NULL;
    struct plog *plog;
    uint64_t start;

    set_up();
    rig.options.scrub_first_ms = 3600000;
    fill_and_reopen();
    plog = rig.logs[0];
    do_harm(HARM_BODY, 0);
    plog_suspect(plog, 0);
    start = base_of(2);
    while (job == NULL) {
        rig.now_ms += 10;
        store_tick(rig.store, rig.now_ms, rig.now_wall_ms);
        job = store_next_job(rig.store, STORE_LANE_BACKGROUND);
    }
    store_job_run(job);
    plog_trim(plog, start);
    for (int i = 0; i < 1000 && plog_start_offset(plog) < start; i++) {
        rig.now_ms += 10;
        store_tick(rig.store, rig.now_ms, rig.now_wall_ms);
    }
    ck_assert_uint_eq(plog_start_offset(plog), start);
    store_job_complete(rig.store, job);
    ck_assert_uint_eq(plog_damage_count(plog), 0);
    rig_wait(&rig, 1000);
    ck_assert_uint_eq(plog_damage_count(plog), 0);
    rig_check(&rig, plog, start, BATCHES, 1u << 20);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* Retention may have taken the batch whose epoch was wrong; the books had it still. */
START_TEST(a_leader_epoch_that_has_not_been_may_be_of_records_that_are_gone)
{
    int32_t epoch;
    uint64_t base;
    char path[FS_PATH_MAX];

    set_up();
    rig.options.direct_enter_bytes = 1;
    fill_and_reopen();
    epoch = plog_last_epoch(rig.logs[0]);
    for (int i = 0; i < MORE; i++) {
        rig_fill(&rig, rig.logs[0], 1, 1, 100);
        rig_pump(&rig);
    }
    take_copy();
    base = base_of(last_number());
    path_of(base, path);
    ck_assert_int_eq(fs_mem_flip_bit(disk, path, starts[BATCHES + MORE - 1] - starts[base] + 15, 5), 0);
    rig_crash(&rig);
    rig_open(&rig, 1);
    plog_trim(rig.logs[0], BATCHES + MORE);
    rig_wait(&rig, 3000);
    ck_assert_uint_eq(plog_start_offset(rig.logs[0]), BATCHES + MORE);
    ck_assert_int_eq(plog_last_epoch(rig.logs[0]), epoch + 32);
    ck_assert_int_eq(plog_limit_epoch(rig.logs[0], epoch), 0);
    ck_assert_int_le(plog_last_epoch(rig.logs[0]), epoch);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 0);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* ---- more than one reason ---- */

/* A log of which the newest records are of an epoch of their own. */
static void fill_one_epoch_more(void)
{
    set_up();
    fill_and_reopen();
    rig.leader_epoch++;
    rig_fill(&rig, rig.logs[0], MORE, 1, 100);
    rig_pump(&rig);
    take_copy();
    rig_stop(&rig);
    rig_open(&rig, 1);
}

/* All that can be put right without pieces. */
static void put_epochs_right(int32_t epoch_max)
{
    struct plog_damage damage;

    for (uint64_t offset = 0; plog_find_damage(rig.logs[0], offset, &damage); offset = damage.to) {
        struct outcome outcome = {0, false};

        ck_assert_int_eq(repair(damage.from, slice_of(NULL, 0)), 0);
        if (plog_repair_epochs(rig.logs[0], damage.from, epoch_max, on_done, &outcome) == MESH_ENOTFOUND) continue;
        for (int i = 0; i < 10 && !outcome.is_done; i++)
            rig_pump(&rig);
        ck_assert(outcome.is_done && outcome.error == 0);
    }
}

/* That a range is doubted for its epochs, too, is no reason to believe again what is not right for another one. */
START_TEST(what_is_condemned_stays_so_when_epochs_are_doubted)
{
    static const struct {
        int from, to; /* from the first record of the epoch that is doubted */
    } condemned[] = {{5, 7}, {0, 1}, {-2, 2}, {MORE - 1, MORE}};
    int from = condemned[_i / 2].from, to = condemned[_i / 2].to;
    int32_t epoch;

    fill_one_epoch_more();
    epoch = rig.leader_epoch;
    ck_assert_int_eq(plog_condemn(rig.logs[0], (uint64_t)(BATCHES + from), (uint64_t)(BATCHES + to)), 0);
    ck_assert_int_eq(plog_limit_epoch(rig.logs[0], epoch - 1), 0);
    ck_assert_uint_eq(count_refused(), (unsigned)(MORE + (from < 0 ? -from : 0)));
    if (_i % 2 == 1) { /* that there are two reasons is in the manifest */
        rig_stop(&rig);
        rig_open(&rig, 1);
    }
    put_epochs_right(epoch);
    ck_assert_uint_eq(count_refused(), (unsigned)(to - from));
    ck_assert_int_eq(heal(), 0); /* the pieces are of an epoch that the books did not say */
    check_whole(BATCHES + MORE);
    ck_assert_int_eq(plog_last_epoch(rig.logs[0]), epoch);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* A batch that cannot be read for a while: it is damage, and then sound after all. */
static void find_what_passes(unsigned number, uint64_t at)
{
    uint64_t base = base_of(number);
    char path[FS_PATH_MAX];

    path_of(base, path);
    ck_assert_int_eq(fs_mem_flip_bit(disk, path, starts[at] - starts[base] + 80, 1), 0);
    rig_wait(&rig, 6000);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1);
    ck_assert_int_eq(fs_mem_flip_bit(disk, path, starts[at] - starts[base] + 80, 1), 0);
}

/* Damage is known, and a repair of it may be out; then its records are condemned, and to be sound is not enough any more. */
START_TEST(what_is_condemned_while_it_is_damaged_comes_back_by_pieces_only)
{
    struct outcome outcome = {0, true};
    uint64_t at;

    set_up();
    fill_and_reopen();
    at = base_of(1) + 5;
    find_what_passes(1, at);
    if (_i == 1) {
        outcome.is_done = false;
        ck_assert_int_eq(plog_repair(rig.logs[0], at, slice_of(NULL, 0), on_done, &outcome), 0);
    }
    ck_assert_int_eq(plog_condemn(rig.logs[0], at, at + 1), 0);
    for (int i = 0; i < 10 && !outcome.is_done; i++)
        rig_pump(&rig);
    ck_assert(outcome.is_done);
    (void)repair(at, slice_of(NULL, 0));
    ck_assert_uint_eq(count_refused(), 1);
    ck_assert_int_eq(outcome.error, _i == 1 ? MESH_ECANCELED : 0);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* A repair began when the books still had the epoch that has not been. */
START_TEST(epochs_that_are_doubted_while_a_repair_is_out_stay_so)
{
    struct outcome outcome = {0, false};
    uint64_t at = BATCHES; /* where the doubted range begins */
    struct plog_damage damage;
    int32_t epoch;

    fill_one_epoch_more();
    epoch = rig.leader_epoch;
    ck_assert_uint_le(base_of(last_number()), at);
    find_what_passes(last_number(), at);
    ck_assert_int_eq(plog_repair(rig.logs[0], at, slice_of(NULL, 0), on_done, &outcome), 0);
    ck_assert_int_eq(plog_limit_epoch(rig.logs[0], epoch - 1), 0);
    for (int i = 0; i < 10 && !outcome.is_done; i++)
        rig_pump(&rig);
    ck_assert(outcome.is_done);
    ck_assert(plog_find_damage(rig.logs[0], 0, &damage));
    ck_assert_uint_eq(damage.from, at);
    ck_assert_int_eq(outcome.error, MESH_ECANCELED);
    ck_assert_uint_eq(count_refused(), MORE);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES + MORE);
    ck_assert_int_eq(plog_last_epoch(rig.logs[0]), epoch);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* The first batch of a file is being mended when all of the file turns out to be gone: what was mended is no hole's end. */
START_TEST(a_file_that_goes_while_its_first_batch_is_mended_is_mended_as_a_whole)
{
    struct outcome outcome = {0, false};
    struct store_job *job;
    struct plog_view view;
    char path[FS_PATH_MAX];
    uint64_t base;

    set_up();
    fill_and_reopen();
    base = base_of(1);
    path_of(base, path);
    ck_assert_int_eq(fs_mem_flip_bit(disk, path, 80, 1), 0);
    rig_wait(&rig, 6000);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1);
    rig_stop(&rig);
    rig_open(&rig, 1); /* no file is open */
    ck_assert_int_eq(plog_repair(rig.logs[0], base, piece_of(base, base + 1, PIECE), on_done, &outcome), 0);
    job = store_next_job(rig.store, STORE_LANE_BACKGROUND);
    ck_assert_ptr_nonnull(job);
    store_job_run(job);
    remove_file(path);
    while (plog_read(rig.logs[0], base + 9, base + 10, 1, &view) == MESH_EAGAIN)
        rig_pump_lane(&rig, STORE_LANE_READ);
    store_job_complete(rig.store, job);
    rig_pump(&rig);
    ck_assert(outcome.is_done);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES);
    ck_assert_int_eq(outcome.error, MESH_ECANCELED);
    rig_stop(&rig);
    rig_open(&rig, 1);
    check_whole(BATCHES);
    rig_stop(&rig);
    tear_down();
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("healing headers");
    TCase *tests = tcase_create("segment");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, offsets_and_epochs_that_do_not_belong_there_are_noticed, 0, 3);
    tcase_add_test(tests, a_leader_epoch_that_has_not_been_is_damage);
    tcase_add_loop_test(tests, the_first_batch_of_an_epoch_is_mended_also_after_a_restart, 0, 4);
    tcase_add_loop_test(tests, the_last_copy_gets_its_leader_epochs_back, 0, 2);
    tcase_add_loop_test(tests, epochs_are_put_right_by_the_books_and_nothing_else_is, 0, 3);
    tcase_add_test(tests, a_leader_epoch_that_has_not_been_waits_for_memory);
    tcase_add_test(tests, a_leader_epoch_that_has_not_been_may_be_of_records_that_are_gone);
    tcase_add_loop_test(tests, a_wrong_count_of_offsets_is_damage_from_its_own_batch_on, 0, 2);
    tcase_add_test(tests, a_cut_where_headers_led_astray_leaves_whole_batches);
    tcase_add_test(tests, what_is_found_in_a_segment_that_has_gone_is_no_damage);
    tcase_add_loop_test(tests, what_is_condemned_stays_so_when_epochs_are_doubted, 0, 8);
    tcase_add_loop_test(tests, what_is_condemned_while_it_is_damaged_comes_back_by_pieces_only, 0, 2);
    tcase_add_test(tests, epochs_that_are_doubted_while_a_repair_is_out_stay_so);
    tcase_add_test(tests, a_file_that_goes_while_its_first_batch_is_mended_is_mended_as_a_whole);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return run_suite(suite());
}
