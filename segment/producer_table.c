#include "segment/producer_table.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/list.h"
#include "base/map.h"

#include <stdlib.h>

#define HEAD_SIZE     4  /* bytes before the first producer of a snapshot */
#define PRODUCER_SIZE 28 /* of a producer's fixed part in a snapshot */
#define BATCH_SIZE    16 /* of one batch of its window */

#define FLAG_HAS_OLDER 1u
#define MISSING_SHIFT  1 /* in the flags: the number of batches that the window lacks */

struct producer_batch {
    uint64_t base_offset;
    int32_t first_sequence, last_sequence;
};

struct producer {
    struct list_node idle; /* the ring: who wrote next; the newest is followed by the oldest */
    int64_t id;
    int64_t last_ms;             /* wall clock of the last record */
    uint64_t epoch_start_offset; /* of the batch that brought the present epoch */
    int16_t epoch;               /* -1: not known, after a truncation */
    bool has_older;  /* something of this producer was pushed out of the window, by batches or by an epoch */
    uint8_t missing; /* batches at the old end of the window that the log holds (or may hold) and the window
                        lacks */
    uint8_t batch_count;
    uint8_t capacity; /* of batches: as many as a snapshot had, or, as soon as it writes, PRODUCER_WINDOW_BATCHES */
    struct producer_batch batches[]; /* oldest first */
};

#define LISTED_MAX 4 /* producers that are found without a map: most logs have one */

/* Where there are more of them. */
struct place {
    struct map_node node; /* in table.by_id */
    struct producer *producer;
};

/* ---- the set of producers ---- */

static uint64_t hash_id(int64_t id)
{
    return map_hash_bytes(&id, sizeof(id));
}

static size_t size_of(unsigned capacity)
{
    return sizeof(struct producer) + capacity * sizeof(struct producer_batch);
}

/* Who wrote next; NULL: nobody. */
static struct producer *next_idle(const struct producer_table *table, const struct producer *producer)
{
    struct producer *next = container_of(producer->idle.next, struct producer, idle);

    return next == table->oldest ? NULL : next;
}

static struct producer *find_listed(const struct producer_table *table, int64_t id)
{
    for (struct producer *producer = table->oldest; producer != NULL; producer = next_idle(table, producer))
        if (producer->id == id) return producer;
    return NULL;
}

static struct place *find_place(const struct map *by_id, int64_t id)
{
    for (struct map_node *node = map_find(by_id, hash_id(id)); node != NULL; node = map_find_next(node)) {
        struct place *place = container_of(node, struct place, node);
        if (place->producer->id == id) return place;
    }
    return NULL;
}

static struct producer *find(const struct producer_table *table, int64_t id)
{
    const struct place *place;

    if (table->by_id == NULL) return find_listed(table, id);
    place = find_place(table->by_id, id);
    return place == NULL ? NULL : place->producer;
}

void producer_table_each(const struct producer_table *table, producer_each_fn *each, void *user)
{
    for (const struct producer *producer = table->oldest; producer != NULL; producer = next_idle(table, producer)) {
        const struct producer_facts facts = {
            .id = producer->id,
            .last_ms = producer->last_ms,
            .last_sequence = producer->batch_count == 0 ? -1 : producer->batches[producer->batch_count - 1].last_sequence,
            .epoch = producer->epoch,
        };

        each(user, &facts);
    }
}

static void ring_push(struct producer_table *table, struct producer *producer)
{
    if (table->oldest == NULL) {
        list_init(&producer->idle);
        table->oldest = producer;
    } else {
        list_insert_before(&table->oldest->idle, &producer->idle);
    }
}

static void ring_remove(struct producer_table *table, struct producer *producer)
{
    if (table->oldest == producer) table->oldest = next_idle(table, producer);
    list_remove(&producer->idle);
}

static int add_place(struct map *by_id, struct producer *producer)
{
    struct place *place = malloc(sizeof(*place));

    if (place == NULL) return MESH_ENOMEM;
    place->producer = producer;
    if (map_insert(by_id, &place->node, hash_id(producer->id)) == 0) return 0;
    free(place);
    return MESH_ENOMEM;
}

