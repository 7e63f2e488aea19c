/* The metadata image: records make the same image however they are grouped, nothing that cannot follow is
 * taken, old images stay as they were, and snapshots say all. */
#include "base/error.h"
#include "metadata_history.h"
#include "replication/consensus/config_codec.h"
#include "replication/coordinator/record_body.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <malloc.h>
#include <stdio.h>

static struct history *history;

static void delete_topic(const char *name)
{
    struct decision decision;

    decision_init(&decision);
    ck_assert_int_eq(decide_topic_delete(history->image, name, &decision), 0);
    history_commit(history, &decision);
    decision_deinit(&decision);
}

static void alter_topic(const char *name, int32_t partitions, const char *key, const char *value)
{
    struct decide_config config = {key, value};
    struct decide_topic_alter request = {
        .name = name, .partition_count = partitions, .configs = &config, .config_count = key == NULL ? 0 : 1};
    struct decision decision;

    decision_init(&decision);
    ck_assert_int_eq(decide_topic_alter(history->image, &request, &decision), 0);
    history_commit(history, &decision);
    decision_deinit(&decision);
}

static int change_partitions(const struct uuid *topic_id, const struct body_partition *partitions,
                             uint32_t count)
{
    struct buffer body = BUFFER_INIT;
    int err;

    ck_assert_int_eq(body_encode_partitions(&body, partitions, count), 0);
    err = history_commit_raw(history, METADATA_PARTITIONS_CHANGED, slice_of(topic_id->bytes, UUID_SIZE),
                             buffer_slice(&body));
    buffer_deinit(&body);
    return err;
}

/* A bit of everything: three brokers, topics made, grown, changed and deleted, leaders moved, boots. */
static void set_up(void)
{
    struct body_partition moved = {
        .partition = 1, .leader_epoch = 1, .partition_epoch = 1, .replica_count = 2, .isr = 1};
    const struct image_topic *topic;
    char name[32];
    struct decision decision;

    history = history_new_mesh(3, "aab");
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "topic-%d", i);
        history_create_topic(history, name, 1 + i * 7 % 130, 1 + i % 3);
    }
    for (int i = 0; i < 40; i += 5) {
        snprintf(name, sizeof(name), "topic-%d", i);
        delete_topic(name);
    }
    alter_topic("topic-1", 200, "flush", "async");
    alter_topic("topic-2", 0, "retention.ms", "1h");
    topic = image_find_topic_by_name(history->image, "topic-4");
    moved.leader = moved.replicas[0] = 3;
    moved.replicas[1] = 1;
    ck_assert_int_eq(change_partitions(&topic->topic_id, &moved, 1), 0);
    history_register_broker(history, &image_broker_at(history->image, 1)->broker_id, 9, "z");
    decision_init(&decision);
    ck_assert_int_eq(decide_producer_ids(history->image, 2, 1000, &decision), 0);
    history_commit(history, &decision);
    decision_deinit(&decision);
}

static void tear_down(void)
{
    history_free(history);
}

static void assert_same_image(const struct image *a, const struct image *b)
{
    struct buffer left = BUFFER_INIT, right = BUFFER_INIT;

    ck_assert_int_eq(image_encode(a, &left), 0);
    ck_assert_int_eq(image_encode(b, &right), 0);
    ck_assert(slice_equal(buffer_slice(&left), buffer_slice(&right)));
    buffer_deinit(&left);
    buffer_deinit(&right);
}

/* ---- determinism ---- */

START_TEST(any_grouping_of_the_records_makes_the_same_image)
{
    static const size_t group_sizes[] = {1, 2, 3, 7, 1000};
    struct image *image, *next;

    ck_assert_int_eq(image_new_empty(&image), 0);
    for (size_t at = 0; at < history->entry_count;) {
        size_t count =
            group_sizes[_i] < history->entry_count - at ? group_sizes[_i] : history->entry_count - at;
        ck_assert_int_eq(image_apply(image, &history->entries[at], count, &next), 0);
        image_unref(image);
        image = next;
        at += count;
    }
    assert_same_image(image, history->image);
    image_unref(image);
}
END_TEST

