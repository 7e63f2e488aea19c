/* groups/requests.c - requests to group partitions that this shard leads. */
#include "cmd/broker/groups/groups_internal.h"

#include "base/clock.h"
#include "cmd/broker/groups/ends.h"

void groups_end_request(struct group_request *request, int error)
{
    struct shard_partition *partition = request->partition;

    groups_ends_let_go(request);
    if (error != 0) request->shard->groups.counts.refused++;
    if (error == 0) histogram_record(&request->shard->metrics.group_answer_ns, clock_monotonic_ns() - request->received_ns);
    request->done(request, error);
    if (partition != NULL) shard_partition_release(partition);
}

/* What is told leaves: the answer, or the error that was found. */
static void on_answer(struct group_waiter *waiter, int error)
{
    struct group_request *request = container_of(waiter, struct group_request, waiter);

    groups_end_request(request, error != 0 ? error : request->error);
}

static void judge(struct shard *shard, struct group_request *request, const struct group_facts *facts)
{
    struct group_replica *replica = request->partition->group;
    struct group_part *part = &replica->part;
    struct group_judging judging = {.lead = part->lead,
                                    .state = part->state,
                                    .now_ms = facts->now_ms,
                                    .wall_ms = facts->wall_ms,
                                    .barrier = group_lead_barrier(part->lead)};
    uint64_t before = judging.barrier;

    shard->groups.judged = request->question;
    request->error = request->judge(request, &judging);
    shard->groups.judged = NULL;
    if (request->error == GROUPS_JUDGE_AGAIN) { /* nothing was done, and it comes again */
        groups_ends_sent(request);
        return;
    }
    groups_due(shard, replica);
    if (request->error == MESH_ENOMEM || group_lead_is_broken(part->lead)) { /* half done, perhaps, and gone with the lead; or done, but for an answer */
        bool is_done = group_lead_is_broken(part->lead) || group_lead_barrier(part->lead) != before;

        groups_end_request(request, is_done ? MESH_EUNCOMMITTED : MESH_ENOMEM);
        return;
    }
    request->waiter.barrier = judging.barrier;
    request->waiter.session_ms = request->error == 0 ? judging.session_ms : 0;
    request->waiter.done = on_answer;
    group_part_wait(part, facts, &request->waiter);
}

static void on_lead(struct group_waiter *waiter, int error)
{
    struct group_request *request = container_of(waiter, struct group_request, waiter);

    if (error == 0)
        groups_arrive(request);
    else
        groups_end_request(request, error == MESH_ETIMEDOUT ? MESH_EAGAIN : error); /* nothing was done */
}

void groups_arrive(struct group_request *request)
{
    struct group_replica *replica = request->partition->group;
    struct group_facts facts;
    int err = replica == NULL ? MESH_ENOT_LEADER : 0;

    if (err == 0) {
        groups_facts(request->shard, replica, &facts);
        err = group_part_ready(&replica->part, &facts, request->is_change);
    }
    if (err == MESH_EAGAIN) {
        request->waiter.done = on_lead;
        request->waiter.due_ms = request->received_ns / 1000000 + request->timeout_ms;
        groups_due(request->shard, replica);
        if (group_part_await(&replica->part, &facts, &request->waiter)) {
            groups_look_at(request->shard, replica, request->waiter.due_ms);
            return;
        }
        err = MESH_EBUSY;
    }
    if (err == 0 && request->is_change && groups_ends_wait(request, &err)) return;
    request->waiter.due_ms = request->received_ns / 1000000 + request->timeout_ms;
    if (err != 0)
        groups_end_request(request, err);
    else
        judge(request->shard, request, &facts);
}

void groups_request(struct shard *shard, struct group_request *request)
{
    struct uuid topic_id;
    int err = MESH_ENOT_LEADER;

    request->shard = shard;
    request->partition = NULL;
    request->error = 0;
    request->question = NULL;
    request->received_ns = shard->now_ns;
    request->waiter = (struct group_waiter){0};
    list_init(&request->waiter.node);
    shard->groups.counts.requests++;
    if (shard->is_stopping || shard->groups.is_stopping)
        err = MESH_ESHUTDOWN;
    else if (groups_find_topic(shard->image, &topic_id))
        err = shard_partition_get(shard, &topic_id, request->number, &request->partition);
    if (err != 0) {
        request->partition = NULL;
        groups_end_request(request, err);
        return;
    }
    request->partition->pending++;
    if (request->partition->group == NULL) groups_opened(shard, request->partition); /* memory was short then */
    groups_arrive(request);
}

uint64_t groups_proof_behind(const struct group_request *request)
{
    const struct group_replica *replica = request->partition == NULL ? NULL : request->partition->group;
    struct group_facts facts;

    if (replica == NULL || replica->part.lead == NULL) return GROUP_PART_NO_PROOF;
    groups_facts(request->shard, replica, &facts);
    return group_part_proof_behind(&replica->part, &facts, request->waiter.heard);
}

int32_t groups_epoch(const struct group_request *request)
{
    const struct group_replica *replica = request->partition == NULL ? NULL : request->partition->group;

    return replica == NULL || replica->part.lead == NULL ? -1 : (int32_t)replica->part.lead_epoch;
}

const struct groups *groups_state_of(struct shard *shard, uint32_t number, const struct group_lead **ret_lead)
{
    struct shard_partition *partition;
    struct uuid topic_id;

    if (!groups_find_topic(shard->image, &topic_id)) return NULL;
    partition = shard_partition_find(shard, &topic_id, number);
    if (partition == NULL || partition->group == NULL || partition->group->part.state == NULL) return NULL;
    if (partition->group->part.applied < plog_end_offset(partition->plog)) return NULL;
    *ret_lead = partition->group->part.lead;
    return partition->group->part.state;
}
