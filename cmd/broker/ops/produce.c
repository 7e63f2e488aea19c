/* broker/ops/produce.c - find the partition's shard; a batch for another one travels as a copy and comes back as a result.
 *
 * The copy lies in a buffer of the submitting shard's pool, so that what is under way counts against its memory. One of a
 * shard at a time may pass the limit, for the first of those who wait: their requests may be all that the pool holds. */
#include "cmd/broker/ops/produce.h"

#include "base/assert.h"
#include "base/error.h"
#include "cmd/broker/ops/produce_local.h"
#include "cmd/broker/runtime/partitions.h"

struct produce_mail {
    struct mail mail;
    struct shard *home, *shard;
    struct pool_buffer *buffer; /* of home's pool; holds this very struct */
    struct produce_done done;
    struct produce_entry entry;
    struct produce_terms terms;
    uint64_t received_ms;
    struct produce_result result;
    struct list_node link; /* in shard->remote_waiting */
    bool is_urgent;        /* the one that passes the pool's limit */
    uint8_t batch[];
};

static void mail_home(struct mail *mail)
{
    struct produce_mail *produce = container_of(mail, struct produce_mail, mail);
    struct shard *home = produce->home;

    if (produce->done.call != NULL) produce->done.call(produce->done.owner, produce->done.tag, &produce->result);
    if (produce->is_urgent) home->has_urgent_copy = false;
    pool_release(&home->pool, produce->buffer);
}

static void remote_done(void *owner, uint64_t tag, const struct produce_result *result)
{
    struct produce_mail *produce = owner;

    (void)tag;
    produce->result = *result;
    produce->mail.deliver = mail_home;
    shard_post(produce->home, &produce->mail);
}

/* Whether it found memory; then remote_done() runs some time. */
static bool remote_try(struct produce_mail *produce)
{
    struct shard *shard = produce->shard;
    struct produce_done done = {.call = remote_done, .owner = produce};
    struct shard_partition *partition;
    int err =
        shard_partition_get(shard, &produce->entry.topic_id, produce->entry.partition, &partition);

    if (err != 0) {
        produce_refuse(shard, err, done);
        return true;
    }
    return produce_local(shard, partition, &produce->entry, produce->batch, &produce->terms, done) == 0;
}

static void mail_arrives(struct mail *mail)
{
    struct produce_mail *produce = container_of(mail, struct produce_mail, mail);
    struct shard *shard = produce->shard;

    /* Behind those that wait: the order of one sender must hold. */
    if (!list_is_empty(&shard->remote_waiting) || !remote_try(produce))
        list_push_back(&shard->remote_waiting, &produce->link);
}

void produce_retry_remote(struct shard *shard)
{
    while (!list_is_empty(&shard->remote_waiting)) {
        struct list_node *node = shard->remote_waiting.next;

        list_remove(node);
        if (remote_try(container_of(node, struct produce_mail, link))) continue;
        list_push_front(&shard->remote_waiting, node);
        return;
    }
}

void produce_expire_remote(struct shard *shard)
{
    list_for_each_safe(node, &shard->remote_waiting)
    {
        struct produce_mail *produce = container_of(node, struct produce_mail, link);
        uint32_t timeout_ms = produce->terms.timeout_ms;

        if (timeout_ms == 0 || shard->now_ms < produce->received_ms + timeout_ms) continue;
        list_remove(node);
        produce_refuse(shard, MESH_EBUSY, (struct produce_done){.call = remote_done, .owner = produce});
    }
}

void produce_abandon_remote(struct shard *shard)
{
    struct list_node *node;

    while ((node = list_pop_front(&shard->remote_waiting)) != NULL)
        produce_refuse(shard, MESH_ESHUTDOWN,
                       (struct produce_done){.call = remote_done, .owner = container_of(node, struct produce_mail, link)});
}

static int produce_remote(struct shard *shard, struct shard *other, const struct produce_entry *entry,
                          const uint8_t *batch, const struct produce_terms *terms, struct produce_done done)
{
    size_t size = sizeof(struct produce_mail) + entry->batch_size;
    struct pool_buffer *buffer = pool_acquire(&shard->pool, size, false);
    bool is_urgent = buffer == NULL && shard->connections.is_serving_front && !shard->has_urgent_copy;
    struct produce_mail *produce;

    if (is_urgent) buffer = pool_acquire(&shard->pool, size, true);
    if (buffer == NULL) return MESH_EAGAIN;
    if (is_urgent) shard->has_urgent_copy = true;
    produce = (struct produce_mail *)(void *)buffer->data;
    *produce = (struct produce_mail){
        .mail.deliver = mail_arrives,
        .home = shard,
        .shard = other,
        .buffer = buffer,
        .done = done,
        .entry = *entry,
        .terms = *terms,
        .received_ms = shard->now_ms,
        .is_urgent = is_urgent,
    };
    list_init(&produce->link);
    memcpy(produce->batch, batch, entry->batch_size);
    shard_post(other, &produce->mail);
    return 0;
}

int produce_submit(struct shard *shard, const struct produce_entry *entry, uint8_t *batch,
                   const struct produce_terms *terms, struct produce_done done)
{
    struct shard_partition *partition = shard_partition_find(shard, &entry->topic_id, entry->partition);

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
