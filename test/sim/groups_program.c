#include "sim/groups_program.h"

#include "base/assert.h"
#include "base/error.h"
#include "sim/consensus_link.h"
#include "sim/groups_internal.h"
#include "sim/replication_internal.h"
#include "sim/sim_sometimes.h"
#include "wire/record_batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES (64u << 10) /* of a log, at once */
#define LATE_MS    20          /* until a log is tried again that took nothing */

/* ---- look-ups ---- */

struct slice groups_name(uint32_t group, char *to, size_t size)
{
    return slice_of(to, (size_t)snprintf(to, size, "group-%u", group));
}

static const struct image_topic *topic_of(const struct groups_guest *guest)
{
    const struct image *image = guest->process->image;

    return image == NULL ? NULL : image_find_topic_by_name(image, guest->config->topic);
}

static bool number_of(const struct groups_guest *guest, uint32_t group, struct uuid *ret_topic, uint32_t *ret_number)
{
    const struct image_topic *topic = topic_of(guest);
    char name[GROUPS_NAME_SIZE];

    if (topic == NULL) return false;
    *ret_topic = topic->topic_id;
    *ret_number = group_partition_of(groups_name(group, name, sizeof(name))) % topic->partition_count;
    return true;
}

struct groups_partition *groups_find_partition(struct replication_process *process, uint32_t group)
{
    struct groups_guest *guest = process->guest;
    struct uuid topic;
    uint32_t number;

    if (guest == NULL || !number_of(guest, group, &topic, &number)) return NULL;
    list_for_each(node, &guest->partitions)
    {
        struct groups_partition *partition = container_of(node, struct groups_partition, link);

        if (partition->replica->number == number && uuid_equal(&partition->replica->topic_id, &topic)) return partition;
    }
    return NULL;
}

uint32_t groups_leader_of(struct replication_process *process, uint32_t group)
{
    const struct image_topic *topic;
    const struct image_broker *broker;
    struct image_partition facts;
    struct uuid id;
    uint32_t number;

    if (process->guest == NULL || !number_of(process->guest, group, &id, &number)) return UINT32_MAX;
    topic = image_find_topic(process->image, &id);
    if (topic == NULL || !image_topic_partition(topic, number, &facts)) return UINT32_MAX;
    broker = image_find_broker(process->image, facts.leader);
    return broker == NULL ? UINT32_MAX : consensus_host_of(&broker->broker_id);
}

static struct groups_partition *partition_of(const struct groups_guest *guest, const struct replication_replica *replica)
{
    list_for_each(node, &guest->partitions)
    {
        struct groups_partition *partition = container_of(node, struct groups_partition, link);

        if (partition->replica == replica) return partition;
    }
    return NULL;
}

/* ---- what a part knows ---- */

struct group_facts groups_facts(const struct groups_partition *partition)
{
    const struct replication_process *process = partition->guest->process;
    const struct replica *core = &partition->replica->replica;
    const struct plog *plog = partition->replica->plog;
    struct node_status status;

    node_get_status(metadata_process_node(process->metadata), &status);
    return (struct group_facts){
        .now_ms = process->now_ms,
        .wall_ms = (uint64_t)(sim_host_wall_us(process->host) / 1000),
        .clock_us = sim_host_now_us(process->host),
        .log_start = plog_start_offset(plog),
        .log_end = plog_end_offset(plog),
        .high_watermark = core->partition.high_watermark,
        .epoch = (uint32_t)core->partition.leader_epoch,
        .is_to_lead = replica_leads(core),
        .may_lead = replica_leads(core) && !core->partition.is_starting && !core->is_cutting && status.is_serving,
        .is_alone = core->member_count <= 1,
        .is_below_min = core->partition.isr_count < core->partition.config.min_insync,
    };
}

static void bring_back(struct groups_partition *partition)
{
#ifdef MESH_TEST_SWITCHES
    uint32_t defects = partition->guest->config->core_defects;

    for (int defect = 1; defect < GROUP_DEFECT_COUNT && partition->part.state != NULL; defect++) {
        if ((defects >> defect & 1) == 0) continue;
        /* RocketMQ's is a defect of who follows: a leader has its own commits. */
        if (defect == GROUP_DEFECT_OFFSETS_BY_CHECKPOINT && partition->part.lead != NULL) groups_bring_back(partition->part.state, GROUP_DEFECT_NONE);
        else groups_bring_back(partition->part.state, (enum group_defect)defect);
    }
#else
    (void)partition;
#endif
}

void groups_note_lead(struct groups_partition *partition)
{
    int32_t epoch = partition->replica->replica.partition.leader_epoch;

    if (partition->part.lead == NULL || partition->began_in == epoch) return;
    partition->began_in = epoch;
    bring_back(partition);
    GROUPS_HOOK(partition->guest, began, partition);
}

