/* FETCH frames: what is asked of each session, and how answers come in. */
#include "client/consumer.h"

#include "base/assert.h"
#include "client/connection.h"

#include <stdlib.h>

static const struct request_handler fetch_handler;

/* ---- fetches ---- */

static struct fetch *take_fetch(struct mesh_consumer *consumer)
{
    struct list_node *node = list_pop_front(&consumer->idle);
    struct fetch *fetch = node != NULL ? container_of(node, struct fetch, node) : fetch_new();

    if (fetch == NULL) return NULL;
    fetch->request.handler = &fetch_handler;
    fetch->consumer = consumer;
    fetch->region_count = fetch->region_at = 0;
    fetch->size = fetch->filled = fetch->at = fetch->crc_end = 0;
    fetch->is_broken = false;
    return fetch;
}

static void release_asks(struct fetch *fetch)
{
    for (size_t i = 0; i < fetch->ask_count; i++)
        assignment_unref(fetch->asks[i].assignment);
    fetch->ask_count = 0;
}

void consumer_recycle_fetch(struct fetch *fetch)
{
    struct mesh_consumer *consumer = fetch->consumer;

    release_asks(fetch);
    consumer->bytes_promised -= fetch->bytes_promised;
    fetch->bytes_promised = 0;
    list_remove(&fetch->node);
    fetch_give_data(fetch, &consumer->spares, CONSUMER_IDLE_DATA_MAX);
    list_push_front(&consumer->idle, &fetch->node);
    client_mark(consumer->client, &consumer->pump);
}

static void drop_list(struct list_node *list)
{
    struct list_node *node;

    while ((node = list_pop_front(list)) != NULL) {
        struct fetch *fetch = container_of(node, struct fetch, node);
        release_asks(fetch);
        fetch->consumer = NULL;
        if (fetch->request.connection == NULL) fetch_free(fetch);
        /* else the connection still writes into it: freed when the answer has ended */
    }
}

void consumer_forget_fetches(struct mesh_consumer *consumer)
{
    drop_list(&consumer->in_flight);
    drop_list(&consumer->ready);
    drop_list(&consumer->retired);
    drop_list(&consumer->idle);
    fetch_spares_deinit(&consumer->spares);
}

/* ---- asking ---- */

static bool is_current(const struct fetch_ask *ask)
{
    return ask->assignment->consumer != NULL && ask->assignment->generation == ask->generation;
}

/* Whether anybody still wants what this fetch brings. */
static bool is_wanted(const struct fetch *fetch)
{
    for (size_t i = 0; i < fetch->ask_count; i++)
        if (is_current(&fetch->asks[i])) return true;
    return false;
}

/* Fetches that were overtaken by a seek wait for nothing: their answers will be thrown away and need no room.
 */
static void release_unwanted(struct mesh_consumer *consumer)
{
    list_for_each(node, &consumer->in_flight)
    {
        struct fetch *fetch = container_of(node, struct fetch, node);
        if (fetch->bytes_promised == 0 || is_wanted(fetch)) continue;
        consumer->bytes_promised -= fetch->bytes_promised;
        fetch->bytes_promised = 0;
    }
}

static size_t session_count(const struct mesh_consumer *consumer)
{
    size_t count = 0;

    list_for_each(node, &consumer->sessions)
        count++;
    return count;
}

/* Bytes that one more FETCH may bring; 0: enough is on its way. All sessions share what there is, so that each can have a request on its way:
 * a session that waits at its partitions' end holds on to its share, and would starve the others. */
static size_t bytes_to_ask(struct mesh_consumer *consumer)
{
    size_t count = session_count(consumer), share = consumer->fetch_bytes_max / (count < 2 ? 2 : count);
    size_t bytes = share < CONSUMER_REQUEST_BYTES ? share : CONSUMER_REQUEST_BYTES;

    if (bytes == 0) bytes = 1;

    if (consumer->in_flight_count >= CONSUMER_REQUESTS_MAX) return 0;
    if (consumer->bytes_promised + bytes > consumer->fetch_bytes_max) release_unwanted(consumer);
    return consumer->bytes_promised + bytes <= consumer->fetch_bytes_max ? bytes : 0;
}

