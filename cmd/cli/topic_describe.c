/* mesh topic describe */
#include "cmd/cli/commands.h"
#include "cmd/cli/json_writer.h"
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
        cell_ids(&table, partition->replicas, partition->replica_count);
        cell_ids(&table, partition->isr, partition->isr_count);
        table_cell(&table, "%lld", (long long)partition->log_start);
        table_cell(&table, "%lld", (long long)partition->high_watermark);
        table_cell(&table, "%s", terminal_bytes(partition->size_bytes, bytes));
        if (partition->error == 0)
            table_cell(&table, "ok");
        else
            table_cell(&table, "%s",
                       partition->problem[0] != '\0' ? partition->problem : mesh_strerror(partition->error));
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
