/* Records in: partition, timestamp, the one copy into the batch, and a turn of the loop every now and then.
 */
#include "client/producer.h"

#include "base/assert.h"
#include "base/clock.h"
#include "client/partitioner.h"

#include <stdlib.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#define ACCEPTING_LOOKS     64 /* partitions that a record without a key tries, when others do not accept */
#define HEADERS_ON_STACK    16
#define STICKY_RECORD_EXTRA 16    /* bytes that a record takes beside its value, about */
#define CLOCK_REUSE_TICKS   32768 /* about 10 us: a clock read costs a third of a record */

/* ---- timestamps ---- */

/* The wall clock, at most some ten microseconds old. */
static int64_t record_time_ms(struct mesh_producer *producer)
{
#if defined(__x86_64__)
    uint64_t tsc = __rdtsc();

    if (tsc - producer->accept_tsc < CLOCK_REUSE_TICKS) return (int64_t)producer->accept_ms;
    producer->accept_tsc = tsc;
#endif
    producer->accept_ms = (uint64_t)clock_wall_ms();
    return (int64_t)producer->accept_ms;
}

/* ---- partitions ---- */

/* The first one at or after `from` that takes records now; `from` itself when none near it does. */
static int32_t find_accepting(const struct mesh_producer *producer, int32_t from)
{
    int32_t count = (int32_t)producer->topic->partition_count;

    for (int32_t i = 0; i < count && i < ACCEPTING_LOOKS; i++)
        if (producer_accepts(producer, (uint32_t)((from + i) % count))) return (from + i) % count;
    return from;
}

/* Another partition for records without a key. When none accepts, records wait in one all the same, a batch in each. */
static void choose_sticky(struct mesh_producer *producer)
{
    int32_t count = (int32_t)producer->topic->partition_count;
    int32_t drawn = (int32_t)random_below(&producer->client->random, (uint64_t)count);

    if (drawn == producer->sticky) drawn = (drawn + 1) % count;
    producer->sticky = find_accepting(producer, drawn);
    producer->sticky_bytes = 0;
}

static inline bool sticky_holds(const struct mesh_producer *producer)
{
    return producer->sticky >= 0 && (uint32_t)producer->sticky < producer->topic->partition_count &&
           producer->sticky_bytes < producer->batch_bytes_max;
}

/* Apart from the rest, which most records do not need: see choose_partition(). */
__attribute__((noinline)) static int ask_partitioner(struct mesh_producer *producer,
                                                     const struct mesh_record *record, int32_t *ret_partition)
{
    int32_t count = (int32_t)producer->topic->partition_count;
    struct slice key = slice_of(record->key, record->key_size);

    if (record->partition >= 0) {
        *ret_partition = record->partition;
    } else if (producer->partitioner_fn != NULL) {
        *ret_partition = producer->partitioner_fn(producer->partitioner_user, record, count);
    } else if (producer->partitioner == MESH_PARTITIONER_ROUND_ROBIN) {
        producer->sticky = find_accepting(producer, (producer->sticky + 1) % count);
        *ret_partition = producer->sticky;
    } else if (record->key != NULL) {
        *ret_partition = partitioner_of_key(key, count);
    } else if (producer->partitioner == MESH_PARTITIONER_KEY_HASH) {
        return client_fail(producer->client, MESH_EINVAL,
                           "the partitioner needs a key, and the record has none");
    } else {
        if (!sticky_holds(producer)) choose_sticky(producer);
        producer->sticky_bytes += record->value_size + STICKY_RECORD_EXTRA;
        *ret_partition = producer->sticky;
    }
    if (*ret_partition < 0 || *ret_partition >= count)
        return client_fail(producer->client, MESH_EINVAL, "there is no partition %d: topic \"%s\" has %d",
                           *ret_partition, producer->topic->name, count);
    return 0;
}

