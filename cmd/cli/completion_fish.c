/* The completion for fish: one `complete` line per word. */
#include "cmd/cli/command.h"
#include "cmd/cli/completion.h"

#include <string.h>

/* Text inside single quotes, where fish knows \\ and \' only. */
static int append_quoted(struct buffer *to, const char *text)
{
    int err = 0;

    for (; err == 0 && *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\') err = buffer_append_string(to, "\\");
        if (err == 0) err = buffer_append(to, text, 1);
    }
    return err;
}

static int append_word(struct buffer *to, const char *condition, const char *word, const char *summary)
{
    int err = buffer_printf(to, "complete -c mesh -f -n '%s' -a '%s' -d '", condition, word);

    if (err == 0) err = append_quoted(to, summary);
    return err != 0 ? err : buffer_append_string(to, "'\n");
}

static int append_option(struct buffer *to, const struct command_spec *command,
                         const struct option_spec *option)
{
    int err = buffer_printf(to, "complete -c mesh -n '__mesh_in %s' -l %s", command->name, option->name);

    if (err != 0) return err;
    switch (option->kind) {
    case OPTION_FLAG: break;
    case OPTION_FILE: err = buffer_append_string(to, " -r -F"); break;
    case OPTION_DIRECTORY: err = buffer_append_string(to, " -x -a '(__fish_complete_directories)'"); break;
    case OPTION_START: err = buffer_append_string(to, " -x -a 'beginning end offset: time:'"); break;
    case OPTION_CHOICE:
        err = buffer_append_string(to, " -x -a '");
        for (const char *c = option->choices; err == 0 && *c != '\0'; c++)
            err = buffer_append(to, *c == '|' ? " " : c, 1);
        if (err == 0) err = buffer_append_string(to, "'");
        break;
    default: err = buffer_append_string(to, " -x"); break;
    }
    if (err == 0) err = buffer_append_string(to, " -d '");
    if (err == 0) err = append_quoted(to, option->help);
    return err != 0 ? err : buffer_append_string(to, "'\n");
}

static int append_command(struct buffer *to, const struct command_spec *command)
{
    const struct option_spec *option;
    int err = 0;

    if (command->further_operands != OPERAND_FILE)
        err = buffer_printf(to, "complete -c mesh -f -n '__mesh_in %s'\n", command->name);
    if (err == 0 && command->first_operand == OPERAND_TOPIC)
        err = buffer_printf(to, "complete -c mesh -n '__mesh_in %s' -a '(__mesh_topics)'\n", command->name);
    if (err == 0 && command->first_operand == OPERAND_SETTING) {
        err = buffer_printf(to, "complete -c mesh -n '__mesh_in %s' -a '", command->name);
        if (err == 0) err = completion_settings(to);
        if (err == 0) err = buffer_append_string(to, "'\n");
    }
    for (size_t i = 0; err == 0 && (option = command_option_at(command, i)) != NULL; i++)
        err = append_option(to, command, option);
    return err;
}

static const char head[] =
    "# fish completion for mesh; made from its table of commands.\n"
    "function __mesh_topics\n"
    "    mesh topic list --names --timeout 1s 2>/dev/null\n"
    "end\n\n"
    "# True when the words after mesh begin with the arguments, and another word follows.\n"
    "function __mesh_in\n"
    "    set -l words (commandline -opc)\n"
    "    set -e words[1]\n"
    "    for word in $argv\n"
    "        test (count $words) -gt 0; and test \"$words[1]\" = $word; or return 1\n"
    "        set -e words[1]\n"
    "    end\n"
    "end\n\n"
    "# True when the words after mesh are exactly the arguments.\n"
    "function __mesh_at\n"
    "    set -l words (commandline -opc)\n"
    "    set -e words[1]\n"
    "    test \"$words\" = \"$argv\"\n"
    "end\n\n";

int completion_fish(struct buffer *to)
{
    int err = buffer_append_string(to, head);

    for (size_t i = 0; err == 0 && i < COMMAND_COUNT; i++)
        if (strchr(command_table[i].name, ' ') == NULL)
            err = append_word(to, "__mesh_at", command_table[i].name, command_table[i].summary);
    for (size_t i = 0; err == 0 && i < command_group_count; i++) {
        const char *group = command_groups[i].name;
        struct buffer condition = BUFFER_INIT;
        err = append_word(to, "__mesh_at", group, command_groups[i].summary);
        if (err == 0) err = buffer_printf(&condition, "__mesh_at %s%c", group, '\0');
        for (size_t j = 0; err == 0 && j < COMMAND_COUNT; j++)
            if (command_is_in_group(&command_table[j], group))
                err = append_word(to, (char *)condition.data, command_table[j].name + strlen(group) + 1,
                                  command_table[j].summary);
        buffer_deinit(&condition);
    }
    for (size_t i = 0; err == 0 && i < help_topic_count; i++)
        err = append_word(to, "__mesh_at help", help_topics[i].name, help_topics[i].title);
    for (size_t i = 0; err == 0 && i < COMMAND_COUNT; i++)
        err = append_command(to, &command_table[i]);
    return err;
}
