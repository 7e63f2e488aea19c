/* metadata/sessions.c - the broker's own session: what it says to the coordinator, and its registration. */
#include "replication/metadata/node_internal.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>

#define REGISTER_TIMEOUT_US 5000000
#define REGISTER_RETRY_US    500000

/* ---- who this broker is ---- */

const struct image_broker *node_sessions_self(const struct node *node)
{
    return node->self_broker;
}

bool node_sessions_is_this_life(const struct node *node)
{
    const struct image_broker *self = node_sessions_self(node);

    return self != NULL && self->boot == node->options.boot && uuid_equal(&self->dir_id, &node->options.self.dir);
}

bool node_sessions_is_registered(const struct node *node)
{
    const struct image_broker *self = node_sessions_self(node);

    return node_sessions_is_this_life(node) && node->self.name != NULL && strcmp(self->name, node->self.name) == 0 &&
           strcmp(self->host, node->self.host) == 0 && strcmp(self->zone, node->self.zone) == 0 && self->port == node->self.port &&
           self->shard_count == node->self.shard_count &&
           self->is_witness == node->options.is_witness;
}

bool node_sessions_is_fenced(const struct node *node)
{
    const struct image_broker *self = node_sessions_self(node);

    return self != NULL && self->is_fenced;
}

int node_set_self(struct node *node, uint64_t now_us, const struct node_self *self)
{
    size_t sizes[3] = {strlen(self->name) + 1, strlen(self->host) + 1, strlen(self->zone) + 1};
    char *texts;

    node_enter(node, now_us);
    for (size_t i = 0; i < 3; i++)
        if (sizes[i] > IMAGE_BROKER_STRING_SIZE_MAX + 1) return MESH_EINVAL;
    if (self->port == 0 || sizes[0] == 1) return MESH_EINVAL;
    texts = malloc(sizes[0] + sizes[1] + sizes[2]);
    if (texts == NULL) return MESH_ENOMEM;
    memcpy(texts, self->name, sizes[0]);
    memcpy(texts + sizes[0], self->host, sizes[1]);
    memcpy(texts + sizes[0] + sizes[1], self->zone, sizes[2]);
    free(node->self_texts);
    node->self_texts = texts;
    node->self = (struct node_self){texts, texts + sizes[0], texts + sizes[0] + sizes[1], self->port, self->shard_count};
    node->register_due_us = now_us;
    return 0;
}

void node_set_boot(struct node *node, uint64_t now_us, uint64_t boot)
{
    node_enter(node, now_us);
    if (boot <= node->options.boot) return;
    node->options.boot = boot;
    node->options.was_set_back = true;
    node->register_due_us = now_us;
    node->requests_are_due = true;
}

void node_set_disk_failed(struct node *node, uint64_t now_us)
{
    node_enter(node, now_us);
    if (node->has_disk_failed) return;
    node->has_disk_failed = true;
    node->heartbeat_due_us = 0;
    node->sessions_due_us = now_us; /* the coordinator's own disk */
    node_event(node, NODE_LEVEL_WARN, "a disk of this broker has failed: others lead its partitions where they can, until it is started again");
}

void node_set_drain(struct node *node, uint64_t now_us, bool is_wanted)
{
    node_enter(node, now_us);
    if (node->wants_drain == is_wanted) return;
    node->wants_drain = is_wanted;
    node->heartbeat_due_us = 0;
    node->sessions_due_us = now_us; /* the coordinator's own wish */
}

bool node_wants_drain(const struct node *node)
{
    return node->wants_drain;
}

void node_set_empty(struct node *node, uint64_t now_us, bool is_wanted)
{
    node_enter(node, now_us);
    if (node->wants_empty == is_wanted) return;
    node->wants_empty = is_wanted;
    node->heartbeat_due_us = 0;
    node->moves_due_us = now_us; /* the coordinator's own wish */
}

bool node_wants_empty(const struct node *node)
{
    return node->wants_empty;
}

void node_set_load(struct node *node, const struct node_load *load)
{
    node->load = *load;
}

/* ---- registration ---- */

static bool can_register(const struct node *node)
{
    return node->self.name != NULL && !node->has_failed && !node->is_leaving && node->registering == 0 && !node_sessions_is_registered(node) &&
           !uuid_is_zero(&node->leader.broker);
}

static void register_self(struct node *node)
{
    struct buffer body = BUFFER_INIT;

    node->register_due_us = node->now_us + REGISTER_RETRY_US;
    if (node_operation_encode_register(node, &body) == 0)
        node_requests_add(node, NODE_OP_REGISTER, &body, REGISTER_TIMEOUT_US, 0, true, &node->registering);
    buffer_deinit(&body);
}

