/* Subscribed consumers against a scripted broker whose groups are decided as real ones are (fake_groups.h). */
#include "group_app.h"

#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- stories ---- */

START_TEST(what_was_handled_is_committed_at_the_end)
{
    struct app app;

    liveness = _i == 0 ? "thread" : "poll";
    open_app(&app);
    ck_assert_int_eq(subscribe_with(&app, none, NULL), 0);
    poll_until(&app, PARTITIONS * TOTAL);
    ck_assert_int_eq(app.assigned, PARTITIONS);
    ck_assert_int_eq(mesh_consumer_unsubscribe(app.consumer), 0);
    close_app(&app);
    stop();
    for (uint32_t p = 0; p < PARTITIONS; p++)
        ck_assert_int_eq(fake_groups_committed(&groups, "g", p), TOTAL);
    ck_assert_uint_eq(atomic_load(&groups.served[FRAME_OP_GROUP_LEAVE]), 1);
    liveness = "thread";
}
END_TEST

static unsigned cuts;

static void on_cut(void *user, const struct mesh_truncation_info *info)
{
    (void)user;
    ck_assert_int_eq(info->position, TOTAL);
    ck_assert_int_eq(info->offset, 40);
    cuts++;
}

/* What was committed says of which epoch the record before it is: whoever takes it up hears that the log has been cut since. */
START_TEST(a_committed_offset_that_was_lost_is_noticed)
{
    struct app first, second;

    open_app(&first);
    ck_assert_int_eq(subscribe_with(&first, none, NULL), 0);
    poll_until(&first, PARTITIONS * TOTAL);
    ck_assert_int_eq(mesh_consumer_unsubscribe(first.consumer), 0);
    close_app(&first);
    atomic_store(&broker->losing, 40 + 1);
    cuts = 0;
    open_app(&second);
    mesh_consumer_on_truncation(second.consumer, MESH_TRUNCATION_GO_BACK, on_cut, NULL);
    ck_assert_int_eq(subscribe_with(&second, none, NULL), 0);
    for (int i = 0; i < 1000 && cuts < PARTITIONS; i++)
        ck_assert_int_eq(poll_once(&second, 10, 100), 0);
    ck_assert_uint_eq(cuts, PARTITIONS);
    ck_assert_int_eq(mesh_consumer_unsubscribe(second.consumer), 0);
    ck_assert_uint_eq(second.total, 0);
    close_app(&second);
    stop();
    for (uint32_t p = 0; p < PARTITIONS; p++)
        ck_assert_int_eq(fake_groups_committed(&groups, "g", p), 40);
}
END_TEST

START_TEST(the_next_consumer_goes_on_where_the_last_one_stood)
{
    struct app first, second;

    open_app(&first);
    ck_assert_int_eq(subscribe_with(&first, none, NULL), 0);
    poll_until(&first, 100);
    ck_assert_int_eq(mesh_consumer_commit(first.consumer), 0);
    close_app(&first);
    open_app(&second);
    ck_assert_int_eq(subscribe_with(&second, none, NULL), 0);
    poll_until(&second, PARTITIONS * TOTAL - first.total);
    for (int p = 0; p < PARTITIONS; p++)
        ck_assert_int_eq(second.first[p], first.next[p] < 0 ? 0 : first.next[p] == TOTAL ? -1 : first.next[p]);
    close_app(&second);
    stop();
}
END_TEST

START_TEST(what_the_last_poll_returned_comes_again_after_a_crash)
{
    struct app first, second;

    open_app(&first);
    ck_assert_int_eq(subscribe_with(&first, none, NULL), 0);
    poll_until(&first, 10);
    close_app(&first); /* in the middle of handling */
    open_app(&second);
    ck_assert_int_eq(subscribe_with(&second, none, NULL), 0);
    poll_until(&second, PARTITIONS * TOTAL);
    close_app(&second);
    stop();
}
END_TEST

