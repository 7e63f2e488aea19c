/* cli/reference.h - the configuration reference (deploy/guide/configuration.md), from the tables of options, settings and topics' configuration. Pure: writes to a
 * buffer. */
#ifndef CLI_REFERENCE_H
#define CLI_REFERENCE_H

#include "base/buffer.h"

/* Errors: MESH_ENOMEM. */
int reference_write(struct buffer *to);

#endif
