/* gossip/sync.h - anti-entropy: digests that are equal cost a few bytes; where they differ, whole tables are
 * exchanged over a link, in pieces. */
#ifndef GOSSIP_SYNC_H
#define GOSSIP_SYNC_H

#include "gossip/internal.h"

/* The first message over a new link. */
void sync_put_hello(struct gossip *gossip, const struct pending *pending, struct item_writer *writer);

/* The next piece of a SYNC or SUMMARY; *ret_again when more follow. False: nothing to say. */
bool sync_put_piece(struct gossip *gossip, struct pending *pending, struct item_writer *writer, bool *ret_again);

/* What another's digest says. On a fresh link differences are settled at once, else only once they last. */
void sync_on_digest(struct gossip *gossip, struct member *teller, uint64_t members, uint64_t soft, bool by_link);
void sync_on_request(struct gossip *gossip, struct member *asker, bool wants_reply);

#endif
