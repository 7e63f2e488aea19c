#include "client/topic.h"

#include "base/assert.h"
#include "client/backoff.h"
#include "client/broker.h"
#include "client/call.h"
#include "wire/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct backoff refresh_backoff = {50, 1000};

/* Somebody will lead soon: the first looks for whom come quickly, the quicker the less there is to tell. */
#define AWAITING_LOOKS   24
#define AWAITING_MAX_MS  150
#define AWAITING_MORE_MS 16 /* and a millisecond for so many partitions */

/* Who has nothing new to tell may be cut off from its mesh and not know it: from this look on another broker is asked each time. */
#define OTHERS_FROM_LOOK 2

static void refresh_now(struct topic *topic);

/* ---- cache ---- */

static void refresh_due(struct timer *timer, uint64_t now_ms)
{
    (void)now_ms;
    refresh_now(container_of(timer, struct topic, timer));
}

static int topic_new(struct mesh_client *client, const char *name, struct topic **ret_topic)
{
    struct topic *topic = calloc(1, sizeof(*topic));

    if (topic == NULL) return MESH_ENOMEM;
    topic->client = client;
    topic->batch_bytes_max = SIZE_MAX;
    memcpy(topic->name, name, strlen(name) + 1);
    if (client_add_timer(client, &topic->timer, refresh_due) != 0) {
        free(topic);
        return MESH_ENOMEM;
    }
    list_push_back(&client->topics, &topic->node);
    *ret_topic = topic;
    return 0;
}

int topic_ref(struct mesh_client *client, const char *name, struct topic **ret_topic)
{
    struct topic *topic = NULL;
    size_t size = name != NULL ? strlen(name) : 0;
    int err;

    if (size == 0 || size > TOPIC_NAME_MAX)
        return client_fail(client, MESH_EINVALID_TOPIC, "a topic's name has 1 to %d bytes", TOPIC_NAME_MAX);
    list_for_each(node, &client->topics)
    {
        struct topic *known = container_of(node, struct topic, node);
        if (strcmp(known->name, name) == 0) topic = known;
    }
    if (topic == NULL) {
        err = topic_new(client, name, &topic);
        if (err != 0) return client_fail(client, err, "%s", mesh_strerror(err));
    }
    topic->reference_count++;
    *ret_topic = topic;
    return 0;
}

void topic_free(struct topic *topic)
{
    call_free(topic->refresh);
    client_remove_timer(topic->client, &topic->timer);
    list_remove(&topic->node);
    free(topic->partitions);
    free(topic);
}

void topic_unref(struct topic *topic)
{
    if (topic == NULL) return;
    MESH_ASSERT(topic->reference_count > 0);
    if (--topic->reference_count == 0) topic_free(topic);
}

bool topic_is_missing(const struct topic *topic)
{
    return topic->unknown_since_ms != 0 && topic->error == MESH_EUNKNOWN_TOPIC &&
           topic->refreshed_ms - topic->unknown_since_ms >= TOPIC_UNKNOWN_GRACE_MS;
}

/* ---- brokers by node id ---- */

static int take_brokers(struct mesh_client *client, struct slice message)
{
    struct message_cluster_response response;
    int err = message_decode_cluster_response(message, &response);

    if (err != 0) return err;
    for (size_t i = 0; i < response.broker_count && err == 0; i++) {
        struct message_broker *from = &response.brokers[i];
        struct broker *broker = broker_find(client, from->node_id);
        struct address address = {.port = (uint16_t)from->port};
        size_t size = from->host != NULL ? strlen(from->host) : 0;
        if (from->node_id < 0 || size == 0 || size >= sizeof(address.host) || from->port == 0 ||
            from->port > UINT16_MAX)
            continue; /* an address that nobody could use */
        memcpy(address.host, from->host, size + 1);
        if (broker == NULL) {
            err = broker_new(client, &address, false, &broker);
            if (err == 0) broker->node_id = from->node_id;
        } else if (!broker->is_seed) {
            broker->address = address;
        } else if (strcmp(broker->address.host, address.host) != 0 || broker->address.port != address.port) {
            broker->advertised = address;
        }
    }
    message_deinit_cluster_response(&response);
    return err;
}

