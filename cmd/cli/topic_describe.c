/* mesh topic describe */
#include "cmd/cli/commands.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/move_watch.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/table.h"

#include <unistd.h>

static void write_ids(struct json_writer *json, const char *key, const int32_t *ids, size_t count)
{
    json_writer_key(json, key);
    json_writer_begin_array(json);
    for (size_t i = 0; i < count; i++)
        json_writer_integer(json, ids[i]);
    json_writer_end_array(json);
}

/* Of each replica what the table says with signs and words. missing_records is null where the leader has not heard of it. */
static void write_details(struct json_writer *json, const struct mesh_partition_info *partition)
{
    json_writer_key(json, "details");
    json_writer_begin_array(json);
    for (size_t i = 0; i < partition->replica_count; i++) {
        const struct mesh_replica_info *replica = &partition->details[i];

        json_writer_begin_object(json);
        json_writer_key(json, "node_id");
        json_writer_integer(json, replica->node_id);
        json_writer_key(json, "in_sync");
        json_writer_boolean(json, replica->is_in_sync != 0);
        json_writer_key(json, "eligible");
        json_writer_boolean(json, replica->is_eligible != 0);
        json_writer_key(json, "adding");
        json_writer_boolean(json, replica->is_adding != 0);
        json_writer_key(json, "removing");
        json_writer_boolean(json, replica->is_removing != 0);
        json_writer_key(json, "missing_records");
        if (replica->missing_records < 0) json_writer_null(json);
        else json_writer_integer(json, replica->missing_records);
        json_writer_key(json, "missing_bytes");
        json_writer_unsigned(json, replica->missing_bytes);
        json_writer_end_object(json);
    }
    json_writer_end_array(json);
    json_writer_key(json, "queued");
    json_writer_boolean(json, partition->is_queued != 0);
}

static void write_partition(struct json_writer *json, const struct mesh_partition_info *partition)
{
    json_writer_begin_object(json);
    json_writer_key(json, "partition");
    json_writer_integer(json, partition->partition);
    json_writer_key(json, "leader");
    json_writer_integer(json, partition->leader);
    json_writer_key(json, "leader_epoch");
    json_writer_integer(json, partition->leader_epoch);
    write_ids(json, "replicas", partition->replicas, partition->replica_count);
    write_ids(json, "isr", partition->isr, partition->isr_count);
    json_writer_key(json, "high_watermark");
    json_writer_integer(json, partition->high_watermark);
    json_writer_key(json, "log_start");
    json_writer_integer(json, partition->log_start);
    json_writer_key(json, "log_end");
    json_writer_integer(json, partition->log_end);
    json_writer_key(json, "bytes");
    json_writer_unsigned(json, partition->size_bytes);
    write_details(json, partition);
    json_writer_key(json, "problem");
    if (partition->error == 0)
        json_writer_null(json);
    else
        json_writer_text(json, partition->problem[0] != '\0' ? partition->problem
                                                             : mesh_strerror(partition->error));
    json_writer_end_object(json);
}

/* Configurations as an object of texts, in the broker's order; the ones that were set by name, too. */
static void write_configs(struct json_writer *json, const struct mesh_topic_info *topic)
{
    json_writer_key(json, "configs");
    json_writer_begin_object(json);
    for (size_t i = 0; i < topic->config_count; i++) {
        json_writer_key(json, topic->configs[i].key);
        json_writer_text(json, topic->configs[i].value);
    }
    json_writer_end_object(json);
    json_writer_key(json, "configs_set");
    json_writer_begin_array(json);
    for (size_t i = 0; i < topic->config_count; i++)
        if (!topic->configs[i].is_default) json_writer_text(json, topic->configs[i].key);
    json_writer_end_array(json);
}

static int describe_json(const struct mesh_topic_info *topic, struct buffer *text)
{
    struct json_writer json;

    json_writer_init(&json, text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "name");
    json_writer_text(&json, topic->name);
    json_writer_key(&json, "id");
    json_writer_text(&json, topic->id);
    write_configs(&json, topic);
    json_writer_key(&json, "partitions");
    json_writer_begin_array(&json);
    for (size_t i = 0; i < topic->partition_count; i++)
        write_partition(&json, &topic->partitions[i]);
    json_writer_end_array(&json);
    json_writer_end_object(&json);
    return json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(text, "\n", 1);
}

static void cell_ids(struct table *table, const int32_t *ids, size_t count)
{
    struct buffer list = BUFFER_INIT;
    int err = 0;

    for (size_t i = 0; err == 0 && i < count; i++)
        err = buffer_printf(&list, i > 0 ? ",%d" : "%d", ids[i]);
    if (err != 0) table->error = err;
    table_cell(table, "%.*s", (int)list.size, list.data != NULL ? (const char *)list.data : "");
    buffer_deinit(&list);
}

/* "4+,1,2,3-": 4 comes, 3 goes. */
static void cell_replicas(struct table *table, const struct mesh_partition_info *partition)
{
    struct buffer list = BUFFER_INIT;
    int err = 0;

    for (size_t i = 0; err == 0 && i < partition->replica_count; i++) {
        const struct mesh_replica_info *replica = &partition->details[i];

        err = buffer_printf(&list, "%s%d%s", i > 0 ? "," : "", replica->node_id, replica->is_adding ? "+" : replica->is_removing ? "-" : "");
    }
    if (err != 0) table->error = err;
    table_cell(table, "%.*s", (int)list.size, list.data != NULL ? (const char *)list.data : "");
    buffer_deinit(&list);
}

