/* groups/tail.c - a log, batch by batch, into the state. What lies in memory is applied at once; what lies in files is brought by the read lane. */
#include "cmd/broker/groups/groups_internal.h"

#include <stdlib.h>

struct tail_read {
    struct mail mail;
    struct shard *shard;
    struct shard_partition *partition; /* its pending count holds it */
    struct group_replica *replica;     /* compared only: it may be another one by then */
    uint64_t from;
    uint32_t cut_count;
    struct plog_view view;
    struct buffer batches;
    int error;
};

static int copy_extent(const struct plog_extent *extent, struct buffer *to)
{
    size_t size = 0;
    int err = buffer_reserve(to, to->size + extent->size);

    if (err != 0) return err;
    if (extent->file == NULL) {
        memcpy(to->data + to->size, extent->memory, extent->size);
        size = extent->size;
    } else {
        err = extent->file->fs->ops->read(extent->file, to->data + to->size, extent->size, extent->position, &size);
    }
    if (err == 0 && size != extent->size) err = MESH_EIO;
    if (err == 0) to->size += size;
    return err;
}

static int copy_view(const struct plog_view *view, struct buffer *to)
{
    int err = 0;

    buffer_clear(to);
    for (uint32_t i = 0; i < view->extent_count && err == 0; i++)
        err = copy_extent(&view->extents[i], to);
    return err;
}

/* ---- through the read lane ---- */

static void read_ended(struct mail *mail)
{
    struct tail_read *read = container_of(mail, struct tail_read, mail);
    struct shard_partition *partition = read->partition;
    struct group_replica *replica = partition->plog == NULL ? NULL : partition->group;
    struct group_facts facts;

    if (replica != NULL && replica == read->replica) {
        replica->is_reading = false;
        groups_facts(read->shard, replica, &facts);
        if (read->error != 0)
            groups_look_at(read->shard, replica, read->shard->now_ms + GROUPS_RETRY_MS);
        else if (read->cut_count == partition->cut_count && replica->part.state != NULL && replica->part.lead == NULL && replica->part.applied == read->from)
            replica->is_stuck = group_part_take(&replica->part, &facts, buffer_slice(&read->batches)) == MESH_EAGAIN;
        groups_due(read->shard, replica);
    }
    shard_partition_release(partition);
    buffer_deinit(&read->batches);
    free(read);
}

/* On the READ thread. */
static void read_run(struct mail *mail)
{
    struct tail_read *read = container_of(mail, struct tail_read, mail);

    read->error = copy_view(&read->view, &read->batches);
    plog_view_release(&read->view);
    read->mail.deliver = read_ended;
    shard_post(read->shard, &read->mail);
}

/* Takes the view. */
static void read_later(struct shard *shard, struct group_replica *replica, uint64_t from, const struct plog_view *view)
{
    struct tail_read *read = calloc(1, sizeof(*read));

    if (read == NULL) {
        plog_view_release((struct plog_view *)(uintptr_t)view);
        groups_look_at(shard, replica, shard->now_ms + GROUPS_RETRY_MS);
        return;
    }
    *read = (struct tail_read){.mail.deliver = read_run,
                               .shard = shard,
                               .partition = replica->partition,
                               .replica = replica,
                               .from = from,
                               .cut_count = replica->partition->cut_count,
                               .view = *view};
    replica->partition->pending++;
    replica->is_reading = true;
    lane_post(&shard->broker->read_lane, &read->mail);
}

/* ---- at once ---- */

static bool has_files(const struct plog_view *view)
{
    for (uint32_t i = 0; i < view->extent_count; i++)
        if (view->extents[i].file != NULL) return true;
    return false;
}

/* Of batches in memory most reads are one run of bytes, and are applied where they lie. */
static int apply_view(struct shard *shard, struct group_replica *replica, const struct group_facts *facts, const struct plog_view *view)
{
    struct buffer *batches = &shard->groups.batches;
    int err;

    if (view->extent_count == 1) return group_part_take(&replica->part, facts, slice_of(view->extents[0].memory, view->extents[0].size));
    err = copy_view(view, batches);
    return err != 0 ? err : group_part_take(&replica->part, facts, buffer_slice(batches));
}

void groups_tail(struct shard *shard, struct group_replica *replica, struct group_facts *facts)
{
    uint64_t from, bytes = 0;

    while (!replica->is_reading && !replica->is_stuck && group_part_wants_log(&replica->part, facts, &from)) {
        struct plog_view view;
        int err;

        if (bytes >= GROUPS_READ_TURN_BYTES) {
            groups_due(shard, replica);
            return;
        }
        err = plog_read(replica->partition->plog, from, facts->log_end, GROUPS_READ_BYTES, &view);
        if (err != 0) {
            replica->is_stuck = err == MESH_EAGAIN; /* the log has news when it can be read */
            if (err != MESH_EAGAIN) groups_look_at(shard, replica, shard->now_ms + GROUPS_RETRY_MS);
            return;
        }
        if (has_files(&view)) {
            read_later(shard, replica, from, &view);
            return;
        }
        bytes += view.size;
        err = apply_view(shard, replica, facts, &view);
        plog_view_release(&view);
        if (err == MESH_EAGAIN) replica->is_stuck = true;
        if (err != 0) {
            groups_look_at(shard, replica, shard->now_ms + GROUPS_RETRY_MS);
            return;
        }
    }
}
