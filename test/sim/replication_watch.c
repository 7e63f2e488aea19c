#include "sim/replication_watch.h"

#include "base/assert.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull;

struct replication_watch *replication_watch_new(void)
{
    struct replication_watch *watch = calloc(1, sizeof(*watch));

    MESH_ASSERT(watch != NULL);
    return watch;
}

void replication_watch_free(struct replication_watch *watch)
{
    if (watch == NULL) return;
    for (uint32_t p = 0; p < REPLICATION_PARTITIONS_MAX; p++) {
        free(watch->partitions[p].truth.batches);
        for (uint32_t h = 0; h < CONSENSUS_HOSTS_MAX; h++)
            free(watch->partitions[p].logs[h].batches);
    }
    buffer_deinit(&watch->scratch);
    free(watch);
}

static void log_reset(struct watch_log *log)
{
    *log = (struct watch_log){.batches = log->batches, .capacity = log->capacity, .synced_end = UINT64_MAX};
}

void replication_watch_reset(struct replication_watch *watch, struct sim *sim, struct metadata_watch *metadata)
{
    watch->sim = sim;
    watch->metadata = metadata;
    watch->partition_count = 0;
    watch->seen_index = 0;
    memset(watch->stops, 0, sizeof(watch->stops));
    watch->appended = watch->committed = watch->elections = watch->cuts = watch->resets = 0;
}

/* ---- logs ---- */

static void log_add(struct watch_log *log, const struct watch_batch *batch)
{
    if (log->count == log->capacity) {
        log->capacity = log->capacity == 0 ? 64 : log->capacity * 2;
        log->batches = realloc(log->batches, log->capacity * sizeof(*log->batches));
        MESH_ASSERT(log->batches != NULL);
    }
    log->uncut.is_known = false;
    log->batches[log->count++] = *batch;
    log->end = batch->base + batch->count;
}

/* The first batch that ends behind offset. */
static uint32_t log_index(const struct watch_log *log, uint64_t offset)
{
    uint32_t low = 0, high = log->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (log->batches[middle].base + log->batches[middle].count <= offset) low = middle + 1;
        else high = middle;
    }
    return low;
}

const struct watch_batch *watch_log_find(const struct watch_log *log, uint64_t offset)
{
    uint32_t i = log_index(log, offset);

    return i < log->count && log->batches[i].base <= offset ? &log->batches[i] : NULL;
}

static bool same(const struct watch_batch *a, const struct watch_batch *b)
{
    return a->base == b->base && a->count == b->count && a->crc == b->crc && a->epoch == b->epoch;
}

static struct watch_batch batch_of(const struct record_batch_header *header)
{
    return (struct watch_batch){.base = (uint64_t)header->base_offset,
                                .count = (uint32_t)header->last_offset_delta + 1,
                                .crc = header->crc,
                                .epoch = header->leader_epoch,
                                .committed_in = header->leader_epoch,
                                .producer_id = header->producer_id,
                                .sequence = header->base_sequence};
}

/* ---- partitions ---- */

struct watch_partition *replication_watch_find(struct replication_watch *watch, const struct uuid *topic_id, uint32_t number)
{
    for (uint32_t i = 0; i < watch->partition_count; i++) {
        struct watch_partition *partition = &watch->partitions[i];
        if (partition->number == number && uuid_equal(&partition->topic_id, topic_id)) return partition;
    }
    return NULL;
}

static struct watch_partition *partition_get(struct replication_watch *watch, const struct replication_replica *replica)
{
    struct watch_partition *partition = replication_watch_find(watch, &replica->topic_id, replica->number);

    if (partition != NULL) return partition;
    MESH_ASSERT(watch->partition_count < REPLICATION_PARTITIONS_MAX);
    partition = &watch->partitions[watch->partition_count++];
    partition->topic_id = replica->topic_id;
    partition->number = replica->number;
    partition->is_gone = partition->is_excused = partition->is_given_up = false;
    partition->reset_epoch = partition->used_epoch = 0;
    partition->reset_leader_epoch = 0;
    partition->rotten = 0;
    partition->told_epoch = UINT32_MAX;
    log_reset(&partition->truth);
    for (uint32_t h = 0; h < CONSENSUS_HOSTS_MAX; h++)
        log_reset(&partition->logs[h]);
    memset(partition->leader_of, 0, sizeof(partition->leader_of));
    return partition;
}

static uint32_t host_of(const struct replication_replica *replica)
{
    return sim_host_index(replication_process_host(replica->process));
}

