/* Requests and their copies, by hand: what was answered is never undone by a copy that comes late, whoever coordinates by then. */
#include "node_hand.h"
#include "support/run_suite.h"

#include "base/buffer.h"
#include "base/codec.h"
#include "base/error.h"
#include "wire/message.h"

#include <check.h>
#include <stdlib.h>

#define SECOND 1000000u

/* Names of brokers that are not nodes here. */
enum { ORIGIN = 10, FIRST = 11, SECOND_ONE = 12 };

static struct buffer body;

/* ---- the coordinator's side: a mesh of one, and an origin that is only a name ---- */

static void begin_coordinator(void)
{
    static const struct uuid cluster_id = {{0x42}};
    struct raft_server origin = hand_server(ORIGIN);

    hand_begin(1);
    ck_assert_int_eq(hand_make(0), 0);
    ck_assert_int_eq(node_found(hand.nodes[0].node, hand.now_us, &cluster_id, &hand.nodes[0].server, 1), 0);
    ck_assert(hand_await_serving(0, 5 * SECOND));
    node_link_up(hand.nodes[0].node, hand.now_us, &origin);
    hand_run(1000);
    body = (struct buffer)BUFFER_INIT;
}

static void end_coordinator(void)
{
    buffer_deinit(&body);
    hand_end();
}

static uint64_t term(void)
{
    struct node_status status;

    node_get_status(hand.nodes[0].node, &status);
    return status.term;
}

static struct slice creation(const char *topic)
{
    struct message_topic_create create = {.name = (char *)(uintptr_t)topic, .partition_count = 1, .replication_factor = 1};
    static const uint8_t defaults[] = {2, 2, 0}; /* of the origin: 1 partition, 1 copy, nothing else */

    buffer_clear(&body);
    ck_assert_int_eq(buffer_append(&body, defaults, sizeof(defaults)), 0);
    ck_assert_int_eq(message_encode_topic_create(&body, &create), 0);
    return buffer_slice(&body);
}

static struct slice deletion(const char *topic)
{
    struct message_topic_delete gone = {.name = (char *)(uintptr_t)topic};

    buffer_clear(&body);
    ck_assert_int_eq(message_encode_topic_delete(&body, &gone), 0);
    return buffer_slice(&body);
}

static struct slice alteration(const char *topic, int32_t partitions)
{
    struct message_topic_alter alter = {.name = (char *)(uintptr_t)topic, .partition_count = partitions};

    buffer_clear(&body);
    ck_assert_int_eq(message_encode_topic_alter(&body, &alter), 0);
    return buffer_slice(&body);
}

static struct slice registration(uint16_t port)
{
    struct raft_server origin = hand_server(ORIGIN);
    struct codec_writer writer = {.to = &body};

    buffer_clear(&body);
    codec_put_varint(&writer, 1); /* boot */
    codec_put_uuid(&writer, &origin.dir);
    codec_put_string(&writer, "origin");
    codec_put_string(&writer, "host.example");
    codec_put_string(&writer, "");
    codec_put_varint(&writer, port);
    codec_put_varint(&writer, 1); /* shards */
    for (int i = 0; i < 4; i++)
        codec_put_varint(&writer, 0); /* no witness, a clean stop, not set back, nothing lost */
    ck_assert_int_eq(writer.error, 0);
    return buffer_slice(&body);
}

struct copy {
    uint64_t sequence, oldest, term;
    enum node_op op;
};

/* Sends a copy; false: there was no answer. */
static bool ask(struct copy copy, struct slice bytes, struct node_message *ret_answer)
{
    struct node_message request = {.type = NODE_MESSAGE_REQUEST,
                                   .boot = 1,
                                   .sequence = copy.sequence,
                                   .oldest = copy.oldest,
                                   .term = copy.term,
                                   .op = (uint16_t)copy.op,
                                   .bytes = bytes};

    hand_forget();
    hand_say(ORIGIN, 0, &request);
    return hand_heard(ORIGIN, NODE_MESSAGE_ANSWER, ret_answer);
}

static int ask_error(uint64_t sequence, uint64_t oldest, enum node_op op, struct slice bytes)
{
    struct node_message answer;

    ck_assert(ask((struct copy){sequence, oldest, term(), op}, bytes, &answer));
    ck_assert_int_eq(answer.verdict, NODE_VERDICT_DECIDED);
    ck_assert_uint_eq(answer.sequence, sequence);
    ck_assert_uint_eq(answer.term, term());
    return answer.error;
}

static bool has_topic(const char *name)
{
    return image_find_topic_by_name(node_image(hand.nodes[0].node), name) != NULL;
}

