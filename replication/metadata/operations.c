/* metadata/operations.c - what each operation says, and the decision that it asks for (coordinator/decide.h). */
#include "replication/metadata/node_internal.h"

#include "base/codec.h"
#include "base/error.h"
#include "replication/coordinator/groups_topic.h"
#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_CONFIGS_MAX 128 /* of an origin, in one request */
#define CONFIG_TEXT_MAX     4096

/* ---- the origin's part ---- */

static int wrap_create(const struct node *node, struct slice body, struct buffer *to)
{
    const struct node_topic_defaults *defaults = &node->options.defaults;
    struct codec_writer writer = {.to = to};

    codec_put_zigzag(&writer, defaults->partition_count);
    codec_put_zigzag(&writer, defaults->replication_factor);
    codec_put_varint(&writer, defaults->config_count);
    for (size_t i = 0; i < defaults->config_count; i++) {
        codec_put_string(&writer, defaults->configs[i].key);
        codec_put_string(&writer, defaults->configs[i].value);
    }
    if (body.size != 0) codec_put_raw(&writer, body.data, body.size);
    return writer.error;
}

int node_operation_wrap(const struct node *node, enum node_op op, struct slice body, struct buffer *to)
{
    if (op == NODE_OP_TOPIC_CREATE || op == NODE_OP_TOPIC_CREATE_AT) return wrap_create(node, body, to);
    return body.size == 0 ? 0 : buffer_append(to, body.data, body.size);
}

int node_operation_encode_register(const struct node *node, struct buffer *to)
{
    struct codec_writer writer = {.to = to};

    codec_put_varint(&writer, node->options.boot);
    codec_put_uuid(&writer, &node->options.self.dir);
    codec_put_string(&writer, node->self.name);
    codec_put_string(&writer, node->self.host);
    codec_put_string(&writer, node->self.zone);
    codec_put_varint(&writer, node->self.port);
    codec_put_varint(&writer, node->self.shard_count);
    codec_put_varint(&writer, node->options.is_witness);
    codec_put_varint(&writer, node->options.was_unclean);
    codec_put_varint(&writer, node->options.was_set_back);
    codec_put_varint(&writer, node->options.has_lost_data);
    return writer.error;
}

/* ---- topics ---- */

/* The topic's pairs in the decision's form, all in one array. NULL: none, or (with *ret_error set) no memory. */
static struct decide_config *copy_configs(const struct message_config *configs, size_t count, int *ret_error)
{
    struct decide_config *copies = count == 0 ? NULL : calloc(count, sizeof(copies[0]));

    *ret_error = count != 0 && copies == NULL ? MESH_ENOMEM : 0;
    for (size_t i = 0; copies != NULL && i < count; i++) {
        copies[i].key = configs[i].key;
        copies[i].value = configs[i].value;
    }
    return copies;
}

struct create_defaults {
    struct arena texts;
    struct decide_config configs[DEFAULT_CONFIGS_MAX];
    size_t count;
    int32_t partition_count, replication_factor;
};

static char *get_text(struct codec_reader *reader, struct arena *arena)
{
    struct slice text = codec_get_string(reader, CONFIG_TEXT_MAX);
    char *copy = arena_alloc(arena, text.size + 1, 1);

    if (copy != NULL && text.size != 0) memcpy(copy, text.data, text.size);
    return copy;
}

static int get_defaults(struct codec_reader *reader, struct create_defaults *defaults)
{
    defaults->partition_count = codec_get_int32(reader);
    defaults->replication_factor = codec_get_int32(reader);
    defaults->count = (size_t)codec_get_bounded(reader, DEFAULT_CONFIGS_MAX);
    for (size_t i = 0; i < defaults->count && !reader->is_bad; i++) {
        defaults->configs[i].key = get_text(reader, &defaults->texts);
        defaults->configs[i].value = get_text(reader, &defaults->texts);
        if (defaults->configs[i].key == NULL || defaults->configs[i].value == NULL) return MESH_ENOMEM;
    }
    return reader->is_bad ? MESH_EPROTO : 0;
}

