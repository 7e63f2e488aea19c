/* coordinator/image_requests.c - what the image remembers of events: answered requests, and elections. */
#include "replication/coordinator/image_internal.h"

#include "base/error.h"

#include <stdlib.h>

/* ---- requests ---- */

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

/* ---- elections ---- */

static const struct election_object *find_election(const struct image *image, const struct uuid *topic_id, uint32_t partition)
{
    uint64_t hash = image_hash_partition(topic_id, partition);
    const struct election_object *found;

    for (size_t i = 0; (found = image_index_find(&image->elections, hash, i)) != NULL; i++) {
        if (found->election.partition == partition && uuid_equal(&found->election.topic_id, topic_id)) return found;
    }
    return NULL;
}

const struct image_election *image_election(const struct image *image, const struct uuid *topic_id, uint32_t partition)
{
    const struct election_object *found = image->elections.count == 0 ? NULL : find_election(image, topic_id, partition);

    return found == NULL ? NULL : &found->election;
}

size_t image_election_count(const struct image *image)
{
    return image->elections.count;
}

int image_put_election(struct image *image, const struct uuid *topic_id, const struct body_partition *state, uint64_t index)
{
    const struct election_object *old = find_election(image, topic_id, state->partition);
    uint64_t hash = image_hash_partition(topic_id, state->partition);
    size_t candidates_size = state->election.candidate_count * sizeof(struct image_candidate);
    struct election_object *object = malloc(sizeof(*object) + candidates_size);
    int err;

    if (object == NULL) return MESH_ENOMEM;
    atomic_init(&object->object.references, 1);
    object->election.topic_id = *topic_id;
    object->election.partition = state->partition;
    object->election.index = index;
    object->election.reason = state->election.reason;
    object->election.leader = state->leader;
    object->election.leader_epoch = state->leader_epoch;
    object->election.candidate_count = state->election.candidate_count;
    if (candidates_size != 0) memcpy(object->election.candidates, state->election.candidates, candidates_size);
    err = old != NULL ? image_index_replace(&image->elections, hash, old, object)
                      : image_index_insert(&image->elections, hash, object);
    object_unref(object);
    return err;
}

int image_forget_elections(struct image *image, const struct image_topic *topic)
{
    int err = 0;

    for (uint32_t i = 0; image->elections.count != 0 && i < topic->partition_count && err == 0; i++) {
        const struct election_object *old = find_election(image, &topic->topic_id, i);
        if (old != NULL) err = image_index_remove(&image->elections, image_hash_partition(&topic->topic_id, i), old);
    }
    return err;
}
