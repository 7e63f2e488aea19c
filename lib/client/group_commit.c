/* What counts as handled, and committing it. */
#include "client/group.h"

#include "base/clock.h"
#include "client/pool.h"
#include "wire/message_group.h"

#include <stdlib.h>

/* ---- what polls have returned ---- */

void group_note_polled(struct assignment *assignment)
{
    struct consumer_group *group = assignment->consumer->group;

    if (group != NULL && list_is_empty(&assignment->polled_node)) list_push_back(&group->polled, &assignment->polled_node);
}

int group_store_polled(struct consumer_group *group)
{
    struct list_node *node;
    int err = 0, failed;

    if (group->consumer->pool != NULL && group->options.delivery == GROUP_AT_LEAST_ONCE) return pool_store(group->consumer->pool);
    while ((node = list_pop_front(&group->polled)) != NULL) {
        struct assignment *assignment = container_of(node, struct assignment, polled_node);

        if (assignment->position < 0) continue;
        failed = consumer_member_store(group->member, &assignment->topic_id, assignment->partition, (uint64_t)assignment->position, assignment->position_epoch,
                                       slice_of(NULL, 0));
        if (err == 0) err = failed;
    }
    return err;
}

/* ---- the application's own ---- */

static struct assignment *find(const struct mesh_consumer *consumer, const char *topic, int32_t partition)
{
    return consumer->group == NULL ? NULL : consumer_find(consumer, topic, partition);
}

static int not_owner(const struct mesh_consumer *consumer, const char *topic, int32_t partition)
{
    return client_fail(consumer->client, MESH_ENOT_OWNER, "partition %d of topic \"%s\" is not this consumer's", partition, topic != NULL ? topic : "");
}

int mesh_consumer_store(struct mesh_consumer *consumer, const char *topic, int32_t partition, int64_t offset, const char *metadata)
{
    struct assignment *assignment = find(consumer, topic, partition);
    int err;

    if (consumer->group == NULL || offset < 0) return client_fail(consumer->client, MESH_EINVAL, "only a subscribed consumer stores offsets, from 0 on");
    if (assignment == NULL) return not_owner(consumer, topic, partition);
    if (consumer->pool != NULL) return client_fail(consumer->client, MESH_EINVAL, "what the pool's handlers return is what counts as handled");
    err = consumer_member_store(consumer->group->member, &assignment->topic_id, assignment->partition, (uint64_t)offset,
                                offset == assignment->position ? assignment->position_epoch : -1, slice_of_string(metadata != NULL ? metadata : ""));
    if (err == MESH_ENOT_OWNER) return not_owner(consumer, topic, partition);
    if (err != 0) return client_fail(consumer->client, err, "%s", mesh_strerror(err));
    client_mark(consumer->client, &consumer->group->pump);
    return 0;
}

int mesh_consumer_fencing_token(const struct mesh_consumer *consumer, const char *topic, int32_t partition, uint64_t *ret_token)
{
    const struct assignment *assignment = find(consumer, topic, partition);

    if (assignment == NULL) return not_owner(consumer, topic, partition);
    *ret_token = assignment->claimed_in;
    return 0;
}

/* ---- committing ---- */

static struct group_waiter *first_up_to(struct consumer_group *group, uint64_t ticket)
{
    list_for_each(node, &group->waiters)
    {
        struct group_waiter *waiter = container_of(node, struct group_waiter, node);
        if (waiter->ticket <= ticket) return waiter;
    }
    return NULL;
}

/* A callback may ask for commits, and wait for them: so the list is looked at from its beginning each time. */
void group_committed_up_to(struct consumer_group *group, uint64_t ticket, int error)
{
    struct group_waiter *waiter;
    bool was_turning = group->is_turning;

    while ((waiter = first_up_to(group, ticket)) != NULL) {
        list_remove(&waiter->node);
        group->is_turning = true;
        if (waiter->done != NULL) waiter->done(waiter->user, error != 0 ? error : waiter->error);
        group->is_turning = was_turning;
        free(waiter);
    }
}

int group_commit_ask(struct consumer_group *group, mesh_commit_fn *done, void *user)
{
    struct group_waiter *waiter;

    if (group->is_ending) return MESH_ECANCELED;
    waiter = calloc(1, sizeof(*waiter));
    if (waiter == NULL) return MESH_ENOMEM;
    if (group->options.delivery == GROUP_AT_LEAST_ONCE) waiter->error = group_store_polled(group); /* not this member's any more: not committed */
    waiter->ticket = consumer_member_commit(group->member);
    waiter->done = done;
    waiter->user = user;
    list_push_back(&group->waiters, &waiter->node);
    client_mark(group->consumer->client, &group->pump);
    return 0;
}

