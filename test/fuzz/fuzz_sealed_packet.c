/* Fuzzes what opens packets: the input is a packet as it arrives; then, since a fuzzer does not find tags, a
 * sealed packet over which the input is laid (xor). Whatever differs from what was sealed must not be taken, and no sender
 * may come of it. */
#include "base/assert.h"
#include "crypto/crypto.h"
#include "crypto/sealed_packet.h"

#include <stdlib.h>

#define TEXT "a ping that is long enough"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct packet_sealer *sealer_of(const struct keyring *ring, uint8_t id)
{
    struct packet_sealer_options options = {.keyring = ring, .sender = {{id}}, .cluster_id = {{7}}, .boot = 3, .senders_max = 2};
    struct packet_sealer *sealer = NULL;

    MESH_ASSERT(packet_sealer_new(&options, &sealer) == 0);
    return sealer;
}

static void open_input(struct packet_sealer *to, const uint8_t *data, size_t size)
{
    struct opened_packet opened;
    uint8_t *packet = malloc(size == 0 ? 1 : size);

    memcpy(packet, data, size);
    MESH_ASSERT(packet_sealer_open(to, packet, size, &opened) != PACKET_OK);
    MESH_ASSERT(packet_sealer_sender_count(to) == 0);
    free(packet);
}

static void open_changed(struct packet_sealer *from, struct packet_sealer *to, const uint8_t *data, size_t size)
{
    uint8_t packet[sizeof TEXT + SEALED_PACKET_OVERHEAD];
    struct opened_packet opened;
    bool is_changed = false;

    memcpy(packet + SEALED_PACKET_HEADER_SIZE, TEXT, sizeof TEXT);
    MESH_ASSERT(packet_sealer_seal(from, packet, sizeof TEXT) == 0);
    for (size_t i = 0; i < size && i < sizeof packet; i++) {
        packet[i] ^= data[i];
        is_changed |= data[i] != 0;
    }
    MESH_ASSERT((packet_sealer_open(to, packet, sizeof packet, &opened) == PACKET_OK) == !is_changed);
    MESH_ASSERT(packet_sealer_sender_count(to) == !is_changed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[CLUSTER_KEY_SIZE] = {1};
    struct packet_sealer *from, *to;
    struct cluster_key key;
    struct keyring *ring;

    crypto_init();
    ring = keyring_new();
    cluster_key_init(&key, bytes);
    keyring_install(ring, &key);
    from = sealer_of(ring, 1);
    to = sealer_of(ring, 2);
    if (size != 0) open_input(to, data, size);
    open_changed(from, to, data, size);
    packet_sealer_free(from);
    packet_sealer_free(to);
    keyring_free(ring);
    return 0;
}
