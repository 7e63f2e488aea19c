/* The mesh of replicas: time, links, the coordinator's messages, and one run from trouble to agreement. */
#include "support/replica_mesh.h"

#include "base/assert.h"
#include "base/map.h"
#include "support/replica_mesh_internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define NO_PACKET UINT32_MAX
#define EVENTS_MAX 400000 /* of one run: more is a livelock */

/* ---- chance and time ---- */

uint64_t mesh_draw(struct replica_mesh *mesh, uint64_t limit)
{
    return random_below(&mesh->random, limit);
}

bool mesh_chance(struct replica_mesh *mesh, uint32_t one_in)
{
    return random_below(&mesh->random, one_in) == 0;
}

void mesh_trace(struct replica_mesh *mesh, const char *format, ...)
{
    va_list args;

    if (mesh->options.trace == NULL) return;
    fprintf(mesh->options.trace, "%9.3f ", (double)mesh->now_us / 1000);
    va_start(args, format);
    vfprintf(mesh->options.trace, format, args);
    va_end(args);
    fputc('\n', mesh->options.trace);
}

static bool is_before(const struct mesh_event *a, const struct mesh_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->sequence < b->sequence;
}

void mesh_schedule(struct replica_mesh *mesh, uint64_t in_us, struct mesh_event event)
{
    size_t at = mesh->heap_count++;

    if (mesh->heap_count > mesh->heap_capacity) {
        mesh->heap_capacity = mesh->heap_capacity == 0 ? 1024 : mesh->heap_capacity * 2;
        mesh->heap = realloc(mesh->heap, mesh->heap_capacity * sizeof(*mesh->heap));
        MESH_ASSERT(mesh->heap != NULL);
    }
    event.at_us = mesh->now_us + in_us;
    event.sequence = mesh->sequence++;
    for (; at > 0 && is_before(&event, &mesh->heap[(at - 1) / 2]); at = (at - 1) / 2)
        mesh->heap[at] = mesh->heap[(at - 1) / 2];
    mesh->heap[at] = event;
}

static bool next_event(struct replica_mesh *mesh, uint64_t until_us, struct mesh_event *ret_event)
{
    struct mesh_event last;
    size_t at = 0, child;

    if (mesh->heap_count == 0 || mesh->heap[0].at_us > until_us) return false;
    *ret_event = mesh->heap[0];
    last = mesh->heap[--mesh->heap_count];
    while ((child = 2 * at + 1) < mesh->heap_count) {
        if (child + 1 < mesh->heap_count && is_before(&mesh->heap[child + 1], &mesh->heap[child])) child++;
        if (!is_before(&mesh->heap[child], &last)) break;
        mesh->heap[at] = mesh->heap[child];
        at = child;
    }
    mesh->heap[at] = last;
    mesh->now_us = ret_event->at_us;
    return true;
}

/* ---- packets and links ---- */

uint32_t mesh_packet_new(struct replica_mesh *mesh)
{
    uint32_t packet = mesh->free_packet;

    if (packet != NO_PACKET) {
        mesh->free_packet = mesh->packets[packet].next_free;
        buffer_clear(&mesh->packets[packet].bytes);
        return packet;
    }
    if (mesh->packet_count == mesh->packet_capacity) {
        mesh->packet_capacity = mesh->packet_capacity == 0 ? 256 : mesh->packet_capacity * 2;
        mesh->packets = realloc(mesh->packets, mesh->packet_capacity * sizeof(*mesh->packets));
        MESH_ASSERT(mesh->packets != NULL);
    }
    mesh->packets[mesh->packet_count] = (struct mesh_packet){BUFFER_INIT, NO_PACKET};
    return mesh->packet_count++;
}

void mesh_packet_free(struct replica_mesh *mesh, uint32_t packet)
{
    mesh->packets[packet].next_free = mesh->free_packet;
    mesh->free_packet = packet;
}

struct mesh_link *mesh_link_of(struct replica_mesh *mesh, int follower, int leader)
{
    return &mesh->links[follower * MESH_BROKERS + leader];
}

