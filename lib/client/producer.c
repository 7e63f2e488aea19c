#include "client/producer.h"

#include "base/assert.h"
#include "client/call.h"

#include <stdlib.h>
#include <string.h>

static void init(struct mesh_producer *producer, struct mesh_client *client)
{
    producer->client = client;
    producer->acks = -1;
    producer->is_idempotent = true;
    producer->batch_bytes_max = PRODUCER_BATCH_BYTES_DEFAULT;
    producer->batch_records_max = INT32_MAX;
    producer->delivery_timeout_ms = PRODUCER_DELIVERY_DEFAULT_MS;
    producer->in_flight_max = PRODUCER_IN_FLIGHT_DEFAULT;
    producer->sticky = -1;
    list_init(&producer->lanes);
    list_init(&producer->by_age);
    list_init(&producer->deliver);
    list_init(&producer->backoff);
    list_init(&producer->pending);
    list_init(&producer->requests);
    list_init(&producer->idle_requests);
    list_init(&producer->unrouted.node);
    list_init(&producer->unrouted.ready);
    list_init(&producer->unrouted.open);
    list_init(&producer->unrouted.posted);
    batch_pool_init(&producer->pool, PRODUCER_MEMORY_DEFAULT);
    client_add_pump(client, &producer->pump, producer_pump);
}

int mesh_producer_new(struct mesh_client *client, const char *topic, struct mesh_producer **ret_producer)
{
    struct mesh_producer *producer = calloc(1, sizeof(*producer));
    int err;

    if (producer == NULL) return client_fail(client, MESH_ENOMEM, "%s", mesh_strerror(MESH_ENOMEM));
    init(producer, client);
    err = client_add_timer(client, &producer->timer, producer_timer_due);
    if (err != 0) {
        client_fail(client, err, "%s", mesh_strerror(err));
        goto fail;
    }
    err = topic_ref(client, topic, &producer->topic);
    if (err != 0) goto fail;
    producer->attachments = calloc(PRODUCER_FRAME_ENTRIES, sizeof(*producer->attachments));
    if (producer->attachments == NULL) {
        err = client_fail(client, MESH_ENOMEM, "%s", mesh_strerror(MESH_ENOMEM));
        goto fail;
    }
    *ret_producer = producer;
    return 0;
fail:
    mesh_producer_free(producer);
    return err;
}

void mesh_producer_free(struct mesh_producer *producer)
{
    struct list_node *node;
    bool was_dispatching;

    if (producer == NULL) return;
    producer->is_closing = true;
    was_dispatching = producer->client->is_dispatching;
    producer->client->is_dispatching = true; /* what callbacks may not do, they may not do here either */
    producer_forget_requests(producer);
    producer_pending_fail(producer, MESH_ECANCELED, UINT64_MAX);
    producer_give_up_batches(producer, MESH_ECANCELED);
    MESH_ASSERT(producer->queued_records == 0);
    producer->client->is_dispatching = was_dispatching;
    call_free(producer->id_call);
    for (uint32_t i = 0; i < producer->partition_count; i++)
        producer_partition_free(producer->partitions[i]);
    free(producer->partitions);
    while ((node = list_pop_front(&producer->lanes)) != NULL)
        producer_lane_free(container_of(node, struct producer_lane, node));
    while ((node = list_pop_front(&producer->idle_requests)) != NULL)
        free(container_of(node, struct produce_request, node));
    batch_pool_deinit(&producer->pool);
    buffer_deinit(&producer->message);
    free(producer->attachments);
    topic_unref(producer->topic);
    client_remove_timer(producer->client, &producer->timer);
    client_remove_pump(producer->client, &producer->pump);
    free(producer);
}

/* ---- options ---- */

/* Every option is checked here: changeable until the first record, and within its bounds. */
static int check(struct mesh_producer *producer, bool is_valid, const char *rule)
{
    if (producer->has_started)
        return client_fail(producer->client, MESH_EINVAL,
                           "a producer's options are set before its first record");
    if (!is_valid) return client_fail(producer->client, MESH_EINVAL, "%s", rule);
    return 0;
}

int mesh_producer_set_acks(struct mesh_producer *producer, int acks)
{
    int err = check(producer, acks >= -1 && acks <= 1, "acks is 0, 1 or -1 (all)");

    if (err != 0) return err;
    producer->acks = acks;
    if (acks == 0) producer->is_idempotent = false; /* without answers there is nothing to repeat */
    return 0;
}

