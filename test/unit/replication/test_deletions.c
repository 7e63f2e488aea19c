/* Records that clients have deleted: what the coordinator decides, what images remember, and what a replica makes of it. */
#include "base/error.h"
#include "cmd/broker/replicas/roles.h"
#include "metadata_history.h"
#include "replication/coordinator/decide_replicas.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/coordinator/image_internal.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdlib.h>

static struct history *history;
static struct decision decision;
static struct uuid orders, other;

static void setup(void)
{
    history = history_new_mesh(3, "abc");
    orders = history_create_topic(history, "orders", 4, 3)->topic_id;
    other = history_create_topic(history, "other", 2, 1)->topic_id;
    decision_init(&decision);
}

static void teardown(void)
{
    decision_deinit(&decision);
    history_free(history);
}

/* One wish; returns what became of it. What changes is committed. */
static int wish(const struct uuid *topic, uint32_t partition, int32_t leader_epoch, uint64_t offset)
{
    const struct image_deletion deletion = {.topic_id = *topic, .partition = partition, .leader_epoch = leader_epoch, .offset = offset};
    struct decide_result result;

    ck_assert_int_eq(decide_delete_records(history->image, &deletion, 1, &decision, &result), 0);
    if (decision.change_count > 0) history_commit(history, &decision);
    return result.error;
}

static uint64_t deleted(const struct uuid *topic, uint32_t partition)
{
    const struct image_deletion *deletion = image_deletion(history->image, topic, partition);

    return deletion == NULL ? 0 : deletion->offset;
}

static int32_t epoch_of(const struct uuid *topic, uint32_t partition)
{
    struct image_partition state;

    ck_assert(image_topic_partition(image_find_topic(history->image, topic), partition, &state));
    return state.leader_epoch;
}

static int32_t elect_anew(const struct uuid *topic, uint32_t partition)
{
    struct image_partition state;

    ck_assert(image_topic_partition(image_find_topic(history->image, topic), partition, &state));
    ck_assert_int_eq(decide_broker_fence(history->image, &image_find_broker(history->image, state.leader)->broker_id, NULL, &decision), 0);
    history_commit(history, &decision);
    return epoch_of(topic, partition);
}

static const struct {
    uint32_t partition;
    int32_t epoch_ahead;
    uint64_t offset;
    int want;
} wishes[] = {
    {0, 0, 10, 0},
    {0, 0, 0, MESH_EINVAL},
    {4, 0, 10, MESH_EUNKNOWN_TOPIC},
    {0, 1, 10, MESH_EUNKNOWN_EPOCH},
    {0, -1, 10, MESH_ESTALE_EPOCH},
};
START_TEST(the_leader_of_now_says_how_far)
{
    uint64_t before = image_find_topic(history->image, &orders)->changed_index;
    int32_t epoch = elect_anew(&orders, 0);

    ck_assert_int_eq(wish(&orders, wishes[_i].partition, epoch + wishes[_i].epoch_ahead, wishes[_i].offset), wishes[_i].want);
    ck_assert_uint_eq(deleted(&orders, 0), wishes[_i].want == 0 ? wishes[_i].offset : 0);
    ck_assert_uint_eq(image_deletion_count(history->image), wishes[_i].want == 0);
    ck_assert_uint_eq(image_level(history->image), wishes[_i].want == 0 ? 2 : 1);
    if (wishes[_i].want == 0) ck_assert_uint_gt(image_find_topic(history->image, &orders)->changed_index, before);
}
END_TEST

START_TEST(what_is_no_topic_of_clients_is_kept)
{
    struct uuid nothing = history_uuid(history), internal = history_uuid(history), told;

    ck_assert_int_eq(wish(&nothing, 0, 0, 10), MESH_EUNKNOWN_TOPIC);
    ck_assert_int_eq(decide_groups_topic(history->image, &internal, 1, NULL, &decision, &told), 0);
    history_commit(history, &decision);
    ck_assert_int_eq(wish(&told, 0, 0, 10), MESH_EINVALID_TOPIC);
    ck_assert_uint_eq(image_deletion_count(history->image), 0);
}
END_TEST

/* A late copy, or one who wants less, takes nothing back; under a newer epoch the leader is believed. */
START_TEST(what_is_deleted_stays_deleted)
{
    ck_assert_int_eq(wish(&orders, 1, 0, 50), 0);
    ck_assert_int_eq(wish(&orders, 1, 0, 50), 0);
    ck_assert_int_eq(wish(&orders, 1, 0, 20), 0);
    ck_assert_uint_eq(deleted(&orders, 1), 50);
    ck_assert_int_eq(wish(&orders, 1, 0, 60), 0);
    ck_assert_uint_eq(deleted(&orders, 1), 60);
    ck_assert_int_eq(wish(&orders, 1, elect_anew(&orders, 1), 30), 0); /* of a log that lost records */
    ck_assert_uint_eq(deleted(&orders, 1), 30);
}
END_TEST

