#include "sim/replication_program.h"

#include "base/assert.h"
#include "base/error.h"
#include "segment/healing.h"
#include "segment/manifest.h"
#include "sim/replication_internal.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>
#include <string.h>

#define HURRY_MAX 10000

/* ---- look-ups ---- */

struct replication_process *replication_process_of(struct metadata_process *process)
{
    return metadata_process_tenant(process);
}

struct metadata_process *replication_process_metadata(const struct replication_process *process)
{
    return process->metadata;
}

struct sim_host *replication_process_host(const struct replication_process *process)
{
    return process->host;
}

const struct image *replication_process_image(const struct replication_process *process)
{
    return process->image;
}

bool replication_process_is_registered(const struct replication_process *process)
{
    return process->is_registered;
}

struct list_node *replication_process_replicas(struct replication_process *process)
{
    return &process->replicas;
}

int32_t replication_process_node_id(const struct replication_process *process)
{
    return process->node_id;
}

void *replication_process_guest(const struct replication_process *process)
{
    return process->guest;
}

uint64_t replication_process_now_ms(const struct replication_process *process)
{
    return process->now_ms;
}

bool replication_process_was_clean(const struct replication_process *process)
{
    return process->store.report.was_clean;
}

bool replication_process_has_failed(const struct replication_process *process)
{
    struct store_stats stats;

    store_get_stats(process->store.store, &stats);
    return stats.is_failed || stats.failed_logs > 0;
}

struct replication_replica *replication_process_find(struct replication_process *process, const struct uuid *topic_id, uint32_t partition)
{
    list_for_each(node, &process->replicas)
    {
        struct replication_replica *replica = container_of(node, struct replication_replica, link);

        if (replica->plog != NULL && replica->number == partition && uuid_equal(&replica->topic_id, topic_id)) return replica;
    }
    return NULL;
}

void replication_replica_positions(const struct replication_replica *replica, struct partition_positions *ret_positions)
{
    const struct plog *plog = replica->plog;

    struct plog_damage damage;

    *ret_positions = (struct partition_positions){plog_start_offset(plog), plog_end_offset(plog), plog_written_offset(plog), plog_durable_offset(plog), plog_first_offset(plog)};
    if (replica_leads(&replica->replica) || !plog_find_damage(plog, 0, &damage)) return;
    if (damage.from < ret_positions->start) damage.from = ret_positions->start; /* as cmd/broker/runtime/partitions.c */
    if (ret_positions->written > damage.from) ret_positions->written = damage.from;
    if (ret_positions->durable > damage.from) ret_positions->durable = damage.from;
}

uint64_t replication_epoch_end(void *user, const struct replica *replica, int32_t epoch, int32_t *ret_epoch)
{
    (void)user;
    return plog_epoch_end_offset(replication_of(replica)->plog, epoch, ret_epoch);
}

int32_t replication_last_epoch(void *user, const struct replica *replica)
{
    (void)user;
    return plog_last_epoch(replication_of(replica)->plog);
}

int32_t replication_start_epoch(void *user, const struct replica *replica)
{
    uint64_t start = replica->partition.log_start;

    (void)user;
    return start == 0 ? -1 : plog_epoch_at(replication_of(replica)->plog, start - 1);
}

void replication_identify(void *user, const struct replica *replica, struct uuid *ret_topic_id, uint32_t *ret_partition)
{
    (void)user;
    *ret_topic_id = replication_of(replica)->topic_id;
    *ret_partition = replication_of(replica)->number;
}

/* ---- reading ---- */

static int copy_extent(const struct plog_extent *extent, struct buffer *to)
{
    size_t size = 0;
    int err = buffer_reserve(to, to->size + extent->size);

    if (err != 0) return err;
    if (extent->file == NULL) {
        memcpy(to->data + to->size, extent->memory, extent->size);
        size = extent->size;
    } else {
        err = extent->file->fs->ops->read(extent->file, to->data + to->size, extent->size, extent->position, &size);
    }
    if (err == 0 && size != extent->size) err = MESH_ECORRUPT;
    if (err == 0) to->size += size;
    return err;
}

