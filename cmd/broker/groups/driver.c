/* groups/driver.c - the replicas of group partitions of a shard, and their part of a turn. */
#include "cmd/broker/groups/ends.h"
#include "cmd/broker/groups/groups_internal.h"
#include "cmd/broker/spread/rescue.h"
#include "cmd/broker/spread/spread.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/metadata/metadata.h"
#include "replication/coordinator/groups_topic.h"

#include <stdlib.h>

/* ---- facts ---- */

static uint32_t losses_of(const struct shard *shard, const struct shard_partition *partition)
{
    const struct image_topic *topic = image_find_topic(shard->image, &partition->topic->metrics.topic_id);
    struct image_partition facts;

    return topic != NULL && image_topic_partition(topic, partition->number, &facts) ? facts.reset_epoch : 0;
}

void groups_facts(struct shard *shard, const struct group_replica *replica, struct group_facts *ret_facts)
{
    const struct shard_partition *partition = replica->partition;
    const struct replica *role = &partition->replica;

    *ret_facts = (struct group_facts){
        .now_ms = shard->now_ms,
        .wall_ms = (uint64_t)shard->now_wall_ms,
        .clock_us = clock_monotonic_ns() / 1000,
        .log_start = plog_start_offset(partition->plog),
        .log_end = plog_end_offset(partition->plog),
        .high_watermark = role->partition.high_watermark,
        .epoch = (uint32_t)role->partition.leader_epoch,
        .is_to_lead = replica_leads(role) && !shard->groups.is_stopping,
        .may_lead = replica_leads(role) && !role->partition.is_starting && !role->is_cutting && !shard->groups.is_stopping &&
                    atomic_load_explicit(&shard->broker->is_serving, memory_order_relaxed),
        .is_cutting = role->is_cutting,
        .is_alone = role->member_count <= 1,
        .is_below_min = role->partition.config.mode == PARTITION_MODE_ISR && role->partition.isr_count < role->partition.config.min_insync,
    };
    if (ret_facts->is_below_min) ret_facts->coordinator_us = metadata_current_us(shard->broker->control.metadata);
    if (ret_facts->may_lead && replica->part.lead == NULL) ret_facts->losses = losses_of(shard, partition);
}

/* ---- when ---- */

void groups_due(struct shard *shard, struct group_replica *replica)
{
    if (list_is_empty(&replica->due_link)) list_push_back(&shard->groups.due, &replica->due_link);
}

void groups_look_at(struct shard *shard, struct group_replica *replica, uint64_t at_ms)
{
    if (at_ms < replica->deadline_ms) replica->deadline_ms = at_ms;
    if (at_ms < shard->groups.next_ms) shard->groups.next_ms = at_ms;
}

