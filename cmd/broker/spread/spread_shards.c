/* spread/spread_shards.c - on the shards: what changed in the groups that are led there, a round a second at most, and walks over all of it. */
#include "base/error.h"
#include "cmd/broker/forward/forward.h"
#include "cmd/broker/groups/groups.h"
#include "cmd/broker/runtime/partitions.h"
#include "cmd/broker/spread/spread_internal.h"
#include "replication/coordinator/image.h"

#include <stdlib.h>

/* ---- home ---- */

static void news_home(struct mail *mail)
{
    struct spread_news *news = container_of(mail, struct spread_news, mail);
    struct spread *spread = news->spread;

    news->round.rows = buffer_slice(&news->rows);
    (void)spread_feed_round(spread->feed, &news->round); /* without memory subscribers start over */
    buffer_deinit(&news->rows);
    free(news);
    spread_drive(spread);
}

/* Takes the rows. Errors: MESH_ENOMEM. */
static int tell(struct spread_shard *at, const struct spread_round *round, struct buffer *rows)
{
    struct spread_news *news = malloc(sizeof(*news));

    if (news == NULL) return MESH_ENOMEM;
    *news = (struct spread_news){{NULL, news_home}, at->spread, *round, *rows};
    *rows = (struct buffer)BUFFER_INIT;
    mailbox_post(forward_mailbox(at->spread->control->forward), &news->mail);
    return 0;
}

/* ---- rounds ---- */

static void watch_init(struct spread_watch *watch, bool is_on, uint32_t epoch)
{
    spread_held_clear(&watch->held);
    *watch = (struct spread_watch){.is_on = is_on, .epoch = epoch};
    spread_held_init(&watch->held);
}

/* The replica, if it leads in the epoch that was asked for. */
static struct group_replica *leading(const struct spread_shard *at, uint32_t number, uint32_t epoch)
{
    struct shard_partition *partition = shard_partition_find(at->shard, &at->topic_id, number);
    struct group_replica *replica = partition == NULL ? NULL : partition->group;

    return replica != NULL && replica->part.lead != NULL && replica->part.lead_epoch == epoch ? replica : NULL;
}

static bool is_watched(const struct spread_watch *watch, const struct group_part *part)
{
    return watch->state == part->state && watch->rebuilds == part->rebuilds;
}

/* Watches the state, and says so once everything is committed that changed before: from then on rounds and walks together have all. */
static int begin(struct spread_shard *at, uint32_t number, struct group_replica *replica)
{
    struct spread_watch *watch = &at->watches[number];
    struct group_part *part = &replica->part;
    struct spread_round round = {.partition = number, .epoch = watch->epoch, .to = replica->partition->replica.partition.high_watermark, .is_first = true};
    struct buffer none = BUFFER_INIT;
    int err;

    if (!is_watched(watch, part)) {
        watch->is_begun = false;
        spread_held_clear(&watch->held);
        err = groups_watch_changes(part->state, true);
        if (err != 0) return err;
        watch->state = part->state;
        watch->rebuilds = part->rebuilds;
        watch->mark = groups_next_lsn(part->state);
    }
    if (watch->is_begun) return 0;
    if (round.to < watch->mark) return MESH_EAGAIN;
    err = tell(at, &round, &none);
    watch->is_begun = err == 0;
    return err;
}

/* Tells of what was taken before whatever the high watermark is known to have passed. */
static int tell_held(struct spread_shard *at, uint32_t number, struct group_replica *replica)
{
    struct spread_watch *watch = &at->watches[number];
    struct spread_round round = {.partition = number, .epoch = watch->epoch, .to = watch->held.to};
    struct buffer rows;
    bool is_last;
    int err = 0;

    while (err == 0 && spread_held_next(&watch->held, replica->partition->replica.partition.high_watermark, &rows, &is_last)) {
        round.is_part = !is_last;
        round.has_gap = is_last && watch->held.has_gap;
        err = tell(at, &round, &rows);
        buffer_deinit(&rows);
    }
    if (!watch->held.is_held) watch->held.has_gap = false;
    return err;
}

