#include "sim/gossip_wire.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/error.h"
#include "crypto/channel.h"
#include "sim/sim_sometimes.h"

#define FRAME_HEADER  12         /* of the stand-in: size and sum */
#define GREETING_SIZE 20         /* id and boot */
#define GOODBYE       UINT32_MAX /* instead of a size */
#define MESSAGE_TYPE  1          /* of the channel's frames */

/* ---- the channel ---- */

static void append(struct buffer *out, const void *data, size_t size)
{
    MESH_ASSERT(buffer_append(out, data, size) == 0);
}

static void put_frame(struct gossip_wire *wire, uint8_t type, struct slice payload, struct buffer *out)
{
    MESH_ASSERT(buffer_reserve(out, payload.size + CHANNEL_FRAME_OVERHEAD) == 0);
    MESH_ASSERT(channel_seal(wire->channel, type, payload, out->data + out->size) == 0);
    out->size += payload.size + CHANNEL_FRAME_OVERHEAD;
}

static void begin_channel(struct gossip_wire *wire, const struct keyring *ring, bool is_dialled, const struct uuid *expected,
                          struct buffer *out)
{
    struct channel_options options = {.is_initiator = is_dialled,
                                      .keyring = ring,
                                      .identity = &wire->identity->key,
                                      .cluster_id = wire->keys->cluster_id,
                                      .expected_peer = *expected,
                                      .boot = wire->identity->boot,
                                      .wall_ms = gossip_keys_wall_ms(wire->host),
                                      .payload_max = GOSSIP_MESSAGE_MAX};
    struct channel_step step;

    gossip_keys_check_use(wire->keys, wire->host, ring);
    for (size_t i = 0; i < sizeof(options.random); i += 8)
        le_store64(options.random + i, random_next(sim_host_random(wire->host)));
    MESH_ASSERT(channel_new(&options, &wire->channel) == 0);
    if (!is_dialled) return;
    channel_step(wire->channel, slice_of(NULL, 0), &step);
    append(out, step.out, step.out_size);
}

static enum gossip_wire_result fail(struct gossip_wire *wire, struct gossip_wire_event *ret_event)
{
    struct channel_failure_detail detail;

    channel_get_failure(wire->channel, &detail);
    ret_event->is_other = detail.failure == CHANNEL_FAILURE_WRONG_PEER || detail.failure == CHANNEL_FAILURE_SELF;
    SIM_SOMETIMES_IF(ret_event->is_other, "a handshake found another broker than the expected one");
    SIM_SOMETIMES_IF(detail.failure == CHANNEL_FAILURE_FORGED || detail.failure == CHANNEL_FAILURE_MALFORMED,
                     "a channel broke over damaged bytes");
    if (detail.failure == CHANNEL_FAILURE_WRONG_KEY && detail.refusal == CHANNEL_FAILURE_NONE)
        gossip_keys_unknown(wire->keys, wire->host, detail.peer_key_id);
    return GOSSIP_WIRE_BROKEN;
}

static enum gossip_wire_result shake_hands(struct gossip_wire *wire, struct buffer *in, struct buffer *out,
                                           struct gossip_wire_event *ret_event)
{
    struct channel_step step;
    enum channel_state state = channel_step(wire->channel, buffer_slice(in), &step);
    const struct channel_peer *peer;

    ret_event->used = step.used;
    append(out, step.out, step.out_size);
    if (state == CHANNEL_FAILED) return fail(wire, ret_event);
    if (state == CHANNEL_HANDSHAKING) return GOSSIP_WIRE_MORE; /* the peer's next word has to be waited for */
    peer = channel_peer(wire->channel);
    SIM_SOMETIMES("a handshake was completed");
    wire->is_proven = true;
    ret_event->peer = peer->id;
    ret_event->boot = peer->boot;
    return GOSSIP_WIRE_PROVEN;
}

static enum gossip_wire_result take_sealed(struct gossip_wire *wire, struct buffer *in, struct buffer *out,
                                           struct gossip_wire_event *ret_event)
{
    struct channel_frame frame;
    int err;