START_TEST(at_most_once_commits_before_it_returns)
{
    static const char *const settings[] = {"delivery", "at-most-once", NULL};
    struct app first, second;

    open_app(&first);
    ck_assert_int_eq(subscribe_with(&first, settings, NULL), 0);
    while (first.total == 0)
        ck_assert_int_eq(poll_once(&first, 10, 100), 0);
    close_app(&first); /* before anything is handled */
    open_app(&second);
    ck_assert_int_eq(subscribe_with(&second, settings, NULL), 0);
    poll_until(&second, PARTITIONS * TOTAL - first.total);
    ck_assert_int_eq(poll_once(&second, 10, 50), 0);
    ck_assert_uint_eq(second.total, PARTITIONS * TOTAL - first.total);
    close_app(&second);
    stop();
}
END_TEST

START_TEST(offsets_stored_by_hand_are_all_that_counts)
{
    static const char *const settings[] = {"delivery", "manual", NULL};
    struct app app;
    int64_t committed = 0;
    uint64_t token = 0;

    open_app(&app);
    ck_assert_int_eq(subscribe_with(&app, settings, NULL), 0);
    poll_until(&app, PARTITIONS * TOTAL);
    ck_assert_int_eq(mesh_consumer_store(app.consumer, "t", 2, 33, "by hand"), 0);
    ck_assert_int_eq(mesh_consumer_store(app.consumer, "t", 9, 33, NULL), MESH_ENOT_OWNER);
    ck_assert_int_eq(mesh_consumer_commit(app.consumer), 0);
    ck_assert_int_eq(mesh_consumer_committed(app.consumer, "t", 2, &committed), 0);
    ck_assert_int_eq(committed, 33);
    ck_assert_int_eq(mesh_consumer_committed(app.consumer, "t", 1, &committed), 0);
    ck_assert_int_eq(committed, -1);
    ck_assert_int_eq(mesh_consumer_fencing_token(app.consumer, "t", 2, &token), 0);
    ck_assert_uint_gt(token, 0);
    close_app(&app);
    stop();
    ck_assert_int_eq(fake_groups_committed(&groups, "g", 2), 33);
    ck_assert_int_eq(fake_groups_committed(&groups, "g", 1), -1);
}
END_TEST

START_TEST(two_share_and_one_takes_over)
{
    struct app a, b;

    open_app(&a);
    ck_assert_int_eq(subscribe_with(&a, none, NULL), 0);
    while (a.assigned < PARTITIONS)
        ck_assert_int_eq(poll_once(&a, 1, 20), 0);
    open_app(&b);
    ck_assert_int_eq(subscribe_with(&b, none, NULL), 0);
    for (int i = 0; i < 1000 && b.assigned < PARTITIONS / 2; i++) {
        ck_assert_int_eq(poll_once(&a, 1, 5), 0);
        ck_assert_int_eq(poll_once(&b, 1, 5), 0);
    }
    ck_assert_int_eq(b.assigned, PARTITIONS / 2);
    ck_assert_int_eq(a.revoked, PARTITIONS / 2);
    ck_assert_int_eq(a.lost, 0);
    for (int p = 0; p < PARTITIONS; p++)
        ck_assert(a.is_mine[p] != b.is_mine[p]);
    ck_assert_int_eq(mesh_consumer_unsubscribe(a.consumer), 0);
    memset(a.is_mine, 0, sizeof(a.is_mine));
    for (int i = 0; i < 1000 && b.assigned < PARTITIONS; i++)
        ck_assert_int_eq(poll_once(&b, 1, 5), 0);
    for (int p = 0; p < PARTITIONS; p++) /* at least once, and nothing twice: it was all released in order */
        if (b.first[p] >= 0 && a.next[p] >= 0) ck_assert_int_eq(b.first[p], a.next[p]);
    close_app(&b);
    close_app(&a);
    stop();
}
END_TEST

