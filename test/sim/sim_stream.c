/* Streams: what programs see of TCP. Bytes arrive in order and once; loss shows as delay, a cut as silence and later
 * as a timeout, a dead process as a reset or an end, a dead host as nothing at all (the peer's end is half open).
 *
 * A stream needs both directions of its path: the model has no acknowledgements of its own. */
#include "sim/sim_internal.h"

#include "base/assert.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

#define WINDOW_BYTES     (256u << 10) /* written and not yet read, each way */
#define RETRY_MIN_US     200000u
#define RETRY_MAX_US     3200000u
#define SPLIT_PPM        100000 /* of writes that arrive in two pieces */
#define POLITE_DEATH_PPM 500000 /* of killed processes' streams that end instead of being reset */

/* ---- connections ---- */

static struct conn *conn_of(struct sim *sim, uint32_t ref)
{
    return &sim->streams.conns[ref >> 1];
}

static struct end *end_of(struct sim *sim, uint32_t ref)
{
    return &conn_of(sim, ref)->ends[ref & 1];
}

static uint64_t id_of(struct sim *sim, uint32_t ref)
{
    return (uint64_t)conn_of(sim, ref)->generation << 32 | ref;
}

void streams_reset(struct sim *sim)
{
    struct streams *streams = &sim->streams;

    streams->top = 0;
    streams->free_head = UINT32_MAX;
}

void streams_deinit(struct sim *sim)
{
    free(sim->streams.conns);
}

static uint32_t take_conn(struct sim *sim)
{
    struct streams *streams = &sim->streams;
    uint32_t index = streams->free_head, generation = 1;

    if (index != UINT32_MAX) {
        streams->free_head = streams->conns[index].next_free;
        generation = streams->conns[index].generation;
    } else {
        if (streams->top == streams->capacity) {
            streams->capacity = streams->capacity == 0 ? 64 : streams->capacity * 2;
            streams->conns = realloc(streams->conns, streams->capacity * sizeof(streams->conns[0]));
            MESH_ASSERT(streams->conns != NULL);
        }
        index = streams->top++;
    }
    streams->conns[index] = (struct conn){.generation = generation, .is_used = true};
    return index;
}

static void attach(struct sim *sim, uint32_t ref, uint32_t host_index)
{
    struct sim_host *host = &sim->hosts[host_index];
    struct end *end = end_of(sim, ref);

    end->host = host_index;
    end->rto_us = RETRY_MIN_US;
    end->previous = UINT32_MAX;
    end->next = host->ends_head - 1; /* heads are kept plus one, so that 0 means none */
    if (host->ends_head != 0) end_of(sim, host->ends_head - 1)->previous = ref;
    host->ends_head = ref + 1;
}

static void drop_queue(struct sim *sim, struct end *end)
{
    while (end->queue_head != SIM_POOL_NONE) {
        uint32_t next = event_at(sim, end->queue_head)->next;
        sim_pool_give(&sim->pool, end->queue_head);
        end->queue_head = next;
    }
    end->queue_tail = SIM_POOL_NONE;
}

/* The end is no more; with the last one of the two, neither is the connection. */
static void close_end(struct sim *sim, uint32_t ref)
{
    struct conn *conn = conn_of(sim, ref);
    struct end *end = end_of(sim, ref);

    MESH_ASSERT(end->state != END_NONE);
    drop_queue(sim, end);
    end->state = END_NONE;
    if (end->previous != UINT32_MAX)
        end_of(sim, end->previous)->next = end->next;
    else
        sim->hosts[end->host].ends_head = end->next + 1;
    if (end->next != UINT32_MAX) end_of(sim, end->next)->previous = end->previous;
    if (conn->ends[0].state != END_NONE || conn->ends[1].state != END_NONE) return;
    conn->is_used = false;
    conn->generation++;
    conn->next_free = sim->streams.free_head;
    sim->streams.free_head = ref >> 1;
}

static uint32_t find(const struct sim_host *host, uint64_t id)
{
    struct sim *sim = host->sim;
    uint32_t ref = (uint32_t)id;
    struct conn *conn;

    if (id == 0 || ref >> 1 >= sim->streams.top) return UINT32_MAX;
    conn = conn_of(sim, ref);
    if (!conn->is_used || conn->generation != (uint32_t)(id >> 32)) return UINT32_MAX;
    if (conn->ends[ref & 1].host != host->index) return UINT32_MAX;
    return conn->ends[ref & 1].state == END_CONNECTING || conn->ends[ref & 1].state == END_OPEN ? ref : UINT32_MAX;
}

