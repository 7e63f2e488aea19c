/* Fuzzes what brokers ask of each other's replicas, and the answers: what is taken can be written again, and reads as the same. */
#include "cmd/broker/replicas/heal_message.h"

#include "base/assert.h"
#include "base/error.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(struct slice bytes, struct buffer *to)
{
    struct heal_request request, again;

    if (heal_request_decode(bytes, &request) != 0) return;
    MESH_ASSERT(request.from < request.to);
    MESH_ASSERT(request.bytes_max <= HEAL_DIGEST_BYTES_MAX);
    MESH_ASSERT(heal_request_encode(&request, to) == 0);
    MESH_ASSERT(heal_request_decode(buffer_slice(to), &again) == 0);
    MESH_ASSERT(again.kind == request.kind && again.from == request.from && again.to == request.to);
    MESH_ASSERT(again.partition == request.partition && again.bytes_max == request.bytes_max);
}

static void check_answer(struct slice bytes, struct buffer *to)
{
    struct heal_answer answer, again;

    if (heal_answer_decode(bytes, &answer) != 0) return;
    MESH_ASSERT(heal_answer_encode(&answer, to) == 0);
    MESH_ASSERT(heal_answer_decode(buffer_slice(to), &again) == 0);
    MESH_ASSERT(again.next_offset == answer.next_offset && again.bytes == answer.bytes);
    MESH_ASSERT(memcmp(again.digest, answer.digest, HEAL_DIGEST_SIZE) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer to = BUFFER_INIT;

    check_request(slice_of(data, size), &to);
    buffer_clear(&to);
    check_answer(slice_of(data, size), &to);
    buffer_deinit(&to);
    return 0;
}
