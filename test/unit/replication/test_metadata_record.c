/* Metadata records: bytes, chain, and bodies that lie. */
#include "base/bytes.h"
#include "base/error.h"
#include "replication/coordinator/record_body.h"
#include "support/run_suite.h"

#include <stdlib.h>

static struct metadata_record sample(void)
{
    static const uint8_t previous[METADATA_CHAIN_SIZE] = {1, 2, 3};
    struct metadata_record record = {.index = 7,
                                     .term = 3,
                                     .kind = METADATA_TOPIC_DELETED,
                                     .key = slice_of_string("sixteen bytes ok"),
                                     .body = slice_of("\1", 1)};

    metadata_record_chain(previous, &record, record.chain);
    return record;
}

START_TEST(a_record_reads_back_as_written_and_needs_every_byte)
{
    struct metadata_record record = sample(), read;
    struct buffer bytes = BUFFER_INIT;
    size_t size = 0;

    ck_assert_int_eq(metadata_record_encode(&bytes, &record), 0);
    ck_assert_uint_eq(bytes.size, metadata_record_size(&record));
    for (size_t cut = 0; cut < bytes.size; cut++)
        ck_assert_int_eq(metadata_record_decode(slice_of(bytes.data, cut), &read, &size), MESH_EAGAIN);
    ck_assert_int_eq(buffer_append(&bytes, "more", 4), 0);
    ck_assert_int_eq(metadata_record_decode(buffer_slice(&bytes), &read, &size), 0);
    ck_assert_uint_eq(size, bytes.size - 4);
    ck_assert_uint_eq(read.index, 7);
    ck_assert_uint_eq(read.term, 3);
    ck_assert_uint_eq(read.kind, METADATA_TOPIC_DELETED);
    ck_assert(slice_equal(read.key, record.key));
    ck_assert(slice_equal(read.body, record.body));
    ck_assert_mem_eq(read.chain, record.chain, METADATA_CHAIN_SIZE);
    buffer_deinit(&bytes);
}
END_TEST

static const struct {
    size_t position;
    uint8_t bytes[4];
    size_t size;
} lie_cases[] = {
    {0, {0}, 1},                       /* index 0 */
    {16, {0, 0}, 2},                   /* kind 0 */
    {18, {0, 1}, 2},                   /* key of 256 bytes */
    {20, {0xff, 0xff, 0xff, 0xff}, 4}, /* body of 4 GiB */
    {20, {1, 0, 0x80, 0}, 4},          /* body of 8 MiB and 1 */
};

START_TEST(a_record_with_impossible_fields_is_corrupt)
{
    struct metadata_record record = sample(), read;
    struct buffer bytes = BUFFER_INIT;
    size_t size = 0;

    ck_assert_int_eq(metadata_record_encode(&bytes, &record), 0);
    memcpy(bytes.data + lie_cases[_i].position, lie_cases[_i].bytes, lie_cases[_i].size);
    ck_assert_int_eq(metadata_record_decode(buffer_slice(&bytes), &read, &size), MESH_ECORRUPT);
    ck_assert_uint_eq(size, 0);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(the_chain_depends_on_every_byte)
{
    struct metadata_record record = sample(), changed;
    uint8_t previous[METADATA_CHAIN_SIZE] = {1, 2, 3}, chain[METADATA_CHAIN_SIZE];

    metadata_record_chain(previous, &record, chain);
    ck_assert_mem_eq(chain, record.chain, sizeof(chain));
    previous[31] ^= 1;
    metadata_record_chain(previous, &record, chain);
    ck_assert_mem_ne(chain, record.chain, sizeof(chain));
    previous[31] ^= 1;
    for (int field = 0; field < 5; field++) {
        changed = record;
        if (field == 0) changed.index++;
        if (field == 1) changed.term++;
        if (field == 2) changed.kind++;
        if (field == 3) changed.key.size--; /* the same bytes split otherwise are another record */
        if (field == 4) changed.body = slice_of("\2", 1);
        metadata_record_chain(previous, &changed, chain);
        ck_assert_mem_ne(chain, record.chain, sizeof(chain));
    }
}
END_TEST

START_TEST(a_record_too_large_is_not_written)
{
    struct metadata_record record = sample();
    struct buffer bytes = BUFFER_INIT;

    record.key.size = METADATA_KEY_SIZE_MAX + 1;
    ck_assert_int_eq(metadata_record_encode(&bytes, &record), MESH_ETOOLARGE);
    record = sample();
    record.body.size = (size_t)METADATA_BODY_SIZE_MAX + 1;
    ck_assert_int_eq(metadata_record_encode(&bytes, &record), MESH_ETOOLARGE);
    ck_assert_uint_eq(bytes.size, 0);
    buffer_deinit(&bytes);
}
END_TEST

/* ---- bodies ---- */

#define BYTES(...)                                                                                           \
    {                                                                                                        \
        (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})                               \
    }

