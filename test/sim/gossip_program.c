#include "sim/gossip_program.h"

#include "base/assert.h"
#include "sim/gossip_dns.h"
#include "sim/gossip_keys.h"
#include "sim/gossip_link.h"
#include "sim/gossip_seal.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

#define GREETING_POLL_US (SIM_SECOND / 2)

struct gossip_process {
    struct sim_host *host;
    const struct gossip_config *config;
    struct gossip *gossip;
    struct gossip_identity identity;
    struct gossip_links links;
    struct gossip_seal *seal;
    struct keyring *ring; /* NULL: the stand-in */
    bool has_left, is_behind;
    uint32_t behind; /* the boot that the mesh knows of, if is_behind */
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

struct keyring *gossip_process_ring(struct gossip_process *process)
{
    return process->ring;
}

/* ---- outputs ---- */

static void carry_out(struct gossip_process *process, const struct gossip_output *output)
{
    switch (output->type) {
    case GOSSIP_OUTPUT_PACKET: gossip_seal_send(process->seal, &output->address, output->bytes); break;
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
    if (!gossip_identity_raise_boot(process->host, &process->identity, process->behind)) {
        SIM_SOMETIMES("a boot could not be made durable");
        return;
    }
    SIM_SOMETIMES("a broker caught up with its own boots");
    sim_trace(sim_host_sim(process->host), process->host, "goes on in boot %u", process->identity.boot);
    gossip_seal_renew(process->seal);
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

static void note_heard(void *user, const struct uuid *from, struct slice bytes)
{
    struct gossip_process *process = user;

    if (process->config->heard != NULL) process->config->heard(process->config->user, process->host, from, bytes);
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

static void publish_ring(struct gossip_process *process)
{
    struct key_holding holding;
    uint8_t bytes[KEY_HOLDING_SIZE_MAX];

    keyring_get_holding(process->ring, &holding);
    MESH_ASSERT(gossip_soft_set(process->gossip, sim_host_now_us(process->host), slice_of_string(GOSSIP_KEYS_SOFT),
                                slice_of(bytes, key_holding_encode(&holding, bytes))) == 0);
}

void gossip_process_changed_ring(struct gossip_process *process)
{
    publish_ring(process);
    gossip_process_drain(process);
    gossip_links_renew(&process->links);
    arm(process);
}

/* ---- the program ---- */

static void free_process(struct gossip_process *process)
{
    gossip_links_deinit(&process->links);
    gossip_free(process->gossip);
    gossip_seal_free(process->seal);
    keyring_free(process->ring);
    free(process);
}

static void stop(void *user, enum sim_stop how)
{
    struct gossip_process *process = user;

    (void)how;
    if (process->config->stopping != NULL)
        process->config->stopping(process->config->user, process->host, process);
    free_process(process);
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

struct gossip_options gossip_process_options(struct gossip_process *process)
{
    struct gossip_options options = process->config->options;
    struct gossip_self *self = &options.self;

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

void gossip_process_look_up(struct gossip_process *process)
{
    struct net_address seeds[GOSSIP_DNS_MAX];
    size_t count = process->config->look_up(process->config->user, seeds);

    /* Without an answer, what was known is kept. */
    if (count > 0) gossip_set_seeds(process->gossip, sim_host_now_us(process->host), seeds, count);
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
    gossip_links_init(&process->links, host, &process->identity, config->keys);
    if (!gossip_identity_load(host, config->keys != NULL, &process->identity)) {
        free_process(process);
        return NULL;
    }
    if (config->keys != NULL) {
        process->links.ring = process->ring = gossip_keys_load(config->keys, host, &process->identity.id);
        if (process->ring == NULL) {
            free_process(process);
            return NULL;
        }
    }
    process->seal = gossip_seal_new(host, &process->identity, config->keys, process->ring, config->takes_replays);
    options = gossip_process_options(process);
    options.seed = random_next(sim_host_random(host));
    MESH_ASSERT(gossip_new(&options, now_us, &process->gossip) == 0);
    process->links.gossip = process->gossip;
    process->links.drain = drain;
    process->links.heard = note_heard;
    process->links.drain_user = process;
    set_defects(process);
    if (process->ring != NULL) publish_ring(process);
    if (config->look_up != NULL)
        gossip_process_look_up(process);
    else
        gossip_set_seeds(process->gossip, now_us, config->seeds, config->seed_count);
    gossip_process_drain(process);
    return process;
}

static void datagram(void *user, const struct net_address *from, struct slice bytes)
{
    struct gossip_process *process = user;
    struct gossip_opened opened;

    if (gossip_seal_open(process->seal, bytes, &opened)) {
        note_heard(process, &opened.sender, opened.text);
        gossip_receive_packet(process->gossip, sim_host_now_us(process->host), &opened.sender, opened.boot, from, opened.text);
    }
    gossip_process_drain(process);
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
    struct gossip_process *process = user;

    if (!is_stream && process != NULL) gossip_seal_describe(process->seal, bytes, to, size);
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