static struct watch_partition *partition_of(const struct replication_replica *replica)
{
    return replica->watched;
}

static struct watch_log *log_of(const struct replication_replica *replica)
{
    return &partition_of(replica)->logs[host_of(replica)];
}

static uint32_t place(const struct replication_watch *watch, const struct watch_partition *partition)
{
    return (uint32_t)(partition - watch->partitions);
}

/* ---- what is visible ---- */

/* S9: a producer's batches follow one another. */
static void check_sequence(struct replication_watch *watch, struct watch_partition *partition, const struct watch_batch *batch)
{
    const struct watch_log *truth = &partition->truth;

    if (batch->producer_id < 0 || partition->is_excused) return;
    for (uint32_t i = truth->count; i-- > 0;) {
        if (truth->batches[i].producer_id != batch->producer_id) continue;
        if (truth->batches[i].sequence >= batch->sequence)
            sim_fail(watch->sim, "S9 a producer's batch is there once", "p%u: sequence %d of producer %lld comes at %llu after %d at %llu",
                     place(watch, partition), batch->sequence, (long long)batch->producer_id, (ull)batch->base, truth->batches[i].sequence,
                     (ull)truth->batches[i].base);
        return;
    }
}

/* The truth is what somebody else says from here on. */
static void forget_from(struct watch_partition *partition, uint64_t offset)
{
    struct watch_log *truth = &partition->truth;

    truth->count = log_index(truth, offset);
    truth->end = truth->count == 0 ? offset : truth->batches[truth->count - 1].base + truth->batches[truth->count - 1].count;
}

/* S2: all of [from, to) of this log is below a high watermark of this epoch now. */
static void show(struct replication_watch *watch, struct watch_partition *partition, uint32_t host, int32_t epoch, const struct watch_log *log,
                 uint64_t from, uint64_t to)
{
    struct watch_log *truth = &partition->truth;

    for (uint32_t i = log_index(log, from); i < log->count && log->batches[i].base + log->batches[i].count <= to; i++) {
        struct watch_batch batch = log->batches[i];
        struct watch_batch *known;

        if (batch.base >= truth->end) {
            /* By a leader that does not know yet that somebody leads with a loss: what it still acknowledges is part of that. */
            if (partition->is_excused && epoch < partition->reset_leader_epoch) return;
            if (batch.base != truth->end && truth->count > 0 && !partition->is_excused)
                sim_fail(watch->sim, "S2 one record at an offset", "p%u: h%u shows %llu, and nobody has shown what is before it from %llu on",
                         place(watch, partition), host, (ull)batch.base, (ull)truth->end);
            check_sequence(watch, partition, &batch);
            batch.committed_in = epoch;
            log_add(truth, &batch);
            watch->committed++;
            continue;
        }
        known = &truth->batches[log_index(truth, batch.base)];
        if (partition->is_excused && !same(known, &batch)) {
            forget_from(partition, batch.base);
            log_add(truth, &batch);
            continue;
        }
        if (!same(known, &batch)) {
            sim_fail(watch->sim, "S2 one record at an offset", "p%u: h%u shows %llu+%u of epoch %d (%08x); it was %llu+%u of epoch %d (%08x)",
                     place(watch, partition), host, (ull)batch.base, batch.count, batch.epoch, batch.crc, (ull)known->base, known->count, known->epoch,
                     known->crc);
            return;
        }
        if (epoch < known->committed_in) known->committed_in = epoch;
    }
    if (to > log->end) sim_fail(watch->sim, "S2 one record at an offset", "p%u: h%u has committed %llu of %llu", place(watch, partition), host, (ull)to, (ull)log->end);
}

/* ---- who may be elected ---- */

/* The replica of that broker, if it lives and is registered in this life: of others nobody makes a leader. NULL: it does not. */
static const struct watch_log *living(const struct replication_watch *watch, const struct watch_partition *partition, int32_t node_id, uint32_t *ret_host)
{
    const struct image_broker *broker = image_find_broker(metadata_watch_image(watch->metadata), node_id);
    const struct watch_log *log;

    if (broker == NULL) return NULL;
    *ret_host = consensus_host_of(&broker->broker_id);
    log = &partition->logs[*ret_host];
    if (!log->is_open || log->replica->plog == NULL || !replication_process_is_registered(log->replica->process)) return NULL;
    if (log->replica->replica.is_cutting || metadata_process_boot(replication_process_metadata(log->replica->process)) != broker->boot) return NULL;
    return log;
}

