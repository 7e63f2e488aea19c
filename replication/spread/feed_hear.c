/* A subscriber's side: whom to follow, and what becomes of what it says. */
#include "replication/spread/feed_internal.h"

#include "base/assert.h"
#include "replication/spread/switches.h"

#include <stdlib.h>

#define PURGE_EVERY_S 600
#define ASKS_MAX      5 /* doublings of the time until a question is asked again */
#define WALK_PATIENCE 5 /* times as long as an answer: pieces of many partitions share a link */

static void drop_incoming(struct feed_hearer *hear)
{
    spread_cells_free(hear->incoming);
    hear->incoming = NULL;
    hear->next_piece = 0;
}

void hear_ask(struct spread_feed *feed, uint32_t partition)
{
    struct feed_hearer *hear = &feed->partitions[partition].hear;

    if (hear->leader == NULL) return;
    drop_incoming(hear);
    hear->phase = hear->leader->is_up ? FEED_ASK : FEED_WAITING;
    feed_touch(feed, partition);
}

static size_t cache_bytes(const struct spread_feed *feed)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < GROUP_PARTITIONS; i++) {
        const struct feed_hearer *hear = &feed->partitions[i].hear;
        if (hear->cells != NULL) bytes += spread_cells_bytes(hear->cells);
        if (hear->incoming != NULL) bytes += spread_cells_bytes(hear->incoming);
    }
    return bytes;
}

int hear_follow(struct spread_feed *feed, uint64_t now_ms, uint32_t partition, const struct uuid *leader)
{
    struct feed_hearer *hear = &feed->partitions[partition].hear;
    struct feed_peer *peer = NULL, *before = hear->leader;
    bool is_full = hear->cells == NULL && cache_bytes(feed) > feed->options.cache_bytes_max;

    if (leader != NULL && !is_full && feed_add_peer(feed, leader, &peer) != 0) return MESH_ENOMEM;
    if (peer != NULL) {
        peer->wanted++;
        feed_link_changed(feed, peer);
    }
    if (hear->phase == FEED_FOLLOWING) hear->heard_ms = now_ms;
    drop_incoming(hear);
    hear->leader = peer;
    hear->asks = 0;
    hear->phase = FEED_IDLE;
    hear_ask(feed, partition);
    if (before != NULL) {
        before->wanted--;
        feed_link_changed(feed, before);
    }
    return 0;
}

void hear_down(struct spread_feed *feed, uint64_t now_ms, uint32_t partition)
{
    struct feed_hearer *hear = &feed->partitions[partition].hear;

    if (hear->phase == FEED_FOLLOWING) hear->heard_ms = now_ms;
    drop_incoming(hear);
    hear->phase = FEED_WAITING;
}

/* ---- what is heard ---- */

static void settle(struct spread_feed *feed, uint64_t now_ms, struct feed_hearer *hear, uint32_t epoch, uint64_t position)
{
    hear->phase = FEED_FOLLOWING;
    hear->asks = 0;
    hear->has_position = true;
    hear->parts = hear->position_epoch == epoch && hear->position == position ? hear->parts : 0;
    hear->position_epoch = epoch;
    hear->position = position;
    hear->heard_ms = now_ms;
    /* The clock of graves is that of the rows: it runs only while there is something to do. */
    if (hear->newest_s < hear->purged_s + PURGE_EVERY_S || hear->newest_s < feed->options.tombstones_s) return;
    hear->purged_s = hear->newest_s;
    spread_cells_purge(hear->cells, hear->newest_s - feed->options.tombstones_s);
}

static int merge(struct feed_hearer *hear, struct spread_cells *cells, struct slice rows)
{
    struct spread_rows_reader reader = spread_rows_read(rows);
    struct spread_row row;

    while (spread_rows_next(&reader, &row)) {
        if (row.time_s > hear->newest_s) hear->newest_s = row.time_s;
        if (spread_cells_merge(cells, &row) != 0) return MESH_ENOMEM;
    }
    return 0;
}

