/* broker/ops/groups.c - where the group's partition is led: on this shard, on another one, at another broker; or nowhere yet.
 *
 * A call holds a copy of the request, in memory of its home shard's pool, until it has its answer. It is sent on again, once, when a leader says that it
 * is none and the image has changed since: nothing was done then. Nothing else is repeated here: what may be done twice, only the asker knows. */
#include "cmd/broker/ops/groups.h"

#include "base/error.h"
#include "cmd/broker/forward/call.h"
#include "cmd/broker/forward/forward.h"
#include "cmd/broker/groups/serve.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/ops/produce_local.h"
#include "cmd/broker/runtime/long_memory.h"
#include "cmd/broker/runtime/shard.h"
#include "cmd/broker/spread/heard.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/coordinator/image.h"

#include <stdlib.h>

struct groups_call {
    struct mail mail;
    struct shard *home;
    struct produce_room room; /* of home's pool; holds this very struct */
    groups_done_fn *done;
    void *owner;
    uint64_t tag;
    struct message_group_head head; /* borrows from `bytes` */
    struct uuid topic_id;
    uint32_t number;      /* of the group's partition */
    uint64_t image_index; /* by which it was sent on */
    bool was_sent_again, was_topic_asked;
    bool wants_local;     /* what this broker knows is good enough */
    bool is_local;        /* ... and was not asked for yet */
    bool may_be_ahead;    /* nobody leads, or the leader does not answer: what a replica here has is the best there is */
    int unanswered;       /* why the leader gave no answer; 0: it was not asked, or did */
    bool has_answer;
    int error;            /* of making the topic */
    uint16_t op;
    struct groups_serve serve;
    struct forward_call forward;
    size_t size;
    uint8_t bytes[]; /* room for a frame's header, and the message */
};

/* ---- the end ---- */

static void call_finish(struct groups_call *call, struct slice answer)
{
    struct shard *home = call->home;
    struct produce_room room = call->room;

    call->done(call->owner, call->tag, answer);
    buffer_deinit(&call->serve.answer);
    long_memory_give(call->forward.answer);
    produce_room_release(home, &room);
}

static void call_refuse(struct groups_call *call, int error, const char *text)
{
    groups_answer_error(call->home->image, call->number, error, text, &call->serve.answer);
    call_finish(call, buffer_slice(&call->serve.answer));
}

static void call_route(struct groups_call *call);

/* Whether it is worth another try: nothing was done, and another leader may be known by now. */
static bool is_to_be_sent_again(const struct groups_call *call, int error)
{
    return error == MESH_ENOT_LEADER && !call->was_sent_again && image_applied_index(call->home->image) != call->image_index;
}

static void call_answered(struct groups_call *call, struct slice answer)
{
    if (!is_to_be_sent_again(call, groups_answer_peek(answer))) {
        call_finish(call, answer);
        return;
    }
    call->was_sent_again = true;
    long_memory_give(call->forward.answer);
    call->forward.answer = NULL;
    call_route(call);
}

/* ---- here ---- */

static void serve_home(struct mail *mail)
{
    struct groups_call *call = container_of(mail, struct groups_call, mail);

    call_answered(call, buffer_slice(&call->serve.answer));
}

static void on_served(struct groups_serve *serve)
{
    struct groups_call *call = container_of(serve, struct groups_call, serve);

    call->mail.deliver = serve_home;
    if (serve->request.shard == call->home)
        serve_home(&call->mail);
    else
        shard_post(call->home, &call->mail);
}

/* On the partition's shard. */
static void serve_arrives(struct mail *mail)
{
    struct groups_call *call = container_of(mail, struct groups_call, mail);
    struct broker *broker = call->home->broker;

    groups_serve_start(broker->shards[image_shard_of(&call->topic_id, call->number, broker->shard_count)], &call->serve, call->number,
                       call->head.timeout_ms);
}

static void heard_home(struct mail *mail)
{
    struct groups_call *call = container_of(mail, struct groups_call, mail);

    if (call->has_answer)
        call_finish(call, buffer_slice(&call->serve.answer));
    else
        call_route(call);
}

/* Control loop. */
static void heard_arrives(struct mail *mail)
{
    struct groups_call *call = container_of(mail, struct groups_call, mail);

    buffer_clear(&call->serve.answer);
    call->has_answer = heard_offsets(call->home->broker->control.spread, slice_of(call->bytes + FRAME_HEADER_SIZE, call->size), &call->serve.answer) == 0;
    call->mail.deliver = heard_home;
    shard_post(call->home, &call->mail);
}

