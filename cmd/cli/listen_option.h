/* cli/listen_option.h - what --listen names: the one port, or with kafka-gateway:// in front of it the gateway's. Pure. */
#ifndef CLI_LISTEN_OPTION_H
#define CLI_LISTEN_OPTION_H

#include "base/buffer.h"

/* Takes "HOST:PORT" and "kafka-gateway://HOST:PORT", one or both (not one of them twice) with a comma between them. What the text does not name stays as it
 * was; what it names is replaced (malloc'ed; the old text is freed). Whether an address is one is judged where it is bound. Errors:
 * MESH_EINVAL, with a sentence in `fault` that begins with `where`; MESH_ENOMEM. */
int listen_option_set(char **listen, char **gateway, const char *text, const char *where, struct buffer *fault);

#endif
