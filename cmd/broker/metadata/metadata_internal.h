/* metadata/metadata_internal.h - what the driver's files share. */
#ifndef METADATA_METADATA_INTERNAL_H
#define METADATA_METADATA_INTERNAL_H

#include "base/list.h"
#include "cmd/broker/metadata/disk.h"
#include "cmd/broker/metadata/metadata.h"

#include <ev.h>

typedef void metadata_plain_fn(void *user, int error, const char *message);
#define METADATA_STORE_DIRECTORY "consensus"

/* One change that somebody waits for; its address is the node's cookie. */
struct metadata_request {
    struct list_node node; /* in metadata.requests, or in metadata.answered */
    metadata_topic_fn *topic_done; /* one of the five */
    metadata_producer_ids_fn *ids_done;
    metadata_plain_fn *plain_done;
    metadata_results_fn *results_done;
    metadata_deletions_fn *deletions_done;
    void *user;
    const struct image_topic *before; /* referenced: what is to be deleted, as it was; or NULL */
    int error;
    struct uuid topic_id;
    int64_t first_id;
    uint32_t id_count;
    struct buffer results; /* results_done, deletions_done */
    bool is_told;          /* before the node has answered, because the disk has failed: it stays until then */
    char text[NODE_TEXT_SIZE];
};

struct metadata_recovery; /* metadata_recover.c */

struct metadata {
    struct uuid self, dir;
    struct metadata_recovery *recovery; /* asked for here; NULL: none */
    struct metadata_hooks hooks;
    struct events *events;
    void *user;
    struct fs *fs; /* borrowed */
    struct ev_loop *loop;
    struct mailbox *mailbox;
    struct node *node;
    struct raft_store *store; /* NULL once disk has it */
    struct disk *disk;        /* NULL before metadata_start() */
    struct peers *peers;      /* NULL: no links */
    struct list_node wants;   /* links that the node wants, whether or not there are peers to be asked */
    struct node_frontier frontier; /* the newest */
    ev_timer timer;
    uint64_t armed_us;
    struct node_status status;
    char failure[NODE_TEXT_SIZE];
    uint64_t session_lost_us; /* metadata_session_lost_us() */
    _Atomic uint64_t current_us; /* metadata_current_us() */
    struct list_node requests, answered;
    metadata_left_fn *left;
    void *left_user;
    bool is_driving, is_closing, has_changed, has_left;
    bool was_damaged; /* by the last recovery */
};

uint64_t metadata_now_us(void);

/* ---- metadata_recover.c ---- */

void metadata_note_recovered(struct metadata *metadata, const struct node_output *output);
void metadata_tell_recovered(struct metadata *metadata, int error); /* when it is answered, or has failed */

/* After every event: carries out what the node wants done, then tells those who wait. */
void metadata_drive(struct metadata *metadata);

/* ---- metadata_links.c ---- */

void metadata_send(struct metadata *metadata, const struct node_output *output);
void metadata_want_link(struct metadata *metadata, const struct node_output *output);
void metadata_tell_frontier(struct metadata *metadata, const struct node_frontier *frontier);
void metadata_forget_wants(struct metadata *metadata);

/* ---- metadata_requests.c ---- */

/* Takes an ANSWER down; metadata_tell_answered() tells it when all outputs are taken. */
void metadata_note_answer(struct metadata *metadata, const struct node_output *output);
void metadata_tell_answered(struct metadata *metadata);
/* The disk has failed: this broker's image will never show what they asked for. */
void metadata_fail_requests(struct metadata *metadata, int error);
void metadata_request_retire(struct metadata *metadata, const struct uuid *broker, bool accepts_loss, metadata_plain_fn *done, void *user);
/* An operation that is answered by the image alone. Takes `body`, which was made with error `err`. */
void metadata_request_plain(struct metadata *metadata, enum node_op op, struct buffer *body, int err, metadata_plain_fn *done, void *user);
void metadata_drop_requests(struct metadata *metadata); /* each is answered with MESH_ESHUTDOWN */

#endif
