/* metadata/disk.c - a queue of jobs on the control loop, of which one (or a run of appends) is at the lane. */
#include "cmd/broker/metadata/disk.h"

#include "base/assert.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/list.h"
#include "cmd/broker/metadata/recovery_file.h"
#include "cmd/broker/runtime/lane.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_SECONDS        0.5
#define APPEND_BYTES_MAX     (4u << 20) /* of one run of appends */
#define SNAPSHOT_PART_BYTES  (1u << 20) /* written and synced, and CHECK_BYTES read, in one piece: a vote waits for no more */
#define SNAPSHOT_CHECK_BYTES (4u << 20)
#define SNAPSHOT_LOAD_BYTES  (256u << 10) /* of one that is to be restored */
#define SNAPSHOT_READ_MAX    (1u << 20)
#define SPARE_BYTES          4096 /* entries of one job that find a place when there is no memory */

enum job_type { JOB_STATE, JOB_ENTRIES, JOB_RECOVERY, JOB_CHUNK, JOB_TAKE, JOB_READ, JOB_RESTORE };

struct job {
    struct list_node node; /* in disk.waiting, or in disk.running */
    enum job_type type;
    uint64_t store; /* 0: TAKE, READ */
    struct disk_state state; /* its others behind the job */
    uint64_t committed;
    struct raft_entry *entries; /* behind the job, their bodies behind them */
    size_t entry_count, bytes;
    struct raft_position position;
    struct raft_config config;
    uint64_t offset, total;
    bool is_last;
    bool is_more; /* TAKE, RESTORE: it has begun, and is to go on */
    struct slice chunk; /* behind the job; RECOVERY: its bytes */
    bool is_spare;      /* its memory is the disk's */
    const struct image *image; /* referenced */
    struct image *restored;    /* RESTORE's result */
    uint64_t read, index, size; /* READ; index: RESTORE, too */
    struct buffer result;       /* READ; TAKE, RESTORE: the image's bytes */
    int error;
};

struct disk {
    struct disk_options options;
    struct raft_store *store; /* the lane's while is_busy */
    struct lane lane;
    struct mail mail; /* under way while is_busy */
    /* An image becomes bytes, and bytes an image, on a thread of its own, which touches no disk: that takes as long as the image is large. */
    struct lane encoder;
    struct mail encoding, decoding;
    struct job *encoded, *decoded; /* at the encoder; NULL: none */
    struct list_node to_restore;   /* wait until the RESTORE before them is told: of several the last answer counts (node_restored()) */
    bool is_restoring;
    struct list_node waiting, running;
    struct raft_entry *run; /* the entries of all running jobs */
    size_t run_count, run_capacity;
    uint64_t run_committed; /* what may be noted with it: never more than these entries bear out (raft.h) */
    void *spare;              /* SPARE_BYTES, for a small job when there is no memory; NULL: in use */
    ev_timer retry;
    uint64_t refused; /* a store that could not be asked for, to be told; 0: none */
    int error;
    bool is_busy, is_closing;
    bool is_full;  /* for want of space */
    bool is_stuck; /* what runs is to be tried again, for want of space or memory */
};

/* ---- on the lane ---- */

/* The next piece of a snapshot whose bytes are job->result; between two of them other jobs may run. job->is_more: there are further ones. */
static int take_piece(struct raft_store *store, struct job *job)
{
    size_t left = job->result.size - (size_t)job->offset, size = left < SNAPSHOT_PART_BYTES ? left : SNAPSHOT_PART_BYTES;
    bool is_whole = false;
    int err = job->is_more ? 0 : raft_store_snapshot_begin(store, &job->position, &job->config);

    job->is_more = true;
    if (err == 0 && size != 0) {
        err = raft_store_snapshot_write(store, slice_of(job->result.data + job->offset, size));
        if (err == 0) err = raft_store_snapshot_sync(store);
        job->offset += size;
    } else if (err == 0) {
        err = raft_store_snapshot_check(store, SNAPSHOT_CHECK_BYTES, &is_whole);
    }
    if (err == 0 && !is_whole) return 0;
    job->is_more = false;
    if (err == 0) return raft_store_snapshot_end(store);
    raft_store_snapshot_abort(store);
    return err;
}

