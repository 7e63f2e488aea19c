#include "cmd/cli/help.h"

#include "cmd/broker/settings.h"
#include "cmd/cli/text.h"

#include <mesh/error.h>

#include <string.h>

#define OPTION_COLUMN  30
#define COMMAND_COLUMN 20

int help_option_head(struct buffer *to, const struct option_spec *option)
{
    if (option->kind == OPTION_FLAG) return buffer_printf(to, "--%s", option->name);
    return buffer_printf(to, "--%s %s", option->name, option->value_name);
}

int help_option_text(struct buffer *to, const struct option_spec *option)
{
    int err = buffer_append_string(to, option->help);

    if (err == 0 && option->choices != NULL) {
        err = buffer_append_string(to, ": ");
        for (const char *c = option->choices; err == 0 && *c != '\0'; c++)
            err = *c == '|' ? buffer_append_string(to, ", ") : buffer_append(to, c, 1);
    }
    if (err == 0 && option->is_repeatable) err = buffer_append_string(to, "; may be given several times");
    if (err == 0 && option->fallback != NULL) err = buffer_printf(to, " [%s]", option->fallback);
    return err;
}

static int append_option(struct buffer *to, const struct option_spec *option, size_t width)
{
    struct buffer head = BUFFER_INIT, text = BUFFER_INIT;
    int err = help_option_head(&head, option);

    if (err == 0) err = help_option_text(&text, option);
    if (err == 0) err = buffer_append(&head, "", 1);
    if (err == 0) err = buffer_append(&text, "", 1);
    if (err == 0) err = text_entry(to, (char *)head.data, (char *)text.data, OPTION_COLUMN, width);
    buffer_deinit(&head);
    buffer_deinit(&text);
    return err;
}

/* Examples stand as "command  # remark" lines; the remarks are lined up. */
static int append_examples(struct buffer *to, const char *examples)
{
    int err = examples[0] != '\0' ? buffer_append_string(to, "\nExamples:\n") : 0;

    while (err == 0 && *examples != '\0') {
        size_t size = strcspn(examples, "\n");
        err = buffer_printf(to, "  %.*s\n", (int)size, examples);
        examples += size + (examples[size] == '\n');
    }
    return err;
}

int help_command(struct buffer *to, const struct command_spec *command, size_t width)
{
    const struct option_spec *option;
    int err = buffer_printf(to, "Usage: mesh %s [OPTION]...%s%s\n\n", command->name,
                            command->operands[0] != '\0' ? " " : "", command->operands);

    if (err == 0) err = text_fill(to, command->description, 0, width);
    if (err == 0) err = buffer_append_string(to, "\nOptions:\n");
    for (size_t i = 0; err == 0 && (option = command_option_at(command, i)) != NULL; i++)
        err = append_option(to, option, width);
    if (err == 0) err = append_examples(to, command->examples);
    return err;
}

int help_group(struct buffer *to, const struct command_group *group, size_t width)
{
    int err = buffer_printf(to, "%s.\n\nCommands:\n", group->summary);

    for (size_t i = 0; err == 0 && i < COMMAND_COUNT; i++)
        if (command_is_in_group(&command_table[i], group->name))
            err = text_entry(to, command_table[i].name, command_table[i].summary, COMMAND_COLUMN, width);
    if (err == 0) err = buffer_printf(to, "\n'mesh %s COMMAND --help' tells more.\n", group->name);
    return err;
}

int help_overview(struct buffer *to, size_t width)
{
    int err = buffer_append_string(
        to, "Usage: mesh COMMAND [OPTION]... [ARGUMENT]...\n\nA message broker without a "
            "middle.\n\nCommands:\n");

    for (size_t i = 0; err == 0 && i < COMMAND_COUNT; i++)
        err = text_entry(to, command_table[i].name, command_table[i].summary, COMMAND_COLUMN, width);
    if (err == 0) err = buffer_append_string(to, "\nSubjects of 'mesh help':\n");
    for (size_t i = 0; err == 0 && i < help_topic_count; i++)
        err = text_entry(to, help_topics[i].name, help_topics[i].title, COMMAND_COLUMN, width);
    if (err == 0) err = text_entry(to, "settings", "Settings of a broker", COMMAND_COLUMN, width);
    if (err == 0)
        err = buffer_append_string(to, "\nFirst steps:\n"
                                       "  mesh serve                    a broker on this machine\n"
                                       "  mesh produce orders < FILE    one record per line\n"
                                       "  mesh consume orders\n"
                                       "\n'mesh help COMMAND' or 'mesh COMMAND --help' tells more.\n");
    return err;
}

int help_topic(struct buffer *to, const struct help_topic *topic, size_t width)
{
    int err = buffer_printf(to, "%s\n\n", topic->title);

    return err != 0 ? err : text_fill(to, topic->text, 0, width);
}

int help_settings(struct buffer *to, size_t width)
{
    char range[SETTINGS_TEXT_MAX], fallback[SETTINGS_TEXT_MAX];
    const struct setting_info *info;
    int err = buffer_append_string(to, "Settings of a broker\n\n");

    if (err == 0)
        err =
            text_fill(to,
                      "Given as KEY = VALUE lines in the file of 'mesh serve --config' (# begins a remark), "
                      "as environment "
                      "variables (MESH_ and the key in capitals, _ for . and -), or with --set KEY=VALUE; "
                      "the last one holds, "
                      "in this order. The options of 'mesh serve' (data, listen, name, log-format and so on) may stand there, too. "
                      "Bytes may be written 64k, 16MiB, 1g; ms 500ms, 5s, 10m, 7d. "
                      "topic.KEY is the default of a topic's configuration key for new topics. Those that are live may be changed while the broker runs, with 'mesh config set'; what that keeps "
                      "comes after all of these places.\n",
                      0, width);
    for (size_t i = 0; err == 0 && (info = settings_info(i)) != NULL; i++) {
        struct buffer text = BUFFER_INIT;
        if (strcmp(info->unit, "file") == 0)
            err = buffer_printf(&text, "%s (file) [none]", info->help);
        else
            err = buffer_printf(&text, "%s (%s, %s%s) [%s]", info->help, info->unit, settings_format_range(i, range),
                                (info->flags & SETTING_LIVE) != 0 ? "; live" : "", settings_format_number(i, info->fallback, fallback));
        if (err == 0) err = buffer_append(&text, "", 1);
        if (err == 0) err = text_entry(to, info->key, (char *)text.data, OPTION_COLUMN, width);
        buffer_deinit(&text);
    }
    return err;
}