START_TEST(a_failover_of_the_groups_leader_is_not_noticed)
{
    struct app app;

    open_app(&app);
    ck_assert_int_eq(subscribe_with(&app, none, NULL), 0);
    for (unsigned part = 1; part <= 8; part++) {
        poll_until(&app, part * PARTITIONS * TOTAL / 8);
        atomic_store(&groups.fail_over, 1);
    }
    ck_assert_int_eq(mesh_consumer_commit(app.consumer), 0);
    ck_assert_int_eq(app.assigned, PARTITIONS);
    ck_assert_int_eq(app.lost + app.revoked, 0);
    close_app(&app);
    stop();
    for (uint32_t p = 0; p < PARTITIONS; p++)
        ck_assert_int_eq(fake_groups_committed(&groups, "g", p), TOTAL);
}
END_TEST

/* Requests fail in every way; nothing is lost, and nothing is told twice within a consumer's claim. */
static const struct {
    enum frame_op op;
    enum fake_action action;
    int error;
} troubles[] = {
    {FRAME_OP_GROUP_JOIN, FAKE_CLOSE, 0},
    {FRAME_OP_GROUP_JOIN, FAKE_SERVE_AND_CLOSE, 0},
    {FRAME_OP_GROUP_JOIN, FAKE_REFUSE, MESH_ENO_COORDINATOR},
    {FRAME_OP_GROUP_HEARTBEAT, FAKE_CLOSE, 0},
    {FRAME_OP_GROUP_HEARTBEAT, FAKE_REFUSE, MESH_ENOT_LEADER},
    {FRAME_OP_GROUP_CLAIM, FAKE_SERVE_AND_CLOSE, 0},
    {FRAME_OP_GROUP_CLAIM, FAKE_REFUSE, MESH_EUNCOMMITTED},
    {FRAME_OP_GROUP_COMMIT, FAKE_SERVE_AND_CLOSE, 0},
    {FRAME_OP_GROUP_COMMIT, FAKE_CLOSE, 0},
    {FRAME_OP_GROUP_COMMIT, FAKE_REFUSE, MESH_ENOT_ENOUGH_REPLICAS},
    {FRAME_OP_GROUP_COMMIT, FAKE_SERVE_CUT, 0},
    {FRAME_OP_GROUP_COMMIT, FAKE_BAD_CRC, 0},
    {FRAME_OP_GROUP_COMMIT, FAKE_GARBAGE, 0},
};
START_TEST(trouble_on_the_way_is_gone_through)
{
    struct app app;

    plan_for(troubles[_i].op, troubles[_i].action, troubles[_i].error, 3);
    open_app(&app);
    ck_assert_int_eq(subscribe_with(&app, none, NULL), 0);
    poll_until(&app, PARTITIONS * TOTAL);
    ck_assert_int_eq(mesh_consumer_commit(app.consumer), 0);
    close_app(&app);
    stop();
    for (uint32_t p = 0; p < PARTITIONS; p++)
        ck_assert_int_eq(fake_groups_committed(&groups, "g", p), TOTAL);
}
END_TEST

START_TEST(a_member_that_is_expelled_begins_again)
{
    struct app app;

    open_app(&app);
    ck_assert_int_eq(subscribe_with(&app, none, NULL), 0);
    poll_until(&app, 100);
    plan_for(FRAME_OP_GROUP_COMMIT, FAKE_REFUSE, MESH_EUNKNOWN_MEMBER, 1);
    for (int i = 0; i < 1000 && app.lost < PARTITIONS; i++) {
        ck_assert_int_eq(poll_once(&app, 1, 5), 0);
        mesh_consumer_commit_async(app.consumer, NULL, NULL);
    }
    ck_assert_int_eq(app.lost, PARTITIONS);
    for (int p = 0; p < PARTITIONS; p++)
        app.next[p] = -1;
    for (int i = 0; i < 3000 && app.assigned < 2 * PARTITIONS; i++) /* its first life is dead once its session is over */
        ck_assert_int_eq(poll_once(&app, 1, 5), 0);
    ck_assert_int_eq(app.assigned, 2 * PARTITIONS);
    close_app(&app);
    stop();
}
END_TEST