START_TEST(many_partitions_are_one_entry)
{
    const struct uuid *first = memcmp(orders.bytes, other.bytes, UUID_SIZE) < 0 ? &orders : &other, *second = first == &orders ? &other : &orders;
    struct image_deletion all[] = {{*first, 0, 0, 10}, {*first, 1, 7, 10}, {*second, 0, 0, 20}, {*second, 1, 0, 30}}, swapped[2];
    uint64_t index = image_applied_index(history->image);
    struct decide_result results[4];

    ck_assert_int_eq(decide_delete_records(history->image, all, 4, &decision, results), 0);
    ck_assert_uint_eq(decision.change_count, 3);
    history_commit(history, &decision);
    ck_assert_uint_eq(image_applied_index(history->image), index + 1);
    ck_assert_int_eq(results[1].error, MESH_EUNKNOWN_EPOCH);
    ck_assert_uint_eq(deleted(first, 0), 10);
    ck_assert_uint_eq(deleted(first, 1), 0);
    ck_assert_uint_eq(deleted(second, 0), 20);
    ck_assert_uint_eq(deleted(second, 1), 30);
    swapped[0] = all[2];
    swapped[1] = all[0];
    ck_assert_int_eq(decide_delete_records(history->image, swapped, 2, &decision, results), MESH_EINVAL);
    swapped[0] = all[0];
    ck_assert_int_eq(decide_delete_records(history->image, swapped, 2, &decision, results), MESH_EINVAL);
    ck_assert_int_eq(decide_delete_records(history->image, all, DECIDE_PARTITIONS_MAX + 1, &decision, results), MESH_EINVAL);
}
END_TEST

START_TEST(a_deleted_topic_takes_its_deletions_along)
{
    ck_assert_int_eq(wish(&orders, 3, 0, 10), 0);
    ck_assert_int_eq(wish(&other, 1, 0, 10), 0);
    ck_assert_int_eq(decide_topic_delete(history->image, "orders", &decision), 0);
    history_commit(history, &decision);
    ck_assert_uint_eq(image_deletion_count(history->image), 1);
    ck_assert_uint_eq(deleted(&other, 1), 10);
}
END_TEST

/* ---- bytes ---- */

/* Who goes back a version can read what it left, until records are deleted. */
START_TEST(snapshots_remember_deletions_and_are_as_before_without)
{
    struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;
    struct image *image;

    ck_assert_int_eq(image_encode(history->image, &bytes), 0);
    ck_assert_uint_eq(bytes.data[0], 3);
    ck_assert_int_eq(wish(&orders, 2, 0, 1000), 0);
    ck_assert_int_eq(wish(&other, 0, 0, 2), 0);
    buffer_clear(&bytes);
    ck_assert_int_eq(image_encode(history->image, &bytes), 0);
    ck_assert_uint_eq(bytes.data[0], 4);
    ck_assert_int_eq(image_decode(buffer_slice(&bytes), &image), 0);
    ck_assert_uint_eq(image_deletion(image, &orders, 2)->offset, 1000);
    ck_assert_int_eq(image_encode(image, &again), 0);
    ck_assert(slice_equal(buffer_slice(&again), buffer_slice(&bytes)));
    image_unref(image);
    for (size_t size = 0; size < bytes.size; size++) {
        uint8_t *exact = malloc(size + 1);
        memcpy(exact, bytes.data, size);
        ck_assert_int_eq(image_decode(slice_of(exact, size), &image), MESH_ECORRUPT);
        free(exact);
    }
    bytes.data[0] = 3; /* then nothing follows the elections */
    ck_assert_int_eq(image_decode(buffer_slice(&bytes), &image), MESH_ECORRUPT);
    buffer_deinit(&bytes);
    buffer_deinit(&again);
}
END_TEST

static const struct {
    const char *why;
    struct image_deletion deletion;
    bool is_other_key;
} refused[] = {
    {"an epoch that has not been", {.partition = 1, .leader_epoch = 1, .offset = 60}, false},
    {"no such partition", {.partition = 4, .offset = 60}, false},
    {"fewer records than before", {.partition = 1, .offset = 49}, false},
    {"as many", {.partition = 1, .offset = 50}, false},
    {"no such topic", {.partition = 1, .offset = 60}, true},
};
START_TEST(an_entry_that_cannot_follow_is_refused)
{
    struct uuid key = refused[_i].is_other_key ? history_uuid(history) : orders;
    struct buffer body = BUFFER_INIT;

    ck_assert_int_eq(wish(&orders, 1, 0, 50), 0);
    ck_assert_int_eq(body_encode_deletion(&body, &refused[_i].deletion), 0);
    ck_assert_int_eq(history_commit_raw(history, METADATA_RECORDS_DELETED, slice_of(key.bytes, UUID_SIZE), buffer_slice(&body)), MESH_ECORRUPT);
    ck_assert_uint_eq(deleted(&orders, 1), 50);
    buffer_deinit(&body);
}
END_TEST

