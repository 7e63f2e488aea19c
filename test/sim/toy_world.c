#include "sim/toy_world.h"

#include "base/assert.h"
#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

#define GREETING_US  100000
#define STREAM_BYTES 600

/* ---- program ---- */

static uint32_t load_boot(struct fs *fs)
{
    struct fs_file *file;
    uint8_t bytes[4] = {0};
    size_t size = 0;

    if (fs_open(fs, "boot", FS_READ, &file) != 0) return 0;
    if (fs->ops->read(file, bytes, sizeof(bytes), 0, &size) != 0) size = 0;
    fs->ops->close(file);
    return size == 4 ? le_load32(bytes) : 0;
}

static bool save_boot(struct fs *fs, uint32_t boot)
{
    struct fs_file *file;
    uint8_t bytes[4];
    struct iovec iov = {bytes, sizeof(bytes)};
    int err = fs_open(fs, "boot", FS_WRITE | FS_CREATE, &file);

    if (err != 0) return false;
    le_store32(bytes, boot);
    err = fs->ops->write(file, &iov, 1, 0);
    if (err == 0) err = fs->ops->sync(file);
    fs->ops->close(file);
    return err == 0 && fs->ops->sync_dir(fs, ".") == 0;
}

static void *toy_start(void *context, struct sim_host *host)
{
    struct fs *fs = sim_host_fs(host);
    struct toy *toy;
    uint32_t boot = load_boot(fs) + 1;

    (void)context;
    if (!save_boot(fs, boot)) return NULL;
    toy = calloc(1, sizeof(*toy));
    MESH_ASSERT(toy != NULL);
    toy->host = host;
    toy->boot = boot;
    sim_set_timer(host, sim_host_now_us(host) + GREETING_US);
    return toy;
}

static void toy_datagram(void *process, const struct net_address *from, struct slice bytes)
{
    struct toy *toy = process;
    uint32_t peer;

    (void)from;
    if (bytes.size != 64 || sim_hash_bytes(0, bytes.data, 56) != le_load64(bytes.data + 56)) return;
    peer = le_load32(bytes.data);
    toy->heard_boots[peer] = le_load32(bytes.data + 4);
    toy->greetings++;
    toy->latest_us = sim_host_now_us(toy->host);
}

static void send_bytes(struct toy *toy)
{
    uint8_t bytes[STREAM_BYTES];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)((toy->sent + i) % 251);
    toy->sent += sim_stream_write(toy->host, toy->stream, slice_of(bytes, sizeof(bytes)));
}

static void toy_stream_opened(void *process, uint64_t stream, bool is_inbound, const struct net_address *peer)
{
    struct toy *toy = process;

    (void)peer;
    toy->opened++;
    if (is_inbound) {
        toy->inbound = stream;
        toy->expected = 0;
    }
}

static void toy_stream_bytes(void *process, uint64_t stream, struct slice bytes)
{
    struct toy *toy = process;

    if (stream != toy->inbound) return;
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] == toy->expected % 251) toy->bytes_in_order++;
        toy->expected++;
    }
}

static void toy_stream_closed(void *process, uint64_t stream, enum sim_stream_end how)
{
    struct toy *toy = process;

    toy->refused += how == SIM_STREAM_REFUSED;
    toy->resets += how == SIM_STREAM_RESET;
    toy->closed += how == SIM_STREAM_CLOSED;
    toy->timeouts += how == SIM_STREAM_TIMEOUT;
    toy->unreachable += how == SIM_STREAM_UNREACHABLE;
    if (stream == toy->stream) toy->stream = 0;
    if (stream == toy->inbound) toy->inbound = 0;
}

static void greet(struct toy *toy, uint32_t host_count)
{
    uint8_t bytes[64] = {0};
    uint32_t self = sim_host_index(toy->host);

    le_store32(bytes, self);
    le_store32(bytes + 4, toy->boot);
    le_store64(bytes + 8, random_next(sim_host_random(toy->host)));
    le_store64(bytes + 56, sim_hash_bytes(0, bytes, 56));
    for (uint32_t i = 0; i < host_count; i++) {
        struct net_address to = sim_address(i, 7942);
        if (i != self) sim_send(toy->host, &to, slice_of(bytes, sizeof(bytes)));
    }
}