START_TEST(an_instance_that_comes_back_is_the_same_member)
{
    static const char *const settings[] = {"instance", "one", NULL};
    struct app a, b;
    int err = 0;

    open_app(&a);
    ck_assert_int_eq(subscribe_with(&a, settings, NULL), 0);
    poll_until(&a, 40);
    ck_assert_int_eq(mesh_consumer_commit(a.consumer), 0);
    open_app(&b); /* while its former life is still there */
    ck_assert_int_eq(subscribe_with(&b, settings, NULL), 0);
    while (b.assigned < PARTITIONS)
        ck_assert_int_eq(poll_once(&b, 1, 20), 0);
    for (int i = 0; i < 1000 && err == 0; i++)
        err = poll_once(&a, 1, 20);
    ck_assert_int_eq(err, MESH_EFENCED_INSTANCE);
    close_app(&a);
    close_app(&b);
    stop();
}
END_TEST

START_TEST(heartbeats_go_on_while_a_handler_works)
{
    struct app app;
    struct mesh_membership_info info;
    unsigned before;

    open_app(&app);
    ck_assert_int_eq(subscribe_with(&app, none, NULL), 0);
    poll_until(&app, 10);
    before = atomic_load(&groups.served[FRAME_OP_GROUP_HEARTBEAT]);
    while (atomic_load(&groups.served[FRAME_OP_GROUP_HEARTBEAT]) < before + 5)
        continue; /* the handler does not call the library */
    while (atomic_load(&broker->frames[FRAME_OP_CLUSTER]) < 2)
        continue; /* the thread's client, too, knows of every broker */
    ck_assert_int_eq(mesh_consumer_membership(app.consumer, &info), 0);
    ck_assert_int_eq(info.is_joined, 1);
    ck_assert_uint_eq(info.partitions, PARTITIONS);
    ck_assert_str_eq(info.group, "g");
    poll_until(&app, PARTITIONS * TOTAL);
    ck_assert_int_eq(app.lost, 0);
    close_app(&app);
    stop();
}
END_TEST

START_TEST(the_application_says_where_to_begin)
{
    struct app app;

    open_app(&app);
    app.begins_at = 90;
    ck_assert_int_eq(subscribe_with(&app, none, "t.*|x"), 0);
    poll_until(&app, PARTITIONS * 10);
    for (int p = 0; p < PARTITIONS; p++)
        ck_assert_int_eq(app.first[p], 90);
    close_app(&app);
    stop();
}
END_TEST

START_TEST(without_an_offset_it_begins_as_it_was_told_to)
{
    static const char *const latest[] = {"start", "latest", NULL}, *const error[] = {"start", "error", NULL};
    struct app app;
    int err = 0;

    open_app(&app);
    ck_assert_int_eq(subscribe_with(&app, _i == 0 ? latest : error, NULL), 0);
    while (app.assigned < PARTITIONS && err == 0)
        err = poll_once(&app, 10, 20);
    for (int i = 0; i < 20 && err == 0; i++)
        err = poll_once(&app, 10, 5);
    ck_assert_int_eq(err, _i == 0 ? 0 : MESH_ENOTFOUND);
    ck_assert_uint_eq(app.total, 0);
    close_app(&app);
    stop();
}
END_TEST

