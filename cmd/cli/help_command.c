/* mesh help | version, and --help */
#include "cmd/cli/help_command.h"

#include "cmd/cli/commands.h"
#include "cmd/cli/failure.h"
#include "cmd/cli/help.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/terminal.h"

#include <mesh/mesh.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WIDTH_MAX 100 /* columns; longer lines of prose are hard to read */

static size_t help_width(void)
{
    size_t width = terminal_width(STDOUT_FILENO);

    return width < WIDTH_MAX ? width : WIDTH_MAX;
}

static int print(struct buffer *text, int err, bool is_fault)
{
    if (!is_fault || err != 0) return standard_output_finish(text, err);
    fprintf(stderr, "%.*s", (int)text->size, (const char *)text->data);
    buffer_deinit(text);
    return EXIT_DONE;
}

int help_print_overview(bool is_fault)
{
    struct buffer text = BUFFER_INIT;

    return print(&text, help_overview(&text, help_width()), is_fault);
}

int help_print_group(const struct command_group *group, bool is_fault)
{
    struct buffer text = BUFFER_INIT;

    return print(&text, help_group(&text, group, help_width()), is_fault);
}

int help_print_command(const struct command_spec *command)
{
    struct buffer text = BUFFER_INIT;

    return print(&text, help_command(&text, command, help_width()), false);
}

static int print_topic(const char *name)
{
    struct buffer text = BUFFER_INIT;
    char fault[160];

    if (strcmp(name, "settings") == 0) return print(&text, help_settings(&text, help_width()), false);
    for (size_t i = 0; i < help_topic_count; i++)
        if (strcmp(help_topics[i].name, name) == 0)
            return print(&text, help_topic(&text, &help_topics[i], help_width()), false);
    snprintf(fault, sizeof(fault), "there is no command or subject '%.80s'", name);
    return (int)failure_usage("", fault);
}

int command_help(const struct arguments *arguments)
{
    const struct command_group *group;
    const struct command_spec *command;
    char name[160];

    if (arguments->operand_count == 0) return help_print_overview(false);
    if (arguments->operand_count == 1)
        snprintf(name, sizeof(name), "%.70s", arguments->operands[0]);
    else
        snprintf(name, sizeof(name), "%.70s %.70s", arguments->operands[0], arguments->operands[1]);
    command = command_find(name);
    if (command != NULL) return help_print_command(command);
    group = command_find_group(name);
    if (group != NULL) return help_print_group(group, false);
    return print_topic(name);
}

int command_version(const struct arguments *arguments)
{
    struct buffer text = BUFFER_INIT;

    (void)arguments; /* it takes none but --help */
    return standard_output_finish(&text, buffer_printf(&text, "mesh %s\n", mesh_version()));
}
