/* broker/runtime/status.h - what the broker says of itself: STATUS of the native door and the source of the http door. */
#ifndef BROKER_RUNTIME_STATUS_H
#define BROKER_RUNTIME_STATUS_H

#include "cmd/broker/front/http/http.h"
#include "cmd/broker/runtime/control.h"

#ifndef BROKER_VERSION
#define BROKER_VERSION "0.0.0"
#endif

/* status is borrowed for the call, NULL when error is not 0. Control loop only. */
typedef void status_done_fn(void *user, int error, const struct message_status_response *status);
void status_collect(struct control *control, status_done_fn *done, void *user);

/* The http door's view of this broker. */
void status_http_source(struct control *control, struct http_source *ret_source);

/* Node id of the coordinator; -1: this broker has not heard of one for a session's time. */
int32_t status_coordinator(const struct control *control);

#endif
