#include "cmd/cli/completion.h"

#include "cmd/broker/settings.h"
#include "cmd/cli/command.h"

#include <string.h>

/* Runs append(to, name, size) for every first word of a command, each once. */
static int for_each_first_word(struct buffer *to, int (*append)(struct buffer *, const char *, size_t))
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < COMMAND_COUNT; i++) {
        const char *name = command_table[i].name;
        size_t size = strcspn(name, " ");
        const char *previous = i > 0 ? command_table[i - 1].name : "";
        bool is_repeated =
            strncmp(previous, name, size) == 0 && (previous[size] == ' ' || previous[size] == '\0');
        if (!is_repeated) err = append(to, name, size);
    }
    return err;
}

static int append_word(struct buffer *to, const char *word, size_t size)
{
    return buffer_printf(to, "%.*s ", (int)size, word);
}

static int append_group_members(struct buffer *to, const char *group)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < COMMAND_COUNT; i++)
        if (command_is_in_group(&command_table[i], group))
            err = append_word(to, command_table[i].name + strlen(group) + 1,
                              strlen(command_table[i].name) - strlen(group) - 1);
    return err;
}

/* The choices of an option with blanks between. */
static int append_choices(struct buffer *to, const char *choices)
{
    int err = 0;

    for (; err == 0 && *choices != '\0'; choices++)
        err = buffer_append(to, *choices == '|' ? " " : choices, 1);
    return err;
}

static int append_help_subjects(struct buffer *to)
{
    int err = buffer_append_string(to, "settings ");

    for (size_t i = 0; err == 0 && i < help_topic_count; i++)
        err = append_word(to, help_topics[i].name, strlen(help_topics[i].name));
    return err;
}

int completion_settings(struct buffer *to)
{
    const struct setting_info *info;
    int err = 0;

    for (size_t i = 0; err == 0 && (info = settings_info(i)) != NULL; i++)
        err = append_word(to, info->key, strlen(info->key));
    return err;
}

/* ---- bash ---- */

/* What the operands of a command complete to, as a bash command line. */
static const char *bash_operands(enum operand_kind kind)
{
    switch (kind) {
    case OPERAND_TOPIC: return "topic";
    case OPERAND_FILE: return "file";
    case OPERAND_COMMAND: return "command";
    case OPERAND_SETTING: return "setting";
    default: return "none";
    }
}

static int bash_option_values(struct buffer *to, const struct command_spec *command)
{
    const struct option_spec *option;
    int err = 0;

    for (size_t i = 0; err == 0 && (option = command_option_at(command, i)) != NULL; i++) {
        if (option->kind == OPTION_FLAG) continue;
        err = buffer_printf(to, "    '%s --%s') ", command->name, option->name);
        if (err != 0) break;
        if (option->kind == OPTION_CHOICE) {
            err = buffer_append_string(to, "COMPREPLY=($(compgen -W '");
            if (err == 0) err = append_choices(to, option->choices);
            if (err == 0) err = buffer_append_string(to, "' -- \"$cur\"));");
        } else if (option->kind == OPTION_START) {
            err = buffer_append_string(
                to, "COMPREPLY=($(compgen -W 'beginning end offset: time:' -- \"$cur\"));");
        } else if (option->kind == OPTION_FILE) {
            err = buffer_append_string(to, "COMPREPLY=($(compgen -f -- \"$cur\"));");
        } else if (option->kind == OPTION_DIRECTORY) {
            err = buffer_append_string(to, "COMPREPLY=($(compgen -d -- \"$cur\"));");
        }
        if (err == 0) err = buffer_append_string(to, " return ;;\n");
    }
    return err;
}

static int bash_command(struct buffer *to, const struct command_spec *command)
{
    const struct option_spec *option;
    int err = buffer_printf(to, "    '%s') first=%s further=%s options='", command->name,
                            bash_operands(command->first_operand), bash_operands(command->further_operands));

    for (size_t i = 0; err == 0 && (option = command_option_at(command, i)) != NULL; i++)
        err = buffer_printf(to, "--%s ", option->name);
    return err != 0 ? err : buffer_append_string(to, "' ;;\n");
}

static int bash_groups(struct buffer *to)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < command_group_count; i++) {
        err = buffer_printf(
            to, "    %s)\n        if ((COMP_CWORD == 2)); then\n            COMPREPLY=($(compgen -W '",
            command_groups[i].name);
        if (err == 0) err = append_group_members(to, command_groups[i].name);
        if (err == 0)
            err = buffer_append_string(
                to, "' -- \"$cur\"))\n            return\n        fi\n"
                    "        command=\"$command ${COMP_WORDS[2]}\"\n        at=3\n        ;;\n");
    }
    return err;
}

static const char bash_head[] =
    "# bash completion for mesh; made from its table of commands.\n"
    "_mesh_operand() {\n"
    "    case $1 in\n"
    "    topic) COMPREPLY=($(compgen -W \"$(mesh topic list --names --timeout 1s 2>/dev/null)\" -- "
    "\"$cur\")) ;;\n"
    "    file) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
    "    command) COMPREPLY=($(compgen -W \"$first_words $subjects\" -- \"$cur\")) ;;\n"
    "    setting) COMPREPLY=($(compgen -W \"$settings\" -- \"$cur\")) ;;\n"
    "    esac\n"
    "}\n\n"
    "_mesh() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}\n"
    "    local at=2 first=none further=none options= first_words subjects settings\n"
    "    COMPREPLY=()\n"
    "    first_words='";

static const char bash_tail[] = "    esac\n"
                                "    if [[ $cur == -* ]]; then\n"
                                "        COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
                                "    elif ((COMP_CWORD == at)); then\n"
                                "        _mesh_operand \"$first\"\n"
                                "    else\n"
                                "        _mesh_operand \"$further\"\n"
                                "    fi\n"
                                "}\n"
                                "complete -o filenames -o bashdefault -F _mesh mesh\n";

int completion_bash(struct buffer *to)
{
    int err = buffer_append_string(to, bash_head);

    if (err == 0) err = for_each_first_word(to, append_word);
    if (err == 0) err = buffer_append_string(to, "'\n    subjects='");
    if (err == 0) err = append_help_subjects(to);
    if (err == 0) err = buffer_append_string(to, "'\n    settings='");
    if (err == 0) err = completion_settings(to);
    if (err == 0)
        err = buffer_append_string(
            to, "'\n    if ((COMP_CWORD == 1)); then\n"
                "        COMPREPLY=($(compgen -W \"$first_words --help --version\" -- \"$cur\"))\n"
                "        return\n    fi\n    case $command in\n");
    if (err == 0) err = bash_groups(to);
    if (err == 0) err = buffer_append_string(to, "    esac\n    case \"$command $prev\" in\n");
    for (size_t i = 0; err == 0 && i < COMMAND_COUNT; i++)
        err = bash_option_values(to, &command_table[i]);
    if (err == 0) err = buffer_append_string(to, "    esac\n    case $command in\n");
    for (size_t i = 0; err == 0 && i < COMMAND_COUNT; i++)
        err = bash_command(to, &command_table[i]);
    return err != 0 ? err : buffer_append_string(to, bash_tail);
}
