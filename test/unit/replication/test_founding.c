/* The first boot of a mesh, story by story. What no story shows, test/sim does (world "founding"). */
#include "founding_mesh.h"
#include "support/run_suite.h"

#include "base/error.h"

#define SECOND UINT64_C(1000000)
#define LONG   (1200 * SECOND) /* for ever, to a founding */

static struct founding_mesh mesh;

static void tear_down(void)
{
    founding_mesh_deinit(&mesh);
}

/* All that are done are so in one mesh, with the same first voters. */
static void check_one(unsigned done)
{
    const struct founding_value *first = NULL;

    ck_assert_uint_eq(founding_mesh_done_count(&mesh), done);
    for (unsigned i = 0; i < mesh.size; i++) {
        if (!mesh.brokers[i].is_done) continue;
        if (first == NULL) first = &mesh.brokers[i].value;
        ck_assert(founding_value_equal(first, &mesh.brokers[i].value));
        ck_assert_uint_eq(mesh.brokers[i].is_founder, founding_value_has(first, &mesh.brokers[i].options.self));
    }
}

static void check_said(unsigned broker, const char *what)
{
    ck_assert_msg(strstr(mesh.brokers[broker].log, what) != NULL, "broker %u does not say \"%s\", but: %s", broker, what,
                  mesh.brokers[broker].log);
}

/* ---- arithmetic ---- */

static const struct {
    unsigned brokers, voters;
} voters_cases[] = {{1, 1}, {2, 1}, {3, 3}, {4, 3}, {5, 5}, {6, 5}, {7, 5}, {100, 5}};

START_TEST(voters_follow_the_size)
{
    ck_assert_uint_eq(founding_voters(voters_cases[_i].brokers), voters_cases[_i].voters);
}
END_TEST

static const struct {
    unsigned expect, known, quorum;
} quorum_cases[] = {{1, 1, 1}, {2, 1, 2}, {3, 2, 2}, {3, 3, 2}, {3, 4, 3}, {4, 4, 3}, {5, 5, 3}, {5, 7, 5}, {7, 1, 4}};

START_TEST(quorum_grows_with_disks_beyond_those_expected)
{
    ck_assert_uint_eq(founding_quorum(quorum_cases[_i].expect, quorum_cases[_i].known), quorum_cases[_i].quorum);
}
END_TEST

/* ---- one ---- */

static void found_alone(void)
{
    founding_mesh_init(&mesh, 1, 0);
    mesh.brokers[0].options.mode = FOUNDING_SERVE;
    founding_mesh_start_all(&mesh);
    founding_mesh_run(&mesh, 1000);
    check_one(1);
    ck_assert(mesh.brokers[0].is_founder);
    ck_assert_uint_eq(mesh.brokers[0].value.founder_count, 1);
}

START_TEST(serve_founds_at_once)
{
    found_alone();
}
END_TEST

START_TEST(member_stays_what_it_is)
{
    struct uuid cluster;

    found_alone();
    cluster = mesh.brokers[0].value.cluster;
    for (int mode = FOUNDING_SERVE; mode <= FOUNDING_JOIN; mode++) {
        founding_mesh_kill(&mesh, 0);
        mesh.brokers[0].options.mode = (enum founding_mode)mode;
        mesh.brokers[0].options.fresh_cluster.bytes[5]++;
        founding_mesh_start_all(&mesh);
        check_one(1);
        ck_assert(uuid_equal(&mesh.brokers[0].value.cluster, &cluster));
    }
}
END_TEST

/* A quorum by itself: what guards it is what the driver knows of its seeds. */
START_TEST(who_expects_itself_alone_waits_until_its_seeds_are_known)
{
    founding_mesh_init(&mesh, 1, 1);
    founding_mesh_start_all(&mesh);
    founding_hold_alone(mesh.brokers[0].founding, mesh.now_us, true);
    founding_mesh_run(&mesh, LONG);
    check_one(0);
    check_said(0, "only when it is known that every seed leads to this broker");
    founding_hold_alone(mesh.brokers[0].founding, mesh.now_us, false);
    founding_mesh_run(&mesh, LONG);
    check_one(1);
    ck_assert(mesh.brokers[0].is_founder);

    founding_mesh_deinit(&mesh); /* where several are expected their number guards it */
    founding_mesh_init(&mesh, 3, 3);
    founding_mesh_start_all(&mesh);
    for (unsigned i = 0; i < 3; i++)
        founding_hold_alone(mesh.brokers[i].founding, mesh.now_us, true);
    founding_mesh_run(&mesh, LONG);
    check_one(3);
}
END_TEST

