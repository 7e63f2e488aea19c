/* broker/front/kafka/brokers.c - see brokers.h; and DESCRIBE_CLUSTER. */
#include "cmd/broker/front/kafka/brokers.h"

#include "cmd/broker/front/gateway.h"
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/kafka.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"

#define ENDPOINT_BROKERS 1 /* of DESCRIBE_CLUSTER's endpoint_type */

bool kafka_broker_is_listed(const struct image_broker *broker)
{
    return !broker->is_fenced && !broker->is_witness;
}

bool kafka_sees_one_node(const struct connection *connection)
{
    return connection->is_gateway;
}

static void node_of_gateway(const struct connection *connection, struct kafka_node *to)
{
    const struct gateway *gateway = connection->shard->broker->gateway;

    *to = (struct kafka_node){.node_id = GATEWAY_NODE_ID, .host = slice_of_string(gateway->host), .port = gateway->port};
}

static void node_of_broker(const struct image_broker *broker, struct kafka_node *to)
{
    *to = (struct kafka_node){
        .node_id = broker->node_id, .host = slice_of_string(broker->host), .port = broker->port, .is_fenced = broker->is_fenced};
    if (broker->zone[0] != '\0') to->rack = slice_of_string(broker->zone);
}

size_t kafka_node_count(const struct connection *connection)
{
    return kafka_sees_one_node(connection) ? 1 : image_broker_count(connection->shard->image);
}

bool kafka_node_at(const struct connection *connection, size_t place, bool with_fenced, struct kafka_node *ret_node)
{
    const struct image_broker *broker;

    if (kafka_sees_one_node(connection)) {
        node_of_gateway(connection, ret_node);
        return true;
    }
    broker = image_broker_at(connection->shard->image, place);
    if (!kafka_broker_is_listed(broker) && !(with_fenced && !broker->is_witness)) return false;
    node_of_broker(broker, ret_node);
    return true;
}

bool kafka_node_find(const struct connection *connection, int32_t node_id, struct kafka_node *ret_node)
{
    const struct image_broker *broker = image_find_broker(connection->shard->image, node_id);

    if (broker == NULL || !kafka_broker_is_listed(broker)) return false;
    if (kafka_sees_one_node(connection)) node_of_gateway(connection, ret_node);
    else node_of_broker(broker, ret_node);
    return true;
}

int32_t kafka_controller(const struct connection *connection)
{
    int32_t self = atomic_load(&connection->shard->broker->node_id), first = -1;
    struct kafka_node node;

    for (size_t i = 0; i < kafka_node_count(connection); i++) {
        if (!kafka_node_at(connection, i, false, &node)) continue;
        if (node.node_id == self) return self;
        if (first < 0) first = node.node_id;
    }
    return first;
}

static int list_brokers(const struct connection *connection, bool with_fenced, struct arena *arena, struct kafka_describe_cluster_response *response)
{
    size_t count = kafka_node_count(connection);
    struct kafka_node node;

    response->brokers.items = kafka_new_items(&kafka_describe_cluster_response_broker_form, (int32_t)count, arena);
    if (response->brokers.items == NULL) return -1;
    for (size_t i = 0; i < count; i++) {
        struct kafka_describe_cluster_response_broker *to = &response->brokers.items[response->brokers.count];

        if (!kafka_node_at(connection, i, with_fenced, &node)) continue;
        to->broker_id = node.node_id;
        to->host = node.host;
        to->port = node.port;
        to->is_fenced = node.is_fenced;
        to->rack = node.rack;
        response->brokers.count++;
    }
    return 0;
}

enum serve kafka_serve_describe_cluster(const struct kafka_request *request)
{
    const struct shard *shard = request->connection->shard;
    struct kafka_describe_cluster_request asked;
    struct kafka_describe_cluster_response response;
    char cluster_id[UUID_STRING_SIZE];
    struct arena arena = ARENA_INIT;
    enum serve result = SERVE_GONE;

    if (kafka_request_decode(request, &arena, &asked) != 0) {
        arena_deinit(&arena);
        return kafka_refuse(request, "a request to describe the cluster cannot be read");
    }
    kafka_init(&kafka_describe_cluster_response_form, &response);
    response.cluster_id = slice_of_string(uuid_format(&shard->broker->cluster_id, cluster_id));
    response.endpoint_type = asked.endpoint_type;
    if (asked.endpoint_type != ENDPOINT_BROKERS) {
        response.error_code = KAFKA_CODE_INVALID_REQUEST;
        response.error_message = slice_of_string("there are no endpoints but brokers");
        result = kafka_respond(request, &response);
    } else if (list_brokers(request->connection, asked.include_fenced_brokers, &arena, &response) == 0) {
        response.controller_id = kafka_controller(request->connection);
        result = kafka_respond(request, &response);
    } else {
        connection_close(request->connection);
    }
    arena_deinit(&arena);
    return result;
}
