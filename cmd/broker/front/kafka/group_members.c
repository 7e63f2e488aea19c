/* broker/front/kafka/group_members.c - see group_members.h.
 *
 * A leader keeps nothing of who waits; so here a member that waits for others costs a timer and its request, and asks again, seldom more often than it takes
 * others to come. Who has closed its connection asks no more. */
#include "cmd/broker/front/kafka/group_members.h"

#include "base/error.h"
#include "cmd/broker/runtime/shard.h"
#include "wire/frame.h"

#define WAIT_FIRST_MS 5
#define WAIT_MAX_MS   200
#define LOST_MS       10000 /* a leader that is gone is waited for so long: another one is elected within seconds */

static void ask(struct kafka_group_question *question);

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct kafka_group_question *question = timer->data;

    (void)loop;
    (void)events;
    question->call->cancel = NULL;
    ask(question);
    kafka_call_leave(question->call);
}

static void cancel(struct kafka_call *call)
{
    struct kafka_group_question *question = call->state; /* what waits is the first that its state has */

    ev_timer_stop(call->connection->shard->loop, &question->timer);
}

/* It has joined, and is known by this id now. */
static void note_member(struct kafka_group_question *question, const struct message_group_classic_response *response)
{
    if (question->request.kind != MESSAGE_GROUP_CLASSIC_JOIN || response->member.size > sizeof(question->member_bytes)) return;
    if (response->member.size > 0) memcpy(question->member_bytes, response->member.data, response->member.size);
    question->member = slice_of(question->member_bytes, response->member.size);
    question->request.head.member = question->member;
    if (!question->request.is_again) question->name_count = question->request.name_count;
    question->request.is_again = true;
    question->request.name_count = question->request.payload_count = 0; /* that was said already */
    question->epoch = response->route.epoch;
}

/* Nothing is to be had of the leader at the moment; nothing was done, or what is done again. */
static bool is_passing(int error)
{
    return error == MESH_EAGAIN || error == MESH_EUNREACHABLE || error == MESH_ENOT_LEADER || error == MESH_ETIMEDOUT || error == MESH_EUNCOMMITTED ||
           error == MESH_EBUSY;
}

/* Another leader may know the member, and nothing of this join; or the members are gathered anew, and it has yet to come: it says all of it again. */
static bool is_to_join_anew(struct kafka_group_question *question, const struct message_group_classic_response *response)
{
    uint64_t now_ms = question->call->connection->shard->now_ms;

    if (question->name_count == 0) return false; /* it was never told to wait */
    if (is_passing(response->error)) {
        if (question->lost_ms == 0) question->lost_ms = now_ms;
        return now_ms - question->lost_ms < LOST_MS && !question->call->connection->shard->is_stopping;
    }
    question->lost_ms = 0;
    if (!question->request.is_again) return false;
    return response->error == MESH_EREBALANCING || (response->error == 0 && response->route.epoch != question->epoch);
}

static void join_anew(struct kafka_group_question *question)
{
    question->request.is_again = false;
    question->request.name_count = question->request.payload_count = question->name_count;
}

/* One `out` passes from the answer to the timer. */
static void wait(struct kafka_group_question *question)
{
    struct kafka_call *call = question->call;

    question->wait_ms = question->wait_ms == 0 ? WAIT_FIRST_MS : question->wait_ms * 2 < WAIT_MAX_MS ? question->wait_ms * 2 : WAIT_MAX_MS;
    call->out++;
    call->cancel = cancel;
    ev_timer_init(&question->timer, on_timer, question->wait_ms / 1e3, 0.);
    question->timer.data = question;
    ev_timer_start(call->connection->shard->loop, &question->timer);
}

static void on_answer(void *owner, uint64_t tag, struct slice answer)
{
    struct kafka_group_question *question = owner;
    struct kafka_call *call = question->call;
    struct message_group_classic_response response;
    int err = answer.size == 0 ? MESH_EBUSY : message_decode_group_classic_response(answer, &response);

    (void)tag;
    if (err != 0) response = (struct message_group_classic_response){.error = err};
    if (question->request.kind > MESSAGE_GROUP_CLASSIC_SYNC) response.is_waiting = false;
    if (response.error == 0 && response.is_waiting && call->connection->shard->is_stopping) response.error = MESH_ESHUTDOWN;
    if (call->session != NULL && is_to_join_anew(question, &response)) {
        join_anew(question);
        wait(question);
    } else if (call->session != NULL && response.error == 0 && response.is_waiting) {
        note_member(question, &response);
        wait(question);
    } else if (call->session != NULL || question->request.kind == MESSAGE_GROUP_CLASSIC_LEAVE) { /* who was to leave does, though nobody hears of it */
        question->answered(call, &response);
    }
    message_deinit_group_classic_response(&response);
    kafka_call_leave(call);
}

static void ask(struct kafka_group_question *question)
{
    const struct message_group_classic *request = &question->request;
    bool changes = request->kind != MESSAGE_GROUP_CLASSIC_HEARTBEAT && request->kind != MESSAGE_GROUP_CLASSIC_DESCRIBE && !request->is_again;
    struct buffer message = BUFFER_INIT;
    int err = message_encode_group_classic(&message, request);

    if (err == 0)
        kafka_group_ask(question->call, changes ? FRAME_OP_GROUP_CLASSIC : FRAME_OP_GROUP_CLASSIC_LOOK, &message, on_answer, question, 0);
    else
        question->answered(question->call, &(struct message_group_classic_response){.error = err}); /* too much was said, or no memory */
    buffer_deinit(&message);
}

void kafka_group_question_ask(struct kafka_group_question *question, struct kafka_call *call)
{
    question->call = call;
    question->request.head.forwards = true;
    question->request.head.epoch = -1;
    call->out++;
    ask(question);
    kafka_call_leave(call);
}
