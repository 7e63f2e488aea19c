/* peers/link_queue.h - what waits to be sealed for one peer. Pure.
 *
 * A link is one stream, and some of what it carries is a hundred times longer than the rest, which may not wait for it: an election behind
 * a snapshot is lost. So messages wait in lanes, in plain, and are sealed in parts of at most LINK_PART_BYTES just before they leave.
 * The first lane that has something goes first; the last two, bulk, take turns. Messages of one lane keep their order. */
#ifndef BROKER_PEERS_LINK_QUEUE_H
#define BROKER_PEERS_LINK_QUEUE_H

#include "base/list.h"
#include "base/slice.h"

#define LINK_PART_BYTES        (32u << 10)
#define LINK_MESSAGE_MAX       (16u << 20) /* bytes of one message */
#define LINK_LANE_BYTES_MAX    (48u << 20) /* of the first lane; a peer that does not read so much is hung up on */
#define LINK_BULK_BYTES_MAX    (24u << 20) /* of each other lane; what comes beyond is refused. One message always fits */
#define LINK_PART_MORE         0x80        /* in the type of a frame: the next one of this type goes on with the message */

/* Types of messages: who is spoken to on the other side. On the wire: never renumber. */
enum link_type {
    LINK_TYPE_GOSSIP = 1,    /* a message */
    LINK_TYPE_PACKET = 2,    /* what would have been a datagram, had its sender UDP */
    LINK_TYPE_KEYS = 3,      /* a rotation of the cluster key: key_rotation.h */
    LINK_TYPE_CONSENSUS = 4, /* of raft, between its servers */
    LINK_TYPE_METADATA = 5,  /* the committed log on its way sideways, sessions, requests to the coordinator */
    LINK_TYPE_FORWARD = 6,   /* what clients want of a partition that is led elsewhere: ops/forward.h */
    LINK_TYPE_FOUNDING = 7,  /* between brokers that belong to no mesh yet: join.h */
    LINK_TYPE_SELF = 8,      /* the first message each way: link_self.h */
    LINK_TYPE_SPREAD = 9,    /* committed offsets on their way to every broker: replication/spread */
    LINK_TYPE_COUNT,
};

enum link_lane { LINK_LANE_CONTROL, LINK_LANE_CONSENSUS, LINK_LANE_METADATA, LINK_LANE_FORWARD, LINK_LANE_COUNT };

/* Types of a newer mesh are in the last lane. */
enum link_lane link_lane_of(uint8_t type);

/* A message on its way; belongs to the queue from link_queue_push() until `done`, which frees it. */
struct link_message {
    struct list_node node;
    uint8_t type;
    struct slice head, body; /* sent one after the other; what they point at stays until done() */
    size_t taken;            /* the queue's */
    /* All of it was sealed, or never will be. It may run inside calls of link.h: it calls none of them itself. */
    void (*done)(struct link_message *message);
};

/* A message whose bytes are a copy. NULL: no memory. */
struct link_message *link_message_copy(uint8_t type, struct slice payload);

struct link_queue {
    struct list_node lanes[LINK_LANE_COUNT];
    size_t bytes[LINK_LANE_COUNT]; /* not sealed yet */
    size_t total;
    enum link_lane turn; /* which of the bulk lanes goes first */
};

void link_queue_init(struct link_queue *queue);
void link_queue_clear(struct link_queue *queue); /* done() runs for all */

/* Takes the message on success. Errors: MESH_ETOOLARGE, MESH_EFULL (its lane is). */
int link_queue_push(struct link_queue *queue, struct link_message *message);

/* Takes a message that waits in this queue out again, without done(). False: some of it is on its way already. */
bool link_queue_remove(struct link_queue *queue, struct link_message *message);

/* The next part to be sealed. */
struct link_part {
    uint8_t type; /* with LINK_PART_MORE, unless the message ends here */
    size_t size;
    struct link_message *message;
    size_t at; /* in head and body */
};

/* False: nothing waits. After it the part is copied or sealed from the message's bytes, then link_queue_advance() is called. */
bool link_queue_next(struct link_queue *queue, struct link_part *ret_part);
void link_queue_advance(struct link_queue *queue, const struct link_part *part);

/* The part's bytes, where they lie together; else they are copied to `room`, which has LINK_PART_BYTES. */
struct slice link_part_bytes(const struct link_part *part, uint8_t *room);

/* ---- the other end ---- */

/* Puts parts together again. */
struct link_parts {
    struct link_parts_lane {
        uint8_t *data; /* owned, of runtime/long_memory.h; NULL: no message has begun */
        size_t size, capacity;
        uint8_t type;
    } lanes[LINK_LANE_COUNT];
};

void link_parts_deinit(struct link_parts *parts);

/* One frame. *ret_is_whole: *ret_message is the message, valid until link_parts_release() of its type; one of a single part lies inside
 * `payload`. Parts of types that are not known are dropped. Errors: MESH_EPROTO (two messages of a lane are mixed), MESH_ETOOLARGE,
 * MESH_ENOMEM. */
int link_parts_add(struct link_parts *parts, uint8_t type, struct slice payload, struct slice *ret_message, bool *ret_is_whole);

/* The message was dealt with. */
void link_parts_release(struct link_parts *parts, uint8_t type);

/* Instead of releasing it: the caller's from now on, for long_memory_give(). NULL: it came in a single part and lies elsewhere. */
uint8_t *link_parts_take(struct link_parts *parts, uint8_t type);

#endif
