/* metadata/metadata.c - opening, the node's outputs carried out, and what is known. */
#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "cmd/broker/metadata/metadata_internal.h"
#include "cmd/broker/metadata/recovery_file.h"
#include "cmd/broker/operate/events.h"
#include "cmd/broker/peers/peer_users.h"
#include "crypto/crypto.h"

#include <stdio.h>
#include <stdlib.h>

#define ELECTION_MS     1000

uint64_t metadata_now_us(void)
{
    return clock_monotonic_ns() / 1000;
}

void metadata_options_init(struct metadata_options *options, struct fs *fs)
{
    *options = (struct metadata_options){
        .fs = fs,
        .partition_count_default = 1,
        .replication_factor_default = 3,
        .election_ms = ELECTION_MS,
        .moves_per_broker = 2,
        .replace_ms = 600000,
        .spread_quiet_ms = 60000,
    };
}

/* ---- outputs ---- */

/* A node whose disk cannot even be asked for want of memory goes on as one whose disk has failed: it says no more. */
static void store(struct metadata *metadata, const struct node_output *output)
{
    const struct disk_state state = {output->term,      output->damaged_until, output->forced_term,
                                     output->voted_for, output->others,        output->other_count};
    struct disk *disk = metadata->disk;
    int err;

    switch (output->type) {
    case NODE_OUTPUT_STORE_STATE: err = disk_store_state(disk, output->store, &state); break;
    case NODE_OUTPUT_STORE_ENTRIES:
        err = disk_store_entries(disk, output->store, output->committed, output->entries, output->entry_count);
        break;
    case NODE_OUTPUT_STORE_RECOVERY: err = disk_store_recovery(disk, output->store, output->bytes); break;
    default:
        err = disk_store_chunk(disk, output->store, &output->position, output->config, output->offset, output->bytes, output->total,
                               output->is_last);
        break;
    }
    if (err != 0) disk_fail(disk, output->store, err);
}

static void tell_registered(struct metadata *metadata, const struct image *image)
{
    if (metadata->peers == NULL) return;
    for (size_t i = 0; i < image_broker_count(image); i++)
        (void)peers_set_registered(metadata->peers, &image_broker_at(image, i)->broker_id, true);
}

static void log_event(const struct node_output *output)
{
    static const enum log_level levels[] = {
        [NODE_LEVEL_INFO] = LOG_LEVEL_INFO, [NODE_LEVEL_WARN] = LOG_LEVEL_WARN, [NODE_LEVEL_ERROR] = LOG_LEVEL_ERROR};

    log_write(levels[output->level], "%s", output->text);
}

static void note_status(struct metadata *metadata)
{
    bool had_session = metadata->status.has_session, was_set_back = metadata->status.is_set_back;

    node_get_status(metadata->node, &metadata->status);
    if (had_session && !metadata->status.has_session) metadata->session_lost_us = metadata_now_us();
    if (metadata->status.has_session) metadata->session_lost_us = 0;
    if (metadata->status.is_set_back && !was_set_back)
        event_note(metadata->events, EVENT_LOSS, LOG_LEVEL_ERROR, "this broker votes no more: its data directory is a copy or an older state of one that other brokers have met, and has forgotten "
                  "what that one told them. If a copy of it runs elsewhere, stop one of the two; then restart this broker: it goes on with its records, "
                  "as a new voter");
    snprintf(metadata->failure, sizeof(metadata->failure), "%s", metadata->status.failure);
    metadata->status.failure = metadata->failure;
    metadata->has_changed = true;
}

