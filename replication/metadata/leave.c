/* metadata/leave.c - controlled shutdown: leadership of partitions goes first, then coordination. */
#include "replication/metadata/node_internal.h"

void node_leave(struct node *node, uint64_t now_us)
{
    struct buffer body = BUFFER_INIT;

    node_enter(node, now_us);
    if (node->is_leaving) return;
    node->is_leaving = true;
    node->leave_deadline_us = now_us + node->options.leave_us;
    node->heartbeat_due_us = 0;
    if (node_sessions_self(node) == NULL || node_requests_add(node, NODE_OP_DRAIN, &body, node->options.leave_us / 2, 0, true, &node->draining) != 0)
        node->is_drained = true; /* it leads nothing, or the coordinator will have to notice */
}

static bool can_transfer(const struct node *node)
{
    const struct raft_config *config = raft_get_config(node->raft);

    return node_guide_is_coordinator(node) && config->voter_count > 1;
}

bool node_leave_run(struct node *node)
{
    static const struct raft_server best;

    if (!node->is_leaving || node->has_left) return false;
    if (node->now_us >= node->leave_deadline_us || (node->is_drained && !can_transfer(node))) {
        node->has_left = true;
        return false;
    }
    if (!node->is_drained || node->now_us < node->transfer_due_us) return false;
    node->transfer_due_us = node->now_us + node->options.election_min_us; /* a transfer may fail silently */
    return raft_transfer(node->raft, node->now_us, &best) == 0;
}

uint64_t node_leave_due_us(const struct node *node)
{
    if (!node->is_leaving || node->has_left) return NODE_NEVER;
    if (node->is_drained && can_transfer(node)) return earlier(node->leave_deadline_us, node->transfer_due_us);
    return node->leave_deadline_us;
}
