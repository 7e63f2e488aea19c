#include "client/group.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/random.h"
#include "client/pool.h"

#include <stdlib.h>
#include <string.h>

/* ---- one turn ---- */

static void take_news(struct consumer_group *group)
{
    struct group_news news;

    while (group->keeper != NULL && group_keeper_take(group->keeper, &news))
        consumer_member_heard(group->member, group->consumer->client->now_ms, news.sent_ms, slice_of_string(news.id), &news.answer);
}

static void tell_pulse(struct consumer_group *group)
{
    struct consumer_member_view view = consumer_member_view(group->member);

    if (group->keeper != NULL)
        group_keeper_follow(group->keeper, &view);
    else
        group_beat(group);
}

static void arm(struct consumer_group *group)
{
    uint64_t deadline_ms = consumer_member_deadline_ms(group->member), beat_ms = TIMER_NEVER;

    if (group->keeper == NULL && group->beat == NULL) beat_ms = consumer_pulse_deadline_ms(&group->pulse);
    if (beat_ms < deadline_ms) deadline_ms = beat_ms;
    if (group->unnamed.count > 0 && group->describe == NULL && group->describe_retry_ms < deadline_ms) deadline_ms = group->describe_retry_ms;
    client_arm(group->consumer->client, &group->timer, deadline_ms);
}

void group_pump_run(struct pump *pump)
{
    struct consumer_group *group = container_of(pump, struct consumer_group, pump);

    take_news(group);
    group_send(group);
    tell_pulse(group);
    arm(group);
}

static void timer_due(struct timer *timer, uint64_t now_ms)
{
    struct consumer_group *group = container_of(timer, struct consumer_group, timer);

    (void)now_ms;
    client_mark(group->consumer->client, &group->pump);
}

/* ---- how long the application takes ---- */

void group_handling(struct consumer_group *group, const struct mesh_consumed *first)
{
    group->polled_ms = clock_monotonic_ms();
    group->handling = (struct group_handling){.since_ms = group->polled_ms, .offset = first->offset, .partition = first->partition};
    memcpy(group->handling.topic, first->topic, strlen(first->topic) + 1);
    if (group->keeper != NULL && group->consumer->slow != NULL) group_keeper_handling(group->keeper, &group->handling);
}

/* The application is back. Without a thread it is the first who can say that it was slow. */
static void group_handled(struct consumer_group *group)
{
    uint64_t took_ms = group->consumer->client->now_ms - group->polled_ms;

    if (group->polled_ms == 0) return;
    group->polled_ms = 0;
    if (group->keeper != NULL) group_keeper_handling(group->keeper, NULL);
    if (took_ms <= group->options.processing_ms / 2) return;
    group->slow++;
    if (group->keeper == NULL && group->consumer->slow != NULL) group_tell_slow(group->consumer, &group->handling, took_ms, group->options.processing_ms);
}

void group_tell_slow(const struct mesh_consumer *consumer, const struct group_handling *handling, uint64_t took_ms, uint32_t limit_ms)
{
    const struct mesh_slow_info info = {handling->topic, handling->partition, handling->offset, (int64_t)took_ms, (int64_t)limit_ms};

    consumer->slow(consumer->slow_user, &info);
}

/* ---- between records ---- */

int group_turn(struct consumer_group *group)
{
    struct mesh_client *client = group->consumer->client;
    int err;

    MESH_ASSERT(!group->is_turning);
    client->now_ms = clock_monotonic_ms();
    group_handled(group);
    take_news(group);
    err = group->consumer->pool != NULL ? pool_turn(group->consumer->pool) : 0;
    if (err != 0) return err;
    err = group_take_changes(group);
    if (err != 0) return client_fail(client, err, "%s", mesh_strerror(err));
    if (group->failure != 0)
        return client_fail(client, group->failure, "the consumer is no longer a member of group \"%s\": %s", group->options.group,
                           mesh_strerror(group->failure));
    client_mark(client, &group->pump);
    return 0;
}

/* ---- making and ending ---- */

static void free_names(struct consumer_group *group)
{
    for (size_t i = 0; i < group->name_count; i++)
        free(group->names[i]);
    free(group->names);
    free(group->pattern);
    group->names = NULL;
    group->pattern = NULL;
    group->name_count = 0;
}

