/* coordinator/decide_access.c - housekeeping, users and ACLs, and the mark of an answered request. */
#include "replication/coordinator/decide_internal.h"

#include "base/error.h"

#define ITERATIONS_MIN 4096    /* RFC 5802's recommendation */
#define ITERATIONS_MAX 1000000 /* more would cost every login a second */
#define SALT_SIZE_MIN  8


int decide_tombstones_drop(const struct image *image, uint64_t applied_min, struct decision *decision)
{
    uint64_t oldest = image_oldest_tombstone(image);
    int err;

    if (oldest == 0 || oldest > applied_min) return 0;
    err = body_encode_tombstones_dropped(decision_body(decision), applied_min);
    return err != 0 ? err : decision_add(decision, METADATA_TOMBSTONES_DROPPED, slice_of("", 0));
}

/* ---- users ---- */

/* Names are shown to people, on terminals and in lines of a log. */
static bool has_control_character(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 127) return true;
    return false;
}

static int check_user(const struct image_user *user, struct decision *decision)
{
    if (user->name[0] == '\0' || memchr(user->name, 0, sizeof(user->name)) == NULL)
        return decision_refuse(decision, MESH_EINVAL, "a user's name has 1 to %d bytes", IMAGE_NAME_SIZE_MAX);
    if (has_control_character(user->name)) return decision_refuse(decision, MESH_EINVAL, "a user's name has no control characters");
    if (user->verifier_count == 0 || user->verifier_count > IMAGE_SCRAM_COUNT)
        return decision_refuse(decision, MESH_EINVAL, "a user needs a verifier for SHA-256, SHA-512 or both");
    for (uint32_t i = 0; i < user->verifier_count; i++) {
        const struct image_verifier *verifier = &user->verifiers[i];
        if (verifier->mechanism != IMAGE_SCRAM_SHA_256 && verifier->mechanism != IMAGE_SCRAM_SHA_512)
            return decision_refuse(decision, MESH_EINVAL, "SCRAM goes by SHA-256 or SHA-512 here");
        if (i > 0 && verifier->mechanism <= verifier[-1].mechanism)
            return decision_refuse(decision, MESH_EINVAL, "one verifier for each mechanism, SHA-256 first");
        if (verifier->iterations < ITERATIONS_MIN || verifier->iterations > ITERATIONS_MAX)
            return decision_refuse(decision, MESH_EINVAL, "SCRAM takes %d to %d iterations, not %u", ITERATIONS_MIN, ITERATIONS_MAX,
                                   verifier->iterations);
        if (verifier->salt_size < SALT_SIZE_MIN || verifier->salt_size > IMAGE_SALT_SIZE_MAX)
            return decision_refuse(decision, MESH_EINVAL, "a salt has %d to %d bytes, not %u", SALT_SIZE_MIN, IMAGE_SALT_SIZE_MAX,
                                   verifier->salt_size);
    }
    return 0;
}

int decide_user_set(const struct image *image, const struct image_user *user, struct decision *decision)
{
    int err = check_user(user, decision);

    if (err == 0 && image_user_count(image) >= IMAGE_USERS_MAX && image_find_user(image, user->name) == NULL)
        err = decision_refuse(decision, MESH_EFULL, "the mesh has %d users, its limit", IMAGE_USERS_MAX);
    if (err == 0) err = body_encode_user(decision_body(decision), user);
    return err != 0 ? err : decision_add(decision, METADATA_USER_SET, slice_of_string(user->name));
}

/* Of two that add the same name one is told so, and who replaces a password brings nobody back. */
int decide_user_add(const struct image *image, const struct image_user *user, struct decision *decision)
{
    if (image_find_user(image, user->name) != NULL)
        return decision_refuse(decision, MESH_EEXISTS, "there is a user \"%.*s\" already", IMAGE_NAME_SIZE_MAX, user->name);
    return decide_user_set(image, user, decision);
}

