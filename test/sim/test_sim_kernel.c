/* The kernel's own tests: order, chance, clocks, every fault, streams, deaths between outputs. */
#include "base/bytes.h"
#include "sim/sim_clock.h"
#include "sim/sim_net.h"
#include "sim/sim_queue.h"
#include "sim/toy_world.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <stdlib.h>

static struct sim *sim;

static void set_up(void)
{
    sim = sim_new();
}

static void tear_down(void)
{
    sim_free(sim);
}

static struct sim_host *host_at(uint32_t index)
{
    return sim_host_at(sim, index);
}

static struct toy *toy_at(uint32_t index)
{
    return sim_host_process(host_at(index));
}

/* Five toys, running. */
static void begin(uint64_t seed)
{
    sim_reset(sim, seed, 5);
    for (uint32_t i = 0; i < 5; i++) {
        sim_host_set_program(host_at(i), &toy_program, NULL);
        sim_host_start(host_at(i));
    }
}

static void run_for(uint64_t us)
{
    ck_assert(sim_run_until(sim, sim_now_us(sim) + us));
}

/* ---- parts ---- */

#define QUEUE_EVENTS 5000u

/* Against a list that is searched: events come while others go, near and far, many at equal times, and by limits that give none. */
START_TEST(queue_gives_times_in_order_and_equal_times_in_order_of_arrival)
{
    static const uint64_t ranges_us[] = {1, 3, 70, 5000, SIM_SECOND, 100 * SIM_SECOND, UINT64_C(1) << 40};
    struct sim_queue *queue = calloc(1, sizeof(*queue));
    uint64_t *times = calloc(QUEUE_EVENTS, sizeof(times[0])); /* by event; 0: is not there */
    uint64_t limit_us = 1, time_us = 0;
    struct random random;
    uint32_t next = 1, first = 1, given = 0;

    ck_assert(queue != NULL && times != NULL);
    random_init(&random, 1);
    while (next < QUEUE_EVENTS || first < next) {
        uint32_t expected = SIM_QUEUE_NONE, event;
        for (uint64_t count = random_below(&random, 8); count > 0 && next < QUEUE_EVENTS; count--) {
            times[next] = limit_us + random_below(&random, ranges_us[random_below(&random, 7)]);
            sim_queue_push(queue, times[next], next);
            next++;
        }
        limit_us += random_below(&random, ranges_us[random_below(&random, next < QUEUE_EVENTS ? 5 : 7)]);
        for (uint64_t count = random_below(&random, 8); count > 0; count--) {
            expected = SIM_QUEUE_NONE;
            for (uint32_t i = first; i < next; i++) {
                if (times[i] != 0 && times[i] <= limit_us && (expected == SIM_QUEUE_NONE || times[i] < times[expected])) expected = i;
            }
            event = sim_queue_pop(queue, limit_us, &time_us);
            ck_assert_uint_eq(event, expected);
            if (event == SIM_QUEUE_NONE) break;
            ck_assert_uint_eq(time_us, times[event]);
            times[event] = 0;
            given++;
            while (first < next && times[first] == 0)
                first++;
        }
        if (expected != SIM_QUEUE_NONE) limit_us = time_us; /* as a run that goes on from the last event */
    }
    ck_assert_uint_eq(given, QUEUE_EVENTS - 1);
    ck_assert_uint_eq(sim_queue_pop(queue, UINT64_MAX, &time_us), SIM_QUEUE_NONE);
    sim_queue_push(queue, UINT64_MAX, 1);
    ck_assert_uint_eq(sim_queue_pop(queue, UINT64_MAX - 1, &time_us), SIM_QUEUE_NONE);
    ck_assert_uint_eq(sim_queue_pop(queue, UINT64_MAX, &time_us), 1);
    sim_queue_deinit(queue);
    free(queue);
    free(times);
}
END_TEST

START_TEST(exponential_has_its_mean_and_its_tail)
{
    struct random random;
    uint64_t sum = 0, above = 0;

    random_init(&random, 2);
    for (int i = 0; i < 1000000; i++) {
        uint64_t x = sim_random_exponential(&random, 100000);
        sum += x;
        above += x > 300000;
    }
    ck_assert_uint_ge(sum / 1000000, 99500);
    ck_assert_uint_le(sum / 1000000, 100500);
    ck_assert_uint_ge(above, 49000); /* e^-3 = 4.98 % */
    ck_assert_uint_le(above, 50600);
}
END_TEST

