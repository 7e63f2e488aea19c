#include "group_rig.h"

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the catalog ---- */

static void fill(const struct rig_topic *topic, struct group_topic *ret_topic)
{
    *ret_topic = (struct group_topic){topic->id, slice_of_string(topic->name), topic->partition_count, topic->zones};
}

static bool find(void *arg, const struct uuid *id, struct group_topic *ret_topic)
{
    struct group_rig *rig = arg;

    for (size_t i = 0; i < rig->topic_count; i++)
        if (uuid_equal(&rig->topics[i].id, id) && rig->topics[i].partition_count > 0) {
            fill(&rig->topics[i], ret_topic);
            return true;
        }
    return false;
}

static bool find_by_name(void *arg, struct slice name, struct group_topic *ret_topic)
{
    struct group_rig *rig = arg;

    for (size_t i = 0; i < rig->topic_count; i++)
        if (slice_equal(slice_of_string(rig->topics[i].name), name) && rig->topics[i].partition_count > 0) {
            fill(&rig->topics[i], ret_topic);
            return true;
        }
    return false;
}

static bool next(void *arg, size_t *cursor, struct group_topic *ret_topic)
{
    struct group_rig *rig = arg;

    while (*cursor < rig->topic_count && rig->topics[*cursor].partition_count == 0)
        ++*cursor;
    if (*cursor == rig->topic_count) return false;
    fill(&rig->topics[(*cursor)++], ret_topic);
    return true;
}

static uint16_t zone_number(void *arg, struct slice zone)
{
    (void)arg;
    return (uint16_t)(zone.data[zone.size - 1] - '0'); /* "z1", "z2"... */
}

static uint64_t log_end(void *arg, const struct uuid *topic, uint32_t partition)
{
    (void)topic;
    (void)partition;
    return ((struct group_rig *)arg)->ends;
}

void rig_topic(struct group_rig *rig, const char *name, uint32_t partition_count)
{
    size_t at = 0;

    while (at < rig->topic_count && strcmp(rig->topics[at].name, name) < 0)
        at++;
    if (at == rig->topic_count || strcmp(rig->topics[at].name, name) != 0) {
        MESH_ASSERT(rig->topic_count < RIG_TOPICS_MAX && partition_count <= RIG_PARTITIONS);
        memmove(&rig->topics[at + 1], &rig->topics[at], (rig->topic_count - at) * sizeof(rig->topics[0]));
        memset(&rig->topics[at], 0, sizeof(rig->topics[0]));
        snprintf(rig->topics[at].name, sizeof(rig->topics[at].name), "%s", name);
        memset(rig->topics[at].id.bytes, 1 + (int)rig->topic_count++, UUID_SIZE);
    }
    rig->topics[at].partition_count = partition_count;
    if (rig->lead != NULL) group_lead_catalog_changed(rig->lead);
}

struct uuid rig_topic_id(const struct group_rig *rig, const char *name)
{
    for (size_t i = 0; i < rig->topic_count; i++)
        if (strcmp(rig->topics[i].name, name) == 0) return rig->topics[i].id;
    return (struct uuid){{0xee}};
}

/* ---- replicas ---- */

static void fresh(struct group_rig *rig, int replica)
{
    groups_free(rig->replicas[replica]);
    MESH_ASSERT(groups_new(rig->log_start, &rig->replicas[replica]) == 0);
    rig->applied[replica] = rig->log_start;
#ifdef MESH_TEST_SWITCHES
    if (rig->defect != GROUP_DEFECT_NONE) groups_bring_back(rig->replicas[replica], rig->defect);
#endif
}

static void note(void *arg, const struct group_event *event)
{
    struct group_rig *rig = arg;

    rig->events[event->kind]++;
    rig->last_event = *event;
    if (rig->told != NULL) rig->told(rig->told_arg, event);
}

static void lead(struct group_rig *rig, bool is_unclean)
{
#ifdef MESH_TEST_SWITCHES
    /* A defect of who follows: the leader has its own commits. */
    if (rig->defect == GROUP_DEFECT_OFFSETS_BY_CHECKPOINT) groups_bring_back(rig->replicas[rig->leader], GROUP_DEFECT_NONE);
#endif
    MESH_ASSERT(group_lead_new(rig->replicas[rig->leader], &rig->catalog, &rig->limits, rig->epoch, rig->log_end, is_unclean, rig->now_ms, &rig->lead) == 0);
}

