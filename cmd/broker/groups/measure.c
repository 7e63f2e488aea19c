/* groups/measure.c - figures of the groups on a shard. */
#include "cmd/broker/groups/groups_internal.h"

static void add_lead(const struct group_replica *replica, struct metrics_groups *metrics)
{
    const struct groups *state = replica->part.state;

    metrics->leads++;
    metrics->groups += groups_count(state);
    metrics->members += groups_member_count(state);
    metrics->offsets += groups_offset_count(state);
    metrics->waiting += replica->part.waiting_count + replica->part.arrival_count;
    metrics->log_bytes += plog_size_bytes(replica->partition->plog);
}

void groups_measure(struct shard *shard, struct metrics_groups *ret_metrics)
{
    *ret_metrics = shard->groups.counts;
    list_for_each(node, &shard->groups.replicas)
    {
        const struct group_replica *replica = container_of(node, struct group_replica, link);

        ret_metrics->replicas++;
        ret_metrics->stopped += replica->part.phase == GROUP_PART_STOPPED;
        ret_metrics->rebuilds += replica->part.rebuilds;
        ret_metrics->rebuilt_records += replica->part.rebuilt_records;
        if (replica->part.state != NULL) ret_metrics->offset_bytes += groups_offset_bytes(replica->part.state);
        if (replica->part.lead != NULL) add_lead(replica, ret_metrics);
    }
}
