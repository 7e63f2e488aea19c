/* A broker of the mesh of replicas: owns logs and streams, and does what its board lists. */
#include "base/assert.h"
#include "base/error.h"
#include "support/replica_mesh_internal.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(mesh, condition, ...)                                                                                   \
    do {                                                                                                              \
        if (!(condition)) replica_watch_violate(&(mesh)->watch, __VA_ARGS__);                                         \
    } while (0)

/* ---- look-ups ---- */

static struct mesh_broker *broker_of(const struct replica *replica)
{
    return container_of(replica->board, struct mesh_broker, board);
}

static int partition_of(const struct replica *replica)
{
    return (int)(replica - broker_of(replica)->replicas);
}

static const struct replica_log *log_of(const struct replica *replica)
{
    return &broker_of(replica)->logs[partition_of(replica)];
}

static void identify(void *user, const struct replica *replica, struct uuid *ret_topic_id, uint32_t *ret_partition)
{
    (void)user;
    memset(ret_topic_id, 7, sizeof(*ret_topic_id));
    *ret_partition = (uint32_t)partition_of(replica);
}

static int32_t last_epoch(void *user, const struct replica *replica)
{
    (void)user;
    return replica_log_last_epoch(log_of(replica));
}

static uint64_t epoch_end(void *user, const struct replica *replica, int32_t epoch, int32_t *ret_epoch)
{
    (void)user;
    return replica_log_epoch_end(log_of(replica), epoch, ret_epoch);
}

static int32_t start_epoch(void *user, const struct replica *replica)
{
    (void)user;
    return log_of(replica)->floor_epoch;
}

static struct replica *find(void *user, const struct uuid *topic_id, uint32_t partition)
{
    struct mesh_broker *broker = user;

    (void)topic_id;
    return broker->has_replicas && partition < MESH_PARTITIONS ? &broker->replicas[partition] : NULL;
}

static const struct sink_ops sink_ops = {identify, last_epoch, epoch_end};
static const struct source_ops source_ops = {find, epoch_end, start_epoch, NULL};

/* ---- life ---- */

static void replica_boot(struct replica_mesh *mesh, int b, int p)
{
    struct mesh_broker *broker = &mesh->brokers[b];
    struct partition_config config = {.batch_bytes_max = 1024,
                                      .min_insync = (uint32_t)mesh->min_insync,
                                      .mode = mesh->options.mode,
                                      .is_async = mesh->options.is_async};
    struct partition_positions positions;

    replica_log_positions(&broker->logs[p], &positions);
    replica_init(&broker->replicas[p], &broker->board, b + 1, &config, &positions, broker->logs[p].high_watermark);
#ifdef MESH_TEST_SWITCHES
    if (mesh->options.defect != REPLICA_DEFECT_NONE) replica_bring_back(&broker->replicas[p], mesh->options.defect);
#endif
    broker->pending_count[p] = 0;
    broker->rounds[p] = 0;
    broker->seen[p] = broker->replicas[p].partition.high_watermark;
    replica_watch_visible(&mesh->watch, p, b, -1, &broker->logs[p], broker->logs[p].start, broker->seen[p]);
}

void mesh_broker_boot(struct replica_mesh *mesh, int b)
{
    struct mesh_broker *broker = &mesh->brokers[b];

    broker->is_up = true;
    broker->life++;
    broker->is_syncing = broker->is_ticking = false;
    broker->is_registered = false;
    replica_board_init(&broker->board);
    broker->board.now_ms = mesh->now_us / 1000;
    broker->board.lag_max_ms = 150;
    for (int p = 0; p < mesh->partition_count; p++)
        replica_boot(mesh, b, p);
    broker->has_replicas = true;
    for (int other = 0; other < mesh->broker_count; other++) {
        struct mesh_link *link = mesh_link_of(mesh, b, other);

        if (other == b) continue;
        sink_init(&link->sink, &broker->board, &sink_ops, broker);
        link->is_connected = link->is_paused = false;
    }
}

