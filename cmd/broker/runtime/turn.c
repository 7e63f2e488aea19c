/* broker/runtime/turn.c - the turn of a shard's loop. */
#include "base/assert.h"
#include "base/clock.h"
#include "cmd/broker/ops/fetch_wait.h"
#include "cmd/broker/ops/produce_local.h"
#include "cmd/broker/runtime/shard.h"

#include <malloc.h>

#define TICK_TRAFFIC_MS 100
#define TRIM_SECONDS 2.0 /* free buffers are given back after this long without use */
#define RETRY_SECONDS 0.1 /* a wait for memory that nothing else ends */

static void read_clocks(struct shard *shard)
{
    shard->now_ns = clock_monotonic_ns();
    shard->now_ms = shard->now_ns / 1000000;
    shard->now_wall_ms = clock_wall_ms();
}

/* Right after the wait, before anything that it found is handled. */
static void turn_on_wake(struct ev_loop *loop, ev_check *check, int events)
{
    struct shard *shard = check->data;

    (void)loop;
    (void)events;
    if (shard->is_announced) {
        shard->is_announced = false;
        mailbox_awake(&shard->mailbox);
    }
    read_clocks(shard);
    store_set_clock(shard->store, shard->now_ms, shard->now_wall_ms);
    shard->metrics.loop_turns++;
    shard->metrics.mailbox_messages += mailbox_drain(&shard->mailbox);
}

static void turn_on_mailbox(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)io;
    (void)events; /* it was there to end the wait; turn_on_wake() has emptied it */
}

/* ---- disk jobs ---- */

static void job_home(struct mail *mail)
{
    struct shard_job *slot = container_of(mail, struct shard_job, mail);
    struct store_job *job = slot->job;

    slot->job = NULL;
    store_job_complete(slot->shard->store, job);
}

/* On a lane's thread. */
static void job_run(struct mail *mail)
{
    struct shard_job *slot = container_of(mail, struct shard_job, mail);

    store_job_run(slot->job);
    slot->mail.deliver = job_home;
    shard_post(slot->shard, &slot->mail);
}

static void job_post(struct shard *shard, enum store_lane lane)
{
    struct shard_job *slot = &shard->jobs[lane];

    slot->mail.deliver = job_run;
    lane_post(lane == STORE_LANE_READ ? &shard->broker->read_lane : &shard->lanes[lane], &slot->mail);
}

static void start_job(struct shard *shard, enum store_lane lane)
{
    struct shard_job *slot = &shard->jobs[lane];

    if (slot->job != NULL || shard->is_drained) return;
    slot->job = store_next_job(shard->store, lane);
    if (slot->job == NULL) return;
    slot->started_ms = shard->now_ms;
    if (lane == STORE_LANE_SYNC && shard->sync_queue != NULL && store_job_begin(slot->job, shard->sync_queue))
        shard->is_sync_begun = true;
    else
        job_post(shard, lane);
}

/* False: it is still under way, or has to go through the lane after all. */
static bool sync_has_ended(struct shard *shard, bool wait)
{
    int error;

    if (!shard->is_sync_begun || !sync_queue_end(shard->sync_queue, wait, &error)) return false;
    shard->is_sync_begun = false;
    if (store_job_end(shard->jobs[STORE_LANE_SYNC].job, error)) return true;
    job_post(shard, STORE_LANE_SYNC);
    return false;
}

static void turn_on_sync(struct ev_loop *loop, ev_io *io, int events)
{
    struct shard *shard = io->data;

    (void)loop;
    (void)events;
    if (sync_has_ended(shard, false)) job_home(&shard->jobs[STORE_LANE_SYNC].mail);
}

void shard_job_settle(struct shard *shard)
{
    (void)sync_has_ended(shard, true); /* its result is looked at when the shard is freed */
}

/* ---- timers ---- */

static void arm_tick(struct shard *shard, uint64_t due_ms)
{
    shard->tick_due_ms = due_ms;
    ev_timer_stop(shard->loop, &shard->tick);
    if (due_ms == UINT64_MAX) return;
    ev_timer_set(&shard->tick, due_ms > shard->now_ms ? (double)(due_ms - shard->now_ms) / 1e3 : 0., 0.);
    ev_timer_start(shard->loop, &shard->tick);
}

static void run_tick(struct shard *shard)
{
    shard->tick_seen = shard->appended;
    shard->is_tick_wanted = false;
    arm_tick(shard, store_tick(shard->store, shard->now_ms, shard->now_wall_ms));
}

/* What was appended or configured since the last tick may be due long before the time that it gave. Traffic costs at most
 * one tick per TICK_TRAFFIC_MS. */
static void bring_tick_forward(struct shard *shard)
{
    bool has_news = shard->appended != shard->tick_seen || shard->is_tick_wanted;

    if (has_news && shard->tick_due_ms > shard->now_ms + TICK_TRAFFIC_MS)
        arm_tick(shard, shard->now_ms + TICK_TRAFFIC_MS);
}

static void turn_on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    run_tick(timer->data);
}

static void turn_on_trim(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct shard *shard = timer->data;

    (void)events;
    if (shard->pool.acquired != shard->trim_seen) {
        shard->trim_seen = shard->pool.acquired;
        ev_timer_set(timer, TRIM_SECONDS, 0.);
        ev_timer_start(loop, timer);
        return;
    }
    shard->is_trim_due = false;
    pool_trim(&shard->pool);
    ack_queue_trim(&shard->acks_synced);
    ack_queue_trim(&shard->acks_written);
    produce_trim_committed(shard);
    buffer_deinit(&shard->scratch);
    malloc_trim(0);
}

