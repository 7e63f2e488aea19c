/* Records of a topic's partitions that are to be deleted. */
#include "wire/message.h"

#include "base/assert.h"
#include "wire/convert.h"

/* ---- request ---- */

static void topic_trim_from_wire(struct conversion *conversion, const Mesh__Wire__TopicTrimRequest *from, struct message_topic_trim *to)
{
    to->topic = convert_string(conversion, from->topic);
    to->timeout_ms = from->timeout_ms;
    to->entries = convert_array(conversion, from->n_entries, sizeof(*to->entries), &to->entry_count);
    for (size_t i = 0; i < to->entry_count; i++)
        to->entries[i] = (struct topic_trim_entry){from->entries[i]->partition, from->entries[i]->offset};
}

static void topic_trim_to_wire(struct conversion *conversion, const struct message_topic_trim *from, Mesh__Wire__TopicTrimRequest *to)
{
    to->topic = from->topic;
    to->timeout_ms = from->timeout_ms;
    to->entries = convert_pointers(conversion, from->entry_count, sizeof(**to->entries), &to->n_entries);
    for (size_t i = 0; i < to->n_entries; i++) {
        mesh__wire__topic_trim_entry__init(to->entries[i]);
        to->entries[i]->partition = from->entries[i].partition;
        to->entries[i]->offset = from->entries[i].offset;
    }
}

void message_deinit_topic_trim(struct message_topic_trim *message)
{
    free(message->topic);
    free(message->entries);
    *message = (struct message_topic_trim){0};
}

CONVERT_DEFINE(topic_trim, message_topic_trim, Mesh__Wire__TopicTrimRequest, mesh__wire__topic_trim_request, MESH__WIRE__TOPIC_TRIM_REQUEST__INIT,
               MESSAGE_ENTRIES_MAX)

/* ---- response ---- */

static void topic_trim_response_from_wire(struct conversion *conversion, const Mesh__Wire__TopicTrimResponse *from, struct message_topic_trim_response *to)
{
    to->message = convert_string(conversion, from->message);
    to->results = convert_array(conversion, from->n_results, sizeof(*to->results), &to->result_count);
    for (size_t i = 0; i < to->result_count; i++)
        to->results[i] = (struct topic_trim_result){from->results[i]->partition, convert_error(conversion, from->results[i]->error), from->results[i]->first_offset};
}

static void topic_trim_response_to_wire(struct conversion *conversion, const struct message_topic_trim_response *from, Mesh__Wire__TopicTrimResponse *to)
{
    to->message = from->message;
    to->results = convert_pointers(conversion, from->result_count, sizeof(**to->results), &to->n_results);
    for (size_t i = 0; i < to->n_results; i++) {
        MESH_ASSERT(from->results[i].error <= 0);
        mesh__wire__topic_trim_result__init(to->results[i]);
        to->results[i]->partition = from->results[i].partition;
        to->results[i]->error = from->results[i].error;
        to->results[i]->first_offset = from->results[i].first_offset;
    }
}

void message_deinit_topic_trim_response(struct message_topic_trim_response *message)
{
    free(message->message);
    free(message->results);
    *message = (struct message_topic_trim_response){0};
}

CONVERT_DEFINE(topic_trim_response, message_topic_trim_response, Mesh__Wire__TopicTrimResponse, mesh__wire__topic_trim_response,
               MESH__WIRE__TOPIC_TRIM_RESPONSE__INIT, MESSAGE_RESPONSE_ELEMENTS_MAX)
