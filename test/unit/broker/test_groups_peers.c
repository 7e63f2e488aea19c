/* What a broker with a valid key asks another one of groups, past its own door: lies, and what is no request. Each is refused for a named reason, and changes nothing.
 * What the group's leader says of the group is compared byte for byte. */
#include "base/error.h"
#include "broker_fixture.h"
#include "cmd/broker/forward/call.h"
#include "cmd/broker/peers/seed.h"
#include "cmd/broker/runtime/long_memory.h"
#include "cmd/broker/runtime/shard.h"
#include "group_client.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/groups/groups.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define PARTITIONS 2

static struct broker_fixture here, there; /* there: who lies */
static struct raw_client client, direct; /* direct: to `there` */
static struct uuid topic_id;
static struct seed seed;
static char key_path[128], kept[300], foreign[300]; /* groups: led here and there */
static struct group_client member; /* of `kept`: claims all, has committed 0 in partition 0 */

/* A group that lives in a partition led by broker `leader` (1: here, 2: there). */
static const char *group_led_by(int32_t leader, const char *prefix, char name[300])
{
    int32_t leaders[GROUPS_TOPIC_PARTITIONS];
    int i = 0;

    while (!raw_topic_leaders(&client, GROUPS_TOPIC_NAME, leaders, GROUPS_TOPIC_PARTITIONS)) {
    }
    do
        snprintf(name, 300, "%s-%d", prefix, i++);
    while (leaders[group_partition_of(slice_of_string(name))] != leader);
    return name;
}

static void setup(void)
{
    uint32_t partitions[PARTITIONS];
    int32_t leaders[PARTITIONS];
    struct group_client nobody;
    char address[64];

    broker_fixture_init(&here);
    broker_fixture_init(&there);
    broker_fixture_start(&here);
    snprintf(address, sizeof(address), "127.0.0.1:%u", here.port);
    ck_assert_int_eq(seed_parse(address, &seed), 0);
    snprintf(key_path, sizeof(key_path), "%s/key", here.data_dir);
    there.options.seeds = &seed;
    there.options.seed_count = 1;
    there.options.key_places.option = key_path;
    there.options.name = "there";
    broker_fixture_start(&there);
    raw_hello(&client, here.port, -1);
    raw_hello(&direct, there.port, -1);
    topic_id = raw_topic_create(&client, "orders", PARTITIONS, NULL, NULL);
    while (!raw_topic_leaders(&direct, "orders", leaders, PARTITIONS)) {
    }
    group_client_init(&nobody, &client, "makes the topic", NULL);
    ck_assert_int_eq(group_client_commit(&nobody, &topic_id, 0, 0), 0);
    group_client_deinit(&nobody);
    group_led_by(1, "kept", kept);
    group_led_by(2, "foreign", foreign);
    group_client_init(&member, &client, kept, "m1");
    ck_assert_int_eq(group_client_join(&member, "orders"), 0);
    group_client_await_work(&member, MESSAGE_GROUP_CLAIM, &topic_id, partitions, PARTITIONS);
    ck_assert_int_eq(group_client_change(&member, FRAME_OP_GROUP_CLAIM, &topic_id, partitions, PARTITIONS), 0);
    ck_assert_int_eq(group_client_commit(&member, &topic_id, 0, 0), 0);
}

static void teardown(void)
{
    group_client_deinit(&member);
    raw_close(&client);
    raw_close(&direct);
    broker_fixture_deinit(&there);
    broker_fixture_deinit(&here);
}

/* All that the leader says of the group: members, generation, claims, offsets. Appended. */
static void picture(struct buffer *to)
{
    struct message_group_describe request = {.head = {.group = slice_of_string(kept), .epoch = -1}, .after_partition = -1};
    struct message_group_describe_response response;
    struct buffer bytes = BUFFER_INIT;
    struct raw_frame frame;

    ck_assert_int_eq(message_encode_group_describe(&bytes, &request), 0);
    raw_expect(&client, raw_send(&client, FRAME_OP_GROUP_DESCRIBE, buffer_slice(&bytes), slice_of(NULL, 0)), &frame);
    ck_assert_int_eq(message_decode_group_describe_response(buffer_slice(&frame.message), &response), 0);
    ck_assert_uint_eq(response.member_count, 1);
    response.route.heard_us = response.route.proof_behind_us = 0;
    ck_assert_int_eq(message_encode_group_describe_response(to, &response), 0);
    message_deinit_group_describe_response(&response);
    raw_frame_deinit(&frame);
    buffer_deinit(&bytes);
}

