/* Where a log's records begin for clients: at any offset, once records were deleted. The files go on beginning with a batch and a segment, and
 * so does what replicas tell each other; this is one number more, which manifests keep. */
#include "base/error.h"
#include "segment/store_core.h"

#define LEFT_RETRY_MS 50 /* for what a manifest could not say yet */

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

int plog_delete_before(struct plog *plog, uint64_t offset)
{
    if (offset > plog->end_offset) return MESH_EOFFSET_OUT_OF_RANGE;
    if (offset <= plog->deleted_offset) return 0;
    plog->deleted_offset = offset; /* where the log starts later it may be for now only: no manifest may say so yet */
    plog->store->is_erasure_due = plog->store->is_manifest_stale = true;
    plog_trim(plog, offset);
    plog_notify(plog);
    return 0;
}

uint64_t plog_first_offset(const struct plog *plog)
{
    return plog->deleted_offset > plog->start_offset ? plog->deleted_offset : plog->start_offset;
}

uint64_t plog_durable_deleted_offset(const struct plog *plog)
{
    return plog->durable_deleted_offset;
}

void plog_lower_deleted(struct plog *plog, uint64_t end_offset)
{
    plog->deleted_offset = lesser(plog->deleted_offset, end_offset);
    plog->stated_deleted_offset = lesser(plog->stated_deleted_offset, end_offset);
    plog->durable_deleted_offset = lesser(plog->durable_deleted_offset, end_offset);
}

uint64_t plog_statable_deleted_offset(const struct plog *plog)
{
    uint64_t statable = lesser(plog->deleted_offset, plog->start_offset + UINT32_MAX);

    return lesser(statable, plog->durable_offset > plog->durable_deleted_offset ? plog->durable_offset : plog->durable_deleted_offset);
}

void store_erasures_stated(struct store *store)
{
    store->is_erasure_due = store->has_erasures_left = false;
    store->erasures_stated_ms = store->now_ms;
    list_for_each(node, &store->logs)
    {
        struct plog *plog = container_of(node, struct plog, log_link);
        plog->stated_deleted_offset = plog_statable_deleted_offset(plog);
        if (plog->stated_deleted_offset < plog->deleted_offset && plog->error == 0) store->has_erasures_left = true;
    }
}

void store_erasures_tick(struct store *store)
{
    if (store->has_erasures_left && store->now_ms - store->erasures_stated_ms >= LEFT_RETRY_MS) store->is_erasure_due = true;
}

void store_erasures_durable(struct store *store)
{
    list_for_each(node, &store->logs)
    {
        struct plog *plog = container_of(node, struct plog, log_link);
        if (plog->durable_deleted_offset == plog->stated_deleted_offset) continue;
        plog->durable_deleted_offset = plog->stated_deleted_offset;
        plog_notify(plog);
    }
}
