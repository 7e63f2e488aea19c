/* broker/runtime/lane.c - the thread behind a lane. */
#include "cmd/broker/runtime/lane.h"

#include "base/error.h"
#include "base/list.h"

#include <signal.h>

#define THREAD_STACK_BYTES (256u << 10) /* the sanitizers' frames need the better part of it */

int lane_thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *user)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    int err;

    if (pthread_attr_init(&attributes) != 0) return MESH_ENOMEM;
    pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited: signals are the control loop's */
    err = pthread_create(ret_thread, &attributes, run, user);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (err != 0) return error_from_errno(err);
    pthread_setname_np(*ret_thread, name);
    return 0;
}

static void lane_on_stop(struct mail *mail)
{
    container_of(mail, struct lane, stop)->is_stopped = true;
}

static void *lane_run(void *user)
{
    struct lane *lane = user;

    while (!lane->is_stopped)
        mailbox_wait(&lane->mailbox);
    return NULL;
}

int lane_start(struct lane *lane, const char *name)
{
    int err = mailbox_init(&lane->mailbox);

    if (err != 0) return err;
    lane->is_stopped = false;
    err = lane_thread_start(&lane->thread, name, lane_run, lane);
    if (err != 0) {
        mailbox_deinit(&lane->mailbox);
        return err;
    }
    lane->is_started = true;
    return 0;
}

void lane_stop(struct lane *lane)
{
    if (!lane->is_started) return;
    lane->stop.deliver = lane_on_stop;
    lane_post(lane, &lane->stop);
    pthread_join(lane->thread, NULL);
    mailbox_deinit(&lane->mailbox);
    lane->is_started = false;
}