static const int32_t drifts[] = {0, 1, -1, 500, -500, 100000, -100000};

START_TEST(clock_shows_a_local_time_first_when_it_says)
{
    struct sim_clock clock;

    sim_clock_init(&clock, 1000, 77, 0);
    sim_clock_set_drift(&clock, 1000, drifts[_i]);
    for (uint64_t local_us = 78; local_us < 100000000; local_us = local_us * 3 / 2 + 1) {
        uint64_t true_us = sim_clock_true_us(&clock, local_us);
        ck_assert_uint_ge(sim_clock_local_us(&clock, true_us), local_us);
        ck_assert_uint_lt(sim_clock_local_us(&clock, true_us - 1), local_us);
    }
}
END_TEST

/* ---- the network ---- */

START_TEST(same_seed_same_hash_other_seed_another)
{
    uint64_t first;

    begin(7);
    run_for(10 * SIM_SECOND);
    first = sim_event_hash(sim);
    begin(7);
    run_for(10 * SIM_SECOND);
    ck_assert_uint_eq(first, sim_event_hash(sim));
    begin(8);
    run_for(10 * SIM_SECOND);
    ck_assert_uint_ne(first, sim_event_hash(sim));
}
END_TEST

START_TEST(greetings_arrive)
{
    begin(1);
    run_for(10 * SIM_SECOND + SIM_SECOND / 20);
    for (uint32_t i = 0; i < 5; i++) {
        ck_assert_uint_eq(toy_at(i)->greetings, 4 * 100);
        ck_assert_uint_eq(toy_at(i)->timers, 100);
        ck_assert_uint_eq(toy_at(i)->boot, 1);
        ck_assert_uint_gt(toy_at(i)->bytes_in_order, 50000);
        ck_assert_uint_eq(toy_at(i)->bytes_in_order, toy_at(i)->expected);
    }
}
END_TEST

/* One fault for ten seconds, and the counter that shows it. */
static const struct {
    enum sim_fault_kind kind;
    uint64_t value;
    size_t counter; /* in sim_stats */
    uint64_t low, high;
} fault_cases[] = {
#define COUNTER(name) offsetof(struct sim_stats, name)
    {SIM_FAULT_LOSS, 100000, COUNTER(lost), 150, 250},
    {SIM_FAULT_DUPLICATE, 100000, COUNTER(duplicated), 150, 250},
    {SIM_FAULT_REPLAY, 100000, COUNTER(replayed), 150, 250},
    {SIM_FAULT_REORDER, 100000, COUNTER(reordered), 150, 250},
    {SIM_FAULT_FLIP, 100000, COUNTER(flipped), 150, 300},
    {SIM_FAULT_UDP_CUT, 0, COUNTER(cut), 780, 800},
    {SIM_FAULT_TCP_CUT, 0, COUNTER(retransmissions), 8, 100},
    {SIM_FAULT_PARTITION, 1, COUNTER(cut), 400, 1300},
    {SIM_FAULT_ONE_WAY, 1, COUNTER(cut), 200, 700},
    {SIM_FAULT_LINK, 0, COUNTER(cut), 190, 200},
    {SIM_FAULT_ISOLATE, 0, COUNTER(cut), 780, 800},
    {SIM_FAULT_CHAIN, 0, COUNTER(cut), 1180, 1200},
    {SIM_FAULT_MTU, 90, COUNTER(too_large), 98, 100},
    {SIM_FAULT_STREAM_RESET, 0, COUNTER(resets), 2, 2},
    {SIM_FAULT_KILL, 0, COUNTER(kills), 1, 1},
    {SIM_FAULT_KILL, 23, COUNTER(boundary_kills), 1, 1},
    {SIM_FAULT_POWER, 0, COUNTER(power_cuts), 1, 1},
    {SIM_FAULT_PAUSE, 0, COUNTER(deferred), 390, 600},
    {SIM_FAULT_SUSPEND, 0, COUNTER(unowned), 390, 400},
    {SIM_FAULT_SLEEP, 0, COUNTER(unowned), 390, 400},
    {SIM_FAULT_BLOCK, 0, COUNTER(deferred), 390, 600},
    {SIM_FAULT_READDRESS, 0, COUNTER(starts), 6, 6},
    {SIM_FAULT_SWAP, 0, COUNTER(starts), 7, 7},
};

