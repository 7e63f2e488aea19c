/* Requests about topics; their answer is in message_topic_response.c. */
#include "wire/message.h"

#include "wire/convert.h"
#include "wire/convert_config.h"

/* ---- lists of strings ---- */

static char **strings_from_wire(struct conversion *conversion, char *const *from, size_t count,
                                size_t *ret_count)
{
    char **to = convert_array(conversion, count, sizeof(*to), ret_count);

    for (size_t i = 0; i < *ret_count; i++)
        to[i] = convert_string(conversion, from[i]);
    return to;
}

/* protobuf-c wants an address for each, where ours may be NULL for an empty one. */
static char **strings_to_wire(struct conversion *conversion, char *const *from, size_t count,
                              size_t *ret_count)
{
    static char empty[1];
    char **to = convert_pointers(conversion, count, 0, ret_count);

    for (size_t i = 0; i < *ret_count; i++)
        to[i] = from[i] != NULL ? from[i] : empty;
    return to;
}

/* ---- create ---- */

static void topic_create_from_wire(struct conversion *conversion, const Mesh__Wire__TopicCreateRequest *from,
                                   struct message_topic_create *to)
{
    to->name = convert_string(conversion, from->name);
    to->partition_count = from->partition_count;
    to->replication_factor = from->replication_factor;
    to->configs = convert_configs_from_wire(conversion, from->configs, from->n_configs, &to->config_count);
    to->validate_only = from->validate_only;
    to->replicas = convert_array(conversion, from->n_replicas, sizeof(*to->replicas), &to->replica_count);
    for (size_t i = 0; i < to->replica_count; i++)
        to->replicas[i] = from->replicas[i];
}

static void topic_create_to_wire(struct conversion *conversion, const struct message_topic_create *from,
                                 Mesh__Wire__TopicCreateRequest *to)
{
    to->name = from->name;
    to->partition_count = from->partition_count;
    to->replication_factor = from->replication_factor;
    to->configs = convert_configs_to_wire(conversion, from->configs, from->config_count, &to->n_configs);
    to->validate_only = from->validate_only;
    to->replicas = from->replicas;
    to->n_replicas = from->replica_count;
}

void message_deinit_topic_create(struct message_topic_create *message)
{
    free(message->name);
    free(message->replicas);
    convert_configs_free(message->configs, message->config_count);
    *message = (struct message_topic_create){0};
}

CONVERT_DEFINE(topic_create, message_topic_create, Mesh__Wire__TopicCreateRequest,
               mesh__wire__topic_create_request, MESH__WIRE__TOPIC_CREATE_REQUEST__INIT, MESSAGE_ENTRIES_MAX)

/* ---- delete ---- */

static void topic_delete_from_wire(struct conversion *conversion, const Mesh__Wire__TopicDeleteRequest *from,
                                   struct message_topic_delete *to)
{
    to->name = convert_string(conversion, from->name);
}

static void topic_delete_to_wire(struct conversion *conversion, const struct message_topic_delete *from,
                                 Mesh__Wire__TopicDeleteRequest *to)
{
    (void)conversion;
    to->name = from->name;
}

void message_deinit_topic_delete(struct message_topic_delete *message)
{
    free(message->name);
    *message = (struct message_topic_delete){0};
}

CONVERT_DEFINE(topic_delete, message_topic_delete, Mesh__Wire__TopicDeleteRequest,
               mesh__wire__topic_delete_request, MESH__WIRE__TOPIC_DELETE_REQUEST__INIT, MESSAGE_ENTRIES_MAX)

/* ---- alter ---- */

static void topic_alter_from_wire(struct conversion *conversion, const Mesh__Wire__TopicAlterRequest *from,
                                  struct message_topic_alter *to)
{
    to->name = convert_string(conversion, from->name);
    to->partition_count = from->partition_count;
    to->configs = convert_configs_from_wire(conversion, from->configs, from->n_configs, &to->config_count);
    to->removed_keys =
        strings_from_wire(conversion, from->removed_keys, from->n_removed_keys, &to->removed_key_count);
}

static void topic_alter_to_wire(struct conversion *conversion, const struct message_topic_alter *from,
                                Mesh__Wire__TopicAlterRequest *to)
{
    to->name = from->name;
    to->partition_count = from->partition_count;
    to->configs = convert_configs_to_wire(conversion, from->configs, from->config_count, &to->n_configs);
    to->removed_keys =
        strings_to_wire(conversion, from->removed_keys, from->removed_key_count, &to->n_removed_keys);
}

void message_deinit_topic_alter(struct message_topic_alter *message)
{
    free(message->name);
    convert_configs_free(message->configs, message->config_count);
    convert_strings_free(message->removed_keys, message->removed_key_count);
    *message = (struct message_topic_alter){0};
}

CONVERT_DEFINE(topic_alter, message_topic_alter, Mesh__Wire__TopicAlterRequest,
               mesh__wire__topic_alter_request, MESH__WIRE__TOPIC_ALTER_REQUEST__INIT, MESSAGE_ENTRIES_MAX)

/* ---- describe ---- */

static void topic_describe_from_wire(struct conversion *conversion,
                                     const Mesh__Wire__TopicDescribeRequest *from,
                                     struct message_topic_describe *to)
{
    to->names = strings_from_wire(conversion, from->names, from->n_names, &to->name_count);
    to->all = from->all;
    to->with_offsets = from->with_offsets;
}

static void topic_describe_to_wire(struct conversion *conversion, const struct message_topic_describe *from,
                                   Mesh__Wire__TopicDescribeRequest *to)
{
    to->names = strings_to_wire(conversion, from->names, from->name_count, &to->n_names);
    to->all = from->all;
    to->with_offsets = from->with_offsets;
}

void message_deinit_topic_describe(struct message_topic_describe *message)
{
    convert_strings_free(message->names, message->name_count);
    *message = (struct message_topic_describe){0};
}

CONVERT_DEFINE(topic_describe, message_topic_describe, Mesh__Wire__TopicDescribeRequest,
               mesh__wire__topic_describe_request, MESH__WIRE__TOPIC_DESCRIBE_REQUEST__INIT,
               MESSAGE_ENTRIES_MAX)
