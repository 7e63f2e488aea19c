#include "replication/groups/classic_image.h"

#include "base/assert.h"
#include "replication/groups/record.h"

static void put_bytes(struct codec_writer *writer, struct slice bytes)
{
    codec_put_varint(writer, bytes.size);
    codec_put_raw(writer, bytes.data, bytes.size);
}

void classic_image_put(struct codec_writer *writer, const struct classic_image *image)
{
    put_bytes(writer, image->protocol_type);
    put_bytes(writer, image->protocol);
    put_bytes(writer, image->leader);
    codec_put_varint(writer, image->member_count);
}

void classic_image_put_member(struct codec_writer *writer, const struct classic_image_member *member)
{
    put_bytes(writer, member->id);
    put_bytes(writer, member->instance);
    put_bytes(writer, member->client);
    put_bytes(writer, member->host);
    codec_put_varint(writer, member->session_timeout_ms);
    codec_put_varint(writer, member->rebalance_timeout_ms);
    put_bytes(writer, member->metadata);
    put_bytes(writer, member->assignment);
}

static void read_member(struct codec_reader *reader, struct classic_image_member *member)
{
    member->id = codec_get_string(reader, GROUP_NAME_SIZE_MAX);
    if (member->id.size == 0) reader->is_bad = true;
    member->instance = codec_get_string(reader, GROUP_NAME_SIZE_MAX);
    member->client = codec_get_string(reader, GROUP_NAME_SIZE_MAX);
    member->host = codec_get_string(reader, GROUP_NAME_SIZE_MAX);
    member->session_timeout_ms = (uint32_t)codec_get_bounded(reader, INT32_MAX);
    member->rebalance_timeout_ms = (uint32_t)codec_get_bounded(reader, INT32_MAX);
    member->metadata = codec_get_raw(reader, (size_t)codec_get_bounded(reader, GROUP_RECORD_SIZE_MAX));
    member->assignment = codec_get_raw(reader, (size_t)codec_get_bounded(reader, GROUP_RECORD_SIZE_MAX));
}

int classic_image_read(struct slice from, struct classic_image *ret_image)
{
    struct codec_reader reader = codec_reader_of(from);
    struct classic_image image = {.protocol_type = codec_get_string(&reader, GROUP_NAME_SIZE_MAX)};
    struct classic_image_member member;

    image.protocol = codec_get_string(&reader, GROUP_NAME_SIZE_MAX);
    image.leader = codec_get_string(&reader, GROUP_NAME_SIZE_MAX);
    image.member_count = (uint32_t)codec_get_bounded(&reader, GROUP_MEMBERS_MAX);
    image.members = reader;
    for (uint32_t i = 0; i < image.member_count && !reader.is_bad; i++)
        read_member(&reader, &member);
    if (!codec_reader_is_done(&reader)) return MESH_ECORRUPT;
    *ret_image = image;
    return 0;
}

bool classic_image_next(struct classic_image *image, struct classic_image_member *ret_member)
{
    if (image->members.at == image->members.end) return false;
    read_member(&image->members, ret_member);
    MESH_ASSERT(!image->members.is_bad); /* classic_image_read() has been through it */
    return true;
}