START_TEST(what_was_refused_stays_refused)
{
    struct node_message first, again;

    begin_coordinator();
    ck_assert_int_eq(ask_error(100, 100, NODE_OP_TOPIC_CREATE, creation("orders")), 0);
    ck_assert(ask((struct copy){101, 100, term(), NODE_OP_TOPIC_CREATE}, creation("orders"), &first));
    ck_assert_int_eq(first.error, MESH_ETOPIC_EXISTS);
    ck_assert_uint_gt(first.bytes.size, 0);
    ck_assert_int_eq(ask_error(102, 101, NODE_OP_TOPIC_DELETE, deletion("orders")), 0);
    /* Its copy comes when it could be done. */
    ck_assert(ask((struct copy){101, 100, term(), NODE_OP_TOPIC_CREATE}, creation("orders"), &again));
    ck_assert_int_eq(again.verdict, NODE_VERDICT_DECIDED);
    ck_assert_int_eq(again.error, MESH_ETOPIC_EXISTS);
    ck_assert_uint_gt(again.bytes.size, 0);
    ck_assert(!has_topic("orders"));
    end_coordinator();
}
END_TEST

START_TEST(what_was_so_already_is_not_made_so_later)
{
    begin_coordinator();
    ck_assert_int_eq(ask_error(100, 100, NODE_OP_TOPIC_CREATE, creation("orders")), 0);
    ck_assert_int_eq(ask_error(101, 100, NODE_OP_TOPIC_ALTER, alteration("orders", 0)), 0); /* nothing changes */
    ck_assert_int_eq(ask_error(102, 101, NODE_OP_TOPIC_DELETE, deletion("orders")), 0);
    ck_assert_int_eq(ask_error(101, 100, NODE_OP_TOPIC_ALTER, alteration("orders", 0)), 0); /* the same, though there is no such topic any more */
    end_coordinator();
}
END_TEST

START_TEST(the_topic_of_groups_is_made_once_whoever_asks)
{
    begin_coordinator();
    ck_assert_int_eq(ask_error(100, 100, NODE_OP_TOPIC_CREATE, creation("__mesh_groups")), MESH_EINVALID_TOPIC);
    ck_assert_int_eq(ask_error(101, 100, NODE_OP_GROUPS_TOPIC, slice_of("x", 1)), MESH_EPROTO);
    ck_assert(!has_topic("__mesh_groups"));
    ck_assert_int_eq(ask_error(102, 100, NODE_OP_GROUPS_TOPIC, slice_of(NULL, 0)), 0);
    ck_assert(has_topic("__mesh_groups"));
    ck_assert_int_eq(ask_error(103, 100, NODE_OP_GROUPS_TOPIC, slice_of(NULL, 0)), 0);
    ck_assert_int_eq(ask_error(104, 100, NODE_OP_TOPIC_DELETE, deletion("__mesh_groups")), MESH_EINVALID_TOPIC);
    ck_assert(has_topic("__mesh_groups"));
    end_coordinator();
}
END_TEST

START_TEST(what_was_done_is_done_once)
{
    begin_coordinator();
    ck_assert_int_eq(ask_error(100, 100, NODE_OP_TOPIC_CREATE, creation("orders")), 0);
    ck_assert_int_eq(ask_error(101, 100, NODE_OP_TOPIC_DELETE, deletion("orders")), 0);
    ck_assert_int_eq(ask_error(100, 100, NODE_OP_TOPIC_CREATE, creation("orders")), 0);
    ck_assert(!has_topic("orders"));
    end_coordinator();
}
END_TEST

/* A registration leaves no id in the log. Its copy must not undo a later one. */
START_TEST(what_leaves_no_id_is_decided_once_too)
{
    struct raft_server origin = hand_server(ORIGIN);

    begin_coordinator();
    ck_assert_int_eq(ask_error(100, 100, NODE_OP_REGISTER, registration(1000)), 0);
    ck_assert_int_eq(ask_error(101, 100, NODE_OP_REGISTER, registration(2000)), 0);
    ck_assert_int_eq(ask_error(100, 100, NODE_OP_REGISTER, registration(1000)), 0);
    ck_assert_uint_eq(image_find_broker_by_uuid(node_image(hand.nodes[0].node), &origin.broker)->port, 2000);
    end_coordinator();
}
END_TEST

START_TEST(a_copy_of_another_term_is_not_decided)
{
    struct node_message answer;

    begin_coordinator();
    for (int apart = -1; apart <= 1; apart += 2) {
        ck_assert(ask((struct copy){100, 100, term() + (uint64_t)apart, NODE_OP_TOPIC_CREATE}, creation("orders"), &answer));
        ck_assert_int_eq(answer.verdict, NODE_VERDICT_ELSEWHERE);
        ck_assert_uint_eq(answer.term, term()); /* which to ask in */
        ck_assert(uuid_equal(&answer.leader.broker, &hand.nodes[0].server.broker));
        ck_assert(!has_topic("orders"));
    }
    ck_assert_int_eq(ask_error(100, 100, NODE_OP_TOPIC_CREATE, creation("orders")), 0);
    end_coordinator();
}
END_TEST