/* ---- past the door ---- */

struct errand {
    struct mail mail;
    struct forward_call call;
    struct shard *shard;
    sem_t done;
    int error; /* of the call, of the answer, or of the first partition that it names */
};

static int error_of(const struct forward_call *call)
{
    struct message_group_response response;
    int error = call->error;

    if (error != 0 || call->message.size == 0) return error;
    ck_assert_int_eq(message_decode_group_response(call->message, &response), 0);
    error = response.error;
    for (size_t i = 0; i < response.topic_count && error == 0; i++)
        for (size_t j = 0; j < response.topics[i].error_count && error == 0; j++)
            error = response.topics[i].errors[j];
    message_deinit_group_response(&response);
    return error;
}

static void came_home(struct forward_call *call)
{
    struct errand *errand = container_of(call, struct errand, call);

    errand->error = error_of(call);
    long_memory_give(call->answer);
    sem_post(&errand->done);
}

static void submit(struct mail *mail)
{
    struct errand *errand = container_of(mail, struct errand, mail);

    forward_submit(errand->shard, &errand->call);
}

/* What `there` sends to `here`, whatever its door would have said. Returns the error. */
static int ask(uint16_t op, struct slice message)
{
    struct errand errand = {.mail.deliver = submit, .shard = there.broker->shards[0]};

    errand.call = (struct forward_call){.broker = here.broker_id, .op = op, .expects_answer = true, .timeout_ms = 30000, .message_size = message.size, .done = came_home};
    errand.call.head = malloc(FRAME_HEADER_SIZE + message.size);
    ck_assert_ptr_nonnull(errand.call.head);
    if (message.size > 0) memcpy(errand.call.head + FRAME_HEADER_SIZE, message.data, message.size);
    sem_init(&errand.done, 0, 0);
    mailbox_post(&errand.shard->mailbox, &errand.mail);
    sem_wait(&errand.done);
    sem_destroy(&errand.done);
    free(errand.call.head);
    return errand.error;
}

static int ask_encoded(const char *what, uint16_t op, int encode_error, struct buffer *bytes)
{
    int error;

    ck_assert_msg(encode_error == 0, "%s", what);
    error = ask(op, buffer_slice(bytes));
    buffer_deinit(bytes);
    return error;
}

static void nothing_changed(const struct buffer *before, const char *what)
{
    struct buffer after = BUFFER_INIT;

    picture(&after);
    ck_assert_msg(slice_equal(buffer_slice(before), buffer_slice(&after)), "%s", what);
    buffer_deinit(&after);
}

/* ---- the lies ---- */

static char long_name[300];

#define SAME INT64_MIN /* as the member would say it */

static const struct commit_lie {
    const char *what, *group, *member; /* group: how one begins that would live there; NULL: the one that does */
    int64_t epoch, sequence, generation, offset;
    uint32_t partition;
    bool other_topic;
    int want;
} commit_lies[] = {
    {"a group of more than 255 bytes", long_name, "", -1, 0, -1, 0, 0, false, MESH_EINVALID_GROUP},
    {"a group with a control character", "a\nb", "", -1, 0, -1, 0, 0, false, MESH_EINVALID_GROUP},
    {"a group that is no UTF-8", "a\xff", "", -1, 0, -1, 0, 0, false, MESH_EINVALID_GROUP},
    {"somebody who is no member", NULL, "m2", SAME, SAME, SAME, 0, 0, false, MESH_EUNKNOWN_MEMBER},
    {"nobody, where there are members", NULL, "", -1, 0, -1, 0, 0, false, MESH_EUNKNOWN_MEMBER},
    {"a long member id", NULL, long_name, SAME, SAME, SAME, 0, 0, false, MESH_EUNKNOWN_MEMBER},
    {"an epoch that has not begun", NULL, "m1", 1000, SAME, SAME, 0, 0, false, MESH_ESTALE_EPOCH},
    {"no epoch", NULL, "m1", -1, SAME, SAME, 0, 0, false, MESH_ESTALE_EPOCH},
    {"a number that was used", NULL, "m1", SAME, 1, SAME, 0, 0, false, MESH_EOUT_OF_ORDER_SEQUENCE},
    {"a generation of before", NULL, "m1", SAME, SAME, 0, 0, 0, false, MESH_ESTALE_GENERATION},
    {"a partition that there is not", NULL, "m1", SAME, SAME, SAME, 0, PARTITIONS, false, MESH_EUNKNOWN_TOPIC},
    {"the last partition that a number takes", NULL, "m1", SAME, SAME, SAME, 0, UINT32_MAX, false, MESH_EUNKNOWN_TOPIC},
    {"a topic that there is not", NULL, "m1", SAME, SAME, SAME, 0, 0, true, MESH_EUNKNOWN_TOPIC},
    {"an offset behind the end", NULL, "m1", SAME, SAME, SAME, 1, 0, false, MESH_EOFFSET_OUT_OF_RANGE},
};

