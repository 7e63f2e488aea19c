/* peers/seeds.h - the seeds of one broker and the addresses behind them, looked up again for ever.
 *
 * While a name has no address it is asked for every few seconds; otherwise every 30 to 60 (PROTOCOLS 1.5, 1), because
 * records change behind brokers that are healthy too. Belongs to one loop. */
#ifndef BROKER_PEERS_SEEDS_H
#define BROKER_PEERS_SEEDS_H

#include "cmd/broker/peers/resolver.h"

#define SEEDS_ADDRESSES_MAX 1024 /* of all seeds together */

struct seeds;

/* Runs from the loop when a round of look-ups is over. */
typedef void seeds_changed_fn(void *user);

/* The list is copied. name_servers: see resolver_new(). The first round begins with the loop. Errors: MESH_ENOMEM. */
int seeds_new(struct ev_loop *loop, const struct seed *list, size_t count, const char *name_servers,
              seeds_changed_fn *changed, void *user, struct seeds **ret_seeds);
void seeds_free(struct seeds *seeds); /* accepts NULL */

/* Every distinct address that is known, in a new order each time. Returns their number, at most SEEDS_ADDRESSES_MAX. */
size_t seeds_addresses(struct seeds *seeds, struct net_address *to);

size_t seeds_count(const struct seeds *seeds);
const struct seed *seeds_at(const struct seeds *seeds, size_t index);
/* "" when the seed's last look-up gave addresses; else why not. */
const char *seeds_problem(const struct seeds *seeds, size_t index);

#endif
