#include "cmd/cli/session.h"

#include "base/assert.h"

#include <limits.h>
#include <string.h>

#define TIMEOUT_DEFAULT_MS 30000
#define REFUSED_DEFAULT_MS 2000 /* a broker that is being started has its port by then */

enum exit_code session_open(const struct arguments *arguments, struct session *ret_session)
{
    const char *brokers = arguments_text(arguments, "broker", NULL);
    int64_t timeout_ms = arguments_duration_ms(arguments, "timeout", TIMEOUT_DEFAULT_MS);
    struct session session = {.is_json = arguments_has(arguments, "json"),
                              .has_timeout = arguments_has(arguments, "timeout")};
    int err;

    session.timeout_ms = timeout_ms < 1 ? 1 : timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms;
    err = mesh_client_new(brokers, &session.client);
    if (err == MESH_EINVAL) {
        failure_report(session.is_json, err,
                       "the list of brokers is not of the form HOST:PORT[,HOST:PORT...]", "%s",
                       brokers != NULL ? brokers : "MESH_BROKER");
        return EXIT_USAGE;
    }
    if (err != 0) return failure_report(session.is_json, err, NULL, "starting the client");
    err = mesh_client_set_timeout_ms(session.client, session.timeout_ms);
    MESH_ASSERT(err == 0);
    if (!session.has_timeout) {
        err = mesh_client_set_refused_timeout_ms(session.client, REFUSED_DEFAULT_MS);
        MESH_ASSERT(err == 0);
    }
    (void)mesh_client_set_name(session.client, "mesh-cli"); /* a name that is missing in a log harms nobody */
    *ret_session = session;
    return EXIT_DONE;
}

void session_close(struct session *session)
{
    mesh_client_free(session->client);
    session->client = NULL;
}
