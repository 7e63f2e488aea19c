/* metadata/feed_pull.c - the downstream's side of the feed: whom to ask, what comes back, and whom to ask instead.
 *
 * Who hears a leader does not pull, whether its log says already that it is a server of consensus or not: two snapshots at a time would be in each
 * other's way. Who hears none and is no server always pulls; a server only when others have more: it was removed, say, and the entry that said
 * so never reached it. */
#include "replication/metadata/node_internal.h"

#include "base/error.h"

#include <stdlib.h>

#define SHUN_US      2000000 /* who turned us away, or sent nothing, is not asked again before that */
#define SHUN_FULL_US 5000000
#define LOOK_US       250000 /* between two looks for an upstream while there is none */

static bool is_member(const struct node *node)
{
    struct raft_brief status = raft_get_brief(node->raft);

    return status.is_voter || status.is_learner;
}

/* What it has comes from consensus itself. */
static bool is_near(const struct node *node)
{
    return is_member(node) || node->leader_lost_us == 0;
}

uint32_t node_depth(const struct node *node)
{
    if (is_near(node)) return 0;
    return uuid_is_zero(&node->pull.upstream) ? NODE_DEPTH_ADRIFT : node->pull.depth;
}

static void set_depth(struct node *node, uint32_t depth)
{
    bool was_adrift = node->pull.depth >= NODE_DEPTH_ADRIFT;

    if (node->pull.depth == depth) return;
    node->pull.depth = depth;
    node->wants_are_due = true;
    if (is_near(node)) return;
    node_feed_tell_depth(node);
    if (was_adrift) node_guide_tell(node, true); /* whoever is adrift may hang on here */
}

void node_pull_know(struct node *node, uint64_t committed)
{
    if (committed > node->known_committed) node->known_committed = committed;
}

/* ---- two histories ---- */

static size_t count_contradicting_voters(const struct node *node, size_t *ret_voters)
{
    const struct raft_config *config = raft_get_committed_config(node->raft);
    size_t count = 0;

    *ret_voters = config->voter_count;
    for (size_t i = 0; i < config->voter_count; i++) {
        const struct peer *peer = node_peer_find(node, &config->voters[i].broker);

        count += peer != NULL && peer->is_contradicting;
    }
    return count;
}

/* The log is what a majority of voters say. One broker with another history is wrong itself and is left alone; against the coordinator or a
 * majority this broker is the wrong one, and stops. */
void node_contradicted(struct node *node, struct peer *peer, uint64_t index)
{
    char id[UUID_STRING_SIZE];
    size_t voters, count;

    if (node->has_failed) return;
    if (!peer->is_contradicting)
        node_event(node, NODE_LEVEL_ERROR, "broker=%s has another metadata log than this one, at index %llu: one of the two was damaged, or "
                   "set back to an older copy and went on from there",
                   uuid_format(&peer->id, id), (unsigned long long)index);
    peer->is_contradicting = true;
    count = count_contradicting_voters(node, &voters);
    if (!uuid_equal(&peer->id, &node->leader.broker) && count <= voters / 2) return;
    node_fail(node, MESH_ECORRUPT, "the metadata log of this broker differs at index %llu from what the mesh decided: it stops here rather than "
              "act on it. Move its data directory away and join again, or restore it",
              (unsigned long long)index);
}

/* ---- asking ---- */

static bool is_asking(const struct node *node)
{
    return !uuid_is_zero(&node->pull.upstream);
}

static void send_pull(struct node *node, const struct peer *upstream)
{
    struct node_message message = {.type = NODE_MESSAGE_PULL, .serial = node->pull.serial};

    if (node->pull.at.index <= node->committed && !node_position(node, node->committed, &node->pull.at)) return;
    message.position = node->pull.at;
    node->pull.asked_us = node->now_us;
    node->stats.pulls_sent++;
    node_send(node, upstream, &message);
}

