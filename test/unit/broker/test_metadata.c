/* The broker's metadata as a whole on one disk: founding, registering, topics, producer ids; on a disk that loses power at every
 * operation, fails, or is full. */
#include "base/error.h"
#include "base/fs_whole.h"
#include "base/log.h"
#include "cmd/broker/metadata/disk.h"
#include "metadata_home.h"
#include "replication/coordinator/record.h"
#include "support/failing_alloc.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <stdio.h>

#define TEXT(literal) ((char *)(uintptr_t)(literal)) /* for the messages, whose strings are not const */

static struct fs_mem *mem;
static struct fs *fs;
static struct metadata_home home;

static void set_up(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    mem = fs_mem_new(1);
    fs = fs_mem_fs(mem);
}

static void tear_down(void)
{
    fs->ops->free(fs);
    fs_mem_free(mem);
}

static void open_home(void)
{
    ck_assert_msg(metadata_home_open(&home, fs, NULL) == 0, "%s", home.message);
    ck_assert_int_eq(metadata_home_start(&home), 0);
}

static const struct image *image(void)
{
    return metadata_image(home.metadata);
}

/* ---- a broker's life ---- */

START_TEST(a_new_directory_becomes_a_mesh_of_one)
{
    struct uuid cluster_id, broker_id;
    struct metadata_answer answer;

    open_home();
    cluster_id = *image_cluster_id(image());
    broker_id = home.identity.broker_id;
    ck_assert(!uuid_is_zero(&cluster_id));
    ck_assert(uuid_equal(&home.identity.cluster_id, &cluster_id));
    ck_assert_int_eq(metadata_status(home.metadata)->node_id, 1);
    ck_assert(uuid_equal(&metadata_status(home.metadata)->coordinator, &broker_id));
    ck_assert_int_eq(metadata_home_create(&home, "orders", 3, &answer), 0);
    metadata_home_close(&home);
    fs_mem_reboot(mem, FS_MEM_LOSE_UNSYNCED);
    open_home();
    ck_assert(uuid_equal(image_cluster_id(image()), &cluster_id));
    ck_assert(uuid_equal(&home.identity.broker_id, &broker_id));
    ck_assert_int_eq(metadata_status(home.metadata)->node_id, 1);
    ck_assert_ptr_nonnull(image_find_topic_by_name(image(), "orders"));
    metadata_home_close(&home);
    metadata_close(NULL);
}
END_TEST

START_TEST(leader_epochs_rise_at_each_start)
{
    struct image_partition partition;
    struct metadata_answer answer;

    for (int32_t boot = 1; boot <= 4; boot++) {
        open_home();
        if (boot == 1) ck_assert_int_eq(metadata_home_create(&home, "wide", 10000, &answer), 0);
        ck_assert(image_topic_partition(image_find_topic_by_name(image(), "wide"), 9999, &partition));
        ck_assert_int_eq(partition.leader_epoch, boot - 1);
        ck_assert_int_eq(partition.leader, 1);
        metadata_home_close(&home);
    }
}
END_TEST