START_TEST(what_brokers_object_to_is_told_by_poll)
{
    static const char *const settings[] = {"session.ms", "5", NULL};
    struct app app;
    int err = 0;

    open_app(&app);
    ck_assert_int_eq(subscribe_with(&app, settings, NULL), 0);
    for (int i = 0; i < 100 && err == 0; i++)
        err = poll_once(&app, 10, 100);
    ck_assert_int_eq(err, MESH_EINVALID_SESSION_TIMEOUT);
    ck_assert_int_eq(poll_once(&app, 10, 0), MESH_EINVALID_SESSION_TIMEOUT);
    ck_assert_int_eq(subscribe_with(&app, none, NULL), 0); /* better */
    poll_until(&app, 10);
    close_app(&app);
    stop();
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    struct mesh_group_options *options = NULL;
    const char *const topics[] = {"t"};
    struct app app;
    uint64_t token;

    open_app(&app);
    ck_assert_int_eq(mesh_group_options_new(&options), 0);
    ck_assert_int_eq(mesh_consumer_subscribe(app.consumer, options, topics, 1), MESH_EINVAL); /* no group */
    ck_assert_int_eq(mesh_group_options_set(options, "colour", "red"), MESH_EINVALID_CONFIG);
    ck_assert_int_eq(mesh_group_options_set(options, "delivery", "twice"), MESH_EINVALID_CONFIG);
    ck_assert_int_eq(mesh_group_options_set(options, "session.ms", "-5"), MESH_EINVALID_CONFIG);
    ck_assert_int_eq(mesh_group_options_set(options, "group", "g"), 0);
    ck_assert_int_eq(mesh_consumer_subscribe(app.consumer, options, topics, 0), MESH_EINVAL);
    ck_assert_int_eq(mesh_consumer_commit(app.consumer), MESH_EINVAL);
    ck_assert_int_eq(mesh_consumer_unsubscribe(app.consumer), MESH_EINVAL);
    ck_assert_int_eq(mesh_consumer_fencing_token(app.consumer, "t", 0, &token), MESH_ENOT_OWNER);
    ck_assert_int_eq(mesh_consumer_assign(app.consumer, "t", 0, 0), 0);
    ck_assert_int_eq(mesh_consumer_subscribe(app.consumer, options, topics, 1), MESH_EINVAL);
    ck_assert_int_eq(mesh_consumer_unassign(app.consumer, "t", 0), 0);
    ck_assert_int_eq(mesh_consumer_subscribe(app.consumer, options, topics, 1), 0);
    ck_assert_int_eq(mesh_consumer_assign(app.consumer, "t", 0, 0), MESH_EINVAL);
    ck_assert_int_eq(mesh_group_options_set(options, "group", "other"), 0);
    ck_assert_int_eq(mesh_consumer_subscribe(app.consumer, options, topics, 1), MESH_EINVAL);
    mesh_group_options_free(options);
    close_app(&app);
    stop();
}
END_TEST

/* ---- callbacks ---- */

struct commits {
    struct app *app;
    int told, wrong;
};

static void on_commit(void *user, int error)
{
    struct commits *commits = user;

    commits->wrong += error != 0;
    if (commits->told++ > 0) return;
    ck_assert_int_eq(mesh_consumer_commit(commits->app->consumer), 0); /* which tells the others */
    ck_assert_int_eq(mesh_consumer_commit_async(commits->app->consumer, on_commit, commits), 0);
    ck_assert_int_eq(mesh_consumer_unsubscribe(commits->app->consumer), MESH_EINVAL);
    ck_assert_int_eq(poll_once(commits->app, 1, 0), MESH_EINVAL);
    ck_assert_int_eq(subscribe_with(commits->app, none, NULL), MESH_EINVAL);
}

START_TEST(a_callback_of_a_commit_may_commit)
{
    struct app app;
    struct commits commits = {.app = &app};

    open_app(&app);
    ck_assert_int_eq(subscribe_with(&app, none, NULL), 0);
    poll_until(&app, 10);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(mesh_consumer_commit_async(app.consumer, on_commit, &commits), 0);
    for (int i = 0; i < 1000 && commits.told < 6; i++)
        ck_assert_int_eq(poll_once(&app, 1, 5), 0);
    ck_assert_int_eq(commits.told, 6);
    ck_assert_int_eq(commits.wrong, 0);
    close_app(&app);
    stop();
}
END_TEST

