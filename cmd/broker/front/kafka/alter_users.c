/* broker/front/kafka/alter_users.c - ALTER_USER_SCRAM_CREDENTIALS: what is kept instead of passwords, added, replaced and deleted by mechanism.
 *
 * All that one request wants of a user is one change: done as a whole, or not. What a mechanism is that the request does not name comes from the image of the broker that
 * is asked; of two administrators who change the same user at the same time at two brokers, one's change may be lost. */
#include "cmd/broker/front/kafka/admin.h"
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/users.h"

#include "base/error.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/runtime/shard.h"
#include "crypto/crypto.h"
#include "kafka/messages.h"
#include "sasl/scram.h"

#include <stdlib.h>

#define CHANGES_MAX 1000  /* of one request */
#define TIME_MS     60000 /* the request has no time of its own; what is not begun by then is not done */

typedef struct kafka_alter_user_scram_credentials_response_result told_user;

/* What is wanted of one mechanism of a user. */
enum wish { WISH_NOTHING, WISH_DELETED, WISH_SET };

struct user_order {
    char *name;
    told_user *result;
    enum wish wishes[IMAGE_SCRAM_COUNT];
    struct message_verifier verifiers[IMAGE_SCRAM_COUNT]; /* of those to be set */
};

struct alter_state {
    struct kafka_steps steps;
    struct user_order *orders;
    uint32_t room;
    struct kafka_alter_user_scram_credentials_response response;
};

/* ---- on the control loop ---- */

static void refuse(told_user *to, int16_t code, const char *text)
{
    to->error_code = code;
    to->error_message = slice_of_string(text);
}

static int16_t code_of(int error)
{
    if (error == MESH_EINVAL) return KAFKA_CODE_UNACCEPTABLE_CREDENTIAL;
    if (error == MESH_ENOTFOUND) return KAFKA_CODE_RESOURCE_NOT_FOUND;
    return error == MESH_EEXISTS ? KAFKA_CODE_DUPLICATE_RESOURCE : kafka_code_of(error);
}

static void on_changed(void *user, int error, const char *message)
{
    struct alter_state *state = user;
    char *copy = error == 0 ? NULL : arena_strdup(&state->steps.job.call->arena, message);
    told_user *result = state->orders[state->steps.next].result;

    result->error_code = code_of(error);
    if (copy != NULL) result->error_message = slice_of_string(copy);
    kafka_step_done(&state->steps);
}

static void keep_verifier(const struct image_verifier *from, struct message_verifier *to)
{
    *to = (struct message_verifier){.mechanism = (uint32_t)from->mechanism,
                                    .iterations = from->iterations,
                                    .salt_size = from->salt_size,
                                    .key_size = (uint8_t)scram_key_size((enum scram_hash)from->mechanism)};
    memcpy(to->salt, from->salt, sizeof(from->salt));
    memcpy(to->stored_key, from->stored_key, sizeof(from->stored_key));
    memcpy(to->server_key, from->server_key, sizeof(from->server_key));
}

static const struct image_verifier *find_verifier(const struct image_user *user, uint32_t mechanism)
{
    for (uint32_t i = 0; user != NULL && i < user->verifier_count; i++)
        if ((uint32_t)user->verifiers[i].mechanism == mechanism) return &user->verifiers[i];
    return NULL;
}

/* What the user has afterwards; false: something is to be deleted that is not there. */
static bool merge(const struct user_order *order, const struct image_user *user, struct message_verifier verifiers[IMAGE_SCRAM_COUNT], size_t *ret_count)
{
    *ret_count = 0;
    for (uint32_t i = 0; i < IMAGE_SCRAM_COUNT; i++) {
        const struct image_verifier *has = find_verifier(user, i + 1);

        if (order->wishes[i] == WISH_DELETED && has == NULL) return false;
        if (order->wishes[i] == WISH_SET) verifiers[(*ret_count)++] = order->verifiers[i];
        else if (order->wishes[i] == WISH_NOTHING && has != NULL) keep_verifier(has, &verifiers[(*ret_count)++]);
    }
    return true;
}

