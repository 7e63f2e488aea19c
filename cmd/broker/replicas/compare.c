/* replicas/compare.c - see the header. One comparison of a shard at a time; what is looked at next is compare_plan.h's. */
#include "cmd/broker/replicas/compare.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/forward/call.h"
#include "cmd/broker/operate/events.h"
#include "cmd/broker/replicas/compare_plan.h"
#include "cmd/broker/replicas/heal_read.h"
#include "cmd/broker/replicas/judge.h"
#include "cmd/broker/replicas/replicas_internal.h"
#include "cmd/broker/runtime/long_memory.h"
#include "segment/healing.h"

#include <inttypes.h>
#include <stdlib.h>

#define BYTES_PER_MS   (2u << 10) /* 2 MiB/s are read for it here, and as much at each leader that is asked */
#define STEP_MS_MIN    20
#define RETRY_MS       2000 /* after what could not be read or asked */
#define LOOK_MAX       64   /* partitions that wait for their leader are looked at in one turn */
#define FAILURES_MAX   8    /* in a row: then the window is passed over, so that it does not keep the others from being compared */
#define ASK_TIMEOUT_MS 10000

struct comparison {
    struct shard *shard;
    struct shard_partition *partition; /* its pending count holds it */
    int32_t leader_epoch;
    struct compare_plan plan;
    uint64_t bytes;     /* that were read for all of this */
    bool is_doubted;    /* here, by another replica */
    struct heal_read local;
    /* asking */
    struct forward_call call;
    struct buffer head;
    /* the vote */
    struct judge_voice voices[IMAGE_REPLICAS_MAX];
    int32_t nodes[IMAGE_REPLICAS_MAX];
    uint32_t voice_count, asked;
};

static void carry_out(struct comparison *comparison, struct compare_step step);
static void vote(struct comparison *comparison);

/* ---- the end ---- */

static struct comparing *comparing_of(const struct comparison *comparison)
{
    return &comparison->shard->replicas.comparing;
}

static uint64_t compared_offset(const struct shard_partition *partition)
{
    return partition->compared == NULL ? 0 : partition->compared->offset;
}

static void enqueue(struct shard *shard, struct shard_partition *partition)
{
    struct compared *compared = partition->compared;

    if (compared == NULL) {
        compared = calloc(1, sizeof(*compared));
        if (compared == NULL) return; /* when more is committed, or with the next pass */
        compared->partition = partition;
        list_init(&compared->link);
        partition->compared = compared;
    }
    if (list_is_empty(&compared->link)) list_push_back(&shard->replicas.comparing.queue, &compared->link);
}

/* More is committed of what it follows than was compared. */
static bool is_wanted(const struct shard_partition *partition)
{
    return partition->replica.role == REPLICA_FOLLOWER && compared_offset(partition) < partition->replica.partition.high_watermark;
}

static void end(struct comparison *comparison, uint64_t pause_ms)
{
    struct shard *shard = comparison->shard;
    struct comparing *comparing = comparing_of(comparison);
    struct shard_partition *partition = comparison->partition;
    uint64_t read_ms = comparison->bytes / BYTES_PER_MS;

    comparing->current = NULL;
    comparing->next_ms = shard->now_ms + STEP_MS_MIN + (read_ms > pause_ms ? read_ms : pause_ms);
    shard->metrics.healing.compared_bytes += comparison->bytes;
    if (partition->plog != NULL && !shard->replicas.is_stopping) {
        if (is_wanted(partition)) enqueue(shard, partition);
        if (!list_is_empty(&comparing->queue)) replicas_wake_at(&shard->replicas, comparing->next_ms);
    }
    shard_partition_release(partition);
    buffer_deinit(&comparison->head);
    free(comparison);
}

/* The partition, or what it was told by its leader, is not what it was when this began. */
static bool is_void(const struct comparison *comparison)
{
    const struct shard_partition *partition = comparison->partition;

    if (partition->plog == NULL || comparison->shard->replicas.is_stopping) return true;
    if (partition->replica.partition.leader_epoch != comparison->leader_epoch || plog_damage_count(partition->plog) > 0) return true;
    return comparison->is_doubted ? !replica_leads(&partition->replica) : !replica_is_following(&partition->replica);
}

/* ---- steps: reading here, asking there ---- */

static void on_read(struct heal_read *read)
{
    struct comparison *comparison = read->user;

    comparison->bytes += read->answer.bytes;
    heal_read_deinit(read);
    if (is_void(comparison)) end(comparison, 0);
    else carry_out(comparison, compare_plan_read(&comparison->plan, read->error, read->answer.next_offset, read->answer.bytes));
}