/* version 1, name "t", configs, placements of (count, replicas) */
static const struct {
    struct slice body;
    int want;
    uint32_t partitions, configs;
} topic_cases[] = {
    {BYTES(1, 1, 't', 0, 1, 3, 1, 2), 0, 3, 0},
    {BYTES(1, 1, 't', 1, 0, 2, 1, 3, 1, 2), 0, 3, 1},       /* flush = async (zigzag 2 is 1) */
    {BYTES(1, 0, 0, 0), 0, 0, 0},                           /* altered: nothing */
    {BYTES(1, 1, 't', 0, 2, 3, 1, 2, 4, 2, 2, 4), 0, 7, 0}, /* 3 on broker 1, then 4 on brokers 1 and 2 */
    {BYTES(2, 1, 't', 0, 1, 3, 1, 2), MESH_EVERSION, 0, 0},
    {BYTES(0, 1, 't', 0, 1, 3, 1, 2), MESH_ECORRUPT, 0, 0},
    {BYTES(1, 1, 0, 0, 1, 3, 1, 2), MESH_ECORRUPT, 0, 0},      /* a name with NUL */
    {BYTES(1, 0xff, 0xff, 3, 't'), MESH_ECORRUPT, 0, 0},       /* a name longer than its limit */
    {BYTES(1, 1, 't', 0, 1, 0, 1, 2), MESH_ECORRUPT, 0, 0},    /* a run of none */
    {BYTES(1, 1, 't', 0, 1, 3, 0), MESH_ECORRUPT, 0, 0},       /* no replicas */
    {BYTES(1, 1, 't', 0, 1, 3, 17), MESH_ECORRUPT, 0, 0},      /* 17 replicas */
    {BYTES(1, 1, 't', 0, 1, 3, 2, 2, 2), MESH_ECORRUPT, 0, 0}, /* the same broker twice */
    {BYTES(1, 1, 't', 0, 1, 3, 1, 0), MESH_ECORRUPT, 0, 0},    /* node 0 */
    {BYTES(1, 1, 't', 0, 1, 3, 1, 1), MESH_ECORRUPT, 0, 0},    /* node -1 */
    {BYTES(1, 1, 't', 0, 2, 0xa0, 0x8d, 6, 1, 2, 1, 1, 2), MESH_ECORRUPT, 0, 0}, /* 100,001 partitions */
    {BYTES(1, 1, 't', 0, 1, 3, 1, 2, 0), MESH_ECORRUPT, 0, 0},                   /* a byte too many */
    {BYTES(1, 1, 't', 2, 0, 2, 0, 2, 0), MESH_ECORRUPT, 0, 0},                   /* a setting twice */
    {BYTES(1, 1, 't', 1, 99, 2, 0), MESH_ECORRUPT, 0, 0},                        /* an unknown setting */
    {BYTES(1, 1, 't', 1, 0, 8, 0), MESH_ECORRUPT, 0, 0},                         /* an illegal value */
};

