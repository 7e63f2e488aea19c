/* mesh_users_get, mesh_user_add and others: who may log in. */
#include "client/call.h"
#include "client/client.h"
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

struct mesh_users {
    struct message_users_response response; /* owns every string and array */
    struct mesh_user_info *infos;
};

void mesh_users_free(struct mesh_users *users)
{
    if (users == NULL) return;
    free(users->infos);
    message_deinit_users_response(&users->response);
    free(users);
}

static struct mesh_user_info info_of(const struct message_user *user)
{
    struct mesh_user_info info = {.name = user->name != NULL ? user->name : ""};

    for (size_t i = 0; i < user->verifier_count; i++) {
        const struct message_verifier *verifier = &user->verifiers[i];

        if (verifier->mechanism >= 1 && verifier->mechanism <= 32) info.mechanisms |= 1u << (verifier->mechanism - 1);
        if (info.iterations == 0 || verifier->iterations < info.iterations) info.iterations = verifier->iterations;
    }
    return info;
}

static int take_answer(struct slice answer, struct mesh_users **ret_users)
{
    struct mesh_users *users = calloc(1, sizeof(*users));
    int err = users == NULL ? MESH_ENOMEM : message_decode_users_response(answer, &users->response);

    if (err == 0) users->infos = calloc(users->response.user_count + 1, sizeof(users->infos[0]));
    if (err == 0 && users->infos == NULL) err = MESH_ENOMEM;
    if (err != 0) {
        mesh_users_free(users);
        return err;
    }
    for (size_t i = 0; i < users->response.user_count; i++)
        users->infos[i] = info_of(&users->response.users[i]);
    *ret_users = users;
    return 0;
}

/* ret_users NULL: only whether it was done. */
static int ask(struct mesh_client *client, const struct message_users_request *request, struct mesh_users **ret_users)
{
    struct buffer answer = BUFFER_INIT;
    struct call *call = NULL;
    int err = call_new(client, FRAME_OP_USERS, NULL, NULL, &call);

    if (err == 0) err = message_encode_users_request(&call->message, request);
    if (err != 0) {
        call_free(call);
        return client_fail(client, err, "%s", mesh_strerror(err));
    }
    call->is_repeatable = request->action == MESSAGE_USERS_LIST; /* a second one would say that it is there, or gone, already */
    err = call_wait(call, &answer);
    if (err == 0 && ret_users != NULL) {
        err = take_answer(buffer_slice(&answer), ret_users);
        if (err != 0) client_fail(client, err, "the broker's answer could not be read: %s", mesh_strerror(err));
    }
    buffer_deinit(&answer);
    return err;
}

int mesh_users_get(struct mesh_client *client, struct mesh_users **ret_users)
{
    return ask(client, &(struct message_users_request){.action = MESSAGE_USERS_LIST}, ret_users);
}

size_t mesh_users_count(const struct mesh_users *users)
{
    return users->response.user_count;
}

const struct mesh_user_info *mesh_users_at(const struct mesh_users *users, size_t index)
{
    return index < users->response.user_count ? &users->infos[index] : NULL;
}

static bool take_verifier(const struct mesh_verifier *from, struct message_verifier *to)
{
    size_t key_size = from->mechanism == 1 ? 32 : 64;

    if (from->mechanism < 1 || from->mechanism > 2 || from->salt_size > MESSAGE_VERIFIER_SIZE_MAX) return false;
    *to = (struct message_verifier){
        .mechanism = from->mechanism, .iterations = from->iterations, .salt_size = (uint8_t)from->salt_size, .key_size = (uint8_t)key_size};
    if (from->salt_size > 0) memcpy(to->salt, from->salt, from->salt_size);
    memcpy(to->stored_key, from->stored_key, key_size);
    memcpy(to->server_key, from->server_key, key_size);
    return true;
}

static int set(struct mesh_client *client, uint32_t action, const char *name, const struct mesh_verifier *verifiers, size_t verifier_count)
{
    struct message_verifier taken[2];
    struct message_users_request request = {
        .action = action, .name = (char *)(uintptr_t)name, .verifiers = taken, .verifier_count = verifier_count}; /* encoding only reads */

    if (verifier_count == 0 || verifier_count > 2) return client_fail(client, MESH_EINVAL, "a user has one or two verifiers");
    for (size_t i = 0; i < verifier_count; i++)
        if (!take_verifier(&verifiers[i], &taken[i])) return client_fail(client, MESH_EINVAL, "a verifier is not acceptable");
    return ask(client, &request, NULL);
}

int mesh_user_add(struct mesh_client *client, const char *name, const struct mesh_verifier *verifiers, size_t verifier_count)
{
    return set(client, MESSAGE_USERS_ADD, name, verifiers, verifier_count);
}

int mesh_user_replace(struct mesh_client *client, const char *name, const struct mesh_verifier *verifiers, size_t verifier_count)
{
    return set(client, MESSAGE_USERS_REPLACE, name, verifiers, verifier_count);
}

int mesh_user_remove(struct mesh_client *client, const char *name)
{
    return ask(client, &(struct message_users_request){.action = MESSAGE_USERS_REMOVE, .name = (char *)(uintptr_t)name}, NULL);
}
