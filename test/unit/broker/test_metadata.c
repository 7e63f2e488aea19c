/* The broker's metadata as a whole: identity, founding, registering, topics, producer ids, and what it says;
 * on a disk that loses power at every operation. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/metadata/describe.h"
#include "base/fs_whole.h"
#include "cmd/broker/metadata/metadata.h"
#include "support/failing_alloc.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT(literal) ((char *)(uintptr_t)(literal)) /* for the messages, whose strings are not const */

static struct fs_mem *mem;
static struct fs *fs;
static char message[METADATA_MESSAGE_SIZE];

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

static struct metadata *open_on(struct fs *on)
{
    struct metadata_options options;
    struct metadata *metadata = NULL;

    metadata_options_init(&options, on);
    ck_assert_msg(metadata_open(&options, &metadata, message) == 0, "%s", message);
    return metadata;
}

static int register_self(struct metadata *metadata)
{
    struct metadata_self self = {
        .name = "one", .host = "127.0.0.1", .zone = "", .port = 9092, .shard_count = 2};
    return metadata_register_self(metadata, &self, message);
}

/* What a callback said last. */
struct answer {
    int count, error;
    char message[METADATA_MESSAGE_SIZE];
    struct uuid topic_id;
    uint32_t partition_count;
    int64_t first;
};

static void answered(void *user, int error, const char *text, const struct image_topic *topic)
{
    struct answer *answer = user;

    answer->count++;
    answer->error = error;
    snprintf(answer->message, sizeof(answer->message), "%s", text);
    if (topic != NULL) {
        answer->topic_id = topic->topic_id;
        answer->partition_count = topic->partition_count;
    }
}

static void ids_answered(void *user, int error, int64_t first, uint32_t count)
{
    struct answer *answer = user;

    answer->count++;
    answer->error = error;
    answer->first = first;
    answer->partition_count = count;
}

static int create(struct metadata *metadata, const char *name, int32_t partitions, struct answer *ret_answer)
{
    struct message_topic_create request = {.name = TEXT(name), .partition_count = partitions};

    *ret_answer = (struct answer){0};
    metadata_topic_create(metadata, &request, answered, ret_answer);
    ck_assert_int_eq(ret_answer->count, 1);
    return ret_answer->error;
}

/* ---- a broker's life ---- */

START_TEST(a_new_directory_becomes_a_mesh_of_one)
{
    struct metadata *metadata = open_on(fs);
    struct uuid cluster_id = *image_cluster_id(metadata_image(metadata)), broker_id;
    struct answer answer;

    ck_assert(!uuid_is_zero(&cluster_id));
    ck_assert_uint_eq(metadata_identity(metadata)->boot, 1);
    ck_assert(uuid_equal(&metadata_identity(metadata)->cluster_id, &cluster_id));
    broker_id = metadata_identity(metadata)->broker_id;
    ck_assert_int_eq(register_self(metadata), 0);
    ck_assert_int_eq(metadata_node_id(metadata), 1);
    ck_assert_int_eq(create(metadata, "orders", 3, &answer), 0);
    metadata_close(metadata);
    fs_mem_reboot(mem, FS_MEM_LOSE_UNSYNCED);
    metadata = open_on(fs);
    ck_assert(uuid_equal(image_cluster_id(metadata_image(metadata)), &cluster_id));
    ck_assert(uuid_equal(&metadata_identity(metadata)->broker_id, &broker_id));
    ck_assert_uint_eq(metadata_identity(metadata)->boot, 2);
    ck_assert_int_eq(register_self(metadata), 0);
    ck_assert_int_eq(metadata_node_id(metadata), 1);
    ck_assert_ptr_nonnull(image_find_topic_by_name(metadata_image(metadata), "orders"));
    metadata_close(metadata);
    metadata_close(NULL);
}
END_TEST

