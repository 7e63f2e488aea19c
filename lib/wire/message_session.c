/* What a connection says about itself: errors, hello, producer ids. */
#include "wire/message.h"

#include "base/assert.h"
#include "wire/convert.h"

/* ---- error ---- */

static void error_from_wire(struct conversion *conversion, const Mesh__Wire__ErrorResponse *from,
                            struct message_error *to)
{
    to->error = convert_error(conversion, from->error);
    to->message = convert_string(conversion, from->message);
}

static void error_to_wire(struct conversion *conversion, const struct message_error *from,
                          Mesh__Wire__ErrorResponse *to)
{
    (void)conversion;
    MESH_ASSERT(from->error <= 0);
    to->error = from->error;
    to->message = from->message;
}

void message_deinit_error(struct message_error *message)
{
    free(message->message);
    *message = (struct message_error){0};
}

CONVERT_DEFINE(error, message_error, Mesh__Wire__ErrorResponse, mesh__wire__error_response,
               MESH__WIRE__ERROR_RESPONSE__INIT, MESSAGE_ENTRIES_MAX)

/* ---- hello ---- */

static void hello_request_from_wire(struct conversion *conversion, const Mesh__Wire__HelloRequest *from,
                                    struct message_hello_request *to)
{
    to->client_name = convert_string(conversion, from->client_name);
    to->client_version = convert_string(conversion, from->client_version);
    to->version_min = from->version_min;
    to->version_max = from->version_max;
    to->shard = convert_minus_one(conversion, from->shard_plus_one);
}

static void hello_request_to_wire(struct conversion *conversion, const struct message_hello_request *from,
                                  Mesh__Wire__HelloRequest *to)
{
    to->client_name = from->client_name;
    to->client_version = from->client_version;
    to->version_min = from->version_min;
    to->version_max = from->version_max;
    to->shard_plus_one = (uint32_t)convert_plus_one(conversion, from->shard);
}

void message_deinit_hello_request(struct message_hello_request *message)
{
    free(message->client_name);
    free(message->client_version);
    *message = (struct message_hello_request){0};
}

CONVERT_DEFINE(hello_request, message_hello_request, Mesh__Wire__HelloRequest, mesh__wire__hello_request,
               MESH__WIRE__HELLO_REQUEST__INIT, MESSAGE_ENTRIES_MAX)

static void hello_response_from_wire(struct conversion *conversion, const Mesh__Wire__HelloResponse *from,
                                     struct message_hello_response *to)
{
    to->cluster_id = convert_uuid(from->cluster_id);
    to->broker_id = convert_uuid(from->broker_id);
    to->node_id = from->node_id;
    to->shard_count = from->shard_count;
    to->shard = from->shard;
    to->frame_bytes_max = from->frame_bytes_max;
    to->version = from->version;
    to->broker_version = convert_string(conversion, from->broker_version);
}

static void hello_response_to_wire(struct conversion *conversion, const struct message_hello_response *from,
                                   Mesh__Wire__HelloResponse *to)
{
    (void)conversion;
    to->cluster_id = convert_borrow_uuid(&from->cluster_id);
    to->broker_id = convert_borrow_uuid(&from->broker_id);
    to->node_id = from->node_id;
    to->shard_count = from->shard_count;
    to->shard = from->shard;
    to->frame_bytes_max = from->frame_bytes_max;
    to->version = from->version;
    to->broker_version = from->broker_version;
}

void message_deinit_hello_response(struct message_hello_response *message)
{
    free(message->broker_version);
    *message = (struct message_hello_response){0};
}

CONVERT_DEFINE(hello_response, message_hello_response, Mesh__Wire__HelloResponse, mesh__wire__hello_response,
               MESH__WIRE__HELLO_RESPONSE__INIT, MESSAGE_ENTRIES_MAX)

/* ---- producer ids ---- */

static void init_producer_response_from_wire(struct conversion *conversion,
                                             const Mesh__Wire__InitProducerResponse *from,
                                             struct message_init_producer_response *to)
{
    if (from->producer_epoch < INT16_MIN || from->producer_epoch > INT16_MAX)
        convert_fail(conversion, MESH_EPROTO);
    to->producer_id = from->producer_id;
    to->producer_epoch = (int16_t)from->producer_epoch;
}

static void init_producer_response_to_wire(struct conversion *conversion,
                                           const struct message_init_producer_response *from,
                                           Mesh__Wire__InitProducerResponse *to)
{
    (void)conversion;
    to->producer_id = from->producer_id;
    to->producer_epoch = from->producer_epoch;
}

void message_deinit_init_producer_response(struct message_init_producer_response *message)
{
    *message = (struct message_init_producer_response){0};
}

CONVERT_DEFINE(init_producer_response, message_init_producer_response, Mesh__Wire__InitProducerResponse,
               mesh__wire__init_producer_response, MESH__WIRE__INIT_PRODUCER_RESPONSE__INIT,
               MESSAGE_ENTRIES_MAX)