bool mesh_reaches(const struct replica_mesh *mesh, int a, int b)
{
    return !((mesh->cut[a] >> b) & 1);
}

void mesh_send(struct replica_mesh *mesh, struct mesh_link *link, bool to_leader, uint32_t connection, uint32_t packet)
{
    bool is_slow = mesh->now_us < mesh->slow_until_us && (link->follower == mesh->slow_broker || link->leader == mesh->slow_broker);
    uint64_t at_us = mesh->now_us + 100 + mesh_draw(mesh, 900) + (is_slow ? 20000 : 0);

    mesh->result.packets++;
    if (at_us < link->last_us[to_leader]) at_us = link->last_us[to_leader];
    link->last_us[to_leader] = at_us;
    mesh_schedule(mesh, at_us - mesh->now_us,
                  (struct mesh_event){.type = EVENT_PACKET,
                                      .link = (uint16_t)(link - mesh->links),
                                      .to_leader = to_leader,
                                      .life = connection,
                                      .number = packet});
}

void mesh_want_connection(struct replica_mesh *mesh, struct mesh_link *link)
{
    if (link->is_connected || link->is_connecting) return;
    link->is_connecting = true;
    mesh_schedule(mesh, 500 + mesh_draw(mesh, 3000), (struct mesh_event){.type = EVENT_CONNECT, .link = (uint16_t)(link - mesh->links)});
}

/* The follower's end is closed; the leader's hears of it at once, later, or when another connection takes its place. */
void mesh_disconnect(struct replica_mesh *mesh, struct mesh_link *link, bool leader_hears)
{
    if (!link->is_connected) return;
    link->is_connected = link->is_paused = link->is_reading = false;
    for (; link->inbox_count != 0; link->inbox_count--) {
        mesh_packet_free(mesh, link->inbox[link->inbox_first]);
        link->inbox_first = (link->inbox_first + 1) % MESH_INBOX_MAX;
    }
    if (mesh->brokers[link->follower].is_up) sink_disconnected(&link->sink);
    if (leader_hears || mesh_chance(mesh, 2))
        mesh_schedule(mesh, mesh_draw(mesh, 20000),
                      (struct mesh_event){.type = EVENT_CLOSED, .link = (uint16_t)(link - mesh->links), .life = link->connection});
    mesh_want_connection(mesh, link);
}

static void connect_link(struct replica_mesh *mesh, struct mesh_link *link)
{
    link->is_connecting = false;
    if (link->is_connected || !mesh->brokers[link->follower].is_up) return;
    if (!mesh->brokers[link->leader].is_up || !mesh_reaches(mesh, link->follower, link->leader)) {
        mesh_want_connection(mesh, link); /* and again */
        return;
    }
    link->connection++;
    mesh_broker_listen(mesh, link, link->connection);
    link->is_connected = true;
    sink_connected(&link->sink);
    mesh_broker_turn(mesh, link->follower);
}

static void close_source(struct mesh_link *link, uint32_t connection)
{
    for (int i = 0; i < 2; i++) {
        if (!link->has_source[i] || link->source_connection[i] != connection) continue;
        source_deinit(&link->sources[i]);
        link->has_source[i] = false;
    }
}

static void arrive_at_leader(struct replica_mesh *mesh, struct mesh_link *link, const struct mesh_event *event)
{
    for (int i = 0; i < 2; i++) {
        struct source *source = &link->sources[i];

        if (!link->has_source[i] || link->source_connection[i] != event->life) continue;
        if (source_receive(source, buffer_slice(&mesh->packets[event->number].bytes)) != 0)
            replica_watch_violate(&mesh->watch, "broker %d takes broker %d for a liar: %s", link->leader, link->follower,
                                  stream_lie_text(source->lie));
    }
    mesh_packet_free(mesh, event->number);
    mesh_broker_turn(mesh, link->leader);
}

