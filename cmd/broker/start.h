/* broker/start.h - the steps of a start that have rules of their own; internal to broker.c. */
#ifndef BROKER_START_H
#define BROKER_START_H

#include "cmd/broker/broker_private.h"
#include "segment/recovery.h"

/* Every "topic.KEY=VALUE" must be a topic configuration. Logged. Errors: MESH_EINVAL. */
int start_check_topic_defaults(const struct broker *broker);

/* Certificate and key must be usable, before anything is written. Logged. Errors: as tls_open(). */
int start_check_tls(const struct broker *broker);

/* A clock that nobody has set since the machine began (BROKER_CLOCK_LEAST_MS): records would get times at which retention deletes them at once. Logged. Errors:
 * MESH_EAGAIN. */
int start_check_clock(int64_t wall_ms);

/* Opens the data directory and takes its lock. What fails has been logged. Errors: as broker_open(). */
int start_data_dir(struct broker *broker);
/* What to do about an error of the disk, for the end of a line that says what and where. */
const char *start_disk_cure(int err);

/* Puts the logs in order before the stores open. */
int start_recover(struct broker *broker, struct recovery_catalog **ret_catalog, struct recovery_report *ret_report);

/* Are there logs of topics that the metadata neither have nor have deleted? */
bool start_has_strangers(const struct broker *broker, struct recovery_catalog *catalog);

/* Hands each recovered log to its shard. A log of a deleted topic is deleted now; one of a topic that the metadata never
 * knew is moved to quarantine. */
int start_open_logs(struct broker *broker, struct recovery_catalog *catalog);

/* Raises the limit of descriptors as far as allowed; returns what connections.max can be. */
uint64_t start_raise_descriptors(uint64_t connections_max);

/* DIR/ready.json, for scripts. A failure is logged, nothing else. */
void start_write_ready(struct broker *broker, const struct broker_ready *ready);
void start_remove_ready(struct broker *broker);

#endif
