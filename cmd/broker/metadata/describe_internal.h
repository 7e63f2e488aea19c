/* metadata/describe_internal.h - what the files of describe.h share. */
#ifndef METADATA_DESCRIBE_INTERNAL_H
#define METADATA_DESCRIBE_INTERNAL_H

#include "cmd/broker/metadata/describe.h"
#include "replication/coordinator/replica_facts.h"

#define DESCRIBE_PROBLEMS_MAX 24 /* all kinds together are fewer */

/* `what` is the arena's, NULL when it found no memory. Errors of all: MESH_ENOMEM. */
int describe_add_problem(struct arena *arena, struct message_status_response *status, char *what, const char *meaning,
                         const char *remedy);

/* describe_mesh.c: who votes; and what is wrong with coordination, with sessions, with the metadata's disk here. */
int describe_voters(struct arena *arena, const struct image *image, const struct describe_facts *facts, struct message_status_response *status);
int describe_mesh_problems(struct arena *arena, const struct image *image, const struct describe_facts *facts,
                           const struct replica_facts *replicas, struct message_status_response *status);

#endif
