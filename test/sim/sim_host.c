#include "sim/sim_internal.h"

#include "base/assert.h"
#include "sim/sim_sometimes.h"

#define PORT_DEFAULT 7942

/* ---- looking ---- */

uint64_t sim_host_now_us(const struct sim_host *host)
{
    return sim_clock_local_us(&host->clock, host->sim->now_us);
}

int64_t sim_host_wall_us(const struct sim_host *host)
{
    return (int64_t)host->sim->now_us + host->clock.wall_offset_us;
}

struct random *sim_host_random(struct sim_host *host)
{
    return &host->random;
}

struct net_address sim_host_address(const struct sim_host *host)
{
    return host->address;
}

uint32_t sim_host_index(const struct sim_host *host)
{
    return host->index;
}

struct sim *sim_host_sim(const struct sim_host *host)
{
    return host->sim;
}

uint32_t sim_host_address_number(const struct sim_host *host)
{
    return host->address_number;
}

void *sim_host_process(const struct sim_host *host)
{
    return host->is_running ? host->process : NULL;
}

bool sim_host_is_running(const struct sim_host *host)
{
    return host->is_running;
}

bool sim_host_is_powered(const struct sim_host *host)
{
    return host->is_powered;
}

/* ---- life ---- */

void host_reset(struct sim *sim, uint32_t index, uint64_t seed)
{
    struct sim_host *host = &sim->hosts[index];
    struct fs_mem *disk = host->disk, *backup = host->backup;

    *host = (struct sim_host){.sim = sim,
                              .index = index,
                              .address_number = index,
                              .port = PORT_DEFAULT,
                              .address = sim_address(index, PORT_DEFAULT),
                              .is_powered = true,
                              .timer_due_us = SIM_NEVER,
                              .timer_queued_us = SIM_NEVER,
                              .disk = disk,
                              .backup = backup};
    random_init(&host->random, sim_random_seed(seed, SIM_RANDOM_HOSTS + index));
    sim_clock_init(&host->clock, 0, 0, 0);
    sim->net.owners[index] = index;
}

void sim_host_set_program(struct sim_host *host, const struct sim_program *program, void *context)
{
    host->program = program;
    host->context = context;
}

void sim_host_take_address(struct sim_host *host, uint32_t number)
{
    struct sim *sim = host->sim;

    MESH_ASSERT(number < SIM_ADDRESSES_MAX && !host->is_running);
    if (sim->net.owners[host->address_number] == host->index) sim->net.owners[host->address_number] = NO_HOST;
    if (sim->net.owners[number] != NO_HOST) SIM_SOMETIMES("an address moved from one host to another");
    sim->net.owners[number] = host->index;
    host->address_number = number;
    host->address = sim_address(number, host->port);
}

void sim_host_start(struct sim_host *host)
{
    struct sim *sim = host->sim;

    host->is_powered = true;
    if (host->is_running || host->program == NULL) return;
    sim->stats.starts++;
    host->is_running = true;
    host->is_dying = false;
    host->timer_due_us = SIM_NEVER;
    sim_trace(sim, host, "starts %s", host->program->name);
    host->process = host->program->start(host->context, host);
    if (host->process == NULL) {
        host->is_running = host->is_dying = false;
        host->outputs_left = 0;
        host_disk_restarted(host, SIM_STOP_KILL);
        streams_host_stopped(sim, host, SIM_STOP_KILL);
        if (sim->observe != NULL) sim->observe(sim->observe_user, host);
        return;
    }
    sim_touched(sim, host);
}

static void drop_list(struct sim *sim, uint32_t *head, uint32_t *tail)
{
    while (*head != SIM_POOL_NONE) {
        uint32_t next = event_at(sim, *head)->next;
        sim_pool_give(&sim->pool, *head);
        *head = next;
    }
    *tail = SIM_POOL_NONE;
}

static void stop(struct sim_host *host, enum sim_stop how)
{
    struct sim *sim = host->sim;

    sim_trace(sim, host, how == SIM_STOP_POWER ? "loses power" : "is killed");
    host->is_running = false;
    host->timer_stamp++;
    host->timer_due_us = host->timer_queued_us = SIM_NEVER;
    host->deferred_datagram_bytes = 0;
    host->is_timer_missed = false;
    host_disk_restarted(host, how);
    host->is_dying = true; /* the program's last words go nowhere */
    host->program->stop(host->process, how);
    host->process = NULL;
    host->is_dying = false;
    host->outputs_left = 0;
    streams_host_stopped(sim, host, how);
    drop_list(sim, &host->deferred_head, &host->deferred_tail);
    drop_list(sim, &host->outbox_head, &host->outbox_tail);
    if (sim->observe != NULL) sim->observe(sim->observe_user, host);
}

void sim_host_kill(struct sim_host *host, enum sim_stop how)
{
    if (how == SIM_STOP_POWER) {
        host->sim->stats.power_cuts += host->is_powered;
        host->is_powered = false;
    } else {
        host->sim->stats.kills += host->is_running;
    }
    if (host->is_running) stop(host, how);
}

