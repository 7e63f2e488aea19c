#include "gossip/soft_store.h"

#include "base/assert.h"
#include "base/error.h"
#include "gossip/outbox.h"
#include "gossip/spread.h"
#include "gossip/table.h"

#include <stdlib.h>

#define TOMBSTONES_MAX 64 /* of this broker's own; beyond, the oldest are collected */

static uint64_t hash_key(const struct member *member, struct slice key)
{
    return map_hash_bytes(key.data, key.size) ^ member->node.hash;
}

struct soft_entry *soft_find(const struct gossip *gossip, const struct member *member, struct slice key)
{
    for (struct map_node *node = map_find(&gossip->soft_keys, hash_key(member, key)); node != NULL;
         node = map_find_next(node)) {
        struct soft_entry *entry = container_of(node, struct soft_entry, node);
        if (entry->member == member && slice_equal(soft_entry_key(entry), key)) return entry;
    }
    return NULL;
}

static void drop_entry(struct gossip *gossip, struct soft_entry *entry)
{
    map_remove(&gossip->soft_keys, &entry->node);
    list_remove(&entry->by_version);
    list_push_back(&gossip->soft_graves, &entry->by_version);
    entry->member->soft.count--;
    gossip->soft_bytes -= sizeof(*entry) + entry->key_size + entry->capacity;
}

static void report(struct gossip *gossip, struct soft_entry *entry)
{
    if (list_is_empty(&entry->report)) list_push_back(&gossip->soft_reports, &entry->report);
}

void soft_clear(struct gossip *gossip, struct member *member)
{
    list_for_each_safe(node, &member->soft.entries)
    {
        struct soft_entry *entry = container_of(node, struct soft_entry, by_version);
        if (!entry->is_deleted) report(gossip, entry);
        drop_entry(gossip, entry);
    }
    member->soft.version = member->soft.gc_version = member->soft.spread_from = member->soft.confirmed = 0;
    member->soft.is_doubted = false;
    spread_cancel(gossip, member, SPREAD_VALUES);
}

void soft_bury(struct gossip *gossip)
{
    struct list_node *node;

    while ((node = list_pop_front(&gossip->soft_graves)) != NULL) {
        struct soft_entry *entry = container_of(node, struct soft_entry, by_version);
        list_remove(&entry->report);
        free(entry);
    }
}

void soft_free(struct gossip *gossip)
{
    for (uint32_t i = 0; i < gossip->member_count; i++)
        soft_clear(gossip, gossip->members[i]);
    soft_bury(gossip);
    map_deinit(&gossip->soft_keys);
}

static int new_entry(struct gossip *gossip, struct member *member, struct slice key, size_t capacity,
                     struct soft_entry **ret_entry)
{
    struct soft_entry *entry;

    capacity = (capacity + 31) & ~(size_t)31;
    if (member->soft.count >= GOSSIP_SOFT_KEYS_MAX ||
        gossip->soft_bytes + sizeof(*entry) + key.size + capacity > SOFT_BYTES_MAX)
        return MESH_ETOOLARGE;
    entry = calloc(1, sizeof(*entry) + key.size + capacity);
    if (entry == NULL) return MESH_ENOMEM;
    entry->member = member;
    entry->origin = *member_id(member);
    list_init(&entry->report);
    entry->key_size = (uint8_t)key.size;
    entry->capacity = (uint16_t)capacity;
    list_init(&entry->by_version);
    if (key.size > 0) memcpy(entry->bytes, key.data, key.size);
    if (map_insert(&gossip->soft_keys, &entry->node, hash_key(member, key)) != 0) {
        free(entry);
        return MESH_ENOMEM;
    }
    member->soft.count++;
    gossip->soft_bytes += sizeof(*entry) + key.size + capacity;
    *ret_entry = entry;
    return 0;
}

int soft_store(struct gossip *gossip, struct member *member, const struct soft_change *change)
{
    struct soft_entry *entry = soft_find(gossip, member, change->key), *grown = entry;

    if (entry == NULL || entry->capacity < change->value.size) {
        int err = new_entry(gossip, member, change->key, change->value.size, &grown);
        if (err != 0) return err;
        if (entry != NULL) drop_entry(gossip, entry); /* its key is found in the one that replaces it */
    }
    grown->version = change->version;
    grown->is_deleted = change->is_deleted;
    grown->value_size = (uint16_t)change->value.size;
    if (change->value.size > 0) memcpy(grown->bytes + grown->key_size, change->value.data, change->value.size);
    list_remove(&grown->by_version);
    list_push_back(&member->soft.entries, &grown->by_version);
    report(gossip, grown);
    return 0;
}

