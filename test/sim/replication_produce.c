/* Appending and acknowledging, as cmd/broker/ops/produce_local.c and produce_committing.c do. */
#include "base/assert.h"
#include "base/error.h"
#include "cmd/broker/replicas/roles.h"
#include "sim/replication_internal.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

static void answer(struct replication_process *process, const struct replication_answer *what)
{
    REPLICATION_HOOK(process, answered, process, what);
}

static void refuse(struct replication_process *process, uint64_t request, int error)
{
    answer(process, &(struct replication_answer){.request = request, .error = error, .leader_epoch = -1});
}

static struct replication_ack *push(struct replication_replica *replica)
{
    if (replica->ack_count == replica->ack_capacity) {
        replica->ack_capacity = replica->ack_capacity == 0 ? 8 : replica->ack_capacity * 2;
        replica->acks = realloc(replica->acks, replica->ack_capacity * sizeof(*replica->acks));
        MESH_ASSERT(replica->acks != NULL);
    }
    if (list_is_empty(&replica->acks_link)) list_push_back(&replica->process->acking, &replica->acks_link);
    return &replica->acks[replica->ack_count++];
}

static void wait_for(struct replication_replica *replica, const struct record_batch_header *header, int32_t acks, uint64_t request, uint64_t ticket,
                     bool is_duplicate)
{
    *push(replica) = (struct replication_ack){
        .request = request,
        .base_offset = (uint64_t)header->base_offset,
        .end_offset = (uint64_t)record_batch_last_offset(header) + 1,
        .ticket = ticket,
        .leader_epoch = header->leader_epoch,
        .cut_count = replica->cut_count,
        .waits = roles_waits_for_others(&replica->replica, acks),
        .is_async = replica->replica.partition.config.is_async && (!is_duplicate || plog_written_offset(replica->plog) >= (uint64_t)record_batch_last_offset(header) + 1),
        .is_duplicate = is_duplicate,
    };
}

static int append(struct replication_replica *replica, int32_t acks, uint64_t request, const struct record_batch_header *header, const uint8_t *batch)
{
    struct replication_process *process = replica->process;
    uint64_t ticket;
    int err = replication_log_append(replica, header, batch, &ticket);

    if (err != 0) return err;
    process->has_appended = true;
    REPLICATION_HOOK(process, appended, replica, header);
    replica_leader_appended(&replica->replica, header);
    if (acks == 0) refuse(process, request, 0); /* nobody waits: all that can be said is that it came */
    else wait_for(replica, header, acks, request, ticket, false);
    return 0;
}

/* The defect: who leads knows the producers that wrote to it, and of no others. */
static bool forgets(const struct replication_replica *replica, uint64_t offset)
{
    return (replica->process->config->driver_defects >> REPLICATION_DRIVER_FORGETS_PRODUCERS & 1) != 0 && offset < replica->replica.epoch_start;
}

void replication_produce(struct replication_process *process, const struct uuid *topic_id, uint32_t partition, int32_t leader_epoch, int32_t acks,
                         uint64_t request, uint8_t *batch, size_t size)
{
    struct replication_replica *replica = replication_process_find(process, topic_id, partition);
    struct record_batch_header header;
    struct node_status status;
    uint64_t original = 0;
    int64_t append_time_ms;
    int err = MESH_ENOT_LEADER;

    process->is_stirred = true;
    node_get_status(metadata_process_node(process->metadata), &status);
    if (process->is_leaving) err = MESH_ESHUTDOWN;
    else if (replica != NULL && status.is_serving)
        err = partition_leader_prepare(&replica->replica.partition, batch, size, leader_epoch, acks, sim_host_wall_us(process->host) / 1000, &header,
                                       &append_time_ms);
    if (err == 0) {
        err = plog_check_producer(replica->plog, &header, &original);
        if (err == MESH_EDUPLICATE_SEQUENCE && forgets(replica, original)) err = 0;
        if (err == 0) {
            err = append(replica, acks, request, &header, batch);
        } else if (err == MESH_EDUPLICATE_SEQUENCE) {
            SIM_SOMETIMES("a batch that was in the log was sent again");
            header.base_offset = (int64_t)original;
            if (acks == 0) refuse(process, request, 0);
            else wait_for(replica, &header, acks, request, store_last_ticket(process->store.store), true);
            err = 0;
        }
    }
    if (err != 0) refuse(process, request, err);
}

