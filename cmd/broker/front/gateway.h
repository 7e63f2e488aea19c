/* broker/front/gateway.h - a second port, where Kafka's clients see all of the mesh as one broker.
 *
 * For clients behind a balancer or a firewall, which can reach one address and not each broker's: whoever came by this port is told
 * of a single node, leader of every partition and coordinator of every group, at the address that is advertised here. What it asks
 * for goes where it belongs by the forwarding that every door has. Any number of brokers may have one; behind a balancer all
 * advertise the balancer's address. (Model A of the design's KAFKA-WIRE, section 6.) */
#ifndef BROKER_FRONT_GATEWAY_H
#define BROKER_FRONT_GATEWAY_H

#include "cmd/broker/front/sniff.h"

#include <stdbool.h>
#include <stdint.h>

struct broker;
struct broker_options;

#define GATEWAY_NODE_ID 1 /* the same by every gateway of a mesh: clients may come by another one each time */

struct gateway {
    char *host;    /* owned: what clients are told; NULL until gateway_name() if nothing better than a wildcard is known */
    uint16_t port; /* likewise */
    int *fds;      /* owned: bound, one for each shard; -1: taken */
    uint32_t count;
};

/* Binds what the options ask for; *ret_gateway is NULL when they ask for none. port_fd: bound to the broker's own port, which the gateway may not
 * share. Failures are logged. Errors: as accept_bind(). */
int gateway_open(const struct broker_options *options, uint32_t shard_count, int port_fd, struct gateway **ret_gateway);

/* What clients are told, if the options do not say: the broker's own advertised host. Errors: MESH_ENOMEM. */
int gateway_name(struct gateway *gateway, const char *advertised_host);

/* A shard's socket, now the caller's; -1: there is none. Accepts NULL. */
int gateway_take(struct gateway *gateway, uint32_t shard);

/* Accepts NULL. */
void gateway_free(struct gateway *gateway);

/* Kafka's protocol, and what may still become that. */
bool gateway_lets_in(enum sniff verdict);

#endif
