/* broker/front/kafka/login.c - SASL_HANDSHAKE, SASL_AUTHENTICATE, and tokens without headers.
 *
 * SCRAM costs a few hashes, which a shard makes by itself. Whether a PLAIN password is the right one costs thousands: a lane of its own finds out,
 * while the call waits. */
#include "cmd/broker/front/kafka/login.h"

#include "cmd/broker/front/kafka/door.h"
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/kafka.h"

#include "base/error.h"
#include "base/random.h"
#include "cmd/broker/runtime/shard.h"
#include "crypto/crypto.h"
#include "kafka/messages.h"
#include "replication/coordinator/image.h"
#include "wire/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of passwords that wait to be checked, of all connections together: about a second's work, by the iterations that they take; one of any size may be. Who comes then is
 * closed, and tries again. */
#define CHECK_ITERATIONS_MAX (128u * SCRAM_ITERATIONS)

#define NONCE_BYTES 24

void kafka_login_free(struct kafka_login *login)
{
    if (login == NULL) return;
    sasl_server_deinit(&login->server);
    free(login);
}

bool kafka_is_stranger(const struct connection *connection)
{
    return connection->kafka != NULL && connection->kafka->user == NULL && connection->shard->broker->settings.auth_required != 0;
}

static bool is_about_login(const struct kafka_request *request)
{
    return request->header.key == KAFKA_API_VERSIONS || request->header.key == KAFKA_SASL_HANDSHAKE || request->header.key == KAFKA_SASL_AUTHENTICATE;
}

const char *kafka_login_objection(const struct kafka_request *request)
{
    const struct kafka_session *session = request->session;

    if (is_about_login(request)) return NULL;
    if (kafka_is_stranger(request->connection)) return "a request came before the client had logged in";
    if (session->login != NULL) return "a request came in the middle of a login";
    if (session->known_until_ms != 0 && request->connection->shard->now_ms >= session->known_until_ms)
        return "the login is too old, and the client did not renew it";
    return NULL;
}

/* ---- handshake ---- */

/* What is there already stays until the new login is done. */
static int begin_login(struct kafka_session *session, enum sasl_mechanism mechanism, bool is_raw)
{
    struct kafka_login *login = calloc(1, sizeof(*login));

    if (login == NULL) return MESH_ENOMEM;
    sasl_server_init(&login->server, mechanism);
    login->is_raw = is_raw;
    kafka_login_free(session->login);
    session->login = login;
    return 0;
}

enum serve kafka_serve_sasl_handshake(const struct kafka_request *request)
{
    struct kafka_sasl_handshake_response response;
    struct kafka_sasl_handshake_request asked;
    struct slice names[SASL_MECHANISM_COUNT];
    struct arena arena = ARENA_INIT;
    enum sasl_mechanism mechanism;
    int err = kafka_request_decode(request, &arena, &asked);

    arena_deinit(&arena); /* it has no arrays */
    if (err != 0) return kafka_refuse(request, "a handshake cannot be read");
    if (request->session->login != NULL) return kafka_refuse(request, "a handshake came in the middle of a login");
    kafka_init(&kafka_sasl_handshake_response_form, &response);
    for (size_t i = 0; i < SASL_MECHANISM_COUNT; i++)
        names[i] = slice_of_string(sasl_mechanism_name((enum sasl_mechanism)i));
    response.mechanisms.items = names;
    response.mechanisms.count = SASL_MECHANISM_COUNT;
    if (!sasl_mechanism_find(asked.mechanism, &mechanism)) {
        response.error_code = KAFKA_CODE_UNSUPPORTED_SASL_MECHANISM;
        request->session->is_finishing = true; /* it ends with this answer, as with Kafka */
    } else if (begin_login(request->session, mechanism, request->header.version == 0) != 0) {
        connection_close(request->connection);
        return SERVE_GONE;
    }
    return kafka_respond(request, &response);
}

/* ---- answers ---- */

enum outcome_kind { LOGIN_GOES_ON, LOGIN_DONE, LOGIN_FAILED, LOGIN_PUT_OFF };

/* How a login went on, for the answer. What is put off was not judged, for a reason of ours: the connection ends without a word, and the client
 * comes back. Told of a wrong password, clients give up for good. */
struct outcome {
    enum outcome_kind kind;
    struct slice reply;
};

static void complain(struct connection *connection, const char *why)
{
    char line[160];

    connection->shard->metrics.logins_failed++;
    snprintf(line, sizeof(line), "closed a connection that speaks Kafka's protocol reason=\"%s\"", why);
    connection_complain(connection, line);
}

/* The client is who it says: for as long as logins last here. One that was known already must be the same as before. */
static enum outcome_kind accept_user(struct connection *connection)
{
    struct kafka_session *session = connection->kafka;
    uint64_t lifetime_ms = connection->shard->broker->settings.auth_lifetime_ms;
    const char *name = session->login->server.name;

