/* broker/ops/delete_records.c - see delete_records.h.
 *
 *   each partition: its leader's end, and where its records begin, in one leader epoch
 *   all together:   the coordinator writes them down, if those epochs are still the newest
 *   each partition: its leader is asked where its records begin, until it has heard of that */
#include "cmd/broker/ops/delete_records.h"

#include "base/clock.h"
#include "base/error.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/ops/list_offsets.h"
#include "cmd/broker/runtime/shard.h"

#include <stdio.h>
#include <stdlib.h>

#define WAIT_FIRST_MS 2u
#define WAIT_MAX_MS   200u

enum deletion_state { DELETION_ENDS, DELETION_BEGINS, DELETION_WANTED, DELETION_TELLS, DELETION_OVER };

struct deletion {
    struct image_deletion wish;
    uint32_t index; /* of the request's entry */
    enum deletion_state state;
};

struct delete_records {
    struct mail mail;
    struct shard *shard;
    ev_timer timer;
    uint64_t deadline_ms;
    uint32_t wait_ms;
    uint32_t waiting; /* for so many answers; one more while this runs */
    size_t count;
    struct delete_records_result *results; /* of entries, in their order */
    struct deletion *deletions;            /* rising by topic and partition */
    size_t wanted_count;
    struct decide_result *decided; /* of those that are wanted */
    struct buffer body;
    int error; /* of what the coordinator was asked */
    bool is_for_now; /* it could not tell yet: it is asked again */
    char message[METADATA_MESSAGE_SIZE];
    delete_records_done_fn *done;
    void *owner;
};

static void step(struct delete_records *all);

static void over(struct delete_records *all, struct deletion *deletion, int error, uint64_t first_offset)
{
    deletion->state = DELETION_OVER;
    all->results[deletion->index] = (struct delete_records_result){error, first_offset};
}

static void leave(struct delete_records *all)
{
    if (--all->waiting == 0) step(all);
}

/* ---- what the leaders say ---- */

static void ask_leader(struct delete_records *all, struct deletion *deletion, int64_t timestamp_ms, uint32_t leader_epoch_plus_one);

/* Ends are told in an epoch, and beginnings are asked for in the same one. */
static void take_end(struct delete_records *all, struct deletion *deletion, const struct list_offsets_result *result)
{
    if (result->error != 0) {
        over(all, deletion, result->error, 0);
        return;
    }
    if (deletion->wish.offset == (uint64_t)DELETE_RECORDS_TO_END) deletion->wish.offset = (uint64_t)result->offset;
    if (deletion->wish.offset > (uint64_t)result->offset) {
        over(all, deletion, MESH_EOFFSET_OUT_OF_RANGE, 0);
        return;
    }
    deletion->wish.leader_epoch = result->leader_epoch;
    deletion->state = DELETION_BEGINS;
    ask_leader(all, deletion, LIST_OFFSETS_EARLIEST, (uint32_t)result->leader_epoch + 1);
}

static void take_beginning(struct delete_records *all, struct deletion *deletion, const struct list_offsets_result *result)
{
    if (result->error != 0) over(all, deletion, result->error, 0);
    else if ((uint64_t)result->offset >= deletion->wish.offset) over(all, deletion, 0, (uint64_t)result->offset); /* so many are gone already */
    else deletion->state = DELETION_WANTED;
}

static void on_offset(void *owner, uint64_t tag, const struct list_offsets_result *result)
{
    struct delete_records *all = owner;
    struct deletion *deletion = &all->deletions[tag];

    if (deletion->state == DELETION_ENDS) take_end(all, deletion, result);
    else if (deletion->state == DELETION_BEGINS) take_beginning(all, deletion, result);
    else if (result->error == 0 && (uint64_t)result->offset >= deletion->wish.offset) over(all, deletion, 0, (uint64_t)result->offset);
    leave(all); /* who has not heard of it yet is asked again */
}

