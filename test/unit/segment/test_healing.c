/* Damage of every kind, found and mended with records from elsewhere: what the log serves is always right, and at the end it is
 * whole again, also when the power fails at any moment of a repair. */
#include "store_rig.h"

#include "base/error.h"
#include "segment/healing.h"
#include "segment/segment_file.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define BATCHES 400 /* of one record, so that offsets count batches */
#define PIECE   3000u
#define MORE    20

static struct fs_mem *disk;
static struct rig rig;
static uint8_t *copy; /* what another replica has: all batches, one behind the other */
static uint64_t starts[4 * BATCHES + 1];

static void set_up(void)
{
    disk = fs_mem_new(1);
    rig_init(&rig, fs_mem_fs(disk));
    rig.config.segment_bytes = 14u << 10;
    rig.options.scrub_first_ms = 1000;
    rig.options.scrub_rest_ms = 3000;
    copy = NULL;
}

static void tear_down(void)
{
    free(copy);
    rig_deinit(&rig);
    fs_mem_free(disk);
}

/* The other replica gets what this one has now. */
static void take_copy(void)
{
    struct plog *plog = rig.logs[0];
    size_t size = 0;

    free(copy);
    copy = malloc(4u << 20);
    for (uint64_t offset = 0; offset < plog_end_offset(plog); offset++) {
        struct plog_view view;
        int err;
        while ((err = plog_read(plog, offset, offset + 1, 1, &view)) == MESH_EAGAIN)
            rig_pump_lane(&rig, STORE_LANE_READ);
        ck_assert_int_eq(err, 0);
        starts[offset] = size;
        for (uint32_t i = 0; i < view.extent_count; i++) {
            const struct plog_extent *extent = &view.extents[i];
            size_t got = extent->size;
            if (extent->file == NULL) memcpy(copy + size, extent->memory, extent->size);
            else ck_assert_int_eq(extent->file->fs->ops->read(extent->file, copy + size, extent->size, extent->position, &got), 0);
            size += extent->size;
        }
        plog_view_release(&view);
    }
    starts[plog_end_offset(plog)] = size;
}

static struct slice piece_of(uint64_t from, uint64_t to, size_t bytes_max)
{
    uint64_t end = from + 1;

    while (end < to && starts[end + 1] - starts[from] <= bytes_max)
        end++;
    return slice_of(copy + starts[from], starts[end] - starts[from]);
}

static void fill_and_reopen(void)
{
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], BATCHES, 1, 100);
    rig_pump(&rig);
    take_copy();
    rig_stop(&rig);
    rig_open(&rig, 1);
    ck_assert_uint_gt(plog_segment_count(rig.logs[0]), 3);
}

/* The base offset of the segment with this number. */
static uint64_t base_of(unsigned number)
{
    static uint64_t found[64];
    static unsigned count;
    struct plog_id id = rig_id(0);
    char path[FS_PATH_MAX];

    count = 0;
    for (uint64_t offset = 0; offset <= 4 * BATCHES && count < 64; offset++) {
        struct fs_file *file = NULL;
        segment_path(&id, offset, SEGMENT_PATH_LOG, path);
        if (fs_open(rig.fs, path, FS_READ, &file) != 0) continue;
        fs_unref(file);
        found[count++] = offset;
    }
    ck_assert_uint_lt(number, count);
    return found[number];
}

static void path_of(uint64_t base_offset, char path[FS_PATH_MAX])
{
    struct plog_id id = rig_id(0);

    segment_path(&id, base_offset, SEGMENT_PATH_LOG, path);
}

/* ---- mending ---- */

struct outcome {
    int error;
    bool is_done;
};

static void on_done(void *user, int error)
{
    *(struct outcome *)user = (struct outcome){error, true};
}

static int repair(uint64_t offset, struct slice piece)
{
    struct outcome outcome = {0, false};
    int err = plog_repair(rig.logs[0], offset, piece, on_done, &outcome);

    if (err != 0) return err;
    for (int i = 0; i < 10 && !outcome.is_done; i++)
        rig_pump(&rig);
    ck_assert(outcome.is_done);
    return outcome.error;
}