static void change(struct alter_state *state, const struct user_order *order)
{
    struct metadata *metadata = state->steps.job.control->metadata;
    const struct image_user *user = image_find_user(metadata_image(metadata), order->name);
    struct message_verifier verifiers[IMAGE_SCRAM_COUNT];
    struct message_users_request request = {.name = order->name, .verifiers = verifiers};

    if (!merge(order, user, verifiers, &request.verifier_count)) {
        on_changed(state, MESH_ENOTFOUND, "the user has no such credential");
    } else {
        request.action = request.verifier_count == 0 ? MESSAGE_USERS_REMOVE : user == NULL ? MESSAGE_USERS_ADD : MESSAGE_USERS_REPLACE;
        metadata_change_user(metadata, &request, on_changed, state);
    }
    crypto_wipe(verifiers, sizeof(verifiers));
}

static void step(struct kafka_steps *steps)
{
    struct alter_state *state = container_of(steps, struct alter_state, steps);

    if (!steps->job.control->is_ready)
        on_changed(state, MESH_ENO_COORDINATOR, mesh_strerror(MESH_ENO_COORDINATOR));
    else if (kafka_steps_is_late(steps))
        on_changed(state, MESH_ETIMEDOUT, KAFKA_STEPS_LATE_TEXT);
    else
        change(state, &state->orders[steps->next]);
}

/* ---- on the shard: what is asked, by user ---- */

struct wanted {
    struct slice name;
    int8_t mechanism;
    const struct kafka_alter_user_scram_credentials_request_upsertion *upsertion; /* NULL: it is to be deleted */
};

static int compare_wanted(const void *left, const void *right)
{
    const struct wanted *a = left, *b = right;
    int order = kafka_compare_users(a->name, b->name);

    return order != 0 ? order : (a->mechanism > b->mechanism) - (a->mechanism < b->mechanism);
}

static const char *objection_to(const struct kafka_alter_user_scram_credentials_request_upsertion *upsertion)
{
    if (upsertion->iterations < SCRAM_ITERATIONS_MIN || upsertion->iterations > SCRAM_ITERATIONS_MAX) return "SCRAM takes 4096 to 1000000 iterations";
    if (upsertion->salt.size < SCRAM_SALT_SIZE_MIN || upsertion->salt.size > SCRAM_SALT_SIZE_MAX) return "a salt has 8 to 64 bytes";
    if (upsertion->salted_password.size != scram_key_size((enum scram_hash)upsertion->mechanism)) return "a salted password is as long as the mechanism's hash";
    return NULL;
}

static void set_verifier(const struct kafka_alter_user_scram_credentials_request_upsertion *upsertion, struct message_verifier *to)
{
    struct scram_verifier made;

    scram_verifier_of_salted((enum scram_hash)upsertion->mechanism, upsertion->salted_password, upsertion->salt, (uint32_t)upsertion->iterations, &made);
    *to = (struct message_verifier){
        .mechanism = (uint32_t)made.hash, .iterations = made.iterations, .salt_size = made.salt_size, .key_size = (uint8_t)scram_key_size(made.hash)};
    memcpy(to->salt, made.salt, sizeof(made.salt));
    memcpy(to->stored_key, made.stored_key, sizeof(made.stored_key));
    memcpy(to->server_key, made.server_key, sizeof(made.server_key));
    crypto_wipe(&made, sizeof(made));
}

static void take_wish(const struct wanted *wanted, struct user_order *order)
{
    told_user *result = order->result;
    const char *objection = NULL;

    if (wanted->mechanism != SCRAM_SHA_256 && wanted->mechanism != SCRAM_SHA_512) {
        refuse(result, KAFKA_CODE_UNSUPPORTED_SASL_MECHANISM, "SCRAM goes by SHA-256 (1) or SHA-512 (2) here");
        return;
    }
    if (order->wishes[wanted->mechanism - 1] != WISH_NOTHING) {
        refuse(result, KAFKA_CODE_DUPLICATE_RESOURCE, "a mechanism of the user is named twice");
        return;
    }
    order->wishes[wanted->mechanism - 1] = wanted->upsertion == NULL ? WISH_DELETED : WISH_SET;
    if (wanted->upsertion == NULL) return;
    objection = objection_to(wanted->upsertion);
    if (objection != NULL) refuse(result, KAFKA_CODE_UNACCEPTABLE_CREDENTIAL, objection);
    else set_verifier(wanted->upsertion, &order->verifiers[wanted->mechanism - 1]);
}