static int read_snapshot(struct raft_store *store, struct job *job)
{
    size_t size = job->size < SNAPSHOT_READ_MAX ? (size_t)job->size : SNAPSHOT_READ_MAX;
    int err = raft_store_snapshot_info(store, &job->position, &job->config, &job->total);

    if (err == 0 && job->index != 0 && job->index != job->position.index) err = MESH_ENOTFOUND;
    if (err == 0 && job->offset > job->total) err = MESH_EINVAL;
    if (err == 0 && job->total - job->offset < size) size = (size_t)(job->total - job->offset);
    if (err != 0 || size == 0) return err;
    err = buffer_reserve(&job->result, size);
    if (err == 0)
        err = raft_store_snapshot_read(store, job->position.index, job->offset, job->result.data, size, &job->result.size);
    return err;
}

/* Up to bytes_max more of the snapshot at `index`, which `bytes` has the beginning of. MESH_ENOTFOUND: there is no such one (any more). */
static int load_part(struct raft_store *store, uint64_t index, uint64_t bytes_max, struct buffer *bytes, bool *ret_is_whole)
{
    struct raft_position position;
    struct raft_config config;
    uint64_t total, left;
    size_t size = 0;
    int err = raft_store_snapshot_info(store, &position, &config, &total);

    if (err == 0 && index != position.index) err = MESH_ENOTFOUND;
    if (err == 0) err = buffer_reserve(bytes, (size_t)total - bytes->size);
    if (err != 0) return err;
    left = total - bytes->size;
    if (left != 0)
        err = raft_store_snapshot_read(store, index, bytes->size, bytes->data + bytes->size, (size_t)(left < bytes_max ? left : bytes_max), &size);
    if (err == 0 && left != 0 && size == 0) err = MESH_ECORRUPT;
    if (err != 0) return err;
    bytes->size += size;
    *ret_is_whole = bytes->size == total;
    return 0;
}

int disk_load_image(struct raft_store *store, uint64_t index, struct image **ret_image)
{
    struct buffer bytes = BUFFER_INIT;
    bool is_whole = false;
    int err = 0;

    *ret_image = NULL;
    while (err == 0 && !is_whole)
        err = load_part(store, index, UINT64_MAX, &bytes, &is_whole);
    if (err == 0) err = image_decode(buffer_slice(&bytes), ret_image);
    buffer_deinit(&bytes);
    return err == MESH_ENOTFOUND && index == 0 ? 0 : err;
}

/* The next piece of the snapshot that is to be restored. The log stands still until it is, but a vote is not to wait for it. */
static int restore_piece(struct raft_store *store, struct job *job)
{
    bool is_whole = false;
    int err = load_part(store, job->index, SNAPSHOT_LOAD_BYTES, &job->result, &is_whole);

    job->is_more = err == 0 && !is_whole;
    return err;
}

static int run_job(struct disk *disk, struct job *job)
{
    switch (job->type) {
    case JOB_STATE:
        if (job->state.others != NULL) raft_store_note_others(disk->store, job->state.others, job->state.other_count);
        if (job->state.forced_term != 0) raft_store_note_forced(disk->store, job->state.forced_term);
        return raft_store_set_state(disk->store, job->state.term, &job->state.voted_for, job->state.damaged_until);
    case JOB_ENTRIES:
        raft_store_note_committed(disk->store, disk->run_committed);
        return raft_store_append(disk->store, disk->run, disk->run_count);
    case JOB_RECOVERY: return recovery_file_store(disk->options.fs, &disk->options.self, job->chunk);
    case JOB_CHUNK:
        return raft_store_snapshot_chunk(disk->store, &job->position, &job->config, job->offset, job->chunk, job->total, job->is_last);
    case JOB_TAKE: return take_piece(disk->store, job);
    case JOB_READ: return read_snapshot(disk->store, job);
    case JOB_RESTORE: break;
    }
    return restore_piece(disk->store, job);
}

