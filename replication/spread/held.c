#include "replication/spread/held.h"

#include "base/assert.h"
#include "base/error.h"
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
    list_init(&held->committed);
    list_init(&held->others);
}

static void free_part(struct held_part *part)
{
    buffer_deinit(&part->rows);
    free(part);
}

static void free_parts(struct list_node *parts)
{
    struct list_node *node;

    while ((node = list_pop_front(parts)) != NULL)
        free_part(container_of(node, struct held_part, node));
}

void spread_held_clear(struct spread_held *held)
{
    free_parts(&held->committed);
    free_parts(&held->others);
    held->is_held = held->has_told = held->has_gap = false;
}

static struct held_part *new_part(void)
{
    struct held_part *part = malloc(sizeof(*part));

    if (part != NULL) part->rows = (struct buffer)BUFFER_INIT;
    return part;
}

static void keep(struct list_node *parts, struct held_part *part)
{
    if (part->rows.size == 0) free_part(part);
    else list_push_back(parts, &part->node);
}

void spread_held_take(struct spread_held *held, struct groups *groups, uint64_t high_watermark, uint32_t wall_s)
{
    bool has_more = true;

    MESH_ASSERT(!held->is_held);
    held->is_held = true;
    held->has_told = false;
    held->to = groups_next_lsn(groups);
    held->sorted_to = high_watermark;
    while (has_more && !held->has_gap) {
        struct held_part *committed = new_part(), *others = new_part();

        if (committed == NULL || others == NULL) {
            free(committed);
            free(others);
            held->has_gap = true;
            return;
        }
        spread_collect_changes(groups, high_watermark, wall_s, &committed->rows, &others->rows, &has_more, &held->has_gap);
        keep(&held->committed, committed);
        keep(&held->others, others);
    }
}

/* The rows of `from` that the high watermark has passed, and those it has not. */
static int split(const struct held_part *from, uint64_t high_watermark, struct held_part **ret_committed, struct held_part **ret_others)
{
    struct held_part *committed = new_part(), *others = new_part();
    struct spread_rows_reader reader = spread_rows_read(buffer_slice(&from->rows));
    struct spread_rows_writer below, behind;
    struct spread_row row;

    if (committed == NULL || others == NULL) goto fail;
    below = spread_rows_write(&committed->rows);
    behind = spread_rows_write(&others->rows);
    while (spread_rows_next(&reader, &row))
        spread_rows_put(row.version.lsn < high_watermark ? &below : &behind, &row);
    if (below.writer.error != 0 || behind.writer.error != 0) {
        buffer_deinit(&committed->rows);
        buffer_deinit(&others->rows);
        goto fail;
    }
    *ret_committed = committed;
    *ret_others = others;
    return 0;
fail:
    free(committed);
    free(others);
    return MESH_ENOMEM;
}

int spread_held_sort(struct spread_held *held, uint64_t high_watermark)
{
    struct list_node *end = held->others.previous, *node;
    bool is_end = list_is_empty(&held->others);

    if (!held->is_held || high_watermark <= held->sorted_to || high_watermark >= held->to) return 0; /* as a whole, if it is beyond */
    while (!is_end && (node = list_pop_front(&held->others)) != NULL) {
        struct held_part *part = container_of(node, struct held_part, node), *committed, *others;

        is_end = node == end;
        if (split(part, high_watermark, &committed, &others) != 0) {
            list_push_back(&held->others, node); /* parts are in no order that matters: a row is in one of them */
            return MESH_ENOMEM;
        }
        free_part(part);
        keep(&held->committed, committed);
        keep(&held->others, others);
    }
    held->sorted_to = high_watermark;
    return 0;
}

bool spread_held_next(struct spread_held *held, uint64_t high_watermark, struct buffer *ret_rows, bool *ret_is_last)
{
    bool is_passed = high_watermark >= held->to || SPREAD_DEFECT(UNCOMMITTED_TOLD);
    struct list_node *node;

    if (!held->is_held) return false;
    node = list_pop_front(&held->committed);
    if (node == NULL && !is_passed) return false;
    if (node == NULL) node = list_pop_front(&held->others);
    *ret_rows = (struct buffer)BUFFER_INIT;
    if (node != NULL) {
        *ret_rows = container_of(node, struct held_part, node)->rows;
        free(container_of(node, struct held_part, node));
    }
    *ret_is_last = is_passed && list_is_empty(&held->committed) && list_is_empty(&held->others);
    held->is_held = !*ret_is_last;
    if (*ret_is_last) return ret_rows->size != 0 || held->has_gap || held->has_told; /* else nothing has changed */
    held->has_told = true;
    return true;
}
