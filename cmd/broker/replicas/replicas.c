/* replicas/replicas.c - roles from images, and what the board asks for. */
#include "cmd/broker/replicas/replicas_internal.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/groups/groups.h"
#include "cmd/broker/operate/events.h"
#include "cmd/broker/ops/fetch_wait.h"
#include "cmd/broker/ops/produce_local.h"
#include "cmd/broker/replicas/roles.h"
#include "cmd/broker/spread/ends_tell.h"
#include "segment/healing.h"

#include <stdlib.h>

#define TRIM_SECONDS 2.0 /* a stream's buffers are given back after this long without use */

/* ---- histories ---- */

uint64_t replicas_epoch_end(void *user, const struct replica *replica, int32_t epoch, int32_t *ret_epoch)
{
    (void)user;
    return plog_epoch_end_offset(partition_of(replica)->plog, epoch, ret_epoch);
}

int32_t replicas_last_epoch(void *user, const struct replica *replica)
{
    (void)user;
    return plog_last_epoch(partition_of(replica)->plog);
}

int32_t replicas_start_epoch(void *user, const struct replica *replica)
{
    uint64_t start = replica->partition.log_start;

    (void)user;
    return start == 0 ? -1 : plog_epoch_at(partition_of(replica)->plog, start - 1);
}

void replicas_identify(void *user, const struct replica *replica, struct uuid *ret_topic_id, uint32_t *ret_partition)
{
    const struct shard_partition *partition = partition_of(replica);

    (void)user;
    *ret_topic_id = partition->topic->metrics.topic_id;
    *ret_partition = partition->number;
}

/* ---- roles ---- */

void replicas_try_again(struct shard *shard)
{
    shard->replicas.is_incomplete = true;
    shard->replicas.incomplete_ms = shard->now_ms + REPLICAS_RETRY_MS;
}

/* Who leads by an election that accepted a loss tells it, once: each election has an epoch of its own. */
static void tell_loss(struct shard *shard, const struct shard_partition *partition)
{
    const struct shard_topic *topic = partition->topic;
    const struct image_election *election = image_election(shard->image, &topic->metrics.topic_id, partition->number);

    if (election == NULL || election->reason != IMAGE_ELECTION_UNCLEAN) return;
    if (election->leader_epoch != partition->replica.partition.leader_epoch) return;
    shard->replicas.counts.losses++;
    event_note(&shard->broker->control.events, EVENT_LOSS, LOG_LEVEL_ERROR, "acknowledged records may be lost: no complete replica was left, and this one leads now, with what it has topic=%s partition=%u epoch=%d "
              "end=%lu",
              topic->topic->name, partition->number, election->leader_epoch, partition->replica.partition.log_end);
}

void replicas_note_isr(struct shard *shard, const struct shard_partition *partition, int32_t epoch_before, uint32_t isr_before)
{
    const struct partition *now = &partition->replica.partition;

    if (!replica_leads(&partition->replica) || now->leader_epoch != epoch_before) return;
    shard->replicas.counts.isr_shrinks += now->isr_count < isr_before;
    shard->replicas.counts.isr_expands += now->isr_count > isr_before;
}

/* A registered broker's image knows of every leader epoch that its log can have. False: what has to be judged cannot be, now. */
static bool epochs_are_possible(struct shard *shard, struct shard_partition *partition, const struct image_partition *facts)
{
    int32_t last_epoch = plog_last_epoch(partition->plog);
    int err = plog_limit_epoch(partition->plog, facts->leader_epoch);

    if (err != 0) {
        replicas_try_again(shard);
        return false;
    }
    if (plog_last_epoch(partition->plog) < last_epoch)
        log_error("records claim to be of a leader epoch that has not been, and are not served before they are mended topic=%s partition=%u epoch=%d newest=%d",
                  partition->topic->topic->name, partition->number, last_epoch, facts->leader_epoch);
    return true;
}