static void come_home(struct mail *mail);

static void on_lane(struct mail *mail)
{
    struct disk *disk = container_of(mail, struct disk, mail);
    struct job *job = container_of(disk->running.next, struct job, node);

    job->error = run_job(disk, job);
    disk->mail.deliver = come_home;
    mailbox_post(disk->options.home, &disk->mail);
}

static void tell_refused(struct disk *disk);

/* ---- the queue ---- */

static void job_free(struct disk *disk, struct job *job)
{
    image_unref(job->image);
    image_unref(job->restored);
    buffer_deinit(&job->result);
    if (job->is_spare)
        disk->spare = job;
    else
        free(job);
}

/* Moves the entries of this job into the run. False: no memory for it, or it would cut what the run holds. */
static bool run_add(struct disk *disk, struct job *job)
{
    size_t count = disk->run_count + job->entry_count;

    if (disk->run_count > 0 && job->entries[0].index != disk->run[disk->run_count - 1].index + 1) return false;
    if (count > disk->run_capacity) {
        struct raft_entry *run = realloc(disk->run, count * 2 * sizeof(*run));

        if (run == NULL) return false;
        disk->run = run;
        disk->run_capacity = count * 2;
    }
    memcpy(disk->run + disk->run_count, job->entries, job->entry_count * sizeof(*job->entries));
    disk->run_count = count;
    disk->run_committed = job->committed;
    list_remove(&job->node);
    list_push_back(&disk->running, &job->node);
    return true;
}

/* One job, or as many appends in a row as one sync is to carry. False: none, or no memory now. */
static bool form_batch(struct disk *disk)
{
    size_t bytes = 0;

    disk->run_count = 0;
    while (!list_is_empty(&disk->waiting) && bytes < APPEND_BYTES_MAX) {
        struct job *job = container_of(disk->waiting.next, struct job, node);

        if (job->type == JOB_ENTRIES) {
            if (!run_add(disk, job)) break;
            bytes += job->bytes;
            continue;
        }
        if (list_is_empty(&disk->running)) {
            list_remove(&job->node);
            list_push_back(&disk->running, &job->node);
        }
        break;
    }
    return !list_is_empty(&disk->running);
}

static void send_to_lane(struct disk *disk)
{
    disk->is_busy = true;
    disk->mail.deliver = on_lane;
    lane_post(&disk->lane, &disk->mail);
}

static void start_next(struct disk *disk)
{
    if (disk->is_busy || disk->error != 0 || disk->is_stuck) return;
    if (!form_batch(disk)) {
        if (!list_is_empty(&disk->waiting)) ev_timer_again(disk->options.loop, &disk->retry);
        return;
    }
    send_to_lane(disk);
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct disk *disk = timer->data;

    (void)events;
    ev_timer_stop(loop, timer);
    if (disk->refused != 0) {
        tell_refused(disk);
        return;
    }
    if (disk->is_stuck && !disk->is_busy) { /* the same again */
        disk->is_stuck = false;
        send_to_lane(disk);
        return;
    }
    start_next(disk);
}

/* ---- results ---- */

static void set_full(struct disk *disk, bool is_full)
{
    if (disk->is_full == is_full) return;
    disk->is_full = is_full;
    disk->options.hooks->full(disk->options.user, is_full);
}

static void tell(struct disk *disk, struct job *job)
{
    const struct disk_hooks *hooks = disk->options.hooks;
    void *user = disk->options.user;

    const struct node_snapshot snapshot = {job->position, job->config, job->total, buffer_slice(&job->result)};
    struct image *restored = job->restored;

    switch (job->type) {
    case JOB_STATE:
    case JOB_ENTRIES:
    case JOB_RECOVERY:
    case JOB_CHUNK:
        if (job->error == 0)
            hooks->stored(user, job->store);
        else
            hooks->failed(user, job->store, job->error);
        break;
    case JOB_TAKE: hooks->snapshot_taken(user, job->position.index, job->error); break;
    case JOB_READ: hooks->snapshot_read(user, job->read, job->error, &snapshot); break;
    case JOB_RESTORE:
        job->restored = NULL;
        disk->is_restoring = !list_is_empty(&disk->to_restore);
        if (disk->is_restoring) list_push_back(&disk->waiting, list_pop_front(&disk->to_restore));
        hooks->restored(user, job->error, restored);
        break;
    }
}

