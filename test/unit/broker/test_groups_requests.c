/* Requests about consumer groups, frame by frame, to two brokers of one mesh: whichever is asked, the leader of the group's partition answers. */
#include "base/error.h"
#include "broker_fixture.h"
#include "cmd/broker/peers/seed.h"
#include "group_client.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/groups/groups.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define PARTITIONS 4

static struct broker_fixture here, there;
static struct raw_client client, direct; /* direct: to `there` */
static struct uuid topic_id;
static struct seed seed;
static char key_path[128];

static void setup(void)
{
    int32_t leaders[PARTITIONS];
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
}

static void teardown(void)
{
    raw_close(&client);
    raw_close(&direct);
    broker_fixture_deinit(&there);
    broker_fixture_deinit(&here);
}

/* A group that lives in a partition led by broker `leader` (1: here, 2: there). */
static const char *group_led_by(int32_t leader, const char *prefix, char name[32])
{
    int32_t leaders[GROUPS_TOPIC_PARTITIONS];

    while (!raw_topic_leaders(&client, GROUPS_TOPIC_NAME, leaders, GROUPS_TOPIC_PARTITIONS)) {
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(name, 32, "%s-%d", prefix, i);
        if (leaders[group_partition_of(slice_of_string(name))] == leader) return name;
    }
    ck_abort_msg("nothing is led by broker %d", leader);
}

/* One member's life: joins, gets everything, commits, gives it back, leaves. */
static void live(struct raw_client *raw, const char *group)
{
    uint32_t partitions[PARTITIONS];
    struct group_client member;

    group_client_init(&member, raw, group, "m1");
    ck_assert_int_eq(group_client_join(&member, "orders"), 0);
    ck_assert_int_ge(member.response.route.epoch, 0);
    ck_assert_uint_gt(member.response.heartbeat_ms, 0);
    group_client_await_work(&member, MESSAGE_GROUP_CLAIM, &topic_id, partitions, PARTITIONS);
    ck_assert_int_eq(group_client_change(&member, FRAME_OP_GROUP_CLAIM, &topic_id, partitions, PARTITIONS), 0);
    ck_assert_uint_eq(member.response.topics[0].partition_count, PARTITIONS);
    for (int i = 0; i < PARTITIONS; i++) {
        ck_assert_int_eq(member.response.topics[0].errors[i], 0);
        ck_assert_int_eq(member.response.topics[0].offsets[i], -1);
    }
    ck_assert_int_eq(group_client_commit(&member, &topic_id, 2, 0), 0);
    ck_assert_uint_eq(member.response.topic_count, 0); /* nothing was refused */
    ck_assert_int_eq(group_client_offsets(&member, &topic_id, 2), 0);
    ck_assert_int_eq(member.response.topics[0].offsets[0], 0);
    ck_assert_int_eq(group_client_offsets(&member, NULL, 0), 0);
    ck_assert_uint_eq(member.response.topics[0].partition_count, 1);
    ck_assert_uint_eq(member.response.topics[0].partitions[0], 2);
    ck_assert_int_eq(group_client_change(&member, FRAME_OP_GROUP_RELEASE, &topic_id, partitions, 1), 0);
    ck_assert_int_eq(group_client_change(&member, FRAME_OP_GROUP_LEAVE, NULL, NULL, 0), 0);
    ck_assert_int_eq(group_client_heartbeat(&member, false), MESH_EUNKNOWN_MEMBER);
    group_client_deinit(&member);
}

static void any_broker_is_the_entry(void)
{
    char near[32], far[32];

    live(&client, group_led_by(1, "near", near));
    live(&client, group_led_by(2, "far", far));
    live(&direct, "near to the one, far from the other");
}

