/* peers/peer_users.c - see peer_users.h. What gossip is told is told after its outputs were taken, so that hooks may ask for it. */
#include "cmd/broker/peers/peer_users.h"

#include "base/assert.h"
#include "base/error.h"
#include "cmd/broker/peers/peers_internal.h"

#include <stdlib.h>

#define USED_INTERVAL_US 1000000 /* between two words to gossip that a link is in use */

/* What is asked of gossip for one broker, for as long as it is asked. */
struct peer_want {
    struct map_node node;
    struct uuid id;
    uint32_t links; /* wants that were not taken back */
    bool is_registered, is_told; /* told: gossip knows what stands here */
};

void peers_set_user(struct peers *peers, enum link_type type, const struct peer_user_hooks *hooks, void *user)
{
    MESH_ASSERT(type < LINK_TYPE_COUNT && peers->users[type].hooks == NULL);
    peers->users[type] = (struct peer_user){hooks, user};
    if (!ev_is_active(&peers->users_timer)) ev_timer_start(peers->loop, &peers->users_timer);
}

void peers_set_news(struct peers *peers, const struct peer_news_hooks *hooks, void *user)
{
    peers->news = hooks;
    peers->news_user = user;
}

/* ---- messages ---- */

static struct peer_link *ready_link(const struct peers *peers, const struct uuid *peer)
{
    struct peer_link *link = peers_find_link(peers, peer);

    return link != NULL && link->is_announced ? link : NULL;
}

/* A link that serves others than gossip is not idle; told now and then, as nobody counts seconds exactly. */
static void note_use(struct peers *peers, struct peer_link *link)
{
    uint64_t now_us = peers_now_us();

    if (now_us - link->used_us < USED_INTERVAL_US) return;
    link->used_us = now_us;
    gossip_link_used(peers->gossip, &link->id);
}

int peers_link_send(struct peers *peers, const struct uuid *peer, enum link_type type, struct slice message)
{
    struct peer_link *link = ready_link(peers, peer);

    if (link == NULL) return MESH_ECLOSED;
    note_use(peers, link);
    return link_send(link->link, (uint8_t)type, message);
}

int peers_link_send_message(struct peers *peers, const struct uuid *peer, struct link_message *message)
{
    struct peer_link *link = ready_link(peers, peer);

    if (link == NULL) return MESH_ECLOSED;
    note_use(peers, link);
    return link_send_message(link->link, message);
}

bool peers_link_take_back(struct peers *peers, const struct uuid *peer, struct link_message *message)
{
    struct peer_link *link = ready_link(peers, peer);

    return link != NULL && link_take_back(link->link, message);
}

uint8_t *peers_take_message(struct peers *peers, struct slice message)
{
    MESH_ASSERT(peers->receiving != NULL);
    return link_take(peers->receiving->link, peers->receiving_type, message);
}

bool peers_is_linked(const struct peers *peers, const struct uuid *peer, struct uuid *ret_dir_id)
{
    const struct peer_link *link = ready_link(peers, peer);

    if (link != NULL && ret_dir_id != NULL) *ret_dir_id = link->self.dir_id;
    return link != NULL;
}

/* ---- up and down ---- */

/* Each user once. */
static void tell_up(struct peers *peers, struct peer_link *link)
{
    for (int type = 0; type < LINK_TYPE_COUNT; type++) {
        const struct peer_user *user = &peers->users[type];

        if (user->hooks == NULL || (link->told >> type & 1) != 0) continue;
        link->told |= 1u << type;
        if (user->hooks->up != NULL) user->hooks->up(user->user, &link->id, &link->self.dir_id);
    }
}

static void on_late_users(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct peers *peers = timer->data;

    (void)loop;
    (void)events;
    list_for_each_safe(node, &peers->links)
    {
        struct peer_link *link = container_of(node, struct peer_link, node);

        if (link->is_announced) tell_up(peers, link);
    }
}

void peer_users_receive(struct peers *peers, struct peer_link *link, uint8_t type, struct slice message)
{
    const struct peer_user *user = &peers->users[type];

    if (user->hooks == NULL || !link->is_announced) return;
    tell_up(peers, link); /* before anything is received */
    note_use(peers, link);
    peers->receiving = link;
    peers->receiving_type = type;
    user->hooks->receive(user->user, &link->id, &link->self.dir_id, message);
    peers->receiving = NULL;
}

void peer_users_announce(struct peers *peers, struct peer_link *link)
{
    if (link->is_announced || !link->is_chosen || !link->is_introduced) return;
    link->is_announced = true;
    tell_up(peers, link);
}

