/* cli/standard_output.h - data to standard output in large pieces.
 *
 * A reader that has gone (EPIPE) is no fault: the first write that meets it returns MESH_ECLOSED, and
 * commands then end quietly. main() ignores SIGPIPE for this. */
#ifndef CLI_STANDARD_OUTPUT_H
#define CLI_STANDARD_OUTPUT_H

#include "base/buffer.h"

/* Writes everything. Errors: MESH_ECLOSED (nobody reads any more), MESH_EFULL, MESH_EIO. */
int standard_output_write(const void *data, size_t size);

/* Prints and empties a buffer of text, then frees it; returns an exit code: EXIT_DONE also when nobody reads.
 * `err` is the outcome of building the text: when it is not 0, that is reported instead. */
int standard_output_finish(struct buffer *text, int err);

#endif
