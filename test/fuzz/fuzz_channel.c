/* Fuzzes a channel. The first byte chooses what: 0-2 the message of that number as it is, 3-5 the true message with the rest
 * laid over it (xor), 6 frames as they are, 7 a true frame with the rest laid over it. Nothing but the true bytes
 * may lead to an open channel or a frame. Both roles: messages 1 and 3 reach the responder, 2 the initiator. */
#include "base/assert.h"
#include "crypto/channel.h"
#include "crypto/crypto.h"

#include <stdlib.h>

#define CASES 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct keyring *ring;
static struct identity_key identities[2];
static struct channel *channels[2]; /* initiator, responder */

static void start(void)
{
    uint8_t bytes[CLUSTER_KEY_SIZE] = {1};
    struct cluster_key key;

    crypto_init();
    ring = keyring_new();
    cluster_key_init(&key, bytes);
    keyring_install(ring, &key);
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t seed[IDENTITY_SEED_SIZE] = {i};
        struct channel_options options = {.is_initiator = i == 0, .keyring = ring, .identity = &identities[i],
                                          .random = {i, 1}, .payload_max = 1 << 16};
        identity_key_init(&identities[i], seed);
        MESH_ASSERT(channel_new(&options, &channels[i]) == 0);
    }
}

static void stop(void)
{
    for (int i = 0; i < 2; i++)
        channel_free(channels[i]);
    keyring_free(ring);
}

static bool lay_over(uint8_t *bytes, size_t bytes_size, const uint8_t *data, size_t size)
{
    bool is_changed = false;

    for (size_t i = 0; i < size && i < bytes_size; i++) {
        bytes[i] ^= data[i];
        is_changed |= data[i] != 0;
    }
    return is_changed;
}

/* Feeds the input in place of message `number` (0..2), or the true one with the input over it. */
static void fuzz_message(int number, bool is_over, const uint8_t *data, size_t size)
{
    struct channel_step step, answer;
    struct channel *to = channels[number % 2 == 0];
    uint8_t *exact;
    bool is_true;

    channel_step(channels[0], slice_of(NULL, 0), &step);
    for (int i = 0; i < number; i++, step = answer)
        channel_step(channels[i % 2 == 0], slice_of(step.out, step.out_size), &answer);
    is_true = is_over && !lay_over(step.out, step.out_size, data, size);
    if (is_over) {
        data = step.out;
        size = step.out_size;
    }
    exact = malloc(size == 0 ? 1 : size);
    if (size != 0) memcpy(exact, data, size);
    if (channel_step(to, slice_of(exact, size), &answer) == CHANNEL_OPEN) MESH_ASSERT(is_true && number > 0);
    MESH_ASSERT(answer.used <= size && answer.out_size <= CHANNEL_HANDSHAKE_MAX);
    if (is_true) MESH_ASSERT(channel_state(to) != CHANNEL_FAILED);
    if (channel_state(to) == CHANNEL_HANDSHAKING) channel_cut(to, slice_of(exact, size));
    free(exact);
}

static void fuzz_frame(bool is_over, const uint8_t *data, size_t size)
{
    struct channel_step steps[4];
    struct channel_frame frame;
    uint8_t sealed[40 + CHANNEL_FRAME_OVERHEAD] = {0}, *exact;
    bool is_true = false;

    channel_step(channels[0], slice_of(NULL, 0), &steps[0]);
    for (int i = 0; i < 3; i++)
        channel_step(channels[i % 2 == 0], slice_of(steps[i].out, steps[i].out_size), &steps[i + 1]);
    if (is_over) {
        MESH_ASSERT(channel_seal(channels[0], 9, slice_of(sealed + CHANNEL_FRAME_HEADER_SIZE, 40), sealed) == 0);
        is_true = !lay_over(sealed, sizeof sealed, data, size);
        data = sealed;
        size = sizeof sealed;
    }
    exact = malloc(size == 0 ? 1 : size);
    if (size != 0) memcpy(exact, data, size);
    MESH_ASSERT((channel_open(channels[1], exact, size, &frame) == 0) == is_true);
    if (is_true) MESH_ASSERT(frame.type == 9 && frame.payload.size == 40 && frame.used == size);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    start();
    if (data[0] % CASES < 6)
        fuzz_message(data[0] % CASES % 3, data[0] % CASES >= 3, data + 1, size - 1);
    else
        fuzz_frame(data[0] % CASES == 7, data + 1, size - 1);
    stop();
    return 0;
}