    if (session->user != NULL && strcmp(session->user, name) != 0) return LOGIN_FAILED;
    if (session->user == NULL) session->user = strdup(name);
    if (session->user == NULL) return LOGIN_PUT_OFF;
    session->known_until_ms = lifetime_ms == 0 ? 0 : connection->shard->now_ms + lifetime_ms;
    connection->shard->metrics.logins++;
    return LOGIN_DONE;
}

static void answer_raw(struct kafka_call *call, const struct outcome *outcome)
{
    buffer_clear(&call->bytes); /* no header */
    if (outcome->kind == LOGIN_FAILED) /* there is no word for it without a header: the connection ends */
        kafka_call_fail(call);
    else if (buffer_append(&call->bytes, outcome->reply.data, outcome->reply.size) != 0)
        kafka_call_fail(call);
    else
        kafka_call_done(call);
}

/* What failed is not told: neither whether there is such a user. */
static void answer(struct kafka_call *call, struct outcome outcome)
{
    struct connection *connection = call->connection;
    struct kafka_session *session = call->session;
    struct kafka_sasl_authenticate_response response;
    bool is_raw = session->login->is_raw;

    if (outcome.kind != LOGIN_GOES_ON && !atomic_load(&connection->shard->broker->judges_logins)) outcome.kind = LOGIN_PUT_OFF;
    if (outcome.kind == LOGIN_DONE) outcome.kind = accept_user(connection);
    if (outcome.kind == LOGIN_PUT_OFF) {
        kafka_call_fail(call);
        return;
    }
    if (outcome.kind == LOGIN_FAILED) outcome.reply = slice_of(NULL, 0);
    kafka_init(&kafka_sasl_authenticate_response_form, &response);
    if (outcome.kind == LOGIN_FAILED) {
        complain(connection, "a login failed");
        response.error_code = KAFKA_CODE_SASL_AUTHENTICATION_FAILED;
        response.error_message = slice_of_string("the login failed: the name or the password is wrong");
        session->is_finishing = true;
    }
    response.auth_bytes = outcome.reply.data == NULL ? slice_of("", 0) : outcome.reply;
    if (outcome.kind == LOGIN_DONE) response.session_lifetime_ms = (int64_t)connection->shard->broker->settings.auth_lifetime_ms;
    if (outcome.kind != LOGIN_GOES_ON) {
        kafka_login_free(session->login);
        session->login = NULL;
    }
    if (is_raw)
        answer_raw(call, &outcome);
    else
        kafka_call_answer(call, &response);
}

/* ---- users ---- */

/* The verifier of this name for that mechanism, or one that nothing satisfies. PLAIN takes any that there is. */
static void find_verifier(const struct shard *shard, const struct sasl_server *server, struct scram_verifier *ret_verifier)
{
    const struct image_user *user = image_find_user(shard->image, server->name);
    enum scram_hash hash = sasl_mechanism_hash(server->mechanism);

    for (uint32_t i = 0; user != NULL && i < user->verifier_count; i++) {
        const struct image_verifier *found = &user->verifiers[i];

        if (server->mechanism != SASL_PLAIN && (uint32_t)found->mechanism != (uint32_t)hash) continue;
        *ret_verifier = (struct scram_verifier){
            .hash = found->mechanism == IMAGE_SCRAM_SHA_256 ? SCRAM_SHA_256 : SCRAM_SHA_512, .iterations = found->iterations, .salt_size = found->salt_size};
        memcpy(ret_verifier->salt, found->salt, sizeof(found->salt));
        memcpy(ret_verifier->stored_key, found->stored_key, sizeof(found->stored_key));
        memcpy(ret_verifier->server_key, found->server_key, sizeof(found->server_key));
        return;
    }
    scram_verifier_fake(hash, shard->broker->login_secret, slice_of_string(server->name), ret_verifier);
}

static void make_nonce(char to[NONCE_BYTES * 2 + 1])
{
    uint8_t bytes[NONCE_BYTES];

    random_system_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(to + 2 * i, 3, "%02x", bytes[i]);
}

/* ---- PLAIN: on a lane ---- */

struct check {
    struct mail mail;
    struct kafka_call *call;
    struct shard *shard;
    struct broker *broker;
    struct scram_verifier verifier;
    char password[SCRAM_PASSWORD_SIZE_MAX];
    size_t password_size;
    bool is_accepted;
};

static void finish_check(struct kafka_call *call)
{
    const bool *is_accepted = call->state;

    answer(call, (struct outcome){*is_accepted ? LOGIN_DONE : LOGIN_FAILED, slice_of(NULL, 0)});
}

static void check_returns(struct mail *mail)
{
    struct check *check = container_of(mail, struct check, mail);
    struct kafka_call *call = check->call;

    *(bool *)call->state = check->is_accepted;
    free(check);
    kafka_call_leave(call);
}

static void check_runs(struct mail *mail)
{
    struct check *check = container_of(mail, struct check, mail);
    uint32_t iterations = check->verifier.iterations;

    /* A broker that stops lets nobody in any more, and does not wait for the others: their logins are put off. */
    check->is_accepted = atomic_load(&check->broker->judges_logins) &&
                         scram_verifier_accepts(&check->verifier, slice_of(check->password, check->password_size));
    crypto_wipe(&check->verifier, sizeof(check->verifier));
    crypto_wipe(check->password, sizeof(check->password));
    atomic_fetch_sub_explicit(&check->broker->login_iterations, iterations, memory_order_relaxed);
    check->mail.deliver = check_returns;
    shard_post(check->shard, &check->mail);
}