static void arm(struct spread_shard *at, uint64_t at_ms)
{
    double seconds = at_ms > at->shard->now_ms ? (double)(at_ms - at->shard->now_ms) / 1e3 : 0.;

    if (ev_is_active(&at->timer) && ev_timer_remaining(at->shard->loop, &at->timer) <= seconds) return;
    ev_timer_stop(at->shard->loop, &at->timer);
    ev_timer_set(&at->timer, seconds, 0.);
    ev_timer_start(at->shard->loop, &at->timer);
}

/* A later epoch has begun: this one is led no more, nor will it be. */
static bool is_over(const struct spread_shard *at, uint32_t number, uint32_t epoch)
{
    const struct image_topic *topic = image_find_topic(at->shard->image, &at->topic_id);
    struct image_partition facts;

    return topic != NULL && image_topic_partition(topic, number, &facts) && (uint32_t)facts.leader_epoch > epoch;
}

static void look(struct spread_shard *at, uint32_t number)
{
    struct spread_watch *watch = &at->watches[number];
    struct group_replica *replica = leading(at, number, watch->epoch);
    uint64_t high_watermark = replica == NULL ? 0 : replica->partition->replica.partition.high_watermark;
    int err;

    watch->next_ms = at->shard->now_ms + SPREAD_ROUND_MS;
    err = replica == NULL ? MESH_EAGAIN : begin(at, number, replica);
    if (err == 0 && watch->held.is_held) err = spread_held_sort(&watch->held, high_watermark); /* it rises, but has not come to the end for a second */
    if (err == 0 && !watch->held.is_held) spread_held_take(&watch->held, replica->part.state, high_watermark, (uint32_t)(at->shard->now_wall_ms / 1000));
    if (err == 0) err = tell_held(at, number, replica);
    watch->is_pending = err != 0; /* it is not leading yet, or had no memory: later */
    if (err == MESH_ENOMEM) watch->state = NULL; /* what was taken out of the state and not told is told by a walk */
    if (watch->is_pending && replica == NULL && is_over(at, number, watch->epoch)) {
        watch_init(watch, false, 0); /* the feed knows, or will: it asks for the next epoch anew */
        at->on--;
    }
    if (watch->is_pending) arm(at, watch->next_ms);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct spread_shard *at = timer->data;
    uint64_t next_ms = UINT64_MAX;

    (void)loop;
    (void)events;
    if (at->shard->is_stopping) return;
    for (uint32_t i = 0; i < GROUP_PARTITIONS; i++) {
        struct spread_watch *watch = &at->watches[i];
        if (!watch->is_on || !watch->is_pending) continue;
        if (watch->next_ms <= at->shard->now_ms + 1) look(at, i);
        else if (watch->next_ms < next_ms) next_ms = watch->next_ms;
    }
    if (next_ms != UINT64_MAX) arm(at, next_ms);
}

/* The high watermark rose. */
static int tell_passed(struct spread_shard *at, uint32_t number)
{
    struct spread_watch *watch = &at->watches[number];
    struct group_replica *replica = leading(at, number, watch->epoch);

    return replica != NULL && is_watched(watch, &replica->part) ? tell_held(at, number, replica) : 0;
}

void spread_committed(struct shard *shard, struct shard_partition *partition)
{
    struct spread *spread = shard->broker->control.spread;
    struct spread_shard *at = spread == NULL ? NULL : &spread->shards[shard->index];
    struct spread_watch *watch;

    if (at == NULL || at->on == 0 || shard->is_stopping) return;
    watch = &at->watches[partition->number];
    if (!watch->is_on) return;
    if (watch->held.is_held && tell_passed(at, partition->number) != 0) watch->state = NULL; /* no memory: as in look() */
    if (watch->is_pending) return;
    watch->is_pending = true;
    arm(at, watch->next_ms);
}

/* ---- orders ---- */

static void watch_arrives(struct spread_shard *at, const struct spread_order *order)
{
    struct spread_watch *watch = &at->watches[order->partition];
    struct group_replica *replica = leading(at, order->partition, watch->epoch);
    struct shard_partition *unused;

    if (watch->is_on) at->on--;
    if (!order->is_on && replica != NULL && watch->state == replica->part.state) groups_watch_changes(replica->part.state, false);
    at->topic_id = order->topic_id;
    watch_init(watch, order->is_on, order->epoch);
    if (!order->is_on) return;
    at->on++;
    (void)shard_partition_get(at->shard, &at->topic_id, order->partition, &unused); /* an empty log is opened by its first use; else nobody leads it */
    look(at, order->partition);
}

