#include "sim/gossip_program.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "sim/gossip_identity.h"
#include "sim/gossip_link.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

#define SEAL_SIZE        36 /* sender, boot, counter, sum */
#define WINDOW_WORDS     16
#define WINDOW_BITS      (64 * WINDOW_WORDS)
#define GREETING_POLL_US (SIM_SECOND / 2)

/* What was heard from one sender, against replays (RFC 6479's idea: a ring of bits). */
struct window {
    uint64_t sender_mark; /* of its id */
    uint32_t boot;
    uint64_t top;
    uint64_t bits[WINDOW_WORDS];
};

struct gossip_process {
    struct sim_host *host;
    const struct gossip_config *config;
    struct gossip *gossip;
    struct gossip_identity identity;
    struct gossip_links links;
    uint64_t counter; /* of sealed packets */
    struct window *windows; /* by host */
    bool has_left, is_behind;
    uint32_t behind; /* the boot that the mesh knows of, if is_behind */
    uint8_t room[SEAL_SIZE + GOSSIP_PACKET_MAX];
};

struct gossip *gossip_process_core(struct gossip_process *process)
{
    return process->gossip;
}

const struct uuid *gossip_process_id(const struct gossip_process *process)
{
    return &process->identity.id;
}

uint32_t gossip_process_boot(const struct gossip_process *process)
{
    return process->identity.boot;
}

uint64_t gossip_process_dial_count(const struct gossip_process *process)
{
    return process->links.dials;
}

bool gossip_process_has_left(const struct gossip_process *process)
{
    return process->has_left;
}

uint32_t gossip_identity_host(const struct uuid *id)
{
    return le_load32(id->bytes);
}

/* ---- sealed packets ---- */

static void send_packet(struct gossip_process *process, const struct net_address *to, struct slice bytes)
{
    uint8_t *room = process->room;

    MESH_ASSERT(bytes.size <= GOSSIP_PACKET_MAX);
    memcpy(room, process->identity.id.bytes, UUID_SIZE);
    le_store32(room + 16, process->identity.boot);
    le_store64(room + 20, ++process->counter);
    le_store64(room + 28, sim_hash_bytes(sim_hash_bytes(3, room, 28), bytes.data, bytes.size));
    memcpy(room + SEAL_SIZE, bytes.data, bytes.size);
    sim_send(process->host, to, slice_of(room, SEAL_SIZE + bytes.size));
}

static bool is_replayed(struct gossip_process *process, const struct uuid *sender, uint32_t boot, uint64_t counter)
{
    struct window *window = &process->windows[gossip_identity_host(sender) % sim_host_count(sim_host_sim(process->host))];
    uint64_t mark = le_load64(sender->bytes + 8), bit;

    if (window->sender_mark != mark || boot > window->boot)
        *window = (struct window){.sender_mark = mark, .boot = boot};
    if (boot < window->boot) return false; /* the core is told, and drops it */
    if (counter > window->top) {
        for (uint64_t word = window->top / 64 + 1; word <= counter / 64 && word <= window->top / 64 + WINDOW_WORDS; word++)
            window->bits[word % WINDOW_WORDS] = 0;
        window->top = counter;
    } else if (window->top - counter >= WINDOW_BITS - 64) {
        return true;
    }
    bit = UINT64_C(1) << counter % 64;
    if (window->bits[counter / 64 % WINDOW_WORDS] & bit) return true;
    window->bits[counter / 64 % WINDOW_WORDS] |= bit;
    return false;
}

