#include "sim/metadata_program.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/fs_whole.h"
#include "replication/coordinator/record.h"
#include "sim/consensus_program.h" /* consensus_server() */
#include "sim/sim_sometimes.h"
#ifdef MESH_TEST_SWITCHES
#include "replication/metadata/switches.h"
#endif

#include <stdio.h>
#include <stdlib.h>

#define DIRECTORY         "consensus"
#define SNAPSHOT_SIZE_MAX (4u << 20)
#define IDENTITY_SIZE     (UUID_SIZE + 16) /* the disk's name, the boot, a sum */
#define FRONTIER_SIZE     (UUID_SIZE + 32) /* broker, term, index, chain, a sum */
#define GOSSIP_US         SIM_SECOND       /* a frontier is said again */

struct metadata_process {
    struct sim_host *host;
    const struct metadata_config *config;
    struct raft_server self;
    uint64_t boot;
    struct node *node;
    struct raft_store *store;
    struct consensus_lane lane;
    struct metadata_links links;
    struct metadata_dirs dirs;
    struct buffer scratch;
    struct node_frontier frontier;
    uint64_t gossip_us, published;
    const struct image *image, *before; /* published last, and the one before; references */
    void *tenant;
    bool has_asked; /* the tenant, since the node was drained */
    bool is_restore_due, has_left;
    int error;             /* of the disk; nothing is stored any more */
    uint64_t failed_store; /* the first that was not done; 0: none was waiting */
    bool is_failure_told;
};

#define HOOK(process, name, ...) (process)->config->hooks->name((process)->config->user, __VA_ARGS__)

struct sim_host *metadata_process_host(const struct metadata_process *process)
{
    return process->host;
}

struct node *metadata_process_node(struct metadata_process *process)
{
    return process->node;
}

const struct raft_server *metadata_process_self(const struct metadata_process *process)
{
    return &process->self;
}

const struct metadata_dirs *metadata_process_dirs(const struct metadata_process *process)
{
    return &process->dirs;
}

uint64_t metadata_process_published(const struct metadata_process *process)
{
    return process->published;
}

uint64_t metadata_process_sent(const struct metadata_process *process)
{
    return process->links.sent;
}

uint64_t metadata_process_boot(const struct metadata_process *process)
{
    return process->boot;
}

void *metadata_process_tenant(struct metadata_process *process)
{
    return process->tenant;
}

bool metadata_process_has_left(const struct metadata_process *process)
{
    return process->has_left;
}

/* ---- identity ---- */

/* The disk's name is made once; the boot rises with each start, also over a change of disks; both are durable before anybody hears of
 * them. False: the disk failed. */
static bool load_identity(struct metadata_process *process)
{
    struct fs *fs = sim_host_fs(process->host);
    uint32_t number = sim_host_index(process->host);
    struct buffer *bytes = &process->scratch;
    uint8_t file[IDENTITY_SIZE];
    int err = fs_read_whole(fs, "identity", IDENTITY_SIZE, bytes);

    process->self = consensus_server(number, process->config->generations[number]);
    process->boot = (uint64_t)process->config->generations[number] << 20;
    if (err != 0 && err != MESH_ENOTFOUND) return false;
    if (err == 0) {
        if (bytes->size != IDENTITY_SIZE || sim_hash_bytes(1, bytes->data, IDENTITY_SIZE - 8) != le_load64(bytes->data + IDENTITY_SIZE - 8))
            return false;
        memcpy(process->self.dir.bytes, bytes->data, UUID_SIZE);
        process->boot = le_load64(bytes->data + UUID_SIZE);
    }
    process->boot++;
    memcpy(file, process->self.dir.bytes, UUID_SIZE);
    le_store64(file + UUID_SIZE, process->boot);
    le_store64(file + UUID_SIZE + 8, sim_hash_bytes(1, file, IDENTITY_SIZE - 8));
    return fs_replace(fs, ".", "identity", "identity.new", slice_of(file, sizeof(file))) == 0;
}

