/* Users: who may log in, and what is kept instead of their passwords. */
#include "wire/message.h"

#include "wire/convert.h"

#include <string.h>

/* ---- verifiers ---- */

static uint8_t bytes_from_wire(struct conversion *conversion, ProtobufCBinaryData from, uint8_t to[MESSAGE_VERIFIER_SIZE_MAX])
{
    if (from.len > MESSAGE_VERIFIER_SIZE_MAX) {
        convert_fail(conversion, MESH_EPROTO);
        return 0;
    }
    if (from.len > 0) memcpy(to, from.data, from.len);
    return (uint8_t)from.len;
}

static struct message_verifier *verifiers_from_wire(struct conversion *conversion, Mesh__Wire__Verifier **from, size_t count, size_t *ret_count)
{
    struct message_verifier *to = convert_array(conversion, count, sizeof(*to), ret_count);

    for (size_t i = 0; i < *ret_count; i++) {
        to[i].mechanism = from[i]->mechanism;
        to[i].iterations = from[i]->iterations;
        to[i].salt_size = bytes_from_wire(conversion, from[i]->salt, to[i].salt);
        to[i].key_size = bytes_from_wire(conversion, from[i]->stored_key, to[i].stored_key);
        if (bytes_from_wire(conversion, from[i]->server_key, to[i].server_key) != to[i].key_size) convert_fail(conversion, MESH_EPROTO);
    }
    return to;
}

static ProtobufCBinaryData borrow(const uint8_t *bytes, size_t size)
{
    return (ProtobufCBinaryData){size, (uint8_t *)(uintptr_t)bytes}; /* packing only reads */
}

static Mesh__Wire__Verifier **verifiers_to_wire(struct conversion *conversion, const struct message_verifier *from, size_t count, size_t *ret_count)
{
    Mesh__Wire__Verifier **to = convert_pointers(conversion, count, sizeof(**to), ret_count);

    for (size_t i = 0; i < *ret_count; i++) {
        mesh__wire__verifier__init(to[i]);
        to[i]->mechanism = from[i].mechanism;
        to[i]->iterations = from[i].iterations;
        to[i]->salt = borrow(from[i].salt, from[i].salt_size);
        to[i]->stored_key = borrow(from[i].stored_key, from[i].key_size);
        to[i]->server_key = borrow(from[i].server_key, from[i].key_size);
    }
    return to;
}

/* ---- users_request ---- */

static void users_request_from_wire(struct conversion *conversion, const Mesh__Wire__UsersRequest *from, struct message_users_request *to)
{
    to->action = from->action;
    to->name = convert_string(conversion, from->name);
    to->verifiers = verifiers_from_wire(conversion, from->verifiers, from->n_verifiers, &to->verifier_count);
}

static void users_request_to_wire(struct conversion *conversion, const struct message_users_request *from, Mesh__Wire__UsersRequest *to)
{
    to->action = from->action;
    to->name = from->name;
    to->verifiers = verifiers_to_wire(conversion, from->verifiers, from->verifier_count, &to->n_verifiers);
}

void message_deinit_users_request(struct message_users_request *message)
{
    free(message->name);
    free(message->verifiers);
    *message = (struct message_users_request){0};
}

CONVERT_DEFINE(users_request, message_users_request, Mesh__Wire__UsersRequest, mesh__wire__users_request, MESH__WIRE__USERS_REQUEST__INIT,
               MESSAGE_ENTRIES_MAX)

/* ---- users_response ---- */

static void users_response_from_wire(struct conversion *conversion, const Mesh__Wire__UsersResponse *from, struct message_users_response *to)
{
    to->users = convert_array(conversion, from->n_users, sizeof(*to->users), &to->user_count);
    for (size_t i = 0; i < to->user_count; i++) {
        const Mesh__Wire__User *user = from->users[i];

        to->users[i].name = convert_string(conversion, user->name);
        to->users[i].verifiers = verifiers_from_wire(conversion, user->verifiers, user->n_verifiers, &to->users[i].verifier_count);
    }
}

static void users_response_to_wire(struct conversion *conversion, const struct message_users_response *from, Mesh__Wire__UsersResponse *to)
{
    to->users = convert_pointers(conversion, from->user_count, sizeof(**to->users), &to->n_users);
    for (size_t i = 0; i < to->n_users; i++) {
        mesh__wire__user__init(to->users[i]);
        to->users[i]->name = from->users[i].name;
        to->users[i]->verifiers = verifiers_to_wire(conversion, from->users[i].verifiers, from->users[i].verifier_count, &to->users[i]->n_verifiers);
    }
}

void message_deinit_users_response(struct message_users_response *message)
{
    for (size_t i = 0; i < message->user_count; i++) {
        free(message->users[i].name);
        free(message->users[i].verifiers);
    }
    free(message->users);
    *message = (struct message_users_response){0};
}

CONVERT_DEFINE(users_response, message_users_response, Mesh__Wire__UsersResponse, mesh__wire__users_response, MESH__WIRE__USERS_RESPONSE__INIT,
               MESSAGE_RESPONSE_ELEMENTS_MAX)