static void ask_leader(struct delete_records *all, struct deletion *deletion, int64_t timestamp_ms, uint32_t leader_epoch_plus_one)
{
    const struct list_offsets_entry entry = {
        .topic_id = deletion->wish.topic_id, .partition = deletion->wish.partition, .timestamp_ms = timestamp_ms, .leader_epoch_plus_one = leader_epoch_plus_one};
    uint64_t tag = (uint64_t)(deletion - all->deletions);

    all->waiting++;
    if (list_offsets_submit(all->shard, &entry, true, on_offset, all, tag) != 0)
        on_offset(all, tag, &(struct list_offsets_result){.error = MESH_ENOMEM, .offset = -1});
}

/* ---- what the coordinator says ---- */

static void home(struct mail *mail)
{
    struct delete_records *all = container_of(mail, struct delete_records, mail);
    size_t k = 0;

    all->is_for_now = all->error == MESH_EAGAIN;
    for (size_t i = 0; i < all->count && !all->is_for_now; i++) {
        struct deletion *deletion = &all->deletions[i];
        int error = all->error;

        if (deletion->state != DELETION_WANTED) continue;
        if (error == 0) error = all->decided[k++].error;
        if (error != 0) over(all, deletion, error, 0);
        else deletion->state = DELETION_TELLS;
    }
    leave(all);
}

/* On the control loop. */
static void on_decided(void *user, int error, const char *message, struct slice results)
{
    struct delete_records *all = user;

    all->error = error == 0 ? node_decode_results(results, all->decided, all->wanted_count) : error;
    if (all->error == MESH_EPROTO) all->error = MESH_ETIMEDOUT; /* nobody knows what was done */
    if (error != 0) snprintf(all->message, sizeof(all->message), "%s", message);
    all->mail.deliver = home;
    shard_post(all->shard, &all->mail);
}

static void arrives(struct mail *mail)
{
    struct delete_records *all = container_of(mail, struct delete_records, mail);
    struct control *control = &all->shard->broker->control;

    if (!control->is_ready || control->metadata == NULL) on_decided(all, MESH_ENO_COORDINATOR, mesh_strerror(MESH_ENO_COORDINATOR), slice_of(NULL, 0));
    else metadata_delete_records(control->metadata, buffer_slice(&all->body), on_decided, all);
}

/* Their wishes, in their order. */
static int encode_wanted(struct delete_records *all)
{
    struct image_deletion *wishes = calloc(all->count, sizeof(*wishes));
    int err = wishes == NULL ? MESH_ENOMEM : 0;

    all->wanted_count = 0;
    buffer_clear(&all->body);
    free(all->decided);
    for (size_t i = 0; err == 0 && i < all->count; i++)
        if (all->deletions[i].state == DELETION_WANTED) wishes[all->wanted_count++] = all->deletions[i].wish;
    all->decided = err != 0 || all->wanted_count == 0 ? NULL : calloc(all->wanted_count, sizeof(*all->decided));
    if (err == 0 && all->wanted_count > 0 && all->decided == NULL) err = MESH_ENOMEM;
    if (err == 0 && all->wanted_count > 0) err = node_encode_deletions(&all->body, wishes, all->wanted_count);
    free(wishes);
    return err;
}

static void ask_coordinator(struct delete_records *all)
{
    all->error = encode_wanted(all);
    all->waiting++;
    if (all->error != 0) {
        home(&all->mail);
        return;
    }
    all->mail.deliver = arrives;
    mailbox_post(&all->shard->broker->control.mailbox, &all->mail);
}

/* ---- the course of it ---- */

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    step(timer->data);
}

static void finish(struct delete_records *all)
{
    all->done(all->owner, all->results, all->message);
    buffer_deinit(&all->body);
    free(all->decided);
    free(all->deletions);
    free(all->results);
    free(all);
}

static bool is_any(const struct delete_records *all, enum deletion_state state)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->deletions[i].state == state) return true;
    return false;
}

/* Those that were written down are asked for until their leaders say so too, the first time at once; or until the topic is gone, and nobody leads any more. What one
 * broker says of that is no answer: it may not have heard of the topic yet. */
static void ask_again(struct delete_records *all)
{
    all->waiting++;
    for (size_t i = 0; i < all->count; i++) {
        struct deletion *deletion = &all->deletions[i];

        if (deletion->state != DELETION_TELLS) continue;
        if (image_topic_was_deleted(all->shard->image, &deletion->wish.topic_id)) over(all, deletion, MESH_EUNKNOWN_TOPIC, 0);
        else ask_leader(all, deletion, LIST_OFFSETS_EARLIEST, 0);
    }
    all->waiting--;
}

