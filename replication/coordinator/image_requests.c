/* coordinator/image_requests.c - the requests that were answered. */
#include "replication/coordinator/image_internal.h"

#include "base/error.h"

#include <stdlib.h>

const struct request_log *image_request_log(const struct image *image, const struct uuid *origin)
{
    const struct request_log *found;

    for (size_t i = 0; (found = image_index_find(&image->requests, image_hash_uuid(origin), i)) != NULL; i++) {
        if (uuid_equal(&found->origin, origin)) return found;
    }
    return NULL;
}

const struct image_request *image_find_request(const struct image *image, const struct uuid *origin, uint64_t boot,
                                               uint64_t sequence)
{
    const struct request_log *log = image_request_log(image, origin);

    for (uint32_t i = log == NULL ? 0 : log->count; i > 0; i--) { /* the newest are asked for most */
        const struct image_request *request = &log->requests[i - 1];
        if (request->boot == boot && request->sequence == sequence) return request;
    }
    return NULL;
}

struct oldest_log {
    const struct request_log *log;
    uint64_t index;
};

static int find_oldest(void *user, const void *object)
{
    struct oldest_log *oldest = user;
    const struct request_log *log = object;
    uint64_t index = log->requests[log->count - 1].index;

    if (oldest->log == NULL || index < oldest->index ||
        (index == oldest->index && memcmp(log->origin.bytes, oldest->log->origin.bytes, UUID_SIZE) < 0))
        *oldest = (struct oldest_log){log, index};
    return 0;
}

/* Room for one more origin; everybody forgets the same one. */
static int make_room(struct image *image)
{
    struct oldest_log oldest = {NULL, 0};

    if (image->requests.count < IMAGE_REQUEST_ORIGINS_MAX) return 0;
    image_index_each(&image->requests, find_oldest, &oldest);
    return image_index_remove(&image->requests, image_hash_uuid(&oldest.log->origin), oldest.log);
}

int image_add_request(struct image *image, const struct uuid *origin, const struct image_request *request)
{
    const struct request_log *old = image_request_log(image, origin);
    uint32_t first = old != NULL && old->count == IMAGE_REQUESTS_MAX ? 1 : 0, kept = old == NULL ? 0 : old->count - first;
    struct request_log *log = malloc(sizeof(*log) + (kept + 1) * sizeof(log->requests[0]));
    int err;

    if (log == NULL) return MESH_ENOMEM;
    atomic_init(&log->object.references, 1);
    log->origin = *origin;
    log->count = kept + 1;
    if (kept != 0) memcpy(log->requests, old->requests + first, kept * sizeof(log->requests[0]));
    log->requests[kept] = *request;
    err = old != NULL ? image_index_replace(&image->requests, image_hash_uuid(origin), old, log) : make_room(image);
    if (err == 0 && old == NULL) err = image_index_insert(&image->requests, image_hash_uuid(origin), log);
    object_unref(log); /* the index has its own reference */
    return err;
}
