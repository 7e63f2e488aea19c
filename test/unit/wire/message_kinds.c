#include "unit/wire/message_kinds.h"

#include "native.pb-c.h"
#include "wire/message.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* ---- random values ---- */

static uint64_t fill_number(struct fill *fill)
{
    static const uint64_t edges[] = {0,     1,         127,        128,       16383,
                                     16384, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
    uint64_t value = random_next(&fill->random) >> random_below(&fill->random, 64);

    if (random_below(&fill->random, 2) == 0)
        value = edges[random_below(&fill->random, sizeof(edges) / sizeof(edges[0]))];
    return value == 0 && fill->everything ? 99 : value;
}

static uint32_t fill_uint32(struct fill *fill)
{
    uint32_t value = (uint32_t)fill_number(fill);

    return value == 0 && fill->everything ? 99 : value;
}

static int32_t fill_int32(struct fill *fill)
{
    return (int32_t)fill_uint32(fill);
}

/* -1 for "none", which is the default. */
static int32_t fill_or_none(struct fill *fill)
{
    if (!fill->everything && random_below(&fill->random, 4) == 0) return -1;
    return (int32_t)random_below(&fill->random, INT32_MAX);
}

static int fill_error(struct fill *fill)
{
    return -(int)(random_below(&fill->random, 50) + fill->everything);
}

static bool fill_bool(struct fill *fill)
{
    return fill->everything || random_below(&fill->random, 2) == 0;
}

static char *fill_string(struct fill *fill)
{
    size_t size = random_below(&fill->random, 20) + fill->everything;
    char *string = malloc(size + 1);

    ck_assert_ptr_nonnull(string);
    for (size_t i = 0; i < size; i++)
        string[i] = (char)(1 + random_below(&fill->random, 255));
    string[size] = '\0';
    return string;
}

static struct uuid fill_uuid(struct fill *fill)
{
    struct uuid uuid = {{0}};

    if (!fill->everything && random_below(&fill->random, 4) == 0) return uuid;
    for (int i = 0; i < UUID_SIZE; i++)
        uuid.bytes[i] = (uint8_t)random_next(&fill->random);
    uuid.bytes[0] |= 1;
    return uuid;
}

/* A zeroed array of a few elements, NULL for none. */
static void *fill_array(struct fill *fill, size_t element_size, size_t *ret_count)
{
    size_t count = fill->everything ? 2 : random_below(&fill->random, 4);
    void *array = count > 0 ? calloc(count, element_size) : NULL;

    ck_assert(count == 0 || array != NULL);
    *ret_count = count;
    return array;
}

static char **fill_strings(struct fill *fill, size_t *ret_count)
{
    char **strings = fill_array(fill, sizeof(*strings), ret_count);

    for (size_t i = 0; i < *ret_count; i++)
        strings[i] = fill_string(fill);
    return strings;
}

static struct message_config *fill_configs(struct fill *fill, size_t *ret_count)
{
    struct message_config *configs = fill_array(fill, sizeof(*configs), ret_count);

    for (size_t i = 0; i < *ret_count; i++)
        configs[i] = (struct message_config){fill_string(fill), fill_string(fill), fill_bool(fill)};
    return configs;
}

static struct message_broker *fill_brokers(struct fill *fill, size_t *ret_count)
{
    struct message_broker *brokers = fill_array(fill, sizeof(*brokers), ret_count);

    for (size_t i = 0; i < *ret_count; i++) {
        brokers[i].node_id = fill_int32(fill);
        brokers[i].broker_id = fill_uuid(fill);
        brokers[i].name = fill_string(fill);
        brokers[i].host = fill_string(fill);
        brokers[i].zone = fill_string(fill);
        brokers[i].port = fill_uint32(fill);
        brokers[i].shard_count = fill_uint32(fill);
        brokers[i].is_fenced = fill_bool(fill);
        brokers[i].is_draining = fill_bool(fill);
        brokers[i].is_witness = fill_bool(fill);
        brokers[i].has_bad_disk = fill_bool(fill);
    }
    return brokers;
}

/* ---- messages ---- */

static void fill_error_message(struct fill *fill, struct message_error *message)
{
    message->error = fill_error(fill);
    message->message = fill_string(fill);
}

static void fill_hello_request(struct fill *fill, struct message_hello_request *message)
{
    message->client_name = fill_string(fill);
    message->client_version = fill_string(fill);
    message->version_min = fill_uint32(fill);
    message->version_max = fill_uint32(fill);
    message->shard = fill_or_none(fill);
}

static void fill_hello_response(struct fill *fill, struct message_hello_response *message)
{
    message->cluster_id = fill_uuid(fill);
    message->broker_id = fill_uuid(fill);
    message->node_id = fill_int32(fill);
    message->shard_count = fill_uint32(fill);
    message->shard = fill_uint32(fill);
    message->frame_bytes_max = fill_uint32(fill);
    message->version = fill_uint32(fill);
    message->broker_version = fill_string(fill);
}

static void fill_cluster_response(struct fill *fill, struct message_cluster_response *message)
{
    message->cluster_id = fill_uuid(fill);
    message->coordinator = fill_or_none(fill);
    message->brokers = fill_brokers(fill, &message->broker_count);
}

static void fill_topic_create(struct fill *fill, struct message_topic_create *message)
{
    message->name = fill_string(fill);
    message->partition_count = fill_int32(fill);
    message->replication_factor = fill_int32(fill);
    message->configs = fill_configs(fill, &message->config_count);
    message->validate_only = fill_bool(fill);
    message->replicas = fill_array(fill, sizeof(*message->replicas), &message->replica_count);
    for (size_t i = 0; i < message->replica_count; i++)
        message->replicas[i] = fill_int32(fill);
}

static void fill_topic_delete(struct fill *fill, struct message_topic_delete *message)
{
    message->name = fill_string(fill);
}

static void fill_topic_alter(struct fill *fill, struct message_topic_alter *message)
{
    message->name = fill_string(fill);
    message->partition_count = fill_int32(fill);
    message->configs = fill_configs(fill, &message->config_count);
    message->removed_keys = fill_strings(fill, &message->removed_key_count);
}

static void fill_topic_describe(struct fill *fill, struct message_topic_describe *message)
{
    message->names = fill_strings(fill, &message->name_count);
    message->all = fill_bool(fill);
    message->with_offsets = fill_bool(fill);
}

static int32_t *fill_ids(struct fill *fill, size_t *ret_count)
{
    int32_t *ids = fill_array(fill, sizeof(*ids), ret_count);

    for (size_t i = 0; i < *ret_count; i++)
        ids[i] = fill_int32(fill);
    return ids;
}

static uint64_t *fill_numbers(struct fill *fill, size_t *ret_count)
{
    uint64_t *numbers = fill_array(fill, sizeof(*numbers), ret_count);

    for (size_t i = 0; i < *ret_count; i++)
        numbers[i] = fill_number(fill);
    return numbers;
}

static void fill_partition(struct fill *fill, struct message_partition *partition)
{
    partition->partition = fill_uint32(fill);
    partition->leader = fill_int32(fill);
    partition->leader_epoch = fill_int32(fill);
    partition->replicas = fill_ids(fill, &partition->replica_count);
    partition->isr = fill_ids(fill, &partition->isr_count);
    partition->shard = fill_uint32(fill);
    partition->high_watermark = fill_number(fill);
    partition->log_start = fill_number(fill);
    partition->log_end = fill_number(fill);
    partition->size_bytes = fill_number(fill);
    partition->error = fill_error(fill);
    partition->problem = fill_string(fill);
    partition->elr = fill_ids(fill, &partition->elr_count);
    partition->adding = fill_ids(fill, &partition->adding_count);
    partition->removing = fill_ids(fill, &partition->removing_count);
    partition->is_queued = fill_bool(fill);
    partition->missing_records_plus_one = fill_numbers(fill, &partition->missing_record_count);
    partition->missing_bytes = fill_numbers(fill, &partition->missing_byte_count);
}

static void fill_topic_response(struct fill *fill, struct message_topic_response *message)
{
    message->topics = fill_array(fill, sizeof(*message->topics), &message->topic_count);
    for (size_t i = 0; i < message->topic_count; i++) {
        struct message_topic *topic = &message->topics[i];
        topic->error = fill_error(fill);
        topic->name = fill_string(fill);
        topic->topic_id = fill_uuid(fill);
        topic->configs = fill_configs(fill, &topic->config_count);
        topic->partitions = fill_array(fill, sizeof(*topic->partitions), &topic->partition_count);
        for (size_t j = 0; j < topic->partition_count; j++)
            fill_partition(fill, &topic->partitions[j]);
    }
    message->remark = fill_string(fill);
}

static void fill_topic_move(struct fill *fill, struct message_topic_move *message)
{
    message->topic = fill_string(fill);
    message->partition = fill_or_none(fill);
    message->brokers = fill_strings(fill, &message->broker_count);
    message->is_cancel = fill_bool(fill);
}

static void fill_topic_balance(struct fill *fill, struct message_topic_balance *message)
{
    message->topic = fill_string(fill);
    message->is_dry = fill_bool(fill);
}

static void fill_moves_response(struct fill *fill, struct message_moves_response *message)
{
    message->moves = fill_array(fill, sizeof(*message->moves), &message->move_count);
    for (size_t i = 0; i < message->move_count; i++) {
        message->moves[i].topic = fill_string(fill);
        message->moves[i].partition = fill_uint32(fill);
        message->moves[i].from = fill_ids(fill, &message->moves[i].from_count);
        message->moves[i].to = fill_ids(fill, &message->moves[i].to_count);
    }
}

static void fill_list_offsets_request(struct fill *fill, struct message_list_offsets_request *message)
{
    message->forwards = fill_bool(fill);
    message->entries = fill_array(fill, sizeof(*message->entries), &message->entry_count);
    for (size_t i = 0; i < message->entry_count; i++) {
        message->entries[i].topic_id = fill_uuid(fill);
        message->entries[i].topic_id.bytes[0] |= 1; /* an entry always names a topic */
        message->entries[i].partition = fill_uint32(fill);
        message->entries[i].timestamp_ms = (int64_t)fill_number(fill);
        message->entries[i].epoch = fill_int32(fill);
        message->entries[i].leader_epoch_plus_one = fill_uint32(fill) & INT32_MAX;
        if (fill->everything) message->entries[i].leader_epoch_plus_one |= 1;
        message->entries[i].skips_control = fill_bool(fill);
    }
}

static void fill_list_offsets_response(struct fill *fill, struct message_list_offsets_response *message)
{
    message->results = fill_array(fill, sizeof(*message->results), &message->result_count);
    for (size_t i = 0; i < message->result_count; i++) {
        message->results[i].error = fill_error(fill);
        message->results[i].offset = (int64_t)fill_number(fill);
        message->results[i].timestamp_ms = (int64_t)fill_number(fill);
        message->results[i].leader_epoch = fill_int32(fill);
    }
}

static void fill_topic_trim(struct fill *fill, struct message_topic_trim *message)
{
    message->topic = fill_string(fill);
    message->timeout_ms = fill_uint32(fill);
    message->entries = fill_array(fill, sizeof(*message->entries), &message->entry_count);
    for (size_t i = 0; i < message->entry_count; i++) {
        message->entries[i].partition = fill_uint32(fill);
        message->entries[i].offset = (int64_t)fill_number(fill);
    }
}

static void fill_topic_trim_response(struct fill *fill, struct message_topic_trim_response *message)
{
    message->message = fill_string(fill);
    message->results = fill_array(fill, sizeof(*message->results), &message->result_count);
    for (size_t i = 0; i < message->result_count; i++) {
        message->results[i].partition = fill_uint32(fill);
        message->results[i].error = fill_error(fill);
        message->results[i].first_offset = fill_number(fill);
    }
}

static void fill_init_producer_response(struct fill *fill, struct message_init_producer_response *message)
{
    message->producer_id = (int64_t)fill_number(fill);
    message->producer_epoch = (int16_t)(fill_uint32(fill) | fill->everything);
}

static void fill_status_response(struct fill *fill, struct message_status_response *message)
{
    message->cluster_id = fill_uuid(fill);
    message->coordinator = fill_or_none(fill);
    message->brokers = fill_brokers(fill, &message->broker_count);
    message->topics_total = fill_uint32(fill);
    message->partitions_total = fill_uint32(fill);
    message->partitions_under_replicated = fill_uint32(fill);
    message->partitions_offline = fill_uint32(fill);
    message->partitions_at_risk = fill_uint32(fill);
    message->partitions_moving = fill_uint32(fill);
    message->partitions_queued = fill_uint32(fill);
    message->problems = fill_array(fill, sizeof(*message->problems), &message->problem_count);
    for (size_t i = 0; i < message->problem_count; i++)
        message->problems[i] =
            (struct message_problem){fill_string(fill), fill_string(fill), fill_string(fill)};
    message->uptime_ms = fill_number(fill);
    message->stored_bytes = fill_number(fill);
    message->disk_free_bytes = fill_number(fill);
    message->version = fill_string(fill);
    message->members_alive = fill_uint32(fill);
    message->members_suspect = fill_uint32(fill);
    message->members_dead = fill_uint32(fill);
    message->members_left = fill_uint32(fill);
    message->voters = fill_array(fill, sizeof(*message->voters), &message->voter_count);
    for (size_t i = 0; i < message->voter_count; i++) {
        message->voters[i].broker_id = fill_uuid(fill);
        message->voters[i].node_id = fill_int32(fill);
        message->voters[i].name = fill_string(fill);
        message->voters[i].is_heard = fill_bool(fill);
        message->voters[i].is_learner = fill_bool(fill);
    }
}

static void fill_members_response(struct fill *fill, struct message_members_response *message)
{
    message->cluster_id = fill_uuid(fill);
    message->members = fill_array(fill, sizeof(*message->members), &message->member_count);
    for (size_t i = 0; i < message->member_count; i++) {
        struct message_member *member = &message->members[i];
        member->broker_id = fill_uuid(fill);
        member->name = fill_string(fill);
        member->host = fill_string(fill);
        member->zone = fill_string(fill);
        member->address = fill_string(fill);
        member->port = fill_uint32(fill);
        member->state = fill_uint32(fill);
        member->rtt_us = fill_uint32(fill);
        member->incarnation = fill_number(fill);
        member->state_ms = fill_number(fill);
        member->heard_ms = fill_or_none(fill);
        member->is_self = fill_bool(fill);
        member->is_udp_blocked = fill_bool(fill);
    }
}

static void fill_keys_request(struct fill *fill, struct message_keys_request *message)
{
    message->action = fill_uint32(fill);
}

static void fill_keys_response(struct fill *fill, struct message_keys_response *message)
{
    message->keys = fill_array(fill, sizeof(*message->keys), &message->key_count);
    for (size_t i = 0; i < message->key_count; i++) {
        message->keys[i].key_id = fill_string(fill);
        message->keys[i].is_used = fill_bool(fill);
        message->keys[i].holder_count = fill_uint32(fill);
        message->keys[i].member_count = fill_uint32(fill);
    }
    message->phase = fill_string(fill);
    message->waiting_for = fill_string(fill);
}

static void fill_remove_request(struct fill *fill, struct message_remove_request *message)
{
    message->broker = fill_string(fill);
    message->accepts_loss = fill_bool(fill);
}

static void fill_remove_response(struct fill *fill, struct message_remove_response *message)
{
    message->broker_id = fill_uuid(fill);
    message->name = fill_string(fill);
    message->hosted_partitions = fill_uint32(fill);
    message->lost_partitions = fill_uint32(fill);
}

static void fill_bytes(struct fill *fill, uint8_t *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)fill_uint32(fill);
}

