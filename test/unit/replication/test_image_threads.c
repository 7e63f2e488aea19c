/* Images are shared by threads: whoever holds one may take and give back references while its owner makes the next one of it. For the thread sanitizer. */
#include "base/error.h"
#include "metadata_history.h"
#include "support/run_suite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define TOPICS 200

static atomic_bool is_over;

static void *hold(void *user)
{
    const struct image *image = user;
    unsigned long count = 0;

    while (!atomic_load(&is_over) || count == 0) {
        image_unref(image_ref(image));
        count++;
    }
    image_unref(image);
    return NULL;
}

START_TEST(references_are_taken_while_the_next_image_is_made)
{
    struct history *history = history_new_mesh(1, "");
    char name[16];

    for (int i = 0; i < TOPICS; i++) {
        pthread_t thread;

        atomic_store(&is_over, false);
        ck_assert_int_eq(pthread_create(&thread, NULL, hold, image_ref(history->image)), 0);
        snprintf(name, sizeof(name), "topic-%d", i);
        history_create_topic(history, name, 1, 1);
        atomic_store(&is_over, true);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
    }
    ck_assert_ptr_nonnull(image_find_topic_by_name(history->image, name));
    history_free(history);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("image_threads");
    TCase *tcase = tcase_create("image_threads");

    tcase_add_test(tcase, references_are_taken_while_the_next_image_is_made);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
