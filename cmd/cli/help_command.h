/* cli/help_command.h - prints help. Asked for it goes to standard output, as the answer to a fault to
 * standard error. */
#ifndef CLI_HELP_COMMAND_H
#define CLI_HELP_COMMAND_H

#include "cmd/cli/command.h"

/* Each returns the exit code of the printing. */
int help_print_overview(bool is_fault);
int help_print_group(const struct command_group *group, bool is_fault);
int help_print_command(const struct command_spec *command);

#endif
