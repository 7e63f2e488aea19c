/* sim/sim_pool.h - events and the bytes they carry, in pools that only grow. */
#ifndef SIM_SIM_POOL_H
#define SIM_SIM_POOL_H

#include "base/net_address.h"
#include "sim/sim.h"

#define SIM_POOL_NONE       0u
#define SIM_POOL_CHUNK      1024u /* events */
#define SIM_POOL_MAX        (1u << 24) /* events at once */
#define SIM_POOL_CLASSES    3
#define SIM_SEGMENT_MAX     16384u /* bytes of one piece of a stream */

enum sim_event_type {
    SIM_EVENT_CONTROL,
    SIM_EVENT_TIMER,
    SIM_EVENT_DRAIN, /* what waited for a paused process */
    SIM_EVENT_DATAGRAM,
    SIM_EVENT_STREAM,       /* a segment arrives */
    SIM_EVENT_STREAM_RETRY, /* an end tries again what the network did not take */
    SIM_EVENT_STREAM_GIVE_UP, /* connecting took too long */
};

enum sim_segment {
    SIM_SEGMENT_SYN,
    SIM_SEGMENT_OPENED,
    SIM_SEGMENT_REFUSED,
    SIM_SEGMENT_DATA,
    SIM_SEGMENT_ROOM, /* the window is open again */
    SIM_SEGMENT_FIN,
    SIM_SEGMENT_RESET,
};

struct sim_event {
    uint8_t type;
    uint8_t segment;      /* enum sim_segment */
    uint8_t bytes_class;
    uint32_t next;        /* free, deferred or queued */
    uint32_t host;        /* of a timer; the sender of a datagram */
    uint32_t stamp;       /* of a timer; generation of a connection */
    uint32_t size;
    uint32_t end;         /* connection << 1 | side it goes to */
    uint8_t *bytes;       /* owned by the event */
    union {
        struct {
            struct net_address from, to;
        } datagram;
        struct {
            sim_control_fn *call;
            void *user;
            uint64_t argument;
        } control;
    };
};

struct sim_pool {
    struct sim_event **chunks;
    uint32_t chunk_count, top, free_head, in_use;
    struct sim_bytes {
        uint8_t *free_head; /* linked through the first bytes */
        uint8_t **slabs;
        uint32_t slab_count;
    } classes[SIM_POOL_CLASSES];
};

void sim_pool_init(struct sim_pool *pool);
void sim_pool_deinit(struct sim_pool *pool);
void sim_pool_reset(struct sim_pool *pool); /* all are free again; nothing is given back */

uint32_t sim_pool_take(struct sim_pool *pool, enum sim_event_type type);
void sim_pool_give(struct sim_pool *pool, uint32_t number); /* with its bytes */

/* Makes the event carry a copy of at most SIM_SEGMENT_MAX bytes. */
void sim_pool_set_bytes(struct sim_pool *pool, struct sim_event *event, struct slice bytes);

static inline struct sim_event *sim_pool_event(const struct sim_pool *pool, uint32_t number)
{
    return &pool->chunks[number / SIM_POOL_CHUNK][number % SIM_POOL_CHUNK];
}

#endif