static int append_move(const struct mesh_partition_info *partition, struct buffer *state)
{
    char volume[TERMINAL_FIGURE_SIZE];
    uint64_t total, copied;

    if (!move_copied(partition, &total, &copied)) return 0;
    if (partition->is_queued) return buffer_append_string(state, "a move waits for its turn");
    if (total == 0) return buffer_append_string(state, "moving");
    return buffer_printf(state, "moving: %.0f %% of %s copied", 100. * (double)copied / (double)total,
                         terminal_bytes(total, volume));
}

/* Replicas that ought to be in sync and are not; of the others what they miss for a moment is of no interest. */
static int append_lag(const struct mesh_partition_info *partition, struct buffer *state)
{
    char records[TERMINAL_FIGURE_SIZE];
    int err = 0;

    for (size_t i = 0; i < partition->replica_count && err == 0; i++) {
        const struct mesh_replica_info *replica = &partition->details[i];
        const char *complete = replica->is_eligible ? ", complete as far as was acknowledged" : "";

        if (replica->is_in_sync || replica->is_adding) continue;
        if (state->size > 0) err = buffer_append_string(state, "; ");
        if (err == 0 && replica->missing_records < 0)
            err = buffer_printf(state, "%d does not follow%s", replica->node_id, complete);
        else if (err == 0)
            err = buffer_printf(state, "%d misses %s records%s", replica->node_id, terminal_count((uint64_t)replica->missing_records, records), complete);
    }
    return err;
}

static void cell_state(struct table *table, const struct mesh_partition_info *partition)
{
    struct buffer state = BUFFER_INIT;
    int err = 0;

    if (partition->error != 0)
        err = buffer_append_string(&state, partition->problem[0] != '\0' ? partition->problem : mesh_strerror(partition->error));
    else
        err = append_move(partition, &state);
    if (err == 0 && partition->error == 0) err = append_lag(partition, &state);
    if (err != 0) table->error = err;
    if (state.size == 0) table_cell(table, "ok");
    else table_cell(table, "%.*s", (int)state.size, (const char *)state.data);
    buffer_deinit(&state);
}

static int partition_table(const struct mesh_topic_info *topic, struct buffer *text, bool has_colours)
{
    static const struct table_column columns[] = {
        {"PARTITION", true},      {"LEADER", true},   {"EPOCH", true},
        {"REPLICAS", false},      {"IN SYNC", false}, {"START", true},
        {"HIGH WATERMARK", true}, {"STORED", true},   {"STATE", false}};
    struct table table;
    int err;

    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < topic->partition_count; i++) {
        const struct mesh_partition_info *partition = &topic->partitions[i];
        char bytes[TERMINAL_FIGURE_SIZE];
        table_cell(&table, "%d", partition->partition);
        if (partition->leader < 0)
            table_cell(&table, "none");
        else
            table_cell(&table, "%d", partition->leader);
        table_cell(&table, "%d", partition->leader_epoch);
        cell_replicas(&table, partition);
        cell_ids(&table, partition->isr, partition->isr_count);
        table_cell(&table, "%lld", (long long)partition->log_start);
        table_cell(&table, "%lld", (long long)partition->high_watermark);
        table_cell(&table, "%s", terminal_bytes(partition->size_bytes, bytes));
        cell_state(&table, partition);
    }
    err = table_write(&table, text, has_colours);
    table_deinit(&table);
    return err;
}

static int config_table(const struct mesh_topic_info *topic, struct buffer *text, bool has_colours)
{
    static const struct table_column columns[] = {{"CONFIGURATION", false}, {"VALUE", false}, {"", false}};
    struct table table;
    int err;

    if (topic->config_count == 0) return 0;
    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < topic->config_count; i++) {
        table_cell(&table, "%s", topic->configs[i].key);
        table_cell(&table, "%s", topic->configs[i].value);
        table_cell(&table, "%s", topic->configs[i].is_default ? "default" : "set");
    }
    err = buffer_append(text, "\n", 1);
    if (err == 0) err = table_write(&table, text, has_colours);
    table_deinit(&table);
    return err;
}

static int describe_people(const struct mesh_topic_info *topic, struct buffer *text)
{
    bool has_colours = terminal_has_colours(STDOUT_FILENO);
    int err = buffer_printf(text, "topic %s  (id %s, %zu %s)\n\n", topic->name, topic->id,
                            topic->partition_count, topic->partition_count == 1 ? "partition" : "partitions");

    if (err == 0) err = partition_table(topic, text, has_colours);
    return err != 0 ? err : config_table(topic, text, has_colours);
}

int command_topic_describe(const struct arguments *arguments)
{
    struct buffer text = BUFFER_INIT;
    struct mesh_topic_list *list;
    struct session session;
    int err, code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    err = mesh_topic_describe(session.client, arguments->operands[0], &list);
    if (err != 0) {
        code = (int)session_fail(&session, err, "describing topic '%s'", arguments->operands[0]);
    } else {
        const struct mesh_topic_info *topic = mesh_topic_list_get(list, 0);
        err = session.is_json ? describe_json(topic, &text) : describe_people(topic, &text);
        mesh_topic_list_free(list);
        code = standard_output_finish(&text, err);
    }
    session_close(&session);
    return code;
}
