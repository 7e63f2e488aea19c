/* mesh status: what is healthy, what is not, and what to do about it. */
#include "cmd/cli/broker_words.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/recent_events.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/table.h"

#include <stdio.h>
#include <unistd.h>

static void write_voters(struct json_writer *json, const struct mesh_status_info *status)
{
    json_writer_key(json, "voters");
    json_writer_begin_array(json);
    for (size_t i = 0; i < status->voter_count; i++) {
        json_writer_begin_object(json);
        json_writer_key(json, "broker");
        json_writer_text(json, status->voters[i].id);
        json_writer_key(json, "node_id");
        json_writer_integer(json, status->voters[i].node_id);
        json_writer_key(json, "name");
        json_writer_text(json, status->voters[i].name);
        json_writer_key(json, "heard");
        json_writer_boolean(json, status->voters[i].is_heard != 0);
        json_writer_key(json, "learner");
        json_writer_boolean(json, status->voters[i].is_learner != 0);
        json_writer_end_object(json);
    }
    json_writer_end_array(json);
}

static void write_brokers(struct json_writer *json, const struct mesh_status_info *status)
{
    json_writer_key(json, "brokers");
    json_writer_begin_array(json);
    for (size_t i = 0; i < status->broker_count; i++) {
        const struct mesh_broker_info *broker = &status->brokers[i];
        char address[300];
        snprintf(address, sizeof(address), "%s:%u", broker->host, (unsigned)broker->port);
        json_writer_begin_object(json);
        json_writer_key(json, "broker");
        json_writer_text(json, broker->id);
        json_writer_key(json, "node_id");
        json_writer_integer(json, broker->node_id);
        json_writer_key(json, "name");
        json_writer_text(json, broker->name);
        json_writer_key(json, "address");
        json_writer_text(json, address);
        json_writer_key(json, "zone");
        json_writer_text(json, broker->zone);
        json_writer_key(json, "role");
        json_writer_text(json, broker_words_role(status, broker));
        json_writer_key(json, "state");
        json_writer_text(json, broker_words_state(broker));
        json_writer_key(json, "witness");
        json_writer_boolean(json, broker->is_witness != 0);
        json_writer_end_object(json);
    }
    json_writer_end_array(json);
}

static void write_problems(struct json_writer *json, const struct mesh_status_info *status)
{
    json_writer_key(json, "problems");
    json_writer_begin_array(json);
    for (size_t i = 0; i < status->problem_count; i++) {
        json_writer_begin_object(json);
        json_writer_key(json, "what");
        json_writer_text(json, status->problems[i].what);
        json_writer_key(json, "meaning");
        json_writer_text(json, status->problems[i].meaning);
        json_writer_key(json, "remedy");
        json_writer_text(json, status->problems[i].remedy);
        json_writer_end_object(json);
    }
    json_writer_end_array(json);
}

static void write_members(struct json_writer *json, const struct mesh_status_info *status)
{
    json_writer_key(json, "members");
    json_writer_begin_object(json);
    json_writer_key(json, "alive");
    json_writer_unsigned(json, status->members_alive);
    json_writer_key(json, "suspect");
    json_writer_unsigned(json, status->members_suspect);
    json_writer_key(json, "dead");
    json_writer_unsigned(json, status->members_dead);
    json_writer_key(json, "left");
    json_writer_unsigned(json, status->members_left);
    json_writer_end_object(json);
}

static bool is_healthy(const struct mesh_status_info *status)
{
    return status->problem_count == 0 && status->partitions_offline == 0 && status->partitions_under_replicated == 0;
}

static int status_json(const struct mesh_status_info *status, const struct recent_events *recent, struct buffer *text)
{
    struct json_writer json;

    json_writer_init(&json, text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "cluster");
    json_writer_text(&json, status->cluster_id);
    json_writer_key(&json, "coordinator");
    if (broker_words_coordinator(status) != NULL)
        json_writer_text(&json, broker_words_coordinator(status));
    else
        json_writer_null(&json);
    write_brokers(&json, status);
    write_voters(&json, status);
    write_members(&json, status);
    json_writer_key(&json, "topics");
    json_writer_unsigned(&json, status->topics);
    json_writer_key(&json, "partitions");
    json_writer_begin_object(&json);
    json_writer_key(&json, "total");
    json_writer_unsigned(&json, status->partitions);
    json_writer_key(&json, "under_replicated");
    json_writer_unsigned(&json, status->partitions_under_replicated);
    json_writer_key(&json, "offline");
    json_writer_unsigned(&json, status->partitions_offline);
    json_writer_key(&json, "at_risk");
    json_writer_unsigned(&json, status->partitions_at_risk);
    json_writer_key(&json, "moving");
    json_writer_unsigned(&json, status->partitions_moving);
    json_writer_key(&json, "queued");
    json_writer_unsigned(&json, status->partitions_queued);
    json_writer_end_object(&json);
    write_problems(&json, status);
    json_writer_key(&json, "healthy");
    json_writer_boolean(&json, is_healthy(status));
    recent_events_json(recent, &json);
    json_writer_key(&json, "uptime_ms");
    json_writer_unsigned(&json, status->uptime_ms);
    json_writer_key(&json, "stored_bytes");
    json_writer_unsigned(&json, status->stored_bytes);
    json_writer_key(&json, "disk_free_bytes");
    json_writer_unsigned(&json, status->disk_free_bytes);
    json_writer_key(&json, "version");
    json_writer_text(&json, status->version);
    json_writer_end_object(&json);
    return json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(text, "\n", 1);
}