/* The partition of a record without a key is that of the one before it, until enough have gone there. */
static inline int choose_partition(struct mesh_producer *producer, const struct mesh_record *record,
                                   int32_t *ret_partition)
{
    bool is_sticky = record->partition < 0 && record->key == NULL && producer->partitioner_fn == NULL &&
                     producer->partitioner == MESH_PARTITIONER_DEFAULT;

    if (!is_sticky || !sticky_holds(producer)) return ask_partitioner(producer, record, ret_partition);
    producer->sticky_bytes += record->value_size + STICKY_RECORD_EXTRA;
    *ret_partition = producer->sticky;
    return 0;
}

/* ---- into the batch ---- */

/* Whether enough waits: more would be sent no sooner, and by the time it is it has left the cache. Only where answers are on their way, which make
 * room; what cannot be sent at all is bounded by memory alone. */
static bool is_backed_up(const struct mesh_producer *producer, const struct producer_partition *partition)
{
    const struct delivery_queue *queue = &partition->queue;

    return queue->waiting >= PRODUCER_BACKLOG_BATCHES && queue->in_flight > 0 &&
           queue->in_flight + queue->resolved >= queue->in_flight_max && !producer->is_memory_set;
}

/* The partition's open batch with room for `size` more bytes, made if need be. */
static int open_batch(struct mesh_producer *producer, struct producer_partition *partition, size_t size)
{
    struct producer_batch *batch = partition->open;
    int err;

    if (batch != NULL) {
        size_t end = batch->builder.bytes.size + size;
        if (end <= producer_batch_limit(producer) &&
            (end <= batch->builder.bytes.capacity || batch_pool_reserve(&producer->pool, batch, size) == 0))
            return 0;
        producer_close_batch(partition);
        if (partition->index == (uint32_t)producer->sticky &&
            producer->partitioner == MESH_PARTITIONER_DEFAULT)
            producer->sticky_bytes = producer->batch_bytes_max; /* full: on to another partition */
    }
    if (is_backed_up(producer, partition)) return MESH_EAGAIN;
    err = batch_pool_take(&producer->pool, RECORD_BATCH_HEADER_SIZE + size, partition->size_hint, &batch);
    if (err != 0) return err;
    batch->partition = partition;
    batch->state = BATCH_OPEN;
    batch->created_ms = clock_monotonic_ms();
    list_push_back(&producer->by_age, &batch->age_node);
    partition->open = batch; /* into its list once it holds a record: see accept_record() */
    producer->open_count++;
    return 0;
}

/* A batch that got no record after all. */
static void drop_empty(struct mesh_producer *producer, struct producer_partition *partition)
{
    struct producer_batch *batch = partition->open;

    if (batch == NULL || batch_record_count(batch) > 0) return;
    partition->open = NULL;
    producer->open_count--;
    list_remove(&batch->age_node);
    batch_pool_give(&producer->pool, batch);
}

/* NULL: nothing has been sent to it yet. */
static inline struct producer_partition *partition_at(const struct mesh_producer *producer, int32_t index)
{
    return (uint32_t)index < producer->partition_count ? producer->partitions[index] : NULL;
}

static void count_record(struct mesh_producer *producer, size_t size)
{
    producer->queued_bytes += size;
    producer->queued_records++;
    producer->bytes_since_turn += size;
}

static int accept_record(struct mesh_producer *producer, const struct record *record, int32_t index,
                         struct delivery delivery)
{
    struct producer_partition *partition = partition_at(producer, index);
    struct producer_batch *batch;
    size_t before;
    int err = partition == NULL ? producer_partition_get(producer, (uint32_t)index, &partition) : 0;

