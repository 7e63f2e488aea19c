#include "sim/consensus_lane.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

#define TOGETHER_MAX  3     /* jobs done before one end is told */
#define ALONE_ONE_IN  4     /* of the lanes' turns that bundle nothing */
#define FULL_RETRY_US 50000 /* a full disk is tried again */

void consensus_lane_init(struct consensus_lane *lane, struct sim_host *host, struct raft_store *store)
{
    *lane = (struct consensus_lane){.host = host, .store = store, .due_us = SIM_NEVER};
    list_init(&lane->waiting);
    list_init(&lane->done);
}

void consensus_job_free(struct consensus_job *job)
{
    buffer_deinit(&job->bytes);
    free(job->entries);
    free(job->others);
    free(job->config);
    free(job);
}

static void free_all(struct list_node *list)
{
    list_for_each_safe(node, list) {
        list_remove(node);
        consensus_job_free(container_of(node, struct consensus_job, node));
    }
}

void consensus_lane_deinit(struct consensus_lane *lane)
{
    free_all(&lane->waiting);
    free_all(&lane->done);
    free(lane->run);
    lane->run = NULL;
}

/* ---- jobs come ---- */

static void wait_for_disk(struct consensus_lane *lane)
{
    uint64_t time_us = lane->min_us;

    if (lane->mean_us > 0) time_us += sim_random_exponential(sim_host_random(lane->host), lane->mean_us);
    lane->due_us = sim_host_now_us(lane->host) + time_us / 2;
}

static struct consensus_job *add_job(struct consensus_lane *lane, enum consensus_job_type type)
{
    struct consensus_job *job = malloc(sizeof(*job)); /* calloc() takes none of a thread's own */

    MESH_ASSERT(job != NULL);
    bytes_clear(job, sizeof(*job));
    job->type = type;
    list_push_back(&lane->waiting, &job->node);
    if (lane->due_us == SIM_NEVER) wait_for_disk(lane);
    return job;
}

static void copy_config(struct consensus_job *job, const struct raft_config *config)
{
    job->config = malloc(sizeof(*config));
    MESH_ASSERT(job->config != NULL);
    *job->config = *config;
}

static void copy_entries(struct consensus_job *job, const struct raft_entry *entries, size_t count)
{
    size_t at = 0;

    MESH_ASSERT(count > 0);
    job->entries = malloc(count * sizeof(entries[0]));
    MESH_ASSERT(job->entries != NULL);
    job->entry_count = count;
    memcpy(job->entries, entries, count * sizeof(entries[0]));
    for (size_t i = 0; i < count; i++)
        MESH_ASSERT(buffer_append(&job->bytes, entries[i].body.data, entries[i].body.size) == 0);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].body.size == 0) continue; /* and then there may be no bytes at all */
        job->entries[i].body = slice_of(job->bytes.data + at, entries[i].body.size);
        at += entries[i].body.size;
    }
}

static void copy_others(struct consensus_job *job, const struct raft_output *output)
{
    size_t size = output->other_count * sizeof(output->others[0]);

    job->others = malloc(size + 1);
    MESH_ASSERT(job->others != NULL);
    memcpy(job->others, output->others, size);
    job->other_count = output->other_count;
}

void consensus_lane_store(struct consensus_lane *lane, const struct raft_output *output)
{
    struct consensus_job *job;

    switch (output->type) {
    case RAFT_OUTPUT_STORE_STATE:
        job = add_job(lane, CONSENSUS_JOB_STATE);
        job->term = output->term;
        job->voted_for = output->voted_for;
        job->damaged_until = output->damaged_until;
        job->forced_term = output->forced_term;
        if (output->others != NULL) copy_others(job, output);
        break;
    case RAFT_OUTPUT_STORE_ENTRIES:
        job = add_job(lane, CONSENSUS_JOB_ENTRIES);
        copy_entries(job, output->entries, output->entry_count);
        job->committed = output->committed;
        break;
    default:
        MESH_ASSERT(output->type == RAFT_OUTPUT_STORE_CHUNK);
        job = add_job(lane, CONSENSUS_JOB_CHUNK);
        job->position = output->position;
        copy_config(job, output->config);
        job->offset = output->offset;
        job->total = output->total;
        job->is_last = output->is_last;
        MESH_ASSERT(buffer_append(&job->bytes, output->message.data, output->message.size) == 0);
        break;
    }
    job->store = output->store;
}

void consensus_lane_snapshot(struct consensus_lane *lane, const struct raft_position *position, const struct raft_config *config,
                             struct slice bytes)
{
    struct consensus_job *job = add_job(lane, CONSENSUS_JOB_SNAPSHOT);

    job->position = *position;
    copy_config(job, config);
    MESH_ASSERT(buffer_append(&job->bytes, bytes.data, bytes.size) == 0);
}

void consensus_lane_read(struct consensus_lane *lane, const struct raft_output *output)
{
    struct consensus_job *job = add_job(lane, CONSENSUS_JOB_SNAPSHOT_READ);

    job->to = output->to;
    job->context = output->context;
    job->index = output->index;
    job->offset = output->offset;
    job->size = output->size;
}

/* ---- and are done ---- */

static int do_snapshot(struct consensus_lane *lane, const struct consensus_job *job)
{
    size_t half = job->bytes.size / 2;
    int err = raft_store_snapshot_begin(lane->store, &job->position, job->config);

    if (err == 0) err = raft_store_snapshot_write(lane->store, slice_of(job->bytes.data, half));
    if (err == 0) err = raft_store_snapshot_write(lane->store, slice_of(job->bytes.data + half, job->bytes.size - half));
    return err != 0 ? err : raft_store_snapshot_end(lane->store);
}

