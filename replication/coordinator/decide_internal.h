/* coordinator/decide_internal.h - for decide*.c only: how a decision is written down. */
#ifndef COORDINATOR_DECIDE_INTERNAL_H
#define COORDINATOR_DECIDE_INTERNAL_H

#include "replication/coordinator/decide.h"
#include "replication/coordinator/record_body.h"

/* Says why, for people, and returns err. */
int decision_refuse(struct decision *decision, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Ends a change whose key, then body, have been appended to decision->storage from `start` on; the slices are
 * set by decision_finish(), since the storage may move until then. Errors: MESH_ETOOLARGE. */
int decision_add(struct decision *decision, enum metadata_kind kind, size_t start, size_t key_size);
void decision_finish(struct decision *decision);

#endif
