/* What must not be accepted of requests about groups: each gets the field's error, and nothing is changed by it. One broker; what the group's leader says of the
 * group is compared byte for byte. */
#include "base/error.h"
#include "broker_fixture.h"
#include "group_client.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/groups/groups.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdio.h>

#define PARTITIONS 2
#define RECORDS    5

static struct broker_fixture broker;
static struct raw_client raw;
static struct uuid topic_id;
static char group[16];
static struct group_client member; /* of `group`: claims both partitions, has committed 1 in partition 0 */

/* It lives on another shard than the partition that it consumes, which has to be asked where that ends. */
static void choose_group(void)
{
    struct message_topic_describe describe = {.names = (char *[]){(char[]){GROUPS_TOPIC_NAME}}, .name_count = 1};
    struct message_topic_response topics;
    struct buffer bytes = BUFFER_INIT;
    struct group_client nobody;
    struct raw_frame frame;
    struct uuid groups_id;

    group_client_init(&nobody, &raw, "makes the topic", NULL);
    ck_assert_int_eq(group_client_commit(&nobody, &topic_id, 0, 0), 0);
    group_client_deinit(&nobody);
    ck_assert_int_eq(message_encode_topic_describe(&bytes, &describe), 0);
    raw_expect(&raw, raw_send(&raw, FRAME_OP_TOPIC_DESCRIBE, buffer_slice(&bytes), slice_of(NULL, 0)), &frame);
    ck_assert_int_eq(message_decode_topic_response(buffer_slice(&frame.message), &topics), 0);
    groups_id = topics.topics[0].topic_id;
    message_deinit_topic_response(&topics);
    raw_frame_deinit(&frame);
    buffer_deinit(&bytes);
    for (int i = 0;; i++) {
        snprintf(group, sizeof(group), "g%d", i);
        if (raw_shard_of(&groups_id, group_partition_of(slice_of_string(group))) != raw_shard_of(&topic_id, 0)) return;
    }
}

static void setup(void)
{
    struct buffer batch = raw_batch(RECORDS, 10, -1, -1, raw_now_ms());
    uint32_t partitions[PARTITIONS];

    broker_fixture_init(&broker);
    broker_fixture_start(&broker);
    raw_hello(&raw, broker.port, -1);
    topic_id = raw_topic_create(&raw, "orders", PARTITIONS, NULL, NULL);
    ck_assert_int_eq(raw_produce(&raw, &topic_id, 0, &batch).error, 0);
    buffer_deinit(&batch);
    choose_group();
    group_client_init(&member, &raw, group, "m1");
    ck_assert_int_eq(group_client_join(&member, "orders"), 0);
    group_client_await_work(&member, MESSAGE_GROUP_CLAIM, &topic_id, partitions, PARTITIONS);
    ck_assert_int_eq(group_client_change(&member, FRAME_OP_GROUP_CLAIM, &topic_id, partitions, PARTITIONS), 0);
    ck_assert_int_eq(group_client_commit(&member, &topic_id, 0, 1), 0);
    ck_assert_uint_eq(member.response.topic_count, 0);
}

static void teardown(void)
{
    group_client_deinit(&member);
    raw_close(&raw);
    broker_fixture_deinit(&broker);
}

/* All that the leader says of the group: members, generation, claims, offsets. Appended. */
static void picture(struct buffer *to)
{
    struct message_group_describe request = {.head = {.group = slice_of_string(group), .epoch = -1}, .after_partition = -1};
    struct message_group_describe_response response;
    struct buffer bytes = BUFFER_INIT;
    struct raw_frame frame;

    ck_assert_int_eq(message_encode_group_describe(&bytes, &request), 0);
    raw_expect(&raw, raw_send(&raw, FRAME_OP_GROUP_DESCRIBE, buffer_slice(&bytes), slice_of(NULL, 0)), &frame);
    ck_assert_int_eq(message_decode_group_describe_response(buffer_slice(&frame.message), &response), 0);
    ck_assert_uint_eq(response.member_count, 1);
    response.route.heard_us = response.route.proof_behind_us = 0;
    ck_assert_int_eq(message_encode_group_describe_response(to, &response), 0);
    message_deinit_group_describe_response(&response);
    raw_frame_deinit(&frame);
    buffer_deinit(&bytes);
}

