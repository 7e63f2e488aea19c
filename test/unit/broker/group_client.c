#include "group_client.h"

#include <check.h>
#include <string.h>

static struct slice text_of(const char *text)
{
    return text == NULL ? slice_of(NULL, 0) : slice_of_string(text);
}

void group_client_init(struct group_client *client, struct raw_client *raw, const char *group, const char *member)
{
    *client = (struct group_client){.raw = raw, .group = group, .member = member, .epoch = -1};
}

static void forget_answer(struct group_client *client)
{
    message_deinit_group_response(&client->response);
    raw_frame_deinit(&client->frame);
    memset(&client->frame, 0, sizeof(client->frame));
}

void group_client_deinit(struct group_client *client)
{
    forget_answer(client);
}

struct message_group_head group_client_head(struct group_client *client, bool is_change)
{
    if (is_change) client->sequence++;
    return (struct message_group_head){.group = text_of(client->group),
                                       .forwards = true,
                                       .member = text_of(client->member),
                                       .instance = text_of(client->instance),
                                       .epoch = client->epoch,
                                       .sequence = client->sequence,
                                       .timeout_ms = 20000};
}

static int ask_once(struct group_client *client, uint16_t op, struct slice message)
{
    uint32_t id = raw_send(client->raw, op, message, slice_of(NULL, 0));

    forget_answer(client);
    ck_assert(raw_receive(client->raw, &client->frame));
    ck_assert_uint_eq(client->frame.header.correlation_id, id);
    ck_assert_uint_eq(client->frame.header.op, op);
    ck_assert_int_eq(message_decode_group_response(buffer_slice(&client->frame.message), &client->response), 0);
    ck_assert_int_eq(client->response.error, client->frame.error);
    if (client->response.route.epoch >= 0) client->epoch = client->response.route.epoch;
    if (client->response.error == 0 && client->response.generation > client->generation) client->generation = client->response.generation;
    return client->response.error;
}

int group_client_ask(struct group_client *client, uint16_t op, struct slice message)
{
    int err;

    do
        err = ask_once(client, op, message);
    while (err == MESH_EAGAIN || err == MESH_ENOT_LEADER || err == MESH_EBUSY || err == MESH_ENO_COORDINATOR || err == MESH_EUNREACHABLE);
    return err;
}

/* Takes `bytes`. */
static int ask_bytes(struct group_client *client, uint16_t op, int err, struct buffer *bytes)
{
    ck_assert_int_eq(err, 0);
    err = group_client_ask(client, op, buffer_slice(bytes));
    buffer_deinit(bytes);
    return err;
}

int group_client_join(struct group_client *client, const char *topic)
{
    struct slice name = text_of(topic);
    struct message_group_join join = {.head = group_client_head(client, true), .names = &name, .name_count = 1, .session_timeout_ms = 10000};
    struct buffer bytes = BUFFER_INIT;

    return ask_bytes(client, FRAME_OP_GROUP_JOIN, message_encode_group_join(&bytes, &join), &bytes);
}

int group_client_heartbeat(struct group_client *client, bool wants_work)
{
    struct message_group_heartbeat heartbeat = {.head = group_client_head(client, false), .generation = client->generation, .wants_work = wants_work};
    struct buffer bytes = BUFFER_INIT;

    return ask_bytes(client, FRAME_OP_GROUP_HEARTBEAT, message_encode_group_heartbeat(&bytes, &heartbeat), &bytes);
}

int group_client_change(struct group_client *client, uint16_t op, const struct uuid *topic, const uint32_t *partitions, size_t count)
{
    struct message_group_partitions list = {.partitions = (uint32_t *)(uintptr_t)partitions, .partition_count = count};
    struct message_group_change change = {.head = group_client_head(client, true), .generation = client->generation, .topics = &list};
    struct buffer bytes = BUFFER_INIT;

    if (topic != NULL) list.topic_id = *topic;
    if (topic != NULL) change.topic_count = 1;
    return ask_bytes(client, op, message_encode_group_change(&bytes, &change), &bytes);
}

int group_client_commit(struct group_client *client, const struct uuid *topic, uint32_t partition, int64_t offset)
{
    struct message_group_partitions list = {.topic_id = *topic, .partitions = &partition, .partition_count = 1, .offsets = &offset, .offset_count = 1};
    struct message_group_commit commit = {.head = group_client_head(client, true),
                                          .generation = client->member == NULL ? -1 : (int64_t)client->generation,
                                          .reset_epoch = -1,
                                          .topics = &list,
                                          .topic_count = 1};
    struct buffer bytes = BUFFER_INIT;

    return ask_bytes(client, FRAME_OP_GROUP_COMMIT, message_encode_group_commit(&bytes, &commit), &bytes);
}

int group_client_offsets(struct group_client *client, const struct uuid *topic, uint32_t partition)
{
    struct message_group_partitions list = {.partitions = &partition, .partition_count = 1};
    struct message_group_offsets offsets = {.head = group_client_head(client, false), .topics = &list};
    struct buffer bytes = BUFFER_INIT;

    if (topic != NULL) list.topic_id = *topic;
    if (topic != NULL) offsets.topic_count = 1;
    return ask_bytes(client, FRAME_OP_GROUP_OFFSETS, message_encode_group_offsets(&bytes, &offsets), &bytes);
}

int group_client_reset(struct group_client *client, const struct uuid *topic, uint32_t partition, int64_t offset, bool is_forced, bool is_dry)
{
    struct message_group_partitions list = {.topic_id = *topic, .partitions = &partition, .partition_count = 1, .offsets = &offset, .offset_count = 1};
    struct message_group_reset reset = {.head = group_client_head(client, false),
                                        .who = slice_of_string("a test"),
                                        .is_forced = is_forced,
                                        .is_dry = is_dry,
                                        .reset_epoch = -1,
                                        .topics = &list,
                                        .topic_count = 1};
    struct buffer bytes = BUFFER_INIT;

    return ask_bytes(client, FRAME_OP_GROUP_RESET, message_encode_group_reset(&bytes, &reset), &bytes);
}

void group_client_await_work(struct group_client *client, enum message_group_work kind, const struct uuid *topic, uint32_t *ret_partitions, size_t count)
{
    for (;;) {
        ck_assert_int_eq(group_client_heartbeat(client, true), 0);
        for (size_t i = 0; i < client->response.topic_count; i++) {
            const struct message_group_partitions *list = &client->response.topics[i];

            if (list->kind != kind || list->partition_count != count || !uuid_equal(&list->topic_id, topic)) continue;
            memcpy(ret_partitions, list->partitions, count * sizeof(*ret_partitions));
            return;
        }
    }
}