/* What clients had deleted goes here, too: before this replica leads, if it is to, and as soon as it knows that to be committed otherwise. */
static void delete_records(struct shard *shard, struct shard_partition *partition)
{
    const struct image_deletion *deletion = image_deletion(shard->image, &partition->topic->metrics.topic_id, partition->number);
    bool is_due = false;
    uint64_t offset = 0, epoch_end;
    int32_t epoch;

    if (deletion != NULL) {
        epoch_end = plog_epoch_end_offset(partition->plog, deletion->leader_epoch, &epoch);
        offset = roles_delete_before(deletion, epoch_end, epoch, &partition->replica, &is_due);
    }
    partition->is_deletion_due = is_due;
    if (offset == 0 || plog_delete_before(partition->plog, offset) != 0) return;
    shard_on_plog_change(shard, partition->plog); /* nobody is to read it from here on */
    shard->is_tick_wanted = true;
}

void replicas_assign(struct shard *shard, struct shard_partition *partition)
{
    int32_t epoch_before = partition->replica.partition.leader_epoch;
    uint32_t isr_before = partition->replica.partition.isr_count;
    struct roles_assignment role;
    struct image_partition facts;

    if (!shard->replicas.is_registered) return;
    if (!image_topic_partition(partition->topic->topic, partition->number, &facts)) return;
    if (!roles_describe(shard->image, &facts, shard->broker->node_id, &role)) return;
    if (!epochs_are_possible(shard, partition, &facts)) return;
    if (replica_assign(&partition->replica, &role.assignment) == MESH_ENOMEM) replicas_try_again(shard);
    if (plog_damage_count(partition->plog) > 0) shard_on_plog_change(shard, partition->plog); /* what a follower may state is not what a leader has */
    delete_records(shard, partition);
    replicas_note_isr(shard, partition, epoch_before, isr_before);
    if (!replica_leads(&partition->replica)) return;
    if (partition->replica.partition.leader_epoch != epoch_before) tell_loss(shard, partition);
}

void replicas_forget(struct shard *shard, struct shard_partition *partition)
{
    list_remove(&partition->redo_link);
    list_remove(&partition->ask_link);
    heal_forget(shard, partition);
    compare_forget(partition);
    produce_refuse_waiting(shard, partition, MESH_EUNKNOWN_TOPIC);
    replica_deinit(&partition->replica);
}

/* ---- images ---- */

/* Replicated partitions are open as long as they are kept here: they follow, or are followed. A single replica is opened when it is used; or when
 * nobody knows whether it is complete, and it has to say what it has. */
static bool is_wanted_open(const struct image_partition *facts)
{
    if (facts->replica_count > 1) return true;
    return facts->leader == IMAGE_NO_LEADER && (facts->isr | facts->elr | facts->last_known_elr) == 0;
}

static int open_hosted(void *user, const struct image_topic *topic)
{
    struct shard *shard = user;
    struct image_partition facts;

    if (topic->changed_index <= shard->replicas.installed_index) return 0;
    for (uint32_t i = 0; image_topic_partition(topic, i, &facts); i++) {
        struct shard_partition *partition;

        if (!is_wanted_open(&facts) || image_shard_of(&topic->topic_id, i, shard->broker->shard_count) != shard->index) continue;
        if (!roles_is_kept(&facts, shard->broker->node_id)) continue;
        if (shard_partition_open(shard, &topic->topic_id, i, &partition) != 0) replicas_try_again(shard);
    }
    return 0;
}

static void assign_all(struct shard *shard)
{
    struct map_node *node = map_iterate(&shard->partitions, NULL);

    while (node != NULL) {
        struct shard_partition *partition = container_of(node, struct shard_partition, node);
        struct shard_topic *topic;

        node = map_iterate(&shard->partitions, node);
        topic = partition->topic;
        if (shard_partition_drop_if_moved(shard, partition)) {
            shard_topic_free_if_empty(shard, topic);
            continue;
        }
        replicas_assign(shard, partition);
        if (partition->is_config_due) shard_partition_configure_log(shard, partition);
    }
}

void replicas_install_image(struct shard *shard)
{
    struct replicas *replicas = &shard->replicas;
    const struct image *image = shard->image;
    uint64_t brokers_hash = roles_hash_brokers(image);
    bool is_registered = roles_is_registered(image, &shard->broker->broker_id, &shard->broker->dir_id, shard->broker->boot);
    bool all_anew = brokers_hash != replicas->brokers_hash || is_registered != replicas->is_registered || replicas->is_incomplete;

    if (replicas->is_stopping) return;
    replicas->brokers_hash = brokers_hash;
    replicas->is_registered = is_registered;
    replicas->is_incomplete = false;
    if (is_registered) replicas->board.broker_epoch = image_find_broker_by_uuid(image, &shard->broker->broker_id)->epoch;
    if (all_anew) {
        replicas->installed_index = 0;
        assign_all(shard);
        shard->is_trim_due = true;
    }
    if (is_registered) (void)image_each_topic(image, open_hosted, shard);
    replicas->installed_index = image_applied_index(image);
    replica_reports_hear_of_coordinator(shard, image_applied_term(image));
}

