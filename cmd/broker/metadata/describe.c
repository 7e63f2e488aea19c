/* metadata/describe.c - see describe.h. */
#include "cmd/broker/metadata/describe.h"
#include "cmd/broker/metadata/describe_internal.h"

#include "base/assert.h"
#include "base/error.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/coordinator/topic_name.h"

#include <stdlib.h>

void description_init(struct description *description)
{
    *description = (struct description){.arena = ARENA_INIT};
}

void description_deinit(struct description *description)
{
    arena_deinit(&description->arena);
    description_init(description);
}

/* ---- topics ---- */

/* Every setting with its effective value, ordered by id. */
static int describe_configs(struct arena *arena, const struct image_topic *topic,
                            struct message_topic *message)
{
    uint32_t override = 0;

    message->configs = arena_alloc(arena, TOPIC_CONFIG_COUNT, sizeof(message->configs[0]));
    if (message->configs == NULL) return MESH_ENOMEM;
    message->config_count = TOPIC_CONFIG_COUNT;
    for (unsigned i = 0; i < TOPIC_CONFIG_COUNT; i++) {
        enum topic_config_id id = (enum topic_config_id)i;
        struct message_config *config = &message->configs[i];
        char text[TOPIC_CONFIG_TEXT_SIZE];
        config->is_default = override == topic->config_count || topic->configs[override].id != id;
        if (!config->is_default) override++;
        config->key = arena_strdup(arena, topic_config_info(id)->name);
        config->value = arena_strdup(arena, topic_config_format(id, image_topic_config(topic, id), text));
        if (config->key == NULL || config->value == NULL) return MESH_ENOMEM;
    }
    return 0;
}

/* Room for what the leader says of each replica; the shards fill it in. */
static int reserve_missing(struct arena *arena, uint32_t replica_count, struct message_partition *message)
{
    if (replica_count == 1) return 0;
    message->missing_records_plus_one = arena_alloc(arena, replica_count, sizeof(message->missing_records_plus_one[0]));
    message->missing_bytes = arena_alloc(arena, replica_count, sizeof(message->missing_bytes[0]));
    return message->missing_records_plus_one == NULL || message->missing_bytes == NULL ? MESH_ENOMEM : 0;
}

/* ELR and a move: rare, so they take memory only where they are. */
static int describe_unusual(struct arena *arena, const struct image_partition *partition, struct message_partition *message)
{
    uint32_t count = partition->replica_count;

    message->is_queued = partition->is_queued;
    if ((partition->elr | partition->adding | partition->removing) == 0) return 0;
    message->elr = arena_alloc(arena, count, 3 * sizeof(message->elr[0]));
    if (message->elr == NULL) return MESH_ENOMEM;
    message->adding = message->elr + count;
    message->removing = message->adding + count;
    for (uint32_t i = 0; i < count; i++) {
        if (partition->elr >> i & 1) message->elr[message->elr_count++] = partition->replicas[i];
        if (partition->adding >> i & 1) message->adding[message->adding_count++] = partition->replicas[i];
        if (partition->removing >> i & 1) message->removing[message->removing_count++] = partition->replicas[i];
    }
    return 0;
}

int describe_replicas(struct arena *arena, const struct image_partition *partition, struct message_partition *message)
{
    int err;

    message->replicas = arena_alloc(arena, partition->replica_count, 2 * sizeof(message->replicas[0]));
    if (message->replicas == NULL) return MESH_ENOMEM;
    message->isr = message->replicas + partition->replica_count;
    message->replica_count = partition->replica_count;
    for (uint32_t i = 0; i < partition->replica_count; i++) {
        message->replicas[i] = partition->replicas[i];
        if ((partition->isr >> i & 1) != 0) message->isr[message->isr_count++] = partition->replicas[i];
    }
    err = describe_unusual(arena, partition, message);
    return err != 0 ? err : reserve_missing(arena, partition->replica_count, message);
}

static int describe_partitions(struct arena *arena, const struct image *image,
                               const struct image_topic *topic, struct message_topic *message)
{
    struct image_partition partition;

    message->partitions = arena_alloc(arena, topic->partition_count, sizeof(message->partitions[0]));
    if (message->partitions == NULL) return MESH_ENOMEM;
    message->partition_count = topic->partition_count;
    for (uint32_t i = 0; image_topic_partition(topic, i, &partition); i++) {
        struct message_partition *to = &message->partitions[i];
        const struct image_broker *leader = image_find_broker(image, partition.leader);
        to->partition = i;
        to->leader = partition.leader;
        to->leader_epoch = partition.leader_epoch;
        if (leader != NULL) to->shard = image_shard_of(&topic->topic_id, i, leader->shard_count);
        to->problem =
            arena_strdup(arena, leader == NULL ? "no leader: none of its in-sync replicas is alive" : "");
        if (to->problem == NULL || describe_replicas(arena, &partition, to) != 0) return MESH_ENOMEM;
    }
    return 0;
}

