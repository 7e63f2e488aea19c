/* The blocking calls about topics: create, alter, delete, describe. */
#include "client/call.h"
#include "client/client.h"
#include "client/topic.h"
#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 256

/* ---- options ---- */

struct mesh_topic_options {
    int32_t partition_count, replication_factor;
    struct message_config configs[OPTIONS_MAX]; /* keys and values owned; value NULL: back to the default */
    size_t config_count;
};

int mesh_topic_options_new(struct mesh_topic_options **ret_options)
{
    struct mesh_topic_options *options = calloc(1, sizeof(*options));

    if (options == NULL) return MESH_ENOMEM;
    *ret_options = options;
    return 0;
}

void mesh_topic_options_free(struct mesh_topic_options *options)
{
    if (options == NULL) return;
    for (size_t i = 0; i < options->config_count; i++) {
        free(options->configs[i].key);
        free(options->configs[i].value);
    }
    free(options);
}

int mesh_topic_options_set_partitions(struct mesh_topic_options *options, int32_t count)
{
    if (count < 1) return MESH_EINVALID_PARTITIONS;
    options->partition_count = count;
    return 0;
}

int mesh_topic_options_set_replicas(struct mesh_topic_options *options, int32_t count)
{
    if (count < 1) return MESH_EINVALID_REPLICATION;
    options->replication_factor = count;
    return 0;
}

int mesh_topic_options_set(struct mesh_topic_options *options, const char *key, const char *value)
{
    struct message_config config = {NULL, NULL, false};
    size_t at = 0;

    if (key == NULL || key[0] == '\0') return MESH_EINVALID_CONFIG;
    while (at < options->config_count && strcmp(options->configs[at].key, key) != 0)
        at++;
    if (at == OPTIONS_MAX) return MESH_EINVALID_CONFIG;
    config.key = strdup(key);
    config.value = value != NULL ? strdup(value) : NULL;
    if (config.key == NULL || (value != NULL && config.value == NULL)) {
        free(config.key);
        free(config.value);
        return MESH_ENOMEM;
    }
    if (at < options->config_count) { /* the last word counts */
        free(options->configs[at].key);
        free(options->configs[at].value);
    } else {
        options->config_count++;
    }
    options->configs[at] = config;
    return 0;
}

/* ---- changing ---- */

static const struct mesh_topic_options no_options;

static int check_name(struct mesh_client *client, const char *name)
{
    if (name == NULL || name[0] == '\0')
        return client_fail(client, MESH_EINVALID_TOPIC, "a topic needs a name");
    return 0;
}

static int change_call(struct mesh_client *client, enum frame_op op, struct call **ret_call)
{
    int err = call_new(client, op, NULL, NULL, ret_call);

    if (err != 0) return client_fail(client, err, "%s", mesh_strerror(err));
    (*ret_call)->is_repeatable = false;
    return 0;
}

/* The answer to create, alter and delete is the topic, with its own error. */
static int take_change(struct mesh_client *client, const char *name, struct slice answer)
{
    struct message_topic_response response;
    int err = message_decode_topic_response(answer, &response);

    if (err != 0)
        return client_fail(client, err, "the broker's answer could not be read: %s", mesh_strerror(err));
    if (response.topic_count > 0 && response.topics[0].error != 0) {
        err = response.topics[0].error;
        client_fail(client, err, "topic \"%s\": %s", name, mesh_strerror(err));
    }
    if (err == 0) snprintf(client->remark, sizeof(client->remark), "%s", response.remark);
    message_deinit_topic_response(&response);
    return err;
}

static int finish_change(struct mesh_client *client, struct call *call, int err, const char *name)
{
    struct buffer answer = BUFFER_INIT;

    client->remark[0] = '\0';
    if (err != 0) {
        call_free(call);
        return client_fail(client, err, "topic \"%s\": %s", name, mesh_strerror(err));
    }
    err = call_wait(call, &answer);
    if (err == 0) err = take_change(client, name, buffer_slice(&answer));
    buffer_deinit(&answer);
    return err;
}

int mesh_topic_create(struct mesh_client *client, const char *name, const struct mesh_topic_options *options)
{
    struct message_topic_create create = {0};
    struct call *call = NULL;
    int err = check_name(client, name);

    if (err == 0) err = change_call(client, FRAME_OP_TOPIC_CREATE, &call);
    if (err != 0) return err;
    if (options == NULL) options = &no_options;
    create.name = (char *)(uintptr_t)name;
    create.partition_count = options->partition_count;
    create.replication_factor = options->replication_factor;
    create.configs = (struct message_config *)(uintptr_t)options->configs;
    create.config_count = options->config_count;
    return finish_change(client, call, message_encode_topic_create(&call->message, &create), name);
}

/* Keys without a value go back to their default. */
static int encode_alter(struct buffer *to, const char *name, const struct mesh_topic_options *options)
{
    struct message_config set[OPTIONS_MAX];
    char *removed[OPTIONS_MAX];
    struct message_topic_alter alter = {
        .name = (char *)(uintptr_t)name, .configs = set, .removed_keys = removed};

    alter.partition_count = options->partition_count;
    for (size_t i = 0; i < options->config_count; i++) {
        if (options->configs[i].value != NULL)
            set[alter.config_count++] = options->configs[i];
        else
            removed[alter.removed_key_count++] = options->configs[i].key;
    }
    return message_encode_topic_alter(to, &alter);
}

int mesh_topic_alter(struct mesh_client *client, const char *name, const struct mesh_topic_options *options)
{
    struct call *call = NULL;
    int err = check_name(client, name);

    if (err == 0) err = change_call(client, FRAME_OP_TOPIC_ALTER, &call);
    if (err != 0) return err;
    return finish_change(client, call,
                         encode_alter(&call->message, name, options != NULL ? options : &no_options), name);
}

int mesh_topic_delete(struct mesh_client *client, const char *name)
{
    struct message_topic_delete delete = {(char *)(uintptr_t)name};
    struct call *call = NULL;
    int err = check_name(client, name);

    if (err == 0) err = change_call(client, FRAME_OP_TOPIC_DELETE, &call);
    if (err != 0) return err;
    return finish_change(client, call, message_encode_topic_delete(&call->message, &delete), name);
}
