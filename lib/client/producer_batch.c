#include "client/producer_batch.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/error.h"

#include <stdlib.h>

#define IDLE_NEAR 1 /* classes above the wanted one that an idle batch may have: a quarter more memory than asked for */
#define IDLE_FAR  8 /* when memory is short, so that there is no other way */

/* ---- one batch ---- */

/* Room for the run that a record begins with another delivery than the one before it; the records so far
 * become the first run. */
static int reserve_run(struct producer_batch *batch)
{
    uint32_t count = batch->run_count > 0 ? batch->run_count : 1;
    uint32_t capacity = batch->run_capacity > 0 ? batch->run_capacity : 64;
    struct delivery_run *runs;

    if (count < batch->run_capacity) return 0;
    if (capacity == count) capacity *= 2; /* there are fewer runs than records: no overflow */
    runs = realloc(batch->runs, capacity * sizeof(*runs));
    if (runs == NULL) return MESH_ENOMEM;
    batch->runs = runs;
    batch->run_capacity = capacity;
    return 0;
}

static void begin_run(struct producer_batch *batch, uint32_t index, struct delivery delivery)
{
    if (batch->run_count == 0) batch->runs[batch->run_count++] = (struct delivery_run){0, batch->delivery};
    batch->runs[batch->run_count++] = (struct delivery_run){index, delivery};
}

void batch_note_time(struct producer_batch *batch, uint32_t index, int64_t timestamp_ms)
{
    if (index == 0) batch->time_count = 0;
    if (batch->time_count > BATCH_TIMES_MAX || (index > 0 && batch->newest_ms == timestamp_ms)) return;
    if (batch->time_count < BATCH_TIMES_MAX) {
        batch->times[batch->time_count].first = index;
        batch->times[batch->time_count].timestamp_ms = timestamp_ms;
    }
    batch->time_count++;
    batch->newest_ms = timestamp_ms;
}

int batch_add(struct producer_batch *batch, const struct record *record, struct delivery delivery)
{
    uint32_t index = batch_record_count(batch);
    bool begins_run =
        index > 0 && (batch->delivery.fn != delivery.fn || batch->delivery.user != delivery.user);
    int err = begins_run ? reserve_run(batch) : 0;

    if (err == 0) err = record_batch_builder_add(&batch->builder, record);
    if (err != 0) return err;
    if (begins_run) begin_run(batch, index, delivery);
    batch->delivery = delivery;
    batch_note_time(batch, index, record->timestamp_ms);
    return 0;
}

int batch_seal(struct producer_batch *batch, enum record_compression compression)
{
    struct record_batch_producer producer = {-1, -1, -1};

    if (batch->has_sequence)
        producer =
            (struct record_batch_producer){batch->producer_id, batch->producer_epoch, batch->base_sequence};
    return record_batch_builder_finish(&batch->builder, &producer, 0, compression, &batch->compressed,
                                       &batch->encoded);
}

/* The timestamp of the record at `at` (its encoding is our own), and where the next one starts. */
static const uint8_t *read_timestamp(const uint8_t *at, const uint8_t *end, int64_t base_ms,
                                     int64_t *ret_timestamp_ms)
{
    uint64_t size = 0, delta = 0;
    const uint8_t *body = varint_decode(at, end, &size);

    MESH_ASSERT(body != NULL && varint_decode(body + 1, end, &delta) != NULL);
    *ret_timestamp_ms = (int64_t)((uint64_t)base_ms + (uint64_t)zigzag_decode(delta));
    return body + zigzag_decode(size);
}

/* Where a batch's telling has come to. */
struct teller {
    const struct producer_batch *batch;
    struct mesh_receipt *receipt;
    bool is_stamped;         /* by the broker: then the records' own timestamps do not matter */
    const uint8_t *at, *end; /* the next record, when timestamps must be read there; else NULL */
    uint32_t time;           /* the next run of equal timestamps */
};

static struct teller teller_of(const struct producer_batch *batch, struct mesh_receipt *receipt)
{
    const struct buffer *bytes = &batch->builder.bytes;
    struct teller teller = {.batch = batch, .receipt = receipt};

    teller.is_stamped = batch->status == MESH_DELIVERED && batch->result.append_time_ms >= 0;
    if (teller.is_stamped) {
        receipt->timestamp_ms = batch->result.append_time_ms;
    } else if (batch->time_count > BATCH_TIMES_MAX) {
        teller.at = bytes->data + RECORD_BATCH_HEADER_SIZE;
        teller.end = bytes->data + bytes->size;
    }
    return teller;
}

