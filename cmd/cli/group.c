/* mesh group list, describe, lag, delete: consumer groups as the asked broker knows them. */
#include "base/error.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/table.h"

#include <mesh/group.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- list ---- */

static void write_info(struct json_writer *json, const struct mesh_group_info *info)
{
    json_writer_key(json, "group");
    json_writer_text(json, info->group);
    json_writer_key(json, "state");
    json_writer_text(json, info->state);
    json_writer_key(json, "protocol");
    json_writer_text(json, info->protocol);
    json_writer_key(json, "generation");
    json_writer_unsigned(json, info->generation);
    json_writer_key(json, "age_ms");
    json_writer_integer(json, info->age_ms);
}

static int list_json(const struct mesh_groups *groups, struct buffer *text)
{
    struct json_writer json;

    json_writer_init(&json, text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "groups");
    json_writer_begin_array(&json);
    for (size_t i = 0; i < mesh_groups_count(groups); i++) {
        const struct mesh_group_info *info = mesh_groups_get(groups, i);

        json_writer_begin_object(&json);
        write_info(&json, info);
        json_writer_key(&json, "members");
        json_writer_unsigned(&json, info->members);
        json_writer_key(&json, "topics");
        json_writer_unsigned(&json, info->topics);
        json_writer_key(&json, "offsets");
        json_writer_unsigned(&json, info->offsets);
        json_writer_end_object(&json);
    }
    json_writer_end_array(&json);
    json_writer_end_object(&json);
    return json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(text, "\n", 1);
}

static int list_table(const struct mesh_groups *groups, struct buffer *text)
{
    static const struct table_column columns[] = {{"GROUP", false}, {"STATE", false}, {"MEMBERS", true}, {"TOPICS", true}, {"OFFSETS", true}};
    struct table table;
    int err;

    if (mesh_groups_count(groups) == 0)
        return buffer_append_string(text, terminal_is(STDOUT_FILENO) ? "no consumer groups yet; 'mesh consume TOPIC --group NAME' begins one\n" : "");
    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < mesh_groups_count(groups); i++) {
        const struct mesh_group_info *info = mesh_groups_get(groups, i);
        char offsets[TERMINAL_FIGURE_SIZE];

        table_cell(&table, "%s", info->group);
        table_cell(&table, "%s", info->state);
        table_cell(&table, "%u", info->members);
        table_cell(&table, "%u", info->topics);
        table_cell(&table, "%s", terminal_count(info->offsets, offsets));
    }
    err = table_write(&table, text, terminal_has_colours(STDOUT_FILENO));
    table_deinit(&table);
    return err;
}

static int list_names(const struct mesh_groups *groups, struct buffer *text)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < mesh_groups_count(groups); i++)
        err = buffer_printf(text, "%s\n", mesh_groups_get(groups, i)->group);
    return err;
}

int command_group_list(const struct arguments *arguments)
{
    struct buffer text = BUFFER_INIT;
    struct mesh_groups *groups;
    struct session session;
    int err, code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    err = mesh_group_list(session.client, &groups);
    if (err != 0) {
        code = (int)session_fail(&session, err, "listing groups");
    } else {
        if (session.is_json)
            err = list_json(groups, &text);
        else
            err = arguments_has(arguments, "names") ? list_names(groups, &text) : list_table(groups, &text);
        mesh_groups_free(groups);
        code = standard_output_finish(&text, err);
    }
    session_close(&session);
    return code;
}

/* ---- describe ---- */

static void write_number(struct json_writer *json, const char *key, int64_t number)
{
    json_writer_key(json, key);
    if (number >= 0)
        json_writer_integer(json, number);
    else
        json_writer_null(json);
}

static void write_name(struct json_writer *json, const char *key, const char *name)
{
    json_writer_key(json, key);
    if (name[0] != '\0')
        json_writer_text(json, name);
    else
        json_writer_null(json);
}

