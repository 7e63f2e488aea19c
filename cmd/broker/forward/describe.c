/* forward/describe.c - see describe.h. */
#include "cmd/broker/forward/describe.h"

#include "base/error.h"
#include "cmd/broker/forward/call.h"
#include "cmd/broker/forward/forward.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/runtime/long_memory.h"
#include "cmd/broker/runtime/shard.h"

#include <stdio.h>
#include <stdlib.h>

#define PROBLEM_SIZE 160

/* One request to one leader. */
struct leader_ask {
    struct forward_call call;
    struct forward_describe *describe;
    struct leader_ask *next;
    struct map_node by_leader;
    int32_t leader;
    bool is_listed;           /* in the map: more may be added */
    struct buffer topics;     /* size_t: their places in the response, in the order of the request */
    struct buffer partitions; /* struct message_partition *: what is hoped for */
    struct buffer head;
    char problem[PROBLEM_SIZE];
};

struct forward_describe {
    struct control *control;
    struct message_topic_response *response;
    struct leader_ask *asks;
    struct map by_leader;
    uint32_t remaining;
    control_done_fn *done;
    void *user;
};

/* ---- what to ask whom ---- */

static size_t ask_topic_count(const struct leader_ask *ask)
{
    return ask->topics.size / sizeof(size_t);
}

static size_t ask_topic(const struct leader_ask *ask, size_t i)
{
    return ((const size_t *)(const void *)ask->topics.data)[i];
}

static void unlist(struct leader_ask *ask)
{
    if (ask->is_listed) map_remove(&ask->describe->by_leader, &ask->by_leader);
    ask->is_listed = false;
}

static struct leader_ask *new_ask(struct forward_describe *describe, const struct image_broker *leader)
{
    struct leader_ask *ask = calloc(1, sizeof(*ask));

    if (ask == NULL) return NULL;
    ask->describe = describe;
    ask->leader = leader->node_id;
    ask->call.broker = leader->broker_id;
    ask->next = describe->asks;
    describe->asks = ask;
    describe->remaining++;
    ask->is_listed = map_insert(&describe->by_leader, &ask->by_leader, (uint64_t)leader->node_id) == 0;
    return ask->is_listed ? ask : NULL;
}

static struct leader_ask *find_ask(const struct forward_describe *describe, int32_t leader)
{
    struct map_node *node = map_find(&describe->by_leader, (uint64_t)leader);

    return node == NULL ? NULL : container_of(node, struct leader_ask, by_leader); /* the hash is the whole key */
}

static int add_partition(struct forward_describe *describe, const struct image_broker *leader, size_t topic, struct message_partition *partition)
{
    struct leader_ask *ask = find_ask(describe, leader->node_id);
    size_t count = ask == NULL ? 0 : ask_topic_count(ask);
    bool is_known = count > 0 && ask_topic(ask, count - 1) == topic;
    int err = 0;

    if (ask != NULL && !is_known && count == MESSAGE_ENTRIES_MAX) {
        unlist(ask);
        ask = NULL;
    }
    if (ask == NULL) ask = new_ask(describe, leader);
    if (ask == NULL) return MESH_ENOMEM;
    if (!is_known) err = buffer_append(&ask->topics, &topic, sizeof(topic));
    return err != 0 ? err : buffer_append(&ask->partitions, &partition, sizeof(partition));
}

static int add_topic(struct forward_describe *describe, const struct image *image, size_t topic)
{
    struct message_topic *described = &describe->response->topics[topic];
    int32_t last = IMAGE_NO_LEADER;
    const struct image_broker *leader = NULL;
    int err = 0;

    for (size_t i = 0; i < described->partition_count && err == 0; i++) {
        struct message_partition *partition = &described->partitions[i];

        if (partition->leader == describe->control->node_id) continue;
        if (partition->leader != last) leader = image_find_broker(image, partition->leader);
        last = partition->leader;
        if (leader != NULL)
            err = add_partition(describe, leader, topic, partition);
        else
            partition->error = MESH_EUNREACHABLE;
    }
    return err;
}

