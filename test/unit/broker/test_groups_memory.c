/* Every allocation of a broker that leads a group fails once, on whichever thread it is: whoever asks is answered or closed, what was acknowledged stays, and what
 * is refused for want of memory was not done. */
#include "base/clock.h"
#include "base/error.h"
#include "broker_fixture.h"
#include "group_client.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/groups/groups.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define SILENCE_MS      20000
#define ALLOCATIONS_MAX 500 /* a step that makes more makes no progress */

static struct broker_fixture broker;
static struct uuid topic_id;
static char group[16]; /* does not live on the shard of the partition that it consumes: that has to be asked where it ends */

static void choose_group(struct raw_client *raw)
{
    struct message_topic_describe describe = {.names = (char *[]){(char[]){GROUPS_TOPIC_NAME}}, .name_count = 1};
    struct message_topic_response topics;
    struct buffer bytes = BUFFER_INIT;
    struct group_client nobody;
    struct raw_frame frame;

    group_client_init(&nobody, raw, "makes the topic", NULL);
    ck_assert_int_eq(group_client_commit(&nobody, &topic_id, 0, 0), 0);
    group_client_deinit(&nobody);
    ck_assert_int_eq(message_encode_topic_describe(&bytes, &describe), 0);
    raw_expect(raw, raw_send(raw, FRAME_OP_TOPIC_DESCRIBE, buffer_slice(&bytes), slice_of(NULL, 0)), &frame);
    ck_assert_int_eq(message_decode_topic_response(buffer_slice(&frame.message), &topics), 0);
    for (int i = 0; i == 0 || raw_shard_of(&topics.topics[0].topic_id, group_partition_of(slice_of_string(group))) == raw_shard_of(&topic_id, 0); i++)
        snprintf(group, sizeof(group), "g%d", i);
    message_deinit_topic_response(&topics);
    raw_frame_deinit(&frame);
    buffer_deinit(&bytes);
}

static void setup(void)
{
    struct buffer batch = raw_batch(ALLOCATIONS_MAX + 1, 1, -1, -1, raw_now_ms());
    struct raw_client raw;

    failing_alloc_spare_this_thread();
    broker_fixture_init(&broker);
    broker_fixture_start(&broker);
    raw_hello(&raw, broker.port, -1);
    topic_id = raw_topic_create(&raw, "orders", 2, NULL, NULL);
    ck_assert_int_eq(raw_produce(&raw, &topic_id, 0, &batch).error, 0);
    buffer_deinit(&batch);
    choose_group(&raw);
    raw_close(&raw);
}

static void teardown(void)
{
    broker_fixture_deinit(&broker);
}

/* What was committed, -1: nothing. */
static int64_t committed(const char *of)
{
    struct raw_client raw;
    struct group_client nobody;
    int64_t offset = -1;
    int err;

    raw_hello(&raw, broker.port, -1);
    group_client_init(&nobody, &raw, of, NULL);
    err = group_client_offsets(&nobody, &topic_id, 0);
    ck_assert_msg(err == 0 || err == MESH_ENOTFOUND, "%s", mesh_strerror(err));
    if (err == 0 && nobody.response.topic_count == 1) offset = nobody.response.topics[0].offsets[0];
    group_client_deinit(&nobody);
    raw_close(&raw);
    return offset;
}

/* Once, without another try. True: there is an answer, whose error is in *ret_error; else the connection was closed. */
static bool ask(struct raw_client *raw, uint16_t op, struct buffer *message, int *ret_error, int32_t *epoch)
{
    struct message_group_response response;
    uint64_t begin_ms = clock_monotonic_ms();
    struct raw_frame frame;
    bool is_answered;

    raw_send(raw, op, buffer_slice(message), slice_of(NULL, 0));
    buffer_deinit(message);
    is_answered = raw_receive(raw, &frame);
    ck_assert_msg(clock_monotonic_ms() - begin_ms < SILENCE_MS, "the broker says nothing");
    if (!is_answered) return false;
    *ret_error = frame.error;
    if (message_decode_group_response(buffer_slice(&frame.message), &response) == 0) {
        if (response.route.epoch >= 0) *epoch = response.route.epoch;
        message_deinit_group_response(&response);
    }
    raw_frame_deinit(&frame);
    return true;
}

