/* Fuzzes the records of group logs: whatever is taken for one can be walked to its end, written again, and reads as the same. */
#include "replication/groups/record.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct group_record *record)
{
    struct slice names = record->info.names, members = record->members, name;
    struct group_items_reader items = group_items_read(record);
    struct group_item item;
    uint32_t count = 0;

    while (group_names_next(&names, &name))
        count++;
    MESH_ASSERT(count == record->info.name_count);
    for (count = 0; group_names_next(&members, &name);)
        count++;
    MESH_ASSERT(count == record->member_count);
    for (count = 0; group_items_next(&items, &item); count++)
        MESH_ASSERT(item.run >= 1 && item.partition <= GROUP_ITEMS_MAX - item.run && item.metadata.size <= GROUP_METADATA_SIZE_MAX);
    MESH_ASSERT(count <= GROUP_ITEMS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer once = BUFFER_INIT, twice = BUFFER_INIT;
    struct group_record record;

    if (group_record_decode(slice_of(data, size), &record) != 0) return 0;
    walk(&record);
    /* Varints may come longer than they need to be: the second writing tells. */
    MESH_ASSERT(group_record_encode(&record, &once) == 0);
    MESH_ASSERT(group_record_decode(buffer_slice(&once), &record) == 0);
    MESH_ASSERT(group_record_encode(&record, &twice) == 0);
    MESH_ASSERT(slice_equal(buffer_slice(&once), buffer_slice(&twice)));
    buffer_deinit(&once);
    buffer_deinit(&twice);
    return 0;
}
