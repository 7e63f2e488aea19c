/* Metadata nodes that are killed, restarted, cut off and put to sleep at random while requests go on. Then all is healed, and must be well:
 * every request was done once or not at all, as it was answered; everybody has the same metadata and a session. Replay: NODE_CHAOS_SEED. */
#include "node_story.h"
#include "support/run_suite.h"

#include "base/buffer.h"
#include "base/error.h"
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>

#define HOSTS        6
#define STEPS        300
#define REQUESTS_MAX 2000
#define SEEDS        40

struct asked {
    int request;
    size_t host;
    uint64_t life;
    bool is_ids;
    char name[32];
};

static struct random dice;
static struct asked asked[REQUESTS_MAX];
static size_t asked_count;
static uint64_t lives[HOSTS];

struct seen_leader {
    struct uuid topic_id;
    int32_t leader, epoch;
};
static struct seen_leader leaders[REQUESTS_MAX];
static size_t leader_count;
static uint64_t leaders_index;

static struct seen_leader *find_leader(const struct uuid *topic_id)
{
    for (size_t i = 0; i < leader_count; i++)
        if (uuid_equal(&leaders[i].topic_id, topic_id)) return &leaders[i];
    leaders[leader_count] = (struct seen_leader){*topic_id, IMAGE_NO_LEADER, -1};
    return &leaders[leader_count++];
}

static int look_at_topic(void *user, const struct image_topic *topic)
{
    struct seen_leader *seen = find_leader(&topic->topic_id);
    struct image_partition partition;

    (void)user;
    ck_assert(image_topic_partition(topic, 0, &partition));
    ck_assert_int_ge(partition.leader_epoch, seen->epoch); /* S7 */
    if (partition.leader_epoch == seen->epoch) ck_assert_int_eq(partition.leader, seen->leader);
    seen->leader = partition.leader;
    seen->epoch = partition.leader_epoch;
    return 0;
}

/* Epochs never fall, and one epoch has one leader. */
static void look_at_leaders(size_t host)
{
    const struct image *image = node_image(node_mesh_node(mesh, host));

    if (image_applied_index(image) <= leaders_index) return;
    leaders_index = image_applied_index(image);
    image_each_topic(image, look_at_topic, NULL);
}

static void ask(size_t host)
{
    struct asked *next = &asked[asked_count];
    struct buffer body = BUFFER_INIT;

    if (asked_count == REQUESTS_MAX) return;
    *next = (struct asked){.host = host, .life = lives[host], .is_ids = random_below(&dice, 4) == 0};
    snprintf(next->name, sizeof(next->name), "topic-%zu", asked_count);
    if (next->is_ids) {
        ck_assert_int_eq(node_encode_producer_ids(&body, 100), 0);
        next->request = node_mesh_request(mesh, host, NODE_OP_PRODUCER_IDS, buffer_slice(&body), 5 * SECOND);
    } else {
        next->request = node_mesh_create(mesh, host, next->name, 1 + (int)random_below(&dice, 3));
    }
    buffer_deinit(&body);
    asked_count += next->request >= 0;
}

static void revive(size_t host)
{
    lives[host]++;
    node_mesh_start(mesh, host);
}

static void hurt(void)
{
    size_t host = random_below(&dice, HOSTS), other = random_below(&dice, HOSTS);
    bool is_up = node_mesh_node(mesh, host) != NULL;

    switch (random_below(&dice, 16)) {
    case 0:
        if (is_up) node_mesh_kill(mesh, host);
        if (random_below(&dice, 2) == 0) node_mesh_see_end(mesh, host);
        return;
    case 1:
    case 2:
    case 3:
        if (!is_up) revive(host);
        return;
    case 4:
        if (host != other) node_mesh_cut(mesh, host, other, true);
        return;
    case 5:
        node_mesh_isolate(mesh, host, true);
        if (random_below(&dice, 4) == 0) node_mesh_see_end(mesh, host); /* they are wrong */
        return;
    case 6:
    case 7:
    case 8: node_mesh_isolate(mesh, host, false); return;
    case 9: node_mesh_pause(mesh, host, random_below(&dice, 4 * SECOND)); return;
    default:
        for (size_t i = 0; is_up && i < 1 + random_below(&dice, 8); i++)
            ask(host);
        if (is_up) look_at_leaders(host);
    }
}

