/* peers/link_queue.c - see link_queue.h. */
#include "cmd/broker/peers/link_queue.h"

#include "base/assert.h"
#include "base/error.h"
#include "cmd/broker/runtime/long_memory.h"
#include "wire/frame.h"

#include <stdlib.h>
#include <string.h>

#define PARTS_CAPACITY_MIN (4 * (size_t)LINK_PART_BYTES)

enum link_lane link_lane_of(uint8_t type)
{
    switch (type) {
    case LINK_TYPE_GOSSIP:
    case LINK_TYPE_PACKET:
    case LINK_TYPE_KEYS:
    case LINK_TYPE_FOUNDING:
    case LINK_TYPE_SELF: return LINK_LANE_CONTROL;
    case LINK_TYPE_CONSENSUS: return LINK_LANE_CONSENSUS;
    case LINK_TYPE_METADATA: return LINK_LANE_METADATA;
    default: return LINK_LANE_FORWARD;
    }
}

static size_t message_size(const struct link_message *message)
{
    return message->head.size + message->body.size;
}

static void free_copy(struct link_message *message)
{
    free(message);
}

struct link_message *link_message_copy(uint8_t type, struct slice payload)
{
    struct link_message *message = malloc(sizeof(*message) + payload.size);
    uint8_t *bytes = (uint8_t *)(message + 1);

    if (message == NULL) return NULL;
    if (payload.size > 0) memcpy(bytes, payload.data, payload.size);
    *message = (struct link_message){.type = type, .body = slice_of(bytes, payload.size), .done = free_copy};
    return message;
}

void link_queue_init(struct link_queue *queue)
{
    *queue = (struct link_queue){.turn = LINK_LANE_METADATA};
    for (int lane = 0; lane < LINK_LANE_COUNT; lane++)
        list_init(&queue->lanes[lane]);
}

void link_queue_clear(struct link_queue *queue)
{
    for (int lane = 0; lane < LINK_LANE_COUNT; lane++) {
        struct list_node *node;

        queue->bytes[lane] = 0;
        while ((node = list_pop_front(&queue->lanes[lane])) != NULL) {
            struct link_message *message = container_of(node, struct link_message, node);

            message->done(message);
        }
    }
    queue->total = 0;
}

int link_queue_push(struct link_queue *queue, struct link_message *message)
{
    enum link_lane lane = link_lane_of(message->type);
    size_t size = message_size(message), most = lane == LINK_LANE_CONTROL ? LINK_LANE_BYTES_MAX : LINK_BULK_BYTES_MAX;

    MESH_ASSERT(message->type != 0 && (message->type & LINK_PART_MORE) == 0);
    if (size > LINK_MESSAGE_MAX) return MESH_ETOOLARGE;
    if (queue->bytes[lane] + size > most) return MESH_EFULL;
    message->taken = 0;
    list_push_back(&queue->lanes[lane], &message->node);
    queue->bytes[lane] += size;
    queue->total += size;
    return 0;
}

bool link_queue_remove(struct link_queue *queue, struct link_message *message)
{
    if (message->taken > 0) return false;
    list_remove(&message->node);
    queue->bytes[link_lane_of(message->type)] -= message_size(message);
    queue->total -= message_size(message);
    return true;
}

static enum link_lane next_lane(const struct link_queue *queue)
{
    enum link_lane other = queue->turn == LINK_LANE_METADATA ? LINK_LANE_FORWARD : LINK_LANE_METADATA;

    for (enum link_lane lane = LINK_LANE_CONTROL; lane <= LINK_LANE_CONSENSUS; lane++)
        if (!list_is_empty(&queue->lanes[lane])) return lane;
    return list_is_empty(&queue->lanes[queue->turn]) ? other : queue->turn;
}

bool link_queue_next(struct link_queue *queue, struct link_part *ret_part)
{
    struct list_node *head = &queue->lanes[next_lane(queue)];
    struct link_message *message;
    size_t left;

    if (list_is_empty(head)) return false;
    message = container_of(head->next, struct link_message, node);
    left = message_size(message) - message->taken;
    *ret_part = (struct link_part){message->type, left, message, message->taken};
    if (left <= LINK_PART_BYTES) return true;
    ret_part->size = LINK_PART_BYTES;
    ret_part->type |= LINK_PART_MORE;
    return true;
}

