/* peers/resolver.h - seeds become addresses, asked of the system's name servers without blocking the loop (c-ares).
 *
 * /etc/hosts counts, A and AAAA are asked side by side, over TCP where an answer is too long for a packet. The system's
 * configuration is read anew for every round of look-ups, because a laptop changes its network and a pod its
 * name server. Belongs to one loop. */
#ifndef BROKER_PEERS_RESOLVER_H
#define BROKER_PEERS_RESOLVER_H

#include "base/net_address.h"
#include "cmd/broker/peers/seed.h"

#include <stddef.h>

#define RESOLVER_ADDRESSES_MAX 256 /* of one seed; what comes beyond is left out */
#define RESOLVER_TARGETS_MAX   64  /* SRV records of one service that are followed */

struct ev_loop;
struct resolver;

/* servers: NULL for the system's; or "host:port[,host:port]", as tests have it. Errors: MESH_ENOMEM. */
int resolver_new(struct ev_loop *loop, const char *servers, struct resolver **ret_resolver);

/* Look-ups under way are forgotten: their done() does not run. Accepts NULL. */
void resolver_free(struct resolver *resolver);

/* error 0: at least one address; MESH_ERESOLVE: the name has none (it may get one later); MESH_EAGAIN: the name servers
 * cannot say now. `reason` is a few words for people. Everything is borrowed for the callback. */
typedef void resolver_fn(void *user, int error, const char *reason, const struct net_address *addresses, size_t count);

/* done() runs once, maybe before this returns (numeric seeds do). Errors, and then it does not run: MESH_ENOMEM. */
int resolver_look_up(struct resolver *resolver, const struct seed *seed, resolver_fn *done, void *user);

#endif