static struct message_verifier *fill_verifiers(struct fill *fill, size_t *ret_count)
{
    struct message_verifier *verifiers = fill_array(fill, sizeof(*verifiers), ret_count);

    for (size_t i = 0; i < *ret_count; i++) {
        verifiers[i].mechanism = fill_uint32(fill);
        verifiers[i].iterations = fill_uint32(fill);
        verifiers[i].salt_size = (uint8_t)(1 + fill_uint32(fill) % MESSAGE_VERIFIER_SIZE_MAX);
        verifiers[i].key_size = (uint8_t)(1 + fill_uint32(fill) % MESSAGE_VERIFIER_SIZE_MAX);
        fill_bytes(fill, verifiers[i].salt, verifiers[i].salt_size);
        fill_bytes(fill, verifiers[i].stored_key, verifiers[i].key_size);
        fill_bytes(fill, verifiers[i].server_key, verifiers[i].key_size);
    }
    return verifiers;
}

static void fill_users_request(struct fill *fill, struct message_users_request *message)
{
    message->action = fill_uint32(fill);
    message->name = fill_string(fill);
    message->verifiers = fill_verifiers(fill, &message->verifier_count);
}

static void fill_users_response(struct fill *fill, struct message_users_response *message)
{
    message->users = fill_array(fill, sizeof(*message->users), &message->user_count);
    for (size_t i = 0; i < message->user_count; i++) {
        message->users[i].name = fill_string(fill);
        message->users[i].verifiers = fill_verifiers(fill, &message->users[i].verifier_count);
    }
}

