/* groups/classic_image.h - what a record says of a group of Kafka's classic protocol: its generation's protocol, its leader, and its members with what they said
 * and were assigned, which nobody here can read. Pure; any thread. */
#ifndef GROUPS_CLASSIC_IMAGE_H
#define GROUPS_CLASSIC_IMAGE_H

#include "base/buffer.h"
#include "base/codec.h"

#include <stdbool.h>

struct classic_image {
    struct slice protocol_type, protocol; /* "consumer"; the one that all members have in common. Empty where there are no members */
    struct slice leader;                  /* id of the member that assigns */
    uint32_t member_count;
    struct codec_reader members; /* classic_image_next() */
};

struct classic_image_member {
    struct slice id, instance, client, host;
    uint32_t session_timeout_ms, rebalance_timeout_ms;
    struct slice metadata, assignment; /* any bytes */
};

/* Writes behind what `writer` holds: first the group, then member_count members. */
void classic_image_put(struct codec_writer *writer, const struct classic_image *image);
void classic_image_put_member(struct codec_writer *writer, const struct classic_image_member *member);

/* Errors: MESH_ECORRUPT. Otherwise every member can be read. */
int classic_image_read(struct slice from, struct classic_image *ret_image);
bool classic_image_next(struct classic_image *image, struct classic_image_member *ret_member); /* false at the end */

#endif
