/* mesh_remove, mesh_recover: brokers that are gone for good, as the public structs, which borrow from the decoded message. */
#include "client/call.h"
#include "client/client.h"
#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>

static const char *text(const char *string)
{
    return string != NULL ? string : "";
}

/* Sends `call` (taken), which was made with error `err`; decode() makes *ret of the answer. */
static int ask(struct mesh_client *client, struct call *call, int err, int (*decode)(struct slice, void *), void *ret)
{
    struct buffer answer = BUFFER_INIT;

    if (err != 0) {
        call_free(call);
        return client_fail(client, err, "%s", mesh_strerror(err));
    }
    err = call_wait(call, &answer);
    if (err == 0) {
        err = decode(buffer_slice(&answer), ret);
        if (err != 0) client_fail(client, err, "the broker's answer could not be read: %s", mesh_strerror(err));
    }
    buffer_deinit(&answer);
    return err;
}

/* ---- one ---- */

static int decode_removed(struct slice answer, void *ret)
{
    struct mesh_removed_info *removed = ret;
    struct message_remove_response response;
    int err = message_decode_remove_response(answer, &response);

    if (err != 0) return err;
    uuid_format(&response.broker_id, removed->id);
    snprintf(removed->name, sizeof(removed->name), "%s", text(response.name));
    removed->hosted_partitions = response.hosted_partitions;
    removed->lost_partitions = response.lost_partitions;
    message_deinit_remove_response(&response);
    return 0;
}

int mesh_remove(struct mesh_client *client, const char *broker, int accepts_loss, struct mesh_removed_info *ret_removed)
{
    struct message_remove_request request = {.broker = (char *)(uintptr_t)broker, .accepts_loss = accepts_loss != 0}; /* encoding only reads */
    struct call *call = NULL;
    int err = call_new(client, FRAME_OP_REMOVE, NULL, NULL, &call);

    if (err == 0) {
        call->is_repeatable = false;
        err = message_encode_remove_request(&call->message, &request);
    }
    return ask(client, call, err, decode_removed, ret_removed);
}

/* ---- many ---- */

struct mesh_recovery {
    struct message_recover_response response; /* owns every string */
    struct mesh_lost_info *lost;
    struct mesh_survivor_info *survivors;
    struct mesh_recovery_info info;
};

static void fill(struct mesh_recovery *recovery)
{
    const struct message_recover_response *from = &recovery->response;

    for (size_t i = 0; i < from->lost_count; i++) {
        recovery->lost[i] = (struct mesh_lost_info){
            .name = text(from->lost[i].name), .is_voter = from->lost[i].is_voter, .hosted_partitions = from->lost[i].hosted_partitions};
        uuid_format(&from->lost[i].broker_id, recovery->lost[i].id);
    }
    for (size_t i = 0; i < from->survivor_count; i++) {
        const struct message_survivor *survivor = &from->survivors[i];

        recovery->survivors[i] = (struct mesh_survivor_info){
            .name = text(survivor->name),
            .objection = text(survivor->objection),
            .has_answered = survivor->has_answered,
            .is_voter = survivor->is_voter,
            .is_damaged = survivor->is_damaged,
            .is_chosen = survivor->is_chosen,
            .last_index = survivor->last_index,
            .committed = survivor->committed,
        };
        uuid_format(&survivor->broker_id, recovery->survivors[i].id);
    }
    recovery->info = (struct mesh_recovery_info){
        .is_done = from->is_done,
        .objection = text(from->objection),
        .history = from->history,
        .lost = recovery->lost,
        .lost_count = from->lost_count,
        .survivors = recovery->survivors,
        .survivor_count = from->survivor_count,
        .lost_partitions = from->lost_partitions,
    };
}

void mesh_recovery_free(struct mesh_recovery *recovery)
{
    if (recovery == NULL) return;
    free(recovery->lost);
    free(recovery->survivors);
    message_deinit_recover_response(&recovery->response);
    free(recovery);
}

static int decode_recovery(struct slice answer, void *ret)
{
    struct mesh_recovery *recovery = calloc(1, sizeof(*recovery));
    int err = recovery == NULL ? MESH_ENOMEM : message_decode_recover_response(answer, &recovery->response);

    if (err == 0) {
        recovery->lost = calloc(recovery->response.lost_count + 1, sizeof(recovery->lost[0]));
        recovery->survivors = calloc(recovery->response.survivor_count + 1, sizeof(recovery->survivors[0]));
        if (recovery->lost == NULL || recovery->survivors == NULL) err = MESH_ENOMEM;
    }
    if (err != 0) {
        mesh_recovery_free(recovery);
        return err;
    }
    fill(recovery);
    *(struct mesh_recovery **)ret = recovery;
    return 0;
}

int mesh_recover(struct mesh_client *client, const char *const *lost, size_t lost_count, int is_for_real, struct mesh_recovery **ret_recovery)
{
    struct message_recover_request request = {
        .lost = (char **)(uintptr_t)lost, .lost_count = lost_count, .is_for_real = is_for_real != 0}; /* encoding only reads */
    struct call *call = NULL;
    int err = call_new(client, FRAME_OP_RECOVER, NULL, NULL, &call);

    if (err == 0) err = message_encode_recover_request(&call->message, &request);
    return ask(client, call, err, decode_recovery, ret_recovery);
}

const struct mesh_recovery_info *mesh_recovery_info(const struct mesh_recovery *recovery)
{
    return &recovery->info;
}