static void fill_recover_request(struct fill *fill, struct message_recover_request *message)
{
    message->lost = fill_strings(fill, &message->lost_count);
    message->is_for_real = fill_bool(fill);
}

static void fill_recover_response(struct fill *fill, struct message_recover_response *message)
{
    message->is_done = fill_bool(fill);
    message->objection = fill_string(fill);
    message->history = fill_number(fill);
    message->lost_partitions = fill_uint32(fill);
    message->lost = fill_array(fill, sizeof(*message->lost), &message->lost_count);
    for (size_t i = 0; i < message->lost_count; i++)
        message->lost[i] = (struct message_lost_broker){fill_uuid(fill), fill_string(fill), fill_bool(fill), fill_uint32(fill)};
    message->survivors = fill_array(fill, sizeof(*message->survivors), &message->survivor_count);
    for (size_t i = 0; i < message->survivor_count; i++) {
        struct message_survivor *survivor = &message->survivors[i];

        survivor->broker_id = fill_uuid(fill);
        survivor->name = fill_string(fill);
        survivor->objection = fill_string(fill);
        survivor->has_answered = fill_bool(fill);
        survivor->is_voter = fill_bool(fill);
        survivor->is_damaged = fill_bool(fill);
        survivor->is_chosen = fill_bool(fill);
        survivor->last_index = fill_number(fill);
        survivor->committed = fill_number(fill);
    }
}

