/* segment/due_heap.h - which log is due for upkeep next: a binary heap of logs by plog->due_ms. */
#ifndef SEGMENT_DUE_HEAP_H
#define SEGMENT_DUE_HEAP_H

#include <stdint.h>

struct plog;

struct due_heap {
    struct plog **logs; /* owned; from index 1 */
    uint32_t count, capacity;
};

void due_heap_deinit(struct due_heap *heap);

/* Room for `count` logs, before any of them comes: a log whose time is not known would never be flushed. Errors: MESH_ENOMEM. */
int due_heap_reserve(struct due_heap *heap, uint64_t count);

/* Puts plog at due_ms, moving it when it is there already. UINT64_MAX takes it out. */
void due_heap_set(struct due_heap *heap, struct plog *plog, uint64_t due_ms);
struct plog *due_heap_first(const struct due_heap *heap); /* NULL: empty */

#endif