static struct uuid fresh_uuid(struct node *node)
{
    uint64_t words[2] = {random_next(&node->random), random_next(&node->random)};
    uint8_t bytes[UUID_SIZE];

    memcpy(bytes, words, sizeof(bytes));
    return uuid_from_random(bytes);
}

static void forget_changes(struct decision *decision)
{
    decision_deinit(decision);
    decision_init(decision);
}

static int create_topic(struct node *node, const struct image *image, const struct create_defaults *defaults,
                        const struct message_topic_create *request, const struct decide_facts *facts, struct decision *decision,
                        struct answer *answer)
{
    struct decide_topic_create wanted = {
        .name = request->name,
        .partition_count = request->partition_count,
        .replication_factor = request->replication_factor,
        .config_count = request->config_count,
        .replicas = request->replicas,
        .replica_count = request->replica_count,
        .topic_id = fresh_uuid(node),
        .partition_count_default = defaults->partition_count,
        .replication_factor_default = defaults->replication_factor,
        .config_defaults = defaults->configs,
        .config_default_count = defaults->count,
        .facts = facts,
    };
    struct decide_config *configs;
    int err;

    wanted.configs = configs = copy_configs(request->configs, request->config_count, &err);
    if (err == 0) err = decide_topic_create(image, &wanted, decision);
    free(configs);
    if (err == 0 && request->validate_only)
        forget_changes(decision);
    else
        answer->topic_id = wanted.topic_id;
    return err;
}

static int topic_create(struct node *node, const struct image *image, struct slice body, const struct decide_facts *facts,
                        struct decision *decision, struct answer *answer)
{
    struct codec_reader reader = codec_reader_of(body);
    struct create_defaults defaults = {.texts = ARENA_INIT};
    struct message_topic_create request = {0};
    int err = get_defaults(&reader, &defaults);

    if (err == 0) err = message_decode_topic_create(slice_of(reader.at, (size_t)(reader.end - reader.at)), &request);
    if (err == 0) err = create_topic(node, image, &defaults, &request, facts, decision, answer);
    message_deinit_topic_create(&request);
    arena_deinit(&defaults.texts);
    return err;
}

static int groups_topic(struct node *node, const struct image *image, struct slice body, const struct decide_facts *facts, struct decision *decision,
                        struct answer *answer)
{
    struct uuid topic_id = fresh_uuid(node);

    if (body.size != 0) return MESH_EPROTO;
    return decide_groups_topic(image, &topic_id, node->options.groups_topic_partitions, facts, decision, &answer->topic_id);
}

static void name_topic(const struct image *image, const char *name, struct answer *answer)
{
    const struct image_topic *topic = image_find_topic_by_name(image, name);

    if (topic != NULL) answer->topic_id = topic->topic_id;
}

static int topic_alter(const struct image *image, struct slice body, const struct decide_facts *facts, struct decision *decision,
                       struct answer *answer)
{
    struct message_topic_alter request = {0};
    struct decide_topic_alter wanted;
    struct decide_config *configs;
    int err = message_decode_topic_alter(body, &request);

    if (err != 0) return err;
    wanted = (struct decide_topic_alter){
        .name = request.name,
        .partition_count = request.partition_count,
        .config_count = request.config_count,
        .removed_keys = (const char *const *)request.removed_keys,
        .removed_key_count = request.removed_key_count,
        .facts = facts,
    };
    wanted.configs = configs = copy_configs(request.configs, request.config_count, &err);
    if (err == 0) err = decide_topic_alter(image, &wanted, decision);
    if (err == 0) name_topic(image, request.name, answer);
    free(configs);
    message_deinit_topic_alter(&request);
    return err;
}

static int topic_delete(const struct image *image, struct slice body, struct decision *decision, struct answer *answer)
{
    struct message_topic_delete request = {0};
    int err = message_decode_topic_delete(body, &request);

    if (err == 0) err = decide_topic_delete(image, request.name, decision);
    if (err == 0) name_topic(image, request.name, answer);
    message_deinit_topic_delete(&request);
    return err;
}

