/* mesh topic create | alter | delete | list */
#include "cmd/cli/commands.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- create, alter, delete ---- */

static int set_pairs(struct mesh_topic_options *options, const struct arguments *arguments)
{
    const char *pair;
    size_t cursor = 0;
    int err = 0;

    while (err == 0 && (pair = arguments_next(arguments, "set", &cursor)) != NULL) {
        const char *equals = strchr(pair, '=');
        char *key = strndup(pair, (size_t)(equals - pair));
        if (key == NULL) return MESH_ENOMEM;
        err = mesh_topic_options_set(options, key, equals + 1);
        free(key);
    }
    return err;
}

/* The options that create and alter share. */
static int make_options(const struct arguments *arguments, struct mesh_topic_options **ret_options)
{
    struct mesh_topic_options *options;
    int err = mesh_topic_options_new(&options);

    if (err != 0) return err;
    if (arguments_has(arguments, "partitions"))
        err = mesh_topic_options_set_partitions(options,
                                                (int32_t)arguments_integer(arguments, "partitions", 0));
    if (err == 0) err = set_pairs(options, arguments);
    if (err != 0) {
        mesh_topic_options_free(options);
        return err;
    }
    *ret_options = options;
    return 0;
}

/* What a change did, for scripts; people see nothing but the exit code and, on a terminal, a line. What the broker remarks on it is for both. */
static int confirm(const struct session *session, const char *verb, const char *name, bool is_changed)
{
    const char *remark = is_changed ? mesh_client_remark(session->client) : "";
    struct buffer text = BUFFER_INIT;
    struct json_writer json;
    int err = 0;

    if (remark[0] != '\0') fprintf(stderr, "mesh: '%s': %s\n", name, remark);

    if (session->is_json) {
        json_writer_init(&json, &text);
        json_writer_begin_object(&json);
        json_writer_key(&json, "name");
        json_writer_text(&json, name);
        json_writer_key(&json, verb);
        json_writer_boolean(&json, is_changed);
        if (remark[0] != '\0') {
            json_writer_key(&json, "warning");
            json_writer_text(&json, remark);
        }
        json_writer_end_object(&json);
        err = json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(&text, "\n", 1);
    } else if (terminal_is(STDOUT_FILENO)) {
        err = buffer_printf(&text, is_changed ? "%s '%s'\n" : "nothing %s: '%s'\n", verb, name);
    }
    return standard_output_finish(&text, err);
}

int command_topic_create(const struct arguments *arguments)
{
    const char *name = arguments->operands[0];
    struct mesh_topic_options *options = NULL;
    struct session session;
    int err, code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    err = make_options(arguments, &options);
    if (err == 0 && arguments_has(arguments, "mode"))
        err = mesh_topic_options_set(options, "mode", arguments_text(arguments, "mode", ""));
    if (err == 0 && arguments_has(arguments, "replicas"))
        err = mesh_topic_options_set_replicas(options, (int32_t)arguments_integer(arguments, "replicas", 0));
    if (err == 0) err = mesh_topic_create(session.client, name, options);
    if (err == 0)
        code = confirm(&session, "created", name, true);
    else if (err == MESH_ETOPIC_EXISTS && arguments_has(arguments, "if-absent"))
        code = confirm(&session, "created", name, false);
    else
        code = (int)session_fail(&session, err, "creating topic '%s'", name);
    mesh_topic_options_free(options);
    session_close(&session);
    return code;
}

int command_topic_alter(const struct arguments *arguments)
{
    const char *name = arguments->operands[0], *key;
    struct mesh_topic_options *options = NULL;
    struct session session;
    size_t cursor = 0;
    int err, code;

    if (!arguments_has(arguments, "partitions") && !arguments_has(arguments, "set") &&
        !arguments_has(arguments, "unset"))
        return (int)failure_usage("topic alter", "nothing to change: give --partitions, --set or --unset");
    code = (int)session_open(arguments, &session);
    if (code != EXIT_DONE) return code;
    err = make_options(arguments, &options);
    while (err == 0 && (key = arguments_next(arguments, "unset", &cursor)) != NULL)
        err = mesh_topic_options_set(options, key, NULL);
    if (err == 0) err = mesh_topic_alter(session.client, name, options);
    if (err == 0)
        code = confirm(&session, "altered", name, true);
    else
        code = (int)session_fail(&session, err, "altering topic '%s'", name);
    mesh_topic_options_free(options);
    session_close(&session);
    return code;
}

