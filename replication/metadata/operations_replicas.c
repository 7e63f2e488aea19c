/* metadata/operations_replicas.c - what the operations about replicas say (node.h), and the decisions that they ask for
 * (coordinator/decide_replicas.h). */
#include "replication/metadata/node_internal.h"

#include "base/codec.h"
#include "base/error.h"

#include <stdio.h>

/* ---- saying ---- */

static void put_place(struct codec_writer *writer, const struct uuid *topic_id, uint32_t partition)
{
    codec_put_uuid(writer, topic_id);
    codec_put_varint(writer, partition);
}

int node_encode_alter(struct buffer *to, uint64_t broker_epoch, const struct decide_isr *wishes, size_t count)
{
    struct codec_writer writer = {.to = to};

    codec_put_varint(&writer, broker_epoch);
    codec_put_varint(&writer, count);
    for (size_t i = 0; i < count; i++) {
        put_place(&writer, &wishes[i].topic_id, wishes[i].partition);
        codec_put_varint(&writer, (uint32_t)wishes[i].leader_epoch);
        codec_put_varint(&writer, wishes[i].partition_epoch);
        codec_put_varint(&writer, wishes[i].member_count);
        for (uint32_t j = 0; j < wishes[i].member_count; j++) {
            codec_put_zigzag(&writer, wishes[i].members[j].node_id);
            codec_put_varint(&writer, wishes[i].members[j].broker_epoch);
            codec_put_varint(&writer, wishes[i].members[j].generation);
        }
    }
    return writer.error;
}

int node_encode_lost(struct buffer *to, uint64_t broker_epoch, const struct decide_lost *replicas, size_t count)
{
    struct codec_writer writer = {.to = to};

    codec_put_varint(&writer, broker_epoch);
    codec_put_varint(&writer, count);
    for (size_t i = 0; i < count; i++) {
        put_place(&writer, &replicas[i].topic_id, replicas[i].partition);
        codec_put_varint(&writer, replicas[i].generation);
    }
    return writer.error;
}

int node_encode_deletions(struct buffer *to, const struct image_deletion *wishes, size_t count)
{
    struct codec_writer writer = {.to = to};

    codec_put_varint(&writer, count);
    for (size_t i = 0; i < count; i++) {
        put_place(&writer, &wishes[i].topic_id, wishes[i].partition);
        codec_put_varint(&writer, (uint32_t)wishes[i].leader_epoch);
        codec_put_varint(&writer, wishes[i].offset);
    }
    return writer.error;
}

int node_encode_reports(struct buffer *to, uint64_t broker_epoch, const struct node_report *reports, size_t count)
{
    struct codec_writer writer = {.to = to};

    codec_put_varint(&writer, broker_epoch);
    codec_put_varint(&writer, count);
    for (size_t i = 0; i < count; i++) {
        put_place(&writer, &reports[i].topic_id, reports[i].partition);
        codec_put_varint(&writer, (uint32_t)reports[i].leader_epoch);
        codec_put_zigzag(&writer, reports[i].last_epoch);
        codec_put_varint(&writer, (uint64_t)reports[i].end);
    }
    return writer.error;
}

int node_encode_recover(struct buffer *to, const struct uuid *topic_id, uint32_t partition, int32_t node_id)
{
    struct codec_writer writer = {.to = to};

    put_place(&writer, topic_id, partition);
    codec_put_zigzag(&writer, node_id);
    return writer.error;
}

int node_encode_moves(struct buffer *to, const struct decide_move *moves, size_t count)
{
    struct codec_writer writer = {.to = to};

    codec_put_varint(&writer, count);
    for (size_t i = 0; i < count; i++) {
        put_place(&writer, &moves[i].topic_id, moves[i].partition);
        codec_put_varint(&writer, moves[i].count);
        for (uint32_t j = 0; j < moves[i].count; j++)
            codec_put_zigzag(&writer, moves[i].replicas[j]);
    }
    return writer.error;
}

int node_encode_balance(struct buffer *to, const struct uuid *topic_id)
{
    struct codec_writer writer = {.to = to};

    codec_put_uuid(&writer, topic_id);
    return writer.error;
}

static int put_results(struct buffer *to, const struct decide_result *results, size_t count)
{
    struct codec_writer writer = {.to = to};

    codec_put_varint(&writer, count);
    for (size_t i = 0; i < count; i++) {
        codec_put_zigzag(&writer, results[i].error);
        codec_put_varint(&writer, results[i].partition_epoch);
    }
    return writer.error;
}

int node_decode_results(struct slice bytes, struct decide_result *ret_results, size_t count)
{
    struct codec_reader reader = codec_reader_of(bytes);

    if (codec_get_varint(&reader) != count) return MESH_EPROTO;
    for (size_t i = 0; i < count; i++) {
        ret_results[i].error = codec_get_int32(&reader);
        ret_results[i].partition_epoch = (uint32_t)codec_get_bounded(&reader, UINT32_MAX);
    }
    return codec_reader_is_done(&reader) ? 0 : MESH_EPROTO;
}

