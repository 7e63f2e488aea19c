/* replicas/packet.h - a packet to a follower in the making: messages, and batches that stay where the log has them until they are sealed.
 *
 * Batches in memory are held by the view that found them; those in files are read here. One per shard; it holds nothing between turns but room.
 * Belongs to the shard's thread. */
#ifndef BROKER_REPLICAS_PACKET_H
#define BROKER_REPLICAS_PACKET_H

#include "base/buffer.h"
#include "segment/store.h"

#include <stdbool.h>

#define PACKET_AIM       (256u << 10) /* bytes after which it is sent: what a core's own cache holds until it is sealed and given to the kernel */
#define PACKET_VIEWS_MAX 16
#define PACKET_PARTS_MAX 128
#define PACKET_COPY_MAX  2048u /* batches up to so many bytes in all are copied: that is cheaper than holding them */

struct packet_part {
    const uint8_t *memory; /* NULL: in a buffer, which may move */
    const struct buffer *buffer;
    size_t at, size;
};

struct packet {
    struct buffer heads; /* messages; whoever makes one appends it here */
    struct buffer files; /* batches that were read */
    struct packet_part parts[PACKET_PARTS_MAX];
    struct plog_view views[PACKET_VIEWS_MAX];
    uint32_t part_count, view_count;
    size_t heads_at; /* of the first message that is in no part yet */
    size_t size;     /* of all parts */
};

void packet_init(struct packet *packet);
void packet_deinit(struct packet *packet);

/* An empty one, with its version. Errors: MESH_ENOMEM. */
int packet_begin(struct packet *packet);
/* Another one, for the rest of batches that did not fit: what they need is kept. Errors: MESH_ENOMEM. */
int packet_continue(struct packet *packet);
/* Releases what it holds. */
void packet_clear(struct packet *packet);
/* Gives back room beyond what is usual. */
void packet_trim(struct packet *packet);

/* Bytes so far, messages included. */
size_t packet_size(const struct packet *packet);
/* Another view fits, and there is reason to add one. */
bool packet_has_room(const struct packet *packet);

/* All that was added, in order. */
size_t packet_pieces(struct packet *packet, struct slice pieces[PACKET_PARTS_MAX]);

/* What is found of a log for one message: takes the view, on success and on failure. Its bytes come into the packet by packet_put().
 * `is_resident` says whether a range of a file is in memory. Errors: MESH_EAGAIN (*ret_missing is not), MESH_EIO, MESH_ECORRUPT, MESH_ENOMEM. */
struct packet_batches {
    struct packet_part parts[PLOG_VIEW_EXTENTS_MAX];
    uint32_t part_count;
    size_t size;
    uint64_t next_offset;
};
typedef bool packet_resident_fn(const struct fs_file *file, uint64_t position, size_t size);
int packet_gather(struct packet *packet, struct plog_view *view, packet_resident_fn *is_resident, struct packet_batches *ret_batches,
                  struct plog_extent *ret_missing);

/* Puts up to `bytes_max` bytes of them behind the messages made so far; they are taken from the front of `batches`. Errors: MESH_ENOMEM. */
int packet_put(struct packet *packet, struct packet_batches *batches, size_t bytes_max);

#endif
