/* What changed since somebody was told: each cell and group once, however often it changes. Walks that last over turns are here, too. */
#include "replication/groups/state.h"

#include "base/assert.h"

#include <stdlib.h>

/* Something that is there no more. */
struct change_gone {
    uint32_t epoch;
    uint64_t lsn;
    uint8_t *name; /* owned */
    uint32_t name_size;
    struct uuid topic;
    uint32_t partition;
    bool is_group;
};

struct change_log {
    uint32_t *cells; /* a ring of numbers */
    uint32_t cell_head, cell_count, cell_room;
    uint64_t *noted; /* a bit for each number: it is in the ring */
    uint32_t noted_words;
    struct group *first, *last;
    struct change_gone gone[GROUPS_GONE_MAX]; /* a ring */
    uint32_t gone_head, gone_count;
    uint8_t *told_name; /* of the last one that was told; owned */
    bool is_lost;
};

static void forget_gone(struct change_log *log)
{
    free(log->told_name);
    log->told_name = NULL;
    for (; log->gone_count > 0; log->gone_count--)
        free(log->gone[(log->gone_head + log->gone_count - 1) % GROUPS_GONE_MAX].name);
}

void change_log_free(struct groups *groups)
{
    struct change_log *log = groups->change_log;

    if (log == NULL) return;
    forget_gone(log);
    free(log->cells);
    free(log->noted);
    free(log);
    groups->change_log = NULL;
}

int groups_watch_changes(struct groups *groups, bool is_on)
{
    if (groups->change_log != NULL)
        for (struct group *group = groups->change_log->first; group != NULL; group = group_of_number(groups, group->next_noted))
            group->is_noted = false;
    change_log_free(groups);
    if (!is_on) return 0;
    groups->change_log = calloc(1, sizeof(*groups->change_log));
    return groups->change_log == NULL ? MESH_ENOMEM : 0;
}

/* ---- noting ---- */

void change_group(struct groups *groups, struct group *group, uint32_t epoch, uint64_t lsn)
{
    struct change_log *log = groups->change_log;

    group->changed_epoch = epoch;
    group->changed_lsn = lsn;
    if (log == NULL || group->is_noted) return;
    group->is_noted = true;
    group->next_noted = 0;
    if (log->last == NULL)
        log->first = group;
    else
        log->last->next_noted = group->number + 1;
    log->last = group;
}

static int grow_bits(struct change_log *log, uint32_t number)
{
    uint32_t words = number / 64 + 1;
    uint64_t *noted;

    if (words <= log->noted_words) return 0;
    if (words < log->noted_words * 2) words = log->noted_words * 2;
    noted = reallocarray(log->noted, words, sizeof(*noted));
    if (noted == NULL) return MESH_ENOMEM;
    memset(noted + log->noted_words, 0, (words - log->noted_words) * sizeof(*noted));
    log->noted = noted;
    log->noted_words = words;
    return 0;
}

static int grow_ring(struct change_log *log)
{
    uint32_t room = log->cell_room == 0 ? 64 : log->cell_room * 2, *cells;

    if (log->cell_count < log->cell_room) return 0;
    cells = reallocarray(NULL, room, sizeof(*cells));
    if (cells == NULL) return MESH_ENOMEM;
    for (uint32_t i = 0; i < log->cell_count; i++)
        cells[i] = log->cells[(log->cell_head + i) & (log->cell_room - 1)];
    free(log->cells);
    log->cells = cells;
    log->cell_room = room;
    log->cell_head = 0;
    return 0;
}

static void put_back(struct change_log *log, uint32_t number)
{
    log->cells[(log->cell_head + log->cell_count++) & (log->cell_room - 1)] = number;
}

void change_cell(struct groups *groups, const struct group_line *line, uint32_t partition)
{
    struct change_log *log = groups->change_log;
    uint32_t number;

    if (log == NULL) return;
    number = cell_table_number(&groups->cells, line->number, partition);
    if (grow_bits(log, number) != 0 || grow_ring(log) != 0) {
        log->is_lost = true;
        return;
    }
    if ((log->noted[number / 64] >> (number % 64) & 1) != 0) return;
    log->noted[number / 64] |= 1ull << (number % 64);
    put_back(log, number);
}

static void note_gone(struct change_log *log, struct change_gone gone, struct slice name)
{
    gone.name = log->gone_count == GROUPS_GONE_MAX ? NULL : malloc(name.size);
    if (gone.name == NULL) {
        log->is_lost = true;
        return;
    }
    memcpy(gone.name, name.data, name.size);
    gone.name_size = (uint32_t)name.size;
    log->gone[(log->gone_head + log->gone_count++) % GROUPS_GONE_MAX] = gone;
}

void change_cell_gone(struct groups *groups, const struct group_line *line, uint32_t partition, uint32_t epoch, uint64_t lsn)
{
    if (groups->change_log == NULL) return;
    note_gone(groups->change_log, (struct change_gone){.epoch = epoch, .lsn = lsn, .topic = line->topic, .partition = partition}, group_name(line->group));
}

