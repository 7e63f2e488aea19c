/* What a leader's owner hears of changes, and walks that last over turns. */
#include "group_rig.h"

#include "support/run_suite.h"

#include <stdio.h>

static struct group_rig rig;
static struct groups *state;

static void setup(void)
{
    rig_init(&rig);
    rig_topic(&rig, "orders", 400);
    state = rig.replicas[rig.leader];
    ck_assert_int_eq(groups_watch_changes(state, true), 0);
}

static void teardown(void)
{
    rig_deinit(&rig);
}

static void commit(const char *group, uint32_t partition, uint64_t offset)
{
    ck_assert_int_eq(rig_commit(&rig, group, "", GROUP_GENERATION_NONE, "orders", partition, offset), 0);
}

static int delete_offset(const char *group, uint32_t partition)
{
    struct group_claim claim = {.topic = rig_topic_id(&rig, "orders"), .partition = partition};
    struct group_reply reply;
    int err = group_lead_delete_offsets(rig.lead, slice_of_string(group), &claim, 1, &reply);

    rig_replicate(&rig);
    return err != 0 ? err : claim.error;
}

/* "kind group partition offset", all that there is below `below`. */
static const char *changes(uint64_t below)
{
    static const char *const kinds[] = {"cell", "cell gone", "group", "group gone"};
    static char text[4096];
    struct groups_change change;
    size_t size = 0;

    text[0] = '\0';
    while (groups_next_change(state, below, &change)) {
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%s %.*s", size == 0 ? "" : "; ", kinds[change.kind], (int)change.name.size, (const char *)change.name.data);
        if (change.kind == GROUPS_CHANGE_CELL) size += (size_t)snprintf(text + size, sizeof(text) - size, " %u=%lu", change.partition, change.offset.offset);
        if (change.kind == GROUPS_CHANGE_CELL_GONE) size += (size_t)snprintf(text + size, sizeof(text) - size, " %u", change.partition);
        ck_assert_uint_lt(change.lsn, below);
    }
    return text;
}

START_TEST(each_change_is_told_once_as_it_is_by_then)
{
    commit("g", 0, 10);
    commit("g", 1, 5);
    commit("g", 0, 20);
    ck_assert_str_eq(changes(rig.log_end), "group g; cell g 0=20; cell g 1=5");
    ck_assert_str_eq(changes(rig.log_end), "");
    commit("g", 1, 6);
    ck_assert_str_eq(changes(rig.log_end), "cell g 1=6");
}
END_TEST

START_TEST(what_is_not_committed_waits)
{
    uint64_t mark;

    commit("g", 0, 10);
    mark = rig.log_end;
    commit("g", 0, 20);
    commit("h", 3, 1);
    ck_assert_str_eq(changes(mark), "group g");
    ck_assert_str_eq(changes(rig.log_end), "group h; cell g 0=20; cell h 3=1");
}
END_TEST

START_TEST(who_comes_and_goes_changes_the_group)
{
    struct groups_change change;
    struct group_reply reply;

    ck_assert_int_eq(rig_join(&rig, "g", "a", "orders"), 0);
    ck_assert_str_eq(changes(rig.log_end), "group g");
    rig_work(&rig, "g", "a");
    ck_assert_str_eq(changes(rig.log_end), ""); /* claims */
    struct group_caller caller = rig_caller(&rig, "g", "a");
    ck_assert_int_eq(group_lead_leave(rig.lead, rig.wall_ms, &caller, &reply), 0);
    rig_replicate(&rig);
    ck_assert(groups_next_change(state, rig.log_end, &change));
    ck_assert_uint_eq(group_view_of(change.group).member_count, 0);
    ck_assert_uint_eq(change.lsn, rig.log_end - 1);
}
END_TEST

START_TEST(what_is_deleted_is_told)
{
    struct group_reply reply;

    commit("g", 0, 10);
    commit("g", 1, 10);
    changes(rig.log_end);
    commit("g", 0, 11); /* noted, and gone before it is told */
    ck_assert_int_eq(delete_offset("g", 0), 0);
    ck_assert_str_eq(changes(rig.log_end), "cell gone g 0");
    commit("h", 0, 1);
    ck_assert_int_eq(rig_reset(&rig, "g", "orders", 1, 4, false, false), 0);
    ck_assert_int_eq(group_lead_delete(rig.lead, slice_of_string("g"), &reply), 0);
    rig_replicate(&rig);
    ck_assert_str_eq(changes(rig.log_end), "group gone g; group h; cell h 0=1");
    ck_assert(!groups_changes_lost(state));
}
END_TEST

START_TEST(too_many_deletions_are_told_as_lost)
{
    for (uint32_t i = 0; i <= GROUPS_GONE_MAX; i++) {
        commit("g", i % 400, i);
        ck_assert_int_eq(delete_offset("g", i % 400), 0);
    }
    ck_assert(groups_changes_lost(state));
    ck_assert(!groups_changes_lost(state));
    commit("g", 7, 7);
    ck_assert_str_eq(changes(rig.log_end), "group g; cell g 7=7");
}
END_TEST

START_TEST(who_looks_away_hears_nothing_of_it)
{
    commit("g", 0, 10);
    ck_assert_int_eq(groups_watch_changes(state, false), 0);
    commit("g", 0, 11);
    ck_assert_str_eq(changes(rig.log_end), "");
    ck_assert_int_eq(groups_watch_changes(state, true), 0);
    ck_assert_str_eq(changes(rig.log_end), "");
    commit("g", 0, 12);
    ck_assert_str_eq(changes(rig.log_end), "cell g 0=12");
}
END_TEST

START_TEST(a_walk_meets_all_that_stays)
{
    bool seen[400] = {false};
    struct group_cell_view cell;
    uint32_t place = 0, count = 0;

    for (uint32_t i = 0; i < 400; i++)
        commit("g", i, i);
    while (groups_next_cell(state, &place, &cell)) {
        ck_assert(!seen[cell.partition]);
        ck_assert_uint_eq(cell.offset.offset, cell.partition);
        seen[cell.partition] = true;
        if (++count == 100) { /* what goes and comes meanwhile harms nobody */
            for (uint32_t i = 0; i < 50; i++)
                delete_offset("g", i);
            commit("h", 0, 0);
        }
    }
    for (uint32_t i = 50; i < 400; i++)
        ck_assert(seen[i] || i == 0);
    place = 0;
    count = 0;
    while (groups_next_at(state, &place) != NULL)
        count++;
    ck_assert_uint_eq(count, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group_changes");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, each_change_is_told_once_as_it_is_by_then);
    tcase_add_test(tcase, what_is_not_committed_waits);
    tcase_add_test(tcase, who_comes_and_goes_changes_the_group);
    tcase_add_test(tcase, what_is_deleted_is_told);
    tcase_add_test(tcase, too_many_deletions_are_told_as_lost);
    tcase_add_test(tcase, who_looks_away_hears_nothing_of_it);
    tcase_add_test(tcase, a_walk_meets_all_that_stays);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