/* One offset of nobody in particular. 1: no answer. */
static int commit(struct raw_client *raw, int64_t offset)
{
    uint32_t partition = 0;
    struct message_group_partitions list = {.topic_id = topic_id, .partitions = &partition, .partition_count = 1, .offsets = &offset, .offset_count = 1};
    struct message_group_commit request = {
        .head = {.group = slice_of_string(group), .forwards = true, .epoch = -1}, .generation = -1, .reset_epoch = -1, .topics = &list, .topic_count = 1};
    struct buffer bytes = BUFFER_INIT;
    int32_t epoch;
    int err;

    ck_assert_int_eq(message_encode_group_commit(&bytes, &request), 0);
    return ask(raw, FRAME_OP_GROUP_COMMIT, &bytes, &err, &epoch) ? err : 1;
}

/* Commits, and asks for what others see of it. */
static void commit_step(unsigned n, int64_t *acknowledged)
{
    struct message_group_describe describe = {.head = {.group = slice_of_string(group), .epoch = -1, .forwards = true}, .after_partition = -1};
    struct buffer bytes = BUFFER_INIT;
    struct raw_client raw;
    int32_t epoch;
    int err;
    int64_t offset = (int64_t)n;

    raw_hello(&raw, broker.port, -1);
    failing_alloc_arm(n);
    err = commit(&raw, offset);
    if (err != 1) {
        ck_assert_int_eq(message_encode_group_describe(&bytes, &describe), 0);
        (void)ask(&raw, FRAME_OP_GROUP_DESCRIBE, &bytes, &(int){0}, &epoch);
    }
    raw_close(&raw);
    if (err == 0) *acknowledged = offset;
    if (err == MESH_ENOMEM) ck_assert_int_ne(committed(group), offset);
}

/* Each member has a group of its own: a lead that found no memory is looked at again after a second, and meanwhile others fail. */
static const char *group_of_member(unsigned n)
{
    static char name[24];

    snprintf(name, sizeof(name), "of member %u", n);
    return name;
}

/* A member comes, is there, and leaves; after an error it does not go on. */
static void member_step(unsigned n)
{
    char id[24] = "";
    struct slice topic = slice_of_string("orders");
    struct message_group_join join = {.head = {.group = slice_of_string(group_of_member(n)), .forwards = true, .epoch = -1, .sequence = 1}, .names = &topic, .name_count = 1, .session_timeout_ms = 10000};
    struct message_group_heartbeat heartbeat = {.head = join.head, .wants_work = true};
    struct message_group_change leave = {.head = join.head};
    struct buffer bytes = BUFFER_INIT;
    struct raw_client raw;
    int32_t epoch = -1;
    int err = 0;

    snprintf(id, sizeof(id), "member-%u", n);
    join.head.member = heartbeat.head.member = leave.head.member = slice_of_string(id);
    raw_hello(&raw, broker.port, -1);
    failing_alloc_arm(n);
    ck_assert_int_eq(message_encode_group_join(&bytes, &join), 0);
    if (ask(&raw, FRAME_OP_GROUP_JOIN, &bytes, &err, &epoch) && err == 0) {
        ck_assert_int_eq(message_encode_group_heartbeat(&bytes, &heartbeat), 0);
        if (ask(&raw, FRAME_OP_GROUP_HEARTBEAT, &bytes, &err, &epoch) && err == 0) {
            leave.head.epoch = epoch;
            leave.head.sequence = 2;
            ck_assert_int_eq(message_encode_group_change(&bytes, &leave), 0);
            (void)ask(&raw, FRAME_OP_GROUP_LEAVE, &bytes, &err, &epoch);
        }
    }
    raw_close(&raw);
}

START_TEST(each_allocation_of_a_commit_may_fail)
{
    int64_t acknowledged = -1;

    ck_assert_int_eq(committed(group), -1);
    failing_alloc_each(n)
    {
        commit_step(n, &acknowledged);
        if (!failing_alloc_disarm()) break;
        ck_assert_uint_lt(n, ALLOCATIONS_MAX);
        ck_assert_int_ge(committed(group), acknowledged);
    }
    ck_assert_int_eq(broker_fixture_stop(&broker), 0);
    broker_fixture_start(&broker);
    ck_assert_int_ge(committed(group), acknowledged);
}
END_TEST

START_TEST(each_allocation_of_a_member_may_fail)
{
    unsigned steps = 0;

    failing_alloc_each(n)
    {
        steps = n;
        member_step(n);
        if (!failing_alloc_disarm()) break;
        ck_assert_uint_lt(n, ALLOCATIONS_MAX);
    }
    for (unsigned n = 1; n <= steps; n++) /* all of them are led again */
        ck_assert_int_eq(committed(group_of_member(n)), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("groups_memory");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 240);
    tcase_add_test(tcase, each_allocation_of_a_commit_may_fail);
    tcase_add_test(tcase, each_allocation_of_a_member_may_fail);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
