/* coordinator/image_pages.c - see image_pages.h. */
#include "replication/coordinator/image_pages.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_PARTITIONS 64

struct partition {
    int32_t leader;
    int32_t leader_epoch;
    uint32_t partition_epoch;
    uint8_t replica_count;
    uint8_t flags;        /* FLAG_... */
    uint16_t replicas_at; /* in the page's pool */
    uint16_t isr, elr, last_known_elr;
};

#define FLAG_QUEUED  1u
#define FLAG_SEALING 2u
#define FLAG_MORE    4u /* MORE_WORDS stand in the pool */
#define FLAG_PINNED  8u

/* In the pool: a partition's node ids, then low and high word of each generation, then what few partitions have: the masks of a move
 * in one word, and the reset epoch. */
#define REPLICA_WORDS 3
#define MORE_WORDS    2
#define POOL_MAX      (PAGE_PARTITIONS * (IMAGE_REPLICAS_MAX * REPLICA_WORDS + MORE_WORDS))

/* The partitions stand at the front, the pool of replicas behind the room for `capacity` partitions. Pool sizes are in words. */
struct page {
    atomic_uint references;
    uint16_t count, capacity;
    uint16_t pool_used, pool_capacity;
    struct partition partitions[];
};

struct image_pages {
    atomic_uint references;
    uint32_t partition_count; /* that there is room for */
    uint32_t page_count;
    struct page *pages[];
};

static int32_t *page_pool(const struct page *page)
{
    return (int32_t *)(void *)&((struct page *)(uintptr_t)page)->partitions[page->capacity];
}

static uint32_t pool_words(uint32_t replica_count, bool has_more)
{
    return replica_count * REPLICA_WORDS + (has_more ? MORE_WORDS : 0);
}

static bool has_more(const struct body_partition *state)
{
    return (state->adding | state->removing | state->reset_epoch) != 0;
}

static uint32_t words_of(const struct body_partition *state)
{
    return pool_words(state->replica_count, has_more(state));
}

static void page_unref(struct page *page)
{
    if (page != NULL && atomic_fetch_sub_explicit(&page->references, 1, memory_order_acq_rel) == 1)
        free(page);
}

struct image_pages *image_pages_ref(const struct image_pages *pages)
{
    struct image_pages *same = (struct image_pages *)(uintptr_t)pages; /* the count is no part of the value */

    atomic_fetch_add_explicit(&same->references, 1, memory_order_relaxed);
    return same;
}

void image_pages_unref(const struct image_pages *pages)
{
    struct image_pages *same = (struct image_pages *)(uintptr_t)pages;

    if (same == NULL || atomic_fetch_sub_explicit(&same->references, 1, memory_order_acq_rel) != 1) return;
    for (uint32_t i = 0; i < same->page_count; i++)
        page_unref(same->pages[i]);
    free(same);
}

int image_pages_extend(const struct image_pages *from, uint32_t count, uint32_t partition_count,
                       struct image_pages **ret_pages)
{
    uint32_t page_count = (partition_count + PAGE_PARTITIONS - 1) / PAGE_PARTITIONS;
    uint32_t shared_count = (count + PAGE_PARTITIONS - 1) / PAGE_PARTITIONS;
    struct image_pages *pages = calloc(1, sizeof(*pages) + page_count * sizeof(pages->pages[0]));

    MESH_ASSERT(count <= partition_count);
    if (pages == NULL) return MESH_ENOMEM;
    atomic_init(&pages->references, 1);
    pages->partition_count = partition_count;
    pages->page_count = page_count;
    for (uint32_t i = 0; i < shared_count; i++) {
        pages->pages[i] = from->pages[i];
        atomic_fetch_add_explicit(&pages->pages[i]->references, 1, memory_order_relaxed);
    }
    *ret_pages = pages;
    return 0;
}

/* A page of its own with room for `capacity` partitions and `pool_capacity` replicas, holding what `from`
 * (may be NULL) holds, but without the replicas of partition number `skip`. */
