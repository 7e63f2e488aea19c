/* broker/front/kafka/log_dirs.c - DESCRIBE_LOG_DIRS: what replicas this broker keeps, and how large they are. Of this broker alone: clients ask each. */
#include "cmd/broker/front/kafka/admin.h"
#include "cmd/broker/front/kafka/topics.h"
#include "cmd/broker/front/kafka/tour.h"

#include "base/error.h"
#include "base/fs.h"
#include "cmd/broker/runtime/partitions.h"
#include "kafka/messages.h"
#include "replication/coordinator/topic_name.h"

#include <stdlib.h>

#define PARTITIONS_MAX 20000 /* of one request that names them */

struct replica_row {
    struct uuid topic_id;
    uint32_t partition;
    uint64_t size_bytes;
};

struct replica_rows {
    struct replica_row *items;
    size_t count, capacity;
};

struct dirs_state {
    struct kafka_tour tour;
    bool is_all;
    struct replica_rows wanted; /* when not all are; without sizes */
    struct replica_rows sizes;  /* of the shards so far */
    struct replica_rows told;   /* one topic after the other */
    bool has_failed;
};

static int compare_rows(const void *left, const void *right)
{
    const struct replica_row *a = left, *b = right;
    int order = memcmp(a->topic_id.bytes, b->topic_id.bytes, UUID_SIZE);

    return order != 0 ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

static bool add_row(struct kafka_call *call, struct replica_rows *rows, const struct replica_row *row)
{
    if (rows->count == rows->capacity) {
        size_t capacity = rows->capacity == 0 ? 64 : rows->capacity * 2;
        struct replica_row *items = arena_alloc(&call->arena, capacity, sizeof(*items));

        if (items == NULL) return false;
        if (rows->count > 0) memcpy(items, rows->items, rows->count * sizeof(*items));
        rows->items = items;
        rows->capacity = capacity;
    }
    rows->items[rows->count++] = *row;
    return true;
}

static void sort_rows(struct replica_rows *rows)
{
    if (rows->count > 0) qsort(rows->items, rows->count, sizeof(rows->items[0]), compare_rows);
}

/* ---- on each shard ---- */

/* Of the logs that are open: the others have no record. */
static void visit(struct kafka_tour *tour, struct shard *shard)
{
    struct dirs_state *state = container_of(tour, struct dirs_state, tour);
    struct map_node *node = NULL;

    while ((node = map_iterate(&shard->topics, node)) != NULL) {
        struct shard_topic *topic = container_of(node, struct shard_topic, node);

        list_for_each(link, &topic->partitions)
        {
            const struct shard_partition *partition = container_of(link, struct shard_partition, link);
            const struct replica_row row = {topic->metrics.topic_id, partition->number, plog_size_bytes(partition->plog)};

            if (!add_row(tour->call, &state->sizes, &row)) state->has_failed = true;
        }
    }
}

/* ---- the answer ---- */

static bool is_here(const struct kafka_call *call, const struct image_topic *topic, uint32_t number)
{
    struct image_partition partition;
    bool is_found = false;

    if (!image_topic_partition(topic, number, &partition)) return false;
    for (uint32_t i = 0; i < partition.replica_count; i++)
        is_found |= partition.replicas[i] == atomic_load(&call->connection->shard->broker->node_id);
    return is_found;
}

static bool tell_row(struct kafka_call *call, const struct image_topic *topic, uint32_t number)
{
    struct dirs_state *state = call->state;
    struct replica_row row = {.topic_id = topic->topic_id, .partition = number};
    const struct replica_row *found =
        state->sizes.count == 0 ? NULL : bsearch(&row, state->sizes.items, state->sizes.count, sizeof(row), compare_rows);

    if (!is_here(call, topic, number)) return true;
    if (found != NULL) row.size_bytes = found->size_bytes;
    return add_row(call, &state->told, &row);
}

static int list_all(struct kafka_call *call)
{
    const struct image_topic **topics;
    size_t count;
    int err = image_topics_by_name(call->connection->shard->image, &topics, &count);

    if (err != 0) return err;
    for (size_t t = 0; t < count; t++)
        for (uint32_t p = 0; err == 0 && !topic_name_is_internal(topics[t]->name) && p < topics[t]->partition_count; p++)
            if (!tell_row(call, topics[t], p)) err = MESH_ENOMEM;
    free(topics);
    return err;
}

/* One that is named many times is told once. */
static int list_wanted(struct kafka_call *call)
{
    const struct replica_rows *wanted = &((struct dirs_state *)call->state)->wanted;

    for (size_t i = 0; i < wanted->count; i++) {
        const struct replica_row *row = &wanted->items[i];
        const struct image_topic *topic = kafka_topic_by_id(call->connection->shard->image, &row->topic_id);

        if (topic == NULL || (i > 0 && compare_rows(row - 1, row) == 0)) continue;
        if (!tell_row(call, topic, row->partition)) return MESH_ENOMEM;
    }
    return 0;
}

/* The rows from `at` on that are of one topic. */
static size_t count_of_topic(const struct replica_rows *rows, size_t at)
{
    size_t count = 1;

    while (at + count < rows->count && uuid_equal(&rows->items[at].topic_id, &rows->items[at + count].topic_id))
        count++;
    return count;
}

static int tell_topic(struct kafka_call *call, const struct replica_row *rows, size_t count, struct kafka_describe_log_dirs_response_topic *to)
{
    to->name = slice_of_string(kafka_topic_by_id(call->connection->shard->image, &rows[0].topic_id)->name);
    to->partitions.items = kafka_new_items(&kafka_describe_log_dirs_response_partition_form, (int32_t)count, &call->arena);
    if (to->partitions.items == NULL) return MESH_ENOMEM;
    to->partitions.count = (int32_t)count;
    for (size_t i = 0; i < count; i++) {
        to->partitions.items[i].partition_index = (int32_t)rows[i].partition;
        to->partitions.items[i].partition_size = (int64_t)rows[i].size_bytes;
    }
    return 0;
}

static int tell_topics(struct kafka_call *call, struct kafka_describe_log_dirs_response_result *result)
{
    const struct replica_rows *rows = &((struct dirs_state *)call->state)->told;
    size_t topic_count = 0;
    int err = 0;

    for (size_t at = 0; at < rows->count; at += count_of_topic(rows, at))
        topic_count++;
    result->topics.items = kafka_new_items(&kafka_describe_log_dirs_response_topic_form, (int32_t)topic_count, &call->arena);
    if (result->topics.items == NULL) return MESH_ENOMEM;
    for (size_t at = 0; err == 0 && at < rows->count; at += count_of_topic(rows, at))
        err = tell_topic(call, &rows->items[at], count_of_topic(rows, at), &result->topics.items[result->topics.count++]);
    return err;
}

static int tell(struct kafka_call *call, struct kafka_describe_log_dirs_response *response)
{
    struct dirs_state *state = call->state;
    const struct broker *broker = call->connection->shard->broker;
    struct kafka_describe_log_dirs_response_result *result;
    uint64_t free_bytes;
    int err;

    response->results.items = result = kafka_new_items(&kafka_describe_log_dirs_response_result_form, 1, &call->arena);
    if (state->has_failed || result == NULL) return MESH_ENOMEM;
    response->results.count = 1;
    result->log_dir = slice_of_string(broker->data_dir);
    if (broker->fs->ops->free_bytes(broker->fs, &free_bytes) == 0) result->usable_bytes = (int64_t)free_bytes;
    sort_rows(&state->sizes);
    err = state->is_all ? list_all(call) : list_wanted(call);
    return err != 0 ? err : tell_topics(call, result);
}

static void answer(struct kafka_call *call)
{
    struct kafka_describe_log_dirs_response response;

    kafka_init(&kafka_describe_log_dirs_response_form, &response);
    if (tell(call, &response) != 0) kafka_call_fail(call);
    else kafka_call_answer(call, &response);
}

/* ---- the request ---- */

static int64_t count_partitions(const struct kafka_describe_log_dirs_request *asked)
{
    int64_t count = 0;

    for (int32_t i = 0; i < asked->topics.count; i++)
        count += asked->topics.items[i].partitions.count;
    return count;
}

/* What is not there is not told of. */
static int prepare(struct kafka_call *call, const struct kafka_describe_log_dirs_request *asked)
{
    struct dirs_state *state = arena_alloc(&call->arena, 1, sizeof(*state));

    if (state == NULL) return MESH_ENOMEM;
    call->state = state;
    state->is_all = asked->topics.count < 0;
    for (int32_t t = 0; t < asked->topics.count; t++) {
        const struct kafka_describe_log_dirs_request_topic *from = &asked->topics.items[t];
        const struct image_topic *topic = kafka_topic_by_name(call->connection->shard->image, from->topic);

        for (int32_t p = 0; topic != NULL && p < from->partitions.count; p++) {
            const struct replica_row row = {topic->topic_id, (uint32_t)from->partitions.items[p], 0}; /* one below 0 is of no topic either */

            if (!add_row(call, &state->wanted, &row)) return MESH_ENOMEM;
        }
    }
    sort_rows(&state->wanted);
    return 0;
}

enum serve kafka_serve_describe_log_dirs(const struct kafka_request *request)
{
    struct kafka_describe_log_dirs_request asked;
    struct arena arena = ARENA_INIT;
    struct kafka_call *call;
    int err = kafka_request_decode(request, &arena, &asked);

    if (err == 0 && (asked.topics.count > KAFKA_ADMIN_TOPICS_MAX || count_partitions(&asked) > PARTITIONS_MAX)) err = MESH_ETOOLARGE;
    if (err != 0) return kafka_admin_refuse(request, &arena);
    call = kafka_admin_call(request, &arena);
    if (call == NULL) return SERVE_GONE;
    err = prepare(call, &asked);
    if (err == 0) kafka_tour_start(&((struct dirs_state *)call->state)->tour, call, visit, answer);
    return kafka_admin_end(call, err);
}
