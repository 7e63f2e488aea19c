/* metadata/quorum.c - who votes: the coordinator looks now and then, and changes the configuration one step at a time
 * (coordinator/voters.h says which). */
#include "replication/metadata/node_internal.h"

#include "base/error.h"
#include "replication/coordinator/voters.h"

#include <stdio.h>
#include <stdlib.h>

/* What the sessions and raft say of one broker. */
static struct voter_facts find_facts(const struct node *node, const struct image_broker *broker)
{
    const struct raft_server server = {broker->broker_id, broker->dir_id};
    const struct peer *peer = node_peer_find(node, &broker->broker_id);
    struct voter_facts facts = {.broker_id = broker->broker_id};
    struct raft_progress progress;

    if (raft_server_equal(&server, &node->options.self)) {
        facts.alive_us = node->coordinating_since_us;
        facts.is_caught_up = true;
        facts.health = node->load.health;
        return facts;
    }
    if (peer == NULL || peer->session.heard_us == 0) {
        facts.silent_us = node->coordinating_since_us;
    } else if (node->now_us >= peer->session.deadline_us) {
        facts.silent_us = peer->session.heard_us;
    } else if (!peer->session.is_draining && !peer->session.has_disk_failed) {
        facts.alive_us = peer->session.since_us;
        facts.health = peer->session.load.health;
    }
    facts.is_caught_up = raft_get_progress(node->raft, &server, &progress) && progress.is_caught_up;
    return facts;
}

static void tell(struct node *node, const struct raft_config *was, const struct raft_config *wanted)
{
    node->stats.voters_changed++;
    node_event(node, NODE_LEVEL_INFO, "who decides changes: %u voters and %u learners, they were %u and %u", wanted->voter_count,
               wanted->learner_count, was->voter_count, was->learner_count);
}

static bool choose(struct node *node, const struct image *image)
{
    size_t count = image_broker_count(image);
    struct voter_facts *facts = calloc(count + 1, sizeof(facts[0]));
    struct voters_choice choice;
    struct voters_input input = {
        .config = raft_get_config(node->raft),
        .self = node->options.self,
        .facts = facts,
        .fact_count = count,
        .now_us = node->now_us,
        .stable_us = node->options.voter_stable_us,
        .gone_us = node->options.voter_gone_us,
    };
    struct raft_config was;

    if (facts == NULL) return false;
    for (size_t i = 0; i < count; i++)
        facts[i] = find_facts(node, image_broker_at(image, i));
    voters_choose(image, &input, &choice);
    free(facts);
    snprintf(node->voters_why, sizeof(node->voters_why), "%s", choice.why);
    if (!choice.is_wanted) return false;
    was = *input.config;
    if (raft_change_config(node->raft, node->now_us, &choice.wanted) != 0) return false; /* not yet: a learner is behind, say */
    tell(node, &was, &choice.wanted);
    return true;
}

bool node_quorum_run(struct node *node)
{
    struct raft_status status;
    const struct image *image;

    if (!node->is_coordinating || node->is_leaving || node->now_us < node->voters_due_us) return false;
    node->voters_due_us = node->now_us + node->options.voters_interval_us;
    raft_get_status(node->raft, &status);
    image = node_decisions_image(node);
    return image != NULL && !status.is_changing && choose(node, image);
}

uint64_t node_quorum_due_us(const struct node *node)
{
    return node->is_coordinating && !node->is_leaving ? node->voters_due_us : NODE_NEVER;
}

const char *node_voters_why(const struct node *node)
{
    return node->is_coordinating ? node->voters_why : "";
}