/* As an owner does it: what is sound after all first, then piece by piece. Returns the first error. */
static int heal(void)
{
    struct plog_damage damage;
    int err = 0;

    while (err == 0 && plog_find_damage(rig.logs[0], 0, &damage)) {
        uint64_t from = damage.from;
        err = repair(from, slice_of(NULL, 0));
        if (err != 0 || !plog_find_damage(rig.logs[0], 0, &damage)) break;
        if (damage.from == from) err = repair(from, piece_of(from, damage.to, PIECE));
    }
    return err;
}

static void check_whole(uint64_t end)
{
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 0);
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), end);
    rig_check(&rig, rig.logs[0], 0, end, 1u << 20);
    rig_check(&rig, rig.logs[0], 0, end, 1);
}

/* Whatever is served is right; how much is refused. */
static unsigned count_refused(void)
{
    struct plog *plog = rig.logs[0];
    unsigned refused = 0;

    for (uint64_t offset = 0; offset < plog_end_offset(plog); offset++) {
        struct plog_view view;
        int err;
        while ((err = plog_read(plog, offset, offset + 1, 1, &view)) == MESH_EAGAIN)
            rig_pump_lane(&rig, STORE_LANE_READ);
        ck_assert_msg(err == 0 || err == MESH_ECORRUPT, "offset %lu: %s", offset, mesh_strerror(err));
        if (err != 0) {
            refused++;
            continue;
        }
        plog_view_release(&view);
        rig_check(&rig, plog, offset, offset + 1, 1);
    }
    return refused;
}

/* ---- kinds of damage ---- */

static void cut_file(const char *path, uint64_t size)
{
    struct fs_file *file = NULL;

    ck_assert_int_eq(fs_open(rig.fs, path, FS_WRITE, &file), 0);
    ck_assert_int_eq(rig.fs->ops->truncate(file, size), 0);
    ck_assert_int_eq(rig.fs->ops->sync(file), 0);
    fs_unref(file);
}

static void remove_file(const char *path)
{
    char directory[FS_PATH_MAX];

    ck_assert_int_eq(rig.fs->ops->unlink(rig.fs, path), 0);
    memcpy(directory, path, FS_PATH_MAX);
    *strrchr(directory, '/') = '\0';
    ck_assert_int_eq(rig.fs->ops->sync_dir(rig.fs, directory), 0);
}

enum harm { HARM_BODY, HARM_EPOCH, HARM_LENGTH, HARM_OFFSET, HARM_SECTOR, HARM_CUT, HARM_CUT_ALL, HARM_GONE, HARM_COUNT };

static void do_harm(enum harm harm, unsigned segment_number)
{
    static const unsigned bytes[] = {[HARM_BODY] = 80, [HARM_EPOCH] = 15, [HARM_LENGTH] = 10, [HARM_OFFSET] = 7};
    uint64_t base = base_of(segment_number), batch = starts[base + 5] - starts[base];
    char path[FS_PATH_MAX];

    path_of(base, path);
    switch (harm) {
    case HARM_SECTOR: ck_assert_int_eq(fs_mem_zero_sector(disk, path, batch), 0); break;
    case HARM_CUT: cut_file(path, batch + 30); break;
    case HARM_CUT_ALL: cut_file(path, 0); break;
    case HARM_GONE: remove_file(path); break;
    default: ck_assert_int_eq(fs_mem_flip_bit(disk, path, batch + bytes[harm], 1), 0);
    }
}

static unsigned last_number(void)
{
    return plog_segment_count(rig.logs[0]) - 1;
}

/* In the first segment, one in the middle, and the one that is appended to. */
static unsigned place(int number)
{
    return number == 0 ? 0 : number == 1 ? 2 : last_number();
}

