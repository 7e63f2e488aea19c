/* The list of events: bounded, in order, safe from many threads, and no worse for a failed allocation. */
#include "cmd/broker/operate/events.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

struct seen {
    uint64_t first, last;
    size_t count;
    char text[EVENT_TEXT_SIZE_MAX];
    size_t stop_at; /* 0: never */
    bool is_disordered;
};

static bool see(void *user, const struct event *event)
{
    struct seen *seen = user;

    if (seen->count == 0) seen->first = event->sequence;
    if (seen->count > 0 && event->sequence != seen->last + 1) seen->is_disordered = true;
    seen->last = event->sequence;
    seen->count++;
    snprintf(seen->text, sizeof(seen->text), "%s", event->text);
    return seen->count != seen->stop_at;
}

static void note_many(struct events *events, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        event_note(events, EVENT_TOPIC, LOG_LEVEL_DEBUG, "number=%u", i);
}

START_TEST(events_come_in_order_and_behind_a_place)
{
    static struct events events;
    struct seen seen = {0}, rest = {0}, none = {0};

    note_many(&events, 5);
    ck_assert_uint_eq(events_each(&events, 0, see, &seen), 5);
    ck_assert_uint_eq(seen.count, 5);
    ck_assert_uint_eq(seen.first, 1);
    ck_assert_str_eq(seen.text, "number=4");
    events_each(&events, 3, see, &rest);
    ck_assert_uint_eq(rest.first, 4);
    ck_assert_uint_eq(rest.count, 2);
    ck_assert_uint_eq(events_each(&events, 5, see, &none), 5);
    ck_assert_uint_eq(events_each(&events, UINT64_MAX, see, &none), 5);
    ck_assert_uint_eq(none.count, 0);
    rest = (struct seen){.stop_at = 2};
    events_each(&events, 0, see, &rest);
    ck_assert_uint_eq(rest.count, 2);
    events_deinit(&events);
}
END_TEST

START_TEST(the_oldest_give_way)
{
    static struct events events;
    struct seen seen = {0};

    note_many(&events, EVENTS_MAX + 10);
    ck_assert_uint_eq(events_each(&events, 0, see, &seen), EVENTS_MAX + 10);
    ck_assert_uint_eq(seen.count, EVENTS_MAX);
    ck_assert_uint_eq(seen.first, 11);
    ck_assert(!seen.is_disordered);
    events_deinit(&events);
}
END_TEST

/* What counts is kept whatever is noted beside it, and comes in its place. */
START_TEST(a_flood_of_notes_pushes_no_loss_out)
{
    static struct events events;
    struct seen seen = {0}, rest = {0};

    note_many(&events, 3);
    event_note(&events, EVENT_LOSS, LOG_LEVEL_ERROR, "lost");
    note_many(&events, EVENTS_MAX / 2);
    event_note(&events, EVENT_DISK, LOG_LEVEL_WARN, "warned");
    note_many(&events, EVENTS_MAX);
    ck_assert_uint_eq(events_each(&events, 0, see, &seen), EVENTS_MAX / 2 * 3 + 5);
    ck_assert_uint_eq(seen.first, 4); /* of the notes only the newest are left; that loss was the fourth event */
    ck_assert_uint_eq(seen.count, EVENTS_MAX + 2);
    seen = (struct seen){.stop_at = 1};
    events_each(&events, 3, see, &seen);
    ck_assert_str_eq(seen.text, "lost");
    rest.stop_at = 1;
    events_each(&events, 4, see, &rest);
    ck_assert_str_eq(rest.text, "warned");
    rest = (struct seen){0};
    events_each(&events, rest.last = EVENTS_MAX / 2 + 5, see, &rest);
    ck_assert_uint_eq(rest.count, EVENTS_MAX);
    ck_assert(!rest.is_disordered);
    events_deinit(&events);
}
END_TEST

START_TEST(a_text_is_cut_and_forges_no_line)
{
    static struct events events;
    struct seen seen = {0};
    char text[2 * EVENT_TEXT_SIZE_MAX];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    text[3] = '\n';
    text[4] = '\033';
    event_note(&events, EVENT_LOSS, LOG_LEVEL_DEBUG, "%s", text);
    events_each(&events, 0, see, &seen);
    ck_assert_uint_eq(strlen(seen.text), EVENT_TEXT_SIZE_MAX - 1);
    ck_assert(strncmp(seen.text, "xxx??xxx", 8) == 0);
    events_deinit(&events);
    event_note(NULL, EVENT_LOSS, LOG_LEVEL_DEBUG, "only logged");
}
END_TEST

#define THREADS 4
#define EACH    2000

static void *note_thread(void *user)
{
    note_many(user, EACH);
    return NULL;
}

START_TEST(threads_may_note_at_once)
{
    static struct events events;
    pthread_t threads[THREADS];
    struct seen seen = {0};

    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, note_thread, &events), 0);
    for (int i = 0; i < 50; i++)
        events_each(&events, 0, see, &seen);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    seen = (struct seen){0};
    ck_assert_uint_eq(events_each(&events, 0, see, &seen), (uint64_t)THREADS * EACH);
    ck_assert_uint_eq(seen.count, EVENTS_MAX);
    ck_assert(!seen.is_disordered);
    events_deinit(&events);
}
END_TEST

START_TEST(without_memory_an_event_is_in_the_log_alone)
{
    static struct events events;
    struct seen seen = {0};

    failing_alloc_arm(1);
    event_note(&events, EVENT_LOSS, LOG_LEVEL_DEBUG, "lost=1");
    ck_assert(failing_alloc_disarm());
    note_many(&events, 1);
    ck_assert_uint_eq(events_each(&events, 0, see, &seen), 1);
    ck_assert_uint_eq(seen.count, 1);
    events_deinit(&events);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("events");
    TCase *tcase = tcase_create("events");

    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, events_come_in_order_and_behind_a_place);
    tcase_add_test(tcase, the_oldest_give_way);
    tcase_add_test(tcase, a_flood_of_notes_pushes_no_loss_out);
    tcase_add_test(tcase, a_text_is_cut_and_forges_no_line);
    tcase_add_test(tcase, threads_may_note_at_once);
    tcase_add_test(tcase, without_memory_an_event_is_in_the_log_alone);
    return run_suite(suite);
}
