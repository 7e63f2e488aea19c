/* peers/seeds.c - rounds of look-ups; an address that a name had is kept until the name has others. */
#include "cmd/broker/peers/seeds.h"

#include "base/error.h"
#include "base/random.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRY_SECONDS   2.0  /* while a name has no address */
#define REFRESH_SECONDS 30.0 /* to twice that */
#define PROBLEM_SIZE    96

struct entry {
    struct seeds *seeds;
    struct seed seed;
    char problem[PROBLEM_SIZE];
    struct net_address *addresses; /* owned */
    size_t count;
};

struct seeds {
    struct ev_loop *loop;
    ev_timer timer;
    struct resolver *resolver;
    seeds_changed_fn *changed;
    void *user;
    struct random random;
    struct entry *entries; /* owned */
    size_t count;
    size_t waiting; /* look-ups of this round under way, and one for its start */
};

static void round_step(struct seeds *seeds)
{
    bool has_problem = false;
    double wait;

    if (--seeds->waiting > 0) return;
    for (size_t i = 0; i < seeds->count; i++)
        has_problem |= seeds->entries[i].problem[0] != '\0';
    wait = has_problem ? RETRY_SECONDS : REFRESH_SECONDS;
    ev_timer_set(&seeds->timer, wait * (1 + random_unit(&seeds->random)), 0);
    ev_timer_start(seeds->loop, &seeds->timer);
    seeds->changed(seeds->user);
}

static void on_answer(void *user, int error, const char *reason, const struct net_address *addresses, size_t count)
{
    struct entry *entry = user;
    struct net_address *copy = error == 0 ? malloc(count * sizeof(*copy)) : NULL;

    if (error == 0 && copy == NULL) {
        error = MESH_ENOMEM;
        reason = "out of memory";
    }
    snprintf(entry->problem, sizeof(entry->problem), "%s", reason);
    if (error == 0) {
        memcpy(copy, addresses, count * sizeof(*copy));
        free(entry->addresses);
        entry->addresses = copy;
        entry->count = count;
        entry->problem[0] = '\0';
    }
    round_step(entry->seeds);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct seeds *seeds = timer->data;

    (void)loop;
    (void)events;
    seeds->waiting = 1;
    for (size_t i = 0; i < seeds->count; i++) {
        seeds->waiting++;
        if (resolver_look_up(seeds->resolver, &seeds->entries[i].seed, on_answer, &seeds->entries[i]) != 0)
            on_answer(&seeds->entries[i], MESH_ENOMEM, "out of memory", NULL, 0);
    }
    round_step(seeds);
}

int seeds_new(struct ev_loop *loop, const struct seed *list, size_t count, const char *name_servers,
              seeds_changed_fn *changed, void *user, struct seeds **ret_seeds)
{
    struct seeds *seeds = calloc(1, sizeof(*seeds));
    uint64_t seed;
    int err;

    if (seeds == NULL) return MESH_ENOMEM;
    random_system_bytes(&seed, sizeof(seed));
    random_init(&seeds->random, seed);
    seeds->loop = loop;
    seeds->changed = changed;
    seeds->user = user;
    ev_timer_init(&seeds->timer, on_timer, 0, 0);
    seeds->timer.data = seeds;
    seeds->entries = calloc(count + 1, sizeof(*seeds->entries));
    err = seeds->entries == NULL ? MESH_ENOMEM : resolver_new(loop, name_servers, &seeds->resolver);
    if (err != 0) {
        seeds_free(seeds);
        return err;
    }
    seeds->count = count;
    for (size_t i = 0; i < count; i++) {
        seeds->entries[i].seeds = seeds;
        seeds->entries[i].seed = list[i];
        snprintf(seeds->entries[i].problem, PROBLEM_SIZE, "not looked up yet");
    }
    if (count > 0) ev_timer_start(loop, &seeds->timer);
    *ret_seeds = seeds;
    return 0;
}

void seeds_free(struct seeds *seeds)
{
    if (seeds == NULL) return;
    ev_timer_stop(seeds->loop, &seeds->timer);
    resolver_free(seeds->resolver);
    for (size_t i = 0; i < seeds->count; i++)
        free(seeds->entries[i].addresses);
    free(seeds->entries);
    free(seeds);
}

static bool has_address(const struct net_address *list, size_t count, const struct net_address *address)
{
    for (size_t i = 0; i < count; i++)
        if (net_address_equal(&list[i], address)) return true;
    return false;
}

size_t seeds_addresses(struct seeds *seeds, struct net_address *to)
{
    size_t count = 0;

    for (size_t i = 0; i < seeds->count; i++)
        for (size_t j = 0; j < seeds->entries[i].count && count < SEEDS_ADDRESSES_MAX; j++)
            if (!has_address(to, count, &seeds->entries[i].addresses[j])) to[count++] = seeds->entries[i].addresses[j];
    for (size_t i = count; i > 1; i--) { /* Fisher and Yates */
        size_t j = random_below(&seeds->random, i);
        struct net_address swap = to[i - 1];

        to[i - 1] = to[j];
        to[j] = swap;
    }
    return count;
}

size_t seeds_count(const struct seeds *seeds)
{
    return seeds->count;
}

const struct seed *seeds_at(const struct seeds *seeds, size_t index)
{
    return &seeds->entries[index].seed;
}

const char *seeds_problem(const struct seeds *seeds, size_t index)
{
    return seeds->entries[index].problem;
}
