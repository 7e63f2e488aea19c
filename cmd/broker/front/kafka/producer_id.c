/* broker/front/kafka/producer_id.c - INIT_PRODUCER_ID: an id that nobody else has. Of transactions there are none yet: they are refused. */
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/job.h"

#include "base/error.h"
#include "cmd/broker/runtime/producer_ids.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"

struct producer_state {
    struct kafka_job job;
    int error;
    int64_t producer_id;
};

static void on_id(void *user, int error, int64_t producer_id)
{
    struct producer_state *state = user;

    state->error = error;
    state->producer_id = producer_id;
    kafka_job_home(&state->job);
}

static void run(struct kafka_job *job)
{
    struct producer_state *state = container_of(job, struct producer_state, job);

    if (job->control->is_ready)
        producer_ids_next(job->control, on_id, state);
    else
        on_id(state, MESH_ENO_COORDINATOR, -1);
}

static void answer(struct kafka_call *call)
{
    const struct producer_state *state = call->state;
    struct kafka_init_producer_id_response response;

    kafka_init(&kafka_init_producer_id_response_form, &response);
    if (state->error == 0)
        response.producer_id = state->producer_id;
    else /* whatever it was: the client asks again */
        response.error_code = KAFKA_CODE_COORDINATOR_NOT_AVAILABLE;
    kafka_call_answer(call, &response);
}

static enum serve refuse_transactions(const struct kafka_request *request)
{
    struct kafka_init_producer_id_response response;

    kafka_init(&kafka_init_producer_id_response_form, &response);
    response.error_code = KAFKA_CODE_UNSUPPORTED_VERSION;
    response.producer_epoch = -1;
    return kafka_respond(request, &response);
}

enum serve kafka_serve_init_producer_id(const struct kafka_request *request)
{
    struct connection *connection = request->connection;
    struct kafka_init_producer_id_request asked;
    struct producer_state *state;
    struct arena arena = ARENA_INIT;
    struct kafka_call *call;
    int err = kafka_request_decode(request, &arena, &asked);

    arena_deinit(&arena); /* it has no arrays */
    if (err != 0) return kafka_refuse(request, "a request for a producer id cannot be read");
    if (asked.transactional_id.data != NULL) return refuse_transactions(request);
    call = kafka_call_new(request, 1, true, kafka_call_fail);
    if (call == NULL) return SERVE_GONE;
    state = call->state = arena_alloc(&call->arena, 1, sizeof(*state));
    if (state != NULL) {
        state->job.run = run;
        state->job.home = answer;
        kafka_job_start(&state->job, call);
    }
    kafka_call_leave(call);
    return kafka_served(connection);
}
