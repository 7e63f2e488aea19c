/* Offsets that nobody uses any more are forgotten, and no others. */
#include "group_rig.h"

#include "support/run_suite.h"

#include <stdio.h>

#define DAY_MS (24ull * 3600 * 1000)

static struct group_rig rig;

static void setup(void)
{
    rig_init(&rig);
    rig_topic(&rig, "orders", 4);
}

static void teardown(void)
{
    ck_assert_msg(rig_replicas_agree(&rig), "%s", rig.violation == NULL ? "the replicas differ" : rig.violation);
    rig_deinit(&rig);
}

START_TEST(a_group_that_is_long_empty_is_forgotten)
{
    rig_commit(&rig, "old", "", GROUP_GENERATION_NONE, "orders", 0, 5);
    rig_tick(&rig, 4 * DAY_MS);
    rig_commit(&rig, "new", "", GROUP_GENERATION_NONE, "orders", 0, 5);
    rig_tick(&rig, 4 * DAY_MS);
    ck_assert_uint_eq(rig_offset(&rig, 1, "old", "orders", 0), UINT64_MAX);
    ck_assert_uint_eq(rig_offset(&rig, 1, "new", "orders", 0), 5);
    ck_assert_uint_eq(rig.events[GROUP_EVENT_DELETED], 1);
}
END_TEST

/* A consumer outside of groups that goes on with some of its topics. */
START_TEST(offsets_without_a_group_expire_one_by_one)
{
    rig_topic(&rig, "parcels", 2);
    rig_commit(&rig, "g", "", GROUP_GENERATION_NONE, "orders", 0, 5);
    rig_commit(&rig, "g", "", GROUP_GENERATION_NONE, "parcels", 0, 6);
    rig_tick(&rig, 4 * DAY_MS);
    rig_commit(&rig, "g", "", GROUP_GENERATION_NONE, "orders", 0, 7);
    rig_tick(&rig, 3 * DAY_MS - 3600 * 1000);
    ck_assert_uint_eq(rig_offset(&rig, 1, "g", "parcels", 0), 6);
    rig_tick(&rig, 3600 * 1000);
    ck_assert_uint_eq(rig_offset(&rig, 1, "g", "parcels", 0), UINT64_MAX);
    ck_assert_uint_eq(rig_offset(&rig, 1, "g", "orders", 0), 7);
    ck_assert_uint_eq(rig.events[GROUP_EVENT_FORGOTTEN], 1);
    ck_assert_uint_eq(rig.events[GROUP_EVENT_DELETED], 0);
    rig_tick(&rig, 4 * DAY_MS);
    rig_settle(&rig);
    ck_assert_uint_eq(groups_count(rig.replicas[1]), 0);
}
END_TEST

/* A session lasts 10 s. */
static void member_goes_on(const char *id, uint64_t by_ms)
{
    for (uint64_t passed = 0; passed < by_ms; passed += 5000) {
        struct group_reply reply;

        ck_assert_int_eq(group_lead_heartbeat(rig.lead, rig.now_ms, &(struct group_caller){.group = slice_of_string("g"), .member = slice_of_string(id)}, &reply), 0);
        rig_tick(&rig, 5000);
    }
}

START_TEST(members_keep_the_offsets_of_their_topics_alone)
{
    rig_topic(&rig, "parcels", 2);
    rig.limits.retention_ms = 3600 * 1000;
    rig_failover(&rig, 1, false); /* a lead that knows it */
    rig_commit(&rig, "g", "", GROUP_GENERATION_NONE, "orders", 0, 5);
    rig_commit(&rig, "g", "", GROUP_GENERATION_NONE, "parcels", 0, 6);
    ck_assert_int_eq(rig_join_as(&rig, "g", &(struct rig_member){.id = "a", .names = "orders"}, &(struct group_reply){0}), 0);
    rig_settle(&rig);
    member_goes_on("a", 3600 * 1000 + 500 * 1000);
    ck_assert_uint_eq(rig_offset(&rig, 0, "g", "orders", 0), 5);
    ck_assert_uint_eq(rig_offset(&rig, 0, "g", "parcels", 0), UINT64_MAX);
    rig_tick(&rig, 20000); /* its session ends, and from then on time counts for the other one as well */
    rig_tick(&rig, 1800 * 1000);
    ck_assert_uint_eq(rig_offset(&rig, 0, "g", "orders", 0), 5);
    rig_tick(&rig, 1800 * 1000);
    rig_tick(&rig, 500 * 1000);
    ck_assert_uint_eq(rig_offset(&rig, 0, "g", "orders", 0), UINT64_MAX);
}
END_TEST