static bool is_all_answered(struct node_mesh *of, void *user)
{
    (void)user;
    for (size_t i = 0; i < asked_count; i++) {
        if (asked[i].life != lives[asked[i].host]) continue; /* who asked is dead */
        if (!node_mesh_answer(of, asked[i].request)->is_there) return false;
    }
    return true;
}

static void check_topic(const struct asked *one, const struct node_answer *answer)
{
    bool is_there = story_topic(0, one->name) != NULL;

    ck_assert_int_ne(answer->error, MESH_ETOPIC_EXISTS); /* that would be twice */
    for (size_t host = 1; host < HOSTS; host++)
        ck_assert((story_topic(host, one->name) != NULL) == is_there);
    if (!answer->is_there || answer->error == MESH_ETIMEDOUT) return;
    if (answer->error == 0) ck_assert(is_there);
    if (answer->error == MESH_ENO_COORDINATOR) ck_assert(!is_there);
    if (answer->error != 0) ck_assert_msg(mesh_error_is_retriable(answer->error), "%s: error %d, %s", one->name, answer->error, answer->text);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static void check_all(void)
{
    static int64_t blocks[REQUESTS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < asked_count; i++) {
        const struct node_answer *answer = node_mesh_answer(mesh, asked[i].request);

        if (!asked[i].is_ids)
            check_topic(&asked[i], answer);
        else if (answer->is_there && answer->error == 0)
            blocks[count++] = answer->first_id;
    }
    qsort(blocks, count, sizeof(blocks[0]), compare);
    for (size_t i = 1; i < count; i++)
        ck_assert_int_ge(blocks[i], blocks[i - 1] + 100);
}

static bool is_even(struct node_mesh *of, void *user)
{
    struct node_status first, status;

    (void)user;
    node_get_status(node_mesh_node(of, 0), &first);
    for (size_t i = 1; i < HOSTS; i++) {
        node_get_status(node_mesh_node(of, i), &status);
        if (status.applied != first.applied || !uuid_equal(&status.coordinator, &first.coordinator)) return false;
    }
    return true;
}

static void play(uint64_t seed)
{
    struct node_mesh_options options;

    random_init(&dice, seed);
    asked_count = leader_count = 0;
    leaders_index = 0;
    memset(lives, 0, sizeof(lives));
    node_mesh_options_init(&options, HOSTS);
    options.seed = seed;
    options.link_jitter_us = (uint32_t)random_below(&dice, 20000) + 1;
    options.disk_us = (uint32_t)random_below(&dice, 20000) + 1;
    options.node.voter_stable_us = 2 * SECOND;
    options.node.voter_gone_us = 6 * SECOND;
    if (random_below(&dice, 2) == 0) {
        options.node.snapshot_log_bytes = 2000;
        options.node.retained_bytes_max = 500;
        options.node.feed_bytes = 700;
    }
    story_begin_with(&options);
    story_found(1 + 2 * random_below(&dice, 2));
    for (size_t step = 0; step < STEPS; step++) {
        hurt();
        node_mesh_run(mesh, random_below(&dice, 200000));
    }
    for (size_t i = 0; i < HOSTS; i++) {
        node_mesh_isolate(mesh, i, false);
        if (node_mesh_node(mesh, i) == NULL) revive(i);
    }
    ck_assert(node_mesh_run_until(mesh, is_all_answered, NULL, 30 * SECOND));
    node_mesh_run(mesh, 10 * SECOND);
    story_await_all(10 * SECOND);
    ck_assert(node_mesh_run_until(mesh, is_even, NULL, 10 * SECOND));
    check_all();
    story_end();
}

START_TEST(whatever_happens_requests_are_done_once_and_all_agree)
{
    const char *only = getenv("NODE_CHAOS_SEED");

    if (only != NULL) {
        play(strtoull(only, NULL, 10));
        return;
    }
    play((uint64_t)_i + 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("node_chaos");
    TCase *tcase = tcase_create("node_chaos");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, whatever_happens_requests_are_done_once_and_all_agree, 0, getenv("NODE_CHAOS_SEED") != NULL ? 1 : SEEDS);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