static void who_does_not_ask_to_be_sent_on_hears_where_to_go(void)
{
    struct message_group_heartbeat heartbeat = {.head = {.member = slice_of_string("m1"), .epoch = -1}};
    struct buffer bytes = BUFFER_INIT;
    struct message_group_response response;
    struct raw_frame frame;
    char name[32];

    heartbeat.head.group = slice_of_string(group_led_by(2, "routed", name));
    ck_assert_int_eq(message_encode_group_heartbeat(&bytes, &heartbeat), 0);
    raw_send(&client, FRAME_OP_GROUP_HEARTBEAT, buffer_slice(&bytes), slice_of(NULL, 0));
    ck_assert(raw_receive(&client, &frame));
    ck_assert_int_eq(frame.error, MESH_ENOT_LEADER);
    ck_assert_int_eq(message_decode_group_response(buffer_slice(&frame.message), &response), 0);
    ck_assert_int_eq(response.route.leader, 2);
    ck_assert_int_ge(response.route.epoch, 0);
    message_deinit_group_response(&response);
    raw_frame_deinit(&frame);
    buffer_deinit(&bytes);
}

static void two_members_share_what_one_gives_back(void)
{
    struct group_client first, second;
    uint32_t all[PARTITIONS], half[PARTITIONS / 2];

    group_client_init(&first, &client, "shared", "m1");
    group_client_init(&second, &direct, "shared", "m2");
    ck_assert_int_eq(group_client_join(&first, "orders"), 0);
    group_client_await_work(&first, MESSAGE_GROUP_CLAIM, &topic_id, all, PARTITIONS);
    ck_assert_int_eq(group_client_change(&first, FRAME_OP_GROUP_CLAIM, &topic_id, all, PARTITIONS), 0);
    ck_assert_int_eq(group_client_join(&second, "orders"), 0);
    group_client_await_work(&second, MESSAGE_GROUP_WAIT, &topic_id, half, PARTITIONS / 2);
    ck_assert_int_eq(group_client_change(&second, FRAME_OP_GROUP_CLAIM, &topic_id, half, PARTITIONS / 2), 0);
    ck_assert_int_eq(second.response.topics[0].errors[0], MESH_EBUSY);
    group_client_await_work(&first, MESSAGE_GROUP_RELEASE, &topic_id, half, PARTITIONS / 2);
    ck_assert_int_eq(group_client_commit(&first, &topic_id, half[0], 0), 0);
    ck_assert_int_eq(group_client_change(&first, FRAME_OP_GROUP_RELEASE, &topic_id, half, PARTITIONS / 2), 0);
    group_client_await_work(&second, MESSAGE_GROUP_CLAIM, &topic_id, half, PARTITIONS / 2);
    ck_assert_int_eq(group_client_change(&second, FRAME_OP_GROUP_CLAIM, &topic_id, half, PARTITIONS / 2), 0);
    ck_assert_int_eq(second.response.topics[0].errors[0], 0);
    /* What it has given away is not its own to commit. */
    ck_assert_int_eq(group_client_commit(&first, &topic_id, half[0], 0), 0);
    ck_assert_int_eq(first.response.topics[0].errors[0], MESH_ENOT_OWNER);
    group_client_deinit(&first);
    group_client_deinit(&second);
}

/* A member is told a lease only with a proof that this is the leader; where there is no member nobody asks for one, and who is refused would wait for ever. */
static void who_is_refused_waits_for_no_proof(void)
{
    struct group_client member;
    char name[32];

    group_client_init(&member, &client, group_led_by(2, "refused", name), "m1");
    member.instance = "i1";
    ck_assert_int_eq(group_client_heartbeat(&member, true), MESH_EUNKNOWN_MEMBER);
    member.epoch = -1; /* an instance may take another's place, so it has to know which leader's time it is */
    ck_assert_int_eq(group_client_join(&member, "orders"), MESH_ESTALE_EPOCH);
    ck_assert_int_ge(member.epoch, 0);
    ck_assert_int_eq(group_client_join(&member, "orders"), 0);
    group_client_deinit(&member);
}