START_TEST(the_scrubber_finds_all_damage_and_pieces_from_elsewhere_mend_it)
{
    set_up();
    fill_and_reopen();
    do_harm((enum harm)(_i % HARM_COUNT), place(_i / HARM_COUNT));
    rig_wait(&rig, 6000);
    ck_assert_uint_gt(plog_damage_count(rig.logs[0]), 0);
    ck_assert_uint_gt(count_refused(), 0);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES);
    rig_fill(&rig, rig.logs[0], BATCHES, 1, 100);
    check_whole(2 * BATCHES);
    rig_wait(&rig, 6000); /* another pass finds nothing */
    check_whole(2 * BATCHES);
    rig_stop(&rig);
    rig_open(&rig, 1);
    check_whole(2 * BATCHES);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* Appends do not wait for the repair, nor do they get in its way. */
START_TEST(a_log_with_damage_goes_on)
{
    set_up();
    fill_and_reopen();
    do_harm((enum harm)_i, last_number());
    rig_fill(&rig, rig.logs[0], BATCHES, 1, 100);
    rig_wait(&rig, 6000);
    ck_assert_uint_gt(plog_damage_count(rig.logs[0]), 0);
    rig_stop(&rig);
    rig_open(&rig, 1);
    ck_assert_uint_gt(plog_damage_count(rig.logs[0]), 0); /* it is remembered */
    ck_assert_uint_gt(count_refused(), 0);
    ck_assert_int_eq(heal(), 0);
    check_whole(2 * BATCHES);
    rig_crash(&rig);
    rig_open(&rig, 1);
    ck_assert_int_eq(heal(), 0);
    check_whole(2 * BATCHES);
    rig_stop(&rig);
    tear_down();
}
END_TEST

START_TEST(a_file_that_is_gone_when_a_crash_is_recovered_from_is_a_hole)
{
    set_up();
    fill_and_reopen();
    rig_fill(&rig, rig.logs[0], 10, 1, 100); /* not stopped cleanly any more */
    rig_pump(&rig);
    do_harm(HARM_GONE, (unsigned)_i);
    rig_crash(&rig);
    for (int i = 0; i < 2; i++) {
        rig_open(&rig, 1);
        ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1); /* the same one, however often it starts */
        ck_assert_uint_gt(count_refused(), 0);
        rig_fill(&rig, rig.logs[0], 10, 1, 100);
        rig_pump(&rig);
        rig_crash(&rig);
    }
    rig_open(&rig, 1);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES + 30);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* ---- bad pieces ---- */

enum lie { LIE_BODY, LIE_EPOCH, LIE_LATER, LIE_EARLIER, LIE_BEYOND, LIE_HALF, LIE_COUNT };

START_TEST(pieces_that_are_not_what_was_lost_are_refused)
{
    struct plog_damage damage;
    struct slice piece;
    uint8_t *bad;
    uint64_t from;

    set_up();
    fill_and_reopen();
    do_harm(HARM_BODY, 2);
    rig_wait(&rig, 6000);
    ck_assert(plog_find_damage(rig.logs[0], 0, &damage));
    from = damage.from;
    ck_assert_uint_eq(damage.to, from + 1);
    piece = piece_of(_i == LIE_LATER ? from + 1 : _i == LIE_EARLIER ? from - 1 : from, _i == LIE_BEYOND ? from + 3 : from + 1, PIECE);
    bad = malloc(piece.size);
    memcpy(bad, piece.data, piece.size);
    if (_i == LIE_BODY) bad[80] ^= 1;
    if (_i == LIE_EPOCH) bad[15] ^= 4;
    ck_assert_int_eq(repair(from, slice_of(bad, _i == LIE_HALF ? piece.size - 1 : piece.size)), MESH_ECORRUPT);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1);
    ck_assert_uint_eq(count_refused(), 1);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES);
    free(bad);
    rig_stop(&rig);
    tear_down();
}
END_TEST