START_TEST(join_alone_waits_for_ever)
{
    founding_mesh_init(&mesh, 3, 3);
    mesh.brokers[1].options.expect = 0;
    founding_mesh_start(&mesh, 0);
    founding_mesh_run(&mesh, LONG);
    check_one(0);
    check_said(0, "1 of the 3 expected are here, 2 are needed");
    founding_mesh_kill(&mesh, 0);
    founding_mesh_start(&mesh, 1);
    founding_mesh_run(&mesh, LONG);
    check_one(0);
    check_said(1, "waits for a mesh");
}
END_TEST

/* ---- several ---- */

START_TEST(expected_brokers_found_one_mesh)
{
    founding_mesh_init(&mesh, (unsigned)_i, (uint32_t)_i);
    founding_mesh_start_all(&mesh);
    founding_mesh_run(&mesh, 6 * SECOND);
    check_one((unsigned)_i);
    ck_assert_uint_eq(mesh.brokers[0].value.founder_count, founding_voters((unsigned)_i));
}
END_TEST

START_TEST(majority_founds_and_the_rest_joins)
{
    founding_mesh_init(&mesh, 5, 5);
    for (unsigned i = 0; i < 3; i++)
        founding_mesh_start(&mesh, i);
    founding_mesh_run(&mesh, 4 * SECOND); /* patience: others may come */
    check_one(0);
    founding_mesh_run(&mesh, 6 * SECOND);
    check_one(3);
    ck_assert_uint_eq(mesh.brokers[0].value.founder_count, 3);
    founding_mesh_start(&mesh, 3);
    founding_mesh_start(&mesh, 4);
    founding_mesh_run(&mesh, 2 * SECOND);
    check_one(5);
    ck_assert(!mesh.brokers[4].is_founder);
}
END_TEST

START_TEST(who_only_joins_founds_nothing_and_joins)
{
    founding_mesh_init(&mesh, 4, 3);
    mesh.brokers[0].options.expect = 0; /* with the smallest uuid */
    founding_mesh_start_all(&mesh);
    founding_mesh_run(&mesh, 6 * SECOND);
    check_one(4);
    ck_assert(!mesh.brokers[0].is_founder);
}
END_TEST

START_TEST(nothing_is_said_before_it_is_durable)
{
    founding_mesh_init(&mesh, 3, 3);
    for (unsigned i = 0; i < 3; i++)
        mesh.brokers[i].is_disk_slow = true;
    founding_mesh_start_all(&mesh);
    founding_mesh_run(&mesh, 60 * SECOND);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(founding_get_state(mesh.brokers[i].founding)->phase, FOUNDING_BLANK);
    for (int round = 0; round < 60; round++) {
        for (unsigned i = 0; i < 3; i++)
            if (mesh.brokers[i].pending_store != 0) founding_mesh_finish_store(&mesh, i);
        founding_mesh_run(&mesh, SECOND);
    }
    check_one(3);
}
END_TEST

/* Broker 0 proposes, and stops right before its acceptance is on its disk: nobody else has heard of it. */
static void run_until_proposed(void)
{
    mesh.brokers[0].is_disk_slow = true;
    for (int step = 0; step < 20000; step++) {
        if (mesh.brokers[0].pending_store != 0) {
            if (mesh.brokers[0].pending_state.accepted.round != 0) return;
            founding_mesh_finish_store(&mesh, 0);
        }
        founding_mesh_run(&mesh, 1000);
    }
    ck_abort_msg("broker 0 does not propose");
}

