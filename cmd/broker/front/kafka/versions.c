/* broker/front/kafka/versions.c - API_VERSIONS: what is offered, told in a form that a client of any version can read. */
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/kafka.h"

#include "base/assert.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"

#define OFFERS_MAX 64

/* The rows for the answer; `keys` holds them. */
static void list_offers(struct kafka_api_versions_response *response, struct kafka_api_versions_response_api_key keys[OFFERS_MAX])
{
    MESH_ASSERT(kafka_offer_count <= OFFERS_MAX);
    for (size_t i = 0; i < kafka_offer_count; i++)
        keys[i] = (struct kafka_api_versions_response_api_key){kafka_offers[i].key, kafka_offers[i].version_min, kafka_offers[i].version_max};
    response->api_keys.items = keys;
    response->api_keys.count = (int32_t)kafka_offer_count;
}

static bool is_letter_or_digit(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* As Kafka judges the names of client software: letters, digits, dashes and dots, none of the latter at an end. */
static bool is_software_name(struct slice name)
{
    if (name.size == 0 || !is_letter_or_digit(name.data[0]) || !is_letter_or_digit(name.data[name.size - 1])) return false;
    for (size_t i = 0; i < name.size; i++)
        if (!is_letter_or_digit(name.data[i]) && name.data[i] != '-' && name.data[i] != '.') return false;
    return true;
}

/* Whether the client means this mesh (KIP-1242). Which broker it means is not asked: any one serves. */
static bool is_our_mesh(const struct broker *broker, struct slice cluster_id)
{
    char text[UUID_STRING_SIZE];

    return cluster_id.data == NULL || slice_equal(cluster_id, slice_of_string(uuid_format(&broker->cluster_id, text)));
}

enum serve kafka_serve_api_versions(const struct kafka_request *request)
{
    struct kafka_api_versions_response_api_key keys[OFFERS_MAX];
    struct kafka_api_versions_response response;
    struct kafka_api_versions_request asked;
    struct arena arena = ARENA_INIT;
    int err = kafka_request_decode(request, &arena, &asked);

    arena_deinit(&arena); /* it has no arrays */
    if (err != 0) return kafka_refuse(request, "a request for versions cannot be read");
    kafka_init(&kafka_api_versions_response_form, &response);
    if (request->header.version >= 3 && (!is_software_name(asked.client_software_name) || !is_software_name(asked.client_software_version)))
        response.error_code = KAFKA_CODE_INVALID_REQUEST;
    else if (!is_our_mesh(request->connection->shard->broker, asked.cluster_id))
        response.error_code = KAFKA_CODE_REBOOTSTRAP_REQUIRED;
    else
        list_offers(&response, keys);
    return kafka_respond(request, &response);
}

enum serve kafka_refuse_api_versions(const struct kafka_request *request)
{
    struct kafka_api_versions_response_api_key keys[OFFERS_MAX];
    struct kafka_api_versions_response response;
    struct kafka_request oldest = *request;

    oldest.header.version = 0;
    kafka_init(&kafka_api_versions_response_form, &response);
    list_offers(&response, keys);
    response.error_code = KAFKA_CODE_UNSUPPORTED_VERSION;
    return kafka_respond(&oldest, &response);
}
