/* cli/session.h - a client command's connection to the mesh, from the options that all of them share. */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include "cmd/cli/arguments.h"
#include "cmd/cli/failure.h"

#include <mesh/mesh.h>

struct session {
    struct mesh_client *client; /* owned */
    int timeout_ms;             /* of --timeout, or the default */
    bool has_timeout;           /* --timeout was given */
    bool is_json;
};

/* Reports its own failure. Returns EXIT_DONE, or the code to exit with (then there is nothing to close). */
enum exit_code session_open(const struct arguments *arguments, struct session *ret_session);
void session_close(struct session *session);

/* Reports that a call of this client failed, with the client's sentence. Returns the exit code. */
#define session_fail(session, error, ...)                                                                    \
    failure_report((session)->is_json, (error), mesh_client_error((session)->client), __VA_ARGS__)

#endif
