/* forward/serve_internal.h - one request of another broker while it is answered here.
 *
 *   arrives by the link (serve_link.c, control loop) or by a stream (inlet.c, a shard) -> serve_run.c, on the shard that has the partition -> home
 *
 * Served here or not at all: a request is forwarded once, so images that disagree cannot send one in circles. Whatever is refused with an
 * error frame was not begun. */
#ifndef BROKER_FORWARD_SERVE_INTERNAL_H
#define BROKER_FORWARD_SERVE_INTERNAL_H

#include "cmd/broker/forward/forward_internal.h"
#include "cmd/broker/groups/serve.h"
#include "cmd/broker/metadata/describe.h"
#include "cmd/broker/ops/list_offsets.h"
#include "cmd/broker/ops/produce_local.h"
#include "cmd/broker/replicas/heal_read.h"

struct fetch_records;
struct forward_inlet;
struct forward_serve;

struct forward_serve {
    struct mail mail;
    struct list_node node; /* in the answers of its link or stream, while that has no room */
    /* where it came from; its owner before forward_serve_run(), and after home() */
    struct forward *forward;
    void (*home)(struct forward_serve *serve); /* on the thread that has its answer, which has nothing more to do with it */
    struct uuid from;
    struct forward_peer *peer; /* by the link: and this link's session */
    uint64_t session;
    struct link_message out;
    struct forward_inlet *inlet; /* by a stream */
    bool is_away;                /* another thread than the inlet's has had it */
    /* the request */
    struct shard *shard; /* that has the partition */
    uint64_t source;     /* a hash of the broker that asks */
    uint16_t op;
    uint32_t id;
    uint8_t *bytes; /* owned: the request's frame */
    size_t size;    /* of it */
    size_t counted; /* bytes that stand in the broker's serve_bytes for this one, until its answer has left */
    struct slice message;
    uint8_t *attachment;
    uint64_t received_ms, patience_ms; /* for the log; the second as of a call */
    /* what it takes */
    struct produce_foreign produce;
    struct list_node fetches; /* the fetch, while it runs */
    struct fetch_records *records; /* to be copied, in order */
    struct heal_read heal;
    struct groups_serve group;
    struct list_offsets_result *offsets; /* owned */
    size_t offset_count, offsets_remaining;
    struct description description; /* while its figures are gathered */
    /* the answer */
    struct buffer head; /* frame header and message */
    uint8_t *body;      /* owned; its attachment */
    size_t body_size;
    int error;          /* it is an error frame */
    int told;           /* an error inside of it, for the log */
    bool is_unanswered; /* there is nothing to say */
};

/* ---- any thread ---- */

/* Which shard is to serve it: that of its first entry's partition, which knows the way to the others. Groups: control loop only. Errors: those of the
 * request's decoder, MESH_EPROTO (nothing that is served), MESH_EBUSY (there are no shards yet). */
int forward_find_shard(const struct forward *forward, const struct frame_header *header, struct slice message, struct shard **ret_shard);

/* Room for a request of so many bytes, among all that are served here. */
bool forward_serve_has_room(const struct forward *forward, size_t bytes);

/* NULL: no memory. It counts for nothing before forward_serve_begin(). */
struct forward_serve *forward_serve_new(struct forward *forward, const struct uuid *from, const struct frame_header *header, size_t size);
void forward_serve_free(struct forward_serve *serve);

/* Takes the request's frame (`serve->size` bytes) and counts it. */
void forward_serve_begin(struct forward_serve *serve, uint8_t *bytes, const struct frame_header *header);

/* More bytes that it holds. Errors: MESH_EBUSY. */
int forward_serve_count(struct forward_serve *serve, size_t bytes);

/* It has come home: logs what became of it, and makes the error frame if that is the answer. False: nothing is to be said. */
bool forward_serve_settle(struct forward_serve *serve, struct request_log *log);

/* Its answer is going to be sent. */
void forward_serve_note_answer(struct forward_serve *serve);

/* It is over. */
void forward_serve_end(struct forward_serve *serve);

/* An error frame. Errors: MESH_ENOMEM. */
int forward_encode_error(struct buffer *to, uint16_t op, uint32_t id, int error);

/* The line of this end about one that was refused before it began. */
void forward_note_refused(struct forward *forward, const struct uuid *from, struct request_log *log, const struct frame_header *request, int error);

/* ---- the shard that has the partition ---- */

/* home() comes at the end, maybe inside. */
void forward_serve_run(struct forward_serve *serve);

#endif