static void arm(struct shard_groups *groups)
{
    struct shard *shard = groups->shard;
    double seconds = groups->next_ms > shard->now_ms ? (double)(groups->next_ms - shard->now_ms) / 1e3 : 0.;

    if (groups->next_ms == UINT64_MAX) {
        ev_timer_stop(shard->loop, &groups->timer);
        return;
    }
    if (ev_is_active(&groups->timer) && ev_timer_remaining(shard->loop, &groups->timer) <= seconds) return; /* too early costs one look */
    ev_timer_stop(shard->loop, &groups->timer);
    ev_timer_set(&groups->timer, seconds, 0.);
    ev_timer_start(shard->loop, &groups->timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events; /* it was there to begin a turn */
}

/* ---- appending ---- */

static int append(struct shard *shard, struct shard_partition *partition, const struct record_batch_header *header, const uint8_t *batch)
{
    uint64_t ticket;
    int err = plog_append(partition->plog, header, batch, shard->now_wall_ms, &ticket);

    if (err != 0) return err;
    shard->appended++;
    replica_leader_appended(&partition->replica, header);
    return 0;
}

static int append_records(struct shard *shard, struct group_replica *replica, const struct group_facts *facts, struct slice batch)
{
    struct shard_partition *partition = replica->partition;
    uint8_t *bytes = (uint8_t *)(uintptr_t)batch.data; /* the builder's own */
    struct record_batch_header header;
    int64_t append_time_ms;
    int err = partition_leader_prepare(&partition->replica.partition, bytes, batch.size, (int32_t)facts->epoch, 1, shard->now_wall_ms, &header, &append_time_ms);

    return err != 0 ? err : append(shard, partition, &header, bytes);
}

static int append_proof(struct shard *shard, struct group_replica *replica, const struct group_facts *facts)
{
    struct buffer *batch = &shard->scratch;
    struct record_batch_header header;
    int err;

    buffer_clear(batch);
    err = record_batch_build_control(batch, -1, -1, GROUP_PART_CONTROL_PROOF, (int32_t)facts->epoch, shard->now_wall_ms);
    if (err == 0) {
        record_batch_set_base_offset(batch->data, (int64_t)plog_end_offset(replica->partition->plog));
        record_batch_set_leader_epoch(batch->data, (int32_t)facts->epoch);
        err = record_batch_parse_header(buffer_slice(batch), &header);
    }
    if (err == 0) err = append(shard, replica->partition, &header, batch->data);
    buffer_clear(batch);
    return err;
}

/* What could not be appended is tried again: at once when the store has room, later when the disk has none; a log that takes nothing leads nothing. */
static void not_appended(struct shard *shard, struct group_replica *replica, const struct group_facts *facts, int error)
{
    if (error == MESH_EAGAIN) {
        shard->is_store_full = true;
        groups_due(shard, replica);
    } else if (error == MESH_EFULL || error == MESH_ENOMEM) {
        if (error == MESH_EFULL) group_part_not_appended(&replica->part, facts);
        replica->retry_append_ms = shard->now_ms + GROUPS_RETRY_MS;
        groups_look_at(shard, replica, replica->retry_append_ms);
    } else {
        log_error("a log of groups takes nothing partition=%u error=\"%s\"", replica->partition->number, mesh_strerror(error));
        group_part_cease(&replica->part);
    }
}

static void append_outbox(struct shard *shard, struct group_replica *replica, const struct group_facts *facts)
{
    struct group_part *part = &replica->part;
    struct slice batch;
    int err = 0;

    if (part->lead == NULL || (replica->retry_append_ms != 0 && shard->now_ms < replica->retry_append_ms)) return;
    replica->retry_append_ms = 0;
    while (err == 0) {
        err = group_part_next_batch(part, facts, &batch);
        if (err != 0 || batch.size == 0) break;
        err = append_records(shard, replica, facts, batch);
        if (err != 0) break;
        shard->groups.counts.batches++;
        shard->groups.counts.records += part->batch_records;
        group_part_appended(part, facts, plog_end_offset(replica->partition->plog));
    }
    if (err == 0 && group_part_wants_proof(part, facts)) {
        err = append_proof(shard, replica, facts);
        if (err == 0) {
            shard->groups.counts.proofs++;
            group_part_proof_appended(part, facts, plog_end_offset(replica->partition->plog));
        }
    }
    if (err != 0) not_appended(shard, replica, facts, err);
}

/* ---- a turn ---- */

static void run(struct shard *shard, struct group_replica *replica)
{
    struct shard_partition *partition = replica->partition;
    struct group_facts facts;
    uint64_t deadline_ms;

    partition->pending++; /* whoever is answered may end anything */
    replica->deadline_ms = UINT64_MAX;
    groups_facts(shard, replica, &facts);
    groups_tail(shard, replica, &facts);
    group_part_turn(&replica->part, &facts, &deadline_ms);
    append_outbox(shard, replica, &facts);
    if (replica->part.phase == GROUP_PART_STOPPED && !replica->is_told_stopped) groups_tell_stopped(shard, replica);
    if (replica->part.lead != NULL && group_lead_is_due(replica->part.lead) && !facts.is_below_min && !replica->part.is_full) groups_due(shard, replica);
    groups_look_at(shard, replica, deadline_ms);
    shard_partition_release(partition);
}

/* Topics may have come, gone or grown. Images come with each change of an ISR: so the topics are compared, once a second at most. */
static void look_at_catalog(struct shard *shard)
{
    struct shard_groups *groups = &shard->groups;
    uint64_t hash;

    if (groups->catalog_due_ms == 0) return;
    if (shard->now_ms < groups->catalog_due_ms) {
        if (groups->catalog_due_ms < groups->next_ms) groups->next_ms = groups->catalog_due_ms;
        return;
    }
    groups->catalog_due_ms = 0;
    hash = groups_catalog_hash(shard->image);
    if (hash == groups->catalog_hash) return;
    groups->catalog_hash = hash;
    list_for_each(node, &groups->replicas)
    {
        struct group_replica *replica = container_of(node, struct group_replica, link);

        if (replica->part.lead == NULL) continue;
        group_lead_catalog_changed(replica->part.lead);
        groups_due(shard, replica);
    }
}

void groups_run(struct shard *shard)
{
    struct shard_groups *groups = &shard->groups;
    struct list_node due, *node;

    if (groups->is_stopping || list_is_empty(&groups->replicas)) return;
    if (list_is_empty(&groups->due) && shard->now_ms < groups->next_ms && groups->catalog_due_ms == 0) return;
    groups->next_ms = UINT64_MAX;
    look_at_catalog(shard);
    list_for_each(at, &groups->replicas)
    {
        struct group_replica *replica = container_of(at, struct group_replica, link);

        if (replica->deadline_ms <= shard->now_ms) groups_due(shard, replica);
        else if (replica->deadline_ms < groups->next_ms) groups->next_ms = replica->deadline_ms;
    }
    list_init(&due);
    while ((node = list_pop_front(&groups->due)) != NULL)
        list_push_back(&due, node);
    while ((node = list_pop_front(&due)) != NULL)
        run(shard, container_of(node, struct group_replica, due_link));
    if (!list_is_empty(&groups->due) && !shard->is_store_full) shard->has_more = true;
    arm(groups);
}

/* ---- what becomes of logs ---- */

void groups_stirred(struct shard *shard, struct shard_partition *partition)
{
    struct group_replica *replica = partition->group;

    if (replica == NULL) return;
    replica->is_stuck = false;
    groups_due(shard, replica);
}

void groups_cut(struct shard *shard, struct shard_partition *partition)
{
    if (partition->group == NULL) return;
    group_part_cut(&partition->group->part);
    partition->group->is_told_stopped = false;
    groups_stirred(shard, partition);
}

void groups_ceased(struct shard *shard, struct shard_partition *partition)
{
    if (partition->group == NULL) return;
    group_part_cease(&partition->group->part);
    groups_stirred(shard, partition);
}

void groups_below_min(struct shard *shard, struct shard_partition *partition)
{
    struct group_facts facts;

    if (partition->group == NULL) return;
    groups_facts(shard, partition->group, &facts);
    group_part_below_min(&partition->group->part, &facts);
    groups_due(shard, partition->group);
}

void groups_committed(struct shard *shard, struct shard_partition *partition)
{
    struct group_replica *replica = partition->group;
    struct group_facts facts;
    uint64_t start;

    if (replica == NULL || replica->part.lead == NULL) return;
    partition->pending++;
    groups_facts(shard, replica, &facts);
    group_part_committed(&replica->part, &facts);
    spread_committed(shard, partition);
    rescue_committed(shard, replica);
    if (group_part_may_trim(&replica->part, &facts, &start)) {
        plog_trim(partition->plog, start);
        shard->is_tick_wanted = true;
    }
    if (group_part_wants_proof(&replica->part, &facts)) {
        groups_due(shard, replica);
        shard->has_more = true;
    }
    shard_partition_release(partition);
}

/* What others had heard of offsets that were lost comes before any request: whoever waited would be told that there are none. */
static int begun(void *user, struct group_part *part, const struct group_facts *facts)
{
    struct shard_groups *groups = user;

    (void)facts;
    return rescue_apply(groups->shard, replica_of_part(part));
}

/* They are asked for first. */
static bool may_begin(void *user, struct group_part *part, const struct group_facts *facts)
{
    struct shard_groups *groups = user;
    struct group_replica *replica = replica_of_part(part);

    if (rescue_is_ready(groups->shard, replica->partition, facts->epoch)) return true;
    groups_look_at(groups->shard, replica, groups->shard->now_ms + GROUPS_RETRY_MS);
    return false;
}

/* ---- life ---- */

void groups_opened(struct shard *shard, struct shard_partition *partition)
{
    struct group_replica *replica;

    if (strcmp(partition->topic->topic->name, GROUPS_TOPIC_NAME) != 0 || partition->number >= GROUP_PARTITIONS) return;
    replica = calloc(1, sizeof(*replica));
    if (replica == NULL) return; /* it is tried again where it is asked for */
    group_part_init(&replica->part, &shard->groups.terms);
    replica->partition = partition;
    replica->deadline_ms = UINT64_MAX;
    list_push_back(&shard->groups.replicas, &replica->link);
    list_init(&replica->due_link);
    partition->group = replica;
    groups_due(shard, replica);
}

static void replica_free(struct shard *shard, struct group_replica *replica, int error)
{
    struct metrics_groups *counts = &shard->groups.counts;

    counts->rebuilds += replica->part.rebuilds; /* counters do not fall */
    counts->rebuilt_records += replica->part.rebuilt_records;
    replica->partition->group = NULL;
    list_remove(&replica->link);
    list_remove(&replica->due_link);
    group_part_deinit(&replica->part, error);
    free(replica);
}

void groups_closing(struct shard *shard, struct shard_partition *partition)
{
    if (partition->group != NULL) replica_free(shard, partition->group, MESH_EUNKNOWN_TOPIC);
}

void groups_image(struct shard *shard)
{
    struct shard_groups *groups = &shard->groups;

    if (groups->catalog_due_ms == 0) groups->catalog_due_ms = shard->now_ms + 1;
    list_for_each(node, &groups->replicas) groups_due(shard, container_of(node, struct group_replica, link));
}

void groups_init(struct shard *shard)
{
    const struct settings *settings = &shard->broker->settings;
    struct shard_groups *groups = &shard->groups;

    *groups = (struct shard_groups){.shard = shard, .batches = BUFFER_INIT, .next_ms = UINT64_MAX};
    list_init(&groups->replicas);
    list_init(&groups->due);
    list_init(&groups->questions);
    record_batch_builder_init(&groups->builder);
    groups->terms = (struct group_terms){.builder = &groups->builder, .told = groups_tell, .may_begin = may_begin, .begun = begun, .user = groups};
    groups_catalog_init(groups, &groups->terms.catalog);
    group_limits_init(&groups->terms.limits);
    groups->terms.limits.session_timeout_min_ms = (uint32_t)settings->groups_session_ms_min;
    groups->terms.limits.classic_gather_ms = (uint32_t)settings->groups_gather_ms;
    groups->terms.limits.retention_ms = settings->groups_retention_ms;
    groups->terms.limits.checkpoint_bytes_min = settings->groups_checkpoint_bytes;
    ev_timer_init(&groups->timer, on_timer, 0., 0.);
}

void groups_stop(struct shard *shard)
{
    struct shard_groups *groups = &shard->groups;

    if (groups->shard == NULL || groups->is_stopping) return;
    groups->is_stopping = true;
    ev_timer_stop(shard->loop, &groups->timer);
    groups_ends_stop(shard);
    while (!list_is_empty(&groups->replicas))
        replica_free(shard, container_of(groups->replicas.next, struct group_replica, link), MESH_ESHUTDOWN);
}

void groups_deinit(struct shard *shard)
{
    struct shard_groups *groups = &shard->groups;

    if (groups->shard == NULL) return;
    groups_stop(shard);
    groups_catalog_deinit(groups);
    groups_ends_deinit(shard);
    record_batch_builder_deinit(&groups->builder);
    buffer_deinit(&groups->batches);
    groups->shard = NULL;
}