/* It is there only while something waits: a disk that is well gives it nothing to do but to look at the oldest. */
static void turn_on_expire(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    produce_expire(timer->data);
}

static void arm_timers(struct shard *shard)
{
    bring_tick_forward(shard);
    if (produce_has_waiting(shard) && !ev_is_active(&shard->expire)) {
        ev_timer_set(&shard->expire, PRODUCE_EXPIRE_MS / 1e3, 0.);
        ev_timer_start(shard->loop, &shard->expire);
    }
    if ((shard->pool.acquired != shard->trim_seen || shard->is_trim_due) && !ev_is_active(&shard->trim)) {
        shard->trim_seen = shard->pool.acquired;
        ev_timer_set(&shard->trim, TRIM_SECONDS, 0.);
        ev_timer_start(shard->loop, &shard->trim);
    }
}

/* ---- the turn ---- */

/* An append found no memory and no job will end that would free some: the store has given up what it only kept at hand, so
 * once more, at once. */
static bool turn_retries(struct shard *shard, bool was_store_full)
{
    bool is_stuck = was_store_full;

    for (int i = 0; i < STORE_LANE_COUNT && is_stuck; i++)
        is_stuck = shard->jobs[i].job == NULL;
    if (is_stuck == shard->was_stuck) return false;
    shard->was_stuck = is_stuck;
    return is_stuck;
}

static bool turn_has_waiters(const struct shard *shard)
{
    return !list_is_empty(&shard->connections.memory_waiting) || !list_is_empty(&shard->remote_waiting);
}

static void turn_on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events; /* it was there to end the wait; the end of the turn tries again */
}

/* What was sent last in the turn has given memory back, for which others wait. What other shards give back is not told. */
static void turn_flush(struct shard *shard)
{
    uint64_t sent = shard->metrics.sent_bytes, closed = shard->metrics.connections_closed;
    size_t used = shard->pool.used_bytes;

    connections_flush(shard);
    if (!turn_has_waiters(shard)) return;
    if (shard->metrics.sent_bytes != sent || shard->metrics.connections_closed != closed ||
        shard->pool.used_bytes < used)
        shard->has_more = true;
    if (ev_is_active(&shard->retry)) return;
    ev_timer_set(&shard->retry, RETRY_SECONDS, 0.);
    ev_timer_start(shard->loop, &shard->retry);
}

static void turn_end(struct shard *shard)
{
    bool was_store_full;

    shard->has_more = false;
    produce_retry_remote(shard);
    connections_resume(shard);
    replicas_run(shard);
    groups_run(shard);
    if (shard->is_store_full) connections_relieve(shard);
    was_store_full = shard->is_store_full;
    shard->is_store_full = false;
    store_end_turn(shard->store, shard->now_ms, shard->now_wall_ms);
    start_job(shard, STORE_LANE_SYNC); /* clients wait for it, and for their answers; for the rest nobody does */
    (void)produce_acknowledge(shard);
    replicas_send(shard);
    fetch_run_ready(shard);
    forward_ways_send(shard);
    turn_flush(shard);
    start_job(shard, STORE_LANE_BEHIND);
    start_job(shard, STORE_LANE_BACKGROUND);
    start_job(shard, STORE_LANE_READ);
    if (turn_retries(shard, was_store_full)) shard->has_more = true;
    if (!list_is_empty(&shard->connections.resuming)) shard->has_more = true;
    arm_timers(shard);
    shard_stop_step(shard);
}

void shard_turn_init(struct shard *shard)
{
    ev_io_init(&shard->mailbox_io, turn_on_mailbox, shard->mailbox.event_fd, EV_READ);
    ev_io_start(shard->loop, &shard->mailbox_io);
    if (shard->sync_queue != NULL) {
        ev_io_init(&shard->sync_io, turn_on_sync, sync_queue_fd(shard->sync_queue), EV_READ);
        shard->sync_io.data = shard;
        ev_io_start(shard->loop, &shard->sync_io);
    }
    ev_check_init(&shard->wake, turn_on_wake);
    ev_set_priority(&shard->wake, EV_MAXPRI);
    shard->wake.data = shard;
    ev_check_start(shard->loop, &shard->wake);
    ev_timer_init(&shard->tick, turn_on_tick, 0., 0.);
    shard->tick.data = shard;
    ev_timer_init(&shard->retry, turn_on_retry, 0., 0.);
    ev_timer_init(&shard->expire, turn_on_expire, 0., 0.);
    shard->expire.data = shard;
    ev_timer_init(&shard->trim, turn_on_trim, 0., 0.);
    shard->trim.data = shard;
    read_clocks(shard);
}

void *shard_run(void *user)
{
    struct shard *shard = user;

    read_clocks(shard);
    connections_listen(shard);
    run_tick(shard);
    while (!shard->is_finished) {
        turn_end(shard);
        if (shard->is_finished) break;
        shard->is_announced = !shard->has_more && mailbox_prepare_sleep(&shard->mailbox);
        ev_run(shard->loop, shard->is_announced ? EVRUN_ONCE : EVRUN_NOWAIT);
    }
    return NULL;
}
