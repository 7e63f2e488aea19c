/* coordinator/record_body_access.c - bodies about sessions, users, ACLs and answered requests (record_body.h). */
#include "replication/coordinator/record_body.h"

#define STATE_FLAGS (BODY_BROKER_FENCED | BODY_BROKER_DRAINING | BODY_BROKER_BAD_DISK)

int body_encode_broker_state(struct buffer *to, uint32_t flags)
{
    struct codec_writer writer = body_start(to);

    codec_put_varint(&writer, flags);
    return writer.error;
}

int body_decode_broker_state(struct slice body, uint32_t *ret_flags)
{
    struct codec_reader reader;
    uint32_t flags;
    int err = body_open(body, &reader);

    if (err != 0) return err;
    flags = (uint32_t)codec_get_bounded(&reader, STATE_FLAGS);
    err = body_close(&reader);
    if (err == 0 && (flags & ~STATE_FLAGS) != 0) err = MESH_ECORRUPT;
    if (err == 0) *ret_flags = flags;
    return err;
}

int body_encode_tombstones_dropped(struct buffer *to, uint64_t index)
{
    struct codec_writer writer = body_start(to);

    codec_put_varint(&writer, index);
    return writer.error;
}

int body_decode_tombstones_dropped(struct slice body, uint64_t *ret_index)
{
    struct codec_reader reader;
    uint64_t index;
    int err = body_open(body, &reader);

    if (err != 0) return err;
    index = codec_get_varint(&reader);
    err = body_close(&reader);
    if (err == 0) *ret_index = index;
    return err;
}

/* ---- users ---- */

static uint32_t key_size_of(enum image_scram mechanism)
{
    return mechanism == IMAGE_SCRAM_SHA_256 ? 32 : 64;
}

int body_encode_user(struct buffer *to, const struct image_user *user)
{
    struct codec_writer writer = body_start(to);

    codec_put_varint(&writer, user->verifier_count);
    for (uint32_t i = 0; i < user->verifier_count; i++) {
        const struct image_verifier *verifier = &user->verifiers[i];
        uint32_t key_size = key_size_of(verifier->mechanism);
        codec_put_varint(&writer, verifier->mechanism);
        codec_put_varint(&writer, verifier->iterations);
        body_put_slice(&writer, slice_of(verifier->salt, verifier->salt_size));
        codec_put_raw(&writer, verifier->stored_key, key_size);
        codec_put_raw(&writer, verifier->server_key, key_size);
    }
    return writer.error;
}

static void get_key(struct codec_reader *reader, uint32_t size, uint8_t key[IMAGE_SCRAM_KEY_SIZE_MAX])
{
    struct slice bytes = codec_get_raw(reader, size);

    if (bytes.size != 0) memcpy(key, bytes.data, bytes.size);
}

int body_decode_user(struct slice body, struct image_user *ret_user)
{
    struct codec_reader reader;
    int err = body_open(body, &reader);

    if (err != 0) return err;
    memset(ret_user, 0, sizeof(*ret_user));
    ret_user->verifier_count = (uint32_t)codec_get_bounded(&reader, IMAGE_SCRAM_COUNT);
    if (ret_user->verifier_count == 0) return MESH_ECORRUPT;
    for (uint32_t i = 0; i < ret_user->verifier_count; i++) {
        struct image_verifier *verifier = &ret_user->verifiers[i];
        struct slice salt;
        verifier->mechanism = (enum image_scram)codec_get_bounded(&reader, IMAGE_SCRAM_COUNT);
        if (verifier->mechanism == 0 || (i > 0 && verifier->mechanism <= verifier[-1].mechanism)) return MESH_ECORRUPT;
        verifier->iterations = (uint32_t)codec_get_bounded(&reader, UINT32_MAX);
        salt = codec_get_raw(&reader, (size_t)codec_get_bounded(&reader, IMAGE_SALT_SIZE_MAX));
        if (salt.size != 0) memcpy(verifier->salt, salt.data, salt.size);
        verifier->salt_size = (uint8_t)salt.size;
        get_key(&reader, key_size_of(verifier->mechanism), verifier->stored_key);
        get_key(&reader, key_size_of(verifier->mechanism), verifier->server_key);
    }
    return body_close(&reader);
}

/* ---- ACLs ---- */

int body_encode_acl(struct buffer *to, const struct image_acl *acl)
{
    struct codec_writer writer = body_start(to);

    codec_put_varint(&writer, acl->resource_type);
    codec_put_varint(&writer, acl->pattern);
    codec_put_varint(&writer, acl->operation);
    codec_put_varint(&writer, acl->is_deny);
    codec_put_string(&writer, acl->principal);
    codec_put_string(&writer, acl->resource);
    codec_put_string(&writer, acl->host);
    return writer.error;
}

static void get_text(struct codec_reader *reader, char text[IMAGE_NAME_SIZE_MAX + 1])
{
    struct slice bytes = codec_get_string(reader, IMAGE_NAME_SIZE_MAX);

    if (bytes.size != 0) memcpy(text, bytes.data, bytes.size);
    if (bytes.size == 0) reader->is_bad = true;
}

int body_decode_acl(struct slice body, struct image_acl *ret_acl)
{
    struct codec_reader reader;
    int err = body_open(body, &reader);

    if (err != 0) return err;
    memset(ret_acl, 0, sizeof(*ret_acl));
    ret_acl->resource_type = (enum image_resource)codec_get_bounded(&reader, IMAGE_RESOURCE_TRANSACTION);
    ret_acl->pattern = (enum image_pattern)codec_get_bounded(&reader, IMAGE_PATTERN_PREFIXED);
    ret_acl->operation = (enum image_operation)codec_get_bounded(&reader, IMAGE_OPERATION_IDEMPOTENT_WRITE);
    ret_acl->is_deny = codec_get_bounded(&reader, 1) != 0;
    get_text(&reader, ret_acl->principal);
    get_text(&reader, ret_acl->resource);
    get_text(&reader, ret_acl->host);
    if (ret_acl->resource_type < IMAGE_RESOURCE_TOPIC || ret_acl->pattern < IMAGE_PATTERN_LITERAL ||
        ret_acl->operation < IMAGE_OPERATION_ALL)
        return MESH_ECORRUPT;
    return body_close(&reader);
}

/* ---- requests ---- */

int body_encode_request(struct buffer *to, const struct image_request *request)
{
    struct codec_writer writer = body_start(to);

    codec_put_varint(&writer, request->boot);
    codec_put_varint(&writer, request->sequence);
    codec_put_zigzag(&writer, request->error);
    body_put_slice(&writer, slice_of(request->result, request->result_size));
    return writer.error;
}

int body_decode_request(struct slice body, struct image_request *ret_request)
{
    struct codec_reader reader;
    struct slice result;
    int err = body_open(body, &reader);

    if (err != 0) return err;
    memset(ret_request, 0, sizeof(*ret_request));
    ret_request->boot = codec_get_varint(&reader);
    ret_request->sequence = codec_get_varint(&reader);
    ret_request->error = codec_get_int32(&reader);
    result = codec_get_raw(&reader, (size_t)codec_get_bounded(&reader, IMAGE_REQUEST_RESULT_MAX));
    if (result.size != 0) memcpy(ret_request->result, result.data, result.size);
    ret_request->result_size = (uint8_t)result.size;
    return body_close(&reader);
}
