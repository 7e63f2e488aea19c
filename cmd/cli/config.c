/* mesh config list | get | set | unset: what brokers' settings stand at, and changes while they run. */
#include "cmd/cli/broker_choice.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/suggest.h"
#include "cmd/cli/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHANGES_MAX  32 /* as the command table has it */
#define SETTINGS_MAX 512
#define KEY_SIZE     128

static const char *source_name(uint32_t source)
{
    static const char *const names[] = {"default", "set", "file", "environment", "option"};

    return source < sizeof(names) / sizeof(names[0]) ? names[source] : "other";
}

static const char *scope_name(uint32_t scope)
{
    static const char *const names[] = {"broker", "mesh", "new topics"};

    return scope < sizeof(names) / sizeof(names[0]) ? names[scope] : "other";
}

static const struct mesh_setting_info *find(const struct mesh_settings_info *info, const char *key)
{
    for (size_t i = 0; i < info->setting_count; i++)
        if (strcmp(info->settings[i].key, key) == 0) return &info->settings[i];
    return NULL;
}

/* ---- JSON ---- */

static void json_text(struct json_writer *json, const char *key, const char *text)
{
    json_writer_key(json, key);
    json_writer_text(json, text);
}

static void json_setting(struct json_writer *json, const struct mesh_setting_info *setting)
{
    json_text(json, "key", setting->key);
    json_text(json, "value", setting->value);
    json_text(json, "unit", setting->unit);
    json_text(json, "values", setting->values);
    json_text(json, "default", setting->fallback);
    json_text(json, "source", source_name(setting->source));
    json_text(json, "scope", scope_name(setting->scope));
    json_writer_key(json, "live");
    json_writer_boolean(json, setting->is_live != 0);
    json_text(json, "kept", setting->kept);
    json_text(json, "at_start", setting->at_start[0] != '\0' ? setting->at_start : setting->value);
    json_text(json, "help", setting->help);
}

static int finish_line(struct json_writer *json, struct buffer *text)
{
    return json_writer_error(json) != 0 ? MESH_ENOMEM : buffer_append(text, "\n", 1);
}

static int json_list(const struct mesh_settings_info *info, bool changed_only, struct buffer *text)
{
    struct json_writer json;

    json_writer_init(&json, text);
    json_writer_begin_object(&json);
    json_text(&json, "broker", info->id);
    json_text(&json, "name", info->name);
    json_text(&json, "file", info->path);
    json_writer_key(&json, "settings");
    json_writer_begin_array(&json);
    for (size_t i = 0; i < info->setting_count; i++) {
        if (changed_only && info->settings[i].source == MESH_SETTING_DEFAULT) continue;
        json_writer_begin_object(&json);
        json_setting(&json, &info->settings[i]);
        json_writer_end_object(&json);
    }
    json_writer_end_array(&json);
    json_writer_end_object(&json);
    return finish_line(&json, text);
}

static int json_one(const struct mesh_settings_info *info, const struct mesh_setting_info *setting, struct buffer *text)
{
    struct json_writer json;

    json_writer_init(&json, text);
    json_writer_begin_object(&json);
    json_text(&json, "broker", info->id);
    json_text(&json, "name", info->name);
    json_setting(&json, setting);
    json_writer_end_object(&json);
    return finish_line(&json, text);
}

/* ---- list ---- */

static int table_list(const struct mesh_settings_info *info, bool changed_only, struct buffer *text)
{
    static const struct table_column columns[] = {{"KEY", false}, {"VALUE", false}, {"UNIT", false}, {"FROM", false}, {"CHANGES", false}, {"DEFAULT", false}};
    struct table table;
    int err;

    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < info->setting_count; i++) {
        const struct mesh_setting_info *setting = &info->settings[i];

        if (changed_only && setting->source == MESH_SETTING_DEFAULT) continue;
        table_cell(&table, "%s", setting->key);
        table_cell(&table, "%s", setting->value[0] != '\0' ? setting->value : "-");
        table_cell(&table, "%s", setting->unit);
        table_cell(&table, "%s", source_name(setting->source));
        table_cell(&table, "%s", setting->is_live ? "live" : "at a start");
        table_cell(&table, "%s", setting->fallback[0] != '\0' ? setting->fallback : "-");
    }
    err = table_write(&table, text, terminal_has_colours(STDOUT_FILENO));
    table_deinit(&table);
    return err;
}

