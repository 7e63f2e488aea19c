/* metadata/requests.c - the origin's side of requests: each has an id, is sent to whoever coordinates until it is answered, and is answered
 * here once its outcome can be seen in this broker's own image.
 *
 * The image remembers the last IMAGE_REQUESTS_MAX ids of each origin that were done. Nothing is sent that lies NODE_REQUEST_WINDOW or more beyond the
 * oldest unanswered request. While one waits, what is done lies less than a window before or behind it, so it is not forgotten meanwhile.
 *
 * A copy is sent to the coordinator of one term, and decided in that one only. What counts is the answer of the newest term that a copy was
 * sent for: an earlier coordinator's refusal says nothing of what the later one does. */
#include "replication/metadata/node_internal.h"

#include "base/assert.h"
#include "base/codec.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>

static struct request *find(const struct node *node, uint64_t sequence)
{
    for (struct map_node *found = map_find(&node->request_map, sequence); found != NULL; found = map_find_next(found)) {
        struct request *request = container_of(found, struct request, map_node);

        if (request->sequence == sequence) return request;
    }
    return NULL;
}

static void request_free(struct node *node, struct request *request)
{
    map_remove(&node->request_map, &request->map_node);
    list_remove(&request->node);
    node->request_count--;
    buffer_deinit(&request->body);
    free(request);
}

void node_requests_deinit(struct node *node)
{
    list_for_each_safe(at, &node->requests)
    {
        request_free(node, container_of(at, struct request, node));
    }
    map_deinit(&node->request_map);
    buffer_deinit(&node->answer_result);
}

int node_requests_add(struct node *node, enum node_op op, struct buffer *body, uint64_t timeout_us, uint64_t cookie, bool is_own,
                 uint64_t *ret_sequence)
{
    struct request *request = calloc(1, sizeof(*request));

    if (request == NULL) return MESH_ENOMEM;
    request->sequence = node->next_sequence + 1;
    request->boot = node->options.boot;
    if (map_insert(&node->request_map, &request->map_node, request->sequence) != 0) {
        free(request);
        return MESH_ENOMEM;
    }
    *ret_sequence = ++node->next_sequence;
    request->op = op;
    request->cookie = cookie;
    request->is_own = is_own;
    request->body = *body;
    *body = (struct buffer)BUFFER_INIT;
    request->deadline_us = timeout_us > NODE_NEVER - node->now_us ? NODE_NEVER : node->now_us + timeout_us;
    list_push_back(&node->requests, &request->node);
    node->request_count++;
    node->stats.requests += !is_own;
    node->requests_are_due = true;
    return 0;
}

int node_encode_producer_ids(struct buffer *to, uint32_t count)
{
    struct codec_writer writer = {.to = to};

    codec_put_varint(&writer, count);
    return writer.error;
}

int node_encode_retire(struct buffer *to, const struct uuid *broker, bool accepts_loss, bool is_alive_ok)
{
    struct codec_writer writer = {.to = to};

    codec_put_uuid(&writer, broker);
    codec_put_varint(&writer, accepts_loss);
    codec_put_varint(&writer, is_alive_ok);
    return writer.error;
}

int node_encode_elect(struct buffer *to, const struct uuid *topic_id, uint32_t partition)
{
    struct codec_writer writer = {.to = to};

    codec_put_uuid(&writer, topic_id);
    codec_put_varint(&writer, partition);
    return writer.error;
}

int node_encode_topic(struct buffer *to, const struct uuid *topic_id)
{
    struct codec_writer writer = {.to = to};

    codec_put_uuid(&writer, topic_id);
    return writer.error;
}

int node_request(struct node *node, uint64_t now_us, enum node_op op, struct slice body, uint64_t timeout_us, uint64_t cookie)
{
    struct buffer wrapped = BUFFER_INIT;
    uint64_t sequence;
    int err;

    node_enter(node, now_us);
    if (body.size > NODE_REQUEST_MAX) return MESH_ETOOLARGE;
    if (node->request_count >= NODE_REQUESTS_MAX) return MESH_EBUSY;
    err = node_operation_wrap(node, op, body, &wrapped);
    if (err == 0) err = node_requests_add(node, op, &wrapped, timeout_us, cookie, false, &sequence);
    buffer_deinit(&wrapped);
    return err;
}

/* ---- on its way ---- */

static void mark_sent(struct node *node, struct request *request, const struct uuid *to)
{
    if (request->was_sent) node->stats.requests_retried++;
    request->sent_to = *to;
    request->sent_us = node->now_us;
    request->sent_term = node->leader_term;
    request->was_sent = true;
}

static void send_request(struct node *node, struct request *request, const struct peer *coordinator, uint64_t oldest)
{
    struct node_message message = {
        .type = NODE_MESSAGE_REQUEST,
        .boot = request->boot,
        .sequence = request->sequence,
        .oldest = oldest,
        .term = node->leader_term,
        .op = (uint16_t)request->op,
        .bytes = buffer_slice(&request->body),
    };

    if (coordinator != NULL) {
        mark_sent(node, request, &coordinator->id);
        node->stats.requests_forwarded++;
        node_send(node, coordinator, &message);
    } else {
        mark_sent(node, request, &node->options.self.broker);
        node_decisions_take(node, &node->options.self.broker, &message);
    }
}

static bool is_on_its_way(const struct node *node, const struct request *request)
{
    return !uuid_is_zero(&request->sent_to) && request->sent_term == node->leader_term && node->now_us < request->sent_us + node->options.retry_us;
}

