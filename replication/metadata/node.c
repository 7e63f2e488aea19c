/* metadata/node.c - the life of a node, and its events. What comes of them: output.c. */
#include "replication/metadata/node_internal.h"

#include "base/assert.h"
#include "base/error.h"
#include "replication/coordinator/groups_topic.h"

#include <stdlib.h>

void node_options_init(struct node_options *options)
{
    *options = (struct node_options){
        .raft_heartbeat_us = 100000,
        .election_min_us = 1000000,
        .election_max_us = 2000000,
        .heartbeat_us = 500000,
        .session_us = 3000000,
        .stall_us = 500000,
        .retry_us = 1000000,
        .voters_interval_us = 1000000,
        .voter_stable_us = 10000000,
        .voter_gone_us = 60000000,
        .moves_per_broker = 2,
        .spread_quiet_us = DECIDE_SPREAD_QUIET_US,
        .groups_topic_partitions = GROUPS_TOPIC_PARTITIONS,
        .replace_us = 600000000,
        .unclean_wait_us = 5000000,
        .recover_retry_us = 500000,
        .recover_resume_us = 5000000,
        .leave_us = 5000000,
        .pullers_max = 16,
        .feed_bytes = 512u << 10,
        .snapshot_log_bytes = 8u << 20,
        .retained_bytes_max = 4u << 20,
        .level = METADATA_LEVEL,
        .level_of = metadata_kind_level,
        .defaults = {.partition_count = 1, .replication_factor = 3},
    };
}

/* ---- made ---- */

static int copy_defaults(struct node *node)
{
    struct node_topic_defaults *defaults = &node->options.defaults;
    const struct decide_config *from = defaults->configs;
    struct decide_config *copies = arena_alloc(&node->arena, defaults->config_count + 1, sizeof(copies[0]));

    if (copies == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < defaults->config_count; i++) {
        copies[i].key = arena_strdup(&node->arena, from[i].key);
        copies[i].value = arena_strdup(&node->arena, from[i].value);
        if (copies[i].key == NULL || copies[i].value == NULL) return MESH_ENOMEM;
    }
    defaults->configs = copies;
    return 0;
}

static int check_image(const struct node_options *options, const struct raft_position *position, const struct image *image)
{
    if ((image == NULL) != (position->index == 0)) return MESH_EINVAL;
    if (image == NULL) return 0;
    if (image_applied_index(image) != position->index || memcmp(image_chain(image), position->chain, RAFT_CHAIN_SIZE) != 0)
        return MESH_EINVAL;
    if (!uuid_is_zero(&options->cluster_id) && !uuid_is_zero(image_cluster_id(image)) &&
        !uuid_equal(&options->cluster_id, image_cluster_id(image)))
        return MESH_EWRONG_MESH;
    return 0;
}

static int open_raft(struct node *node, const struct raft_recovered *recovered, uint64_t now_us)
{
    struct raft_options options;

    raft_options_init(&options);
    options.self = node->options.self;
    options.seed = random_next(&node->random);
    options.heartbeat_us = node->options.raft_heartbeat_us;
    options.election_min_us = node->options.election_min_us;
    options.election_max_us = node->options.election_max_us;
    options.retained_bytes_max = node->options.retained_bytes_max;
    options.chain = metadata_chain;
    return raft_new(&options, recovered, now_us, &node->raft);
}

/* A directory that was set back or copied comes again with a boot that others remember. Its requests must not be taken for those of the earlier
 * process, or they would be answered with what became of those; so each process counts from a place of its own. */
static uint64_t first_sequence(const struct random *random)
{
    struct random own = *random; /* nothing else is decided differently for it */

    return random_next(&own) >> 2;
}

static struct node *node_alloc(const struct node_options *options)
{
    struct node *node = calloc(1, sizeof(*node));

    if (node == NULL) return NULL;
    node->options = *options;
    node->requests_due_us = NODE_NEVER;
    node->pull.depth = NODE_DEPTH_ADRIFT;
    list_init(&node->outbox.items);
    list_init(&node->peers);
    list_init(&node->links);
    list_init(&node->pullers);
    list_init(&node->requests);
    list_init(&node->backlog);
    list_init(&node->decided);
    list_init(&node->reading);
    list_init(&node->proposed);
    memcpy(node->random.state, options->seed, sizeof(node->random.state));
    node->next_sequence = first_sequence(&node->random);
    return node;
}

int node_new(const struct node_options *options, const struct raft_recovered *recovered, const struct image *image, uint64_t now_us,
             struct node **ret_node)
{
    struct node *node;
    int err = check_image(options, &recovered->snapshot, image);

    if (err != 0) return err;
    if (options->feed_bytes == 0 || options->boot == 0) return MESH_EINVAL;
    node = node_alloc(options);
    if (node == NULL) return MESH_ENOMEM;
    err = copy_defaults(node);
    if (err == 0 && image != NULL)
        node->image = image_ref(image);
    else if (err == 0)
        err = image_new_empty(&node->image);
    if (err == 0) node->self_broker = image_find_broker_by_uuid(node->image, &options->self.broker);
    node->committed = recovered->snapshot.index;
    node->now_us = now_us;
    node->leader_lost_us = now_us + (now_us == 0);
    if (err == 0) err = open_raft(node, recovered, now_us);
    if (err == 0) err = node_recovery_open(node, now_us);
    node->options.recovery = slice_of(NULL, 0); /* it was only lent */
    if (err != 0) {
        node_free(node);
        return err;
    }
    *ret_node = node;
    return 0;
}