START_TEST(requests_are_answered_once_with_a_reason)
{
    struct message_config configs[] = {{.key = TEXT("retention.ms"), .value = TEXT("1d")}};
    struct message_topic_create twin = {.name = TEXT("ORDERS"), .partition_count = 1};
    struct message_topic_create probe = {.name = TEXT("probe"), .partition_count = 2, .validate_only = true};
    struct message_topic_create bad_probe = {.name = TEXT("probe"), .partition_count = -5, .validate_only = true};
    struct message_topic_create nameless = {.partition_count = 1};
    struct message_topic_create replicated = {.name = TEXT("r"), .replication_factor = 300};
    struct message_topic_alter alter = {.name = TEXT("orders"), .partition_count = 5, .configs = configs, .config_count = 1};
    struct message_topic_alter shrink = {.name = TEXT("orders"), .partition_count = 1};
    struct metadata_answer answer;
    struct uuid topic_id;

    open_home();
    ck_assert_int_eq(metadata_home_create(&home, "orders", 0, &answer), 0);
    ck_assert_uint_eq(answer.partition_count, 1);
    topic_id = answer.topic_id;
    ck_assert_int_eq(metadata_home_create(&home, "orders", 1, &answer), MESH_ETOPIC_EXISTS);
    ck_assert_str_eq(answer.message, "topic \"orders\" exists already");
    ck_assert_int_eq(metadata_home_create_as(&home, &twin, &answer), MESH_ETOPIC_EXISTS);
    ck_assert_ptr_nonnull(strstr(answer.message, "\"orders\""));
    ck_assert_int_eq(metadata_home_create_as(&home, &probe, &answer), 0);
    ck_assert_ptr_null(image_find_topic_by_name(image(), "probe"));
    ck_assert_int_eq(metadata_home_create_as(&home, &bad_probe, &answer), MESH_EINVALID_PARTITIONS);
    ck_assert_int_eq(metadata_home_create_as(&home, &nameless, &answer), MESH_EINVALID_TOPIC);
    ck_assert_int_eq(metadata_home_create_as(&home, &replicated, &answer), MESH_EINVALID_REPLICATION);
    ck_assert_int_eq(metadata_home_alter(&home, &alter, &answer), 0);
    ck_assert_uint_eq(answer.partition_count, 5);
    ck_assert(uuid_equal(&answer.topic_id, &topic_id));
    ck_assert_int_eq(metadata_home_alter(&home, &shrink, &answer), MESH_EINVALID_PARTITIONS);
    ck_assert_int_eq(metadata_home_delete(&home, "orders", &answer), 0);
    ck_assert(uuid_equal(&answer.topic_id, &topic_id));
    ck_assert(image_topic_was_deleted(image(), &topic_id));
    ck_assert_int_eq(metadata_home_delete(&home, "orders", &answer), MESH_EUNKNOWN_TOPIC);
    metadata_home_close(&home);
}
END_TEST

START_TEST(each_change_is_published_and_refusals_are_not)
{
    struct metadata_answer answer;
    unsigned before;

    open_home();
    ck_assert_uint_eq(home.published, image_applied_index(image()));
    ck_assert_int_eq(metadata_home_create(&home, "a", 1, &answer), 0);
    before = home.publications;
    ck_assert_int_eq(metadata_home_create(&home, "A", 1, &answer), MESH_ETOPIC_EXISTS);
    ck_assert_uint_eq(home.publications, before);
    ck_assert_int_eq(metadata_home_ids(&home, 1000, &answer), 0);
    ck_assert_uint_eq(home.publications, before + 1);
    ck_assert_uint_eq(home.published, image_applied_index(image()));
    metadata_home_close(&home);
}
END_TEST

START_TEST(producer_ids_survive_a_restart)
{
    struct metadata_answer answer;
    int64_t next = 0;

    for (int boot = 0; boot < 3; boot++) {
        open_home();
        for (int i = 0; i < 3; i++) {
            ck_assert_int_eq(metadata_home_ids(&home, METADATA_PRODUCER_BLOCK, &answer), 0);
            ck_assert_int_ge(answer.first, next);
            ck_assert_uint_eq(answer.partition_count, METADATA_PRODUCER_BLOCK);
            next = answer.first + METADATA_PRODUCER_BLOCK;
        }
        metadata_home_close(&home);
        fs_mem_reboot(mem, FS_MEM_LOSE_UNSYNCED);
    }
}
END_TEST

static const struct decide_config good_default = {"retention.ms", "2d"}, bad_default = {"retention.ms", "tomorrow"};

static void tune_bad(struct metadata_options *options)
{
    options->config_defaults = &bad_default;
    options->config_default_count = 1;
}

static void tune_good(struct metadata_options *options)
{
    options->partition_count_default = 4;
    options->config_defaults = &good_default;
    options->config_default_count = 1;
}

START_TEST(defaults_of_the_broker_are_checked_and_used)
{
    struct metadata_answer answer;

    ck_assert_int_eq(metadata_home_open(&home, fs, tune_bad), MESH_EINVALID_CONFIG);
    ck_assert_ptr_nonnull(strstr(home.message, "retention.ms=tomorrow"));
    metadata_home_close(&home);
    ck_assert_int_eq(metadata_home_open(&home, fs, tune_good), 0);
    ck_assert_int_eq(metadata_home_start(&home), 0);
    ck_assert_int_eq(metadata_home_create(&home, "t", 0, &answer), 0);
    ck_assert_uint_eq(answer.partition_count, 4);
    ck_assert_int_eq(image_topic_config(image_find_topic_by_name(image(), "t"), TOPIC_CONFIG_RETENTION_MS), 2 * 86400000);
    metadata_home_close(&home);
}
END_TEST

/* ---- trouble ---- */

