/* peers/udp.h - the datagram socket of gossip: many packets per system call in both directions, nothing kept.
 *
 * Belongs to one loop. Datagrams are best effort: what the kernel does not take at once is dropped and counted. */
#ifndef BROKER_PEERS_UDP_H
#define BROKER_PEERS_UDP_H

#include "base/net_address.h"

#include <stddef.h>
#include <stdint.h>

#define UDP_PACKET_MAX 1500 /* bytes; a longer datagram is dropped and counted as oversized */

struct ev_loop;
struct udp;

/* `packet` may be changed by the callee (packets are opened in place) and is valid until it returns. */
typedef void udp_receive_fn(void *user, const struct net_address *from, uint8_t *packet, size_t size);

/* Binds to `address`, which may be a wildcard. Errors: MESH_EBUSY (the port is taken), MESH_EIO (errno), MESH_ENOMEM. */
int udp_open(struct ev_loop *loop, const struct net_address *address, udp_receive_fn *receive, void *user,
             struct udp **ret_udp);
void udp_close(struct udp *udp); /* accepts NULL; sends what is queued first */

/* Room for one packet of up to UDP_PACKET_MAX bytes, to be written and then queued by udp_commit(). */
uint8_t *udp_reserve(struct udp *udp);
void udp_commit(struct udp *udp, const struct net_address *to, size_t size);

/* Sends what was queued. */
void udp_flush(struct udp *udp);

struct udp_stats {
    uint64_t received, sent, received_bytes, sent_bytes;
    uint64_t oversized, unsent; /* dropped */
};
const struct udp_stats *udp_stats(const struct udp *udp);

#endif
