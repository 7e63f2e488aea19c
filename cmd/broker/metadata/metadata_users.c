/* metadata/metadata_users.c - users: what the native protocol asks, as operations on the metadata. */
#include "base/error.h"
#include "cmd/broker/metadata/metadata_internal.h"

#include <stdio.h>
#include <string.h>

/* Both mechanisms' numbers are those of the image. What an encoder relies on is looked at here, the rest where it is decided. */
static int take_verifier(const struct message_verifier *from, struct image_verifier *to)
{
    size_t key_size = from->mechanism == IMAGE_SCRAM_SHA_256 ? 32 : 64;

    if (from->mechanism != IMAGE_SCRAM_SHA_256 && from->mechanism != IMAGE_SCRAM_SHA_512) return MESH_EINVAL;
    if (from->key_size != key_size || from->salt_size > IMAGE_SALT_SIZE_MAX) return MESH_EINVAL;
    *to = (struct image_verifier){.mechanism = (enum image_scram)from->mechanism, .iterations = from->iterations, .salt_size = from->salt_size};
    memcpy(to->salt, from->salt, from->salt_size);
    memcpy(to->stored_key, from->stored_key, key_size);
    memcpy(to->server_key, from->server_key, key_size);
    return 0;
}

static int encode_user(const struct message_users_request *request, struct buffer *to)
{
    struct image_user user = {.verifier_count = (uint32_t)request->verifier_count};
    int err = 0;

    if (request->verifier_count == 0 || request->verifier_count > IMAGE_SCRAM_COUNT) return MESH_EINVAL;
    memcpy(user.name, request->name, strlen(request->name));
    for (size_t i = 0; err == 0 && i < request->verifier_count; i++)
        err = take_verifier(&request->verifiers[i], &user.verifiers[i]);
    return err != 0 ? err : node_encode_user(to, &user);
}

/* Whether there is such a user the coordinator says: it knows every change before this one. */
static int judge(const struct message_users_request *request, char message[METADATA_MESSAGE_SIZE])
{
    size_t length = request->name == NULL ? 0 : strlen(request->name);

    if (length > 0 && length <= IMAGE_NAME_SIZE_MAX) return 0;
    snprintf(message, METADATA_MESSAGE_SIZE, "a user's name has 1 to %d bytes", IMAGE_NAME_SIZE_MAX);
    return MESH_EINVAL;
}

static enum node_op op_of(uint32_t action)
{
    if (action == MESSAGE_USERS_ADD) return NODE_OP_USER_ADD;
    return action == MESSAGE_USERS_REPLACE ? NODE_OP_USER_REPLACE : NODE_OP_USER_REMOVE;
}

void metadata_change_user(struct metadata *metadata, const struct message_users_request *request, metadata_user_fn *done, void *user)
{
    enum node_op op = op_of(request->action);
    char message[METADATA_MESSAGE_SIZE] = "";
    struct buffer body = BUFFER_INIT;
    int err = judge(request, message);

    if (err == 0) err = op == NODE_OP_USER_REMOVE ? node_encode_user_name(&body, request->name) : encode_user(request, &body);
    if (err != 0) {
        buffer_deinit(&body);
        if (message[0] == '\0') snprintf(message, sizeof(message), "%s", err == MESH_EINVAL ? "a verifier is not acceptable" : mesh_strerror(err));
        done(user, err, message);
        return;
    }
    metadata_request_plain(metadata, op, &body, 0, done, user);
}
