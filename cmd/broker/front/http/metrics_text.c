/* front/http/metrics_text.c - see metrics_text.h. Families are rows of tables, so that each has its HELP, its
 * TYPE and all its samples together. */
#include "cmd/broker/front/http/metrics_text.h"

#include "base/error.h"
#include "cmd/broker/front/http/metrics_forward.h"
#include "cmd/broker/front/http/metrics_spread.h"
#include "cmd/broker/front/http/metrics_peers.h"
#include "cmd/broker/front/http/metrics_groups.h"
#include "cmd/broker/front/http/metrics_replicas.h"
#include "cmd/broker/front/http/metrics_writer.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/coordinator/topic_name.h"
#include "wire/frame.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* ---- per shard ---- */

struct shard_family {
    const char *name, *type, *help;
    size_t offset; /* of a uint64_t in struct metrics_shard */
};

#define SHARD(field) offsetof(struct metrics_shard, field)

static const struct shard_family shard_families[] = {
    {"mesh_connections", "gauge", "Client connections that are open.", SHARD(connections)},
    {"mesh_connections_accepted_total", "counter", "Connections accepted.", SHARD(connections_accepted)},
    {"mesh_connections_refused_total", "counter", "Connections refused because of the limit.",
     SHARD(connections_refused)},
    {"mesh_connections_closed_total", "counter", "Connections closed by either side.",
     SHARD(connections_closed)},
    {"mesh_logins_total", "counter", "Logins of clients that succeeded.", SHARD(logins)},
    {"mesh_logins_failed_total", "counter", "Logins of clients that failed.", SHARD(logins_failed)},
    {"mesh_protocol_errors_total", "counter",
     "Connections closed because of bytes that no client should send.", SHARD(protocol_errors)},
    {"mesh_received_bytes_total", "counter", "Bytes received from clients.", SHARD(received_bytes)},
    {"mesh_sent_bytes_total", "counter", "Bytes sent to clients.", SHARD(sent_bytes)},
    {"mesh_buffered_bytes", "gauge", "Memory of requests and responses in flight.", SHARD(buffered_bytes)},
    {"mesh_produced_batches_total", "counter", "Record batches appended.", SHARD(produced_batches)},
    {"mesh_produced_records_total", "counter", "Records appended.", SHARD(produced_records)},
    {"mesh_produced_bytes_total", "counter", "Bytes of record batches appended.", SHARD(produced_bytes)},
    {"mesh_produce_duplicates_total", "counter", "Batches that an idempotent producer had sent before.",
     SHARD(produce_duplicates)},
    {"mesh_produce_errors_total", "counter", "Batches refused.", SHARD(produce_errors)},
    {"mesh_fetched_bytes_total", "counter", "Bytes of record batches sent to consumers.",
     SHARD(fetched_bytes)},
    {"mesh_fetch_errors_total", "counter", "Fetches of a partition that failed.", SHARD(fetch_errors)},
    {"mesh_fetch_doubts_total", "counter", "Fetches by which a reader says that what it got before was damaged.", SHARD(fetch_doubts)},
    {"mesh_fetch_doubts_followed_total", "counter", "Such words that sent the scrubber to look: one in ten seconds, of each reader in turn.", SHARD(fetch_doubts_followed)},
    {"mesh_fetches_waiting", "gauge", "Long polls that wait for records.", SHARD(fetch_waiting)},
    {"mesh_mailbox_messages_total", "counter", "Messages received from other threads.",
     SHARD(mailbox_messages)},
    {"mesh_loop_turns_total", "counter", "Turns of the event loop.", SHARD(loop_turns)},
    {"mesh_store_appended_bytes_total", "counter", "Bytes accepted by the store.",
     SHARD(store.appended_bytes)},
    {"mesh_store_appended_batches_total", "counter", "Record batches accepted by the store.",
     SHARD(store.appended_batches)},
    {"mesh_store_appended_records_total", "counter", "Records accepted by the store.",
     SHARD(store.appended_records)},
    {"mesh_store_journal_written_bytes_total", "counter", "Bytes written to the journal.",
     SHARD(store.journal_written_bytes)},
    {"mesh_store_segment_written_bytes_total", "counter", "Bytes written to segments.",
     SHARD(store.segment_written_bytes)},
    {"mesh_store_journal_syncs_total", "counter", "Syncs of the journal.", SHARD(store.journal_sync_count)},
    {"mesh_store_segment_syncs_total", "counter", "Syncs of segments.", SHARD(store.segment_sync_count)},
    {"mesh_store_memory_bytes", "gauge", "Memory of records, in use.", SHARD(store.memory_bytes)},
    {"mesh_store_memory_limit_bytes", "gauge", "Limit of the memory of records.",
     SHARD(store.memory_bytes_max)},
    {"mesh_store_journal_live_bytes", "gauge", "Journal bytes whose records are not yet synced in segments.",
     SHARD(store.journal_live_bytes)},
    {"mesh_store_pending_bytes", "gauge", "Bytes accepted and not yet in segments.",
     SHARD(store.pending_bytes)},
    {"mesh_store_logs", "gauge", "Partition logs.", SHARD(store.log_count)},
    {"mesh_store_segments", "gauge", "Segment files.", SHARD(store.segment_count)},
    {"mesh_store_open_files", "gauge", "Segment files that are open.", SHARD(store.open_file_count)},
    {"mesh_store_scrubbed_bytes_total", "counter", "Bytes re-read and checked in the background.",
     SHARD(store.scrubbed_bytes)},
    {"mesh_store_corrupt_batches_total", "counter", "Stored batches whose checksum was wrong.",
     SHARD(store.corrupt_batches)},
    {"mesh_store_holes", "gauge", "Damaged ranges of records that are not served.", SHARD(store.holes)},
    {"mesh_store_repaired_bytes_total", "counter", "Bytes of damaged ranges that were mended.", SHARD(store.repaired_bytes)},
    {"mesh_replica_compared_bytes_total", "counter", "Bytes whose digests were compared with other replicas.", SHARD(healing.compared_bytes)},
    {"mesh_replica_divergences_total", "counter", "Ranges of sound records in which replicas differed.", SHARD(healing.divergences)},
    {"mesh_replica_refetched_bytes_total", "counter", "Bytes fetched from other replicas to mend damage.", SHARD(healing.fetched_bytes)},
    {"mesh_replica_damaged", "gauge", "Replicas with damaged records that wait to be mended.", SHARD(healing.damaged)},
    {"mesh_store_failed_logs", "gauge", "Partition logs that accept no records after a disk error.",
     SHARD(store.failed_logs)},
};

