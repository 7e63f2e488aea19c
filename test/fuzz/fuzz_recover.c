/* Fuzzes what brokers say to each other in a recovery, and what a disk remembers of it: whatever is taken for one can be written again, and reads as the
 * same. The first byte says which. */
#include "replication/recover/message.h"

#include "base/assert.h"
#include "base/buffer.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct recover_party party;

static void check_message(struct slice bytes)
{
    struct buffer once = BUFFER_INIT, twice = BUFFER_INIT;
    struct recover_message message = {.party = &party};

    if (recover_message_decode(bytes, &message) != 0) return;
    MESH_ASSERT(recover_message_encode(&once, &message) == 0);
    MESH_ASSERT(recover_message_decode(buffer_slice(&once), &message) == 0);
    MESH_ASSERT(recover_message_encode(&twice, &message) == 0);
    MESH_ASSERT(slice_equal(buffer_slice(&once), buffer_slice(&twice)));
    buffer_deinit(&once);
    buffer_deinit(&twice);
}

static void check_state(struct slice bytes)
{
    static struct recover_state state;
    struct buffer once = BUFFER_INIT, twice = BUFFER_INIT;

    if (recover_state_decode(bytes, &state) != 0) return;
    MESH_ASSERT(recover_state_encode(&state, &once) == 0);
    MESH_ASSERT(recover_state_decode(buffer_slice(&once), &state) == 0);
    MESH_ASSERT(recover_state_encode(&state, &twice) == 0);
    MESH_ASSERT(slice_equal(buffer_slice(&once), buffer_slice(&twice)));
    buffer_deinit(&once);
    buffer_deinit(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    if (data[0] == 'S')
        check_state(slice_of(data + 1, size - 1));
    else
        check_message(slice_of(data + 1, size - 1));
    return 0;
}
