/* groups/query_list.c - groups by name: each shard finds its first ones behind a name, and the first of all of these are the answer. */
#include "base/error.h"
#include "cmd/broker/forward/forward.h"
#include "cmd/broker/groups/describe.h"
#include "cmd/broker/groups/groups.h"
#include "cmd/broker/groups/query.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/runtime/shard.h"
#include "cmd/broker/spread/heard.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/coordinator/image.h"

#include <stdlib.h>

/* What one shard has found. */
struct list_part {
    struct mail mail;
    struct groups_list *list;
    struct shard *shard;
    struct message_group_row *rows; /* the first ones, in order once they are home; names and protocol types in `names` */
    size_t count;
    struct buffer names;
    uint64_t known;    /* group partitions whose state is here */
    bool has_more, has_failed;
};

struct groups_list {
    struct control *control;
    struct buffer after;
    uint32_t limit;
    int32_t partition; /* -1: all */
    groups_query_fn *done;
    void *user;
    uint32_t remaining;
    struct list_part heard; /* what no replica here has, but was heard; names are not copied */
    struct list_part parts[];
};

static int compare_names(struct slice a, struct slice b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size == 0 ? 0 : memcmp(a.data, b.data, size);

    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_rows(const void *a, const void *b)
{
    return compare_names(((const struct message_group_row *)a)->name, ((const struct message_group_row *)b)->name);
}

/* ---- on a shard ---- */

/* rows is a heap whose top is the last name, so that the first ones are kept without sorting them all. */
static void sink(struct message_group_row *rows, size_t count, size_t at)
{
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        struct message_group_row row = rows[at];

        if (child + 1 < count && compare_rows(&rows[child + 1], &rows[child]) > 0) child++;
        if (compare_rows(&rows[child], &row) <= 0) return;
        rows[at] = rows[child];
        rows[child] = row;
    }
}

static void rise(struct message_group_row *rows, size_t at)
{
    for (size_t parent; at > 0 && (parent = (at - 1) / 2, compare_rows(&rows[at], &rows[parent]) > 0); at = parent) {
        struct message_group_row row = rows[at];

        rows[at] = rows[parent];
        rows[parent] = row;
    }
}

static void keep(struct list_part *part, const struct message_group_row *row)
{
    if (part->count < part->list->limit) {
        part->rows[part->count] = *row;
        rise(part->rows, part->count++);
        return;
    }
    part->has_more = true;
    if (compare_rows(row, &part->rows[0]) > 0) return;
    part->rows[0] = *row;
    sink(part->rows, part->count, 0);
}

static void list_state(struct list_part *part, const struct groups *state, const struct group_lead *lead, uint32_t number)
{
    struct slice after = buffer_slice(&part->list->after);

    for (const struct group *group = groups_next(state, NULL); group != NULL; group = groups_next(state, group)) {
        struct message_group_row row = {.name = group_view_of(group).name};

        if (compare_names(row.name, after) <= 0) continue;
        if (part->count == part->list->limit && compare_rows(&row, &part->rows[0]) > 0) { /* a row costs a look at every partition of its group */
            part->has_more = true;
            continue;
        }
        row = groups_row_of(state, lead, group, number);
        keep(part, &row);
    }
}

static void take_text(struct buffer *texts, struct slice *text)
{
    size_t at = texts->size;

    (void)buffer_append(texts, text->data, text->size); /* there is room */
    *text = slice_of(texts->data + at, text->size);
}

/* The texts leave the states before anything is applied to these. */
static void take_names(struct list_part *part)
{
    size_t size = 0;

    for (size_t i = 0; i < part->count; i++)
        size += part->rows[i].name.size + part->rows[i].protocol_type.size;
    if (buffer_reserve(&part->names, size) != 0) {
        part->has_failed = true;
        return;
    }
    for (size_t i = 0; i < part->count; i++) {
        take_text(&part->names, &part->rows[i].name);
        take_text(&part->names, &part->rows[i].protocol_type);
    }
}

static void part_home(struct mail *mail);

static void part_arrives(struct mail *mail)
{
    struct list_part *part = container_of(mail, struct list_part, mail);
    struct shard *shard = part->shard;
    struct uuid topic_id;
    const struct group_lead *lead;

    part->rows = calloc(part->list->limit, sizeof(part->rows[0]));
    part->has_failed = part->rows == NULL;
    for (uint32_t i = 0; !part->has_failed && i < GROUP_PARTITIONS && groups_find_topic(shard->image, &topic_id); i++) {
        const struct groups *state = NULL;

        if (part->list->partition >= 0 && i != (uint32_t)part->list->partition) continue;
        if (image_shard_of(&topic_id, i, shard->broker->shard_count) == shard->index) state = groups_state_of(shard, i, &lead);
        if (state == NULL) continue;
        part->known |= UINT64_C(1) << i;
        list_state(part, state, lead, i);
    }
    if (!part->has_failed) take_names(part);
    part->mail.deliver = part_home;
    mailbox_post(forward_mailbox(part->list->control->forward), &part->mail);
}