/* The process is gone: its memory, its connections; what the disk has of its logs stays. */
void mesh_broker_stop(struct replica_mesh *mesh, int b, bool is_power)
{
    struct mesh_broker *broker = &mesh->brokers[b];

    for (int other = 0; other < mesh->broker_count; other++) {
        struct mesh_link *following = mesh_link_of(mesh, b, other), *followed = mesh_link_of(mesh, other, b);

        if (other == b) continue;
        mesh_disconnect(mesh, following, false);
        sink_deinit(&following->sink);
        mesh_disconnect(mesh, followed, true);
        for (int i = 0; i < 2; i++) {
            if (followed->has_source[i]) source_deinit(&followed->sources[i]);
            followed->has_source[i] = false;
        }
    }
    for (int p = 0; p < mesh->partition_count; p++) {
        struct replica_log *log = &broker->logs[p];

        replica_deinit(&broker->replicas[p]);
        replica_log_crash(log, is_power, is_power ? mesh_draw(mesh, log->written - log->durable + 1) : 0);
        broker->cuts[p]++;
    }
    broker->has_replicas = broker->is_up = broker->is_registered = false;
    broker->life++;
    mesh->result.crashes++;
}

/* ---- metadata ---- */

/* The replica was taken away and given back meanwhile: it begins anew, with nothing. */
static void begin_anew(struct replica_mesh *mesh, int b, int p)
{
    struct mesh_broker *broker = &mesh->brokers[b];

    mesh_trace(mesh, "b%d p%d: begins anew", b, p);
    replica_deinit(&broker->replicas[p]);
    replica_log_empty(&broker->logs[p], 0, -1);
    broker->cuts[p]++;
    replica_boot(mesh, b, p);
}

static void assign(struct replica_mesh *mesh, int b, int p, const struct court_version *version)
{
    const struct court_partition *facts = &version->partitions[p];
    struct replica *replica = &mesh->brokers[b].replicas[p];
    struct replica_member members[MESH_BROKERS];
    struct replica_assignment assignment = {
        .leader = facts->leader < 0 ? -1 : facts->leader + 1,
        .leader_epoch = facts->leader_epoch,
        .partition_epoch = facts->partition_epoch,
        .isr = facts->isr,
        .member_count = (uint8_t)mesh->broker_count,
        .members = members,
    };

    for (int i = 0; i < mesh->broker_count; i++)
        members[i] = (struct replica_member){i + 1, version->brokers[i].epoch, facts->generations[i], !version->brokers[i].is_fenced};
    if (replica->generation != 0 && replica->generation != facts->generations[b] && facts->leader != b) begin_anew(mesh, b, p);
    MESH_ASSERT(replica_assign(replica, &assignment) == 0);
}

void mesh_broker_apply(struct replica_mesh *mesh, int b, uint32_t version)
{
    struct mesh_broker *broker = &mesh->brokers[b];

    broker->applied = version;
    broker->board.broker_epoch = mesh->court.versions[version].brokers[b].epoch;
    for (int p = 0; p < mesh->partition_count; p++)
        assign(mesh, b, p, &mesh->court.versions[version]);
}

/* ---- the log ---- */

static void positions_changed(struct replica_mesh *mesh, int b, int p)
{
    struct mesh_broker *broker = &mesh->brokers[b];
    struct partition_positions positions;

    (void)mesh;
    replica_log_positions(&broker->logs[p], &positions);
    replica_set_positions(&broker->replicas[p], &positions);
}

