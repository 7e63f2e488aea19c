/* mesh group reset: where a group shall go on. What it means is shown first, always; then it is asked for, or --yes says so. */
#include "base/clock.h"
#include "base/error.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/table.h"
#include "cmd/cli/value.h"

#include <mesh/group.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum aim_kind { AIM_EARLIEST, AIM_LATEST, AIM_OFFSET, AIM_SHIFT, AIM_TIME };

struct aim {
    enum aim_kind kind;
    int64_t value;
};

struct reset {
    const struct arguments *arguments;
    struct session session;
    const char *group, *topic;
    struct aim aim;
    struct mesh_group_offset *offsets; /* owned */
    size_t count;
};

/* ---- what is asked for ---- */

static int parse_aim(const char *text, struct aim *ret_aim)
{
    struct aim aim = {AIM_EARLIEST, 0};

    if (strcmp(text, "earliest") == 0 || strcmp(text, "beginning") == 0) {
        aim.kind = AIM_EARLIEST;
    } else if (strcmp(text, "latest") == 0 || strcmp(text, "end") == 0) {
        aim.kind = AIM_LATEST;
    } else if (strncmp(text, "offset:", 7) == 0) {
        aim.kind = AIM_OFFSET;
        if (value_parse_integer(text + 7, 0, INT64_MAX, &aim.value) != 0) return MESH_EINVAL;
    } else if (strncmp(text, "shift:", 6) == 0) {
        aim.kind = AIM_SHIFT;
        if (value_parse_integer(text + 6, -INT64_MAX, INT64_MAX, &aim.value) != 0) return MESH_EINVAL;
    } else if (strncmp(text, "time:", 5) == 0) {
        aim.kind = AIM_TIME;
        if (value_parse_time(text + 5, clock_wall_ms(), &aim.value) != 0) return MESH_EINVAL;
    } else {
        return MESH_EINVAL;
    }
    *ret_aim = aim;
    return 0;
}

/* ---- telling ---- */

static int print_table(const struct reset *reset)
{
    static const struct table_column columns[] = {{"TOPIC", false}, {"PARTITION", true}, {"BEFORE", true}, {"AFTER", true}, {"", false}};
    struct buffer text = BUFFER_INIT;
    struct table table;
    int err;

    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < reset->count; i++) {
        const struct mesh_group_offset *offset = &reset->offsets[i];
        char before[TERMINAL_FIGURE_SIZE], after[TERMINAL_FIGURE_SIZE];

        table_cell(&table, "%s", offset->topic);
        table_cell(&table, "%d", offset->partition);
        table_cell(&table, "%s", offset->before >= 0 ? terminal_count((uint64_t)offset->before, before) : "-");
        table_cell(&table, "%s", terminal_count((uint64_t)offset->offset, after));
        table_cell(&table, "%s", offset->error != 0 ? mesh_strerror(offset->error) : "");
    }
    err = table_write(&table, &text, terminal_has_colours(STDERR_FILENO));
    table_deinit(&table);
    if (err == 0) fprintf(stderr, "%.*s", (int)text.size, (const char *)text.data);
    buffer_deinit(&text);
    return err;
}

static int print_json(const struct reset *reset, bool is_done)
{
    struct buffer text = BUFFER_INIT;
    struct json_writer json;

    json_writer_init(&json, &text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "group");
    json_writer_text(&json, reset->group);
    json_writer_key(&json, "done");
    json_writer_boolean(&json, is_done);
    json_writer_key(&json, "offsets");
    json_writer_begin_array(&json);
    for (size_t i = 0; i < reset->count; i++) {
        json_writer_begin_object(&json);
        json_writer_key(&json, "topic");
        json_writer_text(&json, reset->offsets[i].topic);
        json_writer_key(&json, "partition");
        json_writer_integer(&json, reset->offsets[i].partition);
        json_writer_key(&json, "before");
        if (reset->offsets[i].before >= 0)
            json_writer_integer(&json, reset->offsets[i].before);
        else
            json_writer_null(&json);
        json_writer_key(&json, "after");
        json_writer_integer(&json, reset->offsets[i].offset);
        json_writer_end_object(&json);
    }
    json_writer_end_array(&json);
    json_writer_end_object(&json);
    return standard_output_finish(&text, json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(&text, "\n", 1));
}

static int report_refusal(const struct reset *reset, int err)
{
    if (err == MESH_EGROUP_NOT_EMPTY)
        return (int)failure_report(reset->session.is_json, err, "members consume these partitions now; --force makes them go on from there",
                                   "resetting group '%s'", reset->group);
    if (!reset->session.is_json) (void)print_table(reset); /* which it was */
    return (int)session_fail(&reset->session, err, "resetting group '%s'", reset->group);
}

/* ---- where that is ---- */

static int resolve_times(struct reset *reset)
{
    struct mesh_consumer *consumer = NULL;
    int err = mesh_consumer_new(reset->session.client, &consumer);

    for (size_t i = 0; i < reset->count && err == 0; i++) {
        err = mesh_consumer_assign_time(consumer, reset->topic, reset->offsets[i].partition, reset->aim.value);
        if (err == 0) err = mesh_consumer_position(consumer, reset->topic, reset->offsets[i].partition, &reset->offsets[i].offset);
    }
    mesh_consumer_free(consumer);
    return err;
}

