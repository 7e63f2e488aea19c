/* spread/heard.h - what this broker has heard of groups that it has no replica of, in the words of answers. Control loop.
 *
 * Names borrow from what was heard, and live until the next event. */
#ifndef BROKER_SPREAD_HEARD_H
#define BROKER_SPREAD_HEARD_H

#include "replication/spread/cells.h"
#include "wire/message_group.h"

struct spread;

/* Of a group partition, and how old that may be. NULL: nothing was heard. `spread` may be NULL. */
const struct spread_cells *heard_of(const struct spread *spread, uint32_t partition, uint64_t *ret_age_ms);

struct message_group_row heard_row_of(const struct spread_cells *cells, const struct spread_group *group, uint32_t partition, uint64_t age_ms);

/* A group with its offsets, as groups_describe() says of a state, but for its members, which only a replica knows. To be ended with
 * message_deinit_group_describe_response(). Errors: MESH_ENOTFOUND (nothing was heard of it), MESH_ENOMEM. */
int heard_describe(const struct spread *spread, const struct message_group_describe *request, struct message_group_describe_response *ret_response);

/* The answer to an OFFSETS request's bytes, with its age and no route. Errors: MESH_ENOTFOUND (nothing was heard of the group), MESH_ENOMEM, MESH_EPROTO; `to` is then
 * of no use. */
int heard_offsets(const struct spread *spread, struct slice message, struct buffer *to);

#endif