void groups_note_applied(struct groups_partition *partition)
{
    const struct group_part *part = &partition->part;

    if (part->state == NULL || partition->last_lsn == 0 || !groups_is_whole(part->state)) return;
    if (part->lead != NULL && group_lead_outbox_size(part->lead) > 0) return;
    GROUPS_HOOK(partition->guest, applied, partition, partition->last_epoch, partition->last_lsn);
}

/* ---- the log ---- */

static void note_last(struct groups_partition *partition, struct slice batches)
{
    struct record_batch_header header;

    for (size_t at = 0; at < batches.size; at += header.size) {
        MESH_ASSERT(record_batch_parse_header(slice_of(batches.data + at, batches.size - at), &header) == 0);
        if ((header.attributes & RECORD_ATTRIBUTE_CONTROL) != 0) continue;
        partition->last_epoch = (uint32_t)header.leader_epoch;
        partition->last_lsn = (uint64_t)record_batch_last_offset(&header);
    }
}

static void follow_log(struct groups_partition *partition)
{
    struct groups_guest *guest = partition->guest;
    struct group_facts facts = groups_facts(partition);
    bool has_taken = false;
    uint64_t from;

    while (group_part_wants_log(&partition->part, &facts, &from)) {
        int err;

        bring_back(partition);
        if (from == facts.log_start) { /* from its beginning: nothing is applied yet */
            partition->last_lsn = 0;
            partition->read_from_us = sim_now_us(sim_host_sim(guest->process->host));
        }
        buffer_clear(&guest->bytes);
        if (replication_read_log(partition->replica, from, facts.log_end, READ_BYTES, &guest->bytes) != 0 || guest->bytes.size == 0) break; /* the log says when */
        err = group_part_take(&partition->part, &facts, buffer_slice(&guest->bytes));
        if (partition->part.phase == GROUP_PART_STOPPED) GROUPS_HOOK(guest, broke, partition, err);
        if (err != 0) break;
        note_last(partition, buffer_slice(&guest->bytes));
        has_taken = true;
    }
    if (has_taken && partition->part.applied == facts.log_end) groups_note_applied(partition);
}

static void append(struct groups_partition *partition)
{
    struct replication_replica *replica = partition->replica;
    struct group_facts facts = groups_facts(partition);
    bool has_appended = false;
    struct slice batch;

    while (group_part_next_batch(&partition->part, &facts, &batch) == 0 && batch.size > 0) {
        int err = replication_append(replica, (uint8_t *)batch.data, batch.size);

        if (err != 0) {
            SIM_SOMETIMES("the log of a group partition took nothing");
            partition->is_late = true;
            if (err != MESH_EAGAIN) group_part_not_appended(&partition->part, &facts);
            return;
        }
        partition->last_epoch = facts.epoch;
        partition->last_lsn = plog_end_offset(replica->plog) - 1;
        facts = groups_facts(partition);
        group_part_appended(&partition->part, &facts, facts.log_end);
        has_appended = true;
    }
    if (has_appended) groups_note_applied(partition);
}

/* Nothing is to be appended otherwise: a control record is, for its being committed alone. */
static void prove(struct groups_partition *partition)
{
    struct buffer *bytes = &partition->guest->bytes;
    struct group_facts facts = groups_facts(partition);

    if (!group_part_wants_proof(&partition->part, &facts)) return;
    buffer_clear(bytes);
    MESH_ASSERT(record_batch_build_control(bytes, -1, -1, GROUP_PART_CONTROL_PROOF, (int32_t)facts.epoch, (int64_t)facts.wall_ms) == 0);
    record_batch_set_base_offset(bytes->data, (int64_t)facts.log_end);
    record_batch_set_leader_epoch(bytes->data, (int32_t)facts.epoch);
    if (replication_append_control(partition->replica, bytes->data) != 0) {
        partition->is_late = true;
        return;
    }
    SIM_SOMETIMES("a leader without work proved that it leads");
    facts = groups_facts(partition);
    group_part_proof_appended(&partition->part, &facts, facts.log_end);
}

static void trim(struct groups_partition *partition)
{
    struct group_facts facts = groups_facts(partition);
    uint64_t start;

    if (!group_part_may_trim(&partition->part, &facts, &start)) return;
    SIM_SOMETIMES("a group log was trimmed at a checkpoint");
    partition->guest->process->is_store_touched = true;
    plog_trim(partition->replica->plog, start);
}

/* ---- the guest ---- */

static void run(struct groups_partition *partition)
{
    struct group_facts facts;

    partition->is_late = false;
    if (partition->replica->replica.is_cutting) {
        partition->deadline_ms = UINT64_MAX;
        return;
    }
    follow_log(partition);
    facts = groups_facts(partition);
    group_part_turn(&partition->part, &facts, &partition->deadline_ms);
    groups_note_lead(partition);
    append(partition);
    prove(partition);
    facts = groups_facts(partition);
    group_part_committed(&partition->part, &facts);
    append(partition); /* whoever was answered may have asked again */
    trim(partition);
}

