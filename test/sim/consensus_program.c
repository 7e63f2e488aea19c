#include "sim/consensus_program.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/fs_whole.h"
#include "sim/sim_sometimes.h"
#ifdef MESH_TEST_SWITCHES
#include "replication/consensus/switches.h"
#endif

#include <stdlib.h>

#define DIRECTORY        "consensus"
#define SNAPSHOT_SIZE_MAX (1u << 20)
#define IDENTITY_SIZE    (UUID_SIZE + 8)

struct read {
    uint64_t context, index;
};

struct consensus_process {
    struct sim_host *host;
    const struct consensus_config *config;
    struct raft_server self;
    struct raft *raft;
    struct raft_store *store;
    struct consensus_lane lane;
    struct consensus_links links;
    struct consensus_machine machine;
    struct raft_position lagging; /* where the machine was an event before */
    uint64_t snapshot_index;      /* of the last one that was ordered */
    bool is_snapshot_under_way;
    struct read *reads;
    size_t read_count, read_capacity;
    struct buffer scratch;
    int error;
};

#define HOOK(process, name, ...)                                                                              \
    do {                                                                                                     \
        if ((process)->config->hooks != NULL && (process)->config->hooks->name != NULL)                      \
            (process)->config->hooks->name((process)->config->user, __VA_ARGS__);                            \
    } while (0)

struct sim_host *consensus_process_host(const struct consensus_process *process)
{
    return process->host;
}

struct raft *consensus_process_raft(struct consensus_process *process)
{
    return process->raft;
}

const struct raft_server *consensus_process_self(const struct consensus_process *process)
{
    return &process->self;
}

const struct consensus_machine *consensus_process_machine(const struct consensus_process *process)
{
    return &process->machine;
}

int consensus_process_error(const struct consensus_process *process)
{
    return process->error;
}

uint64_t consensus_process_sent(const struct consensus_process *process)
{
    return process->links.sent;
}

/* ---- identity ---- */

struct raft_server consensus_server(uint32_t host, uint32_t generation)
{
    struct raft_server server;

    le_store32(server.broker.bytes, host);
    le_store32(server.broker.bytes + 4, 0x6d657368);
    le_store64(server.broker.bytes + 8, sim_mix(host, 17));
    le_store32(server.dir.bytes, host);
    le_store32(server.dir.bytes + 4, generation);
    le_store64(server.dir.bytes + 8, sim_mix(sim_mix(host, generation), 19));
    return server;
}

uint32_t consensus_generation_of(const struct uuid *dir)
{
    return le_load32(dir->bytes + 4);
}

/* The directory's name is made once, and durable before anybody hears of it. False: the disk failed. */
static bool load_identity(struct consensus_process *process)
{
    struct fs *fs = sim_host_fs(process->host);
    uint32_t number = sim_host_index(process->host);
    struct buffer *bytes = &process->scratch;
    uint8_t file[IDENTITY_SIZE];
    int err = fs_read_whole(fs, "identity", IDENTITY_SIZE, bytes);

    process->self = consensus_server(number, process->config->generations[number]);
    if (err == 0 && bytes->size == IDENTITY_SIZE && sim_hash_bytes(1, bytes->data, UUID_SIZE) == le_load64(bytes->data + UUID_SIZE)) {
        memcpy(process->self.dir.bytes, bytes->data, UUID_SIZE);
        return true;
    }
    if (err != MESH_ENOTFOUND) return false;
    memcpy(file, process->self.dir.bytes, UUID_SIZE);
    le_store64(file + UUID_SIZE, sim_hash_bytes(1, file, UUID_SIZE));
    return fs_replace(fs, ".", "identity", "identity.new", slice_of(file, sizeof(file))) == 0;
}

/* ---- the machine's snapshots ---- */

static int load_snapshot(struct consensus_process *process)
{
    struct raft_position position;
    struct raft_config config;
    uint64_t total = 0;
    size_t size = 0;
    struct buffer *bytes = &process->scratch;
    int err = raft_store_snapshot_info(process->store, &position, &config, &total);

    if (err != 0) return err;
    if (total > SNAPSHOT_SIZE_MAX) return MESH_ECORRUPT;
    buffer_clear(bytes);
    MESH_ASSERT(buffer_reserve(bytes, (size_t)total + 1) == 0);
    err = raft_store_snapshot_read(process->store, position.index, 0, bytes->data, (size_t)total, &size);
    if (err != 0) return err;
    if (!consensus_machine_decode(&process->machine, slice_of(bytes->data, size))) return MESH_ECORRUPT;
    process->snapshot_index = process->machine.at.index;
    process->lagging = process->machine.at;
    HOOK(process, applied, process);
    return 0;
}