/* Leaves the upstream, politely: it may feed somebody else instead. */
static void leave_upstream(struct node *node, uint64_t shun_us)
{
    struct peer *upstream = is_asking(node) ? node_peer_find(node, &node->pull.upstream) : NULL;
    struct node_message message = {.type = NODE_MESSAGE_PULL};

    if (upstream != NULL) {
        if (shun_us != 0) upstream->shunned_until_us = node->now_us + shun_us;
        node_send(node, upstream, &message);
    }
    node->pull.upstream = (struct uuid){{0}};
    if (!node->pull.is_whole) node->pull.is_fetching = false;
    set_depth(node, NODE_DEPTH_ADRIFT);
}

static uint64_t spread(const struct node *node, const struct peer *peer)
{
    uint8_t both[2 * UUID_SIZE];

    memcpy(both, node->options.self.broker.bytes, UUID_SIZE);
    memcpy(both + UUID_SIZE, peer->id.bytes, UUID_SIZE);
    return map_hash_bytes(both, sizeof(both));
}

static bool is_suggested(const struct node *node, const struct peer *peer)
{
    for (size_t i = 0; i < node->pull.suggestion_count; i++)
        if (uuid_equal(&node->pull.suggestions[i], &peer->id)) return true;
    return false;
}

static bool may_ask(const struct node *node, const struct peer *peer)
{
    return peer->has_here && !peer->is_contradicting && peer->shunned_until_us <= node->now_us &&
           (peer->depth == 0 || !peer->puller.is_standing);
}

/* Whoever was suggested, else the one nearest to consensus, as far as it said; among equals each broker prefers another one. Who is adrift
 * says so. */
static bool is_better(const struct node *node, const struct peer *peer, const struct peer *best)
{
    bool suggested = is_suggested(node, peer);

    if (best == NULL) return true;
    if (suggested != is_suggested(node, best)) return suggested;
    if (peer->depth != best->depth) return peer->depth < best->depth;
    return spread(node, peer) < spread(node, best);
}

static void ask_somebody(struct node *node)
{
    struct peer *best = NULL;

    node->pull.look_us = node->now_us + LOOK_US;
    list_for_each(at, &node->links)
    {
        struct peer *peer = container_of(at, struct peer, link_node);

        if (may_ask(node, peer) && is_better(node, peer, best)) best = peer;
    }
    if (best == NULL) return;
    node->pull.upstream = best->id;
    node->wants_are_due = true;
    node->pull.serial++;
    node->pull.progress_us = node->now_us;
    node->pull.suggestion_count = 0;
    node->stats.upstream_changes++;
    set_depth(node, best->depth + 1 < NODE_DEPTH_ADRIFT ? best->depth + 1 : NODE_DEPTH_ADRIFT);
    send_pull(node, best);
}

static bool wants_feed(const struct node *node)
{
    if (node->has_failed || node->restores != 0) return false;
    if (recover_is_bound(node->recover)) return node->known_committed > node->committed; /* its consensus hears nobody until it knows the new history */
    if (node->leader_lost_us == 0) return false;
    if (!is_member(node)) return true;
    return node->known_committed > node->committed &&
           node->now_us - node->leader_lost_us > 2 * (uint64_t)node->options.election_max_us;
}

static void watch_lag(struct node *node)
{
    if (node->known_committed <= node->committed)
        node->pull.lagging_since_us = 0;
    else if (node->pull.lagging_since_us == 0)
        node->pull.lagging_since_us = node->now_us;
}

static uint64_t stalled_at(const struct node *node)
{
    uint64_t since = node->pull.lagging_since_us;

    if (since == 0) return NODE_NEVER;
    if (node->pull.progress_us > since) since = node->pull.progress_us;
    return since + node->options.stall_us;
}

void node_pull_update(struct node *node)
{
    watch_lag(node);
    if (node->pull.is_whole || node->restores != 0) return; /* a snapshot is being put in place */
    if (!wants_feed(node)) {
        if (is_asking(node)) leave_upstream(node, 0);
        return;
    }
    if (is_asking(node) && node->now_us >= stalled_at(node)) leave_upstream(node, SHUN_US);
    if (!is_asking(node)) {
        ask_somebody(node);
    } else if (node->pull.is_next) {
        struct peer *upstream = node_peer_find(node, &node->pull.upstream);

        if (upstream != NULL) send_pull(node, upstream);
    }
    node->pull.is_next = false;
}