int command_topic_delete(const struct arguments *arguments)
{
    const char *name = arguments->operands[0];
    struct session session;
    int err, code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    err = mesh_topic_delete(session.client, name);
    if (err == 0)
        code = confirm(&session, "deleted", name, true);
    else if (err == MESH_EUNKNOWN_TOPIC && arguments_has(arguments, "if-exists"))
        code = confirm(&session, "deleted", name, false);
    else
        code = (int)session_fail(&session, err, "deleting topic '%s'", name);
    session_close(&session);
    return code;
}

/* ---- list ---- */

struct topic_sums {
    uint64_t records, bytes;
    size_t problems; /* partitions that cannot serve */
};

static struct topic_sums sum_topic(const struct mesh_topic_info *topic)
{
    struct topic_sums sums = {0, 0, 0};

    for (size_t i = 0; i < topic->partition_count; i++) {
        const struct mesh_partition_info *partition = &topic->partitions[i];
        if (partition->error != 0) sums.problems++;
        if (partition->high_watermark > partition->log_start)
            sums.records += (uint64_t)(partition->high_watermark - partition->log_start);
        sums.bytes += partition->size_bytes;
    }
    return sums;
}

static int list_json(const struct mesh_topic_list *list, struct buffer *text)
{
    struct json_writer json;

    json_writer_init(&json, text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "topics");
    json_writer_begin_array(&json);
    for (size_t i = 0; i < mesh_topic_list_count(list); i++) {
        const struct mesh_topic_info *topic = mesh_topic_list_get(list, i);
        struct topic_sums sums = sum_topic(topic);
        json_writer_begin_object(&json);
        json_writer_key(&json, "name");
        json_writer_text(&json, topic->name);
        json_writer_key(&json, "id");
        json_writer_text(&json, topic->id);
        json_writer_key(&json, "partitions");
        json_writer_unsigned(&json, topic->partition_count);
        json_writer_key(&json, "records");
        json_writer_unsigned(&json, sums.records);
        json_writer_key(&json, "bytes");
        json_writer_unsigned(&json, sums.bytes);
        json_writer_key(&json, "offline");
        json_writer_unsigned(&json, sums.problems);
        json_writer_end_object(&json);
    }
    json_writer_end_array(&json);
    json_writer_end_object(&json);
    return json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(text, "\n", 1);
}

static int list_table(const struct mesh_topic_list *list, struct buffer *text)
{
    static const struct table_column columns[] = {
        {"TOPIC", false}, {"PARTITIONS", true}, {"RECORDS", true}, {"STORED", true}, {"STATE", false}};
    struct table table;
    int err;

    if (mesh_topic_list_count(list) == 0)
        return buffer_append_string(
            text, terminal_is(STDOUT_FILENO) ? "no topics yet; 'mesh topic create NAME' makes one\n" : "");
    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < mesh_topic_list_count(list); i++) {
        const struct mesh_topic_info *topic = mesh_topic_list_get(list, i);
        struct topic_sums sums = sum_topic(topic);
        char records[TERMINAL_FIGURE_SIZE], bytes[TERMINAL_FIGURE_SIZE];
        table_cell(&table, "%s", topic->name);
        table_cell(&table, "%zu", topic->partition_count);
        table_cell(&table, "%s", terminal_count(sums.records, records));
        table_cell(&table, "%s", terminal_bytes(sums.bytes, bytes));
        if (sums.problems == 0)
            table_cell(&table, "ok");
        else
            table_cell(&table, "%zu partitions offline", sums.problems);
    }
    err = table_write(&table, text, terminal_has_colours(STDOUT_FILENO));
    table_deinit(&table);
    return err;
}

static int list_names(const struct mesh_topic_list *list, struct buffer *text)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < mesh_topic_list_count(list); i++)
        err = buffer_printf(text, "%s\n", mesh_topic_list_get(list, i)->name);
    return err;
}

int command_topic_list(const struct arguments *arguments)
{
    struct buffer text = BUFFER_INIT;
    struct mesh_topic_list *list;
    struct session session;
    int err, code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    err = mesh_topic_describe(session.client, NULL, &list);
    if (err != 0) {
        code = (int)session_fail(&session, err, "listing topics");
    } else {
        if (session.is_json)
            err = list_json(list, &text);
        else
            err = arguments_has(arguments, "names") ? list_names(list, &text) : list_table(list, &text);
        mesh_topic_list_free(list);
        code = standard_output_finish(&text, err);
    }
    session_close(&session);
    return code;
}
