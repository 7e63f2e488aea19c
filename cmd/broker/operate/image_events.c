/* operate/image_events.c - compares two images, and tells what differs in few lines. */
#include "cmd/broker/operate/image_events.h"

#include "base/error.h"
#include "replication/coordinator/image.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUMS_MAX   64 /* changes that are told apart in one comparison; further ones are told by their kind alone */
#define SEVERAL    (-2) /* node id, of changes beyond SUMS_MAX */
#define SUM_KINDS  (SUM_LOST + 1)
#define FIRST_SIZE 320

/* One line to be: partitions to which the same has happened. */
struct sum {
    enum sum_kind { SUM_LED, SUM_OUT, SUM_IN, SUM_MOVES, SUM_MOVED, SUM_LOST } kind;
    int32_t from, to; /* node ids */
    enum image_election_reason reason;
    uint64_t count;
    char first[FIRST_SIZE]; /* TOPIC/PARTITION */
};

struct image_events {
    struct ev_loop *loop;
    struct events *events;
    const struct image *before; /* referenced: compared with */
    const struct image *now;    /* referenced: the newest; equal to `before` when nothing is to be compared */
    ev_timer timer;
    struct uuid coordinator;
    struct sum sums[SUMS_MAX + 2 * SUM_KINDS]; /* the rest of each kind: with and without a leader */
    size_t sum_count;
};

static const char *name_of(const struct image_events *self, int32_t node_id)
{
    const struct image_broker *broker = node_id == IMAGE_NO_LEADER ? NULL : image_find_broker(self->now, node_id);

    if (node_id == SEVERAL) return "several";
    if (broker == NULL && node_id != IMAGE_NO_LEADER) broker = image_find_broker(self->before, node_id);
    return broker == NULL ? "none" : broker->name;
}

/* ---- brokers ---- */

static const char *state_of(const struct image_broker *broker)
{
    if (broker->is_fenced) return "fenced";
    if (!broker->is_draining) return "serving";
    return broker->has_bad_disk ? "disk_failed" : "draining";
}

static void tell_broker(struct image_events *self, const struct image_broker *now, const struct image_broker *before)
{
    if (before == NULL) {
        event_note(self->events, EVENT_MEMBER, LOG_LEVEL_INFO, "a broker is new in the mesh name=%s node=%d zone=%s", now->name, now->node_id, now->zone);
    } else if (strcmp(state_of(now), state_of(before)) != 0) {
        event_note(self->events, EVENT_FENCE, now->is_fenced || now->has_bad_disk ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "the coordinator holds a broker as %s name=%s node=%d was=%s",
                   state_of(now), now->name, now->node_id, state_of(before));
    } else if (now->boot != before->boot) {
        event_note(self->events, EVENT_FENCE, LOG_LEVEL_INFO, "a broker has started anew name=%s node=%d boot=%llu", now->name, now->node_id, (unsigned long long)now->boot);
    }
}

static void compare_brokers(struct image_events *self, const struct image *before, const struct image *now)
{
    for (size_t i = 0; i < image_broker_count(now); i++) {
        const struct image_broker *broker = image_broker_at(now, i);

        tell_broker(self, broker, image_find_broker(before, broker->node_id));
    }
    for (size_t i = 0; i < image_broker_count(before); i++) {
        const struct image_broker *broker = image_broker_at(before, i);

        if (image_find_broker(now, broker->node_id) == NULL)
            event_note(self->events, EVENT_MEMBER, LOG_LEVEL_WARN, "a broker was taken out of the mesh for good name=%s node=%d", broker->name, broker->node_id);
    }
}

/* ---- partitions ---- */

static struct sum *find_sum(struct image_events *self, const struct sum *what)
{
    for (size_t i = 0; i < self->sum_count; i++) {
        struct sum *known = &self->sums[i];

        if (known->kind == what->kind && known->from == what->from && known->to == what->to && known->reason == what->reason) return known;
    }
    return NULL;
}

/* What is beyond the bound loses who and why, never what it is: a loss is told as one, however many elections came before it. */
static void add(struct image_events *self, const struct sum *what, const struct image_topic *topic, uint32_t partition)
{
    struct sum rest = {.kind = what->kind, .from = SEVERAL, .to = what->to == IMAGE_NO_LEADER ? IMAGE_NO_LEADER : SEVERAL};
    struct sum *sum = find_sum(self, what);

    if (sum == NULL && self->sum_count >= SUMS_MAX) {
        what = &rest;
        sum = find_sum(self, what);
    }
    if (sum == NULL) {
        sum = &self->sums[self->sum_count++];
        *sum = *what;
        snprintf(sum->first, sizeof(sum->first), "%s/%u", topic->name, partition);
    }
    sum->count++;
}

