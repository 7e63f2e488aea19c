#include "sim/sim_pool.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#define SLAB_BYTES (64u << 10)

static const uint32_t class_sizes[SIM_POOL_CLASSES] = {256, 2048, SIM_SEGMENT_MAX};

void sim_pool_init(struct sim_pool *pool)
{
    *pool = (struct sim_pool){.top = SIM_POOL_NONE + 1};
}

void sim_pool_deinit(struct sim_pool *pool)
{
    for (uint32_t i = 0; i < pool->chunk_count; i++)
        free(pool->chunks[i]);
    free(pool->chunks);
    for (int i = 0; i < SIM_POOL_CLASSES; i++) {
        for (uint32_t s = 0; s < pool->classes[i].slab_count; s++)
            free(pool->classes[i].slabs[s]);
        free(pool->classes[i].slabs);
    }
    *pool = (struct sim_pool){0};
}

static void link_slab(struct sim_bytes *class, uint8_t *slab, uint32_t size)
{
    for (uint32_t at = 0; at + size <= SLAB_BYTES; at += size) {
        memcpy(slab + at, &class->free_head, sizeof(class->free_head));
        class->free_head = slab + at;
    }
}

void sim_pool_reset(struct sim_pool *pool)
{
    pool->top = SIM_POOL_NONE + 1;
    pool->free_head = SIM_POOL_NONE;
    pool->in_use = 0;
    for (int i = 0; i < SIM_POOL_CLASSES; i++) {
        pool->classes[i].free_head = NULL;
        for (uint32_t s = 0; s < pool->classes[i].slab_count; s++)
            link_slab(&pool->classes[i], pool->classes[i].slabs[s], class_sizes[i]);
    }
}

static void *grown(void *array, uint32_t count, size_t size)
{
    void *larger = realloc(array, (count + 1) * size);

    MESH_ASSERT(larger != NULL);
    return larger;
}

uint32_t sim_pool_take(struct sim_pool *pool, enum sim_event_type type)
{
    uint32_t number = pool->free_head;
    struct sim_event *event;

    if (number == SIM_POOL_NONE) {
        number = pool->top++;
        MESH_ASSERT(number < SIM_POOL_MAX);
        if (number / SIM_POOL_CHUNK >= pool->chunk_count) {
            pool->chunks = grown(pool->chunks, pool->chunk_count, sizeof(pool->chunks[0]));
            pool->chunks[pool->chunk_count] = malloc(SIM_POOL_CHUNK * sizeof(struct sim_event));
            MESH_ASSERT(pool->chunks[pool->chunk_count] != NULL);
            pool->chunk_count++;
        }
        event = sim_pool_event(pool, number);
    } else {
        event = sim_pool_event(pool, number);
        pool->free_head = event->next;
    }
    event->type = (uint8_t)type;
    event->next = SIM_POOL_NONE;
    event->bytes = NULL;
    event->size = 0;
    pool->in_use++;
    return number;
}

void sim_pool_give(struct sim_pool *pool, uint32_t number)
{
    struct sim_event *event = sim_pool_event(pool, number);

    if (event->bytes != NULL) {
        struct sim_bytes *class = &pool->classes[event->bytes_class];
        memcpy(event->bytes, &class->free_head, sizeof(class->free_head));
        class->free_head = event->bytes;
    }
    event->next = pool->free_head;
    pool->free_head = number;
    pool->in_use--;
}

static uint8_t *take_bytes(struct sim_bytes *class, uint32_t size)
{
    uint8_t *bytes;

    if (class->free_head == NULL) {
        class->slabs = grown(class->slabs, class->slab_count, sizeof(class->slabs[0]));
        class->slabs[class->slab_count] = malloc(SLAB_BYTES);
        MESH_ASSERT(class->slabs[class->slab_count] != NULL);
        link_slab(class, class->slabs[class->slab_count++], size);
    }
    bytes = class->free_head;
    memcpy(&class->free_head, bytes, sizeof(class->free_head));
    return bytes;
}

void sim_pool_set_bytes(struct sim_pool *pool, struct sim_event *event, struct slice bytes)
{
    int class = bytes.size <= class_sizes[0] ? 0 : bytes.size <= class_sizes[1] ? 1 : 2;

    MESH_ASSERT(event->bytes == NULL && bytes.size <= SIM_SEGMENT_MAX);
    if (bytes.size == 0) return;
    event->bytes = take_bytes(&pool->classes[class], class_sizes[class]);
    event->bytes_class = (uint8_t)class;
    event->size = (uint32_t)bytes.size;
    memcpy(event->bytes, bytes.data, bytes.size);
}