static void carry_out(struct metadata *metadata, const struct node_output *output)
{
    uint64_t now_us = metadata_now_us();

    switch (output->type) {
    case NODE_OUTPUT_SEND: metadata_send(metadata, output); break;
    case NODE_OUTPUT_WANT_LINK: metadata_want_link(metadata, output); break;
    case NODE_OUTPUT_STORE_STATE:
    case NODE_OUTPUT_STORE_ENTRIES:
    case NODE_OUTPUT_STORE_CHUNK:
    case NODE_OUTPUT_STORE_RECOVERY: store(metadata, output); break;
    case NODE_OUTPUT_SNAPSHOT_TAKE:
        if (disk_take_snapshot(metadata->disk, output->image, &output->position, output->config) != 0)
            node_snapshot_taken(metadata->node, now_us, output->position.index, MESH_ENOMEM);
        break;
    case NODE_OUTPUT_SNAPSHOT_READ:
        if (disk_read_snapshot(metadata->disk, output->read, output->index, output->offset, output->size) != 0)
            node_snapshot_bytes(metadata->node, now_us, output->read, MESH_ENOMEM, NULL);
        break;
    case NODE_OUTPUT_RESTORE:
        if (disk_restore(metadata->disk, output->position.index) != 0) node_restored(metadata->node, now_us, MESH_ENOMEM, NULL);
        break;
    case NODE_OUTPUT_PUBLISH:
        tell_registered(metadata, output->image);
        if (metadata->hooks.publish != NULL) metadata->hooks.publish(metadata->user, output->image);
        break;
    case NODE_OUTPUT_ANSWER: metadata_note_answer(metadata, output); break;
    case NODE_OUTPUT_FRONTIER: metadata_tell_frontier(metadata, &output->frontier); break;
    case NODE_OUTPUT_STATUS: note_status(metadata); break;
    case NODE_OUTPUT_EVENT: log_event(output); break;
    case NODE_OUTPUT_LEFT: metadata->has_left = true; break;
    case NODE_OUTPUT_RECOVERED: metadata_note_recovered(metadata, output); break;
    }
}

static void arm(struct metadata *metadata)
{
    uint64_t due_us = node_due_us(metadata->node), now_us;

    if (due_us == metadata->armed_us && ev_is_active(&metadata->timer)) return;
    metadata->armed_us = due_us;
    ev_timer_stop(metadata->loop, &metadata->timer);
    if (due_us == NODE_NEVER) return;
    now_us = metadata_now_us();
    ev_now_update(metadata->loop);
    ev_timer_set(&metadata->timer, due_us <= now_us ? 0. : (double)(due_us - now_us) / 1e6, 0.);
    ev_timer_start(metadata->loop, &metadata->timer);
}

static void tell_left(struct metadata *metadata)
{
    metadata_left_fn *left = metadata->left;

    metadata->left = NULL;
    if (left != NULL) left(metadata->left_user);
}

/* What the outputs were about, once all of them are taken. */
static void tell(struct metadata *metadata)
{
    if (metadata->has_changed) {
        metadata->has_changed = false;
        if (metadata->hooks.changed != NULL) metadata->hooks.changed(metadata->user);
    }
    if (metadata->left != NULL && (metadata->has_left || metadata->status.has_failed)) tell_left(metadata); /* who has failed leads nothing */
    metadata_tell_answered(metadata);
    metadata_tell_recovered(metadata, metadata->status.has_failed ? metadata->status.failure_error : 0);
    if (metadata->status.has_failed) metadata_fail_requests(metadata, metadata->status.failure_error);
}

/* Who is told may ask for more: then it is driven again by this call, not inside of itself. */
void metadata_drive(struct metadata *metadata)
{
    struct node_output output;

    if (metadata->is_driving || metadata->is_closing || metadata->disk == NULL) return;
    metadata->is_driving = true;
    while (node_next_output(metadata->node, metadata_now_us(), &output)) {
        do
            carry_out(metadata, &output);
        while (node_next_output(metadata->node, metadata_now_us(), &output));
        tell(metadata);
    }
    metadata->is_driving = false;
    atomic_store_explicit(&metadata->current_us, node_current_us(metadata->node), memory_order_relaxed);
    arm(metadata);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct metadata *metadata = timer->data;

    (void)loop;
    (void)events;
    node_tick(metadata->node, metadata_now_us());
    metadata_drive(metadata);
}

/* ---- the disk's news ---- */

static void on_stored(void *user, uint64_t number)
{
    struct metadata *metadata = user;

    node_stored(metadata->node, metadata_now_us(), number);
    metadata_drive(metadata);
}

static void on_store_failed(void *user, uint64_t number, int error)
{
    struct metadata *metadata = user;

    node_store_failed(metadata->node, metadata_now_us(), number, error);
    metadata_drive(metadata);
}

static void on_full(void *user, bool is_full)
{
    struct metadata *metadata = user;

    if (is_full)
        event_note(metadata->events, EVENT_DISK, LOG_LEVEL_ERROR, "the disk is full: topics can be neither created nor changed here until there is space again");
    else
        event_note(metadata->events, EVENT_DISK, LOG_LEVEL_INFO, "the disk has space again: the metadata go on");
    metadata->has_changed = true;
    metadata_drive(metadata);
}