int mesh_producer_set_idempotent(struct mesh_producer *producer, int enabled)
{
    int err = check(
        producer, !enabled || (producer->acks != 0 && producer->in_flight_max <= PRODUCER_IN_FLIGHT_DEFAULT),
        "an idempotent producer needs acks 1 or all, and at most 5 batches in flight");

    if (err == 0) producer->is_idempotent = enabled != 0;
    return err;
}

int mesh_producer_set_compression(struct mesh_producer *producer, enum mesh_compression compression)
{
    _Static_assert((int)MESH_COMPRESSION_ZSTD == (int)RECORD_COMPRESSION_ZSTD,
                   "the public codecs are the format's");
    int err =
        check(producer, (int)compression >= 0 && compression <= MESH_COMPRESSION_ZSTD, "unknown compression");

    if (err == 0) producer->compression = (enum record_compression)compression;
    return err;
}

int mesh_producer_set_linger_ms(struct mesh_producer *producer, int linger_ms)
{
    int err = check(producer, linger_ms >= 0, "linger is 0 ms or more");

    if (err == 0) producer->linger_ms = linger_ms;
    return err;
}

int mesh_producer_set_batch_bytes_max(struct mesh_producer *producer, size_t bytes)
{
    int err =
        check(producer, bytes >= 128 && bytes <= (64u << 20), "a batch has between 128 bytes and 64 MiB");

    if (err == 0) producer->batch_bytes_max = bytes;
    return err;
}

int mesh_producer_set_batch_records_max(struct mesh_producer *producer, size_t records)
{
    int err = check(producer, records >= 1 && records <= INT32_MAX, "a batch has at least one record");

    if (err == 0) producer->batch_records_max = records;
    return err;
}

int mesh_producer_set_memory_bytes_max(struct mesh_producer *producer, size_t bytes)
{
    int err = check(producer, bytes >= 4096, "a producer needs at least 4 KiB of memory");

    if (err != 0) return err;
    producer->pool.memory_max = bytes;
    producer->is_memory_set = true;
    return 0;
}

int mesh_producer_set_delivery_timeout_ms(struct mesh_producer *producer, int timeout_ms)
{
    int err = check(producer, timeout_ms >= 1, "the delivery timeout is at least 1 ms");

    if (err == 0) producer->delivery_timeout_ms = timeout_ms;
    return err;
}

int mesh_producer_set_in_flight_max(struct mesh_producer *producer, int batches)
{
    int err =
        check(producer, batches >= 1 && (!producer->is_idempotent || batches <= PRODUCER_IN_FLIGHT_DEFAULT),
              "at least 1 batch in flight, and at most 5 when idempotent");

    if (err == 0) producer->in_flight_max = (uint32_t)batches;
    return err;
}

int mesh_producer_set_partitioner(struct mesh_producer *producer, enum mesh_partitioner partitioner)
{
    int err = check(producer, (int)partitioner >= 0 && partitioner <= MESH_PARTITIONER_KEY_HASH,
                    "unknown partitioner");

    if (err == 0) producer->partitioner = partitioner;
    return err;
}

int mesh_producer_set_partitioner_fn(struct mesh_producer *producer, mesh_partitioner_fn *partitioner,
                                     void *user)
{
    int err = check(producer, true, "");

    if (err != 0) return err;
    producer->partitioner_fn = partitioner;
    producer->partitioner_user = user;
    return 0;
}

/* ---- facts ---- */

size_t mesh_producer_queued_bytes(const struct mesh_producer *producer)
{
    return producer->queued_bytes;
}

uint64_t mesh_producer_resent_records(const struct mesh_producer *producer)
{
    return producer->resent_records;
}

size_t mesh_producer_queued_records(const struct mesh_producer *producer)
{
    return producer->queued_records;
}

static bool is_empty(void *user)
{
    struct mesh_producer *producer = user;

    return producer->queued_records == 0;
}

int mesh_producer_flush(struct mesh_producer *producer, int timeout_ms)
{
    struct mesh_client *client = producer->client;
    bool was_flushing = producer->is_flushing; /* a callback may come here in the midst of a flush */
    int err;

    producer->is_flushing = true;
    client_mark(client, &producer->pump);
    err = client_run(client, is_empty, producer, client_deadline(client, timeout_ms));
    producer->is_flushing = was_flushing;
    if (err == MESH_ETIMEDOUT)
        client_fail(client, err, "%zu records are still queued after %d ms", producer->queued_records,
                    timeout_ms);
    return err;
}
