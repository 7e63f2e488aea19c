#include "replication/spread/ends.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/list.h"
#include "base/map.h"

#include <stdlib.h>

#define PAGE_PARTITIONS 16

struct entry {
    struct list_node told; /* own ones, by `change`; else in no list */
    uint64_t high_watermark, log_start;
    uint64_t heard_ms;
    uint64_t change; /* number of its latest change */
    uint32_t leader_epoch;
    uint16_t slot; /* in its page */
    bool is_known; /* something was heard of it */
};

/* Partitions of one topic that are neighbours are one allocation, which has room up to the last of them that something was heard of. */
struct page {
    struct map_node node; /* by topic and number */
    struct uuid topic;
    uint32_t number; /* partition / PAGE_PARTITIONS */
    uint32_t capacity;
    struct entry entries[];
};

struct spread_ends {
    struct map pages;
    struct list_node own; /* what changed longest ago first */
    uint64_t changes, told; /* told: the latest that anybody was told */
    size_t count, page_bytes;
};

int spread_ends_new(struct spread_ends **ret_ends)
{
    struct spread_ends *ends = calloc(1, sizeof(*ends));

    if (ends == NULL) return MESH_ENOMEM;
    list_init(&ends->own);
    *ret_ends = ends;
    return 0;
}

void spread_ends_free(struct spread_ends *ends)
{
    struct map_node *next;

    if (ends == NULL) return;
    for (struct map_node *node = map_iterate(&ends->pages, NULL); node != NULL; node = next) {
        next = map_iterate(&ends->pages, node);
        free(container_of(node, struct page, node));
    }
    map_deinit(&ends->pages);
    free(ends);
}

/* ---- pages ---- */

static size_t size_of(uint32_t capacity)
{
    return sizeof(struct page) + capacity * sizeof(struct entry);
}

static uint64_t hash_of(const struct uuid *topic, uint32_t number)
{
    uint64_t hash = map_hash_bytes(topic->bytes, UUID_SIZE) ^ (number + UINT64_C(1)) * 0x9e3779b97f4a7c15u;

    return (hash ^ (hash >> 31)) * 0xbf58476d1ce4e5b9u;
}

static struct page *find_page(const struct spread_ends *ends, const struct uuid *topic, uint32_t number)
{
    struct map_node *node = map_find(&ends->pages, hash_of(topic, number));

    for (; node != NULL; node = map_find_next(node)) {
        struct page *page = container_of(node, struct page, node);
        if (page->number == number && uuid_equal(&page->topic, topic)) return page;
    }
    return NULL;
}

static const struct page *page_of(const struct entry *entry)
{
    return container_of(entry - entry->slot, struct page, entries);
}

static struct spread_end end_of(const struct entry *entry)
{
    const struct page *page = page_of(entry);

    return (struct spread_end){.topic = page->topic,
                               .partition = page->number * PAGE_PARTITIONS + entry->slot,
                               .leader_epoch = entry->leader_epoch,
                               .high_watermark = entry->high_watermark,
                               .log_start = entry->log_start};
}

static struct entry *find(const struct spread_ends *ends, const struct uuid *topic, uint32_t partition)
{
    struct page *page = find_page(ends, topic, partition / PAGE_PARTITIONS);
    uint32_t slot = partition % PAGE_PARTITIONS;

    return page != NULL && slot < page->capacity && page->entries[slot].is_known ? &page->entries[slot] : NULL;
}

/* Room for twice as many, and `slot` at least. */
static uint32_t capacity_for(const struct page *page, uint32_t slot)
{
    uint32_t wanted = page == NULL ? slot + 1 : page->capacity * 2;

    if (wanted < slot + 1) wanted = slot + 1;
    return wanted < PAGE_PARTITIONS ? wanted : PAGE_PARTITIONS;
}

/* What a page has goes over to a larger one, in its places in the lists. */
static void move_entries(struct page *from, struct page *to)
{
    for (uint32_t i = 0; i < from->capacity; i++) {
        struct entry *old = &from->entries[i], *entry = &to->entries[i];

        if (!old->is_known) continue;
        *entry = *old;
        list_init(&entry->told);
        if (list_is_empty(&old->told)) continue;
        list_insert_before(&old->told, &entry->told);
        list_remove(&old->told);
    }
}

/* Puts a page with room for `slot` into the place of `old`, which may be NULL. */
static int make_room(struct spread_ends *ends, const struct spread_end *end, struct page *old, struct page **ret_page)
{
    uint32_t capacity = capacity_for(old, end->partition % PAGE_PARTITIONS), number = end->partition / PAGE_PARTITIONS;
    struct page *page = calloc(1, size_of(capacity));

    if (page == NULL) return MESH_ENOMEM;
    page->topic = end->topic;
    page->number = number;
    page->capacity = capacity;
    if (old != NULL) map_remove(&ends->pages, &old->node); /* so the map does not become larger */
    if (map_insert(&ends->pages, &page->node, hash_of(&end->topic, number)) != 0) {
        MESH_ASSERT(old == NULL);
        free(page);
        return MESH_ENOMEM;
    }
    ends->page_bytes += size_of(capacity);
    if (old != NULL) {
        move_entries(old, page);
        ends->page_bytes -= size_of(old->capacity);
        free(old);
    }
    *ret_page = page;
    return 0;
}

