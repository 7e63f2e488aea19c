/* Brokers that are gone for good: taken out one by one, or given up so that the others are a mesh again. */
#include "wire/message.h"

#include "wire/convert.h"

/* ---- remove ---- */

static void remove_request_from_wire(struct conversion *conversion, const Mesh__Wire__RemoveRequest *from, struct message_remove_request *to)
{
    to->broker = convert_string(conversion, from->broker);
    to->accepts_loss = from->accepts_loss;
}

static void remove_request_to_wire(struct conversion *conversion, const struct message_remove_request *from, Mesh__Wire__RemoveRequest *to)
{
    (void)conversion;
    to->broker = from->broker;
    to->accepts_loss = from->accepts_loss;
}

void message_deinit_remove_request(struct message_remove_request *message)
{
    free(message->broker);
    *message = (struct message_remove_request){0};
}

CONVERT_DEFINE(remove_request, message_remove_request, Mesh__Wire__RemoveRequest, mesh__wire__remove_request,
               MESH__WIRE__REMOVE_REQUEST__INIT, MESSAGE_ENTRIES_MAX)

static void remove_response_from_wire(struct conversion *conversion, const Mesh__Wire__RemoveResponse *from, struct message_remove_response *to)
{
    to->broker_id = convert_uuid(from->broker_id);
    to->name = convert_string(conversion, from->name);
    to->hosted_partitions = from->hosted_partitions;
    to->lost_partitions = from->lost_partitions;
}

static void remove_response_to_wire(struct conversion *conversion, const struct message_remove_response *from, Mesh__Wire__RemoveResponse *to)
{
    (void)conversion;
    to->broker_id = convert_borrow_uuid(&from->broker_id);
    to->name = from->name;
    to->hosted_partitions = from->hosted_partitions;
    to->lost_partitions = from->lost_partitions;
}

void message_deinit_remove_response(struct message_remove_response *message)
{
    free(message->name);
    *message = (struct message_remove_response){0};
}

CONVERT_DEFINE(remove_response, message_remove_response, Mesh__Wire__RemoveResponse, mesh__wire__remove_response,
               MESH__WIRE__REMOVE_RESPONSE__INIT, MESSAGE_ENTRIES_MAX)

/* ---- recover ---- */

static void recover_request_from_wire(struct conversion *conversion, const Mesh__Wire__RecoverRequest *from, struct message_recover_request *to)
{
    to->lost = convert_array(conversion, from->n_lost, sizeof(*to->lost), &to->lost_count);
    for (size_t i = 0; i < to->lost_count; i++)
        to->lost[i] = convert_string(conversion, from->lost[i]);
    to->is_for_real = from->is_for_real;
}

static void recover_request_to_wire(struct conversion *conversion, const struct message_recover_request *from, Mesh__Wire__RecoverRequest *to)
{
    (void)conversion;
    to->lost = from->lost;
    to->n_lost = from->lost_count;
    to->is_for_real = from->is_for_real;
}

void message_deinit_recover_request(struct message_recover_request *message)
{
    for (size_t i = 0; i < message->lost_count; i++)
        free(message->lost[i]);
    free(message->lost);
    *message = (struct message_recover_request){0};
}

CONVERT_DEFINE(recover_request, message_recover_request, Mesh__Wire__RecoverRequest, mesh__wire__recover_request,
               MESH__WIRE__RECOVER_REQUEST__INIT, MESSAGE_ENTRIES_MAX)

static void survivor_from_wire(struct conversion *conversion, const Mesh__Wire__Survivor *from, struct message_survivor *to)
{
    to->broker_id = convert_uuid(from->broker_id);
    to->name = convert_string(conversion, from->name);
    to->has_answered = from->has_answered;
    to->is_voter = from->is_voter;
    to->is_damaged = from->is_damaged;
    to->is_chosen = from->is_chosen;
    to->last_index = from->last_index;
    to->committed = from->committed;
    to->objection = convert_string(conversion, from->objection);
}

static void recover_response_from_wire(struct conversion *conversion, const Mesh__Wire__RecoverResponse *from, struct message_recover_response *to)
{
    to->is_done = from->is_done;
    to->objection = convert_string(conversion, from->objection);
    to->history = from->history;
    to->lost_partitions = from->lost_partitions;
    to->lost = convert_array(conversion, from->n_lost, sizeof(*to->lost), &to->lost_count);
    for (size_t i = 0; i < to->lost_count; i++) {
        to->lost[i].broker_id = convert_uuid(from->lost[i]->broker_id);
        to->lost[i].name = convert_string(conversion, from->lost[i]->name);
        to->lost[i].is_voter = from->lost[i]->is_voter;
        to->lost[i].hosted_partitions = from->lost[i]->hosted_partitions;
    }
    to->survivors = convert_array(conversion, from->n_survivors, sizeof(*to->survivors), &to->survivor_count);
    for (size_t i = 0; i < to->survivor_count; i++)
        survivor_from_wire(conversion, from->survivors[i], &to->survivors[i]);
}

static void survivor_to_wire(const struct message_survivor *from, Mesh__Wire__Survivor *to)
{
    mesh__wire__survivor__init(to);
    to->broker_id = convert_borrow_uuid(&from->broker_id);
    to->name = from->name;
    to->has_answered = from->has_answered;
    to->is_voter = from->is_voter;
    to->is_damaged = from->is_damaged;
    to->is_chosen = from->is_chosen;
    to->last_index = from->last_index;
    to->committed = from->committed;
    to->objection = from->objection;
}

static void recover_response_to_wire(struct conversion *conversion, const struct message_recover_response *from, Mesh__Wire__RecoverResponse *to)
{
    to->is_done = from->is_done;
    to->objection = from->objection;
    to->history = from->history;
    to->lost_partitions = from->lost_partitions;
    to->lost = convert_pointers(conversion, from->lost_count, sizeof(**to->lost), &to->n_lost);
    for (size_t i = 0; i < to->n_lost; i++) {
        mesh__wire__lost_broker__init(to->lost[i]);
        to->lost[i]->broker_id = convert_borrow_uuid(&from->lost[i].broker_id);
        to->lost[i]->name = from->lost[i].name;
        to->lost[i]->is_voter = from->lost[i].is_voter;
        to->lost[i]->hosted_partitions = from->lost[i].hosted_partitions;
    }
    to->survivors = convert_pointers(conversion, from->survivor_count, sizeof(**to->survivors), &to->n_survivors);
    for (size_t i = 0; i < to->n_survivors; i++)
        survivor_to_wire(&from->survivors[i], to->survivors[i]);
}

void message_deinit_recover_response(struct message_recover_response *message)
{
    for (size_t i = 0; i < message->lost_count; i++)
        free(message->lost[i].name);
    for (size_t i = 0; i < message->survivor_count; i++) {
        free(message->survivors[i].name);
        free(message->survivors[i].objection);
    }
    free(message->lost);
    free(message->survivors);
    free(message->objection);
    *message = (struct message_recover_response){0};
}

CONVERT_DEFINE(recover_response, message_recover_response, Mesh__Wire__RecoverResponse, mesh__wire__recover_response,
               MESH__WIRE__RECOVER_RESPONSE__INIT, MESSAGE_RESPONSE_ELEMENTS_MAX)
