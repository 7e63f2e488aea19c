/* broker/front/native/admin_users.c - USERS, on the control loop: who may log in. */
#include "cmd/broker/front/native/admin.h"

#include "base/error.h"
#include "cmd/broker/metadata/metadata.h"

#include <stdlib.h>
#include <string.h>

/* ---- lists ---- */

struct listing {
    struct arena *arena;
    struct message_users_response *response;
};

/* Name, mechanisms and iterations: salts and keys leave a broker only for those who log in. */
static int list_user(void *user, const struct image_user *found)
{
    struct listing *listing = user;
    struct message_user *to = &listing->response->users[listing->response->user_count];

    to->name = arena_strdup(listing->arena, found->name);
    to->verifiers = arena_alloc(listing->arena, found->verifier_count, sizeof(*to->verifiers));
    if (to->name == NULL || to->verifiers == NULL) return MESH_ENOMEM;
    to->verifier_count = found->verifier_count;
    for (uint32_t i = 0; i < found->verifier_count; i++) {
        to->verifiers[i].mechanism = (uint32_t)found->verifiers[i].mechanism;
        to->verifiers[i].iterations = found->verifiers[i].iterations;
    }
    listing->response->user_count++;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct message_user *)a)->name, ((const struct message_user *)b)->name);
}

static int encode_users(const struct image *image, struct buffer *to)
{
    struct message_users_response response = {0};
    struct arena arena = ARENA_INIT;
    struct listing listing = {.arena = &arena, .response = &response};
    int err = 0;

    response.users = arena_alloc(&arena, image_user_count(image) + 1, sizeof(*response.users));
    if (response.users == NULL) err = MESH_ENOMEM;
    if (err == 0) err = image_each_user(image, list_user, &listing);
    if (err == 0) {
        qsort(response.users, response.user_count, sizeof(*response.users), compare_names);
        err = message_encode_users_response(to, &response);
    }
    arena_deinit(&arena);
    return err;
}

/* ---- changes ---- */

static void on_changed(void *user, int error, const char *message)
{
    struct message_users_response nothing = {0};
    struct admin_call *call = user;

    if (error == 0) error = message_encode_users_response(&call->response, &nothing);
    admin_answer(call, error, message);
}

void admin_serve_users(struct admin_call *call)
{
    struct message_users_request request;
    int err = message_decode_users_request(buffer_slice(&call->request), &request);

    if (err != 0) {
        admin_answer(call, err, "the request cannot be read");
        return;
    }
    switch (request.action) {
    case MESSAGE_USERS_LIST: admin_answer(call, encode_users(metadata_image(call->control->metadata), &call->response), NULL); break;
    case MESSAGE_USERS_ADD:
    case MESSAGE_USERS_REPLACE:
    case MESSAGE_USERS_REMOVE: metadata_change_user(call->control->metadata, &request, on_changed, call); break;
    default: admin_answer(call, MESH_EUNSUPPORTED, "this broker does not know what is to be done with the user"); break;
    }
    message_deinit_users_request(&request);
}
