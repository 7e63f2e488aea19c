/* metadata/decisions.c - the coordinator's side of requests: a request is decided on the newest *proposed* image, so that a thousand of them need not
 * wait for a thousand commits; it is answered when the entry that it rests on is committed. Each is decided once, however many copies of it come:
 * what was done is remembered by the image, the rest by origins.c. A copy counts only in the term that it was sent for: once a coordinator of a later
 * term has answered, no earlier one can do anything any more (Raft 5.4), and a late one that was meant for it is not decided either.
 *
 * The images of proposals form a chain over the committed one. Whoever loses leadership drops it, and says to all who wait that what became
 * of their requests is not known here: they ask the next coordinator under the same ids. An error, or a request that needs no change, rests
 * on everything that was proposed before; when nothing is, the coordinator first makes sure that it still is the coordinator (ReadIndex). */
#include "replication/metadata/node_internal.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- images of what is proposed ---- */

static void drop_images(struct node *node)
{
    struct list_node *at;

    while ((at = list_pop_front(&node->proposed)) != NULL) {
        struct proposed *proposed = container_of(at, struct proposed, node);

        image_unref(proposed->image);
        free(proposed);
    }
    image_unref(node->proposed_image);
    node->proposed_image = NULL;
}

/* The image after one more entry of the log becomes the newest proposed one. Remembering it saves doing the work again at its commit; without
 * memory for that it is done again. */
static int extend(struct node *node, uint64_t index)
{
    struct raft_entry entry;
    struct image *next;
    struct proposed *proposed;
    int err;

    if (!raft_get_entry(node->raft, index, &entry)) return MESH_EAGAIN;
    err = image_apply(node->proposed_image, &entry, 1, &next);
    MESH_ASSERT(err == 0 || err == MESH_ENOMEM || err == MESH_EVERSION || err == MESH_ECORRUPT);
    if (err != 0) return err;
    proposed = calloc(1, sizeof(*proposed));
    if (proposed != NULL) {
        proposed->image = image_ref(next);
        list_push_back(&node->proposed, &proposed->node);
    }
    image_unref(node->proposed_image);
    node->proposed_image = next;
    return 0;
}

struct image *node_decisions_image(struct node *node)
{
    struct raft_brief status = raft_get_brief(node->raft);

    if (status.role != RAFT_LEADER || !status.is_leader_ready || node->restores != 0 || node->has_failed) return NULL;
    if (node->proposed_image != NULL && image_applied_index(node->proposed_image) < image_applied_index(node->image)) drop_images(node);
    if (node->proposed_image == NULL) node->proposed_image = image_ref(node->image);
    while (image_applied_index(node->proposed_image) < status.last) {
        if (extend(node, image_applied_index(node->proposed_image) + 1) == 0) continue;
        drop_images(node);
        return NULL;
    }
    return node->proposed_image;
}

struct image *node_decisions_take_image(struct node *node, uint64_t index, const uint8_t chain[RAFT_CHAIN_SIZE])
{
    while (!list_is_empty(&node->proposed)) {
        struct proposed *first = container_of(node->proposed.next, struct proposed, node);
        struct image *image = first->image;

        if (image_applied_index(image) > index) return NULL;
        list_remove(&first->node);
        free(first);
        if (image_applied_index(image) == index && memcmp(image_chain(image), chain, RAFT_CHAIN_SIZE) == 0) return image;
        image_unref(image);
    }
    return NULL;
}

/* ---- answers ---- */

static void answer(struct node *node, const struct uuid *origin, struct node_message *message)
{
    const struct peer *peer;

    message->type = NODE_MESSAGE_ANSWER;
    if (uuid_equal(origin, &node->options.self.broker)) {
        node_requests_answered(node, message);
        return;
    }
    peer = node_peer_find(node, origin);
    if (peer != NULL) node_send(node, peer, message); /* without a link: the origin asks again */
}

static void answer_verdict(struct node *node, const struct uuid *origin, uint64_t boot, uint64_t sequence, enum node_verdict verdict)
{
    struct node_message message = {.boot = boot, .sequence = sequence, .verdict = verdict, .term = node->leader_term, .leader = node->leader};

    answer(node, origin, &message);
}

void node_decided_free(struct decided *decided)
{
    buffer_deinit(&decided->result);
    free(decided);
}

