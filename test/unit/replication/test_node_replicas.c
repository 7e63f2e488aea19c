/* What metadata nodes carry about replicas: leaders' ISRs from wherever they lead, replicas that lost records, leaders found by reports, and
 * replicas that move, over coordinators that die. The replicas themselves are played here. */
#include "node_story.h"
#include "support/run_suite.h"

#include "base/buffer.h"
#include "base/error.h"
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

static void begin(size_t hosts)
{
    struct node_mesh_options options;

    node_mesh_options_init(&options, hosts);
    options.node.moves_per_broker = 2;
    options.node.replace_us = 20 * SECOND;
    story_begin_with(&options);
    story_found(hosts < 3 ? hosts : 3);
}

static void create(const char *mode, int32_t replicas)
{
    struct message_config config = {.key = (char *)(uintptr_t) "mode", .value = (char *)(uintptr_t)mode};
    struct message_topic_create request = {
        .name = (char *)(uintptr_t) "t", .partition_count = 1, .replication_factor = replicas, .configs = &config, .config_count = 1};
    struct buffer body = BUFFER_INIT;
    const struct node_answer *answer;

    ck_assert_int_eq(message_encode_topic_create(&body, &request), 0);
    answer = story_await(node_mesh_request(mesh, 0, NODE_OP_TOPIC_CREATE, buffer_slice(&body), 10 * SECOND));
    ck_assert_msg(answer->error == 0, "%s", answer->text);
    buffer_deinit(&body);
}

/* ---- looking: as some host that is up sees it ---- */

static const struct image *image(void)
{
    int coordinator = node_mesh_coordinator(mesh);

    for (size_t i = 0; coordinator < 0 && i < node_mesh_count(mesh); i++) {
        if (node_mesh_node(mesh, i) != NULL) coordinator = (int)i;
    }
    return node_image(node_mesh_node(mesh, (size_t)coordinator));
}

static struct image_partition state(void)
{
    struct image_partition partition;

    ck_assert(image_topic_partition(image_find_topic_by_name(image(), "t"), 0, &partition));
    return partition;
}

static size_t host_of(int32_t node_id)
{
    const struct image_broker *broker = image_find_broker(image(), node_id);

    for (size_t i = 0; i < node_mesh_count(mesh); i++) {
        struct raft_server server = node_mesh_server(mesh, i);
        if (uuid_equal(&server.broker, &broker->broker_id)) return i;
    }
    ck_abort_msg("no host of broker %d", node_id);
}

static uint64_t broker_epoch(int32_t node_id)
{
    return image_find_broker(image(), node_id)->epoch;
}

/* ---- acting as replication would ---- */

/* The leader wishes for all replicas whose brokers are up, or for itself alone; returns what became of it. */
static int alter(bool alone)
{
    struct image_partition now = state();
    struct decide_member members[IMAGE_REPLICAS_MAX];
    struct decide_isr wish = {.topic_id = image_find_topic_by_name(image(), "t")->topic_id,
                              .leader_epoch = now.leader_epoch,
                              .partition_epoch = now.partition_epoch,
                              .members = members};
    struct buffer body = BUFFER_INIT;
    const struct node_answer *answer;
    struct decide_result result;
    size_t leader = host_of(now.leader);

    for (uint32_t i = 0; i < now.replica_count; i++) {
        const struct image_broker *broker = image_find_broker(image(), now.replicas[i]);
        if (broker == NULL || broker->is_fenced || (alone && now.replicas[i] != now.leader)) continue;
        members[wish.member_count++] = (struct decide_member){now.replicas[i], broker->epoch, image_partition_generation(&now, i)};
    }
    ck_assert_int_eq(node_encode_alter(&body, broker_epoch(now.leader), &wish, 1), 0);
    answer = story_await(node_mesh_request(mesh, leader, NODE_OP_ALTER_PARTITIONS, buffer_slice(&body), 10 * SECOND));
    ck_assert_msg(answer->error == 0, "%s", answer->text);
    ck_assert_int_eq(node_decode_results(slice_of(answer->result, answer->result_size), &result, 1), 0);
    /* what is answered can be seen where it was asked */
    ck_assert_uint_ge(image_applied_index(node_image(node_mesh_node(mesh, leader))), answer->index);
    buffer_deinit(&body);
    return result.error;
}

static void report(int32_t node_id, int64_t end)
{
    struct node_report said = {.topic_id = image_find_topic_by_name(image(), "t")->topic_id, .leader_epoch = state().leader_epoch, .end = end};
    struct buffer body = BUFFER_INIT;
    const struct node_answer *answer;

    ck_assert_int_eq(node_encode_reports(&body, broker_epoch(node_id), &said, 1), 0);
    answer = story_await(node_mesh_request(mesh, host_of(node_id), NODE_OP_REPORT, buffer_slice(&body), 10 * SECOND));
    ck_assert_msg(answer->error == 0, "%s", answer->text);
    buffer_deinit(&body);
}

static bool is_leaderless(struct node_mesh *of, void *user)
{
    (void)of;
    (void)user;
    return state().leader == IMAGE_NO_LEADER;
}