START_TEST(a_topic_body_is_judged_before_it_is_used)
{
    struct body_topic topic;
    struct body_placement placement;
    uint32_t runs = 0, partitions = 0;
    uint8_t *exact = malloc(topic_cases[_i].body.size);

    memcpy(exact, topic_cases[_i].body.data, topic_cases[_i].body.size);
    ck_assert_int_eq(body_decode_topic(slice_of(exact, topic_cases[_i].body.size), &topic),
                     topic_cases[_i].want);
    if (topic_cases[_i].want == 0) {
        ck_assert_uint_eq(topic.partition_count, topic_cases[_i].partitions);
        ck_assert_uint_eq(topic.config_count, topic_cases[_i].configs);
        while (body_placement_next(&topic, &placement)) {
            runs++;
            partitions += placement.count;
        }
        ck_assert_uint_eq(runs, topic.placement_count);
        ck_assert_uint_eq(partitions, topic.partition_count);
    }
    free(exact);
}
END_TEST

START_TEST(bodies_cut_anywhere_are_corrupt)
{
    struct body_broker broker = {.node_id = 1,
                                 .boot = 300,
                                 .port = 9092,
                                 .shard_count = 2,
                                 .name = slice_of_string("name"),
                                 .host = slice_of_string("host"),
                                 .zone = slice_of_string("")};
    struct body_partition partitions[2] = {
        {.partition = 0, .leader = 1, .replica_count = 1, .replicas = {1}, .isr = 1},
        {.partition = 99999,
         .leader = -1,
         .leader_epoch = INT32_MAX,
         .replica_count = 2,
         .replicas = {1, 2},
         .isr = 0}};
    struct body_producer_ids ids = {1, 1000, 1000};
    struct codec_reader reader;
    struct buffer bytes = BUFFER_INIT;
    uint32_t count;

    ck_assert_int_eq(body_encode_broker(&bytes, &broker), 0);
    for (size_t cut = 0; cut < bytes.size; cut++)
        ck_assert_int_eq(body_decode_broker(slice_of(bytes.data, cut), &broker), MESH_ECORRUPT);
    ck_assert_int_eq(body_decode_broker(buffer_slice(&bytes), &broker), 0);
    ck_assert_uint_eq(broker.boot, 300);
    buffer_clear(&bytes);
    ck_assert_int_eq(body_encode_partitions(&bytes, partitions, 2), 0);
    for (size_t cut = 0; cut < bytes.size; cut++)
        ck_assert_int_eq(body_decode_partitions(slice_of(bytes.data, cut), &reader, &count), MESH_ECORRUPT);
    ck_assert_int_eq(body_decode_partitions(buffer_slice(&bytes), &reader, &count), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(body_partition_next(&reader, &partitions[0]), 0);
    ck_assert_int_eq(body_partition_next(&reader, &partitions[1]), 0);
    ck_assert_int_eq(partitions[1].leader_epoch, INT32_MAX);
    buffer_clear(&bytes);
    ck_assert_int_eq(body_encode_producer_ids(&bytes, &ids), 0);
    for (size_t cut = 0; cut < bytes.size; cut++)
        ck_assert_int_eq(body_decode_producer_ids(slice_of(bytes.data, cut), &ids), MESH_ECORRUPT);
    buffer_deinit(&bytes);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
    Suite *suite = suite_create("metadata_record");
    TCase *tcase = tcase_create("metadata_record");

    tcase_add_test(tcase, a_record_reads_back_as_written_and_needs_every_byte);
    tcase_add_loop_test(tcase, a_record_with_impossible_fields_is_corrupt, 0, ROWS(lie_cases));
    tcase_add_test(tcase, the_chain_depends_on_every_byte);
    tcase_add_test(tcase, a_record_too_large_is_not_written);
    tcase_add_loop_test(tcase, a_topic_body_is_judged_before_it_is_used, 0, ROWS(topic_cases));
    tcase_add_test(tcase, bodies_cut_anywhere_are_corrupt);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
