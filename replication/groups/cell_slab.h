/* groups/cell_slab.h - memory for blocks of cells: pieces of a few sizes, known by 4 bytes, without anything of the allocator's beside each.
 *
 * Pages never move and are given back all together; a piece that is freed is used again for one of its size. Owned by one loop. */
#ifndef GROUPS_CELL_SLAB_H
#define GROUPS_CELL_SLAB_H

#include <stddef.h>
#include <stdint.h>

#define CELL_SLAB_PAGE_UNITS 1035u /* a unit: 4 bytes. Nine of the largest pieces of cell_table.c: what fills up is mostly made of those */
#define CELL_SLAB_SIZES      17

struct cell_slab {
    uint32_t **pages; /* owned */
    uint32_t page_count, page_room;
    uint32_t used;                  /* units of the last page */
    uint32_t free[CELL_SLAB_SIZES]; /* 1 + a free piece of each size, which begins with 1 + the next; 0: none */
};

void cell_slab_deinit(struct cell_slab *slab);

/* Pieces of size n have units[n] units, more for each n; it is the same table every time. UINT32_MAX: no memory, nothing changed. */
uint32_t cell_slab_take(struct cell_slab *slab, const uint16_t units[CELL_SLAB_SIZES], uint32_t size);
void cell_slab_give(struct cell_slab *slab, uint32_t piece, uint32_t size);

static inline void *cell_slab_at(const struct cell_slab *slab, uint32_t piece)
{
    return &slab->pages[piece / CELL_SLAB_PAGE_UNITS][piece % CELL_SLAB_PAGE_UNITS];
}

size_t cell_slab_bytes(const struct cell_slab *slab);

#endif
