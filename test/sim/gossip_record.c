#include "sim/gossip_record.h"

#include "base/assert.h"
#include "base/buffer.h"
#include "gossip/switches.h"
#include "sim/sim_random.h"

#include <stdio.h>
#include <stdlib.h>

#define PASSES_MAX 12
#define BEGIN_US   UINT64_C(1000000000000) /* of the fresh cores: old deaths have room before it */

struct heard {
    struct uuid from;
    size_t at, size; /* in bytes */
};

struct gossip_record {
    struct buffer bytes, items; /* items: of struct heard */
    uint32_t *order;
    size_t order_capacity;
    bool is_cut; /* more came than is kept */
    char text[400];
};

struct gossip_record *gossip_record_new(void)
{
    struct gossip_record *record = calloc(1, sizeof(*record));

    MESH_ASSERT(record != NULL);
    return record;
}

void gossip_record_free(struct gossip_record *record)
{
    if (record == NULL) return;
    buffer_deinit(&record->bytes);
    buffer_deinit(&record->items);
    free(record->order);
    free(record);
}

void gossip_record_begin(struct gossip_record *record)
{
    buffer_clear(&record->bytes);
    buffer_clear(&record->items);
    record->is_cut = false;
}

void gossip_record_add(struct gossip_record *record, const struct uuid *from, struct slice bytes)
{
    struct heard heard = {*from, record->bytes.size, bytes.size};

    record->is_cut |= record->bytes.size + bytes.size > GOSSIP_RECORD_BYTES_MAX;
    if (record->is_cut) return;
    MESH_ASSERT(buffer_append(&record->bytes, bytes.data, bytes.size) == 0);
    MESH_ASSERT(buffer_append(&record->items, &heard, sizeof(heard)) == 0);
}

size_t gossip_record_count(const struct gossip_record *record)
{
    return record->items.size / sizeof(struct heard);
}

static const struct heard *heard_at(const struct gossip_record *record, size_t index)
{
    return (const struct heard *)(const void *)record->items.data + index;
}

/* ---- what a core believes ---- */

/* 0: alive; 1: accused; 2: left. */
static int rank_of(const struct gossip_member *member)
{
    return member->state == GOSSIP_LEFT ? 2 : member->state == GOSSIP_ALIVE ? 0 : 1;
}

static void add_soft(void *user, struct slice key, struct slice value, uint64_t version)
{
    uint64_t *hash = user;

    *hash += sim_hash_bytes(sim_hash_bytes(sim_mix(11, version), key.data, key.size), value.data, value.size);
}

static uint64_t soft_of(const struct gossip *gossip, const struct gossip_member *member)
{
    uint64_t hash = 0;

    if (rank_of(member) == 0) gossip_soft_each(gossip, &member->self.id, add_soft, &hash);
    return hash;
}

static uint64_t belief_of(const struct gossip *gossip, const struct gossip_member *member)
{
    uint64_t hash = sim_hash_bytes(5, member->self.id.bytes, UUID_SIZE);

    hash = sim_mix(sim_mix(hash, member->self.incarnation), (uint64_t)rank_of(member));
    hash = sim_mix(hash, rank_of(member) == 0 ? member->frontier.index : 0);
    return sim_mix(hash, soft_of(gossip, member));
}

static uint64_t beliefs_of(const struct gossip *gossip)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < gossip_member_count(gossip); i++) {
        const struct gossip_member *member = gossip_member_at(gossip, i);
        if (!member->is_self) hash += belief_of(gossip, member);
    }
    return hash;
}

/* ---- telling a fresh core ---- */

static void take_outputs(struct gossip *gossip, uint64_t now_us)
{
    struct gossip_output output;

    while (gossip_next_output(gossip, now_us, &output))
        ;
}

static struct gossip *fresh_core(const struct gossip_options *options, uint64_t defects)
{
    struct gossip *gossip;

    MESH_ASSERT(gossip_new(options, BEGIN_US, &gossip) == 0);
#ifdef MESH_TEST_SWITCHES
    for (int defect = 1; defect < GOSSIP_DEFECT_COUNT; defect++) {
        if (defects >> defect & 1) gossip_bring_back(gossip, (enum gossip_defect)defect);
    }
#else
    MESH_ASSERT(defects == 0);
#endif
    take_outputs(gossip, BEGIN_US);
    return gossip;
}