static uint64_t shard_value(const struct metrics_shard *shard, size_t offset)
{
    uint64_t value;

    memcpy(&value, (const char *)shard + offset, sizeof(value));
    return value;
}

static void write_shard_families(struct metrics_writer *writer, const struct metrics_set *set)
{
    for (size_t i = 0; i < sizeof(shard_families) / sizeof(shard_families[0]); i++) {
        const struct shard_family *row = &shard_families[i];
        metrics_family(writer, row->name, row->type, row->help);
        for (size_t j = 0; j < set->shard_count; j++)
            METRICS_WRITE(writer, "%s{shard=\"%u\"} %llu\n", row->name, set->shards[j]->shard,
                  (unsigned long long)shard_value(set->shards[j], row->offset));
    }
    metrics_family(writer, "mesh_store_failed", "gauge",
           "1 when the journal has failed and the shard accepts no records.");
    for (size_t j = 0; j < set->shard_count; j++)
        METRICS_WRITE(writer, "mesh_store_failed{shard=\"%u\"} %d\n", set->shards[j]->shard,
              set->shards[j]->store.is_failed);
}

static const char *const op_names[METRICS_OP_COUNT] = {
    [0] = "other",
    [FRAME_OP_HELLO] = "hello",
    [FRAME_OP_CLUSTER] = "cluster",
    [FRAME_OP_TOPIC_CREATE] = "topic_create",
    [FRAME_OP_TOPIC_DELETE] = "topic_delete",
    [FRAME_OP_TOPIC_ALTER] = "topic_alter",
    [FRAME_OP_TOPIC_DESCRIBE] = "topic_describe",
    [FRAME_OP_PRODUCE] = "produce",
    [FRAME_OP_FETCH] = "fetch",
    [FRAME_OP_LIST_OFFSETS] = "list_offsets",
    [FRAME_OP_INIT_PRODUCER] = "init_producer",
    [FRAME_OP_STATUS] = "status",
    [FRAME_OP_PING] = "ping",
    [FRAME_OP_MEMBERS] = "members",
    [FRAME_OP_LEAVE] = "leave",
    [FRAME_OP_KEYS] = "keys",
    [FRAME_OP_WHY] = "why",
    [FRAME_OP_REMOVE] = "remove",
    [FRAME_OP_RECOVER] = "recover",
    [FRAME_OP_TOPIC_MOVE] = "topic_move",
    [FRAME_OP_TOPIC_BALANCE] = "topic_balance",
    [FRAME_OP_GROUP_JOIN] = "group_join",
    [FRAME_OP_GROUP_HEARTBEAT] = "group_heartbeat",
    [FRAME_OP_GROUP_CLAIM] = "group_claim",
    [FRAME_OP_GROUP_RELEASE] = "group_release",
    [FRAME_OP_GROUP_COMMIT] = "group_commit",
    [FRAME_OP_GROUP_OFFSETS] = "group_offsets",
    [FRAME_OP_GROUP_LEAVE] = "group_leave",
    [FRAME_OP_GROUP_RESET] = "group_reset",
    [FRAME_OP_GROUP_DELETE] = "group_delete",
    [FRAME_OP_GROUP_LIST] = "group_list",
    [FRAME_OP_GROUP_DESCRIBE] = "group_describe",
    [FRAME_OP_USERS] = "users",
    [FRAME_OP_EVENTS] = "events",
    [FRAME_OP_DRAIN] = "drain",
    [FRAME_OP_CONFIG] = "config",
    [FRAME_OP_TOPIC_TRIM] = "topic_trim",
};

