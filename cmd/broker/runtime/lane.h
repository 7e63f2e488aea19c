/* broker/runtime/lane.h - a thread that does what may block, one mail after the other, so that loops never do.
 *
 * A job is a mail whose deliver function runs on the lane's thread and, when it is done, posts the mail (or another one) to
 * the mailbox of the loop that waits for it. */
#ifndef BROKER_RUNTIME_LANE_H
#define BROKER_RUNTIME_LANE_H

#include "cmd/broker/runtime/mailbox.h"

#include <pthread.h>
#include <stdbool.h>

struct lane {
    pthread_t thread;
    struct mailbox mailbox;
    struct mail stop;
    bool is_started, is_stopped;
};

/* `name` (up to 15 characters) shows in ps and top. Errors: MESH_ENOMEM, MESH_EIO. */
int lane_start(struct lane *lane, const char *name);

/* Any thread. */
static inline void lane_post(struct lane *lane, struct mail *job)
{
    mailbox_post(&lane->mailbox, job);
}

/* Finishes what was posted before, then ends the thread. Harmless on a zeroed or stopped lane. */
void lane_stop(struct lane *lane);

/* Starts a thread with a small stack, all signals blocked. Used by lanes and shards. */
int lane_thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *user);

#endif
