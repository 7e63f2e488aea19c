/* replicas/heal.c - see the header. */
#include "cmd/broker/replicas/heal_internal.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/forward/call.h"
#include "cmd/broker/operate/events.h"
#include "cmd/broker/replicas/heal_message.h"
#include "cmd/broker/runtime/long_memory.h"
#include "segment/healing.h"

#include <inttypes.h>
#include <stdlib.h>

#define BUSY_MAX         2          /* repairs of a shard at a time */
#define BYTES_PER_MS     (16u << 10) /* 16 MiB/s that are fetched and written per partition */
#define RETRY_MIN_MS     100
#define RETRY_MAX_MS     10000
#define FETCH_TIMEOUT_MS 10000
#define LEADER_GRACE_MS  1000 /* most damage is mended sooner than another leader is there */

struct heal_fetch {
    struct forward_call call;
    struct damaged *damaged; /* NULL: it is not wanted any more */
    struct buffer head;
    uint64_t from;
    int32_t node_id;
};

static const char *name_of(const struct damaged *damaged)
{
    return damaged->partition->topic->topic->name;
}

/* ---- the books ---- */

static void refresh(struct shard_partition *partition)
{
    struct partition_positions positions;

    shard_partition_positions(partition, &positions);
    replica_set_positions(&partition->replica, &positions);
}

static void let_go(struct damaged *damaged)
{
    struct healing *healing = &damaged->shard->replicas.healing;

    list_remove(&damaged->node);
    damaged->partition->damaged = NULL;
    damaged->shard->metrics.healing.damaged--;
    if (damaged->is_busy) healing->busy--;
    if (damaged->fetch != NULL) damaged->fetch->damaged = NULL;
    free(damaged);
}

static void later(struct damaged *damaged, uint64_t after_ms)
{
    damaged->next_ms = damaged->shard->now_ms + after_ms;
    replicas_wake_at(&damaged->shard->replicas, damaged->next_ms);
}

static void failed(struct damaged *damaged)
{
    uint64_t after_ms = RETRY_MIN_MS << (damaged->failures < 8 ? damaged->failures : 8);

    damaged->failures++;
    damaged->source++;
    later(damaged, after_ms < RETRY_MAX_MS ? after_ms : RETRY_MAX_MS);
}

static void tell_found(struct damaged *damaged)
{
    struct plog_damage range = {0, 0};

    (void)plog_find_damage(damaged->partition->plog, 0, &range);
    event_note(&damaged->shard->broker->control.events, EVENT_DAMAGE, LOG_LEVEL_ERROR, "damaged records were found, and are not served topic=%s partition=%u offset=%" PRIu64 " next_offset=%" PRIu64 " ranges=%u", name_of(damaged),
              damaged->partition->number, range.from, range.to, plog_damage_count(damaged->partition->plog));
}

void heal_look(struct shard *shard, struct shard_partition *partition)
{
    struct damaged *damaged = partition->damaged;
    uint32_t count = plog_damage_count(partition->plog);

    if (count == 0 || shard->replicas.is_stopping) return;
    if (damaged == NULL) {
        damaged = calloc(1, sizeof(*damaged));
        if (damaged == NULL) return; /* the next news of the log brings us back */
        damaged->shard = shard;
        damaged->partition = partition;
        damaged->found_ms = damaged->next_ms = damaged->tell_ms = shard->now_ms;
        damaged->checked_from = damaged->alone_from = UINT64_MAX;
        partition->damaged = damaged;
        list_push_back(&shard->replicas.healing.all, &damaged->node);
        shard->metrics.healing.damaged++;
        replicas_wake_at(&shard->replicas, shard->now_ms);
    }
    if (count > damaged->known_count) tell_found(damaged);
    damaged->known_count = count;
    if (replica_leads(&partition->replica) && damaged->lost == LOST_UNTOLD && damaged->tell_ms <= shard->now_ms)
        damaged->tell_ms = damaged->found_ms + LEADER_GRACE_MS;
    replicas_wake_at(&shard->replicas, damaged->tell_ms);
}

