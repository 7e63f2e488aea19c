/* cli/producing.h - what `produce` and `bench` share: options of a producer, and making sure of a topic. */
#ifndef CLI_PRODUCING_H
#define CLI_PRODUCING_H

#include "cmd/cli/session.h"

/* Sets acks, compression, batch-bytes, linger and memory from the command's options. Errors: MESH_EINVAL. */
int producing_set_options(struct mesh_producer *producer, const struct arguments *arguments);

/* Sets --acks alone. Fewer than all: no idempotence, since sequence numbers need every answer. Errors:
 * MESH_EINVAL. */
int producing_set_acks(struct mesh_producer *producer, const struct arguments *arguments);

/* Asks for the topic and creates it with the broker's defaults when `may_create` and it does not exist, which
 * is said on standard error. A partition (MESH_PARTITION_ANY: none is named) must be one of it. Reports its own failure. Returns EXIT_DONE or the code to
 * exit with. */
enum exit_code producing_ensure_topic(struct session *session, const char *topic, int32_t partition, bool may_create);

#endif