void rig_init(struct group_rig *rig)
{
    rig_init_with(rig, GROUP_DEFECT_NONE);
}

void rig_init_with(struct group_rig *rig, enum group_defect defect)
{
    memset(rig, 0, sizeof(*rig));
    rig->defect = defect;
    rig->catalog = (struct group_catalog){find, find_by_name, next, zone_number, log_end, rig};
    group_limits_init(&rig->limits);
    rig->ends = GROUP_LOG_END_UNKNOWN;
    rig->now_ms = 1000;
    rig->wall_ms = 1700000000000;
    rig->epoch = 1;
    rig->processing_limit_ms = 60000;
    for (int i = 0; i < RIG_REPLICAS; i++)
        fresh(rig, i);
    lead(rig, false);
}

static void cut(struct group_rig *rig, uint64_t end)
{
    while (rig->log_count > 0 && rig->log[rig->log_count - 1].lsn >= end)
        free((void *)rig->log[--rig->log_count].bytes.data);
    rig->log_end = end;
}

void rig_deinit(struct group_rig *rig)
{
    group_lead_free(rig->lead);
    for (int i = 0; i < RIG_REPLICAS; i++)
        groups_free(rig->replicas[i]);
    cut(rig, 0);
    free(rig->log);
}

void rig_append(struct group_rig *rig)
{
    struct slice record;
    size_t cursor = 0;

    MESH_ASSERT(group_lead_first_lsn(rig->lead) == rig->log_end);
    while (group_lead_next_record(rig->lead, &cursor, &record)) {
        uint8_t *copy = malloc(record.size);

        if (rig->log_count == rig->log_room) {
            rig->log_room = rig->log_room == 0 ? 256 : rig->log_room * 2;
            rig->log = reallocarray(rig->log, rig->log_room, sizeof(*rig->log));
        }
        memcpy(copy, record.data, record.size);
        rig->log[rig->log_count++] = (struct rig_record){rig->epoch, rig->log_end++, {copy, record.size}};
    }
    group_lead_appended(rig->lead, rig->log_end);
    rig->applied[rig->leader] = rig->log_end;
}

void rig_follow(struct group_rig *rig, int replica, uint64_t upto)
{
    size_t at = rig->log_count;

    while (at > 0 && rig->log[at - 1].lsn >= rig->applied[replica])
        at--;
    for (; at < rig->log_count && rig->log[at].lsn < upto; at++) {
        int err = groups_apply(rig->replicas[replica], rig->log[at].epoch, rig->log[at].lsn, rig->log[at].bytes);

        if (err != 0 && rig->violation == NULL) rig->violation = "a replica cannot follow";
    }
    if (upto > rig->applied[replica]) rig->applied[replica] = upto;
}

void rig_replicate(struct group_rig *rig)
{
    rig_append(rig);
    for (int i = 0; i < RIG_REPLICAS; i++)
        if (i != rig->leader) rig_follow(rig, i, rig->log_end);
}

uint64_t rig_high_watermark(const struct group_rig *rig)
{
    uint64_t least = UINT64_MAX;

    for (int i = 0; i < RIG_REPLICAS; i++)
        if (rig->applied[i] < least) least = rig->applied[i];
    return least;
}

static void tick(struct group_rig *rig)
{
    MESH_ASSERT(group_lead_tick(rig->lead, rig->now_ms, rig->wall_ms, note, rig, &rig->deadline_ms) == 0);
}

void rig_tick(struct group_rig *rig, uint64_t by_ms)
{
    rig->now_ms += by_ms;
    rig->wall_ms += by_ms;
    tick(rig);
    rig_replicate(rig);
}

void rig_settle(struct group_rig *rig)
{
    do
        rig_tick(rig, 0);
    while (group_lead_is_due(rig->lead));
}

void rig_failover(struct group_rig *rig, int leader, bool is_unclean)
{
    group_lead_free(rig->lead); /* its outbox never got anywhere */
    rig->lead = NULL;
    fresh(rig, rig->leader);
    cut(rig, rig->applied[leader]);
    rig->leader = leader;
    rig->epoch++;
    rig->log_end++; /* the control record with which an epoch begins */
    for (int i = 0; i < RIG_REPLICAS; i++) {
        if (i != leader && rig->applied[i] >= rig->log_end) fresh(rig, i);
        rig_follow(rig, i, i == leader ? rig->log_end : rig->applied[i]);
    }
    lead(rig, is_unclean);
}

