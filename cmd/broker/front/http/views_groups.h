/* front/http/views_groups.h - consumer groups in JSON, with the keys of `mesh group`. Functions of messages; no input/output. */
#ifndef FRONT_HTTP_VIEWS_GROUPS_H
#define FRONT_HTTP_VIEWS_GROUPS_H

#include "wire/message_group.h"

#define VIEW_GROUP_NAME_MAX 255  /* bytes */
#define VIEW_GROUPS_DEFAULT 1000 /* groups of one page of /v1/groups; at most MESSAGE_GROUP_ROWS_MAX */

/* Both append one JSON object and a newline. Errors: MESH_ENOMEM. */

/* {"groups": [{"group", "state", "protocol", "generation", "members", "topics", "offsets", "age_ms"}], "partitions_unknown", "next"}: next is the `after` of the
 * following page, or null; partitions_unknown: of how many group partitions this broker holds nothing. */
int view_groups(const struct message_group_list_response *list, struct buffer *to);

/* {"group", "state", ..., "coordinator", "members": [...] or null, "offsets": [{"topic", "topic_id", "partition", "committed", "high_watermark", "lag", "owner",
 * "target", "committed_at_ms"}], "next"}: numbers that are not known are null; next: {"topic_id", "partition"}, the last one here, or null. */
int view_group(const struct message_group_describe_response *group, struct buffer *to);
/* How far it lags behind, topic by topic. */
int view_group_lag(const struct message_group_describe_response *group, struct buffer *to);

#endif