START_TEST(leader_epochs_rise_at_each_start_by_one_record)
{
    struct image_partition partition;
    struct answer answer;

    for (int32_t boot = 1; boot <= 4; boot++) {
        struct metadata *metadata = open_on(fs);
        uint64_t index = image_applied_index(metadata_image(metadata));
        ck_assert_int_eq(register_self(metadata), 0);
        ck_assert_uint_eq(image_applied_index(metadata_image(metadata)), index + 1);
        if (boot == 1) ck_assert_int_eq(create(metadata, "wide", 10000, &answer), 0);
        ck_assert(image_topic_partition(image_find_topic_by_name(metadata_image(metadata), "wide"), 9999,
                                        &partition));
        ck_assert_int_eq(partition.leader_epoch, boot - 1);
        metadata_close(metadata);
    }
}
END_TEST

START_TEST(requests_are_answered_once_with_a_reason)
{
    struct metadata *metadata = open_on(fs);
    struct message_config configs[] = {{.key = TEXT("retention.ms"), .value = TEXT("1d")}};
    struct message_topic_create twin = {.name = TEXT("ORDERS"), .partition_count = 1};
    struct message_topic_create probe = {.name = TEXT("probe"), .partition_count = 2, .validate_only = true};
    struct message_topic_create bad_probe = {
        .name = TEXT("probe"), .partition_count = -5, .validate_only = true};
    struct message_topic_create nameless = {.partition_count = 1};
    struct message_topic_create replicated = {.name = TEXT("r"), .replication_factor = 3};
    struct message_topic_alter alter = {
        .name = TEXT("orders"), .partition_count = 5, .configs = configs, .config_count = 1};
    struct message_topic_alter shrink = {.name = TEXT("orders"), .partition_count = 1};
    struct message_topic_delete drop = {.name = TEXT("orders")};
    struct answer answer;
    struct uuid topic_id;

    ck_assert_int_eq(create(metadata, "early", 1, &answer),
                     MESH_EINVALID_REPLICATION); /* nobody has registered */
    ck_assert_int_eq(register_self(metadata), 0);
    ck_assert_int_eq(create(metadata, "orders", 0, &answer), 0);
    ck_assert_uint_eq(answer.partition_count, 1);
    topic_id = answer.topic_id;
    ck_assert_int_eq(create(metadata, "orders", 1, &answer), MESH_ETOPIC_EXISTS);
    ck_assert_str_eq(answer.message, "topic \"orders\" exists already");
    metadata_topic_create(metadata, &twin, answered, &answer);
    ck_assert_int_eq(answer.error, MESH_ETOPIC_EXISTS);
    ck_assert_ptr_nonnull(strstr(answer.message, "\"orders\""));
    metadata_topic_create(metadata, &probe, answered, &answer);
    ck_assert_int_eq(answer.error, 0);
    ck_assert_ptr_null(image_find_topic_by_name(metadata_image(metadata), "probe"));
    metadata_topic_create(metadata, &bad_probe, answered, &answer);
    ck_assert_int_eq(answer.error, MESH_EINVALID_PARTITIONS);
    metadata_topic_create(metadata, &nameless, answered, &answer);
    ck_assert_int_eq(answer.error, MESH_EINVALID_TOPIC);
    metadata_topic_create(metadata, &replicated, answered, &answer);
    ck_assert_int_eq(answer.error, MESH_EINVALID_REPLICATION);
    ck_assert_ptr_nonnull(strstr(answer.message, "the mesh has 1"));
    metadata_topic_alter(metadata, &alter, answered, &answer);
    ck_assert_int_eq(answer.error, 0);
    ck_assert_uint_eq(answer.partition_count, 5);
    ck_assert(uuid_equal(&answer.topic_id, &topic_id));
    metadata_topic_alter(metadata, &shrink, answered, &answer);
    ck_assert_int_eq(answer.error, MESH_EINVALID_PARTITIONS);
    metadata_topic_delete(metadata, &drop, answered, &answer);
    ck_assert_int_eq(answer.error, 0);
    ck_assert(uuid_equal(&answer.topic_id, &topic_id));
    ck_assert(image_topic_was_deleted(metadata_image(metadata), &topic_id));
    metadata_topic_delete(metadata, &drop, answered, &answer);
    ck_assert_int_eq(answer.error, MESH_EUNKNOWN_TOPIC);
    metadata_close(metadata);
}
END_TEST

