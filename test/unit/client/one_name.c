#include "one_name.h"

#include "base/assert.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define BLOCK_SIZE 65536

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_port = htons(port)};
}

static void take_connection(struct one_name *name)
{
    int fd = accept4(name->listen_fd, NULL, NULL, SOCK_CLOEXEC);

    for (uint32_t i = 0; fd >= 0 && i < ONE_NAME_CONNECTIONS_MAX; i++) {
        struct sockaddr_in to = loopback(name->ports[atomic_load(&name->connections) % name->count]);

        if (name->pairs[i].fd[0] >= 0) continue;
        name->pairs[i].fd[0] = fd;
        name->pairs[i].fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        MESH_ASSERT(connect(name->pairs[i].fd[1], (struct sockaddr *)&to, sizeof(to)) == 0);
        atomic_fetch_add(&name->connections, 1);
        return;
    }
    if (fd >= 0) close(fd);
}

static void end_pair(struct one_name *name, uint32_t pair)
{
    for (int side = 0; side < 2; side++) {
        close(name->pairs[pair].fd[side]);
        name->pairs[pair].fd[side] = -1;
    }
}

/* Blocks as long as the other side does not read: both are of this process, and do. */
static void carry(struct one_name *name, uint32_t pair, int side)
{
    static _Thread_local uint8_t block[BLOCK_SIZE];
    ssize_t got = recv(name->pairs[pair].fd[side], block, sizeof(block), 0), put = 0;

    while (put < got) {
        ssize_t sent = send(name->pairs[pair].fd[1 - side], block + put, (size_t)(got - put), MSG_NOSIGNAL);

        if (sent <= 0) break;
        put += sent;
    }
    if (got <= 0 || put < got) end_pair(name, pair);
}

static void *run(void *user)
{
    struct one_name *name = user;

    for (;;) {
        struct pollfd polled[2 + 2 * ONE_NAME_CONNECTIONS_MAX] = {{.fd = name->wake_fd[0], .events = POLLIN}, {.fd = name->listen_fd, .events = POLLIN}};

        for (uint32_t i = 0; i < 2 * ONE_NAME_CONNECTIONS_MAX; i++)
            polled[2 + i] = (struct pollfd){.fd = name->pairs[i / 2].fd[i % 2], .events = POLLIN};
        if (poll(polled, sizeof(polled) / sizeof(polled[0]), -1) < 0) continue;
        if (polled[0].revents != 0) return NULL;
        for (uint32_t i = 0; i < 2 * ONE_NAME_CONNECTIONS_MAX; i++)
            if (polled[2 + i].revents != 0 && name->pairs[i / 2].fd[i % 2] == polled[2 + i].fd) carry(name, i / 2, (int)(i % 2));
        if (polled[1].revents != 0) take_connection(name);
    }
}

void one_name_start(struct one_name *name)
{
    struct sockaddr_in own = loopback(0);
    socklen_t size = sizeof(own);

    name->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MESH_ASSERT(bind(name->listen_fd, (struct sockaddr *)&own, size) == 0 && listen(name->listen_fd, 32) == 0);
    MESH_ASSERT(getsockname(name->listen_fd, (struct sockaddr *)&own, &size) == 0 && pipe(name->wake_fd) == 0);
    snprintf(name->address, sizeof(name->address), "127.0.0.1:%u", ntohs(own.sin_port));
    atomic_init(&name->connections, 0);
    for (uint32_t i = 0; i < ONE_NAME_CONNECTIONS_MAX; i++)
        name->pairs[i].fd[0] = name->pairs[i].fd[1] = -1;
    MESH_ASSERT(pthread_create(&name->thread, NULL, run, name) == 0);
}

void one_name_stop(struct one_name *name)
{
    close(name->wake_fd[1]);
    pthread_join(name->thread, NULL);
    close(name->wake_fd[0]);
    close(name->listen_fd);
    for (uint32_t i = 0; i < ONE_NAME_CONNECTIONS_MAX; i++)
        if (name->pairs[i].fd[0] >= 0) end_pair(name, i);
}
