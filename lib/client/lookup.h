/* client/lookup.h - a name that is looked up by a thread of its own. getaddrinfo() cannot be given up, and takes half a minute where name servers are silent: in that time a client goes
 * on with the brokers that it reaches. */
#ifndef CLIENT_LOOKUP_H
#define CLIENT_LOOKUP_H

#include "base/address.h"

#include <stdbool.h>

struct lookup;

/* Begins. Errors: MESH_ENOMEM, MESH_EIO (no thread, or no descriptor): then there is no way but to wait. */
int lookup_new(const struct address *address, struct lookup **ret_lookup);
/* Nobody waits for it any more; the thread ends when the resolver does. Accepts NULL. */
void lookup_free(struct lookup *lookup);

bool lookup_is_of(const struct lookup *lookup, const struct address *address);
/* A descriptor of the caller's that is readable once it is over. Errors: MESH_EIO. */
int lookup_open_fd(const struct lookup *lookup, int *ret_fd);
/* What came of it, once it is over: as address_resolve(). */
int lookup_take(const struct lookup *lookup, struct address_sockets *ret_sockets, const char **ret_reason);

#endif
