#include "sim/founding_program.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/fs_whole.h"
#include "cmd/broker/metadata/founding_file.h"
#include "replication/founding/message.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

#define SEAL_SIZE 24 /* sender and sum */

struct founding_process {
    struct sim_host *host;
    struct founding_config *config;
    struct founding *founding;
    struct raft_server self;
    uint64_t pending_store, pending_due_us; /* a store that waits for its turn; 0: none */
    struct founding_state pending_state;
    uint8_t room[SIM_DATAGRAM_MAX];
};

struct founding *founding_process_core(struct founding_process *process)
{
    return process->founding;
}

const struct raft_server *founding_process_server(const struct founding_process *process)
{
    return &process->self;
}

/* ---- identity ---- */

static struct uuid fresh_uuid(struct sim_host *host)
{
    struct uuid uuid;

    le_store64(uuid.bytes, random_next(sim_host_random(host)));
    le_store32(uuid.bytes + 8, sim_host_index(host) + 1);
    le_store32(uuid.bytes + 12, (uint32_t)random_next(sim_host_random(host)));
    return uuid;
}

uint32_t founding_host_of(const struct uuid *uuid)
{
    return le_load32(uuid->bytes + 8) - 1;
}

/* The broker of this disk; a new one on an empty disk, durable before anything else is done. */
static bool load_identity(struct sim_host *host, struct raft_server *ret_self)
{
    struct fs *fs = sim_host_fs(host);
    struct buffer bytes = BUFFER_INIT;
    struct raft_server self;
    int err = fs_read_whole(fs, "identity", 64, &bytes);

    self.broker = fresh_uuid(host); /* one after the other: chance has an order */
    self.dir = fresh_uuid(host);
    if (err == 0 && bytes.size == sizeof(self))
        memcpy(&self, bytes.data, sizeof(self));
    else if (err == MESH_ENOTFOUND)
        err = fs_replace(fs, ".", "identity", "identity.new", slice_of(&self, sizeof(self)));
    buffer_deinit(&bytes);
    *ret_self = self;
    return err == 0;
}

/* ---- outputs ---- */

static void send_message(struct founding_process *process, const struct founding_output *output)
{
    uint8_t *room = process->room;

    MESH_ASSERT(SEAL_SIZE + output->message.size <= sizeof(process->room));
    memcpy(room, process->self.broker.bytes, UUID_SIZE);
    le_store64(room + 16, sim_hash_bytes(sim_hash_bytes(9, room, 16), output->message.data, output->message.size));
    memcpy(room + SEAL_SIZE, output->message.data, output->message.size);
    sim_send(process->host, &output->address, slice_of(room, SEAL_SIZE + output->message.size));
}

static void order_store(struct founding_process *process, const struct founding_output *output)
{
    uint64_t wait_us = process->config->disk_us;

    MESH_ASSERT(process->pending_store == 0); /* one at a time */
    process->pending_store = output->store;
    process->pending_state = *output->state;
    process->pending_due_us = sim_host_now_us(process->host) + (wait_us == 0 ? 0 : random_below(sim_host_random(process->host), wait_us));
}

static void tell(struct founding_process *process, const struct founding_output *output)
{
    sim_trace(sim_host_sim(process->host), process->host, "%s: %s | %s", output->is_warning ? "warning" : "info", output->text, output->cure);
}

static void drain(struct founding_process *process)
{
    struct founding_output output;
    bool is_marked = false;

    while (founding_next_output(process->founding, sim_host_now_us(process->host), &output)) {
        switch (output.type) {
        case FOUNDING_OUTPUT_SEND: send_message(process, &output); break;
        case FOUNDING_OUTPUT_STORE: order_store(process, &output); break;
        case FOUNDING_OUTPUT_MARK:
            process->config->marker = output.value.cluster;
            is_marked = true;
            break;
        case FOUNDING_OUTPUT_LOG: tell(process, &output); break;
        case FOUNDING_OUTPUT_DONE: break;
        }
        if (process->config->output != NULL) process->config->output(process->config->user, process->host, process, &output);
    }
    if (!is_marked) return;
    founding_marked(process->founding, sim_host_now_us(process->host), 0);
    drain(process);
}

static void arm(struct founding_process *process)
{
    uint64_t due_us = founding_due_us(process->founding);

    if (process->pending_store != 0 && process->pending_due_us < due_us) due_us = process->pending_due_us;
    sim_set_timer(process->host, due_us == FOUNDING_NEVER ? SIM_NEVER : due_us);
}

void founding_process_drain(struct founding_process *process)
{
    drain(process);
    arm(process);
}

/* ---- the program ---- */

static void set_defects(struct founding_process *process)
{
#ifdef MESH_TEST_SWITCHES
    for (int defect = 1; defect < FOUNDING_DEFECT_COUNT; defect++) {
        if (process->config->defects >> defect & 1) founding_bring_back(process->founding, (enum founding_defect)defect);
    }
#else
    MESH_ASSERT(process->config->defects == 0);
#endif
}

