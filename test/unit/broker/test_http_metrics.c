/* What /metrics says: well-formed, complete, and bounded. */
#include "base/error.h"
#include "cmd/broker/front/http/metrics_text.h"
#include "metadata_history.h"
#include "prometheus_check.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

#define SHARD_COUNT 2
#define TOPIC_COUNT 5

static struct history *history;
static struct metrics_shard shards[SHARD_COUNT];
static struct metrics_shard *shard_pointers[SHARD_COUNT];
static struct metrics_topic topics[SHARD_COUNT][TOPIC_COUNT + 1];
static struct metrics_set set;
static struct describe_facts facts;
static struct process_stats process;
static struct metrics_input input;
static struct buffer text;

static void set_up(void)
{
    history = history_new_mesh(1, "");
    memset(shards, 0, sizeof(shards));
    for (uint32_t i = 0; i < SHARD_COUNT; i++) {
        shard_pointers[i] = &shards[i];
        shards[i].shard = i;
        shards[i].connections = 3 + i;
        shards[i].requests[7] = 70 + i;
        shards[i].store.journal_sync_count = 12;
        shards[i].groups = (struct metrics_groups){.leads = 3, .records = 8 + i};
        shards[i].replicas = (struct metrics_replicas){.lag_records_max = 16 + i, .losses = 2, .streams_in = 4};
        histogram_init(&shards[i].produce_ack_ns);
        histogram_init(&shards[i].group_answer_ns);
        histogram_init(&shards[i].fetch_wait_ns);
        histogram_init(&shards[i].sync_ns);
        for (uint64_t ns = 1000; ns < 60ull * 1000 * 1000 * 1000; ns *= 3)
            histogram_record(&shards[i].sync_ns, ns);
        shards[i].topics = topics[i];
    }
    for (int i = 0; i < TOPIC_COUNT; i++) {
        char name[16];
        snprintf(name, sizeof(name), "topic-%d", i);
        history_create_topic(history, name, 2, 1);
        for (uint32_t j = 0; j < SHARD_COUNT; j++) {
            const struct image_topic *topic = image_find_topic_by_name(history->image, name);
            topics[j][i] = (struct metrics_topic){.topic_id = topic->topic_id,
                                                  .partition_count = 1,
                                                  .produced_records = 10,
                                                  .stored_bytes = 1000};
        }
    }
    for (uint32_t j = 0; j < SHARD_COUNT; j++) {
        topics[j][TOPIC_COUNT] =
            (struct metrics_topic){.topic_id = {{0xdd}}, .produced_records = 999}; /* deleted by now */
        shards[j].topic_count = TOPIC_COUNT + 1;
    }
    set = (struct metrics_set){shard_pointers, SHARD_COUNT};
    facts = (struct describe_facts){.version = "1.0 \"quoted\" \\ and\nbroken", .disk_free_bytes = 1 << 20};
    process = (struct process_stats){.cpu_seconds = 1.25, .resident_bytes = 4 << 20};
    input = (struct metrics_input){.set = &set,
                                   .image = history->image,
                                   .facts = &facts,
                                   .process = &process,
                                   .is_ready = true,
                                   .start_wall_ms = 1700000000123,
                                   .topics_max = 1000};
    text = (struct buffer)BUFFER_INIT;
}

static void tear_down(void)
{
    buffer_deinit(&text);
    history_free(history);
}

static void write_text(void)
{
    const char *wrong;

    ck_assert_int_eq(metrics_text_write(&input, &text), 0);
    wrong = prometheus_check((const char *)text.data, text.size);
    ck_assert_msg(wrong == NULL, "%s", wrong);
    ck_assert_int_eq(buffer_append(&text, "", 1), 0);
}

static double value_of(const char *sample)
{
    double value = -1;

    ck_assert_msg(prometheus_value((const char *)text.data, sample, &value), "no sample %s", sample);
    return value;
}

START_TEST(the_exposition_is_well_formed_and_has_the_numbers)
{
    write_text();
    ck_assert(value_of("mesh_connections{shard=\"0\"}") == 3);
    ck_assert(value_of("mesh_connections{shard=\"1\"}") == 4);
    ck_assert(value_of("mesh_requests_total{shard=\"1\",op=\"produce\"}") == 71);
    ck_assert(value_of("mesh_store_journal_syncs_total{shard=\"0\"}") == 12);
    ck_assert(value_of("mesh_replica_lag_records_max{shard=\"1\"}") == 17);
    ck_assert(value_of("mesh_group_partitions_led{shard=\"0\"}") == 3);
    ck_assert(value_of("mesh_group_records_total{shard=\"1\"}") == 9);
    ck_assert(value_of("mesh_replica_unclean_elections_total{shard=\"0\"}") == 2);
    ck_assert(value_of("mesh_replica_streams{shard=\"1\",direction=\"in\"}") == 4);
    ck_assert(value_of("mesh_partitions_offline") == 0);
    ck_assert(value_of("mesh_ready") == 1);
    ck_assert(value_of("mesh_coordinator_known") == 1);
    ck_assert(value_of("mesh_topics") == 5);
    ck_assert(value_of("mesh_partitions") == 10);
    ck_assert(value_of("process_cpu_seconds_total") == 1.25);
    ck_assert(value_of("process_start_time_seconds") == 1700000000.123);
    ck_assert(value_of("mesh_topic_produced_records_total{topic=\"topic-3\"}") == 20);
    ck_assert(value_of("mesh_topic_partitions{topic=\"topic-3\"}") == 2);
    ck_assert(value_of("mesh_journal_sync_seconds_count{shard=\"0\"}") == (double)shards[0].sync_ns.count);
    ck_assert(value_of("mesh_journal_sync_seconds_bucket{shard=\"0\",le=\"0.001\"}") ==
              (double)histogram_count_at_most(&shards[0].sync_ns, 1000000));
    ck_assert_ptr_null(strstr((const char *)text.data, "} 999\n")); /* the deleted topic */
    ck_assert_ptr_null(strstr((const char *)text.data, "mesh_tls_"));
}
END_TEST