static void turn(void *user)
{
    struct groups_guest *guest = user;

    groups_catalog_look(guest);
    list_for_each(node, &guest->partitions)
    {
        struct groups_partition *partition = container_of(node, struct groups_partition, link);

        if (partition->replica->plog != NULL) run(partition);
    }
}

static uint64_t due_ms(void *user)
{
    struct groups_guest *guest = user;
    uint64_t due = UINT64_MAX;

    list_for_each(node, &guest->partitions)
    {
        const struct groups_partition *partition = container_of(node, struct groups_partition, link);
        uint64_t at_ms = partition->is_late ? guest->process->now_ms + LATE_MS : partition->deadline_ms;

        if (at_ms < due) due = at_ms;
    }
    return due;
}

static void set_defects(struct groups_partition *partition)
{
#ifdef MESH_TEST_SWITCHES
    for (int defect = 1; defect < GROUP_PART_DEFECT_COUNT; defect++)
        if (partition->guest->config->part_defects >> defect & 1) group_part_bring_back(&partition->part, (enum group_part_defect)defect);
#else
    MESH_ASSERT(partition->guest->config->part_defects == 0 && partition->guest->config->core_defects == 0);
#endif
}

static void opened(void *user, struct replication_replica *replica)
{
    struct groups_guest *guest = user;
    struct groups_partition *partition;

    if (strcmp(replica->topic->name, guest->config->topic) != 0) return;
    partition = calloc(1, sizeof(*partition));
    MESH_ASSERT(partition != NULL);
    partition->guest = guest;
    partition->replica = replica;
    partition->began_in = -1;
    group_part_init(&partition->part, &guest->terms);
    set_defects(partition);
    list_push_back(&guest->partitions, &partition->link);
}

static void close_partition(struct groups_partition *partition, int error)
{
    group_part_deinit(&partition->part, error);
    list_remove(&partition->link);
    free(partition);
}

static void closing(void *user, struct replication_replica *replica)
{
    struct groups_partition *partition = partition_of(user, replica);

    if (partition != NULL) close_partition(partition, MESH_EUNKNOWN_TOPIC);
}

/* The next turn looks at every partition. */
static void stirred(void *user, struct replication_replica *replica)
{
    struct groups_guest *guest = user;

    (void)replica;
    guest->process->is_stirred = true;
}

static void cutting(void *user, struct replication_replica *replica)
{
    struct groups_partition *partition = partition_of(user, replica);

    if (partition == NULL) return;
    SIM_SOMETIMES_IF(partition->part.state != NULL, "a group partition's log was cut under its state");
    group_part_cut(&partition->part);
}

static void ceased(void *user, struct replication_replica *replica)
{
    struct groups_partition *partition = partition_of(user, replica);

    if (partition != NULL) group_part_cease(&partition->part);
}

static void below_min(void *user, struct replication_replica *replica)
{
    struct groups_partition *partition = partition_of(user, replica);
    struct group_facts facts;

    if (partition == NULL) return;
    facts = groups_facts(partition);
    group_part_below_min(&partition->part, &facts);
}

static void committed(void *user, struct replication_replica *replica)
{
    struct groups_partition *partition = partition_of(user, replica);
    struct group_facts facts;

    if (partition == NULL) return;
    facts = groups_facts(partition);
    group_part_committed(&partition->part, &facts);
}

/* Before its first decision: what it brings about is seen later. */
static int begun(void *user, struct group_part *part, const struct group_facts *facts)
{
    (void)user;
    (void)facts;
    groups_note_lead(container_of(part, struct groups_partition, part));
    return 0;
}

static void told(void *user, struct group_part *part, const struct group_event *event)
{
    struct groups_partition *partition = container_of(part, struct groups_partition, part);

    (void)user;
    groups_note_lead(partition);
    GROUPS_HOOK(partition->guest, told, partition, event);
}

static void stop(void *user)
{
    struct groups_guest *guest = user;

    guest->is_stopping = true;
    list_for_each_safe(node, &guest->partitions)
        close_partition(container_of(node, struct groups_partition, link), MESH_ESHUTDOWN);
    record_batch_builder_deinit(&guest->builder);
    buffer_deinit(&guest->bytes);
    buffer_deinit(&guest->names);
    groups_catalog_deinit(guest);
    free(guest);
}

static void *start(void *context, struct replication_process *process)
{
    struct groups_guest *guest = calloc(1, sizeof(*guest));

    MESH_ASSERT(guest != NULL);
    guest->config = context;
    guest->process = process;
    list_init(&guest->partitions);
    record_batch_builder_init(&guest->builder);
    groups_catalog_init(guest);
    guest->terms.limits = guest->config->limits;
    guest->terms.builder = &guest->builder;
    guest->terms.told = told;
    guest->terms.begun = begun;
    guest->terms.user = guest;
    return guest;
}

const struct replication_guest groups_guest = {start, stop, opened, stirred, cutting, ceased, below_min, committed, closing, turn, due_ms};