static void cluster_answered(struct call *call, int err, struct slice message)
{
    struct mesh_client *client = call->client;

    client->cluster_call = NULL;
    if (err == 0 && take_brokers(client, message) == 0) client->cluster_asked_ms = client->now_ms; /* else asked again */
    call_free(call);
    client_mark_all(client);
}

/* The leader's address is not known: ask who the brokers are, at most once a second. */
static void ask_cluster(struct mesh_client *client)
{
    struct call *call = NULL;

    if (client->cluster_call != NULL) return;
    if (client->now_ms < client->cluster_retry_ms) {
        if (!timer_is_armed(&client->seed_timer))
            client_arm(client, &client->seed_timer, client->cluster_retry_ms);
        return;
    }
    client->cluster_retry_ms = client->now_ms + 1000;
    if (call_new(client, FRAME_OP_CLUSTER, cluster_answered, NULL, &call) != 0) return;
    call->patience_ms = CALL_PATIENCE_MS;
    client->cluster_call = call;
    call_start(call, client->now_ms + (uint64_t)client->timeout_ms);
}

void topic_keep_brokers_fresh(struct mesh_client *client)
{
    if (client->cluster_asked_ms == 0 || client->now_ms >= client->cluster_asked_ms + TOPIC_AGE_MAX_MS) ask_cluster(client);
}

void topic_look_for_brokers(struct mesh_client *client)
{
    if (client->cluster_asked_ms != 0 && client->now_ms >= client->cluster_asked_ms + TOPIC_LOOK_MS) ask_cluster(client);
}

/* ---- refreshing ---- */

/* What is no number says nothing. */
static size_t batch_bytes_max_of(const struct message_topic *from)
{
    for (size_t i = 0; i < from->config_count; i++) {
        const struct message_config *config = &from->configs[i];
        char *end;
        unsigned long long bytes;

        if (config->key == NULL || config->value == NULL || strcmp(config->key, "max.batch.bytes") != 0) continue;
        errno = 0;
        bytes = strtoull(config->value, &end, 10);
        if (end != config->value && *end == '\0' && errno == 0 && bytes > 0 && bytes < SIZE_MAX) return (size_t)bytes;
    }
    return SIZE_MAX;
}

/* Brokers learn of changes one after the other: one that is behind does not lead back to a leader of an older epoch. */
static void keep_newer(const struct topic *topic, const struct message_topic *from, struct topic_partition *partitions)
{
    if (!topic->is_known || !uuid_equal(&topic->id, &from->topic_id)) return;
    for (uint32_t i = 0; i < topic->partition_count && i < from->partition_count; i++)
        if (topic->partitions[i].leader_epoch > partitions[i].leader_epoch) partitions[i] = topic->partitions[i];
}

static bool is_unchanged(const struct topic *topic, const struct message_topic *from, const struct topic_partition *partitions)
{
    if (!topic->is_known || !uuid_equal(&topic->id, &from->topic_id) || topic->partition_count != from->partition_count) return false;
    for (uint32_t i = 0; i < topic->partition_count; i++)
        if (topic->partitions[i].leader_epoch != partitions[i].leader_epoch || topic->partitions[i].leader != partitions[i].leader ||
            topic->partitions[i].shard != partitions[i].shard)
            return false;
    return true;
}

static int take_partitions(struct topic *topic, const struct message_topic *from)
{
    struct topic_partition *partitions = calloc(from->partition_count + 1, sizeof(*partitions));

    if (partitions == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < from->partition_count; i++)
        partitions[i] = (struct topic_partition){-1, -1, 0};
    for (size_t i = 0; i < from->partition_count; i++) {
        const struct message_partition *partition = &from->partitions[i];
        if (partition->partition >= from->partition_count) {
            free(partitions);
            return MESH_EPROTO;
        }
        partitions[partition->partition] =
            (struct topic_partition){partition->leader, partition->leader_epoch, partition->shard};
    }
    keep_newer(topic, from, partitions);
    topic->unchanged = is_unchanged(topic, from, partitions) && topic->client->now_ms < topic->refreshed_ms + TOPIC_HASTE_MS ? topic->unchanged + 1 : 0;
    free(topic->partitions);
    topic->partitions = partitions;
    topic->partition_count = (uint32_t)from->partition_count;
    topic->id = from->topic_id;
    topic->batch_bytes_max = batch_bytes_max_of(from);
    topic->is_known = true;
    return 0;
}

