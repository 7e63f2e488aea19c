/* front/http/views.c - see views.h. jansson builds and prints; packing steals its references also when it
 * fails, so one check at the end is enough. */
#include "cmd/broker/front/http/views.h"
#include "cmd/broker/front/http/views_internal.h"

#include "base/error.h"
#include "replication/coordinator/topic_name.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static int append_chunk(const char *bytes, size_t size, void *user)
{
    return buffer_append(user, bytes, size) == 0 ? 0 : -1;
}

int views_print(json_t *root, struct buffer *to)
{
    int failed =
        root == NULL || json_dump_callback(root, append_chunk, to, JSON_COMPACT | JSON_ENCODE_ANY) != 0;

    json_decref(root);
    if (failed != 0) return MESH_ENOMEM;
    return buffer_append_string(to, "\n");
}

json_t *views_uuid(const struct uuid *uuid)
{
    char text[UUID_STRING_SIZE];

    return json_string(uuid_format(uuid, text));
}

json_t *views_append(json_t *array, json_t *value)
{
    if (array != NULL && value != NULL && json_array_append_new(array, value) == 0) return array;
    if (array == NULL) json_decref(value);
    json_decref(array);
    return NULL;
}

/* ---- topics ---- */

static json_t *topic_row(const struct image_topic *topic)
{
    struct image_partition first;

    if (!image_topic_partition(topic, 0, &first)) return NULL;
    return json_pack("{s:s, s:o, s:I, s:I}", "name", topic->name, "id", views_uuid(&topic->topic_id),
                     "partitions", (json_int_t)topic->partition_count, "replicas",
                     (json_int_t)first.replica_count);
}

/* The first topic whose name comes after `after`. */
static size_t upper_bound(const struct image_topic **topics, size_t count, const char *after)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(topics[middle]->name, after) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The mesh's own topics are shown by name only. Returns how many are left. */
static size_t drop_internal(const struct image_topic **topics, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        if (!topic_name_is_internal(topics[i]->name)) topics[kept++] = topics[i];
    return kept;
}

int view_topics(const struct image *image, const char *after, uint32_t limit, struct buffer *to)
{
    const struct image_topic **topics;
    size_t count, first, end;
    json_t *rows = json_array();
    int err = image_topics_by_name(image, &topics, &count);

    if (err != 0) {
        json_decref(rows);
        return err;
    }
    count = drop_internal(topics, count);
    first = upper_bound(topics, count, after);
    end = count - first > limit ? first + limit : count;
    for (size_t i = first; i < end; i++)
        rows = views_append(rows, topic_row(topics[i]));
    err = rows == NULL ? MESH_ENOMEM
                       : views_print(json_pack("{s:o, s:I, s:s?}", "topics", rows, "total", (json_int_t)count,
                                         "next", end < count && end > first ? topics[end - 1]->name : NULL),
                               to);
    free(topics);
    return err;
}

static json_t *configs_json(const struct message_topic *topic)
{
    json_t *object = json_object();

    for (size_t i = 0; i < topic->config_count && object != NULL; i++) {
        if (json_object_set_new(object, topic->configs[i].key, json_string(topic->configs[i].value)) == 0)
            continue;
        json_decref(object);
        object = NULL;
    }
    return object;
}

static json_t *overrides_json(const struct message_topic *topic)
{
    json_t *array = json_array();

    for (size_t i = 0; i < topic->config_count; i++) {
        if (!topic->configs[i].is_default) array = views_append(array, json_string(topic->configs[i].key));
    }
    return array;
}

static json_t *ids_json(const int32_t *ids, size_t count)
{
    json_t *array = json_array();

    for (size_t i = 0; i < count; i++)
        array = views_append(array, json_integer(ids[i]));
    return array;
}

static json_t *partition_json(const struct message_partition *partition, bool has_offsets)
{
    json_t *object = json_pack(
        "{s:I, s:I, s:I, s:I, s:o, s:o}", "partition", (json_int_t)partition->partition, "leader",
        (json_int_t)partition->leader, "leader_epoch", (json_int_t)partition->leader_epoch, "shard",
        (json_int_t)partition->shard, "replicas", ids_json(partition->replicas, partition->replica_count),
        "isr", ids_json(partition->isr, partition->isr_count));

    if (object == NULL) return NULL;
    if (has_offsets) {
        json_t *offsets =
            json_pack("{s:I, s:I, s:I, s:I}", "high_watermark", (json_int_t)partition->high_watermark,
                      "log_start", (json_int_t)partition->log_start, "log_end",
                      (json_int_t)partition->log_end, "size_bytes", (json_int_t)partition->size_bytes);
        int failed = offsets == NULL ? -1 : json_object_update(object, offsets);
        json_decref(offsets);
        if (failed != 0) goto fail;
    }
    if (partition->problem != NULL && partition->problem[0] != '\0' &&
        json_object_set_new(object, "problem", json_string(partition->problem)) != 0)
        goto fail;
    return object;
fail:
    json_decref(object);
    return NULL;
}

