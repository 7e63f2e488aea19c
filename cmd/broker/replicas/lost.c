/* replicas/lost.c - tells the coordinator which replicas here have lost records: many in one request, one request of a shard at a time.
 *
 * Each leaves the ISR and whatever else would let it lead, and hands leadership over, unless it is the last complete one. */
#include "cmd/broker/replicas/heal_internal.h"

#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/operate/events.h"
#include "replication/coordinator/decide_replicas.h"

#include <stdlib.h>

#define LOST_MAX      1024 /* in one request; DECIDE_PARTITIONS_MAX at most */
#define LOST_RETRY_MS 1000  /* after no answer */
#define LOST_ALONE_MS 10000 /* after it was found to be the last complete one */

struct lost_entry {
    struct shard_partition *partition; /* its pending count holds it */
    struct decide_lost lost;
    bool was_counted_on; /* as far as was known here */
};

struct lost_request {
    struct mail mail;
    struct shard *shard;
    struct buffer body;
    int error;
    uint32_t count;
    struct decide_result *results; /* owned; of entries, if error is 0 */
    struct lost_entry entries[LOST_MAX];
};

static void request_free(struct lost_request *request)
{
    buffer_deinit(&request->body);
    free(request->results);
    free(request);
}

/* ---- answers ---- */

static void tell_alone(struct damaged *damaged)
{
    if (damaged->lost != LOST_ALONE)
        event_note(&damaged->shard->broker->control.events, EVENT_LOSS, LOG_LEVEL_ERROR, "damaged records here, and no other complete replica is known: what is damaged is refused, the rest is served "
                  "topic=%s partition=%u",
                  damaged->partition->topic->topic->name, damaged->partition->number);
    damaged->lost = LOST_ALONE;
}

static void take_result(struct damaged *damaged, const struct decide_result *result, bool was_counted_on)
{
    uint64_t now_ms = damaged->shard->now_ms;
    int error = result->error;

    if (error == MESH_ENOT_ENOUGH_REPLICAS) tell_alone(damaged);
    else damaged->lost = error == 0 ? LOST_TOLD : LOST_UNTOLD;
    damaged->tell_ms = error == 0 ? UINT64_MAX : now_ms + (error == MESH_ENOT_ENOUGH_REPLICAS ? LOST_ALONE_MS : LOST_RETRY_MS);
    if (error == 0) damaged->told_epoch = result->partition_epoch;
    if (error == 0 && was_counted_on)
        event_note(&damaged->shard->broker->control.events, EVENT_DAMAGE, LOG_LEVEL_WARN, "a replica with damaged records has left the in-sync replicas until it is mended topic=%s partition=%u",
                 damaged->partition->topic->topic->name, damaged->partition->number);
    replicas_wake_at(&damaged->shard->replicas, damaged->tell_ms);
}

static void request_home(struct mail *mail)
{
    struct lost_request *request = container_of(mail, struct lost_request, mail);
    struct healing *healing = &request->shard->replicas.healing;

    healing->request = NULL;
    for (uint32_t i = 0; i < request->count; i++) {
        const struct lost_entry *entry = &request->entries[i];
        struct shard_partition *partition = entry->partition;
        struct decide_result result = {.error = request->error};

        if (request->error == 0) result = request->results[i];
        if (partition->damaged != NULL) take_result(partition->damaged, &result, entry->was_counted_on);
        shard_partition_release(partition);
    }
    request_free(request);
}

/* On the control loop. */
static void on_answered(void *user, int error, struct slice results)
{
    struct lost_request *request = user;

    request->error = error;
    if (error == 0) {
        request->results = calloc(request->count, sizeof(*request->results));
        request->error = request->results == NULL ? MESH_ENOMEM : node_decode_results(results, request->results, request->count);
    }
    request->mail.deliver = request_home;
    shard_post(request->shard, &request->mail);
}

static void request_arrives(struct mail *mail)
{
    struct lost_request *request = container_of(mail, struct lost_request, mail);
    struct metadata *metadata = request->shard->broker->control.metadata;

    if (metadata == NULL) on_answered(request, MESH_ESHUTDOWN, slice_of(NULL, 0));
    else metadata_replicas_lost(metadata, buffer_slice(&request->body), on_answered, request);
}

/* ---- asking ---- */

/* 0; MESH_ENOTFOUND: it is the only replica, nobody is to be told; MESH_EAGAIN: not known yet. Also when this image shows nobody who counts on it:
 * an ISR with it may be decided and not be here yet. Only the coordinator knows; what it writes down makes late wishes for that void. */