START_TEST(replaying_in_place_makes_the_same_image)
{
    struct image *image;

    ck_assert_int_eq(image_new_empty(&image), 0);
    for (size_t i = 0; i < history->entry_count; i++)
        ck_assert_int_eq(image_advance(image, &history->entries[i]), 0);
    assert_same_image(image, history->image);
    image_unref(image);
}
END_TEST

START_TEST(a_snapshot_at_any_point_continues_to_the_same_image)
{
    struct image *image, *restored, *next;
    struct buffer bytes = BUFFER_INIT;
    size_t half = (size_t)_i * history->entry_count / 8;

    ck_assert_int_eq(image_new_empty(&image), 0);
    ck_assert_int_eq(image_apply(image, history->entries, half, &next), 0);
    image_unref(image);
    ck_assert_int_eq(image_encode(next, &bytes), 0);
    ck_assert_int_eq(image_decode(buffer_slice(&bytes), &restored), 0);
    assert_same_image(next, restored);
    image_unref(next);
    ck_assert_int_eq(image_apply(restored, history->entries + half, history->entry_count - half, &next), 0);
    assert_same_image(next, history->image);
    image_unref(next);
    image_unref(restored);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(an_older_image_stays_as_it_was)
{
    struct image *before = image_ref(history->image);
    struct buffer then = BUFFER_INIT, now = BUFFER_INIT;

    ck_assert_int_eq(image_encode(before, &then), 0);
    delete_topic("topic-1");
    alter_topic("topic-2", 500, "flush", "async");
    history_create_topic(history, "more", 10, 3);
    history_register_broker(history, &image_broker_at(history->image, 0)->broker_id, 50, "q");
    ck_assert_int_eq(image_encode(before, &now), 0);
    ck_assert(slice_equal(buffer_slice(&then), buffer_slice(&now)));
    ck_assert_ptr_nonnull(image_find_topic_by_name(before, "topic-1"));
    image_unref(before);
    buffer_deinit(&then);
    buffer_deinit(&now);
}
END_TEST

/* ---- what is refused ---- */

enum forgery {
    FORGE_CHAIN,
    FORGE_BODY,
    FORGE_SIZE,
    FORGE_TYPE,
    FORGE_INDEX,
    FORGE_TERM,
    FORGE_OLD_TERM,
    FORGE_REPEAT,
    FORGE_COUNT
};

START_TEST(an_entry_that_does_not_continue_the_chain_is_refused)
{
    struct raft_entry entry = history->entries[history->entry_count - 1];
    struct image *image, *before, *next = NULL;
    uint8_t body[256];

    ck_assert_int_eq(image_new_empty(&image), 0);
    ck_assert_int_eq(image_apply(image, history->entries, history->entry_count - 1, &before), 0);
    memcpy(body, entry.body.data, entry.body.size);
    entry.body.data = body;
    switch ((enum forgery)_i) {
    case FORGE_CHAIN: entry.chain[31] ^= 1; break;
    case FORGE_BODY: body[entry.body.size - 1] ^= 1; break;
    case FORGE_SIZE: entry.body.size--; break;
    case FORGE_TYPE: entry.type = RAFT_ENTRY_NOOP; break;
    case FORGE_INDEX: entry.index++; break;
    case FORGE_TERM: entry.term++; break;
    case FORGE_OLD_TERM: entry.term = 0; break;
    case FORGE_REPEAT: entry = history->entries[history->entry_count - 2]; break;
    case FORGE_COUNT: break;
    }
    ck_assert_int_eq(image_apply(before, &entry, 1, &next), MESH_ECORRUPT);
    ck_assert_ptr_null(next);
    ck_assert_int_eq(image_apply(before, &history->entries[history->entry_count - 1], 1, &next), 0);
    image_unref(next);
    image_unref(before);
    image_unref(image);
}
END_TEST

START_TEST(entries_of_consensus_move_the_position_and_the_configuration)
{
    struct raft_config config;
    struct buffer body = BUFFER_INIT;
    uint64_t index = image_applied_index(history->image);

    memset(&config, 0, sizeof(config));
    config.voter_count = 1;
    config.voters[0].broker = image_broker_at(history->image, 0)->broker_id;
    ck_assert_uint_eq(image_raft_config(history->image)->voter_count, 0);
    ck_assert_int_eq(history_append(history, RAFT_ENTRY_NOOP, slice_of("", 0)), 0);
    ck_assert_int_eq(history_append(history, RAFT_ENTRY_NOOP, slice_of("x", 1)), MESH_ECORRUPT);
    ck_assert_int_eq(history_append(history, RAFT_ENTRY_CONFIG, slice_of("x", 1)), MESH_EVERSION);
    ck_assert_int_eq(history_append(history, RAFT_ENTRY_CONFIG, slice_of("", 0)), MESH_ECORRUPT);
    ck_assert_int_eq(history_append(history, (enum raft_entry_type)9, slice_of("", 0)), MESH_EVERSION);
    ck_assert_int_eq(raft_config_encode(&body, &config), 0);
    ck_assert_int_eq(history_append(history, RAFT_ENTRY_CONFIG, buffer_slice(&body)), 0);
    ck_assert_uint_eq(image_applied_index(history->image), index + 2);
    ck_assert(raft_config_equal(image_raft_config(history->image), &config));
    buffer_deinit(&body);
}
END_TEST

START_TEST(the_changes_of_one_entry_happen_together_or_not_at_all)
{
    struct uuid topic_id = image_find_topic_by_name(history->image, "topic-1")->topic_id;
    struct buffer command = BUFFER_INIT, body = BUFFER_INIT;
    struct metadata_change change = {METADATA_TOPIC_DELETED, slice_of(topic_id.bytes, UUID_SIZE), {NULL, 0}};
    uint64_t index = image_applied_index(history->image);

    ck_assert_int_eq(body_encode_empty(&body), 0);
    change.body = buffer_slice(&body);
    ck_assert_int_eq(metadata_command_start(&command), 0);
    ck_assert_int_eq(metadata_command_add(&command, &change), 0);
    ck_assert_int_eq(metadata_command_add(&command, &change), 0); /* the second deletion cannot follow the first */
    ck_assert_int_eq(history_append(history, RAFT_ENTRY_COMMAND, buffer_slice(&command)), MESH_ECORRUPT);
    ck_assert_ptr_nonnull(image_find_topic(history->image, &topic_id));
    ck_assert_uint_eq(image_applied_index(history->image), index);
    buffer_deinit(&command);
    buffer_deinit(&body);
}
END_TEST

START_TEST(a_kind_or_body_of_a_newer_mesh_is_told_from_damage)
{
    static const uint8_t newer_body[] = {BODY_VERSION + 1, 0, 0};
    const struct uuid *topic_id = &image_find_topic_by_name(history->image, "topic-1")->topic_id;
    struct slice key = slice_of(topic_id->bytes, UUID_SIZE);

    ck_assert_int_eq(history_commit_raw(history, 999, key, slice_of("", 0)), MESH_EVERSION);
    ck_assert_int_eq(
        history_commit_raw(history, METADATA_TOPIC_ALTERED, key, slice_of(newer_body, sizeof(newer_body))),
        MESH_EVERSION);
    ck_assert_int_eq(history_commit_raw(history, METADATA_TOPIC_ALTERED, key, slice_of(newer_body, 0)),
                     MESH_ECORRUPT);
}
END_TEST

START_TEST(a_deleted_uuid_never_returns)
{
    struct uuid topic_id = image_find_topic_by_name(history->image, "topic-1")->topic_id;
    struct buffer body = BUFFER_INIT;
    struct body_topic topic = {.name = slice_of_string("again"), .placement_count = 1};
    struct body_placement placement = {.count = 1, .replica_count = 1, .replicas = {1}};

    delete_topic("topic-1");
    ck_assert_int_eq(body_encode_topic(&body, &topic, &placement), 0);
    ck_assert_int_eq(history_commit_raw(history, METADATA_TOPIC_CREATED, slice_of(topic_id.bytes, UUID_SIZE),
                                        buffer_slice(&body)),
                     MESH_ECORRUPT);
    topic_id.bytes[3] ^= 1;
    ck_assert_int_eq(history_commit_raw(history, METADATA_TOPIC_CREATED, slice_of(topic_id.bytes, UUID_SIZE),
                                        buffer_slice(&body)),
                     0);
    buffer_deinit(&body);
}
END_TEST

static const struct {
    struct body_partition state; /* of topic-4 partition 0: replicas 2 of {1,2,3} */
    int want;
} change_cases[] = {
    {{.partition = 0,
      .leader = 1,
      .leader_epoch = 5,
      .partition_epoch = 2,
      .replica_count = 2,
      .replicas = {1, 3},
      .isr = 3},
     0},
    {{.partition = 0,
      .leader = -1,
      .leader_epoch = 5,
      .partition_epoch = 2,
      .replica_count = 2,
      .replicas = {1, 3},
      .isr = 0},
     0},
    /* a stale base: somebody else has changed it */
    {{.partition = 0,
      .leader = 1,
      .leader_epoch = 5,
      .partition_epoch = 1,
      .replica_count = 2,
      .replicas = {1, 3},
      .isr = 3},
     MESH_ECORRUPT},
    {{.partition = 0,
      .leader = 1,
      .leader_epoch = 5,
      .partition_epoch = 3,
      .replica_count = 2,
      .replicas = {1, 3},
      .isr = 3},
     MESH_ECORRUPT},
    /* an epoch that falls */
    {{.partition = 0,
      .leader = 1,
      .leader_epoch = 0,
      .partition_epoch = 2,
      .replica_count = 2,
      .replicas = {1, 3},
      .isr = 3},
     MESH_ECORRUPT},
    /* another leader in the same epoch */
    {{.partition = 0,
      .leader = 3,
      .leader_epoch = 1,
      .partition_epoch = 2,
      .replica_count = 2,
      .replicas = {1, 3},
      .isr = 3},
     MESH_ECORRUPT},
    /* a leader that is no replica; an ISR bit without a replica; an unknown broker; a partition that is not
       there */
    {{.partition = 0,
      .leader = 2,
      .leader_epoch = 5,
      .partition_epoch = 2,
      .replica_count = 2,
      .replicas = {1, 3},
      .isr = 3},
     MESH_ECORRUPT},
    {{.partition = 0,
      .leader = 1,
      .leader_epoch = 5,
      .partition_epoch = 2,
      .replica_count = 2,
      .replicas = {1, 3},
      .isr = 4},
     MESH_ECORRUPT},
    {{.partition = 0,
      .leader = 1,
      .leader_epoch = 5,
      .partition_epoch = 2,
      .replica_count = 2,
      .replicas = {1, 9},
      .isr = 3},
     MESH_ECORRUPT},
    {{.partition = 0,
      .leader = 1,
      .leader_epoch = 5,
      .partition_epoch = 2,
      .replica_count = 2,
      .replicas = {1, 1},
      .isr = 3},
     MESH_ECORRUPT},
    {{.partition = 9999,
      .leader = 1,
      .leader_epoch = 5,
      .partition_epoch = 2,
      .replica_count = 2,
      .replicas = {1, 3},
      .isr = 3},
     MESH_ECORRUPT},
};

START_TEST(a_partition_changes_only_from_the_state_before)
{
    const struct image_topic *topic = image_find_topic_by_name(history->image, "topic-4");
    struct body_partition first = {.partition = 0,
                                   .leader = 1,
                                   .leader_epoch = 1,
                                   .partition_epoch = 1,
                                   .replica_count = 2,
                                   .replicas = {1, 3},
                                   .isr = 3};
    struct image_partition now;
    struct uuid topic_id = topic->topic_id;

    image_topic_partition(topic, 0, &now); /* the setup's boot may have raised it already */
    first.partition_epoch = now.partition_epoch + 1;
    first.leader_epoch = now.leader_epoch + 1;
    ck_assert_int_eq(change_partitions(&topic_id, &first, 1), 0);
    struct body_partition next = change_cases[_i].state;
    if (next.partition_epoch == 2) next.partition_epoch = first.partition_epoch + 1;
    if (next.partition_epoch == 3) next.partition_epoch = first.partition_epoch + 2;
    if (next.leader_epoch == 1) next.leader_epoch = first.leader_epoch;
    ck_assert_int_eq(change_partitions(&topic_id, &next, 1), change_cases[_i].want);
    if (change_cases[_i].want != 0) return;
    image_topic_partition(image_find_topic(history->image, &topic_id), 0, &now);
    ck_assert_int_eq(now.leader, next.leader);
    ck_assert_int_eq(now.leader_epoch, next.leader_epoch);
    ck_assert_uint_eq(now.isr, next.isr);
}
END_TEST

/* ---- epochs at a start ---- */

START_TEST(one_record_raises_the_epochs_of_all_that_a_broker_leads)
{
    struct uuid broker_id = image_broker_at(history->image, 0)->broker_id;
    struct image *before = image_ref(history->image);
    size_t records_before = history->entry_count, raised = 0, kept = 0;
    const struct image_topic **topics;
    size_t count;

    history_register_broker(history, &broker_id, 2, "a");
    ck_assert_uint_eq(history->entry_count, records_before + 1);
    ck_assert_int_eq(image_topics_by_name(history->image, &topics, &count), 0);
    for (size_t i = 0; i < count; i++) {
        const struct image_topic *old = image_find_topic(before, &topics[i]->topic_id);
        struct image_partition now, then;
        for (uint32_t j = 0; image_topic_partition(topics[i], j, &now); j++) {
            ck_assert(image_topic_partition(old, j, &then));
            ck_assert_int_eq(now.leader, then.leader);
            ck_assert_int_eq(now.leader_epoch, then.leader_epoch + (now.leader == 1));
            *(now.leader == 1 ? &raised : &kept) += 1;
        }
    }
    ck_assert_uint_gt(raised, 0);
    ck_assert_uint_gt(kept, 0);
    image_unref(before);
    /* the same boot again is an update of the address: no new epochs */
    before = image_ref(history->image);
    history_register_broker(history, &broker_id, 2, "b");
    for (size_t i = 0; i < count; i++) {
        struct image_partition now, then;
        image_topic_partition(image_find_topic_by_name(history->image, topics[i]->name), 0, &now);
        image_topic_partition(image_find_topic_by_name(before, topics[i]->name), 0, &then);
        ck_assert_int_eq(now.leader_epoch, then.leader_epoch);
    }
    free(topics);
    image_unref(before);
}
END_TEST

/* ---- look-ups ---- */

START_TEST(topics_are_found_by_uuid_name_and_folded_name)
{
    const struct image_topic *topic = image_find_topic_by_name(history->image, "topic-7");
    const struct image_topic **topics;
    size_t count;

    ck_assert_ptr_nonnull(topic);
    ck_assert_ptr_eq(image_find_topic(history->image, &topic->topic_id), topic);
    ck_assert_ptr_eq(image_find_topic_by_folded_name(history->image, "TOPIC-7"), topic);
    ck_assert_ptr_null(image_find_topic_by_name(history->image, "Topic-7"));
    ck_assert_ptr_null(image_find_topic_by_name(history->image, "topic-5"));
    ck_assert_int_eq(image_topics_by_name(history->image, &topics, &count), 0);
    ck_assert_uint_eq(count, 32);
    ck_assert_uint_eq(count, image_topic_count(history->image));
    for (size_t i = 1; i < count; i++)
        ck_assert_int_lt(strcmp(topics[i - 1]->name, topics[i]->name), 0);
    free(topics);
}
END_TEST

START_TEST(counts_agree_with_the_partitions)
{
    const struct image_topic **topics;
    uint64_t partitions = 0, replicas[4] = {0};
    struct image_partition partition;
    size_t count;

    ck_assert_int_eq(image_topics_by_name(history->image, &topics, &count), 0);
    for (size_t i = 0; i < count; i++) {
        for (uint32_t j = 0; image_topic_partition(topics[i], j, &partition); j++) {
            partitions++;
            for (uint32_t k = 0; k < partition.replica_count; k++)
                replicas[partition.replicas[k]]++;
        }
    }
    ck_assert_uint_eq(partitions, image_partition_count(history->image));
    for (int32_t node = 1; node <= 3; node++)
        ck_assert_uint_eq(replicas[node], image_replica_count(history->image, node));
    free(topics);
}
END_TEST

START_TEST(a_topic_outlives_its_images)
{
    const struct image_topic *topic = image_topic_ref(image_find_topic_by_name(history->image, "topic-7"));
    struct image_partition partition;

    delete_topic("topic-7");
    ck_assert_str_eq(topic->name, "topic-7");
    ck_assert(image_topic_partition(topic, 0, &partition));
    image_topic_unref(topic);
    image_topic_unref(NULL);
}
END_TEST

START_TEST(partitions_go_round_the_shards)
{
    struct uuid topic_id = history_uuid(history);
    uint32_t counts[4] = {0};

    for (uint32_t i = 0; i < 400; i++)
        counts[image_shard_of(&topic_id, i, 4)]++;
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(counts[i], 100);
    ck_assert_uint_eq(image_shard_of(&topic_id, 5, 1), 0);
    /* The same in every version: a partition does not change its shard for an upgrade. */
    topic_id = (struct uuid){{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
    ck_assert_uint_eq(image_shard_of(&topic_id, 0, 1000), 651);
}
END_TEST

/* ---- cost ---- */

static size_t heap_bytes(void)
{
    return mallinfo2().uordblks + mallinfo2().hblkhd;
}

START_TEST(a_single_replica_partition_costs_less_than_96_bytes)
{
    size_t before = heap_bytes(), after;

    history_create_topic(history, "wide", 10000, 1);
    after = heap_bytes();
    if (after <= before) return; /* an allocator that does not say (sanitizers) */
    ck_assert_uint_lt((after - before) / 10000, 40);
}
END_TEST

/* ---- snapshots that are not ours ---- */

static void commit(struct history *of, struct decision *decision, int err)
{
    ck_assert_msg(err == 0, "%s", decision->message);
    history_commit(of, decision);
}

/* A small mesh with something in every table. */
static struct history *small_history(void)
{
    struct history *small = history_new_mesh(3, "aab");
    struct uuid first = image_broker_at(small->image, 0)->broker_id, second = image_broker_at(small->image, 1)->broker_id;
    struct decide_broker_retire retire = {.broker_id = second, .accepts_loss = true, .is_alive_ok = true};
    struct image_user user = {.name = "alice", .verifier_count = 2};
    struct image_acl acl = {.principal = "User:alice", .resource = "orders", .host = "*", .resource_type = IMAGE_RESOURCE_TOPIC,
                            .pattern = IMAGE_PATTERN_LITERAL, .operation = IMAGE_OPERATION_READ};
    struct decision decision;

    user.verifiers[0] = (struct image_verifier){.mechanism = IMAGE_SCRAM_SHA_256, .iterations = 4096, .salt_size = 8};
    user.verifiers[1] = (struct image_verifier){.mechanism = IMAGE_SCRAM_SHA_512, .iterations = 4096, .salt_size = 8};
    decision_init(&decision);
    history_create_topic(small, "orders", 3, 3);
    history_create_topic(small, "gone", 1, 1);
    commit(small, &decision, decide_topic_delete(small->image, "gone", &decision));
    commit(small, &decision, decide_broker_fence(small->image, &first, NULL, &decision));
    commit(small, &decision, decide_broker_retire(small->image, &retire, &decision));
    commit(small, &decision, decide_user_set(small->image, &user, &decision));
    commit(small, &decision, decide_acl_add(small->image, &acl, &decision));
    acl.is_deny = true;
    commit(small, &decision, decide_acl_add(small->image, &acl, &decision));
    ck_assert_int_eq(decide_producer_ids(small->image, 1, 10, &decision), 0);
    commit(small, &decision, decision_add_request(&decision, &first, 1, 1, 0, slice_of("r", 1)));
    decision_deinit(&decision);
    ck_assert_uint_gt(image_election_count(small->image), 0);
    ck_assert_ptr_nonnull(image_find_retired(small->image, &second));
    return small;
}

START_TEST(a_snapshot_cut_anywhere_is_refused)
{
    struct history *small = small_history();
    struct buffer bytes = BUFFER_INIT;
    struct image *image = NULL;

    ck_assert_int_eq(image_encode(small->image, &bytes), 0);
    for (size_t size = 0; size < bytes.size; size++) {
        uint8_t *exact = malloc(size + 1);
        memcpy(exact, bytes.data, size);
        ck_assert_int_eq(image_decode(slice_of(exact, size), &image), MESH_ECORRUPT);
        free(exact);
    }
    ck_assert_int_eq(buffer_append(&bytes, "x", 1), 0);
    ck_assert_int_eq(image_decode(buffer_slice(&bytes), &image), MESH_ECORRUPT);
    bytes.data[0] = 5;
    ck_assert_int_eq(image_decode(buffer_slice(&bytes), &image), MESH_EVERSION);
    buffer_deinit(&bytes);
    history_free(small);
}
END_TEST

/* ---- no memory ---- */

START_TEST(a_failed_allocation_leaves_the_base_as_it_was)
{
    struct history *small = small_history();
    struct history *of = _i == 0 ? history : small;
    struct image *image, *next = NULL;
    int err = 0;

    ck_assert_int_eq(image_new_empty(&image), 0);
    failing_alloc_each(n)
    {
        failing_alloc_arm(n);
        err = image_apply(image, of->entries, of->entry_count, &next);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
        ck_assert_uint_eq(image_applied_index(image), 0);
    }
    ck_assert_int_eq(err, 0);
    assert_same_image(next, of->image);
    image_unref(next);
    image_unref(image);
    history_free(small);
}
END_TEST

START_TEST(a_snapshot_survives_every_failed_allocation)
{
    struct history *small = small_history();
    struct history *of = _i == 0 ? history : small;
    struct buffer bytes = BUFFER_INIT;
    struct image *image;
    int err = 0;

    failing_alloc_each(n)
    {
        buffer_deinit(&bytes);
        failing_alloc_arm(n);
        err = image_encode(of->image, &bytes);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
    ck_assert_int_eq(err, 0);
    failing_alloc_each(n)
    {
        failing_alloc_arm(n);
        err = image_decode(buffer_slice(&bytes), &image);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
    ck_assert_int_eq(err, 0);
    assert_same_image(image, of->image);
    image_unref(image);
    buffer_deinit(&bytes);
    history_free(small);
}
END_TEST

START_TEST(old_tombstones_are_forgotten_in_the_same_way_by_all)
{
    /* 65,536 deletions by record would take long: begin with a snapshot-sized number through the decoder
     * instead. */
    struct image *image, *restored;
    struct buffer bytes = BUFFER_INIT, body = BUFFER_INIT, command = BUFFER_INIT;
    struct codec_writer writer = {&bytes, 0};
    struct metadata_change change = {.kind = METADATA_TOPIC_DELETED};
    struct raft_entry entry = {.term = 1, .type = RAFT_ENTRY_COMMAND};
    const struct uuid *victim = &image_find_topic_by_name(history->image, "topic-1")->topic_id;
    size_t tail;

    ck_assert_int_eq(image_encode(history->image, &bytes), 0);
    /* The tombstones stand last but for empty tables: 8 of them, each a uuid and a one- or two-byte index, behind a one-byte
     * count. */
    ck_assert_int_eq(image_decode(buffer_slice(&bytes), &image), 0);
    tail = 1 + 4; /* their count, and the counts of users, ACLs, requests and elections behind them */
    for (size_t i = 0; i < history->entry_count; i++) {
        struct codec_reader reader;
        ck_assert_int_eq(metadata_command_open(history->entries[i].body, &reader), 0);
        ck_assert(metadata_command_next(&reader, &change));
        if (change.kind == METADATA_TOPIC_DELETED)
            tail += UUID_SIZE + varint_size(history->entries[i].index);
    }
    bytes.size -= tail;
    codec_put_varint(&writer, IMAGE_TOMBSTONES_MAX);
    for (uint64_t i = 0; i < IMAGE_TOMBSTONES_MAX; i++) {
        struct uuid uuid = {{0xee}};
        memcpy(uuid.bytes + 1, &i, sizeof(i));
        codec_put_uuid(&writer, &uuid);
        codec_put_varint(&writer, i < IMAGE_TOMBSTONES_MAX / 2 ? 1 : 2);
    }
    codec_put_raw(&writer, "\0\0\0\0", 4);
    image_unref(image);
    ck_assert_int_eq(image_decode(buffer_slice(&bytes), &restored), 0);
    ck_assert_int_eq(body_encode_empty(&body), 0);
    change.kind = METADATA_TOPIC_DELETED;
    change.key = slice_of(victim->bytes, UUID_SIZE);
    change.body = buffer_slice(&body);
    ck_assert_int_eq(metadata_command_start(&command), 0);
    ck_assert_int_eq(metadata_command_add(&command, &change), 0);
    entry.index = image_applied_index(restored) + 1;
    entry.body = buffer_slice(&command);
    metadata_chain(image_chain(restored), &entry, entry.chain);
    ck_assert_int_eq(image_apply(restored, &entry, 1, &image), 0);
    ck_assert(image_topic_was_deleted(image, victim));
    ck_assert(!image_topic_was_deleted(image, &(struct uuid){{0xee, 0}}));
    ck_assert(image_topic_was_deleted(image, &(struct uuid){{0xee, 0xff, 0xff}}));
    image_unref(image);
    image_unref(restored);
    buffer_deinit(&bytes);
    buffer_deinit(&body);
    buffer_deinit(&command);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
    Suite *suite = suite_create("image");
    TCase *tcase = tcase_create("image");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, any_grouping_of_the_records_makes_the_same_image, 0, 5);
    tcase_add_test(tcase, replaying_in_place_makes_the_same_image);
    tcase_add_loop_test(tcase, a_snapshot_at_any_point_continues_to_the_same_image, 0, 9);
    tcase_add_test(tcase, an_older_image_stays_as_it_was);
    tcase_add_loop_test(tcase, an_entry_that_does_not_continue_the_chain_is_refused, 0, FORGE_COUNT);
    tcase_add_test(tcase, entries_of_consensus_move_the_position_and_the_configuration);
    tcase_add_test(tcase, the_changes_of_one_entry_happen_together_or_not_at_all);
    tcase_add_test(tcase, a_kind_or_body_of_a_newer_mesh_is_told_from_damage);
    tcase_add_test(tcase, a_deleted_uuid_never_returns);
    tcase_add_loop_test(tcase, a_partition_changes_only_from_the_state_before, 0, ROWS(change_cases));
    tcase_add_test(tcase, one_record_raises_the_epochs_of_all_that_a_broker_leads);
    tcase_add_test(tcase, topics_are_found_by_uuid_name_and_folded_name);
    tcase_add_test(tcase, counts_agree_with_the_partitions);
    tcase_add_test(tcase, a_topic_outlives_its_images);
    tcase_add_test(tcase, partitions_go_round_the_shards);
    tcase_add_test(tcase, a_single_replica_partition_costs_less_than_96_bytes);
    tcase_add_test(tcase, a_snapshot_cut_anywhere_is_refused);
    tcase_add_loop_test(tcase, a_failed_allocation_leaves_the_base_as_it_was, 0, 2);
    tcase_add_loop_test(tcase, a_snapshot_survives_every_failed_allocation, 0, 2);
    tcase_add_test(tcase, old_tombstones_are_forgotten_in_the_same_way_by_all);
    tcase_set_timeout(tcase, 100);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