    if (err == 0) err = open_batch(producer, partition, record_batch_record_size_max(record));
    if (err != 0) return err;
    batch = partition->open;
    before = batch->builder.bytes.size;
    err = batch_add(batch, record, delivery);
    if (err == 0 && batch->builder.bytes.size > producer->batch_bytes_max) {
        MESH_ASSERT(batch_record_count(batch) == 1); /* others were measured before */
        record_batch_builder_clear(&batch->builder);
        err = MESH_ETOOLARGE;
    }
    if (err != 0) {
        drop_empty(producer, partition);
        return err;
    }
    if (batch->run_count > 0) batch_pool_recount(&producer->pool, batch);
    count_record(producer, batch->builder.bytes.size - before);
    if (batch_record_count(batch) >= producer->batch_records_max) {
        producer_close_batch(partition);
        producer->sticky_bytes = producer->batch_bytes_max;
    } else if (before == 0) {
        producer_partition_update(partition);
    }
    return 0;
}

/* The usual record goes into the batch that is open, which does not become full by it. False: it is not such
 * a one, accept_record() has decisions to take. */
__attribute__((always_inline)) static inline bool accept_small(struct mesh_producer *producer,
                                                               const struct mesh_record *record,
                                                               int64_t timestamp_ms, int32_t index,
                                                               struct delivery delivery)
{
    struct producer_partition *partition = partition_at(producer, index);
    struct producer_batch *batch = partition != NULL ? partition->open : NULL;
    size_t before, size = record->key_size + record->value_size;

    if (batch == NULL || record->header_count > 0 || size > RECORD_SMALL_SIZE) return false;
    before = batch->builder.bytes.size;
    if (before + size + RECORD_SMALL_EXTRA > producer_batch_limit(producer) ||
        batch_record_count(batch) + 1 >= producer->batch_records_max ||
        !batch_add_small(batch, record, timestamp_ms, delivery))
        return false;
    count_record(producer, batch->builder.bytes.size - before);
    return true;
}

/* ---- the public call ---- */

static int convert_headers(struct mesh_producer *producer, const struct mesh_record *record,
                           struct record_header *to)
{
    for (size_t i = 0; i < record->header_count; i++) {
        const struct mesh_header *header = &record->headers[i];
        if (header->key == NULL) return client_fail(producer->client, MESH_EINVAL, "a header needs a key");
        to[i] =
            (struct record_header){slice_of_string(header->key), slice_of(header->value, header->value_size),
                                   header->value == NULL && header->value_size == 0};
    }
    return 0;
}

static int accept_with_headers(struct mesh_producer *producer, const struct mesh_record *from,
                               struct record *record, int32_t partition, struct delivery delivery)
{
    struct record_header on_stack[HEADERS_ON_STACK];
    struct record_header *headers = on_stack;
    int err;

    if (from->header_count > HEADERS_ON_STACK) {
        if (from->header_count > UINT32_MAX / 2) return MESH_ETOOLARGE;
        headers = calloc(from->header_count, sizeof(*headers));
        if (headers == NULL) return MESH_ENOMEM;
    }
    err = convert_headers(producer, from, headers);
    record->header_count = (uint32_t)from->header_count;
    record->headers = headers;
    if (err == 0) err = accept_record(producer, record, partition, delivery);
    if (headers != on_stack) free(headers);
    return err;
}

/* Apart, so that the usual record does not pay for this one's stack. */
__attribute__((noinline)) static int accept_any(struct mesh_producer *producer,
                                                const struct mesh_record *from, int64_t timestamp_ms,
                                                int32_t partition, struct delivery delivery)
{
    struct record record = {
        .timestamp_ms = timestamp_ms,
        .key = slice_of(from->key, from->key_size),
        .value = slice_of(from->value, from->value_size),
        .key_is_null = from->key == NULL,
        .value_is_null = from->value == NULL,
    };

    if (from->header_count > 0) return accept_with_headers(producer, from, &record, partition, delivery);
    return accept_record(producer, &record, partition, delivery);
}

