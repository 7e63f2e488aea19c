#include "broker_fixture.h"

#include "base/log.h"
#include "cmd/broker/runtime/shard.h"

#include <check.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void on_ready(void *user, const struct broker_ready *ready)
{
    struct broker_fixture *fixture = user;

    fixture->port = ready->port;
    fixture->cluster_id = ready->cluster_id;
    fixture->broker_id = ready->broker_id;
    sem_post(&fixture->is_ready);
}

static void *run(void *user)
{
    struct broker_fixture *fixture = user;

    fixture->serve_result = broker_serve(fixture->broker);
    return NULL;
}

void broker_fixture_init(struct broker_fixture *fixture)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};

    memset(fixture, 0, sizeof(*fixture));
    snprintf(fixture->data_dir, sizeof(fixture->data_dir), "/tmp/mesh-test-broker-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(fixture->data_dir));
    sigaction(SIGPIPE, &ignore, NULL);
    log_set_level(LOG_LEVEL_ERROR);
    broker_options_init(&fixture->options);
    fixture->options.data_dir = fixture->data_dir;
    fixture->options.listen = "127.0.0.1:0";
    fixture->options.name = "test";
    fixture->options.shard_count = 2;
    fixture->options.ready = on_ready;
    fixture->options.ready_user = fixture;
    broker_fixture_set(fixture, "store.memory.bytes.max", "64m");
    broker_fixture_set(fixture, "journal.bytes.max", "128m");
    sem_init(&fixture->is_ready, 0, 0);
}

void broker_fixture_set(struct broker_fixture *fixture, const char *key, const char *value)
{
    char reason[200];

    ck_assert_msg(settings_set(&fixture->options.settings, key, value, reason, sizeof(reason)) == 0, "%s", reason);
}

void broker_fixture_start(struct broker_fixture *fixture)
{
    ck_assert_int_eq(broker_open(&fixture->options, &fixture->broker), 0);
    if (fixture->opened != NULL) fixture->opened(fixture);
    ck_assert_int_eq(pthread_create(&fixture->thread, NULL, run, fixture), 0);
    sem_wait(&fixture->is_ready);
    fixture->is_running = true;
}

void broker_fixture_stop_begin(struct broker_fixture *fixture)
{
    broker_stop(fixture->broker);
}

void broker_fixture_use_lanes(struct broker_fixture *fixture)
{
    for (uint32_t i = 0; i < fixture->broker->shard_count; i++) {
        struct shard *shard = fixture->broker->shards[i];

        if (shard->sync_queue == NULL) continue;
        ev_io_stop(shard->loop, &shard->sync_io);
        sync_queue_free(shard->sync_queue);
        shard->sync_queue = NULL;
    }
}

int broker_fixture_stop(struct broker_fixture *fixture)
{
    if (!fixture->is_running) return 0;
    broker_stop(fixture->broker);
    pthread_join(fixture->thread, NULL);
    if (fixture->served != NULL) fixture->served(fixture);
    broker_free(fixture->broker);
    fixture->broker = NULL;
    fixture->is_running = false;
    return fixture->serve_result;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat;
    (void)type;
    (void)ftw;
    return remove(path);
}

void broker_fixture_deinit(struct broker_fixture *fixture)
{
    ck_assert_int_eq(broker_fixture_stop(fixture), 0);
    nftw(fixture->data_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    sem_destroy(&fixture->is_ready);
}