uint64_t node_pull_due_us(const struct node *node)
{
    uint64_t lost;

    if (node->pull.is_whole || node->restores != 0 || node->has_failed) return NODE_NEVER;
    if (is_asking(node)) return stalled_at(node);
    if (recover_is_bound(node->recover)) return wants_feed(node) && node->link_count != 0 ? node->pull.look_us : NODE_NEVER;
    if (node->leader_lost_us == 0) return NODE_NEVER;
    if (!is_member(node)) return node->link_count == 0 ? NODE_NEVER : node->pull.look_us;
    if (node->known_committed <= node->committed) return NODE_NEVER;
    lost = node->leader_lost_us + 2 * (uint64_t)node->options.election_max_us + 1;
    return lost > node->pull.look_us ? lost : node->pull.look_us;
}

/* ---- what comes back ---- */

static bool is_from_upstream(const struct node *node, const struct peer *peer, const struct node_message *message)
{
    return is_asking(node) && uuid_equal(&peer->id, &node->pull.upstream) && message->serial == node->pull.serial && !node->pull.is_whole;
}

static void heard(struct node *node, struct peer *peer, const struct node_message *message)
{
    peer->depth = message->depth;
    peer->committed = message->committed;
    node_pull_know(node, message->committed);
    if (peer->depth + 1 >= NODE_DEPTH_ADRIFT)
        leave_upstream(node, SHUN_US);
    else
        set_depth(node, peer->depth + 1);
}

void node_pull_on_standing(struct node *node, struct peer *peer, const struct node_message *message)
{
    if (is_from_upstream(node, peer, message)) heard(node, peer, message);
}

/* The entries with their indices and chains. NULL: no memory. */
static struct raft_entry *read_entries(const struct node *node, const struct node_message *message, const struct raft_position *before,
                                       size_t *ret_count)
{
    struct slice rest = message->entries;
    struct raft_entry entry, *entries;
    const uint8_t *chain = before->chain;
    size_t count = 0;

    (void)node;
    while (node_entry_next(&rest, &entry))
        count++;
    entries = malloc(count * sizeof(entries[0]));
    rest = message->entries;
    for (size_t i = 0; entries != NULL && i < count; i++) {
        node_entry_next(&rest, &entries[i]);
        entries[i].index = message->first_index + i;
        metadata_chain(chain, &entries[i], entries[i].chain);
        chain = entries[i].chain;
    }
    *ret_count = count;
    return entries;
}

static void install(struct node *node, struct peer *peer, const struct raft_entry *entries, size_t count, const uint8_t *chain)
{
    const struct raft_entry *last = &entries[count - 1];
    int err;

    if (memcmp(last->chain, chain, RAFT_CHAIN_SIZE) != 0) {
        node_contradicted(node, peer, last->index);
        leave_upstream(node, SHUN_US);
        return;
    }
    err = raft_install_committed(node->raft, node->now_us, entries, count);
    if (err == MESH_ECORRUPT) node_contradicted(node, peer, last->index);
    if (err != 0) {
        leave_upstream(node, SHUN_US);
        return;
    }
    node->pull.at = (struct raft_position){.index = last->index, .term = last->term};
    memcpy(node->pull.at.chain, last->chain, RAFT_CHAIN_SIZE);
    node->pull.is_next = true;
    node->pull.progress_us = node->now_us;
    node->stats.entries_pulled += count;
}

void node_pull_on_entries(struct node *node, struct peer *peer, const struct node_message *message)
{
    struct raft_entry *entries;
    size_t count;

    if (!is_from_upstream(node, peer, message)) return;
    heard(node, peer, message);
    if (!is_asking(node)) return;
    node->pull.is_fetching = false;
    if (message->first_index != node->pull.at.index + 1) { /* not what was asked for */
        leave_upstream(node, SHUN_US);
        return;
    }
    entries = read_entries(node, message, &node->pull.at, &count);
    if (entries == NULL || count == 0)
        leave_upstream(node, SHUN_US);
    else
        install(node, peer, entries, count, message->chain);
    free(entries);
}

