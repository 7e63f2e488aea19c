/* What goes by the machine: shards, stores, and the limits that nobody has set. */
#include "cmd/broker/budgets.h"
#include "support/run_suite.h"

#include <check.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static const struct {
    uint64_t memory;
    uint32_t cores, shards;
    uint64_t store, limit; /* of all stores; of requests and answers, and of offsets */
} cases[] = {
    {24 * GIB, 2, 2, GIB, 256 * MIB},            /* as before there were budgets */
    {512 * GIB, 64, 64, 32 * GIB, 256 * MIB},
    {8 * GIB, 2, 2, 8 * GIB / 48 * 2, 256 * MIB},
    {4 * 1024 * GIB, 1000, 256, 128 * GIB, 256 * MIB}, /* more cores than shards may be */
    {2 * GIB, 64, 16, 512 * MIB, 256 * MIB},     /* a pod on a large node */
    {2 * GIB, 4, 4, 2 * GIB / 48 * 4, 256 * MIB},
    {512 * MIB, 2, 2, 64 * MIB, 64 * MIB},
    {128 * MIB, 8, 1, 32 * MIB, 16 * MIB},
    {1, 1, 1, 8 * MIB, 4 * MIB},                 /* nonsense is still a broker */
};

START_TEST(budgets_follow_the_machine)
{
    struct machine_share machine = {.memory_bytes = cases[_i].memory, .cores = cases[_i].cores};
    uint32_t shards = budgets_shard_count(&machine, 256);
    struct settings settings;

    settings_init(&settings);
    budgets_lower(&settings, &machine);
    ck_assert_uint_eq(shards, cases[_i].shards);
    ck_assert_uint_eq(budgets_store_bytes(&settings, &machine, shards), cases[_i].store);
    ck_assert_uint_eq(settings.memory_bytes_max, cases[_i].limit);
    if (cases[_i].memory >= 128 * MIB) {
        ck_assert_uint_eq(settings.groups_cache_bytes_max, cases[_i].limit);
        ck_assert_uint_le(budgets_store_bytes(&settings, &machine, shards) + 2 * cases[_i].limit, cases[_i].memory / 2);
    }
    ck_assert_int_eq(settings.sources[settings_index("memory.bytes.max")], SETTING_DEFAULT);
}
END_TEST

START_TEST(what_is_set_stays)
{
    struct machine_share machine = {.memory_bytes = 512 * MIB, .cores = 2};
    struct settings settings;

    settings_init(&settings);
    ck_assert_int_eq(settings_set(&settings, "memory.bytes.max", "1g", NULL, 0), 0);
    ck_assert_int_eq(settings_set(&settings, "store.memory.bytes.max", "2g", NULL, 0), 0);
    budgets_lower(&settings, &machine);
    ck_assert_uint_eq(settings.memory_bytes_max, GIB);
    ck_assert_uint_eq(settings.groups_cache_bytes_max, 64 * MIB);
    ck_assert_uint_eq(budgets_store_bytes(&settings, &machine, 2), 2 * GIB);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("budgets");
    TCase *tcase = tcase_create("budgets");

    tcase_add_loop_test(tcase, budgets_follow_the_machine, 0, sizeof(cases) / sizeof(cases[0]));
    tcase_add_test(tcase, what_is_set_stays);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