static void forget_way(struct request *request)
{
    request->sent_to = (struct uuid){{0}};
}

void node_requests_link_down(struct node *node, const struct uuid *peer)
{
    list_for_each(at, &node->requests)
    {
        struct request *request = container_of(at, struct request, node);

        if (uuid_equal(&request->sent_to, peer)) forget_way(request);
    }
    node->requests_are_due = true;
}

/* ---- answers ---- */

static void set_answer(struct node *node, struct request *request, int error, const char *text)
{
    request->is_answered = true;
    request->answer.type = NODE_OUTPUT_ANSWER;
    request->answer.error = error;
    request->answer.cookie = request->cookie;
    snprintf(request->text, sizeof(request->text), "%s", text);
    node->requests_are_due = true;
}

void node_requests_answered(struct node *node, const struct node_message *answer)
{
    struct request *request = find(node, answer->sequence);
    struct buffer result = BUFFER_INIT;
    char text[NODE_TEXT_SIZE];

    if (request == NULL || request->is_answered || request->boot != answer->boot) return;
    /* Otherwise it goes out again: when another coordinator is known, which the message may have told (guide.c), or when it is due. */
    if (answer->verdict != NODE_VERDICT_DECIDED) return;
    if (answer->term != request->sent_term && !NODE_DEFECT(node, ANY_TERM)) return;
    snprintf(text, sizeof(text), "%.*s", (int)answer->bytes.size, (const char *)answer->bytes.data);
    if (answer->result.size != 0 && buffer_append(&result, answer->result.data, answer->result.size) != 0) return; /* as if it were lost */
    buffer_deinit(&request->body); /* it is not sent again: results take its place */
    request->body = result;
    set_answer(node, request, answer->error, text);
    request->answer.index = answer->index;
    request->answer.topic_id = answer->topic_id;
    request->answer.first_id = answer->first_id;
    request->answer.id_count = answer->id_count;
}

static void expire(struct node *node, struct request *request)
{
    node->stats.requests_expired++;
    if (node->is_leaving && !request->was_sent)
        set_answer(node, request, MESH_ESHUTDOWN, "this broker is shutting down");
    else if (!request->was_sent)
        set_answer(node, request, MESH_ENO_COORDINATOR,
                   "the mesh has no coordinator that this broker can reach: a majority of its voters must be up and connected. Nothing was "
                   "changed; reading works meanwhile");
    else
        set_answer(node, request, MESH_ETIMEDOUT,
                   "the coordinator did not answer in time: the change may have been made, or may yet be. Look before asking again");
    request->answer.index = 0; /* nothing to wait for */
    buffer_clear(&request->body);
}

/* An own request ends here: who asked for it looks at the image, and at the sentence. */
static void end_own(struct node *node, struct request *request)
{
    if (request->sequence == node->registering) {
        node_sessions_registered(node, request->answer.error, request->text);
        node->registering = 0;
    } else if (request->sequence == node->draining) {
        node->draining = 0;
        node->is_drained = true;
    }
    request_free(node, request);
}

bool node_requests_next_answer(struct node *node, struct node_output *ret_output)
{
    uint64_t applied = image_applied_index(node->image);

    if (!node->answers_are_due) return false;
    list_for_each_safe(at, &node->requests)
    {
        struct request *request = container_of(at, struct request, node);

        if (!request->is_answered || request->answer.index > applied) continue;
        if (request->is_own) {
            end_own(node, request);
            continue;
        }
        *ret_output = request->answer;
        snprintf(node->answer_text, sizeof(node->answer_text), "%s", request->text);
        ret_output->text = node->answer_text;
        buffer_deinit(&node->answer_result);
        node->answer_result = request->body;
        request->body = (struct buffer)BUFFER_INIT;
        ret_output->bytes = buffer_slice(&node->answer_result);
        request_free(node, request);
        return true;
    }
    node->answers_are_due = false;
    return false;
}

/* ---- all of them ---- */

static void update_one(struct node *node, struct request *request, const struct peer *coordinator, bool is_here, uint64_t oldest)
{
    if (node->now_us >= request->deadline_us && !(request->is_answered && request->answer.index == 0)) {
        expire(node, request);
    } else if (!request->is_answered && !is_on_its_way(node, request) && (is_here || coordinator != NULL) &&
               request->sequence - oldest < NODE_REQUEST_WINDOW) {
        send_request(node, request, is_here ? NULL : coordinator, oldest);
    }
    if (!request->is_answered && is_on_its_way(node, request)) /* otherwise it waits for a coordinator, not for a time */
        node->requests_due_us = earlier(node->requests_due_us, request->sent_us + node->options.retry_us);
    if (!request->is_answered || request->answer.index > image_applied_index(node->image))
        node->requests_due_us = earlier(node->requests_due_us, request->deadline_us);
}

void node_requests_update(struct node *node)
{
    bool is_here = node_guide_is_coordinator(node);
    const struct peer *coordinator = is_here ? NULL : node_guide_coordinator(node);
    uint64_t oldest = 0;

    if (!node->requests_are_due && node->now_us < node->requests_due_us) return;
    node->requests_are_due = false;
    node->requests_due_us = NODE_NEVER;
    node->answers_are_due = true;
    list_for_each(at, &node->requests)
    {
        struct request *request = container_of(at, struct request, node);

        if (!request->is_answered && oldest == 0) oldest = request->sequence;
        update_one(node, request, coordinator, is_here, oldest);
    }
}

uint64_t node_requests_due_us(const struct node *node)
{
    return node->requests_due_us;
}