/* ---- segments ---- */

static uint32_t host_of(struct sim *sim, uint32_t ref)
{
    struct end *end = end_of(sim, ref);

    return end->state == END_NONE ? net_owner(sim, &conn_of(sim, ref)->addresses[ref & 1]) : end->host;
}

static uint32_t new_segment(struct sim *sim, uint32_t to, enum sim_segment type, struct slice bytes)
{
    uint32_t number = sim_pool_take(&sim->pool, SIM_EVENT_STREAM);
    struct sim_event *event = event_at(sim, number);

    event->segment = (uint8_t)type;
    event->end = to;
    event->stamp = conn_of(sim, to)->generation;
    sim_pool_set_bytes(&sim->pool, event, bytes);
    return number;
}

/* One packet without a second try, to the end `to`. */
static void send_once(struct sim *sim, uint32_t to, enum sim_segment type)
{
    uint64_t delay_us;
    uint32_t from_host = host_of(sim, to ^ 1);

    if (from_host == NO_HOST || !net_segment_delay(sim, from_host, host_of(sim, to), 0, &delay_us)) return;
    sim_schedule(sim, sim->now_us + delay_us, new_segment(sim, to, type, slice_of(NULL, 0)));
}

static void end_fails(struct sim *sim, uint32_t ref, enum sim_stream_end how)
{
    struct end *end = end_of(sim, ref);
    struct sim_host *host = &sim->hosts[end->host];
    bool is_told = end->state == END_OPEN || end->state == END_CONNECTING;
    uint64_t id = id_of(sim, ref);

    sim->stats.resets += how == SIM_STREAM_RESET;
    sim->stats.refused += how == SIM_STREAM_REFUSED;
    sim->stats.stream_timeouts += how == SIM_STREAM_TIMEOUT;
    if (!is_told) {
        close_end(sim, ref);
        return;
    }
    MESH_ASSERT(host->is_running);
    sim_trace(sim, host, "stream %u ends: %s", ref >> 1,
              (const char *const[]){"closed", "reset", "timeout", "refused", "unreachable"}[how]);
    sim->hash = sim_mix(sim->hash, sim->now_us << 10 | (uint64_t)how << 4 | 2);
    end->state = END_LINGERING; /* void to the program; its user pointer still readable */
    host->program->stream_closed(host->process, id, how);
    close_end(sim, ref);
    sim_touched(sim, host);
}

static void retry_later(struct sim *sim, uint32_t ref)
{
    struct end *end = end_of(sim, ref);
    uint32_t number = sim_pool_take(&sim->pool, SIM_EVENT_STREAM_RETRY);
    struct sim_event *event = event_at(sim, number);

    event->end = ref;
    event->stamp = conn_of(sim, ref)->generation;
    end->is_retrying = true;
    sim->stats.retransmissions++;
    sim_schedule(sim, sim->now_us + end->rto_us, number);
    end->rto_us = end->rto_us * 2 < RETRY_MAX_US ? end->rto_us * 2 : RETRY_MAX_US;
}

/* Hands the head of the queue to the network; false when it does not take it now. */
static bool transmit_head(struct sim *sim, uint32_t ref)
{
    struct end *end = end_of(sim, ref);
    uint32_t number = end->queue_head;
    struct sim_event *event = event_at(sim, number);
    uint64_t delay_us, arrival_us;

    if (sim->hosts[end->host].blocks > 0 ||
        !net_segment_delay(sim, end->host, host_of(sim, ref ^ 1), event->size, &delay_us))
        return false;
    arrival_us = sim->now_us + delay_us;
    if (arrival_us < end->last_arrival_us) arrival_us = end->last_arrival_us;
    end->last_arrival_us = arrival_us;
    end->queue_head = event->next;
    if (end->queue_head == SIM_POOL_NONE) end->queue_tail = SIM_POOL_NONE;
    end->stuck_since_us = 0;
    end->rto_us = RETRY_MIN_US;
    sim_schedule(sim, arrival_us, number);
    return true;
}