/* Room for `count` more topics. */
static int reserve_topics(struct description *description, size_t count)
{
    struct message_topic_response *response = &description->topics;
    struct message_topic *topics =
        arena_alloc(&description->arena, response->topic_count + count, sizeof(topics[0]));

    if (topics == NULL) return MESH_ENOMEM;
    if (response->topic_count != 0)
        memcpy(topics, response->topics, response->topic_count * sizeof(topics[0]));
    response->topics = topics;
    return 0;
}

/* Fills the next reserved place. */
static int add_topic(struct description *description, const struct image *image,
                     const struct image_topic *topic)
{
    struct message_topic *message = &description->topics.topics[description->topics.topic_count];
    int err;

    message->topic_id = topic->topic_id;
    message->name = arena_strdup(&description->arena, topic->name);
    if (message->name == NULL) return MESH_ENOMEM;
    err = describe_configs(&description->arena, topic, message);
    if (err == 0) err = describe_partitions(&description->arena, image, topic, message);
    if (err == 0) description->topics.topic_count++;
    return err;
}

int describe_topic(struct description *description, const struct image *image,
                   const struct image_topic *topic)
{
    int err = reserve_topics(description, 1);

    return err != 0 ? err : add_topic(description, image, topic);
}

static int describe_all(struct description *description, const struct image *image)
{
    const struct image_topic **topics;
    size_t count;
    int err = image_topics_by_name(image, &topics, &count);

    if (err != 0) return err;
    err = reserve_topics(description, count);
    for (size_t i = 0; i < count && err == 0; i++)
        if (!topic_name_is_internal(topics[i]->name)) err = add_topic(description, image, topics[i]);
    free(topics);
    return err;
}

int describe_topics(struct description *description, const struct image *image,
                    const struct message_topic_describe *request)
{
    int err;

    if (request->all) return describe_all(description, image);
    err = reserve_topics(description, request->name_count);
    for (size_t i = 0; i < request->name_count && err == 0; i++) {
        const struct image_topic *topic = image_find_topic_by_name(image, request->names[i]);
        struct message_topic *message = &description->topics.topics[description->topics.topic_count];
        if (topic != NULL) {
            err = add_topic(description, image, topic);
            continue;
        }
        message->error = MESH_EUNKNOWN_TOPIC;
        message->name = arena_strdup(&description->arena, request->names[i]);
        if (message->name == NULL) err = MESH_ENOMEM;
        description->topics.topic_count++;
    }
    return err;
}

/* ---- cluster ---- */

static int describe_brokers(struct arena *arena, const struct image *image,
                            struct message_broker **ret_brokers, size_t *ret_count)
{
    size_t count = image_broker_count(image);
    struct message_broker *brokers = arena_alloc(arena, count, sizeof(brokers[0]));

    if (brokers == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct image_broker *broker = image_broker_at(image, i);
        brokers[i].node_id = broker->node_id;
        brokers[i].broker_id = broker->broker_id;
        brokers[i].name = arena_strdup(arena, broker->name);
        brokers[i].host = arena_strdup(arena, broker->host);
        brokers[i].zone = arena_strdup(arena, broker->zone);
        brokers[i].port = broker->port;
        brokers[i].shard_count = broker->shard_count;
        brokers[i].is_fenced = broker->is_fenced;
        brokers[i].is_draining = broker->is_draining;
        brokers[i].is_witness = broker->is_witness;
        brokers[i].has_bad_disk = broker->has_bad_disk;
        if (brokers[i].name == NULL || brokers[i].host == NULL || brokers[i].zone == NULL) return MESH_ENOMEM;
    }
    *ret_brokers = brokers;
    *ret_count = count;
    return 0;
}

int describe_cluster(struct arena *arena, const struct image *image, int32_t coordinator,
                     struct message_cluster_response *ret_cluster)
{
    *ret_cluster =
        (struct message_cluster_response){.cluster_id = *image_cluster_id(image), .coordinator = coordinator};
    return describe_brokers(arena, image, &ret_cluster->brokers, &ret_cluster->broker_count);
}

/* ---- status ---- */