static void receive_packet(struct gossip_process *process, const struct net_address *from, struct slice bytes)
{
    struct uuid sender;
    uint32_t boot;

    if (bytes.size < SEAL_SIZE) return;
    if (sim_hash_bytes(sim_hash_bytes(3, bytes.data, 28), bytes.data + SEAL_SIZE, bytes.size - SEAL_SIZE) !=
        le_load64(bytes.data + 28)) {
        SIM_SOMETIMES("a damaged packet was dropped");
        return;
    }
    memcpy(sender.bytes, bytes.data, UUID_SIZE);
    boot = le_load32(bytes.data + 16);
    if (!process->config->takes_replays && is_replayed(process, &sender, boot, le_load64(bytes.data + 20))) {
        SIM_SOMETIMES("a replayed packet was dropped");
        return;
    }
    gossip_receive_packet(process->gossip, sim_host_now_us(process->host), &sender, boot, from,
                          slice_of(bytes.data + SEAL_SIZE, bytes.size - SEAL_SIZE));
}

/* ---- outputs ---- */

static void carry_out(struct gossip_process *process, const struct gossip_output *output)
{
    switch (output->type) {
    case GOSSIP_OUTPUT_PACKET: send_packet(process, &output->address, output->bytes); break;
    case GOSSIP_OUTPUT_MESSAGE: gossip_links_send(&process->links, &output->peer, output->bytes); break;
    case GOSSIP_OUTPUT_DIAL: gossip_links_dial(&process->links, &output->address, &output->peer); break;
    case GOSSIP_OUTPUT_HANG_UP: gossip_links_hang_up(&process->links, &output->peer); break;
    case GOSSIP_OUTPUT_LEFT: process->has_left = true; break;
    case GOSSIP_OUTPUT_BOOT_BEHIND:
        process->is_behind = true;
        process->behind = output->boot;
        break;
    default: break;
    }
    if (process->config->output != NULL) process->config->output(process->config->user, process->host, output);
}

static void take_outputs(struct gossip_process *process)
{
    struct gossip_output output;

    while (gossip_next_output(process->gossip, sim_host_now_us(process->host), &output))
        carry_out(process, &output);
}

/* The disk was set back: a boot above all that others know of is made durable, then used. */
static void catch_up(struct gossip_process *process)
{
    process->is_behind = false;
    if (!gossip_identity_raise_boot(process->host, &process->identity, process->behind)) return;
    SIM_SOMETIMES("a broker caught up with its own boots");
    sim_trace(sim_host_sim(process->host), process->host, "goes on in boot %u", process->identity.boot);
    gossip_set_boot(process->gossip, sim_host_now_us(process->host), process->identity.boot);
}

static void drain(void *user)
{
    struct gossip_process *process = user;

    take_outputs(process);
    if (!process->is_behind) return;
    catch_up(process);
    take_outputs(process);
}

static void arm(struct gossip_process *process)
{
    uint64_t due_us = gossip_due_us(process->gossip);

    if (process->links.unproven > 0) {
        uint64_t poll_us = sim_host_now_us(process->host) + GREETING_POLL_US;
        if (poll_us < due_us) due_us = poll_us;
    }
    sim_set_timer(process->host, due_us);
    if (process->has_left) sim_exit(process->host);
}

void gossip_process_drain(struct gossip_process *process)
{
    drain(process);
    arm(process);
}

/* ---- the program ---- */

static void stop(void *user, enum sim_stop how)
{
    struct gossip_process *process = user;

    (void)how;
    if (process->config->stopping != NULL)
        process->config->stopping(process->config->user, process->host, process);
    gossip_links_deinit(&process->links);
    gossip_free(process->gossip);
    free(process->windows);
    free(process);
}

static void set_defects(struct gossip_process *process)
{
#ifdef MESH_TEST_SWITCHES
    for (int defect = 1; defect < GOSSIP_DEFECT_COUNT; defect++) {
        if (process->config->defects >> defect & 1) gossip_bring_back(process->gossip, (enum gossip_defect)defect);
    }
#else
    MESH_ASSERT(process->config->defects == 0);
#endif
}

static struct gossip_options options_of(struct gossip_process *process)
{
    struct gossip_options options = process->config->options;
    struct gossip_self *self = &options.self;

