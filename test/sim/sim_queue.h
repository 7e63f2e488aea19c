/* sim/sim_queue.h - what happens next: a wheel of wheels. A level has a slot for each value of six bits of the time; an event waits at the
 * level of the highest bits in which its time differs from the present, and moves down as that comes closer, three times in a second at most.
 *
 * Equal times come out in the order in which they went in, so that a run depends on nothing but its seed. */
#ifndef SIM_SIM_QUEUE_H
#define SIM_SIM_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_QUEUE_NONE   0u  /* no event has this number */
#define SIM_QUEUE_SLOTS  64u /* of a level: bits of a word */
#define SIM_QUEUE_LEVELS 11u /* of six bits, which are all of a time's */

struct sim_queue_node {
    uint64_t time_us;
    uint32_t next;
};

struct sim_queue {
    struct sim_queue_node *nodes; /* owned, by event; grows by doubling and keeps its room */
    size_t capacity;
    uint64_t present_us;          /* nothing that waits is earlier */
    uint32_t levels;              /* a bit for each that holds something */
    uint64_t slots[SIM_QUEUE_LEVELS];
    struct sim_queue_list {
        uint32_t head, tail;
    } lists[SIM_QUEUE_LEVELS][SIM_QUEUE_SLOTS]; /* void without the slot's bit */
};

void sim_queue_deinit(struct sim_queue *queue);
void sim_queue_clear(struct sim_queue *queue);

/* The event waits nowhere else; its time is not before that of the last one taken, nor before the last limit when that gave none. */
void sim_queue_push(struct sim_queue *queue, uint64_t time_us, uint32_t event);

/* The next event, unless its time is after the limit: then SIM_QUEUE_NONE. */
uint32_t sim_queue_pop(struct sim_queue *queue, uint64_t limit_us, uint64_t *ret_time_us);

#endif
