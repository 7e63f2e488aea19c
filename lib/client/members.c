/* mesh_members_get, mesh_leave, mesh_keys_get: the brokers among themselves, as public structs that borrow from the
 * decoded message. */
#include "client/call.h"
#include "client/client.h"
#include "wire/message.h"

#include <stdlib.h>

static const char *text(const char *string)
{
    return string != NULL ? string : "";
}

/* Asks with what `call` holds (taken); decode() makes *ret of the answer. */
static int ask(struct mesh_client *client, struct call *call, int (*decode)(struct slice, void *), void *ret)
{
    struct buffer answer = BUFFER_INIT;
    int err = call_wait(call, &answer);

    if (err == 0) {
        err = decode(buffer_slice(&answer), ret);
        if (err != 0) client_fail(client, err, "the broker's answer could not be read: %s", mesh_strerror(err));
    }
    buffer_deinit(&answer);
    return err;
}

/* ---- members ---- */

struct mesh_members {
    struct message_members_response response; /* owns every string */
    char cluster[UUID_STRING_SIZE];
    struct mesh_member_info *infos;
};

static void fill_member(const struct message_member *from, struct mesh_member_info *to)
{
    *to = (struct mesh_member_info){
        .name = text(from->name),
        .zone = text(from->zone),
        .address = text(from->address),
        .host = text(from->host),
        .port = from->port <= UINT16_MAX ? (uint16_t)from->port : 0,
        .state = from->state <= MESH_MEMBER_LEFT ? (enum mesh_member_state)from->state : MESH_MEMBER_SUSPECT,
        .incarnation = from->incarnation,
        .state_ms = from->state_ms,
        .heard_ms = from->heard_ms,
        .rtt_us = from->rtt_us,
        .is_self = from->is_self,
        .is_udp_blocked = from->is_udp_blocked,
    };
    uuid_format(&from->broker_id, to->id);
}

void mesh_members_free(struct mesh_members *members)
{
    if (members == NULL) return;
    free(members->infos);
    message_deinit_members_response(&members->response);
    free(members);
}

static int decode_members(struct slice answer, void *ret)
{
    struct mesh_members *members = calloc(1, sizeof(*members));
    int err = members == NULL ? MESH_ENOMEM : message_decode_members_response(answer, &members->response);

    if (err == 0) members->infos = calloc(members->response.member_count + 1, sizeof(*members->infos));
    if (err == 0 && members->infos == NULL) err = MESH_ENOMEM;
    if (err != 0) {
        mesh_members_free(members);
        return err;
    }
    uuid_format(&members->response.cluster_id, members->cluster);
    for (size_t i = 0; i < members->response.member_count; i++)
        fill_member(&members->response.members[i], &members->infos[i]);
    *(struct mesh_members **)ret = members;
    return 0;
}

int mesh_members_get(struct mesh_client *client, struct mesh_members **ret_members)
{
    struct call *call = NULL;
    int err = call_new(client, FRAME_OP_MEMBERS, NULL, NULL, &call);

    if (err != 0) return client_fail(client, err, "%s", mesh_strerror(err));
    return ask(client, call, decode_members, ret_members);
}

const char *mesh_members_cluster(const struct mesh_members *members)
{
    return members->cluster;
}

size_t mesh_members_count(const struct mesh_members *members)
{
    return members->response.member_count;
}

const struct mesh_member_info *mesh_members_at(const struct mesh_members *members, size_t index)
{
    return &members->infos[index];
}

/* ---- leaving ---- */

static int decode_nothing(struct slice answer, void *ret)
{
    (void)answer;
    (void)ret;
    return 0;
}

int mesh_leave(struct mesh_client *client)
{
    struct call *call = NULL;
    int err = call_new(client, FRAME_OP_LEAVE, NULL, NULL, &call);

    if (err != 0) return client_fail(client, err, "%s", mesh_strerror(err));
    call->is_repeatable = false;
    return ask(client, call, decode_nothing, NULL);
}

/* ---- keys ---- */

struct mesh_keys {
    struct message_keys_response response; /* owns every string */
    struct mesh_key_info *infos;
};

void mesh_keys_free(struct mesh_keys *keys)
{
    if (keys == NULL) return;
    free(keys->infos);
    message_deinit_keys_response(&keys->response);
    free(keys);
}

static int decode_keys(struct slice answer, void *ret)
{
    struct mesh_keys *keys = calloc(1, sizeof(*keys));
    int err = keys == NULL ? MESH_ENOMEM : message_decode_keys_response(answer, &keys->response);

    if (err == 0) keys->infos = calloc(keys->response.key_count + 1, sizeof(*keys->infos));
    if (err == 0 && keys->infos == NULL) err = MESH_ENOMEM;
    if (err != 0) {
        mesh_keys_free(keys);
        return err;
    }
    for (size_t i = 0; i < keys->response.key_count; i++) {
        const struct message_key *from = &keys->response.keys[i];

        keys->infos[i] = (struct mesh_key_info){text(from->key_id), from->is_used, from->holder_count, from->member_count};
    }
    *(struct mesh_keys **)ret = keys;
    return 0;
}

int mesh_keys_get(struct mesh_client *client, int is_rotation, struct mesh_keys **ret_keys)
{
    const struct message_keys_request request = {is_rotation ? MESSAGE_KEYS_ROTATE : MESSAGE_KEYS_LIST};
    struct call *call = NULL;
    int err = call_new(client, FRAME_OP_KEYS, NULL, NULL, &call);

    if (err == 0) err = message_encode_keys_request(&call->message, &request);
    if (err != 0) {
        call_free(call);
        return client_fail(client, err, "%s", mesh_strerror(err));
    }
    call->is_repeatable = !is_rotation;
    return ask(client, call, decode_keys, ret_keys);
}

size_t mesh_keys_count(const struct mesh_keys *keys)
{
    return keys->response.key_count;
}

const struct mesh_key_info *mesh_keys_at(const struct mesh_keys *keys, size_t index)
{
    return &keys->infos[index];
}

const char *mesh_keys_phase(const struct mesh_keys *keys)
{
    return text(keys->response.phase);
}

const char *mesh_keys_waiting_for(const struct mesh_keys *keys)
{
    return text(keys->response.waiting_for);
}