bool sim_host_is_awake(const struct sim_host *host)
{
    return host->is_running && !host->is_dying && host->pauses == 0 && host->suspends == 0;
}

bool sim_host_is_dying(const struct sim_host *host)
{
    return host->is_running && host->is_dying;
}

void sim_host_kill_at_output(struct sim_host *host, uint64_t nth, enum sim_stop how)
{
    host->outputs_left = nth;
    host->kill_how = how;
    if (nth > 0) sim_host_disk(host); /* its writes count too */
}

void sim_exit(struct sim_host *host)
{
    host->kill_how = SIM_STOP_KILL;
    host->is_dying = true;
}

bool host_output(struct sim_host *host)
{
    if (host->is_dying) return false;
    if (host->outputs_left == 0 || --host->outputs_left > 0) return true;
    host->is_dying = true;
    host->sim->stats.boundary_kills++;
    SIM_SOMETIMES("a process died between two of its outputs");
    return false;
}

void host_finish_call(struct sim_host *host)
{
    if (host->is_dying && host->is_running) sim_host_kill(host, host->kill_how);
}

/* ---- output ---- */

void sim_send(struct sim_host *host, const struct net_address *to, struct slice bytes)
{
    struct sim *sim = host->sim;

    if (!host_output(host)) return;
    if (host->blocks == 0) {
        net_send(sim, host, to, bytes);
    } else {
        uint32_t number = sim_pool_take(&sim->pool, SIM_EVENT_DATAGRAM);
        struct sim_event *event = event_at(sim, number);
        sim_pool_set_bytes(&sim->pool, event, bytes);
        event->datagram.to = *to;
        if (host->outbox_tail != SIM_POOL_NONE)
            event_at(sim, host->outbox_tail)->next = number;
        else
            host->outbox_head = number;
        host->outbox_tail = number;
    }
}

/* ---- timers ----
 *
 * A timer set later than the queued event leaves the event where it is; when that comes too early it is queued again.
 * So a program may set its timer after every event at no cost. */

static void queue_timer(struct sim_host *host, uint64_t true_us)
{
    struct sim *sim = host->sim;
    uint32_t number = sim_pool_take(&sim->pool, SIM_EVENT_TIMER);
    struct sim_event *event = event_at(sim, number);

    event->host = host->index;
    event->stamp = ++host->timer_stamp;
    host->timer_queued_us = true_us < sim->now_us ? sim->now_us : true_us;
    sim_schedule(sim, true_us, number);
}

void sim_set_timer(struct sim_host *host, uint64_t due_us)
{
    uint64_t true_us;

    host->timer_due_us = due_us;
    if (due_us == SIM_NEVER) return;
    true_us = sim_clock_true_us(&host->clock, due_us);
    if (true_us < host->sim->now_us) true_us = host->sim->now_us;
    if (true_us < host->timer_queued_us && true_us != SIM_NEVER) queue_timer(host, true_us);
}

void host_rearm_timer(struct sim_host *host)
{
    host->timer_queued_us = SIM_NEVER;
    host->timer_stamp++;
    if (host->is_running) sim_set_timer(host, host->timer_due_us);
}

void host_handle_timer(struct sim *sim, struct sim_event *event)
{
    struct sim_host *host = &sim->hosts[event->host];
    uint64_t due_us;

    if (event->stamp != host->timer_stamp || !host->is_running) return;
    host->timer_queued_us = SIM_NEVER;
    due_us = host->timer_due_us;
    if (due_us == SIM_NEVER || host->suspends > 0) return;
    if (host->pauses > 0) {
        host->is_timer_missed = true;
        return;
    }
    if (sim_host_now_us(host) < due_us) {
        uint64_t true_us = sim_clock_true_us(&host->clock, due_us);
        queue_timer(host, true_us);
        return;
    }
    if (host->timer_slack_us > 0 && !host->is_timer_missed) {
        host->is_timer_missed = true; /* the next one counts */
        queue_timer(host, sim->now_us + random_below(&sim->randoms[SIM_RANDOM_CLOCK], host->timer_slack_us));
        return;
    }
    host->is_timer_missed = false;
    host->timer_due_us = SIM_NEVER;
    sim->stats.timers++;
    sim->hash = sim_mix(sim->hash, sim->now_us << 10 | host->index);
    host->program->timer(host->process);
    sim_touched(sim, host);
}

/* ---- pauses ---- */

static bool is_deaf(const struct sim_host *host)
{
    return host->pauses > 0 || host->blocks > 0 || host->suspends > 0;
}

