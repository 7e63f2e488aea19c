#include "support/node_disk.h"

#include "base/assert.h"
#include "base/buffer.h"
#include "base/error.h"

#include <stdlib.h>

struct stored_entry {
    struct raft_entry entry; /* its body is owned */
};

struct disk_job {
    enum node_output_type type;
    uint64_t term, damaged_until, committed, offset, total;
    struct raft_server voted_for;
    struct raft_position position;
    struct raft_config config;
    struct buffer bytes;
    struct raft_entry *entries;
    size_t entry_count;
    bool is_last;
};

struct node_disk {
    uint64_t term, damaged_until, committed;
    struct raft_server voted_for;
    struct raft_entry *entries;
    size_t count, capacity;
    struct raft_position snapshot;
    struct raft_config config;
    struct buffer bytes, staging, recovery;
    struct raft_position staged;
    bool is_broken, damages_chunk;
};

static struct raft_entry copy_entry(const struct raft_entry *entry)
{
    struct raft_entry copy = *entry;
    uint8_t *body = malloc(entry->body.size + 1);

    MESH_ASSERT(body != NULL);
    if (entry->body.size != 0) memcpy(body, entry->body.data, entry->body.size);
    copy.body = slice_of(body, entry->body.size);
    return copy;
}

static void free_body(struct raft_entry *entry)
{
    free((void *)(uintptr_t)entry->body.data);
}

struct disk_job *disk_job_new(const struct node_output *output)
{
    struct disk_job *job = calloc(1, sizeof(*job));

    MESH_ASSERT(job != NULL);
    job->type = output->type;
    job->term = output->term;
    job->damaged_until = output->damaged_until;
    job->committed = output->committed;
    job->voted_for = output->voted_for;
    job->position = output->position;
    job->offset = output->offset;
    job->total = output->total;
    job->is_last = output->is_last;
    if (output->config != NULL) job->config = *output->config;
    if (output->bytes.size != 0) MESH_ASSERT(buffer_append(&job->bytes, output->bytes.data, output->bytes.size) == 0);
    if (output->type == NODE_OUTPUT_SNAPSHOT_TAKE) MESH_ASSERT(image_encode(output->image, &job->bytes) == 0);
    if (output->entry_count == 0) return job;
    job->entries = malloc(output->entry_count * sizeof(job->entries[0]));
    MESH_ASSERT(job->entries != NULL);
    for (size_t i = 0; i < output->entry_count; i++)
        job->entries[i] = copy_entry(&output->entries[i]);
    job->entry_count = output->entry_count;
    return job;
}

void disk_job_free(struct disk_job *job)
{
    if (job == NULL) return;
    for (size_t i = 0; i < job->entry_count; i++)
        free_body(&job->entries[i]);
    free(job->entries);
    buffer_deinit(&job->bytes);
    free(job);
}

struct node_disk *node_disk_new(void)
{
    struct node_disk *disk = calloc(1, sizeof(*disk));

    MESH_ASSERT(disk != NULL);
    return disk;
}

static void cut(struct node_disk *disk, uint64_t from)
{
    while (disk->count != 0 && disk->entries[disk->count - 1].index >= from)
        free_body(&disk->entries[--disk->count]);
}

void node_disk_free(struct node_disk *disk)
{
    cut(disk, 0);
    free(disk->entries);
    buffer_deinit(&disk->bytes);
    buffer_deinit(&disk->staging);
    buffer_deinit(&disk->recovery);
    free(disk);
}

static void drop_first(struct node_disk *disk, uint64_t until)
{
    size_t dropped = 0;

    while (dropped < disk->count && disk->entries[dropped].index <= until)
        free_body(&disk->entries[dropped++]);
    memmove(disk->entries, disk->entries + dropped, (disk->count - dropped) * sizeof(disk->entries[0]));
    disk->count -= dropped;
}

static void append(struct node_disk *disk, const struct disk_job *job)
{
    disk->committed = job->committed;
    for (size_t i = 0; i < job->entry_count; i++) {
        const struct raft_entry *entry = &job->entries[i];

        if (entry->index <= disk->snapshot.index) continue;
        if (i == 0 || job->entries[i - 1].index <= disk->snapshot.index) cut(disk, entry->index);
        MESH_ASSERT(entry->index == (disk->count == 0 ? disk->snapshot.index : disk->entries[disk->count - 1].index) + 1);
        if (disk->count == disk->capacity) {
            disk->capacity = disk->capacity * 2 + 16;
            disk->entries = realloc(disk->entries, disk->capacity * sizeof(disk->entries[0]));
            MESH_ASSERT(disk->entries != NULL);
        }
        disk->entries[disk->count++] = copy_entry(entry);
    }
}