/* The proposer dies when a minority has accepted: the others finish it, with the same value. */
START_TEST(dead_proposer_is_replaced)
{
    struct uuid proposed;

    founding_mesh_init(&mesh, 5, 5);
    founding_mesh_start_all(&mesh);
    run_until_proposed();
    mesh.blocked[0] = 1u << 1 | 1u << 2 | 1u << 4; /* broker 3 alone hears what it is */
    founding_mesh_finish_store(&mesh, 0);
    founding_mesh_kill(&mesh, 0);
    check_one(0);
    proposed = founding_get_state(mesh.brokers[3].founding)->value.cluster;
    ck_assert(uuid_equal(&proposed, &mesh.brokers[0].options.fresh_cluster));
    founding_mesh_run(&mesh, 20 * SECOND);
    check_one(4);
    ck_assert(uuid_equal(&mesh.brokers[1].value.cluster, &proposed));
    mesh.brokers[0].is_disk_slow = false;
    mesh.blocked[0] = 0;
    founding_mesh_start(&mesh, 0);
    founding_mesh_run(&mesh, 2 * SECOND);
    check_one(5);
    ck_assert(mesh.brokers[0].is_founder);
}
END_TEST

/* The proposer dies with nothing accepted but promises given: they bind nobody for ever. */
START_TEST(promises_to_the_dead_do_not_block)
{
    founding_mesh_init(&mesh, 3, 3);
    founding_mesh_start_all(&mesh);
    run_until_proposed();
    founding_mesh_kill(&mesh, 0);
    ck_assert_uint_eq(mesh.brokers[1].disk.phase, FOUNDING_PROMISED);
    founding_mesh_run(&mesh, 20 * SECOND);
    check_one(2);
    ck_assert(uuid_equal(&mesh.brokers[1].value.cluster, &mesh.brokers[1].options.fresh_cluster));
}
END_TEST

START_TEST(all_restart_in_the_midst_of_it)
{
    founding_mesh_init(&mesh, 3, 3);
    for (unsigned i = 0; i < 3; i++)
        mesh.brokers[i].is_disk_slow = true;
    founding_mesh_start_all(&mesh);
    for (int step = 0; step < 100 && founding_mesh_done_count(&mesh) == 0; step++) {
        unsigned one = (unsigned)step % 3;
        if (mesh.brokers[one].pending_store != 0) founding_mesh_finish_store(&mesh, one);
        if (step % 7 == _i) {
            for (unsigned i = 0; i < 3; i++) {
                founding_mesh_kill(&mesh, i);
                founding_mesh_start(&mesh, i);
            }
        }
        founding_mesh_run(&mesh, SECOND);
    }
    for (unsigned i = 0; i < 3; i++) {
        mesh.brokers[i].is_disk_slow = false;
        if (mesh.brokers[i].pending_store != 0) founding_mesh_finish_store(&mesh, i);
    }
    founding_mesh_run(&mesh, 30 * SECOND);
    check_one(3);
}
END_TEST

/* ---- disks that go back in time ---- */

/* A directory from before its broker promised anything; meanwhile it has promised, and another one has heard that. */
static struct founding_state promise_and_remember(unsigned broker)
{
    struct founding_state before;

    mesh.brokers[0].is_disk_slow = true; /* the one that will propose */
    founding_mesh_start_all(&mesh);
    founding_mesh_run(&mesh, SECOND / 10);
    before = mesh.brokers[broker].disk;
    ck_assert_uint_eq(before.phase, FOUNDING_BLANK);
    ck_assert_uint_ge(before.known_count, 1);
    run_until_proposed();
    founding_mesh_run(&mesh, SECOND); /* all ask each other again */
    ck_assert_uint_eq(mesh.brokers[broker].disk.phase, FOUNDING_PROMISED);
    return before;
}

static void set_back(unsigned broker, const struct founding_state *before)
{
    founding_mesh_kill(&mesh, broker);
    mesh.brokers[broker].disk = *before;
    founding_mesh_start(&mesh, broker);
}