void heal_forget(struct shard *shard, struct shard_partition *partition)
{
    (void)shard;
    if (partition->damaged != NULL) let_go(partition->damaged);
}

/* ---- mending ---- */

static void is_idle(struct damaged *damaged)
{
    MESH_ASSERT(damaged->is_busy);
    damaged->is_busy = false;
    damaged->shard->replicas.healing.busy--;
}

static void on_repaired(void *user, int error)
{
    struct shard_partition *partition = user;
    struct damaged *damaged = partition->damaged;

    if (damaged != NULL && partition->plog != NULL) {
        is_idle(damaged);
        if (error == 0) {
            damaged->failures = damaged->misfits = 0;
            replicas_wake_at(&damaged->shard->replicas, damaged->next_ms); /* the pace of fetching holds */
        } else {
            damaged->misfits += error == MESH_ECORRUPT;
            if (error == MESH_ECANCELED) damaged->checked_from = damaged->alone_from = UINT64_MAX; /* it is not what was looked at */
            if (replicas_may_log(damaged->shard))
                event_note(&damaged->shard->broker->control.events, EVENT_DAMAGE, LOG_LEVEL_ERROR, "a damaged range could not be mended topic=%s partition=%u error=\"%s\"", name_of(damaged), partition->number,
                          mesh_strerror(error));
            failed(damaged);
        }
    }
    shard_partition_release(partition);
}

/* Nobody else has it, as far as is known: it is the only replica, or the last complete one and all others were asked in vain. */
static bool is_alone(const struct damaged *damaged)
{
    uint32_t members = damaged->partition->replica.member_count;

    return members == 1 || (damaged->lost == LOST_ALONE && damaged->failures >= 2 * members);
}

static void is_under_way(struct damaged *damaged, int err)
{
    if (err == 0) {
        damaged->partition->pending++;
        damaged->shard->has_more = true; /* the job starts at once */
        return;
    }
    is_idle(damaged);
    if (err == MESH_ENOTFOUND) later(damaged, 0); /* it is gone already */
    else failed(damaged);
}

static void mend(struct damaged *damaged, uint64_t from, struct slice batches)
{
    is_under_way(damaged, plog_repair(damaged->partition->plog, from, batches, on_repaired, damaged->partition));
}

/* The one thing that can be put right without another replica. */
static void mend_alone(struct damaged *damaged, uint64_t from)
{
    const struct shard_partition *partition = damaged->partition;

    is_under_way(damaged, plog_repair_epochs(partition->plog, from, partition->replica.partition.leader_epoch, on_repaired, damaged->partition));
}

/* ---- fetching ---- */

static void take_answer(struct heal_fetch *fetch)
{
    struct damaged *damaged = fetch->damaged;
    struct shard *shard = damaged->shard;
    struct forward_call *call = &fetch->call;
    struct heal_answer answer;
    int err = call->error;

    damaged->fetch = NULL;
    if (err == 0) err = heal_answer_decode(call->message, &answer);
    if (err == 0 && call->attachment.size == 0) err = MESH_EPROTO;
    if (err == 0) {
        shard->metrics.healing.fetched_bytes += call->attachment.size;
        damaged->fetched_bytes += call->attachment.size;
        damaged->next_ms = shard->now_ms + call->attachment.size / BYTES_PER_MS;
        mend(damaged, fetch->from, call->attachment); /* at the end: what fails at once waits for longer */
        return;
    }
    is_idle(damaged);
    damaged->misfits += err == MESH_EOFFSET_OUT_OF_RANGE; /* no batch of theirs begins and ends in the range: where it ends was read from what is damaged, too */
    failed(damaged);
    if (replicas_may_log(shard))
        log_warn("a replica could not bring what is damaged here topic=%s partition=%u offset=%" PRIu64 " from=%d error=\"%s\"", name_of(damaged),
                 damaged->partition->number, fetch->from, fetch->node_id, mesh_strerror(err));
}

