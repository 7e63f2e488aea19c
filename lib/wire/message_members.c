/* Who is in the mesh, and the keys that they hold. */
#include "wire/message.h"

#include "wire/convert.h"

/* ---- members ---- */

static void member_from_wire(struct conversion *conversion, const Mesh__Wire__Member *from, struct message_member *to)
{
    to->broker_id = convert_uuid(from->broker_id);
    to->name = convert_string(conversion, from->name);
    to->host = convert_string(conversion, from->host);
    to->zone = convert_string(conversion, from->zone);
    to->address = convert_string(conversion, from->address);
    to->port = from->port;
    to->state = from->state;
    to->rtt_us = from->rtt_us;
    to->incarnation = from->incarnation;
    to->state_ms = from->state_ms;
    to->heard_ms = (int64_t)(from->heard_ms_plus_one - 1); /* 0 stands for -1 */
    if (to->heard_ms < -1) convert_fail(conversion, MESH_EPROTO);
    to->is_self = from->is_self;
    to->is_udp_blocked = from->is_udp_blocked;
}

static void members_response_from_wire(struct conversion *conversion, const Mesh__Wire__MembersResponse *from,
                                       struct message_members_response *to)
{
    to->cluster_id = convert_uuid(from->cluster_id);
    to->members = convert_array(conversion, from->n_members, sizeof(*to->members), &to->member_count);
    for (size_t i = 0; i < to->member_count; i++)
        member_from_wire(conversion, from->members[i], &to->members[i]);
}

static void member_to_wire(struct conversion *conversion, const struct message_member *from, Mesh__Wire__Member *to)
{
    mesh__wire__member__init(to);
    to->broker_id = convert_borrow_uuid(&from->broker_id);
    to->name = from->name;
    to->host = from->host;
    to->zone = from->zone;
    to->address = from->address;
    to->port = from->port;
    to->state = from->state;
    to->rtt_us = from->rtt_us;
    to->incarnation = from->incarnation;
    to->state_ms = from->state_ms;
    if (from->heard_ms < -1) convert_fail(conversion, MESH_EINVAL);
    to->heard_ms_plus_one = (uint64_t)from->heard_ms + 1;
    to->is_self = from->is_self;
    to->is_udp_blocked = from->is_udp_blocked;
}

static void members_response_to_wire(struct conversion *conversion, const struct message_members_response *from,
                                     Mesh__Wire__MembersResponse *to)
{
    to->cluster_id = convert_borrow_uuid(&from->cluster_id);
    to->members = convert_pointers(conversion, from->member_count, sizeof(**to->members), &to->n_members);
    for (size_t i = 0; i < to->n_members; i++)
        member_to_wire(conversion, &from->members[i], to->members[i]);
}

void message_deinit_members_response(struct message_members_response *message)
{
    for (size_t i = 0; i < message->member_count; i++) {
        free(message->members[i].name);
        free(message->members[i].host);
        free(message->members[i].zone);
        free(message->members[i].address);
    }
    free(message->members);
    *message = (struct message_members_response){0};
}

CONVERT_DEFINE(members_response, message_members_response, Mesh__Wire__MembersResponse, mesh__wire__members_response,
               MESH__WIRE__MEMBERS_RESPONSE__INIT, MESSAGE_RESPONSE_ELEMENTS_MAX)

/* ---- keys ---- */

static void keys_request_from_wire(struct conversion *conversion, const Mesh__Wire__KeysRequest *from,
                                   struct message_keys_request *to)
{
    (void)conversion;
    to->action = from->action;
}

static void keys_request_to_wire(struct conversion *conversion, const struct message_keys_request *from,
                                 Mesh__Wire__KeysRequest *to)
{
    (void)conversion;
    to->action = from->action;
}

void message_deinit_keys_request(struct message_keys_request *message)
{
    *message = (struct message_keys_request){0};
}

CONVERT_DEFINE(keys_request, message_keys_request, Mesh__Wire__KeysRequest, mesh__wire__keys_request,
               MESH__WIRE__KEYS_REQUEST__INIT, MESSAGE_ENTRIES_MAX)

static void keys_response_from_wire(struct conversion *conversion, const Mesh__Wire__KeysResponse *from,
                                    struct message_keys_response *to)
{
    to->keys = convert_array(conversion, from->n_keys, sizeof(*to->keys), &to->key_count);
    for (size_t i = 0; i < to->key_count; i++) {
        to->keys[i].key_id = convert_string(conversion, from->keys[i]->key_id);
        to->keys[i].is_used = from->keys[i]->is_used;
        to->keys[i].holder_count = from->keys[i]->holder_count;
        to->keys[i].member_count = from->keys[i]->member_count;
    }
    to->phase = convert_string(conversion, from->phase);
    to->waiting_for = convert_string(conversion, from->waiting_for);
}

static void keys_response_to_wire(struct conversion *conversion, const struct message_keys_response *from,
                                  Mesh__Wire__KeysResponse *to)
{
    to->keys = convert_pointers(conversion, from->key_count, sizeof(**to->keys), &to->n_keys);
    for (size_t i = 0; i < to->n_keys; i++) {
        mesh__wire__key__init(to->keys[i]);
        to->keys[i]->key_id = from->keys[i].key_id;
        to->keys[i]->is_used = from->keys[i].is_used;
        to->keys[i]->holder_count = from->keys[i].holder_count;
        to->keys[i]->member_count = from->keys[i].member_count;
    }
    to->phase = from->phase;
    to->waiting_for = from->waiting_for;
}

void message_deinit_keys_response(struct message_keys_response *message)
{
    for (size_t i = 0; i < message->key_count; i++)
        free(message->keys[i].key_id);
    free(message->keys);
    free(message->phase);
    free(message->waiting_for);
    *message = (struct message_keys_response){0};
}

CONVERT_DEFINE(keys_response, message_keys_response, Mesh__Wire__KeysResponse, mesh__wire__keys_response,
               MESH__WIRE__KEYS_RESPONSE__INIT, MESSAGE_ENTRIES_MAX)