/* Also where nothing else ever expires. A topic that is not known yet is given the time in which every image is known. */
START_TEST(offsets_of_a_topic_that_is_gone_are_forgotten)
{
    rig_topic(&rig, "parcels", 2);
    rig.limits.retention_ms = 0;
    rig_failover(&rig, 1, false);
    rig_commit(&rig, "g", "", GROUP_GENERATION_NONE, "orders", 0, 5);
    rig_commit(&rig, "g", "", GROUP_GENERATION_NONE, "parcels", 1, 6);
    rig_topic(&rig, "parcels", 0);
    rig_tick(&rig, 1800 * 1000);
    ck_assert_uint_eq(groups_offset_count(rig.replicas[0]), 2);
    rig_tick(&rig, 1900 * 1000);
    rig_tick(&rig, 1000 * 1000);
    ck_assert_uint_eq(groups_offset_count(rig.replicas[0]), 1);
    rig_tick(&rig, 400 * DAY_MS);
    ck_assert_uint_eq(rig_offset(&rig, 0, "g", "orders", 0), 5);
}
END_TEST

/* A pass over many takes several ticks, and meets everything. */
START_TEST(many_offsets_expire_in_parts)
{
    uint64_t deadline;

    rig_topic(&rig, "wide", 500);
    for (int i = 0; i < 60; i++) {
        char name[16];
        struct group_commit_cell cells[500];
        struct group_commit commit = {.generation = GROUP_GENERATION_NONE, .reset_epoch = GROUP_RESET_EPOCH_ANY, .cells = cells, .cell_count = 500};

        snprintf(name, sizeof(name), "g%d", i);
        commit.caller.group = slice_of_string(name);
        for (uint32_t j = 0; j < 500; j++)
            cells[j] = (struct group_commit_cell){.topic = rig_topic_id(&rig, "wide"), .partition = j, .offset = 1, .record_epoch = -1};
        ck_assert_int_eq(group_lead_commit(rig.lead, rig.now_ms, rig.wall_ms, &commit, &(struct group_reply){0}), 0);
        rig_append(&rig);
    }
    rig_commit(&rig, "other", "", GROUP_GENERATION_NONE, "orders", 0, 5);
    rig_tick(&rig, 6 * DAY_MS);
    for (int i = 0; i < 3; i++)
        rig_tick(&rig, 0);
    for (int i = 0; i < 60; i++) {
        char name[16];

        snprintf(name, sizeof(name), "g%d", i);
        rig_commit(&rig, name, "", GROUP_GENERATION_NONE, "orders", 0, 5); /* or the group would be forgotten as one */
    }
    ck_assert_uint_eq(groups_offset_count(rig.replicas[rig.leader]), 60 * 501 + 1);
    rig.now_ms += 2 * DAY_MS;
    rig.wall_ms += 2 * DAY_MS;
    ck_assert_int_eq(group_lead_tick(rig.lead, rig.now_ms, rig.wall_ms, NULL, NULL, &deadline), 0);
    ck_assert_uint_eq(deadline, rig.now_ms);
    ck_assert_uint_gt(groups_offset_count(rig.replicas[rig.leader]), 5000);
    rig_append(&rig);
    rig_settle(&rig);
    for (int i = 0; i < 3; i++)
        rig_tick(&rig, 0);
    ck_assert_uint_eq(groups_offset_count(rig.replicas[1]), 60);
    ck_assert_uint_eq(groups_count(rig.replicas[1]), 60);
}
END_TEST

