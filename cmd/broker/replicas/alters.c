/* replicas/alters.c - what leaders want their ISRs to be: many partitions in one request to the coordinator, one request at a time. */
#include "cmd/broker/replicas/replicas_internal.h"

#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/replicas/roles.h"

#include <stdlib.h>

#define ALTER_PARTITIONS_MAX 1024 /* in one request; DECIDE_PARTITIONS_MAX at most */

struct alter_entry {
    struct shard_partition *partition; /* its pending count holds it */
    struct uuid topic_id;
    uint32_t number;
    struct replica_alter alter;
};

/* Goes to the control loop and comes back. */
struct alter_request {
    struct mail mail;
    struct shard *shard;
    struct buffer body;
    int error;
    uint32_t count;
    struct decide_result *results; /* owned; of entries, if error is 0 */
    struct alter_entry entries[ALTER_PARTITIONS_MAX];
};

void alters_add(struct shard *shard, struct shard_partition *partition)
{
    list_remove(&partition->ask_link); /* it may have been reported when nobody led it */
    list_push_back(&shard->replicas.altering, &partition->ask_link);
}

/* ---- answers ---- */

static void request_free(struct alter_request *request)
{
    buffer_deinit(&request->body);
    free(request->results);
    free(request);
}

static void entry_done(struct alter_request *request, struct alter_entry *entry, const struct decide_result *result)
{
    struct shard_partition *partition = entry->partition;
    const struct partition *now = &partition->replica.partition;

    if (partition->plog != NULL) { /* otherwise it went meanwhile */
        int32_t epoch_before = now->leader_epoch;
        uint32_t isr_before = now->isr_count;

        replica_alter_done(&partition->replica, &entry->alter, roles_alter_outcome(request->error, result), result == NULL ? 0 : result->partition_epoch);
        replicas_note_isr(request->shard, partition, epoch_before, isr_before);
    }
    shard_partition_release(partition);
}

static void request_home(struct mail *mail)
{
    struct alter_request *request = container_of(mail, struct alter_request, mail);

    request->shard->replicas.alter = NULL;
    for (uint32_t i = 0; i < request->count; i++)
        entry_done(request, &request->entries[i], request->error == 0 ? &request->results[i] : NULL);
    request_free(request);
}

/* ---- asking ---- */

/* On the control loop. */
static void on_answered(void *user, int error, struct slice results)
{
    struct alter_request *request = user;

    request->error = error;
    if (error == 0) {
        request->results = calloc(request->count, sizeof(*request->results));
        request->error = request->results == NULL ? MESH_ENOMEM : node_decode_results(results, request->results, request->count);
        if (request->error == MESH_EPROTO) request->error = MESH_ETIMEDOUT; /* it was done, or not: nobody knows what */
    }
    request->mail.deliver = request_home;
    shard_post(request->shard, &request->mail);
}

static void request_arrives(struct mail *mail)
{
    struct alter_request *request = container_of(mail, struct alter_request, mail);
    struct metadata *metadata = request->shard->broker->control.metadata;

    if (metadata == NULL) on_answered(request, MESH_ESHUTDOWN, slice_of(NULL, 0));
    else metadata_alter_partitions(metadata, buffer_slice(&request->body), on_answered, request);
}

static int by_place(const void *a, const void *b)
{
    const struct alter_entry *left = a, *right = b;
    int order = memcmp(left->topic_id.bytes, right->topic_id.bytes, UUID_SIZE);

    if (order != 0) return order;
    return left->number < right->number ? -1 : left->number > right->number;
}

static int encode(struct alter_request *request)
{
    struct decide_isr *wishes = calloc(request->count, sizeof(*wishes));
    struct decide_member *members = calloc((size_t)request->count * REPLICA_MEMBERS_MAX, sizeof(*members));
    uint64_t broker_epoch = request->shard->replicas.board.broker_epoch;
    int err = wishes == NULL || members == NULL ? MESH_ENOMEM : 0;

    for (uint32_t i = 0; err == 0 && i < request->count; i++) {
        const struct alter_entry *entry = &request->entries[i];

        roles_wish(&entry->topic_id, entry->number, &entry->alter, members + (size_t)i * REPLICA_MEMBERS_MAX, &wishes[i]);
    }
    if (err == 0) err = node_encode_alter(&request->body, broker_epoch, wishes, request->count);
    free(wishes);
    free(members);
    return err;
}

static void gather(struct shard *shard, struct alter_request *request)
{
    struct list_node *node;

    while (request->count < ALTER_PARTITIONS_MAX && (node = list_pop_front(&shard->replicas.altering)) != NULL) {
        struct shard_partition *partition = container_of(node, struct shard_partition, ask_link);
        struct alter_entry *entry = &request->entries[request->count];

        if (!replica_alter_begin(&partition->replica, &entry->alter)) continue;
        entry->partition = partition;
        entry->topic_id = partition->topic->metrics.topic_id;
        entry->number = partition->number;
        partition->pending++;
        request->count++;
    }
    qsort(request->entries, request->count, sizeof(request->entries[0]), by_place);
}

/* Nobody was asked. */
static void take_back(struct alter_request *request, int error)
{
    request->error = error;
    request_home(&request->mail);
}

void alters_send(struct shard *shard)
{
    struct replicas *replicas = &shard->replicas;
    struct alter_request *request;
    int err;

    if (replicas->alter != NULL || list_is_empty(&replicas->altering)) return;
    request = calloc(1, sizeof(*request));
    if (request == NULL) {
        replicas_wake_at(replicas, shard->now_ms + REPLICAS_RETRY_MS);
        return;
    }
    request->shard = shard;
    gather(shard, request);
    if (request->count == 0) {
        request_free(request);
        return;
    }
    replicas->alter = request;
    err = encode(request);
    if (err != 0) {
        take_back(request, err);
        return;
    }
    request->mail.deliver = request_arrives;
    mailbox_post(&shard->broker->control.mailbox, &request->mail);
}

/* No thread runs any more; the metadata have told all who waited. */
void alters_free(struct shard *shard)
{
    struct alter_request *request = shard->replicas.alter;

    if (request == NULL) return;
    shard->replicas.alter = NULL;
    for (uint32_t i = 0; i < request->count; i++)
        shard_partition_release(request->entries[i].partition);
    request_free(request);
}
