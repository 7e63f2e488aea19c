/* broker/front/kafka/reassignments.c - LIST_PARTITION_REASSIGNMENTS: the moves that the image shows, those that wait for their turn too. */
#include "cmd/broker/front/kafka/admin.h"
#include "cmd/broker/front/kafka/brokers.h"
#include "cmd/broker/front/kafka/topics.h"

#include "base/error.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"
#include "replication/coordinator/topic_name.h"

#include <stdlib.h>

#define PARTITIONS_MAX 20000 /* of one request */

static bool is_moving(const struct image_topic *topic, uint32_t index, struct image_partition *ret_partition)
{
    return image_topic_partition(topic, index, ret_partition) && (ret_partition->adding | ret_partition->removing) != 0;
}

/* Those of the partition's replicas whose bits are set. */
static int tell_nodes(const struct image_partition *partition, uint32_t bits, struct arena *arena, int32_t **ret_items, int32_t *ret_count)
{
    int32_t *items = arena_alloc(arena, partition->replica_count, sizeof(*items));

    if (items == NULL) return MESH_ENOMEM;
    *ret_items = items;
    for (uint32_t i = 0; i < partition->replica_count; i++)
        if ((bits >> i & 1) != 0) items[(*ret_count)++] = partition->replicas[i];
    return 0;
}

static int tell_partition(uint32_t index, const struct image_partition *partition, struct arena *arena,
                          struct kafka_list_partition_reassignments_response_partition *to)
{
    int err = tell_nodes(partition, UINT32_MAX, arena, &to->replicas.items, &to->replicas.count);

    to->partition_index = (int32_t)index;
    if (err == 0) err = tell_nodes(partition, partition->adding, arena, &to->adding_replicas.items, &to->adding_replicas.count);
    if (err == 0) err = tell_nodes(partition, partition->removing, arena, &to->removing_replicas.items, &to->removing_replicas.count);
    return err;
}

/* asked NULL: all partitions. A topic of which nothing moves is not told. */
static int tell_topic(const struct image_topic *topic, const struct kafka_list_partition_reassignments_request_topic *asked, struct arena *arena,
                      struct kafka_list_partition_reassignments_response *response)
{
    struct kafka_list_partition_reassignments_response_topic *to = &response->topics.items[response->topics.count];
    uint32_t count = asked == NULL ? topic->partition_count : (uint32_t)asked->partition_indexes.count;
    struct image_partition partition;
    int32_t moving = 0;
    int err = 0;

    for (uint32_t i = 0; i < count; i++)
        moving += is_moving(topic, asked == NULL ? i : (uint32_t)asked->partition_indexes.items[i], &partition);
    if (moving == 0) return 0;
    to->name = slice_of_string(topic->name);
    to->partitions.items = kafka_new_items(&kafka_list_partition_reassignments_response_partition_form, moving, arena);
    if (to->partitions.items == NULL) return MESH_ENOMEM;
    for (uint32_t i = 0; err == 0 && i < count; i++) {
        uint32_t index = asked == NULL ? i : (uint32_t)asked->partition_indexes.items[i];

        if (is_moving(topic, index, &partition)) err = tell_partition(index, &partition, arena, &to->partitions.items[to->partitions.count++]);
    }
    response->topics.count++;
    return err;
}

/* Whoever names a partition many times would have it told as often. */
static bool is_too_much(const struct kafka_list_partition_reassignments_request *asked)
{
    int64_t count = 0;

    for (int32_t i = 0; i < asked->topics.count; i++)
        count += asked->topics.items[i].partition_indexes.count;
    return asked->topics.count > KAFKA_ADMIN_TOPICS_MAX || count > PARTITIONS_MAX;
}

static int tell_asked(const struct image *image, const struct kafka_list_partition_reassignments_request *asked, struct arena *arena,
                      struct kafka_list_partition_reassignments_response *response)
{
    int err = 0;

    response->topics.items = kafka_new_items(&kafka_list_partition_reassignments_response_topic_form, asked->topics.count, arena);
    if (response->topics.items == NULL) return MESH_ENOMEM;
    for (int32_t i = 0; err == 0 && i < asked->topics.count; i++) {
        const struct image_topic *topic = kafka_topic_by_name(image, asked->topics.items[i].name);

        if (topic != NULL) err = tell_topic(topic, &asked->topics.items[i], arena, response);
    }
    return err;
}

static int tell_all(const struct image *image, struct arena *arena, struct kafka_list_partition_reassignments_response *response)
{
    const struct image_topic **topics;
    size_t count;
    int err = image_topics_by_name(image, &topics, &count);

    if (err != 0) return err;
    response->topics.items = kafka_new_items(&kafka_list_partition_reassignments_response_topic_form, (int32_t)count, arena);
    if (response->topics.items == NULL) err = MESH_ENOMEM;
    for (size_t i = 0; err == 0 && i < count; i++)
        if (!topic_name_is_internal(topics[i]->name)) err = tell_topic(topics[i], NULL, arena, response);
    free(topics);
    return err;
}

enum serve kafka_serve_list_partition_reassignments(const struct kafka_request *request)
{
    const struct image *image = request->connection->shard->image;
    struct kafka_list_partition_reassignments_response response;
    struct kafka_list_partition_reassignments_request asked;
    struct arena arena = ARENA_INIT;
    int err = kafka_request_decode(request, &arena, &asked);

    if (err == 0 && is_too_much(&asked)) err = MESH_ETOOLARGE;
    if (err != 0) return kafka_admin_refuse(request, &arena);
    kafka_init(&kafka_list_partition_reassignments_response_form, &response);
    /* Where the mesh is one node, nothing moves. */
    if (!kafka_sees_one_node(request->connection))
        err = asked.topics.count < 0 ? tell_all(image, &arena, &response) : tell_asked(image, &asked, &arena, &response);
    return kafka_admin_respond(request, &arena, err, &response);
}
