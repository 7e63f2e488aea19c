#include "cmd/broker/groups/ends.h"

#include "base/error.h"
#include "cmd/broker/forward/requests.h"
#include "cmd/broker/groups/groups_internal.h"
#include "replication/coordinator/image.h"
#include "replication/spread/ends.h"

#include <stdlib.h>

/* A partition of which its leader is asked. */
struct asked {
    struct uuid leader; /* zero: this broker */
    struct uuid topic;
    uint32_t partition;
    uint64_t end; /* GROUP_LOG_END_UNKNOWN: nobody has said it */
};

struct groups_question {
    struct list_node node; /* in groups->questions, until all have answered */
    struct shard *shard;
    struct group_request *request; /* NULL: it has ended */
    struct list_node waiting;      /* requests about its group that came later, by their waiter's node */
    size_t count, remaining;
    struct asked asked[]; /* by leaders; once all have answered, by topics */
};

/* ---- what is known ---- */

static bool is_known(const struct shard_groups *groups, const struct group_commit_cell *cell)
{
    struct spread_end end;
    uint64_t heard_ms;

    if (cell->offset == 0 || cell->offset > GROUP_OFFSET_MAX || cell->may_pass_end) return true; /* never behind an end; refused; allowed to be */
    return groups->known_ends != NULL && spread_ends_find(groups->known_ends, &cell->topic, cell->partition, &end, &heard_ms) &&
           cell->offset <= end.high_watermark;
}

static void learn(struct shard_groups *groups, const struct asked *asked, int32_t epoch)
{
    struct spread_end end = {.topic = asked->topic, .partition = asked->partition, .leader_epoch = epoch < 0 ? 0 : (uint32_t)epoch, .high_watermark = asked->end};

    if (groups->is_stopping) return;
    if (groups->known_ends != NULL && spread_ends_count(groups->known_ends) >= GROUPS_ENDS_KNOWN) {
        spread_ends_free(groups->known_ends);
        groups->known_ends = NULL;
    }
    if (groups->known_ends == NULL && spread_ends_new(&groups->known_ends) != 0) return;
    (void)spread_ends_merge(groups->known_ends, groups->shard->now_ms, &end, false); /* without memory it is asked for again */
}

/* ---- what is to be asked ---- */

/* False: nobody leads it, or this very shard does, which looks for itself once it has opened the log. */
static bool find_leader(const struct shard *shard, const struct group_commit_cell *cell, struct uuid *ret_leader)
{
    const struct image_topic *topic = image_find_topic(shard->image, &cell->topic);
    const struct image_broker *leader;
    struct image_partition facts;

    if (topic == NULL || !image_topic_partition(topic, cell->partition, &facts) || facts.leader == IMAGE_NO_LEADER) return false;
    *ret_leader = (struct uuid){{0}};
    if (facts.leader == shard->broker->node_id)
        return image_shard_of(&cell->topic, cell->partition, shard->broker->shard_count) != shard->index ||
               shard_partition_find((struct shard *)(uintptr_t)shard, &cell->topic, cell->partition) == NULL;
    leader = image_find_broker(shard->image, facts.leader);
    if (leader != NULL) *ret_leader = leader->broker_id;
    return leader != NULL;
}

