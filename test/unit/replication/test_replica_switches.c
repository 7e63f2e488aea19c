/* Each historical defect (PROTOCOLS 4.2) is brought back by its switch, and noticed: by the observer of the mesh, within a bounded number
 * of seeds, or, where it takes too much of a coincidence, in a story of its own. So the tests without it mean something.
 *
 * To see one run: test_replica_switches NAME SEED; to count in how many it is noticed: test_replica_switches NAME SEED RUNS [FAULTS] */
#include "replica_rig.h"
#include "support/replica_court.h"
#include "support/replica_mesh.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define CRASHES (MESH_FAULT_POWER | MESH_FAULT_POWER_ALL | MESH_FAULT_FENCE | MESH_FAULT_STALL)

static const struct defect_case {
    const char *name;
    enum replica_defect defect;
    enum partition_mode mode;
    bool is_async, is_idle_at_end;
    uint32_t faults;
    uint64_t seed; /* the first to try: one that notices it is not far */
} cases[] = {
#define ROW(name, ...) {#name, REPLICA_DEFECT_##name, PARTITION_MODE_##__VA_ARGS__}
    /* 1, 2 */ ROW(CUT_TO_HIGH_WATERMARK, ISR, false, false, MESH_FAULT_ALL, 1),
    /* 3 */ ROW(ONE_ROUND, ISR, false, false, MESH_FAULT_ALL, 1),
    /* 6 */ ROW(PROPOSED_NOT_COUNTED, ISR, false, false, MESH_FAULT_ALL, 1),
    /* 8 */ ROW(GENERATION_IGNORED, ISR, false, false, MESH_FAULT_ALL, 1),
    /* 11 */ ROW(ADOPTS_BEFORE_CUT, ISR, false, false, MESH_FAULT_ALL, 1),
    /* 13 */ ROW(RESET_KEEPS_WATERMARK, ISR, false, false, MESH_FAULT_ALL, 1),
    /* 16 */ ROW(CUT_NOT_AWAITED, ISR, false, false, CRASHES, 1),
    /* 19 */ ROW(IDLE_NOT_REPAIRED, ISR, false, true, MESH_FAULT_ALL, 1),
    /* 25 */ ROW(MIN_INSYNC_IGNORED, ISR, false, false, MESH_FAULT_ALL, 1),
    /* 26 */ ROW(HEALS_BY_COPYING, ISR, false, false, MESH_FAULT_ALL, 1),
    /* R6 */ ROW(UNDURABLE_COUNTED, ISR, false, false, MESH_FAULT_ALL, 1),
    /* R5 */ ROW(UNRECONCILED_COUNTED, ISR, false, false, MESH_FAULT_ALL, 1),
    /* 12 */ ROW(NO_EPOCH_START, QUORUM, false, true, MESH_FAULT_ALL, 1),
#undef ROW
};
#define CASE_COUNT (sizeof(cases) / sizeof(cases[0]))
#define SEEDS_MAX  3000

static void options_of(const struct defect_case *row, uint64_t seed, struct replica_mesh_options *options)
{
    replica_mesh_options_init(options, seed);
    options->mode = row->mode;
    options->is_async = row->is_async;
    options->is_idle_at_end = row->is_idle_at_end;
    options->brokers = 3;
    options->min_insync = 2;
    options->partitions = 1;
    options->faults = row->faults;
    options->defect = row->defect;
}

START_TEST(the_defect_is_noticed)
{
    const struct defect_case *row = &cases[_i];
    struct replica_mesh *mesh = replica_mesh_new();
    struct replica_mesh_result result = {.violation = ""};

    ck_assert_ptr_nonnull(mesh);
    for (uint64_t seed = row->seed; seed < row->seed + SEEDS_MAX && result.violation[0] == '\0'; seed++) {
        struct replica_mesh_options options;

        options_of(row, seed, &options);
        replica_mesh_run(mesh, &options, &result);
        if (result.violation[0] != '\0') printf("%s: seed %llu: %s\n", row->name, (unsigned long long)seed, result.violation);
    }
    ck_assert_msg(result.violation[0] != '\0', "%s is not noticed in %d runs", row->name, SEEDS_MAX);
    replica_mesh_free(mesh);
}
END_TEST