static int take_answer(struct topic *topic, struct slice message)
{
    struct message_topic_response response;
    int err = message_decode_topic_response(message, &response);

    if (err != 0) return err;
    if (response.topic_count != 1)
        err = MESH_EPROTO;
    else if (response.topics[0].error != 0)
        err = response.topics[0].error;
    else if (response.topics[0].partition_count == 0)
        err = MESH_EPROTO;
    else
        err = take_partitions(topic, &response.topics[0]);
    message_deinit_topic_response(&response);
    return err;
}

/* Whether a partition has no leader, or one that is not reached or silent: most likely another is about to be elected. */
static bool awaits_leader(const struct topic *topic)
{
    struct mesh_client *client = topic->client;

    for (uint32_t i = 0; topic->is_known && i < topic->partition_count; i++) {
        const struct broker *broker = broker_find(client, topic->partitions[i].leader);

        if (topic->partitions[i].leader < 0 || (broker != NULL && (broker->reach == BROKER_UNREACHED || broker_is_doubted(broker)))) return true;
    }
    return false;
}

/* Whoever asks because of a wrong route and learns nothing new asks the more seldom. */
static uint32_t refresh_pause_ms(const struct topic *topic)
{
    struct backoff backoff = refresh_backoff;

    if (topic->unchanged < AWAITING_LOOKS && awaits_leader(topic)) {
        uint32_t max_ms = AWAITING_MAX_MS + topic->partition_count / AWAITING_MORE_MS;
        if (max_ms < backoff.max_ms) backoff.max_ms = max_ms;
    }
    return backoff_ms(&backoff, topic->failures + topic->unchanged, random_unit(&topic->client->random));
}

static void refreshed(struct call *call, int err, struct slice message)
{
    struct topic *topic = call->user;
    struct mesh_client *client = topic->client;
    bool is_early; /* it says little while a given address has not been tried: the grace begins when all have, and until then looks are quick */

    topic->refresh = NULL;
    if (err == 0) err = take_answer(topic, message);
    is_early = err == MESH_EUNKNOWN_TOPIC && broker_try_given(client);
    topic->error = err;
    topic->refreshed_ms = client->now_ms;
    if (err != MESH_EUNKNOWN_TOPIC)
        topic->unknown_since_ms = 0;
    else if (is_early || topic->unknown_since_ms == 0)
        topic->unknown_since_ms = client->now_ms;
    if (err == MESH_EUNKNOWN_TOPIC) topic->is_known = false;
    if (err == 0) topic->failures = 0;
    topic->retry_ms = client->now_ms + refresh_pause_ms(topic);
    if (err != 0 && !is_early) topic->failures++;
    if (err == 0) topic_keep_brokers_fresh(client);
    topic->generation++;
    call_free(call);
    client_mark_all(client);
}

/* The node id of whom to ask; -1: whoever answers. */
static int32_t choose_whom_to_ask(const struct topic *topic)
{
    bool is_unknown = topic->unknown_since_ms != 0; /* whoever said so may not have been let into its mesh yet, and know of nothing */
    uint32_t count = 0, turn;

    if (!is_unknown && topic->unchanged < OTHERS_FROM_LOOK) return -1;
    list_for_each(node, &topic->client->brokers) count += container_of(node, struct broker, node)->node_id >= 0;
    turn = count > 0 ? (is_unknown ? topic->failures : topic->unchanged) % count : 0;
    list_for_each(node, &topic->client->brokers)
    {
        const struct broker *broker = container_of(node, struct broker, node);

        if (broker->node_id >= 0 && turn-- == 0) return broker->node_id;
    }
    return -1;
}

