/* Fuzzes both ends of a replication stream with whatever a peer may send: a leader's source and a follower's sink, over a log that is only
 * numbers. Nothing may break, the books stay sane, and what is taken was in order.
 *
 * Input: the end (0: source, 1: sink), then packets, each behind its size (2 bytes, little endian). */
#include "replication/partition/sink.h"
#include "replication/partition/source.h"

#include "base/assert.h"
#include "base/error.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The follower's or leader's log: 4 records of epoch 1, then what is appended. */
struct world {
    struct replica_board board;
    struct replica replica;
    uint64_t start, end;
    int32_t last_epoch;
    uint64_t last_epoch_start;
};

static struct replica *find(void *user, const struct uuid *topic_id, uint32_t partition)
{
    struct world *world = user;

    (void)topic_id;
    return partition == 0 ? &world->replica : NULL;
}

static uint64_t epoch_end(void *user, const struct replica *replica, int32_t epoch, int32_t *ret_epoch)
{
    const struct world *world = user;

    (void)replica;
    if (epoch >= world->last_epoch) {
        *ret_epoch = world->last_epoch;
        return world->end;
    }
    *ret_epoch = epoch >= 1 && world->last_epoch_start > world->start ? 1 : -1;
    return world->last_epoch_start;
}

static int32_t start_epoch(void *user, const struct replica *replica)
{
    (void)user;
    return replica->partition.log_start == 0 ? -1 : 1;
}

static void identify(void *user, const struct replica *replica, struct uuid *ret_topic_id, uint32_t *ret_partition)
{
    (void)user;
    (void)replica;
    memset(ret_topic_id, 0, sizeof(*ret_topic_id));
    *ret_partition = 0;
}

static int32_t last_epoch(void *user, const struct replica *replica)
{
    (void)replica;
    return ((struct world *)user)->last_epoch;
}

static const struct source_ops source_ops = {find, epoch_end, start_epoch, NULL};
static const struct sink_ops sink_ops = {identify, last_epoch, epoch_end};

static void say_positions(struct world *world)
{
    const struct partition_positions positions = {world->start, world->end, world->end, world->end, 0};

    replica_set_positions(&world->replica, &positions);
}

static void append(struct world *world, const struct record_batch_header *header)
{
    MESH_ASSERT((uint64_t)header->base_offset == world->end);
    MESH_ASSERT(header->leader_epoch >= world->last_epoch && header->leader_epoch <= world->replica.partition.leader_epoch);
    if (header->leader_epoch > world->last_epoch) world->last_epoch_start = world->end;
    world->last_epoch = header->leader_epoch;
    world->end = (uint64_t)record_batch_last_offset(header) + 1;
}

static void cut(struct world *world)
{
    struct partition_positions positions;
    struct replica_cut what;

    replica_get_cut(&world->replica, &what);
    MESH_ASSERT(what.is_reset || (what.offset >= world->start && what.offset <= world->end));
    MESH_ASSERT(what.is_reset || what.epoch == -1);
    world->end = what.offset;
    if (what.is_reset) {
        world->start = world->last_epoch_start = what.offset;
        world->last_epoch = what.epoch;
    } else if (world->end <= world->last_epoch_start) {
        world->last_epoch = world->end > world->start ? 1 : -1;
        world->last_epoch_start = world->start;
    }
    positions = (struct partition_positions){world->start, world->end, world->end, world->end, 0};
    replica_cut_done(&world->replica, &positions);
}

static void turn(struct world *world, struct sink *sink)
{
    struct replica *replica;
    uint32_t todo;

    while ((replica = replica_board_next(&world->board, &todo)) != NULL) {
        struct record_batch_header header = {.base_offset = (int64_t)world->end, .leader_epoch = 3, .record_count = 1};

        if (todo & REPLICA_TODO_EPOCH_START) {
            append(world, &header);
            replica_epoch_started(replica, &header);
            say_positions(world);
        }
        if ((todo & REPLICA_TODO_FOLLOW) && sink != NULL) MESH_ASSERT(sink_add(sink, replica) == 0);
        if (todo & REPLICA_TODO_CUT) cut(world);
    }
    MESH_ASSERT(world->replica.partition.log_start <= world->replica.partition.high_watermark);
    MESH_ASSERT(world->replica.partition.high_watermark <= world->replica.partition.log_end);
}

