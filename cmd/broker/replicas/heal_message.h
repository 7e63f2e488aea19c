/* replicas/heal_message.h - what brokers ask of each other's replicas to heal their own, as bytes and back.
 *
 * Messages of FRAME_OP_HEAL between brokers (forward/call.h). All integers are varints but for the digest:
 *
 *   request   version = 1, kind, topic uuid (16), partition, from, to, bytes_max
 *   answer    version = 1, next offset, bytes, digest (16 bytes)
 *
 * The batches of a READ are the answer's attachment. Pure functions; any thread. */
#ifndef BROKER_REPLICAS_HEAL_MESSAGE_H
#define BROKER_REPLICAS_HEAL_MESSAGE_H

#include "base/buffer.h"
#include "base/uuid.h"

#define HEAL_DIGEST_SIZE    16
#define HEAL_READ_BYTES_MAX (1u << 20) /* of one answer, but for a first batch that is larger */
#define HEAL_DIGEST_BYTES_MAX (4u << 20) /* that one digest is made of, likewise */

/* Numbers are on the wire. */
enum heal_kind {
    HEAL_READ = 1,   /* committed batches from `from` on, all below `to`, at most bytes_max but at least one */
    HEAL_DIGEST = 2, /* the digest of the committed batches in [from, to) */
    HEAL_DOUBT = 3,  /* the others agree that yours are wrong there: compare them. Answered at once, with nothing */
};

struct heal_request {
    enum heal_kind kind;
    struct uuid topic_id;
    uint32_t partition;
    uint64_t from, to; /* from < to */
    uint32_t bytes_max;
};

struct heal_answer {
    uint64_t next_offset; /* behind the last batch that was read; DIGEST: less than `to` where the rest is not to be had in one piece */
    uint64_t bytes;
    uint8_t digest[HEAL_DIGEST_SIZE];
};

/* They append to *to. Errors: MESH_ENOMEM. */
int heal_request_encode(const struct heal_request *request, struct buffer *to);
int heal_answer_encode(const struct heal_answer *answer, struct buffer *to);

/* Errors: MESH_EPROTO, MESH_EVERSION. bytes_max is brought below what its kind allows. */
int heal_request_decode(struct slice bytes, struct heal_request *ret_request);
int heal_answer_decode(struct slice bytes, struct heal_answer *ret_answer);

#endif