/* ---- stories: each returns whether the harm was done ---- */

static struct replica_rig rig;

static struct replica *replica_of_rig(void)
{
    return &rig.replicas[0];
}

/* Node 1 leads epoch 1: 4 records of epoch 0, of which it knows 2 to be committed, and the epoch's own at 4. */
static void lead(enum replica_defect defect, enum partition_mode mode, uint16_t isr)
{
    const int records[] = {4};

    rig_init(&rig, mode, 3, 2);
    replica_bring_back(replica_of_rig(), defect);
    rig_fill(&rig, 0, records, 1, 2);
    rig_assign(&rig, 1, 1, 1, isr);
    rig_sync(&rig);
    for (int node = 2; node <= 3; node++)
        ck_assert_int_eq(rig_say(&rig, node, &(struct stream_message){.type = STREAM_CREDIT, .credit = 100000}), 0);
}

static void follow_to(int node, uint64_t position)
{
    ck_assert_int_eq(rig_attach(&rig, node, 1, 1, 0, position < 4 ? position : 4), 0);
    rig_hear(&rig, node);
    ck_assert_int_eq(rig_ack(&rig, node, 1, 1, position, position), 0);
}

static bool commits_beyond(uint64_t offset)
{
    return replica_of_rig()->partition.high_watermark > offset;
}

/* A leader that has not heard of epoch 2 makes a follower of epoch 2 cut its log. */
static bool cuts_by_an_older_epoch(enum replica_defect defect)
{
    lead(defect, PARTITION_MODE_ISR, 7);
    ck_assert_int_eq(rig_attach(&rig, 2, 1, 2, 0, 9), 0);
    rig_hear(&rig, 2);
    return rig.heard[0].type == STREAM_DIVERGED;
}

/* 3 may not have all that was committed before this leader's time. */
static bool joins_before_the_epochs_start(enum replica_defect defect)
{
    struct replica_alter alter;

    lead(defect, PARTITION_MODE_ISR, 3);
    follow_to(3, 3);
    return replica_alter_begin(replica_of_rig(), &alter);
}

/* The question is slow; meanwhile 3 has crashed and come back with less. */
static bool admits_who_has_lost(enum replica_defect defect)
{
    struct replica_alter alter;
    struct court court;
    uint32_t partition_epoch;
    bool is_done;

    ck_assert_int_eq(court_init(&court), 0);
    court_begin(&court, 3, 1, 2, false);
    court_fence(&court, 2);
    court_unfence(&court, 2);
    lead(defect, PARTITION_MODE_ISR, 3);
    follow_to(3, 5);
    ck_assert(replica_alter_begin(replica_of_rig(), &alter));
    alter.leader_epoch = court_now(&court)->partitions[0].leader_epoch;
    alter.partition_epoch = court_now(&court)->partitions[0].partition_epoch;
    alter.leader_broker_epoch = court_now(&court)->brokers[0].epoch;
    for (int i = 0; i < alter.isr_count; i++) { /* the rig's lives are not the court's */
        if (alter.isr[i].broker_epoch != 0) alter.isr[i].broker_epoch = court_now(&court)->brokers[alter.isr[i].node_id - 1].epoch;
        if (alter.isr[i].generation != 0)
            alter.isr[i].generation = court_now(&court)->partitions[0].generations[alter.isr[i].node_id - 1];
    }
    court_register(&court, 2, COURT_LOST_SOME);
    court_unfence(&court, 2);
    is_done = court_alter(&court, 0, 0, &alter, &partition_epoch);
    court_deinit(&court);
    return is_done;
}

