/* Memory that goes back all at once: aligned, zeroed, bounded, and honest when there is none. */
#include "base/arena.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <stdint.h>
#include <string.h>

static struct arena arena;

static void tear_down(void)
{
    arena_deinit(&arena);
    arena_deinit(&arena); /* empty again: harmless */
}

START_TEST(allocations_are_aligned_zeroed_and_apart)
{
    static const size_t sizes[] = {0, 1, 7, 16, 100, 1000, 5000, 300000, 3};
    uint8_t *blocks[9];

    for (int i = 0; i < 9; i++) {
        blocks[i] = arena_alloc(&arena, sizes[i], 1);
        ck_assert_ptr_nonnull(blocks[i]);
        ck_assert_uint_eq((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
        for (size_t j = 0; j < sizes[i]; j++)
            ck_assert_uint_eq(blocks[i][j], 0);
        if (sizes[i] != 0) memset(blocks[i], i + 1, sizes[i]);
    }
    for (int i = 0; i < 9; i++) {
        for (size_t j = 0; j < sizes[i]; j++)
            ck_assert_uint_eq(blocks[i][j], i + 1);
    }
}
END_TEST

START_TEST(its_size_is_what_it_has_from_the_system)
{
    ck_assert_uint_eq(arena_size(&arena), 0);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 100, 1));
    ck_assert_uint_ge(arena_size(&arena), 100);
    ck_assert_uint_le(arena_size(&arena), 4096);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 1 << 20, 1));
    ck_assert_uint_ge(arena_size(&arena), 100 + (1 << 20));
    arena_deinit(&arena);
    ck_assert_uint_eq(arena_size(&arena), 0);
}
END_TEST

START_TEST(a_product_that_overflows_is_no_memory)
{
    ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX / 2, 3));
    ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX, 1));
}
END_TEST

START_TEST(texts_are_copied)
{
    char name[] = "orders";
    char *copy = arena_strdup(&arena, name), *printed;

    name[0] = 'x';
    ck_assert_str_eq(copy, "orders");
    ck_assert_str_eq(arena_strdup(&arena, NULL), "");
    printed = arena_printf(&arena, "%s/%d", copy, 7);
    ck_assert_str_eq(printed, "orders/7");
}
END_TEST

START_TEST(a_failed_allocation_is_told_and_harms_nothing)
{
    char *before = arena_strdup(&arena, "kept");
    void *failed;

    failing_alloc_arm(1);
    failed = arena_alloc(&arena, 1, 100000);
    ck_assert(failing_alloc_disarm());
    ck_assert_ptr_null(failed);
    ck_assert_str_eq(before, "kept");
    ck_assert_ptr_nonnull(arena_alloc(&arena, 1, 100000));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arena");
    TCase *tcase = tcase_create("arena");

    tcase_add_checked_fixture(tcase, NULL, tear_down);
    tcase_add_test(tcase, allocations_are_aligned_zeroed_and_apart);
    tcase_add_test(tcase, its_size_is_what_it_has_from_the_system);
    tcase_add_test(tcase, a_product_that_overflows_is_no_memory);
    tcase_add_test(tcase, texts_are_copied);
    tcase_add_test(tcase, a_failed_allocation_is_told_and_harms_nothing);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
