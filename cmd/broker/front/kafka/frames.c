/* broker/front/kafka/frames.c - frames in, and to whom they go. */
#include "cmd/broker/front/kafka/door.h"
#include "cmd/broker/front/kafka/kafka.h"
#include "cmd/broker/front/kafka/login.h"

#include "base/bytes.h"
#include "base/error.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"
#include "wire/frame.h"

#include <stdio.h>

/* Wide on purpose: clients compare ranges and switch features on and off by them (KAFKA-WIRE section 2.2). Old produce requests are
 * offered, because librdkafka forgets gzip and snappy without them, and refused when they come. */
const struct kafka_offer kafka_offers[] = {
    {KAFKA_PRODUCE, 0, 13, FRAME_OP_PRODUCE, kafka_serve_produce},
    {KAFKA_FETCH, 4, 18, FRAME_OP_FETCH, kafka_serve_fetch},
    {KAFKA_LIST_OFFSETS, 1, 11, FRAME_OP_LIST_OFFSETS, kafka_serve_list_offsets},
    {KAFKA_METADATA, 0, 13, FRAME_OP_CLUSTER, kafka_serve_metadata},
    {KAFKA_OFFSET_COMMIT, 2, 10, FRAME_OP_GROUP_COMMIT, kafka_serve_offset_commit},
    {KAFKA_OFFSET_FETCH, 1, 10, FRAME_OP_GROUP_OFFSETS, kafka_serve_offset_fetch},
    {KAFKA_FIND_COORDINATOR, 0, 6, FRAME_OP_CLUSTER, kafka_serve_find_coordinator},
    {KAFKA_JOIN_GROUP, 0, 9, FRAME_OP_GROUP_JOIN, kafka_serve_join_group},
    {KAFKA_HEARTBEAT, 0, 4, FRAME_OP_GROUP_HEARTBEAT, kafka_serve_heartbeat},
    {KAFKA_LEAVE_GROUP, 0, 5, FRAME_OP_GROUP_LEAVE, kafka_serve_leave_group},
    {KAFKA_SYNC_GROUP, 0, 5, FRAME_OP_GROUP_CLAIM, kafka_serve_sync_group},
    {KAFKA_DESCRIBE_GROUPS, 0, 6, FRAME_OP_GROUP_DESCRIBE, kafka_serve_describe_groups},
    {KAFKA_LIST_GROUPS, 0, 5, FRAME_OP_GROUP_LIST, kafka_serve_list_groups},
    {KAFKA_API_VERSIONS, 0, 5, FRAME_OP_HELLO, kafka_serve_api_versions},
    {KAFKA_SASL_HANDSHAKE, 0, 1, FRAME_OP_HELLO, kafka_serve_sasl_handshake},
    {KAFKA_SASL_AUTHENTICATE, 0, 2, FRAME_OP_HELLO, kafka_serve_sasl_authenticate},
    {KAFKA_CREATE_TOPICS, 2, 7, FRAME_OP_TOPIC_CREATE, kafka_serve_create_topics},
    {KAFKA_DELETE_TOPICS, 1, 6, FRAME_OP_TOPIC_DELETE, kafka_serve_delete_topics},
    {KAFKA_DELETE_RECORDS, 0, 2, FRAME_OP_TOPIC_TRIM, kafka_serve_delete_records},
    {KAFKA_CREATE_PARTITIONS, 0, 3, FRAME_OP_TOPIC_ALTER, kafka_serve_create_partitions},
    {KAFKA_DESCRIBE_CONFIGS, 1, 4, FRAME_OP_TOPIC_DESCRIBE, kafka_serve_describe_configs},
    {KAFKA_ALTER_CONFIGS, 0, 2, FRAME_OP_TOPIC_ALTER, kafka_serve_alter_configs},
    {KAFKA_INCREMENTAL_ALTER_CONFIGS, 0, 1, FRAME_OP_TOPIC_ALTER, kafka_serve_incremental_alter_configs},
    {KAFKA_ALTER_PARTITION_REASSIGNMENTS, 0, 1, FRAME_OP_TOPIC_MOVE, kafka_serve_alter_partition_reassignments},
    {KAFKA_ELECT_LEADERS, 0, 2, FRAME_OP_TOPIC_MOVE, kafka_serve_elect_leaders},
    {KAFKA_LIST_PARTITION_REASSIGNMENTS, 0, 0, FRAME_OP_TOPIC_DESCRIBE, kafka_serve_list_partition_reassignments},
    {KAFKA_DESCRIBE_LOG_DIRS, 1, 5, FRAME_OP_TOPIC_DESCRIBE, kafka_serve_describe_log_dirs},
    {KAFKA_DESCRIBE_PRODUCERS, 0, 0, FRAME_OP_TOPIC_DESCRIBE, kafka_serve_describe_producers},
    {KAFKA_OFFSET_FOR_LEADER_EPOCH, 2, 4, FRAME_OP_LIST_OFFSETS, kafka_serve_epoch_ends},
    {KAFKA_INIT_PRODUCER_ID, 0, 5, FRAME_OP_INIT_PRODUCER, kafka_serve_init_producer_id},
    {KAFKA_DELETE_GROUPS, 0, 3, FRAME_OP_GROUP_DELETE, kafka_serve_delete_groups},
    {KAFKA_OFFSET_DELETE, 0, 0, FRAME_OP_GROUP_DELETE, kafka_serve_offset_delete},
    {KAFKA_DESCRIBE_USER_SCRAM_CREDENTIALS, 0, 0, FRAME_OP_USERS, kafka_serve_describe_user_scram_credentials},
    {KAFKA_ALTER_USER_SCRAM_CREDENTIALS, 0, 0, FRAME_OP_USERS, kafka_serve_alter_user_scram_credentials},
    {KAFKA_DESCRIBE_CLUSTER, 0, 2, FRAME_OP_CLUSTER, kafka_serve_describe_cluster},
};
const size_t kafka_offer_count = sizeof(kafka_offers) / sizeof(kafka_offers[0]);

