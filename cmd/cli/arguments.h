/* cli/arguments.h - one command line, parsed and checked against the command table.
 *
 * Options may stand anywhere, as --name VALUE or --name=VALUE; "--" ends them; "-" alone is an operand. Every
 * value is checked here, so that commands never see an ill-formed one. Texts are borrowed from argv. */
#ifndef CLI_ARGUMENTS_H
#define CLI_ARGUMENTS_H

#include "base/buffer.h"
#include "cmd/cli/command.h"

struct argument {
    const struct option_spec *option;
    const char *text; /* NULL for a flag */
};

struct arguments {
    const struct command_spec *command;
    struct argument *options; /* owned; in the order given */
    size_t option_count;
    const char **operands; /* owned array, NULL-terminated */
    size_t operand_count;
};

/* Parses argv[0..argc) (what follows the command's name). `--help` among them wins over every fault. Errors:
 * MESH_EINVAL, with a sentence (no newline) in `fault`; MESH_ENOMEM. */
int arguments_parse(const struct command_spec *command, int argc, char **argv,
                    struct arguments *ret_arguments, struct buffer *fault);
void arguments_deinit(struct arguments *arguments);

/* An option that the command does not have is a bug of the caller, and asserted. The last one given holds. */
bool arguments_has(const struct arguments *arguments, const char *name);
const char *arguments_text(const struct arguments *arguments, const char *name, const char *fallback);
int64_t arguments_integer(const struct arguments *arguments, const char *name, int64_t fallback);
int64_t arguments_size(const struct arguments *arguments, const char *name, int64_t fallback);
int64_t arguments_duration_ms(const struct arguments *arguments, const char *name, int64_t fallback);

/* The next value of a repeatable option at or after *cursor (start at 0), or NULL; moves the cursor behind
 * it. */
const char *arguments_next(const struct arguments *arguments, const char *name, size_t *cursor);

#endif
