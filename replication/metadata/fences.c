/* metadata/fences.c - the coordinator's side of sessions: who is heard, who has been silent for too long, and who is back. */
#include "replication/metadata/node_internal.h"

/* Everybody has a full session from the day on which a new coordinator comes. */
void node_sessions_begin(struct node *node)
{
    list_for_each(at, &node->peers)
    {
        container_of(at, struct peer, node)->session = (struct session){0};
    }
    node->sessions_due_us = node->now_us;
    node->voters_due_us = node->now_us;
}

static void hear(struct node *node, struct peer *peer, const struct node_message *message)
{
    struct session *session = &peer->session;

    if (message->boot < session->boot) return; /* an earlier life of it */
    if (session->heard_us == 0 || node->now_us - session->heard_us > node->options.session_us || message->boot > session->boot) {
        session->since_us = node->now_us;
        session->catch_up = node->committed;
    }
    session->heard_us = node->now_us;
    session->deadline_us = node->now_us + node->options.session_us;
    session->boot = message->boot;
    session->applied = message->applied;
    session->load = message->load;
    session->is_draining = (message->flags & NODE_DRAINING) != 0;
}

void node_sessions_on_heartbeat(struct node *node, struct peer *peer, const struct node_message *message)
{
    struct node_message pulse = {
        .type = NODE_MESSAGE_PULSE,
        .term = node->leader_term,
        .leader = node->leader,
        .committed = node->committed,
        .is_coordinator = node->is_coordinating,
    };

    if (node->is_coordinating) hear(node, peer, message);
    node_send(node, peer, &pulse);
}

bool node_sessions_run(struct node *node)
{
    (void)node;
    return false;
}

uint64_t node_fences_due_us(const struct node *node)
{
    (void)node;
    return NODE_NEVER;
}

bool node_get_session(const struct node *node, const struct uuid *broker, struct node_session *ret_session)
{
    const struct peer *peer = node->is_coordinating ? node_peer_find(node, broker) : NULL;

    if (peer == NULL || peer->session.heard_us == 0) return false;
    *ret_session = (struct node_session){
        .heard_us = peer->session.heard_us,
        .applied = peer->session.applied,
        .boot = peer->session.boot,
        .load = peer->session.load,
        .is_lost = node->now_us > peer->session.deadline_us,
        .is_draining = peer->session.is_draining,
    };
    return true;
}