static void fetch_home(struct forward_call *call)
{
    struct heal_fetch *fetch = container_of(call, struct heal_fetch, call);

    if (fetch->damaged != NULL) take_answer(fetch);
    long_memory_give(call->answer);
    buffer_deinit(&fetch->head);
    free(fetch);
}

/* The leader first, then the others in turn. NULL: nobody else keeps it, or whose turn it is is not known. */
static const struct image_broker *choose_source(struct damaged *damaged)
{
    const struct shard_partition *partition = damaged->partition;
    int32_t self = damaged->shard->broker->node_id, leader = partition->replica.partition.leader;
    struct image_partition facts;
    uint32_t place = damaged->source;

    if (!image_topic_partition(partition->topic->topic, partition->number, &facts) || facts.replica_count == 0) return NULL;
    if (leader >= 0 && leader != self && place % (facts.replica_count + 1) == 0) return image_find_broker(damaged->shard->image, leader);
    for (uint32_t i = 0; i < facts.replica_count; i++, place++) {
        int32_t node_id = facts.replicas[place % facts.replica_count];

        if (node_id != self) return image_find_broker(damaged->shard->image, node_id);
    }
    return NULL;
}

static int encode(struct heal_fetch *fetch, const struct damaged *damaged, uint64_t to)
{
    static const uint8_t room[FRAME_HEADER_SIZE];
    struct heal_request request = {.kind = HEAL_READ,
                                   .topic_id = damaged->partition->topic->metrics.topic_id,
                                   .partition = damaged->partition->number,
                                   .from = fetch->from,
                                   .to = to,
                                   .bytes_max = HEAL_READ_BYTES_MAX};
    int err = buffer_append(&fetch->head, room, sizeof(room));

    return err != 0 ? err : heal_request_encode(&request, &fetch->head);
}

static void fetch(struct damaged *damaged, const struct plog_damage *range)
{
    const struct image_broker *source = choose_source(damaged);
    struct heal_fetch *fetch = source == NULL ? NULL : calloc(1, sizeof(*fetch));

    if (fetch == NULL) {
        is_idle(damaged);
        failed(damaged);
        return;
    }
    fetch->damaged = damaged;
    fetch->from = range->from;
    fetch->node_id = source->node_id;
    if (encode(fetch, damaged, range->to) != 0) {
        buffer_deinit(&fetch->head);
        free(fetch);
        is_idle(damaged);
        failed(damaged);
        return;
    }
    fetch->call = (struct forward_call){.broker = source->broker_id,
                                        .op = FRAME_OP_HEAL,
                                        .expects_answer = true,
                                        .timeout_ms = FETCH_TIMEOUT_MS,
                                        .head = fetch->head.data,
                                        .message_size = fetch->head.size - FRAME_HEADER_SIZE,
                                        .done = fetch_home};
    damaged->fetch = fetch;
    forward_submit(damaged->shard, &fetch->call);
}

/* ---- turns ---- */

static void tell_mended(struct damaged *damaged)
{
    event_note(&damaged->shard->broker->control.events, EVENT_REPAIR, LOG_LEVEL_INFO, "all damaged records are mended topic=%s partition=%u fetched_bytes=%" PRIu64 " ms=%" PRIu64, name_of(damaged),
             damaged->partition->number, damaged->fetched_bytes, damaged->shard->now_ms - damaged->found_ms);
}

/* What is not committed comes over the ordinary stream, once it is cut away; and so does what pieces did not fit. Only of a replica on which nobody
 * counts: one that is cut may have acknowledged more than it has left. And only when the leader has said what is committed: what was
 * kept of that over a restart is old.
 *
 * At once then, whatever else waits: where the damage begins at the high watermark the replica has all that is committed, and its leader takes it
 * into the ISR again as it is. There it would hold the high watermark back, and nobody has a committed piece for it. */
