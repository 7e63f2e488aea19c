/* broker/front/tls.h - certificate and key of the port: read at start, read again when their files change or on SIGHUP.
 *
 * Belongs to the control loop, but for tls_context(). A file that cannot be used later is complained about once, what was read before holds, and it is
 * tried again at each look. */
#ifndef BROKER_FRONT_TLS_H
#define BROKER_FRONT_TLS_H

#include "cmd/broker/settings.h"

#include <stdbool.h>

struct ev_loop;
struct ssl_ctx_st;
struct tls;

#define TLS_MESSAGE_SIZE 512

/* Whether tls_open() would take the files: for a start that has written nothing yet. Errors as there. */
int tls_check(const struct settings *settings, char message[TLS_MESSAGE_SIZE]);

/* Reads the files of the settings; *ret_tls is NULL when none are named: then the port speaks no TLS. On failure `message` is a sentence. Errors:
 * MESH_EINVAL (one of two is named; unreadable; not PEM; key and certificate are not a pair), MESH_ENOMEM. */
int tls_open(const struct settings *settings, struct ev_loop *loop, struct tls **ret_tls, char message[TLS_MESSAGE_SIZE]);
void tls_close(struct tls *tls); /* accepts NULL */

/* Looks at the files now, changed or not. Accepts NULL. */
void tls_reload(struct tls *tls);

/* When the certificate that new connections are shown ends, seconds since 1970-01-01 UTC; 0: no TLS. Accepts NULL. */
int64_t tls_expires_s(const struct tls *tls);

/* For a new connection, with a reference that the caller gives back. Any thread. */
struct ssl_ctx_st *tls_context(struct tls *tls);

#endif
