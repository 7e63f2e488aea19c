/* metadata/fences.c - the coordinator's side of sessions: who is heard, who has been silent for too long, and who is back. */
#include "replication/metadata/node_internal.h"

#include "base/error.h"

#include <stdlib.h>

#define AGAIN_US      10000   /* when a decision could not be proposed now */
#define DRAIN_MORE_US 1000000 /* how often it is looked whether others can lead what a broker that gives up still leads */

/* Everybody has a full session from the day on which a new coordinator comes, but for whom this broker has missed itself: a process that it saw
 * end, and the coordinator before, which it heard last as a voter. */
void node_sessions_begin(struct node *node)
{
    list_for_each(at, &node->peers)
    {
        struct peer *peer = container_of(at, struct peer, node);

        peer->session = (struct session){0};
        if (peer->is_gone)
            peer->session.deadline_us = node->now_us;
        else if (node->former_heard_us != 0 && uuid_equal(&peer->id, &node->former))
            peer->session.deadline_us = node->former_heard_us + node->options.session_us;
    }
    node->sessions_due_us = node->voters_due_us = node->now_us;
    node->coordinating_since_us = node->now_us;
    node->drain_more_index = node->drain_more_us = 0;
    node_balance_begin(node);
}

/* ---- heard ---- */

static void hear(struct node *node, struct peer *peer, const struct node_message *message)
{
    struct session *session = &peer->session;
    const struct image_broker *broker;

    if (message->boot < session->boot) return; /* an earlier life of it */
    if (session->heard_us == 0 || node->now_us >= session->deadline_us || message->boot > session->boot) {
        session->since_us = node->now_us;
        session->catch_up = node->committed;
        node->sessions_due_us = node->now_us;
    }
    session->heard_us = node->now_us;
    session->deadline_us = node->now_us + node->options.session_us;
    session->boot = message->boot;
    session->applied = message->applied;
    session->load = message->load;
    session->level = node_level_of_flags(message->flags);
    session->has_disk_failed = (message->flags & NODE_DISK_FAILED) != 0;
    session->is_draining = (message->flags & NODE_DRAINING) != 0;
    session->wants_drain = (message->flags & NODE_DRAIN_WANTED) != 0;
    if (session->wants_empty != ((message->flags & NODE_EMPTY_WANTED) != 0)) {
        session->wants_empty = !session->wants_empty;
        node->moves_due_us = node->now_us;
    }
    broker = image_find_broker_by_uuid(node->image, &peer->id);
    if (broker != NULL && (broker->is_fenced || broker->is_draining || session->has_disk_failed || session->wants_drain))
        node->sessions_due_us = node->now_us; /* perhaps it may come back, or has to go */
}

void node_sessions_gone(struct node *node, struct peer *peer)
{
    if (!node->is_coordinating) return;
    peer->session.deadline_us = node->sessions_due_us = node->now_us;
}

static void send_pulse(struct node *node, struct peer *peer)
{
    struct node_message pulse = {
        .type = NODE_MESSAGE_PULSE,
        .term = node->leader_term,
        .leader = node->leader,
        .committed = node->committed,
        .is_coordinator = node->is_coordinating,
    };

    peer->is_pulse_owed = false;
    node_send(node, peer, &pulse);
}

/* Who is known to be here, and whom raft will speak to anyway, hears the answer then; anybody else at once. */
void node_sessions_on_heartbeat(struct node *node, struct peer *peer, const struct node_message *message)
{
    bool is_known = node->is_coordinating && node->now_us < peer->session.deadline_us && message->boot == peer->session.boot;
    struct raft_progress progress;

    if (node->is_coordinating) hear(node, peer, message);
    if (is_known && raft_get_progress(node->raft, &peer->server, &progress))
        peer->is_pulse_owed = true;
    else
        send_pulse(node, peer);
}

void node_sessions_raft_speaks(struct node *node, const struct raft_server *to)
{
    struct peer *peer = node->is_coordinating ? node_peer_find(node, &to->broker) : NULL;

    if (peer != NULL && peer->is_pulse_owed) send_pulse(node, peer);
}

/* ---- what decisions know of brokers beyond the image ---- */

/* Silent for so long that its replicas should be elsewhere; under a new coordinator it begins anew. */
static bool is_gone(const struct node *node, const struct session *session)
{
    uint64_t since_us = session->heard_us > node->coordinating_since_us ? session->heard_us : node->coordinating_since_us;

    return session->deadline_us != 0 && node->now_us >= session->deadline_us && node->now_us - since_us >= node->options.replace_us;
}

