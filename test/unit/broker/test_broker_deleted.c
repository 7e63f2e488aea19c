/* Records that were deleted are served to no client, though their bytes are there: a log that begins inside a batch, over the native door. They are deleted while the
 * broker is stopped, through the store that it opens next. */
#include "base/error.h"
#include "broker_fixture.h"
#include "cmd/broker/ops/list_offsets.h"
#include "raw_client.h"
#include "segment/recovery.h"
#include "segment/store.h"
#include "support/run_suite.h"
#include "wire/record_batch.h"

#include <check.h>
#include <sched.h>
#include <stdatomic.h>

#define IDS_MAX 8

static struct broker_fixture fixture;
static struct raw_client client;

static void setup(void)
{
    broker_fixture_init(&fixture);
    broker_fixture_start(&fixture);
    raw_hello(&client, fixture.port, -1);
}

static void teardown(void)
{
    raw_close(&client);
    broker_fixture_deinit(&fixture);
}

/* ---- the broker's logs, without it ---- */

static struct plog_id ids[IDS_MAX];
static unsigned id_count;

static void note_id(void *user, const struct plog_id *id)
{
    (void)user;
    ck_assert_uint_lt(id_count, IDS_MAX);
    ids[id_count++] = *id;
}

static void drain(struct store *store)
{
    uint64_t now_ms = 1;

    store_drain(store);
    for (int turn = 0; turn < 1000 && !store_is_drained(store); turn++) {
        store_end_turn(store, now_ms += 10, raw_now_ms());
        for (int lane = 0; lane < STORE_LANE_COUNT; lane++) {
            struct store_job *job;

            while ((job = store_next_job(store, (enum store_lane)lane)) != NULL) {
                store_job_run(job);
                store_job_complete(store, job);
            }
        }
    }
    ck_assert(store_is_drained(store));
    ck_assert_int_eq(store_drain_error(store), 0);
}

/* One store takes all logs: whoever names a log last is right. */
static void delete_before(const struct uuid *topic, uint32_t partition, uint64_t offset)
{
    struct recovery_catalog *catalog;
    struct recovery_report report;
    struct store_options options;
    struct plog_config config;
    struct store *store;
    struct fs *fs;
    bool is_done = false;

    ck_assert_int_eq(fs_real_new(fixture.data_dir, &fs), 0);
    ck_assert_int_eq(recovery_run(fs, NULL, NULL, &catalog, &report), 0);
    ck_assert(report.was_clean);
    store_options_init(&options, fs, 0);
    options.free_bytes_min = 0;
    options.manifest_generation = report.generation + 1;
    ck_assert_int_eq(store_open(&options, &store), 0);
    plog_config_init(&config);
    id_count = 0;
    recovery_each(catalog, note_id, NULL);
    for (unsigned i = 0; i < id_count; i++) {
        struct plog *plog;

        ck_assert_int_eq(store_open_log(store, &ids[i], &config, recovery_take(catalog, &ids[i]), &plog), 0);
        if (!uuid_equal(&ids[i].topic_id, topic) || ids[i].partition != partition) continue;
        ck_assert_int_eq(plog_delete_before(plog, offset), 0);
        is_done = true;
    }
    ck_assert(is_done);
    recovery_catalog_free(catalog);
    drain(store);
    store_close(store);
    fs->ops->free(fs);
}

/* ---- what clients see ---- */

static struct fetch_result fetch(const struct uuid *topic, uint64_t offset, struct buffer *records)
{
    const struct raw_fetch patient = {.max_wait_ms = 60000, .bytes_min = 1, .bytes_max = 1 << 20};
    struct fetch_entry entry = {*topic, 0, -1, offset, 1 << 20, false, false};
    struct fetch_result result;

    buffer_clear(records);
    ck_assert_uint_eq(raw_fetch_results(&client, raw_fetch_send(&client, &patient, &entry, 1), &result, 1, records), 1);
    return result;
}

START_TEST(readers_begin_where_the_records_do)
{
    int64_t start_ms = raw_now_ms() - 60000;
    struct buffer records = BUFFER_INIT;
    struct record_batch_header header;
    struct fetch_result result;
    struct uuid topic = raw_topic_create(&client, "deleted", 1, NULL, NULL);

    for (int i = 0; i < 4; i++) {
        struct buffer batch = raw_batch(5, 100, -1, -1, start_ms + i * 1000);

        ck_assert_int_eq(raw_produce(&client, &topic, 0, &batch).error, 0);
        buffer_deinit(&batch);
    }
    ck_assert_int_eq(raw_list_offsets(&client, &topic, 0, start_ms).offset, 0);
    raw_close(&client);
    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    delete_before(&topic, 0, 7);
    broker_fixture_start(&fixture);
    raw_hello(&client, fixture.port, -1);
    ck_assert_int_eq(raw_list_offsets(&client, &topic, 0, -2).offset, 7);
    ck_assert_int_eq(raw_list_offsets(&client, &topic, 0, -1).offset, 20);
    ck_assert_int_ge(raw_list_offsets(&client, &topic, 0, start_ms).offset, 7);
    result = fetch(&topic, 6, &records);
    ck_assert_int_eq(result.error, MESH_EOFFSET_OUT_OF_RANGE);
    ck_assert_uint_eq(result.log_start, 7);
    ck_assert_uint_eq(records.size, 0);
    result = fetch(&topic, 7, &records);
    ck_assert_int_eq(result.error, 0);
    ck_assert_uint_eq(result.log_start, 7);
    ck_assert_int_eq(record_batch_parse_header(buffer_slice(&records), &header), 0);
    ck_assert_int_eq(header.base_offset, 5); /* the whole batch that holds it */
    ck_assert_uint_eq(result.next_offset, 20);
    buffer_deinit(&records);
}
END_TEST