bool host_defers(struct sim *sim, struct sim_host *host, uint32_t number)
{
    struct sim_event *event = event_at(sim, number);

    if (host->is_draining_one) return false;
    if (!is_deaf(host) && host->deferred_head == SIM_POOL_NONE) return false;
    if (event->type == SIM_EVENT_DATAGRAM) {
        if (host->deferred_datagram_bytes + event->size > sim->net.options.receive_buffer_bytes) {
            sim->stats.overflowed++;
            sim_pool_give(&sim->pool, number);
            return true;
        }
        host->deferred_datagram_bytes += event->size;
    }
    sim->stats.deferred++;
    event->next = SIM_POOL_NONE;
    if (host->deferred_tail != SIM_POOL_NONE)
        event_at(sim, host->deferred_tail)->next = number;
    else
        host->deferred_head = number;
    host->deferred_tail = number;
    return true;
}

static void queue_drain(struct sim_host *host)
{
    struct sim *sim = host->sim;
    uint32_t number;

    if (host->is_draining || host->deferred_head == SIM_POOL_NONE) return;
    number = sim_pool_take(&sim->pool, SIM_EVENT_DRAIN);
    event_at(sim, number)->host = host->index;
    host->is_draining = true;
    sim_schedule(sim, sim->now_us, number);
}

/* What waited arrives, one after the other, and what comes meanwhile goes behind it. */
void host_drain(struct sim *sim, struct sim_host *host)
{
    uint32_t number = host->deferred_head;

    host->is_draining = false;
    if (number == SIM_POOL_NONE || is_deaf(host)) return;
    host->deferred_head = event_at(sim, number)->next;
    if (host->deferred_head == SIM_POOL_NONE) host->deferred_tail = SIM_POOL_NONE;
    if (event_at(sim, number)->type == SIM_EVENT_DATAGRAM) host->deferred_datagram_bytes -= event_at(sim, number)->size;
    host->is_draining_one = true;
    sim_handle(sim, number);
    host->is_draining_one = false;
    queue_drain(host);
}

/* All that waited arrives now, in a burst, before or after the timer. */
static void deliver_deferred(struct sim_host *host)
{
    bool is_timer_first = random_below(&host->sim->randoms[SIM_RANDOM_PROCESS], 2) == 0;

    if (is_deaf(host)) return;
    if (is_timer_first) host_rearm_timer(host);
    queue_drain(host);
    if (!is_timer_first) host_rearm_timer(host);
}

void sim_host_pause(struct sim_host *host)
{
    host->pauses++;
    sim_trace(host->sim, host, "is paused");
}

void sim_host_resume(struct sim_host *host)
{
    MESH_ASSERT(host->pauses > 0);
    if (--host->pauses > 0) return;
    sim_trace(host->sim, host, "resumes");
    deliver_deferred(host);
}

void sim_host_block_io(struct sim_host *host)
{
    host->blocks++;
    sim_trace(host->sim, host, "its I/O is blocked");
}

void sim_host_unblock_io(struct sim_host *host)
{
    struct sim *sim = host->sim;

    MESH_ASSERT(host->blocks > 0);
    if (--host->blocks > 0) return;
    sim_trace(sim, host, "its I/O goes on");
    for (uint32_t number = host->outbox_head; number != SIM_POOL_NONE; number = event_at(sim, number)->next) {
        struct sim_event *event = event_at(sim, number);
        net_send(sim, host, &event->datagram.to, slice_of(event->bytes, event->size));
    }
    drop_list(sim, &host->outbox_head, &host->outbox_tail);
    deliver_deferred(host);
}

/* ---- clocks ---- */

void sim_host_suspend(struct sim_host *host)
{
    sim_trace(host->sim, host, "is suspended");
    host->suspends++;
    if (host->stops++ == 0) sim_clock_stop(&host->clock, host->sim->now_us);
}

void sim_host_wake(struct sim_host *host)
{
    MESH_ASSERT(host->stops > 0);
    if (--host->stops == 0) sim_clock_resume(&host->clock, host->sim->now_us);
    sim_host_wake_up(host);
}

void sim_host_sleep(struct sim_host *host)
{
    sim_trace(host->sim, host, "sleeps");
    host->suspends++;
}

void sim_host_wake_up(struct sim_host *host)
{
    MESH_ASSERT(host->suspends > 0);
    if (--host->suspends > 0) return;
    sim_trace(host->sim, host, "wakes");
    deliver_deferred(host);
    host_rearm_timer(host);
}

void sim_host_set_drift(struct sim_host *host, int32_t ppm)
{
    sim_clock_set_drift(&host->clock, host->sim->now_us, ppm);
    host_rearm_timer(host);
}

void sim_host_set_clock(struct sim_host *host, uint64_t local_us, int64_t wall_offset_us)
{
    MESH_ASSERT(!host->is_running);
    sim_clock_init(&host->clock, host->sim->now_us, local_us, wall_offset_us);
}

void sim_host_jump_wall(struct sim_host *host, int64_t by_us)
{
    host->clock.wall_offset_us += by_us;
}

void sim_host_set_timer_slack(struct sim_host *host, uint64_t slack_us)
{
    host->timer_slack_us = slack_us;
}
