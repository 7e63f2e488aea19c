/* Fuzzes what brokers tell each other of committed offsets: whatever is taken can be read to its end, merged, and told again to the same effect. */
#include "replication/spread/cells.h"
#include "replication/spread/ends.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(void *arg, const struct spread_row *row)
{
    spread_rows_put(arg, row);
}

static void merge(struct slice rows)
{
    struct spread_cells *once, *again;
    struct buffer bytes = BUFFER_INIT;
    struct spread_rows_writer writer = spread_rows_write(&bytes);

    MESH_ASSERT(spread_cells_new(&once) == 0 && spread_cells_new(&again) == 0);
    MESH_ASSERT(spread_cells_merge_rows(once, rows) == 0);
    spread_cells_each_row(once, put, &writer);
    MESH_ASSERT(writer.writer.error == 0);
    MESH_ASSERT(spread_cells_merge_rows(again, buffer_slice(&bytes)) == 0);
    MESH_ASSERT(spread_cells_hash(once) == spread_cells_hash(again) && spread_cells_groups(once) == spread_cells_groups(again));
    spread_cells_purge(once, UINT32_MAX);
    MESH_ASSERT(spread_cells_hash(once) == spread_cells_hash(again) && spread_cells_count(once) == spread_cells_count(again));
    spread_cells_free(once);
    spread_cells_free(again);
    buffer_deinit(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer once = BUFFER_INIT, twice = BUFFER_INIT;
    struct spread_message message;

    if (spread_message_decode(slice_of(data, size), &message) != 0) return 0;
    if (message.kind == SPREAD_ENDS) {
        struct spread_ends_reader reader = spread_ends_read(message.rows);
        struct spread_ends *ends;
        struct spread_end end;
        MESH_ASSERT(spread_ends_new(&ends) == 0);
        while (spread_ends_next(&reader, &end))
            MESH_ASSERT(end.log_start <= end.high_watermark && spread_ends_merge(ends, 1, &end, size % 2 == 0) == 0);
        spread_ends_free(ends);
    } else {
        merge(message.rows);
    }
    /* Varints may come longer than they need to be: the second writing tells. */
    MESH_ASSERT(spread_message_encode(&message, &once) == 0);
    MESH_ASSERT(spread_message_decode(buffer_slice(&once), &message) == 0);
    MESH_ASSERT(spread_message_encode(&message, &twice) == 0);
    MESH_ASSERT(slice_equal(buffer_slice(&once), buffer_slice(&twice)));
    buffer_deinit(&once);
    buffer_deinit(&twice);
    return 0;
}