static void drop_place(struct map *by_id, struct place *place)
{
    map_remove(by_id, &place->node);
    free(place);
}

static void drop_map(struct producer_table *table)
{
    struct map_node *node;

    while ((node = map_iterate(table->by_id, NULL)) != NULL)
        drop_place(table->by_id, container_of(node, struct place, node));
    map_deinit(table->by_id);
    free(table->by_id);
    table->by_id = NULL;
}

/* Takes a producer out, whole. Without any there is no map either. */
static struct producer *take(struct producer_table *table, struct producer *producer)
{
    if (table->by_id != NULL) drop_place(table->by_id, find_place(table->by_id, producer->id));
    ring_remove(table, producer);
    if (table->oldest == NULL && table->by_id != NULL) drop_map(table);
    return producer;
}

static void forget(struct producer_table *table, struct producer *producer)
{
    free(take(table, producer));
}

void producer_table_deinit(struct producer_table *table)
{
    while (table->oldest != NULL)
        forget(table, table->oldest);
}

size_t producer_table_count(const struct producer_table *table)
{
    size_t count = 0;

    if (table->by_id != NULL) return table->by_id->count;
    for (const struct producer *producer = table->oldest; producer != NULL; producer = next_idle(table, producer))
        count++;
    return count;
}

/* All of them, or none: MESH_ENOMEM. */
static int make_map(struct producer_table *table)
{
    table->by_id = calloc(1, sizeof(*table->by_id));
    if (table->by_id == NULL) return MESH_ENOMEM;
    for (struct producer *producer = table->oldest; producer != NULL; producer = next_idle(table, producer)) {
        if (add_place(table->by_id, producer) == 0) continue;
        drop_map(table);
        return MESH_ENOMEM;
    }
    return 0;
}

static int put(struct producer_table *table, struct producer *producer)
{
    if (table->by_id == NULL && producer_table_count(table) >= LISTED_MAX && make_map(table) != 0) return MESH_ENOMEM;
    if (table->by_id != NULL && add_place(table->by_id, producer) != 0) return MESH_ENOMEM;
    ring_push(table, producer);
    return 0;
}

/* Adds a producer with an empty window, as the most recent one. At the limit the one that wrote longest ago goes for it. */
static int add(struct producer_table *table, int64_t id, unsigned capacity, struct producer **ret_producer)
{
    struct producer *producer = calloc(1, size_of(capacity));

    if (producer == NULL) return MESH_ENOMEM;
    producer->id = id;
    producer->capacity = (uint8_t)capacity;
    if (put(table, producer) != 0) {
        free(producer);
        return MESH_ENOMEM;
    }
    if (producer_table_count(table) > PRODUCER_TABLE_COUNT_MAX) forget(table, table->oldest);
    *ret_producer = producer;
    return 0;
}

/* Puts `producer`, which is in no table, into the place of `old`, which has the same id, and is freed. */
static void replace(struct producer_table *table, struct producer *old, struct producer *producer)
{
    list_insert_before(&old->idle, &producer->idle);
    list_remove(&old->idle);
    if (table->oldest == old) table->oldest = producer;
    if (table->by_id != NULL) find_place(table->by_id, old->id)->producer = producer;
    free(old);
}

/* Makes the window as large as it ever gets: once, when a producer writes again that a snapshot has brought. */
static int widen(struct producer_table *table, struct producer **io_producer)
{
    struct producer *old = *io_producer, *wide = malloc(size_of(PRODUCER_WINDOW_BATCHES));

    if (wide == NULL) return MESH_ENOMEM;
    memcpy(wide, old, size_of(old->batch_count));
    wide->capacity = PRODUCER_WINDOW_BATCHES;
    replace(table, old, wide);
    *io_producer = wide;
    return 0;
}

size_t producer_table_memory_bytes(const struct producer_table *table)
{
    size_t size = 0;

    if (table->by_id != NULL)
        size = sizeof(*table->by_id) + table->by_id->bucket_count * sizeof(struct map_node *) + table->by_id->count * sizeof(struct place);

    for (const struct producer *producer = table->oldest; producer != NULL; producer = next_idle(table, producer))
        size += size_of(producer->capacity);
    return size;
}

