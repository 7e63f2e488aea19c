#include "sim/gossip_seal.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "crypto/sealed_packet.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

#define STAND_IN_SIZE 36 /* sender, boot, counter, sum */
#define WINDOW_WORDS  16
#define WINDOW_BITS   (64 * WINDOW_WORDS)
#define AT_KEY_ID     8 /* in a sealed packet (crypto/PROTOCOL.md) */

/* What was heard from one sender, against replays (RFC 6479's idea: a ring of bits). */
struct window {
    uint64_t sender_mark; /* of its id */
    uint32_t boot;
    uint64_t top;
    uint64_t bits[WINDOW_WORDS];
};

struct gossip_seal {
    struct sim_host *host;
    const struct gossip_identity *identity;
    bool takes_replays;
    uint64_t counter;       /* of the stand-in */
    struct window *windows; /* of the stand-in, by host */
    struct gossip_keys *keys;
    const struct keyring *ring;
    struct packet_sealer *sealer; /* NULL: the stand-in */
    uint8_t room[SIM_DATAGRAM_MAX];
};

static struct packet_sealer *new_sealer(struct gossip_seal *seal)
{
    struct packet_sealer_options options = {.keyring = seal->ring,
                                            .sender = seal->identity->id,
                                            .cluster_id = seal->keys->cluster_id,
                                            .boot = seal->identity->boot,
                                            .senders_max = SIM_HOSTS_MAX};
    struct packet_sealer *sealer;

    options.first_counter =
        packet_first_counter(gossip_keys_wall_ms(seal->host), (uint32_t)random_next(sim_host_random(seal->host)));
    MESH_ASSERT(packet_sealer_new(&options, &sealer) == 0);
    return sealer;
}

struct gossip_seal *gossip_seal_new(struct sim_host *host, const struct gossip_identity *identity, struct gossip_keys *keys,
                                    const struct keyring *ring, bool takes_replays)
{
    struct gossip_seal *seal = calloc(1, sizeof(*seal));

    MESH_ASSERT(seal != NULL);
    seal->host = host;
    seal->identity = identity;
    seal->takes_replays = takes_replays;
    seal->keys = keys;
    seal->ring = ring;
    if (keys != NULL) {
        seal->sealer = new_sealer(seal);
        return seal;
    }
    /* As the product does it: on a disk that was set back, boots repeat, and counters go on with the time. */
    seal->counter = sim_now_us(sim_host_sim(host));
    seal->windows = calloc(sim_host_count(sim_host_sim(host)), sizeof(seal->windows[0]));
    MESH_ASSERT(seal->windows != NULL);
    return seal;
}

void gossip_seal_free(struct gossip_seal *seal)
{
    if (seal == NULL) return;
    packet_sealer_free(seal->sealer);
    free(seal->windows);
    free(seal);
}

void gossip_seal_renew(struct gossip_seal *seal)
{
    if (seal->sealer == NULL) return;
    packet_sealer_free(seal->sealer);
    seal->sealer = new_sealer(seal);
}

/* ---- sending ---- */

static void send_sealed(struct gossip_seal *seal, const struct net_address *to, struct slice text)
{
    MESH_ASSERT(SEALED_PACKET_OVERHEAD + text.size <= sizeof(seal->room));
    gossip_keys_check_use(seal->keys, seal->host, seal->ring);
    memcpy(seal->room + SEALED_PACKET_HEADER_SIZE, text.data, text.size);
    MESH_ASSERT(packet_sealer_seal(seal->sealer, seal->room, text.size) == 0);
    sim_send(seal->host, to, slice_of(seal->room, text.size + SEALED_PACKET_OVERHEAD));
}

void gossip_seal_send(struct gossip_seal *seal, const struct net_address *to, struct slice text)
{
    uint8_t *room = seal->room;

    MESH_ASSERT(text.size <= GOSSIP_PACKET_MAX);
    if (seal->sealer != NULL) {
        send_sealed(seal, to, text);
        return;
    }
    memcpy(room, seal->identity->id.bytes, UUID_SIZE);
    le_store32(room + 16, seal->identity->boot);
    le_store64(room + 20, ++seal->counter);
    le_store64(room + 28, sim_hash_bytes(sim_hash_bytes(3, room, 28), text.data, text.size));
    memcpy(room + STAND_IN_SIZE, text.data, text.size);
    sim_send(seal->host, to, slice_of(room, STAND_IN_SIZE + text.size));
}