/* ---- hearing ---- */

/* What a request about many partitions is read into; it goes with the arena. */
struct hearing {
    struct codec_reader reader;
    struct arena arena;
    size_t count;
    struct decide_result *results;
};

static int get_count(struct hearing *hearing)
{
    hearing->count = (size_t)codec_get_bounded(&hearing->reader, DECIDE_PARTITIONS_MAX);
    if (hearing->reader.is_bad) return MESH_EPROTO;
    hearing->results = arena_alloc(&hearing->arena, hearing->count + 1, sizeof(hearing->results[0]));
    return hearing->results == NULL ? MESH_ENOMEM : 0;
}

static void get_place(struct codec_reader *reader, struct uuid *ret_topic_id, uint32_t *ret_partition)
{
    *ret_topic_id = codec_get_uuid(reader);
    *ret_partition = (uint32_t)codec_get_bounded(reader, IMAGE_TOPIC_PARTITIONS_MAX);
}

static int get_wish(struct hearing *hearing, struct decide_isr *wish)
{
    struct codec_reader *reader = &hearing->reader;
    struct decide_member *members;

    get_place(reader, &wish->topic_id, &wish->partition);
    wish->leader_epoch = (int32_t)codec_get_bounded(reader, INT32_MAX);
    wish->partition_epoch = (uint32_t)codec_get_bounded(reader, UINT32_MAX);
    wish->member_count = (uint32_t)codec_get_bounded(reader, IMAGE_REPLICAS_MAX);
    if (reader->is_bad) return MESH_EPROTO;
    wish->members = members = arena_alloc(&hearing->arena, wish->member_count + 1, sizeof(members[0]));
    if (members == NULL) return MESH_ENOMEM;
    for (uint32_t i = 0; i < wish->member_count; i++) {
        members[i].node_id = codec_get_int32(reader);
        members[i].broker_epoch = codec_get_varint(reader);
        members[i].generation = codec_get_varint(reader);
    }
    return reader->is_bad ? MESH_EPROTO : 0;
}

static int alter_partitions(const struct image *image, const struct operation *operation, const struct decide_facts *facts,
                            struct hearing *hearing, struct decision *decision)
{
    const struct image_broker *asker = image_find_broker_by_uuid(image, &operation->origin);
    struct decide_alter_partitions request = {.leader = asker == NULL ? 0 : asker->node_id, .broker_epoch = codec_get_varint(&hearing->reader)};
    struct decide_isr *wishes;
    int err = get_count(hearing);

    if (err != 0) return err;
    request.count = hearing->count;
    request.partitions = wishes = arena_alloc(&hearing->arena, hearing->count + 1, sizeof(wishes[0]));
    if (wishes == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < hearing->count && err == 0; i++)
        err = get_wish(hearing, &wishes[i]);
    if (err == 0 && !codec_reader_is_done(&hearing->reader)) err = MESH_EPROTO;
    if (err == 0) err = decide_alter_partitions(image, &request, facts, decision, hearing->results);
    return err != 0 ? err : put_results(operation->result, hearing->results, hearing->count);
}

static int replicas_lost(const struct image *image, const struct operation *operation, const struct decide_facts *facts, struct hearing *hearing,
                         struct decision *decision)
{
    const struct image_broker *asker = image_find_broker_by_uuid(image, &operation->origin);
    struct decide_replicas_lost request = {.node_id = asker == NULL ? 0 : asker->node_id, .broker_epoch = codec_get_varint(&hearing->reader)};
    struct decide_lost *lost;
    int err = get_count(hearing);

    if (err != 0) return err;
    request.count = hearing->count;
    request.replicas = lost = arena_alloc(&hearing->arena, hearing->count + 1, sizeof(lost[0]));
    if (lost == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < hearing->count; i++) {
        get_place(&hearing->reader, &lost[i].topic_id, &lost[i].partition);
        lost[i].generation = codec_get_varint(&hearing->reader);
    }
    if (!codec_reader_is_done(&hearing->reader)) return MESH_EPROTO;
    err = decide_replicas_lost(image, &request, facts, decision, hearing->results);
    return err != 0 ? err : put_results(operation->result, hearing->results, hearing->count);
}