/* ---- joins ---- */

static char long_name[300], long_pattern[300];

static const struct join_case {
    const char *what;
    struct message_group_join join; /* but for the head */
    const char *group, *member, *name, *pattern;
    int want;
} join_cases[] = {
    {"no group", {.session_timeout_ms = 10000}, "", "m2", "orders", NULL, MESH_EINVALID_GROUP},
    {"a group of 256 bytes", {.session_timeout_ms = 10000}, long_name, "m2", "orders", NULL, MESH_EINVALID_GROUP},
    {"a group with a control character", {.session_timeout_ms = 10000}, "a\nb", "m2", "orders", NULL, MESH_EINVALID_GROUP},
    {"a group that is no UTF-8", {.session_timeout_ms = 10000}, "a\xff", "m2", "orders", NULL, MESH_EINVALID_GROUP},
    {"an overlong UTF-8 slash", {.session_timeout_ms = 10000}, "a\xc0\xaf", "m2", "orders", NULL, MESH_EINVALID_GROUP},
    {"no member id", {.session_timeout_ms = 10000}, "g", "", "orders", NULL, MESH_EINVAL},
    {"a member id of 256 bytes", {.session_timeout_ms = 10000}, "g", long_name, "orders", NULL, MESH_EINVAL},
    {"a session of 1 ms", {.session_timeout_ms = 1}, "g", "m2", "orders", NULL, MESH_EINVALID_SESSION_TIMEOUT},
    {"a session of 49 days", {.session_timeout_ms = UINT32_MAX}, "g", "m2", "orders", NULL, MESH_EINVALID_SESSION_TIMEOUT},
    {"a processing limit of 49 days", {.session_timeout_ms = 10000, .processing_limit_ms = UINT32_MAX}, "g", "m2", "orders", NULL, MESH_EINVAL},
    {"a strategy that there is not", {.session_timeout_ms = 10000, .strategy = 99}, "g", "m2", "orders", NULL, MESH_EINVAL},
    {"a topic name with a slash", {.session_timeout_ms = 10000}, "g", "m2", "a/b", NULL, MESH_EINVALID_TOPIC},
    {"an internal topic", {.session_timeout_ms = 10000}, "g", "m2", "__mesh_groups", NULL, MESH_EINVALID_TOPIC},
    {"names and a pattern", {.session_timeout_ms = 10000}, "g", "m2", "orders", "o.*", MESH_EINVAL},
    {"a pattern that does not compile", {.session_timeout_ms = 10000}, "g", "m2", NULL, "(orders", MESH_EINVALID_PATTERN},
    {"a pattern with a back reference", {.session_timeout_ms = 10000}, "g", "m2", NULL, "(o)\\1", MESH_EINVALID_PATTERN},
    {"a pattern of internal topics", {.session_timeout_ms = 10000}, "g", "m2", NULL, "__mesh.*", MESH_EINVALID_PATTERN},
    {"a pattern of 257 bytes", {.session_timeout_ms = 10000}, "g", "m2", NULL, long_pattern, MESH_EINVALID_PATTERN},
};

START_TEST(a_join_that_cannot_be_is_told_why)
{
    struct buffer before = BUFFER_INIT, after = BUFFER_INIT, bytes = BUFFER_INIT;

    memset(long_name, 'x', 256);
    memset(long_pattern, 'x', 257);
    picture(&before);
    for (size_t i = 0; i < sizeof(join_cases) / sizeof(join_cases[0]); i++) {
        const struct join_case *c = &join_cases[i];
        struct message_group_join join = c->join;
        struct slice name = slice_of_string(c->name == NULL ? "" : c->name);
        struct group_client joiner;
        int err;

        group_client_init(&joiner, &raw, c->group, c->member);
        join.head = group_client_head(&joiner, true);
        join.names = &name;
        join.name_count = c->name != NULL;
        if (c->pattern != NULL) join.pattern = slice_of_string(c->pattern);
        buffer_clear(&bytes);
        ck_assert_int_eq(message_encode_group_join(&bytes, &join), 0);
        err = group_client_ask(&joiner, FRAME_OP_GROUP_JOIN, buffer_slice(&bytes));
        ck_assert_msg(err == c->want, "%s: %s", c->what, mesh_error_name(err));
        group_client_deinit(&joiner);
    }
    picture(&after);
    ck_assert(slice_equal(buffer_slice(&before), buffer_slice(&after)));
    buffer_deinit(&before);
    buffer_deinit(&after);
    buffer_deinit(&bytes);
}
END_TEST