static int commit_falsely(const struct commit_lie *lie)
{
    struct message_group_partitions list = {.topic_id = topic_id, .partitions = (uint32_t *)&lie->partition, .partition_count = 1,
                                            .offsets = (int64_t *)&lie->offset, .offset_count = 1};
    struct message_group_commit commit = {.head = group_client_head(&member, true), .generation = member.generation, .reset_epoch = -1, .topics = &list, .topic_count = 1};
    struct buffer bytes = BUFFER_INIT;
    char name[300];

    if (lie->group != NULL) commit.head.group = slice_of_string(group_led_by(1, lie->group, name));
    commit.head.member = slice_of_string(lie->member);
    if (lie->epoch != SAME) commit.head.epoch = (int32_t)lie->epoch;
    if (lie->sequence != SAME) commit.head.sequence = (uint64_t)lie->sequence;
    if (lie->generation != SAME) commit.generation = lie->generation;
    if (lie->other_topic) list.topic_id.bytes[0] ^= 1;
    return ask_encoded(lie->what, FRAME_OP_GROUP_COMMIT, message_encode_group_commit(&bytes, &commit), &bytes);
}

START_TEST(a_false_commit_is_refused)
{
    struct buffer before = BUFFER_INIT;

    memset(long_name, 'x', 254);
    picture(&before);
    for (size_t i = 0; i < sizeof(commit_lies) / sizeof(commit_lies[0]); i++) {
        const struct commit_lie *lie = &commit_lies[i];
        int error = commit_falsely(lie);

        ck_assert_msg(error == lie->want, "%s: %s", lie->what, mesh_strerror(error));
        nothing_changed(&before, lie->what);
    }
    buffer_deinit(&before);
}
END_TEST

/* Kafka's classic protocol goes between brokers alone: what its door looks at nobody has looked at here. */
#define CLASSIC_JOIN MESSAGE_GROUP_CLASSIC_JOIN
static const struct classic_lie {
    const char *what, *group;
    struct message_group_classic message; /* but for head and lists */
    const char *member;
    uint16_t op;
    size_t names, payloads;
    int want;
} classic_lies[] = {
    {"a kind that there is not", "other", {.kind = 99}, "c1", FRAME_OP_GROUP_CLASSIC, 0, 0, MESH_EPROTO},
    {"a join of a group with a control character", "a\nb", {.kind = CLASSIC_JOIN, .session_timeout_ms = 10000}, "", FRAME_OP_GROUP_CLASSIC, 1, 1, MESH_EINVALID_GROUP},
    {"a join of a group of the other protocol", NULL, {.kind = CLASSIC_JOIN, .session_timeout_ms = 10000}, "", FRAME_OP_GROUP_CLASSIC, 1, 1, MESH_EGROUP_NOT_EMPTY},
    {"a sync of nobody", NULL, {.kind = MESSAGE_GROUP_CLASSIC_SYNC, .generation = 1}, "c1", FRAME_OP_GROUP_CLASSIC, 1, 1, MESH_EUNKNOWN_MEMBER},
    {"a heartbeat of nobody", NULL, {.kind = MESSAGE_GROUP_CLASSIC_HEARTBEAT, .generation = 1}, "c1", FRAME_OP_GROUP_CLASSIC_LOOK, 0, 0, MESH_EUNKNOWN_MEMBER},
    {"nobody leaves", NULL, {.kind = MESSAGE_GROUP_CLASSIC_LEAVE, .generation = -1}, "m1", FRAME_OP_GROUP_CLASSIC, 0, 0, MESH_EUNKNOWN_MEMBER},
    {"a heartbeat among what changes something", NULL, {.kind = MESSAGE_GROUP_CLASSIC_HEARTBEAT, .generation = 1}, "c1", FRAME_OP_GROUP_CLASSIC, 0, 0, MESH_EPROTO},
    {"a join among what changes nothing", NULL, {.kind = CLASSIC_JOIN, .session_timeout_ms = 10000}, "", FRAME_OP_GROUP_CLASSIC_LOOK, 1, 1, MESH_EPROTO},
};