void node_sessions_registered(struct node *node, int error, const char *text)
{
    node->register_due_us = node->now_us + REGISTER_RETRY_US;
    if (error == MESH_EUNAUTHORIZED) node_removed(node, node_history(node));
    if (error == 0 || error == MESH_ENO_COORDINATOR || error == MESH_ETIMEDOUT) return;
    if (strcmp(text, node->register_text) == 0) return; /* said already */
    snprintf(node->register_text, sizeof(node->register_text), "%s", text);
    node_event(node, NODE_LEVEL_ERROR, "this broker cannot be registered with the mesh: %s", text);
}

/* ---- heartbeats ---- */

static void send_heartbeat(struct node *node, const struct peer *to)
{
    struct node_message message = {
        .type = NODE_MESSAGE_HEARTBEAT,
        .boot = node->options.boot,
        .applied = image_applied_index(node->image),
        .flags = (node->is_leaving ? NODE_DRAINING : 0) | (node->has_disk_failed || node->has_failed ? NODE_DISK_FAILED : 0) |
                 (node->wants_drain ? NODE_DRAIN_WANTED : 0) | (node->wants_empty ? NODE_EMPTY_WANTED : 0) |
                 node->options.level << NODE_LEVEL_SHIFT,
        .load = node->load,
    };

    node_send(node, to, &message);
}

/* A broker that is fenced, and sees it, comes back with its next heartbeat: that one need not wait. */
static void hurry(struct node *node)
{
    const struct image_broker *self = node_sessions_self(node);

    if (self == NULL || !self->is_fenced || node->hurried_epoch == self->epoch || !node_sessions_is_this_life(node)) return;
    node->hurried_epoch = self->epoch;
    node->heartbeat_due_us = 0;
    if (node->is_coordinating) node->sessions_due_us = node->now_us; /* nobody's heartbeat tells the coordinator of itself */
}

/* Somebody who may know who coordinates: another one each time. */
static void ask_around(struct node *node, const struct peer *not_this)
{
    size_t turn = node->link_count == 0 ? 0 : node->ask_turn++ % node->link_count, i = 0;

    list_for_each(at, &node->links)
    {
        const struct peer *peer = container_of(at, struct peer, link_node);

        if (i++ == turn && peer != not_this) send_heartbeat(node, peer);
    }
}

/* A server of consensus lets its heartbeat wait, or hurry, for the next word of its leader: what it answers and the heartbeat leave together. */
static uint64_t find_slack_us(const struct node *node)
{
    struct raft_brief raft = raft_get_brief(node->raft);
    bool is_led = raft.role == RAFT_FOLLOWER && !uuid_is_zero(&raft.leader.broker) && raft_server_equal(&raft.leader, &node->leader);

    return is_led && node->heartbeat_due_us != 0 ? node->options.heartbeat_us / 4 : 0;
}

static bool is_heartbeat_due(const struct node *node)
{
    uint64_t slack_us = find_slack_us(node);

    return node->is_leader_turn ? node->now_us + slack_us >= node->heartbeat_due_us : node->now_us >= node->heartbeat_due_us + slack_us;
}

void node_sessions_update(struct node *node)
{
    const struct peer *coordinator;

    hurry(node);
    if (can_register(node) && node->now_us >= node->register_due_us) register_self(node);
    if (!is_heartbeat_due(node)) return;
    node->heartbeat_due_us = node->now_us + node->options.heartbeat_us;
    if (node_guide_is_coordinator(node)) return;
    coordinator = node_guide_coordinator(node);
    if (coordinator != NULL) send_heartbeat(node, coordinator);
    if (coordinator == NULL || node->now_us - node->pulse_us > 3 * (uint64_t)node->options.heartbeat_us)
        ask_around(node, coordinator);
}

void node_sessions_on_pulse(struct node *node, struct peer *peer, const struct node_message *message)
{
    node_pull_know(node, message->committed);
    peer->committed = message->committed;
    node_guide_hint(node, peer, message->term, &message->leader);
    if (!message->is_coordinator || !uuid_equal(&peer->id, &node->leader.broker)) return;
    node->pulse_us = node->now_us;
    if (image_applied_index(node->image) >= message->committed) node->current_us = node->now_us;
}

uint64_t node_sessions_due_us(const struct node *node)
{
    uint64_t due = node->link_count == 0 ? NODE_NEVER : node->heartbeat_due_us + find_slack_us(node);

    if (can_register(node)) due = earlier(due, node->register_due_us);
    return earlier(due, node_fences_due_us(node));
}
