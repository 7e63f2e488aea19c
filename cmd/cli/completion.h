/* cli/completion.h - shell completions from the command table. Pure: writes to a buffer.
 *
 * Names of topics are asked of the broker (mesh topic list --names, one second at most). */
#ifndef CLI_COMPLETION_H
#define CLI_COMPLETION_H

#include "base/buffer.h"

/* Errors of all: MESH_ENOMEM. */
int completion_bash(struct buffer *to);
int completion_zsh(struct buffer *to);
int completion_fish(struct buffer *to);

/* For these three: the names of all settings, a blank behind each. */
int completion_settings(struct buffer *to);

#endif
