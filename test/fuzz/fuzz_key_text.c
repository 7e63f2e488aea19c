/* Fuzzes the text of a cluster key. What is accepted must format to a text that parses to the same key. */
#include "base/assert.h"
#include "crypto/cluster_key.h"
#include "crypto/crypto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cluster_key key, again;
    char text[CLUSTER_KEY_TEXT_SIZE], message[256];

    crypto_init();
    if (cluster_key_parse(slice_of(data, size), &key, message, sizeof message) != 0) return 0;
    cluster_key_format(&key, text);
    MESH_ASSERT(cluster_key_parse(slice_of_string(text), &again, message, sizeof message) == 0);
    MESH_ASSERT(memcmp(key.bytes, again.bytes, CLUSTER_KEY_SIZE) == 0 && key.id == again.id);
    return 0;
}
