/* Consensus through random trouble: see raft_chaos.h. SEEDS and FIRST_SEED in the environment run more, or one again. */
#include "support/run_suite.h"
#include "unit/consensus/raft_chaos.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define SEEDS 150

static unsigned long from_environment(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);

    return text == NULL ? otherwise : strtoul(text, NULL, 10);
}

START_TEST(whatever_happens_there_is_one_history)
{
    unsigned long first = from_environment("FIRST_SEED", 1), seeds = from_environment("SEEDS", SEEDS);
    struct chaos_result all = {.breach = NULL};

    for (unsigned long seed = first; seed < first + seeds; seed++) {
        struct chaos_result result;
        chaos_run(seed, 300, 0, &result);
        ck_assert_msg(result.breach == NULL, "seed %lu: %s", seed, result.breach);
        ck_assert_msg(result.has_healed, "seed %lu: no agreement after all was healed", seed);
        all.committed += result.committed;
        all.snapshots += result.snapshots;
        all.leaders += result.leaders;
        all.changes += result.changes;
        all.reads += result.reads;
        all.damages += result.damages;
    }
    printf("%lu seeds: %llu committed, %llu leaders, %llu snapshots, %llu changes, %llu reads, %llu damaged disks\n", seeds,
           (unsigned long long)all.committed, (unsigned long long)all.leaders, (unsigned long long)all.snapshots,
           (unsigned long long)all.changes, (unsigned long long)all.reads, (unsigned long long)all.damages);
    if (seeds < SEEDS) return;
    ck_assert(all.committed > 20 * seeds && all.leaders > 2 * seeds && all.snapshots > 0 && all.changes > 0); /* trouble is no */
    ck_assert(all.reads > 0 && all.damages > 0);                                                          /* standstill */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft in trouble");
    TCase *tcase = tcase_create("chaos");

    tcase_set_timeout(tcase, 3000);
    tcase_add_test(tcase, whatever_happens_there_is_one_history);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