/* The end of a turn: the kernel has everything, and one sync job takes what is not durable. */
static void end_turn(struct replica_mesh *mesh, int b)
{
    struct mesh_broker *broker = &mesh->brokers[b];
    bool is_dirty = false;

    for (int p = 0; p < mesh->partition_count; p++) {
        struct replica_log *log = &broker->logs[p];

        if (broker->replicas[p].is_cutting) continue;
        if (log->written != log->end) {
            log->written = log->end;
            positions_changed(mesh, b, p);
        }
        is_dirty |= log->durable < log->end;
    }
    if (!is_dirty || broker->is_syncing) return;
    broker->is_syncing = true;
    for (int p = 0; p < mesh->partition_count; p++) {
        broker->sync_end[p] = broker->logs[p].written;
        broker->sync_cuts[p] = broker->cuts[p];
    }
    mesh_schedule(mesh, (mesh->now_us < mesh->slow_until_us && mesh->slow_broker == b ? 50000 : 200) + mesh_draw(mesh, mesh->options.is_async ? 80000 : 2000),
                  (struct mesh_event){.type = EVENT_SYNCED, .broker = (uint8_t)b, .life = broker->life});
}

void mesh_broker_synced(struct replica_mesh *mesh, int b)
{
    struct mesh_broker *broker = &mesh->brokers[b];

    broker->is_syncing = false;
    for (int p = 0; p < mesh->partition_count; p++) {
        struct replica_log *log = &broker->logs[p];

        if (broker->sync_cuts[p] != broker->cuts[p] || broker->sync_end[p] <= log->durable || broker->replicas[p].is_cutting) continue;
        log->durable = broker->sync_end[p];
        if (mesh_chance(mesh, 4)) log->high_watermark = broker->replicas[p].partition.high_watermark;
        if (log->high_watermark > log->durable) log->high_watermark = log->durable;
        positions_changed(mesh, b, p);
    }
}

static void begin_cut(struct replica_mesh *mesh, int b, int p)
{
    struct mesh_broker *broker = &mesh->brokers[b];
    struct replica *replica = &broker->replicas[p];

    replica_watch_cut(&mesh->watch, p, b, replica);
    mesh->result.cuts++;
    mesh->result.second_cuts += ++broker->rounds[p] > 1;
    mesh->result.resets += replica->is_cut_reset;
    broker->cuts[p]++;
    mesh_trace(mesh, "b%d p%d: cut at %llu%s (%llu..%llu, epoch %d)", b, p, (unsigned long long)replica->epoch_start,
               replica->is_cut_reset ? ", all" : "", (unsigned long long)broker->logs[p].start, (unsigned long long)broker->logs[p].end,
               replica_log_last_epoch(&broker->logs[p]));
    if (mesh->options.defect == REPLICA_DEFECT_CUT_NOT_AWAITED) {
        replica_log_keep_stale(&broker->logs[p], replica->epoch_start);
        mesh_broker_cut_done(mesh, b, p);
    }
    mesh_schedule(mesh, 300 + mesh_draw(mesh, mesh_chance(mesh, 4) ? 40000 : 4000),
                  (struct mesh_event){.type = EVENT_CUT_DONE, .broker = (uint8_t)b, .partition = (uint8_t)p, .life = broker->life});
}

void mesh_broker_cut_done(struct replica_mesh *mesh, int b, int p)
{
    struct mesh_broker *broker = &mesh->brokers[b];
    struct replica_log *log = &broker->logs[p];
    struct partition_positions positions;
    struct replica_cut cut;

    replica_get_cut(&broker->replicas[p], &cut);
    broker->cuts[p]++;
    if (cut.is_reset)
        replica_log_empty(log, cut.offset, cut.epoch);
    else
        replica_log_cut(log, cut.offset);
    log->written = log->end;
    if (mesh->options.defect != REPLICA_DEFECT_CUT_NOT_AWAITED) log->durable = log->end;
    replica_log_positions(log, &positions);
    replica_cut_done(&broker->replicas[p], &positions);
    broker->seen[p] = broker->replicas[p].partition.high_watermark;
}