/* ---- members ---- */

static int ask_as(const char *name, const char *id, const char *instance, uint16_t op)
{
    static const uint32_t partition = 0;
    struct group_client other;
    int err;

    group_client_init(&other, &raw, name, id);
    other.instance = instance;
    other.epoch = member.epoch;
    other.sequence = 1000;
    other.generation = member.generation;
    if (op == FRAME_OP_GROUP_HEARTBEAT)
        err = group_client_heartbeat(&other, true);
    else if (op == FRAME_OP_GROUP_COMMIT)
        err = group_client_commit(&other, &topic_id, 0, 2);
    else
        err = group_client_change(&other, op, op == FRAME_OP_GROUP_LEAVE ? NULL : &topic_id, &partition, op == FRAME_OP_GROUP_LEAVE ? 0 : 1);
    group_client_deinit(&other);
    return err;
}

START_TEST(who_is_no_member_changes_nothing)
{
    static const uint16_t ops[] = {FRAME_OP_GROUP_HEARTBEAT, FRAME_OP_GROUP_CLAIM, FRAME_OP_GROUP_RELEASE, FRAME_OP_GROUP_COMMIT, FRAME_OP_GROUP_LEAVE};
    struct buffer before = BUFFER_INIT, after = BUFFER_INIT;

    picture(&before);
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        ck_assert_int_eq(ask_as(group, "m2", NULL, ops[i]), MESH_EUNKNOWN_MEMBER);
        ck_assert_int_eq(ask_as("no such group", "m1", NULL, ops[i]), MESH_EUNKNOWN_MEMBER);
        ck_assert_int_eq(ask_as(group, "m1", "another instance", ops[i]), MESH_EFENCED_INSTANCE);
    }
    /* Of another leader's time, and late copies. */
    member.epoch--;
    ck_assert_int_eq(group_client_commit(&member, &topic_id, 0, 2), MESH_ESTALE_EPOCH);
    member.epoch = member.response.route.epoch; /* the refusal tells it */
    member.sequence -= 2;
    ck_assert_int_eq(group_client_commit(&member, &topic_id, 0, 2), MESH_EOUT_OF_ORDER_SEQUENCE);
    member.sequence += 2;
    picture(&after);
    ck_assert(slice_equal(buffer_slice(&before), buffer_slice(&after)));
    buffer_deinit(&before);
    buffer_deinit(&after);
}
END_TEST

/* ---- commits ---- */

static int commit_cell(struct message_group_partitions *list, int64_t generation)
{
    struct message_group_commit commit = {
        .head = group_client_head(&member, true), .generation = generation, .reset_epoch = -1, .topics = list, .topic_count = 1};
    struct buffer bytes = BUFFER_INIT;
    int err = message_encode_group_commit(&bytes, &commit);

    ck_assert_int_eq(err, 0);
    err = group_client_ask(&member, FRAME_OP_GROUP_COMMIT, buffer_slice(&bytes));
    buffer_deinit(&bytes);
    if (err != 0) return err;
    return member.response.topic_count == 0 ? 0 : member.response.topics[0].errors[0];
}

