/* Replicas that are to move: where to, and what was set going. */
#include "wire/message.h"

#include "wire/convert.h"

/* ---- move ---- */

static void topic_move_from_wire(struct conversion *conversion, const Mesh__Wire__TopicMoveRequest *from, struct message_topic_move *to)
{
    to->topic = convert_string(conversion, from->topic);
    to->partition = convert_minus_one(conversion, from->partition_plus_one);
    to->brokers = convert_array(conversion, from->n_brokers, sizeof(to->brokers[0]), &to->broker_count);
    for (size_t i = 0; i < to->broker_count; i++)
        to->brokers[i] = convert_string(conversion, from->brokers[i]);
    to->is_cancel = from->is_cancel;
}

static void topic_move_to_wire(struct conversion *conversion, const struct message_topic_move *from, Mesh__Wire__TopicMoveRequest *to)
{
    to->topic = from->topic;
    to->partition_plus_one = (uint32_t)convert_plus_one(conversion, from->partition);
    to->brokers = from->brokers;
    to->n_brokers = from->broker_count;
    to->is_cancel = from->is_cancel;
}

void message_deinit_topic_move(struct message_topic_move *message)
{
    free(message->topic);
    convert_strings_free(message->brokers, message->broker_count);
    *message = (struct message_topic_move){0};
}

CONVERT_DEFINE(topic_move, message_topic_move, Mesh__Wire__TopicMoveRequest, mesh__wire__topic_move_request,
               MESH__WIRE__TOPIC_MOVE_REQUEST__INIT, MESSAGE_ENTRIES_MAX)

/* ---- balance ---- */

static void topic_balance_from_wire(struct conversion *conversion, const Mesh__Wire__TopicBalanceRequest *from, struct message_topic_balance *to)
{
    to->topic = convert_string(conversion, from->topic);
    to->is_dry = from->is_dry;
}

static void topic_balance_to_wire(struct conversion *conversion, const struct message_topic_balance *from, Mesh__Wire__TopicBalanceRequest *to)
{
    (void)conversion;
    to->topic = from->topic;
    to->is_dry = from->is_dry;
}

void message_deinit_topic_balance(struct message_topic_balance *message)
{
    free(message->topic);
    *message = (struct message_topic_balance){0};
}

CONVERT_DEFINE(topic_balance, message_topic_balance, Mesh__Wire__TopicBalanceRequest, mesh__wire__topic_balance_request,
               MESH__WIRE__TOPIC_BALANCE_REQUEST__INIT, MESSAGE_ENTRIES_MAX)

/* ---- what moves ---- */

static int32_t *ids_from_wire(struct conversion *conversion, const int32_t *from, size_t count, size_t *ret_count)
{
    int32_t *to = convert_array(conversion, count, sizeof(*to), ret_count);

    if (*ret_count > 0) memcpy(to, from, count * sizeof(*to));
    return to;
}

static void moves_response_from_wire(struct conversion *conversion, const Mesh__Wire__MovesResponse *from, struct message_moves_response *to)
{
    to->moves = convert_array(conversion, from->n_moves, sizeof(to->moves[0]), &to->move_count);
    for (size_t i = 0; i < to->move_count; i++) {
        const Mesh__Wire__Move *move = from->moves[i];

        to->moves[i].topic = convert_string(conversion, move->topic);
        to->moves[i].partition = move->partition;
        to->moves[i].from = ids_from_wire(conversion, move->from, move->n_from, &to->moves[i].from_count);
        to->moves[i].to = ids_from_wire(conversion, move->to, move->n_to, &to->moves[i].to_count);
    }
}

static void moves_response_to_wire(struct conversion *conversion, const struct message_moves_response *from, Mesh__Wire__MovesResponse *to)
{
    to->moves = convert_pointers(conversion, from->move_count, sizeof(**to->moves), &to->n_moves);
    for (size_t i = 0; i < to->n_moves; i++) {
        const struct message_move *move = &from->moves[i];

        mesh__wire__move__init(to->moves[i]);
        to->moves[i]->topic = move->topic;
        to->moves[i]->partition = move->partition;
        to->moves[i]->from = move->from;
        to->moves[i]->n_from = move->from_count;
        to->moves[i]->to = move->to;
        to->moves[i]->n_to = move->to_count;
    }
}

void message_deinit_moves_response(struct message_moves_response *message)
{
    for (size_t i = 0; i < message->move_count; i++) {
        free(message->moves[i].topic);
        free(message->moves[i].from);
        free(message->moves[i].to);
    }
    free(message->moves);
    *message = (struct message_moves_response){0};
}

CONVERT_DEFINE(moves_response, message_moves_response, Mesh__Wire__MovesResponse, mesh__wire__moves_response, MESH__WIRE__MOVES_RESPONSE__INIT,
               MESSAGE_ENTRIES_MAX)