static void write_requests(struct metrics_writer *writer, const struct metrics_set *set, const char *name,
                           const char *help, size_t offset)
{
    metrics_family(writer, name, "counter", help);
    for (size_t j = 0; j < set->shard_count; j++) {
        for (size_t op = 0; op < METRICS_OP_COUNT; op++) {
            if (op_names[op] == NULL) continue;
            METRICS_WRITE(writer, "%s{shard=\"%u\",op=\"%s\"} %llu\n", name, set->shards[j]->shard, op_names[op],
                  (unsigned long long)shard_value(set->shards[j], offset + op * sizeof(uint64_t)));
        }
    }
}

/* ---- histograms ---- */

/* Upper bounds in ns, with their text in seconds. */
static const struct {
    uint64_t ns;
    const char *seconds;
} bounds[] = {
    {25000, "2.5e-05"},   {50000, "5e-05"},       {100000, "0.0001"},     {250000, "0.00025"},
    {500000, "0.0005"},   {1000000, "0.001"},     {2500000, "0.0025"},    {5000000, "0.005"},
    {10000000, "0.01"},   {25000000, "0.025"},    {50000000, "0.05"},     {100000000, "0.1"},
    {250000000, "0.25"},  {500000000, "0.5"},     {1000000000, "1"},      {2500000000ull, "2.5"},
    {5000000000ull, "5"}, {10000000000ull, "10"}, {30000000000ull, "30"},
};

static void write_histogram(struct metrics_writer *writer, const struct metrics_set *set, const char *name,
                            const char *help, size_t offset)
{
    metrics_family(writer, name, "histogram", help);
    for (size_t j = 0; j < set->shard_count; j++) {
        const struct histogram *histogram = (const void *)((const char *)set->shards[j] + offset);
        unsigned shard = set->shards[j]->shard;
        for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++)
            METRICS_WRITE(writer, "%s_bucket{shard=\"%u\",le=\"%s\"} %llu\n", name, shard, bounds[i].seconds,
                  (unsigned long long)histogram_count_at_most(histogram, bounds[i].ns));
        METRICS_WRITE(writer, "%s_bucket{shard=\"%u\",le=\"+Inf\"} %llu\n", name, shard,
              (unsigned long long)histogram->count);
        METRICS_WRITE(writer, "%s_sum{shard=\"%u\"} %.17g\n", name, shard, (double)histogram->sum / 1e9);
        METRICS_WRITE(writer, "%s_count{shard=\"%u\"} %llu\n", name, shard, (unsigned long long)histogram->count);
    }
}

/* ---- per topic ---- */

struct topic_row {
    const char *name;
    struct metrics_topic sum; /* over the shards */
};

struct topic_table {
    struct topic_row *rows; /* owned, ordered by name */
    size_t count;
};

static int compare_rows(const void *a, const void *b)
{
    return strcmp(((const struct topic_row *)a)->name, ((const struct topic_row *)b)->name);
}

static void add_topic(struct metrics_topic *sum, const struct metrics_topic *topic)
{
    sum->partition_count += topic->partition_count;
    sum->produced_batches += topic->produced_batches;
    sum->produced_records += topic->produced_records;
    sum->produced_bytes += topic->produced_bytes;
    sum->fetched_bytes += topic->fetched_bytes;
    sum->stored_bytes += topic->stored_bytes;
}

