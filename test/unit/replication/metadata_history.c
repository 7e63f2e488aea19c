#include "metadata_history.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

struct history *history_new(void)
{
    struct history *history = calloc(1, sizeof(*history));

    ck_assert_ptr_nonnull(history);
    ck_assert_int_eq(image_new_empty(&history->image), 0);
    return history;
}

void history_free(struct history *history)
{
    for (size_t i = 0; i < history->entry_count; i++)
        free((void *)(uintptr_t)history->entries[i].body.data);
    image_unref(history->image);
    free(history);
}

struct uuid history_uuid(struct history *history)
{
    uint8_t bytes[UUID_SIZE] = {0x5a};

    history->uuid_seed++;
    memcpy(bytes + 1, &history->uuid_seed, sizeof(history->uuid_seed));
    return uuid_from_random(bytes);
}

static struct slice keep(struct slice bytes)
{
    uint8_t *copy = malloc(bytes.size + 1);

    ck_assert_ptr_nonnull(copy);
    if (bytes.size != 0) memcpy(copy, bytes.data, bytes.size);
    return slice_of(copy, bytes.size);
}

int history_append(struct history *history, enum raft_entry_type type, struct slice body)
{
    struct raft_entry entry = {
        .index = image_applied_index(history->image) + 1,
        .term = 1,
        .type = type,
        .body = body,
    };
    struct image *next;
    int err;

    metadata_chain(image_chain(history->image), &entry, entry.chain);
    err = image_apply(history->image, &entry, 1, &next);
    if (err != 0) return err;
    ck_assert_uint_lt(history->entry_count, HISTORY_ENTRIES_MAX);
    entry.body = keep(body); /* before the image goes, which the body may lie in */
    history->entries[history->entry_count++] = entry;
    image_unref(history->image);
    history->image = next;
    return 0;
}

int history_commit_raw(struct history *history, uint16_t kind, struct slice key, struct slice body)
{
    struct metadata_change change = {kind, key, body};
    struct buffer command = BUFFER_INIT;
    int err;

    ck_assert_int_eq(metadata_command_start(&command), 0);
    ck_assert_int_eq(metadata_command_add(&command, &change), 0);
    err = history_append(history, RAFT_ENTRY_COMMAND, buffer_slice(&command));
    buffer_deinit(&command);
    return err;
}

void history_commit(struct history *history, struct decision *decision)
{
    if (decision->change_count != 0)
        ck_assert_int_eq(history_append(history, RAFT_ENTRY_COMMAND, decision_command(decision)), 0);
    decision_deinit(decision);
    decision_init(decision);
}

void history_register_broker(struct history *history, const struct uuid *broker_id, uint64_t boot,
                             const char *zone)
{
    struct decide_broker_register request = {
        .broker_id = *broker_id,
        .dir_id = *broker_id,
        .boot = boot,
        .name = "broker",
        .host = "localhost",
        .zone = zone,
        .port = 9092,
        .shard_count = 2,
    };
    struct decision decision;

    decision_init(&decision);
    ck_assert_int_eq(decide_broker_register(history->image, &request, &decision), 0);
    history_commit(history, &decision);
    decision_deinit(&decision);
}

struct history *history_new_mesh(int broker_count, const char *zones)
{
    struct history *history = history_new();
    struct uuid uuid = history_uuid(history);
    struct decision decision;

    decision_init(&decision);
    ck_assert_int_eq(decide_cluster_create(history->image, &uuid, &decision), 0);
    history_commit(history, &decision);
    decision_deinit(&decision);
    for (int i = 0; i < broker_count; i++) {
        char zone[2] = {(size_t)i < strlen(zones) ? zones[i] : '\0', '\0'};
        uuid = history_uuid(history);
        history_register_broker(history, &uuid, 1, zone);
    }
    return history;
}

const struct image_topic *history_create_topic(struct history *history, const char *name, int32_t partitions,
                                               int32_t replicas)
{
    struct decide_topic_create request = {
        .name = name,
        .partition_count = partitions,
        .replication_factor = replicas,
        .topic_id = history_uuid(history),
        .partition_count_default = 1,
        .replication_factor_default = 1,
    };
    struct decision decision;

    decision_init(&decision);
    ck_assert_msg(decide_topic_create(history->image, &request, &decision) == 0, "%s: %s", name,
                  decision.message);
    history_commit(history, &decision);
    decision_deinit(&decision);
    return image_find_topic_by_name(history->image, name);
}
