/* spread/rescue.c - asking all brokers what they had heard of a group partition, and getting it to the shard that leads it. */
#include "cmd/broker/spread/rescue.h"

#include "base/clock.h"
#include "base/error.h"
#include "cmd/broker/forward/forward.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/operate/events.h"
#include "cmd/broker/peers/peer_users.h"
#include "cmd/broker/runtime/partitions.h"
#include "cmd/broker/spread/spread_internal.h"
#include "replication/coordinator/image.h"

#include <stdlib.h>

/* Who is asked. */
struct rescue_witness {
    struct uuid id;
    bool is_link_wanted; /* there was none: it is dialled, and asked then */
    uint32_t next;       /* piece of its answer */
};

/* One question, on its way from the shard to the control loop and back. */
struct rescue {
    struct mail mail;
    struct list_node node; /* in spread->rescues */
    struct spread *spread;
    struct spread_shard *at;
    uint32_t partition, epoch;
    struct spread_cells *heard; /* owned; NULL: there was no memory */
    uint64_t heard_ms;          /* the freshest answer that had anything knows what was committed by then; 0: none had */
    struct rescue_witness *waiting; /* owned: who has not said all yet */
    size_t waiting_count;
    uint32_t tellers;           /* brokers that had heard something */
    ev_timer timer;
};

/* ---- home again ---- */

static void rescue_home(struct mail *mail)
{
    struct rescue *rescue = container_of(mail, struct rescue, mail);
    struct spread_rescue *slot = &rescue->at->rescues[rescue->partition];
    struct shard *shard = rescue->at->shard;

    if (slot->state == SPREAD_RESCUE_ASKED && slot->epoch == rescue->epoch) {
        struct uuid topic_id;
        struct shard_partition *partition = NULL;

        slot->state = SPREAD_RESCUE_HEARD;
        slot->heard = rescue->heard;
        slot->heard_ms = rescue->heard_ms;
        slot->tellers = rescue->tellers;
        rescue->heard = NULL;
        if (groups_find_topic(shard->image, &topic_id)) partition = shard_partition_find(shard, &topic_id, rescue->partition);
        if (partition != NULL) groups_stirred(shard, partition);
    }
    spread_cells_free(rescue->heard);
    free(rescue);
}

static void let_go(struct rescue *rescue, size_t at)
{
    if (rescue->waiting[at].is_link_wanted && rescue->spread->peers != NULL) peers_unwant_link(rescue->spread->peers, &rescue->waiting[at].id);
    rescue->waiting[at] = rescue->waiting[--rescue->waiting_count];
}

static void end(struct rescue *rescue)
{
    while (rescue->waiting_count > 0)
        let_go(rescue, rescue->waiting_count - 1);
    ev_timer_stop(rescue->spread->control->loop, &rescue->timer);
    list_remove(&rescue->node);
    free(rescue->waiting);
    rescue->mail.deliver = rescue_home;
    shard_post(rescue->at->shard, &rescue->mail);
}

/* ---- control loop ---- */

static void on_wait_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    end(timer->data);
}

static void note_age(struct rescue *rescue, uint64_t age_ms)
{
    uint64_t now_ms = spread_now_ms(rescue->spread), heard_ms = age_ms < now_ms ? now_ms - age_ms : 1;

    rescue->tellers++;
    if (heard_ms > rescue->heard_ms) rescue->heard_ms = heard_ms;
}

static void copy_row(void *arg, const struct spread_row *row)
{
    (void)spread_cells_merge(arg, row); /* without memory the others' answers may still have it */
}

static bool ask(struct rescue *rescue, const struct uuid *broker)
{
    struct spread_message message = {.kind = SPREAD_RECOVER, .partition = rescue->partition, .epoch = rescue->epoch};
    struct buffer bytes = BUFFER_INIT;
    bool is_asked = spread_message_encode(&message, &bytes) == 0 && peers_link_send(rescue->spread->peers, broker, LINK_TYPE_SPREAD, buffer_slice(&bytes)) == 0;

    buffer_deinit(&bytes);
    return is_asked;
}

