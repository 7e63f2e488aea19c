/* metadata/removed.c - brokers that the mesh has removed for good: nobody listens to them, and they are told. */
#include "replication/metadata/node_internal.h"

#include "base/error.h"
#include "replication/metadata/switches.h"

#define TELL_US 1000000 /* between two answers to one who goes on talking */

uint64_t node_history(const struct node *node)
{
    return image_applied_term(node->image) >> 32;
}

static bool has_server(const struct raft_server *servers, size_t count, const struct uuid *id)
{
    for (size_t i = 0; i < count; i++)
        if (uuid_equal(&servers[i].broker, id)) return true;
    return false;
}

/* A removed one still votes until the configuration without it is there: its majority may be needed for just that. */
static bool is_server(const struct node *node, const struct uuid *id)
{
    const struct raft_config *config = raft_get_config(node->raft);

    return has_server(config->voters, config->voter_count, id) || has_server(config->old_voters, config->old_voter_count, id) ||
           has_server(config->learners, config->learner_count, id);
}

bool node_is_shut_out(const struct node *node, const struct uuid *id)
{
    const struct recover_state *state = recover_get_state(node->recover);
    const struct recover_broker *lost;

    if (NODE_DEFECT(node, LOST_ARE_HEARD)) return false;
    if (recover_is_bound(node->recover)) {
        lost = recover_party_find(&state->party, id);
        if (lost != NULL && lost->is_lost) return true;
    }
    return image_find_retired(node->image, id) != NULL && !is_server(node, id);
}

void node_tell_removed(struct node *node, struct peer *peer)
{
    struct node_message message = {.type = NODE_MESSAGE_REMOVED, .history = node_history(node), .committed = image_applied_index(node->image)};
    const struct image_broker *broker = image_find_retired(node->image, &peer->id);
    char id[UUID_STRING_SIZE];

    if (broker == NULL || node->now_us < peer->told_removed_us + TELL_US) return; /* what was only accepted here is not told */
    if (peer->told_removed_us == 0)
        node_event(node, NODE_LEVEL_WARN, "broker %s (%s) was removed from the mesh and came back: it is refused", broker->name,
                   uuid_format(&peer->id, id));
    peer->told_removed_us = node->now_us;
    node_send(node, peer, &message);
}

void node_removed(struct node *node, uint64_t history)
{
    if (node->has_failed) return;
    recover_set_removed(node->recover, history);
    node_fail(node, MESH_EUNAUTHORIZED, "%s: it neither votes nor serves any more. Its records are still in its data directory. To use this machine "
              "again start a broker with an empty data directory: it joins as a new one",
              history > node_history(node) ? "the mesh was recovered without this broker, which was declared lost"
                                           : "this broker was removed from the mesh");
}

/* Believed when the sender has seen more than this broker: in a later history, or farther in this one. */
void node_on_removed(struct node *node, struct peer *peer, const struct node_message *message)
{
    uint64_t own = node_history(node);
    char id[UUID_STRING_SIZE];

    if (message->history > own || (message->history == own && message->committed > image_applied_index(node->image))) {
        node_removed(node, message->history);
    } else if (!peer->is_contradicting && message->history == own) {
        peer->is_contradicting = true;
        node_event(node, NODE_LEVEL_ERROR, "broker=%s says that this one was removed from the mesh, and the metadata here do not: there are two "
                   "histories of this mesh, and each has declared the other one lost",
                   uuid_format(&peer->id, id));
    }
}

