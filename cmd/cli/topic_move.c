/* mesh topic move | balance: replicas to other brokers, and watching them go. */
#include "base/clock.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/interrupt.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/move_watch.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/table.h"
#include "cmd/cli/value.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BROKERS_MAX 16 /* of one partition */
#define LIST_MAX    20 /* rows for people */
#define NAME_SIZE   256

/* ---- what moves ---- */

static void write_ids(struct json_writer *json, const char *key, const int32_t *ids, size_t count)
{
    json_writer_key(json, key);
    json_writer_begin_array(json);
    for (size_t i = 0; i < count; i++)
        json_writer_integer(json, ids[i]);
    json_writer_end_array(json);
}

/* progress NULL: nobody waited. */
static int moves_json(const struct mesh_moves *moves, const struct move_progress *progress, double seconds, struct buffer *text)
{
    struct json_writer json;

    json_writer_init(&json, text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "moves");
    json_writer_begin_array(&json);
    for (size_t i = 0; i < mesh_moves_count(moves); i++) {
        const struct mesh_move_info *move = mesh_moves_get(moves, i);

        json_writer_begin_object(&json);
        json_writer_key(&json, "topic");
        json_writer_text(&json, move->topic);
        json_writer_key(&json, "partition");
        json_writer_integer(&json, move->partition);
        write_ids(&json, "from", move->from, move->from_count);
        write_ids(&json, "to", move->to, move->to_count);
        json_writer_end_object(&json);
    }
    json_writer_end_array(&json);
    json_writer_key(&json, "done");
    json_writer_boolean(&json, mesh_moves_count(moves) == 0 || (progress != NULL && progress->over == progress->moves));
    if (progress != NULL) {
        json_writer_key(&json, "moved");
        json_writer_unsigned(&json, progress->over);
        json_writer_key(&json, "bytes");
        json_writer_unsigned(&json, progress->copied_bytes);
        json_writer_key(&json, "seconds");
        json_writer_real(&json, seconds, 3);
    }
    json_writer_end_object(&json);
    return json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(text, "\n", 1);
}

static void cell_list(struct table *table, const int32_t *ids, size_t count)
{
    char list[BROKERS_MAX * 12 + 1] = "";
    size_t used = 0;

    for (size_t i = 0; i < count && used < sizeof(list); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, i > 0 ? ",%d" : "%d", ids[i]);
    table_cell(table, "%s", list);
}

static int moves_table(const struct mesh_moves *moves, size_t limit, struct buffer *text)
{
    static const struct table_column columns[] = {{"PARTITION", false}, {"FROM BROKERS", false}, {"TO BROKERS", false}};
    size_t count = mesh_moves_count(moves), shown = count < limit ? count : limit;
    struct table table;
    int err;

    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < shown; i++) {
        const struct mesh_move_info *move = mesh_moves_get(moves, i);

        table_cell(&table, "%s/%d", move->topic, move->partition);
        cell_list(&table, move->from, move->from_count);
        cell_list(&table, move->to, move->to_count);
    }
    err = table_write(&table, text, terminal_has_colours(STDOUT_FILENO));
    table_deinit(&table);
    if (err == 0 && shown < count) err = buffer_printf(text, "... and %zu more\n", count - shown);
    return err;
}

/* ---- telling ---- */

/* What moves, or would. In a pipe a plan is whole, and what was set going is not listed. */
static int tell_plan(const struct session *session, const struct mesh_moves *moves, bool is_dry)
{
    bool is_terminal = terminal_is(STDOUT_FILENO);
    struct buffer text = BUFFER_INIT;
    int err = 0;

    if (session->is_json) err = moves_json(moves, NULL, 0, &text);
    else if (mesh_moves_count(moves) == 0)
        err = is_terminal ? buffer_append_string(&text, "nothing to move: the replicas are where they should be\n") : 0;
    else if (is_dry || is_terminal)
        err = moves_table(moves, is_terminal ? LIST_MAX : SIZE_MAX, &text);
    return standard_output_finish(&text, err);
}

static void tell_end(const struct mesh_moves *moves, const struct move_progress *progress, double seconds)
{
    const struct mesh_move_info *first = mesh_moves_get(moves, 0);
    char volume[TERMINAL_FIGURE_SIZE], time[TERMINAL_FIGURE_SIZE];

    if (interrupt_signal() != 0 && progress->over < progress->moves)
        fprintf(stderr, "The move goes on. 'mesh topic describe %s' shows how far it is; 'mesh topic move %s --cancel' takes it back.\n", first->topic,
                first->topic);
    else if (terminal_is(STDERR_FILENO))
        fprintf(stderr, "%zu partition%s moved (%s in %s)\n", progress->over, progress->over == 1 ? "" : "s",
                terminal_megabytes((double)progress->copied_bytes, volume), terminal_seconds(seconds, time));
}