/* Of offsets that live elsewhere this broker may have heard. */
static void local_home(struct mail *mail)
{
    struct groups_call *call = container_of(mail, struct groups_call, mail);

    if (call->has_answer) {
        call_finish(call, buffer_slice(&call->serve.answer));
    } else if (call->unanswered != 0) {
        call_refuse(call, call->unanswered, mesh_strerror(call->unanswered));
    } else if (call->op == FRAME_OP_GROUP_OFFSETS) {
        call->mail.deliver = heard_arrives;
        mailbox_post(forward_mailbox(call->home->broker->control.forward), &call->mail);
    } else {
        call_route(call);
    }
}

static void on_served_locally(struct groups_serve *serve)
{
    container_of(serve, struct groups_call, serve)->has_answer = true;
}

/* On the partition's shard. */
static void local_arrives(struct mail *mail)
{
    struct groups_call *call = container_of(mail, struct groups_call, mail);
    struct broker *broker = call->home->broker;
    struct shard *shard = broker->shards[image_shard_of(&call->topic_id, call->number, broker->shard_count)];

    (void)groups_serve_local(shard, &call->serve, call->number, call->may_be_ahead);
    call->mail.deliver = local_home;
    if (shard == call->home)
        local_home(&call->mail);
    else
        shard_post(call->home, &call->mail);
}

/* Where there is no replica, or one that is ahead of what is committed, the leader is asked after all. */
static void call_serve_locally(struct groups_call *call)
{
    struct broker *broker = call->home->broker;
    struct shard *shard = broker->shards[image_shard_of(&call->topic_id, call->number, broker->shard_count)];

    call->is_local = false;
    call->head.forwards = true;
    call->serve.op = call->op;
    call->serve.message = slice_of(call->bytes + FRAME_HEADER_SIZE, call->size);
    call->serve.done = on_served_locally;
    call->mail.deliver = local_arrives;
    if (shard == call->home)
        local_arrives(&call->mail);
    else
        shard_post(shard, &call->mail);
}

static void call_serve(struct groups_call *call)
{
    struct broker *broker = call->home->broker;
    struct shard *shard = broker->shards[image_shard_of(&call->topic_id, call->number, broker->shard_count)];

    call->serve.op = call->op;
    call->serve.message = slice_of(call->bytes + FRAME_HEADER_SIZE, call->size);
    call->serve.done = on_served;
    call->mail.deliver = serve_arrives;
    if (shard == call->home)
        serve_arrives(&call->mail);
    else
        shard_post(shard, &call->mail);
}

/* ---- elsewhere ---- */

static void on_forwarded(struct forward_call *forward)
{
    struct groups_call *call = container_of(forward, struct groups_call, forward);

    forward_note(forward, 0);
    if (forward->error != 0 && call->wants_local) {
        call->unanswered = forward->error;
        call->may_be_ahead = true;
        call_serve_locally(call);
    } else if (forward->error != 0)
        call_refuse(call, forward->error, mesh_strerror(forward->error));
    else if (forward->message.size == 0) /* something was done; what, is not said */
        call_refuse(call, MESH_ETIMEDOUT, mesh_strerror(MESH_ETIMEDOUT));
    else
        call_answered(call, forward->message);
}

static uint32_t timeout_of(const struct groups_call *call)
{
    uint32_t timeout_ms = call->head.timeout_ms == 0 ? GROUPS_TIMEOUT_MS : call->head.timeout_ms;

    return (timeout_ms < GROUPS_TIMEOUT_MS_MAX ? timeout_ms : GROUPS_TIMEOUT_MS_MAX) + FORWARD_SLACK_MS;
}

static void call_forward(struct groups_call *call, const struct uuid *broker)
{
    call->forward = (struct forward_call){.broker = *broker,
                                          .op = call->op,
                                          .expects_answer = true,
                                          .timeout_ms = timeout_of(call),
                                          .head = call->bytes,
                                          .message_size = call->size,
                                          .patience_ms = REQUEST_LOG_PATIENCE, /* members are waited for */
                                          .done = on_forwarded};
    forward_submit(call->home, &call->forward);
}

/* ---- nowhere yet ---- */

static void topic_home(struct mail *mail)
{
    struct groups_call *call = container_of(mail, struct groups_call, mail);

    if (call->error != 0)
        call_refuse(call, call->error, mesh_strerror(call->error));
    else
        call_route(call);
}

/* Control loop. The image that has the topic is on its way to the shard, in front of this mail. */
static void on_topic(void *user, int error, const char *message, const struct image_topic *topic)
{
    struct groups_call *call = user;

    (void)message;
    (void)topic;
    call->error = error;
    call->mail.deliver = topic_home;
    shard_post(call->home, &call->mail);
}

static void topic_arrives(struct mail *mail)
{
    struct groups_call *call = container_of(mail, struct groups_call, mail);
    struct control *control = &call->home->broker->control;

    if (control->is_ready)
        metadata_groups_topic(control->metadata, on_topic, call);
    else
        on_topic(call, MESH_EBUSY, "the broker is starting", NULL);
}