static bool is_led(struct node_mesh *of, void *user)
{
    return !is_leaderless(of, user);
}

static bool is_moving(struct node_mesh *of, void *user)
{
    (void)of;
    (void)user;
    return (state().adding | state().removing) != 0 && !state().is_queued;
}

static bool has_coordinator(struct node_mesh *of, void *user)
{
    (void)user;
    return node_mesh_coordinator(of) >= 0;
}

/* ---- stories ---- */

START_TEST(a_leader_changes_its_isr_from_wherever_it_leads)
{
    begin(3);
    create("isr", 3);
    ck_assert_int_eq(alter(true), 0);
    ck_assert_int_eq(__builtin_popcount(state().isr), 1);
    ck_assert_int_eq(__builtin_popcount(state().elr), 2);
    ck_assert_int_eq(alter(false), 0);
    ck_assert_int_eq(__builtin_popcount(state().isr), 3);
    ck_assert_uint_eq(state().elr, 0);
    story_end();
}
END_TEST

static bool is_given_up(struct node_mesh *of, void *user)
{
    (void)of;
    return state().leader != *(int32_t *)user;
}

/* Nobody else was in sync when the leader's disk failed; the coordinator's own, too. */
START_TEST(a_failed_disk_is_left_as_soon_as_others_can_lead)
{
    uint64_t index;
    int32_t leader;

    begin(3);
    create("isr", 3);
    ck_assert_int_eq(alter(true), 0);
    leader = state().leader;
    node_set_disk_failed(node_mesh_node(mesh, host_of(leader)), node_mesh_now(mesh));
    node_mesh_run(mesh, 5 * SECOND);
    ck_assert(image_find_broker(image(), leader)->is_draining);
    ck_assert_int_eq(state().leader, leader);
    ck_assert_int_eq(alter(false), 0);
    ck_assert(node_mesh_run_until(mesh, is_given_up, &leader, 2 * SECOND));
    ck_assert_int_ne(state().leader, IMAGE_NO_LEADER);
    node_mesh_run(mesh, 2 * SECOND);
    index = image_applied_index(image());
    node_mesh_run(mesh, 8 * SECOND);
    ck_assert_uint_eq(image_applied_index(image()), index); /* and then nothing more */
    story_end();
}
END_TEST

START_TEST(nonsense_about_replicas_is_answered_as_such)
{
    static const enum node_op ops[] = {NODE_OP_ALTER_PARTITIONS, NODE_OP_REPLICAS_LOST, NODE_OP_REPORT, NODE_OP_RECOVER, NODE_OP_MOVE, NODE_OP_TOPIC_BALANCE};
    static const uint8_t bytes[] = {0x01, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x01};
    struct decide_lost place = {.partition = 3};
    struct buffer body = BUFFER_INIT;

    begin(1);
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        for (size_t size = 0; size <= sizeof(bytes); size++)
            ck_assert_int_ne(story_await(node_mesh_request(mesh, 0, ops[i], slice_of(bytes, size), SECOND))->error, 0);
    }
    ck_assert_int_eq(node_encode_lost(&body, broker_epoch(1) + 1, &place, 1), 0);
    ck_assert_int_eq(story_await(node_mesh_request(mesh, 0, NODE_OP_REPLICAS_LOST, buffer_slice(&body), SECOND))->error, MESH_ESTALE_EPOCH);
    buffer_clear(&body);
    ck_assert_int_eq(node_encode_recover(&body, &place.topic_id, 0, 1), 0);
    ck_assert_int_eq(story_await(node_mesh_request(mesh, 0, NODE_OP_RECOVER, buffer_slice(&body), SECOND))->error, MESH_EUNKNOWN_TOPIC);
    buffer_deinit(&body);
    story_end();
}
END_TEST

/* Its leader dies, with it maybe the coordinator: a majority's reports find the next one. */
START_TEST(a_sealed_partition_gets_its_leader_by_reports)
{
    struct image_partition now;
    int32_t dead;

    begin(3);
    create("quorum", 3);
    dead = state().leader;
    node_mesh_kill(mesh, host_of(dead));
    ck_assert(node_mesh_run_until(mesh, has_coordinator, NULL, 30 * SECOND));
    ck_assert(node_mesh_run_until(mesh, is_leaderless, NULL, 30 * SECOND));
    now = state();
    ck_assert(now.is_sealing);
    for (uint32_t i = 0; i < now.replica_count; i++) {
        if (now.replicas[i] == dead) continue;
        ck_assert(state().leader == IMAGE_NO_LEADER); /* one is no majority */
        report(now.replicas[i], 10 + now.replicas[i]);
    }
    ck_assert(node_mesh_run_until(mesh, is_led, NULL, 10 * SECOND));
    now = state();
    ck_assert_int_ne(now.leader, dead);
    ck_assert_int_eq(now.leader, dead == 3 ? 2 : 3); /* the longest log */
    ck_assert(!now.is_sealing);
    ck_assert_uint_eq(now.reset_epoch, 0);
    story_end();
}
END_TEST

