/* gossip/soft_store.h - the keys and values of all origins, in memory. */
#ifndef GOSSIP_SOFT_STORE_H
#define GOSSIP_SOFT_STORE_H

#include "gossip/event.h"
#include "gossip/soft.h"

struct soft_entry {
    struct map_node node;
    struct list_node by_version; /* in member->soft.entries */
    struct list_node report;     /* in gossip->soft_reports */
    struct member *member;
    struct uuid origin; /* of member, which may be forgotten before this is */
    uint64_t version;
    uint16_t value_size, capacity; /* bytes of the value; of the room for it */
    uint8_t key_size;
    bool is_deleted;
    uint8_t bytes[]; /* the key, the value */
};

static inline struct slice soft_entry_key(const struct soft_entry *entry)
{
    return slice_of(entry->bytes, entry->key_size);
}

static inline struct slice soft_entry_value(const struct soft_entry *entry)
{
    return slice_of(entry->bytes + entry->key_size, entry->value_size);
}

struct soft_entry *soft_find(const struct gossip *gossip, const struct member *member, struct slice key);

/* Puts the newest change of an origin into the store and reports it. Errors: MESH_ENOMEM, MESH_ETOOLARGE. */
int soft_store(struct gossip *gossip, struct member *member, const struct soft_change *change);

/* Tombstones up to gc_version go. */
void soft_collect(struct gossip *gossip, struct member *member, uint64_t gc_version);

#endif