static int compare_places(const struct asked *a, const struct asked *b)
{
    int order = memcmp(a->topic.bytes, b->topic.bytes, UUID_SIZE);

    return order != 0 ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

static int by_place(const void *a, const void *b)
{
    return compare_places(a, b);
}

static int by_leader(const void *a, const void *b)
{
    const struct asked *left = a, *right = b;
    int order = memcmp(left->leader.bytes, right->leader.bytes, UUID_SIZE);

    return order != 0 ? order : compare_places(left, right);
}

/* What goes beyond what is known; NULL where nothing does, or without memory. */
static struct groups_question *question_of(struct shard *shard, const struct group_commit_cell *cells, size_t count, int *ret_error)
{
    struct groups_question *question = NULL;
    size_t kept = 0;

    *ret_error = 0;
    for (size_t i = 0; i < count; i++) {
        struct asked asked = {.topic = cells[i].topic, .partition = cells[i].partition, .end = GROUP_LOG_END_UNKNOWN};

        if (is_known(&shard->groups, &cells[i]) || !find_leader(shard, &cells[i], &asked.leader)) continue;
        if (question == NULL) question = malloc(sizeof(*question) + (count - i) * sizeof(question->asked[0]));
        if (question == NULL) {
            *ret_error = MESH_ENOMEM;
            return NULL;
        }
        if (kept == 0) question->count = 0;
        question->asked[kept++] = asked;
    }
    if (question == NULL) return NULL;
    qsort(question->asked, kept, sizeof(question->asked[0]), by_leader);
    for (size_t i = 0; i < kept; i++)
        if (question->count == 0 || compare_places(&question->asked[question->count - 1], &question->asked[i]) != 0)
            question->asked[question->count++] = question->asked[i];
    return question;
}

/* ---- asking ---- */

static void go_on(struct groups_question *question)
{
    struct shard_groups *groups = &question->shard->groups;
    struct group_request *request = question->request;
    struct list_node waiting, *node;

    list_remove(&question->node);
    groups->asking--;
    qsort(question->asked, question->count, sizeof(question->asked[0]), by_place);
    list_init(&waiting);
    while ((node = list_pop_front(&question->waiting)) != NULL)
        list_push_back(&waiting, node);
    if (request != NULL)
        groups_arrive(request); /* which owns the question */
    else
        free(question);
    while ((node = list_pop_front(&waiting)) != NULL) { /* what asks by now has the others behind it again, in their order */
        groups->asking--;
        groups_arrive(container_of(container_of(node, struct group_waiter, node), struct group_request, waiter));
    }
}

static void on_end(void *owner, uint64_t tag, const struct list_offsets_result *result)
{
    struct groups_question *question = owner;
    struct asked *asked = &question->asked[tag];

    if (result->error == 0 && result->offset >= 0) {
        asked->end = (uint64_t)result->offset;
        learn(&question->shard->groups, asked, result->leader_epoch);
    }
    if (--question->remaining == 0) go_on(question);
}

static void fail(struct groups_question *question, size_t from, size_t count)
{
    const struct list_offsets_result none = {.error = MESH_ENOMEM, .offset = -1};

    for (size_t i = 0; i < count; i++)
        on_end(question, from + i, &none);
}

/* One question for all that a broker leads. */
static void ask_elsewhere(struct groups_question *question, size_t from, size_t count)
{
    struct list_offsets_entry *entries = malloc(count * sizeof(*entries));
    int err = entries == NULL ? MESH_ENOMEM : 0;

    for (size_t i = 0; i < count && err == 0; i++)
        entries[i] = (struct list_offsets_entry){
            .topic_id = question->asked[from + i].topic, .partition = question->asked[from + i].partition, .timestamp_ms = LIST_OFFSETS_LATEST};
    if (err == 0)
        err = forward_list_offsets(question->shard, &question->asked[from].leader, entries, count, GROUPS_ENDS_WAIT_MS, on_end, question, from);
    free(entries);
    if (err != 0) fail(question, from, count);
}

/* Any shard of this broker; this one answers at once. */
static void ask_here(struct groups_question *question, size_t at)
{
    struct list_offsets_entry entry = {
        .topic_id = question->asked[at].topic, .partition = question->asked[at].partition, .timestamp_ms = LIST_OFFSETS_LATEST};

    if (list_offsets_submit(question->shard, &entry, false, on_end, question, at) != 0) fail(question, at, 1);
}

static void send_out(struct groups_question *question)
{
    size_t count = question->count, next;

    question->remaining = count + 1; /* it is here until the end of this */
    for (size_t from = 0; from < count; from = next) {
        next = from + 1;
        if (uuid_is_zero(&question->asked[from].leader)) {
            ask_here(question, from);
            continue;
        }
        while (next < count && next - from < MESSAGE_ENTRIES_MAX && uuid_equal(&question->asked[next].leader, &question->asked[from].leader))
            next++;
        ask_elsewhere(question, from, next - from);
    }
}

int groups_ends_ask(struct group_request *request, const struct group_commit_cell *cells, size_t count)
{
    struct shard_groups *groups = &request->shard->groups;
    struct groups_question *question;
    int err = 0;

    if (request->question != NULL) return 0; /* this is what it was asked for */
    question = question_of(request->shard, cells, count, &err);
    if (question == NULL) return err;
    if (groups->asking >= GROUPS_ENDS_ASKING) {
        free(question);
        return MESH_EBUSY;
    }
    question->shard = request->shard;
    question->request = request;
    list_init(&question->waiting);
    list_push_back(&groups->questions, &question->node);
    groups->asking++;
    request->question = question;
    send_out(question);
    return GROUPS_JUDGE_AGAIN;
}

void groups_ends_sent(struct group_request *request)
{
    if (--request->question->remaining == 0) go_on(request->question);
}

uint64_t groups_ends_answered(const struct groups_question *question, const struct uuid *topic, uint32_t partition)
{
    struct asked key = {.topic = *topic, .partition = partition};
    const struct asked *found = bsearch(&key, question->asked, question->count, sizeof(key), by_place);

    return found == NULL ? GROUP_LOG_END_UNKNOWN : found->end;
}

/* ---- waiting ---- */

bool groups_ends_wait(struct group_request *request, int *ret_error)
{
    struct shard_groups *groups = &request->shard->groups;

    *ret_error = 0;
    if (request->question != NULL) return false;
    for (struct list_node *node = groups->questions.next; node != &groups->questions; node = node->next) {
        struct groups_question *question = container_of(node, struct groups_question, node);

        if (question->request == NULL || question->request->number != request->number || !slice_equal(question->request->group, request->group)) continue;
        if (groups->asking >= GROUPS_ENDS_ASKING) {
            *ret_error = MESH_EBUSY;
            return false;
        }
        groups->asking++;
        list_push_back(&question->waiting, &request->waiter.node);
        return true;
    }
    return false;
}

void groups_ends_let_go(struct group_request *request)
{
    struct groups_question *question = request->question;

    request->question = NULL;
    if (question == NULL) return;
    if (question->remaining == 0)
        free(question);
    else
        question->request = NULL; /* the last answer frees it */
}

void groups_ends_stop(struct shard *shard)
{
    for (struct list_node *at = shard->groups.questions.next, *node; at != &shard->groups.questions; at = at->next) {
        struct groups_question *question = container_of(at, struct groups_question, node);

        if (question->request != NULL) groups_end_request(question->request, MESH_ESHUTDOWN);
        while ((node = list_pop_front(&question->waiting)) != NULL) {
            shard->groups.asking--;
            groups_end_request(container_of(container_of(node, struct group_waiter, node), struct group_request, waiter), MESH_ESHUTDOWN);
        }
    }
}

void groups_ends_deinit(struct shard *shard)
{
    spread_ends_free(shard->groups.known_ends);
    shard->groups.known_ends = NULL;
}
