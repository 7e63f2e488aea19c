/* The defects that can be brought back do break what the core otherwise keeps; the simulator shows it of each. */
#include "support/run_suite.h"
#include "unit/gossip/lockstep.h"

#include <check.h>

#define SECOND 1000000ull

static struct lockstep net;

static bool all_hold_dead(struct lockstep *mesh, void *unused)
{
    (void)unused;
    for (size_t i = 0; i < mesh->count; i++)
        if (i != 1 && lockstep_state(mesh, i, 1) != GOSSIP_DEAD) return false;
    return true;
}

static void settle_with(enum gossip_defect defect)
{
    lockstep_init(&net, 3, 5);
    net.defects = (uint64_t)1 << defect;
    lockstep_start_all(&net);
    ck_assert(lockstep_until(&net, 20 * SECOND, lockstep_all_agree, NULL));
    lockstep_run(&net, 3 * SECOND);
}

static const struct {
    enum gossip_defect defect;
    bool heals;
} cut_cases[] = {{GOSSIP_DEFECT_NONE, true}, {GOSSIP_DEFECT_DEAD_NOT_DIALLED, false}};

START_TEST(without_dialling_the_dead_a_cut_never_heals)
{
    settle_with(cut_cases[_i].defect);
    net.brokers[1].is_cut = true;
    ck_assert(lockstep_until(&net, 8 * SECOND, all_hold_dead, NULL));
    lockstep_run(&net, 300 * SECOND);
    ck_assert(gossip_set_seeds(net.brokers[1].gossip, net.now_us, NULL, 0) == 0); /* nor do seeds help */
    for (size_t i = 0; i < net.count; i++)
        ck_assert(gossip_set_seeds(net.brokers[i].gossip, net.now_us, NULL, 0) == 0);
    net.brokers[1].is_cut = false;
    ck_assert(lockstep_until(&net, 120 * SECOND, lockstep_all_agree, NULL) == cut_cases[_i].heals);
    lockstep_free(&net);
}
END_TEST

static const struct {
    enum gossip_defect defect;
    bool is_fast;
} death_cases[] = {{GOSSIP_DEFECT_NONE, true}, {GOSSIP_DEFECT_NO_FAST_DEATH, false}};

START_TEST(without_witnesses_a_dead_process_takes_its_time)
{
    settle_with(death_cases[_i].defect);
    lockstep_kill(&net, 1);
    ck_assert(lockstep_until(&net, SECOND, all_hold_dead, NULL) == death_cases[_i].is_fast);
    ck_assert(lockstep_until(&net, 8 * SECOND, all_hold_dead, NULL));
    lockstep_free(&net);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gossip switches");
    TCase *tcase = tcase_create("switches");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, without_dialling_the_dead_a_cut_never_heals, 0, 2);
    tcase_add_loop_test(tcase, without_witnesses_a_dead_process_takes_its_time, 0, 2);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
