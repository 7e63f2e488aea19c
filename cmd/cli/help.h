/* cli/help.h - what `mesh help` and --help print, from the command table. Pure: writes to a buffer.
 *
 * Errors of all: MESH_ENOMEM. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "base/buffer.h"
#include "cmd/cli/command.h"

int help_overview(struct buffer *to, size_t width);
int help_group(struct buffer *to, const struct command_group *group, size_t width);
int help_command(struct buffer *to, const struct command_spec *command, size_t width);
int help_topic(struct buffer *to, const struct help_topic *topic, size_t width);
int help_settings(struct buffer *to, size_t width);

/* "--name VALUE" as help and the manual show an option. */
int help_option_head(struct buffer *to, const struct option_spec *option);
/* The help sentence with choices, default and repeatability. */
int help_option_text(struct buffer *to, const struct option_spec *option);

#endif