/* Sends what can be sent. Calls no program. */
static void pump(struct sim *sim, uint32_t ref)
{
    struct end *end = end_of(sim, ref);

    while (!end->is_retrying && end->queue_head != SIM_POOL_NONE) {
        enum sim_segment segment = event_at(sim, end->queue_head)->segment;
        if (end->state == END_CONNECTING && segment != SIM_SEGMENT_SYN) return;
        if (!transmit_head(sim, ref)) {
            if (end->stuck_since_us == 0) end->stuck_since_us = sim->now_us;
            retry_later(sim, ref);
            return;
        }
        if (segment == SIM_SEGMENT_FIN) {
            close_end(sim, ref);
            return;
        }
    }
}

static void enqueue(struct sim *sim, uint32_t ref, enum sim_segment type, struct slice bytes)
{
    uint32_t number = new_segment(sim, ref ^ 1, type, bytes);
    struct end *end = end_of(sim, ref);

    if (end->queue_tail != SIM_POOL_NONE)
        event_at(sim, end->queue_tail)->next = number;
    else
        end->queue_head = number;
    end->queue_tail = number;
    pump(sim, ref);
}

/* ---- what programs do ---- */

uint64_t sim_connect(struct sim_host *host, const struct net_address *to, uint64_t timeout_us, void *user)
{
    struct sim *sim = host->sim;
    uint32_t ref, number;

    if (!host_output(host)) return 0;
    ref = take_conn(sim) << 1;
    conn_of(sim, ref)->addresses[0] = sim_host_address(host);
    conn_of(sim, ref)->addresses[1] = *to;
    end_of(sim, ref)->state = END_CONNECTING;
    end_of(sim, ref)->user = user;
    attach(sim, ref, host->index);
    sim->stats.streams++;
    enqueue(sim, ref, SIM_SEGMENT_SYN, slice_of(NULL, 0));
    number = sim_pool_take(&sim->pool, SIM_EVENT_STREAM_GIVE_UP);
    event_at(sim, number)->end = ref;
    event_at(sim, number)->stamp = conn_of(sim, ref)->generation;
    sim_schedule(sim, sim->now_us + timeout_us, number);
    return id_of(sim, ref);
}

void sim_stream_set_user(struct sim_host *host, uint64_t stream, void *user)
{
    uint32_t ref = find(host, stream);

    if (ref != UINT32_MAX) end_of(host->sim, ref)->user = user;
}

void *sim_stream_user(struct sim_host *host, uint64_t stream)
{
    struct sim *sim = host->sim;
    uint32_t ref = (uint32_t)stream;

    /* While stream_closed() runs the id is void, but what belongs to it can still be found. */
    if (stream == 0 || ref >> 1 >= sim->streams.top || conn_of(sim, ref)->generation != (uint32_t)(stream >> 32))
        return NULL;
    return end_of(sim, ref)->user;
}

size_t sim_stream_write(struct sim_host *host, uint64_t stream, struct slice bytes)
{
    struct sim *sim = host->sim;
    uint32_t ref = find(host, stream);
    size_t taken, room;

    if (ref == UINT32_MAX) return 0;
    if (!host_output(host)) return bytes.size;
    room = WINDOW_BYTES - end_of(sim, ref)->unread_bytes;
    if (bytes.size > room) {
        end_of(sim, ref)->wants_room = true;
        bytes.size = room;
    }
    end_of(sim, ref)->unread_bytes += (uint32_t)bytes.size;
    sim->stats.stream_bytes += bytes.size;
    for (taken = 0; taken < bytes.size;) {
        size_t piece = bytes.size - taken;
        if (piece > SIM_SEGMENT_MAX) piece = SIM_SEGMENT_MAX;
        if (sim_random_chance(&sim->randoms[SIM_RANDOM_STREAM], SPLIT_PPM))
            piece = (size_t)sim_random_between(&sim->randoms[SIM_RANDOM_STREAM], 1, piece);
        enqueue(sim, ref, SIM_SEGMENT_DATA, slice_of(bytes.data + taken, piece));
        taken += piece;
    }
    return bytes.size;
}