/* Whoever heard more of it tells it so: from then on it promises nothing, also when it starts alone the next time. It hears of a mesh like everybody. */
START_TEST(disk_that_was_set_back_founds_nothing)
{
    struct founding_state before;

    founding_mesh_init(&mesh, 3, 3);
    before = promise_and_remember(1);
    founding_mesh_kill(&mesh, 0);
    set_back(1, &before);
    founding_mesh_run(&mesh, 60 * SECOND);
    check_one(0);
    check_said(1, "others have heard from this disk what its directory does not hold");
    check_said(1, "start it with an empty directory");
    ck_assert(mesh.brokers[1].disk.is_set_back);
    ck_assert_uint_eq(mesh.brokers[1].disk.phase, FOUNDING_BLANK);
    founding_mesh_kill(&mesh, 2);
    founding_mesh_kill(&mesh, 1);
    founding_mesh_start(&mesh, 1);
    founding_mesh_run(&mesh, 10 * SECOND);
    ck_assert(mesh.brokers[1].disk.is_set_back);
    mesh.brokers[0].is_disk_slow = false;
    founding_mesh_start(&mesh, 0);
    founding_mesh_start(&mesh, 2); /* these two are enough */
    founding_mesh_run(&mesh, 60 * SECOND);
    check_one(3);
}
END_TEST

/* With an empty directory it is another disk, as any that was wiped. */
START_TEST(disk_that_was_set_back_begins_anew)
{
    struct founding_state before;

    founding_mesh_init(&mesh, 3, 3);
    before = promise_and_remember(1);
    founding_mesh_kill(&mesh, 0);
    set_back(1, &before);
    founding_mesh_run(&mesh, 5 * SECOND);
    founding_mesh_kill(&mesh, 1);
    founding_mesh_wipe(&mesh, 1);
    founding_mesh_start(&mesh, 1);
    founding_mesh_run(&mesh, 30 * SECOND);
    check_one(0); /* four disks took part: it takes three */
    mesh.brokers[0].is_disk_slow = false;
    founding_mesh_start(&mesh, 0);
    founding_mesh_run(&mesh, 60 * SECOND);
    check_one(3);
}
END_TEST

/* Who heard of it only from others does not count it either, before it has spoken for itself. */
START_TEST(rumour_of_a_later_state_is_enough)
{
    struct founding_state before;

    founding_mesh_init(&mesh, 5, 5);
    before = promise_and_remember(1);
    founding_mesh_kill(&mesh, 0);
    founding_mesh_kill(&mesh, 4);
    mesh.blocked[2] |= 1u << 1; /* of those left, 3 alone can tell it; and 2 knows it by what 3 says */
    mesh.blocked[1] |= 1u << 2;
    set_back(1, &before);
    founding_mesh_run(&mesh, 60 * SECOND);
    check_one(0);
    ck_assert(mesh.brokers[1].disk.is_set_back);
}
END_TEST

/* The state is the same as when it last spoke: nothing is missing. */
START_TEST(disk_that_lost_nothing_goes_on)
{
    founding_mesh_init(&mesh, 3, 3);
    founding_mesh_start_all(&mesh);
    run_until_proposed();
    founding_mesh_kill(&mesh, 0);
    for (int i = 0; i < 40; i++) { /* more starts and stores than stamps are kept */
        founding_mesh_kill(&mesh, 1 + (unsigned)i % 2);
        founding_mesh_start(&mesh, 1 + (unsigned)i % 2);
        founding_mesh_run(&mesh, SECOND / 10);
    }
    founding_mesh_run(&mesh, 30 * SECOND);
    check_one(2);
}
END_TEST

/* ---- what is refused ---- */

START_TEST(different_numbers_are_refused_and_both_named)
{
    founding_mesh_init(&mesh, 3, 3);
    mesh.brokers[2].options.expect = 5;
    founding_mesh_start_all(&mesh);
    founding_mesh_run(&mesh, LONG);
    check_one(0);
    check_said(0, "--expect 3, and 10.0.0.3:9092 (03010000) with --expect 5");
    check_said(2, "--expect 5, and 10.0.0.");
    founding_mesh_kill(&mesh, 2);
    mesh.brokers[2].options.expect = 3;
    founding_mesh_start(&mesh, 2);
    founding_mesh_run(&mesh, 30 * SECOND);
    check_one(3);
}
END_TEST

