#include "replication/spread/feed_internal.h"

#include "base/assert.h"

#include <stdlib.h>

void spread_feed_options_init(struct spread_feed_options *options)
{
    *options = (struct spread_feed_options){.ring_bytes_max = 1u << 20, .link_bytes = 1u << 20, .cache_bytes_max = 256u << 20, .silence_ms = 1000,
                                            .tombstones_s = 3600};
}

int spread_feed_new(const struct spread_feed_options *options, struct spread_feed **ret_feed)
{
    struct spread_feed *feed = calloc(1, sizeof(*feed));

    if (feed == NULL) return MESH_ENOMEM;
    feed->options = *options;
    list_init(&feed->link_changes);
    list_init(&feed->answers);
    for (uint32_t i = 0; i < GROUP_PARTITIONS; i++)
        tell_init(&feed->partitions[i].tell);
    *ret_feed = feed;
    return 0;
}

static void drop_answers(struct spread_feed *feed, const struct uuid *peer)
{
    list_for_each_safe(node, &feed->answers) {
        struct feed_answer *answer = container_of(node, struct feed_answer, node);
        if (peer != NULL && !uuid_equal(&answer->peer, peer)) continue;
        list_remove(node);
        free(answer->block);
        free(answer);
    }
}

void spread_feed_free(struct spread_feed *feed)
{
    struct map_node *next;

    if (feed == NULL) return;
    for (uint32_t i = 0; i < GROUP_PARTITIONS; i++) {
        tell_clear(&feed->partitions[i].tell);
        spread_cells_free(feed->partitions[i].hear.cells);
        spread_cells_free(feed->partitions[i].hear.incoming);
    }
    for (struct map_node *node = map_iterate(&feed->peers, NULL); node != NULL; node = next) {
        next = map_iterate(&feed->peers, node);
        free(container_of(node, struct feed_peer, node));
    }
    drop_answers(feed, NULL);
    map_deinit(&feed->peers);
    buffer_deinit(&feed->bytes);
    free(feed->sent);
    free(feed);
}

int feed_block_new(const struct spread_message *message, struct feed_block **ret_block)
{
    struct buffer bytes = BUFFER_INIT;
    struct feed_block *block = NULL;
    int err = spread_message_encode(message, &bytes);

    if (err == 0) {
        block = malloc(sizeof(*block) + bytes.size);
        if (block == NULL) err = MESH_ENOMEM;
    }
    if (err == 0) {
        block->from = block->to = block->number = 0;
        block->size = bytes.size;
        memcpy(block->data, bytes.data, bytes.size);
        list_init(&block->node);
        *ret_block = block;
    }
    buffer_deinit(&bytes);
    return err;
}

/* ---- peers ---- */

struct feed_peer *feed_find_peer(const struct spread_feed *feed, const struct uuid *id)
{
    struct map_node *node = map_find(&feed->peers, map_hash_bytes(id->bytes, UUID_SIZE));

    for (; node != NULL; node = map_find_next(node)) {
        struct feed_peer *peer = container_of(node, struct feed_peer, node);
        if (uuid_equal(&peer->id, id)) return peer;
    }
    return NULL;
}

int feed_add_peer(struct spread_feed *feed, const struct uuid *id, struct feed_peer **ret_peer)
{
    struct feed_peer *peer = feed_find_peer(feed, id);

    if (peer == NULL) {
        peer = calloc(1, sizeof(*peer));
        if (peer == NULL) return MESH_ENOMEM;
        peer->id = *id;
        list_init(&peer->change);
        if (map_insert(&feed->peers, &peer->node, map_hash_bytes(id->bytes, UUID_SIZE)) != 0) {
            free(peer);
            return MESH_ENOMEM;
        }
    }
    *ret_peer = peer;
    return 0;
}

/* What is neither linked nor wanted is forgotten, once its link was given back. */
void feed_link_changed(struct spread_feed *feed, struct feed_peer *peer)
{
    list_remove(&peer->change);
    if (peer->is_link_asked != (peer->wanted != 0)) {
        list_push_back(&feed->link_changes, &peer->change);
    } else if (!peer->is_up && peer->wanted == 0) {
        map_remove(&feed->peers, &peer->node);
        free(peer);
    }
}