static int choose(const struct session *session, const char *which, struct broker_choice *choice)
{
    int err = broker_choose(session->client, which, choice);

    if (err == 0) return EXIT_DONE;
    if (choice->problem == NULL) return (int)session_fail(session, err, "asking who is in the mesh");
    return (int)failure_report(session->is_json, err, choice->problem, "%s", which != NULL ? which : "the mesh");
}

static int list(const struct session *session, const struct arguments *arguments, const char *which)
{
    bool changed_only = arguments_has(arguments, "changed");
    struct broker_choice choice = {0};
    struct mesh_settings *settings = NULL;
    struct buffer text = BUFFER_INIT;
    int err, code = which == NULL ? EXIT_DONE : choose(session, which, &choice);

    if (code != EXIT_DONE) return code;
    err = mesh_settings_get(session->client, which == NULL ? NULL : choice.brokers[0].id, &settings);
    broker_choice_deinit(&choice);
    if (err != 0) return (int)session_fail(session, err, "the settings of %s", which != NULL ? which : "the broker");
    err = (session->is_json ? json_list : table_list)(mesh_settings_info(settings), changed_only, &text);
    mesh_settings_free(settings);
    return standard_output_finish(&text, err);
}

int command_config_list(const struct arguments *arguments)
{
    struct session session;
    int code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    code = list(&session, arguments, arguments_text(arguments, "of", NULL));
    session_close(&session);
    return code;
}

/* ---- some settings of some brokers ---- */

struct chosen {
    const struct arguments *arguments;
    const struct session *session;
    bool is_change, has_values;
    char keys[CHANGES_MAX][KEY_SIZE];
    struct mesh_setting_change changes[CHANGES_MAX]; /* of these keys */
    size_t count;
    struct table table;
    struct buffer text; /* of JSON */
    int err;            /* of writing */
};

/* The operands as keys and values. Returns the exit code. */
static int take_operands(struct chosen *chosen)
{
    const struct arguments *arguments = chosen->arguments;

    for (size_t i = 0; i < arguments->operand_count; i++) {
        const char *text = arguments->operands[i], *equals = strchr(text, '=');
        size_t size = chosen->has_values && equals != NULL ? (size_t)(equals - text) : strlen(text);
        char fault[256];

        if (size == 0 || size >= KEY_SIZE || chosen->has_values != (equals != NULL)) {
            snprintf(fault, sizeof(fault), chosen->has_values ? "'%.100s' is not KEY=VALUE" : "'%.100s' is no key: give it without a value", text);
            return (int)failure_usage(arguments->command->name, fault);
        }
        memcpy(chosen->keys[i], text, size);
        chosen->keys[i][size] = '\0';
        chosen->changes[i] = (struct mesh_setting_change){chosen->keys[i], chosen->has_values ? equals + 1 : NULL};
    }
    chosen->count = arguments->operand_count;
    return EXIT_DONE;
}

/* Whether the broker knows them all; else said, with what was probably meant. Returns the exit code. */
static int check_keys(const struct chosen *chosen, const struct mesh_settings_info *info)
{
    const char *candidates[SETTINGS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < info->setting_count && count < SETTINGS_MAX; i++)
        candidates[count++] = info->settings[i].key;
    for (size_t i = 0; i < chosen->count; i++) {
        const char *key = chosen->keys[i], *nearest;
        char fault[320];

        if (find(info, key) != NULL) continue;
        nearest = suggestion_nearest(key, candidates, count);
        snprintf(fault, sizeof(fault), "there is no setting '%.100s'%s%s%s", key, nearest != NULL ? "; did you mean " : ": see 'mesh config list'", nearest != NULL ? nearest : "",
                 nearest != NULL ? "?" : "");
        return (int)failure_usage(chosen->arguments->command->name, fault);
    }
    return EXIT_DONE;
}

/* What will undo a change is for people and scripts. */
static void warn_of_start(const struct mesh_settings_info *info, const struct mesh_setting_info *setting)
{
    if (setting->at_start[0] == '\0') return;
    fprintf(stderr, "mesh: %s: %s=%s holds until the next start: then its options, its environment or its file say %s, which comes before what is kept\n", info->name, setting->key,
            setting->value, setting->at_start);
}