/* More than is noted of what is gone (GROUPS_GONE_MAX) goes in the time that those take who tell of it. */
START_TEST(who_tells_what_expires_misses_nothing)
{
    struct groups *state = rig.replicas[rig.leader];
    struct groups_change change;
    uint32_t told = 0, steps = 0;

    rig_topic(&rig, "wide", 4000);
    for (int i = 0; i < 3; i++) {
        struct group_commit_cell cells[4000];
        struct group_commit commit = {.caller.group = slice_of_string("g"), .generation = GROUP_GENERATION_NONE, .reset_epoch = GROUP_RESET_EPOCH_ANY, .cells = cells,
                                      .cell_count = 4000};
        char name[16];

        snprintf(name, sizeof(name), "g%d", i);
        commit.caller.group = slice_of_string(name);
        for (uint32_t j = 0; j < 4000; j++)
            cells[j] = (struct group_commit_cell){.topic = rig_topic_id(&rig, "wide"), .partition = j, .offset = 1, .record_epoch = -1};
        ck_assert_int_eq(group_lead_commit(rig.lead, rig.now_ms, rig.wall_ms, &commit, &(struct group_reply){0}), 0);
        rig_append(&rig);
    }
    for (int i = 0; i < 6000; i++) {
        char name[16];

        snprintf(name, sizeof(name), "small-%d", i);
        rig_commit(&rig, name, "", GROUP_GENERATION_NONE, "orders", 0, 5);
    }
    rig_tick(&rig, 2 * 3600 * 1000);
    rig_settle(&rig);
    rig_tick(&rig, 0); /* a pass is over */
    rig_topic(&rig, "wide", 0);
    ck_assert_int_eq(groups_watch_changes(state, true), 0);
    while (told < 3 * 4000 && ++steps < 100) {
        rig_tick(&rig, steps == 1 ? 20 * 60 * 1000 : 1000);
        ck_assert(!groups_changes_lost(state));
        while (groups_next_change(state, UINT64_MAX, &change))
            told += change.kind == GROUPS_CHANGE_CELL_GONE;
    }
    ck_assert_uint_eq(told, 3 * 4000);
    rig_tick(&rig, 20 * 60 * 1000);
    ck_assert_uint_eq(groups_offset_count(rig.replicas[1]), 6000);
    /* Nobody asks: what is too much waits. And groups as offsets. */
    for (told = 0; told < 5; told++)
        rig_tick(&rig, 4 * DAY_MS);
    ck_assert_uint_gt(groups_count(rig.replicas[1]), 6003 - GROUPS_GONE_MAX);
    ck_assert(!groups_changes_lost(state));
    for (told = 0, steps = 0; told < 6003 && steps < 100; steps++) {
        while (groups_next_change(state, UINT64_MAX, &change))
            told += change.kind == GROUPS_CHANGE_GROUP_GONE;
        rig_tick(&rig, 1000);
        ck_assert(!groups_changes_lost(state));
    }
    ck_assert_uint_eq(told, 6003);
}
END_TEST

/* More is to be assigned than a record holds. Who consumes what is not known then, and nothing is taken for unused. */
START_TEST(members_that_are_assigned_nothing_keep_their_offsets)
{
    char names[60 * 5 + 1] = "";

    rig.limits.retention_ms = 3600 * 1000;
    rig_failover(&rig, 1, false);
    for (int i = 0; i < 60; i++) {
        char name[8];

        snprintf(name, sizeof(name), "t%02d", i);
        rig_topic(&rig, name, 4096);
        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i == 0 ? "" : " ", name);
    }
    rig_commit(&rig, "g", "", GROUP_GENERATION_NONE, "t07", 0, 5);
    ck_assert_int_eq(rig_join_as(&rig, "g", &(struct rig_member){.id = "a", .names = names}, &(struct group_reply){0}), 0);
    ck_assert_int_eq(rig_join_as(&rig, "g", &(struct rig_member){.id = "b", .names = names}, &(struct group_reply){0}), 0);
    rig_settle(&rig);
    ck_assert_uint_gt(rig.events[GROUP_EVENT_TOO_LARGE], 0);
    for (uint64_t passed = 0; passed < 2 * 3600 * 1000; passed += 5000) {
        struct group_reply reply;

        ck_assert_int_eq(rig_beat(&rig, "g", "a", &reply), 0);
        ck_assert_int_eq(rig_beat(&rig, "g", "b", &reply), 0);
        rig_tick(&rig, 5000);
    }
    ck_assert_uint_eq(rig_offset(&rig, 0, "g", "t07", 0), 5);
}
END_TEST

START_TEST(a_clock_that_is_set_forward_forgets_nothing)
{
    rig_commit(&rig, "g", "", GROUP_GENERATION_NONE, "orders", 0, 5);
    rig_tick(&rig, 2 * 3600 * 1000);
    rig.wall_ms += 30ull * 24 * 3600 * 1000;
    rig_tick(&rig, 20 * 60 * 1000);
    rig_tick(&rig, 20 * 60 * 1000);
    ck_assert_uint_eq(groups_count(rig.replicas[0]), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group_expiry");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_group_that_is_long_empty_is_forgotten);
    tcase_add_test(tcase, offsets_without_a_group_expire_one_by_one);
    tcase_add_test(tcase, members_keep_the_offsets_of_their_topics_alone);
    tcase_add_test(tcase, offsets_of_a_topic_that_is_gone_are_forgotten);
    tcase_add_test(tcase, many_offsets_expire_in_parts);
    tcase_add_test(tcase, who_tells_what_expires_misses_nothing);
    tcase_add_test(tcase, members_that_are_assigned_nothing_keep_their_offsets);
    tcase_add_test(tcase, a_clock_that_is_set_forward_forgets_nothing);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