static void fill_why_request(struct fill *fill, struct message_why_request *message)
{
    message->topic = fill_string(fill);
    message->partition = fill_uint32(fill);
}

static void fill_why_response(struct fill *fill, struct message_why_response *message)
{
    message->topic = fill_string(fill);
    message->topic_id = fill_uuid(fill);
    message->partition = fill_uint32(fill);
    message->leader = fill_or_none(fill);
    message->leader_name = fill_string(fill);
    message->leader_epoch = fill_int32(fill);
    message->was_elected = fill_bool(fill);
    message->decided_index = fill_number(fill);
    message->reason = fill_string(fill);
    message->placement = fill_string(fill);
    message->writes = fill_string(fill);
    message->reads = fill_string(fill);
    message->candidates = fill_array(fill, sizeof(*message->candidates), &message->candidate_count);
    for (size_t i = 0; i < message->candidate_count; i++) {
        struct message_candidate *candidate = &message->candidates[i];
        candidate->node_id = fill_int32(fill);
        candidate->name = fill_string(fill);
        candidate->standing = fill_string(fill);
        candidate->score = (int64_t)fill_number(fill);
        candidate->flags = fill_uint32(fill);
        candidate->log = fill_uint32(fill);
        candidate->health = fill_uint32(fill);
        candidate->load = fill_uint32(fill);
    }
}

