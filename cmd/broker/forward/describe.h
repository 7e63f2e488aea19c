/* forward/describe.h - how far the partitions go that other brokers lead: every leader is asked once, all at the same time.
 *
 * What travels is TOPIC_DESCRIBE by names; the answer has one topic for each name, in the same order, with those partitions only that the
 * answering broker leads, and of these the figures only. Control loop, unless it says otherwise. */
#ifndef BROKER_FORWARD_DESCRIBE_H
#define BROKER_FORWARD_DESCRIBE_H

#include "cmd/broker/metadata/describe.h"
#include "cmd/broker/runtime/control.h"

struct forward_describe;

/* Makes ready to ask about every partition in *response that another broker leads. One that nobody leads gets MESH_EUNREACHABLE at once.
 * NULL in *ret_describe: there is nobody to ask. *response must stay until the end. Errors: MESH_ENOMEM. */
int forward_describe_new(struct control *control, struct message_topic_response *response, struct forward_describe **ret_describe);

/* done runs on the control loop, once, always later, within FORWARD_DESCRIBE_MS and a little. Then every one of those partitions has its
 * figures, or an error that may be tried again and a problem's text. Meanwhile shards write into them, and into no others. */
void forward_describe_send(struct forward_describe *describe, control_done_fn *done, void *user);

/* One that was not sent, or is done. The texts of problems end with it. */
void forward_describe_free(struct forward_describe *describe); /* accepts NULL */

/* The other end: what is to be answered, without the figures, which are those of control_describe_local(). Any thread that holds the image.
 * Errors: MESH_ENOMEM, MESH_EPROTO (it asks for all topics). */
int forward_describe_led(struct description *description, const struct image *image, int32_t node_id,
                         const struct message_topic_describe *request);

#endif