static const struct {
    uint8_t bytes[8];
    size_t size;
    int want;
} bodies[] = {
    {{1, 1, 0, 10}, 4, 0},
    {{1, 1, 0, 0}, 4, MESH_ECORRUPT},     /* nothing is before it */
    {{1, 1, 0}, 3, MESH_ECORRUPT},
    {{1, 1, 0, 10, 0}, 5, MESH_ECORRUPT}, /* more than there is to say */
    {{2, 1, 0, 10}, 4, MESH_EVERSION},
    {{1, 0xff, 0xff, 0xff, 0x7f, 0, 10}, 7, MESH_ECORRUPT},
};
START_TEST(bodies_are_checked)
{
    struct image_deletion deletion;

    ck_assert_int_eq(body_decode_deletion(slice_of(bodies[_i].bytes, bodies[_i].size), &deletion), bodies[_i].want);
    ck_assert_uint_eq(metadata_kind_level(METADATA_RECORDS_DELETED), 2);
}
END_TEST

/* ---- what a replica makes of it ---- */

static const struct {
    uint64_t epoch_end, first, high_watermark;
    int32_t known_epoch;
    bool leads, is_cutting;
    uint64_t want;
    bool want_due;
} replicas[] = {
    {120, 0, 120, 3, false, false, 100, false},
    {120, 0, 99, 3, false, false, 0, true},   /* not known to be committed yet */
    {120, 0, 99, 3, true, false, 100, false}, /* it was, whatever a new leader knows */
    {120, 0, 120, 3, true, true, 0, true},
    {120, 100, 120, 3, false, false, 0, false},
    {40, 0, 60, 3, false, false, 40, true}, /* the rest is to come yet; or an election lost it, and others stand there */
    {40, 40, 60, 3, false, false, 0, true},
    {40, 100, 160, 3, false, false, 0, false},
    {40, 0, 60, 3, true, false, 40, false}, /* nobody has the rest */
    {40, 40, 60, 3, true, false, 0, false},
    {40, 0, 30, 3, false, false, 0, true},
    {120, 0, 120, 2, true, false, 100, false}, /* none of its own epoch came here */
    /* So many epochs ago that the books forgot it: these may be new ones, in the place of what was deleted and then lost. */
    {120, 40, 160, -1, true, false, 0, false},
    {120, 40, 160, -1, false, false, 0, true},
    {120, 100, 160, -1, false, false, 0, false},
};
START_TEST(replicas_give_up_what_is_deleted_as_soon_as_they_may)
{
    const struct image_deletion deletion = {.partition = 0, .leader_epoch = 3, .offset = 100};
    struct replica replica = {.role = replicas[_i].leads ? REPLICA_LEADER : REPLICA_FOLLOWER, .is_cutting = replicas[_i].is_cutting};
    bool is_due = !replicas[_i].want_due;

    replica.partition.first = replicas[_i].first;
    replica.partition.high_watermark = replicas[_i].high_watermark;
    ck_assert_uint_eq(roles_delete_before(&deletion, replicas[_i].epoch_end, replicas[_i].known_epoch, &replica, &is_due), replicas[_i].want);
    ck_assert_int_eq(is_due, replicas[_i].want_due);
    ck_assert_uint_eq(roles_delete_before(NULL, 0, -1, &replica, &is_due), 0);
    ck_assert(!is_due);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("deletions");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, the_leader_of_now_says_how_far, 0, sizeof(wishes) / sizeof(wishes[0]));
    tcase_add_test(tcase, what_is_no_topic_of_clients_is_kept);
    tcase_add_test(tcase, what_is_deleted_stays_deleted);
    tcase_add_test(tcase, many_partitions_are_one_entry);
    tcase_add_test(tcase, a_deleted_topic_takes_its_deletions_along);
    tcase_add_test(tcase, snapshots_remember_deletions_and_are_as_before_without);
    tcase_add_loop_test(tcase, an_entry_that_cannot_follow_is_refused, 0, sizeof(refused) / sizeof(refused[0]));
    tcase_add_loop_test(tcase, bodies_are_checked, 0, sizeof(bodies) / sizeof(bodies[0]));
    tcase_add_loop_test(tcase, replicas_give_up_what_is_deleted_as_soon_as_they_may, 0, sizeof(replicas) / sizeof(replicas[0]));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
