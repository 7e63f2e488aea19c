/* spread/spread.c - see spread.h. */
#include "cmd/broker/spread/ends_tell.h"
#include "cmd/broker/spread/spread_internal.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/peers/peer_users.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/coordinator/image.h"

#include <stdlib.h>

uint64_t spread_now_ms(const struct spread *spread)
{
    (void)spread;
    return clock_monotonic_ms();
}

/* ---- what the metadata say ---- */

static enum spread_role role_of(const struct image_partition *facts, int32_t self)
{
    if (facts->leader == self) return SPREAD_LED;
    for (uint32_t i = 0; i < facts->replica_count; i++) {
        if (facts->replicas[i] == self && (facts->isr >> i & 1) != 0) return SPREAD_HELD;
    }
    return SPREAD_ELSEWHERE;
}

static void place(struct spread *spread, const struct image *image, const struct image_topic *topic, uint32_t number, uint64_t now_ms)
{
    const struct image_broker *leader;
    struct image_partition facts;
    enum spread_role role;

    if (!image_topic_partition(topic, number, &facts)) return;
    leader = image_find_broker(image, facts.leader);
    role = role_of(&facts, spread->control->node_id);
    spread_feed_place(spread->feed, now_ms, number, role, leader == NULL ? NULL : &leader->broker_id, (uint32_t)facts.leader_epoch);
    if (role == SPREAD_ELSEWHERE) spread->here_ms[number] = 0;
    else if (spread->here_ms[number] == 0) spread->here_ms[number] = now_ms;
}

void spread_image(struct spread *spread, const struct image *image)
{
    const struct image_topic *topic = image_find_topic_by_name(image, GROUPS_TOPIC_NAME);
    uint64_t now_ms = spread == NULL ? 0 : spread_now_ms(spread);

    if (spread == NULL || spread->peers == NULL || spread->control->node_id == 0) return;
    ends_image(spread, image);
    if (topic == NULL) return;
    spread->topic_id = topic->topic_id;
    for (uint32_t i = 0; i < GROUP_PARTITIONS; i++)
        place(spread, image, topic, i, now_ms);
    spread_drive(spread);
}

/* ---- what the feed wants ---- */

static void send_out(struct spread *spread, const struct spread_output *output)
{
    int err = peers_link_send(spread->peers, &output->peer, LINK_TYPE_SPREAD, output->bytes);

    if (err != 0 && err != MESH_ECLOSED) spread_feed_lost(spread->feed, &output->peer); /* a link that ended says so by itself */
}

static void perform(struct spread *spread, const struct spread_output *output)
{
    switch (output->kind) {
    case SPREAD_OUTPUT_SEND: send_out(spread, output); return;
    case SPREAD_OUTPUT_LINK:
        if (!output->is_on) peers_unwant_link(spread->peers, &output->peer);
        else if (peers_want_link(spread->peers, &output->peer) != 0) log_warn("no memory to ask for a link to a leader of groups");
        return;
    case SPREAD_OUTPUT_WATCH:
    case SPREAD_OUTPUT_WALK:
        if (spread_shards_order(spread, output) != 0) log_warn("no memory to tell others of groups partition=%u", output->partition);
        return;
    }
}

/* What was heard of partitions that have a replica here by now is of no more use. */
static uint64_t forget(struct spread *spread, uint64_t now_ms)
{
    uint64_t next_ms = UINT64_MAX;

    for (uint32_t i = 0; i < GROUP_PARTITIONS; i++) {
        uint64_t due_ms = spread->here_ms[i] + SPREAD_HEARD_KEPT_MS;
        if (spread->here_ms[i] == 0 || spread_feed_cells(spread->feed, i) == NULL) continue;
        if (due_ms <= now_ms) spread_feed_forget(spread->feed, i);
        else if (due_ms < next_ms) next_ms = due_ms;
    }
    return next_ms;
}

