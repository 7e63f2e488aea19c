/* peers/join.c - rounds of dials to every known address, a few at a time; with a founding also links that come in, and links to
 * brokers that belong to no mesh yet either, which are kept. */
#include "cmd/broker/peers/join.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/list.h"
#include "base/map.h"
#include "cmd/broker/peers/link_self.h"
#include "cmd/broker/peers/waiting_door.h"
#include "crypto/crypto.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DIALS_MAX       8
#define ROUND_SECONDS   1.0 /* between two rounds of dials */
#define LINKS_MAX       (2 * SEEDS_ADDRESSES_MAX) /* of all kinds; who comes in beyond is turned away */

struct join_link {
    struct list_node node; /* in join.links */
    struct link *link;
    struct attempt *attempt; /* of this round, while it is under way; NULL: it came in, or it is kept */
    struct uuid id, dir_id;  /* zero before the peer is proven, and before it said its disk */
    bool is_kept;            /* the peer belongs to no mesh, and there is a founding */
};

struct attempt {
    struct net_address address;
    struct join_link *link; /* NULL: none under way */
    bool is_over, is_permanent, is_self;
    uint64_t told; /* what was last told about this address, as a hash */
};

struct join {
    const struct join_options *options;
    struct ev_loop *loop;
    struct seeds *seeds;
    struct link_options link_options;
    ev_timer timer;
    struct waiting_door *door;
    struct list_node links;
    size_t link_count;
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

/* ---- links ---- */

static struct join_link *keep_link(struct join *join, struct join_link *entry, struct link *link)
{
    entry->link = link;
    link_set_mark(link, entry);
    list_push_back(&join->links, &entry->node);
    join->link_count++;
    return entry;
}

static struct join_link *dial(struct join *join, const struct net_address *address)
{
    struct join_link *entry = calloc(1, sizeof(*entry));
    struct link *link;