static void on_snapshot_taken(void *user, uint64_t index, int error)
{
    struct metadata *metadata = user;

    if (error != 0)
        log_warn("metadata snapshot failed, the log goes on index=%llu error=\"%s\"", (unsigned long long)index, mesh_strerror(error));
    node_snapshot_taken(metadata->node, metadata_now_us(), index, error);
    metadata_drive(metadata);
}

static void on_snapshot_read(void *user, uint64_t read, int error, const struct node_snapshot *snapshot)
{
    struct metadata *metadata = user;

    node_snapshot_bytes(metadata->node, metadata_now_us(), read, error, snapshot);
    metadata_drive(metadata);
}

static void on_restored(void *user, int error, struct image *image)
{
    struct metadata *metadata = user;

    node_restored(metadata->node, metadata_now_us(), error, image);
    image_unref(image);
    metadata_drive(metadata);
}

static const struct disk_hooks disk_hooks = {on_stored, on_store_failed, on_full, on_snapshot_taken, on_snapshot_read, on_restored};

/* ---- opening ---- */

int metadata_open_identity(struct fs *fs, struct identity *ret_identity, char message[METADATA_MESSAGE_SIZE])
{
    uint8_t seed[IDENTITY_SEED_SIZE], bytes[UUID_SIZE];
    struct uuid dir_id;
    int err;

    crypto_init();
    random_system_bytes(seed, sizeof(seed));
    random_system_bytes(bytes, sizeof(bytes));
    dir_id = uuid_from_random(bytes);
    err = identity_open(fs, seed, &dir_id, ret_identity, message, METADATA_MESSAGE_SIZE);
    crypto_wipe(seed, sizeof(seed));
    return err;
}

static int check_defaults(const struct metadata_options *options, char *message)
{
    for (size_t i = 0; i < options->config_default_count; i++) {
        enum topic_config_id id;
        int64_t value;
        int err = topic_config_find(options->config_defaults[i].key, &id, message, METADATA_MESSAGE_SIZE);

        if (err == 0) err = topic_config_parse(id, options->config_defaults[i].value, &value, message, METADATA_MESSAGE_SIZE);
        if (err != 0) return err;
    }
    return 0;
}

static void report_recovery(const struct raft_store_report *report)
{
    if (report->torn_bytes != 0) log_warn("torn tail of the metadata log cut bytes=%llu", (unsigned long long)report->torn_bytes);
    if (report->used_older_snapshot)
        log_error("newest metadata snapshot is damaged and was set aside; the one before it and the log replaced it");
    if (report->vote_slot_damaged) log_warn("one of the two copies of the vote is damaged; the other one is good");
    if (report->damaged_until != 0)
        log_error("the metadata log is damaged: it is fetched from the others, and this broker does not vote until then first=%llu last=%llu",
                  (unsigned long long)report->damaged_first, (unsigned long long)report->damaged_until);
}

/* ---- what the data directory proves ---- */

struct proof {
    const struct image *image; /* of entries up to `index` */
    uint64_t index;
    size_t unknown; /* topics with records here that `image` does not know */
};

static void count_unknown(void *user, const struct plog_id *id)
{
    struct proof *proof = user;

    proof->unknown += image_find_topic(proof->image, &id->topic_id) == NULL && !image_topic_was_deleted(proof->image, &id->topic_id);
}

/* Records of a topic are only ever written once its creation was committed and durable here, so the entries up to the creation of the
 * newest such topic are committed, whether or not the mark of that came to the disk. */
static int prove_committed(const struct recovery_catalog *logs, const struct image *snapshot, struct raft_recovered *recovered)
{
    struct proof proof = {snapshot, 0, 0};
    struct image *image = NULL;
    size_t unknown_before;
    int err = 0;

    if (snapshot != NULL)
        image = image_ref(snapshot);
    else
        err = image_new_empty(&image);
    if (err != 0) return err;
    proof.image = image;
    recovery_each((struct recovery_catalog *)(uintptr_t)logs, count_unknown, &proof);
    unknown_before = proof.unknown;
    for (size_t i = 0; err == 0 && i < recovered->entry_count && unknown_before > 0; i++) {
        struct image *next;

        err = image_apply(image, &recovered->entries[i], 1, &next);
        if (err != 0) break;
        image_unref(image);
        image = next;
        proof = (struct proof){image, recovered->entries[i].index, 0};
        recovery_each((struct recovery_catalog *)(uintptr_t)logs, count_unknown, &proof);
        if (proof.unknown < unknown_before && proof.index > recovered->committed) recovered->committed = proof.index;
        unknown_before = proof.unknown;
    }
    image_unref(image);
    return err;
}