/* How long a broker may keep silent: well below the time after which it is given up, whichever was set last.
 */
static uint32_t max_wait_ms(const struct mesh_consumer *consumer)
{
    int half_ms = consumer->client->timeout_ms / 2;

    return (uint32_t)(consumer->max_wait_ms < half_ms ? consumer->max_wait_ms : half_ms);
}

static int add_asks(struct mesh_consumer *consumer, struct fetch_session *session, struct fetch *fetch,
                    size_t bytes)
{
    size_t bytes_min = consumer->fetch_bytes_min < bytes ? consumer->fetch_bytes_min : bytes;
    int err;

    buffer_clear(&consumer->message);
    err =
        fetch_request_start(&consumer->message, max_wait_ms(consumer), (uint32_t)bytes_min, (uint32_t)bytes);
    list_for_each(node, &session->idle)
    {
        struct assignment *assignment = container_of(node, struct assignment, state_node);
        const struct topic *topic = assignment->topic;
        bool is_there = assignment->partition < topic->partition_count; /* made anew with fewer, perhaps */
        const struct fetch_entry entry = {topic->id, assignment->partition,
                                          is_there ? topic->partitions[assignment->partition].leader_epoch
                                                   : -1,
                                          (uint64_t)assignment->fetch_offset, (uint32_t)bytes,
                                          assignment->fetch_offset == assignment->doubted_offset, false};
        if (err != 0 || fetch->ask_count == MESSAGE_ENTRIES_MAX) break;
        err = fetch_reserve_asks(fetch, fetch->ask_count + 1);
        if (err == 0) err = fetch_request_add(&consumer->message, &entry);
        if (err != 0) break;
        assignment->reference_count++;
        fetch->asks[fetch->ask_count++] = (struct fetch_ask){assignment, assignment->generation};
    }
    if (err == 0 && connection_is_relay(session->connection)) err = fetch_request_forward(&consumer->message);
    return err;
}

static int ask(struct mesh_consumer *consumer, struct fetch_session *session, size_t bytes)
{
    struct fetch *fetch = take_fetch(consumer);
    int err;

    if (fetch == NULL) return MESH_ENOMEM;
    fetch->session = session;
    err = add_asks(consumer, session, fetch, bytes);
    if (err == 0)
        err = connection_request(session->connection, &fetch->request, FRAME_OP_FETCH,
                                 buffer_slice(&consumer->message), NULL, 0);
    if (err != 0) {
        release_asks(fetch);
        list_push_front(&consumer->idle, &fetch->node);
        return err;
    }
    if (session->connection->patience_ms < max_wait_ms(consumer)) session->connection->patience_ms = max_wait_ms(consumer);
    fetch->bytes_promised = bytes;
    consumer->bytes_promised += bytes;
    consumer->in_flight_count++;
    list_push_back(&consumer->in_flight, &fetch->node);
    for (size_t i = 0; i < fetch->ask_count; i++) {
        fetch->asks[i].assignment->is_fetching = true;
        list_remove(&fetch->asks[i].assignment->state_node);
    }
    return 0;
}

static void pump_session(struct mesh_consumer *consumer, struct fetch_session *session)
{
    size_t bytes;

    if (list_is_empty(&session->idle)) return;
    if (!connection_is_ready(session->connection)) {
        connection_want(session->connection);
        return;
    }
    bytes = bytes_to_ask(consumer);
    if (bytes == 0) return;
    if (ask(consumer, session, bytes) != 0) { /* the send queue is full, or memory is short */
        client_arm(consumer->client, &consumer->timer, consumer->client->now_ms + CONSUMER_RETRY_MS);
        return;
    }
    list_remove(&session->node);
    list_push_back(&consumer->sessions, &session->node); /* when there is not enough for all, the others come first */
}