static int delete_records(const struct image *image, const struct operation *operation, struct hearing *hearing, struct decision *decision)
{
    struct image_deletion *wishes;
    int err = get_count(hearing);

    if (err != 0) return err;
    wishes = arena_alloc(&hearing->arena, hearing->count + 1, sizeof(wishes[0]));
    if (wishes == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < hearing->count; i++) {
        get_place(&hearing->reader, &wishes[i].topic_id, &wishes[i].partition);
        wishes[i].leader_epoch = (int32_t)codec_get_bounded(&hearing->reader, INT32_MAX);
        wishes[i].offset = codec_get_bounded(&hearing->reader, INT64_MAX);
    }
    if (!codec_reader_is_done(&hearing->reader)) return MESH_EPROTO;
    err = decide_delete_records(image, wishes, hearing->count, decision, hearing->results);
    return err != 0 ? err : put_results(operation->result, hearing->results, hearing->count);
}

/* Changes nothing in the image: what is reported is remembered here, and looked at by moves.c. */
static int report(struct node *node, const struct image *image, const struct operation *operation, struct hearing *hearing)
{
    const struct image_broker *asker = image_find_broker_by_uuid(image, &operation->origin);
    struct codec_reader *reader = &hearing->reader;
    struct replica_report report = {.node_id = asker == NULL ? 0 : asker->node_id, .broker_epoch = codec_get_varint(reader)};
    int err = get_count(hearing);

    if (err == 0 && asker == NULL) err = MESH_ENOTFOUND;
    for (size_t i = 0; i < hearing->count && err == 0; i++) {
        struct uuid topic_id;
        uint32_t partition;
        get_place(reader, &topic_id, &partition);
        report.leader_epoch = (int32_t)codec_get_bounded(reader, INT32_MAX);
        report.last_epoch = codec_get_int32(reader);
        report.end = (int64_t)codec_get_bounded(reader, INT64_MAX);
        err = reader->is_bad ? MESH_EPROTO : node_moves_report(node, &topic_id, partition, &report);
    }
    return err == 0 && !codec_reader_is_done(reader) ? MESH_EPROTO : err;
}

static int recover(const struct node *node, const struct image *image, const struct decide_facts *facts, struct hearing *hearing,
                   struct decision *decision)
{
    struct decide_recover request = {.is_asked = true, .facts = facts};
    uint64_t since_us;

    get_place(&hearing->reader, &request.topic_id, &request.partition);
    request.node_id = codec_get_int32(&hearing->reader);
    if (!codec_reader_is_done(&hearing->reader)) return MESH_EPROTO;
    if (node->reports != NULL)
        request.report_count = reports_get(node->reports, &request.topic_id, request.partition, &request.reports, &since_us);
    return decide_recover(image, &request, decision);
}

static int move(const struct image *image, const struct decide_facts *facts, struct hearing *hearing, struct decision *decision)
{
    struct decide_move *moves;
    int err = get_count(hearing);

    if (err != 0) return err;
    moves = arena_alloc(&hearing->arena, hearing->count + 1, sizeof(moves[0]));
    if (moves == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < hearing->count; i++) {
        get_place(&hearing->reader, &moves[i].topic_id, &moves[i].partition);
        moves[i].count = (uint32_t)codec_get_bounded(&hearing->reader, IMAGE_REPLICAS_MAX);
        for (uint32_t j = 0; j < moves[i].count && !hearing->reader.is_bad; j++)
            moves[i].replicas[j] = codec_get_int32(&hearing->reader);
    }
    return codec_reader_is_done(&hearing->reader) ? decide_move(image, moves, hearing->count, facts, decision) : MESH_EPROTO;
}

static int topic_balance(const struct image *image, const struct decide_facts *facts, struct hearing *hearing, struct decision *decision)
{
    struct uuid topic_id = codec_get_uuid(&hearing->reader);

    return codec_reader_is_done(&hearing->reader) ? decide_topic_balance(image, &topic_id, facts, decision) : MESH_EPROTO;
}

int node_operation_replicas(struct node *node, const struct image *image, const struct operation *operation, const struct decide_facts *facts,
                            struct decision *decision)
{
    struct hearing hearing = {.reader = codec_reader_of(operation->body), .arena = ARENA_INIT};
    int err = MESH_EUNSUPPORTED;

    if (operation->op == NODE_OP_ALTER_PARTITIONS) err = alter_partitions(image, operation, facts, &hearing, decision);
    if (operation->op == NODE_OP_REPLICAS_LOST) err = replicas_lost(image, operation, facts, &hearing, decision);
    if (operation->op == NODE_OP_DELETE_RECORDS) err = delete_records(image, operation, &hearing, decision);
    if (operation->op == NODE_OP_REPORT) err = report(node, image, operation, &hearing);
    if (operation->op == NODE_OP_RECOVER) err = recover(node, image, facts, &hearing, decision);
    if (operation->op == NODE_OP_MOVE) err = move(image, facts, &hearing, decision);
    if (operation->op == NODE_OP_TOPIC_BALANCE) err = topic_balance(image, facts, &hearing, decision);
    if (err == 0 && decision->change_count != 0) node->moves_due_us = node->now_us; /* what was queued, or waits no longer */
    arena_deinit(&hearing.arena);
    return err;
}
