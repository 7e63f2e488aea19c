/* mesh_why_get: why a broker leads a partition, as the public structs, which borrow from the decoded message. */
#include "client/call.h"
#include "client/client.h"
#include "wire/message.h"

#include <stdlib.h>

struct mesh_why {
    struct message_why_response response; /* owns every string */
    struct mesh_candidate_info *candidates;
    struct mesh_why_info info;
};

static const char *text(const char *string)
{
    return string != NULL ? string : "";
}

static void fill(struct mesh_why *why)
{
    const struct message_why_response *from = &why->response;

    for (size_t i = 0; i < from->candidate_count; i++) {
        const struct message_candidate *candidate = &from->candidates[i];

        why->candidates[i] = (struct mesh_candidate_info){
            .node_id = candidate->node_id,
            .name = text(candidate->name),
            .standing = text(candidate->standing),
            .score = candidate->score,
            .flags = candidate->flags,
            .log = candidate->log,
            .health = candidate->health,
            .load = candidate->load,
        };
    }
    why->info = (struct mesh_why_info){
        .topic = text(from->topic),
        .partition = from->partition <= INT32_MAX ? (int32_t)from->partition : -1,
        .leader = from->leader,
        .leader_name = text(from->leader_name),
        .leader_epoch = from->leader_epoch,
        .was_elected = from->was_elected,
        .decided_index = from->decided_index,
        .reason = text(from->reason),
        .candidates = why->candidates,
        .candidate_count = from->candidate_count,
        .placement = text(from->placement),
        .writes = text(from->writes),
        .reads = text(from->reads),
    };
}

void mesh_why_free(struct mesh_why *why)
{
    if (why == NULL) return;
    free(why->candidates);
    message_deinit_why_response(&why->response);
    free(why);
}

static int take_answer(struct slice answer, struct mesh_why **ret_why)
{
    struct mesh_why *why = calloc(1, sizeof(*why));
    int err = why == NULL ? MESH_ENOMEM : message_decode_why_response(answer, &why->response);

    if (err == 0) why->candidates = calloc(why->response.candidate_count + 1, sizeof(*why->candidates));
    if (err == 0 && why->candidates == NULL) err = MESH_ENOMEM;
    if (err != 0) {
        mesh_why_free(why);
        return err;
    }
    fill(why);
    *ret_why = why;
    return 0;
}

int mesh_why_get(struct mesh_client *client, const char *topic, int32_t partition, struct mesh_why **ret_why)
{
    struct message_why_request request = {.topic = (char *)(uintptr_t)topic, .partition = (uint32_t)partition}; /* encoding only reads */
    struct buffer answer = BUFFER_INIT;
    struct call *call = NULL;
    int err = partition < 0 ? MESH_EINVAL : call_new(client, FRAME_OP_WHY, NULL, NULL, &call);

    if (err == 0) err = message_encode_why_request(&call->message, &request);
    if (err != 0) {
        call_free(call);
        return client_fail(client, err, "%s", mesh_strerror(err));
    }
    err = call_wait(call, &answer);
    if (err == 0) {
        err = take_answer(buffer_slice(&answer), ret_why);
        if (err != 0) client_fail(client, err, "the broker's answer could not be read: %s", mesh_strerror(err));
    }
    buffer_deinit(&answer);
    return err;
}

const struct mesh_why_info *mesh_why_info(const struct mesh_why *why)
{
    return &why->info;
}
