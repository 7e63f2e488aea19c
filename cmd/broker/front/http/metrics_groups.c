/* front/http/metrics_groups.c - see metrics_groups.h. */
#include "cmd/broker/front/http/metrics_groups.h"

#include "cmd/broker/groups/lag.h"

#include <stddef.h>
#include <string.h>

#define GROUPS(field) offsetof(struct metrics_groups, field)

static const struct {
    const char *name, *type, *help;
    size_t offset; /* of a uint64_t in struct metrics_groups */
} families[] = {
    {"mesh_group_partitions", "gauge", "Partitions in which consumer groups live that are kept here.", GROUPS(replicas)},
    {"mesh_group_partitions_led", "gauge", "Those that are led here: they answer for their groups.", GROUPS(leads)},
    {"mesh_group_partitions_stopped", "gauge", "Those whose log holds what this broker cannot follow: they lead nothing.", GROUPS(stopped)},
    {"mesh_groups_led", "gauge", "Consumer groups that are led here.", GROUPS(groups)},
    {"mesh_group_members", "gauge", "Their members.", GROUPS(members)},
    {"mesh_group_offsets", "gauge", "Their committed offsets.", GROUPS(offsets)},
    {"mesh_group_offset_bytes", "gauge", "Memory of the committed offsets of all group partitions that are kept here.", GROUPS(offset_bytes)},
    {"mesh_group_log_bytes", "gauge", "Bytes of the logs of group partitions that are led here.", GROUPS(log_bytes)},
    {"mesh_group_waiting", "gauge", "Answers that wait until what they say is committed.", GROUPS(waiting)},
    {"mesh_group_requests_total", "counter", "Requests to groups that are led here.", GROUPS(requests)},
    {"mesh_group_refused_total", "counter", "Those that were answered with an error.", GROUPS(refused)},
    {"mesh_group_records_total", "counter", "Records that they brought.", GROUPS(records)},
    {"mesh_group_batches_total", "counter", "Batches in which those were appended.", GROUPS(batches)},
    {"mesh_group_proofs_total", "counter", "Empty batches appended to prove that nobody else leads.", GROUPS(proofs)},
    {"mesh_group_rebuilds_total", "counter", "Times that a state was read from its log anew.", GROUPS(rebuilds)},
    {"mesh_group_applied_records_total", "counter", "Records that were read from logs and applied.", GROUPS(rebuilt_records)},
    {"mesh_group_members_expired_total", "counter", "Members of which nothing was heard for all of their session.", GROUPS(expired)},
    {"mesh_group_members_slow_total", "counter", "Times that a member held partitions beyond its own limit, and they were given on.", GROUPS(slow)},
    {"mesh_group_assignments_total", "counter", "Generations of groups.", GROUPS(assigned)},
    {"mesh_groups_expired_total", "counter", "Groups without members that were forgotten.", GROUPS(deleted)},
    {"mesh_group_rescues_total", "counter", "Times that a group partition was led after all its complete replicas had been lost.", GROUPS(rescues)},
    {"mesh_group_rescued_offsets_total", "counter", "Offsets that were put back then, from what other brokers had heard.", GROUPS(rescued_offsets)},
};

static uint64_t value_of(const struct metrics_groups *groups, size_t offset)
{
    uint64_t value;

    memcpy(&value, (const char *)groups + offset, sizeof(value));
    return value;
}

void metrics_groups_write(struct metrics_writer *writer, const struct metrics_set *set)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        metrics_family(writer, families[i].name, families[i].type, families[i].help);
        for (size_t j = 0; j < set->shard_count; j++)
            METRICS_WRITE(writer, "%s{shard=\"%u\"} %llu\n", families[i].name, set->shards[j]->shard,
                          (unsigned long long)value_of(&set->shards[j]->groups, families[i].offset));
    }
}

void metrics_group_lags_write(struct metrics_writer *writer, const struct group_lags *lags)
{
    uint64_t age_ms = 0, unknown = 0;

    metrics_family(writer, "mesh_group_lag", "gauge", "Records behind what a group has committed in a topic, as far as this broker has heard of both; of the first groups by name.");
    for (size_t i = 0; i < lags->count; i++) {
        METRICS_WRITE(writer, "mesh_group_lag{group=\"");
        metrics_escaped(writer, lags->rows[i].group);
        METRICS_WRITE(writer, "\",topic=\"%s\"} %llu\n", lags->rows[i].topic_name, (unsigned long long)lags->rows[i].lag);
        unknown += lags->rows[i].unknown;
        if (lags->rows[i].age_ms > age_ms) age_ms = lags->rows[i].age_ms;
    }
    metrics_single(writer, "mesh_group_lag_age_seconds", "gauge", "How old the oldest end in these is at most.", (double)age_ms / 1e3);
    metrics_single(writer, "mesh_group_lag_unknown_partitions", "gauge", "Partitions in these of which nobody has told where they end.", (double)unknown);
    metrics_single(writer, "mesh_group_lag_left_out", "gauge", "Committed offsets, or groups with a topic, that are in none of these: there are too many.", (double)lags->left_out);
}