static void read_here(struct comparison *comparison, uint64_t to, uint32_t bytes_max)
{
    comparison->local.request = (struct heal_request){.kind = HEAL_DIGEST,
                                                      .topic_id = comparison->partition->topic->metrics.topic_id,
                                                      .partition = comparison->partition->number,
                                                      .from = comparison->plan.from,
                                                      .to = to,
                                                      .bytes_max = bytes_max};
    comparison->local.done = on_read;
    comparison->local.user = comparison;
    heal_read_start(comparison->shard, &comparison->local);
}

/* 0: what it said is in *ret_answer. */
static int take_answer(struct comparison *comparison, struct heal_answer *ret_answer)
{
    struct forward_call *call = &comparison->call;
    int err = call->error;

    if (err == 0) err = heal_answer_decode(call->message, ret_answer);
    long_memory_give(call->answer);
    call->answer = NULL;
    return err;
}

/* False: nobody could be asked. */
static bool ask(struct comparison *comparison, int32_t node_id, enum heal_kind kind, uint64_t to, void (*done)(struct forward_call *call))
{
    static const uint8_t room[FRAME_HEADER_SIZE];
    const struct image_broker *broker = image_find_broker(comparison->shard->image, node_id);
    struct heal_request request = {.kind = kind,
                                   .topic_id = comparison->partition->topic->metrics.topic_id,
                                   .partition = comparison->partition->number,
                                   .from = comparison->plan.from,
                                   .to = to,
                                   .bytes_max = HEAL_DIGEST_BYTES_MAX};

    buffer_clear(&comparison->head);
    if (broker == NULL || buffer_append(&comparison->head, room, sizeof(room)) != 0 || heal_request_encode(&request, &comparison->head) != 0)
        return false;
    comparison->call = (struct forward_call){.broker = broker->broker_id,
                                             .op = FRAME_OP_HEAL,
                                             .expects_answer = true,
                                             .timeout_ms = ASK_TIMEOUT_MS,
                                             .head = comparison->head.data,
                                             .message_size = comparison->head.size - FRAME_HEADER_SIZE,
                                             .done = done};
    forward_submit(comparison->shard, &comparison->call);
    return true;
}

/* ---- windows and halves ---- */

static bool is_equal(const struct comparison *comparison, const struct heal_answer *answer)
{
    return memcmp(answer->digest, comparison->local.answer.digest, HEAL_DIGEST_SIZE) == 0;
}

static void on_leader_said(struct forward_call *call)
{
    struct comparison *comparison = container_of(call, struct comparison, call);
    struct heal_answer answer = {0};
    int err = take_answer(comparison, &answer);

    if (is_void(comparison)) end(comparison, 0);
    else carry_out(comparison, compare_plan_heard(&comparison->plan, err, answer.next_offset, err == 0 && is_equal(comparison, &answer)));
}

/* Batches lie otherwise there, or it cannot read them now. */
static void stuck(struct comparison *comparison)
{
    struct shard_partition *partition = comparison->partition;
    struct compared *compared = partition->compared;
    uint64_t from = compared_offset(partition), reach = comparison->plan.reach;

    if (compared != NULL && compared->failures < FAILURES_MAX) compared->failures++;
    if (compared != NULL && compared->failures == FAILURES_MAX && !comparison->is_doubted && reach > from) {
        compared->failures = 0;
        compared->offset = reach;
        log_warn("records could not be compared with the leader's, and are passed over until the next time topic=%s partition=%u offset=%" PRIu64
                 " next_offset=%" PRIu64,
                 partition->topic->topic->name, partition->number, from, reach);
    }
    end(comparison, RETRY_MS);
}

/* ---- the vote ---- */

/* False: the range is not damage now (not on file yet, a truncation is under way): it is compared again in a while. */
static bool condemn(struct comparison *comparison)
{
    struct shard_partition *partition = comparison->partition;
    int err = plog_condemn(partition->plog, comparison->plan.from, comparison->plan.to);
    bool is_damage = plog_damage_count(partition->plog) > 0; /* there was none when the vote began: is_void() */

    if (is_damage) shard_on_plog_change(comparison->shard, partition->plog);
    if (!is_damage && !replicas_may_log(comparison->shard)) return false;
    event_note(&comparison->shard->broker->control.events, EVENT_DAMAGE, LOG_LEVEL_ERROR, "records here are sound, but not those that the other replicas have: they are replaced topic=%s partition=%u offset=%" PRIu64
              " next_offset=%" PRIu64 "%s%s",
              partition->topic->topic->name, partition->number, comparison->plan.from, comparison->plan.to, err == 0 ? "" : " error=",
              err == 0 ? "" : mesh_strerror(err));
    return is_damage;
}