    while (!wire->is_proven) {
        enum gossip_wire_result result = shake_hands(wire, in, out, ret_event);
        if (result != GOSSIP_WIRE_MORE || ret_event->used == 0) return result;
        buffer_consume(in, ret_event->used); /* the handshake's bytes are done with at once */
        ret_event->used = 0;
        if (in->size == 0) return GOSSIP_WIRE_MORE;
    }
    if (in->size == 0) return GOSSIP_WIRE_MORE;
    err = channel_open(wire->channel, in->data, in->size, &frame);
    if (err == MESH_EAGAIN) return GOSSIP_WIRE_MORE;
    if (err != 0) return fail(wire, ret_event);
    ret_event->used = frame.used;
    ret_event->message = frame.payload;
    return frame.type == CHANNEL_FRAME_END ? GOSSIP_WIRE_GOODBYE : GOSSIP_WIRE_MESSAGE;
}

/* ---- the stand-in ---- */

static void put_plain(struct slice payload, struct buffer *out)
{
    uint8_t header[FRAME_HEADER];

    le_store32(header, (uint32_t)payload.size);
    le_store64(header + 4, sim_hash_bytes(5, payload.data, payload.size));
    append(out, header, sizeof(header));
    append(out, payload.data, payload.size);
}

static enum gossip_wire_result take_plain(struct gossip_wire *wire, struct buffer *in, struct gossip_wire_event *ret_event)
{
    struct slice payload;
    uint32_t size;

    if (in->size < FRAME_HEADER) return GOSSIP_WIRE_MORE;
    size = le_load32(in->data);
    if (size == GOODBYE) return GOSSIP_WIRE_GOODBYE;
    if (size <= GOSSIP_MESSAGE_MAX && in->size < FRAME_HEADER + (size_t)size) return GOSSIP_WIRE_MORE;
    payload = slice_of(in->data + FRAME_HEADER, size);
    if (size > GOSSIP_MESSAGE_MAX || sim_hash_bytes(5, payload.data, size) != le_load64(in->data + 4)) {
        SIM_SOMETIMES("a link broke over damaged bytes");
        return GOSSIP_WIRE_BROKEN;
    }
    ret_event->used = FRAME_HEADER + (size_t)size;
    ret_event->message = payload;
    if (wire->is_proven) return GOSSIP_WIRE_MESSAGE;
    if (size != GREETING_SIZE) return GOSSIP_WIRE_BROKEN;
    wire->is_proven = true;
    memcpy(ret_event->peer.bytes, payload.data, UUID_SIZE);
    ret_event->boot = le_load32(payload.data + UUID_SIZE);
    return GOSSIP_WIRE_PROVEN;
}

/* ---- either ---- */

void gossip_wire_begin(struct gossip_wire *wire, struct sim_host *host, const struct gossip_identity *identity,
                       struct gossip_keys *keys, const struct keyring *ring, bool is_dialled, const struct uuid *expected,
                       struct buffer *out)
{
    uint8_t greeting[GREETING_SIZE];

    *wire = (struct gossip_wire){.host = host, .identity = identity, .keys = keys};
    if (keys != NULL) {
        begin_channel(wire, ring, is_dialled, expected, out);
        return;
    }
    memcpy(greeting, identity->id.bytes, UUID_SIZE);
    le_store32(greeting + UUID_SIZE, identity->boot);
    put_plain(slice_of(greeting, sizeof(greeting)), out);
}

void gossip_wire_deinit(struct gossip_wire *wire)
{
    channel_free(wire->channel);
}

enum gossip_wire_result gossip_wire_take(struct gossip_wire *wire, struct buffer *in, struct buffer *out,
                                         struct gossip_wire_event *ret_event)
{
    *ret_event = (struct gossip_wire_event){.used = 0};
    return wire->keys != NULL ? take_sealed(wire, in, out, ret_event) : take_plain(wire, in, ret_event);
}

void gossip_wire_put(struct gossip_wire *wire, struct slice message, struct buffer *out)
{
    if (wire->keys != NULL)
        put_frame(wire, MESSAGE_TYPE, message, out);
    else
        put_plain(message, out);
}

void gossip_wire_put_goodbye(struct gossip_wire *wire, struct buffer *out)
{
    uint8_t header[FRAME_HEADER] = {0};

    if (wire->keys != NULL) {
        if (wire->is_proven) put_frame(wire, CHANNEL_FRAME_END, slice_of(NULL, 0), out);
        return;
    }
    le_store32(header, GOODBYE);
    append(out, header, sizeof(header));
}

uint32_t gossip_wire_key_id(const struct gossip_wire *wire)
{
    return wire->channel == NULL || !wire->is_proven ? 0 : channel_peer(wire->channel)->key_id;
}