void mesh_broker_trim(struct replica_mesh *mesh, int b, int p)
{
    struct replica *replica = &mesh->brokers[b].replicas[p];
    struct replica_log *log = &mesh->brokers[b].logs[p];
    uint64_t start = log->start + mesh_draw(mesh, replica->partition.high_watermark - log->start + 1);

    if (!replica_leads(replica) || replica->is_cutting) return;
    replica_log_trim(log, start);
    positions_changed(mesh, b, p);
}

/* ---- records ---- */

static struct slice build_record(struct replica_mesh *mesh)
{
    const struct record_batch_producer nobody = {-1, -1, -1};
    uint64_t count = 1 + mesh_draw(mesh, 2);
    struct slice batch;

    record_batch_builder_clear(&mesh->builder);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number = ++mesh->record_number;
        struct record record = {.timestamp_ms = 1000, .value = slice_of(&number, sizeof(number)), .key_is_null = true};

        MESH_ASSERT(record_batch_builder_add(&mesh->builder, &record) == 0);
    }
    MESH_ASSERT(record_batch_builder_finish(&mesh->builder, &nobody, 0, RECORD_COMPRESSION_NONE, &mesh->scratch, &batch) == 0);
    return batch;
}

bool mesh_broker_produce(struct replica_mesh *mesh, int b, int p)
{
    struct mesh_broker *broker = &mesh->brokers[b];
    struct replica *replica = &broker->replicas[p];
    struct record_batch_header header;
    struct slice batch;
    uint8_t bytes[REPLICA_LOG_BATCH_MAX];
    int64_t append_time_ms;

    if (!broker->is_up || !broker->is_registered || !replica_leads(replica)) return false;
    if (broker->pending_count[p] == MESH_PENDING_MAX || broker->logs[p].end + 8 > WATCH_OFFSETS_MAX) return false;
    batch = build_record(mesh);
    MESH_ASSERT(batch.size <= sizeof(bytes));
    memcpy(bytes, batch.data, batch.size);
    if (partition_leader_prepare(&replica->partition, bytes, batch.size, PARTITION_EPOCH_ANY, -1, 1000, &header, &append_time_ms) != 0)
        return false;
    replica_log_append(&broker->logs[p], &header, bytes);
    replica_leader_appended(replica, &header);
    broker->pending[p][broker->pending_count[p]++] =
        (struct mesh_pending){(uint64_t)record_batch_last_offset(&header) + 1, header.leader_epoch};
    mesh->result.appended++;
    return true;
}

/* S1: what is acknowledged is below the high watermark of the leader that took it, so the observer has seen it. */
static void acknowledge(struct replica_mesh *mesh, int b, int p)
{
    struct mesh_broker *broker = &mesh->brokers[b];
    const struct partition *partition = &broker->replicas[p].partition;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < broker->pending_count[p]; i++) {
        const struct mesh_pending *pending = &broker->pending[p][i];

        if (pending->end > partition->high_watermark) {
            broker->pending[p][kept++] = *pending;
            continue;
        }
        CHECK(mesh, pending->epoch == partition->leader_epoch, "p%d: a record of epoch %d is acknowledged in %d", p, pending->epoch,
              partition->leader_epoch);
        mesh->result.acknowledged++;
    }
    broker->pending_count[p] = kept;
}

static void epoch_start(struct replica_mesh *mesh, int b, int p)
{
    struct mesh_broker *broker = &mesh->brokers[b];
    struct record_batch_header header;

    replica_watch_leads(&mesh->watch, p, b, broker->replicas[p].partition.leader_epoch, &broker->logs[p]);
    buffer_clear(&mesh->scratch);
    MESH_ASSERT(replica_build_epoch_start(&broker->replicas[p], 1000, &mesh->scratch) == 0);
    MESH_ASSERT(record_batch_verify(buffer_slice(&mesh->scratch), &header) == 0);
    replica_log_append(&broker->logs[p], &header, mesh->scratch.data);
    replica_epoch_started(&broker->replicas[p], &header);
    mesh_trace(mesh, "b%d p%d: leads epoch %d from %llu", b, p, header.leader_epoch, (unsigned long long)header.base_offset);
}