/* Puts the timestamp of record `first` into the receipt, and returns up to where it holds, `end` at most. */
static uint32_t next_time(struct teller *teller, uint32_t first, uint32_t end)
{
    const struct producer_batch *batch = teller->batch;

    if (teller->is_stamped) return end;
    if (teller->at != NULL) {
        teller->at = read_timestamp(teller->at, teller->end, batch->builder.base_timestamp_ms,
                                    &teller->receipt->timestamp_ms);
        return first + 1;
    }
    if (teller->time < batch->time_count && batch->times[teller->time].first == first)
        teller->receipt->timestamp_ms = batch->times[teller->time++].timestamp_ms;
    if (teller->time < batch->time_count && batch->times[teller->time].first < end)
        return batch->times[teller->time].first;
    return end;
}

/* Tells the sender of the records from `first` to before `end`, whose delivery is the same. */
static void tell_run(struct teller *teller, struct delivery delivery, uint32_t first, uint32_t end)
{
    struct mesh_receipt *receipt = teller->receipt;
    bool has_offset = receipt->offset >= 0;

    while (first < end) {
        uint32_t until = next_time(teller, first, end);
        if (delivery.fn == NULL) {
            if (has_offset) receipt->offset += until - first;
            first = until;
        }
        for (; first < until; first++) {
            delivery.fn(delivery.user, receipt);
            receipt->offset += has_offset;
        }
    }
}

void batch_tell(struct producer_batch *batch, struct mesh_receipt *receipt)
{
    struct teller teller = teller_of(batch, receipt);
    uint32_t count = batch_record_count(batch);

    if (batch->run_count == 0) {
        if (batch->delivery.fn != NULL) tell_run(&teller, batch->delivery, 0, count);
        return;
    }
    for (uint32_t i = 0; i < batch->run_count; i++) {
        uint32_t end = i + 1 < batch->run_count ? batch->runs[i + 1].first : count;
        tell_run(&teller, batch->runs[i].delivery, batch->runs[i].first, end);
    }
}

/* ---- pool ---- */

/* Sizes by class: four to each doubling, so that what a batch has too much is a fifth and not a half of it. */
static size_t size_of_class(unsigned class)
{
    return (size_t)(4 + class % 4) << (class / 4 + BATCH_SIZE_LOG2_MIN - 2);
}

/* The largest class that is not larger than size, which is at least BATCH_MEMORY_MIN. */
static unsigned class_of(size_t size)
{
    unsigned log2 = 63u - (unsigned)__builtin_clzll((unsigned long long)(size | BATCH_MEMORY_MIN));
    unsigned class = (log2 - BATCH_SIZE_LOG2_MIN) * 4 + (unsigned)(size >> (log2 - 2) & 3);

    return class < BATCH_CLASS_COUNT ? class : BATCH_CLASS_COUNT - 1;
}

static size_t round_up(size_t size)
{
    unsigned class;

    if (size <= BATCH_MEMORY_MIN) return BATCH_MEMORY_MIN;
    class = class_of(size - 1) + 1;
    return class < BATCH_CLASS_COUNT ? size_of_class(class) : size;
}

void batch_pool_init(struct batch_pool *pool, size_t memory_max)
{
    pool->memory_max = memory_max;
    pool->memory_used = pool->memory_idle = 0;
    for (size_t i = 0; i < BATCH_CLASS_COUNT; i++)
        list_init(&pool->idle[i]);
}

static void destroy(struct batch_pool *pool, struct producer_batch *batch)
{
    pool->memory_used -= batch->memory_bytes;
    record_batch_builder_deinit(&batch->builder);
    buffer_deinit(&batch->compressed);
    free(batch->runs);
    free(batch);
}

static void destroy_idle(struct batch_pool *pool, struct list_node *node)
{
    struct producer_batch *batch = container_of(node, struct producer_batch, queue_node);

    pool->memory_idle -= batch->memory_bytes;
    destroy(pool, batch);
}

void batch_pool_deinit(struct batch_pool *pool)
{
    struct list_node *node;

    for (size_t i = 0; i < BATCH_CLASS_COUNT; i++)
        while ((node = list_pop_front(&pool->idle[i])) != NULL)
            destroy_idle(pool, node);
    MESH_ASSERT(pool->memory_used == 0);
}

/* Frees idle batches, largest first, until `size` more bytes fit under the cap. False when they do not. */
static bool make_room(struct batch_pool *pool, size_t size)
{
    struct list_node *node;

    if (pool->memory_used - pool->memory_idle + size > pool->memory_max) return false;
    for (size_t i = BATCH_CLASS_COUNT; i-- > 0;) {
        while (pool->memory_used + size > pool->memory_max && (node = list_pop_front(&pool->idle[i])) != NULL)
            destroy_idle(pool, node);
    }
    return true;
}

static size_t memory_of(const struct producer_batch *batch)
{
    return sizeof(*batch) + batch->builder.bytes.capacity + batch->compressed.capacity +
           batch->run_capacity * sizeof(struct delivery_run);
}

