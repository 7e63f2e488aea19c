#include "store_world.h"

#include "base/error.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

/* Lets allocations of the store fail, not those of the checks around it. */
static void arm(struct world *world)
{
    if (world->arm != NULL) world->arm(&world->random);
}

static void disarm(struct world *world)
{
    if (world->arm != NULL) world->disarm();
}

/* ---- shape ---- */

static uint64_t draw(struct random *random, uint64_t low, uint64_t high)
{
    return low + random_below(random, high - low + 1);
}

void world_draw_shape(struct world_shape *shape, struct random *random)
{
    *shape = (struct world_shape){
        .log_count = (uint32_t)draw(random, 1, MODEL_LOGS_MAX),
        .value_size_max = 1u << draw(random, 5, 12),
        .async_percent = random_below(random, 2) ? 0 : (unsigned)draw(random, 10, 100),
        .append_weight = (unsigned)draw(random, 20, 60),
        .end_turn_weight = (unsigned)draw(random, 3, 20),
        .take_weight = (unsigned)draw(random, 5, 30),
        .run_weight = (unsigned)draw(random, 5, 30),
        .complete_weight = (unsigned)draw(random, 5, 30),
        .truncate_weight = random_below(random, 2) ? 0 : (unsigned)draw(random, 1, 5),
        .time_weight = (unsigned)draw(random, 1, 10),
        .read_weight = 3,
        .segment_bytes = draw(random, 2, 32) << 10,
        .retention_bytes = random_below(random, 3) == 0 ? (int64_t)draw(random, 4, 64) << 10 : -1,
    };
    if (random_below(random, 8) == 0) {
        shape->large_value_size = (uint32_t)draw(random, 30, 120) << 10;
        shape->segment_bytes = draw(random, 64, 512) << 10;
        shape->log_count = (uint32_t)draw(random, 1, 2);
    }
    shape->options = (struct store_options){
        .memory_bytes_max = draw(random, 4, 12) << 20,
        .chunk_bytes = (uint32_t)draw(random, 4, 32) << 12,
        .direct_enter_bytes = random_below(random, 2) ? (uint32_t)draw(random, 1, 16) << 10 : 0,
        .journal_bytes_max = draw(random, 2, 6) * (64u << 10),
        .journal_file_bytes = 64u << 10,
        .free_bytes_min = 0,
    };
    if (shape->large_value_size > 0) shape->options.journal_file_bytes = 256u << 10;
    if (shape->large_value_size > 0) shape->options.journal_bytes_max = draw(random, 3, 6) * (256u << 10);
    /* A mark for each batch in a third of the worlds; in the others they come by time. */
    if (shape->log_count % 3 == 0) shape->options.mark_bytes = 1;
    /* Half of the worlds remove files in small steps. Not drawn: the other choices of a seed stay what they were. */
    if (shape->log_count % 2 == 0) shape->options.delete_step_bytes = shape->options.chunk_bytes;
    /* Nor is this: half of the worlds sync their segments with the whole file system. */
    if (shape->run_weight % 2 == 0) shape->options.sync_all_files_min = 1;
    /* Nor this: half of them write small pieces past the page cache, and hold back what ends inside a block. */
    if (shape->end_turn_weight % 2 == 0) shape->options.past_cache_bytes_min = FS_BLOCK_SIZE;
}

static void draw_log(struct world *world, uint32_t number)
{
    struct model_log *model = &world->logs[number].model;

    model->id.topic_id.bytes[0] = (uint8_t)(number / 2 + 1); /* two partitions of a topic share a directory */
    model->id.topic_id.bytes[15] = 7;
    model->id.partition = number % 2;
    plog_config_init(&model->config);
    model->config.segment_bytes = world->shape.segment_bytes;
    model->config.retention_bytes = world->shape.retention_bytes;
    model->config.index_interval_bytes = 256;
    model->config.flush_bytes = 8 << 10;
    model->config.flush_interval_ms = 200;
    if (random_below(&world->random, 100) < world->shape.async_percent)
        model->config.flush = PLOG_FLUSH_ASYNC;
    snprintf(model->name, sizeof(model->name), "%u (%s)", number,
             model->config.flush == PLOG_FLUSH_ASYNC ? "async" : "group");
}