int view_topic(const struct message_topic *topic, uint32_t from, bool has_offsets, struct buffer *to)
{
    json_t *partitions = json_array(), *next;
    size_t end = topic->partition_count;

    if (from < end && end - from > VIEW_PARTITIONS_DEFAULT) end = (size_t)from + VIEW_PARTITIONS_DEFAULT;
    for (size_t i = from; i < end; i++)
        partitions = views_append(partitions, partition_json(&topic->partitions[i], has_offsets));
    if (partitions == NULL) return MESH_ENOMEM;
    next = end < topic->partition_count && end > from ? json_integer((json_int_t)end) : json_null();
    return views_print(json_pack("{s:s, s:o, s:o, s:o, s:o, s:I, s:o}", "name", topic->name, "id",
                           views_uuid(&topic->topic_id), "configs", configs_json(topic), "overrides",
                           overrides_json(topic), "partitions", partitions, "partition_count",
                           (json_int_t)topic->partition_count, "next", next),
                 to);
}

/* ---- cluster and status ---- */

static json_t *broker_json(const struct message_broker *broker)
{
    return json_pack("{s:o, s:I, s:s, s:s, s:I, s:s, s:I}", "broker", views_uuid(&broker->broker_id),
                     "node_id", (json_int_t)broker->node_id, "name", broker->name, "host", broker->host,
                     "port", (json_int_t)broker->port, "zone", broker->zone, "shards",
                     (json_int_t)broker->shard_count);
}

static json_t *brokers_json(const struct message_broker *brokers, size_t count)
{
    json_t *array = json_array();

    for (size_t i = 0; i < count; i++)
        array = views_append(array, broker_json(&brokers[i]));
    return array;
}

/* The broker uuid of the coordinator, or null. */
static json_t *coordinator_json(int32_t node_id, const struct message_broker *brokers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (brokers[i].node_id == node_id) return views_uuid(&brokers[i].broker_id);
    }
    return json_null();
}

int view_cluster(const struct message_cluster_response *cluster, struct buffer *to)
{
    return views_print(json_pack("{s:o, s:o, s:o}", "cluster", views_uuid(&cluster->cluster_id), "coordinator",
                           coordinator_json(cluster->coordinator, cluster->brokers, cluster->broker_count),
                           "brokers", brokers_json(cluster->brokers, cluster->broker_count)),
                 to);
}

static json_t *problems_json(const struct message_status_response *status)
{
    json_t *array = json_array();

    for (size_t i = 0; i < status->problem_count; i++)
        array = views_append(array,
                               json_pack("{s:s, s:s, s:s}", "what", status->problems[i].what, "meaning",
                                         status->problems[i].meaning, "remedy", status->problems[i].remedy));
    return array;
}

int view_status(const struct message_status_response *status, struct buffer *to)
{
    json_t *partitions = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "total", (json_int_t)status->partitions_total,
                                   "under_replicated", (json_int_t)status->partitions_under_replicated,
                                   "offline", (json_int_t)status->partitions_offline, "at_risk",
                                   (json_int_t)status->partitions_at_risk, "moving", (json_int_t)status->partitions_moving,
                                   "queued", (json_int_t)status->partitions_queued);

    json_t *members = json_pack("{s:I, s:I, s:I, s:I}", "alive", (json_int_t)status->members_alive, "suspect",
                                (json_int_t)status->members_suspect, "dead", (json_int_t)status->members_dead, "left",
                                (json_int_t)status->members_left);

    return views_print(json_pack("{s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:I, s:I, s:I, s:s}", "cluster",
                           views_uuid(&status->cluster_id), "coordinator",
                           coordinator_json(status->coordinator, status->brokers, status->broker_count),
                           "brokers", brokers_json(status->brokers, status->broker_count), "members", members, "topics",
                           (json_int_t)status->topics_total, "partitions", partitions, "problems",
                           problems_json(status), "uptime_ms", (json_int_t)status->uptime_ms, "stored_bytes",
                           (json_int_t)status->stored_bytes, "disk_free_bytes",
                           (json_int_t)status->disk_free_bytes, "version", status->version),
                 to);
}

/* ---- members ---- */

static json_t *member_json(const struct message_member *member)
{
    static const char *const states[] = {"alive", "suspect", "dead", "left"};
    char address[300] = "";

    if (member->host[0] != '\0')
        snprintf(address, sizeof(address), strchr(member->host, ':') ? "[%s]:%u" : "%s:%u", member->host, member->port);
    return json_pack("{s:s, s:o, s:s, s:s, s:I, s:s, s:s, s:I, s:o, s:o, s:b, s:b}", "name", member->name, "broker",
                     views_uuid(&member->broker_id), "address", member->address, "state", states[member->state & 3],
                     "incarnation", (json_int_t)member->incarnation, "zone", member->zone, "client_address", address,
                     "state_ms", (json_int_t)member->state_ms, "heard_ms_ago",
                     member->heard_ms < 0 ? json_null() : json_integer(member->heard_ms), "rtt_us",
                     member->rtt_us == 0 ? json_null() : json_integer(member->rtt_us), "self", (int)member->is_self,
                     "udp_blocked", (int)member->is_udp_blocked);
}

int view_members(const struct message_members_response *members, struct buffer *to)
{
    json_t *array = json_array();

    for (size_t i = 0; i < members->member_count; i++)
        array = views_append(array, member_json(&members->members[i]));
    return views_print(json_pack("{s:o, s:o}", "cluster", views_uuid(&members->cluster_id), "members", array), to);
}

int view_error(int error, const char *message, struct buffer *to)
{
    return views_print(json_pack("{s:s, s:s}", "error", mesh_error_name(error), "message", message), to);
}