static int topic_delete_id(const struct image *image, struct slice body, struct decision *decision, struct answer *answer)
{
    struct codec_reader reader = codec_reader_of(body);
    struct uuid topic_id = codec_get_uuid(&reader);

    answer->topic_id = topic_id;
    return codec_reader_is_done(&reader) ? decide_topic_delete_id(image, &topic_id, decision) : MESH_EPROTO;
}

/* ---- brokers ---- */

static int producer_ids(const struct image *image, const struct uuid *origin, struct slice body, struct decision *decision,
                        struct answer *answer)
{
    const struct image_broker *broker = image_find_broker_by_uuid(image, origin);
    struct codec_reader reader = codec_reader_of(body);
    uint32_t count = (uint32_t)codec_get_bounded(&reader, NODE_PRODUCER_IDS_MAX);

    if (!codec_reader_is_done(&reader)) return MESH_EPROTO;
    if (broker == NULL) {
        snprintf(decision->message, sizeof(decision->message), "this broker is not registered with the mesh yet");
        return MESH_EAGAIN;
    }
    answer->first_id = image_next_producer_id(image);
    answer->id_count = count;
    return decide_producer_ids(image, broker->node_id, count, decision);
}

static int broker_register(const struct node *node, const struct image *image, const struct operation *operation,
                           const struct decide_facts *facts, struct decision *decision)
{
    struct codec_reader reader = codec_reader_of(operation->body);
    struct decide_broker_register wanted = {.broker_id = operation->origin, .facts = facts};
    struct slice texts[3];
    char copies[3][IMAGE_BROKER_STRING_SIZE_MAX + 1];

    wanted.boot = codec_get_varint(&reader);
    wanted.dir_id = codec_get_uuid(&reader);
    for (size_t i = 0; i < 3; i++) {
        texts[i] = codec_get_string(&reader, IMAGE_BROKER_STRING_SIZE_MAX);
        if (texts[i].size != 0) memcpy(copies[i], texts[i].data, texts[i].size);
        copies[i][texts[i].size] = '\0';
    }
    wanted.name = copies[0];
    wanted.host = copies[1];
    wanted.zone = copies[2];
    wanted.port = (uint16_t)codec_get_bounded(&reader, UINT16_MAX);
    wanted.shard_count = (uint32_t)codec_get_bounded(&reader, UINT32_MAX);
    wanted.is_witness = codec_get_bounded(&reader, 1) != 0;
    wanted.was_unclean = codec_get_bounded(&reader, 1) != 0;
    wanted.was_set_back = codec_get_bounded(&reader, 1) != 0;
    wanted.has_lost_data = codec_get_bounded(&reader, 1) != 0;
    /* The coordinator is caught up, and has no session with itself. */
    wanted.starts_fenced = !uuid_equal(&operation->origin, &node->options.self.broker);
    return codec_reader_is_done(&reader) ? decide_broker_register(image, &wanted, decision) : MESH_EPROTO;
}

static int broker_retire(const struct image *image, struct slice body, const struct decide_facts *facts, struct decision *decision)
{
    struct codec_reader reader = codec_reader_of(body);
    struct decide_broker_retire wanted = {.facts = facts};

    wanted.broker_id = codec_get_uuid(&reader);
    wanted.accepts_loss = codec_get_bounded(&reader, 1) != 0;
    wanted.is_alive_ok = codec_get_bounded(&reader, 1) != 0;
    return codec_reader_is_done(&reader) ? decide_broker_retire(image, &wanted, decision) : MESH_EPROTO;
}

static int elect_leader(const struct image *image, struct slice body, bool is_preferred, const struct decide_facts *facts, struct decision *decision)
{
    struct codec_reader reader = codec_reader_of(body);
    struct uuid topic_id = codec_get_uuid(&reader);
    uint32_t partition = (uint32_t)codec_get_bounded(&reader, IMAGE_TOPIC_PARTITIONS_MAX);

    if (!codec_reader_is_done(&reader)) return MESH_EPROTO;
    return is_preferred ? decide_prefer_leader(image, &topic_id, partition, facts, decision)
                        : decide_elect_leader(image, &topic_id, partition, facts, decision);
}

/* ---- the id ---- */