static int new_node(struct metadata *metadata, const struct metadata_options *options, const struct raft_recovered *recovered, struct slice recovery)
{
    struct raft_recovered proven = *recovered;
    struct node_options node_options;
    struct image *image;
    uint64_t now_us = metadata_now_us();
    int err = disk_load_image(metadata->store, recovered->snapshot.index, &image);

    if (err == 0 && options->logs != NULL) err = prove_committed(options->logs, image, &proven);
    if (err == 0) {
        node_options_init(&node_options);
        node_options.self = (struct raft_server){options->identity->broker_id, options->identity->dir_id};
        node_options.boot = options->identity->boot;
        node_options.cluster_id = options->identity->cluster_id;
        random_system_bytes(node_options.seed, sizeof(node_options.seed));
        node_options.is_witness = options->is_witness;
        node_options.recovery = recovery;
        if (options->leave_ms_max != 0 && options->leave_ms_max < node_options.leave_us / 1000)
            node_options.leave_us = options->leave_ms_max * 1000;
        node_options.was_unclean = options->was_unclean;
        node_options.was_set_back = identity_is_to_tell(options->identity);
        node_options.election_min_us = options->election_ms * 1000;
        node_options.election_max_us = options->election_ms * 2000;
        node_options.raft_heartbeat_us = options->election_ms * 100;
        node_options.moves_per_broker = options->moves_per_broker;
        node_options.replace_us = options->replace_ms * 1000;
        node_options.spread_quiet_us = options->spread_quiet_ms * 1000;
        node_options.defaults.partition_count = options->partition_count_default;
        node_options.defaults.replication_factor = options->replication_factor_default;
        node_options.defaults.configs = options->config_defaults;
        node_options.defaults.config_count = options->config_default_count;
        err = node_new(&node_options, &proven, image, now_us, &metadata->node);
    }
    /* Nobody leads in term 1: a log that has come no further than that has said nothing yet, though its first store may have been cut short. */
    if (err == 0 && options->founder_count > 0 && recovered->entry_count == 0 && recovered->snapshot.index == 0 && recovered->term <= 1 &&
        uuid_is_zero(&recovered->voted_for.broker) && recovered->damaged_until == 0)
        err = node_found(metadata->node, now_us, &options->identity->cluster_id, options->founders, options->founder_count);
    image_unref(image);
    return err;
}

static int is_file(void *user, const char *name, bool is_dir)
{
    (void)name;
    *(bool *)user |= !is_dir;
    return 0;
}

/* A member without its log would vote as if it had never voted: only a broker that belongs to no mesh yet may begin one. */
static int check_log_is_there(const struct metadata_options *options, char *message)
{
    bool has_files = false;
    int err = options->fs->ops->list(options->fs, METADATA_STORE_DIRECTORY, is_file, &has_files);

    if (err != 0 && err != MESH_ENOTFOUND) return err;
    if (has_files || uuid_is_zero(&options->identity->cluster_id)) return 0;
    snprintf(message, METADATA_MESSAGE_SIZE,
             "DIR/identity belongs to a mesh, but DIR/" METADATA_STORE_DIRECTORY " is empty: restore it from a copy of this moment; or, if the records here may be "
             "lost (the mesh may have other copies), move the data directory away and join anew");
    return MESH_ECORRUPT;
}

int metadata_prepare(struct fs *fs, const struct identity *identity, char message[METADATA_MESSAGE_SIZE])
{
    const struct raft_server self = {identity->broker_id, identity->dir_id};
    const struct raft_recovered *recovered;
    struct raft_store_report report;
    struct raft_store *store;
    int err = raft_store_open(fs, METADATA_STORE_DIRECTORY, &self, metadata_chain, &store, &recovered, &report, message, METADATA_MESSAGE_SIZE);

    if (err == 0) raft_store_close(store);
    return err;
}

/* ---- damage that nobody repairs ---- */

