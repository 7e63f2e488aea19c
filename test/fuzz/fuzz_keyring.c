/* Fuzzes a keyring's text, and what a broker publishes of its ring. What is accepted has one key in use, and survives being
 * written and read again; what is refused leaves the ring as it was. */
#include "base/assert.h"
#include "crypto/crypto.h"
#include "crypto/keyring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(struct keyring *ring, struct slice input)
{
    static char text[KEYRING_TEXT_MAX], again[KEYRING_TEXT_MAX], message[256];
    uint32_t generation = keyring_generation(ring);
    size_t size, again_size;

    if (keyring_parse(ring, input, message, sizeof message) != 0) {
        MESH_ASSERT(keyring_generation(ring) == generation && keyring_count(ring) == 0);
        return;
    }
    MESH_ASSERT(keyring_in_use(ring) != NULL && keyring_count(ring) <= KEYRING_KEYS_MAX);
    size = keyring_format(ring, text);
    MESH_ASSERT(keyring_parse(ring, slice_of(text, size), message, sizeof message) == 0);
    again_size = keyring_format(ring, again);
    MESH_ASSERT(size == again_size && memcmp(text, again, size) == 0);
}

static void check_holding(struct slice input)
{
    uint8_t bytes[KEY_HOLDING_SIZE_MAX];
    struct key_holding holding;

    if (key_holding_decode(input, &holding) != 0) return;
    MESH_ASSERT(key_holding_encode(&holding, bytes) == input.size && memcmp(bytes, input.data, input.size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct keyring *ring;

    crypto_init();
    ring = keyring_new();
    check_text(ring, slice_of(data, size));
    check_holding(slice_of(data, size));
    keyring_free(ring);
    return 0;
}