static bool open_core(struct founding_process *process)
{
    struct sim_host *host = process->host;
    struct founding_options options = process->config->options;
    static const struct uuid none;
    struct founding_state state;
    char message[512];
    int err;

    if (!load_identity(host, &process->self)) return false;
    err = founding_file_load(sim_host_fs(host), &process->self, &none, &state, message, sizeof(message));
    if (err != 0) { /* fs_mem fails when the process was killed in the midst of this; a file that is damaged is a defect */
        if (err == MESH_ECORRUPT) sim_fail(sim_host_sim(host), "S13 a founding can be read", "h%u: %s", sim_host_index(host), message);
        return false;
    }
    options.self = process->self;
    options.address = sim_host_address(host);
    if (random_below(sim_host_random(host), 2) == 0) memset(options.address.ip, 0, sizeof(options.address.ip));
    options.fresh_cluster = fresh_uuid(host);
    options.seed = random_next(sim_host_random(host));
    options.marker = process->config->marker;
    MESH_ASSERT(founding_new(&options, &state, sim_host_now_us(host), &process->founding) == 0);
    set_defects(process);
    return true;
}

static void *start(void *context, struct sim_host *host)
{
    struct founding_process *process = calloc(1, sizeof(*process));

    MESH_ASSERT(process != NULL);
    process->host = host;
    process->config = context;
    if (!open_core(process)) {
        free(process);
        return NULL;
    }
    if (process->config->started != NULL) process->config->started(process->config->user, host, process);
    if (process->config->options.mode == FOUNDING_JOIN)
        founding_set_seeds(process->founding, sim_host_now_us(host), process->config->seeds, process->config->seed_count);
    founding_process_drain(process);
    return process;
}

static void stop(void *user, enum sim_stop how)
{
    struct founding_process *process = user;

    (void)how;
    founding_free(process->founding);
    free(process);
}

static void datagram(void *user, const struct net_address *from, struct slice bytes)
{
    struct founding_process *process = user;
    struct uuid sender;

    if (bytes.size < SEAL_SIZE) return;
    if (sim_hash_bytes(sim_hash_bytes(9, bytes.data, 16), bytes.data + SEAL_SIZE, bytes.size - SEAL_SIZE) != le_load64(bytes.data + 16)) return;
    memcpy(sender.bytes, bytes.data, UUID_SIZE);
    founding_receive(process->founding, sim_host_now_us(process->host), &sender, from,
                     slice_of(bytes.data + SEAL_SIZE, bytes.size - SEAL_SIZE));
    founding_process_drain(process);
}

static void finish_store(struct founding_process *process)
{
    uint64_t store = process->pending_store;
    int err = founding_file_store(sim_host_fs(process->host), &process->self, &process->pending_state);

    process->pending_store = 0;
    if (err == 0)
        founding_stored(process->founding, sim_host_now_us(process->host), store);
    else
        founding_store_failed(process->founding, sim_host_now_us(process->host), err);
}

static void timer(void *user)
{
    struct founding_process *process = user;
    uint64_t now_us = sim_host_now_us(process->host);

    if (process->pending_store != 0 && process->pending_due_us <= now_us) finish_store(process);
    drain(process);
    if (founding_due_us(process->founding) <= now_us) founding_tick(process->founding, now_us);
    founding_process_drain(process);
}

static void stream_opened(void *user, uint64_t stream, bool is_inbound, const struct net_address *peer)
{
    struct founding_process *process = user;

    (void)is_inbound, (void)peer;
    sim_stream_close(process->host, stream);
}

static void stream_bytes(void *user, uint64_t stream, struct slice bytes)
{
    (void)user, (void)stream, (void)bytes;
}

static void stream_writable(void *user, uint64_t stream)
{
    (void)user, (void)stream;
}

static void stream_closed(void *user, uint64_t stream, enum sim_stream_end how)
{
    (void)user, (void)stream, (void)how;
}

static void describe(void *user, bool is_stream, struct slice bytes, char *to, size_t size)
{
    static const char *const kinds[] = {"?", "TELL", "ASK", "PREPARE", "ACCEPT"};
    struct founding_message message;

    (void)user;
    if (is_stream || bytes.size < SEAL_SIZE) return;
    if (founding_message_decode(slice_of(bytes.data + SEAL_SIZE, bytes.size - SEAL_SIZE), &message) != 0) return;
    snprintf(to, size, "%s of h%u: phase %d, promised %llu/h%u, accepted %llu/h%u, refusal %d, knows %zu", kinds[message.kind],
             founding_host_of(&message.sender.broker), message.phase, (unsigned long long)message.promised.round,
             founding_host_of(&message.promised.proposer.broker), (unsigned long long)message.accepted.round,
             founding_host_of(&message.accepted.proposer.broker), message.refusal, message.mention_count);
}

const struct sim_program founding_program = {.name = "founding",
                                             .start = start,
                                             .datagram = datagram,
                                             .stream_opened = stream_opened,
                                             .stream_bytes = stream_bytes,
                                             .stream_writable = stream_writable,
                                             .stream_closed = stream_closed,
                                             .timer = timer,
                                             .stop = stop,
                                             .describe = describe};