static struct page *page_new(const struct page *from, uint16_t capacity, uint16_t pool_capacity,
                             uint16_t skip)
{
    struct page *page =
        malloc(sizeof(*page) + capacity * sizeof(page->partitions[0]) + pool_capacity * sizeof(int32_t));
    uint16_t count = from == NULL ? 0 : from->count;

    if (page == NULL) return NULL;
    atomic_init(&page->references, 1);
    page->count = count;
    page->capacity = capacity;
    page->pool_used = 0;
    page->pool_capacity = pool_capacity;
    for (uint16_t i = 0; i < count; i++) {
        page->partitions[i] = from->partitions[i];
        if (i == skip) continue;
        uint32_t words = pool_words(from->partitions[i].replica_count, (from->partitions[i].flags & FLAG_MORE) != 0);
        memcpy(page_pool(page) + page->pool_used, page_pool(from) + from->partitions[i].replicas_at,
               words * sizeof(int32_t));
        page->partitions[i].replicas_at = page->pool_used;
        page->pool_used = (uint16_t)(page->pool_used + words);
    }
    return page;
}

static uint64_t load_generation(const uint32_t *words, uint32_t i)
{
    return words[2 * i] | (uint64_t)words[2 * i + 1] << 32;
}

static const uint32_t *generation_words(const int32_t *replicas, uint32_t replica_count)
{
    return (const uint32_t *)replicas + replica_count;
}

static void store_replicas(int32_t *to, const struct body_partition *state)
{
    uint32_t *words = (uint32_t *)to + state->replica_count;

    memcpy(to, state->replicas, state->replica_count * sizeof(int32_t));
    for (uint32_t i = 0; i < state->replica_count; i++) {
        words[2 * i] = (uint32_t)state->generations[i];
        words[2 * i + 1] = (uint32_t)(state->generations[i] >> 32);
    }
    if (!has_more(state)) return;
    words[2 * state->replica_count] = state->adding | state->removing << 16;
    words[2 * state->replica_count + 1] = state->reset_epoch;
}

/* Whether the page's pool holds the wanted replicas of partition number `at` already. */
static bool page_has_replicas(const struct page *page, uint16_t at, const struct body_partition *state)
{
    const int32_t *replicas;
    const uint32_t *more;

    if (at >= page->count || page->partitions[at].replica_count != state->replica_count) return false;
    if (((page->partitions[at].flags & FLAG_MORE) != 0) != has_more(state)) return false;
    replicas = page_pool(page) + page->partitions[at].replicas_at;
    more = (const uint32_t *)replicas + pool_words(state->replica_count, false);
    if (has_more(state) && (more[0] != (state->adding | state->removing << 16) || more[1] != state->reset_epoch)) return false;
    if (memcmp(replicas, state->replicas, state->replica_count * sizeof(int32_t)) != 0) return false;
    for (uint32_t i = 0; i < state->replica_count; i++) {
        if (load_generation(generation_words(replicas, state->replica_count), i) != state->generations[i]) return false;
    }
    return true;
}

/* A copy of the page (which may be NULL or shared) that has room for `state`. */
static struct page *page_make_room(const struct image_pages *pages, const struct page *page,
                                   const struct body_partition *state, bool has_replicas)
{
    uint32_t first = state->partition / PAGE_PARTITIONS * PAGE_PARTITIONS;
    uint32_t left = pages->partition_count - first;
    uint16_t capacity = (uint16_t)(left < PAGE_PARTITIONS ? left : PAGE_PARTITIONS);
    uint32_t count = page == NULL ? 0 : page->count, pool = page == NULL ? 0 : page->pool_used;

    if (!has_replicas) pool += (capacity > count ? capacity - count : 1) * words_of(state);
    return page_new(page, capacity, (uint16_t)(pool < POOL_MAX ? pool : POOL_MAX),
                    has_replicas ? UINT16_MAX : (uint16_t)(state->partition - first));
}