int mesh_consumer_commit_async(struct mesh_consumer *consumer, mesh_commit_fn *done, void *user)
{
    int err;

    if (consumer->group == NULL) return client_fail(consumer->client, MESH_EINVAL, "the consumer is not subscribed");
    err = group_commit_ask(consumer->group, done, user);
    if (err != 0) return client_fail(consumer->client, err, "%s", mesh_strerror(err));
    if (!consumer->client->is_dispatching) client_pump(consumer->client);
    return 0;
}

void group_commit_note(void *user, int error)
{
    struct group_commit_wait *wait = user;

    wait->is_done = true;
    wait->error = error;
}

/* Only commits are taken here: what else came about waits for a poll, for the application is in the middle of something. */
static bool is_done(void *user)
{
    struct group_commit_wait *wait = user;
    struct consumer_member_change change;

    while (consumer_member_next_commit(wait->group->member, &change))
        group_committed_up_to(wait->group, change.ticket, change.error);
    return wait->is_done;
}

static void forget_waiter(struct consumer_group *group, const struct group_commit_wait *wait)
{
    list_for_each_safe(node, &group->waiters)
    {
        struct group_waiter *waiter = container_of(node, struct group_waiter, node);

        if (waiter->user != wait) continue;
        list_remove(&waiter->node);
        free(waiter);
    }
}

int group_commit_wait(struct consumer_group *group, uint64_t deadline_ms)
{
    struct mesh_client *client = group->consumer->client;
    struct group_commit_wait wait = {group, false, 0};
    int err = group_commit_ask(group, group_commit_note, &wait);

    if (err != 0) return client_fail(client, err, "%s", mesh_strerror(err));
    err = client_run(client, is_done, &wait, deadline_ms);
    if (!wait.is_done) forget_waiter(group, &wait);
    if (err == MESH_ETIMEDOUT) {
        struct consumer_member_view view = consumer_member_view(group->member);
        return client_fail(client, err, "the commit was not acknowledged in time%s%s; it goes on", view.trouble != 0 ? ": " : "",
                           view.trouble != 0 ? mesh_strerror(view.trouble) : "");
    }
    if (err != 0) return err;
    return wait.error == 0 ? 0 : client_fail(client, wait.error, "not all offsets were committed: %s", mesh_strerror(wait.error));
}

int mesh_consumer_commit(struct mesh_consumer *consumer)
{
    struct mesh_client *client = consumer->client;

    if (consumer->group == NULL) return client_fail(client, MESH_EINVAL, "the consumer is not subscribed");
    if (client->is_dispatching) return client_fail(client, MESH_EINVAL, "a callback may not call a function that waits");
    return group_commit_wait(consumer->group, client_deadline(client, client->timeout_ms));
}

/* ---- what is committed ---- */

static int take_committed(struct slice message, const struct assignment *assignment, int64_t *ret_offset)
{
    struct message_group_response response = {0};
    int err = message_decode_group_response(message, &response);

    if (err == 0) err = response.error;
    *ret_offset = -1;
    for (size_t t = 0; err == 0 && t < response.topic_count; t++)
        for (size_t i = 0; i < response.topics[t].partition_count; i++)
            if (response.topics[t].partitions[i] == assignment->partition && uuid_equal(&response.topics[t].topic_id, &assignment->topic_id) &&
                response.topics[t].offset_count > 0)
                *ret_offset = response.topics[t].offsets[i];
    message_deinit_group_response(&response);
    return err;
}

int mesh_consumer_committed(struct mesh_consumer *consumer, const char *topic, int32_t partition, int64_t *ret_offset)
{
    struct mesh_client *client = consumer->client;
    struct assignment *assignment = find(consumer, topic, partition);
    struct buffer answer = BUFFER_INIT;
    struct call *call = NULL;
    struct message_group_partitions partitions = {.partition_count = 1};
    struct message_group_offsets offsets = {.topics = &partitions, .topic_count = 1};
    uint32_t number;
    int err;

    if (assignment == NULL) return not_owner(consumer, topic, partition);
    number = assignment->partition;
    partitions.topic_id = assignment->topic_id;
    partitions.partitions = &number;
    offsets.head = (struct message_group_head){.group = slice_of_string(consumer->group->options.group), .forwards = true, .epoch = -1};
    err = call_new(client, FRAME_OP_GROUP_OFFSETS, NULL, NULL, &call);
    if (err != 0) return client_fail(client, err, "%s", mesh_strerror(err));
    err = message_encode_group_offsets(&call->message, &offsets);
    if (err != 0) {
        call_free(call);
        return client_fail(client, err, "%s", mesh_strerror(err));
    }
    err = call_wait(call, &answer);
    if (err == 0) {
        err = take_committed(buffer_slice(&answer), assignment, ret_offset);
        if (err != 0) client_fail(client, err, "the group's offsets could not be read: %s", mesh_strerror(err));
    }
    buffer_deinit(&answer);
    return err;
}
