#include "node_hand.h"

#include "base/assert.h"
#include "base/error.h"
#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>

#define POOL_SIZE     (4u << 20)
#define SNAPSHOT_SIZE (1u << 20)

struct hand hand;

/* Of a message in the pool; the bytes follow. */
struct header {
    unsigned from, to;
    enum node_link link;
    size_t size;
};

struct raft_server hand_server(unsigned number)
{
    struct raft_server server = {.broker = {{0}}};

    server.broker.bytes[0] = server.dir.bytes[0] = (uint8_t)((number + 1) & 0xff);
    server.broker.bytes[1] = server.dir.bytes[1] = (uint8_t)((number + 1) >> 8);
    server.dir.bytes[15] = 1;
    return server;
}

static unsigned number_of(const struct uuid *broker)
{
    return (broker->bytes[0] | (unsigned)broker->bytes[1] << 8) - 1;
}

void hand_begin(size_t count)
{
    hand = (struct hand){.now_us = 1000000, .count = count};
    MESH_ASSERT(count <= HAND_NODES_MAX);
    MESH_ASSERT(buffer_reserve(&hand.pool, POOL_SIZE) == 0 && buffer_reserve(&hand.scratch, POOL_SIZE) == 0);
    for (size_t i = 0; i < count; i++) {
        hand.nodes[i].server = hand_server((unsigned)i);
        MESH_ASSERT(buffer_reserve(&hand.nodes[i].snapshot, SNAPSHOT_SIZE) == 0);
    }
    node_options_init(&hand.options);
    hand.options.raft_heartbeat_us = 20000;
    hand.options.election_min_us = 100000;
    hand.options.election_max_us = 200000;
    hand.options.defaults.replication_factor = 1;
}

int hand_make(size_t at)
{
    static const struct raft_recovered blank;
    static const struct node_self self = {"broker", "host.example", "", 7777, 1};
    struct node_options options = hand.options;
    int err;

    options.self = hand.nodes[at].server;
    options.boot = 1;
    memset(options.seed, (int)at + 1, sizeof(options.seed));
    err = node_new(&options, &blank, NULL, hand.now_us, &hand.nodes[at].node);
    return err != 0 || hand.is_nameless ? err : node_set_self(hand.nodes[at].node, hand.now_us, &self);
}

void hand_end(void)
{
    for (size_t i = 0; i < hand.count; i++) {
        node_free(hand.nodes[i].node);
        buffer_deinit(&hand.nodes[i].snapshot);
    }
    buffer_deinit(&hand.pool);
    buffer_deinit(&hand.scratch);
}

void hand_link(size_t a, size_t b)
{
    node_link_up(hand.nodes[a].node, hand.now_us, &hand.nodes[b].server);
    node_link_up(hand.nodes[b].node, hand.now_us, &hand.nodes[a].server);
}

/* ---- outputs ---- */

static void add_message(unsigned from, unsigned to, enum node_link link, struct slice bytes)
{
    struct header header = {from, to, link, bytes.size};

    MESH_ASSERT(hand.pool.size + sizeof(header) + bytes.size <= POOL_SIZE); /* nothing is allocated */
    MESH_ASSERT(buffer_append(&hand.pool, &header, sizeof(header)) == 0);
    if (bytes.size != 0) MESH_ASSERT(buffer_append(&hand.pool, bytes.data, bytes.size) == 0);
}

static void take_answer(struct hand_node *of, const struct node_output *output)
{
    struct hand_answer *answer = &of->answers[output->cookie];

    answer->times++;
    answer->error = output->error;
    answer->index = output->index;
    answer->topic_id = output->topic_id;
    snprintf(answer->text, sizeof(answer->text), "%s", output->text);
}

static void store_chunk(struct hand_node *of, const struct node_output *output)
{
    if (output->offset == 0) buffer_clear(&of->snapshot);
    MESH_ASSERT(of->snapshot.size == output->offset && of->snapshot.size + output->bytes.size <= SNAPSHOT_SIZE);
    if (output->bytes.size != 0) MESH_ASSERT(buffer_append(&of->snapshot, output->bytes.data, output->bytes.size) == 0);
    of->snapshot_at = output->position;
    of->snapshot_config = *output->config;
}

