/* metadata/operations_access.c - operations on users and ACLs. Their bodies are those of the records that they become
 * (coordinator/FORMAT.md), so each field is written and read in one place. */
#include "replication/metadata/node_internal.h"

#include "base/codec.h"
#include "base/error.h"
#include "replication/coordinator/record_body.h"

/* ---- what is asked ---- */

static bool is_text(const char text[IMAGE_NAME_SIZE_MAX + 1])
{
    return text[0] != '\0' && memchr(text, 0, IMAGE_NAME_SIZE_MAX + 1) != NULL;
}

/* What an encoder relies on; the rest is judged where it is decided. */
static bool is_encodable(const struct image_user *user)
{
    if (!is_text(user->name) || user->verifier_count > IMAGE_SCRAM_COUNT) return false;
    for (uint32_t i = 0; i < user->verifier_count; i++)
        if (user->verifiers[i].salt_size > IMAGE_SALT_SIZE_MAX) return false;
    return true;
}

int node_encode_user(struct buffer *to, const struct image_user *user)
{
    struct codec_writer writer = {.to = to};
    size_t size = to->size;
    int err;

    if (!is_encodable(user)) return MESH_EINVAL;
    codec_put_string(&writer, user->name);
    err = writer.error != 0 ? writer.error : body_encode_user(to, user);
    if (err != 0) to->size = size;
    return err;
}

int node_encode_user_name(struct buffer *to, const char *name)
{
    struct codec_writer writer = {.to = to};
    size_t length = strlen(name);

    if (length == 0 || length > IMAGE_NAME_SIZE_MAX) return MESH_EINVAL;
    codec_put_string(&writer, name);
    return writer.error;
}

int node_encode_acl(struct buffer *to, const struct image_acl *acl)
{
    size_t size = to->size;
    int err;

    if (!is_text(acl->principal) || !is_text(acl->resource) || !is_text(acl->host)) return MESH_EINVAL;
    err = body_encode_acl(to, acl);
    if (err != 0) to->size = size;
    return err;
}

/* ---- what is decided ---- */

static int as_request(int err)
{
    return err == MESH_ECORRUPT ? MESH_EPROTO : err == MESH_EVERSION ? MESH_EUNSUPPORTED : err;
}

static bool get_name(struct codec_reader *reader, char name[IMAGE_NAME_SIZE_MAX + 1])
{
    struct slice text = codec_get_string(reader, IMAGE_NAME_SIZE_MAX);

    if (reader->is_bad || text.size == 0) return false;
    memcpy(name, text.data, text.size);
    name[text.size] = '\0';
    return true;
}

static int user_set(const struct image *image, enum node_op op, struct slice body, struct decision *decision)
{
    struct codec_reader reader = codec_reader_of(body);
    char name[IMAGE_NAME_SIZE_MAX + 1];
    struct image_user user;
    int err;

    if (!get_name(&reader, name)) return MESH_EPROTO;
    err = body_decode_user(slice_of(reader.at, (size_t)(reader.end - reader.at)), &user);
    if (err != 0) return as_request(err);
    memcpy(user.name, name, sizeof(name));
    if (op == NODE_OP_USER_ADD) return decide_user_add(image, &user, decision);
    return op == NODE_OP_USER_REPLACE ? decide_user_replace(image, &user, decision) : decide_user_set(image, &user, decision);
}

static int user_remove(const struct image *image, struct slice body, struct decision *decision)
{
    struct codec_reader reader = codec_reader_of(body);
    char name[IMAGE_NAME_SIZE_MAX + 1];

    if (!get_name(&reader, name) || !codec_reader_is_done(&reader)) return MESH_EPROTO;
    return decide_user_delete(image, name, decision);
}

static int change_acl(const struct image *image, struct slice body, bool is_added, struct decision *decision)
{
    struct image_acl acl;
    int err = body_decode_acl(body, &acl);

    if (err != 0) return as_request(err);
    return is_added ? decide_acl_add(image, &acl, decision) : decide_acl_remove(image, &acl, decision);
}

int node_operation_decide_access(const struct image *image, const struct operation *operation, struct decision *decision)
{
    switch (operation->op) {
    case NODE_OP_USER_SET:
    case NODE_OP_USER_ADD:
    case NODE_OP_USER_REPLACE: return user_set(image, operation->op, operation->body, decision);
    case NODE_OP_USER_REMOVE: return user_remove(image, operation->body, decision);
    case NODE_OP_ACL_ADD: return change_acl(image, operation->body, true, decision);
    case NODE_OP_ACL_REMOVE: return change_acl(image, operation->body, false, decision);
    default: return MESH_EUNSUPPORTED;
    }
}
