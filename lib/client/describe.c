/* mesh_topic_describe: the broker's answer as the public structs, which borrow from the decoded message. */
#include "client/call.h"
#include "client/client.h"
#include "wire/message.h"

#include <stdlib.h>

struct mesh_topic_list {
    struct message_topic_response response; /* owns every string and array */
    struct mesh_topic_info *infos;
};

static const char *text(const char *string)
{
    return string != NULL ? string : "";
}

static int contains(const int32_t *list, size_t count, int32_t node_id)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == node_id) return 1;
    return 0;
}

/* The broker leaves out what replicas miss when none misses anything; and says nothing where the leader could not be asked. */
static void fill_details(const struct message_partition *from, struct mesh_replica_info *to)
{
    bool is_told = from->replica_count != 0 && from->missing_record_count == from->replica_count && from->missing_byte_count == from->replica_count;

    for (size_t i = 0; i < from->replica_count; i++) {
        int32_t node_id = from->replicas[i];

        to[i] = (struct mesh_replica_info){
            .node_id = node_id,
            .is_in_sync = contains(from->isr, from->isr_count, node_id),
            .is_eligible = contains(from->elr, from->elr_count, node_id),
            .is_adding = contains(from->adding, from->adding_count, node_id),
            .is_removing = contains(from->removing, from->removing_count, node_id),
            .missing_records = is_told ? (int64_t)from->missing_records_plus_one[i] - 1 : from->error != 0 ? -1 : 0,
            .missing_bytes = is_told ? from->missing_bytes[i] : 0,
        };
    }
}

static size_t count_replicas(const struct message_topic *from)
{
    size_t count = 0;

    for (size_t i = 0; i < from->partition_count; i++)
        count += from->partitions[i].replica_count;
    return count;
}

/* One piece of memory: the partitions, and behind them the details of all their replicas. */
static int fill_partitions(const struct message_topic *from, struct mesh_topic_info *to)
{
    size_t partitions_size = (from->partition_count + 1) * sizeof(struct mesh_partition_info);
    struct mesh_partition_info *partitions = calloc(1, partitions_size + count_replicas(from) * sizeof(struct mesh_replica_info));
    struct mesh_replica_info *details;

    if (partitions == NULL) return MESH_ENOMEM;
    details = (struct mesh_replica_info *)(void *)((char *)partitions + partitions_size);
    for (size_t i = 0; i < from->partition_count; i++) {
        const struct message_partition *partition = &from->partitions[i];
        partitions[i] = (struct mesh_partition_info){
            .partition = (int32_t)partition->partition,
            .leader = partition->leader,
            .leader_epoch = partition->leader_epoch,
            .replicas = partition->replicas,
            .isr = partition->isr,
            .replica_count = partition->replica_count,
            .isr_count = partition->isr_count,
            .high_watermark = (int64_t)partition->high_watermark,
            .log_start = (int64_t)partition->log_start,
            .log_end = (int64_t)partition->log_end,
            .size_bytes = partition->size_bytes,
            .error = partition->error,
            .problem = text(partition->problem),
            .details = details,
            .is_queued = partition->is_queued,
        };
        fill_details(partition, details);
        details += partition->replica_count;
    }
    to->partitions = partitions;
    to->partition_count = from->partition_count;
    return 0;
}

static int fill_configs(const struct message_topic *from, struct mesh_topic_info *to)
{
    struct mesh_config_info *configs = calloc(from->config_count + 1, sizeof(*configs));

    if (configs == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < from->config_count; i++)
        configs[i] = (struct mesh_config_info){text(from->configs[i].key), text(from->configs[i].value),
                                               from->configs[i].is_default};
    to->configs = configs;
    to->config_count = from->config_count;
    return 0;
}

static int fill_topic(const struct message_topic *from, struct mesh_topic_info *to)
{
    int err;

    to->name = text(from->name);
    uuid_format(&from->topic_id, to->id);
    err = fill_configs(from, to);
    return err != 0 ? err : fill_partitions(from, to);
}

static int fill_list(struct mesh_topic_list *list)
{
    list->infos = calloc(list->response.topic_count + 1, sizeof(*list->infos));
    if (list->infos == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < list->response.topic_count; i++) {
        int err = fill_topic(&list->response.topics[i], &list->infos[i]);
        if (err != 0) return err;
    }
    return 0;
}

void mesh_topic_list_free(struct mesh_topic_list *list)
{
    if (list == NULL) return;
    for (size_t i = 0; list->infos != NULL && i < list->response.topic_count; i++) {
        free((void *)(uintptr_t)list->infos[i].configs);
        free((void *)(uintptr_t)list->infos[i].partitions);
    }
    free(list->infos);
    message_deinit_topic_response(&list->response);
    free(list);
}

static int take_answer(struct mesh_client *client, struct slice answer, const char *name,
                       struct mesh_topic_list **ret_list)
{
    struct mesh_topic_list *list = calloc(1, sizeof(*list));
    int err;

    if (list == NULL) return client_fail(client, MESH_ENOMEM, "%s", mesh_strerror(MESH_ENOMEM));
    err = message_decode_topic_response(answer, &list->response);
    if (err != 0) {
        free(list);
        return client_fail(client, err, "the broker's answer could not be read: %s", mesh_strerror(err));
    }
    if (name != NULL && list->response.topic_count != 1)
        err = MESH_EPROTO;
    else if (name != NULL)
        err = list->response.topics[0].error;
    if (err == 0) err = fill_list(list);
    if (err != 0) {
        mesh_topic_list_free(list);
        return client_fail(client, err, "topic \"%s\": %s", text(name), mesh_strerror(err));
    }
    *ret_list = list;
    return 0;
}

/* The broker's answer would be beyond the protocol's limits: only asking for less helps. */
static int fail_too_large(struct mesh_client *client, const char *name)
{
    if (name != NULL)
        return client_fail(client, MESH_ETOOLARGE,
                           "topic \"%s\" has too many partitions to be described in one answer", name);
    return client_fail(client, MESH_ETOOLARGE,
                       "all topics and partitions together are more than one answer may hold (%d in 4 MiB): "
                       "ask for topics by name",
                       MESSAGE_RESPONSE_ELEMENTS_MAX);
}

int mesh_topic_describe(struct mesh_client *client, const char *name, struct mesh_topic_list **ret_list)
{
    struct message_topic_describe describe = {.all = name == NULL, .with_offsets = true};
    char *names[1] = {(char *)(uintptr_t)name};
    struct buffer answer = BUFFER_INIT;
    struct call *call = NULL;
    int err = call_new(client, FRAME_OP_TOPIC_DESCRIBE, NULL, NULL, &call);

    if (err != 0) return client_fail(client, err, "%s", mesh_strerror(err));
    describe.names = names;
    describe.name_count = name != NULL ? 1 : 0;
    err = message_encode_topic_describe(&call->message, &describe);
    if (err != 0) {
        call_free(call);
        return client_fail(client, err, "topic \"%s\": %s", text(name), mesh_strerror(err));
    }
    err = call_wait(call, &answer);
    if (err == 0) err = take_answer(client, buffer_slice(&answer), name, ret_list);
    buffer_deinit(&answer);
    return err == MESH_ETOOLARGE ? fail_too_large(client, name) : err;
}

size_t mesh_topic_list_count(const struct mesh_topic_list *list)
{
    return list->response.topic_count;
}

const struct mesh_topic_info *mesh_topic_list_get(const struct mesh_topic_list *list, size_t index)
{
    return index < list->response.topic_count ? &list->infos[index] : NULL;
}
