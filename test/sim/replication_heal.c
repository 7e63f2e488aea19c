/* Damaged replicas, as cmd/broker/replicas/heal.c and lost.c mend them and tell of them: one piece at a time, over a stream of its own, in the
 * bytes that brokers use (heal_message.h). Comparing replicas is not run here. */
#include "base/assert.h"
#include "base/bytes.h"
#include "base/error.h"
#include "cmd/broker/replicas/heal_message.h"
#include "segment/healing.h"
#include "sim/replication_internal.h"
#include "sim/sim_frame.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>
#include <string.h>

#define RETRY_MIN_MS     100
#define RETRY_MAX_MS     10000
#define LEADER_GRACE_MS  1000
#define LOST_RETRY_MS    1000
#define LOST_ALONE_MS    10000
#define FETCH_TIMEOUT_US (10 * SIM_SECOND)
#define LOST_TIMEOUT_US  (2 * SIM_SECOND)
#define PIECE_BYTES_MAX  (16u << 10) /* small, so that most damage takes several */
#define FRAME_MAX        (4u << 20)
#define TOLD_MAX         40 /* of one damage: every 10 s while it is the last complete replica, and otherwise once, or a few times */

enum { FRAME_PIECE = 1, FRAME_NO_PIECE = 2 /* none that fits */ };

static struct replication_replica *of(struct list_node *node)
{
    return container_of(node, struct replication_replica, damage.link);
}

/* ---- the books ---- */

static void refresh(struct replication_replica *replica)
{
    struct partition_positions positions;

    replication_replica_positions(replica, &positions);
    replica_set_positions(&replica->replica, &positions);
}

static void fetch_end(struct replication_process *process)
{
    buffer_deinit(&process->heal.in);
    buffer_deinit(&process->heal.out);
    process->heal.stream = 0;
    process->heal.fetching = NULL;
    process->heal.is_open = false;
}

static void drop_fetch(struct replication_process *process)
{
    if (process->heal.stream != 0) sim_stream_abort(process->host, process->heal.stream);
    fetch_end(process);
}

void replication_heal_forget(struct replication_replica *replica)
{
    list_remove(&replica->damage.link);
    if (replica->process->heal.fetching == replica) drop_fetch(replica->process);
    replica->damage.is_known = false;
}

static void later(struct replication_replica *replica, uint64_t after_ms)
{
    replica->damage.next_ms = replica->process->now_ms + after_ms;
}

static void failed(struct replication_replica *replica)
{
    struct replication_damage *damage = &replica->damage;
    uint64_t after_ms = RETRY_MIN_MS << (damage->failures < 8 ? damage->failures : 8);

    damage->failures++;
    damage->source++;
    later(replica, after_ms < RETRY_MAX_MS ? after_ms : RETRY_MAX_MS);
}

void replication_heal_look(struct replication_replica *replica)
{
    struct replication_process *process = replica->process;
    struct replication_damage *damage = &replica->damage;

    if (plog_damage_count(replica->plog) == 0) return;
    if (!damage->is_known) {
        SIM_SOMETIMES("a replica was found damaged");
        SIM_SOMETIMES_IF(replica_leads(&replica->replica), "a leader was found damaged");
        sim_trace(sim_host_sim(process->host), process->host, "a log is damaged, partition %u", replica->number);
        *damage = (struct replication_damage){.is_known = true, .checked_from = UINT64_MAX, .alone_from = UINT64_MAX};
        damage->found_ms = damage->next_ms = damage->tell_ms = process->now_ms;
        list_init(&damage->link);
        list_push_back(&process->heal.damaged, &damage->link);
        process->is_stirred = true;
    }
    if (replica_leads(&replica->replica) && damage->lost == REPLICATION_LOST_UNTOLD && damage->tell_ms <= process->now_ms)
        damage->tell_ms = damage->found_ms + LEADER_GRACE_MS;
}

/* ---- mending ---- */

static void on_repaired(void *user, int error)
{
    struct replication_replica *replica = user;
    struct replication_damage *damage = &replica->damage;

    if (replica->plog == NULL || !damage->is_known) return;
    damage->is_busy = false;
    if (error == 0) {
        damage->failures = damage->misfits = 0;
        return;
    }
    damage->misfits += error == MESH_ECORRUPT;
    if (error == MESH_ECANCELED) damage->checked_from = damage->alone_from = UINT64_MAX;
    failed(replica);
}

