#include "spread_rig.h"

#include "base/assert.h"
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>

static struct uuid node_id(uint32_t node)
{
    return (struct uuid){{(uint8_t)(node + 1)}};
}

static uint32_t node_of(const struct uuid *id)
{
    return id->bytes[0] - 1u;
}

void rig_init(struct rig *rig, uint64_t seed)
{
    memset(rig, 0, sizeof(*rig));
    random_init(&rig->random, seed);
    spread_feed_options_init(&rig->options);
    rig->options.ring_bytes_max = 2000;
    rig->options.link_bytes = 20000;
    rig->now_ms = 1000000;
    for (uint32_t i = 0; i < RIG_NODES; i++)
        MESH_ASSERT(spread_feed_new(&rig->options, &rig->nodes[i].feed) == 0);
    for (uint32_t i = 0; i < RIG_PARTITIONS; i++) {
        MESH_ASSERT(spread_cells_new(&rig->partitions[i].truth) == 0);
        rig->partitions[i].writer = spread_rows_write(&rig->partitions[i].rows);
        rig_lead(rig, i, i);
    }
}

static void drop_inbox(struct rig_node *node, uint32_t from)
{
    while (node->inbox[from] != NULL) {
        struct rig_message *message = node->inbox[from];
        node->inbox[from] = message->next;
        free(message);
    }
}

void rig_deinit(struct rig *rig)
{
    for (uint32_t i = 0; i < RIG_NODES; i++) {
        for (uint32_t j = 0; j < RIG_NODES; j++)
            drop_inbox(&rig->nodes[i], j);
        spread_feed_free(rig->nodes[i].feed);
    }
    for (uint32_t i = 0; i < RIG_PARTITIONS; i++) {
        spread_cells_free(rig->partitions[i].truth);
        buffer_deinit(&rig->partitions[i].rows);
    }
}

/* ---- links ---- */

void rig_link(struct rig *rig, uint32_t a, uint32_t b, bool is_up)
{
    if (a == b || rig->nodes[a].is_up[b] == is_up) return;
    for (int end = 0; end < 2; end++) {
        struct rig_node *node = &rig->nodes[end == 0 ? a : b];
        uint32_t other = end == 0 ? b : a;
        struct uuid id = node_id(other);

        node->is_up[other] = is_up;
        drop_inbox(node, other);
        if (is_up) MESH_ASSERT(spread_feed_peer_up(node->feed, rig->now_ms, &id) == 0);
        else spread_feed_peer_down(node->feed, rig->now_ms, &id);
    }
    rig_outputs(rig, a);
    rig_outputs(rig, b);
}

static void rig_send(struct rig *rig, uint32_t from, uint32_t to, struct slice bytes)
{
    struct rig_message **at = &rig->nodes[to].inbox[from], *message;
    struct uuid id = node_id(to);

    if (!rig->nodes[from].is_up[to]) return;
    if (random_below(&rig->random, 200) == 0) {
        spread_feed_lost(rig->nodes[from].feed, &id); /* too much waited for that link */
        return;
    }
    message = malloc(sizeof(*message) + bytes.size);
    MESH_ASSERT(message != NULL);
    message->next = NULL;
    message->size = bytes.size;
    memcpy(message->data, bytes.data, bytes.size);
    while (*at != NULL)
        at = &(*at)->next;
    *at = message;
    rig->sent_messages++;
    rig->sent_bytes += bytes.size;
}

bool rig_deliver(struct rig *rig)
{
    uint32_t start = (uint32_t)random_below(&rig->random, RIG_NODES * RIG_NODES);

    for (uint32_t i = 0; i < RIG_NODES * RIG_NODES; i++) {
        uint32_t pair = (start + i) % (RIG_NODES * RIG_NODES), to = pair / RIG_NODES, from = pair % RIG_NODES;
        struct rig_message *message = rig->nodes[to].inbox[from];
        struct spread_message decoded;
        struct uuid id = node_id(from);

        if (message == NULL) continue;
        rig->nodes[to].inbox[from] = message->next;
        MESH_ASSERT(spread_message_decode(slice_of(message->data, message->size), &decoded) == 0);
        MESH_ASSERT(spread_feed_receive(rig->nodes[to].feed, rig->now_ms, &id, &decoded) == 0);
        free(message);
        rig_outputs(rig, to);
        return true;
    }
    return false;
}