void consensus_process_snapshot(struct consensus_process *process)
{
    struct consensus_machine machine = process->machine;
    struct raft_status status;

    raft_get_status(process->raft, &status);
    if (process->is_snapshot_under_way || process->error != 0 || machine.at.index <= process->snapshot_index ||
        machine.at.index <= status.snapshot.index)
        return;
    if (process->config->driver_defects >> CONSENSUS_DRIVER_INDEX_APART & 1) {
        if (process->lagging.index <= process->snapshot_index) return;
        machine.at = process->lagging;
    }
    process->is_snapshot_under_way = true;
    process->snapshot_index = machine.at.index;
    consensus_machine_encode(&machine, process->config->snapshot_padding, &process->scratch);
    consensus_lane_snapshot(&process->lane, &machine.at, raft_get_committed_config(process->raft), buffer_slice(&process->scratch));
}

/* ---- outputs ---- */

static void apply(struct consensus_process *process, const struct raft_output *output)
{
    process->lagging = process->machine.at;
    for (size_t i = 0; i < output->entry_count; i++) {
        HOOK(process, applying, process, &output->entries[i]);
        consensus_machine_apply(&process->machine, &output->entries[i]);
        HOOK(process, applied, process);
    }
}

static void fail(struct consensus_process *process, int error)
{
    if (process->error != 0) return;
    process->error = error;
    sim_trace(sim_host_sim(process->host), process->host, "its disk failed: %d", error);
    HOOK(process, failed, process, error);
}

static void add_read(struct consensus_process *process, uint64_t context, uint64_t index)
{
    if (index == 0) {
        HOOK(process, read, process, context, 0);
        return;
    }
    if (process->read_count == process->read_capacity) {
        process->read_capacity = process->read_capacity == 0 ? 8 : process->read_capacity * 2;
        process->reads = realloc(process->reads, process->read_capacity * sizeof(process->reads[0]));
        MESH_ASSERT(process->reads != NULL);
    }
    process->reads[process->read_count++] = (struct read){context, index};
}

static void serve_reads(struct consensus_process *process)
{
    for (size_t i = 0; i < process->read_count;) {
        struct read read = process->reads[i];
        if (read.index > process->machine.at.index) {
            i++;
            continue;
        }
        process->reads[i] = process->reads[--process->read_count];
        HOOK(process, read, process, read.context, read.index);
    }
}

static void carry_out(struct consensus_process *process, const struct raft_output *output)
{
    int err;

    HOOK(process, output, process, output);
    switch (output->type) {
    case RAFT_OUTPUT_SEND: consensus_links_send(&process->links, &output->to, output->message); break;
    case RAFT_OUTPUT_STORE_STATE:
    case RAFT_OUTPUT_STORE_ENTRIES:
    case RAFT_OUTPUT_STORE_CHUNK: consensus_lane_store(&process->lane, output); break;
    case RAFT_OUTPUT_COMMIT: apply(process, output); break;
    case RAFT_OUTPUT_RESTORE:
        err = load_snapshot(process);
        if (err != 0) fail(process, err);
        break;
    case RAFT_OUTPUT_ROLE: break;
    case RAFT_OUTPUT_READ: add_read(process, output->context, output->index); break;
    case RAFT_OUTPUT_SNAPSHOT_READ: consensus_lane_read(&process->lane, output); break;
    }
}

static void take_outputs(struct consensus_process *process)
{
    uint64_t now_us = sim_host_now_us(process->host);
    struct raft_output output;

    while (raft_next_output(process->raft, now_us, &output))
        carry_out(process, &output);
}

/* After every event of the core. */
static void drain(struct consensus_process *process)
{
    int told = process->error;

    take_outputs(process);
    if (process->error != told) {
        raft_store_failed(process->raft, sim_host_now_us(process->host), process->error);
        take_outputs(process);
    }
    serve_reads(process);
    if (process->config->snapshot_every > 0 &&
        process->machine.at.index >= process->snapshot_index + process->config->snapshot_every)
        consensus_process_snapshot(process);
}

