/* groups/serve_lists.c - lists of partitions for answers. Lists grow to powers of two, so their room need not be kept. */
#include "base/error.h"
#include "cmd/broker/groups/serve_internal.h"

#include <stdlib.h>

static bool is_power_of_two(size_t number)
{
    return (number & (number - 1)) == 0;
}

/* Room for one more behind `count`; NULL: no memory, and `list` is as it was. */
static void *grow(void *list, size_t count, size_t size)
{
    return is_power_of_two(count) ? reallocarray(list, count == 0 ? 1 : 2 * count, size) : list;
}

#define APPEND(lists, topic, field, count, value)                                                             \
    do {                                                                                                      \
        void *grown_ = grow((topic)->field, (topic)->count, sizeof(*(topic)->field));                         \
        if (grown_ == NULL) {                                                                                 \
            (lists)->has_failed = true;                                                                       \
        } else {                                                                                              \
            (topic)->field = grown_;                                                                          \
            (topic)->field[(topic)->count++] = (value);                                                       \
        }                                                                                                     \
    } while (0)

struct message_group_partitions *groups_list_of(struct groups_lists *lists, const struct uuid *topic, uint32_t kind)
{
    struct message_group_partitions *grown;

    /* Partitions come by topic: of one topic there are as many lists as kinds. */
    for (size_t i = lists->count; i > 0 && uuid_equal(&lists->topics[i - 1].topic_id, topic); i--)
        if (lists->topics[i - 1].kind == kind) return &lists->topics[i - 1];
    grown = grow(lists->topics, lists->count, sizeof(*grown));
    if (grown == NULL) {
        lists->has_failed = true;
        return NULL;
    }
    lists->topics = grown;
    lists->topics[lists->count] = (struct message_group_partitions){.topic_id = *topic, .kind = kind};
    return &lists->topics[lists->count++];
}

static struct message_group_partitions *add(struct groups_lists *lists, const struct uuid *topic, uint32_t kind, uint32_t partition)
{
    struct message_group_partitions *list = lists->has_failed ? NULL : groups_list_of(lists, topic, kind);

    if (list != NULL) APPEND(lists, list, partitions, partition_count, partition);
    lists->partition_count++;
    return list;
}

void groups_list_add(struct groups_lists *lists, const struct uuid *topic, uint32_t kind, uint32_t partition)
{
    (void)add(lists, topic, kind, partition);
}

void groups_list_add_error(struct groups_lists *lists, const struct uuid *topic, uint32_t partition, int error)
{
    struct message_group_partitions *list = add(lists, topic, 0, partition);

    if (list != NULL) APPEND(lists, list, errors, error_count, error);
}

void groups_list_add_offset(struct groups_lists *lists, const struct uuid *topic, uint32_t partition, const struct group_offset *offset)
{
    struct message_group_partitions *list = add(lists, topic, 0, partition);

    if (list == NULL) return;
    APPEND(lists, list, offsets, offset_count, (int64_t)offset->offset);
    APPEND(lists, list, record_epochs, record_epoch_count, offset->record_epoch);
    APPEND(lists, list, version_epochs, version_epoch_count, offset->version_epoch);
    APPEND(lists, list, version_lsns, version_lsn_count, offset->version_lsn);
    APPEND(lists, list, committed_s, committed_count, offset->committed_s);
    if (offset->metadata.size == 0) return;
    APPEND(lists, list, metadata, metadata_count, offset->metadata);
    APPEND(lists, list, metadata_places, metadata_place_count, (uint32_t)(list->partition_count - 1));
}

void groups_list_add_claim(struct groups_lists *lists, const struct uuid *topic, uint32_t partition, int error, int64_t offset, int32_t record_epoch)
{
    struct message_group_partitions *list = add(lists, topic, 0, partition);

    if (list == NULL) return;
    APPEND(lists, list, errors, error_count, error);
    APPEND(lists, list, offsets, offset_count, offset);
    APPEND(lists, list, record_epochs, record_epoch_count, record_epoch);
}

void groups_list_add_reset(struct groups_lists *lists, const struct uuid *topic, uint32_t partition, int error, int64_t before, int64_t after)
{
    struct message_group_partitions *list = add(lists, topic, 0, partition);

    if (list == NULL) return;
    APPEND(lists, list, errors, error_count, error);
    APPEND(lists, list, offsets_before, offset_before_count, before);
    APPEND(lists, list, offsets, offset_count, after);
}

void groups_list_add_described(struct groups_lists *lists, const struct uuid *topic, uint32_t partition, const struct group_offset *offset, int32_t owner,
                               int32_t target)
{
    struct message_group_partitions *list = add(lists, topic, 0, partition);
    bool has_offset = offset->offset != GROUP_OFFSET_NONE;

    if (list == NULL) return;
    APPEND(lists, list, offsets, offset_count, has_offset ? (int64_t)offset->offset : -1);
    APPEND(lists, list, record_epochs, record_epoch_count, has_offset ? offset->record_epoch : -1);
    APPEND(lists, list, committed_s, committed_count, offset->committed_s);
    APPEND(lists, list, owners, owner_count, owner);
    APPEND(lists, list, targets, target_count, target);
}

void groups_lists_deinit(struct groups_lists *lists)
{
    struct message_group_response response = {.topics = lists->topics, .topic_count = lists->count};

    message_deinit_group_response(&response);
    *lists = (struct groups_lists){.topics = NULL};
}
