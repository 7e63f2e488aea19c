/* metadata/peers.c - the brokers that this one heard of, by link or by gossip, and which links are needed. */
#include "replication/metadata/node_internal.h"

#include <stdlib.h>

struct peer *node_peer_find(const struct node *node, const struct uuid *id)
{
    uint64_t hash = map_hash_bytes(id->bytes, UUID_SIZE);

    for (struct map_node *found = map_find(&node->peer_map, hash); found != NULL; found = map_find_next(found)) {
        struct peer *peer = container_of(found, struct peer, map_node);

        if (uuid_equal(&peer->id, id)) return peer;
    }
    return NULL;
}

static void forget(struct node *node, struct peer *peer)
{
    map_remove(&node->peer_map, &peer->map_node);
    list_remove(&peer->node);
    list_remove(&peer->link_node);
    list_remove(&peer->puller.node);
    node->peer_count--;
    free(peer);
}

static bool is_needed(const struct node *node, const struct peer *peer)
{
    return peer->is_linked || peer->is_wanted || peer->session.deadline_us != 0 ||
           (peer->has_state && peer->state <= NODE_MEMBER_SUSPECT) || image_find_broker_by_uuid(node->image, &peer->id) != NULL;
}

static void make_room(struct node *node)
{
    list_for_each_safe(at, &node->peers)
    {
        struct peer *peer = container_of(at, struct peer, node);

        if (!is_needed(node, peer)) forget(node, peer);
    }
}

struct peer *node_peer_make(struct node *node, const struct uuid *id)
{
    struct peer *peer = node_peer_find(node, id);

    if (peer != NULL) return peer;
    if (node->peer_count >= NODE_KNOWN_MAX) make_room(node);
    peer = node->peer_count < NODE_KNOWN_MAX ? calloc(1, sizeof(*peer)) : NULL;
    if (peer == NULL) return NULL;
    peer->id = *id;
    peer->depth = NODE_DEPTH_ADRIFT;
    list_init(&peer->node);
    list_init(&peer->link_node);
    list_init(&peer->puller.node);
    if (map_insert(&node->peer_map, &peer->map_node, map_hash_bytes(id->bytes, UUID_SIZE)) != 0) {
        free(peer);
        return NULL;
    }
    list_push_back(&node->peers, &peer->node);
    node->peer_count++;
    return peer;
}

void node_peers_deinit(struct node *node)
{
    list_for_each_safe(at, &node->peers)
    {
        forget(node, container_of(at, struct peer, node));
    }
    map_deinit(&node->peer_map);
}

/* ---- links ---- */

void node_link_up(struct node *node, uint64_t now_us, const struct raft_server *server)
{
    struct peer *peer;

    node_enter(node, now_us);
    if (uuid_is_zero(&server->broker) || uuid_equal(&server->broker, &node->options.self.broker)) return;
    peer = node_peer_find(node, &server->broker);
    if (peer != NULL && peer->is_linked) node_link_down(node, now_us, &server->broker);
    peer = node->link_count < NODE_PEERS_MAX ? node_peer_make(node, &server->broker) : NULL;
    if (peer == NULL) {
        node->stats.dropped++;
        return;
    }
    peer->server = *server;
    peer->is_linked = true;
    peer->is_gone = peer->has_here = false;
    list_push_back(&node->links, &peer->link_node);
    node->link_count++;
    peer->told_removed_us = 0;
    if (node_is_shut_out(node, &peer->id))
        node_tell_removed(node, peer);
    else
        node_guide_link_up(node, peer);
    node->requests_are_due = true;
}

void node_link_down(struct node *node, uint64_t now_us, const struct uuid *id)
{
    struct peer *peer = node_peer_find(node, id);

    node_enter(node, now_us);
    if (peer == NULL || !peer->is_linked) return;
    peer->is_linked = false;
    peer->has_here = false;
    list_remove(&peer->link_node);
    node->link_count--;
    node_feed_drop(node, peer);
    node_pull_on_link_down(node, peer);
    node_requests_link_down(node, id);
}

/* ---- what gossip says ---- */

void node_member(struct node *node, uint64_t now_us, const struct uuid *broker, enum node_member_state state)
{
    struct peer *peer = node_peer_make(node, broker);

    node_enter(node, now_us);
    if (peer == NULL) return;
    peer->has_state = true;
    peer->state = state;
    if (state == NODE_MEMBER_ALIVE) peer->is_gone = false; /* a change: it says more than it said when its process had ended */
}

void node_peer_gone(struct node *node, uint64_t now_us, const struct uuid *broker)
{
    struct peer *peer = node_peer_find(node, broker);

    node_enter(node, now_us);
    if (peer == NULL || peer->is_linked || node->has_failed) return; /* a link is of its next life */
    peer->is_gone = true;
    raft_server_gone(node->raft, now_us, &peer->server);
    node_sessions_gone(node, peer);
}

void node_heard_frontier(struct node *node, uint64_t now_us, const struct uuid *broker, const struct node_frontier *frontier)
{
    struct peer *peer = node_peer_make(node, broker);
    struct raft_position position;

    node_enter(node, now_us);
    if (peer == NULL || uuid_equal(broker, &node->options.self.broker)) return;
    peer->frontier = *frontier;
    if (frontier->index == 0 || !node_position(node, frontier->index, &position)) return;
    if (node_chain_short(position.chain) != frontier->chain) node_contradicted(node, peer, frontier->index);
}

/* ---- which links are needed ---- */

static void mark(struct node *node, const struct uuid *id, uint64_t mark)
{
    struct peer *peer = uuid_is_zero(id) || uuid_equal(id, &node->options.self.broker) ? NULL : node_peer_make(node, id);

    if (peer != NULL) peer->wanted_mark = mark;
}

static void mark_servers(struct node *node, const struct raft_server *servers, size_t count, uint64_t at)
{
    for (size_t i = 0; i < count; i++)
        mark(node, &servers[i].broker, at);
}

/* A server of consensus needs all the others; everybody needs the coordinator, or, until it is known, those who elect it; and the
 * upstream, with those that it names instead of itself. */
void node_peers_want(struct node *node)
{
    const struct raft_config *config = raft_get_config(node->raft);
    uint64_t at = ++node->want_mark;

    if (!node->wants_are_due) return;
    node->wants_are_due = false;
    if (node_depth(node) == 0 || uuid_is_zero(&node->leader.broker)) {
        mark_servers(node, config->voters, config->voter_count, at);
        mark_servers(node, config->old_voters, config->old_voter_count, at);
        if (node_depth(node) == 0) mark_servers(node, config->learners, config->learner_count, at);
    }
    mark(node, &node->leader.broker, at);
    mark(node, &node->pull.upstream, at);
    for (size_t i = 0; i < node->pull.suggestion_count; i++)
        mark(node, &node->pull.suggestions[i], at);
    list_for_each(each, &node->peers)
    {
        struct peer *peer = container_of(each, struct peer, node);
        bool is_wanted = peer->wanted_mark == at;
        struct outbox_item *item = is_wanted == peer->is_wanted ? NULL : node_outbox_add(node, NODE_OUTPUT_WANT_LINK);

        if (item == NULL) continue;
        item->output.peer = peer->id;
        item->output.is_wanted = peer->is_wanted = is_wanted;
    }
}
