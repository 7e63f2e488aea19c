/* What differs between two images is told by few lines, that lose neither a partition nor what happened to it. */
#include "cmd/broker/operate/image_events.h"
#include "metadata_history.h"
#include "replication/coordinator/record_body.h"
#include "support/run_suite.h"

#include <check.h>
#include <ev.h>
#include <stdio.h>
#include <string.h>

#define BROKERS    9
#define PARTITIONS 200 /* more than there are pairs of brokers, which are more than the lines that are told apart */

struct told {
    unsigned long long elected, lost;
    size_t elections, losses;
};

static bool count(void *user, const struct event *event)
{
    struct told *told = user;
    const char *at = strstr(event->text, "partitions=");
    unsigned long long partitions = 0;

    if (at != NULL) ck_assert_int_eq(sscanf(at, "partitions=%llu", &partitions), 1);
    if (event->kind == EVENT_ELECTION) told->elections++, told->elected += partitions;
    if (event->kind == EVENT_LOSS) told->losses++, told->lost += partitions;
    return true;
}

/* Each leader hands its partitions to all others in turn; with the last one goes a loss. */
static void move_all(struct history *history, const struct image_topic *topic)
{
    int32_t turns[BROKERS + 1] = {0};
    const struct uuid id = topic->topic_id;

    for (uint32_t i = 0; i < PARTITIONS; i++) {
        struct buffer body = BUFFER_INIT;
        struct image_partition now;
        struct body_partition next = {.partition = i, .replica_count = 1, .isr = 1, .reset_epoch = i + 1 == PARTITIONS};

        ck_assert(image_topic_partition(image_find_topic(history->image, &id), i, &now));
        next.leader = (now.leader + turns[now.leader]++ % (BROKERS - 1)) % BROKERS + 1;
        next.replicas[0] = next.leader;
        next.leader_epoch = now.leader_epoch + 1;
        next.partition_epoch = now.partition_epoch + 1;
        ck_assert_int_eq(body_encode_partitions(&body, &next, 1), 0);
        ck_assert_int_eq(history_commit_raw(history, METADATA_PARTITIONS_CHANGED, slice_of(id.bytes, UUID_SIZE), buffer_slice(&body)), 0);
        buffer_deinit(&body);
    }
}

START_TEST(a_loss_is_told_behind_many_elections)
{
    struct history *history = history_new_mesh(BROKERS, "aaaaaaaaa");
    const struct image_topic *topic = history_create_topic(history, "many", PARTITIONS, 1);
    struct ev_loop *loop = ev_loop_new(0);
    struct image_events *image_events;
    static struct events events;
    struct told told = {0};

    ck_assert_int_eq(image_events_new(loop, &events, &image_events), 0);
    image_events_see(image_events, history->image);
    move_all(history, topic);
    image_events_see(image_events, history->image);
    image_events_free(image_events);
    events_each(&events, 0, count, &told);
    ck_assert_uint_eq(told.elected, PARTITIONS);
    ck_assert_uint_eq(told.losses, 1);
    ck_assert_uint_eq(told.lost, 1);
    ck_assert_uint_ge(told.elections, 64);
    ck_assert_uint_le(told.elections, 66);
    events_deinit(&events);
    ev_loop_destroy(loop);
    history_free(history);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("image events");
    TCase *tcase = tcase_create("image events");

    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, a_loss_is_told_behind_many_elections);
    return run_suite(suite);
}
