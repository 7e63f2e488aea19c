/* Two replicas' committed records are compared by digests: what differs is found in whatever way their batches lie and digests end, nothing that
 * differs passes for equal, and there is always an end. */
#include "cmd/broker/replicas/compare_plan.h"

#include "base/error.h"
#include "base/random.h"
#include "support/run_suite.h"

#include <check.h>
#include <string.h>

#define BATCHES_MAX 400
#define PASS_OVER   8    /* as compare.c does */
#define STEPS_MAX   4000 /* of one comparison of everything */

/* One replica: batches in order, each with so many records and bytes. */
struct log {
    struct batch {
        uint64_t base, end, bytes;
        uint32_t content;
    } at[BATCHES_MAX];
    size_t count;
    size_t batches_max; /* of one digest: as views of a log are limited */
};

struct digest {
    int error;
    uint64_t next_offset, bytes;
    uint32_t contents;
};

static struct digest digest_of(const struct log *log, uint64_t from, uint64_t to, uint64_t bytes_max)
{
    struct digest digest = {.error = MESH_EOFFSET_OUT_OF_RANGE, .next_offset = from};
    size_t taken = 0;

    for (size_t i = 0; i < log->count && taken < log->batches_max; i++) {
        const struct batch *batch = &log->at[i];

        if (batch->end <= from) continue;
        if (batch->base > digest.next_offset || batch->base < from || batch->end > to) break;
        if (taken > 0 && digest.bytes + batch->bytes > bytes_max) break;
        digest.error = 0;
        digest.next_offset = batch->end;
        digest.bytes += batch->bytes;
        digest.contents = digest.contents * 1000003u + batch->content;
        digest.contents = digest.contents * 1000003u + (uint32_t)(batch->end - batch->base);
        taken++;
    }
    return digest;
}

static void append(struct log *log, uint64_t records, uint64_t bytes, uint32_t content)
{
    uint64_t base = log->count == 0 ? 0 : log->at[log->count - 1].end;

    ck_assert_uint_lt(log->count, BATCHES_MAX);
    log->at[log->count++] = (struct batch){base, base + records, bytes, content};
}

/* What the vote brings: all of the range as the leader has it. */
static void mend(struct log *log, const struct log *leader, uint64_t from, uint64_t to)
{
    struct log mended = {.batches_max = log->batches_max};

    for (size_t i = 0; i < log->count && log->at[i].end <= from; i++)
        mended.at[mended.count++] = log->at[i];
    for (size_t i = 0; i < leader->count; i++)
        if (leader->at[i].base >= from && leader->at[i].end <= to) mended.at[mended.count++] = leader->at[i];
    for (size_t i = 0; i < log->count; i++)
        if (log->at[i].base >= to) mended.at[mended.count++] = log->at[i];
    *log = mended;
}

struct result {
    unsigned steps, votes, passed_over;
    uint64_t voted_bytes; /* the largest range */
};

static uint64_t end_of(const struct log *log)
{
    return log->at[log->count - 1].end;
}

static const struct batch *batch_at(const struct log *log, uint64_t base)
{
    for (size_t i = 0; i < log->count; i++)
        if (log->at[i].base == base) return &log->at[i];
    return NULL;
}

static void assert_equal(const struct log *own, const struct log *leader, uint64_t from, uint64_t to)
{
    for (size_t i = 0; i < own->count; i++) {
        const struct batch *batch = &own->at[i], *other = batch_at(leader, batch->base);

        if (batch->base < from || batch->base >= to) continue;
        ck_assert_msg(other != NULL && other->end == batch->end && other->content == batch->content, "records at %lu differ", batch->base);
    }
}