void link_queue_advance(struct link_queue *queue, const struct link_part *part)
{
    enum link_lane lane = link_lane_of(part->message->type);

    part->message->taken += part->size;
    queue->bytes[lane] -= part->size;
    queue->total -= part->size;
    if (lane >= LINK_LANE_METADATA) queue->turn = lane == LINK_LANE_METADATA ? LINK_LANE_FORWARD : LINK_LANE_METADATA;
    if ((part->type & LINK_PART_MORE) != 0) return;
    list_remove(&part->message->node);
    part->message->done(part->message);
}

struct slice link_part_bytes(const struct link_part *part, uint8_t *room)
{
    const struct slice *head = &part->message->head, *body = &part->message->body;
    size_t of_head;

    if (part->size == 0) return slice_of(room, 0);
    if (part->at >= head->size) return slice_of(body->data + (part->at - head->size), part->size);
    of_head = head->size - part->at;
    if (of_head >= part->size) return slice_of(head->data + part->at, part->size);
    memcpy(room, head->data + part->at, of_head);
    memcpy(room + of_head, body->data, part->size - of_head);
    return slice_of(room, part->size);
}

/* ---- the other end ---- */

void link_parts_deinit(struct link_parts *parts)
{
    for (int lane = 0; lane < LINK_LANE_COUNT; lane++)
        long_memory_give(parts->lanes[lane].data);
    *parts = (struct link_parts){0};
}

/* How long a message is going to be, by what its first part says: forwarded ones say it, and are long. Only a hint. */
static size_t hinted_size(uint8_t type, struct slice first)
{
    struct frame_header header;

    if (type != LINK_TYPE_FORWARD || first.size < FRAME_HEADER_SIZE || frame_parse_header(first, LINK_MESSAGE_MAX, &header) != 0) return 0;
    return FRAME_HEADER_SIZE + (size_t)header.message_size + header.attachment_size;
}

static int append(struct link_parts_lane *lane, uint8_t type, struct slice payload)
{
    size_t size = lane->size + payload.size, capacity = lane->capacity;

    if (size > LINK_MESSAGE_MAX) return MESH_ETOOLARGE;
    if (size > capacity) {
        size_t hint = lane->size == 0 ? hinted_size(type, payload) : 0;
        uint8_t *data;

        if (capacity < PARTS_CAPACITY_MIN) capacity = PARTS_CAPACITY_MIN;
        while (capacity < size)
            capacity *= 2;
        if (hint >= size && hint <= LINK_MESSAGE_MAX) capacity = hint;
        data = long_memory_grow(lane->data, lane->size, capacity);
        if (data == NULL) return MESH_ENOMEM;
        lane->data = data;
        lane->capacity = long_memory_capacity(data);
    }
    if (payload.size > 0) memcpy(lane->data + lane->size, payload.data, payload.size);
    lane->size = size;
    return 0;
}

int link_parts_add(struct link_parts *parts, uint8_t type, struct slice payload, struct slice *ret_message, bool *ret_is_whole)
{
    uint8_t plain = type & (uint8_t)~LINK_PART_MORE;
    bool is_last = (type & LINK_PART_MORE) == 0;
    struct link_parts_lane *lane = &parts->lanes[link_lane_of(plain)];
    int err;

    *ret_is_whole = false;
    if (plain == 0 || plain >= LINK_TYPE_COUNT) return 0; /* of a newer mesh */
    if (lane->type == 0 && is_last) {
        *ret_message = payload;
        *ret_is_whole = true;
        return 0;
    }
    if (lane->type != 0 && lane->type != plain) return MESH_EPROTO;
    err = append(lane, plain, payload);
    if (err != 0) return err;
    lane->type = is_last ? 0 : plain;
    *ret_is_whole = is_last;
    *ret_message = slice_of(lane->data, lane->size);
    return 0;
}

uint8_t *link_parts_take(struct link_parts *parts, uint8_t type)
{
    struct link_parts_lane *lane = &parts->lanes[link_lane_of(type)];
    uint8_t *data = lane->data;

    *lane = (struct link_parts_lane){0};
    return data;
}

/* For the next one it is kept where all of them are, and not for long. */
void link_parts_release(struct link_parts *parts, uint8_t type)
{
    long_memory_give(link_parts_take(parts, type));
}