/* ---- what is to be done ---- */

bool replicas_may_log(struct shard *shard)
{
    static const struct net_address nowhere;

    return log_limiter_allows(&shard->replicas.lines, &nowhere, shard->now_ms);
}

void replicas_redo(struct shard *shard, struct shard_partition *partition, uint32_t todo, uint64_t after_ms)
{
    struct replicas *replicas = &shard->replicas;
    uint64_t at_ms = shard->now_ms + after_ms;

    partition->redo_ms = partition->redo == 0 || at_ms < partition->redo_ms ? at_ms : partition->redo_ms;
    partition->redo |= (uint16_t)todo;
    if (list_is_empty(&partition->redo_link)) list_push_back(&replicas->redo, &partition->redo_link);
    if (partition->redo_ms < replicas->redo_ms) replicas->redo_ms = partition->redo_ms;
}

static int append_epoch_start(struct shard *shard, struct shard_partition *partition)
{
    struct buffer *batch = &shard->scratch;
    struct record_batch_header header;
    uint64_t ticket;
    int err;

    buffer_clear(batch);
    err = replica_build_epoch_start(&partition->replica, shard->now_wall_ms, batch);
    if (err == 0) err = record_batch_parse_header(buffer_slice(batch), &header);
    if (err == 0) err = plog_append(partition->plog, &header, batch->data, shard->now_wall_ms, &ticket);
    buffer_clear(batch);
    if (err != 0) return err;
    shard->appended++;
    replica_epoch_started(&partition->replica, &header);
    return 0;
}

static void begin_epoch(struct shard *shard, struct shard_partition *partition)
{
    int err = append_epoch_start(shard, partition);

    if (err == 0) return;
    if (err != MESH_EAGAIN && err != MESH_ENOMEM && replicas_may_log(shard))
        log_warn("cannot begin to lead topic=%s partition=%u epoch=%d error=\"%s\"", partition->topic->topic->name, partition->number,
                 partition->replica.partition.leader_epoch, mesh_strerror(err));
    replicas_redo(shard, partition, REPLICA_TODO_EPOCH_START, err == MESH_EAGAIN ? 1 : REPLICAS_DISK_WAIT_MS);
}

static void on_cut(void *user, int error)
{
    struct shard_partition *partition = user;
    struct partition_positions positions;
    struct shard *shard;

    if (partition->plog == NULL || error == MESH_ECANCELED) {
        shard_partition_release(partition);
        return;
    }
    shard = container_of(partition->replica.board, struct replicas, board)->shard;
    if (error == 0) {
        shard_partition_positions(partition, &positions);
        replica_cut_done(&partition->replica, &positions);
        delete_records(shard, partition);
        groups_stirred(shard, partition);
    } else {
        event_note(&shard->broker->control.events, EVENT_DISK, LOG_LEVEL_ERROR, "a log could not be cut, and is not used any more topic=%s partition=%u error=\"%s\"", partition->topic->topic->name,
                  partition->number, mesh_strerror(error));
    }
    shard_partition_release(partition);
}

static void cut(struct shard *shard, struct shard_partition *partition)
{
    const struct partition *now = &partition->replica.partition;
    struct replica_cut what;
    uint64_t records;
    int err;

    replica_get_cut(&partition->replica, &what);
    if (!what.is_reset && heal_forbids_cut(partition, what.offset)) {
        replicas_redo(shard, partition, REPLICA_TODO_CUT, REPLICAS_DISK_WAIT_MS);
        return;
    }
    groups_cut(shard, partition);
    records = now->log_end - (what.is_reset ? now->log_start : what.offset);
    partition->cut_count++;
    partition->pending++;
    err = what.is_reset ? plog_restart(partition->plog, what.offset, what.epoch, on_cut, partition)
                        : plog_truncate(partition->plog, what.offset, on_cut, partition);
    if (err == 0) {
        shard->replicas.counts.cuts++;
        shard->replicas.counts.cut_records += records;
        shard->is_tick_wanted = true;
        if (!what.is_committed) return;
        shard->replicas.counts.committed_cuts++;
        event_note(&shard->broker->control.events, EVENT_LOSS, LOG_LEVEL_ERROR, "records that were committed once are given up, as the leader does not have them topic=%s partition=%u from_offset=%lu",
                  partition->topic->topic->name, partition->number, what.offset);
        return;
    }
    shard_partition_release(partition);
    if (err == MESH_ESTORAGE) return; /* told when the log failed; it is not used any more */
    replicas_redo(shard, partition, REPLICA_TODO_CUT, err == MESH_EAGAIN ? 1 : REPLICAS_DISK_WAIT_MS);
}