static const struct kafka_offer *find_offer(int16_t key, int16_t version)
{
    for (size_t i = 0; i < kafka_offer_count; i++)
        if (kafka_offers[i].key == key)
            return version >= kafka_offers[i].version_min && version <= kafka_offers[i].version_max ? &kafka_offers[i] : NULL;
    return NULL;
}

enum serve kafka_refuse(const struct kafka_request *request, const char *text)
{
    struct connection *connection = request->connection;
    char line[240];

    connection->shard->metrics.protocol_errors++;
    snprintf(line, sizeof(line), "closed a connection that speaks Kafka's protocol reason=\"%s\" api=%d version=%d", text,
             request->header.key, request->header.version);
    connection_complain(connection, line);
    request->session->is_finishing = true;
    if (!list_is_empty(&request->session->calls)) return SERVE_MORE; /* those before it are answered first */
    connection_finish(connection);
    return SERVE_GONE;
}

static enum serve dispatch(struct kafka_request *request, struct slice bytes)
{
    struct connection *connection = request->connection;
    struct shard *shard = connection->shard;
    int err = kafka_request_header_decode(bytes, &request->header);
    const struct kafka_offer *offer;
    const char *objection;

    if (err == MESH_EUNSUPPORTED && request->header.key == KAFKA_API_VERSIONS) return kafka_refuse_api_versions(request);
    if (err == MESH_EUNSUPPORTED) return kafka_refuse(request, "the broker does not know the request or its version");
    if (err != 0) return kafka_refuse(request, "the header of a request cannot be read; or it is another protocol");
    offer = find_offer(request->header.key, request->header.version);
    if (offer == NULL) return kafka_refuse(request, "the broker does not offer the request or its version");
    objection = kafka_login_objection(request);
    if (objection != NULL) return kafka_refuse(request, objection);
    shard->metrics.requests[offer->op < METRICS_OP_COUNT ? offer->op : 0]++;
    return offer->serve(request);
}

/* Nothing further is served: the connection ends with its last answer. */
static enum serve swallow(struct connection *connection, size_t size, size_t *ret_used)
{
    *ret_used = size;
    if (!list_is_empty(&connection->kafka->calls)) return SERVE_MORE;
    connection_finish(connection);
    return SERVE_GONE;
}

/* What a frame may have in bytes: of somebody who is not known yet not much, and a token without a header may be short. */
static bool is_frame_size(const struct kafka_request *request, uint32_t size)
{
    const struct connection *connection = request->connection;
    bool is_stranger = kafka_is_stranger(connection), is_token = request->session->login != NULL && request->session->login->is_raw;

    if (is_token) return size > 0 && size <= KAFKA_STRANGER_REQUEST_MAX;
    return size >= KAFKA_REQUEST_SIZE_MIN && size <= (is_stranger ? KAFKA_STRANGER_REQUEST_MAX : connection->shard->broker->settings.request_bytes_max);
}

static enum serve serve_frame(struct kafka_request *request, struct slice bytes)
{
    const struct kafka_login *login = request->session->login;

    return login != NULL && login->is_raw ? kafka_serve_token(request, bytes) : dispatch(request, bytes);
}

enum serve connection_serve_kafka(struct connection *connection, uint8_t *bytes, size_t size, size_t *ret_used, size_t *ret_need)
{
    size_t at = 0;

    for (;;) {
        struct kafka_request request = {.connection = connection, .session = connection->kafka, .header = {.key = -1, .version = -1}};
        uint32_t frame_size;
        enum serve serve;

        *ret_used = at;
        *ret_need = 0;
        /* A broker that stops begins nothing new; a client that is cut off asks the next broker. */
        if (connection->shard->is_stopping && request.session->waiting == NULL) request.session->is_finishing = true;
        if (request.session->is_finishing && request.session->waiting == NULL) return swallow(connection, size, ret_used);
        if (size - at < KAFKA_SIZE_SIZE) return SERVE_MORE;
        frame_size = be_load32(bytes + at);
        if (!is_frame_size(&request, frame_size)) {
            serve = kafka_refuse(&request, "a request is smaller than its header or larger than request.bytes.max, or 64 KiB before a login; or it is another protocol");
            if (serve == SERVE_GONE) return serve;
            continue;
        }
        if (size - at - KAFKA_SIZE_SIZE < frame_size) {
            *ret_need = KAFKA_SIZE_SIZE + (size_t)frame_size;
            return SERVE_MORE;
        }
        if (connection_is_over_limit(connection) && request.session->waiting == NULL) {
            connection->is_over_limit = true;
            return SERVE_WAIT;
        }
        serve = serve_frame(&request, slice_of(bytes + at + KAFKA_SIZE_SIZE, frame_size));
        if (serve == SERVE_GONE) return SERVE_GONE;
        if (serve == SERVE_WAIT) {
            *ret_need = KAFKA_SIZE_SIZE + (size_t)frame_size;
            return SERVE_WAIT;
        }
        at += KAFKA_SIZE_SIZE + (size_t)frame_size;
    }
}