START_TEST(fault_happens_and_ends)
{
    struct sim_faults *faults = sim_faults_new();
    struct sim_fault fault = {.at_us = SIM_SECOND / 20 * 3,
                              .for_us = 10 * SIM_SECOND,
                              .kind = fault_cases[_i].kind,
                              .a = 1,
                              .b = 2,
                              .value = fault_cases[_i].value};
    uint64_t count, later;

    if (fault.kind == SIM_FAULT_KILL) fault.b = SIM_FAULT_DISK_OLD;
    begin(3);
    sim_faults_schedule(faults, sim, &fault, NULL, 1, NULL, NULL);
    run_for(SIM_SECOND / 10 * 102 + SIM_SECOND / 20);
    count = *(const uint64_t *)(const void *)((const char *)sim_get_stats(sim) + fault_cases[_i].counter);
    ck_assert_msg(count >= fault_cases[_i].low && count <= fault_cases[_i].high, "%s: %llu", sim_fault_name(fault.kind),
                  (unsigned long long)count);
    run_for(60 * SIM_SECOND);
    count = *(const uint64_t *)(const void *)((const char *)sim_get_stats(sim) + fault_cases[_i].counter);
    run_for(20 * SIM_SECOND);
    later = *(const uint64_t *)(const void *)((const char *)sim_get_stats(sim) + fault_cases[_i].counter);
    if (fault.kind != SIM_FAULT_READDRESS) ck_assert_uint_eq(count, later);
    sim_faults_free(faults);
}
END_TEST

START_TEST(clogged_path_delivers_all_at_once)
{
    begin(1);
    run_for(SIM_SECOND / 20);
    sim_net_clog(sim, 0, 1, 3 * SIM_SECOND);
    run_for(SIM_SECOND * 2);
    ck_assert_uint_eq(toy_at(1)->heard_boots[0], 0);
    run_for(SIM_SECOND);
    ck_assert_uint_eq(toy_at(1)->heard_boots[0], 1);
    ck_assert_uint_eq(toy_at(1)->greetings, 4 * 30);
}
END_TEST

/* ---- processes ---- */

START_TEST(process_dies_between_any_two_outputs)
{
    /* A start is: create, write, sync, sync the directory. Then come greetings. */
    for (uint64_t nth = 1; nth <= 9; nth++) {
        uint64_t greeted = 0;
        sim_reset(sim, 11, 5);
        for (uint32_t i = 1; i < 5; i++) {
            sim_host_set_program(host_at(i), &toy_program, NULL);
            sim_host_start(host_at(i));
        }
        sim_host_set_program(host_at(0), &toy_program, NULL);
        sim_host_kill_at_output(host_at(0), nth, SIM_STOP_KILL);
        sim_host_start(host_at(0));
        run_for(SIM_SECOND / 20 * 3);
        for (uint32_t i = 1; i < 5; i++)
            greeted += toy_at(i)->heard_boots[0] != 0;
        ck_assert_uint_eq(greeted, nth > 5 ? (nth - 5 > 4 ? 4 : nth - 5) : 0);
        ck_assert(!sim_host_is_running(host_at(0)));
    }
}
END_TEST

START_TEST(restart_finds_its_disk_old_wiped_or_restored)
{
    begin(5);
    run_for(SIM_SECOND);
    sim_host_back_up_disk(host_at(0)); /* boot 1 */
    for (uint32_t boot = 2; boot <= 4; boot++) {
        sim_host_kill(host_at(0), boot % 2 == 0 ? SIM_STOP_KILL : SIM_STOP_POWER);
        sim_host_start(host_at(0));
        ck_assert_uint_eq(toy_at(0)->boot, boot);
    }
    sim_host_kill(host_at(0), SIM_STOP_KILL);
    ck_assert(sim_host_restore_disk(host_at(0)));
    sim_host_start(host_at(0));
    ck_assert_uint_eq(toy_at(0)->boot, 2);
    sim_host_kill(host_at(0), SIM_STOP_KILL);
    sim_host_wipe_disk(host_at(0));
    sim_host_start(host_at(0));
    ck_assert_uint_eq(toy_at(0)->boot, 1);
}
END_TEST

