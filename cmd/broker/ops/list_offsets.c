/* broker/ops/list_offsets.c - one call per partition; the look-up by time may have to wait for the disk. */
#include "cmd/broker/ops/list_offsets.h"

#include "base/error.h"
#include "cmd/broker/forward/call.h"
#include "cmd/broker/forward/forward.h"
#include "cmd/broker/forward/requests.h"
#include "cmd/broker/ops/fetch_control.h"
#include "cmd/broker/ops/partition_facts.h"
#include "cmd/broker/runtime/partitions.h"

#include <stdlib.h>

struct list_offsets_call {
    struct mail mail;
    struct shard *home, *shard;
    struct list_offsets_entry entry;
    struct list_offsets_result result;
    struct shard_partition *partition; /* held while the store looks a time up */
    list_offsets_done_fn *done;
    void *owner;
    uint64_t tag;
};

static void call_home(struct mail *mail)
{
    struct list_offsets_call *call = container_of(mail, struct list_offsets_call, mail);

    call->done(call->owner, call->tag, &call->result);
    free(call);
}

static void call_finish(struct list_offsets_call *call)
{
    if (call->home == call->shard) {
        call_home(&call->mail);
        return;
    }
    call->mail.deliver = call_home;
    shard_post(call->home, &call->mail);
}

static void on_time_found(void *user, int error, int64_t offset, int64_t timestamp_ms)
{
    struct list_offsets_call *call = user;

    shard_partition_release(call->partition);
    if (error == 0) {
        call->result.offset = offset;
        call->result.timestamp_ms = timestamp_ms;
    } else if (error != MESH_ENOTFOUND) { /* not found is an answer: offset -1 */
        call->result.error = error;
    }
    call_finish(call);
}

/* Nobody has read beyond the high watermark: what lies there may still be taken back, and is no end of an epoch for a reader. */
static void find_epoch_end(struct list_offsets_call *call)
{
    const struct partition *replica = &call->partition->replica.partition;
    uint64_t end = plog_epoch_end_offset(call->partition->plog, call->entry.epoch, &call->result.leader_epoch);

    if (call->entry.epoch > replica->leader_epoch) call->result.leader_epoch = -1; /* not ours to say */
    if (call->result.leader_epoch < 0) return;
    call->result.offset = (int64_t)(end < replica->high_watermark ? end : replica->high_watermark);
}

static void find_latest(struct list_offsets_call *call)
{
    uint64_t end = call->partition->replica.partition.high_watermark;

    if (call->entry.skips_control) call->result.error = fetch_control_end(call->partition->plog, end, &end);
    if (call->result.error == 0) call->result.offset = (int64_t)end;
}

static void call_run(struct list_offsets_call *call)
{
    struct list_offsets_result *result = &call->result;
    const struct partition *replica;
    int err = shard_partition_get(call->shard, &call->entry.topic_id, call->entry.partition, &call->partition);

    *result = (struct list_offsets_result){.offset = -1, .timestamp_ms = -1, .leader_epoch = -1};
    if (err == 0 && call->partition->topic->is_internal) err = MESH_EINVALID_TOPIC;
    if (err == 0) err = partition_check_leader(&call->partition->replica.partition, (int32_t)((int64_t)call->entry.leader_epoch_plus_one - 1));
    if (err != 0) {
        result->error = err;
        call_finish(call);
        return;
    }
    if (call->entry.timestamp_ms != LIST_OFFSETS_EARLIEST && !replica_end_is_known(&call->partition->replica)) {
        result->error = MESH_EAGAIN; /* rather than an older end */
        call_finish(call);
        return;
    }
    replica = &call->partition->replica.partition;
    result->leader_epoch = replica->leader_epoch;
    if (call->entry.timestamp_ms >= 0) {
        call->partition->pending++;
        err = plog_find_time(call->partition->plog, call->entry.timestamp_ms, replica->high_watermark, on_time_found,
                             call);
        if (err != 0) on_time_found(call, err, -1, -1);
        return;
    }
    if (call->entry.timestamp_ms == LIST_OFFSETS_LATEST)
        find_latest(call);
    else if (call->entry.timestamp_ms == LIST_OFFSETS_EARLIEST)
        result->offset = (int64_t)replica->first;
    else if (call->entry.timestamp_ms == LIST_OFFSETS_EPOCH_END)
        find_epoch_end(call);
    else
        result->error = MESH_EINVAL;
    call_finish(call);
}

static void call_arrives(struct mail *mail)
{
    call_run(container_of(mail, struct list_offsets_call, mail));
}

int list_offsets_submit(struct shard *shard, const struct list_offsets_entry *entry, bool forwards, list_offsets_done_fn *done,
                        void *owner, uint64_t tag)
{
    uint32_t home = image_shard_of(&entry->topic_id, entry->partition, shard->broker->shard_count);
    struct list_offsets_entry copy = *entry;
    struct list_offsets_call *call;
    struct forward_leader leader;

    if (forwards && forward_is_elsewhere(shard, &entry->topic_id, entry->partition, &leader))
        return forward_list_offsets(shard, &leader.broker, &copy, 1, FORWARD_READ_MS, done, owner, tag);
    call = calloc(1, sizeof(*call));
    if (call == NULL) return MESH_ENOMEM;
    call->home = shard;
    call->shard = shard->broker->shards[home];
    call->entry = *entry;
    call->done = done;
    call->owner = owner;
    call->tag = tag;
    if (home == shard->index) {
        call_run(call);
    } else {
        call->mail.deliver = call_arrives;
        shard_post(call->shard, &call->mail);
    }
    return 0;
}

void partition_facts_get(struct shard *shard, const struct uuid *topic_id, uint32_t number,
                         struct partition_facts *ret_facts)
{
    struct shard_partition *partition = shard_partition_find(shard, topic_id, number);

    *ret_facts = (struct partition_facts){0};
    if (partition == NULL) return;
    *ret_facts = (struct partition_facts){
        .high_watermark = partition->replica.partition.high_watermark,
        .log_start = partition->replica.partition.first,
        .log_end = partition->replica.partition.log_end,
        .size_bytes = plog_size_bytes(partition->plog),
        .error = plog_error(partition->plog),
        .is_end_unknown = !replica_end_is_known(&partition->replica),
    };
}

bool partition_facts_missing(struct shard *shard, const struct uuid *topic_id, uint32_t number, const int32_t *nodes, size_t count,
                             uint64_t *ret_records_plus_one, uint64_t *ret_bytes)
{
    struct shard_partition *partition = shard_partition_find(shard, topic_id, number);
    const struct replica *replica = partition == NULL ? NULL : &partition->replica;
    bool is_complete = true;
    uint64_t end;

    if (replica == NULL || !replica_leads(replica)) return false;
    for (size_t i = 0; i < count && is_complete; i++)
        is_complete = replica_member_end(replica, nodes[i], &end) && end >= replica->partition.log_end;
    if (is_complete) return false;
    for (size_t i = 0; i < count; i++) {
        bool is_known = replica_member_end(replica, nodes[i], &end);

        if (is_known && end < replica->partition.log_start) end = replica->partition.log_start;
        ret_records_plus_one[i] = is_known ? replica->partition.log_end - end + 1 : 0;
        ret_bytes[i] = is_known ? plog_bytes_from(partition->plog, end) : 0;
    }
    return true;
}
