/* cli/failure.h - exit codes, and how a command says that it failed: what, why, and what to do about it. */
#ifndef CLI_FAILURE_H
#define CLI_FAILURE_H

#include "base/buffer.h"

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_UNREACHABLE = 3,
    EXIT_TIMED_OUT = 4,
    EXIT_SIGNAL = 128, /* plus the signal's number: an orderly stop that it asked for */
};

/* The exit code of a MESH_E code; 0 for 0. */
enum exit_code failure_exit_code(int error);

/* What to do about an error, as a sentence with its full stop, or "" when there is nothing to advise. */
const char *failure_remedy(int error);

/* Writes "mesh: WHAT: CAUSE\n" and the remedy on a second line to standard error; with is_json also
 * {"error": {"code", "name", "message"}} to standard output. `cause` NULL or "": the error's own sentence.
 * Returns failure_exit_code(error). */
enum exit_code failure_report(bool is_json, int error, const char *cause, const char *what, ...)
    __attribute__((format(printf, 4, 5)));

/* Writing here failed (standard output, a file): said without the remedies, which are for brokers. Returns EXIT_FAILED. */
enum exit_code failure_output(int error, const char *what);

/* Wrong usage: the fault and where to read on, to standard error. Returns EXIT_USAGE. */
enum exit_code failure_usage(const char *command, const char *fault);

#endif