/* ---- snapshots ---- */

/* The image that the store's newest snapshot holds. */
static int read_image(struct metadata_process *process, struct image **ret_image)
{
    struct raft_position position;
    struct raft_config config;
    struct buffer *bytes = &process->scratch;
    uint64_t total = 0;
    size_t size = 0;
    int err = raft_store_snapshot_info(process->store, &position, &config, &total);

    if (err != 0) return err;
    if (total > SNAPSHOT_SIZE_MAX) return MESH_ECORRUPT;
    buffer_clear(bytes);
    MESH_ASSERT(buffer_reserve(bytes, (size_t)total + 1) == 0);
    err = raft_store_snapshot_read(process->store, position.index, 0, bytes->data, (size_t)total, &size);
    return err != 0 ? err : image_decode(slice_of(bytes->data, size), ret_image);
}

static void restore(struct metadata_process *process)
{
    struct image *image = NULL;
    int err = read_image(process, &image);

    process->is_restore_due = false;
    SIM_SOMETIMES("an image was restored from a snapshot that came from elsewhere");
    node_restored(process->node, sim_host_now_us(process->host), err, image);
    image_unref(image);
}

static void take_snapshot(struct metadata_process *process, const struct node_output *output)
{
    const struct image *image = output->image;

    if (process->config->driver_defects >> METADATA_DRIVER_INDEX_APART & 1 && process->before != NULL) image = process->before;
    buffer_clear(&process->scratch);
    MESH_ASSERT(image_encode(image, &process->scratch) == 0);
    consensus_lane_snapshot(&process->lane, &output->position, output->config, buffer_slice(&process->scratch));
}

/* ---- outputs ---- */

static void store(struct metadata_process *process, const struct node_output *output, enum raft_output_type type)
{
    struct raft_output job = {.type = type,
                              .store = output->store,
                              .term = output->term,
                              .voted_for = output->voted_for,
                              .damaged_until = output->damaged_until,
                              .forced_term = output->forced_term,
                              .entries = output->entries,
                              .entry_count = output->entry_count,
                              .committed = output->committed,
                              .position = output->position,
                              .config = output->config,
                              .message = output->bytes,
                              .offset = output->offset,
                              .total = output->total,
                              .is_last = output->is_last};

    if (process->error != 0 && process->failed_store == 0) process->failed_store = output->store;
    consensus_lane_store(&process->lane, &job);
}

static void read_snapshot(struct metadata_process *process, const struct node_output *output)
{
    struct raft_output job = {.context = output->read, .index = output->index, .offset = output->offset, .size = output->size};

    consensus_lane_read(&process->lane, &job);
}

static void gossip(struct metadata_process *process)
{
    struct sim *sim = sim_host_sim(process->host);
    uint8_t bytes[FRONTIER_SIZE];

    process->gossip_us = sim_host_now_us(process->host) + GOSSIP_US;
    memcpy(bytes, process->self.broker.bytes, UUID_SIZE);
    le_store64(bytes + UUID_SIZE, process->frontier.term);
    le_store64(bytes + UUID_SIZE + 8, process->frontier.index);
    le_store64(bytes + UUID_SIZE + 16, process->frontier.chain);
    le_store64(bytes + UUID_SIZE + 24, sim_hash_bytes(3, bytes, UUID_SIZE + 24));
    for (uint32_t i = 0; i < sim_host_count(sim); i++) {
        struct net_address to = sim_host_address(sim_host_at(sim, i));

        if (i != sim_host_index(process->host)) sim_send(process->host, &to, slice_of(bytes, sizeof(bytes)));
    }
}

static void publish(struct metadata_process *process, const struct image *image)
{
    struct node_status status;

    node_get_status(process->node, &status);
    image_unref(process->before);
    process->before = process->image;
    process->image = image_ref(image);
    process->published = image_applied_index(image);
    if (process->tenant != NULL) process->config->tenant->published(process->tenant, image);
    else metadata_dirs_update(&process->dirs, image, status.node_id); /* what the disk refuses now is made up for with a later image */
}