/* The end of one comparison; returns up to where all was compared. */
static uint64_t compare_once(struct log *own, const struct log *leader, uint64_t from, unsigned *failures, struct result *result)
{
    struct compare_plan plan;
    struct compare_step step = compare_plan_window(&plan, from, end_of(leader));
    struct digest local = {0}, theirs;

    for (;; result->steps++) {
        ck_assert_uint_lt(result->steps, STEPS_MAX);
        switch (step.act) {
        case COMPARE_READ:
            local = digest_of(own, plan.from, step.to, step.is_one ? 1 : 4u << 20);
            step = compare_plan_read(&plan, local.error, local.next_offset, local.bytes);
            break;
        case COMPARE_ASK:
            ck_assert_uint_eq(step.to, local.next_offset);
            theirs = digest_of(leader, plan.from, step.to, 4u << 20);
            step = compare_plan_heard(&plan, theirs.error, theirs.next_offset, theirs.contents == local.contents);
            break;
        case COMPARE_JUDGE:
            result->votes++;
            theirs = digest_of(leader, plan.from, plan.to, 4u << 20);
            ck_assert(theirs.error == 0 && theirs.next_offset == plan.to);
            ck_assert_uint_ne(theirs.contents, local.contents); /* nothing is voted on without need */
            if (local.bytes > result->voted_bytes) result->voted_bytes = local.bytes;
            mend(own, leader, plan.from, plan.to);
            return from;
        case COMPARE_EQUAL:
            assert_equal(own, leader, from, step.to);
            *failures = 0;
            return step.to;
        case COMPARE_LATER: return from;
        case COMPARE_STUCK:
            if (++*failures < PASS_OVER) return from;
            *failures = 0;
            result->passed_over++;
            return plan.reach > from ? plan.reach : end_of(leader);
        }
    }
}

static struct result compare_all(struct log *own, const struct log *leader)
{
    struct result result = {0};
    unsigned failures = 0;
    uint64_t from = 0;

    while (from < end_of(leader))
        from = compare_once(own, leader, from, &failures, &result);
    return result;
}

static struct log own, leader;

static void begin(void)
{
    own = leader = (struct log){.batches_max = 1000};
}

START_TEST(equal_replicas_are_compared_window_by_window)
{
    struct result result;

    begin();
    for (uint32_t i = 0; i < 100; i++) {
        append(&own, 10, 100000, i);
        append(&leader, 10, 100000, i);
    }
    result = compare_all(&own, &leader);
    ck_assert_uint_eq(result.votes, 0);
    ck_assert_uint_eq(result.steps, 6); /* 10 MB in windows of 4 MiB: read, asked */
}
END_TEST

START_TEST(one_batch_that_differs_is_found_and_little_else)
{
    struct result result;

    for (uint32_t bad = 0; bad < 100; bad++) {
        begin();
        for (uint32_t i = 0; i < 100; i++) {
            append(&own, 1 + i % 3, 40000, i == bad ? 1000 : i);
            append(&leader, 1 + i % 3, 40000, i);
        }
        result = compare_all(&own, &leader);
        ck_assert_uint_eq(result.votes, 1);
        ck_assert_uint_le(result.voted_bytes, COMPARE_SMALL_BYTES + 40000);
        ck_assert_uint_eq(result.passed_over, 0);
    }
}
END_TEST

/* The leader's log is read in smaller pieces than this one's. */
START_TEST(a_digest_that_ends_early_makes_the_window_smaller)
{
    struct result result;

    begin();
    leader.batches_max = 3;
    for (uint32_t i = 0; i < 100; i++) {
        append(&own, 10, 10000, i == 50 ? 1000 : i);
        append(&leader, 10, 10000, i);
    }
    result = compare_all(&own, &leader);
    ck_assert_uint_eq(result.votes, 1);
    ck_assert_uint_eq(result.passed_over, 0);
}
END_TEST

START_TEST(batches_that_lie_otherwise_are_put_to_the_vote)
{
    struct result result;

    begin();
    for (uint32_t i = 0; i < 40; i++) {
        append(&own, i == 20 ? 4 : 10, 50000, i);
        if (i == 20) append(&own, 6, 50000, i);
        append(&leader, 10, 50000, i);
    }
    result = compare_all(&own, &leader);
    ck_assert_uint_ge(result.votes, 1);
    ck_assert_uint_eq(result.passed_over, 0);
}
END_TEST