static void operators_set_offsets_and_delete(void)
{
    struct group_client nobody;

    group_client_init(&nobody, &client, "set", NULL);
    ck_assert_int_eq(group_client_commit(&nobody, &topic_id, 1, 0), 0);
    ck_assert_int_eq(group_client_reset(&nobody, &topic_id, 3, 0, false, true), 0);
    ck_assert_int_eq(nobody.response.topics[0].offsets_before[0], -1);
    ck_assert_int_eq(nobody.response.topics[0].offsets[0], 0);
    ck_assert_int_eq(group_client_offsets(&nobody, &topic_id, 3), 0);
    ck_assert_uint_eq(nobody.response.topic_count, 0); /* it was a dry run */
    ck_assert_int_eq(group_client_reset(&nobody, &topic_id, 3, 0, false, false), 0);
    ck_assert_int_eq(group_client_offsets(&nobody, &topic_id, 3), 0);
    ck_assert_int_eq(nobody.response.topics[0].offsets[0], 0);
    ck_assert_int_eq(group_client_change(&nobody, FRAME_OP_GROUP_DELETE, NULL, NULL, 0), 0);
    ck_assert_int_eq(group_client_offsets(&nobody, NULL, 0), MESH_ENOTFOUND);
    group_client_deinit(&nobody);
}

/* The named group as `raw`'s broker tells it; to be deinit'ed with *frame. */
static int describe(struct raw_client *raw, const char *name, bool is_local, bool with_lag, struct raw_frame *frame, struct message_group_describe_response *ret)
{
    struct message_group_describe request = {
        .head = {.group = slice_of_string(name), .forwards = true, .epoch = -1}, .is_local = is_local, .with_lag = with_lag, .after_partition = -1};
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(message_encode_group_describe(&bytes, &request), 0);
    raw_send(raw, FRAME_OP_GROUP_DESCRIBE, buffer_slice(&bytes), slice_of(NULL, 0));
    buffer_deinit(&bytes);
    ck_assert(raw_receive(raw, frame));
    ck_assert_int_eq(message_decode_group_describe_response(buffer_slice(&frame->message), ret), 0);
    ck_assert_int_eq(ret->error, frame->error);
    return ret->error;
}

static void any_broker_describes_a_group_with_its_lag(void)
{
    struct raw_client *const clients[] = {&client, &direct};
    struct buffer batch = raw_batch(5, 10, -1, -1, raw_now_ms());
    struct message_group_describe_response response;
    int32_t leaders[PARTITIONS];
    struct group_client member;
    uint32_t partitions[PARTITIONS], led_here = 0;
    struct raw_frame frame;
    char name[32];

    ck_assert(raw_topic_leaders(&client, "orders", leaders, PARTITIONS));
    while (leaders[led_here] != 1)
        led_here++;
    ck_assert_int_eq(raw_produce(&client, &topic_id, led_here, &batch).error, 0);
    group_client_init(&member, &client, group_led_by(2, "described", name), "m7");
    ck_assert_int_eq(group_client_join(&member, "orders"), 0);
    group_client_await_work(&member, MESSAGE_GROUP_CLAIM, &topic_id, partitions, PARTITIONS);
    ck_assert_int_eq(group_client_change(&member, FRAME_OP_GROUP_CLAIM, &topic_id, partitions, PARTITIONS), 0);
    ck_assert_int_eq(group_client_commit(&member, &topic_id, led_here, 2), 0);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(describe(clients[i % 2], name, i < 2, true, &frame, &response), 0);
        ck_assert_uint_eq(response.row.state, MESSAGE_GROUP_STABLE);
        ck_assert_uint_eq(response.member_count, 1);
        ck_assert_uint_eq(response.members[0].claims, PARTITIONS);
        ck_assert(slice_equal(response.members[0].id, slice_of_string("m7")));
        ck_assert_uint_eq(response.topic_count, 1);
        ck_assert(slice_equal(response.topics[0].topic_name, slice_of_string("orders")));
        ck_assert_uint_eq(response.topics[0].partition_count, PARTITIONS);
        for (uint32_t j = 0; j < PARTITIONS; j++) {
            bool is_committed = response.topics[0].partitions[j] == led_here;

            ck_assert_int_eq(response.topics[0].owners[j], 0);
            ck_assert_int_eq(response.topics[0].offsets[j], is_committed ? 2 : -1);
            ck_assert_int_eq(response.topics[0].high_watermarks[j], is_committed ? 5 : 0);
        }
        message_deinit_group_describe_response(&response);
        raw_frame_deinit(&frame);
    }
    ck_assert_int_eq(describe(&client, "no such group", true, true, &frame, &response), MESH_ENOTFOUND);
    message_deinit_group_describe_response(&response);
    raw_frame_deinit(&frame);
    group_client_deinit(&member);
    buffer_deinit(&batch);
}