/* Puts rows of one name into one, and those beyond the limit into a last one. */
static void fold_rows(struct topic_table *table, uint32_t topics_max)
{
    size_t kept = 0, rows_max = (size_t)topics_max + 1;

    for (size_t i = 0; i < table->count; i++) {
        if (kept > 0 && strcmp(table->rows[kept - 1].name, table->rows[i].name) == 0) {
            add_topic(&table->rows[kept - 1].sum, &table->rows[i].sum);
        } else if (kept < rows_max) {
            table->rows[kept++] = table->rows[i];
            if (kept == rows_max) table->rows[kept - 1].name = "(other)";
        } else {
            add_topic(&table->rows[kept - 1].sum, &table->rows[i].sum);
        }
    }
    table->count = kept;
}

/* A row for each topic and shard, then folded. Topics that the image no longer knows are left out. */
static int build_topic_table(const struct metrics_input *input, struct topic_table *table)
{
    size_t room = 0;

    *table = (struct topic_table){NULL, 0};
    for (size_t i = 0; i < input->set->shard_count; i++)
        room += input->set->shards[i]->topic_count;
    if (room == 0) return 0;
    table->rows = malloc(room * sizeof(table->rows[0]));
    if (table->rows == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < input->set->shard_count; i++) {
        const struct metrics_shard *shard = input->set->shards[i];
        for (size_t j = 0; j < shard->topic_count; j++) {
            const struct image_topic *topic = image_find_topic(input->image, &shard->topics[j].topic_id);
            if (topic != NULL && !topic_name_is_internal(topic->name))
                table->rows[table->count++] = (struct topic_row){topic->name, shard->topics[j]};
        }
    }
    qsort(table->rows, table->count, sizeof(table->rows[0]), compare_rows);
    fold_rows(table, input->topics_max);
    return 0;
}

static const struct shard_family topic_families[] = {
    {"mesh_topic_produced_batches_total", "counter", "Record batches appended to the topic.",
     offsetof(struct metrics_topic, produced_batches)},
    {"mesh_topic_produced_records_total", "counter", "Records appended to the topic.",
     offsetof(struct metrics_topic, produced_records)},
    {"mesh_topic_produced_bytes_total", "counter", "Bytes of record batches appended to the topic.",
     offsetof(struct metrics_topic, produced_bytes)},
    {"mesh_topic_fetched_bytes_total", "counter", "Bytes of the topic sent to consumers.",
     offsetof(struct metrics_topic, fetched_bytes)},
    {"mesh_topic_stored_bytes", "gauge", "Bytes of the topic on this broker's disk.",
     offsetof(struct metrics_topic, stored_bytes)},
};

static void write_topics(struct metrics_writer *writer, const struct metrics_input *input)
{
    struct topic_table table;

    if (writer->error == 0) writer->error = build_topic_table(input, &table);
    if (writer->error != 0) return;
    for (size_t i = 0; i < sizeof(topic_families) / sizeof(topic_families[0]); i++) {
        const struct shard_family *row = &topic_families[i];
        metrics_family(writer, row->name, row->type, row->help);
        for (size_t j = 0; j < table.count; j++) {
            uint64_t value;
            memcpy(&value, (const char *)&table.rows[j].sum + row->offset, sizeof(value));
            METRICS_WRITE(writer, "%s{topic=\"%s\"} %llu\n", row->name, table.rows[j].name,
                  (unsigned long long)value);
        }
    }
    metrics_family(writer, "mesh_topic_partitions", "gauge", "Partitions of the topic that this broker keeps a replica of.");
    for (size_t j = 0; j < table.count; j++)
        METRICS_WRITE(writer, "mesh_topic_partitions{topic=\"%s\"} %u\n", table.rows[j].name,
              table.rows[j].sum.partition_count);
    free(table.rows);
}

/* ---- the broker and its process ---- */