void peer_users_withdraw(struct peers *peers, struct peer_link *link)
{
    struct uuid id = link->id;
    uint32_t told = link->told;

    if (!link->is_announced) return;
    link->is_announced = false;
    link->told = 0;
    for (int type = 0; type < LINK_TYPE_COUNT; type++) {
        const struct peer_user *user = &peers->users[type];

        if ((told >> type & 1) != 0 && user->hooks->down != NULL) user->hooks->down(user->user, &id);
    }
}

/* ---- wants ---- */

static struct peer_want *find_want(const struct peers *peers, const struct uuid *id)
{
    struct map_node *node = map_find(&peers->wants, map_hash_bytes(id->bytes, UUID_SIZE));

    for (; node != NULL; node = map_find_next(node)) {
        struct peer_want *want = container_of(node, struct peer_want, node);

        if (uuid_equal(&want->id, id)) return want;
    }
    return NULL;
}

static int make_want(struct peers *peers, const struct uuid *id, struct peer_want **ret_want)
{
    struct peer_want *want = find_want(peers, id);
    int err;

    if (want == NULL) {
        if (peers->wants.count >= GOSSIP_MEMBERS_MAX) return MESH_EFULL;
        want = calloc(1, sizeof(*want));
        if (want == NULL) return MESH_ENOMEM;
        want->id = *id;
        want->is_told = true;
        err = map_insert(&peers->wants, &want->node, map_hash_bytes(id->bytes, UUID_SIZE));
        if (err != 0) {
            free(want);
            return err;
        }
    }
    *ret_want = want;
    return 0;
}

static void changed(struct peers *peers, struct peer_want *want)
{
    want->is_told = false;
    peers->has_wants = true;
    if (!peers->is_driving && !ev_is_active(&peers->wants_timer)) ev_timer_start(peers->loop, &peers->wants_timer);
}

int peers_want_link(struct peers *peers, const struct uuid *peer)
{
    struct peer_want *want;
    int err = make_want(peers, peer, &want);

    if (err == 0 && want->links++ == 0) changed(peers, want);
    return err;
}

void peers_unwant_link(struct peers *peers, const struct uuid *peer)
{
    struct peer_want *want = find_want(peers, peer);

    if (want != NULL && want->links > 0 && --want->links == 0) changed(peers, want);
}

int peers_set_registered(struct peers *peers, const struct uuid *broker, bool is_registered)
{
    struct peer_want *want = find_want(peers, broker);
    int err = want == NULL && is_registered ? make_want(peers, broker, &want) : 0;

    if (err != 0 || want == NULL || want->is_registered == is_registered) return err;
    want->is_registered = is_registered;
    changed(peers, want);
    return 0;
}

void peer_users_met(struct peers *peers, const struct uuid *id)
{
    struct peer_want *want = find_want(peers, id);

    if (want != NULL) changed(peers, want);
}

/* True: something was told, so there are outputs. */
bool peer_users_tell_gossip(struct peers *peers)
{
    struct map_node *next;

    if (!peers->has_wants) return false;
    peers->has_wants = false;
    for (struct map_node *node = map_iterate(&peers->wants, NULL); node != NULL; node = next) {
        struct peer_want *want = container_of(node, struct peer_want, node);

        next = map_iterate(&peers->wants, node);
        if (want->is_told) continue;
        want->is_told = true;
        gossip_set_registered(peers->gossip, &want->id, want->is_registered);
        gossip_set_needed(peers->gossip, peers_now_us(), &want->id, want->links > 0);
        if (want->links > 0 || want->is_registered) continue;
        map_remove(&peers->wants, node);
        free(want);
    }
    return true;
}

static void on_wants(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    peers_drive(timer->data);
}

void peer_users_open(struct peers *peers)
{
    peers->wants = (struct map)MAP_INIT;
    ev_timer_init(&peers->wants_timer, on_wants, 0, 0);
    ev_timer_init(&peers->users_timer, on_late_users, 0, 0);
    peers->wants_timer.data = peers->users_timer.data = peers;
}

void peer_users_close(struct peers *peers)
{
    struct map_node *next;

    ev_timer_stop(peers->loop, &peers->wants_timer);
    ev_timer_stop(peers->loop, &peers->users_timer);
    for (struct map_node *node = map_iterate(&peers->wants, NULL); node != NULL; node = next) {
        next = map_iterate(&peers->wants, node);
        free(container_of(node, struct peer_want, node));
    }
    map_deinit(&peers->wants);
}

/* ---- looking ---- */

void peers_set_frontier(struct peers *peers, const struct gossip_frontier *frontier)
{
    gossip_set_frontier(peers->gossip, frontier);
}

const struct gossip_member *peers_find_member(const struct peers *peers, const struct uuid *broker)
{
    return gossip_find(peers->gossip, broker);
}

size_t peers_member_count(const struct peers *peers)
{
    return gossip_member_count(peers->gossip);
}

const struct gossip_member *peers_member_at(const struct peers *peers, size_t index)
{
    return gossip_member_at(peers->gossip, index);
}