/* ---- routes and time ---- */

static void move_all(struct list_node *from, struct list_node *to)
{
    struct list_node *node;

    while ((node = list_pop_front(from)) != NULL)
        list_push_back(to, node);
}

/* New routes: every idle assignment finds its session again. */
static void route_idle(struct mesh_consumer *consumer)
{
    struct list_node idle;
    struct list_node *node;

    list_init(&idle);
    list_for_each(at, &consumer->sessions)
        move_all(&container_of(at, struct fetch_session, node)->idle, &idle);
    move_all(&consumer->unrouted, &idle);
    while ((node = list_pop_front(&idle)) != NULL)
        assignment_update(container_of(node, struct assignment, state_node));
}

/* Looks until the broker answers, or another leads. */
static bool is_led_elsewhere(const struct fetch *fetch)
{
    for (size_t i = 0; i < fetch->ask_count; i++) {
        const struct fetch_ask *ask = &fetch->asks[i];
        struct connection *route = is_current(ask) ? topic_route(ask->assignment->topic, ask->assignment->partition, CONNECTION_FETCH) : NULL;

        if (route != NULL && route != fetch->session->connection) return true;
        if (is_current(ask)) topic_refresh(ask->assignment->topic);
    }
    return false;
}

/* A broker that keeps silent, while another leads what was asked of it, is not waited for. */
static void give_up_left(struct mesh_consumer *consumer)
{
    struct list_node *node = consumer->in_flight.next;

    while (node != &consumer->in_flight) {
        struct fetch *fetch = container_of(node, struct fetch, node);
        struct connection *connection = fetch->session->connection;

        node = node->next;
        if (!connection->is_doubted || !is_led_elsewhere(fetch)) continue;
        connection_fail(connection, MESH_ETIMEDOUT, "it keeps silent, and another broker leads");
        node = consumer->in_flight.next; /* those of that connection are gone from the list */
    }
}

/* Another leader is asked at once, whatever came of asking the one before. */
static void note_leader(struct assignment *assignment)
{
    const struct topic *topic = assignment->topic;
    int32_t epoch = topic->is_known && assignment->partition < topic->partition_count ? topic->partitions[assignment->partition].leader_epoch : -1;
    bool is_new = epoch > assignment->leader_epoch;

    assignment->leader_epoch = epoch;
    /* What was fetched ahead of the leader before may be gone as well: it is thrown away. */
    if (is_new && assignment->position_epoch >= 0) assignment_check(assignment, assignment->position_epoch);
    if (!is_new || assignment->retry_ms == 0) return;
    assignment->retry_ms = 0;
    assignment->failures = 0;
    assignment_update(assignment);
}

/* Topics that are gone stop their assignments; changed routes are noticed. */
static void look_at_topics(struct mesh_consumer *consumer)
{
    uint64_t generations = consumer->client->reach_generation;
    struct topic *last = NULL;

    list_for_each(node, &consumer->assignments)
    {
        struct topic *topic = container_of(node, struct assignment, node)->topic;
        if (topic == last) continue;
        last = topic;
        generations += topic->generation;
        topic_keep_fresh(topic);
    }
    if (generations == consumer->routes_seen && list_is_empty(&consumer->unrouted)) return; /* each look at a topic raises its generation */
    consumer->routes_seen = generations;
    list_for_each(node, &consumer->assignments)
    {
        struct assignment *assignment = container_of(node, struct assignment, node);
        if (consumer->reach_seen != consumer->client->reach_generation) topic_refresh(assignment->topic); /* the leader may be another one */
        if (topic_is_missing(assignment->topic) && !assignment->is_stopped)
            assignment_stop(assignment, MESH_EUNKNOWN_TOPIC);
        note_leader(assignment);
    }
    consumer->reach_seen = consumer->client->reach_generation;
    route_idle(consumer);
    give_up_left(consumer);
}