int replication_read_log(const struct replication_replica *replica, uint64_t offset, uint64_t limit, uint32_t bytes_max, struct buffer *to)
{
    struct plog_view view;
    int err;

    replica->process->is_store_touched = replica->process->is_stirred = true; /* it may want the disk */
    err = plog_read(replica->plog, offset, limit, bytes_max, &view);

    if (err != 0) return err;
    for (uint32_t i = 0; i < view.extent_count && err == 0; i++)
        err = copy_extent(&view.extents[i], to);
    plog_view_release(&view);
    return err;
}

int replication_fetch(struct replication_process *process, const struct uuid *topic_id, uint32_t partition, int32_t leader_epoch, uint64_t offset, uint32_t bytes_max,
                      struct buffer *to, uint64_t *ret_high_watermark)
{
    struct replication_replica *replica = replication_process_find(process, topic_id, partition);
    int err;

    if (process->is_leaving) return MESH_ESHUTDOWN;
    if (replica == NULL) return MESH_ENOT_LEADER;
    err = partition_check_leader(&replica->replica.partition, leader_epoch);
    if (err == 0) err = replica_check_fetch_offset(&replica->replica, offset);
    if (err != 0) return err;
    *ret_high_watermark = replica->replica.partition.high_watermark;
    return offset == *ret_high_watermark ? 0 : replication_read_log(replica, offset, *ret_high_watermark, bytes_max, to);
}

/* ---- what is to be done ---- */

void replication_redo(struct replication_replica *replica, uint32_t todo, uint64_t after_ms)
{
    struct replication_process *process = replica->process;
    uint64_t at_ms = process->now_ms + after_ms;

    replica->redo_ms = replica->redo == 0 || at_ms < replica->redo_ms ? at_ms : replica->redo_ms;
    replica->redo |= (uint16_t)todo;
    if (list_is_empty(&replica->redo_link)) list_push_back(&process->redo, &replica->redo_link);
    if (replica->redo_ms < process->redo_ms) process->redo_ms = replica->redo_ms;
}

int replication_log_append(struct replication_replica *replica, const struct record_batch_header *header, const uint8_t *batch, uint64_t *ret_ticket)
{
    struct replication_process *process = replica->process;

    process->is_store_touched = true;
    return plog_append(replica->plog, header, batch, sim_host_wall_us(process->host) / 1000, ret_ticket);
}

static void begin_epoch(struct replication_replica *replica)
{
    struct replication_process *process = replica->process;
    struct record_batch_header header;
    uint64_t ticket;
    int64_t wall_ms = sim_host_wall_us(process->host) / 1000;
    int err;

    buffer_clear(&process->scratch);
    MESH_ASSERT(replica_build_epoch_start(&replica->replica, wall_ms, &process->scratch) == 0);
    MESH_ASSERT(record_batch_parse_header(buffer_slice(&process->scratch), &header) == 0);
    err = replication_log_append(replica, &header, process->scratch.data, &ticket);
    if (err != 0) {
        replication_redo(replica, REPLICA_TODO_EPOCH_START, err == MESH_EAGAIN ? 1 : REPLICATION_DISK_WAIT_MS);
        return;
    }
    process->has_appended = true;
    REPLICATION_HOOK(process, leads, replica);
    REPLICATION_HOOK(process, appended, replica, &header);
    replica_epoch_started(&replica->replica, &header);
}

static void on_cut(void *user, int error)
{
    struct replication_replica *replica = user;
    struct partition_positions positions;

    if (replica->plog == NULL || error != 0) return; /* deleted meanwhile, or its disk failed: it is not used any more */
    replication_replica_positions(replica, &positions);
    replica_cut_done(&replica->replica, &positions);
    replication_delete_records(replica);
    REPLICATION_GUEST(replica->process, stirred, replica);
}

