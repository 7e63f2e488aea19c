/* Fuzzes what metadata nodes say to each other: whatever is taken for a message can be written again, and reads as the same. */
#include "replication/metadata/message.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_entries(struct buffer *to, const struct node_message *message)
{
    struct slice rest = message->entries;
    struct raft_entry entry;

    MESH_ASSERT(node_entries_begin(to, message) == 0);
    while (node_entry_next(&rest, &entry))
        MESH_ASSERT(node_entries_add(to, &entry) == 0);
    MESH_ASSERT(node_entries_end(to, message->chain) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer once = BUFFER_INIT, twice = BUFFER_INIT;
    struct node_message message, again;

    if (node_message_decode(slice_of(data, size), &message) != 0) return 0;
    for (struct buffer *to = &once;; to = &twice) {
        if (message.type == NODE_MESSAGE_ENTRIES)
            write_entries(to, &message);
        else
            MESH_ASSERT(node_message_encode(to, &message) == 0);
        if (to == &twice) break;
        MESH_ASSERT(node_message_decode(buffer_slice(&once), &again) == 0);
        message = again;
    }
    MESH_ASSERT(slice_equal(buffer_slice(&once), buffer_slice(&twice)));
    buffer_deinit(&once);
    buffer_deinit(&twice);
    return 0;
}