/* ---- what leaders have ---- */

void rig_commit(struct rig *rig, uint32_t partition, const struct spread_row *row)
{
    struct rig_partition *at = &rig->partitions[partition];
    struct spread_row copy = *row;

    at->lsn += 1 + random_below(&rig->random, 3);
    copy.version = (struct spread_version){at->epoch, at->lsn - 1};
    copy.time_s = (uint32_t)(rig->now_ms / 1000);
    MESH_ASSERT(spread_cells_merge(at->truth, &copy) == 0);
    spread_cells_purge(at->truth, UINT32_MAX); /* a leader's state has no graves */
    spread_rows_put(&at->writer, &copy);
    at->has_changed = true;
}

void rig_commit_any(struct rig *rig, uint32_t partition)
{
    char name[16];
    struct spread_row row = {.kind = SPREAD_CELL, .record_epoch = -1};
    uint64_t what = random_below(&rig->random, 30);

    snprintf(name, sizeof(name), "group-%d", (int)random_below(&rig->random, 12));
    row.group = slice_of_string(name);
    row.topic.bytes[0] = (uint8_t)(1 + random_below(&rig->random, 2));
    row.partition = (uint32_t)random_below(&rig->random, 6);
    row.offset = random_below(&rig->random, 100000);
    if (what == 0) row.kind = SPREAD_GROUP_GONE;
    else if (what < 3) row.kind = SPREAD_CELL_GONE;
    else if (what < 6) row = (struct spread_row){.kind = SPREAD_GROUP, .group = row.group, .generation = (uint32_t)rig->now_ms};
    rig_commit(rig, partition, &row);
}

void rig_round(struct rig *rig, uint32_t partition)
{
    struct rig_partition *at = &rig->partitions[partition];
    struct spread_round round = {.partition = partition, .epoch = at->epoch, .to = at->lsn, .rows = buffer_slice(&at->rows)};

    if (at->is_watched && (at->has_changed || at->is_parted)) {
        MESH_ASSERT(at->writer.writer.error == 0);
        round.has_gap = random_below(&rig->random, 50) == 0;
        round.is_part = !round.has_gap && random_below(&rig->random, 3) == 0;
        at->is_parted = round.is_part;
        MESH_ASSERT(spread_feed_round(rig->nodes[at->leader].feed, &round) == 0);
    }
    buffer_clear(&at->rows);
    at->writer = spread_rows_write(&at->rows);
    at->has_changed = false;
    rig_outputs(rig, at->leader);
}

struct walk {
    struct spread_rows_writer writer;
    uint32_t piece;
};

static void put(void *arg, const struct spread_row *row)
{
    struct walk *walk = arg;

    if (map_hash_bytes(row->group.data, row->group.size) % RIG_PIECES == walk->piece) spread_rows_put(&walk->writer, row);
}

static void rig_walk(struct rig *rig, uint32_t partition)
{
    struct rig_partition *at = &rig->partitions[partition];
    struct buffer rows = BUFFER_INIT;
    struct walk walk = {spread_rows_write(&rows), at->piece};

    if (!at->is_walking) return;
    at->is_walking = false;
    at->piece++;
    spread_cells_each_row(at->truth, put, &walk);
    MESH_ASSERT(walk.writer.writer.error == 0);
    MESH_ASSERT(spread_feed_walked(rig->nodes[at->leader].feed, rig->now_ms, partition, at->walk, buffer_slice(&rows), walk.piece == RIG_PIECES - 1) == 0);
    buffer_deinit(&rows);
    rig_outputs(rig, at->leader);
}

static void rig_watch(struct rig *rig, uint32_t partition, bool is_on)
{
    struct rig_partition *at = &rig->partitions[partition];
    struct spread_round round = {.partition = partition, .epoch = at->epoch, .to = at->lsn, .is_first = true};

    at->is_watched = is_on;
    at->is_parted = false;
    if (!is_on) return;
    buffer_clear(&at->rows);
    at->writer = spread_rows_write(&at->rows);
    at->has_changed = false;
    MESH_ASSERT(spread_feed_round(rig->nodes[at->leader].feed, &round) == 0);
}