void node_facts_init(const struct node *node, const struct image *image, struct decide_facts *ret_facts)
{
    size_t count = image_broker_count(image);
    struct decide_broker_facts *brokers = count == 0 ? NULL : calloc(count, sizeof(brokers[0]));

    *ret_facts = (struct decide_facts){.brokers = brokers};
    for (size_t i = 0; brokers != NULL && i < count; i++) { /* without memory: all count as well and idle */
        const struct image_broker *broker = image_broker_at(image, i);
        const struct peer *peer = node_peer_find(node, &broker->broker_id);
        const struct node_load *load = peer != NULL ? &peer->session.load : &node->load;

        if (peer == NULL && !uuid_equal(&broker->broker_id, &node->options.self.broker)) continue;
        brokers[ret_facts->broker_count++] = (struct decide_broker_facts){
            .node_id = broker->node_id,
            .is_gone = peer != NULL && is_gone(node, &peer->session),
            .is_leaving = peer == NULL ? node->wants_empty : peer->session.wants_empty && peer->session.boot == broker->boot,
            .health = load->health,
            .bytes_per_s = load->bytes_per_s,
            .stored_bytes = load->disk_size_bytes - earlier(load->disk_size_bytes, load->disk_free_bytes),
        };
    }
}

void node_facts_deinit(struct decide_facts *facts)
{
    free((void *)(uintptr_t)facts->brokers);
}

/* ---- fences ---- */

enum wish { WISH_NONE, WISH_FENCE, WISH_UNFENCE, WISH_GIVE_UP, WISH_DRAIN };

/* Who has nobody beside it goes on as well as it can. */
static bool has_others(const struct image *image, const struct image_broker *broker)
{
    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *other = image_broker_at(image, i);

        if (other != broker && !other->is_fenced && !other->is_draining && !other->is_witness) return true;
    }
    return false;
}

/* What is wanted with a broker that is not to lead. A disk that fails while it is drained is told of, too. */
static enum wish give_up(const struct image_broker *broker, bool has_disk_failed)
{
    if (broker->is_fenced || (broker->is_draining && (broker->has_bad_disk || !has_disk_failed))) return WISH_NONE;
    return has_disk_failed ? WISH_GIVE_UP : WISH_DRAIN;
}

static enum wish find_wish(const struct node *node, const struct image *image, const struct image_broker *broker, const struct session *session)
{
    bool is_lost = session->deadline_us != 0 && node->now_us >= session->deadline_us;

    if (is_lost) return broker->is_fenced ? WISH_NONE : WISH_FENCE;
    if (session->heard_us == 0 || session->boot != broker->boot) return WISH_NONE;
    if (session->is_draining) return WISH_NONE;
    if ((session->has_disk_failed || session->wants_drain) && has_others(image, broker)) return give_up(broker, session->has_disk_failed);
    if (!broker->is_fenced && !broker->is_draining) return WISH_NONE;
    return session->applied >= session->catch_up && session->applied >= broker->epoch ? WISH_UNFENCE : WISH_NONE;
}

/* The coordinator itself is here by being the coordinator. */
static enum wish find_own_wish(const struct node *node, const struct image *image, const struct image_broker *broker)
{
    if (broker->boot != node->options.boot || node->is_leaving) return WISH_NONE;
    if ((node->has_disk_failed || node->wants_drain) && has_others(image, broker)) return give_up(broker, node->has_disk_failed);
    return broker->is_fenced || broker->is_draining ? WISH_UNFENCE : WISH_NONE;
}

static void tell(struct node *node, const struct image_broker *broker, enum wish wish)
{
    struct peer *peer = node_peer_find(node, &broker->broker_id);
    bool is_new;

    if (wish == WISH_FENCE) {
        node->stats.fenced++;
        if (peer != NULL) peer->session.was_fenced = true;
        if (peer != NULL && peer->is_gone)
            node_event(node, NODE_LEVEL_WARN, "broker node_id=%d name=%s fenced: its process has ended. Its partitions are led by others where they can be",
                       broker->node_id, broker->name);
        else
            node_event(node, NODE_LEVEL_WARN, "broker node_id=%d name=%s fenced: silent for %u ms. Its partitions are led by others where they can be",
                       broker->node_id, broker->name, node->options.session_us / 1000);
    } else if (wish == WISH_DRAIN) {
        node_event(node, NODE_LEVEL_INFO, "broker node_id=%d name=%s is drained: its partitions are led by others where they can be, until somebody undoes it or it starts again",
                   broker->node_id, broker->name);
    } else if (wish == WISH_GIVE_UP) {
        node_event(node, NODE_LEVEL_WARN, "broker node_id=%d name=%s has a disk that failed. Its partitions are led by others where they can be",
                   broker->node_id, broker->name);
    } else {
        node->stats.unfenced++;
        is_new = broker->boot == 1 && (peer == NULL || !peer->session.was_fenced); /* in its first life, and not missed before */
        node_event(node, NODE_LEVEL_INFO, "broker node_id=%d name=%s %s", broker->node_id, broker->name, is_new ? "has joined" : "is back");
    }
}