/* ---- what is to be done ---- */

static void high_watermark_rose(struct replica_mesh *mesh, int b, int p)
{
    struct mesh_broker *broker = &mesh->brokers[b];
    struct replica *replica = &broker->replicas[p];
    uint64_t now = replica->partition.high_watermark;
    const struct replica_log *logs[MESH_BROKERS];

    CHECK(mesh, now >= broker->seen[p], "p%d: the high watermark of broker %d falls", p, b);
    replica_watch_visible(&mesh->watch, p, b, replica->partition.leader_epoch, &broker->logs[p], broker->seen[p], now);
    broker->seen[p] = now;
    if (!replica_leads(replica)) return;
    acknowledge(mesh, b, p);
    for (int i = 0; i < mesh->broker_count; i++)
        logs[i] = mesh->brokers[i].is_wiped || mesh->brokers[i].is_lossy ? NULL : &mesh->brokers[i].logs[p]; /* nobody elects it before it has registered */
    if (mesh->options.mode == PARTITION_MODE_ISR)
        replica_watch_electable(&mesh->watch, p, &court_now(&mesh->court)->partitions[p], replica, logs, mesh->broker_count);
}

/* Questions and answers may be lost, and be late; every one ends. */
static void ask(struct replica_mesh *mesh, int b, int p)
{
    struct mesh_broker *broker = &mesh->brokers[b];
    uint32_t number = mesh->alter_count;
    struct mesh_alter *alter;
    struct mesh_event event = {.number = number, .life = broker->life};
    uint64_t way_us = 300 + mesh_draw(mesh, 3000);

    if (mesh->alter_count == mesh->alter_capacity) {
        mesh->alter_capacity = mesh->alter_capacity == 0 ? 64 : mesh->alter_capacity * 2;
        mesh->alters = realloc(mesh->alters, mesh->alter_capacity * sizeof(*mesh->alters));
        MESH_ASSERT(mesh->alters != NULL);
    }
    alter = &mesh->alters[number];
    if (!replica_alter_begin(&broker->replicas[p], &alter->alter)) return;
    mesh->alter_count++;
    mesh->result.alters++;
    alter->broker = b;
    alter->partition = p;
    alter->life = broker->life;
    alter->outcome = REPLICA_ALTER_UNKNOWN;
    alter->is_answered = false;
    mesh_trace(mesh, "b%d p%d: asks for an ISR of %d at %u", b, p, alter->alter.isr_count, alter->alter.partition_epoch);
    if (!mesh->is_healed && mesh_chance(mesh, 8)) way_us += mesh_draw(mesh, 300000); /* very late */
    event.type = EVENT_ALTER;
    if (mesh->is_healed || !mesh_chance(mesh, 10)) mesh_schedule(mesh, way_us, event);
    event.type = EVENT_ALTERED; /* nobody waits for longer */
    mesh_schedule(mesh, 100000, event);
}

static void report(struct replica_mesh *mesh, int b, int p)
{
    const struct replica_log *log = &mesh->brokers[b].logs[p];

    if (!replica_may_report(&mesh->brokers[b].replicas[p])) return;
    mesh_schedule(mesh, 500 + mesh_draw(mesh, 2000),
                  (struct mesh_event){.type = EVENT_REPORT,
                                      .broker = (uint8_t)b,
                                      .partition = (uint8_t)p,
                                      .number = (uint32_t)mesh->brokers[b].replicas[p].partition.leader_epoch,
                                      .life = (uint32_t)(replica_log_last_epoch(log) + 1),
                                      .value = log->end});
}

