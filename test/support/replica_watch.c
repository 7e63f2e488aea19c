#include "support/replica_watch.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void replica_watch_begin(struct replica_watch *watch, int partition_count)
{
    watch->partition_count = partition_count;
    watch->violation[0] = '\0';
    for (int p = 0; p < partition_count; p++) {
        watch->truth[p].end = 0;
        memset(watch->truth[p].leader_of, 0, sizeof(watch->truth[p].leader_of));
    }
}

void replica_watch_violate(struct replica_watch *watch, const char *format, ...)
{
    va_list args;

    if (watch->violation[0] != '\0') return;
    va_start(args, format);
    vsnprintf(watch->violation, sizeof(watch->violation), format, args);
    va_end(args);
}

void replica_watch_visible(struct replica_watch *watch, int p, int broker, int32_t leader_epoch, const struct replica_log *log,
                           uint64_t from, uint64_t to)
{
    struct watch_truth *truth = &watch->truth[p];

    if (from < log->start) from = log->start;
    for (uint64_t offset = from; offset < to && watch->violation[0] == '\0';) {
        const struct replica_log_batch *batch = replica_log_find(log, offset);

        if (batch == NULL || offset >= WATCH_OFFSETS_MAX) {
            replica_watch_violate(watch, "p%d: offset %llu of broker %d is committed and not there", p, (unsigned long long)offset, broker);
            return;
        }
        for (; offset < batch->base + batch->count && offset < to; offset++) {
            if (offset >= truth->end) {
                if (offset > truth->end) replica_watch_violate(watch, "p%d: a hole in what is committed", p);
                truth->crc[offset] = batch->crc;
                truth->epoch[offset] = batch->epoch;
                truth->committed_in[offset] = leader_epoch;
                truth->end = offset + 1;
            } else if (truth->crc[offset] != batch->crc || truth->epoch[offset] != batch->epoch) {
                replica_watch_violate(watch, "p%d: broker %d shows another record at %llu (epoch %d, was %d)", p, broker,
                                      (unsigned long long)offset, batch->epoch, truth->epoch[offset]);
                return;
            }
        }
    }
}

void replica_watch_leads(struct replica_watch *watch, int p, int broker, int32_t epoch, const struct replica_log *log)
{
    struct watch_truth *truth = &watch->truth[p];
    uint64_t end = truth->end;

    while (end > 0 && truth->committed_in[end - 1] >= epoch)
        end--;
    if (epoch < WATCH_EPOCHS_MAX) {
        if (truth->leader_of[epoch] != 0 && truth->leader_of[epoch] != broker + 1)
            replica_watch_violate(watch, "p%d: brokers %d and %d lead in epoch %d", p, truth->leader_of[epoch] - 1, broker, epoch);
        truth->leader_of[epoch] = (int8_t)(broker + 1);
    }
    if (log->end < end)
        replica_watch_violate(watch, "p%d: broker %d leads epoch %d with %llu of %llu committed offsets", p, broker, epoch,
                              (unsigned long long)log->end, (unsigned long long)end);
    else
        replica_watch_visible(watch, p, broker, epoch, log, log->start, end);
}

void replica_watch_replica(struct replica_watch *watch, int p, int broker, const struct replica *replica, const struct replica_log *log)
{
    const struct partition *partition = &replica->partition;

    if (partition->log_start > partition->high_watermark || partition->high_watermark > partition->log_end)
        replica_watch_violate(watch, "p%d: broker %d has start %llu, high watermark %llu, end %llu", p, broker,
                              (unsigned long long)partition->log_start, (unsigned long long)partition->high_watermark,
                              (unsigned long long)partition->log_end);
    if (!replica->is_cutting && partition->log_end != log->end)
        replica_watch_violate(watch, "p%d: broker %d does not know where its log ends", p, broker);
}

void replica_watch_cut(struct replica_watch *watch, int p, int broker, const struct replica *replica)
{
    struct replica_cut cut;

    replica_get_cut(replica, &cut);
    if (cut.is_committed || (!cut.is_reset && cut.offset < replica->partition.high_watermark))
        replica_watch_violate(watch, "p%d: broker %d is to cut at %llu, below its high watermark %llu", p, broker,
                              (unsigned long long)cut.offset, (unsigned long long)replica->partition.high_watermark);
}

void replica_watch_electable(struct replica_watch *watch, int p, const struct court_partition *facts, const struct replica *leader,
                             const struct replica_log *const *logs, int broker_count)
{
    if (leader->partition.leader_epoch != facts->leader_epoch) return;
    for (int b = 0; b < broker_count; b++) {
        uint64_t held;

        if (logs[b] == NULL) continue;
        held = leader->partition.config.is_async ? logs[b]->written : logs[b]->durable;
        if ((((facts->isr | facts->elr) >> b) & 1) && held < leader->partition.high_watermark)
            replica_watch_violate(watch, "p%d: broker %d may be elected and holds %llu of %llu", p, b, (unsigned long long)held,
                                  (unsigned long long)leader->partition.high_watermark);
        if ((((facts->isr | facts->elr) >> b) & 1) && leader->partition.high_watermark > logs[b]->start)
            replica_watch_visible(watch, p, b, -1, logs[b], leader->partition.high_watermark - 1, leader->partition.high_watermark);
    }
}

void replica_watch_equal(struct replica_watch *watch, int p, const struct replica_log *a, const struct replica_log *b)
{
    uint64_t offset = a->start > b->start ? a->start : b->start;

    if (a->end != b->end) {
        replica_watch_violate(watch, "p%d: logs end at %llu and %llu after all is healed", p, (unsigned long long)a->end,
                              (unsigned long long)b->end);
        return;
    }
    while (offset < a->end) {
        const struct replica_log_batch *x = replica_log_find(a, offset), *y = replica_log_find(b, offset);

        if (x == NULL || y == NULL || x->base != y->base || x->crc != y->crc || x->epoch != y->epoch) {
            replica_watch_violate(watch, "p%d: logs differ at %llu after all is healed", p, (unsigned long long)offset);
            return;
        }
        offset = x->base + x->count;
    }
}
