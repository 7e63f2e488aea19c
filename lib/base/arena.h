/* base/arena.h - memory that is given back all at once. Owned by one thread. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; /* owned; the newest first */
    size_t used;                /* bytes of the newest block */
};

#define ARENA_INIT                                                                                           \
    {                                                                                                        \
        NULL, 0                                                                                              \
    }

/* Zeroed memory aligned for any type, or NULL when there is none (or count * size overflows). */
void *arena_alloc(struct arena *arena, size_t count, size_t size);

/* A NUL-terminated copy, or NULL. `string` NULL counts as "". */
char *arena_strdup(struct arena *arena, const char *string);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Bytes that it has from the system. */
size_t arena_size(const struct arena *arena);

void arena_deinit(struct arena *arena); /* frees everything; the arena is empty again */

#endif