/* Who has no link and is alive is dialled. */
static void ask_everybody(struct rescue *rescue)
{
    struct spread *spread = rescue->spread;
    const struct image *image = metadata_image(spread->control->metadata);

    rescue->waiting = calloc(image_broker_count(image), sizeof(rescue->waiting[0]));
    if (rescue->waiting == NULL) return;
    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);
        struct rescue_witness witness = {.id = broker->broker_id};

        if (uuid_equal(&witness.id, &spread->control->broker_id)) continue;
        if (!ask(rescue, &witness.id)) {
            if (broker->is_fenced || peers_want_link(spread->peers, &witness.id) != 0) continue;
            witness.is_link_wanted = true;
        }
        rescue->waiting[rescue->waiting_count++] = witness;
    }
}

void rescue_peer_up(struct spread *spread, const struct uuid *peer)
{
    list_for_each_safe(node, &spread->rescues) {
        struct rescue *rescue = container_of(node, struct rescue, node);

        for (size_t i = 0; i < rescue->waiting_count; i++)
            if (rescue->waiting[i].is_link_wanted && uuid_equal(&rescue->waiting[i].id, peer)) (void)ask(rescue, peer); /* or its time runs out */
    }
}

static void rescue_arrives(struct mail *mail)
{
    struct rescue *rescue = container_of(mail, struct rescue, mail);
    struct spread *spread = rescue->spread;
    const struct spread_cells *own = spread_feed_cells(spread->feed, rescue->partition);

    list_push_back(&spread->rescues, &rescue->node);
    ev_timer_init(&rescue->timer, on_wait_over, RESCUE_WAIT_MS / 1e3, 0.);
    rescue->timer.data = rescue;
    if (spread_cells_new(&rescue->heard) != 0) {
        end(rescue);
        return;
    }
    if (own != NULL) {
        spread_cells_each_row(own, copy_row, rescue->heard);
        note_age(rescue, spread_feed_age_ms(spread->feed, spread_now_ms(spread), rescue->partition));
    }
    if (spread->peers != NULL) ask_everybody(rescue);
    if (rescue->waiting_count == 0) {
        end(rescue);
        return;
    }
    ev_now_update(spread->control->loop);
    ev_timer_start(spread->control->loop, &rescue->timer);
}

static void has_said_all(struct rescue *rescue, const struct uuid *peer)
{
    for (size_t i = 0; i < rescue->waiting_count; i++) {
        if (!uuid_equal(&rescue->waiting[i].id, peer)) continue;
        let_go(rescue, i);
        break;
    }
    if (rescue->waiting_count == 0) end(rescue);
}

void rescue_receive(struct spread *spread, const struct uuid *peer, const struct spread_message *message)
{
    list_for_each_safe(node, &spread->rescues) {
        struct rescue *rescue = container_of(node, struct rescue, node);
        struct rescue_witness *witness = NULL;

        for (size_t i = 0; i < rescue->waiting_count; i++)
            if (uuid_equal(&rescue->waiting[i].id, peer)) witness = &rescue->waiting[i];
        if (rescue->partition != message->partition || rescue->epoch != message->epoch || witness == NULL || message->piece != witness->next) continue;
        witness->next++; /* who leaves one out has not said all, and is waited for as long as anybody */
        (void)spread_cells_merge_rows(rescue->heard, message->rows);
        if (message->is_last && message->age_ms != UINT64_MAX) note_age(rescue, message->age_ms);
        if (message->is_last) has_said_all(rescue, peer);
    }
}

void rescue_peer_down(struct spread *spread, const struct uuid *peer)
{
    list_for_each_safe(node, &spread->rescues) has_said_all(container_of(node, struct rescue, node), peer);
}

void rescue_end_all(struct spread *spread)
{
    list_for_each_safe(node, &spread->rescues) end(container_of(node, struct rescue, node));
}