START_TEST(more_than_expected_found_nothing)
{
    founding_mesh_init(&mesh, 4, 3);
    founding_mesh_start_all(&mesh);
    founding_mesh_run(&mesh, LONG);
    check_one(0);
    check_said(1, "--expect 3, but 4 brokers are here");
    founding_mesh_kill(&mesh, 0); /* the surplus one goes; its disk still counts: three of three are needed */
    founding_mesh_run(&mesh, 30 * SECOND);
    check_one(3);
}
END_TEST

/* A promise for three is not one for two. */
static void break_promise(void)
{
    founding_mesh_init(&mesh, 3, 3);
    founding_mesh_start(&mesh, 0);
    founding_mesh_start(&mesh, 1);
    run_until_proposed();
    founding_mesh_kill(&mesh, 0);
    founding_mesh_kill(&mesh, 1);
    ck_assert_uint_eq(mesh.brokers[1].disk.phase, FOUNDING_PROMISED);
    mesh.brokers[1].options.expect = 2;
    founding_mesh_start(&mesh, 1);
    mesh.brokers[2].options.expect = 2;
    founding_mesh_start(&mesh, 2);
    founding_mesh_run(&mesh, 60 * SECOND);
    check_one(0);
    check_said(1, "it has promised to found a mesh with --expect 3, and is started for 2 now");
}

START_TEST(promise_binds_to_its_number)
{
    break_promise();
}
END_TEST

/* Started without a number, a broker still keeps and tells what it has promised; what it only knew binds it to nothing. */
START_TEST(promise_is_kept_without_the_number)
{
    founding_mesh_init(&mesh, 3, 3);
    founding_mesh_start_all(&mesh);
    run_until_proposed();
    founding_mesh_kill(&mesh, 0);
    founding_mesh_kill(&mesh, 1);
    mesh.brokers[1].options.expect = 0;
    founding_mesh_start(&mesh, 1);
    founding_mesh_run(&mesh, 60 * SECOND);
    check_one(2);
    ck_assert(uuid_equal(&mesh.brokers[1].value.cluster, &mesh.brokers[2].options.fresh_cluster));
}
END_TEST

START_TEST(blank_broker_may_change_its_mind)
{
    founding_mesh_init(&mesh, 2, 3);
    founding_mesh_start(&mesh, 0);
    founding_mesh_start(&mesh, 1);
    founding_mesh_run(&mesh, SECOND);
    ck_assert_uint_eq(mesh.brokers[0].disk.phase, FOUNDING_BLANK);
    ck_assert_uint_eq(mesh.brokers[0].disk.known_count, 1);
    for (unsigned i = 0; i < 2; i++) {
        founding_mesh_kill(&mesh, i);
        mesh.brokers[i].options.expect = _i == 0 ? 2 : 0;
        founding_mesh_start(&mesh, i);
    }
    founding_mesh_run(&mesh, 60 * SECOND);
    check_one(_i == 0 ? 2 : 0);
}
END_TEST

START_TEST(serve_does_not_break_a_promise)
{
    break_promise();
    founding_mesh_kill(&mesh, 1);
    founding_mesh_kill(&mesh, 2);
    mesh.brokers[1].options.mode = FOUNDING_SERVE;
    mesh.brokers[1].options.expect = 0;
    founding_mesh_start(&mesh, 1);
    founding_mesh_run(&mesh, 60 * SECOND);
    check_one(0);
    check_said(1, "is started for 1 now");
}
END_TEST

/* ---- wiped disks ---- */

START_TEST(wiped_founder_joins)
{
    founding_mesh_init(&mesh, 3, 3);
    founding_mesh_start_all(&mesh);
    founding_mesh_run(&mesh, 6 * SECOND);
    check_one(3);
    founding_mesh_kill(&mesh, 0);
    founding_mesh_wipe(&mesh, 0);
    founding_mesh_start(&mesh, 0);
    founding_mesh_run(&mesh, 5 * SECOND);
    check_one(3);
    ck_assert(!mesh.brokers[0].is_founder);
}
END_TEST

/* Broker 0 accepts, is wiped, and the only other one that accepted is cut off: the wiped disk and the third would be a majority of
 * three. The third has heard of the disk that is gone, and waits. */