void spread_drive(struct spread *spread)
{
    uint64_t now_ms = spread_now_ms(spread), due_ms, forget_ms;
    struct spread_output output;

    if (spread->peers == NULL) return;
    while (spread_feed_next_output(spread->feed, now_ms, &output))
        perform(spread, &output);
    due_ms = spread_feed_due_ms(spread->feed);
    forget_ms = forget(spread, now_ms);
    if (forget_ms < due_ms) due_ms = forget_ms;
    ev_timer_stop(spread->control->loop, &spread->timer);
    if (due_ms == UINT64_MAX) return;
    ev_now_update(spread->control->loop);
    ev_timer_set(&spread->timer, due_ms > now_ms ? (double)(due_ms - now_ms) / 1e3 + 1e-3 : 1e-3, 0.);
    ev_timer_start(spread->control->loop, &spread->timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct spread *spread = timer->data;

    (void)loop;
    (void)events;
    spread_feed_tick(spread->feed, spread_now_ms(spread));
    spread_drive(spread);
}

/* ---- links ---- */

static void on_up(void *user, const struct uuid *peer, const struct uuid *dir_id)
{
    struct spread *spread = user;

    (void)dir_id;
    ends_peer_up(spread, peer);
    if (spread_feed_peer_up(spread->feed, spread_now_ms(spread), peer) != 0) log_warn("no memory to tell a broker of groups");
    rescue_peer_up(spread, peer);
    spread_drive(spread);
}

static void on_down(void *user, const struct uuid *peer)
{
    struct spread *spread = user;

    spread_feed_peer_down(spread->feed, spread_now_ms(spread), peer);
    ends_peer_down(spread, peer);
    rescue_peer_down(spread, peer);
    spread_drive(spread);
}

/* Groups live where their names say: who leads a partition is believed about no other. */
static bool has_strangers(const struct spread_message *message)
{
    struct spread_rows_reader reader;
    struct slice group = slice_of(NULL, 0);
    struct spread_row row;

    if (message->kind != SPREAD_ROUND && message->kind != SPREAD_PIECE && message->kind != SPREAD_RECOVERED) return false;
    reader = spread_rows_read(message->rows);
    while (spread_rows_next(&reader, &row)) {
        if (row.group.data == group.data) continue; /* as of the row before */
        group = row.group;
        if (group_partition_of(group) != message->partition) return true;
    }
    return false;
}

static void on_receive(void *user, const struct uuid *peer, const struct uuid *dir_id, struct slice bytes)
{
    struct spread *spread = user;
    struct spread_message message;
    int err = spread_message_decode(bytes, &message);

    (void)dir_id;
    if (err == 0 && has_strangers(&message)) err = MESH_EPROTO;
    if (err == MESH_EPROTO) spread->refused++;
    if (err != 0) return; /* a newer version's: it does without the answer */
    if (message.kind == SPREAD_ENDS) ends_receive(spread, peer, &message);
    if (message.kind == SPREAD_RECOVERED) rescue_receive(spread, peer, &message);
    (void)spread_feed_receive(spread->feed, spread_now_ms(spread), peer, &message); /* without memory it is asked for again */
    spread_drive(spread);
}

static const struct peer_user_hooks hooks = {on_up, on_down, on_receive};

/* ---- life ---- */

int spread_open(struct control *control, struct spread **ret_spread)
{
    struct spread *spread = calloc(1, sizeof(*spread));
    struct spread_feed_options options;
    int err;

    if (spread == NULL) return MESH_ENOMEM;
    spread->control = control;
    spread_feed_options_init(&options);
    err = spread_shards_init(spread);
    if (err == 0) err = ends_open(spread);
    if (err == 0) err = spread_feed_new(&options, &spread->feed);
    if (err != 0) {
        ends_free(spread);
        spread_shards_deinit(spread);
        free(spread);
        return err;
    }
    list_init(&spread->rescues);
    ev_timer_init(&spread->timer, on_timer, 0., 0.);
    spread->timer.data = spread;
    *ret_spread = spread;
    return 0;
}

void spread_attach(struct spread *spread, struct peers *peers)
{
    spread->peers = peers;
    peers_set_user(peers, LINK_TYPE_SPREAD, &hooks, spread);
}

void spread_detach(struct spread *spread)
{
    if (spread == NULL) return;
    ev_timer_stop(spread->control->loop, &spread->timer);
    ends_stop(spread);
    rescue_end_all(spread);
    spread->peers = NULL;
}

void spread_free(struct spread *spread)
{
    if (spread == NULL) return;
    ends_free(spread);
    spread_feed_free(spread->feed);
    spread_shards_deinit(spread);
    free(spread);
}

void spread_get_stats(const struct spread *spread, struct spread_stats *ret_stats)
{
    *ret_stats = (struct spread_stats){0};
    if (spread == NULL) return;
    ret_stats->feed = spread_feed_stats_of(spread->feed);
    ret_stats->messages_refused = spread->refused;
}