void sim_stream_close(struct sim_host *host, uint64_t stream)
{
    struct sim *sim = host->sim;
    uint32_t ref = find(host, stream);

    if (ref == UINT32_MAX || !host_output(host)) return;
    if (end_of(sim, ref)->state == END_CONNECTING) {
        close_end(sim, ref);
        return;
    }
    end_of(sim, ref)->state = END_LINGERING;
    enqueue(sim, ref, SIM_SEGMENT_FIN, slice_of(NULL, 0));
}

void sim_stream_abort(struct sim_host *host, uint64_t stream)
{
    uint32_t ref = find(host, stream);

    if (ref == UINT32_MAX || !host_output(host)) return;
    send_once(host->sim, ref ^ 1, SIM_SEGMENT_RESET);
    close_end(host->sim, ref);
}

/* ---- what arrives ---- */

static void handle_syn(struct sim *sim, uint32_t ref, struct sim_host *host)
{
    struct conn *conn = conn_of(sim, ref);
    struct net_address peer = conn->addresses[0];

    if (!host->is_running || conn->addresses[1].port != host->port) {
        send_once(sim, ref ^ 1, SIM_SEGMENT_REFUSED);
        return;
    }
    conn->ends[1] = (struct end){.state = END_OPEN};
    attach(sim, ref, host->index);
    enqueue(sim, ref, SIM_SEGMENT_OPENED, slice_of(NULL, 0));
    sim->hash = sim_mix(sim->hash, sim->now_us << 10 | host->index);
    sim_trace(sim, host, "stream %u comes in from a%u", ref >> 1, (unsigned)peer.ip[14] << 8 | peer.ip[15]);
    host->program->stream_opened(host->process, id_of(sim, ref), true, &peer);
    sim_touched(sim, host);
}

static void handle_opened(struct sim *sim, uint32_t ref, struct sim_host *host)
{
    struct net_address peer = conn_of(sim, ref)->addresses[1];

    if (end_of(sim, ref)->state != END_CONNECTING) return;
    end_of(sim, ref)->state = END_OPEN;
    sim->hash = sim_mix(sim->hash, sim->now_us << 10 | host->index);
    sim_trace(sim, host, "stream %u is open", ref >> 1);
    host->program->stream_opened(host->process, id_of(sim, ref), false, &peer);
    sim_touched(sim, host);
}

static void handle_data(struct sim *sim, uint32_t ref, struct sim_host *host, struct sim_event *event)
{
    struct end *writer = end_of(sim, ref ^ 1);
    uint32_t peer = host_of(sim, ref ^ 1);

    net_flip_bit(sim, event->bytes, event->size, sim->net.faults.flip_ppm / 10);
    if (writer->state == END_OPEN) {
        writer->unread_bytes -= event->size;
        if (writer->wants_room && writer->unread_bytes <= WINDOW_BYTES / 2) {
            writer->wants_room = false;
            send_once(sim, ref ^ 1, SIM_SEGMENT_ROOM);
        }
    }
    sim_hash_event(sim, sim->now_us << 10 | host->index, slice_of(event->bytes, event->size));
    if (sim->trace != NULL && peer != NO_HOST) {
        struct net_address from = sim_host_address(&sim->hosts[peer]);
        sim_trace_bytes(sim, host, "stream bytes", &from, true, slice_of(event->bytes, event->size));
    }
    host->program->stream_bytes(host->process, id_of(sim, ref), slice_of(event->bytes, event->size));
    sim_touched(sim, host);
}

/* A segment for an end that is there, on a host that listens. */
static void handle_segment(struct sim *sim, uint32_t ref, struct sim_host *host, struct sim_event *event)
{
    struct end *end = end_of(sim, ref);

    switch ((enum sim_segment)event->segment) {
    case SIM_SEGMENT_SYN: break;
    case SIM_SEGMENT_OPENED: handle_opened(sim, ref, host); break;
    case SIM_SEGMENT_REFUSED:
        if (end->state == END_CONNECTING) end_fails(sim, ref, SIM_STREAM_REFUSED);
        break;
    case SIM_SEGMENT_DATA:
        if (end->state == END_OPEN)
            handle_data(sim, ref, host, event);
        else
            send_once(sim, ref ^ 1, SIM_SEGMENT_RESET); /* written to one who has closed */
        break;
    case SIM_SEGMENT_ROOM:
        if (end->state != END_OPEN || host->program->stream_writable == NULL) break;
        host->program->stream_writable(host->process, id_of(sim, ref));
        sim_touched(sim, host);
        break;
    case SIM_SEGMENT_FIN: end_fails(sim, ref, SIM_STREAM_CLOSED); break;
    case SIM_SEGMENT_RESET:
        end_fails(sim, ref, end->state == END_CONNECTING ? SIM_STREAM_REFUSED : SIM_STREAM_RESET);
        break;
    }
}

