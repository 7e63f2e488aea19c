#include "gossip/table.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/error.h"
#include "gossip/outbox.h"

#include <stdlib.h>

#define TIMERS_OF_GOSSIP 8
#define TIMERS_OF_MEMBER 4

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Seeded: who may choose an id may not choose its bucket. */
static uint64_t hash_id(const struct gossip *gossip, const struct uuid *id)
{
    return mix(le_load64(id->bytes) ^ mix(le_load64(id->bytes + 8) ^ gossip->hash_seed));
}

struct member *table_find(const struct gossip *gossip, const struct uuid *id)
{
    for (struct map_node *node = map_find(&gossip->by_id, hash_id(gossip, id)); node != NULL;
         node = map_find_next(node)) {
        struct member *member = container_of(node, struct member, node);
        if (uuid_equal(member_id(member), id)) return member;
    }
    return NULL;
}

static int grow_array(struct member ***array, uint32_t capacity)
{
    struct member **grown = realloc(*array, capacity * sizeof(**array));

    if (grown == NULL) return MESH_ENOMEM;
    *array = grown;
    return 0;
}

/* An array that has grown while the next could not stays so: capacity says what all of them hold. */
static int grow(struct gossip *gossip)
{
    uint32_t capacity = gossip->capacity == 0 ? 16 : gossip->capacity * 2;
    int err = grow_array(&gossip->members, capacity);

    if (err == 0) err = grow_array(&gossip->ring, capacity);
    if (err == 0) err = grow_array(&gossip->pool, capacity);
    if (err == 0)
        err = timers_reserve(&gossip->timers, TIMERS_OF_GOSSIP + RELAYS_MAX + capacity * (size_t)TIMERS_OF_MEMBER);
    if (err == 0) err = outbox_reserve(gossip, capacity);
    if (err == 0) gossip->capacity = capacity;
    return err;
}

static void init_member(struct gossip *gossip, struct member *member, const struct uuid *id)
{
    member->shown.self.id = *id;
    member->index = gossip->member_count;
    member->ring_hash = mix(le_load64(id->bytes) ^ mix(le_load64(id->bytes + 8)));
    member->suspicion_timer.kind = TIMER_SUSPICION;
    member->mail_timer.kind = TIMER_MAIL;
    member->dial_timer.kind = TIMER_DIAL;
    member->reap_timer.kind = TIMER_REAP;
    for (uint8_t what = 0; what < SPREAD_WHATS; what++) {
        member->slots[what].what = what;
        list_init(&member->slots[what].rumour);
        list_init(&member->slots[what].mail);
    }
    list_init(&member->soft.entries);
    list_init(&member->report);
}

int table_add(struct gossip *gossip, const struct uuid *id, struct member **ret_member)
{
    struct member *member;
    int err = 0;

    if (gossip->member_count >= GOSSIP_MEMBERS_MAX) return MESH_EFULL;
    if (gossip->member_count == gossip->capacity) err = grow(gossip);
    if (err != 0) return err;
    member = calloc(1, sizeof(*member));
    if (member == NULL) return MESH_ENOMEM;
    init_member(gossip, member, id);
    err = map_insert(&gossip->by_id, &member->node, hash_id(gossip, id));
    if (err != 0) {
        free(member);
        return err;
    }
    gossip->members[gossip->member_count++] = member;
    *ret_member = member;
    return 0;
}

void table_remove(struct gossip *gossip, struct member *member)
{
    struct member *last = gossip->members[--gossip->member_count];

    MESH_ASSERT(member->pool_index == 0);
    map_remove(&gossip->by_id, &member->node);
    gossip->members[member->index] = last;
    last->index = member->index;
    timers_cancel(&gossip->timers, &member->suspicion_timer);
    timers_cancel(&gossip->timers, &member->mail_timer);
    timers_cancel(&gossip->timers, &member->dial_timer);
    timers_cancel(&gossip->timers, &member->reap_timer);
    list_remove(&member->report);
    member->grave = gossip->graves;
    gossip->graves = member;
}

void table_bury(struct gossip *gossip)
{
    while (gossip->graves != NULL) {
        struct member *member = gossip->graves;
        gossip->graves = member->grave;
        free(member);
    }
}

void table_free(struct gossip *gossip)
{
    for (uint32_t i = 0; i < gossip->member_count; i++)
        free(gossip->members[i]);
    table_bury(gossip);
    free(gossip->members);
    free(gossip->ring);
    free(gossip->pool);
    map_deinit(&gossip->by_id);
}

