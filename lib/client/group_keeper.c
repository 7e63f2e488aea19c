#include "client/group_keeper.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "client/broker.h"
#include "client/call.h"
#include "client/group.h"
#include "client/topic.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct group_keeper {
    const struct mesh_consumer *consumer;
    struct mesh_client *owner;  /* the consumer's, to be woken */
    struct mesh_client *client; /* the thread's */
    const struct mesh_group_options *options;
    pthread_t thread;
    pthread_mutex_t mutex;
    /* Under the lock. */
    bool is_stopping, has_followed, has_good, has_bad;
    struct consumer_member_view view; /* its id is in `id` */
    char id[UUID_STRING_SIZE];
    struct group_news good, bad;
    struct group_handling handling; /* since_ms 0: nothing, or it was told */
    /* The thread's. */
    struct consumer_pulse pulse;
    struct call *call;
    char call_id[UUID_STRING_SIZE];
    uint32_t generation;
    int32_t leader;
};

/* ---- the thread ---- */

static void beaten(struct call *call, int err, struct slice message)
{
    struct group_keeper *keeper = call->user;
    struct group_news news = {.sent_ms = keeper->pulse.sent_ms};
    int32_t leader;

    group_decode_heartbeat(err, message, &news.answer, &leader);
    memcpy(news.id, keeper->call_id, sizeof(keeper->call_id));
    keeper->leader = leader;
    keeper->call = NULL;
    consumer_pulse_answered(&keeper->pulse, keeper->client->now_ms, news.answer.error);
    call_free(call);
    if (news.answer.error == 0) topic_keep_brokers_fresh(keeper->client); /* it has no topics, whose routes would bring that */
    pthread_mutex_lock(&keeper->mutex);
    *(news.answer.error == 0 ? &keeper->good : &keeper->bad) = news;
    *(news.answer.error == 0 ? &keeper->has_good : &keeper->has_bad) = true;
    pthread_mutex_unlock(&keeper->mutex);
    client_wake(keeper->owner);
}

static void beat(struct group_keeper *keeper)
{
    uint32_t timeout_ms;
    int err;

    if (!consumer_pulse_next(&keeper->pulse, keeper->client->now_ms, &timeout_ms)) return;
    memcpy(keeper->call_id, keeper->pulse.id, keeper->pulse.id_size);
    err = call_new(keeper->client, FRAME_OP_GROUP_HEARTBEAT, beaten, keeper, &keeper->call);
    if (err == 0)
        err = group_encode_heartbeat(keeper->options, slice_of_string(keeper->call_id), keeper->generation, timeout_ms, false, &keeper->call->message);
    if (err != 0) {
        call_free(keeper->call);
        keeper->call = NULL;
        consumer_pulse_answered(&keeper->pulse, keeper->client->now_ms, err);
        return;
    }
    keeper->call->is_repeatable = false;
    keeper->call->is_single = true;
    keeper->call->node_id = keeper->leader;
    call_start(keeper->call, keeper->client->now_ms + timeout_ms);
}

/* False: the thread is to end. */
static bool look(struct group_keeper *keeper)
{
    bool is_stopping;

    keeper->client->now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&keeper->mutex);
    is_stopping = keeper->is_stopping;
    if (keeper->has_followed) {
        keeper->generation = keeper->view.generation;
        consumer_pulse_follow(&keeper->pulse, keeper->client->now_ms, &keeper->view);
        keeper->has_followed = false;
    }
    pthread_mutex_unlock(&keeper->mutex);
    return !is_stopping;
}

static uint64_t slow_from_ms(const struct group_keeper *keeper)
{
    return keeper->handling.since_ms == 0 ? TIMER_NEVER : keeper->handling.since_ms + keeper->options->processing_ms / 2 + 1;
}

/* A handler that hangs never says so itself. Returns when to look again. */
static uint64_t look_at_handling(struct group_keeper *keeper)
{
    struct group_handling slow = {0};
    uint64_t next_ms;

    pthread_mutex_lock(&keeper->mutex);
    if (keeper->client->now_ms >= slow_from_ms(keeper)) {
        slow = keeper->handling;
        keeper->handling.since_ms = 0;
    }
    next_ms = slow_from_ms(keeper);
    pthread_mutex_unlock(&keeper->mutex);
    if (slow.since_ms > 0) group_tell_slow(keeper->consumer, &slow, keeper->client->now_ms - slow.since_ms, keeper->options->processing_ms);
    return next_ms;
}