static void end_backoffs(struct mesh_consumer *consumer)
{
    uint64_t next_ms = TIMER_NEVER;

    list_for_each_safe(node, &consumer->backoff)
    {
        struct assignment *assignment = container_of(node, struct assignment, state_node);
        if (assignment->retry_ms <= consumer->client->now_ms)
            assignment_update(assignment);
        else if (assignment->retry_ms < next_ms)
            next_ms = assignment->retry_ms;
    }
    if (!list_is_empty(&consumer->unrouted) && next_ms > consumer->client->now_ms + CONSUMER_ROUTE_MS)
        next_ms = consumer->client->now_ms + CONSUMER_ROUTE_MS;
    client_arm(consumer->client, &consumer->timer, next_ms);
}

void consumer_pump(struct pump *pump)
{
    struct mesh_consumer *consumer = container_of(pump, struct mesh_consumer, pump);

    if (list_is_empty(&consumer->assignments)) return;
    look_at_topics(consumer);
    end_backoffs(consumer);
    consumer_resolve(consumer);
    list_for_each_safe(node, &consumer->sessions) /* who has just asked is met again at the end, and has nothing more to ask */
        pump_session(consumer, container_of(node, struct fetch_session, node));
    list_remove(&consumer->pump.due_node); /* what the above marked has been done */
}

void consumer_timer_due(struct timer *timer, uint64_t now_ms)
{
    struct mesh_consumer *consumer = container_of(timer, struct mesh_consumer, timer);

    (void)now_ms;
    client_mark(consumer->client, &consumer->pump);
}

/* ---- answers ---- */

static bool is_route_error(int error)
{
    return error == MESH_ENOT_LEADER || error == MESH_ESTALE_EPOCH || error == MESH_EUNKNOWN_EPOCH ||
           error == MESH_EUNKNOWN_TOPIC || error == MESH_EUNREACHABLE;
}

/* An error of one partition: tried again, or told to the application after the records before it. */
static void take_error(struct fetch *fetch, const struct fetch_ask *ask, int error)
{
    struct assignment *assignment = ask->assignment;
    struct fetch_region *region = &fetch->regions[fetch->region_count];

    if (is_route_error(error)) topic_refresh(assignment->topic);
    if (mesh_error_is_retriable(error)) {
        assignment_retry_later(assignment);
        return;
    }
    *region = (struct fetch_region){.assignment = assignment,
                                    .generation = ask->generation,
                                    .error = error,
                                    .reached = -1,
                                    .end = fetch->size};
    fetch->region_count++;
    assignment->is_stopped = true; /* nothing more is asked for */
    assignment_update(assignment);
}

static void take_result(struct fetch *fetch, const struct fetch_ask *ask, const struct fetch_result *result)
{
    struct assignment *assignment = ask->assignment;
    bool is_useful = is_current(ask);
    int64_t asked = is_useful ? assignment->fetch_offset : 0;

    if (is_useful && result->error != 0) {
        take_error(fetch, ask, result->error);
        return;
    }
    if (is_useful) {
        assignment->failures = 0;
        assignment->high_watermark =
            result->high_watermark <= INT64_MAX ? (int64_t)result->high_watermark : -1;
        if (result->next_offset > (uint64_t)asked && result->next_offset <= INT64_MAX)
            assignment->fetch_offset = (int64_t)result->next_offset;
    }
    if (result->records_size == 0 && (!is_useful || assignment->fetch_offset == asked)) return;
    fetch->regions[fetch->region_count++] = (struct fetch_region){
        .assignment = assignment,
        .generation = ask->generation,
        .end = fetch->size + result->records_size,
        .next_offset = is_useful ? assignment->fetch_offset : 0,
        .reached = -1,
    };
    fetch->size += result->records_size;
}

/* Nothing is in flight any more for what was asked: it may be asked for again. */
static void end_asks(struct fetch *fetch)
{
    for (size_t i = 0; i < fetch->ask_count; i++) {
        if (!is_current(&fetch->asks[i])) continue;
        fetch->asks[i].assignment->is_fetching = false;
        assignment_update(fetch->asks[i].assignment);
    }
}

