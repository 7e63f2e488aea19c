/* operate/operate.c - the answers. */
#include "cmd/broker/operate/operate.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/broker_private.h"
#include "cmd/broker/operate/config.h"
#include "cmd/broker/operate/kept_wish.h"
#include "cmd/broker/runtime/control.h"
#include "cmd/broker/runtime/shard.h"
#include "replication/coordinator/image.h"
#include "wire/frame.h"
#include "wire/message_operate.h"

#include <stdio.h>
#include <string.h>

/* ---- events ---- */

struct listing {
    struct arena arena;
    struct message_events_response *response;
    uint64_t oldest_ms; /* wall clock */
    uint32_t limit;
    size_t bytes;
    int err;
};

/* Under the list's lock: copies. */
static bool list_event(void *user, const struct event *event)
{
    struct listing *listing = user;
    struct message_events_response *response = listing->response;
    struct message_event *to = &response->events[response->event_count];
    size_t size = strlen(event->text);
    char *text;

    if ((uint64_t)event->wall_ms < listing->oldest_ms) return true;
    response->has_more = response->event_count == listing->limit || (listing->bytes > 0 && listing->bytes + size > OPERATE_EVENTS_BYTES_MAX);
    if (response->has_more) return false;
    text = arena_strdup(&listing->arena, event->text);
    if (text == NULL) {
        listing->err = MESH_ENOMEM;
        return false;
    }
    *to = (struct message_event){.sequence = event->sequence,
                                 .wall_ms = (uint64_t)event->wall_ms,
                                 .level = event->level,
                                 .kind = slice_of_string(event_kind_name(event->kind)),
                                 .text = slice_of(text, size)};
    listing->bytes += size;
    response->event_count++;
    return true;
}

static int answer_events(struct control *control, struct slice message, struct buffer *to)
{
    struct message_events_response response = {.broker = control->broker_id, .name = slice_of_string(control->name != NULL ? control->name : "")};
    struct listing listing = {.arena = ARENA_INIT, .response = &response};
    struct message_events_request request;
    int err = message_decode_events_request(message, &request);

    if (err != 0) return err;
    response.boot = control->shards[0]->broker->boot;
    response.now_ms = (uint64_t)clock_wall_ms();
    listing.limit = request.limit == 0 || request.limit > EVENTS_MAX ? EVENTS_MAX : request.limit;
    if (request.age_ms != 0 && request.age_ms < response.now_ms) listing.oldest_ms = response.now_ms - request.age_ms;
    response.events = arena_alloc(&listing.arena, listing.limit, sizeof(*response.events));
    if (response.events == NULL) {
        err = MESH_ENOMEM;
    } else {
        response.last = events_each(&control->events, request.after, list_event, &listing);
        if (response.has_more) response.last = response.events[response.event_count - 1].sequence;
        err = listing.err;
    }
    if (err == 0) err = message_encode_events_response(to, &response);
    arena_deinit(&listing.arena);
    message_deinit_events_request(&request);
    return err;
}

/* ---- drain ---- */

static uint32_t count_others(const struct image *image, int32_t self)
{
    uint32_t count = 0;

    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);

        if (broker->node_id != self && !broker->is_fenced && !broker->is_draining && !broker->is_witness) count++;
    }
    return count;
}

/* Partitions whose copies would not find brokers enough without this one. */
struct stuck {
    const struct image *image;
    int32_t self;
    uint32_t others;
    uint64_t count;
    const char *topic; /* of the first */
    uint32_t partition, wanted;
};

static int count_stuck(void *user, const struct image_topic *topic)
{
    struct stuck *stuck = user;
    uint32_t wished = (uint32_t)image_topic_config(topic, TOPIC_CONFIG_REPLICAS);
    struct image_partition partition;

    for (uint32_t i = 0; image_topic_partition(topic, i, &partition); i++) {
        uint32_t wanted = wished != 0 ? wished : image_partition_factor(&partition);
        bool is_here = false;

        for (uint32_t j = 0; j < partition.replica_count; j++)
            is_here |= partition.replicas[j] == stuck->self;
        if (!is_here || wanted <= stuck->others || stuck->count++ != 0) continue;
        stuck->topic = topic->name;
        stuck->partition = i;
        stuck->wanted = wanted;
    }
    return 0;
}

/* On disk first: what was answered holds after a crash. */
static int set_empty(struct control *control, bool is_wanted, char text[OPERATE_TEXT_SIZE])
{
    int err = kept_wish_write(control->shards[0]->broker->fs, is_wanted);

    if (err != 0)
        snprintf(text, OPERATE_TEXT_SIZE, "cannot keep in DIR/" KEPT_WISH_PATH " that it is %s emptied: %s", is_wanted ? "to be" : "no longer to be", mesh_strerror(err));
    else
        metadata_set_empty(control->metadata, is_wanted);
    return err;
}