static void cut(struct replication_replica *replica)
{
    struct replica_cut what;
    int err;

    replica_get_cut(&replica->replica, &what);
    if (!what.is_reset && replication_heal_forbids_cut(replica, what.offset)) {
        replication_redo(replica, REPLICA_TODO_CUT, REPLICATION_DISK_WAIT_MS);
        return;
    }
    replica->cut_count++;
    replica->process->is_store_touched = true;
    REPLICATION_GUEST(replica->process, cutting, replica);
    REPLICATION_HOOK(replica->process, cutting, replica, &what);
    err = what.is_reset ? plog_restart(replica->plog, what.offset, what.epoch, on_cut, replica) : plog_truncate(replica->plog, what.offset, on_cut, replica);
    if (err == 0) return;
    REPLICATION_HOOK(replica->process, not_cut, replica);
    if (err == MESH_ESTORAGE) return;
    replication_redo(replica, REPLICA_TODO_CUT, err == MESH_EAGAIN ? 1 : REPLICATION_DISK_WAIT_MS);
}

static void committed(struct replication_replica *replica)
{
    replica->was_replicated = replica->was_replicated || replica->replica.member_count > 1;
    if (replica->was_replicated) plog_set_high_watermark(replica->plog, replica->replica.partition.high_watermark);
    REPLICATION_HOOK(replica->process, committed, replica);
    if (replica->is_deletion_due) replication_delete_records(replica);
    replication_acknowledge_committed(replica);
    REPLICATION_GUEST(replica->process, committed, replica);
}

static void trim(struct replication_replica *replica)
{
    replica->process->is_store_touched = true;
    plog_trim(replica->plog, replica->replica.leader_log_start);
}

static void run_todo(struct replication_replica *replica, uint32_t todo, bool is_late)
{
    struct replica *core = &replica->replica;

    if (replica->plog == NULL) return;
    if ((todo & REPLICA_TODO_HIGH_WATERMARK) != 0 && !core->is_cutting) REPLICATION_HOOK(replica->process, committed, replica);
    replication_acknowledge_committed(replica); /* before anybody is refused */
    if ((todo & REPLICA_TODO_LED) != 0) {
        replication_refuse_waiting(replica, MESH_EUNCOMMITTED);
        REPLICATION_GUEST(replica->process, ceased, replica);
    }
    if ((todo & REPLICA_TODO_BELOW_MIN) != 0 && replica_leads(core)) {
        replication_refuse_waiting(replica, MESH_EUNCOMMITTED);
        REPLICATION_GUEST(replica->process, below_min, replica);
    }
    if ((todo & REPLICA_TODO_CUT) != 0 && core->is_cutting) cut(replica);
    if ((todo & REPLICA_TODO_EPOCH_START) != 0 && replica_leads(core) && core->partition.is_starting && !core->is_cutting) begin_epoch(replica);
    if ((todo & REPLICA_TODO_HIGH_WATERMARK) != 0) committed(replica);
    if ((todo & REPLICA_TODO_TRIM) != 0) trim(replica);
    if ((todo & REPLICA_TODO_ALTER) != 0) replication_alters_add(replica);
    if ((todo & REPLICA_TODO_FOLLOW) != 0 && core->role == REPLICA_FOLLOWER && !replication_follow(replica))
        replication_redo(replica, REPLICA_TODO_FOLLOW, REPLICATION_RETRY_MS);
    if ((todo & REPLICA_TODO_REPORT) != 0) replication_reports_consider(replica, is_late);
}

static void run_redo(struct replication_process *process)
{
    struct list_node due, *node;

    if (process->now_ms < process->redo_ms) return;
    process->redo_ms = UINT64_MAX;
    list_init(&due);
    while ((node = list_pop_front(&process->redo)) != NULL)
        list_push_back(&due, node);
    while ((node = list_pop_front(&due)) != NULL) {
        struct replication_replica *replica = container_of(node, struct replication_replica, redo_link);
        uint32_t todo = replica->redo;

        if (replica->redo_ms > process->now_ms) {
            list_push_back(&process->redo, node);
            if (replica->redo_ms < process->redo_ms) process->redo_ms = replica->redo_ms;
            continue;
        }
        replica->redo = 0;
        run_todo(replica, todo, true);
    }
}