static void world_init(struct world *world, int32_t leader, struct sink *sink)
{
    static const struct partition_config config = {.batch_bytes_max = 1 << 20, .min_insync = 2};
    static const struct replica_member members[] = {{1, 5, 6, true}, {2, 5, 6, true}, {3, 5, 6, true}};
    const struct partition_positions positions = {0, 4, 4, 4, 0};
    const struct replica_assignment assignment = {
        .leader = leader, .leader_epoch = 3, .partition_epoch = 1, .isr = 3, .member_count = 3, .members = members};

    memset(world, 0, sizeof(*world));
    world->end = 4;
    world->last_epoch = 1;
    replica_board_init(&world->board);
    world->board.broker_epoch = 5;
    replica_init(&world->replica, &world->board, 1, &config, &positions, 2);
    MESH_ASSERT(replica_assign(&world->replica, &assignment) == 0);
    turn(world, sink);
}

static int to_source(struct world *world, struct source *source, struct slice packet)
{
    struct buffer out = BUFFER_INIT;
    struct source_read read;
    int err = source_receive(source, packet);

    MESH_ASSERT(err == 0 || source->lie != STREAM_LIE_NONE);
    turn(world, NULL);
    for (int i = 0; err == 0 && i < 8 && source_has_output(source); i++) {
        MESH_ASSERT(stream_packet_begin(&out) == 0);
        while (source_next(source, &out, &read) == 1) {
            uint8_t bytes[16] = {0};

            MESH_ASSERT(read.offset < world->end && read.limit == world->end);
            MESH_ASSERT(source_send(source, &read, sizeof(bytes), read.offset + 1, &out) == 0);
            MESH_ASSERT(buffer_append(&out, bytes, sizeof(bytes)) == 0);
        }
        buffer_clear(&out);
    }
    buffer_deinit(&out);
    return err;
}

static int to_sink(struct world *world, struct sink *sink, struct slice packet)
{
    struct buffer out = BUFFER_INIT;
    struct sink_event event;
    int err = sink_receive(sink, packet);

    while (err == 0 && (err = sink_next(sink, &event)) == 1) {
        if (event.type == SINK_APPEND) append(world, &event.header);
        sink_taken(sink);
        if (event.type == SINK_APPEND) say_positions(world);
        err = 0;
    }
    MESH_ASSERT(err == 0 || sink->lie != STREAM_LIE_NONE);
    turn(world, sink);
    world->board.now_ms += 2000;
    sink_tick(sink);
    if (sink_has_output(sink)) {
        MESH_ASSERT(stream_packet_begin(&out) == 0);
        MESH_ASSERT(sink_output(sink, &out) == 0);
    }
    buffer_deinit(&out);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world;
    struct source source;
    struct sink sink;
    bool is_sink = size > 0 && (data[0] & 1) != 0;
    struct buffer greeting = BUFFER_INIT;
    int err = 0;

    sink_init(&sink, &world.board, &sink_ops, &world);
    world_init(&world, is_sink ? 2 : 1, &sink);
    source_init(&source, 2, &source_ops, &world);
    if (is_sink) {
        sink_connected(&sink);
        MESH_ASSERT(stream_packet_begin(&greeting) == 0 && sink_output(&sink, &greeting) == 0);
    }
    for (size_t at = 1; err == 0 && at + 2 <= size;) {
        size_t length = (size_t)data[at] | (size_t)data[at + 1] << 8;

        at += 2;
        if (length > size - at) length = size - at;
        err = is_sink ? to_sink(&world, &sink, slice_of(data + at, length)) : to_source(&world, &source, slice_of(data + at, length));
        at += length;
    }
    source_deinit(&source);
    sink_deinit(&sink);
    replica_deinit(&world.replica);
    buffer_deinit(&greeting);
    return 0;
}