static void answer_decided(struct node *node, const struct decided *decided)
{
    struct node_message message = {
        .boot = decided->boot,
        .sequence = decided->sequence,
        .verdict = NODE_VERDICT_DECIDED,
        .term = decided->asked_term,
        .leader = node->options.self,
        .error = decided->answer.error,
        .index = decided->answer.index,
        .topic_id = decided->answer.topic_id,
        .first_id = decided->answer.first_id,
        .id_count = decided->answer.id_count,
        .bytes = slice_of_string(decided->text),
        .result = buffer_slice(&decided->result),
    };

    answer(node, &decided->origin, &message);
}

static void wait_in(struct list_node *list, struct decided *decided)
{
    decided->is_waiting = true;
    list_push_back(list, &decided->node);
}

static void decided_end(struct node *node, struct decided *decided, enum node_verdict verdict)
{
    list_remove(&decided->node);
    node->decided_count--;
    decided->is_waiting = false;
    if (verdict == NODE_VERDICT_DECIDED)
        answer_decided(node, decided);
    else
        answer_verdict(node, &decided->origin, decided->boot, decided->sequence, verdict);
    if (list_is_empty(&decided->kept)) node_decided_free(decided);
}

/* Everything up to node->committed is committed: answer what rests on it. */
void node_decisions_committed(struct node *node)
{
    while (!list_is_empty(&node->decided)) {
        struct decided *first = container_of(node->decided.next, struct decided, node);
        struct raft_position position;

        if (first->index > node->committed) return;
        decided_end(node, first, node_position(node, first->index, &position) && position.term == first->term ? NODE_VERDICT_DECIDED
                                                                                                              : NODE_VERDICT_ELSEWHERE);
    }
}

void node_decisions_read(struct node *node, uint64_t context, uint64_t index)
{
    list_for_each_safe(at, &node->reading)
    {
        struct decided *decided = container_of(at, struct decided, node);

        if (decided->read == context) decided_end(node, decided, index != 0 ? NODE_VERDICT_DECIDED : NODE_VERDICT_ELSEWHERE);
    }
}

/* ---- taking requests ---- */

static void order_free(struct node *node, struct order *order)
{
    list_remove(&order->node);
    order->origin->order_count--;
    node->backlog_count--;
    node->backlog_bytes -= order->body.size;
    buffer_deinit(&order->body);
    free(order);
}

/* What was asked, decided and remembered in another term is over. */
static void enter_term(struct node *node)
{
    struct raft_status status;

    raft_get_status(node->raft, &status);
    if (node->decisions_term != status.term) node_decisions_abandon(node);
    node->decisions_term = status.term;
}

static bool is_asked(const struct node *node, const struct node_message *request)
{
    return node_guide_is_coordinator(node) && (request->term == node->decisions_term || NODE_DEFECT(node, ANY_TERM));
}

static struct order *add_order(struct node *node, struct origin *origin, const struct node_message *request)
{
    struct order *order = origin != NULL && node->backlog_count < NODE_BACKLOG_MAX && node->backlog_bytes + request->bytes.size <= NODE_BACKLOG_BYTES
                              ? calloc(1, sizeof(*order))
                              : NULL;

    if (order == NULL || buffer_append(&order->body, request->bytes.data, request->bytes.size) != 0) {
        free(order);
        return NULL;
    }
    order->origin = origin;
    origin->order_count++;
    list_push_back(&node->backlog, &order->node);
    node->backlog_count++;
    node->backlog_bytes += order->body.size;
    return order;
}

void node_decisions_take(struct node *node, const struct uuid *id, const struct node_message *request)
{
    struct origin *origin;
    struct order *order;

    enter_term(node);
    if (!is_asked(node, request)) {
        answer_verdict(node, id, request->boot, request->sequence, NODE_VERDICT_ELSEWHERE);
        return;
    }
    origin = node_origins_hear(node, id, request->oldest);
    order = add_order(node, origin, request);
    if (order == NULL) {
        answer_verdict(node, id, request->boot, request->sequence, NODE_VERDICT_BUSY);
        return;
    }
    order->boot = request->boot;
    order->sequence = request->sequence;
    order->op = (enum node_op)request->op;
}