/* ---- the guest's ---- */

static int append_own(struct replication_replica *replica, const struct record_batch_header *header, const uint8_t *batch)
{
    struct replication_process *process = replica->process;
    uint64_t ticket;
    int err = replication_log_append(replica, header, batch, &ticket);

    if (err != 0) return err;
    process->has_appended = true;
    REPLICATION_HOOK(process, appended, replica, header);
    replica_leader_appended(&replica->replica, header);
    return 0;
}

int replication_append(struct replication_replica *replica, uint8_t *batch, size_t size)
{
    struct record_batch_header header;
    int64_t append_time_ms;
    int err = partition_leader_prepare(&replica->replica.partition, batch, size, replica->replica.partition.leader_epoch, 1,
                                       sim_host_wall_us(replica->process->host) / 1000, &header, &append_time_ms);

    return err != 0 ? err : append_own(replica, &header, batch);
}

int replication_append_control(struct replication_replica *replica, const uint8_t *batch)
{
    struct record_batch_header header;

    MESH_ASSERT(replica_leads(&replica->replica) && record_batch_parse_header(slice_of(batch, RECORD_BATCH_HEADER_SIZE), &header) == 0);
    return append_own(replica, &header, batch);
}

/* ---- acknowledgements ---- */

static void say(struct replication_replica *replica, const struct replication_ack *ack, int error)
{
    struct replication_answer what = {ack->request, error, ack->base_offset, ack->leader_epoch, ack->is_duplicate, ack->waits};

    if (replica->plog == NULL) {
        what.error = MESH_EUNKNOWN_TOPIC;
    } else if (ack->cut_count != replica->cut_count) {
        SIM_SOMETIMES("a log was cut while somebody waited for an acknowledgement");
        what.error = MESH_EUNCOMMITTED;
    } else if (error == 0 && plog_durable_offset(replica->plog) < ack->end_offset &&
               !(ack->is_async && plog_written_offset(replica->plog) >= ack->end_offset) &&
               replica->replica.partition.high_watermark < ack->end_offset) {
        what.error = MESH_ESTORAGE;
    }
    answer(replica->process, &what);
}

static bool is_ready(const struct replication_replica *replica, const struct replication_ack *ack)
{
    if (ack->waits) return ack->end_offset <= replica->replica.partition.high_watermark;
    return ack->is_async || ack->ticket <= store_durable_ticket(replica->process->store.store);
}

/* Says what is ready, only of those that wait for others if committed_only; and with an error, that to all others of these. */
static void settle(struct replication_replica *replica, bool committed_only, int error)
{
    uint32_t kept = 0, count = replica->ack_count;

    /* The high watermark may have risen since the board was looked at. */
    if (replica->plog != NULL && !replica->replica.is_cutting) REPLICATION_HOOK(replica->process, committed, replica);
    for (uint32_t i = 0; i < count; i++) {
        struct replication_ack ack = replica->acks[i];

        if (is_ready(replica, &ack) && (ack.waits || !committed_only)) say(replica, &ack, 0);
        else if (error != 0 && ack.waits) say(replica, &ack, error);
        else replica->acks[kept++] = ack;
    }
    replica->ack_count = kept;
    if (kept == 0) list_remove(&replica->acks_link);
}

void replication_acknowledge(struct replication_process *process)
{
    list_for_each_safe(node, &process->acking)
        settle(container_of(node, struct replication_replica, acks_link), false, 0);
}

void replication_acknowledge_committed(struct replication_replica *replica)
{
    if (replica->ack_count > 0) settle(replica, true, 0);
}

void replication_refuse_waiting(struct replication_replica *replica, int error)
{
    if (replica->ack_count > 0) settle(replica, true, error);
}
