/* Slices, buffers, lists, maps and arenas: contents, limits, and failed allocations. */
#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/list.h"
#include "base/map.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdlib.h>

START_TEST(slices_compare_by_content)
{
    const struct slice none = {NULL, 0};

    ck_assert(slice_equal(slice_of_string("abc"), slice_of("abcd", 3)));
    ck_assert(!slice_equal(slice_of_string("abc"), slice_of_string("abd")));
    ck_assert(!slice_equal(slice_of_string("abc"), slice_of_string("ab")));
    ck_assert(slice_equal(none, slice_of_string("")));
    ck_assert(slice_equal(none, none));
}
END_TEST

START_TEST(buffers_grow_and_keep_their_bytes)
{
    struct buffer buffer = BUFFER_INIT;

    for (int i = 0; i < 10000; i++)
        ck_assert_int_eq(buffer_append(&buffer, &i, sizeof(i)), 0);
    ck_assert_uint_eq(buffer.size, 10000 * sizeof(int));
    ck_assert_uint_ge(buffer.capacity, buffer.size);
    for (int i = 0; i < 10000; i++)
        ck_assert_mem_eq(buffer.data + (size_t)i * sizeof(i), &i, sizeof(i));
    ck_assert_int_eq(buffer_append(&buffer, NULL, 0), 0);
    buffer_clear(&buffer);
    ck_assert_uint_eq(buffer.size, 0);
    ck_assert_uint_gt(buffer.capacity, 0); /* kept for reuse */
    buffer_deinit(&buffer);
    ck_assert_ptr_null(buffer.data);
    buffer_deinit(&buffer);
}
END_TEST

START_TEST(buffers_take_text)
{
    struct buffer buffer = BUFFER_INIT;
    char wide[3000];

    ck_assert_int_eq(buffer_append_string(&buffer, "a="), 0);
    ck_assert_int_eq(buffer_printf(&buffer, "%d,%s", 42, "x"), 0);
    ck_assert(slice_equal(buffer_slice(&buffer), slice_of_string("a=42,x")));
    memset(wide, 'w', sizeof(wide) - 1);
    wide[sizeof(wide) - 1] = '\0';
    ck_assert_int_eq(buffer_printf(&buffer, "%s", wide), 0);
    ck_assert_uint_eq(buffer.size, 6 + sizeof(wide) - 1);
    ck_assert_int_eq(buffer_printf(&buffer, "%s", ""), 0);
    ck_assert_uint_eq(buffer.size, 6 + sizeof(wide) - 1);
    buffer_deinit(&buffer);
}
END_TEST

START_TEST(buffers_are_consumed_from_the_front)
{
    struct buffer buffer = BUFFER_INIT;

    ck_assert_int_eq(buffer_append_string(&buffer, "abcdef"), 0);
    buffer_consume(&buffer, 0);
    buffer_consume(&buffer, 2);
    ck_assert(slice_equal(buffer_slice(&buffer), slice_of_string("cdef")));
    buffer_consume(&buffer, 4);
    ck_assert_uint_eq(buffer.size, 0);
    buffer_deinit(&buffer);
}
END_TEST

START_TEST(buffers_are_unchanged_when_memory_ends)
{
    struct buffer buffer = BUFFER_INIT, before;
    int errs[4];

    ck_assert_int_eq(buffer_append_string(&buffer, "keep"), 0);
    before = buffer;
    failing_alloc_arm(1);
    errs[0] = buffer_reserve(&buffer, 1000);
    ck_assert(failing_alloc_disarm());
    failing_alloc_arm(1);
    errs[1] = buffer_append(&buffer, (const char[1000]){0}, 1000);
    failing_alloc_arm(1);
    errs[2] = buffer_printf(&buffer, "%1000d", 1);
    failing_alloc_disarm();
    errs[3] = buffer_reserve(&buffer, SIZE_MAX - 2); /* would wrap around */
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(errs[i], MESH_ENOMEM);
    ck_assert_mem_eq(&buffer, &before, sizeof(before));
    ck_assert_mem_eq(buffer.data, "keep", 4);
    buffer_deinit(&buffer);
}
END_TEST

struct item {
    int number;
    struct list_node node;
    struct map_node map_node;
};

static int number_of(struct list_node *node)
{
    return container_of(node, struct item, node)->number;
}

START_TEST(lists_keep_order)
{
    struct list_node head;
    struct item items[4];
    int seen = 0;

    list_init(&head);
    ck_assert(list_is_empty(&head));
    ck_assert_ptr_null(list_pop_front(&head));
    for (int i = 0; i < 4; i++)
        items[i].number = i;
    list_push_back(&head, &items[1].node);
    list_push_back(&head, &items[3].node);
    list_push_front(&head, &items[0].node);
    list_insert_before(&items[3].node, &items[2].node);
    list_for_each(node, &head) ck_assert_int_eq(number_of(node), seen++);
    ck_assert_int_eq(seen, 4);

    list_remove(&items[2].node);
    list_remove(&items[2].node); /* harmless when it is in none */
    ck_assert(list_is_empty(&items[2].node));
    ck_assert_int_eq(number_of(list_pop_front(&head)), 0);
    list_for_each_safe(node, &head) list_remove(node);
    ck_assert(list_is_empty(&head));
}
END_TEST

static struct item *map_get(const struct map *map, int number, uint64_t hash)
{
    for (struct map_node *node = map_find(map, hash); node != NULL; node = map_find_next(node)) {
        struct item *item = container_of(node, struct item, map_node);
        if (item->number == number) return item;
    }
    return NULL;
}

