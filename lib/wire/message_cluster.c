/* What is said about the mesh as a whole: its brokers, its state, its problems. */
#include "wire/message.h"

#include "wire/convert.h"

/* ---- brokers, in both messages ---- */

static struct message_broker *brokers_from_wire(struct conversion *conversion,
                                                Mesh__Wire__Broker *const *from, size_t count,
                                                size_t *ret_count)
{
    struct message_broker *to = convert_array(conversion, count, sizeof(*to), ret_count);

    for (size_t i = 0; i < *ret_count; i++) {
        to[i].node_id = from[i]->node_id;
        to[i].broker_id = convert_uuid(from[i]->broker_id);
        to[i].name = convert_string(conversion, from[i]->name);
        to[i].host = convert_string(conversion, from[i]->host);
        to[i].zone = convert_string(conversion, from[i]->zone);
        to[i].port = from[i]->port;
        to[i].shard_count = from[i]->shard_count;
        to[i].is_fenced = from[i]->is_fenced;
        to[i].is_draining = from[i]->is_draining;
        to[i].is_witness = from[i]->is_witness;
        to[i].has_bad_disk = from[i]->has_bad_disk;
    }
    return to;
}

static Mesh__Wire__Broker **brokers_to_wire(struct conversion *conversion, const struct message_broker *from,
                                            size_t count, size_t *ret_count)
{
    Mesh__Wire__Broker **to = convert_pointers(conversion, count, sizeof(**to), ret_count);

    for (size_t i = 0; i < *ret_count; i++) {
        mesh__wire__broker__init(to[i]);
        to[i]->node_id = from[i].node_id;
        to[i]->broker_id = convert_borrow_uuid(&from[i].broker_id);
        to[i]->name = from[i].name;
        to[i]->host = from[i].host;
        to[i]->zone = from[i].zone;
        to[i]->port = from[i].port;
        to[i]->shard_count = from[i].shard_count;
        to[i]->is_fenced = from[i].is_fenced;
        to[i]->is_draining = from[i].is_draining;
        to[i]->is_witness = from[i].is_witness;
        to[i]->has_bad_disk = from[i].has_bad_disk;
    }
    return to;
}

static void brokers_free(struct message_broker *brokers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(brokers[i].name);
        free(brokers[i].host);
        free(brokers[i].zone);
    }
    free(brokers);
}

/* ---- cluster ---- */

static void cluster_response_from_wire(struct conversion *conversion, const Mesh__Wire__ClusterResponse *from,
                                       struct message_cluster_response *to)
{
    to->cluster_id = convert_uuid(from->cluster_id);
    to->coordinator = convert_minus_one(conversion, from->coordinator_plus_one);
    to->brokers = brokers_from_wire(conversion, from->brokers, from->n_brokers, &to->broker_count);
}

static void cluster_response_to_wire(struct conversion *conversion,
                                     const struct message_cluster_response *from,
                                     Mesh__Wire__ClusterResponse *to)
{
    to->cluster_id = convert_borrow_uuid(&from->cluster_id);
    to->coordinator_plus_one = convert_plus_one(conversion, from->coordinator);
    to->brokers = brokers_to_wire(conversion, from->brokers, from->broker_count, &to->n_brokers);
}

void message_deinit_cluster_response(struct message_cluster_response *message)
{
    brokers_free(message->brokers, message->broker_count);
    *message = (struct message_cluster_response){0};
}

CONVERT_DEFINE(cluster_response, message_cluster_response, Mesh__Wire__ClusterResponse,
               mesh__wire__cluster_response, MESH__WIRE__CLUSTER_RESPONSE__INIT,
               MESSAGE_RESPONSE_ELEMENTS_MAX)

/* ---- status ---- */

static struct message_problem *problems_from_wire(struct conversion *conversion,
                                                  Mesh__Wire__Problem *const *from, size_t count,
                                                  size_t *ret_count)
{
    struct message_problem *to = convert_array(conversion, count, sizeof(*to), ret_count);

    for (size_t i = 0; i < *ret_count; i++) {
        to[i].what = convert_string(conversion, from[i]->what);
        to[i].meaning = convert_string(conversion, from[i]->meaning);
        to[i].remedy = convert_string(conversion, from[i]->remedy);
    }
    return to;
}

static Mesh__Wire__Problem **problems_to_wire(struct conversion *conversion,
                                              const struct message_problem *from, size_t count,
                                              size_t *ret_count)
{
    Mesh__Wire__Problem **to = convert_pointers(conversion, count, sizeof(**to), ret_count);

    for (size_t i = 0; i < *ret_count; i++) {
        mesh__wire__problem__init(to[i]);
        to[i]->what = from[i].what;
        to[i]->meaning = from[i].meaning;
        to[i]->remedy = from[i].remedy;
    }
    return to;
}