static bool gives_up(struct damaged *damaged, const struct plog_damage *range)
{
    struct replica *replica = &damaged->partition->replica;
    bool is_uncommitted = range->from >= replica->partition.high_watermark;
    bool is_hopeless = damaged->misfits >= 2u * replica->member_count;
    /* Where the log ends may have been read from what is damaged, too: then the leader has no batch that begins there, and refuses. */
    bool is_in_touch = replica_is_following(replica) || (is_hopeless && replica_was_refused(replica));

    if ((!is_uncommitted && !is_hopeless) || damaged->lost != LOST_TOLD || !is_in_touch) return false;
    if (!replica_give_up(replica, range->from)) return false;
    event_note(&damaged->shard->broker->control.events, EVENT_REPAIR, LOG_LEVEL_WARN, "a log is cut where its damage begins, and follows its leader from there topic=%s partition=%u offset=%" PRIu64, name_of(damaged),
             damaged->partition->number, range->from);
    damaged->misfits = 0;
    later(damaged, RETRY_MIN_MS);
    return true;
}

bool heal_forbids_cut(const struct shard_partition *partition, uint64_t offset)
{
    struct plog_damage range;

    if (!plog_find_damage(partition->plog, offset, &range) || range.from >= offset) return false;
    return partition->damaged == NULL || partition->damaged->lost != LOST_TOLD;
}

/* The log's own job is under way, and ends by itself; a piece that comes too late fits nowhere. */
static bool is_repairing(const struct damaged *damaged)
{
    return damaged->is_busy && damaged->fetch == NULL;
}

static void step(struct damaged *damaged)
{
    struct shard_partition *partition = damaged->partition;
    struct plog_damage range;

    if (!plog_find_damage(partition->plog, 0, &range)) {
        tell_mended(damaged);
        let_go(damaged);
        refresh(partition);
        return;
    }
    damaged->known_count = plog_damage_count(partition->plog);
    lost_look_again(damaged); /* before anything is cut because nobody counts on it */
    if (!is_repairing(damaged) && plog_error(partition->plog) == 0 && gives_up(damaged, &range)) return;
    if (damaged->is_busy || damaged->next_ms > damaged->shard->now_ms || damaged->shard->replicas.healing.busy >= BUSY_MAX) return;
    if (plog_error(partition->plog) != 0) { /* it takes nothing any more: what is fetched would be in vain */
        later(damaged, RETRY_MAX_MS);
        return;
    }
    if (partition->replica.is_cutting) {
        later(damaged, RETRY_MIN_MS);
        return;
    }
    damaged->is_busy = true;
    damaged->shard->replicas.healing.busy++;
    if (damaged->checked_from != range.from) {
        damaged->checked_from = range.from;
        mend(damaged, range.from, slice_of(NULL, 0));
    } else if (damaged->alone_from != range.from && is_alone(damaged)) {
        damaged->alone_from = range.from;
        mend_alone(damaged, range.from);
    } else {
        fetch(damaged, &range);
    }
}

void heal_run(struct shard *shard)
{
    struct healing *healing = &shard->replicas.healing;

    if (list_is_empty(&healing->all)) return;
    list_for_each_safe(node, &healing->all) step(container_of(node, struct damaged, node));
    lost_send(shard);
    list_for_each(node, &healing->all)
    {
        const struct damaged *damaged = container_of(node, struct damaged, node);

        if (!damaged->is_busy && healing->busy < BUSY_MAX) replicas_wake_at(&shard->replicas, damaged->next_ms);
        /* Before the broker is registered nothing can be told; the image that shows it begins a turn. */
        if (damaged->lost != LOST_TOLD && healing->request == NULL && shard->replicas.is_registered)
            replicas_wake_at(&shard->replicas, damaged->tell_ms);
    }
}

void heal_init(struct shard *shard)
{
    shard->replicas.healing = (struct healing){.request = NULL};
    list_init(&shard->replicas.healing.all);
}

void heal_deinit(struct shard *shard)
{
    list_for_each_safe(node, &shard->replicas.healing.all) let_go(container_of(node, struct damaged, node));
    lost_free(shard);
}