static void do_read(struct consensus_lane *lane, struct consensus_job *job)
{
    static const struct raft_config nobody;
    size_t size = 0;

    copy_config(job, &nobody);
    job->error = raft_store_snapshot_info(lane->store, &job->position, job->config, &job->total);
    if (job->error == 0 && job->index != 0 && job->position.index != job->index) job->error = MESH_ENOTFOUND;
    if (job->error != 0 || job->offset > job->total) return;
    if (job->size > job->total - job->offset) job->size = job->total - job->offset;
    MESH_ASSERT(buffer_reserve(&job->bytes, job->size + 1) == 0);
    job->error = raft_store_snapshot_read(lane->store, job->position.index, job->offset, job->bytes.data, job->size, &size);
    job->bytes.size = size;
}

/* How many appends follow each other from this one on, each right behind the one before: they become one append, with one sync, as in the
 * broker (metadata/disk.c). Their entries are in lane->run. */
static size_t form_run(struct consensus_lane *lane, const struct consensus_job *first, size_t jobs_max)
{
    const struct consensus_job *job = first;
    size_t jobs = 0;

    lane->run_count = 0;
    for (;;) {
        size_t count = lane->run_count + job->entry_count;
        if (count > lane->run_capacity) {
            lane->run = realloc(lane->run, 2 * count * sizeof(lane->run[0]));
            MESH_ASSERT(lane->run != NULL);
            lane->run_capacity = 2 * count;
        }
        memcpy(lane->run + lane->run_count, job->entries, job->entry_count * sizeof(job->entries[0]));
        lane->run_count = count;
        lane->run_committed = job->committed;
        jobs++;
        if (jobs == jobs_max || job->node.next == &lane->waiting) return jobs;
        job = container_of(job->node.next, struct consensus_job, node);
        if (job->type != CONSENSUS_JOB_ENTRIES || job->entries[0].index != lane->run[count - 1].index + 1) return jobs;
    }
}

static int do_job(struct consensus_lane *lane, struct consensus_job *job)
{
    switch (job->type) {
    case CONSENSUS_JOB_STATE:
        if (job->others != NULL) raft_store_note_others(lane->store, job->others, job->other_count);
        if (job->forced_term != 0) raft_store_note_forced(lane->store, job->forced_term);
        return raft_store_set_state(lane->store, job->term, &job->voted_for, job->damaged_until);
    case CONSENSUS_JOB_ENTRIES:
        if (lane->run_committed > 0) raft_store_note_committed(lane->store, lane->run_committed);
        return raft_store_append(lane->store, lane->run, lane->run_count);
    case CONSENSUS_JOB_CHUNK:
        job->error = raft_store_snapshot_chunk(lane->store, &job->position, job->config, job->offset, buffer_slice(&job->bytes),
                                               job->total, job->is_last);
        return raft_store_error(lane->store);
    case CONSENSUS_JOB_SNAPSHOT:
        job->error = do_snapshot(lane, job); /* MESH_EINVAL: a leader's newer one came before it */
        return raft_store_error(lane->store);
    case CONSENSUS_JOB_SNAPSHOT_READ: do_read(lane, job); return 0;
    }
    return MESH_EINVAL;
}

/* The next job that waits, or a run of appends. */
static int do_next(struct consensus_lane *lane, size_t run_max)
{
    struct consensus_job *first = container_of(lane->waiting.next, struct consensus_job, node);
    size_t jobs = first->type == CONSENSUS_JOB_ENTRIES ? form_run(lane, first, run_max) : 1;
    struct list_node *node = &first->node;
    int err;

    for (size_t i = 0; i < jobs; i++, node = node->next)
        lane->doing(lane->user, container_of(node, struct consensus_job, node), false);
    err = do_job(lane, first);
    if (err != 0) return err;
    for (size_t i = 0; i < jobs; i++) {
        struct consensus_job *job = container_of(lane->waiting.next, struct consensus_job, node);
        if (job->error == 0) lane->doing(lane->user, job, true);
        list_remove(&job->node);
        list_push_back(&lane->done, &job->node);
    }
    return 0;
}

/* Does the next jobs. A full disk is waited for: an append that found no room changed nothing. */
static int do_some(struct consensus_lane *lane)
{
    uint64_t together = 1 + random_below(sim_host_random(lane->host), TOGETHER_MAX);
    size_t run_max = !lane->is_bundling || random_below(sim_host_random(lane->host), ALONE_ONE_IN) == 0 ? 1 : SIZE_MAX;

    while (together-- > 0 && !list_is_empty(&lane->waiting)) {
        int err = do_next(lane, run_max);
        if (err == MESH_EFULL && raft_store_error(lane->store) == 0) {
            SIM_SOMETIMES("a full disk was waited for");
            if (!list_is_empty(&lane->done)) break;
            lane->due_us = sim_host_now_us(lane->host) + FULL_RETRY_US;
            return 0;
        }
        if (err != 0) return err;
    }
    wait_for_disk(lane);
    lane->is_telling = true;
    return 0;
}

uint64_t consensus_lane_due_us(const struct consensus_lane *lane)
{
    return lane->due_us;
}

int consensus_lane_tick(struct consensus_lane *lane, uint64_t now_us)
{
    if (now_us < lane->due_us || lane->is_telling) return 0;
    return do_some(lane);
}

struct consensus_job *consensus_lane_told(struct consensus_lane *lane, uint64_t now_us)
{
    struct list_node *node;

    if (!lane->is_telling || now_us < lane->due_us) return NULL;
    node = list_pop_front(&lane->done);
    if (node != NULL) return container_of(node, struct consensus_job, node);
    lane->is_telling = false;
    lane->due_us = SIM_NEVER;
    if (!list_is_empty(&lane->waiting)) wait_for_disk(lane);
    return NULL;
}
