/* broker/ops/fetch.c - the side of a fetch that the submitting shard sees: splitting, gathering, answering, canceling.
 *
 * A fetch whose entries all live on the submitting shard is one part that is run in place; others travel by mail. Parts
 * answer with a mail (or a call) into part_finished(). The fetch is freed when every part has come back. */
#include "cmd/broker/ops/fetch_part.h"

#include "base/assert.h"
#include "base/error.h"
#include "cmd/broker/forward/call.h"
#include "cmd/broker/forward/requests.h"
#include "cmd/broker/ops/shared_bytes.h"
#include "cmd/broker/runtime/shard.h"
#include "replication/coordinator/image.h"

#include <stdlib.h>

#define FETCH_ANSWER_BYTES_MAX (UINT32_MAX / 2) /* far beyond what parts send, and within what a frame can say */
#define FETCH_SHORT_ENTRIES 64 /* up to so many, every entry is answered, also without records */

struct fetch {
    struct shard *shard;
    struct fetch_options options;
    struct list_node link; /* in options.fetches until answered */
    struct fetch_answer *answers;
    struct fetch_part *parts;     /* all: of shards that have entries, and of other brokers */
    struct fetch_part **of_shards; /* by shard; NULL where it has no entries */
    uint32_t entry_count, shard_count, part_count, parts_back;
    uint64_t bytes; /* of the parts that are back */
    bool has_error, is_answered;
};

void fetch_records_free(struct fetch_records *records)
{
    if (records == NULL) return;
    if (records->shared != NULL)
        shared_bytes_unref(records->shared);
    else
        plog_view_release(&records->view);
    free(records);
}

static void fetch_free(struct fetch *fetch)
{
    if (fetch == NULL) return;
    for (uint32_t i = 0; i < fetch->entry_count && fetch->answers != NULL; i++)
        fetch_records_free(fetch->answers[i].records);
    while (fetch->parts != NULL) {
        struct fetch_part *part = fetch->parts;

        fetch->parts = part->next;
        fetch_part_free(part);
    }
    free(fetch->answers);
    free(fetch->of_shards);
    free(fetch);
}

static struct fetch *fetch_new(struct shard *shard, const struct fetch_options *options, uint32_t entry_count)
{
    struct fetch *fetch = calloc(1, sizeof(*fetch));

    if (fetch == NULL) return NULL;
    fetch->shard = shard;
    fetch->options = *options;
    fetch->entry_count = entry_count;
    fetch->shard_count = shard->broker->shard_count;
    list_init(&fetch->link);
    fetch->answers = calloc(entry_count > 0 ? entry_count : 1, sizeof(*fetch->answers));
    fetch->of_shards = calloc(fetch->shard_count, sizeof(struct fetch_part *));
    if (fetch->answers != NULL && fetch->of_shards != NULL) return fetch;
    fetch_free(fetch);
    return NULL;
}

static int add_part(struct fetch *fetch, struct shard *shard, struct fetch_part **ret_part)
{
    int err = fetch_part_new(fetch, fetch->shard, shard, &fetch->options, ret_part);

    if (err != 0) return err;
    (*ret_part)->next = fetch->parts;
    fetch->parts = *ret_part;
    fetch->part_count++;
    return 0;
}

static int part_of_broker(struct fetch *fetch, const struct forward_leader *leader, struct fetch_part **ret_part)
{
    int err;

    for (struct fetch_part *part = fetch->parts; part != NULL; part = part->next) {
        if (!part->is_forwarded || !uuid_equal(&part->leader.broker, &leader->broker)) continue;
        *ret_part = part;
        return 0;
    }
    err = add_part(fetch, fetch->shard, ret_part);
    if (err != 0) return err;
    (*ret_part)->is_forwarded = true;
    (*ret_part)->leader = *leader;
    return 0;
}

static int part_of_shard(struct fetch *fetch, uint32_t index, struct fetch_part **ret_part)
{
    int err = 0;

    if (fetch->of_shards[index] == NULL)
        err = add_part(fetch, fetch->shard->broker->shards[index], &fetch->of_shards[index]);
    *ret_part = fetch->of_shards[index];
    return err;
}

/* Sorts the entries into one part per shard and other broker. */
static int fetch_split(struct fetch *fetch, struct fetch_request_reader *reader)
{
    struct fetch_entry entry;
    struct forward_leader leader;

    for (uint32_t i = 0; fetch_request_reader_next(reader, &entry); i++) {
        struct fetch_part *part = NULL;
        int err;

        if (fetch->options.forwards && forward_is_elsewhere(fetch->shard, &entry.topic_id, entry.partition, &leader))
            err = part_of_broker(fetch, &leader, &part);
        else
            err = part_of_shard(fetch, image_shard_of(&entry.topic_id, entry.partition, fetch->shard_count), &part);
        if (err == 0) err = fetch_part_add(part, i, &entry);
        if (err != 0) return err;
    }
    return 0;
}