/* After this one nothing is stored any more: a chunk may be damaged by itself, a snapshot that is taken or read may fail by itself. */
static bool is_final(const struct job *job)
{
    return job->error != 0 && job->type <= JOB_CHUNK && !(job->type == JOB_CHUNK && (job->error == MESH_ECORRUPT || job->error == MESH_EAGAIN));
}

/* Of a run of appends that failed, the first is told: nothing vouches for it. Of one that succeeded the last, which vouches for all. */
static void finish_running(struct disk *disk)
{
    struct job *told = NULL;
    struct list_node *node;
    int error = container_of(disk->running.next, struct job, node)->error;

    while ((node = list_pop_front(&disk->running)) != NULL) {
        struct job *job = container_of(node, struct job, node);

        if (told != NULL && error != 0) {
            job_free(disk, job);
            continue;
        }
        if (told != NULL) job_free(disk, told);
        told = job;
    }
    MESH_ASSERT(told != NULL);
    tell(disk, told);
    job_free(disk, told);
}

/* A store that could not even be asked for: it, and whatever waits before it, will never be done. */
static void tell_refused(struct disk *disk)
{
    uint64_t store = disk->refused;

    if (store == 0 || disk->is_busy) return; /* the job at the lane may still succeed */
    for (struct list_node *node = disk->waiting.next; node != &disk->waiting; node = node->next) {
        const struct job *job = container_of(node, struct job, node);

        if (job->type > JOB_CHUNK) continue;
        store = job->store;
        break;
    }
    if (!list_is_empty(&disk->running) && container_of(disk->running.next, struct job, node)->type <= JOB_CHUNK)
        store = container_of(disk->running.next, struct job, node)->store;
    disk->refused = 0;
    disk->options.hooks->failed(disk->options.user, store, disk->error);
}

/* A piece of a snapshot is on the disk: the next one when whatever waits has run. */
static void go_on_later(struct disk *disk)
{
    list_push_back(&disk->waiting, list_pop_front(&disk->running));
    start_next(disk);
    tell_refused(disk);
}

static int start_encoder(struct disk *disk)
{
    if (disk->encoder.is_started) return 0;
    return lane_start(&disk->encoder, "encoder") == 0 ? 0 : MESH_ENOMEM;
}

static void decoded(struct mail *mail)
{
    struct disk *disk = container_of(mail, struct disk, decoding);
    struct job *job = disk->decoded;

    if (disk->is_closing) return;
    disk->decoded = NULL;
    tell(disk, job);
    job_free(disk, job);
    start_next(disk);
}

static void decode(struct mail *mail)
{
    struct disk *disk = container_of(mail, struct disk, decoding);
    struct job *job = disk->decoded;

    job->error = image_decode(buffer_slice(&job->result), &job->restored);
    disk->decoding.deliver = decoded;
    mailbox_post(disk->options.home, &disk->decoding);
}

/* The bytes of a snapshot are read: an image elsewhere. False: it has failed, or there is no thread for it. */
static bool decode_elsewhere(struct disk *disk, struct job *job)
{
    if (job->type != JOB_RESTORE || job->error != 0) return false;
    job->error = start_encoder(disk);
    if (job->error != 0) return false;
    list_pop_front(&disk->running);
    disk->decoded = job;
    disk->decoding.deliver = decode;
    lane_post(&disk->encoder, &disk->decoding);
    return true;
}