static void walk_arrives(struct spread_shard *at, struct spread_order *order)
{
    struct spread_watch *watch = &at->watches[order->partition];
    struct group_replica *replica = leading(at, order->partition, order->epoch);

    order->error = MESH_EAGAIN;
    if (!watch->is_on || watch->epoch != order->epoch) return; /* its feed has been told otherwise, or will be */
    if (replica != NULL && watch->is_begun && is_watched(watch, &replica->part)) {
        if (order->is_on) watch->walk = (struct spread_walk){0};
        order->error = spread_collect_piece(replica->part.state, replica->partition->replica.partition.high_watermark, &watch->walk, &order->rows, &order->is_last);
        if (order->error == 0) return;
        watch->state = NULL;
    }
    watch->is_pending = true; /* watching begins anew, and so does the walk: the feed waits for that, also where nothing is committed any more */
    arm(at, watch->next_ms);
}

static void order_home(struct mail *mail)
{
    struct spread_order *order = container_of(mail, struct spread_order, mail);
    struct spread *spread = order->at->spread;

    if (order->kind == SPREAD_ORDER_WALK && order->error == 0)
        (void)spread_feed_walked(spread->feed, spread_now_ms(spread), order->partition, order->walk, buffer_slice(&order->rows), order->is_last);
    buffer_deinit(&order->rows);
    free(order);
    spread_drive(spread);
}

static void order_arrives(struct mail *mail)
{
    struct spread_order *order = container_of(mail, struct spread_order, mail);
    struct spread_shard *at = order->at;

    if (!at->is_timer_ready) {
        ev_timer_init(&at->timer, on_timer, 0., 0.);
        at->timer.data = at;
        at->is_timer_ready = true;
    }
    order->error = MESH_ESHUTDOWN;
    if (!at->shard->is_stopping && order->kind == SPREAD_ORDER_WATCH) watch_arrives(at, order);
    if (!at->shard->is_stopping && order->kind == SPREAD_ORDER_WALK) walk_arrives(at, order);
    order->mail.deliver = order_home;
    mailbox_post(forward_mailbox(at->spread->control->forward), &order->mail);
}

int spread_shards_order(struct spread *spread, const struct spread_output *output)
{
    uint32_t index = image_shard_of(&spread->topic_id, output->partition, spread->control->shard_count);
    struct spread_order *order = malloc(sizeof(*order));

    if (order == NULL) return MESH_ENOMEM;
    *order = (struct spread_order){
        .mail = {NULL, order_arrives},
        .at = &spread->shards[index],
        .kind = output->kind == SPREAD_OUTPUT_WATCH ? SPREAD_ORDER_WATCH : SPREAD_ORDER_WALK,
        .topic_id = spread->topic_id,
        .partition = output->partition,
        .epoch = output->epoch,
        .walk = output->walk,
        .is_on = output->is_on,
        .rows = BUFFER_INIT,
    };
    shard_post(order->at->shard, &order->mail);
    return 0;
}

int spread_shards_init(struct spread *spread)
{
    uint32_t count = spread->control->shard_count;

    spread->shards = calloc(count, sizeof(spread->shards[0]));
    if (spread->shards == NULL) return MESH_ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        spread->shards[i].spread = spread;
        spread->shards[i].shard = spread->control->shards[i];
        for (uint32_t j = 0; j < GROUP_PARTITIONS; j++)
            spread_held_init(&spread->shards[i].watches[j].held);
    }
    return 0;
}

void spread_shards_deinit(struct spread *spread)
{
    for (uint32_t i = 0; spread->shards != NULL && i < spread->control->shard_count; i++) {
        for (uint32_t j = 0; j < GROUP_PARTITIONS; j++) {
            spread_held_clear(&spread->shards[i].watches[j].held);
            spread_cells_free(spread->shards[i].rescues[j].heard);
        }
        free(spread->shards[i].ends_news);
    }
    free(spread->shards);
    spread->shards = NULL;
}