/* ---- shard ---- */

bool rescue_is_ready(struct shard *shard, struct shard_partition *partition, uint32_t epoch)
{
    struct spread *spread = shard->broker->control.spread;
    struct spread_rescue *slot = spread == NULL ? NULL : &spread->shards[shard->index].rescues[partition->number];
    struct rescue *rescue;

    if (slot == NULL) return true;
    if (slot->state != SPREAD_RESCUE_NONE && slot->epoch == epoch) return slot->state != SPREAD_RESCUE_ASKED;
    rescue = calloc(1, sizeof(*rescue));
    if (rescue == NULL) return false; /* asked again with the next look */
    spread_cells_free(slot->heard);
    *slot = (struct spread_rescue){.state = SPREAD_RESCUE_ASKED, .epoch = epoch};
    rescue->mail.deliver = rescue_arrives;
    rescue->spread = spread;
    rescue->at = &spread->shards[shard->index];
    rescue->partition = partition->number;
    rescue->epoch = epoch;
    mailbox_post(forward_mailbox(spread->control->forward), &rescue->mail);
    return false;
}

/* How old it is counts from now, and what was acknowledged after `as_of` and before the loss is not in it. */
static void tell(struct events *events, const struct spread_rescue *slot, uint32_t partition, uint32_t groups, uint32_t cells)
{
    uint64_t age_ms = clock_monotonic_ms() - slot->heard_ms;
    char as_of[LOG_TIME_SIZE];

    if (cells == 0)
        event_note(events, EVENT_RESCUE, LOG_LEVEL_WARN, "every complete replica of a partition of groups was lost, and no broker had heard of offsets in it partition=%u epoch=%u brokers=%u",
                   partition, slot->epoch, slot->tellers);
    else
        event_note(events, EVENT_RESCUE, LOG_LEVEL_ERROR,
                   "every complete replica of a partition of groups was lost: offsets were recovered from what other brokers had heard, at most %llu ms old "
                   "partition=%u epoch=%u groups=%u offsets=%u brokers=%u as_of=%s",
                   (unsigned long long)age_ms, partition, slot->epoch, groups, cells, slot->tellers, log_time(clock_wall_ms() - (int64_t)age_ms, as_of));
}

int rescue_apply(struct shard *shard, struct group_replica *replica)
{
    struct spread *spread = shard->broker->control.spread;
    struct shard_partition *partition = replica->partition;
    struct spread_rescue *slot = spread == NULL ? NULL : &spread->shards[shard->index].rescues[partition->number];
    uint32_t groups = 0, cells = 0;
    int err = 0;

    if (slot == NULL || slot->state != SPREAD_RESCUE_HEARD || slot->epoch != replica->part.lead_epoch) return 0;
    shard->groups.takes_any_end = true;
    if (slot->heard != NULL)
        err = rescue_put(replica->part.lead, replica->part.state, slot->heard, shard->now_ms, (uint64_t)shard->now_wall_ms, &groups, &cells);
    shard->groups.takes_any_end = false;
    if (err != 0) return err;
    slot->barrier = group_lead_barrier(replica->part.lead);
    shard->groups.counts.rescues++;
    shard->groups.counts.rescued_offsets += cells;
    tell(&shard->broker->control.events, slot, partition->number, groups, cells);
    return 0;
}

void rescue_committed(struct shard *shard, struct group_replica *replica)
{
    struct spread *spread = shard->broker->control.spread;
    struct spread_rescue *slot = spread == NULL ? NULL : &spread->shards[shard->index].rescues[replica->partition->number];

    if (slot == NULL || slot->state != SPREAD_RESCUE_HEARD || slot->barrier == 0 || slot->epoch != replica->part.lead_epoch) return;
    if (replica->partition->replica.partition.high_watermark <= slot->barrier) return; /* one record of the lead follows what was put in */
    slot->state = SPREAD_RESCUE_DONE;
    spread_cells_free(slot->heard);
    slot->heard = NULL;
}
