#include "replica_rig.h"

#include "base/error.h"

#include <check.h>
#include <string.h>

/* ---- look-ups ---- */

static int number_of(const struct replica_rig *rig, const struct replica *replica)
{
    return (int)(replica - rig->replicas);
}

static void identify(void *user, const struct replica *replica, struct uuid *ret_topic_id, uint32_t *ret_partition)
{
    memset(ret_topic_id, 9, sizeof(*ret_topic_id));
    *ret_partition = (uint32_t)number_of(user, replica);
}

static int32_t last_epoch(void *user, const struct replica *replica)
{
    struct replica_rig *rig = user;

    return replica_log_last_epoch(&rig->logs[number_of(rig, replica)]);
}

static uint64_t epoch_end(void *user, const struct replica *replica, int32_t epoch, int32_t *ret_epoch)
{
    struct replica_rig *rig = user;

    return replica_log_epoch_end(&rig->logs[number_of(rig, replica)], epoch, ret_epoch);
}

static int32_t start_epoch(void *user, const struct replica *replica)
{
    struct replica_rig *rig = user;

    return rig->logs[number_of(rig, replica)].floor_epoch;
}

static struct replica *find(void *user, const struct uuid *topic_id, uint32_t partition)
{
    struct replica_rig *rig = user;

    return topic_id->bytes[0] == 9 && partition < (uint32_t)rig->partition_count ? &rig->replicas[partition] : NULL;
}

static const struct sink_ops sink_ops = {identify, last_epoch, epoch_end};
static const struct source_ops source_ops = {find, epoch_end, start_epoch, NULL};

/* ---- life ---- */

static void positions_changed(struct replica_rig *rig, int p)
{
    struct partition_positions positions;

    replica_log_positions(&rig->logs[p], &positions);
    replica_set_positions(&rig->replicas[p], &positions);
}

void rig_init(struct replica_rig *rig, enum partition_mode mode, int members, uint32_t min_insync)
{
    const struct partition_positions nothing = {0, 0, 0, 0, 0};

    memset(rig, 0, sizeof(*rig));
    rig->config = (struct partition_config){.batch_bytes_max = 1024, .min_insync = min_insync, .mode = mode};
    rig->partition_count = 1;
    rig->member_count = members;
    for (int i = 0; i < members; i++)
        rig->members[i] = (struct replica_member){i + 1, 101 + (uint64_t)i, 201 + (uint64_t)i, true};
    replica_board_init(&rig->board);
    rig->board.now_ms = 1000;
    rig->board.broker_epoch = 101;
    for (int p = 0; p < RIG_PARTITIONS; p++) {
        replica_log_init(&rig->logs[p]);
        replica_log_empty(&rig->logs[p], 0, -1);
        replica_init(&rig->replicas[p], &rig->board, 1, &rig->config, &nothing, 0);
    }
    for (int node = 1; node <= RIG_MEMBERS; node++)
        source_init(&rig->sources[node], node, &source_ops, rig);
    sink_init(&rig->sink, &rig->board, &sink_ops, rig);
}

void rig_deinit(struct replica_rig *rig)
{
    for (int node = 1; node <= RIG_MEMBERS; node++)
        source_deinit(&rig->sources[node]);
    sink_deinit(&rig->sink);
    for (int p = 0; p < RIG_PARTITIONS; p++) {
        replica_deinit(&rig->replicas[p]);
        replica_log_deinit(&rig->logs[p]);
    }
    buffer_deinit(&rig->packet);
    buffer_deinit(&rig->said);
}

void rig_batch(struct buffer *to, uint64_t base_offset, int32_t epoch)
{
    const struct record_batch_producer nobody = {-1, -1, -1};
    struct record record = {.timestamp_ms = 1000, .value = slice_of_string("value"), .key_is_null = true};
    struct record_batch_builder builder;
    struct buffer unused = BUFFER_INIT;
    struct slice batch;
    size_t at = to->size;

    record_batch_builder_init(&builder);
    ck_assert_int_eq(record_batch_builder_add(&builder, &record), 0);
    ck_assert_int_eq(record_batch_builder_finish(&builder, &nobody, 0, RECORD_COMPRESSION_NONE, &unused, &batch), 0);
    ck_assert_int_eq(buffer_append(to, batch.data, batch.size), 0);
    record_batch_set_base_offset(to->data + at, (int64_t)base_offset);
    record_batch_set_leader_epoch(to->data + at, epoch);
    record_batch_builder_deinit(&builder);
}