START_TEST(no_coordinator_and_the_end_of_a_certificate_are_told)
{
    facts.coordinator = -1;
    facts.tls_expires_s = 1800000000;
    write_text();
    ck_assert(value_of("mesh_coordinator_known") == 0);
    ck_assert(value_of("mesh_tls_certificate_expiry_timestamp_seconds") == 1800000000);
}
END_TEST

START_TEST(topics_beyond_the_limit_are_summed)
{
    input.topics_max = (uint32_t)_i;
    write_text();
    ck_assert(value_of("mesh_topic_stored_bytes{topic=\"(other)\"}") == (TOPIC_COUNT - _i) * 2000);
    for (int i = 0; i < TOPIC_COUNT; i++) {
        char sample[64];
        double value;
        snprintf(sample, sizeof(sample), "mesh_topic_stored_bytes{topic=\"topic-%d\"}", i);
        ck_assert_int_eq(prometheus_value((const char *)text.data, sample, &value), i < _i);
    }
}
END_TEST

START_TEST(a_broker_without_topics_is_well_formed)
{
    for (int i = 0; i < SHARD_COUNT; i++)
        shards[i].topic_count = 0;
    write_text();
}
END_TEST

START_TEST(it_survives_every_failed_allocation)
{
    int err = 0;

    failing_alloc_each(n)
    {
        buffer_deinit(&text);
        failing_alloc_arm(n);
        err = metrics_text_write(&input, &text);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
    ck_assert_int_eq(err, 0);
}
END_TEST

START_TEST(the_process_is_measured)
{
    struct process_stats stats;

    process_stats_read(&stats);
    ck_assert_uint_gt(stats.resident_bytes, 100000);
    ck_assert_uint_gt(stats.virtual_bytes, stats.resident_bytes);
    ck_assert_uint_ge(stats.open_fds, 1);
    ck_assert_uint_ge(stats.max_fds, stats.open_fds);
    ck_assert_uint_eq(stats.threads, 1);
}
END_TEST

static const struct {
    const char *text, *said;
} checker_cases[] = {
    {"# HELP a b\n# TYPE a gauge\na 1\n", NULL},
    {"# HELP a b\n# TYPE a gauge\na 1", "newline"},
    {"a 1\n", "outside its family"},
    {"# HELP a b\n# TYPE a counter\na 1\n", "_total"},
    {"# HELP a b\n# TYPE a gauge\na x\n", "bad value"},
    {"# HELP a b\n# TYPE a gauge\na{b=\"c} 1\n", "bad labels"},
    {"# HELP a b\n# TYPE a gauge\na 1\na 2\n", "twice"},
    {"# HELP a b\n# TYPE a gauge\na 1\n# HELP c d\n# TYPE c gauge\nc 1\n# HELP a b\n", "not together"},
    {"# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\n", "fall"},
    {"# HELP h x\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n", "+Inf"},
};

START_TEST(the_checker_itself_notices)
{
    const char *wrong = prometheus_check(checker_cases[_i].text, strlen(checker_cases[_i].text));

    if (checker_cases[_i].said == NULL)
        ck_assert_ptr_null(wrong);
    else
        ck_assert_msg(wrong != NULL && strstr(wrong, checker_cases[_i].said) != NULL, "%s", wrong);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
    Suite *suite = suite_create("http_metrics");
    TCase *tcase = tcase_create("http_metrics");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, the_exposition_is_well_formed_and_has_the_numbers);
    tcase_add_test(tcase, no_coordinator_and_the_end_of_a_certificate_are_told);
    tcase_add_loop_test(tcase, topics_beyond_the_limit_are_summed, 0, TOPIC_COUNT);
    tcase_add_test(tcase, a_broker_without_topics_is_well_formed);
    tcase_add_test(tcase, it_survives_every_failed_allocation);
    tcase_add_test(tcase, the_process_is_measured);
    tcase_add_loop_test(tcase, the_checker_itself_notices, 0, ROWS(checker_cases));
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