static void set_snapshot(struct node_disk *disk, const struct raft_position *position, const struct raft_config *config, struct slice bytes)
{
    buffer_clear(&disk->bytes);
    MESH_ASSERT(buffer_append(&disk->bytes, bytes.data, bytes.size) == 0);
    disk->snapshot = *position;
    disk->config = *config;
}

static bool holds(const struct node_disk *disk, const struct raft_position *position)
{
    for (size_t i = 0; i < disk->count; i++)
        if (disk->entries[i].index == position->index) return disk->entries[i].term == position->term;
    return false;
}

static int add_chunk(struct node_disk *disk, const struct disk_job *job)
{
    if (job->offset == 0) {
        buffer_clear(&disk->staging);
        disk->staged = job->position;
    }
    if (job->offset != disk->staging.size || disk->staged.index != job->position.index) return MESH_ECORRUPT;
    MESH_ASSERT(buffer_append(&disk->staging, job->bytes.data, job->bytes.size) == 0);
    if (!job->is_last) return 0;
    if (disk->damages_chunk || disk->staging.size != job->total) {
        disk->damages_chunk = false;
        return MESH_ECORRUPT;
    }
    if (holds(disk, &job->position))
        drop_first(disk, job->position.index);
    else
        cut(disk, 0);
    set_snapshot(disk, &job->position, &job->config, buffer_slice(&disk->staging));
    buffer_clear(&disk->staging);
    return 0;
}

int node_disk_do(struct node_disk *disk, const struct disk_job *job)
{
    if (disk->is_broken) return MESH_EIO;
    switch ((int)job->type) {
    case NODE_OUTPUT_STORE_STATE:
        MESH_ASSERT(job->term >= disk->term);
        disk->term = job->term;
        disk->voted_for = job->voted_for;
        disk->damaged_until = job->damaged_until;
        return 0;
    case NODE_OUTPUT_STORE_ENTRIES: append(disk, job); return 0;
    case NODE_OUTPUT_STORE_CHUNK: return add_chunk(disk, job);
    case NODE_OUTPUT_STORE_RECOVERY:
        buffer_clear(&disk->recovery);
        MESH_ASSERT(buffer_append(&disk->recovery, job->bytes.data, job->bytes.size) == 0);
        return 0;
    case NODE_OUTPUT_SNAPSHOT_TAKE:
        if (job->position.index <= disk->snapshot.index) return MESH_EINVAL;
        set_snapshot(disk, &job->position, &job->config, buffer_slice(&job->bytes));
        drop_first(disk, job->position.index);
        return 0;
    }
    MESH_ASSERT(false);
    return MESH_EINVAL;
}

int node_disk_image(const struct node_disk *disk, struct image **ret_image)
{
    return image_decode(buffer_slice(&disk->bytes), ret_image);
}

void node_disk_recover(const struct node_disk *disk, struct raft_recovered *ret_recovered, struct image **ret_image)
{
    *ret_recovered = (struct raft_recovered){
        .term = disk->term,
        .voted_for = disk->voted_for,
        .snapshot = disk->snapshot,
        .snapshot_config = disk->config,
        .committed = disk->committed > disk->snapshot.index ? disk->committed : disk->snapshot.index,
        .damaged_until = disk->damaged_until,
        .entry_count = disk->count,
    };
    *ret_image = NULL;
    if (disk->snapshot.index != 0) MESH_ASSERT(node_disk_image(disk, ret_image) == 0);
    if (disk->count == 0) {
        ret_recovered->committed = disk->snapshot.index;
        return;
    }
    if (ret_recovered->committed > disk->entries[disk->count - 1].index) ret_recovered->committed = disk->entries[disk->count - 1].index;
    ret_recovered->entries = malloc(disk->count * sizeof(disk->entries[0]));
    MESH_ASSERT(ret_recovered->entries != NULL);
    memcpy((void *)(uintptr_t)ret_recovered->entries, disk->entries, disk->count * sizeof(disk->entries[0]));
}

int node_disk_read(const struct node_disk *disk, uint64_t index, uint64_t offset, uint64_t size, struct node_snapshot *ret_snapshot)
{
    if (disk->snapshot.index == 0 || (index != 0 && index != disk->snapshot.index)) return MESH_ENOTFOUND;
    *ret_snapshot = (struct node_snapshot){.position = disk->snapshot, .config = disk->config, .total = disk->bytes.size};
    if (offset >= disk->bytes.size) return 0;
    if (size > disk->bytes.size - offset) size = disk->bytes.size - offset;
    ret_snapshot->bytes = slice_of(disk->bytes.data + offset, size);
    return 0;
}

struct slice node_disk_recovery(const struct node_disk *disk)
{
    return buffer_slice(&disk->recovery);
}

void node_disk_damage_chunk(struct node_disk *disk)
{
    disk->damages_chunk = true;
}

void node_disk_break(struct node_disk *disk)
{
    disk->is_broken = true;
}