static void carry_out(struct metadata_process *process, const struct node_output *output)
{
    HOOK(process, output, process, output);
    switch (output->type) {
    case NODE_OUTPUT_SEND: metadata_links_send(&process->links, &output->peer, output->link, output->bytes); break;
    case NODE_OUTPUT_STORE_STATE: store(process, output, RAFT_OUTPUT_STORE_STATE); break;
    case NODE_OUTPUT_STORE_ENTRIES: store(process, output, RAFT_OUTPUT_STORE_ENTRIES); break;
    case NODE_OUTPUT_STORE_CHUNK: store(process, output, RAFT_OUTPUT_STORE_CHUNK); break;
    case NODE_OUTPUT_SNAPSHOT_TAKE: take_snapshot(process, output); break;
    case NODE_OUTPUT_SNAPSHOT_READ: read_snapshot(process, output); break;
    case NODE_OUTPUT_RESTORE: process->is_restore_due = true; break;
    case NODE_OUTPUT_PUBLISH: publish(process, output->image); break;
    case NODE_OUTPUT_FRONTIER:
        process->frontier = output->frontier;
        gossip(process);
        break;
    case NODE_OUTPUT_LEFT:
        process->has_left = true;
        if (process->tenant != NULL) process->config->tenant->leave(process->tenant);
        break;
    case NODE_OUTPUT_EVENT: sim_trace(sim_host_sim(process->host), process->host, "%s", output->text); break;
    case NODE_OUTPUT_STORE_RECOVERY: /* nobody is given up or removed in this world (test/unit/replication/test_node_recover.c) */
    case NODE_OUTPUT_RECOVERED: MESH_ASSERT(false); break;
    case NODE_OUTPUT_ANSWER:
        if ((output->cookie & METADATA_TENANT_COOKIE) != 0) process->config->tenant->answered(process->tenant, output);
        break;
    case NODE_OUTPUT_WANT_LINK: /* everybody is linked to everybody */
    case NODE_OUTPUT_STATUS: break;
    }
}

/* After every event of the node. */
static void drain(struct metadata_process *process)
{
    struct node_output output;

    for (;;) {
        uint64_t now_us = sim_host_now_us(process->host);

        while (node_next_output(process->node, now_us, &output))
            carry_out(process, &output);
        if (process->is_restore_due) {
            restore(process);
        } else if (process->failed_store != 0 && !process->is_failure_told) {
            process->is_failure_told = true;
            node_store_failed(process->node, now_us, process->failed_store, process->error);
        } else {
            return;
        }
    }
}

static uint64_t tenant_turn(struct metadata_process *process)
{
    const struct metadata_tenant *tenant = process->config->tenant;

    if (process->tenant == NULL) return SIM_NEVER;
    tenant->turn(process->tenant);
    if (process->has_asked) drain(process);
    process->has_asked = false;
    return tenant->due_us(process->tenant);
}

/* The end of every event. */
static void arm(struct metadata_process *process)
{
    uint64_t tenant_us = tenant_turn(process), due_us = node_due_us(process->node), lane_us = consensus_lane_due_us(&process->lane);

    if (tenant_us < due_us) due_us = tenant_us;
    if (lane_us < due_us && process->error == 0) due_us = lane_us;
    if (process->links.due_us < due_us) due_us = process->links.due_us;
    sim_set_timer(process->host, process->gossip_us < due_us ? process->gossip_us : due_us);
}

void metadata_process_drain(struct metadata_process *process)
{
    drain(process);
    arm(process);
}

int metadata_process_request(struct metadata_process *process, enum node_op op, struct slice body, uint64_t timeout_us, uint64_t cookie)
{
    MESH_ASSERT((cookie & METADATA_TENANT_COOKIE) != 0);
    process->has_asked = true;
    return node_request(process->node, sim_host_now_us(process->host), op, body, timeout_us, cookie);
}