static void arrive_at_follower(struct replica_mesh *mesh, struct mesh_link *link, const struct mesh_event *event)
{
    if (!link->is_connected || link->connection != event->life) {
        mesh_packet_free(mesh, event->number);
        return;
    }
    MESH_ASSERT(link->inbox_count < MESH_INBOX_MAX);
    link->inbox[(link->inbox_first + link->inbox_count++) % MESH_INBOX_MAX] = event->number;
    mesh_broker_read(mesh, link);
    mesh_broker_turn(mesh, link->follower);
}

/* Of a pair that is cut nothing arrives, not even what was on its way; and nothing after it on that connection. */
static void packet_arrives(struct replica_mesh *mesh, const struct mesh_event *event)
{
    struct mesh_link *link = &mesh->links[event->link];

    if (!mesh_reaches(mesh, link->follower, link->leader)) {
        mesh_packet_free(mesh, event->number);
        if (event->to_leader) close_source(link, event->life);
    } else if (!mesh->brokers[event->to_leader ? link->leader : link->follower].is_up) {
        mesh_packet_free(mesh, event->number);
    } else if (event->to_leader) {
        arrive_at_leader(mesh, link, event);
    } else {
        arrive_at_follower(mesh, link, event);
    }
}

/* ---- the coordinator's messages ---- */

void mesh_tell_images(struct replica_mesh *mesh)
{
    for (int b = 0; b < mesh->broker_count; b++)
        if (mesh->brokers[b].is_up)
            mesh_schedule(mesh, 200 + mesh_draw(mesh, mesh_chance(mesh, 10) ? 60000 : 3000),
                          (struct mesh_event){.type = EVENT_IMAGE, .broker = (uint8_t)b, .life = mesh->brokers[b].life});
}

static void image_arrives(struct replica_mesh *mesh, int b)
{
    struct mesh_broker *broker = &mesh->brokers[b];
    uint32_t last = mesh->court.last, version = last;

    if (broker->is_deaf) return;
    if (broker->is_registered && version <= broker->applied) return;
    if (broker->is_registered && mesh_chance(mesh, 3)) version = broker->applied + 1 + (uint32_t)mesh_draw(mesh, last - broker->applied);
    if (version < broker->needed) return;
    broker->is_registered = true;
    mesh_broker_apply(mesh, b, version);
    mesh_broker_turn(mesh, b);
    if (version < last)
        mesh_schedule(mesh, 200 + mesh_draw(mesh, 3000), (struct mesh_event){.type = EVENT_IMAGE, .broker = (uint8_t)b, .life = broker->life});
}

static void register_broker(struct replica_mesh *mesh, int b)
{
    struct mesh_broker *broker = &mesh->brokers[b];
    struct mesh_event event = {.type = EVENT_REGISTER, .broker = (uint8_t)b, .life = broker->life};

    if (broker->is_deaf) { /* tries until it is heard */
        mesh_schedule(mesh, 5000, event);
        return;
    }
    court_register(&mesh->court, b, broker->is_wiped ? COURT_LOST_ALL : broker->is_lossy ? COURT_LOST_SOME : COURT_LOST_NOTHING);
    broker->is_wiped = broker->is_lossy = false;
    broker->needed = mesh->court.last;
    event.type = EVENT_UNFENCE;
    mesh_schedule(mesh, 1000 + mesh_draw(mesh, 5000), event);
    mesh_tell_images(mesh);
}

static void unfence(struct replica_mesh *mesh, int b)
{
    struct mesh_broker *broker = &mesh->brokers[b];

    if (broker->is_deaf) return; /* when it is heard again */
    if (!broker->is_registered) {
        mesh_schedule(mesh, 2000, (struct mesh_event){.type = EVENT_UNFENCE, .broker = (uint8_t)b, .life = broker->life});
        return;
    }
    mesh_trace(mesh, "court: unfences b%d", b);
    court_unfence(&mesh->court, b);
    mesh_tell_images(mesh);
}

