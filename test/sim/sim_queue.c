#include "sim/sim_queue.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#define LEVEL_BITS 6u

void sim_queue_deinit(struct sim_queue *queue)
{
    free(queue->nodes);
    queue->nodes = NULL;
    queue->capacity = 0;
}

void sim_queue_clear(struct sim_queue *queue)
{
    queue->present_us = 0;
    queue->levels = 0;
    memset(queue->slots, 0, sizeof(queue->slots));
}

static void grow(struct sim_queue *queue, uint32_t event)
{
    size_t capacity = queue->capacity == 0 ? 1024 : queue->capacity * 2;

    while (capacity <= event)
        capacity *= 2;
    queue->nodes = realloc(queue->nodes, capacity * sizeof(queue->nodes[0]));
    MESH_ASSERT(queue->nodes != NULL);
    queue->capacity = capacity;
}

/* At the end of its list, so that order is kept: what is there at this time already waits in the same list. */
static void place(struct sim_queue *queue, struct sim_queue_node *node, uint32_t event)
{
    uint64_t differs = node->time_us ^ queue->present_us;
    unsigned level = (63u - (unsigned)__builtin_clzll(differs | 1)) / LEVEL_BITS;
    unsigned slot = (unsigned)(node->time_us >> (level * LEVEL_BITS)) % SIM_QUEUE_SLOTS;
    struct sim_queue_list *list = &queue->lists[level][slot];

    node->next = SIM_QUEUE_NONE;
    if (queue->slots[level] >> slot & 1) {
        queue->nodes[list->tail].next = event;
    } else {
        list->head = event;
        queue->slots[level] |= UINT64_C(1) << slot;
        queue->levels |= 1u << level;
    }
    list->tail = event;
}

void sim_queue_push(struct sim_queue *queue, uint64_t time_us, uint32_t event)
{
    struct sim_queue_node *node;

    MESH_ASSERT(time_us >= queue->present_us && event != SIM_QUEUE_NONE);
    if (event >= queue->capacity) grow(queue, event);
    node = &queue->nodes[event];
    node->time_us = time_us;
    place(queue, node, event);
}

static void note_empty(struct sim_queue *queue, unsigned level, unsigned slot)
{
    queue->slots[level] &= ~(UINT64_C(1) << slot);
    if (queue->slots[level] == 0) queue->levels &= ~(1u << level);
}

/* The present becomes the slot's begin, and what was in the slot goes to the levels below. */
static void move_down(struct sim_queue *queue, unsigned level, unsigned slot, uint64_t begin_us)
{
    uint32_t event = queue->lists[level][slot].head;

    note_empty(queue, level, slot);
    queue->present_us = begin_us;
    while (event != SIM_QUEUE_NONE) {
        struct sim_queue_node *node = &queue->nodes[event];
        uint32_t next = node->next;
        place(queue, node, event);
        event = next;
    }
}

static uint64_t begin_of(const struct sim_queue *queue, unsigned level, unsigned slot)
{
    unsigned shift = level * LEVEL_BITS;
    uint64_t above = level + 1 < SIM_QUEUE_LEVELS ? queue->present_us >> (shift + LEVEL_BITS) << (shift + LEVEL_BITS) : 0;

    return above | (uint64_t)slot << shift;
}

uint32_t sim_queue_pop(struct sim_queue *queue, uint64_t limit_us, uint64_t *ret_time_us)
{
    while (queue->levels != 0) {
        unsigned level = (unsigned)__builtin_ctz(queue->levels), slot = (unsigned)__builtin_ctzll(queue->slots[level]);
        struct sim_queue_list *list = &queue->lists[level][slot];
        const struct sim_queue_node *node = &queue->nodes[list->head];
        if (level == 0 || list->head == list->tail) { /* alone there, or of the same time as what is behind it */
            uint32_t event = list->head;
            if (node->time_us > limit_us) return SIM_QUEUE_NONE;
            queue->present_us = *ret_time_us = node->time_us;
            if (list->head == list->tail)
                note_empty(queue, level, slot);
            else
                list->head = node->next;
            return event;
        }
        if (begin_of(queue, level, slot) > limit_us) return SIM_QUEUE_NONE;
        move_down(queue, level, slot, begin_of(queue, level, slot));
    }
    return SIM_QUEUE_NONE;
}