static void log_append(struct replica_rig *rig, int p, int32_t epoch)
{
    struct buffer bytes = BUFFER_INIT;
    struct record_batch_header header;

    rig_batch(&bytes, rig->logs[p].end, epoch);
    ck_assert_int_eq(record_batch_parse_header(buffer_slice(&bytes), &header), 0);
    replica_log_append(&rig->logs[p], &header, bytes.data);
    buffer_deinit(&bytes);
}

void rig_fill(struct replica_rig *rig, int p, const int *records_by_epoch, int epochs, uint64_t high_watermark)
{
    struct replica_log *log = &rig->logs[p];
    struct partition_positions positions;
#ifdef MESH_TEST_SWITCHES
    uint32_t defects = rig->replicas[p].defects;
#endif

    for (int epoch = 0; epoch < epochs; epoch++)
        for (int i = 0; i < records_by_epoch[epoch]; i++)
            log_append(rig, p, epoch);
    log->written = log->durable = log->end;
    replica_log_positions(log, &positions);
    replica_deinit(&rig->replicas[p]);
    replica_init(&rig->replicas[p], &rig->board, 1, &rig->config, &positions, high_watermark);
#ifdef MESH_TEST_SWITCHES
    rig->replicas[p].defects = defects;
#endif
}

void rig_assign(struct replica_rig *rig, int32_t leader, int32_t leader_epoch, uint32_t partition_epoch, uint16_t isr)
{
    const struct replica_assignment assignment = {.leader = leader,
                                                  .leader_epoch = leader_epoch,
                                                  .partition_epoch = partition_epoch,
                                                  .isr = isr,
                                                  .member_count = (uint8_t)rig->member_count,
                                                  .wants_confirmation = rig->wants_confirmation,
                                                  .members = rig->members};

    for (int p = 0; p < rig->partition_count; p++)
        ck_assert_int_eq(replica_assign(&rig->replicas[p], &assignment), 0);
    rig_turn(rig);
}

static void begin_epoch(struct replica_rig *rig, int p)
{
    struct buffer bytes = BUFFER_INIT;
    struct record_batch_header header;

    ck_assert_int_eq(replica_build_epoch_start(&rig->replicas[p], 1000, &bytes), 0);
    ck_assert_int_eq(record_batch_verify(buffer_slice(&bytes), &header), 0);
    ck_assert_int_ne(header.attributes & RECORD_ATTRIBUTE_CONTROL, 0);
    replica_log_append(&rig->logs[p], &header, bytes.data);
    replica_epoch_started(&rig->replicas[p], &header);
    buffer_deinit(&bytes);
}

void rig_turn(struct replica_rig *rig)
{
    struct replica *replica;
    uint32_t todo;

    memset(rig->todo, 0, sizeof(rig->todo));
    while ((replica = replica_board_next(&rig->board, &todo)) != NULL) {
        int p = number_of(rig, replica);

        rig->todo[p] |= todo;
        if (todo & REPLICA_TODO_EPOCH_START) begin_epoch(rig, p);
        if (todo & REPLICA_TODO_FOLLOW) ck_assert_int_eq(sink_add(&rig->sink, replica), 0);
        if (todo & REPLICA_TODO_TRIM) {
            replica_log_trim(&rig->logs[p], replica->leader_log_start);
            positions_changed(rig, p);
        }
    }
}

void rig_tick(struct replica_rig *rig, uint64_t now_ms)
{
    replica_board_tick(&rig->board, now_ms);
    sink_tick(&rig->sink);
    rig_turn(rig);
}

void rig_append(struct replica_rig *rig, int p, int records)
{
    for (int i = 0; i < records; i++) {
        struct record_batch_header header = {.base_offset = (int64_t)rig->logs[p].end};

        log_append(rig, p, rig->replicas[p].partition.leader_epoch);
        header.leader_epoch = rig->replicas[p].partition.leader_epoch;
        replica_leader_appended(&rig->replicas[p], &header);
    }
    rig->logs[p].written = rig->logs[p].end;
    positions_changed(rig, p);
    rig_turn(rig);
}

void rig_sync(struct replica_rig *rig)
{
    for (int p = 0; p < rig->partition_count; p++) {
        rig->logs[p].written = rig->logs[p].durable = rig->logs[p].end;
        positions_changed(rig, p);
    }
    rig_turn(rig);
}

void rig_cut(struct replica_rig *rig, int p)
{
    struct partition_positions positions;
    struct replica_cut cut;

    replica_get_cut(&rig->replicas[p], &cut);
    if (cut.is_reset)
        replica_log_empty(&rig->logs[p], cut.offset, cut.epoch);
    else
        replica_log_cut(&rig->logs[p], cut.offset);
    replica_log_positions(&rig->logs[p], &positions);
    replica_cut_done(&rig->replicas[p], &positions);
    rig_turn(rig);
}

