/* Bringing ranges of files into the page cache. */
#include "base/page_cache.h"
#include "support/run_suite.h"

#include <check.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define FILE_BYTES ((size_t)(3u << 20) + 4711)
#define ROUNDS     100 /* memory may be taken from us, or not given back when we ask for it */

static int file;

static void setup(void)
{
    char path[] = "./page_cache.XXXXXX";
    uint8_t *bytes = malloc(FILE_BYTES);

    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < FILE_BYTES; i++)
        bytes[i] = (uint8_t)(i * 7);
    file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(write(file, bytes, FILE_BYTES), (ssize_t)FILE_BYTES);
    ck_assert_int_eq(fdatasync(file), 0);
    free(bytes);
}

static void teardown(void)
{
    close(file);
}

/* False: this file system keeps files in memory, and there is nothing to be seen. */
static bool drop(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        ck_assert_int_eq(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
        if (!page_cache_has(file, 0, FILE_BYTES)) return true;
    }
    return false;
}

static bool comes_by_loading(uint64_t position, size_t size)
{
    for (int i = 0; i < ROUNDS; i++) {
        if (!drop()) return true;
        page_cache_load(file, position, size);
        if (page_cache_has(file, position, size)) return true;
    }
    return false;
}

static int count_open(void)
{
    int count = 0;

    for (int fd = 0; fd < 64; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

START_TEST(a_range_is_there_when_it_was_loaded)
{
    int before = count_open();

    ck_assert(comes_by_loading(0, FILE_BYTES)); /* more than one pipe holds */
    ck_assert(comes_by_loading((1u << 20) + 123, 2000000));
    ck_assert(comes_by_loading(FILE_BYTES - 1, 1));
    page_cache_load(file, FILE_BYTES - 1, 100); /* it ends with the file */
    page_cache_load(file, FILE_BYTES + 4096, 100);
    page_cache_load(file, 0, 0);
    page_cache_load(-1, 0, 100); /* what cannot be read is left */
    ck_assert_int_eq(count_open(), before);
}
END_TEST

/* One after the other is left: for the device, for the pipe's ends. Loading goes on without, and closes what it has. */
START_TEST(who_has_no_descriptors_left_loads_too)
{
    struct rlimit saved, none;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &saved), 0);
    for (rlim_t left = 0; left < 4; left++) {
        int before = count_open();

        none = (struct rlimit){(rlim_t)file + 1 + left, saved.rlim_max};
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
        ck_assert(comes_by_loading(0, FILE_BYTES));
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &saved), 0);
        ck_assert_int_eq(count_open(), before);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page cache");
    TCase *tcase = tcase_create("loading");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_range_is_there_when_it_was_loaded);
    tcase_add_test(tcase, who_has_no_descriptors_left_loads_too);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