static void tell(struct chosen *chosen, const struct mesh_settings_info *info)
{
    for (size_t i = 0; i < chosen->count && chosen->err == 0; i++) {
        const struct mesh_setting_info *setting = find(info, chosen->keys[i]);

        if (setting == NULL) continue;
        if (chosen->is_change && chosen->has_values) warn_of_start(info, setting);
        if (chosen->session->is_json) {
            chosen->err = json_one(info, setting, &chosen->text);
            continue;
        }
        table_cell(&chosen->table, "%s", info->name);
        table_cell(&chosen->table, "%s", setting->key);
        table_cell(&chosen->table, "%s", setting->value[0] != '\0' ? setting->value : "-");
        table_cell(&chosen->table, "%s", setting->unit);
        table_cell(&chosen->table, "%s", source_name(setting->source));
        if (chosen->is_change && chosen->has_values) {
            table_cell(&chosen->table, "%s", info->path);
            continue;
        }
        table_cell(&chosen->table, "%s", setting->is_live ? "live" : "at a start");
        table_cell(&chosen->table, "%s", setting->fallback[0] != '\0' ? setting->fallback : "-");
    }
}

/* Returns the exit code. *is_refused: the others would say the same. */
static int ask_one(struct chosen *chosen, const struct chosen_broker *broker, bool *is_checked, bool *is_refused)
{
    const struct session *session = chosen->session;
    struct mesh_settings *settings = NULL;
    int err = 0, code = EXIT_DONE;

    if (!chosen->is_change || !*is_checked) err = mesh_settings_get(session->client, broker->id, &settings);
    if (err == 0 && !*is_checked) code = check_keys(chosen, mesh_settings_info(settings));
    *is_refused = code != EXIT_DONE;
    *is_checked |= err == 0 && code == EXIT_DONE;
    if (err == 0 && code == EXIT_DONE && chosen->is_change) {
        mesh_settings_free(settings);
        settings = NULL;
        err = mesh_settings_change(session->client, broker->id, chosen->changes, chosen->count, &settings);
        *is_refused = err == MESH_EINVAL;
    }
    if (err != 0) code = (int)session_fail(session, err, chosen->is_change ? "%s was not changed" : "the settings of %s", broker->name);
    if (code == EXIT_DONE) tell(chosen, mesh_settings_info(settings));
    mesh_settings_free(settings);
    return code;
}

static int show(struct chosen *chosen)
{
    if (!chosen->session->is_json && chosen->err == 0 && chosen->table.cell_count > 0)
        chosen->err = table_write(&chosen->table, &chosen->text, terminal_has_colours(STDOUT_FILENO));
    return standard_output_finish(&chosen->text, chosen->err);
}

/* One broker that does not answer keeps nobody from the others; what one refuses, all would. */
static int ask_all(struct chosen *chosen, const struct broker_choice *choice)
{
    bool is_checked = false, is_refused = false;
    int code = EXIT_DONE, shown;

    for (size_t i = 0; i < choice->count && !is_refused; i++) {
        int one = ask_one(chosen, &choice->brokers[i], &is_checked, &is_refused);

        if (one != EXIT_DONE) code = one;
    }
    shown = show(chosen);
    return shown != EXIT_DONE ? shown : code;
}

static int run(const struct arguments *arguments, bool is_change, bool has_values)
{
    static const struct table_column columns[] = {{"BROKER", false}, {"KEY", false}, {"VALUE", false}, {"UNIT", false}, {"FROM", false}, {"CHANGES", false}, {"DEFAULT", false}};
    static const struct table_column set_columns[] = {{"BROKER", false}, {"KEY", false}, {"VALUE", false}, {"UNIT", false}, {"FROM", false}, {"KEPT IN", false}};
    struct session session;
    struct chosen chosen = {.arguments = arguments, .session = &session, .is_change = is_change, .has_values = has_values, .text = BUFFER_INIT};
    struct broker_choice choice = {0};
    int code = take_operands(&chosen);

    if (code != EXIT_DONE) return code;
    code = (int)session_open(arguments, &session);
    if (code != EXIT_DONE) return code;
    if (is_change && has_values) table_init(&chosen.table, set_columns, sizeof(set_columns) / sizeof(set_columns[0]));
    else table_init(&chosen.table, columns, sizeof(columns) / sizeof(columns[0]));
    code = choose(&session, arguments_text(arguments, "of", NULL), &choice);
    if (code == EXIT_DONE) code = ask_all(&chosen, &choice);
    broker_choice_deinit(&choice);
    table_deinit(&chosen.table);
    session_close(&session);
    return code;
}

int command_config_get(const struct arguments *arguments)
{
    return run(arguments, false, false);
}

int command_config_set(const struct arguments *arguments)
{
    return run(arguments, true, true);
}

int command_config_unset(const struct arguments *arguments)
{
    return run(arguments, true, false);
}