START_TEST(what_cannot_be_compared_does_not_keep_the_rest_from_it)
{
    struct result result;

    begin();
    own.batches_max = leader.batches_max = 2;
    for (uint32_t i = 0; i < 40; i++) { /* no two ends in common between 0 and 200 */
        append(&own, i == 0 ? 3 : 5, 1000, i);
        append(&leader, 5, 1000, i);
    }
    append(&own, 2, 1000, 40);
    for (uint32_t i = 0; i < 10; i++) {
        append(&own, 5, 1000, i);
        append(&leader, 5, 1000, i);
    }
    result = compare_all(&own, &leader);
    ck_assert_uint_gt(result.passed_over, 0);
}
END_TEST

START_TEST(an_answer_that_cannot_be_is_not_believed)
{
    struct compare_plan plan;
    struct compare_step step = compare_plan_window(&plan, 100, 200);

    ck_assert_int_eq(step.act, COMPARE_READ);
    step = compare_plan_read(&plan, 0, 180, 5000);
    ck_assert_int_eq(step.act, COMPARE_ASK);
    ck_assert_int_eq(compare_plan_heard(&plan, 0, 190, true).act, COMPARE_LATER);
    ck_assert_int_eq(compare_plan_heard(&plan, MESH_ETIMEDOUT, 0, false).act, COMPARE_LATER);
    ck_assert_int_eq(compare_plan_heard(&plan, MESH_ECORRUPT, 0, false).act, COMPARE_STUCK);
    ck_assert_int_eq(compare_plan_heard(&plan, 0, 50, true).act, COMPARE_STUCK);
    ck_assert_int_eq(compare_plan_heard(&plan, 0, 180, true).act, COMPARE_EQUAL);
}
END_TEST

static void draw_batches(struct random *random)
{
    for (uint32_t i = 0; i < 150; i++) {
        uint64_t records = 1 + random_below(random, 12), bytes = 100 + random_below(random, 200000);

        append(&leader, records, bytes, i);
        switch (random_below(random, 30)) {
        case 0: append(&own, records, bytes, 1000 + i); break;
        case 1:
            if (records > 1) append(&own, 1, bytes, i);
            append(&own, records > 1 ? records - 1 : 1, bytes, i + 1000);
            break;
        default: append(&own, records, bytes, i);
        }
    }
}

START_TEST(whatever_differs_is_found)
{
    struct random random;

    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct result result;

        random_init(&random, seed);
        begin();
        draw_batches(&random);
        own.batches_max = 20 + random_below(&random, 100);
        leader.batches_max = 20 + random_below(&random, 100);
        result = compare_all(&own, &leader);
        if (result.passed_over == 0) assert_equal(&own, &leader, 0, end_of(&leader));
        ck_assert_msg(result.passed_over == 0, "seed %lu: %u windows passed over", seed, result.passed_over);
    }
}
END_TEST

static Suite *suite_new(void)
{
    Suite *suite = suite_create("comparing replicas");
    TCase *tcase = tcase_create("plan");

    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, equal_replicas_are_compared_window_by_window);
    tcase_add_test(tcase, one_batch_that_differs_is_found_and_little_else);
    tcase_add_test(tcase, a_digest_that_ends_early_makes_the_window_smaller);
    tcase_add_test(tcase, batches_that_lie_otherwise_are_put_to_the_vote);
    tcase_add_test(tcase, what_cannot_be_compared_does_not_keep_the_rest_from_it);
    tcase_add_test(tcase, an_answer_that_cannot_be_is_not_believed);
    tcase_add_test(tcase, whatever_differs_is_found);
    return suite;
}

int main(void)
{
    return run_suite(suite_new());
}