static void put_in_order(struct gossip_record *record, struct random *random)
{
    size_t count = gossip_record_count(record);

    for (size_t i = 0; i < count; i++)
        record->order[i] = (uint32_t)i;
    if (random == NULL) return;
    for (size_t i = count; i > 1; i--) {
        size_t j = random_below(random, i);
        uint32_t other = record->order[j];
        record->order[j] = record->order[i - 1];
        record->order[i - 1] = other;
    }
}

/* Everything, in an order, until that changes nothing. NULL: it never ends. Each pass has another order, so one may change
 * nothing where the next one does: there it takes two in a row. */
static struct gossip *tell(struct gossip_record *record, const struct gossip_options *options, uint64_t defects,
                           struct random *random)
{
    struct gossip *gossip = fresh_core(options, defects);
    uint64_t now_us = BEGIN_US, before = 0, after = 1;
    int idle = 0, idle_wanted = random == NULL ? 1 : 2;

    for (int pass = 0; pass < PASSES_MAX && idle < idle_wanted; pass++) {
        before = after;
        put_in_order(record, random);
        for (size_t i = 0; i < gossip_record_count(record); i++) {
            const struct heard *heard = heard_at(record, record->order[i]);
            gossip_receive_message(gossip, ++now_us, &heard->from,
                                   slice_of(record->bytes.data + heard->at, heard->size));
            take_outputs(gossip, now_us);
        }
        after = beliefs_of(gossip);
        idle = before == after ? idle + 1 : 0;
    }
    if (idle == idle_wanted) return gossip;
    gossip_free(gossip);
    return NULL;
}

/* ---- comparing ---- */

static void describe(const struct gossip *gossip, const struct gossip_member *member, char *to, size_t size)
{
    if (member == NULL)
        snprintf(to, size, "nothing");
    else
        snprintf(to, size, "%llx rank %d frontier %llu soft %08x", (unsigned long long)member->self.incarnation,
                 rank_of(member), (unsigned long long)member->frontier.index, (unsigned)soft_of(gossip, member));
}

static const char *differ(struct gossip_record *record, const struct gossip *a, const struct gossip *b)
{
    if (gossip_member_count(a) < gossip_member_count(b)) return differ(record, b, a);
    for (size_t i = 0; i < gossip_member_count(a); i++) {
        const struct gossip_member *member = gossip_member_at(a, i), *other = gossip_find(b, &member->self.id);
        char one[96], two[96];
        if (member->is_self || (other != NULL && belief_of(a, member) == belief_of(b, other))) continue;
        describe(a, member, one, sizeof(one));
        describe(b, other, two, sizeof(two));
        snprintf(record->text, sizeof(record->text), "in one order %s is held as %s, in another as %s", member->self.name, one, two);
        return record->text;
    }
    return NULL;
}

/* Whatever the process believed it had heard. */
static const char *knows_less(struct gossip_record *record, const struct gossip *gossip, const struct gossip *own)
{
    for (size_t i = 0; i < gossip_member_count(own); i++) {
        const struct gossip_member *member = gossip_member_at(own, i), *other = gossip_find(gossip, &member->self.id);
        if (member->is_self) continue;
        if (other != NULL && other->self.incarnation >= member->self.incarnation &&
            (member->state != GOSSIP_LEFT || other->state == GOSSIP_LEFT || other->self.incarnation > member->self.incarnation))
            continue;
        snprintf(record->text, sizeof(record->text), "all that was heard does not make up what was believed of %s",
                 member->self.name);
        return record->text;
    }
    return NULL;
}

const char *gossip_record_check(struct gossip_record *record, const struct gossip_options *options, uint64_t defects,
                                const struct gossip *own, unsigned orders, uint64_t seed)
{
    struct gossip *first, *other;
    struct random random;
    const char *wrong = NULL;

    if (record->is_cut) return NULL;
    if (record->order_capacity < gossip_record_count(record)) {
        record->order_capacity = gossip_record_count(record);
        record->order = realloc(record->order, record->order_capacity * sizeof(record->order[0]));
        MESH_ASSERT(record->order != NULL);
    }
    first = tell(record, options, defects, NULL);
    if (first == NULL) return "what is heard again and again changes what is believed each time";
    if (own != NULL) wrong = knows_less(record, first, own);
    random_init(&random, seed);
    for (unsigned i = 0; i < orders && wrong == NULL; i++) {
        other = tell(record, options, defects, &random);
        wrong = other == NULL ? "in some orders beliefs never settle" : differ(record, first, other);
        gossip_free(other);
    }
    gossip_free(first);
    return wrong;
}
