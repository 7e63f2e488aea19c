/* Metadata commands: bytes, chain, and bodies that lie. */
#include "base/bytes.h"
#include "base/error.h"
#include "replication/coordinator/record_body.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

static const struct metadata_change samples[] = {
    {METADATA_TOPIC_DELETED, {(const uint8_t *)"sixteen bytes ok", 16}, {(const uint8_t *)"\1", 1}},
    {METADATA_PRODUCER_IDS_ALLOCATED, {(const uint8_t *)"", 0}, {(const uint8_t *)"body", 4}},
    {UINT16_MAX, {(const uint8_t *)"k", 1}, {(const uint8_t *)"", 0}}, /* a kind of a newer mesh is structure, too */
};

START_TEST(a_command_reads_back_as_written_and_needs_every_byte)
{
    struct buffer bytes = BUFFER_INIT;
    size_t ends[3] = {0};
    struct codec_reader reader;
    struct metadata_change read;

    ck_assert_int_eq(metadata_command_start(&bytes), 0);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(metadata_command_add(&bytes, &samples[i]), 0);
        ends[i] = bytes.size;
    }
    for (size_t cut = 0; cut < bytes.size; cut++) {
        bool is_whole = cut == ends[0] || cut == ends[1]; /* fewer changes are a command as well */
        ck_assert_int_eq(metadata_command_open(slice_of(bytes.data, cut), &reader), is_whole ? 0 : MESH_ECORRUPT);
    }
    ck_assert_int_eq(metadata_command_open(buffer_slice(&bytes), &reader), 0);
    for (size_t i = 0; i < 3; i++) {
        ck_assert(metadata_command_next(&reader, &read));
        ck_assert_uint_eq(read.kind, samples[i].kind);
        ck_assert(slice_equal(read.key, samples[i].key));
        ck_assert(slice_equal(read.body, samples[i].body));
    }
    ck_assert(!metadata_command_next(&reader, &read));
    buffer_deinit(&bytes);
}
END_TEST

static const struct {
    struct slice bytes;
    int want;
} command_cases[] = {
    {{(const uint8_t *)"\1\5\0\0", 4}, 0},
    {{(const uint8_t *)"\2\5\0\0", 4}, MESH_EVERSION},
    {{(const uint8_t *)"\0\5\0\0", 4}, MESH_ECORRUPT},
    {{(const uint8_t *)"\1\0\0\0", 4}, MESH_ECORRUPT},                     /* kind 0 */
    {{(const uint8_t *)"\1\x80\x80\4\0\0", 6}, MESH_ECORRUPT},             /* kind 65,536 */
    {{(const uint8_t *)"\1\5\x80\2\0", 5}, MESH_ECORRUPT},                 /* a key of 256 bytes */
    {{(const uint8_t *)"\1\5\0\x81\x80\x80\4", 7}, MESH_ECORRUPT},         /* a body of 8 MiB and 1 */
    {{(const uint8_t *)"\1\5\0\0\0", 5}, MESH_ECORRUPT},                   /* a byte too many */
    {{(const uint8_t *)"\1", 1}, MESH_ECORRUPT},                             /* no change */
};

START_TEST(a_command_with_impossible_fields_is_corrupt)
{
    struct codec_reader reader;

    ck_assert_int_eq(metadata_command_open(command_cases[_i].bytes, &reader), command_cases[_i].want);
}
END_TEST

START_TEST(the_chain_depends_on_every_byte)
{
    struct raft_entry entry = {.index = 7, .term = 3, .type = RAFT_ENTRY_COMMAND, .body = slice_of("body", 4)}, changed;
    uint8_t previous[RAFT_CHAIN_SIZE] = {1, 2, 3}, chain[RAFT_CHAIN_SIZE];

    metadata_chain(previous, &entry, entry.chain);
    metadata_chain(previous, &entry, chain);
    ck_assert_mem_eq(chain, entry.chain, sizeof(chain));
    previous[31] ^= 1;
    metadata_chain(previous, &entry, chain);
    ck_assert_mem_ne(chain, entry.chain, sizeof(chain));
    previous[31] ^= 1;
    for (int field = 0; field < 5; field++) {
        changed = entry;
        if (field == 0) changed.index++;
        if (field == 1) changed.term++;
        if (field == 2) changed.type = RAFT_ENTRY_CONFIG;
        if (field == 3) changed.body.size--;
        if (field == 4) changed.body = slice_of("bodz", 4);
        metadata_chain(previous, &changed, chain);
        ck_assert_mem_ne(chain, entry.chain, sizeof(chain));
    }
}
END_TEST