static int encode_ask(struct leader_ask *ask)
{
    static const uint8_t room[FRAME_HEADER_SIZE];
    struct message_topic_describe body = {.with_offsets = true, .name_count = ask_topic_count(ask)};
    int err = buffer_append(&ask->head, room, sizeof(room));

    body.names = calloc(body.name_count, sizeof(body.names[0]));
    if (body.names == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < body.name_count; i++)
        body.names[i] = ask->describe->response->topics[ask_topic(ask, i)].name;
    if (err == 0) err = message_encode_topic_describe(&ask->head, &body);
    free(body.names);
    return err;
}

int forward_describe_new(struct control *control, struct message_topic_response *response, struct forward_describe **ret_describe)
{
    const struct image *image = metadata_image(control->metadata);
    struct forward_describe *describe = calloc(1, sizeof(*describe));
    int err = 0;

    if (describe == NULL) return MESH_ENOMEM;
    describe->control = control;
    describe->response = response;
    describe->by_leader = (struct map)MAP_INIT;
    for (size_t i = 0; i < response->topic_count && err == 0; i++)
        if (response->topics[i].error == 0) err = add_topic(describe, image, i);
    for (struct leader_ask *ask = describe->asks; ask != NULL && err == 0; ask = ask->next)
        err = encode_ask(ask);
    if (err != 0 || describe->asks == NULL) {
        forward_describe_free(describe);
        describe = NULL;
    }
    if (err == 0) *ret_describe = describe;
    return err;
}

void forward_describe_free(struct forward_describe *describe)
{
    if (describe == NULL) return;
    while (describe->asks != NULL) {
        struct leader_ask *ask = describe->asks;

        describe->asks = ask->next;
        unlist(ask);
        buffer_deinit(&ask->topics);
        buffer_deinit(&ask->partitions);
        buffer_deinit(&ask->head);
        free(ask);
    }
    map_deinit(&describe->by_leader);
    free(describe);
}

/* ---- what they say ---- */

static void set_problem(struct leader_ask *ask, int error)
{
    if (error == MESH_ETIMEDOUT || error == MESH_EUNREACHABLE)
        snprintf(ask->problem, sizeof(ask->problem), "its leader, broker %d, does not answer: how far it goes is not known", ask->leader);
    else
        snprintf(ask->problem, sizeof(ask->problem), "its leader, broker %d, cannot say how far it goes: %s", ask->leader, mesh_strerror(error));
}

static void fail_partitions(struct leader_ask *ask, int error)
{
    struct message_partition **partitions = (struct message_partition **)(void *)ask->partitions.data;

    set_problem(ask, error);
    if (error == MESH_ETIMEDOUT || !mesh_error_is_retriable(error)) error = MESH_EUNREACHABLE;
    for (size_t i = 0; i < ask->partitions.size / sizeof(partitions[0]); i++) {
        partitions[i]->error = error;
        partitions[i]->problem = ask->problem;
    }
}

/* Its replicas may stand in another order than here. */
static void take_missing(struct message_partition *to, const struct message_partition *from)
{
    if (to->missing_bytes == NULL || from->missing_record_count != from->replica_count || from->missing_byte_count != from->replica_count ||
        from->replica_count == 0)
        return;
    to->missing_record_count = to->missing_byte_count = to->replica_count;
    for (size_t i = 0; i < to->replica_count; i++) {
        for (size_t k = 0; k < from->replica_count; k++) {
            if (from->replicas[k] != to->replicas[i]) continue;
            to->missing_records_plus_one[i] = from->missing_records_plus_one[k];
            to->missing_bytes[i] = from->missing_bytes[k];
        }
    }
}

static void take_partition(const struct leader_ask *ask, struct message_topic *topic, const struct message_partition *from)
{
    struct message_partition *to;

    if (from->partition >= topic->partition_count) return;
    to = &topic->partitions[from->partition];
    if (to->partition != from->partition || to->leader != ask->leader || to->problem != ask->problem) return; /* another's, or told twice */
    to->high_watermark = from->high_watermark;
    to->log_start = from->log_start;
    to->log_end = from->log_end;
    to->size_bytes = from->size_bytes;
    take_missing(to, from);
    to->error = from->error;
    to->problem = NULL;
}