static void on_doubt_told(struct forward_call *call)
{
    struct comparison *comparison = container_of(call, struct comparison, call);

    long_memory_give(call->answer);
    end(comparison, RETRY_MS);
}

static void decide(struct comparison *comparison)
{
    struct shard_partition *partition = comparison->partition;
    enum judge_verdict verdict = judge_range(comparison->voices, comparison->voice_count);
    bool is_condemned = verdict == JUDGE_SELF && condemn(comparison);

    if (is_condemned || verdict == JUDGE_LEADER) comparison->shard->metrics.healing.divergences++;
    if (verdict != JUDGE_LEADER || comparison->is_doubted) {
        end(comparison, is_condemned || verdict == JUDGE_EQUAL ? 0 : RETRY_MS);
        return;
    }
    event_note(&comparison->shard->broker->control.events, EVENT_DAMAGE, LOG_LEVEL_ERROR, "the leader's records are sound, but not those that the other replicas have: it is told topic=%s partition=%u offset=%" PRIu64
              " next_offset=%" PRIu64 " leader=%d",
              partition->topic->topic->name, partition->number, comparison->plan.from, comparison->plan.to, partition->replica.partition.leader);
    if (!ask(comparison, partition->replica.partition.leader, HEAL_DOUBT, comparison->plan.to, on_doubt_told)) end(comparison, RETRY_MS);
}

static void on_voted(struct forward_call *call)
{
    struct comparison *comparison = container_of(call, struct comparison, call);
    struct judge_voice *voice = &comparison->voices[comparison->asked];
    struct heal_answer answer;

    if (take_answer(comparison, &answer) == 0 && answer.next_offset == comparison->plan.to) {
        voice->is_known = true;
        memcpy(voice->digest, answer.digest, HEAL_DIGEST_SIZE);
    }
    comparison->asked++;
    if (is_void(comparison)) end(comparison, 0);
    else vote(comparison);
}

static void begin_vote(struct comparison *comparison)
{
    const struct shard_partition *partition = comparison->partition;
    struct image_partition facts;

    comparison->voice_count = comparison->asked = 0;
    if (!image_topic_partition(partition->topic->topic, partition->number, &facts)) return;
    for (uint32_t i = 0; i < facts.replica_count; i++) {
        struct judge_voice *voice = &comparison->voices[i];

        *voice = (struct judge_voice){.is_self = facts.replicas[i] == comparison->shard->broker->node_id,
                                      .is_leader = facts.replicas[i] == partition->replica.partition.leader};
        voice->is_known = voice->is_self && comparison->local.answer.next_offset == comparison->plan.to;
        if (voice->is_self) memcpy(voice->digest, comparison->local.answer.digest, HEAL_DIGEST_SIZE);
        comparison->nodes[i] = facts.replicas[i];
    }
    comparison->voice_count = facts.replica_count;
}

static void vote(struct comparison *comparison)
{
    if (comparison->voice_count == 0) begin_vote(comparison);
    while (comparison->asked < comparison->voice_count) {
        if (!comparison->voices[comparison->asked].is_self &&
            ask(comparison, comparison->nodes[comparison->asked], HEAL_DIGEST, comparison->plan.to, on_voted))
            return;
        comparison->asked++;
    }
    decide(comparison);
}

/* ---- what is next ---- */

static void carry_out(struct comparison *comparison, struct compare_step step)
{
    struct shard_partition *partition = comparison->partition;

    switch (step.act) {
    case COMPARE_READ: read_here(comparison, step.to, step.is_one ? 1 : HEAL_DIGEST_BYTES_MAX); return;
    case COMPARE_ASK:
        if (!ask(comparison, partition->replica.partition.leader, HEAL_DIGEST, step.to, on_leader_said)) end(comparison, RETRY_MS);
        return;
    case COMPARE_JUDGE: vote(comparison); return;
    case COMPARE_EQUAL:
        if (partition->compared != NULL) { /* a leader that was doubted compares nothing by itself */
            partition->compared->offset = step.to;
            partition->compared->failures = 0;
        }
        end(comparison, 0);
        return;
    case COMPARE_LATER: end(comparison, RETRY_MS); return;
    case COMPARE_STUCK: stuck(comparison); return;
    }
}

/* ---- the beginning ---- */

static struct comparison *comparison_new(struct shard *shard, struct shard_partition *partition)
{
    struct comparison *comparison = calloc(1, sizeof(*comparison));

    if (comparison == NULL) return NULL;
    comparison->shard = shard;
    comparison->partition = partition;
    comparison->leader_epoch = partition->replica.partition.leader_epoch;
    comparison->head = (struct buffer)BUFFER_INIT;
    partition->pending++;
    shard->replicas.comparing.current = comparison;
    return comparison;
}

