#include "cmd/cli/command.h"

#include <string.h>

const struct command_spec *command_find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(command_table[i].name, name) == 0) return &command_table[i];
    return NULL;
}

const struct command_group *command_find_group(const char *name)
{
    for (size_t i = 0; i < command_group_count; i++)
        if (strcmp(command_groups[i].name, name) == 0) return &command_groups[i];
    return NULL;
}

bool command_is_in_group(const struct command_spec *command, const char *group)
{
    size_t size = strlen(group);

    return strncmp(command->name, group, size) == 0 && command->name[size] == ' ';
}

const struct option_spec *command_option_at(const struct command_spec *command, size_t index)
{
    if (index < command->option_count) return &command->options[index];
    index -= command->option_count;
    if (command->is_client) {
        if (index < command_client_option_count) return &command_client_options[index];
        index -= command_client_option_count;
    }
    return index == 0 ? &command_help_option : NULL;
}

const struct option_spec *command_find_option(const struct command_spec *command, const char *name)
{
    const struct option_spec *option;

    for (size_t i = 0; (option = command_option_at(command, i)) != NULL; i++)
        if (strcmp(option->name, name) == 0) return option;
    return NULL;
}
