/* support/failing_alloc.c - the linker's --wrap sends the allocation functions here. */
#include "support/failing_alloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_uint left; /* allocations until the one that fails; 0: not armed */
static atomic_bool refused;
static _Thread_local bool is_spared;

void failing_alloc_arm(unsigned nth)
{
    atomic_store(&refused, false);
    atomic_store(&left, nth);
}

bool failing_alloc_disarm(void)
{
    atomic_store(&left, 0);
    return atomic_load(&refused);
}

void failing_alloc_spare_this_thread(void)
{
    is_spared = true;
}

bool failing_alloc_refuse(void)
{
    unsigned now = atomic_load(&left);

    if (is_spared) return false;
    do {
        if (now == 0) return false;
    } while (!atomic_compare_exchange_weak(&left, &now, now - 1));
    if (now != 1) return false;
    atomic_store(&refused, true);
    errno = ENOMEM;
    return true;
}

/* The names are the linker's: __real_X is the X that the program would have called. */
#define WRAP(type, name, parameters, arguments, failure)                                                     \
    type __real_##name parameters;                                                                           \
    type __wrap_##name parameters;                                                                           \
    type __wrap_##name parameters                                                                            \
    {                                                                                                        \
        return failing_alloc_refuse() ? failure : __real_##name arguments;                                   \
    }

WRAP(void *, malloc, (size_t size), (size), NULL)
WRAP(void *, calloc, (size_t count, size_t size), (count, size), NULL)
WRAP(void *, realloc, (void *old, size_t size), (old, size), NULL)
WRAP(void *, reallocarray, (void *old, size_t count, size_t size), (old, count, size), NULL)
WRAP(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size), NULL)
WRAP(int, posix_memalign, (void **to, size_t alignment, size_t size), (to, alignment, size), ENOMEM)
WRAP(char *, strdup, (const char *string), (string), NULL)
WRAP(char *, strndup, (const char *string, size_t size), (string, size), NULL)