static void do_todo(struct replica_mesh *mesh, int b, struct replica *replica, uint32_t todo)
{
    struct mesh_broker *broker = &mesh->brokers[b];
    int p = (int)(replica - broker->replicas);

    replica_watch_replica(&mesh->watch, p, b, replica, &broker->logs[p]);
    if (todo & REPLICA_TODO_LED) broker->pending_count[p] = 0;
    if (todo & REPLICA_TODO_CUT) begin_cut(mesh, b, p);
    if (todo & REPLICA_TODO_EPOCH_START) epoch_start(mesh, b, p);
    if ((todo & REPLICA_TODO_HIGH_WATERMARK) && !replica->is_cutting) high_watermark_rose(mesh, b, p);
    if (todo & REPLICA_TODO_ALTER) ask(mesh, b, p);
    if (todo & REPLICA_TODO_REPORT) report(mesh, b, p);
    if (todo & REPLICA_TODO_TRIM && !replica->is_cutting) {
        replica_log_trim(&broker->logs[p], replica->leader_log_start);
        positions_changed(mesh, b, p);
    }
    if (todo & REPLICA_TODO_FOLLOW) {
        broker->rounds[p] = 0;
        MESH_ASSERT(sink_add(&mesh_link_of(mesh, b, replica->partition.leader - 1)->sink, replica) == 0);
    }
}

/* ---- streams ---- */

static void send_source(struct replica_mesh *mesh, struct mesh_link *link, int i)
{
    struct source *source = &link->sources[i];
    struct source_read read;

    while (source_has_output(source)) {
        uint32_t number = mesh_packet_new(mesh);
        struct buffer *packet = &mesh->packets[number].bytes;

        MESH_ASSERT(stream_packet_begin(packet) == 0);
        while (source_next(source, packet, &read) == 1) {
            const struct replica_log *log = log_of(read.replica);
            const struct replica_log_batch *batch = replica_log_find(log, read.offset);
            uint32_t count = 1, size;

            if (mesh_chance(mesh, 50)) { /* has to be brought into memory first */
                source_skip(source, &read, MESH_EAGAIN);
                positions_changed(mesh, link->leader, partition_of(read.replica));
                continue;
            }
            if (batch == NULL || batch->base != read.offset) {
                CHECK(mesh, false, "broker %d stands in the middle of a batch of broker %d", link->follower, link->leader);
                source_skip(source, &read, MESH_EIO);
                continue;
            }
            size = batch->size;
            while (batch + count < log->at + log->count && count < 8 && size + batch[count].size <= read.bytes_max)
                size += batch[count++].size;
            MESH_ASSERT(source_send(source, &read, size, batch[count - 1].base + batch[count - 1].count, packet) == 0);
            for (uint32_t k = 0; k < count; k++)
                MESH_ASSERT(buffer_append(packet, batch[k].bytes, batch[k].size) == 0);
        }
        mesh_send(mesh, link, false, link->source_connection[i], number);
    }
}

static void send_sink(struct replica_mesh *mesh, struct mesh_link *link)
{
    while (sink_has_output(&link->sink)) {
        uint32_t number = mesh_packet_new(mesh);

        MESH_ASSERT(stream_packet_begin(&mesh->packets[number].bytes) == 0);
        MESH_ASSERT(sink_output(&link->sink, &mesh->packets[number].bytes) == 0);
        mesh_send(mesh, link, true, link->connection, number);
    }
}