static void write_broker(struct metrics_writer *writer, const struct metrics_input *input)
{
    metrics_family(writer, "mesh_build_info", "gauge", "1, with what was built.");
    METRICS_WRITE(writer, "mesh_build_info{version=\"");
    metrics_escaped(writer, input->facts->version);
    METRICS_WRITE(writer, "\"} 1\n");
    metrics_single(writer, "mesh_ready", "gauge", "1 when the broker is recovered and serves.", input->is_ready);
    metrics_single(writer, "mesh_brokers", "gauge", "Registered brokers.", (double)image_broker_count(input->image));
    metrics_single(writer, "mesh_topics", "gauge", "Topics of the mesh.", (double)groups_topic_others(input->image));
    metrics_single(writer, "mesh_partitions", "gauge", "Partitions of the mesh.",
           (double)image_partition_count(input->image));
    metrics_single(writer, "mesh_partitions_led", "gauge", "Partitions that this broker leads.", (double)image_leader_count(input->image, input->facts->self));
    metrics_single(writer, "mesh_metadata_applied_index", "gauge", "Number of the last metadata record applied.",
           (double)image_applied_index(input->image));
    metrics_single(writer, "mesh_metadata_failed", "gauge",
           "1 when the metadata log has failed and accepts no change.", input->facts->metadata_error != 0);
    metrics_single(writer, "mesh_coordinator_known", "gauge", "1 when this broker knows who coordinates the mesh: otherwise nothing can be created or moved.",
           input->facts->coordinator >= 0);
    if (input->facts->tls_expires_s != 0)
        metrics_single(writer, "mesh_tls_certificate_expiry_timestamp_seconds", "gauge", "When the certificate of the port expires, since 1970-01-01 UTC.",
               (double)input->facts->tls_expires_s);
    metrics_single(writer, "mesh_disk_free_bytes", "gauge", "Free space where the data directory lies.",
           (double)input->facts->disk_free_bytes);
    metrics_single(writer, "mesh_disk_free_limit_bytes", "gauge", "Records are refused when less than this is free.",
           (double)input->facts->disk_free_bytes_min);
    metrics_single(writer, "mesh_http_connections", "gauge", "Connections of the http door.",
           input->http_connections);
}

static void write_process(struct metrics_writer *writer, const struct metrics_input *input)
{
    const struct process_stats *process = input->process;

    metrics_single(writer, "process_cpu_seconds_total", "counter", "User and system time spent.",
           process->cpu_seconds);
    metrics_single(writer, "process_resident_memory_bytes", "gauge", "Resident memory.",
           (double)process->resident_bytes);
    metrics_single(writer, "process_virtual_memory_bytes", "gauge", "Virtual memory.",
           (double)process->virtual_bytes);
    metrics_single(writer, "process_open_fds", "gauge", "Open file descriptors.", (double)process->open_fds);
    metrics_single(writer, "process_max_fds", "gauge", "Limit of open file descriptors.", (double)process->max_fds);
    metrics_single(writer, "process_threads", "gauge", "Threads.", (double)process->threads);
    metrics_single(writer, "process_start_time_seconds", "gauge", "When the process started, since 1970-01-01 UTC.",
           (double)input->start_wall_ms / 1e3);
}

int metrics_text_write(const struct metrics_input *input, struct buffer *to)
{
    struct metrics_writer writer = {to, 0};

    write_broker(&writer, input);
    write_process(&writer, input);
    write_shard_families(&writer, input->set);
    write_requests(&writer, input->set, "mesh_requests_total", "Requests received, by operation.",
                   SHARD(requests));
    write_requests(&writer, input->set, "mesh_request_errors_total",
                   "Requests answered with an error, by operation.", SHARD(request_errors));
    write_histogram(&writer, input->set, "mesh_produce_ack_seconds",
                    "From a parsed produce request to its acknowledgement.", SHARD(produce_ack_ns));
    write_histogram(&writer, input->set, "mesh_fetch_wait_seconds",
                    "From a parsed fetch request to its response.", SHARD(fetch_wait_ns));
    write_histogram(&writer, input->set, "mesh_group_answer_seconds", "From a request to a consumer group that is led here to its answer, when it is committed.",
                    SHARD(group_answer_ns));
    write_histogram(&writer, input->set, "mesh_journal_sync_seconds", "One durable write of the journal.",
                    SHARD(sync_ns));
    write_topics(&writer, input);
    metrics_replicas_write(&writer, input);
    metrics_groups_write(&writer, input->set);
    if (input->group_lags != NULL) metrics_group_lags_write(&writer, input->group_lags);
    if (input->peers != NULL) metrics_peers_write(&writer, input->peers);
    if (input->forward != NULL) metrics_forward_write(&writer, input->forward);
    if (input->spread != NULL) metrics_spread_write(&writer, input->spread);
    return writer.error;
}
