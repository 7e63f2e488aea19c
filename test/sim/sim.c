#include "sim/sim_internal.h"

#include "base/assert.h"
#include "sim/sim_sometimes.h"
#include "support/fs_mem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct sim *sim_new(void)
{
    struct sim *sim = calloc(1, sizeof(*sim));

    MESH_ASSERT(sim != NULL);
    sim->hosts = calloc(SIM_HOSTS_MAX, sizeof(sim->hosts[0]));
    MESH_ASSERT(sim->hosts != NULL);
    sim_pool_init(&sim->pool);
    sim->is_hashing_bytes = true;
    return sim;
}

/* Processes that still run are told that the run is over, so that they free what they hold. */
static void end_processes(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->host_count; i++) {
        struct sim_host *host = &sim->hosts[i];
        if (!host->is_running) continue;
        host->is_dying = true;
        host->is_running = false;
        host->program->stop(host->process, SIM_STOP_END);
    }
}

void sim_free(struct sim *sim)
{
    if (sim == NULL) return;
    end_processes(sim);
    for (uint32_t i = 0; i < SIM_HOSTS_MAX; i++) {
        fs_mem_free(sim->hosts[i].disk);
        fs_mem_free(sim->hosts[i].backup);
    }
    fs_mem_free(sim->first_disk);
    net_deinit(sim);
    streams_deinit(sim);
    sim_queue_deinit(&sim->queue);
    sim_pool_deinit(&sim->pool);
    free(sim->hosts);
    free(sim);
}

void sim_reset(struct sim *sim, uint64_t seed, uint32_t host_count)
{
    MESH_ASSERT(host_count <= SIM_HOSTS_MAX);
    end_processes(sim);
    sim_queue_clear(&sim->queue);
    sim_pool_reset(&sim->pool);
    sim->now_us = 0;
    sim->seed = seed;
    sim->hash = sim_mix(0, seed);
    sim->host_count = host_count;
    sim->observe = NULL;
    sim->failure = NULL;
    memset(&sim->stats, 0, sizeof(sim->stats));
    for (uint64_t i = 0; i < SIM_RANDOM_HOSTS; i++)
        random_init(&sim->randoms[i], sim_random_seed(seed, i));
    net_reset(sim);
    streams_reset(sim);
    for (uint32_t i = 0; i < host_count; i++)
        host_reset(sim, i, seed);
}

uint64_t sim_now_us(const struct sim *sim)
{
    return sim->now_us;
}

uint32_t sim_host_count(const struct sim *sim)
{
    return sim->host_count;
}

struct sim_host *sim_host_at(struct sim *sim, uint32_t index)
{
    MESH_ASSERT(index < sim->host_count);
    return &sim->hosts[index];
}

struct random *sim_random(struct sim *sim, enum sim_random_domain domain)
{
    return &sim->randoms[domain];
}

void sim_set_observer(struct sim *sim, sim_observe_fn *observe, void *user)
{
    sim->observe = observe;
    sim->observe_user = user;
}

const struct sim_stats *sim_get_stats(const struct sim *sim)
{
    return &sim->stats;
}

uint64_t sim_event_hash(const struct sim *sim)
{
    return sim->hash;
}

void sim_set_hashing_bytes(struct sim *sim, bool is_on)
{
    sim->is_hashing_bytes = is_on;
}

/* ---- failures ---- */

void sim_fail(struct sim *sim, const char *what, const char *format, ...)
{
    va_list arguments;

    if (sim->failure != NULL) return;
    sim->failure = what;
    va_start(arguments, format);
    vsnprintf(sim->failure_text, sizeof(sim->failure_text), format, arguments);
    va_end(arguments);
    sim_trace(sim, NULL, "FAILED %s: %s", what, sim->failure_text);
}

const char *sim_failure(const struct sim *sim)
{
    return sim->failure;
}

const char *sim_failure_text(const struct sim *sim)
{
    return sim->failure_text;
}

/* ---- the queue ---- */

void sim_schedule(struct sim *sim, uint64_t true_us, uint32_t event)
{
    sim_queue_push(&sim->queue, true_us < sim->now_us ? sim->now_us : true_us, event);
}