static void commit_again(void *user, int error)
{
    struct commits *commits = user;

    commits->told++;
    commits->wrong += error != MESH_ECANCELED;
    ck_assert_int_eq(mesh_consumer_commit_async(commits->app->consumer, commit_again, commits), MESH_ECANCELED);
}

START_TEST(the_end_takes_no_more_commits)
{
    struct app app;
    struct commits commits = {.app = &app};

    open_app(&app);
    ck_assert_int_eq(subscribe_with(&app, none, NULL), 0);
    poll_until(&app, 10);
    plan_for(FRAME_OP_GROUP_COMMIT, FAKE_REFUSE, MESH_EFENCED_INSTANCE, 1);
    for (int i = 0, err = 0; i < 1000 && err == 0; i++)
        err = poll_once(&app, 1, 5);
    ck_assert_int_eq(mesh_consumer_store(app.consumer, "t", 0, 1, NULL), MESH_ENOT_OWNER);
    ck_assert_int_eq(mesh_consumer_commit_async(app.consumer, commit_again, &commits), 0);
    close_app(&app);
    ck_assert_int_eq(commits.told, 1);
    ck_assert_int_eq(commits.wrong, 0);
    stop();
}
END_TEST

/* The member learns in other calls of the client that it was expelled; what was returned before cannot be committed any more. */
START_TEST(what_was_lost_meanwhile_is_not_called_committed)
{
    struct app app;
    struct mesh_membership_info info = {.partitions = 1};

    open_app(&app);
    ck_assert_int_eq(subscribe_with(&app, none, NULL), 0);
    while (app.total == 0)
        ck_assert_int_eq(poll_once(&app, 10, 100), 0);
    plan_for(FRAME_OP_GROUP_HEARTBEAT, FAKE_REFUSE, MESH_EUNKNOWN_MEMBER, 1000000);
    for (int i = 0; i < 1000 && info.partitions > 0; i++) {
        ck_assert_int_eq(mesh_client_poll(app.client, 10), 0);
        ck_assert_int_eq(mesh_consumer_membership(app.consumer, &info), 0);
    }
    ck_assert_uint_eq(info.partitions, 0);
    ck_assert_int_eq(mesh_consumer_commit(app.consumer), MESH_ENOT_OWNER);
    atomic_store(&plan.count, 0);
    close_app(&app);
    stop();
    for (uint32_t p = 0; p < PARTITIONS; p++)
        ck_assert_int_eq(fake_groups_committed(&groups, "g", p), -1);
}
END_TEST

/* ---- a partition that stays after all ---- */

struct waits {
    struct app *a, *b;
};

/* While the application is still busy with letting go, whoever was to have the partitions leaves. */
static void wait_for_the_other(void *user, struct mesh_consumer *consumer, struct mesh_rebalance *rebalance)
{
    struct waits *waits = user;
    struct mesh_membership_info before, info;
    const char *topic;
    int32_t partition;
    int64_t offset;

    on_rebalance(waits->a, consumer, rebalance);
    if (mesh_rebalance_kind(rebalance) != MESH_REBALANCE_REVOKED) return;
    ck_assert_int_eq(mesh_consumer_membership(consumer, &before), 0);
    ck_assert_int_eq(mesh_consumer_unsubscribe(waits->b->consumer), 0);
    do { /* until it is heard: with that the question what is to be done leaves */
        ck_assert_int_eq(mesh_client_poll(waits->a->client, 10), 0);
        ck_assert_int_eq(mesh_consumer_membership(consumer, &info), 0);
    } while (info.generation == before.generation);
    ck_assert_int_eq(mesh_rebalance_get(rebalance, 0, &topic, &partition, &offset), 0);
    ck_assert_int_eq(mesh_consumer_store(consumer, topic, partition, offset, NULL), 0);
    ck_assert_int_eq(mesh_consumer_commit(consumer), 0); /* after the answer to it */
}

