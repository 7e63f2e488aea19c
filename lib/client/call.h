/* client/call.h - one rare request (everything but produce and fetch) with its deadline and retries.
 *
 * Waits for a connection, is sent, and is sent again when that is safe: always before it has left, afterwards
 * only when it changes nothing or says so (is_repeatable). Ends exactly once, in done(). */
#ifndef CLIENT_CALL_H
#define CLIENT_CALL_H

#include "base/buffer.h"
#include "client/client.h"
#include "client/request_table.h"

#define CALL_PATIENCE_MS      1000 /* of what the library itself wants to know */
#define CALL_WAIT_PATIENCE_MS 5000 /* of what an application waits for: brokers ask others for some of it, which takes up to two seconds */

struct call {
    struct request request;
    struct list_node node; /* in client->calls while it waits for a connection */
    struct mesh_client *client;
    enum frame_op op;
    struct buffer message;
    int32_t node_id; /* the broker that must answer; -1: any */
    bool is_repeatable;
    bool is_single; /* once sent it is never sent again: its owner repeats it in other words. A refusal is done()'s, with its message */
    uint32_t attempts;
    uint32_t patience_ms; /* 0: none but the deadline. Unanswered for so long it is asked of another broker, then twice as long */
    uint64_t deadline_ms;
    uint64_t
        refused_deadline_ms; /* not later while every broker refuses; TIMER_NEVER: deadline_ms alone counts */
    struct timer timer;      /* deadline, the end of a backoff, or of its patience */
    int last_error;          /* of the last attempt, 0 before */
    char last_text[256];

    /* err 0: `message` is the answer, borrowed (is_single: also a refusal's, or nothing). Else the client's error text is set. The call ends with this;
     * the owner frees it, here or later. */
    void (*done)(struct call *call, int err, struct slice message);
    void *user;
};

/* Errors: MESH_ENOMEM. The caller fills message, then starts it. */
int call_new(struct mesh_client *client, enum frame_op op, void (*done)(struct call *, int, struct slice),
             void *user, struct call **ret_call);
/* Forgets an unfinished call: done() does not run. Accepts NULL. */
void call_free(struct call *call);

void call_start(struct call *call, uint64_t deadline_ms);

/* Sends, waits for the answer with the client's timeout and frees the call. On success *ret_answer (the
 * caller's buffer) holds the answer. Errors: those of the broker, MESH_EUNREACHABLE, MESH_ETIMEDOUT, ... */
int call_wait(struct call *call, struct buffer *ret_answer);

void call_pump_run(struct pump *pump);

#endif