/* ---- opening and closing ---- */

static void note_event(void *user, bool is_damage, const char *text)
{
    struct world *world = user;

    if (is_damage && !world->is_faulty)
        ck_abort_msg("%s: a power cut is taken for damage: %s", world->where, text);
}

static void expect_only_faults(const struct world *world, int err, const char *what)
{
    bool is_excused = world->is_faulty || fs_mem_is_crashed(world->disk);

    must(err == 0 || is_excused, "%s: %s: %s", world->where, what, mesh_strerror(err));
}

static int open_logs(struct world *world, struct recovery_catalog *catalog)
{
    for (uint32_t i = 0; i < world->shape.log_count; i++) {
        struct world_log *log = &world->logs[i];
        struct plog_recovered *recovered;
        int err;
        if (log->model.id.topic_id.bytes[15] == 0) draw_log(world, i);
        if (log->model.is_deleted) continue;
        recovered = recovery_take(catalog, &log->model.id);
        err = store_open_log(world->store, &log->model.id, &log->model.config, recovered, &log->plog);
        if (err != 0) return err;
    }
    return 0;
}

int world_recover(struct world *world)
{
    struct store_options options = world->shape.options;
    struct recovery_catalog *catalog = NULL;
    int err;

    memset(world->jobs, 0, sizeof(world->jobs));
    memset(world->job_counts, 0, sizeof(world->job_counts));
    for (uint32_t i = 0; i < MODEL_LOGS_MAX; i++) {
        world->logs[i].world = world;
        world->logs[i].plog = NULL;
    }
    world->store = NULL;
    err = recovery_run(fs_mem_fs(world->disk), note_event, world, &catalog, &world->report);
    expect_only_faults(world, err, "recovery");
    if (err != 0) return err;
    options.fs = fs_mem_fs(world->disk);
    options.manifest_generation = world->report.generation + 1;
    err = store_open(&options, &world->store);
    expect_only_faults(world, err, "store_open");
    if (err == 0) err = open_logs(world, catalog);
    recovery_catalog_free(catalog);
    return err;
}

static void run_job(struct world *world, int lane, unsigned at)
{
    struct world_job *job = &world->jobs[lane][at];

    if (job->has_run) return;
    arm(world);
    store_job_run(job->job);
    disarm(world);
    job->has_run = true;
}

/* Lets the model know what is durable now. */
static void note_durable(struct world *world)
{
    uint64_t ticket = store_durable_ticket(world->store);

    for (uint32_t i = 0; i < world->shape.log_count; i++) {
        struct world_log *log = &world->logs[i];
        uint64_t durable, acked = 0;
        if (log->plog != NULL) log->model.start = plog_start_offset(log->plog);
        if (log->plog == NULL || log->model.is_truncating) continue;
        must(plog_first_offset(log->plog) <= plog_end_offset(log->plog), "%s: log %s: first behind the end", world->where, log->model.name);
        log->model.deleted_to = plog_durable_deleted_offset(log->plog);
        durable = plog_durable_offset(log->plog);
        must(durable <= plog_end_offset(log->plog), "%s: durable behind the end", world->where);
        if (durable > log->model.durable_end) log->model.durable_end = durable;
        if (log->model.config.flush != PLOG_FLUSH_GROUP || plog_error(log->plog) != 0) continue;
        for (uint32_t b = log->model.batch_count; b-- > 0 && acked == 0;) {
            const struct model_batch *batch = &log->model.batches[b];
            if (batch->ticket <= ticket) acked = (uint64_t)record_batch_last_offset(&batch->header) + 1;
        }
        must(acked <= durable, "%s: log %s: ticket %lu acknowledges %lu, durable is %lu", world->where,
             log->model.name, ticket, acked, durable);
    }
}

static void complete_job(struct world *world, int lane)
{
    struct store_job *job = world->jobs[lane][0].job;

    run_job(world, lane, 0);
    world->job_counts[lane]--;
    memmove(&world->jobs[lane][0], &world->jobs[lane][1],
            world->job_counts[lane] * sizeof(world->jobs[lane][0]));
    arm(world);
    store_job_complete(world->store, job);
    disarm(world);
    note_durable(world);
}