static void write_member(struct json_writer *json, const struct mesh_group_member_info *member)
{
    json_writer_begin_object(json);
    json_writer_key(json, "member");
    json_writer_text(json, member->id);
    write_name(json, "instance", member->instance);
    json_writer_key(json, "client");
    json_writer_text(json, member->client);
    json_writer_key(json, "host");
    json_writer_text(json, member->host);
    json_writer_key(json, "zone");
    json_writer_text(json, member->zone);
    json_writer_key(json, "session_ms");
    json_writer_unsigned(json, member->session_ms);
    json_writer_key(json, "partitions");
    json_writer_unsigned(json, member->partitions);
    json_writer_end_object(json);
}

static void write_partition(struct json_writer *json, const struct mesh_group_partition_info *partition)
{
    json_writer_begin_object(json);
    write_name(json, "topic", partition->topic);
    json_writer_key(json, "topic_id");
    json_writer_text(json, partition->topic_id);
    json_writer_key(json, "partition");
    json_writer_integer(json, partition->partition);
    write_number(json, "committed", partition->committed);
    write_number(json, "high_watermark", partition->high_watermark);
    write_number(json, "lag", partition->lag);
    write_name(json, "owner", partition->owner);
    write_name(json, "target", partition->target);
    write_number(json, "committed_at_ms", partition->committed_ms > 0 ? partition->committed_ms : -1);
    write_number(json, "high_watermark_age_ms", partition->high_watermark_age_ms);
    json_writer_end_object(json);
}

static int describe_json(const struct mesh_group_description *description, struct buffer *text)
{
    struct json_writer json;

    json_writer_init(&json, text);
    json_writer_begin_object(&json);
    write_info(&json, &description->info);
    write_number(&json, "coordinator", description->coordinator);
    json_writer_key(&json, "members");
    if (description->has_members) {
        json_writer_begin_array(&json);
        for (size_t i = 0; i < description->member_count; i++)
            write_member(&json, &description->members[i]);
        json_writer_end_array(&json);
    } else {
        json_writer_null(&json);
    }
    json_writer_key(&json, "offsets");
    json_writer_begin_array(&json);
    for (size_t i = 0; i < description->partition_count; i++)
        write_partition(&json, &description->partitions[i]);
    json_writer_end_array(&json);
    json_writer_end_object(&json);
    return json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(text, "\n", 1);
}

static void number_cell(struct table *table, int64_t number)
{
    char text[TERMINAL_FIGURE_SIZE];

    table_cell(table, "%s", number >= 0 ? terminal_count((uint64_t)number, text) : "-");
}

/* Who it is, as people know it. */
static const char *name_of(const struct mesh_group_description *description, const char *id)
{
    for (size_t i = 0; i < description->member_count; i++)
        if (strcmp(description->members[i].id, id) == 0 && description->members[i].instance[0] != '\0') return description->members[i].instance;
    return id[0] != '\0' ? id : "-";
}

static const char *topic_of(const struct mesh_group_partition_info *partition, char *to, size_t size)
{
    if (partition->topic[0] != '\0') return partition->topic;
    snprintf(to, size, "deleted topic %s", partition->topic_id);
    return to;
}

static int partition_table(const struct mesh_group_description *description, struct buffer *text)
{
    static const struct table_column columns[] = {{"TOPIC", false}, {"PARTITION", true}, {"COMMITTED", true}, {"END", true}, {"LAG", true}, {"MEMBER", false}};
    struct table table;
    char name[64];
    int err;

    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < description->partition_count; i++) {
        const struct mesh_group_partition_info *partition = &description->partitions[i];
        const char *owner = name_of(description, partition->owner);

        table_cell(&table, "%s", topic_of(partition, name, sizeof(name)));
        table_cell(&table, "%d", partition->partition);
        number_cell(&table, partition->committed);
        number_cell(&table, partition->high_watermark);
        number_cell(&table, partition->lag);
        if (strcmp(partition->owner, partition->target) == 0 || partition->target[0] == '\0')
            table_cell(&table, "%s", owner);
        else
            table_cell(&table, "%s -> %s", owner, name_of(description, partition->target));
    }
    err = table_write(&table, text, terminal_has_colours(STDOUT_FILENO));
    table_deinit(&table);
    return err;
}