static int add(struct spread_ends *ends, const struct spread_end *end, struct entry **ret_entry)
{
    struct page *page = find_page(ends, &end->topic, end->partition / PAGE_PARTITIONS);
    uint32_t slot = end->partition % PAGE_PARTITIONS;

    if (ends->count >= SPREAD_ENDS_MAX) return MESH_EFULL;
    if ((page == NULL || slot >= page->capacity) && make_room(ends, end, page, &page) != 0) return MESH_ENOMEM;
    page->entries[slot] = (struct entry){.slot = (uint16_t)slot, .is_known = true};
    list_init(&page->entries[slot].told);
    ends->count++;
    *ret_entry = &page->entries[slot];
    return 0;
}

/* ---- the rules ---- */

static bool is_later(const struct spread_end *end, const struct entry *entry)
{
    if (end->leader_epoch != entry->leader_epoch) return end->leader_epoch > entry->leader_epoch;
    if (end->high_watermark != entry->high_watermark) return end->high_watermark > entry->high_watermark;
    return end->log_start > entry->log_start;
}

int spread_ends_merge(struct spread_ends *ends, uint64_t now_ms, const struct spread_end *end, bool is_own)
{
    struct entry *entry = find(ends, &end->topic, end->partition);
    bool is_new = entry == NULL, is_news, was_own;
    int err = is_new ? add(ends, end, &entry) : 0;

    if (err != 0) return err;
    was_own = !list_is_empty(&entry->told);
    if (!is_new && end->leader_epoch < entry->leader_epoch) return 0; /* who says it leads no more */
    if (was_own && !is_own && end->leader_epoch == entry->leader_epoch) return 0; /* this broker knows better */
    is_news = is_new || is_later(end, entry);
    entry->heard_ms = now_ms;
    if (is_news) {
        entry->leader_epoch = end->leader_epoch;
        entry->high_watermark = end->high_watermark;
        entry->log_start = end->log_start;
    }
    if (!is_news && is_own == was_own) return 0;
    if (is_own && was_own && entry->change > ends->told) return 0; /* its turn has not come, and it does not lose it */
    list_remove(&entry->told);
    if (!is_own) return 0;
    entry->change = ++ends->changes;
    list_push_back(&ends->own, &entry->told);
    return 0;
}

bool spread_ends_find(const struct spread_ends *ends, const struct uuid *topic, uint32_t partition, struct spread_end *ret_end, uint64_t *ret_heard_ms)
{
    const struct entry *entry = find(ends, topic, partition);

    if (entry == NULL) return false;
    *ret_end = end_of(entry);
    *ret_heard_ms = entry->heard_ms;
    return true;
}

bool spread_ends_is_behind(const struct spread_ends *ends, uint64_t position)
{
    return !list_is_empty(&ends->own) && container_of(ends->own.previous, struct entry, told)->change > position;
}

bool spread_ends_tell(struct spread_ends *ends, uint64_t *position, size_t bytes_max, struct buffer *to)
{
    const struct list_node *node = ends->own.previous;
    struct spread_ends_writer writer = spread_ends_write(to);
    size_t size = to->size;
    uint64_t at = *position;

    if (!spread_ends_is_behind(ends, at)) return false;
    while (node->previous != &ends->own && container_of(node->previous, struct entry, told)->change > at)
        node = node->previous;
    for (; node != &ends->own && to->size - size < bytes_max; node = node->next) {
        const struct entry *entry = container_of(node, struct entry, told);
        const struct spread_end end = end_of(entry);
        spread_ends_put(&writer, &end);
        at = entry->change;
    }
    if (writer.writer.error != 0) {
        to->size = size;
        return false;
    }
    *position = at;
    if (at > ends->told) ends->told = at;
    return true;
}

static void forget_page(struct spread_ends *ends, struct page *page)
{
    for (uint32_t i = 0; i < page->capacity; i++) {
        if (!page->entries[i].is_known) continue;
        list_remove(&page->entries[i].told);
        ends->count--;
    }
    map_remove(&ends->pages, &page->node);
    ends->page_bytes -= size_of(page->capacity);
    free(page);
}

void spread_ends_keep(struct spread_ends *ends, bool (*is_wanted)(void *arg, const struct uuid *topic), void *arg)
{
    struct map_node *next;

    for (struct map_node *node = map_iterate(&ends->pages, NULL); node != NULL; node = next) {
        struct page *page = container_of(node, struct page, node);

        next = map_iterate(&ends->pages, node);
        if (!is_wanted(arg, &page->topic)) forget_page(ends, page);
    }
}

size_t spread_ends_count(const struct spread_ends *ends)
{
    return ends->count;
}

size_t spread_ends_bytes(const struct spread_ends *ends)
{
    return sizeof(*ends) + ends->page_bytes + ends->pages.bucket_count * sizeof(struct map_node *);
}
