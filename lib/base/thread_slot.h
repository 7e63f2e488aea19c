/* base/thread_slot.h - one pointer per thread, freed when its thread ends. For caches of working memory that
 * are too costly to make for each call. Any thread. */
#ifndef BASE_THREAD_SLOT_H
#define BASE_THREAD_SLOT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Static storage, initialised by THREAD_SLOT_INIT; the fields are private. */
struct thread_slot {
    void (*free_object)(void *object);
    pthread_mutex_t making_key;
    atomic_bool has_key;
    pthread_key_t key;
};

#define THREAD_SLOT_INIT(free_function)                                                                      \
    {                                                                                                        \
        .free_object = (free_function), .making_key = PTHREAD_MUTEX_INITIALIZER                              \
    }

/* The calling thread's object, or NULL. */
void *thread_slot_get(struct thread_slot *slot);

/* Gives the calling thread `object` (takes it), which may be NULL, and frees the one it had. Errors:
 * MESH_ENOMEM (the object stays the caller's). */
int thread_slot_set(struct thread_slot *slot, void *object);

/* Frees the calling thread's object and forgets those of other threads, which are then nobody's: for the end
 * of the process, and before the code of free_function is unloaded. */
void thread_slot_deinit(struct thread_slot *slot);

#endif
