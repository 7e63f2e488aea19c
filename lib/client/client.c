#include "client/client.h"

#include "base/clock.h"
#include "base/address.h"
#include "client/broker.h"
#include "client/call.h"
#include "client/topic.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CLIENT_EVENTS_MAX         64
#define CLIENT_TIMEOUT_DEFAULT_MS 30000

/* ---- making and freeing ---- */

static int add_seeds(struct mesh_client *client, const char *brokers)
{
    struct address *addresses = calloc(ADDRESS_LIST_MAX, sizeof(*addresses));
    size_t count = 0;
    int err = MESH_ENOMEM;

    if (addresses == NULL) return MESH_ENOMEM;
    if (brokers == NULL || brokers[0] == '\0') brokers = getenv("MESH_BROKER");
    if (brokers == NULL || brokers[0] == '\0') brokers = "127.0.0.1";
    err = address_parse_list(brokers, addresses, ADDRESS_LIST_MAX, &count);
    for (size_t i = 0; i < count && err == 0; i++) {
        struct broker *broker = NULL;
        err = broker_new(client, &addresses[i], true, &broker);
    }
    free(addresses);
    return err;
}

static void seed_timer_due(struct timer *timer, uint64_t now_ms)
{
    struct mesh_client *client = container_of(timer, struct mesh_client, seed_timer);

    (void)now_ms;
    client_mark(client, &client->call_pump);
}

int mesh_client_new(const char *brokers, struct mesh_client **ret_client)
{
    struct mesh_client *client = calloc(1, sizeof(*client));
    uint64_t seed;
    int err = MESH_ENOMEM;

    if (client == NULL) return MESH_ENOMEM;
    client->timeout_ms = CLIENT_TIMEOUT_DEFAULT_MS;
    client->refused_timeout_ms = -1;
    client->wake_fd = -1;
    client->now_ms = clock_monotonic_ms();
    list_init(&client->brokers);
    list_init(&client->topics);
    list_init(&client->calls);
    list_init(&client->pumps);
    list_init(&client->pumps_due);
    list_init(&client->to_flush);
    random_system_bytes(&seed, sizeof(seed));
    random_init(&client->random, seed);
    client->relay_salt = random_next(&client->random);
    client_add_pump(client, &client->call_pump, call_pump_run);
    client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (client->epoll_fd < 0) {
        err = error_from_errno(errno);
        goto fail;
    }
    err = client_add_timer(client, &client->seed_timer, seed_timer_due);
    if (err != 0) goto fail;
    err = add_seeds(client, brokers);
    if (err != 0) goto fail;
    *ret_client = client;
    return 0;
fail:
    mesh_client_free(client);
    return err;
}

void mesh_client_free(struct mesh_client *client)
{
    if (client == NULL) return;
    call_free(client->cluster_call);
    client->cluster_call = NULL;
    list_for_each_safe(node, &client->topics) topic_free(container_of(node, struct topic, node));
    list_for_each_safe(node, &client->calls) call_free(container_of(node, struct call, node));
    list_for_each_safe(node, &client->brokers) broker_free(container_of(node, struct broker, node));
    if (client->wake_fd >= 0) close(client->wake_fd);
    if (client->epoll_fd >= 0) close(client->epoll_fd);
    timer_heap_deinit(&client->timers);
    free(client);
}

int mesh_client_set_name(struct mesh_client *client, const char *name)
{
    size_t size = name != NULL ? strlen(name) : 0;

    if (size >= CLIENT_NAME_SIZE)
        return client_fail(client, MESH_EINVAL, "a client's name has at most %d bytes", CLIENT_NAME_SIZE - 1);
    if (size > 0) memcpy(client->name, name, size);
    client->name[size] = '\0';
    return 0;
}

const char *mesh_client_remark(const struct mesh_client *client)
{
    return client->remark;
}

int mesh_client_set_timeout_ms(struct mesh_client *client, int timeout_ms)
{
    if (timeout_ms < 1) return client_fail(client, MESH_EINVAL, "a client's timeout is at least 1 ms");
    client->timeout_ms = timeout_ms;
    return 0;
}

int mesh_client_set_refused_timeout_ms(struct mesh_client *client, int timeout_ms)
{
    if (timeout_ms < -1) return client_fail(client, MESH_EINVAL, "a timeout is -1 or at least 0 ms");
    client->refused_timeout_ms = timeout_ms;
    return 0;
}

const char *mesh_client_error(const struct mesh_client *client)
{
    return client->error_text;
}

int client_fail(struct mesh_client *client, int err, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(client->error_text, sizeof(client->error_text), format, arguments);
    va_end(arguments);
    return err;
}

const char *mesh_version(void)
{
    return MESH_VERSION_STRING;
}

/* ---- pumps and timers ---- */

void client_add_pump(struct mesh_client *client, struct pump *pump, void (*run)(struct pump *pump))
{
    pump->run = run;
    list_init(&pump->due_node);
    list_push_back(&client->pumps, &pump->node);
}

void client_remove_pump(struct mesh_client *client, struct pump *pump)
{
    (void)client;
    list_remove(&pump->node);
    list_remove(&pump->due_node);
}

void client_mark(struct mesh_client *client, struct pump *pump)
{
    if (list_is_empty(&pump->due_node)) list_push_back(&client->pumps_due, &pump->due_node);
}

void client_mark_all(struct mesh_client *client)
{
    list_for_each(node, &client->pumps) client_mark(client, container_of(node, struct pump, node));
}