static void come_home(struct mail *mail)
{
    struct disk *disk = container_of(mail, struct disk, mail);
    struct job *first = container_of(disk->running.next, struct job, node);
    bool is_store = first->type <= JOB_CHUNK;
    int error = first->error;

    disk->is_busy = false;
    if (disk->is_closing) return;
    if (is_store && (error == MESH_EFULL || error == MESH_ENOMEM) && raft_store_error(disk->store) == 0) {
        disk->is_stuck = true; /* before any hook, which may ask for more */
        ev_timer_again(disk->options.loop, &disk->retry);
        if (error == MESH_EFULL) set_full(disk, true);
        return;
    }
    if (first->is_more) {
        go_on_later(disk);
        return;
    }
    if (is_final(first) && disk->error == 0) disk->error = error;
    if (!decode_elsewhere(disk, first)) finish_running(disk);
    if (is_store && error == 0) set_full(disk, false);
    start_next(disk);
    tell_refused(disk);
}

/* ---- asking ---- */

static int job_new(struct disk *disk, enum job_type type, uint64_t store, size_t extra, struct job **ret_job)
{
    struct job *job = calloc(1, sizeof(*job) + extra);

    if (job == NULL) {
        if (disk->spare == NULL || extra > SPARE_BYTES) return MESH_ENOMEM;
        job = disk->spare;
        disk->spare = NULL;
        memset(job, 0, sizeof(*job));
        job->is_spare = true;
    }
    job->type = type;
    job->store = store;
    list_push_back(&disk->waiting, &job->node);
    *ret_job = job;
    return 0;
}

int disk_store_state(struct disk *disk, uint64_t store, const struct disk_state *state)
{
    size_t bytes = state->others == NULL ? 0 : state->other_count * sizeof(state->others[0]);
    struct job *job;
    int err = job_new(disk, JOB_STATE, store, bytes, &job);

    if (err != 0) return err;
    job->state = *state;
    if (state->others != NULL) job->state.others = memcpy(job + 1, state->others, bytes);
    start_next(disk);
    return 0;
}

int disk_store_entries(struct disk *disk, uint64_t store, uint64_t committed, const struct raft_entry *entries, size_t count)
{
    size_t bytes = count * sizeof(*entries);
    struct job *job;
    uint8_t *at;
    int err;

    for (size_t i = 0; i < count; i++)
        bytes += entries[i].body.size;
    err = job_new(disk, JOB_ENTRIES, store, bytes, &job);
    if (err != 0) return err;
    job->entries = (struct raft_entry *)(job + 1);
    job->entry_count = count;
    job->bytes = bytes;
    job->committed = committed;
    memcpy(job->entries, entries, count * sizeof(*entries));
    at = (uint8_t *)(job->entries + count);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].body.size == 0) continue;
        memcpy(at, entries[i].body.data, entries[i].body.size);
        job->entries[i].body.data = at;
        at += entries[i].body.size;
    }
    start_next(disk);
    return 0;
}

int disk_store_chunk(struct disk *disk, uint64_t store, const struct raft_position *position, const struct raft_config *config, uint64_t offset,
                     struct slice bytes, uint64_t total, bool is_last)
{
    struct job *job;
    int err = job_new(disk, JOB_CHUNK, store, bytes.size, &job);

    if (err != 0) return err;
    if (bytes.size != 0) memcpy(job + 1, bytes.data, bytes.size);
    job->chunk = slice_of(job + 1, bytes.size);
    job->position = *position;
    job->config = *config;
    job->offset = offset;
    job->total = total;
    job->is_last = is_last;
    start_next(disk);
    return 0;
}

int disk_store_recovery(struct disk *disk, uint64_t store, struct slice bytes)
{
    struct job *job;
    int err = job_new(disk, JOB_RECOVERY, store, bytes.size, &job);

    if (err != 0) return err;
    if (bytes.size != 0) memcpy(job + 1, bytes.data, bytes.size);
    job->chunk = slice_of(job + 1, bytes.size);
    start_next(disk);
    return 0;
}

static void encoded(struct mail *mail)
{
    struct disk *disk = container_of(mail, struct disk, encoding);
    struct job *job = disk->encoded;

    if (disk->is_closing) return;
    disk->encoded = NULL;
    if (job->error != 0) {
        tell(disk, job);
        job_free(disk, job);
        return;
    }
    list_push_back(&disk->waiting, &job->node);
    start_next(disk);
}

