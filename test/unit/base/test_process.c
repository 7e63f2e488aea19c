/* What touches the process: asserts, the log, the per-thread slot. */
#include "base/assert.h"
#include "base/error.h"
#include "base/log.h"
#include "base/thread_slot.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(a_true_assertion_is_silent)
{
    int evaluated = 0;

    MESH_ASSERT(++evaluated == 1);
    ck_assert_int_eq(evaluated, 1);
}
END_TEST

START_TEST(a_false_assertion_aborts)
{
    freopen("/dev/null", "w", stderr);
    MESH_ASSERT(1 + 1 == 3);
}
END_TEST

/* Sends stderr into a pipe. Returns its reading end. */
static int capture_stderr(void)
{
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_ge(dup2(fds[1], STDERR_FILENO), 0);
    close(fds[1]);
    return fds[0];
}

static char captured[20000];

static void read_captured(int fd)
{
    ssize_t size = read(fd, captured, sizeof(captured) - 1);

    ck_assert_int_ge(size, 0);
    captured[size] = '\0';
}

START_TEST(a_log_line_is_time_level_and_text)
{
    int fd = capture_stderr(), year, month, day, hour, minute, second, ms, used = 0;

    log_write(LOG_LEVEL_WARN, "disk is slow sync_ms=%d", 120);
    read_captured(fd);
    ck_assert_int_eq(sscanf(captured, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ warn %n", &year, &month, &day, &hour,
                            &minute, &second, &ms, &used),
                     7);
    ck_assert_int_ge(year, 2023);
    ck_assert_str_eq(captured + used, "disk is slow sync_ms=120\n");
    close(fd);
}
END_TEST

START_TEST(a_log_level_silences_what_is_below)
{
    int fd = capture_stderr();

    ck_assert_int_eq(log_get_level(), LOG_LEVEL_INFO);
    log_debug("not this %d", 1);
    log_set_level(LOG_LEVEL_ERROR);
    log_warn("nor this");
    log_error("but this");
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("and this %d", 2);
    read_captured(fd);
    ck_assert_ptr_null(strstr(captured, "not this"));
    ck_assert_ptr_null(strstr(captured, "nor this"));
    ck_assert_ptr_nonnull(strstr(captured, " error but this\n"));
    ck_assert_ptr_nonnull(strstr(captured, " debug and this 2\n"));
    close(fd);
}
END_TEST

START_TEST(a_log_line_stays_one_line)
{
    int fd = capture_stderr();
    static char wide[9000];

    log_info("peer says name=%s", "evil\n2026-01-01T00:00:00.000Z error forged\x1b[2J\x7f");
    read_captured(fd);
    ck_assert_ptr_eq(strchr(captured, '\n'), captured + strlen(captured) - 1);
    ck_assert_ptr_null(strchr(captured, '\x1b'));
    ck_assert_ptr_null(strchr(captured, '\x7f'));

    memset(wide, 'w', sizeof(wide) - 1);
    log_info("%s", wide);
    read_captured(fd);
    ck_assert_uint_le(strlen(captured), 4096);
    ck_assert_uint_ge(strlen(captured), 4000);
    ck_assert_ptr_eq(strchr(captured, '\n'), captured + strlen(captured) - 1);
    close(fd);
}
END_TEST

START_TEST(a_log_line_is_also_written_for_programs)
{
    int fd = capture_stderr();

    log_set_format(LOG_FORMAT_JSON);
    log_warn("disk is slow says=\"%s\"", "a\nb\x1b");
    log_set_format(LOG_FORMAT_LOGFMT);
    log_error("disk is slow sync_ms=%d", 120);
    log_debug("not this");
    read_captured(fd);
    ck_assert_int_eq(strncmp(captured, "{\"time\":\"20", 11), 0);
    ck_assert_ptr_nonnull(strstr(captured, "Z\",\"level\":\"warn\",\"msg\":\"disk is slow\",\"says\":\"a?b?\"}\ntime=20"));
    ck_assert_ptr_nonnull(strstr(captured, "Z level=error msg=\"disk is slow\" sync_ms=120\n"));
    ck_assert_ptr_null(strstr(captured, "not this"));
    close(fd);
}
END_TEST

