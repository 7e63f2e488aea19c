/* metadata/apply.c - committed entries become images, in order; snapshots are taken of them, and replace them. */
#include "replication/metadata/node_internal.h"

#include "base/bytes.h"
#include "base/error.h"

#define SNAPSHOT_RETRY_US 30000000 /* after one that failed */

uint64_t node_chain_short(const uint8_t chain[RAFT_CHAIN_SIZE])
{
    return le_load64(chain);
}

struct node_frontier node_make_frontier(const struct node *node)
{
    return (struct node_frontier){image_applied_term(node->image), image_applied_index(node->image),
                                  node_chain_short(image_chain(node->image))};
}

bool node_position(const struct node *node, uint64_t index, struct raft_position *ret_position)
{
    struct raft_status status;
    struct raft_entry entry;

    *ret_position = (struct raft_position){.index = index};
    if (index > node->committed) return false;
    if (index == 0) return true;
    raft_get_status(node->raft, &status);
    if (index == status.snapshot.index) {
        *ret_position = status.snapshot;
        return true;
    }
    if (!raft_get_entry(node->raft, index, &entry)) return false;
    ret_position->term = entry.term;
    memcpy(ret_position->chain, entry.chain, RAFT_CHAIN_SIZE);
    return true;
}

/* ---- entries ---- */

static void take_image(struct node *node, struct image *next, const struct raft_entry *entries, size_t count)
{
    uint64_t history = node_history(node);

    for (size_t i = 0; i < count; i++)
        node->log_bytes += entries[i].body.size + NODE_ENTRY_OVERHEAD;
    image_unref(node->image);
    node->image = next;
    node->self_broker = image_find_broker_by_uuid(next, &node->options.self.broker);
    node->is_published = false;
    node->requests_are_due = true;
    if (node_history(node) > history && node->frontier_told.index != 0) /* not when a start reads it all again */
        node_event(node, NODE_LEVEL_WARN, "the mesh was recovered without brokers that are gone for good: its metadata go on as history %llu, from index %llu",
                   (unsigned long long)node_history(node), (unsigned long long)image_applied_index(next));
    if (image_find_retired(next, &node->options.self.broker) != NULL) node_removed(node, node_history(node));
}

static bool is_other_mesh(const struct node *node, const struct image *image)
{
    const struct uuid *ours = &node->options.cluster_id, *its = image_cluster_id(image);

    return !uuid_is_zero(ours) && !uuid_is_zero(its) && !uuid_equal(ours, its);
}

/* The next entries. False: not now. */
static bool apply(struct node *node, const struct raft_entry *entries, size_t count)
{
    const struct raft_entry *last = &entries[count - 1];
    struct image *next = node_decisions_take_image(node, last->index, last->chain);
    int err = next != NULL ? 0 : image_apply(node->image, entries, count, &next);

    if (err == 0 && is_other_mesh(node, next)) {
        image_unref(next);
        err = MESH_EWRONG_MESH;
    }
    if (err == 0) {
        take_image(node, next, entries, count);
    } else if (err == MESH_EVERSION) {
        node_fail(node, err, "the metadata log holds what a newer version of mesh wrote, near index %llu: upgrade this broker",
                  (unsigned long long)last->index);
    } else if (err != MESH_ENOMEM) {
        node_fail(node, err, "committed metadata do not follow what this broker has, near index %llu (%s): it stops here rather than "
                  "guess. Move its data directory away and join again, or restore it",
                  (unsigned long long)last->index, mesh_strerror(err));
    }
    return err == 0;
}

void node_apply_commit(struct node *node, const struct raft_entry *entries, size_t count)
{
    uint64_t applied = image_applied_index(node->image);

    if (count == 0) return;
    node->committed = entries[count - 1].index;
    while (count > 0 && entries[0].index <= applied) {
        entries++;
        count--;
    }
    if (count == 0 || node->restores != 0 || node->has_failed || entries[0].index != applied + 1) return;
    apply(node, entries, count);
}

void node_apply_pending(struct node *node)
{
    while (node->restores == 0 && !node->has_failed && image_applied_index(node->image) < node->committed) {
        struct raft_entry entries[NODE_APPLY_BATCH];
        uint64_t next = image_applied_index(node->image) + 1;
        size_t count = 0;

        while (count < NODE_APPLY_BATCH && next + count <= node->committed && raft_get_entry(node->raft, next + count, &entries[count]))
            count++;
        if (count == 0 || !apply(node, entries, count)) return;
    }
}

/* ---- snapshots ---- */

void node_apply_snapshot(struct node *node)
{
    if (node->snapshot_index != 0 || node->wants_snapshot || node->log_bytes < node->options.snapshot_log_bytes || node->restores != 0 ||
        node->has_failed || node->now_us < node->snapshot_retry_us)
        return;
    node->wants_snapshot = true;
}

bool node_apply_snapshot_output(struct node *node, struct node_output *ret_output)
{
    if (!node->wants_snapshot) return false;
    node->wants_snapshot = false;
    node->snapshot_index = image_applied_index(node->image);
    node->snapshot_log_bytes = node->log_bytes;
    *ret_output = (struct node_output){
        .type = NODE_OUTPUT_SNAPSHOT_TAKE,
        .image = node->image,
        .config = image_raft_config(node->image),
        .position = {.index = node->snapshot_index, .term = image_applied_term(node->image)},
    };
    memcpy(ret_output->position.chain, image_chain(node->image), RAFT_CHAIN_SIZE);
    return true;
}

void node_snapshot_taken(struct node *node, uint64_t now_us, uint64_t index, int error)
{
    node_enter(node, now_us);
    if (index != node->snapshot_index) return;
    node->snapshot_index = 0;
    if (error != 0) {
        node->snapshot_retry_us = now_us + SNAPSHOT_RETRY_US;
        node_event(node, NODE_LEVEL_WARN, "no snapshot of the metadata could be taken (%s): their log grows until one can",
                   mesh_strerror(error));
        return;
    }
    node->log_bytes -= earlier(node->log_bytes, node->snapshot_log_bytes);
    if (!node->has_failed) raft_compact(node->raft, now_us, index);
}

/* ---- restoring ---- */

void node_apply_restore(struct node *node, const struct raft_position *position)
{
    node->restores++;
    node->restoring = *position;
    node->committed = position->index;
    node_decisions_abandon(node);
}

static bool is_image_at(const struct image *image, const struct raft_position *position)
{
    return image != NULL && image_applied_index(image) == position->index &&
           memcmp(image_chain(image), position->chain, RAFT_CHAIN_SIZE) == 0;
}

void node_restored(struct node *node, uint64_t now_us, int error, const struct image *image)
{
    node_enter(node, now_us);
    if (node->restores == 0 || node->has_failed) return;
    if (--node->restores != 0) return; /* a newer one is on its way */
    if (error == 0 && !is_image_at(image, &node->restoring)) error = MESH_ECORRUPT;
    if (error == 0 && is_other_mesh(node, image)) error = MESH_EWRONG_MESH;
    if (error != 0) {
        node_fail(node, error, "the snapshot of the metadata at index %llu cannot be used (%s): this broker has no metadata to go by. Move "
                  "its data directory away and join again, or restore it",
                  (unsigned long long)node->restoring.index, mesh_strerror(error));
        return;
    }
    node->log_bytes = 0;
    take_image(node, image_ref(image), NULL, 0);
    node_pull_restored(node);
}
