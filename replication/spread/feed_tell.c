/* A leader's side: subscribers, the ring of rounds, walks. */
#include "replication/spread/feed_internal.h"

#include "base/assert.h"

#include <stdlib.h>

#define WALK_KEPT_MS 5000 /* after its last use: subscribers come together when a leader is new */

void tell_init(struct feed_teller *tell)
{
    memset(tell, 0, sizeof(*tell));
    list_init(&tell->subscribers);
    list_init(&tell->ring);
    list_init(&tell->pieces);
}

static void free_blocks(struct list_node *list)
{
    struct list_node *node;

    while ((node = list_pop_front(list)) != NULL)
        free(container_of(node, struct feed_block, node));
}

static void drop_walk(struct feed_teller *tell)
{
    free_blocks(&tell->pieces);
    tell->has_walk = tell->is_walk_asked = tell->is_walk_complete = tell->is_walk_broken = false;
    tell->piece_count = 0;
}

void tell_clear(struct feed_teller *tell)
{
    uint32_t walk = tell->walk;
    struct list_node *node;

    while ((node = list_pop_front(&tell->subscribers)) != NULL)
        free(container_of(node, struct feed_subscriber, node));
    free_blocks(&tell->ring);
    drop_walk(tell);
    tell_init(tell);
    tell->walk = walk; /* answers to questions of before are told apart by it */
}

static struct feed_subscriber *find(const struct feed_teller *tell, const struct feed_peer *peer)
{
    list_for_each(node, &tell->subscribers) {
        struct feed_subscriber *subscriber = container_of(node, struct feed_subscriber, node);
        if (subscriber->peer == peer) return subscriber;
    }
    return NULL;
}

static void start_over(struct feed_subscriber *subscriber)
{
    subscriber->is_walking = true;
    subscriber->piece = 0;
}

/* Whoever is in the middle of the walk needs another. */
static void restart_walk(struct feed_teller *tell)
{
    drop_walk(tell);
    list_for_each(node, &tell->subscribers) {
        struct feed_subscriber *subscriber = container_of(node, struct feed_subscriber, node);
        if (subscriber->is_walking) subscriber->piece = 0;
    }
}

/* Of the first round that begins at `position` or behind it. */
static uint64_t number_from(const struct feed_teller *tell, uint64_t position)
{
    list_for_each(node, &tell->ring) {
        const struct feed_block *block = container_of(node, struct feed_block, node);
        if (block->from >= position) return block->number;
    }
    return tell->next_number;
}

int tell_subscribe(struct spread_feed *feed, uint32_t partition, struct feed_peer *peer, const struct spread_message *message)
{
    struct feed_partition *at = &feed->partitions[partition];
    struct feed_teller *tell = &at->tell;
    struct feed_subscriber *subscriber = find(tell, peer);

    /* Who knows of a later epoch asks again, and this broker will know, too. */
    if (at->role != SPREAD_LED || at->epoch != message->epoch) return 0;
    if (subscriber == NULL) {
        subscriber = calloc(1, sizeof(*subscriber));
        if (subscriber == NULL) return MESH_ENOMEM;
        subscriber->peer = peer;
        list_push_back(&tell->subscribers, &subscriber->node);
    }
    start_over(subscriber);
    if (tell->is_ready && message->has_position && tell->start <= message->to && message->to <= tell->at) {
        subscriber->is_walking = false;
        subscriber->next = number_from(tell, message->to);
        subscriber->position = message->to;
        subscriber->is_to_be_greeted = true;
    }
    feed_touch(feed, partition);
    return 0;
}

void tell_unsubscribe(struct spread_feed *feed, uint32_t partition, const struct feed_peer *peer)
{
    struct feed_teller *tell = &feed->partitions[partition].tell;
    struct feed_subscriber *subscriber = find(tell, peer);

    if (subscriber == NULL) return;
    list_remove(&subscriber->node);
    free(subscriber);
    feed_touch(feed, partition);
}

void tell_from_the_start(struct spread_feed *feed, uint32_t partition, const struct feed_peer *peer)
{
    struct feed_subscriber *subscriber = find(&feed->partitions[partition].tell, peer);

    if (subscriber != NULL) start_over(subscriber);
}

/* ---- what the partition says ---- */

static void begin_ring(struct spread_feed *feed, struct feed_teller *tell, uint64_t at)
{
    free_blocks(&tell->ring);
    tell->ring_bytes = 0;
    tell->start = tell->at = at;
    tell->parts = 0;
    list_for_each(node, &tell->subscribers) {
        struct feed_subscriber *subscriber = container_of(node, struct feed_subscriber, node);
        if (!subscriber->is_walking) feed->stats.starts_over++;
        start_over(subscriber);
    }
    restart_walk(tell);
}

