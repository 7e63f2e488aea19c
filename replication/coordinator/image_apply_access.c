/* coordinator/image_apply_access.c - changes of users, ACLs and answered requests become part of the next image. */
#include "replication/coordinator/image_internal.h"

#include "base/error.h"

/* The key as a user's name. */
static int key_name(const struct image_change *change, char name[IMAGE_NAME_SIZE_MAX + 1])
{
    if (change->key.size == 0 || change->key.size > IMAGE_NAME_SIZE_MAX ||
        memchr(change->key.data, 0, change->key.size) != NULL)
        return MESH_ECORRUPT;
    memcpy(name, change->key.data, change->key.size);
    name[change->key.size] = '\0';
    return 0;
}

static int apply_user_set(struct image *image, const struct image_change *change)
{
    struct image_user user;
    int err = body_decode_user(change->body, &user);

    if (err == 0) err = key_name(change, user.name);
    if (err != 0) return err;
    if (image_user_count(image) >= IMAGE_USERS_MAX && image_find_user(image, user.name) == NULL) return MESH_ECORRUPT;
    return image_put_user(image, &user);
}

static int apply_user_deleted(struct image *image, const struct image_change *change)
{
    char name[IMAGE_NAME_SIZE_MAX + 1];
    int err = body_decode_empty(change->body);

    if (err == 0) err = key_name(change, name);
    return err != 0 ? err : image_remove_user(image, name);
}

static int apply_acl(struct image *image, const struct image_change *change)
{
    struct image_acl acl;
    int err = body_decode_acl(change->body, &acl);

    if (err != 0) return err;
    if (change->key.size != 0) return MESH_ECORRUPT;
    if (change->kind == METADATA_ACL_REMOVED) return image_remove_acl(image, &acl);
    return image_acl_count(image) >= IMAGE_ACLS_MAX ? MESH_ECORRUPT : image_add_acl(image, &acl);
}

static int apply_request_done(struct image *image, const struct image_change *change)
{
    struct image_request request;
    struct uuid origin;
    int err = body_decode_request(change->body, &request);

    if (err == 0) err = apply_key_uuid(change, &origin);
    if (err != 0) return err;
    if (image_find_request(image, &origin, request.boot, request.sequence) != NULL) return MESH_ECORRUPT; /* done twice */
    request.index = change->index;
    return image_add_request(image, &origin, &request);
}

int apply_access_change(struct image *image, const struct image_change *change)
{
    switch (change->kind) {
    case METADATA_USER_SET: return apply_user_set(image, change);
    case METADATA_USER_DELETED: return apply_user_deleted(image, change);
    case METADATA_REQUEST_DONE: return apply_request_done(image, change);
    default: return apply_acl(image, change);
    }
}
