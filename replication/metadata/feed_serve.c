/* metadata/node_feed_serve.c - the upstream's side of the feed: standing requests are answered at the commit that brings more. */
#include "replication/metadata/node_internal.h"

#include "base/error.h"

static void turn_away(struct node *node, struct peer *peer, uint64_t serial, enum node_refusal why, const struct raft_position *position)
{
    struct node_message message = {.type = NODE_MESSAGE_TURNED_AWAY, .serial = serial, .refusal = why};

    if (position != NULL) message.position = *position;
    list_for_each(at, &node->pullers)
    {
        const struct puller *puller = container_of(at, struct puller, node);
        const struct peer *other = container_of(puller, struct peer, puller);

        if (why != NODE_REFUSAL_FULL || message.suggestion_count == NODE_SUGGESTIONS_MAX) break;
        /* a few of those who pull here, other ones each time */
        if (random_below(&node->random, node->puller_count) < NODE_SUGGESTIONS_MAX && other != peer)
            message.suggestions[message.suggestion_count++] = other->id;
    }
    node->stats.pullers_turned_away++;
    node_send(node, peer, &message);
    node_feed_drop(node, peer);
}

void node_feed_drop(struct node *node, struct peer *peer)
{
    if (!peer->puller.is_standing) return;
    list_remove(&peer->puller.node);
    peer->puller.is_standing = peer->puller.is_waiting = false;
    peer->puller.read = 0;
    node->puller_count--;
}

static void tell_standing(struct node *node, struct peer *peer)
{
    struct node_message message = {
        .type = NODE_MESSAGE_STANDING,
        .serial = peer->puller.serial,
        .depth = node_depth(node),
        .committed = node->committed,
    };

    node_send(node, peer, &message);
}

void node_feed_tell_depth(struct node *node)
{
    list_for_each(at, &node->pullers)
    {
        tell_standing(node, container_of(container_of(at, struct puller, node), struct peer, puller));
    }
}

/* ---- entries ---- */

/* The last entry that may be fed. */
static uint64_t feedable(const struct node *node)
{
    struct raft_status status;

    if (!NODE_DEFECT(node, UNCOMMITTED_FED)) return node->committed;
    raft_get_status(node->raft, &status);
    return status.last.index;
}

/* From `first` on, as many as fit. Nothing is sent when memory is short: the standing request is tried again later. */
static bool send_entries(struct node *node, struct peer *peer, uint64_t first)
{
    struct node_message message = {
        .serial = peer->puller.serial,
        .depth = node_depth(node),
        .committed = node->committed,
        .first_index = first,
    };
    struct buffer bytes = BUFFER_INIT;
    struct raft_entry entry, last = {0};
    int err = node_entries_begin(&bytes, &message);

    for (uint64_t index = first; err == 0 && index <= feedable(node) && raft_get_entry(node->raft, index, &entry); index++) {
        if (index != first && bytes.size + entry.body.size > node->options.feed_bytes) break;
        err = node_entries_add(&bytes, &entry);
        last = entry;
    }
    if (err == 0) err = node_entries_end(&bytes, last.chain);
    if (err != 0 || last.index == 0) {
        buffer_deinit(&bytes);
        return false;
    }
    peer->puller.at = (struct raft_position){.index = last.index, .term = last.term};
    memcpy(peer->puller.at.chain, last.chain, RAFT_CHAIN_SIZE);
    peer->puller.is_waiting = false; /* until it asks for what follows */
    node->stats.entries_fed += last.index - first + 1;
    node_send_buffer(node, peer, &bytes);
    return true;
}

static void read_chunk(struct node *node, struct peer *peer, uint64_t index, uint64_t offset)
{
    struct pending_read read = {.peer = peer->id, .serial = peer->puller.serial, .index = index, .offset = offset};
    struct outbox_item *item;

    peer->puller.is_waiting = false;
    peer->puller.read = node_read_give(node, &read);
    item = peer->puller.read == 0 ? NULL : node_outbox_add(node, NODE_OUTPUT_SNAPSHOT_READ);
    if (item == NULL) {
        turn_away(node, peer, peer->puller.serial, NODE_REFUSAL_FULL, NULL);
        return;
    }
    item->output.read = peer->puller.read;
    item->output.index = index;
    item->output.offset = offset;
    item->output.size = node->options.feed_bytes;
}