/* What is committed, and it does not have. */
static bool lacks(const struct replication_replica *leader, const struct replication_replica *member)
{
    struct partition_positions positions;

    replication_replica_positions(member, &positions);
    return (leader->replica.partition.config.is_async ? positions.written : positions.durable) < leader->replica.partition.high_watermark;
}

static void check_member(struct replication_watch *watch, struct watch_partition *partition, const struct replication_replica *leader, int32_t node_id)
{
    uint64_t high_watermark = leader->replica.partition.high_watermark;
    uint32_t host;
    const struct watch_log *log = living(watch, partition, node_id, &host);

    if (log == NULL || watch_is_rotten(partition, host)) return; /* it may not know yet, nor the coordinator */
    if (lacks(leader, log->replica))
        sim_fail(watch->sim, "S5 who may be elected holds what is committed", "p%u: h%u has %llu, and not all durably, of %llu that h%u commits in epoch %d",
                 place(watch, partition), host, (ull)log->end, (ull)high_watermark, host_of(leader), leader->replica.partition.leader_epoch);
    else if (high_watermark > plog_start_offset(log->replica->plog))
        show(watch, partition, host, leader->replica.partition.leader_epoch, log, high_watermark - 1, high_watermark);
}

/* Mode quorum: a majority has it. While replicas come and go the leader counts as of the metadata that it has, and no majority that could choose the next one
 * lacks it: those that come do not choose. */
static void check_majority(struct replication_watch *watch, const struct replication_replica *leader, const struct image_partition *facts)
{
    struct watch_partition *partition = partition_of(leader);
    uint32_t choosing = (facts->isr | facts->elr) & ~facts->adding, factor = image_partition_factor(facts), lacking = 0, host;
    bool is_settled = facts->partition_epoch == leader->replica.partition_epoch && facts->adding == 0;

    for (uint32_t i = 0; i < facts->replica_count; i++) {
        const struct watch_log *log = living(watch, partition, facts->replicas[i], &host);

        lacking += log != NULL && (choosing >> i & 1) != 0 && lacks(leader, log->replica);
    }
    if (lacking > factor / 2 || (is_settled && factor - lacking <= factor / 2))
        sim_fail(watch->sim, "S5 a majority holds what is committed", "p%u: %u of %u do not hold %llu that h%u commits in epoch %d", place(watch, partition), lacking,
                 factor, (ull)leader->replica.partition.high_watermark, host_of(leader), leader->replica.partition.leader_epoch);
}

/* The leader counts these replicas of the newest metadata; those that it was assigned by may name others, or in another order. */
static bool counts_all(const struct replication_replica *leader, const struct image_partition *newest, uint32_t members)
{
    uint32_t counted = leader->replica.isr | leader->replica.proposed, found = 0;
    struct image_partition own;

    if (!image_topic_partition(leader->topic, leader->number, &own) || own.replica_count != leader->replica.member_count) return true;
    for (uint32_t i = 0; i < newest->replica_count; i++)
        for (uint32_t k = 0; k < own.replica_count; k++)
            if (own.replicas[k] == newest->replicas[i] && (counted >> k & 1) != 0) found |= 1u << i;
    return (members & ~found) == 0;
}

static void check_members(struct replication_watch *watch, const struct replication_replica *leader)
{
    struct watch_partition *partition = partition_of(leader);
    const struct image *image = metadata_watch_image(watch->metadata);
    const struct image_topic *topic = image == NULL ? NULL : image_find_topic(image, &partition->topic_id);
    const struct replica *core = &leader->replica;
    struct image_partition facts;
    uint32_t members;

    /* It may commit in the event that brought it the metadata: that fewer replicas are enough, and nobody else eligible. */
    if (topic != NULL && leader->topic->changed_index > topic->changed_index) topic = leader->topic;
    if (topic == NULL || !image_topic_partition(topic, partition->number, &facts)) return;
    if (facts.leader_epoch != core->partition.leader_epoch) return;
    if (core->partition.config.mode == PARTITION_MODE_QUORUM) {
        check_majority(watch, leader, &facts);
        return;
    }
    members = facts.isr | facts.elr;
    for (uint32_t i = 0; i < facts.replica_count; i++)
        if ((members >> i & 1) != 0) check_member(watch, partition, leader, facts.replicas[i]);
    if (facts.is_queued || (uint32_t)__builtin_popcount(facts.isr) < core->partition.config.min_insync) return;
    if (!counts_all(leader, &facts, members))
        sim_fail(watch->sim, "S6 the leader counts whom the coordinator counts", "p%u: h%u counts %x and %x, the coordinator %x and %x", place(watch, partition),
                 host_of(leader), core->isr, core->proposed, facts.isr, facts.elr);
}

