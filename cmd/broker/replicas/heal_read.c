/* replicas/heal_read.c - see the header. */
#include "cmd/broker/replicas/heal_read.h"

#include "base/error.h"
#include "cmd/broker/replicas/replicas_internal.h"
#include "cmd/broker/runtime/long_memory.h"
#include "segment/healing.h"

#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#define VIEWS_MAX 32

/* ---- the READ thread ---- */

static int read_extent(const struct plog_extent *extent, uint8_t *to)
{
    size_t at = 0;

    if (extent->file == NULL) {
        memcpy(to, extent->memory, extent->size);
        return 0;
    }
    while (at < extent->size) {
        ssize_t size = pread(extent->file->fd, to + at, extent->size - at, (off_t)(extent->position + at));

        if (size <= 0) return size == 0 ? MESH_ECORRUPT : MESH_EIO; /* cut short under our feet, or the disk */
        at += (size_t)size;
    }
    return 0;
}

static int read_views(struct heal_read *read)
{
    size_t used = 0;

    read->bytes = long_memory_take(read->answer.bytes + 1);
    if (read->bytes == NULL) return MESH_ENOMEM;
    for (uint32_t i = 0; i < read->view_count; i++) {
        for (uint32_t k = 0; k < read->views[i].extent_count; k++) {
            int err = read_extent(&read->views[i].extents[k], read->bytes + used);

            if (err != 0) return err;
            used += read->views[i].extents[k].size;
        }
    }
    return 0;
}

static int verify(const struct heal_read *read)
{
    for (size_t used = 0; used < read->answer.bytes;) {
        struct slice at = slice_of(read->bytes + used, read->answer.bytes - used);
        struct record_batch_header header;

        if (record_batch_parse_header(at, &header) != 0 || header.size > at.size) return MESH_ECORRUPT;
        if (record_batch_verify(slice_of(at.data, header.size), &header) != 0) return MESH_ECORRUPT;
        used += header.size;
    }
    return 0;
}

static void finish(struct heal_read *read);

static void read_home(struct mail *mail)
{
    finish(container_of(mail, struct heal_read, mail));
}

static void read_run(struct mail *mail)
{
    struct heal_read *read = container_of(mail, struct heal_read, mail);

    read->error = read_views(read);
    if (read->error == 0) read->error = verify(read);
    /* Batches as they are stored, leader epochs included: where segments begin makes no difference. */
    if (read->error == 0)
        crypto_generichash(read->answer.digest, HEAL_DIGEST_SIZE, read->bytes, read->answer.bytes, NULL, 0);
    read->mail.deliver = read_home;
    shard_post(read->shard, &read->mail);
}

/* ---- the shard ---- */

static void release_views(struct heal_read *read)
{
    for (uint32_t i = 0; i < read->view_count; i++)
        plog_view_release(&read->views[i]);
    free(read->views);
    read->views = NULL;
    read->view_count = 0;
}

static void finish(struct heal_read *read)
{
    struct shard_partition *partition = read->partition;

    release_views(read);
    if ((read->error == MESH_ECORRUPT || read->error == MESH_EIO) && partition != NULL && partition->plog != NULL)
        plog_suspect(partition->plog, read->request.from);
    if (partition != NULL) shard_partition_release(partition);
    read->partition = NULL;
    read->done(read);
}

/* Everything that is wanted, as far as it is there. */
static int take_views(struct heal_read *read)
{
    struct shard_partition *partition = read->partition;
    uint64_t committed = partition->replica.partition.high_watermark, at = read->request.from;
    uint64_t limit = read->request.to < committed ? read->request.to : committed;
    int err = 0;

    if (at >= limit) return MESH_EOFFSET_OUT_OF_RANGE;
    read->views = malloc(VIEWS_MAX * sizeof(*read->views));
    if (read->views == NULL) return MESH_ENOMEM;
    while (at < limit && read->view_count < VIEWS_MAX && read->answer.bytes < read->request.bytes_max) {
        struct plog_view *view = &read->views[read->view_count];

        err = plog_read(partition->plog, at, limit, read->request.bytes_max - (uint32_t)read->answer.bytes, view);
        if (err != 0 || view->size == 0) break;
        if (read->view_count > 0 && read->answer.bytes + view->size > read->request.bytes_max) {
            plog_view_release(view);
            break;
        }
        read->view_count++;
        read->answer.bytes += view->size;
        at = view->next_offset;
    }
    read->answer.next_offset = at;
    if (err == MESH_EAGAIN) read->shard->has_more = true; /* the store's job starts at once */
    if (read->view_count > 0) return 0;
    return err != 0 ? err : MESH_EOFFSET_OUT_OF_RANGE; /* one batch, which goes beyond the limit */
}

void heal_read_start(struct shard *shard, struct heal_read *read)
{
    read->shard = shard;
    read->views = NULL;
    read->view_count = 0;
    read->bytes = NULL;
    read->answer = (struct heal_answer){0};
    read->partition = shard_partition_find(shard, &read->request.topic_id, read->request.partition);
    read->error = MESH_EUNKNOWN_TOPIC;
    if (read->partition != NULL) {
        read->partition->pending++;
        read->error = take_views(read);
    }
    if (read->error != 0) {
        finish(read);
        return;
    }
    read->mail.deliver = read_run;
    lane_post(&shard->broker->read_lane, &read->mail);
}

void heal_read_deinit(struct heal_read *read)
{
    long_memory_give(read->bytes);
    read->bytes = NULL;
}
