/* groups/describe.h - what the state of a group partition says of its groups, for people. Pure reading; what an answer's slices borrow lives as long as nothing is
 * applied to the state. */
#ifndef BROKER_GROUPS_DESCRIBE_H
#define BROKER_GROUPS_DESCRIBE_H

#include "replication/groups/groups.h"
#include "replication/groups/lead.h"
#include "wire/message_group.h"

#define GROUPS_DESCRIBE_LIMIT 10000 /* partitions on a page */

/* `number` is the partition's. lead: NULL where another broker's leads it. */
struct message_group_row groups_row_of(const struct groups *state, const struct group_lead *lead, const struct group *group, uint32_t number);

/* One page, as `request` asks; topics have ids only, ends are not known here. To be ended with message_deinit_group_describe_response(). Errors: MESH_ENOTFOUND,
 * MESH_ENOMEM. */
int groups_describe(const struct groups *state, const struct group_lead *lead, uint32_t number, const struct message_group_describe *request,
                    struct message_group_describe_response *ret_response);

#endif