/* ---- receiving ---- */

static bool is_replayed(struct gossip_seal *seal, const struct uuid *sender, uint32_t boot, uint64_t counter)
{
    struct window *window = &seal->windows[le_load32(sender->bytes) % sim_host_count(sim_host_sim(seal->host))];
    uint64_t mark = le_load64(sender->bytes + 8), bit;

    if (window->sender_mark != mark || boot > window->boot)
        *window = (struct window){.sender_mark = mark, .boot = boot};
    if (boot < window->boot) return false; /* the core is told, and drops it */
    if (counter > window->top) {
        for (uint64_t word = window->top / 64 + 1; word <= counter / 64 && word <= window->top / 64 + WINDOW_WORDS; word++)
            window->bits[word % WINDOW_WORDS] = 0;
        window->top = counter;
    } else if (window->top - counter >= WINDOW_BITS - 64) {
        return true;
    }
    bit = UINT64_C(1) << counter % 64;
    if (window->bits[counter / 64 % WINDOW_WORDS] & bit) return true;
    window->bits[counter / 64 % WINDOW_WORDS] |= bit;
    return false;
}

static bool open_sealed(struct gossip_seal *seal, struct slice packet, struct gossip_opened *ret_opened)
{
    struct opened_packet opened;
    enum packet_result result;

    if (packet.size > sizeof(seal->room)) return false;
    memcpy(seal->room, packet.data, packet.size);
    result = packet_sealer_open(seal->sealer, seal->room, packet.size, &opened);
    SIM_SOMETIMES_IF(result == PACKET_FORGED, "a sealed packet that was damaged was dropped");
    SIM_SOMETIMES_IF(result == PACKET_REPLAYED, "a sealed packet that was replayed was dropped");
    SIM_SOMETIMES_IF(result == PACKET_OLD_BOOT, "a sealed packet of an earlier boot was dropped");
    if (result == PACKET_UNKNOWN_KEY) gossip_keys_unknown(seal->keys, seal->host, le_load32(packet.data + AT_KEY_ID));
    if (result != PACKET_OK) return false;
    *ret_opened = (struct gossip_opened){opened.sender, opened.boot, opened.text};
    return true;
}

bool gossip_seal_open(struct gossip_seal *seal, struct slice packet, struct gossip_opened *ret_opened)
{
    if (seal->sealer != NULL) return open_sealed(seal, packet, ret_opened);
    if (packet.size < STAND_IN_SIZE) return false;
    if (sim_hash_bytes(sim_hash_bytes(3, packet.data, 28), packet.data + STAND_IN_SIZE, packet.size - STAND_IN_SIZE) !=
        le_load64(packet.data + 28)) {
        SIM_SOMETIMES("a damaged packet was dropped");
        return false;
    }
    memcpy(ret_opened->sender.bytes, packet.data, UUID_SIZE);
    ret_opened->boot = le_load32(packet.data + 16);
    if (!seal->takes_replays && is_replayed(seal, &ret_opened->sender, ret_opened->boot, le_load64(packet.data + 20))) {
        SIM_SOMETIMES("a replayed packet was dropped");
        return false;
    }
    ret_opened->text = slice_of(packet.data + STAND_IN_SIZE, packet.size - STAND_IN_SIZE);
    return true;
}

/* ---- for traces ---- */

void gossip_seal_describe(const struct gossip_seal *seal, struct slice packet, char *to, size_t size)
{
    if (seal->sealer != NULL) {
        if (packet.size < SEALED_PACKET_HEADER_SIZE) return;
        snprintf(to, size, "sealed by %02x%02x boot %u under key %08x, %zu bytes", packet.data[12], packet.data[13],
                 le_load32(packet.data + 28), le_load32(packet.data + AT_KEY_ID), packet.size);
        return;
    }
    if (packet.size < STAND_IN_SIZE) return;
    snprintf(to, size, "h%u boot %u #%llu, items from %02x %02x %02x", le_load32(packet.data), le_load32(packet.data + 16),
             (unsigned long long)le_load64(packet.data + 20), packet.size > STAND_IN_SIZE ? packet.data[STAND_IN_SIZE] : 0,
             packet.size > STAND_IN_SIZE + 1 ? packet.data[STAND_IN_SIZE + 1] : 0,
             packet.size > STAND_IN_SIZE + 2 ? packet.data[STAND_IN_SIZE + 2] : 0);
}
