/* replicas/heal_message.c - see the header. */
#include "cmd/broker/replicas/heal_message.h"

#include "base/codec.h"

#define VERSION    1
#define OFFSET_MAX ((uint64_t)INT64_MAX)

int heal_request_encode(const struct heal_request *request, struct buffer *to)
{
    struct codec_writer writer = {.to = to};

    codec_put_varint(&writer, VERSION);
    codec_put_varint(&writer, request->kind);
    codec_put_uuid(&writer, &request->topic_id);
    codec_put_varint(&writer, request->partition);
    codec_put_varint(&writer, request->from);
    codec_put_varint(&writer, request->to);
    codec_put_varint(&writer, request->bytes_max);
    return writer.error;
}

int heal_answer_encode(const struct heal_answer *answer, struct buffer *to)
{
    struct codec_writer writer = {.to = to};

    codec_put_varint(&writer, VERSION);
    codec_put_varint(&writer, answer->next_offset);
    codec_put_varint(&writer, answer->bytes);
    codec_put_raw(&writer, answer->digest, HEAL_DIGEST_SIZE);
    return writer.error;
}

static int begin(struct codec_reader *reader)
{
    uint64_t version = codec_get_varint(reader);

    if (reader->is_bad) return MESH_EPROTO;
    return version == VERSION ? 0 : MESH_EVERSION;
}

int heal_request_decode(struct slice bytes, struct heal_request *ret_request)
{
    struct codec_reader reader = codec_reader_of(bytes);
    struct heal_request request = {0};
    uint32_t bytes_max;
    int err = begin(&reader);

    if (err != 0) return err;
    request.kind = (enum heal_kind)codec_get_bounded(&reader, HEAL_DOUBT);
    request.topic_id = codec_get_uuid(&reader);
    request.partition = (uint32_t)codec_get_bounded(&reader, INT32_MAX);
    request.from = codec_get_bounded(&reader, OFFSET_MAX);
    request.to = codec_get_bounded(&reader, OFFSET_MAX);
    request.bytes_max = (uint32_t)codec_get_bounded(&reader, UINT32_MAX);
    if (reader.is_bad || !codec_reader_is_done(&reader) || request.kind == 0 || request.from >= request.to) return MESH_EPROTO;
    bytes_max = request.kind == HEAL_READ ? HEAL_READ_BYTES_MAX : HEAL_DIGEST_BYTES_MAX;
    if (request.bytes_max > bytes_max) request.bytes_max = bytes_max;
    *ret_request = request;
    return 0;
}

int heal_answer_decode(struct slice bytes, struct heal_answer *ret_answer)
{
    struct codec_reader reader = codec_reader_of(bytes);
    struct heal_answer answer = {0};
    struct slice digest;
    int err = begin(&reader);

    if (err != 0) return err;
    answer.next_offset = codec_get_bounded(&reader, OFFSET_MAX);
    answer.bytes = codec_get_varint(&reader);
    digest = codec_get_raw(&reader, HEAL_DIGEST_SIZE);
    if (reader.is_bad || !codec_reader_is_done(&reader)) return MESH_EPROTO;
    memcpy(answer.digest, digest.data, HEAL_DIGEST_SIZE);
    *ret_answer = answer;
    return 0;
}