/* ---- losses ---- */

/* Somebody leads who may lack records, as the metadata admit. */
static void check_loss(struct replication_watch *watch, struct watch_partition *partition, const struct image_topic *topic, const struct image_partition *facts)
{
    if (facts->reset_epoch <= partition->reset_epoch) return; /* known; or an image that is behind */
    partition->reset_epoch = facts->reset_epoch;
    partition->reset_leader_epoch = facts->leader_epoch;
    partition->is_excused = true;
    if (partition->is_given_up) SIM_SOMETIMES("an operator accepted a loss");
    else if (image_topic_config(topic, TOPIC_CONFIG_FLUSH) == TOPIC_FLUSH_ASYNC) SIM_SOMETIMES("a partition was led again with a loss, as it was set to");
    else sim_fail(watch->sim, "S1 nothing is lost unasked", "p%u: somebody leads it in epoch %d who may lack records", place(watch, partition), facts->leader_epoch);
}

/* It leads, and may commit all that it has, in the event that brought it the metadata; the observer looks at those after it. */
static void check_own_loss(struct replication_watch *watch, const struct replication_replica *replica)
{
    struct image_partition facts;

    if (image_topic_partition(replica->topic, replica->number, &facts)) check_loss(watch, partition_of(replica), replica->topic, &facts);
}

static bool is_known_leader(const struct replication_replica *replica)
{
    int32_t epoch = replica->replica.partition.leader_epoch;

    return epoch < REPLICATION_EPOCHS_MAX && partition_of(replica)->leader_of[epoch] == host_of(replica) + 1;
}

/* R10: what a stop that was not clean lost of an async topic is lost with an election of somebody who was not known to be complete, and the metadata say so. */
static void check_admitted(struct replication_watch *watch, struct watch_partition *partition, uint32_t host, int32_t epoch, uint64_t has, uint64_t committed)
{
    if (partition->reset_epoch == partition->used_epoch)
        sim_fail(watch->sim, "S1 a loss is admitted", "p%u: h%u leads epoch %d with %llu of %llu, and nobody says that something is lost", place(watch, partition), host, epoch,
                 (ull)has, (ull)committed);
    partition->used_epoch = partition->reset_epoch;
}

/* ---- deletions ---- */

/* A coordinator writes deletions of a leader epoch down before it elects anybody for a newer one, so that one knows of them, however little it knows to be committed. */
static void check_deletion(struct replication_watch *watch, const struct replication_replica *replica, uint64_t offset)
{
    const struct image *image = metadata_watch_image(watch->metadata);
    const struct image_deletion *deletion = image == NULL ? NULL : image_deletion(image, &replica->topic_id, replica->number);
    int32_t leader_epoch = replica->replica.partition.leader_epoch, epoch;

    if (deletion == NULL || deletion->leader_epoch >= leader_epoch) return; /* that leader may hear of it yet */
    if (offset >= deletion->offset || offset >= plog_epoch_end_offset(replica->plog, deletion->leader_epoch, &epoch) || epoch < 0) return;
    sim_fail(watch->sim, "deleted records are gone", "p%u: h%u serves %llu in epoch %d; in epoch %d those before %llu were deleted", place(watch, partition_of(replica)),
             host_of(replica), (ull)offset, leader_epoch, deletion->leader_epoch, (ull)deletion->offset);
}

void replication_watch_deletions(struct replication_watch *watch, const struct replication_replica *replica, uint64_t offset)
{
    SIM_SOMETIMES_IF(offset == plog_first_offset(replica->plog) && offset > plog_start_offset(replica->plog), "somebody read where records begin inside a log");
    check_deletion(watch, replica, offset);
}

/* ---- hooks ---- */

/* UINT32_MAX: that broker keeps none. */
static uint32_t index_of(const struct image_partition *facts, const struct replication_replica *replica)
{
    for (uint32_t i = 0; i < facts->replica_count; i++)
        if (facts->replicas[i] == replication_process_node_id(replica->process)) return i;
    return UINT32_MAX;
}

/* A replica that was taken away and given back is another one. */
static bool is_this(const struct image_partition *facts, const struct replication_replica *replica)
{
    uint32_t i = index_of(facts, replica);

    return i != UINT32_MAX && image_partition_generation(facts, i) == replica->replica.generation;
}