START_TEST(a_failed_disk_refuses_changes_but_not_reading)
{
    struct metadata_answer answer;

    open_home();
    ck_assert_int_eq(metadata_home_create(&home, "before", 1, &answer), 0);
    fs_mem_fail(mem, FS_MEM_OPS_SYNC, 1, MESH_EIO, false);
    ck_assert_int_ne(metadata_home_create(&home, "during", 1, &answer), 0);
    ck_assert_int_ne(metadata_home_create(&home, "after", 1, &answer), 0);
    ck_assert_int_eq(metadata_error(home.metadata), MESH_EIO);
    ck_assert_ptr_nonnull(image_find_topic_by_name(image(), "before"));
    ck_assert_ptr_null(image_find_topic_by_name(image(), "during"));
    metadata_home_close(&home);
}
END_TEST

START_TEST(a_request_that_finds_no_memory_changes_nothing)
{
    struct message_config config = {.key = TEXT("flush"), .value = TEXT("async")};
    struct message_topic_create request = {.name = TEXT("t"), .partition_count = 100, .configs = &config, .config_count = 1};
    struct metadata_answer answer;

    open_home();
    failing_alloc_each(n)
    {
        uint64_t index = image_applied_index(image());

        failing_alloc_arm(n);
        metadata_home_create_as(&home, &request, &answer);
        if (!failing_alloc_disarm()) break;
        if (answer.error == 0) break; /* what failed was only a help */
        ck_assert_uint_eq(image_applied_index(image()), index);
    }
    ck_assert_int_eq(answer.error, 0);
    ck_assert_uint_eq(answer.partition_count, 100);
    metadata_home_close(&home);
    open_home();
    ck_assert_ptr_nonnull(image_find_topic_by_name(image(), "t"));
    metadata_home_close(&home);
}
END_TEST

START_TEST(opening_finds_no_memory_and_then_does)
{
    struct metadata_answer answer;
    int err = 0;

    open_home();
    ck_assert_int_eq(metadata_home_create(&home, "t", 3, &answer), 0);
    metadata_home_close(&home);
    failing_alloc_each(n)
    {
        bool was_refused;

        failing_alloc_arm(n);
        err = metadata_home_open(&home, fs, NULL);
        was_refused = failing_alloc_disarm();
        metadata_home_close(&home);
        if (!was_refused) break;
        if (err != 0) {
            ck_assert_int_eq(err, MESH_ENOMEM);
            ck_assert_uint_gt(strlen(home.message), 0);
        }
    }
    ck_assert_int_eq(err, 0);
}
END_TEST

START_TEST(a_directory_without_its_log_is_refused)
{
    open_home();
    metadata_home_close(&home);
    ck_assert_int_eq(fs->ops->rename(fs, "consensus", "moved"), 0);
    ck_assert_int_eq(metadata_home_open(&home, fs, NULL), MESH_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(home.message, "DIR/consensus"));
    metadata_home_close(&home);
}
END_TEST

START_TEST(the_log_of_another_mesh_is_refused)
{
    struct uuid other = {{9}};

    open_home();
    metadata_home_close(&home);
    ck_assert_int_eq(metadata_open_identity(fs, &home.identity, home.message), 0);
    ck_assert_int_eq(identity_set_cluster(fs, &home.identity, &other), 0);
    ck_assert_int_eq(metadata_home_open(&home, fs, NULL), 0); /* the log's own words say it, as soon as they are read */
    ck_assert_int_eq(metadata_home_start(&home), MESH_EWRONG_MESH);
    ck_assert_uint_gt(strlen(metadata_status(home.metadata)->failure), 20);
    metadata_home_close(&home);
}
END_TEST

/* ---- power cuts ---- */

struct watch {
    struct fs_mem *fork;
    uint64_t acknowledged;      /* index */
    int topics;                 /* acknowledged: t0 .. */
    int64_t producer_ids_below; /* handed out */
    struct uuid cluster_id;     /* zero until acknowledged */
    struct uuid broker_id;
    unsigned crash_count;
};

/* What the log of a mesh of one says: all of it, since nobody else could have decided otherwise. */
static struct image *image_of(struct fs *on, const struct identity *identity)
{
    const struct raft_server self = {identity->broker_id, identity->dir_id};
    const struct raft_recovered *recovered;
    struct raft_store_report report;
    struct raft_store *store;
    struct image *made;
    char message[METADATA_MESSAGE_SIZE];

