/* Metadata nodes without memory, by hand: a coordinator, and a broker that joins it by a snapshot and asks it for changes. Each allocation of that
 * story fails once. Whatever is lost by it, nothing leaks, nobody is told what is not so, and every request ends once. */
#include "node_hand.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include "base/buffer.h"
#include "base/error.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND     1000000u
#define TIMEOUT_US SECOND

enum kind { CREATE, DELETE, USER_SET, ACL_ADD };

/* What is asked, one after the other; `error` is the answer when memory does not fail. */
static const struct step {
    size_t at;
    enum kind kind;
    const char *name;
    int error;
} steps[] = {
    {0, CREATE, "zero", 0},
    {0, CREATE, "one", 0},
    {0, CREATE, "two", 0},
    {1, CREATE, "three", 0},
    {1, CREATE, "three", MESH_ETOPIC_EXISTS},
    {1, DELETE, "one", 0},
    {1, DELETE, "one", MESH_EUNKNOWN_TOPIC},
    {1, USER_SET, "alice", 0},
    {1, ACL_ADD, "User:alice", 0},
};
#define STEPS (sizeof(steps) / sizeof(steps[0]))

/* What came of a story. */
static struct outcome {
    bool is_asked[STEPS]; /* taken: an answer is owed */
    bool is_so[STEPS];    /* what was asked for is so in the image of who was asked, after its answer */
    bool has_failed[2];
    bool is_joined;
} outcome;

/* ---- the story ---- */

/* Asking for the same again is what a broker does without memory. */
static void make(size_t at)
{
    while (hand_make(at) != 0) {
        node_free(hand.nodes[at].node);
        hand.nodes[at].node = NULL;
    }
}

static void found(void)
{
    static const struct uuid cluster_id = {{0x42}};
    int err;

    do
        err = node_found(hand.nodes[0].node, hand.now_us, &cluster_id, &hand.nodes[0].server, 1);
    while (err == MESH_ENOMEM);
}

static int ask_access(const struct step *step, uint64_t cookie)
{
    struct image_user user = {.verifier_count = 1,
                              .verifiers = {{.mechanism = IMAGE_SCRAM_SHA_256, .iterations = 4096, .salt_size = 16}}};
    struct image_acl acl = {.host = "*", .resource = "zero", .resource_type = IMAGE_RESOURCE_TOPIC, .pattern = IMAGE_PATTERN_LITERAL,
                            .operation = IMAGE_OPERATION_READ};
    int err;

    buffer_clear(&hand.scratch);
    snprintf(user.name, sizeof(user.name), "%s", step->name);
    snprintf(acl.principal, sizeof(acl.principal), "%s", step->name);
    err = step->kind == USER_SET ? node_encode_user(&hand.scratch, &user) : node_encode_acl(&hand.scratch, &acl);
    if (err != 0) return err;
    return node_request(hand.nodes[step->at].node, hand.now_us, step->kind == USER_SET ? NODE_OP_USER_SET : NODE_OP_ACL_ADD,
                        buffer_slice(&hand.scratch), TIMEOUT_US, cookie);
}

static int ask(const struct step *step, uint64_t cookie)
{
    if (step->kind == CREATE) return hand_create(step->at, step->name, TIMEOUT_US, cookie);
    if (step->kind == DELETE) return hand_delete(step->at, step->name, TIMEOUT_US, cookie);
    return ask_access(step, cookie);
}

static bool is_so(const struct step *step)
{
    const struct image *image = node_image(hand.nodes[step->at].node);

    if (step->kind == USER_SET) return image_find_user(image, step->name) != NULL;
    if (step->kind == ACL_ADD) return image_acl_count(image) == 1;
    return (image_find_topic_by_name(image, step->name) != NULL) == (step->kind == CREATE);
}

static void ask_all(size_t at)
{
    for (size_t i = 0; i < STEPS; i++) {
        if (steps[i].at != at) continue;
        outcome.is_asked[i] = ask(&steps[i], i) == 0;
        for (int wait = 0; wait < 120 && outcome.is_asked[i] && hand.nodes[at].answers[i].times == 0; wait++)
            hand_run(10000);
        outcome.is_so[i] = is_so(&steps[i]);
    }
}

static void tell_story(void)
{
    outcome = (struct outcome){.is_joined = false};
    make(0);
    found();
    hand_await_serving(0, 3 * SECOND);
    ask_all(0);
    make(1);
    hand_link(0, 1);
    outcome.is_joined = hand_await_serving(1, 3 * SECOND);
    ask_all(1);
    for (size_t i = 0; i < 2; i++) {
        struct node_status status;

        node_get_status(hand.nodes[i].node, &status);
        outcome.has_failed[i] = status.has_failed;
    }
}

static void begin(void)
{
    hand_begin(2);
    hand.options.snapshot_log_bytes = 400; /* who joins gets one */
    hand.options.retained_bytes_max = 0;
    hand.options.feed_bytes = 400; /* in several parts */
}

/* ---- what must hold, whatever failed ---- */

static bool is_told_refused(int error)
{
    return error == MESH_ETOPIC_EXISTS || error == MESH_EUNKNOWN_TOPIC;
}

static void judge(unsigned nth)
{
    for (size_t i = 0; i < STEPS; i++) {
        const struct hand_answer *answer = &hand.nodes[steps[i].at].answers[i];

        ck_assert_msg(answer->times == (unsigned)outcome.is_asked[i], "allocation %u: request %zu ends %u times", nth, i, answer->times);
        if (!outcome.is_asked[i]) continue;
        if (answer->error == 0)
            ck_assert_msg(outcome.is_so[i], "allocation %u: request %zu is said to be done", nth, i);
        else if (is_told_refused(answer->error))
            ck_assert_msg(steps[i].error == answer->error || (i > 0 && !outcome.is_asked[i - 1]) ||
                              hand.nodes[steps[i].at].answers[i - 1].error != 0 || steps[i].kind == DELETE,
                          "allocation %u: request %zu is refused without a reason: %d", nth, i, answer->error);
    }
}

/* Nothing failed: it went as it is told above. */
static void judge_whole(void)
{
    struct node_stats stats;

    for (size_t i = 0; i < STEPS; i++)
        ck_assert_int_eq(hand.nodes[steps[i].at].answers[i].error, steps[i].error);
    node_get_stats(hand.nodes[1].node, &stats);
    ck_assert_uint_gt(stats.snapshots_pulled, 0);
}

START_TEST(each_allocation_may_fail)
{
    unsigned walked = 0, failed = 0, unjoined = 0;

    failing_alloc_each(n)
    {
        bool was_refused;

        begin();
        failing_alloc_arm(n);
        tell_story();
        was_refused = failing_alloc_disarm();
        judge(n);
        failed += outcome.has_failed[0] || outcome.has_failed[1];
        unjoined += !outcome.is_joined;
        if (!was_refused) judge_whole();
        hand_end();
        if (!was_refused) break;
        walked = n;
    }
    if (getenv("SHOW") != NULL) printf("%u allocations; after %u a node stopped, after %u one did not join in time\n", walked, failed, unjoined);
    ck_assert_uint_gt(walked, 300);
    ck_assert_uint_lt(failed, 20); /* memory that is short for a moment stops a node only where it cannot know its disk any more */
    ck_assert_uint_lt(unjoined, 20);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("node_memory");
    TCase *tcase = tcase_create("node_memory");

    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, each_allocation_may_fail);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
