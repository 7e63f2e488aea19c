/* groups/query_describe.c - one group: asked through a shard, as a client would; then the ends of its topics are asked of their leaders. */
#include "base/error.h"
#include "cmd/broker/forward/forward.h"
#include "cmd/broker/groups/query.h"
#include "cmd/broker/groups/serve.h"
#include "cmd/broker/metadata/describe.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/ops/groups.h"
#include "cmd/broker/runtime/shard.h"
#include "cmd/broker/spread/ends_tell.h"
#include "cmd/broker/spread/heard.h"
#include "replication/coordinator/image.h"
#include "wire/frame.h"

#include <stdlib.h>

struct groups_description {
    struct mail mail;
    struct control *control;
    struct shard *shard; /* whose clients' way it goes */
    struct buffer request, answer;
    bool with_lag;
    struct message_group_describe_response response; /* borrows from `answer` */
    struct description ends;
    groups_query_fn *done;
    void *user;
};

static void finish(struct groups_description *query)
{
    struct slice answer = buffer_slice(&query->answer);

    query->done(query->user, answer.size == 0 ? MESH_ENOMEM : groups_answer_peek(answer), answer);
    message_deinit_group_describe_response(&query->response);
    description_deinit(&query->ends);
    buffer_deinit(&query->request);
    buffer_deinit(&query->answer);
    free(query);
}

/* ---- lag ---- */

static const struct message_topic *find_ends(const struct groups_description *query, const struct uuid *topic_id)
{
    for (size_t i = 0; i < query->ends.topics.topic_count; i++)
        if (uuid_equal(&query->ends.topics.topics[i].topic_id, topic_id)) return &query->ends.topics.topics[i];
    return NULL;
}

/* What its leader does not say it may have told before. */
static void add_heard_end(struct groups_description *query, struct message_group_partitions *list, size_t at)
{
    struct message_group_describe_response *response = &query->response;
    struct spread_end end;
    uint64_t age_ms;

    if (!ends_find(query->control->spread, &list->topic_id, list->partitions[at], &end, &age_ms)) return;
    list->high_watermarks[at] = (int64_t)end.high_watermark;
    list->log_starts[at] = end.log_start;
    list->ends_age_ms[at] = age_ms < UINT32_MAX ? (uint32_t)age_ms : UINT32_MAX;
    if (age_ms > response->age_ms) response->age_ms = age_ms;
    if (age_ms > response->row.age_ms) response->row.age_ms = age_ms;
}

static int add_ends(struct groups_description *query, const struct message_topic *ends, struct message_group_partitions *list)
{
    size_t count = list->partition_count;

    if (count == 0) return 0;
    list->high_watermarks = calloc(count, sizeof(list->high_watermarks[0]));
    list->log_starts = calloc(count, sizeof(list->log_starts[0]));
    list->ends_age_ms = calloc(count, sizeof(list->ends_age_ms[0]));
    if (list->high_watermarks == NULL || list->log_starts == NULL || list->ends_age_ms == NULL) return MESH_ENOMEM;
    list->high_watermark_count = list->log_start_count = list->ends_age_count = count;
    for (size_t i = 0; i < count; i++) {
        const struct message_partition *partition =
            ends != NULL && list->partitions[i] < ends->partition_count ? &ends->partitions[list->partitions[i]] : NULL;
        bool is_known = partition != NULL && partition->error == 0 && partition->leader >= 0;

        list->high_watermarks[i] = is_known ? (int64_t)partition->high_watermark : -1;
        list->log_starts[i] = is_known ? partition->log_start : 0;
        if (!is_known) add_heard_end(query, list, i);
    }
    return 0;
}

/* Names stay with the image's description until the answer is encoded. */
static void on_ends(void *user)
{
    struct groups_description *query = user;
    struct buffer answer = BUFFER_INIT;
    int err = 0;

    for (size_t i = 0; i < query->response.topic_count && err == 0; i++) {
        struct message_group_partitions *list = &query->response.topics[i];
        const struct message_topic *ends = find_ends(query, &list->topic_id);

        if (ends != NULL) list->topic_name = slice_of_string(ends->name);
        err = add_ends(query, ends, list);
    }
    if (err == 0) err = message_encode_group_describe_response(&answer, &query->response);
    if (err != 0) buffer_clear(&answer);
    message_deinit_group_describe_response(&query->response); /* it borrows from the answer before */
    buffer_deinit(&query->answer);
    query->answer = answer;
    finish(query);
}