static void call_without_topic(struct groups_call *call)
{
    if (call->op == FRAME_OP_GROUP_JOIN || call->op == FRAME_OP_GROUP_COMMIT || call->op == FRAME_OP_GROUP_CLASSIC) {
        if (call->was_topic_asked) {
            call_refuse(call, MESH_EAGAIN, "the topic of consumer groups is not known here yet");
            return;
        }
        call->was_topic_asked = true;
        call->mail.deliver = topic_arrives;
        mailbox_post(&call->home->broker->control.mailbox, &call->mail);
        return;
    }
    if (call->head.epoch >= 0) /* somebody has led it: this broker is behind */
        call_refuse(call, MESH_EAGAIN, "the topic of consumer groups is not known here yet");
    else if (call->op == FRAME_OP_GROUP_HEARTBEAT || call->op == FRAME_OP_GROUP_LEAVE || call->op == FRAME_OP_GROUP_CLAIM || call->op == FRAME_OP_GROUP_RELEASE ||
             call->op == FRAME_OP_GROUP_CLASSIC_LOOK)
        call_refuse(call, MESH_EUNKNOWN_MEMBER, mesh_strerror(MESH_EUNKNOWN_MEMBER));
    else
        call_refuse(call, MESH_ENOTFOUND, "there is no such group");
}

/* ---- the way ---- */

/* By the home shard's image. */
static void call_route(struct groups_call *call)
{
    const struct image *image = call->home->image;
    const struct image_topic *topic = image_find_topic_by_name(image, GROUPS_TOPIC_NAME);
    const struct image_broker *leader;
    struct image_partition facts;

    if (topic == NULL) {
        call_without_topic(call);
        return;
    }
    call->topic_id = topic->topic_id;
    call->image_index = image_applied_index(image);
    leader = image_topic_partition(topic, call->number, &facts) && facts.leader != IMAGE_NO_LEADER ? image_find_broker(image, facts.leader) : NULL;
    call->may_be_ahead = leader == NULL;
    if (call->is_local)
        call_serve_locally(call);
    else if (leader == NULL)
        call_refuse(call, MESH_EAGAIN, "the group's partition has no leader at the moment");
    else if (facts.leader == call->home->broker->node_id)
        call_serve(call);
    else if (!call->head.forwards)
        call_refuse(call, MESH_ENOT_LEADER, mesh_strerror(MESH_ENOT_LEADER));
    else
        call_forward(call, &leader->broker_id);
}

/* Both messages say so; what cannot be read is refused where it is served. */
static bool asks_locally(uint16_t op, struct slice message)
{
    struct message_group_describe describe;
    struct message_group_offsets offsets;
    bool is_local = false;

    if (op == FRAME_OP_GROUP_DESCRIBE && message_decode_group_describe(message, &describe) == 0) {
        is_local = describe.is_local;
        message_deinit_group_describe(&describe);
    }
    if (op == FRAME_OP_GROUP_OFFSETS && message_decode_group_offsets(message, &offsets) == 0) {
        is_local = offsets.is_local;
        message_deinit_group_offsets(&offsets);
    }
    return is_local;
}

static int refuse_at_once(struct shard *shard, int error, groups_done_fn *done, void *owner, uint64_t tag)
{
    struct buffer answer = BUFFER_INIT;

    groups_answer_error(shard->image, GROUP_PARTITIONS, error, mesh_strerror(error), &answer);
    done(owner, tag, buffer_slice(&answer));
    buffer_deinit(&answer);
    return 0;
}

int groups_submit(struct shard *shard, uint16_t op, struct slice message, groups_done_fn *done, void *owner, uint64_t tag)
{
    struct groups_call *call;
    struct message_group_head head;
    struct produce_room room;
    int err = message_group_peek(message, &head);

    if (err == 0) err = group_name_check(head.group);
    if (err != 0) return refuse_at_once(shard, err, done, owner, tag);
    if (!produce_room_acquire(shard, sizeof(*call) + FRAME_HEADER_SIZE + message.size, &room)) return MESH_EAGAIN;
    call = (struct groups_call *)(void *)room.buffer->data;
    *call = (struct groups_call){.home = shard,
                                 .room = room,
                                 .done = done,
                                 .owner = owner,
                                 .tag = tag,
                                 .op = op,
                                 .wants_local = asks_locally(op, message),
                                 .number = group_partition_of(head.group),
                                 .size = message.size};
    if (message.size > 0) memcpy(call->bytes + FRAME_HEADER_SIZE, message.data, message.size);
    call->is_local = call->wants_local;
    (void)message_group_peek(slice_of(call->bytes + FRAME_HEADER_SIZE, message.size), &call->head);
    call_route(call);
    return 0;
}
