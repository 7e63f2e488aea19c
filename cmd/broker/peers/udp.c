/* peers/udp.c - recvmmsg(2) and sendmmsg(2) over arrays that are made once. */
#include "cmd/broker/peers/udp.h"

#include "base/error.h"

#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <unistd.h>

#define BATCH          16 /* packets per system call */
#define BATCHES_PER_TURN 8 /* so that a flood leaves time for the rest of the loop */
#define RECEIVE_BUFFER (1 << 20) /* bytes asked of the kernel: a burst after a pause of ours is not lost */

struct batch {
    struct mmsghdr headers[BATCH];
    struct iovec vectors[BATCH];
    struct sockaddr_storage addresses[BATCH];
    uint8_t packets[BATCH][UDP_PACKET_MAX];
};

struct udp {
    struct ev_loop *loop;
    ev_io io;
    udp_receive_fn *receive;
    void *user;
    int family;
    unsigned queued;
    struct udp_stats stats;
    struct batch in, out; /* touched as they are used: an idle broker pays for none of it */
};

static void batch_prepare(struct batch *batch, unsigned i, size_t size)
{
    batch->vectors[i] = (struct iovec){batch->packets[i], size};
    batch->headers[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &batch->addresses[i],
                                                     .msg_namelen = sizeof(batch->addresses[i]),
                                                     .msg_iov = &batch->vectors[i],
                                                     .msg_iovlen = 1}};
}

static void take(struct udp *udp, unsigned i)
{
    struct batch *in = &udp->in;
    size_t size = in->headers[i].msg_len;
    struct net_address from;

    udp->stats.received++;
    udp->stats.received_bytes += size;
    if (in->headers[i].msg_hdr.msg_flags & MSG_TRUNC)
        udp->stats.oversized++;
    else if (net_address_from_sockaddr((struct sockaddr *)&in->addresses[i], &from) == 0)
        udp->receive(udp->user, &from, in->packets[i], size);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct udp *udp = io->data;

    (void)loop;
    (void)events;
    for (int round = 0; round < BATCHES_PER_TURN; round++) {
        int count;

        for (unsigned i = 0; i < BATCH; i++)
            batch_prepare(&udp->in, i, UDP_PACKET_MAX);
        count = recvmmsg(io->fd, udp->in.headers, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < count; i++)
            take(udp, (unsigned)i);
        if (count < BATCH) break;
    }
    udp_flush(udp);
}

static int open_socket(const struct net_address *address, int *ret_family)
{
    struct sockaddr_storage name;
    socklen_t size;
    int bytes = RECEIVE_BUFFER, saved, fd;

    net_address_to_sockaddr(address, &name, &size);
    fd = socket(name.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    *ret_family = name.ss_family;
    if (bind(fd, (struct sockaddr *)&name, size) == 0) return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

int udp_open(struct ev_loop *loop, const struct net_address *address, udp_receive_fn *receive, void *user,
             struct udp **ret_udp)
{
    struct udp *udp = calloc(1, sizeof(*udp));
    int fd;

    if (udp == NULL) return MESH_ENOMEM;
    fd = open_socket(address, &udp->family);
    if (fd < 0) {
        free(udp);
        return errno == EADDRINUSE ? MESH_EBUSY : MESH_EIO;
    }
    udp->loop = loop;
    udp->receive = receive;
    udp->user = user;
    ev_io_init(&udp->io, on_readable, fd, EV_READ);
    udp->io.data = udp;
    ev_io_start(loop, &udp->io);
    *ret_udp = udp;
    return 0;
}

void udp_close(struct udp *udp)
{
    if (udp == NULL) return;
    udp_flush(udp);
    ev_io_stop(udp->loop, &udp->io);
    close(udp->io.fd);
    free(udp);
}

uint8_t *udp_reserve(struct udp *udp)
{
    if (udp->queued == BATCH) udp_flush(udp);
    return udp->out.packets[udp->queued];
}

void udp_commit(struct udp *udp, const struct net_address *to, size_t size)
{
    struct batch *out = &udp->out;
    unsigned i = udp->queued;
    socklen_t name_size;

    batch_prepare(out, i, size);
    net_address_to_sockaddr(to, &out->addresses[i], &name_size);
    out->headers[i].msg_hdr.msg_namelen = name_size;
    if (out->addresses[i].ss_family == AF_INET && udp->family == AF_INET6) {
        /* a socket for both families takes IPv4 in its mapped form */
        struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(to->port)};

        memcpy(&mapped.sin6_addr, to->ip, sizeof(to->ip));
        memcpy(&out->addresses[i], &mapped, sizeof(mapped));
        out->headers[i].msg_hdr.msg_namelen = sizeof(mapped);
    }
    udp->queued++;
}

void udp_flush(struct udp *udp)
{
    unsigned done = 0;

    while (done < udp->queued) {
        int count = sendmmsg(udp->io.fd, udp->out.headers + done, udp->queued - done, MSG_DONTWAIT);

        /* The error is the first packet's (no route, refused by its machine earlier, no room): that one is lost. */
        if (count <= 0) {
            if (count < 0 && errno == EINTR) continue;
            udp->stats.unsent++;
            count = 1;
        } else {
            for (int i = 0; i < count; i++)
                udp->stats.sent_bytes += udp->out.vectors[done + (unsigned)i].iov_len;
            udp->stats.sent += (unsigned)count;
        }
        done += (unsigned)count;
    }
    udp->queued = 0;
}

const struct udp_stats *udp_stats(const struct udp *udp)
{
    return &udp->stats;
}
