#include "store_rig.h"

#include "base/error.h"
#include "wire/record_batch.h"

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EPOCH_FIRST 3

void rig_init(struct rig *rig, struct fs *fs)
{
    memset(rig, 0, sizeof(*rig));
    rig->fs = fs;
    if (fs == NULL) {
        snprintf(rig->directory, sizeof(rig->directory), "/tmp/mesh-store-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(rig->directory));
        ck_assert_int_eq(fs_real_new(rig->directory, &rig->fs), 0);
    }
    store_options_init(&rig->options, rig->fs, 0);
    rig->options.memory_bytes_max = 16u << 20;
    rig->options.journal_file_bytes = 4u << 20;
    rig->options.journal_bytes_max = 16u << 20;
    rig->options.free_bytes_min = 0;
    plog_config_init(&rig->config);
    rig->config.index_interval_bytes = 4096;
    rig->config.retention_ms = -1;
    rig->leader_epoch = EPOCH_FIRST;
    rig->now_ms = 1000;
    rig->now_wall_ms = 1700000000000;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void rig_deinit(struct rig *rig)
{
    store_close(rig->store);
    if (rig->directory[0] == '\0') return;
    rig->fs->ops->free(rig->fs);
    nftw(rig->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

struct plog_id rig_id(unsigned number)
{
    struct plog_id id = {.partition = number % 2};

    id.topic_id.bytes[0] = (uint8_t)(number / 2 + 1);
    id.topic_id.bytes[15] = 9;
    return id;
}

static void note_event(void *user, bool is_damage, const char *text)
{
    struct rig *rig = user;
    size_t used = strlen(rig->events);

    snprintf(rig->events + used, sizeof(rig->events) - used, "%s%s\n", is_damage ? "damage: " : "", text);
}

static void note_change(void *user, struct plog *plog)
{
    (void)plog;
    ((struct rig *)user)->notify_count++;
}

void rig_open(struct rig *rig, unsigned log_count)
{
    struct recovery_catalog *catalog;

    rig->events[0] = '\0';
    ck_assert_int_eq(recovery_run(rig->fs, note_event, rig, &catalog, &rig->report), 0);
    rig->options.manifest_generation = rig->report.generation + 1;
    ck_assert_int_eq(store_open(&rig->options, &rig->store), 0);
    store_set_notify(rig->store, note_change, rig);
    memset(rig->logs, 0, sizeof(rig->logs));
    for (unsigned i = 0; i < log_count; i++) {
        struct plog_id id = rig_id(i);
        ck_assert_int_eq(
            store_open_log(rig->store, &id, &rig->config, recovery_take(catalog, &id), &rig->logs[i]), 0);
    }
    recovery_catalog_free(catalog);
    store_end_turn(rig->store, rig->now_ms, rig->now_wall_ms);
}

void rig_crash(struct rig *rig)
{
    store_close(rig->store);
    rig->store = NULL;
}

void rig_stop(struct rig *rig)
{
    store_drain(rig->store);
    for (int i = 0; i < 1000 && !store_is_drained(rig->store); i++) {
        rig->now_ms += 10;
        store_tick(rig->store, rig->now_ms, rig->now_wall_ms);
        rig_pump(rig);
    }
    ck_assert(store_is_drained(rig->store));
    ck_assert_int_eq(store_drain_error(rig->store), 0);
    rig_crash(rig);
}

void rig_pump_lane(struct rig *rig, enum store_lane lane)
{
    struct store_job *job;

    while ((job = store_next_job(rig->store, lane)) != NULL) {
        store_job_run(job);
        store_job_complete(rig->store, job);
    }
}

void rig_pump(struct rig *rig)
{
    for (int i = 0; i < 3; i++) {
        store_end_turn(rig->store, rig->now_ms, rig->now_wall_ms);
        for (int lane = 0; lane < STORE_LANE_COUNT; lane++)
            rig_pump_lane(rig, (enum store_lane)lane);
    }
}

void rig_wait(struct rig *rig, uint64_t ms)
{
    uint64_t end_ms = rig->now_ms + ms;

    while (rig->now_ms < end_ms) {
        uint64_t step = end_ms - rig->now_ms < 100 ? end_ms - rig->now_ms : 100;
        rig->now_ms += step;
        rig->now_wall_ms += (int64_t)step;
        store_tick(rig->store, rig->now_ms, rig->now_wall_ms);
        rig_pump(rig);
    }
}

/* The first byte of a record's value tells its offset; the rest is a pattern. */
static void build(struct record_batch_builder *builder, uint64_t offset, int record_count, size_t value_size,
                  int64_t timestamp_ms, const struct record_batch_producer *producer, struct slice *ret_batch)
{
    uint8_t *value = malloc(value_size + 1);
    struct buffer unused = BUFFER_INIT;

    record_batch_builder_clear(builder);
    for (int i = 0; i < record_count; i++) {
        struct record record = {.timestamp_ms = timestamp_ms, .key_is_null = true};
        memset(value, (int)((offset + (uint64_t)i) * 7), value_size);
        record.value = slice_of(value, value_size);
        ck_assert_int_eq(record_batch_builder_add(builder, &record), 0);
    }
    ck_assert_int_eq(
        record_batch_builder_finish(builder, producer, 0, RECORD_COMPRESSION_NONE, &unused, ret_batch), 0);
    free(value);
}

static int append(struct rig *rig, struct plog *plog, int record_count, size_t value_size,
                  const struct record_batch_producer *producer)
{
    struct record_batch_builder builder;
    struct record_batch_header header;
    struct slice batch;
    uint64_t ticket;
    int err;

    record_batch_builder_init(&builder);
    build(&builder, plog_end_offset(plog), record_count, value_size, rig->now_wall_ms, producer, &batch);
    record_batch_set_base_offset((uint8_t *)(uintptr_t)batch.data, (int64_t)plog_end_offset(plog));
    record_batch_set_leader_epoch((uint8_t *)(uintptr_t)batch.data, rig->leader_epoch);
    ck_assert_int_eq(record_batch_verify(batch, &header), 0);
    if (rig->around_append != NULL) rig->around_append(true);
    err = plog_append(plog, &header, batch.data, rig->now_wall_ms, &ticket);
    if (rig->around_append != NULL) rig->around_append(false);
    record_batch_builder_deinit(&builder);
    return err;
}

int rig_append(struct rig *rig, struct plog *plog, int record_count, size_t value_size)
{
    struct record_batch_producer none = {-1, -1, -1};

    return append(rig, plog, record_count, value_size, &none);
}

int rig_append_producer(struct rig *rig, struct plog *plog, int64_t producer_id, int16_t epoch,
                        int32_t sequence)
{
    struct record_batch_producer producer = {producer_id, epoch, sequence};

    return append(rig, plog, 1, 10, &producer);
}

void rig_fill(struct rig *rig, struct plog *plog, unsigned batches, int record_count, size_t value_size)
{
    for (unsigned i = 0; i < batches; i++) {
        int err = rig_append(rig, plog, record_count, value_size);
        for (int tries = 0; err == MESH_EAGAIN && tries < 100; tries++) {
            rig_pump(rig);
            err = rig_append(rig, plog, record_count, value_size);
        }
        ck_assert_msg(err == 0, "append: %s", mesh_strerror(err));
    }
}

static void check_batch(struct slice bytes, uint64_t expected, struct record_batch_header *ret_header)
{
    struct record_iterator iterator;
    struct buffer scratch = BUFFER_INIT;
    struct record record;

    ck_assert_int_eq(record_batch_parse_header(bytes, ret_header), 0);
    ck_assert_uint_le(ret_header->size, bytes.size);
    ck_assert_int_eq(record_batch_verify(slice_of(bytes.data, ret_header->size), ret_header), 0);
    ck_assert_uint_eq((uint64_t)ret_header->base_offset, expected);
    ck_assert_int_eq(
        record_iterator_init(&iterator, slice_of(bytes.data, ret_header->size), &scratch, 1 << 20), 0);
    while (record_iterator_next(&iterator, &record) == 1) {
        size_t wrong = 0;
        for (size_t i = 0; i < record.value.size; i++)
            wrong += record.value.data[i] != (uint8_t)((uint64_t)record.offset * 7);
        ck_assert_uint_eq(wrong, 0);
    }
    buffer_deinit(&scratch);
}

static uint8_t *flatten(const struct plog_view *view)
{
    uint8_t *bytes = malloc(view->size + 1);
    size_t used = 0;

    for (uint32_t i = 0; i < view->extent_count; i++) {
        const struct plog_extent *extent = &view->extents[i];
        size_t got = extent->size;
        if (extent->file == NULL)
            memcpy(bytes + used, extent->memory, extent->size);
        else
            ck_assert_int_eq(
                extent->file->fs->ops->read(extent->file, bytes + used, extent->size, extent->position, &got),
                0);
        ck_assert_uint_eq(got, extent->size);
        used += extent->size;
    }
    ck_assert_uint_eq(used, view->size);
    return bytes;
}

unsigned rig_check(struct rig *rig, struct plog *plog, uint64_t offset, uint64_t limit, uint32_t bytes_max)
{
    unsigned batches = 0;

    while (offset < limit) {
        struct plog_view view;
        uint8_t *bytes;
        uint64_t expected = 0;
        int err;
        while ((err = plog_read(plog, offset, limit, bytes_max, &view)) == MESH_EAGAIN)
            rig_pump_lane(rig, STORE_LANE_READ);
        ck_assert_msg(err == 0, "read at %lu: %s", offset, mesh_strerror(err));
        ck_assert_msg(view.size > 0, "nothing at %lu", offset);
        bytes = flatten(&view);
        for (size_t used = 0; used < view.size;) {
            struct record_batch_header header;
            ck_assert_int_eq(record_batch_parse_header(slice_of(bytes + used, view.size - used), &header), 0);
            if (used == 0) {
                ck_assert_uint_le((uint64_t)header.base_offset, offset);
                expected = (uint64_t)header.base_offset;
            }
            if (used > 0) ck_assert_uint_le(used + header.size, bytes_max);
            check_batch(slice_of(bytes + used, view.size - used), expected, &header);
            expected = (uint64_t)record_batch_last_offset(&header) + 1;
            used += header.size;
            batches++;
        }
        ck_assert_uint_eq(view.next_offset, expected);
        ck_assert_uint_le(view.next_offset, limit);
        offset = view.next_offset;
        free(bytes);
        plog_view_release(&view);
    }
    return batches;
}
