/* What groups without members take in a replica that does nothing with them, and at a broker that has heard of them: that alone, as malloc counts it. Arguments: groups,
 * offsets of each. */
#include "replication/groups/lead.h"
#include "replication/spread/cells.h"
#include "replication/spread/collect.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define STATES 64 /* partitions of groups, as a broker has */

static bool find(void *arg, const struct uuid *id, struct group_topic *ret_topic)
{
    (void)arg;
    *ret_topic = (struct group_topic){*id, slice_of("t", 1), 100000, NULL};
    return true;
}

static const struct group_catalog catalog = {find, NULL, NULL, NULL, NULL, NULL};

static void must(int err)
{
    if (err == 0) return;
    fprintf(stderr, "%s\n", mesh_strerror(err));
    exit(1);
}

/* One group and its offsets, decided in a state of its own that is thrown away, so that what is counted is what a follower has. */
static void commit(struct groups *follower, uint32_t group, struct group_commit_cell *cells, uint32_t count)
{
    struct group_limits limits;
    struct groups *leader;
    struct group_lead *lead;
    struct group_reply reply;
    struct slice record;
    size_t cursor = 0;
    uint64_t lsn = groups_next_lsn(follower);
    char name[32];
    struct group_commit commit = {.caller.group = slice_of(name, (size_t)snprintf(name, sizeof(name), "group-%u", group)),
                                  .generation = GROUP_GENERATION_NONE, .reset_epoch = GROUP_RESET_EPOCH_ANY, .cells = cells, .cell_count = count};

    group_limits_init(&limits);
    must(groups_new(0, &leader));
    must(group_lead_new(leader, &catalog, &limits, 1, lsn, false, 1, &lead));
    must(group_lead_commit(lead, 1, 1700000000000, &commit, &reply));
    while (group_lead_next_record(lead, &cursor, &record))
        must(groups_apply(follower, 1, lsn++, record));
    group_lead_free(lead);
    groups_free(leader);
}

static size_t allocated(void)
{
    return mallinfo2().uordblks + mallinfo2().hblkhd;
}

/* All of a partition, as its leader tells others. */
static void hear(const struct groups *state, struct spread_cells *cells)
{
    struct spread_walk walk = {0};
    bool is_last = false;

    while (!is_last) {
        struct buffer rows = BUFFER_INIT;

        must(spread_collect_piece(state, UINT64_MAX, &walk, &rows, &is_last));
        must(spread_cells_merge_rows(cells, buffer_slice(&rows)));
        buffer_deinit(&rows);
    }
}

static void measure_heard(struct groups **states, double total)
{
    struct spread_cells *heard[STATES];
    size_t before = allocated();

    for (int i = 0; i < STATES; i++) {
        must(spread_cells_new(&heard[i]));
        hear(states[i], heard[i]);
    }
    printf("%.1f bytes of memory per offset that was heard of\n", (double)(allocated() - before) / total);
    for (int i = 0; i < STATES; i++)
        spread_cells_free(heard[i]);
}

int main(int argc, char **argv)
{
    uint32_t group_count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000, offsets = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;
    struct group_commit_cell *cells = calloc(offsets, sizeof(*cells));
    struct groups *states[STATES];
    double total = (double)group_count * offsets;
    size_t before, tables = 0;

    for (uint32_t i = 0; i < offsets; i++)
        cells[i] = (struct group_commit_cell){.topic = {{1}}, .partition = i, .offset = 1000000 + i, .record_epoch = 3};
    before = allocated();
    for (int i = 0; i < STATES; i++)
        must(groups_new(0, &states[i]));
    for (uint32_t i = 0; i < group_count; i++)
        commit(states[i % STATES], i, cells, offsets);
    for (int i = 0; i < STATES; i++)
        tables += groups_offset_bytes(states[i]);
    printf("%.1f bytes of memory per offset, %.1f of them the table of offsets; %.1f of a group beside that\n", (double)(allocated() - before) / total,
           (double)tables / total, (double)(allocated() - before - tables) / group_count);
    measure_heard(states, total);
    for (int i = 0; i < STATES; i++)
        groups_free(states[i]);
    free(cells);
    return 0;
}