/* Hashes on purpose alike: several keys share one, and many share a bucket. */
static uint64_t bad_hash(int number)
{
    return (uint64_t)(number / 4) * 16;
}

START_TEST(maps_find_what_was_inserted)
{
    enum { COUNT = 2000 };
    struct map map = MAP_INIT;
    struct item *items = calloc(COUNT, sizeof(*items));
    int seen = 0;

    ck_assert_ptr_null(map_find(&map, 1));
    ck_assert_ptr_null(map_iterate(&map, NULL));
    for (int i = 0; i < COUNT; i++) {
        items[i].number = i;
        ck_assert_int_eq(map_insert(&map, &items[i].map_node, bad_hash(i)), 0);
    }
    ck_assert_uint_eq(map.count, COUNT);
    for (int i = 0; i < COUNT; i += 3)
        map_remove(&map, &items[i].map_node);
    for (int i = 0; i < COUNT; i++)
        ck_assert_ptr_eq(map_get(&map, i, bad_hash(i)), i % 3 == 0 ? NULL : &items[i]);
    ck_assert_ptr_null(map_get(&map, COUNT, bad_hash(COUNT)));
    for (struct map_node *node = map_iterate(&map, NULL); node != NULL; node = map_iterate(&map, node)) {
        struct item *item = container_of(node, struct item, map_node);
        ck_assert_int_ge(item->number, 0);
        item->number = -1; /* each once */
        seen++;
    }
    ck_assert_uint_eq((size_t)seen, map.count);
    map_deinit(&map);
    ck_assert_uint_eq(map.count, 0);
    free(items);
}
END_TEST

START_TEST(maps_are_unchanged_when_memory_ends)
{
    struct map map = MAP_INIT;
    struct item items[20];
    int err = 0, inserted = 0;

    failing_alloc_arm(2); /* the first table succeeds, growing it does not */
    for (; inserted < 20 && err == 0; inserted++)
        err = map_insert(&map, &items[inserted].map_node, (uint64_t)inserted);
    ck_assert(failing_alloc_disarm());
    ck_assert_int_eq(err, MESH_ENOMEM);
    ck_assert_uint_eq(map.count, (size_t)inserted - 1);
    for (int i = 0; i < inserted - 1; i++)
        ck_assert_ptr_eq(map_find(&map, (uint64_t)i), &items[i].map_node);
    ck_assert_ptr_null(map_find(&map, (uint64_t)inserted - 1));
    ck_assert_int_eq(map_insert(&map, &items[inserted - 1].map_node, (uint64_t)inserted - 1), 0);
    map_deinit(&map);
}
END_TEST

START_TEST(hashes_tell_strings_apart)
{
    uint64_t hashes[1000];

    for (int i = 0; i < 1000; i++)
        hashes[i] = map_hash_bytes(&i, sizeof(i));
    for (int i = 0; i < 1000; i++)
        for (int j = 0; j < i; j++)
            if (hashes[i] == hashes[j]) ck_abort_msg("%d and %d", i, j);
    ck_assert_uint_eq(map_hash_bytes("", 0), map_hash_bytes(NULL, 0));
    ck_assert_uint_ne(map_hash_bytes("a", 1), map_hash_bytes("a", 2));
}
END_TEST

START_TEST(arenas_give_zeroed_aligned_memory)
{
    struct arena arena = ARENA_INIT;
    uint8_t *large;

    for (size_t size = 0; size < 3000; size += 7) {
        uint8_t *bytes = arena_alloc(&arena, size, 1);
        ck_assert_ptr_nonnull(bytes);
        ck_assert_uint_eq((uintptr_t)bytes % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            if (bytes[i] != 0) ck_abort_msg("not zeroed");
        memset(bytes, 0xff, size); /* the next one must not see it */
    }
    large = arena_alloc(&arena, 1000, 1000);
    ck_assert_ptr_nonnull(large);
    large[999999] = 1;
    ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX / 2, 3)); /* overflows */
    ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX, 1));
    ck_assert_str_eq(arena_strdup(&arena, "text"), "text");
    ck_assert_str_eq(arena_strdup(&arena, NULL), "");
    ck_assert_str_eq(arena_printf(&arena, "%s-%d", "t", 3), "t-3");
    arena_deinit(&arena);
    arena_deinit(&arena); /* empty again */
}
END_TEST

START_TEST(arenas_say_when_memory_ends)
{
    struct arena arena = ARENA_INIT;
    void *first, *second;

    failing_alloc_arm(1);
    first = arena_alloc(&arena, 10, 1);
    ck_assert(failing_alloc_disarm());
    ck_assert_ptr_null(first);
    second = arena_alloc(&arena, 10, 1);
    ck_assert_ptr_nonnull(second);
    arena_deinit(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("containers");
    TCase *tcase = tcase_create("containers");

    tcase_add_test(tcase, slices_compare_by_content);
    tcase_add_test(tcase, buffers_grow_and_keep_their_bytes);
    tcase_add_test(tcase, buffers_take_text);
    tcase_add_test(tcase, buffers_are_consumed_from_the_front);
    tcase_add_test(tcase, buffers_are_unchanged_when_memory_ends);
    tcase_add_test(tcase, lists_keep_order);
    tcase_add_test(tcase, maps_find_what_was_inserted);
    tcase_add_test(tcase, maps_are_unchanged_when_memory_ends);
    tcase_add_test(tcase, hashes_tell_strings_apart);
    tcase_add_test(tcase, arenas_give_zeroed_aligned_memory);
    tcase_add_test(tcase, arenas_say_when_memory_ends);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
