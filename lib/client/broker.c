#include "client/broker.h"

#include "base/assert.h"
#include "base/error.h"
#include "client/client.h"
#include "client/topic.h"

#include <stdio.h>
#include <stdlib.h>

#define NEXT_SEED_AFTER_MS 300 /* a silent broker gets company after this */

/* ---- reach ---- */

static bool has_ready(const struct broker *broker)
{
    list_for_each(node, &broker->connections)
    {
        if (connection_is_ready(container_of(node, struct connection, node))) return true;
    }
    return false;
}

/* Routes depend on it only where there is somebody who is not reached. */
static void set_reach(struct broker *broker, enum broker_reach reach)
{
    struct mesh_client *client = broker->client;
    enum broker_reach before = broker->reach;

    if (reach == before) return;
    broker->reach = reach;
    if (reach == BROKER_UNREACHED) client->unreached_count++;
    if (before == BROKER_UNREACHED) client->unreached_count--;
    if (reach == BROKER_REACHED) broker->is_relayed = false;
    if (client->unreached_count == 0 && before != BROKER_UNREACHED) return;
    client->reach_generation++;
    client_mark_all(client);
}

static void reach_due(struct timer *timer, uint64_t now_ms)
{
    struct broker *broker = container_of(timer, struct broker, reach_timer);

    (void)now_ms;
    if (!has_ready(broker)) set_reach(broker, BROKER_UNREACHED);
}

void broker_note_ready(struct broker *broker)
{
    timer_disarm(&broker->client->timers, &broker->reach_timer);
    set_reach(broker, BROKER_REACHED);
}

void broker_note_attempt(struct broker *broker)
{
    if (broker->reach == BROKER_UNREACHED || timer_is_armed(&broker->reach_timer) || has_ready(broker)) return;
    client_arm(broker->client, &broker->reach_timer, broker->client->now_ms + BROKER_RELAY_AFTER_MS);
}

void broker_note_failure(struct broker *broker)
{
    if (!has_ready(broker)) set_reach(broker, BROKER_UNREACHED);
    topic_look_for_brokers(broker->client);
}

/* ---- brokers ---- */

int broker_new(struct mesh_client *client, const struct address *address, bool is_seed,
               struct broker **ret_broker)
{
    struct broker *broker = calloc(1, sizeof(*broker));

    if (broker == NULL) return MESH_ENOMEM;
    broker->client = client;
    broker->is_seed = is_seed;
    broker->node_id = -1;
    broker->address = *address;
    list_init(&broker->connections);
    if (client_add_timer(client, &broker->reach_timer, reach_due) != 0) {
        free(broker);
        return MESH_ENOMEM;
    }
    list_push_back(&client->brokers, &broker->node);
    *ret_broker = broker;
    return 0;
}

void broker_free(struct broker *broker)
{
    list_for_each_safe(node, &broker->connections)
        connection_free(container_of(node, struct connection, node));
    client_remove_timer(broker->client, &broker->reach_timer);
    list_remove(&broker->node);
    free(broker);
}

struct broker *broker_find(struct mesh_client *client, int32_t node_id)
{
    if (node_id < 0) return NULL;
    list_for_each(node, &client->brokers)
    {
        struct broker *broker = container_of(node, struct broker, node);
        if (broker->node_id == node_id) return broker;
    }
    return NULL;
}

static struct connection *find_connection(struct broker *broker, int32_t shard, enum connection_lane lane)
{
    struct connection *found = NULL;

    list_for_each(node, &broker->connections)
    {
        struct connection *connection = container_of(node, struct connection, node);
        if (connection->lane != lane || (shard != CONNECTION_ANY_SHARD && connection->shard != shard)) continue;
        found = connection;
        if (connection_is_ready(connection) && !connection->is_doubted) break; /* any will do: then one that answers */
    }
    return found;
}

bool broker_is_other(const struct broker *broker, int32_t node_id)
{
    if (broker->node_id < 0 || node_id < 0 || broker->node_id == node_id) return false;
    list_for_each(node, &broker->connections)
    {
        if (connection_is_ready(container_of(node, struct connection, node))) return true;
    }
    return false;
}

bool broker_is_doubted(const struct broker *broker)
{
    list_for_each(node, &broker->connections)
    {
        if (container_of(node, struct connection, node)->is_doubted) return true;
    }
    return false;
}

/* Of those for commands; one in doubt only when all are. There is one. */
static struct connection *find_ready(struct broker *broker)
{
    struct connection *found = NULL;

    list_for_each(node, &broker->connections)
    {
        struct connection *connection = container_of(node, struct connection, node);
        if (connection->lane != CONNECTION_REQUESTS || !connection_is_ready(connection)) continue;
        if (found == NULL || !connection->is_doubted) found = connection;
    }
    MESH_ASSERT(found != NULL);
    return found;
}

int broker_connection(struct broker *broker, int32_t shard, enum connection_lane lane,
                      struct connection **ret_connection)
{
    struct connection *connection = find_connection(broker, shard, lane);

    if (connection == NULL) {
        int err = connection_new(broker->client, broker, shard, lane, &connection);
        if (err != 0) return err;
    }
    *ret_connection = connection;
    return 0;
}

int broker_relay_connection(struct broker *broker, enum connection_lane lane, struct connection **ret_connection)
{
    return broker_connection(broker, CONNECTION_RELAY, lane, ret_connection);
}

/* Each client prefers others, always the same while they are reached: a dead leader's clients do not all fall upon one broker. */
static uint64_t relay_rank(const struct mesh_client *client, const struct broker *broker)
{
    uint64_t mixed = (client->relay_salt ^ (uint32_t)broker->node_id) * 0x9e3779b97f4a7c15u;

    return (mixed ^ (mixed >> 29)) * 0xbf58476d1ce4e5b9u;
}

