/* broker/front/lobby.c - an epoll set inside the loop's. */
#include "cmd/broker/front/lobby.h"

#include "base/error.h"
#include "cmd/broker/front/connection.h"
#include "cmd/broker/runtime/shard.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_PER_TURN 64

static void lobby_on_ready(struct ev_loop *loop, ev_io *io, int events)
{
    struct epoll_event ready[EVENTS_PER_TURN];
    int count = epoll_wait(io->fd, ready, EVENTS_PER_TURN, 0);

    (void)loop;
    (void)events;
    /* Serving one connection closes no other; a closed one stays in memory until the end of the turn. */
    for (int i = 0; i < count; i++) {
        struct connection *connection = ready[i].data.ptr;
        if (connection->in_lobby == LOBBY_INPUT)
            connection_receive(connection);
        else if (connection->in_lobby == LOBBY_END)
            connection_peer_ended(connection, (ready[i].events & (EPOLLERR | EPOLLHUP)) != 0);
    }
}

int lobby_open(struct shard *shard)
{
    struct lobby *lobby = &shard->connections.lobby;

    lobby->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (lobby->epoll_fd < 0) return error_from_errno(errno);
    ev_io_init(&lobby->io, lobby_on_ready, lobby->epoll_fd, EV_READ);
    ev_io_start(shard->loop, &lobby->io);
    return 0;
}

void lobby_close(struct shard *shard)
{
    struct lobby *lobby = &shard->connections.lobby;

    if (lobby->epoll_fd < 0) return;
    ev_io_stop(shard->loop, &lobby->io);
    close(lobby->epoll_fd);
    lobby->epoll_fd = -1;
}

int lobby_enter(struct connection *connection, enum lobby_watch watch)
{
    int epoll_fd = connection->shard->connections.lobby.epoll_fd;
    struct epoll_event event = {.events = watch == LOBBY_INPUT ? EPOLLIN : EPOLLRDHUP | EPOLLONESHOT,
                                .data.ptr = connection};
    int operation = connection->in_lobby == LOBBY_NOTHING ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

    if (connection->in_lobby == watch) return 0;
    if (epoll_ctl(epoll_fd, operation, connection->fd, &event) != 0) return error_from_errno(errno);
    connection->in_lobby = watch;
    return 0;
}

void lobby_leave(struct connection *connection)
{
    if (connection->in_lobby == LOBBY_NOTHING) return;
    connection->in_lobby = LOBBY_NOTHING;
    (void)epoll_ctl(connection->shard->connections.lobby.epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
}
