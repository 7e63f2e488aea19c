/* coordinator/decide_move.c - decisions about where replicas are, on request (decide_replicas.h). What moves by itself: move_plan.c. */
#include "replication/coordinator/decide_internal.h"

#include "base/error.h"
#include "replication/coordinator/decide_replicas.h"
#include "replication/coordinator/image_pages.h"
#include "replication/coordinator/partition_rules.h"

#include <stdlib.h>

/* ---- one partition ---- */

static int refuse_broker(const struct elector *elector, int32_t node_id, struct decision *decision)
{
    const struct elector_broker *broker = elector_find(elector, node_id);

    if (broker == NULL) return decision_refuse(decision, MESH_EINVALID_REPLICATION, "the mesh has no broker %d", node_id);
    return decision_refuse(decision, MESH_EINVALID_REPLICATION, "broker %d %s", node_id,
                           broker->is_witness  ? "is a witness: it keeps no partitions"
                           : broker->is_fenced ? "is not up"
                                               : "is being stopped");
}

static int check_list(const struct elector *elector, const struct decide_move *move, const struct body_partition *state,
                      struct decision *decision)
{
    for (uint32_t i = 0; i < move->count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (move->replicas[i] == move->replicas[j])
                return decision_refuse(decision, MESH_EINVALID_REPLICATION, "broker %d is named twice", move->replicas[i]);
        }
        if (rules_bit(state, move->replicas[i]) == 0 && !elector_is_usable(elector_find(elector, move->replicas[i])))
            return refuse_broker(elector, move->replicas[i], decision);
    }
    return 0;
}

static int check_target(const struct image_topic *topic, const struct decide_move *move, const struct body_partition *state,
                        struct decision *decision)
{
    uint32_t min = image_min_insync(topic, move->count), coming = move->count, going = state->replica_count;

    if (min > move->count)
        return decision_refuse(decision, MESH_EINVALID_REPLICATION, "%u replicas cannot meet min.insync=%u of topic \"%s\"", move->count, min,
                               topic->name);
    for (uint32_t i = 0; i < move->count; i++) {
        coming -= rules_bit(state, move->replicas[i]) != 0;
        going -= rules_bit(state, move->replicas[i]) != 0;
    }
    if (image_topic_mode(topic) != TOPIC_MODE_QUORUM || (coming <= 1 && going <= 1)) return 0;
    return decision_refuse(decision, MESH_EINVALID_REPLICATION,
                           "the replicas of a topic in mode=quorum are replaced one at a time, so that any majority of before and after have one in "
                           "common: move %u of them later",
                           (coming > going ? coming : going) - 1);
}

static int cancel(const struct image_topic *topic, struct body_partition *state, struct decision *decision)
{
    if ((state->adding | state->removing) == 0) return 0;
    if (rules_cancel_move(topic, state)) return 0;
    return decision_refuse(decision, MESH_EBUSY, "the move of %s/%u cannot be taken back any more: without its new replicas too few would be in sync",
                           topic->name, state->partition);
}

static int move_one(const struct image *image, const struct decide_move *move, struct elector *elector, struct changes *changes)
{
    const struct image_topic *topic = image_find_topic(image, &move->topic_id);
    struct decision *decision = changes->decision;
    struct body_partition now, next;
    int err;

    if (topic == NULL || move->partition >= topic->partition_count)
        return decision_refuse(decision, MESH_EUNKNOWN_TOPIC, "there is no such partition");
    image_pages_load(topic->pages, move->partition, &now);
    next = now;
    if (move->count == 0 && (now.adding | now.removing) == 0)
        return decision_refuse(decision, MESH_ENOTFOUND, "%s/%u does not move", topic->name, move->partition);
    if (move->count > IMAGE_REPLICAS_MAX)
        return decision_refuse(decision, MESH_EINVALID_REPLICATION, "a partition has at most %d replicas", IMAGE_REPLICAS_MAX);
    err = cancel(topic, &next, decision);
    if (err == 0) err = check_list(elector, move, &next, decision);
    if (err == 0 && move->count != 0) err = check_target(topic, move, &next, decision);
    if (err != 0) return err;
    if (move->count != 0 && !rules_begin_move(&next, move->replicas, move->count))
        return decision_refuse(decision, MESH_EINVALID_REPLICATION, "old and new replicas of %s/%u are more than %d: move fewer at a time",
                               topic->name, move->partition, IMAGE_REPLICAS_MAX);
    rules_finish_move(elector, topic, &next, false);
    next.is_pinned = true; /* also where it is, if a move was cancelled */
    if (next.is_pinned == now.is_pinned && next.replica_count == now.replica_count && next.adding == now.adding && next.removing == now.removing &&
        memcmp(next.replicas, now.replicas, now.replica_count * sizeof(int32_t)) == 0)
        return 0; /* it is so already */
    return changes_put(changes, topic, &next);
}

int decide_move(const struct image *image, const struct decide_move *moves, size_t count, const struct decide_facts *facts,
                struct decision *decision)
{
    struct changes changes = {.decision = decision};
    struct elector elector;
    int err = count > DECIDE_PARTITIONS_MAX
                  ? decision_refuse(decision, MESH_EINVAL, "one request moves at most %d partitions", DECIDE_PARTITIONS_MAX)
                  : 0;

    for (size_t i = 1; err == 0 && i < count; i++) {
        int order = memcmp(moves[i - 1].topic_id.bytes, moves[i].topic_id.bytes, UUID_SIZE);
        if (order > 0 || (order == 0 && moves[i - 1].partition >= moves[i].partition))
            err = decision_refuse(decision, MESH_EINVAL, "the moves of a request rise by topic and partition, each one once");
    }
    if (err == 0) err = elector_init(&elector, image, facts);
    if (err != 0) return err;
    for (size_t i = 0; err == 0 && i < count; i++)
        err = move_one(image, &moves[i], &elector, &changes);
    if (err == 0) err = changes_end(&changes);
    elector_deinit(&elector);
    return err;
}