static void committed(struct shard *shard, struct shard_partition *partition)
{
    const struct replica *replica = &partition->replica;

    partition->was_replicated = partition->was_replicated || replica->member_count > 1;
    if (partition->was_replicated) plog_set_high_watermark(partition->plog, replica->partition.high_watermark);
    if (!list_is_empty(&partition->waiters)) fetch_wake(shard, &partition->waiters);
    compare_want(shard, partition);
    if (partition->is_deletion_due) delete_records(shard, partition);
    produce_acknowledge_committed(shard, partition);
    groups_committed(shard, partition);
    ends_changed(shard, partition);
}

static void run_todo(struct shard *shard, struct shard_partition *partition, uint32_t todo)
{
    struct replica *replica = &partition->replica;

    produce_acknowledge_committed(shard, partition); /* before anybody is refused */
    if ((todo & REPLICA_TODO_LED) != 0) {
        groups_ceased(shard, partition);
        produce_refuse_waiting(shard, partition, MESH_EUNCOMMITTED);
        fetch_wake(shard, &partition->waiters);
    }
    if ((todo & REPLICA_TODO_BELOW_MIN) != 0 && replica_leads(replica)) {
        groups_below_min(shard, partition);
        produce_refuse_waiting(shard, partition, MESH_EUNCOMMITTED);
    }
    if ((todo & REPLICA_TODO_CUT) != 0 && replica->is_cutting) cut(shard, partition);
    if ((todo & REPLICA_TODO_EPOCH_START) != 0 && replica_leads(replica) && replica->partition.is_starting && !replica->is_cutting)
        begin_epoch(shard, partition);
    if ((todo & REPLICA_TODO_HIGH_WATERMARK) != 0) committed(shard, partition);
    if ((todo & REPLICA_TODO_TRIM) != 0) {
        plog_trim(partition->plog, replica->leader_log_start);
        shard->is_tick_wanted = true;
    }
    if ((todo & REPLICA_TODO_ALTER) != 0) alters_add(shard, partition);
    if ((todo & REPLICA_TODO_REPORT) != 0) replica_reports_consider(shard, partition, false);
    if ((todo & REPLICA_TODO_FOLLOW) != 0) compare_want(shard, partition);
    if ((todo & REPLICA_TODO_FOLLOW) != 0 && replica->role == REPLICA_FOLLOWER && !follow_add(shard, partition))
        replicas_redo(shard, partition, REPLICA_TODO_FOLLOW, REPLICAS_RETRY_MS);
}

static void run_redo(struct shard *shard)
{
    struct replicas *replicas = &shard->replicas;
    struct list_node due, *node;

    if (shard->now_ms < replicas->redo_ms) return;
    replicas->redo_ms = UINT64_MAX;
    list_init(&due);
    while ((node = list_pop_front(&replicas->redo)) != NULL)
        list_push_back(&due, node);
    while ((node = list_pop_front(&due)) != NULL) {
        struct shard_partition *partition = container_of(node, struct shard_partition, redo_link);
        uint32_t todo = partition->redo;

        if (partition->redo_ms > shard->now_ms) {
            list_push_back(&replicas->redo, node);
            if (partition->redo_ms < replicas->redo_ms) replicas->redo_ms = partition->redo_ms;
            continue;
        }
        partition->redo = 0;
        if ((todo & REPLICA_TODO_REPORT) != 0) replica_reports_consider(shard, partition, true);
        run_todo(shard, partition, todo & ~(uint32_t)REPLICA_TODO_REPORT);
    }
}

