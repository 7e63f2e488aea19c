#include "gossip/seeds.h"

#include "base/error.h"
#include "gossip/outbox.h"
#include "gossip/table.h"

#include <stdlib.h>

#define SEEDS_MAX       1024
#define DIALS_MAX       8 /* under way at a time */
#define BACKOFF_MIN_US  500000u
#define DIAL_LASTS_US   10000000 /* a dial whose end we never heard of */

static struct seed *find_seed(const struct gossip *gossip, const struct net_address *address)
{
    for (size_t i = 0; i < gossip->seed_count; i++)
        if (net_address_equal(&gossip->seeds[i].address, address)) return &gossip->seeds[i];
    return NULL;
}

int seeds_set(struct gossip *gossip, const struct net_address *addresses, size_t count)
{
    struct seed *seeds = NULL;
    size_t kept = 0;

    if (count > SEEDS_MAX) count = SEEDS_MAX;
    if (count > 0) {
        seeds = calloc(count, sizeof(*seeds));
        if (seeds == NULL) return MESH_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        const struct seed *known = find_seed(gossip, &addresses[i]);
        bool is_twice = false;
        for (size_t j = 0; j < kept; j++)
            is_twice |= net_address_equal(&seeds[j].address, &addresses[i]);
        if (is_twice || net_address_is_none(&addresses[i])) continue;
        seeds[kept++] = known != NULL ? *known : (struct seed){.address = addresses[i], .due_us = gossip->now_us};
    }
    free(gossip->seeds);
    gossip->seeds = seeds;
    gossip->seed_count = kept;
    seeds_due(gossip);
    return 0;
}

static bool is_satisfied(const struct gossip *gossip, const struct seed *seed)
{
    const struct member *member = uuid_is_zero(&seed->peer) ? NULL : table_find(gossip, &seed->peer);

    if (GOSSIP_DEFECT(gossip, SEEDS_ONE_BY_ONE) && gossip->pool_count > 0) return true;
    if (member != NULL) return member_is_live(member);
    if (net_address_equal(&seed->address, &gossip->self->shown.self.address)) return true;
    for (uint32_t i = 0; i < gossip->pool_count; i++)
        if (net_address_equal(&seed->address, &gossip->pool[i]->shown.self.address)) return true;
    return false;
}

static void back_off(struct gossip *gossip, struct seed *seed)
{
    seed->backoff_us = seed->backoff_us == 0 ? BACKOFF_MIN_US : seed->backoff_us * 2;
    if (seed->backoff_us > gossip->options.reconnect_max_us) seed->backoff_us = gossip->options.reconnect_max_us;
    seed->due_us = gossip->now_us + seed->backoff_us - random_below(&gossip->random, seed->backoff_us / 2 + 1);
}

/* Seeds are tried in a random order: brokers that start together do not all fall on the same one. */
void seeds_due(struct gossip *gossip)
{
    unsigned under_way = 0, most = GOSSIP_DEFECT(gossip, SEEDS_ONE_BY_ONE) ? 1 : DIALS_MAX;
    uint64_t due_us = gossip->now_us + gossip->options.reconnect_max_us;
    size_t first = gossip->seed_count == 0 ? 0 : random_below(&gossip->random, gossip->seed_count);

    for (size_t i = 0; i < gossip->seed_count; i++) {
        struct seed *seed = &gossip->seeds[i];
        if (seed->is_dialled && gossip->now_us >= seed->due_us) seed->is_dialled = false;
        under_way += seed->is_dialled;
    }
    for (size_t i = 0; i < gossip->seed_count && !gossip->is_leaving; i++) {
        struct seed *seed = &gossip->seeds[(first + i) % gossip->seed_count];
        if (!seed->is_dialled && gossip->now_us >= seed->due_us) {
            if (is_satisfied(gossip, seed)) {
                seed->backoff_us = 0;
                seed->due_us = gossip->now_us + gossip->options.reconnect_max_us;
            } else if (under_way < most) {
                under_way++;
                seed->is_dialled = true;
                seed->due_us = gossip->now_us + DIAL_LASTS_US;
                outbox_push_plain(gossip, GOSSIP_OUTPUT_DIAL, NULL, &seed->address);
            } else {
                continue; /* its turn comes when a dial has ended */
            }
        }
        if (seed->due_us < due_us) due_us = seed->due_us;
    }
    if (gossip->seed_count > 0) timers_arm(&gossip->timers, &gossip->seeds_timer, due_us);
}

void seeds_answered(struct gossip *gossip, const struct net_address *address, const struct uuid *peer)
{
    struct seed *seed = find_seed(gossip, address);

    if (seed == NULL || !seed->is_dialled) return;
    seed->peer = *peer;
    seed->has_opened = true;
    seed->is_dialled = false;
    back_off(gossip, seed); /* looked at again: by then its broker should be a member */
    seeds_due(gossip);
}

void seeds_failed(struct gossip *gossip, const struct net_address *address)
{
    struct seed *seed = find_seed(gossip, address);

    if (seed == NULL || !seed->is_dialled) return;
    seed->is_dialled = false;
    memset(&seed->peer, 0, sizeof(seed->peer));
    back_off(gossip, seed);
    seeds_due(gossip);
}

bool seeds_opened_link(struct gossip *gossip, const struct uuid *peer)
{
    bool is_ours = false;

    for (size_t i = 0; i < gossip->seed_count; i++) {
        struct seed *seed = &gossip->seeds[i];
        if (!seed->has_opened || !uuid_equal(&seed->peer, peer)) continue;
        seed->has_opened = false;
        is_ours = true;
    }
    return is_ours;
}

void seeds_hurry(struct gossip *gossip)
{
    for (size_t i = 0; i < gossip->seed_count; i++) {
        if (gossip->seeds[i].is_dialled) continue;
        gossip->seeds[i].backoff_us = 0;
        gossip->seeds[i].due_us = gossip->now_us;
    }
    if (gossip->seed_count > 0) timers_arm(&gossip->timers, &gossip->seeds_timer, gossip->now_us);
}
