/* A whole broker in this process, on a free port of the loopback and a fresh data directory. */
#ifndef TEST_BROKER_FIXTURE_H
#define TEST_BROKER_FIXTURE_H

#include "cmd/broker/broker.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

struct broker_fixture {
    char data_dir[64];
    struct broker_options options;
    struct broker *broker;
    pthread_t thread;
    sem_t is_ready;
    uint16_t port;
    struct uuid cluster_id, broker_id;
    int serve_result;
    bool is_running;
    void (*opened)(struct broker_fixture *fixture); /* before its threads start; may be NULL */
    void (*served)(struct broker_fixture *fixture); /* before it is freed; may be NULL */
};

/* Makes the directory and sets small limits; two shards. Change `options` before broker_fixture_start(). */
void broker_fixture_init(struct broker_fixture *fixture);
void broker_fixture_set(struct broker_fixture *fixture, const char *key, const char *value);

void broker_fixture_start(struct broker_fixture *fixture); /* and again after a stop */
int broker_fixture_stop(struct broker_fixture *fixture);   /* what broker_serve() returned */
void broker_fixture_deinit(struct broker_fixture *fixture);

/* In `opened`: every sync goes through a lane's thread, where a gate (support/fs_gate.h) can hold it up. */
void broker_fixture_use_lanes(struct broker_fixture *fixture);

/* Forgets the running broker's answers to come: asks it to stop without waiting. */
void broker_fixture_stop_begin(struct broker_fixture *fixture);

#endif