static bool begin_check(struct broker *broker, uint32_t iterations)
{
    uint64_t before = atomic_fetch_add_explicit(&broker->login_iterations, iterations, memory_order_relaxed);

    if (before == 0 || before + iterations <= CHECK_ITERATIONS_MAX) return true;
    atomic_fetch_sub_explicit(&broker->login_iterations, iterations, memory_order_relaxed);
    return false;
}

/* False: too much waits, or there is no memory; the connection is to be closed. */
static bool check_password(struct kafka_call *call)
{
    struct shard *shard = call->connection->shard;
    struct sasl_server *server = &call->session->login->server;
    struct check *check = calloc(1, sizeof(*check));

    call->state = arena_alloc(&call->arena, 1, sizeof(bool));
    if (check == NULL || call->state == NULL) {
        free(check);
        return false;
    }
    find_verifier(shard, server, &check->verifier);
    if (!begin_check(shard->broker, check->verifier.iterations)) {
        complain(call->connection, "too many logins at once");
        crypto_wipe(&check->verifier, sizeof(check->verifier));
        free(check);
        return false;
    }
    memcpy(check->password, server->password, server->password_size);
    check->password_size = server->password_size;
    crypto_wipe(server->password, sizeof(server->password));
    check->call = call;
    check->shard = shard;
    check->broker = shard->broker;
    check->mail.deliver = check_runs;
    call->finish = finish_check;
    call->out++;
    lane_post(&shard->broker->login_lane, &check->mail);
    return true;
}

/* ---- tokens ---- */

static struct outcome challenge(const struct shard *shard, struct sasl_server *server, struct buffer *reply)
{
    char nonce[NONCE_BYTES * 2 + 1];
    struct scram_verifier verifier;
    int err;

    find_verifier(shard, server, &verifier);
    make_nonce(nonce);
    err = sasl_server_challenge(server, &verifier, nonce, reply);
    crypto_wipe(&verifier, sizeof(verifier));
    return (struct outcome){err == 0 ? LOGIN_GOES_ON : LOGIN_PUT_OFF, buffer_slice(reply)};
}

/* What the handler owes is an `out` of the call; its answer leaves at once, or when the password was checked. */
static enum serve take_token(struct kafka_call *call, struct slice token)
{
    struct connection *connection = call->connection;
    struct sasl_server *server = &call->session->login->server;
    struct buffer reply = BUFFER_INIT;
    struct outcome outcome = {LOGIN_FAILED, slice_of(NULL, 0)};

    switch (sasl_server_step(server, token, &reply)) {
    case SASL_CHECK:
        if (!check_password(call)) connection_close(connection);
        kafka_call_leave(call);
        return kafka_served(connection);
    case SASL_LOOK_UP: outcome = challenge(connection->shard, server, &reply); break;
    case SASL_DONE: outcome = (struct outcome){LOGIN_DONE, buffer_slice(&reply)}; break;
    case SASL_PUT_OFF: outcome.kind = LOGIN_PUT_OFF; break;
    case SASL_FAILED: break;
    }
    call->out = 0;
    answer(call, outcome);
    buffer_deinit(&reply);
    return kafka_served(connection);
}

static enum serve serve(const struct kafka_request *request, struct slice token)
{
    struct kafka_call *call = kafka_call_new(request, 1, true, NULL);

    return call == NULL ? SERVE_GONE : take_token(call, token);
}

static enum serve refuse_state(const struct kafka_request *request)
{
    struct kafka_sasl_authenticate_response response;

    kafka_init(&kafka_sasl_authenticate_response_form, &response);
    response.error_code = KAFKA_CODE_ILLEGAL_SASL_STATE;
    response.error_message = slice_of_string("a handshake says first which mechanism is meant");
    response.auth_bytes = slice_of("", 0);
    request->session->is_finishing = true;
    return kafka_respond(request, &response);
}

enum serve kafka_serve_sasl_authenticate(const struct kafka_request *request)
{
    struct kafka_sasl_authenticate_request asked;
    struct arena arena = ARENA_INIT;
    int err = kafka_request_decode(request, &arena, &asked);

    arena_deinit(&arena); /* it has no arrays */
    if (err != 0) return kafka_refuse(request, "a login cannot be read");
    if (request->session->login == NULL) return refuse_state(request);
    return serve(request, asked.auth_bytes);
}

enum serve kafka_serve_token(struct kafka_request *request, struct slice token)
{
    request->header = (struct kafka_request_header){.key = KAFKA_SASL_AUTHENTICATE, .api = kafka_api_find(KAFKA_SASL_AUTHENTICATE)};
    request->connection->shard->metrics.requests[FRAME_OP_HELLO]++;
    return serve(request, token);
}