START_TEST(wiped_disk_raises_the_quorum)
{
    founding_mesh_init(&mesh, 3, 3);
    founding_mesh_start_all(&mesh);
    run_until_proposed();
    mesh.brokers[0].is_disk_slow = false;
    mesh.blocked[0] = mesh.blocked[1] = 1u << 2; /* the third does not hear how it ends */
    founding_mesh_finish_store(&mesh, 0);
    founding_mesh_run(&mesh, SECOND);
    check_one(2);
    founding_mesh_kill(&mesh, 0);
    founding_mesh_wipe(&mesh, 0);
    mesh.brokers[1].is_cut = true;
    mesh.blocked[0] = mesh.blocked[1] = 0;
    founding_mesh_start(&mesh, 0);
    founding_mesh_run(&mesh, LONG);
    check_one(1);
    check_said(2, "3 are needed");
    mesh.brokers[1].is_cut = false;
    founding_mesh_run(&mesh, 5 * SECOND);
    check_one(3);
}
END_TEST

/* ---- the second place ---- */

static void begin_marked(void)
{
    founding_mesh_init(&mesh, 3, 3);
    for (unsigned i = 0; i < 3; i++)
        mesh.brokers[i].options.keeps_marker = true;
    founding_mesh_start_all(&mesh);
    founding_mesh_run(&mesh, 6 * SECOND);
    check_one(3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(mesh.brokers[i].is_marked);
        mesh.brokers[i].options.marker = mesh.brokers[i].value.cluster;
        founding_mesh_kill(&mesh, i);
    }
}

START_TEST(marker_keeps_wiped_brokers_from_founding)
{
    begin_marked();
    founding_mesh_wipe(&mesh, 0);
    founding_mesh_wipe(&mesh, 1);
    founding_mesh_start(&mesh, 0);
    founding_mesh_start(&mesh, 1);
    founding_mesh_run(&mesh, LONG);
    check_one(1); /* the one that does not run */
    check_said(0, "this broker's mesh c0");
    check_said(0, "remove the marker");
    founding_mesh_start(&mesh, 2);
    founding_mesh_run(&mesh, 5 * SECOND);
    check_one(3);
}
END_TEST

START_TEST(one_marker_is_enough)
{
    begin_marked();
    for (unsigned i = 0; i < 3; i++) {
        founding_mesh_wipe(&mesh, i);
        mesh.brokers[i].options.keeps_marker = i == 2;
        founding_mesh_start(&mesh, i);
    }
    founding_mesh_run(&mesh, LONG);
    check_one(0);
    check_said(0, "the marker at 10.0.0.3:9092");
}
END_TEST

START_TEST(marker_of_another_mesh_is_no_permission)
{
    begin_marked();
    founding_mesh_wipe(&mesh, 0);
    mesh.brokers[0].options.marker.bytes[9] ^= 1;
    founding_mesh_start_all(&mesh);
    founding_mesh_run(&mesh, 60 * SECOND);
    check_one(2);
    check_said(0, "does not join mesh c0");
    founding_mesh_kill(&mesh, 1);
    mesh.brokers[1].options.marker.bytes[9] ^= 1;
    founding_mesh_start(&mesh, 1);
    ck_assert(!mesh.brokers[1].is_done);
    check_said(1, "the directory belongs to mesh");
}
END_TEST

START_TEST(missing_marker_is_written_at_the_next_start)
{
    begin_marked();
    mesh.brokers[0].is_marked = false;
    mesh.brokers[0].options.marker = (struct uuid){{0}};
    founding_mesh_start(&mesh, 0);
    ck_assert(mesh.brokers[0].is_marked && mesh.brokers[0].is_done);
}
END_TEST

/* ---- the driver ---- */

