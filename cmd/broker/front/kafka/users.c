/* broker/front/kafka/users.c - DESCRIBE_USER_SCRAM_CREDENTIALS: who may log in, by which mechanism. Salts and keys are told nobody. */
#include "cmd/broker/front/kafka/admin.h"
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/users.h"

#include "base/error.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"
#include "replication/coordinator/image.h"

#include <stdlib.h>

int kafka_compare_users(struct slice a, struct slice b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size == 0 ? 0 : memcmp(a.data, b.data, size);

    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

const struct image_user *kafka_user_of(const struct image *image, struct slice name)
{
    char text[IMAGE_NAME_SIZE_MAX + 1] = "";

    if (name.size == 0 || name.size > IMAGE_NAME_SIZE_MAX || kafka_has_nul(name)) return NULL;
    memcpy(text, name.data, name.size);
    return image_find_user(image, text);
}

typedef struct kafka_describe_user_scram_credentials_response_result told_user;

static int compare_told(const void *a, const void *b)
{
    return kafka_compare_users(((const told_user *)a)->user, ((const told_user *)b)->user);
}

static int tell_credentials(const struct image_user *user, struct arena *arena, told_user *to)
{
    to->credential_infos.items = kafka_new_items(&kafka_describe_user_scram_credentials_response_credential_info_form, (int32_t)user->verifier_count, arena);
    if (to->credential_infos.items == NULL) return MESH_ENOMEM;
    to->credential_infos.count = (int32_t)user->verifier_count;
    for (uint32_t i = 0; i < user->verifier_count; i++) {
        to->credential_infos.items[i].mechanism = (int8_t)user->verifiers[i].mechanism;
        to->credential_infos.items[i].iterations = (int32_t)user->verifiers[i].iterations;
    }
    return 0;
}

/* ---- all of them ---- */

struct telling {
    struct arena *arena;
    struct kafka_describe_user_scram_credentials_response *response;
};

static int tell_user(void *arg, const struct image_user *found)
{
    struct telling *telling = arg;
    told_user *to = &telling->response->results.items[telling->response->results.count++];

    to->user = slice_of_string(found->name); /* of the image, which stays until the handler returns */
    return tell_credentials(found, telling->arena, to);
}

static int tell_all(const struct image *image, struct arena *arena, struct kafka_describe_user_scram_credentials_response *response)
{
    struct telling telling = {arena, response};
    int err;

    response->results.items = kafka_new_items(&kafka_describe_user_scram_credentials_response_result_form, (int32_t)image_user_count(image), arena);
    if (response->results.items == NULL) return MESH_ENOMEM;
    err = image_each_user(image, tell_user, &telling);
    if (response->results.count > 0) qsort(response->results.items, (size_t)response->results.count, sizeof(told_user), compare_told);
    return err;
}

/* ---- some ---- */

static void refuse(told_user *to, int16_t code, const char *text)
{
    to->error_code = code;
    to->error_message = slice_of_string(text);
}

/* Each once, by name; whoever is named twice is told so instead, as with Kafka. */
static int tell_asked(const struct image *image, const struct kafka_describe_user_scram_credentials_request *asked, struct arena *arena,
                      struct kafka_describe_user_scram_credentials_response *response)
{
    told_user *told = kafka_new_items(&kafka_describe_user_scram_credentials_response_result_form, asked->users.count, arena);
    int32_t count = 0;
    int err = 0;

    if (told == NULL) return MESH_ENOMEM;
    for (int32_t i = 0; i < asked->users.count; i++)
        told[i].user = asked->users.items[i].name;
    qsort(told, (size_t)asked->users.count, sizeof(*told), compare_told);
    for (int32_t i = 0; i < asked->users.count && err == 0; i++) {
        const struct image_user *user = kafka_user_of(image, told[i].user);

        if (count > 0 && compare_told(&told[count - 1], &told[i]) == 0) {
            told[count - 1].credential_infos.count = 0;
            refuse(&told[count - 1], KAFKA_CODE_DUPLICATE_RESOURCE, "the user is named twice");
            continue;
        }
        told[count] = told[i];
        if (user == NULL) refuse(&told[count], KAFKA_CODE_RESOURCE_NOT_FOUND, "there is no such user");
        else err = tell_credentials(user, arena, &told[count]);
        count++;
    }
    response->results.items = told;
    response->results.count = count;
    return err;
}

enum serve kafka_serve_describe_user_scram_credentials(const struct kafka_request *request)
{
    const struct image *image = request->connection->shard->image;
    struct kafka_describe_user_scram_credentials_response response;
    struct kafka_describe_user_scram_credentials_request asked;
    struct arena arena = ARENA_INIT;
    int err = kafka_request_decode(request, &arena, &asked);

    if (err == 0 && asked.users.count > KAFKA_ADMIN_TOPICS_MAX) err = MESH_ETOOLARGE;
    if (err != 0) return kafka_admin_refuse(request, &arena);
    kafka_init(&kafka_describe_user_scram_credentials_response_form, &response);
    err = asked.users.count <= 0 ? tell_all(image, &arena, &response) : tell_asked(image, &asked, &arena, &response);
    return kafka_admin_respond(request, &arena, err, &response);
}
