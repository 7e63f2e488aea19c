/* broker/runtime/metrics_gather.c - a snapshot of every shard, gathered by mail. */
#include "cmd/broker/runtime/metrics_gather.h"

#include "cmd/broker/groups/lag.h"
#include "cmd/broker/runtime/partitions.h"

#include <stdlib.h>

struct metrics_mail {
    struct mail mail;
    struct metrics_gather *gather;
    struct shard *shard;
};

struct metrics_gather {
    struct control *control;
    metrics_done_fn *done;
    void *user;
    uint32_t remaining;
    struct metrics_shard **shards; /* entries owned; behind the mails */
    struct metrics_mail mails[];
};

static void snapshot_free(struct metrics_shard *snapshot)
{
    buffer_deinit(&snapshot->group_cells.cells);
    buffer_deinit(&snapshot->group_cells.names);
    free(snapshot->topics);
    free(snapshot);
}

static void gather_free(struct metrics_gather *gather)
{
    if (gather == NULL) return;
    for (uint32_t i = 0; i < gather->control->shard_count; i++) {
        if (gather->shards[i] == NULL) continue;
        snapshot_free(gather->shards[i]);
    }
    free(gather);
}

static void metrics_home(struct mail *mail)
{
    struct metrics_gather *gather = container_of(mail, struct metrics_mail, mail)->gather;
    struct metrics_set set = {gather->shards, gather->control->shard_count};
    bool has_failed = false;

    if (--gather->remaining > 0) return;
    for (size_t i = 0; i < set.shard_count; i++)
        has_failed |= gather->shards[i] == NULL;
    gather->done(gather->user, has_failed ? NULL : &set);
    gather_free(gather);
}

static uint64_t topic_stored_bytes(const struct shard_topic *topic)
{
    uint64_t size = 0;

    list_for_each(node, &topic->partitions)
    {
        size += plog_size_bytes(container_of(node, struct shard_partition, link)->plog);
    }
    return size;
}

static void snapshot_topics(const struct shard *shard, struct metrics_shard *snapshot)
{
    struct map_node *node = NULL;

    while ((node = map_iterate(&shard->topics, node)) != NULL) {
        struct shard_topic *topic = container_of(node, struct shard_topic, node);
        struct metrics_topic *metrics = &snapshot->topics[snapshot->topic_count++];

        *metrics = topic->metrics;
        metrics->stored_bytes = topic_stored_bytes(topic);
    }
}

/* On the shard. NULL: out of memory. */
static struct metrics_shard *snapshot_new(struct shard *shard)
{
    struct metrics_shard *snapshot = malloc(sizeof(*snapshot));

    if (snapshot == NULL) return NULL;
    *snapshot = shard->metrics;
    snapshot->shard = shard->index;
    snapshot->buffered_bytes = shard->pool.used_bytes;
    snapshot->sync_ns = *store_sync_histogram(shard->store);
    store_get_stats(shard->store, &snapshot->store);
    replicas_measure(shard, &snapshot->replicas);
    groups_measure(shard, &snapshot->groups);
    group_lag_collect(shard, &snapshot->group_cells);
    snapshot->topics = NULL;
    snapshot->topic_count = 0;
    if (shard->topics.count == 0) return snapshot;
    snapshot->topics = calloc(shard->topics.count, sizeof(*snapshot->topics));
    if (snapshot->topics == NULL) {
        snapshot_free(snapshot);
        return NULL;
    }
    snapshot_topics(shard, snapshot);
    return snapshot;
}

static void metrics_arrive(struct mail *mail)
{
    struct metrics_mail *metrics = container_of(mail, struct metrics_mail, mail);
    struct metrics_gather *gather = metrics->gather;

    gather->shards[metrics->shard->index] = snapshot_new(metrics->shard);
    metrics->mail.deliver = metrics_home;
    mailbox_post(&gather->control->mailbox, &metrics->mail);
}

static struct metrics_gather *gather_new(struct control *control)
{
    uint32_t count = control->shard_count;
    struct metrics_gather *gather =
        calloc(1, sizeof(*gather) + count * (sizeof(struct metrics_mail) + sizeof(struct metrics_shard *)));

    if (gather == NULL) return NULL;
    gather->control = control;
    gather->remaining = count;
    gather->shards = (struct metrics_shard **)(void *)&gather->mails[count];
    return gather;
}

void metrics_collect(struct control *control, metrics_done_fn *done, void *user)
{
    struct metrics_gather *gather = gather_new(control);

    if (gather == NULL) {
        done(user, NULL);
        return;
    }
    gather->done = done;
    gather->user = user;
    for (uint32_t i = 0; i < control->shard_count; i++) {
        struct metrics_mail *metrics = &gather->mails[i];

        metrics->gather = gather;
        metrics->shard = control->shards[i];
        metrics->mail.deliver = metrics_arrive;
        shard_post(metrics->shard, &metrics->mail);
    }
}