/* Waits for what was set going, and takes `moves`. */
static int follow(struct session *session, struct mesh_moves *moves)
{
    struct move_progress progress = {.moves = 0};
    struct buffer text = BUFFER_INIT;
    uint64_t begin_ns = clock_monotonic_ns();
    double seconds;
    int err, code = EXIT_DONE;

    interrupt_install();
    if (!session->is_json) code = tell_plan(session, moves, false);
    err = move_watch(session, moves, &progress);
    seconds = (double)(clock_monotonic_ns() - begin_ns) / 1e9;
    if (err != 0) {
        code = (int)session_fail(session, err, "following the move, which goes on");
    } else {
        if (session->is_json) code = standard_output_finish(&text, moves_json(moves, &progress, seconds, &text));
        tell_end(moves, &progress, seconds);
        if (code == EXIT_DONE && interrupt_signal() != 0 && progress.over < progress.moves) code = EXIT_SIGNAL + interrupt_signal();
    }
    mesh_moves_free(moves);
    return code;
}

static int report(struct session *session, struct mesh_moves *moves, bool is_dry, bool waits)
{
    int code;

    if (waits && !is_dry && mesh_moves_count(moves) != 0) return follow(session, moves);
    code = tell_plan(session, moves, is_dry);
    mesh_moves_free(moves);
    return code;
}

/* ---- the commands ---- */

/* "b1,b2,b3" in place; returns how many, or BROKERS_MAX + 1. */
static size_t split_brokers(char *text, const char *brokers[BROKERS_MAX + 1])
{
    size_t count = 0;
    char *rest = NULL;

    for (char *name = strtok_r(text, ",", &rest); name != NULL && count <= BROKERS_MAX; name = strtok_r(NULL, ",", &rest))
        brokers[count++] = name;
    return count;
}

static int move(struct session *session, const struct arguments *arguments, const char *topic, int32_t partition)
{
    bool is_cancel = arguments_has(arguments, "cancel");
    const char *brokers[BROKERS_MAX + 1];
    struct mesh_moves *moves = NULL;
    char list[BROKERS_MAX * NAME_SIZE] = "";
    size_t count;
    int err;

    snprintf(list, sizeof(list), "%s", arguments_text(arguments, "to", ""));
    count = split_brokers(list, brokers);
    err = is_cancel ? mesh_topic_move_cancel(session->client, topic, partition, &moves)
                    : mesh_topic_move(session->client, topic, partition, brokers, count, &moves);
    if (err != 0) return (int)session_fail(session, err, is_cancel ? "taking back the move of %s" : "moving %s", arguments->operands[0]);
    return report(session, moves, false, !arguments_has(arguments, "no-wait") && !is_cancel);
}

int command_topic_move(const struct arguments *arguments)
{
    bool is_cancel = arguments_has(arguments, "cancel");
    char topic[NAME_SIZE];
    struct session session;
    int32_t partition;
    int code;

    if (is_cancel == arguments_has(arguments, "to"))
        return (int)failure_usage("topic move", is_cancel ? "--cancel takes no --to" : "say where to: --to BROKER,..., or --cancel");
    if (value_parse_partition(arguments->operands[0], topic, sizeof(topic), &partition) != 0)
        return (int)failure_usage("topic move", "what is to move is written TOPIC or TOPIC/NUMBER, for example orders/0");
    code = (int)session_open(arguments, &session);
    if (code != EXIT_DONE) return code;
    code = move(&session, arguments, topic, partition);
    session_close(&session);
    return code;
}

int command_topic_balance(const struct arguments *arguments)
{
    const char *topic = arguments->operand_count > 0 ? arguments->operands[0] : NULL;
    bool is_dry = arguments_has(arguments, "dry-run");
    struct mesh_moves *moves = NULL;
    struct session session;
    int err, code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    err = mesh_topic_balance(session.client, topic, is_dry, &moves);
    if (err != 0) code = (int)session_fail(&session, err, "balancing %s", topic != NULL ? topic : "all topics");
    else code = report(&session, moves, is_dry, !arguments_has(arguments, "no-wait"));
    session_close(&session);
    return code;
}