/* The newest metadata say that it is kept there. */
static bool is_kept(const struct replication_watch *watch, const struct replication_replica *replica)
{
    const struct image_topic *topic = image_find_topic(metadata_watch_image(watch->metadata), &replica->topic_id);
    struct image_partition facts;

    return topic != NULL && image_topic_partition(topic, replica->number, &facts) && index_of(&facts, replica) != UINT32_MAX;
}

/* Whole batches go: of histories that differ from the first batch on, the other one's may be shorter. */
static void cut_log(struct watch_log *log, uint64_t offset)
{
    uint32_t before = log->count;

    log->count = log_index(log, offset);
    if (log->count > 0) log->end = log->batches[log->count - 1].base + log->batches[log->count - 1].count;
    else log->end = before > 0 && log->batches[0].base < offset ? log->batches[0].base : offset;
}

/* The process died before its last cut was on the disk: what was cut is there again, behind `count`. */
static void take_back(struct watch_log *log, uint64_t end)
{
    if (end <= log->end || !log->uncut.is_known || end > log->uncut.end) return;
    log->count = log->uncut.count;
    log->end = log->uncut.end;
}

/* ---- clean stops ---- */

void replication_watch_started(struct replication_watch *watch, struct replication_process *process)
{
    struct sim_host *host = replication_process_host(process);
    uint32_t number = sim_host_index(host);
    struct watch_stop *stop = &watch->stops[number];
    bool is_same = uuid_equal(&stop->disk, &metadata_process_self(replication_process_metadata(process))->dir);

    if (sim_host_is_dying(host)) return;
    for (uint32_t p = 0; p < watch->partition_count && !is_same; p++)
        watch->partitions[p].logs[number].synced_end = UINT64_MAX;
    SIM_SOMETIMES_IF(stop->is_clean && is_same, "a broker came back from a clean stop");
    if (stop->is_clean && is_same && !replication_process_was_clean(process))
        sim_fail(watch->sim, "R19 a clean stop is believed", "h%u finds no mark of it", number);
    stop->is_clean = false;
}

/* Logs that have failed are what they were when they did. */
void replication_watch_drained(struct replication_watch *watch, struct replication_process *process)
{
    struct sim_host *host = replication_process_host(process);
    uint32_t number = sim_host_index(host);

    if (sim_host_is_dying(host)) return;
    watch->stops[number] = (struct watch_stop){true, metadata_process_self(replication_process_metadata(process))->dir};
    for (uint32_t p = 0; p < watch->partition_count; p++) {
        struct watch_log *log = &watch->partitions[p].logs[number];

        if (log->is_open) log->synced_end = plog_error(log->replica->plog) == 0 ? log->end : UINT64_MAX;
    }
}

static void check_synced(struct replication_watch *watch, const struct watch_partition *partition, uint32_t host, struct watch_log *log)
{
    uint64_t synced_end = log->synced_end;

    log->synced_end = UINT64_MAX;
    if (synced_end == UINT64_MAX || watch_is_rotten(partition, host) || sim_host_is_dying(sim_host_at(watch->sim, host))) return;
    SIM_SOMETIMES_IF(synced_end > 0, "a log came back from a clean stop");
    if (log->end != synced_end)
        sim_fail(watch->sim, "R19 a clean stop loses nothing", "p%u: h%u comes back with %llu of %llu", place(watch, partition), host, (ull)log->end, (ull)synced_end);
}

/* What is in the log now, read from the disk. */
static void read_log(struct replication_watch *watch, struct replication_replica *replica, struct watch_log *log)
{
    uint64_t offset = plog_start_offset(replica->plog), end = plog_end_offset(replica->plog);
    struct record_batch_header header;

    log->count = 0;
    log->end = offset;
    while (offset < end) {
        int err;

        buffer_clear(&watch->scratch);
        err = replication_read_log(replica, offset, end, 1u << 20, &watch->scratch);
        if (err != 0 || watch->scratch.size == 0) {
            if (sim_host_is_dying(replication_process_host(replica->process))) return;
            if (!is_kept(watch, replica)) {
                SIM_SOMETIMES("a log that was about to go came back with less");
                return;
            }
            sim_fail(watch->sim, "a good log can be read", "p%u: h%u cannot read %llu: %d", place(watch, partition_of(replica)), host_of(replica), (ull)offset, err);
            return;
        }
        for (size_t at = 0; at < watch->scratch.size; at += header.size) {
            struct watch_batch batch;

            if (record_batch_parse_header(slice_of(watch->scratch.data + at, watch->scratch.size - at), &header) != 0) return;
            batch = batch_of(&header);
            log_add(log, &batch);
            offset = log->end;
        }
    }
}

