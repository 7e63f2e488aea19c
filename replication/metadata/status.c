/* metadata/status.c - what the node knows, for those who ask; and when it wants to be woken. */
#include "replication/metadata/node_internal.h"

#define APPLY_RETRY_US 100000 /* after memory ran out */

static enum node_role find_role(const struct raft_brief *raft)
{
    if (raft->role == RAFT_LEADER && raft->is_leader_ready) return NODE_COORDINATOR;
    if (raft->is_voter) return NODE_VOTER;
    return raft->is_learner ? NODE_LEARNER : NODE_OBSERVER;
}

static bool has_session(const struct node *node, const struct raft_brief *raft)
{
    if (raft->role == RAFT_LEADER) return raft->is_leader_ready;
    return node->pulse_us != 0 && node->now_us - node->pulse_us <= node->options.session_us;
}

void node_get_status(const struct node *node, struct node_status *ret_status)
{
    const struct image_broker *self = node_sessions_self(node);
    struct raft_brief raft = raft_get_brief(node->raft);

    *ret_status = (struct node_status){
        .role = find_role(&raft),
        .term = raft.role == RAFT_LEADER || raft.term > node->leader_term ? raft.term : node->leader_term,
        .coordinator = node->leader.broker,
        .node_id = self != NULL ? self->node_id : 0,
        .applied = image_applied_index(node->image),
        .committed = node->committed,
        .is_registered = node_sessions_is_registered(node),
        .has_session = !node->has_failed && has_session(node, &raft),
        .history = node_history(node),
        .is_removed = recover_get_state(node->recover)->is_removed,
        .is_recovering = recover_is_bound(node->recover),
        .is_set_back = raft.damaged_until == RAFT_SET_BACK,
        .has_failed = node->has_failed,
        .failure_error = node->failure_error,
        .failure = node->failure,
    };
    ret_status->is_fenced = node_sessions_is_fenced(node);
    ret_status->is_serving = !node->has_failed && node->restores == 0 && node_sessions_is_this_life(node) && !ret_status->is_fenced;
}

uint64_t node_current_us(const struct node *node)
{
    struct raft_brief raft = raft_get_brief(node->raft);

    if (node->has_failed) return 0;
    return raft.role == RAFT_LEADER && raft.is_leader_ready ? node->now_us : node->current_us;
}

const struct image *node_image(const struct node *node)
{
    return node->image;
}

const struct raft_config *node_config(const struct node *node)
{
    return raft_get_committed_config(node->raft);
}

void node_raft_status(const struct node *node, struct raft_status *ret_status)
{
    raft_get_status(node->raft, ret_status);
}

bool node_refuses(const struct node *node, const struct raft_server *server)
{
    struct raft_claim claim;
    bool is_refused;

    return raft_get_claim(node->raft, server, &claim, &is_refused) && is_refused;
}

void node_get_stats(const struct node *node, struct node_stats *ret_stats)
{
    *ret_stats = node->stats;
    ret_stats->pullers = (uint32_t)node->puller_count;
    ret_stats->peers = (uint32_t)node->link_count;
    ret_stats->requests_open = (uint32_t)node->request_count;
}

static uint64_t session_ends_us(const struct node *node)
{
    uint64_t end = node->pulse_us + node->options.session_us + 1;

    return node->pulse_us != 0 && node->status.has_session && end > node->now_us ? end : NODE_NEVER;
}

uint64_t node_due_us(const struct node *node)
{
    uint64_t due = earlier(node_requests_due_us(node), session_ends_us(node));

    due = earlier(due, recover_due_us(node->recover));
    if (node->has_failed) return due;
    due = earlier(due, raft_due_us(node->raft));
    due = earlier(due, node_pull_due_us(node));
    due = earlier(due, node_sessions_due_us(node));
    due = earlier(due, node_quorum_due_us(node));
    due = earlier(due, node_balance_due_us(node));
    due = earlier(due, node_moves_due_us(node));
    due = earlier(due, node_leave_due_us(node));
    if (node->restores == 0 && image_applied_index(node->image) < node->committed) due = earlier(due, node->now_us + APPLY_RETRY_US);
    return due;
}
