/* cli/manual.h - the man page mesh(1) in roff's man macros, from the command table. Pure: writes to a buffer.
 */
#ifndef CLI_MANUAL_H
#define CLI_MANUAL_H

#include "base/buffer.h"

/* Errors: MESH_ENOMEM. */
int manual_write(struct buffer *to, const char *version);

#endif