    options.seed = random_next(sim_host_random(process->host));
    options.signer = gossip_identity_signer;
    options.signer.user = &process->identity;
    self->id = process->identity.id;
    self->dir_id = process->identity.id;
    self->incarnation = (uint64_t)process->identity.boot << 32;
    self->address = sim_host_address(process->host);
    self->client_port = self->address.port;
    memcpy(self->public_key, process->identity.public_key, GOSSIP_PUBLIC_KEY);
    snprintf(self->name, sizeof(self->name), "h%u", sim_host_index(process->host));
    return options;
}

static void *start(void *context, struct sim_host *host)
{
    struct gossip_process *process = calloc(1, sizeof(*process));
    const struct gossip_config *config = context;
    struct gossip_options options;
    uint64_t now_us = sim_host_now_us(host);

    MESH_ASSERT(process != NULL);
    process->host = host;
    process->config = config;
    if (!gossip_identity_load(host, &process->identity)) {
        free(process);
        return NULL;
    }
    gossip_links_init(&process->links, host, &process->identity);
    /* As the product does it: on a disk that was set back, boots repeat, and counters go on with the time. */
    process->counter = sim_now_us(sim_host_sim(host));
    process->windows = calloc(sim_host_count(sim_host_sim(host)), sizeof(process->windows[0]));
    options = options_of(process);
    MESH_ASSERT(gossip_new(&options, now_us, &process->gossip) == 0);
    process->links.gossip = process->gossip;
    process->links.drain = drain;
    process->links.drain_user = process;
    set_defects(process);
    gossip_set_seeds(process->gossip, now_us, config->seeds, config->seed_count);
    gossip_process_drain(process);
    return process;
}

static void datagram(void *user, const struct net_address *from, struct slice bytes)
{
    receive_packet(user, from, bytes);
    gossip_process_drain(user);
}

static void stream_opened(void *user, uint64_t stream, bool is_inbound, const struct net_address *peer)
{
    struct gossip_process *process = user;

    gossip_links_opened(&process->links, stream, is_inbound, peer);
    gossip_process_drain(process);
}

static void stream_bytes(void *user, uint64_t stream, struct slice bytes)
{
    struct gossip_process *process = user;

    gossip_links_bytes(&process->links, stream, bytes);
    gossip_process_drain(process);
}

static void stream_writable(void *user, uint64_t stream)
{
    struct gossip_process *process = user;

    gossip_links_writable(&process->links, stream);
}

static void stream_closed(void *user, uint64_t stream, enum sim_stream_end how)
{
    struct gossip_process *process = user;

    gossip_links_closed(&process->links, stream, how);
    gossip_process_drain(process);
}

static void timer(void *user)
{
    struct gossip_process *process = user;
    uint64_t now_us = sim_host_now_us(process->host);

    if (process->links.unproven > 0) gossip_links_expire(&process->links);
    if (gossip_due_us(process->gossip) <= now_us) gossip_tick(process->gossip, now_us);
    gossip_process_drain(process);
}

static void describe(void *user, bool is_stream, struct slice bytes, char *to, size_t size)
{
    (void)user;
    if (is_stream || bytes.size < SEAL_SIZE) return;
    snprintf(to, size, "h%u boot %u #%llu, items from %02x %02x %02x", le_load32(bytes.data), le_load32(bytes.data + 16),
             (unsigned long long)le_load64(bytes.data + 20), bytes.size > SEAL_SIZE ? bytes.data[SEAL_SIZE] : 0,
             bytes.size > SEAL_SIZE + 1 ? bytes.data[SEAL_SIZE + 1] : 0,
             bytes.size > SEAL_SIZE + 2 ? bytes.data[SEAL_SIZE + 2] : 0);
}

const struct sim_program gossip_program = {.name = "gossip",
                                           .start = start,
                                           .datagram = datagram,
                                           .stream_opened = stream_opened,
                                           .stream_bytes = stream_bytes,
                                           .stream_writable = stream_writable,
                                           .stream_closed = stream_closed,
                                           .timer = timer,
                                           .stop = stop,
                                           .describe = describe};
