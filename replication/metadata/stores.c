/* metadata/stores.c - one row of numbers for all that is to be stored, whether raft or the feed wants it, and one table of reads. */
#include "replication/metadata/node_internal.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>

static bool make_room(struct node *node)
{
    size_t capacity = node->store_capacity == 0 ? 16 : node->store_capacity * 2;
    struct pending_store *stores;

    if (node->store_count < node->store_capacity) return true;
    stores = malloc(capacity * sizeof(stores[0]));
    if (stores == NULL) return false;
    for (size_t i = 0; i < node->store_count; i++)
        stores[i] = node->stores[(node->store_first + i) % node->store_capacity];
    free(node->stores);
    node->stores = stores;
    node->store_capacity = capacity;
    node->store_first = 0;
    return true;
}

uint64_t node_store_give(struct node *node, uint64_t raft_store, bool is_chunk, bool is_last)
{
    if (!make_room(node)) {
        node_fail(node, MESH_ENOMEM, "no memory to keep track of what is being stored: the metadata stop here");
        return 0;
    }
    node->stores[(node->store_first + node->store_count++) % node->store_capacity] =
        (struct pending_store){++node->next_store, raft_store, is_chunk, is_last, false};
    return node->next_store;
}

uint64_t node_store_give_recovery(struct node *node)
{
    uint64_t store = node_store_give(node, 0, false, false);

    if (store != 0) node->stores[(node->store_first + node->store_count - 1) % node->store_capacity].is_recovery = true;
    return store;
}

static struct pending_store *first_store(struct node *node)
{
    return node->store_count == 0 ? NULL : &node->stores[node->store_first];
}

static void pop_store(struct node *node)
{
    node->store_first = (node->store_first + 1) % node->store_capacity;
    node->store_count--;
}

void node_stored(struct node *node, uint64_t now_us, uint64_t store)
{
    const struct pending_store *first;
    uint64_t raft_store = 0;

    node_enter(node, now_us);
    while ((first = first_store(node)) != NULL && first->store <= store) {
        if (first->is_recovery)
            recover_stored(node->recover, now_us);
        else if (first->raft_store != 0)
            raft_store = first->raft_store;
        else
            node_pull_stored(node, first->is_last, 0);
        pop_store(node);
    }
    if (raft_store != 0 && !node->has_failed) raft_stored(node->raft, now_us, raft_store);
}

void node_store_failed(struct node *node, uint64_t now_us, uint64_t store, int error)
{
    const struct pending_store *first;
    struct pending_store failed;
    bool is_passing = error == MESH_ECORRUPT || error == MESH_EAGAIN || error == MESH_EFULL;

    if (store == 0) return;
    node_stored(node, now_us, store - 1);
    first = first_store(node);
    if (first == NULL || first->store != store || node->has_failed) return;
    failed = *first;
    pop_store(node);
    if (failed.is_chunk && is_passing && failed.raft_store == 0) {
        node_pull_stored(node, failed.is_last, error);
    } else if (failed.is_chunk && is_passing) {
        node->refused_store = failed.raft_store; /* node_stored() was an event of its own for raft */
    } else {
        node->failed_store = error;
        node_fail(node, error, "the metadata log cannot be stored (%s): this broker decides nothing and confirms nothing any more. "
                  "Repair the disk, then start the broker again",
                  mesh_strerror(error));
    }
}

uint64_t node_read_give(struct node *node, const struct pending_read *read)
{
    for (size_t i = 0; i < NODE_READS_MAX; i++) {
        if (node->reads[i].read != 0) continue;
        node->reads[i] = *read;
        return node->reads[i].read = ++node->next_read;
    }
    return 0;
}

size_t node_reads_free(const struct node *node)
{
    size_t count = 0;

    for (size_t i = 0; i < NODE_READS_MAX; i++)
        count += node->reads[i].read == 0;
    return count;
}

void node_snapshot_bytes(struct node *node, uint64_t now_us, uint64_t read, int error, const struct node_snapshot *snapshot)
{
    struct pending_read pending = {0};

    node_enter(node, now_us);
    for (size_t i = 0; i < NODE_READS_MAX && read != 0; i++) {
        if (node->reads[i].read != read) continue;
        pending = node->reads[i];
        node->reads[i].read = 0;
    }
    if (pending.read == 0 || node->has_failed) return;
    if (!pending.is_raft) {
        node_feed_snapshot_bytes(node, &pending, error, snapshot);
    } else if (error != 0) {
        raft_snapshot_bytes(node->raft, now_us, &pending.to, pending.index, pending.offset, slice_of(NULL, 0), 0, error);
    } else {
        raft_snapshot_bytes(node->raft, now_us, &pending.to, snapshot->position.index, pending.offset, snapshot->bytes, snapshot->total, 0);
    }
}
