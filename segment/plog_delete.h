/* segment/plog_delete.h - removal of a log's oldest segments; of whole logs: plog_delete() in store.h. */
#ifndef SEGMENT_PLOG_DELETE_H
#define SEGMENT_PLOG_DELETE_H

#include "segment/plog.h"

/* Takes the first count (< segment_count) segments out of the log; a job removes their files. No job may hold
 * the log, and no run may lie in them. Errors: MESH_ENOMEM (nothing changed). */
int plog_remove_segments(struct plog *plog, uint32_t count);

#endif