static void *keep(void *arg)
{
    struct group_keeper *keeper = arg;

    while (look(keeper)) {
        uint64_t slow_ms = look_at_handling(keeper), beat_ms;

        beat(keeper);
        beat_ms = consumer_pulse_deadline_ms(&keeper->pulse);
        if (client_step(keeper->client, beat_ms < slow_ms ? beat_ms : slow_ms) != 0) break; /* epoll itself failed: heartbeats end, and the lease with them */
    }
    return NULL;
}

/* ---- the other side ---- */

static int dial_the_same(const struct mesh_client *owner, struct mesh_client **ret_client)
{
    struct buffer text = BUFFER_INIT;
    char address[ADDRESS_TEXT_SIZE];
    size_t count = 0;
    int err = 0;

    list_for_each(node, &owner->brokers)
    {
        const struct broker *broker = container_of(node, struct broker, node);
        if (count++ < ADDRESS_LIST_MAX && err == 0) err = buffer_printf(&text, "%s%s", text.size > 0 ? "," : "", address_format(&broker->address, address));
    }
    if (err == 0) err = buffer_append(&text, "", 1);
    if (err == 0) err = mesh_client_new((const char *)text.data, ret_client);
    buffer_deinit(&text);
    return err;
}

static int start_thread(struct group_keeper *keeper)
{
    sigset_t all, before;
    int err;

    sigfillset(&all); /* signals are the application's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&keeper->thread, NULL, keep, keeper);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err == 0 ? 0 : MESH_EIO;
}

int group_keeper_new(struct mesh_consumer *consumer, const struct mesh_group_options *options, struct group_keeper **ret_keeper)
{
    struct mesh_client *client = consumer->client;
    struct group_keeper *keeper = calloc(1, sizeof(*keeper));
    int err;

    if (keeper == NULL) return MESH_ENOMEM;
    keeper->consumer = consumer;
    keeper->owner = client;
    keeper->options = options;
    keeper->leader = -1;
    consumer_pulse_init(&keeper->pulse, options->session_ms);
    err = dial_the_same(client, &keeper->client);
    if (err == 0) err = client_be_wakeable(keeper->client);
    if (err == 0) err = mesh_client_set_name(keeper->client, client->name);
    pthread_mutex_init(&keeper->mutex, NULL);
    if (err == 0) err = start_thread(keeper);
    if (err != 0) {
        mesh_client_free(keeper->client);
        pthread_mutex_destroy(&keeper->mutex);
        free(keeper);
        return err;
    }
    *ret_keeper = keeper;
    return 0;
}

void group_keeper_free(struct group_keeper *keeper)
{
    if (keeper == NULL) return;
    pthread_mutex_lock(&keeper->mutex);
    keeper->is_stopping = true;
    pthread_mutex_unlock(&keeper->mutex);
    client_wake(keeper->client);
    pthread_join(keeper->thread, NULL);
    call_free(keeper->call);
    mesh_client_free(keeper->client);
    pthread_mutex_destroy(&keeper->mutex);
    free(keeper);
}

void group_keeper_follow(struct group_keeper *keeper, const struct consumer_member_view *view)
{
    bool is_new;

    pthread_mutex_lock(&keeper->mutex);
    is_new = view->is_joined != keeper->view.is_joined || view->is_waiting != keeper->view.is_waiting || view->heartbeat_ms != keeper->view.heartbeat_ms ||
             view->generation != keeper->view.generation || memcmp(keeper->id, view->id.data, view->id.size) != 0;
    if (is_new) {
        keeper->view = *view;
        memcpy(keeper->id, view->id.data, view->id.size);
        keeper->view.id = slice_of(keeper->id, view->id.size);
        keeper->has_followed = true;
    }
    pthread_mutex_unlock(&keeper->mutex);
    if (is_new) client_wake(keeper->client);
}

/* The thread is not woken for it: it looks at least once in a heartbeat's time, and that is soon enough for all but the shortest limits. */
void group_keeper_handling(struct group_keeper *keeper, const struct group_handling *handling)
{
    pthread_mutex_lock(&keeper->mutex);
    if (handling != NULL)
        keeper->handling = *handling;
    else
        keeper->handling.since_ms = 0;
    pthread_mutex_unlock(&keeper->mutex);
}

bool group_keeper_take(struct group_keeper *keeper, struct group_news *ret_news)
{
    bool has_any;

    pthread_mutex_lock(&keeper->mutex);
    has_any = keeper->has_good || keeper->has_bad;
    if (keeper->has_good)
        *ret_news = keeper->good;
    else if (keeper->has_bad)
        *ret_news = keeper->bad;
    if (keeper->has_good)
        keeper->has_good = false;
    else
        keeper->has_bad = false;
    pthread_mutex_unlock(&keeper->mutex);
    return has_any;
}