START_TEST(a_commit_that_cannot_be_is_told_why)
{
    static uint8_t metadata[4097];
    struct slice text = slice_of(metadata, sizeof(metadata));
    struct uuid nowhere = topic_id;
    uint32_t partition = 0, place = 0;
    int64_t offset = 2;
    struct message_group_partitions list = {.topic_id = topic_id, .partitions = &partition, .partition_count = 1, .offsets = &offset, .offset_count = 1};
    struct buffer before = BUFFER_INIT, after = BUFFER_INIT;

    picture(&before);
    ck_assert_int_eq(commit_cell(&list, 0), MESH_ESTALE_GENERATION);
    ck_assert_int_eq(commit_cell(&list, INT64_MAX), MESH_ESTALE_GENERATION);
    offset = RECORDS + 1; /* beyond the log's end */
    ck_assert_int_eq(commit_cell(&list, member.generation), MESH_EOFFSET_OUT_OF_RANGE);
    offset = INT64_MAX;
    ck_assert_int_eq(commit_cell(&list, member.generation), MESH_EOFFSET_OUT_OF_RANGE);
    list.offset_count = 0; /* none at all */
    ck_assert_int_eq(commit_cell(&list, member.generation), MESH_EOFFSET_OUT_OF_RANGE);
    list.offset_count = 1;
    offset = 2;
    list.metadata = &text;
    list.metadata_places = &place;
    list.metadata_count = list.metadata_place_count = 1;
    ck_assert_int_eq(commit_cell(&list, member.generation), MESH_EMETADATA_TOO_LARGE);
    list.metadata_count = list.metadata_place_count = 0;
    partition = PARTITIONS; /* there is no such one */
    ck_assert_int_eq(commit_cell(&list, member.generation), MESH_EUNKNOWN_TOPIC);
    partition = UINT32_MAX;
    ck_assert_int_eq(commit_cell(&list, member.generation), MESH_EUNKNOWN_TOPIC);
    partition = 0;
    nowhere.bytes[3] ^= 1;
    list.topic_id = nowhere;
    ck_assert_int_eq(commit_cell(&list, member.generation), MESH_EUNKNOWN_TOPIC);
    /* A consumer outside of groups is none where there are members. */
    ck_assert_int_eq(ask_as(group, NULL, NULL, FRAME_OP_GROUP_COMMIT), MESH_EUNKNOWN_MEMBER);
    picture(&after);
    ck_assert(slice_equal(buffer_slice(&before), buffer_slice(&after)));
    buffer_deinit(&before);
    buffer_deinit(&after);
}
END_TEST