static void ring_put(struct gossip *gossip, uint32_t at, struct member *member)
{
    gossip->ring[at] = member;
    member->ring_index = at + 1;
}

/* A random place; what is moved out of the way keeps its side of ring_next, so that nobody loses its turn. */
static void ring_add(struct gossip *gossip, struct member *member)
{
    uint32_t at = (uint32_t)random_below(&gossip->random, gossip->ring_count + 1u);
    uint32_t end = gossip->ring_count++;

    if (at < gossip->ring_next) {
        if (gossip->ring_next < end) ring_put(gossip, end, gossip->ring[gossip->ring_next]);
        ring_put(gossip, gossip->ring_next, gossip->ring[at]);
        gossip->ring_next++;
    } else if (at < end) {
        ring_put(gossip, end, gossip->ring[at]);
    }
    ring_put(gossip, at, member);
}

static void ring_remove(struct gossip *gossip, struct member *member)
{
    uint32_t hole = member->ring_index - 1, end = --gossip->ring_count;

    if (hole < gossip->ring_next) {
        gossip->ring_next--;
        if (hole != gossip->ring_next) ring_put(gossip, hole, gossip->ring[gossip->ring_next]);
        hole = gossip->ring_next;
    }
    if (hole != end) ring_put(gossip, hole, gossip->ring[end]);
    member->ring_index = 0;
}

void table_pool_add(struct gossip *gossip, struct member *member)
{
    MESH_ASSERT(member->pool_index == 0 && member != gossip->self);
    gossip->pool[gossip->pool_count++] = member;
    member->pool_index = gossip->pool_count;
    ring_add(gossip, member);
}

void table_pool_remove(struct gossip *gossip, struct member *member)
{
    struct member *last = gossip->pool[--gossip->pool_count];

    MESH_ASSERT(member->pool_index != 0);
    gossip->pool[member->pool_index - 1] = last;
    last->pool_index = member->pool_index;
    member->pool_index = 0;
    ring_remove(gossip, member);
}

struct member *table_next_target(struct gossip *gossip)
{
    if (gossip->ring_count == 0) return NULL;
    if (gossip->ring_next >= gossip->ring_count) {
        for (uint32_t i = gossip->ring_count - 1; i > 0; i--) {
            uint32_t j = (uint32_t)random_below(&gossip->random, i + 1u);
            struct member *other = gossip->ring[j];
            ring_put(gossip, j, gossip->ring[i]);
            ring_put(gossip, i, other);
        }
        gossip->ring_next = 0;
    }
    return gossip->ring[gossip->ring_next++];
}

static struct member *pool_swap(struct gossip *gossip, uint32_t a, uint32_t b)
{
    struct member *chosen = gossip->pool[b];

    gossip->pool[b] = gossip->pool[a];
    gossip->pool[b]->pool_index = b + 1;
    gossip->pool[a] = chosen;
    chosen->pool_index = a + 1;
    return chosen;
}

size_t table_draw(struct gossip *gossip, size_t count, const struct member *except, table_filter_fn *filter,
                  struct member *ret_members[TABLE_DRAW_MAX])
{
    size_t found = 0;

    if (count > TABLE_DRAW_MAX) count = TABLE_DRAW_MAX;
    for (uint32_t i = 0; i < gossip->pool_count && found < count; i++) {
        uint32_t j = i + (uint32_t)random_below(&gossip->random, gossip->pool_count - i);
        struct member *member = pool_swap(gossip, i, j);
        if (GOSSIP_DEFECT(gossip, RANDOM_HELPERS) && i >= count) break;
        if (member == except || (filter != NULL && !filter(member))) continue;
        ret_members[found++] = member;
    }
    return found;
}

void table_rehash(struct gossip *gossip, struct member *member)
{
    uint64_t identity = le_load64(member_id(member)->bytes) ^ mix(le_load64(member_id(member)->bytes + 8));

    gossip->members_hash ^= member->hash_share;
    gossip->soft_hash ^= member->soft_share;
    member->hash_share = member->soft_share = 0;
    if (!member->is_faded)
        member->hash_share = mix(identity + mix(member->shown.self.incarnation * 4 + member->shown.state + 1));
    if (member_is_live(member) && member->soft.version > 0)
        member->soft_share = mix(identity + mix(member->soft.version ^ mix(boot_of(member->shown.self.incarnation))));
    gossip->members_hash ^= member->hash_share;
    gossip->soft_hash ^= member->soft_share;
}
