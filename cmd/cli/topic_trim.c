/* mesh topic trim: the oldest records are deleted. What that means is shown first, always; then it is asked for, or --yes says so. */
#include "base/clock.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/start_offset.h"
#include "cmd/cli/table.h"
#include "cmd/cli/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_SIZE 256

struct trim {
    const struct arguments *arguments;
    struct session session;
    char topic[NAME_SIZE];
    int32_t partition; /* -1: each */
    struct start_offset to;
    struct mesh_trim *trims; /* owned */
    int64_t *firsts;         /* owned: where their records begin before */
    size_t count;
};

/* ---- telling ---- */

static int64_t gone_of(const struct trim *trim, size_t i, bool is_done)
{
    int64_t to = is_done ? trim->trims[i].first_offset : trim->trims[i].offset;

    return to > trim->firsts[i] ? to - trim->firsts[i] : 0;
}

static int print_table(const struct trim *trim)
{
    static const struct table_column columns[] = {{"PARTITION", false}, {"FIRST NOW", true}, {"FIRST THEN", true}, {"RECORDS DELETED", true}};
    struct buffer text = BUFFER_INIT;
    struct table table;
    int err;

    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < trim->count; i++) {
        char now[TERMINAL_FIGURE_SIZE], then[TERMINAL_FIGURE_SIZE], gone[TERMINAL_FIGURE_SIZE];

        table_cell(&table, "%s/%d", trim->topic, trim->trims[i].partition);
        table_cell(&table, "%s", terminal_count((uint64_t)trim->firsts[i], now));
        table_cell(&table, "%s", terminal_count((uint64_t)trim->trims[i].offset, then));
        table_cell(&table, "%s", terminal_count((uint64_t)gone_of(trim, i, false), gone));
    }
    err = table_write(&table, &text, terminal_has_colours(STDERR_FILENO));
    table_deinit(&table);
    if (err == 0) fprintf(stderr, "%.*s", (int)text.size, (const char *)text.data);
    buffer_deinit(&text);
    return err;
}

static int print_json(const struct trim *trim, bool is_done)
{
    struct buffer text = BUFFER_INIT;
    struct json_writer json;

    json_writer_init(&json, &text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "topic");
    json_writer_text(&json, trim->topic);
    json_writer_key(&json, "done");
    json_writer_boolean(&json, is_done);
    json_writer_key(&json, "partitions");
    json_writer_begin_array(&json);
    for (size_t i = 0; i < trim->count; i++) {
        json_writer_begin_object(&json);
        json_writer_key(&json, "partition");
        json_writer_integer(&json, trim->trims[i].partition);
        json_writer_key(&json, "first_before");
        json_writer_integer(&json, trim->firsts[i]);
        json_writer_key(&json, "first");
        json_writer_integer(&json, is_done ? trim->trims[i].first_offset : trim->trims[i].offset);
        json_writer_key(&json, "records");
        json_writer_integer(&json, gone_of(trim, i, is_done));
        json_writer_end_object(&json);
    }
    json_writer_end_array(&json);
    json_writer_end_object(&json);
    return standard_output_finish(&text, json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(&text, "\n", 1));
}

/* ---- where that is ---- */

static int resolve_times(struct trim *trim)
{
    struct mesh_consumer *consumer = NULL;
    int err = mesh_consumer_new(trim->session.client, &consumer);

    for (size_t i = 0; i < trim->count && err == 0; i++) {
        err = mesh_consumer_assign_time(consumer, trim->topic, trim->trims[i].partition, trim->to.value);
        if (err == 0) err = mesh_consumer_position(consumer, trim->topic, trim->trims[i].partition, &trim->trims[i].offset);
    }
    mesh_consumer_free(consumer);
    return err;
}

static int fill(struct trim *trim, const struct mesh_topic_info *topic)
{
    trim->trims = calloc(topic->partition_count + 1, sizeof(*trim->trims));
    trim->firsts = calloc(topic->partition_count + 1, sizeof(*trim->firsts));
    if (trim->trims == NULL || trim->firsts == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < topic->partition_count; i++) {
        const struct mesh_partition_info *partition = &topic->partitions[i];

        if (trim->partition >= 0 && partition->partition != trim->partition) continue;
        if (partition->error != 0) return partition->error;
        if (trim->to.kind == START_OFFSET && trim->to.value > partition->high_watermark) return MESH_EOFFSET_OUT_OF_RANGE;
        trim->firsts[trim->count] = partition->log_start;
        trim->trims[trim->count++] =
            (struct mesh_trim){.partition = partition->partition, .offset = trim->to.kind == START_OFFSET ? trim->to.value : partition->high_watermark};
    }
    return trim->count == 0 ? MESH_EUNKNOWN_TOPIC : 0;
}