START_TEST(no_line_is_longer_than_a_pipe_takes_at_once)
{
    static const enum log_format formats[] = {LOG_FORMAT_JSON, LOG_FORMAT_LOGFMT};
    static const char *const texts[] = {"\"", "w", "\xc3\xbc", "\xff", " k=", "\"\" "};
    int fd = capture_stderr();

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        for (size_t j = 0; j < sizeof(texts) / sizeof(texts[0]); j++) {
            char wide[9000];
            size_t size = 0;

            while (size + strlen(texts[j]) < sizeof(wide))
                size += (size_t)snprintf(wide + size, sizeof(wide) - size, "%s", texts[j]);
            log_set_format(formats[i]);
            log_info("%s", wide);
            read_captured(fd);
            ck_assert_uint_le(strlen(captured), 4096);
            ck_assert_uint_ge(strlen(captured), 3900);
            ck_assert_ptr_eq(strchr(captured, '\n'), captured + strlen(captured) - 1);
            if (formats[i] == LOG_FORMAT_JSON) ck_assert_int_eq(strncmp(captured + strlen(captured) - 3, "\"}\n", 3), 0);
        }
    close(fd);
}
END_TEST

START_TEST(a_false_assertion_is_told_as_the_log_is)
{
    int fd = capture_stderr(), status = 0;
    pid_t child;

    log_set_format(LOG_FORMAT_JSON);
    child = fork();
    if (child == 0) assert_failed("a == \"b\"", "some/file.c", 42);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    read_captured(fd);
    ck_assert_ptr_nonnull(strstr(captured, "Z\",\"level\":\"error\",\"msg\":\"bug: assertion failed\",\"expression\":\"a == \\\"b\\\"\",\"file\":\"some/file.c\",\"line\":\"42\"}\n"));
    close(fd);
}
END_TEST

static atomic_int freed;

static void count_and_free(void *object)
{
    atomic_fetch_add(&freed, 1);
    free(object);
}

static struct thread_slot slot = THREAD_SLOT_INIT(count_and_free);

static void *use_slot(void *argument)
{
    int *ret_ok = argument;
    int *object = malloc(sizeof(*object));

    *ret_ok = thread_slot_get(&slot) == NULL && thread_slot_set(&slot, object) == 0 &&
              thread_slot_get(&slot) == object;
    return NULL;
}

START_TEST(a_slot_is_each_threads_own_and_ends_with_it)
{
    pthread_t threads[4];
    int ok[4] = {0}, *object = malloc(sizeof(*object)), *other = malloc(sizeof(*other));

    ck_assert_ptr_null(thread_slot_get(&slot));
    ck_assert_int_eq(thread_slot_set(&slot, NULL), 0); /* nothing to give back yet */
    ck_assert_int_eq(thread_slot_set(&slot, object), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_slot, &ok[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(ok[i]);
    }
    ck_assert_int_eq(freed, 4);
    ck_assert_ptr_eq(thread_slot_get(&slot), object);
    ck_assert_int_eq(thread_slot_set(&slot, object), 0); /* the same again: kept */
    ck_assert_int_eq(freed, 4);
    ck_assert_int_eq(thread_slot_set(&slot, other), 0);
    ck_assert_int_eq(freed, 5);
    thread_slot_deinit(&slot);
    ck_assert_int_eq(freed, 6);
    ck_assert_ptr_null(thread_slot_get(&slot));
    thread_slot_deinit(&slot);                              /* harmless twice */
    ck_assert_int_eq(thread_slot_set(&slot, malloc(1)), 0); /* and usable again */
    thread_slot_deinit(&slot);
}
END_TEST

START_TEST(the_chosen_allocation_fails_and_no_other)
{
    void *volatile got[4]; /* or the compiler, knowing malloc, leaves it out */
    bool failed;

    failing_alloc_arm(3);
    for (int i = 0; i < 4; i++)
        got[i] = malloc(16);
    failed = failing_alloc_disarm();
    ck_assert(failed);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(got[i] == NULL, i == 2);
        free(got[i]);
    }
    failing_alloc_arm(100);
    ck_assert(!failing_alloc_disarm());
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("process");
    TCase *tcase = tcase_create("process");

    tcase_add_test(tcase, a_true_assertion_is_silent);
    tcase_add_test_raise_signal(tcase, a_false_assertion_aborts, SIGABRT);
    tcase_add_test(tcase, a_log_line_is_time_level_and_text);
    tcase_add_test(tcase, a_log_level_silences_what_is_below);
    tcase_add_test(tcase, a_log_line_stays_one_line);
    tcase_add_test(tcase, a_log_line_is_also_written_for_programs);
    tcase_add_test(tcase, no_line_is_longer_than_a_pipe_takes_at_once);
    tcase_add_test(tcase, a_false_assertion_is_told_as_the_log_is);
    tcase_add_test(tcase, a_slot_is_each_threads_own_and_ends_with_it);
    tcase_add_test(tcase, the_chosen_allocation_fails_and_no_other);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
