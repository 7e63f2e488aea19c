/* mesh recover: most voters are lost for good, and the survivors become a mesh again. Shows first what is given up. */
#include "base/error.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOST_MAX 256

/* The names of all --accept-loss-of, which borrow from one copy of their texts. */
struct lost {
    char *texts;
    const char *names[LOST_MAX];
    size_t count;
};

static int split(struct lost *lost, char *text)
{
    for (char *rest = text, *name; (name = strsep(&rest, ",")) != NULL;) {
        if (name[0] == '\0') continue;
        if (lost->count == LOST_MAX) return MESH_EINVAL;
        lost->names[lost->count++] = name;
    }
    return 0;
}

static int gather(const struct arguments *arguments, struct lost *lost)
{
    struct buffer all = BUFFER_INIT;
    size_t cursor = 0;
    const char *text;
    int err = 0;

    *lost = (struct lost){0};
    while (err == 0 && (text = arguments_next(arguments, "accept-loss-of", &cursor)) != NULL)
        err = buffer_printf(&all, "%s,", text);
    if (err == 0) err = buffer_append(&all, "", 1);
    if (err != 0) {
        buffer_deinit(&all);
        return err;
    }
    lost->texts = (char *)all.data; /* freed with it */
    return split(lost, lost->texts);
}

/* ---- for people ---- */

static int append_survivors(const struct mesh_recovery_info *info, struct buffer *text, bool has_colours)
{
    static const struct table_column columns[] = {{"SURVIVOR", false}, {"ANSWERS", false}, {"VOTES", false}, {"LOG", true}, {"COMMITTED", true}, {"", false}};
    struct table table;
    int err;

    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < info->survivor_count; i++) {
        const struct mesh_survivor_info *survivor = &info->survivors[i];

        table_cell(&table, "%s", survivor->name);
        table_cell(&table, "%s", survivor->has_answered ? "yes" : "no");
        table_cell(&table, "%s", survivor->is_voter ? "yes" : "no");
        table_cell(&table, "%llu", (unsigned long long)survivor->last_index);
        table_cell(&table, "%llu", (unsigned long long)survivor->committed);
        table_cell(&table, "%s%s", survivor->is_chosen ? "its log goes on" : "", survivor->is_damaged ? " (its log is damaged)" : "");
    }
    err = table_write(&table, text, has_colours);
    table_deinit(&table);
    return err;
}

static int append_lost(const struct mesh_recovery_info *info, struct buffer *text)
{
    int err = buffer_append_string(text, "\nGiven up for good:\n");

    for (size_t i = 0; i < info->lost_count && err == 0; i++)
        err = buffer_printf(text, "  %s (%s): %s, hosts %u partition%s\n", info->lost[i].name, info->lost[i].id,
                            info->lost[i].is_voter ? "votes" : "does not vote", info->lost[i].hosted_partitions,
                            info->lost[i].hosted_partitions == 1 ? "" : "s");
    if (err == 0)
        err = buffer_printf(text, "Changes of topics and settings that only they knew are gone. %u partition%s no copy but on them. When they come back, they are refused.\n",
                            info->lost_partitions, info->lost_partitions == 1 ? " has" : "s have");
    return err;
}

/* What would be done, to standard error, where the question comes too. */
static void show_plan(const struct mesh_recovery_info *info)
{
    struct buffer text = BUFFER_INIT;
    int err = append_survivors(info, &text, terminal_has_colours(STDERR_FILENO));

    if (err == 0) err = append_lost(info, &text);
    if (err == 0) fwrite(text.data, 1, text.size, stderr);
    buffer_deinit(&text);
}

static bool has_consent(void)
{
    char answer[16] = "";

    fprintf(stderr, "\nGo on without them? Type yes: ");
    return fgets(answer, sizeof(answer), stdin) != NULL && strcmp(answer, "yes\n") == 0;
}

/* ---- as JSON ---- */

static void write_survivors(struct json_writer *json, const struct mesh_recovery_info *info)
{
    json_writer_key(json, "survivors");
    json_writer_begin_array(json);
    for (size_t i = 0; i < info->survivor_count; i++) {
        json_writer_begin_object(json);
        json_writer_key(json, "broker");
        json_writer_text(json, info->survivors[i].id);
        json_writer_key(json, "name");
        json_writer_text(json, info->survivors[i].name);
        json_writer_key(json, "answers");
        json_writer_boolean(json, info->survivors[i].has_answered != 0);
        json_writer_key(json, "votes");
        json_writer_boolean(json, info->survivors[i].is_voter != 0);
        json_writer_key(json, "chosen");
        json_writer_boolean(json, info->survivors[i].is_chosen != 0);
        json_writer_key(json, "last_index");
        json_writer_unsigned(json, info->survivors[i].last_index);
        json_writer_key(json, "committed");
        json_writer_unsigned(json, info->survivors[i].committed);
        json_writer_end_object(json);
    }
    json_writer_end_array(json);
}

