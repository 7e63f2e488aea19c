/* front/http/views.h - the mesh in JSON: the bodies of /v1. Functions of described messages; no input/output.
 */
#ifndef FRONT_HTTP_VIEWS_H
#define FRONT_HTTP_VIEWS_H

#include "base/buffer.h"
#include "cmd/broker/metadata/describe.h"

#define VIEW_TOPICS_DEFAULT     1000 /* topics of one page of /v1/topics */
#define VIEW_TOPICS_MAX         10000
#define VIEW_PARTITIONS_DEFAULT 10000 /* partitions of one page of /v1/topics/NAME */

/* All append one JSON object and a newline. Errors: MESH_ENOMEM. */

/* {"topics": [{"name", "id", "partitions", "replicas"}], "total", "next"}: at most `limit` topics whose names
 * come after `after` ("" for the first page); next: the `after` of the following page, or null. */
int view_topics(const struct image *image, const char *after, uint32_t limit, struct buffer *to);

/* {"name", "id", "configs", "overrides", "partitions": [...], "partition_count", "next"}: at most
 * VIEW_PARTITIONS_DEFAULT partitions from number `from` on. Offsets are shown when has_offsets. */
int view_topic(const struct message_topic *topic, uint32_t from, bool has_offsets, struct buffer *to);

/* {"cluster", "coordinator", "brokers": [...]} */
int view_cluster(const struct message_cluster_response *cluster, struct buffer *to);

/* {"cluster", "coordinator", "brokers", "members": {"alive", "suspect", "dead", "left"}, "topics", "partitions": {"total", "under_replicated", "offline",
 * "at_risk", "moving", "queued"},
 * "problems", "uptime_ms", "stored_bytes", "disk_free_bytes", "version"} */
int view_status(const struct message_status_response *status, struct buffer *to);

/* {"cluster", "members": [{"name", "broker", "address", "state", "incarnation", "zone", "client_address", "state_ms",
 * "heard_ms_ago", "rtt_us", "self", "udp_blocked"}]} */
int view_members(const struct message_members_response *members, struct buffer *to);

/* {"error": "UNKNOWN_TOPIC", "message": "..."} */
int view_error(int error, const char *message, struct buffer *to);

#endif
