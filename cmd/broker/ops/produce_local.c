/* broker/ops/produce_local.c - append through the partition core, and acknowledge when the store says so. */
#include "cmd/broker/ops/produce_local.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/replicas/roles.h"
#include "cmd/broker/runtime/partitions.h"

void produce_refuse(struct shard *shard, int error, struct produce_done done)
{
    struct produce_result result = {.error = error, .leader_epoch = -1, .append_time_ms = -1};

    shard->metrics.produce_errors++;
    if (done.call != NULL) done.call(done.owner, done.tag, &result);
}

/* ---- append ---- */

static struct ack_queue *queue_of(struct shard *shard, const struct shard_partition *partition)
{
    return partition->replica.partition.config.is_async ? &shard->acks_written : &shard->acks_synced;
}

static void ack_fill(struct ack *ack, struct shard *shard, struct shard_partition *partition,
                     const struct record_batch_header *header, int64_t append_time_ms, const struct produce_terms *terms,
                     struct produce_done done)
{
    *ack = (struct ack){
        .done = done,
        .partition = partition,
        .base_offset = (uint64_t)header->base_offset,
        .end_offset = (uint64_t)record_batch_last_offset(header) + 1,
        .append_time_ms = append_time_ms,
        .received_ns = shard->now_ns,
        .timeout_ms = terms->timeout_ms,
        .leader_epoch = header->leader_epoch,
        .cut_count = partition->cut_count,
        .is_async = partition->replica.partition.config.is_async,
    };
    partition->pending++;
}

/* The batch is in the log already: acknowledge the first copy, as soon as that is as safe as was asked for. Its own
 * acknowledgement need not stand ahead in the queue: it may have asked for none, or wait for another kind of flush. */
static int produce_duplicate(struct shard *shard, struct shard_partition *partition,
                             struct record_batch_header *header, uint64_t base_offset, const struct produce_terms *terms,
                             struct produce_done done)
{
    uint64_t end_offset = base_offset + (uint64_t)header->last_offset_delta + 1;
    bool is_written = plog_written_offset(partition->plog) >= end_offset;
    struct ack *ack;

    shard->metrics.produce_duplicates++;
    if (done.call == NULL) return 0;
    if (roles_waits_for_others(&partition->replica, terms->acks)) ack = produce_committing_push(shard, partition);
    else ack = ack_queue_push(is_written ? queue_of(shard, partition) : &shard->acks_synced);
    if (ack == NULL) return MESH_ENOMEM;
    header->base_offset = (int64_t)base_offset;
    ack_fill(ack, shard, partition, header, -1, terms, done);
    ack->is_duplicate = true;
    ack->ticket = store_last_ticket(shard->store);
    if (roles_waits_for_others(&partition->replica, terms->acks)) produce_acknowledge_committed(shard, partition);
    return 0;
}

static void count_appended(struct shard *shard, struct shard_partition *partition,
                           const struct record_batch_header *header)
{
    struct metrics_shard *metrics = &shard->metrics;
    struct metrics_topic *topic = &partition->topic->metrics;
    uint64_t records = (uint64_t)header->record_count;

    shard->appended++;
    metrics->produced_batches++;
    metrics->produced_records += records;
    metrics->produced_bytes += header->size;
    topic->produced_batches++;
    topic->produced_records += records;
    topic->produced_bytes += header->size;
}

