/* client/pool.h - records of a subscribed consumer, handled by several threads.
 *
 * A **lane** is a partition's records, copied, in order; a thread takes a lane, handles its first record, and gives it back, so nothing of a partition is
 * ever handled twice at once. pool.c is the threads and the application's calls; pool_lanes.c what lanes decide. Everything shared is under one lock; the
 * consumer's thread is woken when it has something to do. A lane outlives its assignment only while a handler works for it: what it then says counts for
 * nothing, and an assignment of the same partition takes the lane over, behind that handler. */
#ifndef CLIENT_POOL_H
#define CLIENT_POOL_H

#include "client/consumer.h"

#include <mesh/pool.h>

#include <pthread.h>
#include <stdatomic.h>

#define POOL_THREADS_MAX    256
#define POOL_MEMORY_DEFAULT (16u << 20)
#define POOL_MEMORY_MIN     (64u << 10)
#define POOL_MEMORY_MAX     ((size_t)16 << 30)
#define POOL_POLL_RECORDS   256
#define POOL_PAUSE_MS       100

struct pool_entry {
    struct list_node node; /* in its lane; the first is the one that is handled */
    struct lane *lane;
    struct mesh_consumed record;
    struct slice headers; /* what record.internal points to */
    size_t size;          /* of all of it */
    uint64_t begun_ms;    /* 0: not being handled */
    uint32_t attempts;
    bool is_stale;   /* its lane was lost while it was handled */
    bool is_told;    /* to be slow */
    atomic_bool is_wanted;
    uint8_t bytes[];
};

struct lane {
    struct list_node node;         /* in the pool's list of all lanes */
    struct list_node state_node;   /* among those that are ready, or wait for their next attempt; else in none */
    struct assignment *assignment; /* NULL: lost, and a handler is at work */
    struct list_node entries;
    size_t count, bytes;
    int64_t finished;       /* everything before it is handled */
    int32_t finished_epoch; /* leader epoch of the record before it, -1: not known */
    uint64_t due_ms;        /* of the next attempt */
    int failure;            /* it stands still */
    bool is_failure_told;   /* to the application: its next run tries again */
    bool is_running, is_draining, is_dirty; /* dirty: finished was not stored yet */
    int32_t partition;
    char topic[TOPIC_NAME_MAX + 1];
};

struct mesh_pool {
    struct mesh_consumer *consumer;
    mesh_handle_fn *handle;
    void *user;
    size_t memory_max;
    uint32_t attempts_max, pause_ms;
    pthread_t *threads; /* owned */
    size_t thread_count;
    pthread_mutex_t mutex;
    pthread_cond_t work;
    /* Under the lock. */
    struct list_node lanes, ready, waiting; /* waiting: for an attempt's time */
    size_t partition_count; /* that the consumer has */
    size_t running, count, bytes;
    uint64_t handle_until_ms; /* nothing is begun later: it may be another member's by then */
    uint64_t handled, retried;
    bool has_news;    /* for the consumer's thread */
    bool is_closing;  /* nothing more is read */
    bool is_stopping;
};

/* ---- pool_lanes.c: under the lock ---- */

/* Copies a record behind those of its assignment. Errors: MESH_EFULL (its share is used: it waits until half of that is handled), MESH_ENOMEM. */
int pool_add(struct mesh_pool *pool, struct assignment *assignment, const struct mesh_consumed *record);
/* What may be handled now, marked so; NULL: nothing, before *ret_due_ms or somebody adds something. */
struct pool_entry *pool_begin(struct mesh_pool *pool, uint64_t now_ms, uint64_t *ret_due_ms);
/* It was handled. True: the consumer's thread is to be woken. */
bool pool_end(struct mesh_pool *pool, struct pool_entry *entry, int result, uint64_t now_ms);
size_t pool_share(const struct mesh_pool *pool); /* of each lane, bytes */
void pool_lane_drain(struct mesh_pool *pool, struct lane *lane);
void pool_lane_go_on(struct mesh_pool *pool, struct lane *lane); /* after it failed, or was about to go */
void pool_lane_lose(struct mesh_pool *pool, struct lane *lane);  /* frees it, now or when its handler returns */

/* ---- pool.c, for the consumer: its thread, without the lock ---- */

/* Between records. Errors: of a handler. */
int pool_turn(struct mesh_pool *pool);
/* What is finished counts as handled. Errors: as group_store_polled(). */
int pool_store(struct mesh_pool *pool);
/* True: a handler is at work on it, and pool_next_drained() tells of it later. */
bool pool_asked_back(struct mesh_pool *pool, struct assignment *assignment);
void pool_resumed(struct mesh_pool *pool, struct assignment *assignment);
void pool_removed(struct mesh_pool *pool, struct assignment *assignment);
/* What lay behind `offset` is gone from the log. False: some of it is being handled, or is going to be; again later. */
bool pool_set_back(struct mesh_pool *pool, struct assignment *assignment, int64_t offset, int32_t epoch);
/* One that was asked back, and of which nothing is being handled; its position is where it was handled up to. NULL: none. */
struct assignment *pool_next_drained(struct mesh_pool *pool);

#endif
