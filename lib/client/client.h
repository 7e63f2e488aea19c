/* client/client.h - the inside of struct mesh_client: one event loop without a thread.
 *
 * One turn of the loop (client_step): run the pumps that are due, send, wait for sockets and timers, let
 * handlers change state, run the pumps again, send. Handlers mark; pumps act. A pump belongs to whoever may
 * have something to do when an answer, a connection or new routing arrives: each producer, each consumer, the
 * calls. */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <mesh/mesh.h>

#include "base/error.h"
#include "base/list.h"
#include "base/random.h"
#include "client/timer_heap.h"

#include <stdbool.h>
#include <stdint.h>

#define CLIENT_NAME_SIZE  128
#define CLIENT_ERROR_SIZE 1024

struct connection;
struct call;

struct pump {
    struct list_node node;     /* in the client's list of all pumps */
    struct list_node due_node; /* in the list of those that are due */
    void (*run)(struct pump *pump);
};

struct mesh_client {
    int epoll_fd;
    int wake_fd; /* an eventfd, -1: nobody needs one */
    uint64_t now_ms; /* monotonic, as of the current turn */
    struct timer_heap timers;
    size_t timer_count; /* timers that exist, armed or not */
    struct random random;
    uint64_t relay_salt; /* broker_find_relay() */
    int timeout_ms;
    int refused_timeout_ms; /* -1: timeout_ms */
    char name[CLIENT_NAME_SIZE];
    char error_text[CLIENT_ERROR_SIZE];
    char remark[CLIENT_ERROR_SIZE]; /* of the broker, on the last change of a topic */

    struct list_node brokers; /* seeds first, then those learned */
    uint32_t unreached_count;  /* of them */
    uint64_t reach_generation; /* raised when leaders come to be reached otherwise than before */
    struct list_node topics;  /* routing cache: client/topic.h */
    struct list_node calls;   /* waiting for a connection: client/call.h */
    struct pump call_pump;
    struct call *cluster_call; /* asking who the brokers are, or NULL */
    uint64_t cluster_retry_ms; /* not before */
    uint64_t cluster_asked_ms; /* when brokers were last learned; 0: never */
    struct timer seed_timer;   /* try one more seed when the first keeps silent */
    uint64_t seed_started_ms;

    struct list_node pumps, pumps_due;
    struct list_node to_flush; /* connections with something new to send */
    bool is_dispatching;       /* inside a turn: callbacks may not block */
};

/* Pumps. A pump marked while pumps run still runs in this turn. */
void client_add_pump(struct mesh_client *client, struct pump *pump, void (*run)(struct pump *pump));
void client_remove_pump(struct mesh_client *client, struct pump *pump);
void client_mark(struct mesh_client *client, struct pump *pump);
void client_mark_all(struct mesh_client *client); /* a connection came or went, or routing changed */

/* Runs the pumps that are due and sends. */
void client_pump(struct mesh_client *client);
void client_flush(struct mesh_client *client);

/* Every timer that exists has its place in the heap, so that arming it later cannot fail. Errors:
 * MESH_ENOMEM. */
int client_add_timer(struct mesh_client *client, struct timer *timer, void (*due)(struct timer *, uint64_t));
void client_remove_timer(struct mesh_client *client, struct timer *timer);
void client_arm(struct mesh_client *client, struct timer *timer, uint64_t deadline_ms);

/* One turn, waiting at most until deadline_ms (monotonic; TIMER_NEVER: for ever; 0: not at all). Errors:
 * MESH_EINVAL (from inside a callback), MESH_EIO. */
int client_step(struct mesh_client *client, uint64_t deadline_ms);

/* Turns until is_done(user). Errors: MESH_ETIMEDOUT, and as client_step(). */
int client_run(struct mesh_client *client, bool (*is_done)(void *user), void *user, uint64_t deadline_ms);

/* From then on client_wake() may be called, by any thread: a turn begins, and every pump runs. Errors: MESH_EIO. */
int client_be_wakeable(struct mesh_client *client);
void client_wake(struct mesh_client *client);

/* now + timeout_ms on a fresh clock; -1: TIMER_NEVER. */
uint64_t client_deadline(struct mesh_client *client, int timeout_ms);

/* Remembers the sentence for mesh_client_error() and returns err. */
int client_fail(struct mesh_client *client, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
