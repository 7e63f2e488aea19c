#include "group_app.h"

#include <check.h>
#include <stdio.h>

struct fake_broker *broker;
struct fake_groups groups;
const char *liveness = "thread";

struct plan plan;

static enum fake_action follow_plan(void *user, struct fake_broker *unused, enum frame_op op, int *error)
{
    struct plan *p = user;

    (void)unused;
    if (atomic_load(&p->count) <= 0 || op != p->op || atomic_fetch_sub(&p->count, 1) <= 0) return FAKE_SERVE;
    *error = p->error;
    return p->action;
}

void plan_for(enum frame_op op, enum fake_action action, int error, int count)
{
    atomic_store(&plan.count, 0);
    plan.op = op;
    plan.action = action;
    plan.error = error;
    atomic_store(&plan.count, count);
}

/* ---- a consumer of the application, and what it has seen ---- */

void on_rebalance(void *user, struct mesh_consumer *consumer, struct mesh_rebalance *rebalance)
{
    struct app *app = user;

    ck_assert_ptr_eq(consumer, app->consumer);
    for (size_t i = 0; i < mesh_rebalance_count(rebalance); i++) {
        const char *topic;
        int32_t partition;
        int64_t offset;

        ck_assert_int_eq(mesh_rebalance_get(rebalance, i, &topic, &partition, &offset), 0);
        ck_assert_str_eq(topic, "t");
        switch (mesh_rebalance_kind(rebalance)) {
        case MESH_REBALANCE_ASSIGNED:
            ck_assert(!app->is_mine[partition]);
            app->is_mine[partition] = true;
            app->assigned++;
            if (app->begins_at >= 0) ck_assert_int_eq(mesh_rebalance_set_offset(rebalance, i, app->begins_at), 0);
            break;
        case MESH_REBALANCE_REVOKED: app->revoked++; /* fallthrough */
        case MESH_REBALANCE_LOST:
            app->lost += mesh_rebalance_kind(rebalance) == MESH_REBALANCE_LOST;
            ck_assert(app->is_mine[partition]);
            app->is_mine[partition] = false;
            break;
        }
    }
}

int subscribe_with(struct app *app, const char *const *settings, const char *pattern)
{
    const char *const topics[] = {"t"};
    struct mesh_group_options *options = NULL;
    int err;

    ck_assert_int_eq(mesh_group_options_new(&options), 0);
    ck_assert_int_eq(mesh_group_options_set(options, "group", "g"), 0);
    ck_assert_int_eq(mesh_group_options_set(options, "session.ms", "2000"), 0);
    ck_assert_int_eq(mesh_group_options_set(options, "commit.interval.ms", "50"), 0);
    ck_assert_int_eq(mesh_group_options_set(options, "liveness", liveness), 0);
    for (; *settings != NULL; settings += 2)
        ck_assert_int_eq(mesh_group_options_set(options, settings[0], settings[1]), 0);
    err = pattern != NULL ? mesh_consumer_subscribe_pattern(app->consumer, options, pattern) : mesh_consumer_subscribe(app->consumer, options, topics, 1);
    mesh_group_options_free(options);
    return err;
}

const char *const none[] = {NULL};

void open_app(struct app *app)
{
    memset(app, 0, sizeof(*app));
    app->begins_at = -1;
    for (int p = 0; p < PARTITIONS; p++)
        app->first[p] = app->next[p] = -1;
    ck_assert_int_eq(mesh_client_new(broker->address, &app->client), 0);
    ck_assert_int_eq(mesh_client_set_timeout_ms(app->client, PATIENCE), 0);
    ck_assert_int_eq(mesh_consumer_new(app->client, &app->consumer), 0);
    mesh_consumer_on_rebalance(app->consumer, on_rebalance, app);
}

void close_app(struct app *app)
{
    mesh_consumer_free(app->consumer);
    mesh_client_free(app->client);
}

int poll_once(struct app *app, size_t max, int timeout_ms)
{
    struct mesh_consumed records[TOTAL];
    size_t count = 0;
    int err = mesh_consumer_poll(app->consumer, records, max, timeout_ms, &count);

    for (size_t i = 0; i < count; i++) {
        int32_t p = records[i].partition;

        ck_assert(app->is_mine[p]);
        if (app->first[p] < 0) app->first[p] = records[i].offset;
        ck_assert(app->next[p] < 0 || app->next[p] == records[i].offset);
        app->next[p] = records[i].offset + 1;
        app->total++;
    }
    return err;
}

void poll_until(struct app *app, unsigned total)
{
    for (int i = 0; i < 1000 && app->total < total; i++)
        ck_assert_int_eq(poll_once(app, 10, 100), 0);
    ck_assert_uint_ge(app->total, total);
}

void set_up(void)
{
    char texts[TOTAL][16];
    const char *values[TOTAL];

    broker = fake_broker_new("t", PARTITIONS);
    fake_groups_init(&groups, broker);
    broker->script = follow_plan;
    broker->script_user = &plan;
    plan = (struct plan){0};
    for (int i = 0; i < TOTAL; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%d", i);
        values[i] = texts[i];
    }
    for (uint32_t p = 0; p < PARTITIONS; p++)
        for (int batch = 0; batch < TOTAL; batch += 10)
            fake_broker_append(broker, p, values + batch, 10, RECORD_COMPRESSION_NONE);
    fake_broker_start(broker);
}

void stop(void)
{
    fake_broker_stop(broker);
}

void tear_down(void)
{
    fake_broker_free(broker);
    fake_groups_deinit(&groups);
}