static void count_publication(void *user, const struct image *image)
{
    uint64_t *last = user;

    ck_assert_uint_eq(image_applied_index(image), *last + 1);
    *last = image_applied_index(image);
}

START_TEST(each_change_is_published_once_and_refusals_are_not)
{
    struct metadata_options options;
    struct metadata *metadata;
    struct answer answer;
    uint64_t last = 1; /* founding */

    metadata_options_init(&options, fs);
    options.publish = count_publication;
    options.publish_user = &last;
    ck_assert_int_eq(metadata_open(&options, &metadata, message), 0);
    ck_assert_int_eq(register_self(metadata), 0);
    ck_assert_int_eq(create(metadata, "a", 1, &answer), 0);
    ck_assert_int_eq(create(metadata, "A", 1, &answer), MESH_ETOPIC_EXISTS);
    metadata_allocate_producer_ids(metadata, 1000, ids_answered, &answer);
    ck_assert_uint_eq(last, 4);
    ck_assert_uint_eq(last, image_applied_index(metadata_image(metadata)));
    metadata_close(metadata);
}
END_TEST

START_TEST(producer_ids_survive_a_restart)
{
    struct answer answer = {0};
    int64_t next = 0;

    for (int boot = 0; boot < 3; boot++) {
        struct metadata *metadata = open_on(fs);
        ck_assert_int_eq(register_self(metadata), 0);
        for (int i = 0; i < 3; i++) {
            metadata_allocate_producer_ids(metadata, METADATA_PRODUCER_BLOCK, ids_answered, &answer);
            ck_assert_int_eq(answer.error, 0);
            ck_assert_int_ge(answer.first, next);
            ck_assert_uint_eq(answer.partition_count, METADATA_PRODUCER_BLOCK);
            next = answer.first + METADATA_PRODUCER_BLOCK;
        }
        metadata_close(metadata);
        fs_mem_reboot(mem, FS_MEM_LOSE_UNSYNCED);
    }
}
END_TEST

START_TEST(defaults_of_the_broker_are_checked_and_used)
{
    struct decide_config good = {"retention.ms", "2d"}, bad = {"retention.ms", "tomorrow"};
    struct metadata_options options;
    struct metadata *metadata;
    struct answer answer;

    metadata_options_init(&options, fs);
    options.partition_count_default = 4;
    options.config_defaults = &bad;
    options.config_default_count = 1;
    ck_assert_int_eq(metadata_open(&options, &metadata, message), MESH_EINVALID_CONFIG);
    ck_assert_ptr_nonnull(strstr(message, "retention.ms=tomorrow"));
    options.config_defaults = &good;
    ck_assert_int_eq(metadata_open(&options, &metadata, message), 0);
    ck_assert_int_eq(register_self(metadata), 0);
    ck_assert_int_eq(create(metadata, "t", 0, &answer), 0);
    ck_assert_uint_eq(answer.partition_count, 4);
    ck_assert_int_eq(image_topic_config(image_find_topic_by_name(metadata_image(metadata), "t"),
                                        TOPIC_CONFIG_RETENTION_MS),
                     2 * 86400000);
    metadata_close(metadata);
}
END_TEST

START_TEST(a_failed_disk_refuses_changes_but_not_reading)
{
    struct metadata *metadata = open_on(fs);
    struct answer answer;

    log_set_level(LOG_LEVEL_ERROR);
    ck_assert_int_eq(register_self(metadata), 0);
    ck_assert_int_eq(create(metadata, "before", 1, &answer), 0);
    fs_mem_fail(mem, FS_MEM_OPS_SYNC, 1, MESH_EIO, false);
    ck_assert_int_eq(create(metadata, "during", 1, &answer), MESH_EIO);
    ck_assert_int_eq(create(metadata, "after", 1, &answer), MESH_EIO);
    ck_assert_int_eq(metadata_error(metadata), MESH_EIO);
    ck_assert_ptr_nonnull(image_find_topic_by_name(metadata_image(metadata), "before"));
    ck_assert_ptr_null(image_find_topic_by_name(metadata_image(metadata), "during"));
    metadata_close(metadata);
}
END_TEST

