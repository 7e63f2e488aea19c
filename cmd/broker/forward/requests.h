/* forward/requests.h - the shard's side: a batch, a part of a fetch, a look-up become calls, and their answers results. Used by ops/. */
#ifndef BROKER_FORWARD_REQUESTS_H
#define BROKER_FORWARD_REQUESTS_H

#include "cmd/broker/forward/call.h"
#include "cmd/broker/ops/fetch_part.h"
#include "cmd/broker/ops/list_offsets.h"
#include "cmd/broker/ops/produce.h"

/* As produce_submit(), at the broker `leader`; the batch is copied. done's errors, besides those of the leader: MESH_EUNREACHABLE and MESH_EBUSY
 * (nothing was done), MESH_ETIMEDOUT (nobody knows). */
int forward_produce(struct shard *shard, const struct forward_leader *leader, const struct produce_entry *entry, const uint8_t *batch,
                    const struct produce_terms *terms, struct produce_done done);

/* Makes ready what a part for part->leader needs to go there. Errors: MESH_ENOMEM. Then: as fetch_part_send(). */
int forward_fetch_prepare(struct fetch_part *part);
void forward_fetch_send(struct fetch_part *part);
void forward_fetch_free(struct forward_fetch *fetch); /* of one that was not sent; accepts NULL */

/* As list_offsets_submit(), of partitions (at most MESSAGE_ENTRIES_MAX) that one broker leads: done() runs for each, in their order, with `tag` and the place added,
 * and never inside the call. */
int forward_list_offsets(struct shard *shard, const struct uuid *leader, struct list_offsets_entry *entries, size_t count, uint32_t timeout_ms,
                         list_offsets_done_fn *done, void *owner, uint64_t tag);

#endif