/* The group's topics as the image has them. */
static int describe_topics_of(struct groups_description *query)
{
    const struct image *image = metadata_image(query->control->metadata);
    int err = 0;

    for (size_t i = 0; i < query->response.topic_count && err == 0; i++) {
        const struct image_topic *topic = image_find_topic(image, &query->response.topics[i].topic_id);

        if (topic != NULL && find_ends(query, &topic->topic_id) == NULL) err = describe_topic(&query->ends, image, topic);
    }
    return err;
}

/* Nobody who has a replica answers: then what was heard is better than nothing, and says how old it is. */
static void answer_as_heard(struct groups_description *query)
{
    struct message_group_describe_response response;
    struct message_group_describe request;
    struct buffer answer = BUFFER_INIT;
    int err = groups_answer_peek(buffer_slice(&query->answer));

    if (err == 0 || err == MESH_ENOTFOUND || err == MESH_EINVALID_GROUP) return;
    if (message_decode_group_describe(buffer_slice(&query->request), &request) != 0) return;
    err = heard_describe(query->control->spread, &request, &response);
    if (err == 0) {
        err = message_encode_group_describe_response(&answer, &response);
        message_deinit_group_describe_response(&response);
    }
    message_deinit_group_describe(&request);
    if (err != 0) {
        buffer_deinit(&answer);
        return;
    }
    buffer_deinit(&query->answer);
    query->answer = answer;
}

static void answer_home(struct mail *mail)
{
    struct groups_description *query = container_of(mail, struct groups_description, mail);

    answer_as_heard(query);

    if (query->with_lag && groups_answer_peek(buffer_slice(&query->answer)) == 0 &&
        message_decode_group_describe_response(buffer_slice(&query->answer), &query->response) == 0 && describe_topics_of(query) == 0 &&
        control_describe_offsets(query->control, &query->ends.topics, on_ends, query) == 0)
        return;
    finish(query); /* without what could not be asked */
}

/* ---- asking ---- */

static void on_answer(void *owner, uint64_t tag, struct slice answer)
{
    struct groups_description *query = owner;

    (void)tag;
    if (buffer_append(&query->answer, answer.data, answer.size) != 0) buffer_clear(&query->answer);
    query->mail.deliver = answer_home;
    mailbox_post(forward_mailbox(query->control->forward), &query->mail);
}

static void request_arrives(struct mail *mail)
{
    struct groups_description *query = container_of(mail, struct groups_description, mail);
    struct buffer refusal = BUFFER_INIT;

    if (groups_submit(query->shard, FRAME_OP_GROUP_DESCRIBE, buffer_slice(&query->request), on_answer, query, 0) == 0) return;
    groups_answer_error(query->shard->image, GROUP_PARTITIONS, MESH_EBUSY, mesh_strerror(MESH_EBUSY), &refusal);
    on_answer(query, 0, buffer_slice(&refusal));
    buffer_deinit(&refusal);
}

int groups_query_describe(struct control *control, const struct message_group_describe *request, groups_query_fn *done, void *user)
{
    struct groups_description *query;
    struct message_group_describe sent_on = *request;
    int err;

    if (control->shard_count == 0) return MESH_EBUSY;
    query = calloc(1, sizeof(*query));
    if (query == NULL) return MESH_ENOMEM;
    sent_on.head.forwards = true;
    sent_on.with_lag = false;
    err = message_encode_group_describe(&query->request, &sent_on);
    if (err != 0) {
        buffer_deinit(&query->request);
        free(query);
        return err;
    }
    description_init(&query->ends);
    query->control = control;
    query->shard = control->shards[0];
    query->with_lag = request->with_lag;
    query->done = done;
    query->user = user;
    query->mail.deliver = request_arrives;
    shard_post(query->shard, &query->mail);
    return 0;
}