static int produce_append(struct shard *shard, struct shard_partition *partition,
                          const struct record_batch_header *header, const uint8_t *batch, int64_t append_time_ms,
                          const struct produce_terms *terms, struct produce_done done)
{
    bool waits = roles_waits_for_others(&partition->replica, terms->acks);
    struct ack *ack = NULL;
    uint64_t ticket;
    int err;

    if (done.call != NULL) {
        ack = waits ? produce_committing_push(shard, partition) : ack_queue_push(queue_of(shard, partition));
        if (ack == NULL) return MESH_ENOMEM;
    }
    err = plog_append(partition->plog, header, batch, shard->now_wall_ms, &ticket);
    if (err != 0) {
        if (ack != NULL) ack_queue_unpush(waits ? &partition->acks->queue : queue_of(shard, partition));
        return err;
    }
    replica_leader_appended(&partition->replica, header);
    count_appended(shard, partition, header);
    if (ack == NULL) return 0;
    ack_fill(ack, shard, partition, header, append_time_ms, terms, done);
    ack->ticket = ticket;
    return 0;
}

int produce_local(struct shard *shard, struct shard_partition *partition, const struct produce_entry *entry,
                  uint8_t *batch, const struct produce_terms *terms, struct produce_done done)
{
    struct record_batch_header header;
    uint64_t original_offset;
    int64_t append_time_ms;
    int err = MESH_ENOT_LEADER; /* what the image says that it leads counts once the coordinator knows of this start */

    if (partition->topic->is_internal)
        err = MESH_EINVALID_TOPIC;
    else if (atomic_load_explicit(&shard->broker->is_serving, memory_order_relaxed))
        err = partition_leader_prepare(&partition->replica.partition, batch, entry->batch_size, entry->leader_epoch, terms->acks,
                                       shard->now_wall_ms, &header, &append_time_ms);

    if (err == 0) {
        err = plog_check_producer(partition->plog, &header, &original_offset);
        if (err == 0)
            err = produce_append(shard, partition, &header, batch, append_time_ms, terms, done);
        else if (err == MESH_EDUPLICATE_SEQUENCE)
            err = produce_duplicate(shard, partition, &header, original_offset, terms, done);
    }
    if (err == MESH_EAGAIN) {
        shard->is_store_full = true;
        partition_leader_unprepare(batch);
        return err;
    }
    if (err != 0) produce_refuse(shard, err, done);
    return 0;
}

/* ---- acknowledge ---- */

/* However it came: of one from another broker there is a second line, with the request's id (forward/serve.c). */
static void note_slow(struct shard *shard, const struct shard_partition *partition, uint64_t took_ms, int error)
{
    if (!request_log_wants(&shard->broker->settings, took_ms, 0, error) || !request_log_may(&shard->request_log, shard->now_ms)) return;
    log_warn("a produce request %s topic=%s partition=%u ms=%llu error=\"%s\"", error != 0 ? "failed" : "was slow",
             partition->topic != NULL ? partition->topic->topic->name : "?", partition->number, /* it was deleted meanwhile */
             (unsigned long long)took_ms, error != 0 ? mesh_strerror(error) : "");
}

void produce_answer(struct shard *shard, const struct ack *ack, int error, uint64_t now_ns)
{
    struct shard_partition *partition = ack->partition;
    struct replica_receipt receipt = {0, 0};
    struct produce_result result = {
        .error = error,
        .base_offset = ack->base_offset,
        .leader_epoch = ack->leader_epoch,
        .append_time_ms = ack->append_time_ms,
        .is_duplicate = ack->is_duplicate,
    };

    if (partition->plog == NULL) {
        result.error = MESH_EUNKNOWN_TOPIC; /* deleted while it waited */
    } else if (ack->cut_count != partition->cut_count) {
        result.error = MESH_EUNCOMMITTED; /* led by another broker meanwhile, which may not have had it */
    } else {
        bool is_durable = plog_durable_offset(partition->plog) >= ack->end_offset;
        bool is_written = plog_written_offset(partition->plog) >= ack->end_offset;
        replica_get_receipt(&partition->replica, ack->end_offset, &receipt);
        if (result.error == 0 && !is_durable && !(ack->is_async && is_written) &&
            partition->replica.partition.high_watermark < ack->end_offset)
            result.error = MESH_ESTORAGE; /* what is committed is held by others, whatever became of this disk */
    }
    result.replicas_holding = receipt.held > 0 ? receipt.held : 1;
    result.replicas_synced = receipt.synced;
    if (result.error != 0) shard->metrics.produce_errors++;
    histogram_record(&shard->metrics.produce_ack_ns, now_ns - ack->received_ns);
    note_slow(shard, partition, (now_ns - ack->received_ns) / 1000000, result.error);
    shard_partition_release(partition);
    ack->done.call(ack->done.owner, ack->done.tag, &result);
}