static int explain(struct mesh_producer *producer, int err)
{
    switch (err) {
    case MESH_EQUEUEFULL:
        return client_fail(
            producer->client, err,
            "%zu records wait for topic \"%s\" and the producer's memory (%zu bytes) is used up",
            producer->queued_records, producer->topic->name, producer->pool.memory_max);
    case MESH_EAGAIN:
        return client_fail(producer->client, MESH_EQUEUEFULL, "%zu records wait for topic \"%s\", more than %d batches of them behind a partition's full window",
                           producer->queued_records, producer->topic->name, PRODUCER_BACKLOG_BATCHES);
    case MESH_ETOOLARGE:
        return client_fail(producer->client, err, "the record does not fit a batch of %zu bytes",
                           producer->batch_bytes_max);
    case MESH_ENOMEM: return client_fail(producer->client, err, "%s", mesh_strerror(err));
    default: return err; /* told where it was found */
    }
}

__attribute__((always_inline)) static inline int
send_routed(struct mesh_producer *producer, const struct mesh_record *record, struct delivery delivery)
{
    int64_t timestamp_ms = record->timestamp_ms != 0 ? record->timestamp_ms : record_time_ms(producer);
    int32_t partition = -1;
    int err = choose_partition(producer, record, &partition);

    if (err != 0) return err;
    if (accept_small(producer, record, timestamp_ms, partition, delivery)) return 0;
    return accept_any(producer, record, timestamp_ms, partition, delivery);
}

int producer_send_routed(struct mesh_producer *producer, const struct mesh_record *record,
                         struct delivery delivery)
{
    return send_routed(producer, record, delivery);
}

int mesh_producer_send(struct mesh_producer *producer, const struct mesh_record *record,
                       mesh_delivery_fn *delivery_fn, void *user)
{
    const struct delivery delivery = {delivery_fn, user};
    struct mesh_client *client = producer->client;
    int err;

    if (producer->is_closing) return client_fail(client, MESH_EINVAL, "the producer is being freed");
    if ((record->value == NULL && record->value_size > 0) || (record->key == NULL && record->key_size > 0) ||
        (record->headers == NULL && record->header_count > 0))
        return client_fail(client, MESH_EINVAL,
                           "a record's key, value or headers are NULL, but their size is not 0");
    producer->has_started = true;
    if (producer->topic->is_known && list_is_empty(&producer->pending))
        err = send_routed(producer, record, delivery);
    else
        err = producer_pending_add(producer, record, delivery);
    if (list_is_empty(&producer->pump.due_node)) client_mark(client, &producer->pump);
    if (err != 0) return explain(producer, err);
    if (producer->bytes_since_turn >= PRODUCER_TURN_BYTES && !client->is_dispatching)
        client_step(client, 0); /* its errors are told by the next call that waits */
    return 0;
}

/* ---- one record and its fate ---- */

struct one_record {
    bool is_told;
    struct mesh_receipt receipt;
};

static void one_told(void *user, const struct mesh_receipt *receipt)
{
    struct one_record *one = user;

    one->receipt = *receipt;
    one->is_told = true;
}

static bool is_told(void *user)
{
    return ((struct one_record *)user)->is_told;
}

int mesh_produce(struct mesh_producer *producer, const struct mesh_record *record,
                 struct mesh_receipt *ret_receipt)
{
    struct mesh_client *client = producer->client;
    struct one_record one = {.is_told = false};
    bool was_flushing = producer->is_flushing;
    int err;

    if (client->is_dispatching)
        return client_fail(client, MESH_EINVAL, "a callback may not call a function that waits");
    err = mesh_producer_send(producer, record, one_told, &one);
    if (err != 0) return err;
    producer->is_flushing = true;
    /* The delivery timeout ends it in any case, so that `one` stays ours until it is told. */
    do
        err = client_run(client, is_told, &one, TIMER_NEVER);
    while (err != 0 && !one.is_told);
    producer->is_flushing = was_flushing;
    if (ret_receipt != NULL) *ret_receipt = one.receipt;
    if (one.receipt.error != 0)
        client_fail(client, one.receipt.error, "the record was not acknowledged: %s",
                    mesh_strerror(one.receipt.error));
    return one.receipt.error;
}
