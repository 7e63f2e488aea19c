#include "fake_groups.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "wire/message_group.h"

#include <stdlib.h>

static struct group_caller caller_of(const struct message_group_head *head)
{
    return (struct group_caller){head->group, head->member, head->instance, (uint32_t)(head->epoch + 1), head->sequence};
}

static uint64_t now_of(struct fake_groups *groups)
{
    return groups->rig.now_ms;
}

static int serve_join(struct fake_groups *groups, struct slice message, struct group_reply *reply)
{
    struct message_group_join join = {0};
    struct buffer names = BUFFER_INIT;
    struct group_member_info info;
    struct group_caller caller;
    int err = message_decode_group_join(message, &join);

    MESH_ASSERT(err == 0);
    for (size_t i = 0; i < join.name_count; i++)
        group_names_put(&names, join.names[i]);
    info = (struct group_member_info){.id = join.head.member,
                                      .instance = join.head.instance,
                                      .client = join.client,
                                      .zone = join.zone,
                                      .pattern = join.pattern,
                                      .names = buffer_slice(&names),
                                      .name_count = (uint32_t)join.name_count,
                                      .session_timeout_ms = join.session_timeout_ms,
                                      .processing_limit_ms = join.processing_limit_ms,
                                      .strategy = (enum group_strategy)join.strategy};
    atomic_store(&groups->session_ms, join.session_timeout_ms);
    caller = caller_of(&join.head);
    err = group_lead_join(groups->rig.lead, now_of(groups), groups->rig.wall_ms, &caller, &info, reply);
    buffer_deinit(&names);
    message_deinit_group_join(&join);
    return err;
}

struct answer_lists {
    struct message_group_partitions topics[256];
    uint32_t partitions[256];
    int64_t offsets[256];
    int32_t epochs[256];
    int errors[256];
    size_t count;
};

/* Each partition a list of its own: clients may expect no more. */
static struct message_group_partitions *add(struct answer_lists *lists, const struct uuid *topic, uint32_t partition)
{
    struct message_group_partitions *to = &lists->topics[lists->count];

    MESH_ASSERT(lists->count < 256);
    lists->partitions[lists->count] = partition;
    *to = (struct message_group_partitions){.topic_id = *topic, .partitions = &lists->partitions[lists->count], .partition_count = 1};
    to->offsets = &lists->offsets[lists->count];
    to->record_epochs = &lists->epochs[lists->count];
    to->errors = &lists->errors[lists->count++];
    return to;
}

static int serve_heartbeat(struct fake_groups *groups, struct slice message, struct answer_lists *lists, struct group_reply *reply)
{
    struct message_group_heartbeat heartbeat = {0};
    struct group_cursor cursor = {0};
    struct group_work work;
    struct group_caller caller;
    int err = message_decode_group_heartbeat(message, &heartbeat);

    MESH_ASSERT(err == 0);
    caller = caller_of(&heartbeat.head);
    err = group_lead_heartbeat(groups->rig.lead, now_of(groups), &caller, reply);
    while (err == 0 && heartbeat.wants_work && group_lead_work(groups->rig.lead, heartbeat.head.group, heartbeat.head.member, &cursor, &work))
        add(lists, &work.topic, work.partition)->kind = work.kind;
    message_deinit_group_heartbeat(&heartbeat);
    return err;
}

static int serve_change(struct fake_groups *groups, enum frame_op op, struct slice message, struct answer_lists *lists, struct group_reply *reply)
{
    struct message_group_change change = {0};
    struct group_claim claims[256];
    struct group_caller caller;
    size_t count = 0;
    int err = message_decode_group_change(message, &change);

    MESH_ASSERT(err == 0);
    caller = caller_of(&change.head);
    for (size_t t = 0; t < change.topic_count; t++)
        for (size_t i = 0; i < change.topics[t].partition_count; i++)
            claims[count++] = (struct group_claim){.topic = change.topics[t].topic_id, .partition = change.topics[t].partitions[i]};
    if (op == FRAME_OP_GROUP_CLAIM)
        err = group_lead_claim(groups->rig.lead, now_of(groups), &caller, change.generation, claims, count, reply);
    else if (op == FRAME_OP_GROUP_RELEASE)
        err = group_lead_release(groups->rig.lead, now_of(groups), &caller, claims, count, reply);
    else
        err = group_lead_leave(groups->rig.lead, groups->rig.wall_ms, &caller, reply);
    for (size_t i = 0; err == 0 && i < count; i++) {
        struct message_group_partitions *to = add(lists, &claims[i].topic, claims[i].partition);
        to->errors[0] = claims[i].error;
        to->error_count = 1;
        if (op != FRAME_OP_GROUP_CLAIM) continue;
        to->offsets[0] = claims[i].offset == GROUP_OFFSET_NONE ? -1 : (int64_t)claims[i].offset;
        to->record_epochs[0] = claims[i].record_epoch;
        to->offset_count = to->record_epoch_count = 1;
    }
    message_deinit_group_change(&change);
    return err;
}

