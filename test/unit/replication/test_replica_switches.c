/* Each historical defect (PROTOCOLS 4.2) is brought back by its switch, and the observer of the mesh notices, within a bounded number of seeds:
 * so the tests without it mean something.
 *
 * To see one run: test_replica_switches NAME SEED; to count in how many it is noticed: test_replica_switches NAME SEED RUNS */
#include "support/replica_mesh.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct defect_case {
    const char *name;
    enum replica_defect defect;
    enum partition_mode mode;
    bool is_async, is_idle_at_end;
    int brokers, min_insync;
    uint64_t seed;
} cases[] = {
#define ROW(name, ...) {#name, REPLICA_DEFECT_##name, __VA_ARGS__}
    /* 1, 2 */ ROW(CUT_TO_HIGH_WATERMARK, PARTITION_MODE_ISR, false, false, 3, 2, 1),
    /* 3 */ ROW(ONE_ROUND, PARTITION_MODE_ISR, false, false, 3, 2, 1),
    /* 4 */ ROW(EPOCHS_NOT_COMPARED, PARTITION_MODE_ISR, false, false, 3, 2, 1),
    /* 5 */ ROW(JOINS_EARLY, PARTITION_MODE_ISR, false, false, 3, 2, 1),
    /* 6 */ ROW(PROPOSED_NOT_COUNTED, PARTITION_MODE_ISR, false, false, 3, 2, 1),
    /* 7 */ ROW(LIVES_NOT_SAID, PARTITION_MODE_ISR, true, false, 3, 2, 1),
    /* 8 */ ROW(GENERATION_IGNORED, PARTITION_MODE_ISR, false, false, 3, 2, 1),
    /* 10 */ ROW(INELIGIBLE_PROPOSED, PARTITION_MODE_ISR, false, false, 3, 2, 1),
    /* 11 */ ROW(ADOPTS_BEFORE_CUT, PARTITION_MODE_ISR, false, false, 3, 2, 1),
    /* 13 */ ROW(RESET_KEEPS_WATERMARK, PARTITION_MODE_ISR, false, false, 3, 2, 1),
    /* 15 */ ROW(SHRINKS_ALONE, PARTITION_MODE_ISR, false, false, 3, 2, 1),
    /* 16 */ ROW(CUT_NOT_AWAITED, PARTITION_MODE_ISR, false, false, 3, 2, 1),
    /* 19 */ ROW(IDLE_NOT_REPAIRED, PARTITION_MODE_ISR, false, true, 3, 2, 1),
    /* 25 */ ROW(MIN_INSYNC_IGNORED, PARTITION_MODE_ISR, false, false, 3, 2, 1),
    /* R6 */ ROW(UNDURABLE_COUNTED, PARTITION_MODE_ISR, false, false, 3, 2, 1),
    /* R5 */ ROW(UNRECONCILED_COUNTED, PARTITION_MODE_ISR, false, false, 3, 2, 1),
    /* R7 */ ROW(ROLLS_BACK_BLINDLY, PARTITION_MODE_ISR, false, false, 3, 2, 1),
    /* 5.4.2 */ ROW(FIGURE_EIGHT, PARTITION_MODE_QUORUM, false, false, 3, 2, 1),
    /* 12 */ ROW(NO_EPOCH_START, PARTITION_MODE_QUORUM, false, true, 3, 2, 1),
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
    options->brokers = row->brokers;
    options->min_insync = row->min_insync;
    options->partitions = 1;
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

static int show(const char *name, uint64_t seed, uint64_t runs)
{
    struct replica_mesh *mesh = replica_mesh_new();
    struct replica_mesh_options options;
    struct replica_mesh_result result;
    uint64_t noticed = 0;

    for (size_t i = 0; i < CASE_COUNT && mesh != NULL; i++) {
        if (strcmp(cases[i].name, name) != 0) continue;
        for (uint64_t run = 0; run < runs; run++) {
            options_of(&cases[i], seed + run, &options);
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
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, the_defect_is_noticed, 0, CASE_COUNT);
    return suite;
}

int main(int argc, char **argv)
{
    if (argc >= 3) return show(argv[1], strtoull(argv[2], NULL, 10), argc > 3 ? strtoull(argv[3], NULL, 10) : 1);
    return run_suite(suite_new());
}
