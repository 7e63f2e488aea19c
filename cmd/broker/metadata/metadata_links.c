/* metadata/metadata_links.c - the node's links are the peers' links, and what gossip knows is told to it. */
#include "base/error.h"
#include "cmd/broker/metadata/metadata_internal.h"
#include "cmd/broker/peers/peer_users.h"

#include <stdlib.h>

/* ---- out ---- */

void metadata_send(struct metadata *metadata, const struct node_output *output)
{
    enum link_type type = output->link == NODE_LINK_CONSENSUS ? LINK_TYPE_CONSENSUS : LINK_TYPE_METADATA;

    if (metadata->peers == NULL) return;
    (void)peers_link_send(metadata->peers, &output->peer, type, output->bytes); /* what is refused is lost, as on any network */
}

/* The node says each want once, maybe before there are peers. */
struct want {
    struct list_node node; /* in metadata.wants */
    struct uuid peer;
    bool is_asked; /* of the present peers */
};

static struct want *find_want(const struct metadata *metadata, const struct uuid *peer)
{
    list_for_each(node, &metadata->wants)
    {
        struct want *want = container_of(node, struct want, node);

        if (uuid_equal(&want->peer, peer)) return want;
    }
    return NULL;
}

static void ask_for(struct metadata *metadata, struct want *want)
{
    if (metadata->peers != NULL && !want->is_asked) want->is_asked = peers_want_link(metadata->peers, &want->peer) == 0;
}

void metadata_want_link(struct metadata *metadata, const struct node_output *output)
{
    struct want *want = find_want(metadata, &output->peer);

    if (output->is_wanted && want == NULL) {
        want = calloc(1, sizeof(*want));
        if (want == NULL) return; /* gossip keeps most links anyway; the node goes on without this one */
        want->peer = output->peer;
        list_push_back(&metadata->wants, &want->node);
    }
    if (want == NULL) return;
    if (output->is_wanted) {
        ask_for(metadata, want);
        return;
    }
    if (want->is_asked && metadata->peers != NULL) peers_unwant_link(metadata->peers, &want->peer);
    list_remove(&want->node);
    free(want);
}

void metadata_forget_wants(struct metadata *metadata)
{
    struct list_node *node;

    while ((node = list_pop_front(&metadata->wants)) != NULL)
        free(container_of(node, struct want, node));
}

void metadata_tell_frontier(struct metadata *metadata, const struct node_frontier *frontier)
{
    const struct gossip_frontier told = {frontier->term, frontier->index, frontier->chain};

    metadata->frontier = *frontier;
    if (metadata->peers != NULL) peers_set_frontier(metadata->peers, &told);
}

/* What was said before there were peers, or to others. */
static void repeat(struct metadata *metadata)
{
    const struct node_frontier frontier = metadata->frontier;

    list_for_each(node, &metadata->wants)
    {
        struct want *want = container_of(node, struct want, node);

        want->is_asked = false;
        ask_for(metadata, want);
    }
    if (frontier.index != 0) metadata_tell_frontier(metadata, &frontier);
}

/* ---- in ---- */

static void on_up(void *user, const struct uuid *peer, const struct uuid *dir_id)
{
    struct metadata *metadata = user;
    const struct raft_server server = {*peer, *dir_id};

    node_link_up(metadata->node, metadata_now_us(), &server);
    metadata_drive(metadata);
}

static void on_down(void *user, const struct uuid *peer)
{
    struct metadata *metadata = user;

    node_link_down(metadata->node, metadata_now_us(), peer);
    metadata_drive(metadata);
}

static void on_consensus(void *user, const struct uuid *peer, const struct uuid *dir_id, struct slice message)
{
    struct metadata *metadata = user;

    (void)dir_id;
    node_receive(metadata->node, metadata_now_us(), peer, NODE_LINK_CONSENSUS, message);
    metadata_drive(metadata);
}

static void on_metadata(void *user, const struct uuid *peer, const struct uuid *dir_id, struct slice message)
{
    struct metadata *metadata = user;

    (void)dir_id;
    node_receive(metadata->node, metadata_now_us(), peer, NODE_LINK_METADATA, message);
    metadata_drive(metadata);
}

static void on_member(void *user, const struct gossip_member *member, enum gossip_state was, bool is_new)
{
    static const enum node_member_state states[] = {
        [GOSSIP_ALIVE] = NODE_MEMBER_ALIVE, [GOSSIP_SUSPECT] = NODE_MEMBER_SUSPECT, [GOSSIP_DEAD] = NODE_MEMBER_DEAD, [GOSSIP_LEFT] = NODE_MEMBER_LEFT};
    struct metadata *metadata = user;

    if (member->is_self || (!is_new && member->state == was)) return;
    node_member(metadata->node, metadata_now_us(), &member->self.id, states[member->state]);
    metadata_drive(metadata);
}

static void on_gone(void *user, const struct uuid *broker)
{
    struct metadata *metadata = user;

    node_peer_gone(metadata->node, metadata_now_us(), broker);
    metadata_drive(metadata);
}

static void on_frontier(void *user, const struct gossip_member *member)
{
    struct metadata *metadata = user;
    const struct node_frontier frontier = {member->frontier.term, member->frontier.index, member->frontier.chain};

    if (member->is_self) return;
    node_heard_frontier(metadata->node, metadata_now_us(), &member->self.id, &frontier);
    metadata_drive(metadata);
}

/* Links are told of once: up and down come with the metadata's user. */
static const struct peer_user_hooks consensus_hooks = {NULL, NULL, on_consensus};
static const struct peer_user_hooks metadata_link_hooks = {on_up, on_down, on_metadata};
static const struct peer_news_hooks news_hooks = {.member = on_member, .gone = on_gone, .frontier = on_frontier};

static void tell_members(struct metadata *metadata)
{
    for (size_t i = 0; i < peers_member_count(metadata->peers); i++)
        on_member(metadata, peers_member_at(metadata->peers, i), GOSSIP_ALIVE, true);
}

void metadata_connect(struct metadata *metadata, struct peers *peers)
{
    const struct image *image;

    metadata->peers = peers;
    if (peers == NULL) return;
    peers_set_news(peers, &news_hooks, metadata);
    peers_set_user(peers, LINK_TYPE_CONSENSUS, &consensus_hooks, metadata);
    peers_set_user(peers, LINK_TYPE_METADATA, &metadata_link_hooks, metadata);
    repeat(metadata);
    tell_members(metadata);
    image = metadata_image(metadata);
    for (size_t i = 0; i < image_broker_count(image); i++)
        (void)peers_set_registered(peers, &image_broker_at(image, i)->broker_id, true);
    metadata_drive(metadata);
}
