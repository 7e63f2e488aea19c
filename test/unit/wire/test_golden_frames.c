/* The frames of test/golden/native: what they mean, and that they are still written so. */
#include "wire/frame.h"
#include "wire/message.h"
#include "wire/message_group.h"
#include "wire/record_batch.h"

#include "base/error.h"
#include "support/run_suite.h"
#include "unit/wire/golden_frame.h"

#include <check.h>

static struct uuid uuid_from(uint8_t first)
{
    struct uuid uuid;

    for (int i = 0; i < UUID_SIZE; i++)
        uuid.bytes[i] = (uint8_t)(first + i);
    return uuid;
}

/* Decodes, and encodes what came out. */
#define DEFINE_RECODE(suffix, type)                                                                          \
    static void recode_##suffix(struct slice message, uint32_t attachment_size, struct buffer *to)           \
    {                                                                                                        \
        struct type decoded;                                                                                 \
        ck_assert_uint_eq(attachment_size, 0);                                                               \
        ck_assert_int_eq(message_decode_##suffix(message, &decoded), 0);                                     \
        ck_assert_int_eq(message_encode_##suffix(to, &decoded), 0);                                          \
        message_deinit_##suffix(&decoded);                                                                   \
    }
MESSAGE_MAP(DEFINE_RECODE)
DEFINE_RECODE(group_commit, message_group_commit)
DEFINE_RECODE(group_response, message_group_response)

/* ---- sessions ---- */

static void encode_error(struct buffer *to)
{
    struct message_error message = {MESH_EINVALID_TOPIC,
                                    (char[]){"topic names use letters, digits, dot, dash and underscore"}};

    ck_assert_int_eq(message_encode_error(to, &message), 0);
}

static void encode_hello_request(struct buffer *to)
{
    struct message_hello_request message = {(char[]){"libmesh"}, (char[]){"0.1.0"}, 1, 1, 2};

    ck_assert_int_eq(message_encode_hello_request(to, &message), 0);
}

static void encode_hello_response(struct buffer *to)
{
    struct message_hello_response message = {
        .cluster_id = uuid_from(0xa0),
        .broker_id = uuid_from(0xb0),
        .node_id = 5,
        .shard_count = 4,
        .shard = 2,
        .frame_bytes_max = 64u << 20,
        .version = 1,
        .broker_version = (char[]){"0.1.0"},
    };

    ck_assert_int_eq(message_encode_hello_response(to, &message), 0);
}

static void encode_init_producer_response(struct buffer *to)
{
    struct message_init_producer_response message = {123456789012, 3};

    ck_assert_int_eq(message_encode_init_producer_response(to, &message), 0);
}

static void encode_nothing(struct buffer *to)
{
    (void)to;
}

static void recode_nothing(struct slice message, uint32_t attachment_size, struct buffer *to)
{
    (void)to;
    ck_assert_uint_eq(message.size, 0);
    ck_assert_uint_eq(attachment_size, 0);
}

/* ---- the mesh ---- */

#define BROKER_COUNT 2

static void fill_brokers(struct message_broker brokers[BROKER_COUNT])
{
    static char alpha[] = "alpha", beta[] = "beta", alpha_host[] = "10.0.0.1", beta_host[] = "beta.example",
                zone_a[] = "a", zone_b[] = "b";

    brokers[0] = (struct message_broker){1, uuid_from(0xb0), alpha, alpha_host, zone_a, 9092, 4, false, false, false, false};
    brokers[1] = (struct message_broker){300, uuid_from(0xc0), beta, beta_host, zone_b, 19092, 2, false, false, false, false};
}

static void encode_cluster_response(struct buffer *to)
{
    struct message_broker brokers[BROKER_COUNT];
    struct message_cluster_response message = {uuid_from(0xa0), 1, brokers, BROKER_COUNT};

    fill_brokers(brokers);
    ck_assert_int_eq(message_encode_cluster_response(to, &message), 0);
}

static void encode_status_response(struct buffer *to)
{
    struct message_broker brokers[BROKER_COUNT];
    struct message_problem problem = {(char[]){"the disk is nearly full"}, (char[]){"writes will be refused"},
                                      (char[]){"shorten retention"}};
    struct message_status_response message = {
        .cluster_id = uuid_from(0xa0),
        .coordinator = -1,
        .brokers = brokers,
        .broker_count = BROKER_COUNT,
        .topics_total = 6,
        .partitions_total = 40,
        .partitions_under_replicated = 2,
        .partitions_offline = 1,
        .problems = &problem,
        .problem_count = 1,
        .uptime_ms = 86400000,
        .stored_bytes = UINT64_C(10) << 30,
        .disk_free_bytes = UINT64_C(1) << 30,
        .version = (char[]){"0.1.0"},
    };

    fill_brokers(brokers);
    ck_assert_int_eq(message_encode_status_response(to, &message), 0);
}

static void encode_status_voters_response(struct buffer *to)
{
    struct message_broker broker = {.node_id = 300, .name = (char[]){"beta"}, .port = 9092, .is_fenced = true, .is_draining = true, .is_witness = true};
    struct message_voter voters[] = {
        {uuid_from(0xb0), 1, (char[]){"alpha"}, true, false},
        {uuid_from(0xc0), 300, (char[]){"beta"}, false, true},
    };
    struct message_status_response message = {.coordinator = 1, .brokers = &broker, .broker_count = 1, .voters = voters, .voter_count = 2};

    ck_assert_int_eq(message_encode_status_response(to, &message), 0);
}

static void encode_status_bad_disk_response(struct buffer *to)
{
    struct message_broker broker = {.node_id = 300, .name = (char[]){"beta"}, .port = 9092, .is_draining = true, .has_bad_disk = true};
    struct message_status_response message = {.coordinator = 1, .brokers = &broker, .broker_count = 1};

    ck_assert_int_eq(message_encode_status_response(to, &message), 0);
}

/* ---- members and keys ---- */

static void encode_members_response(struct buffer *to)
{
    struct message_member members[] = {
        {.broker_id = uuid_from(0xb0), .name = (char[]){"alpha"}, .host = (char[]){"10.0.0.1"}, .zone = (char[]){"a"},
         .address = (char[]){"10.0.0.1:9092"}, .port = 9092, .incarnation = UINT64_C(3) << 32 | 2, .state_ms = 60000,
         .heard_ms = -1, .is_self = true},
        {.broker_id = uuid_from(0xc0), .name = (char[]){"beta"}, .host = (char[]){"beta.example"}, .zone = (char[]){"b"},
         .address = (char[]){"[2001:db8::1]:19092"}, .port = 19092, .state = 2, .rtt_us = 180,
         .incarnation = UINT64_C(1) << 32, .state_ms = 1500, .heard_ms = 250, .is_udp_blocked = true},
    };
    struct message_members_response message = {uuid_from(0xa0), members, 2};

    ck_assert_int_eq(message_encode_members_response(to, &message), 0);
}

static void encode_keys_request(struct buffer *to)
{
    struct message_keys_request message = {MESSAGE_KEYS_ROTATE};

    ck_assert_int_eq(message_encode_keys_request(to, &message), 0);
}

static void encode_keys_response(struct buffer *to)
{
    struct message_key keys[] = {{(char[]){"3f2a90c1"}, true, 3, 3}, {(char[]){"0badcafe"}, false, 2, 3}};
    struct message_keys_response message = {keys, 2, (char[]){"installing the new key"}, (char[]){"beta"}};

    ck_assert_int_eq(message_encode_keys_response(to, &message), 0);
}

/* ---- why ---- */

static void encode_why_request(struct buffer *to)
{
    struct message_why_request message = {(char[]){"orders"}, 5};

    ck_assert_int_eq(message_encode_why_request(to, &message), 0);
}

static void encode_why_response(struct buffer *to)
{
    struct message_candidate candidates[] = {
        {1, (char[]){"alpha"}, (char[]){"could not lead: it has no session with the coordinator (fenced)"}, 0, 4 | 64, 0, 0, 0},
        {300, (char[]){"beta"}, (char[]){"elected: in sync, preferred zone"}, 1991500, 1 | 32, 9, 10, 50},
    };
    struct message_why_response message = {
        .topic = (char[]){"orders"},
        .topic_id = uuid_from(0x10),
        .partition = 5,
        .leader = 300,
        .leader_name = (char[]){"beta"},
        .leader_epoch = 7,
        .was_elected = true,
        .decided_index = 123456,
        .reason = (char[]){"broker 300 (beta) leads since epoch 7: the leader before lost its session"},
        .candidates = candidates,
        .candidate_count = 2,
    };

    ck_assert_int_eq(message_encode_why_response(to, &message), 0);
}

static void encode_why_sentences_response(struct buffer *to)
{
    struct message_why_response message = {
        .topic = (char[]){"orders"},
        .topic_id = uuid_from(0x10),
        .partition = 5,
        .leader = -1,
        .leader_name = (char[]){""},
        .leader_epoch = 8,
        .reason = (char[]){"no leader"},
        .placement = (char[]){"on 1"},
        .writes = (char[]){"nobody leads it"},
        .reads = (char[]){"nobody leads it"},
    };

    ck_assert_int_eq(message_encode_why_response(to, &message), 0);
}

/* ---- replicas that move ---- */

static void encode_topic_moving_response(struct buffer *to)
{
    int32_t replicas[] = {4, 2, 3, 1}, isr[] = {2, 3}, elr = 1, adding = 4, removing = 1;
    uint64_t records[] = {301, 1, 1, 0}, bytes[] = {65536, 0, 0, 0};
    struct message_partition partition = {
        .partition = 2, .leader = 2, .leader_epoch = 7, .replicas = replicas, .isr = isr, .replica_count = 4, .isr_count = 2,
        .high_watermark = 1000, .log_end = 1000, .size_bytes = 131072, .elr = &elr, .adding = &adding, .removing = &removing,
        .elr_count = 1, .adding_count = 1, .removing_count = 1, .is_queued = true, .missing_records_plus_one = records,
        .missing_bytes = bytes, .missing_record_count = 4, .missing_byte_count = 4,
    };
    struct message_topic topic = {.name = (char[]){"orders"}, .topic_id = uuid_from(0x10), .partitions = &partition, .partition_count = 1};
    struct message_topic_response message = {.topics = &topic, .topic_count = 1};

    ck_assert_int_eq(message_encode_topic_response(to, &message), 0);
}

static void encode_topic_move_request(struct buffer *to)
{
    char *brokers[] = {(char[]){"b4"}, (char[]){"2"}};
    struct message_topic_move message = {.topic = (char[]){"orders"}, .partition = 2, .brokers = brokers, .broker_count = 2};

    ck_assert_int_eq(message_encode_topic_move(to, &message), 0);
}

static void encode_topic_move_cancel_request(struct buffer *to)
{
    struct message_topic_move message = {.topic = (char[]){"orders"}, .partition = -1, .is_cancel = true};

    ck_assert_int_eq(message_encode_topic_move(to, &message), 0);
}

static void encode_topic_balance_request(struct buffer *to)
{
    struct message_topic_balance message = {.topic = (char[]){"orders"}, .is_dry = true};

    ck_assert_int_eq(message_encode_topic_balance(to, &message), 0);
}

static void encode_moves_response(struct buffer *to)
{
    int32_t from[] = {1, 2}, to_list[] = {300, 2};
    struct message_move move = {.topic = (char[]){"orders"}, .partition = 2, .from = from, .to = to_list, .from_count = 2, .to_count = 2};
    struct message_moves_response message = {&move, 1};

    ck_assert_int_eq(message_encode_moves_response(to, &message), 0);
}

/* ---- brokers that are gone for good ---- */

static void encode_remove_request(struct buffer *to)
{
    struct message_remove_request message = {(char[]){"b3"}, true};

    ck_assert_int_eq(message_encode_remove_request(to, &message), 0);
}

static void encode_remove_response(struct buffer *to)
{
    struct message_remove_response message = {uuid_from(0x20), (char[]){"b3"}, 300, 2};

    ck_assert_int_eq(message_encode_remove_response(to, &message), 0);
}

static void count_up(uint8_t *to, uint8_t first, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(first + i);
}

static void encode_users_request(struct buffer *to)
{
    struct message_verifier verifiers[] = {{.mechanism = 1, .iterations = 8192, .salt_size = 16, .key_size = 32},
                                           {.mechanism = 2, .iterations = 4096, .salt_size = 8, .key_size = 64}};
    struct message_users_request message = {MESSAGE_USERS_ADD, (char[]){"alice"}, verifiers, 2};

    count_up(verifiers[0].salt, 0, 16);
    count_up(verifiers[0].stored_key, 0x20, 32);
    count_up(verifiers[0].server_key, 0x40, 32);
    count_up(verifiers[1].salt, 0, 8);
    count_up(verifiers[1].stored_key, 0, 64);
    count_up(verifiers[1].server_key, 64, 64);
    ck_assert_int_eq(message_encode_users_request(to, &message), 0);
}

static void encode_users_response(struct buffer *to)
{
    struct message_verifier verifiers[] = {{.mechanism = 1, .iterations = 8192}, {.mechanism = 2, .iterations = 4096}, {.mechanism = 2, .iterations = 300000}};
    struct message_user users[] = {{(char[]){"alice"}, verifiers, 2}, {(char[]){"bob"}, verifiers + 2, 1}};
    struct message_users_response message = {users, 2};

    ck_assert_int_eq(message_encode_users_response(to, &message), 0);
}

static void encode_recover_request(struct buffer *to)
{
    char *lost[] = {(char[]){"b2"}, (char[]){"b3"}};
    struct message_recover_request message = {lost, 2, true};

    ck_assert_int_eq(message_encode_recover_request(to, &message), 0);
}

static void encode_recover_response(struct buffer *to)
{
    struct message_lost_broker lost = {uuid_from(0x20), (char[]){"b2"}, true, 7};
    struct message_survivor survivors[] = {
        {.broker_id = uuid_from(0x30), .name = (char[]){"b1"}, .objection = (char[]){""}, .has_answered = true, .is_voter = true, .is_chosen = true,
         .last_index = 500, .committed = 499},
        {.broker_id = uuid_from(0x40), .name = (char[]){"b4"}, .objection = (char[]){"a reason"}, .has_answered = true, .is_damaged = true},
    };
    struct message_recover_response message = {true, (char[]){""}, 1, &lost, 1, survivors, 2, 3};

    ck_assert_int_eq(message_encode_recover_response(to, &message), 0);
}

/* ---- topics ---- */

static void encode_topic_create(struct buffer *to)
{
    struct message_config configs[] = {{(char[]){"flush"}, (char[]){"async"}, false},
                                       {(char[]){"retention.ms"}, (char[]){"-1"}, false}};
    struct message_topic_create message = {(char[]){"orders"}, 12, 3, configs, 2, true, NULL, 0};

    ck_assert_int_eq(message_encode_topic_create(to, &message), 0);
}

static void encode_topic_delete(struct buffer *to)
{
    struct message_topic_delete message = {(char[]){"orders"}};

    ck_assert_int_eq(message_encode_topic_delete(to, &message), 0);
}

static void encode_topic_alter(struct buffer *to)
{
    struct message_config config = {(char[]){"flush"}, (char[]){"group"}, false};
    char *removed_keys[] = {(char[]){"retention.ms"}, (char[]){"segment.bytes"}};
    struct message_topic_alter message = {(char[]){"orders"}, 24, &config, 1, removed_keys, 2};

    ck_assert_int_eq(message_encode_topic_alter(to, &message), 0);
}

static void encode_topic_describe(struct buffer *to)
{
    char *names[] = {(char[]){"orders"}, (char[]){"payments"}};
    struct message_topic_describe message = {names, 2, true, true};

    ck_assert_int_eq(message_encode_topic_describe(to, &message), 0);
}

static void encode_topic_response(struct buffer *to)
{
    int32_t replicas[] = {1, 300, 2}, isr[] = {1, 2}, replica = 2;
    struct message_config config = {(char[]){"flush"}, (char[]){"group"}, true};
    struct message_partition partitions[] = {
        {.partition = 0,
         .leader = 1,
         .leader_epoch = 7,
         .replicas = replicas,
         .isr = isr,
         .replica_count = 3,
         .isr_count = 2,
         .shard = 3,
         .high_watermark = 1000000,
         .log_start = 128,
         .log_end = 1000007,
         .size_bytes = 100 << 20},
        {.partition = 1,
         .leader = -1,
         .leader_epoch = 9,
         .replicas = &replica,
         .replica_count = 1,
         .error = MESH_ESTORAGE,
         .problem = (char[]){"its disk has failed"}},
    };
    struct message_topic topics[] = {
        {.name = (char[]){"orders"},
         .topic_id = uuid_from(0x10),
         .configs = &config,
         .config_count = 1,
         .partitions = partitions,
         .partition_count = 2},
        {.error = MESH_EUNKNOWN_TOPIC, .name = (char[]){"payments"}},
    };
    struct message_topic_response message = {.topics = topics, .topic_count = 2};

    ck_assert_int_eq(message_encode_topic_response(to, &message), 0);
}

/* ---- offsets ---- */

static void encode_list_offsets_request(struct buffer *to)
{
    struct list_offsets_entry entries[] = {
        {uuid_from(0x10), 5, -1, 0, 0, false}, {uuid_from(0x10), 5, -2, 0, 0, false}, {uuid_from(0x20), 0, 1700000000000, 0, 0, false}};
    struct message_list_offsets_request message = {.entries = entries, .entry_count = 3};

    ck_assert_int_eq(message_encode_list_offsets_request(to, &message), 0);
}

static void encode_list_offsets_epoch(struct buffer *to)
{
    struct list_offsets_entry entry = {uuid_from(0x10), 5, -6, 3, 8, false};
    struct message_list_offsets_request message = {.entries = &entry, .entry_count = 1};

    ck_assert_int_eq(message_encode_list_offsets_request(to, &message), 0);
}

static void encode_list_offsets_response(struct buffer *to)
{
    struct list_offsets_result results[] = {
        {0, 4097, 1700000000123, 7}, {0, -1, -1, 7}, {MESH_EUNKNOWN_TOPIC, -1, 0, 0}};
    struct message_list_offsets_response message = {results, 3};

    ck_assert_int_eq(message_encode_list_offsets_response(to, &message), 0);
}

/* ---- produce and fetch ---- */

static void encode_produce_request(struct buffer *to)
{
    const struct produce_entry entries[] = {{uuid_from(0x10), 5, 7, 73}, {uuid_from(0x20), 0, -1, 74}};

    ck_assert_int_eq(produce_request_start(to, -1, 30000), 0);
    ck_assert_int_eq(produce_request_add(to, &entries[0]), 0);
    ck_assert_int_eq(produce_request_add(to, &entries[1]), 0);
}

static void recode_produce_request(struct slice message, uint32_t attachment_size, struct buffer *to)
{
    struct produce_request_reader reader;
    struct produce_entry entry;

    ck_assert_int_eq(produce_request_reader_init(&reader, message, attachment_size), 0);
    ck_assert_int_eq(produce_request_start(to, reader.acks, reader.timeout_ms), 0);
    while (produce_request_reader_next(&reader, &entry))
        ck_assert_int_eq(produce_request_add(to, &entry), 0);
    if (reader.forwards) ck_assert_int_eq(produce_request_forward(to), 0);
}

static void encode_produce_response(struct buffer *to)
{
    const struct produce_result results[] = {{0, 4096, 7, 3, 2, 1700000000000, true},
                                             {MESH_EOUT_OF_ORDER_SEQUENCE, 0, -1, 0, 0, -1, false}};

    ck_assert_int_eq(produce_response_add(to, &results[0]), 0);
    ck_assert_int_eq(produce_response_add(to, &results[1]), 0);
}

static void recode_produce_response(struct slice message, uint32_t attachment_size, struct buffer *to)
{
    struct produce_response_reader reader;
    struct produce_result result;

    ck_assert_uint_eq(attachment_size, 0);
    ck_assert_int_eq(produce_response_reader_init(&reader, message), 0);
    while (produce_response_reader_next(&reader, &result))
        ck_assert_int_eq(produce_response_add(to, &result), 0);
}

static void encode_fetch_request(struct buffer *to)
{
    const struct fetch_entry entries[] = {{uuid_from(0x10), 5, 7, 4096, 65536, false, false},
                                          {uuid_from(0x20), 0, -1, UINT64_C(1) << 40, 65536, false, false}};

    ck_assert_int_eq(fetch_request_start(to, 500, 1, 1 << 20), 0);
    ck_assert_int_eq(fetch_request_add(to, &entries[0]), 0);
    ck_assert_int_eq(fetch_request_add(to, &entries[1]), 0);
}

static void recode_fetch_request(struct slice message, uint32_t attachment_size, struct buffer *to)
{
    struct fetch_request_reader reader;
    struct fetch_entry entry;

    ck_assert_uint_eq(attachment_size, 0);
    ck_assert_int_eq(fetch_request_reader_init(&reader, message), 0);
    ck_assert_int_eq(fetch_request_start(to, reader.max_wait_ms, reader.bytes_min, reader.bytes_max), 0);
    while (fetch_request_reader_next(&reader, &entry))
        ck_assert_int_eq(fetch_request_add(to, &entry), 0);
    if (reader.forwards) ck_assert_int_eq(fetch_request_forward(to), 0);
}

static void encode_fetch_response(struct buffer *to)
{
    const struct fetch_result results[] = {{.entry = 0,
                                            .high_watermark = 4097,
                                            .log_start = 128,
                                            .next_offset = 4097,
                                            .records_size = 73,
                                            .leader_epoch = 7},
                                           {.entry = 1,
                                            .error = MESH_EOFFSET_OUT_OF_RANGE,
                                            .high_watermark = 99,
                                            .log_start = 9,
                                            .leader_epoch = 3}};

    ck_assert_int_eq(fetch_response_add(to, &results[0]), 0);
    ck_assert_int_eq(fetch_response_add(to, &results[1]), 0);
}

static void recode_fetch_response(struct slice message, uint32_t attachment_size, struct buffer *to)
{
    struct fetch_response_reader reader;
    struct fetch_result result;

    ck_assert_int_eq(fetch_response_reader_init(&reader, message, attachment_size), 0);
    while (fetch_response_reader_next(&reader, &result))
        ck_assert_int_eq(fetch_response_add(to, &result), 0);
}

/* ---- to be forwarded ---- */

static void encode_produce_forward(struct buffer *to)
{
    const struct produce_entry entry = {uuid_from(0x10), 5, -1, 73};

    ck_assert_int_eq(produce_request_start(to, 1, 1000), 0);
    ck_assert_int_eq(produce_request_add(to, &entry), 0);
    ck_assert_int_eq(produce_request_forward(to), 0);
}

static void encode_fetch_forward(struct buffer *to)
{
    const struct fetch_entry entry = {uuid_from(0x10), 5, -1, 4096, 65536, false, false};

    ck_assert_int_eq(fetch_request_start(to, 500, 1, 1 << 20), 0);
    ck_assert_int_eq(fetch_request_add(to, &entry), 0);
    ck_assert_int_eq(fetch_request_forward(to), 0);
}

static void encode_list_offsets_forward(struct buffer *to)
{
    struct list_offsets_entry entry = {uuid_from(0x10), 5, -1, 0, 0, false};
    struct message_list_offsets_request message = {.entries = &entry, .entry_count = 1, .forwards = true};

    ck_assert_int_eq(message_encode_list_offsets_request(to, &message), 0);
}

static void encode_topic_trim_request(struct buffer *to)
{
    struct topic_trim_entry entries[] = {{0, 100}, {5, -1}};
    struct message_topic_trim message = {.topic = (char *)(uintptr_t)"orders", .entries = entries, .entry_count = 2, .timeout_ms = 30000};

    ck_assert_int_eq(message_encode_topic_trim(to, &message), 0);
}

static void encode_topic_trim_response(struct buffer *to)
{
    struct topic_trim_result results[] = {{0, 0, 100}, {5, MESH_EOFFSET_OUT_OF_RANGE, 0}};
    struct message_topic_trim_response message = {.results = results, .result_count = 2, .message = (char *)(uintptr_t)"why"};

    ck_assert_int_eq(message_encode_topic_trim_response(to, &message), 0);
}

/* ---- groups ---- */

static void encode_group_commit(struct buffer *to)
{
    uint32_t partitions[] = {0, 5}, place = 1;
    int64_t offsets[] = {100, 200};
    int32_t epochs[] = {2, -1};
    struct slice text = slice_of_string("a");
    struct message_group_partitions topic = {
        .topic_id = uuid_from(0x10), .partitions = partitions, .partition_count = 2, .offsets = offsets, .offset_count = 2, .record_epochs = epochs,
        .record_epoch_count = 2, .metadata = &text, .metadata_count = 1, .metadata_places = &place, .metadata_place_count = 1};
    struct message_group_commit commit = {
        .head = {.group = slice_of_string("workers"), .forwards = true, .member = slice_of_string("m1"), .epoch = 3, .sequence = 300, .timeout_ms = 5000},
        .generation = 7, .reset_epoch = -1, .topics = &topic, .topic_count = 1};

    ck_assert_int_eq(message_encode_group_commit(to, &commit), 0);
}

static void encode_group_response(struct buffer *to)
{
    uint32_t partition = 5;
    int error = MESH_ENOT_OWNER;
    struct message_group_partitions topic = {.topic_id = uuid_from(0x10), .partitions = &partition, .partition_count = 1, .errors = &error, .error_count = 1};
    struct message_group_response response = {.error = MESH_ESTALE_EPOCH,
                                              .message = slice_of_string("stale"),
                                              .route = {.leader = 2, .epoch = 4, .shard = 1, .proof_age_ms = 300},
                                              .generation = 7,
                                              .has_work = true,
                                              .topics = &topic,
                                              .topic_count = 1};

    ck_assert_int_eq(message_encode_group_response(to, &response), 0);
}

static void encode_group_proof(struct buffer *to)
{
    struct message_group_response response = {
        .route = {.leader = 0, .epoch = 0, .heard_us = UINT64_C(1) << 40, .proof_behind_us = 2500000}, .generation = 7};

    ck_assert_int_eq(message_encode_group_response(to, &response), 0);
}

/* ---- the files ---- */

static const struct golden_case {
    const char *name;
    uint8_t flags;
    uint16_t op;
    uint32_t correlation_id;
    uint32_t batch_count; /* in the attachment */
    void (*encode)(struct buffer *to);
    void (*recode)(struct slice message, uint32_t attachment_size, struct buffer *to);
} golden_cases[] = {
    {"hello_request", 0, FRAME_OP_HELLO, 1, 0, encode_hello_request, recode_hello_request},
    {"hello_response", 1, FRAME_OP_HELLO, 1, 0, encode_hello_response, recode_hello_response},
    {"cluster_request", 0, FRAME_OP_CLUSTER, 2, 0, encode_nothing, recode_nothing},
    {"cluster_response", 1, FRAME_OP_CLUSTER, 2, 0, encode_cluster_response, recode_cluster_response},
    {"topic_create_request", 0, FRAME_OP_TOPIC_CREATE, 3, 0, encode_topic_create, recode_topic_create},
    {"topic_delete_request", 0, FRAME_OP_TOPIC_DELETE, 4, 0, encode_topic_delete, recode_topic_delete},
    {"topic_alter_request", 0, FRAME_OP_TOPIC_ALTER, 5, 0, encode_topic_alter, recode_topic_alter},
    {"topic_describe_request", 0, FRAME_OP_TOPIC_DESCRIBE, 6, 0, encode_topic_describe,
     recode_topic_describe},
    {"topic_response", 1, FRAME_OP_TOPIC_DESCRIBE, 6, 0, encode_topic_response, recode_topic_response},
    {"produce_request", 0, FRAME_OP_PRODUCE, 7, 2, encode_produce_request, recode_produce_request},
    {"produce_response", 1, FRAME_OP_PRODUCE, 7, 0, encode_produce_response, recode_produce_response},
    {"fetch_request", 0, FRAME_OP_FETCH, 8, 0, encode_fetch_request, recode_fetch_request},
    {"fetch_response", 1, FRAME_OP_FETCH, 8, 1, encode_fetch_response, recode_fetch_response},
    {"list_offsets_request", 0, FRAME_OP_LIST_OFFSETS, 9, 0, encode_list_offsets_request,
     recode_list_offsets_request},
    {"list_offsets_response", 1, FRAME_OP_LIST_OFFSETS, 9, 0, encode_list_offsets_response,
     recode_list_offsets_response},
    {"produce_forward_request", 0, FRAME_OP_PRODUCE, 17, 1, encode_produce_forward, recode_produce_request},
    {"fetch_forward_request", 0, FRAME_OP_FETCH, 18, 0, encode_fetch_forward, recode_fetch_request},
    {"list_offsets_forward_request", 0, FRAME_OP_LIST_OFFSETS, 19, 0, encode_list_offsets_forward, recode_list_offsets_request},
    {"list_offsets_epoch_request", 0, FRAME_OP_LIST_OFFSETS, 20, 0, encode_list_offsets_epoch, recode_list_offsets_request},
    {"init_producer_request", 0, FRAME_OP_INIT_PRODUCER, 10, 0, encode_nothing, recode_nothing},
    {"init_producer_response", 1, FRAME_OP_INIT_PRODUCER, 10, 0, encode_init_producer_response,
     recode_init_producer_response},
    {"status_request", 0, FRAME_OP_STATUS, 11, 0, encode_nothing, recode_nothing},
    {"status_response", 1, FRAME_OP_STATUS, 11, 0, encode_status_response, recode_status_response},
    {"status_voters_response", 1, FRAME_OP_STATUS, 20, 0, encode_status_voters_response, recode_status_response},
    {"status_bad_disk_response", 1, FRAME_OP_STATUS, 21, 0, encode_status_bad_disk_response, recode_status_response},
    {"ping_request", 0, FRAME_OP_PING, UINT32_MAX, 0, encode_nothing, recode_nothing},
    {"ping_response", 1, FRAME_OP_PING, UINT32_MAX, 0, encode_nothing, recode_nothing},
    {"members_request", 0, FRAME_OP_MEMBERS, 13, 0, encode_nothing, recode_nothing},
    {"members_response", 1, FRAME_OP_MEMBERS, 13, 0, encode_members_response, recode_members_response},
    {"leave_request", 0, FRAME_OP_LEAVE, 14, 0, encode_nothing, recode_nothing},
    {"leave_response", 1, FRAME_OP_LEAVE, 14, 0, encode_nothing, recode_nothing},
    {"keys_request", 0, FRAME_OP_KEYS, 15, 0, encode_keys_request, recode_keys_request},
    {"keys_response", 1, FRAME_OP_KEYS, 15, 0, encode_keys_response, recode_keys_response},
    {"why_request", 0, FRAME_OP_WHY, 16, 0, encode_why_request, recode_why_request},
    {"why_response", 1, FRAME_OP_WHY, 16, 0, encode_why_response, recode_why_response},
    {"remove_request", 0, FRAME_OP_REMOVE, 17, 0, encode_remove_request, recode_remove_request},
    {"remove_response", 1, FRAME_OP_REMOVE, 17, 0, encode_remove_response, recode_remove_response},
    {"recover_request", 0, FRAME_OP_RECOVER, 18, 0, encode_recover_request, recode_recover_request},
    {"recover_response", 1, FRAME_OP_RECOVER, 18, 0, encode_recover_response, recode_recover_response},
    {"why_sentences_response", 1, FRAME_OP_WHY, 21, 0, encode_why_sentences_response, recode_why_response},
    {"topic_moving_response", 1, FRAME_OP_TOPIC_DESCRIBE, 22, 0, encode_topic_moving_response, recode_topic_response},
    {"topic_move_request", 0, FRAME_OP_TOPIC_MOVE, 23, 0, encode_topic_move_request, recode_topic_move},
    {"topic_move_cancel_request", 0, FRAME_OP_TOPIC_MOVE, 24, 0, encode_topic_move_cancel_request, recode_topic_move},
    {"topic_move_response", 1, FRAME_OP_TOPIC_MOVE, 23, 0, encode_moves_response, recode_moves_response},
    {"topic_balance_request", 0, FRAME_OP_TOPIC_BALANCE, 25, 0, encode_topic_balance_request, recode_topic_balance},
    {"topic_balance_response", 1, FRAME_OP_TOPIC_BALANCE, 25, 0, encode_moves_response, recode_moves_response},
    {"topic_trim_request", 0, FRAME_OP_TOPIC_TRIM, 28, 0, encode_topic_trim_request, recode_topic_trim},
    {"topic_trim_response", 1, FRAME_OP_TOPIC_TRIM, 28, 0, encode_topic_trim_response, recode_topic_trim_response},
    {"users_request", 0, FRAME_OP_USERS, 33, 0, encode_users_request, recode_users_request},
    {"users_response", 1, FRAME_OP_USERS, 33, 0, encode_users_response, recode_users_response},
    {"group_commit_request", 0, FRAME_OP_GROUP_COMMIT, 26, 0, encode_group_commit, recode_group_commit},
    {"group_response", 3, FRAME_OP_GROUP_COMMIT, 26, 0, encode_group_response, recode_group_response},
    {"group_proof", 1, FRAME_OP_GROUP_HEARTBEAT, 27, 0, encode_group_proof, recode_group_response},
    {"error_response", 3, FRAME_OP_TOPIC_CREATE, 3, 0, encode_error, recode_error},
};

static void check_batches(struct slice attachment, uint32_t batch_count)
{
    for (; batch_count > 0; batch_count--) {
        struct record_batch_header header;
        ck_assert_int_eq(record_batch_parse_header(attachment, &header), 0);
        ck_assert_uint_le(header.size, attachment.size);
        ck_assert_int_eq(record_batch_verify(slice_of(attachment.data, header.size), &header), 0);
        ck_assert_int_eq(header.record_count, 1);
        attachment = slice_of(attachment.data + header.size, attachment.size - header.size);
    }
    ck_assert_uint_eq(attachment.size, 0);
}

START_TEST(golden_frames_are_read_and_written_for_ever)
{
    const struct golden_case *c = &golden_cases[_i];
    struct buffer frame = BUFFER_INIT, encoded = BUFFER_INIT, recoded = BUFFER_INIT;
    uint8_t header_bytes[FRAME_HEADER_SIZE];
    struct frame_header header;
    struct slice message;

    golden_frame_read(c->name, &frame);
    ck_assert_int_eq(frame_parse_header(buffer_slice(&frame), 1 << 20, &header), 0);
    ck_assert_uint_eq(header.flags, c->flags);
    ck_assert_uint_eq(header.op, c->op);
    ck_assert_uint_eq(header.correlation_id, c->correlation_id);
    ck_assert_uint_eq(frame.size, (size_t)FRAME_HEADER_SIZE + header.message_size + header.attachment_size);
    ck_assert_int_eq(frame_verify(frame.data, &header), 0);
    message = slice_of(frame.data + FRAME_HEADER_SIZE, header.message_size);

    c->encode(&encoded);
    ck_assert(slice_equal(buffer_slice(&encoded), message));
    c->recode(message, header.attachment_size, &recoded);
    ck_assert(slice_equal(buffer_slice(&recoded), message));
    check_batches(slice_of(message.data + message.size, header.attachment_size), c->batch_count);
    frame_write_header(header_bytes, &header, encoded.data);
    ck_assert_mem_eq(header_bytes, frame.data, FRAME_HEADER_SIZE);

    buffer_deinit(&frame);
    buffer_deinit(&encoded);
    buffer_deinit(&recoded);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("golden frames");
    TCase *tcase = tcase_create("golden frames");

    tcase_add_loop_test(tcase, golden_frames_are_read_and_written_for_ever, 0,
                        sizeof(golden_cases) / sizeof(golden_cases[0]));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