START_TEST(failed_store_silences)
{
    struct founding_output output;
    struct net_address source = {{[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 2}, 9092};

    founding_mesh_init(&mesh, 3, 3);
    for (unsigned i = 0; i < 3; i++)
        mesh.brokers[i].is_disk_slow = true;
    founding_mesh_start_all(&mesh);
    founding_mesh_run(&mesh, SECOND);
    ck_assert_uint_ne(mesh.brokers[0].pending_store, 0);
    founding_store_failed(mesh.brokers[0].founding, mesh.now_us, MESH_EIO);
    ck_assert(founding_next_output(mesh.brokers[0].founding, mesh.now_us, &output));
    ck_assert_int_eq(output.type, FOUNDING_OUTPUT_LOG);
    founding_tick(mesh.brokers[0].founding, mesh.now_us + SECOND);
    founding_receive(mesh.brokers[0].founding, mesh.now_us, &mesh.brokers[1].options.self.broker, &source, slice_of("x", 1));
    ck_assert(!founding_next_output(mesh.brokers[0].founding, mesh.now_us, &output));
    ck_assert_uint_eq(founding_due_us(mesh.brokers[0].founding), FOUNDING_NEVER);
}
END_TEST

START_TEST(bad_options_are_refused)
{
    struct founding *founding = NULL;
    struct founding_options options;

    founding_mesh_init(&mesh, 1, FOUNDING_EXPECT_MAX + 1);
    ck_assert_int_eq(founding_new(&mesh.brokers[0].options, NULL, 0, &founding), MESH_EINVAL);
    options = mesh.brokers[0].options;
    options.expect = 3;
    options.mode = FOUNDING_SERVE;
    ck_assert_int_eq(founding_new(&options, NULL, 0, &founding), MESH_EINVAL);
    ck_assert_ptr_null(founding);
    founding_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("founding");
    TCase *tcase = tcase_create("founding");

    tcase_add_checked_fixture(tcase, NULL, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, voters_follow_the_size, 0, sizeof(voters_cases) / sizeof(voters_cases[0]));
    tcase_add_loop_test(tcase, quorum_grows_with_disks_beyond_those_expected, 0, sizeof(quorum_cases) / sizeof(quorum_cases[0]));
    tcase_add_test(tcase, serve_founds_at_once);
    tcase_add_test(tcase, member_stays_what_it_is);
    tcase_add_test(tcase, who_expects_itself_alone_waits_until_its_seeds_are_known);
    tcase_add_test(tcase, join_alone_waits_for_ever);
    tcase_add_loop_test(tcase, expected_brokers_found_one_mesh, 1, MESH_SIZE_MAX);
    tcase_add_test(tcase, majority_founds_and_the_rest_joins);
    tcase_add_test(tcase, who_only_joins_founds_nothing_and_joins);
    tcase_add_test(tcase, nothing_is_said_before_it_is_durable);
    tcase_add_test(tcase, dead_proposer_is_replaced);
    tcase_add_test(tcase, promises_to_the_dead_do_not_block);
    tcase_add_loop_test(tcase, all_restart_in_the_midst_of_it, 0, 7);
    tcase_add_test(tcase, disk_that_was_set_back_founds_nothing);
    tcase_add_test(tcase, disk_that_was_set_back_begins_anew);
    tcase_add_test(tcase, rumour_of_a_later_state_is_enough);
    tcase_add_test(tcase, disk_that_lost_nothing_goes_on);
    tcase_add_test(tcase, different_numbers_are_refused_and_both_named);
    tcase_add_test(tcase, more_than_expected_found_nothing);
    tcase_add_test(tcase, promise_binds_to_its_number);
    tcase_add_test(tcase, promise_is_kept_without_the_number);
    tcase_add_loop_test(tcase, blank_broker_may_change_its_mind, 0, 2);
    tcase_add_test(tcase, serve_does_not_break_a_promise);
    tcase_add_test(tcase, wiped_founder_joins);
    tcase_add_test(tcase, wiped_disk_raises_the_quorum);
    tcase_add_test(tcase, marker_keeps_wiped_brokers_from_founding);
    tcase_add_test(tcase, one_marker_is_enough);
    tcase_add_test(tcase, marker_of_another_mesh_is_no_permission);
    tcase_add_test(tcase, missing_marker_is_written_at_the_next_start);
    tcase_add_test(tcase, failed_store_silences);
    tcase_add_test(tcase, bad_options_are_refused);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