void replication_watch_opened(struct replication_watch *watch, struct replication_replica *replica)
{
    struct watch_partition *partition = partition_get(watch, replica);
    struct watch_log *log = &partition->logs[host_of(replica)];
    uint64_t known_end;

    replica->watched = partition;
    known_end = log->end;
    log->is_open = true;
    log->replica = replica;
    if (watch_is_rotten(partition, host_of(replica))) {
        take_back(log, plog_end_offset(replica->plog));
        cut_log(log, plog_end_offset(replica->plog));
    } else {
        read_log(watch, replica, log);
    }
    check_synced(watch, partition, host_of(replica), log);
    log->seen = replica->replica.partition.high_watermark;
    if (replica->replica.partition.config.is_async && log->end < known_end) {
        SIM_SOMETIMES("a log of an async topic lost what was not synced");
        partition->is_excused = true;
    }
    if (log->seen > partition->truth.end && partition->truth.count > 0 && !partition->is_excused)
        sim_fail(watch->sim, "S8 a high watermark is old or right", "p%u: h%u comes back with %llu, %llu is committed", place(watch, partition), host_of(replica),
                 (ull)log->seen, (ull)partition->truth.end);
}

void replication_watch_appended(struct replication_watch *watch, struct replication_replica *replica, const struct record_batch_header *header)
{
    struct watch_log *log = log_of(replica);
    struct watch_batch batch = batch_of(header);

    if (watch_is_rotten(partition_of(replica), host_of(replica)) && batch.base < log->end) { /* a cut in a hole is one at its beginning */
        cut_log(log, batch.base);
        if (batch.base < log->seen) log->seen = batch.base;
    }
    if (batch.base != log->end)
        sim_fail(watch->sim, "logs have no gaps", "p%u: h%u appends %llu at %llu", place(watch, partition_of(replica)), host_of(replica), (ull)batch.base, (ull)log->end);
    log_add(log, &batch);
    watch->appended++;
}

void replication_watch_cutting(struct replication_watch *watch, struct replication_replica *replica, const struct replica_cut *cut)
{
    struct watch_log *log = log_of(replica);

    bool is_excused = partition_of(replica)->is_excused || watch_is_rotten(partition_of(replica), host_of(replica)); /* what does not fit comes anew */

    log->uncut.is_known = true;
    log->uncut.count = log->count;
    log->uncut.end = log->end;
    log->uncut.seen = log->seen;
    if (is_excused && cut->offset < log->seen) log->seen = cut->offset;
    else if (cut->is_committed || (!cut->is_reset && cut->offset < log->seen))
        sim_fail(watch->sim, "S3 nothing that was committed is cut", "p%u: h%u is to cut at %llu; %llu is committed there", place(watch, partition_of(replica)),
                 host_of(replica), (ull)cut->offset, (ull)log->seen);
    SIM_SOMETIMES_IF(cut->offset < log->end, "a follower's log was cut");
    SIM_SOMETIMES_IF(cut->is_reset, "a follower began anew where its leader's log begins");
    watch->cuts++;
    watch->resets += cut->is_reset;
    if (cut->is_reset) log->count = 0;
    cut_log(log, cut->offset);
}

/* What was cut is behind `count` still. */
void replication_watch_not_cut(struct replication_watch *watch, struct replication_replica *replica)
{
    struct watch_log *log = log_of(replica);

    log->count = log->uncut.count;
    log->end = log->uncut.end;
    log->seen = log->uncut.seen;
    watch->cuts--;
}

void replication_watch_leads(struct replication_watch *watch, struct replication_replica *replica)
{
    struct watch_partition *partition = partition_of(replica);
    struct watch_log *log = log_of(replica);
    const struct watch_log *truth = &partition->truth;
    int32_t epoch = replica->replica.partition.leader_epoch;
    uint32_t host = host_of(replica), count = truth->count;
    uint64_t end;

    sim_trace(watch->sim, replication_process_host(replica->process), "leads p%u in epoch %d from %llu", place(watch, partition), epoch, (ull)log->end);
    check_own_loss(watch, replica);
    watch->elections++;
    check_deletion(watch, replica, replica->replica.partition.first);
    if (epoch < REPLICATION_EPOCHS_MAX) {
        if (partition->leader_of[epoch] != 0 && partition->leader_of[epoch] != host + 1)
            sim_fail(watch->sim, "S7 one leader for each epoch", "p%u: h%u and h%u lead in epoch %d", place(watch, partition), partition->leader_of[epoch] - 1, host,
                     epoch);
        partition->leader_of[epoch] = (uint8_t)(host + 1);
    }
    /* It may learn of its election when others lead already. */
    while (count > 0 && truth->batches[count - 1].committed_in >= epoch)
        count--;
    end = count == 0 ? 0 : truth->batches[count - 1].base + truth->batches[count - 1].count;
    if (partition->is_excused && log->end < end) {
        check_admitted(watch, partition, host, epoch, log->end, end);
        forget_from(partition, log->end);
        end = log->end;
    }
    if (log->end < end)
        sim_fail(watch->sim, "S1 S4 a leader has all that is committed", "p%u: h%u leads epoch %d with %llu of %llu", place(watch, partition), host, epoch,
                 (ull)log->end, (ull)end);
    else
        show(watch, partition, host, epoch, log, plog_start_offset(replica->plog), end);
}

