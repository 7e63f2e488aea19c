/* Memory of long messages: it comes back to who asks next, and to the system when nobody does. */
#include "cmd/broker/runtime/long_memory.h"

#include "base/clock.h"
#include "support/run_suite.h"

#include <check.h>
#include <string.h>

#define MB (1u << 20)

static uint64_t later(void)
{
    return clock_monotonic_ms() + LONG_MEMORY_KEPT_MS + 1000;
}

START_TEST(what_was_given_back_comes_again)
{
    uint8_t *one, *other;

    long_memory_open();
    one = long_memory_take(MB);
    other = long_memory_take(MB);
    ck_assert_ptr_nonnull(one);
    ck_assert_ptr_nonnull(other);
    ck_assert_ptr_ne(one, other);
    memset(one, 1, MB);
    memset(other, 2, MB);
    long_memory_give(one);
    long_memory_give(other);
    ck_assert_ptr_eq(long_memory_take(MB - 100), other); /* the hottest first */
    ck_assert_ptr_eq(long_memory_take(MB / 2 + 1), one);
    long_memory_give(one);
    long_memory_give(other);
    long_memory_close();
}
END_TEST

/* Much longer memory than is asked for is not had: a small message would hold it for as long as it stays. */
START_TEST(a_short_message_does_not_hold_a_long_ones_memory)
{
    uint8_t *bytes, *small;

    long_memory_open();
    bytes = long_memory_take(16 * MB);
    long_memory_give(bytes);
    small = long_memory_take(LONG_MEMORY_MIN);
    ck_assert_uint_lt(long_memory_capacity(small), 2 * LONG_MEMORY_MIN);
    long_memory_give(small);
    long_memory_close();
}
END_TEST

START_TEST(growing_keeps_what_is_there)
{
    uint8_t *bytes, *larger;

    long_memory_open();
    bytes = long_memory_grow(NULL, 0, 100);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, "abc", 3);
    larger = long_memory_grow(bytes, 3, 3 * MB);
    ck_assert_mem_eq(larger, "abc", 3);
    ck_assert_uint_ge(long_memory_capacity(larger), 3 * MB);
    ck_assert_ptr_eq(long_memory_grow(larger, 3, 2 * MB), larger);
    long_memory_give(larger);
    long_memory_give(NULL);
    long_memory_close();
}
END_TEST

START_TEST(it_goes_back_to_the_system_after_a_while)
{
    uint8_t *bytes;

    long_memory_open();
    ck_assert(!long_memory_trim(later()));
    bytes = long_memory_take(MB);
    ck_assert(long_memory_trim(later())); /* it will come back */
    long_memory_give(bytes);
    ck_assert(long_memory_trim(clock_monotonic_ms())); /* somebody may want it at once */
    ck_assert(!long_memory_trim(later()));
    long_memory_close();
}
END_TEST

START_TEST(no_more_is_kept_than_the_limit)
{
    uint8_t *bytes[40];
    size_t again = 0;

    long_memory_open();
    for (size_t i = 0; i < 40; i++)
        bytes[i] = long_memory_take(MB);
    for (size_t i = 0; i < 40; i++)
        long_memory_give(bytes[i]);
    /* Those given back last are there, in their order; all others went. */
    for (size_t i = 0; i < LONG_MEMORY_KEPT_MAX / MB; i++) {
        uint8_t *back = long_memory_take(MB);

        again += back == bytes[39 - i];
        bytes[39 - i] = back;
    }
    ck_assert_uint_eq(again, LONG_MEMORY_KEPT_MAX / MB);
    ck_assert(long_memory_trim(later()));
    for (size_t i = 0; i < LONG_MEMORY_KEPT_MAX / MB; i++)
        long_memory_give(bytes[39 - i]);
    long_memory_close();
    ck_assert(!long_memory_trim(0)); /* nobody would trim it: it is gone */
}
END_TEST

START_TEST(without_anybody_who_trims_nothing_is_kept)
{
    uint8_t *bytes = long_memory_take(MB);

    long_memory_give(bytes);
    ck_assert(!long_memory_trim(0));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("long_memory");
    TCase *tcase = tcase_create("long_memory");

    tcase_add_test(tcase, what_was_given_back_comes_again);
    tcase_add_test(tcase, a_short_message_does_not_hold_a_long_ones_memory);
    tcase_add_test(tcase, growing_keeps_what_is_there);
    tcase_add_test(tcase, it_goes_back_to_the_system_after_a_while);
    tcase_add_test(tcase, no_more_is_kept_than_the_limit);
    tcase_add_test(tcase, without_anybody_who_trims_nothing_is_kept);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