/* ---- the rules ---- */

/* The sequence `distance` records after `sequence`; 2^31-1 is followed by 0. */
static int32_t sequence_after(int32_t sequence, int32_t distance)
{
    return (int32_t)(((uint32_t)sequence + (uint32_t)distance) & INT32_MAX);
}

static const struct producer_batch *newest(const struct producer *producer)
{
    return producer->batch_count == 0 ? NULL : &producer->batches[producer->batch_count - 1];
}

int producer_table_check(const struct producer_table *table, const struct record_batch_header *header,
                         uint64_t *ret_base_offset)
{
    const struct producer *producer;
    int32_t first = header->base_sequence, last, expected = 0;

    if (header->producer_id < 0) return 0;
    if (first < 0) return MESH_EOUT_OF_ORDER_SEQUENCE;
    producer = find(table, header->producer_id);
    if (producer == NULL) return 0;
    if (header->producer_epoch < producer->epoch) return MESH_EPRODUCER_FENCED;
    if (producer->batch_count == 0 && producer->missing > 0) return 0; /* as good as unknown */
    if (header->producer_epoch > producer->epoch) return first == 0 ? 0 : MESH_EOUT_OF_ORDER_SEQUENCE;

    last = sequence_after(first, header->last_offset_delta);
    for (unsigned i = 0; i < producer->batch_count; i++) {
        const struct producer_batch *batch = &producer->batches[i];
        if (batch->first_sequence != first || batch->last_sequence != last) continue;
        *ret_base_offset = batch->base_offset;
        return MESH_EDUPLICATE_SEQUENCE;
    }
    if (newest(producer) != NULL) expected = sequence_after(newest(producer)->last_sequence, 1);
    return first == expected ? 0 : MESH_EOUT_OF_ORDER_SEQUENCE;
}

static void push_batch(struct producer *producer, const struct record_batch_header *header)
{
    if (producer->batch_count == PRODUCER_WINDOW_BATCHES) {
        memmove(&producer->batches[0], &producer->batches[1],
                (PRODUCER_WINDOW_BATCHES - 1) * sizeof(producer->batches[0]));
        producer->batch_count--;
        producer->has_older = true;
    }
    if (producer->missing > 0) producer->missing--;
    producer->batches[producer->batch_count++] = (struct producer_batch){
        .base_offset = (uint64_t)header->base_offset,
        .first_sequence = header->base_sequence,
        .last_sequence = sequence_after(header->base_sequence, header->last_offset_delta),
    };
}

/* True when the batch is one that the table has taken in already, as when recovery replays an overlap. */
static bool is_recorded(const struct producer *producer, uint64_t base_offset)
{
    const struct producer_batch *batch = newest(producer);

    return base_offset <= producer->epoch_start_offset ||
           (batch != NULL && base_offset <= batch->base_offset);
}

int producer_table_record(struct producer_table *table, const struct record_batch_header *header,
                          int64_t now_wall_ms)
{
    bool has_place = !(header->attributes & RECORD_ATTRIBUTE_CONTROL) && header->base_sequence >= 0;
    struct producer *producer;
    bool is_new = false;

    if (header->producer_id < 0 || header->producer_epoch < 0) return 0;
    producer = find(table, header->producer_id);
    if (producer == NULL) {
        int err = add(table, header->producer_id, PRODUCER_WINDOW_BATCHES, &producer);
        if (err != 0) return err;
        is_new = true;
    } else if (header->producer_epoch < producer->epoch ||
               is_recorded(producer, (uint64_t)header->base_offset)) {
        return 0;
    }
    if (has_place && producer->batch_count == producer->capacity && producer->capacity < PRODUCER_WINDOW_BATCHES &&
        widen(table, &producer) != 0)
        return MESH_ENOMEM;
    if (is_new || header->producer_epoch > producer->epoch) {
        producer->has_older = !is_new;
        producer->batch_count = producer->missing = 0;
        producer->epoch = header->producer_epoch;
        producer->epoch_start_offset = (uint64_t)header->base_offset;
    }
    if (has_place) push_batch(producer, header);
    producer->last_ms = now_wall_ms;
    ring_remove(table, producer);
    ring_push(table, producer);
    return 0;
}

