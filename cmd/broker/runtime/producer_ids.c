/* broker/runtime/producer_ids.c - the current block, and who waits for the next one. */
#include "cmd/broker/runtime/producer_ids.h"

#include "base/error.h"
#include "base/list.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/runtime/control.h"

#include <stdlib.h>

struct producer_ids {
    struct control *control;
    int64_t next, end; /* of the block */
    struct list_node waiting;
    bool is_asking;
};

struct waiter {
    struct list_node link;
    producer_id_fn *done;
    void *user;
};

struct producer_ids *producer_ids_new(struct control *control)
{
    struct producer_ids *ids = calloc(1, sizeof(*ids));

    if (ids == NULL) return NULL;
    ids->control = control;
    list_init(&ids->waiting);
    return ids;
}

void producer_ids_free(struct producer_ids *ids)
{
    free(ids);
}

static void ids_ask(struct producer_ids *ids);

static void on_block(void *user, int error, int64_t first, uint32_t count)
{
    struct producer_ids *ids = user;
    struct list_node *node;

    ids->is_asking = false;
    if (error == 0) {
        ids->next = first;
        ids->end = first + count;
    }
    while ((error != 0 || ids->next < ids->end) && (node = list_pop_front(&ids->waiting)) != NULL) {
        struct waiter *waiter = container_of(node, struct waiter, link);

        waiter->done(waiter->user, error, error == 0 ? ids->next++ : -1);
        free(waiter);
    }
    if (!list_is_empty(&ids->waiting)) ids_ask(ids);
}

static void ids_ask(struct producer_ids *ids)
{
    if (ids->is_asking) return;
    ids->is_asking = true;
    metadata_allocate_producer_ids(ids->control->metadata, METADATA_PRODUCER_BLOCK, on_block, ids);
}

void producer_ids_next(struct control *control, producer_id_fn *done, void *user)
{
    struct producer_ids *ids = control->producer_ids;
    struct waiter *waiter;

    if (ids->next < ids->end && list_is_empty(&ids->waiting)) {
        done(user, 0, ids->next++);
        return;
    }
    waiter = malloc(sizeof(*waiter));
    if (waiter == NULL) {
        done(user, MESH_ENOMEM, -1);
        return;
    }
    waiter->done = done;
    waiter->user = user;
    list_push_back(&ids->waiting, &waiter->link);
    ids_ask(ids);
}
