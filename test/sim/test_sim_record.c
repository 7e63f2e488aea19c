/* S14: what a broker believes does not depend on the order in which it heard it (gossip_record.h). A few hundred seeds of the
 * world of gossip ask that too; here are meshes in which much is said, and the proof that rules which depend on order are
 * noticed. */
#include "sim/gossip_mesh.h"
#include "sim/gossip_record.h"
#include "support/run_suite.h"

#define SIZE     5
#define RECORDED 2
#define SEEDS    6

static struct gossip_mesh mesh;
static struct gossip_record *record;

static void heard(void *user, struct sim_host *host, const struct uuid *from, struct slice bytes)
{
    (void)user;
    if (sim_host_index(host) == RECORDED) gossip_record_add(record, from, bytes);
}

/* Brokers come, go and change their minds over a bad network, while one of them listens. */
static void live(uint64_t seed)
{
    gossip_mesh_reset(&mesh, seed, SIZE);
    gossip_record_begin(record);
    mesh.config.heard = heard;
    sim_net_faults(mesh.sim)->loss_ppm = 100000;
    sim_net_faults(mesh.sim)->reorder_ppm = 200000;
    sim_net_faults(mesh.sim)->duplicate_ppm = 100000;
    ck_assert(gossip_mesh_join(&mesh));
    for (uint32_t i = 0; i < 60; i++) {
        uint32_t host = (uint32_t)(seed + i) % SIZE;
        if (host == RECORDED || !sim_host_is_running(gossip_mesh_host(&mesh, host))) continue;
        gossip_watch_set_soft(mesh.watch, gossip_mesh_host(&mesh, host), i * 7 % WATCH_KEYS);
        if (i % 10 == 3) gossip_watch_churn_soft(mesh.watch, gossip_mesh_host(&mesh, host));
        if (i % 4 == 1) gossip_watch_delete_soft(mesh.watch, gossip_mesh_host(&mesh, host), i * 5 % WATCH_KEYS);
        if (i % 15 == 7) sim_host_kill(gossip_mesh_host(&mesh, host), SIM_STOP_POWER);
        gossip_mesh_run(&mesh, SIM_SECOND + i * 77777);
        if (i % 15 == 10) sim_host_start(gossip_mesh_host(&mesh, (uint32_t)(seed + i - 3) % SIZE));
    }
    gossip_mesh_run(&mesh, 10 * SIM_SECOND);
    ck_assert_ptr_null(sim_failure(mesh.sim));
}

static const char *check(uint64_t defects, uint64_t seed)
{
    struct gossip_process *process = sim_host_process(gossip_mesh_host(&mesh, RECORDED));
    struct gossip_options options = gossip_process_options(process);

    ck_assert_uint_gt(gossip_record_count(record), 100);
    return gossip_record_check(record, &options, defects, defects != 0 ? NULL : gossip_process_core(process), 3, seed);
}

static const uint64_t defects[] = {UINT64_C(1) << GOSSIP_DEFECT_LAST_WORD, UINT64_C(1) << GOSSIP_DEFECT_GAPS_TAKEN};

START_TEST(order_does_not_matter)
{
    unsigned noticed[2] = {0, 0};

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const char *wrong;
        live(seed);
        wrong = check(0, seed);
        ck_assert_msg(wrong == NULL, "seed %u: %s", (unsigned)seed, wrong);
        for (int i = 0; i < 2; i++)
            noticed[i] += check(defects[i], seed) != NULL;
    }
    ck_assert_uint_ge(noticed[0], SEEDS / 2);
    ck_assert_uint_ge(noticed[1], SEEDS / 2);
}
END_TEST

static void set_up(void)
{
    gossip_mesh_init(&mesh);
    record = gossip_record_new();
}

static void tear_down(void)
{
    gossip_mesh_deinit(&mesh);
    gossip_record_free(record);
}

int main(void)
{
    Suite *suite = suite_create("sim_record");
    TCase *tcase = tcase_create("order");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 100);
    tcase_add_test(tcase, order_does_not_matter);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
