/* metadata/levels.c - what a version cannot read it must stop at, so nothing that a newer version brought is written before every registered broker has told this
 * coordinator, by a heartbeat, that it reads it. Who is not heard may come back as what it was: it counts as the oldest until it is back, or removed. */
#include "replication/metadata/node_internal.h"

#include "base/error.h"

#include <stdio.h>

uint32_t node_level_of_flags(uint32_t flags)
{
    uint32_t level = flags >> NODE_LEVEL_SHIFT & METADATA_LEVEL_MAX;

    return level == 0 ? 1 : level; /* a version that did not say it yet */
}

/* 0: not heard in this life of it, by this coordinator. */
static uint32_t level_of(const struct node *node, const struct image_broker *broker)
{
    const struct peer *peer = node_peer_find(node, &broker->broker_id);

    if (uuid_equal(&broker->broker_id, &node->options.self.broker)) return node->options.level;
    return peer == NULL || peer->session.heard_us == 0 || peer->session.boot < broker->boot ? 0 : peer->session.level;
}

/* It hears them all within the time of a session, but for those that are down. */
static bool is_new_here(const struct node *node)
{
    return node->now_us - node->coordinating_since_us < node->options.session_us;
}

static int refuse_for_now(const struct image_broker *broker, char text[DECISION_MESSAGE_SIZE])
{
    snprintf(text, DECISION_MESSAGE_SIZE, "the coordinator has just begun, and has not heard yet which version broker %d (%.100s) runs: try again in a moment", broker->node_id, broker->name);
    return MESH_EAGAIN;
}

static int refuse(const struct image_broker *broker, uint32_t speaks, uint32_t level, char text[DECISION_MESSAGE_SIZE])
{
    if (speaks == 0)
        snprintf(text, DECISION_MESSAGE_SIZE,
                 "this needs brokers that read metadata of level %u, and broker %d (%.100s) has not said since the coordinator began: start it, or 'mesh remove' it", level,
                 broker->node_id, broker->name);
    else
        snprintf(text, DECISION_MESSAGE_SIZE, "this needs brokers that read metadata of level %u, and broker %d (%.100s) runs a version that reads level %u: upgrade it first", level,
                 broker->node_id, broker->name, speaks);
    return MESH_EUNSUPPORTED;
}

int node_levels_check(const struct node *node, const struct image *image, struct decision *decision)
{
    uint32_t level = metadata_command_level(decision_command(decision), node->options.level_of);

    if (level <= image_level(image) || NODE_DEFECT(node, UNREADABLE_WRITTEN)) return 0; /* which everybody here has to read already */
    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);
        uint32_t speaks = level_of(node, broker);

        if (speaks == 0 && is_new_here(node)) return refuse_for_now(broker, decision->message);
        if (speaks < level) return refuse(broker, speaks, level, decision->message);
    }
    return 0;
}