/* Produced to every partition at its leader, and how far each goes then. */
static void produce_everywhere(int records, int64_t ends[PARTITIONS])
{
    struct raw_client *const clients[] = {&client, &direct};
    struct buffer batch = raw_batch(records, 10, -1, -1, raw_now_ms());
    int32_t leaders[PARTITIONS];

    ck_assert(raw_topic_leaders(&client, "orders", leaders, PARTITIONS));
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        ck_assert_int_eq(raw_produce(clients[leaders[i] - 1], &topic_id, i, &batch).error, 0);
        ends[i] = raw_list_offsets(clients[leaders[i] - 1], &topic_id, i, -1).offset;
        ck_assert_int_ge(ends[i], records);
    }
    buffer_deinit(&batch);
}

/* One commit or reset of all partitions, and what became of each. */
static int put_all(struct group_client *nobody, bool is_reset, const int64_t offsets[PARTITIONS], int errors[PARTITIONS])
{
    static const uint32_t partitions[PARTITIONS] = {0, 1, 2, 3};
    struct message_group_partitions list = {.topic_id = topic_id, .partitions = (uint32_t *)(uintptr_t)partitions, .partition_count = PARTITIONS,
                                            .offsets = (int64_t *)(uintptr_t)offsets, .offset_count = PARTITIONS};
    struct message_group_commit commit = {.head = group_client_head(nobody, true), .generation = -1, .reset_epoch = -1, .topics = &list, .topic_count = 1};
    struct message_group_reset reset = {.head = group_client_head(nobody, false), .who = slice_of_string("a test"), .reset_epoch = -1, .topics = &list, .topic_count = 1};
    struct buffer bytes = BUFFER_INIT;
    int err;

    ck_assert_int_eq(is_reset ? message_encode_group_reset(&bytes, &reset) : message_encode_group_commit(&bytes, &commit), 0);
    err = group_client_ask(nobody, is_reset ? FRAME_OP_GROUP_RESET : FRAME_OP_GROUP_COMMIT, buffer_slice(&bytes));
    buffer_deinit(&bytes);
    memset(errors, 0, PARTITIONS * sizeof(errors[0]));
    for (size_t i = 0; i < nobody->response.topic_count; i++)
        for (size_t j = 0; j < nobody->response.topics[i].error_count; j++)
            errors[nobody->response.topics[i].partitions[j]] = nobody->response.topics[i].errors[j];
    return err;
}

static void check_committed(struct group_client *nobody, const int64_t want[PARTITIONS])
{
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        ck_assert_int_eq(group_client_offsets(nobody, &topic_id, i), 0);
        ck_assert_uint_eq(nobody->response.topic_count, want[i] >= 0);
        if (want[i] >= 0) ck_assert_int_eq(nobody->response.topics[0].offsets[0], want[i]);
    }
}