void node_free(struct node *node)
{
    if (node == NULL) return;
    node_decisions_deinit(node);
    reports_free(node->reports);
    node_requests_deinit(node);
    node_outbox_deinit(node);
    if (node->image != NULL) node_peers_deinit(node);
    recover_free(node->recover);
    raft_free(node->raft);
    image_unref(node->image);
    free(node->stores);
    free(node->self_texts);
    arena_deinit(&node->arena);
    free(node);
}

int node_found(struct node *node, uint64_t now_us, const struct uuid *cluster_id, const struct raft_server *founders, size_t count)
{
    struct raft_config config = {.voter_count = (uint8_t)count};
    struct decision decision;
    int err;

    node_enter(node, now_us);
    if (count == 0 || count > RAFT_SERVERS_MAX || uuid_is_zero(cluster_id)) return MESH_EINVAL;
    memcpy(config.voters, founders, count * sizeof(founders[0]));
    decision_init(&decision);
    err = decide_cluster_create(node->image, cluster_id, &decision);
    if (err == 0) err = raft_bootstrap(node->raft, now_us, &config, decision_command(&decision));
    decision_deinit(&decision);
    return err;
}

/* ---- events ---- */

/* Time went by unseen: this process slept, or its machine did. What others said meanwhile waits to be read, so nobody has been
 * silent yet. */
static void forgive(struct node *node, uint64_t gap_us)
{
    if (gap_us <= node->options.heartbeat_us) return;
    list_for_each(at, &node->peers)
    {
        struct session *session = &container_of(at, struct peer, node)->session;

        if (session->deadline_us != 0) session->deadline_us += gap_us;
    }
    node->pull.progress_us = node->now_us;
}

void node_enter(struct node *node, uint64_t now_us)
{
    uint64_t gap_us = now_us > node->now_us ? now_us - node->now_us : 0;

    node->now_us = now_us;
    node->is_updated = node->is_leader_turn = false;
    forgive(node, gap_us);
}

void node_tick(struct node *node, uint64_t now_us)
{
    node_enter(node, now_us);
    if (!node->has_failed) raft_tick(node->raft, now_us);
    recover_tick(node->recover, now_us);
}

static void on_here(struct node *node, struct peer *peer, const struct node_message *message)
{
    if (peer->depth >= NODE_DEPTH_ADRIFT && message->depth < NODE_DEPTH_ADRIFT) peer->shunned_until_us = 0; /* it was adrift */
    peer->has_here = true;
    peer->depth = message->depth;
    peer->committed = message->committed;
    node_pull_know(node, message->committed);
    node_guide_hint(node, peer, message->term, &message->leader);
}

static void on_request(struct node *node, struct peer *peer, const struct node_message *message)
{
    node_decisions_take(node, &peer->id, message);
}

static void on_answer(struct node *node, struct peer *peer, const struct node_message *message)
{
    node_guide_hint(node, peer, message->term, &message->leader);
    node_requests_answered(node, message);
}

static void receive_message(struct node *node, struct peer *peer, const struct node_message *message)
{
    switch (message->type) {
    case NODE_MESSAGE_HERE: on_here(node, peer, message); return;
    case NODE_MESSAGE_PULL: node_feed_on_pull(node, peer, message); return;
    case NODE_MESSAGE_ENTRIES: node_pull_on_entries(node, peer, message); return;
    case NODE_MESSAGE_CHUNK: node_pull_on_chunk(node, peer, message); return;
    case NODE_MESSAGE_PULL_CHUNK: node_feed_on_pull_chunk(node, peer, message); return;
    case NODE_MESSAGE_TURNED_AWAY: node_pull_on_turned_away(node, peer, message); return;
    case NODE_MESSAGE_HEARTBEAT: node_sessions_on_heartbeat(node, peer, message); return;
    case NODE_MESSAGE_PULSE: node_sessions_on_pulse(node, peer, message); return;
    case NODE_MESSAGE_REQUEST: on_request(node, peer, message); return;
    case NODE_MESSAGE_ANSWER: on_answer(node, peer, message); return;
    case NODE_MESSAGE_STANDING: node_pull_on_standing(node, peer, message); return;
    case NODE_MESSAGE_RECOVER: recover_receive(node->recover, node->now_us, &peer->id, message->bytes); return;
    case NODE_MESSAGE_REMOVED: node_on_removed(node, peer, message); return;
    }
}

void node_receive(struct node *node, uint64_t now_us, const struct uuid *id, enum node_link link, struct slice bytes)
{
    struct peer *peer = node_peer_find(node, id);
    struct node_message message;

    node_enter(node, now_us);
    if (peer == NULL || !peer->is_linked) {
        node->stats.dropped++;
    } else if (link == NODE_LINK_CONSENSUS && (node_is_shut_out(node, id) || !node_recovery_allows(node, id))) {
        node->stats.dropped++;
        node_tell_removed(node, peer);
    } else if (link == NODE_LINK_CONSENSUS) {
        node->is_leader_turn = raft_server_equal(&peer->server, &node->leader);
        if (!node->has_failed) raft_receive(node->raft, now_us, &peer->server, bytes);
    } else if (node_message_decode(bytes, &message) != 0) {
        node->stats.malformed++;
    } else if (message.type != NODE_MESSAGE_REMOVED && node_is_shut_out(node, id)) {
        node->stats.dropped++;
        node_tell_removed(node, peer);
    } else {
        receive_message(node, peer, &message);
    }
}

#ifdef MESH_TEST_SWITCHES
void node_bring_back(struct node *node, enum node_defect defect)
{
    node->defects = defect == NODE_DEFECT_NONE ? 0 : node->defects | 1u << defect;
}
#endif