static bool is_alone(const struct replication_replica *replica)
{
    uint32_t members = replica->replica.member_count;

    return members == 1 || (replica->damage.lost == REPLICATION_LOST_ALONE && replica->damage.failures >= 2 * members);
}

static void is_under_way(struct replication_replica *replica, int err)
{
    replica->process->is_store_touched = true;
    if (err == 0) return;
    replica->damage.is_busy = false;
    if (err == MESH_ENOTFOUND) later(replica, 0);
    else failed(replica);
}

static void mend(struct replication_replica *replica, uint64_t from, struct slice batches)
{
    is_under_way(replica, plog_repair(replica->plog, from, batches, on_repaired, replica));
}

/* ---- fetching ---- */

/* The leader first, then the others in turn. NULL: nobody else keeps it. */
static const struct image_broker *choose_source(const struct replication_replica *replica)
{
    const struct replication_process *process = replica->process;
    int32_t leader = replica->replica.partition.leader;
    struct image_partition facts;
    uint32_t place = replica->damage.source;

    if (!image_topic_partition(replica->topic, replica->number, &facts) || facts.replica_count == 0) return NULL;
    if (leader >= 0 && leader != process->node_id && place % (facts.replica_count + 1) == 0) return image_find_broker(process->image, leader);
    for (uint32_t i = 0; i < facts.replica_count; i++, place++) {
        int32_t node_id = facts.replicas[place % facts.replica_count];

        if (node_id != process->node_id) return image_find_broker(process->image, node_id);
    }
    return NULL;
}

static void fetch(struct replication_replica *replica, const struct plog_damage *range)
{
    struct replication_process *process = replica->process;
    struct replication_heal *heal = &process->heal;
    const struct image_broker *source = choose_source(replica);
    struct heal_request request = {
        .kind = HEAL_READ, .topic_id = replica->topic_id, .partition = replica->number, .from = range->from, .to = range->to, .bytes_max = PIECE_BYTES_MAX};
    struct buffer message = BUFFER_INIT;
    struct net_address address;
    uint8_t magic[4];

    if (source == NULL) {
        failed(replica);
        return;
    }
    address = sim_host_address(sim_host_at(sim_host_sim(process->host), consensus_host_of(&source->broker_id)));
    heal->stream = sim_connect(process->host, &address, SIM_SECOND, NULL);
    if (heal->stream == 0) return; /* this process has just died */
    heal->fetching = replica;
    heal->from = range->from;
    heal->until_ms = process->now_ms + FETCH_TIMEOUT_US / 1000;
    replica->damage.is_busy = true;
    MESH_ASSERT(heal_request_encode(&request, &message) == 0);
    le_store32(magic, METADATA_LINK_FOREIGN);
    MESH_ASSERT(buffer_append(&heal->out, magic, sizeof(magic)) == 0);
    sim_frame_put(&heal->out, REPLICATION_FRAME_HEAL, buffer_slice(&message));
    buffer_deinit(&message);
}

static void fetch_failed(struct replication_process *process)
{
    struct replication_replica *replica = process->heal.fetching;

    drop_fetch(process);
    replica->damage.is_busy = false;
    failed(replica);
}

bool replication_heal_owns(const struct replication_process *process, uint64_t stream)
{
    return process->heal.stream != 0 && process->heal.stream == stream;
}

void replication_heal_opened(struct replication_process *process)
{
    process->heal.is_open = true;
    replication_heal_writable(process);
}

void replication_heal_writable(struct replication_process *process)
{
    struct replication_heal *heal = &process->heal;

    if (heal->is_open && heal->out.size > 0) buffer_consume(&heal->out, sim_stream_write(process->host, heal->stream, buffer_slice(&heal->out)));
}

void replication_heal_closed(struct replication_process *process)
{
    process->heal.stream = 0;
    fetch_failed(process);
}