    ck_assert_msg(raft_store_open(on, "consensus", &self, metadata_chain, &store, &recovered, &report, message, sizeof(message)) == 0, "%s", message);
    ck_assert_uint_eq(report.damaged_until, 0);
    ck_assert_int_eq(disk_load_image(store, recovered->snapshot.index, &made), 0);
    if (made == NULL) ck_assert_int_eq(image_new_empty(&made), 0);
    for (size_t i = 0; i < recovered->entry_count; i++)
        ck_assert_int_eq(image_advance(made, &recovered->entries[i]), 0);
    raft_store_close(store);
    return made;
}

/* Runs on whichever thread was at the disk, which cannot wait for another one: the log is read without its broker. */
static void check_crash(struct watch *watch, enum fs_mem_loss loss)
{
    struct fs *forked = fs_mem_fs(watch->fork);
    struct identity identity;
    struct image *recovered;
    char name[16], message[METADATA_MESSAGE_SIZE];

    fs_mem_copy_crashed(mem, watch->fork, loss, ++watch->crash_count);
    ck_assert_msg(metadata_open_identity(forked, &identity, message) == 0, "%s", message);
    recovered = image_of(forked, &identity);
    ck_assert_uint_ge(image_applied_index(recovered), watch->acknowledged);
    if (!uuid_is_zero(&watch->cluster_id)) {
        ck_assert(uuid_equal(image_cluster_id(recovered), &watch->cluster_id));
        ck_assert(uuid_equal(&identity.cluster_id, &watch->cluster_id));
        ck_assert(uuid_equal(&identity.broker_id, &watch->broker_id));
    }
    ck_assert_int_ge(image_next_producer_id(recovered), watch->producer_ids_below);
    for (int i = 0; i < watch->topics; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        ck_assert_ptr_nonnull(image_find_topic_by_name(recovered, name));
    }
    image_unref(recovered);
    forked->ops->free(forked);
}

static void observe(void *user, enum fs_mem_op_type type, const char *path, uint64_t position, uint64_t size)
{
    (void)path;
    (void)position;
    (void)size;
    if (type == FS_MEM_OP_READ) return;
    for (int loss = 0; loss < FS_MEM_LOSE_MODES; loss++)
        check_crash(user, (enum fs_mem_loss)loss);
    check_crash(user, FS_MEM_LOSE_ANY);
}

START_TEST(a_power_cut_at_any_operation_forgets_nothing_that_was_said)
{
    struct watch watch = {.fork = fs_mem_new_fork(mem)};
    struct metadata_answer answer;
    char name[16];

    fs_mem_set_observer(mem, observe, &watch);
    for (int boot = 0; boot < 2; boot++) {
        open_home();
        watch.broker_id = home.identity.broker_id;
        watch.cluster_id = *image_cluster_id(image());
        watch.acknowledged = image_applied_index(image());
        for (int i = 0; i < 4; i++) {
            snprintf(name, sizeof(name), "t%d", watch.topics);
            ck_assert_int_eq(metadata_home_create(&home, name, 70, &answer), 0);
            watch.topics++;
            ck_assert_int_eq(metadata_home_ids(&home, 1000, &answer), 0);
            watch.producer_ids_below = answer.first + 1000;
            watch.acknowledged = image_applied_index(image());
        }
        metadata_home_close(&home);
    }
    fs_mem_set_observer(mem, NULL, NULL);
    ck_assert_uint_gt(watch.crash_count, 200);
    fs_mem_free(watch.fork);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metadata");
    TCase *tcase = tcase_create("metadata");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_new_directory_becomes_a_mesh_of_one);
    tcase_add_test(tcase, leader_epochs_rise_at_each_start);
    tcase_add_test(tcase, requests_are_answered_once_with_a_reason);
    tcase_add_test(tcase, each_change_is_published_and_refusals_are_not);
    tcase_add_test(tcase, producer_ids_survive_a_restart);
    tcase_add_test(tcase, defaults_of_the_broker_are_checked_and_used);
    tcase_add_test(tcase, a_failed_disk_refuses_changes_but_not_reading);
    tcase_add_test(tcase, a_request_that_finds_no_memory_changes_nothing);
    tcase_add_test(tcase, opening_finds_no_memory_and_then_does);
    tcase_add_test(tcase, a_directory_without_its_log_is_refused);
    tcase_add_test(tcase, the_log_of_another_mesh_is_refused);
    tcase_add_test(tcase, a_power_cut_at_any_operation_forgets_nothing_that_was_said);
    tcase_set_timeout(tcase, 100);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