static void fence_check(struct replica_mesh *mesh, int b)
{
    if (mesh->brokers[b].is_up && !mesh->brokers[b].is_deaf) return;
    mesh_trace(mesh, "court: fences b%d", b);
    court_fence(&mesh->court, b);
    mesh_tell_images(mesh);
}

static void alter_arrives(struct replica_mesh *mesh, const struct mesh_event *event)
{
    struct mesh_alter *alter = &mesh->alters[event->number];
    bool is_done;

    if (mesh->brokers[alter->broker].is_deaf) return;
    is_done = court_alter(&mesh->court, alter->partition, alter->broker, &alter->alter, &alter->partition_epoch);
    mesh_trace(mesh, "court: p%d of b%d: ISR of %d %s", alter->partition, alter->broker, alter->alter.isr_count, is_done ? "done" : "refused");
    if (is_done) mesh_tell_images(mesh);
    if (!mesh->is_healed && mesh_chance(mesh, 10)) return; /* the answer is lost */
    alter->outcome = is_done ? REPLICA_ALTER_DONE : REPLICA_ALTER_REFUSED;
    mesh_schedule(mesh, 300 + mesh_draw(mesh, 3000), (struct mesh_event){.type = EVENT_ALTERED, .number = event->number, .life = alter->life});
}

static void alter_answered(struct replica_mesh *mesh, const struct mesh_event *event)
{
    struct mesh_alter *alter = &mesh->alters[event->number];
    struct mesh_broker *broker = &mesh->brokers[alter->broker];
    enum replica_alter_outcome outcome = broker->is_deaf ? REPLICA_ALTER_UNKNOWN : alter->outcome;

    if (alter->is_answered || !broker->is_up || broker->life != alter->life) return;
    alter->is_answered = true;
    mesh->result.unknown_alters += outcome == REPLICA_ALTER_UNKNOWN;
    replica_alter_done(&broker->replicas[alter->partition], &alter->alter, outcome, alter->partition_epoch);
    mesh_broker_turn(mesh, alter->broker);
}

static void report_arrives(struct replica_mesh *mesh, const struct mesh_event *event)
{
    const struct court_report report = {true, (int32_t)event->life - 1, event->value};
    uint32_t was = mesh->court.last;

    if (mesh->brokers[event->broker].is_deaf) return;
    mesh_trace(mesh, "court: b%d p%d reports epoch %d, end %llu for %u", event->broker, event->partition, report.last_epoch,
               (unsigned long long)report.end, event->number);
    court_report(&mesh->court, event->partition, event->broker, (int32_t)event->number, &report);
    if (mesh->court.last != was) mesh_tell_images(mesh);
}

/* ---- events ---- */

static void produce(struct replica_mesh *mesh)
{
    int p = (int)mesh_draw(mesh, (uint64_t)mesh->partition_count);
    int first = (int)mesh_draw(mesh, (uint64_t)mesh->broker_count);

    for (int i = 0; i < mesh->broker_count; i++) {
        int b = (first + i) % mesh->broker_count;

        if (!mesh_broker_produce(mesh, b, p)) continue;
        mesh_broker_turn(mesh, b);
        break;
    }
    if (mesh->is_healed && (mesh->options.is_idle_at_end || mesh->now_us > mesh->heal_us + 300000)) return;
    mesh_schedule(mesh, 1 + mesh_draw(mesh, 2u * mesh->options.produce_us), (struct mesh_event){.type = EVENT_PRODUCE});
}

static bool is_of_present_life(const struct replica_mesh *mesh, const struct mesh_event *event)
{
    return mesh->brokers[event->broker].is_up && mesh->brokers[event->broker].life == event->life;
}