/* ---- on the control loop ---- */

/* Of the partitions that no replica here knows. */
static uint64_t list_heard(struct groups_list *list, uint64_t known)
{
    struct list_part *part = &list->heard;
    struct slice after = buffer_slice(&list->after);

    part->list = list;
    part->rows = calloc(list->limit, sizeof(part->rows[0]));
    part->has_failed = part->rows == NULL;
    for (uint32_t i = 0; !part->has_failed && i < GROUP_PARTITIONS; i++) {
        bool is_wanted = (known >> i & 1) == 0 && (list->partition < 0 || i == (uint32_t)list->partition);
        uint64_t age_ms;
        const struct spread_cells *cells = is_wanted ? heard_of(list->control->spread, i, &age_ms) : NULL;

        if (cells == NULL) continue;
        known |= UINT64_C(1) << i;
        for (const struct spread_group *group = spread_cells_next(cells, NULL); group != NULL; group = spread_cells_next(cells, group)) {
            struct message_group_row row = {.name = spread_group_view_of(group).name};

            if (compare_names(row.name, after) <= 0) continue;
            row = heard_row_of(cells, group, i, age_ms);
            keep(part, &row);
        }
    }
    return known;
}

static int put_together(struct groups_list *list, struct message_group_list_response *response)
{
    const struct image_topic *topic = image_find_topic_by_name(metadata_image(list->control->metadata), GROUPS_TOPIC_NAME);
    uint64_t known = 0;
    size_t count = 0;

    for (uint32_t i = 0; i < list->control->shard_count; i++) {
        if (list->parts[i].has_failed) return MESH_ENOMEM;
        count += list->parts[i].count;
        known |= list->parts[i].known;
        response->has_more = response->has_more || list->parts[i].has_more;
    }
    known = list_heard(list, known);
    if (list->heard.has_failed) return MESH_ENOMEM;
    count += list->heard.count;
    response->has_more = response->has_more || list->heard.has_more;
    response->rows = calloc(count > 0 ? count : 1, sizeof(response->rows[0]));
    if (response->rows == NULL) return MESH_ENOMEM;
    for (uint32_t i = 0; i < list->control->shard_count; i++)
        for (size_t j = 0; j < list->parts[i].count; j++)
            response->rows[response->row_count++] = list->parts[i].rows[j];
    for (size_t j = 0; j < list->heard.count; j++)
        response->rows[response->row_count++] = list->heard.rows[j];
    qsort(response->rows, count, sizeof(response->rows[0]), compare_rows);
    if (count > list->limit) {
        response->row_count = list->limit;
        response->has_more = true;
    }
    if (topic != NULL) response->partitions_unknown = (list->partition >= 0 ? 1 : GROUP_PARTITIONS) - (uint32_t)__builtin_popcountll(known);
    return 0;
}

static void list_finish(struct groups_list *list)
{
    struct message_group_list_response response = {.error = 0};
    struct buffer answer = BUFFER_INIT;
    int err = put_together(list, &response);

    /* Ten thousand names of 255 bytes and what stands beside them fit into a message. */
    if (err == 0) err = message_encode_group_list_response(&answer, &response);
    list->done(list->user, err, buffer_slice(&answer));
    message_deinit_group_list_response(&response);
    buffer_deinit(&answer);
    for (uint32_t i = 0; i < list->control->shard_count; i++) {
        free(list->parts[i].rows);
        buffer_deinit(&list->parts[i].names);
    }
    free(list->heard.rows);
    buffer_deinit(&list->after);
    free(list);
}

static void part_home(struct mail *mail)
{
    struct groups_list *list = container_of(mail, struct list_part, mail)->list;

    if (--list->remaining == 0) list_finish(list);
}

int groups_query_list(struct control *control, const struct message_group_list *request, groups_query_fn *done, void *user)
{
    struct groups_list *list;

    if (control->shard_count == 0) return MESH_EBUSY;
    list = calloc(1, sizeof(*list) + control->shard_count * sizeof(list->parts[0]));
    if (list == NULL || buffer_append(&list->after, request->after.data, request->after.size) != 0) {
        free(list);
        return MESH_ENOMEM;
    }
    list->control = control;
    list->limit = request->limit == 0 || request->limit > MESSAGE_GROUP_ROWS_MAX ? MESSAGE_GROUP_ROWS_MAX : request->limit;
    list->partition = request->partition;
    list->done = done;
    list->user = user;
    list->remaining = control->shard_count;
    for (uint32_t i = 0; i < control->shard_count; i++) {
        list->parts[i].list = list;
        list->parts[i].shard = control->shards[i];
        list->parts[i].mail.deliver = part_arrives;
        shard_post(control->shards[i], &list->parts[i].mail);
    }
    return 0;
}
