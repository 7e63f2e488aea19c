/* peers/join.c - rounds of dials to every known address, a few at a time. */
#include "cmd/broker/peers/join.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "crypto/crypto.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIALS_MAX     8
#define ROUND_SECONDS 1.0 /* between two rounds of dials */

struct attempt {
    struct net_address address;
    struct link *link; /* NULL: none under way */
    bool is_over, is_permanent;
    uint64_t told; /* what was last told about this address, as a hash */
};

struct join {
    const struct join_options *options;
    struct ev_loop *loop;
    struct seeds *seeds;
    struct link_options link_options;
    ev_timer timer;
    struct attempt attempts[SEEDS_ADDRESSES_MAX], before[SEEDS_ADDRESSES_MAX]; /* this round's, and the one's before */
    size_t attempt_count, before_count, dials;
    bool is_in_round, is_found, is_done;
    int error;
    struct uuid cluster_id;
    uint64_t told_names[SEEDS_MAX]; /* what was last told about each name, as a hash */
    struct explanation permanent;
};

/* Each seed's trouble when it begins or changes: a wait may take days, and there may be many seeds. */
static void tell(struct join *join, uint64_t *told, const struct explanation *explanation)
{
    uint64_t hash = map_hash_bytes(explanation->what, strlen(explanation->what));

    if (*told == hash) return;
    *told = hash;
    if (join->options->progress != NULL) join->options->progress(join->options->user, explanation->what, explanation->cure);
}

static void finish(struct join *join, int error)
{
    join->is_done = true;
    join->error = error;
    ev_break(join->loop, EVBREAK_ALL);
}

/* ---- names ---- */

static size_t tell_names(struct join *join)
{
    size_t problems = 0;

    for (size_t i = 0; i < seeds_count(join->seeds); i++) {
        char name[ADDRESS_TEXT_SIZE];
        struct explanation explanation = {"", "Check the name, or start what is to bear it: it is looked up again and again.", false};

        if (seeds_problem(join->seeds, i)[0] == '\0') continue;
        problems++;
        snprintf(explanation.what, sizeof(explanation.what), "waiting for the name %s: %s",
                 seed_format(seeds_at(join->seeds, i), name), seeds_problem(join->seeds, i));
        if (i < SEEDS_MAX) tell(join, &join->told_names[i], &explanation);
    }
    return problems;
}

/* ---- a round ---- */

static void dial_more(struct join *join)
{
    for (size_t i = 0; i < join->attempt_count && join->dials < DIALS_MAX; i++) {
        struct attempt *attempt = &join->attempts[i];

        if (attempt->link != NULL || attempt->is_over) continue;
        join->link_options.channel.wall_ms = (uint64_t)clock_wall_ms();
        if (link_dial(&join->link_options, &attempt->address, NULL, &attempt->link) != 0) {
            finish(join, MESH_ENOMEM);
            return;
        }
        link_set_mark(attempt->link, attempt);
        join->dials++;
    }
}

static uint64_t told_before(const struct join *join, const struct net_address *address)
{
    for (size_t i = 0; i < join->before_count; i++)
        if (net_address_equal(&join->before[i].address, address)) return join->before[i].told;
    return 0;
}

static void start_round(struct join *join)
{
    struct net_address addresses[SEEDS_ADDRESSES_MAX];

    memcpy(join->before, join->attempts, join->attempt_count * sizeof(join->attempts[0]));
    join->before_count = join->attempt_count;
    join->attempt_count = seeds_addresses(join->seeds, addresses);
    for (size_t i = 0; i < join->attempt_count; i++)
        join->attempts[i] = (struct attempt){.address = addresses[i], .told = told_before(join, &addresses[i])};
    join->is_in_round = join->attempt_count > 0;
    dial_more(join);
}

static void round_over(struct join *join)
{
    size_t problems = tell_names(join), permanent = 0;

    join->is_in_round = false;
    for (size_t i = 0; i < join->attempt_count; i++)
        permanent += join->attempts[i].is_permanent;
    if (problems == 0 && permanent == join->attempt_count) {
        finish(join, MESH_EUNAUTHORIZED);
        return;
    }
    ev_timer_stop(join->loop, &join->timer);
    ev_timer_set(&join->timer, ROUND_SECONDS, 0);
    ev_timer_start(join->loop, &join->timer);
}

static void attempt_over(struct join *join, struct attempt *attempt)
{
    attempt->link = NULL;
    attempt->is_over = true;
    join->dials--;
    dial_more(join);
    if (join->dials == 0 && !join->is_done) round_over(join);
}

