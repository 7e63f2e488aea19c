/* metadata/metadata_requests.c - what can be asked to change: topics, and blocks of producer ids. */
#include "base/error.h"
#include "cmd/broker/metadata/metadata_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_US (METADATA_TIMEOUT_MS * 1000ull)

/* ---- answers ---- */

static void request_tell(struct metadata *metadata, struct metadata_request *request)
{
    const struct image_topic *topic = NULL;

    if (request->is_told) return;
    request->is_told = true;
    if (request->error != 0 && request->text[0] == '\0') snprintf(request->text, sizeof(request->text), "%s", mesh_strerror(request->error));
    if (request->plain_done != NULL) {
        request->plain_done(request->user, request->error, request->text);
    } else if (request->ids_done != NULL) {
        request->ids_done(request->user, request->error, request->first_id, request->id_count);
    } else if (request->results_done != NULL) {
        request->results_done(request->user, request->error, buffer_slice(&request->results));
    } else if (request->deletions_done != NULL) {
        request->deletions_done(request->user, request->error, request->text, buffer_slice(&request->results));
    } else {
        if (request->error == 0 && !uuid_is_zero(&request->topic_id)) {
            topic = image_find_topic(node_image(metadata->node), &request->topic_id);
            if (topic == NULL) topic = request->before;
        }
        request->topic_done(request->user, request->error, request->text, topic);
    }
}

static void request_free(struct metadata_request *request)
{
    image_topic_unref(request->before);
    buffer_deinit(&request->results);
    free(request);
}

void metadata_note_answer(struct metadata *metadata, const struct node_output *output)
{
    struct metadata_request *request = (struct metadata_request *)(uintptr_t)output->cookie;

    list_remove(&request->node);
    list_push_back(&metadata->answered, &request->node);
    request->error = output->error;
    request->topic_id = output->topic_id;
    request->first_id = output->first_id;
    request->id_count = output->id_count;
    if (output->bytes.size > 0 && buffer_append(&request->results, output->bytes.data, output->bytes.size) != 0) request->error = MESH_ENOMEM;
    snprintf(request->text, sizeof(request->text), "%s", output->text == NULL ? "" : output->text);
}

void metadata_tell_answered(struct metadata *metadata)
{
    struct list_node *node;

    while ((node = list_pop_front(&metadata->answered)) != NULL) {
        struct metadata_request *request = container_of(node, struct metadata_request, node);

        request_tell(metadata, request);
        request_free(request);
    }
}

void metadata_fail_requests(struct metadata *metadata, int error)
{
    list_for_each(node, &metadata->requests)
    {
        struct metadata_request *request = container_of(node, struct metadata_request, node);

        if (request->is_told) continue;
        request->error = error;
        request_tell(metadata, request);
    }
}

void metadata_drop_requests(struct metadata *metadata)
{
    struct list_node *node;

    while ((node = list_pop_front(&metadata->requests)) != NULL) {
        struct metadata_request *request = container_of(node, struct metadata_request, node);

        request->error = MESH_ESHUTDOWN;
        list_push_back(&metadata->answered, &request->node);
    }
    metadata_tell_answered(metadata);
}

/* ---- asking ---- */

/* Takes `request` (NULL: there was no memory for it) and `body`, which was made with error `err`. What cannot even be asked is
 * answered with the others. */
static void ask(struct metadata *metadata, struct metadata_request *request, enum node_op op, struct buffer *body, int err)
{
    if (err == 0 && metadata->is_closing) err = MESH_ESHUTDOWN;
    if (err == 0) err = metadata_error(metadata);
    list_push_back(&metadata->requests, &request->node);
    if (err == 0)
        err = node_request(metadata->node, metadata_now_us(), op, buffer_slice(body), TIMEOUT_US, (uint64_t)(uintptr_t)request);
    buffer_deinit(body);
    if (err != 0) {
        list_remove(&request->node);
        request->error = err;
        request_tell(metadata, request);
        request_free(request);
        return;
    }
    metadata_drive(metadata);
}

static struct metadata_request *topic_request(metadata_topic_fn *done, void *user)
{
    struct metadata_request *request = calloc(1, sizeof(*request));

    if (request == NULL) {
        done(user, MESH_ENOMEM, mesh_strerror(MESH_ENOMEM), NULL);
        return NULL;
    }
    request->topic_done = done;
    request->user = user;
    return request;
}

void metadata_topic_create(struct metadata *metadata, const struct message_topic_create *create, metadata_topic_fn *done, void *user)
{
    struct metadata_request *request;
    struct buffer body = BUFFER_INIT;

    request = topic_request(done, user);
    if (request == NULL) return;
    ask(metadata, request, create->replica_count > 0 ? NODE_OP_TOPIC_CREATE_AT : NODE_OP_TOPIC_CREATE, &body, message_encode_topic_create(&body, create));
}

void metadata_groups_topic(struct metadata *metadata, metadata_topic_fn *done, void *user)
{
    struct metadata_request *request = topic_request(done, user);
    struct buffer body = BUFFER_INIT;

    if (request != NULL) ask(metadata, request, NODE_OP_GROUPS_TOPIC, &body, 0);
}

