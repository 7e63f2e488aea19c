/* List offsets: where a partition starts and ends, and what stands at a time. */
#include "wire/message.h"

#include "base/assert.h"
#include "wire/convert.h"

/* ---- request ---- */

static void list_offsets_request_from_wire(struct conversion *conversion,
                                           const Mesh__Wire__ListOffsetsRequest *from,
                                           struct message_list_offsets_request *to)
{
    to->forwards = from->forward != 0;
    to->entries = convert_array(conversion, from->n_entries, sizeof(*to->entries), &to->entry_count);
    for (size_t i = 0; i < to->entry_count; i++) {
        const Mesh__Wire__ListOffsetsEntry *entry = from->entries[i];
        if (entry->topic_id.len == 0) convert_fail(conversion, MESH_EPROTO); /* asking about no topic */
        to->entries[i].topic_id = convert_uuid(entry->topic_id);
        to->entries[i].partition = entry->partition;
        to->entries[i].timestamp_ms = entry->timestamp_ms;
        to->entries[i].epoch = entry->epoch;
        to->entries[i].leader_epoch_plus_one = entry->leader_epoch_plus_one;
        to->entries[i].skips_control = entry->skips_control != 0;
        if (entry->leader_epoch_plus_one > (uint32_t)INT32_MAX + 1) convert_fail(conversion, MESH_EPROTO);
    }
}

static void list_offsets_request_to_wire(struct conversion *conversion,
                                         const struct message_list_offsets_request *from,
                                         Mesh__Wire__ListOffsetsRequest *to)
{
    to->forward = from->forwards;
    to->entries = convert_pointers(conversion, from->entry_count, sizeof(**to->entries), &to->n_entries);
    for (size_t i = 0; i < to->n_entries; i++) {
        mesh__wire__list_offsets_entry__init(to->entries[i]);
        to->entries[i]->topic_id = (ProtobufCBinaryData){UUID_SIZE, from->entries[i].topic_id.bytes};
        to->entries[i]->partition = from->entries[i].partition;
        to->entries[i]->timestamp_ms = from->entries[i].timestamp_ms;
        to->entries[i]->epoch = from->entries[i].epoch;
        to->entries[i]->leader_epoch_plus_one = from->entries[i].leader_epoch_plus_one;
        to->entries[i]->skips_control = from->entries[i].skips_control;
    }
}

void message_deinit_list_offsets_request(struct message_list_offsets_request *message)
{
    free(message->entries);
    *message = (struct message_list_offsets_request){0};
}

CONVERT_DEFINE(list_offsets_request, message_list_offsets_request, Mesh__Wire__ListOffsetsRequest,
               mesh__wire__list_offsets_request, MESH__WIRE__LIST_OFFSETS_REQUEST__INIT, MESSAGE_ENTRIES_MAX)

/* ---- response ---- */

static void list_offsets_response_from_wire(struct conversion *conversion,
                                            const Mesh__Wire__ListOffsetsResponse *from,
                                            struct message_list_offsets_response *to)
{
    to->results = convert_array(conversion, from->n_results, sizeof(*to->results), &to->result_count);
    for (size_t i = 0; i < to->result_count; i++) {
        const Mesh__Wire__ListOffsetsResult *result = from->results[i];
        to->results[i].error = convert_error(conversion, result->error);
        to->results[i].offset = result->offset;
        to->results[i].timestamp_ms = result->timestamp_ms;
        to->results[i].leader_epoch = result->leader_epoch;
    }
}

static void list_offsets_response_to_wire(struct conversion *conversion,
                                          const struct message_list_offsets_response *from,
                                          Mesh__Wire__ListOffsetsResponse *to)
{
    to->results = convert_pointers(conversion, from->result_count, sizeof(**to->results), &to->n_results);
    for (size_t i = 0; i < to->n_results; i++) {
        MESH_ASSERT(from->results[i].error <= 0);
        mesh__wire__list_offsets_result__init(to->results[i]);
        to->results[i]->error = from->results[i].error;
        to->results[i]->offset = from->results[i].offset;
        to->results[i]->timestamp_ms = from->results[i].timestamp_ms;
        to->results[i]->leader_epoch = from->results[i].leader_epoch;
    }
}

void message_deinit_list_offsets_response(struct message_list_offsets_response *message)
{
    free(message->results);
    *message = (struct message_list_offsets_response){0};
}

CONVERT_DEFINE(list_offsets_response, message_list_offsets_response, Mesh__Wire__ListOffsetsResponse,
               mesh__wire__list_offsets_response, MESH__WIRE__LIST_OFFSETS_RESPONSE__INIT,
               MESSAGE_ENTRIES_MAX)