static int append_problems(const struct mesh_status_info *status, const struct recent_events *recent, struct buffer *text, bool has_colours)
{
    int err;

    if (is_healthy(status)) {
        err = table_coloured(text, COLOUR_GREEN, "healthy", has_colours);
        return err != 0 ? err : buffer_append_string(text, "\n");
    }
    err = table_coloured(text, COLOUR_RED, "not healthy", has_colours);
    if (err == 0) err = buffer_append_string(text, "\n");
    for (size_t i = 0; err == 0 && i < status->problem_count; i++) {
        const struct mesh_problem_info *problem = &status->problems[i];
        err = buffer_append_string(text, "  ");
        if (err == 0) err = table_coloured(text, COLOUR_YELLOW, problem->what, has_colours);
        if (err == 0)
            err = buffer_printf(text, "\n    what it means: %s\n    what to do:    %s\n", problem->meaning,
                                problem->remedy);
    }
    return err != 0 ? err : recent_events_people(recent, text);
}

static int append_brokers(const struct mesh_status_info *status, struct buffer *text, bool has_colours)
{
    static const struct table_column columns[] = {
        {"BROKER", false}, {"ADDRESS", false}, {"ID", true}, {"ZONE", false}, {"ROLE", false}, {"STATE", false}};
    struct table table;
    int err;

    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < status->broker_count; i++) {
        const struct mesh_broker_info *broker = &status->brokers[i];
        table_cell(&table, "%s", broker->name);
        table_cell(&table, "%s:%u", broker->host, (unsigned)broker->port);
        table_cell(&table, "%d", broker->node_id);
        table_cell(&table, "%s", broker->zone[0] != '\0' ? broker->zone : "-");
        table_cell(&table, "%s", broker_words_role(status, broker));
        table_cell(&table, "%s", broker_words_state(broker));
    }
    err = buffer_append_string(text, "\n");
    if (err == 0) err = table_write(&table, text, has_colours);
    table_deinit(&table);
    return err;
}

static int status_people(const struct mesh_status_info *status, const struct recent_events *recent, struct buffer *text)
{
    char topics[TERMINAL_FIGURE_SIZE], partitions[TERMINAL_FIGURE_SIZE], stored[TERMINAL_FIGURE_SIZE];
    char free_space[TERMINAL_FIGURE_SIZE], uptime[TERMINAL_FIGURE_SIZE];
    bool has_colours = terminal_has_colours(STDOUT_FILENO);
    int err = append_problems(status, recent, text, has_colours);

    if (err == 0)
        err = buffer_printf(text, "cluster     %s (mesh %s, up %s)\n", status->cluster_id, status->version,
                            terminal_seconds((double)status->uptime_ms / 1e3, uptime));
    if (err == 0)
        err = buffer_printf(text, "members     %u alive, %u suspect, %u dead, %u left ('mesh members' names them)\n",
                            status->members_alive, status->members_suspect, status->members_dead, status->members_left);
    if (err == 0)
        err = buffer_printf(text, "topics      %s with %s partition%s; %u under-replicated, %u at risk, %u offline\n",
                            terminal_count(status->topics, topics),
                            terminal_count(status->partitions, partitions), status->partitions == 1 ? "" : "s",
                            status->partitions_under_replicated, status->partitions_at_risk, status->partitions_offline);
    if (err == 0 && status->partitions_moving != 0)
        err = buffer_printf(text, "moves       %u partition%s on the move, %u of them waiting for their turn ('mesh topic describe' shows how far)\n",
                            status->partitions_moving, status->partitions_moving == 1 ? "" : "s", status->partitions_queued);
    if (err == 0)
        err = buffer_printf(text, "stored      %s; %s free on the disk\n",
                            terminal_bytes(status->stored_bytes, stored),
                            terminal_bytes(status->disk_free_bytes, free_space));
    return err != 0 ? err : append_brokers(status, text, has_colours);
}

/* What is wrong is told with what happened last; what is well costs one request. */
static int show(const struct session *session, const struct mesh_status_info *status)
{
    struct recent_events recent = {0};
    struct buffer text = BUFFER_INIT;
    int err;

    if (!is_healthy(status)) recent_events_get(session->client, &recent);
    err = session->is_json ? status_json(status, &recent, &text) : status_people(status, &recent, &text);
    recent_events_deinit(&recent);
    return standard_output_finish(&text, err);
}

int command_status(const struct arguments *arguments)
{
    struct mesh_status *status;
    struct session session;
    int err, code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    err = mesh_status_get(session.client, &status);
    if (err != 0) {
        code = (int)session_fail(&session, err, "asking for the status");
    } else {
        code = show(&session, mesh_status_info(status));
        if (code == EXIT_DONE && arguments_has(arguments, "check") && !is_healthy(mesh_status_info(status))) code = EXIT_FAILED;
        mesh_status_free(status);
    }
    session_close(&session);
    return code;
}