/* A broker dies for good; another one gets its replica, and the coordinator that began that dies, too. */
START_TEST(a_broker_that_is_gone_is_replaced)
{
    struct image_partition now;
    int32_t dead = 0;
    int coordinator;

    begin(4);
    node_mesh_run(mesh, 5 * SECOND);
    create("isr", 3);
    now = state();
    coordinator = node_mesh_coordinator(mesh);
    for (uint32_t i = 0; i < now.replica_count; i++) {
        if (now.replicas[i] != now.leader && host_of(now.replicas[i]) != (size_t)coordinator) dead = now.replicas[i];
    }
    ck_assert_int_ne(dead, 0);
    node_mesh_kill(mesh, host_of(dead));
    node_mesh_run(mesh, 15 * SECOND);
    ck_assert(!is_moving(mesh, NULL)); /* it might come back */
    ck_assert(node_mesh_run_until(mesh, is_moving, NULL, 30 * SECOND));
    node_mesh_kill(mesh, (size_t)node_mesh_coordinator(mesh));
    node_mesh_start(mesh, (size_t)coordinator);
    ck_assert(node_mesh_run_until(mesh, has_coordinator, NULL, 30 * SECOND));
    story_await_all(30 * SECOND);
    ck_assert(node_mesh_run_until(mesh, is_led, NULL, 10 * SECOND));
    now = state();
    ck_assert((now.adding | now.removing) != 0); /* it is in the image */
    ck_assert_int_eq(alter(false), 0);
    now = state();
    ck_assert_uint_eq(now.replica_count, 3);
    ck_assert_uint_eq(now.adding | now.removing, 0);
    for (uint32_t i = 0; i < now.replica_count; i++)
        ck_assert_int_ne(now.replicas[i], dead);
    story_end();
}
END_TEST

/* Asked of the broker itself; the coordinator's own too. Its wish outlives a coordinator, as its heartbeats say it again. */
START_TEST(a_broker_that_is_to_go_is_emptied_first)
{
    struct image_partition now;
    int32_t leaving;

    begin(4);
    node_mesh_run(mesh, 5 * SECOND);
    create("isr", 3);
    leaving = state().leader;
    node_set_empty(node_mesh_node(mesh, host_of(leaving)), node_mesh_now(mesh), true);
    ck_assert(node_wants_empty(node_mesh_node(mesh, host_of(leaving))));
    ck_assert(node_mesh_run_until(mesh, is_moving, NULL, 5 * SECOND));
    now = state();
    ck_assert_int_eq(now.leader, leaving); /* it serves meanwhile */
    ck_assert_int_eq(__builtin_popcount(now.isr), 3);
    ck_assert(!image_find_broker(image(), leaving)->is_draining);
    ck_assert_int_eq(alter(false), 0);
    now = state();
    ck_assert_uint_eq(now.replica_count, 3);
    ck_assert_uint_eq(now.adding | now.removing, 0);
    ck_assert_uint_eq(image_replica_count(image(), leaving), 0);
    ck_assert_int_ne(now.leader, leaving);
    ck_assert_int_ne(now.leader, IMAGE_NO_LEADER);
    node_mesh_run(mesh, 90 * SECOND); /* spreading does not bring it anything */
    ck_assert_uint_eq(image_replica_count(image(), leaving), 0);
    story_end();
}
END_TEST

START_TEST(replicas_move_on_request)
{
    struct decide_move move = {.replicas = {2, 3}, .count = 2};
    struct buffer body = BUFFER_INIT;
    const struct node_answer *answer;

    begin(3);
    create("isr", 1);
    move.topic_id = image_find_topic_by_name(image(), "t")->topic_id;
    ck_assert_int_eq(state().leader, 1);
    ck_assert_int_eq(node_encode_moves(&body, &move, 1), 0);
    answer = story_await(node_mesh_request(mesh, 2, NODE_OP_MOVE, buffer_slice(&body), 10 * SECOND));
    ck_assert_msg(answer->error == 0, "%s", answer->text);
    ck_assert(node_mesh_run_until(mesh, is_moving, NULL, 5 * SECOND)); /* its turn comes at once */
    ck_assert_int_eq(alter(false), 0);
    ck_assert_uint_eq(state().replica_count, 2);
    ck_assert_int_eq(state().leader, 2);
    buffer_deinit(&body);
    story_end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("node_replicas");
    TCase *tcase = tcase_create("node_replicas");

    tcase_add_test(tcase, a_leader_changes_its_isr_from_wherever_it_leads);
    tcase_add_test(tcase, a_failed_disk_is_left_as_soon_as_others_can_lead);
    tcase_add_test(tcase, nonsense_about_replicas_is_answered_as_such);
    tcase_add_test(tcase, a_sealed_partition_gets_its_leader_by_reports);
    tcase_add_test(tcase, a_broker_that_is_gone_is_replaced);
    tcase_add_test(tcase, a_broker_that_is_to_go_is_emptied_first);
    tcase_add_test(tcase, replicas_move_on_request);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