void compare_doubted(struct shard *shard, const struct heal_request *request)
{
    struct shard_partition *partition = shard_partition_find(shard, &request->topic_id, request->partition);
    struct comparison *comparison;

    if (partition == NULL || shard->replicas.comparing.current != NULL || !replica_leads(&partition->replica)) return; /* it will be told again */
    if (request->to > partition->replica.partition.high_watermark || plog_damage_count(partition->plog) > 0) return;
    comparison = comparison_new(shard, partition);
    if (comparison == NULL) return;
    comparison->is_doubted = true;
    carry_out(comparison, compare_plan_vote(&comparison->plan, request->from, request->to));
}

/* The next window of a partition. False: there is nothing to compare in it now; *ret_is_later: but there may be soon. */
static bool begin(struct shard *shard, struct compared *compared, bool *ret_is_later)
{
    struct shard_partition *partition = compared->partition;
    const struct replica *replica = &partition->replica;
    uint64_t start = plog_start_offset(partition->plog), committed = replica->partition.high_watermark;
    struct comparison *comparison;

    /* What the leader keeps no more is nothing to compare. */
    if (start < replica->leader_log_start) start = replica->leader_log_start;
    if (compared->offset < start) compared->offset = start;
    *ret_is_later = false;
    if (!is_wanted(partition)) return false;
    *ret_is_later = true;
    if (!replica_is_following(replica) || plog_damage_count(partition->plog) > 0) return false;
    comparison = comparison_new(shard, partition);
    if (comparison == NULL) return false;
    carry_out(comparison, compare_plan_window(&comparison->plan, compared->offset, committed));
    return true;
}

/* Whose leader is away, or who is being mended, keeps its place in the queue: the others are looked at first, and all of them again in a while. */
static void begin_one(struct shard *shard)
{
    struct comparing *comparing = &shard->replicas.comparing;
    struct list_node *node, *first_later = NULL;
    bool is_later = false;

    for (int looked = 0; looked < LOOK_MAX && comparing->current == NULL && shard->now_ms >= comparing->next_ms; looked++) {
        node = list_pop_front(&comparing->queue);
        if (node == NULL) break;
        if (node == first_later) {
            list_push_front(&comparing->queue, node);
            break;
        }
        if (begin(shard, container_of(node, struct compared, link), &is_later) || !is_later) continue;
        list_push_back(&comparing->queue, node);
        if (first_later == NULL) first_later = node;
    }
    if (comparing->current == NULL && first_later != NULL && shard->now_ms >= comparing->next_ms) comparing->next_ms = shard->now_ms + RETRY_MS;
}

static void begin_pass(struct shard *shard)
{
    struct comparing *comparing = &shard->replicas.comparing;

    for (struct map_node *node = map_iterate(&shard->partitions, NULL); node != NULL; node = map_iterate(&shard->partitions, node)) {
        struct shard_partition *partition = container_of(node, struct shard_partition, node);

        if (partition->compared != NULL) partition->compared->offset = 0;
        if (partition->replica.role == REPLICA_FOLLOWER) enqueue(shard, partition);
    }
    comparing->pass_ms = shard->now_ms + shard->broker->settings.scrub_rest_ms;
}

void compare_run(struct shard *shard)
{
    struct comparing *comparing = &shard->replicas.comparing;

    if (comparing->next_ms == 0) { /* the first turn */
        comparing->next_ms = shard->now_ms + shard->broker->settings.scrub_first_ms;
        comparing->pass_ms = comparing->next_ms + shard->broker->settings.scrub_rest_ms;
    }
    if (shard->now_ms >= comparing->pass_ms) begin_pass(shard);
    if (comparing->current == NULL && shard->now_ms >= comparing->next_ms) begin_one(shard);
    if (comparing->current == NULL && !list_is_empty(&comparing->queue)) replicas_wake_at(&shard->replicas, comparing->next_ms);
}

void compare_want(struct shard *shard, struct shard_partition *partition)
{
    if (is_wanted(partition)) enqueue(shard, partition);
}

void compare_forget(struct shard_partition *partition)
{
    if (partition->compared == NULL) return;
    list_remove(&partition->compared->link);
    free(partition->compared);
    partition->compared = NULL;
}

void compare_init(struct shard *shard)
{
    shard->replicas.comparing = (struct comparing){.current = NULL};
    list_init(&shard->replicas.comparing.queue);
}

/* No thread runs any more: nothing of a comparison comes home. */
void compare_deinit(struct shard *shard)
{
    struct comparison *comparison = shard->replicas.comparing.current;

    if (comparison != NULL) end(comparison, 0);
}
