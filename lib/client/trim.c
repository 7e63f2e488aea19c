/* mesh_topic_trim: records of a topic's partitions are deleted. */
#include "client/call.h"
#include "client/client.h"
#include "wire/message.h"

#include <stdlib.h>

#define TIMEOUT_MS 30000u /* for the leaders to hear of it; what the coordinator has written down holds all the same */

static int take_answer(struct mesh_client *client, const char *name, struct slice answer, struct mesh_trim *trims, size_t count)
{
    struct message_topic_trim_response response;
    int err = message_decode_topic_trim_response(answer, &response), first = 0;

    if (err != 0) return client_fail(client, err, "the broker's answer could not be read: %s", mesh_strerror(err));
    if (response.result_count != count) err = client_fail(client, MESH_EPROTO, "the broker's answer is not about what was asked");
    for (size_t i = 0; err == 0 && i < count; i++) {
        trims[i].error = response.results[i].error;
        trims[i].first_offset = trims[i].error == 0 ? (int64_t)response.results[i].first_offset : -1;
        if (trims[i].error != 0 && first == 0) {
            first = trims[i].error;
            client_fail(client, first, "topic \"%s\", partition %d: %s", name, trims[i].partition, response.message[0] != '\0' ? response.message : mesh_strerror(first));
        }
    }
    message_deinit_topic_trim_response(&response);
    return err != 0 ? err : first;
}

static int encode(struct buffer *to, const char *name, const struct mesh_trim *trims, size_t count, bool *ret_is_repeatable)
{
    struct topic_trim_entry *entries = calloc(count + 1, sizeof(*entries));
    struct message_topic_trim request = {.topic = (char *)(uintptr_t)name, .entries = entries, .entry_count = count, .timeout_ms = TIMEOUT_MS};
    int err = entries == NULL ? MESH_ENOMEM : 0;

    *ret_is_repeatable = true;
    for (size_t i = 0; err == 0 && i < count; i++) {
        if (trims[i].partition < 0 || trims[i].offset < -1) err = MESH_EINVAL;
        if (trims[i].offset < 0) *ret_is_repeatable = false; /* what is committed by then is more */
        entries[i] = (struct topic_trim_entry){(uint32_t)trims[i].partition, trims[i].offset};
    }
    if (err == 0) err = message_encode_topic_trim(to, &request);
    free(entries);
    return err;
}

int mesh_topic_trim(struct mesh_client *client, const char *name, struct mesh_trim *trims, size_t count)
{
    struct buffer answer = BUFFER_INIT;
    struct call *call = NULL;
    bool is_repeatable;
    int err = name == NULL || count == 0 ? MESH_EINVAL : call_new(client, FRAME_OP_TOPIC_TRIM, NULL, NULL, &call);

    if (err == 0) err = encode(&call->message, name, trims, count, &is_repeatable);
    if (err != 0) {
        call_free(call);
        return client_fail(client, err, "%s", mesh_strerror(err));
    }
    call->is_repeatable = is_repeatable;
    err = call_wait(call, &answer);
    if (err == 0) err = take_answer(client, name, buffer_slice(&answer), trims, count);
    buffer_deinit(&answer);
    return err;
}