void node_decisions_abandon(struct node *node)
{
    drop_images(node);
    while (!list_is_empty(&node->decided))
        decided_end(node, container_of(node->decided.next, struct decided, node), NODE_VERDICT_ELSEWHERE);
    while (!list_is_empty(&node->reading))
        decided_end(node, container_of(node->reading.next, struct decided, node), NODE_VERDICT_ELSEWHERE);
    while (!list_is_empty(&node->backlog)) {
        struct order *order = container_of(node->backlog.next, struct order, node);

        answer_verdict(node, &order->origin->id, order->boot, order->sequence, NODE_VERDICT_ELSEWHERE);
        order_free(node, order);
    }
    node_origins_clear(node);
}

static void free_decided(struct list_node *list)
{
    struct list_node *at;

    while ((at = list_pop_front(list)) != NULL) {
        struct decided *decided = container_of(at, struct decided, node);

        list_remove(&decided->kept);
        node_decided_free(decided);
    }
}

void node_decisions_deinit(struct node *node)
{
    drop_images(node);
    free_decided(&node->decided);
    free_decided(&node->reading);
    while (!list_is_empty(&node->backlog))
        order_free(node, container_of(node->backlog.next, struct order, node));
    node_origins_clear(node);
}

/* ---- deciding ---- */

/* What may be lost is said where it is decided, whatever it was decided for. */
static void tell_losses(struct node *node, const struct decision *decision)
{
    const struct image_topic *topic;

    if (decision->loss_count == 0) return;
    topic = node->proposed_image == NULL ? NULL : image_find_topic(node->proposed_image, &decision->lost_topic);
    node->stats.losses += decision->loss_count;
    node_event(node, NODE_LEVEL_ERROR,
               "acknowledged records may be lost: %llu partitions had no complete replica left and are led by the best that there was, first topic=%s partition=%u",
               (unsigned long long)decision->loss_count, topic == NULL ? "?" : topic->name, decision->lost_partition);
}

int node_decisions_propose(struct node *node, struct decision *decision)
{
    uint64_t index, term;
    int err = node->proposed_image == NULL ? 0 : node_levels_check(node, node->proposed_image, decision);

    if (err == 0) err = raft_propose(node->raft, node->now_us, decision_command(decision), &index, &term);
    if (err == 0) node->stats.proposals++;
    if (err == 0) tell_losses(node, decision);
    return err;
}

static const char too_large[] = "the change is larger than one entry of the metadata log can be";

static struct decided *decided_new(struct node *node, const struct order *order, const struct answer *reply, const char *text)
{
    size_t size = strlen(text) + 1;
    struct decided *decided;

    if (size < sizeof(too_large)) size = sizeof(too_large); /* it may become that */
    decided = node->decided_count < NODE_DECIDED_MAX ? calloc(1, sizeof(*decided) + size) : NULL;
    if (decided == NULL) return NULL;
    decided->origin = order->origin->id;
    decided->boot = order->boot;
    decided->sequence = order->sequence;
    decided->asked_term = node->decisions_term;
    decided->answer = *reply;
    memcpy(decided->text, text, strlen(text));
    list_init(&decided->node);
    list_init(&decided->kept);
    node->decided_count++;
    return decided;
}

static void drop(struct node *node, struct decided *decided)
{
    list_remove(&decided->node);
    list_remove(&decided->kept);
    node->decided_count--;
    node_decided_free(decided);
}

/* The answer rests on `image`, which holds what was proposed so far. */
static int rest_on(struct node *node, struct decided *decided, const struct image *image)
{
    int err = 0;

    decided->index = decided->answer.index = image_applied_index(image);
    decided->term = image_applied_term(image);
    if (decided->index > node->committed) {
        wait_in(&node->decided, decided);
    } else {
        decided->read = ++node->next_context;
        err = raft_read(node->raft, node->now_us, decided->read);
        if (err == 0) wait_in(&node->reading, decided);
    }
    return err;
}

static int make_true(struct node *node, struct decided *decided, const struct decision *decision)
{
    int err = raft_propose(node->raft, node->now_us, decision_command(decision), &decided->index, &decided->term);

    if (err != 0) return err;
    node->stats.proposals++;
    tell_losses(node, decision);
    decided->answer.index = decided->index;
    wait_in(&node->decided, decided);
    return 0;
}

