/* What /readyz waits for after a start: copies that are behind, once, and not for ever. */
#include "cmd/broker/runtime/catch_up.h"
#include "metadata_history.h"
#include "replication/coordinator/record_body.h"
#include "support/run_suite.h"

#include <check.h>
#include <string.h>

#define BROKERS    3
#define PARTITIONS 5
#define WHICH      3 /* the partition that changes */

struct rig {
    struct history *history;
    struct uuid topic_id;
    struct image_partition now;
    struct body_partition next;
    int32_t follower; /* node id of the second replica */
};

static void set_up(struct rig *rig)
{
    rig->history = history_new_mesh(BROKERS, "aaa");
    rig->topic_id = history_create_topic(rig->history, "orders", PARTITIONS, BROKERS)->topic_id;
    ck_assert(image_topic_partition(image_find_topic(rig->history->image, &rig->topic_id), WHICH, &rig->now));
    ck_assert_int_eq(rig->now.leader, rig->now.replicas[0]);
    rig->follower = rig->now.replicas[1];
    rig->next = (struct body_partition){.partition = WHICH, .replica_count = BROKERS, .isr = 7, .leader = rig->now.leader};
    memcpy(rig->next.replicas, rig->now.replicas, BROKERS * sizeof(int32_t));
}

static void change(struct rig *rig)
{
    struct buffer body = BUFFER_INIT;

    rig->next.leader_epoch = ++rig->now.leader_epoch;
    rig->next.partition_epoch = ++rig->now.partition_epoch;
    ck_assert_int_eq(body_encode_partitions(&body, &rig->next, 1), 0);
    ck_assert_int_eq(history_commit_raw(rig->history, METADATA_PARTITIONS_CHANGED, slice_of(rig->topic_id.bytes, UUID_SIZE), buffer_slice(&body)), 0);
    buffer_deinit(&body);
}

/* By one that has just started. */
static bool is_behind(const struct rig *rig, int32_t node_id)
{
    struct catch_up catch_up = {0};

    return catch_up_is_behind(&catch_up, rig->history->image, node_id, 1000);
}

START_TEST(who_is_in_sync_with_every_leader_is_not_behind)
{
    struct rig rig;

    set_up(&rig);
    for (int32_t node_id = 1; node_id <= BROKERS; node_id++)
        ck_assert(!is_behind(&rig, node_id));
    ck_assert(!is_behind(&rig, BROKERS + 1)); /* it keeps nothing */
    history_free(rig.history);
}
END_TEST

START_TEST(one_copy_is_waited_for_by_its_broker_alone)
{
    struct rig rig;

    set_up(&rig);
    rig.next.isr = 5;
    change(&rig);
    for (int32_t node_id = 1; node_id <= BROKERS; node_id++)
        ck_assert_int_eq(is_behind(&rig, node_id), node_id == rig.follower);
    history_free(rig.history);
}
END_TEST

START_TEST(nobody_waits_for_a_partition_without_a_leader_or_for_a_move)
{
    struct rig rig;

    set_up(&rig);
    rig.next.isr = 1;
    rig.next.leader = IMAGE_NO_LEADER;
    change(&rig);
    ck_assert(!is_behind(&rig, rig.follower));
    rig.next.leader = rig.next.replicas[0];
    rig.next.isr = 5;
    rig.next.adding = 2;
    change(&rig);
    ck_assert(!is_behind(&rig, rig.follower));
    history_free(rig.history);
}
END_TEST

START_TEST(once_in_sync_it_stays_ready)
{
    struct catch_up catch_up = {0};
    struct rig rig;

    set_up(&rig);
    rig.next.isr = 5;
    change(&rig);
    ck_assert(catch_up_is_behind(&catch_up, rig.history->image, rig.follower, 1000));
    rig.next.isr = 7;
    change(&rig);
    ck_assert(!catch_up_is_behind(&catch_up, rig.history->image, rig.follower, 2000));
    rig.next.isr = 5;
    change(&rig);
    ck_assert(!catch_up_is_behind(&catch_up, rig.history->image, rig.follower, 3000));
    history_free(rig.history);
}
END_TEST

START_TEST(it_does_not_wait_for_ever)
{
    struct catch_up catch_up = {0};
    struct rig rig;

    set_up(&rig);
    rig.next.isr = 5;
    change(&rig);
    ck_assert(catch_up_is_behind(&catch_up, rig.history->image, rig.follower, 1000));
    ck_assert(catch_up_is_behind(&catch_up, rig.history->image, rig.follower, 1000 + CATCH_UP_MS_MAX - 1));
    ck_assert(!catch_up_is_behind(&catch_up, rig.history->image, rig.follower, 1000 + CATCH_UP_MS_MAX));
    history_free(rig.history);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("catch up");
    TCase *tcase = tcase_create("catch up");

    tcase_add_test(tcase, who_is_in_sync_with_every_leader_is_not_behind);
    tcase_add_test(tcase, one_copy_is_waited_for_by_its_broker_alone);
    tcase_add_test(tcase, nobody_waits_for_a_partition_without_a_leader_or_for_a_move);
    tcase_add_test(tcase, once_in_sync_it_stays_ready);
    tcase_add_test(tcase, it_does_not_wait_for_ever);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