/* Those of one user; the next order is taken if there is nothing to object to. */
static int take_user(struct kafka_call *call, const struct wanted *wanted, size_t count)
{
    struct alter_state *state = call->state;
    struct user_order *order = &state->orders[state->steps.count];
    told_user *result = &state->response.results.items[state->response.results.count++];

    memset(order, 0, sizeof(*order));
    order->name = kafka_admin_text(call, wanted->name);
    order->result = result;
    if (order->name == NULL) return MESH_ENOMEM;
    result->user = slice_of(order->name, wanted->name.size);
    for (size_t i = 0; i < count && result->error_code == KAFKA_CODE_NONE; i++)
        take_wish(&wanted[i], order);
    if (result->error_code == KAFKA_CODE_NONE && (wanted->name.size == 0 || wanted->name.size > IMAGE_NAME_SIZE_MAX || kafka_has_nul(wanted->name)))
        refuse(result, KAFKA_CODE_UNACCEPTABLE_CREDENTIAL, "a user's name has 1 to 255 bytes, none of them 0");
    state->steps.count += result->error_code == KAFKA_CODE_NONE;
    return 0;
}

static struct wanted *list_wanted(const struct kafka_alter_user_scram_credentials_request *asked, size_t *ret_count)
{
    size_t deleted = (size_t)asked->deletions.count, set = (size_t)asked->upsertions.count;
    struct wanted *wanted = calloc(deleted + set + 1, sizeof(*wanted));

    if (wanted == NULL) return NULL;
    for (size_t i = 0; i < deleted; i++)
        wanted[i] = (struct wanted){asked->deletions.items[i].name, asked->deletions.items[i].mechanism, NULL};
    for (size_t i = 0; i < set; i++)
        wanted[deleted + i] = (struct wanted){asked->upsertions.items[i].name, asked->upsertions.items[i].mechanism, &asked->upsertions.items[i]};
    qsort(wanted, deleted + set, sizeof(*wanted), compare_wanted);
    *ret_count = deleted + set;
    return wanted;
}

static int prepare(struct kafka_call *call, const struct kafka_alter_user_scram_credentials_request *asked)
{
    struct alter_state *state = arena_alloc(&call->arena, 1, sizeof(*state));
    size_t count = 0, next;
    struct wanted *wanted = list_wanted(asked, &count);
    int err = state == NULL || wanted == NULL ? MESH_ENOMEM : 0;

    if (err == 0) {
        call->state = state;
        kafka_init(&kafka_alter_user_scram_credentials_response_form, &state->response);
        state->orders = arena_alloc(&call->arena, count + 1, sizeof(*state->orders));
        state->room = (uint32_t)count;
        state->response.results.items = kafka_new_items(&kafka_alter_user_scram_credentials_response_result_form, (int32_t)count, &call->arena);
        if (state->orders == NULL || state->response.results.items == NULL) err = MESH_ENOMEM;
    }
    for (size_t i = 0; i < count && err == 0; i = next) {
        for (next = i + 1; next < count && kafka_compare_users(wanted[i].name, wanted[next].name) == 0;)
            next++;
        err = take_user(call, &wanted[i], next - i);
    }
    free(wanted);
    return err;
}

static void finish(struct kafka_call *call)
{
    struct alter_state *state = call->state;

    crypto_wipe(state->orders, state->room * sizeof(*state->orders));
    kafka_call_answer(call, &state->response);
}

enum serve kafka_serve_alter_user_scram_credentials(const struct kafka_request *request)
{
    struct kafka_alter_user_scram_credentials_request asked;
    struct arena arena = ARENA_INIT;
    struct kafka_call *call;
    int err = kafka_request_decode(request, &arena, &asked);

    if (err == 0 && asked.deletions.count + asked.upsertions.count > CHANGES_MAX) err = MESH_ETOOLARGE;
    if (err != 0) return kafka_admin_refuse(request, &arena);
    call = kafka_admin_call(request, &arena);
    if (call == NULL) return SERVE_GONE;
    err = prepare(call, &asked);
    if (err == 0) kafka_steps_begin(&((struct alter_state *)call->state)->steps, call, step, TIME_MS, finish);
    return kafka_admin_end(call, err);
}
