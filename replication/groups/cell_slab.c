#include "replication/groups/cell_slab.h"

#include <stdlib.h>

#define PIECES_MAX (1u << 31) /* units: whoever knows a piece has a bit left */

void cell_slab_deinit(struct cell_slab *slab)
{
    for (uint32_t i = 0; i < slab->page_count; i++)
        free(slab->pages[i]);
    free(slab->pages);
    *slab = (struct cell_slab){.pages = NULL};
}

/* The end of a page takes no piece of the size that is wanted: it is cut into smaller ones. */
static void use_up(struct cell_slab *slab, const uint16_t units[CELL_SLAB_SIZES])
{
    for (uint32_t size = CELL_SLAB_SIZES - 1; size > 0 && slab->page_count > 0; size--)
        while (slab->used + units[size] <= CELL_SLAB_PAGE_UNITS) {
            cell_slab_give(slab, (slab->page_count - 1) * CELL_SLAB_PAGE_UNITS + slab->used, size);
            slab->used += units[size];
        }
}

static int add_page(struct cell_slab *slab, const uint16_t units[CELL_SLAB_SIZES])
{
    uint32_t *page;

    if (slab->page_count >= PIECES_MAX / CELL_SLAB_PAGE_UNITS) return -1;
    if (slab->page_count == slab->page_room) {
        uint32_t room = slab->page_room == 0 ? 4 : slab->page_room + slab->page_room / 2;
        uint32_t **pages = reallocarray(slab->pages, room, sizeof(*pages));
        if (pages == NULL) return -1;
        slab->pages = pages;
        slab->page_room = room;
    }
    page = malloc(CELL_SLAB_PAGE_UNITS * sizeof(*page));
    if (page == NULL) return -1;
    use_up(slab, units);
    slab->pages[slab->page_count++] = page;
    slab->used = 0;
    return 0;
}

uint32_t cell_slab_take(struct cell_slab *slab, const uint16_t units[CELL_SLAB_SIZES], uint32_t size)
{
    uint32_t piece = slab->free[size];

    if (piece != 0) {
        slab->free[size] = *(uint32_t *)cell_slab_at(slab, piece - 1);
        return piece - 1;
    }
    if ((slab->page_count == 0 || slab->used + units[size] > CELL_SLAB_PAGE_UNITS) && add_page(slab, units) != 0) return UINT32_MAX;
    piece = (slab->page_count - 1) * CELL_SLAB_PAGE_UNITS + slab->used;
    slab->used += units[size];
    return piece;
}

void cell_slab_give(struct cell_slab *slab, uint32_t piece, uint32_t size)
{
    *(uint32_t *)cell_slab_at(slab, piece) = slab->free[size];
    slab->free[size] = piece + 1;
}

size_t cell_slab_bytes(const struct cell_slab *slab)
{
    return slab->page_count * (CELL_SLAB_PAGE_UNITS * sizeof(uint32_t)) + slab->page_room * sizeof(*slab->pages);
}