START_TEST(what_stays_after_all_is_read_on)
{
    struct app a, b;
    struct waits waits = {&a, &b};

    open_app(&a);
    open_app(&b);
    mesh_consumer_on_rebalance(a.consumer, wait_for_the_other, &waits);
    ck_assert_int_eq(subscribe_with(&a, none, NULL), 0);
    while (a.assigned < PARTITIONS)
        ck_assert_int_eq(poll_once(&a, 1, 20), 0);
    ck_assert_int_eq(subscribe_with(&b, none, NULL), 0);
    for (int i = 0; i < 1000 && a.revoked == 0; i++) {
        ck_assert_int_eq(poll_once(&b, 1, 5), 0);
        ck_assert_int_eq(poll_once(&a, 1, 5), 0);
    }
    ck_assert_int_gt(a.revoked, 0);
    poll_until(&a, PARTITIONS * TOTAL); /* nothing twice: poll_once() looks */
    ck_assert_int_eq(a.assigned, PARTITIONS + a.revoked);
    close_app(&b);
    close_app(&a);
    stop();
}
END_TEST

/* What comes before damage was committed before it is returned, too. */
START_TEST(at_most_once_commits_what_comes_before_damage)
{
    static const char *const settings[] = {"delivery", "at-most-once", NULL};
    struct buffer *log = &broker->partitions[0].log;
    size_t batch_size = log->size / (TOTAL / 10), record_size = (batch_size - RECORD_BATCH_HEADER_SIZE) / 10;
    struct app app;

    fake_broker_stop(broker);
    log->data[RECORD_BATCH_HEADER_SIZE + 3 * record_size] = 0x7e; /* the fourth's length: beyond the batch */
    fake_broker_start(broker);
    open_app(&app);
    ck_assert_int_eq(mesh_consumer_set_verify(app.consumer, 0), 0);
    ck_assert_int_eq(subscribe_with(&app, settings, NULL), 0);
    for (int i = 0; i < 1000 && app.next[0] < 3; i++)
        (void)poll_once(&app, 10, 20);
    ck_assert_int_eq(app.next[0], 3);
    close_app(&app);
    stop();
    ck_assert_int_eq(fake_groups_committed(&groups, "g", 0), 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group client");
    TCase *tcase = tcase_create("stories");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, what_was_handled_is_committed_at_the_end, 0, 2);
    tcase_add_test(tcase, a_committed_offset_that_was_lost_is_noticed);
    tcase_add_test(tcase, the_next_consumer_goes_on_where_the_last_one_stood);
    tcase_add_test(tcase, what_the_last_poll_returned_comes_again_after_a_crash);
    tcase_add_test(tcase, at_most_once_commits_before_it_returns);
    tcase_add_test(tcase, offsets_stored_by_hand_are_all_that_counts);
    tcase_add_test(tcase, two_share_and_one_takes_over);
    tcase_add_test(tcase, a_failover_of_the_groups_leader_is_not_noticed);
    tcase_add_loop_test(tcase, trouble_on_the_way_is_gone_through, 0, sizeof(troubles) / sizeof(troubles[0]));
    tcase_add_test(tcase, a_member_that_is_expelled_begins_again);
    tcase_add_test(tcase, an_instance_that_comes_back_is_the_same_member);
    tcase_add_test(tcase, heartbeats_go_on_while_a_handler_works);
    tcase_add_test(tcase, the_application_says_where_to_begin);
    tcase_add_loop_test(tcase, without_an_offset_it_begins_as_it_was_told_to, 0, 2);
    tcase_add_test(tcase, what_brokers_object_to_is_told_by_poll);
    tcase_add_test(tcase, what_cannot_be_is_refused);
    tcase_add_test(tcase, a_callback_of_a_commit_may_commit);
    tcase_add_test(tcase, the_end_takes_no_more_commits);
    tcase_add_test(tcase, what_was_lost_meanwhile_is_not_called_committed);
    tcase_add_test(tcase, what_stays_after_all_is_read_on);
    tcase_add_test(tcase, at_most_once_commits_what_comes_before_damage);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