/* ---- the disk ---- */

static void doing(void *user, const struct consensus_job *job, bool is_done)
{
    struct metadata_process *process = user;

    HOOK(process, doing, process, job, is_done);
}

static void tell_read(struct metadata_process *process, const struct consensus_job *job)
{
    struct node_snapshot snapshot = {job->position, *job->config, job->total, buffer_slice(&job->bytes)};

    node_snapshot_bytes(process->node, sim_host_now_us(process->host), job->context, job->error, &snapshot);
}

static void tell(struct metadata_process *process)
{
    uint64_t now_us = sim_host_now_us(process->host);
    struct consensus_job *job;

    while ((job = consensus_lane_told(&process->lane, now_us)) != NULL) {
        if (job->type == CONSENSUS_JOB_SNAPSHOT) {
            SIM_SOMETIMES_IF(job->error == 0, "a snapshot of the image was taken");
            node_snapshot_taken(process->node, now_us, job->position.index, job->error);
        } else if (job->type == CONSENSUS_JOB_SNAPSHOT_READ) {
            tell_read(process, job);
        } else if (job->error != 0) {
            SIM_SOMETIMES("a chunk of a snapshot was refused by its store");
            node_store_failed(process->node, now_us, job->store, job->error);
        } else {
            node_stored(process->node, now_us, job->store);
        }
        drain(process);
        consensus_job_free(job);
    }
}

/* The disk failed: what waits is never done. */
static void get_stuck(struct metadata_process *process, int error)
{
    process->error = error;
    list_for_each(node, &process->lane.waiting)
    {
        const struct consensus_job *job = container_of(node, struct consensus_job, node);

        if (job->store != 0 && process->failed_store == 0) process->failed_store = job->store;
    }
    HOOK(process, stuck, process, error);
    drain(process);
}

static void run_lane(struct metadata_process *process)
{
    int err;

    if (process->error != 0) return;
    tell(process);
    err = consensus_lane_tick(&process->lane, sim_host_now_us(process->host));
    if (err != 0) get_stuck(process, err);
}

/* ---- links ---- */

static void up(void *user, const struct raft_server *peer)
{
    struct metadata_process *process = user;

    node_link_up(process->node, sim_host_now_us(process->host), peer);
    drain(process);
}

static void down(void *user, const struct raft_server *peer)
{
    struct metadata_process *process = user;

    node_link_down(process->node, sim_host_now_us(process->host), &peer->broker);
    drain(process);
}

static void receive(void *user, const struct raft_server *from, enum node_link link, struct slice message)
{
    struct metadata_process *process = user;

    node_receive(process->node, sim_host_now_us(process->host), &from->broker, link, message);
    drain(process);
}

static void adopt(void *user, uint64_t stream, struct slice first)
{
    struct metadata_process *process = user;

    process->config->tenant->stream_arrived(process->tenant, stream, first);
}

/* ---- the program ---- */

static void removing(void *user, const struct uuid *topic_id, const char *name)
{
    struct metadata_process *process = user;

    HOOK(process, removing, process, topic_id, name);
}

static void stop(void *user, enum sim_stop how)
{
    struct metadata_process *process = user;

    (void)how;
    if (process->tenant != NULL) process->config->tenant->stop(process->tenant);
    consensus_lane_deinit(&process->lane);
    metadata_links_deinit(&process->links);
    node_free(process->node);
    raft_store_close(process->store);
    image_unref(process->image);
    image_unref(process->before);
    buffer_deinit(&process->scratch);
    free(process);
}

static void set_defects(struct metadata_process *process)
{
#ifdef MESH_TEST_SWITCHES
    for (int defect = 1; defect < NODE_DEFECT_COUNT; defect++) {
        if (process->config->node_defects >> defect & 1) node_bring_back(process->node, (enum node_defect)defect);
    }
#else
    MESH_ASSERT(process->config->node_defects == 0);
#endif
}

