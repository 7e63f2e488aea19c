/* metadata/origins.c - the coordinator's side: what it knows of each broker that asks, for as long as its term lasts.
 *
 * An answer that rests on no entry of its own (a refusal, or "it is so already") leaves no trace in the image. A second copy of such a request,
 * decided after the world has changed, might be done although its origin was told otherwise. Copies reach a coordinator only in the term that they
 * were sent for (decisions.c), so it is enough that the coordinator of that term remembers; nothing has to be committed. It forgets what the origin
 * waits for no longer, which each request says: no more than NODE_REQUEST_WINDOW of them are remembered for one origin. */
#include "replication/metadata/node_internal.h"

#include <stdlib.h>

/* A process counts its requests from a place of its own (node.c): numbers that lie further apart than this are another process's. */
#define PROCESS_REACH (UINT64_C(1) << 32)

static struct origin *find(const struct node *node, const struct uuid *id)
{
    uint64_t hash = map_hash_bytes(id->bytes, UUID_SIZE);

    for (struct map_node *found = map_find(&node->origin_map, hash); found != NULL; found = map_find_next(found)) {
        struct origin *origin = container_of(found, struct origin, map_node);

        if (uuid_equal(&origin->id, id)) return origin;
    }
    return NULL;
}

static void let_go(struct decided *decided)
{
    list_remove(&decided->kept);
    if (!decided->is_waiting) node_decided_free(decided);
}

static void forget(struct node *node, struct origin *origin)
{
    list_for_each_safe(at, &origin->kept)
        let_go(container_of(at, struct decided, kept));
    map_remove(&node->origin_map, &origin->map_node);
    free(origin);
}

/* Whoever has no link here: the copies that it sent over the last one are gone with that, and what it was not answered it asks anew. */
static void make_room(struct node *node)
{
    for (struct map_node *at = map_iterate(&node->origin_map, NULL); at != NULL; at = map_iterate(&node->origin_map, at)) {
        struct origin *origin = container_of(at, struct origin, map_node);
        const struct peer *peer = node_peer_find(node, &origin->id);

        if (origin->order_count != 0 || (peer != NULL && peer->is_linked) || uuid_equal(&origin->id, &node->options.self.broker)) continue;
        forget(node, origin);
        return;
    }
}

static struct origin *make(struct node *node, const struct uuid *id)
{
    struct origin *origin;

    if (node->origin_map.count >= NODE_KNOWN_MAX) make_room(node);
    origin = node->origin_map.count < NODE_KNOWN_MAX ? calloc(1, sizeof(*origin)) : NULL;
    if (origin == NULL) return NULL;
    origin->id = *id;
    list_init(&origin->kept);
    if (map_insert(&node->origin_map, &origin->map_node, map_hash_bytes(id->bytes, UUID_SIZE)) == 0) return origin;
    free(origin);
    return NULL;
}

/* Nobody waits for what lies outside of the window from `oldest` on. */
static void move_on(struct origin *origin, uint64_t oldest)
{
    origin->oldest = oldest;
    list_for_each_safe(at, &origin->kept)
    {
        struct decided *decided = container_of(at, struct decided, kept);

        if (!node_origin_waits(origin, decided->sequence)) let_go(decided);
    }
}

struct origin *node_origins_hear(struct node *node, const struct uuid *id, uint64_t oldest)
{
    struct origin *origin = find(node, id);

    if (origin == NULL) origin = make(node, id);
    if (origin == NULL) return NULL;
    /* Links are ordered: what another process says is newer. A copy of this one's that was overtaken says less than is known. */
    if (oldest - origin->oldest < PROCESS_REACH || origin->oldest - oldest >= PROCESS_REACH) move_on(origin, oldest);
    return origin;
}

bool node_origin_waits(const struct origin *origin, uint64_t sequence)
{
    return sequence - origin->oldest < NODE_REQUEST_WINDOW;
}

struct decided *node_origin_find(const struct origin *origin, uint64_t sequence)
{
    list_for_each(at, &origin->kept)
    {
        struct decided *decided = container_of(at, struct decided, kept);

        if (decided->sequence == sequence) return decided;
    }
    return NULL;
}

void node_origin_keep(struct origin *origin, struct decided *decided)
{
    list_push_back(&origin->kept, &decided->kept);
}

void node_origins_clear(struct node *node)
{
    struct map_node *at;

    while ((at = map_iterate(&node->origin_map, NULL)) != NULL)
        forget(node, container_of(at, struct origin, map_node));
    map_deinit(&node->origin_map);
}