void sim_at(struct sim *sim, uint64_t true_us, sim_control_fn *control, void *user, uint64_t argument)
{
    uint32_t number = sim_pool_take(&sim->pool, SIM_EVENT_CONTROL);
    struct sim_event *event = event_at(sim, number);

    event->control.call = control;
    event->control.user = user;
    event->control.argument = argument;
    sim_schedule(sim, true_us, number);
}

void sim_touched(struct sim *sim, struct sim_host *host)
{
    host_finish_call(host);
    if (sim->observe != NULL) sim->observe(sim->observe_user, host);
}

static void handle_datagram(struct sim *sim, struct sim_event *event, uint32_t number)
{
    uint32_t owner = net_owner(sim, &event->datagram.to);
    struct sim_host *host = owner == NO_HOST ? NULL : &sim->hosts[owner];

    if (host == NULL || !host->is_running || host->suspends > 0 || host->port != event->datagram.to.port) {
        sim->stats.unowned++;
    } else if (host_defers(sim, host, number)) {
        return;
    } else {
        struct slice bytes = slice_of(event->bytes, event->size);
        sim->stats.datagrams_delivered++;
        sim_hash_event(sim, sim->now_us << 10 | owner, bytes);
        if (sim->trace != NULL) sim_trace_bytes(sim, host, "datagram", &event->datagram.from, false, bytes);
        host->program->datagram(host->process, &event->datagram.from, bytes);
        sim_touched(sim, host);
    }
    sim_pool_give(&sim->pool, number);
}

void sim_handle(struct sim *sim, uint32_t number)
{
    struct sim_event *event = event_at(sim, number);

    switch ((enum sim_event_type)event->type) {
    case SIM_EVENT_CONTROL:
        sim->hash = sim_mix(sim->hash, sim->now_us << 8 | 1);
        event->control.call(event->control.user, event->control.argument);
        break;
    case SIM_EVENT_DRAIN: host_drain(sim, &sim->hosts[event->host]); break;
    case SIM_EVENT_TIMER: host_handle_timer(sim, event); break;
    case SIM_EVENT_DATAGRAM: handle_datagram(sim, event, number); return;
    case SIM_EVENT_STREAM:
    case SIM_EVENT_STREAM_RETRY:
    case SIM_EVENT_STREAM_GIVE_UP: streams_handle(sim, event, number); return;
    }
    sim_pool_give(&sim->pool, number);
}

bool sim_run_until(struct sim *sim, uint64_t true_us)
{
    while (sim->failure == NULL) {
        uint64_t time_us;
        uint32_t number = sim_queue_pop(&sim->queue, true_us, &time_us);
        if (number == SIM_QUEUE_NONE) break;
        MESH_ASSERT(time_us >= sim->now_us);
        sim->now_us = time_us;
        sim->stats.events++;
        sim_handle(sim, number);
    }
    if (sim->failure == NULL && sim->now_us < true_us) sim->now_us = true_us;
    return sim->failure == NULL;
}

/* ---- traces ---- */

void sim_set_trace(struct sim *sim, FILE *trace)
{
    sim->trace = trace;
}

bool sim_is_traced(const struct sim *sim)
{
    return sim->trace != NULL;
}

static void trace_prefix(struct sim *sim, const struct sim_host *host)
{
    fprintf(sim->trace, "%5llu.%06llu ", (unsigned long long)(sim->now_us / SIM_SECOND),
            (unsigned long long)(sim->now_us % SIM_SECOND));
    if (host != NULL)
        fprintf(sim->trace, "h%-3u ", host->index);
    else
        fputs("---- ", sim->trace);
}

void sim_trace(struct sim *sim, struct sim_host *host, const char *format, ...)
{
    va_list arguments;

    if (sim->trace == NULL) return;
    trace_prefix(sim, host);
    va_start(arguments, format);
    vfprintf(sim->trace, format, arguments);
    va_end(arguments);
    fputc('\n', sim->trace);
}

void sim_trace_bytes(struct sim *sim, struct sim_host *host, const char *what, const struct net_address *peer,
                     bool is_stream, struct slice bytes)
{
    char text[512] = "";
    unsigned number = (unsigned)peer->ip[14] << 8 | peer->ip[15];

    if (host->program->describe != NULL)
        host->program->describe(host->process, is_stream, bytes, text, sizeof(text));
    sim_trace(sim, host, "%s from a%u, %zu bytes%s%s", what, number, bytes.size, text[0] != '\0' ? ": " : "", text);
}