void world_close(struct world *world)
{
    for (int lane = 0; lane < STORE_LANE_COUNT && world->store != NULL; lane++) {
        while (world->job_counts[lane] > 0)
            complete_job(world, lane);
    }
    store_close(world->store);
    world->store = NULL;
    for (uint32_t i = 0; i < MODEL_LOGS_MAX; i++)
        world->logs[i].plog = NULL;
}

void world_copy_models(struct world *to, const struct world *from)
{
    to->shape = from->shape;
    to->memory = from->memory;
    to->now_ms = from->now_ms;
    to->now_wall_ms = from->now_wall_ms;
    to->is_faulty = from->is_faulty;
    for (uint32_t i = 0; i < from->shape.log_count; i++)
        model_copy(&to->logs[i].model, &from->logs[i].model);
}

/* ---- steps ---- */

int world_append(struct world *world, uint32_t number, uint32_t value_size)
{
    struct world_log *log = &world->logs[number];
    int producer = (int)random_below(&world->random, MODEL_PRODUCERS_MAX + 1) - 1;
    struct model_batch *batch;
    uint64_t ticket, ignored;
    int err;

    if (log->plog == NULL || log->model.is_truncating) return MESH_EAGAIN;
    if (random_below(&world->random, 40) == 0) log->model.epoch++;
    if (producer >= 0 && random_below(&world->random, 60) == 0) {
        log->model.producers[producer].epoch++;
        log->model.producers[producer].next_sequence = 0;
    }
    batch = model_draw(&log->model, world->memory, &world->random, producer, value_size, world->now_wall_ms);
    if (batch == NULL) return MESH_EFULL;
    must(plog_end_offset(log->plog) == (uint64_t)batch->header.base_offset, "%s: log %s ends at %lu, not %ld",
         world->where, log->model.name, plog_end_offset(log->plog), (long)batch->header.base_offset);
    err = plog_check_producer(log->plog, &batch->header, &ignored);
    must(err == 0, "%s: log %s: producer %d: fresh sequence %d is refused: %s", world->where, log->model.name,
         producer + 1, batch->header.base_sequence, mesh_error_name(err));
    arm(world);
    err = plog_append(log->plog, &batch->header, batch->bytes, world->now_wall_ms, &ticket);
    disarm(world);
    if (err != 0) return err;
    world->memory->used += batch->header.size;
    model_append(&log->model, ticket);
    return 0;
}

static void step_append(struct world *world)
{
    uint32_t number = (uint32_t)random_below(&world->random, world->shape.log_count);
    uint32_t size = (uint32_t)random_below(&world->random, world->shape.value_size_max);
    unsigned count = 1 + (unsigned)random_below(&world->random, 4);

    if (world->shape.large_value_size > 0 && random_below(&world->random, 4) == 0)
        size = world->shape.large_value_size;
    for (unsigned i = 0; i < count; i++) {
        int err = world_append(world, number, size);
        if (err == MESH_EAGAIN || err == MESH_EFULL) return; /* full until jobs have run */
        expect_only_faults(world, err, "append");
    }
}

static void step_end_turn(struct world *world)
{
    arm(world);
    store_end_turn(world->store, world->now_ms, world->now_wall_ms);
    disarm(world);
    note_durable(world);
}

static bool take_job(struct world *world, int lane)
{
    struct store_job *job;

    if (world->job_counts[lane] == WORLD_JOBS_MAX) return false;
    arm(world);
    job = store_next_job(world->store, (enum store_lane)lane);
    disarm(world);
    if (job == NULL) return false;
    world->jobs[lane][world->job_counts[lane]++] = (struct world_job){.job = job};
    return true;
}

/* A lane is one thread: its jobs run in the order in which they were taken. */
static void step_run(struct world *world, int lane)
{
    for (unsigned i = 0; i < world->job_counts[lane]; i++) {
        if (world->jobs[lane][i].has_run) continue;
        run_job(world, lane, i);
        return;
    }
}

static void step_complete(struct world *world, int lane)
{
    if (world->job_counts[lane] > 0 && world->jobs[lane][0].has_run) complete_job(world, lane);
}