static void refresh_now(struct topic *topic)
{
    struct message_topic_describe describe = {0};
    struct mesh_client *client = topic->client;
    char *name = topic->name;
    struct call *call = NULL;
    int err;

    if (topic->refresh != NULL) return;
    describe.names = &name;
    describe.name_count = 1;
    err = call_new(client, FRAME_OP_TOPIC_DESCRIBE, refreshed, topic, &call);
    if (err == 0) err = message_encode_topic_describe(&call->message, &describe);
    if (err != 0) { /* out of memory: later */
        call_free(call);
        client_arm(client, &topic->timer, client->now_ms + refresh_backoff.max_ms);
        return;
    }
    topic->refresh = call;
    call->node_id = choose_whom_to_ask(topic);
    call->patience_ms = CALL_PATIENCE_MS;
    call_start(call, client->now_ms + (uint64_t)client->timeout_ms);
}

void topic_refresh(struct topic *topic)
{
    struct mesh_client *client = topic->client;

    if (topic->refresh != NULL || timer_is_armed(&topic->timer)) return;
    if (client->now_ms >= topic->retry_ms)
        refresh_now(topic);
    else
        client_arm(client, &topic->timer, topic->retry_ms);
}

void topic_keep_fresh(struct topic *topic)
{
    if (!topic->is_known || topic->client->now_ms >= topic->refreshed_ms + TOPIC_AGE_MAX_MS)
        topic_refresh(topic);
}

struct wait_known {
    struct topic *topic;
    uint64_t start_generation;
};

static bool is_known_or_missing(void *user)
{
    struct topic *topic = ((struct wait_known *)user)->topic;

    if (topic->is_known || topic_is_missing(topic)) return true;
    if (topic->error != 0 && !mesh_error_is_retriable(topic->error) &&
        topic->generation != ((struct wait_known *)user)->start_generation)
        return true;
    topic_refresh(topic);
    return false;
}

int topic_wait_known(struct topic *topic, uint64_t deadline_ms)
{
    struct mesh_client *client = topic->client;
    struct wait_known wait = {topic, topic->generation};
    int err;

    if (topic->is_known) return 0;
    topic->unknown_since_ms = 0; /* ask afresh, whatever was said before */
    err = client_run(client, is_known_or_missing, &wait, deadline_ms);
    if (err == MESH_ETIMEDOUT && topic->error != 0) err = topic->error;
    if (err == MESH_ETIMEDOUT) {
        char problems[CLIENT_ERROR_SIZE / 2];
        broker_describe_problems(client, problems, sizeof(problems));
        return client_fail(client, MESH_EUNREACHABLE, "no broker could be reached (%s)", problems);
    }
    if (err == 0 && !topic->is_known) err = topic->error;
    if (err == MESH_EUNKNOWN_TOPIC)
        return client_fail(client, err, "there is no topic \"%s\"; \"mesh topic create %s\" makes one",
                           topic->name, topic->name);
    return err; /* the text is the call's */
}

/* ---- routes ---- */

/* Through another broker, while the leader itself is looked for. NULL: there is no other. */
static struct connection *route_by_relay(struct broker *leader, enum connection_lane lane)
{
    struct broker *relay = broker_find_relay(leader->client, leader);
    struct connection *connection = NULL;

    if (relay == NULL || broker_relay_connection(relay, lane, &connection) != 0) return NULL;
    broker_probe(leader);
    return connection;
}

struct connection *topic_route(struct topic *topic, uint32_t partition, enum connection_lane lane)
{
    struct connection *connection = NULL, *relay;
    struct broker *broker;

    if (!topic->is_known || partition >= topic->partition_count || topic->partitions[partition].leader < 0) {
        topic_refresh(topic);
        return NULL;
    }
    broker = broker_find(topic->client, topic->partitions[partition].leader);
    if (broker == NULL) {
        ask_cluster(topic->client);
        return NULL;
    }
    if (broker_connection(broker, (int32_t)topic->partitions[partition].shard, lane, &connection) != 0)
        return NULL;
    if (broker->reach != BROKER_UNREACHED) return connection;
    relay = route_by_relay(broker, lane);
    if (relay == NULL) return connection;
    connection_want(connection);
    return relay;
}