static int describe(const struct damaged *damaged, struct lost_entry *ret_entry, uint32_t *ret_partition_epoch)
{
    const struct shard_partition *partition = damaged->partition;
    struct image_partition facts;

    if (!image_topic_partition(partition->topic->topic, partition->number, &facts)) return MESH_EAGAIN;
    for (uint32_t i = 0; i < facts.replica_count; i++) {
        if (facts.replicas[i] != damaged->shard->broker->node_id) continue;
        ret_entry->lost = (struct decide_lost){
            .topic_id = partition->topic->metrics.topic_id, .partition = partition->number, .generation = image_partition_generation(&facts, i)};
        ret_entry->was_counted_on = ((facts.isr | facts.elr | facts.last_known_elr) >> i & 1) != 0;
        *ret_partition_epoch = facts.partition_epoch;
        return facts.replica_count > 1 ? 0 : MESH_ENOTFOUND;
    }
    return MESH_EAGAIN;
}

void lost_look_again(struct damaged *damaged)
{
    struct lost_entry entry;
    uint32_t partition_epoch;

    if (damaged->lost != LOST_TOLD || describe(damaged, &entry, &partition_epoch) != 0) return;
    if (!entry.was_counted_on || partition_epoch < damaged->told_epoch) return;
    damaged->lost = LOST_UNTOLD;
    damaged->tell_ms = damaged->shard->now_ms;
}

static int by_place(const void *a, const void *b)
{
    const struct decide_lost *left = &((const struct lost_entry *)a)->lost, *right = &((const struct lost_entry *)b)->lost;
    int order = memcmp(left->topic_id.bytes, right->topic_id.bytes, UUID_SIZE);

    if (order != 0) return order;
    return left->partition < right->partition ? -1 : left->partition > right->partition;
}

static void gather(struct shard *shard, struct lost_request *request)
{
    list_for_each(node, &shard->replicas.healing.all)
    {
        struct damaged *damaged = container_of(node, struct damaged, node);
        struct lost_entry *entry = &request->entries[request->count];
        uint32_t partition_epoch;
        int err;

        if (request->count == LOST_MAX || damaged->tell_ms > shard->now_ms || damaged->lost == LOST_TOLD) continue;
        err = describe(damaged, entry, &partition_epoch);
        if (err == MESH_ENOTFOUND) damaged->lost = LOST_TOLD;
        damaged->tell_ms = err == MESH_EAGAIN ? shard->now_ms + LOST_RETRY_MS : UINT64_MAX; /* else the answer says */
        if (err != 0) continue;
        entry->partition = damaged->partition;
        entry->partition->pending++;
        request->count++;
    }
    qsort(request->entries, request->count, sizeof(request->entries[0]), by_place);
}

static int encode(struct lost_request *request)
{
    struct decide_lost *lost = calloc(request->count, sizeof(*lost));
    int err = MESH_ENOMEM;

    for (uint32_t i = 0; lost != NULL && i < request->count; i++)
        lost[i] = request->entries[i].lost;
    if (lost != NULL) err = node_encode_lost(&request->body, request->shard->replicas.board.broker_epoch, lost, request->count);
    free(lost);
    return err;
}

/* Without memory: whoever is due now is due again in a while, not in the next turn, which would begin at once. */
static void tell_later(struct shard *shard)
{
    list_for_each(node, &shard->replicas.healing.all)
    {
        struct damaged *damaged = container_of(node, struct damaged, node);

        if (damaged->lost != LOST_TOLD && damaged->tell_ms <= shard->now_ms) damaged->tell_ms = shard->now_ms + LOST_RETRY_MS;
    }
}

void lost_send(struct shard *shard)
{
    struct healing *healing = &shard->replicas.healing;
    struct lost_request *request;
    bool is_due = false;

    if (healing->request != NULL || !shard->replicas.is_registered) return;
    list_for_each(node, &healing->all)
    {
        const struct damaged *damaged = container_of(node, struct damaged, node);
        is_due = is_due || (damaged->lost != LOST_TOLD && damaged->tell_ms <= shard->now_ms);
    }
    if (!is_due) return;
    request = calloc(1, sizeof(*request));
    if (request == NULL) {
        tell_later(shard);
        return;
    }
    request->shard = shard;
    gather(shard, request);
    if (request->count == 0) {
        request_free(request);
        return;
    }
    healing->request = request;
    request->error = encode(request);
    if (request->error != 0) {
        request_home(&request->mail);
        return;
    }
    request->mail.deliver = request_arrives;
    mailbox_post(&shard->broker->control.mailbox, &request->mail);
}

void lost_free(struct shard *shard)
{
    struct lost_request *request = shard->replicas.healing.request;

    if (request == NULL) return;
    shard->replicas.healing.request = NULL;
    for (uint32_t i = 0; i < request->count; i++)
        shard_partition_release(request->entries[i].partition);
    request_free(request);
}
