#include "healing_rig.h"

#include "base/error.h"
#include "segment/healing.h"
#include "segment/segment_file.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

struct fs_mem *disk;
struct rig rig;
uint8_t *copy;
uint64_t starts[4 * BATCHES + 1];

void set_up(void)
{
    disk = fs_mem_new(1);
    rig_init(&rig, fs_mem_fs(disk));
    rig.config.segment_bytes = 14u << 10;
    rig.options.scrub_first_ms = 1000;
    rig.options.scrub_rest_ms = 3000;
    copy = NULL;
}

void tear_down(void)
{
    free(copy);
    rig_deinit(&rig);
    fs_mem_free(disk);
}

/* The other replica gets what this one has now. */
void take_copy(void)
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

struct slice piece_of(uint64_t from, uint64_t to, size_t bytes_max)
{
    uint64_t end = from + 1;

    while (end < to && starts[end + 1] - starts[from] <= bytes_max)
        end++;
    return slice_of(copy + starts[from], starts[end] - starts[from]);
}

void fill_and_reopen(void)
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
uint64_t base_of(unsigned number)
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

void path_of(uint64_t base_offset, char path[FS_PATH_MAX])
{
    struct plog_id id = rig_id(0);

    segment_path(&id, base_offset, SEGMENT_PATH_LOG, path);
}

/* ---- mending ---- */

void on_done(void *user, int error)
{
    *(struct outcome *)user = (struct outcome){error, true};
}

int repair(uint64_t offset, struct slice piece)
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
int heal(void)
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

void check_whole(uint64_t end)
{
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 0);
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), end);
    rig_check(&rig, rig.logs[0], 0, end, 1u << 20);
    rig_check(&rig, rig.logs[0], 0, end, 1);
}

/* Whatever is served is right; how much is refused. */
unsigned count_refused(void)
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

void cut_file(const char *path, uint64_t size)
{
    struct fs_file *file = NULL;

    ck_assert_int_eq(fs_open(rig.fs, path, FS_WRITE, &file), 0);
    ck_assert_int_eq(rig.fs->ops->truncate(file, size), 0);
    ck_assert_int_eq(rig.fs->ops->sync(file), 0);
    fs_unref(file);
}

void remove_file(const char *path)
{
    char directory[FS_PATH_MAX];

    ck_assert_int_eq(rig.fs->ops->unlink(rig.fs, path), 0);
    memcpy(directory, path, FS_PATH_MAX);
    *strrchr(directory, '/') = '\0';
    ck_assert_int_eq(rig.fs->ops->sync_dir(rig.fs, directory), 0);
}

void do_harm(enum harm harm, unsigned segment_number)
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

unsigned last_number(void)
{
    return plog_segment_count(rig.logs[0]) - 1;
}
