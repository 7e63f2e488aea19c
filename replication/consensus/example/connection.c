/* example/connection.c - see connection.h. */
#include "replication/consensus/example/connection.h"

#include "base/error.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

int connection_listen(int *ret_fd, uint16_t *ret_port)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) return MESH_EIO;
    if (bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        close(fd);
        return MESH_EIO;
    }
    *ret_fd = fd;
    *ret_port = ntohs(address.sin_port);
    return 0;
}

static void send_at_once(int fd)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

bool connection_accept(int listener, struct connection *connection)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) return false;
    send_at_once(fd);
    connection->fd = fd;
    return true;
}

bool connection_dial(struct connection *connection, uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) return false;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 && errno != EINPROGRESS) {
        close(fd);
        return false;
    }
    send_at_once(fd);
    connection->fd = fd;
    return true;
}

void connection_close(struct connection *connection)
{
    if (connection->fd >= 0) close(connection->fd);
    connection->fd = -1;
    buffer_deinit(&connection->in);
    buffer_deinit(&connection->out);
}

bool connection_read(struct connection *connection)
{
    uint8_t bytes[16384];

    for (;;) {
        ssize_t size = recv(connection->fd, bytes, sizeof(bytes), 0);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
        if (size <= 0 || buffer_append(&connection->in, bytes, (size_t)size) != 0) break;
        if ((size_t)size < sizeof(bytes)) return true;
    }
    connection_close(connection);
    return false;
}

bool connection_flush(struct connection *connection)
{
    while (connection->out.size > 0) {
        ssize_t size = send(connection->fd, connection->out.data, connection->out.size, MSG_NOSIGNAL);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
        if (size < 0) {
            connection_close(connection);
            return false;
        }
        buffer_consume(&connection->out, (size_t)size);
    }
    return true;
}

bool connection_send(struct connection *connection, struct slice head, struct slice body)
{
    if (connection->out.size + head.size + body.size > CONNECTION_BYTES_MAX ||
        buffer_reserve(&connection->out, head.size + body.size) != 0)
        return false;
    buffer_append(&connection->out, head.data, head.size);
    buffer_append(&connection->out, body.data, body.size);
    return true;
}