static void destroy(struct consumer_group *group)
{
    struct mesh_client *client = group->consumer->client;
    struct list_node *node;

    group->is_ending = true;
    group_keeper_free(group->keeper);
    group_forget_calls(group);
    group_committed_up_to(group, UINT64_MAX, MESH_ECANCELED);
    group_drop_all(group);
    group_forget_names(group);
    consumer_member_free(group->member);
    while ((node = list_pop_front(&group->waiters)) != NULL)
        free(container_of(node, struct group_waiter, node));
    client_remove_timer(client, &group->timer);
    client_remove_pump(client, &group->pump);
    free_names(group);
    free(group->cells);
    free(group->places);
    free(group->unnamed.items);
    group->consumer->group = NULL;
    free(group);
}

static bool is_over(void *user)
{
    struct consumer_group *group = user;

    return group_take_changes(group) == 0 && (group->has_left || group->failure != 0);
}

static int leave(struct consumer_group *group, bool for_good, uint64_t deadline_ms)
{
    struct mesh_client *client = group->consumer->client;
    int err;

    if (group->failure != 0) return 0;
    consumer_member_leave(group->member, for_good);
    client_mark(client, &group->pump);
    err = client_run(client, is_over, group, deadline_ms);
    if (err == MESH_ETIMEDOUT) client_fail(client, err, "group \"%s\" did not answer in time: the member goes when its session is over", group->options.group);
    return err;
}

void group_free(struct consumer_group *group)
{
    if (group == NULL) return;
    MESH_ASSERT(!group->is_turning); /* what called the callback goes on with the group */
    if (!group->consumer->client->is_dispatching) leave(group, false, client_deadline(group->consumer->client, GROUP_FREE_MS));
    destroy(group);
}

static int make(struct mesh_consumer *consumer, const struct mesh_group_options *options, struct consumer_group **ret_group)
{
    struct mesh_client *client = consumer->client;
    struct consumer_group *group = calloc(1, sizeof(*group));
    const struct consumer_member_terms terms = {options->session_ms, options->processing_ms, options->delivery == GROUP_AT_MOST_ONCE ? 0 : options->commit_interval_ms,
                                                options->instance[0] != '\0'};
    int err;

    if (group == NULL) return MESH_ENOMEM;
    group->consumer = consumer;
    group->options = *options;
    group->leader = -1;
    list_init(&group->topics);
    list_init(&group->polled);
    list_init(&group->waiters);
    consumer_pulse_init(&group->pulse, options->session_ms);
    err = client_add_timer(client, &group->timer, timer_due);
    client_add_pump(client, &group->pump, group_pump_run);
    if (err == 0) err = consumer_member_new(&terms, random_next(&client->random), clock_monotonic_ms(), &group->member);
    if (err == 0 && options->has_thread) err = client_be_wakeable(client);
    if (err == 0 && options->has_thread) err = group_keeper_new(consumer, &group->options, &group->keeper);
    if (err != 0) {
        destroy(group);
        return err;
    }
    *ret_group = group;
    return 0;
}

/* ---- subscribing ---- */

static int copy_names(const char *const *topics, size_t count, char ***ret_names)
{
    char **names = calloc(count + 1, sizeof(*names));

    if (names == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        names[i] = strdup(topics[i]);
        if (names[i] != NULL) continue;
        while (i-- > 0)
            free(names[i]);
        free(names);
        return MESH_ENOMEM;
    }
    *ret_names = names;
    return 0;
}

/* *settled: as the group is called for real. */
static int check(struct mesh_consumer *consumer, const struct mesh_group_options *options, struct mesh_group_options *settled)
{
    struct mesh_client *client = consumer->client;
    const struct consumer_group *group = consumer->group;
    int err;

    if (client->is_dispatching || (consumer->group != NULL && consumer->group->is_turning))
        return client_fail(client, MESH_EINVAL, "a callback may not subscribe");
    if (options == NULL || options->group[0] == '\0') return client_fail(client, MESH_EINVAL, "a subscription needs the name of a group");
    *settled = *options;
    err = group_options_settle(client, settled);
    if (err != 0) return err;
    if (group == NULL && !list_is_empty(&consumer->assignments))
        return client_fail(client, MESH_EINVAL, "the consumer has partitions of its own: it cannot be in a group, too");
    if (group != NULL && group->failure == 0 &&
        (strcmp(group->options.group, settled->group) != 0 || strcmp(group->options.instance, settled->instance) != 0))
        return client_fail(client, MESH_EINVAL, "the consumer is in group \"%s\" already: unsubscribe first", group->options.group);
    return 0;
}

