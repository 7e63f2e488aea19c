/* operate/operate.h - what people ask of one broker, and how it comes to that one.
 *
 *   client -> any broker's shard -> (itself: its control loop) or (forward/: the link to the broker that is named) -> that one's control loop
 *
 * Everything is answered at once, on the control loop: nothing here waits. */
#ifndef BROKER_OPERATE_OPERATE_H
#define BROKER_OPERATE_OPERATE_H

#include "base/buffer.h"
#include "base/slice.h"
#include "base/uuid.h"

#include <stdint.h>

#define OPERATE_TEXT_SIZE        256
#define OPERATE_EVENTS_BYTES_MAX (256u << 10) /* of texts in one answer */
#define OPERATE_RELAY_MS         5000         /* for another broker to answer */

struct control;
struct native_request;

/* Control loop: appends the answer to `to`. On an error `text` says more than the error's own sentence, or is "". Errors: MESH_EPROTO, MESH_EUNSUPPORTED,
 * MESH_EINVAL (what was asked for cannot be), MESH_EBUSY (the broker is starting), MESH_ENOMEM. */
int operate_answer(struct control *control, uint16_t op, struct slice request, struct buffer *to, char text[OPERATE_TEXT_SIZE]);

/* The same for another broker, as a frame: also of an error. Errors: MESH_ENOMEM. */
int operate_answer_frame(struct control *control, uint16_t op, uint32_t correlation_id, struct slice request, struct buffer *to);

#endif
