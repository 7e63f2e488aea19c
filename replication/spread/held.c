#include "replication/spread/held.h"

#include "base/assert.h"
#include "replication/spread/collect.h"
#include "replication/spread/switches.h"

#include <stdlib.h>

struct held_part {
    struct list_node node;
    struct buffer rows;
};

void spread_held_init(struct spread_held *held)
{
    *held = (struct spread_held){.to = 0};
    list_init(&held->parts);
}

void spread_held_clear(struct spread_held *held)
{
    struct list_node *node;

    while ((node = list_pop_front(&held->parts)) != NULL) {
        struct held_part *part = container_of(node, struct held_part, node);
        buffer_deinit(&part->rows);
        free(part);
    }
    held->is_held = held->has_gap = false;
}

void spread_held_take(struct spread_held *held, struct groups *groups, uint32_t wall_s)
{
    bool has_more = true;

    MESH_ASSERT(!held->is_held);
    held->is_held = true;
    held->to = groups_next_lsn(groups);
    while (has_more && !held->has_gap) {
        struct held_part *part = calloc(1, sizeof(*part));

        held->has_gap = part == NULL;
        if (part == NULL) return;
        part->rows = (struct buffer)BUFFER_INIT;
        list_push_back(&held->parts, &part->node);
        spread_collect_changes(groups, wall_s, &part->rows, &has_more, &held->has_gap);
    }
}

bool spread_held_next(struct spread_held *held, uint64_t high_watermark, struct buffer *ret_rows, bool *ret_is_last)
{
    struct list_node *node;

    if (!held->is_held || (high_watermark < held->to && !SPREAD_DEFECT(UNCOMMITTED_TOLD))) return false;
    node = list_pop_front(&held->parts);
    *ret_rows = (struct buffer)BUFFER_INIT;
    if (node != NULL) {
        *ret_rows = container_of(node, struct held_part, node)->rows;
        free(container_of(node, struct held_part, node));
    }
    *ret_is_last = list_is_empty(&held->parts);
    held->is_held = !*ret_is_last;
    return true;
}