static bool is_founder(const struct metadata_process *process)
{
    struct raft_server first = consensus_server(sim_host_index(process->host), 0);

    return sim_host_index(process->host) < process->config->founder_count && raft_server_equal(&first, &process->self);
}

static int make_node(struct metadata_process *process, const struct raft_recovered *recovered)
{
    struct node_options options = process->config->node;
    bool is_first = (process->boot & 0xfffff) == 1; /* start on this disk */
    struct image *image = NULL;
    uint8_t seed[32];
    int err = 0;

    options.self = process->self;
    options.boot = process->boot;
    options.was_unclean = process->tenant != NULL ? !process->config->tenant->was_clean(process->tenant) : !is_first;
    options.has_lost_data = process->boot >> 20 != 0 && is_first;
    if (is_founder(process)) options.cluster_id = process->config->cluster_id;
    for (size_t i = 0; i < sizeof(seed); i += 8)
        le_store64(seed + i, random_next(sim_host_random(process->host)));
    memcpy(options.seed, seed, sizeof(seed));
    if (recovered->snapshot.index > 0) err = read_image(process, &image);
    if (err == 0) err = node_new(&options, recovered, image, sim_host_now_us(process->host), &process->node);
    image_unref(image);
    if (err == 0) set_defects(process);
    return err;
}

/* Of topics: a tenant's, or a stand-in for them. */
static int open_data(struct metadata_process *process)
{
    const struct metadata_tenant *tenant = process->config->tenant;

    if (tenant != NULL) return tenant->start(process->config->tenant_context, process, &process->tenant);
    process->dirs.defects = process->config->dirs_defects;
    process->dirs.removing = removing;
    process->dirs.user = process;
    return metadata_dirs_open(&process->dirs, sim_host_fs(process->host));
}

/* The store, the data and the node on what the disk holds. */
static int open_all(struct metadata_process *process, char *message, size_t message_size)
{
    const struct raft_recovered *recovered = NULL;
    struct raft_recovered copy;
    struct raft_store_report report;
    int err = raft_store_open(sim_host_fs(process->host), DIRECTORY, &process->self, metadata_chain, &process->store, &recovered, &report,
                              message, message_size);

    if (err != 0) return err;
    SIM_SOMETIMES_IF(recovered->damaged_until > 0, "a broker came back with a hole in its metadata log");
    SIM_SOMETIMES_IF(report.used_older_snapshot, "an older image replaced a damaged one");
    copy = *recovered;
    err = open_data(process);
    if (err == 0) err = make_node(process, &copy);
    if (err != 0) return err;
    HOOK(process, started, process, &copy);
    process->lane.store = process->store;
    process->lane.min_us = process->config->disk_min_us;
    process->lane.mean_us = process->config->disk_mean_us;
    process->lane.doing = doing;
    process->lane.user = process;
    return 0;
}

static void found(struct metadata_process *process)
{
    struct raft_server founders[CONSENSUS_HOSTS_MAX];
    int err;

    for (uint32_t i = 0; i < process->config->founder_count; i++)
        founders[i] = consensus_server(i, 0);
    err = node_found(process->node, sim_host_now_us(process->host), &process->config->cluster_id, founders, process->config->founder_count);
    MESH_ASSERT(err == 0 || err == MESH_EEXISTS);
}

static void introduce(struct metadata_process *process)
{
    char name[32];
    struct node_self self = {name, "host.example", "", 7777, 4};

    snprintf(name, sizeof(name), "broker-%u", sim_host_index(process->host));
    MESH_ASSERT(node_set_self(process->node, sim_host_now_us(process->host), &self) == 0);
}

