#include "cmd/broker/spread/ends_tell.h"

#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/forward/forward.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/peers/peer_users.h"
#include "cmd/broker/runtime/partitions.h"
#include "cmd/broker/spread/spread_internal.h"
#include "replication/coordinator/image.h"

#include <stdlib.h>

/* From a shard: what has changed in a second. While it gathers only the partitions' names are of use. */
struct ends_news {
    struct mail mail;
    struct spread *spread;
    size_t count, capacity;
    struct spread_end ends[];
};

#define NEWS_MIN 64 /* room for so many, at first */

/* A broker that is linked, or was. */
struct ends_peer {
    struct list_node node;
    struct uuid id;
    bool is_up, is_early; /* early: it spoke of a later image than this broker has */
    bool is_current;      /* its latest message since the link is up was not full: it has told all */
    uint64_t current_ms;  /* ... until then, where it has not; 0: never */
    uint64_t position;    /* in spread->ends->ends: what it was told */
};

struct spread_ends_part {
    struct spread_ends *ends;
    struct list_node peers;
    ev_timer timer;
    uint64_t kept_ms;
};

/* ---- on a shard ---- */

static void news_arrives(struct mail *mail);

static bool end_of(const struct shard_partition *partition, struct spread_end *ret_end)
{
    const struct replica *replica = &partition->replica;

    if (partition->plog == NULL || partition->topic->is_internal || !replica_leads(replica) || !replica_end_is_known(replica)) return false;
    *ret_end = (struct spread_end){.topic = partition->topic->metrics.topic_id,
                                   .partition = partition->number,
                                   .leader_epoch = (uint32_t)replica->partition.leader_epoch,
                                   .high_watermark = replica->partition.high_watermark,
                                   .log_start = replica->partition.first};
    return true;
}

static void on_shard_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct spread_shard *at = timer->data;
    struct ends_news *news = at->ends_news;
    size_t count = 0;

    (void)loop;
    (void)events;
    if (at->shard->is_stopping) return;
    at->ends_news = NULL;
    for (size_t i = 0; i < news->count; i++) {
        struct shard_partition *partition = shard_partition_find(at->shard, &news->ends[i].topic, news->ends[i].partition);

        if (partition == NULL) continue; /* it went */
        partition->is_end_due = false;
        count += end_of(partition, &news->ends[count]);
    }
    news->count = count;
    mailbox_post(forward_mailbox(at->spread->control->forward), &news->mail);
}

/* Room for one more. False: there is no memory. */
static bool make_room(struct spread_shard *at)
{
    struct ends_news *news = at->ends_news;
    size_t capacity = news == NULL ? NEWS_MIN : news->capacity * 2;

    if (news != NULL && news->count < news->capacity) return true;
    news = realloc(news, sizeof(*news) + capacity * sizeof(news->ends[0]));
    if (news == NULL) return false;
    if (at->ends_news == NULL) *news = (struct ends_news){.mail = {NULL, news_arrives}, .spread = at->spread};
    news->capacity = capacity;
    at->ends_news = news;
    return true;
}

void ends_changed(struct shard *shard, struct shard_partition *partition)
{
    struct spread *spread = shard->broker->control.spread;
    struct spread_shard *at;

    if (spread == NULL || partition->is_end_due || partition->topic->is_internal || shard->is_stopping) return;
    at = &spread->shards[shard->index];
    if (!make_room(at)) return; /* with its next change */
    if (!at->is_ends_ready) {
        ev_timer_init(&at->ends_timer, on_shard_timer, 0., 0.);
        at->ends_timer.data = at;
        at->is_ends_ready = true;
    }
    at->ends_news->ends[at->ends_news->count++] = (struct spread_end){.topic = partition->topic->metrics.topic_id, .partition = partition->number};
    partition->is_end_due = true;
    if (ev_is_active(&at->ends_timer)) return;
    ev_timer_set(&at->ends_timer, ENDS_SHARD_MS / 1e3, 0.);
    ev_timer_start(shard->loop, &at->ends_timer);
}

/* ---- telling ---- */

static struct ends_peer *find_peer(const struct spread *spread, const struct uuid *id)
{
    for (struct list_node *node = spread->ends->peers.next; node != &spread->ends->peers; node = node->next) {
        struct ends_peer *peer = container_of(node, struct ends_peer, node);
        if (uuid_equal(&peer->id, id)) return peer;
    }
    return NULL;
}

