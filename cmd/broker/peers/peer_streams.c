/* peers/peer_streams.c - handshakes of streams, on their way to shards. */
#include "cmd/broker/peers/peer_streams.h"

#include "base/codec.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/peers/explain.h"
#include "cmd/broker/peers/peers_internal.h"

#include <stdlib.h>
#include <unistd.h>

#define HANDSHAKES_MAX 256 /* each way; of those that came in, the oldest gives way */

struct handshake {
    struct list_node node; /* in peers->streams.dialled or .accepted */
    struct peers *peers;
    struct link *link;
    uint64_t tag;
    enum stream_purpose purpose;
    uint16_t shard;
    bool is_dialled;
    bool is_answered; /* what is left of the link is on its way out */
};

/* ---- the preamble ---- */

void stream_preamble_encode(enum stream_purpose purpose, uint16_t shard, uint8_t to[STREAM_PREAMBLE_SIZE])
{
    memcpy(to, STREAM_MAGIC, 4);
    to[4] = STREAM_VERSION;
    to[5] = (uint8_t)purpose;
    to[6] = (uint8_t)shard;
    to[7] = (uint8_t)(shard >> 8);
}

int stream_preamble_decode(struct slice bytes, enum stream_purpose *ret_purpose, uint16_t *ret_shard)
{
    size_t common = bytes.size < 4 ? bytes.size : 4;

    if (memcmp(bytes.data, STREAM_MAGIC, common) != 0) return MESH_EPROTO;
    if (bytes.size < STREAM_PREAMBLE_SIZE) return MESH_EAGAIN;
    if (bytes.data[4] != STREAM_VERSION) return MESH_EVERSION;
    if (bytes.data[5] > STREAM_FORWARDING) return MESH_EPROTO;
    *ret_purpose = (enum stream_purpose)bytes.data[5];
    *ret_shard = (uint16_t)(bytes.data[6] | bytes.data[7] << 8);
    return 0;
}

/* ---- hooks of their links ---- */

static void forget(struct handshake *handshake)
{
    struct peer_streams *streams = &handshake->peers->streams;

    list_remove(&handshake->node);
    if (handshake->is_dialled) streams->dialled_count--;
    else streams->accepted_count--;
    free(handshake);
}

static void answer(struct handshake *handshake, const struct peer_stream *stream, const char *reason)
{
    struct peers *peers = handshake->peers;

    handshake->is_answered = true;
    if (handshake->is_dialled)
        peers->streams.hooks->opened(peers->streams.user, handshake->tag, stream, reason);
    else if (stream != NULL)
        peers->streams.hooks->arrived(peers->streams.user, stream);
}

/* A peer that belongs to no mesh yet has nothing to replicate. */
static void on_up(void *user, struct link *link)
{
    struct handshake *handshake = link_mark(link);
    const struct channel_peer *peer = link_peer(link);
    struct peer_stream stream = {
        .peer = peer->id, .boot = peer->boot, .purpose = handshake->purpose, .shard = handshake->shard, .is_dialled = handshake->is_dialled};

    (void)user;
    if (uuid_is_zero(&peer->cluster_id) || link_detach(link, &stream.remains) != 0) {
        link_close(link);
        return;
    }
    answer(handshake, &stream, NULL);
}

static void on_receive(void *user, struct link *link, uint8_t type, struct slice payload)
{
    (void)user, (void)link, (void)type, (void)payload; /* of one that says goodbye */
}

static void tell_failure(struct peers *peers, const struct link *link, enum link_end end, const char *reason)
{
    struct explain_context context = {link_address(link), &peers->options.cluster_id, link_peer(link), peers->options.key_path,
                                      &peers->options.listen};
    struct explanation explanation;

    if (end != LINK_END_REJECTED || !log_limiter_allows(&peers->link_lines, link_address(link), peers_now_us() / 1000)) return;
    explain_link_end(&context, end, reason, link_failure(link), &explanation);
    log_warn("%s stream failed: %s: %s", link_is_dialled(link) ? "a dialled" : "an incoming", explanation.what, explanation.cure);
}