/* Groups on every shard of both brokers, partitions likewise. */
static void what_lies_behind_an_end_is_refused_wherever_that_is(void)
{
    int64_t ends[PARTITIONS], beyond[PARTITIONS], last[PARTITIONS];
    int errors[PARTITIONS];
    char name[32];

    for (int i = 0; i < 8; i++) {
        struct group_client nobody;

        produce_everywhere(2, ends);
        for (int j = 0; j < PARTITIONS; j++)
            beyond[j] = j % 2 == 0 ? ends[j] + 1 : ends[j];
        snprintf(name, sizeof(name), "beyond-%d", i);
        group_client_init(&nobody, i % 2 == 0 ? &client : &direct, name, NULL);
        ck_assert_int_eq(put_all(&nobody, false, beyond, errors), 0);
        for (int j = 0; j < PARTITIONS; j++)
            ck_assert_int_eq(errors[j], j % 2 == 0 ? MESH_EOFFSET_OUT_OF_RANGE : 0);
        check_committed(&nobody, (int64_t[]){-1, ends[1], -1, ends[3]});
        ck_assert_int_eq(put_all(&nobody, false, ends, errors), 0); /* the last record of each was read */
        for (int j = 0; j < PARTITIONS; j++)
            ck_assert_int_eq(errors[j], 0);
        ck_assert_int_eq(put_all(&nobody, true, beyond, errors), MESH_EOFFSET_OUT_OF_RANGE); /* all of it or nothing */
        check_committed(&nobody, ends);
        memcpy(last, ends, sizeof(last));
        produce_everywhere(1, ends);
        ck_assert_int_eq(put_all(&nobody, true, ends, errors), 0); /* what was known of them is no limit */
        check_committed(&nobody, ends);
        ck_assert_int_eq(put_all(&nobody, false, last, errors), 0);
        check_committed(&nobody, last);
        group_client_deinit(&nobody);
    }
}

/* A commit that has to be asked about first is not overtaken by the next one of its group. */
static void commits_of_a_group_keep_their_order(void)
{
    int64_t ends[PARTITIONS];
    char name[32];

    for (int i = 0; i < 8; i++) {
        struct group_client nobody;
        uint32_t sent[PARTITIONS * 2];

        produce_everywhere(1, ends);
        snprintf(name, sizeof(name), "in order-%d", i);
        group_client_init(&nobody, &client, name, NULL);
        for (uint32_t j = 0; j < PARTITIONS * 2; j++) {
            uint32_t partition = j / 2;
            int64_t offset = j % 2 == 0 ? ends[partition] : 0; /* it has gone back */
            struct message_group_partitions list = {.topic_id = topic_id, .partitions = &partition, .partition_count = 1, .offsets = &offset, .offset_count = 1};
            struct message_group_commit commit = {.head = group_client_head(&nobody, true), .generation = -1, .reset_epoch = -1, .topics = &list, .topic_count = 1};
            struct buffer bytes = BUFFER_INIT;

            ck_assert_int_eq(message_encode_group_commit(&bytes, &commit), 0);
            sent[j] = raw_send(&client, FRAME_OP_GROUP_COMMIT, buffer_slice(&bytes), slice_of(NULL, 0));
            buffer_deinit(&bytes);
        }
        for (uint32_t j = 0; j < PARTITIONS * 2; j++) {
            struct raw_frame frame;

            raw_expect(&client, sent[j], &frame);
            ck_assert_int_eq(frame.error, 0);
            raw_frame_deinit(&frame);
        }
        check_committed(&nobody, (int64_t[]){0, 0, 0, 0});
        group_client_deinit(&nobody);
    }
}

/* The names that a page has, and whether there are more. */
static bool list(const char *after, uint32_t limit, char names[8][32], size_t *ret_count)
{
    struct message_group_list request = {.after = slice_of_string(after), .limit = limit, .partition = -1};
    struct message_group_list_response response;
    struct buffer bytes = BUFFER_INIT;
    struct raw_frame frame;
    bool has_more;

    ck_assert_int_eq(message_encode_group_list(&bytes, &request), 0);
    raw_expect(&client, raw_send(&client, FRAME_OP_GROUP_LIST, buffer_slice(&bytes), slice_of(NULL, 0)), &frame);
    ck_assert_int_eq(message_decode_group_list_response(buffer_slice(&frame.message), &response), 0);
    *ret_count = response.row_count;
    has_more = response.has_more;
    for (size_t i = 0; i < response.row_count && i < 8; i++)
        snprintf(names[i], 32, "%.*s", (int)response.rows[i].name.size, (const char *)response.rows[i].name.data);
    message_deinit_group_list_response(&response);
    raw_frame_deinit(&frame);
    buffer_deinit(&bytes);
    return has_more;
}

