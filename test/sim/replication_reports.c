/* What replicas of partitions that nobody leads say of themselves to the coordinator, as cmd/broker/replicas/reports.c has it. */
#include "base/assert.h"
#include "base/error.h"
#include "sim/replication_internal.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>
#include <string.h>

#define RETRY_MS    250  /* when nobody has heard */
#define AGAIN_MS    5000 /* while it lasts */
#define PATIENCE_MS 1000 /* most partitions without a leader get one without this */
#define TIMEOUT_US  (2 * SIM_SECOND)

void replication_reports_consider(struct replication_replica *replica, bool is_late)
{
    bool is_sealed = replica->replica.partition.config.mode == PARTITION_MODE_QUORUM;

    if (!replica_may_report(&replica->replica)) return;
    if (!is_sealed && !is_late) {
        replication_redo(replica, REPLICA_TODO_REPORT, PATIENCE_MS);
        return;
    }
    list_remove(&replica->report_link);
    list_push_back(&replica->process->reports_due, &replica->report_link);
}

static void tell_again(struct replication_process *process)
{
    struct list_node *node;

    while ((node = list_pop_front(&process->reports_told)) != NULL)
        list_push_back(&process->reports_due, node);
    process->reports_again_ms = UINT64_MAX;
}

void replication_reports_hear_of_coordinator(struct replication_process *process, uint64_t term)
{
    if (term != process->reports_term) tell_again(process);
    process->reports_term = term;
}

static void finish(struct replication_process *process, int error)
{
    uint64_t at_ms = process->now_ms + (error == 0 ? AGAIN_MS : RETRY_MS);

    process->is_reporting = false;
    if (at_ms < process->reports_again_ms) process->reports_again_ms = at_ms;
}

void replication_reports_answered(struct replication_process *process, const struct node_output *answer)
{
    if (process->is_reporting && answer->cookie == process->report_cookie) finish(process, answer->error);
}

static int by_place(const void *a, const void *b)
{
    const struct node_report *left = a, *right = b;
    int order = memcmp(left->topic_id.bytes, right->topic_id.bytes, UUID_SIZE);

    if (order != 0) return order;
    return left->partition < right->partition ? -1 : left->partition > right->partition;
}

static uint32_t gather(struct replication_process *process, struct node_report *reports)
{
    struct list_node *node;
    uint32_t count = 0;

    while (count < REPLICATION_ALTERS_MAX && (node = list_pop_front(&process->reports_due)) != NULL) {
        struct replication_replica *replica = container_of(node, struct replication_replica, report_link);

        if (!replica_may_report(&replica->replica)) continue; /* somebody leads; or it is about to sync, and says so then */
        list_push_back(&process->reports_told, node);
        reports[count++] = (struct node_report){
            .topic_id = replica->topic_id,
            .partition = replica->number,
            .leader_epoch = replica->replica.partition.leader_epoch,
            .last_epoch = plog_last_epoch(replica->plog),
            .end = (int64_t)replica_own_position(&replica->replica),
        };
    }
    return count;
}

void replication_reports_send(struct replication_process *process)
{
    struct node_report reports[REPLICATION_ALTERS_MAX];
    uint32_t count;
    int err;

    if (process->is_reporting) return;
    if (!list_is_empty(&process->reports_told) && process->now_ms >= process->reports_again_ms) tell_again(process);
    count = list_is_empty(&process->reports_due) ? 0 : gather(process, reports);
    if (count == 0) return;
    SIM_SOMETIMES("replicas that nobody leads told how far they go");
    qsort(reports, count, sizeof(reports[0]), by_place);
    buffer_clear(&process->scratch);
    MESH_ASSERT(node_encode_reports(&process->scratch, process->board.broker_epoch, reports, count) == 0);
    process->report_cookie = (process->report_cookie + 1) | METADATA_TENANT_COOKIE | REPLICATION_REPORT_COOKIE;
    process->is_reporting = true;
    err = metadata_process_request(process->metadata, NODE_OP_REPORT, buffer_slice(&process->scratch), TIMEOUT_US, process->report_cookie);
    buffer_clear(&process->scratch);
    if (err != 0) finish(process, err);
}