static void give_up(struct delete_records *all)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->deletions[i].state != DELETION_OVER) over(all, &all->deletions[i], all->shard->is_stopping ? MESH_ESHUTDOWN : MESH_ETIMEDOUT, 0);
}

static void sleep_a_while(struct delete_records *all)
{
    ev_timer_init(&all->timer, on_timer, all->wait_ms / 1e3, 0.);
    all->timer.data = all;
    ev_timer_start(all->shard->loop, &all->timer);
    all->wait_ms = all->wait_ms * 2 < WAIT_MAX_MS ? all->wait_ms * 2 : WAIT_MAX_MS;
}

/* Nobody is being waited for. A loop, because answers may come inside the question. */
static void step(struct delete_records *all)
{
    bool is_late = clock_monotonic_ms() >= all->deadline_ms || all->shard->is_stopping;

    if (is_any(all, DELETION_WANTED)) {
        if (!is_late && all->is_for_now) {
            all->is_for_now = false;
            sleep_a_while(all);
            return;
        }
        if (!is_late) {
            all->message[0] = '\0';
            ask_coordinator(all);
            return;
        }
        give_up(all);
    }
    if (is_any(all, DELETION_TELLS)) {
        ask_again(all);
        if (all->waiting > 0) return;
        if (is_any(all, DELETION_TELLS) && !is_late) {
            sleep_a_while(all);
            return;
        }
        give_up(all);
    }
    finish(all);
}

/* ---- asking ---- */

static int by_place(const void *a, const void *b)
{
    const struct deletion *left = a, *right = b;
    int order = memcmp(left->wish.topic_id.bytes, right->wish.topic_id.bytes, UUID_SIZE);

    if (order != 0) return order;
    if (left->wish.partition != right->wish.partition) return left->wish.partition < right->wish.partition ? -1 : 1;
    return left->index < right->index ? -1 : 1;
}

static bool is_same_place(const struct deletion *a, const struct deletion *b)
{
    return a->wish.partition == b->wish.partition && uuid_equal(&a->wish.topic_id, &b->wish.topic_id);
}

static struct delete_records *new_of(const struct delete_records_entry *entries, size_t count)
{
    struct delete_records *all = calloc(1, sizeof(*all));

    if (all == NULL) return NULL;
    all->results = calloc(count + 1, sizeof(*all->results));
    all->deletions = calloc(count + 1, sizeof(*all->deletions));
    if (all->results == NULL || all->deletions == NULL) {
        free(all->results);
        free(all->deletions);
        free(all);
        return NULL;
    }
    all->count = count;
    for (size_t i = 0; i < count; i++)
        all->deletions[i] =
            (struct deletion){.wish = {.topic_id = entries[i].topic_id, .partition = entries[i].partition, .offset = (uint64_t)entries[i].offset}, .index = (uint32_t)i};
    qsort(all->deletions, count, sizeof(all->deletions[0]), by_place);
    return all;
}

int delete_records_submit(struct shard *shard, const struct delete_records_entry *entries, size_t count, uint32_t timeout_ms, delete_records_done_fn *done,
                          void *owner)
{
    struct delete_records *all = count > DELETE_RECORDS_MAX ? NULL : new_of(entries, count);

    if (all == NULL) return count > DELETE_RECORDS_MAX ? MESH_ETOOLARGE : MESH_ENOMEM;
    all->shard = shard;
    all->done = done;
    all->owner = owner;
    all->wait_ms = WAIT_FIRST_MS;
    all->deadline_ms = clock_monotonic_ms() + (timeout_ms < DELETE_RECORDS_TIMEOUT_MS ? timeout_ms : DELETE_RECORDS_TIMEOUT_MS);
    all->waiting = 1;
    for (size_t i = 0; i < count; i++) {
        struct deletion *deletion = &all->deletions[i];

        if ((i > 0 && is_same_place(deletion - 1, deletion)) || entries[deletion->index].offset < DELETE_RECORDS_TO_END) over(all, deletion, MESH_EINVAL, 0);
        else ask_leader(all, deletion, LIST_OFFSETS_LATEST, 0);
    }
    leave(all);
    return 0;
}