START_TEST(a_change_that_finds_no_memory_changes_nothing)
{
    struct metadata *metadata = open_on(fs);
    struct message_config config = {.key = TEXT("flush"), .value = TEXT("async")};
    struct message_topic_create request = {
        .name = TEXT("t"), .partition_count = 100, .configs = &config, .config_count = 1};
    struct answer answer = {0};

    ck_assert_int_eq(register_self(metadata), 0);
    failing_alloc_each(n)
    {
        uint64_t index = image_applied_index(metadata_image(metadata));
        failing_alloc_arm(n);
        metadata_topic_create(metadata, &request, answered, &answer);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(answer.error, MESH_ENOMEM);
        ck_assert_uint_eq(image_applied_index(metadata_image(metadata)), index);
        ck_assert_int_eq(metadata_error(metadata), 0);
    }
    ck_assert_int_eq(answer.error, 0);
    ck_assert_uint_eq(answer.partition_count, 100);
    metadata_close(metadata);
    metadata = open_on(fs);
    ck_assert_ptr_nonnull(image_find_topic_by_name(metadata_image(metadata), "t"));
    metadata_close(metadata);
}
END_TEST

START_TEST(opening_finds_no_memory_and_then_does)
{
    struct metadata_options options;
    struct metadata *metadata = NULL;
    int err = 0;

    metadata_options_init(&options, fs);
    failing_alloc_each(n)
    {
        failing_alloc_arm(n);
        err = metadata_open(&options, &metadata, message);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
        ck_assert_uint_gt(strlen(message), 0);
    }
    ck_assert_int_eq(err, 0);
    metadata_close(metadata);
}
END_TEST

/* ---- identity ---- */

START_TEST(a_damaged_identity_is_refused)
{
    struct metadata_options options;
    struct metadata *metadata;

    metadata_close(open_on(fs));
    metadata_options_init(&options, fs);
    for (uint64_t position = 0; position < 104; position++) {
        int err;
        ck_assert_int_eq(fs_mem_flip_bit(mem, "identity", position, 1), 0);
        err = metadata_open(&options, &metadata, message);
        ck_assert(err == MESH_ECORRUPT || (err == MESH_EVERSION && position >= 4 && position < 8));
        ck_assert_ptr_nonnull(strstr(message, "DIR/identity"));
        ck_assert_int_eq(fs_mem_flip_bit(mem, "identity", position, 1), 0);
    }
    metadata_close(open_on(fs));
}
END_TEST

START_TEST(the_broker_keeps_its_key_and_its_id_follows_from_it)
{
    struct metadata *metadata = open_on(fs);
    struct identity_key key = metadata_identity(metadata)->key;
    struct uuid id = identity_uuid(key.public_key);
    struct slice word = slice_of_string("alive");
    uint8_t signature[IDENTITY_SIGNATURE_SIZE];

    ck_assert(uuid_equal(&metadata_identity(metadata)->broker_id, &id));
    metadata_close(metadata);
    fs_mem_reboot(mem, FS_MEM_LOSE_UNSYNCED);
    metadata = open_on(fs);
    ck_assert_int_eq(memcmp(&metadata_identity(metadata)->key, &key, sizeof(key)), 0);
    identity_sign(&metadata_identity(metadata)->key, IDENTITY_GOSSIP, word, signature);
    ck_assert(identity_verify(&id, key.public_key, IDENTITY_GOSSIP, word, signature));
    metadata_close(metadata);
}
END_TEST

static void write_identity(const uint8_t *bytes, size_t size)
{
    ck_assert_int_eq(fs_replace(fs, ".", "identity", "identity.new", slice_of(bytes, size)), 0);
}