/* Not what is the same however often it is done in order: a broker's states, and what names the epoch that it was made from. */
bool node_operation_leaves_id(enum node_op op)
{
    return op != NODE_OP_REGISTER && op != NODE_OP_DRAIN && op != NODE_OP_ALTER_PARTITIONS && op != NODE_OP_REPLICAS_LOST &&
           op != NODE_OP_DELETE_RECORDS;
}

int node_operation_add_id(const struct operation *operation, struct decision *decision, const struct answer *answer)
{
    struct buffer result = BUFFER_INIT;
    struct codec_writer writer = {.to = &result};
    int err;

    if (!node_operation_leaves_id(operation->op)) return 0;
    codec_put_uuid(&writer, &answer->topic_id);
    codec_put_zigzag(&writer, answer->first_id);
    codec_put_varint(&writer, answer->id_count);
    err = writer.error;
    if (err == 0)
        err = decision_add_request(decision, &operation->origin, operation->boot, operation->sequence, answer->error, buffer_slice(&result));
    buffer_deinit(&result);
    return err;
}

void node_operation_read_result(struct slice result, struct answer *answer)
{
    struct codec_reader reader = codec_reader_of(result);

    answer->topic_id = codec_get_uuid(&reader);
    answer->first_id = codec_get_zigzag(&reader);
    answer->id_count = (uint32_t)codec_get_bounded(&reader, NODE_PRODUCER_IDS_MAX);
}

/* ---- all ---- */

static int decide(struct node *node, const struct image *image, const struct operation *operation, const struct decide_facts *facts,
                  struct decision *decision, struct answer *answer)
{
    switch (operation->op) {
    case NODE_OP_TOPIC_CREATE:
    case NODE_OP_TOPIC_CREATE_AT: return topic_create(node, image, operation->body, facts, decision, answer);
    case NODE_OP_TOPIC_ALTER: return topic_alter(image, operation->body, facts, decision, answer);
    case NODE_OP_TOPIC_DELETE: return topic_delete(image, operation->body, decision, answer);
    case NODE_OP_TOPIC_DELETE_ID: return topic_delete_id(image, operation->body, decision, answer);
    case NODE_OP_GROUPS_TOPIC: return groups_topic(node, image, operation->body, facts, decision, answer);
    case NODE_OP_PRODUCER_IDS: return producer_ids(image, &operation->origin, operation->body, decision, answer);
    case NODE_OP_REGISTER: return broker_register(node, image, operation, facts, decision);
    case NODE_OP_DRAIN: return decide_broker_drain(image, &operation->origin, false, facts, decision);
    case NODE_OP_BROKER_RETIRE: return broker_retire(image, operation->body, facts, decision);
    case NODE_OP_ELECT_LEADER: return elect_leader(image, operation->body, false, facts, decision);
    case NODE_OP_PREFER_LEADER: return elect_leader(image, operation->body, true, facts, decision);
    case NODE_OP_ALTER_PARTITIONS:
    case NODE_OP_REPLICAS_LOST:
    case NODE_OP_DELETE_RECORDS:
    case NODE_OP_REPORT:
    case NODE_OP_RECOVER:
    case NODE_OP_MOVE:
    case NODE_OP_TOPIC_BALANCE: return node_operation_replicas(node, image, operation, facts, decision);
    case NODE_OP_USER_SET:
    case NODE_OP_USER_ADD:
    case NODE_OP_USER_REPLACE:
    case NODE_OP_USER_REMOVE:
    case NODE_OP_ACL_ADD:
    case NODE_OP_ACL_REMOVE: return node_operation_decide_access(image, operation, decision);
    }
    snprintf(decision->message, sizeof(decision->message), "the coordinator does not know this operation: it runs an older version of mesh");
    return MESH_EUNSUPPORTED;
}

int node_operation_decide(struct node *node, const struct image *image, const struct operation *operation, struct decision *decision,
                          struct answer *answer)
{
    struct decide_facts facts;
    int err;

    node_facts_init(node, image, &facts);
    err = decide(node, image, operation, &facts, decision, answer);
    node_facts_deinit(&facts);
    return err;
}
