/* What a topic promises: modes, presets, min.insync, wishes for more replicas than there are brokers; what does not go together is refused
 * with a sentence. */
#include "base/error.h"
#include "metadata_history.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

#define SETTINGS_MAX 4

static size_t split(char *text, struct decide_config *configs)
{
    char *save = NULL;
    size_t count = 0;

    for (char *pair = strtok_r(text, ",", &save); pair != NULL; pair = strtok_r(NULL, ",", &save)) {
        char *value = strchr(pair, '=');
        *value++ = '\0';
        configs[count++] = (struct decide_config){pair, value};
    }
    return count;
}

static int create(struct history *history, int32_t replicas, const char *settings, struct decision *decision)
{
    char copy[128];
    struct decide_config configs[SETTINGS_MAX];
    struct decide_topic_create request = {.name = "t",
                                          .partition_count = 2,
                                          .replication_factor = replicas,
                                          .replication_factor_default = 3,
                                          .configs = configs,
                                          .topic_id = history_uuid(history)};

    snprintf(copy, sizeof(copy), "%s", settings);
    request.config_count = split(copy, configs);
    return decide_topic_create(history->image, &request, decision);
}

/* On three brokers. */
static const struct {
    int32_t replicas;
    const char *settings;
    int want;
    uint32_t placed;
    int64_t min; /* that holds */
    const char *said;
} create_cases[] = {
    {0, "", 0, 3, 2, ""},
    {1, "", 0, 1, 1, ""},
    {2, "", 0, 2, 2, ""},
    {3, "", 0, 3, 2, ""},
    {3, "min.insync=auto", 0, 3, 2, ""},
    {3, "min.insync=3", 0, 3, 3, ""},
    {3, "min.insync=1", 0, 3, 1, "may be acknowledged that is on one disk only"},
    {0, "replicas=2", 0, 2, 2, ""},
    {2, "replicas=2", 0, 2, 2, ""},
    {2, "replicas=3", MESH_EINVALID_REPLICATION, 0, 0, "replicas=3 contradicts the replication factor of 2"},
    {2, "min.insync=3", MESH_EINVALID_CONFIG, 0, 0, "min.insync=3 cannot be met by 2 replicas"},
    {17, "", MESH_EINVALID_REPLICATION, 0, 0, "at most 16"},
    /* wishes: five of three brokers; the minimum is that of five */
    {5, "", 0, 3, 3, "5 replicas are wanted and 3 brokers are up: the others are added as brokers join"},
    {9, "", 0, 3, 5, "until 5 are there (min.insync), acks=all is refused: min.insync=3 would accept records now"},
    {5, "min.insync=2", 0, 3, 2, "5 replicas are wanted"},
    /* modes */
    {3, "mode=async", 0, 3, 1, ""},
    {3, "mode=async,min.insync=2", MESH_EINVALID_CONFIG, 0, 0, "mode=async acknowledges by the leader alone"},
    {0, "mode=sync-double-write", 0, 2, 2, ""},
    {2, "mode=sync-double-write,min.insync=1", 0, 2, 1, "one disk only"},
    {3, "mode=sync-double-write", MESH_EINVALID_REPLICATION, 0, 0, "keeps two replicas, not 3"},
    {2, "mode=sync-double-write,flush=async", MESH_EINVALID_CONFIG, 0, 0, "needs flush=group"},
    {3, "mode=quorum", 0, 3, 2, ""},
    {3, "mode=quorum,min.insync=2", 0, 3, 2, ""},
    {3, "mode=quorum,min.insync=3", MESH_EINVALID_CONFIG, 0, 0, "always waits for the majority, 2 of 3"},
    {3, "mode=quorum,flush=async", MESH_EINVALID_CONFIG, 0, 0, "needs flush=group"},
    {3, "mode=quorum,unclean=balanced", MESH_EINVALID_CONFIG, 0, 0, "leave unclean=manual"},
    {5, "mode=quorum", MESH_EINVALID_REPLICATION, 0, 0, "mode=quorum needs its 5 brokers"},
    {3, "mode=eventual", MESH_EINVALID_CONFIG, 0, 0, "allowed: isr,async,sync-double-write,quorum"},
    {3, "unclean.leader.election.enable=true", 0, 3, 2, ""},
    {3, "min.insync=0", MESH_EINVALID_CONFIG, 0, 0, "auto, or 1 to 16"},
};