static int serve_commit(struct fake_groups *groups, struct slice message, struct answer_lists *lists, struct group_reply *reply)
{
    struct message_group_commit commit = {0};
    struct group_commit_cell cells[256];
    struct group_commit to;
    size_t count = 0;
    int err = message_decode_group_commit(message, &commit);

    MESH_ASSERT(err == 0);
    for (size_t t = 0; t < commit.topic_count; t++)
        for (size_t i = 0; i < commit.topics[t].partition_count; i++) {
            const struct message_group_partitions *topic = &commit.topics[t];
            cells[count++] = (struct group_commit_cell){.topic = topic->topic_id,
                                                        .partition = topic->partitions[i],
                                                        .offset = (uint64_t)topic->offsets[i],
                                                        .record_epoch = topic->record_epochs[i]};
        }
    to = (struct group_commit){.caller = caller_of(&commit.head),
                               .generation = commit.generation < 0 ? GROUP_GENERATION_NONE : (uint32_t)commit.generation,
                               .reset_epoch = GROUP_RESET_EPOCH_ANY,
                               .cells = cells,
                               .cell_count = count};
    err = group_lead_commit(groups->rig.lead, now_of(groups), groups->rig.wall_ms, &to, reply);
    for (size_t i = 0; err == 0 && i < count; i++)
        if (cells[i].error != 0) {
            struct message_group_partitions *refused = add(lists, &cells[i].topic, cells[i].partition);
            refused->errors[0] = cells[i].error;
            refused->error_count = 1;
        }
    message_deinit_group_commit(&commit);
    return err;
}

static int serve_offsets(struct fake_groups *groups, struct slice message, struct answer_lists *lists)
{
    struct message_group_offsets offsets = {0};
    const struct groups *state = groups->rig.replicas[groups->rig.leader];
    const struct group *group;
    int err = message_decode_group_offsets(message, &offsets);

    MESH_ASSERT(err == 0);
    group = groups_find(state, offsets.head.group);
    for (size_t t = 0; group != NULL && t < offsets.topic_count; t++) {
        struct group_offset committed;
        struct message_group_partitions *to;

        if (!group_committed(state, group, &offsets.topics[t].topic_id, offsets.topics[t].partitions[0], &committed)) continue;
        to = add(lists, &offsets.topics[t].topic_id, offsets.topics[t].partitions[0]);
        to->offsets[0] = (int64_t)committed.offset;
        to->offset_count = 1;
    }
    message_deinit_group_offsets(&offsets);
    return group == NULL ? MESH_ENOTFOUND : 0;
}

/* Time has passed: what is due is done before the request is looked at. */
static void pass_time(struct fake_groups *groups)
{
    struct group_rig *rig = &groups->rig;
    uint64_t now_ms = clock_monotonic_ms();

    if (atomic_exchange(&groups->fail_over, 0) != 0) rig_failover(rig, (rig->leader + 1) % RIG_REPLICAS, false);
    rig_tick(rig, now_ms > rig->now_ms ? now_ms - rig->now_ms : 0);
    rig_settle(rig);
}

static bool serve(void *user, enum frame_op op, struct slice message, struct buffer *to)
{
    struct fake_groups *groups = user;
    struct answer_lists lists = {.count = 0};
    struct group_reply reply = {0};
    struct message_group_response response;
    int err;

    pass_time(groups);
    atomic_fetch_add(&groups->served[op & 63], 1);
    switch (op) {
    case FRAME_OP_GROUP_JOIN: err = serve_join(groups, message, &reply); break;
    case FRAME_OP_GROUP_HEARTBEAT: err = serve_heartbeat(groups, message, &lists, &reply); break;
    case FRAME_OP_GROUP_COMMIT: err = serve_commit(groups, message, &lists, &reply); break;
    case FRAME_OP_GROUP_OFFSETS: err = serve_offsets(groups, message, &lists); break;
    default: err = serve_change(groups, op, message, &lists, &reply); break;
    }
    rig_settle(&groups->rig);
    response = (struct message_group_response){.error = err,
                                               .message = slice_of_string(err != 0 ? mesh_strerror(err) : ""),
                                               .route = {.leader = 1, .epoch = (int32_t)groups->rig.epoch},
                                               .generation = reply.generation,
                                               .has_work = reply.has_work,
                                               .heartbeat_ms = 50,
                                               .topics = lists.topics,
                                               .topic_count = lists.count};
    MESH_ASSERT(message_encode_group_response(to, &response) == 0);
    return err == 0;
}

void fake_groups_init(struct fake_groups *groups, struct fake_broker *broker)
{
    memset(groups, 0, sizeof(*groups));
    rig_init(&groups->rig);
    groups->rig.now_ms = clock_monotonic_ms();
    groups->rig.limits.session_timeout_min_ms = 100;
    rig_topic(&groups->rig, broker->topic, broker->partition_count);
    groups->rig.topics[0].id = broker->topic_id;
    rig_failover(&groups->rig, 1, false); /* with these limits */
    broker->serve_group = serve;
    broker->group_user = groups;
}

void fake_groups_deinit(struct fake_groups *groups)
{
    rig_deinit(&groups->rig);
}

int64_t fake_groups_committed(const struct fake_groups *groups, const char *name, uint32_t partition)
{
    const struct groups *state = groups->rig.replicas[groups->rig.leader];
    const struct group *group = groups_find(state, slice_of_string(name));
    struct group_offset committed;

    if (group == NULL || !group_committed(state, group, &groups->rig.topics[0].id, partition, &committed)) return -1;
    return (int64_t)committed.offset;
}
