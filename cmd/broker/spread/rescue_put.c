/* spread/rescue_put.c - what was heard of groups becomes records of whoever leads them now. */
#include "cmd/broker/spread/rescue.h"

#include "base/error.h"
#include "replication/spread/collect.h"

#define CELLS_MAX 1000 /* of one record */

struct put {
    struct group_lead *lead;
    const struct groups *state;
    uint64_t now_ms, wall_ms;
    struct group_commit_cell cells[CELLS_MAX];
    size_t count;
    uint32_t put; /* cells */
    int error;    /* of putting in what is gone */
};

/* A later version here was committed after what was heard. */
static bool is_newer(const struct put *put, const struct group *group, const struct spread_row *row)
{
    struct group_offset offset;

    if (group == NULL || !group_committed(put->state, group, &row->topic, row->partition, &offset)) return true;
    return spread_version_compare(row->version, (struct spread_version){offset.version_epoch, offset.version_lsn}) > 0;
}

/* Whether anything of the group is of a later version. */
static bool has_later(const struct put *put, const struct group *group, struct spread_version version)
{
    struct group_cursor cursor = {0};
    struct group_offset offset;
    struct uuid topic;
    uint32_t partition;

    if (spread_version_compare(spread_row_of_group(group).version, version) > 0) return true;
    while (group_next_partition(put->state, group, &cursor, &topic, &partition)) {
        if (!group_committed(put->state, group, &topic, partition, &offset)) continue;
        if (spread_version_compare((struct spread_version){offset.version_epoch, offset.version_lsn}, version) > 0) return true;
    }
    return false;
}

/* Leaves out what was refused. False: nothing was, or nothing else is left. */
static bool leave_out_refused(struct put *put)
{
    size_t kept = 0, before = put->count;

    for (size_t i = 0; i < before; i++)
        if (put->cells[i].error == 0) put->cells[kept++] = put->cells[i];
    put->count = kept;
    return kept != 0 && kept != before;
}

/* A reset is done whole or not at all: what cannot be, of a topic that is gone by now, say, is left out. */
static int reset(struct put *put, struct slice name)
{
    struct group_reset reset = {.group = name, .who = slice_of_string("recovered from other brokers"), .is_forced = true, .reset_epoch = GROUP_RESET_EPOCH_ANY,
                                .cells = put->cells};
    struct group_reply reply;
    int err;

    do {
        reset.cell_count = put->count;
        err = group_lead_reset(put->lead, put->wall_ms, &reset, &reply);
    } while (err != 0 && err != MESH_ENOMEM && leave_out_refused(put));
    return err;
}

static int flush(struct put *put, struct slice name)
{
    const struct group *group = groups_find(put->state, name);
    struct group_reply reply;
    int err;

    if (put->count == 0) return 0;
    if (group != NULL && group_view_of(group).member_count != 0) {
        err = reset(put, name);
    } else {
        struct group_commit commit = {.caller = {.group = name}, .generation = GROUP_GENERATION_NONE, .reset_epoch = GROUP_RESET_EPOCH_ANY, .cells = put->cells,
                                      .cell_count = put->count};
        err = group_lead_commit(put->lead, put->now_ms, put->wall_ms, &commit, &reply);
    }
    for (size_t i = 0; i < put->count; i++)
        put->put += err == 0 && put->cells[i].error == 0;
    put->count = 0;
    return err == MESH_ENOMEM ? err : 0; /* a topic that is gone by now, or a limit that was lowered, holds up nobody else */
}

static int put_group(struct put *put, const struct spread_cells *heard, const struct spread_group *from)
{
    struct slice name = spread_group_view_of(from).name;
    const struct group *group = groups_find(put->state, name);
    struct spread_cursor cursor = {NULL, 0};
    struct spread_row row;
    int err = 0;

    while (err == 0 && spread_group_next_cell(heard, from, &cursor, &row)) {
        if (!is_newer(put, group, &row)) continue;
        put->cells[put->count++] = (struct group_commit_cell){.topic = row.topic, .partition = row.partition, .offset = row.offset,
                                                              .record_epoch = row.record_epoch, .metadata = row.metadata};
        if (put->count < CELLS_MAX) continue;
        err = flush(put, name);
        group = groups_find(put->state, name);
    }
    return err == 0 ? flush(put, name) : err;
}

/* ---- what is gone ---- */

/* Others had heard of it later than of anything that is left here of it. */
static void put_gone(void *arg, const struct spread_row *row)
{
    struct put *put = arg;
    const struct group *group = groups_find(put->state, row->group);
    struct group_claim claim = {.topic = row->topic, .partition = row->partition};
    struct group_reply reply;
    struct group_offset offset;

    if (put->error != 0 || group == NULL) return;
    if (row->kind == SPREAD_CELL_GONE && group_committed(put->state, group, &row->topic, row->partition, &offset) && is_newer(put, group, row))
        put->error = group_lead_delete_offsets(put->lead, row->group, &claim, 1, &reply);
    if (row->kind == SPREAD_GROUP_GONE && !has_later(put, group, row->version)) put->error = group_lead_delete(put->lead, row->group, &reply);
    if (put->error != MESH_ENOMEM) put->error = 0; /* who has members by now is not gone */
}

int rescue_put(struct group_lead *lead, const struct groups *state, const struct spread_cells *heard, uint64_t now_ms, uint64_t wall_ms, uint32_t *ret_groups,
               uint32_t *ret_cells)
{
    struct put put = {.lead = lead, .state = state, .now_ms = now_ms, .wall_ms = wall_ms};
    uint32_t groups = 0;
    int err = 0;

    for (const struct spread_group *from = spread_cells_next(heard, NULL); err == 0 && from != NULL; from = spread_cells_next(heard, from)) {
        uint32_t before = put.put;
        err = put_group(&put, heard, from);
        groups += put.put != before;
    }
    if (err == 0) spread_cells_each_row(heard, put_gone, &put);
    if (err == 0) err = put.error;
    *ret_groups = groups;
    *ret_cells = put.put;
    return err;
}