static void fetch_answer(struct fetch *fetch)
{
    MESH_ASSERT(!fetch->is_answered);
    fetch->is_answered = true;
    list_remove(&fetch->link);
    for (struct fetch_part *part = fetch->parts; part != NULL; part = part->next)
        fetch_part_cancel(part);
    fetch->options.done(fetch->options.owner, fetch->options.tag, fetch->answers, fetch->entry_count);
}

static bool fetch_is_done(const struct fetch *fetch)
{
    if (fetch->has_error || (fetch->bytes > 0 && fetch->bytes >= fetch->options.bytes_min)) return true;
    return fetch->parts_back == fetch->part_count;
}

static bool fetch_is_settled(const struct fetch *fetch)
{
    for (const struct fetch_part *part = fetch->parts; part != NULL; part = part->next)
        if (!fetch_part_is_back(part)) return false;
    return true;
}

/* Keeps a part's answers unless the fetch is answered (or canceled) already: then they go with the part. */
static void fetch_take_answers(struct fetch *fetch, struct fetch_part *part)
{
    for (uint32_t i = 0; i < part->entry_count && !fetch->is_answered; i++) {
        struct fetch_part_entry *entry = &part->entries[i];
        struct fetch_answer *answer = &fetch->answers[entry->index];

        if (fetch->bytes + entry->answer.result.records_size > FETCH_ANSWER_BYTES_MAX) continue;
        *answer = entry->answer;
        entry->answer.records = NULL;
        answer->result.entry = entry->index;
        if (answer->result.error != 0) fetch->has_error = true;
        fetch->bytes += answer->result.records_size;
    }
}

void fetch_part_settled(struct fetch *fetch)
{
    if (fetch->is_answered && fetch_is_settled(fetch)) fetch_free(fetch);
}

void fetch_part_finished(struct fetch *fetch, struct fetch_part *part)
{
    fetch->parts_back++;
    fetch_take_answers(fetch, part);
    if (!fetch->is_answered && fetch_is_done(fetch)) fetch_answer(fetch);
    fetch_part_settled(fetch);
}

/* With several parts each gets its share of the bytes, so that the answer keeps to the limit. Each may pass its share by a
 * first batch that is larger, as otherwise nobody would ever get that batch through this shard. */
static void fetch_share_bytes(struct fetch *fetch)
{
    for (struct fetch_part *part = fetch->parts; part != NULL; part = part->next) {
        part->bytes_max = fetch->options.bytes_max / fetch->part_count;
        part->is_short = fetch->entry_count <= FETCH_SHORT_ENTRIES;
    }
}

static int prepare_parts(struct fetch *fetch)
{
    int err = 0;

    for (struct fetch_part *part = fetch->parts; part != NULL && err == 0; part = part->next)
        if (part->is_forwarded) err = forward_fetch_prepare(part);
    return err;
}

/* Those that go elsewhere; they come back by mail. */
static bool send_parts(struct fetch *fetch)
{
    const struct fetch_part *local = fetch->of_shards[fetch->shard->index];
    bool is_any_out = false;

    for (struct fetch_part *part = fetch->parts; part != NULL; part = part->next) {
        if (part == local) continue;
        is_any_out = true;
        if (part->is_forwarded)
            forward_fetch_send(part);
        else
            fetch_part_send(part);
    }
    return is_any_out;
}

int fetch_submit(struct shard *shard, const struct fetch_options *options, struct fetch_request_reader *reader)
{
    struct fetch *fetch = fetch_new(shard, options, reader->entry_count);
    struct fetch_part *local;
    bool is_remote;
    int err;

    if (fetch == NULL) return MESH_ENOMEM;
    err = fetch_split(fetch, reader);
    if (err == 0) {
        fetch_share_bytes(fetch);
        err = prepare_parts(fetch);
    }
    if (err != 0) {
        fetch_free(fetch);
        return err;
    }
    list_push_back(options->fetches, &fetch->link);
    local = fetch->of_shards[shard->index];
    is_remote = send_parts(fetch);
    if (local != NULL) {
        fetch_part_run(local); /* may end and free the fetch */
    } else if (!is_remote) {
        fetch_answer(fetch); /* no entries at all */
        fetch_free(fetch);
    }
    return 0;
}

bool fetch_cancel(struct list_node *fetches, uint32_t *ret_entry_count)
{
    struct list_node *node = list_pop_front(fetches);
    struct fetch *fetch;

    if (node == NULL) return false;
    fetch = container_of(node, struct fetch, link);
    *ret_entry_count = fetch->entry_count;
    fetch->is_answered = true;
    for (struct fetch_part *part = fetch->parts; part != NULL; part = part->next)
        fetch_part_cancel(part);
    if (fetch_is_settled(fetch)) fetch_free(fetch);
    return true;
}