static bool in_isr(const struct image_partition *partition, int32_t node_id)
{
    for (uint32_t i = 0; i < partition->replica_count; i++)
        if (partition->replicas[i] == node_id) return (partition->isr >> i & 1) != 0;
    return false;
}

static bool is_replica(const struct image_partition *partition, int32_t node_id)
{
    for (uint32_t i = 0; i < partition->replica_count; i++)
        if (partition->replicas[i] == node_id) return true;
    return false;
}

/* Who fell out of sync, and who is in sync again; not who was taken away, or has just been added. */
static void compare_isr(struct image_events *self, const struct image_topic *topic, uint32_t number, const struct image_partition *before,
                        const struct image_partition *now)
{
    for (uint32_t i = 0; i < now->replica_count; i++) {
        int32_t node_id = now->replicas[i];
        bool is_in = (now->isr >> i & 1) != 0, was_in = in_isr(before, node_id);

        if (is_in == was_in || !is_replica(before, node_id)) continue;
        add(self, &(struct sum){.kind = is_in ? SUM_IN : SUM_OUT, .from = node_id}, topic, number);
    }
}

static void compare_partition(struct image_events *self, const struct image_topic *topic, uint32_t number, const struct image_partition *before,
                              const struct image_partition *now)
{
    const struct image_election *election;

    if (now->partition_epoch == before->partition_epoch) return;
    if (now->leader_epoch != before->leader_epoch || now->leader != before->leader) {
        election = image_election(self->now, &topic->topic_id, number);
        add(self, &(struct sum){.kind = SUM_LED, .from = before->leader, .to = now->leader, .reason = election == NULL ? IMAGE_ELECTION_NONE : election->reason},
            topic, number);
    }
    if (now->reset_epoch != before->reset_epoch) add(self, &(struct sum){.kind = SUM_LOST, .to = now->leader}, topic, number);
    if (now->adding != 0 && before->adding == 0) add(self, &(struct sum){.kind = SUM_MOVES}, topic, number);
    if (now->adding == 0 && before->adding != 0) add(self, &(struct sum){.kind = SUM_MOVED}, topic, number);
    compare_isr(self, topic, number, before, now);
}

static bool configs_differ(const struct image_topic *a, const struct image_topic *b)
{
    if (a->config_count != b->config_count) return true;
    for (uint32_t i = 0; i < a->config_count; i++)
        if (a->configs[i].id != b->configs[i].id || a->configs[i].value != b->configs[i].value) return true;
    return false;
}

static int compare_topic(void *user, const struct image_topic *topic)
{
    struct image_events *self = user;
    const struct image_topic *before = image_find_topic(self->before, &topic->topic_id);
    struct image_partition was, is;

    if (before == topic || (before != NULL && before->changed_index == topic->changed_index)) return 0;
    if (before == NULL) {
        event_note(self->events, EVENT_TOPIC, LOG_LEVEL_INFO, "topic created topic=%s partitions=%u", topic->name, topic->partition_count);
        return 0;
    }
    if (topic->partition_count != before->partition_count || configs_differ(topic, before))
        event_note(self->events, EVENT_TOPIC, LOG_LEVEL_INFO, "topic changed topic=%s partitions=%u", topic->name, topic->partition_count);
    for (uint32_t i = 0; i < before->partition_count; i++)
        if (image_topic_partition(before, i, &was) && image_topic_partition(topic, i, &is)) compare_partition(self, topic, i, &was, &is);
    return 0;
}

static int find_deleted(void *user, const struct image_topic *topic)
{
    struct image_events *self = user;

    if (image_find_topic(self->now, &topic->topic_id) == NULL) event_note(self->events, EVENT_TOPIC, LOG_LEVEL_INFO, "topic deleted topic=%s", topic->name);
    return 0;
}

/* ---- lines ---- */

static const char *reason_text(enum image_election_reason reason)
{
    switch (reason) {
    case IMAGE_ELECTION_FENCED: return "the leader lost its session";
    case IMAGE_ELECTION_DRAINED: return "the leader was drained or stopped";
    case IMAGE_ELECTION_RETIRED: return "the leader was removed from the mesh";
    case IMAGE_ELECTION_RETURNED: return "a broker that may lead came back";
    case IMAGE_ELECTION_BALANCED: return "leadership went back to where it was placed";
    case IMAGE_ELECTION_ASKED: return "somebody asked for it";
    case IMAGE_ELECTION_RESTARTED: return "the leader began a new life";
    case IMAGE_ELECTION_UNCLEAN: return "no complete replica was left";
    case IMAGE_ELECTION_MOVED: return "the leader's replica was moved away";
    case IMAGE_ELECTION_DAMAGED: return "the leader's replica has damaged records";
    case IMAGE_ELECTION_SEALED: return "a majority has reported";
    case IMAGE_ELECTION_NONE: break;
    }
    return "placed there";
}