START_TEST(what_is_sound_after_all_is_taken_back_without_a_piece)
{
    uint64_t base;
    char path[FS_PATH_MAX];

    set_up();
    fill_and_reopen();
    do_harm(HARM_BODY, 1);
    rig_wait(&rig, 6000);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1);
    base = base_of(1);
    path_of(base, path);
    ck_assert_int_eq(fs_mem_flip_bit(disk, path, starts[base + 5] - starts[base] + 80, 1), 0);
    ck_assert_int_eq(repair(base + 5, slice_of(NULL, 0)), 0);
    check_whole(BATCHES);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* The owner says that records are wrong though they are sound: they are not believed, but replaced. */
START_TEST(condemned_records_are_not_served_until_they_are_replaced)
{
    uint64_t from, to;

    set_up();
    fill_and_reopen();
    from = base_of(1) - 3;
    to = base_of(1) + 4;
    ck_assert_int_eq(plog_condemn(rig.logs[0], from, to), 0);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 2); /* in two files */
    ck_assert_uint_eq(count_refused(), 7);
    ck_assert_int_eq(repair(from, slice_of(NULL, 0)), 0);
    ck_assert_uint_eq(count_refused(), 7);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES);
    ck_assert_int_eq(plog_condemn(rig.logs[0], BATCHES - 1, BATCHES + 1), MESH_EOFFSET_OUT_OF_RANGE);
    rig_stop(&rig);
    tear_down();
}
END_TEST

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

/* Nothing is appended to the log of a follower that has lost records and waits for them: it must not need that to be heard of. */
START_TEST(damage_that_was_known_before_a_restart_is_told_at_once)
{
    set_up();
    fill_and_reopen();
    do_harm(HARM_OFFSET, 1);
    rig_wait(&rig, 6000);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1);
    rig_stop(&rig);
    rig.notify_count = 0;
    rig_open(&rig, 1);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1);
    rig_pump(&rig);
    ck_assert_uint_gt(rig.notify_count, 0);
    rig_stop(&rig);
    tear_down();
}
END_TEST

START_TEST(what_is_doubted_is_looked_at_at_once)
{
    set_up();
    rig.options.scrub_first_ms = 3600000;
    fill_and_reopen();
    do_harm(HARM_BODY, 3);
    rig_wait(&rig, 2000);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 0);
    plog_suspect(rig.logs[0], base_of(3) + 5);
    rig_wait(&rig, 200);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* The pass over everything may fall due with the last step of a look at what is doubted, which ends where the next segment begins. */