void rig_outputs(struct rig *rig, uint32_t node)
{
    struct spread_output output;

    while (spread_feed_next_output(rig->nodes[node].feed, rig->now_ms, &output)) {
        struct rig_partition *at = &rig->partitions[output.partition];

        if (output.kind == SPREAD_OUTPUT_SEND) {
            rig_send(rig, node, node_of(&output.peer), output.bytes);
        } else if (output.kind == SPREAD_OUTPUT_LINK) {
            MESH_ASSERT(rig->nodes[node].is_wanted[node_of(&output.peer)] != output.is_on);
            rig->nodes[node].is_wanted[node_of(&output.peer)] = output.is_on;
        } else if (at->leader != node || at->epoch != output.epoch) {
            continue;
        } else if (output.kind == SPREAD_OUTPUT_WATCH) {
            rig_watch(rig, output.partition, output.is_on);
        } else {
            if (output.is_on) at->piece = 0;
            at->walk = output.walk;
            at->is_walking = true;
        }
    }
}

/* ---- metadata ---- */

void rig_place(struct rig *rig, uint32_t partition)
{
    struct rig_partition *at = &rig->partitions[partition];
    struct uuid leader = node_id(at->leader);

    for (uint32_t i = 0; i < RIG_NODES; i++) {
        enum spread_role role = i == at->leader ? SPREAD_LED : at->is_held[i] ? SPREAD_HELD : SPREAD_ELSEWHERE;
        spread_feed_place(rig->nodes[i].feed, rig->now_ms, partition, role, &leader, at->epoch);
        rig_outputs(rig, i);
    }
}

void rig_lead(struct rig *rig, uint32_t partition, uint32_t leader)
{
    struct rig_partition *at = &rig->partitions[partition];

    at->leader = leader;
    at->epoch++;
    at->is_watched = at->is_walking = at->is_parted = false;
    rig_place(rig, partition);
}

/* ---- time ---- */

void rig_pass(struct rig *rig, uint64_t ms)
{
    rig->now_ms += ms;
    for (uint32_t i = 0; i < RIG_NODES; i++) {
        if (spread_feed_due_ms(rig->nodes[i].feed) > rig->now_ms) continue;
        spread_feed_tick(rig->nodes[i].feed, rig->now_ms);
        rig_outputs(rig, i);
    }
}

void rig_step(struct rig *rig)
{
    uint32_t partition = (uint32_t)random_below(&rig->random, RIG_PARTITIONS), node = (uint32_t)random_below(&rig->random, RIG_NODES);
    uint64_t what = random_below(&rig->random, 100);

    if (what < 30) rig_commit_any(rig, partition);
    else if (what < 40) rig_round(rig, partition);
    else if (what < 75) rig_deliver(rig);
    else if (what < 82) rig_walk(rig, partition);
    else if (what < 90) rig_pass(rig, random_below(&rig->random, 1500));
    else if (what < 98) rig_link(rig, node, (uint32_t)random_below(&rig->random, RIG_NODES), random_below(&rig->random, 4) != 0);
    else if (what < 99) rig_lead(rig, partition, node);
    else {
        rig->partitions[partition].is_held[node] = !rig->partitions[partition].is_held[node];
        rig_place(rig, partition);
    }
}

void rig_heal(struct rig *rig)
{
    for (uint32_t a = 0; a < RIG_NODES; a++)
        for (uint32_t b = 0; b < a; b++)
            rig_link(rig, a, b, true);
    for (int i = 0; i < 40; i++) {
        for (uint32_t partition = 0; partition < RIG_PARTITIONS; partition++) {
            rig_round(rig, partition);
            rig_walk(rig, partition);
        }
        while (rig_deliver(rig)) {
        }
        rig_pass(rig, SPREAD_ROUND_MS / 2);
    }
}

int rig_find_difference(const struct rig *rig)
{
    for (uint32_t partition = 0; partition < RIG_PARTITIONS; partition++) {
        const struct rig_partition *at = &rig->partitions[partition];
        for (uint32_t node = 0; node < RIG_NODES; node++) {
            const struct spread_cells *cells = spread_feed_cells(rig->nodes[node].feed, partition);
            if (node == at->leader || at->is_held[node]) continue;
            if (cells == NULL || spread_cells_hash(cells) != spread_cells_hash(at->truth)) return (int)(10 * partition + node);
        }
    }
    return -1;
}