void rig_restart(struct group_rig *rig, int replica)
{
    MESH_ASSERT(replica != rig->leader);
    fresh(rig, replica);
    rig_follow(rig, replica, rig->log_end);
}

bool rig_trim(struct group_rig *rig)
{
    uint64_t start, end;
    size_t gone = 0;

    if (!groups_log_may_start(rig->replicas[rig->leader], &start, &end) || rig_high_watermark(rig) < end || start <= rig->log_start) return false;
    while (gone < rig->log_count && rig->log[gone].lsn < start)
        free((void *)rig->log[gone++].bytes.data);
    memmove(rig->log, rig->log + gone, (rig->log_count - gone) * sizeof(*rig->log));
    rig->log_count -= gone;
    rig->log_start = start;
    return true;
}

bool rig_replicas_agree(struct group_rig *rig)
{
    rig_replicate(rig);
    for (int i = 1; i < RIG_REPLICAS; i++)
        if (groups_hash(rig->replicas[i]) != groups_hash(rig->replicas[0])) return false;
    return rig->violation == NULL;
}

/* ---- short forms ---- */

static struct slice text(const char *string)
{
    return string == NULL ? slice_of(NULL, 0) : slice_of_string(string);
}

struct group_caller rig_caller(struct group_rig *rig, const char *group, const char *id)
{
    return (struct group_caller){.group = text(group), .member = text(id), .epoch_plus_one = rig->epoch + 1, .sequence = ++rig->sequence};
}

int rig_join_as(struct group_rig *rig, const char *group, const struct rig_member *member, struct group_reply *ret_reply)
{
    struct group_member_info info = {.id = text(member->id),
                                     .instance = text(member->instance),
                                     .zone = text(member->zone),
                                     .pattern = text(member->pattern),
                                     .session_timeout_ms = 10000,
                                     .processing_limit_ms = rig->processing_limit_ms,
                                     .strategy = member->strategy};
    struct group_caller caller = rig_caller(rig, group, member->id);
    struct buffer names = BUFFER_INIT;
    int err;

    for (const char *at = member->names == NULL ? "" : member->names; *at != '\0';) {
        size_t size = strcspn(at, " ");

        MESH_ASSERT(group_names_put(&names, slice_of(at, size)) == 0);
        info.name_count++;
        at += size + (at[size] == ' ');
    }
    info.names = buffer_slice(&names);
    err = group_lead_join(rig->lead, rig->now_ms, rig->wall_ms, &caller, &info, ret_reply);
    buffer_deinit(&names);
    return err;
}

int rig_join(struct group_rig *rig, const char *group, const char *id, const char *names)
{
    struct group_reply reply;
    int err = rig_join_as(rig, group, &(struct rig_member){.id = id, .names = names}, &reply);

    rig_settle(rig);
    return err;
}

int rig_beat(struct group_rig *rig, const char *group, const char *id, struct group_reply *ret_reply)
{
    struct group_caller caller = rig_caller(rig, group, id);

    return group_lead_heartbeat(rig->lead, rig->now_ms, &caller, ret_reply);
}

uint32_t rig_work(struct group_rig *rig, const char *group, const char *id)
{
    static struct group_claim claims[RIG_PARTITIONS], releases[RIG_PARTITIONS];
    size_t claim_count = 0, release_count = 0;
    struct group_cursor cursor = {0};
    struct group_work work;
    struct group_caller caller;
    struct group_reply reply;
    uint32_t held = 0;

    while (group_lead_work(rig->lead, text(group), text(id), &cursor, &work)) {
        struct group_claim claim = {.topic = work.topic, .partition = work.partition};

        held += work.kind == GROUP_WORK_HOLD;
        if (work.kind == GROUP_WORK_CLAIM) claims[claim_count++] = claim;
        if (work.kind == GROUP_WORK_RELEASE) releases[release_count++] = claim;
    }
    caller = rig_caller(rig, group, id);
    if (release_count > 0) MESH_ASSERT(group_lead_release(rig->lead, rig->now_ms, &caller, releases, release_count, &reply) == 0);
    caller = rig_caller(rig, group, id);
    if (claim_count > 0) MESH_ASSERT(group_lead_claim(rig->lead, rig->now_ms, &caller, rig_generation(rig, group), claims, claim_count, &reply) == 0);
    for (size_t i = 0; i < claim_count; i++)
        held += claims[i].error == 0;
    rig_replicate(rig);
    return held;
}

