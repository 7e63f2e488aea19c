/* operate/image_events.h - events out of the metadata: what differs between one image and the next.
 *
 * Every broker tells them by itself, when it learns of them; so what happened while one was away is told when it is back. Brokers are compared with each
 * image; topics together IMAGE_EVENTS_GATHER_MS after the first of some changes, so that a thousand elections are a few lines, and a burst of changes is
 * looked through once. Without changes nothing runs. Control loop. */
#ifndef BROKER_OPERATE_IMAGE_EVENTS_H
#define BROKER_OPERATE_IMAGE_EVENTS_H

#include "base/uuid.h"
#include "cmd/broker/operate/events.h"

struct ev_loop;
struct image;
struct image_events;

#define IMAGE_EVENTS_GATHER_MS 200

/* `events` is kept. Errors: MESH_ENOMEM. */
int image_events_new(struct ev_loop *loop, struct events *events, struct image_events **ret_image_events);
void image_events_free(struct image_events *image_events); /* accepts NULL; tells what was gathered first */

/* A newer image; the first one is what there was before. Accepts NULL. */
void image_events_see(struct image_events *image_events, const struct image *image);

/* Who coordinates now; zero: nobody is known. Accepts NULL. */
void image_events_coordinator(struct image_events *image_events, const struct uuid *coordinator);

#endif