START_TEST(paused_process_hears_everything_late)
{
    begin(6);
    run_for(SIM_SECOND + SIM_SECOND / 20);
    sim_host_pause(host_at(0));
    run_for(3 * SIM_SECOND);
    ck_assert_uint_eq(toy_at(0)->greetings, 40);
    ck_assert_uint_eq(toy_at(0)->timers, 10);
    sim_host_resume(host_at(0));
    run_for(1);
    ck_assert_uint_eq(toy_at(0)->greetings, 160);
    ck_assert_uint_eq(toy_at(0)->timers, 11);
    ck_assert_uint_eq(toy_at(0)->bytes_in_order, toy_at(0)->expected);
}
END_TEST

START_TEST(suspended_host_hears_nothing_and_its_clock_stands)
{
    uint64_t local_us;

    begin(6);
    run_for(SIM_SECOND + SIM_SECOND / 20);
    local_us = sim_host_now_us(host_at(0));
    sim_host_suspend(host_at(0));
    run_for(3 * SIM_SECOND);
    ck_assert_uint_eq(sim_host_now_us(host_at(0)), local_us);
    sim_host_wake(host_at(0));
    run_for(SIM_SECOND);
    ck_assert_uint_eq(sim_host_now_us(host_at(0)), local_us + SIM_SECOND);
    ck_assert_uint_eq(toy_at(0)->greetings, 80);
    ck_assert_uint_eq(toy_at(0)->timers, 20);
    run_for(10 * SIM_SECOND);
    ck_assert_uint_eq(toy_at(0)->bytes_in_order, toy_at(0)->expected);
}
END_TEST

/* Each kind ends by itself, whichever began first. */
START_TEST(sleeping_host_hears_nothing_and_its_clock_goes_on)
{
    uint64_t local_us;

    begin(6);
    run_for(SIM_SECOND + SIM_SECOND / 20);
    local_us = sim_host_now_us(host_at(0));
    sim_host_sleep(host_at(0));
    run_for(SIM_SECOND);
    sim_host_suspend(host_at(0));
    run_for(SIM_SECOND);
    ck_assert_uint_eq(sim_host_now_us(host_at(0)), local_us + SIM_SECOND);
    sim_host_wake_up(host_at(0));
    run_for(SIM_SECOND);
    ck_assert_uint_eq(sim_host_now_us(host_at(0)), local_us + SIM_SECOND);
    ck_assert_uint_eq(toy_at(0)->timers, 10);
    ck_assert_uint_eq(toy_at(0)->greetings, 40);
    sim_host_wake(host_at(0));
    run_for(SIM_SECOND);
    ck_assert_uint_eq(sim_host_now_us(host_at(0)), local_us + 2 * SIM_SECOND);
    ck_assert_uint_eq(toy_at(0)->greetings, 80);
    run_for(10 * SIM_SECOND);
    ck_assert_uint_eq(toy_at(0)->bytes_in_order, toy_at(0)->expected);
}
END_TEST

START_TEST(drifting_clock_fires_its_timers_early)
{
    begin(6);
    sim_host_set_drift(host_at(0), 100000);
    run_for(100 * SIM_SECOND + SIM_SECOND / 20);
    ck_assert_uint_eq(toy_at(0)->timers, 1100);
    ck_assert_uint_eq(toy_at(1)->timers, 1000);
}
END_TEST

/* ---- streams ---- */