/* From where the group stands, as far as there are records. Where that is, the leader says: a reset that is none. */
static int resolve_shifts(struct reset *reset, const struct mesh_topic_info *topic)
{
    int err = mesh_group_reset(reset->session.client, reset->group, reset->offsets, reset->count, arguments_has(reset->arguments, "force"), 1);

    if (err != 0) return err;
    for (size_t i = 0; i < reset->count; i++) {
        const struct mesh_partition_info *partition = &topic->partitions[reset->offsets[i].partition];
        int64_t from = reset->offsets[i].before >= 0 ? reset->offsets[i].before : partition->log_start, to;

        if (__builtin_add_overflow(from, reset->aim.value, &to)) to = reset->aim.value < 0 ? 0 : INT64_MAX;
        if (to > partition->high_watermark) to = partition->high_watermark;
        if (to < partition->log_start) to = partition->log_start;
        reset->offsets[i].offset = to;
    }
    return 0;
}

static int fill(struct reset *reset, const struct mesh_topic_info *topic)
{
    int32_t only = (int32_t)arguments_integer(reset->arguments, "partition", -1);

    reset->offsets = calloc(topic->partition_count + 1, sizeof(*reset->offsets));
    if (reset->offsets == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < topic->partition_count; i++) {
        const struct mesh_partition_info *partition = &topic->partitions[i];

        if (only >= 0 && partition->partition != only) continue;
        if (partition->error != 0 && reset->aim.kind != AIM_OFFSET) return partition->error;
        reset->offsets[reset->count++] =
            (struct mesh_group_offset){.topic = reset->topic,
                                       .partition = partition->partition,
                                       .offset = reset->aim.kind == AIM_OFFSET   ? reset->aim.value
                                                 : reset->aim.kind == AIM_LATEST ? partition->high_watermark
                                                                                 : partition->log_start};
    }
    return reset->count == 0 ? MESH_EUNKNOWN_TOPIC : 0;
}

static int resolve(struct reset *reset)
{
    struct mesh_topic_list *list;
    const struct mesh_topic_info *topic;
    int err = mesh_topic_describe(reset->session.client, reset->topic, &list);

    if (err != 0) return (int)session_fail(&reset->session, err, "resetting group '%s'", reset->group);
    topic = mesh_topic_list_get(list, 0);
    err = fill(reset, topic);
    if (err != 0) {
        mesh_topic_list_free(list);
        return (int)failure_report(reset->session.is_json, err, err == MESH_EUNKNOWN_TOPIC ? "there is no such partition" : NULL,
                                   "resetting group '%s' for '%s'", reset->group, reset->topic);
    }
    if (reset->aim.kind == AIM_TIME) err = resolve_times(reset);
    if (reset->aim.kind == AIM_SHIFT) err = resolve_shifts(reset, topic);
    mesh_topic_list_free(list);
    return err == 0 ? EXIT_DONE : report_refusal(reset, err);
}

/* ---- the command ---- */

static bool has_consent(void)
{
    char answer[16] = "";

    fprintf(stderr, "\nSet these offsets? Type yes: ");
    return fgets(answer, sizeof(answer), stdin) != NULL && strcmp(answer, "yes\n") == 0;
}

static int run(struct reset *reset)
{
    bool is_forced = arguments_has(reset->arguments, "force"), is_dry = arguments_has(reset->arguments, "dry-run");
    int code = resolve(reset), err;

    if (code != EXIT_DONE) return code;
    err = mesh_group_reset(reset->session.client, reset->group, reset->offsets, reset->count, is_forced, 1);
    if (err != 0) return report_refusal(reset, err);
    if (!reset->session.is_json && print_table(reset) != 0) return (int)failure_report(false, MESH_ENOMEM, NULL, "resetting group '%s'", reset->group);
    if (is_dry) return reset->session.is_json ? print_json(reset, false) : EXIT_DONE;
    if (!arguments_has(reset->arguments, "yes")) {
        if (!terminal_is(STDIN_FILENO)) return (int)failure_usage("group reset", "there is no terminal to ask at; --yes sets the offsets shown above");
        if (!has_consent()) {
            fprintf(stderr, "Nothing was changed.\n");
            return EXIT_FAILED;
        }
    }
    err = mesh_group_reset(reset->session.client, reset->group, reset->offsets, reset->count, is_forced, 0);
    if (err != 0) return report_refusal(reset, err);
    return reset->session.is_json ? print_json(reset, true) : EXIT_DONE;
}

int command_group_reset(const struct arguments *arguments)
{
    struct reset reset = {.arguments = arguments, .group = arguments->operands[0], .topic = arguments_text(arguments, "topic", NULL)};
    const char *to = arguments_text(arguments, "to", NULL);
    int code;

    if (reset.topic == NULL || to == NULL) return (int)failure_usage("group reset", "it needs --topic TOPIC and --to WHERE");
    if (parse_aim(to, &reset.aim) != 0)
        return (int)failure_usage("group reset", "--to is earliest, latest, offset:N, shift:N (shift:-N goes back) or time:T");
    code = (int)session_open(arguments, &reset.session);
    if (code != EXIT_DONE) return code;
    code = run(&reset);
    free(reset.offsets);
    session_close(&reset.session);
    return code;
}
