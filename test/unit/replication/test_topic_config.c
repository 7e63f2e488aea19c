/* Topic settings: names, aliases, units, bounds, and what is said when they are wrong. Topic names likewise.
 */
#include "base/error.h"
#include "metadata_history.h"
#include "replication/coordinator/topic_name.h"
#include "segment/store.h"
#include "support/run_suite.h"

#include <stdio.h>

#define DAY_MS 86400000ll

static const struct {
    const char *key, *value;
    int64_t want;
    const char *canonical;
} good_cases[] = {
    {"flush", "group", TOPIC_FLUSH_GROUP, "group"},
    {"flush", "async", TOPIC_FLUSH_ASYNC, "async"},
    {"flush.interval.ms", "250", 250, "250"},
    {"flush.ms", "2s", 2000, "2000"},
    {"flush.bytes", "64KiB", 65536, "65536"},
    {"retention.ms", "7d", 7 * DAY_MS, "604800000"},
    {"retention.ms", "-1", -1, "-1"},
    {"retention.ms", "9223372036854775807", INT64_MAX, "9223372036854775807"},
    {"retention.ms", "90min", 5400000, "5400000"},
    {"retention.ms", "1", 1, "1"},
    {"retention.bytes", "10GB", 10000000000, "10000000000"},
    {"retention.bytes", "1g", 1 << 30, "1073741824"},
    {"segment.bytes", "16MiB", 16 << 20, "16777216"},
    {"segment.ms", "1h", 3600000, "3600000"},
    {"max.batch.bytes", "2MiB", 2 << 20, "2097152"},
    {"max.message.bytes", "4096", 4096, "4096"},
    {"min.insync", "2", 2, "2"},
    {"min.insync.replicas", "16", 16, "16"},
    {"timestamp.type", "append", TOPIC_TIMESTAMP_APPEND, "append"},
    {"message.timestamp.type", "LogAppendTime", TOPIC_TIMESTAMP_APPEND, "append"},
    {"message.timestamp.type", "CreateTime", TOPIC_TIMESTAMP_CREATE, "create"},
    {"index.interval.bytes", "4KiB", 4096, "4096"},
    {"cleanup.policy", "delete", 0, "delete"},
    {"compression.type", "producer", 0, "producer"},
};

START_TEST(a_value_is_read_with_units_and_written_canonically)
{
    enum topic_config_id id;
    int64_t value;
    char message[256] = "", text[TOPIC_CONFIG_TEXT_SIZE];

    ck_assert_int_eq(topic_config_find(good_cases[_i].key, &id, message, sizeof(message)), 0);
    ck_assert_msg(topic_config_parse(id, good_cases[_i].value, &value, message, sizeof(message)) == 0, "%s",
                  message);
    ck_assert_int_eq(value, good_cases[_i].want);
    ck_assert_str_eq(topic_config_format(id, value, text), good_cases[_i].canonical);
    ck_assert_int_eq(topic_config_parse(id, text, &value, message, sizeof(message)), 0);
    ck_assert_int_eq(value, good_cases[_i].want);
}
END_TEST

static const struct {
    const char *key, *value, *said;
} bad_cases[] = {
    {"flush", "sometimes", "allowed: group,async"},
    {"flush", "", "allowed: group,async"},
    {"flush", "group,async", "allowed: group,async"},
    {"cleanup", "compact", "cleanup=compact is not supported; allowed: delete"},
    {"cleanup.policy", "compact,delete", "allowed: delete"},
    {"compression", "zstd", "allowed: producer"},
    {"retention.ms", "0", "-1 (no limit), or 1 ms and more; write it like"},
    {"retention.ms", "-2", "write it like"},
    {"retention.ms", "7 d", "write it like"},
    {"retention.ms", "7days", "write it like"},
    {"retention.ms", "", "write it like"},
    {"retention.ms", "d", "write it like"},
    {"retention.ms", "1.5h", "write it like"},
    {"retention.ms", "99999999999999999999", "not allowed"},
    {"retention.ms", "9223372036854775807d", "not allowed"},
    {"segment.bytes", "1", "16384 to"},
    {"segment.bytes", "3GiB", "16384 to"},
    {"max.batch.bytes", "65MiB", "1024 to 67108864 bytes"},
    {"min.insync", "0", "1 to 16"},
    {"min.insync", "two", "1 to 16"},
    {"min.insync", "2KiB", "1 to 16"},
    {"flush", "a\x1b[31m\n", "flush=a?[31m? is not supported"},
};

START_TEST(a_bad_value_is_refused_with_what_is_allowed)
{
    enum topic_config_id id;
    int64_t value = 77;
    char message[256] = "";

    ck_assert_int_eq(topic_config_find(bad_cases[_i].key, &id, message, sizeof(message)), 0);
    ck_assert_int_eq(topic_config_parse(id, bad_cases[_i].value, &value, message, sizeof(message)),
                     MESH_EINVALID_CONFIG);
    ck_assert_int_eq(value, 77);
    ck_assert_msg(strstr(message, bad_cases[_i].said) != NULL, "%s", message);
}
END_TEST

static const struct {
    const char *key, *suggestion; /* NULL: none */
} unknown_cases[] = {
    {"retention", "retention.ms"},
    {"retenton.ms", "retention.ms"},
    {"RETENTION.MS", "retention.ms"},
    {"min.insyn", "min.insync"},
    {"flsuh", "flush"},
    {"max.mesage.bytes", "max.message.bytes"},
    {"segments.bytes", "segment.bytes"},
    {"zzzzzzzzzzzz", NULL},
    {"", NULL},
    {"an.extremely.long.key.that.nobody.would.ever.type.by.mistake.but.somebody.may.send.to.us.all.the.same",
     NULL},
};