void replication_watch_committed(struct replication_watch *watch, struct replication_replica *replica)
{
    struct watch_log *log = log_of(replica);
    uint64_t now = replica->replica.partition.high_watermark;

    if (now == log->seen || replica->replica.is_cutting) return;
    if (replica_leads(&replica->replica) && !is_known_leader(replica)) check_own_loss(watch, replica);
    if (now < log->seen && partition_of(replica)->is_excused) log->seen = now;
    if (now < log->seen)
        sim_fail(watch->sim, "S8 high watermarks only rise", "p%u: that of h%u falls from %llu to %llu", place(watch, partition_of(replica)), host_of(replica),
                 (ull)log->seen, (ull)now);
    show(watch, partition_of(replica), host_of(replica), replica->replica.partition.leader_epoch, log, log->seen, now);
    log->seen = now;
    if (replica_leads(&replica->replica) && !partition_of(replica)->is_excused) check_members(watch, replica);
}

void replication_watch_removing(struct replication_watch *watch, struct replication_replica *replica)
{
    const struct image *image = metadata_watch_image(watch->metadata);
    const struct image_topic *topic = image_find_topic(image, &replica->topic_id);
    struct watch_log *log = log_of(replica);
    struct image_partition facts;

    if (topic == NULL) partition_of(replica)->is_gone = true;
    else if (image_topic_partition(topic, replica->number, &facts) && is_this(&facts, replica))
        sim_fail(watch->sim, "S17 logs go only with their topic", "p%u: h%u removes a log that it is to keep", place(watch, partition_of(replica)), host_of(replica));
    log->is_open = false;
    log->uncut.is_known = false;
    log->count = 0;
    log->end = 0;
}

void replication_watch_stopped(struct replication_watch *watch, uint32_t host)
{
    for (uint32_t p = 0; p < watch->partition_count; p++)
        watch->partitions[p].logs[host].is_open = false;
}

/* ---- traces ---- */

static void tell_partition(struct replication_watch *watch, struct sim_host *host, struct watch_partition *partition, const struct image_topic *topic,
                           const struct image_partition *facts)
{
    char replicas[64] = "";
    size_t at = 0;

    if (facts->partition_epoch == partition->told_epoch) return;
    partition->told_epoch = facts->partition_epoch;
    for (uint32_t i = 0; i < facts->replica_count && at < sizeof(replicas); i++)
        at += (size_t)snprintf(replicas + at, sizeof(replicas) - at, " %d", facts->replicas[i]);
    sim_trace(watch->sim, host, "p%u %s-%u: partition epoch %u, leader %d of epoch %d, replicas%s, isr %x, elr %x, last known %x, adding %x, removing %x",
              place(watch, partition), topic->name, partition->number, facts->partition_epoch, facts->leader, facts->leader_epoch, replicas, facts->isr, facts->elr,
              facts->last_known_elr, facts->adding, facts->removing);
}

void replication_watch_image(struct replication_watch *watch, struct sim_host *host)
{
    const struct image *image = metadata_watch_image(watch->metadata);
    bool is_traced = sim_is_traced(watch->sim);

    if (image == NULL || image_applied_index(image) == watch->seen_index) return;
    for (uint32_t p = 0; p < watch->partition_count; p++) {
        struct watch_partition *partition = &watch->partitions[p];
        const struct image_topic *topic = partition->is_gone ? NULL : image_find_topic(image, &partition->topic_id);
        struct image_partition facts;

        if (topic == NULL) partition->is_gone = true;
        if (topic == NULL || topic->changed_index <= watch->seen_index || !image_topic_partition(topic, partition->number, &facts)) continue;
        check_loss(watch, partition, topic, &facts);
        if (is_traced) tell_partition(watch, host, partition, topic, &facts);
    }
    watch->seen_index = image_applied_index(image);
}