START_TEST(stream_bytes_stay_in_order_under_every_fault)
{
    struct sim_net_faults *rates;

    begin(9);
    rates = sim_net_faults(sim);
    rates->loss_ppm = 200000;
    rates->delay_us = 50000;
    for (int i = 0; i < 60; i++) {
        if (i % 10 == 3) sim_host_pause(host_at(2));
        if (i % 10 == 6) sim_host_resume(host_at(2));
        if (i % 10 == 4) sim_host_block_io(host_at(1));
        if (i % 10 == 5) sim_host_unblock_io(host_at(1));
        if (i % 20 == 8) sim_host_suspend(host_at(3));
        if (i % 20 == 9) sim_host_wake(host_at(3));
        run_for(SIM_SECOND);
    }
    rates->loss_ppm = 0;
    run_for(20 * SIM_SECOND);
    for (uint32_t i = 0; i < 5; i++) {
        ck_assert_uint_gt(toy_at(i)->expected, 10000);
        ck_assert_uint_eq(toy_at(i)->bytes_in_order, toy_at(i)->expected);
    }
}
END_TEST

START_TEST(killed_process_is_noticed_at_once_and_refuses)
{
    begin(4);
    run_for(SIM_SECOND);
    sim_host_kill(host_at(1), SIM_STOP_KILL);
    run_for(SIM_SECOND / 20);
    ck_assert_uint_eq(toy_at(0)->resets + toy_at(0)->closed, 1); /* ours to it */
    ck_assert_uint_eq(toy_at(2)->resets + toy_at(2)->closed, 1); /* its to us */
    run_for(SIM_SECOND);
    ck_assert_uint_ge(toy_at(0)->refused, 5);
    sim_host_start(host_at(1));
    run_for(SIM_SECOND);
    ck_assert_uint_ne(toy_at(0)->stream, 0);
}
END_TEST

START_TEST(dead_host_leaves_half_open_streams)
{
    begin(4);
    run_for(SIM_SECOND);
    sim_host_kill(host_at(1), SIM_STOP_POWER);
    run_for(5 * SIM_SECOND);
    ck_assert_uint_eq(toy_at(0)->resets + toy_at(0)->closed + toy_at(0)->timeouts, 0);
    run_for(10 * SIM_SECOND);
    ck_assert_uint_eq(toy_at(0)->timeouts, 1);    /* it kept writing */
    ck_assert_uint_ge(toy_at(0)->unreachable, 1); /* then dialled */
    ck_assert_uint_eq(toy_at(2)->closed + toy_at(2)->resets + toy_at(2)->timeouts, 0); /* only reads: never knows */
}
END_TEST

START_TEST(restarted_host_resets_streams_of_its_earlier_life)
{
    begin(4);
    run_for(SIM_SECOND);
    sim_host_kill(host_at(1), SIM_STOP_POWER);
    sim_host_start(host_at(1));
    run_for(SIM_SECOND);
    ck_assert_uint_eq(toy_at(0)->resets, 1);
    ck_assert_uint_ne(toy_at(0)->stream, 0);
}
END_TEST

START_TEST(writer_waits_for_a_slow_reader)
{
    uint8_t bytes[4096] = {0};
    size_t taken = 0, more;

    begin(4);
    run_for(SIM_SECOND);
    sim_host_pause(host_at(1));
    while ((more = sim_stream_write(host_at(0), toy_at(0)->stream, slice_of(bytes, sizeof(bytes)))) > 0)
        taken += more;
    ck_assert_uint_gt(taken, 200000);
    ck_assert_uint_lt(taken, 300000);
    run_for(30 * SIM_SECOND);
    ck_assert_uint_eq(sim_stream_write(host_at(0), toy_at(0)->stream, slice_of(bytes, 1)), 0);
    sim_host_resume(host_at(1));
    run_for(SIM_SECOND);
    ck_assert_uint_eq(sim_stream_write(host_at(0), toy_at(0)->stream, slice_of(bytes, 1)), 1);
}
END_TEST

START_TEST(address_leads_to_who_has_it_now)
{
    begin(4);
    run_for(SIM_SECOND);
    sim_host_kill(host_at(1), SIM_STOP_POWER);
    sim_host_kill(host_at(2), SIM_STOP_POWER);
    sim_host_take_address(host_at(2), 1);
    sim_host_start(host_at(2));
    run_for(SIM_SECOND);
    ck_assert_uint_eq(toy_at(0)->resets, 1); /* it wrote to somebody else */
    ck_assert_uint_ne(toy_at(2)->inbound, 0);
}
END_TEST

/* ---- runs ---- */