static void truncated(void *user, int error)
{
    struct world_log *log = user;
    struct world *world = log->world;
    bool is_restart;

    disarm(world);
    log->model.is_truncating = false;
    is_restart = log->model.is_restarting;
    if (error == MESH_ECANCELED) return; /* the store was closed over it: a restart may have been done, or not */
    expect_only_faults(world, error, "truncation");
    if (error != 0) {
        log->plog = NULL; /* poisoned, and nobody knows whether before or after the cut */
        return;
    }
    log->model.is_restarting = false;
    log->model.deleted_max = plog_first_offset(log->plog);
    if (is_restart) model_restart(&log->model, log->model.truncate_to, log->model.restart_epoch);
    else model_truncate(&log->model, log->model.truncate_to);
    must(plog_end_offset(log->plog) == model_end(&log->model) || log->model.batch_count == 0,
         "%s: log %s: truncated to %lu, not %lu", world->where, log->model.name, plog_end_offset(log->plog),
         model_end(&log->model));
}

/* Far ahead, as when the leader's retention went on, or back. */
static void step_restart(struct world *world, struct world_log *log)
{
    struct model_log before;
    int err;

    model_copy(&before, &log->model);
    log->model.is_truncating = log->model.is_restarting = true;
    log->model.truncate_to = random_below(&world->random, model_end(&log->model) + 100);
    log->model.restart_epoch = log->model.truncate_to % 4 == 0 ? -1 : log->model.epoch;
    log->model.durable_end = log->model.deleted_to = 0;
    arm(world);
    err = plog_restart(log->plog, log->model.truncate_to, log->model.restart_epoch, truncated, log);
    disarm(world);
    if (err == 0) return;
    if (err != MESH_EAGAIN) expect_only_faults(world, err, "plog_restart");
    model_copy(&log->model, &before);
}

static void step_truncate(struct world *world)
{
    struct world_log *log = &world->logs[random_below(&world->random, world->shape.log_count)];
    uint64_t start, end, offset, durable = log->model.durable_end;
    int err;

    if (log->plog == NULL || log->model.is_truncating) return;
    if (random_below(&world->random, 4) == 0) {
        step_restart(world, log);
        return;
    }
    start = plog_start_offset(log->plog);
    end = plog_end_offset(log->plog);
    offset = start + random_below(&world->random, end - start + 2);
    if (start == end) return;
    log->model.is_truncating = true;
    log->model.truncate_to = offset >= end ? end : model_round_down(&log->model, offset);
    if (durable > log->model.truncate_to) log->model.durable_end = log->model.truncate_to;
    if (log->model.deleted_to > log->model.truncate_to) log->model.deleted_to = log->model.truncate_to;
    arm(world);
    err = plog_truncate(log->plog, offset, truncated, log);
    disarm(world);
    if (err == 0) return;
    if (err != MESH_EAGAIN) expect_only_faults(world, err, "plog_truncate");
    log->model.is_truncating = false;
    log->model.durable_end = durable;
}

static void step_delete(struct world *world)
{
    struct world_log *log = &world->logs[random_below(&world->random, world->shape.log_count)];

    if (log->plog == NULL || log->model.is_truncating) return;
    plog_delete(log->plog);
    log->plog = NULL;
    log->model.is_deleted = true;
}

/* Where is not drawn: the other choices of a seed stay what they were. */
static void step_delete_records(struct world *world)
{
    struct world_log *log = &world->logs[world->now_ms / 5 % world->shape.log_count];
    uint64_t start, end, offset;

    if (log->plog == NULL || log->model.is_truncating) return;
    start = plog_start_offset(log->plog);
    end = plog_end_offset(log->plog);
    offset = world->now_ms % 3 == 0 ? end : start + world->now_ms % (end - start + 1) / 4;
    must(plog_delete_before(log->plog, offset) == 0, "%s: log %s: records before %lu are not deleted", world->where, log->model.name, offset);
    if (offset > log->model.deleted_max) log->model.deleted_max = offset;
    must(plog_delete_before(log->plog, end + 1) == MESH_EOFFSET_OUT_OF_RANGE, "%s: records that never were are deleted", world->where);
}