/* ---- the puppet follower ---- */

int rig_say(struct replica_rig *rig, int node, const struct stream_message *message)
{
    int err;

    buffer_clear(&rig->said);
    ck_assert_int_eq(stream_packet_begin(&rig->said), 0);
    ck_assert_int_eq(stream_message_encode(message, &rig->said), 0);
    err = source_receive(&rig->sources[node], buffer_slice(&rig->said));
    rig_turn(rig);
    return err;
}

int rig_attach(struct replica_rig *rig, int node, uint32_t session, int32_t epoch, int32_t last, uint64_t end)
{
    struct stream_message attach = {.type = STREAM_ATTACH,
                                    .session = session,
                                    .leader_epoch = epoch,
                                    .broker_epoch = 100 + (uint64_t)node,
                                    .generation = 200 + (uint64_t)node,
                                    .log_end = end,
                                    .written = end,
                                    .durable = end,
                                    .last_epoch = last};

    memset(&attach.topic_id, 9, sizeof(attach.topic_id));
    return rig_say(rig, node, &attach);
}

int rig_ack(struct replica_rig *rig, int node, uint32_t session, int32_t epoch, uint64_t written, uint64_t durable)
{
    return rig_say(rig, node,
                   &(struct stream_message){
                       .type = STREAM_ACK, .session = session, .leader_epoch = epoch, .written = written, .durable = durable});
}

static void take_heard(struct replica_rig *rig)
{
    struct codec_reader reader;

    rig->heard_count = 0;
    if (rig->packet.size == 0) return;
    ck_assert_int_eq(stream_packet_open(buffer_slice(&rig->packet), &reader), 0);
    while (rig->heard_count < RIG_HEARD_MAX && stream_message_next(&reader, &rig->heard[rig->heard_count]) == 1)
        rig->heard_count++;
}

void rig_hear(struct replica_rig *rig, int node)
{
    struct source *source = &rig->sources[node];
    struct source_read read;

    buffer_clear(&rig->packet);
    ck_assert_int_eq(stream_packet_begin(&rig->packet), 0);
    while (source_has_output(source) && source_next(source, &rig->packet, &read) == 1) {
        const struct replica_log *log = &rig->logs[number_of(rig, read.replica)];
        const struct replica_log_batch *batch = replica_log_find(log, read.offset);
        uint32_t count = 1, size = batch->size;

        while (batch + count < log->at + log->count && size + batch[count].size <= read.bytes_max)
            size += batch[count++].size;
        ck_assert_int_eq(source_send(source, &read, size, batch[count - 1].base + batch[count - 1].count, &rig->packet), 0);
        for (uint32_t i = 0; i < count; i++)
            ck_assert_int_eq(buffer_append(&rig->packet, batch[i].bytes, batch[i].size), 0);
    }
    take_heard(rig);
}

/* ---- the puppet leader ---- */

int rig_lead(struct replica_rig *rig, struct stream_message message, struct slice bytes)
{
    struct sink_event event;
    int err;

    buffer_clear(&rig->said);
    if (message.size == 0 && message.type == STREAM_DATA) message.size = (uint32_t)bytes.size;
    if (message.type == STREAM_MORE) message.bytes = slice_of(NULL, bytes.size);
    ck_assert_int_eq(stream_packet_begin(&rig->said), 0);
    ck_assert_int_eq(stream_message_encode(&message, &rig->said), 0);
    ck_assert_int_eq(buffer_append(&rig->said, bytes.data, bytes.size), 0);
    err = sink_receive(&rig->sink, buffer_slice(&rig->said));
    while (err == 0 && (err = sink_next(&rig->sink, &event)) == 1) {
        err = 0;
        if (event.type == SINK_APPEND) {
            replica_log_append(&rig->logs[number_of(rig, event.replica)], &event.header, event.batch.data);
            rig->appended++;
        }
        sink_taken(&rig->sink);
    }
    rig_turn(rig);
    return err;
}

void rig_hear_follower(struct replica_rig *rig)
{
    buffer_clear(&rig->packet);
    rig->heard_count = 0;
    if (!sink_has_output(&rig->sink)) return;
    ck_assert_int_eq(stream_packet_begin(&rig->packet), 0);
    ck_assert_int_eq(sink_output(&rig->sink, &rig->packet), 0);
    take_heard(rig);
}