void replication_heal_bytes(struct replication_process *process, struct slice bytes)
{
    struct replication_heal *heal = &process->heal;
    struct replication_replica *replica = heal->fetching;
    struct slice payload;
    uint64_t from = heal->from;
    uint32_t type;
    size_t at = 0;
    int got;

    MESH_ASSERT(buffer_append(&heal->in, bytes.data, bytes.size) == 0);
    got = sim_frame_take(buffer_slice(&heal->in), FRAME_MAX, &at, &type, &payload);
    if (got == 0) return;
    replica->damage.misfits += got > 0 && type == FRAME_NO_PIECE; /* where the damage ends was read from what is damaged, too */
    if (got < 0 || type != FRAME_PIECE || payload.size == 0) {
        fetch_failed(process);
        return;
    }
    SIM_SOMETIMES("a piece of what was damaged came from another replica");
    mend(replica, from, payload);
    drop_fetch(process);
}

/* ---- serving ---- */

static bool is_sound(struct slice bytes)
{
    struct record_batch_header header;

    for (size_t used = 0; used < bytes.size; used += header.size) {
        struct slice at = slice_of(bytes.data + used, bytes.size - used);

        if (record_batch_parse_header(at, &header) != 0 || header.size > at.size || record_batch_verify(slice_of(at.data, header.size), &header) != 0) return false;
    }
    return true;
}

void replication_heal_serve(struct replication_process *process, struct slice message, struct buffer *out)
{
    struct heal_request request;
    struct replication_replica *replica = NULL;
    uint64_t limit;
    int err;

    buffer_clear(&process->bytes);
    err = heal_request_decode(message, &request);
    if (err == 0) replica = replication_process_find(process, &request.topic_id, request.partition);
    if (replica != NULL) {
        limit = request.to < replica->replica.partition.high_watermark ? request.to : replica->replica.partition.high_watermark;
        err = request.from >= limit ? MESH_EOFFSET_OUT_OF_RANGE : replication_read_log(replica, request.from, limit, request.bytes_max, &process->bytes);
        if (err == 0 && process->bytes.size == 0) err = MESH_EOFFSET_OUT_OF_RANGE;
        if (err == 0 && !is_sound(buffer_slice(&process->bytes))) {
            plog_suspect(replica->plog, request.from);
            err = MESH_ECORRUPT;
        }
    }
    if (err != 0 || replica == NULL) buffer_clear(&process->bytes); /* nothing: not from here */
    sim_frame_put(out, err == MESH_EOFFSET_OUT_OF_RANGE ? FRAME_NO_PIECE : FRAME_PIECE, buffer_slice(&process->bytes));
}

/* ---- telling the coordinator ---- */

/* 0; MESH_ENOTFOUND: it is the only replica; MESH_EAGAIN: not known yet. */
static int describe(const struct replication_replica *replica, struct decide_lost *ret_lost, bool *ret_was_counted_on, uint32_t *ret_partition_epoch)
{
    struct image_partition facts;

    if (!image_topic_partition(replica->topic, replica->number, &facts)) return MESH_EAGAIN;
    for (uint32_t i = 0; i < facts.replica_count; i++) {
        if (facts.replicas[i] != replica->process->node_id) continue;
        *ret_lost = (struct decide_lost){.topic_id = replica->topic_id, .partition = replica->number, .generation = image_partition_generation(&facts, i)};
        *ret_was_counted_on = ((facts.isr | facts.elr | facts.last_known_elr) >> i & 1) != 0;
        *ret_partition_epoch = facts.partition_epoch;
        return facts.replica_count > 1 ? 0 : MESH_ENOTFOUND;
    }
    return MESH_EAGAIN;
}

static void look_again(struct replication_replica *replica)
{
    struct replication_damage *damage = &replica->damage;
    struct decide_lost lost;
    uint32_t partition_epoch;
    bool was_counted_on;

    if (damage->lost != REPLICATION_LOST_TOLD || describe(replica, &lost, &was_counted_on, &partition_epoch) != 0) return;
    if (!was_counted_on || partition_epoch < damage->told_epoch) return;
    damage->lost = REPLICATION_LOST_UNTOLD;
    damage->tell_ms = replica->process->now_ms;
}