/* Without memory for it there is no snapshot, which is allowed: the one before stays. */
static void take_snapshot(struct hand_node *of, const struct node_output *output)
{
    size_t before = of->snapshot.size;

    of->taken_index = output->position.index;
    of->taken_error = image_encode(output->image, &of->snapshot);
    if (of->taken_error != 0) {
        of->snapshot.size = before;
        return;
    }
    buffer_consume(&of->snapshot, before);
    of->snapshot_at = output->position;
    of->snapshot_config = *output->config;
}

static void carry_out(struct hand_node *of, const struct node_output *output)
{
    switch (output->type) {
    case NODE_OUTPUT_SEND: add_message(number_of(&of->server.broker), number_of(&output->peer), output->link, output->bytes); return;
    case NODE_OUTPUT_STORE_CHUNK: store_chunk(of, output); of->store_due = output->store; return;
    case NODE_OUTPUT_STORE_STATE:
    case NODE_OUTPUT_STORE_RECOVERY: /* nobody starts again with it */
    case NODE_OUTPUT_STORE_ENTRIES: of->store_due = output->store; return;
    case NODE_OUTPUT_SNAPSHOT_TAKE: take_snapshot(of, output); return;
    case NODE_OUTPUT_SNAPSHOT_READ:
        of->reads[of->read_count++] = (struct hand_read){output->read, output->index, output->offset, output->size};
        return;
    case NODE_OUTPUT_RESTORE: of->is_restore_due = true; return;
    case NODE_OUTPUT_ANSWER: take_answer(of, output); return;
    case NODE_OUTPUT_EVENT:
        if (getenv("NODE_HAND_EVENTS") != NULL) fprintf(stderr, "%9.3f %u: %s\n", (double)hand.now_us / 1e6, number_of(&of->server.broker), output->text);
        return;
    case NODE_OUTPUT_WANT_LINK:
    case NODE_OUTPUT_PUBLISH:
    case NODE_OUTPUT_FRONTIER:
    case NODE_OUTPUT_STATUS:
    case NODE_OUTPUT_LEFT: return;
    case NODE_OUTPUT_RECOVERED:
        of->recovered++;
        of->recover_error = output->report->error;
        return;
    }
}

static void answer_read(struct hand_node *of, const struct hand_read *read)
{
    struct node_snapshot snapshot = {.position = of->snapshot_at, .config = of->snapshot_config, .total = of->snapshot.size};
    bool is_there = of->snapshot.size != 0 && (read->index == 0 || read->index == of->snapshot_at.index) && read->offset <= of->snapshot.size;
    size_t size = is_there && read->size > of->snapshot.size - read->offset ? of->snapshot.size - (size_t)read->offset : (size_t)read->size;

    if (is_there) snapshot.bytes = slice_of(of->snapshot.data + read->offset, size);
    node_snapshot_bytes(of->node, hand.now_us, read->read, is_there ? 0 : MESH_ENOTFOUND, &snapshot);
}

static void restore(struct hand_node *of)
{
    struct image *image = NULL;
    int err;

    do
        err = image_decode(buffer_slice(&of->snapshot), &image);
    while (err == MESH_ENOMEM); /* whoever drives a node tries again */
    node_restored(of->node, hand.now_us, err, image);
    image_unref(image);
}

/* One thing that the outside is done with. False: nothing is. */
static bool tell(struct hand_node *of)
{
    uint64_t store = of->store_due;

    if (store != 0) {
        of->store_due = 0;
        node_stored(of->node, hand.now_us, store);
    } else if (of->taken_index != 0) {
        uint64_t index = of->taken_index;

        of->taken_index = 0;
        node_snapshot_taken(of->node, hand.now_us, index, of->taken_error);
    } else if (of->is_restore_due) {
        of->is_restore_due = false;
        restore(of);
    } else if (of->read_count > 0) {
        struct hand_read read = of->reads[--of->read_count];

        answer_read(of, &read);
    } else {
        return false;
    }
    return true;
}

static void drain(struct hand_node *of)
{
    struct node_output output;

    do
        while (node_next_output(of->node, hand.now_us, &output))
            carry_out(of, &output);
    while (tell(of));
}

/* ---- time ---- */