static void run_board(struct replication_process *process)
{
    struct replica *replica;
    uint32_t todo;

    while ((replica = replica_board_next(&process->board, &todo)) != NULL)
        run_todo(replication_of(replica), todo, false);
}

/* ---- the turn ---- */

static void set_clock(struct replication_process *process)
{
    process->is_stirred = true;
    process->now_ms = sim_host_now_us(process->host) / 1000;
    process->board.now_ms = process->now_ms;
    replication_store_set_clock(&process->store);
}

void replication_process_stir(struct replication_process *process)
{
    set_clock(process);
}

/* The lanes that have nothing to do get what there is for them. */
static void begin_jobs(struct replication_process *process)
{
    replication_store_begin(&process->store, STORE_LANE_SYNC);
    replication_store_begin(&process->store, STORE_LANE_BEHIND);
    replication_store_begin(&process->store, STORE_LANE_BACKGROUND);
    replication_store_begin(&process->store, STORE_LANE_READ);
}

/* The defect: nothing is synced, and the next start believes that it was. */
static void leave_mark(struct replication_process *process)
{
    struct fs *fs = sim_host_fs(process->host);
    char path[FS_PATH_MAX];

    manifest_path(0, MANIFEST_PATH_MARKER, path);
    (void)fs->ops->unlink(fs, path);
    (void)fs->ops->sync_dir(fs, "manifest");
    process->is_drained = true;
    REPLICATION_HOOK(process, drained, process, 0);
}

/* A real broker opens its stores once its metadata know all logs that recovery found, and touches none of them if it is stopped before. A manifest
 * written here would not name the logs that are still closed. */
static void leave_unopened(struct replication_process *process)
{
    process->is_drained = true;
    REPLICATION_HOOK(process, drained, process, MESH_EAGAIN);
}

static void begin_draining(struct replication_process *process)
{
    process->is_draining = true;
    if (process->guest != NULL) process->config->guest->stop(process->guest);
    process->guest = NULL;
    replication_streams_stop(process);
    replication_heal_stop(process);
    if ((process->config->driver_defects >> REPLICATION_DRIVER_MARKS_EARLY & 1) != 0) leave_mark(process);
    else if (replication_store_has_unopened(&process->store)) leave_unopened(process);
    else store_drain(process->store.store);
}

/* Nobody is led, followed or mended any more: what is left is the disk. */
static void drain_turn(struct replication_process *process)
{
    (void)replication_store_run(&process->store);
    store_end_turn(process->store.store, process->now_ms, sim_host_wall_us(process->host) / 1000);
    (void)replication_store_tick(&process->store, true);
    begin_jobs(process);
    if (process->is_drained) {
        sim_exit(process->host);
    } else if (replication_store_is_drained(&process->store)) {
        if (store_drain_error(process->store.store) == 0 && !process->store.report.is_untold) (void)recovery_told(sim_host_fs(process->host));
        process->is_drained = true; /* it exits in an event of its own */
        REPLICATION_HOOK(process, drained, process, store_drain_error(process->store.store));
    }
}