/* Takes the names and the pattern, also when it fails. */
static int subscribe(struct mesh_consumer *consumer, const struct mesh_group_options *options, char **names, size_t count, char *pattern)
{
    bool is_new;
    int err = 0;

    if (consumer->group != NULL && consumer->group->failure != 0) destroy(consumer->group); /* nothing goes on with it */
    is_new = consumer->group == NULL;
    if (is_new) err = make(consumer, options, &consumer->group);
    if (err != 0) {
        for (size_t i = 0; i < count; i++)
            free(names[i]);
        free(names);
        free(pattern);
        return client_fail(consumer->client, err, "%s", mesh_strerror(err));
    }
    free_names(consumer->group);
    consumer->group->names = names;
    consumer->group->name_count = count;
    consumer->group->pattern = pattern;
    if (!is_new) consumer_member_subscribe(consumer->group->member);
    client_mark(consumer->client, &consumer->group->pump);
    return 0;
}

int mesh_consumer_subscribe(struct mesh_consumer *consumer, const struct mesh_group_options *options, const char *const *topics, size_t topic_count)
{
    char **names = NULL;
    struct mesh_group_options settled;
    int err = check(consumer, options, &settled);

    if (err != 0) return err;
    if (topic_count == 0) return client_fail(consumer->client, MESH_EINVAL, "a subscription needs a topic");
    err = copy_names(topics, topic_count, &names);
    if (err != 0) return client_fail(consumer->client, err, "%s", mesh_strerror(err));
    return subscribe(consumer, &settled, names, topic_count, NULL);
}

int mesh_consumer_subscribe_pattern(struct mesh_consumer *consumer, const struct mesh_group_options *options, const char *pattern)
{
    char *copy;
    struct mesh_group_options settled;
    int err = check(consumer, options, &settled);

    if (err != 0) return err;
    if (pattern == NULL || pattern[0] == '\0') return client_fail(consumer->client, MESH_EINVAL, "a pattern has at least one character");
    copy = strdup(pattern);
    if (copy == NULL) return client_fail(consumer->client, MESH_ENOMEM, "%s", mesh_strerror(MESH_ENOMEM));
    return subscribe(consumer, &settled, NULL, 0, copy);
}

/* Leaving commits first: what becomes of that commit is told, too. */
static int leave_and_destroy(struct consumer_group *group, uint64_t deadline_ms)
{
    struct mesh_client *client = group->consumer->client;
    struct group_commit_wait wait = {group, false, 0};
    int refused = group->options.delivery == GROUP_AT_LEAST_ONCE ? group_store_polled(group) : 0;
    int asked = group_commit_ask(group, group_commit_note, &wait);
    int err = leave(group, true, deadline_ms);

    if (refused == 0) refused = wait.is_done ? wait.error : asked;
    destroy(group);
    if (err != 0) return err;
    return refused == 0 ? 0 : client_fail(client, refused, "the consumer has left its group, and not all offsets were committed: %s", mesh_strerror(refused));
}

int mesh_consumer_unsubscribe(struct mesh_consumer *consumer)
{
    struct mesh_client *client = consumer->client;

    if (consumer->group == NULL) return client_fail(client, MESH_EINVAL, "the consumer is not subscribed");
    if (client->is_dispatching || consumer->group->is_turning) return client_fail(client, MESH_EINVAL, "a callback may not call a function that waits");
    if (consumer->pool != NULL) return client_fail(client, MESH_EINVAL, "a pool goes before its consumer unsubscribes");
    return leave_and_destroy(consumer->group, client_deadline(client, client->timeout_ms));
}

void mesh_consumer_on_slow(struct mesh_consumer *consumer, mesh_slow_fn *slow, void *user)
{
    consumer->slow = slow;
    consumer->slow_user = user;
}

void mesh_consumer_on_rebalance(struct mesh_consumer *consumer, mesh_rebalance_fn *rebalance, void *user)
{
    consumer->rebalance = rebalance;
    consumer->rebalance_user = user;
}

int mesh_consumer_membership(const struct mesh_consumer *consumer, struct mesh_membership_info *ret_info)
{
    const struct consumer_group *group = consumer->group;
    struct consumer_member_view view;
    uint64_t now_ms = clock_monotonic_ms();

    if (group == NULL) return client_fail(consumer->client, MESH_EINVAL, "the consumer is not subscribed");
    view = consumer_member_view(group->member);
    *ret_info = (struct mesh_membership_info){.group = group->options.group,
                                              .member = (const char *)view.id.data,
                                              .is_joined = view.is_joined,
                                              .generation = view.generation,
                                              .partitions = view.owned,
                                              .lease_ms = view.lease_until_ms > now_ms ? (int64_t)(view.lease_until_ms - now_ms) : 0,
                                              .slow = group->slow,
                                              .trouble = view.trouble};
    return 0;
}
