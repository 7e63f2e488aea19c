/* mesh_topic_move, mesh_topic_balance: replicas that are to be elsewhere; what was set going as the public structs, which borrow from the message. */
#include "client/call.h"
#include "client/client.h"
#include "wire/message.h"

#include <stdlib.h>

struct mesh_moves {
    struct message_moves_response response; /* owns every string and array */
    struct mesh_move_info *infos;
};

void mesh_moves_free(struct mesh_moves *moves)
{
    if (moves == NULL) return;
    free(moves->infos);
    message_deinit_moves_response(&moves->response);
    free(moves);
}

static int take_answer(struct slice answer, struct mesh_moves **ret_moves)
{
    struct mesh_moves *moves = calloc(1, sizeof(*moves));
    int err = moves == NULL ? MESH_ENOMEM : message_decode_moves_response(answer, &moves->response);

    if (err == 0) moves->infos = calloc(moves->response.move_count + 1, sizeof(moves->infos[0]));
    if (err == 0 && moves->infos == NULL) err = MESH_ENOMEM;
    if (err != 0) {
        mesh_moves_free(moves);
        return err;
    }
    for (size_t i = 0; i < moves->response.move_count; i++) {
        const struct message_move *move = &moves->response.moves[i];

        moves->infos[i] = (struct mesh_move_info){
            .topic = move->topic != NULL ? move->topic : "",
            .partition = move->partition <= INT32_MAX ? (int32_t)move->partition : -1,
            .from = move->from,
            .to = move->to,
            .from_count = move->from_count,
            .to_count = move->to_count,
        };
    }
    *ret_moves = moves;
    return 0;
}

/* Sends `call` (taken), whose message was made with error `err`. */
static int ask(struct mesh_client *client, struct call *call, int err, struct mesh_moves **ret_moves)
{
    struct buffer answer = BUFFER_INIT;

    if (err != 0) {
        call_free(call);
        return client_fail(client, err, "%s", mesh_strerror(err));
    }
    call->is_repeatable = false; /* the second answer would say that nothing moves */
    err = call_wait(call, &answer);
    if (err == 0) {
        err = take_answer(buffer_slice(&answer), ret_moves);
        if (err != 0) client_fail(client, err, "the broker's answer could not be read: %s", mesh_strerror(err));
    }
    buffer_deinit(&answer);
    return err;
}

static int move(struct mesh_client *client, const struct message_topic_move *request, struct mesh_moves **ret_moves)
{
    struct call *call = NULL;
    int err = request->topic == NULL || request->partition < -1 ? MESH_EINVAL : call_new(client, FRAME_OP_TOPIC_MOVE, NULL, NULL, &call);

    if (err == 0) err = message_encode_topic_move(&call->message, request);
    return ask(client, call, err, ret_moves);
}

int mesh_topic_move(struct mesh_client *client, const char *topic, int32_t partition, const char *const *brokers, size_t broker_count,
                    struct mesh_moves **ret_moves)
{
    struct message_topic_move request = {.topic = (char *)(uintptr_t)topic,
                                         .partition = partition,
                                         .brokers = (char **)(uintptr_t)brokers, /* encoding only reads */
                                         .broker_count = broker_count};

    return move(client, &request, ret_moves);
}

int mesh_topic_move_cancel(struct mesh_client *client, const char *topic, int32_t partition, struct mesh_moves **ret_moves)
{
    struct message_topic_move request = {.topic = (char *)(uintptr_t)topic, .partition = partition, .is_cancel = true};

    return move(client, &request, ret_moves);
}

int mesh_topic_balance(struct mesh_client *client, const char *topic, int is_dry, struct mesh_moves **ret_moves)
{
    struct message_topic_balance request = {.topic = (char *)(uintptr_t)topic, .is_dry = is_dry != 0};
    struct call *call = NULL;
    int err = call_new(client, FRAME_OP_TOPIC_BALANCE, NULL, NULL, &call);

    if (err == 0) err = message_encode_topic_balance(&call->message, &request);
    return ask(client, call, err, ret_moves);
}

size_t mesh_moves_count(const struct mesh_moves *moves)
{
    return moves->response.move_count;
}

const struct mesh_move_info *mesh_moves_get(const struct mesh_moves *moves, size_t index)
{
    return index < moves->response.move_count ? &moves->infos[index] : NULL;
}