static int print_json(const struct mesh_recovery_info *info)
{
    struct buffer text = BUFFER_INIT;
    struct json_writer json;

    json_writer_init(&json, &text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "done");
    json_writer_boolean(&json, info->is_done != 0);
    json_writer_key(&json, "objection");
    json_writer_text(&json, info->objection);
    json_writer_key(&json, "history");
    json_writer_unsigned(&json, info->history);
    json_writer_key(&json, "lost");
    json_writer_begin_array(&json);
    for (size_t i = 0; i < info->lost_count; i++)
        json_writer_text(&json, info->lost[i].id);
    json_writer_end_array(&json);
    json_writer_key(&json, "lost_partitions");
    json_writer_unsigned(&json, info->lost_partitions);
    write_survivors(&json, info);
    json_writer_end_object(&json);
    return standard_output_finish(&text, json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(&text, "\n", 1));
}

/* ---- the command ---- */

static int report(const struct session *session, const struct mesh_recovery_info *info)
{
    int code = session->is_json ? print_json(info) : EXIT_DONE;

    if (code != EXIT_DONE) return code;
    if (info->objection[0] != '\0') {
        fprintf(stderr, "mesh: nothing was given up: %s\n", info->objection);
        return EXIT_FAILED;
    }
    if (!session->is_json && info->is_done)
        fprintf(stderr, "The mesh is recovered: it goes on as history %llu. 'mesh status' shows it.\n", (unsigned long long)info->history);
    return EXIT_DONE;
}

static int ask(struct session *session, const struct lost *lost, bool is_for_real, struct mesh_recovery **ret_recovery)
{
    int err = mesh_recover(session->client, lost->names, lost->count, is_for_real, ret_recovery);

    return err == 0 ? EXIT_DONE : (int)session_fail(session, err, "recovering the mesh");
}

/* Everybody is asked, and people see what they would say yes to. *ret_goes_on: they have. */
static int prepare(struct session *session, const struct arguments *arguments, const struct lost *lost, bool *ret_goes_on)
{
    struct mesh_recovery *plan;
    const struct mesh_recovery_info *info;
    int code = ask(session, lost, false, &plan);

    *ret_goes_on = false;
    if (code != EXIT_DONE) return code;
    info = mesh_recovery_info(plan);
    if (!session->is_json || info->objection[0] != '\0') show_plan(info);
    if (info->objection[0] != '\0') {
        code = report(session, info);
    } else if (arguments_has(arguments, "yes")) {
        *ret_goes_on = true;
    } else if (!terminal_is(STDIN_FILENO)) {
        code = (int)failure_usage("recover", "there is no terminal to ask at; --yes says that the loss shown above is accepted");
    } else {
        *ret_goes_on = has_consent();
        if (!*ret_goes_on) fprintf(stderr, "Nothing was given up.\n");
        code = *ret_goes_on ? EXIT_DONE : EXIT_FAILED;
    }
    mesh_recovery_free(plan);
    return code;
}

static int run(struct session *session, const struct arguments *arguments, const struct lost *lost)
{
    struct mesh_recovery *recovery;
    bool goes_on;
    int code = prepare(session, arguments, lost, &goes_on);

    if (code != EXIT_DONE || !goes_on) return code;
    code = ask(session, lost, true, &recovery);
    if (code != EXIT_DONE) return code;
    code = report(session, mesh_recovery_info(recovery));
    mesh_recovery_free(recovery);
    return code;
}

int command_recover(const struct arguments *arguments)
{
    struct session session;
    struct lost lost;
    int err = gather(arguments, &lost), code;

    if (err == 0 && lost.count == 0)
        code = (int)failure_usage("recover", "name the brokers that are lost for good: --accept-loss-of BROKER[,BROKER...]");
    else if (err != 0)
        code = (int)failure_usage("recover", err == MESH_ENOMEM ? "out of memory" : "too many brokers are named");
    else if ((code = (int)session_open(arguments, &session)) == EXIT_DONE) {
        code = run(&session, arguments, &lost);
        session_close(&session);
    }
    free(lost.texts);
    return code;
}