static int take_answer(struct leader_ask *ask)
{
    struct message_topic_response answer;
    int err = message_decode_topic_response(ask->call.message, &answer);

    if (err != 0) return err;
    if (answer.topic_count != ask_topic_count(ask)) err = MESH_EPROTO;
    for (size_t i = 0; i < answer.topic_count && err == 0; i++) {
        struct message_topic *topic = &ask->describe->response->topics[ask_topic(ask, i)];

        if (!uuid_equal(&answer.topics[i].topic_id, &topic->topic_id)) continue; /* not known there yet, or not any more */
        for (size_t j = 0; j < answer.topics[i].partition_count; j++)
            take_partition(ask, topic, &answer.topics[i].partitions[j]);
    }
    message_deinit_topic_response(&answer);
    return err;
}

static void ask_home(struct mail *mail)
{
    struct forward_call *call = container_of(mail, struct forward_call, mail);
    struct forward_describe *describe = container_of(call, struct leader_ask, call)->describe;

    if (--describe->remaining == 0) describe->done(describe->user);
}

/* On the call's shard. */
static void ask_done(struct forward_call *call)
{
    struct leader_ask *ask = container_of(call, struct leader_ask, call);
    int err = call->error;

    fail_partitions(ask, err != 0 ? err : MESH_ENOT_LEADER); /* of what the answer does not say */
    if (err == 0) err = take_answer(ask);
    if (err != 0 && call->error == 0) fail_partitions(ask, err);
    long_memory_give(call->answer);
    call->mail.deliver = ask_home;
    mailbox_post(forward_mailbox(ask->describe->control->forward), &call->mail);
}

void forward_describe_send(struct forward_describe *describe, control_done_fn *done, void *user)
{
    struct control *control = describe->control;
    uint32_t turn = 0;

    describe->done = done;
    describe->user = user;
    for (struct leader_ask *ask = describe->asks, *next; ask != NULL; ask = next) {
        next = ask->next;
        ask->call.op = FRAME_OP_TOPIC_DESCRIBE;
        ask->call.expects_answer = true;
        ask->call.timeout_ms = FORWARD_DESCRIBE_MS;
        ask->call.head = ask->head.data;
        ask->call.message_size = ask->head.size - FRAME_HEADER_SIZE;
        ask->call.done = ask_done;
        forward_submit(control->shards[turn++ % control->shard_count], &ask->call); /* answers are read there */
    }
}

/* ---- the other end ---- */

static int describe_led(struct arena *arena, const struct image_topic *topic, int32_t node_id, struct message_topic *message)
{
    struct image_partition partition;
    size_t count = 0;

    message->topic_id = topic->topic_id;
    for (uint32_t i = 0; image_topic_partition(topic, i, &partition); i++)
        count += partition.leader == node_id;
    if (count == 0) return 0;
    message->partitions = arena_alloc(arena, count, sizeof(message->partitions[0]));
    if (message->partitions == NULL) return MESH_ENOMEM;
    for (uint32_t i = 0; image_topic_partition(topic, i, &partition); i++) {
        struct message_partition *to = &message->partitions[message->partition_count];

        if (partition.leader != node_id) continue;
        to->partition = i;
        to->leader = node_id;
        to->leader_epoch = partition.leader_epoch;
        message->partition_count++;
        if (partition.replica_count > 1 && describe_replicas(arena, &partition, to) != 0) return MESH_ENOMEM;
    }
    return 0;
}

int forward_describe_led(struct description *description, const struct image *image, int32_t node_id, const struct message_topic_describe *request)
{
    struct message_topic_response *response = &description->topics;
    int err = request->all ? MESH_EPROTO : 0;

    if (err != 0 || request->name_count == 0) return err;
    response->topics = arena_alloc(&description->arena, request->name_count, sizeof(response->topics[0]));
    if (response->topics == NULL) return MESH_ENOMEM;
    response->topic_count = request->name_count;
    for (size_t i = 0; i < request->name_count && err == 0; i++) {
        const struct image_topic *topic = image_find_topic_by_name(image, request->names[i]);

        if (topic == NULL)
            response->topics[i].error = MESH_EUNKNOWN_TOPIC;
        else
            err = describe_led(&description->arena, topic, node_id, &response->topics[i]);
    }
    return err;
}