int describe_add_problem(struct arena *arena, struct message_status_response *status, char *what, const char *meaning,
                         const char *remedy)
{
    struct message_problem *problem = &status->problems[status->problem_count];

    MESH_ASSERT(status->problem_count < DESCRIBE_PROBLEMS_MAX);
    problem->what = what;
    problem->meaning = arena_strdup(arena, meaning);
    problem->remedy = arena_strdup(arena, remedy);
    if (what == NULL || problem->meaning == NULL || problem->remedy == NULL) return MESH_ENOMEM;
    status->problem_count++;
    return 0;
}

static void count_partitions(const struct replica_facts *facts, struct message_status_response *status)
{
    status->partitions_offline = (uint32_t)facts->offline.count;
    status->partitions_under_replicated = (uint32_t)facts->under_replicated.count;
    status->partitions_at_risk = (uint32_t)facts->at_risk.count;
    status->partitions_moving = (uint32_t)facts->moving.count;
    status->partitions_queued = (uint32_t)facts->queued.count;
}

/* An append is refused when it would take the disk below the minimum; a batch of usual size does so from a
 * little above it on. */
static bool is_disk_full(const struct describe_facts *facts)
{
    return facts->disk_free_bytes < facts->disk_free_bytes_min + facts->disk_free_bytes_min / 16;
}

static int storage_problems(struct arena *arena, const struct describe_facts *facts,
                            struct message_status_response *status)
{
    int err = 0;

    if (facts->failed_stores != 0)
        err = describe_add_problem(
            arena, status, arena_printf(arena, "the journal of %u shard(s) has failed", facts->failed_stores),
            "a write or sync of the journal failed: these shards accept no records; what was acknowledged is "
            "still read",
            "look for disk errors in the system's log, replace the disk if needed, then restart the broker");
    if (err == 0 && facts->failed_logs != 0)
        err = describe_add_problem(
            arena, status,
            arena_printf(arena, "%llu partition(s) accept no records",
                         (unsigned long long)facts->failed_logs),
            "a write or sync of their files failed; what was acknowledged is still read",
            "look for disk errors in the system's log, replace the disk if needed, then restart the broker");
    if (err == 0 && facts->holes != 0)
        err = describe_add_problem(
            arena, status,
            arena_printf(arena, "%llu damaged range(s) of records", (unsigned long long)facts->holes),
            "stored bytes do not match their checksums, or files are gone: these offsets are not served here until records of other replicas "
            "have mended them",
            "look for disk errors in the system's log; records of topics with a single replica have no other copy: restore the data directory "
            "from one if they are needed");
    if (err == 0 && is_disk_full(facts))
        err = describe_add_problem(
            arena, status,
            arena_printf(arena, "the disk is full: %llu MiB free",
                         (unsigned long long)(facts->disk_free_bytes >> 20)),
            "records are refused until there is space again; nothing that was acknowledged is lost",
            "free space on the disk, delete topics, or lower retention.bytes or retention.ms of large "
            "topics");
    return err;
}

int describe_status(struct arena *arena, const struct image *image, const struct describe_facts *facts,
                    struct message_status_response *ret_status)
{
    struct message_status_response status = {
        .cluster_id = *image_cluster_id(image),
        .coordinator = facts->coordinator,
        .topics_total = (uint32_t)groups_topic_others(image),
        .uptime_ms = facts->uptime_ms,
        .stored_bytes = facts->stored_bytes,
        .disk_free_bytes = facts->disk_free_bytes,
        .members_alive = facts->members_alive,
        .members_suspect = facts->members_suspect,
        .members_dead = facts->members_dead,
        .members_left = facts->members_left,
    };
    struct replica_facts replicas;
    int err = describe_brokers(arena, image, &status.brokers, &status.broker_count);

    status.version = arena_strdup(arena, facts->version);
    status.problems = arena_alloc(arena, DESCRIBE_PROBLEMS_MAX, sizeof(status.problems[0]));
    if (err != 0 || status.version == NULL || status.problems == NULL) return MESH_ENOMEM;
    replica_facts_collect(image, &replicas);
    count_partitions(&replicas, &status);
    status.partitions_total = (uint32_t)groups_topic_other_partitions(image); /* those of the topics that are counted; what is wrong is told of all */
    err = storage_problems(arena, facts, &status);
    if (err == 0 && facts->members_dead != 0)
        err = describe_add_problem(arena, &status,
                          arena_printf(arena, "%u broker(s) look dead: %s", facts->members_dead,
                                       facts->dead_names),
                          "they answer nobody; what only they hold can be neither written nor read",
                          "start them again; 'mesh members' shows since when each is dead");
    if (err == 0) err = describe_voters(arena, image, facts, &status);
    if (err == 0) err = describe_mesh_problems(arena, image, facts, &replicas, &status);
    if (err == 0) *ret_status = status;
    return err;
}
