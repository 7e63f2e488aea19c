/* broker/ops/fetch_control.c - see fetch_control.h. */
#include "cmd/broker/ops/fetch_control.h"

#include "base/error.h"
#include "base/fs.h"
#include "wire/record_batch.h"

/* Of the view's first batch. Its header was walked for the read, so it is in memory, but for pages that were lost since: then this waits. */
static int first_header(const struct plog_view *view, struct record_batch_header *ret_header)
{
    const struct plog_extent *extent = &view->extents[0];
    uint8_t bytes[RECORD_BATCH_HEADER_SIZE];
    size_t size = 0;
    int err;

    if (extent->file == NULL) return record_batch_parse_header(slice_of(extent->memory, extent->size), ret_header);
    err = fs_read(extent->file, bytes, sizeof(bytes), extent->position, NULL, &size);
    if (err == 0) err = record_batch_parse_header(slice_of(bytes, size), ret_header);
    return err == MESH_EAGAIN ? MESH_ECORRUPT : err; /* the file ends inside of it */
}

/* Where the batch at `offset` ends if it is a control batch, else `offset`. */
static int skip_one(struct plog *plog, uint64_t offset, uint64_t limit, uint64_t *ret_offset)
{
    struct record_batch_header header;
    struct plog_view view;
    int err = plog_read(plog, offset, limit, 1, &view);

    *ret_offset = offset;
    if (err != 0 || view.size == 0) return err;
    err = first_header(&view, &header);
    if (err == 0 && (header.attributes & RECORD_ATTRIBUTE_CONTROL) != 0) *ret_offset = view.next_offset;
    plog_view_release(&view);
    return err;
}

static bool begins_epoch(const struct plog *plog, uint64_t offset)
{
    return offset == plog_start_offset(plog) || plog_epoch_at(plog, offset) != plog_epoch_at(plog, offset - 1);
}

int fetch_control_read(struct plog *plog, uint64_t offset, uint64_t limit, uint32_t bytes_max, struct plog_view *ret_view, bool *ret_at_end)
{
    uint64_t at = offset, next = offset, end;
    int32_t epoch, found;

    *ret_view = (struct plog_view){.next_offset = offset};
    do {
        int err = 0;

        at = next;
        if (at < limit && begins_epoch(plog, at)) err = skip_one(plog, at, limit, &next);
        if (err != 0) return err;
    } while (next != at);
    *ret_at_end = at >= limit;
    if (*ret_at_end) return 0;
    epoch = plog_epoch_at(plog, at);
    end = epoch < 0 ? limit : plog_epoch_end_offset(plog, epoch, &found); /* not known any more: nobody can tell where the next begins */
    return plog_read(plog, at, end < limit ? end : limit, bytes_max, ret_view);
}

/* A control batch has one record, and is the first batch of its epoch: so one at the end is an epoch of one record. */
int fetch_control_end(struct plog *plog, uint64_t limit, uint64_t *ret_end)
{
    uint64_t end = limit, next = limit;

    while (end > plog_first_offset(plog) && begins_epoch(plog, end - 1)) {
        int err = skip_one(plog, end - 1, limit, &next);

        if (err == MESH_ECORRUPT) break; /* nobody gets past it before it is mended; who begins behind it need not wait for that */
        if (err != 0) return err;
        if (next != end) break; /* a record of data */
        end--;
    }
    *ret_end = end;
    return 0;
}