static void take_result(struct replication_replica *replica, const struct decide_result *result)
{
    struct replication_damage *damage = &replica->damage;
    int error = result->error;
    bool is_alone = error == MESH_ENOT_ENOUGH_REPLICAS;

    if (++damage->told_count > TOLD_MAX)
        sim_fail(sim_host_sim(replica->process->host), "L8 damage comes to rest", "h%u has told %u times that a replica of partition %u is damaged, and is counted on again",
                 sim_host_index(replica->process->host), damage->told_count, replica->number);
    SIM_SOMETIMES_IF(error == 0, "a damaged replica left the in-sync replicas");
    damage->lost = is_alone ? REPLICATION_LOST_ALONE : error == 0 ? REPLICATION_LOST_TOLD : REPLICATION_LOST_UNTOLD;
    damage->tell_ms = error == 0 ? UINT64_MAX : replica->process->now_ms + (is_alone ? LOST_ALONE_MS : LOST_RETRY_MS);
    if (error == 0) damage->told_epoch = result->partition_epoch;
}

static void finish(struct replication_process *process, int error, const struct decide_result *results)
{
    struct replication_heal *heal = &process->heal;
    uint32_t count = heal->lost_count;

    heal->lost_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct decide_result result = {.error = error};

        if (error == 0) result = results[i];
        if (heal->lost[i]->plog != NULL && heal->lost[i]->damage.is_known) take_result(heal->lost[i], &result);
    }
}

void replication_heal_answered(struct replication_process *process, const struct node_output *answer)
{
    struct decide_result results[REPLICATION_LOST_MAX];
    int error = answer->error;

    if (process->heal.lost_count == 0 || answer->cookie != process->heal.cookie) return;
    if (error == 0) error = node_decode_results(answer->bytes, results, process->heal.lost_count);
    finish(process, error, results);
}

static int by_place(const void *a, const void *b)
{
    const struct replication_replica *left = *(struct replication_replica *const *)a, *right = *(struct replication_replica *const *)b;
    int order = memcmp(left->topic_id.bytes, right->topic_id.bytes, UUID_SIZE);

    if (order != 0) return order;
    return left->number < right->number ? -1 : left->number > right->number;
}

static void gather(struct replication_process *process)
{
    struct replication_heal *heal = &process->heal;

    list_for_each(node, &heal->damaged)
    {
        struct replication_replica *replica = of(node);
        struct replication_damage *damage = &replica->damage;
        struct decide_lost lost;
        uint32_t partition_epoch;
        bool was_counted_on;
        int err;

        if (heal->lost_count == REPLICATION_LOST_MAX || damage->lost == REPLICATION_LOST_TOLD || damage->tell_ms > process->now_ms) continue;
        err = describe(replica, &lost, &was_counted_on, &partition_epoch);
        if (err == MESH_ENOTFOUND) damage->lost = REPLICATION_LOST_TOLD;
        damage->tell_ms = err == MESH_EAGAIN ? process->now_ms + LOST_RETRY_MS : UINT64_MAX;
        if (err == 0) heal->lost[heal->lost_count++] = replica;
    }
    qsort(heal->lost, heal->lost_count, sizeof(heal->lost[0]), by_place);
}

static void tell(struct replication_process *process)
{
    struct replication_heal *heal = &process->heal;
    struct decide_lost lost[REPLICATION_LOST_MAX];
    uint32_t partition_epoch;
    bool was_counted_on;
    int err;

    if (heal->lost_count > 0 || !process->is_registered) return;
    gather(process);
    if (heal->lost_count == 0) return;
    for (uint32_t i = 0; i < heal->lost_count; i++)
        MESH_ASSERT(describe(heal->lost[i], &lost[i], &was_counted_on, &partition_epoch) == 0);
    buffer_clear(&process->scratch);
    MESH_ASSERT(node_encode_lost(&process->scratch, process->board.broker_epoch, lost, heal->lost_count) == 0);
    heal->cookie = (heal->cookie + 1) | METADATA_TENANT_COOKIE | REPLICATION_LOST_COOKIE;
    err = metadata_process_request(process->metadata, NODE_OP_REPLICAS_LOST, buffer_slice(&process->scratch), LOST_TIMEOUT_US, heal->cookie);
    buffer_clear(&process->scratch);
    if (err != 0) finish(process, err, NULL);
}

/* ---- turns ---- */

bool replication_heal_forbids_cut(const struct replication_replica *replica, uint64_t offset)
{
    struct plog_damage range;

    if (!plog_find_damage(replica->plog, offset, &range) || range.from >= offset) return false;
    return !replica->damage.is_known || replica->damage.lost != REPLICATION_LOST_TOLD;
}

