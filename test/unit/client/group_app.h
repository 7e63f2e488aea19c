/* group_app.h - an application that consumes in a group of a scripted broker (fake_broker.h, fake_groups.h), and notes what it sees. */
#ifndef GROUP_APP_H
#define GROUP_APP_H

#include "fake_broker.h"
#include "fake_groups.h"

#include <mesh/mesh.h>

#define PARTITIONS 4
#define TOTAL      100 /* records of each partition */
#define PATIENCE   5000

extern struct fake_broker *broker;
extern struct fake_groups groups;
extern const char *liveness; /* of those that subscribe from now on */

struct plan {
    enum frame_op op;
    enum fake_action action;
    int error;
    atomic_int count;
};
extern struct plan plan;

/* While the broker runs: what it is to do is there before it looks. */
void plan_for(enum frame_op op, enum fake_action action, int error, int count);

/* A consumer, and what it has seen. */
struct app {
    struct mesh_client *client;
    struct mesh_consumer *consumer;
    bool is_mine[PARTITIONS];
    int assigned, revoked, lost;
    int64_t first[PARTITIONS], next[PARTITIONS]; /* offsets, -1: none */
    unsigned total;
    int64_t begins_at; /* where callbacks say to begin; -1: nothing is said */
};
void on_rebalance(void *user, struct mesh_consumer *consumer, struct mesh_rebalance *rebalance);
extern const char *const none[];
/* `settings`: pairs of keys and values, NULL at the end. */
int subscribe_with(struct app *app, const char *const *settings, const char *pattern);
void open_app(struct app *app);
void close_app(struct app *app);
int poll_once(struct app *app, size_t max, int timeout_ms); /* of at most `max` records */
void poll_until(struct app *app, unsigned total);

void set_up(void);
void stop(void);
void tear_down(void);

#endif