static void truncate_producer(struct producer *producer, uint64_t offset)
{
    while (producer->batch_count > 0 && newest(producer)->base_offset >= offset) {
        producer->batch_count--;
        if (producer->has_older && producer->missing < PRODUCER_WINDOW_BATCHES) producer->missing++;
    }
    if (producer->epoch_start_offset < offset) return;
    /* The epoch began behind the cut: an older one is the present one again, and nothing is known of it. */
    producer->epoch = -1;
    producer->epoch_start_offset = 0;
    producer->missing = producer->has_older ? PRODUCER_WINDOW_BATCHES : 0;
}

/* True when the log holds nothing of the producer, and never did. */
static bool is_blank(const struct producer *producer)
{
    return producer->epoch < 0 && producer->missing == 0;
}

bool producer_table_truncate(struct producer_table *table, uint64_t offset)
{
    for (struct producer *producer = table->oldest, *next; producer != NULL; producer = next) {
        next = next_idle(table, producer);
        truncate_producer(producer, offset);
        if (is_blank(producer)) forget(table, producer);
    }
    return producer_table_is_exact(table);
}

bool producer_table_is_exact(const struct producer_table *table)
{
    for (const struct producer *producer = table->oldest; producer != NULL; producer = next_idle(table, producer))
        if (producer->missing > 0) return false;
    return true;
}

void producer_table_mend(struct producer_table *table, struct producer_table *scanned)
{
    for (struct producer *producer = table->oldest, *next; producer != NULL; producer = next) {
        struct producer *found = find(scanned, producer->id);

        next = next_idle(table, producer);
        if (producer->missing == 0) continue;
        if (found == NULL || found->epoch < producer->epoch) {
            forget(table, producer);
            continue;
        }
        take(scanned, found);
        found->last_ms = producer->last_ms;
        found->has_older = true; /* as far as anybody has looked */
        found->missing = 0;
        replace(table, producer, found);
    }
    producer_table_deinit(scanned);
}

void producer_table_expire(struct producer_table *table, int64_t now_wall_ms, int64_t expiry_ms)
{
    struct producer *producer;

    while ((producer = table->oldest) != NULL && producer->last_ms < now_wall_ms &&
           (uint64_t)now_wall_ms - (uint64_t)producer->last_ms > (uint64_t)expiry_ms)
        forget(table, producer);
}

int64_t producer_table_oldest_ms(const struct producer_table *table)
{
    return table->oldest == NULL ? INT64_MAX : table->oldest->last_ms;
}

/* ---- the snapshot ---- */

static uint8_t *encode_producer(uint8_t *to, const struct producer *producer)
{
    le_store64(to, (uint64_t)producer->id);
    le_store64(to + 8, (uint64_t)producer->last_ms);
    le_store64(to + 16, producer->epoch_start_offset);
    le_store16(to + 24, (uint16_t)producer->epoch);
    to[26] = (uint8_t)((producer->has_older ? FLAG_HAS_OLDER : 0) | producer->missing << MISSING_SHIFT);
    to[27] = producer->batch_count;
    to += PRODUCER_SIZE;
    for (unsigned i = 0; i < producer->batch_count; i++, to += BATCH_SIZE) {
        le_store64(to, producer->batches[i].base_offset);
        le_store32(to + 8, (uint32_t)producer->batches[i].first_sequence);
        le_store32(to + 12, (uint32_t)producer->batches[i].last_sequence);
    }
    return to;
}

int producer_table_encode(const struct producer_table *table, struct buffer *to)
{
    size_t count = producer_table_count(table);
    uint8_t *at;
    int err = buffer_reserve(to, HEAD_SIZE + count * (PRODUCER_SIZE + PRODUCER_WINDOW_BATCHES * BATCH_SIZE));

    if (err != 0) return err;
    at = to->data + to->size;
    le_store32(at, (uint32_t)count);
    at += HEAD_SIZE;
    for (const struct producer *producer = table->oldest; producer != NULL; producer = next_idle(table, producer))
        at = encode_producer(at, producer);
    to->size = (size_t)(at - to->data);
    return 0;
}

