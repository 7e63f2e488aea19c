/* metadata/output.c - what is to be done, made when it is asked for: own messages first, then raft's wishes, then what became visible, then
 * what else follows from all that, until nothing does.
 *
 * Raft wants all its outputs taken after each event, so work() gives it at most one event and is called again once it is quiet. */
#include "replication/metadata/node_internal.h"

#include "base/error.h"

/* ---- raft's outputs ---- */

static bool send_consensus(struct node *node, const struct raft_output *from, struct node_output *output)
{
    const struct peer *peer = node_peer_find(node, &from->to.broker);

    if (!node_recovery_allows(node, &from->to.broker)) return false;
    if (peer == NULL || !peer->is_linked || !raft_server_equal(&peer->server, &from->to)) return false;
    output->type = NODE_OUTPUT_SEND;
    output->peer = peer->id;
    output->link = NODE_LINK_CONSENSUS;
    output->bytes = from->message;
    return true;
}

static bool store(struct node *node, const struct raft_output *from, struct node_output *output)
{
    bool is_chunk = from->type == RAFT_OUTPUT_STORE_CHUNK;

    for (size_t i = 0; i < from->entry_count; i++)
        node->wants_are_due |= from->entries[i].type == RAFT_ENTRY_CONFIG;
    output->type = from->type == RAFT_OUTPUT_STORE_STATE ? NODE_OUTPUT_STORE_STATE
                   : is_chunk                            ? NODE_OUTPUT_STORE_CHUNK
                                                         : NODE_OUTPUT_STORE_ENTRIES;
    output->store = node_store_give(node, from->store, is_chunk, from->is_last);
    output->term = from->term;
    output->voted_for = from->voted_for;
    output->damaged_until = from->damaged_until;
    output->forced_term = from->forced_term;
    output->others = from->others;
    output->other_count = from->other_count;
    output->entries = from->entries;
    output->entry_count = from->entry_count;
    output->committed = from->committed; /* never more than this disk holds (raft.h) */
    output->position = from->position;
    output->config = from->config;
    output->bytes = from->message;
    output->offset = from->offset;
    output->total = from->total;
    output->is_last = from->is_last;
    return output->store != 0;
}

static bool read_for_raft(struct node *node, const struct raft_output *from, struct node_output *output)
{
    struct pending_read read = {.is_raft = true, .to = from->to, .index = from->index, .offset = from->offset};

    output->type = NODE_OUTPUT_SNAPSHOT_READ;
    output->read = node_read_give(node, &read);
    output->offset = from->offset;
    output->size = from->size;
    output->index = from->index;
    return output->read != 0;
}

static void role_changed(struct node *node)
{
    node_guide_role_changed(node);
    if (!node_guide_is_coordinator(node)) {
        node_decisions_abandon(node);
        node->is_coordinating = false;
    }
    node->requests_are_due = node->wants_are_due = true;
}

/* True: `output` is to be carried out. */
static bool convert(struct node *node, const struct raft_output *from, struct node_output *output)
{
    switch (from->type) {
    case RAFT_OUTPUT_SEND:
        node_sessions_raft_speaks(node, &from->to);
        return send_consensus(node, from, output);
    case RAFT_OUTPUT_STORE_STATE:
    case RAFT_OUTPUT_STORE_ENTRIES:
    case RAFT_OUTPUT_STORE_CHUNK: return store(node, from, output);
    case RAFT_OUTPUT_COMMIT:
        node_apply_commit(node, from->entries, from->entry_count);
        node_decisions_committed(node);
        return false;
    case RAFT_OUTPUT_RESTORE:
        node_apply_restore(node, &from->position);
        node->wants_are_due = true;
        output->type = NODE_OUTPUT_RESTORE;
        output->position = from->position;
        output->config = from->config;
        return true;
    case RAFT_OUTPUT_ROLE: role_changed(node); return false;
    case RAFT_OUTPUT_READ: node_decisions_read(node, from->context, from->index); return false;
    case RAFT_OUTPUT_SNAPSHOT_READ: return read_for_raft(node, from, output);
    }
    return false;
}

/* ---- what is told once ---- */

