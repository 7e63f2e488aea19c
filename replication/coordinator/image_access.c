/* coordinator/image_access.c - users and ACLs of the image. */
#include "replication/coordinator/image_internal.h"

#include "base/error.h"
#include "base/map.h"

#include <stdlib.h>

/* ---- users ---- */

static uint64_t hash_text(const char *text)
{
    return map_hash_bytes(text, strlen(text));
}

static const struct user_object *find_user(const struct image *image, const char *name)
{
    const struct user_object *found;

    for (size_t i = 0; (found = image_index_find(&image->users, hash_text(name), i)) != NULL; i++) {
        if (strcmp(found->user.name, name) == 0) return found;
    }
    return NULL;
}

size_t image_user_count(const struct image *image)
{
    return image->users.count;
}

const struct image_user *image_find_user(const struct image *image, const char *name)
{
    const struct user_object *found = find_user(image, name);

    return found == NULL ? NULL : &found->user;
}

struct each_user {
    image_user_fn *each;
    void *user;
};

static int each_user_object(void *user, const void *object)
{
    struct each_user *each = user;
    return each->each(each->user, &((const struct user_object *)object)->user);
}

int image_each_user(const struct image *image, image_user_fn *each, void *user)
{
    struct each_user wrapped = {each, user};
    return image_index_each(&image->users, each_user_object, &wrapped);
}

int image_put_user(struct image *image, const struct image_user *user)
{
    const struct user_object *old = find_user(image, user->name);
    struct user_object *object = malloc(sizeof(*object));
    uint64_t hash = hash_text(user->name);
    int err;

    if (object == NULL) return MESH_ENOMEM;
    atomic_init(&object->object.references, 1);
    object->user = *user;
    err = old == NULL ? image_index_insert(&image->users, hash, object)
                      : image_index_replace(&image->users, hash, old, object);
    object_unref(object); /* the index has its own reference */
    return err;
}

int image_remove_user(struct image *image, const char *name)
{
    const struct user_object *old = find_user(image, name);

    return old == NULL ? MESH_ECORRUPT : image_index_remove(&image->users, hash_text(name), old);
}

/* ---- ACLs ---- */

uint64_t image_hash_acl(const struct image_acl *acl)
{
    uint64_t hash = hash_text(acl->principal);

    hash = hash * 31 + hash_text(acl->resource);
    hash = hash * 31 + hash_text(acl->host);
    hash = hash * 31 + (uint64_t)acl->resource_type;
    hash = hash * 31 + (uint64_t)acl->pattern;
    hash = hash * 31 + (uint64_t)acl->operation;
    hash = (hash * 31 + acl->is_deny) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

static bool acl_equal(const struct image_acl *a, const struct image_acl *b)
{
    return a->resource_type == b->resource_type && a->pattern == b->pattern && a->operation == b->operation &&
           a->is_deny == b->is_deny && strcmp(a->principal, b->principal) == 0 &&
           strcmp(a->resource, b->resource) == 0 && strcmp(a->host, b->host) == 0;
}

static const struct acl_object *find_acl(const struct image *image, const struct image_acl *acl)
{
    const struct acl_object *found;

    for (size_t i = 0; (found = image_index_find(&image->acls, image_hash_acl(acl), i)) != NULL; i++) {
        if (acl_equal(&found->acl, acl)) return found;
    }
    return NULL;
}

size_t image_acl_count(const struct image *image)
{
    return image->acls.count;
}

bool image_has_acl(const struct image *image, const struct image_acl *acl)
{
    return find_acl(image, acl) != NULL;
}

struct each_acl {
    image_acl_fn *each;
    void *user;
};

static int each_acl_object(void *user, const void *object)
{
    struct each_acl *each = user;
    return each->each(each->user, &((const struct acl_object *)object)->acl);
}

int image_each_acl(const struct image *image, image_acl_fn *each, void *user)
{
    struct each_acl wrapped = {each, user};
    return image_index_each(&image->acls, each_acl_object, &wrapped);
}

int image_add_acl(struct image *image, const struct image_acl *acl)
{
    struct acl_object *object;
    int err;

    if (find_acl(image, acl) != NULL) return MESH_ECORRUPT;
    object = malloc(sizeof(*object));
    if (object == NULL) return MESH_ENOMEM;
    atomic_init(&object->object.references, 1);
    object->acl = *acl;
    err = image_index_insert(&image->acls, image_hash_acl(acl), object);
    object_unref(object);
    return err;
}

int image_remove_acl(struct image *image, const struct image_acl *acl)
{
    const struct acl_object *old = find_acl(image, acl);

    return old == NULL ? MESH_ECORRUPT : image_index_remove(&image->acls, image_hash_acl(acl), old);
}