int spread_feed_peer_up(struct spread_feed *feed, uint64_t now_ms, const struct uuid *id)
{
    struct feed_peer *peer;

    (void)now_ms;
    if (feed_add_peer(feed, id, &peer) != 0) return MESH_ENOMEM;
    peer->is_up = true;
    for (uint32_t i = 0; i < GROUP_PARTITIONS; i++)
        if (feed->partitions[i].hear.leader == peer) hear_ask(feed, i);
    return 0;
}

void spread_feed_peer_down(struct spread_feed *feed, uint64_t now_ms, const struct uuid *id)
{
    struct feed_peer *peer = feed_find_peer(feed, id);

    if (peer == NULL) return;
    peer->is_up = false;
    for (uint32_t i = 0; i < GROUP_PARTITIONS; i++) {
        struct feed_partition *at = &feed->partitions[i];
        if (at->hear.leader == peer) hear_down(feed, now_ms, i);
        tell_unsubscribe(feed, i, peer);
    }
    drop_answers(feed, id);
    feed_link_changed(feed, peer);
}

void spread_feed_lost(struct spread_feed *feed, const struct uuid *id)
{
    struct feed_peer *peer = feed_find_peer(feed, id);

    if (peer == NULL) return;
    for (uint32_t i = 0; i < GROUP_PARTITIONS; i++)
        tell_from_the_start(feed, i, peer);
    peer->sent = feed->options.link_bytes; /* not at once: it has too much on its way already */
    feed->is_held_back = true;
}

/* ---- events ---- */

void spread_feed_place(struct spread_feed *feed, uint64_t now_ms, uint32_t partition, enum spread_role role, const struct uuid *leader, uint32_t epoch)
{
    struct feed_partition *at = &feed->partitions[partition];
    const struct uuid *before = at->hear.leader == NULL ? NULL : &at->hear.leader->id;
    bool is_same = before == NULL || leader == NULL ? before == NULL && leader == NULL : uuid_equal(before, leader);

    MESH_ASSERT(partition < GROUP_PARTITIONS);
    if (role != SPREAD_ELSEWHERE) leader = NULL;
    if (at->role == SPREAD_LED && (role != SPREAD_LED || epoch != at->epoch)) tell_clear(&at->tell);
    if (role == SPREAD_ELSEWHERE && is_same && at->role == role && epoch == at->epoch) return;
    at->role = role;
    at->epoch = epoch;
    feed_touch(feed, partition);
    if (leader == NULL && at->hear.leader == NULL) return;
    if (hear_follow(feed, now_ms, partition, leader) != 0) at->epoch = UINT32_MAX; /* so that the next call tries again */
}

int spread_feed_receive(struct spread_feed *feed, uint64_t now_ms, const struct uuid *id, const struct spread_message *message)
{
    struct feed_peer *peer = feed_find_peer(feed, id);

    if (peer == NULL || !peer->is_up) return 0;
    switch (message->kind) {
    case SPREAD_SUBSCRIBE:
        return tell_subscribe(feed, message->partition, peer, message);
    case SPREAD_UNSUBSCRIBE:
        tell_unsubscribe(feed, message->partition, peer);
        return 0;
    case SPREAD_ROUND:
    case SPREAD_PIECE:
        return hear_receive(feed, now_ms, message->partition, peer, message);
    case SPREAD_RECOVER:
        return hear_recall(feed, now_ms, message->partition, peer, message->epoch);
    default:
        return 0;
    }
}

void spread_feed_tick(struct spread_feed *feed, uint64_t now_ms)
{
    if (now_ms >= feed->round_ms + SPREAD_ROUND_MS) {
        feed->round_ms = now_ms;
        feed->is_held_back = false;
        for (struct map_node *node = map_iterate(&feed->peers, NULL); node != NULL; node = map_iterate(&feed->peers, node))
            container_of(node, struct feed_peer, node)->sent = 0;
    }
    for (uint32_t i = 0; i < GROUP_PARTITIONS; i++) {
        tell_tick(feed, now_ms, i);
        hear_tick(feed, now_ms, i);
    }
}