static int hear_piece(struct spread_feed *feed, uint64_t now_ms, uint32_t partition, const struct spread_message *message)
{
    struct feed_hearer *hear = &feed->partitions[partition].hear;

    if (message->piece == 0) drop_incoming(hear);
    if (message->piece != hear->next_piece || (message->piece != 0 && hear->incoming == NULL)) return 0; /* of a walk that began before this broker asked */
    if (hear->incoming == NULL && spread_cells_new(&hear->incoming) != 0) return MESH_ENOMEM;
    hear->phase = FEED_ASKED;
    hear->asked_ms = now_ms;
    if (merge(hear, hear->incoming, message->rows) != 0) {
        drop_incoming(hear);
        return MESH_ENOMEM;
    }
    hear->next_piece++;
    feed->stats.pieces_heard++;
    if (!message->is_last) return 0;
    if (SPREAD_DEFECT(WALKS_ADD) && hear->cells != NULL) {
        if (merge(hear, hear->cells, message->rows) != 0) return MESH_ENOMEM;
    } else {
        spread_cells_free(hear->cells);
        hear->cells = hear->incoming;
        hear->incoming = NULL;
    }
    drop_incoming(hear);
    settle(feed, now_ms, hear, message->epoch, message->to);
    return 0;
}

/* Does it begin where this broker is, or before? The later parts of a round are of use only behind the earlier ones. */
static bool is_next(const struct feed_hearer *hear, const struct spread_message *message)
{
    if (!hear->has_position || hear->position_epoch != message->epoch || message->from > hear->position) return false;
    if (message->from == hear->position) return message->piece <= hear->parts;
    return message->piece == 0 || message->to <= hear->position;
}

static int hear_round(struct spread_feed *feed, uint64_t now_ms, uint32_t partition, const struct spread_message *message)
{
    struct feed_hearer *hear = &feed->partitions[partition].hear;

    if (hear->incoming != NULL) return 0; /* a walk has begun: what it does not tell comes after it */
    if (!is_next(hear, message) && !(SPREAD_DEFECT(GAPS_PASSED_OVER) && hear->cells != NULL)) {
        if (hear->phase == FEED_FOLLOWING) hear_ask(feed, partition);
        return 0;
    }
    if (message->to < hear->position) return 0;
    if (merge(hear, hear->cells, message->rows) != 0) {
        /* Merging again does no harm: it is asked for from the same position, a while later. */
        hear->phase = FEED_ASKED;
        hear->asked_ms = now_ms;
        return MESH_ENOMEM;
    }
    feed->stats.rounds_heard++;
    settle(feed, now_ms, hear, message->epoch, message->to);
    if (message->from == message->to && message->rows.size != 0 && message->piece == hear->parts) hear->parts++;
    return 0;
}

int hear_receive(struct spread_feed *feed, uint64_t now_ms, uint32_t partition, const struct feed_peer *peer, const struct spread_message *message)
{
    struct feed_partition *at = &feed->partitions[partition];

    if (at->role != SPREAD_ELSEWHERE) {
        at->has_unsubscribe = true;
        at->unsubscribe_from = peer->id;
        feed_touch(feed, partition);
        return 0;
    }
    /* Who led before may not have heard of its end; who leads later is believed once the metadata say so here, too. */
    if (at->hear.leader != peer || at->epoch != message->epoch) return 0;
    feed->stats.bytes_heard += message->rows.size;
    return message->kind == SPREAD_PIECE ? hear_piece(feed, now_ms, partition, message) : hear_round(feed, now_ms, partition, message);
}

static uint64_t patience_ends_ms(const struct spread_feed *feed, const struct feed_hearer *hear)
{
    return hear->asked_ms + (uint64_t)feed->options.silence_ms * (hear->incoming == NULL ? 1u << hear->asks : WALK_PATIENCE);
}

void hear_tick(struct spread_feed *feed, uint64_t now_ms, uint32_t partition)
{
    struct feed_hearer *hear = &feed->partitions[partition].hear;

    if (hear->phase == FEED_ASKED && now_ms >= patience_ends_ms(feed, hear)) {
        hear_ask(feed, partition);
        if (hear->asks < ASKS_MAX) hear->asks++; /* a leader that cannot tell is asked more and more rarely */
    }
    if (hear->phase == FEED_ASK) feed_touch(feed, partition);
}

