/* The index of numbered things against a plain array, and what it costs. */
#include "replication/groups/number_index.h"

#include "base/error.h"
#include "base/random.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#define THINGS 12000 /* enough for parts */

/* What has a number: a key. Few different hashes, so that ways cross and wrap round the end. */
struct owner {
    uint64_t keys[THINGS];
    uint64_t hashes;
};

static uint64_t hash_of_key(const struct owner *owner, uint64_t key)
{
    return key % owner->hashes * 0x9e3779b97f4a7c15u;
}

static uint64_t hash(const void *arg, uint32_t number)
{
    const struct owner *owner = arg;

    return hash_of_key(owner, owner->keys[number]);
}

static bool is(const void *arg, uint32_t number, const void *key)
{
    const struct owner *owner = arg;

    return owner->keys[number] == *(const uint64_t *)key;
}

static const struct number_keys keys = {hash, is};

static uint32_t find(const struct number_index *index, const struct owner *owner, uint64_t key)
{
    return number_index_find(index, &keys, owner, hash_of_key(owner, key), &key);
}

START_TEST(it_agrees_with_a_plain_array)
{
    static struct owner owner;
    static bool is_in[THINGS];
    struct number_index index = {.parts = NULL};
    struct random random;
    uint32_t count = 0;

    random_init(&random, (uint64_t)_i);
    memset(is_in, 0, sizeof(is_in));
    owner.hashes = _i % 2 == 0 ? 50 : UINT64_MAX;
    for (int step = 0; step < 60000; step++) {
        uint32_t number = (uint32_t)random_below(&random, owner.hashes == 50 ? THINGS / 120 : THINGS);

        /* Waves: mostly adding, then mostly removing. Check tells its parent of each assertion: too slow for each step. */
        if (!is_in[number] && random_below(&random, 3) != (step / 20000) % 2 * 2u) {
            owner.keys[number] = (uint64_t)step << 32 | random_below(&random, UINT32_MAX);
            if (number_index_add(&index, &keys, &owner, number) != 0) ck_abort();
            is_in[number] = true;
            count++;
        } else if (is_in[number] && random_below(&random, 2) == 0) {
            number_index_remove(&index, &keys, &owner, number);
            is_in[number] = false;
            count--;
        }
        if (find(&index, &owner, owner.keys[number]) != (is_in[number] ? number : NUMBER_INDEX_NONE)) ck_abort_msg("step %d", step);
    }
    ck_assert_uint_eq(index.count, count);
    for (uint32_t number = 0; number < THINGS; number++)
        if (owner.keys[number] != 0 && (find(&index, &owner, owner.keys[number]) == number) != is_in[number]) ck_abort_msg("number %u", number);
    number_index_deinit(&index);
}
END_TEST

START_TEST(a_number_takes_less_than_7_bytes)
{
    static struct owner owner;
    struct number_index index = {.parts = NULL};
    double worst = 0; /* just after it has grown */

    owner.hashes = UINT64_MAX;
    for (uint32_t i = 0; i < THINGS; i++) {
        owner.keys[i] = i;
        if (number_index_add(&index, &keys, &owner, i) != 0) ck_abort();
        if (i >= 100 && (double)number_index_bytes(&index) / (i + 1) > worst) worst = (double)number_index_bytes(&index) / (i + 1);
    }
    ck_assert_msg(worst < 7, "%f bytes", worst);
    number_index_deinit(&index);
}
END_TEST

static uint64_t hashes_made;

static uint64_t counted_hash(const void *owner, uint32_t number)
{
    hashes_made++;
    return hash(owner, number);
}

/* Whoever adds to a large one waits for a part, not for all of it. */
START_TEST(no_addition_moves_more_than_a_part)
{
    static const struct number_keys counted_keys = {counted_hash, is};
    static struct owner owner = {.hashes = UINT64_MAX};
    struct number_index index = {.parts = NULL};
    uint64_t most = 0;

    for (uint32_t i = 0; i < THINGS; i++) {
        owner.keys[i] = i;
        hashes_made = 0;
        if (number_index_add(&index, &counted_keys, &owner, i) != 0) ck_abort();
        if (i > NUMBER_INDEX_WHOLE && hashes_made > most) most = hashes_made;
    }
    ck_assert_uint_gt(most, 1);
    ck_assert_uint_lt(most, 2 * THINGS / NUMBER_INDEX_PARTS);
    number_index_deinit(&index);
}
END_TEST

START_TEST(without_memory_it_stays_whole)
{
    static struct owner owner = {.hashes = UINT64_MAX};
    struct number_index index = {.parts = NULL};
    int err = MESH_ENOMEM;

    for (uint32_t i = 0; i <= NUMBER_INDEX_WHOLE; i++)
        owner.keys[i] = i;
    for (uint32_t i = 0; i < NUMBER_INDEX_WHOLE; i++)
        if (number_index_add(&index, &keys, &owner, i) != 0) ck_abort();
    failing_alloc_each(n) {
        failing_alloc_arm(n);
        err = number_index_add(&index, &keys, &owner, NUMBER_INDEX_WHOLE);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
        ck_assert_uint_eq(index.count, NUMBER_INDEX_WHOLE);
        if (find(&index, &owner, NUMBER_INDEX_WHOLE) != NUMBER_INDEX_NONE || find(&index, &owner, n) != n) ck_abort();
    }
    ck_assert_int_eq(err, 0);
    for (uint32_t i = 0; i <= NUMBER_INDEX_WHOLE; i++)
        if (find(&index, &owner, i) != i) ck_abort();
    number_index_deinit(&index);
}
END_TEST

START_TEST(without_memory_nothing_changes)
{
    static struct owner owner = {.hashes = UINT64_MAX};
    struct number_index index = {.parts = NULL};
    uint32_t count = 0;

    for (uint32_t i = 0; i < 100; i++) {
        int err;

        owner.keys[i] = i;
        failing_alloc_arm(1);
        err = number_index_add(&index, &keys, &owner, i);
        if (failing_alloc_disarm()) {
            ck_assert_int_eq(err, MESH_ENOMEM);
            ck_assert_uint_eq(find(&index, &owner, i), NUMBER_INDEX_NONE);
            err = number_index_add(&index, &keys, &owner, i);
            count++;
        }
        ck_assert_int_eq(err, 0);
        for (uint32_t j = 0; j <= i; j++)
            if (find(&index, &owner, j) != j) ck_abort_msg("%u of %u", j, i);
    }
    ck_assert_uint_gt(count, 5);
    number_index_deinit(&index);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("number_index");
    TCase *tcase = tcase_create("number_index");

    tcase_add_loop_test(tcase, it_agrees_with_a_plain_array, 0, 10);
    tcase_add_test(tcase, a_number_takes_less_than_7_bytes);
    tcase_add_test(tcase, no_addition_moves_more_than_a_part);
    tcase_add_test(tcase, without_memory_it_stays_whole);
    tcase_add_test(tcase, without_memory_nothing_changes);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
