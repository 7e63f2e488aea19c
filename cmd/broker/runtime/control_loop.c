/* broker/runtime/control_loop.c - mail, and the steps of the stop, of which each waits for every shard. */
#include "cmd/broker/runtime/control_loop.h"

#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/forward/forward.h"
#include "cmd/broker/front/http/http.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/operate/events.h"
#include "cmd/broker/runtime/shard.h"

#include <stdlib.h>
#include <time.h>

#define JOIN_SECONDS 2

struct control_loop {
    ev_io mailbox_io;
    ev_check wake;
    struct shard_stop *stops;    /* one per shard */
    struct shard_stop *give_ups; /* one per shard: the others may be under way */
    uint32_t stops_remaining;
    ev_timer deadline;
    bool is_announced, is_finished;
    bool has_given_up; /* the stop took too long */
};

static void on_wake(struct ev_loop *loop, ev_check *check, int events)
{
    struct broker *broker = check->data;

    (void)loop;
    (void)events;
    if (broker->control_loop->is_announced) {
        broker->control_loop->is_announced = false;
        mailbox_awake(&broker->control.mailbox);
    }
    (void)mailbox_drain(&broker->control.mailbox);
}

static void on_mailbox(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)io;
    (void)events;
}

int control_loop_open(struct broker *broker)
{
    struct control *control = &broker->control;
    struct control_loop *self = calloc(1, sizeof(*self));
    int err;

    if (self == NULL) return MESH_ENOMEM;
    broker->control_loop = self;
    self->stops = calloc(broker->shard_count, sizeof(*self->stops));
    self->give_ups = calloc(broker->shard_count, sizeof(*self->give_ups));
    control->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV | EVFLAG_NOSIGMASK);
    if (self->stops == NULL || self->give_ups == NULL || control->loop == NULL) return MESH_ENOMEM;
    err = mailbox_init(&control->mailbox);
    if (err != 0) return err;
    ev_io_init(&self->mailbox_io, on_mailbox, control->mailbox.event_fd, EV_READ);
    ev_io_start(control->loop, &self->mailbox_io);
    ev_check_init(&self->wake, on_wake);
    ev_set_priority(&self->wake, EV_MAXPRI);
    self->wake.data = broker;
    ev_check_start(control->loop, &self->wake);
    return 0;
}

void control_loop_close(struct broker *broker)
{
    struct control_loop *self = broker->control_loop;

    if (self == NULL) return;
    if (broker->control.mailbox.event_fd > 0) mailbox_deinit(&broker->control.mailbox);
    if (broker->control.loop != NULL) ev_loop_destroy(broker->control.loop);
    broker->control.loop = NULL;
    free(self->stops);
    free(self->give_ups);
    free(self);
    broker->control_loop = NULL;
}

/* After a stop that was given up, only threads that end soon are waited for: the disk may hold up any of them. */
static bool join_shard(struct shard *shard, bool has_given_up)
{
    struct timespec until;

    if (!has_given_up) {
        pthread_join(shard->thread, NULL);
    } else {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += JOIN_SECONDS;
        if (pthread_timedjoin_np(shard->thread, NULL, &until) != 0) {
            log_error("the shard's thread does not end shard=%u", shard->index);
            return false;
        }
    }
    shard->is_thread_started = false;
    return true;
}

static void run_once(struct broker *broker)
{
    broker->control_loop->is_announced = mailbox_prepare_sleep(&broker->control.mailbox);
    ev_run(broker->control.loop, broker->control_loop->is_announced ? EVRUN_ONCE : EVRUN_NOWAIT);
}

void control_loop_wait(struct broker *broker, bool (*is_done)(const struct broker *broker))
{
    while (!broker->control.is_stopping && !is_done(broker))
        run_once(broker);
}

int control_loop_run(struct broker *broker)
{
    struct control_loop *self = broker->control_loop;
    int err = 0;

    while (!self->is_finished || (metadata_is_disk_busy(broker->control.metadata) && !self->has_given_up))
        run_once(broker); /* the thread of the metadata's disk is to end, too */
    if (self->has_given_up && metadata_is_disk_busy(broker->control.metadata)) return MESH_ETIMEDOUT;
    for (uint32_t i = 0; i < broker->shard_count; i++) {
        struct shard *shard = broker->shards[i];

        if (!join_shard(shard, self->has_given_up)) return MESH_ETIMEDOUT;
        if (err == 0) err = shard->drain_error;
    }
    return err;
}

/* ---- the stop ---- */

static void stop_step(struct broker *broker, mail_fn *arrives, mail_fn *reply)
{
    struct control_loop *self = broker->control_loop;

    self->stops_remaining = broker->shard_count;
    for (uint32_t i = 0; i < broker->shard_count; i++) {
        self->stops[i] = (struct shard_stop){
            .mail.deliver = arrives,
            .shard = broker->shards[i],
            .reply_to = &broker->control.mailbox,
            .reply = reply,
        };
        shard_post(broker->shards[i], &self->stops[i].mail);
    }
}

static bool stop_is_last(struct mail *mail, struct broker **ret_broker)
{
    struct shard_stop *stop = container_of(mail, struct shard_stop, mail);

    *ret_broker = stop->shard->broker;
    return --(*ret_broker)->control_loop->stops_remaining == 0 && !(*ret_broker)->control_loop->has_given_up;
}

static void on_drained(struct mail *mail)
{
    struct broker *broker;

    if (!stop_is_last(mail, &broker)) return;
    stop_step(broker, shard_stop_finish, NULL);
    broker->control_loop->is_finished = true;
}

static void on_quiet(struct mail *mail)
{
    struct broker *broker;

    if (!stop_is_last(mail, &broker)) return;
    stop_step(broker, shard_stop_drain, on_drained);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct broker *broker = timer->data;
    struct control_loop *self = broker->control_loop;

    (void)loop;
    (void)events;
    if (self->is_finished && !metadata_is_disk_busy(broker->control.metadata)) return;
    log_error("the stop is not finished in time: stopping without the clean marker stop.ms.max=%llu",
              (unsigned long long)broker->settings.stop_ms_max);
    self->has_given_up = self->is_finished = true;
    for (uint32_t i = 0; i < broker->shard_count; i++) {
        self->give_ups[i] = (struct shard_stop){.mail.deliver = shard_stop_give_up, .shard = broker->shards[i]};
        shard_post(broker->shards[i], &self->give_ups[i].mail);
    }
}

/* What this broker leads and coordinates is in other hands, as far as there are any. */
static void on_handed_over(void *user)
{
    struct broker *broker = user;

    if (!broker->control_loop->is_finished && !broker->is_ending) stop_step(broker, shard_stop_quiesce, on_quiet);
}

void control_loop_stop(struct broker *broker)
{
    struct control_loop *self = broker->control_loop;

    if (broker->control.is_stopping) return;
    broker->control.is_stopping = true;
    atomic_store(&broker->judges_logins, false);
    event_note(&broker->control.events, EVENT_BROKER, LOG_LEVEL_INFO, "stopping: finishing what is in flight");
    if (broker->notify != NULL) notify_stopping(broker->notify);
    ev_timer_init(&self->deadline, on_deadline, (double)broker->settings.stop_ms_max / 1e3, 0.);
    self->deadline.data = broker;
    ev_timer_start(broker->control.loop, &self->deadline);
    if (broker->control.http != NULL) http_server_stop(broker->control.http);
    forward_stop_waiting(broker->control.forward);
    metadata_leave(broker->control.metadata, on_handed_over, broker);
}
