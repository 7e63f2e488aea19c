/* broker/runtime/producer_ids.h - hands out producer ids, one by one, from blocks that the metadata log has recorded.
 *
 * An id is never handed out twice, also not after a crash: what is left of a block is then lost. Control loop only. */
#ifndef BROKER_RUNTIME_PRODUCER_IDS_H
#define BROKER_RUNTIME_PRODUCER_IDS_H

#include <stdint.h>

struct control;
struct producer_ids;

struct producer_ids *producer_ids_new(struct control *control); /* NULL: out of memory */
void producer_ids_free(struct producer_ids *ids);               /* accepts NULL; nobody is waiting */

/* done may run before this returns. Errors: those of metadata_allocate_producer_ids(), MESH_ENOMEM. */
typedef void producer_id_fn(void *user, int error, int64_t producer_id);
void producer_ids_next(struct control *control, producer_id_fn *done, void *user);

#endif
