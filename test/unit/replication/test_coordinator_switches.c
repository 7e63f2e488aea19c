/* The ways in which others' coordinators lost records (PROTOCOLS 4.2), each brought back by its switch (coordinator/switches.h): what happens without
 * it, and what happens with it. */
#include "replica_story.h"
#include "replication/coordinator/switches.h"
#include "support/run_suite.h"

#include <stdio.h>

static const struct {
    enum coordinator_defect defect;
    const char *settings, *script;  /* on three brokers, up to the act that matters */
    const char *right, *wrong;      /* how it ends */
} defects[] = {
    {COORDINATOR_DEFECT_PARTITION_EPOCH_UNCHECKED, "replicas=3", "isr 12; isr 1; stale 12", "!AGAIN", "1 12 - - 123"},
    {COORDINATOR_DEFECT_LIFE_UNCHECKED, "replicas=3", "restart 2; unfence 2; former 123", "!BUSY", "1 123 - - 123"},
    {COORDINATOR_DEFECT_GENERATION_UNCHECKED, "replicas=3", "lost 2; original 123", "!BUSY", "1 123 - - 123"},
    {COORDINATOR_DEFECT_GENERATION_UNCHECKED, "replicas=3", "move 13; move 132; tick; original 123", "!BUSY", "1 123 - - 132"},
    {COORDINATOR_DEFECT_NO_ELR, "replicas=3", "fence 1; fence 2; fence 3", "none - 23 - 123", "none 3 - - 123"},
    {COORDINATOR_DEFECT_UNCLEAN_STOP_TRUSTED, "replicas=3,flush=async", "fence 1; unclean 2; unclean 3; unfence 2", "none - - 23 123", "2 2 3 - 123"},
    {COORDINATOR_DEFECT_FENCED_MAY_JOIN, "replicas=3", "fence 2; isr 123", "!BUSY", "1 123 - - 123"},
    {COORDINATOR_DEFECT_FENCED_MAY_JOIN, "replicas=3", "drain 2; isr 123", "!BUSY", "1 123 - - 123"},
    {COORDINATOR_DEFECT_LOSS_IGNORED, "replicas=3", "lost 2; fence 1", "3 3 1 - 123", "2 23 - - 123"},
    {COORDINATOR_DEFECT_ANYBODY_LEADS, "replicas=3,min.insync=1", "isr 1; fence 1", "none - 1 - 123", "2 2 - - 123"},
    {COORDINATOR_DEFECT_SEAL_UNCOUNTED, "replicas=3,mode=quorum", "fence 1; report 2 0 3; recover", "none 23 1 - 123 sealed", "2 2 13 - 123"},
};

START_TEST(a_defect_is_noticed)
{
    char script[256];

    snprintf(script, sizeof(script), "%s = %s", defects[_i].script, defects[_i].right);
    replica_story("abc", defects[_i].settings, script);
    coordinator_bring_back(defects[_i].defect);
    snprintf(script, sizeof(script), "%s = %s", defects[_i].script, defects[_i].wrong);
    replica_story("abc", defects[_i].settings, script);
    coordinator_bring_back(COORDINATOR_DEFECT_NONE);
}
END_TEST

START_TEST(every_switch_has_its_story)
{
    uint32_t told = 1u | 1u << COORDINATOR_DEFECT_EPOCH_KEPT; /* NONE; and that one is the simulator's (test_sim_metadata) */

    for (size_t i = 0; i < sizeof(defects) / sizeof(defects[0]); i++)
        told |= 1u << defects[i].defect;
    ck_assert_uint_eq(told, (1u << COORDINATOR_DEFECT_COUNT) - 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("coordinator_switches");
    TCase *tcase = tcase_create("coordinator_switches");

    tcase_add_loop_test(tcase, a_defect_is_noticed, 0, sizeof(defects) / sizeof(defects[0]));
    tcase_add_test(tcase, every_switch_has_its_story);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
