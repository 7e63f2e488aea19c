/* Groups at the limits: more than a record holds, more offsets than a partition of groups takes. */
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

/* More than a record holds is taken back in several. */
START_TEST(very_many_partitions_are_taken_back_in_parts)
{
    const char *names = "m0 m1 m2 m3 m4 m5 m6 m7 m8 m9 n0 n1 n2 n3 n4 n5 n6 n7 n8 n9";
    uint32_t all = 0, generation;
    struct group_reply reply;

    for (const char *at = names; *at != '\0'; at += at[2] == '\0' ? 2 : 3) {
        char name[3] = {at[0], at[1]};
        rig_topic(&rig, name, RIG_PARTITIONS);
    }
    rig.processing_limit_ms = 2000;
    rig_join(&rig, "g", "a", names);
    generation = rig_generation(&rig, "g");
    for (const char *at = names; *at != '\0'; at += at[2] == '\0' ? 2 : 3) {
        static struct group_claim claims[RIG_PARTITIONS];
        char name[3] = {at[0], at[1]};
        struct group_caller caller = rig_caller(&rig, "g", "a");

        for (uint32_t i = 0; i < RIG_PARTITIONS; i++)
            claims[i] = (struct group_claim){.topic = rig_topic_id(&rig, name), .partition = i};
        ck_assert_int_eq(group_lead_claim(rig.lead, rig.now_ms, &caller, generation, claims, RIG_PARTITIONS, &reply), 0);
        all += RIG_PARTITIONS;
    }
    rig_replicate(&rig);
    rig_join(&rig, "g", "b", names);
    rig_tick(&rig, 2000);
    rig_settle(&rig);
    ck_assert_uint_gt(rig.events[GROUP_EVENT_SLOW], 1);
    ck_assert_uint_eq(group_member_view_of(group_find_member(rig.replicas[0], groups_find(rig.replicas[0], slice_of_string("g")), slice_of_string("a"))).claims,
                      all / 2);
}
END_TEST

/* Where the table of offsets is full, who has committed before is not kept from going on. */
START_TEST(a_full_table_takes_what_it_has_already)
{
    rig_join(&rig, "g", "a", "orders");
    rig_work(&rig, "g", "a");
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 1, "orders", 0, 5), 0);
    rig.limits.cells_max = 1;
    rig_failover(&rig, 1, false);
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 1, "orders", 0, 6), 0);
    ck_assert_int_eq(rig_commit(&rig, "g", "a", 1, "orders", 1, 6), MESH_EFULL);
    ck_assert_uint_eq(rig_offset(&rig, 1, "g", "orders", 0), 6);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group_limits");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, very_many_partitions_are_taken_back_in_parts);
    tcase_add_test(tcase, a_full_table_takes_what_it_has_already);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