static int take_results(struct fetch *fetch, struct slice message, uint32_t attachment_size)
{
    struct fetch_response_reader reader;
    struct fetch_result result;
    int err = fetch_response_reader_init(&reader, message, attachment_size);

    if (err != 0) return err;
    if (reader.result_count > fetch->ask_count) return MESH_EPROTO;
    if (attachment_size > 0) err = fetch_take_data(fetch, &fetch->consumer->spares, attachment_size);
    if (err != 0) return err;
    while (fetch_response_reader_next(&reader, &result)) {
        if (result.entry >= fetch->ask_count) return MESH_EPROTO;
        take_result(fetch, &fetch->asks[result.entry], &result);
    }
    return 0;
}

/* The whole request was refused. */
static int take_refusal(struct fetch *fetch, struct slice message)
{
    struct message_error error;
    int err = message_decode_error(message, &error);

    if (err != 0) return err;
    for (size_t i = 0; i < fetch->ask_count; i++)
        if (is_current(&fetch->asks[i]))
            take_error(fetch, &fetch->asks[i], error.error < 0 ? error.error : MESH_EUNKNOWN);
    message_deinit_error(&error);
    return 0;
}

/* Takes the fetch where it belongs now: to be read, or back. */
static void settle(struct fetch *fetch)
{
    struct mesh_consumer *consumer = fetch->consumer;

    list_remove(&fetch->node);
    consumer->in_flight_count--;
    consumer->bytes_promised = consumer->bytes_promised - fetch->bytes_promised + fetch->size;
    fetch->bytes_promised = fetch->size;
    client_mark(consumer->client, &consumer->pump);
    if (fetch->region_count > 0)
        list_push_back(&consumer->ready, &fetch->node);
    else
        consumer_recycle_fetch(fetch);
}

/* An answer that turned out bad: what was taken from it is asked for again. */
static void undo_results(struct fetch *fetch)
{
    for (size_t i = 0; i < fetch->region_count; i++) {
        struct assignment *assignment = fetch->regions[i].assignment;
        if (assignment->consumer == NULL || assignment->generation != fetch->regions[i].generation) continue;
        if (fetch->regions[i].error != 0) assignment->is_stopped = false;
        assignment_rewind(assignment, assignment->position);
    }
    fetch->region_count = 0;
    fetch->size = 0;
}

static int answered(struct request *request, const struct frame_header *header, struct slice message,
                    uint8_t **ret_attachment)
{
    struct fetch *fetch = container_of(request, struct fetch, request);
    bool is_refusal = header->flags & FRAME_FLAG_ERROR;
    int err;

    if (fetch->consumer == NULL) {
        fetch_free(fetch);
        return 0;
    }
    if (!is_wanted(fetch)) { /* what it brings is thrown away */
        settle(fetch);
        return 0;
    }
    end_asks(fetch);
    err = is_refusal ? take_refusal(fetch, message) : take_results(fetch, message, header->attachment_size);
    if (err == 0 && fetch->size > 0) *ret_attachment = fetch->data;
    if (err != 0) undo_results(fetch); /* the connection closes */
    settle(fetch);
    return err;
}

static void received(struct request *request, size_t size, bool is_end)
{
    struct fetch *fetch = container_of(request, struct fetch, request);

    fetch->filled += size;
    if (fetch->consumer == NULL && is_end) fetch_free(fetch);
}

static void failed(struct request *request, int error, bool was_sent)
{
    struct fetch *fetch = container_of(request, struct fetch, request);

    (void)error, (void)was_sent;
    if (fetch->consumer == NULL) {
        fetch_free(fetch);
        return;
    }
    if (fetch->region_count > 0) { /* in the midst of its data: the poll sees where they end */
        fetch->is_broken = true;
        return;
    }
    end_asks(fetch);
    settle(fetch);
}

static const struct request_handler fetch_handler = {answered, received, failed};
