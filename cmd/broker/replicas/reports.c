/* replicas/reports.c - what replicas of partitions that nobody leads say of themselves to the coordinator: many in one request, one request of a shard
 * at a time.
 *
 *   due --request--> told --a new coordinator, a while, or nobody heard--> due
 *
 * The coordinator keeps reports in memory only. Who has a leader by now is left out when its turn comes: nothing has to be taken off these
 * lists when roles change. */
#include "cmd/broker/replicas/replicas_internal.h"

#include "base/error.h"
#include "cmd/broker/metadata/metadata.h"

#include <stdlib.h>

#define REPORT_PARTITIONS_MAX 1024  /* in one request; DECIDE_PARTITIONS_MAX at most */
#define REPORT_RETRY_MS       250   /* when nobody has heard */
#define REPORT_AGAIN_MS       5000  /* while it lasts */
#define REPORT_PATIENCE_MS    1000  /* most partitions without a leader have a complete replica somewhere, and get it as their next one without this */

/* Goes to the control loop and comes back. */
struct report_request {
    struct mail mail;
    struct shard *shard;
    struct buffer body;
    int error;
    uint32_t count;
    struct node_report reports[REPORT_PARTITIONS_MAX];
};

void replica_reports_consider(struct shard *shard, struct shard_partition *partition, bool is_late)
{
    bool is_sealed = partition->replica.partition.config.mode == PARTITION_MODE_QUORUM;

    if (!replica_may_report(&partition->replica)) return;
    if (!is_sealed && !is_late) {
        replicas_redo(shard, partition, REPLICA_TODO_REPORT, REPORT_PATIENCE_MS);
        return;
    }
    list_remove(&partition->ask_link); /* it led and wanted another ISR, or was told before */
    list_push_back(&shard->replicas.reports.due, &partition->ask_link);
}

static void tell_again(struct replica_reports *reports)
{
    struct list_node *node;

    while ((node = list_pop_front(&reports->told)) != NULL)
        list_push_back(&reports->due, node);
    reports->again_ms = UINT64_MAX;
}

void replica_reports_hear_of_coordinator(struct shard *shard, uint64_t term)
{
    if (term == shard->replicas.reports.term) return;
    shard->replicas.reports.term = term;
    tell_again(&shard->replicas.reports);
}

/* ---- answers ---- */

static void request_free(struct report_request *request)
{
    buffer_deinit(&request->body);
    free(request);
}

static void request_home(struct mail *mail)
{
    struct report_request *request = container_of(mail, struct report_request, mail);
    struct shard *shard = request->shard;
    struct replica_reports *reports = &shard->replicas.reports;
    uint64_t at_ms = shard->now_ms + (request->error == 0 ? REPORT_AGAIN_MS : REPORT_RETRY_MS);

    reports->request = NULL;
    if (at_ms < reports->again_ms) reports->again_ms = at_ms;
    request_free(request);
}

/* On the control loop. */
static void on_answered(void *user, int error, const char *message)
{
    struct report_request *request = user;

    (void)message;
    request->error = error;
    request->mail.deliver = request_home;
    shard_post(request->shard, &request->mail);
}

static void request_arrives(struct mail *mail)
{
    struct report_request *request = container_of(mail, struct report_request, mail);
    struct metadata *metadata = request->shard->broker->control.metadata;

    if (metadata == NULL) on_answered(request, MESH_ESHUTDOWN, "");
    else metadata_report_replicas(metadata, buffer_slice(&request->body), on_answered, request);
}

/* ---- asking ---- */

static int by_place(const void *a, const void *b)
{
    const struct node_report *left = a, *right = b;
    int order = memcmp(left->topic_id.bytes, right->topic_id.bytes, UUID_SIZE);

    if (order != 0) return order;
    return left->partition < right->partition ? -1 : left->partition > right->partition;
}

static void gather(struct shard *shard, struct report_request *request)
{
    struct replica_reports *reports = &shard->replicas.reports;
    struct list_node *node;

    while (request->count < REPORT_PARTITIONS_MAX && (node = list_pop_front(&reports->due)) != NULL) {
        struct shard_partition *partition = container_of(node, struct shard_partition, ask_link);

        if (!replica_may_report(&partition->replica)) continue; /* somebody leads; or it is about to sync, and says so then */
        list_push_back(&reports->told, node);
        request->reports[request->count++] = (struct node_report){
            .topic_id = partition->topic->metrics.topic_id,
            .partition = partition->number,
            .leader_epoch = partition->replica.partition.leader_epoch,
            .last_epoch = plog_last_epoch(partition->plog),
            .end = (int64_t)replica_own_position(&partition->replica),
        };
    }
    qsort(request->reports, request->count, sizeof(request->reports[0]), by_place);
}

static int send_next(struct shard *shard)
{
    struct replica_reports *reports = &shard->replicas.reports;
    struct report_request *request = calloc(1, sizeof(*request));
    int err = MESH_ENOMEM;

    if (request == NULL) return err;
    request->shard = shard;
    gather(shard, request);
    err = request->count == 0 ? MESH_ENOTFOUND : node_encode_reports(&request->body, shard->replicas.board.broker_epoch, request->reports, request->count);
    if (err != 0) {
        request_free(request);
        if (err == MESH_ENOTFOUND) return 0;
        tell_again(reports);
        return err;
    }
    reports->request = request;
    request->mail.deliver = request_arrives;
    mailbox_post(&shard->broker->control.mailbox, &request->mail);
    return 0;
}

void replica_reports_send(struct shard *shard)
{
    struct replica_reports *reports = &shard->replicas.reports;

    if (reports->request != NULL) return; /* its answer begins a turn */
    if (!list_is_empty(&reports->told) && shard->now_ms >= reports->again_ms) tell_again(reports);
    if (!list_is_empty(&reports->due) && send_next(shard) != 0) replicas_wake_at(&shard->replicas, shard->now_ms + REPLICAS_RETRY_MS);
    if (!list_is_empty(&reports->told)) replicas_wake_at(&shard->replicas, reports->again_ms);
}

void replica_reports_init(struct replica_reports *reports)
{
    *reports = (struct replica_reports){.again_ms = UINT64_MAX};
    list_init(&reports->due);
    list_init(&reports->told);
}

/* No thread runs any more; the metadata have told all who waited. */
void replica_reports_free(struct shard *shard)
{
    struct report_request *request = shard->replicas.reports.request;

    shard->replicas.reports.request = NULL;
    if (request != NULL) request_free(request);
}