static bool gives_up(struct replication_replica *replica, const struct plog_damage *range)
{
    struct replication_damage *damage = &replica->damage;
    bool is_uncommitted = range->from >= replica->replica.partition.high_watermark;
    bool is_hopeless = damage->misfits >= 2u * replica->replica.member_count;
    /* Where the log ends may have been read from what is damaged, too: then the leader has no batch that begins there, and refuses. */
    bool is_in_touch = replica_is_following(&replica->replica) || (is_hopeless && replica_was_refused(&replica->replica));

    if ((!is_uncommitted && !is_hopeless) || damage->lost != REPLICATION_LOST_TOLD || !is_in_touch) return false;
    if (!replica_give_up(&replica->replica, range->from)) return false;
    SIM_SOMETIMES("a damaged log was cut where its damage begins");
    damage->misfits = 0;
    later(replica, RETRY_MIN_MS);
    return true;
}

static bool has_defect(const struct replication_process *process, enum replication_driver_defect defect)
{
    return (process->config->driver_defects >> defect & 1) != 0;
}

static void step(struct replication_replica *replica)
{
    struct replication_process *process = replica->process;
    struct replication_damage *damage = &replica->damage;
    struct plog_damage range;

    if (!plog_find_damage(replica->plog, 0, &range)) {
        SIM_SOMETIMES("a damaged replica was mended");
        replication_heal_forget(replica);
        refresh(replica);
        return;
    }
    SIM_SOMETIMES_IF(range.from < replica->replica.partition.first, "what is damaged was deleted, and is mended all the same");
    look_again(replica);
    if (has_defect(process, REPLICATION_DRIVER_NEVER_MENDS)) return;
    if (!has_defect(process, REPLICATION_DRIVER_GIVES_UP_LATE) && (!damage->is_busy || process->heal.fetching == replica) && plog_error(replica->plog) == 0 && gives_up(replica, &range)) return;
    if (damage->is_busy || damage->next_ms > process->now_ms) return;
    if (plog_error(replica->plog) != 0 || replica->replica.is_cutting) {
        later(replica, plog_error(replica->plog) != 0 ? RETRY_MAX_MS : RETRY_MIN_MS);
        return;
    }
    if (has_defect(process, REPLICATION_DRIVER_GIVES_UP_LATE) && gives_up(replica, &range)) return;
    if (damage->checked_from != range.from) {
        damage->checked_from = range.from;
        damage->is_busy = true;
        mend(replica, range.from, slice_of(NULL, 0));
    } else if (damage->alone_from != range.from && is_alone(replica)) {
        damage->alone_from = range.from;
        damage->is_busy = true;
        is_under_way(replica, plog_repair_epochs(replica->plog, range.from, replica->replica.partition.leader_epoch, on_repaired, replica));
    } else if (process->heal.stream == 0) {
        fetch(replica, &range);
    }
}

void replication_heal_run(struct replication_process *process)
{
    if (process->heal.stream != 0 && process->now_ms >= process->heal.until_ms) fetch_failed(process);
    list_for_each_safe(node, &process->heal.damaged) step(of(node));
    if (!list_is_empty(&process->heal.damaged)) tell(process);
}

uint64_t replication_heal_due_ms(const struct replication_process *process)
{
    uint64_t due_ms = process->heal.stream != 0 ? process->heal.until_ms : UINT64_MAX;

    list_for_each(node, &process->heal.damaged)
    {
        const struct replication_damage *damage = &of(node)->damage;
        bool waits = damage->is_busy || (process->heal.stream != 0 && damage->next_ms <= process->now_ms); /* what ends the wait is an event */

        if (!waits && damage->next_ms < due_ms) due_ms = damage->next_ms;
        if (damage->lost != REPLICATION_LOST_TOLD && process->heal.lost_count == 0 && process->is_registered && damage->tell_ms < due_ms) due_ms = damage->tell_ms;
    }
    return due_ms;
}

void replication_heal_init(struct replication_process *process)
{
    list_init(&process->heal.damaged);
}

void replication_heal_stop(struct replication_process *process)
{
    drop_fetch(process);
}

void replication_heal_free(struct replication_process *process)
{
    fetch_end(process); /* the process is gone: its streams are, too */
    list_for_each_safe(node, &process->heal.damaged) replication_heal_forget(of(node));
}
