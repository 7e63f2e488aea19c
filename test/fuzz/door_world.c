/* fuzz/door_world.c - see door_world.h. */
#include "test/fuzz/door_world.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "cmd/broker/broker_private.h"
#include "cmd/broker/front/connections.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/header.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SHARDS 2

static struct {
    char data_dir[64];
    struct broker_options options;
    struct broker *broker;
    pthread_t thread;
    sem_t is_ready;
    uint16_t port, gateway_port;
    bool is_running;
} world;

static const char *const settings[][2] = {
    {"store.memory.bytes.max", "64m"}, {"journal.bytes.max", "128m"}, {"memory.bytes.max", "64m"}, {"request.bytes.max", "1m"}, {"fetch.bytes.max", "64k"},
    {"groups.gather.ms", "0"}, {"groups.session.ms.min", "100"}, {"topic.partitions", "2"}};

static void on_ready(void *user, const struct broker_ready *ready)
{
    (void)user;
    world.port = ready->port;
    world.gateway_port = (uint16_t)strtoul(strrchr(ready->gateway, ':') + 1, NULL, 10);
    sem_post(&world.is_ready);
}

static void *run(void *user)
{
    (void)user;
    MESH_ASSERT(broker_serve(world.broker) == 0);
    return NULL;
}

void door_world_start(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    char reason[200];

    if (world.is_running) return;
    memset(&world, 0, sizeof(world));
    snprintf(world.data_dir, sizeof(world.data_dir), "/tmp/mesh-fuzz-door-XXXXXX");
    MESH_ASSERT(mkdtemp(world.data_dir) != NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    log_set_level(LOG_LEVEL_ERROR);
    broker_options_init(&world.options);
    world.options.data_dir = world.data_dir;
    world.options.listen = "127.0.0.1:0";
    world.options.gateway_listen = "127.0.0.1:0";
    world.options.name = "fuzz";
    world.options.shard_count = SHARDS;
    world.options.ready = on_ready;
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        MESH_ASSERT(settings_set(&world.options.settings, settings[i][0], settings[i][1], reason, sizeof(reason)) == 0);
    sem_init(&world.is_ready, 0, 0);
    MESH_ASSERT(broker_open(&world.options, &world.broker) == 0);
    MESH_ASSERT(pthread_create(&world.thread, NULL, run, NULL) == 0);
    while (sem_wait(&world.is_ready) != 0) {
    }
    world.is_running = true;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat;
    (void)type;
    (void)ftw;
    return remove(path);
}

void door_world_stop(void)
{
    if (!world.is_running) return;
    broker_stop(world.broker);
    pthread_join(world.thread, NULL);
    for (uint32_t i = 0; i < world.broker->shard_count; i++) {
        connections_close_all(world.broker->shards[i]);
        MESH_ASSERT(world.broker->shards[i]->pool.used_bytes == 0);
    }
    broker_free(world.broker);
    nftw(world.data_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    sem_destroy(&world.is_ready);
    world.is_running = false;
}

/* ---- a client ---- */

int door_connect(bool is_gateway)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(is_gateway ? world.gateway_port : world.port)};
    const struct linger at_once = {.l_onoff = 1};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MESH_ASSERT(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    return fd;
}

void door_close(int fd)
{
    close(fd);
}

bool door_send(int fd, struct slice bytes)
{
    const uint8_t *at = bytes.data;
    size_t left = bytes.size;

    while (left > 0) {
        ssize_t sent = send(fd, at, left, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return false;
        at += sent;
        left -= (size_t)sent;
    }
    return true;
}

static enum door_answer receive_bytes(int fd, int patience_ms, uint8_t *to, size_t size)
{
    uint64_t until_ms = clock_monotonic_ms() + (uint64_t)patience_ms;

    while (size > 0) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        uint64_t now_ms = clock_monotonic_ms();
        ssize_t got;

        if (poll(&ready, 1, now_ms < until_ms ? (int)(until_ms - now_ms) : 0) == 0) return DOOR_SILENT;
        got = recv(fd, to, size, MSG_DONTWAIT);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got <= 0) return DOOR_CLOSED;
        to += got;
        size -= (size_t)got;
    }
    return DOOR_ANSWERED;
}

enum door_answer door_receive(int fd, int patience_ms, struct slice *ret_answer)
{
    static uint8_t *answer; /* of its exact size, so that a sanitizer sees reads past the end */
    uint8_t size_bytes[KAFKA_SIZE_SIZE];
    enum door_answer became = receive_bytes(fd, patience_ms, size_bytes, sizeof(size_bytes));
    uint32_t size;

    if (became != DOOR_ANSWERED) return became;
    size = be_load32(size_bytes);
    MESH_ASSERT(size >= 4 && size <= 16 * DOOR_FRAME_MAX);
    free(answer);
    answer = malloc(size);
    MESH_ASSERT(answer != NULL);
    became = receive_bytes(fd, patience_ms, answer, size);
    *ret_answer = slice_of(answer, size);
    return became;
}