static void turn(void *user)
{
    struct replication_process *process = user;
    bool has_news, is_ticked;

    if (!process->is_stirred && sim_host_now_us(process->host) < process->due_us) return; /* it was the node's event */
    set_clock(process);
    process->is_stirred = false;
    process->is_turned = true;
    if (process->is_draining) {
        drain_turn(process);
        return;
    }
    if (replication_store_run(&process->store) || process->has_news) process->is_store_touched = true;
    if (process->has_news || (process->is_incomplete && process->now_ms >= process->incomplete_ms)) replication_install_image(process);
    replica_board_tick(&process->board, process->now_ms);
    run_redo(process);
    run_board(process);
    replication_heal_run(process);
    run_board(process);
    replication_streams_run(process); /* afterwards: who changes its epoch leaves a stream and comes back to it */
    run_board(process);
    if (process->guest != NULL) process->config->guest->turn(process->guest);
    run_board(process);
    has_news = process->has_appended;
    process->has_appended = false;
    if (has_news || process->is_store_touched) {
        process->is_store_touched = true;
        store_end_turn(process->store.store, process->now_ms, sim_host_wall_us(process->host) / 1000);
        replication_store_begin(&process->store, STORE_LANE_SYNC);
    }
    replication_acknowledge(process);
    run_board(process);
    replication_streams_send(process);
    run_board(process);
    replication_alters_send(process);
    replication_reports_send(process);
    if (process->is_leaving && list_is_empty(&process->acking)) {
        begin_draining(process);
        return;
    }
    is_ticked = replication_store_tick(&process->store, has_news);
    run_board(process); /* logs may begin later now */
    if (!is_ticked && !process->is_store_touched && !process->has_appended) return;
    process->is_store_touched = process->has_appended; /* by what came after the store's turn: the next one has it */
    begin_jobs(process);
}

static uint64_t find_due_us(struct replication_process *process)
{
    uint64_t due_ms = replication_streams_due_ms(process), store_us = replication_store_due_us(&process->store), at_us;

    if (process->is_draining) return process->is_drained ? sim_host_now_us(process->host) : store_us;
    if (process->board.deadline_ms < due_ms) due_ms = process->board.deadline_ms;
    if (process->redo_ms < due_ms) due_ms = process->redo_ms;
    if (process->is_incomplete && process->incomplete_ms < due_ms) due_ms = process->incomplete_ms;
    if (replication_heal_due_ms(process) < due_ms) due_ms = replication_heal_due_ms(process);
    if (process->guest != NULL && process->config->guest->due_ms(process->guest) < due_ms) due_ms = process->config->guest->due_ms(process->guest);
    if (!process->is_reporting && !list_is_empty(&process->reports_told) && process->reports_again_ms < due_ms) due_ms = process->reports_again_ms;
    if (process->has_appended) due_ms = process->now_ms; /* since the store's turn */
    if (due_ms <= process->now_ms) due_ms = process->now_ms + 1;
    at_us = due_ms > SIM_NEVER / 1000 ? SIM_NEVER : due_ms * 1000;
    if (store_us < at_us) at_us = store_us;
    process->hurry = at_us <= sim_host_now_us(process->host) ? process->hurry + 1 : 0;
    if (process->hurry > HURRY_MAX) sim_fail(sim_host_sim(process->host), "L8 nobody spins", "h%u has no rest", sim_host_index(process->host));
    return at_us;
}

static uint64_t due_us(void *user)
{
    struct replication_process *process = user;

    if (process->is_turned) process->due_us = find_due_us(process);
    process->is_turned = false;
    return process->due_us;
}

/* ---- life ---- */

static void on_plog_change(void *user, struct plog *plog)
{
    struct replication_replica *replica = plog_user(plog);
    struct partition_positions positions;

    (void)user;
    if (replica == NULL || replica->plog == NULL) return;
    replication_replica_positions(replica, &positions);
    replica_set_positions(&replica->replica, &positions);
    replication_heal_look(replica);
    REPLICATION_GUEST(replica->process, stirred, replica);
}

static void stop(void *user)
{
    struct replication_process *process = user;

    if (process->guest != NULL) process->config->guest->stop(process->guest);
    process->guest = NULL;
    replication_streams_free(process);
    replication_heal_free(process);
    list_for_each_safe(node, &process->replicas)
    {
        struct replication_replica *replica = container_of(node, struct replication_replica, link);

        if (replica->plog != NULL) {
            plog_set_user(replica->plog, NULL);
            replica_deinit(&replica->replica);
        }
        replica->plog = NULL; /* whatever was being cut ends with nobody there */
    }
    replication_store_close(&process->store);
    list_for_each_safe(node, &process->replicas)
    {
        struct replication_replica *replica = container_of(node, struct replication_replica, link);

        image_topic_unref(replica->topic);
        free(replica->acks);
        free(replica);
    }
    image_unref(process->image);
    buffer_deinit(&process->packet);
    buffer_deinit(&process->bytes);
    buffer_deinit(&process->scratch);
    free(process);
}