/* 3 is draining, will be refused, and soon acknowledges nothing: all the others wait for it. */
static bool waits_for_who_is_leaving(enum replica_defect defect)
{
    struct replica_alter alter;

    lead(defect, PARTITION_MODE_ISR, 3);
    rig.members[2].is_eligible = false;
    rig_assign(&rig, 1, 1, 1, 3);
    follow_to(2, 5);
    follow_to(3, 5);
    if (replica_alter_begin(replica_of_rig(), &alter)) ck_assert_int_eq(alter.isr_count, 3);
    rig_append(&rig, 0, 1);
    rig_sync(&rig);
    rig_hear(&rig, 2);
    ck_assert_int_eq(rig_ack(&rig, 2, 1, 1, 6, 6), 0);
    return !commits_beyond(5);
}

/* Cut off together with 2, the leader commits what 3, which may be elected on the other side, does not have. */
static bool commits_without_the_coordinator(enum replica_defect defect)
{
    struct replica_alter alter;

    lead(defect, PARTITION_MODE_ISR, 7);
    follow_to(2, 5);
    follow_to(3, 5);
    rig_append(&rig, 0, 1);
    rig_sync(&rig);
    rig_hear(&rig, 2);
    ck_assert_int_eq(rig_ack(&rig, 2, 1, 1, 6, 6), 0);
    rig_tick(&rig, 20000);
    ck_assert(replica_alter_begin(replica_of_rig(), &alter));
    replica_alter_done(replica_of_rig(), &alter, REPLICA_ALTER_UNKNOWN, 0);
    return commits_beyond(5);
}

/* The first question to add 3 may still be done, though the second was refused. */
static bool forgets_an_open_question(enum replica_defect defect)
{
    struct replica_alter alter;

    lead(defect, PARTITION_MODE_ISR, 3);
    follow_to(2, 5);
    follow_to(3, 5);
    ck_assert(replica_alter_begin(replica_of_rig(), &alter));
    replica_alter_done(replica_of_rig(), &alter, REPLICA_ALTER_UNKNOWN, 0);
    rig_tick(&rig, 1500);
    ck_assert(replica_alter_begin(replica_of_rig(), &alter));
    replica_alter_done(replica_of_rig(), &alter, REPLICA_ALTER_REFUSED, 0);
    rig_append(&rig, 0, 1);
    rig_sync(&rig);
    rig_hear(&rig, 2);
    ck_assert_int_eq(rig_ack(&rig, 2, 1, 1, 6, 6), 0);
    return commits_beyond(5);
}

/* A majority holds what epoch 0 wrote, but not yet what this epoch began with: another leader may still replace it. */
static bool commits_what_may_be_replaced(enum replica_defect defect)
{
    lead(defect, PARTITION_MODE_QUORUM, 7);
    follow_to(2, 4);
    return commits_beyond(2);
}

static bool believes_any_acknowledgement(enum replica_defect defect)
{
    lead(defect, PARTITION_MODE_ISR, 3);
    follow_to(2, 5);
    rig_append(&rig, 0, 3);
    rig_sync(&rig);
    return rig_ack(&rig, 2, 1, 1, 1000000, 1000000) == 0 && commits_beyond(5);
}

/* The follower's last epoch has no record: it is told to cut at its end, and would ask the same again for ever. */
static bool asks_the_same_again(enum replica_defect defect)
{
    const struct replica_epoch_end end = {0, 9}, ours = {0, 4};

    lead(defect, PARTITION_MODE_ISR, 7);
    rig_assign(&rig, 2, 2, 2, 7);
    replica_of_rig()->partition.log_end = 4;
    return replica_diverged(replica_of_rig(), end, ours, 1, (struct replica_log_start){0, -1}) == REPLICA_CUT_AGAIN;
}