/* ---- the table ---- */

/* X(suffix, struct, fill function, protobuf-c's name) */
#define KIND_MAP(X)                                                                                          \
    X(error, message_error, fill_error_message, error_response)                                              \
    X(hello_request, message_hello_request, fill_hello_request, hello_request)                               \
    X(hello_response, message_hello_response, fill_hello_response, hello_response)                           \
    X(cluster_response, message_cluster_response, fill_cluster_response, cluster_response)                   \
    X(topic_create, message_topic_create, fill_topic_create, topic_create_request)                           \
    X(topic_delete, message_topic_delete, fill_topic_delete, topic_delete_request)                           \
    X(topic_alter, message_topic_alter, fill_topic_alter, topic_alter_request)                               \
    X(topic_describe, message_topic_describe, fill_topic_describe, topic_describe_request)                   \
    X(topic_response, message_topic_response, fill_topic_response, topic_response)                           \
    X(topic_move, message_topic_move, fill_topic_move, topic_move_request)                                   \
    X(topic_balance, message_topic_balance, fill_topic_balance, topic_balance_request)                       \
    X(moves_response, message_moves_response, fill_moves_response, moves_response)                           \
    X(list_offsets_request, message_list_offsets_request, fill_list_offsets_request, list_offsets_request)   \
    X(list_offsets_response, message_list_offsets_response, fill_list_offsets_response,                      \
      list_offsets_response)                                                                                 \
    X(topic_trim, message_topic_trim, fill_topic_trim, topic_trim_request)                                   \
    X(topic_trim_response, message_topic_trim_response, fill_topic_trim_response, topic_trim_response)       \
    X(init_producer_response, message_init_producer_response, fill_init_producer_response,                   \
      init_producer_response)                                                                                \
    X(status_response, message_status_response, fill_status_response, status_response)                       \
    X(members_response, message_members_response, fill_members_response, members_response)                   \
    X(keys_request, message_keys_request, fill_keys_request, keys_request)                                   \
    X(keys_response, message_keys_response, fill_keys_response, keys_response)                               \
    X(remove_request, message_remove_request, fill_remove_request, remove_request)                           \
    X(remove_response, message_remove_response, fill_remove_response, remove_response)                       \
    X(recover_request, message_recover_request, fill_recover_request, recover_request)                       \
    X(recover_response, message_recover_response, fill_recover_response, recover_response)                   \
    X(users_request, message_users_request, fill_users_request, users_request)                               \
    X(users_response, message_users_response, fill_users_response, users_response)                           \
    X(why_request, message_why_request, fill_why_request, why_request)                                       \
    X(why_response, message_why_response, fill_why_response, why_response)

