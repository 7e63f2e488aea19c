/* sasl/sasl_server.h - the broker's side of one login: PLAIN (RFC 4616) and SCRAM (RFC 5802, RFC 7677).
 *
 * No I/O, no clock, no randomness of its own: tokens go in, and out comes what the caller does next. For each token:
 *
 *   sasl_server_step() -> SASL_LOOK_UP:  the caller finds the verifier of `name` (or makes a fake one) and calls sasl_server_challenge()
 *                      -> SASL_CHECK:    the caller checks `password` against a verifier of `name`, which takes long: not on a loop
 *                      -> SASL_DONE:     `name` is who they say; the reply is sent
 *                      -> SASL_FAILED:   they are not, or what came cannot be read
 *                      -> SASL_PUT_OFF:  there is no memory: nobody was judged
 *
 * That order is the whole protocol: SCRAM is LOOK_UP and then DONE, FAILED or PUT_OFF, PLAIN is CHECK, whose result is the caller's to tell. */
#ifndef SASL_SASL_SERVER_H
#define SASL_SASL_SERVER_H

#include "base/buffer.h"
#include "sasl/scram.h"

enum sasl_mechanism { SASL_PLAIN, SASL_SCRAM_SHA_256, SASL_SCRAM_SHA_512 };
#define SASL_MECHANISM_COUNT 3

/* As Kafka's protocol names them. */
const char *sasl_mechanism_name(enum sasl_mechanism mechanism);
/* False: not known. */
bool sasl_mechanism_find(struct slice name, enum sasl_mechanism *ret_mechanism);

#define SASL_NAME_SIZE_MAX    255
#define SASL_TOKEN_SIZE_MAX   2048 /* of a client */
#define SASL_NONCE_MAX        64   /* of ours */
#define SASL_CLIENT_NONCE_MAX 256

enum sasl_step { SASL_LOOK_UP, SASL_CHECK, SASL_DONE, SASL_FAILED, SASL_PUT_OFF };
enum sasl_state { SASL_BEGIN, SASL_LOOKING_UP, SASL_CHALLENGED, SASL_OVER };

struct sasl_server {
    enum sasl_mechanism mechanism;
    enum sasl_state state;
    char name[SASL_NAME_SIZE_MAX + 1];
    char password[SCRAM_PASSWORD_SIZE_MAX + 1]; /* of PLAIN, from SASL_CHECK on */
    size_t password_size;
    struct scram_verifier verifier; /* of SCRAM, from the challenge on */
    /* What both sides sign: the first message without its header, and the answer to it. */
    char client_first[SASL_TOKEN_SIZE_MAX + 1];
    size_t client_first_size;
    char header[SASL_NAME_SIZE_MAX * 3 + 8]; /* gs2: repeated, in base64, in the last message */
    size_t header_size;
    char nonce[SASL_CLIENT_NONCE_MAX + SASL_NONCE_MAX];
    size_t nonce_size;
    struct buffer server_first;
};

void sasl_server_init(struct sasl_server *server, enum sasl_mechanism mechanism);
/* Wipes it; harmless on one that was wiped. */
void sasl_server_deinit(struct sasl_server *server);

/* Takes a token; what is to be sent for SASL_DONE is appended to `reply`. */
enum sasl_step sasl_server_step(struct sasl_server *server, struct slice token, struct buffer *reply);

/* After SASL_LOOK_UP: `verifier` is copied; `nonce` is our half of it: printable, random, without commas, up to SASL_NONCE_MAX
 * characters. Appends to `reply`. Errors: MESH_ENOMEM. */
int sasl_server_challenge(struct sasl_server *server, const struct scram_verifier *verifier, const char *nonce, struct buffer *reply);

/* The hash of a mechanism that is SCRAM; PLAIN is checked against SHA-256's verifier where there is one. */
enum scram_hash sasl_mechanism_hash(enum sasl_mechanism mechanism);

#endif
