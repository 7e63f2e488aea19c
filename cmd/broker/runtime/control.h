/* broker/runtime/control.h - the control loop: metadata, the http door, signals; and the way from it to the shards.
 *
 * Runs on the thread that called broker_serve(). Everything here runs on that thread unless it says "any thread". */
#ifndef BROKER_RUNTIME_CONTROL_H
#define BROKER_RUNTIME_CONTROL_H

#include "base/uuid.h"
#include "cmd/broker/operate/events.h"
#include "cmd/broker/runtime/catch_up.h"
#include "cmd/broker/runtime/mailbox.h"
#include "cmd/broker/settings.h"
#include "wire/message.h"

#include <ev.h>
#include <stdatomic.h>
#include <stdint.h>

struct metadata;
struct producer_ids;
struct http_server;
struct forward;
struct spread;
struct streams;
struct peers;
struct shard;
struct image;
struct image_events;

struct control {
    struct ev_loop *loop;
    struct mailbox mailbox; /* any thread may post */
    const struct settings *settings;
    struct metadata *metadata;
    struct http_server *http;
    struct peers *peers; /* NULL before this broker is a member, and after its end */
    struct forward *forward; /* likewise; it outlives `peers` a little */
    struct spread *spread;   /* likewise */
    struct streams *streams; /* streams/streams.h */
    _Atomic uint64_t forwarded_bytes; /* of records that were fetched elsewhere and are not sent to clients yet; any thread */
    struct shard **shards;
    uint32_t shard_count;
    struct uuid cluster_id, broker_id;
    int32_t node_id;
    const char *name, *zone, *data_dir;
    const char *host; /* as advertised */
    uint16_t port;
    uint64_t started_ms; /* monotonic */
    struct producer_ids *producer_ids;
    struct events events;    /* any thread may note one */
    struct image_events *image_events; /* operate/image_events.h */
    uint64_t disk_free_bytes_min; /* as the stores have it */
    void (*stop)(struct control *control); /* begins the graceful stop */
    bool is_ready;       /* recovered, every shard serves */
    struct catch_up catch_up; /* what else /readyz waits for */
    bool is_stopping;
};

/* Hands the metadata's newest image to every shard, which drop what it no longer holds and take new settings. A shard that
 * is behind skips images in between. Fits metadata_publish_fn; user is the control. Never fails. */
void control_publish_image(void *user, const struct image *image);

/* Fills high watermark, log start, log end, size and error of every partition in *response that this broker leads, by asking its
 * shard. done runs on the control loop, always later; response must stay until then. Whatever was published before has reached every
 * shard by then. Any thread. Errors: MESH_ENOMEM (done will not run). */
typedef void control_done_fn(void *user);
int control_describe_local(struct control *control, struct message_topic_response *response, control_done_fn *done, void *user);

/* The same, and of partitions that others lead by asking these over the links. One whose leader does not say, or that has none, gets an
 * error that may be tried again, and a text of its problem that lives until done returns. */
int control_describe_offsets(struct control *control, struct message_topic_response *response, control_done_fn *done,
                             void *user);

#endif