static int member_table(const struct mesh_group_description *description, struct buffer *text)
{
    static const struct table_column columns[] = {{"MEMBER", false}, {"INSTANCE", false}, {"CLIENT", false}, {"HOST", false}, {"PARTITIONS", true}};
    struct table table;
    int err;

    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < description->member_count; i++) {
        const struct mesh_group_member_info *member = &description->members[i];

        table_cell(&table, "%s", member->id);
        table_cell(&table, "%s", member->instance[0] != '\0' ? member->instance : "-");
        table_cell(&table, "%s", member->client[0] != '\0' ? member->client : "-");
        table_cell(&table, "%s", member->host[0] != '\0' ? member->host : "-");
        table_cell(&table, "%u", member->partitions);
    }
    err = table_write(&table, text, terminal_has_colours(STDOUT_FILENO));
    table_deinit(&table);
    return err;
}

static int describe_text(const struct mesh_group_description *description, struct buffer *text)
{
    const struct mesh_group_info *info = &description->info;
    char age[TERMINAL_FIGURE_SIZE];
    int err = buffer_printf(text, "Group       %s\nState       %s, generation %u\n", info->group, info->state, info->generation);

    if (err == 0 && description->coordinator >= 0) err = buffer_printf(text, "Coordinator broker %d\n", description->coordinator);
    if (err == 0 && info->age_ms > 0) err = buffer_printf(text, "As of       %s ago\n", terminal_seconds((double)info->age_ms / 1000, age));
    if (err == 0 && !description->has_members) err = buffer_printf(text, "Members     %u; the asked broker does not know who they are\n", info->members);
    if (err == 0 && description->member_count > 0) err = buffer_append_string(text, "\n");
    if (err == 0 && description->member_count > 0) err = member_table(description, text);
    if (err == 0 && description->partition_count > 0) err = buffer_append_string(text, "\n");
    if (err == 0 && description->partition_count > 0) err = partition_table(description, text);
    return err;
}

int command_group_describe(const struct arguments *arguments)
{
    const char *group = arguments->operands[0];
    struct mesh_group_details *details;
    struct buffer text = BUFFER_INIT;
    struct session session;
    int err, code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    err = mesh_group_describe(session.client, group, &details);
    if (err != 0) {
        code = (int)session_fail(&session, err, "describing group '%s'", group);
    } else {
        const struct mesh_group_description *description = mesh_group_description(details);
        err = session.is_json ? describe_json(description, &text) : describe_text(description, &text);
        mesh_group_details_free(details);
        code = standard_output_finish(&text, err);
    }
    session_close(&session);
    return code;
}

/* ---- lag ---- */

struct lag {
    int64_t sum, partitions, behind, unknown; /* partitions: with a known lag */
};

static struct lag lag_of(const struct mesh_group_description *description)
{
    struct lag lag = {0, 0, 0, 0};

    for (size_t i = 0; i < description->partition_count; i++) {
        if (description->partitions[i].lag < 0) {
            lag.unknown++;
            continue;
        }
        lag.partitions++;
        lag.sum += description->partitions[i].lag;
        lag.behind += description->partitions[i].lag > 0;
    }
    return lag;
}