static void serve_one(struct node *node, struct peer *peer)
{
    struct puller *puller = &peer->puller;
    struct raft_position here;
    struct raft_entry entry;

    if (!puller->is_waiting || feedable(node) <= puller->at.index) return;
    if (node_position(node, puller->at.index, &here) && memcmp(here.chain, puller->at.chain, RAFT_CHAIN_SIZE) != 0) {
        uint64_t serial = puller->serial;

        turn_away(node, peer, serial, NODE_REFUSAL_CONTRADICTS, &here);
        node_contradicted(node, peer, here.index);
    } else if (raft_get_entry(node->raft, puller->at.index + 1, &entry)) {
        send_entries(node, peer, puller->at.index + 1);
    } else {
        read_chunk(node, peer, 0, 0); /* the log begins later */
    }
}

void node_feed_serve(struct node *node)
{
    if (node->fed == node->committed || node->has_failed || node->restores != 0) return;
    node->fed = node->committed;
    list_for_each_safe(at, &node->pullers)
    {
        serve_one(node, container_of(container_of(at, struct puller, node), struct peer, puller));
    }
}

/* ---- asked ---- */

static enum node_refusal find_refusal(const struct node *node, const struct peer *peer)
{
    if (node->has_failed) return NODE_REFUSAL_BROKEN;
    if (node_depth(node) + 1 >= NODE_DEPTH_ADRIFT || uuid_equal(&node->pull.upstream, &peer->id)) return NODE_REFUSAL_ADRIFT;
    if (!peer->puller.is_standing && (node->puller_count >= node->options.pullers_max || node_reads_free(node) == 0)) return NODE_REFUSAL_FULL;
    return 0;
}

void node_feed_on_pull(struct node *node, struct peer *peer, const struct node_message *message)
{
    struct puller *puller = &peer->puller;
    enum node_refusal refusal = find_refusal(node, peer);
    bool is_new = !puller->is_standing || puller->serial != message->serial;

    if (refusal != 0) {
        turn_away(node, peer, message->serial, refusal, NULL);
        return;
    }
    if (!puller->is_standing) {
        list_push_back(&node->pullers, &puller->node);
        node->puller_count++;
    }
    puller->is_standing = puller->is_waiting = true;
    puller->serial = message->serial;
    puller->at = message->position;
    puller->read = 0;
    node->stats.pulls_served++;
    if (node->restores == 0) serve_one(node, peer);
    if (is_new && puller->is_waiting) tell_standing(node, peer);
}

void node_feed_on_pull_chunk(struct node *node, struct peer *peer, const struct node_message *message)
{
    if (!peer->puller.is_standing || peer->puller.serial != message->serial || peer->puller.read != 0) return;
    read_chunk(node, peer, message->position.index, message->offset);
}

void node_feed_snapshot_bytes(struct node *node, const struct pending_read *read, int error, const struct node_snapshot *snapshot)
{
    struct peer *peer = node_peer_find(node, &read->peer);
    struct node_message message = {.type = NODE_MESSAGE_CHUNK, .serial = read->serial, .offset = read->offset};

    if (peer == NULL || !peer->puller.is_standing || peer->puller.read != read->read) return;
    peer->puller.read = 0;
    if (error == MESH_ENOTFOUND && read->index != 0) { /* a newer one took its place: from its beginning */
        read_chunk(node, peer, 0, 0);
        return;
    }
    if (error != 0 || read->offset > snapshot->total) {
        turn_away(node, peer, read->serial, NODE_REFUSAL_BROKEN, NULL);
        return;
    }
    message.position = snapshot->position;
    message.config = snapshot->config;
    message.total = snapshot->total;
    message.bytes = snapshot->bytes;
    node->stats.snapshot_chunks_fed++;
    node_send(node, peer, &message);
}