static void send_ends(struct spread *spread, const struct uuid *peer, struct slice ends)
{
    struct spread_message message = {.kind = SPREAD_ENDS, .rows = ends};
    struct buffer bytes = BUFFER_INIT;

    if (spread_message_encode(&message, &bytes) == 0) (void)peers_link_send(spread->peers, peer, LINK_TYPE_SPREAD, buffer_slice(&bytes));
    buffer_deinit(&bytes);
}

/* False: no memory, or no room on the link. */
static bool tell(struct spread *spread, struct ends_peer *peer)
{
    struct spread_message message = {.kind = SPREAD_ENDS};
    struct buffer ends = BUFFER_INIT, bytes = BUFFER_INIT;
    uint64_t position = peer->position;
    bool is_told = spread_ends_tell(spread->ends->ends, &position, ENDS_BYTES, &ends);

    message.rows = buffer_slice(&ends);
    is_told = is_told && spread_message_encode(&message, &bytes) == 0 && peers_link_send(spread->peers, &peer->id, LINK_TYPE_SPREAD, buffer_slice(&bytes)) == 0;
    if (is_told) peer->position = position;
    buffer_deinit(&ends);
    buffer_deinit(&bytes);
    return is_told;
}

static void arm(struct spread *spread, unsigned in_ms)
{
    ev_timer *timer = &spread->ends->timer;

    if (spread->peers == NULL || ev_is_active(timer)) return;
    ev_now_update(spread->control->loop);
    ev_timer_set(timer, in_ms / 1e3, 0.);
    ev_timer_start(spread->control->loop, timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct spread *spread = timer->data;
    bool is_behind = false, has_more = false;

    (void)loop;
    (void)events;
    for (struct list_node *node = spread->ends->peers.next; node != &spread->ends->peers; node = node->next) {
        struct ends_peer *peer = container_of(node, struct ends_peer, node);
        if (!peer->is_up || !spread_ends_is_behind(spread->ends->ends, peer->position)) continue;
        if (!tell(spread, peer)) is_behind = true;
        else has_more |= spread_ends_is_behind(spread->ends->ends, peer->position);
    }
    if (has_more) arm(spread, ENDS_TELL_MS);
    else if (is_behind) arm(spread, ENDS_AGAIN_MS);
}

static void news_arrives(struct mail *mail)
{
    struct ends_news *news = container_of(mail, struct ends_news, mail);
    struct spread *spread = news->spread;

    for (size_t i = 0; i < news->count; i++)
        (void)spread_ends_merge(spread->ends->ends, spread_now_ms(spread), &news->ends[i], true); /* without memory: with its next change */
    free(news);
    arm(spread, ENDS_TELL_MS);
}

/* ---- hearing ---- */

/* Whether the sender leads it, by this broker's image. Who is ahead of it is asked to say it all again when there is a newer image. */
static bool may_say(const struct image *image, const struct spread_end *end, int32_t node_id, bool *is_early)
{
    const struct image_topic *topic = image_find_topic(image, &end->topic);
    struct image_partition facts;

    if (topic == NULL || !image_topic_partition(topic, end->partition, &facts)) {
        *is_early = true; /* made, or given more partitions, by an image that is not here yet; or gone */
        return false;
    }
    if (end->leader_epoch > (uint32_t)facts.leader_epoch) *is_early = true;
    return facts.leader == node_id && end->leader_epoch == (uint32_t)facts.leader_epoch;
}

static void set_current(const struct spread *spread, struct ends_peer *peer, bool is_current)
{
    if (peer->is_current && !is_current) peer->current_ms = spread_now_ms(spread);
    peer->is_current = is_current;
}

void ends_receive(struct spread *spread, const struct uuid *from, const struct spread_message *message)
{
    const struct image *image = metadata_image(spread->control->metadata);
    const struct image_broker *broker = image_find_broker_by_uuid(image, from);
    struct spread_ends_reader reader = spread_ends_read(message->rows);
    struct ends_peer *peer = find_peer(spread, from);
    uint64_t now_ms = spread_now_ms(spread);
    struct spread_end end;

    if (peer == NULL) return;
    if (message->rows.size == 0) {
        peer->position = 0;
        arm(spread, ENDS_AGAIN_MS);
        return;
    }
    while (broker != NULL && spread_ends_next(&reader, &end))
        if (may_say(image, &end, broker->node_id, &peer->is_early)) (void)spread_ends_merge(spread->ends->ends, now_ms, &end, false);
    peer->is_early |= broker == NULL;
    set_current(spread, peer, message->rows.size < ENDS_BYTES);
}

static bool is_there(void *arg, const struct uuid *topic)
{
    return image_find_topic(arg, topic) != NULL;
}

void ends_image(struct spread *spread, const struct image *image)
{
    uint64_t now_ms = spread_now_ms(spread);

    for (struct list_node *node = spread->ends->peers.next; node != &spread->ends->peers; node = node->next) {
        struct ends_peer *peer = container_of(node, struct ends_peer, node);
        if (peer->is_early && peer->is_up) send_ends(spread, &peer->id, slice_of(NULL, 0));
        peer->is_early = false;
    }
    if (now_ms < spread->ends->kept_ms + ENDS_KEEP_MS) return;
    spread->ends->kept_ms = now_ms;
    spread_ends_keep(spread->ends->ends, is_there, (void *)(uintptr_t)image);
}

void ends_peer_up(struct spread *spread, const struct uuid *id)
{
    struct ends_peer *peer = find_peer(spread, id);

    if (peer == NULL) {
        peer = calloc(1, sizeof(*peer));
        if (peer == NULL) {
            log_warn("no memory to tell a broker how far partitions go");
            return;
        }
        peer->id = *id;
        list_push_back(&spread->ends->peers, &peer->node);
    }
    peer->is_up = true;
    peer->position = 0;
    if (spread_ends_is_behind(spread->ends->ends, 0)) arm(spread, ENDS_TELL_MS);
}

void ends_peer_down(struct spread *spread, const struct uuid *id)
{
    struct ends_peer *peer = find_peer(spread, id);

    if (peer == NULL) return;
    peer->is_up = false;
    set_current(spread, peer, false);
}

/* ---- asking ---- */

bool ends_find(const struct spread *spread, const struct uuid *topic_id, uint32_t partition, struct spread_end *ret_end, uint64_t *ret_age_ms)
{
    const struct image *image = spread == NULL ? NULL : metadata_image(spread->control->metadata);
    const struct image_topic *topic = image == NULL ? NULL : image_find_topic(image, topic_id);
    const struct image_broker *leader;
    const struct ends_peer *peer;
    struct image_partition facts;
    uint64_t since_ms, now_ms;

    if (topic == NULL || !image_topic_partition(topic, partition, &facts)) return false;
    if (!spread_ends_find(spread->ends->ends, topic_id, partition, ret_end, &since_ms)) return false;
    now_ms = spread_now_ms(spread);
    leader = image_find_broker(image, facts.leader);
    if (leader != NULL && ret_end->leader_epoch == (uint32_t)facts.leader_epoch) {
        peer = find_peer(spread, &leader->broker_id);
        if (facts.leader == spread->control->node_id || (peer != NULL && peer->is_current)) since_ms = now_ms;
        else if (peer != NULL && peer->current_ms > since_ms) since_ms = peer->current_ms;
    }
    *ret_age_ms = now_ms - since_ms + ENDS_FRESH_MS;
    return true;
}

/* ---- life ---- */

int ends_open(struct spread *spread)
{
    spread->ends = calloc(1, sizeof(*spread->ends));
    if (spread->ends == NULL) return MESH_ENOMEM;
    list_init(&spread->ends->peers);
    ev_timer_init(&spread->ends->timer, on_timer, 0., 0.);
    spread->ends->timer.data = spread;
    return spread_ends_new(&spread->ends->ends);
}

void ends_stop(struct spread *spread)
{
    ev_timer_stop(spread->control->loop, &spread->ends->timer);
}

void ends_free(struct spread *spread)
{
    struct list_node *node;

    if (spread->ends == NULL) return;
    while ((node = list_pop_front(&spread->ends->peers)) != NULL)
        free(container_of(node, struct ends_peer, node));
    spread_ends_free(spread->ends->ends);
    free(spread->ends);
}