static const struct {
    enum replica_defect defect;
    bool (*story)(enum replica_defect defect);
} stories[] = {
    /* 4 */ {REPLICA_DEFECT_EPOCHS_NOT_COMPARED, cuts_by_an_older_epoch},
    /* 5 */ {REPLICA_DEFECT_JOINS_EARLY, joins_before_the_epochs_start},
    /* 7 */ {REPLICA_DEFECT_LIVES_NOT_SAID, admits_who_has_lost},
    /* 10 */ {REPLICA_DEFECT_INELIGIBLE_PROPOSED, waits_for_who_is_leaving},
    /* 12 */ {REPLICA_DEFECT_EMPTY_EPOCH_STAYS, asks_the_same_again},
    /* 15 */ {REPLICA_DEFECT_SHRINKS_ALONE, commits_without_the_coordinator},
    /* 16 */ {REPLICA_DEFECT_ACKS_UNCHECKED, believes_any_acknowledgement},
    /* R7 */ {REPLICA_DEFECT_ROLLS_BACK_BLINDLY, forgets_an_open_question},
    /* 5.4.2 */ {REPLICA_DEFECT_FIGURE_EIGHT, commits_what_may_be_replaced},
};
#define STORY_COUNT (sizeof(stories) / sizeof(stories[0]))

START_TEST(the_story_ends_badly_with_the_defect_only)
{
    ck_assert(!stories[_i].story(REPLICA_DEFECT_NONE));
    rig_deinit(&rig);
    ck_assert(stories[_i].story(stories[_i].defect));
    rig_deinit(&rig);
}
END_TEST

START_TEST(every_defect_has_its_case)
{
    for (int defect = REPLICA_DEFECT_NONE + 1; defect < REPLICA_DEFECT_COUNT; defect++) {
        bool is_there = false;

        for (size_t i = 0; i < CASE_COUNT; i++)
            is_there |= cases[i].defect == (enum replica_defect)defect;
        for (size_t i = 0; i < STORY_COUNT; i++)
            is_there |= stories[i].defect == (enum replica_defect)defect;
        ck_assert_msg(is_there, "defect %d is never brought back", defect);
    }
}
END_TEST

static int show(const char *name, uint64_t seed, uint64_t runs, uint32_t faults)
{
    struct replica_mesh *mesh = replica_mesh_new();
    struct replica_mesh_options options;
    struct replica_mesh_result result;
    uint64_t noticed = 0;

    for (size_t i = 0; i < CASE_COUNT && mesh != NULL; i++) {
        if (strcmp(cases[i].name, name) != 0) continue;
        for (uint64_t run = 0; run < runs; run++) {
            options_of(&cases[i], seed + run, &options);
            if (faults != 0) options.faults = faults;
            if (runs == 1) options.trace = stdout;
            replica_mesh_run(mesh, &options, &result);
            noticed += result.violation[0] != '\0';
            if (result.violation[0] != '\0') printf("%llu: %s\n", (unsigned long long)(seed + run), result.violation);
        }
        printf("%s: noticed in %llu of %llu runs\n", name, (unsigned long long)noticed, (unsigned long long)runs);
    }
    replica_mesh_free(mesh);
    return 0;
}

static Suite *suite_new(void)
{
    Suite *suite = suite_create("replica switches");
    TCase *tcase = tcase_create("defects");

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 280);
    tcase_add_loop_test(tcase, the_defect_is_noticed, 0, CASE_COUNT);
    tcase_add_loop_test(tcase, the_story_ends_badly_with_the_defect_only, 0, STORY_COUNT);
    tcase_add_test(tcase, every_defect_has_its_case);
    return suite;
}

int main(int argc, char **argv)
{
    if (argc >= 3) return show(argv[1], strtoull(argv[2], NULL, 10), argc > 3 ? strtoull(argv[3], NULL, 10) : 1,
                              argc > 4 ? (uint32_t)strtoull(argv[4], NULL, 10) : 0);
    return run_suite(suite_new());
}
