/* Fuzzes the decoders of message_group.h and message_operate.h. Byte 0 chooses the message, the rest is the message. What is accepted must be encodable (or say of itself that it
 * has become too long: numbers one by one are shorter than lists of one), and from then on decode and encode to itself. The head is also looked at alone. */
#include "wire/message_group.h"

#include "base/assert.h"
#include "base/error.h"
#include "wire/message_operate.h"

#include <stddef.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef bool recode_function(struct slice message, struct buffer *to);

#define DEFINE_RECODE(suffix, type)                                                                          \
    static bool recode_##suffix(struct slice message, struct buffer *to)                                     \
    {                                                                                                        \
        struct type decoded;                                                                                 \
        int err;                                                                                             \
        if (message_decode_##suffix(message, &decoded) != 0) return false;                                   \
        err = message_encode_##suffix(to, &decoded);                                                         \
        MESH_ASSERT(err == 0 || err == MESH_ETOOLARGE);                                                      \
        message_deinit_##suffix(&decoded);                                                                   \
        return err == 0;                                                                                     \
    }
MESSAGE_GROUP_MAP(DEFINE_RECODE)
MESSAGE_OPERATE_MAP(DEFINE_RECODE)

#define RECODE_ROW(suffix, type) recode_##suffix,
static recode_function *const recode_functions[] = {MESSAGE_GROUP_MAP(RECODE_ROW) MESSAGE_OPERATE_MAP(RECODE_ROW)};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer once = BUFFER_INIT, twice = BUFFER_INIT;
    struct message_group_head head;
    struct uuid broker;
    recode_function *recode;

    if (size < 1) return 0;
    recode = recode_functions[data[0] % (sizeof(recode_functions) / sizeof(recode_functions[0]))];
    message_group_peek(slice_of(data + 1, size - 1), &head);
    (void)message_operate_peek(slice_of(data + 1, size - 1), &broker);
    if (recode(slice_of(data + 1, size - 1), &once)) {
        MESH_ASSERT(recode(buffer_slice(&once), &twice));
        MESH_ASSERT(slice_equal(buffer_slice(&once), buffer_slice(&twice)));
    }
    buffer_deinit(&once);
    buffer_deinit(&twice);
    return 0;
}