static void shorten_ring(struct spread_feed *feed, struct feed_teller *tell)
{
    while (tell->ring_bytes > feed->options.ring_bytes_max && tell->ring.next->next != &tell->ring) {
        struct feed_block *block = container_of(list_pop_front(&tell->ring), struct feed_block, node);
        tell->ring_bytes -= block->size;
        tell->start = block->from == block->to ? block->to + 1 : block->to; /* a part: who is there has not all of the round */
        free(block);
    }
    list_for_each(node, &tell->subscribers) {
        struct feed_subscriber *subscriber = container_of(node, struct feed_subscriber, node);
        if (subscriber->is_walking || subscriber->next >= container_of(tell->ring.next, struct feed_block, node)->number) continue;
        feed->stats.starts_over++;
        start_over(subscriber);
    }
    if (tell->has_walk && tell->walk_number < container_of(tell->ring.next, struct feed_block, node)->number) restart_walk(tell);
}

int spread_feed_round(struct spread_feed *feed, const struct spread_round *round)
{
    struct feed_partition *at = &feed->partitions[round->partition];
    struct feed_teller *tell = &at->tell;
    uint64_t to = round->is_part ? tell->at : round->to;
    struct spread_message message = {.kind = SPREAD_ROUND, .partition = round->partition, .epoch = round->epoch, .from = tell->at, .to = to,
                                     .piece = tell->parts, .rows = round->rows};
    struct feed_block *block;
    int err;

    if (at->role != SPREAD_LED || at->epoch != round->epoch || !tell->is_watch_asked) return 0;
    if (!tell->is_ready && !round->is_first) return 0; /* of an earlier watch */
    if (round->is_part && round->rows.size == 0) return 0;
    feed_touch(feed, round->partition);
    if (round->is_first || round->has_gap || to < tell->at) {
        tell->is_ready = true;
        begin_ring(feed, tell, round->to);
        return 0;
    }
    err = feed_block_new(&message, &block);
    if (err != 0) {
        begin_ring(feed, tell, round->to);
        return err;
    }
    block->from = tell->at;
    block->to = to;
    block->number = tell->next_number++;
    list_push_back(&tell->ring, &block->node);
    tell->ring_bytes += block->size;
    tell->at = to;
    tell->parts = round->is_part ? tell->parts + 1 : 0;
    shorten_ring(feed, tell);
    return 0;
}

int spread_feed_walked(struct spread_feed *feed, uint64_t now_ms, uint32_t partition, uint32_t walk, struct slice rows, bool is_last)
{
    struct feed_partition *at = &feed->partitions[partition];
    struct feed_teller *tell = &at->tell;
    struct spread_message message = {.kind = SPREAD_PIECE, .partition = partition, .epoch = at->epoch, .piece = tell->piece_count, .is_last = is_last,
                                     .to = tell->walk_at, .rows = rows};
    struct feed_block *block;
    int err;

    if (at->role != SPREAD_LED || !tell->has_walk || !tell->is_walk_asked || walk != tell->walk) return 0;
    err = feed_block_new(&message, &block);
    if (err != 0) {
        tell->is_walk_broken = true; /* until the next tick: a want of memory does not end by asking at once */
        return err;
    }
    tell->is_walk_asked = false;
    tell->is_walk_complete = is_last;
    tell->walk_used_ms = now_ms;
    tell->piece_count++;
    list_push_back(&tell->pieces, &block->node);
    feed_touch(feed, partition);
    return 0;
}

void tell_tick(struct spread_feed *feed, uint64_t now_ms, uint32_t partition)
{
    struct feed_teller *tell = &feed->partitions[partition].tell;

    if (tell->is_walk_broken) restart_walk(tell);
    if (tell->is_walk_complete && now_ms >= tell->walk_used_ms + WALK_KEPT_MS) restart_walk(tell);
    if (!list_is_empty(&tell->subscribers)) feed_touch(feed, partition);
}

uint64_t tell_due_ms(const struct feed_teller *tell)
{
    if (tell->is_walk_broken) return 0;
    return tell->is_walk_complete ? tell->walk_used_ms + WALK_KEPT_MS : UINT64_MAX;
}

/* ---- outputs ---- */

static void send_block(struct spread_feed *feed, struct feed_subscriber *subscriber, const struct feed_block *block, struct spread_output *ret_output)
{
    subscriber->peer->sent += block->size;
    feed->stats.bytes_told += block->size;
    *ret_output = (struct spread_output){.kind = SPREAD_OUTPUT_SEND, .peer = subscriber->peer->id, .bytes = slice_of(block->data, block->size)};
}

static const struct feed_block *block_at(const struct list_node *list, uint32_t number)
{
    const struct list_node *node = list->next;

    while (number-- != 0)
        node = node->next;
    return container_of(node, struct feed_block, node);
}