static void step_time(struct world *world)
{
    uint64_t ms = 1 + random_below(&world->random, random_below(&world->random, 4) == 0 ? 5000 : 50);

    world->now_ms += ms;
    world->now_wall_ms += (int64_t)ms;
    arm(world);
    store_tick(world->store, world->now_ms, world->now_wall_ms);
    disarm(world);
    if (world->now_ms % 5 == 0) step_delete_records(world);
    if (random_below(&world->random, 60) == 0) step_delete(world);
}

static void step_read(struct world *world)
{
    struct world_log *log = &world->logs[random_below(&world->random, world->shape.log_count)];
    uint64_t start, end;

    if (log->plog == NULL || log->model.is_truncating) return;
    start = plog_start_offset(log->plog);
    end = plog_end_offset(log->plog);
    if (start == end) return;
    model_check_read(&log->model, log->plog, start + random_below(&world->random, end - start),
                     1 + (uint32_t)random_below(&world->random, 8192), world->where);
}

void world_step(struct world *world)
{
    const struct world_shape *shape = &world->shape;
    const unsigned weights[] = {shape->append_weight, shape->end_turn_weight, shape->take_weight,
                                shape->run_weight,    shape->complete_weight, shape->truncate_weight,
                                shape->time_weight,   shape->read_weight};
    int lane = (int)random_below(&world->random, STORE_LANE_COUNT);
    unsigned total = 0, what = 0;
    uint64_t drawn;

    for (unsigned i = 0; i < sizeof(weights) / sizeof(weights[0]); i++)
        total += weights[i];
    for (drawn = random_below(&world->random, total); drawn >= weights[what]; what++)
        drawn -= weights[what];
    switch (what) {
    case 0: step_append(world); break;
    case 1: step_end_turn(world); break;
    case 2: take_job(world, lane); break;
    case 3: step_run(world, lane); break;
    case 4: step_complete(world, lane); break;
    case 5: step_truncate(world); break;
    case 6: step_time(world); break;
    default: step_read(world); break;
    }
}

/* Runs every job there is. True when any was there. */
static bool run_all(struct world *world)
{
    bool has_run = false;

    for (int lane = 0; lane < STORE_LANE_COUNT; lane++) {
        while (world->job_counts[lane] > 0 || take_job(world, lane)) {
            complete_job(world, lane);
            has_run = true;
        }
    }
    return has_run;
}

static bool is_all_durable(struct world *world)
{
    if (store_durable_ticket(world->store) + 1 < store_forming_ticket(world->store)) return false;
    for (uint32_t i = 0; i < world->shape.log_count; i++) {
        const struct world_log *log = &world->logs[i];
        if (log->plog == NULL) continue;
        if (log->model.is_truncating) return false;
        if (plog_error(log->plog) == 0 && plog_durable_offset(log->plog) < plog_end_offset(log->plog))
            return false;
    }
    return true;
}

bool world_settle(struct world *world)
{
    for (int round = 0; round < 200; round++) {
        step_end_turn(world);
        run_all(world);
        if (is_all_durable(world)) return true;
        world->now_ms += 100;
        world->now_wall_ms += 100;
        store_tick(world->store, world->now_ms, world->now_wall_ms);
    }
    return false;
}

bool world_drain(struct world *world)
{
    store_drain(world->store);
    for (int round = 0; round < 200 && !store_is_drained(world->store); round++) {
        run_all(world);
        step_end_turn(world);
        world->now_ms += 100;
        store_tick(world->store, world->now_ms, world->now_wall_ms);
    }
    must(store_is_drained(world->store), "%s: draining never ends", world->where);
    return store_drain_error(world->store) == 0;
}

/* ---- checks ---- */

/* A restart that was cut short leaves the old log, or an empty one: at its new place, at the old one, or at 0. */
static void settle_restart(struct model_log *model, const struct plog *plog)
{
    uint64_t start = plog_start_offset(plog), end = plog_end_offset(plog);
    bool is_at_old_place = start == model->base && (start != model->truncate_to || plog_last_epoch(plog) == model->base_epoch);

    if (model->is_restarting && start == end && (start == 0 || start == model->base || start == model->truncate_to))
        model_restart(model, start, is_at_old_place ? model->base_epoch : model->restart_epoch);
    model->is_restarting = false;
}