static int fulfil(struct node *node, const struct image *image, const struct image_broker *broker, enum wish wish)
{
    struct decide_facts facts;
    struct decision decision;
    int err;

    decision_init(&decision);
    node_facts_init(node, image, &facts);
    err = wish == WISH_FENCE   ? decide_broker_fence(image, &broker->broker_id, &facts, &decision)
          : wish == WISH_UNFENCE ? decide_broker_unfence(image, &broker->broker_id, &facts, &decision)
                                 : decide_broker_drain(image, &broker->broker_id, wish == WISH_GIVE_UP, &facts, &decision);
    if (err == 0 && decision.change_count != 0) err = node_decisions_propose(node, &decision);
    if (err == 0) {
        tell(node, broker, wish);
        node_balance_begin(node);
    }
    node_facts_deinit(&facts);
    decision_deinit(&decision);
    return err;
}

static struct session *find_session(struct node *node, const struct image_broker *broker)
{
    struct peer *peer = node_peer_make(node, &broker->broker_id);

    if (peer == NULL) return NULL;
    if (peer->session.deadline_us == 0) peer->session.deadline_us = node->now_us + node->options.session_us;
    return &peer->session;
}

static bool is_given_up(const struct node *node, const struct image_broker *broker)
{
    const struct peer *peer = node_peer_find(node, &broker->broker_id);

    if (broker->is_fenced || !broker->is_draining) return false;
    if (peer == NULL) return uuid_equal(&broker->broker_id, &node->options.self.broker) && (node->has_disk_failed || node->wants_drain);
    return peer->session.boot == broker->boot && (peer->session.has_disk_failed || peer->session.wants_drain);
}

static int drain_again(struct node *node, const struct image *image, const struct image_broker *broker, bool *ret_changes)
{
    struct decide_facts facts;
    struct decision decision;
    int err;

    decision_init(&decision);
    node_facts_init(node, image, &facts);
    err = decide_broker_drain(image, &broker->broker_id, broker->has_bad_disk, &facts, &decision);
    *ret_changes = err == 0 && decision.change_count != 0;
    if (*ret_changes) err = node_decisions_propose(node, &decision);
    node_facts_deinit(&facts);
    decision_deinit(&decision);
    return err;
}

/* When its disk failed, or it was drained, nobody else was in sync with some partitions, perhaps, and it went on leading them; others have joined since. Who gave a
 * partition up does not join it again, so this comes to an end; an image that was looked at in vain is not looked at again. */
static bool drain_more(struct node *node, const struct image *image)
{
    uint64_t index = image_applied_index(image);
    bool is_due = index != node->drain_more_index && node->now_us >= node->drain_more_us;
    bool has_any = false, changes = false;
    int err = 0;

    for (size_t i = 0; i < image_broker_count(image) && err == 0; i++) {
        const struct image_broker *broker = image_broker_at(image, i);

        if (!is_given_up(node, broker)) continue;
        has_any = true;
        if (is_due) err = drain_again(node, image, broker, &changes);
        if (err == 0 && changes) break;
    }
    if (!has_any) return false;
    if (is_due) node->drain_more_us = node->now_us + DRAIN_MORE_US;
    if (is_due && err == 0 && !changes) node->drain_more_index = index;
    node->sessions_due_us = earlier(node->sessions_due_us, node->drain_more_us > node->now_us ? node->drain_more_us : node->now_us + DRAIN_MORE_US);
    return err == 0 && changes;
}

bool node_sessions_run(struct node *node)
{
    struct image *image;

    if (!node->is_coordinating || node->now_us < node->sessions_due_us) return false;
    image = node_decisions_image(node);
    node->sessions_due_us = node->now_us + AGAIN_US;
    if (image == NULL) return false;
    node->sessions_due_us = node->now_us + node->options.session_us;
    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);
        bool is_self = uuid_equal(&broker->broker_id, &node->options.self.broker);
        const struct session *session = is_self ? NULL : find_session(node, broker);
        enum wish wish = is_self ? find_own_wish(node, image, broker) : session == NULL ? WISH_NONE : find_wish(node, image, broker, session);

        if (wish != WISH_NONE && fulfil(node, image, broker, wish) == 0) {
            node->sessions_due_us = node->now_us; /* the next one */
            return true;
        }
        if (wish != WISH_NONE) node->sessions_due_us = node->now_us + AGAIN_US;
        if (session != NULL && !broker->is_fenced && session->deadline_us > node->now_us)
            node->sessions_due_us = earlier(node->sessions_due_us, session->deadline_us);
    }
    return drain_more(node, image);
}

/* Where others have sessions, time is looked at often enough to tell their silence from this process's own sleep (node_enter()). */
uint64_t node_fences_due_us(const struct node *node)
{
    if (!node->is_coordinating) return NODE_NEVER;
    if (list_is_empty(&node->peers)) return node->sessions_due_us;
    return earlier(node->sessions_due_us, node->now_us + node->options.heartbeat_us / 2);
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
        .is_lost = node->now_us >= peer->session.deadline_us,
        .is_draining = peer->session.is_draining || peer->session.has_disk_failed,
    };
    return true;
}
