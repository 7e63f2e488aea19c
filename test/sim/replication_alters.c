/* What leaders want their ISRs to be, as cmd/broker/replicas/alters.c asks for it: many partitions in one request, one at a time. */
#include "base/assert.h"
#include "base/error.h"
#include "cmd/broker/replicas/roles.h"
#include "sim/replication_internal.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>
#include <string.h>

void replication_alters_add(struct replication_replica *replica)
{
    if (list_is_empty(&replica->alter_link)) list_push_back(&replica->process->altering, &replica->alter_link);
}

static void finish(struct replication_process *process, int error, const struct decide_result *results)
{
    uint32_t count = process->alter_count;

    process->alter_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct replication_alter *entry = &process->alters[i];
        const struct decide_result *result = error == 0 ? &results[i] : NULL;
        enum replica_alter_outcome outcome = roles_alter_outcome(error, result);

        SIM_SOMETIMES_IF(outcome == REPLICA_ALTER_UNKNOWN, "nobody knows what became of an ALTER");
        SIM_SOMETIMES_IF(outcome == REPLICA_ALTER_REFUSED, "an ALTER was refused");
        if (entry->replica->plog == NULL) continue;
        replica_alter_done(&entry->replica->replica, &entry->alter, outcome, result == NULL ? 0 : result->partition_epoch);
    }
}

void replication_alters_answered(struct replication_process *process, const struct node_output *answer)
{
    struct decide_result results[REPLICATION_ALTERS_MAX];
    int error = answer->error;

    if (process->alter_count == 0 || answer->cookie != process->alter_cookie) return;
    if (error == 0) error = node_decode_results(answer->bytes, results, process->alter_count);
    if (error == MESH_EPROTO) error = MESH_ETIMEDOUT; /* it was done, or not: nobody knows what */
    finish(process, error, results);
}

static int by_place(const void *a, const void *b)
{
    const struct replication_replica *left = ((const struct replication_alter *)a)->replica, *right = ((const struct replication_alter *)b)->replica;
    int order = memcmp(left->topic_id.bytes, right->topic_id.bytes, UUID_SIZE);

    if (order != 0) return order;
    return left->number < right->number ? -1 : left->number > right->number;
}

void replication_alters_send(struct replication_process *process)
{
    static _Thread_local struct decide_member members[REPLICATION_ALTERS_MAX * REPLICA_MEMBERS_MAX];
    static _Thread_local struct decide_isr wishes[REPLICATION_ALTERS_MAX];
    struct list_node *node;
    int err;

    if (process->alter_count > 0 || list_is_empty(&process->altering)) return;
    while (process->alter_count < REPLICATION_ALTERS_MAX && (node = list_pop_front(&process->altering)) != NULL) {
        struct replication_alter *entry = &process->alters[process->alter_count];

        entry->replica = container_of(node, struct replication_replica, alter_link);
        if (replica_alter_begin(&entry->replica->replica, &entry->alter)) process->alter_count++;
    }
    if (process->alter_count == 0) return;
    qsort(process->alters, process->alter_count, sizeof(process->alters[0]), by_place);
    for (uint32_t i = 0; i < process->alter_count; i++) {
        const struct replication_alter *entry = &process->alters[i];

        roles_wish(&entry->replica->topic_id, entry->replica->number, &entry->alter, members + (size_t)i * REPLICA_MEMBERS_MAX, &wishes[i]);
    }
    buffer_clear(&process->scratch);
    MESH_ASSERT(node_encode_alter(&process->scratch, process->board.broker_epoch, wishes, process->alter_count) == 0);
    process->alter_cookie = (process->alter_cookie + 1) | METADATA_TENANT_COOKIE;
    err = metadata_process_request(process->metadata, NODE_OP_ALTER_PARTITIONS, buffer_slice(&process->scratch), process->config->alter_timeout_us,
                                   process->alter_cookie);
    buffer_clear(&process->scratch);
    if (err != 0) finish(process, err, NULL);
}