void soft_collect(struct gossip *gossip, struct member *member, uint64_t gc_version)
{
    if (gc_version <= member->soft.gc_version) return;
    member->soft.gc_version = gc_version;
    list_for_each_safe(node, &member->soft.entries)
    {
        struct soft_entry *entry = container_of(node, struct soft_entry, by_version);
        if (entry->version > gc_version) break;
        if (entry->is_deleted) drop_entry(gossip, entry);
    }
}

/* ---- this broker's own ---- */

/* Own changes are told since the version that was known before the first that is still on its way. */
static void announce_own(struct gossip *gossip, uint64_t before)
{
    struct member *self = gossip->self;

    if (!self->slots[SPREAD_VALUES].is_rumoured && !self->slots[SPREAD_VALUES].is_mailed)
        self->soft.spread_from = before;
    table_rehash(gossip, self);
    spread_announce(gossip, self, SPREAD_VALUES, SPREAD_SOFT, SPREAD_OWN);
}

/* Old tombstones are collected: who has not seen them by now is told to begin anew. */
static void collect_own(struct gossip *gossip)
{
    unsigned tombstones = 0;
    uint64_t gc_version = 0;

    for (struct list_node *node = gossip->self->soft.entries.previous; node != &gossip->self->soft.entries;
         node = node->previous) {
        const struct soft_entry *entry = container_of(node, struct soft_entry, by_version);
        if (!entry->is_deleted || ++tombstones <= TOMBSTONES_MAX) continue;
        gc_version = entry->version;
        break;
    }
    if (gc_version > gossip->self->soft.spread_from && gossip->self->slots[SPREAD_VALUES].is_rumoured)
        gossip->self->soft.spread_from = gc_version;
    soft_collect(gossip, gossip->self, gc_version);
}

int gossip_soft_set(struct gossip *gossip, uint64_t now_us, struct slice key, struct slice value)
{
    struct soft_change change = {gossip->self->soft.version + 1, false, key, value};
    const struct soft_entry *entry;
    int err;

    if (key.size > GOSSIP_SOFT_KEY_MAX || value.size > GOSSIP_SOFT_VALUE_MAX) return MESH_EINVAL;
    gossip_begin_event(gossip, now_us);
    entry = soft_find(gossip, gossip->self, key);
    if (entry != NULL && !entry->is_deleted && slice_equal(soft_entry_value(entry), value)) return 0;
    err = soft_store(gossip, gossip->self, &change);
    if (err != 0) return err;
    gossip->self->soft.version++;
    announce_own(gossip, gossip->self->soft.version - 1);
    return 0;
}

void gossip_soft_delete(struct gossip *gossip, uint64_t now_us, struct slice key)
{
    struct soft_change change = {gossip->self->soft.version + 1, true, key, {NULL, 0}};
    const struct soft_entry *entry;

    gossip_begin_event(gossip, now_us);
    entry = soft_find(gossip, gossip->self, key);
    if (entry == NULL || entry->is_deleted) return;
    if (soft_store(gossip, gossip->self, &change) != 0) MESH_ASSERT(false); /* the entry is there and only shrinks */
    gossip->self->soft.version++;
    collect_own(gossip);
    announce_own(gossip, gossip->self->soft.version - 1);
}

bool gossip_soft_get(const struct gossip *gossip, const struct uuid *origin, struct slice key, struct slice *ret_value)
{
    const struct member *member = table_find(gossip, origin);
    const struct soft_entry *entry = member == NULL ? NULL : soft_find(gossip, member, key);

    if (entry == NULL || entry->is_deleted) return false;
    *ret_value = soft_entry_value(entry);
    return true;
}

bool gossip_soft_confirm(struct gossip *gossip, uint64_t now_us, const struct uuid *origin)
{
    struct member *member = table_find(gossip, origin);

    if (member == NULL || member == gossip->self || !member->shown.is_linked) return false;
    gossip_begin_event(gossip, now_us);
    member->soft.is_doubted = true;
    outbox_push(gossip, &(struct pending){
                            .type = PENDING_ASK_SOFT, .member = member, .other = member, .by_link = true, .wants_all = true});
    return true;
}

uint64_t gossip_soft_confirmed(const struct gossip *gossip, const struct uuid *origin)
{
    const struct member *member = table_find(gossip, origin);

    return member == NULL ? 0 : member == gossip->self ? member->soft.version : member->soft.confirmed;
}

void gossip_soft_each(const struct gossip *gossip, const struct uuid *origin, gossip_soft_fn *each, void *user)
{
    const struct member *member = table_find(gossip, origin);

    if (member == NULL) return;
    list_for_each(node, &member->soft.entries)
    {
        const struct soft_entry *entry = container_of(node, struct soft_entry, by_version);
        if (!entry->is_deleted) each(user, soft_entry_key(entry), soft_entry_value(entry), entry->version);
    }
}