static int start(void *context, struct metadata_process *metadata, void **ret_tenant)
{
    struct replication_process *process = calloc(1, sizeof(*process));
    int err;

    MESH_ASSERT(process != NULL);
    process->metadata = metadata;
    process->host = metadata_process_host(metadata);
    process->config = context;
    process->redo_ms = UINT64_MAX;
    replica_board_init(&process->board);
    process->board.lag_max_ms = process->config->lag_max_ms;
    list_init(&process->replicas);
    list_init(&process->redo);
    list_init(&process->altering);
    list_init(&process->acking);
    list_init(&process->reports_due);
    list_init(&process->reports_told);
    process->reports_again_ms = UINT64_MAX;
    replication_streams_init(process);
    replication_heal_init(process);
    err = replication_store_open(&process->store, process->host, &process->config->store, on_plog_change, process);
    if (err != 0) {
        stop(process);
        return err;
    }
    SIM_SOMETIMES_IF(process->store.report.torn_tails > 0, "a torn tail of a log was cut");
    REPLICATION_HOOK(process, started, process);
    set_clock(process);
    if (process->config->guest != NULL) process->guest = process->config->guest->start(process->config->guest_context, process);
    *ret_tenant = process;
    return 0;
}

static bool was_clean(void *user)
{
    const struct replication_process *process = user;
    uint32_t defects = process->config->driver_defects;

    if ((defects >> REPLICATION_DRIVER_TELLS_ONCE & 1) != 0) return process->store.report.was_clean;
    return !process->store.report.is_untold || (defects >> REPLICATION_DRIVER_STOP_TRUSTED & 1) != 0;
}

static void leave(void *user)
{
    struct replication_process *process = user;

    process->is_leaving = process->is_stirred = true;
}

static void published(void *user, const struct image *image)
{
    struct replication_process *process = user;

    image_unref(process->image);
    process->image = image_ref(image);
    process->has_news = process->is_stirred = true;
}

static void answered(void *user, const struct node_output *answer)
{
    set_clock(user);
    if ((answer->cookie & REPLICATION_LOST_COOKIE) != 0) replication_heal_answered(user, answer);
    else if ((answer->cookie & REPLICATION_REPORT_COOKIE) != 0) replication_reports_answered(user, answer);
    else replication_alters_answered(user, answer);
}

static void bytes(void *user, uint64_t stream, struct slice what)
{
    set_clock(user);
    replication_streams_bytes(user, stream, what);
}

static void arrived(void *user, uint64_t stream, struct slice first)
{
    set_clock(user);
    if (((struct replication_process *)user)->is_draining) sim_stream_abort(((struct replication_process *)user)->host, stream);
    else replication_streams_arrived(user, stream, first);
}

static void opened(void *user, uint64_t stream)
{
    set_clock(user);
    replication_streams_opened(user, stream);
}

static void writable(void *user, uint64_t stream)
{
    set_clock(user);
    replication_streams_writable(user, stream);
}

static void closed(void *user, uint64_t stream)
{
    set_clock(user);
    replication_streams_closed(user, stream);
}

const struct metadata_tenant replication_tenant = {.start = start,
                                                   .stop = stop,
                                                   .was_clean = was_clean,
                                                   .leave = leave,
                                                   .published = published,
                                                   .answered = answered,
                                                   .turn = turn,
                                                   .due_us = due_us,
                                                   .owns = replication_streams_owns,
                                                   .stream_arrived = arrived,
                                                   .stream_opened = opened,
                                                   .stream_bytes = bytes,
                                                   .stream_writable = writable,
                                                   .stream_closed = closed};