void metadata_topic_alter(struct metadata *metadata, const struct message_topic_alter *alter, metadata_topic_fn *done, void *user)
{
    struct metadata_request *request;
    struct buffer body = BUFFER_INIT;

    request = topic_request(done, user);
    if (request == NULL) return;
    ask(metadata, request, NODE_OP_TOPIC_ALTER, &body, message_encode_topic_alter(&body, alter));
}

void metadata_topic_delete(struct metadata *metadata, const struct message_topic_delete *delete, metadata_topic_fn *done, void *user)
{
    struct metadata_request *request = topic_request(done, user);
    struct buffer body = BUFFER_INIT;
    const struct image_topic *topic;

    if (request == NULL) return;
    topic = delete->name == NULL ? NULL : image_find_topic_by_name(node_image(metadata->node), delete->name);
    if (topic != NULL) request->before = image_topic_ref(topic);
    ask(metadata, request, NODE_OP_TOPIC_DELETE, &body, message_encode_topic_delete(&body, delete));
}

void metadata_topic_delete_id(struct metadata *metadata, const struct uuid *topic_id, metadata_topic_fn *done, void *user)
{
    struct metadata_request *request = topic_request(done, user);
    struct buffer body = BUFFER_INIT;
    const struct image_topic *topic;

    if (request == NULL) return;
    topic = image_find_topic(node_image(metadata->node), topic_id);
    if (topic != NULL) request->before = image_topic_ref(topic);
    ask(metadata, request, NODE_OP_TOPIC_DELETE_ID, &body, node_encode_topic(&body, topic_id));
}

void metadata_elect(struct metadata *metadata, const struct uuid *topic_id, uint32_t partition, bool is_preferred, metadata_elected_fn *done, void *user)
{
    struct buffer body = BUFFER_INIT;
    int err = node_encode_elect(&body, topic_id, partition);

    metadata_request_plain(metadata, is_preferred ? NODE_OP_PREFER_LEADER : NODE_OP_ELECT_LEADER, &body, err, done, user);
}

void metadata_allocate_producer_ids(struct metadata *metadata, uint32_t count, metadata_producer_ids_fn *done, void *user)
{
    struct metadata_request *request = calloc(1, sizeof(*request));
    struct buffer body = BUFFER_INIT;

    if (request == NULL) {
        done(user, MESH_ENOMEM, 0, 0);
        return;
    }
    request->ids_done = done;
    request->user = user;
    ask(metadata, request, NODE_OP_PRODUCER_IDS, &body, node_encode_producer_ids(&body, count));
}

void metadata_request_plain(struct metadata *metadata, enum node_op op, struct buffer *body, int err, metadata_plain_fn *done, void *user)
{
    struct metadata_request *request = calloc(1, sizeof(*request));

    if (request == NULL) {
        buffer_deinit(body);
        done(user, MESH_ENOMEM, mesh_strerror(MESH_ENOMEM));
        return;
    }
    request->plain_done = done;
    request->user = user;
    ask(metadata, request, op, body, err);
}

void metadata_request_retire(struct metadata *metadata, const struct uuid *broker, bool accepts_loss, metadata_plain_fn *done, void *user)
{
    struct buffer body = BUFFER_INIT;
    int err = node_encode_retire(&body, broker, accepts_loss, false);

    metadata_request_plain(metadata, NODE_OP_BROKER_RETIRE, &body, err, done, user);
}

static void ask_about_replicas(struct metadata *metadata, enum node_op op, struct slice body, metadata_results_fn *done, void *user)
{
    struct metadata_request *request = calloc(1, sizeof(*request));
    struct buffer copy = BUFFER_INIT;

    if (request == NULL) {
        done(user, MESH_ENOMEM, slice_of(NULL, 0));
        return;
    }
    request->results_done = done;
    request->user = user;
    ask(metadata, request, op, &copy, buffer_append(&copy, body.data, body.size));
}

void metadata_alter_partitions(struct metadata *metadata, struct slice body, metadata_results_fn *done, void *user)
{
    ask_about_replicas(metadata, NODE_OP_ALTER_PARTITIONS, body, done, user);
}

void metadata_replicas_lost(struct metadata *metadata, struct slice body, metadata_results_fn *done, void *user)
{
    ask_about_replicas(metadata, NODE_OP_REPLICAS_LOST, body, done, user);
}

void metadata_report_replicas(struct metadata *metadata, struct slice body, metadata_reported_fn *done, void *user)
{
    struct metadata_request *request = calloc(1, sizeof(*request));
    struct buffer copy = BUFFER_INIT;

    if (request == NULL) {
        done(user, MESH_ENOMEM, mesh_strerror(MESH_ENOMEM));
        return;
    }
    request->plain_done = done;
    request->user = user;
    ask(metadata, request, NODE_OP_REPORT, &copy, buffer_append(&copy, body.data, body.size));
}

void metadata_delete_records(struct metadata *metadata, struct slice body, metadata_deletions_fn *done, void *user)
{
    struct metadata_request *request = calloc(1, sizeof(*request));
    struct buffer copy = BUFFER_INIT;

    if (request == NULL) {
        done(user, MESH_ENOMEM, mesh_strerror(MESH_ENOMEM), slice_of(NULL, 0));
        return;
    }
    request->deletions_done = done;
    request->user = user;
    ask(metadata, request, NODE_OP_DELETE_RECORDS, &copy, buffer_append(&copy, body.data, body.size));
}