    if (entry == NULL) return NULL;
    join->link_options.channel.wall_ms = (uint64_t)clock_wall_ms();
    if (link_dial(&join->link_options, address, NULL, &link) != 0) {
        free(entry);
        return NULL;
    }
    return keep_link(join, entry, link);
}

/* Takes the socket. Without a founding there is nothing to talk of. */
static void adopt(void *user, int fd, struct slice bytes)
{
    struct join *join = user;
    bool is_wanted = join->options->founding != NULL && !join->is_found && join->link_count < LINKS_MAX;
    struct join_link *entry = is_wanted ? calloc(1, sizeof(*entry)) : NULL;
    struct link *link;

    if (entry == NULL) {
        close(fd);
        return;
    }
    join->link_options.channel.wall_ms = (uint64_t)clock_wall_ms();
    if (link_adopt(&join->link_options, fd, bytes, &link) != 0) {
        free(entry);
        return;
    }
    keep_link(join, entry, link);
}

/* A link to this broker that can carry messages of the founding; not `except`. */
static struct join_link *find_kept(const struct join *join, const struct uuid *id, const struct join_link *except)
{
    list_for_each(node, &join->links)
    {
        struct join_link *entry = container_of(node, struct join_link, node);

        if (entry != except && entry->is_kept && !uuid_is_zero(&entry->dir_id) && uuid_equal(&entry->id, id)) return entry;
    }
    return NULL;
}

static bool is_kept_at(const struct join *join, const struct net_address *address)
{
    list_for_each(node, &join->links)
    {
        const struct join_link *entry = container_of(node, struct join_link, node);

        if (entry->is_kept && link_is_dialled(entry->link) && net_address_equal(link_address(entry->link), address)) return true;
    }
    return false;
}

int join_send(struct join *join, const struct uuid *to, struct slice message)
{
    struct join_link *entry = find_kept(join, to, NULL);

    return entry == NULL ? MESH_ECLOSED : link_send(entry->link, LINK_TYPE_FOUNDING, message);
}

static bool is_dialled_at(const struct join *join, const struct net_address *address)
{
    list_for_each(node, &join->links)
    {
        const struct join_link *entry = container_of(node, struct join_link, node);

        if (link_is_dialled(entry->link) && net_address_equal(link_address(entry->link), address)) return true;
    }
    return false;
}

static struct join_link *find_kept_at(const struct join *join, const struct net_address *address)
{
    list_for_each(node, &join->links)
    {
        struct join_link *entry = container_of(node, struct join_link, node);

        if (entry->is_kept && !uuid_is_zero(&entry->dir_id) && link_is_dialled(entry->link) && net_address_equal(link_address(entry->link), address))
            return entry;
    }
    return NULL;
}

void join_send_to(struct join *join, const struct net_address *address, const struct uuid *to, struct slice message)
{
    struct join_link *entry = uuid_is_zero(to) ? find_kept_at(join, address) : find_kept(join, to, NULL);

    if (join->is_found) return;
    if (entry != NULL)
        (void)link_send(entry->link, LINK_TYPE_FOUNDING, message); /* what is refused is lost, as on any network */
    else if (join->link_count < LINKS_MAX && !is_dialled_at(join, address))
        (void)dial(join, address);
}

/* Says goodbye to everybody; the loop ends when all are gone. An end without a goodbye would look like a broker that has died. */
static void wind_up(struct join *join, int error)
{
    join->is_found = true;
    join->error = error;
    ev_timer_stop(join->loop, &join->timer);
    list_for_each(node, &join->links)
        link_close(container_of(node, struct join_link, node)->link);
    if (join->link_count == 0) finish(join, error);
}

void join_end(struct join *join, int error, const struct uuid *cluster_id)
{
    if (join->is_found) return;
    if (error == 0) join->cluster_id = *cluster_id;
    wind_up(join, error);
}

/* ---- a round ---- */

static void dial_more(struct join *join)
{
    for (size_t i = 0; i < join->attempt_count && join->dials < DIALS_MAX && !join->is_found; i++) {
        struct attempt *attempt = &join->attempts[i];

        if (attempt->link != NULL || attempt->is_over) continue;
        attempt->link = dial(join, &attempt->address);
        if (attempt->link == NULL) {
            finish(join, MESH_ENOMEM);
            return;
        }
        attempt->link->attempt = attempt;
        join->dials++;
    }
}

static void round_over(struct join *join)
{
    size_t problems = tell_names(join), permanent = 0, selves = 0;

    join->is_in_round = false;
    for (size_t i = 0; i < join->attempt_count; i++) {
        permanent += join->attempts[i].is_permanent;
        selves += join->attempts[i].is_self;
    }
    /* A broker that founds is among its own seeds, as a rule; one that does not is no seed. */
    if (problems == 0 && permanent + selves == join->attempt_count && (permanent > 0 || join->options->founding == NULL)) {
        finish(join, MESH_EUNAUTHORIZED);
        return;
    }
    ev_timer_stop(join->loop, &join->timer);
    ev_timer_set(&join->timer, ROUND_SECONDS, 0);
    ev_timer_start(join->loop, &join->timer);
    if (join->options->founding != NULL && join->options->founding->looked != NULL)
        join->options->founding->looked(join->options->founding->user, problems == 0 && selves == join->attempt_count);
}

static const struct attempt *find_before(const struct join *join, const struct net_address *address)
{
    for (size_t i = 0; i < join->before_count; i++)
        if (net_address_equal(&join->before[i].address, address)) return &join->before[i];
    return NULL;
}

static void start_round(struct join *join)
{
    struct net_address addresses[SEEDS_ADDRESSES_MAX];

    memcpy(join->before, join->attempts, join->attempt_count * sizeof(join->attempts[0]));
    join->before_count = join->attempt_count;
    join->attempt_count = seeds_addresses(join->seeds, addresses);
    for (size_t i = 0; i < join->attempt_count; i++) {
        const struct attempt *before = find_before(join, &addresses[i]);
        struct attempt *attempt = &join->attempts[i];

        *attempt = (struct attempt){.address = addresses[i]};
        if (before != NULL) {
            attempt->told = before->told;
            attempt->is_self = before->is_self;
        }
        attempt->is_over = attempt->is_self || is_kept_at(join, &addresses[i]);
    }
    join->is_in_round = join->attempt_count > 0;
    dial_more(join);
    if (join->is_in_round && join->dials == 0 && !join->is_done && !join->is_found) round_over(join);
}

static void attempt_over(struct join *join, struct attempt *attempt)
{
    attempt->link->attempt = NULL;
    attempt->link = NULL;
    attempt->is_over = true;
    join->dials--;
    dial_more(join);
    if (join->dials == 0 && !join->is_done && !join->is_found) round_over(join);
}

static void tell_addresses(struct join *join)
{
    const struct join_founding *founding = join->options->founding;
    struct net_address addresses[SEEDS_ADDRESSES_MAX];
    size_t count;

    if (founding == NULL || founding->seeds == NULL) return;
    count = seeds_addresses(join->seeds, addresses);
    founding->seeds(founding->user, addresses, count);
}

static void on_names(void *user)
{
    struct join *join = user;

    if (join->is_found) return;
    tell_addresses(join);
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

/* ---- what links say ---- */

static void refuse(struct join *join, struct attempt *attempt, const struct explanation *explanation)
{
    if (attempt == NULL) return; /* it came in: its own broker tells */
    attempt->is_permanent = explanation->is_permanent;
    if (explanation->is_permanent) join->permanent = *explanation;
    tell(join, &attempt->told, explanation);
}

/* The clock of who was met: false, and the link ends, when it is too far off. */
static bool is_clock_good(struct join *join, struct join_link *entry)
{
    const struct channel_peer *peer = link_peer(entry->link);
    struct explain_context context = {link_address(entry->link), &join->cluster_id, peer, join->options->key_path, NULL};
    int64_t difference_ms = (int64_t)(peer->wall_ms - (uint64_t)clock_wall_ms());
    struct explanation explanation;

    if (llabs(difference_ms) <= CLOCK_WARN_MS) return true;
    explain_clock(&context, difference_ms, &explanation);
    refuse(join, entry->attempt, &explanation);
    if (explanation.is_permanent) link_close(entry->link);
    return !explanation.is_permanent;
}

static void met_nobody(struct join *join, struct join_link *entry)
{
    struct explanation explanation = {"", "Start one broker with 'mesh serve'; the others join it.", false};
    char address[NET_ADDRESS_STRING_SIZE];

    snprintf(explanation.what, sizeof(explanation.what), "%s belongs to no mesh yet itself",
             net_address_format(link_address(entry->link), address));
    refuse(join, entry->attempt, &explanation);
    link_close(entry->link);
}

/* A broker that may found a mesh together with this one. */
static void keep_friend(struct join *join, struct join_link *entry)
{
    const struct link_self self = {.dir_id = join->options->dir_id};
    uint8_t bytes[LINK_SELF_SIZE];

    link_self_encode(&self, bytes);
    if (link_send(entry->link, LINK_TYPE_SELF, slice_of(bytes, sizeof(bytes))) != 0) {
        link_close(entry->link);
        return;
    }
    entry->is_kept = true;
    if (entry->attempt != NULL) attempt_over(join, entry->attempt);
}

static void on_up(void *user, struct link *link)
{
    struct join *join = user;
    struct join_link *entry = link_mark(link);
    const struct channel_peer *peer = link_peer(link);

    entry->id = peer->id;
    if (join->is_found) {
        link_close(link);
        return;
    }
    if (!is_clock_good(join, entry)) return;
    if (!uuid_is_zero(&peer->cluster_id)) {
        join->cluster_id = peer->cluster_id;
        wind_up(join, 0);
    } else if (join->options->founding != NULL) {
        keep_friend(join, entry);
    } else {
        met_nobody(join, entry);
    }
}

static void on_frame(void *user, struct link *link, uint8_t type, struct slice payload)
{
    struct join *join = user;
    struct join_link *entry = link_mark(link);
    const struct join_founding *founding = join->options->founding;
    struct link_self self;

    if (!entry->is_kept || join->is_found) return; /* gossip that came too early; it is told again to whoever has joined */
    if (type == LINK_TYPE_SELF && uuid_is_zero(&entry->dir_id) && link_self_decode(payload, &self) == 0) {
        bool is_first = find_kept(join, &entry->id, entry) == NULL;

        entry->dir_id = self.dir_id;
        if (is_first && founding->up != NULL && !uuid_is_zero(&self.dir_id)) founding->up(founding->user, link_peer(link), &entry->dir_id);
    } else if (type == LINK_TYPE_FOUNDING && !uuid_is_zero(&entry->dir_id)) {
        founding->receive(founding->user, &entry->id, &entry->dir_id, link_address(link), payload);
    }
}

static void tell_end(struct join *join, struct join_link *entry, enum link_end end, const char *reason)
{
    struct link *link = entry->link;
    struct explain_context context = {link_address(link), &join->cluster_id, link_peer(link), join->options->key_path,
                                      &join->options->source};
    struct explanation explanation;

    if (join->options->founding != NULL && link_failure(link)->failure == CHANNEL_FAILURE_SELF) {
        if (entry->attempt != NULL) entry->attempt->is_self = true;
        return;
    }
    explain_link_end(&context, end, reason, link_failure(link), &explanation);
    refuse(join, entry->attempt, &explanation);
}

static void on_down(void *user, struct link *link, enum link_end end, const char *reason)
{
    struct join *join = user;
    struct join_link *entry = link_mark(link);
    const struct join_founding *founding = join->options->founding;
    bool was_heard = entry->is_kept && !uuid_is_zero(&entry->dir_id);

    if (!join->is_found && end != LINK_END_CLOSED) tell_end(join, entry, end, reason);
    list_remove(&entry->node);
    join->link_count--;
    if (entry->attempt != NULL) attempt_over(join, entry->attempt);
    if (was_heard && !join->is_found && founding->down != NULL && find_kept(join, &entry->id, NULL) == NULL)
        founding->down(founding->user, &entry->id);
    if (founding != NULL && founding->unreachable != NULL && link_is_dialled(link) && end != LINK_END_CLOSED && !join->is_found)
        founding->unreachable(founding->user, link_address(link));
    free(entry);
    if (join->is_found && join->link_count == 0) finish(join, join->error);
}

static const struct link_hooks hooks = {on_up, on_frame, on_down};

/* ---- the call ---- */

static int open_door(struct join *join)
{
    const struct join_founding *founding = join->options->founding;
    struct waiting_door_options door = {join->loop, join->options->listen_fd, "this broker looks for its mesh", adopt, join};
    int err = waiting_door_open(&door, &join->door);

    if (err == 0 && founding != NULL) founding->start(founding->user, join, join->loop);
    return err;
}

static void close_door(struct join *join)
{
    waiting_door_close(join->door);
    if (join->options->founding != NULL) join->options->founding->stop(join->options->founding->user);
}

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
        .channel = {.ciphers = channel_ciphers_here(),
                    .keyring = options->keyring,
                    .identity = options->identity,
                    .boot = options->boot},
    };
    ev_timer_init(&join->timer, on_round, 0, 0);
    join->timer.data = join;
    err = open_door(join);
    if (err != 0) return err;
    while (!join->is_done)
        ev_run(join->loop, EVRUN_ONCE);
    ev_timer_stop(join->loop, &join->timer);
    close_door(join);
    list_for_each_safe(node, &join->links)
    {
        struct join_link *entry = container_of(node, struct join_link, node);

        link_abandon(entry->link);
        free(entry);
    }
    return join->error;
}

int join_find_cluster(const struct join_options *options, struct uuid *ret_cluster_id, struct explanation *ret_explanation)
{
    struct join *join = calloc(1, sizeof(*join));
    int err = MESH_ENOMEM;

    if (join == NULL) return err;
    join->options = options;
    list_init(&join->links);
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
