/* replicas/measure.c - how the replicas of a shard are doing, for /metrics. */
#include "cmd/broker/replicas/replicas_internal.h"

static void add_leader(const struct replica *replica, struct metrics_replicas *metrics)
{
    const struct partition *partition = &replica->partition;
    bool is_quorum = partition->config.mode == PARTITION_MODE_QUORUM;
    uint32_t min_insync = is_quorum ? replica->member_count / 2u + 1 : partition->config.min_insync;
    struct replica_lag lag;

    metrics->leaders++;
    metrics->under_replicated += partition->isr_count < replica->member_count;
    metrics->under_min_insync += partition->isr_count < min_insync;
    metrics->at_min_insync += partition->isr_count == min_insync;
    replica_get_lag(replica, &lag);
    metrics->followers_detached += lag.followers - lag.attached;
    if (lag.records_max > metrics->lag_records_max) metrics->lag_records_max = lag.records_max;
}

void replicas_measure(struct shard *shard, struct metrics_replicas *ret_metrics)
{
    struct map_node *node = NULL;

    *ret_metrics = shard->replicas.counts;
    while ((node = map_iterate(&shard->partitions, node)) != NULL) {
        const struct replica *replica = &container_of(node, struct shard_partition, node)->replica;

        if (replica->member_count < 2) continue;
        ret_metrics->followers += replica->role == REPLICA_FOLLOWER;
        ret_metrics->leaderless += replica->role == REPLICA_IDLE;
        if (replica_leads(replica)) add_leader(replica, ret_metrics);
    }
    ret_metrics->streams_in = leads_count(shard);
    ret_metrics->streams_out = follows_count(shard);
}
