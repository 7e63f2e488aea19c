/* The answer to every request about topics: each topic with its partitions. */
#include "wire/message.h"

#include "base/assert.h"
#include "wire/convert.h"
#include "wire/convert_config.h"

/* ---- from protobuf-c ---- */

static int32_t *ids_from_wire(struct conversion *conversion, const int32_t *from, size_t count,
                              size_t *ret_count)
{
    int32_t *to = convert_array(conversion, count, sizeof(*to), ret_count);

    if (*ret_count > 0) memcpy(to, from, count * sizeof(*to));
    return to;
}

static uint64_t *numbers_from_wire(struct conversion *conversion, const uint64_t *from, size_t count, size_t *ret_count)
{
    uint64_t *to = convert_array(conversion, count, sizeof(*to), ret_count);

    if (*ret_count > 0) memcpy(to, from, count * sizeof(*to));
    return to;
}

static void partition_from_wire(struct conversion *conversion, const Mesh__Wire__Partition *from,
                                struct message_partition *to)
{
    to->partition = from->partition;
    to->leader = from->leader;
    to->leader_epoch = from->leader_epoch;
    to->replicas = ids_from_wire(conversion, from->replicas, from->n_replicas, &to->replica_count);
    to->isr = ids_from_wire(conversion, from->isr, from->n_isr, &to->isr_count);
    to->shard = from->shard;
    to->high_watermark = from->high_watermark;
    to->log_start = from->log_start;
    to->log_end = from->log_end;
    to->size_bytes = from->size_bytes;
    to->error = convert_error(conversion, from->error);
    to->problem = convert_string(conversion, from->problem);
    to->elr = ids_from_wire(conversion, from->elr, from->n_elr, &to->elr_count);
    to->adding = ids_from_wire(conversion, from->adding, from->n_adding, &to->adding_count);
    to->removing = ids_from_wire(conversion, from->removing, from->n_removing, &to->removing_count);
    to->is_queued = from->is_queued;
    to->missing_records_plus_one =
        numbers_from_wire(conversion, from->missing_records_plus_one, from->n_missing_records_plus_one, &to->missing_record_count);
    to->missing_bytes = numbers_from_wire(conversion, from->missing_bytes, from->n_missing_bytes, &to->missing_byte_count);
}

static void topic_from_wire(struct conversion *conversion, const Mesh__Wire__Topic *from,
                            struct message_topic *to)
{
    to->error = convert_error(conversion, from->error);
    to->name = convert_string(conversion, from->name);
    to->topic_id = convert_uuid(from->topic_id);
    to->configs = convert_configs_from_wire(conversion, from->configs, from->n_configs, &to->config_count);
    to->partitions =
        convert_array(conversion, from->n_partitions, sizeof(*to->partitions), &to->partition_count);
    for (size_t i = 0; i < to->partition_count; i++)
        partition_from_wire(conversion, from->partitions[i], &to->partitions[i]);
}

static void topic_response_from_wire(struct conversion *conversion, const Mesh__Wire__TopicResponse *from,
                                     struct message_topic_response *to)
{
    to->topics = convert_array(conversion, from->n_topics, sizeof(*to->topics), &to->topic_count);
    for (size_t i = 0; i < to->topic_count; i++)
        topic_from_wire(conversion, from->topics[i], &to->topics[i]);
    to->remark = convert_string(conversion, from->remark);
}

/* ---- to protobuf-c ---- */

static void partition_to_wire(const struct message_partition *from, Mesh__Wire__Partition *to)
{
    MESH_ASSERT(from->error <= 0);
    mesh__wire__partition__init(to);
    to->partition = from->partition;
    to->leader = from->leader;
    to->leader_epoch = from->leader_epoch;
    to->replicas = from->replicas;
    to->n_replicas = from->replica_count;
    to->isr = from->isr;
    to->n_isr = from->isr_count;
    to->shard = from->shard;
    to->high_watermark = from->high_watermark;
    to->log_start = from->log_start;
    to->log_end = from->log_end;
    to->size_bytes = from->size_bytes;
    to->error = from->error;
    to->problem = from->problem;
    to->elr = from->elr;
    to->n_elr = from->elr_count;
    to->adding = from->adding;
    to->n_adding = from->adding_count;
    to->removing = from->removing;
    to->n_removing = from->removing_count;
    to->is_queued = from->is_queued;
    to->missing_records_plus_one = from->missing_records_plus_one;
    to->n_missing_records_plus_one = from->missing_record_count;
    to->missing_bytes = from->missing_bytes;
    to->n_missing_bytes = from->missing_byte_count;
}

static void topic_to_wire(struct conversion *conversion, const struct message_topic *from,
                          Mesh__Wire__Topic *to)
{
    MESH_ASSERT(from->error <= 0);
    mesh__wire__topic__init(to);
    to->error = from->error;
    to->name = from->name;
    to->topic_id = convert_borrow_uuid(&from->topic_id);
    to->configs = convert_configs_to_wire(conversion, from->configs, from->config_count, &to->n_configs);
    to->partitions =
        convert_pointers(conversion, from->partition_count, sizeof(**to->partitions), &to->n_partitions);
    for (size_t i = 0; i < to->n_partitions; i++)
        partition_to_wire(&from->partitions[i], to->partitions[i]);
}

static void topic_response_to_wire(struct conversion *conversion, const struct message_topic_response *from,
                                   Mesh__Wire__TopicResponse *to)
{
    to->topics = convert_pointers(conversion, from->topic_count, sizeof(**to->topics), &to->n_topics);
    for (size_t i = 0; i < to->n_topics; i++)
        topic_to_wire(conversion, &from->topics[i], to->topics[i]);
    if (from->remark != NULL) to->remark = from->remark;
}

/* ---- the end ---- */

static void topic_deinit(struct message_topic *topic)
{
    free(topic->name);
    convert_configs_free(topic->configs, topic->config_count);
    for (size_t i = 0; i < topic->partition_count; i++) {
        free(topic->partitions[i].replicas);
        free(topic->partitions[i].isr);
        free(topic->partitions[i].elr);
        free(topic->partitions[i].adding);
        free(topic->partitions[i].removing);
        free(topic->partitions[i].missing_records_plus_one);
        free(topic->partitions[i].missing_bytes);
        free(topic->partitions[i].problem);
    }
    free(topic->partitions);
}

void message_deinit_topic_response(struct message_topic_response *message)
{
    for (size_t i = 0; i < message->topic_count; i++)
        topic_deinit(&message->topics[i]);
    free(message->topics);
    free(message->remark);
    *message = (struct message_topic_response){0};
}

CONVERT_DEFINE(topic_response, message_topic_response, Mesh__Wire__TopicResponse, mesh__wire__topic_response,
               MESH__WIRE__TOPIC_RESPONSE__INIT, MESSAGE_RESPONSE_ELEMENTS_MAX)
