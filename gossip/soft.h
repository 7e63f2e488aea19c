/* gossip/soft.h - what each broker says of itself in passing: keys and values with one writer, spread oldest change
 * first so that any prefix is safe to apply (Scuttlebutt; PROTOCOLS 2.4).
 *
 * A deleted key stays as a tombstone until its origin collects it: then gc_version passes its version, and whoever is
 * behind gc_version is told to forget all and given everything anew. */
#ifndef GOSSIP_SOFT_H
#define GOSSIP_SOFT_H

#include "gossip/internal.h"

#define SOFT_BYTES_MAX (64u << 20) /* of all origins together */

void soft_clear(struct gossip *gossip, struct member *member); /* forgets all of this origin */
void soft_bury(struct gossip *gossip);  /* what outputs may have named until now */
void soft_free(struct gossip *gossip);

/* Writes the changes after *from as they fit and moves *from to the last of them. Who is behind our gc_version, and
 * not in the middle of a reset to it (*gc_version), is told to begin anew. False: there are some, and none fits. */
bool soft_put_changes(struct gossip *gossip, struct item_writer *writer, const struct member *member, uint64_t *from,
                      uint64_t *gc_version);

/* Writes what its slot says: the changes since spread_from. False: there are some, and none fits. */
bool soft_put_news(struct gossip *gossip, struct item_writer *writer, const struct member *member);

/* What another told. Asks `teller` for what is missing before it. What an origin says over its own link is the truth about it. */
void soft_merge(struct gossip *gossip, const struct item_soft *soft, struct member *teller, bool by_link);

/* Another's versions: sends what it lacks, asks for what we lack. */
void soft_compare(struct gossip *gossip, struct slice summaries, struct member *teller);

void soft_summary_of(const struct member *member, struct soft_summary *ret_summary);

#endif
