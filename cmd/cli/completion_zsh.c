/* The completion for zsh: one _arguments call per command. */
#include "cmd/cli/command.h"
#include "cmd/cli/completion.h"

#include <string.h>

/* Text inside single quotes and inside the [...] or a :...: field of an _arguments specification. */
static int append_quoted(struct buffer *to, const char *text)
{
    int err = 0;

    for (; err == 0 && *text != '\0'; text++) {
        if (*text == '\'')
            err = buffer_append_string(to, "'\\''");
        else if (strchr("[]:\\", *text) != NULL)
            err = buffer_printf(to, "\\%c", *text);
        else
            err = buffer_append(to, text, 1);
    }
    return err;
}

static int append_value(struct buffer *to, const struct option_spec *option)
{
    int err = buffer_append_string(to, ":");

    if (err == 0) err = append_quoted(to, option->value_name);
    if (err == 0) err = buffer_append_string(to, ":");
    if (err != 0) return err;
    switch (option->kind) {
    case OPTION_FILE: return buffer_append_string(to, "_files");
    case OPTION_DIRECTORY: return buffer_append_string(to, "_files -/");
    case OPTION_START: return buffer_append_string(to, "(beginning end offset\\: time\\:)");
    case OPTION_CHOICE:
        err = buffer_append_string(to, "(");
        for (const char *c = option->choices; err == 0 && *c != '\0'; c++)
            err = buffer_append(to, *c == '|' ? " " : c, 1);
        return err != 0 ? err : buffer_append_string(to, ")");
    default: return buffer_append_string(to, " ");
    }
}

static int append_option(struct buffer *to, const struct option_spec *option)
{
    int err = buffer_printf(to, " \\\n            '%s--%s%s[", option->is_repeatable ? "*" : "", option->name,
                            option->kind == OPTION_FLAG ? "" : "=");

    if (err == 0) err = append_quoted(to, option->help);
    if (err == 0) err = buffer_append_string(to, "]");
    if (err == 0 && option->kind != OPTION_FLAG) err = append_value(to, option);
    return err != 0 ? err : buffer_append_string(to, "'");
}

static const char *operand_action(enum operand_kind kind)
{
    switch (kind) {
    case OPERAND_TOPIC: return "topic:_mesh_topics";
    case OPERAND_FILE: return "file:_files";
    case OPERAND_COMMAND: return "command:_mesh_commands";
    case OPERAND_SETTING: return "setting:_mesh_settings";
    default: return NULL;
    }
}

static int append_command(struct buffer *to, const struct command_spec *command)
{
    const char *first = operand_action(command->first_operand),
               *further = operand_action(command->further_operands);
    const struct option_spec *option;
    int err = buffer_printf(to, "    '%s')\n        _arguments", command->name);

    for (size_t i = 0; err == 0 && (option = command_option_at(command, i)) != NULL; i++)
        err = append_option(to, option);
    if (err == 0 && first != NULL) err = buffer_printf(to, " \\\n            '1:%s'", first);
    if (err == 0 && further != NULL) err = buffer_printf(to, " \\\n            '*:%s'", further);
    return err != 0 ? err : buffer_append_string(to, "\n        ;;\n");
}

/* 'name:summary' of every member of a group, or of every first word when group is NULL. */
static int append_descriptions(struct buffer *to, const char *group)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < COMMAND_COUNT; i++) {
        const struct command_spec *command = &command_table[i];
        bool is_single = strchr(command->name, ' ') == NULL;
        if (group == NULL ? !is_single : !command_is_in_group(command, group)) continue;
        err = buffer_printf(to, " '%s:", command->name + (group != NULL ? strlen(group) + 1 : 0));
        if (err == 0) err = append_quoted(to, command->summary);
        if (err == 0) err = buffer_append_string(to, "'");
    }
    for (size_t i = 0; err == 0 && group == NULL && i < command_group_count; i++) {
        err = buffer_printf(to, " '%s:", command_groups[i].name);
        if (err == 0) err = append_quoted(to, command_groups[i].summary);
        if (err == 0) err = buffer_append_string(to, "'");
    }
    return err;
}

static int append_groups(struct buffer *to)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < command_group_count; i++) {
        err = buffer_printf(to, "    %s)\n        if ((CURRENT == 3)); then\n            local -a members=(",
                            command_groups[i].name);
        if (err == 0) err = append_descriptions(to, command_groups[i].name);
        if (err == 0)
            err = buffer_append_string(
                to, ")\n            _describe command members\n            return\n        fi\n"
                    "        command=\"$command $words[3]\"\n        shift words\n        ((CURRENT--))\n    "
                    "    ;;\n");
    }
    return err;
}

int completion_zsh(struct buffer *to)
{
    int err = buffer_append_string(
        to, "#compdef mesh\n# zsh completion for mesh; made from its table of commands.\n"
            "_mesh_topics() {\n"
            "    local -a topics=(${(f)\"$(mesh topic list --names --timeout 1s 2>/dev/null)\"})\n"
            "    _describe topic topics\n}\n\n"
            "_mesh_commands() {\n    local -a commands=(");

    if (err == 0) err = append_descriptions(to, NULL);
    if (err == 0)
        err = buffer_append_string(
            to, ")\n    _describe command commands\n}\n\n"
                "_mesh_settings() {\n    local -a settings=(");
    if (err == 0) err = completion_settings(to);
    if (err == 0)
        err = buffer_append_string(
            to, ")\n    _describe setting settings\n}\n\n"
                "_mesh() {\n"
                "    if ((CURRENT == 2)); then\n        _mesh_commands\n        return\n    fi\n"
                "    local command=$words[2]\n    case $command in\n");
    if (err == 0) err = append_groups(to);
    if (err == 0)
        err =
            buffer_append_string(to, "    esac\n    shift words\n    ((CURRENT--))\n    case $command in\n");
    for (size_t i = 0; err == 0 && i < COMMAND_COUNT; i++)
        err = append_command(to, &command_table[i]);
    return err != 0 ? err : buffer_append_string(to, "    esac\n}\n\n_mesh \"$@\"\n");
}