static int lag_row(struct session *session, const char *group, struct table *table, struct json_writer *json)
{
    struct mesh_group_details *details;
    struct lag lag;
    int err = mesh_group_describe(session->client, group, &details);

    if (err != 0) return err;
    lag = lag_of(mesh_group_description(details));
    mesh_group_details_free(details);
    if (!session->is_json) {
        table_cell(table, "%s", group);
        number_cell(table, lag.partitions + lag.unknown > 0 && lag.partitions == 0 ? -1 : lag.sum);
        number_cell(table, lag.behind);
        number_cell(table, lag.partitions + lag.unknown);
        return 0;
    }
    json_writer_begin_object(json);
    json_writer_key(json, "group");
    json_writer_text(json, group);
    write_number(json, "lag", lag.partitions + lag.unknown > 0 && lag.partitions == 0 ? -1 : lag.sum);
    json_writer_key(json, "partitions_behind");
    json_writer_integer(json, lag.behind);
    json_writer_key(json, "partitions");
    json_writer_integer(json, lag.partitions + lag.unknown);
    json_writer_key(json, "partitions_unknown");
    json_writer_integer(json, lag.unknown);
    json_writer_end_object(json);
    return 0;
}

/* Of one group, or of all; a group that goes meanwhile is left out. */
static int lag_rows(struct session *session, const char *group, struct table *table, struct json_writer *json)
{
    struct mesh_groups *groups = NULL;
    int err;

    if (group != NULL) return lag_row(session, group, table, json);
    err = mesh_group_list(session->client, &groups);
    for (size_t i = 0; err == 0 && i < mesh_groups_count(groups); i++) {
        err = lag_row(session, mesh_groups_get(groups, i)->group, table, json);
        if (err == MESH_ENOTFOUND) err = 0;
    }
    mesh_groups_free(groups);
    return err;
}

int command_group_lag(const struct arguments *arguments)
{
    static const struct table_column columns[] = {{"GROUP", false}, {"LAG", true}, {"BEHIND", true}, {"PARTITIONS", true}};
    struct buffer text = BUFFER_INIT;
    struct json_writer json;
    struct session session;
    struct table table;
    int err, code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    json_writer_init(&json, &text);
    if (session.is_json) json_writer_begin_object(&json);
    if (session.is_json) json_writer_key(&json, "groups");
    if (session.is_json) json_writer_begin_array(&json);
    err = lag_rows(&session, arguments->operand_count > 0 ? arguments->operands[0] : NULL, &table, &json);
    if (err != 0) {
        code = (int)session_fail(&session, err, "asking for the lag");
        buffer_deinit(&text);
    } else if (session.is_json) {
        json_writer_end_array(&json);
        json_writer_end_object(&json);
        code = standard_output_finish(&text, json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(&text, "\n", 1));
    } else {
        code = standard_output_finish(&text, table_write(&table, &text, terminal_has_colours(STDOUT_FILENO)));
    }
    table_deinit(&table);
    session_close(&session);
    return code;
}

/* ---- delete ---- */

static int confirm(const struct session *session, const char *group, bool is_changed)
{
    struct buffer text = BUFFER_INIT;
    struct json_writer json;
    int err = 0;

    if (session->is_json) {
        json_writer_init(&json, &text);
        json_writer_begin_object(&json);
        json_writer_key(&json, "group");
        json_writer_text(&json, group);
        json_writer_key(&json, "deleted");
        json_writer_boolean(&json, is_changed);
        json_writer_end_object(&json);
        err = json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(&text, "\n", 1);
    } else if (terminal_is(STDOUT_FILENO)) {
        err = buffer_printf(&text, is_changed ? "deleted '%s'\n" : "nothing deleted: '%s'\n", group);
    }
    return standard_output_finish(&text, err);
}

int command_group_delete(const struct arguments *arguments)
{
    const char *group = arguments->operands[0], *topic = arguments_text(arguments, "topic", NULL);
    struct session session;
    int err, code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    err = mesh_group_delete(session.client, group, topic);
    if (err == 0 || (err == MESH_ENOTFOUND && arguments_has(arguments, "if-exists")))
        code = confirm(&session, group, err == 0);
    else
        code = (int)session_fail(&session, err, "deleting group '%s'", group);
    session_close(&session);
    return code;
}