START_TEST(what_nobody_waits_for_is_not_decided)
{
    struct node_message answer;
    struct node_stats stats;

    begin_coordinator();
    ck_assert_int_eq(ask_error(1000, 1000, NODE_OP_TOPIC_DELETE, deletion("none")), MESH_EUNKNOWN_TOPIC);
    /* Its origin has given it up; an overtaken copy arrives. */
    ck_assert(!ask((struct copy){999, 999, term(), NODE_OP_TOPIC_CREATE}, creation("orders"), &answer));
    ck_assert(!has_topic("orders"));
    /* Nor is more remembered than may be asked for: the window moves on. */
    ck_assert_int_eq(ask_error(1001, 1001, NODE_OP_TOPIC_CREATE, creation("orders")), 0);
    ck_assert(!ask((struct copy){1000, 1000, term(), NODE_OP_TOPIC_DELETE}, deletion("orders"), &answer));
    ck_assert(has_topic("orders"));
    /* A window that is too wide is no message. */
    ck_assert(!ask((struct copy){1000 + NODE_REQUEST_WINDOW, 1000, term(), NODE_OP_TOPIC_DELETE}, deletion("orders"), &answer));
    node_get_stats(hand.nodes[0].node, &stats);
    ck_assert_uint_eq(stats.malformed, 1);
    end_coordinator();
}
END_TEST

START_TEST(another_process_of_the_origin_is_heard_at_once)
{
    begin_coordinator();
    ck_assert_int_eq(ask_error(UINT64_C(7) << 40, UINT64_C(7) << 40, NODE_OP_TOPIC_DELETE, deletion("none")), MESH_EUNKNOWN_TOPIC);
    ck_assert_int_eq(ask_error(UINT64_C(3) << 40, UINT64_C(3) << 40, NODE_OP_TOPIC_CREATE, creation("one")), 0);
    ck_assert_int_eq(ask_error(UINT64_C(9) << 40, UINT64_C(9) << 40, NODE_OP_TOPIC_CREATE, creation("two")), 0);
    ck_assert(has_topic("one") && has_topic("two"));
    end_coordinator();
}
END_TEST

/* As many origins as it takes, one after the other: whoever is gone makes room, whoever is there is remembered. */
START_TEST(origins_that_are_gone_make_room)
{
    struct node_message request = {.type = NODE_MESSAGE_REQUEST, .boot = 1, .sequence = 500, .oldest = 500, .op = NODE_OP_TOPIC_DELETE}, answer;

    begin_coordinator();
    ck_assert_int_eq(ask_error(100, 100, NODE_OP_TOPIC_CREATE, creation("orders")), 0);
    ck_assert_int_eq(ask_error(101, 100, NODE_OP_TOPIC_CREATE, creation("orders")), MESH_ETOPIC_EXISTS);
    request.term = term();
    for (unsigned name = 1000; name < 1000 + 4096 + 50; name++) {
        struct raft_server server = hand_server(name);

        request.bytes = deletion("none");
        node_link_up(hand.nodes[0].node, hand.now_us, &server);
        hand_run(0);
        hand_forget();
        hand_say(name, 0, &request);
        ck_assert(hand_heard(name, NODE_MESSAGE_ANSWER, &answer));
        ck_assert_int_eq(answer.verdict, NODE_VERDICT_DECIDED);
        node_link_down(hand.nodes[0].node, hand.now_us, &server.broker);
        hand_run(0);
    }
    ck_assert_int_eq(ask_error(102, 101, NODE_OP_TOPIC_DELETE, deletion("orders")), 0);
    ck_assert_int_eq(ask_error(101, 100, NODE_OP_TOPIC_CREATE, creation("orders")), MESH_ETOPIC_EXISTS);
    end_coordinator();
}
END_TEST

/* ---- the origin's side: one node, and coordinators that are only names ---- */

static void lead(unsigned name, uint64_t in_term)
{
    struct node_message here = {.type = NODE_MESSAGE_HERE, .term = in_term, .leader = hand_server(name)};

    hand_say(name, 0, &here);
}

static void answer_as(unsigned name, uint64_t in_term, const struct node_message *request, int error)
{
    struct node_message answer = {.type = NODE_MESSAGE_ANSWER,
                                  .boot = request->boot,
                                  .sequence = request->sequence,
                                  .verdict = NODE_VERDICT_DECIDED,
                                  .term = in_term,
                                  .leader = hand_server(name),
                                  .error = error,
                                  .bytes = slice_of_string(error == 0 ? "" : "no")};

    hand_say(name, 0, &answer);
}