static void acknowledge_until(struct shard *shard, struct ack_queue *queue, uint64_t ticket, uint64_t now_ns)
{
    struct ack *front;

    while ((front = ack_queue_front(queue)) != NULL && front->ticket <= ticket) {
        struct ack ack = *front;

        ack_queue_pop(queue); /* first: done may push */
        produce_answer(shard, &ack, 0, now_ns);
    }
}

bool produce_acknowledge(struct shard *shard)
{
    uint32_t before = shard->acks_written.count + shard->acks_synced.count;
    uint64_t now_ns;

    if (before == 0) return false;
    now_ns = clock_monotonic_ns();
    acknowledge_until(shard, &shard->acks_written, UINT64_MAX, now_ns);
    acknowledge_until(shard, &shard->acks_synced, store_durable_ticket(shard->store), now_ns);
    return shard->acks_written.count + shard->acks_synced.count < before;
}

/* ---- time is up ---- */

bool produce_has_waiting(const struct shard *shard)
{
    return shard->acks_synced.count > 0 || !list_is_empty(&shard->remote_waiting) || !list_is_empty(&shard->acks_committing);
}

static bool ack_is_overdue(const struct ack *ack, uint64_t now_ns)
{
    return ack->timeout_ms > 0 && now_ns - ack->received_ns >= (uint64_t)ack->timeout_ms * 1000000;
}

/* Nobody knows: the batch is in the log, and becomes durable if the disk comes back before the broker ends. */
static void ack_give_up(struct shard *shard, const struct ack *ack, uint64_t now_ns)
{
    histogram_record(&shard->metrics.produce_ack_ns, now_ns - ack->received_ns);
    note_slow(shard, ack->partition, (now_ns - ack->received_ns) / 1000000, MESH_ETIMEDOUT);
    shard_partition_release(ack->partition);
    produce_refuse(shard, MESH_ETIMEDOUT, ack->done);
}

/* Acknowledgements stand in the order of their tickets, which is that of their time: while the first one is young, all are. */
void produce_expire_queue(struct shard *shard, struct ack_queue *queue)
{
    uint64_t now_ns = shard->now_ns;
    uint32_t kept = 0;

    if (queue->count == 0 || now_ns - ack_queue_front(queue)->received_ns < PRODUCE_EXPIRE_MS * 1000000ull) return;
    for (uint32_t i = 0; i < queue->count; i++) { /* done may push: then the ring may have moved */
        struct ack ack = *ack_queue_at(queue, i);

        if (!ack_is_overdue(&ack, now_ns)) {
            *ack_queue_at(queue, kept++) = ack;
            continue;
        }
        ack_give_up(shard, &ack, now_ns);
    }
    ack_queue_cut(queue, kept);
}

void produce_expire(struct shard *shard)
{
    produce_expire_remote(shard);
    produce_expire_queue(shard, &shard->acks_synced);
    produce_expire_committing(shard);
}

void produce_abandon_queue(struct shard *shard, struct ack_queue *queue)
{
    while (queue->count > 0) {
        struct ack ack = *ack_queue_front(queue);

        ack_queue_pop(queue);
        ack_give_up(shard, &ack, shard->now_ns);
    }
}

void produce_abandon(struct shard *shard)
{
    produce_abandon_remote(shard);
    produce_abandon_queue(shard, &shard->acks_written);
    produce_abandon_queue(shard, &shard->acks_synced);
    produce_abandon_committing(shard);
}
