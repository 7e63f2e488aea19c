/* What control groups leave of the machine, out of trees made for it. */
#include "base/machine.h"
#include "support/run_suite.h"

#include <check.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[sizeof("/tmp/machine-XXXXXX")];
static struct machine_share whole;

static int delete_one(const char *path, const struct stat *facts, int kind, struct FTW *place)
{
    (void)facts, (void)kind, (void)place;
    return remove(path);
}

static void setup(void)
{
    snprintf(root, sizeof(root), "/tmp/machine-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    machine_share_find(root, &whole); /* an empty tree limits nothing */
    ck_assert(!whole.is_memory_limited && !whole.is_cores_limited);
    ck_assert_uint_gt(whole.memory_bytes, 1u << 20);
    ck_assert_uint_ge(whole.cores, 1);
}

static void teardown(void)
{
    ck_assert_int_eq(nftw(root, delete_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Makes a file, and the folders on the way. */
static void put(const char *name, const char *text)
{
    char path[PATH_MAX];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static struct machine_share find(void)
{
    struct machine_share share;

    machine_share_find(root, &share);
    return share;
}

START_TEST(a_container_sees_its_own_group_as_the_whole_tree)
{
    put("proc/self/cgroup", "0::/\n");
    put("sys/fs/cgroup/memory.max", "1048576\n");
    put("sys/fs/cgroup/cpu.max", "max 100000\n");
    ck_assert_uint_eq(find().memory_bytes, 1u << 20);
    ck_assert(find().is_memory_limited && !find().is_cores_limited);
    ck_assert_uint_eq(find().cores, whole.cores);
}
END_TEST

START_TEST(the_tightest_of_the_groups_around_it_holds)
{
    put("proc/self/cgroup", "1:name=systemd:/elsewhere\n0::/system.slice/mesh.service\n");
    put("sys/fs/cgroup/system.slice/memory.max", "2097152\n");
    put("sys/fs/cgroup/system.slice/mesh.service/memory.max", "max\n");
    ck_assert_uint_eq(find().memory_bytes, 2u << 20);
    put("sys/fs/cgroup/system.slice/mesh.service/memory.max", "1048576\n");
    ck_assert_uint_eq(find().memory_bytes, 1u << 20);
    put("sys/fs/cgroup/elsewhere/memory.max", "4096\n"); /* not its own */
    ck_assert_uint_eq(find().memory_bytes, 1u << 20);
}
END_TEST

START_TEST(a_part_of_a_core_is_a_core)
{
    put("proc/self/cgroup", "0::/\n");
    put("sys/fs/cgroup/cpu.max", "25000 100000\n");
    ck_assert_uint_eq(find().cores, 1);
    put("sys/fs/cgroup/cpu.max", "100000 100000\n");
    ck_assert_uint_eq(find().cores, 1);
    put("sys/fs/cgroup/cpu.max", "99999999999 100000\n");
    ck_assert(!find().is_cores_limited);
}
END_TEST

START_TEST(nonsense_limits_nothing)
{
    static const char *const memory[] = {"", "\n", "max", "-", "0", "-1", "many", "99999999999999999999999"};
    static const char *const cores[] = {"", "\n", "max", "-", "5", "0 0", "0 100000", "5 0", "many 100000", "-1 1", "max max max"};

    put("proc/self/cgroup", "0::/\n");
    for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++) {
        put("sys/fs/cgroup/memory.max", memory[i]);
        ck_assert(!find().is_memory_limited);
    }
    for (size_t i = 0; i < sizeof(cores) / sizeof(cores[0]); i++) {
        put("sys/fs/cgroup/cpu.max", cores[i]);
        ck_assert(!find().is_cores_limited);
    }
}
END_TEST

START_TEST(a_group_outside_of_what_is_seen_is_limited_by_the_root)
{
    put("proc/self/cgroup", "0::/../../outside\n");
    put("sys/fs/cgroup/memory.max", "1048576\n");
    put("sys/outside/memory.max", "4096\n");
    ck_assert_uint_eq(find().memory_bytes, 1u << 20);
    put("proc/self/cgroup", "nothing of the kind");
    ck_assert_uint_eq(find().memory_bytes, 1u << 20);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("machine");
    TCase *tcase = tcase_create("control groups");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_container_sees_its_own_group_as_the_whole_tree);
    tcase_add_test(tcase, the_tightest_of_the_groups_around_it_holds);
    tcase_add_test(tcase, a_part_of_a_core_is_a_core);
    tcase_add_test(tcase, nonsense_limits_nothing);
    tcase_add_test(tcase, a_group_outside_of_what_is_seen_is_limited_by_the_root);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