static void broker_event(struct replica_mesh *mesh, const struct mesh_event *event)
{
    struct mesh_broker *broker = &mesh->brokers[event->broker];

    if (!is_of_present_life(mesh, event)) return;
    switch (event->type) {
    case EVENT_SYNCED: mesh_broker_synced(mesh, event->broker); break;
    case EVENT_CUT_DONE:
        if (broker->replicas[event->partition].is_cutting) mesh_broker_cut_done(mesh, event->broker, event->partition);
        broker->logs[event->partition].stale_count = 0;
        break;
    case EVENT_IMAGE: image_arrives(mesh, event->broker); return;
    case EVENT_REGISTER: register_broker(mesh, event->broker); return;
    case EVENT_UNFENCE: unfence(mesh, event->broker); return;
    case EVENT_TICK:
        if (event->at_us != broker->tick_us) return;
        broker->is_ticking = false;
        replica_board_tick(&broker->board, mesh->now_us / 1000);
        for (int other = 0; other < mesh->broker_count; other++)
            if (other != event->broker) sink_tick(&mesh_link_of(mesh, event->broker, other)->sink);
        break;
    default: return;
    }
    mesh_broker_turn(mesh, event->broker);
}

static void restart(struct replica_mesh *mesh, int b)
{
    if (mesh->brokers[b].is_up) return;
    mesh_trace(mesh, "b%d: starts%s", b, mesh->brokers[b].is_wiped ? " without its disk" : "");
    mesh_broker_boot(mesh, b);
    mesh->brokers[b].needed = UINT32_MAX;
    mesh_schedule(mesh, 1000 + mesh_draw(mesh, 4000),
                  (struct mesh_event){.type = EVENT_REGISTER, .broker = (uint8_t)b, .life = mesh->brokers[b].life});
}

static void handle(struct replica_mesh *mesh, const struct mesh_event *event)
{
    struct mesh_link *link = &mesh->links[event->link];

    for (int b = 0; b < mesh->broker_count; b++)
        mesh->brokers[b].board.now_ms = mesh->now_us / 1000;
    switch (event->type) {
    case EVENT_PACKET: packet_arrives(mesh, event); break;
    case EVENT_CLOSED: close_source(link, event->life); break;
    case EVENT_CONNECT: connect_link(mesh, link); break;
    case EVENT_RESUME:
        if (!link->is_connected || link->connection != event->life) break;
        link->is_paused = false;
        mesh_broker_read(mesh, link);
        mesh_broker_turn(mesh, link->follower);
        break;
    case EVENT_RESTART: restart(mesh, event->broker); break;
    case EVENT_FENCE_CHECK: fence_check(mesh, event->broker); break;
    case EVENT_ALTER: alter_arrives(mesh, event); break;
    case EVENT_ALTERED: alter_answered(mesh, event); break;
    case EVENT_REPORT: report_arrives(mesh, event); break;
    case EVENT_PRODUCE: produce(mesh); break;
    case EVENT_FAULT: mesh_fault(mesh); break;
    case EVENT_HEAL: mesh_heal_one(mesh, event); break;
    default: broker_event(mesh, event);
    }
    mesh->result.events++;
    mesh->result.hash = (mesh->result.hash ^ (event->at_us * 31 + event->type)) * 0x100000001b3ull;
}

static void run_until(struct replica_mesh *mesh, uint64_t until_us)
{
    struct mesh_event event;

    while (mesh->watch.violation[0] == '\0' && next_event(mesh, until_us, &event)) {
        if (mesh->result.events > EVENTS_MAX) replica_watch_violate(&mesh->watch, "this does not come to an end");
        handle(mesh, &event);
    }
    if (mesh->watch.violation[0] == '\0') mesh->now_us = until_us;
}

/* ---- one run ---- */

static bool is_agreed(const struct replica_mesh *mesh)
{
    const struct court_version *now = court_now(&mesh->court);

    for (int b = 0; b < mesh->broker_count; b++)
        if (!mesh->brokers[b].is_up || !mesh->brokers[b].is_registered) return false;
    for (int p = 0; p < mesh->partition_count; p++) {
        const struct court_partition *facts = &now->partitions[p];
        const struct replica *leader = facts->leader < 0 ? NULL : &mesh->brokers[facts->leader].replicas[p];

        if (leader == NULL || leader->partition.leader_epoch != facts->leader_epoch || !replica_leads(leader)) return false;
        if (__builtin_popcount(facts->isr) != mesh->broker_count) return false;
        for (int b = 0; b < mesh->broker_count; b++) {
            const struct partition *partition = &mesh->brokers[b].replicas[p].partition;

            if (partition->leader_epoch != facts->leader_epoch || partition->log_end != leader->partition.log_end ||
                partition->high_watermark != leader->partition.log_end)
                return false;
        }
    }
    return true;
}