uint64_t hear_due_ms(const struct spread_feed *feed, const struct feed_hearer *hear)
{
    if (hear->phase == FEED_ASK) return 0; /* there was no memory to say it */
    return hear->phase == FEED_ASKED ? patience_ends_ms(feed, hear) : UINT64_MAX;
}

/* ---- outputs ---- */

static bool say(struct spread_feed *feed, const struct spread_message *message, const struct uuid *peer, struct spread_output *ret_output)
{
    buffer_clear(&feed->bytes);
    if (spread_message_encode(message, &feed->bytes) != 0) return false;
    *ret_output = (struct spread_output){.kind = SPREAD_OUTPUT_SEND, .peer = *peer, .bytes = buffer_slice(&feed->bytes)};
    return true;
}

bool hear_output(struct spread_feed *feed, uint64_t now_ms, uint32_t partition, struct spread_output *ret_output)
{
    struct feed_partition *at = &feed->partitions[partition];
    struct feed_hearer *hear = &at->hear;
    struct spread_message message = {.kind = SPREAD_UNSUBSCRIBE, .partition = partition, .epoch = at->epoch};

    if (at->has_unsubscribe) {
        at->has_unsubscribe = false;
        if (say(feed, &message, &at->unsubscribe_from, ret_output)) return true;
    }
    if (hear->phase != FEED_ASK) return false;
    message.kind = SPREAD_SUBSCRIBE;
    message.has_position = hear->has_position && hear->position_epoch == at->epoch;
    if (message.has_position) message.to = hear->position;
    if (!say(feed, &message, &hear->leader->id, ret_output)) return false;
    hear->phase = FEED_ASKED;
    hear->asked_ms = now_ms;
    return true;
}

/* ---- the last copy ---- */

struct recall {
    struct spread_feed *feed;
    struct list_node answers;
    struct uuid peer;
    struct spread_message message;
    struct buffer rows;
    struct spread_rows_writer writer;
    int error;
};

static void end_piece(struct recall *recall, bool is_last)
{
    struct feed_answer *answer = malloc(sizeof(*answer));

    recall->message.rows = buffer_slice(&recall->rows);
    recall->message.is_last = is_last;
    if (recall->error == 0) recall->error = recall->writer.writer.error;
    if (recall->error == 0 && answer == NULL) recall->error = MESH_ENOMEM;
    if (recall->error == 0) recall->error = feed_block_new(&recall->message, &answer->block);
    if (recall->error != 0) {
        free(answer);
        return;
    }
    answer->peer = recall->peer;
    list_push_back(&recall->answers, &answer->node);
    recall->message.piece++;
    buffer_clear(&recall->rows);
    recall->writer = spread_rows_write(&recall->rows);
}

static void put(void *arg, const struct spread_row *row)
{
    struct recall *recall = arg;

    spread_rows_put(&recall->writer, row);
    if (recall->rows.size >= SPREAD_PIECE_BYTES) end_piece(recall, false);
}

int hear_recall(struct spread_feed *feed, uint64_t now_ms, uint32_t partition, const struct feed_peer *peer, uint32_t epoch)
{
    const struct spread_cells *cells = feed->partitions[partition].hear.cells;
    struct recall recall = {.feed = feed, .peer = peer->id, .rows = BUFFER_INIT};
    struct list_node *node;

    list_for_each(waiting, &feed->answers) {
        if (uuid_equal(&container_of(waiting, struct feed_answer, node)->peer, &peer->id)) return 0; /* one answer at a time; it asks again */
    }
    list_init(&recall.answers);
    recall.message = (struct spread_message){.kind = SPREAD_RECOVERED, .partition = partition, .epoch = epoch,
                                             .age_ms = spread_feed_age_ms(feed, now_ms, partition)};
    recall.writer = spread_rows_write(&recall.rows);
    if (cells != NULL) spread_cells_each_row(cells, put, &recall);
    end_piece(&recall, true);
    buffer_deinit(&recall.rows);
    while ((node = list_pop_front(&recall.answers)) != NULL) {
        struct feed_answer *answer = container_of(node, struct feed_answer, node);
        if (recall.error == 0) {
            list_push_back(&feed->answers, node);
            continue;
        }
        free(answer->block);
        free(answer);
    }
    return recall.error;
}
