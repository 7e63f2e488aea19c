/* The table of committed offsets against a plain array, and what it costs. */
#include "replication/groups/cell_table.h"

#include "base/error.h"
#include "base/random.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <stdbool.h>
#include <string.h>

#define LINES      8
#define PARTITIONS 512

START_TEST(it_agrees_with_a_plain_array)
{
    static uint64_t want[LINES][PARTITIONS];
    struct cell_table table;
    struct random random;
    uint32_t count = 0;

    memset(want, 0, sizeof(want));
    random_init(&random, (uint64_t)_i);
    cell_table_init(&table);
    for (int step = 0; step < 30000; step++) {
        uint32_t line = (uint32_t)random_below(&random, LINES), partition = (uint32_t)random_below(&random, PARTITIONS);
        struct cell *cell = cell_table_find(&table, line, partition);

        /* Check tells its parent of each assertion: too slow for each step. */
        if ((cell == NULL ? 0 : cell->offset) != want[line][partition] || table.count != count) ck_abort_msg("step %d", step);
        /* Waves: mostly adding, then mostly removing. */
        if (random_below(&random, 3) != (step / 5000) % 2 * 2u) {
            if (want[line][partition] == 0) count++;
            want[line][partition] = (uint64_t)step + 1;
            cell = cell_table_add(&table, line, partition);
            if (cell == NULL) ck_abort();
            cell->offset = (uint64_t)step + 1;
        } else if (cell != NULL) {
            cell_table_remove(&table, line, partition);
            want[line][partition] = 0;
            count--;
        }
    }
    for (uint32_t line = 0; line < LINES; line++)
        for (uint32_t partition = 0; partition < PARTITIONS; partition++)
            if ((cell_table_find(&table, line, partition) != NULL) != (want[line][partition] != 0)) ck_abort();
    cell_table_deinit(&table);
}
END_TEST

/* Lines of so many cells each; those of sixteen partitions share what a block takes. */
START_TEST(cells_take_no_more_bytes_than_they_should)
{
    static const struct { uint32_t line_cells; double bytes; } cases[] = {{1, 55.5}, {2, 42}, {10, 31.5}, {16, 30.5}, {990, 30.5}};
    uint32_t line_cells = cases[_i].line_cells;
    struct cell_table table;
    double worst = 0; /* just after the index has grown */

    cell_table_init(&table);
    for (uint32_t i = 0; i < 200000; i++) {
        if (cell_table_add(&table, i / line_cells, i % line_cells) == NULL) ck_abort();
        if (i >= 10000 && (double)cell_table_bytes(&table) / (i + 1) > worst) worst = (double)cell_table_bytes(&table) / (i + 1);
    }
    ck_assert_msg(worst < cases[_i].bytes, "%f bytes", worst);
    cell_table_deinit(&table);
}
END_TEST

/* A number is a cell's as long as it is there, whatever comes and goes around it. */
START_TEST(numbers_stay)
{
    struct cell_table table;
    uint32_t numbers[PARTITIONS], line, partition;

    cell_table_init(&table);
    for (uint32_t i = 0; i < PARTITIONS; i += 3) {
        if (cell_table_add(&table, 5, i) == NULL) ck_abort();
        numbers[i] = cell_table_number(&table, 5, i);
    }
    for (uint32_t i = 0; i < PARTITIONS; i++)
        if (i % 3 == 1 && cell_table_add(&table, 5, i) == NULL) ck_abort();
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        if (cell_table_add(&table, 6, i) == NULL) ck_abort();
        if (i % 3 == 1) cell_table_remove(&table, 5, i);
    }
    for (uint32_t i = 0; i < PARTITIONS; i += 3) {
        if (!cell_table_at(&table, numbers[i], &line, &partition) || line != 5 || partition != i) ck_abort_msg("partition %u", i);
        cell_table_remove(&table, 5, i);
        if (cell_table_at(&table, numbers[i], &line, &partition)) ck_abort_msg("partition %u is gone", i);
    }
    ck_assert_uint_eq(table.count, PARTITIONS);
    ck_assert(!cell_table_at(&table, cell_table_top(&table), &line, &partition));
    cell_table_deinit(&table);
}
END_TEST