/* False: the event is kept (the host is paused). */
static bool handle_arrival(struct sim *sim, struct sim_event *event, uint32_t number)
{
    uint32_t ref = event->end, owner = host_of(sim, ref);
    struct sim_host *host = owner == NO_HOST ? NULL : &sim->hosts[owner];

    if (host == NULL || !host->is_powered) return true;
    if (host->is_running && host_defers(sim, host, number)) return false;
    if (end_of(sim, ref)->state != END_NONE) {
        handle_segment(sim, ref, host, event);
    } else if (event->segment == SIM_SEGMENT_SYN) {
        handle_syn(sim, ref, host);
    } else if (event->segment != SIM_SEGMENT_RESET && end_of(sim, ref ^ 1)->state != END_NONE) {
        SIM_SOMETIMES("bytes came for a stream that its host knows no more");
        send_once(sim, ref ^ 1, SIM_SEGMENT_RESET);
    }
    return true;
}

static void handle_retry(struct sim *sim, uint32_t ref)
{
    struct end *end = end_of(sim, ref);

    if (end->state == END_NONE) return;
    end->is_retrying = false;
    if (end->stuck_since_us != 0 && sim->now_us - end->stuck_since_us >= sim->net.options.stream_timeout_us) {
        send_once(sim, ref ^ 1, SIM_SEGMENT_RESET);
        end_fails(sim, ref, end->state == END_CONNECTING ? SIM_STREAM_UNREACHABLE : SIM_STREAM_TIMEOUT);
        return;
    }
    pump(sim, ref);
}

void streams_handle(struct sim *sim, struct sim_event *event, uint32_t number)
{
    uint32_t ref = event->end;
    bool is_done = true;

    if (ref >> 1 < sim->streams.top && conn_of(sim, ref)->is_used && conn_of(sim, ref)->generation == event->stamp) {
        if (event->type == SIM_EVENT_STREAM)
            is_done = handle_arrival(sim, event, number);
        else if (event->type == SIM_EVENT_STREAM_RETRY)
            handle_retry(sim, ref);
        else if (end_of(sim, ref)->state == END_CONNECTING)
            end_fails(sim, ref, SIM_STREAM_UNREACHABLE);
    }
    if (is_done) sim_pool_give(&sim->pool, number);
}

/* ---- ends by force ---- */

void streams_host_stopped(struct sim *sim, struct sim_host *host, enum sim_stop how)
{
    uint32_t next;

    for (uint32_t ref = host->ends_head - 1; ref != UINT32_MAX; ref = next) {
        struct end *end = end_of(sim, ref);
        next = end->next;
        if (how == SIM_STOP_POWER || end->state == END_CONNECTING) {
            close_end(sim, ref);
        } else if (end->state == END_OPEN) {
            if (sim_random_chance(&sim->randoms[SIM_RANDOM_STREAM], POLITE_DEATH_PPM)) {
                end->state = END_LINGERING;
                enqueue(sim, ref, SIM_SEGMENT_FIN, slice_of(NULL, 0));
            } else {
                send_once(sim, ref ^ 1, SIM_SEGMENT_RESET);
                close_end(sim, ref);
            }
        }
    }
}

void sim_net_reset_streams(struct sim *sim, uint32_t a, uint32_t b)
{
    for (uint32_t index = 0; index < sim->streams.top; index++) {
        struct conn *conn = &sim->streams.conns[index];
        if (!conn->is_used || conn->ends[0].state != END_OPEN || conn->ends[1].state != END_OPEN) continue;
        if ((conn->ends[0].host == a && conn->ends[1].host == b) || (conn->ends[0].host == b && conn->ends[1].host == a)) {
            SIM_SOMETIMES("a middlebox reset a stream");
            send_once(sim, index << 1, SIM_SEGMENT_RESET);
            send_once(sim, index << 1 | 1, SIM_SEGMENT_RESET);
        }
    }
}