static bool store_chunk(struct node *node, const struct node_message *message, bool is_last)
{
    struct outbox_item *item = node_outbox_add(node, NODE_OUTPUT_STORE_CHUNK);

    if (item == NULL) return false;
    if (buffer_append(&item->bytes, message->bytes.data, message->bytes.size) != 0) {
        list_remove(&item->node);
        free(item);
        return false;
    }
    item->output.position = message->position;
    item->output.offset = message->offset;
    item->output.total = message->total;
    item->output.is_last = is_last;
    item->config = message->config;
    item->has_config = true;
    item->output.store = node_store_give(node, 0, true, is_last);
    return true;
}

static bool is_expected_chunk(struct node *node, const struct node_message *message)
{
    struct pull *pull = &node->pull;

    if (message->bytes.size == 0 || message->position.index <= node->committed) return false;
    if (message->offset == 0) {
        pull->is_fetching = true;
        pull->position = message->position;
        pull->config = message->config;
        pull->offset = 0;
        pull->total = message->total;
    }
    return pull->is_fetching && message->offset == pull->offset && message->total == pull->total &&
           message->position.index == pull->position.index;
}

void node_pull_on_chunk(struct node *node, struct peer *peer, const struct node_message *message)
{
    struct node_message next = {.type = NODE_MESSAGE_PULL_CHUNK, .serial = message->serial, .position = message->position};
    bool is_last = message->offset + message->bytes.size == message->total;

    if (!is_from_upstream(node, peer, message)) return;
    if (!is_expected_chunk(node, message) || !store_chunk(node, message, is_last)) {
        leave_upstream(node, SHUN_US);
        return;
    }
    node->pull.progress_us = node->now_us;
    node->pull.offset += message->bytes.size;
    node->pull.is_whole = is_last;
    next.offset = node->pull.offset;
    if (!is_last) node_send(node, peer, &next);
}

void node_pull_stored(struct node *node, bool is_last, int error)
{
    if (error != 0) {
        node_event(node, NODE_LEVEL_WARN, "a snapshot of the metadata that another broker sent is not good (%s): fetching it again",
                   mesh_strerror(error));
        node->pull.is_whole = false;
        leave_upstream(node, SHUN_US);
    } else if (is_last) {
        node->pull.is_stored = true;
    }
}

bool node_pull_install(struct node *node)
{
    int err;

    if (!node->pull.is_stored || node->has_failed) return false;
    err = raft_install_snapshot(node->raft, node->now_us, &node->pull.position, &node->pull.config);
    if (err == MESH_EAGAIN || err == MESH_ENOMEM) return false; /* again with the next event */
    node->pull.is_stored = node->pull.is_whole = node->pull.is_fetching = false;
    node->pull.is_next = true;
    node->pull.progress_us = node->now_us;
    node->stats.snapshots_pulled += err == 0;
    return true;
}

void node_pull_restored(struct node *node)
{
    node->pull.is_next = true;
    node->pull.progress_us = node->now_us;
}

void node_pull_on_turned_away(struct node *node, struct peer *peer, const struct node_message *message)
{
    struct raft_position here;

    if (!is_from_upstream(node, peer, message)) return;
    if (message->refusal == NODE_REFUSAL_CONTRADICTS && node_position(node, message->position.index, &here) &&
        memcmp(here.chain, message->position.chain, RAFT_CHAIN_SIZE) != 0)
        node_contradicted(node, peer, message->position.index);
    peer->shunned_until_us = node->now_us + (message->refusal == NODE_REFUSAL_FULL ? SHUN_FULL_US : SHUN_US);
    node->pull.upstream = (struct uuid){{0}};
    node->pull.is_fetching = false;
    node->pull.suggestion_count = message->suggestion_count;
    node->wants_are_due = true;
    memcpy(node->pull.suggestions, message->suggestions, sizeof(node->pull.suggestions));
    set_depth(node, NODE_DEPTH_ADRIFT);
}

void node_pull_on_link_down(struct node *node, struct peer *peer)
{
    if (!is_asking(node) || !uuid_equal(&node->pull.upstream, &peer->id)) return;
    node->pull.upstream = (struct uuid){{0}};
    if (!node->pull.is_whole) node->pull.is_fetching = false;
    set_depth(node, NODE_DEPTH_ADRIFT);
}