static void say_what_differs(struct replica_mesh *mesh)
{
    for (int p = 0; p < mesh->partition_count; p++) {
        const struct court_partition *facts = &court_now(&mesh->court)->partitions[p];

        mesh_trace(mesh, "p%d: leader %d epoch %d/%u isr %x elr %x", p, facts->leader, facts->leader_epoch, facts->partition_epoch, facts->isr,
                   facts->elr);
        for (int b = 0; b < mesh->broker_count; b++) {
            const struct replica *replica = &mesh->brokers[b].replicas[p];

            mesh_trace(mesh, "p%d b%d: role %d epoch %d start %llu hw %llu end %llu durable %llu cutting %d slot %d altering %d isr %x|%x", p, b,
                       replica->role, replica->partition.leader_epoch, (unsigned long long)replica->partition.log_start,
                       (unsigned long long)replica->partition.high_watermark, (unsigned long long)replica->partition.log_end,
                       (unsigned long long)replica->durable, replica->is_cutting, replica->slot == NULL ? -1 : replica->slot->state,
                       replica->is_altering, replica->isr, replica->proposed);
        }
    }
}

/* L4: everything that was hurt is well, so all becomes the same, and soon. */
static void demand_agreement(struct replica_mesh *mesh)
{
    uint64_t limit_us = mesh->heal_us + 5000000;

    while (!is_agreed(mesh) && mesh->now_us < limit_us && mesh->watch.violation[0] == '\0')
        run_until(mesh, mesh->now_us + 50000);
    if (mesh->watch.violation[0] != '\0') return;
    if (!is_agreed(mesh)) {
        say_what_differs(mesh);
        replica_watch_violate(&mesh->watch, "there is no agreement long after all is healed");
        return;
    }
    for (int p = 0; p < mesh->partition_count; p++)
        for (int b = 1; b < mesh->broker_count; b++)
            replica_watch_equal(&mesh->watch, p, &mesh->brokers[0].logs[p], &mesh->brokers[b].logs[p]);
}

static void begin(struct replica_mesh *mesh)
{
    const struct replica_mesh_options *options = &mesh->options;

    random_init(&mesh->random, options->seed);
    random_init(&mesh->fault_random, options->seed ^ 0x9e3779b97f4a7c15ull);
    mesh->now_us = 1000000;
    mesh->broker_count = options->brokers != 0 ? options->brokers : 3 + (int)mesh_draw(mesh, 3);
    mesh->partition_count = options->partitions != 0 ? options->partitions : 1 + (int)mesh_draw(mesh, 2);
    mesh->min_insync = options->min_insync != 0 ? options->min_insync : mesh->broker_count / 2 + 1;
    mesh->fault_mask = options->faults & (uint32_t)random_next(&mesh->fault_random);
    if (mesh_chance(mesh, 4)) mesh->fault_mask = options->faults;
    mesh->is_healed = mesh->was_wiped = false;
    mesh->slow_until_us = 0;
    mesh->sequence = mesh->alter_count = 0;
    mesh->heap_count = 0;
    mesh->record_number = 0;
    memset(mesh->cut, 0, sizeof(mesh->cut));
    memset(&mesh->result, 0, sizeof(mesh->result));
    replica_watch_begin(&mesh->watch, mesh->partition_count);
    court_begin(&mesh->court, mesh->broker_count, mesh->partition_count, mesh->min_insync, options->mode == PARTITION_MODE_QUORUM);
    for (int b = 0; b < mesh->broker_count; b++)
        for (int other = 0; other < mesh->broker_count; other++) {
            struct mesh_link *link = mesh_link_of(mesh, b, other);

            memset(link, 0, sizeof(*link));
            link->follower = b;
            link->leader = other;
        }
    for (int b = 0; b < mesh->broker_count; b++) {
        struct mesh_broker *broker = &mesh->brokers[b];

        broker->is_deaf = broker->is_wiped = broker->is_lossy = false;
        broker->needed = broker->applied = 0;
        for (int p = 0; p < mesh->partition_count; p++) {
            broker->logs[p].high_watermark = 0;
            replica_log_empty(&broker->logs[p], 0, -1);
        }
        mesh_broker_boot(mesh, b);
        broker->is_registered = true;
        mesh_broker_apply(mesh, b, 0);
        mesh_broker_turn(mesh, b);
    }
}