void change_group_gone(struct groups *groups, struct group *group, uint32_t epoch, uint64_t lsn)
{
    struct change_log *log = groups->change_log;
    struct group *before = NULL;

    if (log == NULL) return;
    note_gone(log, (struct change_gone){.epoch = epoch, .lsn = lsn, .is_group = true}, group_name(group));
    if (!group->is_noted) return;
    for (struct group *at = log->first; at != group; at = group_of_number(groups, at->next_noted))
        before = at;
    if (before == NULL)
        log->first = group_of_number(groups, group->next_noted);
    else
        before->next_noted = group->next_noted;
    if (log->last == group) log->last = before;
}

/* ---- telling ---- */

static bool next_gone(struct change_log *log, uint64_t below, struct groups_change *ret_change)
{
    const struct change_gone *gone = &log->gone[log->gone_head];

    if (log->gone_count == 0 || gone->lsn >= below) return false;
    *ret_change = (struct groups_change){.kind = gone->is_group ? GROUPS_CHANGE_GROUP_GONE : GROUPS_CHANGE_CELL_GONE,
                                         .name = slice_of(gone->name, gone->name_size),
                                         .topic = gone->topic,
                                         .partition = gone->partition,
                                         .epoch = gone->epoch,
                                         .lsn = gone->lsn};
    free(log->told_name);
    log->told_name = gone->name;
    log->gone_head = (log->gone_head + 1) % GROUPS_GONE_MAX;
    log->gone_count--;
    return true;
}

static bool next_group(struct groups *groups, uint64_t below, struct groups_change *ret_change)
{
    struct change_log *log = groups->change_log;
    struct group *last = log->last, *group;

    do {
        group = log->first;
        if (group == NULL) return false;
        log->first = group_of_number(groups, group->next_noted);
        if (log->first == NULL) log->last = NULL;
        group->is_noted = false;
        if (group->changed_lsn < below) {
            *ret_change = (struct groups_change){
                .kind = GROUPS_CHANGE_GROUP, .name = group_name(group), .group = group, .epoch = group->changed_epoch, .lsn = group->changed_lsn};
            return true;
        }
        change_group(groups, group, group->changed_epoch, group->changed_lsn); /* later */
    } while (group != last);
    return false;
}

/* False: no cell has this number now. */
static bool view_cell(const struct groups *groups, uint32_t number, struct group_cell_view *ret_cell)
{
    const struct group_line *line;
    const struct cell *cell;
    uint32_t line_number, partition;

    if (!cell_table_at(&groups->cells, number, &line_number, &partition)) return false;
    line = group_line_of_number(groups, line_number);
    cell = cell_table_find(&groups->cells, line_number, partition);
    *ret_cell = (struct group_cell_view){
        .group = line->group,
        .topic = line->topic,
        .partition = partition,
        .offset = {cell->offset, cell->version_epoch, cell->version_lsn, cell->record_epoch, cell->committed_s, slice_of(NULL, 0)}};
    if (cell->has_text) ret_cell->offset.metadata = state_metadata(groups, line, partition);
    return true;
}

static bool next_cell(struct groups *groups, uint64_t below, struct groups_change *ret_change)
{
    struct change_log *log = groups->change_log;

    for (uint32_t left = log->cell_count; left > 0; left--) {
        uint32_t number = log->cells[log->cell_head];
        struct group_cell_view view;
        bool is_there = view_cell(groups, number, &view);

        log->cell_head = (log->cell_head + 1) & (log->cell_room - 1);
        log->cell_count--;
        if (is_there && view.offset.version_lsn >= below) {
            put_back(log, number);
            continue;
        }
        log->noted[number / 64] &= ~(1ull << (number % 64));
        if (!is_there) continue;
        *ret_change = (struct groups_change){.kind = GROUPS_CHANGE_CELL,
                                             .name = group_name(view.group),
                                             .group = view.group,
                                             .topic = view.topic,
                                             .partition = view.partition,
                                             .offset = view.offset,
                                             .epoch = view.offset.version_epoch,
                                             .lsn = view.offset.version_lsn};
        return true;
    }
    return false;
}

bool groups_next_change(struct groups *groups, uint64_t below, struct groups_change *ret_change)
{
    struct change_log *log = groups->change_log;

    if (log == NULL) return false;
    return next_gone(log, below, ret_change) || next_group(groups, below, ret_change) || next_cell(groups, below, ret_change);
}

uint32_t groups_gone_room(const struct groups *groups)
{
    return groups->change_log == NULL ? UINT32_MAX : GROUPS_GONE_MAX - groups->change_log->gone_count;
}

bool groups_changes_lost(struct groups *groups)
{
    struct change_log *log = groups->change_log;
    bool is_lost = log != NULL && log->is_lost;

    if (!is_lost) return false;
    log->is_lost = false;
    forget_gone(log); /* whoever walks over everything sees what is there */
    return true;
}

/* ---- walking ---- */

bool groups_next_cell(const struct groups *groups, uint32_t *place, struct group_cell_view *ret_cell)
{
    while (*place < cell_table_top(&groups->cells))
        if (view_cell(groups, (*place)++, ret_cell)) return true;
    return false;
}

const struct group *groups_next_at(const struct groups *groups, uint32_t *place)
{
    while (*place < groups->group_numbers.top) {
        const struct group *group = group_numbered(&groups->group_numbers, (*place)++);

        if (group != NULL) return group;
    }
    return NULL;
}

void group_changed_at(const struct group *group, uint32_t *ret_epoch, uint64_t *ret_lsn)
{
    *ret_epoch = group->changed_epoch;
    *ret_lsn = group->changed_lsn;
}
