/* mesh_topic_trim: records of a topic's partitions are deleted. */
#include "client/call.h"
#include "client/client.h"
#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>

#define PART_MAX   1000 /* partitions of one request: brokers take 4096 */
#define TEXT_SIZE  512

static int take_answer(struct mesh_client *client, const char *name, struct slice answer, struct mesh_trim *trims, size_t count, bool *ret_is_judged)
{
    struct message_topic_trim_response response;
    int err = message_decode_topic_trim_response(answer, &response), first = 0;

    if (err != 0) return client_fail(client, err, "the broker's answer could not be read: %s", mesh_strerror(err));
    if (response.result_count != count) err = client_fail(client, MESH_EPROTO, "the broker's answer is not about what was asked");
    *ret_is_judged = err == 0;
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

/* For the leaders to hear of it; what the coordinator has written down holds all the same. Well below the time after which a silent broker is given up, and with it
 * everything else that is under way there. */
static uint32_t leaders_timeout_ms(const struct mesh_client *client)
{
    return (uint32_t)client->timeout_ms / 2;
}

static int encode(struct buffer *to, const char *name, const struct mesh_trim *trims, size_t count, uint32_t timeout_ms, bool *ret_is_repeatable)
{
    struct topic_trim_entry *entries = calloc(count + 1, sizeof(*entries));
    struct message_topic_trim request = {.topic = (char *)(uintptr_t)name, .entries = entries, .entry_count = count, .timeout_ms = timeout_ms};
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

/* *ret_is_judged: each partition was answered for. */
static int trim_part(struct mesh_client *client, const char *name, struct mesh_trim *trims, size_t count, bool *ret_is_judged)
{
    struct buffer answer = BUFFER_INIT;
    struct call *call = NULL;
    bool is_repeatable;
    int err = call_new(client, FRAME_OP_TOPIC_TRIM, NULL, NULL, &call);

    *ret_is_judged = false;
    if (err == 0) err = encode(&call->message, name, trims, count, leaders_timeout_ms(client), &is_repeatable);
    if (err != 0) {
        call_free(call);
        return client_fail(client, err, "%s", mesh_strerror(err));
    }
    call->is_repeatable = is_repeatable;
    err = call_wait(call, &answer);
    if (err == 0) err = take_answer(client, name, buffer_slice(&answer), trims, count, ret_is_judged);
    buffer_deinit(&answer);
    return err;
}

/* Part by part. What one partition is refused keeps no other from being trimmed; what becomes of a request as a whole would become of the next one, too. */
int mesh_topic_trim(struct mesh_client *client, const char *name, struct mesh_trim *trims, size_t count)
{
    char text[TEXT_SIZE] = ""; /* of the first error */
    bool is_judged = true;
    int first = 0;

    if (name == NULL || count == 0) return client_fail(client, MESH_EINVAL, "%s", mesh_strerror(MESH_EINVAL));
    for (size_t i = 0; i < count; i++)
        trims[i].first_offset = -1;
    for (size_t at = 0; at < count && is_judged; at += PART_MAX) {
        int err = trim_part(client, name, &trims[at], count - at < PART_MAX ? count - at : PART_MAX, &is_judged);

        for (size_t i = at; i < count && !is_judged; i++)
            trims[i].error = err;
        if (err == 0 || first != 0) continue;
        first = err;
        snprintf(text, sizeof(text), "%s", mesh_client_error(client));
    }
    return first == 0 ? 0 : client_fail(client, first, "%s", text);
}
