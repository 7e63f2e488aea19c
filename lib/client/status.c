/* mesh_status_get: the state of the mesh as the public structs, which borrow from the decoded message. */
#include "client/call.h"
#include "client/client.h"
#include "wire/message.h"

#include <stdlib.h>

struct mesh_status {
    struct message_status_response response; /* owns every string */
    struct mesh_broker_info *brokers;
    struct mesh_problem_info *problems;
    struct mesh_voter_info *voters;
    struct mesh_status_info info;
};

static const char *text(const char *string)
{
    return string != NULL ? string : "";
}

static void fill_brokers(struct mesh_status *status)
{
    for (size_t i = 0; i < status->response.broker_count; i++) {
        const struct message_broker *from = &status->response.brokers[i];
        struct mesh_broker_info *to = &status->brokers[i];
        to->node_id = from->node_id;
        uuid_format(&from->broker_id, to->id);
        to->name = text(from->name);
        to->host = text(from->host);
        to->zone = text(from->zone);
        to->port = from->port <= UINT16_MAX ? (uint16_t)from->port : 0;
        to->is_fenced = from->is_fenced;
        to->is_draining = from->is_draining;
        to->is_witness = from->is_witness;
        to->has_bad_disk = from->has_bad_disk;
    }
}

static void fill_voters(struct mesh_status *status)
{
    for (size_t i = 0; i < status->response.voter_count; i++) {
        const struct message_voter *from = &status->response.voters[i];
        struct mesh_voter_info *to = &status->voters[i];
        uuid_format(&from->broker_id, to->id);
        to->node_id = from->node_id;
        to->name = text(from->name);
        to->is_heard = from->is_heard;
        to->is_learner = from->is_learner;
    }
}

static int fill(struct mesh_status *status)
{
    const struct message_status_response *from = &status->response;
    struct mesh_status_info *to = &status->info;

    status->brokers = calloc(from->broker_count + 1, sizeof(*status->brokers));
    status->problems = calloc(from->problem_count + 1, sizeof(*status->problems));
    status->voters = calloc(from->voter_count + 1, sizeof(*status->voters));
    if (status->brokers == NULL || status->problems == NULL || status->voters == NULL) return MESH_ENOMEM;
    fill_brokers(status);
    fill_voters(status);
    for (size_t i = 0; i < from->problem_count; i++)
        status->problems[i] = (struct mesh_problem_info){
            text(from->problems[i].what), text(from->problems[i].meaning), text(from->problems[i].remedy)};
    uuid_format(&from->cluster_id, to->cluster_id);
    to->coordinator = from->coordinator;
    to->brokers = status->brokers;
    to->broker_count = from->broker_count;
    to->topics = from->topics_total;
    to->partitions = from->partitions_total;
    to->partitions_under_replicated = from->partitions_under_replicated;
    to->partitions_offline = from->partitions_offline;
    to->problems = status->problems;
    to->problem_count = from->problem_count;
    to->uptime_ms = from->uptime_ms;
    to->stored_bytes = from->stored_bytes;
    to->disk_free_bytes = from->disk_free_bytes;
    to->version = text(from->version);
    to->members_alive = from->members_alive;
    to->members_suspect = from->members_suspect;
    to->members_dead = from->members_dead;
    to->members_left = from->members_left;
    to->voters = status->voters;
    to->voter_count = from->voter_count;
    to->partitions_at_risk = from->partitions_at_risk;
    to->partitions_moving = from->partitions_moving;
    to->partitions_queued = from->partitions_queued;
    return 0;
}

void mesh_status_free(struct mesh_status *status)
{
    if (status == NULL) return;
    free(status->brokers);
    free(status->problems);
    free(status->voters);
    message_deinit_status_response(&status->response);
    free(status);
}

static int take_answer(struct slice answer, struct mesh_status **ret_status)
{
    struct mesh_status *status = calloc(1, sizeof(*status));
    int err;

    if (status == NULL) return MESH_ENOMEM;
    err = message_decode_status_response(answer, &status->response);
    if (err != 0) {
        free(status);
        return err;
    }
    err = fill(status);
    if (err != 0) {
        mesh_status_free(status);
        return err;
    }
    *ret_status = status;
    return 0;
}

int mesh_status_get(struct mesh_client *client, struct mesh_status **ret_status)
{
    struct buffer answer = BUFFER_INIT;
    struct call *call = NULL;
    int err = call_new(client, FRAME_OP_STATUS, NULL, NULL, &call);

    if (err != 0) return client_fail(client, err, "%s", mesh_strerror(err));
    err = call_wait(call, &answer);
    if (err == 0) {
        err = take_answer(buffer_slice(&answer), ret_status);
        if (err != 0)
            client_fail(client, err, "the broker's answer could not be read: %s", mesh_strerror(err));
    }
    buffer_deinit(&answer);
    return err;
}

const struct mesh_status_info *mesh_status_info(const struct mesh_status *status)
{
    return &status->info;
}
