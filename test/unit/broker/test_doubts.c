/* Whose word about damaged records is followed up, and when. */
#include "cmd/broker/ops/doubts.h"

#include "support/run_suite.h"

#include <check.h>
#include <string.h>

static struct doubts doubts;

static void setup(void)
{
    memset(&doubts, 0, sizeof(doubts));
}

/* The offset tells whose word it is. */
static bool say(uint64_t address, uint64_t connection, uint64_t offset)
{
    return doubts_hear(&doubts, &(struct doubt_source){address, connection}, &(struct doubt){.partition = 3, .offset = offset});
}

static uint64_t follow(uint64_t now_ms)
{
    struct doubt doubt;

    return doubts_next(&doubts, now_ms, &doubt) ? doubt.offset : UINT64_MAX;
}

START_TEST(one_word_in_ten_seconds_is_followed)
{
    uint64_t followed = 0;

    ck_assert_uint_eq(doubts_due_ms(&doubts), UINT64_MAX);
    for (uint64_t now_ms = 500; now_ms < 100500; now_ms += 100) {
        (void)say(1, now_ms / 700, now_ms);
        ck_assert_uint_le(doubts_due_ms(&doubts), now_ms + DOUBTS_PAUSE_MS);
        followed += follow(now_ms) != UINT64_MAX;
        ck_assert_uint_eq(follow(now_ms), UINT64_MAX);
    }
    ck_assert_uint_eq(followed, 10);
}
END_TEST

START_TEST(a_word_waits_for_its_turn_and_is_said_once)
{
    ck_assert(say(1, 1, 10));
    ck_assert_uint_eq(doubts_due_ms(&doubts), 0);
    ck_assert_uint_eq(follow(1000), 10);
    ck_assert_uint_eq(doubts_due_ms(&doubts), UINT64_MAX);
    ck_assert(say(1, 1, 20));
    ck_assert(!say(1, 1, 30));
    ck_assert_uint_eq(doubts_due_ms(&doubts), 11000);
    ck_assert_uint_eq(follow(10999), UINT64_MAX);
    ck_assert_uint_eq(follow(11000), 20);
    ck_assert_uint_eq(follow(99000), UINT64_MAX);
    ck_assert(say(1, 1, 40));
    ck_assert_uint_eq(follow(99000), 40);
}
END_TEST

/* One that says it all the time, before anybody else each time, takes every second turn. */
START_TEST(who_doubts_all_the_time_delays_others_by_one_turn)
{
    static const uint64_t address_of_honest[] = {1, 2}; /* the liar's, and another */
    uint64_t honest = 0;

    for (uint64_t now_ms = 1; now_ms < 40 * DOUBTS_PAUSE_MS; now_ms += DOUBTS_PAUSE_MS) {
        for (uint64_t i = 0; i < 100; i++)
            (void)say(1, 1, 1);
        (void)say(address_of_honest[_i], 2, 7);
        honest += follow(now_ms) == 7;
    }
    ck_assert_uint_eq(honest, 20);
}
END_TEST

/* A new connection for each lie: by its address it has had its turn. */
START_TEST(many_connections_of_one_address_have_one_turn_among_them)
{
    uint64_t connection = 1, honest = 0;

    for (uint64_t now_ms = 1; now_ms < 40 * DOUBTS_PAUSE_MS; now_ms += DOUBTS_PAUSE_MS) {
        for (uint64_t i = 0; i < 3 * DOUBTERS_MAX; i++)
            (void)say(1, connection++, 1);
        (void)say(2, 1, 7);
        honest += follow(now_ms) == 7;
    }
    ck_assert_uint_ge(honest, 19);
}
END_TEST

START_TEST(the_table_has_room_for_an_address_with_fewer_connections)
{
    for (uint64_t i = 0; i < DOUBTERS_MAX; i++)
        ck_assert(say(1, i, i));
    ck_assert(!say(1, DOUBTERS_MAX, 99));
    for (uint64_t i = 0; i < DOUBTERS_MAX / 2; i++)
        ck_assert(say(100 + i, 0, 100 + i));
    for (uint64_t turn = 0; turn < DOUBTERS_MAX / 2 + 1; turn++) { /* one of the first address, and all the others */
        uint64_t offset = follow(1 + turn * DOUBTS_PAUSE_MS);
        ck_assert_uint_eq(offset, turn == 0 ? 0 : 99 + turn);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("doubts");
    TCase *tcase = tcase_create("doubts");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, one_word_in_ten_seconds_is_followed);
    tcase_add_test(tcase, a_word_waits_for_its_turn_and_is_said_once);
    tcase_add_loop_test(tcase, who_doubts_all_the_time_delays_others_by_one_turn, 0, 2);
    tcase_add_test(tcase, many_connections_of_one_address_have_one_turn_among_them);
    tcase_add_test(tcase, the_table_has_room_for_an_address_with_fewer_connections);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