static void on_names(void *user)
{
    struct join *join = user;

    if (join->is_found) return;
    (void)tell_names(join);
    if (!join->is_in_round && !ev_is_active(&join->timer)) start_round(join);
}

static void on_round(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct join *join = timer->data;

    (void)loop;
    (void)events;
    if (!join->is_found) start_round(join);
}

/* ---- links ---- */

static void refuse(struct join *join, struct attempt *attempt, const struct explanation *explanation)
{
    attempt->is_permanent = explanation->is_permanent;
    if (explanation->is_permanent) join->permanent = *explanation;
    tell(join, &attempt->told, explanation);
}

static void on_up(void *user, struct link *link)
{
    struct join *join = user;
    const struct channel_peer *peer = link_peer(link);
    struct explain_context context = {link_address(link), &join->cluster_id, peer, join->options->key_path, NULL};
    int64_t difference_ms = (int64_t)(peer->wall_ms - (uint64_t)clock_wall_ms());
    struct explanation explanation;

    if (join->is_found) {
        link_close(link);
        return;
    }
    if (llabs(difference_ms) > CLOCK_WARN_MS) {
        explain_clock(&context, difference_ms, &explanation);
        refuse(join, link_mark(link), &explanation);
        if (explanation.is_permanent) {
            link_close(link);
            return;
        }
    }
    if (uuid_is_zero(&peer->cluster_id)) {
        char address[NET_ADDRESS_STRING_SIZE];

        explanation = (struct explanation){"", "Start one broker with 'mesh serve'; the others join it.", false};
        snprintf(explanation.what, sizeof(explanation.what), "%s belongs to no mesh yet itself",
                 net_address_format(link_address(link), address));
        refuse(join, link_mark(link), &explanation);
        link_close(link);
        return;
    }
    join->cluster_id = peer->cluster_id;
    join->is_found = true;
    link_close(link); /* with a goodbye: an end without one would look like a broker that has died */
}

static void on_frame(void *user, struct link *link, uint8_t type, struct slice payload)
{
    (void)user;
    (void)link;
    (void)type;
    (void)payload; /* gossip that came too early; it is told again to whoever has joined */
}

static void on_down(void *user, struct link *link, enum link_end end, const char *reason)
{
    struct join *join = user;
    struct attempt *attempt = link_mark(link);

    if (join->is_found) {
        attempt->link = NULL;
        if (end == LINK_END_CLOSED) finish(join, 0);
        return;
    }
    if (end != LINK_END_CLOSED) {
        struct explain_context context = {link_address(link), &join->cluster_id, link_peer(link), join->options->key_path,
                                          &join->options->source};
        struct explanation explanation;

        explain_link_end(&context, end, reason, link_failure(link), &explanation);
        refuse(join, attempt, &explanation);
    }
    attempt_over(join, attempt);
}

static const struct link_hooks hooks = {on_up, on_frame, on_down};

/* ---- the call ---- */

static int run(struct join *join)
{
    const struct join_options *options = join->options;
    int err = seeds_new(join->loop, options->seeds, options->seed_count, options->name_servers, on_names, join, &join->seeds);

    if (err != 0) return err;
    join->link_options = (struct link_options){
        .loop = join->loop,
        .hooks = &hooks,
        .user = join,
        .source = options->source,
        .channel = {.has_aes = crypto_has_aes(),
                    .keyring = options->keyring,
                    .identity = options->identity,
                    .boot = options->boot},
    };
    ev_timer_init(&join->timer, on_round, 0, 0);
    join->timer.data = join;
    while (!join->is_done)
        ev_run(join->loop, EVRUN_ONCE);
    ev_timer_stop(join->loop, &join->timer);
    for (size_t i = 0; i < join->attempt_count; i++)
        if (join->attempts[i].link != NULL) link_abandon(join->attempts[i].link);
    return join->error;
}

int join_find_cluster(const struct join_options *options, struct uuid *ret_cluster_id, struct explanation *ret_explanation)
{
    struct join *join = calloc(1, sizeof(*join));
    int err = MESH_ENOMEM;

    if (join == NULL) return err;
    join->options = options;
    join->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV | EVFLAG_NOSIGMASK);
    if (join->loop != NULL) {
        err = run(join);
        seeds_free(join->seeds);
        ev_loop_destroy(join->loop);
    }
    if (err == 0)
        *ret_cluster_id = join->cluster_id;
    else
        *ret_explanation = join->permanent;
    free(join);
    return err;
}