struct damaged_file {
    uint64_t first; /* the entry that is not readable */
    uint64_t base;  /* ret: of the file that has its place */
};

static int find_damaged_file(void *user, const char *name, bool is_dir)
{
    struct damaged_file *file = user;
    unsigned long long base;

    if (!is_dir && sscanf(name, "log-%20llu", &base) == 1 && base <= file->first && base > file->base) file->base = base;
    return 0;
}

/* A mesh of one: what was acknowledged and cannot be read is lost to everybody, so it is not passed over. */
static int refuse_alone(struct fs *fs, const struct raft_store_report *report, char *message)
{
    struct damaged_file file = {report->damaged_first, 0};
    int err = fs->ops->list(fs, METADATA_STORE_DIRECTORY, find_damaged_file, &file);

    if (err != 0) return err;
    snprintf(message, METADATA_MESSAGE_SIZE,
             "DIR/" METADATA_STORE_DIRECTORY "/log-%020llu: entries %llu to %llu of the metadata log are damaged, and no other broker is known that could have "
             "them: if there is one, start with 'mesh join' and its address, and it tells what is missing; else restore the data directory from a copy",
             (unsigned long long)file.base, (unsigned long long)report->damaged_first, (unsigned long long)report->damaged_until);
    return MESH_ECORRUPT;
}

/* What this disk promised when the mesh was recovered goes with the log; whoever was removed does not begin. */
static int open_node(struct metadata *metadata, const struct metadata_options *options, const struct raft_recovered *recovered, char *message)
{
    const struct raft_server self = {options->identity->broker_id, options->identity->dir_id};
    struct buffer recovery = BUFFER_INIT;
    struct node_status status;
    int err = recovery_file_load(options->fs, &self, &recovery, message, METADATA_MESSAGE_SIZE);

    if (err == 0) err = new_node(metadata, options, recovered, buffer_slice(&recovery));
    buffer_deinit(&recovery);
    if (err != 0) return err;
    node_get_status(metadata->node, &status);
    if (!status.is_removed) return 0;
    snprintf(message, METADATA_MESSAGE_SIZE, "%s", status.failure);
    return MESH_EUNAUTHORIZED;
}

static int open_all(struct metadata *metadata, const struct metadata_options *options, char *message)
{
    const struct raft_server self = {options->identity->broker_id, options->identity->dir_id};
    const struct raft_recovered *recovered;
    struct raft_store_report report;
    uint64_t nonce;
    int err = check_defaults(options, message);

    if (err == 0) err = check_log_is_there(options, message);
    if (err == 0)
        err = raft_store_open(options->fs, METADATA_STORE_DIRECTORY, &self, metadata_chain, &metadata->store, &recovered, &report, message,
                              METADATA_MESSAGE_SIZE);
    if (err != 0) return err;
    report_recovery(&report);
    if (report.damaged_until != 0 && !options->knows_others) return refuse_alone(options->fs, &report, message);
    random_system_bytes(&nonce, sizeof(nonce));
    err = raft_store_begin_life(metadata->store, nonce);
    if (err != 0) return err;
    metadata->was_damaged = report.damaged_until != 0 || recovered->damaged_until != 0;
    return open_node(metadata, options, recovered, message);
}

static void explain(int err, char *message)
{
    if (message[0] != '\0') return;
    if (err == MESH_EWRONG_MESH)
        snprintf(message, METADATA_MESSAGE_SIZE,
                 "DIR/identity and DIR/" METADATA_STORE_DIRECTORY " belong to different meshes: one of them was copied from elsewhere; put the right one back");
    else
        snprintf(message, METADATA_MESSAGE_SIZE, "the metadata cannot be opened: %s", mesh_strerror(err));
}

int metadata_open(const struct metadata_options *options, struct metadata **ret_metadata, char message[METADATA_MESSAGE_SIZE])
{
    struct metadata *metadata = calloc(1, sizeof(*metadata));
    int err = MESH_ENOMEM;

    message[0] = '\0';
    if (metadata != NULL) {
        metadata->hooks = *options->hooks;
        metadata->events = options->events;
        metadata->user = options->user;
        metadata->fs = options->fs;
        metadata->self = options->identity->broker_id;
        metadata->dir = options->identity->dir_id;
        metadata->loop = options->loop;
        metadata->mailbox = options->mailbox;
        list_init(&metadata->requests);
        list_init(&metadata->answered);
        list_init(&metadata->wants);
        ev_timer_init(&metadata->timer, on_timer, 0., 0.);
        metadata->timer.data = metadata;
        err = open_all(metadata, options, message);
    }
    if (err == 0) {
        note_status(metadata);
        *ret_metadata = metadata;
        return 0;
    }
    explain(err, message);
    metadata_close(metadata);
    return err;
}

