#include "segment/plog_work.h"

#include "base/assert.h"
#include "base/error.h"
#include "segment/plog.h"
#include "segment/store_core.h"

#include <stdlib.h>

/* A list that is empty, for ever. */
#define EMPTY(list) {(struct list_node *)(uintptr_t)&plog_work_none.list, (struct list_node *)(uintptr_t)&plog_work_none.list}

const struct plog_work plog_work_none = {
    .link = EMPTY(link),
    .unsynced_link = EMPTY(unsynced_link),
    .async_link = EMPTY(async_link),
    .flush_link = EMPTY(flush_link),
};

int plog_begin_work(struct plog *plog)
{
    struct plog_work *work;

    if (plog->work != PLOG_AT_REST) return 0;
    work = calloc(1, sizeof(*work));
    if (work == NULL) return MESH_ENOMEM;
    work->plog = plog;
    list_init(&work->unsynced_link);
    list_init(&work->async_link);
    list_init(&work->flush_link);
    list_push_back(&plog->store->working_logs, &work->link);
    plog->work = work;
    return 0;
}

void plog_leave_work_lists(struct plog *plog)
{
    struct plog_work *work = plog->work;

    if (work == PLOG_AT_REST) return;
    list_remove(&work->unsynced_link);
    list_remove(&work->async_link);
    list_remove(&work->flush_link);
}

void plog_leave_unsynced(struct plog *plog)
{
    if (plog->work != PLOG_AT_REST) list_remove(&plog->work->unsynced_link);
}

void plog_join_unsynced(struct plog *plog)
{
    MESH_ASSERT(plog->work != PLOG_AT_REST);
    if (list_is_empty(&plog->work->unsynced_link)) list_push_back(&plog->store->unsynced_logs, &plog->work->unsynced_link);
}

void plog_end_work(struct plog *plog)
{
    struct plog_work *work = plog->work;

    if (work == PLOG_AT_REST) return;
    plog_leave_work_lists(plog);
    run_queue_deinit(&work->runs);
    list_remove(&work->link);
    plog->work = PLOG_AT_REST;
    free(work);
}

/* What was noted of the pace at which it was written to is of no use by then. */
static bool may_rest(const struct plog_work *work)
{
    const struct plog *plog = work->plog;

    if (work->runs.count > 0 || work->direct_chunk != NULL || plog->job_references > 0 || plog->truncation != NULL) return false;
    if (work->unsynced_bytes > 0 || plog->filed_offset > plog->synced_offset) return false;
    return list_is_empty(&work->unsynced_link) && list_is_empty(&work->async_link) && list_is_empty(&work->flush_link);
}

void store_rest_logs(struct store *store)
{
    list_for_each_safe(node, &store->working_logs)
    {
        const struct plog_work *work = container_of(node, struct plog_work, link);

        if (may_rest(work)) plog_end_work(work->plog);
    }
}