static bool send_piece(struct spread_feed *feed, uint64_t now_ms, struct feed_teller *tell, struct feed_subscriber *subscriber, struct spread_output *ret_output)
{
    if (!tell->has_walk || subscriber->piece >= tell->piece_count) return false;
    send_block(feed, subscriber, block_at(&tell->pieces, subscriber->piece), ret_output);
    feed->stats.pieces_told++;
    tell->walk_used_ms = now_ms;
    subscriber->piece++;
    if (tell->is_walk_complete && subscriber->piece == tell->piece_count) {
        subscriber->is_walking = false;
        subscriber->next = tell->walk_number;
    }
    return true;
}

static bool send_round(struct spread_feed *feed, struct feed_teller *tell, struct feed_subscriber *subscriber, struct spread_output *ret_output)
{
    list_for_each(node, &tell->ring) {
        const struct feed_block *block = container_of(node, struct feed_block, node);
        if (block->number < subscriber->next) continue;
        send_block(feed, subscriber, block, ret_output);
        feed->stats.rounds_told++;
        subscriber->next = block->number + 1;
        subscriber->is_to_be_greeted = false;
        return true;
    }
    return false;
}

/* A round of nothing. Without memory the subscriber asks again. */
static bool greet(struct spread_feed *feed, uint32_t partition, struct feed_subscriber *subscriber, struct spread_output *ret_output)
{
    struct spread_message message = {.kind = SPREAD_ROUND, .partition = partition, .epoch = feed->partitions[partition].epoch, .from = subscriber->position,
                                     .to = subscriber->position};

    if (!subscriber->is_to_be_greeted) return false;
    subscriber->is_to_be_greeted = false;
    buffer_clear(&feed->bytes);
    if (spread_message_encode(&message, &feed->bytes) != 0) return false;
    *ret_output = (struct spread_output){.kind = SPREAD_OUTPUT_SEND, .peer = subscriber->peer->id, .bytes = buffer_slice(&feed->bytes)};
    return true;
}

static bool serve(struct spread_feed *feed, uint64_t now_ms, uint32_t partition, struct feed_subscriber *subscriber, struct spread_output *ret_output)
{
    struct feed_teller *tell = &feed->partitions[partition].tell;

    if (!tell->is_ready) return false;
    if (subscriber->peer->sent >= feed->options.link_bytes) {
        feed->is_held_back = true;
        return false;
    }
    if (subscriber->is_walking) return send_piece(feed, now_ms, tell, subscriber, ret_output);
    return send_round(feed, tell, subscriber, ret_output) || greet(feed, partition, subscriber, ret_output);
}

/* The next piece is asked for when the first of those who wait for it has all the others. */
static bool ask_walk(struct spread_feed *feed, uint32_t partition, struct spread_output *ret_output)
{
    struct feed_partition *at = &feed->partitions[partition];
    struct feed_teller *tell = &at->tell;
    bool is_needed = false;

    list_for_each(node, &tell->subscribers) {
        const struct feed_subscriber *subscriber = container_of(node, struct feed_subscriber, node);
        is_needed |= subscriber->is_walking && subscriber->piece == tell->piece_count;
    }
    if (!tell->is_ready || !is_needed || tell->is_walk_asked || tell->is_walk_complete) return false;
    *ret_output = (struct spread_output){.kind = SPREAD_OUTPUT_WALK, .partition = partition, .epoch = at->epoch, .is_on = !tell->has_walk};
    if (!tell->has_walk) {
        tell->has_walk = true;
        tell->walk++;
        tell->walk_at = tell->at;
        tell->walk_number = tell->next_number;
    }
    tell->is_walk_asked = true;
    ret_output->walk = tell->walk;
    return true;
}

static bool ask_watch(struct spread_feed *feed, uint32_t partition, struct spread_output *ret_output)
{
    struct feed_partition *at = &feed->partitions[partition];
    bool is_wanted = !list_is_empty(&at->tell.subscribers);

    if (at->tell.is_watch_asked == is_wanted) return false;
    if (!is_wanted) tell_clear(&at->tell);
    at->tell.is_watch_asked = is_wanted;
    *ret_output = (struct spread_output){.kind = SPREAD_OUTPUT_WATCH, .partition = partition, .epoch = at->epoch, .is_on = is_wanted};
    return true;
}

bool tell_output(struct spread_feed *feed, uint64_t now_ms, uint32_t partition, struct spread_output *ret_output)
{
    struct feed_teller *tell = &feed->partitions[partition].tell;

    if (feed->partitions[partition].role != SPREAD_LED) return false;
    if (ask_watch(feed, partition, ret_output)) return true;
    list_for_each(node, &tell->subscribers) {
        if (serve(feed, now_ms, partition, container_of(node, struct feed_subscriber, node), ret_output)) return true;
    }
    return ask_walk(feed, partition, ret_output);
}