static bool is_same_status(const struct node_status *a, const struct node_status *b)
{
    return a->role == b->role && a->term == b->term && uuid_equal(&a->coordinator, &b->coordinator) && a->node_id == b->node_id &&
           a->is_registered == b->is_registered && a->is_fenced == b->is_fenced && a->is_serving == b->is_serving &&
           a->has_session == b->has_session && a->history == b->history && a->is_recovering == b->is_recovering &&
           a->is_set_back == b->is_set_back && a->has_failed == b->has_failed;
}

static bool tell_image(struct node *node, struct node_output *output)
{
    struct node_frontier frontier = node_make_frontier(node);

    if (!node->is_published) {
        node->is_published = true;
        output->type = NODE_OUTPUT_PUBLISH;
        output->image = node->image;
        return true;
    }
    if (frontier.index == node->frontier_told.index && frontier.chain == node->frontier_told.chain) return false;
    node->frontier_told = frontier;
    output->type = NODE_OUTPUT_FRONTIER;
    output->frontier = frontier;
    return true;
}

static bool tell_status(struct node *node, struct node_output *output)
{
    struct node_status status;

    node_get_status(node, &status);
    if (!is_same_status(&status, &node->status)) {
        node->status = status;
        output->type = NODE_OUTPUT_STATUS;
        return true;
    }
    if (!node->has_left || node->left_is_told) return false;
    node->left_is_told = true;
    output->type = NODE_OUTPUT_LEFT;
    return true;
}

/* ---- what follows ---- */

static void begin_to_coordinate(struct node *node)
{
    struct raft_brief status = raft_get_brief(node->raft);

    if (node->is_coordinating || status.role != RAFT_LEADER || !status.is_leader_ready) return;
    node->is_coordinating = true;
    node_event(node, NODE_LEVEL_INFO, "this broker coordinates the mesh now, term=%llu", (unsigned long long)status.term);
    node_sessions_begin(node);
}

/* A learner goes on believing in a leader that has dropped it: what counts is that it is heard. */
static void watch_leader(struct node *node)
{
    struct raft_brief status = raft_get_brief(node->raft);

    if (status.role == RAFT_LEADER || (!uuid_is_zero(&status.leader.broker) && node->now_us - status.leader_heard_us <= node->options.election_max_us))
        node->leader_lost_us = 0;
    else if (node->leader_lost_us == 0)
        node->leader_lost_us = node->now_us;
}

/* One step; true: raft was given an event, or there is more to do at once. */
static bool work(struct node *node)
{
    if (node->has_failed) {
        if (node->is_silenced) return false;
        node->is_silenced = true;
        node_decisions_abandon(node);
        raft_store_failed(node->raft, node->now_us, node->failure_error);
        return true;
    }
    if (node->refused_store != 0) {
        uint64_t refused = node->refused_store;

        node->refused_store = 0;
        raft_chunk_refused(node->raft, node->now_us, refused);
        return true;
    }
    node_apply_pending(node);
    if (node_recovery_run(node)) return true;
    if (node_pull_install(node)) return true;
    if (node->restores != 0) return false;
    begin_to_coordinate(node);
    /* who is here comes first: a coordinator that has just begun may be fenced itself, and then nobody could host what it decides */
    return node_sessions_run(node) || node_decisions_run(node) || node_quorum_run(node) || node_balance_run(node) || node_moves_run(node) ||
           node_leave_run(node);
}

/* What asks nothing of raft. */
static void update(struct node *node)
{
    watch_leader(node);
    node_apply_snapshot(node);
    node_feed_serve(node);
    node_sessions_update(node);
    node_requests_update(node);
    node_pull_update(node);
    node_peers_want(node);
}

bool node_next_output(struct node *node, uint64_t now_us, struct node_output *ret_output)
{
    struct raft_output from;

    node->now_us = now_us;
    for (;;) {
        *ret_output = (struct node_output){0};
        if (node_outbox_next(node, ret_output) || node_recovery_next_output(node, ret_output)) return true;
        if (!list_is_empty(&node->outbox.items)) continue; /* what recovery says */
        if (raft_next_output(node->raft, now_us, &from)) {
            node->is_updated = false;
            if (convert(node, &from, ret_output)) return true;
        } else if (tell_image(node, ret_output) || node_requests_next_answer(node, ret_output) ||
                   node_apply_snapshot_output(node, ret_output)) {
            return true;
        } else if (work(node)) {
            node->is_updated = false;
        } else if (!node->is_updated) {
            node->is_updated = true;
            update(node);
        } else {
            return tell_status(node, ret_output);
        }
    }
}