START_TEST(a_new_topic_promises)
{
    struct history *history = history_new_mesh(3, "abc");
    struct decision decision;
    struct image_partition partition;
    const struct image_topic *topic;
    int err;

    decision_init(&decision);
    err = create(history, create_cases[_i].replicas, create_cases[_i].settings, &decision);
    ck_assert_msg(err == create_cases[_i].want, "%s: %s", mesh_error_name(err), decision.message);
    ck_assert_msg(strstr(decision.message, create_cases[_i].said) != NULL, "%s", decision.message);
    if (create_cases[_i].said[0] == '\0') ck_assert_str_eq(decision.message, "");
    if (err == 0) {
        history_commit(history, &decision);
        topic = image_find_topic_by_name(history->image, "t");
        image_topic_partition(topic, 1, &partition);
        ck_assert_uint_eq(partition.replica_count, create_cases[_i].placed);
        ck_assert_uint_eq(image_min_insync(topic, image_partition_factor(&partition)), create_cases[_i].min);
    }
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

START_TEST(a_mode_is_a_preset_that_settings_override)
{
    struct history *history = history_new_mesh(3, "abc");
    struct decision decision;
    const struct image_topic *topic;

    decision_init(&decision);
    ck_assert_int_eq(create(history, 3, "mode=async", &decision), 0);
    history_commit(history, &decision);
    topic = image_find_topic_by_name(history->image, "t");
    ck_assert_int_eq(image_topic_config(topic, TOPIC_CONFIG_FLUSH), TOPIC_FLUSH_ASYNC);
    ck_assert_uint_eq(topic->config_count, 1); /* what the mode stands for is not written down */
    ck_assert_int_eq(decide_topic_delete(history->image, "t", &decision), 0);
    history_commit(history, &decision);
    ck_assert_int_eq(create(history, 3, "mode=async,flush=group", &decision), 0);
    history_commit(history, &decision);
    ck_assert_int_eq(image_topic_config(image_find_topic_by_name(history->image, "t"), TOPIC_CONFIG_FLUSH), TOPIC_FLUSH_GROUP);
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

/* What was placed on two of the wished-for three brokers grows by two partitions, which are wished for likewise. */
START_TEST(new_partitions_share_the_wish)
{
    struct history *history = history_new_mesh(2, "ab");
    struct decide_topic_alter alter = {.name = "t", .partition_count = 4};
    struct decision decision;
    struct image_partition partition;
    const struct image_topic *topic;

    decision_init(&decision);
    ck_assert_int_eq(create(history, 3, "", &decision), 0);
    history_commit(history, &decision);
    ck_assert_int_eq(decide_topic_alter(history->image, &alter, &decision), 0);
    ck_assert_ptr_nonnull(strstr(decision.message, "3 replicas are wanted and 2 brokers are up"));
    history_commit(history, &decision);
    topic = image_find_topic_by_name(history->image, "t");
    image_topic_partition(topic, 3, &partition);
    ck_assert_uint_eq(partition.replica_count, 2);
    ck_assert_int_eq(image_topic_config(topic, TOPIC_CONFIG_REPLICAS), 3);
    ck_assert_int_eq(image_topic_config(topic, TOPIC_CONFIG_MIN_INSYNC), 2);
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

/* An ALTER of a leader that does not know of a higher min.insync yet is bound to an epoch that is over: it would count whoever leaves as one who is not
 * needed, and the coordinator as eligible. What falls needs no such thing. */
START_TEST(a_higher_min_insync_ends_the_partitions_epochs)
{
    static const struct {
        const char *value;
        uint32_t risen;
    } steps[] = {{"3", 1}, {"3", 1}, {"2", 1}, {"1", 1}, {"2", 2}};
    struct history *history = history_new_mesh(3, "abc");
    struct decision decision;

    decision_init(&decision);
    ck_assert_int_eq(create(history, 3, "min.insync=2", &decision), 0);
    history_commit(history, &decision);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct decide_config config = {"min.insync", steps[i].value};
        struct decide_topic_alter alter = {.name = "t", .configs = &config, .config_count = 1};

        ck_assert_int_eq(decide_topic_alter(history->image, &alter, &decision), 0);
        history_commit(history, &decision);
        for (uint32_t p = 0; p < 2; p++) {
            struct image_partition partition;

            ck_assert(image_topic_partition(image_find_topic_by_name(history->image, "t"), p, &partition));
            ck_assert_uint_eq(partition.partition_epoch, steps[i].risen);
            ck_assert_uint_eq(partition.isr, 7);
        }
    }
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("durability");
    TCase *tcase = tcase_create("durability");

    tcase_add_loop_test(tcase, a_new_topic_promises, 0, sizeof(create_cases) / sizeof(create_cases[0]));
    tcase_add_test(tcase, a_mode_is_a_preset_that_settings_override);
    tcase_add_test(tcase, new_partitions_share_the_wish);
    tcase_add_test(tcase, a_higher_min_insync_ends_the_partitions_epochs);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