static int decode_batch(const uint8_t *from, struct producer *producer)
{
    struct producer_batch batch = {
        .base_offset = le_load64(from),
        .first_sequence = (int32_t)le_load32(from + 8),
        .last_sequence = (int32_t)le_load32(from + 12),
    };
    const struct producer_batch *previous = newest(producer);

    if (batch.first_sequence < 0 || batch.last_sequence < 0) return MESH_ECORRUPT;
    if (batch.base_offset < producer->epoch_start_offset) return MESH_ECORRUPT;
    if (previous != NULL && batch.base_offset <= previous->base_offset) return MESH_ECORRUPT;
    producer->batches[producer->batch_count++] = batch;
    return 0;
}

/* The fixed part of a producer, judged. *ret_producer has no list and no map. */
static int decode_head(const uint8_t *from, struct producer *ret_producer)
{
    struct producer head = {
        .id = (int64_t)le_load64(from),
        .last_ms = (int64_t)le_load64(from + 8),
        .epoch_start_offset = le_load64(from + 16),
        .epoch = (int16_t)le_load16(from + 24),
        .has_older = from[26] & FLAG_HAS_OLDER,
        .missing = (uint8_t)(from[26] >> MISSING_SHIFT),
    };

    if (head.id < 0 || head.epoch < -1 || head.missing > PRODUCER_WINDOW_BATCHES ||
        from[27] > PRODUCER_WINDOW_BATCHES)
        return MESH_ECORRUPT;
    if (head.missing > 0 && !head.has_older) return MESH_ECORRUPT;
    if (head.epoch == -1 && (head.missing == 0 || from[27] > 0)) return MESH_ECORRUPT;
    *ret_producer = head;
    return 0;
}

static int decode_producer(struct producer_table *table, struct slice *bytes)
{
    const uint8_t *from = bytes->data;
    struct producer head, *producer;
    unsigned batch_count;
    int err;

    if (bytes->size < PRODUCER_SIZE || decode_head(from, &head) != 0) return MESH_ECORRUPT;
    batch_count = from[27];
    if (bytes->size < PRODUCER_SIZE + batch_count * BATCH_SIZE || find(table, head.id) != NULL)
        return MESH_ECORRUPT;
    err = add(table, head.id, batch_count, &producer);
    if (err != 0) return err;
    producer->last_ms = head.last_ms;
    producer->epoch_start_offset = head.epoch_start_offset;
    producer->epoch = head.epoch;
    producer->has_older = head.has_older;
    producer->missing = head.missing;
    for (unsigned i = 0; i < batch_count && err == 0; i++)
        err = decode_batch(from + PRODUCER_SIZE + i * BATCH_SIZE, producer);
    *bytes = slice_of(from + PRODUCER_SIZE + batch_count * BATCH_SIZE,
                      bytes->size - PRODUCER_SIZE - batch_count * BATCH_SIZE);
    return err;
}

int producer_table_decode(struct producer_table *table, struct slice *bytes)
{
    struct producer_table decoded = PRODUCER_TABLE_INIT;
    struct slice rest;
    uint32_t count;
    int err = 0;

    if (bytes->size < HEAD_SIZE) return MESH_ECORRUPT;
    count = le_load32(bytes->data);
    rest = slice_of(bytes->data + HEAD_SIZE, bytes->size - HEAD_SIZE);
    if (count > PRODUCER_TABLE_COUNT_MAX || rest.size / PRODUCER_SIZE < count) return MESH_ECORRUPT;
    for (uint32_t i = 0; i < count && err == 0; i++)
        err = decode_producer(&decoded, &rest);
    if (err != 0) {
        producer_table_deinit(&decoded);
        return err;
    }
    producer_table_deinit(table);
    *table = decoded;
    *bytes = rest;
    return 0;
}
