/* Replicas under all kinds of trouble, thousands of times: nothing that was committed is lost or changes, nobody is taken for a liar,
 * and once all is healed everybody has the same.
 *
 * To see one run: test_replica_chaos PROFILE SEED */
#include "support/replica_mesh.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct profile {
    const char *name;
    enum partition_mode mode;
    bool is_async, is_idle_at_end;
    int brokers, min_insync;
    uint32_t runs;
} profiles[] = {
    {"isr", PARTITION_MODE_ISR, false, false, 0, 0, 500},
    {"isr-3-of-3", PARTITION_MODE_ISR, false, false, 3, 3, 150},
    {"isr-idle", PARTITION_MODE_ISR, false, true, 3, 2, 150},
    {"isr-two", PARTITION_MODE_ISR, false, false, 2, 2, 100},
    {"async-flush", PARTITION_MODE_ISR, true, false, 3, 2, 150},
    {"quorum", PARTITION_MODE_QUORUM, false, false, 0, 0, 300},
};
#define PROFILE_COUNT (sizeof(profiles) / sizeof(profiles[0]))

static void options_of(const struct profile *profile, uint64_t seed, struct replica_mesh_options *options)
{
    replica_mesh_options_init(options, seed);
    options->mode = profile->mode;
    options->is_async = profile->is_async;
    options->is_idle_at_end = profile->is_idle_at_end;
    options->brokers = profile->brokers;
    options->min_insync = profile->min_insync;
    if (profile->brokers == 2) options->faults &= ~(uint32_t)MESH_FAULT_REPLACE;
}

static void add(struct replica_mesh_result *sum, const struct replica_mesh_result *result)
{
    sum->events += result->events;
    sum->packets += result->packets;
    sum->appended += result->appended;
    sum->acknowledged += result->acknowledged;
    sum->elections += result->elections;
    sum->elr_elections += result->elr_elections;
    sum->cuts += result->cuts;
    sum->second_cuts += result->second_cuts;
    sum->resets += result->resets;
    sum->alters += result->alters;
    sum->unknown_alters += result->unknown_alters;
    sum->refusals += result->refusals;
    sum->seals += result->seals;
    sum->rejects += result->rejects;
    sum->crashes += result->crashes;
    sum->pauses += result->pauses;
}

static void print(const char *name, uint64_t runs, const struct replica_mesh_result *sum)
{
    printf("%s: %llu runs, %llu events, %llu packets, %llu of %llu acknowledged, %llu elections (%llu from the ELR), %llu seals, %llu cuts "
           "(%llu in later rounds, %llu whole), %llu alters (%llu unknown, %llu refused), %llu rejects, %llu crashes, %llu pauses\n",
           name, (unsigned long long)runs, (unsigned long long)sum->events, (unsigned long long)sum->packets,
           (unsigned long long)sum->acknowledged, (unsigned long long)sum->appended, (unsigned long long)sum->elections,
           (unsigned long long)sum->elr_elections, (unsigned long long)sum->seals, (unsigned long long)sum->cuts,
           (unsigned long long)sum->second_cuts, (unsigned long long)sum->resets, (unsigned long long)sum->alters,
           (unsigned long long)sum->unknown_alters, (unsigned long long)sum->refusals, (unsigned long long)sum->rejects,
           (unsigned long long)sum->crashes, (unsigned long long)sum->pauses);
}

/* Runs of one profile; stops at the first that is violated, and says which. */
static void run_profile(const struct profile *profile, uint64_t first_seed, uint64_t runs, struct replica_mesh_result *ret_sum)
{
    struct replica_mesh *mesh = replica_mesh_new();

    ck_assert_ptr_nonnull(mesh);
    memset(ret_sum, 0, sizeof(*ret_sum));
    for (uint64_t seed = first_seed; seed < first_seed + runs; seed++) {
        struct replica_mesh_options options;
        struct replica_mesh_result result;

        options_of(profile, seed, &options);
        replica_mesh_run(mesh, &options, &result);
        add(ret_sum, &result);
        ck_assert_msg(result.violation[0] == '\0', "test_replica_chaos %s %llu: %s", profile->name, (unsigned long long)seed,
                      result.violation);
    }
    replica_mesh_free(mesh);
}

START_TEST(what_is_committed_stays_and_all_agree_in_the_end)
{
    const struct profile *profile = &profiles[_i];
    struct replica_mesh_result sum;

    run_profile(profile, 1, profile->runs, &sum);
    print(profile->name, profile->runs, &sum);
    /* otherwise nothing was tested */
    ck_assert_uint_gt(sum.acknowledged, sum.appended / 4);
    ck_assert_uint_gt(sum.elections, profile->runs);
    ck_assert_uint_gt(sum.cuts, profile->runs / 4);
    ck_assert_uint_gt(sum.rejects, 10);
    if (profile->mode == PARTITION_MODE_QUORUM) return;
    ck_assert_uint_gt(sum.elr_elections, 10);
    ck_assert_uint_gt(sum.unknown_alters, 10);
    ck_assert_uint_gt(sum.refusals, 10);
}
END_TEST

START_TEST(the_same_seed_takes_the_same_course)
{
    struct replica_mesh *mesh = replica_mesh_new();
    struct replica_mesh_options options;
    struct replica_mesh_result once, again;

    ck_assert_ptr_nonnull(mesh);
    for (uint64_t seed = 1; seed <= 5; seed++) {
        replica_mesh_options_init(&options, seed);
        replica_mesh_run(mesh, &options, &once);
        replica_mesh_run(mesh, &options, &again);
        ck_assert_uint_eq(once.hash, again.hash);
    }
    replica_mesh_free(mesh);
}
END_TEST

static int show(const char *name, uint64_t seed, uint64_t runs)
{
    struct replica_mesh *mesh = replica_mesh_new();
    struct replica_mesh_options options;
    struct replica_mesh_result result, sum;

    memset(&sum, 0, sizeof(sum));
    for (size_t i = 0; i < PROFILE_COUNT && mesh != NULL; i++) {
        if (strcmp(profiles[i].name, name) != 0) continue;
        for (uint64_t run = 0; run < runs; run++) {
            options_of(&profiles[i], seed + run, &options);
            if (runs == 1) options.trace = stdout;
            replica_mesh_run(mesh, &options, &result);
            add(&sum, &result);
            if (result.violation[0] != '\0') printf("%llu: %s\n", (unsigned long long)(seed + run), result.violation);
        }
        print(name, runs, &sum);
    }
    replica_mesh_free(mesh);
    return 0;
}

static Suite *suite_new(void)
{
    Suite *suite = suite_create("replica chaos");
    TCase *tcase = tcase_create("runs");

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, what_is_committed_stays_and_all_agree_in_the_end, 0, PROFILE_COUNT);
    tcase_add_test(tcase, the_same_seed_takes_the_same_course);
    return suite;
}

int main(int argc, char **argv)
{
    if (argc >= 3) return show(argv[1], strtoull(argv[2], NULL, 10), argc > 3 ? strtoull(argv[3], NULL, 10) : 1);
    return run_suite(suite_new());
}
