/* broker/front/kafka/login.h - who is at the other end: SASL, as far as a session knows it.
 *
 * Where `auth.required` is 1, a session serves nothing but versions and logins until it knows its client, and holds little memory for it; elsewhere
 * a client may log in, and is believed no sooner. */
#ifndef BROKER_FRONT_KAFKA_LOGIN_H
#define BROKER_FRONT_KAFKA_LOGIN_H

#include "cmd/broker/front/connection.h"
#include "sasl/sasl_server.h"

struct kafka_request;

/* A login under way. */
struct kafka_login {
    struct sasl_server server;
    bool is_raw; /* its tokens come without Kafka's headers: after a handshake of version 0 */
};

/* How large a request may be of somebody who is not known yet: a login takes hundreds of bytes. */
#define KAFKA_STRANGER_REQUEST_MAX (64u << 10)

/* Why this request may not be served now, as the end of a log line; NULL: it may. */
const char *kafka_login_objection(const struct kafka_request *request);

/* A token without a header. `token` is the whole frame behind its size. */
enum serve kafka_serve_token(struct kafka_request *request, struct slice token);

void kafka_login_free(struct kafka_login *login);

#endif
