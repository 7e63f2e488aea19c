/* peers/peer_memory.c - when the addresses of members are written down, and for how long those of the last life are tried.
 *
 * They are seeds until this broker has company; then gossip knows better. What is known now is written some seconds after it
 * changed, once a minute at most, and at the end. A table with nobody else in it is no news: the file stays. */
#include "cmd/broker/peers/peers_internal.h"

#include "base/error.h"
#include "base/log.h"

#include <stdlib.h>

#define SETTLE_SECONDS   3.0  /* after a change: several come together */
#define INTERVAL_SECONDS 60.0 /* between two writes */

/* Alive first; then by address, so that the same members make the same file. */
static int compare(const void *left, const void *right)
{
    const struct gossip_member *const *a = left, *const *b = right;
    int a_is_gone = (*a)->state > GOSSIP_SUSPECT, b_is_gone = (*b)->state > GOSSIP_SUSPECT;

    if (a_is_gone != b_is_gone) return a_is_gone - b_is_gone;
    return memcmp((*a)->self.id.bytes, (*b)->self.id.bytes, UUID_SIZE);
}

/* Who has left is not looked for. Returns the number, or -1 without memory. */
static int gather(const struct peers *peers, struct net_address to[REMEMBERED_MAX])
{
    size_t count = gossip_member_count(peers->gossip), used = 0;
    const struct gossip_member **members = calloc(count, sizeof(struct gossip_member *));

    if (members == NULL) return -1;
    for (size_t i = 0; i < count; i++) {
        const struct gossip_member *member = gossip_member_at(peers->gossip, i);

        if (!member->is_self && member->state != GOSSIP_LEFT && !net_address_is_wildcard(&member->self.address))
            members[used++] = member;
    }
    qsort(members, used, sizeof(struct gossip_member *), compare);
    if (used > REMEMBERED_MAX) used = REMEMBERED_MAX;
    for (size_t i = 0; i < used; i++)
        to[i] = members[i]->self.address;
    free(members);
    return (int)used;
}

static bool is_written(const struct peers *peers, const struct net_address *addresses, size_t count)
{
    if (count != peers->memory.written_count) return false;
    for (size_t i = 0; i < count; i++)
        if (!net_address_equal(&addresses[i], &peers->memory.written[i])) return false;
    return true;
}

static void write_down(struct peers *peers)
{
    struct net_address addresses[REMEMBERED_MAX];
    int count = gather(peers, addresses), err;

    if (count < 0 || gossip_member_count(peers->gossip) == 1 || is_written(peers, addresses, (size_t)count)) return;
    err = remembered_write(peers->options.fs, addresses, (size_t)count);
    if (err != 0) {
        if (err != peers->memory.error)
            log_warn("cannot write down where the other members are error=\"%s\": without a seed this broker would not find "
                     "them again from another address",
                     mesh_strerror(err));
        peers->memory.error = err;
        peers->memory.is_changed = true; /* tried again */
        return;
    }
    peers->memory.error = 0;
    memcpy(peers->memory.written, addresses, (size_t)count * sizeof(addresses[0]));
    peers->memory.written_count = (size_t)count;
}

static void arm(struct peers *peers, double seconds)
{
    ev_timer_set(&peers->memory.timer, seconds, 0);
    ev_timer_start(peers->loop, &peers->memory.timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct peers *peers = timer->data;

    (void)loop;
    (void)events;
    if (!peers->memory.is_changed) return;
    peers->memory.is_changed = false;
    write_down(peers);
    arm(peers, INTERVAL_SECONDS); /* also so long, when nothing changes: then it finds nothing to do */
}

void peer_memory_changed(struct peers *peers)
{
    if (peers->options.fs == NULL) return;
    peers->memory.is_changed = true;
    if (!ev_is_active(&peers->memory.timer)) arm(peers, SETTLE_SECONDS);
}

bool peer_memory_is_needed(const struct peers *peers)
{
    return peers->memory.count > 0;
}

size_t peer_memory_add(struct peers *peers, struct net_address *seeds, size_t count, size_t count_max)
{
    for (size_t i = 0; i < peers->memory.count && count < count_max; i++)
        seeds[count++] = peers->memory.addresses[i];
    return count;
}

bool peer_memory_has_served(struct peers *peers)
{
    struct gossip_stats stats;

    if (peers->memory.count == 0) return false;
    gossip_get_stats(peers->gossip, &stats);
    if (stats.alive < 2) return false;
    peers->memory.count = 0;
    return true;
}

void peer_memory_open(struct peers *peers)
{
    int err;

    ev_timer_init(&peers->memory.timer, on_timer, SETTLE_SECONDS, 0);
    peers->memory.timer.data = peers;
    if (peers->options.fs == NULL) return;
    err = remembered_read(peers->options.fs, peers->memory.addresses, &peers->memory.count);
    if (err != 0 && err != MESH_ENOTFOUND)
        log_warn("cannot read where the other members were path=\"%s\" error=\"%s\"", REMEMBERED_PATH, mesh_strerror(err));
    if (err == 0 && peers->memory.count > 0) log_info("looking for the mesh where its members were addresses=%zu", peers->memory.count);
    memcpy(peers->memory.written, peers->memory.addresses, sizeof(peers->memory.written));
    peers->memory.written_count = peers->memory.count;
}

void peer_memory_close(struct peers *peers)
{
    ev_timer_stop(peers->loop, &peers->memory.timer);
    if (peers->gossip != NULL && peers->memory.is_changed) write_down(peers);
}
