/* Why a broker leads a partition. */
#include "wire/message.h"

#include "wire/convert.h"

static void why_request_from_wire(struct conversion *conversion, const Mesh__Wire__WhyRequest *from, struct message_why_request *to)
{
    to->topic = convert_string(conversion, from->topic);
    to->partition = from->partition;
}

static void why_request_to_wire(struct conversion *conversion, const struct message_why_request *from, Mesh__Wire__WhyRequest *to)
{
    (void)conversion;
    to->topic = from->topic;
    to->partition = from->partition;
}

void message_deinit_why_request(struct message_why_request *message)
{
    free(message->topic);
    *message = (struct message_why_request){0};
}

CONVERT_DEFINE(why_request, message_why_request, Mesh__Wire__WhyRequest, mesh__wire__why_request, MESH__WIRE__WHY_REQUEST__INIT,
               MESSAGE_ENTRIES_MAX)

static void why_response_from_wire(struct conversion *conversion, const Mesh__Wire__WhyResponse *from, struct message_why_response *to)
{
    to->topic = convert_string(conversion, from->topic);
    to->topic_id = convert_uuid(from->topic_id);
    to->partition = from->partition;
    to->leader = convert_minus_one(conversion, from->leader_plus_one);
    to->leader_name = convert_string(conversion, from->leader_name);
    to->leader_epoch = from->leader_epoch;
    to->was_elected = from->was_elected;
    to->decided_index = from->decided_index;
    to->reason = convert_string(conversion, from->reason);
    to->placement = convert_string(conversion, from->placement);
    to->writes = convert_string(conversion, from->writes);
    to->reads = convert_string(conversion, from->reads);
    to->candidates = convert_array(conversion, from->n_candidates, sizeof(*to->candidates), &to->candidate_count);
    for (size_t i = 0; i < to->candidate_count; i++) {
        to->candidates[i].node_id = from->candidates[i]->node_id;
        to->candidates[i].name = convert_string(conversion, from->candidates[i]->name);
        to->candidates[i].standing = convert_string(conversion, from->candidates[i]->standing);
        to->candidates[i].score = from->candidates[i]->score;
        to->candidates[i].flags = from->candidates[i]->flags;
        to->candidates[i].log = from->candidates[i]->log;
        to->candidates[i].health = from->candidates[i]->health;
        to->candidates[i].load = from->candidates[i]->load;
    }
}

static void why_response_to_wire(struct conversion *conversion, const struct message_why_response *from, Mesh__Wire__WhyResponse *to)
{
    to->topic = from->topic;
    to->topic_id = convert_borrow_uuid(&from->topic_id);
    to->partition = from->partition;
    to->leader_plus_one = convert_plus_one(conversion, from->leader);
    to->leader_name = from->leader_name;
    to->leader_epoch = from->leader_epoch;
    to->was_elected = from->was_elected;
    to->decided_index = from->decided_index;
    to->reason = from->reason;
    to->placement = from->placement;
    to->writes = from->writes;
    to->reads = from->reads;
    to->candidates = convert_pointers(conversion, from->candidate_count, sizeof(**to->candidates), &to->n_candidates);
    for (size_t i = 0; i < to->n_candidates; i++) {
        mesh__wire__candidate__init(to->candidates[i]);
        to->candidates[i]->node_id = from->candidates[i].node_id;
        to->candidates[i]->name = from->candidates[i].name;
        to->candidates[i]->standing = from->candidates[i].standing;
        to->candidates[i]->score = from->candidates[i].score;
        to->candidates[i]->flags = from->candidates[i].flags;
        to->candidates[i]->log = from->candidates[i].log;
        to->candidates[i]->health = from->candidates[i].health;
        to->candidates[i]->load = from->candidates[i].load;
    }
}

void message_deinit_why_response(struct message_why_response *message)
{
    for (size_t i = 0; i < message->candidate_count; i++) {
        free(message->candidates[i].name);
        free(message->candidates[i].standing);
    }
    free(message->candidates);
    free(message->topic);
    free(message->leader_name);
    free(message->reason);
    free(message->placement);
    free(message->writes);
    free(message->reads);
    *message = (struct message_why_response){0};
}

CONVERT_DEFINE(why_response, message_why_response, Mesh__Wire__WhyResponse, mesh__wire__why_response, MESH__WIRE__WHY_RESPONSE__INIT,
               MESSAGE_ENTRIES_MAX)
