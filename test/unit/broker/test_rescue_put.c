/* What was heard of groups becomes records of whoever leads them now: where it is newer than what the leader has, and nowhere else. */
#include "cmd/broker/spread/rescue.h"
#include "group_rig.h"

#include "support/run_suite.h"

static struct group_rig rig;
static struct spread_cells *heard;
static uint32_t put_groups, put_cells;

static void setup(void)
{
    rig_init(&rig);
    rig_topic(&rig, "orders", 4);
    ck_assert_int_eq(spread_cells_new(&heard), 0);
}

static void teardown(void)
{
    spread_cells_free(heard);
    rig_deinit(&rig);
}

static void hear(const char *group, uint32_t partition, uint32_t epoch, uint64_t offset)
{
    struct spread_row row = {.kind = SPREAD_CELL, .group = slice_of_string(group), .version = {epoch, 1}, .topic = rig_topic_id(&rig, "orders"),
                             .partition = partition, .offset = offset, .record_epoch = 3};

    ck_assert_int_eq(spread_cells_merge(heard, &row), 0);
}

static void rescue(void)
{
    ck_assert_int_eq(rescue_put(rig.lead, rig.replicas[rig.leader], heard, rig.now_ms, rig.wall_ms, &put_groups, &put_cells), 0);
    rig_replicate(&rig);
}

static uint64_t offset_of(const char *group, uint32_t partition)
{
    return rig_offset(&rig, rig.leader, group, "orders", partition);
}

START_TEST(groups_that_are_gone_come_back)
{
    hear("a", 0, 1, 10);
    hear("a", 3, 1, 13);
    hear("b", 1, 1, 21);
    rescue();
    ck_assert(put_groups == 2 && put_cells == 3);
    ck_assert(offset_of("a", 0) == 10 && offset_of("a", 3) == 13 && offset_of("b", 1) == 21);
    ck_assert(rig_replicas_agree(&rig));
    /* Once more changes nothing: what is there has a later version now. */
    rescue();
    ck_assert(put_groups == 0 && put_cells == 0);
}
END_TEST

START_TEST(what_the_leader_has_in_a_later_version_stays)
{
    ck_assert_int_eq(rig_commit(&rig, "a", "", GROUP_GENERATION_NONE, "orders", 0, 5), 0);
    ck_assert_int_eq(rig_commit(&rig, "a", "", GROUP_GENERATION_NONE, "orders", 1, 6), 0);
    hear("a", 0, 0, 900);          /* before the leader's epoch */
    hear("a", 1, rig.epoch + 1, 2); /* after all that it has, though it is less */
    rescue();
    ck_assert_uint_eq(put_cells, 1);
    ck_assert(offset_of("a", 0) == 5 && offset_of("a", 1) == 2);
}
END_TEST

START_TEST(members_that_are_left_begin_where_others_had_heard)
{
    ck_assert_int_eq(rig_join(&rig, "a", "m", "orders"), 0);
    rig_work_all(&rig, "a");
    ck_assert_str_eq(rig_claim_text(&rig, "a", "orders", 2), "m/m");
    hear("a", 2, rig.epoch + 1, 77);
    rescue();
    ck_assert_uint_eq(put_cells, 1);
    ck_assert_uint_eq(offset_of("a", 2), 77);
    ck_assert_int_eq(rig_commit(&rig, "a", "m", rig_generation(&rig, "a"), "orders", 2, 99), MESH_ENOT_OWNER); /* to be claimed anew, from there */
    ck_assert_int_eq(rig_commit(&rig, "a", "m", rig_generation(&rig, "a"), "orders", 1, 99), 0);
}
END_TEST

START_TEST(what_cannot_be_put_in_holds_up_no_other_offset_of_members)
{
    ck_assert_int_eq(rig_join(&rig, "a", "m", "orders"), 0);
    rig_work_all(&rig, "a");
    hear("a", 1, rig.epoch + 1, 76);
    hear("a", 2, rig.epoch + 1, 77);
    hear("a", 99, rig.epoch + 1, 10); /* the topic has four partitions by now */
    rescue();
    ck_assert(put_groups == 1 && put_cells == 2);
    ck_assert(offset_of("a", 1) == 76 && offset_of("a", 2) == 77);
}
END_TEST

START_TEST(only_what_cannot_be_put_in_changes_nothing)
{
    ck_assert_int_eq(rig_join(&rig, "a", "m", "orders"), 0);
    rig_work_all(&rig, "a");
    hear("a", 99, rig.epoch + 1, 10);
    rescue();
    ck_assert(put_groups == 0 && put_cells == 0);
    ck_assert_str_eq(rig_claim_text(&rig, "a", "orders", 2), "m/m");
}
END_TEST

START_TEST(what_cannot_be_put_in_holds_up_nothing_else)
{
    hear("a", 0, 1, 10);
    hear("a", 99, 1, 10); /* the topic has four partitions by now */
    hear("b", 1, 1, 21);
    rescue();
    ck_assert(put_groups == 2 && put_cells == 2);
    ck_assert(offset_of("a", 0) == 10 && offset_of("b", 1) == 21);
}
END_TEST

static void hear_gone(const char *group, enum spread_row_kind kind, uint32_t partition, uint32_t epoch)
{
    struct spread_row row = {.kind = kind, .group = slice_of_string(group), .version = {epoch, 9}};

    if (kind == SPREAD_CELL_GONE) row.topic = rig_topic_id(&rig, "orders");
    row.partition = partition;
    ck_assert_int_eq(spread_cells_merge(heard, &row), 0);
}

/* An older replica leads, which still has what was deleted: that does not come back. */
START_TEST(what_others_heard_to_be_gone_goes)
{
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_int_eq(rig_commit(&rig, i == 2 ? "b" : "a", "", GROUP_GENERATION_NONE, "orders", i, 5), 0);
    ck_assert_int_eq(rig_commit(&rig, "c", "", GROUP_GENERATION_NONE, "orders", 0, 5), 0);
    ck_assert_int_eq(rig_join(&rig, "d", "m", "orders"), 0);
    hear_gone("a", SPREAD_CELL_GONE, 0, rig.epoch + 1);
    hear_gone("a", SPREAD_CELL_GONE, 1, 0); /* before what is here */
    hear_gone("b", SPREAD_GROUP_GONE, 0, rig.epoch + 1);
    hear_gone("c", SPREAD_GROUP_GONE, 0, 0);
    hear_gone("d", SPREAD_GROUP_GONE, 0, rig.epoch + 1); /* somebody is in it */
    hear_gone("nobody", SPREAD_GROUP_GONE, 0, rig.epoch + 1);
    rescue();
    ck_assert(offset_of("a", 0) == GROUP_OFFSET_NONE && offset_of("a", 1) == 5 && offset_of("c", 0) == 5);
    ck_assert_ptr_null(groups_find(rig.replicas[rig.leader], slice_of_string("b")));
    ck_assert_ptr_nonnull(groups_find(rig.replicas[rig.leader], slice_of_string("d")));
    ck_assert(rig_replicas_agree(&rig));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rescue_put");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, groups_that_are_gone_come_back);
    tcase_add_test(tcase, what_the_leader_has_in_a_later_version_stays);
    tcase_add_test(tcase, members_that_are_left_begin_where_others_had_heard);
    tcase_add_test(tcase, what_cannot_be_put_in_holds_up_nothing_else);
    tcase_add_test(tcase, what_cannot_be_put_in_holds_up_no_other_offset_of_members);
    tcase_add_test(tcase, what_others_heard_to_be_gone_goes);
    tcase_add_test(tcase, only_what_cannot_be_put_in_changes_nothing);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
