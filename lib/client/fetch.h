/* client/fetch.h - one FETCH: what was asked for, and the answer as it streams in.
 *
 * The answer's message names the regions of its attachment, one per partition. Whole batches are usable as
 * soon as they have arrived, while the rest is still on its way. Reading is pure: bytes in, batches out. */
#ifndef CLIENT_FETCH_H
#define CLIENT_FETCH_H

#include "base/list.h"
#include "client/request_table.h"
#include "wire/message.h"
#include "wire/record_batch.h"

struct assignment;
struct fetch_session;

/* What was asked of one partition. */
struct fetch_ask {
    struct assignment *assignment; /* referenced */
    uint64_t generation;           /* of the assignment when asked; moved on: the answer is stale */
};

/* What came for one partition. */
struct fetch_region {
    struct assignment *assignment; /* borrowed from the ask */
    uint64_t generation;
    int error;
    size_t end;          /* in the data, exclusive */
    int64_t next_offset; /* as the broker says */
    int64_t reached;     /* offset after the batches read so far; -1: none yet */
    int32_t reached_epoch; /* of the last of these */
};

struct fetch {
    struct request request;
    struct list_node node;          /* in one of the consumer's lists */
    struct mesh_consumer *consumer; /* NULL: given up; what still comes is thrown away */
    struct fetch_session *session;
    size_t bytes_promised; /* counted against the consumer's limit */

    struct fetch_ask *asks; /* owned array */
    size_t ask_count, ask_capacity;
    struct fetch_region *regions; /* owned array; the same capacity */
    size_t region_count, region_at;

    uint8_t *data; /* owned */
    size_t capacity, size, filled;
    size_t at;      /* bytes of the data already read */
    size_t crc_end; /* `crc` covers the batch at `at` up to here, when that is beyond where its CRC begins */
    uint32_t crc;
    bool is_broken; /* the connection went while the data were arriving */
};

/* Memory for answers that nobody uses now, the last used at the end: it is the one that is still in the cache. All
 * zeros: empty. */
#define FETCH_SPARES_MAX 4
struct fetch_spares {
    struct fetch_spare {
        uint8_t *data; /* owned */
        size_t capacity;
    } blocks[FETCH_SPARES_MAX];
    size_t count;
};
void fetch_spares_deinit(struct fetch_spares *spares);

struct fetch *fetch_new(void);        /* NULL: out of memory */
void fetch_free(struct fetch *fetch); /* accepts NULL; the asks must have been released */

/* Errors: MESH_ENOMEM. */
int fetch_reserve_asks(struct fetch *fetch, size_t count);
/* Memory for `size` bytes, a spare one if there is one. A fetch has it only from its answer until it has been read: then
 * as few blocks as possible are in use, not one for each request in flight. */
int fetch_take_data(struct fetch *fetch, struct fetch_spares *spares, size_t size);
/* Gives the memory back; a block of more than capacity_max is freed. */
void fetch_give_data(struct fetch *fetch, struct fetch_spares *spares, size_t capacity_max);

enum fetch_step {
    FETCH_BATCH,      /* *ret_batch is the next whole batch of the current region */
    FETCH_REGION_END, /* the current region has been read; call fetch_next_region() */
    FETCH_MORE,       /* the rest of the batch has not arrived yet */
    FETCH_DAMAGED,    /* what stands there is no batch, or does not fit its region */
    FETCH_END,        /* no region is left */
};

/* Looks at what comes next. After FETCH_BATCH, fetch_skip() its size. With verify, its CRC is checked: piece by piece, of
 * what has arrived, also when FETCH_MORE is returned. */
enum fetch_step fetch_look(struct fetch *fetch, bool verify, struct slice *ret_batch,
                           struct record_batch_header *ret_header);

static inline struct fetch_region *fetch_region_of(struct fetch *fetch)
{
    return fetch->region_at < fetch->region_count ? &fetch->regions[fetch->region_at] : NULL;
}

static inline void fetch_skip(struct fetch *fetch, size_t size)
{
    fetch->at += size;
}

/* Leaves the current region, whatever is left of it. */
void fetch_next_region(struct fetch *fetch);

#endif