#define KIND_WRAP(suffix, type, fill_function, wire_name)                                                    \
    _Static_assert(sizeof(struct type) <= MESSAGE_KIND_SIZE_MAX, "raise MESSAGE_KIND_SIZE_MAX");             \
    static int encode_##suffix(struct buffer *to, const void *message)                                       \
    {                                                                                                        \
        return message_encode_##suffix(to, message);                                                         \
    }                                                                                                        \
    static int decode_##suffix(struct slice from, void *ret_message)                                         \
    {                                                                                                        \
        return message_decode_##suffix(from, ret_message);                                                   \
    }                                                                                                        \
    static void deinit_##suffix(void *message)                                                               \
    {                                                                                                        \
        message_deinit_##suffix(message);                                                                    \
    }                                                                                                        \
    static void wrap_fill_##suffix(struct fill *fill, void *message)                                         \
    {                                                                                                        \
        memset(message, 0, sizeof(struct type));                                                             \
        fill_function(fill, message);                                                                        \
    }
KIND_MAP(KIND_WRAP)
#undef KIND_WRAP

#define KIND_ROW(suffix, type, fill_function, wire_name)                                                     \
    {#suffix,                                                                                                \
     &mesh__wire__##wire_name##__descriptor,                                                                 \
     sizeof(struct type),                                                                                    \
     encode_##suffix,                                                                                        \
     decode_##suffix,                                                                                        \
     deinit_##suffix,                                                                                        \
     wrap_fill_##suffix},
const struct message_kind message_kinds[] = {KIND_MAP(KIND_ROW)};
#undef KIND_ROW

const int message_kind_count = sizeof(message_kinds) / sizeof(message_kinds[0]);

/* Every message of message.h is in the table. */
#define KIND_COUNT(suffix, type) +1
_Static_assert(sizeof(message_kinds) / sizeof(message_kinds[0]) == 0 MESSAGE_MAP(KIND_COUNT),
               "a message is missing");

const struct message_kind *message_kind_named(const char *name)
{
    for (int i = 0; i < message_kind_count; i++)
        if (strcmp(message_kinds[i].name, name) == 0) return &message_kinds[i];
    ck_abort_msg("no message kind %s", name);
    return NULL;
}