/* One partition as often as somebody likes: what stands beside its offset would come as often. */
START_TEST(more_metadata_than_an_answer_takes_are_refused)
{
    static uint8_t metadata[4096];
    static uint32_t partitions[1000];
    struct slice text = slice_of(metadata, sizeof(metadata));
    uint32_t place = 0;
    int64_t offset = 2;
    struct message_group_partitions list = {.topic_id = topic_id, .partitions = partitions, .partition_count = 1, .offsets = &offset, .offset_count = 1,
                                            .metadata = &text, .metadata_count = 1, .metadata_places = &place, .metadata_place_count = 1};
    struct message_group_offsets request = {.head = group_client_head(&member, false), .topics = &list, .topic_count = 1};
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(commit_cell(&list, member.generation), 0);
    list = (struct message_group_partitions){.topic_id = topic_id, .partitions = partitions, .partition_count = 500};
    ck_assert_int_eq(message_encode_group_offsets(&bytes, &request), 0);
    ck_assert_int_eq(group_client_ask(&member, FRAME_OP_GROUP_OFFSETS, buffer_slice(&bytes)), 0);
    ck_assert_uint_eq(member.response.topics[0].partition_count, 500);
    list.partition_count = 1000;
    buffer_clear(&bytes);
    ck_assert_int_eq(message_encode_group_offsets(&bytes, &request), 0);
    ck_assert_int_eq(group_client_ask(&member, FRAME_OP_GROUP_OFFSETS, buffer_slice(&bytes)), MESH_ETOOLARGE);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(a_partition_that_is_not_owned_is_not_committed)
{
    uint32_t partition = 1;
    int64_t offset = 0;
    struct message_group_partitions list = {.topic_id = topic_id, .partitions = &partition, .partition_count = 1, .offsets = &offset, .offset_count = 1};
    struct buffer before = BUFFER_INIT, after = BUFFER_INIT;

    ck_assert_int_eq(group_client_change(&member, FRAME_OP_GROUP_RELEASE, &topic_id, &partition, 1), 0);
    picture(&before);
    ck_assert_int_eq(commit_cell(&list, member.generation), MESH_ENOT_OWNER);
    ck_assert_int_eq(group_client_change(&member, FRAME_OP_GROUP_RELEASE, &topic_id, &partition, 1), 0);
    ck_assert_int_eq(member.response.topics[0].errors[0], MESH_ENOT_OWNER);
    picture(&after);
    ck_assert(slice_equal(buffer_slice(&before), buffer_slice(&after)));
    buffer_deinit(&before);
    buffer_deinit(&after);
}
END_TEST

/* ---- operators ---- */

START_TEST(operators_are_refused_too)
{
    struct group_client operator_, nowhere;
    struct buffer before = BUFFER_INIT, after = BUFFER_INIT;

    group_client_init(&operator_, &raw, group, NULL);
    group_client_init(&nowhere, &raw, "no such group", NULL);
    picture(&before);
    ck_assert_int_eq(group_client_reset(&operator_, &topic_id, 0, 0, false, false), MESH_EGROUP_NOT_EMPTY);
    ck_assert_int_eq(group_client_reset(&operator_, &topic_id, PARTITIONS, 0, true, false), MESH_EUNKNOWN_TOPIC);
    ck_assert_int_eq(operator_.response.topics[0].errors[0], MESH_EUNKNOWN_TOPIC);
    ck_assert_int_eq(group_client_reset(&operator_, &topic_id, 0, RECORDS + 1, true, false), MESH_EOFFSET_OUT_OF_RANGE);
    ck_assert_int_eq(group_client_reset(&operator_, &topic_id, 0, 0, true, true), 0); /* dry: only said */
    ck_assert_int_eq(operator_.response.topics[0].offsets_before[0], 1);
    ck_assert_int_eq(group_client_reset(&nowhere, &topic_id, 0, 0, true, false), MESH_ENOTFOUND);
    ck_assert_int_eq(group_client_change(&operator_, FRAME_OP_GROUP_DELETE, NULL, NULL, 0), MESH_EGROUP_NOT_EMPTY);
    ck_assert_int_eq(group_client_change(&nowhere, FRAME_OP_GROUP_DELETE, NULL, NULL, 0), MESH_ENOTFOUND);
    ck_assert_int_eq(group_client_offsets(&nowhere, NULL, 0), MESH_ENOTFOUND);
    picture(&after);
    ck_assert(slice_equal(buffer_slice(&before), buffer_slice(&after)));
    group_client_deinit(&operator_);
    group_client_deinit(&nowhere);
    buffer_deinit(&before);
    buffer_deinit(&after);
}
END_TEST

/* ---- bytes ---- */

START_TEST(bytes_that_are_no_request_are_refused)
{
    static const uint8_t no_message[] = {0x0a, 5, 'g'}, no_lists[] = {0x0a, 1, 'g', 0x1a, 2, 'm', '1', 0x52, 3, 0x1a, 1, 5};
    struct buffer before = BUFFER_INIT, after = BUFFER_INIT;

    picture(&before);
    for (uint16_t op = FRAME_OP_GROUP_JOIN; op <= FRAME_OP_GROUP_DELETE; op++) {
        ck_assert_int_eq(group_client_ask(&member, op, slice_of(no_message, sizeof(no_message))), MESH_EPROTO);
        ck_assert_int_eq(group_client_ask(&member, op, slice_of(NULL, 0)), MESH_EINVALID_GROUP);
    }
    ck_assert_int_eq(group_client_ask(&member, FRAME_OP_GROUP_COMMIT, slice_of(no_lists, sizeof(no_lists))), MESH_EPROTO);
    picture(&after);
    ck_assert(slice_equal(buffer_slice(&before), buffer_slice(&after)));
    buffer_deinit(&before);
    buffer_deinit(&after);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bad input about groups");
    TCase *tcase = tcase_create("bad input about groups");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_join_that_cannot_be_is_told_why);
    tcase_add_test(tcase, who_is_no_member_changes_nothing);
    tcase_add_test(tcase, a_commit_that_cannot_be_is_told_why);
    tcase_add_test(tcase, more_metadata_than_an_answer_takes_are_refused);
    tcase_add_test(tcase, a_partition_that_is_not_owned_is_not_committed);
    tcase_add_test(tcase, operators_are_refused_too);
    tcase_add_test(tcase, bytes_that_are_no_request_are_refused);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