struct broker *broker_find_relay(struct mesh_client *client, const struct broker *instead)
{
    struct broker *best = NULL;

    list_for_each(node, &client->brokers)
    {
        struct broker *broker = container_of(node, struct broker, node);
        if (broker == instead || broker->reach != BROKER_REACHED) continue;
        if (best == NULL || relay_rank(client, broker) > relay_rank(client, best)) best = broker;
    }
    if (best == NULL) (void)broker_any_ready(client);
    return best;
}

void broker_probe(struct broker *broker)
{
    if (broker->is_relayed) return;
    broker->is_relayed = true;
    list_for_each(node, &broker->connections)
    {
        struct connection *connection = container_of(node, struct connection, node);
        if (!connection_is_relay(connection)) connection_hurry(connection, BROKER_PROBE_MS);
    }
}

/* How far this broker's connections for commands are. */
static enum connection_state best_state(struct broker *broker)
{
    static const int rank[] = {[CONNECTION_BACKOFF] = 0,
                               [CONNECTION_CLOSED] = 1,
                               [CONNECTION_CONNECTING] = 2,
                               [CONNECTION_GREETING] = 3,
                               [CONNECTION_READY] = 4};
    struct connection *connection = find_connection(broker, -1, CONNECTION_REQUESTS);
    enum connection_state best = connection == NULL ? CONNECTION_CLOSED : connection->state;

    list_for_each(node, &broker->connections)
    {
        connection = container_of(node, struct connection, node);
        if (connection->lane == CONNECTION_REQUESTS && rank[connection->state] > rank[best])
            best = connection->state;
    }
    return best;
}

/* One of its connections for commands may wait for the end of its backoff while another could be tried. */
static void try_broker(struct broker *broker)
{
    struct connection *connection = NULL;

    list_for_each(node, &broker->connections)
    {
        struct connection *other = container_of(node, struct connection, node);
        if (other->lane == CONNECTION_REQUESTS && other->state == CONNECTION_CLOSED) connection = other;
    }
    if (connection != NULL || broker_connection(broker, -1, CONNECTION_REQUESTS, &connection) == 0) connection_want(connection);
}

struct connection *broker_any_ready(struct mesh_client *client)
{
    struct connection *doubted = NULL;
    struct broker *idle = NULL;
    bool is_trying = false;

    list_for_each(node, &client->brokers)
    {
        struct broker *broker = container_of(node, struct broker, node);
        enum connection_state state = best_state(broker);
        if (state == CONNECTION_READY) {
            struct connection *ready = find_ready(broker);
            if (!broker_is_doubted(broker)) return ready;
            if (doubted == NULL) doubted = ready;
        }
        if (state == CONNECTION_CONNECTING || state == CONNECTION_GREETING) is_trying = true;
        if (state == CONNECTION_CLOSED && (idle == NULL || broker->tried_ms < idle->tried_ms)) idle = broker;
        if (state == CONNECTION_BACKOFF) connection_want(find_connection(broker, -1, CONNECTION_REQUESTS));
    }
    if (doubted != NULL && (idle == NULL || is_trying) && client->now_ms >= client->seed_started_ms + NEXT_SEED_AFTER_MS) return doubted;
    if (idle == NULL) return NULL;
    if (!is_trying || client->now_ms >= client->seed_started_ms + NEXT_SEED_AFTER_MS) {
        client->seed_started_ms = idle->tried_ms = client->now_ms; /* without memory for it, too: tried again then */
        try_broker(idle);
    }
    client_arm(client, &client->seed_timer, client->seed_started_ms + NEXT_SEED_AFTER_MS);
    return NULL;
}

bool broker_try_given(struct mesh_client *client)
{
    bool is_any_untried = false;

    list_for_each(node, &client->brokers)
    {
        struct broker *broker = container_of(node, struct broker, node);
        if (!broker->is_seed || broker->node_id >= 0) continue;
        if (broker->reach == BROKER_UNTRIED) is_any_untried = true;
        if (best_state(broker) == CONNECTION_CLOSED) try_broker(broker);
    }
    return is_any_untried;
}

bool broker_is_any_ready(struct mesh_client *client)
{
    list_for_each(node, &client->brokers)
    {
        if (best_state(container_of(node, struct broker, node)) == CONNECTION_READY) return true;
    }
    return false;
}

bool broker_is_all_refused(struct mesh_client *client)
{
    list_for_each(node, &client->brokers)
    {
        const struct connection *connection =
            find_connection(container_of(node, struct broker, node), -1, CONNECTION_REQUESTS);
        if (connection == NULL || !connection->is_refused) return false;
    }
    return true;
}

void broker_describe_problems(struct mesh_client *client, char *to, size_t size)
{
    size_t used = 0;

    to[0] = '\0';
    list_for_each(node, &client->brokers)
    {
        struct broker *broker = container_of(node, struct broker, node);
        struct connection *connection = find_connection(broker, -1, CONNECTION_REQUESTS);
        char address[ADDRESS_TEXT_SIZE];
        const char *problem = "not tried yet";
        if (connection != NULL) {
            problem = "no answer yet";
            if (connection->problem[0] != '\0') problem = connection->problem;
            if (connection->awaited != NULL) problem = "the name cannot be resolved: no name server answers";
        }
        if (used < size)
            used += (size_t)snprintf(to + used, size - used, "%s%s: %s", used > 0 ? "; " : "",
                                     address_format(&broker->address, address), problem);
    }
}