START_TEST(what_is_freed_is_used_again)
{
    struct cell_table table;
    size_t bytes;

    cell_table_init(&table);
    for (uint32_t i = 0; i < 5000; i++)
        if (cell_table_add(&table, 0, i) == NULL) ck_abort();
    bytes = cell_table_bytes(&table);
    for (uint32_t round = 1; round < 10; round++)
        for (uint32_t i = 0; i < 5000; i++) {
            cell_table_remove(&table, round - 1, i);
            if (cell_table_add(&table, round, i) == NULL) ck_abort();
        }
    ck_assert_uint_eq(cell_table_bytes(&table), bytes);
    cell_table_deinit(&table);
}
END_TEST

START_TEST(without_memory_nothing_changes)
{
    struct cell_table table;
    bool has_failed = false;

    cell_table_init(&table);
    for (uint32_t i = 0; i < 1000; i++) {
        struct cell *cell;

        failing_alloc_arm(1);
        cell = cell_table_add(&table, 7, i);
        if (failing_alloc_disarm()) {
            has_failed = true;
            if (cell != NULL || cell_table_find(&table, 7, i) != NULL || table.count != i) ck_abort();
            cell = cell_table_add(&table, 7, i);
        }
        if (cell == NULL) ck_abort();
    }
    ck_assert(has_failed);
    cell_table_deinit(&table);
}
END_TEST

static struct slice text_of_size(uint8_t to[64], uint32_t seed, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(seed * 31 + i);
    return slice_of(to, size);
}

/* Set, made longer and shorter, taken away, and gone with their cells: against what was said last. */
START_TEST(texts_belong_to_their_cells)
{
    static uint32_t seeds[PARTITIONS]; /* 0: none; of size seed % 64 */
    struct cell_table table;
    struct random random;
    uint8_t bytes[64];

    memset(seeds, 0, sizeof(seeds));
    random_init(&random, (uint64_t)_i);
    cell_table_init(&table);
    for (uint32_t step = 1; step < 20000; step++) {
        uint32_t partition = (uint32_t)random_below(&random, PARTITIONS);
        struct cell *cell = cell_table_add(&table, 1, partition);

        if (cell == NULL) ck_abort();
        if (!slice_equal(cell_table_text(&table, 1, partition), text_of_size(bytes, seeds[partition], seeds[partition] % 64))) ck_abort_msg("step %u", step);
        seeds[partition] = random_below(&random, 3) == 0 ? 0 : step;
        if (random_below(&random, 4) == 0) {
            cell_table_remove(&table, 1, partition);
            seeds[partition] = 0;
        } else if (cell_table_set_text(&table, 1, partition, text_of_size(bytes, seeds[partition], seeds[partition] % 64)) != 0) {
            ck_abort();
        }
    }
    for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
        if (cell_table_find(&table, 1, partition) != NULL) cell_table_remove(&table, 1, partition);
    }
    ck_assert_uint_eq(table.text_index.count, 0);
    ck_assert_uint_eq(table.text_bytes, 0);
    cell_table_deinit(&table);
}
END_TEST

START_TEST(a_text_that_finds_no_memory_leaves_the_one_before)
{
    struct cell_table table;
    uint8_t bytes[64];

    cell_table_init(&table);
    for (uint32_t i = 0; i < 50; i++) {
        if (cell_table_add(&table, 1, i) == NULL) ck_abort();
        for (uint32_t size = 10; size < 40; size += 10) { /* its first, and longer ones */
            int err = MESH_ENOMEM;

            failing_alloc_each(n) {
                failing_alloc_arm(n);
                err = cell_table_set_text(&table, 1, i, text_of_size(bytes, i, size));
                if (!failing_alloc_disarm()) break;
                ck_assert_int_eq(err, MESH_ENOMEM);
                ck_assert(slice_equal(cell_table_text(&table, 1, i), text_of_size(bytes, i, size - 10)));
            }
            ck_assert_int_eq(err, 0);
            ck_assert(slice_equal(cell_table_text(&table, 1, i), text_of_size(bytes, i, size)));
        }
    }
    cell_table_deinit(&table);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cell_table");
    TCase *tcase = tcase_create("all");

    tcase_add_loop_test(tcase, it_agrees_with_a_plain_array, 0, 8);
    tcase_add_loop_test(tcase, cells_take_no_more_bytes_than_they_should, 0, 5);
    tcase_add_test(tcase, numbers_stay);
    tcase_add_test(tcase, what_is_freed_is_used_again);
    tcase_add_test(tcase, without_memory_nothing_changes);
    tcase_add_loop_test(tcase, texts_belong_to_their_cells, 0, 4);
    tcase_add_test(tcase, a_text_that_finds_no_memory_leaves_the_one_before);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