uint64_t spread_feed_due_ms(const struct spread_feed *feed)
{
    uint64_t due_ms = feed->is_held_back ? feed->round_ms + SPREAD_ROUND_MS : UINT64_MAX;

    for (uint32_t i = 0; i < GROUP_PARTITIONS; i++) {
        uint64_t tell_ms = tell_due_ms(&feed->partitions[i].tell), hear_ms = hear_due_ms(feed, &feed->partitions[i].hear);
        if (tell_ms == 0 || hear_ms == 0) tell_ms = feed->round_ms + SPREAD_ROUND_MS; /* what had no memory is tried again then */
        if (tell_ms < due_ms) due_ms = tell_ms;
        if (hear_ms != 0 && hear_ms < due_ms) due_ms = hear_ms;
    }
    return due_ms;
}

/* ---- outputs ---- */

static bool link_output(struct spread_feed *feed, struct spread_output *ret_output)
{
    struct list_node *node = list_pop_front(&feed->link_changes);
    struct feed_peer *peer;

    if (node == NULL) return false;
    peer = container_of(node, struct feed_peer, change);
    peer->is_link_asked = peer->wanted != 0;
    *ret_output = (struct spread_output){.kind = SPREAD_OUTPUT_LINK, .peer = peer->id, .is_on = peer->is_link_asked};
    feed_link_changed(feed, peer);
    return true;
}

static bool answer_output(struct spread_feed *feed, struct spread_output *ret_output)
{
    struct list_node *node = list_pop_front(&feed->answers);
    struct feed_answer *answer;

    if (node == NULL) return false;
    answer = container_of(node, struct feed_answer, node);
    *ret_output = (struct spread_output){.kind = SPREAD_OUTPUT_SEND, .peer = answer->peer, .bytes = slice_of(answer->block->data, answer->block->size)};
    feed->sent = answer->block;
    free(answer);
    return true;
}

bool spread_feed_next_output(struct spread_feed *feed, uint64_t now_ms, struct spread_output *ret_output)
{
    free(feed->sent);
    feed->sent = NULL;
    if (link_output(feed, ret_output) || answer_output(feed, ret_output)) return true;
    while (feed->dirty != 0) {
        uint64_t ahead = feed->dirty & (UINT64_MAX << feed->turn);
        uint32_t partition = (uint32_t)__builtin_ctzll(ahead != 0 ? ahead : feed->dirty);

        feed->turn = (partition + 1) % GROUP_PARTITIONS; /* one's pieces do not use up what a link may carry of all */
        if (tell_output(feed, now_ms, partition, ret_output) || hear_output(feed, now_ms, partition, ret_output)) return true;
        feed->dirty &= ~(1ull << partition);
    }
    return false;
}

/* ---- looking ---- */

const struct spread_cells *spread_feed_cells(const struct spread_feed *feed, uint32_t partition)
{
    return feed->partitions[partition].hear.cells;
}

void spread_feed_forget(struct spread_feed *feed, uint32_t partition)
{
    struct feed_hearer *hear = &feed->partitions[partition].hear;

    spread_cells_free(hear->cells);
    hear->cells = NULL;
    hear->has_position = false;
    if (hear->phase == FEED_FOLLOWING) hear_ask(feed, partition);
}

uint64_t spread_feed_age_ms(const struct spread_feed *feed, uint64_t now_ms, uint32_t partition)
{
    const struct feed_hearer *hear = &feed->partitions[partition].hear;

    if (hear->cells == NULL) return UINT64_MAX;
    /* A leader that has news tells them within a round; a link that carries nothing any more is found out by its own means. */
    if (hear->phase == FEED_FOLLOWING) return SPREAD_ROUND_MS;
    return now_ms - hear->heard_ms + SPREAD_ROUND_MS;
}

struct spread_feed_stats spread_feed_stats_of(const struct spread_feed *feed)
{
    struct spread_feed_stats stats = feed->stats;

    for (uint32_t i = 0; i < GROUP_PARTITIONS; i++) {
        const struct feed_partition *at = &feed->partitions[i];
        list_for_each(node, &at->tell.subscribers)
            stats.subscribers++;
        stats.following += at->hear.phase == FEED_FOLLOWING;
        if (at->hear.cells != NULL) stats.cache_bytes += spread_cells_bytes(at->hear.cells);
    }
    return stats;
}
