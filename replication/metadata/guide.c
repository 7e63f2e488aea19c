/* metadata/guide.c - who coordinates, as far as this broker knows. Servers of consensus know it from raft; the others are told: by the
 * coordinator itself, by whom they pull from, and by whomever they ask. A hint counts for its term: a higher one wins. */
#include "replication/metadata/node_internal.h"

static bool is_member(const struct raft_brief *status)
{
    return status->is_voter || status->is_learner;
}

bool node_guide_is_coordinator(const struct node *node)
{
    return raft_get_brief(node->raft).role == RAFT_LEADER && !node->has_failed;
}

struct peer *node_guide_coordinator(const struct node *node)
{
    struct peer *peer = uuid_is_zero(&node->leader.broker) ? NULL : node_peer_find(node, &node->leader.broker);

    return peer != NULL && peer->is_linked ? peer : NULL;
}

void node_guide_send_here(struct node *node, struct peer *peer)
{
    struct node_message here = {
        .type = NODE_MESSAGE_HERE,
        .term = node->leader_term,
        .leader = node->leader,
        .depth = node_depth(node),
        .committed = node->committed,
    };

    node_send(node, peer, &here);
}

void node_guide_link_up(struct node *node, struct peer *peer)
{
    node_guide_send_here(node, peer);
    if (uuid_equal(&peer->id, &node->leader.broker)) node->heartbeat_due_us = 0;
}

void node_guide_tell(struct node *node, bool all)
{
    list_for_each(at, &node->links)
    {
        struct peer *peer = container_of(at, struct peer, link_node);

        if (all || peer->puller.is_standing) node_guide_send_here(node, peer);
    }
}

static void adopt(struct node *node, uint64_t term, const struct raft_server *leader)
{
    bool is_self = raft_server_equal(leader, &node->options.self);

    if (!uuid_is_zero(&node->leader.broker)) {
        node->former = node->leader.broker;
        node->former_heard_us = raft_get_brief(node->raft).leader_heard_us;
    }
    node->leader_term = term;
    node->leader = *leader;
    node->pulse_us = node->current_us = 0;
    node->heartbeat_due_us = 0;
    node->requests_are_due = node->wants_are_due = true;
    if (!uuid_is_zero(&leader->broker)) node_guide_tell(node, is_self);
}

void node_guide_role_changed(struct node *node)
{
    struct raft_brief status = raft_get_brief(node->raft);

    /* A leader that speaks here counts before the log says that this is a server: the entry that does is still to come. */
    if ((!is_member(&status) && uuid_is_zero(&status.leader.broker)) || status.term < node->leader_term) return;
    if (status.term == node->leader_term && raft_server_equal(&status.leader, &node->leader)) return;
    adopt(node, status.term, &status.leader);
}

void node_guide_hint(struct node *node, const struct peer *from, uint64_t term, const struct raft_server *leader)
{
    static const struct raft_server nobody;
    struct raft_brief status = raft_get_brief(node->raft);
    bool is_known = !uuid_is_zero(&leader->broker);

    if (status.role == RAFT_LEADER || (is_member(&status) && term < status.term) ||
        (!uuid_is_zero(&status.leader.broker) && term <= status.term))
        return; /* raft knows better */
    if (raft_server_equal(leader, &node->options.self)) return; /* raft would know */
    if (is_known && (term > node->leader_term || (term == node->leader_term && uuid_is_zero(&node->leader.broker))))
        adopt(node, term, leader);
    else if (!is_known && term >= node->leader_term && uuid_equal(&from->id, &node->leader.broker))
        adopt(node, term, &nobody); /* it says so itself: it is not the one any more */
}