START_TEST(planted_bug_is_found_and_shrunk_to_what_it_needs)
{
    struct sim_runner *runner = sim_runner_new(&toy_world);
    struct sim_plan *plan = calloc(1, sizeof(*plan));
    struct sim_result result, again;
    uint64_t seed = 0;
    bool has_old = false, has_restart = false;

    do {
        sim_plan_draw(plan, ++seed, &toy_world.limits);
        sim_runner_run(runner, plan, &result);
        ck_assert_uint_lt(seed, 300);
    } while (result.failure == NULL || plan->fault_count < 20);
    ck_assert_str_eq(result.failure, "T1 boots do not go back");
    sim_shrink(runner, plan, result.failure, 1000);
    ck_assert_uint_le(sim_plan_kept(plan), 3);
    for (size_t i = 0; i < plan->fault_count; i++) {
        if (!plan->keep[i]) continue;
        has_restart = has_restart || plan->faults[i].kind == SIM_FAULT_KILL || plan->faults[i].kind == SIM_FAULT_POWER;
        has_old = true;
    }
    ck_assert(has_restart && has_old);
    sim_runner_run(runner, plan, &result);
    sim_runner_run(runner, plan, &again);
    ck_assert_uint_eq(result.hash, again.hash);
    ck_assert_str_eq(result.failure, "T1 boots do not go back");
    free(plan);
    sim_runner_free(runner);
}
END_TEST

START_TEST(every_seed_runs_the_same_twice)
{
    struct sim_runner *runner = sim_runner_new(&toy_world_correct), *other = sim_runner_new(&toy_world_correct);
    struct sim_plan *plan = calloc(1, sizeof(*plan));
    struct sim_result result, again;

    for (uint64_t seed = 1; seed <= 30; seed++) {
        sim_plan_draw(plan, seed, &toy_world_correct.limits);
        sim_runner_run(runner, plan, &result);
        ck_assert_msg(result.failure == NULL, "%s: %s", result.failure, result.text);
        sim_runner_run(seed % 2 == 0 ? runner : other, plan, &again);
        ck_assert_uint_eq(result.hash, again.hash);
    }
    free(plan);
    sim_runner_free(runner);
    sim_runner_free(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sim_kernel");
    TCase *parts = tcase_create("parts"), *runs = tcase_create("runs");

    tcase_add_checked_fixture(parts, set_up, tear_down);
    tcase_add_test(parts, queue_gives_times_in_order_and_equal_times_in_order_of_arrival);
    tcase_add_test(parts, exponential_has_its_mean_and_its_tail);
    tcase_add_loop_test(parts, clock_shows_a_local_time_first_when_it_says, 0, sizeof(drifts) / sizeof(drifts[0]));
    tcase_add_test(parts, same_seed_same_hash_other_seed_another);
    tcase_add_test(parts, greetings_arrive);
    tcase_add_loop_test(parts, fault_happens_and_ends, 0, sizeof(fault_cases) / sizeof(fault_cases[0]));
    tcase_add_test(parts, clogged_path_delivers_all_at_once);
    tcase_add_test(parts, process_dies_between_any_two_outputs);
    tcase_add_test(parts, restart_finds_its_disk_old_wiped_or_restored);
    tcase_add_test(parts, paused_process_hears_everything_late);
    tcase_add_test(parts, suspended_host_hears_nothing_and_its_clock_stands);
    tcase_add_test(parts, sleeping_host_hears_nothing_and_its_clock_goes_on);
    tcase_add_test(parts, drifting_clock_fires_its_timers_early);
    tcase_add_test(parts, stream_bytes_stay_in_order_under_every_fault);
    tcase_add_test(parts, killed_process_is_noticed_at_once_and_refuses);
    tcase_add_test(parts, dead_host_leaves_half_open_streams);
    tcase_add_test(parts, restarted_host_resets_streams_of_its_earlier_life);
    tcase_add_test(parts, writer_waits_for_a_slow_reader);
    tcase_add_test(parts, address_leads_to_who_has_it_now);
    suite_add_tcase(suite, parts);
    tcase_set_timeout(runs, 100);
    tcase_add_test(runs, planted_bug_is_found_and_shrunk_to_what_it_needs);
    tcase_add_test(runs, every_seed_runs_the_same_twice);
    suite_add_tcase(suite, runs);
    return run_suite(suite);
}