int decide_user_replace(const struct image *image, const struct image_user *user, struct decision *decision)
{
    if (image_find_user(image, user->name) == NULL)
        return decision_refuse(decision, MESH_ENOTFOUND, "there is no user \"%.*s\"", IMAGE_NAME_SIZE_MAX, user->name);
    return decide_user_set(image, user, decision);
}

int decide_user_delete(const struct image *image, const char *name, struct decision *decision)
{
    int err;

    if (image_find_user(image, name) == NULL)
        return decision_refuse(decision, MESH_ENOTFOUND, "there is no user \"%.*s\"", IMAGE_NAME_SIZE_MAX, name);
    err = body_encode_empty(decision_body(decision));
    return err != 0 ? err : decision_add(decision, METADATA_USER_DELETED, slice_of_string(name));
}

/* ---- ACLs ---- */

static bool is_text(const char text[IMAGE_NAME_SIZE_MAX + 1])
{
    return text[0] != '\0' && memchr(text, 0, IMAGE_NAME_SIZE_MAX + 1) != NULL;
}

static int check_acl(const struct image_acl *acl, struct decision *decision)
{
    if (!is_text(acl->principal) || !is_text(acl->resource) || !is_text(acl->host))
        return decision_refuse(decision, MESH_EINVAL, "principal, resource and host have 1 to %d bytes each", IMAGE_NAME_SIZE_MAX);
    if (strncmp(acl->principal, "User:", 5) != 0 || acl->principal[5] == '\0')
        return decision_refuse(decision, MESH_EINVAL, "a principal is written \"User:name\", or \"User:*\" for everybody");
    if (acl->resource_type < IMAGE_RESOURCE_TOPIC || acl->resource_type > IMAGE_RESOURCE_TRANSACTION)
        return decision_refuse(decision, MESH_EINVAL, "ACLs are about topics, groups, transactions and the cluster");
    if (acl->pattern != IMAGE_PATTERN_LITERAL && acl->pattern != IMAGE_PATTERN_PREFIXED)
        return decision_refuse(decision, MESH_EINVAL, "a resource is named literally or by a prefix");
    if (acl->operation < IMAGE_OPERATION_ALL || acl->operation > IMAGE_OPERATION_IDEMPOTENT_WRITE)
        return decision_refuse(decision, MESH_EINVAL, "there is no such operation");
    return 0;
}

static int add_acl(const struct image_acl *acl, enum metadata_kind kind, struct decision *decision)
{
    int err = body_encode_acl(decision_body(decision), acl);

    return err != 0 ? err : decision_add(decision, kind, slice_of("", 0));
}

int decide_acl_add(const struct image *image, const struct image_acl *acl, struct decision *decision)
{
    int err = check_acl(acl, decision);

    if (err != 0 || image_has_acl(image, acl)) return err;
    if (image_acl_count(image) >= IMAGE_ACLS_MAX)
        return decision_refuse(decision, MESH_EFULL, "the mesh has %d ACLs, its limit", IMAGE_ACLS_MAX);
    return add_acl(acl, METADATA_ACL_ADDED, decision);
}

int decide_acl_remove(const struct image *image, const struct image_acl *acl, struct decision *decision)
{
    int err = check_acl(acl, decision);

    if (err != 0) return err;
    if (!image_has_acl(image, acl)) return decision_refuse(decision, MESH_ENOTFOUND, "there is no such ACL");
    return add_acl(acl, METADATA_ACL_REMOVED, decision);
}

/* ---- requests ---- */

int decision_add_request(struct decision *decision, const struct uuid *origin, uint64_t boot, uint64_t sequence, int error,
                         struct slice result)
{
    struct image_request request = {.boot = boot, .sequence = sequence, .error = error};
    int err;

    if (result.size > IMAGE_REQUEST_RESULT_MAX) return MESH_ETOOLARGE;
    request.result_size = (uint8_t)result.size;
    if (result.size != 0) memcpy(request.result, result.data, result.size);
    err = body_encode_request(decision_body(decision), &request);
    return err != 0 ? err : decision_add_uuid(decision, METADATA_REQUEST_DONE, origin);
}