static void tell_sum(struct image_events *self, const struct sum *sum)
{
    struct events *events = self->events;
    unsigned long long count = sum->count;

    switch (sum->kind) {
    case SUM_LED:
        event_note(events, EVENT_ELECTION, sum->to == IMAGE_NO_LEADER ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
                   "%s partitions=%llu from=%s to=%s reason=\"%s\" first=%s", sum->to == IMAGE_NO_LEADER ? "partitions have no leader" : "partitions are led by another broker",
                   count, name_of(self, sum->from), name_of(self, sum->to), sum->from == SEVERAL ? "several" : reason_text(sum->reason), sum->first);
        break;
    case SUM_OUT:
        event_note(events, EVENT_REPLICA, LOG_LEVEL_WARN, "replicas are out of sync partitions=%llu on=%s first=%s", count, name_of(self, sum->from), sum->first);
        break;
    case SUM_IN:
        event_note(events, EVENT_REPLICA, LOG_LEVEL_INFO, "replicas are in sync again partitions=%llu on=%s first=%s", count, name_of(self, sum->from), sum->first);
        break;
    case SUM_MOVES: event_note(events, EVENT_REPLICA, LOG_LEVEL_INFO, "replicas are to move partitions=%llu first=%s", count, sum->first); break;
    case SUM_MOVED: event_note(events, EVENT_REPLICA, LOG_LEVEL_INFO, "replicas have moved partitions=%llu first=%s", count, sum->first); break;
    case SUM_LOST:
        event_note(events, EVENT_LOSS, LOG_LEVEL_ERROR, "acknowledged records may be lost: no complete replica was left to lead partitions=%llu leader=%s first=%s", count,
                   name_of(self, sum->to), sum->first);
        break;
    }
}

static void compare_topics(struct image_events *self)
{
    self->sum_count = 0;
    (void)image_each_topic(self->now, compare_topic, self);
    (void)image_each_topic(self->before, find_deleted, self);
    for (size_t i = 0; i < self->sum_count; i++)
        tell_sum(self, &self->sums[i]);
    image_unref(self->before);
    self->before = image_ref(self->now);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    compare_topics(timer->data);
}

/* ---- the interface ---- */

int image_events_new(struct ev_loop *loop, struct events *events, struct image_events **ret_image_events)
{
    struct image_events *self = calloc(1, sizeof(*self));

    if (self == NULL) return MESH_ENOMEM;
    self->loop = loop;
    self->events = events;
    ev_timer_init(&self->timer, on_timer, IMAGE_EVENTS_GATHER_MS / 1e3, 0.);
    self->timer.data = self;
    *ret_image_events = self;
    return 0;
}

void image_events_free(struct image_events *self)
{
    if (self == NULL) return;
    if (ev_is_active(&self->timer)) compare_topics(self);
    ev_timer_stop(self->loop, &self->timer);
    image_unref(self->before);
    image_unref(self->now);
    free(self);
}

void image_events_see(struct image_events *self, const struct image *image)
{
    const struct image *last;

    if (self == NULL || image == self->now) return;
    last = self->now;
    self->now = image_ref(image);
    if (last == NULL) {
        self->before = image_ref(image);
        return;
    }
    compare_brokers(self, last, image);
    image_unref(last);
    if (!ev_is_active(&self->timer)) { /* it begins now, however long the loop has slept */
        ev_now_update(self->loop);
        ev_timer_set(&self->timer, IMAGE_EVENTS_GATHER_MS / 1e3, 0.);
        ev_timer_start(self->loop, &self->timer);
    }
}

void image_events_coordinator(struct image_events *self, const struct uuid *coordinator)
{
    const struct image_broker *broker;
    char id[UUID_STRING_SIZE];

    if (self == NULL || self->now == NULL || uuid_equal(&self->coordinator, coordinator)) return;
    self->coordinator = *coordinator;
    broker = image_find_broker_by_uuid(self->now, coordinator);
    if (uuid_is_zero(coordinator))
        event_note(self->events, EVENT_ELECTION, LOG_LEVEL_WARN, "no coordinator is known");
    else
        event_note(self->events, EVENT_ELECTION, LOG_LEVEL_INFO, "the mesh has a coordinator%s%s broker=%s", broker == NULL ? "" : " name=", broker == NULL ? "" : broker->name,
                   uuid_format(coordinator, id));
}