void replicas_run(struct shard *shard)
{
    struct replicas *replicas = &shard->replicas;
    struct replica *replica;
    uint32_t todo;

    if (replicas->is_stopping) return;
    if (replicas->is_incomplete && shard->now_ms >= replicas->incomplete_ms) replicas_install_image(shard);
    replica_board_tick(&replicas->board, shard->now_ms);
    run_redo(shard);
    while ((replica = replica_board_next(&replicas->board, &todo)) != NULL)
        run_todo(shard, partition_of(replica), todo);
    replicas_wake_at(replicas, fetch_follow_doubts(shard));
    heal_run(shard);
    compare_run(shard);
    follows_run(shard); /* afterwards: who changes its epoch leaves a stream and comes back to it */
}

/* ---- the end of a turn ---- */

void replicas_wake_at(struct replicas *replicas, uint64_t at_ms)
{
    struct shard *shard = replicas->shard;
    double seconds = at_ms > shard->now_ms ? (double)(at_ms - shard->now_ms) / 1e3 : 0.;

    if (at_ms == UINT64_MAX) return;
    if (ev_is_active(&replicas->timer) && ev_timer_remaining(shard->loop, &replicas->timer) <= seconds) return;
    ev_timer_stop(shard->loop, &replicas->timer);
    ev_timer_set(&replicas->timer, seconds, 0.);
    ev_timer_start(shard->loop, &replicas->timer);
}

void replicas_send(struct shard *shard)
{
    struct replicas *replicas = &shard->replicas;
    struct replica *replica;
    uint32_t todo;

    if (replicas->is_stopping) return;
    while ((replica = replica_board_next(&replicas->board, &todo)) != NULL) /* what the store's jobs have brought */
        run_todo(shard, partition_of(replica), todo);
    follows_send(shard);
    leads_send(shard);
    alters_send(shard);
    replica_reports_send(shard);
    replicas_wake_at(replicas, replicas->board.deadline_ms);
    replicas_wake_at(replicas, replicas->redo_ms);
    if (replicas->is_incomplete) replicas_wake_at(replicas, replicas->incomplete_ms);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events; /* it was there to begin a turn */
}

static void on_trim(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct replicas *replicas = timer->data;
    bool has_follows = follows_trim(replicas->shard), has_leads = leads_trim(replicas->shard);

    (void)loop;
    (void)events;
    if (has_follows || has_leads) replicas_trim_later(replicas);
}

void replicas_trim_later(struct replicas *replicas)
{
    if (ev_is_active(&replicas->trim)) return;
    ev_timer_set(&replicas->trim, TRIM_SECONDS, 0.);
    ev_timer_start(replicas->shard->loop, &replicas->trim);
}

/* ---- life ---- */

void replicas_init(struct shard *shard)
{
    struct replicas *replicas = &shard->replicas;

    *replicas = (struct replicas){.shard = shard, .packet = BUFFER_INIT, .redo_ms = UINT64_MAX};
    replica_board_init(&replicas->board);
    list_init(&replicas->follows);
    list_init(&replicas->leads);
    list_init(&replicas->orders);
    list_init(&replicas->redo);
    list_init(&replicas->altering);
    replica_reports_init(&replicas->reports);
    heal_init(shard);
    compare_init(shard);
    ev_timer_init(&replicas->timer, on_timer, 0., 0.);
    ev_timer_init(&replicas->trim, on_trim, 0., 0.);
    replicas->trim.data = replicas;
    packet_init(&replicas->outgoing);
}

void replicas_stop(struct shard *shard)
{
    struct replicas *replicas = &shard->replicas;

    if (replicas->is_stopping) return;
    replicas->is_stopping = true;
    follows_free(shard);
    leads_free(shard);
    ev_timer_stop(shard->loop, &replicas->timer);
    ev_timer_stop(shard->loop, &replicas->trim);
}

void replicas_deinit(struct shard *shard)
{
    struct replicas *replicas = &shard->replicas;

    if (replicas->shard == NULL) return;
    replicas_stop(shard);
    alters_free(shard);
    replica_reports_free(shard);
    heal_deinit(shard);
    compare_deinit(shard);
    list_for_each_safe(node, &replicas->orders)
    {
        struct stream_order *order = container_of(node, struct stream_order, node);

        list_remove(node);
        if (order->is_open) link_remains_free(&order->stream.remains);
        free(order);
    }
    buffer_deinit(&replicas->packet);
    packet_deinit(&replicas->outgoing);
}