void client_flush(struct mesh_client *client)
{
    struct list_node *node;

    while ((node = list_pop_front(&client->to_flush)) != NULL)
        connection_flush(container_of(node, struct connection, flush_node));
}

void client_pump(struct mesh_client *client)
{
    struct list_node *node;
    bool was_dispatching = client->is_dispatching;

    client->is_dispatching = true;
    do {
        while ((node = list_pop_front(&client->pumps_due)) != NULL) {
            struct pump *pump = container_of(node, struct pump, due_node);
            pump->run(pump);
        }
        client_flush(client); /* a send that fails marks pumps again */
    } while (!list_is_empty(&client->pumps_due));
    client->is_dispatching = was_dispatching;
}

int client_add_timer(struct mesh_client *client, struct timer *timer, void (*due)(struct timer *, uint64_t))
{
    timer_init(timer, due);
    if (timer_heap_reserve(&client->timers, client->timer_count + 1) != 0) {
        timer->due = NULL; /* never entered: see client_remove_timer() */
        return MESH_ENOMEM;
    }
    client->timer_count++;
    return 0;
}

void client_remove_timer(struct mesh_client *client, struct timer *timer)
{
    if (timer->due == NULL) return;
    timer_disarm(&client->timers, timer);
    timer->due = NULL;
    client->timer_count--;
}

void client_arm(struct mesh_client *client, struct timer *timer, uint64_t deadline_ms)
{
    if (deadline_ms == TIMER_NEVER)
        timer_disarm(&client->timers, timer);
    else
        timer_arm(&client->timers, timer, deadline_ms);
}

/* ---- turns ---- */

uint64_t client_deadline(struct mesh_client *client, int timeout_ms)
{
    client->now_ms = clock_monotonic_ms();
    return timeout_ms < 0 ? TIMER_NEVER : client->now_ms + (uint64_t)timeout_ms;
}

int client_be_wakeable(struct mesh_client *client)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};

    if (client->wake_fd >= 0) return 0;
    client->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (client->wake_fd < 0) return client_fail(client, MESH_EIO, "an eventfd could not be made: %s", strerror(errno));
    if (epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, client->wake_fd, &event) == 0) return 0;
    close(client->wake_fd);
    client->wake_fd = -1;
    return client_fail(client, MESH_EIO, "epoll_ctl: %s", strerror(errno));
}

void client_wake(struct mesh_client *client)
{
    const uint64_t one = 1;

    if (write(client->wake_fd, &one, sizeof(one)) < 0) return; /* it is awake already: the counter is full */
}

static void woken(struct mesh_client *client)
{
    uint64_t count;

    if (read(client->wake_fd, &count, sizeof(count)) < 0) return;
    client_mark_all(client);
}

static int wait_ms(const struct mesh_client *client, uint64_t deadline_ms)
{
    uint64_t next_ms = timer_heap_next_ms(&client->timers);

    if (!list_is_empty(&client->pumps_due)) return 0;
    if (next_ms > deadline_ms) next_ms = deadline_ms;
    if (next_ms == TIMER_NEVER) return -1;
    if (next_ms <= client->now_ms) return 0;
    return next_ms - client->now_ms > INT32_MAX ? INT32_MAX : (int)(next_ms - client->now_ms);
}

static void run_timers(struct mesh_client *client)
{
    struct timer *timer;

    while ((timer = timer_heap_pop_due(&client->timers, client->now_ms)) != NULL)
        timer->due(timer, client->now_ms);
}

int client_step(struct mesh_client *client, uint64_t deadline_ms)
{
    struct epoll_event events[CLIENT_EVENTS_MAX];
    int count;

    if (client->is_dispatching)
        return client_fail(client, MESH_EINVAL, "a callback may not call a function that waits");
    client->now_ms = clock_monotonic_ms();
    client_pump(client);
    count = epoll_wait(client->epoll_fd, events, CLIENT_EVENTS_MAX, wait_ms(client, deadline_ms));
    if (count < 0 && errno != EINTR)
        return client_fail(client, MESH_EIO, "waiting for the network failed: %s", strerror(errno));
    client->now_ms = clock_monotonic_ms();
    client->is_dispatching = true;
    /* A connection is freed only with its client, so the pointers stay good whatever the handlers do. */
    for (int i = 0; i < count; i++)
        if (events[i].data.ptr == client)
            woken(client);
        else
            connection_event(events[i].data.ptr, events[i].events);
    run_timers(client);
    client_pump(client);
    client->is_dispatching = false;
    return 0;
}

int client_run(struct mesh_client *client, bool (*is_done)(void *user), void *user, uint64_t deadline_ms)
{
    bool is_late = false;

    while (!is_done(user)) {
        int err;
        if (is_late) return MESH_ETIMEDOUT;
        err = client_step(client, deadline_ms);
        if (err != 0) return err;
        is_late = client->now_ms >= deadline_ms;
    }
    return 0;
}

int mesh_client_fd(const struct mesh_client *client)
{
    return client->epoll_fd;
}

int mesh_client_timeout_ms(const struct mesh_client *client)
{
    uint64_t next_ms = timer_heap_next_ms(&client->timers), now_ms;

    if (!list_is_empty(&client->pumps_due)) return 0;
    if (next_ms == TIMER_NEVER) return -1;
    now_ms = clock_monotonic_ms();
    if (next_ms <= now_ms) return 0;
    return next_ms - now_ms > INT32_MAX ? INT32_MAX : (int)(next_ms - now_ms);
}

int mesh_client_poll(struct mesh_client *client, int timeout_ms)
{
    return client_step(client, client_deadline(client, timeout_ms));
}