/* What was sent in this turn leaves together, as in the broker (peers/link.c). */
static void end_turn(struct consensus_process *process)
{
    uint64_t due_us = raft_due_us(process->raft), lane_us = consensus_lane_due_us(&process->lane);

    consensus_links_flush(&process->links);
    if (lane_us < due_us && process->error == 0) due_us = lane_us;
    sim_set_timer(process->host, due_us);
}

void consensus_process_drain(struct consensus_process *process)
{
    drain(process);
    end_turn(process);
}

void consensus_process_drain_more(struct consensus_process *process)
{
    drain(process);
}

/* ---- the disk ---- */

static void doing(void *user, const struct consensus_job *job, bool is_done)
{
    struct consensus_process *process = user;

    HOOK(process, doing, process, job, is_done);
}

static void tell_stored(struct consensus_process *process, uint64_t *store)
{
    if (*store == 0) return;
    raft_stored(process->raft, sim_host_now_us(process->host), *store);
    *store = 0;
    drain(process);
}

static void tell_snapshot(struct consensus_process *process, const struct consensus_job *job)
{
    uint64_t now_us = sim_host_now_us(process->host);

    if (job->type == CONSENSUS_JOB_SNAPSHOT) {
        process->is_snapshot_under_way = false;
        SIM_SOMETIMES_IF(job->error != 0, "a snapshot was not needed any more");
        if (job->error != 0) return;
        SIM_SOMETIMES("a snapshot was taken");
        raft_compact(process->raft, now_us, job->position.index);
    } else {
        raft_snapshot_bytes(process->raft, now_us, &job->to, job->position.index, job->offset, buffer_slice(&job->bytes),
                            job->total, job->error);
    }
    drain(process);
}

/* Ends that are due; several stores are told as one. */
static void tell(struct consensus_process *process)
{
    uint64_t now_us = sim_host_now_us(process->host), store = 0;
    struct consensus_job *job;

    while ((job = consensus_lane_told(&process->lane, now_us)) != NULL) {
        if (job->type == CONSENSUS_JOB_SNAPSHOT || job->type == CONSENSUS_JOB_SNAPSHOT_READ) {
            tell_stored(process, &store);
            tell_snapshot(process, job);
        } else if (job->error != 0) {
            SIM_SOMETIMES("a chunk of a snapshot was refused by the store");
            tell_stored(process, &store);
            raft_chunk_refused(process->raft, now_us, job->store);
            drain(process);
        } else {
            store = job->store;
        }
        consensus_job_free(job);
    }
    tell_stored(process, &store);
}

static void run_lane(struct consensus_process *process)
{
    int err;

    if (process->error != 0) return;
    tell(process);
    err = consensus_lane_tick(&process->lane, sim_host_now_us(process->host));
    if (err == 0) return;
    fail(process, err);
    raft_store_failed(process->raft, sim_host_now_us(process->host), err);
    drain(process);
}

/* ---- the program ---- */

static void stop(void *user, enum sim_stop how)
{
    struct consensus_process *process = user;

    (void)how;
    if (process->raft != NULL) HOOK(process, stopping, process);
    consensus_lane_deinit(&process->lane);
    consensus_links_deinit(&process->links);
    raft_free(process->raft);
    raft_store_close(process->store);
    buffer_deinit(&process->scratch);
    free(process->reads);
    free(process);
}

static void receive(void *user, const struct raft_server *from, struct slice message)
{
    struct consensus_process *process = user;

    raft_receive(process->raft, sim_host_now_us(process->host), from, message);
    drain(process);
}

static void set_defects(struct consensus_process *process)
{
#ifdef MESH_TEST_SWITCHES
    for (int defect = 1; defect < RAFT_DEFECT_COUNT; defect++) {
        if (process->config->core_defects >> defect & 1) raft_bring_back(process->raft, (enum raft_defect)defect);
    }
#else
    MESH_ASSERT(process->config->core_defects == 0 && process->config->store_defects == 0);
#endif
}