static void groups_are_listed_by_name_in_pages(void)
{
    static const char *const groups[] = {"delta", "alpha", "echo", "charlie", "bravo"};
    char names[8][32], last[32] = "";
    struct group_client nobody;
    size_t count;

    ck_assert(!list("", 0, names, &count));
    ck_assert_uint_eq(count, 0); /* there is not even a topic of them */
    for (size_t i = 0; i < 5; i++) {
        group_client_init(&nobody, &client, groups[i], NULL);
        ck_assert_int_eq(group_client_commit(&nobody, &topic_id, 0, 0), 0);
        group_client_deinit(&nobody);
    }
    /* Replicas here follow those that are led there. */
    do
        ck_assert(!list("", 0, names, &count));
    while (count < 5);
    ck_assert_str_eq(names[0], "alpha");
    ck_assert_str_eq(names[4], "echo");
    ck_assert(list("", 2, names, &count));
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(names[1], "bravo");
    memcpy(last, names[1], sizeof(last));
    ck_assert(list(last, 2, names, &count));
    ck_assert_str_eq(names[0], "charlie");
    ck_assert_str_eq(names[1], "delta");
    ck_assert(!list("delta", 2, names, &count));
    ck_assert_uint_eq(count, 1);
}

/* What the http door says, headers and all; to be freed. */
static char *http_get(const char *target)
{
    struct buffer answer = BUFFER_INIT;
    struct raw_client http;
    char request[256];

    raw_connect(&http, here.port);
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nConnection: close\r\n\r\n", target);
    raw_send_bytes(&http, request, strlen(request));
    for (;;) {
        char chunk[4096];
        ssize_t got = recv(http.fd, chunk, sizeof(chunk), 0);

        if (got <= 0) break;
        ck_assert_int_eq(buffer_append(&answer, chunk, (size_t)got), 0);
    }
    ck_assert_int_eq(buffer_append(&answer, "", 1), 0);
    raw_close(&http);
    return (char *)answer.data;
}

static bool http_says(const char *target, const char *wanted)
{
    char *answer = http_get(target);
    bool is_there = strstr(answer, wanted) != NULL;

    free(answer);
    return is_there;
}

static void the_http_door_shows_groups(void)
{
    struct group_client nobody;

    ck_assert(http_says("/v1/groups", "\"partitions_unknown\":0,\"next\":null}"));
    ck_assert(http_says("/v1/groups/none", "404 Not Found"));
    group_client_init(&nobody, &client, "a b", NULL);
    ck_assert_int_eq(group_client_commit(&nobody, &topic_id, 3, 0), 0);
    group_client_deinit(&nobody);
    while (!http_says("/v1/groups", "\"group\":\"a b\",\"state\":\"empty\"")) {
    }
    ck_assert(http_says("/v1/groups?after=zulu", "{\"groups\":[],"));
    ck_assert(http_says("/v1/groups?limit=0", "400 Bad Request"));
    ck_assert(http_says("/v1/groups/a%20b", "\"partition\":3,\"committed\":0,\"high_watermark\":0,\"lag\":0,\"owner\":null"));
    ck_assert(http_says("/v1/groups/a%20b", "\"topic\":\"orders\""));
    ck_assert(http_says("/v1/groups/a%20b/lag", "{\"group\":\"a b\",\"lag\":0,\"age_ms\":0,\"topics\":[{\"topic\":\"orders\""));
    ck_assert(http_says("/v1/groups/a%20b%2Flag", "404 Not Found"));
    ck_assert(http_says("/v1/groups/lag", "404 Not Found")); /* a name */
    group_client_init(&nobody, &client, "\"\\", NULL);
    ck_assert_int_eq(group_client_commit(&nobody, &topic_id, 1, 0), 0);
    group_client_deinit(&nobody);
    while (!http_says("/metrics", "\nmesh_group_lag{group=\"\\\"\\\\\",topic=\"orders\"} 0\n")) { /* replicas here follow */
    }
    ck_assert(http_says("/metrics", "\nmesh_group_lag{group=\"a b\",topic=\"orders\"} 0\n"));
    ck_assert(http_says("/metrics", "\nmesh_group_lag_left_out 0\n"));
}

