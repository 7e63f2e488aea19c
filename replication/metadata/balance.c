/* metadata/balance.c - what the coordinator does now and then: leadership goes back to where it was placed, and tombstones that everybody
 * has seen go. */
#include "replication/metadata/node_internal.h"

#define BALANCE_INTERVAL_US 10000000

void node_balance_begin(struct node *node)
{
    balance_reset(&node->balance);
    node->balance_due_us = node->now_us + BALANCE_INTERVAL_US;
    node_moves_begin(node);
}

/* The lowest applied index of all registered brokers; 0: one's is not known. */
static uint64_t find_applied_min(const struct node *node, const struct image *image)
{
    uint64_t lowest = image_applied_index(node->image);

    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);
        const struct peer *peer = node_peer_find(node, &broker->broker_id);

        if (uuid_equal(&broker->broker_id, &node->options.self.broker)) continue;
        if (peer == NULL || peer->session.heard_us == 0) return 0;
        lowest = earlier(lowest, peer->session.applied);
    }
    return lowest;
}

bool node_balance_run(struct node *node)
{
    const struct image *image;
    struct decide_facts facts;
    struct decision decision;
    int err;

    if (!node->is_coordinating || node->now_us < node->balance_due_us) return false;
    node->balance_due_us = node->now_us + BALANCE_INTERVAL_US;
    image = node_decisions_image(node);
    if (image == NULL) return false;
    decision_init(&decision);
    node_facts_init(node, image, &facts);
    err = decide_balance(image, &node->balance, &facts, node->now_us, &decision);
    if (err == 0 && decision.change_count == 0) err = decide_tombstones_drop(image, find_applied_min(node, image), &decision);
    if (err == 0 && decision.change_count != 0) err = node_decisions_propose(node, &decision);
    if (err != 0) balance_reset(&node->balance); /* what it counted did not happen */
    err = err != 0 || decision.change_count == 0;
    node_facts_deinit(&facts);
    decision_deinit(&decision);
    return !err;
}

uint64_t node_balance_due_us(const struct node *node)
{
    return node->is_coordinating ? node->balance_due_us : NODE_NEVER;
}