/* What was durably deleted stays so, as far as the log goes; nothing else is: neither what was never deleted, nor what came after a cut. */
static void check_deleted(struct world *world, struct world_log *log)
{
    struct model_log *model = &log->model;
    uint64_t start = plog_start_offset(log->plog), end = plog_end_offset(log->plog), first = plog_first_offset(log->plog);

    must(first >= (model->deleted_to < end ? model->deleted_to : end), "%s: log %s begins at %lu: records before %lu were deleted",
         world->where, model->name, first, model->deleted_to);
    must(first <= end && (first == start || first <= model->deleted_max), "%s: log %s begins at %lu: records before %lu were deleted, no more",
         world->where, model->name, first, model->deleted_max);
    model->deleted_to = plog_durable_deleted_offset(log->plog);
    model->deleted_max = first;
}

static void check_recovered_log(struct world *world, struct world_log *log)
{
    struct model_log *model = &log->model;
    uint64_t start = plog_start_offset(log->plog), end = plog_end_offset(log->plog);

    must(end >= model->durable_end, "%s: log %s ends at %lu: %lu was acknowledged", world->where, model->name,
         end, model->durable_end);
    settle_restart(model, log->plog);
    must(start <= model->start, "%s: log %s [%lu, %lu) starts later than %lu; base %lu end %lu restarting %d to %lu", world->where, model->name, start, end,
         model->start, model->base, model_end(model), model->is_restarting, model->truncate_to);
    must(start <= end && end <= model_end(model), "%s: log %s is [%lu, %lu) of %lu", world->where,
         model->name, start, end, model_end(model));
    must(model_round_down(model, end) == end, "%s: log %s ends inside a batch", world->where, model->name);
    must(plog_durable_offset(log->plog) == end, "%s: what was recovered is not durable", world->where);
    check_deleted(world, log);
    model->is_truncating = false;
    model_truncate(model, end);
    model->durable_end = end;
    model_check_bytes(model, log->plog, world->where);
    model_check_epochs(model, log->plog, world->where);
    model_check_producers(model, log->plog, world->where);
    if (model->batch_count > 0 && model->epoch < model->batches[model->batch_count - 1].header.leader_epoch)
        model->epoch = model->batches[model->batch_count - 1].header.leader_epoch;
}

void world_check_recovered(struct world *world)
{
    must(world->report.holes == 0 || world->is_faulty, "%s: %lu holes after a power cut", world->where,
         world->report.holes);
    for (uint32_t i = 0; i < world->shape.log_count; i++) {
        if (world->logs[i].plog != NULL) check_recovered_log(world, &world->logs[i]);
    }
}

void world_check_durable(struct world *world)
{
    for (uint32_t i = 0; i < world->shape.log_count; i++) {
        struct world_log *log = &world->logs[i];
        if (log->plog == NULL) continue;
        must(plog_end_offset(log->plog) >= log->model.durable_end,
             "%s: log %s ends at %lu: %lu was acknowledged", world->where, log->model.name,
             plog_end_offset(log->plog), log->model.durable_end);
        settle_restart(&log->model, log->plog);
        must(plog_start_offset(log->plog) <= log->model.start, "%s: log %s starts at %lu, not %lu",
             world->where, log->model.name, plog_start_offset(log->plog), log->model.start);
        model_check_durable(&log->model, log->plog, world->where);
    }
}

void world_check_logs(struct world *world)
{
    for (uint32_t i = 0; i < world->shape.log_count; i++) {
        struct world_log *log = &world->logs[i];
        if (log->plog == NULL || log->model.is_truncating) continue;
        must(plog_end_offset(log->plog) == model_end(&log->model), "%s: log %s ends at %lu, not %lu",
             world->where, log->model.name, plog_end_offset(log->plog), model_end(&log->model));
        model_check_bytes(&log->model, log->plog, world->where);
        model_check_epochs(&log->model, log->plog, world->where);
        model_check_producers(&log->model, log->plog, world->where);
    }
}
