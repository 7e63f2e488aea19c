/* base/arena.c - see arena.h. Blocks double in size from 1 KiB to 256 KiB; what is larger gets a block of its
 * own. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK_MIN 1024u
#define ARENA_BLOCK_MAX (256u << 10)

struct arena_block {
    struct arena_block *next;
    size_t capacity;
    max_align_t bytes[];
};

static struct arena_block *arena_grow(struct arena *arena, size_t size)
{
    size_t capacity = arena->blocks == NULL ? ARENA_BLOCK_MIN : arena->blocks->capacity * 2;
    struct arena_block *block;

    if (capacity > ARENA_BLOCK_MAX) capacity = ARENA_BLOCK_MAX;
    if (capacity < size) capacity = size;
    block = calloc(1, sizeof(*block) + capacity);
    if (block == NULL) return NULL;
    block->capacity = capacity;
    block->next = arena->blocks;
    arena->blocks = block;
    arena->used = 0;
    return block;
}

void *arena_alloc(struct arena *arena, size_t count, size_t size)
{
    const size_t align = _Alignof(max_align_t);
    size_t total;
    void *result;

    if (__builtin_mul_overflow(count, size, &total) || total > SIZE_MAX / 2) return NULL;
    total = (total + align - 1) / align * align;
    if (total == 0) total = align;
    if (arena->blocks == NULL || arena->blocks->capacity - arena->used < total) {
        if (arena_grow(arena, total) == NULL) return NULL;
    }
    result = (char *)arena->blocks->bytes + arena->used;
    arena->used += total;
    return result;
}

char *arena_strdup(struct arena *arena, const char *string)
{
    size_t size = string == NULL ? 0 : strlen(string);
    char *copy = arena_alloc(arena, size + 1, 1);

    if (copy != NULL && size != 0) memcpy(copy, string, size);
    return copy;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    char *text = NULL;
    int size;

    va_start(args, format);
    size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size >= 0) text = arena_alloc(arena, (size_t)size + 1, 1);
    if (text == NULL) return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)size + 1, format, args);
    va_end(args);
    return text;
}

size_t arena_size(const struct arena *arena)
{
    size_t size = 0;

    for (const struct arena_block *block = arena->blocks; block != NULL; block = block->next)
        size += sizeof(*block) + block->capacity;
    return size;
}

void arena_deinit(struct arena *arena)
{
    while (arena->blocks != NULL) {
        struct arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
    arena->used = 0;
}
