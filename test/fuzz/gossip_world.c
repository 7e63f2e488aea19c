#include "fuzz/gossip_world.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "gossip/codec.h"

#include <stdlib.h>

#define MEMBERS 4 /* the gossip itself is member 0 */

struct world {
    struct gossip *gossip;
    uint64_t now_us;
    bool believes;
    struct view {
        uint64_t incarnation;
        enum gossip_state state;
    } before[GOSSIP_MEMBERS_MAX];
    struct uuid ids[GOSSIP_MEMBERS_MAX];
    size_t count;
};

static struct world world;

static struct uuid id_of(unsigned who)
{
    struct uuid id = {{(uint8_t)(who + 1), 0x51}};

    return id;
}

static struct net_address address_of(unsigned who)
{
    return (struct net_address){{[10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)who}, 9092};
}

static void sign(void *user, struct slice message, uint8_t ret_signature[GOSSIP_SIGNATURE])
{
    (void)user;
    (void)message;
    memset(ret_signature, 0x5a, GOSSIP_SIGNATURE);
}

static bool verify(void *user, const struct uuid *id, const uint8_t key[GOSSIP_PUBLIC_KEY], struct slice message,
                   const uint8_t signature[GOSSIP_SIGNATURE])
{
    const struct world *of = user;

    (void)id;
    (void)key;
    (void)message;
    (void)signature;
    return of->believes;
}

static void drain(void)
{
    struct gossip_output output;

    while (gossip_next_output(world.gossip, world.now_us, &output)) {
        struct item_reader reader;
        struct item item;
        int more = 1;
        if (output.type != GOSSIP_OUTPUT_PACKET && output.type != GOSSIP_OUTPUT_MESSAGE) continue;
        MESH_ASSERT(output.type == GOSSIP_OUTPUT_MESSAGE || output.bytes.size <= GOSSIP_PACKET_MAX);
        MESH_ASSERT(codec_open(output.bytes, &reader) == 0);
        while (more > 0)
            more = codec_next(&reader, &item);
        MESH_ASSERT(more == 0); /* what we say can be read */
    }
}

static void introduce(unsigned who, bool as_messages)
{
    struct gossip_self self = {.id = id_of(who), .incarnation = (uint64_t)7 << 32, .address = address_of(who)};
    uint8_t raw[CODEC_SELF_MAX], bytes[1024], signature[GOSSIP_SIGNATURE] = {0};
    struct item_writer writer;
    struct uuid id = id_of(who);
    struct net_address address = address_of(who);

    codec_start(&writer, bytes, sizeof(bytes));
    MESH_ASSERT(codec_put_alive(&writer, slice_of(raw, codec_self_encode(&self, raw)), signature));
    if (as_messages) gossip_link_up(world.gossip, world.now_us, &id, 7, &address);
    drain();
    if (as_messages) gossip_receive_message(world.gossip, world.now_us, &id, codec_bytes(&writer));
    else gossip_receive_packet(world.gossip, world.now_us, &id, 7, &address, codec_bytes(&writer));
    drain();
}

static void begin(bool as_messages)
{
    struct gossip_options options;

    gossip_options_init(&options);
    options.self = (struct gossip_self){.id = id_of(0), .incarnation = (uint64_t)3 << 32, .address = address_of(0)};
    options.signer = (struct gossip_signer){&world, sign, verify};
    world.now_us = 1000000;
    world.believes = true;
    MESH_ASSERT(gossip_new(&options, world.now_us, &world.gossip) == 0);
    for (unsigned who = 1; who < MEMBERS; who++)
        introduce(who, as_messages);
}

static void look(void)
{
    world.count = gossip_member_count(world.gossip);
    for (size_t i = 0; i < world.count; i++) {
        const struct gossip_member *member = gossip_member_at(world.gossip, i);
        world.ids[i] = member->self.id;
        world.before[i] = (struct view){member->self.incarnation, member->state};
    }
}

static void check(void)
{
    if (!world.believes) MESH_ASSERT(gossip_member_count(world.gossip) == world.count);
    for (size_t i = 0; i < world.count; i++) {
        const struct gossip_member *after = gossip_find(world.gossip, &world.ids[i]);
        const struct view *before = &world.before[i];
        MESH_ASSERT(after != NULL); /* tombstones last longer than any input */
        MESH_ASSERT(after->self.incarnation > before->incarnation ||
                    (after->self.incarnation == before->incarnation && after->state >= before->state));
        if (world.believes || after->is_self) continue;
        MESH_ASSERT(after->self.incarnation == before->incarnation && after->state != GOSSIP_LEFT);
        MESH_ASSERT(before->state != GOSSIP_ALIVE || after->state != GOSSIP_DEAD);
    }
}

static void feed_piece(struct slice piece, uint8_t pause, bool as_messages)
{
    struct uuid from = id_of(1);
    struct net_address address = address_of(1);

    look();
    if (as_messages) gossip_receive_message(world.gossip, world.now_us, &from, piece);
    else gossip_receive_packet(world.gossip, world.now_us, &from, 7, &address, piece);
    drain();
    check();
    for (uint64_t end_us = world.now_us + pause * 20000ull; gossip_due_us(world.gossip) <= end_us;) {
        world.now_us = gossip_due_us(world.gossip);
        look();
        gossip_tick(world.gossip, world.now_us);
        drain();
        check();
    }
}

void gossip_world_feed(const uint8_t *data, size_t size, bool as_messages)
{
    size_t at = 1;

    if (size == 0) return;
    begin(as_messages);
    world.believes = (data[0] & 1) != 0;
    for (int pieces = 0; pieces < 32 && at + 3 <= size; pieces++) {
        size_t piece_size = le_load16(data + at);
        uint8_t pause = data[at + 2], *copy;
        at += 3;
        if (piece_size > size - at) piece_size = size - at;
        copy = malloc(piece_size > 0 ? piece_size : 1); /* exact size, so that a sanitizer sees reads past the end */
        if (copy == NULL) abort();
        memcpy(copy, data + at, piece_size);
        feed_piece(slice_of(copy, piece_size), pause, as_messages);
        free(copy);
        at += piece_size;
    }
    gossip_free(world.gossip);
}
