/* broker/runtime/control.h - the control loop: metadata, the http door, signals; and the way from it to the shards.
 *
 * Runs on the thread that called broker_serve(). Everything here runs on that thread unless it says "any thread". */
#ifndef BROKER_RUNTIME_CONTROL_H
#define BROKER_RUNTIME_CONTROL_H

#include "base/uuid.h"
#include "cmd/broker/runtime/mailbox.h"
#include "cmd/broker/settings.h"
#include "wire/message.h"

#include <ev.h>
#include <stdint.h>

struct metadata;
struct http_door;
struct shard;
struct image;

struct control {
    struct ev_loop *loop;
    struct mailbox mailbox; /* any thread may post */
    const struct settings *settings;
    struct metadata *metadata;
    struct http_door *http;
    struct shard **shards;
    uint32_t shard_count;
    struct uuid cluster_id, broker_id;
    int32_t node_id;
    const char *name, *zone, *data_dir;
    const char *host; /* as advertised */
    uint16_t port;
    uint64_t started_ms; /* monotonic */
    bool is_ready;       /* recovered, every shard serves; what /readyz tells */
    bool is_stopping;
};

/* Hands an image to every shard, which drop what it no longer holds and serve what it adds; done runs on the control
 * loop once all have it (then, not earlier, the client that asked for the change is answered). Takes one reference of
 * `image`. Errors: MESH_ENOMEM (nothing happened). */
typedef void control_done_fn(void *user);
int control_publish_image(struct control *control, struct image *image, control_done_fn *done, void *user);

/* Fills high watermark, log start, log end, size and error of every partition of *response that this broker leads, by
 * asking the shards; also sets `shard`. done runs on the control loop; response must stay until then. */
void control_describe_offsets(struct control *control, struct message_topic_response *response, control_done_fn *done,
                              void *user);

#endif