/* All of them: the log is empty, and goes on where it was. */
START_TEST(who_deletes_all_leaves_an_end)
{
    struct buffer batch = raw_batch(5, 100, -1, -1, raw_now_ms());
    struct uuid topic = raw_topic_create(&client, "emptied", 1, NULL, NULL);

    ck_assert_int_eq(raw_produce(&client, &topic, 0, &batch).error, 0);
    raw_close(&client);
    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    delete_before(&topic, 0, 5);
    broker_fixture_start(&fixture);
    raw_hello(&client, fixture.port, -1);
    ck_assert_int_eq(raw_list_offsets(&client, &topic, 0, -2).offset, 5);
    ck_assert_int_eq(raw_list_offsets(&client, &topic, 0, -1).offset, 5);
    ck_assert_uint_eq(raw_produce(&client, &topic, 0, &batch).base_offset, 5);
    ck_assert_int_eq(raw_list_offsets(&client, &topic, 0, -2).offset, 5);
    ck_assert_int_eq(raw_list_offsets(&client, &topic, 0, -1).offset, 10);
    buffer_deinit(&batch);
}
END_TEST

/* ---- who deletes, and is waited for ---- */

static atomic_bool is_deaf;   /* leaders say where records begin as if they had not heard of any deletion */
static atomic_uint ask_count; /* since then */

int __real_list_offsets_submit(struct shard *shard, const struct list_offsets_entry *entry, bool forwards, list_offsets_done_fn *done, void *owner, uint64_t tag);
int __wrap_list_offsets_submit(struct shard *shard, const struct list_offsets_entry *entry, bool forwards, list_offsets_done_fn *done, void *owner, uint64_t tag);

int __wrap_list_offsets_submit(struct shard *shard, const struct list_offsets_entry *entry, bool forwards, list_offsets_done_fn *done, void *owner, uint64_t tag)
{
    if (!atomic_load(&is_deaf) || entry->timestamp_ms != LIST_OFFSETS_EARLIEST) return __real_list_offsets_submit(shard, entry, forwards, done, owner, tag);
    atomic_fetch_add(&ask_count, 1);
    done(owner, tag, &(struct list_offsets_result){.offset = 0});
    return 0;
}

/* Nobody leads it any more who could say that it heard of the deletion. */
START_TEST(who_deletes_records_of_a_topic_that_goes_is_told_so)
{
    struct uuid topic = raw_topic_create(&client, "going", 1, NULL, NULL);
    struct buffer batch = raw_batch(5, 100, -1, -1, raw_now_ms()), message = BUFFER_INIT;
    struct topic_trim_entry entry = {0, 3};
    struct message_topic_trim request = {.topic = (char *)(uintptr_t)"going", .entries = &entry, .entry_count = 1, .timeout_ms = 20000};
    struct message_topic_trim_response response;
    struct raw_client other;
    struct raw_frame frame;
    uint32_t correlation_id;

    ck_assert_int_eq(raw_produce(&client, &topic, 0, &batch).error, 0);
    raw_hello(&other, fixture.port, -1);
    atomic_store(&is_deaf, true);
    ck_assert_int_eq(message_encode_topic_trim(&message, &request), 0);
    correlation_id = raw_send(&client, FRAME_OP_TOPIC_TRIM, buffer_slice(&message), slice_of(NULL, 0));
    while (atomic_load(&ask_count) < 3) /* once before it is written down */
        sched_yield();
    raw_topic_delete(&other, "going");
    raw_expect(&client, correlation_id, &frame);
    ck_assert_int_eq(message_decode_topic_trim_response(buffer_slice(&frame.message), &response), 0);
    ck_assert_uint_eq(response.result_count, 1);
    ck_assert_int_eq(response.results[0].error, MESH_EUNKNOWN_TOPIC);
    message_deinit_topic_trim_response(&response);
    raw_frame_deinit(&frame);
    raw_close(&other);
    buffer_deinit(&message);
    buffer_deinit(&batch);
    atomic_store(&is_deaf, false);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("broker_deleted");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, readers_begin_where_the_records_do);
    tcase_add_test(tcase, who_deletes_all_leaves_an_end);
    tcase_add_test(tcase, who_deletes_records_of_a_topic_that_goes_is_told_so);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