void batch_pool_recount(struct batch_pool *pool, struct producer_batch *batch)
{
    size_t memory_bytes = memory_of(batch);

    pool->memory_used += memory_bytes - batch->memory_bytes;
    batch->memory_bytes = memory_bytes;
}

/* buffer_reserve() doubles: too much where the capacity is what counts. */
static int grow(struct buffer *bytes, size_t capacity)
{
    uint8_t *data = realloc(bytes->data, capacity);

    if (data == NULL) return MESH_ENOMEM;
    bytes->data = data;
    bytes->capacity = capacity;
    return 0;
}

static int create(struct batch_pool *pool, size_t size, struct producer_batch **ret_batch)
{
    struct producer_batch *batch;

    if (!make_room(pool, sizeof(*batch) + size)) return MESH_EQUEUEFULL;
    batch = calloc(1, sizeof(*batch));
    if (batch == NULL) return MESH_ENOMEM;
    record_batch_builder_init(&batch->builder);
    if (grow(&batch->builder.bytes, size) != 0) {
        free(batch);
        return MESH_ENOMEM;
    }
    list_init(&batch->queue_node);
    list_init(&batch->age_node);
    batch_pool_recount(pool, batch);
    *ret_batch = batch;
    return 0;
}

/* The next one to be taken: of thousands that are in turn on their way, it left the cache long ago. */
static void prefetch_idle(const struct list_node *idle)
{
    const struct producer_batch *next = container_of(idle->next, struct producer_batch, queue_node);

    if (list_is_empty(idle)) return;
    __builtin_prefetch(&next->queue_node, 1);
    __builtin_prefetch(&next->builder, 1);
    __builtin_prefetch(&next->memory_bytes, 1);
}

/* An idle batch of at least this class, and at most `above` classes larger. */
static struct producer_batch *find_idle(struct batch_pool *pool, unsigned class, unsigned above)
{
    for (unsigned i = class; i <= class + above && i < BATCH_CLASS_COUNT; i++) {
        struct list_node *node = list_pop_front(&pool->idle[i]);
        if (node != NULL) {
            struct producer_batch *batch = container_of(node, struct producer_batch, queue_node);
            prefetch_idle(&pool->idle[i]);
            pool->memory_idle -= batch->memory_bytes;
            return batch;
        }
    }
    return NULL;
}

int batch_pool_take(struct batch_pool *pool, size_t size_min, size_t size_hint,
                    struct producer_batch **ret_batch)
{
    size_t wanted = round_up(size_hint > size_min ? size_hint : size_min);
    struct producer_batch *batch = find_idle(pool, class_of(wanted), IDLE_NEAR);
    int err = 0;

    if (batch == NULL) err = create(pool, wanted, &batch);
    if (err == MESH_EQUEUEFULL) { /* short of memory: a smaller one may still do */
        wanted = round_up(size_min);
        batch = find_idle(pool, class_of(wanted), IDLE_FAR);
        err = batch != NULL ? 0 : create(pool, wanted, &batch);
    }
    if (err != 0) return err;
    *ret_batch = batch;
    return 0;
}

int batch_pool_reserve(struct batch_pool *pool, struct producer_batch *batch, size_t extra)
{
    struct buffer *bytes = &batch->builder.bytes;
    size_t used = bytes->size > RECORD_BATCH_HEADER_SIZE ? bytes->size : RECORD_BATCH_HEADER_SIZE;
    size_t wanted, least;

    if (used + extra <= bytes->capacity) return 0;
    least = round_up(used + extra);
    wanted = round_up(used + (extra > used / 2 ? extra : used / 2));
    if (!make_room(pool, wanted - bytes->capacity)) {
        wanted = least;
        if (!make_room(pool, wanted - bytes->capacity)) return MESH_EQUEUEFULL;
    }
    if (grow(bytes, wanted) != 0) return MESH_ENOMEM;
    batch_pool_recount(pool, batch);
    return 0;
}

void batch_pool_give(struct batch_pool *pool, struct producer_batch *batch)
{
    batch_pool_recount(pool, batch);
    record_batch_builder_clear(&batch->builder);
    batch->encoded = slice_of(NULL, 0);
    batch->run_count = 0;
    batch->has_sequence = batch->maybe_stored = false;
    batch->attempts = 0;
    batch->state = BATCH_OPEN;
    batch->delivery = (struct delivery){NULL, NULL};
    batch->partition = NULL;
    if (pool->memory_used > pool->memory_max) { /* grew past the cap by runs or compression */
        destroy(pool, batch);
        return;
    }
    /* The one used last is used next: its memory is still in the cache. */
    list_push_front(&pool->idle[class_of(batch->builder.bytes.capacity)], &batch->queue_node);
    pool->memory_idle += batch->memory_bytes;
}
