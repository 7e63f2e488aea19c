/* broker/ops/produce.c - find the partition's leader and shard; a batch for another one travels as a copy and comes back as a result.
 *
 * The copy lies in a buffer of the submitting shard's pool, so that what is under way counts against its memory. One of a
 * shard at a time may pass the limit, for the first of those who wait: their requests may be all that the pool holds. */
#include "cmd/broker/ops/produce.h"

#include "base/assert.h"
#include "base/error.h"
#include "cmd/broker/forward/call.h"
#include "cmd/broker/forward/requests.h"
#include "cmd/broker/ops/produce_local.h"
#include "cmd/broker/runtime/partitions.h"

struct produce_mail {
    struct mail mail;
    struct shard *home;
    struct produce_room room; /* of home's pool; holds this very struct */
    struct produce_done done;
    struct produce_foreign foreign;
    struct produce_result result;
    uint8_t batch[];
};

/* ---- room ---- */

bool produce_room_acquire(struct shard *shard, size_t size, struct produce_room *ret_room)
{
    struct pool_buffer *buffer = pool_acquire(&shard->pool, size, false);
    bool is_urgent = buffer == NULL && shard->connections.is_serving_front && !shard->has_urgent_copy;

    if (is_urgent) buffer = pool_acquire(&shard->pool, size, true);
    if (buffer == NULL) return false;
    if (is_urgent) shard->has_urgent_copy = true;
    *ret_room = (struct produce_room){buffer, is_urgent};
    return true;
}

void produce_room_release(struct shard *shard, const struct produce_room *room)
{
    if (room->is_urgent) shard->has_urgent_copy = false;
    pool_release(&shard->pool, room->buffer);
}

/* ---- batches that others hold ---- */

/* Whether it found memory; then done runs some time. */
static bool foreign_try(struct produce_foreign *foreign)
{
    struct shard *shard = foreign->shard;
    struct shard_partition *partition;
    int err = shard_partition_get(shard, &foreign->entry.topic_id, foreign->entry.partition, &partition);

    if (err != 0) {
        produce_refuse(shard, err, foreign->done);
        return true;
    }
    return produce_local(shard, partition, &foreign->entry, foreign->batch, &foreign->terms, foreign->done) == 0;
}

void produce_foreign(struct produce_foreign *foreign)
{
    struct shard *shard = foreign->shard;

    /* Behind those that wait: the order of one sender must hold. */
    if (!list_is_empty(&shard->remote_waiting) || !foreign_try(foreign))
        list_push_back(&shard->remote_waiting, &foreign->link);
}

void produce_retry_remote(struct shard *shard)
{
    while (!list_is_empty(&shard->remote_waiting)) {
        struct list_node *node = shard->remote_waiting.next;

        list_remove(node);
        if (foreign_try(container_of(node, struct produce_foreign, link))) continue;
        list_push_front(&shard->remote_waiting, node);
        return;
    }
}

void produce_expire_remote(struct shard *shard)
{
    list_for_each_safe(node, &shard->remote_waiting)
    {
        struct produce_foreign *foreign = container_of(node, struct produce_foreign, link);
        uint32_t timeout_ms = foreign->terms.timeout_ms;

        if (timeout_ms == 0 || shard->now_ms < foreign->received_ms + timeout_ms) continue;
        list_remove(node);
        produce_refuse(shard, MESH_EBUSY, foreign->done);
    }
}

void produce_abandon_remote(struct shard *shard)
{
    struct list_node *node;

    while ((node = list_pop_front(&shard->remote_waiting)) != NULL)
        produce_refuse(shard, MESH_ESHUTDOWN, container_of(node, struct produce_foreign, link)->done);
}

/* ---- to another shard ---- */

static void mail_home(struct mail *mail)
{
    struct produce_mail *produce = container_of(mail, struct produce_mail, mail);
    struct produce_room room = produce->room;

    if (produce->done.call != NULL) produce->done.call(produce->done.owner, produce->done.tag, &produce->result);
    produce_room_release(produce->home, &room);
}

static void remote_done(void *owner, uint64_t tag, const struct produce_result *result)
{
    struct produce_mail *produce = owner;

    (void)tag;
    produce->result = *result;
    produce->mail.deliver = mail_home;
    shard_post(produce->home, &produce->mail);
}

static void mail_arrives(struct mail *mail)
{
    produce_foreign(&container_of(mail, struct produce_mail, mail)->foreign);
}

static int produce_remote(struct shard *shard, struct shard *other, const struct produce_entry *entry,
                          const uint8_t *batch, const struct produce_terms *terms, struct produce_done done)
{
    struct produce_mail *produce;
    struct produce_room room;

    if (!produce_room_acquire(shard, sizeof(*produce) + entry->batch_size, &room)) return MESH_EAGAIN;
    produce = (struct produce_mail *)(void *)room.buffer->data;
    *produce = (struct produce_mail){
        .mail.deliver = mail_arrives,
        .home = shard,
        .room = room,
        .done = done,
        .foreign = {.shard = other,
                    .entry = *entry,
                    .terms = *terms,
                    .done = {.call = remote_done, .owner = produce},
                    .batch = produce->batch,
                    .received_ms = shard->now_ms},
    };
    list_init(&produce->foreign.link);
    memcpy(produce->batch, batch, entry->batch_size);
    shard_post(other, &produce->mail);
    return 0;
}

int produce_submit(struct shard *shard, const struct produce_entry *entry, uint8_t *batch,
                   const struct produce_terms *terms, struct produce_done done)
{
    struct shard_partition *partition;
    struct forward_leader leader;

    if (terms->forwards && forward_is_elsewhere(shard, &entry->topic_id, entry->partition, &leader))
        return forward_produce(shard, &leader, entry, batch, terms, done);
    partition = shard_partition_find(shard, &entry->topic_id, entry->partition);
    if (partition == NULL) {
        uint32_t home = image_shard_of(&entry->topic_id, entry->partition, shard->broker->shard_count);
        int err;

        if (home != shard->index)
            return produce_remote(shard, shard->broker->shards[home], entry, batch, terms, done);
        err = shard_partition_get(shard, &entry->topic_id, entry->partition, &partition);
        if (err != 0) {
            produce_refuse(shard, err, done);
            return 0;
        }
    }
    return produce_local(shard, partition, entry, batch, terms, done);
}