START_TEST(an_unknown_key_names_the_closest_one)
{
    enum topic_config_id id;
    char message[256] = "";

    ck_assert_int_eq(topic_config_find(unknown_cases[_i].key, &id, message, sizeof(message)),
                     MESH_EINVALID_CONFIG);
    if (unknown_cases[_i].suggestion == NULL) {
        ck_assert_msg(strstr(message, "did you mean") == NULL, "%s", message);
    } else {
        char want[128];
        snprintf(want, sizeof(want), "did you mean \"%s\"?", unknown_cases[_i].suggestion);
        ck_assert_msg(strstr(message, want) != NULL, "%s", message);
    }
}
END_TEST

START_TEST(every_default_is_legal_and_every_row_complete)
{
    for (unsigned i = 0; i < TOPIC_CONFIG_COUNT; i++) {
        const struct topic_config_info *info = topic_config_info((enum topic_config_id)i);
        enum topic_config_id id;
        char message[256];
        ck_assert_ptr_nonnull(info->name);
        ck_assert_ptr_nonnull(info->text);
        ck_assert_int_eq(topic_config_check((enum topic_config_id)i, info->fallback), 0);
        ck_assert_int_eq(topic_config_find(info->name, &id, message, sizeof(message)), 0);
        ck_assert_uint_eq(id, i);
    }
}
END_TEST

START_TEST(the_storage_gets_the_effective_settings)
{
    struct history *history = history_new_mesh(1, "");
    struct decide_config configs[] = {{"flush", "async"}, {"retention.bytes", "1GiB"}};
    struct decide_topic_create request = {
        .name = "t",
        .partition_count = 1,
        .replication_factor = 1,
        .configs = configs,
        .config_count = 2,
        .topic_id = history_uuid(history),
    };
    struct decision decision;
    struct plog_config plog;
    const struct image_topic *topic;

    topic = history_create_topic(history, "plain", 1, 1);
    topic_config_to_plog(topic, &plog);
    ck_assert_int_eq(plog.flush, PLOG_FLUSH_GROUP);
    ck_assert_uint_eq(plog.flush_interval_ms, 1000);
    ck_assert_uint_eq(plog.flush_bytes, 16 << 20);
    ck_assert_uint_eq(plog.segment_bytes, 1 << 30);
    ck_assert_uint_eq(plog.segment_ms, 7 * DAY_MS);
    ck_assert_int_eq(plog.retention_ms, 7 * DAY_MS);
    ck_assert_int_eq(plog.retention_bytes, -1);
    ck_assert_uint_eq(plog.index_interval_bytes, 16384);
    ck_assert_int_eq(plog.producer_expiry_ms, DAY_MS);
    decision_init(&decision);
    ck_assert_int_eq(decide_topic_create(history->image, &request, &decision), 0);
    history_commit(history, &decision);
    topic_config_to_plog(image_find_topic_by_name(history->image, "t"), &plog);
    ck_assert_int_eq(plog.flush, PLOG_FLUSH_ASYNC);
    ck_assert_int_eq(plog.retention_bytes, 1 << 30);
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

static const struct {
    const char *name;
    const char *said; /* NULL: a good name */
} name_cases[] = {
    {"a", NULL},
    {"orders", NULL},
    {"Orders.v2_eu-west", NULL},
    {"...", NULL},
    {"-", NULL},
    {"", "needs a name"},
    {".", "cannot be the name"},
    {"..", "cannot be the name"},
    {"a/b", "character 2"},
    {"../etc/passwd", "character 3"},
    {"a b", "character 2"},
    {"caf\xc3\xa9", "character 4"},
    {"a\nb", "character 2"},
    {"a\x1b[31m", "character 2"},
    {"a\\b", "character 2"},
    {"a:b", "character 2"},
};

START_TEST(topic_names_are_checked)
{
    char message[256] = "";
    int err = topic_name_check(name_cases[_i].name, message, sizeof(message));

    if (name_cases[_i].said == NULL) {
        ck_assert_int_eq(err, 0);
    } else {
        ck_assert_int_eq(err, MESH_EINVALID_TOPIC);
        ck_assert_msg(strstr(message, name_cases[_i].said) != NULL, "%s", message);
        for (const char *c = message; *c != '\0'; c++)
            ck_assert(*c >= ' ' && *c < 127); /* what a user sent is not echoed raw */
    }
}
END_TEST

START_TEST(topic_names_end_at_249_bytes)
{
    char name[300], message[256];

    memset(name, 'x', sizeof(name));
    name[249] = '\0';
    ck_assert_int_eq(topic_name_check(name, message, sizeof(message)), 0);
    name[249] = 'x';
    name[250] = '\0';
    ck_assert_int_eq(topic_name_check(name, message, sizeof(message)), MESH_EINVALID_TOPIC);
    ck_assert(topic_name_is_internal("__mesh_groups"));
    ck_assert(!topic_name_is_internal("__mes"));
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
    Suite *suite = suite_create("topic_config");
    TCase *tcase = tcase_create("topic_config");

    tcase_add_loop_test(tcase, a_value_is_read_with_units_and_written_canonically, 0, ROWS(good_cases));
    tcase_add_loop_test(tcase, a_bad_value_is_refused_with_what_is_allowed, 0, ROWS(bad_cases));
    tcase_add_loop_test(tcase, an_unknown_key_names_the_closest_one, 0, ROWS(unknown_cases));
    tcase_add_test(tcase, every_default_is_legal_and_every_row_complete);
    tcase_add_test(tcase, the_storage_gets_the_effective_settings);
    tcase_add_loop_test(tcase, topic_names_are_checked, 0, ROWS(name_cases));
    tcase_add_test(tcase, topic_names_end_at_249_bytes);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