static int report_refusal(const struct trim *trim, int err)
{
    const char *remedy = err == MESH_EUNKNOWN_TOPIC          ? "there is no such partition"
                         : err == MESH_EOFFSET_OUT_OF_RANGE ? "the offset lies behind the last record that is committed; --to end takes all of them"
                                                            : NULL;

    return (int)failure_report(trim->session.is_json, err, remedy, "trimming '%s'", trim->arguments->operands[0]);
}

static int resolve(struct trim *trim)
{
    struct mesh_topic_list *list;
    int err = mesh_topic_describe(trim->session.client, trim->topic, &list);

    if (err != 0) return (int)session_fail(&trim->session, err, "trimming '%s'", trim->topic);
    err = fill(trim, mesh_topic_list_get(list, 0));
    mesh_topic_list_free(list);
    if (err != 0) return report_refusal(trim, err);
    if (trim->to.kind == START_TIME) err = resolve_times(trim);
    return err == 0 ? EXIT_DONE : (int)session_fail(&trim->session, err, "trimming '%s'", trim->topic);
}

/* ---- the command ---- */

static bool is_anything_gone(const struct trim *trim)
{
    for (size_t i = 0; i < trim->count; i++)
        if (gone_of(trim, i, false) > 0) return true;
    return false;
}

static bool has_consent(void)
{
    char answer[16] = "";

    fprintf(stderr, "\nDelete these records, for good? Type yes: ");
    return fgets(answer, sizeof(answer), stdin) != NULL && strcmp(answer, "yes\n") == 0;
}

static int run(struct trim *trim)
{
    int code = resolve(trim), err;

    if (code != EXIT_DONE) return code;
    if (!trim->session.is_json && print_table(trim) != 0) return (int)failure_report(false, MESH_ENOMEM, NULL, "trimming '%s'", trim->topic);
    if (arguments_has(trim->arguments, "dry-run")) return trim->session.is_json ? print_json(trim, false) : EXIT_DONE;
    if (!arguments_has(trim->arguments, "yes")) {
        if (!is_anything_gone(trim)) {
            fprintf(stderr, "There is nothing to delete.\n");
            return trim->session.is_json ? print_json(trim, false) : EXIT_DONE;
        }
        if (!terminal_is(STDIN_FILENO)) return (int)failure_usage("topic trim", "there is no terminal to ask at; --yes deletes the records");
        if (!has_consent()) {
            fprintf(stderr, "Nothing was deleted.\n");
            return EXIT_FAILED;
        }
    }
    err = mesh_topic_trim(trim->session.client, trim->topic, trim->trims, trim->count);
    if (err == MESH_EOFFSET_OUT_OF_RANGE) return report_refusal(trim, err);
    if (err != 0) return (int)session_fail(&trim->session, err, "trimming '%s'", trim->arguments->operands[0]);
    return trim->session.is_json ? print_json(trim, true) : EXIT_DONE;
}

int command_topic_trim(const struct arguments *arguments)
{
    struct trim trim = {.arguments = arguments};
    const char *to = arguments_text(arguments, "to", NULL);
    int code;

    if (to == NULL) return (int)failure_usage("topic trim", "say what stays: --to end, offset:N or time:T");
    if (start_offset_parse(to, clock_wall_ms(), &trim.to) != 0 || trim.to.kind == START_BEGINNING || trim.to.kind == START_BEFORE_END)
        return (int)failure_usage("topic trim", "--to is end, offset:N or time:T");
    if (value_parse_partition(arguments->operands[0], trim.topic, sizeof(trim.topic), &trim.partition) != 0)
        return (int)failure_usage("topic trim", "what is to be trimmed is written TOPIC or TOPIC/NUMBER, for example orders/0");
    code = (int)session_open(arguments, &trim.session);
    if (code != EXIT_DONE) return code;
    code = run(&trim);
    free(trim.trims);
    free(trim.firsts);
    session_close(&trim.session);
    return code;
}