START_TEST(a_pass_begins_where_a_doubt_has_ended)
{
    set_up();
    rig.options.scrub_first_ms = 3600000;
    fill_and_reopen();
    do_harm(HARM_BODY, 3);
    plog_suspect(rig.logs[0], base_of(1) + 5);
    rig.now_ms += 3600000;
    rig_wait(&rig, 6000);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* Between two steps of a pass the log is cut, and other batches come: where the pass stood none of them begins. */
START_TEST(a_pass_does_not_go_on_inside_of_what_came_after_a_cut)
{
    struct store_stats stats = {.scrubbed_bytes = 0};
    struct outcome outcome = {0, false};
    struct plog *plog;

    set_up();
    rig.config.flush = PLOG_FLUSH_ASYNC;
    rig.config.flush_bytes = 1;
    rig_open(&rig, 1);
    plog = rig.logs[0];
    rig_fill(&rig, plog, 20, 1, 100);
    while (stats.scrubbed_bytes == 0) {
        rig_wait(&rig, 10);
        store_get_stats(rig.store, &stats);
    }
    ck_assert_int_eq(plog_truncate(plog, 19, on_done, &outcome), 0);
    for (int i = 0; i < 10 && !outcome.is_done; i++)
        rig_pump(&rig);
    ck_assert(outcome.is_done);
    rig_fill(&rig, plog, 4, 1, 300);
    rig_wait(&rig, 6000);
    ck_assert_uint_eq(plog_end_offset(plog), 23);
    ck_assert_uint_eq(plog_damage_count(plog), 0);
    rig_stop(&rig);
    tear_down();
}
END_TEST

static void cut_at(uint64_t offset)
{
    struct outcome outcome = {0, false};

    ck_assert_int_eq(plog_truncate(rig.logs[0], offset, on_done, &outcome), 0);
    for (int i = 0; i < 10 && !outcome.is_done; i++)
        rig_pump(&rig);
    ck_assert(outcome.is_done && outcome.error == 0);
}

/* The manifest ends at 14. Then the log is cut at 12, goes on with other batches, and is cut at 14. */
START_TEST(what_a_manifest_knew_of_records_that_were_cut_is_not_believed)
{
    set_up();
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 14, 1, 100);
    rig_stop(&rig);
    rig_open(&rig, 1);
    cut_at(12);
    rig_fill(&rig, rig.logs[0], 4, 1, 300);
    cut_at(14);
    rig_fill(&rig, rig.logs[0], 1, 1, 200);
    rig_pump(&rig);
    rig_crash(&rig);
    rig_open(&rig, 1);
    check_whole(15);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* A log is deleted while it is looked at, and then another one is doubted: what is found belongs to the one that is gone. */
START_TEST(what_is_found_in_a_deleted_log_is_not_said_of_another)
{
    struct store_job *job;

    set_up();
    rig.options.scrub_first_ms = 3600000;
    rig_open(&rig, 2);
    for (int i = 0; i < 2; i++)
        rig_fill(&rig, rig.logs[i], BATCHES, 1, 100);
    rig_pump(&rig);
    rig_stop(&rig);
    rig_open(&rig, 2);
    rig_wait(&rig, 2000);
    do_harm(HARM_BODY, 3);
    plog_suspect(rig.logs[0], base_of(3) + 5);
    job = store_next_job(rig.store, STORE_LANE_BACKGROUND);
    ck_assert_ptr_nonnull(job);
    store_job_run(job);
    plog_delete(rig.logs[0]);
    plog_suspect(rig.logs[1], 0);
    store_job_complete(rig.store, job);
    ck_assert_uint_eq(plog_damage_count(rig.logs[1]), 0);
    rig_wait(&rig, 200); /* and it is looked at from where it is doubted */
    ck_assert_uint_eq(plog_damage_count(rig.logs[1]), 0);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* A log can be cut to where its damage begins, or into it: the ordinary way of replication brings the rest again. */
START_TEST(a_log_is_cut_where_its_damage_begins)
{
    struct outcome outcome = {0, false};
    uint64_t base;

    set_up();
    fill_and_reopen();
    base = base_of(2);
    do_harm((enum harm)_i, 2);
    rig_wait(&rig, 6000);
    ck_assert_uint_gt(plog_damage_count(rig.logs[0]), 0);
    ck_assert_int_eq(plog_truncate(rig.logs[0], base + 5, on_done, &outcome), 0);
    for (int i = 0; i < 20 && !outcome.is_done; i++)
        rig_pump(&rig);
    ck_assert(outcome.is_done);
    ck_assert_int_eq(outcome.error, 0);
    ck_assert_uint_le(plog_end_offset(rig.logs[0]), base + 5);
    check_whole(plog_end_offset(rig.logs[0]));
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* ---- the power fails ---- */

/* Tries to heal with a power cut at the nth operation. True: it was through before that. */
static bool heal_until_crash(enum harm harm, unsigned segment_number, uint64_t nth, enum fs_mem_loss loss)
{
    bool is_through;

    set_up();
    fill_and_reopen();
    do_harm(harm, segment_number);
    rig_wait(&rig, 2200);
    ck_assert_uint_gt(plog_damage_count(rig.logs[0]), 0);
    fs_mem_crash_at(disk, nth);
    (void)heal();
    rig_pump(&rig);
    is_through = !fs_mem_is_crashed(disk);
    rig_crash(&rig);
    fs_mem_crash_at(disk, 0);
    fs_mem_reboot(disk, loss);
    rig_open(&rig, 1);
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), BATCHES);
    (void)count_refused();
    rig_wait(&rig, 2200); /* the scrubber finds what is not in the register any more */
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES);
    rig_stop(&rig);
    tear_down();
    return is_through;
}