/* The id was seen before, and done: what was answered then is answered again, once the entry that did it is committed. */
static int repeat_done(struct node *node, const struct order *order, const struct image_request *done)
{
    struct answer reply = {.error = done->error, .index = done->index};
    struct decided *decided;
    struct raft_entry entry;

    node_operation_read_result(slice_of(done->result, done->result_size), &reply);
    decided = decided_new(node, order, &reply, done->error == 0 ? "" : mesh_strerror(done->error));
    if (decided == NULL) return MESH_ENOMEM;
    decided->index = done->index;
    if (done->index > node->committed && raft_get_entry(node->raft, done->index, &entry)) {
        decided->term = entry.term;
        wait_in(&node->decided, decided);
    } else {
        decided_end(node, decided, NODE_VERDICT_DECIDED);
    }
    return 0;
}

/* Decides one order. What no entry remembers, this term's coordinator does. Errors: MESH_EAGAIN, MESH_ENOMEM (it stays for later), MESH_ENOT_LEADER. */
static int decide(struct node *node, const struct image *image, const struct order *order)
{
    struct buffer result = BUFFER_INIT;
    struct operation operation = {order->origin->id, order->boot, order->sequence, order->op, buffer_slice(&order->body), &result};
    struct answer reply = {0};
    struct decision decision;
    struct decided *decided;
    bool is_remembered = false; /* by an entry */
    int err;

    decision_init(&decision);
    reply.error = node_operation_decide(node, image, &operation, &decision, &reply);
    if (reply.error == 0 && decision.change_count != 0) reply.error = node_operation_add_id(&operation, &decision, &reply);
    if (reply.error == 0 && decision.change_count != 0) reply.error = node_levels_check(node, image, &decision);
    if (reply.error != 0 && decision.message[0] == '\0')
        snprintf(decision.message, sizeof(decision.message), "%s", mesh_strerror(reply.error));
    decided = reply.error == MESH_ENOMEM ? NULL : decided_new(node, order, &reply, decision.message);
    if (decided == NULL)
        err = MESH_ENOMEM;
    else if (reply.error != 0 || decision.change_count == 0)
        err = rest_on(node, decided, image);
    else {
        err = make_true(node, decided, &decision);
        is_remembered = err == 0 && node_operation_leaves_id(order->op);
    }
    if (err == MESH_ETOOLARGE) { /* it cannot be an entry: an answer like any other */
        decided->answer.error = err;
        memcpy(decided->text, too_large, sizeof(too_large));
        err = rest_on(node, decided, image);
    }
    decision_deinit(&decision);
    if (decided != NULL && reply.error == 0) {
        decided->result = result; /* read when it is answered: not before the next events */
        result = (struct buffer)BUFFER_INIT;
    }
    buffer_deinit(&result);
    if (err == 0 && !is_remembered) node_origin_keep(order->origin, decided);
    if (err != 0 && decided != NULL) drop(node, decided);
    node->stats.decisions += err == 0;
    node->stats.decisions_refused += err == 0 && reply.error != 0;
    return err;
}

/* A copy of what was asked before is not decided again. */
static int answer_order(struct node *node, const struct image *image, const struct order *order)
{
    const struct image_request *done = image_find_request(image, &order->origin->id, order->boot, order->sequence);
    const struct decided *kept = node_origin_find(order->origin, order->sequence);

    if (NODE_DEFECT(node, RETRY_REPEATED)) done = NULL;
    if (NODE_DEFECT(node, REFUSAL_FORGOTTEN)) kept = NULL;
    if (done == NULL && kept == NULL) return decide(node, image, order);
    node->stats.decisions_repeated++;
    if (done != NULL) return repeat_done(node, order, done);
    if (!kept->is_waiting) answer_decided(node, kept);
    return 0;
}

bool node_decisions_run(struct node *node)
{
    struct image *image;
    struct order *order;
    int err = 0;

    if (list_is_empty(&node->backlog)) return false;
    enter_term(node);
    if (!node_guide_is_coordinator(node)) node_decisions_abandon(node);
    if (list_is_empty(&node->backlog)) return false;
    image = node_decisions_image(node);
    if (image == NULL) return false;
    order = container_of(node->backlog.next, struct order, node);
    if (node_origin_waits(order->origin, order->sequence)) err = answer_order(node, image, order);
    if (err == MESH_ENOMEM)
        answer_verdict(node, &order->origin->id, order->boot, order->sequence, NODE_VERDICT_BUSY);
    else if (err != 0)
        return false; /* too much is under way: again after a commit */
    order_free(node, order);
    return true;
}
