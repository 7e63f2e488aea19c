/* Which requests are worth a line, how many lines there are, and what names a request. */
#include "cmd/broker/operate/request_log.h"

#include "base/error.h"
#include "base/log.h"
#include "support/run_suite.h"
#include "wire/frame.h"

#include <check.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    uint64_t slow_ms, took_ms, patience_ms;
    int error;
    bool is_wanted;
} cases[] = {
    {1000, 999, 0, 0, false},
    {1000, 1000, 0, 0, true},
    {1000, 31000, 30000, 0, true}, /* a long poll that took a second too long */
    {1000, 30999, 30000, 0, false},
    {1000, 5, 30000, 0, false},
    {1000, UINT64_MAX - 1, REQUEST_LOG_PATIENCE, 0, false},
    {1000, 0, 0, MESH_EFULL, true},
    {1000, 0, REQUEST_LOG_PATIENCE, MESH_EUNREACHABLE, true},
    {1000, 0, 0, MESH_ENOT_LEADER, false}, /* the client goes elsewhere */
    {1000, 0, 0, MESH_EAGAIN, false},
    {1000, 0, 0, MESH_EUNKNOWN_TOPIC, false},
    {0, 99999, 0, 0, false},
    {0, 0, 0, MESH_EIO, false},
};

START_TEST(slow_ones_and_those_that_failed_for_a_reason_are_wanted)
{
    struct settings settings;

    settings_init(&settings);
    settings.requests_slow_ms = cases[_i].slow_ms;
    ck_assert(request_log_wants(&settings, cases[_i].took_ms, cases[_i].patience_ms, cases[_i].error) == cases[_i].is_wanted);
}
END_TEST

START_TEST(a_second_has_so_many_lines)
{
    struct request_log log = {0};
    unsigned lines = 0;

    log_set_level(LOG_LEVEL_ERROR);
    for (unsigned ms = 5000; ms < 6000; ms += 10)
        lines += request_log_may(&log, ms);
    ck_assert_uint_eq(lines, REQUEST_LOG_LINES);
    ck_assert_uint_eq(log.passed_over, 100 - REQUEST_LOG_LINES);
    ck_assert(request_log_may(&log, 6000));
    ck_assert_uint_eq(log.passed_over, 0);
}
END_TEST

START_TEST(an_id_names_broker_and_number)
{
    const struct uuid entry = {{0x5f, 0x1c, 0x02, 0xab, 1, 2, 3}};
    char text[REQUEST_LOG_ID_SIZE];

    ck_assert_str_eq(request_log_id(&entry, 42, text), "5f1c02ab-0000002a");
    ck_assert_str_eq(request_log_id(&entry, UINT32_MAX, text), "5f1c02ab-ffffffff");
    ck_assert_str_eq(request_log_op(FRAME_OP_PRODUCE), "produce");
    ck_assert_str_eq(request_log_op(FRAME_OP_GROUP_COMMIT), "group");
    ck_assert_str_eq(request_log_op(9999), "other");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("request log");
    TCase *tcase = tcase_create("request log");

    tcase_add_loop_test(tcase, slow_ones_and_those_that_failed_for_a_reason_are_wanted, 0, COUNT_OF(cases));
    tcase_add_test(tcase, a_second_has_so_many_lines);
    tcase_add_test(tcase, an_id_names_broker_and_number);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