static void *start(void *context, struct sim_host *host)
{
    struct metadata_process *process = calloc(1, sizeof(*process));
    char message[256] = "";
    bool is_good;
    int err = MESH_EIO;

    MESH_ASSERT(process != NULL);
    process->host = host;
    process->config = context;
    consensus_lane_init(&process->lane, host, NULL);
    is_good = load_identity(process);
    metadata_links_init(&process->links, host, &process->self);
    process->links.up = up;
    process->links.down = down;
    process->links.receive = receive;
    if (process->config->tenant != NULL) process->links.adopt = adopt;
    process->links.user = process;
    if (is_good) err = open_all(process, message, sizeof(message));
    if (err != 0) {
        sim_trace(sim_host_sim(host), host, "does not start: %d, %s", err, message);
        HOOK(process, refused, host, err, message);
        stop(process, SIM_STOP_KILL);
        return NULL;
    }
    if (is_founder(process)) found(process);
    drain(process);
    introduce(process);
    process->gossip_us = sim_host_now_us(host) + GOSSIP_US;
    metadata_process_drain(process);
    return process;
}

static bool is_tenants(const struct metadata_process *process, uint64_t stream)
{
    return process->tenant != NULL && process->config->tenant->owns(process->tenant, stream);
}

static void stream_opened(void *user, uint64_t stream, bool is_inbound, const struct net_address *peer)
{
    struct metadata_process *process = user;

    (void)peer;
    if (!is_inbound && is_tenants(process, stream)) process->config->tenant->stream_opened(process->tenant, stream);
    else metadata_links_opened(&process->links, stream, is_inbound);
    if (process->tenant != NULL) arm(process);
}

static void stream_bytes(void *user, uint64_t stream, struct slice bytes)
{
    struct metadata_process *process = user;

    if (is_tenants(process, stream)) process->config->tenant->stream_bytes(process->tenant, stream, bytes);
    else metadata_links_bytes(&process->links, stream, bytes);
    arm(process);
}

static void stream_writable(void *user, uint64_t stream)
{
    struct metadata_process *process = user;

    if (!is_tenants(process, stream)) {
        metadata_links_writable(&process->links, stream);
        return;
    }
    process->config->tenant->stream_writable(process->tenant, stream);
    arm(process);
}

static void stream_closed(void *user, uint64_t stream, enum sim_stream_end how)
{
    struct metadata_process *process = user;

    (void)how;
    if (is_tenants(process, stream)) process->config->tenant->stream_closed(process->tenant, stream);
    else metadata_links_closed(&process->links, stream);
    arm(process);
}

static void datagram(void *user, const struct net_address *from, struct slice bytes)
{
    struct metadata_process *process = user;
    struct node_frontier frontier;
    struct uuid broker;

    (void)from;
    if (bytes.size != FRONTIER_SIZE || sim_hash_bytes(3, bytes.data, UUID_SIZE + 24) != le_load64(bytes.data + UUID_SIZE + 24)) return;
    memcpy(broker.bytes, bytes.data, UUID_SIZE);
    frontier = (struct node_frontier){le_load64(bytes.data + UUID_SIZE), le_load64(bytes.data + UUID_SIZE + 8),
                                      le_load64(bytes.data + UUID_SIZE + 16)};
    node_heard_frontier(process->node, sim_host_now_us(process->host), &broker, &frontier);
    metadata_process_drain(process);
}

static void timer(void *user)
{
    struct metadata_process *process = user;
    uint64_t now_us = sim_host_now_us(process->host);

    run_lane(process);
    if (process->links.due_us <= now_us) metadata_links_tick(&process->links);
    if (process->gossip_us <= now_us) gossip(process);
    if (node_due_us(process->node) <= now_us) {
        node_tick(process->node, now_us);
        drain(process);
    }
    arm(process);
}

const struct sim_program metadata_program = {.name = "metadata",
                                             .start = start,
                                             .datagram = datagram,
                                             .stream_opened = stream_opened,
                                             .stream_bytes = stream_bytes,
                                             .stream_writable = stream_writable,
                                             .stream_closed = stream_closed,
                                             .timer = timer,
                                             .stop = stop};