/* The store and the core on what the disk holds. */
static int open_all(struct consensus_process *process, char *message, size_t message_size)
{
    const struct consensus_config *config = process->config;
    struct raft_options options = config->options;
    const struct raft_recovered *recovered = NULL;
    struct raft_store_report report;
    bool has_snapshot;
    int err = raft_store_open(sim_host_fs(process->host), DIRECTORY, &process->self, consensus_chain, &process->store, &recovered,
                              &report, message, message_size);

    if (err == 0 && recovered->damaged_until == RAFT_SET_BACK) {
        snprintf(message, message_size, "its disk was set back, and has to be replaced");
        return CONSENSUS_SET_BACK;
    }
    if (err == 0) err = raft_store_begin_life(process->store, random_next(sim_host_random(process->host)));
    if (err != 0) return err;
    options.self = process->self;
    options.seed = random_next(sim_host_random(process->host));
    options.chain = consensus_chain;
    has_snapshot = recovered->snapshot.index > 0;
    err = raft_new(&options, recovered, sim_host_now_us(process->host), &process->raft);
    if (err != 0) return err;
    set_defects(process);
    HOOK(process, started, process, recovered, &report);
    consensus_lane_init(&process->lane, process->host, process->store);
    process->lane.min_us = config->disk_min_us;
    process->lane.mean_us = config->disk_mean_us;
    process->lane.is_bundling = true;
    process->lane.doing = doing;
    process->lane.user = process;
    return has_snapshot ? load_snapshot(process) : 0;
}

static bool is_founder(const struct consensus_process *process)
{
    const struct raft_config *founders = &process->config->founders;

    for (unsigned i = 0; i < founders->voter_count; i++) {
        if (raft_server_equal(&founders->voters[i], &process->self)) return true;
    }
    return false;
}

static void *start(void *context, struct sim_host *host)
{
    struct consensus_process *process = calloc(1, sizeof(*process));
    char message[256] = "";
    int err;

    MESH_ASSERT(process != NULL);
    process->host = host;
    process->config = context;
    consensus_lane_init(&process->lane, host, NULL);
    if (!load_identity(process)) {
        consensus_links_init(&process->links, host, &process->self, &process->config->mail);
        stop(process, SIM_STOP_KILL);
        return NULL;
    }
    consensus_links_init(&process->links, host, &process->self, &process->config->mail);
    process->links.receive = receive;
    process->links.user = process;
    err = open_all(process, message, sizeof(message));
    if (err != 0) {
        sim_trace(sim_host_sim(host), host, "does not start: %d, %s", err, message);
        HOOK(process, refused, host, err, message);
        stop(process, SIM_STOP_KILL);
        return NULL;
    }
    if (is_founder(process)) {
        err = raft_bootstrap(process->raft, sim_host_now_us(host), &process->config->founders, slice_of("founded", 7));
        MESH_ASSERT(err == 0 || err == MESH_EEXISTS);
    }
    consensus_process_drain(process);
    return process;
}

static void stream_opened(void *user, uint64_t stream, bool is_inbound, const struct net_address *peer)
{
    struct consensus_process *process = user;

    (void)peer;
    consensus_links_opened(&process->links, stream, is_inbound);
}

static void stream_bytes(void *user, uint64_t stream, struct slice bytes)
{
    struct consensus_process *process = user;

    consensus_links_bytes(&process->links, stream, bytes);
    end_turn(process);
}

static void stream_writable(void *user, uint64_t stream)
{
    struct consensus_process *process = user;

    consensus_links_writable(&process->links, stream);
}

static void stream_closed(void *user, uint64_t stream, enum sim_stream_end how)
{
    struct consensus_process *process = user;

    (void)how;
    consensus_links_closed(&process->links, stream);
}

static void datagram(void *user, const struct net_address *from, struct slice bytes)
{
    (void)user, (void)from, (void)bytes;
}

static void timer(void *user)
{
    struct consensus_process *process = user;
    uint64_t now_us = sim_host_now_us(process->host);

    run_lane(process);
    if (raft_due_us(process->raft) <= now_us) {
        raft_tick(process->raft, now_us);
        drain(process);
    }
    end_turn(process);
}

const struct sim_program consensus_program = {.name = "consensus",
                                              .start = start,
                                              .datagram = datagram,
                                              .stream_opened = stream_opened,
                                              .stream_bytes = stream_bytes,
                                              .stream_writable = stream_writable,
                                              .stream_closed = stream_closed,
                                              .timer = timer,
                                              .stop = stop};