static void toy_timer(void *process)
{
    struct toy *toy = process;
    uint32_t count = 5;
    struct net_address neighbour = sim_address((sim_host_index(toy->host) + 1) % count, 7942);

    toy->timers++;
    greet(toy, count);
    if (toy->stream == 0) {
        toy->sent = 0;
        toy->stream = sim_connect(toy->host, &neighbour, SIM_SECOND, NULL);
    } else {
        send_bytes(toy);
    }
    sim_set_timer(toy->host, sim_host_now_us(toy->host) + GREETING_US);
}

static void toy_stop(void *process, enum sim_stop how)
{
    (void)how;
    free(process);
}

const struct sim_program toy_program = {.name = "toy",
                                        .start = toy_start,
                                        .datagram = toy_datagram,
                                        .stream_opened = toy_stream_opened,
                                        .stream_bytes = toy_stream_bytes,
                                        .stream_closed = toy_stream_closed,
                                        .timer = toy_timer,
                                        .stop = toy_stop};

/* ---- world ---- */

struct toy_state {
    struct sim *sim;
    bool is_correct;
    uint32_t known_boots[TOY_HOSTS_MAX][TOY_HOSTS_MAX]; /* the highest that was heard */
};

static void *make(void)
{
    return calloc(1, sizeof(struct toy_state));
}

static void *make_correct(void)
{
    struct toy_state *state = make();

    state->is_correct = true;
    return state;
}

/* Nobody goes back to an older boot of another, unless its disk did. */
static void observe(void *user, struct sim_host *host)
{
    struct toy_state *state = user;
    struct toy *toy = sim_host_process(host);
    uint32_t self = sim_host_index(host);

    if (toy == NULL) {
        memset(state->known_boots[self], 0, sizeof(state->known_boots[self]));
        return;
    }
    for (uint32_t i = 0; i < sim_host_count(state->sim); i++) {
        uint32_t *known = &state->known_boots[self][i];
        if (!state->is_correct && toy->heard_boots[i] < *known)
            sim_fail(state->sim, "T1 boots do not go back", "host %u believes boot %u of host %u, not %u", self,
                     toy->heard_boots[i], i, *known);
        *known = toy->heard_boots[i];
    }
}

static void begin(void *world, struct sim *sim, const struct sim_plan *plan)
{
    struct toy_state *state = world;

    (void)plan;
    state->sim = sim;
    memset(state->known_boots, 0, sizeof(state->known_boots));
    sim_set_observer(sim, observe, state);
    for (uint32_t i = 0; i < sim_host_count(sim); i++) {
        sim_host_set_program(sim_host_at(sim, i), &toy_program, NULL);
        sim_host_set_clock(sim_host_at(sim, i), 5 * SIM_SECOND * i, 0);
        sim_host_start(sim_host_at(sim, i));
    }
}

static uint64_t healed(void *world)
{
    struct toy_state *state = world;

    return sim_now_us(state->sim) + 10 * SIM_SECOND;
}

static void end(void *world)
{
    (void)world;
}

#define TOY_KINDS                                                                                            \
    (((UINT64_C(1) << SIM_FAULT_WORLD) - 1) & ~(UINT64_C(1) << SIM_FAULT_READDRESS | UINT64_C(1) << SIM_FAULT_SWAP))

const struct sim_world toy_world = {.name = "toy",
                                    .about = "greetings and numbered bytes, with a bug: tests the kernel",
                                    .limits = {5, 5, 20 * SIM_SECOND, 60 * SIM_SECOND, TOY_KINDS, false, false},
                                    .make = make,
                                    .free = free,
                                    .begin = begin,
                                    .healed = healed,
                                    .end = end};

const struct sim_world toy_world_correct = {.name = "toy-correct",
                                            .about = "the same without the bug",
                                            .limits = {5, 5, 20 * SIM_SECOND, 60 * SIM_SECOND, TOY_KINDS, false, false},
                                            .make = make_correct,
                                            .free = free,
                                            .begin = begin,
                                            .healed = healed,
                                            .end = end};