static void the_topic_of_groups_is_nobodys_to_read_or_write(void)
{
    struct buffer batch = raw_batch(1, 10, -1, -1, raw_now_ms());
    struct fetch_result result;
    struct buffer records = BUFFER_INIT;
    struct raw_frame frame;
    struct message_topic_describe describe = {.all = true};
    struct message_topic_response topics;
    struct buffer bytes = BUFFER_INIT;
    int32_t leaders[GROUPS_TOPIC_PARTITIONS];
    struct fetch_entry entry = {.leader_epoch = -1, .bytes_max = 1000};
    char *name = (char[]){GROUPS_TOPIC_NAME};

    while (!raw_topic_leaders(&client, GROUPS_TOPIC_NAME, leaders, GROUPS_TOPIC_PARTITIONS)) {
    }
    ck_assert_int_eq(message_encode_topic_describe(&bytes, &describe), 0);
    raw_expect(&client, raw_send(&client, FRAME_OP_TOPIC_DESCRIBE, buffer_slice(&bytes), slice_of(NULL, 0)), &frame);
    ck_assert_int_eq(message_decode_topic_response(buffer_slice(&frame.message), &topics), 0);
    ck_assert_uint_eq(topics.topic_count, 1); /* it is not listed */
    message_deinit_topic_response(&topics);
    raw_frame_deinit(&frame);
    buffer_clear(&bytes);
    describe = (struct message_topic_describe){.names = &name, .name_count = 1};
    ck_assert_int_eq(message_encode_topic_describe(&bytes, &describe), 0);
    raw_expect(&client, raw_send(&client, FRAME_OP_TOPIC_DESCRIBE, buffer_slice(&bytes), slice_of(NULL, 0)), &frame);
    ck_assert_int_eq(message_decode_topic_response(buffer_slice(&frame.message), &topics), 0);
    entry.topic_id = topics.topics[0].topic_id;
    message_deinit_topic_response(&topics);
    raw_frame_deinit(&frame);
    while (leaders[entry.partition] != 1)
        entry.partition++;
    ck_assert_int_eq(raw_produce(&client, &entry.topic_id, entry.partition, &batch).error, MESH_EINVALID_TOPIC);
    ck_assert_uint_eq(raw_fetch_results(&client, raw_fetch_send(&client, &(struct raw_fetch){0, 1, 1000}, &entry, 1), &result, 1, &records), 1);
    ck_assert_int_eq(result.error, MESH_EINVALID_TOPIC);
    ck_assert_int_eq(raw_list_offsets(&client, &entry.topic_id, entry.partition, -1).error, MESH_EINVALID_TOPIC);
    buffer_deinit(&bytes);
    buffer_deinit(&records);
    buffer_deinit(&batch);
}

/* Two brokers take their time to start: all that can be asked of one mesh is asked of the same. */
START_TEST(groups_are_led_by_requests)
{
    groups_are_listed_by_name_in_pages(); /* before there is any */
    the_http_door_shows_groups();
    any_broker_is_the_entry();
    who_does_not_ask_to_be_sent_on_hears_where_to_go();
    two_members_share_what_one_gives_back();
    who_is_refused_waits_for_no_proof();
    operators_set_offsets_and_delete();
    any_broker_describes_a_group_with_its_lag();
    what_lies_behind_an_end_is_refused_wherever_that_is();
    commits_of_a_group_keep_their_order();
    the_topic_of_groups_is_nobodys_to_read_or_write();
}
END_TEST

START_TEST(the_first_request_may_be_a_join)
{
    live(&client, "first"); /* there is no topic of groups yet */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("requests about groups");
    TCase *tcase = tcase_create("requests about groups");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, groups_are_led_by_requests);
    tcase_add_test(tcase, the_first_request_may_be_a_join);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
