/* broker/front/native/admin.h - requests that the control loop answers: they go there and come back by mail. */
#ifndef BROKER_FRONT_NATIVE_ADMIN_H
#define BROKER_FRONT_NATIVE_ADMIN_H

#include "base/buffer.h"
#include "cmd/broker/metadata/describe.h"
#include "cmd/broker/runtime/control.h"

#define ADMIN_TEXT_SIZE 512

struct connection;

struct admin_call {
    struct mail mail;
    struct connection *connection; /* the shard's */
    struct shard *shard;
    struct control *control;
    uint32_t correlation_id;
    uint16_t op;
    struct buffer request;  /* the message, copied */
    struct buffer response; /* the encoded answer */
    int error;              /* answered with an error frame and text */
    char text[ADMIN_TEXT_SIZE];
    struct description description; /* while offsets are gathered */
};

/* Control loop: serves the call; ends in admin_answer(). */
void admin_serve(struct admin_call *call);

/* Control loop: users, likewise; admin_users.c. */
void admin_serve_users(struct admin_call *call);

/* Control loop: sends the call back to its shard. text may be NULL. */
void admin_answer(struct admin_call *call, int error, const char *text);

#endif