int image_pages_set(struct image_pages *pages, const struct body_partition *state)
{
    struct page **slot = &pages->pages[state->partition / PAGE_PARTITIONS], *page = *slot;
    uint16_t at = (uint16_t)(state->partition % PAGE_PARTITIONS);
    uint16_t count = page == NULL ? 0 : page->count;
    bool is_own = page != NULL && atomic_load_explicit(&page->references, memory_order_acquire) == 1;
    bool has_replicas = page != NULL && page_has_replicas(page, at, state);
    struct partition *partition;

    MESH_ASSERT(state->partition / PAGE_PARTITIONS < pages->page_count && at <= count);
    if (!is_own || at >= page->capacity ||
        (!has_replicas && page->pool_used + words_of(state) > page->pool_capacity)) {
        struct page *copy = page_make_room(pages, page, state, has_replicas);
        if (copy == NULL) return MESH_ENOMEM;
        page_unref(page);
        *slot = page = copy;
    }
    partition = &page->partitions[at];
    if (!has_replicas) {
        MESH_ASSERT(page->pool_used + words_of(state) <= page->pool_capacity);
        store_replicas(page_pool(page) + page->pool_used, state);
        partition->replicas_at = page->pool_used;
        page->pool_used = (uint16_t)(page->pool_used + words_of(state));
    }
    partition->leader = state->leader;
    partition->leader_epoch = state->leader_epoch;
    partition->partition_epoch = state->partition_epoch;
    partition->replica_count = (uint8_t)state->replica_count;
    partition->flags = (uint8_t)((state->is_queued ? FLAG_QUEUED : 0) | (state->is_sealing ? FLAG_SEALING : 0) |
                                 (state->is_pinned ? FLAG_PINNED : 0) |
                                 (has_more(state) ? FLAG_MORE : 0));
    partition->isr = (uint16_t)state->isr;
    partition->elr = (uint16_t)state->elr;
    partition->last_known_elr = (uint16_t)state->last_known_elr;
    if (at == page->count) page->count++;
    return 0;
}

static void get_more(const struct partition *found, struct image_partition *ret_partition)
{
    const uint32_t *more = ret_partition->generation_words + 2 * found->replica_count;
    bool has = (found->flags & FLAG_MORE) != 0;

    ret_partition->adding = has ? more[0] & UINT16_MAX : 0;
    ret_partition->removing = has ? more[0] >> 16 : 0;
    ret_partition->reset_epoch = has ? more[1] : 0;
}

void image_pages_get(const struct image_pages *pages, uint32_t partition,
                     struct image_partition *ret_partition)
{
    const struct page *page = pages->pages[partition / PAGE_PARTITIONS];
    const struct partition *found = &page->partitions[partition % PAGE_PARTITIONS];

    ret_partition->leader = found->leader;
    ret_partition->leader_epoch = found->leader_epoch;
    ret_partition->partition_epoch = found->partition_epoch;
    ret_partition->replica_count = found->replica_count;
    ret_partition->replicas = page_pool(page) + found->replicas_at;
    ret_partition->isr = found->isr;
    ret_partition->elr = found->elr;
    ret_partition->last_known_elr = found->last_known_elr;
    ret_partition->generation_words = generation_words(ret_partition->replicas, found->replica_count);
    ret_partition->is_queued = (found->flags & FLAG_QUEUED) != 0;
    ret_partition->is_sealing = (found->flags & FLAG_SEALING) != 0;
    ret_partition->is_pinned = (found->flags & FLAG_PINNED) != 0;
    get_more(found, ret_partition);
}

void image_pages_load(const struct image_pages *pages, uint32_t partition, struct body_partition *ret_state)
{
    struct image_partition found;

    image_pages_get(pages, partition, &found);
    ret_state->partition = partition;
    ret_state->leader = found.leader;
    ret_state->leader_epoch = found.leader_epoch;
    ret_state->partition_epoch = found.partition_epoch;
    ret_state->replica_count = found.replica_count;
    memcpy(ret_state->replicas, found.replicas, found.replica_count * sizeof(int32_t));
    for (uint32_t i = 0; i < found.replica_count; i++)
        ret_state->generations[i] = load_generation(found.generation_words, i);
    ret_state->isr = found.isr;
    ret_state->elr = found.elr;
    ret_state->last_known_elr = found.last_known_elr;
    ret_state->adding = found.adding;
    ret_state->removing = found.removing;
    ret_state->is_queued = found.is_queued;
    ret_state->is_sealing = found.is_sealing;
    ret_state->is_pinned = found.is_pinned;
    ret_state->reset_epoch = found.reset_epoch;
    ret_state->fresh = 0;
    ret_state->election.reason = IMAGE_ELECTION_NONE;
}