/* ---- readers ---- */

uint64_t replication_watch_read(struct replication_watch *watch, struct watch_partition *partition, uint32_t host, uint64_t offset, struct slice batches)
{
    struct record_batch_header header;

    for (size_t at = 0; at < batches.size; at += header.size) {
        const struct watch_batch *known;
        struct watch_batch batch;

        if (record_batch_parse_header(slice_of(batches.data + at, batches.size - at), &header) != 0 || header.size > batches.size - at ||
            record_batch_verify(slice_of(batches.data + at, header.size), &header) != 0) {
            if (watch_is_rotten(partition, host)) return offset; /* it refuses them, and asks again later */
            sim_fail(watch->sim, "S16 nothing corrupt is served", "p%u: h%u serves damaged bytes at %llu", place(watch, partition), host, (ull)offset);
            return offset;
        }
        batch = batch_of(&header);
        known = watch_log_find(&partition->truth, batch.base);
        if (known != NULL && watch_is_rotten(partition, host)) batch.epoch = known->epoch; /* no sum covers it; readers do not look at it */
        if (partition->is_excused) {
            offset = batch.base + batch.count;
            continue;
        }
        if (batch.base > offset || known == NULL || !same(known, &batch)) {
            sim_fail(watch->sim, "S3 readers see what is committed", "p%u: at %llu h%u serves %llu+%u of epoch %d (%08x), which is not committed", place(watch, partition),
                     (ull)offset, host, (ull)batch.base, batch.count, batch.epoch, batch.crc);
            return offset;
        }
        offset = batch.base + batch.count;
    }
    return offset;
}

/* ---- agreement ---- */

const char *replication_watch_leftover(struct replication_watch *watch, struct watch_partition *partition)
{
    static _Thread_local char text[80];

    for (uint32_t h = 0; h < CONSENSUS_HOSTS_MAX; h++) {
        const struct watch_log *log = &partition->logs[h];

        if (!log->is_open || is_kept(watch, log->replica)) continue;
        snprintf(text, sizeof(text), "h%u has a log of p%u, which is not kept there", h, place(watch, partition));
        return text;
    }
    return NULL;
}

const char *replication_watch_deleted_rest(struct replication_watch *watch, struct watch_partition *partition)
{
    static _Thread_local char text[120];
    const struct image *image = metadata_watch_image(watch->metadata);

    for (uint32_t h = 0; h < CONSENSUS_HOSTS_MAX && image != NULL; h++) {
        const struct replication_replica *replica = partition->logs[h].replica;
        const struct image_deletion *deletion;
        uint64_t first, end;
        int32_t epoch;

        if (!partition->logs[h].is_open) continue;
        deletion = image_deletion(image, &replica->topic_id, replica->number);
        if (deletion == NULL) return NULL;
        end = plog_epoch_end_offset(replica->plog, deletion->leader_epoch, &epoch);
        first = plog_first_offset(replica->plog);
        if (first >= deletion->offset || first >= end || epoch < 0) continue;
        snprintf(text, sizeof(text), "h%u keeps %llu of p%u; in epoch %d those before %llu were deleted", h, (ull)first, place(watch, partition), deletion->leader_epoch,
                 (ull)deletion->offset);
        return text;
    }
    return NULL;
}

const char *replication_watch_difference(struct replication_watch *watch, struct watch_partition *partition)
{
    static _Thread_local char text[128];
    const struct watch_log *first = NULL;

    (void)watch;
    for (uint32_t h = 0; h < CONSENSUS_HOSTS_MAX; h++) {
        const struct watch_log *log = &partition->logs[h];
        uint32_t i = 0, k = 0;

        if (!log->is_open) continue;
        if (first == NULL) {
            first = log;
            continue;
        }
        if (log->end != first->end) {
            snprintf(text, sizeof(text), "logs of p%u end at %llu and %llu", place(watch, partition), (ull)first->end, (ull)log->end);
            return text;
        }
        if (first->count == 0 || log->count == 0) continue;
        if (first->batches[0].base < log->batches[0].base) i = log_index(first, log->batches[0].base);
        else k = log_index(log, first->batches[0].base);
        for (; i < first->count && k < log->count; i++, k++) {
            if (same(&first->batches[i], &log->batches[k])) continue;
            snprintf(text, sizeof(text), "logs of p%u differ at %llu", place(watch, partition), (ull)log->batches[k].base);
            return text;
        }
    }
    return NULL;
}