static void on_down(void *user, struct link *link, enum link_end end, const char *reason)
{
    struct handshake *handshake = link_mark(link);

    if (!handshake->is_answered) {
        tell_failure(user, link, end, reason);
        answer(handshake, NULL, reason);
    }
    forget(handshake);
}

static const struct link_hooks hooks = {on_up, on_receive, on_down};

/* ---- making them ---- */

static struct handshake *handshake_new(struct peers *peers, bool is_dialled, enum stream_purpose purpose, uint16_t shard)
{
    struct handshake *handshake = calloc(1, sizeof(*handshake));

    if (handshake == NULL) return NULL;
    handshake->peers = peers;
    handshake->is_dialled = is_dialled;
    handshake->purpose = purpose;
    handshake->shard = shard;
    return handshake;
}

static void keep(struct handshake *handshake)
{
    struct peer_streams *streams = &handshake->peers->streams;

    link_set_mark(handshake->link, handshake);
    list_push_back(handshake->is_dialled ? &streams->dialled : &streams->accepted, &handshake->node);
    if (handshake->is_dialled) streams->dialled_count++;
    else streams->accepted_count++;
}

int peers_open_stream(struct peers *peers, const struct uuid *peer, enum stream_purpose purpose, uint16_t shard, uint64_t tag)
{
    const struct gossip_member *member = peers_find_member(peers, peer);
    uint8_t preamble[STREAM_PREAMBLE_SIZE];
    struct link_options options;
    struct handshake *handshake;
    int err;

    if (member == NULL) return MESH_ENOTFOUND;
    if (peers->streams.dialled_count >= HANDSHAKES_MAX) return MESH_EFULL;
    handshake = handshake_new(peers, true, purpose, shard);
    if (handshake == NULL) return MESH_ENOMEM;
    handshake->tag = tag;
    stream_preamble_encode(purpose, shard, preamble);
    peers_fill_link_options(peers, &hooks, &options);
    options.may_detach = true;
    options.preamble = slice_of(preamble, sizeof(preamble));
    err = link_dial(&options, &member->self.address, peer, &handshake->link);
    if (err != 0) {
        free(handshake);
        return err;
    }
    keep(handshake);
    return 0;
}

/* As with strangers on links: who holds a place for long is slow at best. */
static void drop_oldest(struct peers *peers)
{
    struct handshake *handshake = container_of(peers->streams.accepted.next, struct handshake, node);

    link_abandon(handshake->link);
    forget(handshake);
}

void peers_adopt_stream(struct peers *peers, int fd, struct slice received)
{
    struct link_options options;
    struct handshake *handshake;
    enum stream_purpose purpose;
    uint16_t shard;

    if (peers->streams.hooks == NULL || stream_preamble_decode(received, &purpose, &shard) != 0) {
        close(fd);
        return;
    }
    if (peers->streams.accepted_count >= HANDSHAKES_MAX) drop_oldest(peers);
    handshake = handshake_new(peers, false, purpose, shard);
    if (handshake == NULL) {
        close(fd);
        return;
    }
    peers_fill_link_options(peers, &hooks, &options);
    options.may_detach = true;
    if (link_adopt(&options, fd, slice_of(received.data + STREAM_PREAMBLE_SIZE, received.size - STREAM_PREAMBLE_SIZE), &handshake->link) != 0) {
        free(handshake);
        return;
    }
    keep(handshake);
}

/* ---- life ---- */

void peers_set_streams(struct peers *peers, const struct peer_stream_hooks *stream_hooks, void *user)
{
    peers->streams.hooks = stream_hooks;
    peers->streams.user = user;
}

void peer_streams_open(struct peers *peers)
{
    list_init(&peers->streams.dialled);
    list_init(&peers->streams.accepted);
}

static void abandon(struct list_node *list)
{
    list_for_each_safe(node, list)
    {
        struct handshake *handshake = container_of(node, struct handshake, node);

        link_abandon(handshake->link);
        forget(handshake);
    }
}

void peer_streams_close(struct peers *peers)
{
    abandon(&peers->streams.dialled);
    abandon(&peers->streams.accepted);
}