static struct message_voter *voters_from_wire(struct conversion *conversion, Mesh__Wire__Voter *const *from, size_t count, size_t *ret_count)
{
    struct message_voter *to = convert_array(conversion, count, sizeof(*to), ret_count);

    for (size_t i = 0; i < *ret_count; i++) {
        to[i].broker_id = convert_uuid(from[i]->broker_id);
        to[i].node_id = from[i]->node_id;
        to[i].name = convert_string(conversion, from[i]->name);
        to[i].is_heard = from[i]->is_heard;
        to[i].is_learner = from[i]->is_learner;
    }
    return to;
}

static Mesh__Wire__Voter **voters_to_wire(struct conversion *conversion, const struct message_voter *from, size_t count, size_t *ret_count)
{
    Mesh__Wire__Voter **to = convert_pointers(conversion, count, sizeof(**to), ret_count);

    for (size_t i = 0; i < *ret_count; i++) {
        mesh__wire__voter__init(to[i]);
        to[i]->broker_id = convert_borrow_uuid(&from[i].broker_id);
        to[i]->node_id = from[i].node_id;
        to[i]->name = from[i].name;
        to[i]->is_heard = from[i].is_heard;
        to[i]->is_learner = from[i].is_learner;
    }
    return to;
}

static void status_response_from_wire(struct conversion *conversion, const Mesh__Wire__StatusResponse *from,
                                      struct message_status_response *to)
{
    to->cluster_id = convert_uuid(from->cluster_id);
    to->coordinator = convert_minus_one(conversion, from->coordinator_plus_one);
    to->brokers = brokers_from_wire(conversion, from->brokers, from->n_brokers, &to->broker_count);
    to->topics_total = from->topics_total;
    to->partitions_at_risk = from->partitions_at_risk;
    to->partitions_moving = from->partitions_moving;
    to->partitions_queued = from->partitions_queued;
    to->partitions_total = from->partitions_total;
    to->partitions_under_replicated = from->partitions_under_replicated;
    to->partitions_offline = from->partitions_offline;
    to->problems = problems_from_wire(conversion, from->problems, from->n_problems, &to->problem_count);
    to->uptime_ms = from->uptime_ms;
    to->stored_bytes = from->stored_bytes;
    to->disk_free_bytes = from->disk_free_bytes;
    to->version = convert_string(conversion, from->version);
    to->members_alive = from->members_alive;
    to->members_suspect = from->members_suspect;
    to->members_dead = from->members_dead;
    to->members_left = from->members_left;
    to->voters = voters_from_wire(conversion, from->voters, from->n_voters, &to->voter_count);
}

static void status_response_to_wire(struct conversion *conversion, const struct message_status_response *from,
                                    Mesh__Wire__StatusResponse *to)
{
    to->cluster_id = convert_borrow_uuid(&from->cluster_id);
    to->coordinator_plus_one = convert_plus_one(conversion, from->coordinator);
    to->brokers = brokers_to_wire(conversion, from->brokers, from->broker_count, &to->n_brokers);
    to->topics_total = from->topics_total;
    to->partitions_at_risk = from->partitions_at_risk;
    to->partitions_moving = from->partitions_moving;
    to->partitions_queued = from->partitions_queued;
    to->partitions_total = from->partitions_total;
    to->partitions_under_replicated = from->partitions_under_replicated;
    to->partitions_offline = from->partitions_offline;
    to->problems = problems_to_wire(conversion, from->problems, from->problem_count, &to->n_problems);
    to->uptime_ms = from->uptime_ms;
    to->stored_bytes = from->stored_bytes;
    to->disk_free_bytes = from->disk_free_bytes;
    to->version = from->version;
    to->members_alive = from->members_alive;
    to->members_suspect = from->members_suspect;
    to->members_dead = from->members_dead;
    to->members_left = from->members_left;
    to->voters = voters_to_wire(conversion, from->voters, from->voter_count, &to->n_voters);
}

void message_deinit_status_response(struct message_status_response *message)
{
    brokers_free(message->brokers, message->broker_count);
    for (size_t i = 0; i < message->problem_count; i++) {
        free(message->problems[i].what);
        free(message->problems[i].meaning);
        free(message->problems[i].remedy);
    }
    free(message->problems);
    free(message->version);
    for (size_t i = 0; i < message->voter_count; i++)
        free(message->voters[i].name);
    free(message->voters);
    *message = (struct message_status_response){0};
}

CONVERT_DEFINE(status_response, message_status_response, Mesh__Wire__StatusResponse,
               mesh__wire__status_response, MESH__WIRE__STATUS_RESPONSE__INIT, MESSAGE_RESPONSE_ELEMENTS_MAX)
