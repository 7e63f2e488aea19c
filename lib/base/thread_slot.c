#include "base/thread_slot.h"

#include "base/error.h"

#include <stddef.h>

void *thread_slot_get(struct thread_slot *slot)
{
    return atomic_load_explicit(&slot->has_key, memory_order_acquire) ? pthread_getspecific(slot->key) : NULL;
}

/* The key is made at first use, and so only where it is needed: a process has few. */
static int make_key(struct thread_slot *slot)
{
    int err = 0;

    pthread_mutex_lock(&slot->making_key);
    if (!atomic_load(&slot->has_key)) {
        err = pthread_key_create(&slot->key, slot->free_object) == 0 ? 0 : MESH_ENOMEM;
        atomic_store_explicit(&slot->has_key, err == 0, memory_order_release);
    }
    pthread_mutex_unlock(&slot->making_key);
    return err;
}

int thread_slot_set(struct thread_slot *slot, void *object)
{
    void *former = thread_slot_get(slot);

    if (object == NULL && former == NULL) return 0;
    if (make_key(slot) != 0) return MESH_ENOMEM;
    if (pthread_setspecific(slot->key, object) != 0) return MESH_ENOMEM;
    if (former != NULL && former != object) slot->free_object(former);
    return 0;
}

void thread_slot_deinit(struct thread_slot *slot)
{
    void *object = thread_slot_get(slot);

    if (!atomic_exchange(&slot->has_key, false)) return;
    pthread_key_delete(slot->key);
    if (object != NULL) slot->free_object(object);
}