static void encode(struct mail *mail)
{
    struct disk *disk = container_of(mail, struct disk, encoding);

    disk->encoded->error = image_encode(disk->encoded->image, &disk->encoded->result);
    disk->encoding.deliver = encoded;
    mailbox_post(disk->options.home, &disk->encoding);
}

int disk_take_snapshot(struct disk *disk, const struct image *image, const struct raft_position *position, const struct raft_config *config)
{
    struct job *job;
    int err;

    MESH_ASSERT(disk->encoded == NULL); /* one at a time (node.h) */
    err = start_encoder(disk);
    if (err != 0) return err;
    err = job_new(disk, JOB_TAKE, 0, 0, &job);
    if (err != 0) return err;
    list_remove(&job->node);
    job->image = image_ref(image);
    job->position = *position;
    job->config = *config;
    disk->encoded = job;
    disk->encoding.deliver = encode;
    lane_post(&disk->encoder, &disk->encoding);
    return 0;
}

int disk_read_snapshot(struct disk *disk, uint64_t read, uint64_t index, uint64_t offset, uint64_t size)
{
    struct job *job;
    int err = job_new(disk, JOB_READ, 0, 0, &job);

    if (err != 0) return err;
    job->read = read;
    job->index = index;
    job->offset = offset;
    job->size = size;
    start_next(disk);
    return 0;
}

int disk_restore(struct disk *disk, uint64_t index)
{
    struct job *job;
    int err = job_new(disk, JOB_RESTORE, 0, 0, &job);

    if (err != 0) return err;
    job->index = index;
    if (disk->is_restoring) {
        list_remove(&job->node);
        list_push_back(&disk->to_restore, &job->node);
    }
    disk->is_restoring = true;
    start_next(disk);
    return 0;
}

void disk_fail(struct disk *disk, uint64_t store, int error)
{
    if (disk->error != 0) return;
    disk->error = error;
    disk->refused = store;
    ev_timer_again(disk->options.loop, &disk->retry);
}

int disk_error(const struct disk *disk)
{
    return disk->error;
}

bool disk_is_full(const struct disk *disk)
{
    return disk->is_full;
}

bool disk_is_busy(const struct disk *disk)
{
    return disk->is_busy;
}

/* ---- life ---- */

int disk_new(const struct disk_options *options, struct raft_store *store, struct disk **ret_disk)
{
    struct disk *disk = calloc(1, sizeof(*disk));
    int err = MESH_ENOMEM;

    if (disk != NULL) {
        disk->options = *options;
        list_init(&disk->waiting);
        list_init(&disk->running);
        list_init(&disk->to_restore);
        ev_timer_init(&disk->retry, on_retry, 0, RETRY_SECONDS);
        disk->retry.data = disk;
        disk->spare = malloc(sizeof(struct job) + SPARE_BYTES);
        if (disk->spare != NULL) err = lane_start(&disk->lane, "metadata");
    }
    if (err != 0) {
        if (disk != NULL) free(disk->spare);
        free(disk);
        raft_store_close(store);
        return err;
    }
    disk->store = store;
    *ret_disk = disk;
    return 0;
}

static void drop_jobs(struct disk *disk, struct list_node *list)
{
    struct list_node *node;

    while ((node = list_pop_front(list)) != NULL)
        job_free(disk, container_of(node, struct job, node));
}

void disk_free(struct disk *disk)
{
    if (disk == NULL) return;
    disk->is_closing = true;
    ev_timer_stop(disk->options.loop, &disk->retry);
    lane_stop(&disk->lane); /* after the job that it has */
    lane_stop(&disk->encoder);
    (void)mailbox_drain(disk->options.home); /* its mail */
    if (disk->encoded != NULL) job_free(disk, disk->encoded);
    if (disk->decoded != NULL) job_free(disk, disk->decoded);
    drop_jobs(disk, &disk->to_restore);
    drop_jobs(disk, &disk->running);
    drop_jobs(disk, &disk->waiting);
    raft_store_close(disk->store);
    free(disk->spare);
    free(disk->run);
    free(disk);
}