static void begin_origin(void)
{
    struct raft_server first = hand_server(FIRST), second = hand_server(SECOND_ONE);

    hand_begin(1);
    hand.is_nameless = true; /* it asks for nothing itself */
    ck_assert_int_eq(hand_make(0), 0);
    node_link_up(hand.nodes[0].node, hand.now_us, &first);
    node_link_up(hand.nodes[0].node, hand.now_us, &second);
    lead(FIRST, 5);
    hand_forget();
}

/* The newest request that was sent to the name. */
static bool was_asked(unsigned name, struct node_message *ret_request)
{
    return hand_heard(name, NODE_MESSAGE_REQUEST, ret_request);
}

START_TEST(an_answer_of_an_earlier_term_does_not_count)
{
    struct node_message request, copy;

    begin_origin();
    ck_assert_int_eq(hand_delete(0, "orders", 10 * SECOND, 1), 0);
    hand_run(1000);
    ck_assert(was_asked(FIRST, &request));
    ck_assert_uint_eq(request.term, 5);
    lead(SECOND_ONE, 6);
    ck_assert(was_asked(SECOND_ONE, &copy)); /* at once: nobody else can do it now */
    ck_assert_uint_eq(copy.term, 6);
    ck_assert_uint_eq(copy.sequence, request.sequence);
    answer_as(FIRST, 5, &request, MESH_EUNKNOWN_TOPIC);
    ck_assert_uint_eq(hand.nodes[0].answers[1].times, 0);
    answer_as(SECOND_ONE, 6, &copy, 0);
    ck_assert_uint_eq(hand.nodes[0].answers[1].times, 1);
    ck_assert_int_eq(hand.nodes[0].answers[1].error, 0);
    hand_end();
}
END_TEST

START_TEST(a_request_keeps_its_id_and_says_what_is_still_waited_for)
{
    struct node_message first, second, again;

    begin_origin();
    ck_assert_int_eq(hand_delete(0, "one", 10 * SECOND, 1), 0);
    hand_run(1000);
    ck_assert(was_asked(FIRST, &first));
    ck_assert_uint_eq(first.oldest, first.sequence);
    ck_assert_int_eq(hand_delete(0, "two", 10 * SECOND, 2), 0);
    hand_run(1000);
    ck_assert(was_asked(FIRST, &second));
    ck_assert_uint_gt(second.sequence, first.sequence);
    ck_assert_uint_eq(second.oldest, first.oldest);
    answer_as(FIRST, 5, &first, MESH_EUNKNOWN_TOPIC);
    node_set_boot(hand.nodes[0].node, hand.now_us, 9); /* the disk had been set back */
    hand_run(2 * SECOND);
    ck_assert(was_asked(FIRST, &again));
    ck_assert_uint_eq(again.sequence, second.sequence);
    ck_assert_uint_eq(again.boot, second.boot);
    ck_assert_uint_gt(again.oldest, first.oldest);
    answer_as(FIRST, 5, &again, 0);
    ck_assert_uint_eq(hand.nodes[0].answers[2].times, 1);
    hand_end();
}
END_TEST

START_TEST(no_more_are_sent_than_can_be_remembered)
{
    size_t sent = 0;
    struct node_message request;

    begin_origin();
    for (uint64_t i = 0; i < HAND_ANSWERS_MAX; i++)
        ck_assert_int_eq(hand_delete(0, "one", 10 * SECOND, i), 0);
    for (uint64_t i = 0; i < NODE_REQUEST_WINDOW; i++)
        ck_assert_int_eq(hand_delete(0, "many", 10 * SECOND, 0), 0);
    hand_run(1000);
    ck_assert(was_asked(FIRST, &request));
    sent = (size_t)(request.sequence - request.oldest) + 1;
    ck_assert_uint_eq(sent, NODE_REQUEST_WINDOW);
    hand_end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("node_requests");
    TCase *tcase = tcase_create("node_requests");

    tcase_add_test(tcase, what_was_refused_stays_refused);
    tcase_add_test(tcase, what_was_so_already_is_not_made_so_later);
    tcase_add_test(tcase, the_topic_of_groups_is_made_once_whoever_asks);
    tcase_add_test(tcase, what_was_done_is_done_once);
    tcase_add_test(tcase, what_leaves_no_id_is_decided_once_too);
    tcase_add_test(tcase, a_copy_of_another_term_is_not_decided);
    tcase_add_test(tcase, what_nobody_waits_for_is_not_decided);
    tcase_add_test(tcase, another_process_of_the_origin_is_heard_at_once);
    tcase_add_test(tcase, origins_that_are_gone_make_room);
    tcase_add_test(tcase, an_answer_of_an_earlier_term_does_not_count);
    tcase_add_test(tcase, a_request_keeps_its_id_and_says_what_is_still_waited_for);
    tcase_add_test(tcase, no_more_are_sent_than_can_be_remembered);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