START_TEST(a_power_cut_at_any_moment_of_a_repair_loses_nothing_that_was_sound)
{
    static const enum harm harms[] = {HARM_BODY, HARM_CUT, HARM_GONE};
    bool is_through = false;

    for (uint64_t nth = 1; !is_through; nth++) {
        ck_assert_uint_lt(nth, 500);
        is_through = heal_until_crash(harms[_i], _i == 1 ? 0 : 2, nth, (enum fs_mem_loss)(nth % FS_MEM_LOSE_MODES));
    }
}
END_TEST

START_TEST(a_disk_that_fails_during_a_repair_leaves_the_damage_in_the_register)
{
    set_up();
    fill_and_reopen();
    do_harm(HARM_CUT, 1);
    rig_wait(&rig, 2200);
    fs_mem_fail(disk, 1u << (_i == 0 ? FS_MEM_OP_WRITE : FS_MEM_OP_SYNC), 1, MESH_EIO, false);
    ck_assert_int_eq(heal(), MESH_EIO);
    ck_assert_uint_gt(plog_damage_count(rig.logs[0]), 0);
    ck_assert_uint_gt(count_refused(), 0);
    ck_assert_int_eq(plog_error(rig.logs[0]), _i == 0 ? 0 : MESH_ESTORAGE); /* a failed sync may have taken others' bytes along */
    rig_crash(&rig);
    fs_mem_reboot(disk, FS_MEM_LOSE_UNSYNCED);
    rig_open(&rig, 1);
    rig_wait(&rig, 2200);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES);
    rig_stop(&rig);
    tear_down();
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("healing");
    TCase *tests = tcase_create("segment");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, the_scrubber_finds_all_damage_and_pieces_from_elsewhere_mend_it, 0, 3 * HARM_COUNT);
    tcase_add_loop_test(tests, a_log_with_damage_goes_on, 0, HARM_COUNT);
    tcase_add_loop_test(tests, a_file_that_is_gone_when_a_crash_is_recovered_from_is_a_hole, 0, 3);
    tcase_add_loop_test(tests, pieces_that_are_not_what_was_lost_are_refused, 0, LIE_COUNT);
    tcase_add_test(tests, what_is_sound_after_all_is_taken_back_without_a_piece);
    tcase_add_test(tests, condemned_records_are_not_served_until_they_are_replaced);
    tcase_add_loop_test(tests, offsets_and_epochs_that_do_not_belong_there_are_noticed, 0, 3);
    tcase_add_test(tests, a_leader_epoch_that_has_not_been_is_damage);
    tcase_add_test(tests, a_leader_epoch_that_has_not_been_may_be_of_records_that_are_gone);
    tcase_add_loop_test(tests, a_wrong_count_of_offsets_is_damage_from_its_own_batch_on, 0, 2);
    tcase_add_test(tests, a_cut_where_headers_led_astray_leaves_whole_batches);
    tcase_add_test(tests, what_is_found_in_a_segment_that_has_gone_is_no_damage);
    tcase_add_test(tests, damage_that_was_known_before_a_restart_is_told_at_once);
    tcase_add_test(tests, what_is_doubted_is_looked_at_at_once);
    tcase_add_test(tests, a_pass_begins_where_a_doubt_has_ended);
    tcase_add_test(tests, a_pass_does_not_go_on_inside_of_what_came_after_a_cut);
    tcase_add_test(tests, what_a_manifest_knew_of_records_that_were_cut_is_not_believed);
    tcase_add_test(tests, what_is_found_in_a_deleted_log_is_not_said_of_another);
    tcase_add_loop_test(tests, a_log_is_cut_where_its_damage_begins, 0, HARM_COUNT);
    tcase_add_loop_test(tests, a_power_cut_at_any_moment_of_a_repair_loses_nothing_that_was_sound, 0, 3);
    tcase_add_loop_test(tests, a_disk_that_fails_during_a_repair_leaves_the_damage_in_the_register, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return run_suite(suite());
}