void rig_work_all(struct group_rig *rig, const char *group)
{
    uint64_t before;

    do {
        const struct group *found = groups_find(rig->replicas[rig->leader], text(group));

        before = rig->log_end;
        for (const struct group_member *member = group_next_member(found, NULL); member != NULL; member = group_next_member(found, member)) {
            char id[256] = "";
            struct group_member_view view = group_member_view_of(member);

            memcpy(id, view.info.id.data, view.info.id.size);
            rig_work(rig, group, id);
        }
        rig_settle(rig);
    } while (rig->log_end != before);
}

int rig_claim(struct group_rig *rig, const char *group, const char *id, const char *topic, uint32_t partition, uint64_t *ret_offset)
{
    struct group_claim claim = {.topic = rig_topic_id(rig, topic), .partition = partition};
    struct group_caller caller = rig_caller(rig, group, id);
    struct group_reply reply;
    int err = group_lead_claim(rig->lead, rig->now_ms, &caller, rig_generation(rig, group), &claim, 1, &reply);

    rig_replicate(rig);
    if (ret_offset != NULL) *ret_offset = claim.offset;
    return err != 0 ? err : claim.error;
}

int rig_release(struct group_rig *rig, const char *group, const char *id, const char *topic, uint32_t partition)
{
    struct group_claim claim = {.topic = rig_topic_id(rig, topic), .partition = partition};
    struct group_caller caller = rig_caller(rig, group, id);
    struct group_reply reply;
    int err = group_lead_release(rig->lead, rig->now_ms, &caller, &claim, 1, &reply);

    rig_replicate(rig);
    return err != 0 ? err : claim.error;
}

int rig_commit(struct group_rig *rig, const char *group, const char *id, uint32_t generation, const char *topic, uint32_t partition, uint64_t offset)
{
    struct group_commit_cell cell = {.topic = rig_topic_id(rig, topic), .partition = partition, .offset = offset, .record_epoch = -1};
    struct group_commit commit = {rig_caller(rig, group, id), generation, GROUP_RESET_EPOCH_ANY, &cell, 1};
    struct group_reply reply;
    int err = group_lead_commit(rig->lead, rig->now_ms, rig->wall_ms, &commit, &reply);

    rig_replicate(rig);
    return err != 0 ? err : cell.error;
}

int rig_reset(struct group_rig *rig, const char *group, const char *topic, uint32_t partition, uint64_t offset, bool is_forced, bool is_dry)
{
    struct group_commit_cell cell = {.topic = rig_topic_id(rig, topic), .partition = partition, .offset = offset, .record_epoch = -1};
    struct group_reset reset = {text(group), text("operator"), GROUP_RESET_EPOCH_ANY, is_forced, is_dry, &cell, 1};
    struct group_reply reply;
    int err = group_lead_reset(rig->lead, rig->wall_ms, &reset, &reply);

    rig_replicate(rig);
    return err;
}

uint32_t rig_generation(const struct group_rig *rig, const char *group)
{
    const struct group *found = groups_find(rig->replicas[rig->leader], text(group));

    return found == NULL ? 0 : group_view_of(found).generation;
}

uint64_t rig_offset(const struct group_rig *rig, int replica, const char *group, const char *topic, uint32_t partition)
{
    const struct group *found = groups_find(rig->replicas[replica], text(group));
    struct uuid id = rig_topic_id(rig, topic);
    struct group_offset offset;

    return found != NULL && group_committed(rig->replicas[replica], found, &id, partition, &offset) ? offset.offset : UINT64_MAX;
}

const char *rig_claim_text(const struct group_rig *rig, const char *group, const char *topic, uint32_t partition)
{
    static char line[600];
    const struct groups *groups = rig->replicas[rig->leader];
    const struct group *found = groups_find(groups, text(group));
    struct uuid id = rig_topic_id(rig, topic);
    struct group_claim_view claim = found == NULL ? (struct group_claim_view){0} : group_claim_of(groups, found, &id, partition);
    struct slice target = claim.target == NULL ? text("-") : group_member_view_of(claim.target).info.id;
    struct slice owner = claim.owner == NULL ? text("-") : group_member_view_of(claim.owner).info.id;

    snprintf(line, sizeof(line), "%.*s/%.*s", (int)target.size, (const char *)target.data, (int)owner.size, (const char *)owner.data);
    return line;
}
