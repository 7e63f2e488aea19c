/* broker/front/kafka/brokers.c - see brokers.h; and DESCRIBE_CLUSTER. */
#include "cmd/broker/front/kafka/brokers.h"

#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/kafka.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"

#define ENDPOINT_BROKERS 1 /* of DESCRIBE_CLUSTER's endpoint_type */

bool kafka_broker_is_listed(const struct image_broker *broker)
{
    return !broker->is_fenced && !broker->is_witness;
}

int32_t kafka_controller(const struct image *image, int32_t self)
{
    int32_t first = -1;

    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);

        if (!kafka_broker_is_listed(broker)) continue;
        if (broker->node_id == self) return self;
        if (first < 0) first = broker->node_id;
    }
    return first;
}

static int list_brokers(const struct image *image, bool with_fenced, struct arena *arena, struct kafka_describe_cluster_response *response)
{
    size_t count = image_broker_count(image);

    response->brokers.items = kafka_new_items(&kafka_describe_cluster_response_broker_form, (int32_t)count, arena);
    if (response->brokers.items == NULL) return -1;
    for (size_t i = 0; i < count; i++) {
        const struct image_broker *from = image_broker_at(image, i);
        struct kafka_describe_cluster_response_broker *to = &response->brokers.items[response->brokers.count];

        if (!kafka_broker_is_listed(from) && !(with_fenced && !from->is_witness)) continue;
        to->broker_id = from->node_id;
        to->host = slice_of_string(from->host);
        to->port = from->port;
        to->is_fenced = from->is_fenced;
        if (from->zone[0] != '\0') to->rack = slice_of_string(from->zone);
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
    } else if (list_brokers(shard->image, asked.include_fenced_brokers, &arena, &response) == 0) {
        response.controller_id = kafka_controller(shard->image, atomic_load(&shard->broker->node_id));
        result = kafka_respond(request, &response);
    } else {
        connection_close(request->connection);
    }
    arena_deinit(&arena);
    return result;
}