/* Errors: MESH_EINVAL (others cannot keep its replicas: nothing would come of it); of the disk. */
static int do_empty(struct control *control, uint32_t others, char text[OPERATE_TEXT_SIZE])
{
    struct stuck stuck = {.image = metadata_image(control->metadata), .self = control->node_id, .others = others};

    if (node_wants_empty(metadata_node(control->metadata))) return 0;
    (void)image_each_topic(stuck.image, count_stuck, &stuck);
    if (stuck.count != 0) {
        snprintf(text, OPERATE_TEXT_SIZE, "%llu partition%s of it cannot be kept by others, first %s/%u: %u copies are wanted, and %u other broker%s. Lower the setting replicas, or add "
                 "brokers. Nothing was changed", (unsigned long long)stuck.count, stuck.count == 1 ? "" : "s", stuck.topic, stuck.partition, stuck.wanted, others,
                 others == 1 ? " serves" : "s serve");
        return MESH_EINVAL;
    }
    event_note(&control->events, EVENT_FENCE, LOG_LEVEL_INFO, "somebody empties this broker: others are to keep its replicas name=%s", control->name);
    return set_empty(control, true, text);
}

/* Errors: MESH_EINVAL (nobody to take over), MESH_EUNSUPPORTED (an action of later versions); of the disk. */
static int do_drain(struct control *control, uint32_t action, uint32_t others, char text[OPERATE_TEXT_SIZE])
{
    bool was_wanted = node_wants_drain(metadata_node(control->metadata));
    int err;

    if (action == MESSAGE_DRAIN_LOOK) return 0;
    if (action > MESSAGE_DRAIN_EMPTY) return MESH_EUNSUPPORTED;
    if (action == MESSAGE_DRAIN_EMPTY) return do_empty(control, others, text);
    if (action == MESSAGE_DRAIN_UNDO && (err = set_empty(control, false, text)) != 0) return err;
    if (action == MESSAGE_DRAIN_BEGIN && others == 0) {
        snprintf(text, OPERATE_TEXT_SIZE, "no other broker could take over: none that keeps records is up and serves. Nothing was changed");
        return MESH_EINVAL;
    }
    if (was_wanted == (action == MESSAGE_DRAIN_BEGIN)) return 0;
    event_note(&control->events, EVENT_FENCE, LOG_LEVEL_INFO, "%s name=%s", was_wanted ? "somebody undoes the draining of this broker" : "somebody drains this broker",
               control->name);
    metadata_set_drain(control->metadata, !was_wanted);
    return 0;
}

static int answer_drain(struct control *control, struct slice message, struct buffer *to, char text[OPERATE_TEXT_SIZE])
{
    struct message_drain_response response = {.broker = control->broker_id, .name = slice_of_string(control->name != NULL ? control->name : "")};
    struct message_drain_request request;
    const struct image_broker *self;
    int err = message_decode_drain_request(message, &request);

    if (err != 0) return err;
    response.others = count_others(metadata_image(control->metadata), control->node_id);
    err = do_drain(control, request.action, response.others, text);
    message_deinit_drain_request(&request);
    if (err != 0) return err;
    self = image_find_broker(metadata_image(control->metadata), control->node_id);
    response.is_wanted = node_wants_drain(metadata_node(control->metadata));
    response.is_drained = self != NULL && self->is_draining;
    response.led = image_leader_count(metadata_image(control->metadata), control->node_id);
    response.is_emptying = node_wants_empty(metadata_node(control->metadata));
    response.hosted = image_replica_count(metadata_image(control->metadata), control->node_id);
    return message_encode_drain_response(to, &response);
}

/* ---- whatever is asked ---- */

int operate_answer(struct control *control, uint16_t op, struct slice request, struct buffer *to, char text[OPERATE_TEXT_SIZE])
{
    text[0] = '\0';
    if (control->shard_count == 0 || control->metadata == NULL) return MESH_EBUSY; /* it is starting */
    switch (op) {
    case FRAME_OP_EVENTS: return answer_events(control, request, to);
    case FRAME_OP_DRAIN: return answer_drain(control, request, to, text);
    case FRAME_OP_CONFIG: return config_answer(control, request, to, text);
    default: return MESH_EUNSUPPORTED;
    }
}

int operate_answer_frame(struct control *control, uint16_t op, uint32_t correlation_id, struct slice request, struct buffer *to)
{
    struct frame_header header = {.flags = FRAME_FLAG_RESPONSE, .op = op, .correlation_id = correlation_id};
    static const uint8_t room[FRAME_HEADER_SIZE];
    char text[OPERATE_TEXT_SIZE];
    int err, refused;

    buffer_clear(to);
    err = buffer_append(to, room, sizeof(room));
    if (err != 0) return err;
    refused = operate_answer(control, op, request, to, text);
    if (refused != 0) {
        struct message_error error = {refused, (char *)(uintptr_t)(text[0] != '\0' ? text : mesh_strerror(refused))}; /* encoding only reads */

        to->size = sizeof(room);
        err = message_encode_error(to, &error);
    }
    if (err != 0) return err;
    header.message_size = (uint32_t)(to->size - sizeof(room));
    frame_write_header(to->data, &header, to->data + sizeof(room));
    return 0;
}