static void end(struct replica_mesh *mesh)
{
    for (int b = 0; b < mesh->broker_count; b++)
        if (mesh->brokers[b].is_up) mesh_broker_stop(mesh, b, false);
    mesh->free_packet = NO_PACKET; /* they keep their memory */
    for (uint32_t i = 0; i < mesh->packet_count; i++)
        mesh_packet_free(mesh, i);
}

void replica_mesh_run(struct replica_mesh *mesh, const struct replica_mesh_options *options, struct replica_mesh_result *ret_result)
{
    mesh->options = *options;
    begin(mesh);
    mesh_schedule(mesh, mesh_draw(mesh, 2000), (struct mesh_event){.type = EVENT_PRODUCE});
    if (options->faults != 0) mesh_schedule(mesh, mesh_draw(mesh, 30000), (struct mesh_event){.type = EVENT_FAULT});
    run_until(mesh, mesh->now_us + options->hurt_ms * 1000ull);
    mesh_trace(mesh, "all is healed");
    mesh->heal_us = mesh->now_us;
    if (mesh->watch.violation[0] == '\0') mesh_heal_all(mesh);
    demand_agreement(mesh);
    mesh->result.elr_elections = mesh->court.elr_elections;
    mesh->result.refusals = mesh->court.refusals;
    mesh->result.seals = mesh->court.seals;
    mesh->result.elections = 0;
    for (int p = 0; p < mesh->partition_count; p++)
        mesh->result.elections += (uint64_t)court_now(&mesh->court)->partitions[p].leader_epoch;
    memcpy(mesh->result.violation, mesh->watch.violation, sizeof(mesh->result.violation));
    *ret_result = mesh->result;
    end(mesh);
}

void replica_mesh_options_init(struct replica_mesh_options *options, uint64_t seed)
{
    *options = (struct replica_mesh_options){
        .seed = seed, .mode = PARTITION_MODE_ISR, .faults = MESH_FAULT_ALL, .hurt_ms = 400, .produce_us = 4000};
}

struct replica_mesh *replica_mesh_new(void)
{
    struct replica_mesh *mesh = calloc(1, sizeof(*mesh));

    if (mesh == NULL) return NULL;
    mesh->free_packet = NO_PACKET;
    record_batch_builder_init(&mesh->builder);
    for (int b = 0; b < MESH_BROKERS; b++)
        for (int p = 0; p < MESH_PARTITIONS; p++)
            replica_log_init(&mesh->brokers[b].logs[p]);
    if (court_init(&mesh->court) == 0) return mesh;
    replica_mesh_free(mesh);
    return NULL;
}

void replica_mesh_free(struct replica_mesh *mesh)
{
    if (mesh == NULL) return;
    for (int b = 0; b < MESH_BROKERS; b++)
        for (int p = 0; p < MESH_PARTITIONS; p++)
            replica_log_deinit(&mesh->brokers[b].logs[p]);
    for (uint32_t i = 0; i < mesh->packet_count; i++)
        buffer_deinit(&mesh->packets[i].bytes);
    record_batch_builder_deinit(&mesh->builder);
    buffer_deinit(&mesh->scratch);
    court_deinit(&mesh->court);
    free(mesh->heap);
    free(mesh->packets);
    free(mesh->alters);
    free(mesh);
}