void mesh_broker_read(struct replica_mesh *mesh, struct mesh_link *link)
{
    struct sink *sink = &link->sink;
    struct sink_event event;
    int err = 0;

    while (link->is_connected && !link->is_paused && (link->is_reading || link->inbox_count != 0)) {
        if (!link->is_reading) {
            err = sink_receive(sink, buffer_slice(&mesh->packets[link->inbox[link->inbox_first]].bytes));
            link->is_reading = true;
        }
        while (err == 0 && (err = sink_next(sink, &event)) == 1) {
            err = 0;
            mesh->result.rejects += event.type == SINK_REJECTED;
            CHECK(mesh, event.type != SINK_DAMAGED, "a batch is damaged");
            if (event.type == SINK_REJECTED)
                mesh_trace(mesh, "b%d p%d: rejected: %s", link->follower, partition_of(event.replica), stream_reason_text(event.reason));
            if (event.type == SINK_APPEND) {
                if (mesh_chance(mesh, 40)) { /* the store takes nothing for a moment */
                    link->is_paused = true;
                    mesh->result.pauses++;
                    mesh_schedule(mesh, mesh_draw(mesh, 3000),
                                  (struct mesh_event){
                                      .type = EVENT_RESUME, .link = (uint16_t)(link - mesh->links), .life = link->connection});
                    return;
                }
                replica_log_append(&mesh->brokers[link->follower].logs[partition_of(event.replica)], &event.header, event.batch.data);
            }
            sink_taken(sink);
        }
        if (err != 0) {
            CHECK(mesh, false, "broker %d takes broker %d for a liar: %s", link->follower, link->leader, stream_lie_text(sink->lie));
            mesh_disconnect(mesh, link, true);
            return;
        }
        link->is_reading = false;
        mesh_packet_free(mesh, link->inbox[link->inbox_first]);
        link->inbox_first = (link->inbox_first + 1) % MESH_INBOX_MAX;
        link->inbox_count--;
    }
}

static void plan_tick(struct replica_mesh *mesh, int b)
{
    struct mesh_broker *broker = &mesh->brokers[b];
    uint64_t deadline_ms = broker->board.deadline_ms, at_us;

    for (int other = 0; other < mesh->broker_count; other++)
        if (other != b && mesh_link_of(mesh, b, other)->sink.deadline_ms < deadline_ms)
            deadline_ms = mesh_link_of(mesh, b, other)->sink.deadline_ms;
    if (deadline_ms == UINT64_MAX) return;
    at_us = deadline_ms * 1000 > mesh->now_us ? deadline_ms * 1000 : mesh->now_us + 1000;
    if (broker->is_ticking && broker->tick_us <= at_us) return;
    broker->is_ticking = true;
    broker->tick_us = at_us;
    mesh_schedule(mesh, at_us - mesh->now_us, (struct mesh_event){.type = EVENT_TICK, .broker = (uint8_t)b, .life = broker->life});
}

void mesh_broker_turn(struct replica_mesh *mesh, int b)
{
    struct mesh_broker *broker = &mesh->brokers[b];
    struct replica *replica;
    uint32_t todo;

    if (!broker->is_up) return;
    for (int round = 0; round < 64; round++) {
        while ((replica = replica_board_next(&broker->board, &todo)) != NULL)
            do_todo(mesh, b, replica, todo);
        end_turn(mesh, b);
        if (list_is_empty(&broker->board.todo)) break;
    }
    CHECK(mesh, list_is_empty(&broker->board.todo), "broker %d finds no end of what is to be done", b);
    for (int other = 0; other < mesh->broker_count; other++) {
        struct mesh_link *followed = mesh_link_of(mesh, other, b), *following = mesh_link_of(mesh, b, other);

        if (other == b) continue;
        for (int i = 0; i < 2; i++)
            if (followed->has_source[i]) send_source(mesh, followed, i);
        if (!list_is_empty(&following->sink.all)) mesh_want_connection(mesh, following);
        if (following->is_connected) send_sink(mesh, following);
    }
    plan_tick(mesh, b);
}

int mesh_broker_listen(struct replica_mesh *mesh, struct mesh_link *link, uint32_t connection)
{
    int i = link->has_source[0] ? 1 : 0;

    if (link->has_source[i]) { /* both are in use: the older one must be dead by now */
        i = link->source_connection[0] < link->source_connection[1] ? 0 : 1;
        source_deinit(&link->sources[i]);
    }
    source_init(&link->sources[i], link->follower + 1, &source_ops, &mesh->brokers[link->leader]);
    link->has_source[i] = true;
    link->source_connection[i] = connection;
    return i;
}