START_TEST(a_false_request_of_the_classic_protocol_is_refused)
{
    struct slice names[2] = {slice_of_string("range"), slice_of_string("sticky")}, payloads[2] = {slice_of_string("said"), slice_of_string("said")};
    struct buffer before = BUFFER_INIT;
    char name[300];

    picture(&before);
    for (size_t i = 0; i < sizeof(classic_lies) / sizeof(classic_lies[0]); i++) {
        const struct classic_lie *lie = &classic_lies[i];
        struct message_group_classic message = lie->message;
        struct buffer bytes = BUFFER_INIT;
        int error;

        message.head = group_client_head(&member, false);
        if (lie->group != NULL) message.head.group = slice_of_string(group_led_by(1, lie->group, name));
        message.head.member = slice_of_string(lie->member);
        message.new_id = slice_of_string("c1");
        message.protocol_type = slice_of_string("consumer");
        message.names = names;
        message.name_count = lie->names;
        message.payloads = payloads;
        message.payload_count = lie->payloads;
        error = ask_encoded(lie->what, lie->op, message_encode_group_classic(&bytes, &message), &bytes);
        ck_assert_msg(error == lie->want, "%s: %s", lie->what, mesh_strerror(error));
        nothing_changed(&before, lie->what);
    }
    buffer_deinit(&before);
}
END_TEST

/* ---- what is no request ---- */

START_TEST(what_is_no_request_about_groups_is_refused)
{
    static const uint8_t rubbish[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
    static const uint16_t ops[] = {FRAME_OP_GROUP_JOIN, FRAME_OP_GROUP_HEARTBEAT, FRAME_OP_GROUP_LEAVE, FRAME_OP_GROUP_CLAIM, FRAME_OP_GROUP_RELEASE, FRAME_OP_GROUP_COMMIT,
                                   FRAME_OP_GROUP_OFFSETS, FRAME_OP_GROUP_RESET, FRAME_OP_GROUP_DELETE, FRAME_OP_GROUP_CLASSIC, FRAME_OP_GROUP_CLASSIC_LOOK};
    struct message_group_change change = {.head = group_client_head(&member, true)};
    struct buffer before = BUFFER_INIT, bytes = BUFFER_INIT, elsewhere = BUFFER_INIT;

    picture(&before);
    ck_assert_int_eq(message_encode_group_change(&bytes, &change), 0);
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        ck_assert_int_ne(ask(ops[i], slice_of(rubbish, sizeof(rubbish))), 0);
        ck_assert_int_ne(ask(ops[i], slice_of(bytes.data, bytes.size - 1)), 0); /* cut off within the last field */
        nothing_changed(&before, "rubbish");
    }
    /* What is not led there, and what brokers do not ask of each other. */
    change.head.group = slice_of_string(foreign);
    ck_assert_int_eq(ask_encoded("elsewhere", FRAME_OP_GROUP_LEAVE, message_encode_group_change(&elsewhere, &change), &elsewhere), MESH_ENOT_LEADER);
    ck_assert_int_eq(ask(FRAME_OP_TOPIC_CREATE, buffer_slice(&bytes)), MESH_EPROTO);
    ck_assert_int_eq(ask(FRAME_OP_TOPIC_DELETE, buffer_slice(&bytes)), MESH_EPROTO);
    ck_assert_int_eq(ask(9999, buffer_slice(&bytes)), MESH_EPROTO);
    nothing_changed(&before, "another op");
    /* And its link is as good as it was. */
    ck_assert_int_eq(group_client_heartbeat(&member, false), 0);
    ck_assert_int_eq(group_client_commit(&member, &topic_id, 0, 0), 0);
    ck_assert_int_eq(commit_falsely(&(struct commit_lie){"no lie", NULL, "m1", SAME, SAME, SAME, 0, 0, false, 0}), 0); /* what is no lie is done */
    buffer_deinit(&bytes);
    buffer_deinit(&before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("what brokers ask each other of groups");
    TCase *tcase = tcase_create("what brokers ask each other of groups");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_false_commit_is_refused);
    tcase_add_test(tcase, a_false_request_of_the_classic_protocol_is_refused);
    tcase_add_test(tcase, what_is_no_request_about_groups_is_refused);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