/* Golden: every broker, of every version, must compute the same. */
START_TEST(the_chain_is_what_it_always_was)
{
    static const char want[] = "587924923b5ae28e9265f62fe1e391e945a5292d00b46bc2593cfcdcb4444d83";
    struct raft_entry entry = {.index = 1, .term = 1, .type = RAFT_ENTRY_COMMAND, .body = slice_of("abc", 3)};
    uint8_t previous[RAFT_CHAIN_SIZE] = {0}, chain[RAFT_CHAIN_SIZE];
    char hex[2 * RAFT_CHAIN_SIZE + 1];

    metadata_chain(previous, &entry, chain);
    for (size_t i = 0; i < RAFT_CHAIN_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", chain[i]);
    ck_assert_str_eq(hex, want);
}
END_TEST

START_TEST(a_change_too_large_is_not_written)
{
    struct metadata_change change = samples[0];
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(metadata_command_start(&bytes), 0);
    change.key.size = METADATA_KEY_SIZE_MAX + 1;
    ck_assert_int_eq(metadata_command_add(&bytes, &change), MESH_ETOOLARGE);
    change = samples[0];
    change.body.size = (size_t)METADATA_BODY_SIZE_MAX + 1;
    ck_assert_int_eq(metadata_command_add(&bytes, &change), MESH_ETOOLARGE);
    ck_assert_uint_eq(bytes.size, 1);
    change.body.data = calloc(1, METADATA_BODY_SIZE_MAX);
    change.body.size = METADATA_BODY_SIZE_MAX;
    ck_assert_int_eq(metadata_command_add(&bytes, &change), 0);
    ck_assert_int_eq(metadata_command_add(&bytes, &change), MESH_ETOOLARGE); /* the entry would be */
    ck_assert_uint_lt(bytes.size, RAFT_BODY_SIZE_MAX);
    free((void *)(uintptr_t)change.body.data);
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
        {.partition = 0, .leader = 1, .replica_count = 1, .replicas = {1}, .isr = 1, .is_pinned = true},
        {.partition = 99999,
         .leader = -1,
         .leader_epoch = INT32_MAX,
         .replica_count = 2,
         .replicas = {1, 2},
         .elr = 1,
         .fresh = 2,
         .election = {IMAGE_ELECTION_FENCED, 2, {{.score = -1, .node_id = 1}, {.score = INT64_MAX, .node_id = 2, .load = 255}}}}};
    struct body_producer_ids ids = {1, 1000, 1000};
    struct codec_reader reader;
    struct buffer bytes = BUFFER_INIT;
    size_t first_end;

    ck_assert_int_eq(body_encode_broker(&bytes, &broker), 0);
    for (size_t cut = 0; cut < bytes.size; cut++)
        ck_assert_int_eq(body_decode_broker(slice_of(bytes.data, cut), &broker), MESH_ECORRUPT);
    ck_assert_int_eq(body_decode_broker(buffer_slice(&bytes), &broker), 0);
    ck_assert_uint_eq(broker.boot, 300);
    buffer_clear(&bytes);
    ck_assert_int_eq(body_encode_partitions(&bytes, partitions, 1), 0);
    first_end = bytes.size;
    ck_assert_int_eq(body_encode_partition(&bytes, &partitions[1]), 0);
    for (size_t cut = 0; cut < bytes.size; cut++)
        ck_assert_int_eq(body_decode_partitions(slice_of(bytes.data, cut), &reader),
                         cut == first_end || cut == 1 ? 0 : MESH_ECORRUPT);
    ck_assert_int_eq(body_decode_partitions(buffer_slice(&bytes), &reader), 0);
    ck_assert(body_partition_next(&reader, &partitions[0]));
    ck_assert_uint_eq(partitions[0].election.reason, IMAGE_ELECTION_NONE);
    ck_assert(partitions[0].is_pinned);
    ck_assert(body_partition_next(&reader, &partitions[1]));
    ck_assert_int_eq(partitions[1].leader_epoch, INT32_MAX);
    ck_assert_uint_eq(partitions[1].elr, 1);
    ck_assert_uint_eq(partitions[1].fresh, 2);
    ck_assert_int_eq(partitions[1].election.candidates[1].score, INT64_MAX);
    ck_assert(!body_partition_next(&reader, &partitions[1]));
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

    tcase_add_test(tcase, a_command_reads_back_as_written_and_needs_every_byte);
    tcase_add_loop_test(tcase, a_command_with_impossible_fields_is_corrupt, 0, ROWS(command_cases));
    tcase_add_test(tcase, the_chain_depends_on_every_byte);
    tcase_add_test(tcase, the_chain_is_what_it_always_was);
    tcase_add_test(tcase, a_change_too_large_is_not_written);
    tcase_add_loop_test(tcase, a_topic_body_is_judged_before_it_is_used, 0, ROWS(topic_cases));
    tcase_add_test(tcase, bodies_cut_anywhere_are_corrupt);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
