/* gossip/table.h - all members: by id, in a dense array, in the order in which they are probed, and in a pool to draw
 * from. Knows nothing of protocols. */
#ifndef GOSSIP_TABLE_H
#define GOSSIP_TABLE_H

#include "gossip/internal.h"

struct member *table_find(const struct gossip *gossip, const struct uuid *id); /* or NULL */

/* Adds one with this id, in no array but `members`. Makes the room that its timers and outputs may need, so that
 * nothing later can fail. Errors: MESH_ENOMEM, MESH_EFULL (GOSSIP_MEMBERS_MAX, and nobody to forget). */
int table_add(struct gossip *gossip, const struct uuid *id, struct member **ret_member);

/* Takes it out; its memory lives until table_bury(). It must be out of the pool. */
void table_remove(struct gossip *gossip, struct member *member);
void table_bury(struct gossip *gossip);
void table_free(struct gossip *gossip);

/* The live ones but self: newcomers get a random place among those to be probed. */
void table_pool_add(struct gossip *gossip, struct member *member);
void table_pool_remove(struct gossip *gossip, struct member *member);

/* The next to probe, or NULL; shuffles anew when a round is over. */
struct member *table_next_target(struct gossip *gossip);

/* Up to `count` (at most TABLE_DRAW_MAX) different live members but self and `except`, at random; it finds them all
 * when there are no more. Returns how many. */
#define TABLE_DRAW_MAX 16
typedef bool table_filter_fn(const struct member *member);
size_t table_draw(struct gossip *gossip, size_t count, const struct member *except, table_filter_fn *filter,
                  struct member *ret_members[TABLE_DRAW_MAX]);

/* Call after a change of a member's state, incarnation or soft version: keeps the hashes. */
void table_rehash(struct gossip *gossip, struct member *member);

#endif
