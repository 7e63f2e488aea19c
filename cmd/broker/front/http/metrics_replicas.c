/* front/http/metrics_replicas.c - see metrics_replicas.h. README.md says which of Kafka's these stand for. */
#include "cmd/broker/front/http/metrics_replicas.h"

#include "replication/coordinator/replica_facts.h"

#include <stddef.h>
#include <string.h>

struct replicas_family {
    const char *name, *type, *help;
    size_t offset; /* of a uint64_t in struct metrics_replicas */
};

#define REPLICAS(field) offsetof(struct metrics_replicas, field)

static const struct replicas_family families[] = {
    {"mesh_replica_leaders", "gauge", "Replicated partitions that this broker leads.", REPLICAS(leaders)},
    {"mesh_replica_followers", "gauge", "Replicated partitions that this broker follows.", REPLICAS(followers)},
    {"mesh_replica_leaderless", "gauge", "Replicated partitions that this broker keeps and nobody leads.", REPLICAS(leaderless)},
    {"mesh_replica_under_replicated", "gauge", "Partitions led here of which a replica is not in sync.", REPLICAS(under_replicated)},
    {"mesh_replica_under_min_insync", "gauge", "Partitions led here with fewer replicas in sync than min.insync (mode quorum: than a majority).",
     REPLICAS(under_min_insync)},
    {"mesh_replica_at_min_insync", "gauge", "Partitions led here with just as many replicas in sync as min.insync.", REPLICAS(at_min_insync)},
    {"mesh_replica_followers_detached", "gauge", "Followers of partitions led here that do not follow now.", REPLICAS(followers_detached)},
    {"mesh_replica_lag_records_max", "gauge", "Records that the follower furthest behind misses, of partitions led here.", REPLICAS(lag_records_max)},
    {"mesh_replica_isr_shrinks_total", "counter", "Times that a partition led here lost replicas from its ISR.", REPLICAS(isr_shrinks)},
    {"mesh_replica_isr_expands_total", "counter", "Times that replicas joined the ISR of a partition led here.", REPLICAS(isr_expands)},
    {"mesh_replica_sent_bytes_total", "counter", "Bytes of record batches sent to followers.", REPLICAS(sent_bytes)},
    {"mesh_replica_sent_late_bytes_total", "counter", "Those that went to followers that were not in sync.", REPLICAS(sent_late_bytes)},
    {"mesh_replica_received_bytes_total", "counter", "Bytes of record batches taken from leaders.", REPLICAS(received_bytes)},
    {"mesh_replica_lies_total", "counter", "Replication streams ended because the peer said what no honest one can.", REPLICAS(lies)},
    {"mesh_replica_damaged_batches_total", "counter", "Record batches from leaders that failed their checksum and were not taken.",
     REPLICAS(damaged_batches)},
    {"mesh_replica_truncations_total", "counter", "Logs that were cut because their leader's history is another.", REPLICAS(cuts)},
    {"mesh_replica_truncated_records_total", "counter", "Records that went with that.", REPLICAS(cut_records)},
    {"mesh_replica_committed_truncations_total", "counter", "Cuts below what had been committed: acknowledged records were given up.",
     REPLICAS(committed_cuts)},
    {"mesh_replica_unclean_elections_total", "counter", "Elections of leaders here that may have lost acknowledged records.", REPLICAS(losses)},
};

static uint64_t value_of(const struct metrics_replicas *replicas, size_t offset)
{
    uint64_t value;

    memcpy(&value, (const char *)replicas + offset, sizeof(value));
    return value;
}

static void write_shards(struct metrics_writer *writer, const struct metrics_set *set)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        metrics_family(writer, families[i].name, families[i].type, families[i].help);
        for (size_t j = 0; j < set->shard_count; j++)
            METRICS_WRITE(writer, "%s{shard=\"%u\"} %llu\n", families[i].name, set->shards[j]->shard,
                          (unsigned long long)value_of(&set->shards[j]->replicas, families[i].offset));
    }
    metrics_family(writer, "mesh_replica_streams", "gauge", "Replication streams; in: of brokers that follow this one.");
    for (size_t j = 0; j < set->shard_count; j++) {
        const struct metrics_replicas *replicas = &set->shards[j]->replicas;

        METRICS_WRITE(writer, "mesh_replica_streams{shard=\"%u\",direction=\"in\"} %llu\n", set->shards[j]->shard,
                      (unsigned long long)replicas->streams_in);
        METRICS_WRITE(writer, "mesh_replica_streams{shard=\"%u\",direction=\"out\"} %llu\n", set->shards[j]->shard,
                      (unsigned long long)replicas->streams_out);
    }
}

/* The whole mesh's, as this broker's image has them: alike on all brokers, so not to be added up. */
static void write_mesh(struct metrics_writer *writer, const struct image *image)
{
    struct replica_facts facts;

    replica_facts_collect(image, &facts);
    metrics_single(writer, "mesh_partitions_offline", "gauge", "Partitions of the mesh that nobody leads.", (double)facts.offline.count);
    metrics_single(writer, "mesh_partitions_lost", "gauge", "Those of which no complete replica is left.", (double)facts.lost.count);
    metrics_single(writer, "mesh_partitions_under_replicated", "gauge", "Partitions of the mesh of which a replica is not in sync.",
                   (double)facts.under_replicated.count);
    metrics_single(writer, "mesh_partitions_under_min_insync", "gauge", "Partitions of the mesh that refuse acks=all.", (double)facts.refusing.count);
    metrics_single(writer, "mesh_partitions_at_risk", "gauge", "Partitions of the mesh that one more failure would stop.",
                   (double)facts.at_risk.count);
    metrics_single(writer, "mesh_partitions_moving", "gauge", "Partitions of the mesh of which replicas are on the move.",
                   (double)facts.moving.count);
    metrics_single(writer, "mesh_partitions_reset", "gauge", "Partitions of the mesh that may have lost acknowledged records at some time.",
                   (double)facts.reset.count);
}

void metrics_replicas_write(struct metrics_writer *writer, const struct metrics_input *input)
{
    write_mesh(writer, input->image);
    write_shards(writer, input->set);
}
