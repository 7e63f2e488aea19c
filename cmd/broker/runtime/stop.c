/* broker/runtime/stop.c - a shard's part of a graceful stop.
 *
 *   quiesce: no new connections, new requests are refused, long polls answered; waits for what is in flight
 *   drain:   (all shards are quiet) everything synced, the clean manifest written
 *   finish:  answers have had their time to leave; the thread ends
 *
 * A disk that hangs would hold any of these up for ever: the control loop sends give_up when stop.ms.max is over. */
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/ops/fetch_wait.h"
#include "cmd/broker/runtime/shard.h"

static void stop_reply(struct shard_stop *stop)
{
    stop->mail.deliver = stop->reply;
    mailbox_post(stop->reply_to, &stop->mail);
}

void shard_stop_quiesce(struct mail *mail)
{
    struct shard_stop *stop = container_of(mail, struct shard_stop, mail);
    struct shard *shard = stop->shard;

    shard->is_stopping = true;
    connections_stop_listening(shard);
    fetch_stop_waiting(shard);
    forward_ways_stop_waiting(shard);
    shard->stop = stop;
}

#define FAREWELL_SECONDS 1.0 /* for clients to take their last answers */

static void stop_on_farewell(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    ((struct shard *)timer->data)->is_late = true;
}

void shard_stop_drain(struct mail *mail)
{
    struct shard_stop *stop = container_of(mail, struct shard_stop, mail);
    struct shard *shard = stop->shard;

    shard->is_draining = true;
    groups_stop(shard);
    replicas_stop(shard); /* leadership was handed over before; what is not committed by now stays unknown */
    store_drain(shard->store);
    ev_timer_init(&shard->farewell, stop_on_farewell, FAREWELL_SECONDS, 0.);
    shard->farewell.data = shard;
    ev_timer_start(shard->loop, &shard->farewell);
    shard->stop = stop;
}

void shard_stop_finish(struct mail *mail)
{
    struct shard *shard = container_of(mail, struct shard_stop, mail)->shard;

    forward_ways_close(shard);
    shard->is_finished = true;
}

/* The lanes' work, in words for who has to mend it. */
static const char *const job_names[STORE_LANE_COUNT] = {
    [STORE_LANE_SYNC] = "the disk does not finish a sync",
    [STORE_LANE_BEHIND] = "the disk does not finish writing behind",
    [STORE_LANE_BACKGROUND] = "the disk does not finish a checkpoint",
    [STORE_LANE_READ] = "the disk does not finish reading",
};

void shard_stop_give_up(struct mail *mail)
{
    struct shard *shard = container_of(mail, struct shard_stop, mail)->shard;
    bool has_cause = false;

    for (int i = 0; i < STORE_LANE_COUNT; i++) {
        const struct shard_job *slot = &shard->jobs[i];

        if (slot->job == NULL) continue;
        has_cause = true;
        log_error("%s shard=%u since_ms=%llu", job_names[i], shard->index,
                  (unsigned long long)(shard->now_ms - slot->started_ms));
    }
    if (!has_cause && shard->connections.pending > 0)
        log_error("requests are not answered shard=%u count=%llu", shard->index,
                  (unsigned long long)shard->connections.pending);
    groups_stop(shard);
    if (!shard->is_drained) shard->drain_error = MESH_ETIMEDOUT;
    shard->is_finished = true;
}

static bool jobs_are_idle(const struct shard *shard)
{
    for (int i = 0; i < STORE_LANE_COUNT; i++)
        if (shard->jobs[i].job != NULL) return false;
    return true;
}

void shard_stop_step(struct shard *shard)
{
    struct shard_stop *stop = shard->stop;

    if (stop == NULL) return;
    if (shard->is_draining) {
        if (!store_is_drained(shard->store) || !jobs_are_idle(shard)) return;
        if (!shard->is_late && !(connections_are_flushed(shard) && forward_ways_are_flushed(shard))) return;
        shard->drain_error = store_drain_error(shard->store);
        shard->is_drained = true;
    } else if (shard->connections.pending > 0) {
        return;
    }
    shard->stop = NULL;
    stop_reply(stop);
}
