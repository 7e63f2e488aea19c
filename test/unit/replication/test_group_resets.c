/* Stories of operators who set offsets, as the leader of the group sees them: what holds against what, and whose the partition is meanwhile. */
#include "group_rig.h"

#include "support/run_suite.h"

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

#define claim_is(topic, partition, want) ck_assert_str_eq(rig_claim_text(&rig, "g", topic, partition), want)

static uint32_t held_of(const char *id)
{
    return rig_work(&rig, "g", id);
}

START_TEST(a_late_reset_counts_no_more)
{
    struct group_commit_cell cell = {.topic = rig_topic_id(&rig, "orders"), .partition = 0, .offset = 7, .record_epoch = -1};
    struct group_reset reset = {.group = slice_of_string("g"), .reset_epoch = 0, .cells = &cell, .cell_count = 1};
    struct group_reply reply;

    ck_assert_int_eq(rig_commit(&rig, "g", "", GROUP_GENERATION_NONE, "orders", 0, 100), 0);
    ck_assert_int_eq(group_lead_reset(rig.lead, rig.wall_ms, &reset, &reply), 0);
    ck_assert_int_eq(rig_reset(&rig, "g", "orders", 0, 50, false, false), 0);
    ck_assert_int_eq(group_lead_reset(rig.lead, rig.wall_ms, &reset, &reply), MESH_ESTALE_GENERATION);
    rig_replicate(&rig);
    ck_assert_uint_eq(rig_offset(&rig, 1, "g", "orders", 0), 50);
}
END_TEST

START_TEST(a_reset_holds_against_what_was_under_way)
{
    struct group_commit_cell cell = {.topic = rig_topic_id(&rig, "orders"), .partition = 0, .offset = 900, .record_epoch = -1};
    struct group_commit late = {{.group = slice_of_string("h")}, GROUP_GENERATION_NONE, 0, &cell, 1};
    struct group_reply reply;
    uint64_t offset;

    ck_assert_int_eq(rig_reset(&rig, "g", "orders", 0, 5, false, false), MESH_ENOTFOUND);
    rig_join(&rig, "g", "a", "orders");
    held_of("a");
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 1, "orders", 0, 100), 0);
    ck_assert_int_eq(rig_reset(&rig, "g", "orders", 0, 5, false, false), MESH_EGROUP_NOT_EMPTY);
    ck_assert_int_eq(rig_reset(&rig, "g", "orders", 0, 5, true, true), 0); /* dry */
    ck_assert_uint_eq(rig_offset(&rig, 0, "g", "orders", 0), 100);
    ck_assert_int_eq(rig_reset(&rig, "g", "orders", 9, 5, true, false), MESH_EUNKNOWN_TOPIC);
    ck_assert_int_eq(rig_reset(&rig, "g", "orders", 0, 5, true, false), 0);
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 1, "orders", 0, 101), MESH_ENOT_OWNER);
    ck_assert_int_eq(rig_beat(&rig, "g", "a", &reply), 0);
    ck_assert(reply.has_work);
    ck_assert_int_eq(rig_claim(&rig, "g", "a", "orders", 0, &offset), 0);
    ck_assert_uint_eq(offset, 5);
    /* Outside of groups the reset epoch fences, where the consumer knows it. */
    ck_assert_int_eq(rig_commit(&rig, "h", "", GROUP_GENERATION_NONE, "orders", 0, 100), 0);
    ck_assert_int_eq(rig_reset(&rig, "h", "orders", 0, 7, false, false), 0);
    ck_assert_int_eq(group_lead_commit(rig.lead, rig.now_ms, rig.wall_ms, &late, &reply), MESH_ESTALE_GENERATION);
    ck_assert_uint_eq(rig_offset(&rig, 1, "h", "orders", 0), 7);
}
END_TEST

/* On its way from one member to another: the first one may be at it still. */
START_TEST(what_is_set_back_is_nobody_elses_before_its_member_has_heard)
{
    struct group_reply reply;
    uint64_t offset;

    rig_join(&rig, "g", "a", "orders");
    held_of("a");
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 1, "orders", 2, 100), 0);
    rig_join(&rig, "g", "b", "orders");
    claim_is("orders", 2, "b/a");
    ck_assert_int_eq(rig_reset(&rig, "g", "orders", 2, 5, true, false), 0);
    ck_assert_int_eq(rig_claim(&rig, "g", "b", "orders", 2, &offset), MESH_EBUSY);
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 1, "orders", 2, 101), MESH_ENOT_OWNER);
    rig_failover(&rig, 1, false);
    rig_restart(&rig, 0);
    ck_assert(rig_replicas_agree(&rig));
    ck_assert_int_eq(rig_claim(&rig, "g", "b", "orders", 2, &offset), MESH_EBUSY);
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 2, "orders", 2, 101), MESH_ENOT_OWNER);
    ck_assert_int_eq(rig_beat(&rig, "g", "a", &reply), 0);
    ck_assert(reply.has_work);
    ck_assert_int_eq(rig_release(&rig, "g", "a", "orders", 2), 0);
    ck_assert_int_eq(rig_claim(&rig, "g", "b", "orders", 2, &offset), 0);
    ck_assert_uint_eq(offset, 5);
}
END_TEST

START_TEST(who_never_hears_of_a_reset_keeps_nobody_waiting_for_ever)
{
    struct group_reply reply;

    rig_join(&rig, "g", "a", "orders");
    held_of("a");
    ck_assert_int_eq(rig_reset(&rig, "g", "orders", 2, 5, true, false), 0);
    rig_join(&rig, "g", "b", "orders");
    claim_is("orders", 2, "b/a");
    for (int i = 0; i < 30 && rig.events[GROUP_EVENT_SLOW] == 0; i++) {
        rig_tick(&rig, 3000);
        ck_assert_int_eq(rig_beat(&rig, "g", "a", &reply), 0);
        ck_assert_int_eq(rig_beat(&rig, "g", "b", &reply), 0);
    }
    ck_assert_uint_eq(rig.events[GROUP_EVENT_SLOW], 1);
    claim_is("orders", 2, "b/-");
    ck_assert_uint_eq(held_of("b"), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group_resets");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_late_reset_counts_no_more);
    tcase_add_test(tcase, a_reset_holds_against_what_was_under_way);
    tcase_add_test(tcase, what_is_set_back_is_nobody_elses_before_its_member_has_heard);
    tcase_add_test(tcase, who_never_hears_of_a_reset_keeps_nobody_waiting_for_ever);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