void metadata_close(struct metadata *metadata)
{
    if (metadata == NULL) return;
    metadata->is_closing = true;
    ev_timer_stop(metadata->loop, &metadata->timer);
    metadata_drop_requests(metadata);
    metadata_tell_recovered(metadata, MESH_ESHUTDOWN);
    tell_left(metadata);
    if (metadata->disk != NULL)
        disk_free(metadata->disk);
    else
        raft_store_close(metadata->store);
    node_free(metadata->node);
    metadata_forget_wants(metadata);
    free(metadata);
}

int metadata_start(struct metadata *metadata, const struct node_self *self)
{
    const struct disk_options options = {
        metadata->fs, {metadata->self, metadata->dir}, metadata->loop, metadata->mailbox, &disk_hooks, metadata};
    struct raft_store *store = metadata->store;
    int err;

    metadata->store = NULL;
    err = disk_new(&options, store, &metadata->disk);
    if (err == 0) err = node_set_self(metadata->node, metadata_now_us(), self);
    if (err == 0) metadata_drive(metadata);
    return err;
}

/* ---- state ---- */

void metadata_set_boot(struct metadata *metadata, uint64_t boot)
{
    node_set_boot(metadata->node, metadata_now_us(), boot);
    metadata_drive(metadata);
}

void metadata_set_drain(struct metadata *metadata, bool is_wanted)
{
    node_set_drain(metadata->node, metadata_now_us(), is_wanted);
    metadata_drive(metadata);
}

void metadata_set_empty(struct metadata *metadata, bool is_wanted)
{
    node_set_empty(metadata->node, metadata_now_us(), is_wanted);
    metadata_drive(metadata);
}

void metadata_set_terms(struct metadata *metadata, int32_t partition_count_default, uint32_t moves_per_broker, uint64_t replace_ms, uint64_t spread_quiet_ms)
{
    const struct node_terms terms = {partition_count_default, moves_per_broker, replace_ms * 1000, spread_quiet_ms * 1000};

    node_set_terms(metadata->node, metadata_now_us(), &terms);
    metadata_drive(metadata);
}

void metadata_set_disk_failed(struct metadata *metadata)
{
    node_set_disk_failed(metadata->node, metadata_now_us());
    metadata_drive(metadata);
}

const struct node_status *metadata_status(const struct metadata *metadata)
{
    return &metadata->status;
}

const struct image *metadata_image(const struct metadata *metadata)
{
    return node_image(metadata->node);
}

const struct node *metadata_node(const struct metadata *metadata)
{
    return metadata->node;
}

bool metadata_is_behind_disk(const struct metadata *metadata)
{
    return metadata->was_damaged && !metadata->status.is_registered;
}

int metadata_error(const struct metadata *metadata)
{
    if (metadata->status.has_failed) return metadata->status.failure_error;
    return metadata->disk != NULL && disk_is_full(metadata->disk) ? MESH_EFULL : 0;
}

bool metadata_is_leaving(const struct metadata *metadata)
{
    return metadata->left != NULL;
}

uint64_t metadata_session_lost_us(const struct metadata *metadata)
{
    return metadata->session_lost_us;
}

uint64_t metadata_current_us(const struct metadata *metadata)
{
    return atomic_load_explicit(&metadata->current_us, memory_order_relaxed);
}

bool metadata_is_disk_busy(const struct metadata *metadata)
{
    return metadata->disk != NULL && disk_is_busy(metadata->disk);
}

void metadata_leave(struct metadata *metadata, metadata_left_fn *done, void *user)
{
    if (metadata->left != NULL) tell_left(metadata); /* somebody asked before: he waits no longer */
    metadata->left = done;
    metadata->left_user = user;
    if (metadata->has_left || metadata->status.has_failed) {
        tell_left(metadata);
        return;
    }
    node_leave(metadata->node, metadata_now_us());
    metadata_drive(metadata);
}