static void deliver(void)
{
    while (hand.delivered < hand.pool.size) {
        struct header header;
        struct slice bytes;
        struct raft_server from;

        memcpy(&header, hand.pool.data + hand.delivered, sizeof(header));
        bytes = slice_of(hand.pool.data + hand.delivered + sizeof(header), header.size);
        hand.delivered += sizeof(header) + header.size;
        if (header.to >= hand.count || hand.nodes[header.to].node == NULL) continue; /* for a name: it stays to be looked at */
        from = hand_server(header.from);
        node_receive(hand.nodes[header.to].node, hand.now_us, &from.broker, header.link, bytes);
        drain(&hand.nodes[header.to]);
    }
}

void hand_run(uint64_t for_us)
{
    uint64_t end_us = hand.now_us + for_us;

    for (;;) {
        uint64_t due_us = end_us + 1;

        for (size_t i = 0; i < hand.count; i++)
            if (hand.nodes[i].node != NULL) drain(&hand.nodes[i]);
        deliver();
        for (size_t i = 0; i < hand.count; i++) {
            uint64_t at_us = hand.nodes[i].node == NULL ? NODE_NEVER : node_due_us(hand.nodes[i].node);

            if (at_us < due_us) due_us = at_us;
        }
        if (due_us > end_us) break;
        if (due_us > hand.now_us) hand.now_us = due_us;
        else hand.now_us++; /* whoever was due and did nothing must not stop time */
        for (size_t i = 0; i < hand.count; i++) {
            if (hand.nodes[i].node == NULL || node_due_us(hand.nodes[i].node) > hand.now_us) continue;
            node_tick(hand.nodes[i].node, hand.now_us);
            drain(&hand.nodes[i]);
        }
        if (hand.delivered == hand.pool.size && hand.pool.size > POOL_SIZE / 2) hand_forget();
    }
    if (hand.now_us < end_us) hand.now_us = end_us;
}

bool hand_await_serving(size_t at, uint64_t at_most_us)
{
    for (uint64_t end_us = hand.now_us + at_most_us; hand.now_us < end_us; hand_run(10000)) {
        struct node_status status;

        node_get_status(hand.nodes[at].node, &status);
        if (status.is_serving && status.has_session) return true;
    }
    return false;
}

/* ---- what is asked and said ---- */

static int request(size_t at, enum node_op op, uint64_t timeout_us, uint64_t cookie)
{
    return node_request(hand.nodes[at].node, hand.now_us, op, buffer_slice(&hand.scratch), timeout_us, cookie);
}

int hand_create(size_t at, const char *topic, uint64_t timeout_us, uint64_t cookie)
{
    struct message_topic_create create = {.name = (char *)(uintptr_t)topic, .partition_count = 1, .replication_factor = 1};

    buffer_clear(&hand.scratch);
    if (message_encode_topic_create(&hand.scratch, &create) != 0) return MESH_ENOMEM;
    return request(at, NODE_OP_TOPIC_CREATE, timeout_us, cookie);
}

int hand_delete(size_t at, const char *topic, uint64_t timeout_us, uint64_t cookie)
{
    struct message_topic_delete gone = {.name = (char *)(uintptr_t)topic};

    buffer_clear(&hand.scratch);
    if (message_encode_topic_delete(&hand.scratch, &gone) != 0) return MESH_ENOMEM;
    return request(at, NODE_OP_TOPIC_DELETE, timeout_us, cookie);
}

void hand_say(unsigned from, size_t at, const struct node_message *message)
{
    struct buffer bytes = BUFFER_INIT;

    MESH_ASSERT(node_message_encode(&bytes, message) == 0);
    add_message(from, (unsigned)at, NODE_LINK_METADATA, buffer_slice(&bytes));
    buffer_deinit(&bytes);
    hand_run(1000);
}

bool hand_heard(unsigned name, enum node_message_type type, struct node_message *ret_message)
{
    bool is_found = false;

    for (size_t at = 0; at < hand.pool.size;) {
        struct header header;
        struct node_message message;

        memcpy(&header, hand.pool.data + at, sizeof(header));
        at += sizeof(header);
        if (header.to == name && header.link == NODE_LINK_METADATA && node_message_decode(slice_of(hand.pool.data + at, header.size), &message) == 0 &&
            message.type == type) {
            *ret_message = message;
            is_found = true;
        }
        at += header.size;
    }
    return is_found;
}

void hand_forget(void)
{
    MESH_ASSERT(hand.delivered == hand.pool.size);
    buffer_clear(&hand.pool);
    hand.delivered = 0;
}