START_TEST(an_identity_without_a_key_or_with_anothers_is_refused)
{
    struct metadata_options options;
    struct metadata *metadata;
    struct buffer bytes = BUFFER_INIT;

    metadata_close(open_on(fs));
    metadata_options_init(&options, fs);
    ck_assert_int_eq(fs_read_whole(fs, "identity", 4096, &bytes), 0);
    bytes.data[64] ^= 1; /* another seed, and a checksum that vouches for it */
    le_store32(bytes.data + 100, crc32c(bytes.data, 100));
    write_identity(bytes.data, 104);
    ck_assert_int_eq(metadata_open(&options, &metadata, message), MESH_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(message, "another broker's key"));
    le_store32(bytes.data + 4, 1); /* as it was before brokers had keys */
    le_store32(bytes.data + 64, 0);
    le_store32(bytes.data + 68, crc32c(bytes.data, 68));
    write_identity(bytes.data, 72);
    ck_assert_int_eq(metadata_open(&options, &metadata, message), MESH_EVERSION);
    ck_assert_ptr_nonnull(strstr(message, "empty directory"));
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(a_part_of_a_directory_is_refused)
{
    struct metadata_options options;
    struct metadata *metadata;

    metadata_close(open_on(fs));
    metadata_options_init(&options, fs);
    ck_assert_int_eq(fs->ops->rename(fs, "identity", "elsewhere"), 0);
    ck_assert_int_eq(metadata_open(&options, &metadata, message), MESH_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(message, "DIR/identity is missing"));
    ck_assert_int_eq(fs->ops->rename(fs, "elsewhere", "identity"), 0);
    ck_assert_int_eq(fs->ops->rename(fs, "meta", "moved"), 0);
    ck_assert_int_eq(metadata_open(&options, &metadata, message), MESH_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(message, "DIR/meta is empty"));
}
END_TEST

START_TEST(the_identity_of_another_mesh_is_refused)
{
    struct identity identity = {.boot = 0};
    struct uuid other = {{9}};
    struct metadata_options options;
    struct metadata *metadata = open_on(fs);

    identity = *metadata_identity(metadata);
    metadata_close(metadata);
    ck_assert_int_eq(identity_set_cluster(fs, &identity, &other), 0);
    metadata_options_init(&options, fs);
    ck_assert_int_eq(metadata_open(&options, &metadata, message), MESH_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(message, "different meshes"));
}
END_TEST

/* ---- power cuts ---- */

struct watch {
    struct fs_mem *fork;
    uint64_t boot_used;         /* highest boot that anything was done with */
    uint64_t acknowledged;      /* index */
    int topics;                 /* acknowledged: t0 .. */
    int64_t producer_ids_below; /* handed out */
    struct uuid cluster_id;     /* zero until acknowledged */
    struct uuid broker_id;
    unsigned crash_count;
};

static void check_crash(struct watch *watch, enum fs_mem_loss loss)
{
    struct fs *forked = fs_mem_fs(watch->fork);
    struct metadata *metadata;
    const struct image *image;
    char name[16];

    fs_mem_copy_crashed(mem, watch->fork, loss, ++watch->crash_count);
    metadata = open_on(forked);
    image = metadata_image(metadata);
    ck_assert_uint_gt(metadata_identity(metadata)->boot, watch->boot_used);
    ck_assert_uint_ge(image_applied_index(image), watch->acknowledged);
    if (!uuid_is_zero(&watch->cluster_id)) {
        ck_assert(uuid_equal(image_cluster_id(image), &watch->cluster_id));
        ck_assert(uuid_equal(&metadata_identity(metadata)->broker_id, &watch->broker_id));
    }
    ck_assert_int_ge(image_next_producer_id(image), watch->producer_ids_below);
    for (int i = 0; i < watch->topics; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        ck_assert_ptr_nonnull(image_find_topic_by_name(image, name));
    }
    ck_assert_int_eq(register_self(metadata), 0);
    metadata_close(metadata);
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
    struct answer answer = {0};
    char name[16];

    fs_mem_set_observer(mem, observe, &watch);
    for (int boot = 0; boot < 3; boot++) {
        struct metadata *metadata = open_on(fs);
        watch.boot_used = metadata_identity(metadata)->boot;
        watch.broker_id = metadata_identity(metadata)->broker_id;
        watch.cluster_id = *image_cluster_id(metadata_image(metadata));
        ck_assert_int_eq(register_self(metadata), 0);
        watch.acknowledged = image_applied_index(metadata_image(metadata));
        for (int i = 0; i < 4; i++) {
            snprintf(name, sizeof(name), "t%d", watch.topics);
            ck_assert_int_eq(create(metadata, name, 70, &answer), 0);
            watch.topics++;
            metadata_allocate_producer_ids(metadata, 1000, ids_answered, &answer);
            watch.producer_ids_below = answer.first + 1000;
            watch.acknowledged = image_applied_index(metadata_image(metadata));
        }
        metadata_close(metadata);
    }
    fs_mem_set_observer(mem, NULL, NULL);
    ck_assert_uint_gt(watch.crash_count, 200);
    fs_mem_free(watch.fork);
}
END_TEST

/* ---- descriptions ---- */

START_TEST(topics_are_described)
{
    struct metadata *metadata = open_on(fs);
    struct description description;
    char *names[] = {TEXT("b"), TEXT("missing"), TEXT("a")};
    struct message_topic_describe all = {.all = true}, named = {.names = names, .name_count = 3};
    struct message_config async = {.key = TEXT("flush"), .value = TEXT("async")};
    struct message_topic_create with_config = {
        .name = TEXT("a"), .partition_count = 4, .configs = &async, .config_count = 1};
    struct answer answer;
    const struct message_topic *topic;

    ck_assert_int_eq(register_self(metadata), 0);
    ck_assert_int_eq(create(metadata, "b", 2, &answer), 0);
    metadata_topic_create(metadata, &with_config, answered, &answer);
    description_init(&description);
    ck_assert_int_eq(describe_topics(&description, metadata_image(metadata), &all), 0);
    ck_assert_uint_eq(description.topics.topic_count, 2);
    topic = &description.topics.topics[0];
    ck_assert_str_eq(topic->name, "a");
    ck_assert_uint_eq(topic->partition_count, 4);
    ck_assert_uint_eq(topic->config_count, TOPIC_CONFIG_COUNT);
    ck_assert_str_eq(topic->configs[0].key, "flush");
    ck_assert_str_eq(topic->configs[0].value, "async");
    ck_assert(!topic->configs[0].is_default);
    ck_assert(topic->configs[1].is_default);
    for (uint32_t i = 0; i < 4; i++) {
        ck_assert_uint_eq(topic->partitions[i].partition, i);
        ck_assert_int_eq(topic->partitions[i].leader, 1);
        ck_assert_uint_eq(topic->partitions[i].replica_count, 1);
        ck_assert_uint_eq(topic->partitions[i].isr_count, 1);
        ck_assert_int_eq(topic->partitions[i].isr[0], 1);
        ck_assert_uint_eq(topic->partitions[i].shard, image_shard_of(&topic->topic_id, i, 2));
        ck_assert_str_eq(topic->partitions[i].problem, "");
    }
    description_deinit(&description);
    ck_assert_int_eq(describe_topics(&description, metadata_image(metadata), &named), 0);
    ck_assert_uint_eq(description.topics.topic_count, 3);
    ck_assert_str_eq(description.topics.topics[0].name, "b");
    ck_assert_int_eq(description.topics.topics[1].error, MESH_EUNKNOWN_TOPIC);
    ck_assert_str_eq(description.topics.topics[1].name, "missing");
    ck_assert_str_eq(description.topics.topics[2].name, "a");
    description_deinit(&description);
    metadata_close(metadata);
}
END_TEST

START_TEST(a_description_of_a_topic_survives_every_failed_allocation)
{
    struct metadata *metadata = open_on(fs);
    struct description description;
    struct message_topic_describe all = {.all = true};
    struct answer answer;
    int err = 0;

    ck_assert_int_eq(register_self(metadata), 0);
    ck_assert_int_eq(create(metadata, "a", 200, &answer), 0);
    failing_alloc_each(n)
    {
        description_init(&description);
        failing_alloc_arm(n);
        err = describe_topics(&description, metadata_image(metadata), &all);
        bool refused = failing_alloc_disarm();
        description_deinit(&description);
        if (!refused) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
    ck_assert_int_eq(err, 0);
    metadata_close(metadata);
}
END_TEST

static const struct {
    struct describe_facts facts;
    const char *what; /* NULL: healthy */
} status_cases[] = {
    {{.coordinator = 1, .disk_free_bytes = 2, .disk_free_bytes_min = 1}, NULL},
    {{.coordinator = 1, .failed_stores = 1}, "the journal of 1 shard(s) has failed"},
    {{.coordinator = 1, .failed_logs = 3}, "3 partition(s) accept no records"},
    {{.coordinator = 1, .holes = 2}, "2 damaged range(s)"},
    {{.coordinator = 1, .disk_free_bytes = 5 << 20, .disk_free_bytes_min = 6 << 20},
     "the disk is full: 5 MiB free"},
    {{.coordinator = 1, .metadata_error = MESH_EIO}, "the metadata log has failed"},
};

START_TEST(problems_are_said_with_a_remedy)
{
    struct metadata *metadata = open_on(fs);
    struct describe_facts facts = status_cases[_i].facts;
    struct message_status_response status;
    struct arena arena = ARENA_INIT;
    struct answer answer;

    ck_assert_int_eq(register_self(metadata), 0);
    ck_assert_int_eq(create(metadata, "a", 200, &answer), 0);
    facts.version = "1.2.3";
    ck_assert_int_eq(describe_status(&arena, metadata_image(metadata), &facts, &status), 0);
    ck_assert_uint_eq(status.partitions_total, 200);
    ck_assert_uint_eq(status.partitions_offline, 0);
    ck_assert_uint_eq(status.topics_total, 1);
    ck_assert_uint_eq(status.broker_count, 1);
    ck_assert_str_eq(status.brokers[0].name, "one");
    ck_assert_str_eq(status.version, "1.2.3");
    ck_assert_uint_eq(status.problem_count, status_cases[_i].what == NULL ? 0 : 1);
    if (status.problem_count == 1) {
        ck_assert_ptr_nonnull(strstr(status.problems[0].what, status_cases[_i].what));
        ck_assert_uint_gt(strlen(status.problems[0].meaning), 20);
        ck_assert_uint_gt(strlen(status.problems[0].remedy), 20);
    }
    arena_deinit(&arena);
    metadata_close(metadata);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
    Suite *suite = suite_create("metadata");
    TCase *tcase = tcase_create("metadata");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_new_directory_becomes_a_mesh_of_one);
    tcase_add_test(tcase, leader_epochs_rise_at_each_start_by_one_record);
    tcase_add_test(tcase, requests_are_answered_once_with_a_reason);
    tcase_add_test(tcase, each_change_is_published_once_and_refusals_are_not);
    tcase_add_test(tcase, producer_ids_survive_a_restart);
    tcase_add_test(tcase, defaults_of_the_broker_are_checked_and_used);
    tcase_add_test(tcase, a_failed_disk_refuses_changes_but_not_reading);
    tcase_add_test(tcase, a_change_that_finds_no_memory_changes_nothing);
    tcase_add_test(tcase, opening_finds_no_memory_and_then_does);
    tcase_add_test(tcase, a_damaged_identity_is_refused);
    tcase_add_test(tcase, the_broker_keeps_its_key_and_its_id_follows_from_it);
    tcase_add_test(tcase, an_identity_without_a_key_or_with_anothers_is_refused);
    tcase_add_test(tcase, a_part_of_a_directory_is_refused);
    tcase_add_test(tcase, the_identity_of_another_mesh_is_refused);
    tcase_add_test(tcase, a_power_cut_at_any_operation_forgets_nothing_that_was_said);
    tcase_add_test(tcase, topics_are_described);
    tcase_add_test(tcase, a_description_of_a_topic_survives_every_failed_allocation);
    tcase_add_loop_test(tcase, problems_are_said_with_a_remedy, 0, ROWS(status_cases));
    tcase_set_timeout(tcase, 100);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
